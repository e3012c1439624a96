# The virtual board's flash: a file of the host as a block device, with LittleFS on it.
import vfs

_ERASED = 0xFF


class Flash:
    """Blocks in the file `path`. What is written is in the file when writeblocks returns; there is no cache to lose.

    `orders` tells of orders to cut the power (vm_control): when order() is new, the order_at()-th write or erase from then on stays half
    done, and `cut` is called; 0 is no order. As with a board's own driver no call needs heap: a file that the collector closes is
    written while the heap is locked.
    """

    def __init__(self, path, block_size, blocks, orders=None, cut=None):
        self._file = open(path, "r+b")  # stays open: its path is out of reach once "/" is the flash
        self._block_size = block_size
        self._blocks = blocks
        self._erased = bytes([_ERASED]) * block_size
        self._orders = orders
        self._cut = cut
        self._order = None
        self._left = 0

    def readblocks(self, block, buffer, offset=0):
        self._file.seek(block * self._block_size + offset)
        self._file.readinto(buffer)

    def writeblocks(self, block, buffer, offset=None):
        if offset is None:  # the simple interface erases as well
            offset = 0
        self.counted(self._file, block * self._block_size + offset, buffer)

    def ioctl(self, operation, argument):
        if operation == 4:
            return self._blocks
        if operation == 5:
            return self._block_size
        if operation == 6:
            self.counted(self._file, argument * self._block_size, self._erased)
        return 0

    def counted(self, file, at, data):
        """Write to `file`, which lies on the same chip, as one write of the flash."""
        file.seek(at)
        if self._orders:
            number = self._orders.order()
            if number != self._order:
                self._order = number
                self._left = self._orders.order_at()
            if self._left:
                self._left -= 1
                if not self._left:
                    file.write(data, len(data) // 2)
                    self._cut()
        file.write(data)


def mount(flash, message, program=32):
    """Make the flash "/". An empty or unreadable flash is formatted, as rp2 does, with `message` printed -> the host's files.

    `program` is the smallest piece that is written, in bytes.
    """
    try:
        files = vfs.VfsLfs2(flash, progsize=program)
    except OSError:
        if message:
            print(message)
        vfs.VfsLfs2.mkfs(flash, progsize=program)
        files = vfs.VfsLfs2(flash, progsize=program)
    vfs.umount("/")
    vfs.mount(files, "/")
    return vfs.VfsPosix("/")
