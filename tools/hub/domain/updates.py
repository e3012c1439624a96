"""Updates over the air: what devices are asked to do, and the update events that they tell (seed 002, reference edgehog-astarte §1).

An update is known by a UUID, the request's. One that the hub asked for has a file of the hub or an address; one that the device began by
itself, or that came to it as a command, is known from its first event. As at Edgehog an update's state is what the last event to arrive
says, whatever came before. Each event is a firmwareStateChange and a notification of the update's operation (operations.py), in the words
of a Kura client (kura_mqtt.py), so that what a device tells over both wires is one notification.

A request that no event has answered is sent again when the device comes back; a device ignores what it knows already.
"""

import re
import uuid as uuids
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, select, update

from tools.hub.domain import files, operations, problems
from tools.hub.domain.model import Device, is_pushed_to, push, tell
from tools.hub.domain.records import of_row
from tools.hub.domain.validation import is_uuid, text
from tools.hub.errors import Invalid, Malformed, NotAllowed, NotFound
from tools.hub.store import tables
from tools.hub.store.unit import Unit

# of one device; beyond it the oldest goes, an update with its events: two a day for longer than a year, thirty events each
UPDATES_MAX = 1_000
EVENTS_MAX = 30_000
MESSAGE_MAX = 1024  # characters kept of an event's message
URL_MAX = 2048
EVENT_SECONDS = 31_556_952  # that events are kept: seed 002, database_retention_ttl

OTA_EVENT = "io.edgehog.devicemanager.OTAEvent"  # the interface of the events
SUCCESS, FAILURE = "Success", "Failure"
STATUSES = ("Acknowledged", "Downloading", "Deploying", "Deployed", "Rebooting", SUCCESS, "Error", FAILURE)
CODES = (
    "", "InvalidRequest", "UpdateAlreadyInProgress", "NetworkError", "IOError", "InternalError", "InvalidBaseImage", "SystemRollback",
    "Canceled",
)  # fmt: skip
DOWNLOAD, INSTALL = "download", "install"  # resources of an operation's notifications, as Kura has them
_INSTALLING = ("Deploying", "Deployed", "Rebooting")
_STEP = re.compile(r"(Acknowledged|Downloading|Deploying|Deployed|Rebooting) (100|[1-9]?[0-9]) %")


@dataclass(frozen=True)
class Update:
    """A row of `updates`."""

    uuid: str
    device_id: str
    file_id: str | None
    url: str | None
    requested: bool
    cancelled: bool
    status: str | None
    progress: int
    code: str
    message: str
    created_at: float
    updated_at: float

    @property
    def is_over(self) -> bool:
        """Whether it has succeeded or failed."""
        return self.status in (SUCCESS, FAILURE)


@dataclass(frozen=True)
class Event:
    """A row of `update_events`. `sent_at` is the device's time, where it gave none that of the arrival."""

    seq: int
    uuid: str
    status: str
    progress: int
    code: str
    message: str
    sent_at: float
    received_at: float


def request(unit: Unit, device: Device, body: dict[str, Any]) -> Update:
    """Ask a device to update itself: `file_id` of a file of the hub, or `url`; `uuid` where the caller has one.

    Raises Malformed and Invalid.
    """
    for key in body:
        if key not in ("file_id", "url", "uuid"):
            raise Malformed(f"Unknown key {key[:64]!r}: an update takes file_id or url, and uuid")
    file_id, url = text(body.get("file_id"), "file_id", limit=36), text(body.get("url"), "url", limit=URL_MAX)
    made = text(body.get("uuid"), "uuid", limit=36) or str(uuids.uuid4())
    if (file_id is None) == (url is None):
        raise Invalid("An update needs a file_id or a url, and not both")
    if url is not None and not url.startswith(("http://", "https://")):
        raise Invalid("Invalid url: it must begin with http:// or https://")
    if not is_uuid(made):
        raise Invalid("Invalid uuid: it must be a UUID in small letters")
    if not is_pushed_to(device):
        raise Invalid("The device polls over HTTP and cannot be sent a request: give it the command update_firmware instead")
    facts: dict[str, Any] = {"uuid": made}
    if file_id is not None:
        try:
            facts.update(files.get_for(unit.db, device, file_id).facts())
        except NotFound:
            raise Invalid("Invalid file_id: there is no such file for the device's model") from None
    if _find(unit.db, device.id, made) is not None:
        raise Invalid("Invalid uuid: the device has an update of this uuid already")
    operations.begin(unit, device, operations.number_of(made), facts if url is None else {**facts, "url": url})
    _add(unit, device, made, file_id, url, requested=True)
    return _send(unit, device, get(unit.db, device.id, made))


def cancel(unit: Unit, device: Device, uuid: str) -> Update:
    """Ask the device to give an update up; it answers with an event. Raises NotFound, and NotAllowed for one that has ended."""
    item = get(unit.db, device.id, uuid)
    if item.is_over:
        raise NotAllowed(f"The update has ended: {item.status}")
    _change(unit, device, uuid, {"cancelled": True})
    return _send(unit, device, get(unit.db, device.id, uuid))


def ask_again(unit: Unit, device: Device) -> None:
    """The device has begun a session: send what it has not answered, the oldest first."""
    waiting = _U.requested.is_(True), _U.status.is_(None) | (_U.cancelled.is_(True) & _U.status.not_in((SUCCESS, FAILURE)))
    for row in unit.db.execute(_of(device.id).where(*waiting).order_by(_U.seq)).all():
        _send(unit, device, of_row(Update, row))


def report(unit: Unit, device: Device, values: dict[str, Any], sent_at: float | None) -> Event:
    """Store an update event: the values of an OTAEvent, of the right types, and the device's time. Raises Invalid.

    The same sample again, at the same time of the device, is not stored nor told of a second time: a device whose power was cut
    between the acknowledgement and its note of it sends it once more.
    """
    uuid, status, progress = values["requestUUID"], values["status"], values["statusProgress"]
    code, message = values["statusCode"], values["message"]
    if not is_uuid(uuid):
        raise Invalid("requestUUID must be a UUID in small letters")
    if status not in STATUSES:
        raise Invalid(f"Unknown status {status[:64]!r}: it is one of {', '.join(STATUSES)}")
    if code not in CODES:
        raise Invalid(f"Unknown statusCode {code[:64]!r}: it is empty or one of {', '.join(CODES[1:])}")
    if not 0 <= progress <= 100:
        raise Invalid(f"statusProgress is {progress}: it must be 0 to 100")
    if "\0" in message:
        raise Invalid("message must not hold a NUL character")
    if _find(unit.db, device.id, uuid) is None:
        _add(unit, device, uuid, None, None, requested=False)
    state = {"status": status, "progress": progress, "code": code, "message": message[:MESSAGE_MAX]}
    if sent_at is not None:
        known = select(tables.update_events).where(_E.device_id == device.id, _E.uuid == uuid, _E.sent_at == sent_at)
        for row in unit.db.execute(known).all():
            if state == {name: getattr(row, name) for name in state}:
                return of_row(Event, row)
    _change(unit, device, uuid, state)
    count = unit.db.execute(select(func.count()).select_from(tables.update_events).where(_E.device_id == device.id)).scalar_one()
    if count >= EVENTS_MAX:
        oldest = select(_E.seq).where(_E.device_id == device.id).order_by(_E.seq).limit(1)
        unit.db.execute(delete(tables.update_events).where(_E.seq == unit.db.execute(oldest).scalar_one()))
    at = unit.now if sent_at is None else sent_at
    seq = unit.db.execute(
        insert(tables.update_events).values(device_id=device.id, uuid=uuid, sent_at=at, received_at=unit.now, **state).returning(_E.seq)
    ).scalar_one()
    data = {"status": status, "progress": str(progress), "code": code, "message": message[:MESSAGE_MAX], "request": uuid}
    tell(unit, "firmwareStateChange", device, **{key: value for key, value in data.items() if value})
    if status == FAILURE:
        problems.note(unit, device, problems.UPDATE, ": ".join(filter(None, (code, message))) or "the device gave no reason")
    elif status == SUCCESS:
        problems.clear(unit, device, problems.UPDATE)
    _notify(unit, device, uuid, status, progress, ": ".join(filter(None, (code, message))), sent_at)
    return Event(seq, uuid, sent_at=at, received_at=unit.now, **state)


def notified(unit: Unit, device: Device, status: str, progress: int, message: str | None, resource: str) -> None:
    """A Kura client has told of a step: a firmwareStateChange in its words, unless the device tells in events, which say more."""
    if OTA_EVENT in (device.introspection or {}):
        return
    data = {"status": status, "progress": str(progress), "message": message or "", "resource": resource}
    tell(unit, "firmwareStateChange", device, **{key: value for key, value in data.items() if value})


def step_of(message: str | None) -> tuple[str, int] | None:
    """Status and percent with which a report on the command to update begins: "Downloading 40 %" (firmware/redpoll/update/service.py)."""
    found = _STEP.match(message or "")
    return (found[1], int(found[2])) if found else None


def place_of(status: str, progress: int) -> operations.Place:
    """Where an update is that goes on, as firmware/redpoll/cloud/kura.py tells it: 100 % is told of a download that has ended only."""
    if status == "Downloading" and progress == 100:
        return operations.Place(DOWNLOAD, operations.COMPLETED, 100)
    resource = INSTALL if status in _INSTALLING else DOWNLOAD
    reached = 0 if status == "Acknowledged" else 99 if status in ("Deployed", "Rebooting") else min(progress, 99)
    return operations.Place(resource, operations.RUNNING, reached)


def followed(unit: Unit, device: Device, command_id: str, status: str, message: str | None, progress: int | None) -> None:
    """A device has told how the command to update goes: a firmwareStateChange, unless it tells of that update's events too."""
    if _find(unit.db, device.id, command_id) is None:
        data = {"status": status, "progress": "" if progress is None else str(progress), "message": message or "", "request": command_id}
        tell(unit, "firmwareStateChange", device, **{key: value for key, value in data.items() if value})


def get(db: Connection, device_id: str, uuid: str) -> Update:
    """Raises NotFound."""
    found = _find(db, device_id, uuid)
    if found is None:
        raise NotFound("Update not found")
    return found


def list_updates(db: Connection, device_id: str, limit: int, offset: int) -> list[Update]:
    """The device's updates, newest first."""
    query = _of(device_id).order_by(_U.seq.desc()).limit(limit).offset(offset)
    return [of_row(Update, row) for row in db.execute(query)]


def list_events(
    db: Connection,
    device_id: str,
    *,
    since: float | None = None,
    after: bool = False,
    until: float | None = None,
    limit: int,
    newest_first: bool = False,
    uuid: str | None = None,
) -> list[Event]:
    """The device's update events by the time they were sent, from `since` (`after`: later than it) and before `until`."""
    query = select(tables.update_events).where(_E.device_id == device_id)
    if uuid is not None:
        query = query.where(_E.uuid == uuid)
    if since is not None:
        query = query.where(_E.sent_at > since if after else _E.sent_at >= since)
    if until is not None:
        query = query.where(_E.sent_at < until)
    order = (_E.sent_at.desc(), _E.seq.desc()) if newest_first else (_E.sent_at, _E.seq)
    return [of_row(Event, row) for row in db.execute(query.order_by(*order).limit(limit))]


def forget(unit: Unit, device: Device) -> None:
    """Delete all updates of a device, with their events."""
    for table in (tables.update_events, tables.updates):
        unit.db.execute(delete(table).where(table.c.device_id == device.id))


_U, _E = tables.updates.c, tables.update_events.c


def _of(device_id: str) -> Select[Any]:
    return select(tables.updates).where(_U.device_id == device_id)


def _find(db: Connection, device_id: str, uuid: str) -> Update | None:
    row = db.execute(_of(device_id).where(_U.uuid == uuid)).one_or_none() if is_uuid(uuid) else None
    return None if row is None else of_row(Update, row)


def _add(unit: Unit, device: Device, uuid: str, file_id: str | None, url: str | None, *, requested: bool) -> None:
    count = unit.db.execute(select(func.count()).select_from(tables.updates).where(_U.device_id == device.id)).scalar_one()
    if count >= UPDATES_MAX:
        oldest = unit.db.execute(_of(device.id).order_by(_U.seq).limit(1)).one()
        unit.db.execute(delete(tables.update_events).where(_E.device_id == device.id, _E.uuid == oldest.uuid))
        unit.db.execute(delete(tables.updates).where(_U.seq == oldest.seq))
    unit.db.execute(
        insert(tables.updates).values(
            uuid=uuid, device_id=device.id, file_id=file_id, url=url, requested=requested, cancelled=False, status=None, progress=0,
            code="", message="", created_at=unit.now, updated_at=unit.now,
        )
    )  # fmt: skip


def _change(unit: Unit, device: Device, uuid: str, values: dict[str, Any]) -> None:
    mine = _U.device_id == device.id, _U.uuid == uuid
    unit.db.execute(update(tables.updates).where(*mine).values(**values, updated_at=unit.now))


def _send(unit: Unit, device: Device, item: Update) -> Update:
    body: dict[str, Any] = {"uuid": item.uuid, "operation": "Cancel" if item.cancelled else "Update"}
    if not item.cancelled:
        # of the file the facet makes its address
        body.update({"url": item.url} if item.file_id is None else {"file_id": item.file_id, "hub_url": device.hub_url})
    push(unit, device, "ota", body)
    return item


def _notify(unit: Unit, device: Device, uuid: str, status: str, progress: int, message: str, sent_at: float | None) -> None:
    """As firmware/redpoll/cloud/kura.py tells the same event."""
    number = operations.number_of(uuid)
    resource, said, reached = INSTALL, operations.COMPLETED, None
    if status in ("Error", FAILURE):
        resource = operations.last_resource(unit.db, device.id, number, (DOWNLOAD, INSTALL)) or DOWNLOAD
        said = operations.FAILED if status == FAILURE else operations.RUNNING
    elif status == SUCCESS:
        reached = 100
    else:
        place = place_of(status, progress)
        resource, said, reached = place.resource, place.status, place.progress
    if message.startswith("SystemRollback"):
        resource = INSTALL
    why = message if status in ("Error", FAILURE) else ""
    going_on = said == operations.COMPLETED and resource == DOWNLOAD  # the installation is still to come
    operations.report(unit, device, number, said, reached, why or None, resource, sent_at=sent_at, running=going_on)
