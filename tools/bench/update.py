"""An update over the air on the MicroPython VM against a real hub: time, bytes fetched, heap beside that of the idle agent.

The board has a LittleFS in a file, whose speed is the host's; plain MQTT and HTTP on the loop-back.
"""

import argparse
import tempfile
from pathlib import Path

from rich.console import Console

from tools.bench.results import Results
from tools.hub.process import HubProcess
from tools.size.machines import machines
from tools.size.start import Starts
from tools.size.update import Updates

# what differs from what the board has, and whether that is all
CASES = {"every file new": True, "one small file changed": False}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `redpoll bench update`."""
    parser.add_argument("--size", type=int, default=200_000, metavar="BYTES", help="of the bundle; the agent alone has 100,000 (200000)")
    parser.add_argument("--repeats", type=int, default=3, help="of each update; the median counts (3)")
    parser.add_argument("--no-heap", action="store_true", help="do not look for the smallest heap, which takes most of the time")


def run(args: argparse.Namespace) -> int:
    """Measure, print the table, write build/bench.json. Returns 0, or 1 when an update did not go well."""
    console = Console(width=max(140, Console().width))
    measured = machines()
    results = Results("update")
    names = tuple(f"{machine.title}, {case}" for machine in measured for case in CASES)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, HubProcess(Path(folder)) as hub:
        for machine in measured:
            with Updates(Starts(machine, hub), hub, args.size) as updates:
                for case, fetch_all in CASES.items():
                    name = f"{machine.title}, {case}"
                    if not _measure(results, name, updates, fetch_all, args.repeats, with_heap=not args.no_heap):
                        console.print(f"{name}: no restart into the new version; build/size.log has what the board printed")
                        return 1
    console.print(results.table("one update over the air, from the command to the restart", names))
    results.save()
    return 0


def _measure(results: Results, name: str, updates: Updates, fetch_all: bool, repeats: int, *, with_heap: bool) -> bool:
    runs = [updates.take(fetch_all=fetch_all) for _ in range(repeats)]
    taken = [run for run in runs if run is not None]
    looked = updates.take(fetch_all=fetch_all, look=True)
    if len(taken) < repeats or looked is None:
        return False
    results.add(name, "bundle", "bytes", len(updates.bundle))
    results.add(name, "fetched", "bytes", *[run.received for run in taken])
    results.add(name, "time", "s", *[run.ms / 1000 for run in taken])
    results.add(name, "heap of the idle agent", "bytes", looked.idle)
    results.add(name, "peak above it", "bytes", looked.peak - looked.idle)
    if with_heap:
        results.add(name, "smallest heap", "KB", updates.smallest(fetch_all=fetch_all, peak=looked.peak))
    return True
