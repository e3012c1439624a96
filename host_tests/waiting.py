"""Waiting for a condition with a deadline."""

import contextlib
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
DEADLINE = 10.0  # seconds


def wait_for(condition: Callable[[], T], what: str = "the condition", seconds: float = DEADLINE) -> T:
    """The first true value of the condition; fails the test after the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what} did not come within {seconds:g} s"
        time.sleep(0.02)


def in_time(measure: Callable[[], int], most: int) -> int:
    """The ms that measure() finds, below `most` once in three times: a machine is late now and then, what is slow is so each time."""
    for _ in range(3):
        ms = measure()
        if ms < most:
            break
    assert ms < most
    return ms


def wait_for_write(path: Path) -> None:
    """Wait until something writes to the file, from this call on."""
    before = path.stat().st_mtime_ns
    wait_for(lambda: path.stat().st_mtime_ns != before, f"a write to {path}", 2 * DEADLINE)


def wait_for_port(port: int) -> None:
    """Wait until something listens there."""

    def listens() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    wait_for(listens, f"a listener on port {port}")
