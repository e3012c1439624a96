"""The MicroPython that plays a board's chip."""

from dataclasses import dataclass
from pathlib import Path

from tools.board.profile import Profile, heap_bytes
from tools.frozen.build import frozen_vm
from tools.vm import find_vm


@dataclass(frozen=True)
class Interpreter:
    """One of them. An object takes `width` times as many bytes in it as on a chip.

    The stand-ins for the chip's modules take `stand_ins` bytes of its heap: on a chip they are C and in the flash. `for_repl` are the
    arguments with which it becomes a REPL when the program has ended.
    """

    program: Path
    width: float
    stand_ins: int
    for_repl: tuple[str, ...]

    @classmethod
    def plain(cls) -> "Interpreter":
        """This machine's. Raises tools.vm.NoMicroPython."""
        return cls(find_vm(), 1.5, 52 * 1024, ("-i",))  # objects of 64 bits: what takes 48 KB on a chip takes about 72

    @classmethod
    def with_agent(cls) -> "Interpreter":
        """One with the agent frozen in, which is built if need be. Raises tools.frozen.build.NoFrozenVM."""
        return cls(frozen_vm(), 1.0, 37 * 1024, ())  # its vm_repl is one

    def heap(self, profile: Profile, text: str) -> int:
        """Bytes of heap with which it has what a board with that much has; the unix board takes it as it is."""
        wanted = heap_bytes(text)
        return int(wanted * self.width) + self.stand_ins if profile.is_chip else wanted
