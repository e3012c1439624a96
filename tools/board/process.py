"""A virtual board as something to start, watch and stop: for `redpoll run`, `redpoll board` and the tests.

The VM plays the chip (tools/board/vm); this side plays what is around it: power, the reset line, the watchdog, the serial console.
The chip tells over a pipe of its own what it needs (`reset`, `watchdog <ms>`, `feed`); for a reset the VM is killed and started again,
so that nothing of the program survives, as on a real chip.
"""

import contextlib
import enum
import fcntl
import json
import logging
import os
import re
import selectors
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tools.board.errors import BoardError
from tools.board.firmware import MANAGED, firmware_files, vm_folder
from tools.board.flash import FlashImage
from tools.board.profile import Profile
from tools.vm import find_vm

_LINES_KEPT = 5000
_LINE_BYTES = 8192  # a longer line is cut into several
_LINES_SHOWN = 30  # in an error
_STOP_SECONDS = 3.0  # for the program to end after Ctrl-C
_SOFT_RESET = 4  # vm_boot's exit statuses; 0 is a main.py that returned, 1 one that raised
_INTERRUPTED = 5

log = logging.getLogger(__name__)


class ResetCause(enum.IntEnum):
    """Why a chip starts; the numbers of MicroPython's ESP32 port."""

    POWER_ON = 1
    HARD_RESET = 2
    WATCHDOG = 3
    SOFT_RESET = 5


class Board:
    """One virtual board. Its flash is `flash`, or folder/flash.img; boards in different folders have nothing in common.

    `settings` becomes settings.json, None leaves what is on the flash; `main` stands in for firmware/main.py; `files` are more files
    (path on the board: content). All of it is put onto the flash before the first start only, so that a later start finds what
    the program has made of it. `on_line` is called with each console line, from another thread. ::

        with Board(tmp_path, {"entry": hub.entry_url, "sn": "S1"}) as board:
            board.wait_for("connected", 20)
            board.kill()  # the power is gone
            board.start()
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any] | None = None,
        *,
        heap: str | None = None,
        main: Path | None = None,
        files: Mapping[str, bytes] | None = None,
        board: str = "unix",
        flash: Path | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        self.profile = Profile.load(board)
        self.heap = heap or self.profile.heap
        self.image = FlashImage(flash or folder / "flash.img", self.profile)
        self._settings = settings
        self._main = main
        self._files = dict(files or {})
        self._installed = False
        self._console = _Console(on_line)
        self._supervisor: _Supervisor | None = None

    # --- power and reset

    def start(self) -> Self:
        """Switch it on. Raises BoardError when its flash is in use, tools.vm.NoMicroPython without a VM."""
        return self._start(ResetCause.POWER_ON)

    def stop(self) -> None:
        """Ctrl-C on its console, then off; a program that does not end within some seconds loses its power."""
        self._end(lambda supervisor: supervisor.stop())

    def kill(self) -> None:
        """Cut its power: no code runs any more, the flash is as it is."""
        self._end(lambda supervisor: supervisor.kill())

    def restart(self) -> None:
        """Press its reset button."""
        self.kill()
        self._start(ResetCause.HARD_RESET)

    @property
    def running(self) -> bool:
        """Whether it is on and its program has not ended."""
        return self._supervisor is not None and self._supervisor.alive

    @property
    def pid(self) -> int | None:
        """The process that plays the chip now."""
        return self._supervisor.pid if self._supervisor and self._supervisor.alive else None

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until its program has ended; False when it still runs after `timeout` s."""
        return self._supervisor is None or self._supervisor.join(timeout)

    @property
    def crashed(self) -> bool:
        """Whether its program has ended with an exception, or the VM by itself."""
        return self._supervisor is not None and self._supervisor.crashed

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    # --- console

    @property
    def lines(self) -> list[str]:
        """The console so far, of all starts; only the last 5000 lines."""
        return self._console.lines()

    @property
    def line_count(self) -> int:
        """How many lines there have been: what wait_for takes as `since`."""
        return self._console.count

    def wait_for(self, pattern: str, timeout: float = 10.0, since: int = 0) -> re.Match[str]:
        """The first match in a console line from number `since` on, waiting for it up to `timeout` s.

        Raises BoardError with the last lines when it does not come in time, or the board's program ends without it.
        """
        compiled = re.compile(pattern)
        found = self._console.find(compiled, since, time.monotonic() + timeout, lambda: self.running)
        if found is not None:
            return found
        how = f"did not come within {timeout:g} s" if self.running else "did not come before the board's program ended"
        shown = "\n".join(f"  {line}" for line in self.lines[-_LINES_SHOWN:]) or "  (nothing)"
        raise BoardError(f"{pattern!r} {how}; the board's last lines:\n{shown}")

    # --- flash

    def install(self) -> int:
        """Put firmware, settings and files onto the flash; returns how many files differed. Done by the first start."""
        files: dict[str, Path | bytes] = {**firmware_files(self.profile, self._main)}
        if self._settings is not None:
            files["/settings.json"] = json.dumps(dict(self._settings)).encode()
        files.update((name if name.startswith("/") else f"/{name}", data) for name, data in self._files.items())
        self._installed = True
        return self.image.install(files, MANAGED)

    def read_file(self, name: str) -> bytes:
        """A file of its flash, while it is off. Raises FileNotFoundError."""
        self._must_be_off()
        return self.image.read(name)

    def write_file(self, name: str, data: bytes) -> None:
        """Write a file to its flash, while it is off."""
        self._must_be_off()
        self.image.write(name, data)

    def list_files(self) -> dict[str, int]:
        """The files of its flash with their sizes, while it is off."""
        self._must_be_off()
        return self.image.list()

    # --- inside

    def _start(self, cause: ResetCause) -> Self:
        if self.running:
            return self
        self._end(lambda supervisor: supervisor.kill())
        if not self._installed:
            self.install()
        self.image.create()
        self.image.acquire()
        try:
            self._supervisor = _Supervisor(self.image, self.heap, cause, self._console)
        except BaseException:
            self.image.release()
            raise
        return self

    def _end(self, how: Callable[["_Supervisor"], None]) -> None:
        if self._supervisor is not None:
            how(self._supervisor)
            self.image.release()

    def _must_be_off(self) -> None:
        if self.running:
            raise BoardError("the board is running; its flash can be read and written while it is off")
        self._end(lambda supervisor: supervisor.kill())


class _Console:
    """The lines of the serial console, with waiting for one."""

    def __init__(self, on_line: Callable[[str], None] | None) -> None:
        self._on_line = on_line
        self._lines: deque[str] = deque(maxlen=_LINES_KEPT)
        self._changed = threading.Condition()
        self.count = 0

    def lines(self) -> list[str]:
        with self._changed:
            return list(self._lines)

    def add(self, line: str) -> None:
        with self._changed:
            self._lines.append(line)
            self.count += 1
            self._changed.notify_all()
        if self._on_line:
            self._on_line(line)

    def wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def find(self, pattern: re.Pattern[str], since: int, deadline: float, alive: Callable[[], bool]) -> re.Match[str] | None:
        with self._changed:
            while True:
                still_alive = alive()  # before looking: the last lines come before the end
                first = self.count - len(self._lines)
                for number, line in enumerate(self._lines, first):
                    if number >= since and (found := pattern.search(line)):
                        return found
                since = self.count
                left = deadline - time.monotonic()
                if not still_alive or left <= 0:
                    return None
                self._changed.wait(left)


class _Supervisor:
    """From switching on to switching off: one VM after another, as the chip resets. Runs in a thread of its own."""

    def __init__(self, image: FlashImage, heap: str, cause: ResetCause, console: _Console) -> None:
        self._image = image
        self._heap = heap
        self._console = console
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._chip = self._launch(cause)
        self._ended = False
        self.crashed = False
        self._thread = threading.Thread(target=self._supervise, name=f"board {image.path.parent.name}", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return not self._ended

    @property
    def pid(self) -> int:
        return self._chip.process.pid

    def join(self, timeout: float | None) -> bool:
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def stop(self) -> None:
        self._signal(signal.SIGINT)
        if not self.join(_STOP_SECONDS):
            self.kill()

    def kill(self) -> None:
        self._signal(signal.SIGKILL)
        self._thread.join()

    def _signal(self, number: signal.Signals) -> None:
        with self._lock:
            self._stopping.set()
            self._chip.signal(number)

    def _launch(self, cause: ResetCause) -> "_Chip":
        return _Chip(self._image, self._heap, cause, self._console)

    def _supervise(self) -> None:
        try:
            while True:
                cause = self._chip.run()
                if cause is None and not self._stopping.is_set() and (left := self._chip.watchdog_seconds()) is not None:
                    self._stopping.wait(left)  # the program has ended, the watchdog has not
                    cause = ResetCause.WATCHDOG
                with self._lock:
                    if cause is None or self._stopping.is_set():
                        self.crashed = self._chip.crashed and not self._stopping.is_set()
                        if self.crashed and (status := self._chip.process.returncode) < 0:
                            self._console.add(f"redpoll board: the VM was ended by {signal.Signals(-status).name}")
                        return
                    self._console.add(f"redpoll board: reset, cause: {cause.name.lower().replace('_', ' ')}")
                    self._chip = self._launch(cause)
        except Exception as error:  # noqa: BLE001 - the thread's edge: it must be seen on the console
            log.exception("the board's supervisor failed")
            self.crashed = True
            self._console.add(f"redpoll board: {error}")
        finally:
            self._chip.end()
            self._ended = True
            self._console.wake()


class _Chip:
    """One VM process, from a start of the chip to its reset or end."""

    def __init__(self, image: FlashImage, heap: str, cause: ResetCause, console: _Console) -> None:
        self._console = console
        self._timeout: float | None = None  # seconds, once there is a watchdog
        self._fed = 0.0
        self._reset: ResetCause | None = None
        self.crashed = False
        self._control, control_end = os.pipe()
        stdin_end, self._stdin = os.pipe()
        state = {**image.state(), "control": control_end, "unique_id": image.unique_id(), "reset_cause": int(cause)}
        try:
            self.process = subprocess.Popen(
                [str(find_vm()), "-X", f"heapsize={heap}", "-c", "import vm_boot; vm_boot.start()"],
                cwd=image.path.parent,
                env=os.environ | {"MICROPYPATH": f"{vm_folder()}:.frozen", "REDPOLL_BOARD": json.dumps(state)},
                stdin=stdin_end,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(control_end,),
                start_new_session=True,  # the terminal's Ctrl-C is ours to pass on
            )
            _end_with_us(stdin_end, self.process.pid)
        except BaseException:
            os.close(self._control)
            os.close(self._stdin)
            raise
        finally:
            os.close(control_end)
            os.close(stdin_end)

    def signal(self, number: signal.Signals) -> None:
        if self.process.poll() is None:
            self.process.send_signal(number)

    def run(self) -> ResetCause | None:
        """Serve console and control line until the VM has ended. Returns why the chip starts again; None when it does not."""
        assert self.process.stdout is not None
        console, control = self.process.stdout.fileno(), self._control
        waiting = {console: bytearray(), control: bytearray()}
        with selectors.DefaultSelector() as selector:
            for fd in waiting:
                selector.register(fd, selectors.EVENT_READ)
            while console in waiting:
                left = self.watchdog_seconds()
                if left is not None and left <= 0:
                    self._restart(ResetCause.WATCHDOG)
                    left = None
                for key, _ in selector.select(left):
                    data = os.read(key.fd, 65536)
                    if not data:
                        selector.unregister(key.fd)
                    self._take(waiting[key.fd], data, self._said if key.fd == control else self._console.add)
                    if not data:
                        del waiting[key.fd]
        status = self.process.wait()
        if self._reset is not None:
            return self._reset
        if status == _SOFT_RESET:
            return ResetCause.SOFT_RESET
        self.crashed = status not in (0, _INTERRUPTED)
        return None

    def watchdog_seconds(self) -> float | None:
        """Until the watchdog resets the chip; None without a watchdog, or when the chip is being reset."""
        if self._timeout is None or self._reset is not None:
            return None
        return self._fed + self._timeout - time.monotonic()

    def end(self) -> None:
        """Nothing of it stays."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.process.stdout is not None and not self.process.stdout.closed:
            self.process.stdout.close()
            os.close(self._control)
            os.close(self._stdin)

    def _take(self, buffer: bytearray, data: bytes, use: Callable[[str], None]) -> None:
        buffer += data
        while (at := buffer.find(b"\n")) >= 0 or len(buffer) > _LINE_BYTES or (buffer and not data):
            at = at if 0 <= at <= _LINE_BYTES else min(len(buffer), _LINE_BYTES)
            line = bytes(buffer[:at]).rstrip(b"\r").decode(errors="replace")
            del buffer[: at + (buffer[at : at + 1] == b"\n")]
            use(line)

    def _said(self, message: str) -> None:
        word, _, number = message.partition(" ")
        if word == "reset":
            self._restart(ResetCause.HARD_RESET)
        elif word == "watchdog":
            # an eighth more than asked for: the chip tells of a feed only once each eighth
            self._timeout = int(number) / 1000 * 9 / 8
            self._fed = time.monotonic()
        elif word == "feed":
            self._fed = time.monotonic()

    def _restart(self, cause: ResetCause) -> None:
        if self._reset is None:
            self._reset = cause
            self.process.kill()


def _end_with_us(stdin_end: int, pid: int) -> None:
    """Have the kernel end the VM (SIGIO) when the other end of its stdin closes: a supervisor that is killed leaves no board behind."""
    with contextlib.suppress(OSError, AttributeError):
        fcntl.fcntl(stdin_end, fcntl.F_SETOWN, pid)
        fcntl.fcntl(stdin_end, fcntl.F_SETFL, fcntl.fcntl(stdin_end, fcntl.F_GETFL) | os.O_ASYNC)
