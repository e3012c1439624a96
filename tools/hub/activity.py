"""The activity feed: everything that happens in the hub, once, in order, as seed 003 writes it.

An activity is `{"event", "time", "collectionId", "deviceId"?, "data"?}`, `data` a map of text to text. Ours adds `seq`, a number that only
grows, over restarts too. Best effort as the seed says: a ring in memory, nothing on disk. Each subscriber has a bounded queue; one that
does not keep up loses the oldest and is told how many, and never slows a device.

What `data` holds (the vendor publishes only `bytes`, `transport` and `id`; the rest is ours):

upstreamMessage        bytes, transport (http or mqtt), kind (telemetry, config, command, license, update, cloud_settings, snapshot,
                       incident, event, children, register, notify, introspection, ota);
                       `refused` with the reason when the hub did not take it. A refused MQTT message is an upstreamMessage too, because
                       that is what it is: a message that came from a device's side. It has a deviceId when the topic names a known device.
                       `duplicate` with the message's number when the hub had it already and has only answered it.
                       Of a report on a command also command (its name) and status, as that message says it.
downstreamMessage      bytes, transport, kind (config, command, license, space_info, firmware, ota)
clientConnected        transport, id (how the device said who it is: access_key, or client_id when it gave no more than its name; parent
                       when its gateway spoke for it, link when it fetched a file by the link that it was given)
clientDisconnected     transport, reason
deviceCreated          name, model
deviceUpdated          by (device or operator), changed, version (of a configuration), license and action (of a licence); `refused` with
                       the operator's version when the device keeps its own configuration in its place
deviceMoved            fromCollectionId, space
deviceRemoved          by
firmwareCheck          version;  firmwareUpdateRequired: version, latest;  firmwareCurrent: version
firmwareRequested      id (of the file), version; `refused` when the hub does not hold it. Once a fetch, not once a range
firmwareStateChange    status, progress, code and message of an update event, and request, its UUID. Of a device that has no such events:
                       status, message and request (the command) of the command update_firmware, or status, progress, message and
                       resource of each Kura NOTIFY of a device without Astarte
blobUpload             bytes, id, filename
imeiMismatch           imsi, imei, knownImei;  imsiMismatch: imsi, imei, knownImsi; both newDeviceId when it came with a registration
ciotConnect            imsi, imei
gatewayConnected       transport, id;  gatewayDisconnected: transport, reason;  gatewayConfigUpdate: as downstreamMessage
gatewayCommError       reason, and transport of the session that broke off, or kind (register, telemetry) of what was refused of a call
                       for a child
gatewayUpstreamMessage, gatewayDownstreamMessage   as upstreamMessage and downstreamMessage, with the child's deviceId
gatewayDeviceUpdate    change (deviceCreated, deviceUpdated, deviceMoved, deviceRemoved) and what that has, with the child's deviceId
"""

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from tools.hub import times

log = logging.getLogger("redpoll.activity")

RING = 20_000  # activities kept for `since`
QUEUE = 2_000  # activities that may wait for one subscriber

EVENTS = frozenset(
    {
        "imeiMismatch",
        "imsiMismatch",
        "ciotConnect",
        "clientConnected",
        "clientDisconnected",
        "upstreamMessage",
        "downstreamMessage",
        "firmwareRequested",
        "firmwareCheck",
        "firmwareUpdateRequired",
        "firmwareCurrent",
        "firmwareStateChange",
        "blobUpload",
        "deviceCreated",
        "deviceUpdated",
        "deviceRemoved",
        "deviceMoved",
        "gatewayConnected",
        "gatewayDisconnected",
        "gatewayDeviceUpdate",
        "gatewayUpstreamMessage",
        "gatewayDownstreamMessage",
        "gatewayConfigUpdate",
        "gatewayCommError",
    }
)  # fmt: skip (seed 003)
_MESSAGES = ("upstreamMessage", "downstreamMessage", "gatewayUpstreamMessage", "gatewayDownstreamMessage")  # not logged: they are too many


@dataclass(frozen=True)
class Activity:
    """One thing that happened."""

    seq: int
    event: str
    at: float  # seconds since 1970
    collection_id: str
    device_id: str | None = None
    data: dict[str, str] = field(default_factory=dict)
    gateway_id: str | None = None

    def envelope(self) -> dict[str, Any]:
        """Seed 003's; what is absent is left out."""
        made: dict[str, Any] = {"collectionId": self.collection_id}
        if self.data:
            made["data"] = self.data
        if self.device_id is not None:
            made["deviceId"] = self.device_id
        made["event"] = self.event
        if self.gateway_id is not None:
            made["gatewayId"] = self.gateway_id
        return {**made, "time": times.plain(self.at)}

    def as_json(self) -> dict[str, Any]:
        """Seed 003's envelope and our `seq`."""
        return {**self.envelope(), "seq": self.seq}


@dataclass(frozen=True)
class Filter:
    """Which activities someone wants; None is all.

    A gateway's include those of the devices behind it, a collection's the deviceMoved of a device that left it.
    """

    device_id: str | None = None
    event: str | None = None
    collection_id: str | None = None

    def takes(self, activity: Activity) -> bool:
        """Whether it is one of those."""
        return (
            self.device_id in (None, activity.device_id, activity.gateway_id)
            and self.event in (None, activity.event)
            and self.collection_id in (None, activity.collection_id, activity.data.get("fromCollectionId"))
        )


class Subscription:
    """One subscriber's bounded queue. Iterate it: an Activity, or an int, the number of activities lost before the next."""

    def __init__(self, wanted: Filter, size: int) -> None:
        self._wanted = wanted
        self._waiting: deque[Activity] = deque(maxlen=size)
        self._lost = 0
        self._closed = False
        self._wake = asyncio.Event()

    def offer(self, activity: Activity) -> None:
        """Queue it when it is wanted; the oldest goes when the queue is full."""
        if self._closed or not self._wanted.takes(activity):
            return
        if len(self._waiting) == self._waiting.maxlen:
            self._lost += 1
        self._waiting.append(activity)
        self._wake.set()

    def close(self) -> None:
        """Nothing is queued from now on; what waits can still be read."""
        self._closed = True
        self._wake.set()

    async def next(self, within: float) -> Activity | int | None:
        """The next activity or the number of lost ones; None when nothing came within so many seconds.

        Raises StopAsyncIteration once it is closed and empty.
        """
        if not self._waiting and not self._lost:
            if self._closed:
                raise StopAsyncIteration
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), within)
            except TimeoutError:
                return None
        if self._lost:
            lost, self._lost = self._lost, 0
            return lost
        if self._waiting:
            return self._waiting.popleft()
        raise StopAsyncIteration

    async def __aiter__(self) -> AsyncIterator[Activity | int]:
        while True:
            try:
                item = await self.next(60)
            except StopAsyncIteration:
                return
            if item is not None:
                yield item


class ActivityFeed:
    """The ring and its subscribers. Everything but `recent` is for the event loop's thread."""

    def __init__(self, ring: int = RING, clock: Callable[[], float] = time.time) -> None:
        self._ring: deque[Activity] = deque(maxlen=ring)
        self._clock = clock
        self._started = clock()
        self._next = self._first = int(self._started * 1_000_000)  # so that numbers go on growing after a restart
        self._subscriptions: set[Subscription] = set()

    def emit(
        self,
        event: str,
        collection_id: str,
        device_id: str | None = None,
        data: dict[str, str] | None = None,
        gateway_id: str | None = None,
    ) -> Activity:
        """Tell everyone. The event is one of seed 003's 24."""
        if event not in EVENTS:
            raise ValueError(f"{event!r} is not one of the events of seed 003")
        activity = Activity(self._next, event, self._clock(), collection_id, device_id, data or {}, gateway_id)
        self._next += 1
        self._ring.append(activity)
        level = logging.DEBUG if event in _MESSAGES and "refused" not in activity.data else logging.INFO
        if log.isEnabledFor(level):
            log.log(level, "%s %s %s", event, device_id or "-", json.dumps(activity.data))
        for subscription in self._subscriptions:
            subscription.offer(activity)
        return activity

    def recent(self, since: int | None = None, wanted: Filter | None = None, last: int | None = None) -> Iterable[Activity]:
        """What the ring still has with a number greater than `since`, oldest first; no more than the `last` so many."""
        wanted = wanted or Filter()
        found = [item for item in self._ring if (since is None or item.seq > since) and wanted.takes(item)]
        return found if last is None else found[max(0, len(found) - last) :]

    def missed(self, since: int | None) -> dict[str, Any] | None:
        """What cannot be told any more to one who saw the number `since` last, as it is told; None when all can, or for 0, nothing seen.

        `{"lost": n}`: n activities, of whatever device or event, have left the ring. `{"lost": null, "restarted": time}`: the hub was
        started after that, and nobody knows what the one before it told last.
        """
        if not since:
            return None
        if since < self._first:
            return {"lost": None, "restarted": times.plain(self._started)}
        oldest = self._ring[0].seq if self._ring else self._next
        return {"lost": oldest - since - 1} if oldest - since > 1 else None

    def subscribe(self, wanted: Filter | None = None, size: int = QUEUE) -> Subscription:
        """A queue of what happens from now on, of at most `size` activities; end it with unsubscribe()."""
        subscription = Subscription(wanted or Filter(), size)
        self._subscriptions.add(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Queue nothing more there."""
        self._subscriptions.discard(subscription)

    def close(self) -> None:
        """End every subscription, so that who follows sees the end."""
        for subscription in self._subscriptions:
            subscription.close()
