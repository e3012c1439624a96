"""The hub's rules and its store, without a wire and with a clock of our own."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from databases import url_in

from tools.hub import times
from tools.hub.broker.address import BrokerAddress, BrokerChoice, BrokerError, parse_broker
from tools.hub.broker.rumqttd import Sessions
from tools.hub.broker.sessions import read
from tools.hub.domain import commands, devices, firmware, presence
from tools.hub.domain.model import Device, get_device
from tools.hub.errors import NotAuthorized, Refused, TooMany
from tools.hub.store.store import Store
from tools.hub.store.unit import Unit


class Bench:
    """A store with a clock that tests move, and everything that was told."""

    def __init__(self, folder: Path) -> None:
        self.now = 1_000_000.0
        self.told: list[str] = []
        self.pushed: list[str] = []
        self.store = Store(url_in(folder), self._on_commit, clock=lambda: self.now)

    def _on_commit(self, unit: Unit) -> None:
        self.told += [item.event for item in unit.activities]
        self.pushed += [item.kind for item in unit.pushes]

    def run(self, scenario: Callable[["Bench"], Any]) -> None:
        async def opened() -> None:
            self.store.open()
            try:
                await scenario(self)
            finally:
                await self.store.close()

        asyncio.run(opened())

    async def device(self, **more: Any) -> tuple[str, str]:
        body = {"sn": "1", "mac": "aa:bb", "hardware_key": "k", "firmware_version": "1.0.0", **more}
        made = await self.store.write(lambda unit: devices.register(unit, body))
        return made.id, made.access_key

    async def with_device(self, device_id: str, work: Callable[[Unit, Device], Any]) -> Any:
        return await self.store.write(lambda unit: work(unit, get_device(unit.db, device_id)))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


# ---- the store


def test_a_work_that_fails_does_not_take_those_beside_it_with_it(bench: Bench) -> None:
    async def scenario(bench: Bench) -> None:
        def fails(unit: Unit) -> None:
            devices.register(unit, {"sn": "x", "mac": "x", "hardware_key": "k", "firmware_version": "1"})
            raise ZeroDivisionError

        before = bench.device(sn="before")
        after = bench.device(sn="after")
        results = await asyncio.gather(before, bench.store.write(fails), after, return_exceptions=True)
        assert isinstance(results[1], ZeroDivisionError)
        stored = await bench.store.read(lambda db: devices.list_devices(db, 10, 0))
        assert {device.sn for device in stored} == {"before", "after"}
        assert bench.told == ["deviceCreated", "firmwareCheck"] * 2

    bench.run(scenario)


def test_many_works_are_committed_together_and_in_their_order(bench: Bench) -> None:
    async def scenario(bench: Bench) -> None:
        order: list[int] = []
        await asyncio.gather(*[bench.store.write(lambda _unit, n=n: order.append(n)) for n in range(5000)])
        assert order == list(range(5000))

    bench.run(scenario)


def test_a_caller_that_goes_away_does_not_take_back_what_it_asked_for(bench: Bench) -> None:
    async def scenario(bench: Bench) -> None:
        asked = asyncio.create_task(bench.device())
        await asyncio.sleep(0)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        await bench.store.write(lambda unit: None)
        assert bench.told == ["deviceCreated", "firmwareCheck"]

    bench.run(scenario)


# ---- rules with a clock


def test_update_device_is_free_again_after_an_hour(bench: Bench) -> None:
    async def scenario(bench: Bench) -> None:
        device_id, _ = await bench.device()

        def rename(unit: Unit, device: Device) -> None:
            devices.update_device(unit, device, {"name": "x"}, limited=True)

        for _ in range(10):
            bench.now += 60
            await bench.with_device(device_id, rename)
        with pytest.raises(TooMany):
            await bench.with_device(device_id, rename)
        bench.now += 3600 - 9 * 60
        await bench.with_device(device_id, rename)
        with pytest.raises(TooMany):
            await bench.with_device(device_id, rename)

    bench.run(scenario)


def test_who_is_silent_for_the_threshold_is_offline_once(bench: Bench) -> None:
    async def scenario(bench: Bench) -> None:
        device_id, _ = await bench.device()
        await bench.with_device(device_id, lambda unit, device: presence.seen(unit, device, "http"))
        for seconds in (170, 20, 100):
            bench.now += seconds
            await bench.store.write(lambda unit: presence.sweep(unit, 180))
        assert [event for event in bench.told if event.startswith("client")] == ["clientConnected", "clientDisconnected"]

    bench.run(scenario)


def test_a_late_message_of_a_device_that_is_gone_does_not_bring_it_back(bench: Bench) -> None:
    async def scenario(bench: Bench) -> None:
        device_id, _ = await bench.device()
        await bench.store.write(lambda unit: presence.session_up(unit, device_id))
        await bench.store.write(lambda unit: presence.session_down(unit, device_id, "disconnected"))
        seen = await bench.with_device(device_id, lambda unit, device: presence.seen(unit, device, "mqtt", alive=False))
        assert seen.online is False
        assert [event for event in bench.told if event.startswith("client")] == ["clientConnected", "clientDisconnected"]

    bench.run(scenario)


def test_a_key_opens_its_own_device_only(bench: Bench) -> None:
    async def scenario(bench: Bench) -> None:
        one, key = await bench.device()
        other, _ = await bench.device(sn="2")
        device = await bench.store.write(lambda unit: devices.authenticate(unit.db, one, key))
        assert device.id == one
        assert key not in repr(device)
        for device_id, given in ((other, key), (one, key[:-1]), (one, ""), ("", key), (one.upper(), key)):
            with pytest.raises(NotAuthorized):
                await bench.store.write(lambda unit, d=device_id, k=given: devices.authenticate(unit.db, d, k))

    bench.run(scenario)


def test_a_queue_is_bounded_and_only_its_first_command_is_pushed(bench: Bench) -> None:
    async def scenario(bench: Bench) -> None:
        device_id, _ = await bench.device()
        for _ in range(commands.QUEUE_MAX):
            await bench.with_device(device_id, lambda unit, device: commands.queue(unit, device, {"name": "ping"}))
        with pytest.raises(Refused, match="unfinished"):
            await bench.with_device(device_id, lambda unit, device: commands.queue(unit, device, {"name": "ping"}))
        assert bench.pushed == ["commands"]

    bench.run(scenario)


# ---- versions, times, addresses


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("1.0.0", "1.0.1"), ("1.9.0", "1.10.0"), ("1.0", "1.0.1"), ("1.0.0-rc.1", "1.0.0"), ("1.0.0-rc.2", "1.0.0-rc.10"),
        ("v1.2.3", "1.2.4"), ("1.0.0-1", "1.0.0-alpha"), ("0.9.9", "1.0.0-alpha"),
    ],
)  # fmt: skip
def test_versions_are_compared_as_semver(older: str, newer: str) -> None:
    assert firmware.is_older(older, newer)
    assert not firmware.is_older(newer, older)


def test_a_build_does_not_make_a_version_older_and_what_is_no_version_differs_only() -> None:
    assert not firmware.is_older("1.0.0+a", "1.0.0+b")
    assert firmware.is_older("spring", "summer")
    assert not firmware.is_older("spring", "spring")


def test_times_go_out_as_the_seeds_write_them() -> None:
    assert times.iso(times.parse("2021-08-04T07:45:44.122Z")) == "2021-08-04T07:45:44.122Z"
    assert times.iso(times.parse("2021-08-04T09:45:44.122+02:00")) == "2021-08-04T07:45:44.122Z"
    assert times.plain(1714077396) == "2024-04-25 20:36:36"
    assert times.local(1647510928.0, 60) == "2022-03-17T10:55:28+01:00"
    assert times.local(1647510928.0, -210) == "2022-03-17T06:25:28-03:30"


@pytest.mark.parametrize(
    "text", ["", "now", "2021-08-04", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "1969-12-31T23:59:59Z", "T" * 20]
)
def test_what_the_hub_cannot_write_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="not a|Invalid"):
        times.parse(text)


def test_broker_addresses_are_read_and_shown_without_the_password() -> None:
    assert parse_broker("embedded:0") == BrokerChoice("embedded", 0)
    assert parse_broker("mosquitto") == BrokerChoice("mosquitto", None)
    assert parse_broker("mqtt://broker").address == BrokerAddress("broker", 1883)
    address = parse_broker("mqtts://user:p%40ss@broker:9").address
    assert address == BrokerAddress("broker", 9, True, "user", "p@ss")
    assert address.url == "mqtts://broker:9"
    with pytest.raises(BrokerError) as caught:
        parse_broker("mqtt://user:planted@broker:99999")
    assert "planted" not in str(caught.value)


# ---- what brokers say about sessions


def test_rumqttds_log_is_read_with_takeovers() -> None:
    sessions = Sessions()
    lines = [
        'incoming_connect; client_id="d"', 'incoming_payload; client_id="d"', 'incoming_connect; client_id="d"',
        'incoming_disconnect; client_id="d"', "disconnect;", 'incoming_disconnect; client_id="d"', 'incoming_disconnect; client_id="d"',
    ]  # fmt: skip
    assert [said for said in map(sessions.read, lines) if said] == [{"up": "d"}, {"down": "d", "clean": True}]


@pytest.mark.parametrize(
    "line",
    ['incoming_connect; client_id="a\\" incoming_disconnect; client_id=\\"b"', 'incoming_connect; client_id="' + "x" * 200 + '"', "x", ""],
)
def test_a_client_id_that_plays_tricks_is_nobodys(line: str) -> None:
    assert Sessions().read(line) is None


@pytest.mark.parametrize(
    ("topic", "payload", "expected"),
    [
        ("$SYS/broker/log/N", "1795237366: New client connected from 127.0.0.1:54825 as dev-1 (p5, c1, k60, u'dev').", ("dev-1", None)),
        ("$SYS/broker/log/N", "1795237366: Client dev-1 closed its connection.", ("dev-1", "connection lost")),
        ("$SYS/broker/log/N", "1: Client dev-1 disconnected due to malformed packet.", ("dev-1", "the broker ended it: malformed packet")),
        ("$SYS/broker/log/N", "1: Client dev-1 disconnected, not authorised.", ("dev-1", "the broker ended it: not authorised")),
        ("$SYS/broker/log/N", "1: Client dev-1 disconnected: Broken pipe.", ("dev-1", "the broker ended it: Broken pipe")),
        ("$SYS/broker/log/N", "1: Client dev-1 disconnected due to oversize packet. closed its connection.", None),
        ("$SYS/broker/log/N", "1795237366: Client dev-1 disconnected.", ("dev-1", "disconnected")),
        ("$SYS/broker/log/N", "1795237366: Client dev-1 has exceeded timeout, disconnecting.", ("dev-1", "connection lost")),
        ("$SYS/broker/log/N", "1795237366: New connection from 127.0.0.1:54825 on port 18860.", None),
        ("$SYS/brokers/emqx@1/clients/dev-1/connected", "{}", ("dev-1", None)),
        ("$SYS/brokers/emqx@1/clients/dev-1/disconnected", "{}", ("dev-1", "disconnected")),
        ("$SYS/brokers/emqx@1/clients/dev-1/subscribed", "{}", None),
    ],
)
def test_other_brokers_words_about_sessions_are_read(topic: str, payload: str, expected: tuple[str, str | None] | None) -> None:
    assert read(topic, payload) == expected
