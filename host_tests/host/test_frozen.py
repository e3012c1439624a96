"""The MicroPython with the agent frozen in: what is said where it cannot be built, and when it has to be built anew."""

import subprocess

import pytest

from tools import source_build
from tools.frozen import __main__ as command
from tools.frozen import build
from tools.paths import FIRMWARE, ROOT


@pytest.fixture
def nothing_built(tmp_path, monkeypatch):
    """A build folder with nothing in it, on a machine without any program."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(build, "_PROGRAM", tmp_path / "micropython")
    monkeypatch.setattr(build, "_STAMP", tmp_path / "micropython.stamp")
    monkeypatch.setattr(source_build, "_LOCK", tmp_path / "lock")


def test_where_it_cannot_be_built_the_reason_is_said(nothing_built, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["frozen"])
    assert command.main() == 1
    assert capsys.readouterr().err == "no MicroPython with a frozen agent: there is no make on this machine\n"


def test_renewing_builds_nothing_that_was_not_built_before(nothing_built, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["frozen", "--renew"])
    assert command.main() == 0
    assert capsys.readouterr() == ("", "")


def test_one_of_another_version_of_the_agent_is_not_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "_PROGRAM", tmp_path / "micropython")
    monkeypatch.setattr(build, "_STAMP", tmp_path / "micropython.stamp")
    build._PROGRAM.touch()
    build._STAMP.write_text(build._made_of())
    assert build.find_frozen_vm() == build._PROGRAM
    firmware = tmp_path / "firmware"
    (firmware / "redpoll").mkdir(parents=True)
    (firmware / "redpoll" / "agent.py").write_text((FIRMWARE / "redpoll" / "agent.py").read_text() + "\n")
    monkeypatch.setattr(build, "FIRMWARE", firmware)
    assert build.find_frozen_vm() is None


@pytest.mark.skipif(build.find_frozen_vm() is None, reason="no MicroPython with this agent frozen in: make frozen")
def test_it_has_every_module_of_the_agent_and_each_can_be_imported():
    ports = ("chip", "cpython", "esp32", "rp2", "wlan")  # which need a chip's modules, or are not for MicroPython
    names = [path.relative_to(FIRMWARE).with_suffix("") for path in sorted((FIRMWARE / "redpoll").rglob("*.py"))]
    wanted = [".".join(name.parts) for name in names if name.name != "__init__" and not name.name.startswith(ports)]
    code = f"import sys; sys.path[:] = ['.frozen']\nfor name in {wanted!r}: __import__(name)\nprint(len(sys.modules))"
    ran = subprocess.run([build.frozen_vm(), "-c", code], cwd=ROOT / "docs", capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) > len(wanted) > 50
