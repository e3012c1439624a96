"""The slots of a board, decided upon here: its own redpoll.update.slots on a copy of what it looks at, and back what it has changed.

So it works on a board that has no firmware yet, or another version of it.
"""

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.deploy.errors import DeployError
from tools.deploy.remote import RemoteBoard
from tools.device_code import firmware

STATE = "/boot.state"
SEAL = "manifest.sig"
MANIFEST = "manifest.json"


class RemoteSlots:
    """As redpoll.update.slots.Slots. Made by slots_of()."""

    def __init__(self, board: RemoteBoard, slots: Any, root: Path) -> None:
        self._board = board
        self._slots = slots
        self._root = root

    def running(self) -> str:
        """The slot that boots and ran: "a", "b" or "" for the root."""
        return str(self._slots.running())

    def on_trial(self) -> bool:
        """Whether what runs is on trial: then both slots are needed."""
        return bool(self._slots.on_trial())

    def idle(self) -> str:
        """The slot that may be written. Raises DeployError while one is on trial."""
        try:
            return str(self._slots.idle())
        except RuntimeError:
            raise DeployError(
                "the board is trying an update out. Wait until its agent has confirmed it (it has to reach its cloud) or it has gone back; "
                "or give the trial up with --force"
            ) from None

    def unseal(self, slot: str) -> None:
        """It does not boot any more."""
        self._slots.unseal(slot)
        self._board.remove([f"/slot_{slot}/{SEAL}"])

    def seal(self, slot: str) -> None:
        """All files are there: it may boot."""
        self._slots.seal(slot, b"")
        self._board.replace(f"/slot_{slot}/{SEAL}", (self._root / f"slot_{slot}" / SEAL).read_bytes())

    def switch(self, slot: str, trial: bool) -> None:
        """It boots next: on trial, or confirmed."""
        self._slots.switch(slot, *(() if trial else (0,)))
        self._keep()

    def give_up_trial(self) -> None:
        """What is on trial does not boot any more; what was confirmed before does."""
        slot = self.running()
        sys.path.remove(self._slots.folder(slot))  # as after the roll back
        self._slots.clear()
        self._keep()
        self.unseal(slot)

    def _keep(self) -> None:
        self._board.replace(STATE, (self._root / STATE[1:]).read_bytes())


@contextlib.contextmanager
def slots_of(board: RemoteBoard) -> Iterator[RemoteSlots]:
    """The slots of a board whose REPL is ours. Raises LinkError."""
    state = board.read(STATE)
    sealed = [slot for slot in "ab" if board.exists(f"/slot_{slot}/{SEAL}")]
    running = board.running()
    with tempfile.TemporaryDirectory() as name, firmware() as load:
        root = Path(name)
        if state is not None:
            (root / STATE[1:]).write_bytes(state)
        for slot in sealed:
            (root / f"slot_{slot}").mkdir()
            (root / f"slot_{slot}" / SEAL).touch()
        slots = load("update.slots").Slots(name)
        if running:
            sys.path.append(slots.folder(running))
        yield RemoteSlots(board, slots, root)
