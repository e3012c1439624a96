"""net.mqtt against Mosquitto and rumqttd, on both interpreters; and the trial that clients usually fail: a broker that is killed."""

import contextlib
import socket
import threading
import time
from pathlib import Path

import pytest
from brokers import BROKERS, wait_for_port
from interpreters import INTERPRETERS, run

from tools.hub.broker import free_port

WALK = Path(__file__).with_name("mqtt_walk.py")
WALKS = ("flows", "oversize", "retained", "will", "resumed", "takeover", "properties")


@pytest.mark.parametrize("interpreter", INTERPRETERS)
@pytest.mark.parametrize("broker", BROKERS)
@pytest.mark.parametrize("level", [4, 5])
@pytest.mark.parametrize("walk", WALKS)
def test_walk(request: pytest.FixtureRequest, broker: str, level: int, walk: str, interpreter: str) -> None:
    if walk == "properties" and level == 4:
        pytest.skip("3.1.1 has no properties")
    port = request.getfixturevalue(broker)[level]
    assert "walked" in run(interpreter, str(WALK), str(port), str(level), walk)


class Killable(threading.Thread):
    """A broker that takes numbered QoS 1 messages, dies at one of them without a word, and is back after a while."""

    def __init__(self, die_at: int, away: float) -> None:
        super().__init__(daemon=True)
        self.die_at = die_at
        self.away = away
        self.port = free_port()
        # (message, DUP) as they came
        self.taken: list[tuple[int, bool]] = []
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
                self.resumed_at = time.monotonic()
            elif head[0] & 0xF0 == 0x30:
                self.taken.append((int(body[5:]), bool(head[0] & 8)))
                if die_at and len(self.taken) == die_at:
                    return True
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


@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_five_hundred_messages_outlive_a_killed_broker(interpreter: str, tmp_path: Path) -> None:
    script = tmp_path / "report.py"
    script.write_text(REPORT)
    broker = Killable(die_at=150, away=2)
    broker.start()
    wait_for_port(broker.port)
    assert "reported" in run(interpreter, str(script), str(broker.port))
    broker.join(5)
    seen: set[int] = set()
    for number, dup in broker.taken:
        assert dup or number not in seen
        seen.add(number)
    assert seen == set(range(500))
    assert 0 < broker.resumed_at - broker.back_at < 1


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


@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_a_server_that_accepts_and_never_answers_ends_at_the_deadline(interpreter: str, tmp_path: Path) -> None:
    script = tmp_path / "deadline.py"
    script.write_text(DEADLINES)
    with socket.create_server(("127.0.0.1", 0)) as server:
        words = run(interpreter, str(script), str(server.getsockname()[1])).split()
    assert words[0] == "error"
    assert 1500 <= int(words[2]) < 2500


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


def test_a_message_larger_than_the_heap_is_drained_and_counted(tmp_path: Path) -> None:
    script = tmp_path / "huge.py"
    script.write_text(HUGE)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def send() -> None:
            with server.accept()[0] as sock:
                sock.recv(100)
                body = b"\0\x01t" + bytes(300000)
                sock.sendall(b"\x20\x02\0\0\x30" + bytes([len(body) & 127 | 128, len(body) >> 7 & 127 | 128, len(body) >> 14]) + body)
                sock.sendall(b"\x30\x05\0\x01tok")
                sock.recv(100)

        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        assert run("micropython", str(script), str(server.getsockname()[1]), heap="200K") == "[b'ok'] 1\n"
        thread.join(5)
