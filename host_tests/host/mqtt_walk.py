# ruff: noqa: UP031
# Runs on MicroPython and on CPython: net.mqtt against a real broker. Arguments: port, protocol level, name of the walk.
import sys

from redpoll.net.mqtt import MQTTClient, MQTTException
from redpoll.port import ticks_diff, ticks_ms


def client(name, got=None, **options):
    made = MQTTClient("walk-%d-%s" % (LEVEL, name), "127.0.0.1", PORT, keepalive=20, protocol=LEVEL, **options)
    if got is not None:
        made.set_callback(lambda topic, msg: got.append((topic, msg)))
    return made


def until(made, done, seconds=10):
    started = ticks_ms()
    while not done():
        assert ticks_diff(ticks_ms(), started) < seconds * 1000, "it did not happen"
        made.poll(100)


def topic(name):
    return "walk/%d/%s" % (LEVEL, name)


def flows():
    got = []
    made = client("flows", got, max_packet=4096)
    assert not made.connect()
    for qos in (0, 1, 2):
        assert made.subscribe(topic("q%d" % qos), qos) == qos
    assert made.subscribe([(topic("a"), 1), topic("b")]) == [1, 0]
    made.pid = 65530  # identifiers wrap within this walk
    for number in range(20):
        for qos in (0, 1, 2):
            made.publish(topic("q%d" % qos), b"%d" % number, False, qos)
    until(made, lambda: len(got) == 60)
    made.flush()
    for qos in (0, 1, 2):
        name = topic("q%d" % qos).encode()
        assert [msg for where, msg in got if where == name] == [b"%d" % number for number in range(20)]
    until(made, lambda: not made._received)
    big = bytes(range(256)) * 15
    made.publish(topic("a"), big, qos=1)
    until(made, lambda: len(got) == 61)
    assert got[-1][1] == big
    made.unsubscribe([topic("a"), topic("b")])
    made.publish(topic("a"), b"x", qos=1)
    made.ping()
    made.flush()
    made.poll(300)
    assert len(got) == 61 and made._pinged is None
    made.disconnect()


def oversize():
    got = []
    made = client("oversize", got, max_packet=512)
    other = client("sender")
    made.connect()
    other.connect()
    made.subscribe(topic("o"), 1)
    other.publish(topic("o"), bytes(60000), qos=1)
    other.publish(topic("o"), b"small", qos=1)
    other.flush()
    until(made, lambda: got)
    assert got == [(topic("o").encode(), b"small")]
    assert made.dropped <= 1  # a server of MQTT 5 knows our maximum; Mosquitto keeps to it, rumqttd does not
    made.disconnect()
    other.disconnect()


def retained():
    got = []
    made = client("retained", got)
    made.connect()
    made.publish(topic("r"), b"kept", True, 1)
    made.flush()
    made.subscribe(topic("r"), 1)
    until(made, lambda: got)
    assert got == [(topic("r").encode(), b"kept")]
    made.publish(topic("r"), b"", True, 1)
    made.flush()
    made.disconnect()


def will():
    got = []
    watcher = client("watcher", got)
    watcher.connect()
    watcher.subscribe(topic("w"), 1)
    dying = client("dying")
    dying.set_last_will(topic("w"), b"gone", False, 1)
    dying.connect()
    dying.close()
    until(watcher, lambda: got)
    assert got == [(topic("w").encode(), b"gone")]
    watcher.disconnect()


def resumed():
    got = []
    made = client("resumed", got)
    made.connect(False)
    made.subscribe(topic("s"), 1)
    made.close()
    other = client("other")
    other.connect()
    for number in range(5):
        other.publish(topic("s"), b"%d" % number, qos=1)
    other.disconnect()
    assert made.connect(False)
    until(made, lambda: len(got) == 5)
    assert [msg for _, msg in got] == [b"0", b"1", b"2", b"3", b"4"]
    made.disconnect()
    made.connect(True)
    made.disconnect()


def takeover():
    first, second = client("same"), client("same")
    first.connect()
    second.connect()
    started = ticks_ms()
    try:
        while ticks_diff(ticks_ms(), started) < 5000:
            first.poll(100)
        raise AssertionError("not taken over")
    except (OSError, MQTTException):
        pass
    second.disconnect()


def properties():
    from redpoll.net import mqtt5

    seen = []
    made = client("properties", topic_aliases=4)
    made.set_callback(lambda where, msg: seen.append((where, msg, made.properties)))
    made.connect()
    made.subscribe(topic("p"), 1)
    sent = [
        (mqtt5.RESPONSE_TOPIC, "answer/here"),
        (mqtt5.CORRELATION_DATA, b"\0\xff"),
        (mqtt5.CONTENT_TYPE, "application/json"),
        (mqtt5.USER_PROPERTY, ("a", "1")),
        (mqtt5.USER_PROPERTY, ("b", "\u00e9")),
        (mqtt5.USER_PROPERTY, ("a", "1")),
    ]
    for number in range(3):
        made.publish(topic("p"), b"%d" % number, qos=1, properties=sent)
    until(made, lambda: len(seen) == 3)
    for number in range(3):
        assert seen[number][:2] == (topic("p").encode(), b"%d" % number)
        found = seen[number][2]
        for identifier, value in sent[:3]:
            assert mqtt5.get(found, identifier) == value
        assert [pair for pair in found if pair[0] == mqtt5.USER_PROPERTY] == sent[3:]
    made.disconnect()


PORT = int(sys.argv[1])
LEVEL = int(sys.argv[2])
globals()[sys.argv[3]]()
print("walked")
