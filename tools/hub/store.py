"""The store: one writer thread that commits many pieces of work together, and readers beside it.

A piece of work is a function of a `Unit`. What it wants told to the world (activities, pushes) it notes in the unit; the store hands
the unit to `on_commit` on the event loop after the transaction is on disk and before the caller goes on, so nothing is told that a
crash could take back. Work raises `Refused` before it writes anything that must not stay.
"""

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine

from tools.hub import migrations
from tools.hub.database import make_engine
from tools.hub.errors import Refused

log = logging.getLogger("redpoll.hub.store")

T = TypeVar("T")

BATCH = 256  # pieces of work in one transaction
WAITING = 4096  # pieces of work that may wait for the writer; more make their callers wait


@dataclass
class Happening:
    """One activity to be told after the commit; `device_id` and `collection_id` are absent for what concerns no device."""

    event: str
    device_id: str | None
    collection_id: str
    data: dict[str, str]
    gateway_id: str | None = None


@dataclass
class Push:
    """Something that a connected device should be sent now: `kind` is config, commands, license, space_info, firmware or ota."""

    device_id: str
    collection_id: str
    kind: str
    body: dict[str, Any]
    mirrored: list[Happening] = field(default_factory=list)  # what sending it is for gateways (domain/gateways.py)


@dataclass
class Login:
    """A device's key is new, or with None worth nothing from now on: for a broker that lets devices in by it."""

    device_id: str
    access_key: str | None = field(repr=False)


@dataclass
class Unit:
    """What one piece of work sees and leaves behind."""

    db: Connection
    now: float  # seconds since 1970
    activities: list[Happening] = field(default_factory=list)
    pushes: list[Push] = field(default_factory=list)
    logins: list[Login] = field(default_factory=list)
    marks: dict[str, str] = field(default_factory=dict)  # what the activity about the message in work says beside the usual


@dataclass
class _Job:
    work: Callable[[Unit], Any]
    future: asyncio.Future[Any]
    unit: Unit | None = None
    value: Any = None
    error: Exception | None = None


class Store:
    """A database behind an event loop. `url` is any SQLAlchemy URL; SQLite runs in WAL mode."""

    def __init__(self, url: str, on_commit: Callable[[Unit], None], clock: Callable[[], float] = time.time) -> None:
        self._url = url
        self._on_commit = on_commit
        self._clock = clock
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._room = asyncio.Semaphore(WAITING)
        self._thread: threading.Thread | None = None
        self._engine: Engine | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self) -> None:
        """Open the database, bring it to this hub's schema, start the writer. Raises SchemaError and sqlalchemy.exc.SQLAlchemyError."""
        self._loop = asyncio.get_running_loop()
        migrations.upgrade(self._url)
        self._engine = make_engine(self._url)
        self._thread = threading.Thread(target=self._write_until_closed, name="store", daemon=True)
        self._thread.start()

    async def write(self, work: Callable[[Unit], T]) -> T:
        """Run the work in the writer's next transaction and return its value once that is committed."""
        assert self._loop is not None, "the store is not open"
        async with self._room:
            future: asyncio.Future[T] = self._loop.create_future()
            self._jobs.put(_Job(work, future))
            # a caller that goes away does not take back what it asked for
            return await asyncio.shield(future)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run a reading beside the writer; it sees what is committed."""
        return await asyncio.to_thread(self._read, work)

    async def close(self) -> None:
        """Finish what was asked for and let go of the database."""
        if self._thread is not None:
            self._jobs.put(None)
            await asyncio.to_thread(self._thread.join)
            self._thread = None
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    def _read(self, work: Callable[[Connection], T]) -> T:
        assert self._engine is not None, "the store is not open"
        with self._engine.connect().execution_options(reads=True) as connection:
            return work(connection)

    def _write_until_closed(self) -> None:
        open_ = True
        while open_:
            first = self._jobs.get()
            if first is None:
                return
            batch = [first]
            while len(batch) < BATCH:
                try:
                    job = self._jobs.get_nowait()
                except queue.Empty:
                    break
                if job is None:
                    open_ = False
                    break
                batch.append(job)
            self._commit(batch)

    def _commit(self, batch: list[_Job]) -> None:
        assert self._engine is not None and self._loop is not None
        try:
            with self._engine.begin() as connection:
                for job in batch:
                    self._attempt(connection, job)
        except Exception as error:  # noqa: BLE001 - whatever the database raises, the caller gets it and the writer lives on
            if len(batch) > 1:
                for job in batch:  # one bad piece must not take the others with it
                    self._commit([job])
                return
            batch[0].error = error
            batch[0].unit = None
        self._loop.call_soon_threadsafe(self._finish, batch)

    def _attempt(self, connection: Connection, job: _Job) -> None:
        job.unit = Unit(connection, self._clock())
        job.value = job.error = None
        try:
            job.value = job.work(job.unit)
        except Refused as refused:
            job.error = refused

    def _finish(self, batch: list[_Job]) -> None:
        for job in batch:
            if job.unit is not None:
                self._on_commit(job.unit)
            if job.future.cancelled():
                continue
            if job.error is None:
                job.future.set_result(job.value)
            else:
                job.future.set_exception(job.error)
