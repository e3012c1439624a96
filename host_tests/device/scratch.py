# Small things that several device tests want. The plugin gives every test an empty working directory: name files in it.
import os

from redpoll.port import ticks_add
from support import raises


def write(path, data):
    """Make the file `path` from bytes or text."""
    with open(path, "wb") as file:
        file.write(data if isinstance(data, bytes) else data.encode())


def read(path):
    """The bytes of a file."""
    with open(path, "rb") as file:
        return file.read()


class Ticks:
    """A clock that a test turns: call it for the ticks, add to `ms` to let time pass."""

    def __init__(self):
        self.ms = 0
        # half a second before they wrap, so that every test passes the wrap
        self._start = ticks_add(0, -500)

    def __call__(self):
        ticks = self._start
        ms = self.ms
        while ms >= 1 << 28:
            # ticks_add takes less than half of what the ticks count, which is 2**30 on a board
            ticks = ticks_add(ticks, 1 << 28)
            ms -= 1 << 28
        return ticks_add(ticks, ms)


def text_of(kind, function, *arguments):
    """The text of the exception of this kind that the call raises."""
    with raises(kind) as caught:
        function(*arguments)
    return str(caught.value)


def write_below(root, name, data):
    """Make the file root/name with its folders."""
    at = name.find("/")
    while at >= 0:
        try:
            os.mkdir(root + "/" + name[:at])
        except OSError:
            pass  # it is there
        at = name.find("/", at + 1)
    write(root + "/" + name, data)


def full(*_):
    """Stands in for Record.save on a full flash: OSError."""
    raise OSError(28)


def walk(folder, prefix, found):
    """Put the files below a folder into the dict `found`: name -> content."""
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        path = folder + "/" + name
        if os.stat(path)[0] & 0x4000:
            walk(path, prefix + name + "/", found)
        else:
            found[prefix + name] = read(path)
