"""What users of MicroPython take today, from PyPI, compiled as a board has it: the other side of every comparison."""

import os
import subprocess
import sys
from pathlib import Path

from tools.bytecode import compile_firmware, compile_tree
from tools.paths import BUILD, FIRMWARE, LIB, ROOT

PINNED = (
    "chumicro-mqtt==0.30.3",
    "chumicro-sockets==0.21.3",
    "chumicro-timing==0.8.4",
    "chumicro-config==0.7.7",
    "chumicro-msgpack==0.2.7",
    "arduino-iot-cloud==1.4.1",
    "micropython-senml==0.1.1",
)


def bytecode() -> str:
    """MICROPYPATH with our modules, umqtt.simple, tools/vm_side and the peers, all .mpy. Fetches the peers that are missing."""
    sources = BUILD / "peers" / "source"
    stamp = BUILD / "peers" / "pinned"
    if not stamp.exists() or stamp.read_text() != " ".join(PINNED):
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--target", str(sources)]
        subprocess.run([*command, "--upgrade", *PINNED], check=True, stderr=subprocess.DEVNULL)
        stamp.write_text(" ".join(PINNED))
    sides = ROOT / "tools" / "vm_side"
    # what a peer needs and PyPI does not have, and what looks for the smallest heap
    return _compiled({sources: "peers"} | {sides / name: f"vm_side/{name}" for name in ("peers", "smallest")}) + ":" + ours()


def ours(*, frozen: bool = False) -> str:
    """MICROPYPATH with our modules, umqtt.simple and tools/vm_side, all .mpy; `frozen`: the VM has the first two."""
    agent = {} if frozen else {FIRMWARE: "firmware", LIB: "lib"}
    return _compiled({**agent, ROOT / "tools" / "vm_side": "vm_side"}) + ":.frozen"


def linked(path: str, folder: Path) -> str:
    """Have what the folders of `path` hold in `folder` too, where a program is to run. Returns the MICROPYPATH that is left.

    So modules have short paths, as on a board: each path is in the heap, and those of this machine are long.
    """
    names = path.split(":")
    for place in names:
        for found in Path(place).glob("*") if os.path.isabs(place) else ():
            link = folder / found.name
            if not link.is_symlink() and found.suffix != ".hash":
                link.symlink_to(found)
    return ":".join(name for name in names if not os.path.isabs(name))


def _compiled(folders: dict[Path, str]) -> str:
    for source, name in folders.items():
        if source in (FIRMWARE, LIB):
            compile_firmware(source, target(name))
        else:
            # some of a peer's modules are for another Python
            compile_tree(source, target(name), name, keep_going=True)
    return ":".join(str(target(name)) for name in folders.values())


def target(name: str) -> Path:
    """Where the bytecode of one of these folders is."""
    return BUILD / "bench" / name
