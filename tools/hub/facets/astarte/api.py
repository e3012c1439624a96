"""The Astarte facet over HTTP, under /astarte: AppEngine's reading of what devices have sent, and writing of what they are sent.

`/astarte/appengine/v1/REALM/devices/...`: one device, its interfaces, and the samples of io.edgehog.devicemanager.OTAEvent with AppEngine's
parameters (since, since_after, to, limit, format, keep_milliseconds, downsample_to); a POST to
`io.edgehog.devicemanager.OTARequest/request` sends a device that request. Bodies are wrapped in `data`, errors in `errors`, with
the words of the real service. The samples are in the order of their time; the newest come first where there is a limit and neither since,
since_after nor to. Without any sample the answer is 404, "Path not found".

Credentials: `Authorization: Bearer`, with the operator key, or a token of /span/operator/tokens, one that only reads for GET.

What the real service has no call for is in operator_api.py.

Left out: aliases, attributes, groups, statistics, rooms, deleting, all other interfaces; realm management, pairing and housekeeping.
"""

import re
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from sqlalchemy import Connection

from tools.hub import times
from tools.hub.astarte_ids import device_id, hub_id
from tools.hub.domain import devices, updates
from tools.hub.domain.model import Device, find_device, push
from tools.hub.domain.updates import Event
from tools.hub.errors import Invalid, NotAllowed, NotAuthorized, NotFound
from tools.hub.facets import wire
from tools.hub.facets.astarte import shapes
from tools.hub.facets.astarte.interfaces import INTERFACES, OTA_EVENT, OTA_REQUEST
from tools.hub.facets.astarte.shapes import Detailed, WrongFields
from tools.hub.hub import Hub
from tools.hub.store.unit import Unit

PREFIX = "/astarte"
RESULTS_MAX = 10_000  # samples in an answer
DEVICES_MAX = 1_000  # devices in a page
_WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_FORMATS = ("structured", "table", "disjoint_tables")


def router(hub: Hub) -> APIRouter:
    """The routes of the facet."""
    facet = AstarteFacet(hub)
    api = APIRouter(prefix=PREFIX, tags=["astarte"])
    base = "/appengine/v1/{realm}/devices"
    values = f"{base}/{{device}}/interfaces/{{interface}}"
    for method, path, endpoint in (
        ("GET", base, facet.list_devices),
        ("GET", f"{base}/{{device}}", facet.get_device),
        ("GET", f"{base}/{{device}}/interfaces", facet.list_interfaces),
        ("GET", values, facet.get_values),
        ("GET", f"{values}/{{path:path}}", facet.get_values),
        ("POST", f"{values}/{{path:path}}", facet.send),
        ("PUT", f"{values}/{{path:path}}", facet.send),
    ):
        api.add_api_route(path, endpoint, methods=[method])
    return api


@dataclass(frozen=True)
class _Options:
    """What AppEngine's parameters ask for."""

    since: float | None
    after: bool
    to: float | None
    limit: int | None
    downsample_to: int | None
    milliseconds: bool
    format: str

    @classmethod
    def read(cls, request: Request) -> "_Options":
        """Raises WrongFields."""
        query, errors = request.query_params, dict[str, list[str]]()

        def instant(name: str) -> float | None:
            if name not in query:
                return None
            try:
                return times.parse(query[name])
            except ValueError:
                errors[name] = ["is invalid"]
                return None

        def number(name: str, least: int, words: str) -> int | None:
            if name not in query:
                return None
            if not _WHOLE.fullmatch(query[name]):
                errors[name] = ["is invalid"]
            elif int(query[name]) < least:
                errors[name] = [words]
            else:
                return int(query[name])
            return None

        def switch(name: str) -> bool:
            if query.get(name, "false") not in ("true", "false", "1", "0"):
                errors[name] = ["is invalid"]
            return query.get(name) in ("true", "1")

        since, since_after, to = instant("since"), instant("since_after"), instant("to")
        if "since" in query and "since_after" in query:
            errors["since_after"] = ["conflicts already set parameter"]
        limit = number("limit", 0, "must be greater than or equal to 0")
        downsample_to = number("downsample_to", 3, "must be greater than 2")
        milliseconds = switch("keep_milliseconds")
        for name in ("retrieve_metadata", "allow_bigintegers", "allow_safe_bigintegers"):
            switch(name)
        shown = query.get("format", _FORMATS[0])
        if shown not in _FORMATS:
            errors["format"] = ["is invalid"]
        if errors:
            raise WrongFields(errors)
        return cls(since if since is not None else since_after, since is None, to, limit, downsample_to, milliseconds, shown)


class AstarteFacet:
    """One method per call."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def list_devices(self, realm: str, request: Request) -> JSONResponse:
        """The ids of the devices, or with `details=true` all about each; `limit`, and `from_token` of the answer's next link."""
        self._enter(realm, request)
        query = request.query_params
        limit, token = query.get("limit", str(DEVICES_MAX)), query.get("from_token", "0")
        if not _WHOLE.fullmatch(limit) or int(limit) < 0 or not _WHOLE.fullmatch(token) or int(token) < 0:
            raise WrongFields({"limit": ["is invalid"]})
        size, begin = min(int(limit) or DEVICES_MAX, DEVICES_MAX), int(token)
        found = await self._hub.store.read(lambda db: devices.list_devices(db, size + 1, begin))
        shown: list[Any] = [device_id(item.id) for item in found[:size]]
        if query.get("details") == "true":
            shown = [shapes.device(item) for item in found[:size]]
        links = {"self": f"/v1/{realm}/devices"}
        if len(found) > size:
            links["next"] = f"/v1/{realm}/devices?limit={size}&from_token={begin + size}"
        return JSONResponse({"data": shown, "links": links})

    async def get_device(self, realm: str, device: str, request: Request) -> JSONResponse:
        """One device: whether it is connected, and its introspection."""
        self._enter(realm, request)
        return JSONResponse({"data": shapes.device(await self._hub.store.read(lambda db: _find(db, device)))})

    async def list_interfaces(self, realm: str, device: str, request: Request) -> JSONResponse:
        """The names of the device's interfaces."""
        self._enter(realm, request)
        return JSONResponse({"data": sorted(await self._hub.store.read(lambda db: _introspection(db, _find(db, device))))})

    async def get_values(self, realm: str, device: str, interface: str, request: Request, path: str = "") -> JSONResponse:
        """The samples of an interface, on its path or, without one, by path."""
        self._enter(realm, request)
        options = _Options.read(request)

        def work(db: Connection) -> list[Event]:
            found = _find(db, device)
            if interface not in _introspection(db, found):
                raise Detailed(404, "Interface not found in device introspection")
            known = INTERFACES.get(interface)
            if known is None:
                raise Detailed(404, "Interface not found")
            if path and f"/{path}" != known.path:
                raise Detailed(404, "Endpoint not found")
            if known is not OTA_EVENT:
                return []
            last = options.limit is not None and options.since is None and options.to is None
            most = RESULTS_MAX if options.limit is None else min(options.limit, RESULTS_MAX)
            since, after = options.since, options.after
            return updates.list_events(db, found.id, since=since, after=after, until=options.to, limit=most, newest_first=last)

        events = _thinned(await self._hub.store.read(work), options.downsample_to)
        if not events and path:
            raise Detailed(404, "Path not found")
        shown = _shown(events, options)
        if not path:
            shown = {"data": {OTA_EVENT.path[1:]: shown["data"]} if events else {}}
        return JSONResponse(shown)

    async def send(self, realm: str, device: str, interface: str, path: str, request: Request) -> JSONResponse:
        """Send the device a value of an interface that is the server's: OTARequest, Update or Cancel."""
        self._enter(realm, request, write=True)
        body = await wire.read_object(request)

        def work(unit: Unit) -> dict[str, Any]:
            found = _find(unit.db, device)
            if interface not in _introspection(unit.db, found):
                raise Detailed(404, "Interface not found in device introspection")
            if interface != OTA_REQUEST.name:
                raise Detailed(405, "Cannot write to device owned resource")
            if f"/{path}" != OTA_REQUEST.path:
                raise Detailed(400, "Endpoint not found")
            values = body.get("data")
            unexpected = sorted(set(values) - set(OTA_REQUEST.keys)) if isinstance(values, dict) else []
            if unexpected:
                raise Detailed(400, "Unexpected object key", unexpected_keys=unexpected[:16])
            return _ask(unit, found, OTA_REQUEST.check(values, whole=False))

        return JSONResponse({"data": await self._hub.do(work)})

    def _enter(self, realm: str, request: Request, *, write: bool = False) -> None:
        """Raises NotAuthorized and Detailed."""
        token = wire.authorization(request).removeprefix("Bearer ")
        access = self._hub.tokens.access_of(token) or self._hub.tokens.access_of_jwt(token, self._hub.now())
        if access is None or realm != self._hub.settings.astarte_realm:
            raise NotAuthorized()
        if write and access != "write":
            raise Detailed(403, "Forbidden")


def _find(db: Connection, device: str) -> Device:
    known = hub_id(device)
    if known is None:
        raise Detailed(400, "Bad request")
    found = find_device(db, known)
    if found is None:
        raise Detailed(404, "Device not found")
    return found


def _introspection(db: Connection, device: Device) -> dict[str, Any]:
    """What the device has told; of one that has told none the interface that it has sent data of."""
    if device.introspection is not None:
        return device.introspection
    return {OTA_EVENT.name: [OTA_EVENT.major, OTA_EVENT.minor]} if updates.list_updates(db, device.id, 1, 0) else {}


def _ask(unit: Unit, device: Device, values: dict[str, Any]) -> dict[str, Any]:
    operation, uuid = values.get("operation"), values.get("uuid")
    if operation == "Cancel":
        if uuid is None:
            raise Invalid("The key uuid is missing: it names the update that is to be given up")
        try:
            updates.cancel(unit, device, uuid)
        except (NotFound, NotAllowed):  # the device is the one to say so
            push(unit, device, "ota", {"operation": operation, "uuid": uuid})
    elif operation == "Update":
        updates.request(unit, device, {"uuid": uuid, "url": values.get("url")})
    else:
        raise Invalid("operation must be Update or Cancel")
    return values


def _thinned(events: list[Event], size: int | None) -> list[Event]:
    """At most about so many events, spread evenly, the first and the last among them."""
    if size is None or len(events) <= size:
        return events
    return [events[round(number * (len(events) - 1) / (size - 1))] for number in range(size)]


def _shown(events: list[Event], options: _Options) -> dict[str, Any]:
    samples = [shapes.sample(event, round(event.sent_at * 1000) if options.milliseconds else times.iso(event.sent_at)) for event in events]
    if options.format == "structured":
        return {"data": samples}
    if options.format == "disjoint_tables":
        return {"data": {key: [[sample[key], sample["timestamp"]] for sample in samples] for key in OTA_EVENT.keys}}
    header = ["timestamp", *OTA_EVENT.keys]
    metadata = {"columns": {name: number for number, name in enumerate(header)}, "table_header": header}
    return {"metadata": metadata, "data": [[sample[key] for key in header] for sample in samples]}
