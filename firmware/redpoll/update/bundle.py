# A bundle read as a stream: first the manifest and its signature, then files. tools/bundle writes them.
#
# Nothing of it is held in memory: a manifest may have 200 files and 16 KB, so it is looked at entry by entry as it comes, hashed, and
# only after its signature was found good it is taken a second time and kept on flash. Whoever changes what comes then is found out by
# the hash of the manifest, or of a file.
import io
import sys
from binascii import hexlify
from hashlib import sha256

from micropython import const

from .. import jsonin, version
from .slots import MANIFEST, SEAL

_HEADER = const(30)  # of a ZIP entry, before its name (APPNOTE.TXT §4.3.7)
_MANIFEST = const(16384)
_SIGNATURE = const(512)
_FILES = const(200)
_NAME = const(100)
_ENTRY = const(400)  # bytes of one file's object in the manifest, with a name of 100
_ABOUT = const(1536)  # of all that is no file
_LARGEST = const(1 << 25)
_MARK = b'"files":['
_IMAGE = "firmware.bin"
_FIELDS = ("method", "name", "offset", "packed", "sha256", "size")
_MARKS = const(6)  # bytes by which a name is remembered
_RAW = const(1)  # deflate.RAW
_IN = const(3072)
_OUT = const(256)
# compressed bytes that one _OUT cannot use up: 15 bits a byte, and the tables of two blocks
_AHEAD = const(1536)


class BadBundle(Exception):
    """It is not one that this device takes; the text says why."""


def check_header(data, name, method, packed, size):
    """BadBundle unless this is the local header with name of such an entry: not encrypted, sizes in place, no extra field."""
    good = (
        data[:4] == b"PK\3\4"
        and _u16(data, 6) & ~0x0806 == 0  # of the flags only what cannot matter: UTF-8 names, hints of the compressor
        and _u16(data, 8) == method
        and _u32(data, 18) == packed
        and _u32(data, 22) == size
        and _u16(data, 26) == len(name)
        and _u16(data, 28) == 0
        and data[_HEADER:] == name
    )
    if not good:
        raise BadBundle("the ZIP entry of %s is not what the manifest says" % name.decode())


def header_size(entry):
    """Bytes of the local header in front of a file's data."""
    return _HEADER + len(entry["name"])


class Head:
    """Feed it the beginning of a bundle. `take(bytes)` gets the manifest in pieces. When done it has `signature` and the `size` of all."""

    def __init__(self, take):
        self._take = take
        self._names = [MANIFEST.encode(), SEAL.encode()]
        self._left = 0
        self._part = bytearray()
        self._sizes = []
        self.signature = b""
        self.size = 0
        self.done = False

    def need(self):
        """Bytes that are missing at least."""
        if self.done:
            return 0
        if self._left:
            # after the manifest comes the signature, of no less than 256 bytes
            return self._left + (_HEADER + len(self._names[0]) + 256 if self._names else 0)
        return _HEADER + len(self._names[0]) - len(self._part)

    def feed(self, data):
        """Use what has come -> True when it is complete; more is then left alone. BadBundle."""
        at = 0
        while at < len(data) and not self.done:
            if self._left:
                n = min(self._left, len(data) - at)
                if len(self._sizes) == 1:
                    self._take(bytes(data[at : at + n]))
                else:
                    self.signature += bytes(data[at : at + n])
                self._left -= n
                self.done = not self._left and not self._names
            else:
                n = min(self.need(), len(data) - at)
                self._part.extend(bytes(data[at : at + n]))
                if not self.need():
                    self._begin()
            self.size += n
            at += n
        return self.done

    def _begin(self):
        name = self._names.pop(0)
        size = _u32(self._part, 18)
        check_header(bytes(self._part), name, 0, size, size)
        if not 0 < size <= (_SIGNATURE if self._sizes else _MANIFEST):
            raise BadBundle("%s of %d bytes is not taken" % (name.decode(), size))
        self._sizes.append(size)
        self._left = size
        self._part = bytearray()


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


class Checked:
    """The first look at a manifest: hashes it and checks each limit. Feed it; then end()."""

    def __init__(self, block=4096):
        self._hash = sha256()
        self._entries = Entries(self._check)
        self._block = block
        self._marks = bytearray()
        self._end = 0
        self._size = 0
        self.files = 0
        # blocks of flash that the files take
        self.blocks = 0
        # the entry of a bundle that is one firmware image for an ESP32, and no application
        self.image = None

    def feed(self, data):
        """BadBundle."""
        self._hash.update(data)
        self._entries.feed(data)

    def end(self, key, signature):
        """-> the manifest without its files, when the signature is that of `key` (rsa.Key) and all of it can be taken. BadBundle."""
        from .. import rsa

        self.digest = self._hash.digest()
        try:
            rsa.verify(key, self.digest, signature)
        except ValueError as error:
            raise BadBundle(str(error))
        about = self._entries.end()
        problem = _problem(about)
        if problem:
            raise BadBundle("manifest: " + problem)
        if about["size"] != self._size or not self.files:
            raise BadBundle("manifest: its sizes do not add up")
        return about

    def has(self, name):
        """True when a file of this name (case ignored), or one that counts as the same, is in the manifest."""
        return self._find(_mark(name)) >= 0

    def _find(self, mark):
        at = self._marks.find(mark)
        while at % _MARKS and at >= 0:
            at = self._marks.find(mark, at + 1)
        return at

    def _check(self, entry):
        self.files += 1
        if self.files > _FILES:
            raise BadBundle("manifest: more than %d files" % _FILES)
        problem = _entry_problem(entry)
        name = entry.get("name")
        if problem:
            raise BadBundle("manifest: a file %s" % problem)
        mark = _mark(name)
        if name.lower() in (MANIFEST, SEAL) or self._find(mark) >= 0:
            raise BadBundle("manifest: two files are called %s" % name)
        self._marks.extend(mark)
        self.image = entry if name == _IMAGE and self.files == 1 else None
        self._end += header_size(entry)
        if entry["offset"] != self._end:
            raise BadBundle("manifest: %s is not where it should be" % name)
        self._end += entry["packed"]
        self._size += entry["size"]
        if self._end > _LARGEST or self._size > _LARGEST:
            raise BadBundle("manifest: more than %d bytes" % _LARGEST)
        # LittleFS keeps some pointers in each block, and two blocks for each folder
        self.blocks += (entry["size"] + entry["size"] // 256) // self._block + 1 + 2 * name.count("/")


class Unpacked:
    """Feed it a file's packed data; it is written to `file` and hashed. A window of 2 ** `window` bytes is taken for it."""

    def __init__(self, entry, window, file):
        self._entry = entry
        self._file = file
        self._hash = sha256()
        self._packed = 0
        self._size = 0
        self._inflate = None
        self._ended = False
        if entry["method"]:
            import deflate

            # what came and is not used yet, at the beginning; MicroPython inflates by pulling
            self._in = io.BytesIO(bytes(_IN))
            self._held = 0
            self._out = bytearray(_OUT)
            self._inflate = deflate.DeflateIO(self._in, _RAW, window)

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


def _problem(about):
    # why this device does not take what is not about a single file
    if about.get("format") != 1:
        return "format %r is not known here" % about.get("format")
    if not _whole(about.get("size")) or not _whole(about.get("window")) or not 8 <= about["window"] <= 15:
        return "size or window is wrong"
    try:
        version.parse(about.get("version"))
        wanted = version.parse(about.get("micropython"))[0]
    except ValueError as error:
        return str(error)
    if tuple(sys.implementation.version[:3]) < wanted:
        return "it needs MicroPython %s, this is %s" % (about["micropython"], ".".join([str(n) for n in sys.implementation.version[:3]]))
    mpy = getattr(sys.implementation, "_mpy", 0) & 0xFF
    if about.get("mpy") not in (0, mpy):
        return "its bytecode is of version %r, this MicroPython runs %d" % (about.get("mpy"), mpy)
    if not isinstance(about.get("boards"), list) or not isinstance(about.get("name"), str):
        return "name or boards is wrong"
    return None


def _entry_problem(entry):
    for field in _FIELDS:
        if field not in entry:
            return "has no %s" % field
    name = entry["name"]
    if not isinstance(name, str) or not 0 < len(name) <= _NAME:
        return "has no name"
    for part in name.split("/"):
        if part in ("", ".", "..") or not all("0" <= c <= "9" or "A" <= c <= "Z" or "a" <= c <= "z" or c in "._-" for c in part):
            return "has a name that is not allowed"
    for field in ("size", "packed", "offset"):
        if not _whole(entry[field]):
            return "%s: its %s is wrong" % (name, field)
    method = entry["method"]
    if not _whole(method) or method not in (0, 8) or not method and entry["size"] != entry["packed"]:
        return "%s: its method is wrong" % name
    digest = entry["sha256"]
    if not isinstance(digest, str) or len(digest) != 64 or not all(c in "0123456789abcdef" for c in digest):
        return "%s: its sha256 is wrong" % name
    return None


def _whole(value):
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST


def _mark(name):
    return sha256(name.lower().encode()).digest()[:_MARKS]


def _u16(data, at):
    return data[at] | data[at + 1] << 8


def _u32(data, at):
    return _u16(data, at) | _u16(data, at + 2) << 16
