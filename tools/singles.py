"""Numbers as boards keep them: in floats of 32 bits, which hold seven digits of ours."""

import math
import struct
from collections.abc import Mapping
from typing import Any

_ROUNDING = 6e-7  # relative: half of the seventh digit, and what a float of 32 bits is off itself


def is_echo(said: Any, given: Any) -> bool:
    """Whether what a board says, a JSON value, is what it was given, as far as its floats can tell."""
    if isinstance(said, Mapping) and isinstance(given, Mapping):
        return said.keys() == given.keys() and all(is_echo(said[key], given[key]) for key in given)
    if isinstance(said, list) and isinstance(given, list):
        return len(said) == len(given) and all(map(is_echo, said, given))
    if isinstance(said, float) and isinstance(given, float):
        return said == given or _is_made_of(said, given)
    return type(said) is type(given) and bool(said == given)


def _is_made_of(said: float, given: float) -> bool:
    # in seven digits, or in the more that a newer MicroPython writes
    if float(f"{said:.7g}") == said:
        return math.isclose(said, given, rel_tol=_ROUNDING)
    try:
        (single,) = struct.unpack("f", struct.pack("f", given))
    except OverflowError:
        return False
    return said in (float(f"{single:.8g}"), float(f"{single:.9g}"))
