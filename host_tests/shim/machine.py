"""MicroPython's `machine` for CPython: records what a program does to the chip, so that a test can look."""

from typing import Any

PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = 1, 2, 3, 4, 5

cause = PWRON_RESET  # a test sets it


class Reset(BaseException):
    """machine.reset() was called. Not an Exception: no handler in the firmware may survive a reset."""


def unique_id() -> bytes:
    """Six bytes, the same on every machine."""
    return b"\x02rdpll"


def reset() -> None:
    """Raises Reset."""
    raise Reset


def soft_reset() -> None:
    """As on a board, where it is the end of the program."""
    raise SystemExit


def reset_cause() -> int:
    """What a test has put into `cause`."""
    return cause


class WDT:
    """Counts its feeds."""

    def __init__(self, id: int = 0, timeout: int = 5000) -> None:
        self.timeout = timeout
        self.feeds = 0

    def feed(self) -> None:
        self.feeds += 1


class Pin:
    """Remembers every value that it was given, in `history`."""

    IN, OUT, OPEN_DRAIN = 0, 1, 2
    PULL_UP, PULL_DOWN = 1, 2

    def __init__(self, id: Any, mode: int = -1, pull: int = -1, *, value: int | None = None) -> None:
        self.id = id
        self.history: list[int] = []
        self._value = 0
        if value is not None:
            self.value(value)

    def value(self, new: int | None = None) -> int | None:
        if new is None:
            return self._value
        self._value = int(bool(new))
        self.history.append(self._value)
        return None

    __call__ = value

    def on(self) -> None:
        self.value(1)

    def off(self) -> None:
        self.value(0)

    def toggle(self) -> None:
        self.value(not self._value)
