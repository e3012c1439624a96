# MQTT sessions that last, and links that are cut at every byte: nothing accepted is lost, and the heap does not grow.
from errno import ECONNREFUSED, ECONNRESET

import heap
from fakes import Clock, Server, Wire, publish
from mqtt_session import attach, poll_for, session
from redpoll.net import adopted, mqtt, stream

# the doubles keep all that was sent
HEAP = "2M"


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


# -- a link that is cut anywhere


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
