"""The bodies of the Kapua facet and what the OpenAPI description says of its calls; the examples are those of seed 004."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tools.hub.facets.kapua import api, reading, shapes
from tools.hub.facets.openapi import Answer, Call, Calls, given, query, said

BEARER = "kapuaToken"
SCHEMES = {BEARER: {"type": "http", "scheme": "bearer", "description": "the tokenId of POST /kapua/v1/authentication/…"}}
_DEVICE_ID = {
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{2,64}$"}, "description": "the device's id, Kapua's or the hub's own",
    "example": "Psx7WSjzxGU",
}  # fmt: skip
_COMPACT = {"type": "string", "pattern": "^[A-Za-z0-9_-]{2,64}$"}
PATH_PARAMETERS: dict[str, dict[str, Any]] = {
    "scope_id": {"schema": {"type": "string", "minLength": 1}, "description": "the account: AQ, or _ for the own one", "example": "_"},
    "operation_id": {"schema": _COMPACT, "description": "the operation's registry id", "example": "cjmXXKvLUY8"},
    "notification_id": {"schema": _COMPACT, "description": "the notification's id", "example": "RGoRWw9Pkhc"},
}
Id = Annotated[str, Field(pattern="^[A-Za-z0-9_-]{2,11}$")]
Time = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")]
Status = Literal["RUNNING", "COMPLETED", "FAILED", "STALE"]


class Sent(BaseModel):
    """What goes out has exactly these; what is null is left out."""

    model_config = ConfigDict(extra="forbid")


class Login(BaseModel):
    """The user `operator`; its password is the operator key."""

    username: str
    password: str


class ApiKey(BaseModel):
    """The operator key."""

    apiKey: str


class Refresh(BaseModel):
    """A token, which may have expired, and its refresh token."""

    tokenId: str
    refreshToken: str


class KapuaQuery(BaseModel):
    """What is wanted, and which page of it."""

    offset: Annotated[int, Field(ge=0, lt=2**31)] = 0
    limit: Annotated[int, Field(ge=0, lt=2**31)] = 50
    askTotalCount: bool = False
    sortParam: str | None = None
    sortDir: Literal["ASCENDING", "DESCENDING"] | None = None
    resource: str | None = None


class Entity(Sent):
    """What every entity has."""

    id: Id
    scopeId: Id
    createdOn: Time
    createdBy: Id


class AccessToken(Entity):
    """A login."""

    type: Literal["accessToken"]
    modifiedOn: Time
    modifiedBy: Id
    tokenId: str
    userId: Id
    expiresOn: Time
    refreshToken: str
    refreshExpiresOn: Time


class KapuaDevice(Entity):
    """A device; `clientId` is the hub's own id."""

    type: Literal["device"]
    clientId: str
    displayName: str
    firmwareVersion: str
    modelId: str
    serialNumber: str
    status: Literal["ENABLED"]


class Property(Sent):
    """A property of an operation."""

    name: str
    propertyType: str
    propertyValue: str


class Operation(Entity):
    """An operation."""

    type: Literal["deviceManagementOperation"]
    modifiedOn: Time
    modifiedBy: Id
    action: Literal["EXECUTE"]
    appId: str
    deviceId: Id
    operationId: str
    operationProperties: list[Property]
    resource: str
    startedOn: Time
    endedOn: Time = ""
    status: Status
    log: str = ""


class Notification(Entity):
    """A notification of an operation."""

    type: Literal["managementOperationNotification"]
    operationId: Id
    progress: Annotated[int, Field(ge=0)]
    resource: str
    sentOn: Time
    status: Status
    message: str = ""


class ListResult(Sent):
    """A page; `limitExceeded`: there is more."""

    limitExceeded: bool
    size: int
    totalCount: int = 0


class KapuaDevices(ListResult):
    """A page of devices."""

    type: Literal["deviceListResult"]
    items: list[KapuaDevice]


class Operations(ListResult):
    """A page of operations."""

    type: Literal["deviceManagementOperationListResult"]
    items: list[Operation]


class Notifications(ListResult):
    """A page of notifications."""

    type: Literal["managementOperationNotificationListResult"]
    items: list[Notification]


class Count(Sent):
    """How many there are, whatever the page."""

    count: int


class IllegalArgument(Sent):
    """400."""

    type: Literal["illegalArgumentExceptionInfo"]
    httpErrorCode: Literal[400]
    message: str
    kapuaErrorCode: Literal["ILLEGAL_ARGUMENT"]
    argumentName: str
    argumentValue: str = ""


class SubjectUnauthorized(Sent):
    """403."""

    type: Literal["subjectUnauthorizedExceptionInfo"]
    httpErrorCode: Literal[403]
    message: str
    kapuaErrorCode: Literal["SUBJECT_UNAUTHORIZED"]
    permission: str


class EntityNotFound(Sent):
    """404."""

    type: Literal["entityNotFoundExceptionInfo"]
    httpErrorCode: Literal[404]
    message: str
    kapuaErrorCode: Literal["ENTITY_NOT_FOUND"]
    entityType: str
    entityId: str


class KapuaInternalError(Sent):
    """500."""

    type: Literal["exceptionInfo"]
    httpErrorCode: Literal[500]
    message: str
    kapuaErrorCode: Literal["INTERNAL_ERROR"]


_BAD = Answer(
    "A part of the request is not what it must be",
    said(IllegalArgument, shapes.illegal_argument("limit", "-1", "it must be a whole number")),
)
_NO_LOGIN = Answer("The login failed, or the token is none, or has expired; without a body")
_OTHER_ACCOUNT = Answer(
    "Another account than one's own", said(SubjectUnauthorized, shapes.subject_unauthorized("device_management_registry:read:AQI:*"))
)
_MISSING = Answer("Nothing is at this path", said(EntityNotFound, shapes.not_found(shapes.NOTIFICATION, "RGoRWw9Pkhc")))
_FAILED = Answer("The hub failed", said(KapuaInternalError, shapes.internal("The hub failed; its log says why")))


def _login(body: Any, example: dict[str, str]) -> Call:
    return Call({**given(AccessToken, _TOKEN), 400: _BAD, 401: _NO_LOGIN, 500: _FAILED}, said(body, example))


def _call(answer: dict[int, Answer], *, there: bool = True, **more: Any) -> Call:
    """A call in an account; `there` False: nothing that it names need be there."""
    missing = {404: _MISSING} if there else {}
    return Call(
        {**answer, 400: _BAD, 401: _NO_LOGIN, 403: _OTHER_ACCOUNT, **missing, 500: _FAILED},
        secured_by=(BEARER,),
        path={"device_id": _DEVICE_ID},
        **more,
    )


def _page(sorts: Any) -> tuple[dict[str, Any], ...]:
    whole = {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}
    return (
        query("resource", "only those of this resource", {"type": "string", "maxLength": 255}),
        query("offset", "how many to leave out first", {**whole, "default": 0}),
        query("limit", f"how many, at most {reading.LIMIT_MAX}", {**whole, "default": 50}),
        query("askTotalCount", "whether totalCount is wanted", {"type": "boolean"}),
        query("sortParam", "what to sort by", {"type": "string", "enum": sorted(sorts)}),
        query("sortDir", "ASCENDING or DESCENDING", {"type": "string", "enum": ["ASCENDING", "DESCENDING"]}),
    )


_ENTITY = {"scopeId": "AQ", "createdOn": "2019-11-15T11:27:25.331Z", "createdBy": "Ag"}
_MODIFIED = {"modifiedOn": "2019-11-15T11:27:32.331Z", "modifiedBy": "Ag"}
_TOKEN = {
    "type": "accessToken", "id": "TlF9wL5GjJ8", **_ENTITY, **_MODIFIED, "tokenId": "eyJhbG…", "userId": "Ag",
    "expiresOn": "2019-11-15T11:57:25.331Z", "refreshToken": "15395d03-ccad-…", "refreshExpiresOn": "2019-11-15T16:27:25.331Z",
}  # fmt: skip
SEED_004 = {
    "type": "managementOperationNotification", "id": "RGoRWw9Pkhc", **_ENTITY, "operationId": "cjmXXKvLUY8", "progress": 0,
    "resource": "download", "sentOn": "2019-11-15T11:27:25.267Z", "status": "RUNNING",
}  # fmt: skip
SEED_004_LIST = {
    "type": "managementOperationNotificationListResult", "limitExceeded": False, "size": 2,
    "items": [
        SEED_004,
        {
            **SEED_004, "id": "f1Hu1T8iIRw", "createdOn": "2019-11-15T11:27:32.331Z", "progress": 5, "sentOn": "2019-11-15T11:27:32.277Z",
        },
    ],
}  # fmt: skip
_OPERATION = {
    "type": "deviceManagementOperation", "id": "cjmXXKvLUY8", **_ENTITY, **_MODIFIED, "action": "EXECUTE", "appId": "DEPLOY",
    "deviceId": "Psx7WSjzxGU", "operationId": "AQ", "resource": "DOWNLOAD", "startedOn": "2019-11-15T11:27:25.267Z", "status": "RUNNING",
    "operationProperties": [{"name": "version", "propertyType": "string", "propertyValue": "1.3.4"}],
}  # fmt: skip
_DEVICE = {
    "type": "device", "id": "Psx7WSjzxGU", **_ENTITY, "clientId": "f62e0c28-5ce2-4590-a6cf-2f255a338544", "displayName": "Lobby",
    "firmwareVersion": "1.0.0", "modelId": "sensor-1", "serialNumber": "A1", "status": "ENABLED",
}  # fmt: skip
_QUERY = said(KapuaQuery, {"offset": 0, "limit": 50})


def _listed(kind: str, item: Any) -> dict[str, Any]:
    return {"type": f"{kind}ListResult", "limitExceeded": False, "size": 1, "items": [item]}


_DEVICES = f"{api.PREFIX}/{{scope_id}}/devices"
_OPERATIONS = f"{_DEVICES}/{{device_id}}/operations"
_NOTIFICATIONS = f"{_OPERATIONS}/{{operation_id}}/notifications"
_AUTHENTICATION = f"{api.PREFIX}/authentication"
_LISTED_OPERATIONS = given(Operations, _listed(shapes.OPERATION, _OPERATION))
_LISTED_NOTIFICATIONS = given(Notifications, SEED_004_LIST)

CALLS: Calls = {
    ("POST", f"{_AUTHENTICATION}/user"): _login(Login, {"username": api.USERNAME, "password": "the operator key"}),
    ("POST", f"{_AUTHENTICATION}/apikey"): _login(ApiKey, {"apiKey": "the operator key"}),
    ("POST", f"{_AUTHENTICATION}/refresh"): _login(Refresh, {"refreshToken": "15395d03-ccad-…", "tokenId": "eyJhbG…"}),
    ("POST", f"{_AUTHENTICATION}/logout"): Call(
        {204: Answer("The token is worth nothing any more"), 401: _NO_LOGIN, 500: _FAILED}, secured_by=(BEARER,)
    ),
    ("GET", _DEVICES): _call(
        given(KapuaDevices, _listed(shapes.DEVICE, _DEVICE)), there=False,
        query=(query("clientId", "the hub's own id of one", {"type": "string"}), *_page(())[1:3]),
    ),
    ("GET", f"{_DEVICES}/{{device_id}}"): _call(given(KapuaDevice, _DEVICE)),
    ("GET", _OPERATIONS): _call(_LISTED_OPERATIONS, query=_page(reading.OPERATION_SORTS)),
    ("POST", f"{_OPERATIONS}/_query"): _call(_LISTED_OPERATIONS, body=_QUERY),
    ("POST", f"{_OPERATIONS}/_count"): _call(given(Count, {"count": 1}), body=_QUERY),
    ("GET", f"{_OPERATIONS}/{{operation_id}}"): _call(given(Operation, _OPERATION)),
    ("GET", _NOTIFICATIONS): _call(_LISTED_NOTIFICATIONS, query=_page(reading.NOTIFICATION_SORTS)),
    ("POST", f"{_NOTIFICATIONS}/_query"): _call(_LISTED_NOTIFICATIONS, body=_QUERY),
    ("POST", f"{_NOTIFICATIONS}/_count"): _call(given(Count, {"count": 0}), body=_QUERY),
    ("GET", f"{_NOTIFICATIONS}/{{notification_id}}"): _call(given(Notification, SEED_004)),
    ("DELETE", f"{_NOTIFICATIONS}/{{notification_id}}"): _call({200: Answer("It is deleted; without a body")}),
}  # fmt: skip
