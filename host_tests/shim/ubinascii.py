"""umqtt.simple 1.3.4 imports `binascii` by MicroPython's old name."""

from binascii import *  # noqa: F403
