# What an MQTT server sends: messages, packets that are too large or broken, and what the callback may do with them.
from errno import ENOTCONN

from fakes import Server, Wire, publish
from mqtt_session import attach, poll_for, poll_until, raised, session
from redpoll.net import mqtt

# the doubles keep all that was sent
HEAP = "2M"


def test_messages_are_delivered_then_acknowledged():
    client, wire, server = session()
    seen = []
    client.set_callback(lambda topic, msg: seen.append((topic, msg, len(server.packets))))
    wire.inbound.extend(publish(b"a", b"0") + publish(b"b", b"1", 1, 9))
    client.poll()
    assert seen == [(b"a", b"0", 1), (b"b", b"1", 1)]
    assert server.packets[1:] == [(0x40, b"\0\x09")]


def test_in_3_1_1_an_acknowledgement_has_no_code_whatever_the_callback_says():
    client, wire, server = session()

    def refuse(topic, msg):
        client.ack_code = 0x80

    client.set_callback(refuse)
    wire.inbound.extend(publish(b"b", b"1", 1, 9))
    client.poll()
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
    # where the server has lost the session its identifiers begin anew
    client.close()
    anew = Wire(Server(silent=(5,)))
    attach(client, anew)
    client.connect(False)
    anew.inbound.extend(publish(b"a", b"2", 2, 9))
    client.poll()
    assert client.got[2:] == [(b"a", b"2")]


def test_acknowledgements_go_out_in_the_order_of_the_messages():
    client, wire, server = session(window=1)
    wire.inbound.extend(publish(b"t", b"1", 1, 7) + publish(b"t", b"2", 2, 8) + publish(b"t", b"3", 1, 9))
    client.subscribe("x")  # they come while somebody waits
    client.poll()
    assert server.packets[2:] == [(0x40, b"\0\x07"), (0x50, b"\0\x08"), (0x40, b"\0\x09")]


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


def test_a_message_that_waits_is_delivered_though_the_connection_is_gone():
    client, wire, server = session()
    server.silent = (3,)
    client.publish("t", "m", qos=1)
    wire.inbound.extend(publish(b"a", b"b", 1))
    assert isinstance(raised(client.flush), OSError) and client.sock is None
    assert client.poll() == 1 and client.got == [(b"a", b"b")]
    assert isinstance(raised(client.poll), OSError)


def test_a_packet_as_large_as_the_maximum_is_taken():
    client, wire, _ = session(max_packet=256)
    message = bytes(256 - 3 - 3)
    assert len(publish(b"t", message)) == 256
    wire.inbound.extend(publish(b"t", message) + publish(b"t", message))
    client.poll()
    client.poll()
    assert client.got == [(b"t", message)] * 2
    assert client.dropped == 0


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
        b"\x50\x02\0\0",
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


def test_garbage_at_the_very_end_of_the_buffer_is_a_violation_too():
    for data in (b"\x30\0", b"\x30\x01\0", b"\x32\x03\0\x01t", b"\x40\0", b"\x40\x01\0", b"\xe0\0"):
        client, wire, _ = session(max_packet=64)
        wire.inbound.extend(publish(b"t", bytes(64 - len(data) - 5)) + data)
        error = raised(poll_for, client, 1)
        assert isinstance(error, mqtt.MQTTException) and len(client.got) == 1


def test_a_client_without_a_callback_takes_messages_and_acknowledges_them():
    client, wire, server = session()
    client.set_callback(None)
    wire.inbound.extend(publish(b"t", b"m") + publish(b"t", b"m", 1, 9))
    client.poll()
    assert server.packets[1:] == [(0x40, b"\0\x09")]


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


# -- packets that are too large


def test_an_oversize_packet_is_drained_and_counted():
    for qos in (0, 1, 2):
        client, wire, server = session(max_packet=64)
        wire.inbound.extend(publish(b"t", bytes(30000), qos, 9) + publish(b"t", b"small"))
        poll_until(client, lambda client=client: client.got, 10000)
        assert client.got == [(b"t", b"small")]
        assert client.dropped == 1
        assert server.kinds() == [1] + [[], [4], [5, 7]][qos]


def test_an_oversize_packet_that_comes_byte_by_byte_is_answered_by_its_identifier():
    for qos, answer in ((1, (0x40, b"\x01\x09\x97")), (2, (0x50, b"\x01\x09\x97"))):
        client, wire, server = session(5, max_packet=64)
        # what came before lies in the buffer still
        wire.inbound.extend(publish(b"t", b"\xff" * 50, 0, 0, 0, b"\0"))
        client.poll()
        wire.dribble = 1
        wire.inbound.extend(publish(b"topic", bytes(100), qos, 0x109, 0, b"\0") + publish(b"t", b"small", 0, 0, 0, b"\0"))
        poll_until(client, lambda client=client: len(client.got) == 2, 10000)
        assert client.got[1] == (b"t", b"small") and client.dropped == 1 and server.packets[1:2] == [answer]


def test_an_oversize_packet_whose_answer_nobody_could_know_is_a_violation():
    beyond = publish(b"t", bytes(100), 1, 9)
    for data in (
        publish(b"t" * 90, bytes(100), 1, 9),  # the identifier comes after what there is room for
        beyond[:2] + b"\xff\xff" + beyond[4:],  # a topic beyond the packet
        b"\x90\x80\x01" + bytes(128),  # a SUBACK
    ):
        client, wire, _ = session(max_packet=64)
        wire.inbound.extend(data)
        error = raised(lambda client=client: poll_until(client, lambda: client.dropped, 100))
        assert isinstance(error, mqtt.MQTTException) and error.code == 0x95 and client.sock is None
    # and whatever comes instead of CONNACK
    client, wire, server = session(max_packet=64, connect=False)
    server.answer = lambda first, body: publish(b"t", bytes(100))
    assert raised(client.connect).code == 0x95


def test_a_server_that_releases_no_message_of_qos_2_is_a_violation():
    client, wire, server = session(clean=False)
    server.silent = (5,)
    for number in range(257):
        wire.inbound.extend(publish(b"t", b"m", 2, 1 + number))
    error = raised(lambda: poll_until(client, lambda: len(client.got) > 256))
    assert error.code == 0x93 and len(client.got) == 256 and len(client._received) == 256


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


# -- what the callback may do


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


def test_the_callback_may_poll_and_is_not_called_within_itself():
    client, wire, _ = session()
    order = []

    def look(topic, msg):
        order.append(b"<" + msg)
        for _ in range(3):
            client.poll()
        order.append(msg + b">")

    client.set_callback(look)
    wire.inbound.extend(publish(b"t", b"1") + publish(b"t", b"2", 1, 5) + publish(b"t", b"3"))
    poll_until(client, lambda: len(order) == 6)
    assert b"".join(order) == b"<11><22><33>"


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
    for turn in range(2):  # the second comes after a poll
        wire.inbound.extend(publish(b"t", b"1", 1, 5))
        busy[0] = True
        client.publish("a", "b", qos=1)
        client.publish("a", "b", qos=1)
        client.subscribe("x")
        assert server.kinds().count(4) == turn
        busy[0] = False
        client.poll()
        assert inside == [False] * (turn + 1)
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
