# MicroPython's unix port, the virtual board and the tests on the real VM: what every program with a connection uses.
import io
from time import sleep_ms, ticks_add, ticks_diff, ticks_ms  # noqa: F401

HARDWARE = "redpoll-unix"


def sync(file):
    """Bring what was written to the flash; LittleFS does it for one file when it is flushed."""
    file.flush()


# extend(buffer, data): append bytes or the UTF-8 of a str to a bytearray, without a copy in between
extend = bytearray.extend

# what an object derives from so that select.poll can ask its ioctl
Pollable = io.IOBase


def open_socket(family, kind, proto):
    """A socket with connect, setblocking, readinto(buf), write(buf, off, n), close; None from these two means "not now"."""
    import socket

    return socket.socket(family, kind, proto)
