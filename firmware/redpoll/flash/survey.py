# What an earlier boot left of a spool; spool.py has the format. Only the start needs this.
import os
import struct

from micropython import const

from .spool import next_message

_START = const(8)
_HEAD = const(28)
_FIRST = const(1)
_LAST = const(2)
_SIZE = const(3)
_COUNT = const(4)
_BOOT = const(5)


class Survey:
    """`segments` of the spool in this folder with their messages, and `empty` ones; Unix ms at uptime 0 by boot; damaged places."""

    def __init__(self, path):
        self.segments = []
        self.empty = []
        self.epochs = {}
        self.damaged = 0
        try:
            names = sorted([int(name) for name in os.listdir(path) if name.isdigit()])
        except OSError:
            return
        last = 0
        for name in names:
            segment = [name, 0, last, 0, 0, 0]
            try:
                with open("%s/%d" % (path, name), "rb") as file:
                    self._look(file, segment)
            except OSError:
                self.damaged += 1
            if segment[_COUNT]:
                self.segments.append(segment)
                last = segment[_LAST]
            else:
                self.empty.append(segment)

    def _look(self, file, segment):
        size = segment[_SIZE] = file.seek(0, 2)
        file.seek(0)
        head = file.read(_START)
        offset = _START
        if head[:4] != b"RPS1" or size < _START:
            # an empty file is a write that a power cut stopped
            self.damaged += size > 0
            return
        boot = segment[_BOOT] = struct.unpack("<I", head[4:])[0]
        while True:
            found = next_message(file, offset, size)
            if not found:
                break
            end, number, _, epoch, body = found
            self.damaged += end - _HEAD - len(body) > offset
            offset = end
            # a write that failed half-way was repeated in the next segment
            if number > segment[_LAST]:
                segment[_FIRST] = segment[_FIRST] or number
                segment[_LAST] = number
                segment[_COUNT] += 1
                if epoch:
                    self.epochs[boot] = epoch
        self.damaged += offset < size
