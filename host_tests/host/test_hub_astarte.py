"""Astarte at the hub: OTAEvents over MQTT on both brokers, AppEngine's reading, OTARequests, and what all of it is elsewhere in the hub."""

import contextlib
import json
import queue
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import bson
import httpx
import paho.mqtt.client as paho
import pytest
from astarte_board import INTROSPECTION, NOON, AstarteBoard
from astarte_board import ota_event as values
from brokers import each_broker
from cryptography.hazmat.primitives.asymmetric import rsa
from hub_support import Board, KapuaClient, MqttBoard, operation_path
from hypothesis import given, settings
from hypothesis import strategies as st
from interpreters import run
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from waiting import DEADLINE, wait_for

from tools.bundle import archive
from tools.hub.astarte_ids import device_id, hub_id
from tools.hub.client import HubError
from tools.hub.errors import Invalid, Malformed
from tools.hub.facets.astarte import bson as astarte_bson
from tools.hub.facets.astarte import mqtt as astarte_mqtt
from tools.hub.facets.astarte.interfaces import OTA_EVENT, OTA_REQUEST
from tools.hub.process import HubProcess

EVENT, REQUEST = OTA_EVENT.name, OTA_REQUEST.name
KEYS = tuple(OTA_EVENT.keys)


board_broker = each_broker  # what goes over MQTT runs on both


def at(step: int) -> datetime:
    return NOON.replace(second=step)


@pytest.fixture
def astarte(board: Board, mqtt: MqttBoard) -> Iterator[AstarteBoard]:
    with AstarteBoard(board, mqtt) as made:
        yield made


# ---- ids and BSON


def test_a_device_has_one_id_in_each_form() -> None:
    known = "f79ad91f-c638-4889-ae74-9d001a3b4cf8"
    assert device_id(known) == "95rZH8Y4SImudJ0AGjtM-A"
    assert hub_id("95rZH8Y4SImudJ0AGjtM-A") == known
    for wrong in ("", "x", "95rZH8Y4SImudJ0AGjtM-B", "95rZH8Y4SImudJ0AGjtM-A==", "95rZH8Y4SImudJ0AGjtM+A", "é" * 22, "." * 22, known):
        assert hub_id(wrong) is None


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
SCALARS = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), TEXT, st.booleans(), st.binary(max_size=10),
    st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)).map(lambda moment: moment.replace(microsecond=0, tzinfo=UTC)),
)  # fmt: skip
NAMES = TEXT.filter(bool)
VALUES = st.recursive(SCALARS, lambda of: st.lists(of, max_size=3) | st.dictionaries(NAMES, of, max_size=3), max_leaves=5)
DOCUMENTS = st.dictionaries(NAMES, VALUES, max_size=4)


def as_decoded(value: Any) -> Any:
    if isinstance(value, datetime):
        return astarte_bson.Time(round(value.timestamp() * 1000))
    if isinstance(value, dict):
        return {key: as_decoded(item) for key, item in value.items()}
    return [as_decoded(item) for item in value] if isinstance(value, list) else value


@given(DOCUMENTS)
def test_what_another_encoder_wrote_is_read_as_it_was_meant(document: dict[str, Any]) -> None:
    assert astarte_bson.decode(bson.dumps(document)) == as_decoded(document)


@given(st.dictionaries(NAMES, TEXT | st.booleans() | st.integers(-(2**63), 2**63 - 1), max_size=5))
def test_another_decoder_reads_what_the_hub_writes(document: dict[str, Any]) -> None:
    assert bson.loads(astarte_bson.encode({"v": document})) == {"v": document}


GOOD = bson.dumps({"v": values("Error", 40, "NetworkError", "Größe", str(uuid.UUID(int=7))), "t": NOON, "l": [1.5, True, b"x", 1 << 40]})


@settings(max_examples=500)
@given(st.binary(max_size=80) | st.tuples(st.integers(0, len(GOOD) - 1), st.binary(max_size=3)).map(
    lambda cut: GOOD[: cut[0]] + cut[1] + GOOD[cut[0] + 1 :]))  # fmt: skip
def test_random_bytes_are_read_or_refused(raw: bytes) -> None:
    with contextlib.suppress(Malformed):
        assert isinstance(astarte_bson.decode(raw), dict)


@pytest.mark.parametrize("raw", [
    b"", b"{}", GOOD[:-1], GOOD + b"\0", b"\5\0\0\0\1", b"\4\0\0\0\0", b"\xff\xff\xff\xff\0", b"\x08\0\0\0\x0ak\0\0", bytes(70_000),
    b"\x0c\0\0\0\x02k\0\0\0\0\0\0", b"\x0d\0\0\0\x02k\0\2\0\0\0a\0", b"\x09\0\0\0\x08k\0\2\0", b"\x0e\0\0\0\x02k\0\2\0\0\0\xff\0\0",
    b"\x13\0\0\0\x10k\0\1\0\0\0\x10k\0\2\0\0\0\0", b"\x0b\0\0\0\x10k\0\1\0\0\0",
])  # fmt: skip
def test_what_is_no_document_is_refused(raw: bytes) -> None:
    with pytest.raises(Malformed):
        astarte_bson.decode(raw)


def test_a_document_nested_too_deep_is_refused() -> None:
    document: dict[str, Any] = {}
    for _ in range(8):
        document = {"a": document}
    with pytest.raises(Malformed, match="deeper"):
        astarte_bson.decode(bson.dumps(document))


def test_an_introspection_is_read_or_refused() -> None:
    assert astarte_mqtt.read_introspection(INTROSPECTION.encode()) == {EVENT: [0, 1], REQUEST: [1, 0]}
    for wrong in (
        b"",
        b"a",
        b"a:1",
        b"a:1:0;",
        b"a:1:0;a:2:0",
        b"a:-1:0",
        b"1a:1:0",
        b"a:1:0\n",
        b"\xff:1:0",
        b";".join(b"a%d:1:0" % n for n in range(129)),
    ):
        with pytest.raises(Malformed):
            astarte_mqtt.read_introspection(wrong)


@pytest.mark.parametrize(("change", "reason"), [
    ({"more": 1}, "Unexpected key 'more'"), ({"statusProgress": "5"}, "an integer"), ({"statusProgress": True}, "an integer"),
    ({"statusProgress": 5.0}, "an integer"), ({"statusProgress": 1 << 31}, "an integer"), ({"status": 5}, "a string"),
    ({"message": None}, "a string"), ({"message": "x" * 65_537}, "at most 65536"),
])  # fmt: skip
def test_values_that_are_not_the_interfaces_are_refused(change: dict[str, Any], reason: str) -> None:
    assert OTA_EVENT.check(values(), whole=True)
    with pytest.raises(Invalid, match=reason):
        OTA_EVENT.check({**values(), **change}, whole=True)
    for key in KEYS:
        with pytest.raises(Invalid, match=f"{key} is missing"):
            OTA_EVENT.check({name: value for name, value in values().items() if name != key}, whole=True)


# ---- events through a process


def whole_update(request: str) -> list[dict[str, Any]]:
    steps = [
        ("Acknowledged", 0), ("Downloading", 0), ("Downloading", 50), ("Error", 50), ("Downloading", 100), ("Deploying", 0),
        ("Deployed", 100), ("Rebooting", 0), ("Success", 100),
    ]  # fmt: skip
    return [
        values(status, progress, "NetworkError" if status == "Error" else "", "timed out" if status == "Error" else "", request)
        for status, progress in steps
    ]


def test_an_update_is_told_event_by_event_and_read_back_as_appengine_gives_it(astarte: AstarteBoard) -> None:
    request = str(uuid.uuid4())
    for step, event in enumerate(whole_update(request)):
        astarte.tell(event, at(step))
    told = astarte.samples(9)
    assert told == [{**event, "timestamp": f"2026-09-21T12:00:0{step}.123Z"} for step, event in enumerate(whole_update(request))]
    changes = [item["data"] for item in astarte.board.activities("firmwareStateChange")]
    assert [(item["status"], item["progress"], item.get("code"), item["request"]) for item in changes] == [
        (event["status"], str(event["statusProgress"]), event["statusCode"] or None, request) for event in whole_update(request)
    ]
    kinds = {item["data"]["kind"] for item in astarte.board.activities("upstreamMessage") if "refused" not in item["data"]}
    assert kinds == {"ota"}
    state = astarte.board.hub.operator.update(astarte.board.id, request)
    assert (state["status"], state["progress"], state["requested"], len(state["events"])) == ("Success", 100, False, 9)


def test_an_update_is_an_operation_with_a_notification_for_each_event(astarte: AstarteBoard) -> None:
    for step, event in enumerate(whole_update(str(uuid.uuid4()))):
        astarte.tell(event, at(step))
    astarte.samples(9)
    with KapuaClient(astarte.board.hub) as client:
        (operation,) = client.get(f"/_/devices/{astarte.board.id}/operations")["items"]
        told = client.get(f"{operation_path(operation)}/notifications")["items"]
    assert (operation["status"], operation["resource"]) == ("COMPLETED", "DOWNLOAD")
    assert [(item["resource"], item["status"], item["progress"], item.get("message")) for item in told] == [
        ("download", "RUNNING", 0, None), ("download", "RUNNING", 0, None), ("download", "RUNNING", 50, None),
        ("download", "RUNNING", 50, "NetworkError: timed out"), ("download", "COMPLETED", 100, None), ("install", "RUNNING", 0, None),
        ("install", "RUNNING", 99, None), ("install", "RUNNING", 99, None), ("install", "COMPLETED", 100, None),
    ]  # fmt: skip


def test_an_operation_is_not_over_when_the_download_is(astarte: AstarteBoard) -> None:
    request = str(uuid.uuid4())
    astarte.tell(values("Downloading", 100, request=request), at(1))
    astarte.samples(1)
    with KapuaClient(astarte.board.hub) as client:
        path = f"/_/devices/{astarte.board.id}/operations"
        assert [item["status"] for item in client.get(path)["items"]] == ["RUNNING"]
        astarte.tell(values("Failure", 0, "SystemRollback", "the old slot runs", request), at(2))
        astarte.samples(2)
        (operation,) = client.get(path)["items"]
        last = client.get(f"{operation_path(operation)}/notifications")["items"][-1]
    assert (operation["status"], last["resource"], last["message"]) == ("FAILED", "install", "SystemRollback: the old slot runs")


def test_the_same_sample_again_is_the_same_event(astarte: AstarteBoard) -> None:
    # as after a power cut between the broker's acknowledgement and the board's note of it
    request = str(uuid.uuid4())
    events = [values("Rebooting", 100, request=request), values("Success", 100, request=request), values("Success", 100, request=request)]
    for event, step in zip(events, (1, 2, 2), strict=True):
        astarte.tell(event, at(step))
    astarte.tell(values("Acknowledged", 0, request=str(uuid.uuid4())), at(3))
    assert [sample["status"] for sample in astarte.samples(3)] == ["Rebooting", "Success", "Acknowledged"]
    changes = [item["data"]["status"] for item in astarte.board.activities("firmwareStateChange")]
    assert changes == ["Rebooting", "Success", "Acknowledged"]


def test_an_event_without_a_time_has_that_of_its_arrival(astarte: AstarteBoard) -> None:
    astarte.tell(values())
    (sample,) = astarte.samples(1)
    assert abs(datetime.now(UTC).timestamp() - datetime.fromisoformat(sample["timestamp"]).timestamp()) < 60


BAD = [
    (lambda a: a.tell({**values(), "extra": "x"}, NOON), "Unexpected key 'extra'"),
    (lambda a: a.tell({key: value for key, value in values().items() if key != "message"}, NOON), "message is missing"),
    (lambda a: a.tell({**values(), "statusProgress": "40"}, NOON), "must be an integer"),
    (lambda a: a.tell({**values(), "statusProgress": 101}, NOON), "must be 0 to 100"),
    (lambda a: a.tell({**values(), "statusProgress": -1}, NOON), "must be 0 to 100"),
    (lambda a: a.tell(values("Downloaded"), NOON), "Unknown status 'Downloaded'"),
    (lambda a: a.tell(values("Error", 0, "ErrorNetwork"), NOON), "Unknown statusCode 'ErrorNetwork'"),
    (lambda a: a.tell(values(request="7"), NOON), "requestUUID must be a UUID"),
    (lambda a: a.tell({**values(), "message": "a\0b"}, NOON), "NUL"),
    (lambda a: a.publish(f"{EVENT}/event", b"{}"), "not BSON"),
    (lambda a: a.publish(f"{EVENT}/event", b""), "not BSON"),
    (lambda a: a.publish(f"{EVENT}/event", bson.dumps({"t": NOON})), "{v, t}"),
    (lambda a: a.publish(f"{EVENT}/event", bson.dumps({"v": values(), "t": NOON, "m": {}})), "{v, t}"),
    (lambda a: a.publish(f"{EVENT}/event", bson.dumps({"v": "x"})), "must be an object"),
    (lambda a: a.publish(f"{EVENT}/event", bson.dumps({"v": values(), "t": 5})), "t must be a datetime"),
    (lambda a: a.publish(f"{EVENT}/event", bson.dumps({"v": values(), "t": datetime(1960, 1, 1, tzinfo=UTC)})), "t must be a datetime"),
    (lambda a: a.publish(f"{EVENT}/events", bson.dumps({"v": values()})), "has the path /event"),
    (lambda a: a.publish(f"{EVENT}//event", bson.dumps({"v": values()})), "has the path /event"),
    (lambda a: a.publish("io.edgehog.devicemanager.Unknown/event", bson.dumps({"v": 1})), "Unknown interface"),
    (lambda a: a.publish("control/other", b"1"), "Unknown control message"),
    (lambda a: a.publish("", b"no introspection"), "introspection must be"),
    (lambda a: a.publish(f"{EVENT}/event", bson.dumps({"v": values(message="x" * 70_000)})), "larger than 65535"),
]  # fmt: skip


def test_what_the_interface_does_not_allow_is_refused_one_by_one_and_the_hub_goes_on(astarte: AstarteBoard) -> None:
    for send, _ in BAD:
        send(astarte)
    refused = wait_for(lambda: len(found := astarte.board.refusals()) == len(BAD) and found, "the refusals")
    assert [reason for (_, reason), said in zip(BAD, refused, strict=True) if reason not in said] == []
    assert astarte.refused() == (404, {"detail": "Interface not found in device introspection"})
    astarte.tell(values(), NOON)
    astarte.samples(1)


def test_an_event_that_was_not_published_at_qos_2_is_refused(astarte: AstarteBoard, board_broker: str) -> None:
    if board_broker == "embedded":
        pytest.skip("rumqttd forwards at the subscriber's QoS, whatever the publisher's was")
    for qos in (0, 1):
        astarte.tell(values(), NOON, qos)
    refused = wait_for(lambda: len(found := astarte.board.refusals()) == 2 and found, "the refusals")
    assert [f"Published at QoS {qos}" in reason for qos, reason in enumerate(refused)] == [True, True]


def test_an_interface_that_the_device_did_not_declare_is_refused(astarte: AstarteBoard) -> None:
    astarte.publish("", f"{REQUEST}:1:0")
    astarte.tell(values(), NOON)
    (refused,) = wait_for(astarte.board.refusals, "the refusal")
    assert "Unknown interface" in refused


def test_only_the_device_itself_tells_of_its_updates(astarte: AstarteBoard) -> None:
    payload = bson.dumps({"v": values(), "t": NOON})
    with Board.registered(astarte.board.hub) as victim:
        victim_id = device_id(victim.id)
        own, root = astarte.root, f"redpoll/{victim_id}"
        for astarte.root in (root, root):
            astarte.publish(f"{EVENT}/event", payload)
        astarte.root = own
        for user in ([], [("device_id", astarte.board.id)], [("device_id", astarte.board.id), ("access_key", "wrong")]):
            astarte.publish(f"{EVENT}/event", payload, user=user)
        wait_for(lambda: len(victim.refusals()) == 2 and len(astarte.board.refusals()) == 3, "the refusals")
        assert all("Not authorized" in reason for reason in victim.refusals() + astarte.board.refusals())
        assert astarte.board.hub.operator.updates(victim.id) == []


def test_a_retained_event_is_not_taken_again_by_a_new_subscription(astarte: AstarteBoard) -> None:
    astarte.publish(f"{EVENT}/event", bson.dumps({"v": values(), "t": NOON}), retain=True)
    astarte.publish(f"{EVENT}/event", b"", retain=True)  # takes it away again; as data it is refused
    wait_for(astarte.board.refusals, "the refusal")
    assert len(astarte.board.refusals()) == 1


# ---- AppEngine


@pytest.fixture
def told(astarte: AstarteBoard) -> AstarteBoard:
    """Five samples, a second apart."""
    request = str(uuid.uuid4())
    for step in range(5):
        astarte.tell(values("Downloading", step * 10, request=request), at(step))
    astarte.samples(5)
    return astarte


@pytest.fixture
def on_one_broker(board_broker: str) -> None:
    if board_broker != "embedded":
        pytest.skip("nothing in it depends on the broker")


@pytest.mark.usefixtures("on_one_broker")
def test_appengines_parameters_choose_and_order_samples(told: AstarteBoard) -> None:
    def progress(**query: Any) -> list[int]:
        return [item["statusProgress"] for item in told.get(**query)]

    third = "2026-09-21T12:00:02.123Z"
    assert progress() == [0, 10, 20, 30, 40]
    assert progress(limit=2) == [40, 30]
    assert progress(since=third) == [20, 30, 40]
    assert progress(since_after=third) == [30, 40]
    assert progress(since=third, limit=1) == [20]
    assert progress(to=third) == [0, 10]
    assert progress(since="2026-09-21T14:00:01+02:00", to=third) == [10]
    assert progress(downsample_to=3) == [0, 20, 40]
    assert told.get(keep_milliseconds="true", limit=1)[0]["timestamp"] == round(at(4).timestamp() * 1000)


@pytest.mark.usefixtures("on_one_broker")
def test_appengines_formats_are_tables_too(told: AstarteBoard) -> None:
    answer = told.http.get(f"{told.appengine}/interfaces/{EVENT}/event", params={"format": "table", "limit": 2}).json()
    assert answer["metadata"]["table_header"] == ["timestamp", *KEYS]
    assert answer["metadata"]["columns"] == {name: number for number, name in enumerate(["timestamp", *KEYS])}
    assert [row[0] for row in answer["data"]] == ["2026-09-21T12:00:04.123Z", "2026-09-21T12:00:03.123Z"]
    assert [row[3] for row in answer["data"]] == [40, 30]
    disjoint = told.get(format="disjoint_tables", limit=1)
    assert set(disjoint) == set(KEYS)
    assert disjoint["statusProgress"] == [[40, "2026-09-21T12:00:04.123Z"]]
    assert [item["statusProgress"] for item in told.get(f"/interfaces/{EVENT}", limit=1)["event"]] == [40]


@pytest.mark.usefixtures("on_one_broker")
def test_appengine_says_what_is_wrong_in_its_own_words(told: AstarteBoard) -> None:
    assert told.refused(limit=-1) == (422, {"limit": ["must be greater than or equal to 0"]})
    assert told.refused(limit="x", since="yesterday") == (422, {"limit": ["is invalid"], "since": ["is invalid"]})
    assert told.refused(downsample_to=2) == (422, {"downsample_to": ["must be greater than 2"]})
    assert told.refused(format="xml") == (422, {"format": ["is invalid"]})
    both = {"since": "2026-09-21T12:00:02Z", "since_after": "2026-09-21T12:00:02Z"}
    assert told.refused(**both) == (422, {"since_after": ["conflicts already set parameter"]})
    assert told.refused(keep_milliseconds="perhaps") == (422, {"keep_milliseconds": ["is invalid"]})
    assert told.refused(since="2030-01-01T00:00:00Z") == (404, {"detail": "Path not found"})
    assert told.refused(f"/interfaces/{EVENT}/other") == (404, {"detail": "Endpoint not found"})
    assert told.refused("/interfaces/io.other/event") == (404, {"detail": "Interface not found in device introspection"})
    elsewhere = f"{told.board.hub.url}/astarte/appengine/v1"
    unknown = told.http.get(f"{elsewhere}/redpoll/devices/{device_id(str(uuid.uuid4()))}/interfaces")
    assert (unknown.status_code, unknown.json()) == (404, {"errors": {"detail": "Device not found"}})
    assert told.http.get(f"{elsewhere}/redpoll/devices/none").status_code == 400
    assert told.http.get(f"{elsewhere}/other/devices/{told.id}").json() == {"errors": {"detail": "Unauthorized"}}
    assert httpx.get(told.appengine).status_code == httpx.get(told.appengine, headers={"Authorization": "Bearer x"}).status_code == 401
    assert told.http.get(f"{elsewhere}/nothing/here").json() == {"errors": {"detail": "Not found"}}


@pytest.mark.usefixtures("on_one_broker")
def test_a_device_is_shown_with_its_introspection(astarte: AstarteBoard) -> None:
    assert astarte.get("/interfaces") == []
    astarte.listen()
    assert astarte.get("/interfaces") == sorted([EVENT, REQUEST])
    shown = astarte.get("")
    assert (shown["id"], shown["connected"]) == (astarte.id, True)
    assert shown["introspection"] == {EVENT: {"major": 0, "minor": 1}, REQUEST: {"major": 1, "minor": 0}}
    listing = f"{astarte.board.hub.url}/astarte/appengine/v1/redpoll/devices"
    assert astarte.id in astarte.http.get(listing).json()["data"]
    page = astarte.http.get(listing, params={"limit": 1, "details": "true"}).json()
    assert len(page["data"]) == 1 and "introspection" in page["data"][0]


@pytest.mark.usefixtures("on_one_broker")
def test_a_read_only_token_reads_and_does_not_write(told: AstarteBoard) -> None:
    made = httpx.post(
        f"{told.board.hub.url}/span/operator/tokens", headers={"Authorization": told.board.hub.operator_key}, json={"access": "read"}
    )
    token = next(value for value in made.json().values() if isinstance(value, str) and value.startswith("ro-"))
    headers = {"Authorization": f"Bearer {token}"}
    assert httpx.get(f"{told.appengine}/interfaces", headers=headers).status_code == 200
    answer = httpx.post(f"{told.appengine}/interfaces/{REQUEST}/request", headers=headers, json={"data": {}})
    assert (answer.status_code, answer.json()) == (403, {"errors": {"detail": "Forbidden"}})


# ---- requests


def bundle_of(board: Board, key: Any, version: str = "1.1.0") -> dict[str, Any]:
    data = archive.pack({"main.py": b"print(1)"}, key, name="x", version=version, boards=[], micropython="1.24.0", mpy=0)
    return board.hub.operator.upload_file(data, "app.zip", file_type="bundle", hardware_key=board.asked["hardware_key"])


@pytest.fixture(scope="module")
def key() -> Any:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def test_an_update_with_a_file_of_the_hub_is_asked_for_and_given_up(astarte: AstarteBoard, key: Any) -> None:
    board = astarte.board
    astarte.listen()
    file = bundle_of(board, key)
    assert (file["file_type"], file["version"]) == ("bundle", "1.1.0")
    asked = board.hub.operator.request_update(board.id, file_id=file["id"])
    request = astarte.request()
    assert (request["operation"], request["uuid"]) == ("Update", asked["uuid"])
    content = httpx.get(request["url"])
    assert content.status_code == 200 and archive.read(content.content).manifest.version == "1.1.0"
    part = httpx.get(request["url"], headers={"Range": "bytes=10-19", "If-Range": content.headers["etag"]})
    assert (part.status_code, part.content) == (206, content.content[10:20])
    assert [item["data"]["version"] for item in board.activities("firmwareRequested")] == ["1.1.0"]
    astarte.tell(values("Downloading", 10, request=asked["uuid"]), at(1))
    astarte.samples(1)
    with pytest.raises(HubError, match="has not ended"):
        board.hub.operator.delete_file(file["id"])
    assert board.hub.operator.cancel_update(board.id, asked["uuid"])["cancelled"]
    assert astarte.request() == {"operation": "Cancel", "uuid": asked["uuid"]}
    astarte.tell(values("Failure", 0, "Canceled", request=asked["uuid"]), at(2))
    astarte.samples(2)
    state = board.hub.operator.update(board.id, asked["uuid"])
    assert (state["status"], state["code"], state["file_id"]) == ("Failure", "Canceled", file["id"])
    with pytest.raises(HubError, match="has ended"):
        board.hub.operator.cancel_update(board.id, asked["uuid"])
    assert [item["data"]["kind"] for item in board.activities("downstreamMessage")].count("ota") == 2
    with KapuaClient(board.hub) as client:
        (operation,) = client.get(f"/_/devices/{board.id}/operations")["items"]
        assert operation["status"] == "FAILED"
    board.hub.operator.delete_file(file["id"])


def test_a_request_that_no_event_has_answered_is_sent_again_in_the_next_session(astarte: AstarteBoard) -> None:
    board = astarte.board
    first = board.hub.operator.request_update(board.id, url="http://192.168.4.1/a.zip")["uuid"]
    board.hub.operator.cancel_update(board.id, first)
    second = board.hub.operator.request_update(board.id, url="http://192.168.4.1/b.zip")["uuid"]
    wait_for(lambda: len(board.activities("downstreamMessage")) == 3, "what the board is sent while it does not listen")
    astarte.listen()
    assert astarte.request() == {"operation": "Cancel", "uuid": first}
    assert astarte.request() == {"operation": "Update", "uuid": second, "url": "http://192.168.4.1/b.zip"}
    astarte.tell(values("Failure", 0, "InvalidRequest", request=first), at(1))
    astarte.tell(values("Acknowledged", 0, request=second), at(2))
    astarte.samples(2)
    astarte.publish("", INTROSPECTION)
    astarte.tell(values("Downloading", 0, request=second), at(3))
    astarte.samples(3)
    with pytest.raises(queue.Empty):
        while True:
            assert REQUEST not in astarte.mqtt.messages.get_nowait().topic


@pytest.mark.usefixtures("on_one_broker")
def test_appengine_sends_requests_too(astarte: AstarteBoard) -> None:
    to = f"{astarte.appengine}/interfaces/{REQUEST}/request"
    data = {"operation": "Update", "url": "http://192.168.4.1/a.zip", "uuid": str(uuid.uuid4())}
    assert astarte.http.post(to, json={"data": data}).json() == {"errors": {"detail": "Interface not found in device introspection"}}
    astarte.listen()
    answer = astarte.http.post(to, json={"data": data})
    assert (answer.status_code, answer.json()) == (200, {"data": data})
    assert astarte.request() == data
    unknown = {"operation": "Cancel", "uuid": str(uuid.uuid4())}
    assert astarte.http.post(to, json={"data": unknown}).status_code == 200
    assert astarte.request() == unknown
    for wrong, status, detail in (
        ({"data": {**data, "more": 1}}, 400, "Unexpected object key"),
        ({"data": {**data, "url": 5}}, 422, "url must be a string"),
        ({"data": "Update"}, 422, "must be an object"),
        ({}, 422, "must be an object"),
        ({"data": {**data, "operation": "Upgrade"}}, 422, "operation must be"),
        ({"data": data}, 422, "uuid already"),
        ({"data": {**data, "uuid": "7"}}, 422, "must be a UUID"),
        ({"data": {"operation": "Cancel"}}, 422, "uuid is missing"),
        ({"data": {**data, "uuid": str(uuid.uuid4()), "url": "ftp://x"}}, 422, "must begin with http"),
    ):
        answer = astarte.http.post(to, json=wrong)
        assert (answer.status_code, detail in answer.json()["errors"]["detail"]) == (status, True), answer.text
    again = {**data, "uuid": str(uuid.uuid4())}
    assert astarte.http.post(to, json={"data": again}).status_code == 200
    assert astarte.request() == again  # none of the wrong ones is in its way
    assert astarte.http.post(f"{astarte.appengine}/interfaces/{REQUEST}/other", json={"data": data}).status_code == 400
    refused = astarte.http.post(f"{astarte.appengine}/interfaces/{EVENT}/event", json={"data": data})
    assert (refused.status_code, refused.json()) == (405, {"errors": {"detail": "Cannot write to device owned resource"}})


@pytest.mark.usefixtures("on_one_broker")
def test_the_operator_is_told_what_cannot_be_asked_for(astarte: AstarteBoard, key: Any) -> None:
    board = astarte.board
    ask = board.hub.operator.request_update
    for wrong, reason in (
        ({}, "needs a file_id or a url"),
        ({"url": "http://x", "file_id": str(uuid.uuid4())}, "needs a file_id or a url"),
        ({"file_id": str(uuid.uuid4())}, "no such file"),
        ({"url": "http://" + "x" * 3000}, "Invalid url"),
    ):
        with pytest.raises(HubError, match=reason):
            ask(board.id, **wrong)
    with Board.registered(board.hub) as other, pytest.raises(HubError, match="no such file"):
        ask(other.id, file_id=bundle_of(board, key)["id"])
    with Board.registered(board.hub) as polling:
        polling.post("/telemetry", {})
        with pytest.raises(HubError, match="polls over HTTP"):
            ask(polling.id, url="http://x")
    with pytest.raises(HubError, match="404: Device not found"):
        ask(str(uuid.uuid4()), url="http://x")
    with pytest.raises(HubError, match="404: Update not found"):
        board.hub.operator.cancel_update(board.id, "x")
    assert httpx.get(f"{board.hub.url}/astarte/operator/devices/{board.id}/updates").status_code == 401


@pytest.mark.usefixtures("on_one_broker")
def test_a_bundle_is_looked_into_when_it_is_uploaded(board: Board, key: Any) -> None:
    sound = archive.pack({"main.py": b"1"}, key, name="x", version="2.0.0", boards=[], micropython="1.24.0", mpy=0)
    upload = board.hub.operator.upload_file
    assert upload(sound, "a.zip", file_type="bundle")["version"] == "2.0.0"
    for data, about, reason in (
        (sound[:-1], {}, "is no bundle"),
        (b"PK", {}, "is no bundle"),
        (sound, {"version": "2.0.1"}, "bundle's is 2.0.0"),
    ):
        with pytest.raises(HubError, match=f"422.*{reason}"):
            upload(data, "a.zip", file_type="bundle", **about)


# ---- the same step over more than one wire


@pytest.mark.usefixtures("on_one_broker")
def test_a_step_that_is_told_over_both_wires_is_one_notification(astarte: AstarteBoard) -> None:
    request, board = str(uuid.uuid4()), astarte.board
    steps = [(item["status"], item["statusProgress"], item["statusCode"], item["message"]) for item in whole_update(request)]
    events = [
        {"uuid": request, "status": status, "progress": progress, "code": code, "message": message, "time": round(at(n).timestamp() * 1000)}
        for n, (status, progress, code, message) in enumerate(steps)
    ]
    code = f"""
import json
from binascii import hexlify
from redpoll.cloud.kura import Reporter
reporter = Reporter("account", {board.id!r})
for event in json.loads({json.dumps(events)!r}):
    topic, payload = reporter.message(event)
    print(topic, hexlify(payload).decode())
"""
    astarte.listen()
    lines = run("micropython", "-c", code).splitlines()
    for step, (event, line) in enumerate(zip(whole_update(request), lines, strict=True)):
        topic, payload = line.split()

        def tell_kura(topic: str = topic, payload: str = payload, count: int = step + 1) -> None:
            properties = Properties(PacketTypes.PUBLISH)
            properties.UserProperty = [("device_id", board.id), ("access_key", board.key)]
            astarte.mqtt.client.publish(topic, bytes.fromhex(payload), qos=1, properties=properties).wait_for_publish(DEADLINE)
            wait_for(lambda: astarte.taken().count("notify") == count, "the notification")

        # whichever comes first
        if not step % 2:
            tell_kura()
        astarte.tell(event, at(step))
        astarte.samples(step + 1)
        if step % 2:
            tell_kura()
        with KapuaClient(board.hub) as client:
            (operation,) = client.get(f"/_/devices/{board.id}/operations")["items"]
            assert operation["status"] == ("COMPLETED" if step == 8 else "RUNNING")
    assert board.refusals() == []
    with KapuaClient(board.hub) as client:
        (operation,) = client.get(f"/_/devices/{board.id}/operations")["items"]
        assert len(client.get(f"{operation_path(operation)}/notifications")["items"]) == 9
    assert len(board.activities("firmwareStateChange")) == 9


@pytest.mark.usefixtures("on_one_broker")
def test_a_device_that_has_the_command_only_is_seen_updating_too(board: Board, mqtt: MqttBoard) -> None:
    command = board.hub.operator.command(board.id, "update_firmware", {"url": "http://x", "version": "2.0.0"})
    mqtt.next("commands")
    mqtt.send("commands/update", {"id": command["id"], "status": "in_progress", "message": "Downloading 40 %"})
    mqtt.send("commands/update", {"id": command["id"], "status": "error", "message": "NetworkError: timed out"})
    told = wait_for(lambda: len(found := board.activities("firmwareStateChange")) == 2 and found, "the changes")
    assert [item["data"] for item in told] == [
        {"status": "in_progress", "progress": "40", "message": "Downloading 40 %", "request": command["id"]},
        {"status": "failed", "message": "NetworkError: timed out", "request": command["id"]},
    ]


@pytest.mark.usefixtures("on_one_broker")
def test_a_device_that_is_deleted_takes_its_updates_along(astarte: AstarteBoard) -> None:
    astarte.tell(values(), NOON)
    astarte.samples(1)
    astarte.board.hub.operator.delete(astarte.board.id)
    assert astarte.refused() == (404, {"detail": "Device not found"})


def test_astartes_own_client_is_understood_when_the_hub_takes_messages_without_properties(
    board_broker: str, tmp_path_factory: pytest.TempPathFactory, hubs_mosquitto: Any
) -> None:
    """MQTT 3.1.1, as Astarte's devices speak it; the topic alone says who it is."""
    broker = "embedded:0" if board_broker == "embedded" else hubs_mosquitto.url
    extra = ("--lenient", "--astarte-realm", "test")
    with HubProcess(tmp_path_factory.mktemp("hub"), broker=broker, extra=extra) as hub, Board.registered(hub) as board:
        url = urlsplit(hub._ready.get("mqtt311_url", hub.mqtt_url))
        client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
        client.connect(str(url.hostname), int(url.port or 1883), keepalive=30)
        client.loop_start()
        try:
            topic = f"test/{device_id(board.id)}/{EVENT}/event"
            client.publish(topic, bson.dumps({"v": values(), "t": NOON}), qos=2).wait_for_publish(DEADLINE)
            wait_for(lambda: hub.operator.updates(board.id), "the update")
        finally:
            client.disconnect()
            client.loop_stop()
