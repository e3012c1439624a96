"""net.mqtt walks through the specification on Mosquitto and rumqttd, on both interpreters; mqtt_walk.py has the walks."""

import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from brokers import BROKERS, needs_mosquitto
from interpreters import INTERPRETERS, command, run
from mqtt_proxy import DOWN, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, UP, Proxy
from waiting import wait_for_port

from tools.hub.broker.mosquitto import find_mosquitto
from tools.hub.ports import free_port

WALK = Path(__file__).with_name("mqtt_walk.py")
LEVELS = (4, 5)
# walk -> the protocol levels that have what it walks through
WALKS = {
    "identities": LEVELS,
    "odd_identity": LEVELS,
    "nameless_session": LEVELS,
    "without_keep_alive": LEVELS,
    "unknown_protocol": LEVELS,
    "binary_password": LEVELS,
    "wills": (5,),
    "will_with_disconnect": (5,),
    "expiry_in_disconnect": (5,),
    "clean_or_not": LEVELS,
    "taken_over": LEVELS,
    "overlapping": LEVELS,
    "shared": LEVELS,
    "options": (5,),
    "malformed_filter": LEVELS,
    "sizes": LEVELS,
    "huge": LEVELS,
}
# what a server does by its own clock: all of them at once, for they do nothing but wait
WAITING = {"will_delay": (5,), "session_expiry": (5,), "keep_alive": LEVELS}
# what the embedded broker (iotcore 0.4.0) was seen to do instead; the levels at which it does so
RUMQTTD = {
    "odd_identity": (LEVELS, "closes the connection without CONNACK when the client id has one of / $ # +"),
    "nameless_session": ((5,), "refuses an empty client id without clean start with 0x85, where MQTT 5 lets it assign one"),
    "without_keep_alive": (LEVELS, "closes the connection without CONNACK when the keep alive is 0"),
    "unknown_protocol": (LEVELS, "closes the connection without CONNACK when it does not know the protocol level"),
    "binary_password": (LEVELS, "closes the connection without CONNACK when the password is not UTF-8"),
    "will_with_disconnect": ((5,), "publishes no will after DISCONNECT with reason 4"),
    "expiry_in_disconnect": ((5,), "keeps the session after DISCONNECT with Session Expiry Interval 0"),
    "session_expiry": ((5,), "never ends a session: one with Session Expiry Interval 1 is still there 3 s after the connection"),
    "options": ((5,), "sends retained messages and a client's own ones whatever the subscription options say"),
    "malformed_filter": (LEVELS, "grants a subscription to a/#/b"),
    "huge": (LEVELS, "closes the connection at a packet above its configured max_payload_size, here 512 KiB"),
    "window_in": ((5,), "does not look at the client's Receive Maximum: 20 messages of 20 came without an acknowledgement"),
}
# it says "session present" and has lost which QoS 2 messages were under way
RUMQTTD_QOS_2 = {
    "lost_outbound": "closes a resumed connection at the PUBREL of a message that it took on the connection before, every time",
    "lost_inbound": "with several messages under way, sends no PUBREL again on the resumed connection",
}


def skip_what_rumqttd_does_not(broker: str, walk: str, level: int) -> None:
    levels, reason = RUMQTTD.get(walk, ((), ""))
    if broker == "embedded" and level in levels:
        pytest.skip(f"rumqttd 0.20 {reason}")


def port_of(request: pytest.FixtureRequest, broker: str, level: int) -> int:
    return int(request.getfixturevalue(broker)[level])


def walked(interpreter: str, port: int, level: int, walk: str, *more: object) -> None:
    said = run(interpreter, str(WALK), str(port), str(level), walk, *map(str, more), heap="12M")
    assert said.endswith("walked\n"), said


@pytest.mark.parametrize("interpreter", INTERPRETERS)
@pytest.mark.parametrize("broker", BROKERS)
@pytest.mark.parametrize(("walk", "level"), [(walk, level) for walk, levels in WALKS.items() for level in levels])
def test_a_walk_goes_through_on_each_broker(request: pytest.FixtureRequest, broker: str, level: int, walk: str, interpreter: str) -> None:
    skip_what_rumqttd_does_not(broker, walk, level)
    walked(interpreter, port_of(request, broker, level), level, walk)


@pytest.mark.parametrize("broker", BROKERS)
@pytest.mark.parametrize(("walk", "level"), [(walk, level) for walk, levels in WAITING.items() for level in levels])
def test_a_walk_that_waits_for_the_server_goes_through(request: pytest.FixtureRequest, broker: str, level: int, walk: str) -> None:
    skip_what_rumqttd_does_not(broker, walk, level)
    port = port_of(request, broker, level)
    with ThreadPoolExecutor() as both:
        for done in [both.submit(walked, interpreter, port, level, walk) for interpreter in INTERPRETERS]:
            done.result()


@pytest.mark.parametrize("interpreter", INTERPRETERS)
@pytest.mark.parametrize("level", LEVELS)
def test_a_broker_of_the_other_protocol_level_is_an_error_in_time(embedded: dict[int, int], level: int, interpreter: str) -> None:
    # rumqttd answers nothing at all to a CONNECT of the level that its listener does not speak
    walked(interpreter, embedded[9 - level], level, "other_level_only")


# -- packets that get lost, each with the connection that it was on

FLOWS = ((1, PUBLISH), (1, PUBACK), (2, PUBLISH), (2, PUBREC), (2, PUBREL), (2, PUBCOMP))


def lost(broker: str, walk: str, kind: int) -> tuple[str, int]:
    """What the proxy shall lose: a packet of the sender or of the receiver."""
    if broker == "embedded" and kind in (PUBREL, PUBCOMP):
        pytest.skip(f"rumqttd 0.20 {RUMQTTD_QOS_2[walk]}")
    sender, receiver = (UP, DOWN) if walk == "lost_outbound" else (DOWN, UP)
    return (sender if kind in (PUBLISH, PUBREL) else receiver), kind


@pytest.mark.parametrize("interpreter", INTERPRETERS)
@pytest.mark.parametrize("broker", BROKERS)
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("qos", "kind"), FLOWS)
def test_a_lost_packet_costs_no_message_that_was_published(
    request: pytest.FixtureRequest, broker: str, level: int, qos: int, kind: int, interpreter: str
) -> None:
    port = port_of(request, broker, level)
    with Proxy(port, lost(broker, "lost_outbound", kind)) as proxy:
        walked(interpreter, port, level, "lost_outbound", qos, proxy.port)
        published = proxy.published()
        for number, (packet, dup) in enumerate(published):
            assert dup or packet not in [earlier for earlier, _ in published[:number]]
        if kind == PUBLISH:
            assert (proxy.lost[1:], True) in published
        else:
            # up to PUBREC the message is sent again, after it PUBREL instead
            again = [dup for packet, dup in published if identifier(packet) == proxy.lost[2:4]]
            assert again == ([False] if kind in (PUBREL, PUBCOMP) else [False, True])


def identifier(publish: bytes) -> bytes:
    """The packet identifier of a short PUBLISH without its first byte."""
    at = 3 + publish[2]
    return publish[at : at + 2]


@pytest.mark.parametrize("interpreter", INTERPRETERS)
@pytest.mark.parametrize("broker", BROKERS)
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("qos", "kind"), FLOWS)
def test_a_lost_packet_costs_no_message_that_was_subscribed(
    request: pytest.FixtureRequest, broker: str, level: int, qos: int, kind: int, interpreter: str
) -> None:
    port = port_of(request, broker, level)
    with Proxy(port, lost(broker, "lost_inbound", kind)) as proxy:
        walked(interpreter, port, level, "lost_inbound", qos, proxy.port)
        assert proxy.lost


# -- flow control


@pytest.mark.parametrize("interpreter", INTERPRETERS)
@pytest.mark.parametrize("broker", BROKERS)
@pytest.mark.parametrize("level", LEVELS)
def test_never_more_messages_are_under_way_than_the_window(
    request: pytest.FixtureRequest, broker: str, level: int, interpreter: str
) -> None:
    with Proxy(port_of(request, broker, level), hold=DOWN) as proxy:
        walked(interpreter, proxy.port, level, "window_out", 3)
        assert proxy.most[UP] == 3


@pytest.mark.parametrize("interpreter", INTERPRETERS)
@pytest.mark.parametrize("broker", BROKERS)
def test_the_server_waits_at_this_clients_receive_maximum(request: pytest.FixtureRequest, broker: str, interpreter: str) -> None:
    skip_what_rumqttd_does_not(broker, "window_in", 5)
    with Proxy(port_of(request, broker, 5), hold=UP) as proxy:
        walked(interpreter, proxy.port, 5, "window_in")
        # Mosquitto 2.0.11 keeps to it only until the first acknowledgement
        first = [way for way, head, _ in proxy.seen if (way, head >> 4) in ((DOWN, PUBLISH), (UP, PUBACK))]
        assert first[:3] == [DOWN, DOWN, UP]


@pytest.mark.parametrize("interpreter", INTERPRETERS)
@pytest.mark.parametrize("broker", BROKERS)
def test_aliases_spare_the_topic_on_the_wire(request: pytest.FixtureRequest, broker: str, interpreter: str) -> None:
    with Proxy(port_of(request, broker, 5)) as proxy:
        walked(interpreter, proxy.port, 5, "aliases")
        short = [packet for way, head, packet in proxy.seen if way == UP and head >> 4 == PUBLISH and packet[2:4] == b"\0\0"]
        # 4 of 6 topics, the second and third time, on 2 connections
        assert len(short) == 4 * 2 * 2


# -- a Mosquitto that refuses and limits

LIMITS = """\
max_qos 1
max_topic_alias 2
max_packet_size 2000
max_inflight_messages 3
max_keepalive 10
retain_available false
allow_anonymous true
"""
PASSWORDS = """\
password_file {folder}/passwords
acl_file {folder}/access
allow_anonymous false
"""


@contextmanager
def mosquitto_with(folder: Path, options: str) -> Iterator[tuple[int, "subprocess.Popen[bytes]"]]:
    """A Mosquitto with other options -> (its port, the process)."""
    (folder / "access").write_text("user device\ntopic readwrite walk/#\n")
    (folder / "passwords").write_text("device:right\n")
    subprocess.run(["mosquitto_passwd", "-U", folder / "passwords"], check=True)
    # it leaves root's rights behind, and reads these as somebody else
    for path in (folder, folder / "access", folder / "passwords"):
        path.chmod(0o755)
    port = free_port()
    config = folder / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nuser root\n{options.format(folder=folder)}")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([str(find_mosquitto()), "-c", config], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_for_port(port)
        yield port, process
    finally:
        process.kill()
        process.wait()


@needs_mosquitto
@pytest.mark.parametrize("interpreter", INTERPRETERS)
@pytest.mark.parametrize("level", LEVELS)
def test_wrong_passwords_and_forbidden_topics_are_refused_with_their_code(tmp_path: Path, level: int, interpreter: str) -> None:
    with mosquitto_with(tmp_path, PASSWORDS) as (port, _):
        walked(interpreter, port, level, "passwords")
        walked(interpreter, port, level, "forbidden")


@needs_mosquitto
@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_what_the_server_limits_is_known_and_obeyed(tmp_path: Path, interpreter: str) -> None:
    with mosquitto_with(tmp_path, LIMITS) as (broker, _), Proxy(broker, hold=DOWN) as proxy:
        walked(interpreter, proxy.port, 5, "limits")
        assert proxy.most[UP] == 3


@needs_mosquitto
@pytest.mark.parametrize("interpreter", INTERPRETERS)
@pytest.mark.parametrize("level", LEVELS)
def test_a_packet_too_large_for_the_server_ends_the_connection(tmp_path: Path, level: int, interpreter: str) -> None:
    with mosquitto_with(tmp_path, LIMITS) as (port, _):
        walked(interpreter, port, level, "too_large_for_the_server")


@needs_mosquitto
@pytest.mark.parametrize("interpreter", INTERPRETERS)
@pytest.mark.parametrize("level", LEVELS)
def test_a_server_that_stops_is_noticed_at_once(tmp_path: Path, level: int, interpreter: str) -> None:
    with mosquitto_with(tmp_path, LIMITS) as (port, broker):
        line, env = command(interpreter, str(WALK), str(port), str(level), "server_stops")
        with subprocess.Popen(line, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as walk:
            assert walk.stdout and walk.stdout.readline() == "connected\n"
            broker.send_signal(signal.SIGTERM)
            assert walk.stdout.read() == "walked\n"
