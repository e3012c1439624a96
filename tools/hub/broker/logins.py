"""Keeps Mosquitto's clients and roles what the database says: a device that registers is let in, one that is removed is thrown out."""

import asyncio
import json
import logging
import secrets
from collections.abc import Callable
from typing import Any

import aiomqtt

from tools.hub.broker import dynsec
from tools.hub.broker.client import Client
from tools.hub.store.unit import Login

log = logging.getLogger("redpoll.hub.logins")

_BATCH = 50  # devices in one message to the plugin
_ANSWER_SECONDS = 30.0
_SETTLE_SECONDS = 10.0
_RETRY_SECONDS = 0.5
_THERE, _NOT_THERE = "already exists", "not found"  # how the plugin says so


class LoginKeeper:
    """A connection of its own to the plugin. What the plugin has not confirmed is told again on the next connection."""

    def __init__(self, connect: Callable[[], Client]) -> None:
        self._connect = connect
        self._queue: asyncio.Queue[Login] = asyncio.Queue()
        self._unconfirmed: list[Login] = []

    def take(self, login: Login) -> None:
        """A device's key is new, or (None) worth nothing from now on."""
        self._queue.put_nowait(login)

    async def settled(self) -> None:
        """Wait until the broker has all that was taken, so that a device that is told its key can use it."""
        try:
            await asyncio.wait_for(self._queue.join(), _SETTLE_SECONDS)
        except TimeoutError:
            log.warning("the broker does not take new logins; devices are kept out until it does")

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                async with self._connect() as client:
                    await client.subscribe(dynsec.RESPONSE_TOPIC, 1)
                    while True:
                        await self._tell(client)
            except (aiomqtt.MqttError, OSError, ValueError, TimeoutError) as error:
                log.debug("no connection to the plugin: %s", type(error).__name__)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _tell(self, client: Client) -> None:
        """Take what waits and have the plugin do it."""
        if not self._unconfirmed:
            self._unconfirmed.append(await self._queue.get())
        while len(self._unconfirmed) < _BATCH and not self._queue.empty():
            self._unconfirmed.append(self._queue.get_nowait())
        last = {login.device_id: login for login in self._unconfirmed}  # of several about one device
        again: list[dict[str, Any]] = []
        commands = [command for login in last.values() for command in _commands(login)]
        for login, problem in await self._ask(client, commands):
            if _THERE in problem:  # its client, its role or both: a broker that was started again has it from its file
                known = last.pop(login, None)
                again += [] if known is None else [*dynsec.dismiss(login), *_commands(known)]
            elif _NOT_THERE not in problem:
                log.error("the broker's plugin refuses a login: %s", problem)
        if again:
            await self._ask(client, again)
        for _ in self._unconfirmed:
            self._queue.task_done()
        self._unconfirmed.clear()

    async def _ask(self, client: Client, commands: list[dict[str, Any]]) -> list[tuple[str, str]]:
        """Send the commands, wait for the answer; returns the device and the error of each that failed."""
        mark = secrets.token_hex(8)
        named = {f"{mark} {number}": command for number, command in enumerate(commands)}
        asked = [{**command, "correlationData": name} for name, command in named.items()]
        await client.publish(dynsec.TOPIC, json.dumps({"commands": asked}), qos=1)
        async with asyncio.timeout(_ANSWER_SECONDS):
            async for message in client.messages:
                answers = json.loads(message.payload) if isinstance(message.payload, bytes) else {}
                found = [answer for answer in answers.get("responses", []) if answer.get("correlationData") in named]
                if found:
                    return [(_device(named[item["correlationData"]]), str(item["error"])) for item in found if "error" in item]
        raise ValueError("the plugin did not answer")


def _commands(login: Login) -> list[dict[str, Any]]:
    return dynsec.dismiss(login.device_id) if login.access_key is None else dynsec.admit(login.device_id, login.access_key)


def _device(command: dict[str, Any]) -> str:
    return str(command.get("rolename") or command["username"])
