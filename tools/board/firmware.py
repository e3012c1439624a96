"""What goes onto a board: which files, under which names."""

import hashlib
import re
from pathlib import Path

from tools.board.errors import BoardError
from tools.board.profile import Profile
from tools.bytecode import compile_firmware, compile_tree
from tools.paths import BOARDS, BUILD, FIRMWARE, LIB, ROOT

AGENT = ("redpoll/", "lib/umqtt/")  # what a MicroPython made with boards/<name>/manifest.py has already
MANAGED = ("/redpoll", "/lib")  # folders on the board in which nothing else may lie


def firmware_files(profile: Profile, main: Path | None = None, *, frozen_agent: bool = False) -> dict[str, Path]:
    """Path on the board -> file of this machine: bytecode, except main.py, which a board wants as source. boot.py is boot_file().

    `main` stands in for firmware/main.py: a file, or the folder of a product with all that it brings. `frozen_agent`: without AGENT.
    Raises tools.mpy.CompileError, and
    FileNotFoundError without umqtt.simple in build/lib.
    """
    if not (LIB / "umqtt").is_dir():
        raise FileNotFoundError("umqtt.simple is not in build/lib; `make setup` fetches it")
    built = BUILD / "board"
    product = main if main and main.is_dir() else None
    files = {"/main.py": product / "main.py" if product else main or FIRMWARE / "main.py"}
    for name, path in compile_firmware(FIRMWARE / "redpoll", built / "redpoll", "redpoll").items():
        if not is_foreign_port(f"redpoll/{name}", profile):
            files[f"/redpoll/{name}"] = path
    for name, path in compile_firmware(LIB / "umqtt", built / "umqtt", "umqtt").items():
        files[f"/lib/umqtt/{name}"] = path
    for folder in board_folders(profile):
        for name, path in compile_tree(folder, built / folder.name, folder.relative_to(ROOT).as_posix()).items():
            if name != "manifest.mpy":
                files[f"/{name}"] = path
    if product:
        files.update(_product_files(product))
    return {name: path for name, path in files.items() if not frozen_agent or not name.lstrip("/").startswith(AGENT)}


def boot_file() -> bytes:
    """firmware/boot.py as it lies on a board: without its comments, so that it stays within one block of flash."""
    return re.sub(rb"^ *#.*\n", b"", (FIRMWARE / "boot.py").read_bytes(), flags=re.MULTILINE)


def check_main(main: Path) -> None:
    """Raises BoardError when this is neither a program nor the folder of a product."""
    if not main.exists():
        raise BoardError(f"--main {main}: there is no such file or folder")
    if main.is_dir() and not (main / "main.py").is_file():
        raise BoardError(f"--main {main}: this folder has no main.py")


def _product_files(folder: Path) -> dict[str, Path]:
    # its modules as bytecode, all else as it is; hidden files stay here
    place = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]
    compiled = compile_tree(folder, BUILD / "board" / "products" / place, folder.name)
    files = {f"/{name}": path for name, path in compiled.items() if name not in ("main.mpy", "boot.mpy")}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        hidden = any(part.startswith((".", "__pycache__")) for part in relative.parts)
        if path.is_file() and path.suffix != ".py" and not hidden and relative.name != "settings.json":
            files[f"/{relative.as_posix()}"] = path
    return files


def board_folders(profile: Profile) -> list[Path]:
    """Where a board's own modules are: board.py, and for a chip what it shares with the others."""
    return [profile.modules, *([BOARDS / "common"] if profile.is_chip else [])]


def is_foreign_port(name: str, profile: Profile) -> bool:
    """Whether this file of redpoll/port is for other boards."""
    ours = ("__init__", "chip", "interpreter", profile.port, *(("wlan", f"{profile.port}_wlan") if profile.is_chip else ()))
    return name.startswith("redpoll/port/") and Path(name).stem not in ours


def vm_folder() -> Path:
    """The folder with the bytecode of what plays the chip on the VM, tools/board/vm."""
    target = BUILD / "board" / "vm"
    compile_tree(Path(__file__).parent / "vm", target, "tools/board/vm")
    return target
