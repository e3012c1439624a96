"""The routes of the Span facet."""

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse

from tools.hub.facets.span.access import SpanAccess
from tools.hub.facets.span.activity_socket import ActivitySocket
from tools.hub.facets.span.collections_api import CollectionCalls
from tools.hub.facets.span.messages_api import MessageCalls
from tools.hub.hub import Hub

PREFIX = "/span"
VERSION = "4.10.0"
_COLLECTION = "/collections/{collection_id}"
_DEVICE = f"{_COLLECTION}/devices/{{device_id}}"


def router(hub: Hub) -> APIRouter:
    """The routes; those that change something need more than a read-only token."""
    access = SpanAccess(hub)
    activity, collections, messages = ActivitySocket(hub, access), CollectionCalls(hub), MessageCalls(hub)
    api = APIRouter(prefix=PREFIX, tags=["span"])
    api.add_api_route("/system", system, methods=["GET"])
    api.add_api_route("/operator/tokens", access.make_tokens, methods=["POST"])
    api.add_api_websocket_route(f"{_COLLECTION}/activity", activity.follow)
    for method, path, endpoint in (
        ("GET", "/collections", collections.list_collections),
        ("POST", "/collections", collections.create_collection),
        ("GET", _COLLECTION, collections.retrieve_collection),
        ("PATCH", _COLLECTION, collections.update_collection),
        ("GET", f"{_COLLECTION}/activity", activity.activity_over_http),
        ("GET", f"{_COLLECTION}/devices", collections.list_devices),
        ("GET", _DEVICE, collections.retrieve_device),
        ("PATCH", _DEVICE, collections.update_device),
        ("DELETE", _DEVICE, collections.delete_device),
        ("GET", f"{_DEVICE}/certs", collections.list_certificates),
        ("GET", f"{_DEVICE}/inbox", messages.list_inbox),
        ("GET", f"{_DEVICE}/outbox", messages.list_outbox),
        ("POST", f"{_DEVICE}/outbox", messages.add_to_outbox),
        ("DELETE", f"{_DEVICE}/outbox/{{message_id}}", messages.delete_from_outbox),
    ):
        allowed = access.reads if method == "GET" else access.writes
        api.add_api_route(path, endpoint, methods=[method], dependencies=[Depends(allowed)])
    return api


async def system() -> JSONResponse:
    """The version of the API; needs no token."""
    return JSONResponse({"version": VERSION})
