# ruff: noqa: UP031, SIM105, RUF005 - runs on MicroPython
# A board's flash as "/", its boot.py as it is, and what its chip did: for tests on the MicroPython VM that start a board again and again.
import gc
import os
import sys

import vfs
from flash_device import FlashDevice, PowerCut

import __main__


class Reset(BaseException):
    """The chip was reset."""


class Machine:
    """What boot.py finds as `machine`. `cause`: why the chip starts; watchdog and timer: what was asked for, or None."""

    PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = 1, 2, 3, 4, 5

    def __init__(self, cause=1):
        self.cause = cause
        self.watchdog = None
        self.timer = None
        machine = self

        class WDT:
            def __init__(self, id=0, timeout=5000):
                machine.watchdog = timeout

            def feed(self):
                pass

        class Timer:
            ONE_SHOT = 0

            def __init__(self, id, mode, period, callback):
                if id == -1:
                    raise ValueError  # as on an ESP32
                machine.timer = (period, callback)

            def deinit(self):
                machine.timer = None

        self.WDT = WDT
        self.Timer = Timer

    def reset_cause(self):
        return self.cause

    def reset(self):
        raise Reset

    def unique_id(self):
        return b"chip01"


class Board:
    """A flash of `blocks` blocks that outlives the power. `boot_py` is the host's path of boot.py."""

    def __init__(self, boot_py, blocks=64, progsize=256, image=b""):
        with open(boot_py) as file:
            self._boot_py = compile(file.read(), "boot.py", "exec")
        self.device = FlashDevice(blocks, image=image)
        self._progsize = progsize
        if not image:
            vfs.VfsLfs2.mkfs(self.device, progsize=progsize)
        # where modules that nobody has imported yet are found
        self._path = [("/host" + path if path.startswith("/") else path) for path in sys.path if path]
        self.machine = None

    def mounted(self, call, *values):
        """What `call` returns with the flash as "/"; None when the power is cut in it. Reset is passed on."""
        path = sys.path[:]
        vfs.umount("/")
        files = None
        try:
            files = vfs.VfsLfs2(self.device, progsize=self._progsize)
            vfs.mount(files, "/")
            vfs.mount(vfs.VfsPosix("/"), "/host")
            sys.path[:] = [""] + self._path
            os.chdir("/")
            return call(*values)
        except PowerCut:
            self.device.gone = True
            return None
        finally:
            sys.path[:] = path
            os.chdir("/")
            for place in ("/host", "/"):
                try:
                    vfs.umount(place)
                except OSError:
                    pass  # the power was gone before it was mounted
            # files that the cut left open are closed while their file system is still there
            self.device.gone = True
            gc.collect()
            self.device.gone = False
            vfs.mount(vfs.VfsPosix("/"), "/")

    def boot(self, cause=1):
        """Run boot.py, with the flash as "/". Returns the folder that it goes into."""
        self.machine = sys.modules["machine"] = Machine(cause)
        exec(self._boot_py, __main__.__dict__)
        return os.getcwd()

    def power_on(self, cause=1):
        """The folder that boot.py goes into, or None when the power is cut in it."""
        return self.mounted(self.boot, cause)


def write(path, data):
    """A file with its folders."""
    at = path.find("/", 1)
    while at > 0:
        try:
            os.mkdir(path[:at])
        except OSError as error:
            if error.errno != 17:  # EEXIST
                raise
        at = path.find("/", at + 1)
    with open(path, "wb") as file:
        file.write(data if isinstance(data, bytes) else data.encode())
