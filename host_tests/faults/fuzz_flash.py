# ruff: noqa: UP031 - runs on MicroPython too
# Damaged files of the record and the spool: a value, the default or a skip, never an exception. Runs on both interpreters.
import os

from redpoll import log
from redpoll.clock import Clock
from redpoll.flash.record import Record
from redpoll.flash.spool import Spool


class Noise:
    """Numbers that look random and are the same on every interpreter (xorshift)."""

    def __init__(self, seed):
        self._state = seed or 1

    def below(self, most):
        state = self._state
        state ^= (state << 13) & 0xFFFFFFFF
        state ^= state >> 17
        state ^= (state << 5) & 0xFFFFFFFF
        self._state = state
        return state % most


def mutated(good, noise):
    """The bytes with a few flips, cuts, repeats, zeroed or foreign pieces."""
    data = bytearray(good)
    for _ in range(1 + noise.below(4)):
        kind = noise.below(7)
        at = noise.below(len(data) + 1)
        length = noise.below(40)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << noise.below(8)
        elif kind == 1:
            data = data[:at]
        elif kind == 2:
            data = data[:at] + data[at + length :]
        elif kind == 3:
            data = data[:at] + bytearray(length) + data[at + length :]
        elif kind == 4:
            data = data[:at] + data[noise.below(len(data) + 1) :][:length] + data[at:]
        elif kind == 5:
            data = data[:at] + bytearray([noise.below(256) for _ in range(length)]) + data[at:]
        elif at < len(data):
            data[at] = (0, 1, 0x7F, 0x80, 0xFF)[noise.below(5)]
    return bytes(data)


def records(times, seed):
    """Load so many damaged records. Returns how many gave the value all the same."""
    log.print = lambda *values: None
    noise = Noise(seed)
    value = {"version": 7, "values": [1, 2.5, "text", None, True]}
    Record("r").save(value)
    good = _read("r")
    whole = 0
    for _ in range(times):
        _write("r", mutated(good, noise))
        loaded = Record("r").load("default")
        assert loaded == "default" or loaded == value, loaded
        whole += loaded == value
    return whole


def spools(times, seed):
    """Boot and replay with so many damaged segments, a third of them beside a damaged `next`. Returns the messages read and skipped."""
    log.print = lambda *values: None
    noise = Noise(seed)
    clock = Clock(lambda: 0, lambda: None)
    spool = Spool(1000, "spool", 65536, 0, clock)
    texts = [b'{"n": %d, "x": "%s"}' % (n, b"x" * n) for n in range(5)]
    for text in texts:
        spool.append(0, text)
    names = sorted(os.listdir("spool"))
    good = {name: _read("spool/" + name) for name in names}
    read = skipped = 0
    for turn in range(times):
        for name in os.listdir("spool"):
            os.remove("spool/" + name)
        for name in names:
            damage = name != "next" or turn % 3 == 0
            _write("spool/" + name, mutated(good[name], noise) if damage else good[name])
        spool = Spool(1000, "spool", 65536, 0, clock)
        last = 0
        while True:
            message = spool.peek()
            if message is None:
                break
            assert message[2] in texts and message[0] > last, message
            last = message[0]
            spool.sent(last)
            spool.acknowledge(last)
            read += 1
        skipped += spool.damaged
        assert len(spool) == 0 and spool.append(0, b"more") > last
    return read, skipped


def run(times):
    """Both, and print what came out."""
    whole = records(times, 1)
    print("%d damaged records: %d gave their value, the others the default" % (times, whole))
    print("%d damaged spools: %d messages read, %d places skipped" % ((times,) + spools(times, 2)))


def _read(path):
    with open(path, "rb") as file:
        return file.read()


def _write(path, data):
    with open(path, "wb") as file:
        file.write(data)
