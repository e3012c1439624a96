"""What last went wrong with a device, for its operator: of each kind one, with its reason and time, until the same goes well.

    status          the device says that its status is `error`
    message         what the device last said in `message` of its telemetry (seed 000); nothing but the operator ends this one
    configuration   it keeps its own configuration in place of the operator's version
    command         a command has failed
    update          an update over the air has failed
    license         a licence could not be used
    connection      its session broke off, or it fell silent
    refused KIND    the hub has refused a message of it, of the kind that the activity has

Only what is known to be the device's own doing is noted: whoever has not shown its key leaves nothing here.
"""

from typing import Any

from sqlalchemy import Connection

from tools.hub import times
from tools.hub.domain.model import Device, change_device, find_device
from tools.hub.store.unit import Unit

STATUS, MESSAGE, CONFIGURATION, COMMAND, LICENSE, CONNECTION = "status", "message", "configuration", "command", "license", "connection"
UPDATE = "update"
REASON_MAX = 500  # characters


def refused(kind: str) -> str:
    """The kind of problem that a refused message of this kind is."""
    return f"refused {kind}"


def note(unit: Unit, device: Device, kind: str, reason: str) -> None:
    """This has gone wrong now."""
    found = {**_read(unit.db, device.id), kind: {"reason": reason[:REASON_MAX], "at": unit.now}}
    change_device(unit.db, device.id, {"problems": found})


def clear(unit: Unit, device: Device, kind: str) -> None:
    """This goes well. Costs nothing for a device that had no problem of the kind when it was read."""
    if kind not in (device.problems or {}):
        return
    found = _read(unit.db, device.id)
    if found.pop(kind, None) is not None:
        change_device(unit.db, device.id, {"problems": found})


def clear_all(unit: Unit, device: Device) -> None:
    """The operator has seen them."""
    change_device(unit.db, device.id, {"problems": {}})


def shown(device: Device) -> list[dict[str, str]]:
    """The newest first."""
    found = sorted((device.problems or {}).items(), key=lambda item: item[1]["at"], reverse=True)
    return [{"kind": kind, "reason": problem["reason"], "at": times.iso(problem["at"])} for kind, problem in found]


def _read(db: Connection, device_id: str) -> dict[str, Any]:
    # not the device's own copy: several things may go wrong in one piece of work
    device = find_device(db, device_id)
    return {} if device is None else dict(device.problems or {})
