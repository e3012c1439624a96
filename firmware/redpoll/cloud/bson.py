# BSON (bsonspec.org 1.1), the types that Astarte uses: double, string, document, array, binary, boolean, datetime, int32, int64.
from struct import pack, unpack_from

from micropython import const

_DEPTH = const(8)
_NUMBERS = {1: "<d", 9: "<q", 16: "<i", 18: "<q"}
# bytes of a value, by its type; a negative number counts those that its own length leaves out
_SIZES = {1: 8, 2: -4, 3: 0, 4: 0, 5: -5, 8: 1, 9: 8, 16: 4, 18: 8}


class Time:
    """A datetime: `ms` since 1970."""

    def __init__(self, ms):
        self.ms = ms


def encode(values):
    """A document from a dict, or an array from a list or tuple. Whole numbers take int32 where they fit. ValueError for any other type."""
    items = values.items() if isinstance(values, dict) else [(str(i), values[i]) for i in range(len(values))]
    body = b"".join([_element(key, value) for key, value in items])
    return pack("<i", len(body) + 5) + body + b"\0"


def decode(data):
    """A dict from bytes; datetimes are Time. ValueError for what is no document, is nested too deep or has a type or key of its own."""
    if len(data) < 5 or unpack_from("<i", data)[0] != len(data):
        raise _bad()
    return _document(data, 0, len(data), False, _DEPTH)


def _element(key, value):
    if isinstance(value, bool):
        kind, value = 8, bytes((value,))
    elif isinstance(value, int):
        kind = 16 if -0x80000000 <= value <= 0x7FFFFFFF else 18
        value = _number(kind, value)
    elif isinstance(value, float):
        kind, value = 1, pack("<d", value)
    elif isinstance(value, str):
        value = value.encode()
        kind, value = 2, pack("<i", len(value) + 1) + value + b"\0"
    elif isinstance(value, (dict, list, tuple)):
        kind, value = 3 if isinstance(value, dict) else 4, encode(value)
    elif isinstance(value, (bytes, bytearray)):
        kind, value = 5, pack("<ib", len(value), 0) + value
    elif isinstance(value, Time):
        kind, value = 9, _number(9, value.ms)
    else:
        raise ValueError("BSON has no %s" % type(value).__name__)
    if "\0" in key:
        raise ValueError("BSON: a NUL in a key")
    return bytes((kind,)) + key.encode() + b"\0" + value


def _number(kind, value):
    # MicroPython's pack cuts off what does not fit
    if value + (1 << 63) >> 64:
        raise ValueError("BSON: more than 64 bits")
    return pack(_NUMBERS[kind], value)


def _document(data, at, end, array, depth):
    found = [] if array else {}
    end -= 1
    if not depth or data[end]:
        raise _bad()
    at += 4
    while at < end:
        kind = data[at]
        stop = data.find(b"\0", at + 1, end)
        if stop < 0 or kind not in _SIZES:
            raise _bad()
        key = _text(data, at + 1, stop)
        at = stop + 1
        size = _SIZES[kind]
        if size < 1:
            # its own length: of a string with the final NUL, of a document all of it
            told = unpack_from("<i", data, at)[0] if end - at > 4 else -1
            if told < (5 if not size else kind == 2):
                raise _bad()
            size = told - size
        if size > end - at:
            raise _bad()
        stop = at + size
        if kind == 2:
            if data[stop - 1]:
                raise _bad()
            value = _text(data, at + 4, stop - 1)
        elif kind == 5:
            value = bytes(data[at + 5 : stop])
        elif kind in (3, 4):
            value = _document(data, at, stop, kind == 4, depth - 1)
        elif kind == 8:
            value = data[at] != 0
        else:
            value = unpack_from(_NUMBERS[kind], data, at)[0]
            if kind == 9:
                value = Time(value)
        at = stop
        if array:
            # its keys are "0", "1" and so on, and nobody looks at them
            found.append(value)
        elif key in found:
            raise _bad()
        else:
            found[key] = value
    return found


def _text(data, at, end):
    return str(data[at:end], "utf-8")


def _bad():
    return ValueError("not BSON, or of a kind that is not taken")
