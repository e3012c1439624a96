"""What goes wrong with Wi-Fi, on virtual boards with the real agent: each comes back by itself, is said on the console, and the next
heartbeat that arrives tells the reason.

The boards' clock runs SPEED times as fast as ours, so that an agent's minutes are seconds here. A part of the cases each time, all of them
with REDPOLL_LONG=1.
"""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from long_run import LONG
from operator_side import Eventually

from tools.board.process import Board
from tools.hub.process import HubProcess

SPEED = 20
MAIN = """import time
from redpoll import Agent
from redpoll.clock import Clock

def ticks():
    return time.ticks_add(0, time.ticks_diff(time.ticks_ms(), start) * SPEED)

start = time.ticks_ms()
agent = Agent(clock=Clock(ticks))

@agent.sensor(every=30)
def count():
    global n
    n += 1
    return {"n": n}

n = 0
MORE
while True:
    time.sleep_ms(agent.poll() // SPEED)
"""
# what is wrong with the network, and what the agent calls it
FAULTS = {
    "off": "no such access point",
    "wrong-password": "wrong password",
    "no-dhcp": "no address from its DHCP server",
    "no-dns": "the host name was not found",
    "captive-portal": "a sign-in page or a proxy is in between|ECONNRESET",  # over MQTT it can only be seen that it ends the connection
}
CHIPS = ("esp32", "rpi_pico_w")
TRANSPORTS = ("mqtt", "http")
CASES = [(chip, transport, fault) for chip in CHIPS for transport in TRANSPORTS for fault in FAULTS]
CASES = CASES if LONG else [("esp32", "mqtt", "off"), ("rpi_pico_w", "http", "captive-portal")]
HEAP = "256K"  # the agent is here as files, not in the firmware


@pytest.fixture
def link() -> str:
    return "mqtt-embedded"


@pytest.fixture
def start(hub: HubProcess, make_stopped_board: Callable[..., Board], tmp_path: Path) -> Callable[..., Board]:
    """start(chip, ...): a board that is on, with these settings; its clock runs `speed` times as fast, `more` is code of its program."""

    def make(chip: str, speed: int = SPEED, more: str = "", **settings: Any) -> Board:
        main = tmp_path / "main.py"
        main.write_text(MAIN.replace("SPEED", str(speed)).replace("MORE", more))
        told = {"entry": hub.entry_url, "sn": "S1", "wifi_ssid": "hall", "wifi_password": "password-1", "ntp": "off"} | settings
        return make_stopped_board(told, main=main, board=chip, heap=HEAP).start()

    return make


def readings(hub: HubProcess) -> dict[str, Any]:
    """The latest state that the hub knows of the board."""
    device = next(iter(hub.operator.devices()), None)
    found: dict[str, Any] = hub.operator.telemetry(device["id"])["telemetries"] if device else {}
    return found


@pytest.mark.parametrize(("chip", "transport", "fault"), CASES)
def test_each_fault_is_said_comes_back_by_itself_and_is_in_the_next_heartbeat(
    chip: str, transport: str, fault: str, hub: HubProcess, start: Callable[..., Board], eventually: Eventually
) -> None:
    board = start(chip, transport=transport)
    eventually(lambda: "wifi_drops" in readings(hub), what="the first heartbeat")
    since = board.line_count
    if fault in ("no-dns", "captive-portal"):  # as after a walk into another room
        board.wifi("off")
        board.wait_for("Wi-Fi hall: (the connection was lost|no such access point); again in", 20, since)
    board.wifi(fault)
    why = FAULTS[fault]
    board.wait_for(f"warning: .*({why}).*; again in", 30, since)
    board.wifi("on")
    told = eventually(lambda: (found := readings(hub).get("link_trouble")) and re.search(why, found), 60, "the reason")
    assert told
    eventually(lambda: readings(hub)["spool_depth"] == 0, 30, "the messages that waited")
    assert readings(hub)["spool_dropped"] == 0
    assert not board.crashed and "password-1" not in "\n".join(board.lines)


@pytest.mark.skipif(not LONG, reason="REDPOLL_LONG=1")
@pytest.mark.parametrize("chip", CHIPS)
def test_an_access_point_that_is_gone_for_an_hour_costs_no_message(
    chip: str, hub: HubProcess, start: Callable[..., Board], eventually: Eventually
) -> None:
    speed = 60
    board = start(chip, speed)
    eventually(lambda: readings(hub).get("n"), what="the first reading")
    board.wifi("off")
    began = time.monotonic()
    eventually(lambda: time.monotonic() - began >= 3600 / speed, 90, "an hour of the board")
    board.wifi("on")
    eventually(lambda: readings(hub).get("link_trouble", "").endswith("no such access point"), 30, "the reason")
    eventually(lambda: readings(hub)["spool_depth"] == 0, 60, "the messages that waited")
    assert readings(hub)["spool_dropped"] == 0
    device = hub.operator.devices()[0]["id"]
    counts = sorted(telemetry["n"] for one in hub.operator.history(device, limit=1000) if "n" in (telemetry := one["telemetries"]))
    assert counts == list(range(1, counts[-1] + 1)) and counts[-1] >= 100


@pytest.mark.skipif(not LONG, reason="REDPOLL_LONG=1")
@pytest.mark.parametrize("chip", CHIPS)
def test_an_ntp_server_that_cannot_be_reached_is_said_and_asked_again(
    chip: str, hub: HubProcess, start: Callable[..., Board], eventually: Eventually
) -> None:
    # in real time: what the hub stores last is what is newest by the board's clock, which is set here
    board = start(chip, 1, "agent.every(2, 'heartbeat')", ntp="time.example")
    board.air.ntp = False
    board.wait_for("warning: NTP time.example: no answer; again in", 60)
    eventually(lambda: readings(hub).get("ntp_trouble") == "NTP time.example: no answer", 60, "the reason")
    board.air.ntp = True
    board.wait_for("the time is from time.example", 60)
    eventually(lambda: readings(hub).get("ntp_trouble") is None, 60, "an end of it in the heartbeat")
