# ruff: noqa: UP031 - runs on MicroPython too
# Records and the spool over a power cut: what the caller was told, and what must hold at the next boot. Runs on both interpreters.
import os

from redpoll.clock import Clock
from redpoll.flash.record import Record
from redpoll.flash.spool import Spool

MESSAGES = 200
_WINDOW = 4


class Ticks:
    """A clock that the scenario turns."""

    def __init__(self):
        self.ms = 0

    def __call__(self):
        return self.ms


class Scenario:
    """One life of a board. `work()` is cut off somewhere; `check()` comes after the next mount and says what it found.

    Any other scenario has the same two and, if a second cut is to hit the recovery, `resume()`. This object is what the world
    outside the board knows, and outlives the cut.
    `exact` is for a file system that shows a file's new content whole or not at all.
    """

    def __init__(self, exact=True):
        self.exact = exact
        # record: the values that a load may give, the last one is that of the save under way
        self.records = {"credentials": [None], "config": [None]}
        self.largest = 0  # highest number that the caller was given
        self.attempted = -1  # highest message whose append was begun
        self.durable = {}  # number -> index of a message that is on flash for sure
        self.acknowledged = {}
        self.brought_back = 0
        self.restarts = 0

    def work(self):
        """Save records, spool and acknowledge 200 messages through a healthy link, an outage, a replay and four restarts."""
        at = self._boot(0, range(60), linked=True, hold=0)
        at = self._boot(at, range(60, 120), linked=False, hold=0)
        at = self._boot(at, range(120, 140), linked=True, hold=8000)
        at = self._boot(at, range(140, 160), linked=True, hold=0)
        self._boot(at, range(160, MESSAGES), linked=False, hold=30000)

    def resume(self):
        """The boot after a cut, which is cut off too: 12 messages through a healthy link, and what was left before."""
        self._boot(0, range(self.attempted + 1, self.attempted + 13), linked=True, hold=0)

    def _boot(self, ms, indexes, linked, hold):
        ticks = Ticks()
        clock = Clock(ticks, lambda: 1628063144122 if linked else None)
        spool = Spool(1500, "spool", 65536, hold, clock)
        self.restarts += 1
        pending = {}
        for index in indexes:
            ticks.ms += 5000
            self.attempted = index
            number = spool.append(clock.ms(), body(index))
            self.largest = number
            pending[number] = index
            spool.poll()
            self._note(spool, pending)
            if linked:
                self._replay(spool, pending)
            if index % 10 == 3:
                self._save("config", {"version": index, "values": ["x" * (index % 100)]})
            if index % 70 == 5:
                self._save("credentials", {"id": "device", "access_key": "key %d" % index})
        # an orderly restart
        spool.flush()
        self._note(spool, pending)
        return ms + ticks.ms

    def _note(self, spool, pending):
        # all but those that only RAM has, the last ones, are durable
        numbers = sorted(pending)
        for number in numbers[: len(numbers) - len(spool._ram)]:
            self.durable[number] = pending.pop(number)

    def _replay(self, spool, pending):
        sent = []
        while len(sent) < _WINDOW:
            # live data first, then one step of the replay
            message = spool.latest() or spool.peek()
            if message is None:
                break
            spool.sent(message[0])
            sent.append(message)
        # the last one is acknowledged first; one in five is not acknowledged before the link breaks
        for number, _, data in reversed(sent):
            if index_of(data) % 5 == 4 and len(sent) > 1:
                continue
            # the cloud has it from here on, whatever happens in acknowledge()
            self.acknowledged[number] = index_of(data)
            pending.pop(number, None)
            spool.acknowledge(number)
        if len(sent) == _WINDOW:
            spool.rewind()

    def _save(self, name, value):
        may = self.records[name]
        may.append(value)
        Record(name).save(value)
        self.records[name] = [value]

    def check(self):
        """The next boot: AssertionError unless it finds a valid state and can go on."""
        for name, may in self.records.items():
            value = Record(name).load()
            assert value in may, "%s: %r, not one of %r" % (name, value, may)
        ticks = Ticks()
        spool = Spool(1500, "spool", 65536, 0, Clock(ticks, lambda: None))
        assert spool.damaged == 0 if self.exact else spool.damaged <= 2, "%d damaged" % spool.damaged
        found = {}
        last = (0, -1)
        while True:
            message = spool.peek()
            if message is None:
                break
            number, _, data = message
            index = index_of(data)
            assert data == body(index), "message %d is damaged" % index
            assert number > last[0] and index > last[1], "%d, %d after %r" % (number, index, last)
            last = (number, index)
            assert index <= self.attempted, "message %d was never written" % index
            found[number] = index
            if number in self.acknowledged:
                self.brought_back += 1
            spool.sent(number)
        for number, index in self.durable.items():
            assert number in self.acknowledged or found.get(number) == index, "message %d is lost" % index
        assert spool.dropped == 0
        for number in found:
            spool.acknowledge(number)
        assert len(spool) == 0, "%d left" % len(spool)
        # a number is never given out twice, and life goes on
        number = spool.append(0, b"again")
        assert number > self.largest and number not in found, "number %d again, after %d" % (number, self.largest)
        for name in self.records:
            Record(name).save("again")
        spool = Spool(1500, "spool", 65536, 0, Clock(ticks, lambda: None))
        assert (spool.peek()[0], spool.peek()[2]) == (number, b"again")
        assert len(spool) == 1
        for name in self.records:
            assert Record(name).load() == "again"
        assert sorted([name for name in os.listdir() if name != "spool"]) in (["config", "credentials"],), os.listdir()


def body(index):
    """The message with this index: 120 to 219 bytes."""
    return b'{"n": %d, "x": "%s"}' % (index, b"x" * (105 + index % 100))


def index_of(data):
    """Which message it is."""
    return int(data[6 : data.find(b",")])
