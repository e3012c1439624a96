# ruff: noqa: UP031 - runs on MicroPython
# A real LittleFS that somebody else has filled: runs on the MicroPython VM.
import os

import vfs
from flash_device import FlashDevice
from redpoll import log
from redpoll.clock import Clock
from redpoll.flash.record import Record
from redpoll.flash.spool import Spool


def run():
    """The spool goes on with what room there is, and a record that cannot be saved keeps its old value."""
    log.print = lambda *values: None
    device = FlashDevice(52)
    vfs.VfsLfs2.mkfs(device, progsize=256)
    vfs.mount(vfs.VfsLfs2(device, progsize=256), "/flash")
    os.chdir("/flash")
    # as a board with two slots has them: LittleFS counts each twice
    for n in range(9):
        os.mkdir("folder%d" % n)
    record = Record("config")
    record.save("old")
    clock = Clock(lambda: 0, lambda: None)
    spool = Spool(2000, "spool", 1 << 20, 0, clock)
    numbers = [spool.append(0, b"%03d" % n + b"x" * 200) for n in range(400)]
    # 52 blocks cannot hold a budget of 1 MiB: the oldest went, the newest are safe
    assert 0 < spool.dropped < 120 and not spool._ram, (spool.dropped, len(spool._ram))
    assert spool.peek()[0] == numbers[spool.dropped]
    assert len(spool) == 400 - spool.dropped
    again = Spool(2000, "spool", 1 << 20, 0, clock)
    assert again.damaged == 0 and len(again) == len(spool), (again.damaged, len(again), len(spool))
    # what others have to save fits beside it
    record.save("x" * 24000)
    record.save("old")
    # now fill what is left
    refused = False
    try:
        with open("other", "wb") as file:
            while True:
                file.write(bytes(512))
                file.flush()
    except OSError:
        refused = True
    assert refused
    try:
        record.save("x" * 20000)
        raise AssertionError("saved on a full flash")
    except OSError:
        pass
    assert record.load() == "old"
    before = spool.dropped
    last = spool.append(0, b"400" + b"x" * 200)
    assert not spool._ram
    kept = []
    while spool.peek():
        kept.append(spool.peek()[0])
        spool.sent(kept[-1])
    assert kept == (numbers + [last])[spool.dropped :]
    print("flash full: %d of 400 dropped at 52 blocks, %d more for one append on a full flash" % (before, spool.dropped - before))
