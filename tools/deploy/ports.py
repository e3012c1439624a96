"""Serial ports of this machine: which there are, and whether one can be used."""

import contextlib
import errno
import os
import time
from pathlib import Path

import serial
from serial.tools import list_ports

from tools.board.named import known_boards
from tools.deploy.errors import DeployError, Status

_MOMENT = 0.3


def usable(port: str | None, *, virtual: bool = True) -> str:
    """The port to be used: this one, else the only board on USB, else (`virtual`) the only virtual board that is up.

    Raises DeployError with what to do when that cannot be.
    """
    port = port or _only(virtual)
    if "://" in port:  # pyserial's own kinds, such as rfc2217://
        return port
    if not os.path.exists(port) and os.name == "posix":
        raise DeployError(f"there is no port {port}. {_there_are()}", Status.NO_PORT)
    users = _users(port)
    if users:
        time.sleep(_MOMENT)  # a process that is just being started has what its parent has open
        users = _users(port)
    if users:
        raise DeployError(f"{port} is in use by {', '.join(users)}: end that first", Status.NO_PORT)
    return port


def refusal(port: str) -> DeployError:
    """Why a port that is there could not be opened; it is tried once more to find out."""
    try:
        serial.serial_for_url(port, exclusive=True).close()
    except (OSError, ValueError) as error:
        return DeployError(_reason(port, error), Status.NO_PORT)
    return DeployError(f"{port} could not be opened, and a moment later it could: try again", Status.NO_PORT)


def _reason(port: str, error: Exception) -> str:
    number = getattr(error, "errno", None)
    if number == errno.EACCES:
        return f"{port}: this user may not open it. On Linux: sudo usermod -aG dialout $USER, then log in again"
    if number in (errno.EAGAIN, errno.EBUSY) or "exclusively lock" in str(error):
        return f"{port} is in use by another program (a serial monitor, mpremote, an IDE): end that first"
    return f"{port} cannot be opened: {error}. {_there_are()}"


def _boards() -> list[str]:
    """Ports that something on USB has made; the built-in ones of a PC are none of a board's."""
    return sorted(info.device for info in list_ports.comports() if info.vid is not None)


def _virtual() -> list[str]:
    return [str(known.port) for known in known_boards() if known.up]


def _only(virtual: bool) -> str:
    found = _boards() or (_virtual() if virtual else [])
    if len(found) == 1:
        return found[0]
    if not found:
        raise DeployError(f"no --port was given. {_there_are()}", Status.NO_PORT)
    raise DeployError(f"several boards are there, say which one: --port {' or --port '.join(found)}", Status.NO_PORT)


def _there_are() -> str:
    found = _boards() + _virtual()
    if found:
        return f"There are: {', '.join(found)}"
    return "No board is plugged in: is its cable one that carries data? A virtual board: `redpoll board up NAME` prints its port"


def _users(port: str) -> list[str]:
    """Programs that have the port open, as far as the kernel shows them (Linux)."""
    target = os.path.realpath(port)
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        if folder.name == str(os.getpid()):
            continue
        with contextlib.suppress(OSError):
            if any(os.readlink(fd) == target for fd in (folder / "fd").iterdir()):
                found.append(f"{(folder / 'comm').read_text().strip()} (process {folder.name})")
    return found
