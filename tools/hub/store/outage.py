"""Which errors of a database are not the work's: an outage, a damaged file, a lost connection, a collision with another hub."""

import sqlite3

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, TimeoutError

_COLLISIONS = ("40P01", "40001")  # PostgreSQL's deadlock_detected and serialization_failure
_READ_ONLY = "25006"  # its read_only_sql_transaction: another server is the one to write to now
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)  # it is SQLite's file


def is_outage(error: Exception) -> bool:
    """Whether the database is to blame and not the work: the same work may succeed later."""
    if isinstance(error, DBAPIError):
        code = getattr(error.orig, "sqlite_errorcode", 0)
        if code == sqlite3.SQLITE_ERROR:  # it was asked for something that cannot be
            return False
        if code & 0xFF in _DAMAGED:
            return True
        if getattr(error.orig, "sqlstate", None) == _READ_ONLY:
            return True
    return isinstance(error, OperationalError | InterfaceError | TimeoutError) or is_lost(error)


def cause(error: Exception) -> str:
    """What the database has said, in a line; of an error without a text its name."""
    said = getattr(error, "orig", None) or error
    return (str(said).splitlines() or [type(said).__name__])[0]


def is_lost(error: Exception) -> bool:
    """Whether the connection to the database was lost, and with it the transaction."""
    return isinstance(error, DBAPIError) and error.connection_invalidated


def is_collision(error: Exception) -> bool:
    """Whether PostgreSQL has ended the transaction in favour of another (deadlock, serialization failure)."""
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in _COLLISIONS
