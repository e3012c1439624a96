"""A signed bundle out of a product's folder, or of an ESP32's firmware image."""

from pathlib import Path

from tools import keys
from tools.board.profile import Profile
from tools.bundle import archive, contents

MICROPYTHON = "1.24.0"  # the lowest that our bytecode is for


def build(
    folder: Path,
    key: Path,
    version: str,
    *,
    name: str = "redpoll",
    board: str = "unix",
    boards: list[str] | None = None,
    micropython: str = MICROPYTHON,
    window: int = archive.WINDOW,
    sources: bool = False,
    frozen: bool = False,
    image: Path | None = None,
) -> bytes:
    """A signed bundle of the folder for a board of boards/; `boards` may take it (None: that one, []: any).

    With `image` it is one of that ESP32 firmware image instead.

    Raises BundleError, ValueError for the key, ProfileError, CompileError and OSError.
    """
    signer = keys.load_private(key)
    profile = Profile.load(board)
    files = contents.image(image, profile) if image else contents.collect(folder, profile, sources=sources, frozen=frozen)
    mpy = contents.bytecode_version(files)
    allowed = {own for one in ([board] if boards is None else boards) for own in _names(one)}
    return archive.pack(files, signer, name=name, version=version, boards=sorted(allowed), micropython=micropython, mpy=mpy, window=window)


def _names(board: str) -> set[str]:
    """What a bundle for it says: its name, and that of the chip, by which a board knows itself."""
    return {board, Profile.load(board).chip} if board in Profile.names() else {board}
