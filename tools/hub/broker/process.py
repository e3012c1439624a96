"""Mosquitto, or the embedded broker alone, as a process of its own: for tests and measurements."""

import contextlib
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

from tools.hub.broker.embedded import configuration
from tools.hub.broker.mosquitto import find_mosquitto
from tools.hub.ports import free_port
from tools.hub.process import ProcessError
from tools.paths import ROOT

_START_SECONDS = 30.0
_STOP_SECONDS = 15.0


class BrokerProcess(ABC):
    """What both have in common: `port` is the loopback port that speaks MQTT 5."""

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Of the port that speaks MQTT 5."""
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def port_311(self) -> int:
        """The port that speaks MQTT 3.1.1."""
        return self.port

    @property
    def pid(self) -> int | None:
        """Of the process; None while there is none."""
        return None if self._process is None else self._process.pid

    @abstractmethod
    def start(self) -> Self:
        """Start it and wait until it listens; again on the same ports after a stop. Raises ProcessError."""

    @abstractmethod
    def stop(self) -> None:
        """End it, if it runs."""

    def again(self) -> Self:
        """Start it again if it has ended, as rumqttd does after a panic (rumqttd.py). Raises ProcessError."""
        if self._process is not None and self._process.poll() is None:
            return self
        self.stop()
        return self.start()

    def kill(self) -> None:
        """End it without a word."""
        process = self._process
        if process is not None:
            process.kill()

    def _wait_for(self, port: int) -> None:
        """Until it listens there. Raises ProcessError if it ends before."""
        deadline = time.monotonic() + _START_SECONDS
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise ProcessError(f"the broker did not start to listen on port {port}")
            time.sleep(0.02)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


class MosquittoProcess(BrokerProcess):
    """Mosquitto with one anonymous listener on the loopback, for tests. Its session log is published, so the hub sees sessions."""

    def __init__(self, port: int = 0, listener: str = "") -> None:
        """`listener`: more lines of configuration for it, such as its certificate."""
        super().__init__(port)
        self._listener = listener
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def start(self) -> Self:
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
        try:
            self._wait_for(self.port)
        except ProcessError as error:
            raise ProcessError(f"mosquitto: {error}\n{(folder / 'log').read_text(errors='replace')}") from None
        return self

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        super().__exit__(kind, error, trace)
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


class EmbeddedProcess(BrokerProcess):
    """The embedded broker alone, without a hub, for tests and measurements."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._beside = 0

    @property
    def port_311(self) -> int:
        return self._beside

    def start(self) -> Self:
        self.port, self._beside = self.port or free_port(), self._beside or free_port()
        config = self._folder / "rumqttd.toml"
        config.write_text(configuration("127.0.0.1", self.port, self.port_311))
        command = [sys.executable, "-m", "tools.hub.broker.rumqttd", str(config)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=ROOT)
        for port in (self.port, self.port_311):
            self._wait_for(port)
        return self

    def stop(self) -> None:
        """Kill it: it keeps nothing that could be lost."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()
