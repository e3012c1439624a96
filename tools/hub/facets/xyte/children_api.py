"""The Xyte facet's calls of a gateway for the devices behind it (reference xyte §2, children; dev.xyte.io ref/register-child-device,
ref/send-child-telemetries, ref/get-commands-with-children). Only the parent's own key opens them.

Decisions: `model_id` is what others have as `hardware_key`, since the hub has no other name for a model; a child has a key of its own and
may use it; the list of children is an array of device infos, as the vendor publishes no schema; a child that is unknown and another's are
refused in the same words. No MQTT topic for any of this is documented.
"""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from tools.hub.domain import children, devices
from tools.hub.domain.model import Device
from tools.hub.facets.xyte import shapes
from tools.hub.facets.xyte.calls import Calls
from tools.hub.hub import Hub
from tools.hub.store.unit import Unit


def add_routes(api: APIRouter, hub: Hub) -> None:
    """What a gateway calls for the devices behind it."""
    facet = ChildrenFacet(hub)
    api.add_api_route("/{device_id}/children", facet.register, methods=["POST"], status_code=201)
    api.add_api_route("/{device_id}/children", facet.get_children, methods=["GET"])
    api.add_api_route("/{device_id}/children/telemetries", facet.send_telemetries, methods=["POST"])
    api.add_api_route("/{device_id}/command/pending_commands", facet.pending_commands, methods=["GET"])


class ChildrenFacet(Calls):
    """One method per call."""

    async def register(self, device_id: str, request: Request) -> JSONResponse:
        """Register Child Device: model_id, firmware_version, and optionally sn, mac, name, sub_model, details."""
        url, _ = self._public(request)

        def handle(unit: Unit, parent: Device, body: dict[str, Any]) -> dict[str, Any]:
            made = devices.register_child(unit, parent, body, parent.hub_url or url)
            return {"id": made.id, "access_key": made.access_key}

        return await self._take(device_id, request, "register", handle, status=201)

    async def get_children(self, device_id: str, request: Request) -> JSONResponse:
        """The devices behind this one."""

        def handle(unit: Unit, parent: Device) -> list[dict[str, Any]]:
            return [shapes.device_info(child) for child in children.list_children(unit.db, parent.id)]

        return await self._give(device_id, request, "", handle)

    async def send_telemetries(self, device_id: str, request: Request) -> JSONResponse:
        """Send Child Telemetries: `{child's id: telemetry}`, at most 100; each has its own reply, or `{"error": reason}`."""
        return await self._take(device_id, request, "children", children.send_telemetries, limit=children.MESSAGE_MAX)

    async def pending_commands(self, device_id: str, request: Request) -> JSONResponse:
        """All unfinished commands, those of the device and then those of its children."""

        def handle(unit: Unit, device: Device) -> list[dict[str, Any]]:
            return [self._command(request, command, unit.now) for command in children.unfinished_commands(unit.db, device)]

        return await self._give(device_id, request, "", handle)
