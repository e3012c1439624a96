"""One device against another: its own valid key, the other's ids, at every operation that the hub describes and on every topic that it
takes messages from or publishes on, with each broker of its own. A new operation or topic is tried without a line here.
"""

import importlib
import itertools
import json
import pkgutil
import re
from collections.abc import Callable, Iterator
from typing import Any

import paho.mqtt.client as paho
import pytest
from brokers import needs_mosquitto
from databases import url_in
from hub_support import Board, MqttBoard
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from sqlalchemy import NullPool, select
from waiting import DEADLINE, wait_for
from xyte_bench import DEVICES, KEY, OPERATOR, Bench, Device

from tools.hub import astarte_ids, facets
from tools.hub.domain.operations import number_of
from tools.hub.facets.astarte.interfaces import OTA_REQUEST
from tools.hub.facets.xyte import mqtt as xyte_mqtt
from tools.hub.process import HubProcess
from tools.hub.store import tables
from tools.hub.store.database import make_engine
from tools.hub.store.unit import Unit

Figure = Callable[[str], None]

INCIDENT = {"title": "planted", "issue": "i", "priority": "low"}


class Household:
    """A gateway with a child and one of everything, all its own."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.gateway = bench.device()
        child = self.gateway.post("/children", {"model_id": self.gateway.model, "firmware_version": "1.0.0"}).json()
        self.child = Device(bench, child["id"], child["access_key"], self.gateway.model)
        self.file = bench.upload(b"secret bytes", hardware_key=self.gateway.model, name="mine", version="1.0.0")["id"]
        self.dump = self.gateway.post("/dumps/text%2Ftxt/a", b"mine").json()["id"]
        self.incident = self.gateway.post("/incidents", INCIDENT).json()["incident_id"]
        self.command = bench.command(self.child, "ping")["id"]
        self.child.post("/command", {"id": self.command, "status": "in_progress"})
        self.command = bench.command(self.child, "ping")["id"]
        made = bench.operator("POST", f"{OPERATOR}/devices/{self.child.id}/licenses", {"name": "mine"})
        self.license = made["id"]
        self.link = self.gateway.get(f"/files/{self.file}").json()["url"]

    def state(self) -> Any:
        """All rows about the two, without when they were last seen and, of the child, what was refused of its own."""

        def work(unit: Unit) -> Any:
            ids = (self.gateway.id, self.child.id)
            found: dict[str, Any] = {}
            for table in tables.metadata.sorted_tables:
                column = table.c.get("device_id") if table.name != "devices" else table.c.id
                if column is not None:
                    rows = unit.db.execute(table.select().where(column.in_(ids))).mappings()
                    found[table.name] = [{**row, "seen_at": None} for row in rows]
            next(row for row in found["devices"] if row["id"] == self.child.id)["problems"] = None
            return found

        kept = [path.read_bytes() for path in sorted((self.bench.folder / "dumps").iterdir())]
        return self.bench._loop.run_until_complete(self.bench.hub.do(work)), kept

    def calls(self, device: Device) -> list[tuple[str, str, Any]]:
        """Every new call with the ids of this household, as the device would make it."""
        return [
            ("GET", "/files", None), ("GET", f"/files/{self.file}", None), ("GET", f"/files/{self.file}/content", None),
            ("HEAD", f"/files/{self.file}/content", None), ("POST", "/incidents", INCIDENT), ("GET", "/incidents", None),
            ("DELETE", f"/incidents/{self.incident}", None), ("DELETE", "/incidents", None),
            ("POST", "/events", {"name": "x", "category": "y"}), ("POST", "/children", {"model_id": "m", "firmware_version": "1"}),
            ("GET", "/children", None), ("POST", "/children/telemetries", {self.child.id: {"telemetries": {"a": 1}}}),
            ("GET", "/command/pending_commands", None), ("POST", "/command", {"id": self.command, "status": "done"}),
            ("POST", "/dumps/text%2Ftxt/a", b"x"), ("PUT", f"/dumps/{self.dump}", b"x"),
        ]  # fmt: skip


@pytest.fixture
def mine(bench: Bench) -> Household:
    return Household(bench)


@pytest.fixture
def theirs(bench: Bench) -> Household:
    return Household(bench)


# ---- every operation that the hub describes

OPEN = {"GET /health", "GET /ca.pem", "GET /span/system", "POST /xyte/v1/devices"} | {
    f"POST /kapua/v1/authentication/{way}" for way in ("user", "apikey", "refresh")
}
UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def operations(bench: Bench) -> list[tuple[str, str, dict[str, Any]]]:
    """Method, path and description of each."""
    paths = bench.app.openapi()["paths"]
    return [(method.upper(), path, operation) for path, methods in paths.items() for method, operation in methods.items()]


def their_names(theirs: Household) -> dict[str, str]:
    """What each path parameter is called in the victim's case."""

    def work(unit: Unit) -> tuple[str, str, int]:
        owner = tables.devices.c.id == theirs.child.id
        collection = unit.db.execute(tables.devices.select().where(owner)).one().collection_id
        space = unit.db.execute(tables.spaces.select().where(tables.spaces.c.id == collection)).one().space_id
        return collection, space, unit.db.execute(tables.notifications.select()).all()[-1].id

    collection, space, notification = theirs.bench._loop.run_until_complete(theirs.bench.hub.do(work))
    return {
        "device_id": theirs.child.id, "file_id": theirs.file, "incident_id": theirs.incident, "dump_id": theirs.dump, "name": "a",
        "command_id": theirs.command, "message_id": theirs.command, "license_id": theirs.license, "collection_id": collection,
        "space_id": space, "hardware_key": theirs.gateway.model, "scope_id": "_", "operation_id": str(number_of(theirs.command)),
        "notification_id": str(notification), "realm": "redpoll", "device": astarte_ids.device_id(theirs.child.id),
        "interface": OTA_REQUEST.name, "path": "request", "uuid": theirs.command,
    }  # fmt: skip


def filled(path: str, names: dict[str, str]) -> str:
    """The path with these. A parameter of a new operation that is not known here is a KeyError: say in their_names what it is."""
    return re.sub(r"\{(\w+)\}", lambda match: names[match[1]], path)


def bodies(operation: dict[str, Any], names: dict[str, str]) -> list[Any]:
    """The described examples of its body, each id in them the victim's: its device, its command, its licence; None where there is none."""
    content = operation.get("requestBody", {}).get("content", {})
    if "application/json" not in content:
        return [b"planted" if content else None]
    found = [example["value"] for example in content["application/json"]["examples"].values()]
    return [
        json.loads(UUID.sub(other, json.dumps(example)))
        for example in found
        for other in (names["device_id"], names["command_id"], names["license_id"])
    ]


def everything_but(bench: Bench, *devices: Device) -> str:
    """The database and the files without the rows that are about these devices."""

    def work(unit: Unit) -> list[str]:
        rows = [repr((table.name, tuple(row))) for table in tables.metadata.sorted_tables for row in unit.db.execute(table.select())]
        return [row for row in rows if not any(device.id in row for device in devices)]

    kept = [path.read_bytes() for path in sorted((bench.folder / "files").iterdir())]
    return repr((sorted(bench._loop.run_until_complete(bench.hub.do(work))), kept))


def test_every_operation_refuses_a_device_that_is_not_the_one_or_not_the_operator(
    bench: Bench, mine: Household, theirs: Household, figure: Figure
) -> None:
    names = their_names(theirs)
    key = mine.gateway.key
    presented = [
        {"Authorization": key}, {"Authorization": f"Bearer {key}"}, {"Authorization": f"TOKEN {key}"}, {"X-API-Token": key}, {},
        {"Authorization": key, "X-API-Token": key, "device_id": theirs.child.id},
    ]  # fmt: skip
    before, tried = everything_but(bench), 0
    assert {f"{method} {path}" for method, path, operation in operations(bench) if not operation["security"]} == OPEN
    for method, path, operation in operations(bench):
        if not operation["security"]:
            continue
        for body, headers in itertools.product(bodies(operation, names)[:1], presented):
            for query in ({}, {"api_token": key})[: 2 if {"spanReadOnly": []} in operation["security"] else 1]:
                answer = bench.call(method, filled(path, names), None, body, headers=headers, params=query)
                assert answer.status_code == 401, (method, path, headers, answer.text)
                assert not any(theirs_is in answer.text for theirs_is in (names["file_id"], names["dump_id"], names["command_id"]))
                tried += 1
    assert everything_but(bench) == before
    figure(f"{tried} calls of {len(operations(bench)) - len(OPEN)} operations with another device's key: all 401, nothing changed")


def test_no_operation_of_a_device_of_its_own_reaches_anothers_things(
    bench: Bench, mine: Household, theirs: Household, figure: Figure
) -> None:
    names = their_names(theirs)
    own = {"device_id": mine.gateway.id}
    before, tried = everything_but(bench, mine.gateway, mine.child), 0
    device_side = [item for item in operations(bench) if item[2]["security"] and item[2]["security"][0].keys() == {"deviceKey"}]
    assert len(device_side) > 25
    for method, path, operation in device_side:
        if (method, path) == ("DELETE", "/xyte/v1/devices/{device_id}"):
            continue  # it would remove itself, and there would be nobody to try the rest
        for body in bodies(operation, names):
            answer = bench.call(method, filled(path, names | own), mine.gateway.key, body)
            assert answer.status_code < 500
            if len(set(re.findall(r"\{(\w+)\}", path)) & names.keys() - {"device_id", "name"}):
                assert answer.status_code in (400, 404), (method, path, answer.text)
            assert answer.status_code >= 400 or not any(names[what] in answer.text for what in ("file_id", "dump_id", "incident_id"))
            tried += 1
    assert everything_but(bench, mine.gateway, mine.child) == before
    figure(f"{tried} calls of {len(device_side)} operations in its own name with another's ids: nothing of the other's changed")


# ---- the calls of the files, incidents, events and children, one by one


def test_with_another_devices_id_in_the_path_every_call_is_401(bench: Bench, mine: Household, theirs: Household) -> None:
    before = theirs.state()
    for victim in (theirs.gateway, theirs.child):
        for method, path, body in theirs.calls(victim):
            for key in (mine.gateway.key, mine.child.key, KEY, None, "", f"Bearer {victim.key}"):
                answer = bench.call(method, victim.base + path, key, body)
                assert answer.status_code == 401, (method, path, key)
                assert method == "HEAD" or answer.json() == {"error": "Not authorized"}
    assert theirs.state() == before


def test_with_another_devices_things_under_its_own_path_nothing_is_touched_or_told(mine: Household, theirs: Household) -> None:
    before = theirs.state()
    for device in (mine.gateway, mine.child):
        for method, path, body in theirs.calls(device):
            if any(name in path for name in (theirs.file, theirs.incident, theirs.dump)) or path == "/command":
                assert device.call(method, path, body).status_code == 404, (method, path)
        assert device.call("DELETE", "/incidents").status_code == 200
        answer = device.post("/children/telemetries", {theirs.child.id: {}, theirs.gateway.id: {}}).json()
        assert {json.dumps(item) for item in answer.values()} == {'{"error": "Child device not found"}'}
        said = "".join(device.get(path).text for path in ("/files", "/incidents", "/children", "/command/pending_commands"))
        assert not any(name in said for name in (theirs.file, theirs.incident, theirs.child.id, theirs.command))
    assert theirs.state() == before


def test_a_child_does_not_speak_for_its_gateway_nor_the_gateway_with_its_key_as_the_child(mine: Household) -> None:
    mine.child.get()  # it is online from now on
    before = mine.state()
    for method, path, body in mine.calls(mine.child):
        assert mine.bench.call(method, mine.gateway.base + path, mine.child.key, body).status_code == 401, (method, path)
        assert mine.bench.call(method, mine.child.base + path, mine.gateway.key, body).status_code == 401, (method, path)
    assert mine.child.call("DELETE", f"/incidents/{mine.incident}").status_code == 404
    assert mine.child.post("/children/telemetries", {mine.gateway.id: {}}).json() == {mine.gateway.id: {"error": "Child device not found"}}
    assert mine.state() == before


def test_another_devices_link_is_not_bent_to_something_else(bench: Bench, mine: Household, theirs: Household) -> None:
    query = mine.link.split("?")[1]
    for path in (f"{theirs.gateway.base}/files/{theirs.file}/content", f"{theirs.gateway.base}/files/{mine.file}/content"):
        for key in (None, mine.gateway.key):
            assert bench.call("GET", f"{path}?{query}", key).status_code == 401
    own = f"{mine.gateway.base}/files/{theirs.file}/content?{query}"
    assert bench.call("GET", own, None).status_code == 401
    assert bench.call("GET", own, mine.gateway.key).status_code == 404
    for method in ("PUT", "POST", "DELETE"):
        assert bench.call(method, mine.link, None).status_code == 405
    assert bench.call("GET", mine.link.replace("/content", ""), None).status_code == 401


def test_a_devices_key_opens_none_of_the_operators_calls(bench: Bench, mine: Household) -> None:
    device = f"{DEVICES}/{mine.child.id}"
    calls = [
        ("GET", f"{OPERATOR}/files"), ("POST", f"{OPERATOR}/files?name=a&version=1.0.0"), ("GET", f"{OPERATOR}/files/{mine.file}"),
        ("GET", f"{OPERATOR}/files/{mine.file}/content"), ("DELETE", f"{OPERATOR}/files/{mine.file}"),
        ("GET", f"{OPERATOR}/files/{mine.file}/content?{mine.link.split('?')[1]}"), ("DELETE", f"{device}/commands/{mine.command}"),
        ("GET", f"{device}/incidents"), ("POST", f"{device}/incidents"), ("GET", f"{device}/events"),
        ("GET", "/xyte/core/v1/organization/incidents"), ("DELETE", f"/xyte/core/v1/organization/incidents/{mine.incident}"),
    ]  # fmt: skip
    before, uploads = mine.state(), sorted(path.name for path in (bench.folder / "files").iterdir())
    for method, url in calls:
        for key in (None, "", "wrong", mine.gateway.key, mine.child.key):
            answer = bench.call(method, url, key, {} if method == "POST" else None)
            assert answer.status_code == 401 and "error" in answer.json(), (method, url)
    assert mine.state() == before
    assert sorted(path.name for path in (bench.folder / "files").iterdir()) == uploads


def test_no_secret_is_in_an_activity_an_error_or_the_data_directory(
    bench: Bench, mine: Household, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    bench.hub.activities._ring.clear()
    wrong = "planted-wrong-key-9c1d"
    signature = mine.link.split("signature=")[1]
    said = []
    for device in (mine.gateway, mine.child):
        for method, path, body in mine.calls(device):
            said.append(bench.call(method, device.base + path, wrong, body).text)
            if path != "/files" and not path.endswith(mine.file) and "pending" not in path:
                said.append(bench.call(method, device.base + path, device.key, body).text)
    bench.call("GET", mine.link, None)
    said.append(bench.call("GET", mine.link + "0", wrong).text)
    command = bench.command(mine.gateway, "update_firmware", file_id=mine.file)
    said.append(json.dumps([command, bench.items(f"{DEVICES}/{mine.gateway.id}/commands")]))
    said.append(json.dumps([activity.as_json() for activity in bench.hub.activities.recent()]))
    said.append("\n".join(line for line in caplog.text.splitlines() if "httpx" not in line))  # our own client's lines
    on_disk = b"".join(path.read_bytes() for path in bench.folder.rglob("*") if path.is_file())
    for secret in (wrong, mine.gateway.key, mine.child.key, KEY, signature):
        assert all(secret not in text for text in said), secret
        assert secret.encode() not in on_disk


# ---- every topic

BOTH = ["embedded", pytest.param("mosquitto", marks=needs_mosquitto)]
PUSHED = ("config", "commands", "command", "license", "space_info", "firmware")  # what the hub publishes on (seed 001)


@pytest.fixture(scope="module", params=BOTH)
def hub_of(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, HubProcess]]:
    """A hub and the name of its broker."""
    with HubProcess(tmp_path_factory.mktemp(request.param), broker=f"{request.param}:0") as running:
        yield request.param, running


def taken_topics() -> list[str]:
    """What the hub takes messages from: each facet of MQTT has a function `subscriptions`."""
    found: list[str] = []
    for module in pkgutil.walk_packages(facets.__path__, f"{facets.__name__}."):
        subscriptions = getattr(importlib.import_module(module.name), "subscriptions", None)
        if subscriptions is not None:
            found += subscriptions(None, True) if subscriptions.__code__.co_argcount > 1 else subscriptions(None)
    return found


def topics_of(device_id: str) -> list[str]:
    """Every topic in which this device could be meant."""
    astarte = astarte_ids.device_id(device_id)
    filters = [
        *taken_topics(),
        *(f"{xyte_mqtt.ROOT}/+/{end}" for end in PUSHED),
        "+/+/io.edgehog.devicemanager.OTAEvent/event",
        "+/+/control/emptyCache",
    ]
    filled = [topic.replace("#", "x").replace("+", name) for topic in filters for name in (device_id, astarte)]
    mixed = [topic.replace("#", "x").replace("+", "any", 1).replace("+", name) for topic in filters for name in (device_id, astarte)]
    return list(dict.fromkeys(topic for topic in filled + mixed if device_id in topic or astarte in topic))


def rows_of(hub: HubProcess, device_id: str) -> list[str]:
    """All that the database has about the device."""
    engine = make_engine(url_in(hub.data), poolclass=NullPool)
    with engine.connect().execution_options(reads=True) as database:
        rows = [repr((table.name, tuple(row))) for table in tables.metadata.sorted_tables for row in database.execute(select(table))]
    return sorted(row for row in rows if device_id in row)


def publish(mqtt: MqttBoard, topic: str, payload: bytes, user: list[tuple[str, str]], qos: int = 1) -> str:
    """Publish, and what the broker answered."""
    answers: list[str] = []
    mqtt.client.on_publish = lambda _client, _data, _mid, reason, _properties: answers.append(str(reason))
    properties = Properties(PacketTypes.PUBLISH)
    properties.UserProperty = user
    info = mqtt.client.publish(topic, payload, qos=qos, properties=properties)
    info.wait_for_publish(DEADLINE)
    wait_for(answers.copy, f"the broker's answer to a message on {topic}")
    return answers[0]


def test_no_topic_of_another_device_is_reached(hub_of: tuple[str, HubProcess], figure: Figure) -> None:
    broker, hub = hub_of
    with Board.registered(hub) as board, Board.registered(hub) as victim:
        victim.claim()
        victim.post("/telemetry", {"telemetries": {"a": 1}})
        command = hub.operator.command(victim.id, "ping")["id"]
        body = {
            "telemetries": {"planted": 1},
            "version": 99,
            "configuration": {"planted": 1},
            "id": command,
            "status": "done",
            "name": "planted",
        }
        wait_for(lambda: hub.operator.telemetry(victim.id)["telemetries"], "the victim's telemetry")
        before = rows_of(hub, victim.id)
        signed = [
            [("device_id", board.id), ("access_key", board.key)], [("device_id", victim.id), ("access_key", board.key)],
            [("device_id", board.id), ("device_id", victim.id), ("access_key", board.key)], [],
        ]  # fmt: skip
        topics = topics_of(victim.id)
        assert len(topics) > 20
        answers = []
        with MqttBoard(board) as mqtt:
            for topic, user in itertools.product(topics, signed):
                answers.append(publish(mqtt, topic, json.dumps(body).encode(), user))
            # in order, so what was sent before has arrived when this has
            mqtt.send("telemetry", {"telemetries": {"last": 1}})
            wait_for(lambda: hub.operator.history(board.id), "the board's own message")
            heard = [topic for topic in topics if any(matches(wanted, topic) for wanted in taken_topics())]
            if broker == "mosquitto":
                assert set(answers) == {"Not authorized"}
                assert victim.refusals() == [] and board.refusals() == []
            else:
                # rumqttd has no word for it; below a `$` the hub hears nothing there
                expected = len([topic for topic in heard if not topic.startswith("$")]) * len(signed)
                wait_for(lambda: refused(hub) >= expected, f"{expected} refusals, one for each message", 20)
            assert rows_of(hub, victim.id) == before
        figure(f"{broker}: {len(answers)} messages on {len(topics)} topics of another device: "
               + ("all refused by the broker" if broker == "mosquitto" else "all that reached the hub refused by it"))  # fmt: skip


def refused(hub: HubProcess) -> int:
    return len([item for item in hub.operator.activities(event="upstreamMessage") if "refused" in item["data"]])


def matches(wanted: str, topic: str) -> bool:
    return paho.topic_matches_sub(wanted, topic)


@needs_mosquitto
@pytest.mark.parametrize("hub_of", ["mosquitto"], indirect=True)
def test_a_device_hears_nothing_of_its_own_and_leaves_nothing_behind_so_that_it_does_not_fill_the_brokers_memory(
    hub_of: tuple[str, HubProcess],
) -> None:
    _, hub = hub_of
    with Board.registered(hub) as board, MqttBoard(board) as mqtt:
        own = [f"v1/device/{board.id}", f"redpoll/{astarte_ids.device_id(board.id)}"]
        for topic in own:
            mqtt.client.subscribe(f"{topic}/#", 0)
        user = [("device_id", board.id), ("access_key", board.key)]
        said = {topic: publish(mqtt, topic, b"{}", user) for topic in topics_of(board.id)}
        # with the realm that nobody has, as with any other
        for_it = {f"{own[0]}/{end}" for end in PUSHED if end != "command"}
        assert {topic for topic, answer in said.items() if answer == "Not authorized" and topic.startswith(own[0])} == for_it
        assert publish(mqtt, f"{own[1]}/io.edgehog.devicemanager.OTARequest/request", b"", user) == "Not authorized"
        assert publish(mqtt, f"{own[0]}/of_its_own", b"x", user) != "Not authorized"
        hub.operator.configure(board.id, {"a": 1})
        assert mqtt.next().topic == f"{own[0]}/config"  # and nothing before it
        ended: list[str] = []
        mqtt.client.on_disconnect = lambda _client, _data, _flags, reason, _properties: ended.append(str(reason))
        mqtt.client.publish(f"{own[0]}/of_its_own", b"x", qos=1, retain=True)
        assert wait_for(ended.copy, "the end of the session")[0] == "Retain not supported"


@needs_mosquitto
@pytest.mark.parametrize("hub_of", ["mosquitto"], indirect=True)
def test_nothing_that_is_meant_for_another_device_is_heard(hub_of: tuple[str, HubProcess], figure: Figure) -> None:
    _, hub = hub_of
    with Board.registered(hub) as board, Board.registered(hub) as victim:
        own = f"{xyte_mqtt.ROOT}/{victim.id}"
        wanted = [
            "#", "+/#", "v1/#", "v1/device/#", "v1/device/+/config", "v1/+/+/config", "+/+/+/+",
            "$SYS/#", "$SYS/broker/log/N", "$CONTROL/#",
            "$CONTROL/dynamic-security/v1/response", "EDC/#", "$EDC/#", f"+/device/{victim.id}/#", f"{own}/#", f"$share/g/{own}/#",
            "$share/g/v1/device/+/config",
            f"$share/g/v1/device/{board.id}/../{victim.id}/config", *topics_of(victim.id),
        ]  # fmt: skip
        answers: list[list[Any]] = []
        with MqttBoard(board) as mqtt, MqttBoard(victim) as theirs:
            victim.claim()
            theirs.next("space_info")
            mqtt.client.on_subscribe = lambda _client, _data, _mid, reasons, _properties: answers.append(reasons)
            for number, topic in enumerate(wanted):
                mqtt.client.subscribe(topic, 1)
                wait_for(lambda number=number: len(answers) > number, f"the answer to {topic}")  # type: ignore[misc]
            assert {str(reason) for reasons in answers for reason in reasons} == {"Not authorized"}
            hub.operator.configure(victim.id, {"secret": 1})
            hub.operator.command(victim.id, "ping")
            assert {theirs.next().topic for _ in range(2)} == {f"{own}/config", f"{own}/commands"}
            hub.operator.configure(board.id, {"own": 1})
            mqtt.next("config")
            assert mqtt.messages.empty()
        figure(f"mosquitto: {len(wanted)} subscriptions to what is another device's: all refused")
