# Messages kept until the cloud has acknowledged them, oldest first. This part holds them in RAM.


class Spool:
    """Bounded by the bytes of its messages: when it is full the oldest goes, and `dropped` counts it."""

    def __init__(self, most_bytes):
        self._most = most_bytes
        self._bytes = 0
        # [number, uptime in ms when it was taken, body], oldest first; the first `_sent` are on their way
        self._items = []
        self._sent = 0
        self._number = 0
        self.dropped = 0

    def __len__(self):
        return len(self._items)

    def append(self, taken_ms, body):
        """Keep one message (bytes). Returns its number. ValueError when it alone is larger than the spool."""
        if len(body) > self._most:
            raise ValueError("a message of %d bytes does not fit a spool of %d" % (len(body), self._most))
        while self._bytes + len(body) > self._most:
            self._remove(0)
            self.dropped += 1
        self._number += 1
        self._items.append((self._number, taken_ms, body))
        self._bytes += len(body)
        return self._number

    def peek(self):
        """The oldest message that is not on its way, as (number, taken_ms, body), or None."""
        return self._items[self._sent] if self._sent < len(self._items) else None

    def sent(self):
        """What peek() showed has been handed to the link."""
        self._sent += 1

    def acknowledge(self, number):
        """The cloud has this message: forget it. Unknown numbers are of messages that were dropped."""
        for index in range(self._sent):
            if self._items[index][0] == number:
                self._remove(index)
                return

    def rewind(self):
        """The link is gone: what was on its way has to be sent again."""
        self._sent = 0

    def _remove(self, index):
        self._bytes -= len(self._items.pop(index)[2])
        if index < self._sent:
            self._sent -= 1
