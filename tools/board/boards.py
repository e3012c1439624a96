"""Virtual boards that stay: each is a process of its own, found by its name in a folder of this machine.

`build/boards/NAME` (or `$REDPOLL_BOARDS/NAME`) holds its flash, its console's log, `tty` (its serial port) and, while it is up,
`control.json`: where the process listens on this machine, and the word without which it does not obey.
"""

import contextlib
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.board.errors import BoardError
from tools.board.process import Board
from tools.board.profile import Profile
from tools.paths import BUILD, ROOT

DEFAULT_PROFILE = "esp32"
_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
_ANSWER_SECONDS = 10.0
_LOG_BYTES = 1 << 20  # then the console's log begins anew; the one before is kept beside it
_LINE = 65536


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
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}", name):
            raise BoardError(f"a board's name is 1 to 32 letters, digits, '-', '_' and '.', not {name!r}")
        self.name = name
        self.folder = folder_of_boards() / name

    @property
    def port(self) -> Path:
        """Its serial port, the same whenever it is up."""
        return self.folder / "tty"

    def up(self, profile: str | None = None, *, fresh: bool = False, heap: str | None = None) -> Path:
        """Switch it on, making it when there is none of this name -> its serial port. One that is up stays as it is.

        `profile` is a folder of boards/ or a chip (default: the one that it has, else esp32); `fresh` erases the flash. Raises
        BoardError.
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
        config = {"profile": wanted, "heap": heap or (known.get("heap") if not fresh else None)}
        (self.folder / "board.json").write_text(json.dumps(config))
        self._spawn()
        return self.port

    def _spawn(self) -> None:
        log = self.folder / "process.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "tools.board.boards", str(self.folder)],
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
                self._send(link, what, more)
                return self._answer(file.readline(_LINE))
        except OSError as error:
            raise BoardError(f"{self.name} does not answer: {error}") from error

    def console(self) -> Iterator[str]:
        """Its console's lines from now on, until it is down."""
        try:
            with self._connect() as link, link.makefile("rb") as file:
                self._send(link, "console", {})
                self._answer(file.readline(_LINE))
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
            link = socket.create_connection(("127.0.0.1", int(control["port"])), timeout=_ANSWER_SECONDS)
        except (OSError, ValueError, KeyError):
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
    """Every board that there is a folder for."""
    return [VirtualBoard(path.parent.name).state() for path in sorted(folder_of_boards().glob("*/board.json"))]


def board_on(port: str) -> Known | None:
    """The board that is up and has this serial port."""
    return next((known for known in known_boards() if known.up and os.path.realpath(known.port) == os.path.realpath(port)), None)


# --- inside the process


class Server:
    """The process that plays a board and obeys who knows the word."""

    def __init__(self, folder: Path) -> None:
        config = json.loads((folder / "board.json").read_bytes())
        self._folder = folder
        self._word = secrets.token_hex(16)
        self._over = threading.Event()
        self._listeners: list[socket.socket] = []
        self._lock = threading.Lock()
        self._log = (folder / "console.log").open("ab", buffering=0)
        self._board = Board(
            folder, board=config["profile"], heap=config["heap"], bare=True, terminal=folder / "tty", on_line=self._console_line
        )

    def serve(self) -> None:
        """Until it is told to end, or by SIGTERM."""
        signal.signal(signal.SIGTERM, lambda *_: self._over.set())
        signal.signal(signal.SIGINT, lambda *_: self._over.set())
        control = self._folder / "control.json"
        with self._board, socket.create_server(("127.0.0.1", 0)) as server:
            threading.Thread(target=self._accept, args=(server,), daemon=True).start()
            draft = control.with_suffix(".new")
            draft.touch(mode=0o600)
            draft.write_text(json.dumps({"port": server.getsockname()[1], "word": self._word, "pid": os.getpid()}))
            draft.rename(control)
            try:
                self._over.wait()
            finally:
                self._board.kill()
                control.unlink(missing_ok=True)

    def _accept(self, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                link, _ = server.accept()
                threading.Thread(target=self._talk, args=(link,), daemon=True).start()

    def _talk(self, link: socket.socket) -> None:
        try:
            link.settimeout(_ANSWER_SECONDS)
            with link.makefile("rb") as file:
                order = json.loads(file.readline(_LINE))
            if not secrets.compare_digest(str(order.pop("word", "")), self._word):
                raise BoardError("the word is wrong")
            what = str(order.pop("do"))
            answer: dict[str, Any] = {"value": self._do(what, order)}
        except (BoardError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            what, answer = "", {"error": str(error)}
        with contextlib.suppress(OSError):
            link.sendall(json.dumps(answer).encode() + b"\n")
            if what == "console":
                with self._lock:
                    self._listeners.append(link)
                return
        link.close()

    def _do(self, what: str, order: dict[str, Any]) -> Any:
        board = self._board
        if what in ("hello", "console"):
            return {"profile": board.profile.name, "lines": board.line_count}
        if what == "down":
            self._over.set()
        elif what == "power-cut":
            if order.get("at_write") is None:
                board.power_cut()
            else:
                board.cut_power_at_write(int(order["at_write"]))
        elif what == "reset":
            board.restart()
        elif what == "wifi":
            board.wifi(str(order["to"]))
        elif what == "network":
            for name in ("silent", "dribble"):
                setattr(board.air, name, bool(order.get(name, False)))
            board.air.ntp = not order.get("no_ntp", False)
            board.air.delay = float(order.get("delay", 0.0))
        elif what == "button":
            board.press(float(order.get("seconds", 0.2)), order.get("pin"))
        elif what == "attach":
            board.wired.attach(str(order["part"]))
        elif what == "detach":
            board.wired.detach(str(order["part"]))
        elif what == "volts":
            board.wired.apply_volts(int(order["pin"]), float(order["volts"]))
        elif what == "pins":
            return board.pins
        else:
            raise BoardError(f"a board does not know {what!r}")
        return None

    def _console_line(self, line: str) -> None:
        data = line.encode(errors="replace") + b"\n"
        if self._log.tell() > _LOG_BYTES:
            path = self._folder / "console.log"
            path.replace(path.with_suffix(".log.1"))
            self._log.close()
            self._log = path.open("ab", buffering=0)
        self._log.write(data)
        with self._lock:
            for link in self._listeners[:]:
                try:
                    link.settimeout(0.2)
                    link.sendall(data)
                except OSError:  # it has gone, or does not read
                    self._listeners.remove(link)
                    link.close()


def main() -> int:
    """`python -m tools.board.boards FOLDER`: what VirtualBoard.up starts."""
    try:
        Server(Path(sys.argv[1])).serve()
    except Exception as error:  # noqa: BLE001 - the process's edge: `up` shows the last line
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
