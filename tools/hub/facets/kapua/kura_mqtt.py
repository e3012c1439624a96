"""Progress that boards tell as Kura would, over MQTT: DEPLOY-V2 NOTIFY of reference kapua-kura §2. Each is a notification of its operation.

The topic is `$EDC/ACCOUNT/REQUESTER/DEPLOY-V2/NOTIFY/CLIENT/RESOURCE`, CLIENT the device's id. rumqttd lets nobody subscribe below a `$`
(and Mosquitto delivers nothing from there to a shared subscription), so the hub also takes the control prefix `EDC`, which Kura can be set
to (topic.control-prefix), and on the embedded broker that one only. ACCOUNT and REQUESTER may be any: the hub sends no DEPLOY-V2 request,
and knows the operation by `job.id` (for a command, number_of its id: domain/operations.py).

The sender is judged as on every topic (mqtt_sender.py), so a client of MQTT 3.1.1, which has no user properties, needs `--lenient`.
Values are taken as Kapua takes them: `job.id` is an INT64 and progress an INT32, or the message is refused; so is a status that Kapua
cannot map (CANCELLED: send FAILED with a message). `client.id`, where it is there, is the topic's.

An upstreamMessage tells of each, of the kind `notify`, and, of a device that has no Astarte events, a firmwareStateChange.
Left out: requests and replies, BIRTH, DC, LWT and APPS, position and body.
"""

import asyncio
import logging
from collections.abc import Callable

import aiomqtt

from tools.hub import times
from tools.hub.broker.client import Client
from tools.hub.broker.publish import Published
from tools.hub.domain import operations, updates
from tools.hub.domain.model import Device, prepare_devices
from tools.hub.errors import Invalid
from tools.hub.facets import mqtt_sender
from tools.hub.facets.kapua import kura_payload
from tools.hub.facets.kapua.kura_payload import Metric, Type
from tools.hub.facets.mqtt_intake import Intake
from tools.hub.facets.mqtt_sender import Incoming
from tools.hub.hub import Hub
from tools.hub.store.unit import Unit

log = logging.getLogger("redpoll.hub.kura")

PREFIX, PLAIN_PREFIX = "$EDC", "EDC"
KIND = "notify"
_TOPIC = "+/+/DEPLOY-V2/NOTIFY/+/+"
_STATUS = {"IN_PROGRESS": operations.RUNNING, "COMPLETED": operations.COMPLETED, "FAILED": operations.FAILED}
_LOSSES = 2  # connections that are lost while subscribing before the hub does without `$EDC`, on the next one that is not
_RETRY_SECONDS = 1.0


def subscriptions(share_group: str | None, dollar: bool) -> list[str]:
    """What the hub subscribes to; with a group, several hubs share the messages. Without `dollar`, the plain prefix only."""
    before = f"$share/{share_group}/" if share_group else ""
    return [f"{before}{prefix}/{_TOPIC}" for prefix in (PLAIN_PREFIX, PREFIX)[: 2 if dollar else 1]]


class KuraMqtt:
    """A connection to the broker of its own, for one that does not take `$EDC` drops who asks for it."""

    def __init__(self, hub: Hub, connect: Callable[[Intake], Client], *, dollar: bool) -> None:
        """`connect` makes the client; `dollar`: try to subscribe below `$EDC`."""
        self._hub = hub
        self.intake = Intake(hub.store, _read, self._work, lambda incoming: ((prepare_devices, incoming.device_id),))
        self._connect = connect
        self._dollar = dollar
        self.ready = asyncio.Event()  # connected and subscribed

    async def run(self) -> None:
        """Until cancelled."""
        losses = 0
        while True:
            dollar = self._dollar and losses < _LOSSES
            self.ready.clear()
            connected = False
            try:
                async with self._connect(self.intake) as client, asyncio.TaskGroup() as group:
                    connected = True
                    group.create_task(self._subscribe(client, dollar))
                    await client.until_lost()
            except* (aiomqtt.MqttError, OSError, ValueError) as errors:
                log.debug("no connection to the broker: %s", errors.exceptions)
            losses = 0 if self.ready.is_set() else losses + connected
            if dollar and losses >= _LOSSES:
                log.info("the broker does not let the hub subscribe below %s; boards must use %s", PREFIX, PLAIN_PREFIX)
            else:
                await asyncio.sleep(_RETRY_SECONDS)

    async def _subscribe(self, client: Client, dollar: bool) -> None:
        await client.subscribe([(topic, 1) for topic in subscriptions(self._hub.settings.share_group, dollar)])
        self.ready.set()

    def _work(self, incoming: Incoming, unit: Unit) -> None:
        mqtt_sender.take(self._hub, unit, incoming, KIND, lambda device: _notify(unit, device, incoming))


def _read(message: Published) -> Incoming | None:
    parts = message.topic.split("/")
    if message.retain or len(parts) != 7:  # a retained one comes again with every subscription: it is old
        return None
    return Incoming(parts[5], parts[6], message.payload, message.user)


def _notify(unit: Unit, device: Device, incoming: Incoming) -> None:
    """Store what the message tells. Raises Malformed and Invalid."""
    payload = kura_payload.decode(incoming.payload)
    metrics, resource = payload.metrics, incoming.end
    client = _value(metrics, "client.id", Type.STRING)
    if client not in (None, device.id):
        raise Invalid("client.id is not the topic's device")
    number = _value(metrics, "job.id", Type.INT64)
    said = _value(metrics, f"dp.{resource}.status", Type.STRING)
    if not isinstance(number, int):
        raise Invalid("job.id is missing: it must be an INT64")
    if said not in _STATUS:
        shown = "missing" if said is None else f"{str(said)[:64]!r}"
        raise Invalid(f"dp.{resource[:64]}.status is {shown}: Kapua knows {', '.join(_STATUS)}")
    progress = _value(metrics, f"dp.{resource}.progress", Type.INT32)
    message = _value(metrics, f"dp.{resource}.error.message", Type.STRING)
    assert progress is None or isinstance(progress, int)
    assert message is None or isinstance(message, str)
    sent_at = None if payload.timestamp is None else payload.timestamp / 1000
    if sent_at is not None and not times.is_writable(sent_at):
        raise Invalid("The timestamp must be milliseconds since 1970")
    told, is_new = operations.report(unit, device, number, _STATUS[str(said)], progress, message, resource, sent_at=sent_at)
    if is_new and resource in (updates.DOWNLOAD, updates.INSTALL):
        updates.notified(unit, device, told.status, told.progress, told.message, resource)


def _value(metrics: dict[str, Metric], name: str, kind: Type) -> kura_payload.Value | None:
    """The metric's value, None when it is not there. Raises Invalid when it is of another type."""
    metric = metrics.get(name)
    if metric is None:
        return None
    if metric.type != kind:
        raise Invalid(f"{name[:64]} is {metric.type.name}: it must be {kind.name}")
    return metric.value
