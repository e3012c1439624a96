"""Firmware files for RP2040 and RP2350, and the drive that such a board shows while BOOTSEL is held at power-on.

Format: github.com/microsoft/uf2; family ids: RP2350 datasheet §5.5.3.
"""

import contextlib
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

from tools.board.profile import Profile
from tools.deploy.errors import DeployError, LinkError, Status

FAMILIES = {
    0xE48BFF56: "rp2040",
    0xE48BFF57: "absolute",
    0xE48BFF59: "rp2350 (ARM)",
    0xE48BFF5A: "rp2350 (RISC-V)",
    0xE48BFF5B: "rp2350 (ARM, non-secure)",
}
INFO = "INFO_UF2.TXT"
_ABSOLUTE = 0xE48BFF57  # a block of this family may stand in front of an RP2350's (erratum RP2350-E10)
_FLASH = 0x10000000
_BLOCK = struct.Struct("<8I476sI")
_MAGIC = (0x0A324655, 0x9E5D5157, 0x0AB16F30)
_FAMILY_FLAG = 0x2000
_CHUNK = 65536


def check(data: bytes, profile: Profile) -> int:
    """-> bytes of firmware. Raises DeployError unless it is a whole firmware for this board that leaves its file system alone."""
    wanted = int(profile.firmware["uf2_family"])
    if len(data) < _BLOCK.size or struct.unpack_from("<2I", data) != _MAGIC[:2]:
        raise DeployError(f"it is no UF2 file. {_wanted(profile)}")
    if len(data) % _BLOCK.size:
        raise DeployError("it is cut off: download the file again")
    numbers: set[int] = set()
    total = size = 0
    for at in range(0, len(data), _BLOCK.size):
        one, two, flags, address, length, number, count, family, _, end = _BLOCK.unpack_from(data, at)
        if (one, two, end) != _MAGIC or length > 476 or number >= count:
            raise DeployError(f"block {at // _BLOCK.size} is damaged: download the file again")
        if not flags & _FAMILY_FLAG:
            raise DeployError(f"it does not say which chip it is for. {_wanted(profile)}")
        if family == _ABSOLUTE != wanted:
            continue
        if family != wanted:
            raise DeployError(f"it is for {FAMILIES.get(family, hex(family))}, {profile.name} has {profile.chip}. {_wanted(profile)}")
        if not _FLASH <= address <= _FLASH + profile.flash_offset - length:
            raise DeployError(f"it writes at {address:#x}, into the board's file system or beside its flash. {_wanted(profile)}")
        if count != (total or count):
            raise DeployError(f"block {at // _BLOCK.size} is of a file with {count} blocks, not {total}: download the file again")
        numbers.add(number)
        total, size = count, size + length
    if not numbers or len(numbers) != total:
        raise DeployError(f"{total - len(numbers)} of its {total} blocks are missing: download the file again")
    return size


def find_drive(profile: Profile, mounts: list[Path] | None = None) -> Path:
    """Where the board's boot drive is mounted. Raises DeployError with how to get it there."""
    found = [drive for drive in (_mounts() if mounts is None else mounts) if is_drive(drive, profile)]
    if len(found) == 1:
        return found[0]
    if found:
        raise DeployError(f"several boards show their boot drive: say which with --drive {found[0]}")
    raise DeployError(
        f"no boot drive of {profile.name} ({profile.firmware['volume']}) is there: hold BOOTSEL while you plug the board in; a board that "
        "runs MicroPython goes there by itself with --port. Where it is not mounted by itself, mount it and name it with --drive",
        Status.NO_PORT,
    )


def is_drive(folder: Path, profile: Profile) -> bool:
    """Whether this is the boot drive of such a board: what its INFO_UF2.TXT says."""
    with contextlib.suppress(OSError):
        return f"Board-ID: {profile.firmware['volume']}" in (folder / INFO).read_text(errors="replace")
    return False


def wait_for_drive(profile: Profile, seconds: float) -> Path:
    """The same, for a board that is on its way there."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return find_drive(profile)
        except DeployError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.2)


def copy(data: bytes, drive: Path, profile: Profile, done: Callable[[int], None] = lambda _: None, seconds: float = 20) -> None:
    """Copy the firmware; the board takes it and restarts, and the drive is gone. Raises LinkError when that does not happen."""
    sent = 0
    try:
        with (drive / "firmware.uf2").open("wb") as file:
            for at in range(0, len(data), _CHUNK):
                sent += file.write(data[at : at + _CHUNK])
                file.flush()
                done(sent)
            os.fsync(file.fileno())
    except OSError as error:
        if sent < len(data):  # with the last block the board goes, whatever the host still wants to write
            raise LinkError(f"{drive}: {error.strerror}. Hold BOOTSEL while you plug the board in, then do it again") from None
    deadline = time.monotonic() + seconds
    while is_drive(drive, profile):
        if time.monotonic() >= deadline:
            raise LinkError(f"{drive} is still there: the board has not taken the firmware. Unplug it, hold BOOTSEL, do it again")
        time.sleep(0.1)


def _mounts() -> list[Path]:
    with contextlib.suppress(OSError):
        lines = Path("/proc/mounts").read_text().splitlines()
        return [Path(line.split(" ")[1].replace("\\040", " ")) for line in lines]
    return [path for path in Path("/Volumes").glob("*")]


def _wanted(profile: Profile) -> str:
    return f"{profile.name} wants {profile.firmware['file']} from {profile.firmware['page']}"
