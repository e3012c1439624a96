"""What the virtual board measures: the machine that it runs on, and nothing made up."""

import ast
import importlib.util
import os
import shutil
import sys
from pathlib import Path

import pytest
from serial_client import Session, mpremote

from tools.board.process import Board
from tools.paths import BOARDS

HERE = Path(__file__).resolve().parent
LINUX = pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="this machine has no /proc")


@pytest.fixture
def board(monkeypatch, tmp_path):
    """boards/unix/board.py on CPython, with a machine of files in tmp_path."""
    monkeypatch.syspath_prepend(str(HERE.parent / "shim"))
    monkeypatch.delitem(sys.modules, "machine", raising=False)
    spec = importlib.util.spec_from_file_location("unix_board", BOARDS / "unix" / "board.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.HOST = str(tmp_path)
    yield module
    sys.modules.pop("machine", None)


def put(root, path, text):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def test_the_readings_are_the_machines(board, tmp_path):
    put(tmp_path, "proc/loadavg", "0.52 0.58 0.59 1/597 12345\n")
    put(tmp_path, "proc/uptime", "12345.67 54321.00\n")
    put(tmp_path, "proc/meminfo", "MemTotal:        8000000 kB\nMemFree:  1 kB\nMemAvailable:    2000000 kB\n")
    put(tmp_path, "sys/class/thermal/thermal_zone0/type", "acpitz\n")
    put(tmp_path, "sys/class/thermal/thermal_zone0/temp", "20000\n")
    put(tmp_path, "sys/class/thermal/thermal_zone1/type", "x86_pkg_temp\n")
    put(tmp_path, "sys/class/thermal/thermal_zone1/temp", "48250\n")
    disk = os.statvfs(tmp_path)
    readings = board.sensors()
    assert abs(readings.pop("disk_free_percent") - disk.f_bavail * 100 / disk.f_blocks) < 1
    assert readings == {"load_1m": 0.52, "host_uptime_s": 12345, "memory_free_mb": 1953, "memory_free_percent": 25.0, "temperature_c": 48.2}


def test_what_cannot_be_read_is_left_out(board, tmp_path):
    assert set(board.sensors()) == {"disk_free_percent"}
    board.HOST = str(tmp_path / "nowhere")
    assert board.sensors() == {}


@pytest.mark.parametrize("text", ["", "\n", "unknown", "nan", "-1 2 3", "1e99", "\x00" * 5000, "é" * 5000, "9" * 5000])
def test_nonsense_is_left_out(board, tmp_path, text):
    for name in ("proc/loadavg", "proc/uptime", "proc/meminfo"):
        put(tmp_path, name, text)
    put(tmp_path, "proc/meminfo", f"MemTotal: {text}\nMemAvailable: {text}\n")
    put(tmp_path, "sys/class/thermal/thermal_zone0/type", "cpu\n")
    put(tmp_path, "sys/class/thermal/thermal_zone0/temp", text if text != "-1 2 3" else "-999999")
    assert set(board.sensors()) <= {"disk_free_percent"}


@LINUX
def test_on_the_virtual_board_they_agree_with_proc(tmp_path):
    main = tmp_path / "main.py"
    main.write_text("import board\nprint('readings', board.sensors())\nboard.led(True)\nboard.led(True)\nboard.led(False)\n")
    with Board(tmp_path / "board", main=main) as virtual:
        readings = ast.literal_eval(virtual.wait_for(r"^readings (.*)$")[1])
        virtual.wait_for("^LED off$")
        assert [line for line in virtual.lines if "LED" in line] == ["LED on", "LED off"]
    memory = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    total = int(memory["MemTotal"].split()[0])
    assert abs(readings["host_uptime_s"] - float(Path("/proc/uptime").read_text().split()[0])) < 30
    assert 0 < readings["memory_free_mb"] <= total >> 10
    assert 0 < readings["memory_free_percent"] <= 100
    assert 0 <= readings["load_1m"] < 10000
    usage = shutil.disk_usage("/")
    assert abs(readings["disk_free_percent"] - usage.free * 100 / os.statvfs("/").f_frsize / os.statvfs("/").f_blocks) < 5


def test_whoever_clears_or_copies_its_flash_does_not_find_the_machines_files(tmp_path):
    with Board(tmp_path / "board", bare=True, terminal=tmp_path / "tty") as virtual:
        with Session(virtual.port) as run:
            assert run("import os, vfs\nprint(os.listdir('/'), len(vfs.mount()))") == "[] 1\n"
        mpremote(virtual.port, "fs", "touch", ":file", "+", "fs", "rm", "-r", ":")
        assert mpremote(virtual.port, "fs", "ls", ":/").splitlines() == ["ls :/"]


def test_the_types_are_what_the_telemetry_takes(board, tmp_path):
    for value in board.sensors().values():
        assert isinstance(value, (bool, str, float)) or -(2**31) <= value < 2**31
