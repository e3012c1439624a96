"""The Kapua facet, under /kapua/v1: operations of devices and their notifications, as seed 004 and reference kapua-kura §1 have them.

Credentials: the operator key, as API key, or as the password of the user `operator`. A login gives a bearer token for 30 minutes and a
refresh token for 5 hours that works once and takes its old token back. The hub has one account, AQ, and one user, Ag; `_` is that account.

A device's id is the number that the first 16 digits of the hub's own id make (domain/operations.py); the hub's own id is taken in its
place too.

Decisions where the reference leaves room: another account is 403, an id that is none 400; operations are in the order of `startedOn`; a
query's key that is not known, and not empty, is 400, since ignoring a filter would give what was not asked for; no page has more than
1000.
With `--kapua-fold`, as in the real service, an operation that has ended has no notifications but their text in its `log`.

Beside seed 004 and operations there are /authentication/logout, and of /devices the list (with `clientId`) and one, so that a client can
find a device's id.
Left out: XML, /authentication/{jwt,info,mfa}, lockout after failed logins, `optlock`, STALE, deleting operations, and all other resources.
"""

from collections.abc import Callable, Mapping
from hashlib import sha256
from hmac import compare_digest, digest
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import Connection

from tools.hub.domain import access, devices, operations
from tools.hub.domain.access import Access
from tools.hub.domain.model import Device, find_device
from tools.hub.domain.operations import Found, Notification, Operation, Page
from tools.hub.errors import NotAuthorized
from tools.hub.facets import wire
from tools.hub.facets.kapua import shapes
from tools.hub.facets.kapua.reading import (
    NOTIFICATION_SORTS,
    OPERATION_SORTS,
    QUERY,
    counting,
    credential,
    device_of,
    operation_of,
    parse_query,
    read_body,
    read_id,
)
from tools.hub.facets.kapua.shapes import EntityNotFound, Unauthorized
from tools.hub.hub import Hub
from tools.hub.store.unit import Unit

PREFIX = "/kapua/v1"
USERNAME = "operator"
_DEVICES = "/{scope_id}/devices"
_OPERATIONS = f"{_DEVICES}/{{device_id}}/operations"
_NOTIFICATIONS = f"{_OPERATIONS}/{{operation_id}}/notifications"
T = TypeVar("T")


def router(hub: Hub) -> APIRouter:
    """The routes of the facet."""
    facet = KapuaFacet(hub)
    api = APIRouter(prefix=PREFIX, tags=["kapua"])
    for method, path, endpoint in (
        ("POST", "/authentication/user", facet.log_in),
        ("POST", "/authentication/apikey", facet.log_in_with_key),
        ("POST", "/authentication/refresh", facet.refresh),
        ("POST", "/authentication/logout", facet.log_out),
        ("GET", _DEVICES, facet.list_devices),
        ("GET", f"{_DEVICES}/{{device_id}}", facet.get_device),
        ("GET", _OPERATIONS, facet.list_operations),
        ("POST", f"{_OPERATIONS}/_query", facet.query_operations),
        ("POST", f"{_OPERATIONS}/_count", facet.count_operations),
        ("GET", f"{_OPERATIONS}/{{operation_id}}", facet.get_operation),
        ("GET", _NOTIFICATIONS, facet.list_notifications),
        ("POST", f"{_NOTIFICATIONS}/_query", facet.query_notifications),
        ("POST", f"{_NOTIFICATIONS}/_count", facet.count_notifications),
        ("GET", f"{_NOTIFICATIONS}/{{notification_id}}", facet.get_notification),
        ("DELETE", f"{_NOTIFICATIONS}/{{notification_id}}", facet.delete_notification),
    ):
        api.add_api_route(path, endpoint, methods=[method], response_model=None)
    return api


class KapuaFacet:
    """One method per call."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._secret = digest(hub.settings.operator_key.encode(), b"access tokens of the Kapua facet", sha256)

    # ---- authentication

    async def log_in(self, request: Request) -> JSONResponse:
        """A token for the user `operator`, whose password is the operator key."""
        body = await read_body(request)
        name, password = credential(body, "username"), credential(body, "password")
        known = compare_digest(_hash(name), _hash(USERNAME))
        return await self._log_in(password, known)

    async def log_in_with_key(self, request: Request) -> JSONResponse:
        """A token for an API key, which is the operator key."""
        return await self._log_in(credential(await read_body(request), "apiKey"), True)

    async def refresh(self, request: Request) -> JSONResponse:
        """A new token for an old one, which may have expired, and its refresh token; neither works any more."""
        body = await read_body(request)
        token, refresh_token = credential(body, "tokenId"), credential(body, "refreshToken")
        if not shapes.is_signed(self._secret, token):
            raise NotAuthorized()
        return await self._token(lambda unit: access.refresh(unit, token, refresh_token, self._make_token))

    async def log_out(self, request: Request) -> Response:
        """Take the caller's token back."""
        token = self._bearer(request)

        def work(unit: Unit) -> None:
            access.check(unit.db, token, unit.now)
            access.log_out(unit, token)

        await self._hub.do(work)
        return Response(status_code=204)

    # ---- devices

    async def list_devices(self, scope_id: str, request: Request) -> JSONResponse:
        """The devices in the order of registration; `clientId` is the hub's own id of one."""
        query = await self._parameters(request, scope_id, {}, ("offset", "limit", "clientId"))
        wanted = request.query_params.get("clientId")

        def work(db: Connection) -> Found[Device]:
            if wanted:
                found = find_device(db, wanted)
                listed = [] if found is None else [found][query.offset :]
            else:
                listed = devices.list_devices(db, query.limit + 1, query.offset)
            return Found(listed[: query.limit], len(listed) > query.limit, None)

        return await self._list(shapes.DEVICE, request, scope_id, work, shapes.device)

    async def get_device(self, scope_id: str, device_id: str, request: Request) -> JSONResponse:
        """One device."""
        return JSONResponse(await self._read(request, scope_id, lambda db: shapes.device(device_of(db, device_id))))

    # ---- operations

    async def list_operations(self, scope_id: str, device_id: str, request: Request) -> JSONResponse:
        """The device's operations, in the order of their start."""
        return await self._operations(request, scope_id, device_id, await self._parameters(request, scope_id, OPERATION_SORTS))

    async def query_operations(self, scope_id: str, device_id: str, request: Request) -> JSONResponse:
        """The same with the query in the body."""
        return await self._operations(request, scope_id, device_id, await self._query(request, scope_id, OPERATION_SORTS))

    async def count_operations(self, scope_id: str, device_id: str, request: Request) -> JSONResponse:
        """How many operations the query has, whatever its page."""
        page = await self._query(request, scope_id, OPERATION_SORTS)

        def work(db: Connection) -> Found[Operation]:
            return operations.list_operations(db, device_of(db, device_id).id, counting(page))

        return await self._count(request, scope_id, work)

    async def get_operation(self, scope_id: str, device_id: str, operation_id: str, request: Request) -> JSONResponse:
        """One operation."""

        def work(db: Connection) -> dict[str, Any]:
            return self._operation_shape(db, operation_of(db, device_id, operation_id))

        return JSONResponse(await self._read(request, scope_id, work))

    # ---- notifications

    async def list_notifications(self, scope_id: str, device_id: str, operation_id: str, request: Request) -> JSONResponse:
        """The operation's notifications, in the order in which they were sent."""
        page = await self._parameters(request, scope_id, NOTIFICATION_SORTS)
        return await self._notifications(request, scope_id, device_id, operation_id, page)

    async def query_notifications(self, scope_id: str, device_id: str, operation_id: str, request: Request) -> JSONResponse:
        """The same with the query in the body."""
        page = await self._query(request, scope_id, NOTIFICATION_SORTS)
        return await self._notifications(request, scope_id, device_id, operation_id, page)

    async def count_notifications(self, scope_id: str, device_id: str, operation_id: str, request: Request) -> JSONResponse:
        """How many notifications the query has, whatever its page."""
        page = await self._query(request, scope_id, NOTIFICATION_SORTS)

        def work(db: Connection) -> Found[Notification]:
            return self._found(db, operation_of(db, device_id, operation_id), counting(page))

        return await self._count(request, scope_id, work)

    async def get_notification(
        self, scope_id: str, device_id: str, operation_id: str, notification_id: str, request: Request
    ) -> JSONResponse:
        """One notification."""

        def work(db: Connection) -> dict[str, Any]:
            return shapes.notification(self._notification(db, device_id, operation_id, notification_id))

        return JSONResponse(await self._read(request, scope_id, work))

    async def delete_notification(
        self, scope_id: str, device_id: str, operation_id: str, notification_id: str, request: Request
    ) -> Response:
        """Delete a notification."""
        token = self._bearer(request)

        def work(unit: Unit) -> None:
            self._enter(unit.db, token, scope_id, unit.now, "delete")
            operations.delete_notification(unit, self._notification(unit.db, device_id, operation_id, notification_id))

        await self._hub.do(work)
        return Response(status_code=200)

    # ---- what the calls share

    async def _log_in(self, key: str, known: bool) -> JSONResponse:
        if not compare_digest(_hash(key), self._hub.settings.operator_key_hash) or not known:
            raise NotAuthorized()
        return await self._token(lambda unit: access.log_in(unit, self._make_token))

    async def _token(self, work: Callable[[Unit], Access]) -> JSONResponse:
        return JSONResponse(shapes.access_token(await self._hub.do(work)))

    def _make_token(self, now: float, until: float) -> str:
        return shapes.make_token(self._secret, now, until)

    def _bearer(self, request: Request) -> str:
        """The caller's token, if this hub has signed it. Raises NotAuthorized."""
        kind, _, token = wire.authorization(request).partition(" ")
        if kind.lower() != "bearer" or not shapes.is_signed(self._secret, token.strip()):
            raise NotAuthorized()
        return token.strip()

    def _enter(self, db: Connection, token: str, scope_id: str, now: float, action: str) -> None:
        """Let the caller into the account. Raises NotAuthorized, IllegalArgument and Unauthorized."""
        access.check(db, token, now)
        scope = shapes.SCOPE if scope_id == "_" else read_id(scope_id, "scopeId")
        if scope != shapes.SCOPE:
            raise Unauthorized(f"device_management_registry:{action}:{shapes.compact(scope)}:*")

    async def _read(self, request: Request, scope_id: str, work: Callable[[Connection], T]) -> T:
        token, now = self._bearer(request), self._hub.now()

        def entered(db: Connection) -> T:
            self._enter(db, token, scope_id, now, "read")
            return work(db)

        return await self._hub.store.read(entered)

    async def _parameters(self, request: Request, scope_id: str, sorts: Mapping[str, str], allowed: tuple[str, ...] = QUERY) -> Page:
        """The page that the URL asks for; who sent it is judged first."""
        await self._read(request, scope_id, lambda _db: None)
        return parse_query(request.query_params, sorts, text=True, allowed=allowed)

    async def _query(self, request: Request, scope_id: str, sorts: Mapping[str, str]) -> Page:
        """The page that the body asks for; who sent it is judged first."""
        await self._read(request, scope_id, lambda _db: None)
        return parse_query(await read_body(request), sorts)

    async def _list(
        self, kind: str, request: Request, scope_id: str, work: Callable[[Connection], Found[T]], shape: Callable[[T], dict[str, Any]]
    ) -> JSONResponse:
        return JSONResponse(shapes.list_result(kind, await self._read(request, scope_id, work), shape))

    async def _count(self, request: Request, scope_id: str, work: Callable[[Connection], Found[Any]]) -> JSONResponse:
        return JSONResponse({"count": (await self._read(request, scope_id, work)).total})

    async def _operations(self, request: Request, scope_id: str, device_id: str, page: Page) -> JSONResponse:
        def work(db: Connection) -> Found[dict[str, Any]]:
            found = operations.list_operations(db, device_of(db, device_id).id, page)
            return Found([self._operation_shape(db, item) for item in found.items], found.more, found.total)

        return await self._list(shapes.OPERATION, request, scope_id, work, lambda shaped: shaped)

    async def _notifications(self, request: Request, scope_id: str, device_id: str, operation_id: str, page: Page) -> JSONResponse:
        def work(db: Connection) -> Found[Notification]:
            return self._found(db, operation_of(db, device_id, operation_id), page)

        return await self._list(shapes.NOTIFICATION, request, scope_id, work, shapes.notification)

    def _is_folded(self, operation: Operation) -> bool:
        return self._hub.settings.kapua_fold and operation.ended_at is not None

    def _operation_shape(self, db: Connection, operation: Operation) -> dict[str, Any]:
        if not self._is_folded(operation):
            return shapes.operation(operation)
        every = operations.list_notifications(db, operation.id, Page(limit=operations.NOTIFICATIONS_MAX))
        return shapes.operation(operation, "\n".join(shapes.log_line(item) for item in every.items))

    def _found(self, db: Connection, operation: Operation, page: Page) -> Found[Notification]:
        if self._is_folded(operation):
            return Found([], False, 0 if page.total else None)
        return operations.list_notifications(db, operation.id, page)

    def _notification(self, db: Connection, device_id: str, operation_id: str, notification_id: str) -> Notification:
        """The notification at this path, checked in full."""
        operation = operation_of(db, device_id, operation_id)
        number = read_id(notification_id, "notificationId")
        found = None if self._is_folded(operation) else operations.find_notification(db, operation.id, number)
        if found is None:
            raise EntityNotFound(shapes.NOTIFICATION, shapes.compact(number))
        return found


def _hash(text: str) -> bytes:
    return sha256(text.encode()).digest()
