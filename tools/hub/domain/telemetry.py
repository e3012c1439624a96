"""Telemetry: validated, merged into the device's state, kept as history (seed 000, reference xyte §2).

A message may bear a number of its own, up to ten digits, which its device never uses again. One that comes twice (at-least-once delivery,
over whichever transport) is answered like the first and does nothing else: it is not in the history a second time, does not touch the
state, and its upstreamMessage is marked `duplicate`. What the second says is not looked at: it may have got its timestamp since. A message
that was refused has not used its number up. The memory of numbers is the history itself: the number of a message that retention.py has
forgotten is new again.

Which message is newer is decided by `timestamp`; see state.py for what a late one does. One without a timestamp is new, whatever the clocks
say; and so is one of a time to come, which only a wrong clock can give, so that it does not make what follows late. Since the hub's clock
and the device's may differ, the time of such a message counts as LEEWAY ago where it is compared with others.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, select, tuple_

from tools.hub import times
from tools.hub.domain import commands, firmware, licenses, problems, state
from tools.hub.domain.model import Device, change_device
from tools.hub.domain.validation import NAME_MAX, instant
from tools.hub.errors import Invalid
from tools.hub.store import tables
from tools.hub.store.gathered import gathered_of
from tools.hub.store.unit import Unit

MESSAGE_MAX = 128 * 1024  # bytes in one telemetry message
STRING_MAX = 1000  # bytes in one value
STATE_MAX = 1000  # keys in a device's state: our own bound, the vendor names none
_FLOAT32_MAX = 3.4028234663852886e38
LEEWAY = 60.0  # seconds that two clocks may differ
_BEFORE = 30 * 86_400.0  # seconds for which a board may have kept readings until it could register
_NUMBER = re.compile(r"[0-9]{1,10}")
_INSERT = insert(tables.telemetry)
_SAME = select(tables.telemetry.c.seq).where(
    tables.telemetry.c.device_id == bindparam("the_device"), tables.telemetry.c.number == bindparam("the_number")
)
_SAME_ALL = select(tables.telemetry.c.device_id, tables.telemetry.c.number).where(
    tuple_(tables.telemetry.c.device_id, tables.telemetry.c.number).in_(bindparam("wanted", expanding=True))
)
_STATUSES = ("online", "offline", "error")


def number_of(given: Iterable[str]) -> int | None:
    """The message's number out of what was given as such; None when that is nothing, no number, or more than one."""
    different = set(given)
    text = different.pop() if len(different) == 1 else ""
    return int(text) if _NUMBER.fullmatch(text) else None


def send(unit: Unit, device: Device, body: dict[str, Any], number: int | None = None) -> None:
    """Take one message in: values merge into the state, null removes a key, `override` replaces it all."""
    if number is not None and _is_known(unit.db, device.id, number):
        unit.marks["duplicate"] = str(number)
        return
    status, message, override = body.get("status"), body.get("message"), body.get("override")
    values = body.get("telemetries")
    if status is not None and status not in _STATUSES:
        raise Invalid("status must be online, offline or error")
    if message is not None and not isinstance(message, str):
        raise Invalid("message must be a text")
    if override is not None and not isinstance(override, bool):
        raise Invalid("override must be true or false")
    values = _checked(values)
    taken_at = instant(body.get("timestamp"), "timestamp")
    if status is not None:
        values["status"] = status  # seed 000: injected into the telemetries
    order = device.state_order or state.first_order(device.state, device.telemetry_at)
    merged = state.merge(device.state, order, values, _place(taken_at, unit.now, order["at"], device.created_at), bool(override))
    if len(merged.state) > STATE_MAX:
        raise Invalid(f"telemetries: at most {STATE_MAX} keys")
    changes = {"state": merged.state, "state_order": merged.order, "kept_messages": (device.kept_messages or 0) + 1}
    if "status" in merged.taken:
        changes["status"] = status or device.status
    if merged.newest:
        changes.update(message=message, telemetry_at=unit.now if taken_at is None else taken_at)
    change_device(unit.db, device.id, changes)
    if status == "error":
        problems.note(unit, device, problems.STATUS, message or "the device says that its status is error")
    elif status is not None:
        problems.clear(unit, device, problems.STATUS)
    if message:
        problems.note(unit, device, problems.MESSAGE, message)
    row = {
        "device_id": device.id,
        "received_at": unit.now,
        "timestamp": unit.now if taken_at is None else taken_at,
        "status": status,
        "message": message,
        "telemetries": values,
        "override": bool(override),
        "number": number,
        "transport": device.transport,
    }
    gathered = gathered_of(unit.db)
    if gathered is None:
        unit.db.execute(_INSERT, row)
    else:
        gathered.add_message(row)


def prepare_numbers(db: Connection, messages: list[tuple[str, int | None]]) -> None:
    """Read which of these devices' numbers have been used, with one query for all of them (store/store.py, Need)."""
    gathered = gathered_of(db)
    wanted = sorted({(device_id, number) for device_id, number in messages if number is not None})
    if gathered is None or not wanted:
        return
    gathered.numbers.update(dict.fromkeys(wanted, False))
    for row in db.execute(_SAME_ALL, {"wanted": wanted}):
        gathered.numbers[row.device_id, row.number] = True


def _is_known(db: Connection, device_id: str, number: int) -> bool:
    gathered = gathered_of(db)
    known = None if gathered is None else gathered.numbers.get((device_id, number))
    if known is None:
        known = db.execute(_SAME, {"the_device": device_id, "the_number": number}).first() is not None
    return known


def reply(unit: Unit, device: Device) -> dict[str, Any]:
    """The answer to a telemetry message: all keys of seed 000, true to the state."""
    newest = firmware.latest(unit.db, device.hardware_key)
    command = commands.current(unit.db, device.id)
    return {
        "config_version": device.config_version,
        "command": command is not None and command.status == "pending",
        "info_version": device.info_version,
        "new_licenses": licenses.any_pending(unit.db, device.id),
        "latest_fw_version": newest.version,
        "latest_fw_file_id": newest.file_id,
        "space_data_version": device.space_version,
        "success": True,
    }


def history(db: Connection, device_id: str, limit: int, before: int | None, offset: int) -> list[dict[str, Any]]:
    """The messages of a device, newest first; `before` is the `seq` of the oldest one already seen."""
    query = select(tables.telemetry).where(tables.telemetry.c.device_id == device_id)
    if before is not None:
        query = query.where(tables.telemetry.c.seq < before)
    rows = db.execute(query.order_by(tables.telemetry.c.seq.desc()).limit(limit).offset(offset))
    return [
        {
            "seq": row.seq,
            "received_at": times.iso(row.received_at),
            "timestamp": times.iso(row.timestamp),
            "status": row.status,
            "message": row.message,
            "telemetries": row.telemetries,
            "override": row.override,
            "number": row.number,
        }
        for row in rows
    ]


@dataclass(frozen=True)
class Received:
    """One message as a device sent it, as far as it is kept: not the bytes, but what they said."""

    seq: int
    received_at: float
    transport: str | None
    body: dict[str, Any]


def inbox(db: Connection, device_id: str, limit: int, between: tuple[float, float] | None, before: int | None) -> list[Received]:
    """The messages of a device, newest first: those received within these two times, or those older than the `seq` `before`."""
    rows = tables.telemetry.c
    query = select(tables.telemetry).where(rows.device_id == device_id)
    if between is not None:
        query = query.where(rows.received_at >= between[0], rows.received_at <= between[1])
    if before is not None:
        query = query.where(rows.seq < before)
    return [_to_received(row) for row in db.execute(query.order_by(rows.seq.desc()).limit(limit))]


def _to_received(row: Row[Any]) -> Received:
    values = dict(row.telemetries)
    body: dict[str, Any] = {"timestamp": times.iso(row.timestamp), "telemetries": values}
    if row.status is not None:
        body["status"] = values.pop("status")  # it was injected
    if row.message is not None:
        body["message"] = row.message
    if row.override:
        body["override"] = True
    return Received(row.seq, row.received_at, row.transport, body)


def _place(taken_at: float | None, now: float, newest: int, registered_at: float) -> int:
    """The time in ms by which a message takes its place among the others; a clock that cannot be right tells none."""
    if taken_at is None or taken_at > now + LEEWAY or taken_at < registered_at - _BEFORE:
        return max(newest, round((now - LEEWAY) * 1000))
    return round(taken_at * 1000)


def _checked(values: object) -> dict[str, Any]:
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise Invalid("telemetries must be an object")
    for name, value in values.items():
        problem = _problem(value) if len(name) <= NAME_MAX else f"must have a name of at most {NAME_MAX} characters"
        if problem:
            raise Invalid(f"Common telemetries.{name[:100]} {problem}")
    return dict(values)


def _problem(value: object) -> str:
    if value is None or isinstance(value, bool):
        return ""
    if isinstance(value, str):
        return "" if len(value.encode()) <= STRING_MAX else f"must be at most {STRING_MAX} bytes"
    if isinstance(value, int):
        return "" if -0x80000000 <= value <= 0x7FFFFFFF else "must be a 32 bit integer"
    if isinstance(value, float):
        return "" if math.isfinite(value) and abs(value) <= _FLOAT32_MAX else "must be a 32 bit float"
    return "must be string, number or boolean"
