# Waits between attempts: exponential with full jitter, so that a fleet does not come back in one instant.
import os

from micropython import const

_FIRST_MS = const(1000)
_LONGEST_MS = const(300000)


def _random16():
    low, high = os.urandom(2)
    return low | high << 8


class Backoff:
    """Waits of 1 s to 5 min. `random16()` -> 0..65535 can be passed in by a test."""

    def __init__(self, first_ms=_FIRST_MS, longest_ms=_LONGEST_MS, random16=_random16):
        self._first = first_ms
        self._longest = longest_ms
        self._random16 = random16
        self._ceiling = first_ms

    def next(self):
        """Milliseconds to wait after one more failure: anything up to a ceiling that doubles each time, at least 1 s."""
        ceiling = self._ceiling
        self._ceiling = min(2 * ceiling, self._longest)
        return max(self._first, ceiling * self._random16() // 65535)

    def reset(self):
        """An attempt succeeded."""
        self._ceiling = self._first
