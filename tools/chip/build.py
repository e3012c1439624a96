"""MicroPython's firmware for the emulated chip, built from Debian's source package with Debian's compiler, in build/chip."""

import shutil
from pathlib import Path

from tools.paths import BUILD
from tools.source_build import BuildError, Toolchain, alone, make, source

FOLDER = BUILD / "chip"
_PORT = Path(__file__).parent / "port"
_PACKAGES = {
    "arm-none-eabi-gcc": ["gcc-arm-none-eabi", "libnewlib-arm-none-eabi"],
    "qemu-system-arm": ["qemu-system-arm"],
}


class NoChip(RuntimeError):
    """The chip cannot be emulated here; the text says why and what to do."""


def toolchain() -> Toolchain:
    """The compiler and the emulator."""
    return Toolchain(FOLDER / "tools", _PACKAGES)


def firmware() -> Path:
    """The firmware as an ELF file, built if that has not been done from this port's files. Raises NoChip."""
    made_of = b"".join(path.read_bytes() for path in sorted(_PORT.iterdir()))
    elf, stamp = FOLDER / "firmware.elf", FOLDER / "firmware.stamp"
    tools = toolchain()
    if elf.exists() and stamp.exists() and stamp.read_bytes() == made_of and tools.has("qemu-system-arm"):
        return elf
    try:
        with alone():
            tools.fetch()
            port = source() / "ports" / "qemu"
            shutil.rmtree(port / "redpoll", ignore_errors=True)
            shutil.copytree(_PORT, port / "redpoll")
            newlib = tools.folder / "usr/include/newlib"  # where the compiler looks is fixed, so a folder of ours has to be named
            arguments = ["BOARD=REDPOLL", "BOARD_DIR=redpoll", "FROZEN_MANIFEST=", f"MICROPY_MPYCROSS={shutil.which('true')}"]
            arguments += [f"CFLAGS_EXTRA=-isystem {newlib}"] if newlib.is_dir() else []
            make(port, arguments, tools.environment(), FOLDER / "build.log")
    except BuildError as error:
        raise NoChip(f"no emulated chip: {error}") from error
    shutil.copyfile(port / "build-REDPOLL" / "firmware.elf", elf)
    stamp.write_bytes(made_of)
    return elf
