"""The serial port of the virtual board: REPL, raw REPL, resets; unmodified mpremote and ampy on it."""

import hashlib
import os
import pty
import re
import signal
import subprocess
import time

import pytest
from long_run import LONG
from mpremote.transport import TransportError
from mpremote.transport_serial import SerialTransport
from serial_client import BIN, Session, Wire, ampy, mpremote
from waiting import wait_for, wait_for_write

from tools.board.process import Board
from tools.paths import FIRMWARE

FROZEN = "esp32, agent frozen in"
PROFILES = ["esp32", "esp32s3", "rpi_pico_w", "rpi_pico2_w", FROZEN] if LONG else ["esp32"]
COUNTING = b"import time\nn = 1\nprint('main runs')\nwhile True:\n    n += 1\n    time.sleep_ms(5)\n"


@pytest.fixture(params=PROFILES)
def board(request, tmp_path):
    profile, _, frozen = request.param.partition(",")
    with Board(tmp_path / "board", board=profile, bare=True, terminal=tmp_path / "tty", frozen_agent=bool(frozen)) as board:
        yield board


def with_files(board, **files):
    """Restart the board with these files on it."""
    board.kill()
    for name, data in files.items():
        board.write_file(f"{name}.py", data)
    return board.start()


def test_after_boot_and_main_there_is_a_repl_with_their_names(board):
    with_files(board, boot=b"x = 1\nprint('boot')\n", main=b"y = x + 1\nprint('main')\n")
    with Wire(board.port) as wire:
        wire.type(b"\r")
        wire.until(b">>> ")
        wire.type(b"\x04")
        said = wire.until(b"information.\r\n>>> ")
        assert b"MPY: soft reboot\r\nboot\r\nmain\r\nMicroPython " in said
        assert b"; " + board.profile.machine.encode() + b"\r\nType " in said
        assert wire.ask(b"x, y") == b"(1, 2)\r\n"


def test_ctrl_c_stops_main_and_leaves_its_names(board):
    with_files(board, main=COUNTING)
    with Wire(board.port) as wire:
        board.wait_for("main runs", 20)
        wire.type(b"\x03")
        assert b"KeyboardInterrupt" in wire.until(b">>> ")
        assert int(wire.ask(b"n")) > 0


def test_ctrl_c_several_times_in_a_row_is_one(board):
    with_files(board, main=COUNTING)
    with Wire(board.port) as wire:
        board.wait_for("main runs", 20)
        for _ in range(5):
            wire.type(b"\r\x03\x03\x03")
            wire.until(b"KeyboardInterrupt")
            wire.type(b"\r")
            wire.until(b"\r\n>>> \r\n>>> ")
            assert int(wire.ask(b"n")) > 0
            before = board.line_count
            wire.type(b"\x04")
            board.wait_for("main runs", 20, since=before)


def test_an_exception_in_main_is_on_the_port_and_the_board_goes_on(board):
    with_files(board, main=b"import time\nprint('main runs')\nopen('nothing')\n")
    with Wire(board.port) as wire:
        board.wait_for("main runs", 20)
        wire.type(b"\r")
        wire.until(b">>> ")
        wire.type(b"\x04")
        assert b'  File "main.py", line 3, in <module>\r\nOSError: [Errno 2] ENOENT\r\n' in wire.until(b"information.\r\n>>> ")
        assert wire.ask(b"1 + 1") == b"2\r\n"


def test_control_characters_do_what_they_do_on_a_board(board):
    with Wire(board.port) as wire:
        wire.type(b"\r")
        wire.until(b">>> ")
        wire.type(b"\x05")
        wire.until(b"=== ")
        wire.type(b"for i in range(2):\n    print(i)\n\x04")
        assert b"0\r\n1\r\n" in wire.until(b">>> ")
        wire.type(b"while True: pass\r\r")
        wire.until(b"... \r\n")
        wire.type(b"\x03")
        assert b"KeyboardInterrupt" in wire.until(b">>> ")
        wire.type(b"abc\x03")  # clears the line
        wire.until(b"\r\n>>> ")
        wire.type(b"\x01")
        wire.until(b"raw REPL; CTRL-B to exit\r\n>")
        wire.type(b"x = 5\x04")
        assert wire.until(b"\x04\x04>") == b"OK\x04\x04>"
        wire.type(b"1/0\x04")
        assert re.fullmatch(rb"OK\x04Traceback .*ZeroDivisionError: [^\r\n]*\r\n\x04>", wire.until(b"\r\n\x04>"), re.DOTALL)
        wire.type(b"\x04")
        assert wire.until(b">") == b"OK\r\nMPY: soft reboot\r\nraw REPL; CTRL-B to exit\r\n>"
        wire.type(b"\x02")
        wire.until(b">>> ")
        assert b"NameError" in wire.ask(b"x")


def test_a_soft_reset_from_the_raw_repl_runs_boot_and_not_main(board):
    with_files(board, boot=b"print('boot runs')\n", main=COUNTING)
    with Wire(board.port) as wire:
        board.wait_for("main runs", 20)
        wire.type(b"\r\x03\r\x01")
        wire.until(b"raw REPL; CTRL-B to exit\r\n>")
        wire.type(b"\x04")
        assert wire.until(b"exit\r\n>").endswith(b"OK\r\nMPY: soft reboot\r\nboot runs\r\nraw REPL; CTRL-B to exit\r\n>")
        wire.type(b"\x02")
        wire.until(b">>> ")
        wire.type(b"\x04")
        assert b"boot runs\r\nmain runs\r\n" in wire.until(b"main runs\r\n")


@pytest.mark.parametrize("profile", ["esp32", "rpi_pico_w"])
def test_soft_resets_are_no_starts_that_lead_to_safe_mode(tmp_path, profile):
    with Board(tmp_path / "board", board=profile, bare=True, terminal=tmp_path / "tty") as board:
        with_files(board, boot=(FIRMWARE / "boot.py").read_bytes())
        with Wire(board.port) as wire:
            wire.type(b"\r")
            wire.until(b">>> ")
            wire.type(b"\x01")
            wire.until(b"raw REPL; CTRL-B to exit\r\n>")
            board.age(60)
            for _ in range(12):
                wire.type(b"\x04")
                wire.until(b"exit\r\n>")
        board.kill()
        assert b'"boots": 1,' in board.read_file("/boot.state")


def test_raw_paste_has_flow_control_and_can_be_given_up(board):
    program = b"".join(b"x%d = %d\n" % (i, i) for i in range(200)) + b"print(x199)\n"
    with Wire(board.port) as wire:
        wire.type(b"\r\x01")
        wire.until(b"raw REPL; CTRL-B to exit\r\n>")
        wire.type(b"\x05A\x01")
        window = int.from_bytes(wire.until(b"R\x01") and wire_take(wire, 2), "little")
        assert 32 <= window <= 1024
        left, windows = 0, 0
        assert wire_take(wire, 1) == b"\x01"
        left = 2 * window  # one is granted at the start, one with the first \x01
        rest = program
        while rest:
            if not left:
                assert wire_take(wire, 1) == b"\x01"
                left, windows = window, windows + 1
            wire.type(rest[:left])
            rest, left = rest[left:], max(0, left - len(rest))
        assert windows >= len(program) // window - 3
        wire.type(b"\x04")
        assert wire.until(b"\x04\x04>").endswith(b"\x04199\r\n\x04\x04>")
        wire.type(b"\x05A\x01")
        wire.until(b"R\x01")
        wire_take(wire, 3)
        wire.type(b"half = \x03")
        assert b"\x04" in wire.until(b">")
        wire.type(b"print('well')\x04")
        wire.until(b"OKwell\r\n\x04\x04>")


def wire_take(wire, n):
    deadline = time.monotonic() + 20
    while len(wire.seen) < n:
        assert time.monotonic() < deadline
        wire.seen += os.read(wire.fd, 4096)
    taken, wire.seen = wire.seen[:n], wire.seen[n:]
    return taken


def test_kbd_intr_lets_ctrl_c_through_as_a_byte(board):
    with Session(board.port) as run:
        run("import micropython, sys\nmicropython.kbd_intr(-1)")
    with Wire(board.port) as wire:
        wire.type(b"\r")
        wire.until(b">>> ")
        wire.type(b"import sys, micropython; micropython.kbd_intr(-1); print(sys.stdin.buffer.read(3)); micropython.kbd_intr(3)\r")
        wire.until(b"kbd_intr(3)\r\n")
        wire.type(b"a\x03b")
        assert wire.until(b">>> ") == b"b'a\\x03b'\r\n>>> "


def test_text_gets_carriage_returns_and_bytes_stay_as_they_are(board):
    with Wire(board.port) as wire:
        wire.type(b"\r\x01")
        wire.until(b"raw REPL; CTRL-B to exit\r\n>")
        wire.type(b"import sys\nprint('a\\nb')\nsys.stdout.write('c\\n')\nsys.stdout.buffer.write(bytes(range(256)) * 20)\x04")
        assert wire.until(b"\xff\x04\x04>") == b"OKa\r\nb\r\nc\r\n" + bytes(range(256)) * 20 + b"\x04\x04>"


def test_a_client_that_does_not_read_does_not_stop_the_board(board):
    with Wire(board.port) as wire:
        wire.type(b"\r\r")
        before = board.line_count
        wire.type(b"while True: print('x' * 100)\r\r")
        wait_for(lambda: board.line_count >= before + 2000, "2000 lines", 30)
        wire.type(b"\x03")
        board.wait_for("KeyboardInterrupt", 20)


def test_the_host_cannot_be_seen_from_the_board(board):
    with Session(board.port) as run:
        assert run("import os, vfs\nprint(os.listdir('/'), len(vfs.mount()))") == "[] 1\n"
        assert run("print([n for n in ('getenv', 'system', 'VfsPosix') if hasattr(os, n) or hasattr(vfs, n)])") == "[]\n"
        assert run("import sys\nprint(sys.platform, os.uname().machine == sys.implementation._machine)") == f"{board.profile.port} True\n"


def test_what_is_typed_ahead_is_not_lost_over_a_soft_reset(board):
    with Wire(board.port) as wire:
        wire.type(b"\r")
        wire.until(b">>> ")
        wire.type(b"\x04print('typed', 'ahead')\r")
        wire.until(b"MPY: soft reboot\r\n")
        wire.until(b"\r\ntyped ahead\r\n")


def test_a_hard_reset_comes_back_on_the_same_port(board):
    with Wire(board.port) as wire:
        wire.type(b"\r")
        wire.until(b">>> ")
        wire.ask(b"x = 1; import machine")
        wire.type(b"machine.reset()\r")
        wire.until(b"information.\r\n>>> ")
        assert b"NameError" in wire.ask(b"x")
        assert wire.ask(b"import machine; machine.reset_cause()") == (b"3\r\n" if board.profile.port == "rp2" else b"2\r\n")


def test_the_watchdog_bites_at_the_prompt_too_and_outlives_a_soft_reset(board):
    with Wire(board.port) as wire:
        wire.type(b"\r")
        wire.until(b">>> ")
        wire.ask(b"import machine; w = machine.WDT(timeout=5000)")
        wire.type(b"\x04")
        wire.until(b"MPY: soft reboot\r\n")
        wire.until(b"information.\r\n>>> ")
        wire.until(b"information.\r\n>>> ")
        assert wire.ask(b"import machine; machine.reset_cause()") == b"3\r\n"


# --- mpremote


def test_mpremote_reads_and_writes_files(board, tmp_path):
    source = tmp_path / "src"
    (source / "sub").mkdir(parents=True)
    blob = os.urandom(20000) + b"\n\r\n\x03\x04\x18"
    (source / "sub" / "blob.bin").write_bytes(blob)
    (source / "a.py").write_text("print('a runs')\n")
    said = mpremote(
        board.port,
        *("exec", "print(6 * 7)"),
        *("+", "fs", "cp", "-r", source, ":"),
        *("+", "fs", "mkdir", ":d"),
        *("+", "fs", "cp", source / "a.py", ":d/b.py"),
        *("+", "fs", "ls", ":src"),
        *("+", "fs", "cat", ":d/b.py"),
        *("+", "fs", "sha256sum", ":src/sub/blob.bin"),
        *("+", "fs", "cp", ":src/sub/blob.bin", tmp_path / "back.bin"),
        *("+", "run", source / "a.py"),
        *("+", "fs", "rm", ":d/b.py"),
        *("+", "fs", "rmdir", ":d"),
        *("+", "fs", "ls", ":"),
        *("+", "df"),
    )
    assert "42\n" in said
    assert hashlib.sha256(blob).hexdigest() in said
    assert (tmp_path / "back.bin").read_bytes() == blob
    assert "print('a runs')" in said and "\na runs\n" in said
    after = said.rpartition("ls :\n")[2]
    assert "src/" in after and "d/" not in after.replace("mounted/", "")
    assert str(board.profile.flash_size) in said
    assert "No such file" in mpremote(board.port, "fs", "cat", ":nothing", fails=True)


def test_a_file_that_is_only_closed_by_the_collector_is_written(board):
    # that happens while the heap is locked, in which a driver of a chip needs none either
    left = "def leave():\n f = open('left', 'w')\n f.write('x' * 9000)\nleave()\n[0] * 100\n"
    assert mpremote(board.port, "exec", left + "import gc, os\ngc.collect()\nprint(os.stat('left')[6])") == "9000\n"


def test_mpremote_mounts_a_folder_of_this_machine(board, tmp_path):
    (tmp_path / "here.py").write_text("VALUE = 'from the laptop'\n")
    (tmp_path / "data.bin").write_bytes(bytes(range(256)) * 8)
    said = mpremote(
        board.port,
        "mount",
        ".",
        "exec",
        "import here, os, hashlib\nprint(here.VALUE, sorted(os.listdir())[0])\n"
        "print(open('data.bin', 'rb').read() == bytes(range(256)) * 8)\nopen('made.txt', 'w').write('on the board')\n",
        cwd=tmp_path,
    )
    assert "from the laptop" in said and "\nTrue\n" in said
    assert (tmp_path / "made.txt").read_text() == "on the board"


def test_a_mount_that_is_killed_leaves_the_board_deaf_until_a_reset(board, tmp_path):
    code = "while True:\n    open('/remote/mark', 'w').close()\n"
    mount = subprocess.Popen([BIN / "mpremote", "connect", board.port, "mount", tmp_path, "exec", code], stdout=subprocess.DEVNULL)
    try:
        wait_for((tmp_path / "mark").exists, "the mark", 20)
    finally:
        mount.kill()
        mount.wait()
    deaf = SerialTransport(str(board.port), timeout=1)
    with pytest.raises(TransportError, match="could not enter raw repl"):
        deaf.enter_raw_repl(timeout_overall=1)
    deaf.close()
    board.restart()
    with Session(board.port) as run:
        assert run("print(6 * 7)") == "42\n"


def test_mpremote_installs_a_package_of_this_machine(board, tmp_path):
    (tmp_path / "thing.py").write_text("NAME = 'thing'\n")
    (tmp_path / "package.json").write_text(f'{{"urls": [["thing/__init__.py", "{(tmp_path / "thing.py").as_uri()}"]], "version": "1"}}')
    (tmp_path / "local.json").write_text('{"urls": [["thing/__init__.py", "thing.py"]], "version": "1"}')
    said = mpremote(board.port, "mip", "install", "--no-mpy", "local.json", "+", "exec", "import thing; print(thing.NAME)", cwd=tmp_path)
    assert said.endswith("thing\n"), said


def test_mpremote_resets_resumes_and_sets_the_clock(board):
    said = mpremote(
        board.port,
        *("exec", "kept = 'kept over resume'"),
        *("+", "resume", "+", "exec", "print(kept)"),
        *("+", "rtc", "--set", "+", "soft-reset", "+", "rtc"),
        *("+", "exec", "print('kept' in globals())"),
    )
    assert "kept over resume" in said and "False" in said
    assert f"({time.gmtime().tm_year}, " in said
    mpremote(board.port, "reset")
    board.wait_for("hard reset")


def test_mpremote_repl_on_a_terminal(board):
    process, terminal = pty.fork()
    if process == 0:
        os.execv(BIN / "mpremote", ["mpremote", "connect", str(board.port), "repl"])
    try:
        said = b""
        deadline = time.monotonic() + 30
        typed = [(b"Ctrl-]", b"\r40 + 2\r"), (b"42\r\n>>> ", b"\x1d")]
        while typed and time.monotonic() < deadline:
            said += os.read(terminal, 4096)
            if typed[0][0] in said:
                os.write(terminal, typed.pop(0)[1])
        assert not typed, said
        assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
    finally:
        os.close(terminal)


def test_a_client_that_is_killed_in_the_middle_of_a_copy_does_not_harm_the_board(board, tmp_path):
    (tmp_path / "large.bin").write_bytes(os.urandom(200_000))
    for _ in range(5 if LONG else 2):
        before = board.line_count
        client = subprocess.Popen(
            [BIN / "mpremote", "connect", board.port, "fs", "cp", tmp_path / "large.bin", ":large.bin"], stdout=subprocess.DEVNULL
        )
        board.wait_for("soft reset", 30, since=before)
        wait_for_write(board.image.path)
        client.send_signal(signal.SIGKILL)
        client.wait()
        assert mpremote(board.port, "exec", "print('alive')").endswith("alive\n")


# --- ampy


def test_ampy_does_all_it_can_without_resume(board, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "data.txt").write_text("abc\n")
    (tmp_path / "a.py").write_text("print('a runs')\n")
    ampy(board.port, "put", tmp_path / "a.py")
    ampy(board.port, "put", tmp_path / "sub", "d")
    assert ampy(board.port, "ls", "-r") == "/a.py\n/d/data.txt\n"
    assert "a runs" in ampy(board.port, "run", tmp_path / "a.py")
    if LONG:
        assert ampy(board.port, "get", "d/data.txt").strip() == "abc"
        ampy(board.port, "mkdir", "e")
        ampy(board.port, "rmdir", "e")
        ampy(board.port, "reset")
    ampy(board.port, "rm", "a.py")
    ampy(board.port, "rmdir", "d")
    assert ampy(board.port, "ls") == ""


def test_several_boards_at_once(tmp_path):
    boards = [
        Board(tmp_path / name, board=name, bare=True, terminal=tmp_path / f"tty-{name}") for name in ("esp32", "rpi_pico_w", "esp32s3")
    ]
    try:
        sessions = [Session(board.start().port) for board in boards]
        runs = [session.__enter__() for session in sessions]
        for number, run in enumerate(runs):
            run(f"with open('mine', 'w') as file: file.write('{number}')")
        assert [run("print(open('mine').read())") for run in runs] == ["0\n", "1\n", "2\n"]
        for session in sessions:
            session.__exit__()
    finally:
        for board in boards:
            board.kill()
