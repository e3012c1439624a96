"""net.mqtt over a network that fails (bad_network), between both interpreters and both brokers.

At no place where a connection breaks is a message lost that publish() accepted, none of QoS 2 comes twice, and no call takes longer than
its deadline. A part of the places each time; all of them with REDPOLL_LONG=1. What was tried is printed at the end of the run.
"""

import copy
import errno
import getpass
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from bad_network import Cut, Dribble, Garbage, Late, Network, Packets, Silence, Stall, Way, twice
from brokers import BROKERS, kept, needs_mosquitto
from certificates import make_certificates
from interpreters import INTERPRETERS, Script
from long_run import LONG
from waiting import wait_for_port

from tools.hub.broker.process import EmbeddedProcess, MosquittoProcess
from tools.hub.ports import free_port

HERE = Path(__file__).resolve().parent
Figure = Callable[[str], None]
COUNT = 6  # messages of one session
SLACK_MS = 1500  # a busy machine
GRACE = 300  # ms, where a figure is what is tested
TRIES = 3  # then: a machine is late now and then, a client that is late is so each time
ENVIRONMENTS = [
    pytest.param((broker, level, interpreter), marks=[needs_mosquitto] if broker == "mosquitto" else [])
    for broker in ("embedded", "mosquitto")
    for level in (4, 5)
    for interpreter in INTERPRETERS
]


class Watcher:
    """An independent client (paho) that listens beside the device, on a network that does not fail."""

    def __init__(self, port: int, prefix: str) -> None:
        self.came: Counter[tuple[str, int]] = Counter()
        self._prefix = prefix
        self._ready = threading.Event()
        self._changed = threading.Condition()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, f"watcher-{prefix}", protocol=paho.MQTTv5)
        self._client.on_connect = lambda *args: self._client.subscribe(f"{prefix}/#", 2)
        self._client.on_subscribe = lambda *args: self._ready.set()
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)

    def _on_message(self, client: object, data: object, message: paho.MQTTMessage) -> None:
        with self._changed:
            self.came[message.topic, int(message.payload)] += 1
            self._changed.notify_all()

    def __enter__(self) -> "Watcher":
        self._client.loop_start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *error: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic: str, message: bytes) -> None:
        """At QoS 1, until the broker has it."""
        self._client.publish(topic, message, 1).wait_for_publish(10)

    def settle(self) -> None:
        """Wait until all that the broker had taken before has come: it hands on in the order in which it takes."""
        end = (f"{self._prefix}/end", 0)
        before = self.came[end]
        self._client.publish(end[0], b"0", 2)
        with self._changed:
            assert self._changed.wait_for(lambda: self.came[end] > before, 20)


class Bench:
    """A device on a bad network before a broker, and a watcher beside it."""

    def __init__(
        self, ports: dict[int, int], level: int, interpreter: str, qualities: tuple[int, ...], tls: tuple[str, ...] = (), tls_port: int = 0
    ) -> None:
        self.level = level
        self.qualities = qualities
        self.may_reset = True
        self.prefix = f"bad{random.getrandbits(40):x}"
        self.lives = 0
        self.forgotten = 0
        self.doubled = 0
        self.watcher = Watcher(ports[5], self.prefix)
        self.tls = tls
        self.network = Network(tls_port or ports[level])
        self.device = Script(interpreter, HERE / "mqtt_device.py", heap="1M" if tls else "400K")

    def __enter__(self) -> "Bench":
        self.watcher.__enter__()
        self.network.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.device.__exit__()
        self.network.__exit__()
        self.watcher.__exit__()

    def qos(self, number: int) -> int:
        """The QoS of a message: 1 and 2 in turn."""
        return self.qualities[number % len(self.qualities)]

    def live(self, *troubles: tuple[Way | None, Way | None], deadline_ms: int = 5000, **options: Any) -> dict[str, Any]:
        """A session whose first connections have these troubles: what it met, after nothing hung and nothing of QoS 2 came back twice."""
        again = [copy.deepcopy(troubles) for _ in range(1, TRIES)]
        life = self._live(troubles, deadline_ms, options)
        # a wait for room and then a write, each with its deadline
        while max(life["longest"].values()) > 2 * deadline_ms + SLACK_MS:
            assert again, life
            life = self._live(again.pop(), deadline_ms, options)
        return life

    def _live(self, troubles: tuple[tuple[Way | None, Way | None], ...], deadline_ms: int, options: dict[str, Any]) -> dict[str, Any]:
        for up, down in troubles:
            self.network.plan(up, down)
        self.lives += 1
        question = {"port": self.network.port, "level": self.level, "deadline_ms": deadline_ms, "tls": self.tls, **options}
        name, topic = f"{self.prefix}-{self.lives}", f"{self.prefix}/{self.lives}"
        life: dict[str, Any] = self.device.ask(60, do="live", name=name, topic=topic, count=COUNT, qos=self.qualities, **question)
        assert life["done"], life
        self.forgotten += life["forgotten"]
        if options.get("echo", True) and not life["forgotten"]:
            for number in range(COUNT):
                assert life["got"].count(number) == 1 or self.qos(number) == 1, life
        return life

    def check_all(self) -> None:
        """What the watcher got: of each session every message, those of QoS 2 once."""
        self.watcher.settle()
        for life in range(1, self.lives + 1):
            for number in range(COUNT):
                came = self.watcher.came[f"{self.prefix}/{life}", number]
                assert came == 1 or came > 1 and self.qos(number) == 1, (life, number, came)
                self.doubled += came > 1

    def lengths(self) -> tuple[int, int]:
        """Bytes up and down in a session without trouble."""
        self.live()
        link = self.network.links[-1]
        return link.passed[link.up], link.passed[link.down]


@pytest.fixture(params=ENVIRONMENTS, ids=lambda param: "-".join(map(str, param)))
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Each broker, each protocol level, each interpreter."""
    broker, level, interpreter = request.param
    # rumqttd 0.20 keeps no QoS 2 over a broken connection: it loses the message, closes each connection on which its PUBREL comes, and
    # gives the identifiers of messages that it has not released to others
    with Bench(request.getfixturevalue(broker), level, interpreter, (1,) if broker == "embedded" else (1, 2)) as made:
        # and it panics when a client that has a session sends CONNECT and resets the connection
        made.may_reset = broker != "embedded"
        yield made


@pytest.mark.parametrize("side", ["up", "down"])
def test_wherever_a_connection_breaks_nothing_is_lost_and_nothing_of_qos_2_comes_twice(bench: Bench, side: str, figure: Figure) -> None:
    total = bench.lengths()[side == "down"]
    chance = random.Random()
    step = 1 if LONG else 40
    cuts = 0
    for at in range(chance.randrange(step), total + 1, step):
        for reset in (False, True) if LONG else (bool(at & 1),):
            first = Cut(at, reset and bench.may_reset)
            # and again in the recovery
            second = Cut(chance.randrange(total), not reset and bench.may_reset)
            troubles = [(first, None), (None, second)] if side == "up" else [(None, first), (second, None)]
            life = bench.live(*troubles)
            assert not any(refused for refused, _ in life["errors"]), life
            # not every session is as long as the first: an acknowledgement may be due only after the end
            cuts += first.happened
    assert cuts >= total // step - 1
    bench.check_all()
    figure(
        f"{cuts} sessions, cut after {'each' if LONG else f'every {step}th'} of {total} bytes {side} and again in the recovery: "
        f"nothing lost, {bench.doubled} of QoS 1 twice, forgotten by the broker: {bench.forgotten}"
    )


def places(total: int, several: int) -> range:
    """So many places between bytes, all of them in the long run."""
    step = 1 if LONG else total // several
    return range(random.randrange(step), total, step)


@pytest.mark.parametrize("side", ["up", "down"])
def test_a_network_that_falls_silent_anywhere_costs_a_deadline_and_no_message(bench: Bench, side: str, figure: Figure) -> None:
    longest: Counter[str] = Counter()
    silences = tried = 0
    for at in places(bench.lengths()[side == "down"] - 20, 2):
        hole = Silence(at)
        life = bench.live((hole, None) if side == "up" else (None, hole), deadline_ms=300, keepalive=2)
        longest |= Counter(life["longest"])
        tried += 1
        # not every session is as long as the first
        silences += hole.happened
    assert silences >= tried // 2
    bench.check_all()
    times = ", ".join(f"{name} {ms}" for name, ms in sorted(longest.items()))
    figure(f"silent after {silences} places {side}, deadline of 300 ms; longest calls in ms: {times}")


def test_garbage_from_the_network_ends_the_connection_and_loses_nothing(bench: Bench, figure: Figure) -> None:
    refused = tried = 0
    for at in places(bench.lengths()[1] - 20, 4):
        life = bench.live((None, Garbage(at, at)), deadline_ms=300, keepalive=2, echo=False)
        refused += any(violation for violation, _ in life["errors"])
        tried += 1
    bench.check_all()
    figure(f"garbage from the network at {tried} places: nothing lost, {refused} refused by the client as a violation")


def test_a_slow_network_and_one_that_brings_single_bytes_are_only_slow(bench: Bench) -> None:
    for way in (Dribble, lambda: Late(0.005)):
        assert bench.live((way(), way()))["errors"] == []
    bench.check_all()


def test_packets_that_come_twice_do_no_harm(bench: Bench) -> None:
    publish, puback, pubrec, pubrel, pubcomp, suback, pingresp = 3, 4, 5, 6, 7, 9, 13
    down = [puback, pubrec, pubrel, pubcomp, suback, pingresp]
    if bench.qualities == (1, 2):  # rumqttd closes at acknowledgements that it does not expect
        down.append(publish)
        assert bench.live((twice(publish, puback, pubrec, pubrel, pubcomp), None))["errors"] == []
    assert bench.live((None, twice(*down)))["errors"] == []
    bench.check_all()


@needs_mosquitto
@pytest.mark.parametrize("level", [4, 5])
def test_a_session_with_many_messages_waiting_can_be_resumed(mosquitto: dict[int, int], level: int) -> None:
    name = f"back{random.getrandbits(40):x}"
    topic = f"{name}-in"
    question = {"do": "come_back", "port": mosquitto[level], "level": level, "name": name, "topic": topic}
    with Watcher(mosquitto[5], name) as sender, Script("micropython", HERE / "mqtt_device.py") as device:
        assert device.ask(60, **question, expect=0) == {"came": 0, "errors": []}
        for _ in range(16):
            sender.publish(topic, bytes(1000))
        end = device.ask(60, **question, expect=16)
    assert end == {"came": 16, "errors": []}


# -- the same under TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    return folder


@pytest.fixture(scope="module")
def plain_port() -> int:
    """On which the guarded Mosquitto lets everybody in."""
    return free_port()


@pytest.fixture(scope="module")
def guarded(certificates: Path, plain_port: int) -> Iterator[MosquittoProcess]:
    """Mosquitto that lets only clients with a certificate in."""
    names = {"cafile": "ca.pem", "certfile": "server.pem", "keyfile": "server.key"}
    # it gives root's rights up before it reads them
    lines = ["require_certificate true", f"user {getpass.getuser()}", *(f"{key} {certificates / name}" for key, name in names.items())]
    lines += [f"listener {plain_port} 127.0.0.1", ""]
    with MosquittoProcess(listener="\n".join(lines)) as broker:
        wait_for_port(plain_port)
        yield broker


@needs_mosquitto
@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_a_tls_handshake_that_stops_breaks_or_dribbles_anywhere_ends_within_the_deadline(
    certificates: Path, guarded: MosquittoProcess, interpreter: str, figure: Figure
) -> None:
    files = {"ca": "ca.pem", "cert": "device.pem", "key": "device.key"}
    deadline = 400
    question = {"do": "knock", "level": 5, "name": "knock", "deadline_ms": deadline}
    question |= {name: str(certificates / file) for name, file in files.items()}
    tried = 0
    longest = 0
    with Network(guarded.port) as network, Script(interpreter, HERE / "mqtt_device.py", heap="1M") as device:
        question["port"] = network.port
        entered = device.ask(20, **question | {"deadline_ms": 8000})
        assert entered["error"] is None, entered
        link = network.links[-1]
        for side in (link.up, link.down):
            # what came before CONNACK had been answered
            for at in range(0, link.passed[side] - 250, 40 if LONG else 700):
                for kind in (Silence, Cut):
                    for _ in range(TRIES):
                        trouble = kind(at)
                        network.plan(*((trouble, None) if side is link.up else (None, trouble)))
                        end = device.ask(20, **question)
                        assert end["error"] and end["closed"], (trouble, at, end)
                        if end["took"] <= deadline + GRACE:
                            break
                    assert end["took"] <= deadline + GRACE, (trouble, at, end)
                    longest = max(longest, end["took"])
                    tried += 1
        network.plan(Dribble(), Dribble())
        assert device.ask(20, **question | {"deadline_ms": 8000})["error"] is None
        # without its certificate it stays outside
        assert device.ask(20, **question | {"cert": None, "key": None})["error"]
    figure(f"{tried} handshakes stopped or cut, the longest attempt took {longest} ms with a deadline of {deadline} ms")


@needs_mosquitto
@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_under_tls_too_nothing_is_lost_wherever_a_connection_breaks(
    certificates: Path, guarded: MosquittoProcess, plain_port: int, interpreter: str, figure: Figure
) -> None:
    files = tuple(str(certificates / name) for name in ("ca.pem", "device.pem", "device.key"))
    cuts = 0
    with Bench({5: plain_port}, 5, interpreter, (1, 2), files, guarded.port) as bench:
        for side, total in zip(("up", "down"), bench.lengths(), strict=True):
            step = 16 if LONG else total // 4
            for at in range(random.randrange(step), total, step):
                cut = Cut(at, reset=bool(at & 1))
                life = bench.live((cut, None) if side == "up" else (None, cut))
                assert not any(refused for refused, _ in life["errors"]), life
                cuts += cut.happened
        bench.check_all()
    assert cuts >= 6
    figure(f"{cuts} TLS sessions cut: nothing lost, {bench.doubled} of QoS 1 twice")


# -- a link that falls silent while it is used


IN_TIME = {
    "idle": {"do": "listen"},
    "waiting for an acknowledgement": {"do": "speak", "qos": 1, "size": 100},
    "QoS 0": {"do": "speak", "qos": 0, "size": 100},
    "buffers full": {"do": "speak", "qos": 0, "size": 50000},
}


def notice(interpreter: str, broker: int, what: str, **more: Any) -> int:
    """The same as notice_once(), again when it was late."""
    for _ in range(TRIES):
        end = notice_once(interpreter, broker, what, **more)
        # a broker is a machine too: where all stood still, it may have closed the connection first
        if end["error"] == errno.ETIMEDOUT and end["noticed"] <= 3000 + GRACE:
            break
    assert end["error"] == errno.ETIMEDOUT and end["closed"]
    return int(end["noticed"])


def notice_once(interpreter: str, broker: int, what: str, **more: Any) -> dict[str, Any]:
    """How it ended, and ms after which a client with a keep alive of 2 s says that its link is dead, which is so from CONNACK on."""
    with Network(broker) as network, Script(interpreter, HERE / "mqtt_device.py") as device:
        question = {"port": network.port, "name": "silent", "keepalive": 2} | more
        assert device.ask(30, do="listen", seconds=0, **question)["noticed"] is None
        link = network.links[-1]
        # a signature is a byte or two longer or shorter each time; what passes then is a piece of a record
        spare = 8 if "tls" in more else 0
        if what == "buffers full":
            network.plan(Stall(link.passed[link.up] + spare), None)
        else:
            network.plan(None, Silence(link.passed[link.down] + spare))
        end = device.ask(60, seconds=20, **question, **IN_TIME[what])
    assert end["noticed"] is not None
    return end


@pytest.mark.parametrize("interpreter", INTERPRETERS)
@pytest.mark.parametrize("what", IN_TIME)
@pytest.mark.parametrize("level", [4, 5])
def test_a_silent_link_is_noticed_within_one_and_a_half_keep_alives(
    embedded: dict[int, int], level: int, what: str, interpreter: str, figure: Figure
) -> None:
    ms = notice(interpreter, embedded[level], what, level=level)
    assert ms <= 3000 + GRACE
    figure(f"noticed after {ms} ms at a keep alive of 2 s")


@needs_mosquitto
@pytest.mark.parametrize("interpreter", INTERPRETERS)
@pytest.mark.parametrize("what", IN_TIME)
def test_so_is_one_with_tls(certificates: Path, guarded: MosquittoProcess, what: str, interpreter: str, figure: Figure) -> None:
    files = tuple(str(certificates / name) for name in ("ca.pem", "device.pem", "device.key"))
    ms = notice(interpreter, guarded.port, what, level=5, tls=files)
    assert ms <= 3000 + GRACE
    figure(f"noticed after {ms} ms at a keep alive of 2 s")


# -- the soak


class Ledger:
    """Reads both ways of the device's connections: which messages came, which were acknowledged, and kills the broker at some of them."""

    def __init__(self, kill: Callable[[], None], kill_at: list[int]) -> None:
        self.kill = kill
        self.kill_at = kill_at
        # message -> how often it came
        self.came: Counter[int] = Counter()
        self.acknowledged: set[int] = set()
        self.twice_without_dup: list[int] = []

    def ways(self) -> tuple[Way, Way]:
        """For one connection."""
        carried: dict[bytes, int] = {}

        def up(first: int, body: bytes) -> int:
            if first & 0xF0 == 0x30:
                at = 2 + (body[0] << 8 | body[1])
                number = int(body[at + 2 :].strip(b"\0"))
                carried[body[at : at + 2]] = number
                if self.came[number] and not first & 8:
                    self.twice_without_dup.append(number)
                self.came[number] += 1
                if self.kill_at and len(self.came) >= self.kill_at[0]:
                    self.kill_at.pop(0)
                    self.kill()
            return 1

        def down(first: int, body: bytes) -> int:
            if first == 0x40 and body[:2] in carried:
                self.acknowledged.add(carried[body[:2]])
            return 1

        return Packets(up), Packets(down)


@pytest.mark.timeout(3600 if LONG else 120)
@pytest.mark.parametrize("level", [4, 5])
@pytest.mark.parametrize("kind", BROKERS)
def test_in_a_soak_with_a_broker_that_is_killed_all_arrives_and_the_heap_stays(
    kind: str, level: int, tmp_path: Path, figure: Figure
) -> None:
    count, kills = (100_000, 100) if LONG else (3_000, 2)
    made = EmbeddedProcess(tmp_path) if kind == "embedded" else MosquittoProcess()
    ledger = Ledger(made.kill, [count * n // (kills + 1) for n in range(1, kills + 1)])
    with kept(made) as broker, Network(0) as network, Script("micropython", HERE / "mqtt_device.py", heap="200K") as device:
        network.broker = broker.port_311 if level == 4 else broker.port
        network.default = ledger.ways
        started = time.monotonic()
        question = {"do": "report", "port": network.port, "level": level, "name": "soak", "topic": "soak"}
        marks = [count // 10, count // 2, count]
        end = device.ask(3000 if LONG else 100, count=count, heap_at=marks, **question)
        took = time.monotonic() - started
    assert not ledger.kill_at
    assert ledger.acknowledged == set(range(count))
    assert not ledger.twice_without_dup
    assert max(end["heap"][1:]) <= end["heap"][0] + 512, end
    again = sum(times - 1 for times in ledger.came.values())
    figure(
        f"{count} messages, broker killed {kills} times in {took:.0f} s: all arrived, {again} sent again with DUP, "
        f"connections lost {end['errors']} times; heap after {marks} messages: {end['heap']} bytes"
    )
