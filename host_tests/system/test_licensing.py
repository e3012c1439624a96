"""Licences from the operator to the application: the hub signs, the board verifies, over every transport and broker."""

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from operator_side import Eventually, registered

from tools.board.process import Board
from tools.hub.process import HubProcess

MakeBoard = Callable[..., Board]
PRODUCT = """
from redpoll import Agent

agent = Agent()

@agent.sensor(every=1)
def licences():
    return {"pro": agent.licenses.valid("pro"), "names": ",".join(agent.licenses.names())}

agent.run()
"""


def in_days(days: float) -> str:
    when = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
    return when.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def test_a_licence_unlocks_survives_a_power_cut_is_renewed_and_removed(
    hub: HubProcess, make_board: MakeBoard, product: Path, eventually: Eventually
) -> None:
    board = make_board(main=product, sn="S1", license_key=hub.operator.license_key())
    device = registered(hub, eventually)["id"]

    def says(name: str, value: Any) -> bool:
        return bool(hub.operator.telemetry(device)["telemetries"].get(name) == value)

    def state(license_id: str) -> str:
        return str(next(x for x in hub.operator.licenses(device) if x["id"] == license_id)["state"])

    eventually(lambda: says("pro", False), what="the first telemetry")
    license_id = hub.operator.add_license(device, "pro", expires_at=in_days(1))["id"]
    eventually(lambda: says("pro", True), what="the licence at work")
    eventually(lambda: state(license_id) == "inuse", what="the device's answer")
    board.kill()
    board.start()
    eventually(lambda: says("names", "pro"), what="the licence after the power cut")
    hub.operator.renew_license(device, license_id, expires_at=in_days(30))
    eventually(lambda: state(license_id) == "inuse", what="the renewal's answer")
    hub.operator.remove_license(device, license_id)
    eventually(lambda: says("pro", False), what="the end of the licence")
    eventually(lambda: state(license_id) == "removed", what="the removal's answer")


@pytest.mark.parametrize("link", ["mqtt-embedded"], indirect=True)
def test_a_licence_of_another_key_is_an_error_with_its_reason(
    hub: HubProcess, make_board: MakeBoard, product: Path, eventually: Eventually
) -> None:
    make_board(main=product, sn="S1")
    device = registered(hub, eventually)["id"]
    hub.operator.add_license(device, "pro")
    refused = eventually(lambda: next((x for x in hub.operator.licenses(device) if x["state"] == "error"), None), what="the refusal")
    assert "license_key" in refused["error"]
    assert hub.operator.telemetry(device)["telemetries"].get("pro") is False
