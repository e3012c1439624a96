"""Gateways: devices that others named as their parent when they registered (DESIGN §4, the gateway events of seed 003).

What a gateway and the devices behind it do is told twice: as any device's, and as the gateway's. The second has the gateway's id as
`gatewayId`, and as `deviceId` the child that it is about. A device is a gateway while it has a child: with its first child it connects,
with its last it disconnects, when it is online itself.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import Connection, select

from tools.hub.store import tables
from tools.hub.store.unit import Happening, Unit

if TYPE_CHECKING:
    from tools.hub.domain.model import Device

_OF_A_CHILD = {
    "upstreamMessage": "gatewayUpstreamMessage",
    "downstreamMessage": "gatewayDownstreamMessage",
    "deviceCreated": "gatewayDeviceUpdate",
    "deviceUpdated": "gatewayDeviceUpdate",
    "deviceMoved": "gatewayDeviceUpdate",
    "deviceRemoved": "gatewayDeviceUpdate",
}
_OF_A_GATEWAY = {"clientConnected": "gatewayConnected", "clientDisconnected": "gatewayDisconnected"}


def is_gateway(db: Connection, device_id: str) -> bool:
    """Whether a device has this one as its parent."""
    return db.execute(select(tables.devices.c.id).where(tables.devices.c.parent_id == device_id).limit(1)).first() is not None


def mirrored(db: Connection, happening: Happening, device: "Device") -> list[Happening]:
    """What this activity of the device is for gateways too: of the one that the device is behind, and of the one that it is."""
    found = []
    event = _OF_A_CHILD.get(happening.event)
    if device.parent_id is not None and event is not None:
        data = {**happening.data, "change": happening.event} if event == "gatewayDeviceUpdate" else happening.data
        found.append(replace(happening, event=event, data=data, gateway_id=device.parent_id))
    own = _OF_A_GATEWAY.get(happening.event)
    if happening.event == "downstreamMessage" and happening.data.get("kind") == "config":
        own = "gatewayConfigUpdate"
    if own is not None and is_gateway(db, device.id):
        found.append(replace(happening, event=own, device_id=None, gateway_id=device.id))
    return found


def adopted(unit: Unit, gateway: "Device") -> None:
    """It has its first child from now on."""
    if gateway.online and not is_gateway(unit.db, gateway.id):
        _tell(unit, "gatewayConnected", gateway, transport=gateway.transport or "http")


def left(unit: Unit, gateway: "Device") -> None:
    """A child of it is gone; when that was the last one, it is a device like any other."""
    if gateway.online and not is_gateway(unit.db, gateway.id):
        _tell(unit, "gatewayDisconnected", gateway, reason="its last child was removed", transport=gateway.transport or "http")


def comm_error(unit: Unit, gateway: "Device", reason: str, **data: str) -> None:
    """It ended abruptly, or what it asked for a child was refused; nothing when the device is no gateway."""
    if is_gateway(unit.db, gateway.id):
        _tell(unit, "gatewayCommError", gateway, reason=reason, **data)


def _tell(unit: Unit, event: str, gateway: "Device", **data: str) -> None:
    unit.activities.append(Happening(event, None, gateway.collection_id, data, gateway.id))
