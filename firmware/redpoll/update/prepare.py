# The first part of an update: the manifest is taken and judged, and the idle slot made ready for it.
import os
from hashlib import sha256

from micropython import const

from .. import port, version
from ..port.interpreter import INLINE
from .errors import BadBundle, Failed
from .files import flash, read
from .manifest import Checked, Head
from .slots import MANIFEST

_FIRST = const(512)  # bytes of the first request: no head is shorter
_SPARE = const(6)  # blocks of flash that stay free
_OWN = const(4)  # those of the slot's own folder, manifest and signature


class Prepared:
    """`about`: the manifest without its files; `base`: where the files begin; `slot` and `signature`, or `image`: the entry of one."""

    def __init__(self, about, base, signature, image):
        self.about = about
        self.base = base
        self.signature = signature
        self.image = image
        self.slot = None


def run(source, slots, world, job):
    """A generator -> Prepared; for an application its slot is unsealed and has the manifest. BadBundle, Failed, Changed, OSError."""
    try:
        slot = slots.idle()
    except RuntimeError as error:
        raise Failed("UpdateAlreadyInProgress", str(error))
    folder = slots.folder(slot)
    block = max(512, os.statvfs(slots.folder("") or "/")[0])
    checked = Checked(block)
    head = Head(checked.feed)
    yield from _take(source, head)
    about = checked.end(world.key(), head.signature)
    # 4 KB that are not needed any more
    port.unload("rsa")
    _judge(about, world, job)
    found = Prepared(about, head.size, head.signature, checked.image)
    if not checked.image:
        _make_room(checked, folder, block)
        yield 0
        slots.unseal(slot)
        yield from _prune(folder, "", checked)
        yield from _store(source, folder + "/" + MANIFEST, head.size, checked.digest)
        found.slot = slot
    yield 0
    return found


def _take(source, head):
    first, end = 0, _FIRST
    while not head.done:
        yield from source.get(first, end, head.feed)
        first = source.at
        end = first + head.need()
        if not head.done and source.at_end():
            yield from source.short()


def _judge(about, world, job):
    if about["boards"] and not any(board in world.boards for board in about["boards"]):
        raise BadBundle("it is for %s, this board is %s" % (", ".join([str(b) for b in about["boards"][:4]]), world.boards[0]))
    wanted = job["want"]
    if wanted and version.parse(wanted) != version.parse(about["version"]):
        raise BadBundle("it is version %s, %s was asked for" % (about["version"], wanted))
    if not job["downgrade"] and version.newer(world.version, about["version"]):
        raise BadBundle("it is version %s, %s runs: a downgrade has to be allowed in the request" % (about["version"], world.version))


def _make_room(checked, folder, block):
    from ..flash import room

    free = room.free(folder[: folder.rfind("/slot_") + 1], anew=True) // block + _blocks(folder, block)
    needed = checked.blocks + _OWN + _SPARE
    if free < needed:
        raise Failed("IOError", "too little flash: it needs %d KB, %d KB are free" % (needed * block // 1024, max(free, 0) * block // 1024))


def _names(folder):
    try:
        return os.listdir(folder)
    except OSError:
        return ()


def _is_folder(path):
    return os.stat(path)[0] & 0x4000


def _blocks(folder, block):
    # those of the flash that the files below it take, and two for each folder; what makes a folder larger is left out
    count = 0
    for name in _names(folder):
        path = folder + "/" + name
        if _is_folder(path):
            count += 2 + _blocks(path, block)
        elif os.stat(path)[6] > INLINE:
            count += os.stat(path)[6] // block + 1
    return count


def _prune(folder, prefix, checked):
    # remove what the new version does not have
    for name in _names(folder):
        path = folder + "/" + name
        if _is_folder(path):
            yield from _prune(path, prefix + name + "/", checked)
            try:
                os.rmdir(path)
            except OSError:
                pass  # it is not empty
        elif not checked.has(prefix + name):
            os.remove(path)
        yield 0


def _store(source, path, size, digest):
    # the manifest, taken a second time: it must be the one that was found good
    hashed = sha256()
    with open(path, "wb") as file:

        def take(data):
            hashed.update(data)
            flash(file.write, data)

        head = Head(take)
        yield from source.get(0, size, head.feed)
    if hashed.digest() != digest:
        raise BadBundle("the manifest is another one than a moment ago")
    # what it says from here on is taken from flash
    hashed = sha256()
    yield from read(path, hashed.update)
    if hashed.digest() != digest:
        raise Failed("IOError", "flash: %s cannot be read as it was written" % MANIFEST)
