"""What every facet needs, in one object: settings, store, activity feed, and the way to the connected devices."""

import asyncio
import contextlib
import hmac
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from tools.hub.activity import ActivityFeed
from tools.hub.broker.logins import LoginKeeper
from tools.hub.domain import dumps, presence, retention, spaces
from tools.hub.domain.devices import is_device_id
from tools.hub.domain.model import prepare_devices
from tools.hub.domain.retention import Keep
from tools.hub.errors import NotAuthorized
from tools.hub.security.links import Links
from tools.hub.security.rates import Rates
from tools.hub.security.signer import Signer
from tools.hub.security.tokens import Tokens
from tools.hub.store.outage import is_outage
from tools.hub.store.store import Store
from tools.hub.store.unit import Push, Unit

log = logging.getLogger("redpoll.hub")

T = TypeVar("T")

_LATE_SECONDS = 5.0
_PRUNE_PAUSE = 0.02  # seconds
_STEP_SECONDS = 5.0  # that the clock may go otherwise than time does between two sweeps


@dataclass(frozen=True)
class Settings:
    """How a hub was started."""

    data: Path
    operator_key: str
    database_url: str
    signer: Signer  # of licences
    public_url: str | None = None  # what boards reach it by, when that is not what they asked for
    lenient: bool = False  # take MQTT messages without user properties
    offline_after: float = 180.0  # seconds of silence
    astarte_realm: str = "redpoll"  # the one realm of the Astarte facet
    kapua_fold: bool = False  # what the Kapua facet shows of operations that have ended
    share_group: str | None = None  # the shared subscription's group, when several hubs share one broker
    rate_limit: int | None = None  # requests of one device within 30 s
    ca: bytes | None = None  # the certificate of the hub's CA, in PEM; None: the hub speaks plain HTTP and MQTT
    keep: Keep = Keep()
    keepalive: float = 15.0  # seconds between the pings of a web socket; one that does not answer within as many is closed

    @property
    def operator_key_hash(self) -> bytes:
        """SHA-256, so that keys are compared at one length."""
        return sha256(self.operator_key.encode()).digest()


class Hub:
    """The hub without its wires."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.activities = ActivityFeed()
        self.store = Store(settings.database_url, self._committed)
        self.home = ""  # the collection of unclaimed devices
        self.mqtt_url = ""  # of the broker, set when that is up
        self.url = ""  # of the HTTP side, for whoever did not say by what it was reached; set when that is up
        self._logins: LoginKeeper | None = None
        self._pushes: dict[str | None, Callable[[Push], None]] = {}  # by kind; None is every other
        self._gone: dict[str, float] = {}  # devices whose session ended, and when
        self._tasks: set[asyncio.Task[None]] = set()
        self._swept = (0.0, 0.0)  # when it was last, by the clock and by the time that nobody sets
        self._hears_since = 0.0  # by that time; before, devices may have spoken without the hub knowing when
        self._operator_key_hash = settings.operator_key_hash
        self.tokens = Tokens(settings.operator_key)
        self.links = Links(settings.operator_key)
        self.rates = Rates(settings.rate_limit)

    async def open(self) -> None:
        """Open the store. Raises as Store.open."""
        self.store.open()
        self.home = await self.store.write(lambda unit: spaces.home(unit.db))
        await self.store.read(lambda db: dumps.sweep(db, self.settings.data, starting=True))
        self._swept = self.now(), self.elapsed()
        self._hears_since = self.elapsed()

    async def close(self) -> None:
        """End the activity feed, note the sessions that have just ended, close the store."""
        self.activities.close()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self.store.close()

    def on_push(self, push: Callable[[Push], None], kind: str | None = None) -> None:
        """Where to hand what connected devices should be sent: of this kind, or all that has no place of its own."""
        self._pushes[kind] = push

    def on_login(self, keeper: LoginKeeper) -> None:
        """Who tells the broker which devices it lets in."""
        self._logins = keeper

    def mqtt_url_for(self, host: str) -> str:
        """The broker's address for a board that reached the hub at this host: a broker that listens everywhere is there too."""
        shown = f"[{host}]" if ":" in host else host
        return self.mqtt_url.replace("//0.0.0.0:", f"//{shown}:").replace("//[::]:", f"//{shown}:")

    def elapsed(self) -> float:
        """Seconds that nobody sets; a machine that sleeps does not count them."""
        return time.monotonic()

    def now(self) -> float:
        """Seconds since 1970, by the clock of what is stored."""
        return self.store.clock()

    async def do(self, work: Callable[[Unit], T]) -> T:
        """Carry one piece of work out; what it told is told when it is committed. Raises a Refused, or what the database raises."""
        if self._logins is None:
            return await self.store.write(work)
        changed = False

        def noting(unit: Unit) -> T:
            nonlocal changed
            value = work(unit)
            changed = bool(unit.logins)
            return value

        value = await self.store.write(noting)
        if changed:
            await self._logins.settled()
        return value

    async def sweep(self) -> None:
        """Take devices offline that have been silent too long.

        After the hub was away or stood still, the database was away, or the clock was set, nobody knows since when: it counts anew.
        """
        now, passed = self.now(), self.elapsed()
        (then, passed_then), self._swept = self._swept, (now, passed)
        if abs(now - then - (passed - passed_then)) > _STEP_SECONDS:
            self.hears_anew("the clock was set, or the machine slept")
        if passed - self._hears_since > self.settings.offline_after:
            await self._look_after(lambda unit: presence.sweep(unit, self.settings.offline_after))

    def hears_anew(self, why: str) -> None:
        """What devices said lately the hub has not heard, or nobody knows when it was."""
        log.warning("%s: how long devices have been silent counts from now on", why)
        self._hears_since = self.elapsed()

    async def prune(self) -> None:
        """Forget what is not to be kept any longer; between two pieces of that others have their turn."""
        while await self._look_after(lambda unit: retention.prune(unit, self.settings.keep)):
            await asyncio.sleep(_PRUNE_PAUSE)
        await self.store.read(lambda db: dumps.sweep(db, self.settings.data))

    async def settle_dump(self, dump_id: str) -> None:
        """A dump could not be stored: what was written of it goes. Where the database cannot tell, prune() sees to it later."""
        if dumps.is_unsettled(self.settings.data, dump_id):
            with contextlib.suppress(SQLAlchemyError):
                await self.store.read(lambda db: dumps.settle(db, self.settings.data, dump_id))

    async def _look_after(self, work: Callable[[Unit], T]) -> T:
        """As do(), for what is done now and then: by this it is noticed that the database is away, also when nobody calls."""
        try:
            return await self.do(work)
        except SQLAlchemyError:
            self._hears_since = self.elapsed()
            raise

    def on_session(self, client: str, gone: str | None) -> None:
        """The broker has a session of this client, or (with the reason) no longer has it. Client ids that are no device's mean nothing."""
        if not is_device_id(client):
            return
        self._gone.pop(client, None)
        if gone is None:
            told = self.store.write(lambda unit: presence.session_up(unit, client), (prepare_devices, client))
        else:
            self._gone[client] = self.now()
            if len(self._gone) > 10_000:
                self._gone.pop(next(iter(self._gone)))
            told = self.store.write(lambda unit: presence.session_down(unit, client, gone), (prepare_devices, client))
        task = asyncio.create_task(_waited_out(told))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def has_just_gone(self, device_id: str) -> bool:
        """Whether the device's session ended moments ago, so that a message of it which is still on its way is no sign of life."""
        gone = self._gone.get(device_id)
        return gone is not None and 0 <= self.now() - gone < _LATE_SECONDS

    def tell_sent(self, push: Push, size: int) -> None:
        """A push of so many bytes is on its way to its device over MQTT."""
        data = {"bytes": str(size), "transport": "mqtt", "kind": "command" if push.kind == "commands" else push.kind}
        self.activities.emit("downstreamMessage", push.collection_id, push.device_id, data)
        for item in push.mirrored:
            self.activities.emit(item.event, item.collection_id, item.device_id, data, item.gateway_id)

    def check_operator(self, key: str | None) -> None:
        """Raises NotAuthorized unless it is the operator's key, bare or after "Bearer"; compared in constant time."""
        given = sha256((key or "").removeprefix("Bearer ").encode()).digest()
        if not hmac.compare_digest(given, self._operator_key_hash):
            raise NotAuthorized(
                "Not authorized: this needs the operator key in the Authorization header; the hub keeps it in operator.key in its "
                "--data directory, unless it was started with --operator-key"
            )

    def _committed(self, unit: Unit) -> None:
        for item in unit.activities:
            self.activities.emit(item.event, item.collection_id, item.device_id, item.data, item.gateway_id)
        for path in unit.gone:
            with contextlib.suppress(OSError):
                path.unlink()
        if self._logins is not None:
            for login in unit.logins:
                self._logins.take(login)
        for push in unit.pushes:
            send = self._pushes.get(push.kind, self._pushes.get(None))
            if send is not None:
                send(push)


async def _waited_out(work: Coroutine[Any, Any, None]) -> None:
    """What an outage of the database takes away here, messages and silence make good."""
    try:
        await work
    except SQLAlchemyError as error:
        if not is_outage(error):
            raise
        log.error("a session is not noted: the database cannot be used")
