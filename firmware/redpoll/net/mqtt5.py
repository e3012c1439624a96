# MQTT 5.0 properties and reason codes; mqtt5.USER_PROPERTY and so on are in mqtt5_names. A 3.1.1 session never loads this module.
from micropython import const

from ..port import unload
from .mqtt import MQTTException, _frame

_SESSION_EXPIRY_INTERVAL = const(17)
_ASSIGNED_CLIENT_IDENTIFIER = const(18)
_SERVER_KEEP_ALIVE = const(19)
_REASON_STRING = const(31)
_RECEIVE_MAXIMUM = const(33)
_TOPIC_ALIAS_MAXIMUM = const(34)
_TOPIC_ALIAS = const(35)
_MAXIMUM_QOS = const(36)
_RETAIN_AVAILABLE = const(37)
_USER_PROPERTY = const(38)
_MAXIMUM_PACKET_SIZE = const(39)

# how each identifier's value looks: 1, 2, 4 bytes, v variable byte integer, b binary, s string, p string pair, . unknown
_TYPES = ".14s....sb.v.....4s2.sb141s.s..s.22211p4111"
_MALFORMED = "malformed properties"


def __getattr__(name):
    if name[0] == "_":
        raise AttributeError(name)
    from . import mqtt5_names as names

    text = names.NAMES
    unload("net.mqtt5_names")
    at = text.find(" " + name + "=")
    if at < 0:
        raise AttributeError(name)
    at += len(name) + 2
    value = globals()[name] = int(text[at : text.find(" ", at)])
    return value


def encode(properties):
    """(identifier, value) pairs, or a dict of them -> the property block of a packet, with its length (MQTT 5.0 §2.2.2).

    Integers for numbers, str or bytes for strings and binary data, (name, value) for USER_PROPERTY. ValueError for a value out of range.
    """
    block = bytearray()
    for identifier, value in properties.items() if isinstance(properties, dict) else properties:
        block.append(identifier)
        _put(block, _TYPES[identifier] if 0 < identifier < len(_TYPES) else ".", value)
    size = bytearray()
    _put(size, "v", len(block))
    return bytes(size + block)


def _put(block, kind, value):
    if kind == "p":
        _put(block, "s", value[0])
        _put(block, "s", value[1])
    elif kind in "sb":
        if isinstance(value, str):
            value = value.encode()
        if len(value) > 65535:
            raise ValueError("property longer than 65535 bytes")
        _put(block, "2", len(value))
        block.extend(value)
    elif kind == "v":
        if not 0 <= value < 1 << 28:
            raise ValueError("property value out of range")
        while value > 127:
            block.append(value & 127 | 128)
            value >>= 7
        block.append(value)
    elif kind == ".":
        raise ValueError("unknown property")
    else:
        size = int(kind)
        if not 0 <= value < 1 << (8 * size):
            raise ValueError("property value out of range")
        block.extend(value.to_bytes(size, "big"))


def decode(buf, start, end):
    """The property block at buf[start:end] -> (list of (identifier, value) in their order, index after it).

    Strings are str, binary data bytes, user properties (name, value). MQTTException(0x81) when it is malformed.
    """
    try:
        size, start = _varint(buf, start, end)
        stop = start + size
        if stop > end:
            raise ValueError
        found = []
        while start < stop:
            identifier = buf[start]
            value, start = _take(buf, _TYPES[identifier], start + 1, stop)
            found.append((identifier, value))
    except (ValueError, IndexError):  # UnicodeError is a ValueError
        raise MQTTException(0x81, _MALFORMED)
    return found, stop


def _varint(buf, start, end):
    value = 0
    for shift in (0, 7, 14, 21):
        if start >= end:
            break
        byte = buf[start]
        start += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, start
    raise ValueError


def _take(buf, kind, start, stop):
    if kind == "v":
        return _varint(buf, start, stop)
    if kind == "p":
        name, start = _take(buf, "s", start, stop)
        value, start = _take(buf, "s", start, stop)
        return (name, value), start
    text = kind in "sb"
    end = start + (2 if text else int(kind))  # ValueError for an unknown one
    if end > stop:
        raise ValueError
    value = int.from_bytes(buf[start:end], "big")
    if not text:
        return value, end
    start = end
    end += value
    if end > stop:
        raise ValueError
    value = bytes(buf[start:end])
    return value.decode() if kind == "s" else value, end


def get(properties, identifier, default=None):
    """The first value of an identifier in decoded properties (None and empty ones too)."""
    for key, value in properties or ():
        if key == identifier:
            return value
    return default


def get_user(properties, name, default=None):
    """The first value of the user property with this name."""
    for key, value in properties or ():
        if key == _USER_PROPERTY and value[0] == name:
            return value[1]
    return default


def connect_block(client, clean, max_packet, receive_maximum):
    """The properties of CONNECT (MQTT 5.0 §3.1.2.11)."""
    expiry = client.session_expiry
    if expiry is None:
        expiry = 0 if clean else 0xFFFFFFFF
    found = [(_RECEIVE_MAXIMUM, receive_maximum), (_MAXIMUM_PACKET_SIZE, max_packet)]
    if expiry:
        found.append((_SESSION_EXPIRY_INTERVAL, expiry))
    more = client.connect_properties
    if more:
        found.extend(more.items() if isinstance(more, dict) else more)
    return encode(found)


def take(client, buf, start, end):
    """decode() for a packet that came in: when it is malformed the connection is closed."""
    try:
        return decode(buf, start, end)
    except MQTTException as error:
        return client._violation(error.code, _MALFORMED)


def on_connack(client, buf, start, end):
    """Note what the server allows (MQTT 5.0 §3.2.2.3), or raise why it refused."""
    # a server that knows only 3.1.1 answers without properties
    found = take(client, buf, start + 2, end)[0] if end > start + 2 else None
    if buf[start + 1]:
        _closed(client, buf[start + 1], found)
    client.connack_properties = found
    client.server_keep_alive = get(found, _SERVER_KEEP_ALIVE)
    if client.server_keep_alive is not None:
        client._set_keep_alive(client.server_keep_alive)
    client.assigned_client_id = get(found, _ASSIGNED_CLIENT_IDENTIFIER)
    if client.assigned_client_id:
        client.client_id = client.assigned_client_id
    client.receive_maximum = get(found, _RECEIVE_MAXIMUM, 65535) or 1
    client._limit = min(client._window, client.receive_maximum)
    client.maximum_packet_size = get(found, _MAXIMUM_PACKET_SIZE, 0)
    client.maximum_qos = get(found, _MAXIMUM_QOS, 2)
    client.retain_available = get(found, _RETAIN_AVAILABLE, 1) == 1
    client.topic_alias_maximum = min(get(found, _TOPIC_ALIAS_MAXIMUM, 0), client.topic_aliases)
    client._aliases = {} if client.topic_alias_maximum else None


def on_disconnect(client, buf, start, end):
    """Raise why the server closed the connection (MQTT 5.0 §3.14)."""
    _closed(client, buf[start] if end > start else 0, take(client, buf, start + 1, end)[0] if end > start + 1 else None)


def _closed(client, code, found):
    client._dead(MQTTException(code, get(found, _REASON_STRING) or "refused by the server"))


def check_offer(client, qos, retain):
    """MQTTException when the server does not take such a message (MQTT 5.0 §3.2.2.3.4, §3.2.2.3.5)."""
    if qos > client.maximum_qos:
        raise MQTTException(0x9B, "QoS not supported by the server")
    if retain and not client.retain_available:
        raise MQTTException(0x9A, "retain not supported by the server")


def send_aliased(client, packet, start):
    """Send a PUBLISH built at packet[5:] with an alias in the place of its topic (MQTT 5.0 §3.3.2.3.4).

    The packet itself stays as it is: it is what is sent again on another connection, where the alias means nothing.
    """
    aliases = client._aliases
    end = 7 + (packet[5] << 8 | packet[6])
    topic = bytes(packet[7:end])
    number = aliases.get(topic)
    if number is None:
        if len(aliases) >= client.topic_alias_maximum:
            client._send(packet, start)
            return
        number = aliases[topic] = len(aliases) + 1
    else:
        topic = b""
    block = end + (2 if packet[start] & 6 else 0)
    size, after = _varint(packet, block, len(packet))
    short = bytearray(5)
    _put(short, "b", topic)
    short.extend(packet[end:block])
    _put(short, "v", size + 3)
    short.append(_TOPIC_ALIAS)
    _put(short, "2", number)
    short.extend(packet[after:])
    client._send(short, _frame(short, packet[start]))
