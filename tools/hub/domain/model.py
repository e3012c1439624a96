"""The records that the domain hands out, and the bounds of what it takes in."""

import re
import secrets
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from tools.hub import times
from tools.hub.domain import gateways
from tools.hub.errors import Invalid, NotFound
from tools.hub.store import tables
from tools.hub.store.gathered import gathered_of
from tools.hub.store.unit import Happening, Push, Unit

NAME_MAX = 255  # characters in a name, a serial number, a version
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_BASE32 = "0123456789abcdefghijklmnopqrstuv"


@dataclass(frozen=True)
class Device:
    """A row of `devices`; see tables.py for what each field means."""

    id: str
    key_hash: str
    name: str
    sn: str
    mac: str | None
    cloud_id: str | None
    hardware_key: str
    sub_model: str | None
    firmware_version: str
    details: dict[str, Any]
    parent_id: str | None
    collection_id: str
    space_version: int
    device_space_version: int | None
    info_version: int
    config: dict[str, Any]
    config_version: int
    config_updated: float
    device_config_version: int | None
    status: str | None
    state: dict[str, Any]
    message: str | None
    telemetry_at: float | None
    cloud_settings: dict[str, Any]
    update_times: list[float]
    transport: str | None
    online: bool
    seen_at: float | None
    created_at: float
    state_order: dict[str, Any] | None
    kept_messages: int | None
    imsi: str | None
    imei: str | None
    hub_url: str | None
    broker_login: str | None
    problems: dict[str, Any] | None
    introspection: dict[str, Any] | None

    def changed(self, **changes: Any) -> "Device":
        """The device with these fields. It is made for each message, and dataclasses.replace takes ten times as long."""
        made = object.__new__(Device)
        made.__dict__.update(self.__dict__, **changes)
        return made


@dataclass(frozen=True)
class Space:
    """A row of `spaces`."""

    id: str
    space_id: str | None
    name: str
    info: dict[str, Any]


def to_device(row: Row[Any]) -> Device:
    """A row of all columns of `devices`."""
    made = object.__new__(Device)
    made.__dict__.update(row._mapping)
    return made


# built once: building a statement costs as much as running it
_FIND = select(tables.devices).where(tables.devices.c.id == bindparam("the_id")).with_for_update()
_FIND_ALL = (
    select(tables.devices)
    .where(tables.devices.c.id.in_(bindparam("the_ids", expanding=True)))
    .order_by(tables.devices.c.id)  # in every hub the same, so that none holds what another waits for
    .with_for_update()
)
_CHANGE = update(tables.devices).where(tables.devices.c.id == bindparam("the_id"))


def change_device(db: Connection, device_id: str, changes: dict[str, Any]) -> None:
    """Set these columns of the device."""
    gathered = gathered_of(db)
    known = None if gathered is None else gathered.devices.get(device_id)
    if gathered is None or known is None:
        db.execute(_CHANGE, {"the_id": device_id, **changes})
    else:
        gathered.devices[device_id] = known.changed(**changes)
        gathered.change(device_id, changes)


def find_device(db: Connection, device_id: str) -> Device | None:
    """The device, its row held until the end of the transaction where the database can do that; None for what is no id, too."""
    if not is_uuid(device_id):
        return None
    gathered = gathered_of(db)
    if gathered is not None and device_id in gathered.devices:
        found: Device | None = gathered.devices[device_id]
        return found
    row = db.execute(_FIND, {"the_id": device_id}).one_or_none()
    device = None if row is None else to_device(row)
    if gathered is not None:
        gathered.devices[device_id] = device
    return device


def prepare_devices(db: Connection, device_ids: list[str]) -> None:
    """Read these devices with one query, for a transaction that will ask for each (store/store.py, Need)."""
    gathered = gathered_of(db)
    if gathered is None:
        return
    wanted = sorted({device_id for device_id in device_ids if is_uuid(device_id)} - gathered.devices.keys())
    gathered.devices.update(dict.fromkeys(wanted))
    for row in db.execute(_FIND_ALL, {"the_ids": wanted}):
        gathered.devices[row.id] = to_device(row)


def get_device(db: Connection, device_id: str) -> Device:
    device = find_device(db, device_id)
    if device is None:
        raise NotFound("Device not found")
    return device


def find_space(db: Connection, collection_id: str) -> Space:
    """The space with this collection id. Raises NotFound."""
    row = db.execute(select(tables.spaces).where(tables.spaces.c.id == collection_id)).one_or_none()
    if row is None:
        raise NotFound("Collection not found")
    return Space(row.id, row.space_id, row.name, row.info)


def new_collection_id() -> str:
    """14 lower-case letters and digits, the first not a zero, as Span's are."""
    return secrets.choice(_BASE32[1:]) + "".join(secrets.choice(_BASE32) for _ in range(13))


def is_uuid(*values: str) -> bool:
    """Whether each could be an id that the hub has given to something; what could not is nothing that every database takes."""
    return all(_UUID.fullmatch(value) for value in values)


def home_collection(db: Connection) -> str:
    """The collection of the devices that nobody has claimed; made when it is first needed."""
    found = db.execute(select(tables.meta.c.value).where(tables.meta.c.key == "home")).scalar_one_or_none()
    if found is not None:
        return str(found)
    made = new_collection_id()
    db.execute(insert(tables.spaces).values(id=made, space_id=None, name="Unclaimed", info={}))
    db.execute(insert(tables.meta).values(key="home", value=made))
    return made


def tell(unit: Unit, event: str, device: Device, **data: str) -> None:
    """Note one activity about the device, and what it is for gateways."""
    happening = Happening(event, device.id, device.collection_id, data)
    unit.activities += [happening, *gateways.mirrored(unit.db, happening, device)]


def is_pushed_to(device: Device) -> bool:
    """Whether the device is sent what concerns it. One that polls over HTTP is not: it will ask."""
    return device.transport != "http"


def push(unit: Unit, device: Device, kind: str, body: dict[str, Any]) -> None:
    """Have the device sent something now, if it is one to be pushed to."""
    if is_pushed_to(device):
        data = {"kind": "command" if kind == "commands" else kind}
        sending = Happening("downstreamMessage", device.id, device.collection_id, data)
        unit.pushes.append(Push(device.id, device.collection_id, kind, body, gateways.mirrored(unit.db, sending, device)))


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
