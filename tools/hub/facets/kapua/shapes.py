"""How Kapua writes things: compact ids, tokens, entities, lists and errors (seed 004, reference kapua-kura §1)."""

import json
import re
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import Response
from fastapi.responses import JSONResponse

from tools.hub import base64url, times
from tools.hub.domain.access import Access
from tools.hub.domain.model import Device
from tools.hub.domain.operations import UPDATE, Found, Notification, Operation, number_of
from tools.hub.errors import NotAuthorized, Refused
from tools.hub.security import jwt

SCOPE = 1  # the only account, "AQ"
USER = 2  # its only user, "Ag"
NOTIFICATION = "managementOperationNotification"
OPERATION = "deviceManagementOperation"
DEVICE = "device"
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}={0,2}", re.ASCII)


# ---- ids


def compact(number: int) -> str:
    """A number in Kapua's form: its big-endian two's-complement bytes as base64url without padding; 1 is AQ, 128 is AIA."""
    size = number.bit_length() // 8 + 1
    return base64url.encode(number.to_bytes(size, "big", signed=True))


def number(text: str) -> int | None:
    """The number of a compact id, with or without padding; None when it is none."""
    bare = text.rstrip("=")
    if not _ID.fullmatch(text) or len(bare) % 4 == 1:
        return None
    return int.from_bytes(base64url.decode(bare), "big", signed=True)


# ---- tokens


def make_token(secret: bytes, now: float, until: float) -> str:
    """A token of the only user, with the claims of Kapua's; no other has the same text."""
    claims = {
        "iss": "https://www.eclipse.org/kapua", "iat": int(now), "exp": int(until), "sub": compact(USER), "sId": compact(SCOPE),
        "jti": secrets.token_urlsafe(16),
    }  # fmt: skip
    return jwt.make(secret, claims)


def is_signed(secret: bytes, token: str) -> bool:
    """Whether the token was made with this secret."""
    return jwt.read(secret, token) is not None


def access_token(made: Access) -> dict[str, Any]:
    """The answer to a login."""
    return {
        "type": "accessToken",
        **_entity(made.id, made.created_at, made.created_at),
        "tokenId": made.token,
        "userId": compact(USER),
        "expiresOn": times.iso(made.expires_at),
        "refreshToken": made.refresh_token,
        "refreshExpiresOn": times.iso(made.refresh_expires_at),
    }


# ---- entities; what is null is left out


def notification(item: Notification) -> dict[str, Any]:
    """A notification of an operation."""
    made = {
        "type": NOTIFICATION,
        **_entity(item.id, item.created_at),
        "operationId": compact(item.operation_id),
        "progress": item.progress,
        "resource": item.resource,
        "sentOn": times.iso(item.sent_at),
        "status": item.status,
    }
    return made if item.message is None else {**made, "message": item.message}


def operation(item: Operation, log: str | None = None) -> dict[str, Any]:
    """An operation. A command that is no firmware update is of Kapua's application COMMAND, its resource the command's name."""
    made = {
        "type": OPERATION,
        **_entity(item.id, item.created_at, item.updated_at),
        "action": "EXECUTE",
        "appId": "DEPLOY" if item.resource == UPDATE else "COMMAND",
        "deviceId": compact(number_of(item.device_id)),
        "operationId": compact(item.number),
        "operationProperties": _properties(item),
        "resource": item.resource,
        "startedOn": times.iso(item.started_at),
        "status": item.status,
    }
    if item.ended_at is not None:
        made["endedOn"] = times.iso(item.ended_at)
    return made if log is None else {**made, "log": log}


def log_line(item: Notification) -> str:
    """A notification folded into the log of its operation."""
    said = f"{times.iso(item.sent_at)} {item.resource} {item.progress} % {item.status}"
    return f"{said} {item.message}" if item.message else said


def device(item: Device) -> dict[str, Any]:
    """A device; its clientId is the hub's own id."""
    return {
        "type": DEVICE,
        **_entity(number_of(item.id), item.created_at),
        "clientId": item.id,
        "displayName": item.name,
        "firmwareVersion": item.firmware_version,
        "modelId": item.hardware_key,
        "serialNumber": item.sn,
        "status": "ENABLED",
    }


def list_result(kind: str, found: Found[Any], shape: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    """A page of entities of this kind, each in this shape; `totalCount` only where they were counted."""
    made = {
        "type": f"{kind}ListResult",
        "limitExceeded": found.more,
        "size": len(found.items),
        "items": [shape(item) for item in found.items],
    }
    return made if found.total is None else {**made, "totalCount": found.total}


# ---- errors


def not_found(entity_type: str, entity_id: str) -> dict[str, Any]:
    """The body of 404 for an entity."""
    said = f"The entity of type {entity_type} with id/name {entity_id} was not found."
    more = {"entityType": entity_type, "entityId": entity_id}
    return _error("entityNotFoundExceptionInfo", 404, said, "ENTITY_NOT_FOUND", more)


def illegal_argument(name: str, value: str | None, why: str) -> dict[str, Any]:
    """`argumentValue` is left out where there is none, or where it could be a secret."""
    shown = "" if value is None else f" {value}"
    more = {"argumentName": name} if value is None else {"argumentName": name, "argumentValue": value}
    said = f"An illegal value was provided for the argument {name}:{shown} ({why})."
    return _error("illegalArgumentExceptionInfo", 400, said, "ILLEGAL_ARGUMENT", more)


def subject_unauthorized(permission: str) -> dict[str, Any]:
    """The body of 403."""
    said = f"User does not have permission to perform this action. Required permission: {permission}."
    return _error("subjectUnauthorizedExceptionInfo", 403, said, "SUBJECT_UNAUTHORIZED", {"permission": permission})


def internal(said: str) -> dict[str, Any]:
    """The body of 500."""
    return _error("exceptionInfo", 500, said, "INTERNAL_ERROR", {})


def error(status: int, text: str) -> JSONResponse:
    """What is no entity's and no argument's fault: a path or method that the facet does not have, or a failure of the hub."""
    kind = _error("throwableInfo", status, text, "", {})
    del kind["kapuaErrorCode"]
    return JSONResponse(internal(text) if status == 500 else kind, status)


class EntityNotFound(Refused):
    """Nothing in the hub is at this path."""

    def __init__(self, kind: str, entity_id: str) -> None:
        super().__init__(f"no {kind} {entity_id}")
        self.body = not_found(kind, entity_id)


class IllegalArgument(Refused):
    """A part of the request is not what it must be."""

    def __init__(self, name: str, value: str | None, why: str) -> None:
        super().__init__(f"{name}: {why}")
        self.body = illegal_argument(name, None if value is None else value[:255], why)


class Unauthorized(Refused):
    """The account is not the caller's."""

    def __init__(self, permission: str) -> None:
        super().__init__(permission)
        self.body = subject_unauthorized(permission)


def refusal(refused: Refused) -> Response:
    """What is refused, in Kapua's words."""
    if isinstance(refused, NotAuthorized):
        return Response(status_code=401, headers={"WWW-Authenticate": "Bearer"})  # without a body, as in the reference
    if isinstance(refused, EntityNotFound | IllegalArgument | Unauthorized):
        return JSONResponse(refused.body, refused.body["httpErrorCode"])
    return JSONResponse(illegal_argument("body", None, str(refused)), 400)


def _error(kind: str, status: int, said: str, code: str, more: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": kind, "httpErrorCode": status, "message": said, "kapuaErrorCode": code, **more}


def _entity(entity_id: int, created: float, modified: float | None = None) -> dict[str, Any]:
    made = {"id": compact(entity_id), "scopeId": compact(SCOPE), "createdOn": times.iso(created), "createdBy": compact(USER)}
    return made if modified is None else {**made, "modifiedOn": times.iso(modified), "modifiedBy": compact(USER)}


def _properties(item: Operation) -> list[dict[str, str]]:
    """Name, Java type and text of each; a command's parameters and its id, which is the hub's."""
    values = dict(item.properties) if item.command_id is None else {**item.properties, "command.id": item.command_id}
    return [{"name": name, "propertyType": _java(value), "propertyValue": _text(value)} for name, value in values.items()]


def _java(value: Any) -> str:
    return {bool: "boolean", int: "long", float: "double"}.get(type(value), "string")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
