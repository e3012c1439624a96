# Stream for code that reads umqtt's client.sock itself. Loaded when it does.
import select
from errno import ECONNRESET, ETIMEDOUT

from micropython import const

# MP_STREAM_POLL
_POLL = const(3)


def setblocking(stream, flag):
    """Whether read() waits."""
    stream._blocking = flag


def settimeout(stream, seconds):
    """Whether read() waits; how long is write_timeout_ms."""
    stream._blocking = seconds is None or seconds > 0


def read(stream, n):
    """n bytes; not blocking what is there, None for nothing. OSError(ETIMEDOUT) when nothing comes, fewer or b"" at the end."""
    data = bytearray(n)
    done = 0
    try:
        while done < n:
            got = stream.readinto(memoryview(data)[done:])
            done += got
            if not got:
                if not stream._blocking:
                    return bytes(data[:done]) if done else None
                if not stream._poller.poll(stream.write_timeout_ms):
                    raise OSError(ETIMEDOUT)
    except OSError as error:
        if error.args[0] != ECONNRESET:
            raise
    return bytes(data[:done])


def ioctl(stream, request, argument):
    """MicroPython's select.poll asks this."""
    if request != _POLL or stream.sock is None:
        return -1 if request != _POLL else select.POLLHUP
    events = stream._poller.poll(0)
    return (argument & select.POLLOUT) | (events[0][1] if events else 0)
