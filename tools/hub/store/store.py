"""The store: one writer thread that commits many pieces of work together, and readers beside it.

A piece of work is a function of a `Unit`. What it wants told to the world (activities, pushes) it notes in the unit; the store hands
the unit to `on_commit` on the event loop after the transaction is on disk and before the caller goes on, so nothing is told that a
crash could take back. Work raises `Refused` before it writes anything that must not stay.

Work may run more than once before it is committed: when another piece of its transaction fails, and when PostgreSQL ends a transaction
that another hub's stands in the way of. Work that comes by the thousand says what it will need (`Need`), which is read for all at once.

A database that cannot be reached or written is an outage: whoever asked gets its error (`is_outage`), and may ask again.
"""

import asyncio
import logging
import queue
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from tools.hub.errors import Refused
from tools.hub.store import migrations
from tools.hub.store.database import make_engine
from tools.hub.store.gathered import gathering, watch
from tools.hub.store.outage import is_collision, is_lost, is_outage
from tools.hub.store.unit import Unit

log = logging.getLogger("redpoll.hub.store")
T = TypeVar("T")
BATCH = 512  # pieces of work in one transaction
WAITING = 4096  # pieces of work that may wait for the writer; more make their callers wait
ATTEMPTS = 5  # at a transaction that another hub's was in the way of, or whose connection was lost
COLLISION_SECONDS = 0.05  # at most, between two of them
Need = tuple[Callable[[Connection, list[Any]], None], Any]  # what gets something ready for all, and what of it is needed


@dataclass
class Job:
    """A piece of work, and when it is done, what became of it: `error`, else `value`."""

    work: Callable[[Unit], Any]
    done: Callable[["Job"], None]  # on the event loop
    needs: tuple[Need, ...] = ()
    unit: Unit | None = None
    value: Any = None
    error: Exception | None = None


class Store:
    """A database behind an event loop. `url` is any SQLAlchemy URL; SQLite runs in WAL mode."""

    def __init__(self, url: str, on_commit: Callable[[Unit], None], clock: Callable[[], float] = time.time) -> None:
        self._url = url
        self._on_commit = on_commit
        self.clock = clock
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._room = asyncio.Semaphore(WAITING)
        self._thread: threading.Thread | None = None
        self._engine: Engine | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self) -> None:
        """Open the database, bring it to this hub's schema, start the writer. Raises SchemaError and sqlalchemy.exc.SQLAlchemyError."""
        self._loop = asyncio.get_running_loop()
        migrations.upgrade(self._url)
        self._engine = make_engine(self._url)
        watch(self._engine)
        self._thread = threading.Thread(target=self._write_until_closed, name="store", daemon=True)
        self._thread.start()

    async def write(self, work: Callable[[Unit], T], *needs: Need) -> T:
        """Run the work in the writer's next transaction and return its value once that is committed.

        Raises what the work raises, and what the database raises.
        """
        assert self._loop is not None, "the store is not open"
        async with self._room:
            future: asyncio.Future[T] = self._loop.create_future()
            self._jobs.put(Job(work, lambda job: _answer(future, job), needs))
            # a caller that goes away does not take back what it asked for
            return await asyncio.shield(future)

    def put(self, job: Job) -> None:
        """Have the job done in one of the writer's next transactions, in the order of the calls. The caller bounds how many wait."""
        self._jobs.put(job)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run a reading beside the writer; it sees what is committed. On a connection that is lost it is run once more, on another."""
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
        try:
            return self._read_once(work)
        except DBAPIError as error:
            if not is_lost(error):
                raise
            return self._read_once(work)  # the other connections from before are given up too

    def _read_once(self, work: Callable[[Connection], T]) -> T:
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

    def _commit(self, batch: list[Job]) -> None:
        assert self._loop is not None
        for attempt in range(ATTEMPTS):
            try:
                self._run(batch)
                break
            except Exception as error:  # noqa: BLE001 - whatever the database raises, the caller gets it and the writer lives on
                if attempt + 1 < ATTEMPTS and (is_collision(error) or is_lost(error)):
                    time.sleep(random.random() * COLLISION_SECONDS)
                    continue
                if len(batch) > 1 and (is_collision(error) or not is_outage(error)):
                    for job in batch:  # one bad piece must not take the others with it, and alone it wants fewer rows of others
                        self._commit([job])
                    return
                for job in batch:
                    job.error, job.unit = error, None
                break
        self._loop.call_soon_threadsafe(self._finish, batch)

    def _run(self, batch: list[Job]) -> None:
        assert self._engine is not None
        with self._engine.begin() as connection, gathering(connection) as gathered:
            for prepare, needed in _needs(batch).items():
                prepare(connection, needed)
            for job in batch:
                self._attempt(connection, job)
            gathered.write()

    def _attempt(self, connection: Connection, job: Job) -> None:
        job.unit = Unit(connection, self.clock())
        job.value = job.error = None
        try:
            job.value = job.work(job.unit)
        except Refused as refused:
            job.error = refused

    def _finish(self, batch: list[Job]) -> None:
        for job in batch:
            if job.unit is not None:
                self._on_commit(job.unit)
            job.done(job)


def _answer(future: asyncio.Future[Any], job: Job) -> None:
    if future.cancelled():
        return
    if job.error is None:
        future.set_result(job.value)
    else:
        future.set_exception(job.error)


def _needs(batch: list[Job]) -> dict[Callable[[Connection, list[Any]], None], list[Any]]:
    found: dict[Callable[[Connection, list[Any]], None], list[Any]] = {}
    for job in batch:
        for prepare, needed in job.needs:
            found.setdefault(prepare, []).append(needed)
    return found
