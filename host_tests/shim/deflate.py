"""MicroPython's `deflate` for CPython: inflating by pulling from a stream, byte by byte."""

import zlib
from typing import Any

AUTO, RAW, ZLIB, GZIP = 0, 1, 2, 3


class DeflateIO:
    """Reads what `stream` holds, unpacked. EOFError when the stream ends too early, OSError(EINVAL) for wrong data."""

    def __init__(self, stream: Any, format: int = AUTO, wbits: int = 0, close: bool = False) -> None:
        if format != RAW:
            raise NotImplementedError("the shim knows RAW only")
        self._stream = stream
        self._inflate = zlib.decompressobj(-max(wbits, 9))

    def readinto(self, buffer: Any) -> int:
        """Bytes unpacked into the buffer, 0 at the end."""
        data = b""
        while len(data) < len(buffer) and not self._inflate.eof:
            packed = self._inflate.unconsumed_tail or self._stream.read(1)
            if not packed and not self._inflate.eof:
                raise EOFError
            try:
                data += self._inflate.decompress(packed, len(buffer) - len(data))
            except zlib.error:
                raise OSError(22, "EINVAL") from None
        buffer[: len(data)] = data
        return len(data)
