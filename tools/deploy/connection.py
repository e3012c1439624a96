"""A line to a board's REPL: code is run on it, and its console is read. Through mpremote's library, or ampy's where mpremote fails."""

import ast
import contextlib
import io
import struct
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import serial
from ampy.pyboard import Pyboard, PyboardError
from mpremote.transport import TransportError
from mpremote.transport_serial import SerialTransport

from tools.deploy import ports
from tools.deploy.errors import BoardRaised, LinkError, Status

VIA = ("mpremote", "ampy")
ENTER_SECONDS = 4.0  # for the REPL to answer
_ENTER_TRIES = 3  # a board that is just starting does not hear the first Ctrl-C
RUN_SECONDS = 20.0  # of silence, while a piece of code runs
_QUIET_SECONDS = 0.3
# an RP2 says "watchdog" after a reset by a program too: where the firmware is, its port/rp2.py reads that it was none
_RESET = """
import machine,os,sys
if sys.platform=='rp2':
 try:
  os.stat('/boot.state')
  with open('/reset.mark','w')as f:f.write('hard_reset')
 except OSError:pass
machine.reset()
""".strip()
_RAW = b"raw REPL; CTRL-B to exit\r\n"
_READ_SECONDS = 5.0
_BACK_SECONDS = 15.0  # for a port that is made by the chip itself to come back after a reset
_NOBODY = (
    "no MicroPython answers on {port}. Is it the board's port? A board without MicroPython wants `redpoll flash` first; "
    "one that sleeps or hangs wants its reset button"
)


class Connection(ABC):
    """Open until close(). `piece` is how many bytes of a file are sent at a time."""

    piece = 1536
    serial: Any  # pyserial's port

    def __init__(self, port: str) -> None:
        self.port = port

    @abstractmethod
    def _enter(self, fresh: bool) -> None:
        """Into the raw REPL."""

    @abstractmethod
    def _run(self, code: str, timeout: float) -> tuple[bytes, bytes]:
        """-> (what it has printed, the traceback or nothing)."""

    @abstractmethod
    def _send(self, code: str) -> None:
        """The same without waiting for its end."""

    @abstractmethod
    def close(self) -> None:
        """Leave the port to others."""

    def enter(self, fresh: bool = True) -> None:
        """End the board's program and have it listen to us; `fresh`: with a soft reset, so that boot.py alone has run. Raises LinkError."""
        try:
            for attempt in range(_ENTER_TRIES):
                with contextlib.suppress(TransportError, PyboardError), contextlib.redirect_stdout(io.StringIO()):
                    self._enter(fresh)
                    if attempt:
                        self._catch_up()
                    return
            raise LinkError(_NOBODY.format(port=self.port), Status.NO_MICROPYTHON)
        except serial.SerialException as error:
            raise LinkError(f"{self.port}: {_short(error)}. Is another program using it?", Status.NO_PORT) from None
        except OSError as error:
            raise LinkError(f"{self.port}: {_short(error)}. Check the cable, then do it again") from None

    def _catch_up(self) -> None:
        """The answers to what the attempts before have sent come late: pass over them, up to the one to this."""
        while True:
            time.sleep(_QUIET_SECONDS)
            if not self.serial.in_waiting:
                break
            self.serial.read(self.serial.in_waiting)
        self.serial.write(b"\r\x01")
        self.serial.read_until(_RAW)

    def run(self, code: str) -> str:
        """Run the code -> what it has printed; it may be silent for RUN_SECONDS.

        Raises BoardRaised for its exception, LinkError when the board is gone.
        """
        with self._told():
            printed, trace = self._run(code, RUN_SECONDS)
        if trace:
            raise BoardRaised(trace.decode(errors="replace"))
        return printed.decode(errors="replace")

    def ask(self, expression: str) -> Any:
        """The value of an expression: what a literal can say."""
        said = self.run(f"print(repr({expression}))").strip()
        try:
            return ast.literal_eval(said)
        except (ValueError, SyntaxError):
            raise LinkError(f"{self.port}: an answer came damaged: {said[:80]!r}. Try --via ampy, which sends slower") from None

    def start(self, code: str) -> None:
        """Run code that the board does not come back from."""
        with self._told():
            self._send(code)

    def reset(self) -> None:
        """Restart the board, as its reset button does."""
        self.start(_RESET)

    def let_go(self) -> None:
        """Have whatever is listening start its program, without knowing how far we have come: Ctrl-C, out of the raw REPL, soft reset."""
        with contextlib.suppress(OSError):
            self.serial.write(b"\r\x03\x02\x04")

    def lines(self, seconds: float) -> Iterator[str]:
        """What the board says, line by line, for so long; "" whenever it says nothing. A port that goes with the reset is opened again."""
        deadline = time.monotonic() + seconds
        held = b""
        while (left := deadline - time.monotonic()) > 0:
            try:
                self.serial.timeout = min(left, 0.1)
                try:
                    came = self.serial.read(max(1, self.serial.in_waiting))
                finally:
                    self.serial.timeout = _READ_SECONDS  # what is run on the board next may take its time
            except OSError:
                held = came = b""
                self._reopen(min(deadline, time.monotonic() + _BACK_SECONDS))
            if not came:
                yield ""
            *whole, held = (held + came).split(b"\n")
            for line in whole:
                yield line.decode(errors="replace").strip()
        if held.strip():
            yield held.decode(errors="replace").strip()

    def _reopen(self, deadline: float) -> None:
        with contextlib.suppress(OSError):
            self.serial.close()
        while True:
            try:
                self.serial.open()
                return
            except OSError:
                if time.monotonic() >= deadline:
                    raise LinkError(f"{self.port} has not come back after the reset: unplug the board and plug it in") from None
                time.sleep(0.1)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            # what the two libraries print of a line that went wrong may hold what nobody is to see
            with contextlib.redirect_stdout(io.StringIO()):
                yield
        except (TransportError, PyboardError, OSError, struct.error, IndexError) as error:
            raise LinkError(f"{self.port}: the connection broke ({_short(error)}). Check the cable, then do it again") from None


class MpremoteConnection(Connection):
    """mpremote's SerialTransport."""

    def __init__(self, port: str) -> None:
        super().__init__(port)
        try:
            self._transport = SerialTransport(port, timeout=_READ_SECONDS)
        except (TransportError, ValueError):  # a ValueError for a URL of a kind that pyserial does not know
            raise ports.refusal(port) from None
        self.serial = self._transport.serial

    def _enter(self, fresh: bool) -> None:
        self._transport.enter_raw_repl(soft_reset=fresh, timeout_overall=ENTER_SECONDS)

    def _run(self, code: str, timeout: float) -> tuple[bytes, bytes]:
        printed, trace = self._transport.exec_raw(code, timeout=timeout)
        return bytes(printed), bytes(trace)

    def _send(self, code: str) -> None:
        self._transport.exec_raw_no_follow(code)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._transport.close()


class _Pyboard(Pyboard):  # type: ignore[misc]  # ampy has no types
    """ampy's, which would ask a board that does not answer for more than a minute."""

    _entering = False

    def enter_raw_repl(self) -> None:
        self._entering, self.serial.timeout = True, ENTER_SECONDS
        try:
            super().enter_raw_repl()
        finally:
            self._entering, self.serial.timeout = False, _READ_SECONDS

    def read_until(self, least: int, ending: bytes, timeout: float | None = 10, data_consumer: Any = None) -> bytes:
        if not self._entering:
            return bytes(super().read_until(least, ending, timeout, data_consumer))
        data = bytes(self.serial.read_until(ending))
        if not data.endswith(ending):
            raise PyboardError("could not enter raw repl")
        return data


class AmpyConnection(Connection):
    """ampy's Pyboard: no flow control, no raw paste, small pieces with a pause after each. For slow or lossy bridges."""

    piece = 96

    def __init__(self, port: str) -> None:
        super().__init__(port)
        try:
            self._pyboard = _Pyboard(port, rawdelay=0.5)
        except (PyboardError, OSError):
            raise ports.refusal(port) from None
        self.serial = self._pyboard.serial
        self.serial.timeout = _READ_SECONDS

    def _enter(self, fresh: bool) -> None:  # noqa: ARG002 - ampy always does a soft reset
        self._pyboard.enter_raw_repl()

    def _run(self, code: str, timeout: float) -> tuple[bytes, bytes]:
        printed, trace = self._pyboard.exec_raw(code, timeout=timeout)
        return bytes(printed), bytes(trace)

    def _send(self, code: str) -> None:
        self._pyboard.exec_raw_no_follow(code)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._pyboard.close()


def connect(port: str, via: str = "mpremote") -> Connection:
    """A line to the board on this port. Raises DeployError."""
    return MpremoteConnection(port) if via == "mpremote" else AmpyConnection(port)


def _short(error: BaseException) -> str:
    return str(error).strip().split("\n")[0][:120] or type(error).__name__
