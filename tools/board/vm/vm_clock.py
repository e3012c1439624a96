# A chip's clock: it begins at the chip's own first day when the power comes, RTC.datetime sets it, and it counts from the port's epoch.
import sys
import time as _time

from vm_control import state, tell

_EPOCH = 0 if state["epoch"] == 1970 else 946684800
STEP = 10  # ms after which a sleep looks at the pins
_shift = state["clock_ms"]  # ms between this machine's clock and the chip's
_began = _time.ticks_add(_time.ticks_ms(), -state["uptime_ms"])
_TICKS = _time.ticks_add(0, -1)  # the largest
_calling = False  # is one of them being called?
watched = []  # Pin.irq and Timer: functions that are called during a sleep


def _now_ms():
    return _time.time_ns() // 1000000 + _shift


def set_to(seconds):
    """The chip's clock now shows so many seconds since 1970."""
    global _shift
    _shift = seconds * 1000 - _time.time_ns() // 1000000
    tell(b"clock %d" % _shift)


def ticks_ms():
    """Milliseconds since the chip started; a soft reset leaves them."""
    return (_time.ticks_ms() - _began) & _TICKS


def utc():
    """(year, month, day, hour, minute, second, weekday, yearday) now."""
    return _time.gmtime(_now_ms() // 1000)[:8]


def time():
    return _now_ms() // 1000 - _EPOCH


def time_ns():
    return (_now_ms() - _EPOCH * 1000) * 1000000


def gmtime(secs=None):
    return _time.gmtime(_now_ms() // 1000 if secs is None else int(secs) + _EPOCH)[:8]


localtime = gmtime  # no port knows time zones


def mktime(t):
    days = _days(t[0], t[1], t[2])
    return ((days * 24 + t[3]) * 60 + t[4]) * 60 + t[5] - _EPOCH


def _days(year, month, day):
    # days since 1970-01-01 of a date of the proleptic Gregorian calendar
    year += (month - 1) // 12
    month = (month - 1) % 12 + 1
    if month <= 2:
        year -= 1
        month += 12
    return 365 * year + year // 4 - year // 100 + year // 400 + (153 * month - 457) // 5 + day - 719469


def look():
    """Call what waits for a level or for a time. As on a chip one that raises is told and ends nothing, and none interrupts another."""
    global _calling
    if _calling:
        return
    _calling = True
    try:
        for one in watched:
            try:
                one()
            except Exception as error:  # noqa: BLE001
                sys.print_exception(error)
    finally:
        _calling = False


def sleep_ms(ms):
    if not watched:
        _time.sleep_ms(ms)
        return
    start = _time.ticks_ms()
    while True:
        look()
        left = ms - _time.ticks_diff(_time.ticks_ms(), start)
        if left <= 0:
            return
        _time.sleep_ms(min(left, STEP))


def sleep(seconds):
    sleep_ms(int(seconds * 1000))
