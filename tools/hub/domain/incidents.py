"""Incidents: what is wrong with a device, opened by itself or by the operator, open until closed (reference xyte §2; dev.xyte.io
ref/create-incident, ref/get-incident, ref/incident-management).

The vendor's third kind, opened by rules about telemetry, is not here: the hub has no rules. As with the vendor, a device that nobody has
claimed gets an id and nothing is kept; so does one whose cloud setting `incidents.suspend_creation` is true.
"""

import uuid
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, select, update

from tools.hub.domain.model import Device
from tools.hub.domain.records import columns_of, of_row
from tools.hub.domain.validation import is_uuid, text
from tools.hub.errors import Invalid, NotFound
from tools.hub.store import tables
from tools.hub.store.unit import Unit

OPEN_MAX = 100  # open incidents of one device: our own bound
CLOSED_MAX = 1000  # closed ones kept of each device
DESCRIPTION_MAX = 4096  # characters
PRIORITIES = ("critical", "high", "moderate", "low", "planning")
STATUSES = ("active", "closed")
DEVICE, OPERATOR = "device", "operator"
_SUSPEND = "incidents.suspend_creation"


@dataclass(frozen=True)
class Incident:
    """A row of `incidents`."""

    id: str
    device_id: str
    opened_by: str
    status: str
    priority: str
    title: str
    issue: str | None
    description: str | None
    created_at: float
    updated_at: float


def open_one(unit: Unit, device: Device, body: dict[str, Any], by: str) -> Incident:
    """Open an incident: title, priority, issue, description. Returns it as it is, or would be if it were kept. Raises Invalid."""
    priority = body.get("priority")
    if not isinstance(priority, str) or priority not in PRIORITIES:
        raise Invalid(f"Invalid priority: it must be one of {', '.join(PRIORITIES)}")
    made = Incident(
        id=str(uuid.uuid4()),
        device_id=device.id,
        opened_by=by,
        status="active",
        priority=priority,
        title=text(body.get("title"), "title", required=True) or "",
        issue=text(body.get("issue"), "issue"),
        description=text(body.get("description"), "description", limit=DESCRIPTION_MAX),
        created_at=unit.now,
        updated_at=unit.now,
    )
    if by == DEVICE and (device.space_version == 0 or device.cloud_settings.get(_SUSPEND) is True):
        return made
    count = unit.db.execute(select(func.count()).where(_I.device_id == device.id, _I.status == "active")).scalar_one()
    if count >= OPEN_MAX:
        raise Invalid(f"The device has {OPEN_MAX} open incidents already: close some")
    unit.db.execute(insert(tables.incidents).values(columns_of(made)))
    return made


def list_open(db: Connection, device_id: str) -> list[Incident]:
    """The open incidents of a device, oldest first."""
    query = select(tables.incidents).where(_I.device_id == device_id, _I.status == "active")
    return _read(db, query.order_by(_I.seq))


def list_incidents(db: Connection, limit: int, offset: int, **wanted: str) -> list[Incident]:
    """Incidents open and closed, newest first, with these values in the columns named."""
    query = select(tables.incidents).where(*[_I[name] == value for name, value in wanted.items()])
    return _read(db, query.order_by(_I.seq.desc()).limit(limit).offset(offset))


def get(db: Connection, incident_id: str) -> Incident:
    """One incident of whichever device. Raises NotFound."""
    found = _read(db, select(tables.incidents).where(_I.id == incident_id)) if is_uuid(incident_id) else []
    if not found:
        raise NotFound("Incident not found")
    return found[0]


def close(unit: Unit, incident_id: str, device: Device | None = None) -> Incident:
    """Close an incident, this device's when one is named; one that is closed already stays so. Raises NotFound."""
    query = select(tables.incidents).where(_I.id == incident_id)
    query = query if device is None else query.where(_I.device_id == device.id)
    found = _read(unit.db, query) if is_uuid(incident_id) else []
    if not found:
        raise NotFound("Incident not found")
    if found[0].status == "closed":
        return found[0]
    _close(unit, found[0].device_id, _I.id == incident_id)
    return replace(found[0], status="closed", updated_at=unit.now)


def close_own(unit: Unit, device: Device) -> int:
    """Close all that the device itself has opened; returns how many they were."""
    return _close(unit, device.id, _I.device_id == device.id, _I.opened_by == DEVICE)


def _close(unit: Unit, device_id: str, *which: Any) -> int:
    changes = {"status": "closed", "updated_at": unit.now}
    count = unit.db.execute(update(tables.incidents).where(_I.status == "active", *which).values(changes)).rowcount
    closed = select(_I.seq).where(_I.device_id == device_id, _I.status == "closed").order_by(_I.seq.desc())
    last = unit.db.execute(closed.offset(CLOSED_MAX).limit(1)).scalar_one_or_none()
    if last is not None:
        unit.db.execute(delete(tables.incidents).where(_I.device_id == device_id, _I.status == "closed", _I.seq <= last))
    return int(count)


_I = tables.incidents.c


def _read(db: Connection, query: Select[Any]) -> list[Incident]:
    return [of_row(Incident, row) for row in db.execute(query)]
