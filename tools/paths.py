"""Where things are in this repository."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FIRMWARE = ROOT / "firmware"
BOARDS = ROOT / "boards"
BUILD = ROOT / "build"
LIB = BUILD / "lib"  # umqtt.simple, as PyPI has it
SHIM = ROOT / "host_tests" / "shim"  # CPython stand-ins for what only MicroPython has
