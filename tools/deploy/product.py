"""What a board is to run: a product's folder and the firmware under it, as it lies in a slot."""

import ast
import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.board.firmware import boot_file
from tools.board.profile import Profile, heap_bytes
from tools.budgets import budgets
from tools.bundle import archive, contents
from tools.bundle.build import MICROPYTHON
from tools.deploy.errors import DeployError, Status
from tools.deploy.remote import About
from tools.device_code import firmware
from tools.mpy import compile_module

_PRODUCT_KB = 16  # of heap that a product has to have beside the agent


@dataclass(frozen=True)
class Product:
    """The files of a slot by their names in it, and the manifest that says so. `boot` is the boot.py for the root."""

    files: Mapping[str, bytes]
    manifest: bytes
    boot: bytes
    version: str

    def hashes(self) -> dict[str, str]:
        """Name -> SHA-256 (hex)."""
        return {name: hashlib.sha256(data).hexdigest() for name, data in self.files.items()}


def make(folder: Path, profile: Profile, version: str | None = None, *, sources: bool = False, frozen: bool = False) -> Product:
    """The product of this folder for a board. `frozen`: without what a firmware with a frozen agent has.

    Raises tools.bundle.archive.BundleError for what has no place on a board, tools.mpy.CompileError and OSError.
    """
    files = contents.collect(folder, profile, sources=sources, frozen=frozen)
    version = version or declared_version(folder) or own_version()
    manifest = archive.manifest_of(
        files, name="redpoll", version=version, boards=[profile.name], micropython=MICROPYTHON, mpy=contents.bytecode_version(files)
    )
    return Product(files, manifest.encoded(), boot_file(), version)


def declared_version(folder: Path) -> str | None:
    """What the product's main.py says of itself with `Agent(version="1.2.0")`; None where it does not, or not as plain text."""
    try:
        tree = ast.parse((folder / "main.py").read_text())
    except (OSError, ValueError, SyntaxError):
        return None
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and ast.unparse(call.func).rpartition(".")[2] == "Agent":
            for argument in call.keywords:
                if argument.arg == "version" and isinstance(argument.value, ast.Constant) and isinstance(argument.value.value, str):
                    return argument.value.value
    return None


def own_version() -> str:
    """The version of firmware/, which a product has unless it is given one."""
    with firmware() as load:
        return str(load("version").VERSION)


def check(about: About, profile: Profile, *, sources: bool = False) -> None:
    """Raises DeployError when that board cannot run what is made for this profile."""
    check_chip(about.chip, about.machine or about.platform, profile)
    wanted = tuple(int(part) for part in MICROPYTHON.split("."))
    if about.version < wanted:
        found = ".".join(map(str, about.version))
        raise DeployError(
            f"the board runs MicroPython {found}, this firmware needs {MICROPYTHON} or newer: `redpoll flash` a newer one "
            f"({profile.firmware.get('page', 'micropython.org/download')})",
            Status.NO_MICROPYTHON,
        )
    ours = compiled_version()
    if not sources and about.mpy != ours:
        raise DeployError(
            f"the board runs bytecode of version {about.mpy or 'none'}, mpy-cross here makes {ours}: `redpoll flash` a newer MicroPython, "
            "or deploy with --sources, which takes more of the board's memory",
            Status.NO_MICROPYTHON,
        )


def check_chip(chip: str, said: str, profile: Profile) -> None:
    """Raises DeployError for a board that has another chip than this profile; `said` is what it says of itself."""
    if chip != profile.chip:
        raise DeployError(
            f"the board on this port is another one: it says {said!r}, and {profile.name} has the chip {profile.chip}. `redpoll boards` "
            "lists the names for --board"
        )


def lacks_memory(profile: Profile) -> str | None:
    """Why the agent, deployed as files and speaking MQTT, will not find the memory that it needs on such a board; None when it will."""
    needed = budgets()["heap32"]["control"] + _PRODUCT_KB
    have = heap_bytes(profile.heap) >> 10
    if not profile.is_chip or have >= needed:
        return None
    return (
        f"{profile.name} has {have} KB of memory for Python, the agent as files and a product want {needed} for MQTT and will run out of "
        "it. Freeze the agent into the firmware and deploy with --frozen-agent (boards/README.md tells how), or let it poll: "
        "`redpoll provision --set transport=http`"
    )


def profile_of(about: About, name: str | None) -> Profile:
    """The profile of this name, or of the board's chip. Raises DeployError, tools.board.profile.ProfileError."""
    if name is not None:
        return Profile.load(name)
    for found in map(Profile.load, Profile.names()):
        if found.chip == about.chip:
            return found
    raise DeployError(f"there is no board with the chip of {about.machine!r} in boards/: name one that is like it with --board")


def compiled_version() -> int:
    """The version of the bytecode that mpy-cross makes."""
    with tempfile.TemporaryDirectory() as folder:
        source, output = Path(folder, "empty.py"), Path(folder, "empty.mpy")
        source.write_text("")
        compile_module(source, output, "empty.py")
        return output.read_bytes()[1]
