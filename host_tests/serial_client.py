"""What sits at the other end of a virtual board's serial port in the tests: byte by byte, through mpremote's library, or its commands."""

import os
import select
import subprocess
import sys
import time
from pathlib import Path

from mpremote.transport_serial import SerialTransport

BIN = Path(sys.executable).parent
WITHIN = 60.0  # seconds for a command; the machine may be busy


class Wire:
    """The port as a file descriptor: type bytes, wait for bytes."""

    def __init__(self, port):
        self.fd = os.open(port, os.O_RDWR | os.O_NOCTTY)
        self.seen = b""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        os.close(self.fd)

    def type(self, data):
        while data:
            data = data[os.write(self.fd, data) :]

    def until(self, wanted, timeout=20.0):
        """Everything up to and with `wanted`; the rest stays for the next call."""
        deadline = time.monotonic() + timeout
        while wanted not in self.seen:
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.fd], [], [], left)[0], f"{wanted!r} did not come: {self.seen!r}"
            self.seen += os.read(self.fd, 4096)
        before, _, self.seen = self.seen.partition(wanted)
        return before + wanted

    def ask(self, line, prompt=b">>> "):
        """Type a line at the prompt -> what was said until the next one, without the echo."""
        self.type(line + b"\r")
        self.until(line + b"\r\n")
        return self.until(prompt).removesuffix(prompt)


class Session:
    """`with Session(port) as run: run("code")` gives what the code printed, in the raw REPL; `soft_reset` before the first."""

    def __init__(self, port, soft_reset=True):
        self._transport = SerialTransport(str(port))
        self._transport.enter_raw_repl(soft_reset=soft_reset)

    def __enter__(self):
        return lambda code: self._transport.exec(code).decode().replace("\r\n", "\n")

    def __exit__(self, *error):
        self._transport.exit_raw_repl()
        self._transport.close()


def mpremote(port, *arguments, cwd=None, fails=False):
    """Run the command -> what it printed, LF only."""
    return _run([str(BIN / "mpremote"), "connect", str(port), *map(str, arguments)], cwd, fails)


def ampy(port, *arguments, cwd=None, fails=False):
    """Run the command -> what it printed, LF only."""
    return _run([str(BIN / "ampy"), "--port", str(port), *map(str, arguments)], cwd, fails)


def _run(command, cwd, fails):
    ran = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, timeout=WITHIN, check=False)
    output = (ran.stdout + ran.stderr).decode(errors="replace").replace("\r\n", "\n")
    assert bool(ran.returncode) == fails, output
    return output
