"""What boards/<name>/board.toml says about a board."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tools.paths import BOARDS

# other names by which a board can be asked for: its chip
_BY_CHIP = {"rp2040": "rpi_pico_w", "rp2350": "rpi_pico2_w"}
_TYPES = {"app": 0, "data": 1}


def heap_bytes(text: str) -> int:
    """Of a heap such as 192K, 2M or a number of bytes."""
    units = {"K": 1 << 10, "M": 1 << 20}
    return int(text[:-1]) * units[text[-1].upper()] if text[-1:].upper() in units else int(text)


class ProfileError(ValueError):
    """There is no such board, or its board.toml lacks something; the text says which."""


@dataclass(frozen=True)
class Partition:
    """One part of an ESP32's flash. Type and subtype are ESP-IDF's numbers, offset and size bytes."""

    name: str
    type: int
    subtype: int
    offset: int
    size: int


@dataclass(frozen=True)
class Profile:
    """One board. Sizes in bytes; `flash_*` is the part of the flash that is the file system's.

    `watchdog_max_ms` is 0 where a watchdog may wait as long as one likes. `firmware` is the table of that name: how MicroPython gets
    onto the board (`file`, `page`, `how`, and what that way needs); `buy` the board and what is wired to it. `modules` is the folder with
    its board.py: its own, or that of the board which `wired_as` names.
    """

    name: str
    description: str
    machine: str
    chip: str
    port: str
    heap: str
    flash_size: int
    flash_block: int
    flash_program: int
    folder: Path
    modules: Path
    flash_offset: int = 0
    chip_size: int = 0
    watchdog_max_ms: int = 0
    network: bool = False
    epoch: int = 1970
    led: int | str | None = None
    button: int | str | None = None
    sensor: int | None = None
    pin_count: int = 0
    partitions: tuple[Partition, ...] = ()
    firmware: Mapping[str, Any] = field(default_factory=dict)
    buy: tuple[str, ...] = ()

    @property
    def flash_blocks(self) -> int:
        """Blocks of the file system."""
        return self.flash_size // self.flash_block

    @property
    def is_chip(self) -> bool:
        """Whether this is a chip to be flashed, and not this machine."""
        return self.port != "unix"

    @classmethod
    def load(cls, name: str) -> Self:
        """The board of this name, or with this chip. Raises ProfileError."""
        path = BOARDS / _BY_CHIP.get(name, name) / "board.toml"
        try:
            data: dict[str, Any] = tomllib.loads(path.read_text())
        except FileNotFoundError:
            raise ProfileError(f"there is no board {name!r}; there are: {', '.join(cls.names())}") from None
        except tomllib.TOMLDecodeError as error:
            raise ProfileError(f"boards/{name}/board.toml: {error}") from error
        try:
            flash, pins, firmware = data["flash"], data.get("pins", {}), data["firmware"]
            return cls(
                name=str(data["name"]),
                description=str(data["description"]),
                machine=str(data["machine"]),
                chip=str(data["chip"]),
                port=str(data["port"]),
                heap=str(data["heap"]),
                flash_size=int(flash["size"]),
                flash_block=int(flash["block"]),
                flash_program=int(flash["program"]),
                flash_offset=int(flash.get("offset", 0)),
                chip_size=int(flash.get("chip_size", 0)),
                folder=path.parent,
                modules=BOARDS / str(data.get("wired_as", path.parent.name)),
                watchdog_max_ms=int(data.get("watchdog_max_ms", 0)),
                network=bool(data.get("network", False)),
                epoch=int(data.get("epoch", 1970)),
                led=pins.get("led"),
                button=pins.get("button"),
                sensor=pins.get("sensor"),
                pin_count=int(pins.get("count", 0)),
                partitions=tuple(
                    Partition(str(one["name"]), _TYPES[one["type"]], int(one["subtype"]), int(one["offset"]), int(one["size"]))
                    for one in data.get("partition", ())
                ),
                firmware=dict(firmware),
                buy=tuple(map(str, data.get("buy", ()))),
            )
        except KeyError as error:
            raise ProfileError(f"boards/{path.parent.name}/board.toml: {error} is missing") from error

    @staticmethod
    def names() -> list[str]:
        """Every board there is a folder for."""
        return sorted(found.parent.name for found in BOARDS.glob("*/board.toml"))
