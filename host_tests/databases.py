"""The databases that the hub's store is tried on: `DATABASES` are the names, `database_url` gives a new one of that kind."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tools.hub.postgres import PostgresProcess
from tools.hub.process import ProcessError

DATABASES = ("sqlite", "postgresql")
_numbers = itertools.count()


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
