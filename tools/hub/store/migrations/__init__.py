"""The database's schema, revision by revision, and the way from any of them to the newest (Alembic).

`versions/` has one file a revision, numbered one after the other. tables.py is what all of them together make; a test holds them to that,
on SQLite and on PostgreSQL. To change the schema: change tables.py, then

    .venv/bin/python -m tools.hub.store.migrations "why the schema changes"

which writes the next revision from the difference; read it, and fill in what no tool can know (what existing rows get in a new column).
A revision that was delivered is never changed. Two engineers who made the same number: the one who merges second deletes his file and
runs the command again. Nothing is said about the way back: a hub refuses a database of a revision that it does not know.

A revision runs in one transaction with all that are due, under a lock, so several hubs may start at once and a crash leaves the database
as it was. On SQLite foreign keys are not enforced meanwhile (a table that is rebuilt would take its children with it) and are checked
at the end. A database made before there were revisions has no mark; the first revision gives it what it lacks.
"""

import contextlib
import logging
import sys
from collections.abc import Iterator
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, NullPool, text
from sqlalchemy.exc import SQLAlchemyError

from tools.hub.store.database import make_engine

log = logging.getLogger("redpoll.hub.store")

_LOCK_SECONDS = 60  # how long another hub may take with the same
_LOCK = 0x726564706F6C6C  # of PostgreSQL's advisory locks: "redpoll"


class SchemaError(Exception):
    """The database cannot be brought to the schema of this hub; the text says why and what to do."""


def upgrade(url: str, revision: str = "head") -> None:
    """Make the tables, or bring those that are there to this revision, once however many hubs ask at the same time.

    Raises SchemaError for a database of a revision that is not known here, or that is none of a hub; sqlalchemy.exc.SQLAlchemyError.
    """
    engine = make_engine(url, wait=_LOCK_SECONDS, references=False, poolclass=NullPool)
    try:
        with _scripts() as config, _locked(engine) as connection:
            known = ScriptDirectory.from_config(config)
            found = MigrationContext.configure(connection).get_current_heads()
            unknown = [number for number in found if number not in {script.revision for script in known.walk_revisions()}]
            if unknown:
                raise SchemaError(
                    f"the database is of revision {unknown[0]}, this hub knows up to {known.get_current_head()}: it was made by a newer "
                    "redpoll; start that one, or give another --database"
                )
            if found and found[0] != known.get_current_head():
                log.info("the database is brought from revision %s to %s", found[0], known.get_current_head())
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
            _check_references(connection)
    finally:
        engine.dispose()


def head() -> str:
    """The newest revision."""
    with _scripts() as config:
        return str(ScriptDirectory.from_config(config).get_current_head())


def add_revision(why: str, folder: Path | None = None) -> Path:
    """Write the next revision, what turns the newest one into tables.py, beside the others or into another folder. Returns its file."""
    number = f"{int(head()) + 1:04d}"
    engine = make_engine("sqlite://", references=False)
    with _scripts(folder) as config, engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        place = None if folder is None else str(folder)
        script: Any = command.revision(config, why, autogenerate=True, rev_id=number, version_path=place)
        return Path(script.path)


@contextlib.contextmanager
def _scripts(more: Path | None = None) -> Iterator[Config]:
    """Where the revisions are, as Alembic is told it; `more` is another folder with some."""
    with as_file(files(__name__)) as folder:
        places = [folder / "versions", *([] if more is None else [more])]
        config = Config()
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        config.set_main_option("version_locations", "\n".join(map(str, places)).replace("%", "%%"))
        config.set_main_option("path_separator", "newline")
        config.set_main_option("file_template", "r%%(rev)s_%%(slug)s")
        yield config


@contextlib.contextmanager
def _locked(engine: Engine) -> Iterator[Connection]:
    """A transaction that has the database for itself."""
    with engine.begin() as connection:  # SQLite: it has the lock from its beginning
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        yield connection


def _check_references(connection: Connection) -> None:
    if connection.dialect.name != "sqlite":
        return
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if broken is not None:
        raise SchemaError(
            f"the database has a row of {broken[0]} that belongs to no row of {broken[2]}: it is damaged, give another --database"
        )


def main() -> int:
    if len(sys.argv) != 2:
        print('usage: python -m tools.hub.store.migrations "why the schema changes"', file=sys.stderr)
        return 2
    try:
        print(add_revision(sys.argv[1]))
    except (SQLAlchemyError, SchemaError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0
