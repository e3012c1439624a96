# A folder for the files of one test, on a laptop, on the VM and on a board.
import os

from redpoll.port import ticks_add


def folder():
    """Path of a new empty folder, ending in "/"."""
    base = "/tmp/" if "tmp" in os.listdir("/") else "/"
    path = base + "redpoll-" + "".join("%02x" % byte for byte in os.urandom(6))
    os.mkdir(path)
    return path + "/"


def write(path, data):
    """Make the file `path` from bytes or text."""
    with open(path, "wb") as file:
        file.write(data if isinstance(data, bytes) else data.encode())


def read(path):
    """The bytes of a file."""
    with open(path, "rb") as file:
        return file.read()


def remove(path):
    """Remove a folder made by folder() and the files in it."""
    for name in os.listdir(path):
        os.remove(path + name)
    os.rmdir(path[:-1])


class Ticks:
    """A clock that a test turns: call it for the ticks, add to `ms` to let time pass."""

    def __init__(self):
        self.ms = 0
        # half a second before they wrap, so that every test passes the wrap
        self._start = ticks_add(0, -500)

    def __call__(self):
        return ticks_add(self._start, self.ms)


def raises(kind, function, *arguments):
    """The text of the exception of this kind that the call raises; AssertionError when it raises none."""
    try:
        function(*arguments)
    except kind as error:
        return str(error)
    raise AssertionError("%s was not raised" % kind.__name__)
