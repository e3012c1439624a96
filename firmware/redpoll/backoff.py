# Waits between attempts: exponential with full jitter, so that a fleet does not come back in one instant.
import os

from micropython import const

_FIRST_MS = const(1000)
_LONGEST_MS = const(300000)


def random16():
    """A random number of 16 bits."""
    low, high = os.urandom(2)
    return low | high << 8


class Backoff:
    """Waits of 1 s to 5 min. `random16()` -> 0..65535 can be passed in by a test."""

    def __init__(self, first_ms=_FIRST_MS, longest_ms=_LONGEST_MS, random16=random16):
        self.first_ms = first_ms
        self.longest_ms = longest_ms
        self.random16 = random16
        self._limit = first_ms

    def next(self):
        """Milliseconds to wait after one more failure: anything up to a ceiling that doubles each time, at least 1 s."""
        limit = self._limit
        self._limit = min(2 * limit, self.longest_ms)
        return max(self.first_ms, limit * self.random16() // 65535)

    def reset(self):
        """An attempt succeeded."""
        self._limit = self.first_ms
