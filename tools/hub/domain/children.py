"""What a gateway does for the devices behind it: it speaks in their name with its own key (reference xyte §2; dev.xyte.io
ref/child-devices, ref/send-child-telemetries, ref/get-commands-with-children). Registration is in devices.py, what gateways raise in
gateways.py.
"""

import json
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, select

from tools.hub.domain import commands, gateways, presence, problems, telemetry
from tools.hub.domain.model import Device, find_device, tell, to_device
from tools.hub.domain.validation import mapping
from tools.hub.errors import Invalid, NotFound, Refused
from tools.hub.store import tables
from tools.hub.store.unit import Unit

TELEMETRIES_MAX = 100  # in one call
MESSAGE_MAX = 1024 * 1024  # bytes of one call: our own bound
COMMANDS_MAX = 1000  # of children, in one answer

_ALL = select(tables.devices).order_by(tables.devices.c.created_at, tables.devices.c.id)


def list_children(db: Connection, parent_id: str) -> list[Device]:
    """The devices behind a gateway, in the order of their registration."""
    return [to_device(row) for row in db.execute(_ALL.where(tables.devices.c.parent_id == parent_id))]


def send_telemetries(unit: Unit, parent: Device, body: dict[str, Any]) -> dict[str, Any]:
    """Take one telemetry message for each child named; each has its own reply, or `{"error": reason}`.

    Raises Invalid when there are too many.
    """
    if len(body) > TELEMETRIES_MAX:
        raise Invalid(f"At most {TELEMETRIES_MAX} telemetries in one call")
    return {child_id: _send(unit, parent, child_id, message) for child_id, message in body.items()}


def _send(unit: Unit, parent: Device, child_id: str, message: object) -> dict[str, Any]:
    found = find_device(unit.db, child_id)
    child = found if found is not None and found.parent_id == parent.id else None
    size = str(len(json.dumps(message, separators=(",", ":"))))
    try:
        answer = _take(unit, child, message, int(size))
    except Refused as refused:
        gateways.comm_error(unit, parent, str(refused), kind="telemetry")
        if child is not None:
            tell(unit, "upstreamMessage", child, bytes=size, transport="http", kind="telemetry", refused=str(refused))
            problems.note(unit, child, problems.refused("telemetry"), str(refused))
        return {"error": str(refused)}
    assert child is not None
    tell(unit, "upstreamMessage", child, bytes=size, transport="http", kind="telemetry")
    problems.clear(unit, child, problems.refused("telemetry"))
    return answer


def _take(unit: Unit, child: Device | None, message: object, size: int) -> dict[str, Any]:
    if child is None:
        raise NotFound("Child device not found")
    if message is None or size > telemetry.MESSAGE_MAX:
        raise Invalid(f"Invalid telemetry: it must be an object of at most {telemetry.MESSAGE_MAX} bytes")
    body = mapping(message, "telemetry")
    gone = body.get("status") == "offline"
    seen = presence.seen(unit, child, "http", speaks=child.transport != "mqtt", alive=not gone, proof=presence.PARENT)
    telemetry.send(unit, replace(seen, transport="http"), body)
    if gone:
        presence.said_gone(unit, seen, "its gateway says that it is offline")
    return telemetry.reply(unit, seen)


def unfinished_commands(db: Connection, parent: Device) -> list[commands.Command]:
    """The unfinished commands of the device and, after them, of the devices behind it."""
    return commands.unfinished(db, parent.id) + commands.unfinished_behind(db, parent.id, COMMANDS_MAX)


def owner_of(db: Connection, device: Device, command_id: object) -> Device:
    """Who a command that this device reports on is for: a child of it, when it is that child's, else the device itself."""
    rows = tables.commands.c
    owner = db.execute(select(rows.device_id).where(rows.id == command_id)).scalar_one_or_none() if isinstance(command_id, str) else None
    found = None if owner in (None, device.id) else find_device(db, str(owner))
    return found if found is not None and found.parent_id == device.id else device
