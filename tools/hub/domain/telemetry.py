"""Telemetry: validated, merged into the device's state, kept as history (seed 000, reference xyte §2)."""

import math
from typing import Any

from sqlalchemy import Connection, insert, select

from tools.hub import tables, times
from tools.hub.domain import commands, firmware
from tools.hub.domain.model import Device, change_device
from tools.hub.errors import Invalid
from tools.hub.store import Unit

MESSAGE_MAX = 128 * 1024  # bytes in one telemetry message
STRING_MAX = 1000  # bytes in one value
STATE_MAX = 1000  # keys in a device's state: our own bound, the vendor names none
_FLOAT32_MAX = 3.4028234663852886e38
_INSERT = insert(tables.telemetry)
_STATUSES = ("online", "offline", "error")


def send(unit: Unit, device: Device, body: dict[str, Any]) -> None:
    """Take one message in: values merge into the state, null removes a key, `override` replaces it all."""
    status, message, override = body.get("status"), body.get("message"), body.get("override")
    values = body.get("telemetries")
    if status is not None and status not in _STATUSES:
        raise Invalid("status must be online, offline or error")
    if message is not None and not isinstance(message, str):
        raise Invalid("message must be a text")
    if override is not None and not isinstance(override, bool):
        raise Invalid("override must be true or false")
    values = _checked(values)
    taken_at = _timestamp(body.get("timestamp"), unit.now)
    if status is not None:
        values["status"] = status  # seed 000: injected into the telemetries
    state = {} if override else dict(device.state)
    for name, value in values.items():
        if value is None:
            state.pop(name, None)
        else:
            state[name] = value
    if len(state) > STATE_MAX:
        raise Invalid(f"telemetries: at most {STATE_MAX} keys")
    change_device(
        unit.db,
        device.id,
        {"state": state, "status": status or device.status, "message": message, "telemetry_at": taken_at},
    )
    unit.db.execute(
        _INSERT,
        {
            "device_id": device.id,
            "received_at": unit.now,
            "timestamp": taken_at,
            "status": status,
            "message": message,
            "telemetries": values,
            "override": bool(override),
        },
    )


def reply(unit: Unit, device: Device) -> dict[str, Any]:
    """The answer to a telemetry message: all keys of seed 000, true to the state."""
    newest = firmware.latest(unit.db, device.hardware_key)
    return {
        "config_version": device.config_version,
        "command": commands.current(unit.db, device.id) is not None,
        "info_version": device.info_version,
        "new_licenses": False,
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
        }
        for row in rows
    ]


def _checked(values: object) -> dict[str, Any]:
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise Invalid("telemetries must be an object")
    for name, value in values.items():
        problem = _problem(value)
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


def _timestamp(value: object, now: float) -> float:
    if value is None:
        return now
    try:
        if isinstance(value, str):
            return times.parse(value)
    except ValueError:
        pass
    raise Invalid("timestamp must be an ISO 8601 time such as 2022-01-01T01:00:00.000Z")
