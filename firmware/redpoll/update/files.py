# Files of a slot: compared, read and made.
import os
from binascii import hexlify
from hashlib import sha256

from micropython import const

from .. import log
from .errors import Failed

_CHUNK = const(512)  # bytes
_TURN = const(16)  # chunks without a pause


def flash(call, *values):
    """call(*values); its OSError is the flash's and ends the update, where one of the network would be tried again. Failed."""
    try:
        return call(*values)
    except OSError as error:
        raise Failed("IOError", "flash: " + log.describe(error))


def read(path, take):
    """A generator: bring a file to take(memoryview), with pauses. OSError."""
    buffer = bytearray(_CHUNK)
    chunks = 0
    with open(path, "rb") as file:
        while True:
            n = file.readinto(buffer)
            if not n:
                return
            take(memoryview(buffer)[:n])
            chunks += 1
            if chunks % _TURN == 0:
                yield 0


def same(path, entry):
    """A generator -> True when the file is what the manifest's entry says."""
    hashed = sha256()
    try:
        if os.stat(path)[6] != entry["size"]:
            return False
        yield from read(path, hashed.update)
    except OSError:
        return False
    return hexlify(hashed.digest()).decode() == entry["sha256"]


def make_folders(root, name):
    """The folders that a file of this name needs below root. OSError."""
    at = name.find("/")
    while at >= 0:
        try:
            os.mkdir(root + name[:at])
        except OSError as error:
            if error.errno != 17:  # EEXIST
                raise
        at = name.find("/", at + 1)
