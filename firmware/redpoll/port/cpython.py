# CPython: the tests on a laptop.
import os
import sys
import time
import traceback
import uuid

HARDWARE = "redpoll-cpython"

_PERIOD = 1 << 30  # ticks wrap as on a board, so that a wrong comparison fails here too
_HALF = _PERIOD >> 1


def ticks_ms():
    """Milliseconds of a clock that only goes forward and wraps; compare with ticks_diff."""
    return time.monotonic_ns() // 1000000 % _PERIOD


def ticks_add(ticks, delta):
    """The ticks value `delta` ms after `ticks`."""
    return (ticks + delta) % _PERIOD


def ticks_diff(end, start):
    """Milliseconds from `start` to `end`, negative when `end` comes first; right up to half the period."""
    return (end - start + _HALF) % _PERIOD - _HALF


def sleep_ms(ms):
    """Sleep."""
    time.sleep(ms / 1000)


def wall_ms():
    """Milliseconds since 1970 UTC, or None while the chip does not know the time. Here the host knows."""
    return time.time_ns() // 1000000


def unique_id():
    """The machine's own bytes."""
    return uuid.getnode().to_bytes(6, "big")


def free_heap():
    """Bytes that the Python heap has free: CPython has no such figure."""
    return None


def print_exception(error, file=None):
    """Write the traceback of a caught exception."""
    traceback.print_exception(error, file=file or sys.stderr)


def sync(file):
    """Bring what was written to the disk."""
    file.flush()
    os.fsync(file.fileno())
