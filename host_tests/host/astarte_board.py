"""A board that also speaks Astarte, written from reference edgehog-astarte alone, with another's BSON."""

import uuid
from datetime import UTC, datetime
from typing import Any

import bson
import httpx
from hub_support import TRUST, Board, MqttBoard
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from waiting import DEADLINE, wait_for

from tools.hub.astarte_ids import device_id
from tools.hub.facets.astarte.interfaces import OTA_EVENT, OTA_REQUEST

NOON = datetime(2026, 9, 21, 12, 0, 0, 123_000, tzinfo=UTC)
EVENT, REQUEST = OTA_EVENT.name, OTA_REQUEST.name
INTROSPECTION = f"{EVENT}:0:1;{REQUEST}:1:0"


def ota_event(status: str = "Downloading", progress: int = 0, code: str = "", message: str = "", request: str = "") -> dict[str, Any]:
    """The values of an OTAEvent; a new update's, unless `request` is its UUID."""
    made = (request or str(uuid.uuid4()), status, progress, code, message)
    return dict(zip(OTA_EVENT.keys, made, strict=True))


class AstarteBoard:
    """A board that speaks Astarte: its connection is that of `mqtt`."""

    def __init__(self, board: Board, mqtt: MqttBoard) -> None:
        self.board = board
        self.mqtt = mqtt
        self.id = device_id(board.id)
        self.root = f"redpoll/{self.id}"
        self.appengine = f"{board.hub.url}/astarte/appengine/v1/redpoll/devices/{self.id}"
        self.http = httpx.Client(headers={"Authorization": f"Bearer {board.hub.operator_key}"}, verify=TRUST)

    def __enter__(self) -> "AstarteBoard":
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def publish(
        self, end: str, payload: bytes | str, qos: int = 2, *, user: list[tuple[str, str]] | None = None, retain: bool = False
    ) -> None:
        properties = Properties(PacketTypes.PUBLISH)
        properties.UserProperty = [("device_id", self.board.id), ("access_key", self.board.key)] if user is None else user
        topic = f"{self.root}/{end}" if end else self.root
        self.mqtt.client.publish(topic, payload, qos=qos, retain=retain, properties=properties).wait_for_publish(DEADLINE)

    def tell(self, event: dict[str, Any], sent_at: datetime | None = None, qos: int = 2) -> None:
        document: dict[str, Any] = {"v": event}
        if sent_at is not None:
            document["t"] = sent_at
        self.publish(f"{EVENT}/event", bson.dumps(document), qos)

    def get(self, path: str = f"/interfaces/{EVENT}/event", **query: Any) -> Any:
        answer = self.http.get(self.appengine + path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def refused(self, path: str = f"/interfaces/{EVENT}/event", **query: Any) -> tuple[int, Any]:
        answer = self.http.get(self.appengine + path, params=query)
        return answer.status_code, answer.json()["errors"]

    def samples(self, count: int) -> list[dict[str, Any]]:
        """Once there are so many."""

        def found() -> list[dict[str, Any]]:
            answer = self.http.get(f"{self.appengine}/interfaces/{EVENT}/event")
            return list(answer.json()["data"]) if answer.status_code == 200 else []

        return wait_for(lambda: len(items := found()) >= count and items, f"{count} samples")

    def listen(self) -> None:
        """Subscribe to what it may be sent, and say so."""
        self.mqtt.client.subscribe([(f"{self.root}/{REQUEST}/#", 2), (f"{self.root}/control/consumer/properties", 2)])
        assert self.mqtt._ready.get(timeout=DEADLINE) == "subscribed"
        self.publish("", INTROSPECTION)
        self.publish("control/emptyCache", b"1")
        wait_for(lambda: "introspection" in self.taken(), "the introspection")

    def taken(self) -> list[str]:
        """The kinds of the messages that the hub has taken."""
        return [item["data"]["kind"] for item in self.board.activities("upstreamMessage") if "refused" not in item["data"]]

    def request(self) -> dict[str, Any]:
        """The next OTARequest."""
        while True:
            message = self.mqtt.messages.get(timeout=DEADLINE)
            if message.topic == f"{self.root}/{REQUEST}/request":
                document: dict[str, Any] = bson.loads(message.payload)
                return dict(document["v"])
