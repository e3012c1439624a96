# Times as clouds write them. It knows none of them; it lies here because a Pico W has room for a small file in this folder.
from ..clock import days_until


def parse_iso(text):
    """ISO 8601 such as "2021-08-04T07:45:44.122Z" or with an offset like "+01:00" -> Unix milliseconds; None when it is none."""
    try:
        date, _, time = text.partition("T")
        year, month, day = [int(part) for part in date.split("-")]
        offset = 0
        if time.endswith("Z"):
            time = time[:-1]
        else:
            at = max(time.rfind("+"), time.rfind("-"))
            hours, minutes = [int(part) for part in time[at + 1 :].split(":")]
            offset = (hours * 60 + minutes) * (-1 if time[at] == "-" else 1)
            time = time[:at]
        hours, minutes, seconds = time.split(":")
        seconds, _, fraction = seconds.partition(".")
        seconds = ((days_until(year, month, day) * 24 + int(hours)) * 60 + int(minutes) - offset) * 60 + int(seconds)
        return seconds * 1000 + int((fraction + "000")[:3])
    except (ValueError, AttributeError, IndexError, TypeError):
        return None
