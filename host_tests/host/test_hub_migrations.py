"""The database of any hub that there was becomes the one of this hub, and nothing in it is lost."""

import asyncio
import functools
import multiprocessing
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from hub_support import RunHub, assert_refused
from long_run import LONG
from sqlalchemy import JSON, Boolean, Connection, Float, MetaData, NullPool, String, Table, func, insert, inspect, select

from tools.hub.domain import commands, devices, telemetry
from tools.hub.domain.model import get_device
from tools.hub.store import migrations, tables
from tools.hub.store.database import make_engine
from tools.hub.store.migrations import SchemaError
from tools.hub.store.store import Store
from tools.paths import ROOT

OLD = ROOT / "host_tests" / "host" / "databases"  # as `sqlite3 hub.sqlite .dump` gives them
NUMBERS = [f"{number:04d}" for number in range(1, int(migrations.head()) + 1)]
OLD_KEYS = {
    "first_hub": ("6485cbd6-ec5c-4d4a-8cad-8ec78759f11e", "9df4c3f5a16ffdc1c58b0b2f1266adbf"),
    "last_hub_without_revisions": ("8e243e70-ca44-4830-85a8-7ae6c2110b14", "236e94aa6616420e3b512881fc253fb2"),
}


def look(url: str, work: Callable[[Connection], Any]) -> Any:
    engine = make_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        return work(connection)


def revision_of(url: str) -> Any:
    return look(url, lambda db: db.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one())


def differences(db: Connection) -> list[Any]:
    return list(compare_metadata(MigrationContext.configure(db, opts={"compare_type": True}), tables.metadata))


# ---- the revisions and tables.py


def test_the_revisions_make_what_the_tables_say(database_url: str) -> None:
    migrations.upgrade(database_url)
    assert look(database_url, differences) == []
    assert revision_of(database_url) == migrations.head()


def test_a_difference_between_revisions_and_tables_would_be_seen(database_url: str) -> None:
    migrations.upgrade(database_url)
    look(database_url, lambda db: db.exec_driver_sql("ALTER TABLE devices ADD COLUMN extra INTEGER"))
    assert [item[0] for item in look(database_url, differences)] == ["remove_column"]


def test_a_database_that_is_new_enough_is_left_as_it_is(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'hub.sqlite'}"
    migrations.upgrade(url)
    before = look(url, lambda db: db.exec_driver_sql("PRAGMA schema_version").scalar_one())
    migrations.upgrade(url)
    assert look(url, lambda db: db.exec_driver_sql("PRAGMA schema_version").scalar_one()) == before


def test_every_counter_has_room_for_more_than_two_thousand_million_rows(database_url: str) -> None:
    migrations.upgrade(database_url)
    counted = look(database_url, count_on_from_the_largest_of_32_bits)
    assert len(counted) == 8
    assert set(counted.values()) == {2**31}


def count_on_from_the_largest_of_32_bits(db: Connection) -> dict[str, int]:
    """Two rows in each table, of which the second counts on; the numbers of those."""
    found = {}
    for table in tables.metadata.sorted_tables:
        first, second = ({column.name: value_for(column, n) for column in table.columns} for n in (1, 2))
        if "seq" in table.columns:
            first["seq"] = 2**31 - 1
            del second["seq"]
            if db.dialect.name == "postgresql":
                db.exec_driver_sql(f"SELECT setval('{table.name}_seq_seq', {2**31 - 1})")
        for row in (first, second):
            db.execute(insert(table).values(row))
        if "seq" in table.columns:
            found[table.name] = db.execute(select(func.max(table.c.seq))).scalar_one()
    return found


# ---- from each revision to the newest


@pytest.mark.parametrize("number", NUMBERS)
def test_a_database_of_each_revision_keeps_its_rows(database_url: str, number: str) -> None:
    migrations.upgrade(database_url, number)
    assert revision_of(database_url) == number
    before = look(database_url, fill)
    migrations.upgrade(database_url)
    after = look(database_url, read_all)
    for table, rows in before.items():
        for old, new in zip(rows, after[table], strict=True):
            assert {name: value for name, value in old.items() if name in new} == {name: new[name] for name in old if name in new}
    assert look(database_url, differences) == []


def fill(db: Connection) -> dict[str, list[dict[str, Any]]]:
    """Two rows in each table, a value in each column."""
    found = MetaData()
    found.reflect(db)
    for table in found.sorted_tables:
        if table.name != "alembic_version":
            db.execute(insert(table), [{column.name: value_for(column, n) for column in table.columns} for n in (1, 2)])
    return read_all(db)


def value_for(column: Any, n: int) -> Any:
    for key in column.foreign_keys:
        return value_for(key.column, n)
    if isinstance(column.type, JSON):
        return {"n": n}
    if isinstance(column.type, Boolean):
        return n == 1
    if isinstance(column.type, Float):
        return n + 0.5
    return f"{n}{column.name}"[: column.type.length] if isinstance(column.type, String) else n


def read_all(db: Connection) -> dict[str, list[dict[str, Any]]]:
    found = MetaData()
    found.reflect(db)
    return {table.name: read(db, table) for table in found.sorted_tables if table.name != "alembic_version"}


def read(db: Connection, table: Table) -> list[dict[str, Any]]:
    return [dict(row._mapping) for row in db.execute(select(table).order_by(*table.primary_key.columns))]


@pytest.mark.parametrize("name", OLD_KEYS)
def test_a_database_from_before_there_were_revisions_is_taken_over(tmp_path: Path, name: str) -> None:
    path = tmp_path / "hub.sqlite"
    with sqlite3.connect(path) as database:
        database.executescript((OLD / f"{name}.sql").read_text())
    device_id, key = OLD_KEYS[name]

    async def scenario() -> None:
        store = Store(f"sqlite:///{path}", lambda _unit: None)
        store.open()
        try:
            found = await store.read(lambda db: devices.authenticate(db, device_id, key))
            assert (found.name, found.space_version, found.state["k"], found.kept_messages) == ("Lamp 1", 1, 2, 3)
            history = await store.read(lambda db: telemetry.history(db, device_id, 10, None, 0))
            assert [item["telemetries"]["k"] for item in history] == [2, 1, 0]
            waiting = await store.read(lambda db: commands.unfinished(db, device_id))
            assert [(item.name, item.parameters) for item in waiting] == [("blink", {"times": 2})]
            await store.write(lambda unit: telemetry.send(unit, get_device(unit.db, device_id), {"telemetries": {"k": 3}}, 1))
            assert (await store.read(lambda db: get_device(db, device_id))).state["k"] == 3
        finally:
            await store.close()

    asyncio.run(scenario())
    assert look(f"sqlite:///{path}", differences) == []
    assert revision_of(f"sqlite:///{path}") == migrations.head()


# ---- what is refused


def test_a_database_of_a_newer_revision_is_refused_and_untouched(database_url: str) -> None:
    migrations.upgrade(database_url)
    look(database_url, lambda db: db.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaError, match=f"of revision 9999, this hub knows up to {migrations.head()}"):
        migrations.upgrade(database_url)
    assert revision_of(database_url) == "9999"


def test_a_hub_says_that_its_database_is_newer(tmp_path: Path, run_hub: RunHub) -> None:
    url = f"sqlite:///{tmp_path / 'hub.sqlite'}"
    migrations.upgrade(url)
    look(url, lambda db: db.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'"))
    ended = run_hub("--port", "0", "--broker", "embedded:0", "--data", str(tmp_path))
    assert_refused(ended, "--database: the database is of revision 9999")


def test_somebody_elses_tables_are_refused_and_untouched(database_url: str) -> None:
    look(database_url, lambda db: db.exec_driver_sql("CREATE TABLE devices (id VARCHAR(36) PRIMARY KEY, owner INTEGER)"))
    with pytest.raises(SchemaError, match="a table devices that is not a hub's"):
        migrations.upgrade(database_url)
    assert look(database_url, lambda db: inspect(db).get_table_names()) == ["devices"]


def test_a_row_that_belongs_to_nothing_is_found(tmp_path: Path) -> None:
    path = tmp_path / "hub.sqlite"
    migrations.upgrade(f"sqlite:///{path}", "0001")
    with sqlite3.connect(path) as database:
        database.execute(
            "INSERT INTO telemetry (device_id, received_at, timestamp, telemetries, override) VALUES ('nobody', 1, 1, '{}', 0)"
        )
    with pytest.raises(SchemaError, match="a row of telemetry that belongs to no row of devices"):
        migrations.upgrade(f"sqlite:///{path}")
    assert revision_of(f"sqlite:///{path}") == "0001"


# ---- several hubs at once, and a crash


def test_hubs_that_start_at_the_same_moment_make_the_tables_once(database_url: str) -> None:
    assert at_once(database_url) == [None] * 4
    assert look(database_url, differences) == []


def test_hubs_that_start_at_the_same_moment_upgrade_once(database_url: str) -> None:
    migrations.upgrade(database_url, "0001")
    before = look(database_url, fill)
    assert at_once(database_url) == [None] * 4
    assert {name: len(rows) for name, rows in look(database_url, read_all).items() if rows} == {
        name: len(rows) for name, rows in before.items() if rows
    }


def at_once(url: str) -> list[str | None]:
    """Upgrade from four processes; what each raised."""
    context = multiprocessing.get_context("fork")
    barrier, said = context.Barrier(4), context.SimpleQueue()
    children = [context.Process(target=upgrade_and_say, args=(url, barrier, said)) for _ in range(4)]
    for child in children:
        child.start()
    found = [said.get() for _ in children]
    for child in children:
        child.join()
    return found


def upgrade_and_say(url: str, barrier: Any, said: Any) -> None:
    try:
        barrier.wait(20)
        migrations.upgrade(url)
    except Exception as error:  # noqa: BLE001 - the parent shows it
        said.put(repr(error))
    else:
        said.put(None)


def test_an_upgrade_that_fails_leaves_the_database_as_it_was(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    migrations.upgrade(database_url, "0001")
    before = look(database_url, fill)

    def fail(_connection: Connection) -> None:
        raise RuntimeError("the power is gone")

    monkeypatch.setattr(migrations, "_check_references", fail)
    with pytest.raises(RuntimeError):
        migrations.upgrade(database_url)
    assert revision_of(database_url) == "0001"
    assert look(database_url, read_all) == before


# ---- how one adds a revision


def test_the_next_revision_is_written_from_the_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = MetaData()
    for table in tables.metadata.sorted_tables:
        table.to_metadata(changed)
    changed.tables["spaces"].append_column(tables.Column("colour", tables.String(16)))
    monkeypatch.setattr(tables, "metadata", changed)
    path = migrations.add_revision("spaces have a colour", tmp_path)
    text = path.read_text()
    assert path.name == f"r{int(migrations.head()) + 1:04d}_spaces_have_a_colour.py"
    assert "add_column(sa.Column('colour', sa.String(length=16), nullable=True))" in text
    monkeypatch.setattr(migrations, "_scripts", functools.partial(migrations._scripts, tmp_path))
    url = f"sqlite:///{tmp_path / 'x.sqlite'}"
    migrations.upgrade(url)
    assert look(url, lambda db: compare_metadata(MigrationContext.configure(db), changed)) == []


@pytest.mark.skipif(not LONG, reason="builds a wheel: REDPOLL_LONG=1")
def test_an_installed_redpoll_has_its_revisions(tmp_path: Path) -> None:
    source = tmp_path / "source"  # a build leaves things behind
    shutil.copytree(ROOT / "tools", source / "tools")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(source)]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
    ours = [path for path in (ROOT / "tools/hub/store/migrations").rglob("*") if path.suffix in (".py", ".mako")]
    assert {str(path.relative_to(ROOT)) for path in ours} <= names
