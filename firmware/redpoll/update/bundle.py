# The form of a bundle: a ZIP with the manifest first, its signature second, then files (tools/bundle writes them); read as a stream.
from micropython import const

from .. import jsonin
from .errors import BadBundle

HEADER = const(30)  # of a ZIP entry, before its name (APPNOTE.TXT §4.3.7)
_ENTRY = const(400)  # bytes of one file's object in the manifest, with a name of 100
_ABOUT = const(1536)  # of all that is no file
_MARK = const(b'"files":[')


def u16(data, at):
    """The 16-bit number there, its low byte first, as ZIP has it."""
    return data[at] | data[at + 1] << 8


def u32(data, at):
    """The 32-bit one."""
    return u16(data, at) | u16(data, at + 2) << 16


def check_header(data, name, method, packed, size):
    """BadBundle unless this is the local header with name of such an entry: not encrypted, sizes in place, no extra field."""
    good = (
        data[:4] == b"PK\3\4"
        and u16(data, 6) & ~0x0806 == 0  # of the flags only what cannot matter: UTF-8 names, hints of the compressor
        and u16(data, 8) == method
        and u32(data, 18) == packed
        and u32(data, 22) == size
        and u16(data, 26) == len(name)
        and u16(data, 28) == 0
        and data[HEADER:] == name
    )
    if not good:
        raise BadBundle("the ZIP entry of %s is not what the manifest says" % name.decode())


def header_size(entry):
    """Bytes of the local header in front of a file's data."""
    return HEADER + len(entry["name"])


class Entries:
    """Feed it the manifest, as it stands: JSON without white space, its keys sorted. `each(entry)` gets every file, as a dict."""

    def __init__(self, each):
        self._each = each
        self._rest = bytearray()
        # what is no file: before and after them
        self._about = bytearray()
        self._where = 0

    def feed(self, data):
        """BadBundle for what cannot be one."""
        self._rest.extend(data)
        while self._step():
            pass
        if len(self._rest) > (_ENTRY if self._where == 1 else _ABOUT - len(self._about)):
            raise BadBundle("the manifest has something longer than it may be")

    def _step(self):
        rest = self._rest
        if self._where == 0:
            at = rest.find(_MARK)
            if at < 0:
                return False
            self._about.extend(rest[: at + len(_MARK)])
            self._rest = rest[at + len(_MARK) :]
            self._where = 1
            return True
        if self._where == 2 or not rest:
            return False
        if rest[0] == 0x5D:  # ]
            self._where = 2
            return False
        end = rest.find(b"}") + 1
        if not end:
            return False
        begin = 1 if rest[0] == 0x2C else 0
        try:
            entry = jsonin.loads_object(bytes(rest[begin:end]), _ENTRY)
        except ValueError as error:
            raise BadBundle("manifest: a file: %s" % error)
        self._rest = rest[end:]
        self._each(entry)
        return True

    def end(self):
        """All was fed -> the manifest without its files. BadBundle."""
        try:
            return jsonin.loads_object(bytes(self._about + self._rest), _ABOUT)
        except ValueError as error:
            raise BadBundle("manifest: %s" % error)


def entries(path):
    """The files of a checked manifest on flash, one dict after the other. OSError."""
    found = []
    scanner = Entries(found.append)
    with open(path, "rb") as file:
        while True:
            data = file.read(256)
            if not data:
                return
            scanner.feed(data)
            while found:
                yield found.pop(0)
