# Files of a bundle as they come: inflated, hashed and written.
import io
from binascii import hexlify
from hashlib import sha256

from micropython import const

from .errors import BadBundle

_RAW = const(1)  # deflate.RAW
_IN = const(3072)  # bytes that wait to be inflated
_OUT = const(256)  # bytes that are inflated at once
# compressed bytes that one _OUT cannot use up: 15 bits a byte, and the tables of two blocks
_AHEAD = const(1536)


class Unpacker:
    """For each file begin(), then feed() its packed data, then end(). 2 ** `window` bytes are taken while one is inflated."""

    def __init__(self, window):
        self._window = window
        # what came and is not used yet, at the beginning; MicroPython inflates by pulling. It serves one inflated file after the other: in
        # a heap that is nearly full so large a piece may not be had a second time
        self._in = None
        self._out = bytearray(_OUT)

    def begin(self, entry, file):
        """The file of this entry of the manifest; it is written to `file` and hashed."""
        self._entry = entry
        self._file = file
        self._hash = sha256()
        self._packed = self._size = self._held = 0
        self._inflate = None
        self._ended = False
        if not entry["method"]:
            self._in = None
        else:
            import deflate

            self._in = self._in or io.BytesIO(bytes(_IN))
            self._in.seek(0)
            self._inflate = deflate.DeflateIO(self._in, _RAW, self._window)

    def feed(self, data):
        """BadBundle for what is no deflate stream or unpacks to more than it should; OSError of the file."""
        self._packed += len(data)
        if not self._inflate:
            self._write(data)
            return
        pulled = self._in.tell()
        rest = self._in.read(self._held - pulled)
        self._in.seek(0)
        self._in.write(rest)
        self._in.write(data)
        self._held = len(rest) + len(data)
        self._in.seek(0)
        last = self._packed == self._entry["packed"]
        try:
            if self._ended:
                raise ValueError
            while last or self._held - self._in.tell() > _AHEAD:
                n = self._inflate.readinto(self._out)
                if not n:
                    self._ended = True
                    break
                self._write(memoryview(self._out)[:n])
            if self._in.tell() > self._held or last and self._in.tell() != self._held:
                raise ValueError
        except (ValueError, EOFError):
            raise BadBundle("%s cannot be unpacked" % self._entry["name"])
        except OSError as error:
            # of the inflater, which has no better word for it
            if error.errno == 22:  # EINVAL
                raise BadBundle("%s cannot be unpacked" % self._entry["name"])
            raise

    def _write(self, data):
        self._size += len(data)
        if self._size > self._entry["size"]:
            raise BadBundle("%s is longer than the manifest says" % self._entry["name"])
        self._hash.update(data)
        self._file.write(data)

    def end(self):
        """All was fed: BadBundle unless it is the file of the manifest."""
        if self._size != self._entry["size"] or hexlify(self._hash.digest()).decode() != self._entry["sha256"]:
            raise BadBundle("%s is not the file that was signed: its SHA-256 differs" % self._entry["name"])
        self._inflate = None
