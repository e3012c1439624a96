"""Which tables build/bench.json is shown in, and which figures Redpoll is compared by."""

from dataclasses import dataclass

from tools.bench import agent, growth


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
    note: str = ""  # what was done, for who reads the table alone


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

_CLIENTS_NOTE = """
138 bytes of JSON, encoded for each message, to a broker on the same machine. What umqtt.simple and arduino-iot-cloud write in pieces
waits 44 ms for the broker's delayed acknowledgement, unless TCP_NODELAY is set from outside. arduino-iot-cloud always speaks TLS: in the
columns without it, it is taken out. The bare loop writes the same bytes from one buffer and does nothing else.
"""
_MEMORY_NOTE = """
Bytecode on the 64-bit VM, whose objects are twice a board's; live heap, after a collection, above that of the VM. The smallest heap is
that in which connect, subscribe and 500 messages pass. On the wire is both ways: MQTT 5 with the two user properties that Xyte asks for in
each message, MQTT 3.1.1 without. The package of arduino-iot-cloud loads its agent too.
"""
_AGENT_NOTE = """
Four readings of one sensor; configuration and a command declared. arduino-iot-cloud runs without its TLS, its thing id comes from a
retained message, and stand-ins play its logging and CBOR, which PyPI does not have. An agent over HTTP sleeps in the VM's sleep_ms, which
wakes 2,000 times a second here; over MQTT it waits on its socket. The bare packet is the same body in a PUBLISH of MQTT 3.1.1 to the same
topic with its PUBACK, or in the shortest HTTP request with the shortest answer. Heap is live, after a collection; the smallest one is that
in which a first start passes: registration and messages, over MQTT 5 a configuration and a command too, of arduino-iot-cloud messages only.
The VMs with 32 bits are those of `make vm32 frozen`; without them there are no such rows.
"""
_HUB_NOTE = """
The boards are raw MQTT 5 sockets on the same machine. A message counts as stored when another connection to the database reads it. The
broker alone acknowledges to the same boards while no hub is there.
"""
_SPOOL_NOTE = """
150 bytes each, on a LittleFS whose block device is written in Python. Drained is what the spool gives: the agent takes ten a second of it,
beside what is new. The last column is what the largest spool_flash_bytes keeps.
"""
_GROWTH = "redpoll bench growth --only "

LAYOUTS = (
    *(
        Layout(
            f"MQTT clients, QoS {qos}",
            _MQTT,
            "mqtt",
            figures=(
                f"rate, Mosquitto, QoS {qos}",
                f"rate, Mosquitto, TLS, QoS {qos}",
                f"rate, embedded rumqttd, QoS {qos}",
                f"rate, embedded rumqttd, TLS, QoS {qos}",
                f"CPU of a message, Mosquitto, QoS {qos}",
            ),
            note=_CLIENTS_NOTE if qos else "",
        )
        for qos in (1, 0)
    ),
    Layout(
        "MQTT clients, memory and wire",
        _MQTT,
        "mqtt",
        figures=(
            "allocated by a publish",
            "heap after import",
            "heap after connect",
            "heap after 100 messages",
            "heap after 10,000 messages",
            "smallest heap",
            "on the wire, a message",
            "bytecode",
        ),
        note=_MEMORY_NOTE,
    ),
    Layout("The whole agent", _AGENT, "agent", names=_AGENTS, by_figure=True, note=_AGENT_NOTE),
    Layout(
        "Update over the air",
        "redpoll bench update",
        "update",
        by_figure=True,
        note="From the command to the restart into the new version, over plain HTTP from a hub on the same machine.",
    ),
    Layout(
        "Growth: sensors",
        _GROWTH + "sensors",
        "growth",
        prefix=growth.SENSORS,
        picture="growth-sensors.svg",
        note="All are due in one turn of the loop, one reading each, in one message that is acknowledged; above 50 they share names.",
    ),
    Layout(
        "Growth: configuration",
        _GROWTH + "config",
        "growth",
        prefix=growth.KEYS,
        picture="growth-keys.svg",
        note="The turn of the loop in which a configuration from the hub is read, checked, applied, kept in a file and confirmed.",
    ),
    Layout(
        "Growth: messages on flash",
        _GROWTH + "spool",
        "growth",
        prefix=growth.SPOOL,
        picture="growth-spool.svg",
        note=_SPOOL_NOTE,
    ),
    Layout(
        "Growth: messages sent",
        _GROWTH + "soak",
        "growth",
        prefix=growth.SENT,
        picture="growth-sent.svg",
        note="One agent, message after message over MQTT 5; in the end all of them are looked for in the hub's database.",
    ),
    Layout(
        "The hub",
        "redpoll bench hub",
        "hub",
        figures=(
            "messages stored, at most",
            "acknowledged by the broker alone",
            "messages sent while the latency was measured",
            "until stored, median",
            "until stored, 99 %",
            "CPU of a message, hub",
            "CPU of a message, broker",
            "memory of a device in the hub",
            "memory of a hub in the end",
            "lost",
            "stored twice",
        ),
        note=_HUB_NOTE,
    ),
    Layout(
        "Wear of the flash",
        "redpoll bench wear",
        "wear",
        note="Simulated days on the file system of the smallest board, a real LittleFS; 100,000 erase cycles a block.",
    ),
)

COMPARISONS = (
    Comparison(
        "MQTT client, MQTT 5, rate at QoS 1",
        _MQTT,
        "mqtt",
        "rate, Mosquitto, QoS 1",
        _OURS,
        _CLIENTS,
        _BARE,
        instead="rate, embedded rumqttd, QoS 1",
    ),
    Comparison("MQTT client, MQTT 5, allocated by a publish", _MQTT, "mqtt", "allocated by a publish", _OURS, _CLIENTS),
    Comparison("MQTT client, MQTT 5, smallest heap, 64-bit VM", _MQTT, "mqtt", "smallest heap", _OURS, _CLIENTS),
    Comparison("MQTT client, MQTT 3.1.1, smallest heap, 64-bit VM", _MQTT, "mqtt", "smallest heap", "Redpoll, 3.1.1, window of 16"),
    Comparison("agent, start until telemetry is acknowledged", _AGENT, "agent", agent.START, agent.MQTT, (agent.ARDUINO,), agent.BARE),
    Comparison("agent, idle CPU", _AGENT, "agent", agent.IDLE, agent.MQTT, (agent.ARDUINO,), agent.BARE),
    Comparison("agent, smallest heap, 64-bit VM", _AGENT, "agent", "smallest heap, 64-bit VM", agent.MQTT, (agent.ARDUINO,)),
    Comparison("agent frozen in, smallest heap, 32-bit VM", _AGENT, "agent", "smallest heap, 32-bit VM, agent frozen in", agent.MQTT),
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
