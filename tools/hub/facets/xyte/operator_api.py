"""The operator's side of the Xyte facet, under /xyte: the vendor's paths (reference xyte §1), /operator/... where it publishes none.

Every call carries the operator key in `Authorization`. Decisions: `configuration` of a PATCH replaces the whole configuration; a list is
`{"items": [...]}`; `limit` is 1 to 1000 (default 100), `offset` from 0; history is newest first, and
`before` takes the `seq` of the last item seen.

Left out: the rest of the organization API (users, models, tickets, spaces as a tree).
"""

import asyncio
import contextlib
import uuid
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from sqlalchemy import Connection

from tools.hub.domain import (
    commands,
    configuration,
    devices,
    dumps,
    events,
    files,
    firmware,
    incidents,
    licenses,
    problems,
    spaces,
    telemetry,
)
from tools.hub.domain.model import Device, get_device
from tools.hub.domain.validation import text
from tools.hub.errors import Invalid, Malformed
from tools.hub.facets import wire
from tools.hub.facets.xyte import files_api, shapes
from tools.hub.hub import Hub
from tools.hub.security.signer import ALGORITHM, ENCODING
from tools.hub.store.unit import Unit

ORGANIZATION = "/xyte/core/v1/organization"
OPERATOR = "/xyte/operator"
PAGE_MAX = 1000


def router(hub: Hub) -> APIRouter:
    """The routes of the operator side, all behind the operator key."""
    facet = OperatorFacet(hub)

    async def operator_only(request: Request) -> None:
        hub.check_operator(wire.authorization(request))

    api = APIRouter(tags=["xyte: operator"], dependencies=[Depends(operator_only)])
    for method, path, endpoint in (
        ("GET", f"{ORGANIZATION}/devices", facet.list_devices),
        ("POST", f"{ORGANIZATION}/devices/claim", facet.claim),
        ("GET", f"{ORGANIZATION}/devices/{{device_id}}", facet.get_device),
        ("PATCH", f"{ORGANIZATION}/devices/{{device_id}}", facet.change),
        ("DELETE", f"{ORGANIZATION}/devices/{{device_id}}", facet.delete),
        ("DELETE", f"{ORGANIZATION}/devices/{{device_id}}/problems", facet.clear_problems),
        ("GET", f"{ORGANIZATION}/devices/{{device_id}}/commands", facet.list_commands),
        ("POST", f"{ORGANIZATION}/devices/{{device_id}}/commands", facet.queue_command),
        ("GET", f"{ORGANIZATION}/devices/{{device_id}}/commands/{{command_id}}", facet.get_command),
        ("DELETE", f"{ORGANIZATION}/devices/{{device_id}}/commands/{{command_id}}", facet.cancel_command),
        ("GET", f"{ORGANIZATION}/devices/{{device_id}}/incidents", facet.list_incidents_of),
        ("POST", f"{ORGANIZATION}/devices/{{device_id}}/incidents", facet.open_incident),
        ("GET", f"{ORGANIZATION}/incidents", facet.list_incidents),
        ("GET", f"{ORGANIZATION}/incidents/{{incident_id}}", facet.get_incident),
        ("DELETE", f"{ORGANIZATION}/incidents/{{incident_id}}", facet.close_incident),
        ("GET", f"{ORGANIZATION}/devices/{{device_id}}/events", facet.list_events),
        ("GET", f"{ORGANIZATION}/devices/{{device_id}}/telemetry", facet.get_telemetry),
        ("GET", f"{ORGANIZATION}/devices/{{device_id}}/telemetry/history", facet.get_history),
        ("GET", f"{ORGANIZATION}/devices/{{device_id}}/dumps", facet.list_dumps),
        ("GET", f"{ORGANIZATION}/devices/{{device_id}}/dumps/{{dump_id}}/content", facet.get_dump),
        ("DELETE", f"{ORGANIZATION}/devices/{{device_id}}/dumps/{{dump_id}}", facet.delete_dump),
        ("GET", f"{OPERATOR}/devices/{{device_id}}/licenses", facet.list_licenses),
        ("POST", f"{OPERATOR}/devices/{{device_id}}/licenses", facet.add_license),
        ("GET", f"{OPERATOR}/devices/{{device_id}}/licenses/{{license_id}}", facet.get_license),
        ("PUT", f"{OPERATOR}/devices/{{device_id}}/licenses/{{license_id}}", facet.renew_license),
        ("DELETE", f"{OPERATOR}/devices/{{device_id}}/licenses/{{license_id}}", facet.remove_license),
        ("GET", f"{OPERATOR}/license-key", facet.license_key),
        ("GET", f"{OPERATOR}/files", facet.list_files),
        ("POST", f"{OPERATOR}/files", facet.upload_file),
        ("GET", f"{OPERATOR}/files/{{file_id}}", facet.get_file),
        ("GET", f"{OPERATOR}/files/{{file_id}}/content", facet.get_content),
        ("DELETE", f"{OPERATOR}/files/{{file_id}}", facet.delete_file),
        ("GET", f"{OPERATOR}/models", facet.list_models),
        ("GET", f"{OPERATOR}/models/{{hardware_key:path}}", facet.get_model),
        ("PUT", f"{OPERATOR}/models/{{hardware_key:path}}", facet.set_model),
        ("DELETE", f"{OPERATOR}/models/{{hardware_key:path}}", facet.forget_model),
        ("GET", f"{OPERATOR}/spaces", facet.list_spaces),
        ("GET", f"{OPERATOR}/spaces/{{space_id:path}}", facet.get_space),
        ("PUT", f"{OPERATOR}/spaces/{{space_id:path}}", facet.set_space),
        ("DELETE", f"{OPERATOR}/spaces/{{space_id:path}}", facet.remove_space),
    ):
        api.add_api_route(path, endpoint, methods=[method], response_class=Response if path.endswith("/content") else JSONResponse)
    return api


class OperatorFacet:
    """One method per call."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def list_devices(self, request: Request) -> JSONResponse:
        """Every device, in the order of registration."""
        limit, offset, _ = _page(request)

        def work(db: Connection) -> list[dict[str, Any]]:
            return [_for_operator(db, device) for device in devices.list_devices(db, limit, offset)]

        return JSONResponse({"items": await self._hub.store.read(work)})

    async def claim(self, request: Request) -> JSONResponse:
        """Take a registered device, named by cloud_id or by sn (and mac, where several have it), into a space."""
        body = await wire.read_object(request)
        return await self._device(lambda unit: devices.claim(unit, body))

    async def get_device(self, device_id: str) -> JSONResponse:
        """All about one device."""
        return await self._device(lambda unit: get_device(unit.db, device_id))

    async def change(self, device_id: str, request: Request) -> JSONResponse:
        """Change name or configuration, or put the device into another space (space_id), as a claim does for one that has a sn."""
        body = await wire.read_object(request)
        unknown = [key for key in body if key not in ("name", "configuration", "space_id")]
        if unknown or not body:
            raise Malformed("PATCH takes name, configuration and space_id" + (f", not {unknown[0][:64]!r}" if unknown else ""))
        space_id = spaces.read_id(body["space_id"]) if "space_id" in body else None
        name = text(body["name"], "name", required=True) if "name" in body else None

        def work(unit: Unit) -> Device:
            device = get_device(unit.db, device_id)
            if "configuration" in body:
                configuration.set_by_operator(unit, device, body["configuration"])
            if name is not None:
                devices.rename(unit, device, name)
            if space_id is not None:
                devices.put(unit, get_device(unit.db, device_id), space_id)
            return get_device(unit.db, device_id)

        return await self._device(work)

    async def delete(self, device_id: str) -> JSONResponse:
        """Delete a device; it gets 401 from now on."""
        await self._hub.do(lambda unit: devices.remove(unit, get_device(unit.db, device_id), "operator", self._hub.settings.data))
        return JSONResponse({"success": True})

    async def clear_problems(self, device_id: str) -> JSONResponse:
        """The operator has seen what went wrong with the device: it is shown no longer."""

        def work(unit: Unit) -> Device:
            problems.clear_all(unit, get_device(unit.db, device_id))
            return get_device(unit.db, device_id)

        return await self._device(work)

    async def list_commands(self, device_id: str, request: Request) -> JSONResponse:
        """The device's commands with their status, newest first."""
        limit, offset, _ = _page(request)
        return await self._items(
            device_id, lambda db: [shapes.command_for_operator(item) for item in commands.list_commands(db, device_id, limit, offset)]
        )

    async def queue_command(self, device_id: str, request: Request) -> JSONResponse:
        """Queue a command: name, friendly_name, file_id, extra_params."""
        body = await wire.read_object(request)
        command = await self._hub.do(lambda unit: commands.queue(unit, get_device(unit.db, device_id), body))
        return JSONResponse(shapes.command_for_operator(command), 201)

    async def get_command(self, device_id: str, command_id: str) -> JSONResponse:
        """One command of the device, with its status."""
        return JSONResponse(shapes.command_for_operator(await self._hub.store.read(lambda db: commands.get(db, device_id, command_id))))

    async def cancel_command(self, device_id: str, command_id: str) -> JSONResponse:
        """Take a pending command back; 403 once the device has begun it."""
        command = await self._hub.do(lambda unit: commands.cancel(unit, get_device(unit.db, device_id), command_id))
        return JSONResponse(shapes.command_for_operator(command))

    async def list_incidents_of(self, device_id: str, request: Request) -> JSONResponse:
        """The device's incidents, open and closed, newest first; `status` and `priority` choose."""
        wanted, (limit, offset, _) = _incidents_wanted(request), _page(request)

        def work(db: Connection) -> list[dict[str, Any]]:
            found = incidents.list_incidents(db, limit, offset, device_id=device_id, **wanted)
            return [shapes.incident_for_operator(item) for item in found]

        return await self._items(device_id, work)

    async def list_incidents(self, request: Request) -> JSONResponse:
        """The incidents of all devices, open and closed, newest first; `status` and `priority` choose."""
        wanted, (limit, offset, _) = _incidents_wanted(request), _page(request)
        found = await self._hub.store.read(lambda db: incidents.list_incidents(db, limit + 1, offset, **wanted))
        items = [shapes.incident_for_operator(item) for item in found[:limit]]
        return JSONResponse({"items": items, "has_next_page": len(found) > limit})

    async def open_incident(self, device_id: str, request: Request) -> JSONResponse:
        """Open an incident of the device: title, priority, issue, description."""
        body = await wire.read_object(request)
        made = await self._hub.do(lambda unit: incidents.open_one(unit, get_device(unit.db, device_id), body, incidents.OPERATOR))
        return JSONResponse(shapes.incident_for_operator(made), 201)

    async def get_incident(self, incident_id: str) -> JSONResponse:
        """One incident."""
        return JSONResponse(shapes.incident_for_operator(await self._hub.store.read(lambda db: incidents.get(db, incident_id))))

    async def close_incident(self, incident_id: str) -> JSONResponse:
        """Close an incident, whoever opened it."""
        return JSONResponse(shapes.incident_for_operator(await self._hub.do(lambda unit: incidents.close(unit, incident_id))))

    async def list_events(self, device_id: str, request: Request) -> JSONResponse:
        """The device's events log, newest first."""
        limit, offset, before = _page(request)
        return await self._items(device_id, lambda db: events.list_events(db, device_id, limit, before, offset))

    async def list_files(self, request: Request) -> JSONResponse:
        """All files that devices may fetch, oldest first."""
        limit, offset, _ = _page(request)
        found = await self._hub.store.read(lambda db: files.list_files(db, limit, offset))
        return JSONResponse({"items": [shapes.file_for_operator(item) for item in found]})

    async def upload_file(self, request: Request) -> JSONResponse:
        """Upload a file: its bytes are the body, what it is stands in the query.

        name; file_type (default firmware; a bundle must be a sound one), version (SemVer, which firmware must have and a bundle
        brings), hardware_key (the model that it is for, default every one), desc, public_notes, checksum (default: its SHA-256),
        signature.
        """
        data = self._hub.settings.data
        said = files.announced(str(uuid.uuid4()), _once(request))
        path = files.new_path(data, said.id)
        try:
            length, sha256 = await wire.save_body(request, path, files.SIZE_MAX)
            said = await asyncio.to_thread(files.examined, said, path)
            kept = await self._hub.do(lambda unit: files.keep(unit, said, length, sha256, data))
        finally:
            path.unlink(missing_ok=True)
        return JSONResponse(shapes.file_for_operator(kept), 201)

    async def get_file(self, file_id: str) -> JSONResponse:
        """All about one file."""
        return JSONResponse(shapes.file_for_operator(await self._hub.store.read(lambda db: files.get(db, file_id))))

    async def get_content(self, file_id: str) -> Response:
        """The bytes of a file, or a range of them."""
        file = await self._hub.store.read(lambda db: files.get(db, file_id))
        path = files.path_of(self._hub.settings.data, file.id)
        return files_api.answer(path, files_api.stat(path), file.name, file.sha256)

    async def delete_file(self, file_id: str) -> JSONResponse:
        """Delete a file; 422 while a model has it as its latest firmware, or a device an unfinished command with it."""
        await self._hub.do(lambda unit: files.remove(unit, file_id))
        with contextlib.suppress(OSError):
            files.path_of(self._hub.settings.data, file_id).unlink()
        return JSONResponse({"success": True})

    async def get_telemetry(self, device_id: str) -> JSONResponse:
        """The merged state."""
        return JSONResponse(shapes.telemetry_for_operator(await self._hub.store.read(lambda db: get_device(db, device_id))))

    async def get_history(self, device_id: str, request: Request) -> JSONResponse:
        """The telemetry messages, newest first."""
        limit, offset, before = _page(request)
        return await self._items(device_id, lambda db: telemetry.history(db, device_id, limit, before, offset))

    async def list_dumps(self, device_id: str) -> JSONResponse:
        """What the device has uploaded."""
        return await self._items(device_id, lambda db: dumps.list_dumps(db, device_id))

    async def get_dump(self, device_id: str, dump_id: str) -> Response:
        """The bytes of a dump, or a range of them."""
        dump = await self._hub.store.read(lambda db: dumps.get(db, device_id, dump_id))
        path = dumps.path_of(self._hub.settings.data, dump.id)
        return files_api.answer(path, files_api.stat(path), dump.filename)

    async def delete_dump(self, device_id: str, dump_id: str) -> JSONResponse:
        """Delete a dump."""
        await self._hub.do(lambda unit: dumps.remove(unit, device_id, dump_id, self._hub.settings.data))
        return JSONResponse({"success": True})

    async def list_licenses(self, device_id: str, request: Request) -> JSONResponse:
        """The device's licences with their state and the device's error, oldest first."""
        limit, offset, _ = _page(request)
        return await self._items(
            device_id, lambda db: [shapes.license_for_operator(item) for item in licenses.list_licenses(db, device_id, limit, offset)]
        )

    async def add_license(self, device_id: str, request: Request) -> JSONResponse:
        """Give the device a licence: name, expires_at, fields {name: text, number, boolean or null}."""
        body = await wire.read_object(request)
        sign = self._hub.settings.signer.sign
        return await self._license(device_id, lambda unit, device: licenses.add(unit, device, body, sign), 201)

    async def get_license(self, device_id: str, license_id: str) -> JSONResponse:
        """One licence of the device, with its state."""
        return JSONResponse(shapes.license_for_operator(await self._hub.store.read(lambda db: licenses.get(db, device_id, license_id))))

    async def renew_license(self, device_id: str, license_id: str, request: Request) -> JSONResponse:
        """Sign a licence anew, with another expires_at or other fields where the body has them; null takes the expiry away."""
        body = await wire.read_object(request)
        sign = self._hub.settings.signer.sign
        return await self._license(device_id, lambda unit, device: licenses.renew(unit, device, license_id, body, sign))

    async def remove_license(self, device_id: str, license_id: str) -> JSONResponse:
        """Take a licence away: it is `pending` with the action `remove` until the device has answered."""
        return await self._license(device_id, lambda unit, device: licenses.remove(unit, device, license_id))

    async def license_key(self) -> JSONResponse:
        """The public key that licences are verified with, and how."""
        return JSONResponse({"pem": self._hub.settings.signer.public_pem(), "algorithm": ALGORITHM, "encoding": ENCODING})

    async def list_models(self) -> JSONResponse:
        """The models that the operator has said something of, or that devices have."""
        return JSONResponse({"items": await self._hub.store.read(firmware.list_models)})

    async def get_model(self, hardware_key: str) -> JSONResponse:
        """One model: whether it is known, and its latest firmware."""
        return JSONResponse(await self._hub.store.read(lambda db: firmware.get_model(db, hardware_key)))

    async def forget_model(self, hardware_key: str) -> JSONResponse:
        """Take back what was said of a model: it is known, and has no latest firmware."""
        await self._hub.do(lambda unit: firmware.forget_model(unit, hardware_key))
        return JSONResponse({"success": True})

    async def set_model(self, hardware_key: str, request: Request) -> JSONResponse:
        """Say whether a model is known and what its latest firmware is: known, latest_fw_version, latest_fw_file_id."""
        body = await wire.read_object(request)
        return JSONResponse(await self._hub.do(lambda unit: firmware.set_model(unit, hardware_key, body)))

    async def list_spaces(self) -> JSONResponse:
        """All spaces, and the home of the unclaimed, whose id is null."""
        return JSONResponse({"items": [shapes.space_for_operator(space) for space in await self._hub.store.read(spaces.list_spaces)]})

    async def get_space(self, space_id: str) -> JSONResponse:
        """One space."""
        return JSONResponse(shapes.space_for_operator(await self._hub.store.read(lambda db: spaces.get(db, space_id))))

    async def remove_space(self, space_id: str) -> JSONResponse:
        """Delete a space; 422 while devices are in it."""
        await self._hub.do(lambda unit: spaces.remove(unit, space_id))
        return JSONResponse({"success": True})

    async def set_space(self, space_id: str, request: Request) -> JSONResponse:
        """Name a space and say where it is: name, info {coordinates {lat, lng}, utc_offset, location, temperature_units, maintenance}."""
        body = await wire.read_object(request)
        space = await self._hub.do(lambda unit: spaces.change(unit, space_id, body.get("name"), body.get("info")))
        return JSONResponse(shapes.space_for_operator(space))

    async def _device(self, work: Callable[[Unit], Device]) -> JSONResponse:
        def then_show(unit: Unit) -> dict[str, Any]:
            return _for_operator(unit.db, work(unit))

        return JSONResponse(await self._hub.do(then_show))

    async def _license(self, device_id: str, work: Callable[[Unit, Device], licenses.License], status: int = 200) -> JSONResponse:
        license = await self._hub.do(lambda unit: work(unit, get_device(unit.db, device_id)))
        return JSONResponse(shapes.license_for_operator(license), status)

    async def _items(self, device_id: str, work: Callable[[Connection], list[dict[str, Any]]]) -> JSONResponse:
        def of_a_device(db: Connection) -> list[dict[str, Any]]:
            get_device(db, device_id)
            return work(db)

        return JSONResponse({"items": await self._hub.store.read(of_a_device)})


def _for_operator(db: Connection, device: Device) -> dict[str, Any]:
    return shapes.device_for_operator(device, spaces.of_collection(db, device.collection_id))


def _once(request: Request) -> dict[str, str]:
    """The query, each name once. Raises Invalid."""
    items = request.query_params.multi_items()
    if len(items) != len(dict(items)):
        raise Invalid("The query has a name twice")
    return dict(items)


def _incidents_wanted(request: Request) -> dict[str, str]:
    """status and priority out of the query. Raises Invalid."""
    wanted = {}
    for name, values in (("status", incidents.STATUSES), ("priority", incidents.PRIORITIES)):
        value = request.query_params.get(name)
        if value is not None and value not in values:
            raise Invalid(f"{name} must be one of {', '.join(values)}")
        if value is not None:
            wanted[name] = value
    return wanted


def _page(request: Request) -> tuple[int, int, int | None]:
    """limit, offset and before out of the query. Raises Invalid."""
    limit = _number(request, "limit", 1, PAGE_MAX, 100)
    offset = _number(request, "offset", 0, 2**31 - 1, 0)
    before = _number(request, "before", 0, 2**53, -1)
    return limit, offset, None if before < 0 else before


def _number(request: Request, name: str, low: int, high: int, default: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 16 or not low <= int(text) <= high:
        raise Invalid(f"{name} must be a whole number from {low} to {high}")
    return int(text)
