"""Two `make setup` at once: the second waits for the first, in the same clone and, where both come to pipkin, in two."""

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.paths import ROOT

WITHIN = 60.0  # seconds
WAITS = "another `make setup` is at work: waiting for its end\n"
UMQTT = "build/lib/umqtt/simple.py"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """One in which only umqtt is missing; its pipkin just leaves a mark."""
    folder = tmp_path / "clone"
    (folder / "tools").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "tools/__init__.py", "tools/alone.py"):
        shutil.copy(ROOT / name, folder / name)
    for name in (".venv/bin/pipkin", ".venv/.ready", UMQTT, "examples/weather_station/lib/ahtx0.py", "build/stubs/rp2/machine.pyi"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / UMQTT).unlink()
    (folder / ".venv/bin/pipkin").write_text("#!/bin/sh\n>pipkin-was-here\n")
    (folder / ".venv/bin/pipkin").chmod(0o755)
    return folder


@contextlib.contextmanager
def setup(clone: Path) -> Iterator[subprocess.Popen[str]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")} | {"HOME": str(clone.parent)}
    command = ["make", "setup", f"PYTHON={sys.executable}"]
    process = subprocess.Popen(command, cwd=clone, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait(WITHIN)
        for pipe in (process.stdout, process.stderr):
            assert pipe is not None
            pipe.close()


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """As by a first one that is at work."""
    lock = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def test_the_second_setup_of_a_clone_says_that_it_waits_and_then_finds_all_done(clone: Path) -> None:
    with contextlib.ExitStack() as first:
        first.enter_context(held(clone / "Makefile"))
        with setup(clone) as second:
            assert second.stderr is not None and second.stderr.readline() == WAITS
            (clone / UMQTT).touch()
            first.close()
            assert second.communicate(timeout=WITHIN) == ("", "")
            assert second.returncode == 0
    assert not (clone / "pipkin-was-here").exists()


def test_pipkin_waits_for_that_of_another_clone(clone: Path) -> None:
    with contextlib.ExitStack() as first:
        first.enter_context(held(clone.parent))
        with setup(clone) as second:
            # on the terminal, not in pipkin's log
            assert second.stderr is not None and second.stderr.readline() == WAITS
            assert not (clone / "pipkin-was-here").exists()
            first.close()
            assert second.wait(WITHIN) == 0
    assert (clone / "pipkin-was-here").exists()


def test_what_cannot_be_locked_is_gone_on_without(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tools.alone", str(tmp_path / "nothing"), "echo", "done"]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout == "done\n"
