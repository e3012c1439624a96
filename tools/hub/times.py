"""Times as the wires write them. Inside the hub a time is seconds since 1970, UTC, as float."""

from datetime import UTC, datetime, timedelta

_END = datetime(9999, 12, 31, tzinfo=UTC).timestamp()


def iso(seconds: float) -> str:
    """ISO 8601 UTC with milliseconds, as seed 000 shows it: 2021-08-04T07:45:44.122Z."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def plain(seconds: float) -> str:
    """The form of seed 003's activities: 2024-04-25 20:23:36 (UTC)."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def local(seconds: float, utc_offset: int) -> str:
    """Local time with its offset in minutes, as seed 001's space info has it: 2022-03-17T10:55:28+01:00."""
    moved = datetime.fromtimestamp(int(seconds), UTC) + timedelta(minutes=utc_offset)
    hours, minutes = divmod(abs(utc_offset), 60)
    return f"{moved:%Y-%m-%dT%H:%M:%S}{'-' if utc_offset < 0 else '+'}{hours:02d}:{minutes:02d}"


def parse(text: str) -> float:
    """Seconds of an ISO 8601 time from 1970 to 9999; without an offset it is UTC.

    Raises ValueError for anything else.
    """
    if not 10 <= len(text) <= 40 or "T" not in text:
        raise ValueError("not an ISO 8601 time")
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    seconds = moment.timestamp()
    if not is_writable(seconds):
        raise ValueError("not a time that the hub can write")
    return seconds


def is_writable(seconds: float) -> bool:
    """Whether it is a time from 1970 to 9999."""
    return 0 <= seconds < _END
