"""Incidents and the events log (reference xyte §2; dev.xyte.io ref/create-incident, ref/get-incident, ref/add-event)."""

from typing import Any

import pytest
from hub_support import Board
from xyte_bench import DEVICES, Bench, Device

from tools.hub.client import HubError
from tools.hub.domain import events, incidents

INCIDENTS = "/xyte/core/v1/organization/incidents"
OVERHEATED = {"title": "Temperature is too high", "issue": "overheated", "priority": "moderate", "description": "81 degrees"}
DOOR = {
    "name": "door_opened", "category": "doors", "int_key_1": 5, "int_key_2": -(2**31), "string_key_1": "front", "string_key_2": "x" * 255,
    "timestamp": "2021-08-04T07:45:44.122Z",
}  # fmt: skip
UNKNOWN = "00000000-0000-0000-0000-000000000000"


def opened(device: Device, **changes: Any) -> str:
    answer = device.post("/incidents", {**OVERHEATED, **changes})
    assert answer.status_code == 200 and set(answer.json()) == {"incident_id"}
    return str(answer.json()["incident_id"])


def titles(device: Device) -> list[str]:
    return [item["title"] for item in device.get("/incidents").json()]


# ---- incidents


def test_an_incident_is_listed_as_the_vendor_shows_it(bench: Bench, device: Device) -> None:
    incident_id = opened(device)
    assert device.get("/incidents").json() == [
        {
            "id": incident_id, "device_id": device.id, "status": "active", **OVERHEATED,
            "created_at": "2026-11-21T12:00:00.000Z", "updated_at": "2026-11-21T12:00:00.000Z",
        }
    ]  # fmt: skip
    (shown,) = bench.items(f"{DEVICES}/{device.id}/incidents")
    assert (shown["id"], shown["opened_by"]) == (incident_id, "device")
    body = {"kind": "incident", "transport": "http"}
    assert [{**item, "bytes": None} for item in bench.activities(device.id, "upstreamMessage")] == [{**body, "bytes": None}]


def test_issue_and_description_may_be_absent(device: Device) -> None:
    assert device.post("/incidents", {"title": "x", "priority": "low"}).status_code == 200
    (shown,) = device.get("/incidents").json()
    assert (shown["issue"], shown["description"]) == (None, None)


@pytest.mark.parametrize("priority", ["critical", "high", "moderate", "low", "planning"])
def test_every_priority_of_the_vendor_is_taken(device: Device, priority: str) -> None:
    opened(device, priority=priority)
    assert device.get("/incidents").json()[0]["priority"] == priority


@pytest.mark.parametrize(
    "changes",
    [
        {"title": None}, {"title": ""}, {"title": 5}, {"title": "x" * 256}, {"issue": []}, {"issue": "x" * 256}, {"priority": None},
        {"priority": "urgent"}, {"priority": ["low"]}, {"priority": {}}, {"description": 5}, {"description": "x" * 4097},
    ],
)  # fmt: skip
def test_an_incident_with_a_bad_value_is_422_and_not_kept(device: Device, changes: dict[str, Any]) -> None:
    answer = device.post("/incidents", {**OVERHEATED, **changes})
    assert answer.status_code == 422 and answer.json()["error"].startswith("Invalid ")
    assert titles(device) == [] and len(device.refusals()) == 1


def test_a_device_closes_one_and_once_more_changes_nothing(bench: Bench, device: Device) -> None:
    first, second = opened(device, title="first"), opened(device, title="second")
    bench.now += 60
    for _ in range(2):
        answer = device.call("DELETE", f"/incidents/{first}")
        assert (answer.status_code, answer.json()) == (200, {"success": True})
        bench.now += 60
    assert titles(device) == ["second"]
    listed = bench.items(f"{DEVICES}/{device.id}/incidents")
    assert [(item["id"], item["status"], item["updated_at"][11:16]) for item in listed] == [
        (second, "active", "12:00"), (first, "closed", "12:01"),
    ]  # fmt: skip


def test_after_a_restart_a_device_clears_what_it_opened_itself(bench: Bench, device: Device) -> None:
    opened(device, title="mine")
    opened(device, title="mine too")
    bench.operator("POST", f"{DEVICES}/{device.id}/incidents", {"title": "the operator's", "priority": "low"})
    assert titles(device) == ["mine", "mine too", "the operator's"]
    assert device.call("DELETE", "/incidents").json() == {"success": True}
    assert titles(device) == ["the operator's"]
    assert device.call("DELETE", "/incidents").json() == {"success": True}


def test_a_device_closes_what_the_operator_opened(bench: Bench, device: Device) -> None:
    made = bench.operator("POST", f"{DEVICES}/{device.id}/incidents", {"title": "x", "priority": "low"}, status=201)
    assert made["opened_by"] == "operator"
    assert device.call("DELETE", f"/incidents/{made['id']}").status_code == 200
    assert titles(device) == []


@pytest.mark.parametrize("incident_id", [UNKNOWN, "x", "%00", "é"])
def test_an_unknown_incident_is_404(bench: Bench, device: Device, incident_id: str) -> None:
    answer = device.call("DELETE", f"/incidents/{incident_id}")
    assert (answer.status_code, answer.json()) == (404, {"error": "Incident not found"})
    bench.operator("DELETE", f"{INCIDENTS}/{incident_id}", status=404)


def test_a_body_that_is_no_json_is_400_also_where_none_is_needed(device: Device) -> None:
    for method, path in (("POST", "/incidents"), ("DELETE", "/incidents"), ("DELETE", f"/incidents/{UNKNOWN}"), ("POST", "/events")):
        assert device.call(method, path, b"{").status_code == 400, (method, path)
    for path in ("/incidents", "/events"):
        assert device.post(path, b"").status_code == 400


def test_nothing_is_kept_of_an_unclaimed_device_and_it_is_answered_all_the_same(bench: Bench) -> None:
    device = bench.device(claimed=False)
    opened(device)
    assert titles(device) == []
    assert device.post("/events", DOOR).json() == {"status": True}
    assert bench.items(f"{DEVICES}/{device.id}/events") == []
    assert device.post("/incidents", {}).status_code == 422
    assert device.post("/events", {}).status_code == 422


def test_a_device_that_suspends_the_creation_of_incidents_makes_none(device: Device) -> None:
    device.call("PUT", "/cloud_settings", {"incidents.suspend_creation": True})
    opened(device)
    assert titles(device) == []
    device.call("PUT", "/cloud_settings", {"property": "incidents.suspend_creation", "value": False})
    opened(device)
    assert len(titles(device)) == 1


def test_open_incidents_are_bounded_and_of_the_closed_the_oldest_go(bench: Bench, device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incidents, "OPEN_MAX", 3)
    monkeypatch.setattr(incidents, "CLOSED_MAX", 2)
    made = [opened(device, title=str(n)) for n in range(3)]
    refused = device.post("/incidents", OVERHEATED)
    assert refused.status_code == 422 and "3 open incidents" in refused.json()["error"]
    for incident_id in reversed(made):
        assert device.call("DELETE", f"/incidents/{incident_id}").status_code == 200
    assert [item["title"] for item in bench.items(f"{DEVICES}/{device.id}/incidents")] == ["2", "1"]
    for n in range(3):
        opened(device, title=f"later {n}")
    device.call("DELETE", "/incidents")
    assert [item["title"] for item in bench.items(f"{DEVICES}/{device.id}/incidents")] == ["later 2", "later 1"]


def test_the_operator_lists_those_of_all_devices_chosen_and_paged(bench: Bench, device: Device) -> None:
    others = bench.device()
    opened(others, priority="planning", title="theirs")
    closed = opened(device, priority="planning", title="closed")
    opened(device, priority="planning", title="mine")
    assert bench.operator("DELETE", f"{INCIDENTS}/{closed}")["status"] == "closed"
    page = bench.operator("GET", INCIDENTS, params={"priority": "planning", "status": "active", "limit": 1})
    assert ([item["title"] for item in page["items"]], page["has_next_page"]) == (["mine"], True)
    page = bench.operator("GET", INCIDENTS, params={"priority": "planning", "status": "active", "limit": 1, "offset": 1})
    assert page["items"][0]["title"] == "theirs"
    assert [item["title"] for item in bench.items(f"{DEVICES}/{device.id}/incidents", status="closed")] == ["closed"]
    for query in ({"status": "open"}, {"priority": "x"}, {"limit": 0}):
        bench.operator("GET", INCIDENTS, params=query, status=422)
    for method in ("GET", "POST"):
        bench.operator(method, f"{DEVICES}/{UNKNOWN}/incidents", OVERHEATED if method == "POST" else None, status=404)


def test_a_deleted_device_leaves_no_incidents_and_no_events(bench: Bench, device: Device) -> None:
    incident_id = opened(device)
    device.post("/events", DOOR)
    device.call("DELETE")
    bench.operator("DELETE", f"{INCIDENTS}/{incident_id}", status=404)
    bench.operator("GET", f"{DEVICES}/{device.id}/events", status=404)


# ---- events


def test_an_event_of_the_reference_is_kept_as_it_was_sent(bench: Bench, device: Device) -> None:
    answer = device.post("/events", DOOR)
    assert (answer.status_code, answer.json()) == (200, {"status": True})
    (kept,) = bench.items(f"{DEVICES}/{device.id}/events")
    del kept["seq"]
    assert kept == {**DOOR, "received_at": "2026-11-21T12:00:00.000Z"}


def test_an_event_needs_a_name_and_a_category_and_gets_the_hubs_time(bench: Bench, device: Device) -> None:
    assert device.post("/events", {"name": "x", "category": "y", "unknown": "ignored"}).json() == {"status": True}
    (kept,) = bench.items(f"{DEVICES}/{device.id}/events")
    assert (kept["timestamp"], kept["int_key_1"], kept["string_key_2"]) == ("2026-11-21T12:00:00.000Z", None, None)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": None}, {"name": ""}, {"name": "x" * 256}, {"name": 5}, {"category": None}, {"category": "x" * 256}, {"int_key_1": "5"},
        {"int_key_1": 2**31}, {"int_key_2": -(2**31) - 1}, {"int_key_2": 1.5}, {"int_key_1": True}, {"string_key_1": "x" * 256},
        {"string_key_2": 5}, {"timestamp": "yesterday"}, {"timestamp": 5},
    ],
)  # fmt: skip
def test_an_event_with_a_bad_value_is_422_and_not_kept(bench: Bench, device: Device, changes: dict[str, Any]) -> None:
    answer = device.post("/events", {**DOOR, **changes})
    assert answer.status_code == 422 and answer.json()["error"].startswith("Invalid ")
    assert bench.items(f"{DEVICES}/{device.id}/events") == [] and len(device.refusals()) == 1


def test_the_log_is_bounded_newest_first_and_paged(bench: Bench, device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "EVENTS_MAX", 5)
    other = bench.device()
    other.post("/events", DOOR)
    for n in range(8):
        device.post("/events", {"name": str(n), "category": "y"})
    path = f"{DEVICES}/{device.id}/events"
    page = bench.items(path, limit=2)
    assert [item["name"] for item in page] == ["7", "6"]
    assert [item["name"] for item in bench.items(path, before=page[-1]["seq"])] == ["5", "4", "3"]
    assert [item["name"] for item in bench.items(path, limit=2, offset=3)] == ["4", "3"]
    assert len(bench.items(f"{DEVICES}/{other.id}/events")) == 1


# ---- the operator as a client


def test_the_operators_client_sees_and_closes(board: Board) -> None:
    board.claim()
    board.post("/events", DOOR)
    board.post("/incidents", OVERHEATED)
    operator = board.hub.operator
    made = operator.open_incident(board.id, "from outside", "high", issue="seen")
    assert [item["title"] for item in operator.incidents(board.id)] == ["from outside", OVERHEATED["title"]]
    assert operator.close_incident(made["id"])["status"] == "closed"
    assert operator.events(board.id)[0]["name"] == "door_opened"
    assert operator.events(board.id, before=operator.events(board.id)[0]["seq"]) == []
    with pytest.raises(HubError, match="404"):
        operator.close_incident(UNKNOWN)
