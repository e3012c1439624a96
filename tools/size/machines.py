"""The MicroPythons on which heap is measured."""

from dataclasses import dataclass

from tools.frozen.build import find_frozen_vm
from tools.vm import find_vm
from tools.vm32 import find_vm32


@dataclass(frozen=True)
class Machine:
    """One of them. `key` is its table in boards/budgets.toml, `command` what begins the command that runs it.

    `frozen`: the agent is in it, and takes no heap for its bytecode.
    """

    key: str
    title: str
    command: tuple[str, ...]
    frozen: bool = False


def machines() -> list[Machine]:
    """Those that this computer has, most like a board first. Raises tools.vm.NoMicroPython."""
    found = []
    if vm32 := find_vm32():
        found.append(Machine("heap32", "32-bit VM", tuple(vm32)))
    if vm := find_frozen_vm():
        found.append(Machine("frozen32", "32-bit VM, agent frozen in", (str(vm),), frozen=True))
    return [*found, Machine("heap64", "64-bit VM", (str(find_vm()),))]


def missing() -> list[str]:
    """What to do for those that it has not."""
    advice = []
    if not find_vm32():
        advice.append("`make vm32` fetches a MicroPython with objects as on a board")
    if not find_frozen_vm():
        advice.append("`make frozen` builds one with the agent frozen in, as boards' firmware has it")
    return advice
