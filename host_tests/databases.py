"""The databases that the hub's store is tried on: `DATABASES` are the names, `database_url` gives a new one of that kind.

With REDPOLL_TEST_DATABASE=postgresql in the environment every hub of every test has its data there, unless the test says where.
`make test-long` runs the hub's tests that way too.
"""

import atexit
import contextlib
import itertools
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tools.hub.process import HubProcess, ProcessError
from tools.hub.store.postgres import PostgresProcess

DATABASES = ("sqlite", "postgresql")
EVERYWHERE = os.environ.get("REDPOLL_TEST_DATABASE") == "postgresql"
sqlite_only = pytest.mark.skipif(EVERYWHERE, reason="looks into an SQLite file")
_numbers = itertools.count()
_servers: list[PostgresProcess] = []
_urls: dict[Path, str] = {}


def url_in(folder: Path) -> str:
    """Where the hub that has its data in this folder keeps its database; the same for the same folder."""
    if not EVERYWHERE:
        return f"sqlite:///{folder / 'hub.sqlite'}"
    if not _servers:
        _servers.append(PostgresProcess().start())
        atexit.register(_servers[0].stop)
    if folder not in _urls:
        _urls[folder] = _servers[0].create(f"test_{next(_numbers)}")
    return _urls[folder]


@contextlib.contextmanager
def locked(file: Path) -> Iterator[None]:
    """Nobody can write to this SQLite file meanwhile."""
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@pytest.fixture(scope="session", autouse=EVERYWHERE)
def hubs_everywhere() -> Iterator[None]:
    """Give hub processes their database, too."""
    start = HubProcess.start

    def start_there(hub: HubProcess) -> HubProcess:
        if "--database" not in hub._extra:
            hub._extra += ("--database", url_in(hub.data))
        return start(hub)

    with pytest.MonkeyPatch.context() as patch:
        if EVERYWHERE:
            patch.setattr(HubProcess, "start", start_there)
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresProcess]:
    """One server for all tests; where there can be none, they skip and say why."""
    server = PostgresProcess()
    try:
        server.start()
    except ProcessError as error:
        pytest.skip(str(error))
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def new_postgres_database(postgres: PostgresProcess) -> Callable[[], str]:
    """Gives the URL of a new, empty database."""
    return lambda: postgres.create(f"test_{next(_numbers)}")


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database that is not there yet, or empty."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.sqlite'}"
    return str(request.getfixturevalue("new_postgres_database")())
