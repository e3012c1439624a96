"""The serial port of a virtual board: a pseudo-terminal under a stable name, and what the VM's output becomes on it."""

import contextlib
import errno
import os
import re
import select
import termios
import time
import tty
from pathlib import Path

_KEPT = 65536  # bytes that wait for a slow reader before the board is held up
_PATIENCE = 0.5  # seconds that it is held up, as a USB serial port does; then what waits is lost
_LOOK = 0.03  # seconds between two looks whether somebody has opened it


class Terminal:
    """A pseudo-terminal; `link` is a symbolic link to it and stays the same while the board lives.

    Without a client what the board says is lost, as on a wire that nobody listens to.
    """

    def __init__(self, link: Path) -> None:
        self.link = link.absolute()
        self.fd, slave = os.openpty()
        tty.setraw(slave, termios.TCSANOW)  # no echo of what the board says before a client has set its mode
        target = os.ttyname(slave)
        os.close(slave)
        os.set_blocking(self.fd, False)
        self.link.parent.mkdir(parents=True, exist_ok=True)
        self.link.unlink(missing_ok=True)
        self.link.symlink_to(target)
        self.attached = False
        self._waiting = bytearray()
        self._moved = 0.0  # when a byte was last taken
        self._looked = 0.0

    def close(self) -> None:
        """The port is gone."""
        with contextlib.suppress(OSError):
            self.link.unlink()
        os.close(self.fd)

    def look(self) -> None:
        """Notice a client that has come or gone; to be called often."""
        now = time.monotonic()
        if self.attached or now - self._looked < _LOOK:
            return
        self._looked = now
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        self.attached = not any(event & select.POLLHUP for _, event in poll.poll(0))

    def read(self) -> bytes:
        """What the client has sent; b"" for nothing."""
        try:
            return os.read(self.fd, 4096)
        except BlockingIOError:
            return b""
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            self._gone()
            return b""

    def write(self, data: bytes) -> None:
        """Say something; it is kept until the client takes it."""
        if self.attached:
            if not self._waiting:
                self._moved = time.monotonic()
            self._waiting += data
            self.flush()

    def flush(self) -> None:
        """Hand over what the client takes now."""
        while self._waiting:
            try:
                n = os.write(self.fd, self._waiting[:4096])
            except BlockingIOError:
                break
            except OSError:
                self._gone()
                return
            del self._waiting[:n]
            self._moved = time.monotonic()
        if self._waiting and time.monotonic() - self._moved > _PATIENCE:
            self._waiting.clear()

    @property
    def waiting(self) -> bool:
        """Whether there is something to hand over."""
        return bool(self._waiting)

    @property
    def full(self) -> bool:
        """Whether the board has to wait before it says more."""
        return len(self._waiting) >= _KEPT

    def _gone(self) -> None:
        self.attached = False
        self._waiting.clear()
        with contextlib.suppress(termios.error, OSError):
            # the next client does not see what was meant for this one; what it has sent already, it has sent to the board
            termios.tcflush(self.fd, termios.TCOFLUSH)


class Output:
    """Turns what the VM writes into what a board's serial port says.

    Text gets a CR before each LF, bytes of sys.stdout.buffer do not. The VM's own first line becomes the board's. `mark` is what the
    VM puts before the things that only this class is to see: S (input may come from now on), R and four hex digits (so many bytes as
    they are), B (the REPL begins). Without `cooked` text stays as it is, since nothing tells it from bytes.
    """

    def __init__(self, mark: str, machine: str, raw_repl: bool, cooked: bool) -> None:
        self._mark = mark.encode()
        self._machine = machine.encode()
        self._cooked = cooked
        self._held = b""
        self._raw_left = 0
        self._skipping = False
        self._last = b""
        self._end = b""
        self._vm_machine: bytes | None = None
        self.raw_repl = raw_repl  # which REPL the board is in
        self.started = False
        self.in_repl = False

    @property
    def at_prompt(self) -> bool:
        """Whether the last thing that was said is a prompt."""
        return self._last == b">" or self._end in (b">>> ", b"... ", b"=== ")

    def feed(self, data: bytes) -> list[tuple[bytes, bool]]:
        """What comes out now: pieces, each with whether it is text."""
        data = self._held + data
        self._held = b""
        out: list[tuple[bytes, bool]] = []
        while data:
            if self._raw_left:
                piece, data = data[: self._raw_left], data[self._raw_left :]
                self._raw_left -= len(piece)
                out.append((piece, False))
                continue
            if self._skipping:
                data = self._skip(data, out)
                if self._skipping:
                    break
                continue
            at = data.find(self._mark)
            if at < 0:
                keep = _overlap(data, self._mark)
                self._text(data[: len(data) - keep], out)
                self._held = data[len(data) - keep :]
                break
            self._text(data[:at], out)
            kind = data[at + len(self._mark) :][:5]
            if not kind or kind[:1] == b"R" and len(kind) < 5:
                self._held = data[at:]
                break
            taken = 1
            if kind[:1] == b"S":
                self.started = True
            elif kind[:1] == b"B":
                self._skipping = self.in_repl = True
            else:
                self._raw_left = int(kind[1:], 16)
                taken = 5
            data = data[at + len(self._mark) + taken :]
        return out

    def _skip(self, data: bytes, out: list[tuple[bytes, bool]]) -> bytes:
        # the VM's first line and prompt; into the raw REPL the VM is sent by whoever feeds us
        banner, prompt, rest = data.partition(b">>> ")
        if not prompt:
            self._held = data
            return b""
        if found := re.search(rb"; ([^\r\n]+)\r\n", banner):
            self._vm_machine = found[1]
        if self.raw_repl:
            line_end, rest = rest[:2], rest[2:]
            if len(line_end) < 2:
                self._held = data
                return b""
        else:
            self._text(banner + prompt, out)
        self._skipping = False
        return rest

    def _text(self, data: bytes, out: list[tuple[bytes, bool]]) -> None:
        if not data:
            return
        if self._vm_machine:
            data = data.replace(b"; " + self._vm_machine + b"\r\n", b"; " + self._machine + b"\r\n")
        raw, friendly = data.rfind(b"raw REPL; CTRL-B to exit\r\n"), data.rfind(b'Type "help()" for more information.\r\n')
        if max(raw, friendly) >= 0:
            self.raw_repl = raw > friendly
        before = b"\r" if self._last == b"\r" else b""
        cooked = data
        if self._cooked:
            cooked = re.sub(rb"(?<!\r)\n", b"\r\n", before + data)[len(before) :]
        self._last = data[-1:]
        self._end = (self._end + data[-4:])[-4:]
        out.append((cooked, True))


def _overlap(data: bytes, mark: bytes) -> int:
    """How many bytes at the end of `data` may be the beginning of `mark`."""
    for n in range(min(len(mark) - 1, len(data)), 0, -1):
        if data.endswith(mark[:n]):
            return n
    return 0
