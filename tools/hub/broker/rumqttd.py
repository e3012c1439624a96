"""The embedded broker's own process: `python -m tools.hub.broker.rumqttd CONFIG [CERTIFICATE HOST TLS_PORT PLAIN_PORT ...]`.

For each pair of ports it takes TLS connections on the first and passes them on to rumqttd's plain listener on the second (terminator.py).

rumqttd has no call to stop it and no hook for sessions, so it runs in a child process. What rumqttd does tell about sessions is its log,
which this process reads as it is made and turns into lines, one JSON object each:

    {"up": "client id"}     the first session of this client is there
    {"down": "client id", "clean": true}   the last one is gone; clean: it ended with DISCONNECT

A hub holds it by a connection to the loopback port in REDPOLL_BROKER_CONTROL, over which it sends the token in REDPOLL_BROKER_TOKEN, is
answered `held`, and is told of the sessions that are there and of what becomes of them; at the line `end` the process ends. When that
connection breaks the hub was killed. What boards were told is taken waits here, so the process waits for the next hub, LINGER_SECONDS
long. Without that port it ends when its standard input does.

rumqttd 0.20 panics when a client vanishes in a flood of messages; the listener that it happens to then refuses everybody, while the
process lives on. So it ends when it says on standard error that it panicked, and the hub starts it again.
"""

import asyncio
import contextlib
import hmac
import json
import logging
import os
import queue
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from iotcore import IotCoreBroker

from tools.hub.broker.embedded import HELD, PORT_VARIABLE, TOKEN_VARIABLE
from tools.hub.broker.terminator import follow_certificate, terminate
from tools.hub.security.authority import server_context

_SESSION = re.compile(r'incoming_(connect|disconnect); client_id="([0-9A-Za-z_.:-]{1,128})"')
_ROUTER = "rumqttd.router.routing"
_SPANS = "tracing.span"
PANICKED, NO_TLS = 70, 71  # exit statuses
LINGER_SECONDS = 30.0
_TOKEN_SECONDS = 5.0


class Sessions:
    """Counts the sessions of each client: a takeover connects the new one before it disconnects the old."""

    def __init__(self) -> None:
        self._count: dict[str, int] = {}
        self._clean = False

    def read(self, message: str) -> dict[str, object] | None:
        """Take one line of rumqttd's log; what became of a session, if the line says so."""
        if message == "disconnect;":  # the span of a DISCONNECT packet; incoming_disconnect of the same client follows
            self._clean = True
            return None
        match = _SESSION.fullmatch(message)
        if match is None:
            return None
        client, clean = match[2], self._clean
        self._clean = False
        before = self._count.get(client, 0)
        if match[1] == "connect":
            self._count[client] = before + 1
            return {"up": client} if before == 0 else None
        if before > 1:
            self._count[client] = before - 1
            return None
        self._count.pop(client, None)
        return {"down": client, "clean": clean} if before else None


class Control:
    """The hub's hold on this process."""

    def __init__(self, port: int, token: str) -> None:
        self._token = token.encode()
        self._server = socket.create_server(("127.0.0.1", port))
        self._up: dict[str, None] = {}
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._hub: socket.socket | None = None
        self._lock = threading.Lock()

    def tell(self, happened: dict[str, object]) -> None:
        """What became of a session: remembered, and told to the hub without waiting for it."""
        with self._lock:
            if "up" in happened:
                self._up[str(happened["up"])] = None
            else:
                self._up.pop(str(happened["down"]), None)
            if self._hub is not None:
                self._lines.put(json.dumps(happened).encode() + b"\n")

    def serve(self) -> None:
        """Serve one hub after another; ends the process when one says so, or none comes."""
        threading.Thread(target=self._send, daemon=True).start()
        while True:
            deadline = time.monotonic() + LINGER_SECONDS
            hub = None
            while hub is None:
                hub = self._accept(deadline)
            with self._lock:
                self._hub = hub
                for client in self._up:
                    self._lines.put(json.dumps({"up": client}).encode() + b"\n")
            with contextlib.suppress(OSError):
                if hub.recv(16).startswith(b"end"):
                    os._exit(0)
            with self._lock:
                self._hub = None
                while not self._lines.empty():
                    self._lines.get_nowait()
            hub.close()

    def _accept(self, deadline: float) -> socket.socket | None:
        """Whoever knows the token; None for others. Ends the process at the deadline."""
        self._server.settimeout(max(0.01, deadline - time.monotonic()))
        try:
            connection, _ = self._server.accept()
        except TimeoutError:
            os._exit(0)
        connection.settimeout(_TOKEN_SECONDS)
        with contextlib.suppress(OSError), connection.makefile("rb") as file:
            if hmac.compare_digest(file.readline(256).strip(), self._token):
                connection.settimeout(None)
                connection.sendall(HELD)
                return connection
        connection.close()
        return None

    def _send(self) -> None:
        while True:
            line = self._lines.get()
            hub = self._hub
            if hub is not None:
                with contextlib.suppress(OSError):
                    hub.sendall(line)


def _print(happened: dict[str, object]) -> None:
    print(json.dumps(happened), flush=True)


class _SessionLog(logging.Logger):
    """A logger that does as little as can be for the thousands of records that are not about sessions."""

    sessions = Sessions()
    tell: Callable[[dict[str, object]], None] = staticmethod(_print)

    def makeRecord(self, name: str, level: int, fn: str, lno: int, msg: object, *rest: Any, **more: Any) -> Any:  # noqa: ARG002
        return msg

    def handle(self, record: Any) -> None:
        happened = self.sessions.read(str(record))
        if happened is not None:
            self.tell(happened)


def exit_on_panic() -> None:
    """Pass standard error on, line by line, and end the process at a panic's."""
    reading, writing = os.pipe()
    shown = os.fdopen(os.dup(2), "wb", buffering=0)
    os.dup2(writing, 2)
    os.close(writing)

    def pass_on() -> None:
        with os.fdopen(reading, "rb") as lines:
            for line in lines:
                shown.write(line)
                if b" panicked at " in line:
                    os._exit(PANICKED)

    threading.Thread(target=pass_on, daemon=True).start()


def _exit_with_the_hub() -> None:
    try:
        sys.stdin.buffer.read()
    finally:
        os._exit(0)


async def _terminate(certificate: Path, host: str, ports: list[int]) -> None:
    context = server_context(certificate)
    servers = [await terminate(host, tls, plain, context) for tls, plain in zip(ports[::2], ports[1::2], strict=True)]
    await asyncio.gather(follow_certificate(context, certificate), *(server.serve_forever() for server in servers))


def _terminate_or_exit(certificate: Path, host: str, ports: list[int]) -> None:
    try:
        asyncio.run(_terminate(certificate, host, ports))
    except OSError as error:  # a port is in use, or the certificate cannot be read
        print(f"TLS on {host}: {error}", file=sys.stderr, flush=True)
        os._exit(NO_TLS)


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # both come to whole groups; the hub ends this process when it has taken what is here
    logging.basicConfig(level=logging.CRITICAL, stream=sys.stderr)
    for name in (_ROUTER, _SPANS):
        logger = _SessionLog(name, logging.INFO)
        logger.propagate = False
        logging.Logger.manager.loggerDict[name] = logger
    exit_on_panic()
    if PORT_VARIABLE in os.environ:
        control = Control(int(os.environ[PORT_VARIABLE]), os.environ[TOKEN_VARIABLE])
        _SessionLog.tell = staticmethod(control.tell)
        threading.Thread(target=control.serve, daemon=True).start()
    else:
        threading.Thread(target=_exit_with_the_hub, daemon=True).start()
    config, *tls = sys.argv[1:]
    if tls:
        ports = [int(port) for port in tls[2:]]
        threading.Thread(target=_terminate_or_exit, args=(Path(tls[0]), tls[1], ports), daemon=True).start()
    IotCoreBroker(config_path=config).run_forever()


if __name__ == "__main__":
    main()
