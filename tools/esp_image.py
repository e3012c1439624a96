"""Firmware files for the ESP32 family, as MicroPython's downloads are: bootloader, partition table and application in one.

Formats: ESP-IDF's "App Image Format" and "Partition Tables".
"""

import hashlib
import struct
from functools import reduce
from operator import xor

from tools.board.profile import Partition, Profile

CHIPS = {0: "esp32", 2: "esp32s2", 5: "esp32c3", 9: "esp32s3", 12: "esp32c2", 13: "esp32c6", 16: "esp32h2", 18: "esp32p4"}
_MAGIC = 0xE9
_HEADER = 24
_CHECKSUM_SEED = 0xEF
_TABLE = 0x8000  # where the partition table is on the flash
_TABLE_BYTES = 0xC00
_ENTRY = struct.Struct("<2sBBII16sI")
_FIRST_OTA = 0x10
_ABOUT = 32  # an application's esp_app_desc_t, behind header and segment header
_ABOUT_MAGIC = b"\x32\x54\xcd\xab"
_ENTRY_MAGIC = b"\xaa\x50"
_TYPES = {0: "app", 1: "data"}


class EspImageError(ValueError):
    """The file is not what the board takes; the text says why, and which one it wants."""


def check(data: bytes, profile: Profile) -> None:
    """Raises EspImageError unless this is a whole firmware for this board, for the flash layout of its profile."""
    offset = int(profile.firmware["offset"])
    if data[:1] != bytes([_MAGIC]):
        raise EspImageError(f"it is no firmware for an ESP32: it does not begin with 0xE9. {_wanted(profile)}")
    _check_image(data, "its bootloader", profile)
    table = partitions(data[_TABLE - offset : _TABLE - offset + _TABLE_BYTES])
    if not table:
        raise EspImageError(f"it has no partition table: it is a part of a firmware only, such as one for updates. {_wanted(profile)}")
    if profile.partitions and table != profile.partitions:
        raise EspImageError(
            f"its flash layout is another one than that of {profile.name}: {_difference(table, profile)}. {_wanted(profile)}"
        )
    app = next(one for one in table if one.type == 0)
    image = data[app.offset - offset :]
    size = _check_image(image, f"its application (partition {app.name})", profile)
    if size > app.size:
        raise EspImageError(f"its application has {size:,} bytes, the partition {app.name} {app.size:,}")
    if offset + len(data) > profile.flash_offset:
        raise EspImageError(f"it has {len(data):,} bytes and would reach into the file system, which begins at {profile.flash_offset:#x}")


def check_app(data: bytes, profile: Profile) -> None:
    """Raises EspImageError unless this is one application image that this board can be updated to over the air."""
    slots = [one for one in profile.partitions if one.type == 0 and one.subtype >= _FIRST_OTA]
    if len(slots) < 2:
        raise EspImageError(f"{profile.name} has no second application partition: its firmware cannot be updated over the air")
    if data[:1] != bytes([_MAGIC]):
        raise EspImageError("it is no image for an ESP32: it does not begin with 0xE9. Take the .app-bin of the build")
    if data[_ABOUT : _ABOUT + 4] != _ABOUT_MAGIC:
        raise EspImageError("it is no application: a whole firmware begins with its bootloader. Take the .app-bin of the build")
    _check_image(data, "the application", profile)
    room = min(one.size for one in slots)
    if len(data) > room:
        raise EspImageError(f"it has {len(data):,} bytes, an application partition of {profile.name} {room:,}")


def partitions(data: bytes) -> tuple[Partition, ...]:
    """The entries of a partition table; none when it is no table."""
    found = []
    for at in range(0, len(data) - _ENTRY.size + 1, _ENTRY.size):
        magic, kind, subtype, offset, size, name, _ = _ENTRY.unpack_from(data, at)
        if magic != _ENTRY_MAGIC:
            break
        found.append(Partition(name.rstrip(b"\0").decode(errors="replace"), kind, subtype, offset, size))
    return tuple(found)


def _check_image(data: bytes, what: str, profile: Profile) -> int:
    """-> its size in bytes, with checksum and digest."""
    if len(data) < _HEADER or data[0] != _MAGIC:
        raise EspImageError(f"{what} is missing, or cut off: download the file again")
    chip = int.from_bytes(data[12:14], "little")
    if chip != profile.firmware["image_chip_id"]:
        raise EspImageError(f"{what} is for the chip {CHIPS.get(chip, chip)}, {profile.name} has {profile.chip}. {_wanted(profile)}")
    at, checksum = _HEADER, _CHECKSUM_SEED
    for _ in range(data[1]):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        segment = data[at + 8 : at + 8 + length]
        at += 8 + length
        if at > len(data):
            raise EspImageError(f"{what} is cut off: download the file again")
        checksum = reduce(xor, segment, checksum)
    at |= 15  # the checksum is the last byte of a block of 16
    digest_at = at + 1
    if data[at : at + 1] != bytes([checksum]):
        raise EspImageError(f"{what} is damaged: its checksum is wrong. Download the file again")
    if not data[23]:
        return digest_at
    if data[digest_at : digest_at + 32] != hashlib.sha256(data[:digest_at]).digest():
        raise EspImageError(f"{what} is damaged: its SHA-256 is wrong. Download the file again")
    return digest_at + 32


def _difference(table: tuple[Partition, ...], profile: Profile) -> str:
    wanted = set(profile.partitions)
    one = next((one for one in table if one not in wanted), None)
    if one is None:
        return f"a partition is missing: {', '.join(sorted({p.name for p in wanted} - {p.name for p in table}))}"
    return f"it has {_TYPES.get(one.type, one.type)} partition {one.name!r} at {one.offset:#x} with {one.size:#x} bytes"


def _wanted(profile: Profile) -> str:
    return f"{profile.name} wants {profile.firmware['file']} from {profile.firmware['page']}"
