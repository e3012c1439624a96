"""A hub, or a Mosquitto, as a process of its own: for `redpoll run` and for tests."""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from tools.hub.broker import configuration, free_port
from tools.hub.client import READY_FILE, OperatorClient
from tools.hub.mosquitto import find_mosquitto as find_mosquitto  # noqa: PLC0414
from tools.paths import ROOT

_START_SECONDS = 30.0
_STOP_SECONDS = 15.0
_OUTPUT_BYTES = 8192


class ProcessError(Exception):
    """The process did not start, or ended by itself; the text has its last output."""


class HubProcess:
    """`redpoll hub` as a subprocess in a session of its own, its output in DIR/hub.log.

    ::

        with HubProcess(tmp_path) as hub:
            hub.operator.devices()
            hub.stop(); hub.start()     # the same data, the same ports
    """

    def __init__(
        self,
        data: Path,
        port: int = 0,
        broker: str = "embedded:0",
        operator_key: str | None = None,
        extra: tuple[str, ...] = (),
        tls: bool = False,
    ) -> None:
        """`extra`: more options of `redpoll hub`. Without `tls` it is started with --no-tls."""
        self.data = data
        self._tls = tls
        self.operator_key = operator_key or secrets.token_urlsafe(16)
        self._port = port
        self._broker = broker
        self._extra = extra
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self._ready: dict[str, Any] = {}
        self._operator: OperatorClient | None = None

    @property
    def url(self) -> str:
        return str(self._ready["url"])

    @property
    def entry_url(self) -> str:
        """What a board's settings have as `entry`."""
        return f"{self.url}/xyte"

    @property
    def mqtt_url(self) -> str:
        return str(self._ready["mqtt_url"])

    @property
    def ca(self) -> Path | None:
        """Its CA's certificate; None without TLS."""
        return Path(self._ready["ca"]) if "ca" in self._ready else None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def running(self) -> bool:
        """False before start(), after stop(), and when it has ended by itself."""
        return self._process is not None and self._process.poll() is None

    @property
    def operator(self) -> OperatorClient:
        if self._operator is None:
            self._operator = OperatorClient(self.url, self.operator_key, ca=self.ca)
        return self._operator

    def start(self) -> Self:
        """Start it and wait until it is ready. Raises ProcessError with its last output when it is not."""
        self.data.mkdir(parents=True, exist_ok=True)
        ready = self.data / READY_FILE
        ready.unlink(missing_ok=True)
        self._log = (self.data / "hub.log").open("ab")
        command = [sys.executable, "-m", "tools.cli", "hub", "--port", str(self._port), "--broker", self._broker, "--data", str(self.data)]
        command += ["--until-stdin-closes", *([] if self._tls else ["--no-tls"])]
        self._process = subprocess.Popen(
            [*command, *self._extra],
            cwd=ROOT,
            env={**os.environ, "REDPOLL_OPERATOR_KEY": self.operator_key},  # not an argument: those are for all to read
            stdin=subprocess.PIPE,  # held open as long as this process lives: the hub ends with it, however it ends
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        deadline = time.monotonic() + _START_SECONDS
        while not ready.exists():
            status = self._process.poll()
            if status is not None or time.monotonic() > deadline:
                self.kill()
                how = f"ended with status {status}" if status is not None else f"was not ready within {_START_SECONDS:g} s"
                raise ProcessError(f"the hub {how}:\n{self.output()}")
            time.sleep(0.02)
        self._ready = json.loads(ready.read_text())
        self._port = int(self.url.rsplit(":", 1)[1])
        if self._broker.startswith("embedded"):
            self._broker = f"embedded:{self.mqtt_url.rsplit(':', 1)[1]}"
        return self

    def stop(self) -> int:
        """SIGTERM, and wait; returns the exit status. Raises ProcessError when it does not end."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: no time for anything."""
        self._end(signal.SIGKILL)

    def output(self) -> str:
        """The end of what it has printed."""
        with contextlib.suppress(OSError), (self.data / "hub.log").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _OUTPUT_BYTES))
            return file.read().decode(errors="replace")
        return ""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def _end(self, number: signal.Signals) -> int:
        if self._operator is not None:
            self._operator.close()
            self._operator = None
        process, self._process = self._process, None
        if process is None:
            return 0
        if process.poll() is None:
            process.send_signal(number)
        try:
            status = process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise ProcessError(f"the hub did not stop within {_STOP_SECONDS:g} s:\n{self.output()}") from None
        finally:
            if process.stdin is not None:
                process.stdin.close()
            if self._log is not None:
                self._log.close()
                self._log = None
        return status


class MosquittoProcess:
    """Mosquitto with one anonymous listener on the loopback, for tests. Its session log is published, so the hub sees sessions."""

    def __init__(self, port: int = 0, listener: str = "") -> None:
        """`listener`: more lines of configuration for it, such as its certificate."""
        self.port = port
        self._listener = listener
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def start(self) -> Self:
        """Start it and wait until it listens; again on the same port after a stop. Raises ProcessError."""
        program = find_mosquitto()
        if program is None:
            raise ProcessError("mosquitto is not installed: apt install mosquitto")
        self.port = self.port or free_port()
        self._folder = self._folder or tempfile.TemporaryDirectory(prefix="mosquitto-")
        folder = Path(self._folder.name)
        config = folder / "mosquitto.conf"
        config.write_text(
            f"listener {self.port} 127.0.0.1\n{self._listener}"
            "allow_anonymous true\npersistence false\nmax_keepalive 65535\nmax_queued_messages 100000\n"
            "log_dest topic\nlog_dest stderr\nlog_type notice\nlog_type error\nlog_type warning\nconnection_messages true\n"
        )
        with (folder / "log").open("ab") as log:
            self._process = subprocess.Popen([program, "-c", str(config)], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + _START_SECONDS
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return self
            if self._process.poll() is not None or time.monotonic() > deadline:
                output = (folder / "log").read_text(errors="replace")
                self.stop()
                raise ProcessError(f"mosquitto did not start:\n{output}")
            time.sleep(0.02)

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


class EmbeddedProcess:
    """The embedded broker alone, without a hub, for tests and measurements: `port` speaks MQTT 5, `port_311` MQTT 3.1.1."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0
        self.port_311 = 0

    def start(self) -> Self:
        """Start it and wait until both listeners answer; again on the same ports after a stop. Raises ProcessError."""
        self.port, self.port_311 = self.port or free_port(), self.port_311 or free_port()
        config = self._folder / "rumqttd.toml"
        config.write_text(configuration("127.0.0.1", self.port, self.port_311))
        command = [sys.executable, "-m", "tools.hub.rumqttd", str(config)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=ROOT)
        deadline = time.monotonic() + _START_SECONDS
        for port in (self.port, self.port_311):
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    raise ProcessError("the embedded broker did not start")
                time.sleep(0.02)
        return self

    def again(self) -> Self:
        """Start it again if it has ended: it does after a panic, see rumqttd.py."""
        if self._process is not None and self._process.poll() is None:
            return self
        self.stop()
        return self.start()

    def stop(self) -> None:
        """Kill it: it keeps nothing that could be lost."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
