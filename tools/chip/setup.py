# Runs on the emulated chip after each reset (tools/chip): what a board does before the program, and stand-ins for what it has not.
import os
import sys

import uctypes
import vfs


class _Flash:
    # 4 MiB of the board's PSRAM, outside of the heap: what is on it outlives a soft reset
    _memory = memoryview(uctypes.bytearray_at(0x21000000, 4 << 20))

    def readblocks(self, block, buf, offset=0):
        at = block * 4096 + offset
        buf[:] = self._memory[at : at + len(buf)]

    def writeblocks(self, block, buf, offset=0):
        at = block * 4096 + offset
        self._memory[at : at + len(buf)] = buf

    def ioctl(self, operation, argument):
        return {4: 1024, 5: 4096}.get(operation, 0)


_flash = _Flash()
try:
    vfs.mount(_flash, "/")
except OSError:
    vfs.VfsLfs2.mkfs(_flash)
    vfs.mount(_flash, "/")
os.chdir("/")


class SkipTest(BaseException):
    # not an Exception: the firmware must not take it for a network that is down
    pass


class _Network:
    # socket, usocket: they are imported by what is tested with doubles; whoever opens one cannot run here
    AF_INET = 2
    SOCK_STREAM = 1
    SOCK_DGRAM = 2
    SOL_SOCKET = 1
    SO_REUSEADDR = 4

    def getaddrinfo(*_):
        raise SkipTest("the emulated chip has no network")

    socket = getaddrinfo


class _Port:
    # redpoll.port.qemu: nothing of its own
    pass


sys.modules["socket"] = sys.modules["usocket"] = _Network
sys.modules["redpoll.port.qemu"] = _Port
