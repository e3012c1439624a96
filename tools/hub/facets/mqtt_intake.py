"""From the broker into the store: each message is one piece of work, and is acknowledged once that is committed.

Acknowledgements go out in the order in which the messages came (MQTT 5.0 §4.6), those of one transaction in one write. While the database
cannot be written the messages stay unacknowledged and are tried again, so what the broker has acknowledged to a board is not lost; the
broker sends no more than the hub's Receive Maximum meanwhile, and of QoS 0, which that does not bound, no more is read.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tools.hub.broker.client import Client
from tools.hub.broker.publish import Published
from tools.hub.errors import Refused
from tools.hub.facets.mqtt_sender import Incoming
from tools.hub.store.outage import cause, is_outage
from tools.hub.store.store import Job, Need, Store
from tools.hub.store.unit import Unit

log = logging.getLogger("redpoll.hub.mqtt")

WINDOW = 1000  # messages of QoS 1 and 2 that the broker may have on their way to the store: the hub's Receive Maximum
_WAITING = 2 * WINDOW  # of any QoS; more are left unread
_RETRY_SECONDS = 1.0


@dataclass(slots=True)
class _Message:
    """One that waits for its turn to be acknowledged."""

    packet_id: int  # 0: there is nothing to acknowledge
    stored: bool


class Intake:
    """What comes on one connection."""

    def __init__(
        self, store: Store, read: Callable[[Published], Incoming | None], work: Callable[[Incoming, Unit], None],
        needs: Callable[[Incoming], tuple[Need, ...]],
    ) -> None:  # fmt: skip
        """`read` gives None for what is none of ours; `work` stores one, for which `needs` says what it will ask the database."""
        self._store = store
        self._read = read
        self._work = work
        self._needs = needs
        self._client: Client | None = None
        self._waiting: deque[_Message] = deque()
        self._again: list[Job] = []
        self._tell_soon = False
        self._idle = asyncio.Event()
        self._idle.set()

    def begin(self, client: Client) -> None:
        """Messages come on this connection from now on. What waits from the one before is stored all the same, and comes again."""
        self._client = client
        self._waiting = deque()

    def take(self, messages: list[Published]) -> None:
        """These came, in this order."""
        waiting = self._waiting
        for published in messages:
            incoming = self._read(published) if published.topic else None
            message = _Message(published.packet_id if published.qos else 0, incoming is None)
            waiting.append(message)
            if incoming is not None:
                self._store.put(Job(partial(self._work, incoming), partial(self._done, message), self._needs(incoming)))
        if len(waiting) > _WAITING and self._client is not None:
            self._client.pause()
        self._idle.clear()
        self._tell()

    async def drain(self, seconds: float = 3.0) -> None:
        """Wait until all that came is stored, but no longer than this."""
        try:
            await asyncio.wait_for(self._idle.wait(), seconds)
        except TimeoutError:
            log.warning("stopping with messages that are not stored yet")

    def _done(self, message: _Message, job: Job) -> None:
        error = job.error
        if error is not None and is_outage(error):
            if not self._again:
                log.error("messages cannot be stored (%s); trying again", cause(error))
                asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._retry)
            self._again.append(job)
            return
        if error is not None and not isinstance(error, Refused):
            log.error("a message could not be stored, and will not be", exc_info=error)
        message.stored = True
        self._tell()

    def _retry(self) -> None:
        again, self._again = self._again, []
        for job in again:
            self._store.put(job)

    def _tell(self) -> None:
        if not self._tell_soon:
            self._tell_soon = True
            asyncio.get_running_loop().call_soon(self._acknowledge)

    def _acknowledge(self) -> None:
        self._tell_soon = False
        waiting, ready = self._waiting, []
        while waiting and waiting[0].stored:
            packet_id = waiting.popleft().packet_id
            if packet_id:
                ready.append(packet_id)
        if self._client is not None:
            self._client.acknowledge(ready)
            if len(waiting) < WINDOW:
                self._client.resume()
        if not waiting:
            self._idle.set()
