"""A hub that is killed again and again while devices and an operator work with it: what it has said yes to is there, whole and once."""

import contextlib
import json
import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import paho.mqtt.client as paho
import pytest
from long_run import LONG
from operator_side import Eventually
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from waiting import wait_for

from tools.board.process import Board
from tools.hub.broker.mosquitto import find_mosquitto
from tools.hub.client import HubError, OperatorClient
from tools.hub.process import HubProcess

KILLS = 50 if LONG else 3
BROKERS = ["embedded", "mosquitto"] if LONG and find_mosquitto() else ["embedded"]
RATE = 100  # messages a second of each device
WAITING = 1000  # messages that a device keeps while nobody acknowledges them
_AWAY = (httpx.TransportError, OSError)
Figure = Callable[[str], None]


class Load:
    """What works with the hub, and what it was told is done."""

    def __init__(self, hub: HubProcess) -> None:
        self.hub = hub
        self.over = threading.Event()
        self.told: dict[str, set[int]] = {}  # device -> numbers of the messages that were acknowledged
        self.registered: set[str] = set()
        self.commands: dict[str, set[str]] = {}
        self.versions: dict[str, int] = {}
        self.trouble: list[str] = []
        self._published: dict[str, tuple[dict[int, int], list[int]]] = {}
        self._threads: list[threading.Thread] = []
        self._clients: list[paho.Client] = []
        self.connections = 0

    def register(self) -> dict[str, Any]:
        mark = os.urandom(6).hex()
        body = {"sn": mark, "mac": mark, "hardware_key": "killed", "firmware_version": "1"}
        answer = httpx.post(f"{self.hub.entry_url}/v1/devices", json=body)
        answer.raise_for_status()
        made: dict[str, Any] = answer.json()
        self.registered.add(made["id"])
        return made

    def start(self) -> None:
        for _ in range(2):
            self._in_thread(self._post, self.register())
            self._publish(self.register())
        self._in_thread(self._operate, self.register())

    def stop(self) -> None:
        self.over.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()

    def acknowledged(self) -> int:
        """How many messages have been so far, over HTTP and MQTT."""
        return sum(map(len, self.told.values())) + sum(len(acknowledged) for _, acknowledged in self._published.values())

    def settle(self) -> None:
        """Wait until the MQTT clients have every acknowledgement that they wait for."""
        for client in self._clients:
            wait_for(lambda client=client: not client._out_messages, "the acknowledgements", 60)  # type: ignore[misc]
            client.disconnect()
            client.loop_stop()
        for device_id, (sent, acknowledged) in self._published.items():
            self.told[device_id] = {sent[packet_id] for packet_id in acknowledged}

    def _in_thread(self, work: Callable[[dict[str, Any]], None], device: dict[str, Any]) -> None:
        def guarded() -> None:
            try:
                work(device)
            except Exception as error:  # noqa: BLE001 - the test's own thread must see it
                self.trouble.append(repr(error))

        thread = threading.Thread(target=guarded, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _post(self, device: dict[str, Any]) -> None:
        """Telemetry over HTTP; what was not answered is sent again, as a board does."""
        told = self.told.setdefault(device["id"], set())
        number = 0
        while not self.over.is_set():
            headers = {"Authorization": device["access_key"], "Idempotency-Key": f"{number:010d}"}
            with contextlib.suppress(*_AWAY), httpx.Client(headers=headers, timeout=5) as http:
                while not self.over.wait(1 / RATE):
                    http.headers["Idempotency-Key"] = f"{number:010d}"
                    url = f"{self.hub.entry_url}/v1/devices/{device['id']}/telemetry"
                    answer = http.post(url, json={"telemetries": {"n": number}})
                    assert answer.status_code == 200, answer.text
                    told.add(number)
                    number += 1
            self.over.wait(0.05)

    def _publish(self, device: dict[str, Any]) -> None:
        """Telemetry over MQTT at QoS 1; paho connects again by itself and sends again what was not acknowledged."""
        sent: dict[int, int] = {}  # packet identifier -> number; there are fewer messages than identifiers
        acknowledged: list[int] = []
        self._published[device["id"]] = (sent, acknowledged)
        client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=device["id"], protocol=paho.MQTTv5)
        client.username_pw_set(device["id"], device["access_key"])
        client.reconnect_delay_set(1, 1)
        client.max_queued_messages_set(0)

        def on_publish(_client: Any, _data: Any, packet_id: int, reason: Any, _properties: Any) -> None:
            if reason.is_failure:
                self.trouble.append(str(reason))
            acknowledged.append(packet_id)

        def on_connect(_client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
            self.connections += not reason.is_failure

        client.on_publish, client.on_connect = on_publish, on_connect
        parts = urlsplit(device["mqtt_hub_url"])
        assert parts.hostname and parts.port
        client.connect(parts.hostname, parts.port, keepalive=10)
        client.loop_start()
        self._clients.append(client)

        def send(_device: dict[str, Any]) -> None:
            number = 0
            while not self.over.wait(1 / RATE):
                if len(sent) - len(acknowledged) >= WAITING:
                    continue
                properties = Properties(PacketTypes.PUBLISH)
                user = [("device_id", device["id"]), ("access_key", device["access_key"]), ("message_id", f"{number:010d}")]
                properties.UserProperty = user
                topic, payload = f"v1/device/{device['id']}/telemetry", json.dumps({"telemetries": {"n": number}})
                sent[client.publish(topic, payload, qos=1, properties=properties).mid] = number
                number += 1

        self._in_thread(send, device)

    def _operate(self, device: dict[str, Any]) -> None:
        """Registrations, configurations and commands."""
        commands = self.commands.setdefault(device["id"], set())
        turn = 0
        while not self.over.is_set():
            with contextlib.suppress(*_AWAY), OperatorClient(self.hub.url, self.hub.operator_key, timeout=5) as operator:
                while not self.over.wait(0.05):
                    turn += 1
                    if turn % 10 == 0:
                        self.register()
                    elif turn % 3 == 0:
                        self.versions[device["id"]] = operator.configure(device["id"], {"turn": turn})["config_version"]
                    else:
                        try:
                            commands.add(operator.command(device["id"], "ping")["id"])
                        except HubError as error:
                            assert error.status in (422, 429), error  # the queue is full
            self.over.wait(0.05)


def check_database(path: Path) -> None:
    """The file is whole, and no device's state says something else than its messages."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("BEGIN")  # all of it as it is at one moment: the hub goes on writing
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
        rows = database.execute("SELECT id, state FROM devices").fetchall()
        for device_id, state in rows:
            said = database.execute("SELECT telemetries FROM telemetry WHERE device_id = ? ORDER BY timestamp DESC, seq DESC", (device_id,))
            newest = said.fetchone()
            if newest is not None and "n" in json.loads(newest[0]):
                assert json.loads(state)["n"] == json.loads(newest[0])["n"], device_id


@pytest.mark.timeout(1800 if LONG else 180)
@pytest.mark.parametrize("broker", BROKERS)
def test_nothing_that_was_acknowledged_is_lost_when_the_hub_is_killed(
    tmp_path: Path, make_stopped_board: Callable[..., Board], eventually: Eventually, figure: Figure, broker: str
) -> None:
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    everything = ("--keep-messages", "1000000")  # a long trial brings more than the hub keeps by default
    with HubProcess(tmp_path / "hub", broker=f"{broker}:0", extra=everything) as hub:
        load = Load(hub)
        board = make_stopped_board({"entry": hub.entry_url, "sn": "S1"}).start()
        real = eventually(lambda: next((d["id"] for d in hub.operator.devices() if d["sn"] == "S1"), None), what="the board")
        load.start()
        longest = 0.0
        for _ in range(KILLS):
            enough = load.acknowledged() + chance.randint(10, 200)
            wait_for(lambda enough=enough: load.acknowledged() >= enough, "more acknowledgements", 60)
            hub.kill()
            began = time.monotonic()
            hub.start()
            longest = max(longest, time.monotonic() - began)
            check_database(tmp_path / "hub" / "hub.sqlite")
        last = len(hub.operator.history(real, limit=1000))
        load.stop()
        load.settle()
        assert load.trouble == [], f"seed {seed}"
        eventually(lambda: len(hub.operator.history(real, limit=1000)) > last, timeout=60, what="the board's return")
        assert board.running

        def stored(device_id: str) -> list[int]:
            with sqlite3.connect(tmp_path / "hub" / "hub.sqlite") as database:
                return [
                    n for (n,) in database.execute("SELECT number FROM telemetry WHERE device_id = ? AND number IS NOT NULL", (device_id,))
                ]

        for device_id, told in load.told.items():
            eventually(lambda d=device_id, t=told: t <= set(stored(d)), timeout=30, what=f"what was acknowledged (seed {seed})")
            assert len(stored(device_id)) == len(set(stored(device_id))), "a message is there twice"
        assert load.registered <= {device["id"] for device in hub.operator.devices()}
        for device_id, commands in load.commands.items():
            assert commands <= {command["id"] for command in hub.operator.commands(device_id, limit=1000)}
            assert hub.operator.device(device_id)["config_version"] >= load.versions[device_id]
        check_database(tmp_path / "hub" / "hub.sqlite")
        assert load.connections >= len(load._clients)
        messages = sum(map(len, load.told.values()))
        figure(
            f"{broker}: the hub was killed {KILLS} times: {messages} acknowledged messages, {len(load.registered)} registrations and "
            f"{sum(map(len, load.commands.values()))} commands, none lost, none twice; longest start {longest:.1f} s; seed {seed}"
        )
