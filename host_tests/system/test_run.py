"""`make run`: what it shows, what it promises, and how it ends."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools.paths import ROOT

PROMISES = (
    "yes  the board registered: ",
    "yes  at least 3 telemetry messages were acknowledged: ",
    "yes  the configuration was applied and confirmed: version 1 set, 1 confirmed",
    "yes  the command blink is done: done blinked 3 times",
    "yes  the command ping is done: done pong",
)
OTHER_PRODUCT = """
from redpoll import Agent

agent = Agent()


@agent.sensor(every=2)
def level():
    return {"level": 5}


agent.run()
"""


def start(*options: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tools.cli", "run", *map(str, options)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True)


def test_a_product_that_does_not_compile_is_told_by_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("import time\nreading = 21.5 +\n")
    run = start("--for", 5, "--main", tmp_path)
    told, _ = run.communicate(timeout=60)
    assert run.returncode == 2
    assert f'File "{tmp_path / "main.py"}", line 2' in told and "SyntaxError" in told and "cli.py" not in told


@pytest.mark.parametrize("option", ["--svg", "--main"])
def test_a_file_that_cannot_be_used_is_told_by_its_name(option: str, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(OTHER_PRODUCT)
    (tmp_path / "lib").symlink_to("nowhere")
    run = start("--for", 5, option, {"--svg": tmp_path / "nowhere" / "run.svg", "--main": tmp_path}[option])
    told, _ = run.communicate(timeout=60)
    assert run.returncode == 2
    assert str(tmp_path) in told and "Traceback" not in told


def test_a_part_that_does_not_exist_is_told_before_a_hub_is_started() -> None:
    run = start("--attach", "foo")
    told, _ = run.communicate(timeout=60)
    assert run.returncode == 2
    assert "there is no part 'foo' to attach" in told and "hub" not in told


def test_two_at_once_do_not_disturb_each_other_and_keep_every_promise_over_either_transport() -> None:
    runs = [start("--for", 60, "--until-done", "--transport", transport) for transport in ("mqtt", "http")]
    for run in runs:
        output = run.communicate(timeout=100)[0]
        assert run.returncode == 0, output
        for promise in PROMISES:
            assert promise in output
        for event in ("deviceCreated", "clientConnected", "upstreamMessage", "downstreamMessage", "deviceUpdated", "console"):
            assert event in output
        assert "load_1m=" in output, "what was measured is shown"


@pytest.mark.timeout(240)
def test_an_update_is_shown_with_its_progress_and_one_that_does_not_start_is_rolled_back() -> None:
    good, polling, bad = (
        start("--for", 200, "--until-done", *options) for options in ((), ("--transport", "http", "--no-tls"), ("--bad-update",))
    )
    output = good.communicate(timeout=220)[0]
    assert good.returncode == 0, output
    assert "yes  the update from 1.0.0 to 1.1.0 succeeded: Success; 1.1.0 runs" in output
    steps = re.findall(r"firmwareStateChange +(\w+) +\[(#*)-*\] +(\d+) %", output)
    downloading = [int(percent) for status, _, percent in steps if status == "Downloading"]
    assert downloading == sorted(downloading) and downloading[0] == 0 and downloading[-1] == 100 and len(downloading) >= 11
    assert all(len(bar) == 24 * int(percent) // 100 for _, bar, percent in steps)
    assert "version 1.1.0 says hello" in output
    output = polling.communicate(timeout=220)[0]
    assert polling.returncode == 0, output
    assert "yes  the update from 1.0.0 to 1.1.0 succeeded: done" in output
    output = bad.communicate(timeout=220)[0]
    assert bad.returncode == 0, output
    assert "yes  the update to 1.1.0, which does not start, was rolled back: Failure: SystemRollback" in output
    assert "1.0.0 runs" in output and "this version does not start" in output


def test_another_product_is_judged_by_what_it_has_and_all_of_it_can_be_a_picture(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(OTHER_PRODUCT)
    run = start("--for", 19, "--main", tmp_path, "--svg", tmp_path / "run.svg")
    output = re.sub(r"\x1b\[[\d;]*m", "", run.communicate(timeout=100)[0])
    assert run.returncode == 0, output
    drawn = (tmp_path / "run.svg").read_text().replace("&#160;", " ")
    assert drawn.startswith("<svg") and "level=5" in drawn and "at least 3 telemetry messages were acknowledged" in drawn
    assert "level=5" in output and "blink" not in output.rpartition("yes  the board registered")[2]
    assert "20 s are enough" in output


def test_what_did_not_happen_is_said_with_the_boards_last_lines(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("print('this is all')\nraise ValueError('no sensor on the bus')\n")
    run = start("--for", 30, "--main", tmp_path / "main.py")
    output = run.communicate(timeout=100)[0]
    assert run.returncode == 1, output
    assert "NO   the board registered: no device in the hub" in output
    assert "NO   the board kept running" in output
    assert "this is all" in output and "no sensor on the bus" in output


def test_a_configuration_that_the_product_refuses_is_not_called_applied(tmp_path: Path) -> None:
    declared = "@agent.config(interval=(int, 10, 3600))\ndef apply(config):\n    pass\n\n\nagent.run()"
    (tmp_path / "main.py").write_text(OTHER_PRODUCT.replace("agent.run()", declared))
    run = start("--for", 19, "--main", tmp_path / "main.py")
    output = run.communicate(timeout=100)[0]
    assert run.returncode == 1, output
    assert "NO   the configuration was applied and confirmed" in output and "refused the interval of 5 s" in output


@pytest.mark.parametrize("seconds", ["abc", "0", "-5", "nan"])
def test_a_time_that_is_none_is_refused(seconds: str) -> None:
    run = start(f"--for={seconds}")
    output = run.communicate(timeout=60)[0]
    assert run.returncode == 2
    assert f"seconds such as 40, not '{seconds}'" in output
