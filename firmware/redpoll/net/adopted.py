# umqtt's client.sock, when the application reads it itself or puts a socket-like object of its own there.
import select
from errno import ECONNRESET, ETIMEDOUT

from micropython import const

from ..port import sleep_ms, ticks_diff, ticks_ms
from .stream import Stream

_PAUSE_MS = const(10)
_LOOK_MS = const(1000)
# MP_STREAM_POLL
_POLL = const(3)


def adopt(client):
    """Somebody has put another socket-like object into the client's sock."""
    if client._seen is None:
        client._forget_link()
    client._seen = client._io = sock = client.sock
    if not isinstance(sock, Stream):
        client._io = Adopted(sock, client._ack_ms)


# what a Stream does for code that reads it itself


def setblocking(stream, flag):
    """Whether read() waits. As on a board that is the end of a timeout."""
    stream._blocking = flag
    stream._limit = None


def settimeout(stream, seconds):
    """How long read() and wait_msg() wait. None: read() for write_timeout_ms, wait_msg() for ever."""
    stream._blocking = seconds is None or seconds > 0
    stream._limit = max(1, int(seconds * 1000)) if seconds else None


def patience(stream, since):
    """How many ms wait_msg() of umqtt.simple, which waits since then, looks next. OSError(ETIMEDOUT) when its time is over."""
    if not stream._blocking:
        stream._blocking = True  # that holds for one wait_msg()
        return 0
    left = _LOOK_MS
    if stream._limit:
        left = min(left, stream._limit - ticks_diff(ticks_ms(), since))
        if left <= 0:
            raise OSError(ETIMEDOUT)
    return left


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
                if not stream._poller.poll(stream._limit or stream.write_timeout_ms):
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
    ready = (argument & select.POLLOUT) | (events[0][1] if events else 0)
    return ready | argument & select.POLLIN if _holds(stream) else ready


def _holds(stream):
    # is there something to handle that the socket knows nothing of? It came behind an answer, or in a large record of TLS
    client = getattr(stream, "client", None)
    if client and (client._queue or client._w > client._r and client._begun is None):
        return True
    if stream.sock is stream._raw:
        return False
    poller = select.poll()
    poller.register(stream.sock, select.POLLIN)
    return bool(poller.poll(0))


class Adopted(Stream):
    """Somebody else's socket-like object (read, write, setblocking) in the place of a Stream. Reading is tried every few ms."""

    def __init__(self, sock, write_timeout_ms=8000):
        self.write_timeout_ms = write_timeout_ms
        self._raw = self.sock = sock
        self._handshake = None
        # has its write ever said how much it took? Before that None is not "not now" but a write that returns nothing
        self._counts = False

    def readinto(self, buf):
        """As Stream.readinto."""
        try:
            # every time: the owner may have set it back, and on a board that also wipes a timeout
            self.sock.setblocking(False)
            # some give all that is asked for or nothing, so there is one byte that they can give
            data = self.sock.read(1)
        except Exception as error:
            return self._none_or_raise(error)
        if data is None:
            return 0
        if not data:
            raise OSError(ECONNRESET)
        buf[0] = data[0]
        try:
            data = self.sock.read(len(buf) - 1) or b""
        except Exception:
            return 1  # it comes again with the next byte
        n = 1 + len(data)
        buf[1:n] = data
        return n

    def close(self):
        """As Stream.close; umqtt.simple itself wants a close() for disconnect only."""
        try:
            super().close()
        except AttributeError:
            self._raw = None

    def send(self, buf, off, n):
        """As Stream.send."""
        self._write_rest(buf, off, n, self._write_some(buf, off, n))

    def _write_some(self, buf, off, n):
        try:
            self.sock.setblocking(False)
            done = self.sock.write(bytes(memoryview(buf)[off : off + n]))
        except Exception as error:
            self._counts = True
            return self._none_or_raise(error)
        if done is None:
            return 0 if self._counts else n
        self._counts = True
        return done

    def ready(self):
        """Nothing tells."""
        return True

    def _wait_room(self, ms):
        sleep_ms(ms)

    def poll(self, timeout_ms):
        """As Stream.poll; since nothing tells when data comes it returns after a short pause."""
        sleep_ms(min(timeout_ms, _PAUSE_MS))
