"""`redpoll boards`: what there is support for, and one board in full."""

import argparse
import sys

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tools.board.profile import Profile, ProfileError
from tools.paths import ROOT


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `redpoll boards`."""
    parser.add_argument("name", nargs="?", help="show this board in full")


def run(args: argparse.Namespace) -> int:
    """0, or 2 for a name that is none."""
    console = Console(highlight=False)
    if args.name is None:
        console.print(listed([Profile.load(name) for name in Profile.names()]))
        console.print("`redpoll boards NAME` tells how it is wired, what to buy and where its MicroPython is")
        return 0
    try:
        profile = Profile.load(args.name)
    except ProfileError as error:
        print(error, file=sys.stderr)
        return 2
    for line in described(profile):
        console.print(Text(line))
    return 0


def listed(profiles: list[Profile]) -> Table:
    """All of them, a row each."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("NAME", "CHIP", "FLASH", "FILES", "HEAP", "WHAT"):
        table.add_column(title, overflow="fold", justify="right" if title in ("FLASH", "FILES", "HEAP") else "left")
    for profile in profiles:
        chip_size = _size(profile.chip_size) if profile.chip_size else "-"
        table.add_row(profile.name, profile.chip, chip_size, _size(profile.flash_size), profile.heap, profile.description)
    return table


def described(profile: Profile) -> list[str]:
    """One board, line by line."""
    lines = [
        f"{profile.name}: {profile.description}",
        f"  chip      {profile.chip}, {_size(profile.chip_size)} of flash" if profile.chip_size else f"  chip      {profile.chip}",
        f"  files     {_size(profile.flash_size)} for both slots, settings and what waits for the cloud",
        f"  heap      {profile.heap}",
    ]
    if profile.is_chip:
        limit = f"at most {profile.watchdog_max_ms} ms" if profile.watchdog_max_ms else "any time"
        lines.append(f"  watchdog  {limit}")
        lines.append(f"  wiring    LED {profile.led}, button {profile.button}, sensor {profile.sensor}; {_readme(profile)} draws it")
        lines.append(f"  firmware  {profile.firmware['file']} from {profile.firmware['page']}")
    for part in profile.buy:
        lines.append(f"  buy       {part}")
    return lines


def _readme(profile: Profile) -> str:
    return (profile.folder / "README.md").relative_to(ROOT).as_posix()


def _size(number: int) -> str:
    return f"{number >> 20} MiB" if number % (1 << 20) == 0 else f"{number >> 10} KiB"
