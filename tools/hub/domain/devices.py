"""Devices: registration, keys, Update Device, claim, deletion. The rules are those of reference xyte §1 and §2."""

import hashlib
import hmac
import re
import secrets
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, and_, delete, func, insert, or_, select, update

from tools.hub.broker import dynsec
from tools.hub.domain import cellular, dumps, firmware, gateways, operations, spaces, updates
from tools.hub.domain.model import Device, change_device, find_device, get_device, push, tell, to_device
from tools.hub.domain.spaces import Space
from tools.hub.domain.validation import NAME_MAX, is_uuid, mapping, text, whole
from tools.hub.errors import Invalid, Malformed, NotAuthorized, NotFound, Refused, TooMany
from tools.hub.store import tables
from tools.hub.store.unit import Login, Unit

UPDATES_PER_HOUR = 10  # reference xyte §2, PUT /
CHILDREN_MAX = 1000  # of one gateway: our own bound
SETTING_MAX = 4096  # characters of a cloud setting: our own bound
_INFO_KEYS = ("firmware_version", "name", "sub_model", "details")  # seed 000, info_version: "of the info tab"
_UPDATE_KEYS = (*_INFO_KEYS, "space_version", "config_version")
_CLOUD_ID = re.compile(r"[0-9A-Za-z]{16,64}")  # a partner's short code and 16 to 36 letters and digits (reference xyte §1)
_NOBODY = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True)
class Credentials:
    """What a new device is given; the key is in no other place afterwards."""

    id: str
    access_key: str


def is_device_id(value: str) -> bool:
    """Whether this could be the id of a device: a UUID."""
    return is_uuid(value)


def hash_key(access_key: str) -> str:
    """What the hub keeps of an access key: its SHA-256 in hex."""
    return hashlib.sha256(access_key.encode()).hexdigest()


def authenticate(db: Connection, device_id: str, access_key: str) -> Device:
    """The device that owns this key. Raises NotAuthorized, in the same time whether the device or the key is wrong."""
    device = find_device(db, device_id)
    expected = _NOBODY if device is None else device.key_hash
    same = hmac.compare_digest(hash_key(access_key), expected)
    if device is None or not same:
        raise NotAuthorized()
    return device


def register(unit: Unit, body: dict[str, Any], hub_url: str | None = None) -> Credentials:
    """Take a new device in; `hub_url` is what it is told to reach the hub by.

    Raises Invalid (also when it is already registered) and NotFound for an unknown model.
    """
    parent_id = body.get("parent_id")
    parent = find_device(unit.db, parent_id) if isinstance(parent_id, str) else None
    try:
        return _register(unit, body, parent, hub_url)
    except Refused as refused:
        if parent is not None:
            gateways.comm_error(unit, parent, str(refused), kind="register")
        raise


def _register(unit: Unit, body: dict[str, Any], parent: Device | None, hub_url: str | None) -> Credentials:
    sn = text(body.get("sn"), "SN", required=True)
    hardware_key = text(body.get("hardware_key"), "hardware_key", required=True)
    version = text(body.get("firmware_version"), "firmware_version", required=True)
    cloud_id = text(body.get("cloud_id"), "cloud_id")
    mac = text(body.get("mac"), "mac", limit=64)
    name = text(body.get("name"), "name") or f"{hardware_key} {sn}"[:255]
    sub_model = text(body.get("sub_model"), "sub_model")
    parent_id = text(body.get("parent_id"), "parent_id", limit=36)
    details = mapping(body.get("details"), "details")
    assert sn and hardware_key and version
    if cloud_id is None and mac is None:
        raise Invalid("Invalid device: it needs a cloud_id, or a mac beside its sn")
    if cloud_id is not None and not _CLOUD_ID.fullmatch(cloud_id):
        raise Invalid("Invalid cloud_id: it must be 16 to 64 ASCII letters and digits")
    if not firmware.is_known_model(unit.db, hardware_key):
        raise NotFound("Model not found")
    sim = cellular.identity(details)
    known = _find_registered(unit.db, cloud_id, mac, sn)
    if known is not None:
        cellular.compare(unit, **sim, known=known)
        raise Invalid(
            "Device is already registered, by its sn and mac or its cloud_id: delete that one at the hub, or give this one another sn"
        )
    if parent_id is not None and parent is None:
        raise Invalid("Invalid parent_id: no such device")
    return _add(
        unit, parent, sim, sn=sn, name=name, mac=mac, cloud_id=cloud_id, hardware_key=hardware_key, sub_model=sub_model,
        firmware_version=version, details=details, hub_url=hub_url,
    )  # fmt: skip


def register_child(unit: Unit, parent: Device, body: dict[str, Any], hub_url: str | None) -> Credentials:
    """Take in a device that its gateway registers: model_id, firmware_version, and optionally sn, mac, name, sub_model, details.

    That another has the same sn is no reason to refuse it (dev.xyte.io ref/register-child-device): a gateway may not know it.
    Raises Invalid, and NotFound for an unknown model.
    """
    try:
        model = text(body.get("model_id"), "model_id", required=True)
        version = text(body.get("firmware_version"), "firmware_version", required=True)
        sn = text(body.get("sn"), "SN")
        name = text(body.get("name"), "name") or f"{model} {sn or ''}".strip()[:255]
        mac = text(body.get("mac"), "mac", limit=64)
        sub_model = text(body.get("sub_model"), "sub_model")
        details = mapping(body.get("details"), "details")
        if not firmware.is_known_model(unit.db, str(model)):
            raise NotFound("Model not found")
        return _add(
            unit, parent, cellular.identity(details), sn=sn or "", name=name, mac=mac, cloud_id=None, hardware_key=model,
            sub_model=sub_model, firmware_version=version, details=details, hub_url=hub_url,
        )  # fmt: skip
    except Refused as refused:
        gateways.comm_error(unit, parent, str(refused), kind="register")
        raise


def _add(unit: Unit, parent: Device | None, sim: dict[str, str | None], **values: Any) -> Credentials:
    """The row of a new device; behind a claimed gateway it is where that is (dev.xyte.io ref/child-devices)."""
    if parent is not None:
        behind = select(func.count()).select_from(tables.devices).where(tables.devices.c.parent_id == parent.id)
        if unit.db.execute(behind).scalar_one() >= CHILDREN_MAX:
            raise Invalid(f"Invalid parent_id: a device has at most {CHILDREN_MAX} children")
        gateways.adopted(unit, parent)
        values["parent_id"] = parent.id
    made = Credentials(str(uuid.uuid4()), secrets.token_hex(16))
    values["mac"] = values["mac"] and values["mac"].lower()
    unit.db.execute(
        insert(tables.devices).values(
            id=made.id, key_hash=hash_key(made.access_key), collection_id=spaces.home(unit.db), space_version=0, info_version=0,
            config={}, config_version=0, config_updated=unit.now, state={}, cloud_settings={}, update_times=[], online=False,
            created_at=unit.now, broker_login=dynsec.verifier(made.access_key), **values, **sim,
        )
    )  # fmt: skip
    unit.logins.append(Login(made.id, made.access_key))
    device = get_device(unit.db, made.id)
    tell(unit, "deviceCreated", device, name=device.name, model=device.hardware_key)
    cellular.registered(unit, device)
    firmware.check(unit, device, device.firmware_version)
    if parent is not None and parent.space_version > 0:
        _move_alone(unit, device, spaces.of_collection(unit.db, parent.collection_id))
    return made


def remember_login(unit: Unit, device: Device, access_key: str) -> None:
    """A device of a database that did not keep its login has shown its key: brokers can be told."""
    change_device(unit.db, device.id, {"broker_login": dynsec.verifier(access_key)})
    unit.logins.append(Login(device.id, access_key))


def broker_logins(db: Connection) -> list[tuple[str, str]]:
    """Id and broker_login of each device that has one."""
    rows = tables.devices.c
    return [(row.id, row.broker_login) for row in db.execute(select(rows.id, rows.broker_login).where(rows.broker_login.is_not(None)))]


def update_device(unit: Unit, device: Device, body: dict[str, Any], *, limited: bool) -> None:
    """Update Device, by the device itself; `limited`: at most 10 an hour. Raises Malformed for an unknown key, TooMany, Invalid."""
    for key in body:
        if key not in _UPDATE_KEYS:
            raise Malformed(f"Unknown key {key[:64]!r}: Update Device takes {', '.join(_UPDATE_KEYS)}")
    changes: dict[str, Any] = {}
    if limited:
        recent = [at for at in device.update_times if unit.now - 3600 < at <= unit.now]  # none of before the clock was set back
        if len(recent) >= UPDATES_PER_HOUR:
            raise TooMany(f"Update Device is limited to {UPDATES_PER_HOUR} calls an hour")
        changes["update_times"] = [*recent, unit.now]
    for key in ("firmware_version", "name", "sub_model"):
        if body.get(key) is not None:
            changes[key] = text(body[key], key)
    if body.get("details") is not None:
        changes["details"] = mapping(body["details"], "details")
        sim = cellular.identity(changes["details"])
        changes.update(sim)
        cellular.compare(unit, **sim, known=device)
    if any(changes.get(key, getattr(device, key)) != getattr(device, key) for key in _INFO_KEYS):
        changes["info_version"] = device.info_version + 1
    for key in ("space_version", "config_version"):
        if body.get(key) is not None:
            changes[f"device_{key}"] = whole(body[key], key)
    change_device(unit.db, device.id, changes)
    tell(unit, "deviceUpdated", device, by="device", changed=",".join(key for key in _UPDATE_KEYS if body.get(key) is not None))
    if "firmware_version" in changes:
        firmware.check(unit, device, changes["firmware_version"])


def set_cloud_setting(unit: Unit, device: Device, body: dict[str, Any]) -> dict[str, Any]:
    """Set one property; returns all of them. Takes `{property, value}` and the older `{"name": value}`."""
    settings: dict[str, Any] = body
    if "property" in body:
        settings = {text(body["property"], "property", required=True) or "": body.get("value")}
    if not settings or any(value is not None and not isinstance(value, str | int | float | bool) for value in settings.values()):
        raise Invalid('Invalid cloud settings: send {"property": name, "value": text, number or boolean}')
    merged = {**device.cloud_settings, **settings}
    if len(merged) > 64 or any(len(name) > NAME_MAX for name in merged):
        raise Invalid(f"Invalid cloud settings: at most 64, with names of at most {NAME_MAX} characters")
    if any(len(str(value)) > SETTING_MAX for value in settings.values()):
        raise Invalid(f"Invalid cloud settings: a value has at most {SETTING_MAX} characters")
    change_device(unit.db, device.id, {"cloud_settings": merged})
    tell(unit, "deviceUpdated", device, by="device", changed="cloud_settings")
    return merged


def claim(unit: Unit, body: dict[str, Any]) -> Device:
    """Take a registered device into a space (made when it is new). Returns the device as it is then."""
    cloud_id = text(body.get("cloud_id"), "cloud_id")
    mac = text(body.get("mac"), "mac", limit=64)
    sn = text(body.get("sn"), "sn")
    name = text(body.get("name"), "name")
    space_id = spaces.read_id(body.get("space_id", "default"))
    if cloud_id is None and sn is None:
        raise Invalid("Name the device by its cloud_id, or by its sn, where another has the same sn also by its mac")
    device = _find_alone(unit.db, sn) if cloud_id is None and mac is None else _find_registered(unit.db, cloud_id, mac, sn)
    if device is None:
        raise NotFound("Device not found: it has not registered, or not with this cloud_id, mac and sn")
    space = spaces.ensure(unit.db, space_id)
    moved = space.id != device.collection_id
    changes: dict[str, Any] = {}
    if name is not None and name != device.name:
        changes.update(name=name, info_version=device.info_version + 1)
    if changes:
        change_device(unit.db, device.id, changes)
    claimed = get_device(unit.db, device.id)
    if moved:
        claimed = move(unit, claimed, space)
    if changes:
        tell(unit, "deviceUpdated", claimed, by="operator", changed="name")
    return claimed


def move(unit: Unit, device: Device, space: Space) -> Device:
    """Put the device into another space, and with it those of its children that were where it was or nowhere; all are told.

    Raises Invalid for the home of the unclaimed, where there is no way back to.
    """
    if space.space_id is None:
        raise Invalid("A claimed device cannot be unclaimed: delete it, and it registers anew")
    moved = _move_alone(unit, device, space)
    rows = tables.devices.c
    along = or_(rows.space_version == 0, rows.collection_id == device.collection_id)
    for row in unit.db.execute(select(tables.devices).where(rows.parent_id == device.id, along)).all():
        _move_alone(unit, to_device(row), space)
    return moved


def put(unit: Unit, device: Device, space_id: str) -> Device:
    """Put the device into the space that the operator calls so (made when it is new), if it is not there."""
    space = spaces.ensure(unit.db, space_id)
    return device if space.id == device.collection_id else move(unit, device, space)


def _move_alone(unit: Unit, device: Device, space: Space) -> Device:
    change_device(unit.db, device.id, {"collection_id": space.id, "space_version": device.space_version + 1})
    moved = get_device(unit.db, device.id)
    tell(unit, "deviceMoved", moved, fromCollectionId=device.collection_id, space=space.name)
    push(unit, moved, "space_info", spaces.info_for(moved, space))
    return moved


def rename(unit: Unit, device: Device, name: object) -> None:
    """The operator gives the device another name. Raises Invalid."""
    change_device(unit.db, device.id, {"name": text(name, "name", required=True), "info_version": device.info_version + 1})
    tell(unit, "deviceUpdated", device, by="operator", changed="name")


def remove(unit: Unit, device: Device, by: str, data: Path) -> None:
    """Forget the device and all that belongs to it, the dumps below `data` too; its key is worth nothing from now on."""
    if device.online:
        tell(unit, "clientDisconnected", device, reason="device removed")
    tell(unit, "deviceRemoved", device, by=by)
    dumps.forget(unit, device, data)
    operations.forget(unit, device)
    updates.forget(unit, device)
    for table in (tables.telemetry, tables.commands, tables.licenses, tables.incidents, tables.events):
        unit.db.execute(delete(table).where(table.c.device_id == device.id))
    unit.db.execute(delete(tables.devices).where(tables.devices.c.id == device.id))
    unit.logins.append(Login(device.id, None))
    _let_children_go(unit, device, by)
    parent = None if device.parent_id is None else find_device(unit.db, device.parent_id)
    if parent is not None:
        gateways.left(unit, parent)


def _let_children_go(unit: Unit, gateway: Device, by: str) -> None:
    children = tables.devices.c.parent_id == gateway.id
    rows = unit.db.execute(select(tables.devices).where(children)).all()
    unit.db.execute(update(tables.devices).where(children).values(parent_id=None))
    for row in rows:
        tell(unit, "deviceUpdated", replace(to_device(row), parent_id=None), by=by, changed="parent_id")


def list_devices(db: Connection, limit: int, offset: int) -> list[Device]:
    """Devices in the order of their registration."""
    query = select(tables.devices).order_by(tables.devices.c.created_at, tables.devices.c.id).limit(limit).offset(offset)
    return [to_device(row) for row in db.execute(query)]


def find_by_number(db: Connection, number: int) -> Device | None:
    """The device whose id has this number (domain/operations.py), which lacks the id's first bit."""
    if not 0 <= number < 2**63:
        return None
    digits = [f"{number | top:016x}" for top in (0, 2**63)]
    starts = [tables.devices.c.id.startswith(f"{text[:8]}-{text[8:12]}-{text[12:]}-") for text in digits]
    row = db.execute(select(tables.devices).where(or_(*starts)).order_by(tables.devices.c.created_at).limit(1)).one_or_none()
    return None if row is None else to_device(row)


def devices_in(db: Connection, collection_id: str) -> list[Device]:
    """The devices of one space, in the order of their registration."""
    query = select(tables.devices).where(tables.devices.c.collection_id == collection_id)
    return [to_device(row) for row in db.execute(query.order_by(tables.devices.c.created_at, tables.devices.c.id))]


def _find_alone(db: Connection, sn: str | None) -> Device | None:
    """The only device with this sn. Raises Invalid when there are several."""
    rows = db.execute(select(tables.devices).where(tables.devices.c.sn == sn).limit(2)).all()
    if len(rows) > 1:
        raise Invalid("Several devices have this sn: give the mac too")
    return to_device(rows[0]) if rows else None


def _find_registered(db: Connection, cloud_id: str | None, mac: str | None, sn: str | None) -> Device | None:
    same = []
    if cloud_id is not None:
        same.append(tables.devices.c.cloud_id == cloud_id)
    if mac is not None and sn is not None:
        same.append(and_(tables.devices.c.mac == mac.lower(), tables.devices.c.sn == sn))
    row = db.execute(select(tables.devices).where(or_(*same)).limit(1)).one_or_none() if same else None
    return None if row is None else to_device(row)
