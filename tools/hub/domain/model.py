"""The device as a record: found, changed, and what becomes of it told and sent."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select, update

from tools.hub.domain import gateways
from tools.hub.domain.validation import is_uuid
from tools.hub.errors import NotFound
from tools.hub.store import tables
from tools.hub.store.gathered import gathered_of
from tools.hub.store.unit import Happening, Push, Unit


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
    """The device of this id. Raises NotFound."""
    device = find_device(db, device_id)
    if device is None:
        raise NotFound("Device not found")
    return device


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
