# Doubles for the network: a socket with a board's awkwardness, a server at its other end, and a clock that tests move.

try:
    from errno import EAGAIN, ECONNRESET, ETIMEDOUT
except ImportError:
    EAGAIN, ECONNRESET, ETIMEDOUT = 11, 104, 110


class Hang(Exception):
    """A board would wait here for ever."""


class Clock:
    """Ticks that only tests and sleeping move. They begin shortly before they wrap, as after days of uptime."""

    PERIOD = 1 << 30

    def __init__(self, start=(1 << 30) - 5000):
        self.now = start

    def ticks_ms(self):
        return self.now % self.PERIOD

    def sleep_ms(self, ms):
        self.now += ms

    def install(self, *modules):
        """Put this clock into modules that did `from port import ticks_ms, sleep_ms`. ticks_diff stays the port's own."""
        for module in modules:
            module.ticks_ms = self.ticks_ms
            module.ticks_diff = self.ticks_diff
            if hasattr(module, "sleep_ms"):
                module.sleep_ms = self.sleep_ms
            if hasattr(module, "ticks_add"):
                module.ticks_add = self.ticks_add
        return self

    def ticks_add(self, ticks, delta):
        return (ticks + delta) % self.PERIOD

    def ticks_diff(self, end, start):
        half = self.PERIOD >> 1
        return (end - start + half) % self.PERIOD - half


class Wire:
    """A socket-like object: read, write, setblocking, close. `peer` gets what is written and says what comes back.

    As on lwIP and ESP32 setblocking(True) wipes the timeout, so that a read without data would wait for ever: it raises Hang.
    """

    def __init__(self, peer=None):
        self.peer = peer
        self.inbound = bytearray()
        self.sent = bytearray()
        self.writes = 0
        self.blocking = True
        self.closed = False
        # the other side has closed: after what is inbound comes b""
        self.ended = False
        # most bytes per read and per write
        self.dribble = 1 << 30
        self.short = 1 << 30
        # what the next reads and writes do instead of working: None returned, or an exception raised
        self.read_faults = []
        self.write_faults = []
        # bytes that may still be written before the connection breaks
        self.budget = 1 << 30

    def setblocking(self, flag):
        self.blocking = flag

    def read(self, n):
        if self.read_faults:
            return self._fault(self.read_faults)
        if not self.inbound:
            if self.ended:
                return b""
            if self.blocking:
                raise Hang("read without data on a socket without a timeout")
            return None
        n = min(n, self.dribble, len(self.inbound))
        data = bytes(self.inbound[:n])
        self.inbound = self.inbound[n:]
        return data

    def write(self, data):
        if self.closed:
            raise OSError(ECONNRESET)
        if self.write_faults:
            return self._fault(self.write_faults)
        n = min(len(data), self.short)
        if n > self.budget:
            self.ended = True
            raise OSError(ECONNRESET)
        self.budget -= n
        self.writes += 1
        self.sent.extend(bytes(data[:n]))
        if self.peer:
            self.inbound.extend(self.peer.take(bytes(data[:n])))
        return n

    def close(self):
        self.closed = True

    def _fault(self, faults):
        fault = faults.pop(0)
        if fault is not None:
            raise fault


class Server:
    """The least of an MQTT server: it answers packets and keeps them. `silent` holds the packet types that it leaves unanswered."""

    def __init__(self, protocol=4, session=False, connack=b"", silent=()):
        self.protocol = protocol
        self.session = session
        # properties of CONNACK, without their length
        self.connack = connack
        self.silent = silent
        self.rest = bytearray()
        # all packets that came: (first byte, body)
        self.packets = []

    def take(self, data):
        self.rest.extend(data)
        answer = b""
        while True:
            packet, self.rest = split(self.rest)
            if packet is None:
                return answer
            self.packets.append(packet)
            if packet[0] >> 4 not in self.silent:
                answer += self.answer(packet[0], packet[1])

    def answer(self, first, body):
        kind = first >> 4
        if kind == 1:
            more = bytes([len(self.connack)]) + self.connack if self.protocol == 5 else b""
            return bytes([0x20, 2 + len(more), self.session, 0]) + more
        if kind == 3 and first & 6:
            at = 2 + (body[0] << 8 | body[1])
            return bytes([0x40 if first & 6 == 2 else 0x50, 2]) + body[at : at + 2]
        if kind in (5, 6):
            return bytes([0x62 if kind == 5 else 0x70, 2]) + body[:2]
        if kind in (8, 10):
            return self.suback(kind, body)
        return b"\xd0\0" if kind == 12 else b""

    def suback(self, kind, body):
        pid = body[:2]
        at = 2 + (1 + body[2] if self.protocol == 5 else 0)
        codes = b""
        while at < len(body):
            at += 2 + (body[at] << 8 | body[at + 1])
            if kind == 8:
                codes += bytes([body[at] & 3])
                at += 1
            elif self.protocol == 5:
                codes += b"\0"
        more = b"\0" if self.protocol == 5 else b""
        return bytes([0x90 if kind == 8 else 0xB0, 2 + len(more) + len(codes)]) + pid + more + codes

    def kinds(self):
        return [packet[0] >> 4 for packet in self.packets]


def split(data):
    """The first packet of data -> ((first byte, body) or None, the rest)."""
    size = shift = 0
    for at in range(1, min(5, len(data))):
        size |= (data[at] & 127) << shift
        shift += 7
        if data[at] < 128:
            end = at + 1 + size
            if len(data) < end:
                break
            return (data[0], bytes(data[at + 1 : end])), data[end:]
    return None, data


def publish(topic, msg, qos=0, pid=1, flags=0, properties=None):
    """A PUBLISH as a server sends it; properties: None for 3.1.1, else the bytes of the block with its length."""
    body = bytes([len(topic) >> 8, len(topic) & 255]) + topic
    if qos:
        body += bytes([pid >> 8, pid & 255])
    body += (properties or b"") + msg
    return bytes([0x30 | qos << 1 | flags]) + length(len(body)) + body


def length(n):
    """A remaining length."""
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])
