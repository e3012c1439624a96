"""Firmware images that the tests make: of ESP-IDF ("App Image Format"), and UF2 of an RP2."""

import hashlib
import struct
from functools import reduce
from operator import xor

from tools.board.profile import Profile

_APP_MAGIC = 0xABCD5432  # esp_app_desc_t, the beginning of an application's first segment


def esp_image(chip_id: int, size: int = 2000, *, app: bool = False) -> bytes:
    """An image of one segment of `size` bytes, with checksum and digest; with `app` an application's, else such as a bootloader's."""
    segment = bytes(n * 7 & 255 for n in range(size))
    if app:
        segment = struct.pack("<I", _APP_MAGIC) + segment[4:]
    extended = struct.pack("<B3sHBHH4xB", 0xEE, b"\0\0\0", chip_id, 0, 0, 0xFFFF, 1)
    data = struct.pack("<BBBBI", 0xE9, 1, 2, 0x20, 0x40080000) + extended + struct.pack("<II", 0x3FFB0000, size) + segment
    data += bytes(15 - len(data) % 16) + bytes([reduce(xor, segment, 0xEF)])
    return data + hashlib.sha256(data).digest()


def esp_firmware(name: str, **other: int) -> bytes:
    """What MicroPython's download for this board looks like; `other`: chip (id), or a partition with another size."""
    profile = Profile.load(name)
    chip = other.pop("chip", profile.firmware["image_chip_id"])
    offset = profile.firmware["offset"]
    table = b"".join(
        struct.pack("<2sBBII16sI", b"\xaa\x50", one.type, one.subtype, one.offset, other.get(one.name, one.size), one.name.encode(), 0)
        for one in profile.partitions
    )
    app = next(one for one in profile.partitions if one.type == 0)
    data = esp_image(chip).ljust(0x8000 - offset, b"\xff") + table
    return data.ljust(app.offset - offset, b"\xff") + esp_image(chip, 50_000, app=True)


def uf2_firmware(name: str, blocks: int = 20, start: int = 0x10000000, family: int | None = None) -> bytes:
    """A UF2 file of so many blocks for an RP2 board, from this address on; `family`: of another chip."""
    family = Profile.load(name).firmware["uf2_family"] if family is None else family
    return b"".join(
        struct.pack("<8I476sI", 0x0A324655, 0x9E5D5157, 0x2000, start + 256 * n, 256, n, blocks, family, bytes(256), 0x0AB16F30)
        for n in range(blocks)
    )
