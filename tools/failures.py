"""Errors as texts for a person."""

import os
import sys


def told(error: Exception) -> str:
    """What went wrong; with one of the operating system which file it was about, and the reason."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    return str(error)


def nobody_reads() -> None:
    """After a BrokenPipeError, as of `... | head`: nothing is left to be said, not even by the interpreter when it flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
