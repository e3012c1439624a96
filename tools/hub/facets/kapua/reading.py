"""What a call of the Kapua facet names and says: devices, operations, queries in an address or a body, credentials."""

import re
from collections.abc import Mapping
from typing import Any

from fastapi import Request
from sqlalchemy import Connection

from tools.hub.domain import devices, operations
from tools.hub.domain.model import Device, find_device
from tools.hub.domain.operations import Operation, Page
from tools.hub.facets import wire
from tools.hub.facets.kapua import shapes
from tools.hub.facets.kapua.shapes import EntityNotFound, IllegalArgument

LIMIT_MAX = 1000
OPERATION_SORTS = {
    "id": "id", "operationId": "number", "resource": "resource", "status": "status", "startedOn": "started_at", "endedOn": "ended_at",
    "createdOn": "created_at", "modifiedOn": "updated_at",
}  # fmt: skip
NOTIFICATION_SORTS = {
    "id": "id", "resource": "resource", "status": "status", "progress": "progress", "message": "message", "sentOn": "sent_at",
    "createdOn": "created_at",
}  # fmt: skip
QUERY = ("offset", "limit", "askTotalCount", "sortParam", "sortDir", "resource")
_DIGITS = re.compile(r"-?\d{1,10}", re.ASCII)


def device_of(db: Connection, device_id: str) -> Device:
    """The device of a compact id, or of the hub's own. Raises IllegalArgument and EntityNotFound."""
    if devices.is_device_id(device_id):
        number, found = operations.number_of(device_id), find_device(db, device_id)
    else:
        number = read_id(device_id, "deviceId")
        found = devices.find_by_number(db, number)
    if found is None:
        raise EntityNotFound(shapes.DEVICE, shapes.compact(number))
    return found


def operation_of(db: Connection, device_id: str, operation_id: str) -> Operation:
    """The operation at this path. Raises IllegalArgument and EntityNotFound."""
    device, number = device_of(db, device_id), read_id(operation_id, "operationId")
    found = operations.find(db, device.id, number)
    if found is None:
        raise EntityNotFound(shapes.OPERATION, shapes.compact(number))
    return found


def read_id(text: str, name: str) -> int:
    """The number of a compact id. Raises IllegalArgument."""
    number = shapes.number(text)
    if number is None:
        raise IllegalArgument(name, text, "an id is a number in base64url without padding")
    return number


def counting(page: Page) -> Page:
    """The same matches, none of them wanted but their number."""
    return Page(limit=0, resource=page.resource, total=True)


async def read_body(request: Request) -> dict[str, Any]:
    """A JSON object, which must be there. Raises IllegalArgument and Malformed."""
    body = await wire.read_body(request)
    if not body:
        raise IllegalArgument("body", None, "it is required and must be a JSON object")
    return wire.decode_object(body)


def parse_query(asked: Mapping[str, Any], sorts: Mapping[str, str], *, text: bool = False, allowed: tuple[str, ...] = QUERY) -> Page:
    """The page out of a query string (`text`: numbers and booleans are texts in it) or a body. Raises IllegalArgument."""
    for key, value in asked.items():
        if key not in allowed and key != "type" and value not in (None, [], {}, ""):
            raise IllegalArgument(key[:64], None, f"a query takes {', '.join(sorted(allowed))}")
    sort, direction, resource = (_optional_text(asked.get(name), name) for name in ("sortParam", "sortDir", "resource"))
    if sort is not None and sort not in sorts:
        raise IllegalArgument("sortParam", sort, f"it must be one of {', '.join(sorted(sorts))}")
    if direction is not None and direction.upper() not in ("ASCENDING", "DESCENDING"):
        raise IllegalArgument("sortDir", direction, "it must be ASCENDING or DESCENDING")
    return Page(
        offset=_whole(asked.get("offset"), "offset", 0, text),
        limit=min(_whole(asked.get("limit"), "limit", 50, text), LIMIT_MAX),
        resource=resource,
        sort=sorts[sort] if sort else None,
        descending=direction is not None and direction.upper() == "DESCENDING",
        total=_flag(asked.get("askTotalCount"), "askTotalCount", text),
    )


def credential(body: Mapping[str, Any], name: str) -> str:
    """A text that is a credential. Raises IllegalArgument, which never repeats it."""
    value = body.get(name)
    if not isinstance(value, str):
        raise IllegalArgument(name, None, "it is required and must be a text")
    return value


def _whole(value: object, name: str, default: int, text: bool) -> int:
    if value is None:
        return default
    if text and isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise IllegalArgument(name, str(value), "it must be a whole number from 0 to 2147483647")
    return value


def _flag(value: object, name: str, text: bool) -> bool:
    if text and isinstance(value, str):
        value = {"true": True, "false": False}.get(value.lower(), value)
    if value is not None and not isinstance(value, bool):
        raise IllegalArgument(name, str(value), "it must be true or false")
    return bool(value)


def _optional_text(value: object, name: str) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > operations.RESOURCE_MAX or "\0" in value:
        raise IllegalArgument(name, None, f"it must be a text of 1 to {operations.RESOURCE_MAX} characters")
    return value
