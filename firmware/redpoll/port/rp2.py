# RP2040 and RP2350: what every program with a connection uses.
from .unix import Pollable, extend, open_socket, sleep_ms, sync, ticks_add, ticks_diff, ticks_ms  # noqa: F401

HARDWARE = "redpoll-rp2"
