"""`redpoll board`: one virtual board in the foreground, its console on ours; `up`, `down` and others: boards that stay, by their names."""

import argparse
import json
import re
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from tools.board.errors import BoardError
from tools.board.firmware import SETTING_FILES, check_main, file_beside
from tools.board.named import DEFAULT_PROFILE, VirtualBoard, known_boards
from tools.board.page import RADIO
from tools.board.process import Board
from tools.board.profile import Profile, ProfileError, heap_bytes
from tools.board.wiring import PARTS
from tools.failures import nobody_reads, told
from tools.frozen.build import NoFrozenVM
from tools.mpy import CompileError
from tools.paths import BUILD
from tools.vm import NoMicroPython

_PART = f"{' or '.join(sorted(PARTS))}, or with what it measures: aht20,temperature=21.5,humidity=40"
# what an action takes beside the board's name
_OPTIONS = {
    "power-cut": ("at_write",),
    "wifi": ("to",),
    "network": ("silent", "delay", "dribble", "no_ntp"),
    "button": ("seconds", "pin"),
    "attach": ("part",),
    "detach": ("part",),
    "volts": ("pin", "volts"),
}

_SMALLEST_HEAP = 8192  # bytes; with less the VM only prints its usage

# how MicroPython prints an exception
_TRACEBACK = "Traceback (most recent call last):"
_PLACE = re.compile(r'  File ".*", line \d')
_OF_CTRL_C = "KeyboardInterrupt:"

_FROZEN = "its MicroPython has the agent frozen in, as with boards/<name>/manifest.py; built from source if need be"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `redpoll board`."""
    parser.add_argument(
        "--flash", type=Path, metavar="FILE", default=BUILD / "board" / "flash.img", help="image file of its flash, made when missing"
    )
    parser.add_argument("--fresh", action="store_true", help="erase the flash first")
    parser.add_argument(
        "--settings",
        type=Path,
        metavar="FILE",
        help="becomes settings.json on the flash, with the files beside it that it names, such as a CA; else what is there stays",
    )
    parser.add_argument(
        "--main", type=Path, metavar="FILE|FOLDER", help="the product, instead of firmware/main.py: its main.py or its folder"
    )
    add_attach(parser)
    parser.add_argument("--board", default="unix", metavar="NAME", help="a folder of boards/ (default: unix)")
    parser.add_argument("--heap", type=_heap, metavar="SIZE", help="such as 192K (default: the board's)")
    parser.add_argument("--frozen-agent", action="store_true", help=_FROZEN)
    _add_actions(parser.add_subparsers(title="boards that stay", metavar="ACTION", dest="action"))


def add_attach(parser: argparse.ArgumentParser, default: object = None) -> None:
    """The option --attach."""
    parser.add_argument(
        "--attach", action="append", default=default, metavar="PART", help=f"wire a sensor to its I2C bus: {_PART} (repeatable)"
    )


def _add_actions(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    def add(name: str, summary: str, named: bool = True) -> argparse.ArgumentParser:
        parser = actions.add_parser(name, help=summary, description=summary)
        if named:
            parser.add_argument("name", metavar="NAME", help="the board's name")
        return parser

    up = add("up", "switch a board on and print its serial port, for mpremote and others; it goes on until `down`")
    up.add_argument(
        "--profile",
        "--board",
        dest="profile",
        metavar="NAME",
        help=f"what it is: {', '.join(Profile.names())} (default: {DEFAULT_PROFILE})",
    )
    up.add_argument("--fresh", action="store_true", default=argparse.SUPPRESS, help="erase its flash first")
    up.add_argument("--heap", type=_heap, metavar="SIZE", default=argparse.SUPPRESS, help="such as 192K (default: the profile's)")
    up.add_argument("--frozen-agent", action="store_true", default=argparse.SUPPRESS, help=f"{_FROZEN}; it stays so")
    add_attach(up, argparse.SUPPRESS)
    add("down", "switch it off; its flash stays")
    add("list", "every board, what it is and where its serial port is", named=False)
    add("console", "follow what it says, without disturbing whoever uses its serial port")
    add("reset", "press its reset button")
    cut = add("power-cut", "cut its power; it comes back at once")
    cut.add_argument(
        "--at-write", type=_write_number, metavar="N", help="not now, but in the middle of the N-th write to its flash from now on"
    )
    wifi = add("wifi", "its access point")
    wifi.add_argument(
        "to", choices=tuple(RADIO), help="off: it is gone; no-dns: names are not resolved; captive-portal: it wants a sign-in"
    )
    network = add("network", "disturb its network behind the access point; without options all is well again")
    network.add_argument("--silent", action="store_true", help="nothing passes, and nobody is told")
    network.add_argument("--delay", type=_seconds, default=0.0, metavar="SECONDS", help="everything comes so late")
    network.add_argument("--dribble", action="store_true", help="every byte comes alone")
    network.add_argument("--no-ntp", action="store_true", help="nobody tells the time")
    button = add("button", "press its button (boards/<profile>/board.toml says the pin)")
    button.add_argument("--seconds", type=_seconds, default=0.2, help="for how long (default: 0.2)")
    button.add_argument("--pin", type=int, help="another input than the button's, pulled low")
    attach = add("attach", "wire a sensor to its I2C bus, or change what one that is there measures")
    attach.add_argument("part", metavar="PART", help=_PART)
    detach = add("detach", "pull a sensor off its I2C bus")
    detach.add_argument("part", choices=sorted(PARTS))
    volts = add("volts", "apply a voltage to an analogue input")
    volts.add_argument("pin", type=int, metavar="PIN", help="the input's GPIO number")
    volts.add_argument("volts", type=float, metavar="VOLTS", help="0 to 3.3, what a pin bears")


def _heap(text: str) -> str:
    try:
        if heap_bytes(text) >= _SMALLEST_HEAP:
            return text
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"a size such as 192K or 2M, not {text!r}")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"seconds from 0 to 3600, not {text!r}")
    return seconds


def _write_number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) >= 1 << 32:
        raise argparse.ArgumentTypeError(f"a number such as 3, or 0 for none, not {text!r}")
    return int(text)


def _act(args: argparse.Namespace) -> int:
    if args.action == "list":
        for known in known_boards():
            print(f"{known.name:16} {known.profile:12} {'up  ' if known.up else 'down'}  {known.port if known.up else ''}".rstrip())
        return 0
    board = VirtualBoard(args.name)
    if args.action == "up":
        print(board.up(args.profile, fresh=args.fresh, heap=args.heap, frozen_agent=args.frozen_agent or None))
        for part in args.attach or ():
            board.ask("attach", part=part)
    elif args.action == "down":
        board.down()
    elif args.action == "console":
        if board.is_up():
            before = board.folder / "console.log"
            print(f"what {args.name} says from now on, until Ctrl-C; what it said before is in {before}", file=sys.stderr)
        try:
            for line in board.console():
                print(line, flush=True)
        except BrokenPipeError:
            nobody_reads()
    else:
        board.ask(args.action, **{name: getattr(args, name) for name in _OPTIONS.get(args.action, ())})
    return 0


def run(args: argparse.Namespace) -> int:
    """Run it until Ctrl-C (0), or until its program ends: 0 when main.py returned, 1 when it raised or the board could not start."""
    try:
        if args.action:
            return _act(args)
        settings = _read_settings(args.settings)
        if args.main is not None:
            check_main(args.main)
        stop = threading.Event()
        shown = _Shown(stop)
        board = Board(
            args.flash.parent,
            settings,
            heap=args.heap,
            main=args.main,
            files=_files_beside(args.settings, settings),
            board=args.board,
            flash=args.flash,
            on_line=shown.add,
            frozen_agent=args.frozen_agent,
        )
        for part in args.attach or ():
            board.wired.attach(part)
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
        try:
            return _watch(board, stop)
        finally:
            shown.end()
    except (BoardError, ProfileError, CompileError, NoFrozenVM, NoMicroPython, OSError) as error:
        print(f"redpoll board: {told(error)}", file=sys.stderr)
        return 1


class _Shown:
    """Prints what the board says; once `stop` is set, without the traceback of the interrupt: that is no news to whoever has done it."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        # the beginning of a traceback whose last line is not there yet
        self._held: list[str] = []

    def add(self, line: str) -> None:
        if self._held and line.startswith(_OF_CTRL_C):
            self._held.clear()
        elif self._held and _PLACE.match(line):
            self._held.append(line)
        else:
            self.end()
            if self._stop.is_set() and line == _TRACEBACK:
                self._held.append(line)
            else:
                print(line, flush=True)

    def end(self) -> None:
        """Nothing more comes."""
        for line in self._held:
            print(line, flush=True)
        self._held.clear()


def _watch(board: Board, stop: threading.Event) -> int:
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


def _files_beside(path: Path | None, settings: dict[str, Any] | None) -> dict[str, bytes]:
    """What the settings name as they do on a board, a path from their own folder, as far as it is there."""
    if path is None or settings is None:
        return {}
    found = [file_beside(path, settings.get(key)) for key in SETTING_FILES]
    return {local.name: local.read_bytes() for local in found if local is not None}
