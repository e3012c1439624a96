"""What the hub's tests share: a board that speaks the wire of the seeds and knows nothing of the hub's inside, and other clients."""

import json
import queue
import secrets
import sqlite3
import ssl
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from waiting import DEADLINE

from tools.hub.process import HubProcess

TRUST = ssl.create_default_context()  # for httpx, which else makes one with each client and each call, in 25 ms


SEED_000 = {
    "status": "online",
    "timestamp": "2021-08-04T07:45:44.122Z",
    "telemetries": {"fan_speed": 100.1, "connection": "4g", "usbc": True},
}


def registration(**changes: Any) -> dict[str, Any]:
    """A body that registers a device that no other test has."""
    unique = secrets.token_hex(8)
    return {"sn": unique, "mac": unique[:12], "hardware_key": f"model-{unique}", "firmware_version": "1.0.0", **changes}


class Ended(NamedTuple):
    """How a command ended, and what it printed."""

    status: int
    out: str
    error: str


RunHub = Callable[..., Ended]


def assert_refused(ended: Ended, *words: str, status: int = 2) -> None:
    """The command did not start, and its last line says why with these words."""
    assert ended.status == status, ended.error
    assert "Traceback" not in ended.error
    last = ended.error.strip().splitlines()[-1]
    assert last.startswith("redpoll hub: ")
    for word in words:
        assert word in last


class Board:
    """One registered device and its HTTP calls."""

    def __init__(self, hub: HubProcess, asked: dict[str, Any], answer: dict[str, Any]) -> None:
        self.hub = hub
        self.asked = asked
        self.answer = answer
        self.id: str = answer["id"]
        self.key: str = answer["access_key"]
        self.base = f"{answer['hub_url']}/v1/devices/{self.id}"
        self.http = httpx.Client(headers={"Authorization": self.key}, verify=TRUST)

    @classmethod
    def registered(cls, hub: HubProcess, **changes: Any) -> "Board":
        asked = registration(**changes)
        answer = httpx.post(f"{hub.entry_url}/v1/devices", json=asked, verify=TRUST, timeout=2 * DEADLINE)  # Mosquitto may just be starting
        assert answer.status_code == 201, answer.text
        return cls(hub, asked, answer.json())

    def __enter__(self) -> "Board":
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def call(self, method: str, path: str = "", body: Any = None, **more: Any) -> httpx.Response:
        return self.http.request(method, self.base + path, json=body, **more)

    def get(self, path: str = "") -> httpx.Response:
        return self.call("GET", path)

    def post(self, path: str, body: Any) -> httpx.Response:
        return self.call("POST", path, body)

    def put(self, path: str, body: Any) -> httpx.Response:
        return self.call("PUT", path, body)

    def claim(self, space_id: str = "1", **more: Any) -> dict[str, Any]:
        return self.hub.operator.claim(mac=self.asked["mac"], sn=self.asked["sn"], space_id=space_id, **more)

    def activities(self, event: str | None = None) -> list[dict[str, Any]]:
        return self.hub.operator.activities(device_id=self.id, event=event)

    def refusals(self) -> list[str]:
        return [item["data"]["refused"] for item in self.activities("upstreamMessage") if "refused" in item["data"]]


class MqttBoard:
    """The same device's MQTT 5 client, subscribed as the vendor's own client is."""

    PUSHES = ("update", "config", "commands", "license", "space_info", "firmware")

    def __init__(self, board: Board, mqtt_url: str | None = None) -> None:
        self.board = board
        self._url = urlsplit(mqtt_url or board.answer["mqtt_hub_url"])
        self._ready: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.messages: queue.SimpleQueue[paho.MQTTMessage] = queue.SimpleQueue()
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=board.id, protocol=paho.MQTTv5)
        self.client.username_pw_set(board.id, board.key)
        self.client.on_connect = lambda *_: self._ready.put("connected")
        self.client.on_subscribe = lambda *_: self._ready.put("subscribed")
        self.client.on_message = lambda _client, _data, message: self.messages.put(message)

    def __enter__(self) -> "MqttBoard":
        assert self._url.hostname and self._url.port
        self.client.connect(self._url.hostname, self._url.port, keepalive=30)
        self.client.loop_start()
        assert self._ready.get(timeout=DEADLINE) == "connected"
        self.client.subscribe([(f"v1/device/{self.board.id}/{end}", 1) for end in self.PUSHES])
        assert self._ready.get(timeout=DEADLINE) == "subscribed"
        return self

    def __exit__(self, *_: object) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def send(self, end: str, body: Any = None, *, user: list[tuple[str, str]] | None = None, device_id: str | None = None) -> None:
        """Publish at QoS 1 with the user properties of seed 001, or with others; returns when the broker has it."""
        payload = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        said = [("device_id", self.board.id), ("access_key", self.board.key)] if user is None else user
        self.send_all([(f"v1/device/{device_id or self.board.id}/{end}", payload, said)])

    def send_all(self, messages: list[tuple[str, bytes, list[tuple[str, str]]]]) -> None:
        """Publish all of these at QoS 1: topic, payload, user properties; returns when the broker has them."""
        sent = []
        for topic, payload, user in messages:
            properties = Properties(PacketTypes.PUBLISH)
            properties.UserProperty = user
            sent.append(self.client.publish(topic, payload, qos=1, properties=properties))
        for info in sent:
            info.wait_for_publish(DEADLINE)
            assert info.is_published()

    def next(self, end: str | None = None) -> paho.MQTTMessage:
        """The next push, which must be of this kind when one is named."""
        message = self.messages.get(timeout=DEADLINE)
        assert end is None or message.topic == f"v1/device/{self.board.id}/{end}"
        return message


class KapuaClient:
    """A Kapua client of a hub process, logged in."""

    def __init__(self, hub: HubProcess) -> None:
        self._http = httpx.Client(base_url=f"{hub.url}/kapua/v1", verify=TRUST)
        answer = self._http.post("/authentication/user", json={"username": "operator", "password": hub.operator_key})
        assert answer.status_code == 200, answer.text
        self.token: str = answer.json()["tokenId"]
        self._http.headers["Authorization"] = f"Bearer {self.token}"

    def get(self, path: str) -> Any:
        answer = self._http.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def life_of(self, board: Board) -> list[tuple[str, str, int, str | None]]:
        """The board's only operation: its status, and status, progress and message of each notification."""
        device = self.get(f"/_/devices?clientId={board.id}")["items"][0]
        operation = self.get(f"/_/devices/{device['id']}/operations")["items"][0]
        told = self.get(f"{operation_path(operation)}/notifications")["items"]
        return [(operation["status"], item["status"], item["progress"], item.get("message")) for item in told]

    def __enter__(self) -> "KapuaClient":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()


def operation_path(operation: dict[str, Any]) -> str:
    """Where an operation is, in the own scope."""
    return f"/_/devices/{operation['deviceId']}/operations/{operation['id']}"


def forget_revisions(database: sqlite3.Connection) -> None:
    """Take away what came with the revisions of the schema, as in a database from before there were any."""
    for table in ("alembic_version", "update_events", "updates"):
        database.execute(f"DROP TABLE {table}")
    for column in ("broker_login", "problems", "introspection"):
        database.execute(f"ALTER TABLE devices DROP COLUMN {column}")


def body_of(message: paho.MQTTMessage) -> Any:
    return json.loads(message.payload)
