"""`python -m tools.alone PATH COMMAND...`: the command, while no other holds that file or folder. For the Makefile, before .venv is."""

from __future__ import annotations  # so that an old Python comes to the line in the Makefile that says which one is wanted

import contextlib
import fcntl
import os
import sys
from collections.abc import Sequence


def main(argv: Sequence[str]) -> None:
    """Does not return: this process becomes the command, and the lock ends with it."""
    path, *command = argv
    with contextlib.suppress(OSError):  # some network drives lock nothing: there it goes on as it did without
        lock = os.open(path, os.O_RDONLY)
        os.set_inheritable(lock, True)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another `make setup` is at work: waiting for its end", file=sys.stderr, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
