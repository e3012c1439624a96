"""Dumps: what a device uploads for people to look at (logs, traces). Each is one file below DIR/dumps, named by its id only."""

import contextlib
import re
import time
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, delete, func, insert, select, update

from tools.hub import times
from tools.hub.domain.model import Device, tell
from tools.hub.domain.validation import is_uuid
from tools.hub.errors import Invalid, NotFound
from tools.hub.store import tables
from tools.hub.store.unit import Unit

SIZE_MAX = 1024 * 1024  # bytes of one dump
DEVICE_MAX = 16 * 1024 * 1024  # bytes of all dumps of one device
DUMPS_MAX = 1000  # of one device: small ones would be without number
_GONE = ".gone"  # what the mark of a dump that is being forgotten ends with
_NEW = ".new"  # and of one that is being stored
_STALE_SECONDS = 60.0  # after which none of the hubs on this folder is still at it
_MIME = re.compile(r"[\w.+-]{1,64}/[\w.+-]{1,64}", re.ASCII)
_FILENAME = re.compile(r"[^\0-\x1f/\\\x7f]{1,255}")


@dataclass(frozen=True)
class Dump:
    """One upload. Its file name is for people: on disk it goes by its id."""

    id: str
    mime: str
    filename: str
    length: int


def check_name(mime: str, filename: str) -> tuple[str, str]:
    """Type and file name, when they are fit to be shown. Raises Invalid."""
    if not _MIME.fullmatch(mime) or not _FILENAME.fullmatch(filename):
        raise Invalid("Send dumps to /dumps/{type%2Fsubtype}/{filename}")
    return mime, filename


def keep(unit: Unit, device: Device, dump: Dump, data: Path, body: bytes) -> None:
    """Store a new dump. Raises Invalid when the device has used up its room. Whatever fails then, settle() is to be called."""
    if _check_room(unit.db, device, len(body)) >= DUMPS_MAX:
        raise Invalid(f"The dumps of one device are at most {DUMPS_MAX}")
    path = path_of(data, dump.id)
    path.parent.mkdir(exist_ok=True)
    unit.gone.append(_mark(path, _NEW))
    path.write_bytes(body)
    unit.db.execute(
        insert(tables.dumps).values(
            id=dump.id, device_id=device.id, mime=dump.mime, filename=dump.filename, length=dump.length, created_at=unit.now
        )
    )
    tell(unit, "blobUpload", device, bytes=str(len(body)), id=dump.id, filename=dump.filename)


def append(unit: Unit, device: Device, dump_id: str, data: Path, body: bytes) -> int:
    """Add to a dump of this device; returns its length then. Raises NotFound and Invalid."""
    rows = tables.dumps.c
    query = select(rows.length).where(rows.id == dump_id, rows.device_id == device.id)
    length = unit.db.execute(query).scalar_one_or_none() if is_uuid(dump_id) else None
    if length is None:
        raise NotFound("Dump not found")
    if length + len(body) > SIZE_MAX:
        raise Invalid(f"A dump is at most {SIZE_MAX} bytes")
    _check_room(unit.db, device, len(body))
    with (data / "dumps" / dump_id).open("r+b") as file:
        file.seek(length)  # what an append that was not committed may have left is written over
        file.write(body)
    unit.db.execute(update(tables.dumps).where(rows.id == dump_id).values(length=length + len(body)))
    tell(unit, "blobUpload", device, bytes=str(len(body)), id=dump_id)
    return int(length) + len(body)


def get(db: Connection, device_id: str, dump_id: str) -> Dump:
    """One dump of this device. Raises NotFound."""
    rows = tables.dumps.c
    query = select(tables.dumps).where(rows.id == dump_id, rows.device_id == device_id)
    row = db.execute(query).one_or_none() if is_uuid(device_id, dump_id) else None
    if row is None:
        raise NotFound("Dump not found")
    return Dump(row.id, row.mime, row.filename, row.length)


def path_of(data: Path, dump_id: str) -> Path:
    """Where the bytes are. The id is one that the hub made, out of its table."""
    return data / "dumps" / dump_id


def remove(unit: Unit, device_id: str, dump_id: str, data: Path) -> None:
    """Forget a dump. Raises NotFound."""
    unit.db.execute(delete(tables.dumps).where(tables.dumps.c.id == get(unit.db, device_id, dump_id).id))
    _delete(unit, path_of(data, dump_id))


def list_dumps(db: Connection, device_id: str) -> list[dict[str, object]]:
    """The dumps of a device, oldest first, as the operator sees them."""
    rows = db.execute(select(tables.dumps).where(tables.dumps.c.device_id == device_id).order_by(tables.dumps.c.created_at))
    return [
        {"id": row.id, "mime": row.mime, "filename": row.filename, "length": row.length, "created_at": times.iso(row.created_at)}
        for row in rows
    ]


def forget(unit: Unit, device: Device, data: Path) -> None:
    """Forget all dumps of a device."""
    rows = tables.dumps.c
    for dump_id in unit.db.execute(select(rows.id).where(rows.device_id == device.id)).scalars():
        _delete(unit, path_of(data, dump_id))
    unit.db.execute(delete(tables.dumps).where(rows.device_id == device.id))


def sweep(db: Connection, data: Path, starting: bool = False) -> None:
    """Delete the dumps that a hub had forgotten and not deleted, or not stored to the end, when it was killed or lost its database.

    Of what was forgotten a hub that is `starting` waits for nothing: its people have deleted it, and should not find it on the disk.
    """
    for suffix in (_GONE, _NEW):
        for mark in (data / "dumps").glob(f"*{suffix}"):
            with contextlib.suppress(OSError):
                if (starting and suffix == _GONE) or time.time() - mark.stat().st_mtime > _STALE_SECONDS:
                    _settle(db, mark)


def is_unsettled(data: Path, dump_id: str) -> bool:
    """Whether something of this dump may have been written that settle() has not looked at."""
    path = path_of(data, dump_id)
    return path.exists() or path.with_suffix(_NEW).exists()  # on a full disk only one of them may be there


def settle(db: Connection, data: Path, dump_id: str) -> None:
    """Delete what was written of a dump that could not be stored; a commit whose answer was lost has stored it."""
    _settle(db, path_of(data, dump_id).with_suffix(_NEW))


def _settle(db: Connection, mark: Path) -> None:
    with contextlib.suppress(OSError):
        if db.execute(select(tables.dumps.c.id).where(tables.dumps.c.id == mark.stem)).first() is None:
            mark.with_suffix("").unlink(missing_ok=True)
        mark.unlink()


def _mark(path: Path, suffix: str) -> Path:
    """Says of a dump that its row may not be there, until it is committed whether it is.

    That a file has no row is no proof: the database may be another than the one that had it.
    """
    mark = path.with_suffix(suffix)
    with contextlib.suppress(OSError):  # where the disk is full, a killed hub may leave the file
        mark.touch()
    return mark


def _delete(unit: Unit, path: Path) -> None:
    unit.gone += [path, _mark(path, _GONE)]


def _check_room(db: Connection, device: Device, more: int) -> int:
    """How many dumps the device has. Raises Invalid when there is no room for so many more bytes."""
    rows = tables.dumps.c
    count, used = db.execute(select(func.count(), func.coalesce(func.sum(rows.length), 0)).where(rows.device_id == device.id)).one()
    if used + more > DEVICE_MAX:
        raise Invalid(f"The dumps of one device are at most {DEVICE_MAX} bytes")
    return int(count)
