# Messages kept until the cloud has acknowledged them, oldest first: in RAM, and on flash once they have waited there.
#
# What has waited in RAM for `hold_ms`, or is more than fits there, is appended to a segment on flash. A segment fills one LittleFS
# block, because an append writes the last block of its file anew. It is removed when all of it is acknowledged, and the oldest one
# when the budget is spent; nothing on flash is written for a single acknowledgement. So a restart may send again what is in a segment
# that was partly acknowledged, with the same numbers. A number is never given out twice; when nothing is known of the ones before,
# as after the flash was formatted, they begin at a random place below 2^28, so that a hub does not take new messages for old ones. So do
# those that a failing flash does not set aside.
#
# Format, version 1, little endian. A directory with `next`, a record: the first number that is free for sure; and segments, each
# named with the number of its first message:
#   b"RPS1", number with which its boot began (4 bytes), then messages:
#   b"\x01m", length of the body (2), number (4), uptime in ms when it was taken (8), Unix ms at uptime 0, or 0 while the time was not
#   known (8), CRC-32 of these 24 bytes and the body (4), the body. JSON holds no byte 1, so that after damage the next message is found.
import os
import struct
from binascii import crc32

from micropython import const

from .. import log, port
from ..backoff import random16
from .record import Record

_MAGIC = const(b"RPS1")
_MARK = const(b"\x01m")
_SEGMENT = const(4096)
_START = const(8)  # where the messages of a segment begin
_HEAD = const(28)
_COST = const(32)  # what a message takes in RAM beside its body, about
_RESERVE = const(1000)  # numbers that one write of `next` sets aside
_RETRY_MS = const(60000)
# bytes of the flash that are left to others: a configuration has up to 24 KB, and the old one stays until the new one is there
_SPARE = const(36864)
_ENOSPC = const(28)

# a segment is a list: name, first and last number, bytes, messages not acknowledged, number with which its boot began
_FIRST = const(1)
_LAST = const(2)
_SIZE = const(3)
_COUNT = const(4)
_BOOT = const(5)


class Spool:
    """`ram_bytes` bounds the messages in RAM, `flash_bytes` the files below `path`; without a path there is RAM only.
    Files grow only while 36 KB of the flash are left to others.

    A message that was not acknowledged for `hold_ms` goes to flash: so much may be lost at a power cut. 0: each one goes there at
    once, and append() returns when it is there. `clock` is a Clock; without it (RAM only) a message's time is its uptime.
    """

    def __init__(self, ram_bytes, path=None, flash_bytes=65536, hold_ms=300000, clock=None):
        self._most = ram_bytes
        self._path = path
        self._limit = flash_bytes
        self._hold = hold_ms
        self._clock = clock
        # (number, uptime in ms when it was taken, body) of what only RAM has: the newest messages, which a power cut loses
        self._ram = []
        self._bytes = 0
        self._segments = []
        # the segment that is appended to
        self._tail = None
        # numbers that are on their way; numbers that are acknowledged while their segment is still there
        self._sent = []
        self._done = []
        # where peek() reads on: segment, offset; what is up to the number `_past` was seen on flash
        self._reading = None
        self._offset = 0
        self._past = 0
        # Unix ms at uptime 0 of earlier boots: {number with which it began: ms}
        self._epochs = {}
        # uptime before which the flash is not tried again; None while it works
        self._not_before = None
        # messages that a bound cost; damaged places and messages that could not be read back
        self.dropped = 0
        self.damaged = 0
        # False once a bound has cost one
        self.whole = True
        self._next = Record(path + "/next") if path else None
        if path:
            # what an earlier boot left
            from . import survey

            found = survey.Survey(path)
            port.unload("flash.survey")
            self._segments = found.segments
            self._epochs = found.epochs
            self.damaged = found.damaged
            for segment in found.empty:
                self._delete(segment)
            if self.damaged:
                log.warning("spool: %d damaged places skipped", self.damaged)
        free = self._next.load() if path else None
        last = self._segments[-1][_LAST] if self._segments else 0
        if not isinstance(free, int) or free <= last or free >= 0x40000000 and not last:
            # nothing is known of the numbers before, or they have come far: continue far from them
            free = last + 1 + (random16() << 12)
        # the first number of this boot
        self.first = self._number = self._reserved = free

    def __len__(self):
        return len(self._ram) + sum([segment[_COUNT] for segment in self._segments])

    def append(self, taken_ms, body):
        """Keep one message (bytes) taken at this uptime. Returns its number. ValueError when it alone is larger than the spool."""
        size = len(body) + _COST
        if size > self._most or len(body) > 0xFFFF:
            raise ValueError("one of %d bytes does not fit a spool of %d" % (len(body), self._most))
        if self._bytes + size > self._most:
            self.flush()
        while self._bytes + size > self._most:
            self._forget(0)
            self.dropped += 1
            self.whole = False
        if self._number >= self._reserved and not self._try(self._reserve) and self._number == self._reserved:
            # the next start will not know that they are given out: far from where it begins
            self._number += random16() << 12
        number = self._number
        self._number += 1
        self._ram.append((number, taken_ms, body))
        self._bytes += size
        if not self._hold:
            self.flush()
        return number

    def poll(self):
        """Bring to flash what has waited long enough. Returns ms until it wants to be called, None when nothing waits."""
        if not self._path or not self._ram:
            return None
        now = self._clock.ms()
        wait = self._ram[0][1] + self._hold - now
        if wait <= 0:
            self.flush()
            wait = _RETRY_MS
        return wait

    def flush(self):
        """Bring all to flash, also before a restart. False when that failed: it is logged, and not tried again for a minute."""
        return self._try(self._write_all)

    def peek(self):
        """The oldest message that is not on its way: (number, Unix ms or None when that is not known, body), or None.

        Without a time and with a number below `first` it is of an earlier boot, and its time will never be known.
        """
        for segment in list(self._segments):
            message = segment[_LAST] > self._past and self._read(segment)
            if message:
                return message
        return self.latest()

    def latest(self):
        """The same among those that never waited on flash: what is to be sent beside a replay."""
        for number, taken, body in self._ram:
            if number not in self._sent:
                return number, self._unix(self.first, taken, 0), body
        return None

    def sent(self, number):
        """This message is handed to the link. Say it before it is: a link that breaks in it takes it back with rewind()."""
        self._sent.append(number)

    def acknowledge(self, number):
        """The cloud has this message: forget it. Numbers that are not on their way are of messages that were dropped."""
        if number not in self._sent:
            return
        self._sent.remove(number)
        for at in range(len(self._ram)):
            if self._ram[at][0] == number:
                self._forget(at)
                return
        for segment in self._segments:
            if segment[_FIRST] <= number <= segment[_LAST]:
                self._done.append(number)
                self._less(segment, 1)
                return

    def rewind(self):
        """The link is gone: what was on its way has to be sent again."""
        self._sent = []
        self._reading = None
        self._past = 0

    def _forget(self, at):
        self._bytes -= len(self._ram.pop(at)[2]) + _COST

    def _unix(self, boot, taken, epoch):
        if boot == self.first:
            return self._clock.wall_at(taken) if self._clock else taken
        epoch = epoch or self._epochs.get(boot)
        return epoch + taken if epoch else None

    def _try(self, action):
        if not self._path or (self._not_before is not None and self._clock.ms() < self._not_before):
            return False
        try:
            action()
        except OSError as error:
            if self._not_before is None:
                log.warning("spool: %s; what is only in RAM may be lost", error)
            self._not_before = self._clock.ms() + _RETRY_MS
            return False
        self._not_before = None
        return True

    def _reserve(self):
        try:
            os.mkdir(self._path)
        except OSError:
            pass  # it is there; when it is not, the save fails
        self._next.save(self._number + _RESERVE)
        self._reserved = self._number + _RESERVE

    def _file(self, segment):
        return "%s/%d" % (self._path, segment[0])

    # writing

    def _write_all(self):
        while self._ram:
            self._write()

    def _write(self):
        # as many of the oldest in RAM as the segment takes, at least one
        number, _, body = self._ram[0]
        segment = self._tail
        need = _HEAD + len(body)
        if segment is None or segment[_SIZE] + need > _SEGMENT:
            need += _START
            while self._segments and sum([_blocks(part[_SIZE]) for part in self._segments]) + _blocks(need) > self._limit:
                self._drop()
            from .room import free

            if free(self._path) < _SPARE:
                if not self._segments:
                    raise OSError(_ENOSPC)
                # one for one: it is not for the spool to make the room that others have taken
                self._drop()
            segment = [number, number, number, 0, 0, self.first]
        self._tail = None
        try:
            count, size = self._append(segment)
        except OSError as error:
            if error.errno != _ENOSPC or not self._segments:
                raise
            # somebody else has filled the flash: the oldest goes here too; try again, with the same segment if that is whole
            self._drop()
            if segment in self._segments and os.stat(self._file(segment))[6] == segment[_SIZE]:
                self._tail = segment
            return
        if not segment[_SIZE]:
            self._segments.append(segment)
        segment[_LAST] = self._ram[count - 1][0]
        segment[_SIZE] = size
        segment[_COUNT] += count
        self._tail = segment
        for _ in range(count):
            self._forget(0)

    def _append(self, segment):
        count = 0
        size = segment[_SIZE]
        epoch = self._clock.wall_at(0) if self._clock else None
        with open(self._file(segment), "ab" if size else "wb") as file:
            if not size:
                size = file.write(_MAGIC + struct.pack("<I", self.first))
            for number, taken, body in self._ram:
                if count and size + _HEAD + len(body) > _SEGMENT:
                    break
                head = struct.pack("<2sHIqq", _MARK, len(body), number, taken, epoch or 0)
                file.write(head + struct.pack("<I", crc32(body, crc32(head))))
                file.write(body)
                size += _HEAD + len(body)
                count += 1
            port.sync(file)
        return count, size

    def _drop(self):
        segment = self._segments[0]
        self.dropped += segment[_COUNT]
        self.whole = False
        self._less(segment, segment[_COUNT])

    def _less(self, segment, count):
        # so many messages of the segment are not wanted any more
        segment[_COUNT] -= count
        if not segment[_COUNT]:
            self._segments.remove(segment)
            self._done = [number for number in self._done if not segment[_FIRST] <= number <= segment[_LAST]]
            if segment is self._tail:
                self._tail = None
            self._delete(segment)

    def _delete(self, segment):
        try:
            os.remove(self._file(segment))
        except OSError as error:
            log.warning("spool: %s", error)

    # reading

    def _read(self, segment):
        # the next message in it that is to be sent
        if self._reading is not segment:
            self._reading = segment
            self._offset = _START
        try:
            with open(self._file(segment), "rb") as file:
                while True:
                    found = next_message(file, self._offset, segment[_SIZE])
                    if not found:
                        break
                    end, number, taken, epoch, body = found
                    if number >= segment[_FIRST] and number not in self._sent and number not in self._done:
                        return number, self._unix(segment[_BOOT], taken, epoch), body
                    self._offset = end
        except OSError as error:
            log.warning("spool: %s", error)
        self._offset = segment[_SIZE]
        self._past = segment[_LAST]
        flying = sum([segment[_FIRST] <= number <= segment[_LAST] for number in self._sent])
        lost = segment[_COUNT] - flying
        if lost > 0:
            self.damaged += lost
            log.warning("spool: %d messages cannot be read", lost)
            self._less(segment, lost)
        return None


def next_message(file, offset, size):
    """(end, number, taken, epoch, body) of the first whole message at or after the offset, or None."""
    while offset + _HEAD <= size:
        file.seek(offset)
        head = file.read(_HEAD)
        if head[:2] == _MARK and len(head) == _HEAD:
            _, length, number, taken, epoch, checksum = struct.unpack("<2sHIqqI", head)
            if offset + _HEAD + length <= size:
                body = file.read(length)
                if crc32(body, crc32(head[:24])) == checksum:
                    return offset + _HEAD + length, number, taken, epoch, body
        file.seek(offset + 1)
        data = file.read(256)
        at = data.find(_MARK)
        # the last byte may be the first one of the mark
        offset += at + 1 if at >= 0 else max(1, len(data))
    return None


def _blocks(size):
    return (size + _SEGMENT - 1) // _SEGMENT * _SEGMENT
