"""Plots of how cost grows, from build/bench.json, as SVG that comes out the same from the same figures.

Both axes are linear: what grows in proportion is a straight line.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Sheet

from tools.bench import growth
from tools.bench.results import Figure

_LINE = "#1f6f8b"
_REFUSED = "#b03a2e"


@dataclass(frozen=True)
class Plot:
    """One file: the figures of the growth of `what`, each in a panel of its own, by their names in build/bench.json."""

    file: str
    what: str
    panels: tuple[str, ...]


PLOTS = (
    Plot("growth-sensors.svg", growth.SENSORS, ("CPU of a turn", "allocated in it", "live heap")),
    Plot("growth-keys.svg", growth.KEYS, ("turn of the loop that takes it", "allocated in it", "live heap then")),
    Plot("growth-spool.svg", growth.SPOOL, ("start", "heap of the spool", "drained")),
    Plot("growth-sent.svg", growth.SENT, ("live heap",)),
)


def write(figures: Sequence[Figure], folder: Path) -> list[Path]:
    """Write the plots of what was measured into the folder; returns their files."""
    written = []
    # the ids in the file are hashed with a salt that is random otherwise; text stays text, so that a diff can be read
    with mpl.rc_context({"svg.hashsalt": "redpoll", "svg.fonttype": "none", "font.size": 9}):
        for plot in PLOTS:
            mine = [figure for figure in figures if figure.bench == "growth" and figure.name.startswith(plot.what + ": ")]
            if mine:
                path = folder / plot.file
                _draw(plot, mine).savefig(path, metadata={"Date": None, "Creator": None})
                written.append(path)
    return written


def _draw(plot: Plot, figures: Sequence[Figure]) -> Sheet:
    sheet = Sheet(figsize=(3.4 * len(plot.panels) + (1.6 if len(plot.panels) == 1 else 0), 2.8), layout="constrained")
    for number, kind in enumerate(plot.panels, 1):
        axes = sheet.add_subplot(1, len(plot.panels), number)
        _panel(axes, plot.what, sorted((figure for figure in figures if figure.figure == kind), key=_at))
    return sheet


def _panel(axes: Axes, what: str, figures: Sequence[Figure]) -> None:
    # median with the spread as bars; what was refused is marked on the axis
    known = [(_at(figure), figure.median, figure.min or 0.0, figure.max or 0.0) for figure in figures if figure.median is not None]
    if known:
        xs, medians, lows, highs = zip(*known, strict=True)
        bars = [[median - low for median, low in zip(medians, lows, strict=True)], [h - m for m, h in zip(medians, highs, strict=True)]]
        axes.errorbar(xs, medians, yerr=bars, marker="o", markersize=3, capsize=2, linewidth=1.2, color=_LINE)
    for figure in figures:
        if figure.median is None:
            axes.axvline(_at(figure), color=_REFUSED, linestyle=":", linewidth=1)
            axes.annotate(
                "refused",
                (_at(figure), 0.03),
                xycoords=("data", "axes fraction"),
                rotation=90,
                ha="right",
                va="bottom",
                color=_REFUSED,
                fontsize=8,
            )
    axes.set_ylim(0, 1.15 * max((figure.max or 0.0 for figure in figures), default=1.0))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_major_formatter("{x:,g}")
    axes.set_xlabel(what)
    axes.set_title(f"{figures[0].figure}, {figures[0].unit}" if figures else "", fontsize=9)
    axes.grid(visible=True, linewidth=0.3)


def _at(figure: Figure) -> float:
    """The number in a name such as "sensors: 1,000"."""
    return float(figure.name.rpartition(": ")[2].replace(",", ""))
