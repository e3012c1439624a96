"""What `redpoll flash`, `provision` and `deploy` say when a board cannot be reached or has no room: what was wrong, and what to do."""

import contextlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from firmware_images import esp_firmware, uf2_firmware
from long_run import LONG
from serial.tools import list_ports, list_ports_common

from tools.board.named import VirtualBoard
from tools.board.process import Board
from tools.board.profile import Profile
from tools.cli import main as redpoll
from tools.deploy import product
from tools.deploy.connection import connect
from tools.deploy.errors import LinkError, Status

Flashed = Callable[..., Board]
Shown = pytest.CaptureFixture[str]

ENTRY = "http://hub.example/xyte"


@pytest.fixture(params=["flash", "provision", "deploy"])
def command(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """Each command that talks to a board, but for its --port."""
    firmware = tmp_path / "firmware.bin"
    firmware.write_bytes(esp_firmware("esp32"))
    options = {"flash": ["--board", "esp32", "--firmware", str(firmware)], "provision": ["--entry", ENTRY], "deploy": []}
    return [request.param, *options[request.param]]


def failed(command: list[str], port: object, capsys: Shown) -> tuple[int, str]:
    """-> (exit status, what was said of it)."""
    return redpoll([*command, "--port", str(port)]), capsys.readouterr().err


def test_a_port_that_is_not_there_is_told_with_what_there_is(command: list[str], tmp_path: Path, capsys: Shown) -> None:
    status, text = failed(command, tmp_path / "ttyUSB0", capsys)
    assert status == Status.NO_PORT and "there is no port" in text and "redpoll board up" in text


def test_without_a_port_the_only_virtual_board_is_taken(tmp_path: Path, capsys: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDPOLL_BOARDS", str(tmp_path / "boards"))
    monkeypatch.setattr(list_ports, "comports", list)
    assert redpoll(["provision"]) == Status.NO_PORT and "no --port was given. No board is plugged in" in capsys.readouterr().err
    desk = VirtualBoard("desk").up("esp32")
    try:
        assert redpoll(["provision", "--entry", ENTRY]) == Status.OK and ENTRY in capsys.readouterr().out
        other = VirtualBoard("other").up("rpi_pico_w")
        assert redpoll(["provision"]) == Status.NO_PORT
        assert f"say which one: --port {desk} or --port {other}" in capsys.readouterr().err
    finally:
        for name in ("desk", "other"):
            if VirtualBoard(name).is_up():
                VirtualBoard(name).down()


def test_a_board_on_usb_goes_before_a_virtual_one_and_only_it_is_flashed(
    command: list[str], tmp_path: Path, capsys: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDPOLL_BOARDS", str(tmp_path / "boards"))
    plugged = list_ports_common.ListPortInfo(str(tmp_path / "ttyUSB0"))
    plugged.vid = 0x10C4
    VirtualBoard("desk").up("esp32")
    try:
        monkeypatch.setattr(list_ports, "comports", lambda: [plugged])
        assert redpoll(command) == Status.NO_PORT and f"there is no port {plugged.device}" in capsys.readouterr().err
        if command[0] == "flash":
            monkeypatch.setattr(list_ports, "comports", list)
            assert redpoll(command) == Status.NO_PORT and "no --port was given" in capsys.readouterr().err
    finally:
        VirtualBoard("desk").down()


def test_a_port_that_another_program_has_is_told_with_its_name(command: list[str], flashed: Flashed, capsys: Shown) -> None:
    board = flashed()
    with board.port.open("rb") as line, subprocess.Popen(["sleep", "60"], stdin=line) as other:
        try:
            status, text = failed(command, board.port, capsys)
        finally:
            other.kill()
    assert status == Status.NO_PORT and "in use by" in text and "sleep" in text


@pytest.fixture
def deaf() -> Iterator[str]:
    """A port on which nobody answers."""
    ours, theirs = os.openpty()
    port = os.ttyname(theirs)
    os.close(theirs)
    yield port
    os.close(ours)


def test_a_port_on_which_nobody_answers_is_told_with_what_to_do(
    command: list[str], deaf: str, capsys: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    if command[0] == "flash" and not LONG:
        pytest.skip("REDPOLL_LONG=1: esptool tries for some seconds")
    monkeypatch.setattr("tools.deploy.connection.ENTER_SECONDS", 0.1)
    monkeypatch.setattr("tools.deploy.connection._READ_SECONDS", 0.1)
    status, text = failed(command, deaf, capsys)
    if command[0] == "flash":
        assert status == Status.NO_PORT and "does not answer. Hold its BOOT button" in text
    else:
        assert status == Status.NO_MICROPYTHON and "redpoll flash" in text


def test_a_pico_that_does_not_answer_is_flashed_over_its_boot_drive(
    deaf: str, tmp_path: Path, capsys: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tools.deploy.connection.ENTER_SECONDS", 0.1)
    monkeypatch.setattr("tools.deploy.connection._READ_SECONDS", 0.1)
    (tmp_path / "firmware.uf2").write_bytes(uf2_firmware("rpi_pico_w"))
    status, text = failed(["flash", "--board", "rpi_pico_w", "--firmware", str(tmp_path / "firmware.uf2")], deaf, capsys)
    assert status == Status.NO_MICROPYTHON and "hold BOOTSEL" in text and "redpoll flash" not in text


@pytest.mark.timeout(30)
def test_ampy_is_no_more_patient_with_nobody_than_mpremote(deaf: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.deploy.connection.ENTER_SECONDS", 0.1)
    with contextlib.closing(connect(deaf, "ampy")) as connection, pytest.raises(LinkError, match="redpoll flash") as error:
        connection.enter()
    assert error.value.status is Status.NO_MICROPYTHON


def test_a_virtual_board_is_not_flashed_and_what_comes_next_is_said(tmp_path: Path, capsys: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDPOLL_BOARDS", str(tmp_path / "boards"))
    (tmp_path / "firmware.bin").write_bytes(esp_firmware("esp32"))
    port = VirtualBoard("desk").up("esp32")
    try:
        status, text = failed(["flash", "--board", "esp32", "--firmware", str(tmp_path / "firmware.bin")], port, capsys)
    finally:
        VirtualBoard("desk").down()
    assert status == Status.REFUSED and "is the virtual board 'desk'" in text and f"redpoll provision --port {port}" in text


FILL = b"""
import os
count = 0
for size in 65536, 4096, 300:
    try:
        while True:
            with open("fill%d" % count, "wb") as file:
                file.write(bytes(size))
            count += 1
    except OSError:
        os.remove("fill%d" % count)
print("full")
import time
while True:
    time.sleep_ms(10)
"""


def test_settings_that_find_the_flash_full_leave_those_that_were_there(flashed: Flashed, capsys: Shown, tmp_path: Path) -> None:
    board = flashed()
    assert redpoll(["provision", "--port", str(board.port), "--entry", ENTRY]) == 0
    board.kill()
    before = board.read_file("/settings.json")
    board.write_file("/main.py", FILL)
    board.start().wait_for("full", 20)
    (tmp_path / "long.json").write_text(json.dumps({"details": {"room": "x" * 5000}}))
    capsys.readouterr()
    status, text = failed(["provision", "--settings", str(tmp_path / "long.json")], board.port, capsys)
    assert status == Status.FULL and "flash was full at /settings.json" in text and "mpremote fs rm" in text
    board.kill()
    assert board.read_file("/settings.json") == before and "/settings.json.new" not in board.list_files()


def test_a_board_whose_heap_the_agent_does_not_fit_is_told_before(flashed: Flashed, capsys: Shown) -> None:
    port = str(flashed("esp32").port)
    assert redpoll(["deploy", "--port", port, "--dry-run", "--no-wait"]) == 0
    assert "Freeze the agent into the firmware" in (told := " ".join(capsys.readouterr().out.split())) and "--set transport=http" in told
    assert redpoll(["provision", "--port", port, "--entry", ENTRY, "--set", "transport=http"]) == 0
    assert redpoll(["deploy", "--port", port, "--dry-run", "--no-wait"]) == 0
    assert "Freeze the agent" not in capsys.readouterr().out
    assert product.lacks_memory(Profile.load("rpi_pico_w")) is None
