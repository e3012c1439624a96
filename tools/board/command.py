"""`redpoll board`: one virtual board in the foreground, its console on ours."""

import argparse
import json
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from tools.board.errors import BoardError
from tools.board.process import Board
from tools.board.profile import ProfileError
from tools.mpy import CompileError
from tools.paths import BUILD
from tools.vm import NoMicroPython


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `redpoll board`."""
    parser.add_argument(
        "--flash", type=Path, metavar="FILE", default=BUILD / "board" / "flash.img", help="image file of its flash, made when missing"
    )
    parser.add_argument("--fresh", action="store_true", help="erase the flash first")
    parser.add_argument("--settings", type=Path, metavar="FILE", help="becomes settings.json on the flash; else what is there stays")
    parser.add_argument("--main", type=Path, metavar="FILE", help="instead of firmware/main.py")
    parser.add_argument("--board", default="unix", metavar="NAME", help="a folder of boards/ (default: unix)")
    parser.add_argument("--heap", metavar="SIZE", help="such as 192K (default: the board's)")


def run(args: argparse.Namespace) -> int:
    """Run it until Ctrl-C (0), or until its program ends: 0 when main.py returned, 1 when it raised or the board could not start."""
    try:
        settings = _read_settings(args.settings)
        if args.main is not None and not args.main.is_file():
            raise BoardError(f"--main {args.main}: there is no such file")
        board = Board(
            args.flash.parent,
            settings,
            heap=args.heap,
            main=args.main,
            board=args.board,
            flash=args.flash,
            on_line=lambda line: print(line, flush=True),
        )
        if args.fresh:
            board.image.create(fresh=True)
        changed = board.install()
        if settings is None and "/settings.json" not in board.list_files():
            print("redpoll board: there is no settings.json on this flash; --settings FILE puts one there", file=sys.stderr)
        print(
            f"redpoll board: {board.profile.name}, {board.heap} heap, flash {args.flash} ({changed} files written)",
            file=sys.stderr,
            flush=True,
        )
        return _watch(board)
    except (BoardError, ProfileError, CompileError, NoMicroPython, OSError) as error:
        print(f"redpoll board: {error}", file=sys.stderr)
        return 1


def _watch(board: Board) -> int:
    stop = threading.Event()
    # not as KeyboardInterrupt: that could come between the start of the VM and our hold of it
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with board:
            while not board.wait(0.1):
                if stop.is_set():
                    return 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    print("redpoll board: main.py has failed" if board.crashed else "redpoll board: main.py has ended", file=sys.stderr)
    return 1 if board.crashed else 0


def _read_settings(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    try:
        settings = json.loads(path.read_bytes())
    except OSError as error:
        raise BoardError(f"--settings {path}: {error.strerror}") from None
    except ValueError as error:
        raise BoardError(f"{path}: not JSON: {error}") from None
    if not isinstance(settings, dict):
        raise BoardError(f"{path}: must be a JSON object")
    return settings
