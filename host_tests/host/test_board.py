"""The virtual board: power, reset, watchdog, flash, console."""

import contextlib
import errno
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from waiting import wait_for

from tools.board.chip import Chip
from tools.board.errors import BoardError
from tools.board.firmware import boot_file, firmware_files
from tools.board.process import Board
from tools.board.profile import Profile, ProfileError
from tools.board.terminal import Terminal
from tools.paths import ROOT

IDLE = "import time\nprint('ready')\nwhile True:\n    time.sleep_ms(10)\n"


@pytest.fixture
def make(tmp_path):
    """make(main's source, folder="a", ...): a board that is off; it ends with the test."""
    boards = []

    def make_board(source=IDLE, folder="a", **more):
        main = tmp_path / f"{folder}.py"
        main.write_text(source)
        boards.append(Board(tmp_path / folder, **({"main": main} | more)))
        return boards[-1]

    yield make_board
    for board in boards:
        board.kill()


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_boot_runs_before_main_in_one_namespace(make):
    board = make("print('main', x, __name__)\n", files={"boot.py": b"x = 5\nprint('boot', __name__)\n"})
    with board:
        board.wait_for("^main 5 __main__$")
    assert board.lines[:2] == ["boot __main__", "main 5 __main__"]


def test_the_path_and_the_files_are_a_boards(make):
    board = make("import os, sys\nprint(sys.path, os.getcwd(), sorted(os.listdir()))\n", settings={"sn": "1"})
    with board:
        found = board.wait_for(r"^(\[.*?\]) / (\[.*\])$")
    assert found[1] == "['', '.frozen', '/lib']"
    assert found[2] == "['board.mpy', 'boot.py', 'boot.state', 'lib', 'main.py', 'redpoll', 'settings.json']"


def test_firmware_is_bytecode_for_this_port_and_boot_and_main_are_source(make):
    board = make("")
    board.install()
    assert {name for name in board.list_files() if name.endswith(".py")} == {"/boot.py", "/main.py"}
    assert board.read_file("/boot.py") == boot_file()  # what redpoll deploy sends
    files = firmware_files(Profile.load("unix"))
    assert {"/main.py", "/board.mpy", "/lib/umqtt/simple.mpy", "/redpoll/agent.mpy", "/redpoll/port/chip.mpy"} <= set(files)
    assert "/redpoll/port/cpython.mpy" not in files
    assert {name for name in files if name.endswith(".py")} == {"/main.py"}


def test_tracebacks_name_the_agents_modules_and_the_products_files(make):
    # the name of a module costs no memory: the interpreter has it already
    source = (
        "import sys\n"
        "from redpoll.backoff import Backoff\n"
        "try:\n"
        "    Backoff(None).next()\n"
        "except TypeError as e:\n"
        "    sys.print_exception(e)\n"
    )
    with make(source) as board:
        board.wait_for('^  File "redpoll.backoff", line [1-9][0-9]*, in next$')
    assert any(line.startswith('  File "main.py", line 4') for line in board.lines)


def test_what_main_writes_survives_a_stop_and_a_power_cut(make):
    source = (
        "import os, time\n"
        "n = int(open('n').read()) if 'n' in os.listdir() else 0\n"
        "with open('n', 'w') as f:\n    f.write(str(n + 1))\n"
        "print('start', n)\n"
        "while True:\n    time.sleep_ms(10)\n"
    )
    board = make(source)
    with board:
        board.wait_for("^start 0$")
    board.start().wait_for("^start 1$")
    board.kill()
    assert not board.running
    board.start().wait_for("^start 2$")
    board.stop()
    assert board.read_file("n") == b"3"


def test_the_flash_is_a_littlefs_of_the_profiles_size(make, tmp_path):
    source = "import os\ns = os.statvfs('/')\nprint('flash', s[0] * s[2])\nopen('big', 'wb').write(bytes(100000))\nprint('written')\n"
    with make(source) as board:
        board.wait_for(f"^flash {Profile.load('unix').flash_size}$")
        board.wait_for("^written$")
    image = (tmp_path / "a" / "flash.img").read_bytes()
    assert len(image) == Profile.load("unix").flash_size
    assert b"littlefs" in image[:4096]


def test_a_full_flash_is_an_oserror_on_the_board_and_a_clear_error_on_the_host(make):
    source = (
        "try:\n    with open('big', 'wb') as f:\n        while True:\n            f.write(bytes(4096))\n"
        "except OSError as e:\n    print('full', e.errno)\n"
    )
    board = make(source)
    with board:
        board.wait_for("^full 28$", 20)
    with pytest.raises(BoardError, match="is full"):
        board.write_file("more", bytes(board.profile.flash_size))


def test_files_go_in_and_out_while_it_is_off(make):
    board = make("import time\nprint(open('/data/in.txt').read())\nwhile True:\n    time.sleep_ms(10)\n")
    board.write_file("data/in.txt", b"from outside")
    with pytest.raises(FileNotFoundError, match="/nothing"):
        board.read_file("nothing")
    with board:
        board.wait_for("^from outside$")
        with pytest.raises(BoardError, match="is running"):
            board.read_file("data/in.txt")
    assert board.read_file("/data/in.txt") == b"from outside"
    assert board.list_files()["/data/in.txt"] == 12


def test_only_files_that_differ_are_written_and_old_firmware_goes(make):
    board = make(settings={"sn": "1"})
    assert board.install() > 10
    assert board.install() == 0
    board.write_file("redpoll/old/left.mpy", b"x")
    board.write_file("kept/data", b"x")
    assert make(IDLE + "\n", settings={"sn": "1"}).install() == 1
    assert "/redpoll/old/left.mpy" not in board.list_files()
    assert board.read_file("kept/data") == b"x"
    assert json.loads(board.read_file("settings.json")) == {"sn": "1"}


def test_a_later_start_leaves_what_the_program_has_changed(make):
    board = make("import time\nwith open('settings.json', 'w') as f:\n    f.write('{}')\nprint('done')\n", settings={"sn": "1"})
    with board:
        board.wait_for("^done$")
    board.start()
    board.wait_for("^done$", since=1)
    board.stop()
    assert board.read_file("settings.json") == b"{}"


CAUSE = "import machine, time\nprint('cause', machine.reset_cause())\n"


def test_reset_starts_the_chip_again_at_once(make):
    source = (
        CAUSE
        + "if machine.reset_cause() == machine.PWRON_RESET:\n    try:\n        machine.reset()\n    finally:\n        print('unwound')\n"
    )
    with make(source) as board:
        board.wait_for("^cause 1$")
        board.wait_for("^cause 2$")
        assert board.wait(10)
    assert board.lines == ["cause 1", "redpoll board: reset, cause: hard reset", "cause 2"]


def test_sys_exit_is_a_soft_reset(make):
    source = CAUSE + "import sys\nif machine.reset_cause() != machine.SOFT_RESET:\n    sys.exit()\n"
    with make(source) as board:
        board.wait_for("^cause 5$")


def test_the_reset_button_is_a_hard_reset_and_switching_on_is_not(make):
    board = make(CAUSE + IDLE).start()
    board.wait_for("ready")
    seen = board.line_count
    board.restart()
    assert board.wait_for(r"^cause (\d)", since=seen)[1] == "2"
    board.stop()
    seen = board.line_count
    board.start()
    assert board.wait_for(r"^cause (\d)", since=seen)[1] == "1"


def test_a_watchdog_that_is_not_fed_resets_and_one_that_is_fed_does_not(make):
    source = CAUSE + (
        "dog = machine.WDT(timeout=1000)\n"
        "began = time.ticks_ms()\n"
        "while time.ticks_diff(time.ticks_ms(), began) < 1600:\n    dog.feed()\n    time.sleep_ms(5)\n"
        "print('hanging')\n"
        "while True:\n    pass\n"
    )
    with make(source) as board:
        board.wait_for("^hanging$")
        assert board.lines == ["cause 1", "hanging"]
        board.wait_for("^cause 3$")


def test_a_feed_that_nobody_has_read_yet_counts(make, monkeypatch):
    away = 0.0
    monkeypatch.setattr("tools.board.chip.time", SimpleNamespace(monotonic=lambda: time.monotonic() + away))

    def on_line(line):
        nonlocal away
        if line == "fed":  # the board's own process does nothing for an hour, while its chip goes on feeding
            assert select.select([board._supervisor._chip._control], [], [], 10)[0]
            away += 3600

    source = CAUSE + (
        "dog = machine.WDT(timeout=5000)\nsaid = 0\nwhile True:\n    dog.feed()\n    time.sleep_ms(5)\n"
        "    if dog._told != said:\n        said = dog._told\n        print('fed')\n"
    )
    board = make(source, on_line=on_line)
    with board:
        for _ in range(3):
            board.wait_for("^fed$", since=board.line_count)
        assert board.lines[0] == "cause 1" and set(board.lines[1:]) == {"fed"}


def test_what_a_program_does_before_it_prints_has_been_done_when_the_line_is_seen(make, monkeypatch):
    look = Chip._ready

    def look_early(self, selector, console, left):  # the chip did it, and printed, right after the look
        found = look(self, selector, console, left)
        return [console] if console in found else found

    monkeypatch.setattr(Chip, "_ready", look_early)
    seen = []
    board = make(
        "import machine\nfor n in range(20):\n    machine.Pin(n, machine.Pin.OUT).on()\n    print('on', n)\n",
        board="esp32",
        on_line=lambda line: seen.append((line, board.pins)),
    )
    with board:
        board.wait_for("^on 19$")
    levels = {line: pins for line, pins in seen if line.startswith("on ")}
    assert [n for n in range(20) if levels[f"on {n}"].get(str(n)) != 1] == []


def test_the_watchdog_outlives_the_program(make):
    source = CAUSE + "if machine.reset_cause() == 1:\n    machine.WDT(timeout=1000)\n    raise ValueError('odd')\n"
    with make(source) as board:
        board.wait_for("ValueError: odd")
        board.wait_for("^cause 3$")
        assert board.wait(10)
    assert not board.crashed


def test_an_exception_in_main_shows_its_traceback_and_ends_the_program(make):
    with make("def f():\n    raise ValueError('odd')\nf()\n") as board:
        board.wait_for("^ValueError: odd$")
        assert board.wait(10)
        assert '  File "main.py", line 2, in f' in board.lines
        assert board.crashed and not board.running


def test_an_exception_in_boot_does_not_keep_main_from_running(make):
    with make(files={"boot.py": b"1/0\n"}) as board:
        board.wait_for("^ready$")
    assert any("ZeroDivisionError" in line for line in board.lines)


def test_the_heap_is_limited(make):
    source = "import gc\nprint('free', gc.mem_free())\nbytearray(%d)\nprint('had it')\n"
    with make(source % 400000) as board:
        assert int(board.wait_for(r"^free (\d+)$")[1]) < 256 * 1024
        board.wait_for("MemoryError")
    with make(source % 400000, folder="b", heap="1M") as board:
        board.wait_for("had it")


def test_the_unique_id_belongs_to_the_flash(make):
    source = "import machine\nfrom binascii import hexlify\nprint('id', hexlify(machine.unique_id()).decode())\n"
    ids = []
    for folder in ("a", "a", "b"):
        with make(source, folder=folder) as board:
            ids.append(board.wait_for(r"^id ([0-9a-f]{12})$")[1])
    assert ids[0] == ids[1] != ids[2]


def test_two_boards_at_once_know_nothing_of_each_other(make):
    source = "import time\nwith open('who', 'w') as f:\n    f.write('%s')\nprint('%s')\nwhile True:\n    time.sleep_ms(10)\n"
    a, b = make(source % ("A", "A")), make(source % ("B", "B"), folder="b")
    with a, b:
        a.wait_for("^A$")
        b.wait_for("^B$")
        a.kill()
        assert b.running
    assert a.read_file("who") == b"A"
    assert b.read_file("who") == b"B"
    assert a.lines == ["A"]


def test_one_flash_is_for_one_board_at_a_time(make):
    with make() as board:
        board.wait_for("ready")
        with pytest.raises(BoardError, match="in use by another board"):
            make().start()
        assert board.running


def test_waiting_fails_with_the_last_lines_when_time_is_over_or_the_program_ends(make):
    with make() as board:
        board.wait_for("ready")
        with pytest.raises(BoardError, match=r"(?s)'never' did not come within 0.05 s.*  ready"):
            board.wait_for("never", 0.05)
    with make("print('short')\n", folder="b") as board, pytest.raises(BoardError, match=r"(?s)before the board's program ended.*  short"):
        board.wait_for("never", 86400)  # longer than any test may take


def test_stop_is_ctrl_c_and_a_program_that_ignores_it_is_ended(make):
    polite = make("import time\ntry:\n    print('ready')\n    while True:\n        time.sleep_ms(10)\nfinally:\n    print('closed')\n")
    with polite:
        polite.wait_for("ready")
    assert "closed" in polite.lines
    stubborn = make(
        "print('ready')\nwhile True:\n    try:\n        while True:\n            pass\n    except KeyboardInterrupt:\n        pass\n",
        folder="b",
    )
    with stubborn:
        stubborn.wait_for("ready")
        pid = stubborn.pid
    assert gone(pid)


def test_the_console_is_bounded_and_survives_bytes_without_lines(make):
    source = "import sys\nfor i in range(6000):\n    print(i)\nsys.stdout.buffer.write(b'\\xff' * 20000)\nprint()\nprint('end')\n"
    with make(source) as board:
        board.wait_for("^end$", 20)
        assert len(board.lines) == 5000
        assert max(map(len, board.lines)) <= 8192


def test_a_supervisor_that_is_killed_leaves_no_board_behind(tmp_path):
    (tmp_path / "main.py").write_text(IDLE)
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom tools.board.process import Board\n"
        f"board = Board(Path({str(tmp_path)!r}) / 'a', main=Path({str(tmp_path)!r}) / 'main.py').start()\n"
        "board.wait_for('ready')\nprint(board.pid, flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT, text=True) as supervisor:
        assert supervisor.stdout is not None
        pid = int(supervisor.stdout.readline())
        supervisor.kill()
    wait_for(lambda: gone(pid))


def test_a_vm_that_dies_by_itself_is_a_crash_that_names_the_signal(make):
    with make() as board:
        board.wait_for("ready")
        os.kill(board.pid, signal.SIGKILL)
        board.wait_for("the VM was ended by SIGKILL")
        assert board.wait(10)
        assert board.crashed


def test_an_unknown_board_names_the_known_ones(tmp_path):
    with pytest.raises(ProfileError, match="there are: .*unix"):
        Board(tmp_path, board="nothing")


@pytest.fixture
def redpoll_board(tmp_path):
    """Run `redpoll board` with a flash in tmp_path."""
    started = []

    def run(*arguments):
        command = [sys.executable, "-m", "tools.cli", "board", "--flash", str(tmp_path / "f" / "flash.img"), *arguments]
        started.append(
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True)
        )
        return started[-1]

    yield run
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.communicate()


def test_the_command_prints_the_console_and_ends_with_the_program(redpoll_board, tmp_path):
    (tmp_path / "good.py").write_text("import machine\nprint(open('settings.json').read())\nmachine.Pin('LED', 1).on()\n")
    (tmp_path / "bad.py").write_text("print('files', 'keep' in __import__('os').listdir())\nopen('keep', 'w').close()\n1/0\n")
    (tmp_path / "settings.json").write_text('{"sn": "77"}')
    good = redpoll_board("--main", str(tmp_path / "good.py"), "--settings", str(tmp_path / "settings.json"))
    assert good.communicate(timeout=30)[0].splitlines() == ['{"sn": "77"}', "LED on"]
    assert good.returncode == 0
    for arguments, kept in (((), False), ((), True), (("--fresh",), False)):
        bad = redpoll_board("--main", str(tmp_path / "bad.py"), *arguments)
        console, said = bad.communicate(timeout=30)
        assert console.startswith(f"files {kept}\n") and "ZeroDivisionError" in console
        assert "main.py has failed" in said
        assert bad.returncode == 1


def test_the_command_brings_the_files_that_its_settings_name(redpoll_board, tmp_path):
    (tmp_path / "main.py").write_text("print(open('ca.pem').read(), 'key' in __import__('os').listdir())")
    (tmp_path / "ca.pem").write_text("a certificate")
    (tmp_path / "settings.json").write_text('{"sn": "77", "ca": "ca.pem", "update_key": "-----BEGIN\\n", "license_key": "key"}')
    board = redpoll_board("--main", str(tmp_path / "main.py"), "--settings", str(tmp_path / "settings.json"))
    assert board.communicate(timeout=30)[0] == "a certificate False\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_stops_cleanly(redpoll_board, tmp_path, number):
    (tmp_path / "main.py").write_text(
        "import time\ntry:\n    print('ready')\n    while True:\n        time.sleep_ms(10)\nfinally:\n    print('closed')\n"
    )
    process = redpoll_board("--main", str(tmp_path / "main.py"))
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    console, said = process.communicate(timeout=30)
    assert console == "closed\n"
    assert "Traceback" not in said
    assert process.returncode == 0


@pytest.mark.parametrize("ending", ["", "    open('/nowhere/x')\n"])
def test_after_ctrl_c_nothing_but_the_traceback_of_the_interrupt_is_left_out(redpoll_board, tmp_path, ending):
    (tmp_path / "main.py").write_text(
        "import time\ntry:\n    print('ready')\n    while True:\n        time.sleep_ms(10)\nfinally:\n"
        f"    print('  File \"report.csv\", line 3 written')\n    print('KeyboardInterrupt: seen')\n{ending}"
    )
    process = redpoll_board("--main", str(tmp_path / "main.py"))
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    console = process.communicate(timeout=30)[0].splitlines()
    assert console[:2] == ['  File "report.csv", line 3 written', "KeyboardInterrupt: seen"]
    if ending:
        assert console[2] == "Traceback (most recent call last):" and '  File "main.py", line 9, in <module>' in console
        assert console[-1] == "OSError: [Errno 2] ENOENT"
    else:
        assert console[2:] == []


@pytest.mark.parametrize(("settings", "said"), [("{", "not JSON"), ("[]", "must be a JSON object"), (None, "No such file")])
def test_the_command_refuses_settings_that_are_none(redpoll_board, tmp_path, settings, said):
    path = tmp_path / "settings.json"
    if settings is not None:
        path.write_text(settings)
    process = redpoll_board("--settings", str(path))
    output = process.communicate(timeout=30)[1]
    assert said in output and "settings.json" in output
    assert "Traceback" not in output
    assert process.returncode == 1


def test_what_a_client_sends_while_the_board_notices_that_another_has_gone_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal(tmp_path / "tty")
    client = os.open(terminal.link, os.O_RDWR | os.O_NOCTTY)
    try:
        terminal.look()
        os.write(client, b"\x03")
        with monkeypatch.context() as gone:

            def read(fd: int, size: int) -> bytes:
                raise OSError(errno.EIO, "as for a terminal that nobody has open")

            gone.setattr("tools.board.terminal.os.read", read)
            assert terminal.read() == b""
        assert terminal.read() == b"\x03"
    finally:
        os.close(client)
        terminal.close()
