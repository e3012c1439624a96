"""Commands: queued by the operator, run by the device one at a time (reference xyte §2 and §4).

pending -> in_progress -> done | failed. A device may skip in_progress; a finished command stays as it is. Seed 001 says `error` where the
HTTP reference says `failed`: both are taken, `failed` is kept. pending -> cancelled is the operator's.

The parameters of a command with a file are what the operator gave, and of the file `version`, `checksum` and `signature`; its `url` comes
when the command is handed out, as it is good for a while only (security/links.py).
"""

import json
import uuid
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, update

from tools.hub.domain import files, operations, problems, updates
from tools.hub.domain.model import Device, push
from tools.hub.domain.records import of_row
from tools.hub.domain.validation import is_uuid, mapping, text
from tools.hub.errors import Invalid, Malformed, NotAllowed, NotFound
from tools.hub.store import tables
from tools.hub.store.unit import Unit

QUEUE_MAX = 100  # unfinished commands of one device: our own bound
MESSAGE_MAX = 1024  # characters kept of a device's message
CANCELLED = "cancelled"
_QUEUE_KEYS = ("name", "friendly_name", "file_id", "extra_params")
_FINISHED = ("done", "failed", CANCELLED)
_REPORTED = {"in_progress": "in_progress", "done": "done", "failed": "failed", "error": "failed"}


@dataclass(frozen=True)
class Command:
    """A row of `commands`."""

    id: str
    device_id: str
    name: str
    friendly_name: str | None
    file_id: str | None
    parameters: dict[str, Any]
    status: str
    message: str | None
    created_at: float
    updated_at: float


def queue(unit: Unit, device: Device, body: dict[str, Any]) -> Command:
    """Queue a command; it is sent at once when the device has no other. Raises Malformed for a key that would be lost, Invalid."""
    for key in body:
        if key not in _QUEUE_KEYS:
            raise Malformed(f"Unknown key {key[:64]!r}: a command takes {', '.join(_QUEUE_KEYS)}; its parameters go into extra_params")
    name = text(body.get("name"), "name", required=True)
    parameters = mapping(body.get("extra_params"), "extra_params")
    if len(json.dumps(parameters)) > 32 * 1024:
        raise Invalid("extra_params must be at most 32768 bytes of JSON")
    if len(unfinished(unit.db, device.id)) >= QUEUE_MAX:
        raise Invalid(f"the device has {QUEUE_MAX} unfinished commands already")
    file_id = text(body.get("file_id"), "file_id", limit=36)
    if file_id is not None:
        parameters = {**_file_for(unit.db, device, file_id).facts(), **parameters}
    made = str(uuid.uuid4())
    unit.db.execute(
        insert(tables.commands).values(
            id=made, device_id=device.id, name=name, friendly_name=text(body.get("friendly_name"), "friendly_name"),
            file_id=file_id, parameters=parameters, status="pending", created_at=unit.now, updated_at=unit.now,
        )
    )  # fmt: skip
    command = get(unit.db, device.id, made)
    operations.follow(unit, device, command, reported=False)
    if len(unfinished(unit.db, device.id)) == 1:
        send(unit, device, command)
    return command


def report(unit: Unit, device: Device, body: dict[str, Any]) -> Command:
    """The device says how a command goes; when it is finished, the next one is sent. Other keys than the three are ignored."""
    command_id = text(body.get("id"), "id", required=True, limit=36)
    reported = body.get("status")
    status = _REPORTED.get(reported) if isinstance(reported, str) else None
    message = body.get("message")
    if status is None:
        raise Invalid("status must be in_progress, done, failed or error")
    if message is not None and not isinstance(message, str):
        message = json.dumps(message)
    assert command_id is not None
    command = get(unit.db, device.id, command_id)
    unit.marks |= {"command": command.name, "status": status}
    if command.status in _FINISHED:
        if status == command.status:
            return command  # the same report once more: its answer was lost
        raise NotAllowed(f"Command is already {command.status}")
    unit.db.execute(
        update(tables.commands)
        .where(tables.commands.c.id == command.id)
        .values(status=status, message=message and message[:MESSAGE_MAX], updated_at=unit.now)
    )
    changed = get(unit.db, device.id, command.id)
    step = updates.step_of(changed.message) if changed.name == operations.UPDATE_COMMAND and status == "in_progress" else None
    operations.follow(unit, device, changed, reported=True, place=step and updates.place_of(*step))
    if status == "failed":
        problems.note(unit, device, problems.COMMAND, f"{changed.name}: {changed.message or 'the device gave no reason'}")
    if status == "done":
        problems.clear(unit, device, problems.COMMAND)
    if command.name == operations.UPDATE_COMMAND:
        updates.followed(unit, device, command.id, status, changed.message, step and step[1])
    if status in _FINISHED:
        push_next(unit, device)
    return changed


def cancel(unit: Unit, device: Device, command_id: str) -> Command:
    """Take a command back that the device has not begun, as far as it said; the next one is sent. Raises NotFound and NotAllowed.

    One that was sent over MQTT already may run all the same; the device's report of it is then refused.
    """
    command = get(unit.db, device.id, command_id if is_uuid(command_id) else "")
    if command.status == CANCELLED:
        return command
    if command.status != "pending":
        raise NotAllowed(f"Command is already {command.status}")
    first = current(unit.db, device.id)
    values = {"status": CANCELLED, "message": "cancelled by the operator", "updated_at": unit.now}
    unit.db.execute(update(tables.commands).where(tables.commands.c.id == command.id).values(values))
    cancelled = get(unit.db, device.id, command.id)
    operations.follow(unit, device, cancelled, reported=True)
    if first is not None and first.id == command.id:
        push_next(unit, device)
    return cancelled


def current(db: Connection, device_id: str) -> Command | None:
    """The command that the device should work on: the one in progress (so that it resumes), else the oldest pending one."""
    waiting = unfinished(db, device_id)
    running = [command for command in waiting if command.status == "in_progress"]
    return next(iter(running or waiting), None)


def unfinished(db: Connection, device_id: str) -> list[Command]:
    """The device's commands that are pending or in progress, in the order that they were queued."""
    query = _of(device_id).where(tables.commands.c.status.in_(("pending", "in_progress")))
    return [of_row(Command, row) for row in db.execute(query.order_by(tables.commands.c.seq))]


def unfinished_behind(db: Connection, parent_id: str, limit: int) -> list[Command]:
    """The unfinished commands of the devices behind a gateway, device by device, each one's in the order that they were queued."""
    behind = select(tables.devices.c.id).where(tables.devices.c.parent_id == parent_id)
    rows = tables.commands.c
    query = select(tables.commands).where(rows.device_id.in_(behind), rows.status.in_(("pending", "in_progress")))
    return [of_row(Command, row) for row in db.execute(query.order_by(rows.device_id, rows.seq).limit(limit))]


def list_commands(db: Connection, device_id: str, limit: int, offset: int) -> list[Command]:
    """All commands of a device, newest first."""
    query = _of(device_id).order_by(tables.commands.c.seq.desc()).limit(limit).offset(offset)
    return [of_row(Command, row) for row in db.execute(query)]


def get(db: Connection, device_id: str, command_id: str) -> Command:
    """One command of this device. Raises NotFound."""
    row = db.execute(_of(device_id).where(tables.commands.c.id == command_id)).one_or_none() if is_uuid(device_id, command_id) else None
    if row is None:
        raise NotFound("Command not found")
    return of_row(Command, row)


def push_next(unit: Unit, device: Device) -> None:
    """Send the device the command that it should work on now, if there is one."""
    command = current(unit.db, device.id)
    if command is not None:
        send(unit, device, command)


def send(unit: Unit, device: Device, command: Command) -> None:
    """Push this command to the device, if it is one to be pushed to."""
    body: dict[str, Any] = {"id": command.id, "status": command.status, "name": command.name, "parameters": command.parameters}
    if command.file_id is not None:
        body.update(file_id=command.file_id, hub_url=device.hub_url)  # of these two the facet makes the file's `url`
    push(unit, device, "commands", body)


def _file_for(db: Connection, device: Device, file_id: str) -> files.File:
    try:
        return files.get_for(db, device, file_id)
    except NotFound:
        raise Invalid("Invalid file_id: there is no such file for the device's model") from None


def _of(device_id: str) -> Any:
    return select(tables.commands).where(tables.commands.c.device_id == device_id)
