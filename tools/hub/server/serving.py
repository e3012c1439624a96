"""All that runs in a hub's process, started and stopped in order."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Coroutine
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from tools.hub.broker import sessions
from tools.hub.broker.address import BrokerAddress, BrokerChoice
from tools.hub.broker.logins import LoginKeeper
from tools.hub.data_folder import READY_FILE
from tools.hub.facets.astarte.mqtt import AstarteMqtt
from tools.hub.facets.kapua.kura_mqtt import KuraMqtt
from tools.hub.facets.mqtt_intake import Intake
from tools.hub.facets.xyte.mqtt import XyteMqtt
from tools.hub.hub import Hub, Settings
from tools.hub.security.certificates import Certificates
from tools.hub.server.announcement import announce, write_ready
from tools.hub.server.brokers import RunningBroker, start_broker
from tools.hub.server.folder import StartError, session
from tools.hub.server.starting import starting
from tools.hub.server.web import Server, config, url_of
from tools.hub.store.outage import cause, is_outage
from tools.hub.tasks import cancel

log = logging.getLogger("redpoll.hub")

_MQTT_SECONDS = 6.0  # how long the hub may take to reach its broker when it starts
_BESIDE_SECONDS = 3.0  # how long it then waits for each of its other connections, without which it goes on
_PRUNE_SECONDS = 60.0  # between two looks for what is to be forgotten
_LATE_SECONDS = 15.0  # that a look comes too late, at most, when the process was stopped
_SWEEP_MAX_SECONDS = 30.0  # reference xyte §2: offline is judged every 30 s


class Serving:
    """One hub: `serve` is its life."""

    def __init__(
        self, settings: Settings, choice: BrokerChoice, host: str, listener: socket.socket, certificates: Certificates | None
    ) -> None:
        """`listener`: where HTTP comes in, at `host`; with `certificates` everything is over TLS."""
        self._settings = settings
        self._choice = choice
        self._host = host
        self._listener = listener
        self._certificates = certificates
        self._stack = contextlib.AsyncExitStack()
        self._stopping = asyncio.Event()

    async def serve(self, until_stdin_closes: bool) -> None:
        """Until SIGINT or SIGTERM. Raises StartError and BrokerError."""
        self._heed_signals(until_stdin_closes)
        async with self._stack:
            with starting(self._settings.data, self._settings.database_url):
                hub = Hub(self._settings)
                self._stack.push_async_callback(hub.close)
                await hub.open()
                certificate = None if self._certificates is None else self._certificates.path
                broker = await start_broker(self._choice, hub, self._host, certificate, self._stack)
                hub.url = url_of(self._host, self._listener, tls=self._certificates is not None)
                hub.mqtt_url = broker.listeners[0].address.url
                mqtt = XyteMqtt(hub, broker.address, session(self._settings.data, self._settings.share_group))
                mqtt_task = self._begin(mqtt.run())
                await self._wait_for_broker(mqtt, mqtt_task, broker.address)
                beside = await self._connect_beside(hub, mqtt, broker)
                http = Server(config(hub, self._certificates))
                http_task = asyncio.create_task(http.serve([self._listener]))
                self._begin(_sweep(hub))
                self._look_after(hub, mqtt, broker)
                while not http.started and not http_task.done():
                    await asyncio.sleep(0.01)
                if not self._stopping.is_set():
                    write_ready(self._settings, hub.url, broker.listeners, tls=self._certificates is not None)
                    announce(self._settings, self._host, hub.url, broker.listeners, self._certificates)
            stopped = self._begin(self._stopping.wait())
            await asyncio.wait({stopped, http_task}, return_when=asyncio.FIRST_COMPLETED)
            log.info("stopping")
            (self._settings.data / READY_FILE).unlink(missing_ok=True)
            hub.activities.close()  # ends the streams, which else keep the server open
            http.should_exit = True
            await http_task
            await mqtt.drain()
            for intake in beside:
                await intake.drain()
            mqtt_task.cancel()

    def _heed_signals(self, until_stdin_closes: bool) -> None:
        loop = asyncio.get_running_loop()
        if until_stdin_closes:
            loop.add_reader(sys.stdin.fileno(), _stop_at_end_of_stdin, loop, self._stopping)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stopping.set)

    async def _wait_for_broker(self, mqtt: XyteMqtt, task: asyncio.Task[Any], address: BrokerAddress) -> None:
        waits = {asyncio.create_task(mqtt.ready.wait()), asyncio.create_task(self._stopping.wait())}
        await asyncio.wait({*waits, task}, timeout=_MQTT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        if task.done():
            await task  # raises what it has met
        if not mqtt.ready.is_set() and not self._stopping.is_set():
            why = mqtt.problem or "it does not answer"
            raise StartError(f"--broker: no MQTT 5 connection to {address.url} ({why}); start that broker, or use --broker embedded:0")

    async def _connect_beside(self, hub: Hub, mqtt: XyteMqtt, broker: RunningBroker) -> list[Intake]:
        """The hub's other connections to its broker. They go on trying by themselves. Returns what stores their messages."""
        kura = KuraMqtt(hub, lambda intake: mqtt.connection(intake, "-kura"), dollar=not broker.tells)
        self._begin(kura.run())
        await _at_most(_BESIDE_SECONDS, kura.ready)
        if broker.keeps_logins:
            logins = LoginKeeper(mqtt.watcher)
            hub.on_login(logins)
            self._begin(logins.run())
        astarte = AstarteMqtt(hub, lambda intake: mqtt.connection(intake, "-astarte"))
        self._begin(astarte.run())
        await _at_most(_BESIDE_SECONDS, astarte.ready)
        broker.save()
        return [kura.intake, astarte.intake]

    def _look_after(self, hub: Hub, mqtt: XyteMqtt, broker: RunningBroker) -> None:
        if not broker.tells:
            self._begin(sessions.watch(mqtt.watcher, hub.on_session))
        if self._certificates is not None:
            self._begin(self._certificates.look_after(broker.certificate_changed))

    def _begin(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """A task that is cancelled when the hub stops, before what was begun earlier. When it fails the hub stops, and raises that."""
        task = asyncio.create_task(work)
        task.add_done_callback(self._stop_if_failed)
        self._stack.push_async_callback(cancel, task)
        return task

    def _stop_if_failed(self, task: asyncio.Task[Any]) -> None:
        # half a hub would lose messages without a word
        if not task.cancelled() and task.exception() is not None:
            self._stopping.set()


def _stop_at_end_of_stdin(loop: asyncio.AbstractEventLoop, stopping: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        loop.remove_reader(sys.stdin.fileno())
        stopping.set()


async def _at_most(seconds: float, ready: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(ready.wait(), seconds)


async def _sweep(hub: Hub) -> None:
    """What is to be done now and then, for as long as the hub runs; an outage of the database is waited out."""
    pruned = 0.0
    interval = min(_SWEEP_MAX_SECONDS, hub.settings.offline_after / 4)
    while True:
        begun = hub.elapsed()
        await asyncio.sleep(interval)
        if hub.elapsed() - begun - interval > min(_LATE_SECONDS, hub.settings.offline_after / 2):
            hub.hears_anew("the hub stood still")
        try:
            await hub.sweep()
            if time.monotonic() - pruned > _PRUNE_SECONDS:
                pruned = time.monotonic()
                await hub.prune()
        except SQLAlchemyError as error:
            if not is_outage(error):
                raise
            log.error("the database cannot be used: %s", cause(error))
