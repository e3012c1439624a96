"""BSON as Astarte's devices send it (bsonspec.org, reference edgehog-astarte §3), read and written: a decoder of its own, since the two
packages called bson on PyPI exclude each other, the one that Astarte's client needs is not made for hostile input, and nine types are few.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tools.hub.errors import Malformed

SIZE_MAX = 65_535  # bytes of a message
DEPTH_MAX = 8

_DOUBLE, _STRING, _DOCUMENT, _ARRAY, _BINARY, _BOOLEAN, _DATETIME, _INT32, _INT64 = 1, 2, 3, 4, 5, 8, 9, 16, 18
_NUMBERS = {_DOUBLE: "<d", _DATETIME: "<q", _INT32: "<i", _INT64: "<q"}


@dataclass(frozen=True)
class Time:
    """A datetime: milliseconds since 1970."""

    ms: int


def decode(raw: bytes) -> dict[str, Any]:
    """A document. Raises Malformed for anything else."""
    if len(raw) > SIZE_MAX:
        raise Malformed(f"The payload is larger than {SIZE_MAX} bytes")
    reader = _Reader(raw)
    found = reader.document(DEPTH_MAX)
    if reader.at != len(raw):
        raise Malformed("The payload is not BSON: something follows it")
    return dict(found)


def encode(values: Mapping[str, Any]) -> bytes:
    """A document of strings, whole numbers, booleans and such documents. Raises TypeError for other types."""
    body = b"".join(_element(key, value) for key, value in values.items())
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def _element(key: str, value: Any) -> bytes:
    if isinstance(value, str):
        text = value.encode() + b"\0"
        kind, data = _STRING, struct.pack("<i", len(text)) + text
    elif isinstance(value, bool):
        kind, data = _BOOLEAN, bytes([value])
    elif isinstance(value, int):
        fits = -(2**31) <= value < 2**31
        kind, data = (_INT32, struct.pack("<i", value)) if fits else (_INT64, struct.pack("<q", value))
    elif isinstance(value, Mapping):
        kind, data = _DOCUMENT, encode(value)
    else:
        raise TypeError(f"no BSON for {type(value).__name__}")
    return bytes([kind]) + key.encode() + b"\0" + data


class _Reader:
    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self.at = 0

    def document(self, depth: int) -> list[tuple[str, Any]]:
        """Keys and values in their order; what follows it is left."""
        if depth == 0:
            raise Malformed(f"The BSON is nested deeper than {DEPTH_MAX} levels")
        begin = self.at
        size = self._number("<i")
        end = begin + size
        if size < 5 or end > len(self._raw):
            raise Malformed("The payload is not BSON: it is cut off")
        found: dict[str, Any] = {}
        while self.at < end - 1:
            kind = self._take(1)[0]
            key = self._text(self._until_nul())
            if key in found:
                raise Malformed(f"The BSON has the key {key[:64]!r} twice")
            found[key] = self._value(kind, depth)
        if self.at != end - 1 or self._take(1) != b"\0":
            raise Malformed("The payload is not BSON: a document is not as long as it says")
        return list(found.items())

    def _value(self, kind: int, depth: int) -> Any:
        if kind in _NUMBERS:
            number = self._number(_NUMBERS[kind])
            return Time(number) if kind == _DATETIME else number
        if kind == _STRING:
            size = self._number("<i")
            text = self._take(size) if size > 0 else b"x"
            if text[-1]:
                raise Malformed("The payload is not BSON: a string does not end")
            return self._text(text[:-1])
        if kind == _DOCUMENT:
            return dict(self.document(depth - 1))
        if kind == _ARRAY:
            return [value for _, value in self.document(depth - 1)]
        if kind == _BINARY:
            size = self._number("<i")
            self._take(1)
            return self._take(size)
        if kind == _BOOLEAN:
            byte = self._take(1)[0]
            if byte > 1:
                raise Malformed("The payload is not BSON: a boolean is neither 0 nor 1")
            return byte == 1
        raise Malformed(f"The BSON has a value of type {kind:#04x}, which Astarte does not take")

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _take(self, size: int) -> bytes:
        if size < 0 or size > len(self._raw) - self.at:
            raise Malformed("The payload is not BSON: it is cut off")
        self.at += size
        return self._raw[self.at - size : self.at]

    def _until_nul(self) -> bytes:
        end = self._raw.find(b"\0", self.at)
        if end < 0:
            raise Malformed("The payload is not BSON: it is cut off")
        return self._take(end - self.at + 1)[:-1]

    def _text(self, raw: bytes) -> str:
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise Malformed("A text in the BSON is not UTF-8") from None
