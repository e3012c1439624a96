"""Where things are in this repository."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FIRMWARE = ROOT / "firmware"
BOARDS = ROOT / "boards"
BUILD = ROOT / "build"
LIB = BUILD / "lib"  # umqtt.simple, as PyPI has it
SHIM = ROOT / "host_tests" / "shim"  # CPython stand-ins for what only MicroPython has


def is_hidden(path: Path) -> bool:
    """Whether this path, relative to a folder of sources, is none of them: an editor's, a tool's, or Python's own."""
    return any(part.startswith((".", "__pycache__")) for part in path.parts)
