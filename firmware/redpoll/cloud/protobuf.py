# Protocol buffers, written only (protobuf.dev, Encoding): what kura.py needs.


def varint(number):
    """A base 128 varint; of a negative number its 64 bits in two's complement."""
    if number < 0:
        number += 1 << 64
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def integer(field, number):
    """A field of wire type 0: int32, int64, bool, enum."""
    return varint(field << 3) + varint(number)


def chunk(field, data):
    """A field of wire type 2: bytes, a message, or a str as UTF-8."""
    if isinstance(data, str):
        data = data.encode()
    return varint(field << 3 | 2) + varint(len(data)) + data
