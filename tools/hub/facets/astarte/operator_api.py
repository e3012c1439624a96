"""The operator's calls about updates, by the hub's own ids, under /astarte/operator/devices/ID/updates: the real service has none.

The updates of a device with their state, asking for one with a file of the hub, giving one up. Every call carries the operator key.
"""

import re
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse
from sqlalchemy import Connection

from tools.hub import times
from tools.hub.domain import updates
from tools.hub.domain.model import get_device
from tools.hub.errors import Invalid
from tools.hub.facets import wire
from tools.hub.facets.astarte import shapes
from tools.hub.facets.astarte.api import PREFIX, RESULTS_MAX
from tools.hub.hub import Hub

UPDATES = f"{PREFIX}/operator/devices/{{device_id}}/updates"
_PAGE_MAX = 1000
_WHOLE = re.compile(r"\+?\d{1,18}", re.ASCII)


def router(hub: Hub) -> APIRouter:
    """The routes, all behind the operator key."""
    facet = OperatorFacet(hub)

    async def operator_only(request: Request) -> None:
        hub.check_operator(wire.authorization(request))

    api = APIRouter(tags=["astarte: operator"], dependencies=[Depends(operator_only)])
    for method, path, endpoint in (
        ("GET", UPDATES, facet.list_updates),
        ("POST", UPDATES, facet.request_update),
        ("GET", f"{UPDATES}/{{uuid}}", facet.get_update),
        ("DELETE", f"{UPDATES}/{{uuid}}", facet.cancel_update),
    ):
        api.add_api_route(path, endpoint, methods=[method])
    return api


class OperatorFacet:
    """One method per call."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def list_updates(self, device_id: str, request: Request) -> JSONResponse:
        """The device's updates with their state, newest first; `limit` and `offset`."""
        limit, offset = (request.query_params.get(name, default) for name, default in (("limit", "100"), ("offset", "0")))
        if not all(_WHOLE.fullmatch(text) for text in (limit, offset)):
            raise Invalid("limit and offset must be whole numbers from 0")

        def work(db: Connection) -> list[dict[str, Any]]:
            get_device(db, device_id)
            return [shapes.update(item) for item in updates.list_updates(db, device_id, min(int(limit), _PAGE_MAX), int(offset))]

        return JSONResponse({"items": await self._hub.store.read(work)})

    async def request_update(self, device_id: str, request: Request) -> JSONResponse:
        """Send the device an OTARequest: `file_id` of a file of the hub, or `url`."""
        body = await wire.read_object(request)
        made = await self._hub.do(lambda unit: updates.request(unit, get_device(unit.db, device_id), body))
        return JSONResponse(shapes.update(made), 201)

    async def get_update(self, device_id: str, uuid: str) -> JSONResponse:
        """One update with its events, oldest first."""

        def work(db: Connection) -> dict[str, Any]:
            found = updates.get(db, get_device(db, device_id).id, uuid)
            events = updates.list_events(db, device_id, uuid=uuid, limit=RESULTS_MAX)
            return {**shapes.update(found), "events": [shapes.sample(item, times.iso(item.sent_at)) for item in events]}

        return JSONResponse(await self._hub.store.read(work))

    async def cancel_update(self, device_id: str, uuid: str) -> JSONResponse:
        """Send the device a Cancel of this update; it answers with an event."""
        return JSONResponse(shapes.update(await self._hub.do(lambda unit: updates.cancel(unit, get_device(unit.db, device_id), uuid))))
