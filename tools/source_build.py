"""MicroPython built from Debian's source package with compilers from Debian's packages, all of it below build/; nothing is installed."""

import contextlib
import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tools.debian import Apt, AptError
from tools.paths import BUILD, ROOT

RELEASE = "trixie"  # of the source, and of what it is linked with
_SOURCE = BUILD / "micropython"
_LOCK = BUILD / "micropython.lock"
_PATIENCE = 600  # seconds for the compiler
_LAST_LINES = 8


class BuildError(RuntimeError):
    """It cannot be built here; the text says why."""


class Toolchain:
    """Programs that a build or its result is run with: this machine's, or else those of its own release's packages, unpacked in `folder`.

    `packages` tells which packages bring a program.
    """

    def __init__(self, folder: Path, packages: Mapping[str, Sequence[str]]) -> None:
        self.folder = folder
        self._packages = packages

    def environment(self) -> dict[str, str]:
        """What the programs are run with."""
        libraries = [str(found) for place in ("usr/lib", "lib") for found in self.folder.glob(f"{place}/*-linux-gnu")]
        more = {"LD_LIBRARY_PATH": os.pathsep.join(libraries)} if libraries else {}
        return {**os.environ, "PATH": f"{self.folder}/usr/bin{os.pathsep}{os.environ['PATH']}", **more}

    def has(self, program: str) -> bool:
        """Whether it can be run."""
        return shutil.which(program, path=self.environment()["PATH"]) is not None

    def fetch(self) -> None:
        """Unpack what is missing. Raises AptError."""
        missing = [package for program, packages in self._packages.items() if not self.has(program) for package in packages]
        if missing:
            apt = Apt()
            apt.unpack(missing, self.folder)
            apt.forget()


def source() -> Path:
    """MicroPython's source, fetched unless it is there. Raises AptError."""
    if not (_SOURCE / "ports").is_dir():
        apt = Apt(RELEASE)
        apt.source("micropython", _SOURCE)
        apt.forget()
    return _SOURCE


def make(port: Path, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
    """Build one of its ports, on all cores; `log` gets all that is said. Raises BuildError with the last lines of it."""
    command = ["make", f"-j{os.cpu_count() or 1}", *arguments]
    # it looks for its version in a repository: not in ours
    environment = {**environment, "GIT_CEILING_DIRECTORIES": str(BUILD)}
    ran = subprocess.run(command, cwd=port, env=environment, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    log.parent.mkdir(parents=True, exist_ok=True)  # where every program was on PATH nothing has made it yet
    log.write_text(ran.stdout + ran.stderr)
    if ran.returncode:
        last = "\n".join((ran.stdout + ran.stderr).strip().splitlines()[-_LAST_LINES:])
        raise BuildError(f"MicroPython was not built, {log.relative_to(ROOT)} has all of it:\n{last}")


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Only one process builds at a time, the others wait. Raises BuildError, also for an AptError within."""
    if shutil.which("make") is None:
        raise BuildError("there is no make on this machine")
    BUILD.mkdir(exist_ok=True)
    with _LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield
        except AptError as error:
            raise BuildError(str(error)) from error
