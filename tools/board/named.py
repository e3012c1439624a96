"""Virtual boards that stay: each is a process of its own, found by its name in a folder of this machine.

`build/boards/NAME` (or `$REDPOLL_BOARDS/NAME`) holds its flash, its console's log, `tty` (its serial port) and, while it is up,
`control.json`: where the process (server.py) listens on this machine, and the word without which it does not obey.
"""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.board.errors import BoardError
from tools.board.profile import Profile
from tools.frozen.build import frozen_vm
from tools.paths import BUILD, ROOT
from tools.private import write_private

DEFAULT_PROFILE = "esp32"
_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
ANSWER_SECONDS = 10.0
LINE_BYTES = 65536  # of an order or an answer
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")


@dataclass(frozen=True)
class Known:
    """One board: `up` is whether its process runs."""

    name: str
    profile: str
    up: bool
    port: Path


def folder_of_boards() -> Path:
    """Where they all are."""
    return Path(os.environ.get("REDPOLL_BOARDS") or BUILD / "boards").absolute()


class VirtualBoard:
    """The board of a name, from outside."""

    def __init__(self, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise BoardError(f"a board's name is 1 to 32 letters, digits, '-', '_' and '.', not {name!r}")
        self.name = name
        self.folder = folder_of_boards() / name

    @property
    def port(self) -> Path:
        """Its serial port, the same whenever it is up."""
        return self.folder / "tty"

    def up(self, profile: str | None = None, *, fresh: bool = False, heap: str | None = None, frozen_agent: bool | None = None) -> Path:
        """Switch it on, making it when there is none of this name -> its serial port. One that is up stays as it is.

        `profile` is a folder of boards/ or a chip (default: the one that it has, else esp32); `fresh` erases the flash; `frozen_agent`:
        its MicroPython has the agent frozen in (default: as it is, a new one has not). Raises BoardError, tools.frozen.build.NoFrozenVM.
        """
        known = self._config()
        if self.is_up():
            if profile and Profile.load(profile).name != known["profile"]:
                raise BoardError(f"{self.name} is up and an {known['profile']}; end it first: redpoll board down {self.name}")
            if fresh:
                raise BoardError(f"{self.name} is up; its flash can be erased when it is down: redpoll board down {self.name}")
            return self.port
        wanted = Profile.load(profile or known.get("profile", DEFAULT_PROFILE)).name
        if known and wanted != known["profile"] and not fresh:
            raise BoardError(f"{self.name} is an {known['profile']}; --fresh makes it an {wanted} and erases its flash")
        self.folder.mkdir(parents=True, exist_ok=True)
        if fresh:
            for path in self.folder.glob("flash.*"):
                path.unlink()
        before = {} if fresh else known
        frozen_agent = before.get("frozen_agent", False) if frozen_agent is None else frozen_agent
        if frozen_agent:
            frozen_vm()  # it may have to be built, which takes longer than a board may take to start
        config = {"profile": wanted, "heap": heap or before.get("heap"), "frozen_agent": frozen_agent}
        write_private(self.folder / "board.json", json.dumps(config).encode())
        self._spawn()
        return self.port

    def _spawn(self) -> None:
        log = self.folder / "process.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "tools.board.server", str(self.folder)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=ROOT,
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self.is_up():
            if process.poll() is not None:
                raise BoardError(f"{self.name} did not start: {log.read_text(errors='replace').strip().rpartition(chr(10))[2]}")
            if time.monotonic() > deadline:
                process.kill()
                raise BoardError(f"{self.name} did not start within {_START_SECONDS:g} s; {log} has what it said")
            time.sleep(0.02)

    def down(self) -> None:
        """End it: its power is cut, its flash stays. Raises BoardError when it is not up."""
        self.ask("down")
        deadline = time.monotonic() + _STOP_SECONDS
        while (self.folder / "control.json").exists():
            if time.monotonic() > deadline:
                raise BoardError(f"{self.name} does not end")
            time.sleep(0.02)

    def is_up(self) -> bool:
        """Whether its process answers."""
        try:
            self.ask("hello")
        except BoardError:
            return False
        return True

    def ask(self, what: str, **more: Any) -> Any:
        """Have it do something -> its answer. Raises BoardError with its reason."""
        try:
            with self._connect() as link, link.makefile("rb") as file:
                link.settimeout(ANSWER_SECONDS + more.get("seconds", 0))  # a button is let go of before it answers
                self._send(link, what, more)
                return self._answer(file.readline(LINE_BYTES))
        except OSError as error:
            raise BoardError(f"{self.name} does not answer: {error}") from error

    def console(self) -> Iterator[str]:
        """Its console's lines from now on, until it is down."""
        try:
            with self._connect() as link, link.makefile("rb") as file:
                self._send(link, "console", {})
                self._answer(file.readline(LINE_BYTES))
                link.settimeout(None)
                for line in file:
                    yield line.decode(errors="replace").rstrip("\n")
        except OSError:
            return  # its process was killed

    def state(self) -> Known:
        """What is known of it."""
        return Known(self.name, str(self._config().get("profile", "?")), self.is_up(), self.port)

    def _config(self) -> dict[str, Any]:
        try:
            config: dict[str, Any] = json.loads((self.folder / "board.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return config

    def _connect(self) -> socket.socket:
        try:
            control = json.loads((self.folder / "control.json").read_bytes())
            if not os.path.samefile(control["folder"], self.folder):
                raise ValueError("it is of the board that this folder was copied from")
            link = socket.create_connection(("127.0.0.1", int(control["port"])), timeout=ANSWER_SECONDS)
        except (OSError, ValueError, KeyError, TypeError):
            raise BoardError(f"there is no board {self.name!r} up; redpoll board up {self.name} starts it") from None
        self._word = str(control["word"])
        return link

    def _send(self, link: socket.socket, what: str, more: dict[str, Any]) -> None:
        link.sendall(json.dumps({"word": self._word, "do": what, **more}).encode() + b"\n")

    def _answer(self, line: bytes) -> Any:
        try:
            answer = json.loads(line)
        except ValueError:
            raise BoardError(f"{self.name} does not answer") from None
        if "error" in answer:
            raise BoardError(f"{self.name}: {answer['error']}")
        return answer.get("value")


def known_boards() -> list[Known]:
    """Every board that there is a folder for; one that no board can be called is somebody's copy."""
    names = (path.parent.name for path in sorted(folder_of_boards().glob("*/board.json")))
    return [VirtualBoard(name).state() for name in names if _NAME.fullmatch(name)]


def board_on(port: str) -> Known | None:
    """The board that is up and has this serial port."""
    return next((known for known in known_boards() if known.up and os.path.realpath(known.port) == os.path.realpath(port)), None)
