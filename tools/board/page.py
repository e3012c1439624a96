"""The levels around a virtual chip: a small file that this side writes at any time and the chip reads (vm/vm_control.py)."""

import os
import struct
import threading
from pathlib import Path

# Wi-Fi; mask of the pins that are driven from outside; their levels; number of the last order to cut the power; at which write
_LAYOUT = struct.Struct("<BQQBI")

# what there is of Wi-Fi around the board, as numbers of the page
RADIO = {"on": 0, "off": 1, "wrong-password": 2, "no-dhcp": 3, "no-dns": 4, "captive-portal": 5}
BOOTSEL = 63  # the pin that stands for the button of that name


class Page:
    """What the chip finds around it. Writing is atomic for the chip, which reads the file whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._values = [0, 0, 0, 0, 0]
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._write()

    def radio(self, what: str) -> None:
        """One of RADIO."""
        with self._lock:
            self._values[0] = RADIO[what]
            self._write()

    def drive(self, pin: int, level: bool | None) -> None:
        """Something outside drives the pin, or (None) leaves it to its pull."""
        with self._lock:
            bit = 1 << pin
            self._values[1] = self._values[1] & ~bit | (bit if level is not None else 0)
            self._values[2] = self._values[2] & ~bit | (bit if level else 0)
            self._write()

    def cut_at_write(self, n: int) -> None:
        """The power goes at the n-th write or erase of the flash from now on; 0 takes the order back."""
        with self._lock:
            self._values[3] = (self._values[3] + 1) & 0xFF
            self._values[4] = n
            self._write()

    def close(self) -> None:
        """The chip has ended: the file is of no use any more."""
        os.close(self._file)
        self.path.unlink(missing_ok=True)

    def _write(self) -> None:
        os.pwrite(self._file, _LAYOUT.pack(*self._values), 0)
