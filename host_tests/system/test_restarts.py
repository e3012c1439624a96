"""A board that hangs, fails or is told to restart: it comes back by itself and says why."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from operator_side import Eventually, registered

from tools.board.process import Board
from tools.hub.process import HubProcess

MakeBoard = Callable[..., Board]

ONE_LINK = pytest.mark.parametrize("link", ["mqtt-embedded"], indirect=True)
PRODUCT = """
import time
from redpoll import Agent

agent = Agent()

@agent.sensor(every=1)
def alive():
    return {"alive": True}

@agent.command("hang")
def hang():
    while True:
        time.sleep_ms(100)

@agent.command("fail")
def fail():
    agent.telemetry.read = None

agent.run()
"""


def told(hub: HubProcess, device: dict[str, Any], key: str) -> Any:
    return hub.operator.telemetry(device["id"])["telemetries"].get(key)


def state_of(hub: HubProcess, device: dict[str, Any], command: dict[str, Any]) -> tuple[str, str]:
    now = hub.operator.get_command(device["id"], command["id"])
    return now["status"], now["message"]


@ONE_LINK
def test_the_watchdog_restarts_a_board_that_hangs(hub: HubProcess, make_board: MakeBoard, product: Path, eventually: Eventually) -> None:
    make_board(main=product, sn="S1")
    device = registered(hub, eventually)
    eventually(lambda: told(hub, device, "starts") == 1, what="the first heartbeat")
    command = hub.operator.command(device["id"], "hang")
    eventually(lambda: told(hub, device, "reset_cause") == "watchdog", timeout=60, what="the heartbeat after the restart")
    assert told(hub, device, "starts") == 2
    eventually(lambda: state_of(hub, device, command) == ("failed", "interrupted by a restart"), what="the command's end")


@ONE_LINK
def test_an_unhandled_exception_is_told_after_the_restart(
    hub: HubProcess, make_stopped_board: MakeBoard, product: Path, eventually: Eventually
) -> None:
    board = make_stopped_board({"entry": hub.entry_url, "sn": "S1", "watchdog": True}, main=product).start()
    device = registered(hub, eventually)
    hub.operator.command(device["id"], "fail")
    board.wait_for(r"Traceback", 20)
    board.restart()
    ended = re.compile("ended by .*TypeError: 'NoneType'", re.DOTALL)
    eventually(lambda: any(ended.search(m.get("message") or "") for m in hub.operator.history(device["id"])), what="the report")


def test_a_reboot_command_is_done_after_the_restart(hub: HubProcess, make_board: MakeBoard, product: Path, eventually: Eventually) -> None:
    board = make_board(main=product, sn="S1")
    device = registered(hub, eventually)
    command = hub.operator.command(device["id"], "reboot")
    board.wait_for(r"start 2, after hard_reset", 30)
    eventually(lambda: state_of(hub, device, command) == ("done", "restarted"), what="the command's end")
    assert sum("start 2" in line for line in board.lines) == 1


def test_a_dump_brings_the_log_to_the_hub_without_secrets(
    hub: HubProcess, make_board: MakeBoard, product: Path, eventually: Eventually
) -> None:
    make_board(main=product, sn="S1")
    device = registered(hub, eventually)
    command = hub.operator.command(device["id"], "dump")
    eventually(lambda: state_of(hub, device, command) == ("done", "uploaded"), what="the command's end")
    dump = hub.operator.dumps(device["id"])[0]
    assert dump["length"] > 100
    stored = next(path for path in (hub.data).rglob("*") if path.is_file() and b"registered as" in path.read_bytes()[:65536])
    text = stored.read_bytes()
    assert b"registering at" in text
    assert b"access_key" not in text
