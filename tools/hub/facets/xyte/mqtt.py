"""The Xyte facet over MQTT 5: seed 001 and reference xyte §3.

The hub is a client of the broker. It takes `v1/device/ID/{telemetry, config/update, commands/update, license/update, update,
cloud_settings/update, get}` and the newer `command/update`; none of these is a topic that it publishes on itself. It publishes
`v1/device/ID/{config, commands, license, space_info, firmware}` at QoS 1, not retained, the first three with Response Topic and
Correlation Data: the id of the command or licence; for a configuration its version, as the reference names none.

What comes is acknowledged once it is stored (mqtt_intake.py). Who is believed to have sent a message is in mqtt_sender.py. The user
property message_id of a telemetry message is its number, if it has one: a message that comes twice is stored once.

Each licence is a message of its own, an object as in seed 001.

Left out so far: licences as an array, the newer `command` topic for what the hub sends. For children, incidents, events, files and dumps
no topic is documented: they are HTTP only, for a device that speaks MQTT too.
"""

import asyncio
import logging
import secrets
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tools.hub.broker.address import BrokerAddress
from tools.hub.broker.client import Client
from tools.hub.broker.publish import Published
from tools.hub.domain import commands, configuration, devices, firmware, licenses, spaces, telemetry
from tools.hub.domain.model import Device, prepare_devices, push
from tools.hub.facets import mqtt_sender, wire
from tools.hub.facets.mqtt_intake import WINDOW, Intake
from tools.hub.facets.mqtt_sender import Incoming
from tools.hub.facets.xyte import shapes
from tools.hub.hub import Hub
from tools.hub.store.store import Need
from tools.hub.store.unit import Push, Unit

log = logging.getLogger("redpoll.hub.mqtt")

ROOT = "v1/device"
KINDS = {
    "telemetry": "telemetry",
    "config/update": "config",
    "commands/update": "command",
    "command/update": "command",
    "license/update": "license",
    "update": "update",
    "cloud_settings/update": "cloud_settings",
    "get": "snapshot",
}  # the topic's end: what the activity feed calls it
_ANSWERED = ("config", "commands", "license")  # pushes that a device answers on their /update
_EXPIRY = 600  # seconds that a broker may keep a push for an absent device: "a limited time" (reference xyte §3)
_PUSHING = 64  # pushes that may be on their way at once
_WAITING = 10_000  # pushes that may wait for the broker
_SESSION_SECONDS = 3600  # how long another broker keeps the hub's session, and with it what boards send, while the hub is away
_RETRY_SECONDS = 1.0
_TIMEOUT = 10.0


def subscriptions(share_group: str | None) -> list[str]:
    """What the hub subscribes to; with a group, several hubs share the messages."""
    before = f"$share/{share_group}/" if share_group else ""
    return [f"{before}{ROOT}/+/{end}" for end in KINDS]


class XyteMqtt:
    """The hub's MQTT client: connects, connects again when the connection is lost, takes messages in and sends pushes out."""

    def __init__(self, hub: Hub, address: BrokerAddress, session: str | None = None) -> None:
        """`session`: the client id of a session that the broker keeps, so that it has for us what came while the hub was away."""
        self._hub = hub
        self._session = session
        self._address = address
        self._pushes: asyncio.Queue[Push] = asyncio.Queue(_WAITING)
        self._begun: dict[int, Push] = {}  # those on their way, in the order they were asked for
        self._number = 0
        self._intake = Intake(hub.store, _read, self._work, _needs)
        self.ready = asyncio.Event()  # connected and subscribed
        self.problem = ""  # why it is not
        hub.on_push(self._queue)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                async with self.connection(self._intake) as client:
                    client.pending_calls_threshold = _PUSHING + 10
                    async with asyncio.TaskGroup() as group:
                        await client.subscribe([(topic, 1) for topic in subscriptions(self._hub.settings.share_group)])
                        self.problem = ""
                        self.ready.set()
                        log.info("connected to the broker at %s", self._address.url)
                        group.create_task(self._send(client))
                        await client.until_lost()
            except* (aiomqtt.MqttError, OSError, ValueError) as errors:
                self.problem = str(_first(errors))
                log.warning("no connection to the broker at %s: %s; trying again", self._address.url, self.problem)
            self.ready.clear()
            await asyncio.sleep(_RETRY_SECONDS)

    async def drain(self) -> None:
        """Let the messages that have arrived come to their end."""
        await self._intake.drain()

    def watcher(self) -> Client:
        """Another connection to the broker, of no session."""
        return self._make_client(f"redpoll-watch-{secrets.token_hex(6)}")

    def connection(self, intake: Intake, name: str = "") -> Client:
        """A connection whose messages this intake stores; where the broker keeps our sessions, of the session of this name."""
        if self._session is None:
            client = self._make_client(f"redpoll-hub-{secrets.token_hex(6)}", on_messages=intake.take)
        else:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = _SESSION_SECONDS
            properties.ReceiveMaximum = WINDOW
            client = self._make_client(f"{self._session}{name}", clean_start=False, properties=properties, on_messages=intake.take)
        intake.begin(client)  # a kept session's messages may come before the answer to the subscription
        return client

    def _make_client(self, identifier: str, **more: Any) -> Client:
        return Client(
            self._address.host,
            self._address.port,
            username=self._address.username,
            password=self._address.password,
            identifier=identifier,
            protocol=aiomqtt.ProtocolVersion.V5,
            keepalive=30,
            timeout=_TIMEOUT,
            tls_context=self._address.tls_context(),
            logger=_quiet,
            on_undecodable=lambda size: mqtt_sender.tell_undecodable(self._hub, size),
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
            **more,
        )

    # ---- from devices

    def _work(self, incoming: Incoming, unit: Unit) -> None:
        kind = KINDS[incoming.end]

        def handle(device: Device) -> None:
            body = wire.decode_object(incoming.payload) if incoming.payload or kind == "telemetry" else {}
            if kind == "telemetry":
                _telemetry(unit, device, body, incoming.values("message_id"))
            else:
                _HANDLERS[kind](unit, device, body)

        mqtt_sender.take(self._hub, unit, incoming, kind, handle)

    # ---- to devices

    def _queue(self, item: Push) -> None:
        try:
            self._pushes.put_nowait(item)
        except asyncio.QueueFull:
            log.warning("a %s for device %s is dropped, the broker does not keep up; its next snapshot has it", item.kind, item.device_id)

    async def _send(self, client: Client) -> None:
        room = asyncio.Semaphore(_PUSHING)
        async with asyncio.TaskGroup() as group:
            for number in list(self._begun):  # the connection was lost: the broker may not have them
                await room.acquire()
                group.create_task(self._publish(client, room, number, again=True))
            while True:
                item = await self._pushes.get()
                self._number += 1
                self._begun[self._number] = item
                await room.acquire()
                group.create_task(self._publish(client, room, self._number))

    async def _publish(self, client: Client, room: asyncio.Semaphore, number: int, *, again: bool = False) -> None:
        """Send what was begun with this number, twice at most: one that a broker ends the connection for must not end each."""
        item, now = self._begun[number], self._hub.now()
        if again:
            del self._begun[number]
        topic, payload, properties = outgoing(item, now, shapes.pushed_link(self._hub, item, now))
        await client.publish(topic, payload, qos=1, retain=False, properties=properties)
        room.release()
        self._begun.pop(number, None)
        self._hub.tell_sent(item, len(payload))


def outgoing(item: Push, now: float, link: str | None = None) -> tuple[str, bytes, Properties]:
    """Topic, payload and properties of a push, as seed 001 shows them; `link` is that to the command's file, when it has one."""
    topic = f"{ROOT}/{item.device_id}/{item.kind}"
    body = item.body
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.MessageExpiryInterval = _EXPIRY
    if item.kind in _ANSWERED:
        properties.ResponseTopic = f"{topic}/update"
        properties.CorrelationData = str(body["version"] if item.kind == "config" else body["id"]).encode()
    if item.kind == "config":
        body = shapes.config_flat(body["version"], body["last_updated"], body["config"])
    elif item.kind == "space_info":
        body = shapes.space_info(body, now)
    elif item.kind == "license":
        body = shapes.license_pushed(body, now)
    elif item.kind == "commands":
        body = shapes.command_pushed(body, link)
    return topic, wire.encoded(body), properties


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


def _read(message: Published) -> Incoming | None:
    parts = message.topic.split("/", 3)
    if message.retain or len(parts) != 4 or parts[3] not in KINDS:  # a retained one comes again with every subscription: it is old
        return None
    return Incoming(parts[2], parts[3], message.payload, message.user)


def _needs(incoming: Incoming) -> tuple[Need, ...]:
    """What storing it asks the database: for telemetry also whether its number has been used."""
    device: Need = (prepare_devices, incoming.device_id)
    if KINDS[incoming.end] != "telemetry":
        return (device,)
    return device, (telemetry.prepare_numbers, (incoming.device_id, telemetry.number_of(incoming.values("message_id"))))


def _telemetry(unit: Unit, device: Device, body: dict[str, Any], numbers: set[str]) -> None:
    telemetry.send(unit, device, body, telemetry.number_of(numbers))


def _config(unit: Unit, device: Device, body: dict[str, Any]) -> None:
    configuration.set_by_device(unit, device, *shapes.read_config(body))


def _command(unit: Unit, device: Device, body: dict[str, Any]) -> None:
    commands.report(unit, device, body)


def _cloud_settings(unit: Unit, device: Device, body: dict[str, Any]) -> None:
    devices.set_cloud_setting(unit, device, body)


def _snapshot(unit: Unit, device: Device, _body: dict[str, Any]) -> None:
    """Seed 001 "Get latest snapshot", in its order."""
    info = spaces.info_for(device, spaces.of_collection(unit.db, device.collection_id))
    if info:
        push(unit, device, "space_info", info)
    configuration.push_current(unit, device)
    commands.push_next(unit, device)
    licenses.push_pending(unit, device)
    firmware.push_if_different(unit, device)


def _license(unit: Unit, device: Device, body: dict[str, Any]) -> None:
    licenses.report(unit, device, body)


_HANDLERS: dict[str, Callable[[Unit, Device, dict[str, Any]], object]] = {
    "config": _config,
    "command": _command,
    "license": _license,
    "update": partial(devices.update_device, limited=False),
    "cloud_settings": _cloud_settings,
    "snapshot": _snapshot,
}

_quiet = logging.getLogger("redpoll.hub.mqtt.client")  # paho's own lines, which repeat every packet
_quiet.setLevel(logging.CRITICAL)
