"""A hub as a process of its own: for `redpoll run` and for tests."""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from tools.hub.client import OperatorClient
from tools.hub.data_folder import READY_FILE
from tools.hub.ports import free_port
from tools.paths import ROOT

_START_SECONDS = 30.0
_STOP_SECONDS = 15.0
_OUTPUT_BYTES = 8192


class ProcessError(Exception):
    """The process did not start, or ended by itself; the text has its last output."""


class HubProcess:
    """`redpoll hub` as a subprocess in a session of its own, its data in DIR, its output in DIR/hub.log.

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
        """Of its HTTP side, once it was ready."""
        return str(self._ready["url"])

    @property
    def entry_url(self) -> str:
        """What a board's settings have as `entry`."""
        return f"{self.url}/xyte"

    @property
    def mqtt_url(self) -> str:
        """Of its broker's MQTT 5 listener, once it was ready."""
        return str(self._ready["mqtt_url"])

    @property
    def ca(self) -> Path | None:
        """Its CA's certificate; None without TLS."""
        return Path(self._ready["ca"]) if "ca" in self._ready else None

    @property
    def pid(self) -> int | None:
        """Of the process; None before start() and after stop()."""
        return None if self._process is None else self._process.pid

    @property
    def running(self) -> bool:
        """False before start(), after stop(), and when it has ended by itself."""
        return self._process is not None and self._process.poll() is None

    @property
    def operator(self) -> OperatorClient:
        """A client with this hub's operator key, made when it is first asked for."""
        if self._operator is None:
            self._operator = OperatorClient(self.url, self.operator_key, ca=self.ca)
        return self._operator

    def start(self) -> Self:
        """Start it and wait until it is ready. Raises ProcessError with its last output when it is not."""
        self.data.mkdir(parents=True, exist_ok=True)
        ready = self.data / READY_FILE
        ready.unlink(missing_ok=True)
        self._log = (self.data / "hub.log").open("ab")
        self._port = self._port or free_port()  # the same when it is started again
        arguments = ["hub", "--port", str(self._port), "--broker", self._broker, "--data", str(self.data), "--until-stdin-closes"]
        arguments += [*([] if self._tls else ["--no-tls"]), *self._extra]
        environment = {**os.environ, "REDPOLL_OPERATOR_KEY": self.operator_key}  # not an argument: those are for all to read
        environment.pop("REDPOLL_DATABASE", None)  # a demonstration, a measurement or a test has no place in the operator's own
        self._process = self._spawn(arguments, environment, self._log)
        deadline = time.monotonic() + _START_SECONDS
        while not ready.exists():
            status = self._process.poll()
            if status is not None or time.monotonic() > deadline:
                self.kill()
                how = f"ended with status {status}" if status is not None else f"was not ready within {_START_SECONDS:g} s"
                raise ProcessError(f"the hub {how}:\n{self.output()}")
            time.sleep(0.02)
        self._ready = json.loads(ready.read_text())
        kind = self._broker.partition(":")[0]
        if kind in ("embedded", "mosquitto"):
            self._broker = f"{kind}:{self.mqtt_url.rsplit(':', 1)[1]}"
        return self

    def _spawn(self, arguments: list[str], environment: dict[str, str], log: IO[bytes]) -> "subprocess.Popen[bytes]":
        """`redpoll` with these arguments, in a session of its own. It ends with this process, which holds its standard input."""
        return subprocess.Popen(
            [sys.executable, "-m", "tools.cli", *arguments],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

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
