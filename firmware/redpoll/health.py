# How the device itself does: why and how often it started, what ended it, and what the loop has left.
import os

from micropython import const

from . import log, port
from .fields import is_whole
from .flash.record import Record

_TRACE = const(400)  # characters of a traceback, its end


class Health:
    """`path` is where the number of starts is kept. Making one counts a start."""

    def __init__(self, path):
        self._record = Record(path)
        stored = self._record.load_sound({}, _sound)
        self.starts = stored.get("starts", 0) + 1
        # the last lines of the exception that ended the program before this start, or None
        self.ended_by = stored.get("exception")
        self.cause = port.reset_cause()
        self._record.try_save({"starts": self.starts})
        # does boot.py keep the product's code from running?
        self.safe = os.getcwd() == "/safe"
        if self.safe:
            log.warning("safe mode: ten starts in a row went wrong; the next tries main.py")
        log.info("start %d, after %s", self.starts, self.cause or "an unknown reset")
        if self.cause == "watchdog":
            log.warning("the watchdog restarted the board: what takes long calls agent.feed()")
        if self.ended_by:
            log.warning("the program before was ended by %s", self.ended_by)

    def readings(self):
        """What a heartbeat carries whatever the link does: a dict of readings."""
        told = {"starts": self.starts, "uptime_s": log.seconds()}
        for name, value in (
            ("reset_cause", self.cause),
            ("safe_mode", self.safe or None),
            ("heap_free_bytes", port.free_heap()),
            ("heap_largest_bytes", port.largest_block()),
        ):
            if value is not None:
                told[name] = value
        return told

    def keep(self, error):
        """The program ends with this exception: the next start tells of it."""
        try:
            why = log.traceback(error)[-_TRACE:]
        except MemoryError:
            why = type(error).__name__
        self._record.try_save({"starts": self.starts, "exception": why})


def _sound(stored):
    return isinstance(stored, dict) and is_whole(stored.get("starts")) and isinstance(stored.get("exception", ""), str)
