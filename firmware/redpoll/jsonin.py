# JSON from outside: bounded in size and depth before it is decoded, so that nobody else decides how much heap it takes.
import json

from micropython import const

_DEPTH = const(8)  # levels
_BYTES = const(8192)
# a list of small values takes eight times its text
_VALUES = const(512)
_FLOAT = 3.4e38


def loads(data, most=_BYTES):
    """Bytes -> value. ValueError that says what is wrong: above `most` bytes, 512 values or 8 levels, or not JSON."""
    if len(data) > most:
        raise ValueError("%d bytes of JSON, at most %d are taken" % (len(data), most))
    depth = values = starts = 0
    text = escape = scalar = False
    for byte in data:
        if escape:
            # UTF-8 has no surrogates, but MicroPython takes theirs, 0xED and then 0xA0 or more, for characters
            if escape == 0xED and byte >> 5 != 4:
                raise ValueError("not JSON")
            escape = False
        elif text:
            if byte == 0x5C or byte == 0xED:
                escape = byte
            elif byte == 0x22:
                text = False
        elif byte == 0x22:
            text = True
            starts += 1
        elif byte in (0x7B, 0x5B):
            values += 1
            depth += 1
            if depth > _DEPTH:
                raise ValueError("JSON nested deeper than %d" % _DEPTH)
        elif byte in (0x7D, 0x5D):
            depth -= 1
        elif byte == 0x2C:
            values += 1
        elif byte > 0x20 and byte != 0x3A:
            starts += not scalar
            scalar = True
            continue
        scalar = False
    # MicroPython's decoder needs no commas; in an object each value has a key
    if values >= _VALUES or starts > 2 * _VALUES:
        raise ValueError("more than %d values of JSON" % _VALUES)
    try:
        if depth:
            # MicroPython before 1.26 takes the end of the text for any number of closing brackets
            raise ValueError
        value = json.loads(_joined(bytearray(data)))
    except (ValueError, TypeError):  # UnicodeError is a ValueError
        raise ValueError("not JSON")
    _check(value)
    return value


def _joined(data):
    # MicroPython's decoder makes two characters, which are no UTF-8, of "\\ud83d\\ude00", and any decoder one of a half
    at = data.find(b"\\u")
    while at >= 0:
        before = at
        while before and data[before - 1] == 0x5C:
            before -= 1
        if not (at - before) & 1:
            # with the 1, what is less than four digits shows: int() takes " d80" and "d_80", MicroPython's decoder whatever there is
            high = int("1" + data[at + 2 : at + 6].decode(), 16)
            if high < 0x10000:
                raise ValueError
            if high >> 11 == 0x3B:
                char = 0xFFFD
                end = at + 6
                if high < 0x1DC00 and data[end : end + 2] == b"\\u":
                    low = int("1" + data[at + 8 : at + 12].decode(), 16)
                    if low >> 10 == 0x77:
                        char = (high - 0x1D7C0 << 10) + low - 0x1DC00
                        end += 6
                data[at:end] = chr(char).encode()
        at = data.find(b"\\u", at + 1)
    return data


def _check(value):
    # a number that is too large becomes infinite, which is no JSON when it is written again
    if isinstance(value, float):
        if not -_FLOAT <= value <= _FLOAT:
            raise ValueError("a number beyond 32 bits")
    elif isinstance(value, dict):
        for key in value:
            _check(value[key])
    elif isinstance(value, list):
        for item in value:
            _check(item)


def loads_object(data, most=_BYTES):
    """The same for what must be a JSON object: ValueError for anything else."""
    value = loads(data, most)
    if not isinstance(value, dict):
        raise ValueError("must be a JSON object, not %s" % type(value).__name__)
    return value
