"""How long the flash of a board lasts: erases and writes of simulated days on a real LittleFS, in the MicroPython VM."""

import argparse
import json
import subprocess
import tempfile

from tools.bench.arguments import at_least
from tools.bench.results import Results
from tools.paths import FIRMWARE, ROOT
from tools.vm import find_vm

CYCLES = 100_000  # erase cycles that a block of NOR flash is taken to last
# name: (blocks of 4096 bytes, program size that the port gives LittleFS)
BOARDS = {"rp2040": (212, 256), "esp32": (512, 32)}
SCENARIOS = {
    "link up all day": {"outage": 0},
    "one hour without link": {"outage": 3600},
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `redpoll bench wear`."""
    parser.add_argument("--board", choices=sorted(BOARDS), default="rp2040", help="whose file system (default: rp2040, the smallest)")
    parser.add_argument("--every", type=at_least(1), default=30, metavar="SECONDS", help="a message every so many seconds (30)")
    parser.add_argument("--size", type=at_least(1), default=250, metavar="BYTES", help="of a message (250)")
    parser.add_argument("--used", type=int, default=400, metavar="KIB", help="taken by files that never change (400)")
    parser.add_argument("--days", type=at_least(1), default=20, help="days that are simulated (20)")
    parser.add_argument("--boots", type=at_least(1), default=2, help="restarts a day (2)")
    parser.add_argument("--hold", type=int, nargs="+", default=[300, 60, 0], metavar="SECONDS", help="spool_hold settings (300 60 0)")


def measure(case: dict[str, int]) -> dict[str, int]:
    """Run one case of vm_side/wear_day in the VM. Returns, of all its days, erases, worst (the block with the most), programs,
    programmed (bytes); free is the number of blocks that no file that stays has taken: LittleFS spreads its erases over these."""
    path = ":".join([str(ROOT / "tools" / "vm_side"), str(FIRMWARE), ".frozen"])
    command = [str(find_vm()), "-X", "heapsize=16M", "-c", f"import wear_day; wear_day.run({case!r})"]
    with tempfile.TemporaryDirectory() as folder:
        ran = subprocess.run(command, cwd=folder, env={"MICROPYPATH": path}, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise RuntimeError(ran.stdout + ran.stderr)
    figures: dict[str, int] = json.loads(ran.stdout.splitlines()[-1])
    return figures


def years(erases_a_day: float, blocks: int = 1) -> float:
    """Until so many blocks that share these erases have had their cycles."""
    return blocks * CYCLES / max(erases_a_day, 1e-9) / 365


def run(args: argparse.Namespace) -> int:
    """Print the table and add it to build/bench.json: years with the erases spread evenly, and of the most worn block.

    Exit 1 when that is below ten years.
    """
    blocks, progsize = BOARDS[args.board]
    used = args.used * 1024
    print(
        f"{args.board}: {blocks * 4} KiB of LittleFS, {args.used} KiB of it in use; a message of {args.size} bytes every {args.every} s, "
        f"{args.boots} boots a day; {CYCLES:,} erase cycles a block"
    )
    print(f"{'':24}{'hold':>6} {'erases/day':>11} {'programs/day':>13} {'KiB/day':>9} {'years':>8} {'worst block':>12}")
    worn = False
    results = Results("wear")
    for name, scenario in SCENARIOS.items():
        for hold in args.hold:
            case = {"blocks": blocks, "progsize": progsize, "used": used, "every": args.every, "size": args.size}
            found = measure(case | {"hold": hold, "days": args.days, "boots": args.boots} | scenario)
            erases = found["erases"] / args.days
            even, last = years(erases, found["free"]), years(found["worst"] / args.days)
            title = f"{args.board}, {name}, spool_hold {hold} s"
            results.add(title, "erases", "blocks/day", erases)
            results.add(title, "spread evenly", "years", even)
            results.add(title, "worst block", "years", last)
            worn |= last < 10
            row = f"{name:24}{hold:>4} s {erases:>11,.0f} {found['programs'] / args.days:>13,.0f} "
            print(row + f"{found['programmed'] / args.days / 1024:>9,.0f} {years(erases, found['free']):>8,.0f} {last:>12,.0f}")
    results.save()
    return 1 if worn else 0
