"""What an operator sees of a device that does not do well: problems, how far a configuration has come, whether it is there."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from databases import locked, sqlite_only
from hub_support import Board, MqttBoard
from sqlalchemy.exc import OperationalError
from waiting import DEADLINE, wait_for
from xyte_bench import DEVICES, NOON, OPERATOR, Bench, Device

from tools.hub.domain import presence
from tools.hub.server import serving
from tools.hub.store import database
from tools.hub.tasks import cancel


def shown(device: Device) -> dict[str, Any]:
    found: dict[str, Any] = device.bench.operator("GET", f"{DEVICES}/{device.id}")
    return found


def problems(device: Device) -> dict[str, str]:
    return {item["kind"]: item["reason"] for item in shown(device)["problems"]}


def assert_silent_after(bench: Bench, device: Device, first: int, then: int) -> None:
    """After the first seconds it is still there, after these too it is silent."""
    bench.now += first
    bench.sweep()
    assert problems(device) == {} and shown(device)["online"]
    bench.now += then
    bench.sweep()
    assert problems(device) == {"connection": "silent for 180 s"}


def configure(device: Device, values: dict[str, Any]) -> int:
    answer = device.bench.operator("PATCH", f"{DEVICES}/{device.id}", {"configuration": values})
    return int(answer["config_version"])


def test_a_refused_configuration_is_told_and_shown_until_the_operator_gives_another(bench: Bench, device: Device) -> None:
    assert shown(device)["configuration_state"] == "none"
    version = configure(device, {"interval": 1})
    assert shown(device)["configuration_state"] == "pending"
    device.post("/config", {"version": version, "interval": 60})
    view = shown(device)
    assert (view["configuration_state"], view["configuration"], view["config_version"]) == ("refused", {"interval": 60}, version + 1)
    assert problems(device) == {"configuration": "version 1 is refused: the device keeps its own configuration, which is version 2"}
    told = {"by": "device", "changed": "configuration", "version": "2", "refused": "1"}
    assert told in bench.activities(device.id, "deviceUpdated")
    device.post("/config", {"version": version + 1, "interval": 60})
    assert shown(device)["configuration_state"] == "refused"
    version = configure(device, {"interval": 90})
    assert shown(device)["configuration_state"] == "pending"
    device.post("/config", {"version": version, "interval": 90})
    assert (shown(device)["configuration_state"], problems(device)) == ("applied", {})


def test_a_device_that_changes_what_it_has_confirmed_has_refused_nothing(bench: Bench, device: Device) -> None:
    version = configure(device, {"interval": 5})
    device.post("/config", {"version": version, "interval": 5})
    device.post("/config", {"version": version, "interval": 7})
    assert (shown(device)["configuration_state"], problems(device)) == ("applied", {})
    assert bench.activities(device.id, "deviceUpdated")[-1] == {"by": "device", "changed": "configuration", "version": "2"}


def test_a_message_that_the_hub_refuses_is_a_problem_until_one_of_its_kind_is_taken(device: Device) -> None:
    refused = device.post("/telemetry", {"telemetries": {"speed": []}})
    assert refused.status_code == 422
    device.post("/events", {"name": 5})
    assert problems(device) == {"refused telemetry": refused.json()["error"], "refused event": device.refusals()[-1]}
    device.post("/telemetry", {"telemetries": {"speed": 1}})
    assert list(problems(device)) == ["refused event"]
    assert device.post("/dumps/x", b"1").status_code == 422
    assert "refused dump" in problems(device)
    device.post("/dumps/text%2Ftxt/a", b"1")
    assert list(problems(device)) == ["refused event"]


def test_who_has_not_shown_the_key_leaves_no_problem(bench: Bench, device: Device) -> None:
    bench.call("POST", f"{device.base}/telemetry", "wrong", {"telemetries": {"speed": []}})
    assert device.refusals() == ["Not authorized"]
    assert problems(device) == {}


def test_what_the_device_says_is_wrong_is_shown(bench: Bench, device: Device) -> None:
    device.post("/telemetry", {"status": "error", "telemetries": {"input": "Unknown"}, "message": "Unknown input connected"})
    assert problems(device) == {"status": "Unknown input connected", "message": "Unknown input connected"}
    bench.now += 1
    device.post("/telemetry", {"status": "online"})
    assert shown(device)["problems"] == [{"kind": "message", "reason": "Unknown input connected", "at": "2026-11-21T12:00:00.000Z"}]
    device.post("/telemetry", {"status": "error"})
    assert [item["kind"] for item in shown(device)["problems"]] == ["status", "message"], "the newest first"


def test_a_command_that_failed_and_a_licence_that_could_not_be_used_are_shown(bench: Bench, device: Device) -> None:
    first, second = bench.command(device, "blink")["id"], bench.command(device, "blink")["id"]
    device.post("/command", {"id": first, "status": "failed", "message": "times must be from 1 to 10"})
    license = bench.operator("POST", f"{OPERATOR}/devices/{device.id}/licenses", {"name": "recording"})["id"]
    device.post("/licenses", {"id": license, "state": "error"})
    assert problems(device) == {"command": "blink: times must be from 1 to 10", "license": "recording: the device gave no reason"}
    device.post("/command", {"id": second, "status": "done"})
    bench.operator("PUT", f"{OPERATOR}/devices/{device.id}/licenses/{license}", {"expires_at": None})
    device.get("/licenses")
    device.post("/licenses", {"id": license, "state": "inuse"})
    assert problems(device) == {}


def test_a_reason_is_bounded(device: Device) -> None:
    device.post("/telemetry", {"message": "x" * 5000})
    assert problems(device)["message"] == "x" * 500


def test_the_operator_takes_note_and_they_are_gone(bench: Bench, device: Device) -> None:
    device.post("/telemetry", {"message": "the door is open"})
    assert bench.operator("DELETE", f"{DEVICES}/{device.id}/problems")["problems"] == []
    assert problems(device) == {}
    assert bench.call("DELETE", f"{DEVICES}/00000000-0000-0000-0000-000000000000/problems").status_code == 404


def test_the_problems_of_a_child_are_the_childs(device: Device) -> None:
    child = Device(device.bench, *device.post("/children", {"model_id": "m", "firmware_version": "1"}).json().values(), "m")
    device.post("/children/telemetries", {child.id: {"telemetries": {"speed": []}}})
    assert list(problems(child)) == ["refused telemetry"] and problems(device) == {}
    device.post("/children/telemetries", {child.id: {"telemetries": {"speed": 1}}})
    assert problems(child) == {}


@pytest.mark.parametrize(
    ("says", "there", "status"),
    [
        (None, True, "online"),
        ("online", True, "online"),
        ("error", True, "error"),
        ("online", False, "offline"),
        ("error", False, "offline"),
    ],
)
def test_status_is_what_the_device_says_while_the_hub_hears_of_it(
    bench: Bench, device: Device, says: str | None, there: bool, status: str
) -> None:
    device.post("/telemetry", {} if says is None else {"status": says})
    if not there:
        bench.now += 1000
        bench.sweep()
    view = shown(device)
    assert (view["status"], view["reported_status"], view["online"]) == (status, says, there)
    assert view["last_seen_at"] == "2026-11-21T12:00:00.000Z"


def test_a_device_that_never_called_is_offline(bench: Bench, device: Device) -> None:
    view = shown(device)
    assert (view["status"], view["reported_status"], view["online"], view["last_seen_at"]) == ("offline", None, False, None)


def test_silence_is_a_problem_until_the_next_sign_of_life(bench: Bench, device: Device) -> None:
    device.post("/telemetry", {})
    bench.now = NOON + 1000
    bench.sweep()
    assert problems(device) == {"connection": "silent for 180 s"}
    device.get("/config")
    assert problems(device) == {}


def test_a_clock_that_is_set_forward_makes_nobody_silent(bench: Bench, device: Device) -> None:
    """A hub that gets its time from the network some time after its start; a machine that slept."""
    device.post("/telemetry", {})
    bench.set_clock(86_400)
    bench.sweep()
    assert_silent_after(bench, device, 170, 20)


@sqlite_only
@pytest.mark.parametrize("begun", [200, 0])
def test_a_database_that_was_away_makes_nobody_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: int) -> None:
    """What devices said meanwhile waits in the broker and in them; and so it is while the hub has not yet heard long enough itself."""
    monkeypatch.setattr(database, "WAIT_SECONDS", 0.05)
    bench = Bench(tmp_path)
    device = bench.device()
    bench.now += begun
    device.post("/telemetry", {})
    bench.now += 170
    with locked(tmp_path / "hub.sqlite"), pytest.raises(OperationalError):
        bench.sweep()
        bench.prune()
    assert_silent_after(bench, device, 30, 160)
    bench.close()


def test_an_outage_in_which_nothing_can_even_be_read_is_noted_too(bench: Bench, device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a PostgreSQL that is gone; of a locked SQLite one can read."""

    async def gone(*_: object) -> None:
        raise OperationalError("SELECT", {}, Exception("server closed the connection unexpectedly"))

    device.post("/telemetry", {})
    bench.now += 170
    with monkeypatch.context() as patch, pytest.raises(OperationalError):
        patch.setattr(bench.hub.store, "read", gone)
        patch.setattr(bench.hub.store, "write", gone)
        bench.prune()
    assert_silent_after(bench, device, 30, 160)


def test_a_hub_that_was_away_makes_nobody_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path)
    device = bench.device()
    device.post("/telemetry", {})
    bench.close()
    monkeypatch.setattr("xyte_bench.NOON", NOON + 3600)
    bench = Bench(tmp_path)
    device = Device(bench, device.id, device.key, device.model)
    assert_silent_after(bench, device, 30, 160)
    bench.close()


def test_a_clock_that_is_set_back_keeps_nobody_online_who_is_gone(bench: Bench, device: Device) -> None:
    device.post("/telemetry", {})
    bench.set_clock(-86_400)
    for _ in range(15):
        bench.sweep()
        bench.now += 30
    assert not shown(device)["online"]


def test_a_clock_that_is_set_back_refuses_nobody_for_what_he_did_before(tmp_path: Path) -> None:
    bench = Bench(tmp_path, rate_limit=20)
    device = bench.device()
    for n in range(10):
        assert device.call("PUT", body={"name": f"name {n}"}).status_code == 200
    assert device.call("PUT", body={"name": "once more"}).status_code == 429
    for _ in range(20):
        device.get()
    bench.set_clock(-86_400)
    assert device.call("PUT", body={"name": "after that"}).status_code == 200
    bench.close()


def test_a_session_that_ends_as_it_should_is_none(bench: Bench, device: Device) -> None:
    for reason, seen in (("disconnected", {}), ("connection lost", {"connection": "connection lost"})):
        bench.do(lambda unit: presence.session_up(unit, device.id))
        bench.do(lambda unit, reason=reason: presence.session_down(unit, device.id, reason))  # type: ignore[misc]
        assert problems(device) == seen


def test_over_mqtt_it_is_the_same(board: Board, mqtt: MqttBoard) -> None:
    operator = board.hub.operator
    mqtt.send("telemetry", {"telemetries": {"speed": []}})
    mqtt.send("config/update", {"version": "x"})
    mqtt.send("telemetry", {"telemetries": {"speed": 1}}, user=[("device_id", board.id), ("access_key", "wrong")])
    wait_for(lambda: len(board.refusals()) == 3, "the refusals")
    assert {item["kind"] for item in operator.device(board.id)["problems"]} == {"refused telemetry", "refused config"}
    version = operator.configure(board.id, {"interval": 1})["config_version"]
    mqtt.send("config/update", {"version": version, "interval": 60})
    wait_for(lambda: operator.device(board.id)["configuration_state"] == "refused", "the refusal")
    assert operator.clear_problems(board.id)["problems"] == []


def test_a_change_that_is_refused_in_part_is_refused_whole(bench: Bench, device: Device) -> None:
    before = shown(device)
    for body in ({"configuration": {"a": 1}, "name": ""}, {"configuration": {"a": 1}, "space_id": []}, {"name": "x", "configuration": []}):
        assert bench.call("PATCH", f"{DEVICES}/{device.id}", body=body).status_code == 422
    assert shown(device) == before


@pytest.mark.parametrize(("offline_after", "before", "still"), [(180, 0, 600), (8, 4, 6)])
def test_a_hub_that_stood_still_makes_nobody_silent(
    bench: Bench, device: Device, monkeypatch: pytest.MonkeyPatch, offline_after: int, before: int, still: int
) -> None:
    """It was stopped, or its container was: what devices said meanwhile has not been read yet when it goes on."""
    monkeypatch.setattr(bench.hub, "settings", replace(bench.hub.settings, offline_after=offline_after))
    monkeypatch.setattr(serving, "_SWEEP_MAX_SECONDS", 0.01)
    bench.now += 200
    device.post("/telemetry", {})
    bench.now += before
    swept = asyncio.Event()
    sweep = bench.hub.sweep

    async def noted() -> None:
        await sweep()
        swept.set()

    monkeypatch.setattr(bench.hub, "sweep", noted)

    async def scenario() -> None:
        sweeping = asyncio.create_task(serving._sweep(bench.hub))
        await asyncio.sleep(0)
        bench.now += still
        await asyncio.wait_for(swept.wait(), DEADLINE)
        await cancel(sweeping)

    bench._loop.run_until_complete(scenario())
    assert problems(device) == {} and shown(device)["online"]
