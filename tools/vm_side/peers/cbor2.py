# What arduino-iot-cloud needs of micropython-lib's `cbor2`, which PyPI does not have: the values that SenML holds (RFC 8949 §3).
import struct

_FLOATS = {25: ">e", 26: ">f", 27: ">d"}
_SIZES = {24: ">B", 25: ">H", 26: ">I", 27: ">Q"}


def dumps(value):
    out = bytearray()
    _write(out, value)
    return bytes(out)


def loads(data):
    return _read(data, 0)[0]


def _head(out, major, number):
    if number < 24:
        out.append(major << 5 | number)
        return
    for code in (24, 25, 26, 27):
        if number < 1 << (8 << code - 24):
            out.append(major << 5 | code)
            out.extend(struct.pack(_SIZES[code], number))
            return


def _write(out, value):
    if value is None or isinstance(value, bool):
        out.append({False: 0xF4, True: 0xF5, None: 0xF6}[value])
    elif isinstance(value, int):
        _head(out, 1 if value < 0 else 0, -1 - value if value < 0 else value)
    elif isinstance(value, float):
        out.append(0xFB)
        out.extend(struct.pack(">d", value))
    elif isinstance(value, str):
        encoded = value.encode()
        _head(out, 3, len(encoded))
        out.extend(encoded)
    elif isinstance(value, (bytes, bytearray)):
        _head(out, 2, len(value))
        out.extend(value)
    elif isinstance(value, dict):
        _head(out, 5, len(value))
        for key in value:
            _write(out, key)
            _write(out, value[key])
    else:
        _head(out, 4, len(value))
        for item in value:
            _write(out, item)


def _read(data, at):
    # (value, where the next one begins)
    major, number = data[at] >> 5, data[at] & 31
    at += 1
    if major == 7:
        if number in _FLOATS:
            size = 1 << number - 24
            return struct.unpack(_FLOATS[number], data[at : at + size])[0], at + size
        return {20: False, 21: True}.get(number), at
    if number > 23:
        size = 1 << number - 24
        number, at = struct.unpack(_SIZES[number], data[at : at + size])[0], at + size
    if major < 2:
        return (-1 - number if major else number), at
    if major < 4:
        piece = bytes(data[at : at + number])
        return (piece.decode() if major == 3 else piece), at + number
    if major == 4:
        items = []
        for _ in range(number):
            item, at = _read(data, at)
            items.append(item)
        return items, at
    pairs = {}
    for _ in range(number):
        key, at = _read(data, at)
        pairs[key], at = _read(data, at)
    return pairs, at
