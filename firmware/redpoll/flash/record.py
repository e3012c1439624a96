# One value on flash, saved whole or not at all.
#
# Format, version 1: b"RPR1", length of the payload (4 bytes, little endian), its CRC-32 (4 bytes, little endian), payload (JSON, UTF-8).
# A save writes NAME.new and renames it over NAME. LittleFS shows what was written to a file only once it is closed or flushed, and a
# rename is one commit: a power cut leaves the old value or the new one. A NAME.new that a cut left behind is never read, and the next
# save overwrites it. What fails its checksum, or has another version, is reported and set aside as NAME.bad, so that it is reported once.
import json
import os
import struct
from binascii import crc32

from micropython import const

from .. import log, port

_MAGIC = const(b"RPR1")
_MOST = const(32768)  # bytes of payload: a damaged length must not decide how much heap is asked for


class Record:
    """One JSON value in the file `path`."""

    def __init__(self, path):
        self.path = path

    def load(self, default=None):
        """The value last saved completely; `default` when there is none or it is damaged (which is logged once)."""
        try:
            with open(self.path, "rb") as file:
                head = file.read(12)
                if len(head) == 12 and head[:4] == _MAGIC:
                    length, checksum = struct.unpack("<II", head[4:])
                    payload = file.read(min(length, _MOST) + 1)
                    if len(payload) == length and crc32(payload) == checksum:
                        return json.loads(payload)
        except OSError as error:
            if error.errno == 2:  # ENOENT
                return default
        except ValueError:  # the checksum holds, but it is no JSON: nothing of ours
            pass
        log.warning("%s is damaged; starting without it", self.path)
        try:
            os.rename(self.path, self.path + ".bad")
        except OSError:
            pass
        return default

    def load_sound(self, default, sound):
        """The same; also the default for what is not `sound(value)`: another version of the firmware may have saved it."""
        value = self.load(self)
        if value is self:
            return default
        if not sound(value):
            log.warning("%s is not of this version; starting without it", self.path)
            self.delete()
            return default
        return value

    def save(self, value):
        """Replace the value. OSError when the flash is full or fails; the old value is then still there."""
        payload = json.dumps(value).encode()
        if len(payload) > _MOST:
            raise ValueError("%d bytes are too many for a record" % len(payload))
        new = self.path + ".new"
        with open(new, "wb") as file:
            file.write(_MAGIC + struct.pack("<II", len(payload), crc32(payload)))
            file.write(payload)
            port.sync(file)
        os.rename(new, self.path)

    def try_save(self, value):
        """The same for what can wait: True when it was saved, else the reason is in the log."""
        try:
            self.save(value)
        except (OSError, ValueError, MemoryError) as error:
            log.warning("%s is not saved: %s", self.path, log.describe(error))
            return False
        return True

    def delete(self):
        """Remove the value, if there is one, and what a cut save left of another."""
        for path in (self.path, self.path + ".new", self.path + ".bad"):
            try:
                os.remove(path)
            except OSError:
                pass
