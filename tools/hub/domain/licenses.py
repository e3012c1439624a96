"""Licences: the operator adds, renews and removes them, the hub signs them, the device says what became of them.

Sources: seed 001, reference xyte §2 and §4.

A licence has one thing to be done (`action`: add, update or remove) and a `state`: `pending` until the device has answered, then
`inuse`, `removed` or `error` with the device's reason. A pending one is offered again and again, by whichever way the device asks: that is
what makes it arrive. An answer is final until the operator changes the licence: the same answer once more is taken, another one refused.
An answer is late, to what the operator has changed since, when it does not fit what is asked now (inuse to a removal, removed to an
addition) or when the device has not fetched the change yet: it is taken, and the licence goes on being offered.

`data` is a JSON object as text, at most 1024 bytes, as the firmware's `licenses` module reads it; the signature covers it and nothing else:

    {"id", "name", "device_id", "issued_at", "expires_at"?, and the operator's own fields}

Times in it are ISO 8601. `issued_at` is never the same twice for one device, so no two `data` are the same and a renewal is newer than what
it renews. Data is signed anew when a licence is added or renewed; a removal has that of the licence removed. A renewal of a
licence that the device does not hold, because it was removed or never came to be in use, is an addition.
"""

import json
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from tools.hub import times
from tools.hub.domain import problems
from tools.hub.domain.model import Device, is_pushed_to, push, tell
from tools.hub.domain.records import of_row
from tools.hub.domain.validation import instant, is_uuid, mapping, text
from tools.hub.errors import Invalid, NotAllowed, NotFound
from tools.hub.store import tables
from tools.hub.store.unit import Unit

STATES = ("inuse", "removed", "error")
LICENSES_MAX = 100  # of one device, beside those removed: our own bound
REMOVED_MAX = 100  # removed ones that are still shown
DATA_MAX = 1024  # bytes of `data`: what the firmware takes
ERROR_MAX = 1024  # characters kept of a device's reason
_NAME = re.compile(r"[!-~](?:[ -~]{0,62}[!-~])?")
_OURS = (
    "id",
    "name",
    "feature",
    "device_id",
    "sn",
    "cloud_id",
    "issued_at",
    "expires_at",
    "expired_at",
)  # names that `fields` may not take
_ANSWER = {"add": "inuse", "update": "inuse", "remove": "removed"}

# every telemetry message asks this, so it is built once
_ANY_PENDING = (
    select(tables.licenses.c.seq)
    .where(tables.licenses.c.device_id == bindparam("the_device"), tables.licenses.c.state == "pending")
    .limit(1)
)

Sign = Callable[[str], str]


@dataclass(frozen=True)
class License:
    """A row of `licenses`."""

    id: str
    device_id: str
    name: str
    fields: dict[str, Any]
    data: str
    signature: str
    action: str
    state: str
    error: str | None
    offered: bool
    held: bool
    issued_at: float
    expires_at: float | None
    created_at: float
    updated_at: float


def add(unit: Unit, device: Device, body: dict[str, Any], sign: Sign) -> License:
    """Give the device a licence: `name`, and if wanted `expires_at` and `fields`. Raises Invalid."""
    name = body.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise Invalid("Invalid name: it must be 1 to 64 ASCII characters")
    rows = tables.licenses.c
    count = select(func.count()).where(rows.device_id == device.id, rows.state != "removed")
    if unit.db.execute(count).scalar_one() >= LICENSES_MAX:
        raise Invalid(f"the device has {LICENSES_MAX} licences already")
    made = str(uuid.uuid4())
    fields, expires_at = _fields(body.get("fields")), instant(body.get("expires_at"), "expires_at")
    values = _signed(unit, device, made, name, fields, expires_at, sign)
    start = {"id": made, "device_id": device.id, "name": name, "action": "add", "state": "pending", "offered": True, "held": False}
    unit.db.execute(insert(tables.licenses).values(**start, **values, created_at=unit.now, updated_at=unit.now))
    return _offer(unit, device, made)


def renew(unit: Unit, device: Device, license_id: str, body: dict[str, Any], sign: Sign) -> License:
    """Sign a licence anew; `expires_at` and `fields` stay as they are where the body does not have them. Raises NotFound, Invalid."""
    old = get(unit.db, device.id, license_id)
    fields = _fields(body["fields"]) if "fields" in body else old.fields
    expires_at = instant(body["expires_at"], "expires_at") if "expires_at" in body else old.expires_at
    values = _signed(unit, device, old.id, old.name, fields, expires_at, sign)
    _change(unit, old, {"action": "update" if old.held else "add", **_again(device), **values})
    return _offer(unit, device, old.id)


def remove(unit: Unit, device: Device, license_id: str) -> License:
    """Take a licence away; one that is removed already stays so. Raises NotFound."""
    old = get(unit.db, device.id, license_id)
    if old.action == "remove" and old.state in ("pending", "removed"):
        return old
    _change(unit, old, {"action": "remove", **_again(device)})
    return _offer(unit, device, old.id)


def report(unit: Unit, device: Device, body: dict[str, Any]) -> License:
    """The device says what became of a licence. Raises Invalid, NotAllowed for another state or a second answer, NotFound."""
    license_id = text(body.get("id"), "id", required=True)
    state, error = body.get("state"), body.get("error")
    if state not in STATES:
        raise NotAllowed("Only allowed to set: inuse/removed/error")
    assert license_id is not None
    license = get(unit.db, device.id, license_id)
    if license.state != "pending":
        if state == license.state:
            return license  # the same answer once more: ours was lost, or it was offered twice
        raise NotAllowed(f"License is already {license.state}")
    changes: dict[str, Any] = {} if state == "error" else {"held": state == "inuse"}
    if not license.offered:
        pass  # it is about what the licence was before
    elif state == "error":
        reason = "" if error is None else error if isinstance(error, str) else json.dumps(error)
        changes.update(state=state, error=reason[:ERROR_MAX])
        problems.note(unit, device, problems.LICENSE, f"{license.name}: {reason or 'the device gave no reason'}")
    elif state == _ANSWER[license.action]:
        changes["state"] = state
        problems.clear(unit, device, problems.LICENSE)
    _change(unit, license, changes)
    if changes.get("state") == "removed":
        _forget_removed(unit.db, device.id)
    return get(unit.db, device.id, license.id)


def hand_out(unit: Unit, device: Device, most: int | None = None) -> list[License]:
    """What the device has still to answer, oldest first, as it asks for it: from now on an answer is about that."""
    waiting = pending(unit.db, device.id, most)
    for license in waiting:
        if not license.offered:
            unit.db.execute(update(tables.licenses).where(tables.licenses.c.id == license.id).values(offered=True))
    return waiting


def pending(db: Connection, device_id: str, most: int | None = None) -> list[License]:
    """What the device has still to answer, oldest first."""
    query = _of(device_id).where(tables.licenses.c.state == "pending").order_by(tables.licenses.c.seq).limit(most)
    return [of_row(License, row) for row in db.execute(query)]


def any_pending(db: Connection, device_id: str) -> bool:
    """`new_licenses` of seed 000."""
    return db.execute(_ANY_PENDING, {"the_device": device_id}).first() is not None


def push_pending(unit: Unit, device: Device) -> None:
    """Push each licence that the device has still to answer."""
    for license in hand_out(unit, device):
        _send(unit, device, license)


def list_licenses(db: Connection, device_id: str, limit: int, offset: int) -> list[License]:
    """All licences of a device, oldest first."""
    query = _of(device_id).order_by(tables.licenses.c.seq).limit(limit).offset(offset)
    return [of_row(License, row) for row in db.execute(query)]


def get(db: Connection, device_id: str, license_id: str) -> License:
    """One licence of this device. Raises NotFound."""
    row = db.execute(_of(device_id).where(tables.licenses.c.id == license_id)).one_or_none() if is_uuid(device_id, license_id) else None
    if row is None:
        raise NotFound("License not found")
    return of_row(License, row)


def _signed(
    unit: Unit, device: Device, license_id: str, name: str, fields: dict[str, Any], expires_at: float | None, sign: Sign
) -> dict[str, Any]:
    """The columns of newly signed data."""
    rows = tables.licenses.c
    last = unit.db.execute(select(func.max(rows.issued_at)).where(rows.device_id == device.id)).scalar_one()
    issued_at = max(round(unit.now * 1000), 0 if last is None else round(last * 1000) + 1) / 1000
    signed = {"id": license_id, "name": name, "device_id": device.id, "issued_at": times.iso(issued_at)}
    if expires_at is not None:
        signed["expires_at"] = times.iso(expires_at)
    data = json.dumps({**signed, **fields}, separators=(",", ":"))  # ASCII: no JSON coder between here and the device alters it
    if len(data) > DATA_MAX:
        raise Invalid(f"Invalid fields: the signed data would be {len(data)} bytes, devices take at most {DATA_MAX}")
    return {"fields": fields, "data": data, "signature": sign(data), "issued_at": issued_at, "expires_at": expires_at}


def _again(device: Device) -> dict[str, Any]:
    """The columns of a licence that is offered once more, because the operator has changed it."""
    return {"state": "pending", "error": None, "offered": is_pushed_to(device)}


def _change(unit: Unit, license: License, changes: dict[str, Any]) -> None:
    unit.db.execute(update(tables.licenses).where(tables.licenses.c.id == license.id).values(**changes, updated_at=unit.now))


def _offer(unit: Unit, device: Device, license_id: str) -> License:
    """The operator has changed it: say so and send it."""
    license = get(unit.db, device.id, license_id)
    tell(unit, "deviceUpdated", device, by="operator", changed="license", license=license.id, action=license.action)
    _send(unit, device, license)
    return license


def _send(unit: Unit, device: Device, license: License) -> None:
    body = {"id": license.id, "data": license.data, "signature": license.signature, "action": license.action}
    push(unit, device, "license", {**body, "expires_at": license.expires_at})


def _forget_removed(db: Connection, device_id: str) -> None:
    rows = tables.licenses.c
    removed = select(rows.seq).where(rows.device_id == device_id, rows.state == "removed").order_by(rows.updated_at.desc(), rows.seq.desc())
    last = [row.seq for row in db.execute(removed.offset(REMOVED_MAX))]
    if last:
        db.execute(delete(tables.licenses).where(rows.seq.in_(last)))


def _fields(value: object) -> dict[str, Any]:
    fields = mapping(value, "fields")
    for name, item in fields.items():
        if name in _OURS:
            raise Invalid(f'Invalid fields: "{name}" is the hub\'s own')
        if item is not None and not isinstance(item, str | int | float | bool):
            raise Invalid(f'Invalid fields: "{name[:64]}" must be a text, number, boolean or null')
    return fields


def _of(device_id: str) -> Any:
    return select(tables.licenses).where(tables.licenses.c.device_id == device_id)
