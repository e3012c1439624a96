"""The activity web socket of seed 003: what happens in a collection, one JSON object per message."""

import asyncio
import contextlib
from typing import Any

from fastapi import WebSocket
from fastapi.responses import JSONResponse
from starlette.websockets import WebSocketDisconnect

from tools.hub.activity import EVENTS, Activity, Filter, Subscription
from tools.hub.errors import Invalid, Malformed, NotAuthorized, Refused, TooMany
from tools.hub.facets import wire
from tools.hub.facets.span import shapes
from tools.hub.facets.span.access import SpanAccess
from tools.hub.facets.span.reading import space_of, whole
from tools.hub.hub import Hub

JWT_SECONDS = 10.0
STRANGERS_MAX = 100  # connections whose JWT has not come yet
SEND_SECONDS = 60.0
_DAY = 86_400.0
_BURST = 100  # messages that one subscriber may get before others get their turn
_POLICY, _GOING_AWAY = 1008, 1001  # RFC 6455 §7.4.1


class ActivitySocket:
    """The web socket of every collection."""

    def __init__(self, hub: Hub, access: SpanAccess) -> None:
        self._hub = hub
        self._access = access
        self._strangers = 0

    async def follow(self, socket: WebSocket, collection_id: str) -> None:
        """Seed 003: what happens, one JSON object per message."""
        try:
            access = self._access.given(socket)
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
            await self._tell_until_closed(socket, wanted, since)

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
        if not isinstance(jwt, str) or self._access.of_jwt(jwt) is None:
            raise NotAuthorized()
        ids = {name: said.get(name) or None for name in ("collectionId", "deviceId", "gatewayId")}
        if ids["collectionId"] not in (None, wanted.collection_id):
            raise Malformed("collectionId is another than the address has")
        return Filter(wanted.device_id or ids["deviceId"] or ids["gatewayId"], wanted.event, wanted.collection_id)

    async def _tell_until_closed(self, socket: WebSocket, wanted: Filter, since: int | None) -> None:
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
        await self._hub.store.read(lambda db: space_of(db, collection_id))


async def _send(socket: WebSocket, item: Activity | dict[str, Any], numbered: bool) -> None:
    """One message. Raises WebSocketDisconnect when the other side is gone or takes nothing."""
    if isinstance(item, Activity):
        item = item.as_json() if numbered else shapes.activity(item)
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
    return Filter(query.get("deviceId"), event, collection_id), None if since is None else whole(since, "since", 10**18)
