"""`make size`: bytes of bytecode per module and feature set, heap at each stage of a start, smallest heaps, against boards/budgets.toml."""

import argparse
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from tools.hub.process import HubProcess, ProcessError
from tools.mpy import CompileError
from tools.size.machines import machines, missing
from tools.size.report import Report
from tools.size.sets import FeatureSet, bytecode_sizes, feature_sets
from tools.size.start import Starts
from tools.size.update import Updates
from tools.vm import NoMicroPython

_BUNDLE = 200_000  # bytes of the bundle that is taken


def main() -> int:
    """Print it all. 1 when something is above its budget, 2 when it could not be measured."""
    parser = argparse.ArgumentParser(prog="make size", description=__doc__)
    parser.add_argument("--no-heap", action="store_true", help="only the bytecode: nothing is run")
    args = parser.parse_args()
    console = Console(width=max(120, Console().width))
    try:
        sets = feature_sets()
        sizes = bytecode_sizes(sets[-1].modules)
        report = Report(console)
        report.bytecode(sets, sizes)
        report.boards()
        if not args.no_heap:
            _heaps(console, report, sets)
    except (CompileError, NoMicroPython, ProcessError, RuntimeError) as error:
        console.print(str(error), markup=False)
        return 2
    for line in report.exceeded:
        console.print(f"above its budget: {line}", style="red", markup=False)
    return 1 if report.exceeded else 0


def _heaps(console: Console, report: Report, sets: list[FeatureSet]) -> None:
    for advice in missing():
        console.print(f"Not measured: {advice}.\n", markup=False)
    with tempfile.TemporaryDirectory(prefix="size-") as folder, HubProcess(Path(folder)) as hub:
        for machine in machines():
            starts = Starts(machine, hub)
            report.modules(machine, starts.modules(sets[-1].modules))
            report.stages(machine, {features.title: starts.stages(features)["stages"] for features in sets})
            smallest = {}
            for features in sets:
                smallest[features.name] = starts.smallest(features, registered=False), starts.smallest(features, registered=True)
            report.smallest(machine, sets, smallest)
            if machine.key != "heap64":  # a board's objects have 32 bits
                report.left(machine, sets, smallest)
            with Updates(starts, hub, _BUNDLE) as updates:
                report.update(machine, updates)


if __name__ == "__main__":
    sys.exit(main())
