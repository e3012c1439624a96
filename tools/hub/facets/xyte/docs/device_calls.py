"""What devices may call."""

from typing import Any

from tools.hub.facets.openapi import Answer, Call, Calls, Content, given, header, query, said
from tools.hub.facets.xyte import shapes
from tools.hub.facets.xyte.docs.common import CONTENT, DEVICE_KEY, ID, OTHER_ID, RANGE, RAW_DUMP, SUCCESS, refusals
from tools.hub.facets.xyte.docs.examples import (
    COMMAND,
    CONFIG,
    CREDENTIALS,
    DONE,
    EVENT,
    FILE,
    HELD,
    INCIDENT,
    INFO,
    LICENSE,
    OPENED,
    REGISTRATION,
    SEED_000,
    SEED_000_ERROR,
    SEED_000_REPLY,
    SPACE,
)
from tools.hub.facets.xyte.models import device_answers as answers
from tools.hub.facets.xyte.models import device_requests as requests


def _takes(body: tuple[Content, ...], answer: dict[int, Answer], *more: int, **call: Any) -> Call:
    """A device's call with a JSON body."""
    instead = {name: call.pop(name) for name in list(call) if name.startswith("s4")}
    return Call({**answer, **refusals(400, 401, 422, 429, *more, **instead)}, body, secured_by=(DEVICE_KEY,), **call)


def _gives(answer: dict[int, Answer], *more: int, **instead: str) -> Call:
    """A device's question."""
    return Call({**answer, **refusals(401, 429, *more, **instead)}, secured_by=(DEVICE_KEY,))


_CALLS = {
    ("POST", "/telemetry"): _takes(
        said(requests.Telemetry, online=SEED_000, error=SEED_000_ERROR), given(answers.TelemetryReply, SEED_000_REPLY),
        headers=(header("Idempotency-Key", "the message's own number: one that comes twice is stored once", {"type": "string"}),),
        s422="Common telemetries.speed must be string, number or boolean",
    ),
    ("GET", "/config"): _gives(given(answers.HeldConfiguration, HELD)),
    ("POST", "/config"): _takes(
        said(requests.Configuration, flat=CONFIG, nested={"version": 10, "config": {"interval": 60}}),
        given(answers.HeldConfiguration, HELD),
        s422="Config version 9 is older than the server's 10",
    ),
    ("GET", "/command"): _gives(given(answers.Command, COMMAND), 404, s404="No pending commands"),
    ("POST", "/command"): _takes(
        said(requests.CommandReport, DONE), given(answers.ReportedCommand, {**COMMAND, "status": "done", "message": "great, success!"}),
        403, 404,
        s403="Command is already done", s404="Command not found",
    ),
    ("GET", "/command/pending_commands"): _gives(given(answers.Commands, [COMMAND])),
    ("GET", "/license"): _gives(given(answers.LicenseOrNothing, license={**LICENSE, "action": "add"}, none={})),
    ("GET", "/licenses"): _gives(given(answers.Licenses, [{**LICENSE, "add": True, "update": False, "remove": False}])),
    ("POST", "/licenses"): _takes(
        said(requests.LicenseReport, {"id": OTHER_ID, "state": "inuse"}),
        given(answers.LicenseReported, {"id": OTHER_ID, "state": "inuse", "error": None}), 403, 404, s404="License not found",
    ),
    ("GET", "/space"): _gives(given(answers.SpaceInfo, SPACE), 404, s404="Device is not claimed"),
    ("PUT", "/cloud_settings"): _takes(
        said(
            requests.CloudSettingInEitherForm, property={"property": "incidents.suspend_creation", "value": True},
            older={"incidents.suspend_creation": True},
        ),
        given(requests.CloudSettings, {"incidents.suspend_creation": True}),
    ),
    ("POST", "/incidents"): _takes(said(requests.IncidentOpened, OPENED), given(answers.IncidentId, {"incident_id": OTHER_ID})),
    ("GET", "/incidents"): _gives(given(answers.Incidents, [INCIDENT])),
    ("DELETE", "/incidents"): _takes((), SUCCESS),
    ("DELETE", "/incidents/{incident_id}"): _takes((), SUCCESS, 404, s404="Incident not found"),
    ("POST", "/events"): _takes(said(requests.Event, EVENT), given(answers.EventTaken, {"status": True})),
    ("GET", ""): _gives(given(answers.DeviceInfo, INFO)),
    ("PUT", ""): _takes(said(requests.DeviceUpdate, {"firmware_version": "1.3.4", "name": "Lobby"}), given(answers.DeviceInfo, INFO)),
    ("DELETE", ""): _gives(SUCCESS),
    ("GET", "/files"): _gives(given(answers.Files, [FILE])),
    ("GET", "/files/{file_id}"): _gives(given(answers.File, FILE), 404, s404=f"File not found: {OTHER_ID}"),
    ("GET", "/files/{file_id}/content"): Call(
        {**CONTENT, **refusals(401, 404, 416, 429, s404=f"File not found: {OTHER_ID}")}, headers=(RANGE,), secured_by=(DEVICE_KEY,),
        query=(
            query("until", "of a signed link: until when it is good, in seconds since 1970", {"type": "string"}),
            query("signature", "of a signed link", {"type": "string"}),
        ),
    ),
    ("PUT", "/dumps/{dump_id}"): _takes(RAW_DUMP, given(answers.Dump, {"id": OTHER_ID, "length": 512}), 404, s404="Dump not found"),
    ("POST", "/dumps/{name}"): _takes(
        RAW_DUMP, given(answers.Dump, {"id": OTHER_ID, "length": 256}, 201), s422="Send dumps to /dumps/{type%2Fsubtype}/{filename}"
    ),
    ("POST", "/children"): _takes(
        said(requests.ChildRegistration, {"model_id": "sensor-1", "firmware_version": "2.0.0"}),
        given(answers.ChildCredentials, CREDENTIALS, 201), 404,
        s404="Model not found",
    ),
    ("GET", "/children"): _gives(given(answers.Devices, [INFO])),
    ("POST", "/children/telemetries"): _takes(
        said(requests.ChildTelemetries, {ID: SEED_000}),
        given(answers.ChildTelemetriesReply, {ID: SEED_000_REPLY, OTHER_ID: {"error": "Child device not found"}}),
    ),
}  # fmt: skip
_BASE = f"{shapes.PREFIX}/v1/devices"
CALLS: Calls = {
    ("POST", _BASE): Call(
        {
            **given(answers.Credentials, {
                **CREDENTIALS, "hub_url": "https://hub.example/xyte", "hub_url_static_cert": "https://hub.example/xyte",
                "mqtt_hub_url": "mqtts://hub.example:8883",
            }, 201),
            **refusals(400, 404, 422, 429, s404="Model not found"),
        },
        said(requests.Registration, REGISTRATION),
    ),
    **{(method, f"{_BASE}/{{device_id}}{path}"): call for (method, path), call in _CALLS.items()},
}  # fmt: skip
