# RP2040 and RP2350 (Raspberry Pi Pico W and Pico 2 W).
import gc
import os

import machine
from micropython import const

from . import ticks_add, ticks_diff, ticks_ms
from .chip import reset as _reset
from .chip import reset_cause as _reset_cause

# the chip says "watchdog" for a reset by the program too, so that one leaves this file
# in the root: the next start may be in another slot
_MARK = "/reset.mark"
_SLICE_MS = const(4000)  # of sleep, well under the longest that its watchdog takes
_PIECE = const(1024)  # bytes
_LONGEST_MS = const(8388)  # that its watchdog waits
_FEED_MS = const(2000)
_FEEDS = const(10)

_kept = None  # the watchdog that runs


def reset(cause="hard_reset"):
    """Restart the board; the next start says that it was for this."""
    try:
        with open(_MARK, "w") as file:
            file.write(cause)
    except OSError:
        pass  # a full flash: the next start says "watchdog"
    _reset()


def reset_cause():
    """Why the board started: "power_on", "hard_reset" (by the program), "watchdog", "deep_sleep"."""
    cause = _reset_cause()
    try:
        with open(_MARK) as file:
            marked = file.read(20)
        os.remove(_MARK)
    except OSError:
        return cause
    return marked if cause == "watchdog" else cause


def largest_block():
    """Bytes of the largest piece that the heap can still give, to 1 KB: it is tried, which takes some collections."""
    gc.collect()
    low, high = 0, gc.mem_free() // _PIECE + 1
    while high - low > 1:
        middle = (low + high) // 2
        try:
            bytearray(middle * _PIECE)
            low = middle
        except MemoryError:
            high = middle
        gc.collect()
    return low * _PIECE


class _Watchdog:
    # the chip gives 8.4 s of the half minute: a timer feeds it for 20 s more
    def __init__(self):
        self._feed = machine.WDT(timeout=_LONGEST_MS).feed
        self._left = _FEEDS
        self._timer = machine.Timer(-1, mode=machine.Timer.PERIODIC, period=_FEED_MS, callback=self._go_on)

    def feed(self):
        self._left = _FEEDS
        self._feed()

    def _go_on(self, _):
        if self._left:
            self._left -= 1
            self._feed()

    def alone(self):
        # a sleep has the timer's alarm for itself
        self._timer.deinit()


def watchdog(timeout_ms):
    """Something with feed(): the board restarts when it is not called for half a minute; for 8.4 s, when Python stands still too."""
    global _kept
    if not _kept:
        _kept = _Watchdog()
    return _kept


def deep_sleep(ms, feed):
    """Sleep in slices, because the watchdog cannot be stopped, and start anew."""
    if _kept:
        _kept.alone()
    # its clock goes on in a sleep, which ends early for whatever interrupts it: before 1.26 for the network's timer, each 64 ms
    end = ticks_add(ticks_ms(), ms)
    while ms > 0:
        feed()
        if _kept:
            # also where not the agent has started it
            _kept.feed()
        machine.lightsleep(min(ms, _SLICE_MS))
        ms = ticks_diff(end, ticks_ms())
    reset("deep_sleep")


def station():
    """The Wi-Fi station, or None on a Pico without W."""
    try:
        from .rp2_wlan import Station
    except ImportError:
        return None
    return Station()
