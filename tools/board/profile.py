"""What boards/<name>/board.toml says about a board."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tools.paths import BOARDS


class ProfileError(ValueError):
    """There is no such board, or its board.toml lacks something; the text says which."""


@dataclass(frozen=True)
class Profile:
    """One board. Sizes in bytes."""

    name: str
    chip: str
    port: str
    heap: str
    flash_size: int
    flash_block: int
    folder: Path

    @property
    def flash_blocks(self) -> int:
        return self.flash_size // self.flash_block

    @classmethod
    def load(cls, name: str) -> Self:
        """The board of this name. Raises ProfileError."""
        path = BOARDS / name / "board.toml"
        try:
            data: dict[str, Any] = tomllib.loads(path.read_text())
        except FileNotFoundError:
            known = ", ".join(sorted(found.parent.name for found in BOARDS.glob("*/board.toml")))
            raise ProfileError(f"there is no board {name!r}; there are: {known}") from None
        except tomllib.TOMLDecodeError as error:
            raise ProfileError(f"boards/{name}/board.toml: {error}") from error
        try:
            flash = data["flash"]
            return cls(
                name=str(data["name"]),
                chip=str(data["chip"]),
                port=str(data["port"]),
                heap=str(data["heap"]),
                flash_size=int(flash["size"]),
                flash_block=int(flash["block"]),
                folder=path.parent,
            )
        except KeyError as error:
            raise ProfileError(f"boards/{name}/board.toml: {error} is missing") from error
