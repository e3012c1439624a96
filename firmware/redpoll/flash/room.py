# How much room the flash has. LittleFS counts the two blocks of each folder twice in what it says is used, so it says less than there
# is, and on a flash full of folders less than nothing. Loaded when it is asked for.
import os


def free(path):
    """Bytes that are free where the file or folder `path` lies. Walks through all folders beside it when there is little."""
    state = os.statvfs(path)
    blocks = state[4]
    if blocks > state[2]:
        blocks -= 1 << 32  # less than nothing, as a port with wide numbers tells it
    if blocks < state[2] >> 1 and state[2] < 1 << 16:
        blocks += 2 * _folders(path[: path.rfind("/") + 1])
    return blocks * state[1]


def _folders(parent):
    # how many there are below it; it is "" or ends with "/"
    count = 0
    for name in os.listdir(parent or "."):
        if os.stat(parent + name)[0] & 0x4000:
            count += 1 + _folders(parent + name + "/")
    return count
