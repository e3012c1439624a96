"""What can be wired to a virtual board from outside: sensors on its I2C bus, voltages at its analogue inputs."""

import threading
import time
from typing import Protocol

from tools.board.errors import BoardError

_MOST_VOLTS = 3.3
_FULL = 1 << 20  # an AHT20 gives both readings as 20 bits of their range


class I2CPart(Protocol):
    """One part on the bus. A read or write that it does not acknowledge raises NoAcknowledge."""

    address: int
    readings: dict[str, float]  # what it measures, to be set from outside

    def power_on(self) -> None:
        """The power has come."""

    def write(self, data: bytes) -> None:
        """What the chip has written to it in one transaction."""

    def read(self, count: int) -> bytes:
        """So many bytes for the chip."""


class NoAcknowledge(Exception):
    """Nobody on the bus has answered."""


class Aht20:
    """An AHT20, as its data sheet (ASAIR, version 1.1, §5.4) describes it: temperature in degrees Celsius, humidity in percent."""

    address = 0x38
    _BUSY, _CALIBRATED = 0x80, 0x08
    _MEASURING = 0.08  # seconds

    def __init__(self) -> None:
        self.readings = {"temperature": 21.0, "humidity": 45.0}
        self.power_on()

    def power_on(self) -> None:
        self._status = 0x10
        self._measured = bytes(5)
        self._ready_at = 0.0

    def write(self, data: bytes) -> None:
        if data[:1] == b"\xba":
            self.power_on()
        elif data[:1] in (b"\xbe", b"\xe1"):
            self._status |= self._CALIBRATED
        elif data[:3] == b"\xac\x33\x00":
            self._measured = self._measure()
            self._ready_at = time.monotonic() + self._MEASURING

    def read(self, count: int) -> bytes:
        busy = self._BUSY if time.monotonic() < self._ready_at else 0
        answer = bytes([self._status | busy]) + self._measured
        answer += bytes([_crc8(answer)])
        return answer[:count].ljust(count, b"\xff")

    def _measure(self) -> bytes:
        humidity = _scaled(self.readings["humidity"] / 100)
        temperature = _scaled((self.readings["temperature"] + 50) / 200)
        return (humidity << 20 | temperature).to_bytes(5, "big")


PARTS: dict[str, type[I2CPart]] = {"aht20": Aht20}


class Wiring:
    """What hangs on a board's pins. It stays over resets; `power_on` is for all of it."""

    def __init__(self) -> None:
        self._parts: dict[str, I2CPart] = {}
        self._volts: dict[int, float] = {}
        self._lock = threading.Lock()

    def attach(self, text: str) -> None:
        """`aht20` or `aht20,temperature=21.5,humidity=40`: attach a part, or change what one that is there measures. Raises BoardError."""
        name, *changes = text.split(",")
        if name not in PARTS:
            raise BoardError(f"there is no part {name!r} to attach; there are: {', '.join(sorted(PARTS))}")
        with self._lock:
            part = self._parts.get(name) or PARTS[name]()
            wanted = dict(part.readings)
            for change in changes:
                what, _, value = change.partition("=")
                if what not in wanted:
                    raise BoardError(f"{name} measures {', '.join(sorted(wanted))}, not {what!r}")
                try:
                    wanted[what] = float(value)
                except ValueError:
                    raise BoardError(f"{name}: {what} must be a number, such as {what}=21.5, not {value!r}") from None
            part.readings.update(wanted)
            self._parts[name] = part

    def detach(self, name: str) -> None:
        """Pull the part off the bus. Raises BoardError when it is not there."""
        with self._lock:
            if self._parts.pop(name, None) is None:
                raise BoardError(f"there is no {name!r} attached")

    def apply_volts(self, pin: int, volts: float) -> None:
        """So many volts at an analogue input from now on. Raises BoardError for more than a pin bears."""
        if not 0 <= volts <= _MOST_VOLTS:
            raise BoardError(f"a pin bears 0 to {_MOST_VOLTS} V, not {volts:g}")
        self._volts[pin] = volts

    def volts(self, pin: int) -> float:
        """What is at an analogue input; 0 where nothing was applied."""
        return self._volts.get(pin, 0.0)

    def power_on(self) -> None:
        """The board's power has come, and with it that of all parts."""
        with self._lock:
            for part in self._parts.values():
                part.power_on()

    def transfer(self, address: int, data: bytes | None, count: int) -> bytes:
        """One I2C transaction: write `data` (None: nothing), then read `count` bytes. Raises NoAcknowledge."""
        with self._lock:
            part = next((part for part in self._parts.values() if part.address == address), None)
            if part is None:
                raise NoAcknowledge
            if data is not None:
                part.write(data)
            return part.read(count) if count else b""


def _scaled(part: float) -> int:
    return min(max(round(part * _FULL), 0), _FULL - 1)


def _crc8(data: bytes) -> int:
    # polynomial 0x31, first value 0xFF
    crc = 0xFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ (0x31 if crc & 0x80 else 0)) & 0xFF
    return crc
