"""The databases that the hub's store is tried on: `DATABASES` are the names, `database_url` gives a new one of that kind."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tools.hub.postgres import PostgresProcess, find_postgres

needs_postgres = pytest.mark.skipif(find_postgres() is None, reason="PostgreSQL is not installed (apt install postgresql)")
DATABASES = ("sqlite", pytest.param("postgresql", marks=needs_postgres))
_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresProcess]:
    """One server for all tests."""
    with PostgresProcess() as server:
        yield server


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
