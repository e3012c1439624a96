"""What the hub forgets, and what it never does."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, select
from store_bench import StoreBench

from tools.hub.domain import commands, devices, events, incidents, operations, retention, telemetry, updates
from tools.hub.domain.model import Device, get_device
from tools.hub.domain.retention import Keep
from tools.hub.store import tables
from tools.hub.store.unit import Unit

DAY = 86_400.0


class Bench(StoreBench):
    """With claimed devices that send telemetry."""

    async def device(self, sn: str = "1") -> str:
        made = await super().device(sn)
        await self.store.write(lambda unit: devices.claim(unit, {"sn": sn, "space_id": "1"}))
        return made

    async def do(self, device_id: str, work: Callable[[Unit, Device], Any]) -> Any:
        return await self.store.write(lambda unit: work(unit, get_device(unit.db, device_id)))

    async def send(self, device_id: str, *numbers: int) -> None:
        def send(unit: Unit, device: Device) -> None:
            for number in numbers:
                telemetry.send(unit, get_device(unit.db, device.id), {"telemetries": {"n": number}}, number)

        await self.do(device_id, send)

    async def numbers(self, device_id: str) -> list[int]:
        """Of the history, oldest first; and the device's own count of them is right."""
        history = await self.store.read(lambda db: telemetry.history(db, device_id, 10_000, None, 0))
        assert (await self.store.read(lambda db: get_device(db, device_id))).kept_messages == len(history)
        return [item["number"] for item in reversed(history)]

    async def prune(self, keep: Keep, rows: int = retention.ROWS) -> int:
        """Until nothing is left to forget; how many pieces of work that took."""
        pieces = 1
        while await self.store.write(lambda unit: retention.prune(unit, keep, rows)):
            pieces += 1
        return pieces

    async def count(self, table: Any) -> int:
        return int(await self.store.read(lambda db: db.execute(select(func.count()).select_from(table)).scalar_one()))


@pytest.fixture
def bench(database_url: str) -> Bench:
    return Bench(database_url)


def test_the_history_of_one_device_is_bounded_and_that_of_others_untouched(bench: Bench) -> None:
    async def scenario() -> None:
        crowded, other = await bench.device("1"), await bench.device("2")
        await bench.send(crowded, *range(40))
        await bench.send(other, *range(10))
        await bench.prune(Keep(None, 10))
        assert await bench.numbers(crowded) == list(range(30, 40))
        assert await bench.numbers(other) == list(range(10))
        await bench.send(crowded, 40, 5)
        assert await bench.numbers(crowded) == [*range(30, 41), 5]  # a forgotten message's number is new again

    bench.run(scenario)


def test_old_messages_go_and_the_state_stays(bench: Bench) -> None:
    async def scenario() -> None:
        device_id = await bench.device()
        await bench.send(device_id, *range(5))
        bench.now += 20 * DAY
        await bench.send(device_id, *range(5, 8))
        bench.now += 11 * DAY
        await bench.prune(Keep(None))
        assert await bench.numbers(device_id) == list(range(8))
        await bench.prune(Keep(30.0))
        assert await bench.numbers(device_id) == [5, 6, 7]
        bench.now += 1000 * DAY
        await bench.prune(Keep(30.0))
        assert await bench.numbers(device_id) == []
        assert (await bench.store.read(lambda db: get_device(db, device_id))).state == {"n": 7}

    bench.run(scenario)


def test_it_forgets_a_bounded_number_of_rows_at_a_time(bench: Bench) -> None:
    async def scenario() -> None:
        one, two = await bench.device("1"), await bench.device("2")
        await bench.send(one, *range(35))
        await bench.send(two, *range(35))
        before = await bench.count(tables.telemetry)
        assert await bench.store.write(lambda unit: retention.prune(unit, Keep(None, 10), 7)) is True
        assert await bench.count(tables.telemetry) == before - 7
        assert await bench.prune(Keep(None, 10), 7) == 7
        assert await bench.numbers(one) == await bench.numbers(two) == list(range(25, 35))
        bench.now += 100 * DAY
        assert await bench.store.write(lambda unit: retention.prune(unit, Keep(90.0), 7)) is True
        assert await bench.count(tables.telemetry) == 13

    bench.run(scenario)


def test_what_is_finished_goes_with_its_age_and_what_is_not_stays(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        device_id = await bench.device()

        def fill(unit: Unit, device: Device) -> None:
            done, _waits = commands.queue(unit, device, {"name": "ping"}), commands.queue(unit, device, {"name": "blink"})
            commands.report(unit, device, {"id": done.id, "status": "done"})
            operations.report(unit, device, 77, operations.RUNNING, 10, None, "download")
            events.add(unit, device, {"name": "x", "category": "y"})
            closed = incidents.open_one(unit, device, {"title": "x", "priority": "low"}, incidents.OPERATOR)
            incidents.close(unit, closed.id)
            incidents.open_one(unit, device, {"title": "y", "priority": "low"}, incidents.OPERATOR)

        counted = (tables.commands, tables.operations, tables.notifications, tables.events, tables.incidents)
        await bench.do(device_id, fill)
        before = [await bench.count(table) for table in counted]
        assert before == [2, 3, 2, 1, 2]
        bench.now += 89 * DAY
        await bench.prune(Keep(90.0))
        assert [await bench.count(table) for table in counted] == before
        bench.now += 2 * DAY
        await bench.prune(Keep(90.0))
        assert [await bench.count(table) for table in counted] == [1, 1, 0, 0, 1]
        left = await bench.store.read(lambda db: commands.unfinished(db, device_id))
        assert [item.name for item in left] == ["blink"]

    bench.run(scenario)


def test_finished_commands_are_bounded_and_the_newest_stay(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "COMMANDS", 3)

    async def scenario() -> None:
        device_id = await bench.device()

        def one(unit: Unit, device: Device, name: str) -> None:
            commands.report(unit, device, {"id": commands.queue(unit, device, {"name": name}).id, "status": "done"})

        for n in range(8):
            await bench.do(device_id, lambda unit, device, n=n: one(unit, device, f"c{n}"))
        await bench.do(device_id, lambda unit, device: commands.queue(unit, device, {"name": "waits"}))
        await bench.prune(Keep(None), 2)
        listed = await bench.store.read(lambda db: commands.list_commands(db, device_id, 100, 0))
        assert [item.name for item in listed] == ["waits", "c7", "c6", "c5"]

    bench.run(scenario)


def test_two_hubs_that_prune_at_once_count_right(bench: Bench, database_url: str) -> None:
    other = Bench(database_url)

    async def scenario() -> None:
        other.store.open()
        try:
            device_ids = [await bench.device(str(n)) for n in range(5)]
            for device_id in device_ids:
                await bench.send(device_id, *range(100))
            await asyncio.gather(bench.prune(Keep(None, 10), 9), other.prune(Keep(None, 10), 7))
            for device_id in device_ids:
                assert await bench.numbers(device_id) == list(range(90, 100))
        finally:
            await other.store.close()

    bench.run(scenario)


def test_old_updates_go_with_their_events_and_those_that_are_asked_for_stay(bench: Bench) -> None:
    async def scenario() -> None:
        device_id = await bench.device()
        url = {"url": "http://192.168.4.1/a.zip"}
        ended, waits = [(await bench.do(device_id, lambda unit, device: updates.request(unit, device, url))).uuid for _ in range(2)]
        for status, progress in (("Downloading", 0), ("Success", 100)):
            said = {"requestUUID": ended, "status": status, "statusProgress": progress, "statusCode": "", "message": ""}
            await bench.do(device_id, lambda unit, device, said=said: updates.report(unit, device, said, None))
        bench.now += 365 * DAY
        await bench.prune(Keep())
        assert await bench.count(tables.update_events) == 2
        bench.now += 1 * DAY
        assert await bench.prune(Keep(), rows=1) > 1
        assert await bench.count(tables.update_events) == 0
        left = await bench.store.read(lambda db: updates.list_updates(db, device_id, 10, 0))
        assert [item.uuid for item in left] == [waits]

    bench.run(scenario)


def test_a_device_keeps_so_many_updates_and_events_at_most_and_no_more_goes_before_its_time(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert updates.UPDATES_MAX >= 2 * 365 and updates.EVENTS_MAX >= 30 * updates.UPDATES_MAX  # a year of a busy device
    monkeypatch.setattr(updates, "UPDATES_MAX", 3)
    monkeypatch.setattr(updates, "EVENTS_MAX", 4)

    async def scenario() -> None:
        device_id = await bench.device()
        uuids = [f"00000000-0000-4000-8000-00000000000{n}" for n in range(5)]
        for uuid in uuids:
            for status in ("Acknowledged", "Success"):
                said = {"requestUUID": uuid, "status": status, "statusProgress": 0, "statusCode": "", "message": ""}
                await bench.do(device_id, lambda unit, device, said=said: updates.report(unit, device, said, None))
        assert await bench.count(tables.update_events) == 4
        left = await bench.store.read(lambda db: updates.list_updates(db, device_id, 10, 0))
        assert [item.uuid for item in left] == uuids[:1:-1]

    bench.run(scenario)


def test_the_events_of_updates_expire_also_where_all_else_is_kept_for_ever(bench: Bench) -> None:
    async def scenario() -> None:
        device_id = await bench.device()
        said = {"requestUUID": device_id, "status": "Success", "statusProgress": 100, "statusCode": "", "message": ""}
        await bench.do(device_id, lambda unit, device: updates.report(unit, device, said, None))
        bench.now += 31_556_952  # seed 002, database_retention_ttl
        await bench.prune(Keep(None))
        assert await bench.count(tables.update_events) == 1
        bench.now += 1
        await bench.prune(Keep(None))
        assert (await bench.count(tables.update_events), await bench.count(tables.updates)) == (0, 1)

    bench.run(scenario)
