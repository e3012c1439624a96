# Topic aliases of MQTT 5.0 for the messages that are sent. Loaded when the server takes them and the client was made with topic_aliases.
from micropython import const

from .mqtt import _frame
from .mqtt5 import put, varint

_TOPIC_ALIAS = const(35)


class Aliases:
    """The aliases of one connection (MQTT 5.0 §3.3.2.3.4)."""

    def __init__(self, most):
        self._most = most
        self._numbers = {}

    def send(self, client, packet, start):
        """Send a PUBLISH built at packet[5:] with an alias in the place of its topic.

        The packet itself stays as it is: it is what is sent again on another connection, where the alias means nothing.
        """
        numbers = self._numbers
        end = 7 + (packet[5] << 8 | packet[6])
        topic = bytes(packet[7:end])
        number = numbers.get(topic, len(numbers) + 1)
        if number <= self._most:
            block = end + (2 if packet[start] & 6 else 0)
            size, after = varint(packet, block, len(packet))
            short = bytearray(5)
            put(short, "b", b"" if topic in numbers else topic)
            short.extend(packet[end:block])
            put(short, "v", size + 3)
            short.append(_TOPIC_ALIAS)
            put(short, "2", number)
            short.extend(packet[after:])
            at = _frame(short, packet[start])
            # an alias is longer than no alias, and than a short topic
            if not 0 < client.maximum_packet_size < len(short) - at:
                numbers[topic] = number
                packet = short
                start = at
        client._send(packet, start)
