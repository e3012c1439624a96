"""What the OpenAPI description says of the Xyte facet; the examples are those of seed 000, seed 001 and reference xyte §2."""

from typing import Any

from tools.hub.domain import incidents
from tools.hub.facets import xyte_models as m
from tools.hub.facets import xyte_shapes as shapes
from tools.hub.openapi import Answer, Call, Calls, Content, given, header, query, said

DEVICE_KEY, OPERATOR_KEY = "deviceKey", "operatorKey"
SCHEMES = {
    DEVICE_KEY: {
        "type": "apiKey", "in": "header", "name": "Authorization", "description": "the access_key of the device in the path, bare",
    },
    OPERATOR_KEY: {
        "type": "apiKey", "in": "header", "name": "Authorization",
        "description": "the operator key, bare or after Bearer; it is in operator.key in the hub's --data directory",
    },
}  # fmt: skip
_ID = "f62e0c28-5ce2-4590-a6cf-2f255a338544"
_OTHER_ID = "0d6ba4ee-40a1-4bd5-9d0e-1f3a6b2f2c11"
_NOON = "2026-11-21T12:00:00.000Z"
_UUID = {"type": "string", "format": "uuid"}
PATH_PARAMETERS: dict[str, dict[str, Any]] = {
    "device_id": {"schema": _UUID, "description": "the device's id", "example": _ID},
    "file_id": {"schema": _UUID, "description": "a file's id", "example": _OTHER_ID},
    "dump_id": {"schema": _UUID, "description": "a dump's id", "example": _OTHER_ID},
    "incident_id": {"schema": _UUID, "description": "an incident's id", "example": _OTHER_ID},
    "command_id": {"schema": _UUID, "description": "a command's id", "example": _OTHER_ID},
    "license_id": {"schema": _UUID, "description": "a licence's id", "example": _OTHER_ID},
    "name": {
        "schema": {"type": "string", "minLength": 1},
        "description": "type and file name, the slash within the type escaped",
        "example": "text%2Ftxt/agent.log",
    },
    "hardware_key": {"schema": {"type": "string", "minLength": 1, "maxLength": 255}, "description": "the model", "example": "sensor-1"},
    "space_id": {
        "schema": {"type": "string", "minLength": 1, "maxLength": 255},
        "description": "what the operator calls it",
        "example": "1",
    },
}

# ---- refusals

_REFUSALS = {
    400: ("Not readable: broken JSON, an unknown key", "The body is not valid JSON"),
    401: ("The key is wrong, or there is no such device: who has been deleted drops its credentials", "Not authorized"),
    403: ("This change of state is not allowed", "Only allowed to set: inuse/removed/error"),
    404: ("The thing that is named is not there", "Device not found"),
    416: ("The range begins behind the end", "The file has 4096 bytes"),
    422: ("Readable, but a value is not acceptable", "Invalid SN: it must be a text of 1 to 255 characters"),
    429: ("Too many calls: pause some seconds", "Update Device is limited to 10 calls an hour"),
    500: ("The hub failed", "The hub failed; its log says why"),
}


def refusals(*statuses: int, **instead: str) -> dict[int, Answer]:
    """The vendor's error body for each of these; `instead`: another text of an example, by "s404"."""
    return {
        status: Answer(_REFUSALS[status][0], said(m.Error, {"error": instead.get(f"s{status}", _REFUSALS[status][1])}))
        for status in (*statuses, 500)
    }


def _takes(body: tuple[Content, ...], answer: dict[int, Answer], *more: int, **call: Any) -> Call:
    """A device's call with a JSON body."""
    instead = {name: call.pop(name) for name in list(call) if name.startswith("s4")}
    return Call({**answer, **refusals(400, 401, 422, 429, *more, **instead)}, body, secured_by=(DEVICE_KEY,), **call)


def _gives(answer: dict[int, Answer], *more: int, **instead: str) -> Call:
    """A device's question."""
    return Call({**answer, **refusals(401, 429, *more, **instead)}, secured_by=(DEVICE_KEY,))


def _operator(answer: dict[int, Answer], *more: int, body: tuple[Content, ...] = (), **call: Any) -> Call:
    """An operator's call."""
    instead = {name: call.pop(name) for name in list(call) if name.startswith("s4")}
    statuses = (401, *more, *((400, 422) if body else ()))
    return Call({**answer, **refusals(*dict.fromkeys(statuses), s401="Not authorized: this needs the operator key in the "
                "Authorization header", **instead)}, body, secured_by=(OPERATOR_KEY,), **call)  # fmt: skip


# ---- examples

SEED_000 = {
    "status": "online",
    "timestamp": "2021-08-04T07:45:44.122Z",
    "telemetries": {"fan_speed": 100.1, "connection": "4g", "usbc": True},
}
SEED_000_ERROR = {"status": "error", "telemetries": {"input": "Unknown"}, "message": "Unknown input connected"}
SEED_000_REPLY = {
    "config_version": 0, "command": False, "info_version": 0, "new_licenses": True, "latest_fw_version": "1.3.4",
    "latest_fw_file_id": _ID, "space_data_version": 4, "success": True,
}  # fmt: skip
_REGISTRATION = {
    "sn": "A1", "mac": "30:c6:f7:00:12:34", "hardware_key": "sensor-1", "firmware_version": "1.0.0", "name": "Lobby",
}  # fmt: skip
_CREDENTIALS = {"id": _ID, "access_key": "0123456789abcdef0123456789abcdef"}
_CONFIG = {"version": 10, "last_updated": _NOON, "interval": 60}
_HELD = {"name": "Lobby", "version": 10, "last_updated": _NOON, "config": {"interval": 60}, "device_id": _ID}
_COMMAND = {
    "id": _OTHER_ID, "device_id": _ID, "status": "pending", "name": "update_firmware",
    "parameters": {"url": "https://s3.amazonaws.com/xxxx.zip", "version": "1.3.4"},
}  # fmt: skip
_DONE = {"status": "done", "message": "great, success!", "id": _OTHER_ID}
_LICENSE = {
    "id": _OTHER_ID, "device_id": _ID, "data": "device-specific license info...", "signature": "RSA signature...",
    "expires_at": "2027-01-31T12:00:00.000Z", "current_time": _NOON,
}  # fmt: skip
_SPACE = {
    "location": {"coordinates": {"lat": 51.165691, "lng": 10.451526}, "utc_offset": 60, "name": "Germany"},
    "temperature_units": "celsius", "maintenance": False, "name": "Interactive Class", "local_time": "2022-03-17T10:55:28+01:00",
}  # fmt: skip
_OPENED = {"title": "Temperature is too high", "issue": "overheated", "priority": "moderate", "description": "81 degrees"}
_INCIDENT = {"id": _OTHER_ID, "device_id": _ID, "status": "active", **_OPENED, "created_at": _NOON, "updated_at": _NOON}
_EVENT = {
    "name": "door_opened", "category": "doors", "int_key_1": 5, "int_key_2": None, "string_key_1": "front", "string_key_2": None,
    "timestamp": "2021-08-04T07:45:44.122Z",
}  # fmt: skip
_INFO: dict[str, Any] = {
    "id": _ID, "name": "Lobby", "sn": "A1", "mac": "30:c6:f7:00:12:34", "cloud_id": None, "hardware_key": "sensor-1", "sub_model": None,
    "firmware_version": "1.0.0", "details": {}, "state": "claimed", "status": "online", "info_version": 0, "config_version": 10,
    "space_data_version": 4, "created_at": _NOON,
}  # fmt: skip
_SUM = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_FILE = {
    "id": _OTHER_ID, "name": "app.zip", "url": f"https://hub.example/xyte/v1/devices/{_ID}/files/{_OTHER_ID}/content?until=1795348800&signature=x",
    "desc": None, "file_type": "firmware", "version": "1.3.4", "checksum": _SUM, "created_at": _NOON, "public_notes": None,
}  # fmt: skip
_BYTES = {"type": "string", "format": "binary"}
_RANGE = header("Range", "one range of bytes", {"type": "string", "examples": ["bytes=1024-"]})
_RAW_DUMP = (
    Content(_BYTES, media_type="application/octet-stream"),
    Content({"type": "object", "properties": {"data": _BYTES}, "required": ["data"]}, media_type="multipart/form-data"),
)
_SUCCESS = given(m.Success, {"success": True})
_CONTENT = {
    200: Answer("The bytes", (Content(_BYTES, media_type="application/octet-stream"),)),
    206: Answer("The bytes of the range", (Content(_BYTES, media_type="application/octet-stream"),)),
}

_CALLS = {
    ("POST", "/telemetry"): _takes(
        said(m.Telemetry, online=SEED_000, error=SEED_000_ERROR), given(m.TelemetryReply, SEED_000_REPLY),
        headers=(header("Idempotency-Key", "the message's own number: one that comes twice is stored once", {"type": "string"}),),
        s422="Common telemetries.speed must be string, number or boolean",
    ),
    ("GET", "/config"): _gives(given(m.HeldConfiguration, _HELD)),
    ("POST", "/config"): _takes(
        said(m.Configuration, flat=_CONFIG, nested={"version": 10, "config": {"interval": 60}}), given(m.HeldConfiguration, _HELD),
        s422="Config version 9 is older than the server's 10",
    ),
    ("GET", "/command"): _gives(given(m.Command, _COMMAND), 404, s404="No pending commands"),
    ("POST", "/command"): _takes(
        said(m.CommandReport, _DONE), given(m.ReportedCommand, {**_COMMAND, "status": "done", "message": "great, success!"}), 403, 404,
        s403="Command is already done", s404="Command not found",
    ),
    ("GET", "/command/pending_commands"): _gives(given(m.Commands, [_COMMAND])),
    ("GET", "/license"): _gives(given(m.LicenseOrNothing, license={**_LICENSE, "action": "add"}, none={})),
    ("GET", "/licenses"): _gives(given(m.Licenses, [{**_LICENSE, "add": True, "update": False, "remove": False}])),
    ("POST", "/licenses"): _takes(
        said(m.LicenseReport, {"id": _OTHER_ID, "state": "inuse"}),
        given(m.LicenseReported, {"id": _OTHER_ID, "state": "inuse", "error": None}), 403, 404, s404="License not found",
    ),
    ("GET", "/space"): _gives(given(m.SpaceInfo, _SPACE), 404, s404="Device is not claimed"),
    ("PUT", "/cloud_settings"): _takes(
        said(
            m.CloudSettingInEitherForm, property={"property": "incidents.suspend_creation", "value": True},
            older={"incidents.suspend_creation": True},
        ),
        given(m.CloudSettings, {"incidents.suspend_creation": True}),
    ),
    ("POST", "/incidents"): _takes(said(m.IncidentOpened, _OPENED), given(m.IncidentId, {"incident_id": _OTHER_ID})),
    ("GET", "/incidents"): _gives(given(m.Incidents, [_INCIDENT])),
    ("DELETE", "/incidents"): _takes((), _SUCCESS),
    ("DELETE", "/incidents/{incident_id}"): _takes((), _SUCCESS, 404, s404="Incident not found"),
    ("POST", "/events"): _takes(said(m.Event, _EVENT), given(m.EventTaken, {"status": True})),
    ("GET", ""): _gives(given(m.DeviceInfo, _INFO)),
    ("PUT", ""): _takes(said(m.DeviceUpdate, {"firmware_version": "1.3.4", "name": "Lobby"}), given(m.DeviceInfo, _INFO)),
    ("DELETE", ""): _gives(_SUCCESS),
    ("GET", "/files"): _gives(given(m.Files, [_FILE])),
    ("GET", "/files/{file_id}"): _gives(given(m.File, _FILE), 404, s404=f"File not found: {_OTHER_ID}"),
    ("GET", "/files/{file_id}/content"): Call(
        {**_CONTENT, **refusals(401, 404, 416, 429, s404=f"File not found: {_OTHER_ID}")}, headers=(_RANGE,), secured_by=(DEVICE_KEY,),
        query=(
            query("until", "of a signed link: until when it is good, in seconds since 1970", {"type": "string"}),
            query("signature", "of a signed link", {"type": "string"}),
        ),
    ),
    ("PUT", "/dumps/{dump_id}"): _takes(_RAW_DUMP, given(m.Dump, {"id": _OTHER_ID, "length": 512}), 404, s404="Dump not found"),
    ("POST", "/dumps/{name}"): _takes(
        _RAW_DUMP, given(m.Dump, {"id": _OTHER_ID, "length": 256}, 201), s422="Send dumps to /dumps/{type%2Fsubtype}/{filename}"
    ),
    ("POST", "/children"): _takes(
        said(m.ChildRegistration, {"model_id": "sensor-1", "firmware_version": "2.0.0"}), given(m.ChildCredentials, _CREDENTIALS, 201), 404,
        s404="Model not found",
    ),
    ("GET", "/children"): _gives(given(m.Devices, [_INFO])),
    ("POST", "/children/telemetries"): _takes(
        said(m.ChildTelemetries, {_ID: SEED_000}),
        given(m.ChildTelemetriesReply, {_ID: SEED_000_REPLY, _OTHER_ID: {"error": "Child device not found"}}),
    ),
}  # fmt: skip

_ORGANIZATION = f"{shapes.PREFIX}/core/v1/organization"
_DEVICE = f"{_ORGANIZATION}/devices/{{device_id}}"
_OPERATOR = f"{shapes.PREFIX}/operator"
_LIMIT = query("limit", "how many", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100})
_OFFSET = query("offset", "how many to leave out first", {"type": "integer", "minimum": 0, "maximum": 2**31 - 1, "default": 0})
_BEFORE = query("before", "the `seq` of the last item seen", {"type": "integer", "minimum": 0, "maximum": 2**53})
_PAGE = (_LIMIT, _OFFSET)
_CHOICE = (
    query("status", "only these", {"type": "string", "enum": list(incidents.STATUSES)}),
    query("priority", "only these", {"type": "string", "enum": list(incidents.PRIORITIES)}),
)
_FILE_QUERY = tuple(
    query(name, text, {"type": "string", "minLength": 1, "maxLength": most}, example)
    for name, text, most, example in (
        ("name", "required", 255, "app.zip"), ("file_type", "firmware where nothing is said", 255, "firmware"),
        ("version", "SemVer, which firmware must have", 255, "1.3.4"),
        ("hardware_key", "the model that it is for; else every one", 255, "sensor-1"),
        ("desc", "what it is", 4096, None), ("public_notes", "notes for its readers", 4096, None),
        ("checksum", "else its SHA-256", 255, None), ("signature", "as the operator has it", 4096, None),
    )
)  # fmt: skip
_SHOWN = {
    **_INFO, "reported_status": "online", "space": {"id": "1", "name": "Space 1"}, "collection_id": "17dj5j4ce8bkci",
    "configuration": {"interval": 60}, "config_updated": _NOON, "configuration_state": "applied", "device_config_version": 10,
    "device_space_version": None, "cloud_settings": {}, "online": True, "transport": "mqtt", "last_seen_at": _NOON, "parent_id": None,
    "problems": [{"kind": "command", "reason": "blink: times must be from 1 to 10", "at": _NOON}],
}  # fmt: skip
_QUEUED = {**_COMMAND, "friendly_name": None, "file_id": None, "message": None, "created_at": _NOON, "updated_at": _NOON}
_HELD_LICENSE = {
    "id": _OTHER_ID, "device_id": _ID, "name": "recording", "fields": {"channels": 4}, "action": "add", "state": "pending", "error": None,
    "held": False, "data": "{…}", "signature": "x…", "issued_at": _NOON, "expires_at": None, "created_at": _NOON, "updated_at": _NOON,
}  # fmt: skip
_HELD_FILE = {
    "id": _OTHER_ID, "name": "app.zip", "desc": None, "file_type": "firmware", "version": "1.3.4", "checksum": _SUM, "sha256": _SUM,
    "signature": None, "public_notes": None, "hardware_key": "sensor-1", "length": 4096, "created_at": _NOON,
}  # fmt: skip
_HELD_DUMP = {"id": _OTHER_ID, "mime": "text/txt", "filename": "agent.log", "length": 512, "created_at": _NOON}
_MODEL = {"hardware_key": "sensor-1", "known": True, "latest_fw_version": "1.3.4", "latest_fw_file_id": _OTHER_ID}
_HELD_SPACE = {"id": "1", "collection_id": "17dj5j4ce8bkci", "name": "Hall 3", "info": {"location": "Germany", "utc_offset": 60}}
_LOGGED = {"seq": 7, **_EVENT, "received_at": _NOON}
_MESSAGE = {"seq": 9, "received_at": _NOON, **SEED_000, "message": None, "override": False, "number": 42}
_STATE = {"device_id": _ID, "status": "online", "message": None, "timestamp": _NOON, "telemetries": {"fan_speed": 100.1}}


def _list(model: Any, example: Any, *more: int, query: tuple[dict[str, Any], ...] = _PAGE, **also: Any) -> Call:
    return _operator(given(model, {"items": [example], **also}), *more, *((422,) if query else ()), query=query)


_OPERATOR_CALLS = {
    ("GET", f"{_ORGANIZATION}/devices"): _list(m.OperatorDevices, _SHOWN),
    ("POST", f"{_ORGANIZATION}/devices/claim"): _operator(
        given(m.OperatorDevice, _SHOWN), 404, body=said(m.Claim, {"sn": "A1", "mac": "30:c6:f7:00:12:34", "space_id": 1}),
        s404="Device not found: it has not registered, or not with this cloud_id, mac and sn",
    ),
    ("GET", _DEVICE): _operator(given(m.OperatorDevice, _SHOWN), 404),
    ("PATCH", _DEVICE): _operator(
        given(m.OperatorDevice, _SHOWN), 404, body=said(m.DeviceChange, {"configuration": {"interval": 60}}),
    ),
    ("DELETE", _DEVICE): _operator(_SUCCESS, 404),
    ("DELETE", f"{_DEVICE}/problems"): _operator(given(m.OperatorDevice, {**_SHOWN, "problems": []}), 404),
    ("GET", f"{_DEVICE}/commands"): _list(m.OperatorCommands, _QUEUED, 404),
    ("POST", f"{_DEVICE}/commands"): _operator(
        given(m.OperatorCommand, _QUEUED, 201), 404, body=said(m.CommandQueued, {"name": "blink", "extra_params": {"times": 3}}),
    ),
    ("GET", f"{_DEVICE}/commands/{{command_id}}"): _operator(given(m.OperatorCommand, _QUEUED), 404, s404="Command not found"),
    ("DELETE", f"{_DEVICE}/commands/{{command_id}}"): _operator(
        given(m.OperatorCommand, {**_QUEUED, "status": "cancelled"}), 403, 404, s403="Command is already in_progress",
    ),
    ("GET", f"{_DEVICE}/incidents"): _list(m.OperatorIncidents, {**_INCIDENT, "opened_by": "device"}, 404, query=(*_PAGE, *_CHOICE)),
    ("POST", f"{_DEVICE}/incidents"): _operator(
        given(m.OperatorIncident, {**_INCIDENT, "opened_by": "operator"}, 201), 404, body=said(m.IncidentOpened, _OPENED)
    ),
    ("GET", f"{_ORGANIZATION}/incidents"): _list(
        m.AllIncidents, {**_INCIDENT, "opened_by": "device"}, query=(*_PAGE, *_CHOICE), has_next_page=False
    ),
    ("GET", f"{_ORGANIZATION}/incidents/{{incident_id}}"): _operator(
        given(m.OperatorIncident, {**_INCIDENT, "opened_by": "device"}), 404, s404="Incident not found"
    ),
    ("DELETE", f"{_ORGANIZATION}/incidents/{{incident_id}}"): _operator(
        given(m.OperatorIncident, {**_INCIDENT, "status": "closed", "opened_by": "device"}), 404, s404="Incident not found"
    ),
    ("GET", f"{_DEVICE}/events"): _list(m.LoggedEvents, _LOGGED, 404, query=(*_PAGE, _BEFORE)),
    ("GET", f"{_DEVICE}/telemetry"): _operator(given(m.State, _STATE), 404),
    ("GET", f"{_DEVICE}/telemetry/history"): _list(m.History, _MESSAGE, 404, query=(*_PAGE, _BEFORE)),
    ("GET", f"{_DEVICE}/dumps"): _list(m.OperatorDumps, _HELD_DUMP, 404, query=()),
    ("GET", f"{_DEVICE}/dumps/{{dump_id}}/content"): _operator(_CONTENT, 404, 416, headers=(_RANGE,), s404="Dump not found"),
    ("DELETE", f"{_DEVICE}/dumps/{{dump_id}}"): _operator(_SUCCESS, 404, s404="Dump not found"),
    ("GET", f"{_OPERATOR}/devices/{{device_id}}/licenses"): _list(m.OperatorLicenses, _HELD_LICENSE, 404),
    ("POST", f"{_OPERATOR}/devices/{{device_id}}/licenses"): _operator(
        given(m.OperatorLicense, _HELD_LICENSE, 201), 404,
        body=said(m.LicenseGiven, {"name": "recording", "expires_at": "2027-01-31T12:00:00.000Z", "fields": {"channels": 4}}),
    ),
    ("GET", f"{_OPERATOR}/devices/{{device_id}}/licenses/{{license_id}}"): _operator(
        given(m.OperatorLicense, _HELD_LICENSE), 404, s404="License not found"
    ),
    ("PUT", f"{_OPERATOR}/devices/{{device_id}}/licenses/{{license_id}}"): _operator(
        given(m.OperatorLicense, {**_HELD_LICENSE, "action": "update"}), 404, body=said(m.LicenseRenewed, {"expires_at": None}),
    ),
    ("DELETE", f"{_OPERATOR}/devices/{{device_id}}/licenses/{{license_id}}"): _operator(
        given(m.OperatorLicense, {**_HELD_LICENSE, "action": "remove"}), 404, s404="License not found"
    ),
    ("GET", f"{_OPERATOR}/license-key"): _operator(
        given(m.LicenseKey, {"pem": "-----BEGIN PUBLIC KEY-----…", "algorithm": "RSASSA-PKCS1-v1_5 SHA-256", "encoding": "base64"})
    ),
    ("GET", f"{_OPERATOR}/files"): _list(m.OperatorFiles, _HELD_FILE),
    ("POST", f"{_OPERATOR}/files"): _operator(
        given(m.OperatorFile, _HELD_FILE, 201), body=(Content(_BYTES, media_type="application/octet-stream"),), query=_FILE_QUERY,
    ),
    ("GET", f"{_OPERATOR}/files/{{file_id}}"): _operator(given(m.OperatorFile, _HELD_FILE), 404),
    ("GET", f"{_OPERATOR}/files/{{file_id}}/content"): _operator(_CONTENT, 404, 416, headers=(_RANGE,)),
    ("DELETE", f"{_OPERATOR}/files/{{file_id}}"): _operator(_SUCCESS, 404, 422),
    ("GET", f"{_OPERATOR}/models"): _list(m.Models, _MODEL, query=()),
    ("GET", f"{_OPERATOR}/models/{{hardware_key}}"): _operator(given(m.Model, _MODEL)),
    ("DELETE", f"{_OPERATOR}/models/{{hardware_key}}"): _operator(_SUCCESS),
    ("GET", f"{_OPERATOR}/spaces"): _list(m.OperatorSpaces, _HELD_SPACE, query=()),
    ("GET", f"{_OPERATOR}/spaces/{{space_id}}"): _operator(given(m.OperatorSpace, _HELD_SPACE), 404, s404="Space not found"),
    ("DELETE", f"{_OPERATOR}/spaces/{{space_id}}"): _operator(
        _SUCCESS, 404, 422, s404="Space not found", s422="The space has 2 devices: move or delete them first"
    ),
    ("PUT", f"{_OPERATOR}/models/{{hardware_key}}"): _operator(
        given(m.Model, _MODEL), body=said(m.ModelChange, {"latest_fw_version": "1.3.4", "latest_fw_file_id": _OTHER_ID})
    ),
    ("PUT", f"{_OPERATOR}/spaces/{{space_id}}"): _operator(
        given(m.OperatorSpace, _HELD_SPACE), body=said(m.SpaceChange, {"name": "Hall 3", "info": {"location": "Germany", "utc_offset": 60}})
    ),
}  # fmt: skip

_BASE = f"{shapes.PREFIX}/v1/devices"
CALLS: Calls = {
    ("POST", _BASE): Call(
        {
            **given(m.Credentials, {
                **_CREDENTIALS, "hub_url": "https://hub.example/xyte", "hub_url_static_cert": "https://hub.example/xyte",
                "mqtt_hub_url": "mqtts://hub.example:8883",
            }, 201),
            **refusals(400, 404, 422, 429, s404="Model not found"),
        },
        said(m.Registration, _REGISTRATION),
    ),
    **{(method, f"{_BASE}/{{device_id}}{path}"): call for (method, path), call in _CALLS.items()},
    **_OPERATOR_CALLS,
}  # fmt: skip
