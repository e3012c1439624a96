"""SIM cards and modems: the IMSI and IMEI that a device names in its `details`, and what does not fit together (seed 003).

imeiMismatch   an IMSI that the hub knows has come with another IMEI: the SIM card is in another device.
imsiMismatch   a device that the hub knows, by its registration or its IMEI, has come with another IMSI: it has another SIM card.
ciotConnect    a device with an IMSI has registered for the first time.

A mismatch is about the device that was known before, since it is there that a person clears the field; nothing is refused because of it.
"""

import re
from typing import Any

from sqlalchemy import or_, select

from tools.hub.domain.model import Device, change_device, tell, to_device
from tools.hub.errors import Invalid
from tools.hub.store import tables
from tools.hub.store.unit import Unit

_DIGITS = re.compile(r"[0-9]{5,16}")  # 3GPP TS 23.003: an IMSI has up to 15 digits, an IMEI 15 or, with its software version, 16


def identity(details: dict[str, Any]) -> dict[str, str | None]:
    """imsi and imei out of a device's details; None for what is absent or is none. They may be texts or numbers."""
    found = {}
    for name in ("imsi", "imei"):
        value = details.get(name)
        written = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
        found[name] = written if _DIGITS.fullmatch(written) else None
    return found


def registered(unit: Unit, device: Device) -> None:
    """A device has registered: is it on a cellular link, and does it fit to the others?"""
    compare(unit, device.imsi, device.imei, new_id=device.id)
    if device.imsi is not None:
        tell(unit, "ciotConnect", device, **{name: value for name, value in (("imsi", device.imsi), ("imei", device.imei)) if value})


def compare(unit: Unit, imsi: str | None, imei: str | None, known: Device | None = None, new_id: str | None = None) -> None:
    """Tell what does not fit. `known`: the device that says so, as it was before; `new_id`: its id when it has just registered."""
    rows = tables.devices.c
    same = [column == value for column, value in ((rows.imsi, imsi), (rows.imei, imei)) if value is not None]
    if not same:
        return
    found = [to_device(row) for row in unit.db.execute(select(tables.devices).where(or_(*same), rows.id != new_id)).all()]
    if known is not None and known.id not in {device.id for device in found}:
        found.append(known)
    for device in found:
        said = {name: value for name, value in (("imsi", imsi), ("imei", imei), ("newDeviceId", new_id)) if value is not None}
        if imsi is not None and device.imsi == imsi:
            if None not in (imei, device.imei) and imei != device.imei:
                tell(unit, "imeiMismatch", device, **said, knownImei=device.imei or "")
        elif None not in (imsi, device.imsi):
            tell(unit, "imsiMismatch", device, **said, knownImsi=device.imsi or "")


def checked(given: dict[str, Any]) -> dict[str, str]:
    """imsi and imei as a person gave them. Raises Invalid."""
    for name, value in given.items():
        if not isinstance(value, str) or (value and not _DIGITS.fullmatch(value)):
            raise Invalid(f"Invalid {name}: it must be 5 to 16 digits, or empty to clear it")
    return given


def set_by_operator(unit: Unit, device: Device, changes: dict[str, str]) -> None:
    """Set imsi and imei, checked; an empty text clears, which is what seed 003 tells a person to do about a mismatch."""
    details = {name: value for name, value in device.details.items() if name not in changes}
    details.update({name: value for name, value in changes.items() if value})
    columns = {name: value or None for name, value in changes.items()}
    change_device(unit.db, device.id, {"details": details, "info_version": device.info_version + 1, **columns})
    tell(unit, "deviceUpdated", device, by="operator", changed=",".join(changes))
