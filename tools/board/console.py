"""What a virtual board has said: the lines of its console, and waiting for one."""

import re
import threading
import time
from collections import deque
from collections.abc import Callable

_LINES_KEPT = 5000


class Console:
    """The last lines, of all starts; `count` is how many there have been. Lines come from one thread and are asked for from any."""

    def __init__(self, on_line: Callable[[str], None] | None) -> None:
        self._on_line = on_line
        self._lines: deque[str] = deque(maxlen=_LINES_KEPT)
        self._changed = threading.Condition()
        self.count = 0

    def lines(self) -> list[str]:
        """Those that are kept, oldest first."""
        with self._changed:
            return list(self._lines)

    def add(self, line: str) -> None:
        """One more line, without its end."""
        with self._changed:
            self._lines.append(line)
            self.count += 1
            self._changed.notify_all()
        if self._on_line:
            self._on_line(line)

    def wake(self) -> None:
        """Have find() look again whether the board is alive."""
        with self._changed:
            self._changed.notify_all()

    def find(self, pattern: re.Pattern[str], since: int, deadline: float, alive: Callable[[], bool]) -> re.Match[str] | None:
        """The first match in a line from number `since` on; None at the deadline (time.monotonic()), or when the board is not alive
        and has not said it.
        """
        with self._changed:
            while True:
                still_alive = alive()  # before looking: the last lines come before the end
                first = self.count - len(self._lines)
                for number, line in enumerate(self._lines, first):
                    if number >= since and (found := pattern.search(line)):
                        return found
                since = self.count
                left = deadline - time.monotonic()
                if not still_alive or left <= 0:
                    return None
                self._changed.wait(left)
