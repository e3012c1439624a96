"""`redpoll flash`: MicroPython onto a board, through esptool or as a UF2 file."""

import argparse
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.text import Text

from tools import esp_image
from tools.board.named import board_on
from tools.board.profile import Profile, ProfileError
from tools.deploy import ports, product
from tools.deploy.command import add_port, session
from tools.deploy.errors import DeployError, LinkError, Status
from tools.deploy.remote import chip_of
from tools.failures import told
from tools.flash import uf2

T = TypeVar("T")
BAUD = "460800"
_DRIVE_SECONDS = 15.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `redpoll flash`."""
    parser.add_argument(
        "--board", required=True, metavar="NAME", help="see `redpoll boards`; `redpoll boards NAME` tells where its firmware is"
    )
    parser.add_argument("--firmware", type=Path, required=True, metavar="FILE", help="MicroPython for it: .bin for ESP32, .uf2 for RP2")
    add_port(parser)
    parser.add_argument("--drive", type=Path, metavar="FOLDER", help="RP2: where its boot drive is mounted (default: it is looked for)")
    parser.add_argument("--erase", action="store_true", help="ESP32: everything else on its flash goes as well; new boards want it once")
    parser.add_argument("--dry-run", action="store_true", help="check the file and say what would be done")


def run(args: argparse.Namespace) -> int:
    """0; else tools.deploy.errors.Status says what went wrong, and the text what to do."""
    console = Console(highlight=False, soft_wrap=True)
    try:
        profile = Profile.load(args.board)
        data = args.firmware.read_bytes()
        how = profile.firmware["how"]
        if args.port and not args.dry_run and (virtual := board_on(args.port)):
            raise DeployError(
                f"{args.port} is the virtual board {virtual.name!r}: it runs this computer's MicroPython, which is not flashed. It is as a "
                f"board is after flashing: go on with `redpoll provision --port {args.port}`"
            )
        if how == "esptool":
            _flash_esp(profile, data, args, console)
        elif how == "uf2":
            _flash_uf2(profile, data, args, console)
        else:
            raise DeployError(f"{profile.name} is this computer: there is nothing to flash. `redpoll board up NAME` gives a virtual board")
        return Status.OK
    except DeployError as error:
        text, status = str(error), error.status
    except (ProfileError, OSError) as error:
        text, status = told(error), Status.REFUSED
    Console(stderr=True, highlight=False, soft_wrap=True).print(Text(text, style="red"))
    return status


# ---- ESP32 family


def esptool(profile: Profile, port: str, *words: str) -> list[str]:
    """The command line of an esptool call; with the chip named, esptool refuses any other before it changes anything."""
    return [sys.executable, "-m", "esptool", "--chip", str(profile.firmware["esptool_chip"]), "--port", port, "--baud", BAUD, *words]


def _flash_esp(profile: Profile, data: bytes, args: argparse.Namespace, console: Console) -> None:
    _checked(args.firmware, lambda: esp_image.check(data, profile))
    console.print(f"{args.firmware}: for {profile.chip}, {len(data):,} bytes, whole, with the flash layout of {profile.name}")
    # --port may be a board that is not plugged in yet when nothing is to be done
    port = args.port or "PORT" if args.dry_run else ports.usable(args.port, virtual=False)
    write = ["write-flash", *(["--erase-all"] if args.erase else []), hex(profile.firmware["offset"]), str(args.firmware)]
    if args.dry_run:
        what = "the whole flash is erased first" if args.erase else "the file system with its settings stays"
        console.print(f"would run: {shlex.join(esptool(profile, port, *write))}\n{what}. Nothing was changed")
        return
    found = _run(esptool(profile, port, "flash-id"), profile, port)
    size = detected_size(found)
    if size is not None and size < profile.chip_size:
        raise DeployError(
            f"the chip has {size >> 20} MB of flash, {profile.name} needs {profile.chip_size >> 20} MB: `redpoll boards` lists the others"
        )
    _run(esptool(profile, port, *write), profile, port, show=console)
    console.print(f"flashed; next: redpoll provision --port {port}")


def detected_size(said: str) -> int | None:
    """Bytes of flash, from what esptool's flash-id says; None when it does not."""
    found = re.search(r"Detected flash size:\s*(\d+)(KB|MB)", said)
    return int(found[1]) << (20 if found[2] == "MB" else 10) if found else None


def _run(command: list[str], profile: Profile, port: str, show: Console | None = None) -> str:
    """Run esptool -> what it has said. Raises DeployError with what to do."""
    said = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace") as process:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if show:
                show.print(Text(f"  {line.rstrip()}", style="dim"))
    text = "".join(said)
    if process.returncode:
        raise explained(text, profile, port)
    return text


def explained(said: str, profile: Profile, port: str) -> DeployError:
    """esptool's failure as what to do about it."""
    last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "esptool has failed")
    if other := re.search(r"This chip is ([\w-]+)", said):
        return DeployError(f"the chip on {port} is {other[1]}, {profile.name} has {profile.chip}: nothing was changed", Status.REFUSED)
    if "No serial data received" in said or "Failed to connect" in said or "Wrong boot mode" in said:
        return LinkError(
            f"the chip on {port} does not answer. Hold its BOOT button, press EN (or RESET) once, do it again; is it the board's port?",
            Status.NO_PORT,
        )
    if "Permission denied" in said or "could not open port" in said or "port is busy" in said:
        return ports.refusal(port)
    return LinkError(f"esptool: {last}. Do it again; with a long or bad cable nothing else helps than another one")


# ---- RP2


def _flash_uf2(profile: Profile, data: bytes, args: argparse.Namespace, console: Console) -> None:
    size = _checked(args.firmware, lambda: uf2.check(data, profile))
    console.print(f"{args.firmware}: for {profile.chip}, {size:,} bytes, whole; files on the board stay")
    if args.drive is not None and not uf2.is_drive(args.drive, profile):
        raise DeployError(f"{args.drive} is not the boot drive of {profile.name} ({profile.firmware['volume']})", Status.NO_PORT)
    if args.dry_run:
        console.print(f"would be copied to {args.drive or 'its boot drive'}. Nothing was changed")
        return
    drive = args.drive
    if drive is None and args.port is not None:
        _to_bootloader(profile, args.port, args.via)
        drive = uf2.wait_for_drive(profile, _DRIVE_SECONDS)
    drive = drive or uf2.find_drive(profile)
    console.print(f"copying to {drive}")
    uf2.copy(data, drive, profile)
    console.print("flashed; the board starts MicroPython. Next: redpoll provision --port PORT")


def _to_bootloader(profile: Profile, port: str, via: str) -> None:
    with session(port, via) as connection:
        try:
            connection.enter(fresh=False)
        except LinkError as error:
            if error.status is not Status.NO_MICROPYTHON:
                raise
            raise LinkError(
                f"no MicroPython answers on {port}, which could send the board to its boot drive: hold BOOTSEL while you plug it in, and "
                "leave --port out",
                error.status,
            ) from None
        # without the prelude of other commands, whose watchdog would end the bootloader
        if machine := connection.ask("getattr(__import__('sys').implementation, '_machine', '')"):
            product.check_chip(chip_of(machine), machine, profile)
        connection.start("import machine\nmachine.bootloader()")


def _checked(path: Path, check: Callable[[], T]) -> T:
    try:
        return check()
    except (DeployError, esp_image.EspImageError) as error:
        raise DeployError(f"{path}: {error}") from None
