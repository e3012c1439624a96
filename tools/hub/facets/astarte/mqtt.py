"""The Astarte facet over MQTT: Astarte MQTT v1 as far as Edgehog's updates need it (reference edgehog-astarte §1 to §3, seed 002).

Devices speak below `REALM/DEVICE`, DEVICE the 16 bytes of the hub's own id in base64url. The hub takes the introspection (the topic
itself), `/control/...` and `io.edgehog.devicemanager.OTAEvent/event`, and publishes `io.edgehog.devicemanager.OTARequest/request`. It
subscribes to all of a realm at QoS 2, so that it sees at which QoS a message was published.

An OTAEvent must be published at QoS 2 (`unique`; rumqttd forwards at the subscriber's QoS whatever that was, so on the embedded broker
this is not seen), have exactly the five keys of the interface with their types, and values that
Edgehog knows (domain/updates.py); its time `t`, where it has one, is a datetime. One without a time gets that of its arrival, as in the
real service. Everything else is refused: the real service also ends the session then, which is not the hub's to do.

The sender is judged as on every topic (mqtt_sender.py): with the user properties of seed 001, or, with `--lenient`, by the topic alone,
which is how a client of MQTT 3.1.1 can speak.

A device that tells its introspection has begun a session: requests that it has not answered are sent to it again. One that has told none
may send OTAEvents all the same.

Left out: pairing and client certificates, properties, all other interfaces, keeping data of interfaces that are not known here.
"""

import asyncio
import logging
import re
from collections.abc import Callable
from typing import Any

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tools.hub import times
from tools.hub.astarte_ids import device_id, hub_id
from tools.hub.broker.client import Client
from tools.hub.broker.publish import Published
from tools.hub.domain import updates
from tools.hub.domain.model import Device, change_device, prepare_devices
from tools.hub.errors import Invalid, Malformed
from tools.hub.facets import mqtt_sender
from tools.hub.facets.astarte import bson
from tools.hub.facets.astarte.interfaces import INTERFACES, OTA_EVENT, OTA_REQUEST
from tools.hub.facets.mqtt_intake import Intake
from tools.hub.facets.mqtt_sender import Incoming
from tools.hub.facets.xyte import shapes as xyte_shapes
from tools.hub.hub import Hub
from tools.hub.store.unit import Push, Unit

log = logging.getLogger("redpoll.hub.astarte")

REALM = re.compile(r"[a-z][a-z0-9]{0,47}")
INTERFACES_MAX = 128  # in an introspection
_KINDS = {"": "introspection", "control": "control"}  # what the activity feed calls a message; any other is a kind of its own
_DATA = "ota"
_OURS = ("control/consumer", OTA_REQUEST.name)  # what the hub itself publishes comes back to it
_INTERFACE = re.compile(r"([A-Za-z][A-Za-z0-9.-]{0,127}):(\d{1,6}):(\d{1,6})")
_WAITING = 1_000  # requests that may wait for the broker
_EXPIRY = 600  # seconds that a broker may keep a request for an absent device
_RETRY_SECONDS = 1.0


def subscription(realm: str, share_group: str | None) -> str:
    """What the hub subscribes to; with a group, several hubs share the messages."""
    return f"$share/{share_group}/{realm}/+/#" if share_group else f"{realm}/+/#"


class AstarteMqtt:
    """A connection to the broker of its own, for it takes messages at QoS 2."""

    def __init__(self, hub: Hub, connect: Callable[[Intake], Client]) -> None:
        """`connect` makes the client."""
        self._hub = hub
        self._connect = connect
        self._realm = hub.settings.astarte_realm
        self._requests: asyncio.Queue[Push] = asyncio.Queue(_WAITING)
        self._begun: Push | None = None  # that was on its way when the connection was lost
        self.intake = Intake(hub.store, _read, self._work, lambda incoming: ((prepare_devices, incoming.device_id),))
        self.ready = asyncio.Event()  # connected and subscribed
        hub.on_push(self._queue, "ota")

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self.ready.clear()
            try:
                async with self._connect(self.intake) as client, asyncio.TaskGroup() as group:
                    group.create_task(self._subscribe(client))
                    group.create_task(self._send(client))
                    await client.until_lost()
            except* (aiomqtt.MqttError, OSError, ValueError) as errors:
                log.debug("no connection to the broker: %s", errors.exceptions)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _subscribe(self, client: Client) -> None:
        await client.subscribe([(subscription(self._realm, self._hub.settings.share_group), OTA_EVENT.qos)])
        self.ready.set()

    def _work(self, incoming: Incoming, unit: Unit) -> None:
        end = incoming.end
        kind = _KINDS.get(end.split("/")[0], _DATA)

        def handle(device: Device) -> None:
            if len(incoming.payload) > bson.SIZE_MAX:
                raise Malformed(f"The payload is larger than {bson.SIZE_MAX} bytes")
            if kind == "introspection":
                _introspection(unit, device, incoming.payload)
            elif kind == "control":
                _control(end)
            else:
                _data(unit, device, end, incoming.qos, incoming.payload)

        mqtt_sender.take(self._hub, unit, incoming, kind, handle)

    # ---- to devices

    def _queue(self, item: Push) -> None:
        try:
            self._requests.put_nowait(item)
        except asyncio.QueueFull:
            log.warning("a request for device %s is dropped, the broker does not keep up; its next session has it", item.device_id)

    async def _send(self, client: Client) -> None:
        again, self._begun = self._begun, None  # twice at most: one that a broker ends the connection for must not end each
        if again is not None:
            await self._publish(client, again)
        while True:
            self._begun = await self._requests.get()
            await self._publish(client, self._begun)
            self._begun = None

    async def _publish(self, client: Client, item: Push) -> None:
        topic, payload = outgoing(self._hub, item)
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.MessageExpiryInterval = _EXPIRY
        await client.publish(topic, payload, qos=OTA_REQUEST.qos, retain=False, properties=properties)
        self._hub.tell_sent(item, len(payload))


def _read(message: Published) -> Incoming | None:
    _, device, *rest = message.topic.split("/", 2)
    end = rest[0] if rest else ""
    if message.retain or end.startswith(_OURS):  # a retained one comes again with every subscription: it is old
        return None
    return Incoming(hub_id(device) or device, end, message.payload, message.user, message.qos)


def outgoing(hub: Hub, item: Push) -> tuple[str, bytes]:
    """Topic and payload of a request; a file's address is made when it is sent, for it is good for a while only."""
    body = {key: item.body[key] for key in OTA_REQUEST.keys if key in item.body}
    if "file_id" in item.body:
        body["url"] = xyte_shapes.file_link(hub, item.body["hub_url"], item.device_id, item.body["file_id"], hub.now())
    topic = f"{hub.settings.astarte_realm}/{device_id(item.device_id)}/{OTA_REQUEST.name}{OTA_REQUEST.path}"
    return topic, bson.encode({"v": body})


def read_introspection(payload: bytes) -> dict[str, Any]:
    """Interface -> [major, minor] out of `name:major:minor;name:major:minor`. Raises Malformed."""
    found: dict[str, Any] = {}
    try:
        parts = payload.decode("ascii").split(";")
    except UnicodeDecodeError:
        raise Malformed("The introspection is not ASCII") from None
    if len(parts) > INTERFACES_MAX:
        raise Malformed(f"The introspection has more than {INTERFACES_MAX} interfaces")
    for part in parts:
        match = _INTERFACE.fullmatch(part)
        if match is None or match[1] in found:
            raise Malformed(f"The introspection must be name:major:minor;name:major:minor, each name once, not {part[:64]!r}")
        found[match[1]] = [int(match[2]), int(match[3])]
    return found


def _introspection(unit: Unit, device: Device, payload: bytes) -> None:
    change_device(unit.db, device.id, {"introspection": read_introspection(payload)})
    updates.ask_again(unit, device)


def _control(end: str) -> None:
    """What a device says of its properties: it has none here."""
    if end not in ("control/emptyCache", "control/producer/properties"):
        raise Malformed(f"Unknown control message {end[:64]!r}")


def _data(unit: Unit, device: Device, end: str, qos: int, payload: bytes) -> None:
    """Data of an interface. Raises Malformed and Invalid."""
    name, _, path = end.partition("/")
    interface = INTERFACES.get(name)
    declared = device.introspection
    if interface is None or (declared is not None and declared.get(name) != [interface.major, interface.minor]):
        raise Invalid(f"Unknown interface {name[:128]!r}: it is not in the device's introspection, or not known here")
    if f"/{path}" != interface.path:
        raise Invalid(f"{name} has the path {interface.path}, not {'/' + path[:64]!r}")
    if qos != interface.qos:
        raise Invalid(f"Published at QoS {qos}: {name} is unique, which is QoS {interface.qos}")
    document = bson.decode(payload)
    unknown = [key for key in document if key not in ("v", "t")]
    if unknown or "v" not in document:
        raise Malformed("The BSON of an object is {v, t}, and v must be there")
    at = document.get("t")
    if at is not None and (not isinstance(at, bson.Time) or not times.is_writable(at.ms / 1000)):
        raise Invalid("t must be a datetime since 1970")
    values = interface.check(document["v"], whole=True)
    updates.report(unit, device, values, None if at is None else at.ms / 1000)
