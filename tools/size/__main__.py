"""`make size`: bytes of bytecode per module and feature set, heap at each stage of a start, smallest heaps, against boards/budgets.toml."""

import argparse
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tools.hub.process import HubProcess, ProcessError
from tools.mpy import CompileError
from tools.size.machines import Machine, machines, missing
from tools.size.sets import BUDGETS, FeatureSet, budgets, bytecode_sizes, feature_sets
from tools.size.start import MESSAGES, Starts
from tools.size.update import Updates
from tools.vm import NoMicroPython

_BUNDLE = 200_000  # bytes of the bundle that is taken
STAGES = {
    "import": "import redpoll.agent",
    "settings": "settings.json read",
    "agent": "Agent(...) and its declarations",
    "connect": "registered and connected",
    "telemetry": "first message acknowledged",
    "done": f"{MESSAGES} messages, config, command",
}


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
        if not args.no_heap:
            _heaps(console, report, sets)
    except (CompileError, NoMicroPython, ProcessError, RuntimeError) as error:
        console.print(str(error), markup=False)
        return 2
    for line in report.exceeded:
        console.print(f"above its budget: {line}", style="red", markup=False)
    return 1 if report.exceeded else 0


def _heaps(console: Console, report: "Report", sets: list[FeatureSet]) -> None:
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
            with Updates(starts, hub, _BUNDLE) as updates:
                report.update(machine, updates)


class Report:
    """Prints the tables. `exceeded` has a line for each figure above its budget."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._budgets = budgets()
        self.exceeded: list[str] = []

    def bytecode(self, sets: list[FeatureSet], sizes: dict[str, int]) -> None:
        """Bytes of .mpy of each module and of each set."""
        table = Table(title="bytes of .mpy, and from which set on they are needed")
        table.add_column("module")
        table.add_column("bytes", justify="right")
        table.add_column("needed for")
        for name, size in sorted(sizes.items(), key=lambda item: -item[1]):
            table.add_row(name, f"{size:,}", next(features.title for features in sets if name in features.modules))
        self._console.print(table)
        table = self._table("bytes of .mpy per feature set", "modules")
        for features in sets:
            total = sum(sizes[name] for name in features.modules)
            self._row(table, "mpy", features, total, f"{total:,}", str(len(features.modules)))
        self._console.print(table)

    def modules(self, machine: Machine, live: dict[str, int]) -> None:
        """What each module leaves on the heap."""
        table = Table(title=f"bytes of heap that a module leaves when it is imported, {machine.title}")
        table.add_column("module")
        table.add_column("bytes", justify="right")
        for name, size in sorted(live.items(), key=lambda item: -item[1]):
            table.add_row(name, f"{size:,}")
        table.add_section()
        table.add_row("all", f"{sum(live.values()):,}")
        self._console.print(table)

    def stages(self, machine: Machine, found: dict[str, dict[str, int]]) -> None:
        """Live heap at each stage of a first start."""
        table = Table(title=f"bytes of live heap in a first start over MQTT 5, {machine.title}")
        table.add_column("after")
        for title in found:
            table.add_column(title, justify="right")
        for stage, title in STAGES.items():
            table.add_row(title, *[f"{stages[stage]:,}" for stages in found.values()])
        self._console.print(table)

    def smallest(self, machine: Machine, sets: list[FeatureSet], found: dict[str, tuple[int, int]]) -> None:
        """Smallest heap of each set; the budget is that of a first start, which registers."""
        table = self._table(f"KB of the smallest heap that runs it, {machine.title}", "later start")
        for features in sets:
            first, later = found[features.name]
            self._row(table, machine.key, features, first, str(first), str(later))
        self._console.print(table)

    def update(self, machine: Machine, updates: Updates) -> None:
        """Heap at the peak of an update above that of the idle agent, and the smallest heap in which it is taken."""
        looked = updates.take(fetch_all=True, look=True)
        if looked is None:
            raise RuntimeError("the update did not come to its restart; build/size.log has what the board printed")
        smallest = updates.smallest(fetch_all=True, peak=looked.peak)
        title = f"an update, {machine.title}"
        for figure, value, name in (
            ("smallest heap in KB", smallest, "update"),
            ("bytes above idle", looked.peak - looked.idle, "update_peak"),
        ):
            budget, target = self._budgets[machine.key].get(name), self._budgets["target"].get(f"{machine.key}_{name}")
            bounds = [f"{kind} {bound:,}" for kind, bound in (("budget", budget), ("target", target)) if bound is not None]
            self._console.print(", ".join([f"{title}, {figure}: {value:,}", *bounds]), markup=False, highlight=False)
            if budget is not None and value > budget:
                self.exceeded.append(f"{title}, {figure}: {value:,}, and {BUDGETS.name} has {budget:,}")
        self._console.print()

    def _table(self, title: str, more: str) -> Table:
        table = Table(title=title)
        for column in ("features", "present", more, "budget", "target"):
            table.add_column(column, justify="left" if column == "features" else "right")
        return table

    def _row(self, table: Table, key: str, features: FeatureSet, value: int, *shown: str) -> None:
        budget = self._budgets[key].get(features.name)
        target = self._budgets["target"].get(f"{key}_{features.name}")
        table.add_row(features.title, *shown, *["" if number is None else f"{number:,}" for number in (budget, target)])
        if budget is not None and value > budget:
            self.exceeded.append(f"{features.title}, {key}: {value:,}, and {BUDGETS.name} has {budget:,}")


if __name__ == "__main__":
    sys.exit(main())
