# ruff: noqa: UP031, S311 - runs on MicroPython
# The blocks that an update says it needs, beside those that a real LittleFS takes for its files: runs on the MicroPython VM.
import os
import random

import bundle_maker
import vfs
from flash_device import FlashDevice
from redpoll.update import manifest

_BLOCKS = 400
_INLINE = {32: 128, 256: 512}  # as port.interpreter has it for an ESP32 and for an RP2
_SHORT = 6  # blocks that prepare.py keeps free, and by which it may count too few
_MORE = 12  # by which it may count too many


def _trees():
    # like the agent: many small modules, some in folders; and what is all of one kind
    random.seed(3)
    kinds = (
        lambda: random.choice((random.randint(50, 700), random.randint(700, 4500))),
        lambda: random.randint(0, 512),
        lambda: random.randint(0, 128),
        lambda: random.choice((random.randint(0, 512), random.randint(513, 3000))),
    )
    for number in range(16):
        names = []
        for n in range(random.randint(5, 110)):
            names.append("%smodule_%03d.mpy" % ("folder%d/" % random.randint(0, 4) if number % 3 else "", n))
        yield [(name, kinds[number % 4]()) for name in sorted(names)]
    # folders that hold next to nothing, beside one that is full
    for count in (8, 15, 25):
        yield [("a%02d/__init__.mpy" % n, 40) for n in range(count)] + [("module_%03d.mpy" % n, 100) for n in range(60)]


def _taken(files, progsize):
    # blocks, without those of the slot's own folder
    device = FlashDevice(_BLOCKS)
    vfs.VfsLfs2.mkfs(device, progsize=progsize)
    flash = vfs.VfsLfs2(device, progsize=progsize)
    folders = ["/slot"]
    for name, _ in files:
        parent = "/slot/" + name.rpartition("/")[0]
        if "/" in name and parent not in folders:
            folders.append(parent)
    free = flash.statvfs("/")[3]
    for folder in folders:
        flash.mkdir(folder)
    for name, size in files:
        with flash.open("/slot/" + name, "wb") as file:
            file.write(os.urandom(size))
    # LittleFS counts the two blocks of each folder twice
    return free - flash.statvfs("/")[3] - 2 * len(folders) - 2


def _estimate(files, progsize):
    manifest.INLINE = _INLINE[progsize]
    checked = manifest.Checked(4096)
    checked.feed(bundle_maker.manifest([(name, bytes(size)) for name, size in files])[0])
    return checked.blocks


def run(progsize):
    """Compare them for trees of files of many kinds."""
    found = []
    for files in _trees():
        # bytes that pack to nothing: what counts is their size as they lie on flash
        taken, estimate = _taken(files, progsize), _estimate(files, progsize)
        found.append(estimate - taken)
        assert -_SHORT <= estimate - taken <= _MORE, (len(files), taken, estimate)
    print("pieces of %d bytes: %d to %d blocks more than the flash takes" % (progsize, min(found), max(found)))
