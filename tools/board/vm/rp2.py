# A chip's `rp2`: the file system's flash and the BOOTSEL button.
import vm_control
from vm_control import state

_flash = None


def _start(flash, host):
    global _flash
    _flash = flash


def bootsel_button():
    """1 while BOOTSEL is held: the host presses it as pin 63."""
    _, driven, levels, _, _ = vm_control.page()
    return 1 if driven >> 63 & 1 and not levels >> 63 & 1 else 0


def country(code=None):
    import network

    return network.country(code)


class Flash:
    """The part of the flash that is the file system's."""

    def readblocks(self, block_num, buf, offset=0):
        _flash.readblocks(block_num, buf, offset)

    def writeblocks(self, block_num, buf, offset=None):
        if offset is None:
            for block in range(len(buf) // state["block_size"]):
                _flash.ioctl(6, block_num + block)
            offset = 0
        _flash.writeblocks(block_num, buf, offset)

    def ioctl(self, op, arg=0):
        return _flash.ioctl(op, arg)
