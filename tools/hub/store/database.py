"""The connection to the database: SQLite in WAL mode, PostgreSQL through psycopg, or whatever else SQLAlchemy knows.

A connection with the execution option `reads` begins a transaction that only reads; any other writes.
"""

import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, OperationalError

_A_URL = "a URL is postgresql://user:password@host:5432/name"
WAIT_SECONDS = 10.0  # for a lock that another process has


def make_engine(url: str, *, wait: float | None = None, references: bool = True, **options: Any) -> Engine:
    """An engine for this URL. `wait`: seconds for SQLite's lock (10); `references` False: SQLite does not enforce foreign keys.

    `postgresql://` and `postgres://` are PostgreSQL through psycopg. Errors do not repeat what was to be stored: they come into the log.
    Raises sqlalchemy.exc.ArgumentError for what is no URL.
    """
    parsed = driver_of(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, hide_parameters=True, **options)
    seconds = WAIT_SECONDS if wait is None else wait
    engine = create_engine(parsed, connect_args={"timeout": seconds}, hide_parameters=True, **options)

    def tune(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # _begin begins, not sqlite3, which would do so only at the first change
        _set_wal(connection, seconds)
        # in WAL mode NORMAL never leaves a half-written database; a power cut may cost the last commits, a killed process none
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(f"PRAGMA foreign_keys={'ON' if references else 'OFF'}")
        connection.execute("PRAGMA cache_size=-32768")  # KiB: the pages of some thousand devices that write all the time

    event.listen(engine, "connect", tune)
    if parsed.database and parsed.database != ":memory:":
        _guard(engine, Path(parsed.database))
    event.listen(engine, "begin", _begin)
    return engine


def driver_of(url: str) -> URL:
    """The URL with the driver that we have. Raises sqlalchemy.exc.ArgumentError."""
    try:
        parsed = make_url(url)
    except ValueError:  # its text has what stands in the port's place: the password, where the host is missing
        raise ArgumentError(f"its port is no number; {_A_URL}") from None
    if "@" in (parsed.host or ""):  # what is before it belongs to the password
        raise ArgumentError(f"it has more than one @, which within a password is %40; {_A_URL}")
    return parsed.set(drivername="postgresql+psycopg") if parsed.drivername in ("postgresql", "postgres") else parsed


def _guard(engine: Engine, path: Path) -> None:
    """Have everything fail, as in an outage, while the file is not the one that was opened.

    SQLite does not look: it goes on reading and writing what nobody finds any more, or makes an empty one for its next connection.
    """
    opened: list[tuple[int, int]] = []

    def check(*_: Any) -> None:
        if opened and _identity(path) != opened[0]:
            why = f"{path} was deleted or replaced under the hub: stop the hub, put the file or a backup of it back, start the hub"
            raise OperationalError(None, None, sqlite3.OperationalError(why))

    def remember(*_: Any) -> None:
        found = _identity(path)
        if not opened and found is not None:
            opened.append(found)

    event.listen(engine, "connect", remember)
    for moment in ("do_connect", "begin", "commit"):
        event.listen(engine, moment, check)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _begin(connection: Connection) -> None:
    # a writer takes the lock before it reads what it will change, or two hubs on one database undo each other's changes
    reads = connection.get_execution_options().get("reads", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _set_wal(connection: Any, wait: float) -> None:
    """The mode stays with the file. SQLite does not wait for its lock when it changes the mode, so we do."""
    deadline = time.monotonic() + wait
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").fetchone()
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
