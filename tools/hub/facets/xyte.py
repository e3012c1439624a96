"""The Xyte facet, device side over HTTP, under /xyte: seed 000 and reference xyte §1 and §2.

Decisions where the reference leaves room: any `hardware_key` is known until the operator says otherwise; a telemetry message over
128 KB, and any body over the limit, is 422; GET /license has the oldest licence that the device has not answered, GET /licenses all of
those; GET /space of an unclaimed device is 404; a repeated report of the same final status of a command or licence is taken again, another
one is 403; device info and the answers to Update Config,
Update Command and Update Device are the thing as it is then.

Left out of the vendor's API, so far: files themselves (the list is empty), incidents, events, children and their telemetries, multipart
dumps, the rate limit over 30 s (its number is not published).
"""

import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from tools.hub import wire
from tools.hub.domain import commands, configuration, devices, dumps, firmware, licenses, presence, telemetry
from tools.hub.domain.model import Device, find_device, find_space, get_device, tell
from tools.hub.errors import Malformed, NotFound, Refused
from tools.hub.facets import xyte_shapes as shapes
from tools.hub.hub import Hub
from tools.hub.store import Happening, Unit

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
        ("POST", "/licenses", facet.update_license),
        ("GET", "/space", facet.get_space),
        ("PUT", "/cloud_settings", facet.set_cloud_settings),
        ("GET", "/files", facet.get_files),
        ("GET", "/files/{file_id}", facet.get_file),
        ("PUT", "/dumps/{dump_id}", facet.append_dump),
        ("POST", "/dumps/{name:path}", facet.send_dump),
        ("GET", "", facet.get_info),
        ("PUT", "", facet.update_device),
        ("DELETE", "", facet.delete),
        ("GET", "/", facet.get_info),
        ("PUT", "/", facet.update_device),
        ("DELETE", "/", facet.delete),
    ):
        api.add_api_route("/{device_id}" + path, endpoint, methods=[method], include_in_schema=path != "/")
    return api


class DeviceFacet:
    """One method per call of the table in reference xyte §2."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def register(self, request: Request) -> JSONResponse:
        """Register Device: no key needed; gives the device its own."""
        raw = b""
        try:
            raw = await wire.read_body(request)
            body = wire.decode_object(raw)
            url, host = self._public(request)
            made = await self._hub.do(lambda unit: devices.register(unit, body))
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
            return shapes.command(command)

        return await self._give(device_id, request, "command", handle)

    async def update_command(self, device_id: str, request: Request) -> JSONResponse:
        """Update Command; other keys than id, status and message are ignored (one client sends the whole command back)."""

        def handle(unit: Unit, device: Device, body: dict[str, Any]) -> dict[str, Any]:
            command = commands.report(unit, device, body)
            return {**shapes.command(command), "message": command.message}

        return await self._take(device_id, request, "command", handle)

    async def pending_commands(self, device_id: str, request: Request) -> JSONResponse:
        """All unfinished commands."""

        def handle(unit: Unit, device: Device) -> list[dict[str, Any]]:
            return [shapes.command(command) for command in commands.unfinished(unit.db, device.id)]

        return await self._give(device_id, request, "", handle)

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
            info = devices.space_info(device, find_space(unit.db, device.collection_id))
            if not info:
                raise NotFound("Device is not claimed")
            return shapes.space_info(info, unit.now)

        return await self._give(device_id, request, "space_info", handle)

    async def set_cloud_settings(self, device_id: str, request: Request) -> JSONResponse:
        """Set Cloud Settings, in both forms; answers with all of them."""
        return await self._take(device_id, request, "cloud_settings", devices.set_cloud_setting)

    async def get_files(self, device_id: str, request: Request) -> JSONResponse:
        """List Files: `[]`, there are none."""
        return await self._give(device_id, request, "", lambda _unit, _device: [], speaks=False)

    async def get_file(self, device_id: str, file_id: str, request: Request) -> JSONResponse:
        """Get File: 404, there is none."""

        def handle(unit: Unit, device: Device) -> None:
            refused = NotFound(f"File not found: {file_id[:36]}")
            firmware.requested(unit, device, file_id, refused=str(refused))
            raise refused

        return await self._give(device_id, request, "", handle, speaks=False)

    async def send_dump(self, device_id: str, name: str, request: Request) -> JSONResponse:
        """Send Dump, raw: POST /dumps/{mime%2Ftype}/{filename}."""

        def keep(unit: Unit, device: Device, body: bytes) -> dict[str, Any]:
            mime, filename = _dump_name(request, name)
            dump = dumps.Dump(str(uuid.uuid4()), mime, filename, len(body))
            dumps.keep(unit, device, dump, self._hub.settings.data, body)
            return {"id": dump.id, "length": dump.length}

        return await self._take_dump(device_id, request, keep, 201)

    async def append_dump(self, device_id: str, dump_id: str, request: Request) -> JSONResponse:
        """Append to a dump."""

        def append(unit: Unit, device: Device, body: bytes) -> dict[str, Any]:
            return {"id": dump_id, "length": dumps.append(unit, device, dump_id, self._hub.settings.data, body)}

        return await self._take_dump(device_id, request, append, 200)

    async def get_info(self, device_id: str, request: Request) -> JSONResponse:
        """Device info."""
        return await self._give(device_id, request, "", lambda _, device: shapes.device_info(device))

    async def update_device(self, device_id: str, request: Request) -> JSONResponse:
        """Update Device: 10 calls an hour."""

        def handle(unit: Unit, device: Device, body: dict[str, Any]) -> dict[str, Any]:
            devices.update_device(unit, device, body)
            return shapes.device_info(get_device(unit.db, device.id))

        return await self._take(device_id, request, "update", handle)

    async def delete(self, device_id: str, request: Request) -> JSONResponse:
        """Delete Device."""

        def handle(unit: Unit, device: Device) -> dict[str, Any]:
            devices.remove(unit, device, "device", self._hub.settings.data)
            return {"success": True}

        return await self._give(device_id, request, "", handle)

    def _public(self, request: Request) -> tuple[str, str]:
        """hub_url, and the host in it: what the hub was started with, else what the device itself has used. Raises Malformed."""
        try:
            base = self._hub.settings.public_url or f"{request.url.scheme}://{request.url.netloc}"
            host = urlsplit(base).hostname
        except ValueError:
            host = None
        if not host or len(base) > 255:
            raise Malformed("The Host header is not a host")
        return base + PREFIX, host

    async def _take(
        self,
        device_id: str,
        request: Request,
        kind: str,
        handle: Callable[[Unit, Device, dict[str, Any]], Any],
        *,
        limit: int = wire.BODY_MAX,
    ) -> JSONResponse:
        """A message from the device: an upstreamMessage, taken or refused."""
        raw, too_much = await _body(request, limit)

        def work(unit: Unit) -> Any:
            try:
                device = _enter(unit, device_id, request)
                if too_much is not None:
                    raise too_much
                answer = handle(unit, device, wire.decode_object(raw))
            except Refused as refused:
                self._tell_refused(unit, device_id, kind, len(raw), refused)
                raise
            tell(unit, "upstreamMessage", device, bytes=str(len(raw)), transport="http", kind=kind, **unit.marks)
            return answer

        return JSONResponse(await self._hub.do(work))

    async def _give(
        self, device_id: str, request: Request, kind: str, handle: Callable[[Unit, Device], Any], *, speaks: bool = True
    ) -> JSONResponse:
        """A question of the device; the answer is a downstreamMessage when it is of a kind that a push could have had and not empty."""

        def work(unit: Unit) -> Any:
            try:
                device = _enter(unit, device_id, request, speaks=speaks)
            except Refused as refused:
                self._tell_refused(unit, device_id, kind or "query", 0, refused)
                raise
            answer = handle(unit, device)
            if kind and answer:
                tell(unit, "downstreamMessage", device, bytes=str(len(wire.encoded(answer))), transport="http", kind=kind)
            return answer

        return JSONResponse(await self._hub.do(work))

    async def _take_dump(
        self, device_id: str, request: Request, handle: Callable[[Unit, Device, bytes], dict[str, Any]], status: int
    ) -> JSONResponse:
        # the key first: a stranger does not get to send a megabyte
        await self._give(device_id, request, "", lambda _unit, _device: None, speaks=False)
        body, too_much = await _body(request, dumps.SIZE_MAX)

        def work(unit: Unit) -> dict[str, Any]:
            device = _enter(unit, device_id, request, speaks=False)
            try:
                if too_much is not None:
                    raise too_much
                if request.headers.get("content-type", "").startswith("multipart/"):
                    raise Malformed("Multipart dumps are not taken: send the raw body")
                return handle(unit, device, body)
            except Refused as refused:
                self._tell_refused(unit, device_id, "dump", len(body), refused)
                raise

        return JSONResponse(await self._hub.do(work), status)

    def _tell_refused(self, unit: Unit, device_id: str, kind: str, size: int, refused: Refused) -> None:
        known = find_device(unit.db, device_id) if devices.is_device_id(device_id) else None
        data = {"bytes": str(size), "transport": "http", "kind": kind, "refused": str(refused)}
        if known is None:
            unit.activities.append(Happening("upstreamMessage", None, self._hub.home, data))
        else:
            tell(unit, "upstreamMessage", known, **data)


async def _body(request: Request, limit: int) -> tuple[bytes, Refused | None]:
    """The body, or why there is none; who sent it is judged first."""
    try:
        return await wire.read_body(request, limit), None
    except Refused as refused:
        return b"", refused


def _enter(unit: Unit, device_id: str, request: Request, *, speaks: bool = True) -> Device:
    """Who calls; any call is a sign of life."""
    device = devices.authenticate(unit.db, device_id, wire.authorization(request))
    return presence.seen(unit, device, "http", speaks=speaks)


def _dump_name(request: Request, name: str) -> tuple[str, str]:
    """Type and file name out of the path as it was sent: the slash of the type is escaped there, and no longer is in `name`."""
    raw = request.scope.get("raw_path", b"").decode("latin-1").split("/dumps/", 1)[-1].split("?")[0]
    parts = raw.split("/") if raw else name.split("/")
    if len(parts) == 3:  # a client that does not escape the slash
        parts = [f"{parts[0]}/{parts[1]}", parts[2]]
    return dumps.check_name(*(unquote(part) for part in parts)) if len(parts) == 2 else dumps.check_name("", "")
