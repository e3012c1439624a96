# How much room the flash has. LittleFS counts the two blocks of each folder twice in what it says is used, so it says less than there
# is, and on a flash full of folders less than nothing. Loaded when it is asked for.
import os

from .. import port

# folder -> how many there are below it. A start counts them once, because each look reads all of them: only an update makes some, and
# that counts again
_counted = {}


def free(path, anew=False):
    """Bytes that are free where the file or folder `path` lies. `anew`: folders may have been made since the start."""
    if anew:
        _counted.clear()
    state = os.statvfs(path)
    return _blocks(path, state) * state[1]


def free_percent(path):
    """The same in percent of that flash."""
    state = os.statvfs(path)
    return round(_blocks(path, state) * 1000 / state[2]) / 10


def _blocks(path, state):
    blocks = state[4]
    if blocks > state[2]:
        blocks -= 1 << 32  # less than nothing, as a port with wide numbers tells it
    if state[2] >= 1 << 16:
        return blocks  # larger than any board's flash: a computer's disk
    parent = path[: path.rfind("/") + 1]
    if parent not in _counted:
        _counted[parent] = _folders(parent)
    return blocks + 2 * _counted[parent]


def _folders(parent):
    # how many there are below it; it is "" or ends with "/"
    return sum([1 + _folders(parent + name + "/") for name in port.folders(parent or ".")])
