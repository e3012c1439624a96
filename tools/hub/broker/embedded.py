"""The embedded broker: rumqttd, in a child process.

rumqttd speaks one protocol version per listener (a CONNECT of the other is left without an answer), so the embedded broker has two:
MQTT 5 on the port that was asked for, MQTT 3.1.1 beside it. It refuses keep alive 0, disconnects a client that subscribes below `$SYS`,
and lets everyone in: who may say what is checked by the hub, message by message. With TLS its own listeners are on this machine's loopback
only, and a terminator in the same process takes the connections (terminator.py says why).
"""

import asyncio
import contextlib
import json
import logging
import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools.hub.broker.address import PACKET_MAX, BrokerAddress, BrokerError, Listener, check_port_is_free, usual_port
from tools.hub.ports import answers, free_port, here, is_free
from tools.hub.tasks import cancel
from tools.private import write_private

log = logging.getLogger("redpoll.hub.broker")
PORT_VARIABLE, TOKEN_VARIABLE = "REDPOLL_BROKER_CONTROL", "REDPOLL_BROKER_TOKEN"  # of the environment of the child (rumqttd.py)
HELD = b"held\n"  # what the child answers to the token
_START_SECONDS = 10.0
_RESTART_SECONDS = 1.0
_END_SECONDS = 5.0
_HOLD_SECONDS = 5.0
_STATE_FILE = "rumqttd.json"  # how to get hold of the child: for the hub that comes after a killed one
_CONFIG = """\
id = 0
[router]
id = 0
max_connections = 20000
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 4
"""
_LISTENER = """\
[{version}.1]
name = "{version}"
listen = "{host}:{port}"
next_connection_delay_ms = 1
[{version}.1.connections]
connection_timeout_ms = 60000
max_payload_size = {packet_max}
max_inflight_count = 100
dynamic_filters = true
"""


def configuration(host: str, port: int, port_311: int) -> str:
    """rumqttd's, with a listener for MQTT 5 and one for MQTT 3.1.1: it speaks one of them on each."""
    host = f"[{host}]" if ":" in host else host
    levels = (("v5", port), ("v4", port_311))
    return _CONFIG + "".join(_LISTENER.format(version=version, host=host, port=at, packet_max=PACKET_MAX) for version, at in levels)


Control = tuple[asyncio.StreamReader, asyncio.StreamWriter]  # a connection to the child


class EmbeddedBroker:
    """rumqttd in a child process that is started again when it dies.

    It goes when the hub goes. When the hub is killed it stays for a while (rumqttd.py), with what boards were told is taken, and the next
    hub of the same directory goes on with it, if it is to listen in the same places.
    """

    def __init__(
        self, host: str, port: int | None, folder: Path, on_session: Callable[[str, str | None], None], certificate: Path | None = None
    ) -> None:
        """With a `certificate` (security/authority.py) it is reached over TLS only, but for the hub itself.

        `on_session(client id, None)` when a client is there, `(client id, reason)` when it is gone; on the event loop.
        """
        self._host = host
        self._wanted_port = usual_port(tls=certificate is not None) if port is None else port
        self._folder = folder
        self._certificate = certificate
        self._on_session = on_session
        self._process: asyncio.subprocess.Process | None = None  # None: started by the hub before this one
        self._control: Control | None = None
        self._watch: asyncio.Task[None] | None = None
        self._sessions: set[str] = set()
        self._ports: list[int] = []  # for MQTT 5 and for MQTT 3.1.1: where devices find it
        self._inner: list[int] = []  # and where rumqttd listens itself

    @property
    def address(self) -> BrokerAddress:
        """Where the hub's own client finds it."""
        return BrokerAddress(self._inner_host, self._inner[0])

    @property
    def listeners(self) -> list[Listener]:
        """Where devices find it."""
        made = [BrokerAddress(self._host, port, self._certificate is not None) for port in self._ports]
        return [Listener("MQTT 5", made[0]), Listener("MQTT 3.1.1", made[1])]

    @property
    def _inner_host(self) -> str:
        return "127.0.0.1" if self._certificate is not None else here(self._host)

    async def start(self) -> None:
        """Start and wait until both listeners answer. Raises BrokerError."""
        if not await self._adopt():
            first, beside = self._wanted_port, self._wanted_port + 1
            check_port_is_free("embedded", self._host, first)
            if first and beside < 65536 and is_free(self._host, beside):
                self._ports = [first, beside]
            else:
                self._ports = [first or free_port(self._host), free_port(self._host)]
            self._inner = self._ports if self._certificate is None else [free_port(), free_port()]
            await self._spawn()
        self._watch = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """End the child and wait until it is gone."""
        if self._watch is not None:
            await cancel(self._watch)
            self._watch = None
        await self._end()

    async def _adopt(self) -> bool:
        """Go on with the broker that a killed hub has left. One that listens elsewhere is ended."""
        found = await _find_left(self._folder)
        if found is None:
            return False
        left, self._control = found
        same = (left["host"], left["tls"]) == (self._host, self._certificate is not None)
        if not same or self._wanted_port not in (0, left["ports"][0]):
            await self._end()
            return False
        self._ports, self._inner = left["ports"], left["inner"]
        log.info("going on with the broker of the hub that was here before")
        return True

    async def _spawn(self) -> None:
        config = self._folder / "rumqttd.toml"
        config.write_text(configuration(self._host if self._certificate is None else self._inner_host, *self._inner))
        control, token = free_port(), secrets.token_urlsafe(24)
        state = {"control": control, "token": token, "host": self._host, "tls": self._certificate is not None}
        state |= {"ports": self._ports, "inner": self._inner}
        write_private(self._folder / _STATE_FILE, json.dumps(state).encode())
        environment = {"PYTHONPATH": os.pathsep.join(sys.path), PORT_VARIABLE: str(control), TOKEN_VARIABLE: token}
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tools.hub.broker.rumqttd", str(config), *self._tls_arguments(),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, env={**os.environ, **environment},
        )  # fmt: skip
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _START_SECONDS
        reached = {(here(self._host), port) for port in self._ports} | {(self._inner_host, port) for port in self._inner}
        for host, port in reached | {("127.0.0.1", control)}:
            while not await (self._holds(control, token) if port == control else answers(host, port)):
                if self._process.returncode is not None:
                    raise BrokerError(f"the embedded broker ended with status {self._process.returncode} while it started")
                if loop.time() > deadline:
                    await self._end()
                    raise BrokerError(f"the embedded broker did not listen on port {port} within {_START_SECONDS:g} s")
                await asyncio.sleep(0.02)

    async def _holds(self, control: int, token: str) -> bool:
        try:
            self._control = await _hold(control, token)
        except OSError:
            return False
        return True

    def _tls_arguments(self) -> list[str]:
        if self._certificate is None:
            return []
        pairs = zip(self._ports, self._inner, strict=True)
        return [str(self._certificate), self._host, *(str(port) for pair in pairs for port in pair)]

    async def _keep(self) -> None:
        """Read what the child tells; start it again when it ends by itself."""
        while True:
            assert self._control is not None
            with contextlib.suppress(OSError):
                async for line in self._control[0]:
                    self._told(line)
            self._control[1].close()
            self._control = None
            status = None if self._process is None else await self._process.wait()
            log.error("the embedded broker ended with status %s; starting it again", "unknown" if status is None else status)
            for client in sorted(self._sessions):
                self._on_session(client, "the broker ended")
            self._sessions.clear()
            while True:
                try:
                    await self._spawn()
                    break
                except (BrokerError, OSError) as error:  # a full disk passes, as does a port in use
                    log.error("%s; trying again in %g s", error, _RESTART_SECONDS)
                    await asyncio.sleep(_RESTART_SECONDS)

    def _told(self, line: bytes) -> None:
        try:
            happened = json.loads(line)
            client = happened.get("up") or happened["down"]
        except (ValueError, KeyError, AttributeError):
            log.warning("the embedded broker said %r", line[:200])
            return
        if "up" in happened:
            self._sessions.add(client)
            self._on_session(client, None)
        else:
            self._sessions.discard(client)
            self._on_session(client, "disconnected" if happened.get("clean") else "connection lost")

    async def _end(self) -> None:
        """Say so to the child; one that does not go is killed."""
        control, self._control = self._control, None
        if control is not None:
            await _let_go(*control)
            (self._folder / _STATE_FILE).unlink(missing_ok=True)
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            try:
                await asyncio.wait_for(process.wait(), _END_SECONDS)
            except TimeoutError:
                process.kill()
                await process.wait()


async def end_left(data: Path) -> None:
    """End the embedded broker that a killed hub has left in this data directory, if there is one."""
    found = await _find_left(data)
    if found is not None:
        await _let_go(*found[1])


async def _find_left(data: Path) -> tuple[dict[str, Any], Control] | None:
    """What is known of the broker that a killed hub has left, and a hold on it; None when there is none."""
    try:
        left: dict[str, Any] = json.loads((data / _STATE_FILE).read_text())
        return left, await _hold(left["control"], left["token"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


async def _hold(port: int, token: str) -> Control:
    """A connection to the control port of a broker's process. Raises OSError, also when what listens there is something else."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(token.encode() + b"\n")
    said = b""
    with contextlib.suppress(OSError, ValueError):
        said = await asyncio.wait_for(reader.readline(), _HOLD_SECONDS)
    if said != HELD:
        writer.close()
        raise ConnectionError(f"what listens on port {port} is not the broker")
    return reader, writer


async def _let_go(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Have the broker at the other end end, and wait until it has, but not for ever."""
    with contextlib.suppress(OSError):  # TimeoutError is one
        writer.write(b"end\n")
        await asyncio.wait_for(reader.read(), _END_SECONDS)
    writer.close()
