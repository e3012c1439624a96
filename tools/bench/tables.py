"""build/bench.json as Markdown: each measurement's table, and how Redpoll compares."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tools.bench import agent, growth
from tools.bench.results import Figure, number, shown

_NONE = "–"


@dataclass(frozen=True)
class Layout:
    """One table. Its rows are names and its columns figures, or the other way round with `by_figure`."""

    title: str
    command: str  # that prints the same
    bench: str
    prefix: str = ""  # of the names that belong to it, which the rows leave out
    figures: tuple[str, ...] = ()  # in this order; none: all there are
    names: tuple[str, ...] = ()  # the same
    by_figure: bool = False
    picture: str = ""  # file beside the document


@dataclass(frozen=True)
class Comparison:
    """One line of the summary: what Redpoll takes, what others take, what is the least that anybody could."""

    title: str
    command: str
    bench: str
    figure: str
    ours: str
    others: tuple[str, ...] = ()
    limit: str = ""  # name of what gives the limit
    limit_figure: str = ""  # where that is another figure
    instead: str = ""  # figure where the other could not be measured


_MQTT = "redpoll bench mqtt"
_CLIENTS = ("umqtt.simple 1.3.4", "umqtt.simple, TCP_NODELAY", "arduino-iot-cloud, TCP_NODELAY", "chumicro-mqtt 0.30.3")
_OURS, _BARE = "Redpoll, window of 16", "bare loop, window of 16"
_CHANGED, _NEW = "64-bit VM, one small file changed", "64-bit VM, every file new"
_HUB = "5,000 devices, sqlite, 1 hub"
_AGENT = "redpoll bench agent"
_AGENTS = (agent.MQTT, agent.HTTP, agent.ARDUINO, agent.BARE, agent.ASLEEP)

LAYOUTS = (
    Layout(
        "MQTT clients, QoS 1",
        _MQTT,
        "mqtt",
        figures=(
            "rate, Mosquitto, QoS 1",
            "rate, Mosquitto, TLS, QoS 1",
            "rate, embedded rumqttd, QoS 1",
            "CPU of a message, Mosquitto, QoS 1",
        ),
    ),
    Layout(
        "MQTT clients, QoS 0",
        _MQTT,
        "mqtt",
        figures=(
            "rate, Mosquitto, QoS 0",
            "rate, Mosquitto, TLS, QoS 0",
            "rate, embedded rumqttd, QoS 0",
            "CPU of a message, Mosquitto, QoS 0",
        ),
    ),
    Layout(
        "MQTT clients, memory and wire",
        _MQTT,
        "mqtt",
        figures=(
            "allocated by a publish",
            "heap after import",
            "heap after 100 messages",
            "heap after 10,000 messages",
            "smallest heap",
            "on the wire, a message",
            "bytecode",
        ),
    ),
    Layout("The whole agent", _AGENT, "agent", names=_AGENTS, by_figure=True),
    Layout("Update over the air", "redpoll bench update", "update", by_figure=True),
    Layout("Growth: sensors", "redpoll bench growth --only sensors", "growth", prefix=growth.SENSORS, picture="growth-sensors.svg"),
    Layout("Growth: configuration", "redpoll bench growth --only config", "growth", prefix=growth.KEYS, picture="growth-keys.svg"),
    Layout("Growth: messages on flash", "redpoll bench growth --only spool", "growth", prefix=growth.SPOOL, picture="growth-spool.svg"),
    Layout("Growth: messages sent", "redpoll bench growth --only soak", "growth", prefix=growth.SENT, picture="growth-sent.svg"),
    Layout("The hub", "redpoll bench hub", "hub"),
    Layout("Wear of the flash", "redpoll bench wear", "wear"),
)

COMPARISONS = (
    Comparison(
        "MQTT client, rate at QoS 1",
        _MQTT,
        "mqtt",
        "rate, Mosquitto, QoS 1",
        _OURS,
        _CLIENTS,
        _BARE,
        instead="rate, embedded rumqttd, QoS 1",
    ),
    Comparison("MQTT client, allocated by a publish", _MQTT, "mqtt", "allocated by a publish", _OURS, _CLIENTS),
    Comparison("MQTT client, smallest heap", _MQTT, "mqtt", "smallest heap", "Redpoll, 3.1.1, window of 16", _CLIENTS),
    Comparison("agent, start until telemetry is acknowledged", _AGENT, "agent", agent.START, agent.MQTT, (agent.ARDUINO,), agent.BARE),
    Comparison("agent, idle CPU", _AGENT, "agent", agent.IDLE, agent.MQTT, (agent.ARDUINO,), agent.BARE),
    Comparison("agent, smallest heap, 64-bit VM", _AGENT, "agent", "smallest heap, 64-bit VM", agent.MQTT, (agent.ARDUINO,)),
    Comparison("agent, a message over MQTT", _AGENT, "agent", agent.WIRE, agent.MQTT, (agent.ARDUINO,), agent.MQTT, agent.PACKET),
    Comparison("agent, a message over HTTP", _AGENT, "agent", agent.WIRE, agent.HTTP, (), agent.HTTP, agent.PACKET),
    Comparison("agent, back after the broker", _AGENT, "agent", agent.BACK, agent.MQTT, (agent.ARDUINO,)),
    Comparison("update, one small file changed, fetched", "redpoll bench update", "update", "fetched", _CHANGED, (_NEW,)),
    Comparison(
        "hub, 5,000 devices, stored",
        "redpoll bench hub",
        "hub",
        "messages stored, at most",
        _HUB,
        limit=_HUB,
        limit_figure="acknowledged by the broker alone",
    ),
)


def document(figures: Sequence[Figure]) -> str:
    """The whole of it: what was measured on, the comparison, every table."""
    machines = dict.fromkeys(figure.machine for figure in figures)
    loads = [figure.load_before for figure in figures]
    head = [
        "# Figures",
        "",
        "`make bench` measures all of this and `redpoll bench table --write` writes it here; each table names the command that prints it",
        "alone. A figure is a median, with the least and the most in brackets where it was taken several times. The firmware runs on the",
        "MicroPython VM of this machine: what is larger or smaller there is so on a chip too, the times are not a chip's.",
        "",
        *[f"Measured on {machine}." for machine in machines],
        f"Load average before a measurement: {min(loads):.1f} to {max(loads):.1f}." if loads else "",
        "",
        "## How it compares",
        "",
        *comparison(figures),
    ]
    for layout in LAYOUTS:
        rows = table(layout, figures)
        if rows:
            picture = ["", f"![{layout.title}]({layout.picture})"] if layout.picture else []
            head += ["", f"## {layout.title}", "", f"`{layout.command}`", "", *rows, *picture]
    return "\n".join(head) + "\n"


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
    if figure is None:
        return _NONE
    text = shown(figure)
    # what differs by less than can be read is not shown thrice
    if figure.median is not None and figure.min is not None and figure.max is not None and number(figure.min) == number(figure.max):
        text = number(figure.median)
    return text.replace("|", "\\|")


def _markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    align = ["---", *["---:" for _ in head[1:]]]
    return ["| " + " | ".join(cells) + " |" for cells in (head, align, *rows)]
