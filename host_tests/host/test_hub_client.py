"""The hub's own MQTT client: what it waits for ends with the connection; and who gives up on a broker, and who does not."""

import asyncio
import contextlib
import gc
from collections.abc import Awaitable, Callable

import aiomqtt
import pytest

from tools.hub.broker import sessions
from tools.hub.broker.client import Client
from tools.hub.ports import free_port

_CONNACK = b"\x20\x03\x00\x00\x00"  # MQTT 5.0 §3.2
_PATIENCE = 3600.0  # seconds that the client may wait, which no test does
_SECONDS = 10.0

Asks = Callable[[Client], Awaitable[object]]


async def _broker(until: int) -> asyncio.Server:
    """One that closes each connection at the packet of this number; CONNECT is 1."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number in range(1, until + 1):
            await reader.readexactly((await reader.readexactly(2))[1])
            if number < until:
                writer.write(_CONNACK)
        writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


def _port(server: asyncio.Server) -> int:
    return int(server.sockets[0].getsockname()[1])


def _client(port: int, timeout: float = _PATIENCE) -> Client:
    return Client("127.0.0.1", port, protocol=aiomqtt.ProtocolVersion.V5, timeout=timeout, on_undecodable=lambda _size: None)


@pytest.mark.parametrize(
    ("until", "asks"),
    [
        pytest.param(1, lambda client: client.until_lost(), id="connect"),
        pytest.param(2, lambda client: client.subscribe("a", 1), id="subscribe"),
        pytest.param(2, lambda client: client.publish("a", b"b", qos=1), id="publish"),
    ],
)
def test_nothing_is_waited_for_once_the_connection_is_lost(until: int, asks: Asks, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with await _broker(until) as server, _client(_port(server)) as client:
            await asks(client)

    with pytest.raises(aiomqtt.MqttError, match="connection was lost"):
        asyncio.run(asyncio.wait_for(scenario(), _SECONDS))
    gc.collect()
    assert caplog.messages == []  # such as asyncio's, of an exception that was never retrieved


def test_a_broker_that_is_silent_is_waited_for_as_long_as_was_said() -> None:
    async def scenario() -> None:
        server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
        async with server, _client(_port(server), timeout=0.05):
            pass

    with pytest.raises(aiomqtt.MqttError, match="timed out"):
        asyncio.run(asyncio.wait_for(scenario(), _SECONDS))


def test_a_connection_that_a_broker_does_not_answer_is_closed() -> None:
    """One that goes on later would else let it in: beside the next ones, or with the session's messages."""

    async def scenario() -> None:
        closed = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            closed.set()
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            client = _client(_port(server), timeout=0.05)
            with pytest.raises(aiomqtt.MqttError, match="timed out"):
                await client.__aenter__()
            await closed.wait()

    asyncio.run(asyncio.wait_for(scenario(), _SECONDS))


def test_a_connection_that_a_broker_reads_no_more_is_closed_when_the_hub_leaves_it(caplog: pytest.LogCaptureFixture) -> None:
    """What such a broker has not taken is published again on the next connection: it must not have it of this one too, when it goes on."""
    payload = bytes(32 * 1024 * 1024)  # more than two sockets hold

    async def scenario() -> int:
        left = asyncio.Event()
        taken: asyncio.Future[int] = asyncio.Future()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readexactly((await reader.readexactly(2))[1])
            writer.write(_CONNACK)
            await left.wait()
            count = 0
            with contextlib.suppress(ConnectionError):
                while some := await reader.read(1024 * 1024):
                    count += len(some)
            taken.set_result(count)
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            with pytest.raises(aiomqtt.MqttError):
                async with _client(_port(server)) as client:
                    client.timeout = 0.05
                    await client.publish("a", payload, qos=1)
            left.set()
            return await taken

    assert asyncio.run(asyncio.wait_for(scenario(), _SECONDS)) < len(payload)
    gc.collect()
    assert caplog.messages == []


def test_a_broker_that_lets_nobody_see_its_sessions_is_asked_three_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "_RETRY_SECONDS", 0.0)
    asked: list[Client] = []

    async def scenario() -> None:
        async with await _broker(2) as server:

            def connect() -> Client:
                asked.append(_client(_port(server)))
                return asked[-1]

            await sessions.watch(connect, lambda *_: None)

    asyncio.run(asyncio.wait_for(scenario(), _SECONDS))
    assert len(asked) == 3


def test_a_broker_that_is_away_is_asked_for_its_sessions_until_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "_RETRY_SECONDS", 0.0)
    nobody = free_port()
    asked = asyncio.Semaphore(0)

    def connect() -> Client:
        asked.release()
        return _client(nobody)

    async def scenario() -> None:
        watch = asyncio.create_task(sessions.watch(connect, lambda *_: None))
        for _ in range(10):
            await asked.acquire()
        assert not watch.done()
        watch.cancel()

    asyncio.run(asyncio.wait_for(scenario(), _SECONDS))
