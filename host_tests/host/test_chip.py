"""The emulated chip: what is said where it cannot be had. That it runs is what `make test-chip` shows."""

import stat

import pytest

from tools import source_build
from tools.chip import __main__ as command
from tools.chip import build, emulator
from tools.debian import AptError
from tools.mpy import compile_module


@pytest.fixture
def nothing_built(tmp_path, monkeypatch):
    """A build folder with nothing in it, and a PATH with only what programs(name, script) writes."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(build, "FOLDER", tmp_path / "chip")
    monkeypatch.setattr(source_build, "_SOURCE", tmp_path / "source")
    monkeypatch.setattr(source_build, "_LOCK", tmp_path / "lock")

    def program(name, script=""):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(stat.S_IRWXU)

    return program


def test_without_make_or_debians_packages_the_reason_is_said_and_the_status_is_that_of_a_skip(nothing_built, capsys, monkeypatch):
    assert command.main() == 77
    assert "there is no make on this machine" in capsys.readouterr().err
    nothing_built("make")

    def refuse(*_):
        raise AptError("there is no apt-get on this machine")

    monkeypatch.setattr(source_build, "Apt", refuse)
    assert command.main() == 77
    assert "no emulated chip: there is no apt-get on this machine" in capsys.readouterr().err


def test_an_emulator_that_ends_at_once_says_why(nothing_built, tmp_path):
    nothing_built("qemu-system-arm", "echo 'machine not found'; exit 1")
    with pytest.raises(build.NoChip, match="machine not found"):
        emulator.Chip(tmp_path / "firmware.elf").start()


def test_an_emulator_that_is_not_there_says_so(nothing_built, tmp_path):
    with pytest.raises(build.NoChip, match="qemu-system-arm does not run"):
        emulator.Chip(tmp_path / "firmware.elf").start()


def test_what_the_chip_runs_after_a_reset_compiles_for_it(tmp_path):
    assert compile_module(emulator.SETUP, tmp_path / "setup.mpy", "setup.py")
