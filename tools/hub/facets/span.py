"""The Span facet, under /span: the activity web socket of seed 003, and around it what reference span.md has.

The web socket is /span/collections/{collectionId}/activity. Each message is one JSON object with the seed's keys and no others. Ours, and
harmless to the vendor's client, which skips an object without a collectionId:

- `?deviceId=` and `?event=` filter; a gateway's id brings what the devices behind it do too.
- `?since=N` first tells what the hub still has with a greater `seq`, and puts the `seq` into each message; 0 is all there is. What it no
  longer has is told: `{"lost": n}`, or `{"lost": null, "restarted": time}` when the hub was started since then.
- `{"lost": n}` also tells a subscriber that did not keep up how many activities were dropped for it, the oldest first.
- `--keepalive` seconds pass between web socket pings; who does not answer one, or takes nothing for SEND_SECONDS, is closed.

Who may: `X-API-Token` with the operator key or a read-only token; `?api_token=` with a read-only token only, since addresses get logged;
`Authorization: TOKEN <jwt>`, or the operator key as on every other facet; and on the web socket, where none of these came, a first message
`{"jwt": ..., "collectionId", "deviceId", "gatewayId"}` within JWT_SECONDS, whose ids, where they are not empty, bound what is told.
The vendor makes tokens in its console; here the operator key gets one from POST /span/operator/tokens.

A collection is a space. Collections have the tag `name` (and `space`, not to be changed), devices `name`. A message of the inbox is a
telemetry message, its payload the JSON that was kept of it, not the bytes that came; its transport is `unspecified` over HTTP, which the
vendor does not have, and `gateway` for a device with a parent. A message of the outbox is a command: a payload that is a JSON object
`{"name", "parameters"}` is that command, any other is the command `message` with the parameter `payload`, base64 as it came.

Left out of the vendor's API: teams, outputs, firmware images, blobs, certificates (the list is empty), statistics, data dumps,
samples, gateways as things of their own (a gateway is a device that others have as parent), creating devices (they register themselves),
deleting collections, the web socket of messages (/from), field masks and any other tag.
"""

import asyncio
import contextlib
from typing import Any

from fastapi import APIRouter, Depends, Request, WebSocket
from fastapi.responses import JSONResponse
from sqlalchemy import Connection
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocketDisconnect

from tools.hub import wire
from tools.hub.activity import EVENTS, Activity, Filter, Subscription
from tools.hub.domain import cellular, commands, devices, firmware, model, telemetry
from tools.hub.domain.model import Device, Space, find_device, find_space, get_device, mapping
from tools.hub.errors import Conflict, Invalid, Malformed, NotAllowed, NotAuthorized, NotFound, Refused, TooMany
from tools.hub.facets import span_shapes as shapes
from tools.hub.hub import Hub
from tools.hub.store import Unit
from tools.hub.tokens import Access

PREFIX = "/span"
VERSION = "4.10.0"
JWT_SECONDS = 10.0
STRANGERS_MAX = 100  # connections whose JWT has not come yet
SEND_SECONDS = 60.0
PAGE = 512  # messages of a list, when no limit is given
PAGE_MAX = 1000
_DAY = 86_400.0
_JWT_MAX_SECONDS = 366 * 86_400
_BURST = 100  # messages that one subscriber may get before others get their turn
_POLICY, _GOING_AWAY = 1008, 1001  # RFC 6455 §7.4.1
_COLLECTION = "/collections/{collection_id}"
_DEVICE = f"{_COLLECTION}/devices/{{device_id}}"


def router(hub: Hub) -> APIRouter:
    """The routes; those that change something need more than a read-only token."""
    facet = SpanFacet(hub)
    api = APIRouter(prefix=PREFIX, tags=["span"])
    api.add_api_route("/system", facet.system, methods=["GET"])
    api.add_api_route("/operator/tokens", facet.make_tokens, methods=["POST"])
    api.add_api_websocket_route(f"{_COLLECTION}/activity", facet.activity)
    for method, path, endpoint in (
        ("GET", "/collections", facet.list_collections),
        ("POST", "/collections", facet.create_collection),
        ("GET", _COLLECTION, facet.retrieve_collection),
        ("PATCH", _COLLECTION, facet.update_collection),
        ("GET", f"{_COLLECTION}/activity", facet.activity_over_http),
        ("GET", f"{_COLLECTION}/devices", facet.list_devices),
        ("GET", _DEVICE, facet.retrieve_device),
        ("PATCH", _DEVICE, facet.update_device),
        ("DELETE", _DEVICE, facet.delete_device),
        ("GET", f"{_DEVICE}/certs", facet.list_certificates),
        ("GET", f"{_DEVICE}/inbox", facet.list_inbox),
        ("GET", f"{_DEVICE}/outbox", facet.list_outbox),
        ("POST", f"{_DEVICE}/outbox", facet.add_to_outbox),
        ("DELETE", f"{_DEVICE}/outbox/{{message_id}}", facet.delete_from_outbox),
    ):
        allowed = facet.reads if method == "GET" else facet.writes
        api.add_api_route(path, endpoint, methods=[method], dependencies=[Depends(allowed)])
    return api


class SpanFacet:
    """One method per call."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._strangers = 0

    # ---- who may

    async def reads(self, request: Request) -> None:
        self._access(request)

    async def writes(self, request: Request) -> None:
        if self._access(request) != "write":
            raise NotAllowed("Not allowed: this token only reads")

    async def make_tokens(self, request: Request) -> JSONResponse:
        """Make tokens, with the operator key only: the read-only token of this hub, and a JWT for so many seconds that reads or writes."""
        self._hub.check_operator(request.headers.get("x-api-token") or wire.authorization(request))
        body = await wire.read_object(request)
        seconds, write = body.get("seconds", 3600), body.get("write", False)
        if isinstance(seconds, bool) or not isinstance(seconds, int) or not 1 <= seconds <= _JWT_MAX_SECONDS:
            raise Invalid(f"seconds must be a whole number from 1 to {_JWT_MAX_SECONDS}")
        if not isinstance(write, bool):
            raise Invalid("write must be true or false")
        expires = int(self._hub.now()) + seconds
        jwt = self._hub.tokens.jwt("write" if write else "read", expires)
        return JSONResponse({"apiToken": self._hub.tokens.read_only, "jwt": jwt, "expires": shapes.milliseconds(expires)})

    def _access(self, connection: HTTPConnection) -> Access:
        access = self._given_access(connection)
        if access is None:
            raise NotAuthorized("Not authorized: send X-API-Token, or Authorization: TOKEN and a JWT")
        return access

    def _given_access(self, connection: HTTPConnection) -> Access | None:
        """What the credentials allow; None when there are none. Raises NotAuthorized when they are wrong."""
        tokens = self._hub.tokens
        token = connection.headers.get("x-api-token")
        authorization = connection.headers.get("authorization")
        in_query = connection.query_params.get("api_token")
        access: Access | None = None
        if token:
            access = tokens.access_of(token)
        elif authorization:
            scheme, _, rest = authorization.partition(" ")
            is_jwt = scheme.upper() == "TOKEN"
            access = self._access_of_jwt(rest) if is_jwt else tokens.access_of(authorization.removeprefix("Bearer "))
        elif in_query:
            access = tokens.access_of(in_query)
            if access == "write":
                raise NotAuthorized("Not authorized: api_token takes a read-only token; one that writes belongs into X-API-Token")
        else:
            return None
        if access is None:
            raise NotAuthorized()
        return access

    def _access_of_jwt(self, jwt: str) -> Access | None:
        return self._hub.tokens.access_of_jwt(jwt, self._hub.now())

    # ---- the activity web socket

    async def activity(self, socket: WebSocket, collection_id: str) -> None:
        """Seed 003: what happens, one JSON object per message."""
        try:
            access = self._given_access(socket)
            wanted, since = _question(socket, collection_id)
            if access is not None:
                await self._check_collection(collection_id)
            elif self._strangers >= STRANGERS_MAX:
                raise TooMany("Too many connections wait to say who they are: send X-API-Token")
        except Refused as refused:
            await socket.send_denial_response(shapes.error(refused.status, str(refused)))
            return
        await socket.accept()
        with contextlib.suppress(WebSocketDisconnect):
            if access is None:
                try:
                    wanted = await self._first_message(socket, wanted)
                    await self._check_collection(collection_id)
                except Refused as refused:
                    await socket.close(_POLICY, str(refused)[:120])
                    return
            await self._follow(socket, wanted, since)

    async def activity_over_http(self) -> JSONResponse:
        """What happens in the collection, as a web socket: one JSON object per message. A plain GET is 400.

        First message, where neither X-API-Token, Authorization nor api_token came: {"jwt", "collectionId", "deviceId", "gatewayId"}.
        """
        raise Malformed("This is a web socket: connect to it with ws://")

    async def _first_message(self, socket: WebSocket, wanted: Filter) -> Filter:
        """Who is it, and what does it want? Raises NotAuthorized and Malformed."""
        self._strangers += 1
        try:
            async with asyncio.timeout(JWT_SECONDS):
                message = await socket.receive()
        except TimeoutError:
            raise NotAuthorized("Not authorized: no JWT came") from None
        finally:
            self._strangers -= 1
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect
        said = wire.decode_object(message.get("bytes") or (message.get("text") or "").encode())
        jwt = said.get("jwt")
        if not isinstance(jwt, str) or self._access_of_jwt(jwt) is None:
            raise NotAuthorized()
        ids = {name: said.get(name) or None for name in ("collectionId", "deviceId", "gatewayId")}
        if ids["collectionId"] not in (None, wanted.collection_id):
            raise Malformed("collectionId is another than the address has")
        return Filter(wanted.device_id or ids["deviceId"] or ids["gatewayId"], wanted.event, wanted.collection_id)

    async def _follow(self, socket: WebSocket, wanted: Filter, since: int | None) -> None:
        """Tell until one side goes."""
        subscription = self._hub.activities.subscribe(wanted)
        work = {asyncio.create_task(self._tell(socket, subscription, wanted, since)), asyncio.create_task(_read_until_closed(socket))}
        try:
            await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._hub.activities.unsubscribe(subscription)
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)

    async def _tell(self, socket: WebSocket, subscription: Subscription, wanted: Filter, since: int | None) -> None:
        feed = self._hub.activities
        told: list[Activity | dict[str, Any]] = []
        if since is not None:
            missed = feed.missed(since)
            told = [*([] if missed is None else [missed]), *feed.recent(since, wanted)]
        for number, item in enumerate(told):
            await _send(socket, item, since is not None)
            if number % _BURST == _BURST - 1:
                await asyncio.sleep(0)
        told.clear()
        while True:
            try:
                next_item = await subscription.next(_DAY)
            except StopAsyncIteration:
                await socket.close(_GOING_AWAY, "the hub stops")
                return
            if next_item is not None:
                await _send(socket, {"lost": next_item} if isinstance(next_item, int) else next_item, since is not None)

    async def _check_collection(self, collection_id: str) -> None:
        await self._hub.store.read(lambda db: _space(db, collection_id))

    # ---- collections and devices

    async def system(self) -> JSONResponse:
        """The version of the API; needs no token."""
        return JSONResponse({"version": VERSION})

    async def list_collections(self) -> JSONResponse:
        """All collections: the hub's spaces, and the home of the devices that nobody has claimed."""
        spaces = await self._hub.store.read(devices.list_spaces)
        return JSONResponse({"collections": [shapes.collection(space) for space in spaces]})

    async def create_collection(self, request: Request) -> JSONResponse:
        """Create a collection: tags {name}."""
        body = await wire.read_object(request)
        _only(body, ("tags",))
        name = _name(body)
        return JSONResponse(shapes.collection(await self._hub.do(lambda unit: devices.add_space(unit, name))))

    async def retrieve_collection(self, collection_id: str) -> JSONResponse:
        """One collection."""
        return JSONResponse(shapes.collection(await self._hub.store.read(lambda db: _space(db, collection_id))))

    async def update_collection(self, collection_id: str, request: Request) -> JSONResponse:
        """Rename a collection: tags {name}. Its devices are told."""
        body = await wire.read_object(request)
        _only(body, ("tags",))
        name = _name(body)

        def work(unit: Unit) -> Space:
            space = _space(unit.db, collection_id)
            if space.space_id is None:
                raise Invalid("The home of unclaimed devices keeps its name")
            return space if name is None else devices.set_space(unit, space.space_id, name, None)

        return JSONResponse(shapes.collection(await self._hub.do(work)))

    async def list_devices(self, collection_id: str) -> JSONResponse:
        """The devices of a collection."""

        def work(db: Connection) -> list[dict[str, Any]]:
            found = devices.devices_in(db, _space(db, collection_id).id)
            latest = {model: firmware.latest(db, model) for model in {device.hardware_key for device in found}}
            return [shapes.device(device, latest[device.hardware_key]) for device in found]

        return JSONResponse({"devices": await self._hub.store.read(work)})

    async def retrieve_device(self, collection_id: str, device_id: str) -> JSONResponse:
        """One device, with the last message it has sent."""
        return JSONResponse(await self._hub.store.read(lambda db: _shown(db, _device(db, collection_id, device_id))))

    async def update_device(self, collection_id: str, device_id: str, request: Request) -> JSONResponse:
        """Change a device: collectionId moves it, tags {name} renames it, config {ciot {imsi, imei}} sets these; an empty text clears."""
        body = await wire.read_object(request)
        _only(body, ("collectionId", "tags", "config", "imsi", "imei"))
        name, sim, target = _name(body), _sim(body), body.get("collectionId")

        def work(unit: Unit) -> dict[str, Any]:
            device = _device(unit.db, collection_id, device_id)
            space = _space(unit.db, target) if target is not None else None
            if space is not None and space.id != device.collection_id:
                devices.move(unit, device, space)
            if name is not None and name != device.name:
                devices.rename(unit, get_device(unit.db, device.id), name)
            if sim:
                cellular.set_by_operator(unit, get_device(unit.db, device.id), sim)
            return _shown(unit.db, get_device(unit.db, device.id))

        return JSONResponse(await self._hub.do(work))

    async def delete_device(self, collection_id: str, device_id: str) -> JSONResponse:
        """Remove a device; the answer is the device as it was."""

        def work(unit: Unit) -> dict[str, Any]:
            device = _device(unit.db, collection_id, device_id)
            was = _shown(unit.db, device)
            devices.remove(unit, device, "operator", self._hub.settings.data)
            return was

        return JSONResponse(await self._hub.do(work))

    async def list_certificates(self, collection_id: str, device_id: str) -> JSONResponse:
        """The certificates of a device: none, devices of this hub have keys."""
        await self._hub.store.read(lambda db: _device(db, collection_id, device_id))
        return JSONResponse({"certificates": []})

    # ---- messages

    async def list_inbox(self, collection_id: str, device_id: str, request: Request) -> JSONResponse:
        """What the device has sent, newest first: limit, and start and end (ms), or offset (a messageId: those before it)."""
        limit, between, offset = _page(request, self._hub.now())

        def work(db: Connection) -> list[dict[str, Any]]:
            device = _device(db, collection_id, device_id)
            return [shapes.upstream(item, device) for item in telemetry.inbox(db, device.id, limit, between, offset)]

        return JSONResponse({"messages": await self._hub.store.read(work)})

    async def list_outbox(self, collection_id: str, device_id: str, request: Request) -> JSONResponse:
        """What the device was or is to be sent, newest first: limit, start, end (ms). The hub's commands, from whichever facet."""
        limit, between, offset = _page(request, self._hub.now())
        if offset is not None:
            raise Invalid("the outbox takes limit, start and end")
        after, until = between or (0.0, self._hub.now())

        def work(db: Connection) -> list[dict[str, Any]]:
            device = _device(db, collection_id, device_id)
            found = commands.list_commands(db, device.id, PAGE_MAX, 0)
            waiting = [item for item in found if after <= item.created_at <= until and item.status != commands.CANCELLED]
            return [shapes.downstream(item, device) for item in waiting[:limit]]

        return JSONResponse({"messages": await self._hub.store.read(work)})

    async def add_to_outbox(self, collection_id: str, device_id: str, request: Request) -> JSONResponse:
        """Send the device a message: payload, base64."""
        command = shapes.read_outbox(await wire.read_object(request))

        def work(unit: Unit) -> dict[str, Any]:
            device = _device(unit.db, collection_id, device_id)
            return shapes.downstream(commands.queue(unit, device, command), device)

        return JSONResponse(await self._hub.do(work))

    async def delete_from_outbox(self, collection_id: str, device_id: str, message_id: str) -> JSONResponse:
        """Take a message back that the device has not answered; 409 once it has."""

        def work(unit: Unit) -> dict[str, Any]:
            device = _device(unit.db, collection_id, device_id)
            try:
                command = commands.cancel(unit, device, message_id)
            except NotAllowed as refused:
                raise Conflict(str(refused)) from None
            return {"messageId": command.id, "collectionId": device.collection_id, "deviceId": device.id}

        return JSONResponse(await self._hub.do(work))


async def _send(socket: WebSocket, item: Activity | dict[str, Any], numbered: bool) -> None:
    """One message. Raises WebSocketDisconnect when the other side is gone or takes nothing."""
    if isinstance(item, Activity):
        item = item.as_json() if numbered else item.envelope()
    try:
        async with asyncio.timeout(SEND_SECONDS):
            await socket.send_text(wire.encoded(item).decode())
    except TimeoutError:
        raise WebSocketDisconnect from None


async def _read_until_closed(socket: WebSocket) -> None:
    """What a subscriber says is not of interest, but reading is how its pongs and its end are seen."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass


def _question(socket: WebSocket, collection_id: str) -> tuple[Filter, int | None]:
    """What a subscriber wants. Raises Invalid."""
    query = socket.query_params
    event, since = query.get("event"), query.get("since")
    if event is not None and event not in EVENTS:
        raise Invalid(f"event must be one of {', '.join(sorted(EVENTS))}")
    return Filter(query.get("deviceId"), event, collection_id), None if since is None else _whole(since, "since", 10**18)


def _space(db: Connection, collection_id: object) -> Space:
    return find_space(db, collection_id if isinstance(collection_id, str) and collection_id.isalnum() else "")


def _device(db: Connection, collection_id: str, device_id: str) -> Device:
    found = find_device(db, device_id) if devices.is_device_id(device_id) else None
    if found is None or found.collection_id != collection_id:
        raise NotFound("Device not found in this collection")
    return found


def _shown(db: Connection, device: Device) -> dict[str, Any]:
    newest = telemetry.inbox(db, device.id, 1, None, None)
    return shapes.device(device, firmware.latest(db, device.hardware_key), newest[0] if newest else None)


def _only(body: dict[str, Any], known: tuple[str, ...]) -> None:
    unknown = sorted(set(body) - set(known))
    if unknown:
        raise Invalid(f"Unknown field {unknown[0][:64]!r}: the hub keeps {', '.join(known)}")


def _name(body: dict[str, Any]) -> str | None:
    """The tag `name`; None when it is not there. Raises Invalid for any other tag."""
    tags = mapping(body.get("tags"), "tags")
    _only(tags, ("name",))
    return model.text(tags.get("name"), "name")


def _sim(body: dict[str, Any]) -> dict[str, str]:
    """imsi and imei, in their new place or their old one. Raises Invalid."""
    config = mapping(body.get("config"), "config")
    _only(config, ("ciot",))
    given: dict[str, Any] = {name: body[name] for name in ("imsi", "imei") if name in body}
    ciot = mapping(config.get("ciot"), "config.ciot")
    _only(ciot, ("imsi", "imei"))
    return cellular.checked({**given, **ciot})


def _page(request: Request, now: float) -> tuple[int, tuple[float, float] | None, int | None]:
    """limit, start and end, offset out of the query. Without any of the last three it is the newest messages. Raises Invalid."""
    query = request.query_params
    start, end, offset, limit = (query.get(name) or None for name in ("start", "end", "offset", "limit"))
    if offset is not None and (start is not None or end is not None):
        raise Invalid("offset cannot be combined with start and end")
    between = None
    if start is not None or end is not None:
        until = now if end is None else (_whole(end, "end", 2**53) + 0.999) / 1000  # that millisecond too
        between = (until - _DAY if start is None else _whole(start, "start", 2**53) / 1000, until)
    count = PAGE if limit is None else _whole(limit, "limit", 2**31 - 1)
    return min(count or PAGE, PAGE_MAX), between, None if offset is None else _whole(offset, "offset", 2**53)


def _whole(text: str, name: str, most: int) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 19 or int(text) > most:
        raise Invalid(f"{name} must be a whole number from 0 to {most}")
    return int(text)
