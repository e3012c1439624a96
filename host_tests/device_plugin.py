"""Runs each `test_*` function of host_tests/device on CPython and on the MicroPython VM, one result each.

    host_tests/device/test_mqtt_window.py::test_packet_ids_wrap_and_pass_over_those_in_flight[cpython]
    host_tests/device/test_mqtt_window.py::test_packet_ids_wrap_and_pass_over_those_in_flight[micropython]
    host_tests/device/test_mqtt_window.py::test_packet_ids_wrap_and_pass_over_those_in_flight[micropython32]

The third is the VM with 32-bit objects, as boards have them: where `make vm32` has fetched it, one test in eight runs on it, and
all of them with REDPOLL_LONG=1.

`-k`, `-x`, `--collect-only` and single ids work; an id without the brackets is both. How to write such a test:

- A file host_tests/device/test_NAME.py with functions `test_...()` without parameters, decorators or pytest, and plain asserts.
  Helper modules lie beside it (`from support import SkipTest, raises`). It has to compile on MicroPython too.
- Its working directory is a fresh, empty folder: write relative file names. State of modules does not survive a test.
- `raise SkipTest("reason")` skips, in a test or at the top of the module.
- `HEAP = "96K"` and `TIMEOUT = 60` (seconds) at the top of the module change the VM's heap (192K) and the deadline of each
  test on both interpreters (30 s).
- `BOARD_HEAP = "160K"` there is what a board must have free: with less the tests skip without being tried, where trying takes long.

On CPython the test runs inside pytest, with host_tests/shim, firmware, build/lib and host_tests/device first on sys.path and
everything imported from there forgotten afterwards; a test that asks a name server fails. On the VM each test has a process of its
own that runs bytecode: compiling from source would be the peak of a 192K heap and is not what a board does. The firmware is
compiled as for a board (no asserts), the tests keep theirs; both keep file and line for tracebacks. `assert left == right` tells
its two values there as well (assertion_values.py). The shim is not on the VM's path. A test has passed only when the VM has said
so, in a line with a word that the test cannot know, and has exited with 0; anything else, a hang and a silent death included, is a
failure with all output.
"""

import ast
import contextlib
import importlib
import os
import re
import secrets
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from assertion_values import with_values
from long_run import LONG
from serial_board import BoardFailed, SerialBoard, what_it_lacks

from tools.board.profile import heap_bytes
from tools.bytecode import compile_tree
from tools.device_code import borrowed_imports
from tools.mpy import without_const
from tools.paths import BUILD, FIRMWARE, LIB, ROOT, SHIM
from tools.vm import NoMicroPython, find_vm
from tools.vm32 import find_vm32

HERE = Path(__file__).resolve().parent
DEFAULT_HEAP = "192K"
DEFAULT_TIMEOUT = 30
OUTPUT_LIMIT = 1 << 20  # bytes that a test on the VM may print
TEST_FOLDER = "device_tests"
INTERPRETERS = "device_interpreters"
PART = 8  # of so many tests one runs on the 32-bit VM


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(TEST_FOLDER, "the folder with the tests of the firmware", type="string", default="host_tests/device")
    parser.addini(INTERPRETERS, "what they run on", type="args", default=["cpython", "micropython"])
    group = parser.getgroup("a board")
    group.addoption("--board", metavar="PORT", help="run the tests of the firmware on the board on this serial port instead")
    group.addoption("--board-setup", metavar="CODE", default="", help="what the board runs after each soft reset, in MicroPython")
    group.addoption("--board-modules", metavar="FOLDERS", default="", help="folders on the board that hold all modules already")
    group.addoption("--board-patience", metavar="N", type=float, default=1, help="times the deadline of each test, on a slow board")
    group.addoption("--board-part", metavar="N", type=int, default=1, help="one test in so many")
    group.addoption("--board-title", metavar="WORD", default="board", help="what the results are named by")


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> "pytest.Collector | None":
    """Collect the files of the device folder in our way; all other files are pytest's."""
    if module_path.parent == parent.config.rootpath / parent.config.getini(TEST_FOLDER):
        return DeviceFile.from_parent(parent, path=module_path)
    return None


class DeviceFile(pytest.File):
    """One file of device tests. It is parsed, not imported: a file that CPython cannot import may still run on the VM."""

    def collect(self) -> Iterator[pytest.Item]:
        try:
            tree = ast.parse(self.path.read_bytes(), filename=str(self.path))
        except SyntaxError as error:
            raise self.CollectError(f"{self.path.name}:{error.lineno}: {error.msg}") from error
        constants = module_constants(tree)
        for node in tree.body:
            if isinstance(node, ast.AsyncFunctionDef) and node.name.startswith("test_"):
                raise self.CollectError(f"{self.path.name}:{node.lineno}: {node.name} is async; a device test is a plain function")
            if not (isinstance(node, ast.FunctionDef) and node.name.startswith("test_")):
                continue
            if node.args.args or node.args.kwonlyargs or node.decorator_list:
                raise self.CollectError(f"{self.path.name}:{node.lineno}: {node.name} may have no parameters and no decorators")
            for kind in self.interpreters(node.name):
                patience = self.config.getoption("--board-patience") if kind is OnBoard else 1
                where = self.config.getoption("--board-title") if kind is OnBoard else kind.interpreter
                yield kind.from_parent(
                    self,
                    name=f"{node.name}[{where}]",
                    test=node.name,
                    line=node.lineno,
                    heap=str(constants.get("HEAP", DEFAULT_HEAP)),
                    board_heap=str(constants.get("BOARD_HEAP", "0")),
                    deadline=float(constants.get("TIMEOUT", DEFAULT_TIMEOUT)) * patience,
                )

    def interpreters(self, test: str) -> "list[type[DeviceItem]]":
        """What a test runs on."""
        number = crc32(f"{self.path.stem}.{test}".encode())
        if self.config.getoption("--board"):
            return [OnBoard] if number % self.config.getoption("--board-part") == 0 else []
        wanted = self.config.getini(INTERPRETERS)
        kinds: list[type[DeviceItem]] = [kind for kind in (OnCPython, OnMicroPython) if kind.interpreter in wanted]
        chosen = LONG or number % PART == 0
        if chosen and OnMicroPython32.interpreter in wanted and find_vm32():
            kinds.append(OnMicroPython32)
        return kinds


class DeviceTestFailed(Exception):
    """A test failed on the VM or a board; the text is what that printed and what is known about its end."""


class DeviceItem(pytest.Item):
    """One test function on one interpreter."""

    interpreter = ""

    def __init__(self, *, test: str, line: int, heap: str, board_heap: str, deadline: float, **more: Any) -> None:
        super().__init__(**more)
        self.test = test
        self.line = line
        self.heap = heap
        self.board_heap = heap_bytes(board_heap)
        self.deadline = deadline

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, self.line - 1, self.name

    @contextlib.contextmanager
    def folder(self) -> Iterator[Path]:
        """A fresh folder for one run of this test."""
        with tempfile.TemporaryDirectory(prefix="device-", ignore_cleanup_errors=True) as name:
            yield Path(name).resolve()


class OnCPython(DeviceItem):
    """The test inside this process, with the shim."""

    interpreter = "cpython"

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.add_marker(pytest.mark.timeout(self.deadline))

    def runtest(self) -> None:
        modules = borrowed_imports([SHIM, FIRMWARE, LIB, self.path.parent])
        with self.folder() as folder, modules, contextlib.chdir(folder), this_machine_only():
            try:
                getattr(importlib.import_module(self.path.stem), self.test)()
            except Exception as error:
                if type(error).__name__ == "SkipTest":
                    pytest.skip(str(error))
                raise

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException]) -> Any:  # type: ignore[override]
        excinfo.traceback = excinfo.traceback.cut(path=self.path)
        return super().repr_failure(excinfo)


class OnMicroPython(DeviceItem):
    """The test in a VM of its own."""

    interpreter = "micropython"
    title = "the MicroPython VM"

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        # the VM is stopped at self.deadline by us, which shows its output; pytest-timeout would not
        self.add_marker(pytest.mark.timeout(self.deadline + 60))

    def vm(self) -> list[str]:
        """The beginning of the command that runs the VM."""
        try:
            return [str(find_vm())]
        except NoMicroPython as error:
            raise DeviceTestFailed(str(error)) from error

    def runtest(self) -> None:
        token = secrets.token_hex(8)
        code = f"import vm_runner; vm_runner.run({self.path.stem!r}, {self.test!r}, {token!r})"
        command = [*self.vm(), "-X", f"heapsize={self.heap}", "-c", code]
        with self.folder() as folder:
            environment = os.environ | {"MICROPYPATH": ":".join([*map(str, bytecode_folders(self.config, self.path.parent)), ".frozen"])}
            output, ending = run_bounded(command, folder, environment, self.deadline)
        self.judge(output, ending, token, "The VM")

    def lacks(self, shown: str) -> str | None:
        """Why a test that failed like this cannot run here, None when it can."""
        return None

    def judge(self, output: str, ending: str, token: str, who: str) -> None:
        """Pass, skip or fail, by what vm_runner said."""
        verdict, shown = split_verdict(output, token)
        if verdict == "passed" and ending == "exit status 0":
            self.add_report_section("call", "stdout", shown)
            return
        if verdict.startswith("skipped") and ending == "exit status 0":
            pytest.skip(verdict.removeprefix("skipped").strip())
        if verdict == "failed":
            if reason := self.lacks(shown):
                pytest.skip(reason)
            raise DeviceTestFailed(shown)
        how = f"had finished the test ({verdict}), then" if verdict else "did not finish the test:"
        if not verdict and (reason := self.lacks(f"{shown}\n{ending}")):
            pytest.skip(reason)  # there was not even room for telling
        raise DeviceTestFailed(f"{shown}\n{who} {how} {ending}".lstrip())

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException]) -> Any:  # type: ignore[override]
        if isinstance(excinfo.value, DeviceTestFailed):
            return f"On {self.title}, heap {self.heap}:\n{with_source(str(excinfo.value), self.config.rootpath)}"
        return super().repr_failure(excinfo)


class OnMicroPython32(OnMicroPython):
    """The same on the 32-bit VM."""

    interpreter = "micropython32"
    title = "the 32-bit MicroPython VM"

    def vm(self) -> list[str]:
        """The beginning of the command that runs it."""
        command = find_vm32()
        if command is None:
            raise DeviceTestFailed("build/vm32 is gone; `make vm32` fetches it")
        return command


class OnBoard(OnMicroPython):
    """The test on a board, over its serial port."""

    interpreter = "board"
    title = "the board"

    def runtest(self) -> None:
        board = serial_board(self.config)
        token = secrets.token_hex(8)
        vm, tests, *others = bytecode_folders(self.config, self.path.parent)
        try:
            if self.board_heap and board.free() < self.board_heap:
                pytest.skip(f"this board has {board.heap} bytes of heap free, the test wants {self.board_heap}")
            output, ending = board.run([vm, *others], tests, with_helpers(self.path), self.test, token, self.deadline)
        except BoardFailed as error:
            raise DeviceTestFailed(str(error)) from error
        self.judge(output, ending, token, "The board")

    def lacks(self, shown: str) -> str | None:
        return what_it_lacks(shown, serial_board(self.config).heap, heap_bytes(self.heap))


@contextlib.contextmanager
def this_machine_only() -> Iterator[None]:
    """No test of the firmware asks a name server: it would wait for one, and behave as the network does. AssertionError names the host."""
    asked: list[str] = []

    def look_up(host: Any, *args: Any, **more: Any) -> Any:
        if host in (None, "", "localhost") or host.replace(".", "").isdigit():
            return real(host, *args, **more)
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    real, socket.getaddrinfo = socket.getaddrinfo, look_up
    try:
        yield
    finally:
        socket.getaddrinfo = real
    assert not asked, f"the test looked for the host {asked[0]}; it has to play the network, or be without"


def serial_board(config: pytest.Config) -> SerialBoard:
    """The board of --board, for the whole session."""
    board = config.stash.get(_BOARD, None)
    if board is None:
        board = SerialBoard(config.getoption("--board"), config.getoption("--board-setup"), config.getoption("--board-modules"))
        config.stash[_BOARD] = board
    return board


def with_helpers(path: Path) -> list[str]:
    """The module of this file, and those beside it that it imports, or they do."""
    found: list[str] = []
    left = [path.stem]
    while left:
        name = left.pop(0)
        source = path.with_name(f"{name}.py")
        if name in found or not source.is_file():
            continue
        found.append(name)
        for node in ast.walk(ast.parse(source.read_bytes())):
            if isinstance(node, ast.Import):
                left += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                left.append(node.module)
    return found


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave the board to its own program."""
    if board := config.stash.get(_BOARD, None):
        board.close()


def module_constants(tree: ast.Module) -> dict[str, Any]:
    """NAME = literal at the top level of a module."""
    found = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    found[target.id] = node.value.value
    return found


def run_bounded(command: list[str], folder: Path, environment: dict[str, str], deadline: float) -> tuple[str, str]:
    """Run a command to its end, its deadline or its output limit. Returns its output and, in words, how it ended."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # no Ctrl-C of the terminal: we end it
    )
    late = threading.Event()

    def end_it() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(deadline, end_it)
    timer.start()
    output = bytearray()
    assert process.stdout is not None
    try:
        while len(output) <= OUTPUT_LIMIT and (chunk := os.read(process.stdout.fileno(), 65536)):
            output += chunk
        flooded = len(output) > OUTPUT_LIMIT
        if flooded:
            process.kill()
        status = process.wait()  # the timer is still running
    finally:
        timer.cancel()
        process.kill()
        process.stdout.close()
        process.wait()
    if late.is_set():
        ending = f"still ran after {deadline:g} s and was killed"
    elif flooded:
        ending = f"printed more than {OUTPUT_LIMIT} bytes and was killed"
        del output[:-20000]
    else:
        ending = f"was killed by signal {-status}" if status < 0 else f"exit status {status}"
    return output.decode(errors="replace"), ending


def split_verdict(output: str, token: str) -> tuple[str, str]:
    """(what vm_runner said, or "" when it said nothing; the output without that line)."""
    before, found, after = output.rpartition(f"{token} ")
    if not found:
        return "", output.rstrip()
    verdict, _, rest = after.partition("\n")
    return verdict.strip(), (before + rest).rstrip()


def with_source(text: str, root: Path) -> str:
    """A MicroPython traceback with the source line under each place, as CPython prints it, and without our own places."""
    lines = []
    for line in text.splitlines():
        place = re.fullmatch(r'\s*File "([^"]+)", line (\d+).*', line)
        if place and place[1].endswith("/vm_runner.py"):
            continue
        lines.append(line)
        if place and not Path(place[1]).is_absolute() and (source := root / place[1]).is_file():
            numbered = source.read_text(errors="replace").splitlines()
            if 0 < int(place[2]) <= len(numbered):
                lines.append(f"    {numbered[int(place[2]) - 1].strip()}")
    return "\n".join(lines)


# --- bytecode for the VM


def bytecode_folders(config: pytest.Config, tests: Path) -> list[Path]:
    """The folders for MICROPYPATH, compiled at the first call of a session."""
    ready: list[Path] | None = config.stash.get(_READY, None)
    if ready is None:
        common, own = BUILD / "device", config.rootpath / "build" / "device"
        compile_tree(HERE / "vm", common / "vm", f"{HERE.name}/vm", asserts=True)
        shown_as = FIRMWARE.relative_to(ROOT).as_posix()
        compile_tree(FIRMWARE, common / "firmware", shown_as, prepare=without_const, keep_going=True)
        compile_tree(LIB, common / "lib", LIB.relative_to(ROOT).as_posix())
        shown_as = tests.relative_to(config.rootpath).as_posix()
        compile_tree(tests, own / "tests", shown_as, asserts=True, prepare=with_values, keep_going=True)
        ready = [common / "vm", own / "tests", common / "firmware", common / "lib"]
        config.stash[_READY] = ready
    return ready


_READY = pytest.StashKey[list[Path]]()
_BOARD = pytest.StashKey[SerialBoard]()
