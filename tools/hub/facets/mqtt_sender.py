"""Who sent an MQTT message, and what becomes of it: the same for every facet that takes messages from devices.

Every message must carry the user properties device_id and access_key (seed 001), the device_id being the topic's. One that does not is
refused, which the device does not get to know (the protocol has no error channel) and the activity feed does. `--lenient` takes messages
without the properties; wrong ones are refused all the same.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tools.hub.domain import devices, presence
from tools.hub.domain.model import Device, find_device
from tools.hub.errors import NotAuthorized, Refused
from tools.hub.facets.upstream import Upstream
from tools.hub.hub import Hub
from tools.hub.store.unit import Unit


@dataclass(frozen=True)
class Incoming:
    """One message from a device's side, before anything about it is believed."""

    device_id: str  # the topic's
    end: str  # what follows in the topic
    payload: bytes
    properties: tuple[tuple[str, str], ...]
    qos: int = 1  # that it came at

    def values(self, name: str) -> set[str]:
        """What the user properties of this name say."""
        return {value for key, value in self.properties if key == name}


def take(hub: Hub, unit: Unit, incoming: Incoming, kind: str, handle: Callable[[Device], None]) -> None:
    """Hand the message on in the name of its sender: an upstreamMessage of this kind, taken or, where `handle` raises, refused."""
    message = Upstream(incoming.device_id, "mqtt", kind, len(incoming.payload))
    device = None
    try:
        device = _who(unit, incoming, hub.settings.lenient)
        proof = presence.KEY if incoming.values("access_key") else presence.NAME
        device = presence.seen(unit, device, "mqtt", alive=not hub.has_just_gone(device.id), proof=proof)
        handle(device)
    except Refused as refused:
        message.refused(hub, unit, device, refused)
    else:
        message.taken(unit, device)


def tell_undecodable(hub: Hub, size: int) -> None:
    """A packet of so many bytes came that no decoder takes."""
    data = {"bytes": str(size), "transport": "mqtt", "kind": "unknown", "refused": "The packet cannot be decoded"}
    hub.activities.emit("upstreamMessage", hub.home, None, data)


def _who(unit: Unit, incoming: Incoming, lenient: bool) -> Device:
    """The device that sent it. Raises NotAuthorized."""
    ids, keys = incoming.values("device_id"), incoming.values("access_key")
    if lenient and not ids and not keys:
        device = find_device(unit.db, incoming.device_id)
        if device is None:
            raise NotAuthorized()
        return device
    for name, values in (("device_id", ids), ("access_key", keys)):
        if len(values) != 1:
            raise NotAuthorized(f"Not authorized: {'no' if not values else 'more than one'} user property {name}")
    if ids != {incoming.device_id}:
        raise NotAuthorized("Not authorized: the user property device_id is not the topic's device")
    return devices.authenticate(unit.db, incoming.device_id, keys.pop())
