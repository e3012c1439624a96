"""What a piece of work sees of the database, and what it leaves to be told once it is committed."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection


@dataclass
class Happening:
    """One activity to be told after the commit; `device_id` and `collection_id` are absent for what concerns no device."""

    event: str
    device_id: str | None
    collection_id: str
    data: dict[str, str]
    gateway_id: str | None = None


@dataclass
class Push:
    """Something that a connected device should be sent now: `kind` is config, commands, license, space_info, firmware or ota."""

    device_id: str
    collection_id: str
    kind: str
    body: dict[str, Any]
    mirrored: list[Happening] = field(default_factory=list)  # what sending it is for gateways (domain/gateways.py)


@dataclass
class Login:
    """A device's key is new, or with None worth nothing from now on: for a broker that lets devices in by it."""

    device_id: str
    access_key: str | None = field(repr=False)


@dataclass
class Unit:
    """What one piece of work sees and leaves behind."""

    db: Connection
    now: float  # seconds since 1970
    activities: list[Happening] = field(default_factory=list)
    pushes: list[Push] = field(default_factory=list)
    logins: list[Login] = field(default_factory=list)
    gone: list[Path] = field(default_factory=list)  # files to delete then: a commit that fails leaves their rows
    marks: dict[str, str] = field(default_factory=dict)  # what the activity about the message in work says beside the usual
