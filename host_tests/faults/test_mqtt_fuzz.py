"""Packets of every kind, valid, mutated and random, at net.mqtt's reader: it yields a message, waits for more, or raises MQTTException.

About 3,000 packets each time, 200,000 with REDPOLL_LONG=1. The client runs in this process on CPython, on a socket double.
"""

import importlib
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from errno import ETIMEDOUT
from types import SimpleNamespace
from typing import Any

import pytest
from exploration import bounded
from hypothesis import given
from hypothesis import strategies as st
from interpreters import firmware_here
from long_run import LONG

PACKETS = 200_000
KINDS = ("valid", "odd", "mutated", "random", "large")
MAX_PACKET = 256
ACK_MS = 5000
Figure = Callable[[str], None]
# the firmware's modules, while one of these tests runs
fw = SimpleNamespace()


@pytest.fixture(autouse=True)
def firmware() -> Iterator[None]:
    """The firmware imported as the device tests import it, on a clock that only waiting moves, and forgotten afterwards."""
    with firmware_here():
        fw.fakes = importlib.import_module("fakes")
        for name in ("mqtt", "mqtt5", "stream", "adopted"):
            setattr(fw, name, importlib.import_module(f"redpoll.net.{name}"))
        fw.refusal = importlib.import_module("umqtt.simple").MQTTException
        fw.clock = fw.fakes.Clock().install(fw.mqtt, fw.stream, fw.adopted)
        yield
        fw.__dict__.clear()


def attach(wire: Any) -> Any:
    """The next connection of a client is made to this wire."""

    class Stream(fw.adopted.Adopted):  # type: ignore[misc,name-defined]
        def __init__(self, host: str, port: int, tls: object, limit: int, write_ms: int, name: str) -> None:
            super().__init__(wire, write_ms)

    fw.mqtt.Stream = Stream
    return wire


# -- packets

codes = st.sampled_from([0, 0, 0, 0x10, 0x80, 0x92, 0x97, 0xFF])


def packet(first: int, body: bytes) -> bytes:
    return bytes([first]) + fw.fakes.length(len(body)) + body


@st.composite
def properties(draw: Any) -> bytes:
    """A block as mqtt5 would write it; values of the wrong kind come by mutation."""
    pairs = []
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 3]))):
        identifier, kind = draw(st.sampled_from([(i, kind) for i, kind in enumerate(fw.mqtt5._TYPES) if kind != "."]))
        text = draw(st.sampled_from(["", "a", "\u00e9", "z" * 40]))
        if kind == "p":
            pairs.append((identifier, (text, "v")))
        else:
            pairs.append((identifier, text if kind in "sb" else draw(st.sampled_from([0, 1, 2, 200]))))
    return bytes(fw.mqtt5.encode(pairs))


@st.composite
def valid(draw: Any, level: int) -> bytes:
    """One that a server sends to a client with messages 1 and 3 of QoS 1 and 2 of QoS 2 in flight."""
    kind = draw(st.sampled_from([3, 3, 3, 3, 4, 5, 6, 9, 11, 13]))
    block = draw(properties()) if level == 5 else b""
    pid = bytes([0, draw(st.integers(1, 6))])
    if kind == 3:
        flags = draw(st.sampled_from([0, 0, 1, 2, 4, 10, 12]))
        topic = draw(st.sampled_from([b"t", b"a/b", b"\xc3\xa9", b"x" * 50]))
        identifier = pid if flags & 6 else b""
        return packet(0x30 | flags, bytes([0, len(topic)]) + topic + identifier + block + draw(st.sampled_from([b"", b"m", bytes(80)])))
    if kind in (4, 5, 6):
        pid = draw(st.sampled_from({4: [b"\0\1", b"\0\3"], 5: [b"\0\2"], 6: [pid]}[kind]))
        more = bytes([draw(codes)]) + block if level == 5 and draw(st.booleans()) else b""
        return packet(kind << 4 | (2 if kind == 6 else 0), pid + more)
    if kind == 13:
        return b"\xd0\0"
    return packet(kind << 4, pid + block + bytes([draw(codes)]))


@st.composite
def odd(draw: Any, level: int) -> bytes:
    """One of the right shape that does not belong here."""
    kind = draw(st.integers(0, 15))
    block = draw(properties()) if level == 5 else b""
    topic = draw(st.sampled_from([b"", b"#", b"a/+", b"\xff", b"y" * 120]))
    if kind == 3:
        return packet(0x30 | draw(st.integers(0, 15)), bytes([0, len(topic)]) + topic + bytes([0, draw(st.integers(0, 1))]) + block)
    return packet(
        kind << 4 | draw(st.sampled_from([0, 2])), draw(st.sampled_from([b"", b"\0", b"\0\0", b"\0\2"])) + bytes([draw(codes)]) + block
    )


@st.composite
def mutated(draw: Any, level: int) -> bytes:
    """A valid one with bytes changed, removed, added or repeated."""
    data = bytearray(draw(valid(level) | odd(level)))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, 40)) % (len(data) + 1)
        what = draw(st.sampled_from("crai"))
        if what == "c" and at < len(data):
            data[at] = draw(st.sampled_from([0, 1, 2, 127, 128, 255])) if draw(st.booleans()) else draw(st.integers(0, 255))
        elif what == "r":
            del data[at : at + draw(st.integers(1, 4))]
        elif what == "a":
            data[at:at] = draw(st.binary(min_size=1, max_size=4))
        else:
            data[at:at] = data[: draw(st.integers(1, 20))]
    return bytes(data)


def large() -> st.SearchStrategy[bytes]:
    """One above the maximum, of QoS 0 to 3."""
    return st.builds(
        lambda flags, size: packet(0x30 | flags, b"\0\x01t\0\x05" + bytes(size)), st.integers(0, 15), st.sampled_from([250, 700])
    )


def any_packet(level: int) -> st.SearchStrategy[tuple[str, bytes]]:
    """(kind, packet), most of them valid, so that something is left for the others to break."""
    makers = dict(zip(KINDS, (valid(level), odd(level), mutated(level), st.binary(max_size=24), large()), strict=True))
    return st.sampled_from([*KINDS, *["valid"] * 5]).flatmap(lambda kind: st.tuples(st.just(kind), makers[kind]))


# -- the client


class Session:
    """A client with messages in flight, on a wire from which anything may come."""

    def __init__(self, level: int, dribble: int) -> None:
        self.level = level
        self.dribble = dribble
        self.client = fw.mqtt.MQTTClient("id", "server", protocol=level, max_packet=MAX_PACKET, window=4, ack_timeout_ms=ACK_MS)
        self.client.set_callback(self.take)
        self.got = 0
        self.connect()

    def take(self, topic: bytes, msg: bytes) -> None:
        assert type(topic) is bytes and type(msg) is bytes
        assert topic and len(topic) + len(msg) < MAX_PACKET
        self.got += 1

    def connect(self) -> None:
        self.wire = attach(fw.fakes.Wire(fw.fakes.Server(self.level, session=True)))
        self.client.pid = 0
        self.client.connect(False)
        # from now on only what the test gives
        self.wire.peer = None
        self.wire.dribble = self.dribble
        while self.client.in_flight < 3:
            self.client.publish("t", "m", False, 1 + self.client.in_flight % 2)

    def read(self) -> str:
        """Handle all that has come -> how that ended."""
        before = self.got
        try:
            while self.client.poll(0):
                pass
        except fw.refusal:
            assert self.client.sock is None
            assert self.wire.closed
            return "refused"
        return "yielded" if self.got > before else "waits"


def weight(thing: Any, seen: set[int]) -> int:
    """Bytes of memory that a value holds."""
    if id(thing) in seen or callable(thing):
        return 0
    seen.add(id(thing))
    thing = vars(thing) if hasattr(thing, "__dict__") else thing
    inside = [*thing, *thing.values()] if isinstance(thing, dict) else thing if isinstance(thing, (list, tuple)) else ()
    return sys.getsizeof(thing) + sum(weight(one, seen) for one in inside)


def weight_of(client: Any) -> int:
    held = {name: value for name, value in vars(client).items() if name not in ("sock", "_io", "_seen", "_mqtt5", "cb")}
    return weight(held, {id(client)})


def explore(test: Callable[..., None], examples: int, enough: Callable[[], bool] = lambda: True) -> None:
    """Run the test on so many examples, the same each time; in the long run on other ones, until it is enough."""
    run = bounded(examples)(test)
    run()
    while LONG and not enough():
        run()


DRIBBLES = st.sampled_from([1, 2, 5, 1 << 30])
LEVELS = st.sampled_from([4, 5])


@pytest.mark.timeout(3600 if LONG else 300)
def test_a_reader_yields_waits_or_refuses(figure: Figure) -> None:
    count: Counter[str] = Counter()
    heaviest = 0

    @given(st.data(), LEVELS, DRIBBLES)
    def feed(data: Any, level: int, dribble: int) -> None:
        nonlocal heaviest
        session = Session(level, dribble)
        for kind, packet in data.draw(st.lists(any_packet(level), min_size=10, max_size=30)):
            session.wire.inbound += packet
            count[kind] += 1
            ended = session.read()
            count[ended] += 1
            heaviest = max(heaviest, weight_of(session.client))
            if ended == "refused":
                session.connect()
        assert len(session.client._rx) == MAX_PACKET
        assert len(session.client._received) <= 256

    explore(feed, 2000 if LONG else 160, lambda: sum(count[kind] for kind in KINDS) >= PACKETS)
    assert heaviest < 30 * MAX_PACKET
    figure(
        f"{', '.join(f'{n} {name}' for name, n in sorted(count.items()))}; heaviest client {heaviest} bytes with a buffer of {MAX_PACKET}"
    )


@pytest.mark.timeout(3600 if LONG else 300)
def test_whoever_waits_gets_an_answer_a_refusal_or_the_deadline(figure: Figure) -> None:
    count: Counter[str] = Counter()
    heaviest = 0
    calls: dict[str, Callable[[Any], object]] = {
        "subscribe": lambda client: client.subscribe("x", 1),
        "subscribe several": lambda client: client.subscribe([("x", 1), "y"]),
        "unsubscribe": lambda client: client.unsubscribe("x"),
        "flush": lambda client: client.flush(),
        "publish": lambda client: client.publish("t", "m", False, 1),
        "poll": lambda client: client.poll(1000),
    }

    @given(st.data(), LEVELS, DRIBBLES)
    def wait(data: Any, level: int, dribble: int) -> None:
        nonlocal heaviest
        session = Session(level, dribble)
        for name in data.draw(st.lists(st.sampled_from(sorted(calls)), min_size=1, max_size=6)):
            for _, packet in data.draw(st.lists(any_packet(level), max_size=12)):
                session.wire.inbound += packet
                count["packets"] += 1
            started = fw.clock.now
            try:
                calls[name](session.client)
                count["answers"] += 1
            except fw.refusal:
                count["refusals"] += 1
            except OSError as error:
                assert error.args[0] == ETIMEDOUT
                assert fw.clock.now - started >= ACK_MS or session.client.sock is None
                count["deadlines"] += 1
            assert fw.clock.now - started <= ACK_MS + 1300
            heaviest = max(heaviest, weight_of(session.client))
            if session.client.sock is None:
                session.connect()

    explore(wait, 4000 if LONG else 80)
    assert heaviest < 60 * MAX_PACKET
    figure(
        f"{', '.join(f'{n} {name}' for name, n in sorted(count.items()))}; heaviest client {heaviest} bytes with a buffer of {MAX_PACKET}"
    )


def test_anything_in_the_place_of_connack_is_refused_or_the_deadline(figure: Figure) -> None:
    count: Counter[str] = Counter()

    @given(st.data(), LEVELS, DRIBBLES)
    def open_with(data: Any, level: int, dribble: int) -> None:
        answers = data.draw(st.lists(any_packet(level), max_size=3))
        wire = attach(fw.fakes.Wire())
        wire.dribble = dribble
        wire.inbound += b"".join(packet for _, packet in answers)
        client = fw.mqtt.MQTTClient("id", "server", protocol=level, max_packet=MAX_PACKET, connect_timeout_ms=3000)
        started = fw.clock.now
        try:
            client.connect(False)
            count["connected"] += 1
        except fw.refusal:
            count["refused"] += 1
        except OSError as error:
            assert error.args[0] == ETIMEDOUT
            assert fw.clock.now - started >= 3000
            count["deadline"] += 1
        assert fw.clock.now - started <= 3100
        assert wire.closed == (client.sock is None)

    explore(open_with, 4000 if LONG else 100)
    figure(", ".join(f"{n} {name}" for name, n in sorted(count.items())))


# -- floods: what comes without end must not keep a deadline from being looked at, nor fill the memory


def flood(level: int, step_ms: int, piece: bytes, after: bytes = b"", **options: Any) -> tuple[Any, Any]:
    """A client, and a wire on which the same piece comes again and again, every so many ms; `after`: the properties of CONNACK."""

    class Flood(fw.fakes.Wire):  # type: ignore[misc,name-defined]
        def read(self, n: int) -> bytes:
            fw.clock.now += step_ms
            assert fw.clock.now < self.until, "still waiting"
            if not self.inbound:
                self.inbound.extend(piece)
            return super().read(n)

    wire = Flood(fw.fakes.Server(level, session=True, connack=after, silent=(3, 8, 12)))
    wire.until = fw.clock.now + 100_000
    client = fw.mqtt.MQTTClient("id", "server", protocol=level, window=4, ack_timeout_ms=ACK_MS, keepalive=10, **options)
    return client, wire


PINGRESP = b"\xd0\0"


@pytest.mark.parametrize("call", ["subscribe", "flush", "publish"])
def test_in_a_flood_whoever_waits_still_meets_the_deadline(call: str) -> None:
    client, wire = flood(4, 100, PINGRESP)
    attach(wire)
    client.connect(False)
    for _ in range(4):
        client.publish("t", "m", False, 1)
    started = fw.clock.now
    with pytest.raises(OSError) as caught:
        getattr(client, call)(*{"subscribe": ("x",), "flush": (), "publish": ("t", "m", False, 1)}[call])
    assert caught.value.args[0] == ETIMEDOUT
    assert fw.clock.now - started <= ACK_MS + 1000


def test_in_a_flood_connect_ends_when_nothing_of_the_window_is_acknowledged() -> None:
    client, first = flood(5, 0, PINGRESP)
    attach(first)
    client.connect(False)
    for _ in range(4):
        client.publish("t", "m", False, 1)
    client.close()
    # now the server takes one message at a time
    _, second = flood(5, 100, PINGRESP, after=b"\x21\0\1")
    attach(second)
    with pytest.raises(OSError):
        client.connect(False)


@pytest.mark.parametrize("missing", ["PUBACK", "PINGRESP"])
def test_an_answer_that_is_missing_is_noticed_while_messages_come(missing: str) -> None:
    wire = attach(fw.fakes.Wire(fw.fakes.Server(4, silent=(3, 12))))
    client = fw.mqtt.MQTTClient("id", "server", keepalive=10 if missing == "PINGRESP" else 0, ack_timeout_ms=ACK_MS)
    client.connect()
    if missing == "PUBACK":
        client.publish("t", "m", False, 1)
    with pytest.raises(OSError):
        for _ in range(100):
            wire.inbound += fw.fakes.publish(b"t", b"m")
            client.poll(0)
            fw.clock.now += 500


def test_properties_of_messages_that_wait_are_bounded_too() -> None:
    wire = attach(fw.fakes.Wire(fw.fakes.Server(5)))
    client = fw.mqtt.MQTTClient("id", "server", protocol=5, ack_timeout_ms=ACK_MS)
    client.connect()
    wire.peer = None
    block = fw.mqtt5.encode([(fw.mqtt5.USER_PROPERTY, ("", ""))] * 1500)
    wire.inbound += fw.fakes.publish(b"t", b"", properties=block) * 20
    before = weight_of(client)
    with pytest.raises(OSError):
        client.subscribe("x")
    # decoded one such packet weighs 200,000 bytes here, a tenth of that on a board
    assert weight_of(client) - before < 500_000
