"""The data directory: one hub's at a time, and what is kept there."""

import contextlib
import errno
import fcntl
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeGuard

from tools.private import write_private

LOCK_FILE = "hub.lock"
LICENSE_KEY_FILE = "license.key"
SESSION_FILE = "mqtt.session"


class StartError(Exception):
    """The hub cannot start; the text says what is wrong and what to do.

    `status` becomes the exit status: 2 for what cannot be as it was asked for, 1 for a disk or a database that fails, which may pass.
    """

    def __init__(self, text: str, status: int = 2) -> None:
        super().__init__(text)
        self.status = status


def make_folder(data: Path) -> None:
    """For its owner only where it is new: configurations, messages and dumps may hold secrets. Raises StartError when there can be none."""
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(data, error) from error


def cannot_write(data: Path, error: OSError) -> StartError:
    """What to say when something in the data directory cannot be read or written."""
    if is_full(error):
        return StartError(f"--data {data}: {error.strerror}; make room there, or give a directory on another disk", 1)
    return StartError(f"--data {data}: {error.strerror or error}; give a directory that can be written")


def is_full(error: Exception) -> TypeGuard[OSError]:
    """Whether the disk has no room, or its user may not have more."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def held(data: Path) -> Iterator[None]:
    """Make the directory and hold it, also against a hub in another process. Raises StartError when another hub has it."""
    make_folder(data)
    try:
        file = (data / LOCK_FILE).open("a")
    except OSError as error:
        raise cannot_write(data, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartError(f"--data {data}: another hub is running on this directory; stop it, or give another directory") from None
        yield


def kept_key(path: Path) -> str:
    """The operator key of this data directory; made, readable by its owner only, when there is none yet. Raises OSError."""
    return _kept(path, lambda: secrets.token_urlsafe(24))


def session(data: Path, share_group: str | None) -> str:
    """The client id under which a broker keeps this hub's session: one of this directory, and of what it subscribes to.

    Raises StartError when it cannot be kept.
    """
    try:
        name = _kept(data / SESSION_FILE, lambda: f"redpoll-hub-{secrets.token_hex(6)}")
    except OSError as error:
        raise cannot_write(data, error) from error
    return f"{name}-{share_group or 'all'}"


def _kept(path: Path, make: Callable[[], str]) -> str:
    """What this file holds; made when it holds nothing."""
    with contextlib.suppress(FileNotFoundError):
        kept = path.read_text().strip()
        if kept:
            return kept
    made = make()
    write_private(path, made.encode())
    return made
