"""A board whose MicroPython has the agent frozen in, an ESP32 without PSRAM: deployed over its serial port, then updated over the air."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tools import keys
from tools.board.process import Board
from tools.bundle.command import build
from tools.cli import main as redpoll
from tools.frozen.build import find_frozen_vm
from tools.hub.process import HubProcess

MAIN = """import gc
from redpoll import Agent
agent = Agent(version="{version}")

@agent.sensor(every=1)
def memory():
    gc.collect()
    return {{"free": gc.mem_free()}}

@agent.config(colour=(str, 0, 16))
def apply(config):
    print("colour", config.get("colour"))

@agent.command("blink", times=(int, 1, 9))
def blink(times=1):
    return "blinked %d times" % times

agent.run()
"""


def products(folder: Path) -> dict[str, Path]:
    """Folders of a product by version."""
    made = {}
    for version in ("1.0.0", "1.1.0"):
        made[version] = folder / f"product-{version}"
        made[version].mkdir()
        (made[version] / "main.py").write_text(MAIN.format(version=version))
    return made


@pytest.fixture
def link() -> str:
    return "mqtt-embedded"


@pytest.mark.skipif(find_frozen_vm() is None, reason="no MicroPython with this agent frozen in: make frozen")
def test_an_esp32_without_psram_does_everything_over_mqtt(
    hub: HubProcess,
    make_stopped_board: Callable[..., Board],
    eventually: Callable[..., Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    figure: Callable[[str], None],
) -> None:
    private = tmp_path / "key.pem"
    keys.make_private(private)
    versions = products(tmp_path)
    settings = {"entry": hub.entry_url, "sn": "S1", "update_key": keys.public_pem(keys.load_private(private)), "snapshot_every": 10}
    board = make_stopped_board(board="esp32", bare=True, terminal=tmp_path / "tty", frozen_agent=True)
    board.write_file("/settings.json", json.dumps(settings).encode())
    with board:
        assert redpoll(["deploy", "--port", str(tmp_path / "tty"), "--frozen-agent", str(versions["1.0.0"])]) == 0
        told = capsys.readouterr().out
        assert "3 files sent" in told and "warning" not in told  # main.py, board.mpy, parts.mpy
        device = eventually(lambda: next(iter(hub.operator.devices()), None), what="registration")["id"]
        eventually(lambda: hub.operator.telemetry(device)["telemetries"], what="telemetry")
        hub.operator.configure(device, {"colour": "green"})
        board.wait_for("^colour green$", 20)
        blink = hub.operator.command(device, "blink", {"times": 3})

        def done(command: dict[str, Any]) -> Any:
            now = hub.operator.get_command(device, command["id"])
            return now["status"] in ("done", "error", "failed") and now

        assert eventually(lambda: done(blink), what="the command's end")["message"] == "blinked 3 times"

        bundle = build(versions["1.1.0"], private, "1.1.0", board="esp32", frozen=True)
        file = hub.operator.upload_file(bundle, "bundle.zip", version="1.1.0")
        update = hub.operator.command(device, "update_firmware", file_id=file["id"])
        result = eventually(lambda: done(update), 60, "the update's end")
        assert (result["status"], result["message"]) == ("done", "version 1.1.0 runs")
        free = eventually(lambda: hub.operator.telemetry(device)["telemetries"].get("free"), what="telemetry of the new version")
    figure(f"ESP32 without PSRAM, agent frozen in, after an update over MQTT: {free:,} of {board.heap} free")
