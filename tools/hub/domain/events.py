"""The events log of a device (reference xyte §2, `POST /events`; dev.xyte.io ref/add-event): what it did or saw, for people to query.

As with the vendor, the event of a device that nobody has claimed is checked, answered and not kept.
"""

from typing import Any

from sqlalchemy import Connection, delete, insert, select

from tools.hub import times
from tools.hub.domain.model import Device
from tools.hub.domain.validation import instant, text
from tools.hub.errors import Invalid
from tools.hub.store import tables
from tools.hub.store.unit import Unit

EVENTS_MAX = 10_000  # kept of each device; beyond it the oldest go
STRING_MAX = 255  # characters
_INT32 = 2**31


def add(unit: Unit, device: Device, body: dict[str, Any]) -> None:
    """Take one event in. Raises Invalid."""
    taken_at = instant(body.get("timestamp"), "timestamp")
    values = {
        "name": text(body.get("name"), "name", required=True, limit=STRING_MAX),
        "category": text(body.get("category"), "category", required=True, limit=STRING_MAX),
        **{name: _integer(body.get(name), name) for name in ("int_key_1", "int_key_2")},
        **{name: _string(body.get(name), name) for name in ("string_key_1", "string_key_2")},
        "timestamp": unit.now if taken_at is None else taken_at,
    }
    if device.space_version == 0:
        return
    unit.db.execute(insert(tables.events).values(device_id=device.id, received_at=unit.now, **values))
    newest = select(_E.seq).where(_E.device_id == device.id).order_by(_E.seq.desc())
    last = unit.db.execute(newest.offset(EVENTS_MAX).limit(1)).scalar_one_or_none()
    if last is not None:
        unit.db.execute(delete(tables.events).where(_E.device_id == device.id, _E.seq <= last))


def list_events(db: Connection, device_id: str, limit: int, before: int | None, offset: int) -> list[dict[str, Any]]:
    """The events of a device, newest first; `before` is the `seq` of the oldest one already seen."""
    query = select(tables.events).where(_E.device_id == device_id)
    if before is not None:
        query = query.where(_E.seq < before)
    return [
        {
            "seq": row.seq,
            "name": row.name,
            "category": row.category,
            "int_key_1": row.int_key_1,
            "int_key_2": row.int_key_2,
            "string_key_1": row.string_key_1,
            "string_key_2": row.string_key_2,
            "timestamp": times.iso(row.timestamp),
            "received_at": times.iso(row.received_at),
        }
        for row in db.execute(query.order_by(_E.seq.desc()).limit(limit).offset(offset))
    ]


def _integer(value: object, name: str) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not -_INT32 <= value < _INT32:
        raise Invalid(f"Invalid {name}: it must be a 32 bit integer")
    return value


def _string(value: object, name: str) -> str | None:
    if value is not None and (not isinstance(value, str) or len(value) > STRING_MAX):
        raise Invalid(f"Invalid {name}: it must be a text of at most {STRING_MAX} characters")
    return value


_E = tables.events.c
