"""The Xyte facet, device side over HTTP, under /xyte: seed 000 and reference xyte §1 and §2.

Decisions where the reference leaves room: any `hardware_key` is known until the operator says otherwise; a telemetry message over
128 KB, and any body over the limit, is 422; GET /license has the oldest licence that the device has not answered, GET /licenses all of
those; GET /space of an unclaimed device is 404; a repeated report of the same final status of a command or licence is taken again, another
one is 403; device info and the answers to Update Config, Update Command and Update Device are the thing as it is then; what came of a
closed incident is `{"success": true}`.

Files and dumps are in files_api.py, children in children_api.py, what all calls have in common in calls.py.

Left out of the vendor's API: telemetries of devices that are not each other's children in one call (ref/send-mass-telemetry), moving
itself to another space, incidents opened by rules. The vendor's number for the rate limit over 30 s is not published: `--rate-limit`.
"""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from tools.hub.domain import children, commands, configuration, devices, events, incidents, licenses, spaces, telemetry
from tools.hub.domain.model import Device, get_device
from tools.hub.errors import NotFound, Refused
from tools.hub.facets import wire
from tools.hub.facets.xyte import children_api, files_api, shapes
from tools.hub.facets.xyte.calls import Calls
from tools.hub.hub import Hub
from tools.hub.store.unit import Unit


def router(hub: Hub) -> APIRouter:
    """The routes of the device side."""
    facet = DeviceFacet(hub)
    api = APIRouter(prefix=f"{shapes.PREFIX}/v1/devices", tags=["xyte: device"])
    api.add_api_route("", facet.register, methods=["POST"], status_code=201)
    for method, path, endpoint in (
        ("POST", "/telemetry", facet.send_telemetry),
        ("GET", "/config", facet.get_config),
        ("POST", "/config", facet.update_config),
        ("GET", "/command", facet.get_command),
        ("POST", "/command", facet.update_command),
        ("GET", "/license", facet.get_license),
        ("GET", "/licenses", facet.get_licenses),
        ("POST", "/licenses", facet.update_license),
        ("GET", "/space", facet.get_space),
        ("PUT", "/cloud_settings", facet.set_cloud_settings),
        ("POST", "/incidents", facet.open_incident),
        ("GET", "/incidents", facet.get_incidents),
        ("DELETE", "/incidents", facet.close_incidents),
        ("DELETE", "/incidents/{incident_id}", facet.close_incident),
        ("POST", "/events", facet.add_event),
        ("GET", "", facet.get_info),
        ("PUT", "", facet.update_device),
        ("DELETE", "", facet.delete),
        ("GET", "/", facet.get_info),
        ("PUT", "/", facet.update_device),
        ("DELETE", "/", facet.delete),
    ):
        api.add_api_route("/{device_id}" + path, endpoint, methods=[method], include_in_schema=path != "/")
    files_api.add_routes(api, hub)
    children_api.add_routes(api, hub)
    return api


class DeviceFacet(Calls):
    """One method per call of the table in reference xyte §2 that is about the device itself."""

    async def register(self, request: Request) -> JSONResponse:
        """Register Device: no key needed; gives the device its own."""
        raw = b""
        try:
            raw = await wire.read_body(request)
            body = wire.decode_object(raw)
            url, host = self._public(request)

            def work(unit: Unit) -> devices.Credentials:
                self._count(unit, request)
                return devices.register(unit, body, url)

            made = await self._hub.do(work)
        except Refused as refused:
            data = {"bytes": str(len(raw)), "transport": "http", "kind": "register", "refused": str(refused)}
            self._hub.activities.emit("upstreamMessage", self._hub.home, None, data)
            raise
        answer = {
            "id": made.id,
            "access_key": made.access_key,
            "hub_url": url,
            "hub_url_static_cert": url,
            "mqtt_hub_url": self._hub.mqtt_url_for(host),
        }
        return JSONResponse(answer, 201)

    async def send_telemetry(self, device_id: str, request: Request) -> JSONResponse:
        """Send Telemetry; `Idempotency-Key` is the message's number, if it has one."""
        number = telemetry.number_of(request.headers.getlist("idempotency-key"))

        def handle(unit: Unit, device: Device, body: dict[str, Any]) -> dict[str, Any]:
            telemetry.send(unit, device, body, number)
            return telemetry.reply(unit, device)

        return await self._take(device_id, request, "telemetry", handle, limit=telemetry.MESSAGE_MAX)

    async def get_config(self, device_id: str, request: Request) -> JSONResponse:
        """Get Config, in the nested form."""
        return await self._give(device_id, request, "config", lambda _, device: shapes.config_nested(device))

    async def update_config(self, device_id: str, request: Request) -> JSONResponse:
        """Update Config, in either form."""

        def handle(unit: Unit, device: Device, body: dict[str, Any]) -> dict[str, Any]:
            return shapes.config_nested(configuration.set_by_device(unit, device, *shapes.read_config(body)))

        return await self._take(device_id, request, "config", handle)

    async def get_command(self, device_id: str, request: Request) -> JSONResponse:
        """Get Command: the one in progress, so that a restarted device resumes, else the oldest pending one; 404 when there is none."""

        def handle(unit: Unit, device: Device) -> dict[str, Any]:
            command = commands.current(unit.db, device.id)
            if command is None:
                raise NotFound("No pending commands")
            return self._command(request, command, unit.now)

        return await self._give(device_id, request, "command", handle)

    async def update_command(self, device_id: str, request: Request) -> JSONResponse:
        """Update Command, a child's too; other keys than id, status and message are ignored (one client sends the whole command back)."""

        def handle(unit: Unit, device: Device, body: dict[str, Any]) -> dict[str, Any]:
            command = commands.report(unit, children.owner_of(unit.db, device, body.get("id")), body)
            return {**shapes.command(command), "message": command.message}

        return await self._take(device_id, request, "command", handle)

    async def get_license(self, device_id: str, request: Request) -> JSONResponse:
        """Get License: the oldest one that the device has not answered, `{}` when there is none."""

        def handle(unit: Unit, device: Device) -> dict[str, Any]:
            waiting = licenses.hand_out(unit, device, 1)
            return shapes.license_single(waiting[0], unit.now) if waiting else {}

        return await self._give(device_id, request, "license", handle)

    async def get_licenses(self, device_id: str, request: Request) -> JSONResponse:
        """Get Licenses: all that the device has not answered."""

        def handle(unit: Unit, device: Device) -> list[dict[str, Any]]:
            return [shapes.license_in_list(item, unit.now) for item in licenses.hand_out(unit, device)]

        return await self._give(device_id, request, "license", handle)

    async def update_license(self, device_id: str, request: Request) -> JSONResponse:
        """Update License."""

        def handle(unit: Unit, device: Device, body: dict[str, Any]) -> dict[str, Any]:
            license = licenses.report(unit, device, body)
            return {"id": license.id, "state": license.state, "error": license.error}

        return await self._take(device_id, request, "license", handle)

    async def get_space(self, device_id: str, request: Request) -> JSONResponse:
        """Get Space Info; 404 while the device is not claimed."""

        def handle(unit: Unit, device: Device) -> dict[str, Any]:
            info = spaces.info_for(device, spaces.of_collection(unit.db, device.collection_id))
            if not info:
                raise NotFound("Device is not claimed")
            return shapes.space_info(info, unit.now)

        return await self._give(device_id, request, "space_info", handle)

    async def set_cloud_settings(self, device_id: str, request: Request) -> JSONResponse:
        """Set Cloud Settings, in both forms; answers with all of them."""
        return await self._take(device_id, request, "cloud_settings", devices.set_cloud_setting)

    async def open_incident(self, device_id: str, request: Request) -> JSONResponse:
        """Open Incident: title, priority, issue, description (dev.xyte.io ref/create-incident)."""

        def handle(unit: Unit, device: Device, body: dict[str, Any]) -> dict[str, Any]:
            return {"incident_id": incidents.open_one(unit, device, body, incidents.DEVICE).id}

        return await self._take(device_id, request, "incident", handle)

    async def get_incidents(self, device_id: str, request: Request) -> JSONResponse:
        """Get Incidents: the open ones, whoever opened them."""

        def handle(unit: Unit, device: Device) -> list[dict[str, Any]]:
            return [shapes.incident(item) for item in incidents.list_open(unit.db, device.id)]

        return await self._give(device_id, request, "", handle)

    async def close_incident(self, device_id: str, incident_id: str, request: Request) -> JSONResponse:
        """Close Incident, one that the operator opened too; once more does nothing."""

        def handle(unit: Unit, device: Device, _body: dict[str, Any]) -> dict[str, Any]:
            incidents.close(unit, incident_id, device)
            return {"success": True}

        return await self._take(device_id, request, "incident", handle, empty=True)

    async def close_incidents(self, device_id: str, request: Request) -> JSONResponse:
        """Close Incidents: all that the device itself has opened, after a restart."""

        def handle(unit: Unit, device: Device, _body: dict[str, Any]) -> dict[str, Any]:
            incidents.close_own(unit, device)
            return {"success": True}

        return await self._take(device_id, request, "incident", handle, empty=True)

    async def add_event(self, device_id: str, request: Request) -> JSONResponse:
        """Add Event."""

        def handle(unit: Unit, device: Device, body: dict[str, Any]) -> dict[str, Any]:
            events.add(unit, device, body)
            return {"status": True}

        return await self._take(device_id, request, "event", handle)

    async def get_info(self, device_id: str, request: Request) -> JSONResponse:
        """Device info."""
        return await self._give(device_id, request, "", lambda _, device: shapes.device_info(device))

    async def update_device(self, device_id: str, request: Request) -> JSONResponse:
        """Update Device: 10 calls an hour."""

        def handle(unit: Unit, device: Device, body: dict[str, Any]) -> dict[str, Any]:
            devices.update_device(unit, device, body, limited=True)
            return shapes.device_info(get_device(unit.db, device.id))

        return await self._take(device_id, request, "update", handle)

    async def delete(self, device_id: str, request: Request) -> JSONResponse:
        """Delete Device."""

        def handle(unit: Unit, device: Device) -> dict[str, Any]:
            devices.remove(unit, device, "device", self._hub.settings.data)
            return {"success": True}

        return await self._give(device_id, request, "", handle)
