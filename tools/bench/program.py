"""A script on the MicroPython VM that tells what it does in lines of JSON, among others that it may print."""

import json
import os
import queue
import subprocess
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_SHOWN = 30  # lines in an error


class ProgramError(RuntimeError):
    """It ended, or did not say in time what it was asked for; the text has what it printed last."""


class Program:
    """`code` run by the command `vm` of a MicroPython in `folder`. `started`: time.perf_counter() before."""

    def __init__(self, vm: list[str], code: str, folder: Path, path: str, heap: str = "512K") -> None:
        """`path`: MICROPYPATH, such as peers.bytecode() returns it."""
        self.started = time.perf_counter()
        self._process = subprocess.Popen(
            [*vm, "-X", f"heapsize={heap}", "-c", code],
            cwd=folder,
            env={**os.environ, "MICROPYPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._lines: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()  # an empty one is its end
        self._last: list[bytes] = []
        # a thread, so that each line has the time when it came and not when somebody asked for it
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Of the VM's process."""
        return self._process.pid

    def told(self, key: str, within: float = 30.0, since: float = 0.0, trouble: bytes | None = None) -> tuple[float, dict[str, Any]]:
        """The next object with this key: (time.perf_counter() when it came, the object); those before `since` are passed over.

        Raises ProgramError, also for a second line with `trouble` in it: what is out of memory again and again goes on for ever.
        """
        deadline = time.monotonic() + within
        troubles = 0
        while True:
            try:
                when, line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise ProgramError(f"nothing about {key} within {within:g} s; it printed last:\n{self._shown()}") from None
            if not line:
                raise ProgramError(f"it ended with status {self._process.wait()}; it printed last:\n{self._shown()}")
            troubles += trouble is not None and trouble in line
            if troubles == 2:
                raise ProgramError(f"it is in trouble; it printed last:\n{self._shown()}")
            if line.startswith(b"{") and when >= since and key in (said := json.loads(line)):
                return when, said

    def say(self, **what: Any) -> None:
        """One line of JSON to its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what).encode() + b"\n")
        self._process.stdin.flush()

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for end in (self._process.stdin, self._process.stdout):
            if end is not None:
                end.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put((time.perf_counter(), line))
            self._last = [*self._last[1 - _SHOWN :], line]
        self._lines.put((time.perf_counter(), b""))

    def _shown(self) -> str:
        return b"".join(self._last).decode(errors="replace")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
