"""What goes onto a board: which files, under which names."""

import errno
import hashlib
import os
import re
from pathlib import Path

from tools.board.errors import BoardError
from tools.board.profile import Profile
from tools.bytecode import compile_firmware, compile_tree
from tools.paths import BOARDS, BUILD, FIRMWARE, LIB, ROOT, is_hidden

AGENT = ("redpoll/", "lib/umqtt/")  # what a MicroPython made with boards/<name>/manifest.py has already
# settings that name a file on the board, and where provisioning puts it
SETTING_FILES = {"ca": "/ca.pem", "license_key": "/license.pub", "update_key": "/update.pub"}
_FILE_NAME = re.compile(r"/?([\w-][\w.-]{0,63})")  # of such a file, as settings name it
MANAGED = ("/redpoll", "/lib")  # folders on the board in which nothing else may lie


def file_beside(settings: Path, name: object) -> Path | None:
    """The file that these settings name as they do on a board, from their own folder, if it is there; a key may stand there itself."""
    match = _FILE_NAME.fullmatch(name) if isinstance(name, str) else None
    if match is None or not (settings.parent / match[1]).is_file():
        return None
    return settings.parent / match[1]


def firmware_files(profile: Profile, main: Path | None = None, *, frozen_agent: bool = False) -> dict[str, Path]:
    """Path on the board -> file of this machine: bytecode, except main.py, which a board wants as source. boot.py is boot_file().

    `main` stands in for firmware/main.py: a file, or the folder of a product with all that it brings. `frozen_agent`: without AGENT.
    Raises tools.mpy.CompileError, and FileNotFoundError without umqtt.simple in build/lib.
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
        files.update(_product_on_board(product))
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


def product_files(folder: Path) -> dict[str, Path]:
    """Name -> file of all in a product's folder but what is hidden; OSError for what cannot be read, or a link to no file."""
    found = {}
    for place, folders, names in os.walk(folder, onerror=_raise):
        for path in (Path(place, name) for name in (*folders, *names) if not is_hidden(Path(name))):
            if path.is_file():
                found[path.relative_to(folder).as_posix()] = path
            elif path.is_symlink():
                raise OSError(errno.ELOOP, "only links to files are followed; put there itself what this one leads to", str(path))
        folders[:] = [name for name in folders if not is_hidden(Path(name))]
    return dict(sorted(found.items()))


def _raise(error: OSError) -> None:
    raise error


def _product_on_board(folder: Path) -> dict[str, Path]:
    # its modules as bytecode, all else as it is
    brought = product_files(folder)
    place = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]
    compiled = compile_tree(folder, BUILD / "board" / "products" / place, folder.name)
    files = {f"/{name}": path for name, path in compiled.items() if name not in ("main.mpy", "boot.mpy")}
    for name, path in brought.items():
        if path.suffix != ".py" and path.name != "settings.json":
            files[f"/{name}"] = path
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
