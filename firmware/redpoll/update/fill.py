# The second part of an update: what differs is fetched into the idle slot.
import gc

from micropython import const

from .bundle import check_header, entries, header_size
from .files import flash, make_folders, same
from .slots import MANIFEST
from .unpack import Unpacker

_GAP = const(1024)  # bytes that are rather fetched in between than asked for around


def run(source, base, window, folder, running, job, progress):
    """A generator -> number of files of the bundle, which begin at `base`. `folder` gets what neither it nor `running` has, both with a
    "/" at their ends; job["size"] is how much that is; progress("Downloading", percent). BadBundle, Failed, Changed.
    """
    files = _Files(source, folder, base, window)
    yield from files.plan(running)
    job["size"] = files.total
    gc.collect()
    try:
        for first, end in files.runs:
            for ms in source.get(first + files.base, end + files.base, files.take):
                progress("Downloading", min(99, 100 * files.done // files.total))
                yield ms
            if files.wants(end):
                yield from source.short()
    finally:
        files.close()
    progress("Downloading", 100)
    return files.count


class _Files:
    # what is fetched into the idle slot: planned, then taken from the stream wherever it begins

    def __init__(self, source, folder, base, window):
        self._path = folder + MANIFEST
        self._folder = folder
        self._unpacker = Unpacker(window)
        self._source = source
        # where the first entry's header is
        self.base = base
        # one bit a file: is it fetched?
        self._needed = bytearray(25)
        self.count = 0
        # [begin, end] of what is asked for in one request
        self.runs = []
        self.total = 1
        self.done = 0
        self._entries = None
        self._entry = None
        self._number = 0
        # where the entry's data begins; what is missing of its header and its data
        self._start = 0
        self._header = None
        self._left = 0
        self._file = None

    def plan(self, running):
        total = 0
        gap = 1 << 30 if self._source.whole else _GAP
        for entry in entries(self._path):
            there = yield from same(self._folder + entry["name"], entry)
            if not there:
                there = yield from same(running + entry["name"], entry)
            if not there:
                self._needed[self.count >> 3] |= 1 << (self.count & 7)
                total += entry["packed"]
                begin = entry["offset"] - header_size(entry)
                end = entry["offset"] + entry["packed"]
                if self.runs and begin - self.runs[-1][1] <= gap:
                    self.runs[-1][1] = end
                else:
                    self.runs.append([begin, end])
            self.count += 1
            yield 0
        self.total = total or 1
        self._entries = entries(self._path)
        self._next()

    def _next(self):
        # go to the next entry that is fetched
        self._entry = None
        for entry in self._entries:
            number = self._number
            self._number += 1
            if self._needed[number >> 3] >> (number & 7) & 1:
                self._entry = entry
                self._start = entry["offset"] - header_size(entry)
                self._header = bytearray()
                self._left = entry["packed"]
                return

    def wants(self, end):
        """True when something up to `end` has not come."""
        return self._entry is not None and self._start < end

    def take(self, data):
        """Use what comes at the download's position -> True when it was the last of all."""
        position = self._source.at - self.base
        at = 0
        while self._entry:
            if position + at < self._start:
                at = min(len(data), self._start - position)
            n = min(header_size(self._entry) - len(self._header), len(data) - at)
            if n:
                self._header.extend(data[at : at + n])
                at += n
            if len(self._header) < header_size(self._entry):
                return False
            if not self._file:
                self._open()
            n = min(self._left, len(data) - at)
            if n:
                flash(self._unpacker.feed, data[at : at + n])
                self._left -= n
                self.done += n
            if self._left:
                return False
            flash(self._file.close)
            self._file = None
            self._unpacker.end()
            self._next()
        return True

    def _open(self):
        entry = self._entry
        check_header(bytes(self._header), entry["name"].encode(), entry["method"], entry["packed"], entry["size"])
        flash(make_folders, self._folder, entry["name"])
        self._file = flash(open, self._folder + entry["name"], "wb")
        self._unpacker.begin(entry, self._file)

    def close(self):
        if self._file:
            self._file.close()
            self._file = None
        self._entries = self._entry = self._unpacker = None
