"""What comes from outside, checked before the domain takes it: ids, texts, objects, times, numbers."""

import re
from typing import Any

from tools.hub import times
from tools.hub.errors import Invalid

NAME_MAX = 255  # characters in a name, a serial number, a version
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def is_uuid(*values: str) -> bool:
    """Whether each could be an id that the hub has given to something; what could not is nothing that every database takes."""
    return all(_UUID.fullmatch(value) for value in values)


def text(value: object, name: str, *, required: bool = False, limit: int = NAME_MAX) -> str | None:
    """The value as a bounded text that every database takes; None when it is absent and need not be there.

    Raises Invalid.
    """
    if value is None and not required:
        return None
    if not isinstance(value, str) or not value.strip() or len(value) > limit or "\0" in value:
        raise Invalid(f"Invalid {name}: it must be a text of 1 to {limit} characters, none of them NUL")
    return value


def mapping(value: object, name: str) -> dict[str, Any]:
    """The value as an object; empty when it is absent.

    Raises Invalid.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Invalid(f"Invalid {name}: it must be an object")
    return value


def instant(value: object, name: str) -> float | None:
    """The value, an ISO 8601 time, as Unix seconds; None when it is absent.

    Raises Invalid.
    """
    if value is None:
        return None
    try:
        if isinstance(value, str):
            return times.parse(value)
    except ValueError:
        pass
    raise Invalid(f"Invalid {name}: it must be an ISO 8601 time such as 2027-01-31T12:00:00.000Z")


def whole(value: object, name: str) -> int | None:
    """The value as a whole number from 0 to 2^31-1, also when it is written as a text of digits; None when it is absent.

    Raises Invalid.
    """
    if value is None:
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 10:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 0x7FFFFFFF:
        raise Invalid(f"Invalid {name}: it must be a whole number from 0 to 2147483647")
    return value
