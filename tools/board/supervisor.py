"""The power, the reset line and the watchdog of a virtual board: one run of its chip after another, from switching on to switching off."""

import logging
import math
import signal
import threading

from tools.board.chip import Chip
from tools.board.console import Console
from tools.board.environment import Environment, ResetCause
from tools.board.terminal import Terminal

_STOP_SECONDS = 3.0  # for the program to end after Ctrl-C
_CRASH_SECONDS = 0.5  # before a board whose VM has died starts again

log = logging.getLogger(__name__)


class Supervisor:
    """Runs in a thread of its own until the board is switched off, or its program has ended."""

    def __init__(self, around: Environment, heap: str, cause: ResetCause, console: Console, terminal: Terminal | None) -> None:
        self._around = around
        self._heap = heap
        self._console = console
        self._terminal = terminal
        self._stopping = threading.Event()
        self._awake = threading.Event()  # ends a deep sleep
        self._wanted: ResetCause | None = None  # a reset that came from outside
        self._lock = threading.Lock()
        self._chip = self._launch(cause)
        self._ended = False
        self.crashed = False
        name = f"board {around.image.path.parent.name}"
        self._thread = threading.Thread(target=self._supervise, name=name, daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it is on and its program has not ended."""
        return not self._ended

    @property
    def pid(self) -> int:
        """Of the process that plays the chip now."""
        return self._chip.process.pid

    def join(self, timeout: float | None) -> bool:
        """Wait until it has ended, at most so many seconds (None: for ever) -> whether it has."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def stop(self) -> None:
        """Ctrl-C, and when that does not end it within some seconds, kill()."""
        self._signal(signal.SIGINT)
        if self._terminal is not None or not self.join(_STOP_SECONDS):
            self.kill()  # a REPL would not end by itself

    def kill(self) -> None:
        """The power is gone, at once and for good."""
        self._signal(signal.SIGKILL)
        self._thread.join()

    def reset(self, cause: ResetCause) -> bool:
        """From outside; False when there is nothing running to be reset."""
        with self._lock:
            if self._ended or self._stopping.is_set():
                return False
            self._wanted = cause
            self._awake.set()
            chip = self._chip
            chip.signal(signal.SIGKILL)
        while self._chip is chip and not self.join(0.005):
            pass  # what is typed from now on is for the board that has started again
        return True

    def _signal(self, number: signal.Signals) -> None:
        with self._lock:
            self._stopping.set()
            self._awake.set()
            self._chip.signal(number)

    def _launch(self, cause: ResetCause) -> Chip:
        return Chip(self._around, self._heap, cause, self._console.add, self._terminal)

    def _supervise(self) -> None:
        try:
            while True:
                cause = self._chip.run()
                if cause is None and not self._awake.is_set() and (left := self._chip.watchdog_seconds()) is not None:
                    self._awake.wait(left)  # the program has ended, the watchdog has not
                    cause = ResetCause.WATCHDOG
                sleep = self._around.kept.sleep
                if sleep is not None:
                    self._awake.wait(None if sleep == math.inf else sleep)
                if self._crashed_with_terminal(cause):
                    cause = ResetCause.WATCHDOG
                with self._lock:
                    cause = self._wanted or cause
                    self._wanted = None
                    if cause is None or self._stopping.is_set():
                        self.crashed = self._chip.crashed and not self._stopping.is_set()
                        self._tell_crash(self.crashed)
                        self._ended = True
                        return
                    self._awake.clear()
                    self._console.add(f"redpoll board: reset, cause: {cause.name.lower().replace('_', ' ')}")
                    if cause is ResetCause.SOFT_RESET and self._terminal:
                        self._terminal.write(b"MPY: soft reboot\r\n")
                    self._chip.end()
                    self._chip = self._launch(cause)
        except Exception as error:  # noqa: BLE001 - the thread's edge: it must be seen on the console
            log.exception("the board's supervisor failed")
            self.crashed = True
            self._console.add(f"redpoll board: {error}")
        finally:
            self._chip.end()
            self._ended = True
            self._console.wake()

    def _crashed_with_terminal(self, cause: ResetCause | None) -> bool:
        """Whether the VM has died by itself on a board with a serial port, which then starts again as after a fault of the chip."""
        if self._terminal is None or cause is not None or self._wanted or self._stopping.is_set():
            return False
        self._tell_crash(True)
        self._awake.wait(_CRASH_SECONDS)
        return True

    def _tell_crash(self, crashed: bool) -> None:
        if crashed and (status := self._chip.process.returncode) < 0:
            self._console.add(f"redpoll board: the VM was ended by {signal.Signals(-status).name}")
