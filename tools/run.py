"""`redpoll run`: a hub, one board, and a live view of what happens between them, from registration to an update over the air."""

import argparse
import hashlib
import shutil
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.text import Text

from tools import keys
from tools.board.command import add_attach
from tools.board.errors import BoardError
from tools.board.firmware import check_main
from tools.board.process import Board
from tools.bundle.command import build
from tools.hub.client import HubError, OperatorClient
from tools.hub.process import HubProcess, ProcessError
from tools.hub.security.authority import CA_FILE
from tools.live_view import View
from tools.paths import BUILD, FIRMWARE, ROOT
from tools.vm import NoMicroPython

INTERVAL = 5  # seconds between readings that the operator configures
NEEDED_MESSAGES = 3
ENOUGH, ENOUGH_TO_UPDATE, ENOUGH_TO_ROLL_BACK = 20, 45, 90  # seconds
OLD, NEW = "1.0.0", "1.1.0"  # versions of the product
UPDATER = FIRMWARE / "redpoll" / "update" / "service.py"
HEAP = "384K"  # for an update: objects of the 64-bit VM take twice what a board's take, and an RP2040 has 192 KB
SPACE = "demo-hall"
PICTURE_WIDTH = 120  # characters
COMMANDS: list[tuple[str, dict[str, Any]]] = [("blink", {"times": 3}), ("ping", {})]


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
    if args.main is not None:
        try:
            check_main(args.main)
        except BoardError as error:
            console.print(Text(str(error), style="red"))
            return 2
    folder = BUILD / "run" / uuid.uuid4().hex[:8]
    folder.mkdir(parents=True)
    good = True
    try:
        with HubProcess(data=folder / "hub", broker=args.broker, tls=not args.no_tls) as hub:
            good = _demonstrate(console, hub, folder, args)
    except KeyboardInterrupt:
        console.print("\nstopped")
    except (ProcessError, BoardError, NoMicroPython) as error:
        console.print(Text(str(error), style="red"))
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
    product = None if args.main or not UPDATER.exists() else Product(folder / "product", bad=args.bad_update)
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


class Product:
    """firmware/main.py as the version that the board is set up with, and a bundle of the next one."""

    def __init__(self, folder: Path, *, bad: bool) -> None:
        folder.mkdir(parents=True)
        self.bad = bad
        self.main = folder / "main.py"
        source = (FIRMWARE / "main.py").read_text()
        self.main.write_text(source.replace("agent = Agent()", f'agent = Agent(version="{OLD}")'))
        new = folder / NEW
        new.mkdir()
        begins = 'raise RuntimeError("this version does not start")' if bad else f'print("version {NEW} says hello")'
        (new / "main.py").write_text(f"{begins}\n{source}")
        # something to download that no packing makes small
        (new / "pictures.bin").write_bytes(b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(3072)))
        key = folder / "update.key"
        keys.make_private(key)
        self.public_key = keys.public_pem(keys.load_private(key))
        self.bundle = build(new, key, NEW, name="demo")


@dataclass
class Demonstration:
    """Plays the operator: claims the board, changes its interval, queues two commands, updates it; knows what has happened so far."""

    operator: OperatorClient
    serial: str
    product: Product | None
    transport: str
    stop: threading.Event = field(default_factory=threading.Event)
    device_id: str | None = None
    config_version: int | None = None
    trouble: str | None = None
    update: str | None = None  # its UUID, or over HTTP the command's id

    def direct(self) -> None:
        """Do it, step by step, as soon as the board is there."""
        try:
            while self.device_id is None and not self.stop.wait(0.1):
                self.device_id = next((d["id"] for d in self.operator.devices() if d["sn"] == self.serial), None)
            if self.device_id is None:
                return
            self.operator.set_space(SPACE, name="Demo hall")
            self.operator.claim(name="demo board", space_id=SPACE, sn=self.serial)
            self.config_version = self.operator.configure(self.device_id, {"interval": INTERVAL, "label": "demo"})["config_version"]
            for name, parameters in COMMANDS:
                self.operator.command(self.device_id, name, parameters)
            if self.product is not None:
                self._update(self.device_id, self.product)
        except (HubError, httpx.TransportError) as error:
            self.trouble = str(error)

    def _update(self, device_id: str, product: Product) -> None:
        """Ask for the update when the rest is done, by Edgehog's request or, for a board that polls, by a command."""
        while any(command["status"] in ("pending", "in_progress") for command in self.operator.commands(device_id)):
            if self.stop.wait(0.2):
                return
        file_id = self.operator.upload_file(product.bundle, f"demo-{NEW}.zip", file_type="bundle")["id"]
        if self.transport == "mqtt":
            self.update = self.operator.request_update(device_id, file_id=file_id)["uuid"]
        else:
            self.update = self.operator.command(device_id, "update_firmware", file_id=file_id)["id"]

    def _verdict_of_update(self, device: dict[str, Any]) -> tuple[str, bool, str]:
        """The same for the update."""
        assert self.product is not None
        runs, seen = device["firmware_version"], "not asked for"
        if self.update is not None and self.transport == "mqtt":
            update = self.operator.update(device["id"], self.update)
            seen = ": ".join(part for part in (update["status"] or "not answered", update["code"], update["message"]) if part)
        elif self.update is not None:
            command = next(item for item in self.operator.commands(device["id"]) if item["id"] == self.update)
            seen = f"{command['status']} {command['message'] or ''}".strip()
        if self.product.bad:
            promise = f"the update to {NEW}, which does not start, was rolled back"
            return promise, runs == OLD and "SystemRollback" in seen, f"{seen}; {runs} runs"
        ended = seen.startswith(("Success", "done"))
        return f"the update from {OLD} to {NEW} succeeded", runs == NEW and ended, f"{seen}; {runs} runs"

    def is_done(self) -> bool:
        """Whether everything promised has happened."""
        return all(kept for _, kept, _ in self.verdicts())

    def verdicts(self) -> list[tuple[str, bool, str]]:
        """(what had to happen, whether it did, what was seen) for each promise."""
        if self.device_id is None:
            return [("the board registered", False, "no device in the hub")]
        device = self.operator.device(self.device_id)
        messages = len(self.operator.history(self.device_id))
        enough = messages >= NEEDED_MESSAGES
        confirmed = device["device_config_version"]
        in_force = device["configuration"].get("interval")
        verdicts = [
            ("the board registered", True, self.device_id),
            (
                f"at least {NEEDED_MESSAGES} telemetry messages were acknowledged",
                enough,
                f"{messages}" if enough else f"{messages}; where sensors are read more seldom than every {INTERVAL} s, give more time",
            ),
            (
                "the configuration was applied and confirmed",
                self.config_version is not None and confirmed is not None and confirmed >= self.config_version and in_force == INTERVAL,
                f"version {self.config_version} set, {confirmed} confirmed"
                + ("" if in_force == INTERVAL else f"; the board has refused the interval of {INTERVAL} s"),
            ),
        ]
        states = {command["name"]: command for command in self.operator.commands(self.device_id)}
        for name, _ in COMMANDS:
            command = states.get(name, {})
            if (command.get("message") or "").startswith("this device has no command"):
                continue  # the product is another one than ours; its console says so
            seen = f"{command.get('status', 'not queued')} {command.get('message') or ''}".strip()
            verdicts.append((f"the command {name} is done", command.get("status") == "done", seen))
        if self.product is not None:
            verdicts.append(self._verdict_of_update(device))
        return verdicts


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
