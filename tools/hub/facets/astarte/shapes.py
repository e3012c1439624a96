"""How Astarte writes things: devices, samples and errors (reference edgehog-astarte, seed 002); and the hub's own updates."""

from typing import Any

from fastapi.responses import JSONResponse

from tools.hub import times
from tools.hub.astarte_ids import device_id
from tools.hub.domain.model import Device
from tools.hub.domain.updates import Event, Update
from tools.hub.errors import NotAuthorized, Refused


def device(item: Device) -> dict[str, Any]:
    """A device, as AppEngine tells of it."""
    declared = item.introspection or {}
    return {
        "id": device_id(item.id),
        "aliases": {"name": item.name},
        "attributes": {},
        "connected": item.online,
        "credentials_inhibited": False,
        "first_registration": times.iso(item.created_at),
        "groups": [],
        "introspection": {name: {"major": major, "minor": minor} for name, (major, minor) in declared.items()},
        "last_connection": None if item.seen_at is None else times.iso(item.seen_at),
    }


def sample(event: Event, timestamp: str | int) -> dict[str, Any]:
    """A sample of OTAEvent."""
    return {
        "requestUUID": event.uuid,
        "status": event.status,
        "statusProgress": event.progress,
        "statusCode": event.code,
        "message": event.message,
        "timestamp": timestamp,
    }


def update(item: Update) -> dict[str, Any]:
    """An update, as the hub's operator sees it."""
    return {
        "uuid": item.uuid,
        "device_id": item.device_id,
        "file_id": item.file_id,
        "url": item.url,
        "requested": item.requested,
        "cancelled": item.cancelled,
        "status": item.status,
        "progress": item.progress,
        "code": item.code,
        "message": item.message,
        "created_at": times.iso(item.created_at),
        "updated_at": times.iso(item.updated_at),
    }


# ---- errors


class Detailed(Refused):
    """A refusal with the real service's status and text."""

    def __init__(self, status: int, detail: str, **more: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.body = {"errors": {"detail": detail, **more}}


class WrongFields(Refused):
    """Parameters that are not what they must be: name -> what is wrong."""

    status = 422

    def __init__(self, errors: dict[str, list[str]]) -> None:
        super().__init__(", ".join(errors))
        self.body = {"errors": errors}


def refusal(refused: Refused) -> JSONResponse:
    """What is refused, in Astarte's words."""
    if isinstance(refused, NotAuthorized):
        return JSONResponse({"errors": {"detail": "Unauthorized"}}, 401)
    if isinstance(refused, Detailed | WrongFields):
        return JSONResponse(refused.body, refused.status)
    return JSONResponse({"errors": {"detail": str(refused)}}, refused.status)


def error(status: int, text: str) -> JSONResponse:
    """An error that no route of the facet has answered."""
    words = {404: "Not found", 500: "Internal server error"}
    return JSONResponse({"errors": {"detail": words.get(status, text)}}, status)
