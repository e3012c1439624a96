# The time from an NTP server (RFC 5905 §14: SNTP), without waiting for it.
import os
import socket

from micropython import const

from .. import log, port
from ..backoff import Backoff

_PORT = const(123)
_ANSWER_MS = const(3000)
_FIRST_MS = const(4000)
_LONGEST_MS = const(300000)
_DAY_MS = const(86400000)
_LOOK_MS = const(100)  # between two looks for the answer
# seconds from 1900, where NTP begins, to 1970
_EPOCH = 2208988800
# those to 2025: what says that it is earlier has lost the time, as a receiver of GPS does after 1024 weeks
_FIRST = 3944678400


class Ntp:
    """Asks `host` and sets `clock`, once a day when it has answered; `set_wall(unix_ms)` sets the chip's own."""

    def __init__(self, clock, host, set_wall, number=_PORT):
        self._clock = clock
        self._host = host
        self._set_wall = set_wall
        self._number = number
        self._backoff = Backoff(_FIRST_MS, _LONGEST_MS)
        self._not_before = 0
        self._sock = None
        self._asked = 0
        self._token = None
        # why there was no time, or None
        self.trouble = None

    def poll(self):
        """Milliseconds until it wants to be called. Only looking the name up may wait."""
        now = self._clock.ms()
        if now < self._not_before:
            return self._not_before - now
        try:
            if self._sock is None:
                self._ask()
            elif now - self._asked >= _ANSWER_MS:
                # or one that is late: half of what it lay there unread would be added to the time
                return self._fail("no answer")
            else:
                self._take()
        except OSError as error:
            return self._fail(log.describe(error))
        return max(0, self._not_before - now) or _LOOK_MS

    def _ask(self):
        # an RP2's says that every address is one of TCP
        info = socket.getaddrinfo(self._host, self._number, 0, socket.SOCK_DGRAM)[0]
        self._sock = port.open_socket(info[0], socket.SOCK_DGRAM, 0)
        self._sock.connect(info[-1])
        self._sock.setblocking(False)
        packet = bytearray(48)
        packet[0] = 0x23  # version 4, a client
        # the server gives it back as the origin: nobody who has not seen it can answer
        self._token = packet[40:48] = os.urandom(8)
        self._sock.write(packet, 0, 48)
        self._asked = self._clock.ms()

    def _take(self):
        packet = bytearray(48)
        count = self._sock.readinto(packet)
        if count is None or count < 48 or packet[0] & 7 != 4 or packet[24:32] != self._token:
            return
        seconds = int.from_bytes(packet[40:44], "big")
        if 0 < seconds < _EPOCH:
            # since 2036; 0 says that it does not know (RFC 4330 §5)
            seconds += 1 << 32
        if packet[0] >> 6 == 3 or not 0 < packet[1] < 16 or seconds < _FIRST:
            self._fail("it does not know the time itself")
            return
        now = self._clock.ms()
        unix_ms = (seconds - _EPOCH) * 1000 + (int.from_bytes(packet[44:46], "big") * 1000 >> 16) + (now - self._asked) // 2
        self._clock.set(unix_ms, 0)
        # better than any Date header
        self._clock.learned = False
        self._set_wall(unix_ms)
        log.info("the time is from %s", self._host)
        self._end()
        self._backoff.reset()
        self.trouble = None
        self._not_before = now + _DAY_MS

    def _fail(self, why):
        self._end()
        wait = self._backoff.next()
        self._not_before = self._clock.ms() + wait
        why = "NTP %s: %s" % (self._host, why)
        if why != self.trouble:
            log.warning("%s; again in %d s", why, wait // 1000)
        self.trouble = why
        return wait

    def asking(self):
        """Is an answer on its way? It is late by half of what it lies here unread."""
        return self._sock is not None

    def _end(self):
        if self._sock:
            self._sock.close()
            self._sock = None
