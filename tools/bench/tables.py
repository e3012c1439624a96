"""build/bench.json as Markdown: each measurement's table, and how Redpoll compares."""

from collections.abc import Iterable, Sequence

from tools.bench.layouts import COMPARISONS, LAYOUTS, Layout
from tools.bench.results import Figure, shown

_NONE = "–"


def document(figures: Sequence[Figure]) -> str:
    """The whole of it: what was measured on, the comparison, every table."""
    head = [
        "# Figures",
        "",
        "`make bench` measures all of this and `redpoll bench table --write` writes it here; each table names the command that prints it",
        "alone. A figure is a median, with the least and the most in brackets where it was taken several times, and of how many runs where",
        "others failed. The firmware runs on the MicroPython VM of this machine: what is larger or smaller there is so on a chip too, the",
        "times are not a chip's.",
        "",
        conditions(figures),
        "",
        "## How it compares",
        "",
        *comparison(figures),
    ]
    for layout in LAYOUTS:
        rows = table(layout, figures)
        if rows:
            picture = ["", f"![{layout.title}]({layout.picture})"] if layout.picture else []
            note = ["", layout.note.strip()] if layout.note else []
            head += ["", f"## {layout.title}", "", f"`{layout.command}`", *note, "", *rows, *picture]
    return "\n".join(head) + "\n"


def conditions(figures: Sequence[Figure]) -> str:
    """A sentence on the machine and what else it did; of one figure at least."""
    machines = "; ".join(dict.fromkeys(figure.machine for figure in figures))
    loads = [figure.load_before for figure in figures]
    return f"Measured on {machines}, with a load average of {min(loads):.1f} to {max(loads):.1f} before each measurement."


def comparison(figures: Iterable[Figure]) -> list[str]:
    """Lines of the Markdown table that sets Redpoll beside others; without what was not measured."""
    found = {(figure.bench, figure.name, figure.figure): figure for figure in figures}
    lines = []
    for line in COMPARISONS:
        kind = line.figure if (line.bench, line.ours, line.figure) in found else line.instead
        ours = found.get((line.bench, line.ours, kind))
        if ours is None:
            continue
        others = [(name, found.get((line.bench, name, kind))) for name in line.others]
        limit = found.get((line.bench, line.limit, line.limit_figure or kind))
        beside = "; ".join(f"{name}: {_cell(figure)}" for name, figure in others if figure is not None)
        lines.append((f"{line.title}, {ours.unit}", _cell(ours), beside or _NONE, _cell(limit), f"`{line.command}`"))
    return _markdown(("", "Redpoll", "beside it", "the least possible", "printed by"), lines) if lines else []


def table(layout: Layout, figures: Iterable[Figure]) -> list[str]:
    """Lines of one Markdown table; none when nothing of it was measured."""
    mine = [figure for figure in figures if figure.bench == layout.bench and figure.name.startswith(layout.prefix)]
    if layout.figures:
        mine = [figure for figure in mine if figure.figure in layout.figures]
    if not mine:
        return []
    found = {(figure.name, figure.figure): figure for figure in mine}
    units = {figure.figure: figure.unit for figure in mine}
    names = [name for name in layout.names or dict.fromkeys(figure.name for figure in mine) if any(name == key for key, _ in found)]
    kinds = [kind for kind in layout.figures or units if kind in units]
    labels = [f"{kind}, {units[kind]}" for kind in kinds]
    if layout.by_figure:
        rows = [(label, *[_cell(found.get((name, kind))) for name in names]) for kind, label in zip(kinds, labels, strict=True)]
        return _markdown(("", *names), rows)
    rows = [(name.removeprefix(layout.prefix + ": "), *[_cell(found.get((name, kind))) for kind in kinds]) for name in names]
    return _markdown((layout.prefix, *labels), rows)


def _cell(figure: Figure | None) -> str:
    return _NONE if figure is None else shown(figure).replace("|", "\\|")


def _markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    align = ["---", *["---:" for _ in head[1:]]]
    return ["| " + " | ".join(cells) + " |" for cells in (head, align, *rows)]
