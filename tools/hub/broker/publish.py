"""PUBLISH packets of MQTT 5 (MQTT 5.0 §3.3), as far as a receiver needs them: topic, payload, user properties."""

from dataclasses import dataclass

# the properties that a PUBLISH may have (MQTT 5.0 §2.2.2.2)
_USER = 0x26
_TEXTS = (0x03, 0x08)  # content type, response topic
_IS_TEXT, _EXPIRY, _CORRELATION, _SUBSCRIPTION, _ALIAS = 0x01, 0x02, 0x09, 0x0B, 0x23


class Undecodable(Exception):
    """The packet breaks the rules; the text says which."""


@dataclass(slots=True)
class Published:
    """A message. One that could not be decoded has an empty topic, which no other has."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    packet_id: int  # 0 at QoS 0
    user: tuple[tuple[str, str], ...]  # user properties


def decode(first: int, packet: bytes) -> Published:
    """The message in a packet: its first byte, and what follows the remaining length. Raises Undecodable."""
    try:
        return _decode(first, packet)
    except UnicodeDecodeError:
        raise Undecodable("a text is not UTF-8") from None
    except IndexError:
        raise Undecodable("it breaks off") from None


def _decode(first: int, packet: bytes) -> Published:
    qos = first >> 1 & 3
    at = 2 + (packet[0] << 8 | packet[1])
    topic = packet[2:at].decode()
    if not topic or "\0" in topic or "+" in topic or "#" in topic:
        raise Undecodable("the topic is none")  # nor an alias: the hub allows none
    packet_id = 0
    if qos:
        packet_id = packet[at] << 8 | packet[at + 1]
        at += 2
    length, at = _number(packet, at)
    end = at + length
    if end > len(packet):
        raise Undecodable("it breaks off")
    user = []
    while at < end:
        kind = packet[at]
        at += 1
        if kind == _USER:
            name, at = _text(packet, at)
            value, at = _text(packet, at)
            user.append((name, value))
        elif kind in _TEXTS:
            at = _text(packet, at)[1]
        elif kind == _CORRELATION:
            at += 2 + (packet[at] << 8 | packet[at + 1])
        elif kind == _SUBSCRIPTION:
            at = _number(packet, at)[1]
        elif kind == _EXPIRY:
            at += 4
        elif kind == _ALIAS:
            at += 2
        elif kind == _IS_TEXT and packet[at] < 2:
            at += 1
        else:
            raise Undecodable(f"the property {kind:#x} is none, or has a value that it cannot have")
    if at != end:
        raise Undecodable("a property is longer than all of them")
    return Published(topic, packet[end:], qos, bool(first & 1), packet_id, tuple(user))


def _text(packet: bytes, at: int) -> tuple[str, int]:
    end = at + 2 + (packet[at] << 8 | packet[at + 1])
    text = packet[at + 2 : end].decode()
    if end > len(packet) or "\0" in text:
        raise Undecodable("a text has a NUL, or breaks off")
    return text, end


def _number(packet: bytes, at: int) -> tuple[int, int]:
    """A variable byte integer (MQTT 5.0 §1.5.5), and what follows it."""
    digit = packet[at]
    if digit < 0x80:
        return digit, at + 1
    number, shift = 0, 0
    while True:
        digit = packet[at]
        number |= (digit & 0x7F) << shift
        at += 1
        if digit < 0x80:
            return number, at
        shift += 7
        if shift > 21:
            raise Undecodable("a length has more than four bytes")
