"""A MicroPython with 32-bit objects, as boards have them: Debian's for i386, unpacked into build/vm32 and run through its own loader.

`python -m tools.vm32` (make vm32) fetches it. It is MicroPython 1.25 with sockets and `tls`, without the module `ssl`.
"""

import subprocess
import sys
from pathlib import Path

from tools.debian import Apt, AptError
from tools.paths import BUILD

FOLDER = BUILD / "vm32"
_RELEASE = "trixie"
_CHECK = "import sys; print(sys.maxsize == 0x7FFFFFFF, '.'.join(str(n) for n in sys.implementation[1][:3]))"


class NoVM32(RuntimeError):
    """There is no 32-bit MicroPython here; the text says why and what to do."""


def find_vm32() -> list[str] | None:
    """The beginning of a command that runs it, or None where it was not fetched."""
    program, loader, libraries = _parts()
    if not program.exists():
        return None
    return [str(loader), "--library-path", str(libraries), str(program)]


def fetch() -> str:
    """Fetch it unless it is there, and try it. Returns its version. Raises NoVM32."""
    if find_vm32() is None:
        try:
            apt = Apt(_RELEASE, "i386")
            apt.unpack(["micropython"], FOLDER)
            apt.forget()
        except AptError as error:
            raise NoVM32(f"no 32-bit MicroPython: {error}") from error
    command = find_vm32()
    if command is None:
        raise NoVM32(f"no 32-bit MicroPython: Debian's package for i386 has no {_parts()[0].relative_to(FOLDER)}")
    try:
        ran = subprocess.run([*command, "-c", _CHECK], capture_output=True, text=True, timeout=30, check=False)
        said, right = ran.stdout.split(), ran.returncode == 0 and ran.stdout.startswith("True ")
        why = (ran.stderr or ran.stdout or f"exit status {ran.returncode}").strip()
    except (OSError, subprocess.TimeoutExpired) as error:
        said, right, why = [], False, str(error)
    if not right:
        # a program that does not run here must not be found by the tests
        _parts()[0].unlink()
        raise NoVM32(f"no 32-bit MicroPython: Debian's does not run on this machine, which must be x86 with a kernel that runs i386: {why}")
    return said[1]


def _parts() -> tuple[Path, Path, Path]:
    # the program, its loader, the folder with its libraries
    libraries = FOLDER / "usr/lib/i386-linux-gnu"
    return FOLDER / "usr/bin/micropython", libraries / "ld-linux.so.2", libraries


def main() -> int:
    """Fetch it and say which it is; 1 with the reason where it cannot be had."""
    try:
        print(f"32-bit MicroPython VM: {fetch()}")
    except NoVM32 as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
