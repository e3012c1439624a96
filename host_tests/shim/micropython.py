"""MicroPython's `micropython` module for CPython: what the firmware takes of it."""

from typing import Any


def const(value: Any) -> Any:
    """A compile-time constant on MicroPython."""
    return value
