"""What a call of the Span facet names and says: collections, devices, fields of bodies, pages of lists."""

from typing import Any

from fastapi import Request
from sqlalchemy import Connection

from tools.hub.domain import cellular, spaces, validation
from tools.hub.domain.model import Device, find_device
from tools.hub.domain.spaces import Space
from tools.hub.domain.validation import mapping
from tools.hub.errors import Invalid, NotFound

PAGE = 512  # messages of a list, when no limit is given
PAGE_MAX = 1000
_DAY = 86_400.0


def space_of(db: Connection, collection_id: object) -> Space:
    """The space of this collection id. Raises NotFound."""
    return spaces.of_collection(db, collection_id if isinstance(collection_id, str) and collection_id.isalnum() else "")


def device_of(db: Connection, collection_id: str, device_id: str) -> Device:
    """The device, which must be in this collection. Raises NotFound."""
    found = find_device(db, device_id)
    if found is None or found.collection_id != collection_id:
        raise NotFound("Device not found in this collection")
    return found


def check_fields(body: dict[str, Any], known: tuple[str, ...]) -> None:
    """Raises Invalid for a field that the hub does not keep."""
    unknown = sorted(set(body) - set(known))
    if unknown:
        raise Invalid(f"Unknown field {unknown[0][:64]!r}: the hub keeps {', '.join(known)}")


def name_of(body: dict[str, Any]) -> str | None:
    """The tag `name`; None when it is not there. Raises Invalid for any other tag."""
    tags = mapping(body.get("tags"), "tags")
    check_fields(tags, ("name",))
    return validation.text(tags.get("name"), "name")


def sim_of(body: dict[str, Any]) -> dict[str, str]:
    """imsi and imei, in their new place or their old one. Raises Invalid."""
    config = mapping(body.get("config"), "config")
    check_fields(config, ("ciot",))
    given: dict[str, Any] = {name: body[name] for name in ("imsi", "imei") if name in body}
    ciot = mapping(config.get("ciot"), "config.ciot")
    check_fields(ciot, ("imsi", "imei"))
    return cellular.checked({**given, **ciot})


def page_of(request: Request, now: float) -> tuple[int, tuple[float, float] | None, int | None]:
    """limit, start and end, offset out of the query. Without any of the last three it is the newest messages. Raises Invalid."""
    query = request.query_params
    start, end, offset, limit = (query.get(name) or None for name in ("start", "end", "offset", "limit"))
    if offset is not None and (start is not None or end is not None):
        raise Invalid("offset cannot be combined with start and end")
    between = None
    if start is not None or end is not None:
        until = now if end is None else (whole(end, "end", 2**53) + 0.999) / 1000  # that millisecond too
        between = (until - _DAY if start is None else whole(start, "start", 2**53) / 1000, until)
    count = PAGE if limit is None else whole(limit, "limit", 2**31 - 1)
    return min(count or PAGE, PAGE_MAX), between, None if offset is None else whole(offset, "offset", 2**53)


def whole(text: str, name: str, most: int) -> int:
    """The whole number from 0 to `most` in this text. Raises Invalid."""
    if not text.isascii() or not text.isdigit() or len(text) > 19 or int(text) > most:
        raise Invalid(f"{name} must be a whole number from 0 to {most}")
    return int(text)
