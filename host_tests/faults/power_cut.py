# ruff: noqa: UP031 - runs on MicroPython too
# Cuts the power of a real LittleFS at one change of the flash after the other; runs on the MicroPython VM.
#
#     micropython -c 'import power_cut; power_cut.sweep("scenario_flash", 256, False, 1, 0)'
import gc
import os
import sys
import time

import vfs
from flash_device import FlashDevice, PowerCut
from redpoll import log

_BLOCKS = 48


class Life:
    """The scenario on a file system of its own, from an empty flash to the cut."""

    def __init__(self, image, progsize, cut_at, torn, scenario):
        self.device = FlashDevice(_BLOCKS, image=image, cut_at=cut_at, torn=torn)
        self.scenario = scenario
        self._progsize = progsize

    def mounted(self, call):
        """Run `call` on the mounted flash. True when it came to its end, False when the power was cut."""
        littlefs = None
        try:
            littlefs = vfs.VfsLfs2(self.device, progsize=self._progsize)
            vfs.mount(littlefs, "/flash")
            os.chdir("/flash")
            call()
            return True
        except PowerCut:
            return False
        finally:
            os.chdir("/")
            if littlefs:
                vfs.umount("/flash")
            # files that the cut left open are closed while their file system is still there
            self.device.gone = True
            gc.collect()
            self.device.gone = False


def sweep(module, progsize, torn, every, first):
    """Cut at change first + 1, then at each `every`-th. Prints what was tried; raises at the first state that is not valid."""
    log.print = lambda *values: None
    new = __import__(module).Scenario
    device = FlashDevice(_BLOCKS)
    vfs.VfsLfs2.mkfs(device, progsize=progsize)
    image = bytes(device.data)
    whole = Life(image, progsize, 0, False, new())
    began = time.ticks_ms()
    assert whole.mounted(whole.scenario.work)
    changes = whole.device.changes
    tried = brought_back = most = 0
    for n in range(first + 1, changes + 1, every):
        life = Life(image, progsize, n, torn, new())
        finished = life.mounted(life.scenario.work)
        # which numbers are random differs from run to run, and with it, by a few, the number of changes
        assert not finished or n > changes - 40, "cut %d never came" % n
        if hasattr(life.scenario, "resume"):
            life.device.cut_at = life.device.changes + 1 + n % 23
            life.mounted(life.scenario.resume)
        life.device.cut_at = 0
        try:
            assert life.mounted(life.scenario.check)
        except Exception as error:
            print("cut at change %d of %d, torn %r:" % (n, changes, torn))
            sys.print_exception(error)
            raise
        tried += 1
        back = getattr(life.scenario, "brought_back", 0)
        brought_back += back
        most = max(most, back)
        life = None
    seconds = time.ticks_diff(time.ticks_ms(), began) / 1000
    print(
        "LittleFS, progsize %d, %s: %d of %d cut points tried, each with a second cut in the recovery, all valid; "
        "acknowledged messages that came again: %d at most, %.1f on average; %.1f s"
        % (progsize, "last write torn" if torn else "last write missing", tried, changes, most, brought_back / max(1, tried), seconds)
    )
