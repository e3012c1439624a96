# The last part of an update: the idle slot is made whole and read back.
from .bundle import entries
from .errors import Failed
from .files import make_folders, read, same
from .slots import MANIFEST


def run(folder, running, count, progress):
    """A generator: all `count` files of the manifest in `folder` are looked at, and what was not fetched is copied from `running`, both
    with a "/" at their ends; progress("Deploying", percent). Failed, OSError.
    """
    progress("Deploying", 0)
    for number, entry in enumerate(entries(folder + MANIFEST), 1):
        name = entry["name"]
        there = yield from same(folder + name, entry)
        if not there:
            make_folders(folder, name)
            with open(folder + name, "wb") as file:
                yield from read(running + name, file.write)
            there = yield from same(folder + name, entry)
            if not there:
                raise Failed("IOError", "flash: %s cannot be read as it was written" % name)
        progress("Deploying", min(99, 100 * number // count))
        yield 0
