"""A board on a serial port, real or virtual, that device tests run on: brings the modules there and calls one test after another.

Through mpremote's own library; the board needs a REPL, `os` and `hashlib`, and a file system unless the modules are there already.
"""

import ast
import base64
import contextlib
import hashlib
import re
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mpremote.transport import TransportError, TransportExecError
from mpremote.transport_serial import SerialTransport

ROOT = "/device_tests"  # on the board; nothing else of what it holds is touched
_RUN = f"{ROOT}/run"  # where a test runs, emptied before each
_CHUNK = 2048
_START_SECONDS = 20.0

# what a board may lack, and then its tests do not run there
_OPTIONAL = ("socket", "select", "ssl", "tls", "asyncio", "cryptolib", "deflate", "machine", "network", "vfs", "hashlib")

# each path below a folder, what is in a folder before the folder itself
_WALK = """
import os
def _walk(folder):
    try:
        entries = list(os.ilistdir(folder))
    except OSError:
        return
    for entry in entries:
        path = folder + "/" + entry[0]
        is_folder = entry[1] == 0x4000
        if is_folder:
            yield from _walk(path)
        yield path, is_folder
"""
_HASHES = """
import hashlib
for _path, _is_folder in _walk(%r):
    if not _is_folder:
        _digest = hashlib.sha256()
        with open(_path, "rb") as _file:
            _piece = _file.read(512)
            while _piece:
                _digest.update(_piece)
                _piece = _file.read(512)
        print(repr(_path), repr(_digest.digest()))
"""
_EMPTY = """
for _path, _is_folder in _walk(%r):
    (os.rmdir if _is_folder else os.remove)(_path)
"""
# The watchdog of a product that ran there cannot be stopped, and would restart the board in the middle of a test. It is fed in the
# background; the product comes back by it when nobody does any more. On an ESP32 timer 3 is boot.py's.
_FEED = """
import os
try:
    os.stat("/boot.state")
    import machine, sys
    _watchdog = machine.WDT(timeout=8388)
    _feeder = machine.Timer(-1 if sys.platform == "rp2" else 1)
    _feeder.init(period=1000, callback=lambda _: _watchdog.feed())
except (OSError, ImportError, AttributeError, ValueError):
    pass
"""


class BoardFailed(Exception):
    """The board cannot be used; the text says why."""


class SerialBoard:
    """The board on `port`. `setup` is MicroPython code that it runs after each soft reset, such as mounting what is not mounted by itself;
    with `modules`, a comma-separated list of folders on the board, nothing is copied: they hold everything already."""

    def __init__(self, port: str, setup: str = "", modules: str = "") -> None:
        self.port = port
        self._setup = setup
        self._modules = modules.split(",") if modules else []
        self._known: dict[str, bytes] | None = None  # path on the board: SHA-256
        self._folders: set[str] = set()  # on the board, known to be there
        self._transport: Any = None
        self.heap = 0  # bytes free after the last soft reset, 0 before the first

    def close(self) -> None:
        """Leave the board to its own program."""
        if self._transport is not None:
            with contextlib.suppress(Exception):
                self._transport.exit_raw_repl()
            self._transport.close()
            self._transport = None

    def free(self) -> int:
        """Bytes of heap that are free after a soft reset; it is asked once. BoardFailed."""
        if not self.heap:
            self._reset()
        return self.heap

    def run(
        self, folders: Iterable[Path], test: Path, modules: Sequence[str], function: str, token: str, deadline: float
    ) -> tuple[str, str]:
        """Run one test -> what vm_runner and the test printed; "exit status 0", or in words how it ended otherwise.

        `folders` hold modules as bytecode, `test` is the test's own folder, of which only `modules` are brought: its own, and its helpers.
        """
        self._reset()
        paths = self._modules or self._bring(folders, test, modules)
        return self._call(
            f"import sys; sys.path[:0] = {paths!r}\nimport vm_runner; vm_runner.run({modules[0]!r}, {function!r}, {token!r})\n",
            deadline,
        )

    def _reset(self) -> None:
        try:
            if self._transport is None:
                self._transport = SerialTransport(self.port)
            self._transport.enter_raw_repl(soft_reset=True, timeout_overall=_START_SECONDS)
            code = _FEED + self._setup
            if not self._modules:
                code += f"{_WALK}\nfor _f in ({ROOT!r}, {_RUN!r}):\n try:\n  os.mkdir(_f)\n except OSError:\n  pass\n"
                code += f"{_EMPTY % _RUN}\nos.chdir({_RUN!r})\ndel _walk\n"
            self._exec(code + "\nimport gc; gc.collect()")
            self.heap = int(self._exec("print(gc.mem_free())"))
        except (TransportError, OSError) as error:
            self.close()
            raise BoardFailed(f"the board on {self.port} does not answer as a MicroPython board does: {error}") from error

    def _exec(self, code: str) -> str:
        try:
            return str(self._transport.exec(code).decode(errors="replace"))
        except TransportExecError as error:
            said = error.error_output.strip()
            if re.search(r"OSError: (\[Errno )?28\b", said):
                said = f"its flash is full. The tests and what they test lie beside what is there, in {ROOT}: erase what you do not need"
            raise BoardFailed(f"{self.port}: {said}") from error

    def _bring(self, folders: Iterable[Path], test: Path, modules: Sequence[str]) -> list[str]:
        """Copy what differs, and remove tests that others brought: a Pico W has no room for all of them beside what they test."""
        wanted: dict[str, Path] = {}
        paths = []
        for folder in (*folders, test):
            paths.append(f"{ROOT}/{folder.name}")
            for path in sorted(folder.rglob("*")):
                if path.suffix in (".mpy", ".py") and (folder != test or path.stem in modules):
                    wanted[f"{ROOT}/{folder.name}/{path.relative_to(folder).as_posix()}"] = path
        if self._known is None:
            self._known = {}
            for line in self._exec(_WALK + _HASHES % ROOT).splitlines():
                name, _, digest = line.partition(" ")
                self._known[ast.literal_eval(name)] = ast.literal_eval(digest)
        others = [path for path in self._known if path.startswith(f"{ROOT}/{test.name}/test_") and path not in wanted]
        if others:
            self._exec(f"import os\nfor _f in {others!r}: os.remove(_f)")
            for path in others:
                del self._known[path]
        for target, source in wanted.items():
            data = source.read_bytes()
            digest = hashlib.sha256(data).digest()
            if self._known.get(target) != digest:
                self._put(target, data)
                self._known[target] = digest
        return paths

    def _put(self, target: str, data: bytes) -> None:
        """One call for a small file: each takes the port's time."""
        code = ""
        for parent in reversed(Path(target).parents[:-1]):
            if parent.as_posix() not in self._folders:
                code += f"try:\n os.mkdir({parent.as_posix()!r})\nexcept OSError:\n pass\n"
                self._folders.add(parent.as_posix())
        code += f"from binascii import a2b_base64 as _a\n_f = open({target!r}, 'wb')\n"
        for at in range(0, max(1, len(data)), _CHUNK):
            code += f"_f.write(_a({base64.b64encode(data[at : at + _CHUNK]).decode()!r}))\n"
            if at + _CHUNK < len(data):
                self._exec(code)
                code = ""
        self._exec(code + "_f.close()")

    def _call(self, code: str, deadline: float) -> tuple[str, str]:
        output = bytearray()
        end = time.monotonic() + deadline
        transport = self._transport

        def take(data: bytes) -> None:
            output.extend(data)
            if time.monotonic() > end:
                raise TimeoutError

        ending = f"was stopped after {deadline:g} s"
        try:
            transport.exec_raw_no_follow(code)
            _, error = transport.follow(timeout=deadline, data_consumer=take)
            text = error.decode(errors="replace").strip()
            ending = f"raised:\n{text}" if text else "exit status 0"
        except (TransportError, TimeoutError, OSError) as failure:
            if not isinstance(failure, TimeoutError) and time.monotonic() < end:
                ending = f"lost the connection: {failure}"
            self.close()
        return output.replace(b"\x04", b"").replace(b"\r\n", b"\n").decode(errors="replace"), ending


def what_it_lacks(shown: str, heap: int, wanted: int) -> str | None:
    """Why a test that failed like this cannot run on this board: the words for the skip, or None when the failure is one.

    `heap` bytes are what the board had free before it, `wanted` what the test asks for.
    """
    last = shown.rstrip().rpartition("\n")[2]
    missing = re.search(r"ImportError: no module named '(\w+)", last)
    if missing and missing[1] in _OPTIONAL:
        return f"this board has no module {missing[1]!r}"
    # the firmware goes on when it was out of memory, and what the test waits for is then late or missing
    short = re.search(r"^MemoryError.*|^\[.*(memory allocation failed|out of memory).*", shown, re.MULTILINE)
    if short and heap < wanted:
        return f"this board has {heap} bytes of heap free, the test asks for {wanted}: {short[0]}"
    return None
