# TCP and TLS connections that never wait longer than they were told to.
import select
import socket
from errno import EAGAIN, ECONNREFUSED, ECONNRESET, EINPROGRESS, ENOTCONN, ETIMEDOUT

from micropython import const

from .. import port as _port
from ..port import ticks_add, ticks_diff, ticks_ms

_IPPROTO_TCP = const(6)
# a TLS handshake may want to read while it is being written to, so a wait for room looks again this often
_SLICE_MS = const(10)


class Stream(_port.Pollable):
    """A TCP connection, with `tls` (from net.tls.context) a TLS one. After it is open nothing waits except write and poll.

    Opening waits at most timeout_ms, the first write included, because that one completes the TLS handshake; only the name lookup
    cannot be limited. OSError(ETIMEDOUT) when it takes longer, OSError for everything else that fails.
    """

    # does read() wait? For how many ms, None: write_timeout_ms
    _blocking = True
    _limit = None

    def __init__(self, host, port, tls=None, timeout_ms=8000, write_timeout_ms=8000, server_hostname=None):
        self.write_timeout_ms = write_timeout_ms
        self._poller = select.poll()
        # MicroPython's ipoll does not allocate
        self._wait = getattr(self._poller, "ipoll", self._poller.poll)
        deadline = ticks_add(ticks_ms(), timeout_ms)
        self._raw = self.sock = self._connect(host, port, deadline)
        # by when a handshake must be done; None when it is, or where there is none
        self._handshake = None
        if tls:
            self._handshake = deadline
            try:
                self.sock = _port.tls_wrap(tls, self._raw, server_hostname or host)
            except Exception:
                self._raw.close()
                raise
        self._poller.register(self._raw, select.POLLIN)

    def _connect(self, host, port, deadline):
        error = None
        for info in socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM):
            sock = _port.open_socket(info[0], info[1], info[2])
            try:
                self._connect_one(sock, info[-1], deadline)
                return sock
            except Exception as failed:
                sock.close()
                error = failed
                if ticks_diff(deadline, ticks_ms()) <= 0:
                    break
        raise error or OSError(ECONNREFUSED)

    def _connect_one(self, sock, address, deadline):
        try:
            # lwIP without a layer of BSD sockets (RP2) has a number of its own for it
            sock.setsockopt(_IPPROTO_TCP, getattr(socket, "TCP_NODELAY", 1), 1)
        except (OSError, AttributeError, NotImplementedError):
            pass  # not every port has it; one write per packet does without
        sock.setblocking(False)
        try:
            sock.connect(address)
            return
        except OSError as error:
            if error.args[0] not in (EINPROGRESS, EAGAIN):
                raise
        poller = select.poll()
        poller.register(sock, select.POLLOUT)
        events = poller.poll(max(0, ticks_diff(deadline, ticks_ms())))
        if not events:
            raise OSError(ETIMEDOUT)
        if events[0][1] & (select.POLLERR | select.POLLHUP):
            sock.readinto(bytearray(1))  # raises what went wrong
            raise OSError(ECONNREFUSED)

    def readinto(self, buf):
        """Fill buf from its beginning with what is there -> bytes read, 0 for nothing now. OSError(ECONNRESET) at the end."""
        try:
            n = self.sock.readinto(buf)
        except Exception as error:
            return self._none_or_raise(error)
        if n:
            return n
        if n is None:
            return 0
        raise OSError(ECONNRESET)

    def send(self, buf, off, n):
        """Write n bytes of buf from off on, all of them. OSError(ETIMEDOUT) when that takes longer than write_timeout_ms."""
        try:
            done = self.sock.write(buf, off, n)
        except Exception as error:
            done = self._none_or_raise(error)
        if done != n:
            self._write_rest(buf, off, n, done or 0)
        self._handshake = None

    def write(self, buf, n=-1):
        """Write buf, or its first n bytes, as send does -> bytes written."""
        if n < 0:
            n = len(buf)
        self.send(buf, 0, n)
        return n

    def _write_some(self, buf, off, n):
        try:
            return self.sock.write(buf, off, n) or 0
        except Exception as error:
            return self._none_or_raise(error)

    def _write_rest(self, buf, off, n, done):
        deadline = self._handshake
        if deadline is None:
            deadline = ticks_add(ticks_ms(), self.write_timeout_ms)
        while done < n:
            left = ticks_diff(deadline, ticks_ms())
            if left <= 0:
                raise OSError(ETIMEDOUT)
            self._wait_room(min(left, _SLICE_MS))
            done += self._write_some(buf, off + done, n - done)

    def ready(self):
        """Is there room for a small packet?"""
        return self._handshake is not None or self._raw is None or self._room(0)

    def _room(self, ms):
        self._poller.modify(self._raw, select.POLLOUT)
        found = self._poller.poll(ms)
        self._poller.modify(self._raw, select.POLLIN)
        return bool(found)

    def _wait_room(self, ms):
        # in a handshake there is always room to write, what is waited for is the other side's answer
        if self._handshake is None:
            self._room(ms)
        else:
            self._wait(ms)

    def poll(self, timeout_ms):
        """Wait until something may have come, at most timeout_ms. Call it only after readinto gave 0: TLS may hold data back."""
        self._wait(timeout_ms)

    def __getattr__(self, name):
        # for code that reads umqtt's client.sock itself
        if name not in ("read", "setblocking", "settimeout", "ioctl", "patience"):
            raise AttributeError(name)
        from . import adopted

        function = getattr(adopted, name)
        return lambda *args: function(self, *args)

    def close(self):
        """Close it; harmless when it is closed."""
        sock = self.sock
        if sock is None:
            return
        self.sock = None
        try:
            sock.close()
            if self._raw is not sock:
                self._raw.close()
        except OSError:
            pass  # the other side was faster
        self._raw = None

    def _none_or_raise(self, error):
        # "not now" has several faces, and what a TLS library raises has other types on other ports
        if self.sock is None:
            raise OSError(ENOTCONN)
        if not isinstance(error, OSError):
            raise error if not isinstance(error, ValueError) else OSError("TLS: " + str(error).strip())
        if error.args and error.args[0] in (EAGAIN, ETIMEDOUT):
            return 0
        raise error
