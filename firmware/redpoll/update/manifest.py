# The first look at a bundle: its manifest and its signature.
#
# Nothing of it is held in memory: a manifest may have 200 files and 16 KB, so it is looked at entry by entry as it comes, hashed, and
# only after its signature was found good it is taken a second time and kept on flash. Whoever changes what comes then is found out by
# the hash of the manifest, or of a file.
from hashlib import sha256

from micropython import const

from .. import version
from ..port.interpreter import BYTECODE, INLINE, VERSION
from .bundle import HEADER, Entries, check_header, header_size, u32
from .errors import BadBundle
from .slots import MANIFEST, SEAL

_MANIFEST = const(16384)  # bytes
_SIGNATURE = const(512)  # bytes
_FILES = const(200)
_NAME = const(100)  # characters
_LARGEST = const(1 << 25)  # bytes of all files, and of the bundle
_IMAGE = const("firmware.bin")
_FIELDS = const(("method", "name", "offset", "packed", "sha256", "size"))
_MARKS = const(6)  # bytes by which a name is remembered
# bytes of what a folder holds, as trees of files on LittleFS take them: a file's name, what needs no block more, and one block of the rest
_NAMED = const(50)
_FIRST = const(600)
_HELD = const(700)


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
            return self._left + (HEADER + len(self._names[0]) + 256 if self._names else 0)
        return HEADER + len(self._names[0]) - len(self._part)

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
        size = u32(self._part, 18)
        check_header(bytes(self._part), name, 0, size, size)
        if not 0 < size <= (_SIGNATURE if self._sizes else _MANIFEST):
            raise BadBundle("%s of %d bytes is not taken" % (name.decode(), size))
        self._sizes.append(size)
        self._left = size
        self._part = bytearray()


class Checked:
    """The first look at a manifest: hashes it and checks each limit. Feed it; then end()."""

    def __init__(self, block=4096):
        self._hash = sha256()
        self._entries = Entries(self._check)
        self._block = block
        self._marks = bytearray()
        self._end = 0
        self._size = 0
        # the name of the file before
        self._before = ""
        self.files = 0
        # blocks of flash that the files take
        self.blocks = 0
        # bytes that folders hold beyond what they have room for without a block more
        self._held = -_FIRST
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
        if about.get("size") != self._size or not self.files:
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
        # nor may they be folders: what seals a slot could then never be written, nor taken away
        if name.lower().split("/")[0] in (MANIFEST, SEAL) or self._find(mark) >= 0:
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
        # LittleFS keeps some pointers in each block, two blocks for each folder, and in those all names and a file of few bytes
        size = entry["size"]
        if size > INLINE:
            self.blocks += (size + size // 256) // self._block + 1
            size = 0
        self._held += size + _NAMED
        if self._held >= _HELD:
            self._held -= _HELD
            self.blocks += 1
        at = name.find("/")
        while at >= 0:
            # the names are in order, so that the file before tells which folders there are; else some count twice
            if not self._before.startswith(name[: at + 1]):
                self.blocks += 2
                # what another folder has room for is no help
                self._held = max(self._held, 0) - _FIRST
            at = name.find("/", at + 1)
        self._before = name


def _problem(about):
    # why this device does not take what is not about a single file
    if about.get("format") != 1:
        return "format %r is not known here" % about.get("format")
    if not _whole(about.get("window")) or not 8 <= about["window"] <= 15:
        return "window is wrong"
    try:
        version.parse(about.get("version"))
        wanted = version.parse(about.get("micropython"))[0]
    except ValueError as error:
        return str(error)
    if wanted > VERSION:
        return "it needs MicroPython %s, this is %d.%d.%d" % ((about["micropython"],) + VERSION)
    if about.get("mpy") not in (0, BYTECODE):
        return "its bytecode is of version %r, this MicroPython runs %d" % (about.get("mpy"), BYTECODE)
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
