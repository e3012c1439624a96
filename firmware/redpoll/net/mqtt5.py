# MQTT 5.0 properties and reason codes; mqtt5.USER_PROPERTY and so on are in mqtt5_names. A 3.1.1 session never loads this module.
from micropython import const

from ..port import unload
from .mqtt import MQTTException

# how each identifier's value looks: 1, 2, 4 bytes, v variable byte integer, b binary, s string, p string pair, . unknown
_TYPES = ".14s....sb.v.....4s2.sb141s.s..s.22211p4111"
_MALFORMED = const("malformed properties")


def __getattr__(name):
    if name[0] == "_":
        raise AttributeError(name)
    from . import mqtt5_names as names

    unload("net.mqtt5_names")
    if hasattr(names, name):
        return getattr(names, name)
    text = names.NAMES
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
        put(block, _TYPES[identifier] if 0 < identifier < len(_TYPES) else ".", value)
    size = bytearray()
    put(size, "v", len(block))
    return bytes(size + block)


def put(block, kind, value):
    """Append one value in the form that _TYPES tells."""
    if kind == "p":
        put(block, "s", value[0])
        put(block, "s", value[1])
    elif kind in "sb":
        if isinstance(value, str):
            value = value.encode()
        if len(value) > 65535:
            raise ValueError("property longer than 65535 bytes")
        put(block, "2", len(value))
        block.extend(value)
    elif kind == ".":
        raise ValueError("unknown property")
    else:
        size = 0 if kind == "v" else int(kind)
        if not 0 <= value < 1 << (8 * size or 28):
            raise ValueError("property value out of range")
        if size:
            block.extend(value.to_bytes(size, "big"))
            return
        while value > 127:
            block.append(value & 127 | 128)
            value >>= 7
        block.append(value)


def decode(buf, start, end):
    """The property block at buf[start:end] -> (list of (identifier, value) in their order, index after it).

    Strings are str, binary data bytes, user properties (name, value). MQTTException(0x81) when it is malformed.
    """
    try:
        size, start = varint(buf, start, end)
        stop = start + size
        if stop > end:
            raise ValueError
        found = []
        while start < stop:
            identifier = buf[start]
            value, start = _value(buf, _TYPES[identifier], start + 1, stop)
            found.append((identifier, value))
    except (ValueError, IndexError):  # UnicodeError is a ValueError
        raise MQTTException(0x81, _MALFORMED)
    return found, stop


def varint(buf, start, end):
    """The variable byte integer at buf[start:end] -> (value, index after it). ValueError when it is malformed (MQTT 5.0 §1.5.5)."""
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


def _value(buf, kind, start, stop):
    if kind == "v":
        return varint(buf, start, stop)
    if kind == "p":
        name, start = _value(buf, "s", start, stop)
        value, start = _value(buf, "s", start, stop)
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


def take(client, p, end, data=None):
    """decode() for the receive buffer, or `data`: when it is malformed the connection is closed."""
    try:
        return decode(data or client._rx, p, end)
    except MQTTException as error:
        client._violation(error.code, _MALFORMED)
