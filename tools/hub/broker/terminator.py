"""TLS in front of a plain listener on this machine: what comes in is passed on, and back.

rumqttd can speak TLS, but it makes each handshake where it accepts connections: one client that connects and says nothing, or loses its
power in the handshake, keeps everybody else out for good. Here a handshake has a deadline and no one waits for another's.
"""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger("redpoll.hub.tls")

HANDSHAKE_SECONDS = 15.0  # a board with a slow chip on a slow link takes two
_WAITING = 256 * 1024  # bytes that may wait for a side that does not read
_LOOK_SECONDS = 60.0  # between two looks whether the certificate is a newer one
_BACKLOG = 2048


class _Side(asyncio.Protocol):
    """One end of a connection: what it hears, the other end says."""

    def __init__(self) -> None:
        self.other: _Side | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=_WAITING)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002
        self.transport = None
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()  # what it has not said yet, it still says


class _Client(_Side):
    """The client's end, once its handshake is done: opens the other one."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._port = port
        self._opening: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self.transport is not None
        self.transport.pause_reading()
        self._opening = asyncio.get_running_loop().create_task(self._open())

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, self.other = await loop.create_connection(_Side, "127.0.0.1", self._port)
        except OSError as error:
            log.warning("no connection to the plain listener on port %d: %s", self._port, error)
            if self.transport is not None:
                self.transport.abort()
            return
        self.other.other = self
        if self.transport is None:  # gone in the meantime
            assert self.other.transport is not None
            self.other.transport.close()
        else:
            self.transport.resume_reading()


async def terminate(host: str, port: int, plain_port: int, context: ssl.SSLContext) -> asyncio.Server:
    """Take TLS connections on host and port and pass them on to the plain port of this machine. Raises OSError."""
    make: Callable[[], asyncio.Protocol] = lambda: _Client(plain_port)  # noqa: E731
    return await asyncio.get_running_loop().create_server(
        make, host, port, ssl=context, ssl_handshake_timeout=HANDSHAKE_SECONDS, backlog=_BACKLOG
    )


async def follow_certificate(context: ssl.SSLContext, path: Path) -> None:
    """Have the context use the newer certificate when there is one in the file; until cancelled."""
    seen = path.stat().st_mtime_ns
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        with contextlib.suppress(OSError):
            if (now := path.stat().st_mtime_ns) != seen:
                context.load_cert_chain(path)
                seen = now
