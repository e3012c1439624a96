"""MicroPython's sockets for CPython, with a board's habits: stream methods, ETIMEDOUT, None for "no data yet".

umqtt.simple 1.3.4 imports this name; on MicroPython it is `socket`. As on lwIP and ESP32 (and on CPython), setblocking(True)
removes the timeout.
"""

import errno
import socket as _socket
from socket import AF_INET, AF_INET6, IPPROTO_TCP, SO_REUSEADDR, SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET, TCP_NODELAY  # noqa: F401
from typing import Any


class socket(_socket.socket):
    """A TCP or UDP socket that is a stream as well."""

    def read(self, size: int = -1) -> bytes | None:
        """`size` bytes, fewer only at the end; without a size all until the end. None when not blocking and there is nothing."""
        parts = bytearray()
        while size < 0 or len(parts) < size:
            try:
                data = self.recv(4096 if size < 0 else size - len(parts))
            except BlockingIOError:
                return bytes(parts) or None
            if not data:
                break
            parts += data
        return bytes(parts)

    def readinto(self, buffer: Any, size: int = -1) -> int | None:
        """Fill the buffer, or its first `size` bytes; fewer only at the end. None when not blocking and there is nothing."""
        data = self.read(len(buffer) if size < 0 else min(size, len(buffer)))
        if data is None:
            return None
        buffer[: len(data)] = data
        return len(data)

    def readline(self) -> bytes | None:
        """One line with its newline, less at the end. None when not blocking and there is nothing."""
        line = bytearray()
        while not line.endswith(b"\n"):
            data = self.read(1)
            if data is None and not line:
                return None
            if not data:
                break
            line += data
        return bytes(line)

    def write(self, data: Any, size: int = -1) -> int | None:
        """Write all of it, or its first `size` bytes. Not blocking: what fits, None when nothing does."""
        view = memoryview(data) if size < 0 else memoryview(data)[:size]
        done = 0
        while done < len(view):
            try:
                done += self.send(view[done:])
            except BlockingIOError:
                return done or None
        return done

    # MicroPython says ETIMEDOUT where CPython raises TimeoutError without a number

    def recv(self, *args: Any) -> bytes:
        return _numbered(super().recv, *args)  # type: ignore[no-any-return]

    def send(self, *args: Any) -> int:
        return _numbered(super().send, *args)  # type: ignore[no-any-return]

    def connect(self, address: Any) -> None:
        _numbered(super().connect, address)

    def accept(self) -> tuple["socket", Any]:
        fd, address = _numbered(self._accept)  # type: ignore[attr-defined]
        return socket(self.family, self.type, self.proto, fileno=fd), address


def _numbered(call: Any, *args: Any) -> Any:
    try:
        return call(*args)
    except TimeoutError as error:
        if error.errno is None:
            raise OSError(errno.ETIMEDOUT, "timed out") from error
        raise


def getaddrinfo(host: Any, port: Any, *args: Any) -> Any:
    """As on MicroPython: IPv4 addresses of stream sockets first come, first served."""
    return _socket.getaddrinfo(host, port, *(args or (AF_INET, SOCK_STREAM)))
