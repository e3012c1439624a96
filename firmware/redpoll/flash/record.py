# One value on flash, saved whole or not at all.
#
# Format, version 1: b"RPR1", length of the payload (4 bytes, little endian), its CRC-32 (4 bytes, little endian), payload (JSON, UTF-8).
# A save writes NAME.new and renames it over NAME: a power cut leaves the old value or the new one, and what is half written
# fails its checksum.
import json
import os
import struct
from binascii import crc32

from .. import log, port

_MAGIC = b"RPR1"


class Record:
    """One JSON value in the file `path`."""

    def __init__(self, path):
        self.path = path

    def load(self, default=None):
        """The value last saved completely; `default` when there is none or it is damaged (which is logged)."""
        try:
            with open(self.path, "rb") as file:
                data = file.read()
        except OSError:
            return default
        if len(data) >= 12 and data[:4] == _MAGIC:
            length, checksum = struct.unpack("<II", data[4:12])
            payload = data[12:]
            if len(payload) == length and crc32(payload) == checksum:
                return json.loads(payload)
        log.warning("%s is damaged; starting without it", self.path)
        return default

    def save(self, value):
        """Replace the value. OSError when the flash is full or fails; the old value is then still there."""
        payload = json.dumps(value).encode()
        new = self.path + ".new"
        with open(new, "wb") as file:
            file.write(_MAGIC + struct.pack("<II", len(payload), crc32(payload)))
            file.write(payload)
            port.sync(file)
        os.rename(new, self.path)

    def delete(self):
        """Remove the value, if there is one."""
        try:
            os.remove(self.path)
        except OSError:
            pass
