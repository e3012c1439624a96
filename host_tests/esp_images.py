"""ESP images that the tests make: ESP-IDF's "App Image Format"."""

import hashlib
import struct
from functools import reduce
from operator import xor

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
