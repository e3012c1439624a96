"""The chip in QEMU: a serial terminal with a MicroPython behind it."""

import re
import subprocess
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tools.chip.build import NoChip, toolchain

SETUP = Path(__file__).parent / "setup.py"  # what the chip runs after each reset
_START_SECONDS = 30.0
_MACHINE = ("-machine", "mps2-an385", "-nographic", "-monitor", "null", "-semihosting", "-serial", "pty")


class Chip:
    """A Cortex-M3 that runs this firmware; `terminal` is the path of its serial port. ::

    with Chip(firmware()) as chip:
        subprocess.run(["mpremote", "connect", chip.terminal, "exec", "print(1)"])
    """

    def __init__(self, elf: Path) -> None:
        self._elf = elf
        self._process: subprocess.Popen[str] | None = None
        self.terminal = ""

    def start(self) -> Self:
        """Switch it on. Raises NoChip."""
        try:
            self._process = subprocess.Popen(
                ["qemu-system-arm", *_MACHINE, "-kernel", str(self._elf)],
                env=toolchain().environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        except OSError as error:
            raise NoChip(f"no emulated chip: qemu-system-arm does not run: {error}") from error
        said: list[str] = []
        listener = threading.Thread(target=self._listen, args=(self._process, said), daemon=True)
        listener.start()
        deadline = time.monotonic() + _START_SECONDS
        while not self.terminal:
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                listener.join(5)  # for its last words
                raise NoChip(f"no emulated chip: qemu-system-arm did not start: {' '.join(said).strip()}")
            time.sleep(0.02)
        return self

    def _listen(self, process: subprocess.Popen[str], said: list[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if found := re.search(r"redirected to (\S+)", line):
                self.terminal = found[1]

    def stop(self) -> None:
        """Cut its power."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
