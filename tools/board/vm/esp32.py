# A chip's `esp32`: the partitions of its flash, with the rules that the real one has.
import errno
import struct
from binascii import crc32

from vm_control import state

HEAP_EXEC = 1
HEAP_DATA = 4
_ERASED = 0xFF
_SECTOR = 4096
_APP_MAGIC = 0xE9
_ENTRY = "<I20sII"  # esp_ota_select_entry_t: sequence, label, state, CRC
_NEW = 0
_PENDING = 1
_VALID = 2
_INVALID = 3
_ABORTED = 4
_UNDEFINED = 0xFFFFFFFF
_ERR_OTA_VALIDATE_FAILED = -5379
_ERR_NOT_FOUND = -261
_PLACE_OTA = 0x10

_flash = None  # the file system's, which is the partition "vfs"
_file = None  # all others, as they lie on the chip


def _start(flash, host):
    global _flash, _file
    _flash = flash
    _file = host.open(state["partitions_file"], "r+b")


def _entry(slot):
    # one of the two records of otadata: (sequence, state), None for none
    start = _find_one("otadata")[3] + slot * _SECTOR
    _file.seek(start)
    sequence, _, status, crc = struct.unpack(_ENTRY, _file.read(32))
    if sequence == _UNDEFINED or crc != crc32(struct.pack("<I", sequence), 0xFFFFFFFF):
        return None
    return sequence, status


def _put_entry(slot, sequence, status):
    start = _find_one("otadata")[3] + slot * _SECTOR
    _file.seek(start)
    _file.write(bytes([_ERASED]) * _SECTOR)
    _file.seek(start)
    _file.write(struct.pack(_ENTRY, sequence, b"\xff" * 20, status, crc32(struct.pack("<I", sequence), 0xFFFFFFFF)))


def _find_one(name):
    for one in state["partitions"]:
        if one[0] == name:
            return one
    return None


def _ota_slots():
    return [one for one in state["partitions"] if one[1] == 0 and one[2] >= _PLACE_OTA]


def _boot_name():
    # what the bootloader would start: the valid record with the highest sequence
    if not _find_one("otadata"):
        return state["running"]
    best = 0
    for slot in (0, 1):
        entry = _entry(slot)
        if entry and entry[1] not in (_INVALID, _ABORTED) and entry[0] > best:
            best = entry[0]
    slots = _ota_slots()
    return slots[(best - 1) % len(slots)][0] if best else slots[0][0]


class Partition:
    """A part of the flash: by its name, BOOT or RUNNING."""

    BOOT = 0
    RUNNING = 1
    TYPE_APP = 0
    TYPE_DATA = 1

    def __init__(self, id, block_size=4096):
        name = id if isinstance(id, str) else _boot_name() if id == Partition.BOOT else state["running"]
        self._one = _find_one(name)
        if self._one is None:
            raise OSError(errno.ENOENT)
        if block_size < 1:
            raise ValueError
        self._block_size = block_size

    @staticmethod
    def find(type=TYPE_APP, subtype=0xFF, label=None, block_size=4096):
        return [
            Partition(one[0], block_size)
            for one in state["partitions"]
            if one[1] == type and subtype in (0xFF, one[2]) and label in (None, one[0])
        ]

    def info(self):
        name, kind, subtype, offset, size = self._one
        return (kind, subtype, offset, size, name, False)

    def _at(self, block_num, size, offset):
        at = block_num * self._block_size + offset
        if at < 0 or at + size > self._one[4]:
            raise OSError(-258)  # ESP_ERR_INVALID_ARG: past the end
        return at

    def readblocks(self, block_num, buf, offset=0):
        at = self._at(block_num, len(buf), offset)
        if self._one[0] == "vfs":
            _flash.readblocks(0, buf, at)
        else:
            _file.seek(self._one[3] + at)
            _file.readinto(buf)
        return True

    def writeblocks(self, block_num, buf, offset=None):
        at = self._at(block_num, len(buf), offset or 0)
        if offset is None:
            # the simple interface erases whole sectors first, and wants whole blocks
            if at % _SECTOR or len(buf) % _SECTOR:
                raise OSError(-260)  # ESP_ERR_INVALID_SIZE
            for place in range(at, at + len(buf), _SECTOR):
                self._erase(place)
        self._program(at, buf)
        return True

    def _erase(self, at):
        self._put(at, bytes([_ERASED]) * _SECTOR)

    def _program(self, at, data):
        # writing turns ones into zeros; only erasing turns them back
        for start in range(0, len(data), 512):
            piece = bytearray(data[start : start + 512])
            old = bytearray(len(piece))
            self.readblocks(0, old, at + start)
            for i in range(len(piece)):
                piece[i] &= old[i]
            self._put(at + start, piece)

    def _put(self, at, data):
        if self._one[0] == "vfs":
            _flash.writeblocks(0, data, at)
        else:
            _flash.counted(_file, self._one[3] + at, data)

    def ioctl(self, op, arg=None):
        if op == 4:
            return self._one[4] // self._block_size
        if op == 5:
            return self._block_size
        if op == 6:
            self._erase(self._at(arg, self._block_size, 0))
        return 0

    def set_boot(self):
        if self._one[1] != Partition.TYPE_APP or not _find_one("otadata"):
            raise OSError(_ERR_NOT_FOUND)
        head = bytearray(1)
        self.readblocks(0, head, 0)
        if head[0] != _APP_MAGIC:
            raise OSError(_ERR_OTA_VALIDATE_FAILED)
        slots = _ota_slots()
        wanted = slots.index(self._one) + 1
        entries = [_entry(0), _entry(1)]
        best = max(entry[0] if entry else 0 for entry in entries)
        sequence = wanted
        while sequence <= best:
            sequence += len(slots)
        newest = 1 if entries[1] and (not entries[0] or entries[1][0] > entries[0][0]) else 0
        _put_entry(1 - newest if any(entries) else 0, sequence, _NEW)

    def get_next_update(self):
        slots = _ota_slots()
        if not slots:
            raise OSError(_ERR_NOT_FOUND)
        names = [one[0] for one in slots]
        running = state["running"]
        return Partition(names[(names.index(running) + 1) % len(names)] if running in names else names[0])

    @classmethod
    def mark_app_valid_cancel_rollback(cls):
        if not _find_one("otadata"):
            return
        slots = _ota_slots()
        for slot in (0, 1):
            entry = _entry(slot)
            if entry and slots[(entry[0] - 1) % len(slots)][0] == state["running"] and entry[1] == _PENDING:
                _put_entry(slot, entry[0], _VALID)


def idf_heap_info(capabilities):
    """Of what ESP-IDF keeps beside the Python heap: (size, free, largest free, lowest free so far), one region here."""
    return [(65536, 40960, 31744, 36864)]


def raw_temperature():
    """Degrees Fahrenheit of the chip."""
    return 128


def wake_on_ext0(pin=None, level=None):
    """Which pin ends a deep sleep: none does here."""
