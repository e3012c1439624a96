"""What all descriptions of the Xyte facet's calls have in common: keys, parameters of paths, refusals."""

from typing import Any

from tools.hub.facets.openapi import OPERATOR_KEY, Answer, Content, given, header, said
from tools.hub.facets.xyte.models import common

DEVICE_KEY = "deviceKey"
SCHEMES = {
    DEVICE_KEY: {
        "type": "apiKey", "in": "header", "name": "Authorization", "description": "the access_key of the device in the path, bare",
    },
    OPERATOR_KEY: {
        "type": "apiKey", "in": "header", "name": "Authorization",
        "description": "the operator key, bare or after Bearer; it is in operator.key in the hub's --data directory",
    },
}  # fmt: skip
ID = "f62e0c28-5ce2-4590-a6cf-2f255a338544"
OTHER_ID = "0d6ba4ee-40a1-4bd5-9d0e-1f3a6b2f2c11"
_UUID = {"type": "string", "format": "uuid"}
PATH_PARAMETERS: dict[str, dict[str, Any]] = {
    "device_id": {"schema": _UUID, "description": "the device's id", "example": ID},
    "file_id": {"schema": _UUID, "description": "a file's id", "example": OTHER_ID},
    "dump_id": {"schema": _UUID, "description": "a dump's id", "example": OTHER_ID},
    "incident_id": {"schema": _UUID, "description": "an incident's id", "example": OTHER_ID},
    "command_id": {"schema": _UUID, "description": "a command's id", "example": OTHER_ID},
    "license_id": {"schema": _UUID, "description": "a licence's id", "example": OTHER_ID},
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
        status: Answer(_REFUSALS[status][0], said(common.Error, {"error": instead.get(f"s{status}", _REFUSALS[status][1])}))
        for status in (*statuses, 500)
    }


BYTES = {"type": "string", "format": "binary"}
RANGE = header("Range", "one range of bytes", {"type": "string", "examples": ["bytes=1024-"]})
RAW_DUMP = (
    Content(BYTES, media_type="application/octet-stream"),
    Content({"type": "object", "properties": {"data": BYTES}, "required": ["data"]}, media_type="multipart/form-data"),
)
SUCCESS = given(common.Success, {"success": True})
CONTENT = {
    200: Answer("The bytes", (Content(BYTES, media_type="application/octet-stream"),)),
    206: Answer("The bytes of the range", (Content(BYTES, media_type="application/octet-stream"),)),
}
