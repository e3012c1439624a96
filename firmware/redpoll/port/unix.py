# MicroPython's unix port: the virtual board, and the tests on the real VM.
import gc
import sys
import time
from time import sleep_ms, ticks_add, ticks_diff, ticks_ms  # noqa: F401

import machine

HARDWARE = "redpoll-unix"


def wall_ms():
    """Milliseconds since 1970 UTC, or None while the chip does not know the time. Here the host knows."""
    return time.time_ns() // 1000000


def unique_id():
    """The chip's own bytes, or None where it has none (then settings.json has to name the device)."""
    read = getattr(machine, "unique_id", None)
    return read() if read else None


def free_heap():
    """Bytes that the Python heap has free, garbage not counted."""
    return gc.mem_free()


def print_exception(error, file=None):
    """Write the traceback of a caught exception."""
    if file is None:
        sys.print_exception(error)
    else:
        sys.print_exception(error, file)


def sync(file):
    """Bring what was written to the flash; LittleFS does it for one file when it is flushed."""
    file.flush()
