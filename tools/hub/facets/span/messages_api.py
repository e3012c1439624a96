"""The inbox and the outbox of a device."""

from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse
from sqlalchemy import Connection

from tools.hub.domain import commands, telemetry
from tools.hub.errors import Conflict, Invalid, NotAllowed
from tools.hub.facets import wire
from tools.hub.facets.span import shapes
from tools.hub.facets.span.reading import PAGE_MAX, device_of, page_of
from tools.hub.hub import Hub
from tools.hub.store.unit import Unit


class MessageCalls:
    """One method per call."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def list_inbox(self, collection_id: str, device_id: str, request: Request) -> JSONResponse:
        """What the device has sent, newest first: limit, and start and end (ms), or offset (a messageId: those before it)."""
        limit, between, offset = page_of(request, self._hub.now())

        def work(db: Connection) -> list[dict[str, Any]]:
            device = device_of(db, collection_id, device_id)
            return [shapes.upstream(item, device) for item in telemetry.inbox(db, device.id, limit, between, offset)]

        return JSONResponse({"messages": await self._hub.store.read(work)})

    async def list_outbox(self, collection_id: str, device_id: str, request: Request) -> JSONResponse:
        """What the device was or is to be sent, newest first: limit, start, end (ms). The hub's commands, from whichever facet."""
        limit, between, offset = page_of(request, self._hub.now())
        if offset is not None:
            raise Invalid("the outbox takes limit, start and end")
        after, until = between or (0.0, self._hub.now())

        def work(db: Connection) -> list[dict[str, Any]]:
            device = device_of(db, collection_id, device_id)
            found = commands.list_commands(db, device.id, PAGE_MAX, 0)
            waiting = [item for item in found if after <= item.created_at <= until and item.status != commands.CANCELLED]
            return [shapes.downstream(item, device) for item in waiting[:limit]]

        return JSONResponse({"messages": await self._hub.store.read(work)})

    async def add_to_outbox(self, collection_id: str, device_id: str, request: Request) -> JSONResponse:
        """Send the device a message: payload, base64."""
        command = shapes.read_outbox(await wire.read_object(request))

        def work(unit: Unit) -> dict[str, Any]:
            device = device_of(unit.db, collection_id, device_id)
            return shapes.downstream(commands.queue(unit, device, command), device)

        return JSONResponse(await self._hub.do(work))

    async def delete_from_outbox(self, collection_id: str, device_id: str, message_id: str) -> JSONResponse:
        """Take a message back that the device has not answered; 409 once it has."""

        def work(unit: Unit) -> dict[str, Any]:
            device = device_of(unit.db, collection_id, device_id)
            try:
                command = commands.cancel(unit, device, message_id)
            except NotAllowed as refused:
                raise Conflict(str(refused)) from None
            return {"messageId": command.id, "collectionId": device.collection_id, "deviceId": device.id}

        return JSONResponse(await self._hub.do(work))
