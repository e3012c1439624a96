"""The hub's HTTP server: its listener, and uvicorn as the hub needs it."""

import contextlib
import errno
import logging
import socket
from collections.abc import Iterator

import uvicorn

from tools.hub.app import make_app
from tools.hub.hub import Hub
from tools.hub.security.certificates import Certificates
from tools.hub.server.folder import StartError


def config(hub: Hub, certificates: Certificates | None) -> uvicorn.Config:
    """For the hub's application, with TLS where there are certificates."""
    return uvicorn.Config(
        make_app(hub),
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


class Server(uvicorn.Server):
    """uvicorn without its own signal handling: the hub stops its parts in its own order."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


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
    server = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((host, port))
        server.listen(2048)
    except OSError:
        server.close()
        raise
    return server
