"""What goes into a bundle: a product's folder and the firmware under it, as bytecode for one board, by the names on the board."""

import codecs
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tools.board.firmware import AGENT, board_folders, firmware_files, is_foreign_port, product_files
from tools.board.profile import Profile
from tools.bundle.archive import IMAGE, BundleError, check_amount, check_names
from tools.esp_image import EspImageError, check_app
from tools.mpy import CompileError, compile_module
from tools.paths import FIRMWARE, LIB

_BOOT = "boot.py"  # never replaced over the air
_MAIN = "main.py"  # a board starts it as source
_OWN = ("settings.json",)  # a board's own, with its secrets
_PRIVATE = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")


def check_folder(folder: Path) -> None:
    """Raises BundleError when this cannot be a product's."""
    if not folder.is_dir():
        raise BundleError(f"{folder} is no folder")
    if not (folder / _MAIN).is_file():
        raise BundleError(f"{folder} has no {_MAIN}: a bundle holds a whole product")


def collect(folder: Path, profile: Profile, *, sources: bool = False, frozen: bool = False) -> dict[str, bytes]:
    """Name on the board -> content: all of the folder but boot.py and hidden files; redpoll, umqtt.simple, board.py where it has none.

    `.py` files become bytecode, except main.py, and except all with `sources`. `frozen`: without what a firmware with a frozen agent has,
    redpoll and umqtt.simple. Raises BundleError for what has no place in a bundle, tools.mpy.CompileError, and OSError.
    """
    check_folder(folder)
    own = {name: path for name, path in product_files(folder).items() if not is_foreign_port(name, profile)}
    if (folder / "redpoll").resolve() == FIRMWARE / "redpoll":
        own = {name: path for name, path in own.items() if not name.startswith("redpoll/")}
    files = {name: path for name, path in _firmware(profile, folder, sources).items() if not _is_shadowed(name, own)}
    if frozen:
        files = {name: path for name, path in files.items() if not name.startswith(AGENT)}
    files = {name: path for name, path in {**files, **own}.items() if name != _BOOT}
    check_amount({name: path.stat().st_size for name, path in files.items()})
    contents = {name: path.read_bytes() for name, path in files.items()}
    for name, content in contents.items():
        if name.endswith(".py"):
            _check_text(folder, name, content)
    if not sources:
        contents = _compiled(contents)
    contents = dict(sorted(contents.items()))
    try:
        check_names(contents)
    except ValueError as error:
        raise BundleError(f"{folder}: {error}") from None
    for name, content in contents.items():
        if name.rpartition("/")[2].lower() in _OWN:
            raise BundleError(f"{folder}: {name} is a board's own and not part of a bundle: move it out of the folder")
        if _PRIVATE.search(content):
            raise BundleError(f"{folder}: {name} holds a private key, which has no place in a bundle")
    return contents


def image(path: Path, profile: Profile) -> dict[str, bytes]:
    """The one file of a bundle with a firmware image, from an application image such as MicroPython's .app-bin.

    Raises BundleError when it is not one that this board can be updated to, and OSError.
    """
    data = path.read_bytes()
    try:
        check_app(data, profile)
    except EspImageError as error:
        raise BundleError(f"{path}: {error}") from None
    return {IMAGE: data}


def bytecode_version(files: Mapping[str, bytes]) -> int:
    """Major version of the bytecode in these files, 0 when there is none. Raises BundleError when they differ or hold native code."""
    found = 0
    for name, content in files.items():
        if not name.endswith(".mpy"):
            continue
        if len(content) < 4 or content[:1] != b"M":
            raise BundleError(f"{name} is no .mpy file")
        if content[2] >> 2:  # docs.micropython.org, "MicroPython .mpy files": the upper bits name the processor
            raise BundleError(f"{name} holds code for one processor; a bundle takes bytecode only")
        if found not in (0, content[1]):
            raise BundleError(f"{name} is of bytecode version {content[1]}, others are of {found}")
        found = content[1]
    return found


def _check_text(folder: Path, name: str, content: bytes) -> None:
    # mpy-cross would call the first a syntax error, and takes the second as it is
    if content.startswith(codecs.BOM_UTF8):
        raise BundleError(f"{folder}: {name} begins with a byte order mark, which MicroPython does not take: save it as UTF-8 without one")
    try:
        content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BundleError(f"{folder}: {name}, line {line}: it is not UTF-8; save it as that") from None


def _compiled(contents: Mapping[str, bytes]) -> dict[str, bytes]:
    """The same with bytecode for each module but main.py, which is only tried; tracebacks show the name on the board."""
    done = {}
    with tempfile.TemporaryDirectory() as scratch:
        source, output = Path(scratch, "module.py"), Path(scratch, "module.mpy")
        for name, content in contents.items():
            if name.endswith(".py"):
                source.write_bytes(content)
                try:
                    compile_module(source, output, name)
                except CompileError as error:
                    raise CompileError(str(error).replace(str(source), name)) from None
            if name.endswith(".py") and name != _MAIN:
                name, content = name.removesuffix(".py") + ".mpy", output.read_bytes()
            done[name] = content
    return done


def _firmware(profile: Profile, folder: Path, sources: bool) -> dict[str, Path]:
    """What the board gets from this repository."""
    if not sources:
        return {name.lstrip("/"): path for name, path in firmware_files(profile, folder / _MAIN).items()}
    files = {f"lib/{path.relative_to(LIB).as_posix()}": path for path in sorted((LIB / "umqtt").rglob("*.py"))}
    files |= {f"redpoll/{path.relative_to(FIRMWARE / 'redpoll').as_posix()}": path for path in sorted((FIRMWARE / "redpoll").rglob("*.py"))}
    for board in board_folders(profile):
        files |= {path.name: path for path in sorted(board.glob("*.py")) if path.name != "manifest.py"}
    return {name: path for name, path in files.items() if not is_foreign_port(name, profile)}


def _is_shadowed(name: str, own: Mapping[str, Path]) -> bool:
    """Whether the folder brings this itself: its own package stands in for a whole one of ours."""
    if name.startswith("redpoll/"):
        return any(other.startswith("redpoll/") for other in own)
    return name in own or (name.endswith(".mpy") and name.removesuffix(".mpy") + ".py" in own)
