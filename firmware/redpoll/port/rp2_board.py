# RP2040 and RP2350: what only some programs use, see port/__init__.py.
import time

from .unix_board import free_heap, largest_block, print_exception, reset, reset_cause, tls_client, tls_wrap, unique_id, watchdog  # noqa: F401


def wall_ms():
    """Milliseconds since 1970 UTC, or None while the chip does not know the time: its clock starts in 2021."""
    if time.gmtime()[0] < 2024:
        return None
    return time.time_ns() // 1000000
