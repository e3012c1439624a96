"""Files that devices may fetch: firmware, manuals and the like (reference xyte §2, `GET /files`).

A file is for one model, or for every one. Its bytes are one file below DIR/files, named by its id only; hubs that share a database must
share that folder too. What lies there without a row for an hour (an upload that broke off, a file deleted since) goes with the next upload.
"""

import contextlib
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, func, insert, or_, select

from tools.bundle import archive
from tools.hub.domain.model import Device
from tools.hub.domain.records import columns_of, of_row
from tools.hub.domain.validation import is_uuid, text
from tools.hub.errors import Invalid, NotFound
from tools.hub.store import tables
from tools.hub.store.unit import Unit

SIZE_MAX = 32 * 1024 * 1024  # bytes of one file: twice the largest flash of a board
FILES_MAX = 1000
TOTAL_MAX = 1024 * 1024 * 1024  # bytes of all files
FIRMWARE, BUNDLE = "firmware", "bundle"
_FETCHED = (FIRMWARE, BUNDLE)  # types whose fetching is a firmwareRequested
_LONG = 4096  # characters of a description, notes, a signature
_NAME = re.compile(r"[^\0-\x1f\x7f]{1,255}")
# semver.org, and as lenient as firmware.py is when it compares: a v before it, two numbers
_SEMVER = re.compile(r"v?\d{1,9}\.\d{1,9}(\.\d{1,9})?(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?", re.ASCII)
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_KEYS = ("name", "desc", "file_type", "version", "checksum", "signature", "public_notes", "hardware_key")
_STALE_SECONDS = 3600.0


@dataclass(frozen=True)
class File:
    """A row of `files`."""

    id: str
    name: str
    desc: str | None
    file_type: str
    version: str | None
    checksum: str
    sha256: str
    signature: str | None
    public_notes: str | None
    hardware_key: str | None
    length: int
    created_at: float

    @property
    def is_firmware(self) -> bool:
        """Whether a device that fetches it fetches firmware: an image or a bundle."""
        return self.file_type in _FETCHED

    def facts(self) -> dict[str, Any]:
        """What a command with this file tells the device about it, the link aside."""
        found = {"version": self.version, "checksum": self.checksum, "signature": self.signature}
        return {name: value for name, value in found.items() if value is not None}


def announced(file_id: str, about: Mapping[str, str]) -> File:
    """What the operator says of a file before its bytes come; these fill in length and sums. Raises Invalid."""
    unknown = [key for key in about if key not in _KEYS]
    if unknown:
        raise Invalid(f"Unknown {unknown[0][:64]!r}: a file has {', '.join(_KEYS)}")
    if any("\0" in value for value in about.values()):
        raise Invalid("A file's description must not hold NUL characters")
    name = text(about.get("name"), "name", required=True) or ""
    if not _NAME.fullmatch(name):
        raise Invalid("Invalid name: it must not have control characters")
    file_type = text(about.get("file_type"), "file_type") or FIRMWARE
    version = text(about.get("version"), "version")
    if file_type == FIRMWARE and (version is None or not _SEMVER.fullmatch(version)):
        raise Invalid("Invalid version: a file of the type firmware needs one as semver.org writes it, such as 1.3.4")
    return File(
        id=file_id,
        name=name,
        desc=text(about.get("desc"), "desc", limit=_LONG),
        file_type=file_type,
        version=version,
        checksum=text(about.get("checksum"), "checksum") or "",
        sha256="",
        signature=text(about.get("signature"), "signature", limit=_LONG),
        public_notes=text(about.get("public_notes"), "public_notes", limit=_LONG),
        hardware_key=text(about.get("hardware_key"), "hardware_key"),
        length=0,
        created_at=0.0,
    )


def examined(file: File, path: Path) -> File:
    """The file with what its bytes say of themselves: a bundle has its version in its manifest. Raises Invalid for one that is none."""
    if file.file_type != BUNDLE:
        return file
    try:
        manifest = archive.read(path.read_bytes()).manifest
    except archive.BundleError as error:
        raise Invalid(f"It is no bundle: {error}") from None
    if file.version not in (None, manifest.version):
        raise Invalid(f"Invalid version: the bundle's is {manifest.version}")
    return replace(file, version=manifest.version)


def path_of(data: Path, file_id: str) -> Path:
    """Where the bytes are. The id is one that the hub made, out of its table."""
    return data / "files" / file_id


def new_path(data: Path, file_id: str) -> Path:
    """Where an upload goes until it is whole; makes the folder."""
    (data / "files").mkdir(exist_ok=True)
    return data / "files" / f"{file_id}.new"


def keep(unit: Unit, file: File, length: int, sha256: str, data: Path) -> File:
    """Take an upload that is whole. Raises Invalid when there is no room, or when the operator's checksum is another SHA-256."""
    if length == 0:
        raise Invalid("The file is empty: send its bytes as the body")
    if _SHA256.fullmatch(file.checksum) and file.checksum.lower() != sha256:
        raise Invalid("Invalid checksum: the SHA-256 of what came is another; it was damaged on its way, or is another file")
    count, total = unit.db.execute(select(func.count(), func.coalesce(func.sum(_F.length), 0))).one()
    if count >= FILES_MAX or total + length > TOTAL_MAX:
        raise Invalid(f"There is no room: at most {FILES_MAX} files and {TOTAL_MAX} bytes; delete some")
    kept = replace(file, length=length, sha256=sha256, checksum=file.checksum or sha256, created_at=unit.now)
    unit.db.execute(insert(tables.files).values(columns_of(kept)))
    _sweep(unit.db, data)
    with contextlib.suppress(FileNotFoundError):  # done already, when the store tries once more what it could not commit
        new_path(data, kept.id).replace(path_of(data, kept.id))
    return kept


def find(db: Connection, file_id: str) -> File | None:
    """The file of this id; None when there is none."""
    row = db.execute(select(tables.files).where(_F.id == file_id)).one_or_none() if is_uuid(file_id) else None
    return None if row is None else of_row(File, row)


def get(db: Connection, file_id: str) -> File:
    """Raises NotFound."""
    file = find(db, file_id)
    if file is None:
        raise NotFound("File not found")
    return file


def get_for(db: Connection, device: Device, file_id: str) -> File:
    """A file that is for this device's model. Raises NotFound, also for another model's."""
    file = find(db, file_id)
    if file is None or file.hardware_key not in (None, device.hardware_key):
        raise NotFound(f"File not found: {file_id[:36]}")
    return file


def list_for(db: Connection, device: Device) -> list[File]:
    """The files for this device's model, oldest first."""
    ours = or_(_F.hardware_key.is_(None), _F.hardware_key == device.hardware_key)
    return [of_row(File, row) for row in db.execute(select(tables.files).where(ours).order_by(_F.seq))]


def list_files(db: Connection, limit: int, offset: int) -> list[File]:
    """All files, oldest first."""
    return [of_row(File, row) for row in db.execute(select(tables.files).order_by(_F.seq).limit(limit).offset(offset))]


def remove(unit: Unit, file_id: str) -> None:
    """Forget a file; the caller takes its bytes away once that is committed. Raises NotFound, and Invalid while something needs it."""
    get(unit.db, file_id)
    model = unit.db.execute(select(tables.models.c.hardware_key).where(tables.models.c.latest_fw_file_id == file_id).limit(1)).scalar()
    if model is not None:
        raise Invalid(f"The file is the latest firmware of the model {model}: give that model another first")
    rows = tables.commands.c
    waits = select(rows.id).where(rows.file_id == file_id, rows.status.in_(("pending", "in_progress"))).limit(1)
    if unit.db.execute(waits).first() is not None:
        raise Invalid("A device has an unfinished command with this file: let it finish, or cancel it first")
    asked = tables.updates.c
    over = asked.status.in_(("Success", "Failure"))
    waits = select(asked.seq).where(asked.file_id == file_id, asked.status.is_(None) | ~over).limit(1)
    if unit.db.execute(waits).first() is not None:
        raise Invalid("A device has an update with this file that has not ended: let it end, or cancel it first")
    unit.db.execute(delete(tables.files).where(_F.id == file_id))


_F = tables.files.c


def _sweep(db: Connection, data: Path) -> None:
    known = set(db.execute(select(_F.id)).scalars())
    for path in (data / "files").iterdir():
        with contextlib.suppress(OSError):
            if path.name not in known and path.stat().st_mtime < time.time() - _STALE_SECONDS:
                path.unlink()
