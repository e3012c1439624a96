"""The store and what brings messages to it: many in one transaction are as each alone, nothing is acknowledged that is not committed."""

import asyncio
import json
import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from databases import locked
from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt.client import MQTTv5
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from sqlalchemy import select, text
from sqlalchemy.exc import DatabaseError, DBAPIError, IntegrityError, OperationalError
from store_bench import StoreBench

from tools.hub.broker.publish import Published, Undecodable, decode
from tools.hub.domain import devices, presence, telemetry
from tools.hub.domain.model import find_device, get_device, prepare_devices
from tools.hub.errors import Malformed, NotFound, Refused
from tools.hub.facets.mqtt_intake import WINDOW, Intake
from tools.hub.facets.mqtt_sender import Incoming
from tools.hub.store import database, tables
from tools.hub.store.outage import is_outage
from tools.hub.store.postgres import PostgresProcess
from tools.hub.store.store import Job, Store
from tools.hub.store.unit import Unit

DEADLINE = 20.0


async def until(condition: Callable[[], Any], what: str = "the condition") -> None:
    deadline = asyncio.get_running_loop().time() + DEADLINE
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"{what} did not come"
        await asyncio.sleep(0.01)


class Bench(StoreBench):
    """With work that is done in one transaction."""

    async def at_once(self, works: list[Callable[[Unit], Any]], needs: Any = None) -> list[Job]:
        """Have them done in one transaction: they are all there when the writer looks."""
        hold, done = asyncio.Event(), []
        loop = asyncio.get_running_loop()

        def wait(_unit: Unit) -> None:
            asyncio.run_coroutine_threadsafe(hold.wait(), loop).result(DEADLINE)

        blocker = asyncio.create_task(self.store.write(wait))
        await asyncio.sleep(0)
        for number, work in enumerate(works):
            self.store.put(Job(work, done.append, () if needs is None else needs[number]))
        hold.set()
        await blocker
        await until(lambda: len(done) == len(works))
        return done


@pytest.fixture
def bench(database_url: str) -> Bench:
    return Bench(database_url)


# ---- many messages in one transaction


def random_messages(chance: random.Random, ids: list[str]) -> list[tuple[str, dict[str, Any], int | None]]:
    made = []
    for _ in range(150):
        values = {name: chance.choice([None, True, 1.5, "x", chance.randrange(9)]) for name in chance.sample("abcdef", chance.randrange(4))}
        body: dict[str, Any] = {"telemetries": values, "override": chance.random() < 0.1}
        if chance.random() < 0.5:
            body["timestamp"] = f"2026-11-21T05:{chance.randrange(60):02d}:00Z"
        if chance.random() < 0.3:
            body["status"] = chance.choice(["online", "error", "no such status"])
        made.append((chance.choice(ids), body, chance.choice([None, chance.randrange(40)])))
    return made


def take(device_id: str, body: dict[str, Any], number: int | None) -> Callable[[Unit], None]:
    def work(unit: Unit) -> None:
        device = presence.seen(unit, get_device(unit.db, device_id), "mqtt")
        telemetry.send(unit, device, body, number)

    return work


def test_many_messages_in_one_transaction_are_as_each_in_its_own(bench: Bench) -> None:
    async def scenario() -> None:
        chance = random.Random(20261121)
        alone, together = [[await bench.device(f"{kind}{n}") for n in range(4)] for kind in ("alone", "together")]
        stranger = "00000000-0000-4000-8000-000000000000"
        messages = random_messages(chance, [*alone, stranger])
        other = dict(zip([*alone, stranger], [*together, stranger], strict=True))
        one_by_one = []
        for device_id, body, number in messages:
            try:
                await bench.store.write(take(device_id, body, number))
                one_by_one.append(None)
            except Refused as refused:
                one_by_one.append(str(refused))
        same = [(other[device_id], body, number) for device_id, body, number in messages]
        done = await bench.at_once(
            [take(*message) for message in same],
            [((prepare_devices, item[0]), (telemetry.prepare_numbers, (item[0], item[2]))) for item in same],
        )
        assert [None if job.error is None else str(job.error) for job in done] == one_by_one
        assert "Device not found" in one_by_one and any(job.unit and job.unit.marks for job in done)
        for left, right in zip(alone, together, strict=True):
            assert await facts(bench.store, left) == await facts(bench.store, right)

    bench.run(scenario)


async def facts(store: Store, device_id: str) -> tuple[Any, ...]:
    device = await store.read(lambda db: get_device(db, device_id))
    history = await store.read(lambda db: telemetry.history(db, device_id, 1000, None, 0))
    kept = [{name: value for name, value in item.items() if name != "seq"} for item in history]
    return kept, device.state, device.state_order, device.kept_messages, device.status, device.telemetry_at, device.online, device.transport


def test_what_is_gathered_is_seen_by_every_other_question(bench: Bench) -> None:
    async def scenario() -> None:
        device_id = await bench.device()

        def work(unit: Unit) -> None:
            take(device_id, {"telemetries": {"a": 1}}, 1)(unit)
            assert [item["telemetries"] for item in telemetry.history(unit.db, device_id, 10, None, 0)] == [{"a": 1}]
            assert unit.db.execute(select(tables.devices.c.state)).scalar_one() == {"a": 1}
            unit.db.execute(tables.devices.update().values(name="changed"))
            assert get_device(unit.db, device_id).name == "changed"
            take(device_id, {"telemetries": {"b": 2}}, 2)(unit)
            devices.remove(unit, get_device(unit.db, device_id), "operator", Path("nowhere"))
            assert find_device(unit.db, device_id) is None
            with pytest.raises(NotFound):
                take(device_id, {"telemetries": {"c": 3}}, 3)(unit)

        await bench.store.write(work)
        assert await bench.store.read(lambda db: db.execute(select(tables.telemetry)).all()) == []

    bench.run(scenario)


def test_one_bad_piece_does_not_take_the_others_with_it(bench: Bench) -> None:
    async def scenario() -> None:
        device_id = await bench.device()
        orphan = {"device_id": "nobody", "received_at": 1, "timestamp": 1, "telemetries": {}, "override": False}
        works: list[Callable[[Unit], Any]] = [take(device_id, {"telemetries": {"n": n}}, n) for n in range(10)]
        works.insert(5, lambda unit: unit.db.execute(tables.telemetry.insert().values(orphan)))
        done = await bench.at_once(works)
        assert [type(job.error) for job in done] == [*[type(None)] * 5, IntegrityError, *[type(None)] * 5]
        history = await bench.store.read(lambda db: telemetry.history(db, device_id, 100, None, 0))
        assert [item["number"] for item in history] == list(range(9, -1, -1))
        assert bench.told.count("clientConnected") == 1

    bench.run(scenario)


# ---- outages


def test_the_writer_tells_its_callers_of_an_outage_and_goes_on_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "WAIT_SECONDS", 0.05)
    bench = Bench(f"sqlite:///{tmp_path / 'test.sqlite'}")

    async def scenario() -> None:
        device_id = await bench.device()
        with locked(tmp_path / "test.sqlite"):
            with pytest.raises(OperationalError, match="locked") as raised:
                await bench.store.write(take(device_id, {"telemetries": {"a": 1}}, 1))
            assert is_outage(raised.value)
            assert (await bench.store.read(lambda db: get_device(db, device_id))).state == {}
        await bench.store.write(take(device_id, {"telemetries": {"a": 2}}, 1))
        assert (await bench.store.read(lambda db: get_device(db, device_id))).state == {"a": 2}

    bench.run(scenario)


def test_what_the_database_fails_at_is_told_without_what_was_to_be_stored(bench: Bench) -> None:
    """A full disk, say: the log has the error, and a configuration may have the password of a Wi-Fi in it."""

    async def scenario() -> None:
        orphan = {"device_id": "nobody", "received_at": 1, "timestamp": 1, "telemetries": {"a": "planted-secret-83"}, "override": False}
        with pytest.raises(IntegrityError) as raised:
            await bench.store.write(lambda unit: unit.db.execute(tables.telemetry.insert().values(orphan)))
        assert "INSERT INTO telemetry" in str(raised.value)
        assert "planted-secret-83" not in str(raised.value)

    bench.run(scenario)


def test_a_lost_connection_to_postgresql_is_made_again(postgres: PostgresProcess, new_postgres_database: Callable[[], str]) -> None:
    bench = Bench(new_postgres_database())
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    kill_others = text(f"SELECT pg_terminate_backend(pid) {others}")

    async def scenario() -> None:
        device_id = await bench.device()
        for n in range(3):
            await bench.store.read(lambda db: db.execute(kill_others).all())
            await bench.store.write(take(device_id, {"telemetries": {"n": n}}, n))
        assert (await bench.store.read(lambda db: get_device(db, device_id))).state == {"n": 2}

    bench.run(scenario)


def test_a_reading_after_postgresql_has_restarted_is_as_any_other(new_postgres_database: Callable[[], str]) -> None:
    bench = Bench(new_postgres_database())
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    kill_others = text(f"SELECT pg_terminate_backend(pid, 5000) {others}")

    async def scenario() -> None:
        device_id = await bench.device()
        engine = database.make_engine(bench.store._url)
        try:
            with engine.connect() as other:
                other.execute(kill_others)
        finally:
            engine.dispose()
        assert (await bench.store.read(lambda db: get_device(db, device_id))).id == device_id

    bench.run(scenario)


def test_a_connection_that_is_lost_within_a_transaction_is_made_again_too(
    postgres: PostgresProcess, new_postgres_database: Callable[[], str]
) -> None:
    """A server that restarts ends the sessions that are at work; a message that was in one of them is not lost."""
    bench = Bench(new_postgres_database())
    own, kill = text("SELECT pg_backend_pid()"), text("SELECT pg_terminate_backend(:pid, 5000)")

    async def scenario() -> None:
        device_id, tries = await bench.device(), []
        loop = asyncio.get_running_loop()

        def work(unit: Unit) -> None:
            tries.append(unit.db.execute(own).scalar_one())
            if len(tries) == 1:
                reading = bench.store.read(lambda db: db.execute(kill, {"pid": tries[0]}).all())
                asyncio.run_coroutine_threadsafe(reading, loop).result(DEADLINE)
            take(device_id, {"telemetries": {"a": 1}}, 1)(unit)

        await bench.store.write(work)
        assert len(tries) == 2
        assert (await bench.store.read(lambda db: get_device(db, device_id))).state == {"a": 1}

    bench.run(scenario)


def test_two_hubs_that_want_each_others_rows_both_get_them(new_postgres_database: Callable[[], str]) -> None:
    """PostgreSQL ends one of two transactions that wait for each other; that one is tried again."""
    url = new_postgres_database()
    one, two = Bench(url), Bench(url)

    async def scenario() -> None:
        two.store.open()
        try:
            ids = [await one.device(str(n)) for n in range(2)]
            meet = [asyncio.Event(), asyncio.Event()]
            loop = asyncio.get_running_loop()

            def both(own: int) -> Callable[[Unit], None]:
                def work(unit: Unit) -> None:
                    take(ids[own], {"telemetries": {f"from{own}": 1}}, None)(unit)
                    loop.call_soon_threadsafe(meet[own].set)
                    asyncio.run_coroutine_threadsafe(meet[1 - own].wait(), loop).result(DEADLINE)
                    take(ids[1 - own], {"telemetries": {f"from{own}": 1}}, None)(unit)

                return work

            async with asyncio.timeout(DEADLINE):
                await asyncio.gather(one.store.write(both(0)), two.store.write(both(1)))
            for device_id in ids:
                assert (await one.store.read(lambda db, d=device_id: get_device(db, d))).state == {"from0": 1, "from1": 1}
        finally:
            await two.store.close()

    one.run(scenario)


def test_many_rows_in_opposite_orders_are_no_outage(new_postgres_database: Callable[[], str]) -> None:
    """As when thousands of boards connect at once: each hub hears of all, and gets messages of some."""
    url = new_postgres_database()
    one, two = Bench(url), Bench(url)

    async def scenario() -> None:
        two.store.open()
        try:
            ids = [await one.device(str(n)) for n in range(40)]

            def sent(bench: Bench, order: list[str], named: bool) -> list[Any]:
                made = []
                for device_id in order:
                    needs = ((prepare_devices, device_id),) if named else ()
                    made.append(bench.store.write(take(device_id, {"telemetries": {"a": 1}}, None), *needs))
                return made

            async with asyncio.timeout(2 * DEADLINE):
                for named in (True, False):
                    await asyncio.gather(*sent(one, ids, named), *sent(two, ids[::-1], named))
            for device_id in ids:
                assert (await one.store.read(lambda db, d=device_id: get_device(db, d))).kept_messages == 4
        finally:
            await two.store.close()

    one.run(scenario)


# ---- from the broker into the store


class Broker:
    """The hub's connection, as the intake sees it."""

    def __init__(self) -> None:
        self.acknowledged: list[int] = []
        self.paused = False
        self.pauses = 0

    def acknowledge(self, packet_ids: list[int]) -> None:
        self.acknowledged += packet_ids

    def pause(self) -> None:
        self.pauses += not self.paused
        self.paused = True

    def resume(self) -> None:
        self.paused = False


def intake_of(bench: Bench, broker: Broker, committed: set[int]) -> Intake:
    def read(message: Published) -> Incoming | None:
        return None if message.topic == "else" else Incoming(message.topic, "telemetry", message.payload, ())

    def work(incoming: Incoming, unit: Unit) -> None:
        body = json.loads(incoming.payload)
        if body.get("refuse"):
            raise Malformed("no")
        if body.get("break"):
            unit.db.execute(text("SELECT 1 FROM no_such_table"))
        take(incoming.device_id, {"telemetries": {"n": body["n"]}}, body["n"])(unit)

    made = Intake(bench.store, read, work, lambda incoming: ((prepare_devices, incoming.device_id),))
    acknowledge = broker.acknowledge

    def checked(packet_ids: list[int]) -> None:
        if packet_ids:
            with sqlite3.connect(bench.store._url.removeprefix("sqlite:///")) as db:
                committed.update(number for (number,) in db.execute("SELECT number FROM telemetry"))
        acknowledge(packet_ids)

    broker.acknowledge = checked  # type: ignore[method-assign]
    made.begin(broker)  # type: ignore[arg-type]
    return made


def message(topic: str, packet_id: int, **body: Any) -> Published:
    return Published(topic, json.dumps(body).encode(), 1 if packet_id else 0, False, packet_id, ())


def test_a_message_is_acknowledged_once_it_is_committed_and_in_its_order(tmp_path: Path) -> None:
    bench, broker, committed = Bench(f"sqlite:///{tmp_path / 'test.sqlite'}"), Broker(), set()

    async def scenario() -> None:
        device_id = await bench.device()
        intake = intake_of(bench, broker, committed)
        for start in range(1, 301, 10):
            intake.take([message(device_id, n, n=n) for n in range(start, start + 10)])
            assert not set(broker.acknowledged) - committed
        intake.take([message("else", 301), message(device_id, 302, refuse=True), message(device_id, 303, **{"break": True, "n": 0})])
        intake.take([Published("", b"", 1, False, 304, ()), message(device_id, 0, n=305), message(device_id, 306, n=306)])
        await until(lambda: len(broker.acknowledged) == 305)
        assert broker.acknowledged == [*range(1, 305), 306]
        assert committed == {*range(1, 301), 305, 306}

    bench.run(scenario)


def test_nothing_is_acknowledged_while_the_database_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(database, "WAIT_SECONDS", 0.05)
    monkeypatch.setattr("tools.hub.facets.mqtt_intake._RETRY_SECONDS", 0.05)
    bench, broker, committed = Bench(f"sqlite:///{tmp_path / 'test.sqlite'}"), Broker(), set()

    async def scenario() -> None:
        device_id = await bench.device()
        intake = intake_of(bench, broker, committed)
        with locked(tmp_path / "test.sqlite"):
            intake.take([message(device_id, n, n=n) for n in range(1, 51)])
            await until(lambda: caplog.text.count("messages cannot be stored") == 2, "the second failure")
            assert broker.acknowledged == []
        await until(lambda: len(broker.acknowledged) == 50)
        assert broker.acknowledged == list(range(1, 51))
        history = await bench.store.read(lambda db: telemetry.history(db, device_id, 100, None, 0))
        assert len(history) == 50

    bench.run(scenario)


@pytest.mark.parametrize("replaced", [False, True])
def test_nothing_is_acknowledged_while_the_database_file_is_gone_or_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, replaced: bool
) -> None:
    monkeypatch.setattr("tools.hub.facets.mqtt_intake._RETRY_SECONDS", 0.05)
    path, aside = tmp_path / "test.sqlite", tmp_path / "aside.sqlite"
    bench, broker = Bench(f"sqlite:///{path}"), Broker()

    async def scenario() -> None:
        device_id = await bench.device()
        intake = intake_of(bench, broker, set())
        path.rename(aside)
        if replaced:
            shutil.copyfile(aside, path)
        intake.take([message(device_id, n, n=n) for n in range(1, 51)])
        await until(lambda: caplog.text.count("messages cannot be stored") == 2, "the second failure")
        assert f"{path} was deleted or replaced" in caplog.text
        for _ in range(2):  # on a connection that is there, and on a new one
            with pytest.raises(OperationalError, match="was deleted or replaced"):
                await bench.store.read(lambda db: get_device(db, device_id))
            assert bench.store._engine is not None
            bench.store._engine.dispose()
        assert broker.acknowledged == [] and path.exists() == replaced
        aside.replace(path)
        await until(lambda: len(broker.acknowledged) == 50)
        history = await bench.store.read(lambda db: telemetry.history(db, device_id, 100, None, 0))
        assert len(history) == 50

    bench.run(scenario)


def test_a_flood_that_the_receive_maximum_does_not_bound_is_left_unread(tmp_path: Path) -> None:
    bench, broker = Bench(f"sqlite:///{tmp_path / 'test.sqlite'}"), Broker()

    async def scenario() -> None:
        device_id = await bench.device()
        intake = intake_of(bench, broker, set())
        sent = 0
        while sent < 6 * WINDOW:
            await until(lambda: not broker.paused)
            intake.take([message(device_id, 0, n=sent + n) for n in range(100)])
            sent += 100
        await intake.drain(DEADLINE)
        assert broker.pauses > 0
        assert (await bench.store.read(lambda db: get_device(db, device_id))).kept_messages == sent

    bench.run(scenario)


def test_what_comes_again_on_a_new_connection_is_acknowledged_on_that_one(tmp_path: Path) -> None:
    bench, old, new = Bench(f"sqlite:///{tmp_path / 'test.sqlite'}"), Broker(), Broker()

    async def scenario() -> None:
        device_id = await bench.device()
        intake = intake_of(bench, old, set())
        intake.take([message(device_id, n, n=n) for n in range(1, 21)])
        intake.begin(new)  # type: ignore[arg-type]
        intake.take([message(device_id, n, n=n) for n in range(1, 21)])
        await until(lambda: len(new.acknowledged) == 20)
        assert old.acknowledged == []
        assert (await bench.store.read(lambda db: get_device(db, device_id))).kept_messages == 20

    bench.run(scenario)


# ---- PUBLISH packets

names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0+#/\ufeff"), min_size=1, max_size=20)
values = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff"), max_size=200)


def packet_of(topic: str, payload: bytes, qos: int, packet_id: int, user: list[tuple[str, str]], more: dict[str, Any]) -> bytes:
    properties = Properties(PacketTypes.PUBLISH)
    for name, value in more.items():
        setattr(properties, name, value)
    if user:
        properties.UserProperty = user
    named = topic.encode()
    return len(named).to_bytes(2, "big") + named + (packet_id.to_bytes(2, "big") if qos else b"") + properties.pack() + payload


extras = st.fixed_dictionaries(
    {},
    optional={
        "PayloadFormatIndicator": st.integers(0, 1),
        "MessageExpiryInterval": st.integers(0, 2**32 - 1),
        "ContentType": values,
        "ResponseTopic": values,
        "CorrelationData": st.binary(max_size=50),
        "SubscriptionIdentifier": st.integers(1, 268_435_455),
    },
)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(names, min_size=1, max_size=5), st.binary(max_size=300), st.integers(0, 1), st.integers(1, 65535), st.booleans(),
    st.lists(st.tuples(values, values), max_size=5), extras,
)  # fmt: skip
def test_a_publish_is_read_as_it_was_sent(
    levels: list[str], payload: bytes, qos: int, packet_id: int, retain: bool, user: list[tuple[str, str]], more: dict[str, Any]
) -> None:
    topic = "/".join(levels)
    packet = packet_of(topic, payload, qos, packet_id, user, more)
    found = decode(0x30 | qos << 1 | retain, packet)
    assert found == Published(topic, payload, qos, retain, packet_id if qos else 0, tuple(user))


def test_mutated_packets_are_read_or_refused_and_paho_agrees_on_what_is_read() -> None:
    from paho.mqtt import _packet

    chance = random.Random(20261121)
    user = [("device_id", "x" * 36), ("access_key", "y" * 32), ("message_id", "0000000001")]
    whole = packet_of("v1/device/x/telemetry", b'{"a": 1}', 1, 7, user, {"MessageExpiryInterval": 5, "ContentType": "text/plain"})
    read = refused = 0
    for _ in range(3000):
        packet = bytearray(whole)
        for _ in range(chance.randrange(1, 4)):
            packet[chance.randrange(len(packet))] = chance.randrange(256)
        if chance.random() < 0.3:
            del packet[chance.randrange(len(packet)) :]
        try:
            ours = decode(0x32, bytes(packet))
        except Undecodable:
            refused += 1
            continue
        read += 1
        try:
            theirs = _packet.decode_publish(0x32, packet, MQTTv5)
        except Exception:  # noqa: BLE001, S112 - paho refuses more: a property that comes twice
            continue
        assert (ours.topic.encode(), ours.packet_id, ours.payload) == (theirs.topic, theirs.mid, theirs.payload)
        assert list(ours.user) == list(getattr(theirs.properties, "UserProperty", []))
    assert read > 300 and refused > 300


def test_a_database_error_is_no_outage() -> None:
    assert not is_outage(IntegrityError("", {}, Exception()))
    assert not is_outage(ValueError())
    assert is_outage(DBAPIError("", {}, Exception(), connection_invalidated=True))


@pytest.mark.parametrize("at", [0, 100])
def test_a_damaged_database_is_an_outage(tmp_path: Path, at: int) -> None:
    """What devices say waits in the broker until it is mended; it would be acknowledged and gone."""
    path = tmp_path / "test.sqlite"
    with sqlite3.connect(path) as made:
        made.execute("CREATE TABLE a (b)")
    made.close()
    with path.open("r+b") as file:
        file.seek(at)
        file.write(bytes(4096 - at))
    with sqlite3.connect(path) as damaged, pytest.raises(sqlite3.DatabaseError) as raised:
        damaged.execute("SELECT b FROM a")
    damaged.close()
    assert is_outage(DatabaseError("", {}, raised.value))
