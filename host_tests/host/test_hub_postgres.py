"""A PostgreSQL server of one's own, and every test of the hub on it."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from databases import EVERYWHERE
from long_run import LONG
from sqlalchemy import text
from waiting import wait_for

from tools.hub.store.database import make_engine
from tools.hub.store.postgres import PostgresProcess
from tools.paths import ROOT

OWN = ("test_hub_migrations.py", "test_hub_postgres.py", "test_hub_retention.py", "test_hub_store.py")  # they try both by themselves


def test_a_server_and_its_folder_go_with_the_process_that_started_it(postgres: PostgresProcess) -> None:
    """`postgres` shows that there can be one here."""
    script = (
        "import sys; from tools.hub.store.postgres import PostgresProcess; "
        "server = PostgresProcess().start(); print(server.server_pid, server.url().partition('host=')[2], flush=True); sys.stdin.read()"
    )
    starter = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert starter.stdout is not None
    server, folder = starter.stdout.readline().decode().split()
    assert Path(folder).exists()
    starter.kill()
    starter.communicate()
    wait_for(lambda: not Path(f"/proc/{server}").exists() if Path("/proc/self").exists() else True, "the end of the server")
    wait_for(lambda: not Path(folder).exists(), "the end of its folder")


def test_each_database_is_its_own(new_postgres_database: Callable[[], str]) -> None:
    one, two = (make_engine(new_postgres_database()) for _ in range(2))
    with one.begin() as connection:
        connection.execute(text("CREATE TABLE devices (id INTEGER)"))
    with two.begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM pg_tables WHERE tablename = 'devices'")).scalar_one() == 0
    for engine in (one, two):
        engine.dispose()


@pytest.mark.timeout(3600)
@pytest.mark.skipif(EVERYWHERE or not LONG, reason="runs hundreds of tests once more: REDPOLL_LONG=1")
def test_the_hub_is_the_same_on_postgresql(postgres: PostgresProcess, figure: Callable[[str], None]) -> None:
    here = Path(__file__).parent
    files = [str(path) for path in sorted(here.glob("test_hub_*.py")) if path.name not in OWN]
    environment = {**os.environ, "REDPOLL_TEST_DATABASE": "postgresql", "REDPOLL_LONG": ""}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *files]
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-8000:]
    figure(" ".join(re.findall(r"\d+ (?:passed|skipped)", ran.stdout)) + " on PostgreSQL")
