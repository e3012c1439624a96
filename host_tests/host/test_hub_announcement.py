"""What `redpoll hub` prints when it is ready: its commands work as pasted into a shell, whatever folder that is in."""

import json
import os
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from hub_support import registration
from waiting import wait_for

from tools.board.process import Board


@pytest.fixture
def printed(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The lines of a hub on TLS that was started with a relative directory, by their first word."""
    command = [sys.executable, "-m", "tools.cli", "hub", "--port", "0", "--broker", "embedded:0", "--data", "my hub"]
    environment = {name: value for name, value in os.environ.items() if name != "REDPOLL_OPERATOR_KEY"}
    folder = tmp_path / "here"
    folder.mkdir()
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines: dict[str, str] = {}
    try:
        while "devices" not in lines:
            line = process.stdout.readline()
            assert line, "the hub ended"
            label, _, rest = line.strip().partition("  ")
            lines[label] = rest.strip()
        yield lines
    finally:
        process.terminate()
        process.communicate(timeout=30)


def in_a_shell(command: str) -> str:
    ran = subprocess.run(command, shell=True, cwd="/", capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_printed_commands_work_from_any_folder(printed: dict[str, str], tmp_path: Path, flashed: Callable[..., Board]) -> None:
    ca = tmp_path / "here" / "my hub" / "ca.pem"
    entry = f"{printed['operator'].split('/docs')[0]}/xyte"
    board = flashed("esp32")
    in_a_shell(f"{printed['a board']} --port {board.port}")
    board.kill()
    assert json.loads(board.read_file("/settings.json")) == {"entry": entry, "ca": "/ca.pem"}
    assert board.read_file("/ca.pem") == ca.read_bytes()
    httpx.post(f"{entry}/v1/devices", json=registration(sn="S1"), verify=ssl.create_default_context(cafile=ca)).raise_for_status()
    assert [device["sn"] for device in json.loads(in_a_shell(printed["devices"]))["items"]] == ["S1"]
    output = tmp_path / "watched"
    with output.open("w") as file:
        watch = subprocess.Popen(["sh", "-c", f"exec {printed['watch']} --json"], cwd="/", stdout=file)
        try:
            wait_for(lambda: "deviceCreated" in output.read_text(), "the registration in redpoll watch", 30)
        finally:
            watch.terminate()
            watch.wait()
