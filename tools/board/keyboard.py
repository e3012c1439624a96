"""What a client types at a virtual board, on its way to the program: into the VM's standard input, and Ctrl-C as an interrupt."""

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import time
from pathlib import Path

from tools.board.terminal import Output

_INPUT_BYTES = 65536  # that may wait for the program; what comes on top is lost, as in a UART
_PIPE_BYTES = 4096  # of these wait inside the VM's standard input
_INTERRUPT_SECONDS = 1.0  # within which a program that says nothing is taken not to have seen the last Ctrl-C yet
_LATE_SECONDS = 0.1  # after which a Ctrl-C that went to the program as a byte and was not read is one after all
_CTRL_C = b"\x03"
_CTRL_A = b"\x01"  # into the raw REPL


class Keyboard:
    """The input of one VM process. `fd` is to be waited for, to be written to, while something is `waiting`."""

    def __init__(self, process: subprocess.Popen[bytes], stdin: tuple[int, int], output: Output, typed: bytes) -> None:
        """`stdin`: both ends of the pipe that is the process's standard input; `typed`: what came before this start."""
        self._process = process
        self._end, self.fd = stdin
        self._output = output
        self._starts_raw = output.raw_repl
        self._held = bytearray(typed)  # input that came before the chip was ready for it
        self._input = bytearray()
        self._interrupted = -_INTERRUPT_SECONDS  # when Ctrl-C was last passed on, and whether there was output since
        self._said_since = True
        self._late: float | None = None  # when a Ctrl-C went to the program as a byte
        self._listened = (False, False)  # whether the program, and whether the REPL did so when it was last looked at
        os.set_blocking(self.fd, False)
        with contextlib.suppress(OSError, AttributeError):
            fcntl.fcntl(self.fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    @property
    def waiting(self) -> bool:
        """Whether there is something to feed."""
        return bool(self._input)

    @property
    def unsettled(self) -> bool:
        """Whether a Ctrl-C is under way, so that look() is to be called soon."""
        return self._late is not None

    def unread(self) -> bytes:
        """Take away what the program has not read, for the start that follows."""
        return bytes(self._piped() + self._input + self._held)

    def program_said(self) -> None:
        """Something came from the VM: it may be that it listens from now on."""
        self._said_since = True
        before, self._listened = self._listened, (self._output.started, self._output.in_repl)
        if not before[1] and self._output.in_repl and self._starts_raw:
            self._held[:0] = _CTRL_A  # the board stays in the raw REPL over a soft reset
        if before != self._listened:
            self.type(b"")

    def type(self, data: bytes) -> None:
        """Take what the client has sent; what comes before the program listens waits."""
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
        self.feed()

    def feed(self) -> None:
        """Give the program what it takes now."""
        if self._input:
            with contextlib.suppress(BlockingIOError, BrokenPipeError):
                n = os.write(self.fd, self._input)
                del self._input[:n]

    def _interrupt(self) -> None:
        """Ctrl-C: KeyboardInterrupt where the chip wants it so (micropython.kbd_intr), else a byte as any other.

        The VM is stopped meanwhile, so that what it wants does not change between the question and the signal, which would end it.
        """
        pid = self._process.pid
        # a second one while the first is still under way would end the VM, which only the unix port does
        under_way = not self._said_since and time.monotonic() - self._interrupted < _INTERRUPT_SECONDS
        if under_way or self._process.poll() is not None:
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

    def look(self) -> None:
        """To be called often: a Ctrl-C that came between the end of a line and the start of what was typed there is not read as a byte."""
        if self._late is None or time.monotonic() - self._late < _LATE_SECONDS:
            return
        if not select.select([self._end], [], [], 0)[0]:
            self._late = None
        elif _catches_interrupt(self._process.pid, self._output.at_prompt):
            self._late = None
            before, _, after = self._piped().rpartition(_CTRL_C)
            self._input[:0] = before + after
            self._interrupt()

    def _piped(self) -> bytes:
        data = b""
        while select.select([self._end], [], [], 0)[0] and (piece := os.read(self._end, 4096)):
            data += piece
            if len(data) >= _INPUT_BYTES:
                break
        return data


def _catches_interrupt(pid: int, at_prompt: bool) -> bool:
    """Whether the process has a handler for SIGINT. Where the kernel does not tell (macOS), a program that is not at a prompt has one."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("SigCgt:"):
                return bool(int(line.split()[1], 16) >> (signal.SIGINT - 1) & 1)
    return not at_prompt
