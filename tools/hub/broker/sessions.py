"""Which clients a broker that is not ours has: read from what it publishes about itself.

Mosquitto publishes its log below `$SYS/broker/log` when its configuration says `log_dest topic` and `connection_messages true`; EMQX
publishes `$SYS/brokers/NODE/clients/ID/connected|disconnected`. Where a broker publishes neither (or refuses the subscription), devices
are online from their first message to the offline threshold. The watch has a connection of its own, since rumqttd, as someone else's
broker, drops a client that subscribes below `$SYS`; after three such losses it gives up. A broker that is away is waited for.
"""

import asyncio
import logging
import re
from collections.abc import Callable

import aiomqtt

log = logging.getLogger("redpoll.hub.sessions")

_TOPICS = ("$SYS/broker/log/N", "$SYS/brokers/+/clients/+/+")
_UP = re.compile(r"\d+: New client connected from \S+ as (\S{1,128}) \(p\d.*")
_DOWN = re.compile(r"\d+: Client (\S{1,128}) (disconnected|closed its connection|has exceeded timeout, disconnecting)\.?")
# what the broker ends by itself, or the system for both; whole, for a client's id may hold what looks like the end of a line
_ENDED = re.compile(
    r"\d+: Client (\S{1,128}) (?:disconnected(?: due to |, |: )|been disconnected by )(malformed packet|protocol error|oversize packet|"
    r"oversize payload|out of memory|QoS too high or retain not supported|not authorised|administrative action|Connection reset by peer|"
    r"Connection timed out|Broken pipe|No route to host|Host is unreachable|Network is unreachable)\."
)
_LOSSES = 3
_RETRY_SECONDS = 1.0


def read(topic: str, payload: str) -> tuple[str, str | None] | None:
    """The client that a broker's message is about, with the reason when it is gone and None when it is there."""
    parts = topic.split("/")
    if parts[:2] == ["$SYS", "brokers"] and len(parts) == 6 and parts[3] == "clients":
        return {"connected": (parts[4], None), "disconnected": (parts[4], "disconnected")}.get(parts[5])
    if match := _UP.fullmatch(payload):
        return match[1], None
    if match := _DOWN.fullmatch(payload):
        return match[1], "disconnected" if match[2] == "disconnected" else "connection lost"
    if match := _ENDED.fullmatch(payload):
        return match[1], f"the broker ended it: {match[2]}"
    return None


async def watch(connect: Callable[[], aiomqtt.Client], on_session: Callable[[str, str | None], None]) -> None:
    """Tell `on_session(client id, reason or None)` of every session, until cancelled or until it is clear that the broker will not say."""
    losses = 0
    while losses < _LOSSES:
        connected = subscribed = False
        try:
            async with connect() as client:
                connected = True
                for topic in _TOPICS:
                    await client.subscribe(topic)
                subscribed = True
                losses = 0
                async for message in client.messages:
                    payload = message.payload.decode(errors="replace") if isinstance(message.payload, bytes) else ""
                    happened = read(str(message.topic), payload)
                    if happened is not None:
                        on_session(*happened)
        except (aiomqtt.MqttError, OSError, ValueError) as error:
            losses += connected and not subscribed
            log.debug("no session log: %s", error)
        await asyncio.sleep(_RETRY_SECONDS)
    log.info("the broker does not tell about sessions; devices go offline by silence only")
