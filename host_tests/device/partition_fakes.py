# esp32.Partition over a file that keeps the rules of the real one, and the part of the bootloader that chooses; on any interpreter.
#
# Writing turns ones into zeros and only erasing turns them back; the simple interface erases whole blocks first; what the bootloader is
# told lasts over restarts; it starts a new application once, and goes back unless that was confirmed.
BLOCK = 4096
NOT_FOUND = -261
VALIDATE_FAILED = -5379
_NEW, _PENDING, _VALID, _ABORTED = range(4)


class Power(BaseException):
    """It is cut."""


class Flash:
    """Two application partitions, or one, of so many blocks in the file `path`. `Partition` is what esp32 has under that name."""

    def __init__(self, path, blocks, slots=2):
        self.path = path
        self.blocks = blocks
        self.labels = ["ota_%d" % n for n in range(slots)] if slots > 1 else ["factory"]
        self.running = self.labels[0]
        # the newest first: [label, state]
        self.chosen = [[self.running, _VALID]]
        # writes of blocks and of the bootloader's choice; the power is cut at the one of this number
        self.writes = 0
        self.cut_at = None
        # the next write of a block has this OSError
        self.error = None
        with open(path, "wb") as file:
            for _ in range(blocks * slots):
                file.write(b"\xff" * BLOCK)
        flash = self

        class Partition(_Partition):
            BOOT = 0
            RUNNING = 1

            def __init__(self, place):
                self.flash = flash
                self.label = flash.running if place else flash.chosen[0][0]

            @classmethod
            def mark_app_valid_cancel_rollback(cls):
                flash.count()
                for one in flash.chosen:
                    if one == [flash.running, _PENDING]:
                        one[1] = _VALID

        self.Partition = Partition

    def restart(self):
        """What the bootloader does. Returns the label of what runs then."""
        if self.chosen[0][1] == _PENDING:
            self.chosen.pop(0)
        if self.chosen[0][1] == _NEW:
            self.chosen[0][1] = _PENDING
        self.running = self.chosen[0][0]
        return self.running

    def count(self):
        """A write: the power may be cut."""
        self.writes += 1
        if self.writes == self.cut_at:
            raise Power

    def image(self, label, size):
        """The first bytes of a partition."""
        with open(self.path, "rb") as file:
            file.seek(self.labels.index(label) * self.blocks * BLOCK)
            return file.read(size)

    def put(self, label, data, at=0, erased=True):
        """Write without counting; without `erased` ones only become zeros."""
        with open(self.path, "r+b") as file:
            place = self.labels.index(label) * self.blocks * BLOCK + at
            file.seek(place)
            old = file.read(len(data))
            file.seek(place)
            file.write(data if erased else bytes([a & b for a, b in zip(old, data)]))


class _Partition:
    def info(self):
        flash = self.flash
        size = flash.blocks * BLOCK
        return (0, 16, 0x10000 + flash.labels.index(self.label) * size, size, self.label, False)

    def get_next_update(self):
        flash = self.flash
        if len(flash.labels) < 2:
            raise OSError(NOT_FOUND)
        other = flash.Partition(1)
        other.label = flash.labels[(flash.labels.index(flash.running) + 1) % len(flash.labels)]
        return other

    def _at(self, block, size, offset):
        at = block * BLOCK + offset
        if at < 0 or at + size > self.flash.blocks * BLOCK:
            raise OSError(-258)
        return at

    def readblocks(self, block, buffer, offset=0):
        at = self._at(block, len(buffer), offset)
        with open(self.flash.path, "rb") as file:
            file.seek(self.flash.labels.index(self.label) * self.flash.blocks * BLOCK + at)
            file.readinto(buffer)

    def writeblocks(self, block, buffer, offset=None):
        flash = self.flash
        at = self._at(block, len(buffer), offset or 0)
        assert self.label != flash.running, "what runs is overwritten"
        if offset is None and (at % BLOCK or len(buffer) % BLOCK):
            raise OSError(-260)
        if flash.error:
            error, flash.error = flash.error, None
            raise error
        if offset is None:
            flash.put(self.label, b"\xff" * len(buffer), at)
        flash.count()
        flash.put(self.label, bytes(buffer), at, erased=False)

    def set_boot(self):
        flash = self.flash
        if flash.image(self.label, 1) != b"\xe9":
            raise OSError(VALIDATE_FAILED)
        flash.count()
        kept = [one for one in flash.chosen if one[0] != self.label]
        flash.chosen = [[self.label, _NEW]] + kept
