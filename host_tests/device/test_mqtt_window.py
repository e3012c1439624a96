# The window of unacknowledged MQTT messages: identifiers, acknowledgements, what is sent again, and what it costs of the heap.
import gc
import sys
from errno import ETIMEDOUT

from fakes import Clock, Server, Wire, publish
from mqtt_session import attach, poll_for, raised, session
from redpoll.net import adopted, mqtt, stream
from support import SkipTest

# the doubles keep all that was sent
HEAP = "2M"


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
    # nor is that of a subscription taken, within which on_ack may publish
    client, _, server = session(window=3)
    server.silent = (8,)
    pids = []

    def once_more(pid, code):
        if not pids:
            client.pid = 2
            pids.append(client.publish("t", "m", qos=1))

    client.on_ack = once_more
    client.pid = 1
    assert client.publish("t", "m", qos=1) == 2
    raised(client.subscribe, "x")  # asks as 3
    assert pids == [4]


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
    wire.inbound.extend(b"\x40\x02\0\x09\x40\x02\0\x09\x70\x02\0\x09\x90\x03\0\x09\0\xb0\x02\0\x09")
    client.poll()
    assert client.acks == [] and client._replies == {}


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


def test_each_step_of_qos_2_has_a_deadline_of_its_own():
    client, wire, server = session(ack_timeout_ms=5000)
    server.silent = (3, 6)
    client.publish("t", "m", qos=2)
    poll_for(client, 4000)
    wire.inbound.extend(b"\x50\x02\0\x01")
    poll_for(client, 4000)
    wire.inbound.extend(b"\x70\x02\0\x01")
    client.poll()
    assert client.acks == [(1, 0)]


def test_a_request_that_nobody_answers_leaves_nothing_behind_and_takes_no_identifier_that_is_in_use():
    client, _, server = session(ack_timeout_ms=5000)
    server.silent = (3, 8)
    client.pid = 65534
    client.publish("t", "m", qos=1)
    client.pid = 65534
    assert raised(client.subscribe, "x").args[0] == ETIMEDOUT
    assert server.packets[-1][1][:2] == b"\0\x01" and not client._replies
    client, _, server = session(ack_timeout_ms=5000)
    server.silent = (8,)
    started = client.clock.now
    assert raised(client.subscribe, "x").args[0] == ETIMEDOUT
    assert 5000 <= client.clock.now - started <= 6500


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


def test_in_3_1_1_no_reason_frees_an_identifier_of_qos_2():
    client, wire, server = session(clean=False)
    client.set_callback(lambda topic, msg: (client.got.append(msg), setattr(client, "ack_code", 0x83)))
    server.silent = (5,)
    for flags in (0, 8):
        wire.inbound.extend(publish(b"a", b"b", 2, 9, flags))
        client.poll(0)
    assert client.got == [b"b"]


def test_a_publish_that_raised_was_not_accepted():
    client, wire, _ = session(clean=False)
    wire.budget = 3
    assert isinstance(raised(client.publish, "t", "m", False, 1), OSError)
    again = Wire(Server(session=True))
    attach(client, again)
    client.connect(False)
    assert again.peer.kinds() == [1]


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


def test_what_the_server_took_before_it_lost_the_session_is_done_with():
    client, _, server = session(clean=False)
    server.silent = (6,)
    client.publish("t", "m", qos=2)
    client.poll()
    client.close()
    again = Wire(Server())
    attach(client, again)
    client.connect(False)
    assert client.acks == [(1, 0)] and again.peer.kinds() == [1]


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


# -- memory


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
