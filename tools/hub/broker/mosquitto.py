"""`--broker mosquitto`: the hub starts Mosquitto with its dynamic security plugin, so that each device reaches its own topics only.

Its files are in DATA/mosquitto. It is started again when it dies, and goes when the hub goes (leash.py): with SIGTERM, so that what it has
acknowledged and the hub has not yet taken waits in its store for the next start. Whoever kills Mosquitto itself loses what it had in
memory since its last save (autosave_interval).
"""

import asyncio
import contextlib
import getpass
import logging
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from tools.hub.broker import dynsec
from tools.hub.broker.address import PACKET_MAX, BrokerAddress, BrokerError, Listener, check_port_is_free, usual_port
from tools.hub.ports import answers, free_port, here
from tools.hub.store.outage import cause
from tools.hub.tasks import cancel
from tools.private import write_private

log = logging.getLogger("redpoll.hub.broker")

PLUGIN = "mosquitto_dynamic_security.so"
_INSTALL = "install Mosquitto 2.0 or newer (Debian: apt install mosquitto), or use --broker embedded"
_START_SECONDS = 15.0
_END_SECONDS = 10.0
_RESTART_SECONDS = 1.0
_FOLDER = "mosquitto"  # in the data directory
_LINES = 30  # of its log, kept for an error

_CONFIGURATION = """\
per_listener_settings false
allow_anonymous false
plugin {plugin}
plugin_opt_config_file {folder}/dynamic-security.json
user {user}
pid_file {folder}/mosquitto.pid
persistence true
persistence_location {folder}/
autosave_interval 10
max_keepalive 65535
max_queued_messages 1000000
max_inflight_messages 500
retain_available false
message_size_limit {packet_max}
log_dest stderr
log_dest topic
log_type error
log_type warning
log_type notice
connection_messages true
"""


def find_mosquitto() -> str | None:
    """Mosquitto's program, also where Debian puts it outside a user's PATH."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin")


def find_plugin(program: str) -> Path | None:
    """The dynamic security plugin that was installed with this program."""
    root = Path(program).resolve().parent.parent
    for base in (root / "lib", root / "lib64", Path("/usr/lib"), Path("/usr/lib64"), Path("/usr/local/lib"), Path("/opt/homebrew/lib")):
        for place in (base, *sorted(base.glob("*-linux-*"))):
            if (place / PLUGIN).is_file():
                return place / PLUGIN
    return None


class MosquittoBroker:
    """Mosquitto as a child process. The hub is its client `address`, with a password that is made anew each time and written nowhere."""

    def __init__(
        self,
        host: str,
        port: int | None,
        folder: Path,
        logins: Callable[[], Awaitable[list[tuple[str, str]]]],
        on_end: Callable[[], Awaitable[None]],
        certificate: Path | None = None,
    ) -> None:
        """`logins` gives id and verifier (dynsec.py) of each device; `on_end` is called when Mosquitto has died, until it succeeds.

        With a `certificate` (security/authority.py) devices reach it over TLS only.
        """
        self._host = host
        self._wanted_port = usual_port(tls=certificate is not None) if port is None else port
        self._folder = folder.resolve() / _FOLDER
        self._logins = logins
        self._on_end = on_end
        self._certificate = certificate
        self._password = secrets.token_urlsafe(24)
        self._port = self._inner = 0
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._said: deque[str] = deque(maxlen=_LINES)

    @property
    def address(self) -> BrokerAddress:
        """Where the hub's own clients find it, and as whom."""
        return BrokerAddress(self._inner_host, self._inner, username=dynsec.ADMIN, password=self._password)

    @property
    def listeners(self) -> list[Listener]:
        """Where devices find it."""
        return [Listener("MQTT 5 and MQTT 3.1.1", BrokerAddress(self._host, self._port, self._certificate is not None))]

    @property
    def _inner_host(self) -> str:
        return "127.0.0.1" if self._certificate is not None else here(self._host)

    async def start(self) -> None:
        """Start it and wait until it listens. Raises BrokerError."""
        program, plugin = await asyncio.to_thread(_find)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        await asyncio.to_thread(_end_former, self._folder)
        check_port_is_free("mosquitto", self._host, self._wanted_port)
        self._port = self._wanted_port or free_port(self._host)
        self._inner = self._port if self._certificate is None else free_port()
        (self._folder / "mosquitto.conf").write_text(self._configuration(plugin))
        await self._spawn(program)
        self._watch = asyncio.create_task(self._keep(program))

    async def stop(self) -> None:
        """End it and wait until it is gone."""
        if self._watch is not None:
            await cancel(self._watch)
            self._watch = None
        await self._end()

    def certificate_changed(self) -> None:
        """Have it read its certificate again."""
        self._signal(signal.SIGHUP)

    def save(self) -> None:
        """Have it write down which sessions there are: one that is started again keeps what comes for them before they are back."""
        self._signal(signal.SIGUSR1)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(OSError, ValueError):
            os.kill(int((self._folder / "mosquitto.pid").read_text()), number)

    def _configuration(self, plugin: Path) -> str:
        common = _CONFIGURATION.format(plugin=plugin, folder=self._folder, user=getpass.getuser(), packet_max=PACKET_MAX)
        for_devices = f"listener {self._port} {self._host}\n"
        if self._certificate is None:
            return common + for_devices
        path = self._certificate.resolve()  # its key is in it too
        tls = f"certfile {path}\nkeyfile {path}\ntls_version tlsv1.2\n"
        return f"{common}{for_devices}{tls}listener {self._inner} 127.0.0.1\n"

    async def _spawn(self, program: str) -> None:
        logins = await self._logins()
        content = await asyncio.to_thread(dynsec.configuration, logins, self._password)
        write_private(self._folder / "dynamic-security.json", content.encode())
        self._said.clear()
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tools.hub.broker.leash", program, "-c", str(self._folder / "mosquitto.conf"),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        self._reader = asyncio.create_task(self._read(self._process))
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _START_SECONDS
        for port in {self._port, self._inner}:
            while not await answers(self._inner_host if port == self._inner else here(self._host), port):
                ended = self._process.returncode is not None
                if ended or loop.time() > deadline:
                    await self._end()
                    how = "ended while it started" if ended else f"did not listen on port {port} within {_START_SECONDS:g} s"
                    raise BrokerError(f"--broker mosquitto: it {how}: {'; '.join(self._said) or 'it said nothing'}")
                await asyncio.sleep(0.02)

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        async for line in process.stderr:
            self._said.append(line.decode(errors="replace").strip()[:300])

    async def _keep(self, program: str) -> None:
        """Start it again when it ends by itself."""
        while True:
            assert self._process is not None
            status = await self._process.wait()
            log.error("Mosquitto ended with status %s; starting it again. Its last line: %s", status, self._said[-1] if self._said else "")
            while True:
                try:
                    await self._on_end()
                    await asyncio.to_thread(_end_former, self._folder)
                    await self._spawn(program)
                    break
                except (BrokerError, OSError, SQLAlchemyError) as error:  # a full disk and a database that is away pass, as do ports in use
                    log.error("%s; trying again in %g s", cause(error), _RESTART_SECONDS)
                    await asyncio.sleep(_RESTART_SECONDS)

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            assert process.stdin is not None
            process.stdin.close()  # the leash
            try:
                await asyncio.wait_for(process.wait(), _END_SECONDS)
            except TimeoutError:
                process.kill()
        await asyncio.to_thread(_end_former, self._folder)  # one whose leash was killed, and which holds what is read here
        if self._reader is not None:
            await self._reader
            self._reader = None


async def end_left(data: Path) -> None:
    """End the Mosquitto that a killed hub has left in this data directory, if there is one."""
    await asyncio.to_thread(_end_former, data.resolve() / _FOLDER)


def _find() -> tuple[str, Path]:
    program = find_mosquitto()
    if program is None:
        raise BrokerError(f"--broker mosquitto: Mosquitto is not installed: {_INSTALL}")
    said = subprocess.run([program, "-h"], capture_output=True, text=True, timeout=10, check=False).stdout
    version = re.search(r"mosquitto version (\d+)\.(\d+)", said)
    if version is None or int(version[1]) < 2:
        shown = "of an unknown version" if version is None else f"version {version[1]}.{version[2]}"
        raise BrokerError(f"--broker mosquitto: {program} is {shown}, which has no dynamic security plugin: {_INSTALL}")
    plugin = find_plugin(program)
    if plugin is None:
        raise BrokerError(f"--broker mosquitto: there is no {PLUGIN} beside {program}: {_INSTALL}")
    return program, plugin


def _end_former(folder: Path) -> None:
    """The Mosquitto of a hub that was killed is ending by itself, unless its leash was killed too: wait for it, then end it."""
    path = folder / "mosquitto.pid"
    with contextlib.suppress(OSError, ValueError, subprocess.TimeoutExpired):
        former = int(path.read_text())
        for number in (None, signal.SIGTERM, signal.SIGKILL):
            if number is not None:
                os.kill(former, number)
            for _ in range(int(_END_SECONDS / 2 / 0.05)):
                if not _is_ours(former, folder):
                    path.unlink()
                    return
                time.sleep(0.05)


def _is_ours(pid: int, folder: Path) -> bool:
    """Whether the process with this number is a Mosquitto of this directory."""
    command = ["ps", "-ww", "-p", str(pid), "-o", "stat=,command="]  # -ww: whole lines, whatever $COLUMNS says
    said = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout
    return str(folder / "mosquitto.conf") in said and not said.lstrip().startswith("Z")
