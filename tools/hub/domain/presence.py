"""Whether a device is there: clientConnected and clientDisconnected.

A device is online from the first sign of life to the last: an authenticated HTTP call or MQTT message, or the broker's word that its
session is up; offline when the broker says that its session is down, or when it has been silent for the offline threshold.
"""

from typing import Any

from sqlalchemy import select, update

from tools.hub.domain import gateways, problems
from tools.hub.domain.model import Device, change_device, find_device, tell, to_device
from tools.hub.store import tables
from tools.hub.store.unit import Unit

# how a device said who it is, the `id` of clientConnected (seed 003 shows "certificate")
KEY = "access_key"
NAME = "client_id"  # only its name, in the MQTT session or topic
PARENT = "parent"  # its gateway said so, with the gateway's key
LINK = "link"  # a link that it was given (security/links.py)

_CLEAN = "disconnected"  # the session ended with DISCONNECT (broker/embedded.py, broker/sessions.py)


def seen(unit: Unit, device: Device, transport: str, *, speaks: bool = True, alive: bool = True, proof: str = KEY) -> Device:
    """An authenticated call or message came; returns the device as it is then.

    `speaks` False: over a side channel (such as files, dumps), which says nothing about the transport.
    `alive` False: what came is late, its sender is gone already.
    """
    online = alive or device.online
    values: dict[str, Any] = {"seen_at": unit.now, "online": online}
    if speaks:
        values["transport"] = transport
    change_device(unit.db, device.id, values)
    if online and not device.online:
        tell(unit, "clientConnected", device, transport=transport, id=proof)
        problems.clear(unit, device, problems.CONNECTION)
    return device.changed(**values)


def session_up(unit: Unit, device_id: str) -> None:
    """The broker has let a client in that bears this device's id."""
    device = find_device(unit.db, device_id)
    if device is not None:
        seen(unit, device, "mqtt", proof=NAME)


def session_down(unit: Unit, device_id: str, reason: str) -> None:
    """The broker has lost the client that bears this device's id."""
    device = find_device(unit.db, device_id)
    if device is not None and device.online and device.transport == "mqtt":
        if reason != _CLEAN:
            gateways.comm_error(unit, device, reason, transport="mqtt")
        _gone(unit, device, reason)


def sweep(unit: Unit, silent_for: float) -> None:
    """Take every device offline that has not been heard of for so many seconds."""
    seen_at = tables.devices.c.seen_at
    # who was heard of in a time to come, before the clock was set back, would stay online until then
    unit.db.execute(update(tables.devices).where(tables.devices.c.online, seen_at > unit.now + silent_for).values(seen_at=unit.now))
    late = seen_at < unit.now - silent_for
    rows = unit.db.execute(select(tables.devices).where(tables.devices.c.online, late)).all()
    for device in map(to_device, rows):
        _gone(unit, device, f"silent for {silent_for:g} s")


def all_sessions_down(unit: Unit, reason: str) -> None:
    """The broker is new: whoever was connected to the one before no longer is."""
    rows = unit.db.execute(select(tables.devices).where(tables.devices.c.online, tables.devices.c.transport == "mqtt")).all()
    for device in map(to_device, rows):
        _gone(unit, device, reason)


def said_gone(unit: Unit, device: Device, reason: str) -> None:
    """Its gateway says that it is not there."""
    if device.online:
        _gone(unit, device, reason)


def _gone(unit: Unit, device: Device, reason: str) -> None:
    change_device(unit.db, device.id, {"online": False})
    if reason != _CLEAN:
        problems.note(unit, device, problems.CONNECTION, reason)
    tell(unit, "clientDisconnected", device, reason=reason, transport=device.transport or "http")
