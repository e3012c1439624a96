"""The JSON of the Span API: what seed 003, reference span and the vendor's client have."""

import base64
import binascii
import json
from typing import Any

from fastapi.responses import JSONResponse

from tools.hub.activity import Activity
from tools.hub.domain.commands import Command
from tools.hub.domain.firmware import Latest, is_older
from tools.hub.domain.model import Device
from tools.hub.domain.operations import Notification
from tools.hub.domain.spaces import Space
from tools.hub.domain.telemetry import Received
from tools.hub.domain.updates import DOWNLOAD, INSTALL
from tools.hub.errors import Invalid
from tools.hub.facets import wire

_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 409: 6, 429: 8, 500: 13}  # of gRPC, which the vendor's API is made with
_TRANSPORTS = {"mqtt": "mqtt"}  # the vendor's list has nothing for HTTP: "unspecified"
_STATES = {"pending": "pending", "in_progress": "sent", "done": "sent"}  # else "failed"
_STEPS = {DOWNLOAD: "downloading", INSTALL: "installing"}
OPAQUE = "message"  # the command that carries a payload which is none itself


def error(status: int, text: str) -> JSONResponse:
    """The vendor's error body. It has no 422: what is readable and not acceptable is 400."""
    status = 400 if status == 422 else status
    return JSONResponse({"code": _CODES.get(status, 2), "message": text, "details": []}, status)


def collection(space: Space) -> dict[str, Any]:
    """A space, as a collection: its tags are its name, and what the other facets' operator calls it."""
    tags = {"name": space.name} | ({} if space.space_id is None else {"space": space.space_id})
    return {"collectionId": space.id, "tags": tags, "enabled": True}


def device(item: Device, latest: Latest, step: Notification | None, newest: Received | None = None) -> dict[str, Any]:
    """A device; what it does not have is left out. `step`: how far an update has come that is under way; `newest`: its last message."""
    made: dict[str, Any] = {
        "deviceId": item.id,
        "collectionId": item.collection_id,
        "tags": {"name": item.name},
        "firmware": firmware(item, latest, step),
        "config": {name: value for name, value in (("ciot", _ciot(item)), ("gateway", _gateway(item))) if value},
        "lastTransport": transport(item.transport, item),
        "lastReceived": milliseconds(item.seen_at),
        "enabled": True,
    }
    if item.parent_id is not None:
        made["lastGatewayId"] = item.parent_id
    if newest is not None:
        made["lastPayload"] = payload(newest.body)
    return made


def firmware(item: Device, latest: Latest, step: Notification | None) -> dict[str, str]:
    """Reference span. The hub knows which file a device runs only when it is the latest; `state` is ours: the field is free.

    While the device updates itself it is the step: each firmwareStateChange says that it has changed (seed 003).
    """
    behind = latest.version is not None and is_older(item.firmware_version, latest.version)
    current = latest.version is not None and not behind and not is_older(latest.version, item.firmware_version)
    state, message = "current" if current else "unknown", ""
    if step is not None:
        state, message = _STEPS.get(step.resource, "updating"), step.message or f"{step.progress} %"
    elif behind:
        state, message = "update required", f"the latest is {latest.version}"
    return {
        "currentFirmwareId": (latest.file_id or "") if current else "",
        "targetFirmwareId": latest.file_id or "",
        "firmwareVersion": item.firmware_version,
        "serialNumber": item.sn,
        "modelNumber": item.hardware_key,
        "manufacturer": "",
        "state": state,
        "stateMessage": message,
    }


def upstream(item: Received, owner: Device) -> dict[str, Any]:
    """A message of the inbox."""
    made = {
        "messageId": str(item.seq),
        "collectionId": owner.collection_id,
        "deviceId": owner.id,
        "transport": transport(item.transport, owner),
        "received": milliseconds(item.received_at),
        "payload": payload(item.body),
    }
    return made | ({} if owner.parent_id is None else {"gatewayId": owner.parent_id})


def downstream(item: Command, owner: Device) -> dict[str, Any]:
    """A message of the outbox: `sent` once the device has answered it."""
    state = _STATES.get(item.status, "failed")
    opaque = item.parameters.get("payload") if item.name == OPAQUE else None
    made = {
        "messageId": item.id,
        "collectionId": owner.collection_id,
        "deviceId": owner.id,
        "createdTime": milliseconds(item.created_at),
        "sentTime": milliseconds(None if state == "pending" else item.updated_at),
        "transport": transport(owner.transport, owner),
        "state": state,
        "payload": opaque if isinstance(opaque, str) else payload({"name": item.name, "parameters": item.parameters}),
    }
    return made | ({} if owner.parent_id is None else {"gatewayId": owner.parent_id})


def read_outbox(body: dict[str, Any]) -> dict[str, Any]:
    """The command that a payload is: a JSON object with a `name` and perhaps `parameters`, else OPAQUE with the payload as it came.

    Raises Invalid.
    """
    given = body.get("payload")
    unknown = sorted(set(body) - {"payload"})
    if unknown:
        raise Invalid(f"Unknown field {unknown[0][:64]!r}: the outbox takes a payload")
    try:
        raw = base64.b64decode(given, validate=True) if isinstance(given, str) else b""
    except (binascii.Error, ValueError):
        raw = b""
    if not raw:
        raise Invalid("payload must be base64 of at least one byte")
    try:
        said = json.loads(raw)
    except (ValueError, RecursionError):
        said = None
    if isinstance(said, dict) and "name" in said and set(said) <= {"name", "parameters"}:
        found = wire.decode_object(raw)
        return {"name": found["name"], "extra_params": found.get("parameters")}
    return {"name": OPAQUE, "extra_params": {"payload": given}}


def payload(body: dict[str, Any]) -> str:
    """A push as Span writes what a message holds: its JSON in base64."""
    return base64.b64encode(wire.encoded(body)).decode()


def milliseconds(seconds: float | None) -> str:
    """Times are milliseconds since 1970 as text; "0" is never."""
    return "0" if seconds is None else str(int(seconds * 1000))


def transport(name: str | None, owner: Device) -> str:
    """One of the vendor's list."""
    return "gateway" if owner.parent_id is not None else _TRANSPORTS.get(name or "", "unspecified")


def activity(item: Activity) -> dict[str, Any]:
    """Seed 003's envelope, its transport one of the vendor's list."""
    made = item.envelope()
    if "transport" in item.data:
        made["data"] = {**item.data, "transport": _TRANSPORTS.get(item.data["transport"], "unspecified")}
    return made


def _ciot(item: Device) -> dict[str, str]:
    return {name: value for name, value in (("imsi", item.imsi), ("imei", item.imei)) if value is not None}


def _gateway(item: Device) -> dict[str, str]:
    return {} if item.parent_id is None else {"gatewayId": item.parent_id}
