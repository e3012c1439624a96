"""The main job: a board (the firmware in the real VM, on a real LittleFS) and the hub, over every transport and broker."""

from collections.abc import Callable
from typing import Any

from operator_side import Eventually, ended, registered

from tools.board.process import Board
from tools.hub.process import HubProcess

MakeBoard = Callable[..., Board]


def history(hub: HubProcess, device: dict[str, Any]) -> list[dict[str, Any]]:
    return hub.operator.history(device["id"])


def test_a_fresh_board_registers_and_its_measurements_arrive(hub: HubProcess, make_board: MakeBoard, eventually: Eventually) -> None:
    board = make_board(sn="S1")
    device = registered(hub, eventually)
    messages = eventually(lambda: m if len(m := history(hub, device)) >= 3 else None, what="three messages")
    state = hub.operator.telemetry(device["id"])
    assert state["status"] == "online"
    assert state["telemetries"]["host_uptime_s"] > 0
    assert messages[0]["timestamp"].endswith("Z")
    assert board.running


def test_a_configuration_is_applied_and_confirmed(hub: HubProcess, make_board: MakeBoard, eventually: Eventually) -> None:
    board = make_board(sn="S1")
    device = registered(hub, eventually)
    version = hub.operator.configure(device["id"], {"interval": 7, "label": "hall"})["config_version"]
    board.wait_for(r"applied 7 hall", 20)
    eventually(lambda: hub.operator.device(device["id"])["device_config_version"] == version, what="confirmation")
    assert hub.operator.device(device["id"])["configuration"] == {"interval": 7, "label": "hall"}
    assert hub.operator.device(device["id"])["config_version"] == version


def test_a_refused_configuration_shows_what_is_in_force_and_why(hub: HubProcess, make_board: MakeBoard, eventually: Eventually) -> None:
    board = make_board(sn="S1")
    device = registered(hub, eventually)
    hub.operator.configure(device["id"], {"interval": 7})
    board.wait_for(r"applied 7", 20)
    for values, reason in (({"interval": 0}, "interval must be"), ({"interval": 9, "label": "refuse me"}, "this label is refused")):
        hub.operator.configure(device["id"], values)
        eventually(lambda: hub.operator.device(device["id"])["configuration"] == {"interval": 7}, what="the old values")
        eventually(
            lambda reason=reason: any(reason in (m.get("message") or "") for m in history(hub, device)), what="the reason in telemetry"
        )


def test_commands_run_once_in_order_and_are_reported(hub: HubProcess, make_board: MakeBoard, eventually: Eventually) -> None:
    board = make_board(sn="S1")
    device = registered(hub, eventually)
    queued = [hub.operator.command(device["id"], "count", {"step": step}) for step in (1, 2, 3)]
    queued.append(hub.operator.command(device["id"], "dance"))
    queued.append(hub.operator.command(device["id"], "count", {"pace": 1}))
    results = [eventually(lambda c=command: ended(hub, device, c), what="the command's end") for command in queued]
    assert [r["message"] for r in results[:3]] == ["counted to 1", "counted to 3", "counted to 6"]
    assert [r["status"] for r in results[:3]] == ["done"] * 3
    assert all(r["status"] == "failed" for r in results[3:])
    assert "no command 'dance'" in results[3]["message"]
    assert "pace" in results[4]["message"]
    assert sum("counted to" in line and "command" not in line for line in board.lines) == 3


def test_what_was_missed_while_the_power_was_off_is_in_the_snapshot(hub: HubProcess, make_board: MakeBoard, eventually: Eventually) -> None:
    board = make_board(sn="S1")
    device = registered(hub, eventually)
    eventually(lambda: history(hub, device), what="telemetry")
    board.kill()
    hub.operator.configure(device["id"], {"interval": 8})
    hub.operator.configure(device["id"], {"interval": 9})
    command = hub.operator.command(device["id"], "count")
    board.start()
    board.wait_for(r"applied 9", 20)
    eventually(lambda: ended(hub, device, command), what="the command's end")
    assert not any("applied 8" in line for line in board.lines)
    assert [d["id"] for d in hub.operator.devices()] == [device["id"]]


def test_a_hub_that_restarts_finds_the_board_again(hub: HubProcess, link: str, make_board: MakeBoard, eventually: Eventually) -> None:
    board = make_board(sn="S1")
    device = registered(hub, eventually)
    eventually(lambda: history(hub, device), what="telemetry")
    hub.stop()
    if link != "mqtt-mosquitto":  # there the broker stays, and the board notices nothing
        board.wait_for(r"warning: link", 30)
    hub.start()
    before = len(history(hub, device))
    eventually(lambda: len(history(hub, device)) > before + 2, timeout=45, what="telemetry after the restart")
    version = hub.operator.configure(device["id"], {"interval": 5})["config_version"]
    eventually(lambda: hub.operator.device(device["id"])["device_config_version"] == version, what="configuration after the restart")
    assert [d["id"] for d in hub.operator.devices()] == [device["id"]]


def test_a_removed_device_registers_again(hub: HubProcess, make_board: MakeBoard, eventually: Eventually) -> None:
    board = make_board(sn="S1", snapshot_every=10)
    device = registered(hub, eventually)
    eventually(lambda: history(hub, device), what="telemetry")
    hub.operator.delete(device["id"])
    board.wait_for(r"does not know this device", 60)
    again = registered(hub, eventually)
    assert again["id"] != device["id"]
    eventually(lambda: history(hub, again), what="telemetry of the new device")


def test_space_and_firmware_notices_reach_the_product(hub: HubProcess, make_board: MakeBoard, eventually: Eventually) -> None:
    board = make_board(sn="S1", hardware_key="weather-1")
    device = registered(hub, eventually)
    hub.operator.set_space("hall-3", name="Hall 3")
    hub.operator.claim(sn="S1", mac="S1", name="first", space_id="hall-3")
    board.wait_for(r"space Hall 3", 30)
    hub.operator.set_model("weather-1", latest_fw_version="9.0.0", latest_fw_file_id="f-1")
    board.wait_for(r"firmware 9.0.0", 30)
    assert hub.operator.device(device["id"])["space_data_version"] > 0


def test_two_boards_do_not_hear_each_others_commands(hub: HubProcess, make_board: MakeBoard, eventually: Eventually) -> None:
    first, second = make_board(sn="S1"), make_board(sn="S2")
    device = registered(hub, eventually, "S1")
    registered(hub, eventually, "S2")
    command = hub.operator.command(device["id"], "count", {"step": 5})
    eventually(lambda: ended(hub, device, command), what="the command's end")
    assert any("counted to 5" in line for line in first.lines)
    assert not any("counted" in line for line in second.lines)
