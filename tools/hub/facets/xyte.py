"""The Xyte facet, device side over HTTP, under /xyte: seed 000 and reference xyte §1 and §2.

Decisions where the reference leaves room: any `hardware_key` is known until the operator says otherwise; a telemetry message over
128 KB, and any body over the limit, is 422; an empty licence answer is `{}`; GET /space of an unclaimed device is 404; a repeated report
of the same final status of a command is taken again, another one is 403.

Left out of the vendor's API, so far: POST /licenses and the contents of licences (there are none), incidents, events, children and
their telemetries, multipart dumps, the rate limit over 30 s (its number is not published), hub_url_static_cert as another
address (it is hub_url). Files: the list is empty until firmware files are kept here.
"""

import re
import uuid
from typing import Any
from urllib.parse import unquote

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from tools.hub import wire
from tools.hub.domain import commands, configuration, devices, dumps, presence, telemetry
from tools.hub.domain.model import Device, find_space, get_device, tell
from tools.hub.errors import Invalid, Malformed, NotFound
from tools.hub.facets import xyte_shapes as shapes
from tools.hub.hub import Hub
from tools.hub.store import Unit

PREFIX = "/xyte"


def router(hub: Hub) -> APIRouter:
    """The routes of the device side."""
    facet = DeviceFacet(hub)
    api = APIRouter(prefix=f"{PREFIX}/v1/devices", tags=["xyte: device"])
    api.add_api_route("", facet.register, methods=["POST"], status_code=201)
    for method, path, endpoint in (
        ("POST", "/telemetry", facet.send_telemetry),
        ("GET", "/config", facet.get_config),
        ("POST", "/config", facet.update_config),
        ("GET", "/command", facet.get_command),
        ("POST", "/command", facet.update_command),
        ("GET", "/command/pending_commands", facet.pending_commands),
        ("GET", "/license", facet.get_license),
        ("GET", "/licenses", facet.get_licenses),
        ("GET", "/space", facet.get_space),
        ("PUT", "/cloud_settings", facet.set_cloud_settings),
        ("GET", "/files", facet.get_files),
        ("GET", "/files/{file_id}", facet.get_file),
        ("PUT", "/dumps/{dump_id}", facet.append_dump),
        ("POST", "/dumps/{name:path}", facet.send_dump),
        ("GET", "", facet.get_info),
        ("PUT", "", facet.update_device),
        ("DELETE", "", facet.delete),
    ):
        api.add_api_route("/{device_id}" + path, endpoint, methods=[method])
    return api


class DeviceFacet:
    """One method per call of the table in reference xyte §2."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def register(self, request: Request) -> JSONResponse:
        """Register Device: no key needed; gives the device its own."""
        body = await wire.read_object(request)
        made = await self._hub.do(lambda unit: devices.register(unit, body))
        url = (self._hub.settings.public_url or f"{request.url.scheme}://{request.url.netloc}") + PREFIX
        answer = {
            "id": made.id,
            "access_key": made.access_key,
            "hub_url": url,
            "hub_url_static_cert": url,
            "mqtt_hub_url": (self._hub.mqtt_url or "").replace("//0.0.0.0:", f"//{request.url.hostname}:"),
        }
        return JSONResponse(answer, 201)

    async def send_telemetry(self, device_id: str, request: Request) -> JSONResponse:
        """Send Telemetry."""
        raw = await wire.read_body(request, telemetry.MESSAGE_MAX)

        def work(unit: Unit) -> dict[str, Any]:
            device = _enter(unit, device_id, request)
            telemetry.send(unit, device, wire.decode_object(raw))
            _tell_up(unit, device, "telemetry", len(raw))
            return telemetry.reply(unit, device)

        return JSONResponse(await self._hub.do(work))

    async def get_config(self, device_id: str, request: Request) -> JSONResponse:
        """Get Config, in the nested form."""

        def work(unit: Unit) -> dict[str, Any]:
            device = _enter(unit, device_id, request)
            return _tell_down(unit, device, "config", shapes.config_nested(device))

        return JSONResponse(await self._hub.do(work))

    async def update_config(self, device_id: str, request: Request) -> JSONResponse:
        """Update Config, in either form."""
        raw = await wire.read_body(request)

        def work(unit: Unit) -> dict[str, Any]:
            device = _enter(unit, device_id, request)
            changed = configuration.set_by_device(unit, device, *shapes.read_config(wire.decode_object(raw)))
            _tell_up(unit, device, "config", len(raw))
            return shapes.config_nested(changed)

        return JSONResponse(await self._hub.do(work))

    async def get_command(self, device_id: str, request: Request) -> JSONResponse:
        """Get Command: the one in progress, so that a restarted device resumes, else the oldest pending one; 404 when there is none."""

        def work(unit: Unit) -> dict[str, Any]:
            device = _enter(unit, device_id, request)
            command = commands.current(unit.db, device.id)
            if command is None:
                raise NotFound("No pending commands")
            return _tell_down(unit, device, "command", shapes.command(command))

        return JSONResponse(await self._hub.do(work))

    async def update_command(self, device_id: str, request: Request) -> JSONResponse:
        """Update Command; other keys than id, status and message are ignored (one client sends the whole command back)."""
        raw = await wire.read_body(request)

        def work(unit: Unit) -> dict[str, Any]:
            device = _enter(unit, device_id, request)
            command = commands.report(unit, device, wire.decode_object(raw))
            _tell_up(unit, device, "command", len(raw))
            return {**shapes.command(command), "message": command.message}

        return JSONResponse(await self._hub.do(work))

    async def pending_commands(self, device_id: str, request: Request) -> JSONResponse:
        """All unfinished commands."""

        def work(unit: Unit) -> list[dict[str, Any]]:
            device = _enter(unit, device_id, request)
            return [shapes.command(command) for command in commands.unfinished(unit.db, device.id)]

        return JSONResponse(await self._hub.do(work))

    async def get_license(self, device_id: str, request: Request) -> JSONResponse:
        """Get License: `{}`, there is none."""
        await self._hub.do(lambda unit: _enter(unit, device_id, request))
        return JSONResponse({})

    async def get_licenses(self, device_id: str, request: Request) -> JSONResponse:
        """Get Licenses: `[]`, there are none."""
        await self._hub.do(lambda unit: _enter(unit, device_id, request))
        return JSONResponse([])

    async def get_space(self, device_id: str, request: Request) -> JSONResponse:
        """Get Space Info; 404 while the device is not claimed."""

        def work(unit: Unit) -> dict[str, Any]:
            device = _enter(unit, device_id, request)
            info = devices.space_info(device, find_space(unit.db, device.collection_id))
            if not info:
                raise NotFound("Device is not claimed")
            return _tell_down(unit, device, "space_info", shapes.space_info(info, unit.now))

        return JSONResponse(await self._hub.do(work))

    async def set_cloud_settings(self, device_id: str, request: Request) -> JSONResponse:
        """Set Cloud Settings, in both forms."""
        raw = await wire.read_body(request)

        def work(unit: Unit) -> dict[str, Any]:
            device = _enter(unit, device_id, request)
            settings = devices.set_cloud_setting(unit, device, wire.decode_object(raw))
            _tell_up(unit, device, "cloud_settings", len(raw))
            return settings

        return JSONResponse(await self._hub.do(work))

    async def get_files(self, device_id: str, request: Request) -> JSONResponse:
        """List Files."""
        await self._hub.do(lambda unit: _enter(unit, device_id, request, speaks=False))
        return JSONResponse([])

    async def get_file(self, device_id: str, file_id: str, request: Request) -> JSONResponse:
        """Get File."""

        def work(unit: Unit) -> dict[str, Any]:
            _enter(unit, device_id, request, speaks=False)
            raise NotFound(f"File not found: {file_id[:36]}")

        return JSONResponse(await self._hub.do(work))

    async def send_dump(self, device_id: str, name: str, request: Request) -> JSONResponse:
        """Send Dump, raw: POST /dumps/{mime%2Ftype}/{filename}; keeps the first megabyte or refuses."""
        mime, filename = _dump_name(request, name)
        body = await self._dump_body(device_id, request)
        dump = dumps.Dump(str(uuid.uuid4()), mime, filename, len(body))

        def work(unit: Unit) -> None:
            device = _enter(unit, device_id, request, speaks=False)
            dumps.keep(unit, device, dump, self._hub.settings.data, body)

        await self._hub.do(work)
        return JSONResponse({"id": dump.id, "length": dump.length}, 201)

    async def append_dump(self, device_id: str, dump_id: str, request: Request) -> JSONResponse:
        """Append to a dump."""
        body = await self._dump_body(device_id, request)

        def work(unit: Unit) -> int:
            device = _enter(unit, device_id, request, speaks=False)
            return dumps.append(unit, device, dump_id, self._hub.settings.data, body)

        return JSONResponse({"id": dump_id, "length": await self._hub.do(work)})

    async def get_info(self, device_id: str, request: Request) -> JSONResponse:
        """Device info."""
        device = await self._hub.do(lambda unit: _enter(unit, device_id, request))
        return JSONResponse(shapes.device_info(device))

    async def update_device(self, device_id: str, request: Request) -> JSONResponse:
        """Update Device: 10 calls an hour."""
        raw = await wire.read_body(request)

        def work(unit: Unit) -> dict[str, Any]:
            device = _enter(unit, device_id, request, speaks=False)
            devices.update_device(unit, device, wire.decode_object(raw))
            _tell_up(unit, device, "update", len(raw))
            return shapes.device_info(get_device(unit.db, device.id))

        return JSONResponse(await self._hub.do(work))

    async def delete(self, device_id: str, request: Request) -> JSONResponse:
        """Delete Device."""
        await self._hub.do(lambda unit: devices.remove(unit, _enter(unit, device_id, request), "device"))
        return JSONResponse({"success": True})

    async def _dump_body(self, device_id: str, request: Request) -> bytes:
        # the key first: a stranger does not get to send a megabyte
        await self._hub.do(lambda unit: devices.authenticate(unit.db, device_id, wire.authorization(request)))
        if request.headers.get("content-type", "").startswith("multipart/"):
            raise Malformed("Multipart dumps are not taken: send the raw body")
        return await wire.read_body(request, dumps.SIZE_MAX)


def _enter(unit: Unit, device_id: str, request: Request, *, speaks: bool = True) -> Device:
    """Who calls; any call is a sign of life."""
    device = devices.authenticate(unit.db, device_id, wire.authorization(request))
    return presence.seen(unit, device, "http", speaks=speaks)


def _tell_up(unit: Unit, device: Device, kind: str, size: int) -> None:
    tell(unit, "upstreamMessage", device, bytes=str(size), transport="http", kind=kind)


def _tell_down(unit: Unit, device: Device, kind: str, body: dict[str, Any]) -> dict[str, Any]:
    tell(unit, "downstreamMessage", device, bytes=str(len(wire.encoded(body))), transport="http", kind=kind)
    return body


def _dump_name(request: Request, name: str) -> tuple[str, str]:
    """Type and file name out of the path as it was sent: the slash of the type is escaped there, and no longer is in `name`."""
    raw = request.scope.get("raw_path", b"").decode("latin-1").split("/dumps/", 1)[-1].split("?")[0]
    parts = raw.split("/") if raw else name.split("/")
    if len(parts) == 3:  # a client that does not escape the slash
        parts = [f"{parts[0]}/{parts[1]}", parts[2]]
    mime, filename = (unquote(part) for part in parts) if len(parts) == 2 else ("", "")
    if not re.fullmatch(r"[\w.+-]{1,64}/[\w.+-]{1,64}", mime, re.ASCII) or not re.fullmatch(r"[^\0-\x1f/\\]{1,255}", filename):
        raise Invalid("Send dumps to /dumps/{type%2Fsubtype}/{filename}")
    return mime, filename
