# How much flash is free, on file systems that a test makes up.
from redpoll.flash import room

BLOCK = 4096


class Flash:
    """What `room` asks of os and of port: a file system of `blocks` blocks, by its own words `said` of them free, with folders."""

    def __init__(self, blocks, said):
        self.blocks = blocks
        self.said = said
        self.inside = {"/": ["a", "b"], "/a/": ["lib"], "/a/lib/": [], "/b/": []}
        self.looks = 0

    def statvfs(self, path):
        return (BLOCK, BLOCK, self.blocks, self.said, self.said, 0, 0, 0, 0, 255)

    def folders(self, path):
        self.looks += 1
        return self.inside[path]


def on(flash, call, *values):
    """call(*values) on this flash, after a start."""
    real = room.os, room.port
    room.os = room.port = flash
    room._counted.clear()
    try:
        return call(*values)
    finally:
        room.os, room.port = real
        room._counted.clear()


def test_each_folder_has_two_blocks_more_than_littlefs_says():
    assert on(Flash(100, 10), room.free, "/spool") == 16 * BLOCK
    assert on(Flash(100, 10), room.free_percent, "/") == 16.0
    # all that is above the flash is less than nothing
    assert on(Flash(100, (1 << 32) - 2), room.free, "/spool") == 4 * BLOCK


def test_the_folders_are_looked_at_once_a_start_and_when_an_update_asks():
    flash = Flash(100, 10)

    def run():
        for _ in range(3):
            room.free("/spool")
        assert flash.looks == 4
        flash.inside["/b/"] = ["lib"]
        flash.inside["/b/lib/"] = []
        assert room.free("/spool") == 16 * BLOCK
        assert room.free("/", anew=True) == room.free("/spool") == 18 * BLOCK

    on(flash, run)


def test_the_disk_of_a_computer_is_not_walked_through():
    flash = Flash(1 << 24, 1 << 20)
    assert on(flash, room.free, "/disk/spool") == BLOCK << 20
    assert flash.looks == 0
