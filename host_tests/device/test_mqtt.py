# The MQTT session against a socket double that has a board's awkwardness: connecting, and what the client writes.
import sys
from errno import ENOTCONN, ETIMEDOUT

from fakes import Clock, Server, Wire, publish
from mqtt_session import attach, del_sent, raised, session
from redpoll.net import adopted, mqtt, stream
from umqtt import simple

# the doubles keep all that was sent
HEAP = "2M"


# -- drop-in


def test_it_is_an_umqtt_client():
    client, _, _ = session(connect=False)
    assert isinstance(client, simple.MQTTClient)
    assert issubclass(mqtt.MQTTException, simple.MQTTException)
    assert client.port == 1883


def test_a_socket_of_the_application_works_without_connect():
    clock = Clock().install(mqtt, stream, adopted)
    client = mqtt.MQTTClient(b"id", "server")
    got = []
    client.set_callback(lambda topic, msg: got.append((topic, msg)))
    wire = client.sock = Wire(Server())
    client.publish(b"a", b"b", qos=1)
    wire.inbound.extend(publish(b"t", b"m"))
    client.check_msg()
    client.check_msg()
    assert got == [(b"t", b"m")]
    assert client.in_flight == 0
    assert clock is not None


def test_a_socket_whose_write_returns_nothing_is_taken_at_its_word():
    class Simple(Wire):
        def write(self, data):
            Wire.write(self, data)

    Clock().install(mqtt, stream, adopted)
    client = mqtt.MQTTClient(b"id", "server")
    wire = client.sock = Simple()
    client.publish(b"a", b"b")
    assert bytes(wire.sent) == b"\x30\x04\0\x01ab"


def test_wrapping_the_socket_after_connect_keeps_the_session():
    client, wire, server = session()

    class Log:
        def __init__(self, inner):
            self.inner = inner
            self.lines = []

        def read(self, n):
            return self.inner.read(n)

        def write(self, data):
            self.lines.append(bytes(data))
            return self.inner.write(data)

        def setblocking(self, flag):
            self.inner.setblocking(flag)

        def close(self):
            self.inner.close()

    # half of a message has come
    packet = publish(b"t", b"m")
    wire.inbound.extend(packet[:4])
    client.poll()
    assert not wire.inbound and not client.got
    log = client.sock = Log(wire)
    wire.inbound.extend(packet[4:])
    client.publish(b"a", b"b", qos=1)
    client.poll()
    assert len(log.lines) == 1
    assert client.in_flight == 0 and client.got == [(b"t", b"m")]
    # what it is wrapped into next is read from though nothing is sent
    client.sock = Log(Wire())
    client.sock.inner.inbound.extend(publish(b"t", b"n"))
    client.poll()
    assert client.got[1:] == [(b"t", b"n")]


def test_a_3_1_1_session_never_loads_the_properties():

    session(4)
    assert "redpoll.net.mqtt5" not in sys.modules
    session(5)
    assert "redpoll.net.mqtt5" in sys.modules


def test_wait_msg_passes_over_acknowledgements_and_both_tell_of_a_message():
    # publish() of umqtt.simple has waited for its own
    for qos in (0, 1):
        client, wire, _ = session()
        wire.dribble = 3
        client.publish("ask", "?", qos=1)
        wire.inbound.extend(publish(b"t", b"answer", qos))
        assert client.wait_msg() == 0x30 | qos << 1
        assert client.got == [(b"t", b"answer")] and client.in_flight == 0
        assert client.check_msg() is None
        wire.inbound.extend(publish(b"t", b"more", qos))
        while not client.got[1:]:
            said = client.check_msg()
        assert said == 0x30 | qos << 1


def test_wait_msg_returns_after_a_message_whose_callback_took_the_acknowledgements():
    client, wire, server = session()
    server.silent = (3,)
    client.publish("t", "1", qos=1)
    client.publish("t", "2", qos=1)

    def answer(topic, msg):
        wire.inbound.extend(b"\x40\x02\0\x01\x40\x02\0\x02")
        client.flush()

    client.set_callback(answer)
    wire.inbound.extend(publish(b"a", b"b"))
    before = client.clock.now
    assert client.wait_msg() == 0x30 and client.in_flight == 0
    assert client.clock.now - before < 100


def test_what_no_client_can_do_is_refused_when_it_is_made():
    for options in ({"keepalive": 65536}, {"keepalive": -1}, {"window": 0}, {"protocol": 3}):
        assert isinstance(raised(lambda options=options: mqtt.MQTTClient("id", "server", **options)), ValueError), options


# -- golden packets, written down from the specification


def test_connect_of_3_1_1_is_the_packet_of_the_standard():
    client, wire, _ = session(user="u", password="p", keepalive=300, connect=False)
    client.set_last_will("w", "gone", True, 1)
    client.connect(False)
    assert bytes(wire.sent) == b"\x10\x1d\0\x04MQTT\x04\xec\x01\x2c\0\x02id\0\x01w\0\x04gone\0\x01u\0\x01p"


def test_connect_of_5_is_the_packet_of_the_standard():
    client, wire, _ = session(5, keepalive=60, session_expiry=300, max_packet=1024, connect=False)
    client.set_last_will("w", "gone", qos=2, properties=[(24, 5)])
    client.connect()
    block = b"\x0d\x21\0\x10\x27\0\0\x04\0\x11\0\0\x01\x2c"
    assert bytes(wire.sent) == b"\x10\x2b\0\x04MQTT\x05\x16\0\x3c" + block + b"\0\x02id" + b"\x05\x18\0\0\0\x05\0\x01w\0\x04gone"


def test_publish_packets_are_one_write_each():
    client, wire, _ = session()
    for qos in (0, 1, 2):
        del_sent(wire)
        client.publish("t/\u00e9", b"m", True, qos)
        pid = b"" if qos == 0 else bytes([0, qos])
        assert bytes(wire.sent) == bytes([0x31 | qos << 1, 7 + len(pid)]) + b"\0\x04t/\xc3\xa9" + pid + b"m"
        assert wire.writes == 1


def test_remaining_length_has_as_few_bytes_as_it_may():
    client, wire, _ = session(max_packet=64)
    for size, head in ((124, b"\x30\x7f"), (125, b"\x30\x80\x01"), (16380, b"\x30\xff\x7f"), (16381, b"\x30\x80\x80\x01")):
        del_sent(wire)
        client.publish(b"t", bytes(size))
        assert bytes(wire.sent[: len(head)]) == head
        assert len(wire.sent) == len(head) + 3 + size


def test_subscribe_and_unsubscribe_take_one_filter_or_many_and_none_that_is_empty():
    client, wire, _ = session()
    del_sent(wire)
    assert client.subscribe("a", 1) == 1
    assert client.subscribe([("b", 2), b"c"]) == [2, 0]
    client.unsubscribe("a")
    client.unsubscribe(["b", "c"])
    expected = b"\x82\x06\0\x01\0\x01a\x01" + b"\x82\x0a\0\x02\0\x01b\x02\0\x01c\0"
    expected += b"\xa2\x05\0\x03\0\x01a" + b"\xa2\x08\0\x04\0\x01b\0\x01c"
    assert bytes(wire.sent) == expected
    # a server would end the connection for no filter at all
    for nothing in ([], "", b"", [("", 0)], ["a", b""]):
        assert isinstance(raised(client.subscribe, nothing), ValueError) and isinstance(raised(client.unsubscribe, nothing), ValueError)
    # nor is there a QoS 3, whatever other options are or-ed to it
    for qos, filters in ((3, "a"), (7, "a"), (0, [("a", 1), ("b", 3)])):
        assert str(raised(client.subscribe, filters, qos)) == "QoS: 0, 1 or 2"
    assert bytes(wire.sent) == expected


def test_ping_and_disconnect_are_two_bytes_each_and_disconnect_closes():
    client, wire, _ = session()
    del_sent(wire)
    client.ping()
    client.disconnect()
    assert bytes(wire.sent) == b"\xc0\0\xe0\0"
    assert wire.closed
    client.disconnect()
    client.close()


def test_a_topic_is_as_long_as_two_bytes_can_tell():
    client, _, server = session()
    assert isinstance(raised(client.publish, "x" * 65536, b"m"), ValueError)
    client.publish("x" * 65535, b"m")
    assert len(server.packets[-1][1]) == 65538 and server.packets[-1][1][:3] == b"\xff\xffx"


def test_a_topic_that_is_none_is_refused_and_does_no_harm():
    for protocol in (4, 5):
        client, _, server = session(protocol)
        for topic in ("", b"", "a/#", b"+/b", "a\0b", b"\xff\xfe"):
            for qos in (0, 1, 2):
                assert isinstance(raised(client.publish, topic, b"m", False, qos), ValueError), topic
        if protocol == 4:
            # no alias stands for it there
            assert isinstance(raised(client.publish, "", b"m", False, 0, b"\x23\0\x01"), ValueError)
        assert client.in_flight == 0 and server.kinds() == [1]
        for topic in ("a", b"a", bytearray(b"a"), memoryview(b"a"), "\u00e9"):
            client.publish(topic, b"m", qos=1)
        client.flush()
        assert server.kinds() == [1] + [3] * 5


def test_only_the_last_topics_are_remembered():
    client, _, server = session()
    for number in range(100):
        client.publish("t/%d" % number, b"m")
    assert len(client._topics) == 4 and len(server.packets) == 101


def test_a_qos_outside_0_to_2_is_refused():
    client, _, _ = session()
    assert isinstance(raised(client.publish, "t", "m", False, 3), ValueError)
    assert isinstance(raised(client.set_last_will, "t", "m", False, 3), ValueError)
    assert client.in_flight == 0


# -- connecting and the end of it


def test_refused_connection_says_the_code():
    client, wire, server = session(connect=False)
    server.answer = lambda first, body: b"\x20\x02\0\x05"
    error = raised(client.connect)
    assert isinstance(error, mqtt.MQTTException)
    assert error.code == 5 and error.args == (5, "refused")
    assert client.sock is None and wire.closed


def test_connack_that_never_comes_ends_at_the_deadline():
    client, _, _ = session(connect=False, connect_timeout_ms=3000)
    client_server_silent(client)
    before = client.clock.now
    error = raised(client.connect)
    assert error.args[0] == ETIMEDOUT
    assert 3000 <= client.clock.now - before <= 3100


def test_the_timeout_of_connect_is_in_seconds_as_in_umqtt():
    client, _, _ = session(connect=False)
    client_server_silent(client)
    before = client.clock.now
    raised(client.connect, True, 1.5)
    assert 1500 <= client.clock.now - before <= 1600


def client_server_silent(client):
    attach(client, Wire())


def test_anything_but_connack_at_first_is_a_violation():
    for data in (b"\xd0\0", b"\x30\x03\0\x01t", b"\x20\x02\x02\0", b"\x20\x01\0", b"\x40\x02\0\1", b"\xff\xff\xff\xff\xff"):
        client, wire, server = session(connect=False)
        server.answer = lambda first, body, data=data: data
        assert isinstance(raised(client.connect), mqtt.MQTTException)
        assert wire.closed


def test_what_follows_connack_waits_for_the_first_poll():
    client, _, server = session(connect=False)
    server.answer = lambda first, body: b"\x20\x02\0\0" + publish(b"t", b"m")
    client.connect()
    assert client.got == []
    client.poll()
    assert client.got == [(b"t", b"m")]


def test_a_server_that_has_a_session_where_none_was_wanted_is_not_talked_to():
    client, wire, server = session(connect=False)
    server.session = True
    error = raised(client.connect, True)
    assert isinstance(error, mqtt.MQTTException) and error.code == 0x82
    assert wire.closed and client.sock is None


def test_connect_closes_the_connection_before():
    client, wire, _ = session()
    attach(client, Wire(Server()))
    client.connect()
    assert wire.closed and client.sock is not None


def test_disconnect_waits_for_what_is_in_flight():
    client, wire, server = session()
    client.publish("a", b"0", qos=1)
    assert client.in_flight
    client.disconnect()
    assert not client.in_flight and server.kinds() == [1, 3, 14]


def test_a_closed_client_raises_and_does_not_hang_and_so_does_one_that_was_never_connected():
    for connect in (True, False):
        client, _, _ = session(connect=connect)
        client.close() if connect else None
        for call in (client.poll, client.check_msg, client.wait_msg, client.ping):
            assert raised(call).args[0] == ENOTCONN
        for call in (client.publish, client.subscribe):
            assert raised(call, "t", b"1" if call == client.publish else 0).args[0] == ENOTCONN
        client.disconnect()
