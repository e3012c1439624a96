# The MQTT session against a socket double that has a board's awkwardness.
import gc
import sys
from errno import EAGAIN, ECONNREFUSED, ECONNRESET, ENOTCONN, ETIMEDOUT

import heap
from fakes import Clock, Server, Wire, publish
from mqtt_session import attach, del_sent, poll_until, raised, session
from redpoll.net import adopted, mqtt, stream
from support import SkipTest
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

    log = client.sock = Log(wire)
    client.publish(b"a", b"b", qos=1)
    client.poll()
    assert len(log.lines) == 1
    assert client.in_flight == 0


def test_a_3_1_1_session_never_loads_the_properties():
    import sys

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


def test_a_message_that_waits_is_delivered_though_the_connection_is_gone():
    client, wire, server = session()
    server.silent = (3,)
    client.publish("t", "m", qos=1)
    wire.inbound.extend(publish(b"a", b"b", 1))
    assert isinstance(raised(client.flush), OSError) and client.sock is None
    assert client.poll() == 1 and client.got == [(b"a", b"b")]
    assert isinstance(raised(client.poll), OSError)


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


# -- connecting


def test_refused_connection_says_the_code():
    client, wire, server = session(connect=False)
    server.answer = lambda first, body: b"\x20\x02\0\x05"
    error = raised(client.connect)
    assert isinstance(error, mqtt.MQTTException)
    assert error.code == 5 and error.args[0] == 5
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


# -- awkward sockets


def test_a_session_works_with_one_byte_at_a_time_both_ways():
    client, wire, server = session()
    wire.dribble = wire.short = 1
    assert client.subscribe("x", 1) == 1
    pid = client.publish("t", "message", qos=1)
    wire.inbound.extend(publish(b"topic", b"m" * 200, 1, 7))
    poll_until(client, lambda: client.got and client.acks)
    assert client.got == [(b"topic", b"m" * 200)]
    assert client.acks == [(pid, 0)]
    assert server.packets[-1] == (0x40, b"\0\x07")


def test_none_eagain_and_etimedout_mean_not_now():
    client, wire, server = session()
    wire.read_faults = [None, OSError(EAGAIN), OSError(ETIMEDOUT)]
    wire.write_faults = [None, OSError(EAGAIN), OSError(ETIMEDOUT)]
    client.publish("t", "m", qos=1)
    for _ in range(4):
        client.poll()
    assert client.in_flight == 0
    assert server.packets[-1] == (0x32, b"\0\x01t\0\x01m")


def test_a_write_without_progress_ends_at_the_deadline():
    client, wire, _ = session(ack_timeout_ms=4000)
    wire.write_faults = [None] * 10000
    before = client.clock.now
    error = raised(client.publish, "t", "m", False, 1)
    assert error.args[0] == ETIMEDOUT
    assert 4000 <= client.clock.now - before <= 4100
    assert client.sock is None
    assert client.in_flight == 0


def test_what_ends_a_write_half_way_closes_the_connection():
    for error in (MemoryError(), KeyboardInterrupt()):
        client, wire, _ = session()
        wire.short = 10
        taken = wire.write

        def write(data, wire=wire, taken=taken, error=error):
            done = taken(data)
            wire.write_faults.append(error)
            return done

        wire.write = write
        try:
            client.publish("t", bytes(50))
            raise AssertionError("published")
        except (MemoryError, KeyboardInterrupt):
            assert client.sock is None and wire.closed


def test_end_of_stream_is_an_error_everywhere():
    for call in ("poll", "check_msg", "wait_msg", "subscribe", "flush"):
        client, wire, server = session()
        server.silent = (8, 3)
        client.publish("t", "m", qos=1)
        wire.ended = True
        args = ("x",) if call == "subscribe" else ()
        error = raised(getattr(client, call), *args)
        assert error.args[0] == ECONNRESET
        assert client.sock is None and wire.closed
        assert raised(client.publish, "t", "m") is not None


def test_a_closed_client_raises_and_does_not_hang():
    client, _, _ = session()
    client.close()
    for call in (client.poll, client.check_msg, client.wait_msg, client.ping):
        assert isinstance(raised(call), OSError)


def test_poll_waits_no_longer_than_asked():
    client, _, _ = session()
    for timeout in (0, 1, 25, 300):
        before = client.clock.now
        assert client.poll(timeout) == 0
        assert timeout <= client.clock.now - before <= timeout + 1


# -- window, identifiers, acknowledgements


def test_publish_does_not_wait_while_the_window_has_room():
    client, _, server = session(window=4)
    server.silent = (3,)
    assert [client.publish("t", "m", qos=1) for _ in range(4)] == [1, 2, 3, 4]
    assert client.in_flight == 4 and client.window_free() == 0


def test_publish_into_a_full_window_waits_for_an_acknowledgement():
    client, wire, server = session(window=2)
    for _ in range(5):
        client.publish("t", "m", qos=1)
    assert client.in_flight <= 2
    client.flush()
    assert client.acks == [(1, 0), (2, 0), (3, 0), (4, 0), (5, 0)]


def test_publish_into_a_window_that_stays_full_ends_at_the_deadline():
    client, _, server = session(window=1, ack_timeout_ms=2000)
    server.silent = (3,)
    client.publish("t", "m", qos=1)
    before = client.clock.now
    error = raised(client.publish, "t", "n", False, 1)
    assert error.args[0] == ETIMEDOUT
    assert client.clock.now - before <= 2500
    assert client.in_flight == 1  # the first was accepted, the second was not


def test_packet_ids_wrap_and_pass_over_those_in_flight():
    client, _, server = session(window=3)
    server.silent = (3,)
    client.pid = 65533
    assert [client.publish("t", "m", qos=1) for _ in range(2)] == [65534, 65535]
    client.pid = 65533
    assert client.publish("t", "m", qos=1) == 1


def test_more_publishes_than_there_are_identifiers_go_through():
    client, wire, server = session(window=8)
    server.packets = Forgetful()
    for number in range(70000):
        if number & 1023 == 0:
            wire.sent = bytearray()
            client.acks.clear()
        client.publish(b"t", b"m", False, 1)
    client.flush()
    # one whose place in the window is not free yet is passed over
    assert 70000 - 65535 <= client.pid < 70000 - 65535 + 8


class Forgetful:
    def append(self, packet):
        pass


def test_unknown_and_repeated_acknowledgements_are_ignored():
    client, wire, _ = session()
    wire.inbound.extend(b"\x40\x02\0\x09\x40\x02\0\x09\x70\x02\0\x09")
    client.poll()
    assert client.acks == []


def test_an_acknowledgement_of_no_message_does_not_count_for_a_place_in_the_window_that_is_free():
    client, wire, _ = session(window=1)
    client.publish("a", b"0", qos=1)
    client.flush()
    wire.inbound.extend(b"\x40\x02\0\0")
    assert isinstance(raised(client.poll), mqtt.MQTTException)
    assert client.in_flight == 0 and client.window_free() == 1


def test_an_acknowledgement_of_another_qos_is_a_violation():
    for qos, data in ((1, b"\x50\x02\0\x01"), (2, b"\x40\x02\0\x01"), (2, b"\x70\x02\0\x01"), (1, b"\x40\x02\0\0")):
        client, wire, server = session()
        server.silent = (3,)
        client.publish("t", "m", qos=qos)
        wire.inbound.extend(data)
        assert isinstance(raised(client.poll), mqtt.MQTTException)
        assert wire.closed


def test_a_missing_acknowledgement_is_noticed():
    for qos, silent in ((1, 3), (2, 3), (2, 6)):
        client, _, server = session(ack_timeout_ms=5000)
        server.silent = (silent,)
        client.publish("t", "m", qos=qos)
        before = client.clock.now
        error = raised(poll_for, client, 20000)
        assert error.args[0] == ETIMEDOUT
        assert 5000 <= client.clock.now - before <= 6500


def poll_for(client, ms):
    end = client.clock.now + ms
    while client.clock.now < end:
        client.poll(1000)


def test_acknowledgements_that_waited_longer_than_the_deadline_count():
    client, _, _ = session(ack_timeout_ms=5000)
    client.publish("t", "m", qos=1)
    client.clock.now += 60000
    client.poll()
    assert client.in_flight == 0


def test_an_outbound_qos_2_message_is_released_and_told_of_once():
    client, _, server = session()
    pid = client.publish("t", "m", qos=2)
    client.flush()
    assert server.kinds() == [1, 3, 6]
    assert server.packets[-1] == (0x62, b"\0\x01")
    assert client.acks == [(pid, 0)]


def test_a_qos_outside_0_to_2_is_refused():
    client, _, _ = session()
    assert isinstance(raised(client.publish, "t", "m", False, 3), ValueError)
    assert isinstance(raised(client.set_last_will, "t", "m", False, 3), ValueError)
    assert client.in_flight == 0


# -- resumed sessions


def test_in_flight_messages_are_sent_again_with_dup_in_order():
    client, wire, server = session(window=4, clean=False)
    server.silent = (3,)
    client.pid = 65533
    for number in range(4):
        client.publish("t", b"%d" % number, number == 3, 1)
    wire.inbound.extend(b"\x40\x02\xff\xff")
    client.poll()
    client.publish("t", b"4", qos=1)
    client.close()
    again = Wire(Server(session=True))
    attach(client, again)
    assert client.connect(False) == 1
    sent = [(first, body[5:]) for first, body in again.peer.packets[1:]]
    assert sent == [(0x3A, b"0"), (0x3A, b"2"), (0x3B, b"3"), (0x3A, b"4")]
    client.flush()
    assert client.in_flight == 0


def test_a_resumed_session_has_the_write_deadline_of_any_other():
    client, _, server = session(clean=False, connect_timeout_ms=5000)
    whole = client._io.write_timeout_ms
    server.silent = (3,)
    client.publish("t", "m", qos=1)
    client.close()
    again = Wire(Server(session=True))
    attach(client, again)
    # of the deadline for connecting little is left
    take = again.peer.take
    again.peer.take = lambda data: client.clock.sleep_ms(4900) or take(data)
    client.connect(False)
    assert again.peer.kinds() == [1, 3] and client._io.write_timeout_ms == whole


def test_qos_2_goes_on_where_it_was():
    client, _, server = session(clean=False)
    server.silent = (6,)
    client.publish("t", "m", qos=2)
    client.poll()
    server.silent = (3,)
    client.publish("t", "n", qos=2)
    client.close()
    again = Wire(Server(session=True))
    attach(client, again)
    client.connect(False)
    assert again.peer.packets[1:3] == [(0x62, b"\0\x01"), (0x3C, b"\0\x01t\0\x02n")]
    client.flush()
    assert again.peer.kinds() == [1, 6, 3, 6]


def test_messages_are_sent_again_when_the_server_lost_the_session():
    client, _, server = session(clean=False)
    server.silent = (3, 6)
    client.publish("t", "m", qos=1)
    client.close()
    again = Wire(Server())
    attach(client, again)
    assert not client.connect(False)
    client.flush()
    assert again.peer.packets[1] == (0x3A, b"\0\x01t\0\x01m")


def test_a_publish_that_raised_was_not_accepted():
    client, wire, _ = session(clean=False)
    wire.budget = 3
    assert isinstance(raised(client.publish, "t", "m", False, 1), OSError)
    again = Wire(Server(session=True))
    attach(client, again)
    client.connect(False)
    assert again.peer.kinds() == [1]


def test_cut_after_every_byte_no_accepted_message_is_lost():
    whole = b"\x32\x06\0\x01t\0\x01m"
    for budget in range(3 * len(whole) + 1):
        client, wire, server = session(clean=False)
        server.silent = (3,)
        wire.budget = budget
        accepted = []
        for number in range(3):
            try:
                client.publish("t", b"%d" % number, qos=1)
                accepted.append(b"%d" % number)
            except OSError:
                break
        client.close()
        again = Wire(Server(session=True))
        attach(client, again)
        client.connect(False)
        assert [body[5:] for first, body in again.peer.packets[1:]] == accepted
        assert len(accepted) == budget // len(whole)


# -- receiving


def test_messages_are_delivered_then_acknowledged():
    client, wire, server = session()
    seen = []
    client.set_callback(lambda topic, msg: seen.append((topic, msg, len(server.packets))))
    wire.inbound.extend(publish(b"a", b"0") + publish(b"b", b"1", 1, 9))
    client.poll()
    assert seen == [(b"a", b"0", 1), (b"b", b"1", 1)]
    assert server.packets[1:] == [(0x40, b"\0\x09")]


def test_qos_2_inbound_is_delivered_once():
    client, wire, server = session(clean=False)
    server.silent = (5,)
    wire.inbound.extend(publish(b"a", b"0", 2, 9))
    client.poll()
    wire.inbound.extend(publish(b"a", b"0", 2, 9, 8))
    client.poll()
    client.close()
    again = Wire(Server(session=True, silent=(5,)))
    attach(client, again)
    client.connect(False)
    again.inbound.extend(publish(b"a", b"0", 2, 9, 8) + b"\x62\x02\0\x09" + publish(b"a", b"1", 2, 9))
    client.poll()
    assert client.got == [(b"a", b"0"), (b"a", b"1")]
    assert again.peer.kinds()[1:4] == [5, 7, 5]


def test_acknowledgements_go_out_in_the_order_of_the_messages():
    client, wire, server = session(window=1)
    wire.inbound.extend(publish(b"t", b"1", 1, 7) + publish(b"t", b"2", 2, 8) + publish(b"t", b"3", 1, 9))
    client.subscribe("x")  # they come while somebody waits
    client.poll()
    assert server.packets[2:] == [(0x40, b"\0\x07"), (0x50, b"\0\x08"), (0x40, b"\0\x09")]


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


def test_more_messages_than_a_server_may_have_under_way_are_a_violation():
    client, wire, _ = session(max_packet=128, receive_maximum=2)
    wire.inbound.extend(b"".join([publish(b"t", bytes(120), 1, 1 + n) for n in range(6)]))
    error = raised(client.subscribe, "x")
    assert isinstance(error, mqtt.MQTTException) and error.code == 0x97 and wire.closed


def test_messages_that_were_delivered_leave_their_room_to_the_next():
    client, wire, _ = session(max_packet=256)
    for _ in range(20):
        wire.inbound.extend(publish(b"t", bytes(100)))
        client.subscribe("x")
        client.poll()
    assert len(client.got) == 20 and not client.dropped


def test_a_topic_is_as_long_as_two_bytes_can_tell():
    client, _, server = session()
    assert isinstance(raised(client.publish, "x" * 65536, b"m"), ValueError)
    client.publish("x" * 65535, b"m")
    assert len(server.packets[-1][1]) == 65538 and server.packets[-1][1][:3] == b"\xff\xffx"


def test_a_callback_that_raises_leaves_a_usable_session():
    client, wire, server = session()

    def broken(topic, msg):
        raise KeyError(topic)

    client.set_callback(broken)
    wire.inbound.extend(publish(b"a", b"0", 1, 9) + publish(b"b", b"1"))
    assert isinstance(raised(client.poll), KeyError)
    got = []
    client.set_callback(lambda topic, msg: got.append(topic))
    client.poll()
    assert got == [b"b"]
    assert 4 not in server.kinds()  # not taken, so not acknowledged


def test_an_oversize_packet_is_drained_and_counted():
    for qos in (0, 1, 2):
        client, wire, server = session(max_packet=64)
        wire.inbound.extend(publish(b"t", bytes(30000), qos, 9) + publish(b"t", b"small"))
        poll_until(client, lambda client=client: client.got, 10000)
        assert client.got == [(b"t", b"small")]
        assert client.dropped == 1
        assert server.kinds() == [1] + [[], [4], [5, 7]][qos]


def test_an_oversize_packet_of_no_qos_is_a_violation():
    client, wire, server = session(max_packet=64)
    wire.inbound.extend(publish(b"t", bytes(300), 3, 9))
    error = raised(lambda: poll_until(client, lambda: client.dropped, 10000))
    assert isinstance(error, mqtt.MQTTException) and client.sock is None and server.kinds() == [1]


def test_a_slow_oversize_packet_does_not_count_as_a_dead_link():
    client, wire, _ = session(max_packet=64, keepalive=4)
    data = publish(b"t", bytes(3000)) + b"\xd0\0"
    wire.peer = None
    for at in range(0, len(data), 100):
        wire.inbound.extend(data[at : at + 100])
        client.poll(900)
        client.clock.now += 900
    assert client.dropped == 1


def test_a_packet_as_large_as_the_maximum_is_taken():
    client, wire, _ = session(max_packet=256)
    message = bytes(256 - 3 - 3)
    assert len(publish(b"t", message)) == 256
    wire.inbound.extend(publish(b"t", message) + publish(b"t", message))
    client.poll()
    client.poll()
    assert client.got == [(b"t", message)] * 2
    assert client.dropped == 0


def test_a_packet_that_begins_and_stops_is_noticed():
    for data in (b"\x30", b"\x30\x10", b"\x30\x10\0\x01t", b"\x40", b"\x40\x02\0"):
        client, wire, _ = session(ack_timeout_ms=5000)
        wire.inbound.extend(data)
        before = client.clock.now
        assert raised(poll_for, client, 20000).args[0] == ETIMEDOUT
        assert client.clock.now - before <= 7000


def test_garbage_is_a_violation():
    for data in (
        b"\0\0",  # packet type 0
        b"\xf0\0",  # AUTH, which 3.1.1 does not have
        b"\x36\x05\0\x01t\0\x01",  # QoS 3
        b"\x30\x01\0",  # no room for the length of the topic
        b"\x30\x03\0\x09t",  # a topic beyond the packet
        b"\x32\x03\0\x01t",  # no identifier
        b"\x32\x05\0\x01t\0\0",  # identifier 0
        b"\x30\x02\0\0",  # no topic
        b"\x30\x03\0\x01#",  # a topic with a wildcard
        b"\x30\x03\0\x01+",
        b"\x40\x02\0\0",  # identifier 0
        b"\x40\x01\0",
        b"\x30\xff\xff\xff\xff\x01",  # a length of five bytes
        b"\x90\x01\0",
        b"\x60\x02\0\x01",  # PUBREL with wrong flags
        b"\xd0\x01\0",  # PINGRESP with a body
        b"\x10\0",  # packets only a client sends
        b"\x82\0",
        b"\xc0\0",
        b"\xe0\0",
        b"\x20\x02\0\0",  # a second CONNACK
    ):
        client, wire, _ = session()
        wire.inbound.extend(data)
        assert isinstance(raised(client.poll), mqtt.MQTTException), data
        assert wire.closed and client.sock is None


def test_a_large_packet_that_dribbles_is_noticed():
    for keepalive in (0, 4):
        client, wire, _ = session(max_packet=64, keepalive=keepalive, ack_timeout_ms=5000)
        wire.inbound.extend(publish(b"t", bytes(100000))[:50])
        wire.peer = None

        def dribble(client=client, wire=wire):
            for _ in range(1000):
                wire.inbound.extend(b"\0")
                client.poll(300)
                client.clock.now += 300

        before = client.clock.now
        assert raised(dribble).args[0] == ETIMEDOUT
        # looked at every pong_ms while something comes: 10 s, or half the keep alive
        assert client.clock.now - before <= (8000 if keepalive else 11000) and client.sock is None


# -- what must be sent while the server does not read


def full(wire):
    """`wire` with no room for anything that is sent -> a list; once it has something there is room."""
    room = []

    class Stream(adopted.Adopted):
        def __init__(self, host, port, tls, limit, write_ms, name):
            super().__init__(wire, write_ms)

        def ready(self):
            return bool(room)

    mqtt.Stream = Stream
    return room


def test_a_message_whose_acknowledgement_cannot_be_sent_now_stays_where_it_is_and_poll_does_not_wait():
    client, wire, server = session(connect=False, max_packet=64)
    room = full(wire)
    client.connect()
    before = client.clock.now
    for pid in range(1, 40):
        wire.inbound.extend(publish(b"t", b"message", 1, pid))
        client.poll()
    assert client.clock.now == before and client.got == [] and server.kinds() == [1]
    room.append(True)
    poll_until(client, lambda: len(client.got) == 39)
    assert server.kinds()[1:] == [4] * 39


def test_a_server_that_reads_nothing_is_noticed():
    for data in (b"", publish(b"t", b"message", 1, 5), publish(b"t", b"message", 2, 5)):
        client, wire, _ = session(connect=False, keepalive=10)
        full(wire)
        client.connect()
        wire.inbound.extend(data)
        before = client.clock.now
        assert raised(poll_for, client, 60000).args[0] == ETIMEDOUT
        assert client.clock.now - before <= 15000


def test_a_link_that_had_no_room_for_a_moment_is_not_dead():
    # though nothing asked for room again
    client, wire, _ = session(connect=False, keepalive=20)
    room = full(wire)
    client.connect()
    for _ in range(15):
        client.clock.now += 1000
        client.publish("t", "m")
    client.clock.now += 1000
    client.poll(0)
    assert client._waiting is not None
    room.append(True)
    for _ in range(40):
        client.clock.now += 1000
        wire.inbound.extend(publish(b"t", b"x"))
        client.publish("t", "m")
        client.poll(0)
        client.poll(0)
    assert len(client.got) == 40
    # nor when it is looked at seldom
    client, wire, server = session(connect=False, keepalive=60)
    room = full(wire)
    client.connect()
    client.clock.now += 46000
    client.poll(0)
    room.append(True)
    client.clock.now += 15000
    client.poll(0)
    assert server.kinds() == [1, 12]


def test_a_message_that_waits_for_poll_does_not_make_it_wait_either():
    client, wire, server = session(connect=False, keepalive=60)
    room = full(wire)
    client.connect()
    room.append(True)
    wire.inbound.extend(publish(b"t", b"m", 1, 9))
    client.publish("t", "m", qos=1)
    client.flush()
    room.clear()
    wire.short = 0
    before = client.clock.now
    assert client.poll(0) == 0 and client.got == [] and client.clock.now == before
    # nor for as long as it may: there may be room soon
    assert client.poll(60000) == 0 and client.clock.now - before <= 1000
    room.append(True)
    wire.short = 1000
    wire.inbound.extend(publish(b"t", b"n", 1, 10))
    poll_until(client, lambda: len(client.got) == 2)
    assert client.got == [(b"t", b"m"), (b"t", b"n")] and server.kinds()[-2:] == [4, 4]


def test_a_buffer_full_of_messages_without_room_for_their_acknowledgements_costs_no_cpu():
    client, wire, _ = session(connect=False, max_packet=64)
    full(wire)
    client.connect()
    for pid in range(1, 40):
        wire.inbound.extend(publish(b"t", b"message", 1, pid))
    client.poll(0)
    turns = []
    pause = client._io._wait_room

    def wait(ms):
        turns.append(ms)
        pause(ms)

    client._io._wait_room = wait
    assert client.poll(3000) == 0
    assert sum(turns) == 3000 and len(turns) < 10


def test_a_slow_oversize_packet_does_not_count_against_the_answers_behind_it():
    client, wire, server = session(keepalive=60, max_packet=64)
    server.silent = (3,)
    data = publish(b"t", bytes(6000))
    wire.inbound.extend(data[:100])
    client.poll(0)
    client.publish("t", "1", qos=1)
    wire.peer = None
    for at in range(100, len(data), 200):
        wire.inbound.extend(data[at : at + 200])
        poll_for(client, 1000)
    assert client.in_flight == 1
    wire.inbound.extend(b"\x40\x02\0\x01")
    poll_for(client, 400)
    assert client.acks == [(1, 0)]


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


def test_a_pause_in_an_oversize_packet_does_not_count_against_the_ping_that_was_sent_in_it():
    client, wire, server = session(keepalive=10, max_packet=64)
    server.silent = (12,)
    wire.inbound.extend(publish(b"t", bytes(200000))[:100])
    wire.peer = None
    client.poll(0)
    poll_for(client, 7000)
    for _ in range(400):
        wire.inbound.extend(bytes(20))
        client.poll(0)
        client.poll(0)
        client.clock.now += 100
    assert client.sock is not None


def test_in_3_1_1_no_reason_frees_an_identifier_of_qos_2():
    client, wire, server = session(clean=False)
    client.set_callback(lambda topic, msg: (client.got.append(msg), setattr(client, "ack_code", 0x83)))
    server.silent = (5,)
    for flags in (0, 8):
        wire.inbound.extend(publish(b"a", b"b", 2, 9, flags))
        client.poll(0)
    assert client.got == [b"b"]


def test_connect_ends_at_its_deadline_also_while_a_server_does_not_read_what_is_sent_again():
    client, _, _ = session(clean=False, ack_timeout_ms=10000, connect_timeout_ms=4000)
    client._io.send = lambda buf, off, n: None
    for number in range(4):
        client.publish("t", str(number), qos=1)
    client.close()

    class Late(Server):
        def answer(self, first, body):
            client.clock.now += 3000
            wire.short = 0
            return Server.answer(self, first, body)

    wire = Wire(Late(4, True))
    attach(client, wire)
    before = client.clock.now
    assert raised(client.connect, False).args[0] == ETIMEDOUT
    assert client.clock.now - before <= 4100 and client.in_flight == 4


def test_connect_ends_at_its_deadline_also_while_it_sends_again():
    client = mqtt.MQTTClient("id", "server", protocol=5, ack_timeout_ms=3000, connect_timeout_ms=4000)
    clock = Clock().install(mqtt, stream, adopted)
    first = Wire(Server(5, silent=(3,)))
    attach(client, first)
    client.connect(False)
    for number in range(6):
        client.publish("t", str(number), qos=1)
    client.close()

    class Late(Wire):
        def read(self, n):
            asked = [body[3:5] for head, body in self.peer.packets if head >> 4 == 3]
            if len(asked) > len(answered) and clock.now - since[0] > 1500 * (len(answered) + 1):
                answered.append(asked[-1])
                self.inbound.extend(b"\x40\x02" + asked[-1])
            return Wire.read(self, n)

    answered = []
    since = [clock.now]
    attach(client, Late(Server(5, True, b"\x21\0\x01", silent=(3,))))
    assert raised(client.connect, False).args[0] == ETIMEDOUT
    assert clock.now - since[0] <= 5000
    # what was acknowledged by then is, and the rest is still in the window
    assert len(answered) == 2 and client.in_flight == 4


# -- what the callback may do


def test_the_callback_may_publish_into_a_full_window():
    client, wire, server = session(window=1)
    order = []

    def reply(topic, msg):
        order.append(msg)
        client.publish("r", msg, qos=1)
        client.publish("r", msg, qos=1)

    client.set_callback(reply)
    server.silent = ()
    wire.inbound.extend(publish(b"t", b"1") + publish(b"t", b"2", 1, 5) + publish(b"t", b"3"))
    poll_until(client, lambda: len(order) == 3)
    client.flush()
    assert order == [b"1", b"2", b"3"]
    assert len(client.acks) == 6
    assert (0x40, b"\0\x05") in server.packets


def test_the_callback_may_subscribe():
    client, wire, _ = session()
    granted = []
    client.set_callback(lambda topic, msg: granted.append(client.subscribe(msg, 1)))
    wire.inbound.extend(publish(b"t", b"a") + publish(b"t", b"b"))
    poll_until(client, lambda: len(granted) == 2)
    assert granted == [1, 1]


def test_the_callback_may_close():
    for name in ("close", "disconnect"):
        client, wire, server = session()
        got = []

        def leave(topic, msg, client=client, got=got, name=name):
            got.append(msg)
            getattr(client, name)()

        client.set_callback(leave)
        wire.inbound.extend(publish(b"t", b"1", 1, 5) + publish(b"t", b"2"))
        client.poll()
        assert got == [b"1"]
        assert wire.closed and 4 not in server.kinds()


def closes_at_its_first_acknowledgement():
    client, wire, _ = session(window=1)
    client.on_ack = lambda pid, code: client.close()
    client.publish("t", "1", qos=1)
    return client, wire


def test_on_ack_may_close_whoever_waits():
    for waits in (
        lambda client: client.publish("t", "2", qos=1),
        lambda client: client.subscribe("t"),
        lambda client: client.poll(0) and client.ping(),
    ):
        client, wire = closes_at_its_first_acknowledgement()
        error = raised(waits, client)
        assert isinstance(error, OSError) and error.args[0] == ENOTCONN
        assert client.sock is None and wire.closed and client.in_flight == 0
    client, wire = closes_at_its_first_acknowledgement()
    client.disconnect()
    assert client.sock is None and wire.closed


def test_on_ack_may_close_while_connect_sends_again():
    client, _, server = session(5, clean=False, window=3)
    server.silent = (3,)
    for _ in range(3):
        client.publish("t", "m", qos=1)
    client.close()
    client.on_ack = lambda pid, code: client.close()
    attach(client, Wire(Server(5, session=True, connack=b"\x21\0\x01")))
    error = raised(client.connect, False)
    assert isinstance(error, OSError) and error.args[0] == ENOTCONN
    assert client.sock is None and client.in_flight == 2


def test_the_callback_may_connect_again():
    client, wire, _ = session()
    again = Wire(Server())
    got = []

    def reconnect(topic, msg):
        got.append(msg)
        if msg == b"1":
            attach(client, again)
            client.connect()

    client.set_callback(reconnect)
    wire.inbound.extend(publish(b"t", b"1", 1, 5) + publish(b"t", b"2"))
    client.poll()
    again.inbound.extend(publish(b"t", b"3"))
    client.poll()
    assert got == [b"1", b"3"]
    assert again.peer.kinds() == [1]


def test_the_callback_never_runs_inside_publish_or_subscribe():
    client, wire, server = session(window=1)
    inside = []
    client.set_callback(lambda topic, msg: inside.append(busy[0]))
    busy = [True]
    wire.inbound.extend(publish(b"t", b"1", 1, 5))
    client.publish("a", "b", qos=1)
    client.publish("a", "b", qos=1)
    client.subscribe("x")
    assert 4 not in server.kinds()
    busy[0] = False
    client.poll()
    assert inside == [False]
    assert server.kinds()[-1] == 4


def test_messages_while_somebody_waits_are_bounded():
    client, wire, server = session(max_packet=256)
    wire.inbound.extend(publish(b"t", bytes(100)) * 50)
    client.subscribe("x")
    assert client.dropped > 40
    client.poll()
    assert len(client.got) + client.dropped == 50


def test_as_many_messages_as_the_server_may_have_under_way_wait_whatever_their_size():
    for size in (8, 100, 121):
        client, wire, _ = session(max_packet=128, receive_maximum=5)
        wire.inbound.extend(publish(b"t", bytes(120)) + b"".join(publish(b"t", bytes(size), 1, 1 + n) for n in range(5)))
        client.subscribe("x")
        poll_until(client, lambda client=client: len(client.got) == 6)
        assert client.dropped == 0


# -- keep alive


def test_pings_when_nothing_was_sent_or_nothing_was_heard():
    client, wire, server = session(keepalive=60)
    poll_for(client, 180000)
    assert 3 <= server.kinds().count(12) <= 4
    before = server.kinds().count(12)
    for _ in range(60):  # QoS 0 only: nothing is heard, though much is sent
        client.publish("t", "m")
        poll_for(client, 1000)
    assert server.kinds().count(12) > before


def test_a_dead_link_is_noticed_within_one_and_a_half_keep_alives():
    for keepalive in (2, 10, 60):
        client, wire, server = session(keepalive=keepalive)
        wire.peer = None
        before = client.clock.now
        assert raised(poll_for, client, 1000000).args[0] == ETIMEDOUT
        assert client.clock.now - before <= keepalive * 1500


def test_a_dead_link_is_noticed_within_one_and_a_half_keep_alives_in_whatever_waits():
    for call in ("publish", "flush", "subscribe", "wait_msg"):
        client, wire, server = session(keepalive=4, window=1)
        server.silent = (3, 8, 12)
        client.publish("t", "m", qos=1)
        before = client.clock.now
        args = {"publish": ("t", "m", False, 1), "subscribe": ("x",)}.get(call, ())
        assert raised(getattr(client, call), *args).args[0] == ETIMEDOUT
        assert client.clock.now - before <= 6000
        assert client.sock is None


def test_inbound_traffic_does_not_keep_the_ping_back():
    client, wire, server = session(keepalive=10)
    for _ in range(100):
        wire.inbound.extend(publish(b"t", b"m"))
        client.poll(0)
        client.clock.now += 1000
    assert server.kinds().count(12) >= 9


def test_without_keep_alive_there_are_no_pings():
    client, _, server = session()
    poll_for(client, 1000000)
    assert server.kinds() == [1]


class Broker(Server):
    """A Server that keeps the session, and instead of packets how often each message came, and how many of each kind; both outlive it."""

    def __init__(self, protocol, came, counts):
        super().__init__(protocol, session=any(came))
        self.came = came
        self.counts = counts

    def answer(self, first, body):
        self.packets = []
        self.counts[first >> 4] += 1
        if first >> 4 == 3:
            at = 2 + (body[0] << 8 | body[1])
            number = int(bytes(body[at + (2 if self.protocol == 4 else 3) :]))
            assert not self.came[number] or first & 8, "a second time, and without DUP"
            self.came[number] += 1
        return super().answer(first, body)


def eight_hours(protocol, breaks=False):
    """A message a minute on a simulated clock. -> which were accepted, how often each came, packets by kind, connections, heap."""
    client, wire, _ = session(protocol, connect=False, keepalive=60)
    accepted = bytearray(8 * 60)
    came = bytearray(8 * 60)
    counts = [0] * 16
    sizes = []
    lost = connects = 0
    for minute in range(8 * 60):
        if client.sock is None:
            wire = Wire(Broker(protocol, came, counts))
            attach(client, wire)
            client.connect(False)
            client._io.poll = client.clock.sleep_ms  # the double's own pause of 10 ms would take most of the time
            connects += 1
        if breaks and minute % 7 == 6:
            # the other side closes, falls silent, or a packet gets no further than a few bytes
            if minute % 3 == 0:
                wire.ended = True
            elif minute % 3 == 1:
                wire.budget = minute % 11
            wire.peer = None
        else:
            wire.inbound.extend(publish(b"t", b"m", 1, minute + 1, properties=None if protocol == 4 else b"\0"))
        try:
            client.publish("t", b"%d" % minute, qos=1)
            accepted[minute] = 1
            poll_for(client, 60000)
        except OSError:
            lost += 1
            client.clock.now += 60000
        wire.sent = bytearray()
        client.got.clear()
        client.acks.clear()
        if minute % 120 == 119:
            sizes.append(heap.used())
    assert client.in_flight == 0 and lost == connects - 1
    return accepted, came, counts, connects, sizes


def test_in_eight_hours_of_telemetry_each_message_comes_once_and_the_heap_stays():
    for protocol in (4, 5):
        accepted, came, counts, connects, sizes = eight_hours(protocol)
        assert connects == 1 and sum(accepted) == 480 and min(came) == 1
        assert counts[3] == 480
        assert 400 <= counts[12] <= 960
        assert max(sizes) - sizes[0] < 1024, sizes


def test_in_eight_hours_with_a_link_that_breaks_every_seven_minutes_nothing_accepted_is_lost_and_the_heap_stays():
    for protocol in (4, 5):
        accepted, came, counts, connects, sizes = eight_hours(protocol, breaks=True)
        assert connects == 1 + 480 // 7
        # what publish() raised for was not accepted
        assert sum(accepted) > 400
        assert all(came[number] for number in range(8 * 60) if accepted[number])
        # nothing that was acknowledged is sent again, and a ping goes out in each minute that is not cut short, as without a break
        assert counts[3] <= 480
        assert 400 <= counts[12] <= 960
        assert max(sizes) - sizes[0] < 1024, sizes


def test_messages_one_after_the_other_use_one_buffer():
    client, _, _ = session(window=8)
    for _ in range(20):
        client.publish("t", bytes(400), qos=1)
        client.flush()
    assert len([buffer for buffer in client._spare if len(buffer) > 400]) == 1


def test_a_long_message_gives_its_memory_back_when_it_is_acknowledged():
    client, _, _ = session(window=8)
    client.publish("t", bytes(4000), qos=1)
    client.flush()
    assert max([len(buffer) for buffer in client._spare + client._packets if buffer is not None]) < 100


def test_what_a_session_begins_with_keeps_no_memory():
    client, wire, _ = session(user="u" * 300, password="p")
    client.subscribe(["filter" * 50, "another" * 50], 1)
    # QoS 0, pings and acknowledgements go out of the same buffer
    assert len(wire.sent) > 900 and len(client._tx) < 100


def test_steady_publishing_does_not_allocate():
    if not hasattr(gc, "mem_alloc"):
        return  # CPython has no such figure
    if sys.implementation.version[:2] < (1, 26):
        raise SkipTest("MicroPython before 1.26 makes an object of each slice that is assigned to")

    class Quiet:
        # a Stream that acknowledges each QoS 1 packet of this test, once it is waited for, without allocating anything itself
        def __init__(self):
            self.ids = bytearray(2 * 16)
            self.unanswered = self.have = 0

        def send(self, buf, off, n):
            if buf[off] == 0x32:
                at = off + 2
                while buf[at - 1] & 128:
                    at += 1
                at += 2 + (buf[at] << 8 | buf[at + 1])
                self.ids[self.unanswered] = buf[at]
                self.ids[self.unanswered + 1] = buf[at + 1]
                self.unanswered += 2

        def readinto(self, buf):
            n = 0
            for at in range(0, self.have, 2):
                buf[n] = 0x40
                buf[n + 1] = 2
                buf[n + 2] = self.ids[at]
                buf[n + 3] = self.ids[at + 1]
                n += 4
            if n:
                self.have = self.unanswered = 0
            return n

        def poll(self, ms):
            self.have = self.unanswered

        def close(self):
            pass

    from redpoll.net import mqtt5

    block = mqtt5.encode([(mqtt5.USER_PROPERTY, ("device_id", "x")), (mqtt5.USER_PROPERTY, ("access_key", "y"))])
    topics = (b"by/turns/one", b"by/turns/two", "by/turns/three")
    kinds = (4, 1, None), (4, 16, None), (5, 1, block), (5, 16, block), (5, 16, bytearray(block)), (5, 16, None), (5, 16, block, 2)
    for protocol, window, properties, *aliases in kinds:
        client, _, server = session(protocol, False, False, window=window, keepalive=60, topic_aliases=sum(aliases))
        server.connack = b"\x22\0\2" if aliases else b""
        client.connect()
        client.on_ack = None
        client._io = client._seen = client.sock = Quiet()
        for some in (topics[:1], topics):
            for message in (b"x" * 100, "x" * 100, bytearray(300)):
                for qos in (0, 1):
                    publish_many(client, some, message, qos, properties, 40)
                    gc.collect()
                    before = gc.mem_alloc()
                    publish_many(client, some, message, qos, properties, 200)
                    assert gc.mem_alloc() == before, (protocol, window, properties, aliases, some, qos)


def publish_many(client, topics, message, qos, properties, count):
    turn = 0
    for _ in range(count):
        client.publish(topics[turn], message, False, qos, properties)
        turn = (turn + 1) % len(topics)
        client.poll(0)


# -- a link that is cut anywhere, and hostile input


class Memory(Server):
    """A server that remembers over connections which QoS 2 messages it has, and what it took altogether."""

    def __init__(self, memory):
        super().__init__(session=memory is not None and memory.connected)
        self.memory = memory

    def answer(self, first, body):
        memory = self.memory
        kind = first >> 4
        memory.connected = True
        if kind == 3:
            pid, message = body[3:5], body[5:]
            if first & 6 == 2 or pid not in memory.unreleased:
                memory.taken.append((message, first & 8))
            if first & 6 == 4 and pid not in memory.unreleased:
                memory.unreleased.append(pid)
        elif kind == 6 and body in memory.unreleased:
            memory.unreleased.remove(body)
        return super().answer(first, body)


class Remembered:
    def __init__(self):
        self.connected = False
        self.taken = []
        self.unreleased = []


class Cut(Wire):
    """Breaks after so many bytes, counted over both directions."""

    def __init__(self, peer, left):
        super().__init__(peer)
        self.left = left

    def write(self, data):
        n = min(len(data), self.left)
        self.left -= n
        if n < len(data):
            if n:
                Wire.write(self, data[:n])
            self.left = 0
            self.inbound = bytearray()
            raise OSError(ECONNRESET)
        return Wire.write(self, data)

    def read(self, n):
        if not self.left:
            raise OSError(ECONNRESET)
        data = Wire.read(self, min(n, self.left))
        if data:
            self.left -= len(data)
        return data


def report(client, memory, cut):
    """Publish m0..m5, alternately at QoS 1 and 2; the first connection breaks after `cut` bytes. -> whether it broke."""
    wires = [Cut(Memory(memory), cut)]
    attach(client, wires[0])
    number = 0
    broke = False
    while True:
        try:
            if client.sock is None:
                client.connect(False)
            while number < 6:
                client.publish("t", b"m%d" % number, qos=1 + (number & 1))
                number += 1
                client.poll()
            client.flush()
            return broke
        except OSError:
            broke = True
            client.close()
            attach(client, Wire(Memory(memory)))


def test_cut_at_every_byte_nothing_is_lost_and_nothing_of_qos_2_comes_twice():
    cut = 0
    while True:
        Clock().install(mqtt, stream, adopted)
        client = mqtt.MQTTClient("id", "server", window=3, keepalive=60)
        memory = Remembered()
        broke = report(client, memory, cut)
        messages = [message for message, _ in memory.taken]
        for number in range(6):
            count = messages.count(b"m%d" % number)
            assert count >= 1, cut
            assert count == 1 or not number & 1, cut
        seen = []
        for message, dup in memory.taken:
            assert dup or message not in seen
            seen.append(message)
        if not broke:
            break
        cut += 1
    assert cut > 100


class Killed(Wire):
    """The broker at its other end dies when it has so many messages; the last of them is not acknowledged."""

    def __init__(self, peer, die_at, clock):
        super().__init__(peer)
        self.die_at = die_at
        self.clock = clock

    def write(self, data):
        self.live()
        n = Wire.write(self, data)
        if len(self.peer.memory.taken) >= self.die_at:
            self.peer.memory.died_at = self.clock.now
            self.inbound = bytearray()
        return n

    def read(self, n):
        self.live()
        return Wire.read(self, n)

    def live(self):
        if self.peer.memory.died_at is not None:
            raise OSError(ECONNRESET)


def test_five_hundred_messages_outlive_a_killed_broker_on_a_boards_sockets():
    clock = Clock().install(mqtt, stream, adopted)
    memory = Remembered()
    memory.died_at = None
    resumed_at = []

    class Stream(adopted.Adopted):
        def __init__(self, host, port, tls, limit, write_ms, name):
            if memory.died_at is None:
                wire = Killed(Memory(memory), 150, clock)
            elif clock.now - memory.died_at < 5000:
                raise OSError(ECONNREFUSED)
            else:
                wire = Wire(Memory(memory))
                resumed_at.append(clock.now)
            super().__init__(wire, write_ms)

    mqtt.Stream = Stream
    client = mqtt.MQTTClient("id", "server", keepalive=20)
    number = 0
    while number < 500 or client.in_flight:
        try:
            if client.sock is None:
                client.connect(False)
            if number < 500:
                client.publish("t", b"m%d" % number, qos=1)
                number += 1
            else:
                client.flush()
            # as applications of umqtt do; on a board it wipes the timeout
            client.sock.sock.setblocking(True)
        except OSError:
            clock.sleep_ms(100)
    seen = set()
    for message, dup in memory.taken:
        assert dup or message not in seen
        seen.add(message)
    assert len(seen) == 500
    assert len(memory.taken) <= 500 + 8  # what was in the window
    assert len(resumed_at) == 1
    assert resumed_at[0] - memory.died_at < 6000


def test_random_packets_yield_a_message_or_an_exception():
    seed = 3
    samples = (publish(b"t", b"m"), publish(b"t", b"m", 1, 3), publish(b"t", b"m", 2, 3), b"\x40\x02\0\x01", b"\xd0\0")
    samples += (b"\x90\x03\0\x01\0", b"\x62\x02\0\x03")
    for protocol in (4, 5):
        client, wire, server = session(protocol, max_packet=128)
        for _ in range(1500):
            if client.sock is None:
                wire = Wire(Server(protocol))
                attach(client, wire)
                client.connect()
            data = bytearray()
            for _ in range(3):
                data.extend(samples[seed >> 9 & 7] if seed >> 9 & 7 < 7 else b"\x30")
                seed = seed * 1103515245 + 12345 & 0x7FFFFFFF
            for _ in range(seed >> 20 & 3):
                seed = seed * 1103515245 + 12345 & 0x7FFFFFFF
                data[(seed >> 8) % len(data)] = seed >> 16 & 255
            wire.inbound.extend(data)
            try:
                client.poll()
            except mqtt.MQTTException:
                assert client.sock is None
            wire.sent = bytearray()
            server.packets = []
            client.got.clear()
            assert len(client._received) <= 256 and not client._queue
