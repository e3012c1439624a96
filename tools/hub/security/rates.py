"""How many requests a device may make within 30 s, when the hub is started with a limit (reference xyte §2; nobody knows the vendor's).

Every request counts, also one that is refused because of the limit: who does not pause stays refused. What was not authenticated counts
for the address that it came from. Each hub process counts for itself.
"""

from collections import OrderedDict, deque

from tools.hub.errors import TooMany

WINDOW_SECONDS = 30.0
LIMIT_MAX = 100_000
_KEYS_MAX = 100_000  # devices and addresses that are remembered; beyond it the one that has been silent longest is forgotten


class Rates:
    """Counts requests; without a limit it counts nothing."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def count(self, key: str, now: float) -> None:
        """One more request. Raises TooMany when there were as many as the limit within the last 30 s."""
        if self._limit is None:
            return
        times = self._times.setdefault(key, deque(maxlen=self._limit))
        self._times.move_to_end(key)
        if len(self._times) > _KEYS_MAX:
            self._times.popitem(last=False)
        full = len(times) == self._limit and 0 <= now - times[0] < WINDOW_SECONDS
        times.append(now)  # with it the oldest goes
        if full:
            raise TooMany(f"Too many requests: {self._limit} within {WINDOW_SECONDS:g} s are allowed; pause some seconds")
