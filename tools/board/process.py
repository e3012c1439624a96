"""A virtual board as something to start, watch and stop: for `redpoll run`, `redpoll board` and the tests.

The VM plays the chip (tools/board/vm, chip.py); this side plays what is around it: power, the reset line and the watchdog (supervisor.py),
the serial port, the buttons and the network.
"""

import json
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tools.board.air import Air
from tools.board.console import Console
from tools.board.environment import Environment, ResetCause
from tools.board.errors import BoardError
from tools.board.firmware import MANAGED, boot_file, firmware_files
from tools.board.flash import FlashImage
from tools.board.interpreter import Interpreter
from tools.board.page import BOOTSEL, RADIO
from tools.board.profile import Profile
from tools.board.supervisor import Supervisor
from tools.board.terminal import Terminal
from tools.board.wiring import Wiring

_LINES_SHOWN = 30  # in an error


class Board:
    """One virtual board. Its flash is `flash`, or folder/flash.img; boards in different folders have nothing in common.

    `settings` becomes settings.json, None leaves what is on the flash; `main` stands in for firmware/main.py, a file or a product's
    folder; `files` are more files (path on the board: content). All of it is put onto the flash before the first start only, so that
    a later start finds what the program has made of it; with `bare` nothing is put there, as on a board that has just been flashed.
    `frozen_agent`: its MicroPython has the agent frozen in, and none is put onto the flash.
    `terminal` is where its serial port appears, for mpremote and others: it has a REPL then, and goes on when main.py has ended.
    `on_line` is called with each console line, from another thread. ::

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
        bare: bool = False,
        terminal: Path | None = None,
        on_line: Callable[[str], None] | None = None,
        frozen_agent: bool = False,
    ) -> None:
        self.profile = Profile.load(board)
        self.heap = heap or self.profile.heap
        self.image = FlashImage(flash or folder / "flash.img", self.profile)
        # sensors and voltages at its pins, to be changed at any time
        self.wired = Wiring()
        self._around: Environment | None = None
        self._frozen_agent = frozen_agent
        self._link = terminal
        self._terminal: Terminal | None = None
        self._settings = settings
        self._main = main
        self._files = dict(files or {})
        self._installed = bare
        self._console = Console(on_line)
        self._supervisor: Supervisor | None = None

    # --- power and reset

    def start(self) -> Self:
        """Switch it on. Raises BoardError when its flash is in use, NoMicroPython or NoFrozenVM without a VM."""
        return self._start(ResetCause.POWER_ON)

    def stop(self) -> None:
        """Ctrl-C on its console, then off; a program that does not end within some seconds loses its power."""
        self._end(lambda supervisor: supervisor.stop())

    def kill(self) -> None:
        """Cut its power: no code runs any more, the flash is as it is."""
        self._end(lambda supervisor: supervisor.kill())

    def restart(self) -> None:
        """Press its reset button; for an RP2 that is as if the power came back."""
        self._reset(ResetCause.POWER_ON if self.profile.port == "rp2" else ResetCause.HARD_RESET)

    def age(self, seconds: float) -> None:
        """From its next soft reset on it is as if its chip had started so much earlier."""
        self._environment().kept.started -= seconds

    def power_cut(self) -> None:
        """The power goes, at once, and comes back; who has its serial port open keeps it."""
        self._reset(ResetCause.POWER_ON)

    def cut_power_at_write(self, n: int) -> None:
        """The power goes in the middle of the n-th write or erase of its flash from now on, and comes back. 0: it does not after all.

        A reset on the way begins the count anew.
        """
        self._environment().page.cut_at_write(n)

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

    # --- what is around it, while it is on

    @property
    def port(self) -> Path:
        """Its serial port: the terminal that it was made with."""
        if self._link is None:
            raise BoardError("this board was made without a terminal")
        return self._link

    def wifi(self, what: str) -> None:
        """ "on", "off" (no access point), "wrong-password", "no-dhcp", "no-dns" or "captive-portal"."""
        if what not in RADIO:
            raise BoardError(f"Wi-Fi can be {', '.join(RADIO)}, not {what!r}")
        around = self._environment()
        if not self.profile.network:
            raise BoardError(f"the board {self.profile.name!r} has no Wi-Fi: it uses this machine's network")
        around.air.radio = what in ("on", "no-dns", "captive-portal")
        around.air.dns = what != "no-dns"
        around.air.portal = what == "captive-portal"
        around.page.radio(what)

    @property
    def air(self) -> Air:
        """The network between its access point and the rest of the world, to be disturbed."""
        return self._environment().air

    def drive(self, pin: int, level: bool | None) -> None:
        """Something outside sets the level of an input pin, or (None) lets go of it."""
        self._environment().page.drive(pin, level)

    def press(self, seconds: float = 0.2, pin: int | None = None) -> None:
        """Press the button (board.toml says its pin) for so long."""
        if pin is None:
            if not isinstance(self.profile.button, int):
                raise BoardError(f"the board {self.profile.name!r} has no button")
            pin = self.profile.button
        if not 0 <= pin < self.profile.pin_count:
            raise BoardError(f"the board {self.profile.name!r} has no pin {pin}; it has {self.profile.pin_count}, counted from 0")
        self.drive(pin, False)
        time.sleep(seconds)
        self.drive(pin, None)

    def hold_bootsel(self, down: bool) -> None:
        """What rp2.bootsel_button() reads."""
        self.drive(BOOTSEL, False if down else None)

    @property
    def pins(self) -> dict[str, int]:
        """The outputs that its program has changed since the last reset."""
        return dict(self._environment().kept.pins)

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
        files: dict[str, Path | bytes] = {"/boot.py": boot_file()}
        files |= firmware_files(self.profile, self._main, frozen_agent=self._frozen_agent)
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
            interpreter = Interpreter.with_agent() if self._frozen_agent else Interpreter.plain()
            self._around = Environment(interpreter, self.image, self.profile, self.wired)
            self._around.partitions.create()
            if self._link is not None:
                self._terminal = Terminal(self._link)
            self._supervisor = Supervisor(self._around, self.heap, cause, self._console, self._terminal)
        except BaseException:
            self._leave()
            raise
        return self

    def _reset(self, cause: ResetCause) -> None:
        if not (self._supervisor is not None and self._supervisor.reset(cause)):
            self._start(cause)

    def _end(self, how: Callable[[Supervisor], None]) -> None:
        if self._supervisor is not None:
            how(self._supervisor)
            self._leave()

    def _leave(self) -> None:
        if self._around is not None:
            self._around.close()
            self._around = None
        if self._terminal is not None:
            self._terminal.close()
            self._terminal = None
        self.image.release()

    def _environment(self) -> Environment:
        if self._around is None:
            raise BoardError("the board is off")
        return self._around

    def _must_be_off(self) -> None:
        if self.running:
            raise BoardError("the board is running; its flash can be read and written while it is off")
        self._end(lambda supervisor: supervisor.kill())
