"""What operators may call."""

from typing import Any

from tools.hub.domain import incidents
from tools.hub.facets.openapi import OPERATOR_KEY, Answer, Call, Calls, Content, given, query, said
from tools.hub.facets.xyte import shapes
from tools.hub.facets.xyte.docs.common import BYTES, CONTENT, ID, OTHER_ID, RANGE, SUCCESS, refusals
from tools.hub.facets.xyte.docs.examples import COMMAND, EVENT, INCIDENT, INFO, NOON, OPENED, SEED_000, SUM
from tools.hub.facets.xyte.models import device_requests
from tools.hub.facets.xyte.models import operator_answers as answers
from tools.hub.facets.xyte.models import operator_requests as requests


def _operator(answer: dict[int, Answer], *more: int, body: tuple[Content, ...] = (), **call: Any) -> Call:
    """An operator's call."""
    instead = {name: call.pop(name) for name in list(call) if name.startswith("s4")}
    statuses = (401, *more, *((400, 422) if body else ()))
    return Call({**answer, **refusals(*dict.fromkeys(statuses), s401="Not authorized: this needs the operator key in the "
                "Authorization header", **instead)}, body, secured_by=(OPERATOR_KEY,), **call)  # fmt: skip


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
    **INFO, "reported_status": "online", "space": {"id": "1", "name": "Space 1"}, "collection_id": "17dj5j4ce8bkci",
    "configuration": {"interval": 60}, "config_updated": NOON, "configuration_state": "applied", "device_config_version": 10,
    "device_space_version": None, "cloud_settings": {}, "online": True, "transport": "mqtt", "last_seen_at": NOON, "parent_id": None,
    "problems": [{"kind": "command", "reason": "blink: times must be from 1 to 10", "at": NOON}],
}  # fmt: skip
_QUEUED = {**COMMAND, "friendly_name": None, "file_id": None, "message": None, "created_at": NOON, "updated_at": NOON}
_HELD_LICENSE = {
    "id": OTHER_ID, "device_id": ID, "name": "recording", "fields": {"channels": 4}, "action": "add", "state": "pending", "error": None,
    "held": False, "data": "{…}", "signature": "x…", "issued_at": NOON, "expires_at": None, "created_at": NOON, "updated_at": NOON,
}  # fmt: skip
_HELD_FILE = {
    "id": OTHER_ID, "name": "app.zip", "desc": None, "file_type": "firmware", "version": "1.3.4", "checksum": SUM, "sha256": SUM,
    "signature": None, "public_notes": None, "hardware_key": "sensor-1", "length": 4096, "created_at": NOON,
}  # fmt: skip
_HELD_DUMP = {"id": OTHER_ID, "mime": "text/txt", "filename": "agent.log", "length": 512, "created_at": NOON}
_MODEL = {"hardware_key": "sensor-1", "known": True, "latest_fw_version": "1.3.4", "latest_fw_file_id": OTHER_ID}
_HELD_SPACE = {"id": "1", "collection_id": "17dj5j4ce8bkci", "name": "Hall 3", "info": {"location": "Germany", "utc_offset": 60}}
_LOGGED = {"seq": 7, **EVENT, "received_at": NOON}
_MESSAGE = {"seq": 9, "received_at": NOON, **SEED_000, "message": None, "override": False, "number": 42}
_STATE = {"device_id": ID, "status": "online", "message": None, "timestamp": NOON, "telemetries": {"fan_speed": 100.1}}


def _list(model: Any, example: Any, *more: int, query: tuple[dict[str, Any], ...] = _PAGE, **also: Any) -> Call:
    return _operator(given(model, {"items": [example], **also}), *more, *((422,) if query else ()), query=query)


CALLS: Calls = {
    ("GET", f"{_ORGANIZATION}/devices"): _list(answers.OperatorDevices, _SHOWN),
    ("POST", f"{_ORGANIZATION}/devices/claim"): _operator(
        given(answers.OperatorDevice, _SHOWN), 404, body=said(requests.Claim, {"sn": "A1", "mac": "30:c6:f7:00:12:34", "space_id": 1}),
        s404="Device not found: it has not registered, or not with this cloud_id, mac and sn",
    ),
    ("GET", _DEVICE): _operator(given(answers.OperatorDevice, _SHOWN), 404),
    ("PATCH", _DEVICE): _operator(
        given(answers.OperatorDevice, _SHOWN), 404, body=said(requests.DeviceChange, {"configuration": {"interval": 60}}),
    ),
    ("DELETE", _DEVICE): _operator(SUCCESS, 404),
    ("DELETE", f"{_DEVICE}/problems"): _operator(given(answers.OperatorDevice, {**_SHOWN, "problems": []}), 404),
    ("GET", f"{_DEVICE}/commands"): _list(answers.OperatorCommands, _QUEUED, 404),
    ("POST", f"{_DEVICE}/commands"): _operator(
        given(answers.OperatorCommand, _QUEUED, 201), 404,
        body=said(requests.CommandQueued, {"name": "blink", "extra_params": {"times": 3}}),
    ),
    ("GET", f"{_DEVICE}/commands/{{command_id}}"): _operator(given(answers.OperatorCommand, _QUEUED), 404, s404="Command not found"),
    ("DELETE", f"{_DEVICE}/commands/{{command_id}}"): _operator(
        given(answers.OperatorCommand, {**_QUEUED, "status": "cancelled"}), 403, 404, s403="Command is already in_progress",
    ),
    ("GET", f"{_DEVICE}/incidents"): _list(answers.OperatorIncidents, {**INCIDENT, "opened_by": "device"}, 404, query=(*_PAGE, *_CHOICE)),
    ("POST", f"{_DEVICE}/incidents"): _operator(
        given(answers.OperatorIncident, {**INCIDENT, "opened_by": "operator"}, 201), 404, body=said(device_requests.IncidentOpened, OPENED)
    ),
    ("GET", f"{_ORGANIZATION}/incidents"): _list(
        answers.AllIncidents, {**INCIDENT, "opened_by": "device"}, query=(*_PAGE, *_CHOICE), has_next_page=False
    ),
    ("GET", f"{_ORGANIZATION}/incidents/{{incident_id}}"): _operator(
        given(answers.OperatorIncident, {**INCIDENT, "opened_by": "device"}), 404, s404="Incident not found"
    ),
    ("DELETE", f"{_ORGANIZATION}/incidents/{{incident_id}}"): _operator(
        given(answers.OperatorIncident, {**INCIDENT, "status": "closed", "opened_by": "device"}), 404, s404="Incident not found"
    ),
    ("GET", f"{_DEVICE}/events"): _list(answers.LoggedEvents, _LOGGED, 404, query=(*_PAGE, _BEFORE)),
    ("GET", f"{_DEVICE}/telemetry"): _operator(given(answers.State, _STATE), 404),
    ("GET", f"{_DEVICE}/telemetry/history"): _list(answers.History, _MESSAGE, 404, query=(*_PAGE, _BEFORE)),
    ("GET", f"{_DEVICE}/dumps"): _list(answers.OperatorDumps, _HELD_DUMP, 404, query=()),
    ("GET", f"{_DEVICE}/dumps/{{dump_id}}/content"): _operator(CONTENT, 404, 416, headers=(RANGE,), s404="Dump not found"),
    ("DELETE", f"{_DEVICE}/dumps/{{dump_id}}"): _operator(SUCCESS, 404, s404="Dump not found"),
    ("GET", f"{_OPERATOR}/devices/{{device_id}}/licenses"): _list(answers.OperatorLicenses, _HELD_LICENSE, 404),
    ("POST", f"{_OPERATOR}/devices/{{device_id}}/licenses"): _operator(
        given(answers.OperatorLicense, _HELD_LICENSE, 201), 404,
        body=said(requests.LicenseGiven, {"name": "recording", "expires_at": "2027-01-31T12:00:00.000Z", "fields": {"channels": 4}}),
    ),
    ("GET", f"{_OPERATOR}/devices/{{device_id}}/licenses/{{license_id}}"): _operator(
        given(answers.OperatorLicense, _HELD_LICENSE), 404, s404="License not found"
    ),
    ("PUT", f"{_OPERATOR}/devices/{{device_id}}/licenses/{{license_id}}"): _operator(
        given(answers.OperatorLicense, {**_HELD_LICENSE, "action": "update"}), 404,
        body=said(requests.LicenseRenewed, {"expires_at": None}),
    ),
    ("DELETE", f"{_OPERATOR}/devices/{{device_id}}/licenses/{{license_id}}"): _operator(
        given(answers.OperatorLicense, {**_HELD_LICENSE, "action": "remove"}), 404, s404="License not found"
    ),
    ("GET", f"{_OPERATOR}/license-key"): _operator(
        given(answers.LicenseKey, {"pem": "-----BEGIN PUBLIC KEY-----…", "algorithm": "RSASSA-PKCS1-v1_5 SHA-256", "encoding": "base64"})
    ),
    ("GET", f"{_OPERATOR}/files"): _list(answers.OperatorFiles, _HELD_FILE),
    ("POST", f"{_OPERATOR}/files"): _operator(
        given(answers.OperatorFile, _HELD_FILE, 201), body=(Content(BYTES, media_type="application/octet-stream"),), query=_FILE_QUERY,
    ),
    ("GET", f"{_OPERATOR}/files/{{file_id}}"): _operator(given(answers.OperatorFile, _HELD_FILE), 404),
    ("GET", f"{_OPERATOR}/files/{{file_id}}/content"): _operator(CONTENT, 404, 416, headers=(RANGE,)),
    ("DELETE", f"{_OPERATOR}/files/{{file_id}}"): _operator(SUCCESS, 404, 422),
    ("GET", f"{_OPERATOR}/models"): _list(answers.Models, _MODEL, query=()),
    ("GET", f"{_OPERATOR}/models/{{hardware_key}}"): _operator(given(answers.Model, _MODEL), 422),
    ("DELETE", f"{_OPERATOR}/models/{{hardware_key}}"): _operator(SUCCESS, 422),
    ("GET", f"{_OPERATOR}/spaces"): _list(answers.OperatorSpaces, _HELD_SPACE, query=()),
    ("GET", f"{_OPERATOR}/spaces/{{space_id}}"): _operator(given(answers.OperatorSpace, _HELD_SPACE), 404, s404="Space not found"),
    ("DELETE", f"{_OPERATOR}/spaces/{{space_id}}"): _operator(
        SUCCESS, 404, 422, s404="Space not found", s422="The space has 2 devices: move or delete them first"
    ),
    ("PUT", f"{_OPERATOR}/models/{{hardware_key}}"): _operator(
        given(answers.Model, _MODEL), body=said(requests.ModelChange, {"latest_fw_version": "1.3.4", "latest_fw_file_id": OTHER_ID})
    ),
    ("PUT", f"{_OPERATOR}/spaces/{{space_id}}"): _operator(
        given(answers.OperatorSpace, _HELD_SPACE),
        body=said(requests.SpaceChange, {"name": "Hall 3", "info": {"location": "Germany", "utc_offset": 60}})
    ),
}  # fmt: skip
