"""The ASGI application: the facets joined, errors as JSON, and the activity feed over HTTP."""

import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from fastapi_offline import FastAPIOffline
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from tools.hub.activity import Activity, Filter
from tools.hub.errors import Invalid, NotFound, Refused
from tools.hub.facets import openapi, wire
from tools.hub.facets.astarte import api as astarte
from tools.hub.facets.astarte import operator_api as astarte_operator
from tools.hub.facets.astarte import shapes as astarte_shapes
from tools.hub.facets.kapua import api as kapua
from tools.hub.facets.kapua import shapes as kapua_shapes
from tools.hub.facets.span import api as span
from tools.hub.facets.span import shapes as span_shapes
from tools.hub.facets.xyte import device_api as xyte
from tools.hub.facets.xyte import operator_api as xyte_operator
from tools.hub.hub import Hub
from tools.hub.store.outage import cause, is_outage

log = logging.getLogger("redpoll.hub.http")

KEEPALIVE_SECONDS = 15.0  # an empty line, so that both ends notice when the other is gone


def make_app(hub: Hub) -> FastAPI:
    """The application of one hub."""
    app = FastAPIOffline(
        title="Redpoll hub",
        description="A local stand-in for device clouds.",
        redirect_slashes=False,
        swagger_ui_parameters={"validatorUrl": None},  # it would send the description to a stranger
    )
    app.include_router(xyte_operator.router(hub))
    app.include_router(xyte.router(hub))
    app.include_router(astarte.router(hub))
    app.include_router(astarte_operator.router(hub))
    app.include_router(kapua.router(hub))
    app.include_router(span.router(hub))
    app.add_api_route("/activity", _activity_of(hub), methods=["GET"], tags=["hub"])
    app.add_api_route("/health", _health, methods=["GET"], tags=["hub"])
    app.add_api_route("/ca.pem", _ca_of(hub), methods=["GET"], tags=["hub"], response_class=Response)
    app.add_api_route("/", _docs, methods=["GET"], include_in_schema=False)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(SQLAlchemyError, _without_database)
    app.add_exception_handler(Exception, _unexpected)
    openapi.install(app, _describe)
    return app


def _describe(app: FastAPI) -> dict[str, Any]:
    from tools.hub import docs  # a tenth of what the hub takes to start, for a page that few ask for

    return openapi.describe(app, docs.CALLS, docs.SCHEMES, docs.PATH_PARAMETERS)


async def _docs() -> RedirectResponse:
    # who opens the address that the hub has printed is a person
    return RedirectResponse("/docs")


async def _health() -> JSONResponse:
    """That the hub answers."""
    return JSONResponse({"status": "ok"})


def _ca_of(hub: Hub) -> Any:
    async def ca() -> Response:
        """The certificate of the hub's CA in PEM, for boards and other clients. Compare its SHA-256 with what the hub printed."""
        if hub.settings.ca is None:
            raise NotFound("This hub has no CA: it was started with --no-tls")
        return Response(hub.settings.ca, media_type="application/x-pem-file")

    return ca


def _activity_of(hub: Hub) -> Any:
    async def activity(request: Request) -> StreamingResponse:
        """Activities as JSON lines: what the ring has, then with `follow=1` what comes.

        `since` (a seq) and `last` (how many) bound the first; `deviceId`, `event`, `collectionId` filter both. With `follow=1` a line
        `{"lost": n}` says that the reader was too slow for n activities, or is back too late for them; `{"lost": null, "restarted": time}`
        that the hub was started since and nobody knows how many it were; an empty line is a keepalive.
        """
        hub.check_operator(wire.authorization(request))
        query = request.query_params
        wanted = Filter(query.get("deviceId"), query.get("event"), query.get("collectionId"))
        since = _number(query.get("since"), "since must be the seq of an activity")
        last = _number(query.get("last"), "last must be a number")
        lines = _lines(hub, since, last, wanted, query.get("follow") == "1")
        return StreamingResponse(lines, media_type="application/x-ndjson")

    return activity


def _number(text: str | None, otherwise: str) -> int | None:
    if text is not None and not (text.isascii() and text.isdigit() and len(text) <= 19):
        raise Invalid(otherwise)
    return int(text) if text else None


async def _lines(hub: Hub, since: int | None, last: int | None, wanted: Filter, follow: bool) -> AsyncIterator[bytes]:
    subscription = hub.activities.subscribe(wanted) if follow else None
    try:
        missed = hub.activities.missed(since) if follow else None
        before = [] if missed is None else [wire.encoded(missed) + b"\n"]
        yield b"".join([*before, *(_line(activity) for activity in hub.activities.recent(since, wanted, last))])
        while subscription is not None:
            try:
                item = await subscription.next(KEEPALIVE_SECONDS)
            except StopAsyncIteration:
                return
            yield b"\n" if item is None else _line(item)
    finally:
        if subscription is not None:
            hub.activities.unsubscribe(subscription)


def _line(item: Activity | int) -> bytes:
    return wire.encoded({"lost": item} if isinstance(item, int) else item.as_json()) + b"\n"


@dataclass(frozen=True)
class ErrorBodies:
    """How a vendor writes what went wrong: what a call refuses, and (status, text) of what no call has answered."""

    refusal: Callable[[Refused], Response]
    error: Callable[[int, str], JSONResponse]


# by the first part of the path; all else is answered in Xyte's words, which are also the hub's own
ERROR_BODIES = {
    "/span": ErrorBodies(lambda refused: span_shapes.error(refused.status, str(refused)), span_shapes.error),
    "/kapua": ErrorBodies(kapua_shapes.refusal, kapua_shapes.error),
    "/astarte": ErrorBodies(astarte_shapes.refusal, astarte_shapes.error),
}


def _bodies(request: Request) -> ErrorBodies | None:
    return ERROR_BODIES.get("/" + request.url.path.split("/")[1])


def _error(request: Request, status: int, text: str) -> JSONResponse:
    bodies = _bodies(request)
    return JSONResponse({"error": text}, status) if bodies is None else bodies.error(status, text)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    bodies = _bodies(request)
    return JSONResponse({"error": str(error)}, error.status) if bodies is None else bodies.refusal(error)


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    detail = error.detail
    if error.status_code == 404:
        detail = "Not Found: no such path"
        if request.url.path.endswith("/v1/devices"):
            detail = "Not Found: boards register at this hub's address with /xyte, which is their entry"
    answer = _error(request, error.status_code, detail)
    answer.headers.update(error.headers or {})
    return answer


async def _without_database(request: Request, error: Exception) -> JSONResponse:
    """As any other failure, except that an outage takes one line of the log: each call fails by it. Raises an error that is no outage."""
    if not is_outage(error):
        raise error
    log.error("%s %s failed: the database cannot be used: %s", request.method, request.scope.get("route", "?"), cause(error))
    return _failed(request)


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s failed", request.method, request.scope.get("route", "?"), exc_info=error)
    return _failed(request)


def _failed(request: Request) -> JSONResponse:
    return _error(request, 500, "The hub failed; its log says why")
