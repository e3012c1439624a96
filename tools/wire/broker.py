"""A subscriber to everything on the hub's broker, which shows what passes there."""

import asyncio
import base64
import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import aiomqtt

from tools.hub.errors import Malformed
from tools.hub.facets.astarte import bson
from tools.hub.facets.kapua import kura_payload
from tools.wire.message import decoded
from tools.wire.seen import PATIENCE, Seen

_DOWN = ("config", "commands", "license", "space_info", "firmware")  # topics of seed 001 by which the cloud speaks


@contextlib.contextmanager
def listening(url: str, seen: Seen) -> Iterator[None]:
    """Meanwhile show all that goes through the broker."""
    over, ready = asyncio.Event(), threading.Event()
    loop = asyncio.new_event_loop()

    async def listen() -> None:
        host, _, port = url.removeprefix("mqtt://").partition(":")
        async with aiomqtt.Client(host, int(port), protocol=aiomqtt.ProtocolVersion.V5, identifier="wire") as client:
            await client.subscribe("#", qos=2)
            ready.set()
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(_read(client, seen))
                await over.wait()
                reading.cancel()

    thread = threading.Thread(target=lambda: loop.run_until_complete(listen()), daemon=True)
    thread.start()
    if not ready.wait(PATIENCE):
        raise TimeoutError("the broker does not answer")
    try:
        yield
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(PATIENCE)
        loop.close()


async def _read(client: aiomqtt.Client, seen: Seen) -> None:
    async for message in client.messages:
        topic, payload = str(message.topic), bytes(message.payload) if isinstance(message.payload, bytes | bytearray) else b""
        first, *parts = topic.split("/")
        if first == "v1":
            down = len(parts) == 3 and parts[2] in _DOWN
            seen.add("mqtt", "←" if down else "→", topic, _properties(message.properties), decoded(payload))
        elif first == "EDC":
            seen.add("kura", "→", topic, {}, _kura(payload))
        else:
            down = topic.endswith("OTARequest/request") or "/control/consumer" in topic
            seen.add("astarte", "←" if down else "→", topic, {}, _bson(payload) if "OTA" in topic.rpartition("/")[0] else decoded(payload))


def _properties(found: Any) -> dict[str, str]:
    about = dict(getattr(found, "UserProperty", []))
    for name, shown in (
        ("ResponseTopic", "response topic"),
        ("CorrelationData", "correlation"),
        ("MessageExpiryInterval", "expires after s"),
    ):
        value = getattr(found, name, None)
        if value is not None:
            about[shown] = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return about


def _bson(data: bytes) -> Any:
    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(one) for key, one in value.items()}
        if isinstance(value, bytes):
            return base64.b64encode(value).decode()
        return getattr(value, "ms", value)

    try:
        return plain(bson.decode(data))
    except Malformed:
        return f"{len(data)} bytes"


def _kura(data: bytes) -> Any:
    return {name: metric.value for name, metric in kura_payload.decode(data).metrics.items()}
