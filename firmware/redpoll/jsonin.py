# JSON from outside: bounded in size and depth before it is decoded, so that nobody else decides how much heap it takes.
import json

from micropython import const

_DEPTH = const(8)
_BYTES = const(8192)
# a list of small values takes eight times its text
_VALUES = const(512)


def loads(data, most=_BYTES):
    """Bytes -> value. ValueError that says what is wrong: above `most` bytes, 512 values or 8 levels, or not JSON."""
    if len(data) > most:
        raise ValueError("%d bytes of JSON, at most %d are taken" % (len(data), most))
    depth = 0
    values = 1
    text = escape = False
    for byte in data:
        if escape:
            escape = False
        elif text:
            if byte == 0x5C:
                escape = True
            elif byte == 0x22:
                text = False
        elif byte == 0x22:
            text = True
        elif byte in (0x7B, 0x5B):
            depth += 1
            if depth > _DEPTH:
                raise ValueError("JSON nested deeper than %d" % _DEPTH)
        elif byte in (0x7D, 0x5D):
            depth -= 1
        elif byte == 0x2C:
            values += 1
            if values > _VALUES:
                raise ValueError("more than %d values of JSON" % _VALUES)
    try:
        return json.loads(bytes(data))
    except (ValueError, TypeError):  # UnicodeError is a ValueError
        raise ValueError("not JSON")


def loads_object(data, most=_BYTES):
    """The same for what must be a JSON object: ValueError for anything else."""
    value = loads(data, most)
    if not isinstance(value, dict):
        raise ValueError("must be a JSON object, not %s" % type(value).__name__)
    return value
