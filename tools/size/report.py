"""The tables of `make size`, and what is above its budget."""

from rich.console import Console
from rich.table import Table

from tools.board.profile import Profile, heap_bytes
from tools.budgets import BUDGETS, budgets
from tools.size.machines import Machine
from tools.size.sets import FeatureSet, bytecode_sizes, feature_sets
from tools.size.start import MESSAGES
from tools.size.update import Updates

_STAGES = {
    "import": "import redpoll.agent",
    "settings": "settings.json read",
    "agent": "Agent(...) and its declarations",
    "connect": "registered and connected",
    "telemetry": "first message acknowledged",
    "done": f"{MESSAGES} messages, config, command",
}


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

    def boards(self) -> None:
        """Bytes of .mpy of each set on each board, where port, Wi-Fi and NTP are its own."""
        table = Table(title="bytes of .mpy per feature set on each board, with its Wi-Fi")
        table.add_column("board")
        for features in feature_sets():
            table.add_column(features.title, justify="right")
        for profile in _chips():
            sets = feature_sets(profile.port)
            sizes = bytecode_sizes(sets[-1].modules)
            table.add_row(profile.name, *[f"{sum(sizes[name] for name in features.modules):,}" for features in sets])
        self._console.print(table)

    def left(self, machine: Machine, sets: list[FeatureSet], found: dict[str, tuple[int, int]]) -> None:
        """What the smallest heap of each set leaves of each board's."""
        table = Table(title=f"KB of its heap that a board has beside that, for its Wi-Fi, TLS and product, {machine.title}")
        table.add_column("board")
        table.add_column("heap", justify="right")
        for features in sets:
            table.add_column(features.title, justify="right")
        for profile in _chips():
            heap = heap_bytes(profile.heap) >> 10
            rest = (heap - max(found[features.name]) for features in sets)
            table.add_row(profile.name, str(heap), *[str(room) if room >= 0 else "does not run" for room in rest])
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
        for stage, title in _STAGES.items():
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


def _chips() -> list[Profile]:
    return [profile for profile in map(Profile.load, Profile.names()) if profile.is_chip]
