"""The process that plays a board which stays: `python -m tools.board.server FOLDER`, started by named.py.

It takes orders on a port of this machine: one line of JSON, {"word", "do", ...}, answered with {"value"} or {"error"}. After "console" the
console's lines follow.
"""

import contextlib
import json
import os
import secrets
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any

from tools.board.errors import BoardError
from tools.board.named import ANSWER_SECONDS, LINE_BYTES
from tools.board.process import Board

_LOG_BYTES = 1 << 20  # then the console's log begins anew; the one before is kept beside it


class Server:
    """Plays the board and obeys who knows the word."""

    def __init__(self, folder: Path) -> None:
        config = json.loads((folder / "board.json").read_bytes())
        self._folder = folder
        self._word = secrets.token_hex(16)
        self._over = threading.Event()
        self._listeners: list[socket.socket] = []
        self._lock = threading.Lock()
        self._log = (folder / "console.log").open("ab", buffering=0)
        self._board = Board(
            folder,
            board=config["profile"],
            heap=config["heap"],
            bare=True,
            terminal=folder / "tty",
            on_line=self._console_line,
            frozen_agent=config["frozen_agent"],
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
            about = {"port": server.getsockname()[1], "word": self._word, "pid": os.getpid(), "folder": str(self._folder)}
            draft.write_text(json.dumps(about))
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
            link.settimeout(ANSWER_SECONDS)
            with link.makefile("rb") as file:
                order = json.loads(file.readline(LINE_BYTES))
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
        with contextlib.suppress(OSError):  # on a full disk the board goes on without its log
            self._keep(data)
        with self._lock:
            for link in self._listeners[:]:
                try:
                    link.settimeout(0.2)
                    link.sendall(data)
                except OSError:  # it has gone, or does not read
                    self._listeners.remove(link)
                    link.close()

    def _keep(self, data: bytes) -> None:
        if self._log.tell() > _LOG_BYTES:
            path = self._folder / "console.log"
            with contextlib.suppress(FileNotFoundError):  # moved before, when there was no room for a new one
                path.replace(path.with_suffix(".log.1"))
            moved, self._log = self._log, path.open("ab", buffering=0)
            moved.close()
        self._log.write(data)


def main() -> int:
    """Until it is told to end. Exit status 1 with the reason on standard error when the board does not start."""
    try:
        Server(Path(sys.argv[1])).serve()
    except Exception as error:  # noqa: BLE001 - the process's edge: `up` shows the last line
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
