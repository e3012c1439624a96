"""The hub's own MQTT client: what it waits for ends with the connection."""

import asyncio
from collections.abc import Awaitable, Callable

import aiomqtt
import pytest

from tools.hub.broker.client import Client

_CONNACK = b"\x20\x03\x00\x00\x00"  # MQTT 5.0 §3.2
_PATIENCE = 3600.0  # seconds that the client may wait, which no test does
_SECONDS = 10.0

Asks = Callable[[Client], Awaitable[object]]


async def _meets(until: int, asks: Asks) -> None:
    """A broker closes the connection at the packet of this number; CONNECT is 1. Raises what the client raises."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number in range(1, until + 1):
            await reader.readexactly((await reader.readexactly(2))[1])
            if number < until:
                writer.write(_CONNACK)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        options = {"protocol": aiomqtt.ProtocolVersion.V5, "timeout": _PATIENCE, "on_undecodable": lambda _size: None}
        async with Client("127.0.0.1", port, **options) as client:
            await asks(client)


@pytest.mark.parametrize(
    ("until", "asks"),
    [
        pytest.param(1, lambda client: client.until_lost(), id="connect"),
        pytest.param(2, lambda client: client.subscribe("a", 1), id="subscribe"),
        pytest.param(2, lambda client: client.publish("a", b"b", qos=1), id="publish"),
    ],
)
def test_nothing_is_waited_for_once_the_connection_is_lost(until: int, asks: Asks) -> None:
    with pytest.raises(aiomqtt.MqttError, match="connection was lost"):
        asyncio.run(asyncio.wait_for(_meets(until, asks), _SECONDS))


def test_a_broker_that_is_silent_is_waited_for_as_long_as_was_said() -> None:
    async def silent() -> None:
        server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, Client("127.0.0.1", port, timeout=0.05, on_undecodable=lambda _size: None):
            pass

    with pytest.raises(aiomqtt.MqttError, match="timed out"):
        asyncio.run(asyncio.wait_for(silent(), _SECONDS))
