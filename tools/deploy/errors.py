"""What can go wrong between this machine and a board, each with what to do about it and an exit status."""

import enum


class Status(enum.IntEnum):
    """Exit statuses of `redpoll deploy`, `provision` and `flash`."""

    OK = 0
    SILENT = 1  # all is on the board, but its program does not run
    REFUSED = 2  # what was asked for cannot be done: settings, files, a chip that is another one
    NO_PORT = 3  # there is no such port, or another program has it
    NO_MICROPYTHON = 4
    FULL = 5
    CUT = 6  # the connection broke; the board runs what it ran before


class DeployError(Exception):
    """What was wrong, and what to do. `status` becomes the exit status."""

    def __init__(self, text: str, status: Status = Status.REFUSED) -> None:
        super().__init__(text)
        self.status = status


class LinkError(DeployError):
    """The board does not answer, or not as MicroPython does."""

    def __init__(self, text: str, status: Status = Status.CUT) -> None:
        super().__init__(text, status)


class BoardRaised(DeployError):
    """What was run on the board has raised; `trace` is its traceback."""

    def __init__(self, trace: str) -> None:
        super().__init__(f"the board says: {trace.strip().rpartition(chr(10))[2]}")
        self.trace = trace
