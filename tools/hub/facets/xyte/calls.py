"""What every call of a device over HTTP has in common: who calls, how often, what the activity feed is told of it."""

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from fastapi import Request
from fastapi.responses import JSONResponse

from tools.hub.domain import commands, devices, presence, problems
from tools.hub.domain.model import Device, tell
from tools.hub.errors import Malformed, NotAuthorized, Refused
from tools.hub.facets import forms, wire
from tools.hub.facets.upstream import Upstream
from tools.hub.facets.xyte import shapes
from tools.hub.hub import Hub
from tools.hub.store.unit import Unit

# what a device on MQTT sends or asks for there (mqtt.py): who calls it over HTTP polls. All else has no topic
_POLLED = ("telemetry", "config", "command", "license", "update", "cloud_settings", "space_info")


class Calls:
    """A device's calls; a part of the facet is a subclass with one method per call."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def _take(
        self,
        device_id: str,
        request: Request,
        kind: str,
        handle: Callable[[Unit, Device, dict[str, Any]], Any],
        *,
        limit: int = wire.BODY_MAX,
        status: int = 200,
        empty: bool = False,
    ) -> JSONResponse:
        """A message from the device: an upstreamMessage, taken or refused. With `empty` its body may be, and is then an empty object."""
        raw, too_much = await self._body(request, limit)
        message = Upstream(device_id, "http", kind, len(raw))

        def work(unit: Unit) -> Any:
            device = None
            try:
                device = self._enter(unit, device_id, request, kind)
                if too_much is not None:
                    raise too_much
                answer = handle(unit, device, {} if empty and not raw else wire.decode_object(raw))
            except Refused as refused:
                message.refused(self._hub, unit, device, refused)
                raise
            message.taken(unit, device)
            return answer

        return JSONResponse(await self._hub.do(work), status)

    async def _give(
        self, device_id: str, request: Request, kind: str, handle: Callable[[Unit, Device], Any], *, speaks: bool = True
    ) -> JSONResponse:
        """A question of the device; the answer is a downstreamMessage when it is of a kind that a push could have had and not empty."""

        def work(unit: Unit) -> Any:
            try:
                device = self._enter(unit, device_id, request, kind, speaks=speaks)
            except Refused as refused:
                Upstream(device_id, "http", kind or "query", 0).refused(self._hub, unit, None, refused)
                raise
            answer = handle(unit, device)
            if kind and answer:
                tell(unit, "downstreamMessage", device, bytes=str(len(wire.encoded(answer))), transport="http", kind=kind)
            return answer

        return JSONResponse(await self._hub.do(work))

    async def _take_bytes(
        self,
        device_id: str,
        request: Request,
        kind: str,
        handle: Callable[[Unit, Device, bytes], dict[str, Any]],
        *,
        field: str,
        limit: int,
        status: int,
    ) -> JSONResponse:
        """Bytes from the device, as the raw body or as this field of a form; what becomes of them, `handle` tells."""
        # the key first: a stranger does not get to send a megabyte
        await self._give(device_id, request, "", lambda _unit, _device: None, speaks=False)
        body, refused = await self._body(request, limit + forms.FORM_MAX if forms.is_multipart(request) else limit)
        if refused is None and forms.is_multipart(request):
            try:
                body = await asyncio.to_thread(forms.form_field, request, body, field)
            except Refused as error:
                refused = error

        def work(unit: Unit) -> dict[str, Any]:
            device = self._enter(unit, device_id, request, speaks=False, again=True)
            try:
                if refused is not None:
                    raise refused
                made = handle(unit, device, body)
            except Refused as error:
                Upstream(device_id, "http", kind, len(body)).refused(self._hub, unit, device, error)
                raise
            problems.clear(unit, device, problems.refused(kind))
            return made

        return JSONResponse(await self._hub.do(work), status)

    def _enter(self, unit: Unit, device_id: str, request: Request, kind: str = "", *, speaks: bool = True, again: bool = False) -> Device:
        """Who calls; any call is a sign of life, and unless it is one that a device on MQTT makes too, tells that this one polls.

        `again`: the same call as before. Raises NotAuthorized and TooMany.
        """
        try:
            key = wire.authorization(request)
            device = devices.authenticate(unit.db, device_id, key)
        except NotAuthorized:
            self._count(unit, request)
            raise
        if device.broker_login is None:
            devices.remember_login(unit, device, key)
        speaks = speaks and (kind in _POLLED or device.transport != "mqtt")
        return self._seen(unit, device, speaks=speaks, again=again)

    def _seen(self, unit: Unit, device: Device, *, speaks: bool, again: bool = False, proof: str = presence.KEY) -> Device:
        device = presence.seen(unit, device, "http", speaks=speaks, proof=proof)
        if not again:
            self._hub.rates.count(device.id, unit.now)
        return device

    def _count(self, unit: Unit, request: Request) -> None:
        """A request of nobody that is known. Raises TooMany."""
        self._hub.rates.count(request.client.host if request.client else "", unit.now)

    @staticmethod
    async def _body(request: Request, limit: int) -> tuple[bytes, Refused | None]:
        """The body, or why there is none; who sent it is judged first."""
        try:
            return await wire.read_body(request, limit), None
        except Refused as refused:
            return b"", refused

    def _public(self, request: Request) -> tuple[str, str]:
        """hub_url, and the host in it: what the hub was started with, else what the device itself has used. Raises Malformed."""
        try:
            base = self._hub.settings.public_url or f"{request.url.scheme}://{request.url.netloc}"
            host = urlsplit(base).hostname
        except ValueError:
            host = None
        if not host or len(base) > 255 - len(shapes.PREFIX):
            raise Malformed("The Host header is not a host")
        return base + shapes.PREFIX, host

    def _link(self, request: Request, device_id: str, file_id: str, now: float) -> str:
        """Where this device fetches this file, at the address that was used now."""
        try:
            base: str | None = self._public(request)[0]
        except Malformed:
            base = None
        return shapes.file_link(self._hub, base, device_id, file_id, now)

    def _command(self, request: Request, command: commands.Command, now: float) -> dict[str, Any]:
        """A command to be carried out, with the link to its file when it has one."""
        link = None if command.file_id is None else self._link(request, command.device_id, command.file_id, now)
        return shapes.command(command, link)
