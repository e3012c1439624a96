"""The embedded broker's own process: `python -m tools.hub.rumqttd CONFIG [CERTIFICATE HOST TLS_PORT PLAIN_PORT ...]`.

For each pair of ports it takes TLS connections on the first and passes them on to rumqttd's plain listener on the second (terminator.py).

rumqttd has no call to stop it and no hook for sessions, so it runs in a child process whose standard input is held by the hub: when that
closes, whatever happened to the hub, the child goes. What rumqttd does tell about sessions is its log, which this process reads as it is
made and turns into lines on standard output, one JSON object each:

    {"up": "client id"}     the first session of this client is there
    {"down": "client id", "clean": true}   the last one is gone; clean: it ended with DISCONNECT

rumqttd 0.20 panics when a client vanishes in a flood of messages; the listener that it happens to then refuses everybody, while the
process lives on. So it ends when it says on standard error that it panicked, and the hub starts it again.
"""

import asyncio
import json
import logging
import os
import re
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from iotcore import IotCoreBroker

from tools.hub.authority import server_context
from tools.hub.terminator import follow_certificate, terminate

_SESSION = re.compile(r'incoming_(connect|disconnect); client_id="([0-9A-Za-z_.:-]{1,128})"')
_ROUTER = "rumqttd.router.routing"
_SPANS = "tracing.span"
PANICKED, NO_TLS = 70, 71  # exit statuses


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


class _SessionLog(logging.Logger):
    """A logger that does as little as can be for the thousands of records that are not about sessions."""

    sessions = Sessions()

    def makeRecord(self, name: str, level: int, fn: str, lno: int, msg: object, *rest: Any, **more: Any) -> Any:  # noqa: ARG002
        return msg

    def handle(self, record: Any) -> None:
        happened = self.sessions.read(str(record))
        if happened is not None:
            print(json.dumps(happened), flush=True)


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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the hub ends this process when it has finished
    logging.basicConfig(level=logging.CRITICAL, stream=sys.stderr)
    for name in (_ROUTER, _SPANS):
        logger = _SessionLog(name, logging.INFO)
        logger.propagate = False
        logging.Logger.manager.loggerDict[name] = logger
    exit_on_panic()
    threading.Thread(target=_exit_with_the_hub, daemon=True).start()
    config, *tls = sys.argv[1:]
    if tls:
        ports = [int(port) for port in tls[2:]]
        threading.Thread(target=_terminate_or_exit, args=(Path(tls[0]), tls[1], ports), daemon=True).start()
    IotCoreBroker(config_path=config).run_forever()


if __name__ == "__main__":
    main()
