"""umqtt.simple 1.3.4 imports `struct` by MicroPython's old name."""

from struct import *  # noqa: F403
