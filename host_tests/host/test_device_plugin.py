"""The plugin that runs device tests on CPython and on the MicroPython VM."""

import os
from pathlib import Path

import pytest
import serial_board
from serial_board import what_it_lacks

from tools.board.process import Board
from tools.vm32 import find_vm32

HOST_TESTS = Path(__file__).resolve().parent.parent
SUPPORT = (HOST_TESTS / "device" / "support.py").read_text()


@pytest.fixture
def run(pytester, monkeypatch):
    """Write device test files (name=source), run pytest on them with these arguments, give its result."""
    monkeypatch.setenv("PYTHONPATH", str(HOST_TESTS))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    # the other plugins of this environment take longer to load than these tests run
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run_tests(*arguments, **files):
        folder = pytester.path / "host_tests" / "device"
        folder.mkdir(parents=True, exist_ok=True)
        (pytester.path / "pytest.ini").write_text("[pytest]\n")
        for name, source in files.items():
            (folder / f"{name}.py").write_text(source)
        return pytester.runpytest_subprocess("-p", "device_plugin", *(arguments or ("-v",)), timeout=60)

    return run_tests


def output(result):
    return result.stdout.str()


def test_one_function_is_one_result_on_each_interpreter(run):
    result = run(test_a="import sys\ndef test_it():\n    assert sys.implementation.name in ('cpython', 'micropython')\n")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*test_a.py::test_it?cpython? PASSED*", "*test_a.py::test_it?micropython? PASSED*"])


def test_the_interpreters_are_the_ones_in_the_names(run):
    result = run(test_a="import sys\ndef test_it():\n    assert sys.implementation.name == 'cpython'\n")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*test_it?micropython? FAILED*"])


def test_the_firmware_and_umqtt_are_importable_and_the_shim_only_on_cpython(run):
    result = run(
        test_a="import sys\n"
        "def test_it():\n"
        "    from redpoll import backoff\n"
        "    from umqtt.simple import MQTTClient\n"
        "    import micropython\n"
        "    assert hasattr(micropython, '__file__') == (sys.implementation.name == 'cpython')\n"
        "    assert not any(p.endswith('shim') for p in sys.path) or sys.implementation.name == 'cpython'\n"
    )
    result.assert_outcomes(passed=2)


def test_a_failed_comparison_shows_both_values_and_the_line_on_the_vm(run):
    result = run("-k", "micropython", test_a="def test_it():\n    found = [1, 2]\n    assert found == [1,\n        3], \\\n        'no'\n")
    result.assert_outcomes(failed=1, deselected=1)
    assert "AssertionError: no" in output(result)
    result = run("-k", "micropython", test_a="def test_it():\n    found = [1, 2]\n    assert (found) == (\n        [1, 3]\n    )\n")
    # a statement over several lines has the line of its last argument on MicroPython
    result.stdout.fnmatch_lines(['*"host_tests/device/test_a.py", line 4, in test_it', "*?1, 3?", "*AssertionError: ?1, 2? == ?1, 3?"])
    assert "vm_runner" not in output(result)


@pytest.mark.parametrize(
    ("statement", "shown"),
    [
        ("assert 1 == 2", "1 == 2"),
        ("assert 1 != 1", "1 != 1"),
        ("assert 'é' in 'xyz'", "'é' in 'xyz'"),
        ("assert 1 not in [1]", "1 not in [1]"),
        ("assert 1 is None", "1 is None"),
        ("assert None is not None", "None is not None"),
        ("assert (1 + 1) * 2 > (3 + 4)", "4 > 7"),
        ("assert not True", "AssertionError"),
        ("assert 1 < 2 < 2", "AssertionError"),
    ],
)
def test_with_values_keeps_meaning_and_lines(statement, shown):
    from assertion_values import with_values

    source = f"def test():\n    x = 1\n    {statement}\n".encode()
    rewritten = with_values(source)
    assert rewritten.count(b"\n") == source.count(b"\n")
    namespace = {"_compare": runner_compare()}
    exec(compile(rewritten, "t", "exec"), namespace)
    with pytest.raises(AssertionError) as caught:
        namespace["test"]()
    assert shown in repr(caught.value)
    assert caught.tb.tb_next.tb_lineno == 3


def runner_compare():
    namespace = {}
    exec((HOST_TESTS / "vm" / "vm_runner.py").read_text(), namespace)
    return namespace["_compare"]


def test_cpython_failure_is_shown_from_the_test_on(run):
    result = run("-k", "cpython", test_a="def inner(x):\n    assert x == 2\ndef test_it():\n    inner(1)\n")
    result.assert_outcomes(failed=1, deselected=1)
    assert "assert 1 == 2" in output(result)
    assert "import_module" not in output(result)


def test_a_test_that_asks_a_name_server_fails_even_where_the_firmware_copes(run):
    look = "import socket\ndef test_it():\n    try:\n        socket.getaddrinfo('%s', 123)\n    except OSError:\n        pass\n"
    result = run("-k", "cpython", test_a=look % "time.example", test_b=look % "127.0.0.1", test_c=look % "localhost")
    result.assert_outcomes(passed=2, failed=1, deselected=3)
    assert "the test looked for the host time.example" in output(result)


def test_an_exception_shows_the_vms_traceback(run):
    helper = "def f():\n    raise ValueError('odd')\n"
    result = run("-k", "micropython", test_a="from helper import f\ndef test_it():\n    f()\n", helper=helper)
    result.assert_outcomes(failed=1, deselected=1)
    result.stdout.fnmatch_lines(
        ['*"host_tests/device/test_a.py", line 3, in test_it', '*"host_tests/device/helper.py", line 2, in f', "*ValueError: odd"]
    )


def test_what_a_test_printed_is_shown_with_its_failure(run):
    result = run("-k", "micropython", test_a="def test_it():\n    print('half way')\n    raise OSError(5)\n")
    result.stdout.fnmatch_lines(["half way", "*OSError*"])


def test_a_hang_ends_at_the_deadline_with_its_output(run):
    source = "TIMEOUT = 1\ndef test_it():\n    print('going round')\n    while True:\n        pass\n"
    result = run("-k", "micropython", test_a=source)
    result.assert_outcomes(failed=1, deselected=1)
    result.stdout.fnmatch_lines(["*going round*", "*did not finish the test: still ran after 1 s and was killed*"])


@pytest.mark.parametrize("status", [0, 3])
def test_leaving_through_sys_exit_is_a_failure(run, status):
    result = run(test_a=f"import sys\ndef test_it():\n    sys.exit({status})\n")
    result.assert_outcomes(failed=2)


def test_a_vm_that_is_killed_is_a_failure_that_names_the_signal(run):
    # MicroPython has no getpid; its parent shell knows
    source = "import os\ndef test_it():\n    print('last words')\n    os.system('kill -9 $PPID')\n"
    result = run("-k", "micropython", test_a=source)
    result.assert_outcomes(failed=1, deselected=1)
    result.stdout.fnmatch_lines(["*last words*", "*did not finish the test: was killed by signal 9*"])


def test_a_silent_exit_with_status_0_is_a_failure(run, monkeypatch, pytester):
    silent = pytester.path / "silent-vm"
    silent.write_text("#!/bin/sh\nexit 0\n")
    silent.chmod(0o755)
    (pytester.path / "conftest.py").write_text(f"import device_plugin\ndevice_plugin.find_vm = lambda: {str(silent)!r}\n")
    result = run("-k", "micropython", test_a="def test_it():\n    pass\n")
    result.assert_outcomes(failed=1, deselected=1)
    result.stdout.fnmatch_lines(["*did not finish the test: exit status 0*"])


def test_printing_without_end_is_stopped(run):
    result = run("-k", "micropython", test_a="def test_it():\n    while True:\n        print('x' * 1000)\n")
    result.assert_outcomes(failed=1, deselected=1)
    result.stdout.fnmatch_lines(["*printed more than * bytes and was killed*"])


def test_a_claim_to_have_passed_is_not_believed(run):
    result = run("-k", "micropython", test_a="def test_it():\n    print('0123456789abcdef passed')\n    assert False\n")
    result.assert_outcomes(failed=1, deselected=1)


def test_skip_gives_its_reason_in_a_test_and_at_import(run):
    source = "from support import SkipTest\ndef test_it():\n    raise SkipTest('no sockets here')\n"
    at_import = "from support import SkipTest\nraise SkipTest('not on this chip')\ndef test_it():\n    pass\n"
    result = run("-rs", test_a=source, test_b=at_import, support=SUPPORT)
    result.assert_outcomes(skipped=4)
    assert output(result).count("no sockets here") >= 1
    assert output(result).count("not on this chip") >= 1


def test_raises_accepts_the_right_exception_only(run):
    source = (
        "from support import raises\n"
        "def test_right():\n    with raises(ValueError, OSError) as caught:\n        raise OSError(7)\n"
        "    assert caught.value.args[0] == 7\n"
        "def test_none():\n    with raises(ValueError):\n        pass\n"
        "def test_other():\n    with raises(ValueError):\n        raise TypeError('x')\n"
    )
    result = run(test_a=source, support=SUPPORT)
    result.assert_outcomes(passed=2, failed=4)


def test_an_import_that_fails_on_one_interpreter_fails_only_there(run):
    result = run(test_a="import vfs\ndef test_it():\n    assert vfs.VfsLfs2\n")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*cpython? FAILED*", "*micropython? PASSED*", "*No module named 'vfs'*"])


def test_a_helper_that_mpy_cross_refuses_fails_only_its_tests(run):
    result = run(
        "-v",
        "-k",
        "micropython",
        test_a="import helper\ndef test_it():\n    pass\n",
        test_b="def test_it():\n    pass\n",
        helper="match 1:\n    case 1:\n        pass\n",
    )
    result.assert_outcomes(passed=1, failed=1, deselected=2)
    assert "SyntaxError" in output(result)


def test_a_file_that_does_not_parse_is_a_collection_error(run):
    result = run(test_a="def test_it(:\n")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*test_a.py:1: *"])


def test_fixtures_and_decorators_are_refused(run):
    result = run(test_a="def test_it(tmp_path):\n    pass\n")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*test_it may have no parameters and no decorators*"])


def test_selection_by_keyword_by_id_and_stopping_at_the_first_failure(run):
    files = {"test_a": "def test_one():\n    assert False\ndef test_two():\n    pass\n"}
    run("-k", "two", **files).assert_outcomes(passed=2, deselected=2)
    run("-k", "two and micropython", **files).assert_outcomes(passed=1, deselected=3)
    run("host_tests/device/test_a.py::test_two[micropython]", **files).assert_outcomes(passed=1)
    run("host_tests/device/test_a.py::test_two", **files).assert_outcomes(passed=2)
    run("-x", **files).assert_outcomes(failed=1)
    result = run("--collect-only", "-q", **files)
    result.stdout.fnmatch_lines(["host_tests/device/test_a.py::test_one?cpython?", "host_tests/device/test_a.py::test_two?micropython?"])


def test_the_heap_is_192k_unless_the_module_says_otherwise(run):
    source = "import sys\ndef test_it():\n    if sys.implementation.name == 'micropython':\n        bytearray(400000)\n"
    result = run(test_a=source, test_b="HEAP = '1M'\n" + source)
    result.assert_outcomes(passed=3, failed=1)
    assert "MemoryError" in output(result)


def test_each_test_starts_fresh_in_an_empty_folder(run):
    source = (
        "import os\nimport helper\n"
        "def step():\n    assert os.listdir() == []\n    open('left', 'w').close()\n    helper.seen += 1\n    assert helper.seen == 1\n"
        "def test_one():\n    step()\ndef test_two():\n    step()\n"
    )
    run(test_a=source, helper="seen = 0\n").assert_outcomes(passed=4)


def test_a_changed_file_is_compiled_again_and_a_removed_one_is_gone(run):
    run("-k", "micropython", test_a="import helper\ndef test_it():\n    assert helper.x == 1\n", helper="x = 1\n").assert_outcomes(
        passed=1, deselected=1
    )
    run("-k", "micropython", helper="x = 2\n").assert_outcomes(failed=1, deselected=1)
    os.remove("host_tests/device/helper.py")
    result = run("-k", "micropython")
    result.assert_outcomes(failed=1, deselected=1)
    assert "no module named 'helper'" in output(result)


def test_without_a_vm_its_results_fail_and_say_where_to_get_one(run, monkeypatch, pytester):
    (pytester.path / "conftest.py").write_text(
        "import device_plugin\nfrom tools.vm import MISSING, NoMicroPython\n"
        "def nothing():\n    raise NoMicroPython(MISSING)\n"
        "device_plugin.find_vm = nothing\n"
    )
    result = run(test_a="def test_it():\n    pass\n")
    result.assert_outcomes(passed=1, failed=1)
    assert "There is no MicroPython on this machine" in output(result)


def test_nothing_imported_for_a_device_test_stays_behind(run, pytester):
    (pytester.path / "test_after.py").write_text(
        "import sys\ndef test_clean():\n    assert not {'redpoll', 'machine', 'micropython'} & set(sys.modules)\n"
    )
    run(
        "host_tests",
        "test_after.py",
        test_a="import machine, micropython, redpoll\ndef test_it():\n    pass\n",
    ).assert_outcomes(passed=3)


def test_the_32_bit_vm_runs_what_the_long_run_asks_for(run, pytester, monkeypatch):
    if find_vm32() is None:
        pytest.skip("no 32-bit MicroPython: `make vm32` fetches it")
    monkeypatch.setenv("REDPOLL_LONG", "1")
    result = run(
        "-v",
        "-o",
        "device_interpreters=micropython32",
        test_a="import sys\ndef test_it():\n    assert sys.maxsize == 0x7fffffff\ndef test_not():\n    assert sys.maxsize == 1\n",
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*test_it?micropython32? PASSED*", "*On the 32-bit MicroPython VM*", "*AssertionError: 2147483647 == 1*"])


def test_on_a_board_each_test_is_a_result_and_what_the_board_lacks_is_a_skip(run, tmp_path):
    source = (
        "HEAP = '2M'\n"
        "def test_good():\n    open('left', 'w').close()\n"
        "def test_fresh():\n    import os\n    assert os.listdir() == []\n"
        "def test_bad():\n    assert 1 == 2\n"
        "def test_large():\n    bytearray(1000000)\n"
        "def test_lacking():\n    import socket, ssl, nosuch\n"
        "def test_resets():\n    import machine\n    machine.reset()\n"
        "def test_after():\n    import redpoll.backoff\n"
        "TIMEOUT = 6\n"
    )
    with Board(tmp_path / "board", board="rpi_pico_w", bare=True, terminal=tmp_path / "tty") as board:
        untried = "BOARD_HEAP = '2M'\ndef test_too_small():\n    raise ValueError('tried')\n"
        tried = "BOARD_HEAP = '50K'\ndef test_enough():\n    pass\n"
        result = run(
            f"--board={board.port}", "--board-title=pico", "-v", "-rs", test_0=untried, test_1=tried, test_a=source, support=SUPPORT
        )
    result.assert_outcomes(passed=4, failed=3, skipped=2)
    result.stdout.fnmatch_lines(["*test_a.py::test_good?pico? PASSED*", "*bytes of heap free, the test asks for 2097152*"])
    result.stdout.fnmatch_lines(["*bytes of heap free, the test wants 2097152"])
    assert "AssertionError: 1 == 2" in output(result)
    assert "was stopped after 6 s" in output(result)


def test_the_watchdog_of_a_product_that_was_ended_restarts_no_board_in_a_test(tmp_path, monkeypatch):
    monkeypatch.setattr(serial_board, "_FEED", serial_board._FEED.replace("8388", "5000").replace("1000", "100"))
    product = (
        b"import machine, time\nw = machine.WDT(timeout=5000)\nprint('it', 'runs')\nwhile True:\n    w.feed()\n    time.sleep_ms(20)\n"
    )
    for marked in (True, False):
        with Board(tmp_path / f"{marked}", board="rpi_pico_w", bare=True, terminal=tmp_path / "tty") as board:
            board.kill()
            board.write_file("/main.py", product)
            if marked:
                board.write_file("/boot.state", b"")
            board.start()
            # who comes before it meets no watchdog
            board.wait_for("it runs", 20)
            tested = serial_board.SerialBoard(str(board.port))
            tested._reset()
            tested._transport.exec_raw_no_follow("import time\nfor _ in range(60): time.sleep_ms(100)\nprint('well', 'done')")
            # where no product of ours is known to run there is no watchdog to be fed
            board.wait_for("well done" if marked else "cause: watchdog", 20)
            assert marked != any("cause: watchdog" in line for line in board.lines)
            tested.close()


def test_a_board_without_room_for_the_tests_says_so(run, tmp_path):
    with Board(tmp_path / "board", board="rpi_pico_w", bare=True, terminal=tmp_path / "tty") as board:
        board.kill()
        board.write_file("/big.bin", bytes(780_000))
        board.start()
        result = run(f"--board={board.port}", test_a="def test_it():\n    pass\n")
    result.assert_outcomes(failed=1)
    assert "its flash is full" in output(result)


@pytest.mark.parametrize(
    ("shown", "heap", "reason"),
    [
        ("x\nImportError: no module named 'socket'", 9, "no module 'socket'"),
        ("x\nImportError: no module named 'redpoll.agent'", 9, None),
        ("MemoryError: memory allocation failed", 9, "9 bytes of heap free"),
        ("MemoryError: memory allocation failed", 11, None),
        ("OSError: MemoryError", 9, None),
    ],
)
def test_what_a_board_lacks_is_known_by_the_last_line(shown, heap, reason):
    said = what_it_lacks(shown, heap, 10)
    assert said is None if reason is None else reason in said
