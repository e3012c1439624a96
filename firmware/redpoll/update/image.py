# A whole firmware image for an ESP32: the one file of its bundle goes into the application partition that does not run.
#
# The chip's bootloader starts it once; unless it is confirmed before the next reset, the one before runs again (ESP-IDF, "App Rollback").
from binascii import hexlify
from hashlib import sha256

from micropython import const

from .. import port
from .bundle import check_header, header_size
from .errors import BadBundle, Failed
from .files import flash
from .unpack import Unpacker

_BLOCK = const(4096)
# esp_image_header_t: its first byte, and where two bytes name the chip
_MAGIC = const(0xE9)
_CHIP = const(12)
# every application has its description behind header and segment header, a bootloader has not: esp_app_desc_t begins with this
_ABOUT = const(32)
_ABOUT_MAGIC = const(b"\x32\x54\xcd\xab")
_NO_IMAGE = const("it is no application image of an ESP32 (the .app-bin of a build)")


def running():
    """The label of the partition that runs."""
    return port.app_partitions()[0].info()[4]


def confirm():
    """What runs has proved itself: the bootloader keeps it. OSError."""
    port.keep_app()


def fetch(image, source, base, job, progress):
    """A generator: bring what the partition does not have yet, from a bundle whose files begin at `base` -> True when it had all;
    progress("Downloading", percent). BadBundle, Failed, Changed.
    """
    job["size"] = size = image.entry["packed"]
    there = yield from image.same(_quiet)
    if not there:
        end = base + image.entry["offset"] + size
        for ms in source.get(base, end, lambda data: flash(image.take, data)):
            progress("Downloading", min(99, 100 * image.done // (size or 1)))
            yield ms
        if image.done < size:
            yield from source.short()
        flash(image.end)
    progress("Downloading", 100)
    return there


def check(image, there, progress):
    """A generator: read the partition back, unless it was found `there`; progress("Deploying", percent). Failed, OSError."""
    progress("Deploying", 0)
    there = there or (yield from image.same(lambda percent: progress("Deploying", min(99, percent))))
    if not there:
        raise Failed("IOError", "flash: the image cannot be read as it was written")


class Image:
    """Where the image of this manifest entry goes: take() what comes, end(), look at it with same(), and switch()."""

    def __init__(self, entry, window):
        """BadBundle where there is no place for any, Failed where it is too small for this one."""
        partitions = getattr(port, "app_partitions", None)
        self._running, self._idle = partitions() if partitions else (None, None)
        if not self._idle:
            raise BadBundle("it is a firmware image, and this board has no second application partition")
        if entry["size"] < _ABOUT + 4:
            raise BadBundle(_NO_IMAGE)
        _, _, _, size, self.label, _ = self._idle.info()
        if entry["size"] > size:
            have = (entry["size"] // 1024 + 1, self.label, size // 1024)
            raise Failed("IOError", "too little flash: the image has %d KB, partition %s %d KB" % have)
        self.entry = entry
        # data bytes that have come
        self.done = 0
        self._header = bytearray()
        self._buffer = bytearray(_BLOCK)
        # the next block, and bytes in the buffer that belong into it
        self._block = self._at = 0
        self._unpacker = Unpacker(window)
        self._unpacker.begin(entry, self)

    def take(self, data):
        """Use what comes of the ZIP entry -> True when it was the last. BadBundle, OSError of the flash."""
        n = header_size(self.entry) - len(self._header)
        if n:
            self._header.extend(data[:n])
            data = data[n:]
            if len(self._header) == header_size(self.entry):
                entry = self.entry
                check_header(bytes(self._header), entry["name"].encode(), entry["method"], entry["packed"], entry["size"])
        if len(data):
            self._unpacker.feed(data)
            self.done += len(data)
        return self.done == self.entry["packed"]

    def write(self, data):
        """What Unpacker has for it."""
        data = memoryview(data)
        while len(data):
            n = min(_BLOCK - self._at, len(data))
            self._buffer[self._at : self._at + n] = data[:n]
            self._at += n
            data = data[n:]
            if self._at == _BLOCK:
                self._flush()

    def end(self):
        """All has come: BadBundle unless it is the image that was signed. OSError."""
        if self._at:
            self._flush()
        self._unpacker.end()
        # with its window
        self._unpacker = None

    def _flush(self):
        buffer = self._buffer
        while self._at < _BLOCK:
            buffer[self._at] = 0xFF
            self._at += 1
        if not self._block:
            self._check(buffer)
        # without an offset the block is erased first
        self._idle.writeblocks(self._block, buffer)
        self._block += 1
        self._at = 0

    def _check(self, head):
        # before the first block is written
        if head[0] != _MAGIC or head[_ABOUT : _ABOUT + 4] != _ABOUT_MAGIC:
            raise BadBundle(_NO_IMAGE)
        ours = bytearray(_ABOUT + 4)
        self._running.readblocks(0, ours, 0)
        if ours[_ABOUT:] == _ABOUT_MAGIC and ours[_CHIP : _CHIP + 2] != head[_CHIP : _CHIP + 2]:
            raise BadBundle("its image is for another chip of the ESP32 family")

    def same(self, progress):
        """A generator -> True when the partition holds the image; progress(percent) as it is read. OSError."""
        buffer = self._buffer
        left = size = self.entry["size"]
        hashed = sha256()
        block = 0
        while left:
            self._idle.readblocks(block, buffer)
            if buffer[0] != _MAGIC and not block:
                return False
            hashed.update(memoryview(buffer)[: min(left, _BLOCK)])
            left -= min(left, _BLOCK)
            block += 1
            progress(100 * (size - left) // size)
            yield 0
        return hexlify(hashed.digest()).decode() == self.entry["sha256"]

    def switch(self):
        """The bootloader tries it at the next start. BadBundle when it does not take it."""
        try:
            self._idle.set_boot()
        except OSError as error:
            raise BadBundle("the image cannot be started: %s" % error)


def _quiet(percent):
    pass
