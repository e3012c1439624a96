"""MicroPython's `micropython` module for CPython: what the firmware asks the interpreter for."""

from collections.abc import Callable
from typing import Any

_level = 0


def const(value: Any) -> Any:
    """A compile-time constant on MicroPython."""
    return value


def native(function: Callable[..., Any]) -> Callable[..., Any]:
    """Machine code on MicroPython."""
    return function


viper = native


def opt_level(level: int | None = None) -> int | None:
    """Remembered, without effect."""
    global _level
    if level is None:
        return _level
    _level = level
    return None


def schedule(function: Callable[[Any], Any], argument: Any) -> None:
    """On a board: soon, between two bytecodes. Here: now."""
    function(argument)


def alloc_emergency_exception_buf(size: int) -> None:
    """CPython always has memory for an exception."""


def mem_info(verbose: int = 0) -> None:
    """CPython has no such figures."""


def heap_lock() -> None:
    """CPython cannot forbid allocation; a test that needs this runs on the VM."""


def heap_unlock() -> int:
    """See heap_lock. Returns the depth, always 0."""
    return 0


def kbd_intr(char: int) -> None:
    """No serial console here."""
