"""The hub's HTTP server: its listener, and uvicorn as the hub needs it."""

import asyncio
import contextlib
import errno
import logging
import socket
import time
from collections.abc import Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from tools.hub.app import make_app
from tools.hub.hub import Hub
from tools.hub.security.certificates import Certificates
from tools.hub.server.folder import StartError

log = logging.getLogger("redpoll.hub.http")

_HEAD_SECONDS = 75.0  # within which the head of a request must be there
_SCARCE = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_TELL_SECONDS = 60.0


def config(hub: Hub, certificates: Certificates | None) -> uvicorn.Config:
    """For the hub's application, with TLS where there are certificates."""
    return uvicorn.Config(
        make_app(hub),
        http=Connection,
        ssl_context_factory=None if certificates is None else lambda _config, _default: certificates.context,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=3,
        timeout_keep_alive=75,
        ws_ping_interval=hub.settings.keepalive,
        ws_ping_timeout=hub.settings.keepalive,
        ws_max_size=64 * 1024,  # what a client of the Span feed says is one small object
        ws_per_message_deflate=False,  # it would cost some 300 KB of each connection
    )


def is_fit_for_the_log(record: logging.LogRecord) -> bool:
    """uvicorn logs the address of each web socket, which may have a token in it, and takes each that is refused for an error of ours."""
    message = str(record.msg)
    return "WebSocket" not in message and not message.startswith("ASGI callable returned without completing handshake")


class Connection(H11Protocol):
    """uvicorn's, closed where no request comes: a board whose power went, or who opens connections to no end, would keep each for ever."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._late = self.loop.call_later(_HEAD_SECONDS, transport.close)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        idle = self.cycle is None or self.cycle.response_complete
        if not idle or self.transport.get_protocol() is not self:  # a request, or a web socket from now on
            self._in_time()
        elif self._late is None:  # the head of another
            self._late = self.loop.call_later(_HEAD_SECONDS, self.transport.close)

    def on_response_complete(self) -> None:
        self._in_time()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._in_time()
        super().connection_lost(exc)

    def _in_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


class Listener(socket.socket):
    """One that says once a minute that no more connections can be taken. asyncio would log that some ten thousand times a second."""

    _failed = _told = float("-inf")

    def accept(self) -> tuple[socket.socket, Any]:
        try:
            return super().accept()
        except OSError as error:
            if error.errno not in _SCARCE:
                raise
            now = time.monotonic()
            if now - self._told > _TELL_SECONDS:
                self._told = now
                log.error("no more connections can be taken: %s (how many files the hub may open: ulimit -n)", error.strerror)
            if now - self._failed < 0.5:
                raise BlockingIOError from None  # asyncio knows it already, and waits a second
            self._failed = now
            raise


class Server(uvicorn.Server):
    """uvicorn without its own signal handling: the hub stops its parts in its own order."""

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().set_exception_handler(_told_by_the_listener)
        await super().serve(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _told_by_the_listener(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    if "socket" not in context or not isinstance(error, OSError) or error.errno not in _SCARCE:
        loop.default_exception_handler(context)


def url_of(host: str, server: socket.socket, *, tls: bool) -> str:
    """Where this machine reaches it."""
    shown = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host
    return f"http{'s' if tls else ''}://{f'[{shown}]' if ':' in shown else shown}:{server.getsockname()[1]}"


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens there. Raises StartError."""
    if not 0 <= port <= 65535:
        raise StartError(f"--port {port}: a port is 0 to 65535; 0 takes a free one")
    try:
        server = _open_listener(host, port)
    except OSError as error:
        raise StartError(_what_to_do(host, port, error)) from error
    with server:
        yield server


def _what_to_do(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"--port {port}: port {port} is in use on {host}; stop what uses it, or take another (--port 0 finds a free one)"
    if error.errno == errno.EACCES:
        return f"--port {port}: {error.strerror}; take one from 1024 on, such as 8480"
    return (
        f"--host {host}: {error.strerror or error}; it is an address of this machine, or 0.0.0.0 for all of them. What boards call it "
        "beside that is --host-name"
    )


def _open_listener(host: str, port: int) -> socket.socket:
    # asyncio turns Nagle's algorithm off only where the protocol is named; with it, each answer would wait 40 ms
    server = Listener(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((host, port))
        server.listen(2048)
    except OSError:
        server.close()
        raise
    return server
