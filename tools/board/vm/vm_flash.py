# The virtual board's flash: a file of the host as a block device, with LittleFS on it.
import vfs

_ERASED = 0xFF


class Flash:
    """Blocks in the file `path`. What is written is in the file when writeblocks returns; there is no cache to lose."""

    def __init__(self, path, block_size, blocks):
        self._file = open(path, "r+b")  # stays open: its path is out of reach once "/" is the flash
        self._block_size = block_size
        self._blocks = blocks
        self._erased = bytes([_ERASED]) * block_size

    def readblocks(self, block, buffer, offset=0):
        self._file.seek(block * self._block_size + offset)
        self._file.readinto(buffer)

    def writeblocks(self, block, buffer, offset=None):
        if offset is None:  # the simple interface erases as well
            offset = 0
        self._file.seek(block * self._block_size + offset)
        self._file.write(buffer)

    def ioctl(self, operation, argument):
        if operation == 4:
            return self._blocks
        if operation == 5:
            return self._block_size
        if operation == 6:
            self._file.seek(argument * self._block_size)
            self._file.write(self._erased)
        return 0


def mount(flash, message):
    """Make the flash "/" and what the host has "/host". An empty or unreadable flash is formatted, as rp2 does, with `message` printed."""
    try:
        files = vfs.VfsLfs2(flash)
    except OSError:
        if message:
            print(message)
        vfs.VfsLfs2.mkfs(flash)
        files = vfs.VfsLfs2(flash)
    vfs.umount("/")
    vfs.mount(files, "/")
    vfs.mount(vfs.VfsPosix("/"), "/host")
