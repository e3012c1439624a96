# MQTT 5: properties, and what a server may limit.
import cloud_fakes
from fakes import Server, Wire, publish
from mqtt_session import attach, del_sent, poll_for, poll_until, raised, session
from redpoll.net import mqtt, mqtt5, mqtt5_alias
from scratch import text_of
from support import raises

HEAP = "1M"

# one of each, with the bytes that the specification gives them
EACH = (
    (mqtt5.PAYLOAD_FORMAT_INDICATOR, 1, b"\x01\x01"),
    (mqtt5.MESSAGE_EXPIRY_INTERVAL, 0x01020304, b"\x02\x01\x02\x03\x04"),
    (mqtt5.CONTENT_TYPE, "t/\u00e9", b"\x03\0\x04t/\xc3\xa9"),
    (mqtt5.RESPONSE_TOPIC, "r", b"\x08\0\x01r"),
    (mqtt5.CORRELATION_DATA, b"\0\xff", b"\x09\0\x02\0\xff"),
    (mqtt5.SUBSCRIPTION_IDENTIFIER, 268435455, b"\x0b\xff\xff\xff\x7f"),
    (mqtt5.SESSION_EXPIRY_INTERVAL, 0xFFFFFFFF, b"\x11\xff\xff\xff\xff"),
    (mqtt5.ASSIGNED_CLIENT_IDENTIFIER, "c", b"\x12\0\x01c"),
    (mqtt5.SERVER_KEEP_ALIVE, 60, b"\x13\0\x3c"),
    (mqtt5.AUTHENTICATION_METHOD, "m", b"\x15\0\x01m"),
    (mqtt5.AUTHENTICATION_DATA, b"d", b"\x16\0\x01d"),
    (mqtt5.REQUEST_PROBLEM_INFORMATION, 0, b"\x17\0"),
    (mqtt5.WILL_DELAY_INTERVAL, 5, b"\x18\0\0\0\x05"),
    (mqtt5.REQUEST_RESPONSE_INFORMATION, 1, b"\x19\x01"),
    (mqtt5.RESPONSE_INFORMATION, "i", b"\x1a\0\x01i"),
    (mqtt5.SERVER_REFERENCE, "s", b"\x1c\0\x01s"),
    (mqtt5.REASON_STRING, "why", b"\x1f\0\x03why"),
    (mqtt5.RECEIVE_MAXIMUM, 16, b"\x21\0\x10"),
    (mqtt5.TOPIC_ALIAS_MAXIMUM, 3, b"\x22\0\x03"),
    (mqtt5.TOPIC_ALIAS, 2, b"\x23\0\x02"),
    (mqtt5.MAXIMUM_QOS, 1, b"\x24\x01"),
    (mqtt5.RETAIN_AVAILABLE, 0, b"\x25\0"),
    (mqtt5.USER_PROPERTY, ("k", "v"), b"\x26\0\x01k\0\x01v"),
    (mqtt5.MAXIMUM_PACKET_SIZE, 1024, b"\x27\0\0\x04\0"),
    (mqtt5.WILDCARD_SUBSCRIPTION_AVAILABLE, 1, b"\x28\x01"),
    (mqtt5.SUBSCRIPTION_IDENTIFIER_AVAILABLE, 1, b"\x29\x01"),
    (mqtt5.SHARED_SUBSCRIPTION_AVAILABLE, 1, b"\x2a\x01"),
)


def test_each_property_is_encoded_and_decoded():
    for identifier, value, data in EACH:
        block = bytes([len(data)]) + data
        assert mqtt5.encode([(identifier, value)]) == block
        assert mqtt5.encode({identifier: value}) == block
        assert mqtt5.decode(b"?" + block + b"!", 1, len(block) + 1) == ([(identifier, value)], len(block) + 1)


def test_order_and_duplicates_are_kept():
    properties = [(38, ("a", "1")), (38, ("b", "")), (38, ("a", "1")), (11, 5), (38, ("", "z")), (11, 4)]
    block = mqtt5.encode(properties)
    assert mqtt5.decode(block, 0, len(block)) == (properties, len(block))
    assert mqtt5.get(properties, 11) == 5
    assert mqtt5.get(properties, 3) is None
    assert mqtt5.get(None, 3, "x") == "x"
    assert mqtt5.get_user(properties, "b") == ""
    assert mqtt5.get_user(properties, "c") is None


def test_long_blocks_have_a_long_length():
    properties = [(38, ("k", "v" * 100))] * 200
    block = mqtt5.encode(properties)
    assert mqtt5.decode(block, 0, len(block))[0] == properties


def test_values_out_of_range_are_refused():
    for identifier, value in ((1, 256), (19, 65536), (2, -1), (2, 1 << 32), (11, 1 << 28), (0, 1), (4, 1), (43, 1), (8, "x" * 65536)):
        with raises(ValueError):
            mqtt5.encode([(identifier, value)])


def test_malformed_blocks_are_refused():
    good = mqtt5.encode([(identifier, value) for identifier, value, _ in EACH])
    for end in range(len(good)):
        with raises(mqtt.MQTTException):
            mqtt5.decode(good, 0, end)
    for data in (b"", b"\x02\x04\x01", b"\x01\x26", b"\x04\x03\0\x01\xff", b"\x05\x0b\xff\xff\xff\xff"):
        with raises(mqtt.MQTTException):
            mqtt5.decode(data, 0, len(data))
    for data in (b"\x80", b"\x01\x80", b"\x02\xff\x01"):
        with raises(mqtt.MQTTException):
            mqtt5.decode(data, 0, len(data))


def test_random_blocks_decode_or_are_refused():
    seed = 1
    for _ in range(3000):
        data = bytearray()
        for _ in range(1 + seed % 12):
            seed = seed * 1103515245 + 12345 & 0x7FFFFFFF
            data.append(seed >> 16 & (255 if seed & 64 else 47))
        data[0] = len(data) - 1
        try:
            mqtt5.decode(data, 0, len(data))
        except mqtt.MQTTException:
            pass


def test_publish_carries_properties_however_they_are_given():
    client, wire, _ = session(5)
    block = b"\x07\x26\0\x01k\0\x01v"
    for properties in (block, bytearray(block), [(38, ("k", "v"))], {38: ("k", "v")}):
        del_sent(wire)
        client.publish("t", "m", properties=properties)
        assert bytes(wire.sent) == b"\x30\x0c\0\x01t" + block + b"m"
    del_sent(wire)
    client.publish("t", "m")
    assert bytes(wire.sent) == b"\x30\x05\0\x01t\0m"


def test_properties_of_a_message_are_there_during_the_callback():
    client, wire, _ = session(5)
    seen = []
    client.set_callback(lambda topic, msg: seen.append((topic, msg, client.properties)))
    wire.inbound.extend(publish(b"t", b"m", 1, 3, 0, mqtt5.encode([(38, ("a", "b")), (8, "r"), (9, b"c")])))
    client.poll()
    assert seen == [(b"t", b"m", [(38, ("a", "b")), (8, "r"), (9, b"c")])]
    assert client.properties is None


def test_subscription_options_and_properties_are_sent():
    client, wire, _ = session(5)
    del_sent(wire)
    client.subscribe("a", 1 | mqtt5.NO_LOCAL | mqtt5.RETAIN_AS_PUBLISHED | mqtt5.RETAIN_NEVER, [(11, 7)])
    client.unsubscribe("a")
    assert bytes(wire.sent) == b"\x82\x09\0\x01\x02\x0b\x07\0\x01a\x2d" + b"\xa2\x06\0\x02\0\0\x01a"


def test_connack_limits_are_noted_and_obeyed():
    limits = ((19, 30), (18, "given"), (33, 2), (39, 100), (36, 1), (37, 0), (34, 5))
    client, wire, server = session(5, connect=False, keepalive=60)
    server.connack = mqtt5.encode(limits)[1:]
    client.connect()
    assert client.server_keep_alive == 30
    assert client.assigned_client_id == "given"
    assert client.receive_maximum == 2
    assert client.window_free() == 2
    # not more than was asked for
    assert client.topic_alias_maximum == 0
    for call, code in (
        ((b"t", b"m", False, 2), 0x9B),
        ((b"t", b"m", True, 1), 0x9A),
        ((b"t", bytes(100), False, 1), 0x95),
    ):
        error = raised(client.publish, *call)
        assert error.code == code
    assert client.sock is not None and client.in_flight == 0
    server.silent = (3,)
    client.publish("t", "m", qos=1)
    client.publish("t", "m", qos=1)
    assert client.window_free() == 0
    clock = client.clock.now
    raised_at = raised(lambda: [client.poll(1000) for _ in range(100)])
    assert isinstance(raised_at, OSError)
    assert client.clock.now - clock <= 45000


def test_a_write_has_the_deadline_of_the_keep_alive_that_the_server_asks_for():
    client, wire, server = session(5, connect=False, keepalive=100)
    server.connack = b"\x13\0\x02"
    client.connect()
    wire.short = 0
    started = client.clock.now
    assert isinstance(raised(client.publish, "t", "m"), OSError)
    assert client.clock.now - started <= 3000


def test_the_keep_alive_that_a_server_asks_for_is_that_of_its_connection():
    client, wire, server = session(5, connect=False, keepalive=100)
    server.connack = b"\x13\0\x02"
    client.connect()
    poll_for(client, 3000)
    assert server.kinds().count(12) >= 1
    wire = Wire(Server(5))
    attach(client, wire)
    client.connect()
    assert client.server_keep_alive is None
    poll_for(client, 60000)
    assert wire.peer.kinds() == [1]


def test_no_request_is_larger_than_the_server_takes():
    client, wire, server = session(5, connect=False)
    server.connack = mqtt5.encode([(mqtt5.MAXIMUM_PACKET_SIZE, 64)])[1:]
    client.connect()
    del_sent(wire)
    for call in (client.subscribe, client.unsubscribe):
        error = raised(call, ["%d" % number * 30 for number in range(3)])
        assert isinstance(error, mqtt.MQTTException) and error.code == 0x95
    assert client.sock is not None and not wire.sent
    assert client.subscribe("t", 1) == 1
    # what the server said holds for its own connection
    client.close()
    attach(client, Wire(Server(5)))
    client.set_last_will("t", bytes(100))
    client.connect()
    assert client.maximum_packet_size == 0


def test_what_waits_to_be_sent_again_has_no_deadline_yet():
    client, _, server = session(5, clean=False, window=4)
    server.silent = (3,)
    for number in range(3):
        client.publish("t", b"%d" % number, qos=1)
    client.close()
    client.clock.sleep_ms(60000)
    server = Server(5, session=True, connack=mqtt5.encode([(33, 1)])[1:])
    wire = Wire(server)
    answer = server.answer

    def slow(first, body):
        if first >> 4 == 3:
            wire.read_faults = [None] * 4
        return answer(first, body)

    server.answer = slow
    attach(client, wire)
    client.connect(False)
    client.flush()
    assert [body[-1:] for first, body in server.packets if first >> 4 == 3] == [b"0", b"1", b"2"]


def test_a_server_that_takes_no_message_at_a_time_is_given_one():
    client, _, server = session(5, connect=False)
    server.connack = mqtt5.encode([(33, 0)])[1:]
    client.connect()
    client.publish("t", "m", qos=1)
    client.flush()
    assert client.acks == [(1, 0)]


def test_what_a_server_takes_no_more_is_given_up_on_the_next_connection_and_the_rest_goes_on():
    client, _, server = session(5, clean=False)
    server.silent = (3,)
    for size in (1, 100, 2):
        client.publish("t", bytes(size), qos=1)
    client.close()
    again = Server(5, session=True, connack=mqtt5.encode([(mqtt5.MAXIMUM_PACKET_SIZE, 64)])[1:])
    attach(client, Wire(again))
    client.connect(False)
    client.flush()
    assert sorted(client.acks) == [(1, 0), (2, 0x95), (3, 0)] and again.kinds() == [1, 3, 3]


def test_the_name_that_the_server_gave_is_that_of_the_next_connection():
    client, _, server = session(5, connect=False)
    server.connack = mqtt5.encode([(18, "given")])[1:]
    client.connect()
    client.close()
    again = Wire(Server(5))
    attach(client, again)
    client.connect()
    assert again.peer.packets[0][1].endswith(b"\0\x05given")


def test_an_identifier_that_nobody_knows_is_answered_so():
    for sent, answer in ((b"\x62\x02\0\x09", (0x70, b"\0\x09\x92")), (b"\x50\x02\0\x09", (0x62, b"\0\x09\x92"))):
        client, wire, server = session(5)
        wire.inbound.extend(sent)
        client.poll()
        assert server.packets[1:] == [answer]
    # and one that is known without a word
    client, wire, server = session(5, clean=False)
    wire.inbound.extend(publish(b"t", b"m", 2, 9, 0, b"\0"))
    client.poll()
    client.poll()
    assert server.packets[1:] == [(0x50, b"\0\x09"), (0x70, b"\0\x09")]
    client.publish("t", "m", qos=2)
    client.flush()
    assert server.packets[-1] == (0x62, b"\0\x01")


def test_a_refused_connection_says_why():
    client, wire, server = session(5, connect=False)
    server.answer = lambda first, body: b"\x20\x09\0\x87\x06\x1f\0\x03why"
    error = raised(client.connect)
    assert error.code == 0x87
    assert error.args[1] == "why"


def test_a_server_that_knows_only_3_1_1_refuses_version_5():
    client, wire, server = session(5, connect=False)
    server.answer = lambda first, body: b"\x20\x02\0\x01"
    assert raised(client.connect).code == 1


def test_a_disconnect_from_the_server_says_why():
    for data, code in ((b"\xe0\0", 0), (b"\xe0\x01\x8e", 0x8E), (b"\xe0\x08\x8b\x06\x1f\0\x03bye", 0x8B)):
        client, wire, _ = session(5)
        wire.inbound.extend(data)
        assert raised(client.poll).code == code
        assert wire.closed


def test_reason_codes_of_acknowledgements_reach_the_application():
    for qos, data in ((1, b"\x40\x03\0\x01\x97"), (1, b"\x40\x04\0\x01\x10\0"), (2, b"\x50\x03\0\x01\x83")):
        client, wire, server = session(5)
        server.silent = (3,)
        client.publish("t", "m", qos=qos)
        wire.inbound.extend(data)
        client.poll()
        assert client.acks == [(1, data[4])]
        assert client.in_flight == 0


def test_an_acknowledgement_with_a_reason_is_the_same_in_pieces():
    for at in range(1, 5):
        client, wire, server = session(5)
        server.silent = (3,)
        pid = client.publish("t", "m", qos=1)
        packet = b"\x40\x03\0" + bytes([pid]) + b"\x10\xd0\0"
        wire.inbound.extend(packet[:at])
        client.poll()
        assert client.acks == []
        wire.inbound.extend(packet[at:])
        client.poll()
        assert client.acks == [(pid, 0x10)]


def test_a_refused_subscription_says_its_code():
    client, _, server = session(5)
    server.suback = lambda kind, body: b"\x90\x05" + body[:2] + b"\0\0\x87"
    assert raised(client.subscribe, ["a", "b"]).code == 0x87
    assert client.sock is not None
    # one answer for two filters tells of neither
    server.suback = lambda kind, body: b"\x90\x04" + body[:2] + b"\0\0"
    assert raised(client.subscribe, ["a", "b"]).code == 0x82
    assert client.sock is None


def test_a_message_that_the_server_has_taken_and_forgotten_is_not_refused():
    client, wire, server = session(5, clean=False)
    server.silent = (6,)
    client.publish("t", "m", qos=2)
    poll_until(client, lambda: 6 in server.kinds())
    client.close()
    again = Wire(Server(5, session=True, silent=(6,)))
    attach(client, again)
    client.connect(False)
    again.inbound.extend(b"\x70\x03\0\x01\x92")
    client.poll()
    assert client.acks == [(1, 0)] and client.in_flight == 0


def test_properties_of_an_acknowledgement_are_there_in_on_ack():
    for qos, data in ((1, b"\x40\x0a\0\x01\x10\x06\x1f\0\x03why"), (2, b"\x50\x0a\0\x01\x83\x06\x1f\0\x03why")):
        client, wire, server = session(5)
        server.silent = (3,)
        client.publish("t", "m", qos=qos)
        told = []
        client.on_ack = lambda pid, code, client=client, told=told: told.append((code, client.properties))
        wire.inbound.extend(data)
        client.poll()
        assert told == [(data[4], [(mqtt5.REASON_STRING, "why")])] and client.properties is None


def test_what_the_server_said_when_it_took_a_message_of_qos_2_is_told_when_it_is_done_with():
    client, wire, server = session(5, window=2)
    server.silent = (3, 6)
    told = []
    client.on_ack = lambda pid, code: told.append((pid, code, client.properties))
    why, more = (mqtt5.REASON_STRING, "why"), (mqtt5.USER_PROPERTY, ("a", "b"))
    for _ in range(2):
        client.publish("t", "m", qos=2)
    # "no matching subscribers" for the first, nothing for the second; then their PUBCOMP, one with properties of its own
    wire.inbound.extend(b"\x50\x0a\0\x01\x10\x06\x1f\0\x03why\x50\x02\0\x02\x50\x03\0\x02\x92")
    client.poll()
    assert told == [] and client.properties is None
    wire.inbound.extend(b"\x70\x02\0\x02\x70\x0b\0\x01\0\x07\x26\0\x01a\0\x01b")
    client.poll()
    assert told == [(2, 0, None), (1, 0x10, [why, more])] and client.properties is None


def test_what_the_server_said_when_it_took_a_message_of_qos_2_is_told_also_after_the_connection_broke():
    # and where the session is gone with it, whose messages the server had taken
    for kept in (True, False):
        client, wire, server = session(5, window=2, clean=False)
        server.silent = (3, 6)
        told = []
        client.on_ack = lambda pid, code, client=client, told=told: told.append((pid, code, client.properties))
        why = (mqtt5.REASON_STRING, "why")
        client.publish("t", "m", qos=2)
        wire.inbound.extend(b"\x50\x0a\0\x01\x10\x06\x1f\0\x03why")
        client.poll()
        client.close()
        again = Wire(Server(5, session=kept))
        attach(client, again)
        assert client.connect(False) == kept
        # nothing of it for the next message in that place
        client.publish("t", "m", qos=2)
        client.publish("t", "m", qos=2)
        client.flush()
        assert told == [(1, 0x10, [why]), (2, 0, None), (3, 0, None)] and client.properties is None


def test_properties_of_an_acknowledgement_do_not_stay_when_it_fails():
    # one of the wrong kind, and one for which on_ack raises
    for data, error in (
        (b"\x50\x0a\0\x01\0\x06\x1f\0\x03why", mqtt.MQTTException),
        (b"\x40\x0a\0\x01\0\x06\x1f\0\x03why", ZeroDivisionError),
    ):
        client, wire, server = session(5)
        server.silent = (3,)
        client.publish("t", "m", qos=1)
        client.on_ack = lambda pid, code: 1 / 0
        wire.inbound.extend(data)
        with raises(error):
            client.poll()
        assert client.properties is None


def test_properties_of_a_message_stay_there_while_the_callback_publishes():
    client, wire, server = session(5, window=1)
    found = []

    def answer(topic, msg):
        client.publish("a", "b", qos=1)
        client.publish("a", "b", qos=1)
        client.subscribe("x")
        found.extend(client.properties)

    client.set_callback(answer)
    wire.inbound.extend(publish(b"t", b"m", properties=b"\x02\x01\x01"))
    client.poll()
    assert found == [(mqtt5.PAYLOAD_FORMAT_INDICATOR, 1)]


def test_an_acknowledgement_has_properties_of_its_own_or_none():
    client, wire, server = session(5)
    found = []
    client.on_ack = lambda pid, code: found.append(client.properties)

    def answer(topic, msg):
        client.publish("a", "b", qos=2)
        client.flush()

    client.set_callback(answer)
    wire.inbound.extend(publish(b"t", b"m", properties=b"\x02\x01\x01"))
    client.poll()
    assert found == [None]


def test_the_callback_says_what_its_acknowledgement_says():
    for qos, first in ((1, 0x40), (2, 0x50)):
        client, wire, server = session(5)
        server.silent = (5,)  # what is refused is not released
        got = []

        def refuse(topic, msg, client=client, got=got):
            got.append(msg)
            if msg == b"bad":
                client.ack_code = 0x99
                client.ack_properties = [(mqtt5.REASON_STRING, "why")]

        client.set_callback(refuse)
        wire.inbound.extend(publish(b"t", b"bad", qos, 5, properties=b"\0") + publish(b"t", b"good", qos, 6, properties=b"\0"))
        client.poll()
        assert server.packets[1:3] == [(first, b"\0\x05\x99\x06\x1f\0\x03why"), (first, b"\0\x06")]
        # and what was refused may come under its identifier again, MQTT 5.0 §4.3.3
        wire.inbound.extend(publish(b"t", b"better", qos, 5, properties=b"\0"))
        client.poll()
        assert server.packets[-1] == (first, b"\0\x05") and got == [b"bad", b"good", b"better"]


def test_why_a_server_has_ended_a_session_is_told_also_by_a_write_that_fails():
    for before, code in ((b"", 0x97), (publish(b"t", b"m", 1, 5, 0, b"\0") + b"\xd0\0", 0x97), (b"\xd0", None), (b"\x30\x80", None)):
        client, wire, _ = session(5)
        wire.inbound.extend(before + (b"\xe0\x08\x97\x06\x1f\0\x03why" if code else b""))
        wire.ended = True
        wire.budget = 0
        error = raised(client.publish, "t", "m")
        if code:
            assert error.args == (code, "why") and error.properties == [(mqtt5.REASON_STRING, "why")]
        else:
            assert isinstance(error, OSError)
        assert client.sock is None and wire.closed and client.got == []


def test_why_a_server_has_ended_a_session_is_told_also_where_its_last_message_is_answered():
    client, wire, _ = session(5)
    client.set_callback(lambda topic, msg: client.publish("answer", msg))
    wire.inbound.extend(publish(b"t", b"m", 0, 0, 0, b"\0") + b"\xe0\x08\x97\x06\x1f\0\x03why")
    wire.budget = 0
    with raises(mqtt.MQTTException) as caught:
        for _ in range(4):
            client.poll(0)
    assert caught.value.args == (0x97, "why") and client.sock is None and wire.closed


class Slow(Server):
    """Acknowledges one message every 3 s, and has one that is too large behind the first acknowledgement."""

    def answer(self, first, body):
        answer = Server.answer(self, first, body)
        if first >> 4 != 3:
            return answer
        self.due = self.clock.now + 3000
        self.owed = answer + (publish(b"big", b"x" * 300, 0, 0, 0, b"\0") if body[4:] == b"\x01\x000" else b"")
        return b""


def test_a_message_that_is_too_large_does_not_hurry_those_that_are_not_sent_again_yet():
    client, _, server = session(5, False, window=8, max_packet=64)
    server.silent = (3,)
    for number in range(8):
        client.publish("t", "%d" % number, qos=1)
    slow = Slow(5, True, b"\x21\0\x01")
    slow.clock = client.clock
    slow.owed = b""

    class Late(Wire):
        def read(self, n):
            if slow.owed and client.clock.now >= slow.due:
                self.inbound.extend(slow.owed)
                slow.owed = b""
            return Wire.read(self, n)

    attach(client, Late(slow))
    client.connect(False, timeout=60)
    assert client.dropped == 1 and client.in_flight == 1 and [pid for pid, _ in client.acks] == list(range(1, 8))


def test_last_words_that_are_malformed_are_not_answered_by_one_write_after_the_other():
    client, wire, _ = session(5)
    client._io._write_some = lambda buf, off, n: 0  # nobody reads
    wire.inbound.extend(b"\xe0\x03\x97\x01\x63")
    before = client.clock.now
    with raises(mqtt.MQTTException):
        client.publish("t", "m")
    assert client.clock.now - before <= 10020 and client.sock is None and wire.closed


def test_why_a_server_ends_a_session_comes_with_all_its_properties():
    block = b"\x0b" + b"\x1c\0\x01s" + b"\x26\0\x01k\0\x01v"
    said = [(mqtt5.SERVER_REFERENCE, "s"), (mqtt5.USER_PROPERTY, ("k", "v"))]
    client, wire, server = session(5)
    wire.inbound.extend(b"\xe0\x0d\x9c" + block)
    error = raised(client.poll)
    assert error.code == 0x9C and error.properties == said
    client, wire, server = session(5, connect=False)
    server.answer = lambda first, body: b"\x20\x0e\0\x9d" + block
    error = raised(client.connect)
    assert error.code == 0x9D and error.properties == said == client.connack_properties
    client, wire, server = session(5)
    server.suback = lambda kind, body: b"\x90\x0f" + body[:2] + block + b"\x87"
    error = raised(client.subscribe, "a")
    assert error.code == 0x87 and error.properties == said
    server.suback = lambda kind, body: b"\x90\x0f" + body[:2] + block + b"\x01"
    assert client.subscribe("a", 1) == 1 and client.reply_properties == said


def test_a_violation_is_told_to_the_server():
    for data, code in (
        (b"\x30\x04\0\x01t\x01", 0x81),
        (b"\x30\x05\0\x01t\x01\x04", 0x81),
        (b"\x36\x06\0\x01t\0\x01\0", 0x81),
        (b"\x20\x03\0\0\0", 0x82),
        (b"\xf0\0", 0x82),
        (b"\x90\x04\0\x01\x09\0", 0x81),
    ):
        client, wire, server = session(5)
        if data[0] == 0x90:
            server.suback = lambda kind, body, data=data: data
            assert raised(client.subscribe, "a").code == code
        else:
            wire.inbound.extend(data)
            assert raised(client.poll).code == code
        assert server.packets[-1][0] == 0xE0
        assert server.packets[-1][1][0] == code


def test_disconnect_may_have_a_reason_and_properties():
    client, wire, _ = session(5)
    del_sent(wire)
    client.disconnect(4, [(17, 10)])
    assert bytes(wire.sent) == b"\xe0\x07\x04\x05\x11\0\0\0\x0a"


def test_a_server_that_says_goodbye_first_is_no_error_of_disconnect():
    client, wire, server = session(5)
    server.silent = (3,)
    client.publish("t", "m", qos=1)
    wire.inbound.extend(b"\xe0\x01\x8e")
    client.disconnect()
    assert client.sock is None and wire.closed and client.in_flight == 1


def test_a_session_that_is_not_clean_is_kept_by_the_server():
    for clean, expiry, expected in ((True, None, None), (False, None, 0xFFFFFFFF), (False, 60, 60), (True, 60, 60)):
        client, wire, server = session(5, connect=False, session_expiry=expiry)
        client.connect(clean)
        body = server.packets[0][1]
        assert mqtt5.get(mqtt5.decode(body, 10, len(body))[0], 17) == expected


def test_an_empty_topic_needs_its_alias_each_time():
    client, _, server = session(5, connect=False)
    server.connack = b"\x22\0\x01"
    client.connect()
    alias = [(mqtt5.TOPIC_ALIAS, 1)]
    client.publish("a", "0", properties=alias)
    nothing = ""
    client.publish(nothing, "1", properties=alias)
    assert isinstance(raised(client.publish, nothing, "2"), ValueError)
    assert server.kinds() == [1, 3, 3]


def test_an_alias_makes_no_packet_larger_than_the_server_takes():
    client, wire, server = session(5, connect=False, topic_aliases=8)
    server.connack = mqtt5.encode(((34, 5), (39, 40)))[1:]
    client.connect()
    for topic, size, sent in (("topic", 30, 40), ("topic", 27, 40), ("topic", 30, 38), ("t", 34, 40), ("t", 30, 39), ("t", 34, 40)):
        del_sent(wire)
        client.publish(topic, bytes(size))
        assert len(wire.sent) == sent


def test_aliases_replace_topics_and_are_forgotten_with_the_connection():
    client, wire, server = session(5, connect=False, topic_aliases=8)
    server.connack = b"\x22\0\x01"
    server.silent = (3,)
    client.connect(False)
    del_sent(wire)
    client.publish("a", "0")
    client.publish("a", "1", qos=1, properties=[(1, 1)])
    client.publish("b", "2")
    first = b"\x30\x08\0\x01a\x03\x23\0\x01" + b"0"
    assert bytes(wire.sent) == first + b"\x32\x0b\0\0\0\x01\x05\x23\0\x01\x01\x01" + b"1" + b"\x30\x05\0\x01b\x002"
    client.close()
    again = Wire(Server(5, session=True))
    attach(client, again)
    client.connect(False)
    assert again.peer.packets[1] == (0x3A, b"\0\x01a\0\x01\x02\x01\x011")
    # nor are they used with a server that takes none
    client.publish("a", "3")
    assert again.peer.packets[2] == (0x30, b"\0\x01a\x003")


def test_a_packet_with_an_alias_has_the_same_as_one_without_and_is_left_as_it_was():
    class Sink:
        maximum_packet_size = 0

        def _send(self, packet, start):
            self.sent = bytes(packet[start:])

    def packet(topic, qos, pairs, message):
        made = bytearray(5)
        mqtt._put(made, topic)
        if qos:
            made.extend(b"\x12\x34")
        made.extend(mqtt5.encode(pairs))
        made.extend(message)
        return made, mqtt._frame(made, 0x30 | qos << 1)

    sink = Sink()
    # where a length gets another byte, with the alias or without it
    for topic in ("a", "ab", "abc", "abcd", "\u00fc" * 20, "x" * 130):
        for qos in (0, 1, 2):
            for value in (None, 119, 120, 122, 123):
                own = [] if value is None else [(mqtt5.USER_PROPERTY, ("", "v" * value))]
                for size in (0, 110, 119, 128, 16375):
                    aliases = mqtt5_alias.Aliases(2)
                    for name in ("other", topic, topic):
                        made, start = packet(name, qos, own, bytes(size))
                        before = bytes(made[start:])
                        aliases.send(sink, made, start)
                        assert bytes(made[start:]) == before
                    made, start = packet("", qos, [(mqtt5.TOPIC_ALIAS, 2)] + own, bytes(size))
                    assert sink.sent == bytes(made[start:]), (topic, qos, value, size)


def test_an_empty_topic_with_an_alias_of_the_application_gets_none_of_the_client():
    client, wire, server = session(5, connect=False, topic_aliases=8)
    server.connack = b"\x22\0\x08"
    client.connect()
    del_sent(wire)
    client.publish("", "m", properties=[(mqtt5.TOPIC_ALIAS, 8)])
    assert bytes(wire.sent) == b"\x30\x07\0\0\x03\x23\0\x08m"


def test_a_property_that_mqtt_does_not_know_is_refused_by_its_number_and_by_its_name():
    for identifier in (0, 4, 43, 200):
        assert text_of(ValueError, mqtt5.encode, [(identifier, 1)]) == "unknown property"
    for name in ("NO_SUCH_PROPERTY", "_private"):
        assert not hasattr(mqtt5, name)


def test_values_at_their_limits_are_encoded_and_beyond_them_refused():
    for value, block in ((127, b"\x7f"), (128, b"\x80\1"), (16384, b"\x80\x80\1")):
        assert mqtt5.encode([(mqtt5.SUBSCRIPTION_IDENTIFIER, value)]) == bytes([1 + len(block), 11]) + block
    longest = mqtt5.encode([(mqtt5.RESPONSE_TOPIC, "x" * 65535)])
    assert mqtt5.decode(longest, 0, len(longest))[0] == [(mqtt5.RESPONSE_TOPIC, "x" * 65535)]
    assert "65535" in text_of(ValueError, mqtt5.encode, [(mqtt5.RESPONSE_TOPIC, "x" * 65536)])


def test_a_property_that_ends_behind_its_block_is_malformed_though_the_packet_goes_on():
    for block in (b"\2\x21\0\5", b"\2\x1f\0\1", b"\5\x1f\0\5ab", b"\2\x0b\x80\1", b"\x80"):
        with raises(mqtt.MQTTException) as caught:
            mqtt5.decode(block + b"\1" * 10, 0, len(block) if block == b"\x80" else len(block) + 10)
        assert caught.value.code == 0x81


def test_the_clients_arguments_have_the_places_that_the_agent_gives_them():
    values = ("user", "password", 60, False, {}, 5, 3, bytearray(100), 1000, 2000, 30, 7)
    ours = cloud_fakes.ARGUMENTS
    by_place = mqtt.MQTTClient("id", "server", 0, *values).__dict__
    by_name = mqtt.MQTTClient("id", "server", 0, **dict(zip(ours, values))).__dict__
    assert len(ours) == len(values)
    for name in by_name:
        if not name.endswith("_at") and name != "_checked":
            assert by_place[name] == by_name[name], name
