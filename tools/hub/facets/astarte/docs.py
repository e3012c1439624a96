"""The bodies of the Astarte facet and what the OpenAPI description says of its calls (reference edgehog-astarte, seed 002)."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tools.hub.facets.astarte.api import PREFIX
from tools.hub.facets.astarte.interfaces import OTA_EVENT, OTA_REQUEST
from tools.hub.facets.openapi import OPERATOR_KEY, Answer, Call, Calls, given, query, said

TOKEN = "astarteToken"
SCHEMES = {
    TOKEN: {"type": "http", "scheme": "bearer", "description": "the operator key, or a token of POST /span/operator/tokens"},
}
_ID = "f62e0c28-5ce2-4590-a6cf-2f255a338544"
_ASTARTE_ID = "9i4MKFziRZCmzy8lWjOFRA"
_UUID = "04bf491c-af94-4e9d-813f-ebeebfb856a6"
_NOON = "2026-11-21T12:00:00.000Z"
PATH_PARAMETERS: dict[str, dict[str, Any]] = {
    "realm": {"schema": {"type": "string", "pattern": "^[a-z][a-z0-9]{0,47}$"}, "description": "the hub's realm", "example": "redpoll"},
    "device": {
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{22}$"}, "description": "the device's Astarte id", "example": _ASTARTE_ID,
    },
    "interface": {"schema": {"type": "string", "minLength": 1}, "description": "its name", "example": OTA_EVENT.name},
    "path": {"schema": {"type": "string", "minLength": 1}, "description": "its data's path, without the first slash", "example": "event"},
    "uuid": {"schema": {"type": "string", "format": "uuid"}, "description": "of the update", "example": _UUID},
}  # fmt: skip
Time = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")]
Status = Literal["Acknowledged", "Downloading", "Deploying", "Deployed", "Rebooting", "Success", "Error", "Failure"]
Progress = Annotated[int, Field(ge=0, le=100)]


class Sent(BaseModel):
    """What goes out has exactly these."""

    model_config = ConfigDict(extra="forbid")


class OtaSample(Sent):
    """An OTAEvent; `timestamp` in milliseconds when that is asked for."""

    requestUUID: str
    status: Status
    statusProgress: Progress
    statusCode: str
    message: str
    timestamp: Time | int


class OtaTables(Sent):
    """Each key by itself: [value, timestamp]."""

    requestUUID: list[list[Any]]
    status: list[list[Any]]
    statusProgress: list[list[Any]]
    statusCode: list[list[Any]]
    message: list[list[Any]]


class OtaByPath(Sent):
    """The samples by path; nothing where there are none."""

    event: list[OtaSample] | list[list[Any]] | OtaTables | None = None


class TableMetadata(Sent):
    """What is in which column."""

    columns: dict[str, int]
    table_header: list[str]


class OtaSamples(Sent):
    """The samples, in one of three formats."""

    data: list[OtaSample] | list[list[Any]] | OtaTables
    metadata: TableMetadata | None = None


class OtaOfInterface(Sent):
    """The samples of all paths."""

    data: OtaByPath


class InterfaceVersion(Sent):
    """A version of an interface."""

    major: int
    minor: int


class AstarteDevice(Sent):
    """A device as AppEngine shows it."""

    id: str
    aliases: dict[str, str]
    attributes: dict[str, str]
    connected: bool
    credentials_inhibited: bool
    first_registration: Time
    groups: list[str]
    introspection: dict[str, InterfaceVersion]
    last_connection: Time | None


class AstarteDeviceStatus(Sent):
    """One device."""

    data: AstarteDevice


class AstarteDevices(Sent):
    """A page of devices, or of their ids."""

    data: list[str] | list[AstarteDevice]
    links: dict[str, str]


class AstarteInterfaces(Sent):
    """Names of interfaces."""

    data: list[str]


class OtaRequest(BaseModel):
    """An OTARequest: Update with a URL, Cancel without."""

    operation: Literal["Update", "Cancel"]
    url: str | None = None
    uuid: Annotated[str, Field(json_schema_extra={"format": "uuid"})]


class OtaRequested(BaseModel):
    """What the device is sent."""

    data: OtaRequest


class UpdateRequested(BaseModel):
    """An update with a file of the hub, or from an address."""

    file_id: str | None = None
    url: str | None = None
    uuid: str | None = None


class Update(Sent):
    """An update as its last event says."""

    uuid: str
    device_id: str
    file_id: str | None
    url: str | None
    requested: bool
    cancelled: bool
    status: Status | None
    progress: Progress
    code: str
    message: str
    created_at: Time
    updated_at: Time


class UpdateWithEvents(Update):
    """An update and all its events, oldest first."""

    events: list[OtaSample]


class Updates(Sent):
    """A page of updates, newest first."""

    items: list[Update]


class Detail(Sent):
    """What was wrong."""

    detail: str
    unexpected_keys: list[str] = []


class AstarteError(Sent):
    """Something was wrong."""

    errors: Detail


class AstarteFieldErrors(Sent):
    """Parameters that are not what they must be."""

    errors: dict[str, list[str]]


_WORDS = {
    400: ("Not readable, or not an id", "Bad request"),
    401: ("No key or token that opens this realm", "Unauthorized"),
    403: ("The token only reads", "Forbidden"),
    404: ("Not there", "Device not found"),
    405: ("Only devices write there", "Cannot write to device owned resource"),
    422: ("A value is not acceptable", "operation must be Update or Cancel"),
    500: ("The hub failed", "Internal server error"),
}


def _refusals(*statuses: int, **instead: str) -> dict[int, Answer]:
    return {
        status: Answer(_WORDS[status][0], said(AstarteError, {"errors": {"detail": instead.get(f"s{status}", _WORDS[status][1])}}))
        for status in (*statuses, 500)
    }


_BAD_PARAMETER = {
    422: Answer(
        "A parameter is not what it must be", said(AstarteFieldErrors, {"errors": {"limit": ["must be greater than or equal to 0"]}})
    )
}
_SAMPLE = {"requestUUID": _UUID, "status": "Downloading", "statusProgress": 50, "statusCode": "", "message": "", "timestamp": _NOON}
_HEADER = ["timestamp", *OTA_EVENT.keys]
_TABLE = {
    "metadata": {"columns": {name: number for number, name in enumerate(_HEADER)}, "table_header": _HEADER},
    "data": [[_SAMPLE[name] for name in _HEADER]],
}
_DISJOINT = {"data": {key: [[_SAMPLE[key], _NOON]] for key in OTA_EVENT.keys}}
_SHOWN = {
    "id": _ASTARTE_ID, "aliases": {"name": "Lobby"}, "attributes": {}, "connected": True, "credentials_inhibited": False,
    "first_registration": _NOON, "groups": [], "introspection": {OTA_EVENT.name: {"major": 0, "minor": 1}}, "last_connection": _NOON,
}  # fmt: skip
_UPDATE = {
    "uuid": _UUID, "device_id": _ID, "file_id": "0d6ba4ee-40a1-4bd5-9d0e-1f3a6b2f2c11", "url": None, "requested": True, "cancelled": False,
    "status": "Downloading", "progress": 50, "code": "", "message": "", "created_at": _NOON, "updated_at": _NOON,
}  # fmt: skip
_REQUESTED = {"data": {"operation": "Update", "url": "https://hub.example/app.zip", "uuid": _UUID}}
_INSTANT = {"type": "string", "format": "date-time"}
_WHOLE = {"type": "integer", "minimum": 0}
_FLAG = {"type": "string", "enum": ["true", "false"]}
_VALUES_QUERY = (
    query("since", "from this time on", _INSTANT),
    query("since_after", "after this time; not together with since", _INSTANT),
    query("to", "before this time", _INSTANT),
    query("limit", "at most so many; with neither since, since_after nor to the newest, newest first", _WHOLE, 10),
    query("downsample_to", "about so many, spread evenly", {"type": "integer", "minimum": 3}),
    query("format", "of the answer", {"type": "string", "enum": ["structured", "table", "disjoint_tables"]}),
    query("keep_milliseconds", "times as milliseconds since 1970", _FLAG),
)
_BASE = f"{PREFIX}/appengine/v1/{{realm}}/devices"
_VALUES = f"{_BASE}/{{device}}/interfaces/{{interface}}"
_OWN = f"{PREFIX}/operator/devices/{{device_id}}/updates"
_REQUEST_PATH = {
    "interface": {**PATH_PARAMETERS["interface"], "example": OTA_REQUEST.name},
    "path": {**PATH_PARAMETERS["path"], "example": "request"},
}
_SEND = Call(
    {
        **given(OtaRequested, _REQUESTED),
        **_refusals(400, 401, 403, 404, 405, 422, s404="Interface not found in device introspection", s400="Endpoint not found"),
    },
    said(OtaRequested, _REQUESTED, cancel={"data": {"operation": "Cancel", "uuid": _UUID}}),
    secured_by=(TOKEN,),
    path=_REQUEST_PATH,
)
CALLS: Calls = {
    ("GET", _BASE): Call(
        {
            **given(AstarteDevices, {"data": [_ASTARTE_ID], "links": {"self": "/v1/redpoll/devices"}}),
            **_refusals(401),
            **_BAD_PARAMETER,
        },
        query=(
            query("limit", "devices in the page", _WHOLE, 100),
            query("from_token", "of the next link", _WHOLE),
            query("details", "all of each", _FLAG),
        ),
        secured_by=(TOKEN,),
    ),
    ("GET", f"{_BASE}/{{device}}"): Call({**given(AstarteDeviceStatus, {"data": _SHOWN}), **_refusals(400, 401, 404)}, secured_by=(TOKEN,)),
    ("GET", f"{_BASE}/{{device}}/interfaces"): Call(
        {**given(AstarteInterfaces, {"data": [OTA_EVENT.name]}), **_refusals(400, 401, 404)}, secured_by=(TOKEN,)
    ),
    ("GET", _VALUES): Call(
        {**given(OtaOfInterface, {"data": {"event": [_SAMPLE]}}), **_refusals(400, 401, 404), **_BAD_PARAMETER},
        query=_VALUES_QUERY,
        secured_by=(TOKEN,),
    ),
    ("GET", f"{_VALUES}/{{path}}"): Call(
        {**given(OtaSamples, {"data": [_SAMPLE]}, table=_TABLE, disjoint_tables=_DISJOINT), **_refusals(400, 401, 404), **_BAD_PARAMETER},
        query=_VALUES_QUERY,
        secured_by=(TOKEN,),
    ),
    ("POST", f"{_VALUES}/{{path}}"): _SEND,
    ("PUT", f"{_VALUES}/{{path}}"): _SEND,
    ("GET", _OWN): Call(
        {**given(Updates, {"items": [_UPDATE]}), **_refusals(401, 404, 422, s422="limit and offset must be whole numbers from 0")},
        query=(query("limit", "updates in the page", _WHOLE, 100), query("offset", "updates before it", _WHOLE, 0)),
        secured_by=(OPERATOR_KEY,),
    ),
    ("POST", _OWN): Call(
        {
            **given(Update, {**_UPDATE, "status": None, "progress": 0}, 201),
            **_refusals(400, 401, 404, 422, s422="An update needs a file_id or a url"),
        },
        said(UpdateRequested, {"file_id": "0d6ba4ee-40a1-4bd5-9d0e-1f3a6b2f2c11"}),
        secured_by=(OPERATOR_KEY,),
    ),
    ("GET", f"{_OWN}/{{uuid}}"): Call(
        {**given(UpdateWithEvents, {**_UPDATE, "events": [_SAMPLE]}), **_refusals(401, 404, s404="Update not found")},
        secured_by=(OPERATOR_KEY,),
    ),
    ("DELETE", f"{_OWN}/{{uuid}}"): Call(
        {**given(Update, {**_UPDATE, "cancelled": True}), **_refusals(401, 403, 404, s403="The update has ended: Success")},
        secured_by=(OPERATOR_KEY,),
    ),
}
