"""`redpoll run`: a hub, one board, and a live view of what happens between them, judged in the end (demonstration.py)."""

import argparse
import shutil
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from tools.board.command import add_attach
from tools.board.errors import BoardError
from tools.board.firmware import check_main
from tools.board.process import Board
from tools.board.wiring import Wiring
from tools.demonstration import HEAP, INTERVAL, NEEDED_MESSAGES, Demonstration, Product
from tools.failures import told
from tools.hub.process import HubProcess, ProcessError
from tools.hub.security.authority import CA_FILE
from tools.live_view import View
from tools.mpy import CompileError
from tools.paths import BUILD, ROOT
from tools.vm import NoMicroPython

ENOUGH, ENOUGH_TO_UPDATE, ENOUGH_TO_ROLL_BACK = 20, 45, 90  # seconds
PICTURE_WIDTH = 120  # characters


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `redpoll run`."""
    parser.add_argument("--transport", choices=("mqtt", "http"), default="mqtt", help="how the board talks to the hub")
    parser.add_argument("--for", dest="seconds", type=_seconds, metavar="SECONDS", help="stop then, and say whether all went well")
    parser.add_argument("--until-done", action="store_true", help="stop as soon as all has happened")
    parser.add_argument(
        "--main", type=Path, metavar="FILE|FOLDER", help="the product, instead of firmware/main.py: its main.py or its folder"
    )
    add_attach(parser)
    parser.add_argument("--broker", default="embedded:0", help="as `redpoll hub` takes it (default: embedded on a free port)")
    parser.add_argument("--bad-update", action="store_true", help="the update is one that fails when it starts, and is rolled back")
    parser.add_argument("--no-tls", action="store_true", help="plain HTTP and MQTT")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="also save what was shown as a picture")


def run(args: argparse.Namespace) -> int:
    """Run until Ctrl-C, or for --for seconds and then judge: 0 only when everything the demonstration promises has happened."""
    console = _console(args.svg)
    folder = BUILD / "run" / uuid.uuid4().hex[:8]
    good = True
    try:
        if args.main is not None:
            check_main(args.main)
        for part in args.attach or ():
            Wiring().attach(part)  # before a hub is started for it
        if args.svg is not None:
            args.svg.touch()
        folder.mkdir(parents=True)
        with HubProcess(data=folder / "hub", broker=args.broker, tls=not args.no_tls) as hub:
            good = _demonstrate(console, hub, folder, args)
    except KeyboardInterrupt:
        console.print("\nstopped")
    except (ProcessError, BoardError, CompileError, NoMicroPython, OSError) as error:
        console.print(Text(told(error), style="red"), soft_wrap=True)
        return 2
    finally:
        if good:
            shutil.rmtree(folder, ignore_errors=True)
    if args.svg is not None:
        console.save_svg(str(args.svg), title="make run")
    if not good:
        console.print(f"\nwhat the hub and the board left is in {folder.relative_to(ROOT)}")
    return 0 if good else 1


def _console(picture: Path | None) -> Console:
    if picture is None:
        return Console(highlight=False)
    return Console(highlight=False, record=True, force_terminal=True, color_system="truecolor", width=PICTURE_WIDTH)


def _demonstrate(console: Console, hub: HubProcess, folder: Path, args: argparse.Namespace) -> bool:
    serial = "demo-" + folder.name
    settings = {"entry": hub.entry_url, "sn": serial, "name": "demo board", "transport": args.transport}
    settings["license_key"] = hub.operator.license_key()
    product = None if args.main else Product(folder / "product", bad=args.bad_update)
    if product is not None:
        settings["update_key"] = product.public_key
        settings["trial_timeout"] = 20
        if args.transport == "mqtt":
            settings["report"] = ["kura", "astarte"]
    files: dict[str, bytes] = {}
    if hub.ca is not None:
        settings["ca"] = CA_FILE
        files[CA_FILE] = hub.ca.read_bytes()
    view = View(console, hub.operator, brief=True)
    demonstration = Demonstration(hub.operator, serial, product, args.transport)
    _say_hello(console, hub, args, ENOUGH if product is None else ENOUGH_TO_ROLL_BACK if product.bad else ENOUGH_TO_UPDATE)
    view.header()
    main: Path | None = args.main
    more: dict[str, Any] = {}
    if product is not None:
        main = product.main
        # with a terminal it stays on when its program fails, as a board does
        more = {"heap": HEAP, "terminal": folder / "serial"}
    board = Board(folder / "board", settings, main=main, files=files, on_line=view.console_line, **more)
    for part in args.attach or ():
        board.wired.attach(part)
    with board:
        for work in (view.follow, demonstration.direct):
            threading.Thread(target=work, daemon=True).start()
        deadline = None if args.seconds is None else time.monotonic() + args.seconds
        while (deadline is None or time.monotonic() < deadline) and board.running and hub.running:
            board.wait(0.2 if not args.until_done else 1.0)
            if args.until_done and demonstration.is_done():
                break
        demonstration.stop.set()
        view.done = True
        return _judge(console, demonstration, board, hub)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds < 1e9:
        raise argparse.ArgumentTypeError(f"seconds such as 40, not {text!r}")
    return seconds


def _say_hello(console: Console, hub: HubProcess, args: argparse.Namespace, enough: int) -> None:
    over = args.transport.upper() + ("" if args.no_tls else " and TLS")
    console.print(f"[bold]Redpoll[/]  a hub and one board on the real MicroPython VM, over [bold]{over}[/]")
    console.print(f"  hub      {hub.url}   (activity: GET /activity)")
    console.print(f"  broker   {hub.mqtt_url}")
    console.print("  stop     with Ctrl-C" if args.seconds is None else f"  stop     after {args.seconds:g} s, or Ctrl-C")
    if args.seconds is not None and args.seconds < enough:
        console.print(f"  note     {NEEDED_MESSAGES} messages {INTERVAL} s apart may take longer; {enough} s are enough")
    console.print()


def _judge(console: Console, demonstration: Demonstration, board: Board, hub: HubProcess) -> bool:
    console.print()
    if not hub.running:
        console.print(Text("the hub ended by itself; its last lines:", style="red"))
        console.print(Text(hub.output()))
        return False
    verdicts = demonstration.verdicts()
    if demonstration.trouble:
        verdicts.append(("the operator's calls succeeded", False, demonstration.trouble))
    if not board.running:
        verdicts.append(("the board kept running", False, "it ended by itself"))
    for promise, kept, seen in verdicts:
        console.print(Text.assemble(("  yes  ", "green") if kept else ("  NO   ", "bold red"), f"{promise}: {seen}"), soft_wrap=True)
    good = all(kept for _, kept, _ in verdicts)
    if not good:
        console.print(Text("\nthe board's last lines:", style="red"))
        for line in list(board.lines)[-30:]:
            console.print(Text("  " + line), soft_wrap=True)
    return good
