"""One run of a virtual board's chip: the VM process from a start to its reset or end, and the serial line to it.

The chip tells over a pipe of its own what it needs (`reset`, `watchdog <ms>`, `feed`, `resolve <host> <port>`, ...); for a reset the VM
is killed and started again, so that nothing of the program survives, as on a real chip. What does survive is in `Kept`.
"""

import contextlib
import enum
import fcntl
import json
import os
import secrets
import select
import selectors
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.board.air import Air
from tools.board.firmware import vm_folder
from tools.board.flash import FlashImage
from tools.board.page import Page
from tools.board.partitions import Partitions
from tools.board.profile import Profile
from tools.board.terminal import Output, Terminal
from tools.board.wiring import NoAcknowledge, Surroundings
from tools.vm import find_vm

SOFT_RESET_STATUS = 4  # vm_boot's exit statuses; 0 is a main.py that returned, 1 one that raised
_INTERRUPTED = 5
_LINE_BYTES = 8192  # a longer console line is cut into several
_INPUT_BYTES = 65536  # that may wait for the program; what comes on top is lost, as in a UART
_PIPE_BYTES = 4096  # of these wait inside the VM's standard input
_INTERRUPT_SECONDS = 1.0  # within which a program that says nothing is taken not to have seen the last Ctrl-C yet
_LATE_SECONDS = 0.1  # after which a Ctrl-C that went to the program as a byte and was not read is one after all
_IDLE = 0.03  # seconds between two looks for a client at the terminal
_CTRL_C = b"\x03"
_PROTOCOL = b"\x01\x04\x80\x00"  # what the raw REPL says beside text; it has no place in a log
_EPOCH_OF_CLOCK = {"esp32": 946684800, "rp2": 1609459200}  # what a chip's clock shows when the power comes: the first day of 2000, of 2021
# what the stand-ins for a chip's modules take of the VM's heap: on a chip they are C and in the flash
_STAND_INS_BYTES = 50 * 1024
# the VM's objects have 64 bits, and what takes 48 KB on a chip takes about 72 there
_WIDE = 1.5


class ResetCause(enum.IntEnum):
    """Why a chip starts; the numbers of MicroPython's ESP32 port."""

    POWER_ON = 1
    HARD_RESET = 2
    WATCHDOG = 3
    DEEP_SLEEP = 4
    SOFT_RESET = 5


@dataclass
class Kept:
    """What outlives the VM. `clock_ms` is how far the chip's clock is from this machine's; `network` the access point, or ""."""

    hard_cause: ResetCause = ResetCause.POWER_ON
    clock_ms: int = 0
    network: str = ""
    rtc_memory: str = ""
    pins: dict[str, int] = field(default_factory=dict)
    watchdog: float | None = None  # seconds, once there is one
    fed: float = 0.0
    sleep: float | None = None  # seconds of deep sleep; inf: until the power goes
    typed: bytes = b""  # what the client has sent and nobody has read
    raw_repl: bool = False
    running: str | None = None  # the partition that the bootloader has started

    def start(self, cause: ResetCause, profile: Profile, partitions: Partitions) -> None:
        """What a start for this reason does to it."""
        if cause is not ResetCause.SOFT_RESET:
            self.hard_cause = cause
            self.watchdog = None
            self.network = ""
            self.typed = b""
            self.raw_repl = False
            self.pins.clear()
            self.running = partitions.boot()
            if profile.is_chip and (cause is ResetCause.POWER_ON or profile.port == "rp2"):
                self.clock_ms = int((_EPOCH_OF_CLOCK[profile.port] - time.time()) * 1000)
        if cause is ResetCause.POWER_ON:
            self.rtc_memory = ""
        self.sleep = None

    def reset_cause(self, cause: ResetCause, port: str) -> int:
        """What machine.reset_cause() says: an RP2 knows power and watchdog only, and its own resets are made by the watchdog."""
        if port != "rp2":
            return int(cause)
        return 1 if self.hard_cause is ResetCause.POWER_ON else 3


class Around:
    """What is around the chip and stays when it resets: flash, pins and network. One for each board."""

    def __init__(self, image: FlashImage, profile: Profile, wired: Surroundings) -> None:
        self.image = image
        self.wired = wired
        self.profile = profile
        self.partitions = Partitions(image.path.with_suffix(".partitions"), profile)
        self.page = Page(image.path.with_suffix(".page"))
        self.air = Air()
        self.kept = Kept()

    def close(self) -> None:
        self.air.close()
        self.page.close()


class Chip:
    """One VM process, from a start of the chip to its reset or end."""

    def __init__(self, around: Around, heap: str, cause: ResetCause, say: Callable[[str], None], terminal: Terminal | None) -> None:
        """`say` is called with each line of the console. With a terminal there is a REPL when main.py has ended; else that is the end."""
        self._around = around
        self._say = say
        self._terminal = terminal
        self._reset: ResetCause | None = None
        self._interrupted = -_INTERRUPT_SECONDS  # when Ctrl-C was last passed on, and whether there was output since
        self._said_since = True
        self._late: float | None = None  # when a Ctrl-C went to the program as a byte
        self.crashed = False
        around.kept.start(cause, around.profile, around.partitions)
        if cause is ResetCause.POWER_ON:
            around.wired.power_on()
        mark = "\x1f" + secrets.token_hex(8)
        self._output = Output(mark, around.profile.machine, around.kept.raw_repl, around.profile.is_chip)
        self._starts_raw = around.kept.raw_repl
        self._held = bytearray(around.kept.typed)  # input that came before the chip was ready for it
        around.kept.typed = b""
        self._input = bytearray()
        pipes = [os.pipe() for _ in range(4)]
        (self._control, control_end), (answers_end, self._answers), (self._stdin_end, self._stdin), (leash_end, self._leash) = pipes
        os.set_blocking(self._stdin, False)
        with contextlib.suppress(OSError, AttributeError):
            fcntl.fcntl(self._stdin, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        state = self._state(cause, mark, control_end, answers_end)
        self._open = [self._control, self._answers, self._stdin_end, self._stdin, self._leash]
        code = "__import__('vm_boot').start()"
        try:
            self.process = subprocess.Popen(
                [str(find_vm()), "-X", f"heapsize={self._heap(heap)}", *(["-i"] if terminal else []), "-c", code],
                cwd=around.image.path.parent,
                env=os.environ | {"MICROPYPATH": f"{vm_folder()}:.frozen", "REDPOLL_BOARD": json.dumps(state)},
                stdin=self._stdin_end,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(control_end, answers_end, leash_end),
                start_new_session=True,  # the terminal's Ctrl-C is ours to pass on
            )
            _end_with_us(leash_end, self.process.pid)
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
            "network": around.kept.network if profile.network else None,
            "partitions": around.partitions.table(),
            "partitions_file": str(around.partitions.path),
            "running": around.kept.running,
        }

    def _heap(self, heap: str) -> str:
        if not self._around.profile.is_chip:
            return heap
        return str(int(heap_bytes(heap) * _WIDE) + _STAND_INS_BYTES)

    def signal(self, number: signal.Signals) -> None:
        """Send the VM a signal, if it still runs."""
        if self.process.poll() is None:
            self.process.send_signal(number)

    def run(self) -> ResetCause | None:
        """Serve console, serial port and control line until the VM has ended. Returns why the chip starts again; None when it does not."""
        assert self.process.stdout is not None
        console = self.process.stdout.fileno()
        lines, orders = bytearray(), bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(console, selectors.EVENT_READ)
            open_ends = {console, self._control}
            while console in open_ends:
                left = self.watchdog_seconds()
                if left is not None and left <= 0:
                    self._restart(ResetCause.WATCHDOG)
                    left = None
                for fd in self._ready(selector, console, left):
                    if fd == self._stdin:
                        self._feed()
                        continue
                    if self._terminal and fd == self._terminal.fd:
                        self._terminal.flush()
                        self._typed(self._terminal.read())
                        continue
                    data = os.read(fd, 65536)
                    if not data:
                        selector.unregister(fd)
                        open_ends.discard(fd)
                    if fd == console:
                        self._came(lines, data)
                    else:
                        _lines(orders, data, self._said)
        status = self.process.wait()
        return self._why(status)

    def _why(self, status: int) -> ResetCause | None:
        kept = self._around.kept
        if self._reset is None and (status == SOFT_RESET_STATUS or (self._terminal and status >= 0)):
            self._reset = ResetCause.SOFT_RESET  # with a terminal the VM ends by Ctrl-D or sys.exit() only
        if self._reset is ResetCause.SOFT_RESET:
            kept.raw_repl = self._output.raw_repl
            kept.typed = bytes(self._unread() + self._input + self._held)
        if self._reset is None:
            self.crashed = status not in (0, _INTERRUPTED)
        return self._reset

    def _ready(self, selector: selectors.BaseSelector, console: int, left: float | None) -> list[int]:
        """The file descriptors that something can be done with."""
        terminal = self._terminal
        _watch(selector, self._stdin, selectors.EVENT_WRITE if self._input else 0)
        if terminal:
            terminal.look()
            self._interrupt_late()
            events = (selectors.EVENT_READ | (selectors.EVENT_WRITE if terminal.waiting else 0)) if terminal.attached else 0
            _watch(selector, terminal.fd, events)
            if terminal.full:
                terminal.flush()
            full = terminal.full
            if console in selector.get_map() or full:
                _watch(selector, console, 0 if full else selectors.EVENT_READ)
            if not terminal.attached or terminal.waiting or self._late is not None:
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
        before = self._output.started, self._output.in_repl
        self._said_since = True
        for piece, is_text in self._output.feed(data):
            if is_text:
                _lines(lines, piece.translate(None, _PROTOCOL), self._say)
            if self._terminal:
                self._terminal.write(piece)
        if not data:
            _lines(lines, b"", self._say)
        if not before[1] and self._output.in_repl and self._starts_raw:
            self._held[:0] = b"\x01"  # the board stays in the raw REPL over a soft reset
        if before != (self._output.started, self._output.in_repl):
            self._typed(b"")

    # --- what the client types

    def _typed(self, data: bytes) -> None:
        self._held += data
        if not (self._output.in_repl or (self._output.started and not self._starts_raw)):
            return  # the ROM does not listen, and after a soft reset boot.py is to end first
        data = bytes(self._held)
        self._held.clear()
        while data:
            piece, ctrl_c, data = data.partition(_CTRL_C)
            self._input += piece[: max(0, _INPUT_BYTES - len(self._input))]
            if ctrl_c:
                self._interrupt()
        self._feed()

    def _feed(self) -> None:
        if self._input:
            with contextlib.suppress(BlockingIOError, BrokenPipeError):
                n = os.write(self._stdin, self._input)
                del self._input[:n]

    def _interrupt(self) -> None:
        """Ctrl-C: KeyboardInterrupt where the chip wants it so (micropython.kbd_intr), else a byte as any other.

        The VM is stopped meanwhile, so that what it wants does not change between the question and the signal, which would end it.
        """
        pid = self.process.pid
        # a second one while the first is still under way would end the VM, which only the unix port does
        under_way = not self._said_since and time.monotonic() - self._interrupted < _INTERRUPT_SECONDS
        if under_way or self.process.poll() is not None:
            return
        os.kill(pid, signal.SIGSTOP)
        if hasattr(os, "waitid"):  # macOS has it with newer Pythons only; there the question is a guess anyway
            os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        if _catches_interrupt(pid, self._output.at_prompt):
            os.kill(pid, signal.SIGINT)
            self._interrupted, self._said_since = time.monotonic(), False
        else:
            self._input += _CTRL_C
            self._late = time.monotonic()
        os.kill(pid, signal.SIGCONT)

    def _interrupt_late(self) -> None:
        """A Ctrl-C that came between the end of a line and the start of what was typed there: the program does not read it."""
        if self._late is None or time.monotonic() - self._late < _LATE_SECONDS:
            return
        if not select.select([self._stdin_end], [], [], 0)[0]:
            self._late = None
        elif _catches_interrupt(self.process.pid, self._output.at_prompt):
            self._late = None
            before, _, after = self._unread().rpartition(_CTRL_C)
            self._input[:0] = before + after
            self._interrupt()

    def _unread(self) -> bytes:
        data = b""
        while select.select([self._stdin_end], [], [], 0)[0] and (piece := os.read(self._stdin_end, 4096)):
            data += piece
            if len(data) >= _INPUT_BYTES:
                break
        return data

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


def _i2c(wired: Surroundings, address: str, written: str, count: str) -> str:
    """One transaction as the chip asks for it: `written` is "-" for nothing, else "=" and hex. "ack" and what was read, or "nack"."""
    try:
        return "ack" + wired.transfer(int(address), bytes.fromhex(written[1:]) if written != "-" else None, int(count)).hex()
    except NoAcknowledge:
        return "nack"


def heap_bytes(text: str) -> int:
    """192K, 2M or a number of bytes."""
    units = {"K": 1 << 10, "M": 1 << 20}
    return int(text[:-1]) * units[text[-1].upper()] if text[-1:].upper() in units else int(text)


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


def _catches_interrupt(pid: int, at_prompt: bool) -> bool:
    """Whether the process has a handler for SIGINT. Where the kernel does not tell (macOS), a program that is not at a prompt has one."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("SigCgt:"):
                return bool(int(line.split()[1], 16) >> (signal.SIGINT - 1) & 1)
    return not at_prompt


def _end_with_us(leash: int, pid: int) -> None:
    """Have the kernel end the VM (SIGIO) when the other end of its leash closes: a supervisor that is killed leaves no board behind."""
    with contextlib.suppress(OSError, AttributeError):
        fcntl.fcntl(leash, fcntl.F_SETOWN, pid)
        fcntl.fcntl(leash, fcntl.F_SETFL, fcntl.fcntl(leash, fcntl.F_GETFL) | os.O_ASYNC)
