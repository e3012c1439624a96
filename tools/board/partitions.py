"""The flash of a virtual ESP32 outside its file system, and the part of its bootloader that chooses an application."""

import binascii
import struct
from pathlib import Path
from typing import IO

from tools.board.profile import Partition, Profile

_ENTRY = struct.Struct("<I20sII")  # esp_ota_select_entry_t of ESP-IDF: sequence, label, state, CRC of the sequence
_SECTOR = 4096
_NEW, _PENDING, _VALID, _INVALID, _ABORTED = range(5)
_NOTHING = 0xFFFFFFFF
_FIRST_OTA = 0x10
_IMAGE_MAGIC = b"\xe9"


class Partitions:
    """An image file of what lies before the file system. The first application slot holds a (nominal) application."""

    def __init__(self, path: Path, profile: Profile) -> None:
        self.path = path
        self._all = profile.partitions
        self._apps = [one for one in self._all if one.type == 0]
        self._slots = [one for one in self._apps if one.subtype >= _FIRST_OTA]
        self._size = max((one.offset + one.size for one in self._all if one.name != "vfs"), default=0)

    def create(self, *, fresh: bool = False) -> None:
        """Make the file where there is none; with `fresh` also where there is one."""
        if self._all and (fresh or not self.path.exists()):
            data = bytearray(b"\xff" * self._size)
            start = self._apps[0].offset
            data[start : start + 1] = _IMAGE_MAGIC
            self.path.write_bytes(data)

    def read(self, name: str) -> bytes:
        """What is in a partition. Raises KeyError."""
        one = self._named(name)
        with self.path.open("rb") as file:
            file.seek(one.offset)
            return file.read(one.size)

    def boot(self) -> str | None:
        """Do what the bootloader does with the rollback on: give up an application that did not confirm itself, start the newest good one.

        Returns its partition's name; None for a board without partitions.
        """
        if not self._apps:
            return None
        if not any(one.name == "otadata" for one in self._all):
            return self._apps[0].name
        with self.path.open("r+b") as file:
            otadata = self._named("otadata").offset
            entries: list[tuple[int, int] | None] = []
            for place in (otadata, otadata + _SECTOR):
                file.seek(place)
                sequence, _, state, crc = _ENTRY.unpack(file.read(_ENTRY.size))
                good = sequence != _NOTHING and crc == binascii.crc32(struct.pack("<I", sequence), _NOTHING)
                if good and state == _PENDING:
                    state = _ABORTED
                    self._mark(file, place, sequence, state)
                entries.append((sequence, state) if good and state not in (_INVALID, _ABORTED) else None)
            newest = max((entry[0] for entry in entries if entry), default=0)
            if not newest:
                return self._apps[0].name
            for number, entry in enumerate(entries):
                if entry == (newest, _NEW):
                    self._mark(file, otadata + number * _SECTOR, newest, _PENDING)
            return self._slots[(newest - 1) % len(self._slots)].name

    def table(self) -> list[tuple[str, int, int, int, int]]:
        """(name, type, subtype, offset, size) of each."""
        return [(one.name, one.type, one.subtype, one.offset, one.size) for one in self._all]

    @staticmethod
    def _mark(file: IO[bytes], place: int, sequence: int, state: int) -> None:
        file.seek(place)
        crc = binascii.crc32(struct.pack("<I", sequence), _NOTHING)
        file.write(_ENTRY.pack(sequence, b"\xff" * 20, state, crc))

    def _named(self, name: str) -> Partition:
        for one in self._all:
            if one.name == name:
                return one
        raise KeyError(name)
