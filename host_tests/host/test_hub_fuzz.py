"""Random and mutated input at every door of the hub: never a 5xx, always JSON, and nobody else's state touched."""

import contextlib
import json
import random
import socket
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hub_support import Board, MqttBoard
from long_run import LONG
from waiting import wait_for

from tools.hub.client import HubError
from tools.hub.process import HubProcess

SEED = 20261121
ROUND = 500  # messages between two looks at what became of them
MESSAGES = 50_000 if LONG else 2 * ROUND
ALLOWED = {200, 201, 400, 401, 403, 404, 405, 422, 429}
NAMES = [
    "status", "telemetries", "message", "timestamp", "override", "version", "config", "last_updated", "id", "name", "parameters",
    "state", "firmware_version", "sub_model", "details", "space_version", "config_version", "property", "value", "sn", "mac",
    "cloud_id", "parent_id", "hardware_key", "space_id", "extra_params", "friendly_name", "file_id", "configuration", "info", "known",
    "latest_fw_version", "error", "latest_fw_file_id", "coordinates", "utc_offset", "location", "expires_at", "fields",
    "title", "issue", "priority", "description", "category", "int_key_1", "int_key_2", "string_key_1", "string_key_2", "model_id",
]  # fmt: skip
PLAIN = [
    None, True, False, 0, 1, -1, 2**31, 2**63, 2**64, 10**40, 1.5, 1e308, "", "x", "done", "in_progress", "online", "é", "\u202e",
    "x" * 300, "2021-08-04T07:45:44.122Z", "0001-01-01T00:00:00+14:00", "'; DROP TABLE devices; --", "%s%n", "../..",
    "00000000-0000-0000-0000-000000000000",
]  # fmt: skip


def value(chance: random.Random, depth: int = 0) -> Any:
    kind = chance.random()
    if depth < 4 and kind < 0.25:
        return {chance.choice([*NAMES, "a", "", "é"]): value(chance, depth + 1) for _ in range(chance.randrange(4))}
    if depth < 4 and kind < 0.35:
        return [value(chance, depth + 1) for _ in range(chance.randrange(4))]
    return chance.choice(PLAIN)


def body(chance: random.Random) -> bytes:
    made = json.dumps({chance.choice(NAMES): value(chance) for _ in range(chance.randrange(6))}).encode()
    if chance.random() < 0.15:
        spoilt = bytearray(made)
        for _ in range(chance.randrange(1, 4)):
            spoilt[chance.randrange(len(spoilt))] = chance.randrange(256)
        return bytes(spoilt)
    return made


def test_random_bodies_on_every_call_are_never_a_5xx(hub: HubProcess) -> None:
    chance = random.Random(SEED)
    with Board.registered(hub) as bystander:
        bystander.post("/telemetry", {"telemetries": {"mine": 1}})
        before = hub.operator.device(bystander.id)
        with Board.registered(hub) as board:
            operator = f"{hub.url}/xyte/core/v1/organization/devices"
            doors = [("POST", f"{hub.entry_url}/v1/devices"), ("POST", f"{operator}/claim")]
            doors += [("POST", board.base + end) for end in ("/telemetry", "/config", "/command", "/licenses", "/dumps/text%2Ftxt/a")]
            doors += [("PUT", board.base + end) for end in ("", "/cloud_settings", "/dumps/x")]
            doors += [("GET", board.base + end) for end in ("", "/config", "/command", "/space", "/licenses", "/files")]
            doors += [("PATCH", f"{operator}/{board.id}"), ("POST", f"{operator}/{board.id}/commands")]
            doors += [("PUT", f"{hub.url}/xyte/operator/models/{board.id}"), ("PUT", f"{hub.url}/xyte/operator/spaces/{board.id}")]
            license = f"{hub.url}/xyte/operator/devices/{board.id}/licenses"
            made = hub.operator.add_license(board.id, "x")["id"]
            doors += [("POST", license), ("PUT", f"{license}/{made}"), ("GET", board.base + "/license")]
            board.claim("fuzz")  # what is not claimed keeps no incidents and events
            doors += more_doors(hub, board)
            with httpx.Client() as client:
                for n in range(1500):
                    method, url = chance.choice(doors)
                    key = hub.operator_key if "/core/" in url or "/operator/" in url else board.key
                    sent = body(chance) if method != "GET" else None
                    if sent is not None and url.endswith("/children/telemetries") and chance.random() < 0.7:
                        sent = json.dumps({chance.choice([board.id, child_of(hub, board), "x"]): value(chance)}).encode()
                    headers = {"Authorization": key, **chance.choice(HEADERS)}
                    answer = client.request(method, url, headers=headers, content=sent)
                    assert answer.status_code in {*ALLOWED, 206, 416}, (n, method, url, sent, answer.text)
                    if answer.headers["content-type"] != "application/octet-stream":
                        answer.json()
        after = hub.operator.device(bystander.id)
    for command in hub.operator.commands(board.id, limit=1000):
        with contextlib.suppress(HubError):
            hub.operator.cancel(board.id, command["id"])
    for file in hub.operator.files():
        hub.operator.delete_file(file["id"])
    assert {**after, "online": None, "last_seen_at": None} == {**before, "online": None, "last_seen_at": None}


HEADERS = [{}] * 8 + [
    {"Range": "bytes=1-"}, {"Range": "bytes=99-"}, {"Range": "bytes=-"}, {"Range": "x"}, {"Range": "bytes=0-0,1-1"},
    {"Content-Type": "multipart/form-data"}, {"Content-Type": "multipart/form-data; boundary=x"}, {"Content-Type": "multipart/;;="},
    {"Content-Type": "application/x-www-form-urlencoded"}, {"If-Range": "x", "Range": "bytes=1-"},
]  # fmt: skip


def more_doors(hub: HubProcess, board: Board) -> list[tuple[str, str]]:
    """Files, incidents, events and children, and the operator's side of them."""
    unknown = "00000000-0000-0000-0000-000000000000"
    file_id = hub.operator.upload_file(b"0123456789", "fuzz", version="1.0.0")["id"]
    device, files = f"{hub.url}/xyte/core/v1/organization/devices/{board.id}", f"{hub.url}/xyte/operator/files"
    link = board.get(f"/files/{file_id}").json()["url"]
    doors = [("POST", board.base + end) for end in ("/incidents", "/events", "/children", "/children/telemetries")]
    doors += [("GET", board.base + end) for end in ("/incidents", "/children", "/command/pending_commands")]
    doors += [("DELETE", board.base + end) for end in ("/incidents", f"/incidents/{unknown}", "/incidents/%F0%9F%98%80")]
    doors += [("GET", f"{board.base}/files/{end}") for end in (file_id, f"{file_id}/content", "%00", "x/content?until=é&signature=%FF%00")]
    doors += [("GET", link), ("GET", f"{link}x"), ("GET", f"{link}&until=1")]
    doors += [
        ("POST", f"{files}{end}") for end in ("", "?name=a", "?name=%00", "?name=a&version=1.0.0", "?name=a&desc=%FF&version=1.0.0-x")
    ]
    doors += [("GET", files), ("GET", f"{files}/{file_id}"), ("GET", f"{files}/{file_id}/content"), ("DELETE", f"{files}/{unknown}")]
    doors += [("POST", f"{device}/incidents"), ("GET", f"{device}/incidents"), ("GET", f"{device}/events")]
    doors += [("DELETE", f"{device}/commands/{unknown}"), ("DELETE", f"{device}/commands/%00")]
    return doors + [("DELETE", f"{hub.url}/xyte/core/v1/organization/incidents/x"), ("PUT", board.base + "/cloud_settings")]


def child_of(hub: HubProcess, board: Board) -> str:
    """The board's first child; one is made when there is none yet."""
    children = board.get("/children").json()
    if children:
        return str(children[0]["id"])
    return str(board.post("/children", {"model_id": "m", "firmware_version": "1"}).json()["id"])


@pytest.mark.parametrize("host", [b"[", b"a b", b"", b"x/../y", b"\xff", b"[::1]:x", b"h:99999999", b"x" * 300, b"a@b", b"a#b"])
def test_a_strange_host_header_is_never_a_5xx(hub: HubProcess, host: bytes) -> None:
    content = json.dumps({"sn": host.hex()[:20], "mac": "m", "hardware_key": "k", "firmware_version": "1"}).encode()
    address = hub.url.removeprefix("http://").split(":")
    with socket.create_connection((address[0], int(address[1])), 5) as raw:
        raw.sendall(
            b"POST /xyte/v1/devices HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(content)
        )
        raw.sendall(content)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while chunk := raw.recv(4096):
                answer += chunk
    assert answer.split()[1] in (b"201", b"400", b"422"), answer


# what seed 001 shows of each topic, for mutation; the ids are filled in
SEEDS: dict[str, dict[str, Any]] = {
    "telemetry": {
        "status": "online", "timestamp": "2021-08-04T07:45:44.122Z",
        "telemetries": {"fan_speed": 100.1, "connection": "4g", "usbc": True}, "message": "m", "override": False,
    },
    "config/update": {"version": 1, "last_updated": "2021-08-04T07:45:44.122Z", "interval": 60, "config": {"a": 1}},
    "commands/update": {"status": "in_progress", "message": "great, success!", "id": "COMMAND"},
    "command/update": {"status": "done", "message": "great, success!", "id": "COMMAND"},
    "license/update": {"id": "LICENSE", "state": "inuse", "error": "great not success!"},
    "update": {"firmware_version": "1.0.0", "name": "n", "details": {"imsi": "1"}, "space_version": 1, "config_version": 1},
    "cloud_settings/update": {"property": "p", "value": "v"},
    "get": {},
}  # fmt: skip


def mutated(chance: random.Random, known: dict[str, list[str]], body: Any) -> Any:
    """A value of the same shape with something else in it, most often."""
    if isinstance(body, dict):
        made = {name: mutated(chance, known, item) for name, item in body.items() if chance.random() < 0.9}
        if chance.random() < 0.1:
            made[chance.choice(NAMES)] = value(chance, 2)
        return made
    if isinstance(body, str) and body in known:
        return chance.choice(known[body]) if chance.random() < 0.9 else value(chance, 3)
    return value(chance, 3) if chance.random() < 0.15 else body


def damaged(chance: random.Random, payload: bytes) -> bytes:
    """Some bytes changed, taken away, doubled or put in."""
    spoilt = bytearray(payload)
    for _ in range(chance.randrange(1, 5)):
        at = chance.randrange(len(spoilt) + 1)
        what = chance.randrange(4)
        if what == 0 and at < len(spoilt):
            spoilt[at] = chance.randrange(256)
        elif what == 1:
            del spoilt[at : at + chance.randrange(1, 9)]
        elif what == 2:
            spoilt[at:at] = chance.randbytes(chance.randrange(1, 9))
        else:
            spoilt[at:at] = spoilt[max(0, at - 16) : at]
    return bytes(spoilt)


class Attacker:
    """A device that sends whatever there is, with its own key and others, on its own topics and another device's."""

    def __init__(self, chance: random.Random, board: Board, victim: Board) -> None:
        self.chance = chance
        self.board = board
        self.victim = victim
        ids = [board.id, victim.id]
        operator = board.hub.operator
        self.known = {
            "COMMAND": [operator.command(one, "ping")["id"] for one in ids],
            "LICENSE": [operator.add_license(one, "x")["id"] for one in ids],
        }

    def payload(self, end: str) -> bytes:
        kind = self.chance.random()
        if kind < 0.15:
            return body(self.chance)
        if kind < 0.2:
            return self.chance.randbytes(self.chance.choice([0, 1, 10, 1000]))
        if kind < 0.22:
            return b"[" * 5000 if kind < 0.21 else json.dumps({"telemetries": {f"k{n}": n for n in range(500)}}).encode()
        made = json.dumps(mutated(self.chance, self.known, SEEDS[end])).encode()
        return damaged(self.chance, made) if kind < 0.4 else made

    def credentials(self) -> list[tuple[str, str]]:
        """User properties; the right ones most often."""
        mine = [("device_id", self.board.id), ("access_key", self.board.key)]
        if self.chance.random() < 0.8:
            return mine
        others = [("device_id", self.victim.id), ("access_key", "x"), ("access_key", ""), ("\u00e9", "\u202e"), ("message_id", "1"),
                  ("access_key", self.board.key.upper()), ("device_id", "x" * 2000)]  # fmt: skip
        return self.chance.sample(mine + others, self.chance.randrange(5)) + [("a", "b")] * self.chance.choice([0, 0, 100])

    def message(self) -> tuple[str, bytes, list[tuple[str, str]]]:
        end = self.chance.choice(list(SEEDS))
        device_id = self.chance.choice([self.board.id] * 20 + [self.victim.id] * 3 + ["x", "\u00e9", "", self.board.id.upper(), "a" * 300])
        return f"v1/device/{device_id}/{end}", self.payload(end), self.credentials()

    def opens(self, topic: str, user: list[tuple[str, str]]) -> bool:
        """Whether these properties are this device's own, and the topic too."""
        ids, keys = ({value for name, value in user if name == wanted} for wanted in ("device_id", "access_key"))
        return topic.split("/")[2] == self.board.id and ids == {self.board.id} and keys == {self.board.key}


def all_about(board: Board) -> Any:
    """What the hub holds of a device, but for whether it is there."""
    operator = board.hub.operator
    shown = {**operator.device(board.id), "online": None, "last_seen_at": None}
    return shown, operator.telemetry(board.id), operator.commands(board.id), operator.licenses(board.id), operator.history(board.id)


@pytest.mark.timeout(1800 if LONG else 120)
def test_mutated_messages_are_taken_or_refused_one_by_one_and_touch_nobody_else(hub: HubProcess, figure: Callable[[str], None]) -> None:
    chance = random.Random(random.randrange(2**32) if LONG else SEED)
    taken: Counter[str] = Counter()
    with Board.registered(hub) as bystander, Board.registered(hub) as board, MqttBoard(board) as mqtt:
        bystander.post("/telemetry", {"telemetries": {"mine": 1}})
        attacker = Attacker(chance, board, bystander)
        before = all_about(bystander)
        for _ in range(MESSAGES // ROUND):
            since = hub.operator.activities()[-1]["seq"]
            messages = [attacker.message() for _ in range(ROUND)]
            mqtt.send_all(messages)
            told = wait_for(lambda since=since: _taken(hub, since, ROUND), "an activity for every message", 60)  # type: ignore[misc]
            assert len(told) == ROUND, "one for each, and no more"
            strangers = sum(not attacker.opens(topic, user) for topic, _, user in messages)
            refused = [data["refused"] for data in told if "refused" in data]
            assert sum(text.startswith("Not authorized") for text in refused) == strangers
            taken.update(
                "taken" if "refused" not in data else "Not authorized" if data["refused"][:3] == "Not" else "refused" for data in told
            )
        mqtt.send("telemetry", {"telemetries": {"after": 1}, "override": True})
        wait_for(lambda: hub.operator.telemetry(board.id)["telemetries"] == {"after": 1}, "the message after all of them")
        assert all_about(bystander) == before
    assert "could not be stored" not in hub.output()
    assert "Traceback" not in hub.output()
    assert min(taken.values()) > MESSAGES // 20
    figure(f"{MESSAGES} messages: " + ", ".join(f"{count} {what}" for what, count in taken.most_common()))


def _taken(hub: HubProcess, since: int, count: int) -> list[dict[str, str]] | None:
    """What has come over MQTT since then, once there is so much of it."""
    found = [item["data"] for item in hub.operator.activities(since=since, event="upstreamMessage") if item["data"]["transport"] == "mqtt"]
    return found if len(found) >= count else None
