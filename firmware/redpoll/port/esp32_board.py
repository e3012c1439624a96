# ESP32: what only some programs use, see port/__init__.py.
import time

from .unix_board import free_heap, print_exception, reset, reset_cause, tls_client, tls_wrap, unique_id, watchdog  # noqa: F401

_EPOCH = 0 if time.gmtime(0)[0] == 1970 else 946684800


def wall_ms():
    """Milliseconds since 1970 UTC, or None while the chip does not know the time: its clock starts in 2000."""
    if time.gmtime()[0] < 2024:
        return None
    return time.time_ns() // 1000000 + _EPOCH * 1000


def largest_block():
    """Bytes of the largest piece that ESP-IDF can still give, to the Python heap as well."""
    import esp32

    return max([region[2] for region in esp32.idf_heap_info(esp32.HEAP_DATA)])
