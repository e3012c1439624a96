"""One run of a virtual board's chip: the VM process from a start to its reset or end, its console and what it asks for.

The chip tells over a pipe of its own what it needs (`reset`, `watchdog <ms>`, `feed`, `resolve <host> <port>`, ...); for a reset the VM
is killed and started again, so that nothing of the program survives, as on a real chip. What does survive is in environment.py.
"""

import contextlib
import fcntl
import json
import os
import secrets
import selectors
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

from tools.board.environment import Environment, ResetCause
from tools.board.firmware import vm_folder
from tools.board.keyboard import Keyboard
from tools.board.terminal import Output, Terminal
from tools.board.wiring import NoAcknowledge, Wiring

SOFT_RESET_STATUS = 4  # vm_boot's exit statuses; 0 is a main.py that returned, 1 one that raised
_INTERRUPTED = 5
_LINE_BYTES = 8192  # a longer console line is cut into several
_IDLE = 0.03  # seconds between two looks for a client at the terminal
_PROTOCOL = b"\x01\x04\x80\x00"  # what the raw REPL says beside text; it has no place in a log


class Chip:
    """One VM process, from a start of the chip to its reset or end."""

    def __init__(self, around: Environment, heap: str, cause: ResetCause, say: Callable[[str], None], terminal: Terminal | None) -> None:
        """`say` is called with each line of the console. With a terminal there is a REPL when main.py has ended; else that is the end."""
        self._around = around
        self._say = say
        self._terminal = terminal
        self._reset: ResetCause | None = None
        self.crashed = False
        around.kept.start(cause, around.profile, around.partitions)
        if cause is ResetCause.POWER_ON:
            around.wired.power_on()
        mark = "\x1f" + secrets.token_hex(8)
        self._output = Output(mark, around.profile.machine, around.kept.raw_repl, around.profile.is_chip)
        typed, around.kept.typed = around.kept.typed, b""
        pipes = [os.pipe() for _ in range(4)]
        (self._control, control_end), (answers_end, self._answers), stdin, (leash_end, self._leash) = pipes
        state = self._state(cause, mark, control_end, answers_end)
        self._open = [self._control, self._answers, *stdin, self._leash]
        code = "__import__('vm_boot').start()"
        interpreter = around.interpreter
        heap_size = interpreter.heap(around.profile, heap)
        try:
            self.process = subprocess.Popen(
                [str(interpreter.program), "-X", f"heapsize={heap_size}", *(interpreter.for_repl if terminal else ()), "-c", code],
                cwd=around.image.path.parent,
                env=os.environ | {"MICROPYPATH": f"{vm_folder()}:.frozen", "REDPOLL_BOARD": json.dumps(state)},
                stdin=stdin[0],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(control_end, answers_end, leash_end),
                start_new_session=True,  # the terminal's Ctrl-C is ours to pass on
            )
            _end_with_us(leash_end, self.process.pid)
            self._keyboard = Keyboard(self.process, stdin, self._output, typed)
        except BaseException:
            self._close()
            raise
        finally:
            for fd in (control_end, answers_end, leash_end):
                os.close(fd)

    def _state(self, cause: ResetCause, mark: str, control: int, answers: int) -> dict[str, Any]:
        around, profile = self._around, self._around.profile
        return {
            **around.image.state(),
            "control": control,
            "answers": answers,
            "page": str(around.page.path.absolute()),
            "mark": mark,
            "repl": self._terminal is not None,
            "raw": around.kept.raw_repl,
            "unique_id": around.image.unique_id(),
            "reset_cause": around.kept.reset_cause(cause, profile.port),
            "chip": profile.chip,
            "port": profile.port,
            "machine": profile.machine,
            "build": f"redpoll-{profile.name}",
            "led": profile.led,
            "pin_count": profile.pin_count,
            "watchdog_max_ms": profile.watchdog_max_ms,
            "epoch": profile.epoch,
            "clock_ms": around.kept.clock_ms,
            "uptime_ms": int((time.monotonic() - around.kept.started) * 1000),
            "network": around.kept.network if profile.network else None,
            "partitions": around.partitions.table(),
            "partitions_file": str(around.partitions.path),
            "running": around.kept.running,
        }

    def signal(self, number: signal.Signals) -> None:
        """Send the VM a signal, if it still runs."""
        if self.process.poll() is None:
            self.process.send_signal(number)

    def run(self) -> ResetCause | None:
        """Serve console, serial port and control line until the VM has ended. Returns why the chip starts again; None when it does not."""
        assert self.process.stdout is not None
        console = self.process.stdout.fileno()
        lines, orders = bytearray(), bytearray()
        os.set_blocking(self._control, False)
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(console, selectors.EVENT_READ)
            running = True
            while running:
                left = self.watchdog_seconds()
                ready = self._ready(selector, console, None if left is None else max(left, 0))
                output = os.read(console, 65536) if console in ready else None
                # after the console was read, and before anybody sees it: what the chip did before it printed has been done then
                told = self._take_orders(selector, orders)
                if left is not None and left <= 0 and not told and not orders:
                    # not even half a line was there that could be a feed: it is the chip that is late, not this process
                    self._restart(ResetCause.WATCHDOG)
                if output is not None:
                    self._came(lines, output)
                    running = output != b""
                if self._keyboard.fd in ready:
                    self._keyboard.feed()
                if self._terminal and self._terminal.fd in ready:
                    self._terminal.flush()
                    self._keyboard.type(self._terminal.read())
        status = self.process.wait()
        return self._why(status)

    def _take_orders(self, selector: selectors.BaseSelector, orders: bytearray) -> bool:
        """Read the control line, if it is there, and do what it says; half a line stays in `orders`. Returns whether something came."""
        if self._control not in selector.get_map():
            return False
        try:
            data = os.read(self._control, 65536)
        except BlockingIOError:
            return False
        if not data:
            selector.unregister(self._control)
        _lines(orders, data, self._said)
        return data != b""

    def _why(self, status: int) -> ResetCause | None:
        kept = self._around.kept
        if self._reset is None and (status == SOFT_RESET_STATUS or (self._terminal and status >= 0)):
            self._reset = ResetCause.SOFT_RESET  # with a terminal the VM ends by Ctrl-D or sys.exit() only
        if self._reset is ResetCause.SOFT_RESET:
            kept.raw_repl = self._output.raw_repl
            kept.typed = self._keyboard.unread()
        if self._reset is None:
            self.crashed = status not in (0, _INTERRUPTED)
        return self._reset

    def _ready(self, selector: selectors.BaseSelector, console: int, left: float | None) -> list[int]:
        """The file descriptors that something can be done with."""
        terminal = self._terminal
        _watch(selector, self._keyboard.fd, selectors.EVENT_WRITE if self._keyboard.waiting else 0)
        if terminal:
            terminal.look()
            self._keyboard.look()
            events = (selectors.EVENT_READ | (selectors.EVENT_WRITE if terminal.waiting else 0)) if terminal.attached else 0
            _watch(selector, terminal.fd, events)
            if terminal.full:
                terminal.flush()
            full = terminal.full
            if console in selector.get_map() or full:
                _watch(selector, console, 0 if full else selectors.EVENT_READ)
            if not terminal.attached or terminal.waiting or self._keyboard.unsettled:
                left = _IDLE if left is None else min(left, _IDLE)
            if not full and console not in selector.get_map():
                _watch(selector, console, selectors.EVENT_READ)
        return [int(key.fd) for key, _ in selector.select(left)]

    def watchdog_seconds(self) -> float | None:
        """Until the watchdog resets the chip; None without a watchdog, or when the chip is being reset."""
        kept = self._around.kept
        if kept.watchdog is None or self._reset is not None:
            return None
        return kept.fed + kept.watchdog - time.monotonic()

    def end(self) -> None:
        """Nothing of it stays."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.process.stdout is not None and not self.process.stdout.closed:
            self.process.stdout.close()
        self._close()

    def _close(self) -> None:
        while self._open:
            os.close(self._open.pop())

    # --- what the VM writes

    def _came(self, lines: bytearray, data: bytes) -> None:
        for piece, is_text in self._output.feed(data):
            if is_text:
                _lines(lines, piece.translate(None, _PROTOCOL), self._say)
            if self._terminal:
                self._terminal.write(piece)
        if not data:
            _lines(lines, b"", self._say)
        self._keyboard.program_said()

    # --- what the chip wants

    def _said(self, message: str) -> None:
        kept = self._around.kept
        word, _, rest = message.partition(" ")
        if word == "reset":
            self._restart(ResetCause.HARD_RESET)
        elif word == "power_cut":
            self._around.page.cut_at_write(0)
            self._restart(ResetCause.POWER_ON)
        elif word == "soft_reset":
            self._restart(ResetCause.SOFT_RESET)
        elif word == "deepsleep":
            kept.sleep = int(rest) / 1000 if int(rest) else float("inf")
            self._restart(ResetCause.DEEP_SLEEP)
        elif word == "bootloader":
            kept.sleep = float("inf")
            self._restart(ResetCause.POWER_ON)
        elif word == "watchdog":
            # an eighth more than asked for: the chip tells of a feed only once each eighth
            kept.watchdog = int(rest) / 1000 * 9 / 8
            kept.fed = time.monotonic()
        elif word == "feed":
            kept.fed = time.monotonic()
        elif word == "clock":
            kept.clock_ms = int(rest)
        elif word == "wifi":
            kept.network = rest
        elif word == "keep":
            kept.rtc_memory = rest
        elif word == "memory":
            self._answer(kept.rtc_memory)
        elif word == "pin":
            name, _, level = rest.rpartition(" ")
            kept.pins[name] = int(level)
        elif word == "resolve":
            host, _, port = rest.rpartition(" ")
            self._around.air.resolve(host, int(port), self._answer)
        elif word == "i2c":
            self._answer(_i2c(self._around.wired, *rest.split(" ")))
        elif word == "microvolts":
            self._answer(str(round(self._around.wired.volts(int(rest)) * 1e6)))

    def _answer(self, text: str) -> None:
        with contextlib.suppress(OSError):  # the chip has been reset meanwhile
            os.write(self._answers, text.encode() + b"\n")

    def _restart(self, cause: ResetCause) -> None:
        if self._reset is None:
            self._reset = cause
            self.process.kill()


def _i2c(wired: Wiring, address: str, written: str, count: str) -> str:
    """One transaction as the chip asks for it: `written` is "-" for nothing, else "=" and hex. "ack" and what was read, or "nack"."""
    try:
        return "ack" + wired.transfer(int(address), bytes.fromhex(written[1:]) if written != "-" else None, int(count)).hex()
    except NoAcknowledge:
        return "nack"


def _watch(selector: selectors.BaseSelector, fd: int, events: int) -> None:
    """Have the selector wait for these events, which may be none."""
    key = selector.get_map().get(fd)
    if key is None:
        if events:
            selector.register(fd, events)
    elif not events:
        selector.unregister(fd)
    elif key.events != events:
        selector.modify(fd, events)


def _lines(buffer: bytearray, data: bytes, use: Callable[[str], None]) -> None:
    """Take more bytes, use every line that is complete; b"" is the end."""
    buffer += data
    while (at := buffer.find(b"\n")) >= 0 or len(buffer) > _LINE_BYTES or (buffer and not data):
        at = at if 0 <= at <= _LINE_BYTES else min(len(buffer), _LINE_BYTES)
        line = bytes(buffer[:at]).rstrip(b"\r").decode(errors="replace")
        del buffer[: at + (buffer[at : at + 1] == b"\n")]
        use(line)


def _end_with_us(leash: int, pid: int) -> None:
    """Have the kernel end the VM (SIGIO) when the other end of its leash closes: a supervisor that is killed leaves no board behind."""
    with contextlib.suppress(OSError, AttributeError):
        fcntl.fcntl(leash, fcntl.F_SETOWN, pid)
        fcntl.fcntl(leash, fcntl.F_SETFL, fcntl.fcntl(leash, fcntl.F_GETFL) | os.O_ASYNC)
