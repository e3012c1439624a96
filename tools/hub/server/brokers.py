"""The broker that the hub was told to use: started where it is the hub's own, and what is to be known of it."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tools.hub.broker import embedded, mosquitto
from tools.hub.broker.address import BrokerAddress, BrokerChoice, Listener
from tools.hub.broker.embedded import EmbeddedBroker
from tools.hub.broker.mosquitto import MosquittoBroker
from tools.hub.domain import devices, presence
from tools.hub.hub import Hub


@dataclass(frozen=True)
class RunningBroker:
    """A broker that is up."""

    address: BrokerAddress  # where the hub's own clients find it
    listeners: list[Listener]  # where devices do
    certificate_changed: Callable[[], None] = lambda: None
    save: Callable[[], None] = lambda: None  # which sessions it has
    tells: bool = False  # of sessions, by itself; it does not take `$EDC` either
    keeps_logins: bool = False


async def start_broker(
    choice: BrokerChoice, hub: Hub, host: str, certificate: Path | None, stack: contextlib.AsyncExitStack
) -> RunningBroker:
    """Start it, if it is the hub's own, until the stack ends; with a certificate devices reach it over TLS. Raises BrokerError.

    One of the other kind that a killed hub has left is ended: it may be in the way.
    """
    if choice.address is not None:
        return RunningBroker(choice.address, [Listener("MQTT", choice.address)])
    await _all_sessions_down(hub, "the hub was restarted")
    if choice.kind == "mosquitto":
        await embedded.end_left(hub.settings.data)
        return await _start_mosquitto(choice.port, hub, host, certificate, stack)
    await mosquitto.end_left(hub.settings.data)
    broker = EmbeddedBroker(host, choice.port, hub.settings.data, hub.on_session, certificate)
    stack.push_async_callback(broker.stop)
    await broker.start()
    return RunningBroker(broker.address, broker.listeners, tells=True)


async def _start_mosquitto(
    port: int | None, hub: Hub, host: str, certificate: Path | None, stack: contextlib.AsyncExitStack
) -> RunningBroker:
    broker = MosquittoBroker(
        host,
        port,
        hub.settings.data,
        logins=lambda: hub.store.read(devices.broker_logins),
        on_end=lambda: _all_sessions_down(hub, "the broker ended"),
        certificate=certificate,
    )
    stack.push_async_callback(broker.stop)
    await broker.start()
    return RunningBroker(broker.address, broker.listeners, broker.certificate_changed, broker.save, keeps_logins=True)


async def _all_sessions_down(hub: Hub, why: str) -> None:
    await hub.do(lambda unit: presence.all_sessions_down(unit, why))
