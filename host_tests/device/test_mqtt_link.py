# The link under an MQTT session: sockets as boards have them, a server that does not read, keep alive.
from errno import EAGAIN, ECONNRESET, ETIMEDOUT

from fakes import publish
from mqtt_session import poll_for, poll_until, raised, session
from redpoll.net import adopted, mqtt

# the doubles keep all that was sent
HEAP = "2M"


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


def test_poll_waits_no_longer_than_asked():
    client, _, _ = session()
    for timeout in (0, 1, 25, 300):
        before = client.clock.now
        assert client.poll(timeout) == 0
        assert timeout <= client.clock.now - before <= timeout + 1


def test_a_packet_that_begins_and_stops_is_noticed():
    for data in (b"\x30", b"\x30\x10", b"\x30\x10\0\x01t", b"\x40", b"\x40\x02\0"):
        client, wire, _ = session(ack_timeout_ms=5000)
        wire.inbound.extend(data)
        before = client.clock.now
        assert raised(poll_for, client, 20000).args[0] == ETIMEDOUT
        assert client.clock.now - before <= 7000


def test_a_packet_that_stopped_and_went_on_in_time_is_no_trouble_later():
    client, wire, _ = session(ack_timeout_ms=5000)
    for data in (publish(b"t", b"m"), b"\x40\x02\0\x09", publish(b"t", b"n")):
        wire.inbound.extend(data[:3])
        poll_for(client, 4000)
        wire.inbound.extend(data[3:])
        poll_for(client, 20000)
    assert client.got == [(b"t", b"m"), (b"t", b"n")]


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


def test_a_large_packet_that_came_fast_and_stops_is_noticed():
    client, wire, _ = session(max_packet=64, ack_timeout_ms=5000)
    wire.inbound.extend(publish(b"t", bytes(100000))[:50000])
    before = client.clock.now
    assert raised(poll_for, client, 60000).args[0] == ETIMEDOUT
    assert client.clock.now - before <= 7000


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


def test_where_there_is_room_again_a_poll_waits_for_what_comes():
    client, wire, _ = session(connect=False)
    room = full(wire)
    client.connect()
    wire.inbound.extend(publish(b"t", b"message", 1, 1))
    client.poll()
    waits = []
    client._io._wait_room = lambda ms: client.clock.sleep_ms(waits.append(ms) or ms)
    client.poll(100)
    assert waits
    room.append(True)
    poll_until(client, lambda: client.got)
    del waits[:]
    before = client.clock.now
    client.poll(100)
    assert client.clock.now - before == 100 and not waits


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
    wire.inbound.extend(publish(b"t", b"0"))  # which needs no acknowledgement, and does not overtake
    client.poll(0)
    assert client.poll(0) == 0 and client.got == [] and client.clock.now == before
    # nor for as long as it may: there may be room soon
    assert client.poll(60000) == 0 and client.clock.now - before <= 1000
    room.append(True)
    wire.short = 1000
    wire.inbound.extend(publish(b"t", b"n", 1, 10))
    poll_until(client, lambda: len(client.got) == 3)
    assert client.got == [(b"t", b"m"), (b"t", b"0"), (b"t", b"n")] and server.kinds()[-2:] == [4, 4]


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
