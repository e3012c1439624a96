"""Models and the firmware that is their latest; what a device's report of its version means (DESIGN §4)."""

import re
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select

from tools.hub.domain import files
from tools.hub.domain.model import Device, get_device, push, tell, to_device
from tools.hub.domain.validation import text
from tools.hub.errors import Invalid, Refused
from tools.hub.store import tables
from tools.hub.store.unit import Unit

_SEMVER = re.compile(r"v?(\d{1,9})\.(\d{1,9})(?:\.(\d{1,9}))?(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?")


@dataclass(frozen=True)
class Latest:
    """The newest firmware of a model; both None when the hub holds none (seed 000 then has null for both)."""

    version: str | None
    file_id: str | None


def latest(db: Connection, hardware_key: str) -> Latest:
    """The newest firmware of this model."""
    row = db.execute(
        select(tables.models.c.latest_fw_version, tables.models.c.latest_fw_file_id).where(tables.models.c.hardware_key == hardware_key)
    ).one_or_none()
    return Latest(None, None) if row is None else Latest(row.latest_fw_version, row.latest_fw_file_id)


def is_known_model(db: Connection, hardware_key: str) -> bool:
    """Every model is known until the operator says that it is not."""
    known = db.execute(select(tables.models.c.known).where(tables.models.c.hardware_key == hardware_key)).scalar_one_or_none()
    return known is None or bool(known)


def list_models(db: Connection) -> list[dict[str, Any]]:
    """Every model that the operator has said something of, or that a device has, by name."""
    said = {row.hardware_key: _model(row) for row in db.execute(select(tables.models))}
    had = db.execute(select(tables.devices.c.hardware_key).distinct()).scalars()
    return [said.get(key) or _unsaid(key) for key in sorted({*said, *had})]


def get_model(db: Connection, hardware_key: str) -> dict[str, Any]:
    """One model; of one that nobody has said anything of, what holds for all such. Raises Invalid."""
    text(hardware_key, "hardware_key", required=True)
    row = db.execute(select(tables.models).where(tables.models.c.hardware_key == hardware_key)).one_or_none()
    return _unsaid(hardware_key) if row is None else _model(row)


def forget_model(unit: Unit, hardware_key: str) -> None:
    """Take back what the operator has said of a model: it is known, and has no latest firmware. Raises Invalid."""
    text(hardware_key, "hardware_key", required=True)
    unit.db.execute(delete(tables.models).where(tables.models.c.hardware_key == hardware_key))


def _model(row: Row[Any]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in ("hardware_key", "known", "latest_fw_version", "latest_fw_file_id")}


def _unsaid(hardware_key: str) -> dict[str, Any]:
    return {"hardware_key": hardware_key, "known": True, "latest_fw_version": None, "latest_fw_file_id": None}


def set_model(unit: Unit, hardware_key: str, body: dict[str, Any]) -> dict[str, Any]:
    """Say whether a model is known and what its latest firmware is. The devices that differ are told.

    The file need not be there yet; when it is, it must be for this model, and its version is the one that counts.
    """
    key = text(hardware_key, "hardware_key", required=True)
    known = body.get("known", True)
    if not isinstance(known, bool):
        raise Invalid("Invalid known: it must be true or false")
    values = {
        "hardware_key": key,
        "known": known,
        "latest_fw_version": text(body.get("latest_fw_version"), "latest_fw_version"),
        "latest_fw_file_id": text(body.get("latest_fw_file_id"), "latest_fw_file_id", limit=36),
    }
    file = files.find(unit.db, str(values["latest_fw_file_id"]))
    if file is not None:
        if file.hardware_key not in (None, key):
            raise Invalid("Invalid latest_fw_file_id: that file is for another model")
        if file.version is not None and values["latest_fw_version"] not in (None, file.version):
            raise Invalid(f"Invalid latest_fw_version: the file's version is {file.version}")
        values["latest_fw_version"] = values["latest_fw_version"] or file.version
    unit.db.execute(delete(tables.models).where(tables.models.c.hardware_key == key))
    unit.db.execute(insert(tables.models).values(values))
    rows = unit.db.execute(select(tables.devices).where(tables.devices.c.hardware_key == key)).all()
    for device in map(to_device, rows):
        _judge(unit, device, device.firmware_version)
        push_if_different(unit, device)
    return values


def check(unit: Unit, device: Device, version: str) -> None:
    """The device has reported its version: firmwareCheck, then firmwareUpdateRequired or firmwareCurrent when there is a latest."""
    tell(unit, "firmwareCheck", device, version=version)
    _judge(unit, device, version)


def fetched(unit: Unit, device: Device, file: files.File) -> None:
    """The device fetches a file from its beginning: firmwareRequested when it is firmware, or its model's latest."""
    if file.is_firmware or latest(unit.db, device.hardware_key).file_id == file.id:
        tell(unit, "firmwareRequested", device, id=file.id, version=file.version or "")


def missed(unit: Unit, device: Device, file_id: str, why: Refused) -> None:
    """The device asks for a file that the hub does not hold: firmwareRequested when that is its model's latest firmware."""
    newest = latest(unit.db, device.hardware_key)
    if newest.file_id == file_id:
        tell(unit, "firmwareRequested", device, id=file_id, version=newest.version or "", refused=str(why))


def push_if_different(unit: Unit, device: Device) -> None:
    """Seed 001: a firmware event only when the device's version is not the latest."""
    newest = latest(unit.db, device.hardware_key)
    if newest.version is not None and newest.version != get_device(unit.db, device.id).firmware_version:
        push(unit, device, "firmware", {"latest_fw_version": newest.version, "latest_fw_file_id": newest.file_id})


def is_older(version: str, than: str) -> bool:
    """SemVer precedence (semver.org §11); versions that are not SemVer are older when they merely differ."""
    left, right = _order(version), _order(than)
    return version != than if left is None or right is None else left < right


def _judge(unit: Unit, device: Device, version: str) -> None:
    newest = latest(unit.db, device.hardware_key)
    if newest.version is None:
        return
    if is_older(version, newest.version):
        tell(unit, "firmwareUpdateRequired", device, version=version, latest=newest.version)
    elif not is_older(newest.version, version):
        tell(unit, "firmwareCurrent", device, version=version)


def _order(version: str) -> tuple[Any, ...] | None:
    match = _SEMVER.fullmatch(version)
    if match is None:
        return None
    numbers = tuple(int(part or 0) for part in match.group(1, 2, 3))
    if match[4] is None:
        return (*numbers, 1)  # a release comes after its pre-releases
    parts = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in match[4].split("."))
    return (*numbers, 0, parts)
