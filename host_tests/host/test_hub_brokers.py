"""The brokers that the hub starts itself: that they come back, whatever else has failed at that moment."""

import asyncio
import contextlib
import errno
import json
import os
import signal
import subprocess
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from brokers import needs_mosquitto
from sqlalchemy.exc import OperationalError
from xyte_bench import Bench

from tools.hub.broker import embedded, mosquitto
from tools.hub.broker.address import BrokerChoice
from tools.hub.broker.embedded import EmbeddedBroker
from tools.hub.broker.mosquitto import MosquittoBroker
from tools.hub.ports import answers, free_port
from tools.hub.server.brokers import start_broker
from tools.hub.tasks import cancel

_SECONDS = 60.0
_FULL = OSError(errno.ENOSPC, "No space left on device")
_LOCKED = OperationalError("BEGIN IMMEDIATE", None, Exception("database is locked"))


class Failing:
    """A function that once raises this, and does what it does otherwise."""

    def __init__(self, error: Exception, function: Callable[..., Any]) -> None:
        self._error = error
        self._function = function
        self.armed = self.failed = False

    def __call__(self, *arguments: Any) -> Any:
        if self.armed:
            self.armed, self.failed = False, True
            raise self._error
        return self._function(*arguments)


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, _SECONDS))


async def until(condition: Callable[[], Any]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


async def no_logins() -> list[tuple[str, str]]:
    return []


async def nothing() -> None:
    pass


async def leave_embedded(folder: Path) -> int:
    """As a killed hub does; returns the port."""
    left = EmbeddedBroker("127.0.0.1", 0, folder, lambda *_: None)
    await left.start()
    assert left._watch is not None and left._control is not None
    await cancel(left._watch)
    left._control[1].close()
    return left.address.port


async def leave_mosquitto(folder: Path) -> int:
    """As a hub does that is killed together with the leash; returns the port."""
    left = MosquittoBroker("127.0.0.1", 0, folder, no_logins, nothing)
    await left.start()
    assert left._watch is not None and left._process is not None
    await cancel(left._watch)
    left._process.kill()
    return left.address.port


async def is_killed(pid: int, failing: Failing) -> None:
    """And something fails when it is started again."""
    failing.armed = True
    os.kill(pid, signal.SIGKILL)
    await until(lambda: failing.failed)


@needs_mosquitto
@pytest.mark.parametrize(
    ("what", "error"),
    [("logins", _LOCKED), ("on_end", _LOCKED), ("on_end", OSError()), ("write", _FULL), ("ps", subprocess.TimeoutExpired("ps", 10))],
)
def test_a_mosquitto_is_started_again_also_when_something_else_fails_at_that_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, error: Exception
) -> None:
    monkeypatch.setattr(mosquitto, "_RESTART_SECONDS", 0.0)
    functions: dict[str, Callable[..., Any]] = {"logins": no_logins, "on_end": nothing, "write": mosquitto.write_private}
    functions["ps"] = mosquitto._is_ours
    functions[what] = failing = Failing(error, functions[what])
    monkeypatch.setattr(mosquitto, "write_private", functions["write"])
    monkeypatch.setattr(mosquitto, "_is_ours", functions["ps"])

    async def scenario() -> None:
        broker = MosquittoBroker("127.0.0.1", 0, tmp_path, functions["logins"], functions["on_end"])
        await broker.start()
        await is_killed(int((tmp_path / "mosquitto" / "mosquitto.pid").read_text()), failing)
        while not await answers("127.0.0.1", broker.address.port):
            await asyncio.sleep(0.01)
        await broker.stop()

    run(scenario())


def test_an_embedded_broker_is_started_again_also_when_the_disk_is_full_at_that_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_RESTART_SECONDS", 0.0)
    failing = Failing(_FULL, embedded.write_private)
    monkeypatch.setattr(embedded, "write_private", failing)

    async def scenario() -> None:
        broker = EmbeddedBroker("127.0.0.1", 0, tmp_path, lambda *_: None)
        await broker.start()
        assert broker._process is not None
        await is_killed(broker._process.pid, failing)
        await until(lambda: broker._control is not None)
        await broker.stop()

    run(scenario())


@pytest.mark.parametrize("says", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""])
def test_an_embedded_broker_is_started_where_somebody_else_has_the_port_of_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: bytes
) -> None:
    """The hub before was killed, and its broker has ended by itself."""
    monkeypatch.setattr(embedded, "_HOLD_SECONDS", 0.5)

    async def scenario() -> None:
        stranger = await asyncio.start_server(lambda _reader, writer: writer.write(says), "127.0.0.1", 0)
        before = {"control": stranger.sockets[0].getsockname()[1], "token": "x", "host": "127.0.0.1", "tls": False}
        before |= {"ports": [free_port(), free_port()], "inner": [free_port(), free_port()]}
        (tmp_path / "rumqttd.json").write_text(json.dumps(before))
        broker = EmbeddedBroker("127.0.0.1", 0, tmp_path, lambda *_: None)
        async with stranger:
            await broker.start()
            assert await answers("127.0.0.1", broker.address.port)
            await broker.stop()

    run(scenario())


@needs_mosquitto
@pytest.mark.parametrize(("before", "after"), [("embedded", "mosquitto"), ("mosquitto", "embedded")])
def test_the_broker_of_a_killed_hub_gives_way_to_one_of_another_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str, after: str
) -> None:
    monkeypatch.setattr(mosquitto, "_END_SECONDS", 1.0)
    bench = Bench(tmp_path)

    async def scenario() -> None:
        left = (await leave_embedded(tmp_path)) if before == "embedded" else (await leave_mosquitto(tmp_path))
        async with contextlib.AsyncExitStack() as stack:
            broker = await start_broker(BrokerChoice(after, left), bench.hub, "127.0.0.1", None, stack)
            assert broker.address.port == left

    bench._loop.run_until_complete(asyncio.wait_for(scenario(), _SECONDS))
    bench.close()


@needs_mosquitto
def test_a_mosquitto_that_was_left_is_ended_also_when_the_directory_is_called_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mosquitto, "_END_SECONDS", 1.0)
    monkeypatch.chdir(tmp_path)

    async def scenario() -> None:
        broker = MosquittoBroker("127.0.0.1", await leave_mosquitto(Path()), tmp_path, no_logins, nothing)
        await broker.start()
        await broker.stop()

    run(scenario())


@needs_mosquitto
def test_a_mosquitto_whose_leash_was_killed_ends_with_the_hub_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mosquitto, "_END_SECONDS", 1.0)

    async def scenario() -> None:
        broker = MosquittoBroker("127.0.0.1", 0, tmp_path, no_logins, nothing)
        await broker.start()
        assert broker._process is not None
        broker._process.kill()
        await broker.stop()
        assert not await answers("127.0.0.1", broker.address.port)

    run(scenario())
