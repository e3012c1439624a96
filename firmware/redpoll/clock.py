# Uptime that does not wrap, and wall time once somebody knows it.
from . import port


class Clock:
    """`ticks()` -> wrapping milliseconds, `wall()` -> Unix milliseconds or None: both can be passed in by a test."""

    def __init__(self, ticks=port.ticks_ms, wall=port.wall_ms):
        self._ticks = ticks
        self._wall = wall
        self._last = ticks()
        self._ms = 0
        # does it go by what servers say?
        self.learned = False
        # Unix milliseconds at uptime 0; None until the time is known
        self._epoch = None

    def ms(self):
        """Milliseconds since this clock was made. Ticks wrap after days: call it at least once a day."""
        ticks = self._ticks()
        self._ms += port.ticks_diff(ticks, self._last)
        self._last = ticks
        return self._ms

    def known(self):
        """True when wall time is known."""
        return self.wall_at(0) is not None

    def wall_at(self, uptime_ms):
        """Unix milliseconds of an instant given as uptime, also one in the past; None while the time is unknown."""
        if self._epoch is None:
            wall = self._wall()
            if wall is None:
                return None
            self._epoch = wall - self.ms()
        return self._epoch + uptime_ms

    def set(self, unix_ms, tolerance=2000):
        """Take the time that a server gave. Up to `tolerance` ms of difference change nothing: a Date header has no more."""
        epoch = unix_ms - self.ms()
        if self._epoch is None or abs(epoch - self._epoch) > tolerance:
            self._epoch = epoch

    def iso_at(self, uptime_ms):
        """ISO 8601 UTC with milliseconds of an instant given as uptime, or None while the time is unknown."""
        wall = self.wall_at(uptime_ms)
        return None if wall is None else iso(wall)


def iso(unix_ms):
    """Unix milliseconds -> "2021-08-04T07:45:44.122Z". Own arithmetic: the epoch of `time` differs between ports."""
    seconds, ms = divmod(unix_ms, 1000)
    days, rest = divmod(seconds, 86400)
    year, month, day = _civil(days)
    return "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ" % (year, month, day, rest // 3600, rest // 60 % 60, rest % 60, ms)


def days_until(year, month, day):
    """Days from 1970-01-01 to a date."""
    # years counted from March, so that the leap day is the last of its year
    year -= month < 3
    era_day = year * 365 + year // 4 - year // 100 + year // 400
    return era_day + (153 * ((month + 9) % 12) + 2) // 5 + day - 1 - 719468


def _civil(days):
    days += 719468
    era, day = divmod(days, 146097)
    year = (day - day // 1460 + day // 36524 - day // 146096) // 365
    day -= 365 * year + year // 4 - year // 100
    shifted = (5 * day + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    return era * 400 + year + (month < 3), month, day - (153 * shifted + 2) // 5 + 1
