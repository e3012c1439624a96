"""net.mqtt against Mosquitto and rumqttd, on both interpreters; and the trial that clients usually fail: a broker that is killed."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from errno import ETIMEDOUT
from pathlib import Path

import pytest
from brokers import BROKERS
from interpreters import INTERPRETERS, run
from listening import listening
from long_run import LONG
from waiting import in_time, wait_for_port

from tools.hub.ports import free_port

WALK = Path(__file__).with_name("mqtt_walk.py")
Figure = Callable[[str], None]
WALKS = ("flows", "oversize", "retained", "will", "resumed", "takeover", "properties")


@pytest.mark.parametrize("interpreter", INTERPRETERS)
@pytest.mark.parametrize("broker", BROKERS)
@pytest.mark.parametrize("level", [4, 5])
@pytest.mark.parametrize("walk", WALKS)
def test_a_walk_goes_through_on_each_broker(request: pytest.FixtureRequest, broker: str, level: int, walk: str, interpreter: str) -> None:
    if walk == "properties" and level == 4:
        pytest.skip("3.1.1 has no properties")
    port = request.getfixturevalue(broker)[level]
    assert "walked" in run(interpreter, str(WALK), str(port), str(level), walk)


# -- on real sockets: the VM's own and CPython's, and on the VM such as a board has (CPython's are like those)

AWKWARD = "micropython with a board's awkward sockets"
SOCKETS = (*INTERPRETERS, "micropython with a board's sockets", AWKWARD)
BOARD = """
import io
import select
from errno import EAGAIN, ETIMEDOUT
from redpoll import port

class BoardSocket(io.IOBase):
    # as on lwIP and ESP32 setblocking(True) wipes the timeout: whoever then reads or writes before it is time waits for ever
    def __init__(self, inner):
        self.inner = inner
        self.blocking = True
        self.poller = select.poll()
        self.poller.register(inner, select.POLLIN)
        self.setsockopt = inner.setsockopt
        self.connect = inner.connect
        self.close = inner.close

    def setblocking(self, flag):
        self.blocking = flag
        self.inner.setblocking(False)

    def settimeout(self, seconds):
        self.setblocking(seconds != 0)

    def ready(self, event):
        self.poller.modify(self.inner, event)
        events = self.poller.poll(0)
        if self.blocking and not events:
            raise RuntimeError("a board would wait here for ever")
        return events[0][1] if events else 0

    def readinto(self, buf):
        self.ready(select.POLLIN)
        return self.inner.readinto(buf)

    def write(self, buf, off, n):
        self.ready(select.POLLOUT)
        return self.inner.write(buf, off, n)

    def ioctl(self, request, argument):
        return self.ready(argument) if request == 3 else 0

class AwkwardSocket(BoardSocket):
    # and each has its own way to say "not now", and takes and gives a part only; None: all that there is
    WAYS = (OSError(EAGAIN), 1, OSError(ETIMEDOUT), 3, 0, None)
    reads = writes = 0

    def most(self, turn, n):
        way = self.WAYS[turn % len(self.WAYS)]
        if isinstance(way, OSError):
            raise way
        return n if way is None else min(n, way)

    def readinto(self, buf):
        self.reads += 1
        n = self.most(self.reads, len(buf))
        return super().readinto(memoryview(buf)[:n]) if n else None

    def write(self, buf, off, n):
        self.writes += 1
        n = self.most(self.writes, n)
        return super().write(buf, off, n) if n else None

open_socket = port.open_socket
port.open_socket = lambda *args: Socket(open_socket(*args))
"""


def run_on(sockets: str, folder: Path, script: str, port: int, *more: str, heap: str = "400K") -> str:
    """Run a script on these sockets -> what it printed."""
    interpreter, _, board = sockets.partition(" ")
    path = folder / "script.py"
    kind = "Socket = AwkwardSocket\n" if sockets == AWKWARD else "Socket = BoardSocket\n"
    path.write_text((BOARD + kind if board else "") + script)
    return run(interpreter, str(path), str(port), *more, heap=heap)


class Killable(threading.Thread):
    """A broker that takes numbered QoS 1 messages, dies at one of them without a word, and is back after a while."""

    def __init__(self, die_at: int, away: float) -> None:
        super().__init__(daemon=True)
        self.die_at = die_at
        self.away = away
        self.port = free_port()
        # (message, DUP) as they came
        self.taken: list[tuple[int, bool]] = []
        # when it was there again, and when the next message came
        self.back_at = self.resumed_at = 0.0

    def run(self) -> None:
        with contextlib.suppress(OSError):
            self.serve(self.die_at)
            time.sleep(self.away)
            self.back_at = time.monotonic()
            self.serve(0)

    def serve(self, die_at: int) -> None:
        with socket.create_server(("127.0.0.1", self.port)) as server:
            while True:
                sock, _ = server.accept()
                with sock, sock.makefile("rb") as stream:
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    if self.session(sock, stream, die_at):
                        return

    def session(self, sock: socket.socket, stream: "socket.SocketIO", die_at: int) -> bool:  # type: ignore[type-arg]
        while head := stream.read(2):
            body = stream.read(head[1])
            if head[0] == 0x10:
                sock.sendall(bytes([0x20, 2, bool(self.taken), 0]))
            elif head[0] & 0xF0 == 0x30:
                self.taken.append((int(body[5:]), bool(head[0] & 8)))
                if die_at and len(self.taken) == die_at:
                    return True
                self.resumed_at = self.resumed_at or (time.monotonic() if self.back_at else 0.0)
                sock.sendall(b"\x40\x02" + body[3:5])
            elif head[0] == 0xC0:
                sock.sendall(b"\xd0\0")
            elif head[0] == 0xE0:
                return True
        return False


REPORT = """
import sys
from redpoll.net.mqtt import MQTTClient
from redpoll.port import sleep_ms
client = MQTTClient("trial", "127.0.0.1", int(sys.argv[1]), keepalive=20)
number = 0
while True:
    try:
        if client.sock is None:
            client.connect(False)
            client.sock.setblocking(True)  # as applications of umqtt do
        while number < 500:
            client.publish("t", b"%d" % number, False, 1)
            number += 1
        client.flush()
        break
    except OSError:
        sleep_ms(100)
client.disconnect()
print("reported")
"""


@pytest.mark.parametrize("sockets", SOCKETS)
def test_five_hundred_messages_outlive_a_killed_broker(sockets: str, tmp_path: Path, figure: Figure) -> None:
    broker = Killable(die_at=150, away=5 if LONG else 0)
    broker.start()
    wait_for_port(broker.port)
    assert "reported" in run_on(sockets, tmp_path, REPORT, broker.port)
    broker.join(5)
    seen: set[int] = set()
    twice = 0
    for number, dup in broker.taken:
        assert dup or number not in seen
        twice += number in seen
        seen.add(number)
    assert seen == set(range(500))
    resumed = broker.resumed_at - broker.back_at
    assert 0 < resumed < 5
    figure(f"500 of 500 arrived, {twice} twice and marked so; away for {broker.away:g} s, resumed {resumed * 1000:.0f} ms after the return")


DEADLINES = """
import sys
from redpoll.net.mqtt import MQTTClient
from redpoll.port import ticks_diff, ticks_ms
started = ticks_ms()
try:
    MQTTClient("id", "127.0.0.1", int(sys.argv[1]), connect_timeout_ms=1500).connect()
    print("connected")
except OSError as error:
    print("error", error.args[0], ticks_diff(ticks_ms(), started))
"""


@pytest.mark.parametrize("sockets", SOCKETS)
def test_a_server_that_accepts_and_never_answers_ends_at_the_deadline(sockets: str, tmp_path: Path, figure: Figure) -> None:
    def took() -> int:
        with socket.create_server(("127.0.0.1", 0)) as server:
            words = run_on(sockets, tmp_path, DEADLINES, server.getsockname()[1]).split()
        assert words[:2] == ["error", str(ETIMEDOUT)]
        assert int(words[2]) >= 1500
        return int(words[2])

    figure(f"ended after {in_time(took, 2500)} ms with a deadline of 1500 ms")


HUGE = """
import sys
from redpoll.net.mqtt import MQTTClient
got = []
client = MQTTClient("id", "127.0.0.1", int(sys.argv[1]))
client.set_callback(lambda topic, msg: got.append(msg))
client.connect()
while not got:
    client.poll(1000)
print(got, client.dropped)
"""


@pytest.mark.parametrize("sockets", SOCKETS)
def test_a_message_larger_than_the_heap_is_drained_and_counted(sockets: str, tmp_path: Path) -> None:
    def send(sock: socket.socket) -> None:
        sock.recv(100)
        body = b"\0\x01t" + bytes(300000)
        sock.sendall(b"\x20\x02\0\0\x30" + bytes([len(body) & 127 | 128, len(body) >> 7 & 127 | 128, len(body) >> 14]) + body)
        sock.sendall(b"\x30\x05\0\x01tok")
        while sock.recv(100):
            pass

    with listening(send) as port:
        assert run_on(sockets, tmp_path, HUGE, port, heap="200K") == "[b'ok'] 1\n"


SILENT = """
import sys
from redpoll.net.mqtt import MQTTClient
from redpoll.port import ticks_diff, ticks_ms
client = MQTTClient("id", "127.0.0.1", int(sys.argv[1]), keepalive=1, window=1)
client.connect()
client.sock.setblocking(True)  # as applications of umqtt do
started = ticks_ms()
try:
    while True:
        if sys.argv[2] == "idle":
            client.poll(10000)
        elif sys.argv[2] == "in a publish":
            client.publish("t", b"m", False, 1)
        else:
            client.publish("t", bytes(50000))
except OSError as error:
    print("error", error.args[0], ticks_diff(ticks_ms(), started), client.sock)
"""


@pytest.mark.parametrize("sockets", SOCKETS)
@pytest.mark.parametrize("what", ["idle", "in a publish", "buffers full"])
def test_a_server_that_falls_silent_is_noticed_within_one_and_a_half_keep_alives(what: str, sockets: str, tmp_path: Path) -> None:
    # a machine is late now and then, a client that is late is so each time
    assert any(noticed_silence(what, sockets, tmp_path) <= 1500 + 300 for _ in range(3))


def noticed_silence(what: str, sockets: str, tmp_path: Path) -> int:
    """ms after which a client with a keep alive of 1 s says that its server is silent, which is so from CONNACK on."""
    over = threading.Event()

    def welcome(sock: socket.socket) -> None:
        sock.recv(100)
        sock.sendall(b"\x20\x02\0\0")
        over.wait()

    with listening(welcome) as port:
        words = run_on(sockets, tmp_path, SILENT, port, what).split()
        over.set()
    assert words[:2] == ["error", str(ETIMEDOUT)] and words[3] == "None"
    return int(words[2])


MANY = """
import sys
from redpoll.net.mqtt import MQTTClient
client = MQTTClient("many", "127.0.0.1", int(sys.argv[1]), keepalive=20)
client.connect()
numbers = [client.publish("t", b"%d" % number, False, 1) for number in range(200)]
client.pid = 65535 - 100
numbers.extend([client.publish("t", b"%d" % (200 + number), False, 1) for number in range(200)])
client.disconnect()
print(len(numbers), max(numbers), min(numbers[200:]) < 10)
"""


@pytest.mark.parametrize("sockets", SOCKETS)
def test_the_65536th_publish_is_like_any_other(sockets: str, tmp_path: Path) -> None:
    broker = Killable(die_at=0, away=0)
    broker.start()
    wait_for_port(broker.port)
    assert run_on(sockets, tmp_path, MANY, broker.port) == "400 65535 True\n"
    assert broker.taken == [(number, False) for number in range(400)]
