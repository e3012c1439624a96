"""The bodies of the Span facet and what the OpenAPI description says of its calls; the examples are of seed 003 and reference span."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from tools.hub.activity import EVENTS
from tools.hub.facets.openapi import OPERATOR_KEY, Answer, Call, Calls, given, query, said
from tools.hub.facets.span import api
from tools.hub.facets.span.reading import PAGE, PAGE_MAX

TOKEN, JWT, READ_ONLY = "spanToken", "spanJwt", "spanReadOnly"  # names of security schemes
SCHEMES = {
    TOKEN: {"type": "apiKey", "in": "header", "name": "X-API-Token", "description": "the operator key, or the read-only token"},
    JWT: {"type": "apiKey", "in": "header", "name": "Authorization", "description": "TOKEN and a JWT"},
    READ_ONLY: {"type": "apiKey", "in": "query", "name": "api_token", "description": "the read-only token; it opens what only reads"},
}
_COLLECTION_ID, _DEVICE_ID = "17dj5j4ce8bkci", "f62e0c28-5ce2-4590-a6cf-2f255a338544"
PATH_PARAMETERS: dict[str, dict[str, Any]] = {
    "collection_id": {
        "schema": {"type": "string", "pattern": "^[0-9a-v]{14}$"}, "description": "the collection's id", "example": _COLLECTION_ID,
    },
    "message_id": {"schema": {"type": "string", "format": "uuid"}, "description": "a message's id", "example": _DEVICE_ID},
}  # fmt: skip


class Sent(BaseModel):
    """What goes out has exactly these."""

    model_config = ConfigDict(extra="forbid")


class SpanError(Sent):
    """What is refused, and why; `code` is that of gRPC."""

    code: int
    message: str
    details: list[Any]


class System(Sent):
    """The version of the API."""

    version: str


class TokensAsked(BaseModel):
    """For how long, and whether it is to write."""

    seconds: int = 3600
    write: bool = False


class Tokens(Sent):
    """The read-only token of this hub, and a JWT; `expires` in milliseconds since 1970."""

    apiToken: str
    jwt: str
    expires: str


class NameTag(BaseModel):
    """The only tag that can be set."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = None


class Tagged(BaseModel):
    """A collection's tags."""

    model_config = ConfigDict(extra="forbid")

    tags: NameTag | None = None


class Collection(Sent):
    """A collection: a space of the hub."""

    collectionId: str
    tags: dict[str, str]
    enabled: bool


class Collections(Sent):
    """All collections."""

    collections: list[Collection]


class Sim(BaseModel):
    """Of the SIM card and the modem; an empty text clears."""

    model_config = ConfigDict(extra="forbid")

    imsi: str | None = None
    imei: str | None = None


class DeviceConfigAsked(BaseModel):
    """What can be set of a device's configuration."""

    model_config = ConfigDict(extra="forbid")

    ciot: Sim | None = None


class SpanDeviceChange(BaseModel):
    """What is to be another."""

    model_config = ConfigDict(extra="forbid")

    collectionId: str | None = None
    tags: NameTag | None = None
    config: DeviceConfigAsked | None = None
    imsi: str | None = None
    imei: str | None = None


class SpanFirmware(Sent):
    """Firmware metadata."""

    currentFirmwareId: str
    targetFirmwareId: str
    firmwareVersion: str
    serialNumber: str
    modelNumber: str
    manufacturer: str
    state: str
    stateMessage: str


Transport = Literal["unspecified", "udp", "coap", "mqtt", "gateway", "coaps", "dtls"]


class SpanDevice(Sent):
    """A device."""

    deviceId: str
    collectionId: str
    tags: dict[str, str]
    firmware: SpanFirmware
    config: dict[str, dict[str, str]]
    lastTransport: Transport
    lastReceived: str
    enabled: bool
    lastGatewayId: str = ""
    lastPayload: str = ""


class SpanDevices(Sent):
    """The devices of a collection."""

    devices: list[SpanDevice]


class Certificates(Sent):
    """None."""

    certificates: list[Any]


class UpstreamMessage(Sent):
    """A message that the device has sent; `payload` is base64."""

    messageId: str
    collectionId: str
    deviceId: str
    transport: Transport
    received: str
    payload: str
    gatewayId: str = ""


class Inbox(Sent):
    """Messages, newest first."""

    messages: list[UpstreamMessage]


class Payload(BaseModel):
    """A message for the device, in base64."""

    model_config = ConfigDict(extra="forbid")

    payload: str


class DownstreamMessage(Sent):
    """A message for the device."""

    messageId: str
    collectionId: str
    deviceId: str
    createdTime: str
    sentTime: str
    transport: Transport
    state: Literal["pending", "sent", "failed"]
    payload: str
    gatewayId: str = ""


class Outbox(Sent):
    """Messages, newest first."""

    messages: list[DownstreamMessage]


class TakenBack(Sent):
    """The message that is not sent."""

    messageId: str
    collectionId: str
    deviceId: str


class ActivityMessage(Sent):
    """Seed 003; `seq` is there where `since` was asked for."""

    event: str
    time: str
    collectionId: str
    deviceId: str = ""
    gatewayId: str = ""
    data: dict[str, str] = {}
    seq: int = 0


_REFUSALS = {
    400: ("Not readable, or a value is not acceptable", 3, "limit must be a whole number from 0 to 2147483647"),
    401: ("No credentials, or wrong ones", 16, "Not authorized: send X-API-Token, or Authorization: TOKEN and a JWT"),
    403: ("This token only reads", 7, "Not allowed: this token only reads"),
    404: ("No such collection, device or message", 5, "Device not found in this collection"),
    409: ("The device has answered the message already", 6, "Command is already done"),
    500: ("The hub failed", 13, "The hub failed; its log says why"),
}


def refusals(*statuses: int) -> dict[int, Answer]:
    """The vendor's error body for each of these."""
    return {
        status: Answer(text, said(SpanError, {"code": code, "message": message, "details": []}))
        for status, (text, code, message) in ((status, _REFUSALS[status]) for status in (*statuses, 500))
    }


def _reads(answer: dict[int, Answer], *more: int, **call: Any) -> Call:
    return Call({**answer, **refusals(401, *more)}, secured_by=(TOKEN, JWT, READ_ONLY), **call)


def _writes(answer: dict[int, Answer], *more: int, **call: Any) -> Call:
    return Call({**answer, **refusals(401, 403, *more)}, secured_by=(TOKEN, JWT), **call)


_COLLECTION = {"collectionId": _COLLECTION_ID, "tags": {"name": "Hall 3", "space": "1"}, "enabled": True}
_DEVICE = {
    "deviceId": _DEVICE_ID, "collectionId": _COLLECTION_ID, "tags": {"name": "pump"},
    "firmware": {
        "currentFirmwareId": "", "targetFirmwareId": "", "firmwareVersion": "1.0.0", "serialNumber": "A1", "modelNumber": "sensor-1",
        "manufacturer": "", "state": "update required", "stateMessage": "the latest is 1.3.4",
    },
    "config": {}, "lastTransport": "mqtt", "lastReceived": "1795262400000", "enabled": True,
}  # fmt: skip
_IDS = {"collectionId": _COLLECTION_ID, "deviceId": _DEVICE_ID}
_PAYLOAD = "eyJuYW1lIjogImJsaW5rIiwgInBhcmFtZXRlcnMiOiB7InRpbWVzIjogMn19"
_UP = {"messageId": "17", **_IDS, "transport": "mqtt", "received": "1795262400000", "payload": "eyJ0ZWxlbWV0cmllcyI6e319"}
_DOWN = {
    "messageId": _DEVICE_ID, **_IDS, "createdTime": "1795262400000", "sentTime": "0", "transport": "mqtt", "state": "pending",
    "payload": _PAYLOAD,
}  # fmt: skip
_CHANGE = {"collectionId": _COLLECTION_ID, "tags": {"name": "pump"}, "config": {"ciot": {"imsi": "", "imei": ""}}}
_ACTIVITY = {**_IDS, "data": {"bytes": "9", "transport": "unspecified"}, "event": "upstreamMessage", "time": "2024-04-25 20:23:36"}
_WHOLE = {"type": "integer", "minimum": 0, "maximum": 2**53}
_BETWEEN = (
    query("limit", f"how many, at most {PAGE_MAX}; {PAGE} where it is not given", {**_WHOLE, "maximum": 2**31 - 1}),
    query("start", "milliseconds since 1970; a day before end where it is not given", _WHOLE),
    query("end", "milliseconds since 1970; now where it is not given", _WHOLE),
)
_BEFORE = query("offset", "a messageId: those before it; not together with start and end", _WHOLE)
_ONE = f"{api.PREFIX}/collections/{{collection_id}}"
_DEV = f"{_ONE}/devices/{{device_id}}"

CALLS: Calls = {
    ("GET", f"{api.PREFIX}/system"): Call({**given(System, {"version": api.VERSION}), **refusals()}),
    ("POST", f"{api.PREFIX}/operator/tokens"): Call(
        {
            **given(Tokens, {"apiToken": "read-…", "jwt": "eyJhbG…", "expires": "1795266000000"}),
            **refusals(400, 401),
        },
        said(TokensAsked, {"seconds": 3600, "write": False}), body_required=False, secured_by=(TOKEN, OPERATOR_KEY),
    ),
    ("GET", f"{api.PREFIX}/collections"): _reads(given(Collections, {"collections": [_COLLECTION]})),
    ("POST", f"{api.PREFIX}/collections"): _writes(
        given(Collection, _COLLECTION), 400, body=said(Tagged, {"tags": {"name": "Hall 3"}}), body_required=False
    ),
    ("GET", _ONE): _reads(given(Collection, _COLLECTION), 404),
    ("PATCH", _ONE): _writes(
        given(Collection, _COLLECTION), 400, 404, body=said(Tagged, {"tags": {"name": "Hall 3"}}), body_required=False
    ),
    ("GET", f"{_ONE}/activity"): Call(
        {
            101: Answer("A web socket: one object per message", said(ActivityMessage, _ACTIVITY)),
            **refusals(400, 401, 404),
        },
        secured_by=(TOKEN, JWT, READ_ONLY),
        query=(
            query("deviceId", "what this device does, and the devices behind it", {"type": "string"}),
            query("event", "this event only", {"type": "string", "enum": sorted(EVENTS)}),
            query("since", "a seq: what came after it first, each with its own seq", {"type": "integer", "minimum": 0}),
        ),
    ),
    ("GET", f"{_ONE}/devices"): _reads(given(SpanDevices, {"devices": [_DEVICE]}), 404),
    ("GET", _DEV): _reads(given(SpanDevice, _DEVICE), 404),
    ("PATCH", _DEV): _writes(given(SpanDevice, _DEVICE), 400, 404, body=said(SpanDeviceChange, _CHANGE), body_required=False),
    ("DELETE", _DEV): _writes(given(SpanDevice, _DEVICE), 404),
    ("GET", f"{_DEV}/certs"): _reads(given(Certificates, {"certificates": []}), 404),
    ("GET", f"{_DEV}/inbox"): _reads(given(Inbox, {"messages": [_UP]}), 400, 404, query=(*_BETWEEN, _BEFORE)),
    ("GET", f"{_DEV}/outbox"): _reads(given(Outbox, {"messages": [_DOWN]}), 400, 404, query=_BETWEEN),
    ("POST", f"{_DEV}/outbox"): _writes(given(DownstreamMessage, _DOWN), 400, 404, body=said(Payload, {"payload": _PAYLOAD})),
    ("DELETE", f"{_DEV}/outbox/{{message_id}}"): _writes(given(TakenBack, {"messageId": _DEVICE_ID, **_IDS}), 404, 409),
}  # fmt: skip
