"""What a disk or a database fails at while the hub starts, in a line: what is wrong, where, and what to do."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import URL
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from tools.hub.server.folder import StartError, cannot_write
from tools.hub.store.database import driver_of
from tools.hub.store.migrations import SchemaError
from tools.hub.store.outage import cause, is_outage

_WHAT_TO_DO = {
    sqlite3.SQLITE_FULL: "make room there",
    sqlite3.SQLITE_BUSY: "end what has it open",
    sqlite3.SQLITE_CORRUPT: "put a backup of it back",
    sqlite3.SQLITE_NOTADB: "put a backup of it back",
}


@contextlib.contextmanager
def starting(data: Path, database_url: str) -> Iterator[None]:
    """Raises StartError for what this data directory and this database raise meanwhile."""
    try:
        yield
    except SchemaError as error:
        raise StartError(f"--database: {error}") from error
    except ArgumentError as error:
        raise StartError(f"--database: {cause(error)}") from error
    except SQLAlchemyError as error:
        where, what_to_do = _place(driver_of(database_url), error)
        text = f"the database {where} cannot be used: {cause(error)}; {what_to_do}, or give another --database"
        raise StartError(text, 1 if is_outage(error) else 2) from error
    except OSError as error:
        raise cannot_write(data, error) from error


def _place(url: URL, error: SQLAlchemyError) -> tuple[str, str]:
    """Where the database is, its password hidden, which may be among the options too; and what to do there."""
    if url.get_backend_name() != "sqlite":
        return url.set(drivername=url.get_backend_name(), query={}).render_as_string(), "start or mend that server"
    code = getattr(getattr(error, "orig", None), "sqlite_errorcode", 0) & 0xFF
    return str(url.database), _WHAT_TO_DO.get(code, "give a --data that can be written")
