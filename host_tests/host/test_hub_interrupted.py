"""What the hub has under way with a broker or a database that goes away for a while: nothing of it is lost."""

import asyncio
import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import aiomqtt
import bson
import pytest
from astarte_board import ota_event
from databases import locked, sqlite_only
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties, VariableByteIntegers
from xyte_bench import Bench, Device

from tools.hub.astarte_ids import device_id
from tools.hub.broker.address import BrokerAddress
from tools.hub.broker.publish import Published
from tools.hub.facets.astarte import mqtt as astarte_mqtt
from tools.hub.facets.astarte.interfaces import OTA_EVENT
from tools.hub.facets.astarte.mqtt import AstarteMqtt
from tools.hub.facets.kapua import kura_mqtt
from tools.hub.facets.kapua.kura_mqtt import KuraMqtt
from tools.hub.facets.xyte import mqtt as xyte_mqtt
from tools.hub.facets.xyte.mqtt import XyteMqtt
from tools.hub.store import database
from tools.hub.store.unit import Push

DEADLINE = 20.0


class Connection:
    """In an aiomqtt client's place: one connection, which `lose` ends. `deaf`: the broker gets what is published, and does not say so."""

    def __init__(self, *, deaf: bool = False) -> None:
        self.deaf = deaf
        self.published: list[str] = []  # topics
        self._lost = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def lose(self) -> None:
        self._lost.set()

    async def subscribe(self, _topics: Any) -> None:
        pass

    async def publish(self, topic: str, _payload: bytes, **_: Any) -> None:
        self.published.append(topic)
        if self.deaf:
            await self._lost.wait()
            raise aiomqtt.MqttError("the connection was lost")

    async def until_lost(self) -> None:
        await self._lost.wait()
        raise aiomqtt.MqttError("the connection was lost")


@pytest.fixture
def bench(tmp_path: Path) -> Any:
    made = Bench(tmp_path)
    yield made
    made.close()


async def until(condition: Callable[[], Any], what: str) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.01)


def told(device: Device, event: str) -> list[dict[str, str]]:
    return device.bench.activities(device.id, event)


def test_what_is_on_its_way_to_a_device_when_the_broker_goes_is_sent_by_the_next_connection(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device may be connected all the time, and has no reason to ask anew."""
    monkeypatch.setattr(xyte_mqtt, "_RETRY_SECONDS", 0.01)
    device = bench.device()
    topic = f"v1/device/{device.id}/commands"

    async def scenario() -> None:
        connections = [Connection(deaf=True), Connection(deaf=True), Connection()]
        waiting = list(connections)
        mqtt = XyteMqtt(bench.hub, BrokerAddress("nowhere", 1))
        monkeypatch.setattr(mqtt, "connection", lambda _intake: waiting.pop(0))
        running = asyncio.create_task(mqtt.run())
        try:
            push = Push(device.id, "c", "commands", {"id": "1", "status": "pending", "parameters": {}})
            for _ in range(2):
                mqtt._queue(push)
            await until(lambda: connections[0].published == [topic] * 2, "the first connection")
            connections[0].lose()
            await until(lambda: connections[1].published == [topic] * 2, "the second connection")
            mqtt._queue(push)
            await until(lambda: connections[1].published == [topic] * 3, "the third push")
            connections[1].lose()  # what was tried twice is given up: it may be what the broker ends connections for
            await until(lambda: connections[2].published == [topic], "the third connection")
            await until(lambda: len(told(device, "downstreamMessage")) == 1, "the activity")
        finally:
            running.cancel()
            await asyncio.wait({running})

    bench._loop.run_until_complete(scenario())


@sqlite_only
def test_an_update_event_that_comes_while_the_database_is_away_is_stored_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(database, "WAIT_SECONDS", 0.05)
    bench = Bench(tmp_path)
    device = bench.device()
    topic = f"redpoll/{device_id(device.id)}/{OTA_EVENT.name}/event"

    async def scenario() -> None:
        astarte = AstarteMqtt(bench.hub, lambda _intake: Connection())  # type: ignore[arg-type, return-value]
        running = asyncio.create_task(astarte.run())
        try:
            with locked(tmp_path / "hub.sqlite"):
                event = ota_event("Downloading")
                for status in ("Downloading", "Success"):
                    payload = bson.dumps({"v": {**event, "status": status}})
                    astarte.intake.take([Published(topic, payload, 2, False, 7, (("device_id", device.id), ("access_key", device.key)))])
                await until(lambda: "messages cannot be stored" in caplog.text, "the outage")
                assert told(device, "firmwareStateChange") == []
            await until(lambda: len(told(device, "firmwareStateChange")) == 2, "both events")
            assert [data["status"] for data in told(device, "firmwareStateChange")] == ["Downloading", "Success"]
        finally:
            running.cancel()
            await asyncio.wait({running})

    bench._loop.run_until_complete(scenario())
    bench.close()


async def packet(reader: asyncio.StreamReader) -> bytes:
    """The next one that a client sends, without what says how long it is; none of these is longer than 127 bytes."""
    kind, size = await reader.readexactly(2)
    return bytes([kind]) + await reader.readexactly(size)


def published(topic: str, payload: bytes, user: list[tuple[str, str]]) -> bytes:
    """A PUBLISH at QoS 2 with the packet identifier 7."""
    properties = Properties(PacketTypes.PUBLISH)
    properties.UserProperty = user
    body = len(topic).to_bytes(2, "big") + topic.encode() + b"\x00\x07" + properties.pack() + payload
    return b"\x34" + VariableByteIntegers.encode(len(body)) + body


def test_an_update_event_whose_handshake_breaks_off_is_not_lost(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the broker has PUBREC it forgets the message, and the next connection has no more of it than PUBREL."""
    monkeypatch.setattr(astarte_mqtt, "_RETRY_SECONDS", 0.01)
    device = bench.device()
    user = [("device_id", device.id), ("access_key", device.key)]
    event = published(f"redpoll/{device_id(device.id)}/{OTA_EVENT.name}/event", bson.dumps({"v": ota_event("Downloading")}), user)

    async def scenario() -> None:
        answers = [(event, b"\x50\x00\x07"), (b"\x62\x02\x00\x07", b"\x70\x00\x07")]  # PUBREC for PUBLISH, PUBCOMP for PUBREL
        over = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            says, answer = answers.pop(0)
            await packet(reader)
            writer.write(b"\x20\x03\x01\x00\x00")  # CONNACK: there is a session
            subscribe = await packet(reader)
            writer.write(b"\x90\x04" + subscribe[1:3] + b"\x00\x02" + says)
            assert (await packet(reader))[:3] == answer
            writer.close()
            if not answers:
                over.set()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            mqtt = XyteMqtt(bench.hub, BrokerAddress("127.0.0.1", server.sockets[0].getsockname()[1]), "session")
            running = asyncio.create_task(AstarteMqtt(bench.hub, lambda intake: mqtt.connection(intake, "-astarte")).run())
            await asyncio.wait_for(over.wait(), DEADLINE)
            running.cancel()
            await asyncio.wait({running})

    bench._loop.run_until_complete(scenario())
    assert [data["status"] for data in told(device, "firmwareStateChange")] == ["Downloading"]


def test_a_broker_that_took_no_control_prefix_is_asked_again_when_it_is_back(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have been starting, or be another one now."""
    monkeypatch.setattr(kura_mqtt, "_RETRY_SECONDS", 0.01)
    asked: list[bool] = []

    async def scenario() -> None:
        over = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await packet(reader)
            writer.write(b"\x20\x03\x01\x00\x00")  # CONNACK
            subscribe = await packet(reader)
            asked.append(b"$EDC" in subscribe)
            if not asked[-1]:
                writer.write(b"\x90\x04" + subscribe[1:3] + b"\x00\x01")
            writer.close()
            if len(asked) == 4:
                over.set()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            mqtt = XyteMqtt(bench.hub, BrokerAddress("127.0.0.1", server.sockets[0].getsockname()[1]))
            kura = KuraMqtt(bench.hub, lambda intake: mqtt.connection(intake, "-kura"), dollar=True)
            running = asyncio.create_task(kura.run())
            await asyncio.wait_for(over.wait(), DEADLINE)
            running.cancel()
            await asyncio.wait({running})

    bench._loop.run_until_complete(scenario())
    assert asked == [True, True, False, True]


@sqlite_only
def test_a_session_that_begins_or_ends_while_the_database_is_away_leaves_one_line_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(database, "WAIT_SECONDS", 0.05)
    bench = Bench(tmp_path)
    device = bench.device()

    async def scenario() -> None:
        with locked(tmp_path / "hub.sqlite"):
            bench.hub.on_session(device.id, None)
            await until(lambda: not bench.hub._tasks, "the outage")

    bench._loop.run_until_complete(scenario())
    gc.collect()
    assert [record.exc_info for record in caplog.records if record.levelname == "ERROR"] == [None]
    bench.close()


@sqlite_only
def test_a_call_while_the_database_is_away_leaves_one_line_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a fleet that polls, each call left the same hundred lines, for as long as that took."""
    monkeypatch.setattr(database, "WAIT_SECONDS", 0.05)
    bench = Bench(tmp_path)
    device = bench.device()
    with locked(tmp_path / "hub.sqlite"):
        assert device.get("/config").status_code == 500
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 1 and errors[0].exc_info is None and "database is locked" in errors[0].getMessage()
    assert device.get("/config").status_code == 200
    bench.close()
