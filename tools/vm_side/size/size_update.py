# One update over the air of the product that is measured, on a LittleFS of its own; tools/size/update.py starts it.
import gc
import json
import os
import sys
import time

import vm_flash

_BLOCK = 4096


def prepare(path, size, folder):
    """Make a file system of so many bytes in the host's file `path`, with what the host's `folder` has in its root."""
    flash = vm_flash.Flash(path, _BLOCK, size // _BLOCK)
    os.VfsLfs2.mkfs(flash)
    os.mount(os.VfsLfs2(flash), "/flash")
    _copy(folder, "/flash")
    os.umount("/flash")


def _copy(source, target):
    for name in os.listdir(source):
        if os.stat(source + "/" + name)[0] & 0x4000:
            os.mkdir(target + "/" + name)
            _copy(source + "/" + name, target + "/" + name)
        else:
            with open(source + "/" + name, "rb") as old, open(target + "/" + name, "wb") as new:
                new.write(old.read())


def _short(number, folder):
    # the host's folder by a path as short as those of a board: the path of each module is in its memory
    if folder[:1] != "/":
        return folder
    os.mount(os.VfsPosix(folder), "/%d" % number)
    return "/%d" % number


def _live():
    gc.collect()
    return gc.mem_alloc()


def run(path, size, wanted, messages, look):
    """Start from the file system in `path`, be idle, take the update that is then asked for, and print what it took.

    With `look` the heap is collected and looked at in every turn; its time means nothing then.
    """
    gc.threshold(4096)
    vm_flash.mount(vm_flash.Flash(path, _BLOCK, size // _BLOCK), None)
    # where vm_flash lies there is also a board's `machine`, which is not what is measured
    sys.path[:] = [_short(number, part) for number, part in enumerate(sys.path) if not part.endswith("/board/vm")]
    os.chdir("/")
    from size_product import Product

    product = Product(wanted)
    while not product.complete(messages):
        product.turn()
    idle = peak = _live()
    print("idle")
    agent = product.agent
    began = None
    received = at = 0
    try:
        while True:
            product.turn()
            if not agent._update:
                continue
            if began is None:
                began = time.ticks_ms()
            source = agent._update._updater._source
            if source and source._download:
                received = source._download.received
            if look:
                live = _live()
                if live > peak:
                    peak, at = live, received
    except SystemExit:
        pass  # it restarts, into the new version
    ms = time.ticks_diff(time.ticks_ms(), began)
    with open("/boot.state", "rb") as file:
        switched = b'"trial"' in file.read()
    print("\n" + json.dumps({"idle": idle, "peak": peak, "peak_at": at, "received": received, "ms": ms, "switched": switched}))
