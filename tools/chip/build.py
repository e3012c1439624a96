"""MicroPython's firmware for the emulated chip, built from Debian's source package with Debian's compiler, all of it below build/chip.

Nothing is installed: what is not on this machine's PATH is unpacked from the packages of its own release.
"""

import os
import shutil
import subprocess
from pathlib import Path

from tools.debian import Apt, AptError
from tools.paths import BUILD, ROOT

FOLDER = BUILD / "chip"
_RELEASE = "trixie"
_PORT = Path(__file__).parent / "port"
_TOOLS = FOLDER / "tools"
_SOURCE = FOLDER / "micropython"
_PATIENCE = 600  # seconds for the compiler
_PACKAGES = {
    "arm-none-eabi-gcc": ["gcc-arm-none-eabi", "libnewlib-arm-none-eabi"],
    "qemu-system-arm": ["qemu-system-arm"],
}


class NoChip(RuntimeError):
    """The chip cannot be emulated here; the text says why and what to do."""


def environment() -> dict[str, str]:
    """What the compiler and the emulator are run with."""
    libraries = [str(folder) for folder in (*_TOOLS.glob("usr/lib/*-linux-gnu"), *_TOOLS.glob("lib/*-linux-gnu"))]
    more = {"LD_LIBRARY_PATH": os.pathsep.join(libraries)} if libraries else {}
    return {**os.environ, "PATH": f"{_TOOLS}/usr/bin{os.pathsep}{os.environ['PATH']}", **more}


def firmware() -> Path:
    """The firmware as an ELF file, built if that has not been done from this port's files. Raises NoChip."""
    made_of = b"".join(path.read_bytes() for path in sorted(_PORT.iterdir()))
    elf, stamp = FOLDER / "firmware.elf", FOLDER / "firmware.stamp"
    if elf.exists() and stamp.exists() and stamp.read_bytes() == made_of and _has("qemu-system-arm"):
        return elf
    try:
        _fetch()
    except AptError as error:
        raise NoChip(f"no emulated chip: {error}") from error
    port = _SOURCE / "ports" / "qemu"
    shutil.rmtree(port / "redpoll", ignore_errors=True)
    shutil.copytree(_PORT, port / "redpoll")
    newlib = _TOOLS / "usr/include/newlib"  # where the compiler looks is fixed, so a folder of ours has to be named
    command = ["make", f"-j{os.cpu_count() or 1}", "BOARD=REDPOLL", "BOARD_DIR=redpoll", "FROZEN_MANIFEST="]
    command += [f"MICROPY_MPYCROSS={shutil.which('true')}", f"CFLAGS_EXTRA=-isystem {newlib}" if newlib.is_dir() else "CFLAGS_EXTRA="]
    ran = subprocess.run(command, cwd=port, env=environment(), capture_output=True, text=True, timeout=_PATIENCE, check=False)
    (FOLDER / "build.log").write_text(ran.stdout + ran.stderr)
    if ran.returncode:
        last = "\n".join((ran.stdout + ran.stderr).strip().splitlines()[-8:])
        raise NoChip(f"no emulated chip: its firmware was not built, {(FOLDER / 'build.log').relative_to(ROOT)} has all of it:\n{last}")
    shutil.copyfile(port / "build-REDPOLL" / "firmware.elf", elf)
    stamp.write_bytes(made_of)
    return elf


def _has(program: str) -> bool:
    return shutil.which(program, path=environment()["PATH"]) is not None


def _fetch() -> None:
    if shutil.which("make") is None:
        raise NoChip("no emulated chip: there is no make on this machine")
    missing = [package for program, packages in _PACKAGES.items() if not _has(program) for package in packages]
    if missing:
        apt = Apt()
        apt.unpack(missing, _TOOLS)
        apt.forget()
    if not (_SOURCE / "ports" / "qemu").is_dir():
        apt = Apt(_RELEASE)
        apt.source("micropython", _SOURCE)
        apt.forget()
