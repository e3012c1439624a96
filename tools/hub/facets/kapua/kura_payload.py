"""Kura's payload (kurapayload.proto, reference kapua-kura §2), read: a decoder of its own, for it is one message of six wire types that may
be hostile, less than the generated code and the package that it would need.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from tools.hub.errors import Malformed

SIZE_MAX = 64 * 1024  # bytes of a payload, unpacked
METRICS_MAX = 200

_TIMESTAMP, _METRIC = 1, 5000
_NAME, _TYPE = 1, 2
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_GZIP = b"\x1f\x8b"

Value = float | int | bool | str | bytes


class Type(IntEnum):
    """The types of a metric."""

    DOUBLE = 0
    FLOAT = 1
    INT64 = 2
    INT32 = 3
    BOOL = 4
    STRING = 5
    BYTES = 6


# type: (number of the field that has the value, its wire type)
_VALUES = {
    Type.DOUBLE: (3, _FIXED64), Type.FLOAT: (4, _FIXED32), Type.INT64: (5, _VARINT), Type.INT32: (6, _VARINT), Type.BOOL: (7, _VARINT),
    Type.STRING: (8, _BYTES), Type.BYTES: (9, _BYTES),
}  # fmt: skip


@dataclass(frozen=True)
class Metric:
    """A value and what it was sent as: to Kapua an INT32 is no INT64."""

    type: Type
    value: Value


@dataclass(frozen=True)
class Payload:
    """What the hub reads of a payload: not the position and the body."""

    timestamp: int | None  # milliseconds since 1970
    metrics: dict[str, Metric]


def decode(raw: bytes) -> Payload:
    """Read a payload, gzipped or not; of two metrics with one name the last counts. Raises Malformed."""
    timestamp: int | None = None
    metrics: dict[str, Metric] = {}
    for number, kind, value in _fields(_unpacked(raw)):
        if number == _TIMESTAMP and kind == _VARINT:
            timestamp = _signed(value, 64)
        elif number == _METRIC and kind == _BYTES:
            assert isinstance(value, bytes)
            name, metric = _metric(value)
            if metric is not None:
                metrics[name] = metric
            if len(metrics) > METRICS_MAX:
                raise Malformed(f"The payload has more than {METRICS_MAX} metrics")
    return Payload(timestamp, metrics)


def _unpacked(raw: bytes) -> bytes:
    if raw.startswith(_GZIP):
        stream = zlib.decompressobj(wbits=31)
        try:
            raw = stream.decompress(raw, SIZE_MAX + 1)
        except zlib.error:
            raise Malformed("The payload is not valid gzip") from None
        if len(raw) <= SIZE_MAX and (not stream.eof or stream.unused_data):
            raise Malformed("The payload is not valid gzip")
    if len(raw) > SIZE_MAX:
        raise Malformed(f"The payload is larger than {SIZE_MAX} bytes")
    return raw


def _metric(raw: bytes) -> tuple[str, Metric | None]:
    """Name and value; None for a value that is not of the type that is said."""
    found = {(number, kind): value for number, kind, value in _fields(raw)}
    name, said = found.get((_NAME, _BYTES)), found.get((_TYPE, _VARINT))
    if not isinstance(name, bytes) or not isinstance(said, int):
        raise Malformed("A metric has no name or no type")
    if said not in _VALUES:
        raise Malformed(f"A metric is of type {said}, which there is not")
    kind = Type(said)
    value = found.get(_VALUES[kind])
    return _text(name), None if value is None else Metric(kind, _value(kind, value))


def _value(kind: Type, value: int | bytes) -> Value:
    if isinstance(value, bytes):
        if kind == Type.STRING:
            return _text(value)
        return value if kind == Type.BYTES else float(struct.unpack("<d" if kind == Type.DOUBLE else "<f", value)[0])
    return bool(value) if kind == Type.BOOL else _signed(value, 32 if kind == Type.INT32 else 64)


def _fields(raw: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """Number, wire type and value of each field, one after another; raises Malformed where they stop making sense."""
    at = 0
    while at < len(raw):
        key, at = _varint(raw, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _varint(raw, at)
            yield number, kind, value
            continue
        if kind == _BYTES:
            size, at = _varint(raw, at)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise Malformed(f"The payload is not Kura's: wire type {kind}")
        if number == 0 or size > len(raw) - at:
            raise Malformed("The payload is not Kura's: it is cut off")
        yield number, kind, raw[at : at + size]
        at += size


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(raw):
            raise Malformed("The payload is not Kura's: it is cut off")
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (2**64 - 1), at
    raise Malformed("The payload is not Kura's: a number is longer than 10 bytes")


def _signed(value: int | bytes, bits: int) -> int:
    assert isinstance(value, int)
    number = value & ((1 << bits) - 1)
    return number - (1 << bits) if number >> (bits - 1) else number


def _text(raw: bytes) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise Malformed("A text in the payload is not UTF-8") from None
    if "\0" in text:
        raise Malformed("A text in the payload holds a NUL character")
    return text
