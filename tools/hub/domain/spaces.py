"""Spaces, where claimed devices are: a space of Xyte is a collection of Span. Those that nobody has claimed have a home of their own."""

import secrets
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from tools.hub.domain.model import Device, change_device, push, tell, to_device
from tools.hub.domain.records import columns_of, of_row
from tools.hub.domain.validation import mapping, text
from tools.hub.errors import Invalid, NotFound
from tools.hub.store import tables
from tools.hub.store.unit import Unit

_DAY = 1440  # minutes
_BASE32 = "0123456789abcdefghijklmnopqrstuv"


@dataclass(frozen=True)
class Space:
    """A row of `spaces`. `id` is Span's of the collection, `space_id` the operator's; None for the home of the unclaimed."""

    id: str
    space_id: str | None
    name: str
    info: dict[str, Any]


def home(db: Connection) -> str:
    """The collection of the devices that nobody has claimed; made when it is first needed."""
    found = db.execute(select(tables.meta.c.value).where(tables.meta.c.key == "home")).scalar_one_or_none()
    if found is not None:
        return str(found)
    made = _new_id()
    db.execute(insert(tables.spaces).values(id=made, space_id=None, name="Unclaimed", info={}))
    db.execute(insert(tables.meta).values(key="home", value=made))
    return made


def list_spaces(db: Connection) -> list[Space]:
    """All spaces, the home of the unclaimed among them."""
    return [of_row(Space, row) for row in db.execute(select(tables.spaces).order_by(tables.spaces.c.id))]


def of_collection(db: Connection, collection_id: str) -> Space:
    """The space with this collection id. Raises NotFound."""
    row = db.execute(select(tables.spaces).where(tables.spaces.c.id == collection_id)).one_or_none()
    if row is None:
        raise NotFound("Collection not found")
    return of_row(Space, row)


def get(db: Connection, space_id: str) -> Space:
    """The space that the operator calls so. Raises NotFound."""
    query = select(tables.spaces).where(tables.spaces.c.space_id == space_id)
    row = None if "\0" in space_id else db.execute(query).one_or_none()
    if row is None:
        raise NotFound("Space not found")
    return of_row(Space, row)


def ensure(db: Connection, space_id: str) -> Space:
    """The space that the operator calls so; a new one when there is none."""
    row = db.execute(select(tables.spaces).where(tables.spaces.c.space_id == space_id)).one_or_none()
    if row is not None:
        return of_row(Space, row)
    made = Space(_new_id(), space_id, f"Space {space_id}"[:255], {})
    db.execute(insert(tables.spaces).values(columns_of(made)))
    return made


def add(unit: Unit, name: object) -> Space:
    """A new space; the operator calls it by its collection id. Raises Invalid."""
    made = _new_id()
    space = Space(made, made, text(name, "name") or f"Collection {made}", {})
    unit.db.execute(insert(tables.spaces).values(columns_of(space)))
    return space


def change(unit: Unit, space_id: str, name: object, info: object) -> Space:
    """Name a space and say where it is; every device in it is told. Raises Invalid."""
    text(space_id, "space_id", required=True)
    space = ensure(unit.db, space_id)
    values = {"name": text(name, "name") or space.name, "info": {**space.info, **_checked(mapping(info, "info"))}}
    unit.db.execute(update(tables.spaces).where(tables.spaces.c.id == space.id).values(values))
    changed = of_collection(unit.db, space.id)
    rows = unit.db.execute(select(tables.devices).where(tables.devices.c.collection_id == space.id)).all()
    for device in map(to_device, rows):
        change_device(unit.db, device.id, {"space_version": device.space_version + 1})
        tell(unit, "deviceUpdated", device, by="operator", changed="space")
        push(unit, device, "space_info", info_for(device, changed))
    return changed


def remove(unit: Unit, space_id: str) -> None:
    """Forget a space in which no device is. Raises NotFound and Invalid."""
    space = get(unit.db, space_id)
    count = unit.db.execute(select(func.count()).where(tables.devices.c.collection_id == space.id)).scalar_one()
    if count:
        raise Invalid(f"The space has {count} devices: move or delete them first")
    unit.db.execute(delete(tables.spaces).where(tables.spaces.c.id == space.id))


def info_for(device: Device, space: Space) -> dict[str, Any]:
    """What a claimed device may know about its space; empty while it is unclaimed."""
    return {} if device.space_version == 0 else {"name": space.name, **space.info}


def read_id(value: object) -> str:
    """What the operator calls a space: a text, or a number as the vendor has it. Raises Invalid."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return text(str(value) if is_number else value, "space_id", required=True) or ""


def _checked(info: dict[str, Any]) -> dict[str, Any]:
    """What devices get of it (seed 001, Get Space Info) has the types that they are told to expect. Raises Invalid."""
    for key in ("name", "location", "temperature_units"):
        if info.get(key, "") != "":  # an empty text takes away what was said before
            text(info[key], key, required=True)
    if not isinstance(info.get("maintenance", False), bool):
        raise Invalid("Invalid maintenance: it must be true or false")
    offset = info.get("utc_offset", 0)
    if isinstance(offset, bool) or not isinstance(offset, int) or not -_DAY < offset < _DAY:
        raise Invalid("Invalid utc_offset: it must be a whole number of minutes, less than a day")
    place = mapping(info.get("coordinates", {"lat": 0, "lng": 0}), "coordinates")
    if set(place) != {"lat", "lng"} or any(isinstance(value, bool) or not isinstance(value, int | float) for value in place.values()):
        raise Invalid("Invalid coordinates: they must be lat and lng, two numbers")
    return info


def _new_id() -> str:
    """14 lower-case letters and digits, the first not a zero, as Span's are."""
    return secrets.choice(_BASE32[1:]) + "".join(secrets.choice(_BASE32) for _ in range(13))
