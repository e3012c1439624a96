"""net.mqtt's packets byte for byte as paho-mqtt writes the same ones, and paho's packets and property blocks as net.mqtt reads them."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from interpreters import INTERPRETERS, run
from listening import listening
from mqtt_packets import split
from paho.mqtt import client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

GOLDEN = Path(__file__).with_name("mqtt_golden.py")
LEVELS = (4, 5)
NAMES = {number: name.replace(" ", "") for name, number in Properties(PacketTypes.PUBLISH).names.items()}

# what net.mqtt adds by itself to CONNECT
OURS = [(33, 16), (39, 8192)]
# all that a packet can have, in the order of paho's table: MQTT 5.0 gives none (§2.2.2.2) but among user properties (§3.3.2.3.7)
USER = [(38, ("a", "1")), (38, ("b", "\u00e9\u6e2c")), (38, ("a", "")), (38, ("a", "1"))]
MESSAGE = [(1, 1), (2, 0x12345678), (3, "application/json"), (8, "answer/here"), (9, b"\0\x01\xff"), *USER]
WILL = [(1, 0), (2, 4294967295), (3, ""), (8, "r"), (9, b""), (24, 86400), *USER]
CONNECT = [(17, 4000), (21, "SCRAM"), (22, b"\0\xfe"), (23, 0), (25, 1), (34, 7), *USER]

# (name, how to connect, will, steps): what each step does is in mqtt_golden.py
Session = tuple[str, dict[str, Any], list[Any] | None, list[list[Any]]]
FIRST: list[Session] = [
    ("plain", {"keepalive": 60}, None, [["publish", "t", b"hello", 0, False, None], ["ping"], ["disconnect", 0, None]]),
    ("not clean", {"clean": False, "keepalive": 65535}, None, [["disconnect", 0, None]]),
    ("Zo\u00eb", {"user": "us\u00e9r", "password": b"\0pass\xff", "keepalive": 300}, None, []),
    ("user only", {"user": "u"}, None, []),
    ("will 0", {}, ["w/t", b"", 0, False, None], []),
    ("will 1", {"user": "u", "password": "p"}, ["w/t", b"\0gone\xff", 1, True, None], []),
    ("will 2", {"clean": False}, ["w/t", bytes(300), 2, False, None], []),
    (
        "publish",
        {},
        None,
        # QoS 0 last: paho counts packet identifiers for it too
        [["publish", f"a/{qos}/\u00fc", b"m%d" % qos, qos, retain, None] for qos in (1, 2, 0) for retain in (False, True)],
    ),
    ("publish nothing", {}, None, [["publish", "empty", b"", qos, True, None] for qos in (1, 2, 0)]),
    # where the remaining length gets another byte
    ("lengths", {}, None, [["publish", "t", bytes(n), 1, False, None] for n in (*range(118, 126), *range(16374, 16382), 2097140, 2097149)]),
    (
        "subscribe",
        {},
        None,
        [
            ["subscribe", [["a/+/#", 0]], None],
            ["subscribe", [["$share/g/\u00e9", 1]], None],
            ["subscribe", [["a", 0], ["b", 1], ["c", 2]], None],
            ["subscribe", [["x" * 200, 2]], None],
            ["unsubscribe", ["a/+/#"], None],
            ["unsubscribe", ["a", "b", "c"], None],
        ],
    ),
    ("receive", {}, None, [["subscribe", [["to me", 2]], None], ["receive", 4]]),
    ("lose", {"clean": False}, None, [["lose", ["t", b"1", 1], ["t", b"2", 2], ["t", b"3", 1]]]),
    ("lose later", {"clean": False}, None, [["lose", ["t", b"1", 2]]]),
]
FIFTH: list[Session] = [
    ("connect properties", {"session_expiry": 4000, "properties": CONNECT[1:]}, ["w", b"x", 1, False, WILL], []),
    ("expiry", {"clean": True, "session_expiry": 1}, ["w", b"x", 0, True, [(24, 1)]], []),
    ("publish properties", {}, None, [["publish", "t", b"m", qos, False, MESSAGE] for qos in (1, 2, 0)]),
    ("long properties", {}, None, [["publish", "t", b"m", 1, False, [(3, "x" * n)]] for n in (120, 121, 125, 126, 16379, 16380, 16381)]),
    ("each", {}, None, [["publish", "t", b"m", 1, False, [pair]] for pair in MESSAGE] + [["publish", "t", b"m", 1, False, []]]),
    (
        "subscribe options",
        {},
        None,
        [["subscribe", [["f", options]], None] for options in range(0x30) if options & 3 != 3]
        + [["subscribe", [["f", 1], ["g", 0x2E]], [(11, number), *USER]] for number in (1, 127, 128, 268435455)]
        + [["unsubscribe", ["f", "g"], USER]],
    ),
    ("leave", {}, None, [["disconnect", 4, [(17, 0), (31, "because"), *USER]]]),
    ("leave badly", {}, None, [["disconnect", 0x83, []]]),
]
SESSIONS = {4: FIRST, 5: FIRST + FIFTH}
# the first connection ends without an answer to so many packets of a type
BREAKS = {"lose": (3, 3), "lose later": (6, 1)}
# what the one who subscribes to "to me" gets, as paho writes it
INBOUND = [["to me", b"m%d" % number, qos, False, None] for number, qos in enumerate((0, 1, 2, 2))]


class Recorder:
    """A server that keeps what comes, by client id, and answers as it should; or what a test says."""

    def __init__(self, level: int, answers: "Answers | None" = None) -> None:
        self.level = level
        # client id -> packet type -> what is sent instead, made of the packet identifier
        self.answers = answers or {}
        # what the server sends after a subscription to "to me"
        self.inbound = b""
        self.packets: dict[str, list[bytes]] = {}
        self.port = 0

    @contextmanager
    def there(self) -> "Iterator[Recorder]":
        """Itself, with its port, for so long."""
        with listening(self._session) as self.port:
            yield self

    def _session(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        rest = b""
        while data := sock.recv(1 << 20):
            packets, rest = split(rest + data)
            for packet in packets:
                if packet[0] == 0x10:
                    name = client_id(packet, self.level)
                    kept = self.packets.setdefault(name, [])
                    again = bool(kept)
                kept.append(packet)
                kind, most = BREAKS.get(name, (0, 0))
                if again or packet[0] >> 4 != kind:
                    # a client that has its last packet written may close without reading this, and that packet is still to be read
                    with suppress(OSError):
                        sock.sendall(self._answer(name, packet, again))
                elif [earlier[0] >> 4 for earlier in kept].count(kind) == most:
                    return

    def _answer(self, name: str, packet: bytes, again: bool) -> bytes:
        kind = packet[0] >> 4
        body = packet[header(packet) :]
        five = self.level == 5
        pid = body[:2]
        if kind == 3:
            at = 2 + int.from_bytes(body[:2], "big")
            pid = body[at : at + 2] if packet[0] & 6 else b""
        special = self.answers.get(name, {}).get(kind)
        if special:
            return special(pid)
        if kind == 1:
            return bytes([0x20, 2 + five, again, 0]) + bytes(five)
        if kind == 3:
            return bytes([0x40 if packet[0] & 6 == 2 else 0x50, 2]) + pid if pid else b""
        if kind in (5, 6):
            return bytes([0x62 if kind == 5 else 0x70, 2]) + pid
        if kind == 8:
            codes = bytes(options & 3 for options in asked(body, five, True))
            return bytes([0x90, 2 + five + len(codes)]) + pid + bytes(five) + codes + (self.inbound if b"to me" in body else b"")
        if kind == 10:
            codes = bytes(len(asked(body, five, False))) if five else b""
            return bytes([0xB0, 2 + five + len(codes)]) + pid + bytes(five) + codes
        return b"\xd0\0" if kind == 12 else b""


Answers = dict[str, dict[int, Callable[[bytes], bytes]]]
Ours = tuple[Recorder, dict[str, Any]]


def header(packet: bytes) -> int:
    """Bytes before the body."""
    at = 1
    while packet[at] & 128:
        at += 1
    return at + 1


def client_id(packet: bytes, level: int) -> str:
    at = header(packet) + 10
    if level == 5:
        at += Properties(PacketTypes.CONNECT).unpack(packet[at:])[1]
    return packet[at + 2 : at + 2 + int.from_bytes(packet[at : at + 2], "big")].decode()


def asked(body: bytes, five: bool, options: bool) -> list[int]:
    """The options byte of each filter in SUBSCRIBE; in UNSUBSCRIBE, which has none, the last byte of the filter."""
    at = 2
    if five:
        at += Properties(PacketTypes.SUBSCRIBE).unpack(body[at:])[1]
    found = []
    while at < len(body):
        at += 2 + int.from_bytes(body[at : at + 2], "big") + options
        found.append(body[at - 1])
    return found


def block(packet_type: int, pairs: list[tuple[int, Any]] | None) -> Properties | None:
    """Properties for paho."""
    if pairs is None:
        return None
    made = Properties(packet_type)
    for number, value in pairs:
        setattr(made, NAMES[number], value)
    return made


class Paho:
    """The independent encoder: paho's client goes through a session."""

    def __init__(self, recorder: Recorder, session: Session) -> None:
        self.recorder = recorder
        self.name, self.options, will, self.steps = session
        five = recorder.level == 5
        self.clean = self.options.get("clean", True)
        self.client = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            self.name,
            clean_session=None if five else self.clean,
            protocol=paho.MQTTv5 if five else paho.MQTTv311,
            reconnect_on_failure=False,
        )
        if "user" in self.options:
            self.client.username_pw_set(self.options["user"], self.options.get("password"))
        if will:
            topic, msg, qos, retain, pairs = will
            self.client.will_set(topic, msg, qos, retain, block(PacketTypes.WILLMESSAGE, pairs) if five else None)

    def run(self) -> None:
        more: dict[str, Any] = {}
        if self.recorder.level == 5:
            expiry = self.options.get("session_expiry", 0 if self.clean else 0xFFFFFFFF)
            pairs = [*([(17, expiry)] if expiry else []), *OURS, *self.options.get("properties", [])]
            more = {"clean_start": self.clean, "properties": block(PacketTypes.CONNECT, pairs)}
        self.client.connect("127.0.0.1", self.recorder.port, self.options.get("keepalive", 0), **more)
        self.wait(self.client.is_connected)
        for step in self.steps:
            getattr(self, step[0])(*step[1:])
        if not any(step[0] == "disconnect" for step in self.steps):
            self.client.disconnect()
            self.wait(lambda: self.sent(14) == 1)

    def wait(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        while not done():
            assert time.monotonic() < deadline, "paho: it did not happen"
            self.client.loop(0.01)

    def sent(self, kind: int) -> int:
        return sum(packet[0] >> 4 == kind for packet in self.recorder.packets[self.name])

    def publish(self, topic: str, msg: bytes, qos: int, retain: bool, pairs: list[tuple[int, Any]] | None) -> None:
        self.wait(self.client.publish(topic, msg, qos, retain, block(PacketTypes.PUBLISH, pairs)).is_published)

    def subscribe(self, filters: list[Any], pairs: list[tuple[int, Any]] | None) -> None:
        before = self.sent(8)
        if self.recorder.level == 5:
            filters = [
                (name, SubscribeOptions(options & 3, bool(options & 4), bool(options & 8), options >> 4)) for name, options in filters
            ]
            self.client.subscribe(filters, properties=block(PacketTypes.SUBSCRIBE, pairs))
        else:
            self.client.subscribe([tuple(one) for one in filters])
        self.wait(lambda: self.sent(8) > before)

    def unsubscribe(self, filters: list[str], pairs: list[tuple[int, Any]] | None) -> None:
        before = self.sent(10)
        self.client.unsubscribe(filters, block(PacketTypes.UNSUBSCRIBE, pairs))
        self.wait(lambda: self.sent(10) > before)

    def receive(self, count: int) -> None:
        self.wait(lambda: (self.sent(4), self.sent(5), self.sent(7)) == (1, 2, 2))

    def ping(self) -> None:
        self.client._send_pingreq()  # there is no public way that does not wait for a keep alive to pass
        self.wait(lambda: self.sent(12) == 1)

    def lose(self, *messages: Any) -> None:
        under_way = [self.client.publish(topic, msg, qos) for topic, msg, qos in messages]
        self.wait(lambda: not self.client.is_connected())
        self.client.reconnect()
        self.wait(lambda: all(one.is_published() for one in under_way))

    def disconnect(self, reason: int, pairs: list[tuple[int, Any]] | None) -> None:
        if self.recorder.level == 5:
            # net.mqtt always writes reason and property length, both may be left out when they say nothing (§3.14.2.1, §3.14.2.2.1)
            self.client.disconnect(ReasonCode(PacketTypes.DISCONNECT, identifier=reason), block(PacketTypes.DISCONNECT, pairs or []))
        else:
            self.client.disconnect()
        self.wait(lambda: self.sent(14) == 1)


def json_of(value: Any) -> Any:
    """What mqtt_golden.py reads."""
    if isinstance(value, bytes):
        return {"hex": value.hex()} if any(value) else {"zeros": len(value)}
    if isinstance(value, (list, tuple)):
        return [json_of(part) for part in value]
    if isinstance(value, dict):
        return {key: json_of(part) for key, part in value.items()}
    return value


def net_mqtt(recorder: Recorder, sessions: list[Session], interpreter: str, folder: Path) -> dict[str, Any]:
    """net.mqtt goes through the sessions -> what it says about each."""
    file = folder / "sessions.json"
    file.write_text(json.dumps(json_of(sessions)))
    lines = run(interpreter, str(GOLDEN), str(file), str(recorder.port), str(recorder.level), heap="24M").splitlines()
    return {said["name"]: said for said in map(json.loads, lines)}


@pytest.fixture(scope="module", params=LEVELS)
def golden(request: pytest.FixtureRequest) -> Recorder:
    """What paho writes."""
    with Recorder(request.param).there() as recorder:
        properties = MESSAGE if recorder.level == 5 else None
        Paho(recorder, ("source", {}, None, [["publish", *message[:4], properties] for message in INBOUND])).run()
        recorder.inbound = b"".join(packet for packet in recorder.packets["source"] if packet[0] >> 4 == 3)
        for session in SESSIONS[recorder.level]:
            Paho(recorder, session).run()
    return recorder


@pytest.fixture(scope="module", params=INTERPRETERS)
def ours(request: pytest.FixtureRequest, golden: Recorder, tmp_path_factory: pytest.TempPathFactory) -> tuple[Recorder, dict[str, Any]]:
    """What net.mqtt writes, and what it says about it."""
    with Recorder(golden.level).there() as recorder:
        recorder.inbound = golden.inbound
        return recorder, net_mqtt(recorder, SESSIONS[golden.level], request.param, tmp_path_factory.mktemp("golden"))


def in_order(packet: bytes, level: int) -> bytes:
    """CONNECT with its properties in paho's order: net.mqtt puts its own first, and MQTT 5.0 §2.2.2.2 lets it. Others as they are."""
    if level == 4 or packet[0] != 0x10:
        return packet
    at = header(packet) + 10
    properties = Properties(PacketTypes.CONNECT)
    size = properties.unpack(packet[at:])[1]
    return packet[:at] + properties.pack() + packet[at + size :]


@pytest.mark.parametrize("name", [session[0] for session in FIRST + FIFTH])
def test_packets_are_pahos_byte_for_byte(golden: Recorder, ours: Ours, name: str) -> None:
    level = golden.level
    if name not in golden.packets:
        pytest.skip("3.1.1 has no properties")
    recorder, said = ours
    written = [in_order(packet, level) for packet in recorder.packets[name]]
    expected = golden.packets[name]
    if not any(step[0] == "disconnect" for session in FIRST + FIFTH if session[0] == name for step in session[3]):
        assert expected[-1] == b"\xe0\0"  # of paho, to end the session
        expected = expected[:-1]
    assert len(written) == len(expected)
    for number, (mine, theirs) in enumerate(zip(written, expected, strict=True)):
        assert mine == theirs, number
    assert ["broken"] not in said[name]["said"]


def test_pahos_messages_are_read(golden: Recorder, ours: Ours) -> None:
    properties = json_of(MESSAGE) if golden.level == 5 else None
    for got, message in zip(ours[1]["receive"]["got"], INBOUND, strict=True):
        assert got == [{"hex": b"to me".hex()}, {"hex": message[1].hex()}, properties]


# -- what a server says, with property blocks that paho writes

TOLD = [(31, "because \u00e9"), *USER]
CONNACK = [(17, 7), (18, "given"), (19, 40), (21, "m"), (22, b"d\xff"), (26, "info"), (28, "elsewhere"), (31, "ok"), (33, 3), (34, 9),
           (36, 1), (37, 0), (39, 5000), (40, 0), (41, 1), (42, 0), *USER]  # fmt: skip


def says(first: int, before: bytes, packet_type: int, pairs: list[tuple[int, Any]], after: bytes = b"") -> bytes:
    """A packet of a server, put together as MQTT 5.0 §2.1 has it; its properties are paho's."""
    properties = block(packet_type, pairs)
    assert properties is not None
    body = before + properties.pack() + after
    assert len(body) < 16384
    return bytes([first]) + (bytes([len(body)]) if len(body) < 128 else bytes([len(body) & 127 | 128, len(body) >> 7])) + body


def acknowledges(kind: int, packet_type: int, code: int) -> Callable[[bytes], bytes]:
    return lambda pid: says(kind, pid + bytes([code]), packet_type, TOLD)


PUBLISH_1 = [["publish", "t", b"m", 1, False, None]]
PUBLISH_2 = [["publish", "t", b"m", 2, False, None]]
# name -> (what the server sends to a packet of that type, steps, what comes of it)
SAYS: dict[str, tuple[dict[int, Callable[[bytes], bytes]], list[list[Any]], dict[str, Any]]] = {
    "connack": (
        {1: lambda _: says(0x20, b"\0\0", PacketTypes.CONNACK, CONNACK)},
        [],
        {
            "server_keep_alive": 40,
            "assigned": "given",
            "receive_maximum": 3,
            "maximum_packet_size": 5000,
            "maximum_qos": 1,
            "retain_available": False,
            "session_present": False,
            "connack": CONNACK,
        },
    ),
    "refused": (
        {1: lambda _: says(0x20, b"\0\x8a", PacketTypes.CONNACK, TOLD)},
        [],
        {"said": [["refused", 0x8A, "because \u00e9"]]},
    ),
    "puback": ({3: acknowledges(0x40, PacketTypes.PUBACK, 0x97)}, PUBLISH_1, {"acks": [[1, 0x97]]}),
    "puback without properties": ({3: lambda pid: b"\x40\x03" + pid + b"\x10"}, PUBLISH_1, {"acks": [[1, 0x10]]}),
    "pubrec": ({3: acknowledges(0x50, PacketTypes.PUBREC, 0)}, PUBLISH_2, {"acks": [[1, 0]]}),
    "pubrec refused": ({3: acknowledges(0x50, PacketTypes.PUBREC, 0x83)}, PUBLISH_2, {"acks": [[1, 0x83]]}),
    "pubcomp": ({6: acknowledges(0x70, PacketTypes.PUBCOMP, 0x92)}, PUBLISH_2, {"acks": [[1, 0x92]]}),
    "pubrel": (
        {
            8: lambda pid: b"\x90\x04" + pid + b"\0\2" + says(0x34, b"\0\1t\x12\x34", PacketTypes.PUBLISH, [], b"m"),
            5: acknowledges(0x62, PacketTypes.PUBREL, 0),
        },
        [["subscribe", [["t", 2]], None], ["receive", 1]],
        {"got": [[b"t", b"m", []]], "said": [False, 2, None]},
    ),
    "suback": (
        {8: lambda pid: says(0x90, pid, PacketTypes.SUBACK, TOLD, b"\2\0\1")},
        [["subscribe", [["a", 2], ["b", 2], ["c", 2]], None]],
        {"said": [False, [2, 0, 1]]},
    ),
    "suback refused": (
        {8: lambda pid: says(0x90, pid, PacketTypes.SUBACK, TOLD, b"\2\x9e\1")},
        [["subscribe", [["a", 2], ["b", 2], ["c", 2]], None]],
        {"said": [False, ["refused", 0x9E, "because \u00e9"]]},
    ),
    "unsuback": (
        {10: lambda pid: says(0xB0, pid, PacketTypes.UNSUBACK, TOLD, b"\0\x11")},
        [["unsubscribe", ["a", "b"], None]],
        {"said": [False, None]},
    ),
    "unsuback refused": (
        {10: lambda pid: says(0xB0, pid, PacketTypes.UNSUBACK, TOLD, b"\x87")},
        [["unsubscribe", ["a"], None]],
        {"said": [False, ["refused", 0x87, "because \u00e9"]]},
    ),
    "disconnect": (
        {12: lambda _: says(0xE0, b"\x9d", PacketTypes.DISCONNECT, [(28, "there"), *TOLD])},
        [["ping"]],
        {"said": [False, ["refused", 0x9D, "because \u00e9"]]},
    ),
    "disconnect without properties": (
        {12: lambda _: b"\xe0\x01\x8b"},
        [["ping"]],
        {"said": [False, ["refused", 0x8B, "refused by the server"]]},
    ),
    "message": (
        {
            8: lambda pid: b"\x90\x04" + pid + b"\0\0"
            + says(0x31, b"\0\1t", PacketTypes.PUBLISH, [*MESSAGE[:5], (11, [1, 268435455]), *USER], bytes(range(256)))
        },
        [["subscribe", [["t", 0]], None], ["receive", 1]],
        {"got": [[b"t", bytes(range(256)), [*MESSAGE[:5], (11, 1), (11, 268435455), *USER]]]},
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=INTERPRETERS)
def heard(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What net.mqtt makes of it."""
    sessions: list[Session] = [(name, {}, None, steps) for name, (_, steps, _) in SAYS.items()]
    with Recorder(5, {name: answers for name, (answers, _, _) in SAYS.items()}).there() as recorder:
        return net_mqtt(recorder, sessions, request.param, tmp_path_factory.mktemp("heard"))


@pytest.mark.parametrize("name", SAYS)
def test_what_a_server_says_is_understood(heard: dict[str, Any], name: str) -> None:
    for key, expected in SAYS[name][2].items():
        found = heard[name][key]
        if key == "connack":
            # paho writes them in the order of its table, user properties in theirs
            found, expected = (sorted(pairs, key=lambda pair: pair[0]) for pairs in (found, expected))
        assert found == told(expected), key


def told(value: Any) -> Any:
    """As mqtt_golden.py prints it."""
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, (list, tuple)):
        return [told(part) for part in value]
    return value
