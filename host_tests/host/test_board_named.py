"""`redpoll board up` and its companions: boards that stay, by their names; the firmware's tests over their serial ports."""

import contextlib
import errno
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from long_run import LONG
from serial_client import Session, mpremote
from waiting import wait_for

from tools.board.errors import BoardError
from tools.board.named import VirtualBoard, known_boards
from tools.board.profile import Profile
from tools.board.server import Server
from tools.cli import main as command
from tools.paths import ROOT

CHIPS = [name for name in Profile.names() if Profile.load(name).is_chip]
# all of the firmware's tests on request, else one in so many
PART = 1 if LONG else 40


@pytest.fixture(autouse=True)
def boards(tmp_path, monkeypatch):
    """A place of its own for the boards; none outlives the test."""
    monkeypatch.setenv("REDPOLL_BOARDS", str(tmp_path / "boards"))
    yield
    for known in known_boards():
        if known.up:
            VirtualBoard(known.name).down()


def redpoll(*arguments, fails=False):
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = command(["board", *arguments])
    assert bool(status) == fails, said.getvalue()
    return said.getvalue()


def test_up_prints_the_port_and_the_board_stays_until_down(tmp_path):
    port = redpoll("up", "one", "--profile", "rp2040").strip()
    assert port == str(tmp_path / "boards" / "one" / "tty")
    assert redpoll("up", "one").strip() == port  # it is up already
    mpremote(port, "exec", "with open('kept', 'w') as file: file.write('yes')")
    assert redpoll("list").split() == ["one", "rpi_pico_w", "up", port]
    redpoll("down", "one")
    assert redpoll("list").split() == ["one", "rpi_pico_w", "down"]
    assert not os.path.lexists(port)
    assert redpoll("up", "one").strip() == port
    assert "yes" in mpremote(port, "fs", "cat", ":kept")
    redpoll("down", "one")
    assert "up one starts it" in redpoll("down", "one", fails=True)
    assert "--fresh makes it an esp32" in redpoll("up", "one", "--profile", "esp32", fails=True)
    assert "there is no board 'nix'" in redpoll("up", "two", "--profile", "nix", fails=True)
    assert "letters, digits" in redpoll("up", "../two", fails=True)


def test_a_board_is_reset_unplugged_pressed_and_watched_from_outside():
    board = VirtualBoard("one")
    port = board.up("esp32")
    command = [sys.executable, "-m", "tools.cli", "board", "console", "one"]
    watcher = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        # from then on it follows
        assert str(board.folder / "console.log") in watcher.stderr.readline()
        with Session(port) as run:
            run("import machine, time, network\nb = machine.Pin(0, machine.Pin.IN, machine.Pin.PULL_UP)")
            run("w = network.WLAN(); w.active(True); w.connect('net', 'password')")
            board.ask("wifi", to="off")
            assert "False" in run("time.sleep_ms(300); print(w.isconnected())")
            board.ask("wifi", to="on")
            assert run("time.sleep_ms(900); print(w.isconnected())") == "True\n"
            with pytest.raises(BoardError, match="can be on, off"):
                board.ask("wifi", to="nix")
            run("machine.Pin(2, machine.Pin.OUT).on()")
            assert board.ask("pins") == {"2": 1}
        board.ask("power-cut", at_write=2)
        mpremote(port, "exec", "--no-follow", "with open('file', 'w') as file: file.write('x' * 5000)")
        wait_for(lambda: "cause: power on" in (board.folder / "console.log").read_text(), "the cut", 20)
        redpoll("power-cut", "one")
        redpoll("reset", "one")
        redpoll("network", "one", "--delay", "0.1")
        redpoll("button", "one")
        with pytest.raises(BoardError, match="does not know"):
            board.ask("dance")
        board.down()
        followed = watcher.communicate(timeout=20)[0]
        assert "redpoll board: reset, cause: power on\n" in followed
    finally:
        watcher.kill()
        watcher.communicate()


def test_who_has_read_enough_of_a_console_hears_no_complaint():
    VirtualBoard("one").up()
    command = [sys.executable, "-m", "tools.cli", "board", "console", "one"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as watcher:
        assert watcher.stdout is not None and watcher.stderr is not None
        watcher.stderr.readline()
        watcher.stdout.close()
        wait_for(lambda: redpoll("reset", "one") or watcher.poll() is not None, "its end")
        assert (watcher.returncode, watcher.stderr.read()) == (0, "")


@pytest.mark.parametrize(
    "words",
    [
        ("up", "one", "--heap", "much"),
        ("up", "one", "--heap", "192"),
        ("button", "one", "--seconds", "nan"),
        ("power-cut", "one", "--at-write", "-1"),
        ("network", "one", "--delay", "1e300"),
    ],
)
def test_a_number_that_no_board_can_take_is_refused_before_one_is_asked(words, capsys):
    with pytest.raises(SystemExit):
        command(["board", *words])
    assert f"argument {words[2]}: " in capsys.readouterr().err


def test_a_pin_that_a_board_has_not_is_told_and_disturbs_nothing():
    board = VirtualBoard("one")
    board.up("rp2040")
    assert "has no pin 99" in redpoll("button", "one", "--pin", "99", fails=True)
    redpoll("wifi", "one", "off")


def test_a_button_may_be_pressed_for_longer_than_an_answer_is_waited_for(monkeypatch):
    VirtualBoard("one").up("esp32")
    monkeypatch.setattr("tools.board.named.ANSWER_SECONDS", 3.0)
    redpoll("button", "one", "--seconds", "4")


def test_a_copy_of_a_boards_folder_under_another_name_is_in_nobodys_way(tmp_path):
    VirtualBoard("one").up()
    copy = tmp_path / "boards" / "one (copy)"
    copy.mkdir()
    (copy / "board.json").write_text('{"profile": "esp32"}')
    assert [known.name for known in known_boards()] == ["one"]


def test_a_copy_of_a_board_that_is_up_is_another_board():
    VirtualBoard("one").up("rp2040")
    copy = VirtualBoard("two")
    shutil.copytree(VirtualBoard("one").folder, copy.folder, symlinks=True)
    assert [(known.name, known.up) for known in known_boards()] == [("one", True), ("two", False)]
    assert "up two starts it" in redpoll("down", "two", fails=True)
    assert mpremote(copy.up(), "exec", "print('there')").endswith("there\n")
    copy.down()
    assert VirtualBoard("one").is_up()


def test_who_does_not_know_the_word_is_not_obeyed(monkeypatch):
    board = VirtualBoard("one")
    board.up("esp32")
    control = board.folder / "control.json"
    assert control.stat().st_mode & 0o077 == 0
    assert (board.folder / "flash.img").stat().st_mode & 0o077 == 0  # the Wi-Fi password and the access key lie on it
    right = control.read_text()
    control.write_text(right.replace('"word": "', '"word": "0'))
    with pytest.raises(BoardError, match="the word is wrong"):
        board.ask("down")
    control.write_text(right)
    assert board.is_up()


def test_a_board_whose_process_was_killed_can_be_started_again():
    board = VirtualBoard("one")
    board.up("esp32")
    os.kill(json.loads((board.folder / "control.json").read_text())["pid"], signal.SIGKILL)
    wait_for(lambda: not board.is_up(), "the end of its process")
    assert mpremote(board.up(), "exec", "print('again')").endswith("again\n")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_board_goes_on_where_the_disk_has_no_room_for_its_log():
    board = VirtualBoard("one")
    board.folder.mkdir(parents=True)
    (board.folder / "console.log").symlink_to("/dev/full")
    assert mpremote(board.up(), "exec", "print('still there')").endswith("still there\n")


def test_a_disk_that_is_full_when_the_log_begins_anew_costs_lines_and_not_the_board(tmp_path, monkeypatch):
    def no_room(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "board.json").write_text('{"profile": "esp32", "heap": null, "frozen_agent": false}')
    monkeypatch.setattr("tools.board.server._LOG_BYTES", 10)
    server = Server(tmp_path)
    server._console_line("more than 10 bytes")
    with monkeypatch.context() as full:
        full.setattr(Path, "open", no_room)
        server._console_line("lost")
        server._console_line("lost too")
    server._console_line("kept")
    assert (tmp_path / "console.log").read_text() == "kept\n"
    assert (tmp_path / "console.log.1").read_text() == "more than 10 bytes\n"


def test_a_disk_that_is_full_when_a_board_is_switched_on_leaves_what_the_board_is():
    board = VirtualBoard("one")
    board.up("rp2040")
    board.down()
    code = "import resource, tools.cli as cli; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)); exit(cli.main(['board', 'up', 'one']))"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 1 and ran.stderr.startswith("redpoll board: ")
    assert board.state().profile == "rpi_pico_w"


@pytest.mark.parametrize("profile", CHIPS)
@pytest.mark.timeout(7200 if LONG else 300)
def test_the_firmwares_tests_pass_over_the_serial_port(profile, figure):
    port = VirtualBoard("tested").up(profile)
    command = [sys.executable, "-m", "pytest", "host_tests/device", f"--board={port}", f"--board-part={PART}", f"--board-title={profile}"]
    command += ["-rs", "-p", "pytest_timeout"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    # other plugins take longer to load than these tests run
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
    assert ran.returncode == 0, ran.stdout[-8000:]
    figure(f"{profile}: {ran.stdout.strip().splitlines()[-1]}")


def test_sensors_and_voltages_are_wired_to_a_board_that_stays_and_change_while_it_runs():
    port = redpoll("up", "one", "--profile", "esp32", "--attach", "aht20,temperature=25").strip()
    measure = "bus.writeto(0x38, b'\\xac\\x33\\x00'); time.sleep_ms(100); raw = bus.readfrom(0x38, 7); print(raw[3] & 15, raw[4])"
    with Session(port) as run:
        run("import machine, time\nbus = machine.I2C(0)\nadc = machine.ADC(machine.Pin(34), atten=3)")
        assert run("print(bus.scan())") == "[56]\n"
        run("bus.writeto(0x38, b'\\xbe\\x08\\x00')")
        assert run("print(bus.readfrom(0x38, 1)[0] & 8)") == "8\n"
        assert run(measure) == "6 0\n"  # (25 + 50) / 200 of 20 bits
        redpoll("attach", "one", "aht20,temperature=-50")
        assert run(measure) == "0 0\n"
        assert run("print(adc.read_u16())") == "0\n"
        redpoll("volts", "one", "34", "1.5")
        assert run("print(adc.read_uv())") == "1500000\n"
        assert "0 to 3.3 V, not 9.9" in redpoll("volts", "one", "34", "9.9", fails=True)
        redpoll("detach", "one", "aht20")
        assert "ENODEV" in run("try:\n bus.readfrom(0x38, 1)\nexcept OSError as error:\n print(error)")
    assert "measures humidity, temperature, not 'rain'" in redpoll("attach", "one", "aht20,rain=1", fails=True)
    assert "must be a number" in redpoll("attach", "one", "aht20,humidity=wet", fails=True)
    assert "there is no part 'bmp'" in redpoll("attach", "one", "bmp", fails=True)
