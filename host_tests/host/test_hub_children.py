"""A gateway and the devices behind it (reference xyte §2, children; dev.xyte.io ref/child-devices and its neighbours)."""

import sqlite3
from typing import Any

import pytest
from databases import sqlite_only
from xyte_bench import DEVICES, OPERATOR, Bench, Device

from tools.hub.domain import children, devices

UNKNOWN = "00000000-0000-0000-0000-000000000000"
REPLY_KEYS = {
    "config_version", "command", "info_version", "new_licenses", "latest_fw_version", "latest_fw_file_id", "space_data_version", "success",
}  # fmt: skip


@pytest.fixture
def parent(bench: Bench) -> Device:
    return bench.device()


def child_of(parent: Device, **changes: Any) -> Device:
    answer = parent.post("/children", {"model_id": "sensor-1", "firmware_version": "2.0.0", **changes})
    assert answer.status_code == 201 and set(answer.json()) == {"id", "access_key"}, answer.text
    return Device(parent.bench, answer.json()["id"], answer.json()["access_key"], "sensor-1")


def shown(device: Device) -> dict[str, Any]:
    found: dict[str, Any] = device.bench.operator("GET", f"{DEVICES}/{device.id}")
    return found


# ---- registration


def test_a_child_needs_no_more_than_its_model_and_version(bench: Bench, parent: Device) -> None:
    child = child_of(parent)
    device = shown(child)
    assert (device["parent_id"], device["hardware_key"], device["firmware_version"]) == (parent.id, "sensor-1", "2.0.0")
    assert (device["sn"], device["mac"], device["cloud_id"], device["name"]) == (None, None, None, "sensor-1")
    assert child.get().json()["id"] == child.id
    assert [event for event in bench.events(child.id) if not event.startswith("gateway")][:2] == ["deviceCreated", "firmwareCheck"]
    assert bench.of_gateway(parent.id, "gatewayDeviceUpdate")[0]["change"] == "deviceCreated"


def test_children_may_have_the_same_serial_number(parent: Device) -> None:
    body = {"sn": "1", "mac": "AA:BB", "name": "Left", "sub_model": "b", "details": {"port": 3}}
    first, second = child_of(parent, **body), child_of(parent, **body)
    assert first.id != second.id
    device = shown(second)
    assert (device["sn"], device["mac"], device["name"], device["sub_model"], device["details"]) == ("1", "aa:bb", "Left", "b", {"port": 3})


@pytest.mark.parametrize(
    "changes",
    [
        {"model_id": None}, {"model_id": ""}, {"model_id": 5}, {"firmware_version": None}, {"firmware_version": []}, {"sn": 5},
        {"mac": "x" * 65}, {"details": "x"}, {"name": {}},
    ],
)  # fmt: skip
def test_a_child_with_a_bad_value_is_422_and_its_gateway_told(bench: Bench, parent: Device, changes: dict[str, Any]) -> None:
    child_of(parent)
    answer = parent.post("/children", {"model_id": "sensor-1", "firmware_version": "2.0.0", **changes})
    assert answer.status_code == 422 and answer.json()["error"].startswith("Invalid ")
    assert bench.of_gateway(parent.id, "gatewayCommError") == [{"reason": answer.json()["error"], "kind": "register"}]
    assert len(parent.get("/children").json()) == 1 and parent.refusals() == [answer.json()["error"]]


def test_a_child_of_an_unknown_model_is_404(bench: Bench, parent: Device) -> None:
    bench.operator("PUT", f"{OPERATOR}/models/nothing-like-it", {"known": False})
    answer = parent.post("/children", {"model_id": "nothing-like-it", "firmware_version": "1"})
    assert (answer.status_code, answer.json()) == (404, {"error": "Model not found"})


def test_children_are_listed_in_the_order_of_registration(bench: Bench, parent: Device) -> None:
    assert parent.get("/children").json() == []
    made = []
    for n in range(3):
        bench.now += 1
        made.append(child_of(parent, name=f"n{n}"))
    listed = parent.get("/children").json()
    assert [(item["id"], item["name"]) for item in listed] == [(child.id, f"n{n}") for n, child in enumerate(made)]
    made[1].call("DELETE")
    assert [item["id"] for item in parent.get("/children").json()] == [made[0].id, made[2].id]


def test_children_are_bounded(bench: Bench, parent: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "CHILDREN_MAX", 2)
    child_of(parent)
    child_of(parent)
    answer = parent.post("/children", {"model_id": "sensor-1", "firmware_version": "2.0.0"})
    assert answer.status_code == 422 and "at most 2 children" in answer.json()["error"]
    body = {"sn": "smart", "mac": "smart", "hardware_key": "k", "firmware_version": "1", "parent_id": parent.id}
    assert bench.call("POST", "/xyte/v1/devices", None, body).status_code == 422


# ---- spaces


def test_children_are_claimed_with_their_gateway_and_move_with_it(bench: Bench) -> None:
    parent = bench.device(claimed=False, sn="gateway-of-spaces", mac="gw")
    child, elsewhere = child_of(parent), child_of(parent, sn="apart", mac="ap")
    assert [shown(child)["state"], shown(child)["space_data_version"]] == ["registered", 0]

    def claim(space: str, **named: str) -> None:
        bench.operator("POST", f"{DEVICES}/claim", {"space_id": space, **named})

    claim("attic", sn="apart", mac="ap")
    claim("lobby", sn="gateway-of-spaces", mac="gw")
    assert [shown(device)["space"]["id"] for device in (parent, child, elsewhere)] == ["lobby", "lobby", "attic"]
    assert shown(child)["space_data_version"] == 1
    later = child_of(parent)
    assert (shown(later)["space"]["id"], shown(later)["state"]) == ("lobby", "claimed")
    claim("cellar", sn="gateway-of-spaces", mac="gw")
    assert [shown(device)["space"]["id"] for device in (parent, child, later, elsewhere)] == ["cellar", "cellar", "cellar", "attic"]
    assert bench.events(child.id).count("deviceMoved") == 2


def test_the_operator_moves_what_has_no_serial_number(bench: Bench, parent: Device) -> None:
    child = child_of(parent)
    path = f"{DEVICES}/{child.id}"
    for space_id, name in (("moved", "moved"), (3220, "3220"), ("moved", "moved"), ("moved", "moved")):
        assert bench.operator("PATCH", path, {"space_id": space_id})["space"]["id"] == name
    assert shown(child)["space_data_version"] == 4
    assert shown(parent)["space"]["id"] not in ("moved", "3220")
    for bad in (None, "", [], {}, True, "x" * 256):
        bench.operator("PATCH", path, {"space_id": bad, "configuration": {"a": 1}}, status=422)
    assert shown(child)["configuration"] == {}


# ---- telemetries


def test_the_references_example_has_an_error_for_one_child_and_a_reply_for_the_other(bench: Bench, parent: Device) -> None:
    first, second = child_of(parent), child_of(parent)
    answer = parent.post(
        "/children/telemetries",
        {first.id: {"status": "online", "telemetries": {"speed": [10], "fuel": 99}}, second.id: {"status": "offline"}},
    )
    assert answer.status_code == 200
    assert answer.json() == {
        first.id: {"error": "Common telemetries.speed must be string, number or boolean"},
        second.id: {
            "config_version": 0, "command": False, "info_version": 0, "new_licenses": False, "latest_fw_version": None,
            "latest_fw_file_id": None, "space_data_version": 1, "success": True,
        },
    }  # fmt: skip
    assert bench.operator("GET", f"{DEVICES}/{first.id}/telemetry")["telemetries"] == {}
    assert bench.operator("GET", f"{DEVICES}/{second.id}/telemetry")["status"] == "offline"


def test_a_childs_telemetry_is_as_its_own_would_be(bench: Bench, parent: Device) -> None:
    child = child_of(parent)
    bench.command(child)
    message = {"status": "online", "timestamp": "2021-08-04T07:45:44.122Z", "telemetries": {"speed": 10, "fuel": 99}}
    reply = parent.post("/children/telemetries", {child.id: message}).json()[child.id]
    assert set(reply) == REPLY_KEYS and (reply["command"], reply["success"]) == (True, True)
    state = bench.operator("GET", f"{DEVICES}/{child.id}/telemetry")
    assert (state["telemetries"], state["timestamp"]) == ({"status": "online", "speed": 10, "fuel": 99}, "2021-08-04T07:45:44.122Z")
    parent.post("/children/telemetries", {child.id: {"telemetries": {"speed": None, "a": 1}}})
    assert bench.operator("GET", f"{DEVICES}/{child.id}/telemetry")["telemetries"] == {"status": "online", "fuel": 99, "a": 1}
    parent.post("/children/telemetries", {child.id: {"telemetries": {"b": 1}, "override": True}})
    assert bench.operator("GET", f"{DEVICES}/{child.id}/telemetry")["telemetries"] == {"b": 1}
    history = bench.items(f"{DEVICES}/{child.id}/telemetry/history")
    assert len(history) == 3


def test_a_child_is_there_while_its_gateway_says_so(bench: Bench, parent: Device) -> None:
    child = child_of(parent)
    for status in ("online", "offline", "offline"):
        parent.post("/children/telemetries", {child.id: {"status": status}})
    told = bench.activities(child.id)
    assert {"transport": "http", "id": "parent"} in told
    assert bench.events(child.id).count("clientConnected") == bench.events(child.id).count("clientDisconnected") == 1
    assert shown(child)["online"] is False
    assert shown(parent)["online"] is True


def test_what_a_gateway_says_for_its_children_is_told_of_both(bench: Bench, parent: Device) -> None:
    child = child_of(parent)
    parent.post("/children/telemetries", {child.id: {"telemetries": {"a": 1}}, UNKNOWN: {}})
    data = {"bytes": "23", "transport": "http", "kind": "telemetry"}
    assert bench.activities(child.id, "upstreamMessage") == [data]
    assert bench.of_gateway(parent.id, "gatewayUpstreamMessage") == [data]
    assert bench.of_gateway(parent.id, "gatewayCommError") == [{"reason": "Child device not found", "kind": "telemetry"}]
    assert bench.activities(parent.id, "upstreamMessage")[-1]["kind"] == "children"


def test_each_child_is_answered_by_itself(bench: Bench, parent: Device) -> None:
    child, stranger = child_of(parent), bench.device()
    body: dict[str, Any] = {
        child.id: {"telemetries": {"a": 1}}, stranger.id: {"telemetries": {"a": 1}}, parent.id: {"telemetries": {"a": 1}},
        UNKNOWN: {}, "é": {}, "": {}, "x" * 1000: {},
    }  # fmt: skip
    answer = parent.post("/children/telemetries", body).json()
    assert set(answer) == set(body)
    assert answer[child.id]["success"] is True
    assert all(answer[name] == {"error": "Child device not found"} for name in body if name != child.id)
    for other in (stranger, parent):
        assert bench.operator("GET", f"{DEVICES}/{other.id}/telemetry")["telemetries"] == {}
    assert "upstreamMessage" not in bench.events(stranger.id)


@pytest.mark.parametrize("message", [None, 5, "x", [], {"status": "fine"}, {"telemetries": []}, {"filler": "x" * 140_000}])
def test_a_message_that_is_none_is_an_error_of_its_child(bench: Bench, parent: Device, message: Any) -> None:
    child = child_of(parent)
    answer = parent.post("/children/telemetries", {child.id: message})
    assert answer.status_code == 200 and set(answer.json()[child.id]) == {"error"}
    assert child.refusals() == [answer.json()[child.id]["error"]]
    assert bench.items(f"{DEVICES}/{child.id}/telemetry/history") == []


def test_a_hundred_children_are_taken_and_one_more_is_422(bench: Bench, parent: Device) -> None:
    child = child_of(parent)
    names = [f"n{n}" for n in range(99)]
    answer = parent.post("/children/telemetries", {child.id: {}, **{name: {} for name in names}})
    assert answer.status_code == 200 and len(answer.json()) == 100 and answer.json()[child.id]["success"]
    answer = parent.post("/children/telemetries", {child.id: {}, **{name: {} for name in [*names, "more"]}})
    assert (answer.status_code, answer.json()) == (422, {"error": "At most 100 telemetries in one call"})
    assert len(bench.items(f"{DEVICES}/{child.id}/telemetry/history")) == 1
    assert parent.post("/children/telemetries", {}).json() == {}
    assert parent.post("/children/telemetries", b"[]").status_code == 400
    assert parent.post("/children/telemetries", {"x": "x" * children.MESSAGE_MAX}).status_code == 422


# ---- commands


def test_pending_commands_are_the_gateways_and_then_its_childrens(bench: Bench, parent: Device) -> None:
    child, stranger = child_of(parent), bench.device()
    ids = [bench.command(device, name)["id"] for device, name in ((child, "a"), (parent, "b"), (stranger, "c"), (child, "d"))]
    listed = parent.get("/command/pending_commands").json()
    assert [(item["id"], item["device_id"], item["name"]) for item in listed] == [
        (ids[1], parent.id, "b"), (ids[0], child.id, "a"), (ids[3], child.id, "d"),
    ]  # fmt: skip
    assert parent.get("/command").json()["id"] == ids[1]
    assert [item["id"] for item in child.get("/command/pending_commands").json()] == [ids[0], ids[3]]


def test_a_childs_command_is_not_in_its_gateways_telemetry_reply(bench: Bench, parent: Device) -> None:
    bench.command(child_of(parent))
    assert parent.post("/telemetry", {}).json()["command"] is False
    assert parent.get("/command").status_code == 404


def test_a_gateway_carries_out_its_childs_command_and_nobody_elses(bench: Bench, parent: Device) -> None:
    child, stranger = child_of(parent), bench.device()
    file_id = bench.upload(b"for the child")["id"]
    mine = bench.command(child, "update_firmware", file_id=file_id)["id"]
    theirs = bench.command(stranger)["id"]
    (pending,) = parent.get("/command/pending_commands").json()
    url = pending["parameters"]["url"].split("example:8480")[1]
    assert child.id in url and bench.call("GET", url, parent.key).content == b"for the child"
    assert bench.call("GET", url.split("?")[0], parent.key).status_code == 401
    assert parent.post("/command", {"id": mine, "status": "in_progress"}).json()["status"] == "in_progress"
    assert child.get("/command").json()["status"] == "in_progress"
    assert parent.post("/command", {"id": mine, "status": "done"}).json()["device_id"] == child.id
    assert child.get("/command").status_code == 404
    for who in (parent, child):
        assert who.post("/command", {"id": theirs, "status": "done"}).status_code == 404
    ours = bench.command(parent)["id"]
    assert child.post("/command", {"id": ours, "status": "done"}).status_code == 404
    for bad in ([], {}, 5):
        assert parent.post("/command", {"id": bad, "status": "done"}).status_code == 422


def test_what_a_deleted_gateway_leaves_are_devices_of_their_own(bench: Bench, parent: Device) -> None:
    child = child_of(parent)
    parent.call("DELETE")
    assert shown(child)["parent_id"] is None
    assert child.post("/telemetry", {"status": "online"}).status_code == 200
    assert parent.post("/children/telemetries", {child.id: {}}).status_code == 401


@sqlite_only
def test_a_childs_key_is_kept_as_a_hash_only(bench: Bench, parent: Device) -> None:
    child = child_of(parent)
    with sqlite3.connect(bench.folder / "hub.sqlite") as database:
        assert database.execute("SELECT length(key_hash), hub_url FROM devices WHERE id = ?", (child.id,)).fetchone() == (
            64, "http://hub.example:8480/xyte",
        )  # fmt: skip
    assert all(child.key.encode() not in path.read_bytes() for path in bench.folder.rglob("*") if path.is_file())
