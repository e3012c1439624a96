"""The firmware's modules for tests: in this process, and in scripts of their own on CPython with the shim and on the MicroPython VM."""

import contextlib
import json
import os
import selectors
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tools.device_code import borrowed_imports
from tools.paths import FIRMWARE, LIB, ROOT, SHIM
from tools.vm import find_vm

INTERPRETERS = ("cpython", "micropython")
_DEVICE = ROOT / "host_tests" / "device"


def firmware_here(*more: Path) -> contextlib.AbstractContextManager[None]:
    """Within it this process can import the firmware, with the shim, what the device tests play to it, and what lies in `more`."""
    return borrowed_imports([SHIM, FIRMWARE, LIB, _DEVICE, *more])


def command(interpreter: str, *arguments: str, heap: str = "400K", firmware: Path = FIRMWARE) -> tuple[list[str], dict[str, str]]:
    """How to run a script with the firmware's modules, or those in another folder, and what device tests share, on one interpreter."""
    if interpreter == "cpython":
        return [sys.executable, *arguments], {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (SHIM, firmware, LIB, _DEVICE)))}
    return [str(find_vm()), "-X", f"heapsize={heap}", *arguments], {**os.environ, "MICROPYPATH": f"{firmware}:{LIB}:{_DEVICE}:.frozen"}


def run(interpreter: str, *arguments: str, heap: str = "400K", firmware: Path = FIRMWARE) -> str:
    """Run a script to its end, which must be a good one -> what it printed."""
    line, env = command(interpreter, *arguments, heap=heap, firmware=firmware)
    ran = subprocess.run(line, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


class Script:
    """A script that answers each line of JSON on its standard input with one on its standard output."""

    def __init__(self, interpreter: str, path: Path, heap: str = "400K") -> None:
        line, env = command(interpreter, str(path), heap=heap)
        self._process = subprocess.Popen(line, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self._selector = selectors.DefaultSelector()
        assert self._process.stdout is not None and self._process.stdin is not None
        self._output, self._input = self._process.stdout, self._process.stdin
        self._selector.register(self._output, selectors.EVENT_READ)
        self._said = b""

    def ask(self, within: float, **question: Any) -> Any:
        """Its answer; the test fails when there is none after so many seconds, or when the script ends."""
        self._input.write(json.dumps(question).encode() + b"\n")
        self._input.flush()
        deadline = time.monotonic() + within
        while b"\n" not in self._said:
            assert self._selector.select(max(0.0, deadline - time.monotonic())), f"no answer for {within:g} s: {self._said!r}"
            part = os.read(self._output.fileno(), 65536)
            assert part, f"the script has ended: {self._said.decode(errors='replace')}"
            self._said += part
        line, _, self._said = self._said.partition(b"\n")
        try:
            return json.loads(line)
        except ValueError:
            # a traceback: what follows belongs to it
            raise AssertionError((line + b"\n" + self._said + self._rest()).decode(errors="replace")) from None

    def _rest(self) -> bytes:
        try:
            return self._process.communicate(timeout=5)[0]
        except subprocess.TimeoutExpired:
            return b""

    def __enter__(self) -> "Script":
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait()
        self._selector.close()
        self._input.close()
        self._output.close()
