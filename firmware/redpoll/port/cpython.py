# CPython: the tests on a laptop.
import base64
import os
import socket
import ssl
import sys
import tempfile
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


def chip_name():
    """None: there is none here."""
    return None


def unique_id():
    """The machine's own bytes."""
    return uuid.getnode().to_bytes(6, "big")


def folders(path):
    """Names of the folders in a folder."""
    return [entry.name for entry in os.scandir(path) if entry.is_dir()]


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


def extend(buffer, data):
    """Append bytes or the UTF-8 of a str to a bytearray."""
    buffer.extend(data.encode() if isinstance(data, str) else data)


class Pollable:
    """What an object derives from so that select.poll can ask it."""

    def fileno(self):
        """The number that CPython's select.poll wants."""
        return self._raw.fileno()


class _Socket:
    # a socket with the stream methods that MicroPython's has; None means "not now"
    def __init__(self, sock):
        self.use(sock)

    def use(self, sock):
        self._sock = sock
        self.connect = sock.connect
        self.setblocking = sock.setblocking
        self.setsockopt = sock.setsockopt
        self.fileno = sock.fileno
        self.close = sock.close

    def readinto(self, buf):
        try:
            return self._sock.recv_into(buf)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None

    def write(self, buf, off, n):
        try:
            with memoryview(buf)[off : off + n] as view:
                return self._sock.send(view)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None


def open_socket(family, kind, proto):
    """A socket with connect, setblocking, readinto(buf), write(buf, off, n), close; None from these two means "not now"."""
    return _Socket(socket.socket(family, kind, proto))


def tls_client(authorities, certificate, key):
    """An SSLContext that verifies; each argument a list of (PEM label, DER bytes), the last two may be None."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=b"".join(der for _, der in authorities))
    if certificate:
        # CPython reads these from a file only
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            for label, der in certificate + key:
                file.write("-----BEGIN %s-----\n%s-----END %s-----\n" % (label, base64.encodebytes(der).decode(), label))
            file.flush()
            context.load_cert_chain(file.name)
    return context


def tls_wrap(context, sock, host):
    """The TLS side of a connected, non-blocking socket; the handshake goes on with each write or read."""
    if context.verify_mode != ssl.CERT_REQUIRED or not context.check_hostname:
        raise ValueError("the SSLContext does not verify the server")
    # CPython takes the descriptor out of the plain socket, so that the same object goes on with the TLS one
    sock.use(context.wrap_socket(sock._sock, server_hostname=host, do_handshake_on_connect=False))
    return sock


def reset():
    """Restart the board: here the program ends."""
    raise SystemExit("reset")


def reset_cause():
    """Why the board started: nothing tells here."""
    return None


def largest_block():
    """Bytes of the largest piece that the heap can still give: CPython has no such figure."""
    return None


def watchdog(timeout_ms):
    """None: there is none here."""
    return None


def deep_sleep(ms, feed):
    """Off for so long, then a start: here the program ends."""
    raise SystemExit("deep sleep")
