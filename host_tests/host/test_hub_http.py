"""The Xyte facet over HTTP: seed 000 and reference xyte §1 and §2, call by call and refusal by refusal."""

import re
import secrets
from typing import Any

import httpx
import pytest
from hub_support import SEED_000, TRUST, Board, registration

from tools.hub.client import HubError
from tools.hub.process import HubProcess

SEED_000_ERROR = {"status": "error", "telemetries": {"input": "Unknown"}, "message": "Unknown input connected"}
REPLY_KEYS = {
    "config_version", "command", "info_version", "new_licenses", "latest_fw_version", "latest_fw_file_id", "space_data_version", "success",
}  # fmt: skip
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def register(hub: HubProcess, body: Any) -> httpx.Response:
    return httpx.post(f"{hub.entry_url}/v1/devices", json=body, verify=TRUST)


# ---- registration


def test_registration_gives_id_key_and_addresses(hub: HubProcess) -> None:
    answer = register(hub, registration())
    assert answer.status_code == 201
    body = answer.json()
    assert set(body) == {"id", "access_key", "hub_url", "hub_url_static_cert", "mqtt_hub_url"}
    assert UUID.fullmatch(body["id"])
    assert re.fullmatch(r"[0-9a-f]{32}", body["access_key"])
    assert body["hub_url"] == hub.entry_url
    assert body["mqtt_hub_url"] == hub.mqtt_url


def test_registration_by_cloud_id_and_all_optional_fields(hub: HubProcess, board: Board) -> None:
    cloud_id = f"XY{secrets.token_hex(10)}"
    body = registration(cloud_id=cloud_id, name="Lobby", details={"room": 1}, sub_model="b", parent_id=board.id)
    del body["mac"]
    device = hub.operator.device(register(hub, body).json()["id"])
    assert (device["cloud_id"], device["name"], device["details"], device["sub_model"]) == (cloud_id, "Lobby", {"room": 1}, "b")
    assert device["parent_id"] == board.id


@pytest.mark.parametrize("same", ["cloud_id", "mac and sn"])
def test_a_second_registration_is_refused_until_the_operator_deletes_the_device(hub: HubProcess, same: str) -> None:
    body = registration(cloud_id=f"XY{secrets.token_hex(10)}")
    first = register(hub, body).json()
    again = dict(body)
    if same == "cloud_id":
        again.update(sn="other", mac="other")
    else:
        del again["cloud_id"]
        again["mac"] = again["mac"].upper()
    refused = register(hub, again)
    assert refused.status_code == 422
    assert "already" in refused.json()["error"]
    hub.operator.delete(first["id"])
    assert register(hub, again).status_code == 201


@pytest.mark.parametrize(
    "changes",
    [
        {"sn": None}, {"sn": ""}, {"sn": 5}, {"sn": "x" * 256}, {"hardware_key": None}, {"firmware_version": None}, {"mac": None},
        {"cloud_id": "short"}, {"cloud_id": "with spaces in between"}, {"details": []}, {"name": {}}, {"parent_id": "nobody"},
        {"parent_id": "00000000-0000-0000-0000-000000000000"},
    ],
)  # fmt: skip
def test_registration_with_a_bad_value_is_422_with_the_reason(hub: HubProcess, changes: dict[str, Any]) -> None:
    answer = register(hub, registration(**changes))
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("Invalid ")


def test_a_wrong_serial_number_is_told_in_the_vendors_words(hub: HubProcess) -> None:
    assert register(hub, registration(sn=None)).json()["error"].startswith("Invalid SN")


def test_a_model_that_the_operator_says_is_unknown_gets_404(hub: HubProcess) -> None:
    body = registration()
    hub.operator.set_model(body["hardware_key"], known=False)
    assert register(hub, body).status_code == 404
    hub.operator.set_model(body["hardware_key"], known=True)
    assert register(hub, body).status_code == 201


# ---- authentication


def test_every_call_without_the_right_key_is_401(hub: HubProcess, board: Board) -> None:
    other = Board.registered(hub)
    paths = [
        ("POST", "/telemetry"), ("GET", "/config"), ("POST", "/config"), ("GET", "/command"), ("POST", "/command"),
        ("GET", "/command/pending_commands"), ("GET", "/license"), ("GET", "/licenses"), ("POST", "/licenses"), ("GET", "/space"),
        ("PUT", "/cloud_settings"), ("GET", "/files"), ("GET", "/files/x"), ("POST", "/dumps/text%2Ftxt/a.log"), ("PUT", "/dumps/x"),
        ("GET", ""), ("PUT", ""), ("DELETE", ""),
    ]  # fmt: skip
    for method, path in paths:
        for key in ("", "wrong", other.key, f"Bearer {board.key}", hub.operator_key):
            answer = httpx.request(method, board.base + path, headers={"Authorization": key}, json={}, verify=TRUST)
            assert (answer.status_code, answer.json()) == (401, {"error": "Not authorized"}), (method, path)
    assert board.get().status_code == 200
    assert hub.operator.device(other.id)["id"] == other.id
    assert set(board.refusals()) == {"Not authorized"}


@pytest.mark.parametrize("device_id", ["x", "00000000-0000-0000-0000-000000000000", "%00", "a'b", "%F0%9F%98%80"])
def test_an_unknown_device_is_401(hub: HubProcess, board: Board, device_id: str) -> None:
    answer = httpx.get(f"{hub.entry_url}/v1/devices/{device_id}/config", headers={"Authorization": board.key})
    assert (answer.status_code, answer.json()) == (401, {"error": "Not authorized"})


def test_a_deleted_device_is_401_and_may_register_again(hub: HubProcess, board: Board) -> None:
    assert board.call("DELETE").json() == {"success": True}
    assert board.post("/telemetry", SEED_000).status_code == 401
    assert [item["event"] for item in board.activities()][-2:] == ["clientDisconnected", "deviceRemoved"]
    assert register(hub, board.asked).status_code == 201


# ---- telemetry


def test_telemetry_of_the_seed_is_answered_with_all_keys_of_the_seed(hub: HubProcess, board: Board) -> None:
    answer = board.post("/telemetry", SEED_000)
    assert answer.status_code == 200
    assert answer.json() == {
        "config_version": 0, "command": False, "info_version": 0, "new_licenses": False, "latest_fw_version": None,
        "latest_fw_file_id": None, "space_data_version": 0, "success": True,
    }  # fmt: skip
    latest = hub.operator.telemetry(board.id)
    assert latest["telemetries"] == {**SEED_000["telemetries"], "status": "online"}
    assert latest["timestamp"] == SEED_000["timestamp"]
    assert latest["status"] == "online"


def test_the_telemetry_reply_is_true_to_the_state(hub: HubProcess, board: Board) -> None:
    hub.operator.set_model(board.asked["hardware_key"], latest_fw_version="1.3.4", latest_fw_file_id="a" * 36)
    board.claim(name="renamed")
    hub.operator.configure(board.id, {"interval": 5})
    hub.operator.command(board.id, "ping")
    reply = board.post("/telemetry", SEED_000).json()
    assert set(reply) == REPLY_KEYS
    assert (reply["config_version"], reply["command"], reply["space_data_version"], reply["info_version"]) == (1, True, 1, 1)
    assert (reply["latest_fw_version"], reply["latest_fw_file_id"]) == ("1.3.4", "a" * 36)


def test_the_version_of_the_info_grows_with_what_it_shows_and_not_with_an_echo(hub: HubProcess, board: Board) -> None:
    seen = []
    for change in (
        {"name": "N"},
        {"name": "N"},
        {"details": {"imsi": "242016000001234"}},
        {"config_version": 0},
        {"firmware_version": "2.0"},
    ):
        assert board.put("", change).status_code == 200
        seen.append(board.post("/telemetry", {}).json()["info_version"])
    assert seen == [1, 1, 2, 2, 3]
    hub.operator.rename(board.id, "M")
    path = f"{hub.url}/span/collections/{hub.operator.device(board.id)['collection_id']}/devices/{board.id}"
    assert httpx.patch(path, json={"imsi": ""}, headers={"X-API-Token": hub.operator_key}, verify=TRUST).status_code == 200
    assert board.get().json()["info_version"] == 5


def test_a_command_is_announced_until_it_has_begun(hub: HubProcess, board: Board) -> None:
    command = hub.operator.command(board.id, "ping")
    assert board.post("/telemetry", {}).json()["command"] is True
    board.post("/command", {"id": command["id"], "status": "in_progress"})
    assert board.post("/telemetry", {}).json()["command"] is False, "a device would run it again"
    assert board.get("/command").json()["status"] == "in_progress", "one that has restarted asks for it"


def test_a_clock_from_before_the_registration_does_not_make_a_message_old(hub: HubProcess, board: Board) -> None:
    board.post("/telemetry", {"telemetries": {"a": 1, "b": 2}})
    message = {"status": "error", "timestamp": "2021-08-04T07:45:44.122Z", "override": True, "telemetries": {"a": 9}}
    assert board.post("/telemetry", message).status_code == 200
    latest = hub.operator.telemetry(board.id)
    assert (latest["telemetries"], latest["timestamp"]) == ({"a": 9, "status": "error"}, message["timestamp"])


def test_a_configuration_cannot_use_the_names_of_the_flat_form(hub: HubProcess, board: Board) -> None:
    for name in ("version", "last_updated", "config", "device_id"):
        with pytest.raises(HubError, match=f'must not use the name "{name}"'):
            hub.operator.configure(board.id, {name: 1})


def test_telemetry_merges_null_removes_and_override_replaces(hub: HubProcess, board: Board) -> None:
    def state(body: dict[str, Any]) -> dict[str, Any]:
        assert board.post("/telemetry", body).status_code == 200
        found: dict[str, Any] = hub.operator.telemetry(board.id)["telemetries"]
        return found

    assert state({"status": "online", "telemetries": {"a": 1, "b": True}}) == {"a": 1, "b": True, "status": "online"}
    assert state({"telemetries": {"b": None, "c": "x"}}) == {"a": 1, "c": "x", "status": "online"}
    assert state({}) == {"a": 1, "c": "x", "status": "online"}
    assert state({"telemetries": {"d": 1.5}, "override": True}) == {"d": 1.5}


def test_an_error_status_keeps_its_message(hub: HubProcess, board: Board) -> None:
    board.post("/telemetry", SEED_000_ERROR)
    latest = hub.operator.telemetry(board.id)
    assert (latest["status"], latest["message"]) == ("error", "Unknown input connected")
    assert latest["timestamp"] is not None


@pytest.mark.parametrize("value", [[1], {"a": 1}, []])
def test_a_telemetry_value_of_another_type_is_refused_in_the_vendors_words(hub: HubProcess, board: Board, value: Any) -> None:
    answer = board.post("/telemetry", {"telemetries": {"speed": value, "ok": 1}})
    assert (answer.status_code, answer.json()) == (422, {"error": "Common telemetries.speed must be string, number or boolean"})
    assert hub.operator.telemetry(board.id)["telemetries"] == {}
    assert board.refusals() == ["Common telemetries.speed must be string, number or boolean"]


@pytest.mark.parametrize(
    "body",
    [
        {"telemetries": {"a": 2**31}}, {"telemetries": {"a": -(2**31) - 1}}, {"telemetries": {"a": 1e39}},
        {"telemetries": {"a": "x" * 1001}},
        {"telemetries": {"a": "é" * 501}}, {"telemetries": []}, {"status": "fine"}, {"status": 1}, {"message": 1}, {"override": "yes"},
        {"timestamp": "yesterday"}, {"timestamp": 5}, {"timestamp": "2021-08-04"}, {"timestamp": "9999-99-99T99:99:99Z"},
        {"telemetries": {str(n): n for n in range(1001)}}, {"telemetries": {"a": "x"}, "filler": "x" * 140_000},
        {"telemetries": {"k" * 256: 1}}, {"telemetries": {"k" * 256: None}},
    ],
)  # fmt: skip
def test_bad_telemetry_is_422_and_changes_nothing(hub: HubProcess, board: Board, body: dict[str, Any]) -> None:
    answer = board.post("/telemetry", body)
    assert answer.status_code == 422
    assert answer.json()["error"]
    assert hub.operator.history(board.id) == []


@pytest.mark.parametrize("value", [2**31 - 1, -(2**31), 3.4e38, "x" * 1000, "", False, 0])
def test_telemetry_values_at_the_limits_are_taken(hub: HubProcess, board: Board, value: Any) -> None:
    assert board.post("/telemetry", {"telemetries": {"k" * 255: value}}).status_code == 200
    assert hub.operator.telemetry(board.id)["telemetries"]["k" * 255] == value


def test_history_is_newest_first_and_paged_by_offset_or_by_the_last_seen(hub: HubProcess, board: Board) -> None:
    for n in range(5):
        board.post("/telemetry", {"telemetries": {"n": n}})
    page = hub.operator.history(board.id, limit=2)
    assert [item["telemetries"]["n"] for item in page] == [4, 3]
    assert [item["telemetries"]["n"] for item in hub.operator.history(board.id, limit=2, before=page[-1]["seq"])] == [2, 1]
    assert [item["telemetries"]["n"] for item in hub.operator.history(board.id, limit=2, offset=4)] == [0]


# ---- configuration


def test_get_config_has_the_nested_form(hub: HubProcess, board: Board) -> None:
    hub.operator.configure(board.id, {"interval": 7})
    body = board.get("/config").json()
    assert set(body) == {"name", "version", "last_updated", "config", "device_id"}
    assert (body["version"], body["config"], body["device_id"]) == (1, {"interval": 7}, board.id)


def test_an_unchanged_echo_in_either_form_makes_no_new_version(hub: HubProcess, board: Board) -> None:
    hub.operator.configure(board.id, {"interval": 7})
    nested = board.get("/config").json()
    assert board.post("/config", nested).json()["version"] == 1
    assert board.post("/config", {"interval": 7, "version": 1, "last_updated": nested["last_updated"]}).json()["version"] == 1
    assert board.post("/config", {"interval": 7}).json()["version"] == 1
    device = hub.operator.device(board.id)
    assert (device["config_version"], device["device_config_version"]) == (1, 1)


def test_a_local_change_makes_a_new_version_which_the_reply_tells(hub: HubProcess, board: Board) -> None:
    hub.operator.configure(board.id, {"interval": 7})
    assert board.post("/config", {"version": 1, "config": {"interval": 9}}).json()["version"] == 2
    assert hub.operator.device(board.id)["configuration"] == {"interval": 9}
    assert board.post("/config", {"version": "2", "interval": 11}).json()["version"] == 3


def test_a_number_that_a_board_holds_in_32_bits_is_the_operators(hub: HubProcess, board: Board) -> None:
    wanted = {"at": {"latitude": 52.520008, "longitude": -13.404954}, "curve": [0.1234567, 1e30], "steps": 3}
    hub.operator.configure(board.id, wanted)
    said = {"at": {"latitude": 52.52001, "longitude": -13.40495}, "curve": [0.1234567, 1.000000e30], "steps": 3}
    assert board.post("/config", {"version": 1, "config": said}).json()["version"] == 1
    device = hub.operator.device(board.id)
    assert (device["configuration"], device["configuration_state"], device["problems"]) == (wanted, "applied", [])
    more = {**said, "at": {"latitude": 52.5200081, "longitude": -13.4049540}}  # as a newer MicroPython writes it
    assert board.post("/config", {"version": 1, "config": more}).json()["version"] == 1
    for other in (
        {**said, "steps": 3.0},
        {**said, "curve": [0.1234567]},
        {**said, "curve": [0.1234567, 1.00000001e30]},
        {**said, "curve": [0.12346, 1e30]},
        {**said, "at": {}},
    ):
        version = hub.operator.configure(board.id, wanted)["config_version"]
        assert board.post("/config", {"version": version, "config": other}).json()["version"] == version + 1


def test_true_is_not_one_in_a_configuration(hub: HubProcess, board: Board) -> None:
    hub.operator.configure(board.id, {"fan": 1})
    assert hub.operator.configure(board.id, {"fan": True})["config_version"] == 2


def test_an_older_version_is_422(hub: HubProcess, board: Board) -> None:
    hub.operator.configure(board.id, {"interval": 7})
    hub.operator.configure(board.id, {"interval": 8})
    answer = board.post("/config", {"version": 1, "config": {"interval": 7}})
    assert answer.status_code == 422
    assert "older" in answer.json()["error"]
    assert hub.operator.device(board.id)["configuration"] == {"interval": 8}


@pytest.mark.parametrize("version", [-1, 1.5, True, "one", 2_000_000_001, 2**31, [1]])
def test_a_bad_config_version_is_422(board: Board, version: Any) -> None:
    assert board.post("/config", {"version": version, "config": {}}).status_code == 422


def test_a_device_with_a_large_version_can_be_configured_and_can_confirm(hub: HubProcess, board: Board) -> None:
    assert board.post("/config", {"version": 2_000_000_000, "config": {"a": 1}}).json()["version"] == 2_000_000_001
    assert hub.operator.configure(board.id, {"a": 2})["config_version"] == 2_000_000_002
    assert board.post("/config", {"version": 2_000_000_002, "config": {"a": 2}}).json()["version"] == 2_000_000_002


def test_the_operators_same_configuration_again_makes_no_new_version(hub: HubProcess, board: Board) -> None:
    assert hub.operator.configure(board.id, {"a": 1})["config_version"] == 1
    assert hub.operator.configure(board.id, {"a": 1})["config_version"] == 1


@pytest.mark.parametrize("config", [{"version": 1}, {"last_updated": ""}, {"config": {}}, {"a": "x" * 70_000}, [], "x", None])
def test_a_configuration_that_the_wire_cannot_carry_is_refused(hub: HubProcess, board: Board, config: Any) -> None:
    with pytest.raises(HubError) as caught:
        hub.operator.configure(board.id, config)
    assert caught.value.status == 422


# ---- commands


def test_commands_come_one_at_a_time_and_end_done_or_failed(hub: HubProcess, board: Board) -> None:
    first = hub.operator.command(board.id, "blink", {"times": 2}, friendly_name="Blink twice")
    second = hub.operator.command(board.id, "ping")
    got = board.get("/command").json()
    expected = {"id": first["id"], "device_id": board.id, "status": "pending", "name": "blink", "parameters": {"times": 2}}
    assert got == expected
    assert [item["id"] for item in board.get("/command/pending_commands").json()] == [first["id"], second["id"]]
    assert board.post("/command", {"id": first["id"], "status": "in_progress", "message": "working"}).status_code == 200
    assert board.get("/command").json()["status"] == "in_progress"
    assert board.post("/command", {**got, "status": "done", "message": "blinked"}).status_code == 200
    assert board.get("/command").json()["id"] == second["id"]
    assert board.post("/command", {"id": second["id"], "status": "failed", "message": "no network"}).status_code == 200
    listed = hub.operator.commands(board.id)
    assert [(item["name"], item["status"], item["message"]) for item in listed] == [
        ("ping", "failed", "no network"), ("blink", "done", "blinked"),
    ]  # fmt: skip
    assert listed[1]["friendly_name"] == "Blink twice"
    assert listed[1]["updated_at"] >= listed[1]["created_at"]


def test_each_report_on_a_command_is_told_with_the_status_that_it_has(hub: HubProcess, board: Board) -> None:
    command = hub.operator.command(board.id, "blink")
    for status in ("in_progress", "error"):
        board.post("/command", {"id": command["id"], "status": status})
    told = [item["data"] for item in board.activities("upstreamMessage") if item["data"]["kind"] == "command"]
    assert [(data["command"], data["status"]) for data in told] == [("blink", "in_progress"), ("blink", "failed")]


def test_an_empty_queue_is_404_with_json(board: Board) -> None:
    answer = board.get("/command")
    assert answer.status_code == 404
    assert answer.json()["error"]


def test_the_words_of_seed_001_are_taken_over_http_too(hub: HubProcess, board: Board) -> None:
    command = hub.operator.command(board.id, "ping")
    assert board.post("/command", {"id": command["id"], "status": "error"}).status_code == 200
    assert hub.operator.commands(board.id)[0]["status"] == "failed"


def test_a_finished_command_stays_finished(hub: HubProcess, board: Board) -> None:
    command = hub.operator.command(board.id, "ping")
    assert board.post("/command", {"id": command["id"], "status": "done"}).status_code == 200
    assert board.post("/command", {"id": command["id"], "status": "done"}).status_code == 200
    assert board.post("/command", {"id": command["id"], "status": "in_progress"}).status_code == 403
    assert hub.operator.commands(board.id)[0]["status"] == "done"


def test_a_command_of_another_device_is_404(hub: HubProcess, board: Board) -> None:
    command = hub.operator.command(Board.registered(hub).id, "ping")
    assert board.post("/command", {"id": command["id"], "status": "done"}).status_code == 404


@pytest.mark.parametrize("body", [{}, {"id": 5, "status": "done"}, {"id": "x"}, {"id": "x", "status": "ready"}, {"id": "x", "status": {}}])
def test_a_bad_command_update_is_422(board: Board, body: dict[str, Any]) -> None:
    assert board.post("/command", body).status_code == 422


# ---- no licences (test_hub_licenses has the rest), update device, space, settings, dumps (test_hub_files has the rest)


def test_there_are_no_licences(board: Board) -> None:
    assert board.get("/license").json() == {}
    assert board.get("/licenses").json() == []
    assert board.post("/licenses", {"id": "x", "state": "inuse"}).status_code == 404
    illegal = board.post("/licenses", {"id": "x", "state": "done"})
    assert (illegal.status_code, illegal.json()) == (403, {"error": "Only allowed to set: inuse/removed/error"})


@pytest.mark.parametrize("slash", ["", "/"])
def test_update_device_changes_what_it_names(hub: HubProcess, board: Board, slash: str) -> None:
    body = {"firmware_version": "1.1.0", "name": "Lobby", "sub_model": "b", "details": {"a": 1}, "space_version": 1, "config_version": 3}
    assert board.put(slash, body).status_code == 200
    device = hub.operator.device(board.id)
    assert (device["firmware_version"], device["name"], device["sub_model"], device["details"]) == ("1.1.0", "Lobby", "b", {"a": 1})
    assert (device["device_config_version"], device["device_space_version"]) == (3, 1)
    assert board.get(slash).json()["name"] == "Lobby"


def test_an_unknown_key_of_update_device_is_400(board: Board) -> None:
    answer = board.put("", {"nmae": "x"})
    assert answer.status_code == 400
    assert "nmae" in answer.json()["error"]


def test_the_eleventh_update_within_an_hour_is_429(board: Board) -> None:
    for n in range(10):
        assert board.put("", {"name": f"n{n}"}).status_code == 200
    answer = board.put("", {"name": "n10"})
    assert answer.status_code == 429
    assert answer.json()["error"]
    assert board.get().json()["name"] == "n9"


@pytest.mark.parametrize("body", [{"name": 5}, {"firmware_version": ""}, {"details": "x"}, {"config_version": -1}])
def test_update_device_with_a_bad_value_is_422(board: Board, body: dict[str, Any]) -> None:
    assert board.put("", body).status_code == 422


def test_the_space_is_404_before_the_claim_and_has_the_seeds_shape_after(hub: HubProcess, board: Board) -> None:
    assert board.get("/space").status_code == 404
    space = f"s-{board.id[:8]}"
    info = {"coordinates": {"lat": 51.165691, "lng": 10.451526}, "utc_offset": 60, "location": "Germany"}
    hub.operator.set_space(space, "Interactive Class", info)
    board.claim(space)
    body = board.get("/space").json()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+01:00", body.pop("local_time"))
    assert body == {
        "location": {"coordinates": {"lat": 51.165691, "lng": 10.451526}, "utc_offset": 60, "name": "Germany"},
        "temperature_units": "celsius",
        "maintenance": False,
        "name": "Interactive Class",
    }


def test_cloud_settings_take_both_forms(hub: HubProcess, board: Board) -> None:
    assert board.put("/cloud_settings", {"property": "a", "value": 1}).status_code == 200
    assert board.put("/cloud_settings", {"incidents.suspend_creation": True}).status_code == 200
    assert hub.operator.device(board.id)["cloud_settings"] == {"a": 1, "incidents.suspend_creation": True}
    assert [item["data"] for item in board.activities("deviceUpdated")] == [{"by": "device", "changed": "cloud_settings"}] * 2
    for bad in ({}, {"property": 5, "value": 1}, {"property": "a", "value": []}, {"a": {}}, {"a": "x" * 4097}, {"a": 10**4096}):
        assert board.put("/cloud_settings", bad).status_code == 422


def test_a_dump_is_kept_appended_and_listed(hub: HubProcess, board: Board) -> None:
    answer = board.call("POST", "/dumps/text%2Ftxt/agent.log", content=b"one\n")
    assert answer.status_code == 201
    dump = answer.json()
    assert dump["length"] == 4
    assert board.call("PUT", f"/dumps/{dump['id']}", content=b"two\n").json() == {"id": dump["id"], "length": 8}
    assert (hub.data / "dumps" / dump["id"]).read_bytes() == b"one\ntwo\n"
    listed = hub.operator.dumps(board.id)
    assert [(item["mime"], item["filename"], item["length"]) for item in listed] == [("text/txt", "agent.log", 8)]
    assert [item["data"]["bytes"] for item in board.activities("blobUpload")] == ["4", "4"]
    hub.operator.delete(board.id)
    assert not (hub.data / "dumps" / dump["id"]).exists()


@pytest.mark.parametrize(
    "path", ["/dumps/agent.log", "/dumps/text%2Ftxt/..%2F..%2Fx", "/dumps/text/a/b/c", "/dumps/%00/x", "/dumps/text%2Ftxt/%7F"]
)
def test_a_dump_whose_name_is_no_name_is_422(board: Board, path: str) -> None:
    assert board.call("POST", path, content=b"x").status_code == 422


def test_a_dump_that_is_too_large_or_not_there_is_refused(hub: HubProcess, board: Board) -> None:
    assert board.call("POST", "/dumps/text%2Ftxt/big", content=b"x" * (1024 * 1024 + 1)).status_code == 422
    assert board.call("PUT", "/dumps/nothing", content=b"x").status_code == 404
    assert hub.operator.dumps(board.id) == []


# ---- hostile input


HOSTILE = [
    b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"a": NaN}', b'{"a": Infinity}', b'{"a": 1e999}', b'{"a":"\\ud800"}', b'{"\\u0000": 1}',
    b'{"telemetries":{"a":' + b"9" * 5000 + b"}}", b"[" * 100_000, b'{"a":' * 40 + b"1" + b"}" * 40,
]  # fmt: skip


@pytest.mark.parametrize("raw", HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_not_a_json_object_is_400_everywhere(hub: HubProcess, board: Board, raw: bytes) -> None:
    for method, path in (("POST", "/telemetry"), ("POST", "/config"), ("POST", "/command"), ("PUT", ""), ("PUT", "/cloud_settings")):
        answer = board.call(method, path, content=raw)
        assert answer.status_code == 400, (path, answer.text)
        assert answer.json()["error"]
    assert httpx.post(f"{hub.entry_url}/v1/devices", content=raw).status_code == 400
    assert len(board.refusals()) == 5


def test_a_body_over_the_limit_is_422_and_the_hub_goes_on(board: Board) -> None:
    assert board.call("POST", "/config", content=b'{"a":"' + b"x" * 300_000 + b'"}').status_code == 422
    assert board.get().status_code == 200


def test_an_unknown_path_or_method_is_answered_with_json(hub: HubProcess) -> None:
    for method, path, status in (("GET", "/nowhere", 404), ("PATCH", "/xyte/v1/devices", 405)):
        answer = httpx.request(method, hub.url + path, verify=TRUST)
        assert answer.status_code == status
        assert answer.json()["error"]


def test_a_board_with_the_wrong_entry_is_told_the_right_one(hub: HubProcess) -> None:
    answer = httpx.post(f"{hub.url}/v1/devices", json={"sn": "x"})
    assert answer.status_code == 404 and "/xyte" in answer.json()["error"]


# ---- the operator


def test_the_operator_key_may_come_as_a_bearer_token(hub: HubProcess) -> None:
    answer = httpx.get(f"{hub.url}/activity", headers={"Authorization": f"Bearer {hub.operator_key}"})
    assert answer.status_code == 200


def test_the_sn_alone_names_a_device_that_is_the_only_one_with_it(hub: HubProcess, board: Board) -> None:
    assert hub.operator.claim(sn=board.asked["sn"], space_id="lab")["id"] == board.id
    with Board.registered(hub, sn=board.asked["sn"]), pytest.raises(HubError, match="give the mac too"):
        hub.operator.claim(sn=board.asked["sn"], space_id="lab")


def test_every_operator_call_needs_the_operator_key(hub: HubProcess, board: Board) -> None:
    devices = f"{hub.url}/xyte/core/v1/organization/devices"
    calls = [
        ("GET", devices), ("POST", f"{devices}/claim"), ("GET", f"{devices}/{board.id}"), ("PATCH", f"{devices}/{board.id}"),
        ("DELETE", f"{devices}/{board.id}"), ("GET", f"{devices}/{board.id}/commands"), ("POST", f"{devices}/{board.id}/commands"),
        ("GET", f"{devices}/{board.id}/telemetry"), ("GET", f"{devices}/{board.id}/telemetry/history"),
        ("GET", f"{devices}/{board.id}/dumps"), ("PUT", f"{hub.url}/xyte/operator/models/x"), ("PUT", f"{hub.url}/xyte/operator/spaces/x"),
        ("GET", f"{hub.url}/activity"),
    ]  # fmt: skip
    for method, url in calls:
        for headers in ({}, {"Authorization": "wrong"}, {"Authorization": board.key}):
            answer = httpx.request(method, url, headers=headers, json={}, verify=TRUST)
            assert answer.status_code == 401, (method, url)
            assert "error" in answer.json()
    assert board.get().status_code == 200


def test_a_claim_moves_the_device_and_a_second_one_into_the_same_space_does_not(hub: HubProcess, board: Board) -> None:
    before = hub.operator.device(board.id)
    assert (before["state"], before["space"], before["space_data_version"]) == ("registered", None, 0)
    claimed = board.claim("blue", name="Blue one")
    assert (claimed["state"], claimed["space"]["id"], claimed["space_data_version"], claimed["name"]) == ("claimed", "blue", 1, "Blue one")
    assert board.claim("blue")["space_data_version"] == 1
    assert board.claim("red")["space_data_version"] == 2
    moves = board.activities("deviceMoved")
    assert [item["data"]["space"] for item in moves] == ["Space blue", "Space red"]
    assert moves[0]["data"]["fromCollectionId"] == before["collection_id"]
    assert moves[0]["collectionId"] == claimed["collection_id"] == moves[1]["data"]["fromCollectionId"]
    assert [item["data"] for item in board.activities("deviceUpdated")] == [{"by": "operator", "changed": "name"}], "it was renamed too"


def test_a_claim_of_nobody_is_404_and_of_nothing_422(hub: HubProcess, board: Board) -> None:
    for named, status in (({"cloud_id": "nobody"}, 404), ({"mac": "x", "sn": "y"}, 404), ({}, 422), ({"mac": board.asked["mac"]}, 422)):
        with pytest.raises(HubError) as caught:
            hub.operator.claim(**named)
        assert caught.value.status == status


def test_an_unknown_device_is_404_for_the_operator(hub: HubProcess) -> None:
    calls = [
        hub.operator.device, hub.operator.commands, hub.operator.telemetry, hub.operator.history, hub.operator.delete, hub.operator.dumps,
        lambda device: hub.operator.configure(device, {}), lambda device: hub.operator.command(device, "x"),
        lambda device: hub.operator.rename(device, "x"),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(HubError) as caught:
            call("nobody")
        assert caught.value.status == 404


@pytest.mark.parametrize("body", [{}, {"nmae": "x"}, {"configuration": {}, "x": 1}])
def test_a_patch_of_something_else_is_400(hub: HubProcess, board: Board, body: dict[str, Any]) -> None:
    url = f"{hub.url}/xyte/core/v1/organization/devices/{board.id}"
    assert httpx.patch(url, headers={"Authorization": hub.operator_key}, json=body).status_code == 400


@pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": 5}, {"name": "x", "extra_params": []}, {"name": "x", "file_id": 5}])
def test_a_bad_command_is_422(hub: HubProcess, board: Board, body: dict[str, Any]) -> None:
    url = f"{hub.url}/xyte/core/v1/organization/devices/{board.id}/commands"
    assert httpx.post(url, headers={"Authorization": hub.operator_key}, json=body).status_code == 422


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "offset=-1", "before=%F0", "limit=99999999999999999999"])
def test_a_page_out_of_bounds_is_422(hub: HubProcess, board: Board, query: str) -> None:
    url = f"{hub.url}/xyte/core/v1/organization/devices/{board.id}/telemetry/history?{query}"
    assert httpx.get(url, headers={"Authorization": hub.operator_key}).status_code == 422


def test_the_list_of_devices_has_each_once(hub: HubProcess, board: Board) -> None:
    ids = [device["id"] for device in hub.operator.devices()]
    assert ids.count(board.id) == 1
