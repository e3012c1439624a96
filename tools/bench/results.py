"""build/bench.json: a list of figures, each with the same fields, whichever measurement it is of."""

import contextlib
import json
import os
import platform
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.table import Table

from tools.paths import BUILD

RESULTS = BUILD / "bench.json"


@dataclass(frozen=True)
class Figure:
    """One figure. `median`, `min` and `max` are None where it could not be had, and `note` says why."""

    bench: str  # NAME of the `redpoll bench NAME` that measured it
    name: str  # what it is of: a client, an agent, a number of devices
    figure: str
    unit: str
    median: float | None
    min: float | None
    max: float | None
    repeats: int
    note: str
    machine: str
    load_before: float  # load average of the machine before the measurement
    failed: int = 0  # runs that brought no value, beside those that `repeats` counts


class Results:
    """The figures of one measurement, in the order in which they are added."""

    def __init__(self, bench: str) -> None:
        """`bench`: NAME of `redpoll bench NAME`. Make it before the measurement begins: it takes the machine's load."""
        self._bench = bench
        self._machine = machine()
        self._load = round(os.getloadavg()[0], 2)
        self._found: list[Figure] = []

    def add(self, name: str, figure: str, unit: str, *values: float, note: str = "", failed: int = 0) -> Figure:
        """Keep a figure with all values that were measured of it, and how many runs brought none. -> what is kept.

        Without any value it counts as not to be had, and `note` says why.
        """
        median, low, high = (statistics.median(values), min(values), max(values)) if values else (None, None, None)
        made = Figure(self._bench, name, figure, unit, median, low, high, len(values), note, self._machine, self._load, failed)
        self._found.append(made)
        return made

    def table(self, title: str, names: tuple[str, ...]) -> Table:
        """One row a figure, one column each of these names: median, and the spread where there is one."""
        table = Table(title=f"{title}; load before {self._load:.1f}")
        table.add_column("")
        for name in names:
            table.add_column(name, justify="right")
        found = {(figure.name, figure.figure): figure for figure in self._found}
        for kind, unit in dict.fromkeys((figure.figure, figure.unit) for figure in self._found):
            cells = [found.get((name, kind)) for name in names]
            table.add_row(f"{kind}, {unit}", *["" if figure is None else shown(figure) for figure in cells])
        return table

    def rows(self, title: str, names: list[str]) -> Table:
        """The same with one row each of these names and one column a figure."""
        table = Table(title=f"{title}; load before {self._load:.1f}")
        table.add_column("")
        mine = [figure for figure in self._found if figure.name in names]
        kinds = dict.fromkeys((figure.figure, figure.unit) for figure in mine)
        for kind, unit in kinds:
            table.add_column(f"{kind}, {unit}", justify="right")
        found = {(figure.name, figure.figure): figure for figure in mine}
        for name in names:
            table.add_row(name, *[shown(found[name, kind]) if (name, kind) in found else "" for kind, _ in kinds])
        return table

    def save(self) -> None:
        """Put them into build/bench.json in place of those of the same bench, name and figure; what another version wrote there goes."""
        RESULTS.parent.mkdir(exist_ok=True)
        kept = {}
        with contextlib.suppress(ValueError):
            kept = {_key(figure): figure for figure in read()}
        kept |= {_key(figure): figure for figure in self._found}
        RESULTS.write_text(json.dumps([asdict(figure) for figure in kept.values()], indent=1) + "\n")


def read() -> list[Figure]:
    """What build/bench.json holds, nothing when there is none. ValueError for one that another version has written."""
    if not RESULTS.exists():
        return []
    try:
        return [Figure(**entry) for entry in json.loads(RESULTS.read_text())]
    except (TypeError, ValueError) as error:
        raise ValueError(f"{RESULTS}: another version has written it ({error}); measure again") from error


def shown(figure: Figure) -> str:
    """The median; in brackets the spread, where one can be seen, and how many runs it is of, where some failed. Without one: why."""
    if figure.median is None or figure.min is None or figure.max is None:
        return figure.note
    median, low, high = map(number, (figure.median, figure.min, figure.max))
    about = ", ".join(filter(None, ("" if low == high else f"{low}-{high}", came_back(figure))))
    return f"{median} ({about})" if about else median


def came_back(figure: Figure) -> str:
    """How many runs brought a value, where some did not: 1 of 3 runs. Else nothing."""
    return f"{figure.repeats} of {figure.repeats + figure.failed} runs" if figure.failed else ""


def number(value: float) -> str:
    """With three digits at least, as many as matter: 0.0312, 4.27, 38.1, 1,204."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


def machine() -> str:
    """What the figures were measured on: system, processor, cores."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        model = next((line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")), model)
    return f"{platform.system()} {platform.machine()}, {model}, {os.cpu_count()} cores"


def _key(figure: Figure) -> tuple[str, str, str]:
    return figure.bench, figure.name, figure.figure
