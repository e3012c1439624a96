# Topic aliases of MQTT 5.0 for the messages that are sent. Loaded when the server takes them and the client was made with topic_aliases.
from micropython import const

from .mqtt import _frame
from .mqtt5 import put, varint

_TOPIC_ALIAS = const(35)
# where the topic is in a packet, after its length
_TOPIC = const(7)
# bytes that an alias takes among the properties
_SIZE = const(3)


class Aliases:
    """The aliases of one connection (MQTT 5.0 §3.3.2.3.4)."""

    def __init__(self, most):
        self._most = most
        # the first of them has alias 1
        self._topics = []

    def send(self, client, packet, start):
        """Send a PUBLISH built at packet[5:] with an alias in the place of its topic.

        The packet itself stays as it is: it is what is sent again on another connection, where the alias means nothing.
        """
        end = _TOPIC + (packet[5] << 8 | packet[6])
        number = 0
        for topic in self._topics:
            number += 1
            if end - _TOPIC == len(topic) and packet.startswith(topic, _TOPIC):
                break
        else:
            number += 1
            topic = b""
        if number <= self._most and end > _TOPIC:  # with an empty topic the application has put an alias of its own
            block = end + (2 if packet[start] & 6 else 0)
            if len(topic) >= _SIZE and packet[block] + _SIZE < 128:
                _send_short(client, packet, start, topic, block, number)
                return
            size, after = varint(packet, block, len(packet))
            short = bytearray(5)
            put(short, "b", b"" if topic else packet[_TOPIC:end])
            short.extend(packet[end:block])
            put(short, "v", size + _SIZE)
            short.append(_TOPIC_ALIAS)
            put(short, "2", number)
            short.extend(packet[after:])
            at = _frame(short, packet[start])
            # an alias is longer than no alias, and than a short topic
            if not 0 < client.maximum_packet_size < len(short) - at:
                if not topic:
                    self._topics.append(bytes(packet[_TOPIC:end]))
                packet = short
                start = at
        client._send(packet, start)


def _send_short(client, packet, start, topic, block, number):
    # without allocating: the shorter beginning is written over the end of the longer one, which is put back when it has gone out
    first = packet[start]
    size = packet[block]
    high = packet[block - 2]
    low = packet[block - 1]
    packet[block - 2] = _TOPIC_ALIAS
    packet[block - 1] = number >> 8
    packet[block] = number & 255
    at = block - _SIZE
    packet[at] = size + _SIZE
    if first & 6:
        packet[at - 2] = high
        packet[at - 1] = low
        at -= 2
    packet[at - 1] = packet[at - 2] = 0
    n = len(packet) - at + 2
    at -= 4 if n < 128 else 5 if n < 16384 else 6 if n < 2097152 else 7
    short = at
    packet[at] = first
    while n > 127:
        at += 1
        packet[at] = n & 127 | 128
        n >>= 7
    packet[at + 1] = n
    client._send(packet, short)
    packet[block] = size
    packet[block - 2] = high
    packet[block - 1] = low
    n = len(topic)
    packet[5] = n >> 8
    packet[6] = n & 255
    packet[_TOPIC : _TOPIC + n] = topic
    _frame(packet, first)
