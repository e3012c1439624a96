"""Operations and their notifications: each command is an operation, each progress report on it one notification (DESIGN §4).

An operation has two numbers: its own, which nobody else chooses, and the one that the device knows it by (Kura's `job.id`, an int64).
What the device knows by a UUID (a command, an update request) has the number that `number_of` makes of it, so a board that tells of a
command over several wires tells of one operation. A device that begins something by itself opens the operation with its first report.

A command's operation begins when it is queued and ends when the command does; that it is queued only shows in that nothing is notified yet.
Any other operation is as its newest report says, by the time it was sent: a late one is kept and changes nothing.

Progress goes from 0 to 100 within one resource (`download`, `install`); a command's reports have its name as resource, but for those of an
update that say which step it has come to. FAILED stays at what was reached before.
"""

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sqlalchemy import Connection, Select, case, delete, func, insert, select, update

from tools.hub.domain.model import Device
from tools.hub.domain.records import columns_of, of_row
from tools.hub.errors import Invalid
from tools.hub.store import tables
from tools.hub.store.unit import Unit

if TYPE_CHECKING:
    from tools.hub.domain.commands import Command

OPERATIONS_MAX = 200  # of one device; beyond it the oldest goes, one that has ended first. More than commands.QUEUE_MAX
NOTIFICATIONS_MAX = 500  # of one operation; beyond it the oldest goes
MESSAGE_MAX = 1024  # characters kept of a report's message
RESOURCE_MAX = 255  # characters of a resource

RUNNING, COMPLETED, FAILED = "RUNNING", "COMPLETED", "FAILED"
UPDATE = "DOWNLOAD"  # the resource of the operation that is a firmware update; any other command's is its name
UPDATE_COMMAND = "update_firmware"
_OF_COMMAND = {"pending": RUNNING, "in_progress": RUNNING, "done": COMPLETED, "failed": FAILED, "error": FAILED, "cancelled": FAILED}
_INT63, _INT64 = 2**63 - 1, 2**63

T = TypeVar("T")


@dataclass(frozen=True)
class Operation:
    """A row of `operations`."""

    id: int
    device_id: str
    number: int
    command_id: str | None
    resource: str
    properties: dict[str, Any]
    status: str
    started_at: float
    ended_at: float | None
    created_at: float
    updated_at: float


@dataclass(frozen=True)
class Notification:
    """A row of `notifications`."""

    id: int
    operation_id: int
    sent_at: float
    created_at: float
    status: str
    resource: str
    progress: int
    message: str | None


@dataclass(frozen=True)
class Page:
    """Which ones, and in what order: `sort` is a field of the record, else they are in the order of time."""

    offset: int = 0
    limit: int = 50
    resource: str | None = None
    sort: str | None = None
    descending: bool = False
    total: bool = False  # count them all too


@dataclass(frozen=True)
class Found(Generic[T]):
    """One page; `more` says that others follow it."""

    items: list[T]
    more: bool
    total: int | None


@dataclass(frozen=True)
class Place:
    """How far an operation has come: the status and progress of one of its resources."""

    resource: str
    status: str
    progress: int


def number_of(uuid: str) -> int:
    """The number of something that is known by a UUID: the lower 63 bits of its first 16 hexadecimal digits."""
    return int(uuid.replace("-", "")[:16], 16) & _INT63


def follow(unit: Unit, device: Device, command: "Command", *, reported: bool, place: Place | None = None) -> None:
    """A command was queued, or (`reported`) the device said how it goes: where that is, if it said so."""
    operation = _find_by_number(unit.db, device.id, number_of(command.id))
    if operation is None:
        resource = UPDATE if command.name == UPDATE_COMMAND else command.name
        operation = _open(unit, device, number_of(command.id), resource, command)
    if not reported:
        return
    status = _OF_COMMAND[command.status]
    if place is not None:
        _add(unit, operation, unit.now, place.status, place.progress, command.message, place.resource)
        _set_status(unit, operation, status, unit.now)
        return
    progress = 100 if status == COMPLETED else _last_progress(unit.db, operation.id, command.name)
    _add(unit, operation, unit.now, status, progress, command.message, command.name)
    _set_status(unit, operation, status, unit.now)


def begin(unit: Unit, device: Device, number: int, properties: dict[str, Any]) -> None:
    """The device was asked to update itself, by another wire than a command."""
    if _find_by_number(unit.db, device.id, number) is None:
        _open(unit, device, number, UPDATE, None, properties)


def report(
    unit: Unit,
    device: Device,
    operation_id: int,
    status: str,
    progress: int | None,
    message: str | None,
    resource: str,
    *,
    sent_at: float | None = None,
    running: bool = False,
) -> tuple[Notification, bool]:
    """The device says how an operation goes. Returns the notification that it became, and whether it is a new one. Raises Invalid.

    `operation_id` is the number that the device knows it by; `status` RUNNING, COMPLETED or FAILED; `progress` None is what was reached
    before; `sent_at` is the device's own time, None where it gave none; `running`: the operation goes on, only the resource has ended. One
    that says the same and was sent at the same time is the same, come twice.
    """
    _check(operation_id, status, progress, resource)
    operation = _find_by_number(unit.db, device.id, operation_id) or _open(unit, device, operation_id, UPDATE, None)
    if progress is None:
        progress = _last_progress(unit.db, operation.id, resource)
    message = message[:MESSAGE_MAX] if message else None
    if sent_at is not None:
        again = _find_same(unit.db, operation.id, sent_at, status, progress, message, resource)
        if again is not None:
            if running and operation.command_id is None and operation.ended_at == sent_at:
                _set_status(unit, operation, RUNNING, sent_at)
            return again, False
    at = unit.now if sent_at is None else sent_at
    newest = unit.db.execute(select(func.max(_N.sent_at)).where(_N.operation_id == operation.id)).scalar_one()
    added = _add(unit, operation, at, status, progress, message, resource)
    if operation.command_id is None and (newest is None or at >= newest):
        _set_status(unit, operation, RUNNING if running else status, at)
    return added, True


def find(db: Connection, device_id: str, operation_id: int) -> Operation | None:
    """The device's operation of this id (its own, not the device's number)."""
    if not 0 < operation_id < _INT64:
        return None
    row = db.execute(select(tables.operations).where(_O.device_id == device_id, _O.id == operation_id)).one_or_none()
    return None if row is None else of_row(Operation, row)


def find_notification(db: Connection, operation_id: int, notification_id: int) -> Notification | None:
    """The operation's notification of this id."""
    if not 0 < notification_id < _INT64:
        return None
    row = db.execute(select(tables.notifications).where(_N.operation_id == operation_id, _N.id == notification_id)).one_or_none()
    return None if row is None else of_row(Notification, row)


def list_operations(db: Connection, device_id: str, page: Page) -> Found[Operation]:
    """One page of the device's operations, in the order of their start unless the page says otherwise."""
    query = select(tables.operations).where(_O.device_id == device_id)
    return _page(db, query, tables.operations, page, "started_at", Operation)


def list_notifications(db: Connection, operation_id: int, page: Page) -> Found[Notification]:
    """One page of an operation's notifications, in the order that they were sent unless the page says otherwise."""
    query = select(tables.notifications).where(_N.operation_id == operation_id)
    return _page(db, query, tables.notifications, page, "sent_at", Notification)


def last_resource(db: Connection, device_id: str, number: int, among: tuple[str, ...]) -> str | None:
    """Of which of these resources the newest notification of the operation with this number is; None where there is none."""
    operation = _find_by_number(db, device_id, number)
    if operation is None:
        return None
    query = select(_N.resource).where(_N.operation_id == operation.id, _N.resource.in_(among))
    return db.execute(query.order_by(_N.sent_at.desc(), _N.created_at.desc(), _N.id).limit(1)).scalar_one_or_none()


def updates_under_way(db: Connection, collection_id: str, device_id: str | None = None) -> dict[str, Notification]:
    """Of the devices of a collection, or of this one, those that update themselves: id -> the newest notification of the newest update."""
    newest_first = (_O.started_at.desc(), _N.sent_at.desc(), _N.created_at.desc(), _N.id)
    place = func.row_number().over(partition_by=_O.device_id, order_by=newest_first).label("place")
    told = select(tables.notifications, _O.device_id, place).join_from(tables.devices, tables.operations).join(tables.notifications)
    told = told.where(tables.devices.c.collection_id == collection_id, _O.resource == UPDATE, _O.status == RUNNING)
    placed = (told if device_id is None else told.where(_O.device_id == device_id)).subquery()
    return {row.device_id: of_row(Notification, row) for row in db.execute(select(placed).where(placed.c.place == 1))}


def delete_notification(unit: Unit, notification: Notification) -> None:
    """Forget one notification; its operation stays as it is."""
    unit.db.execute(delete(tables.notifications).where(_N.id == notification.id))


def forget(unit: Unit, device: Device) -> None:
    """Delete all operations of a device, with their notifications."""
    of_device = select(_O.id).where(_O.device_id == device.id)
    unit.db.execute(delete(tables.notifications).where(_N.operation_id.in_(of_device)))
    unit.db.execute(delete(tables.operations).where(_O.device_id == device.id))


_O, _N = tables.operations.c, tables.notifications.c


def _check(number: int, status: str, progress: int | None, resource: str) -> None:
    if not -_INT64 <= number < _INT64:
        raise Invalid("The number of an operation must be a 64-bit integer")
    if status not in (RUNNING, COMPLETED, FAILED):
        raise Invalid("Invalid status: it must be RUNNING, COMPLETED or FAILED")
    if progress is not None and not 0 <= progress < 2**31:
        raise Invalid("Invalid progress: it must be a whole number from 0")
    if not resource or len(resource) > RESOURCE_MAX:
        raise Invalid(f"Invalid resource: it must be a text of 1 to {RESOURCE_MAX} characters")


def _find_by_number(db: Connection, device_id: str, number: int) -> Operation | None:
    row = db.execute(select(tables.operations).where(_O.device_id == device_id, _O.number == number)).one_or_none()
    return None if row is None else of_row(Operation, row)


def _find_same(
    db: Connection, operation_id: int, sent_at: float, status: str, progress: int, message: str | None, resource: str
) -> Notification | None:
    query = select(tables.notifications).where(
        _N.operation_id == operation_id, _N.sent_at == sent_at, _N.status == status, _N.progress == progress, _N.message == message,
        _N.resource == resource,
    )  # fmt: skip
    row = db.execute(query.limit(1)).one_or_none()
    return None if row is None else of_row(Notification, row)


def _open(
    unit: Unit, device: Device, number: int, resource: str, command: "Command | None", properties: dict[str, Any] | None = None
) -> Operation:
    count = unit.db.execute(select(func.count()).select_from(tables.operations).where(_O.device_id == device.id)).scalar_one()
    if count >= OPERATIONS_MAX:
        least = case((_O.ended_at.is_not(None), 0), (_O.command_id.is_(None), 1), else_=2)
        gone = unit.db.execute(select(_O.id).where(_O.device_id == device.id).order_by(least, _O.started_at, _O.id).limit(1)).scalar_one()
        unit.db.execute(delete(tables.notifications).where(_N.operation_id == gone))
        unit.db.execute(delete(tables.operations).where(_O.id == gone))
    command_id, about, begun = None, properties or {}, unit.now
    if command is not None:
        command_id, about, begun = command.id, command.parameters, command.created_at
    made = Operation(_new_id(), device.id, number, command_id, resource, about, RUNNING, begun, None, unit.now, unit.now)
    unit.db.execute(insert(tables.operations).values(columns_of(made)))
    return made


def _add(unit: Unit, operation: Operation, sent_at: float, status: str, progress: int, message: str | None, resource: str) -> Notification:
    count = unit.db.execute(select(func.count()).select_from(tables.notifications).where(_N.operation_id == operation.id)).scalar_one()
    if count >= NOTIFICATIONS_MAX:
        oldest = select(_N.id).where(_N.operation_id == operation.id).order_by(_N.sent_at, _N.created_at, _N.id).limit(1)
        unit.db.execute(delete(tables.notifications).where(_N.id == unit.db.execute(oldest).scalar_one()))
    made = Notification(_new_id(), operation.id, sent_at, unit.now, status, resource, progress, message)
    unit.db.execute(insert(tables.notifications).values(columns_of(made)))
    return made


def _set_status(unit: Unit, operation: Operation, status: str, at: float) -> None:
    values = {"status": status, "ended_at": None if status == RUNNING else at, "updated_at": unit.now}
    unit.db.execute(update(tables.operations).where(_O.id == operation.id).values(values))


def _last_progress(db: Connection, operation_id: int, resource: str) -> int:
    query = select(_N.progress).where(_N.operation_id == operation_id, _N.resource == resource)
    last = db.execute(query.order_by(_N.sent_at.desc(), _N.created_at.desc(), _N.id).limit(1)).scalar_one_or_none()
    return 0 if last is None else int(last)


def _new_id() -> int:
    return secrets.randbelow(_INT63) + 1


def _page(db: Connection, query: Select[Any], table: Any, page: Page, time: str, kind: type[Any]) -> Found[Any]:
    if page.resource is not None:
        query = query.where(table.c.resource == page.resource)
    keys = [table.c[name] for name in dict.fromkeys((page.sort or time, time, "created_at", "id"))]
    ordered = query.order_by(*[key.desc() if page.descending else key.asc() for key in keys])
    rows = db.execute(ordered.offset(page.offset).limit(page.limit + 1)).all()
    total = db.execute(select(func.count()).select_from(query.subquery())).scalar_one() if page.total else None
    return Found([of_row(kind, row) for row in rows[: page.limit]], len(rows) > page.limit, total)
