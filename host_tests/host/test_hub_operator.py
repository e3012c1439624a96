"""What an operator can see and do beside what devices ask for: models, spaces, dumps, and single things by their id."""

from typing import Any

import pytest
from hub_support import Board
from xyte_bench import DEVICES, OPERATOR, Bench, Device

from tools.hub.client import HubError

UNKNOWN = "00000000-0000-0000-0000-000000000000"


def test_one_command_licence_and_incident_can_be_looked_at(bench: Bench, device: Device) -> None:
    command = bench.command(device, "blink")
    assert bench.operator("GET", f"{DEVICES}/{device.id}/commands/{command['id']}") == command
    licenses = f"{OPERATOR}/devices/{device.id}/licenses"
    license = bench.operator("POST", licenses, {"name": "recording"})
    assert bench.operator("GET", f"{licenses}/{license['id']}") == license
    incident = bench.operator("POST", f"{DEVICES}/{device.id}/incidents", {"title": "t", "priority": "low"})
    incidents = f"{DEVICES.removesuffix('devices')}incidents"
    assert bench.operator("GET", f"{incidents}/{incident['id']}") == incident
    for path in (f"{DEVICES}/{device.id}/commands", licenses, incidents):
        for thing in (UNKNOWN, "x", "%00", "é"):
            assert bench.call("GET", f"{path}/{thing}").status_code == 404, path


def test_what_belongs_to_another_device_is_not_there(bench: Bench, device: Device) -> None:
    other = bench.device()
    command = bench.command(other, "blink")["id"]
    dump = other.post("/dumps/text%2Ftxt/a", b"x").json()["id"]
    license = bench.operator("POST", f"{OPERATOR}/devices/{other.id}/licenses", {"name": "recording"})["id"]
    mine = f"{DEVICES}/{device.id}"
    for path in (f"{mine}/commands/{command}", f"{OPERATOR}/devices/{device.id}/licenses/{license}", f"{mine}/dumps/{dump}/content"):
        assert bench.call("GET", path).status_code == 404, path
    assert bench.call("DELETE", f"{mine}/dumps/{dump}").status_code == 404


def test_a_dump_is_read_whole_or_in_part_and_deleted(bench: Bench, device: Device) -> None:
    dump = device.post("/dumps/text%2Ftxt/agent.log", b"first ").json()["id"]
    device.call("PUT", f"/dumps/{dump}", b"second")
    path = f"{DEVICES}/{device.id}/dumps/{dump}"
    whole = bench.call("GET", f"{path}/content")
    assert (whole.status_code, whole.content) == (200, b"first second")
    assert 'filename="agent.log"' in whole.headers["content-disposition"]
    part = bench.call("GET", f"{path}/content", headers={"Range": "bytes=6-"})
    assert (part.status_code, part.content) == (206, b"second")
    assert bench.call("GET", f"{path}/content", headers={"Range": "bytes=99-"}).status_code == 416
    bench.operator("DELETE", path)
    assert bench.call("GET", f"{path}/content").status_code == 404 and bench.call("DELETE", path).status_code == 404
    assert not list((bench.folder / "dumps").glob(dump)) and bench.items(f"{DEVICES}/{device.id}/dumps") == []


def test_models_are_listed_whether_the_operator_or_a_device_has_named_them(bench: Bench, device: Device) -> None:
    bench.set_latest(device, latest_fw_version="1.3.4")
    other = bench.device()
    found = {item["hardware_key"]: item for item in bench.items(f"{OPERATOR}/models")}
    assert found[device.model]["latest_fw_version"] == "1.3.4"
    assert found[other.model] == {"hardware_key": other.model, "known": True, "latest_fw_version": None, "latest_fw_file_id": None}
    for key in (device.model, other.model):
        assert bench.operator("GET", f"{OPERATOR}/models/{key}") == found[key]
    bench.operator("DELETE", f"{OPERATOR}/models/{device.model}")
    assert bench.operator("GET", f"{OPERATOR}/models/{device.model}")["latest_fw_version"] is None
    assert device.post("/telemetry", {}).json()["latest_fw_version"] is None


def test_spaces_are_listed_and_an_empty_one_can_be_deleted(bench: Bench, device: Device) -> None:
    bench.operator("PUT", f"{OPERATOR}/spaces/hall", {"name": "Hall 3", "info": {"location": "Germany"}})
    space = bench.operator("GET", f"{OPERATOR}/spaces/hall")
    assert (space["id"], space["name"], space["info"]) == ("hall", "Hall 3", {"location": "Germany"})
    listed = bench.items(f"{OPERATOR}/spaces")
    assert space in listed and [item["name"] for item in listed if item["id"] is None] == ["Unclaimed"]
    bench.operator("PATCH", f"{DEVICES}/{device.id}", {"space_id": "hall"})
    refused = bench.call("DELETE", f"{OPERATOR}/spaces/hall")
    assert (refused.status_code, refused.json()) == (422, {"error": "The space has 1 devices: move or delete them first"})
    bench.operator("DELETE", f"{DEVICES}/{device.id}")
    bench.operator("DELETE", f"{OPERATOR}/spaces/hall")
    for method in ("GET", "DELETE"):
        assert bench.call(method, f"{OPERATOR}/spaces/hall").status_code == 404


@pytest.mark.parametrize(
    "info",
    [
        {"utc_offset": "60"}, {"utc_offset": 1440}, {"utc_offset": True}, {"maintenance": "yes"}, {"temperature_units": 5},
        {"location": {}}, {"name": 5}, {"coordinates": [1, 2]}, {"coordinates": {"lat": 1.5}}, {"coordinates": {"lat": "1", "lng": 2}},
    ],
)  # fmt: skip
def test_a_space_has_the_types_that_devices_are_told_to_expect(bench: Bench, device: Device, info: dict[str, Any]) -> None:
    space = bench.operator("GET", f"{DEVICES}/{device.id}")["space"]["id"]
    before = device.get("/space").json()
    refused = bench.operator("PUT", f"{OPERATOR}/spaces/{space}", {"info": info}, status=422)
    assert f"Invalid {next(iter(info))}" in refused["error"]
    assert {**device.get("/space").json(), "local_time": ""} == {**before, "local_time": ""}


def test_an_empty_text_takes_away_what_was_said_of_a_space(bench: Bench, device: Device) -> None:
    space = bench.operator("GET", f"{DEVICES}/{device.id}")["space"]["id"]
    for said in ("Hall 3", ""):
        bench.operator("PUT", f"{OPERATOR}/spaces/{space}", {"info": {"location": said}})
        assert device.get("/space").json()["location"]["name"] == said


@pytest.mark.parametrize("path", ["models", "models/x", "spaces", "spaces/x"])
def test_all_of_it_needs_the_operator_key(bench: Bench, path: str) -> None:
    for method in ("GET", "DELETE"):
        assert bench.call(method, f"{OPERATOR}/{path}", "wrong", None).status_code in ((401,) if "/" in path or method == "GET" else (405,))


def test_the_operators_client_has_all_of_it(board: Board) -> None:
    operator = board.hub.operator
    queued = operator.command(board.id, "blink")
    assert operator.get_command(board.id, queued["id"]) == queued
    dump = board.http.post(f"{board.base}/dumps/text%2Ftxt/a", content=b"what was logged").json()["id"]
    assert operator.dump(board.id, dump) == b"what was logged"
    operator.delete_dump(board.id, dump)
    with pytest.raises(HubError, match="Dump not found"):
        operator.dump(board.id, dump)
    for key in (board.id, f"{board.id}/a model of its own"):
        operator.set_model(key, known=False)
        assert operator.model(key)["known"] is False and key in [item["hardware_key"] for item in operator.models()]
        operator.forget_model(key)
        assert operator.model(key)["known"] is True
        assert operator.set_space(key, "Hall 3") == operator.space(key)
        assert operator.space(key) in operator.spaces()
        operator.delete_space(key)
        with pytest.raises(HubError, match="Space not found"):
            operator.space(key)
