"""NOR flash in RAM for the MicroPython VM: a block device for vfs.VfsLfs2 that counts wear and can lose its power.

Runs on MicroPython (annotations are ignored there); CPython can import it too.
"""


class PowerCut(BaseException):
    """The power is gone. Not an Exception: nothing in the firmware survives it."""


class FlashDevice:
    """`blocks` blocks of `block_size` bytes, erased, or with the content of `image` (bytes).

    With `cut_at` = n the n-th change (a program or an erase, the first is 1) and every later access raises PowerCut. The n-th
    does not happen at all or, with `torn`, half of its bytes land.
    """

    def __init__(self, blocks: int, block_size: int = 4096, image: bytes = b"", cut_at: int = 0, torn: bool = False) -> None:
        self.block_size = block_size
        self.data = bytearray(image) if image else bytearray(b"\xff" * (blocks * block_size))
        self.cut_at = cut_at
        self.torn = torn
        # set while files that a cut left open are closed by the garbage collector, which cannot raise: all fails, quietly
        self.gone = False
        self.changes = 0
        self.programs = 0
        self.programmed_bytes = 0
        # how often each block was erased
        self.erased = [0] * blocks

    def readblocks(self, block: int, buffer: bytearray, offset: int = 0) -> int:
        """Fill the buffer."""
        if self.gone:
            return -5
        if self._dead():
            raise PowerCut
        at = block * self.block_size + offset
        buffer[:] = memoryview(self.data)[at : at + len(buffer)]
        return 0

    def writeblocks(self, block: int, buffer: bytes, offset: int = 0) -> int:
        """Program erased bytes."""
        if self.gone:
            return -5
        at = block * self.block_size + offset
        half = self._change(len(buffer))
        if half is not None:
            self.data[at : at + half] = memoryview(buffer)[:half]
            raise PowerCut
        # NOR flash can only clear bits; LittleFS never programs what is not erased
        if self.data[at] != 0xFF or self.data[at + len(buffer) - 1] != 0xFF:
            raise RuntimeError("programmed without erase")
        self.programs += 1
        self.programmed_bytes += len(buffer)
        self.data[at : at + len(buffer)] = buffer
        return 0

    def ioctl(self, operation: int, argument: int) -> "int | None":
        """Block count (4), block size (5), erase (6)."""
        if operation == 4:
            return len(self.data) // self.block_size
        if operation == 5:
            return self.block_size
        if operation == 6 and self.gone:
            return -5
        if operation == 6:
            at = argument * self.block_size
            half = self._change(self.block_size)
            size = self.block_size if half is None else half
            self.data[at : at + size] = b"\xff" * size
            if half is not None:
                raise PowerCut
            self.erased[argument] += 1
            return 0
        return None

    def _dead(self) -> bool:
        return bool(self.cut_at) and self.changes >= self.cut_at

    def _change(self, size: int) -> "int | None":
        # None when it may happen; else how many of its bytes still land
        if self._dead():
            return 0
        self.changes += 1
        if self._dead():
            return size // 2 if self.torn else 0
        return None
