# ruff: noqa: UP031
# Runs on MicroPython and on CPython: net.mqtt against a real broker. Arguments: port, protocol level, name of the walk, what it needs more.
import sys

from redpoll.net.mqtt import MQTTClient, MQTTException
from redpoll.port import ticks_diff, ticks_ms


class Skip(Exception):
    """This broker does not do what the walk needs; the text says what it did instead."""


def client(name, got=None, port=0, keepalive=20, **options):
    made = MQTTClient(ours(name), "127.0.0.1", port or PORT, keepalive=keepalive, protocol=LEVEL, **options)
    if got is not None:
        made.set_callback(lambda topic, msg: got.append((topic, msg)))
    return made


def until(made, done, seconds=20):
    started = ticks_ms()
    while not done():
        assert ticks_diff(ticks_ms(), started) < seconds * 1000, "it did not happen"
        made.poll(100)


def topic(name):
    return "walk/" + ours(name)


def ours(name):
    # walks of both interpreters and levels may go on at one broker at once
    return "%s%d-%s" % (sys.implementation.name[0], LEVEL, name)


def error_of(call, *args):
    """What a call raises."""
    try:
        call(*args)
    except (OSError, MQTTException) as error:
        return error
    raise AssertionError("nothing was raised")


def listen(made, seconds=20):
    """Poll until the connection ends -> the error that says so."""
    started = ticks_ms()
    while ticks_diff(ticks_ms(), started) < seconds * 1000:
        try:
            made.poll(100)
        except (OSError, MQTTException) as error:
            return error
    raise AssertionError("the connection did not end")


def forget(*made):
    """Leave no session behind."""
    for one in made:
        one.session_expiry = None
        one.connect(True)
        one.disconnect()


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
        # what comes meanwhile is kept for the next poll, and no more of it than max_packet
        made.poll()
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


# -- connecting


def identities():
    got = []
    made = client("", got)
    made.client_id = ""
    assert not made.connect()
    if LEVEL == 5:
        assert made.assigned_client_id and made.client_id == made.assigned_client_id
    made.subscribe(topic("i"), 1)
    made.publish(topic("i"), b"me", qos=1)
    until(made, lambda: got)
    made.disconnect()
    for name in ("n" * 200, "Zo\u00eb-\u6e2c\u8a66"):
        made = client(name)
        assert not made.connect(False)
        made.close()
        assert made.connect(False)
        forget(made)
    made = client("user", user="somebody", password="secret")
    made.connect()
    made.disconnect()


def binary_password():
    made = client("binary", user="somebody", password=b"\0secret\xff")
    made.connect()
    made.disconnect()


def odd_identity():
    for character in " /$%,;\"'#+":
        made = client("odd" + character)
        made.connect()
        made.disconnect()


def nameless_session():
    made = client("")
    made.client_id = ""
    if LEVEL == 4:
        # MQTT 3.1.1 3.1.3-8: only a clean session may do without
        error = error_of(made.connect, False)
        assert error.code == 2, error
        assert made.sock is None
        return
    made.connect(False)
    name = made.assigned_client_id
    assert name
    made.close()
    assert made.connect(False)
    assert made.client_id == name
    forget(made)


def without_keep_alive():
    made = client("calm", keepalive=0)
    made.connect()
    made.ping()
    until(made, lambda: made._pinged is None)
    made.disconnect()


def passwords():
    for user, password, in_ in (("device", "right", 1), ("device", "wrong", 0), ("nobody", "right", 0), (None, None, 0), ("device", "", 0)):
        made = client("password", user=user, password=password)
        if in_:
            made.connect()
            made.disconnect()
        else:
            error = error_of(made.connect)
            assert error.code == (135 if LEVEL == 5 else 5), error
            assert made.sock is None


def unknown_protocol():
    made = client("future")
    made.protocol = 6
    error = error_of(made.connect)
    assert error.code in (1, 132), error
    assert made.sock is None
    made.protocol = LEVEL
    made.connect()
    made.disconnect()


def other_level_only():
    made = client("other-level")
    started = ticks_ms()
    error_of(made.connect, True, 1)
    assert ticks_diff(ticks_ms(), started) < 2000
    assert made.sock is None


def limits():
    # what the server's CONNACK limits: it is known after connect, obeyed, and what does not fit is refused here
    from redpoll.net import mqtt5

    got = []
    made = client("limits", got, keepalive=100, topic_aliases=8)
    made.connect()
    assert made.server_keep_alive == 10
    assert made._ping_ms == 7500
    assert made.maximum_qos == 1
    assert made.retain_available is False
    assert made.maximum_packet_size == 2000
    assert made.topic_alias_maximum == 2
    assert made.receive_maximum == made.window_free() == 3
    assert error_of(made.publish, topic("l"), b"x", False, 2).code == 0x9B
    assert error_of(made.publish, topic("l"), b"x", True, 0).code == 0x9A
    assert error_of(made.publish, topic("l"), bytes(2000), False, 1).code == 0x95
    assert made.in_flight == 0
    assert made.subscribe(topic("l"), 2) <= 2
    for number in range(10):
        made.publish(topic("l"), b"%d" % number, qos=1, properties=[(mqtt5.CONTENT_TYPE, "n")])
    until(made, lambda: len(got) == 10)
    made.disconnect()


# -- the server's side of a session


def wills():
    # the will's properties arrive; after DISCONNECT there is no will
    assert testament("close", 0, "close") == [b"0 close", b"2 close"]


def will_with_disconnect():
    # unless DISCONNECT asks for it (MQTT 5.0 3.14.2.1)
    assert testament(0, 4, "close") == [b"1 4", b"2 close"]


def testament(*ends):
    from redpoll.net import mqtt5

    seen = []
    watcher = client("will-watcher")
    watcher.set_callback(lambda where, msg: seen.append((msg, watcher.properties)))
    watcher.connect()
    watcher.subscribe(topic("ws"), 1)
    sent = [(mqtt5.CONTENT_TYPE, "text/plain"), (mqtt5.USER_PROPERTY, ("k", "1")), (mqtt5.USER_PROPERTY, ("k", "2"))]
    for number, end in enumerate(ends):
        dying = client("testator")
        dying.set_last_will(topic("ws"), b"%d %s" % (number, str(end).encode()), False, 1, sent)
        dying.connect()
        if end == "close":
            dying.close()
            # the next one has the same client id: a broker may take it for the same session, and say nothing
            until(watcher, lambda number=number: seen and seen[-1][0].startswith(b"%d " % number))
        else:
            dying.disconnect(end)
    # the last one is always a will
    until(watcher, lambda: seen and seen[-1][0].startswith(b"%d " % number))
    for _, found in seen:
        assert mqtt5.get(found, mqtt5.CONTENT_TYPE) == "text/plain"
        assert [pair for pair in found if pair[0] == mqtt5.USER_PROPERTY] == sent[1:]
    watcher.disconnect()
    return [msg for msg, _ in seen]


def will_delay():
    from redpoll.net import mqtt5

    got = []
    watcher = client("delay-watcher", got)
    watcher.connect()
    watcher.subscribe(topic("wd"), 1)
    dying = client("delayed", session_expiry=60)
    dying.set_last_will(topic("wd"), b"late", False, 1, [(mqtt5.WILL_DELAY_INTERVAL, 5)])
    dying.connect()
    saved = client("saved", session_expiry=60)
    saved.set_last_will(topic("wd"), b"never", False, 1, [(mqtt5.WILL_DELAY_INTERVAL, 4)])
    saved.connect(False)
    started = ticks_ms()
    saved.close()
    dying.close()
    assert saved.connect(False)
    until(watcher, lambda: got, 30)
    assert ticks_diff(ticks_ms(), started) >= 4900
    watcher.publish(topic("wd"), b"end", qos=1)
    until(watcher, lambda: got[-1][1] == b"end")
    assert [msg for _, msg in got] == [b"late", b"end"]
    watcher.disconnect()
    forget(dying, saved)


def session_expiry():
    from redpoll.net import mqtt5

    got = []
    watcher = client("expiry-watcher", got)
    watcher.connect()
    watcher.subscribe(topic("se"), 1)
    long = client("long", session_expiry=60)
    assert not long.connect(False)
    long.close()
    assert long.connect(False)
    forget(long)
    short = client("short", session_expiry=4)
    # the will comes when the session ends, however long its delay (MQTT 5.0 3.1.3.2.2): that tells when it has ended
    short.set_last_will(topic("se"), b"ended", False, 1, [(mqtt5.WILL_DELAY_INTERVAL, 3600)])
    assert not short.connect(False)
    short.close()
    assert short.connect(False)
    short.close()
    until(watcher, lambda: got, 30)
    assert not short.connect(False)
    forget(short)
    watcher.disconnect()


def expiry_in_disconnect():
    # MQTT 5.0 3.14.2.2.2
    from redpoll.net import mqtt5

    made = client("ending", session_expiry=60)
    made.connect(False)
    made.disconnect(0, [(mqtt5.SESSION_EXPIRY_INTERVAL, 0)])
    assert not made.connect(False)
    made.disconnect()
    assert made.connect(False)
    forget(made)


def clean_or_not():
    made = client("clean")
    made.connect()
    made.close()
    assert not made.connect(False)
    made.disconnect()
    assert made.connect(False)
    made.disconnect()
    assert not made.connect(True)
    made.disconnect()
    assert not made.connect(False)
    forget(made)


def keep_alive():
    # the server ends the session of a client that says nothing for 1.5 keep alives, and leaves one that pings alone
    for _ in range(3):  # a machine that stands still pings too late now and then, a client that pings too late does so each time
        try:
            return pings_and_silence()
        except OSError as error:
            print("the one that pings:", error)
    raise AssertionError("each time the session of the one that pings was ended")


def pings_and_silence():
    got = []
    pinging = client("pinging", got, keepalive=3)
    pinging.connect()
    pinging.subscribe(topic("ka"), 1)
    silent = client("silent", keepalive=3)
    silent.set_last_will(topic("ka"), b"silent", False, 1)
    silent.connect()
    started = ticks_ms()
    until(pinging, lambda: got, 30)
    assert ticks_diff(ticks_ms(), started) >= 3000
    error = listen(silent)
    if LEVEL == 5 and isinstance(error, MQTTException):
        assert error.code == 0x8D, error
    assert silent.sock is None
    assert pinging.sock is not None
    pinging.disconnect()


def taken_over():
    first, second = client("one"), client("one")
    first.connect(False)
    first.subscribe(topic("to"), 1)
    assert second.connect(False)
    error = listen(first)
    # Mosquitto 2.0.11 and rumqttd 0.20 close without DISCONNECT
    assert not isinstance(error, MQTTException) or error.code == 0x8E, error
    assert first.sock is None
    got = []
    second.set_callback(lambda where, msg: got.append(msg))
    second.publish(topic("to"), b"mine now", qos=1)
    until(second, lambda: got)
    second.disconnect()
    forget(second)


def too_large_for_the_server():
    # this client is made to forget the server's maximum, so that the server has to say it
    made = client("large")
    made.connect()
    made.maximum_packet_size = 0
    made.publish(topic("tl"), bytes(3000))
    error = listen(made)
    # the server closes with bytes unread, so that DISCONNECT may be lost in a reset
    assert not isinstance(error, MQTTException) or error.code == 0x95, error
    assert made.sock is None


def server_stops():
    made = client("left")
    made.connect()
    print("connected")
    if hasattr(sys.stdout, "flush"):
        sys.stdout.flush()
    error = listen(made, 20)
    # Mosquitto 2.0.11 closes without DISCONNECT
    assert not isinstance(error, MQTTException) or error.code == 0x8B, error
    assert made.sock is None


# -- subscriptions


def overlapping():
    got = []
    made = client("overlapping")
    made.set_callback(lambda where, msg: got.append((msg, made.properties)))
    made.connect()
    assert made.subscribe(topic("ov") + "/#", 2, [(11, 7)] if LEVEL == 5 else None) == 2
    assert made.subscribe(topic("ov") + "/+", 0, [(11, 300)] if LEVEL == 5 else None) == 0
    made.publish(topic("ov") + "/a", b"twice or once", qos=2)
    made.publish(topic("ov") + "/a/b", b"once", qos=1)
    made.publish(topic("ov") + "/end", b"end", qos=2)
    until(made, lambda: [msg for msg, _ in got].count(b"end") and not made._received)
    made.ping()
    until(made, lambda: made._pinged is None)
    first = [found for msg, found in got if msg == b"twice or once"]
    # one message for each subscription or one for both: the server may choose (MQTT 5.0 3.3.4)
    assert 1 <= len(first) <= 2
    assert [msg for msg, _ in got].count(b"once") == 1
    if LEVEL == 5:
        named = [value for found in first for identifier, value in found if identifier == 11]
        assert sorted(named) == [7, 300], named
    made.unsubscribe(topic("ov") + "/#")
    del got[:]
    made.publish(topic("ov") + "/a/b", b"nobody", qos=1)
    made.publish(topic("ov") + "/a", b"somebody", qos=1)
    until(made, lambda: got)
    assert [msg for msg, _ in got] == [b"somebody"]
    made.disconnect()


def shared():
    shares = [[], [], []]
    members = [client("member%d" % number, shares[number]) for number in range(3)]
    for member in members:
        member.connect()
    for member in members[:2]:
        member.subscribe("$share/group/" + topic("sh"), 1)
    members[2].subscribe(topic("sh"), 1)
    sender = client("sharer")
    sender.connect()
    for number in range(20):
        sender.publish(topic("sh"), b"%d" % number, qos=1)
    sender.flush()
    started = ticks_ms()
    while len(shares[2]) < 20 or len(shares[0]) + len(shares[1]) < 20:
        assert ticks_diff(ticks_ms(), started) < 10000, [len(share) for share in shares]
        for member in members:
            member.poll(10)
    everything = sorted(b"%d" % number for number in range(20))
    assert sorted(msg for _, msg in shares[2]) == everything
    assert sorted(msg for _, msg in shares[0] + shares[1]) == everything
    assert shares[0] and shares[1]
    sender.disconnect()
    for member in members:
        member.disconnect()


def options():
    # MQTT 5.0 3.8.3.1; each time a new subscription, because Mosquitto 2.0 keeps the options of one that is there
    from redpoll.net import mqtt5

    got = []
    made = client("options", got)
    made.connect()
    made.publish(topic("so"), b"kept", True, 1)
    made.flush()
    for option, expected in (
        (0, [b"kept", b"mine"]),
        (mqtt5.RETAIN_NEVER, [b"mine"]),
        (mqtt5.RETAIN_IF_NEW, [b"kept", b"mine"]),
        (mqtt5.NO_LOCAL | mqtt5.RETAIN_NEVER, []),
    ):
        made.subscribe(topic("so"), 1 | option)
        made.publish(topic("so"), b"mine", qos=1)
        made.flush()
        other = client("options-other")
        other.connect()
        other.publish(topic("so"), b"another's", qos=1)
        other.disconnect()
        until(made, lambda: got and got[-1][1] == b"another's")
        if sorted(msg for _, msg in got[:-1]) != expected:
            raise Skip("with subscription option 0x%02x it sent %r" % (option, got))
        del got[:]
        made.unsubscribe(topic("so"))
    made.publish(topic("so"), b"", True, 1)
    made.flush()
    made.disconnect()


def forbidden():
    # the server's access list lets only "walk/#" be written; MQTT 5.0 has a reason code for it, 3.1.1 has not
    codes = []
    made = client("forbidden", user="device", password="right")
    made.on_ack = lambda pid, code: codes.append(code)
    made.connect()
    for where in ("secret", topic("fb")):
        for qos in (1, 2):
            made.publish(where, b"x", qos=qos)
            made.flush()
    assert [code >= 0x80 and code for code in codes] == [LEVEL == 5 and 0x87, LEVEL == 5 and 0x87, False, False], codes
    made.disconnect()


def malformed_filter():
    made = client("malformed", [])
    made.connect()
    error = error_of(made.subscribe, "a/#/b", 1)
    if LEVEL == 5:
        assert error.code >= 0x80, error
    assert made.sock is None
    made.connect()
    made.disconnect()


# -- messages


def sizes():
    # where the remaining length gets another byte, and far beyond
    got = []
    made = client("sizes", got, max_packet=250000)
    made.connect()
    name = topic("z")
    made.subscribe(name, 1)
    around = len(name) + 4 + (1 if LEVEL == 5 else 0)
    for total in (127, 128, 129, 16383, 16384, 16385, 200000):
        made.publish(name, b"%d" % total + bytes(total - around - len(str(total))), qos=1)
        until(made, lambda: got)
        where, msg = got.pop()
        assert where == name.encode() and len(msg) == total - around
        assert msg.startswith(b"%d\0" % total) and not msg.endswith(b"\1")
    made.flush()
    made.disconnect()


def huge():
    # four bytes of remaining length
    got = []
    made = client("huge", max_packet=2200000)
    made.set_callback(lambda where, msg: got.append((len(msg), msg[0], msg[-1])))
    made.connect()
    made.subscribe(topic("h"), 2)
    msg = bytearray(2097152)
    msg[0] = 7
    msg[-1] = 9
    made.publish(topic("h"), msg, qos=2)
    until(made, lambda: got and not made._received)
    assert got == [(2097152, 7, 9)]
    made.flush()
    made.disconnect()


def aliases():
    # through a proxy that has seen what went over the wire
    got, gone = [], []
    watcher = client("aliases-watcher", gone)
    watcher.connect()
    watcher.subscribe(topic("gone"), 1)
    made = client("aliases", got, topic_aliases=4)
    made.set_last_will(topic("gone"), b"gone", qos=1)
    made.connect()
    if not made.topic_alias_maximum:
        raise Skip("CONNACK allows no topic alias")
    assert made.topic_alias_maximum == 4
    made.subscribe(topic("al") + "/#", 1)
    names = ["%s/%d" % (topic("al"), number) for number in range(6)]
    for connection in range(2):
        for turn in range(3):
            for name in names:
                made.publish(name, b"%d %d %s" % (connection, turn, name.encode()), qos=turn & 1)
        until(made, lambda: len(got) == 18)
        for where, msg in got:
            assert msg.endswith(b" " + where)
        del got[:]
        made.flush()
        made.close()
        # rumqttd 0.20 takes the end of a connection for that of the next one of the same client, if that is there already
        until(watcher, lambda: gone)
        del gone[:]
        made.connect(False)
        made.subscribe(topic("al") + "/#", 1)
    watcher.disconnect()
    forget(made)


# -- flows that are broken off: argument 4 is the QoS, 5 the port of a proxy that loses one packet and the connection with it


def lost_outbound():
    got = []
    qos = int(sys.argv[4])
    watcher = client("lost-watcher", got)
    watcher.connect()
    watcher.subscribe(topic("lo"), 2)
    made = client("lost-out", port=int(sys.argv[5]), window=3)
    number = broken = 0
    while True:
        try:
            if made.sock is None:
                made.connect(False)
            while number < 5:
                made.publish(topic("lo"), b"%d" % number, qos=qos)
                number += 1
            made.flush()
            break
        except OSError:
            broken += 1
            assert broken < 2, "the server ended the resumed session too"
    assert broken == 1
    # nothing of this client can come after what is published last
    made.publish(topic("lo"), b"end", qos=qos)
    made.flush()
    until(watcher, lambda: got and got[-1][1] == b"end")
    check_lost(got, qos)
    watcher.disconnect()
    forget(made)


def lost_inbound():
    got = []
    qos = int(sys.argv[4])
    made = client("lost-in", got, port=int(sys.argv[5]))
    made.connect(False)
    made.subscribe(topic("li"), qos)
    sender = client("lost-sender")
    sender.connect()
    for number in range(5):
        sender.publish(topic("li"), b"%d" % number, qos=qos)
    sender.publish(topic("li"), b"end", qos=qos)
    sender.disconnect()
    broken = 0
    started = ticks_ms()
    while not broken or made.sock is None or (topic("li").encode(), b"end") not in got or made._received:
        assert ticks_diff(ticks_ms(), started) < 20000, (broken, got, made._received)
        try:
            if made.sock is None:
                assert made.connect(False)
            made.poll(100)
        except OSError:
            broken += 1
    assert broken == 1
    check_lost(got, qos)
    forget(made)


def check_lost(got, qos):
    # at QoS 1 each at least once, at QoS 2 exactly once
    messages = [msg for _, msg in got]
    for number in range(5):
        count = messages.count(b"%d" % number)
        assert count == 1 or qos == 1 and count > 1, messages


# -- flow control: the port is that of a proxy that holds acknowledgements back as long as there is something else to forward


def window_out():
    made = client("window-out", window=int(sys.argv[4]))
    made.connect()
    for number in range(20):
        made.publish(topic("wo"), b"%d" % number, qos=1 + (number & 1))
    made.flush()
    made.disconnect()


def window_in():
    got = []
    made = client("window-in", got, receive_maximum=2)
    made.connect()
    made.subscribe(topic("wi"), 2)
    sender = client("window-sender", window=20)
    sender.connect()
    for number in range(20):
        sender.publish(topic("wi"), b"%d" % number, qos=1)
    until(made, lambda: sender.poll() >= 0 and len(got) == 20 and not made._received and not sender.in_flight)
    assert sorted(msg for _, msg in got) == sorted(b"%d" % number for number in range(20))
    sender.disconnect()
    made.disconnect()


PORT = int(sys.argv[1])
LEVEL = int(sys.argv[2])
try:
    globals()[sys.argv[3]]()
    print("walked")
except Skip as reason:
    print("skipped:", reason)
