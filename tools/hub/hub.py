"""What every facet needs, in one object: settings, store, activity feed, and the way to the connected devices."""

import hmac
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from tools.hub.activity import ActivityFeed
from tools.hub.domain import presence
from tools.hub.domain.model import home_collection
from tools.hub.errors import NotAuthorized
from tools.hub.store import Push, Store, Unit

log = logging.getLogger("redpoll.hub")

T = TypeVar("T")


@dataclass(frozen=True)
class Settings:
    """How a hub was started."""

    data: Path
    operator_key: str
    database_url: str
    public_url: str | None = None  # what boards reach it by, when that is not what they asked for
    mqtt_url: str | None = None  # what boards are told; host None means the host that they asked for
    lenient: bool = False  # take MQTT messages without user properties
    offline_after: float = 180.0  # seconds of silence
    share_group: str | None = None  # the shared subscription's group, when several hubs share one broker

    @property
    def operator_key_hash(self) -> bytes:
        return sha256(self.operator_key.encode()).digest()


class Hub:
    """The hub without its wires."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.activities = ActivityFeed()
        self.store = Store(settings.database_url, self._committed)
        self.home = ""  # the collection of unclaimed devices
        self.mqtt_url = settings.mqtt_url
        self._push: Callable[[Push], None] | None = None
        self._operator_key_hash = settings.operator_key_hash

    async def open(self) -> None:
        self.store.open()
        self.home = await self.store.write(lambda unit: home_collection(unit.db))

    async def close(self) -> None:
        self.activities.close()
        await self.store.close()

    def on_push(self, push: Callable[[Push], None]) -> None:
        """Where to hand what connected devices should be sent."""
        self._push = push

    def now(self) -> float:
        """Seconds since 1970."""
        return time.time()

    async def do(self, work: Callable[[Unit], T]) -> T:
        """Carry one piece of work out; what it told is told when it is committed. Raises a Refused, or what the database raises."""
        return await self.store.write(work)

    async def sweep(self) -> None:
        """Take devices offline that have been silent too long."""
        await self.do(lambda unit: presence.sweep(unit, self.settings.offline_after))

    def check_operator(self, key: str | None) -> None:
        """Raises NotAuthorized unless it is the operator's key; compared in constant time."""
        given = sha256((key or "").encode()).digest()
        if not hmac.compare_digest(given, self._operator_key_hash):
            raise NotAuthorized("Not authorized: this needs the operator key in the Authorization header")

    def _committed(self, unit: Unit) -> None:
        for item in unit.activities:
            self.activities.emit(item.event, item.collection_id, item.device_id, item.data)
        if self._push is not None:
            for push in unit.pushes:
                self._push(push)
