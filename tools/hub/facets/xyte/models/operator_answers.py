"""What operators get."""

from typing import Any, Literal

from tools.hub.facets.xyte.models.common import (
    Answered,
    Id,
    Setting,
    Time,
)
from tools.hub.facets.xyte.models.device_answers import DeviceInfo, Incident


class Space(Answered):
    """The space of a device."""

    id: str
    name: str


class Problem(Answered):
    """What went wrong with the device last, of one kind: why, and when."""

    kind: str
    reason: str
    at: Time


class OperatorDevice(DeviceInfo):
    """A device as the operator sees it. `online`: the hub hears of it; `reported_status`: what it says of itself; `status`: both."""

    reported_status: Literal["online", "offline", "error"] | None
    space: Space | None
    collection_id: str
    configuration: dict[str, Any]
    configuration_state: Literal["none", "pending", "applied", "refused"]
    config_updated: Time
    device_config_version: int | None
    device_space_version: int | None
    cloud_settings: dict[str, Setting]
    online: bool
    transport: Literal["http", "mqtt"] | None
    last_seen_at: Time | None
    parent_id: Id | None
    problems: list[Problem]


class OperatorDevices(Answered):
    """A page of devices."""

    items: list[OperatorDevice]


class OperatorCommand(Answered):
    """A command as the operator sees it."""

    id: Id
    device_id: Id
    status: Literal["pending", "in_progress", "done", "failed", "cancelled"]
    name: str
    parameters: dict[str, Any]
    friendly_name: str | None
    file_id: str | None
    message: str | None
    created_at: Time
    updated_at: Time


class OperatorCommands(Answered):
    """A page of commands."""

    items: list[OperatorCommand]


class OperatorLicense(Answered):
    """A licence as the operator sees it."""

    id: Id
    device_id: Id
    name: str
    fields: dict[str, Any]
    action: Literal["add", "update", "remove"]
    state: Literal["pending", "inuse", "removed", "error"]
    error: str | None
    held: bool
    data: str
    signature: str
    issued_at: Time
    expires_at: Time | None
    created_at: Time
    updated_at: Time


class OperatorLicenses(Answered):
    """A page of licences."""

    items: list[OperatorLicense]


class LicenseKey(Answered):
    """The key that licences are verified with."""

    pem: str
    algorithm: str
    encoding: str


class OperatorIncident(Incident):
    """An incident as the operator sees it."""

    opened_by: Literal["device", "operator"]


class OperatorIncidents(Answered):
    """A page of incidents."""

    items: list[OperatorIncident]


class AllIncidents(OperatorIncidents):
    """A page of the incidents of all devices."""

    has_next_page: bool


class LoggedEvent(Answered):
    """An event of the device's log."""

    seq: int
    name: str
    category: str
    int_key_1: int | None
    int_key_2: int | None
    string_key_1: str | None
    string_key_2: str | None
    timestamp: Time
    received_at: Time


class LoggedEvents(Answered):
    """A page of the log."""

    items: list[LoggedEvent]


class State(Answered):
    """The telemetries merged over all messages."""

    device_id: Id
    status: Literal["online", "offline", "error"] | None
    message: str | None
    timestamp: Time | None
    telemetries: dict[str, Any]


class Message(Answered):
    """A telemetry message as it came."""

    seq: int
    received_at: Time
    timestamp: Time
    status: str | None
    message: str | None
    telemetries: dict[str, Any]
    override: bool
    number: int | None


class History(Answered):
    """A page of telemetry messages."""

    items: list[Message]


class OperatorDump(Answered):
    """A dump as the operator sees it."""

    id: Id
    mime: str
    filename: str
    length: int
    created_at: Time


class OperatorDumps(Answered):
    """Dumps of a device."""

    items: list[OperatorDump]


class OperatorFile(Answered):
    """A file as the operator sees it."""

    id: Id
    name: str
    desc: str | None
    file_type: str
    version: str | None
    checksum: str
    sha256: str
    signature: str | None
    public_notes: str | None
    hardware_key: str | None
    length: int
    created_at: Time


class OperatorFiles(Answered):
    """A page of files."""

    items: list[OperatorFile]


class Model(Answered):
    """A model of devices."""

    hardware_key: str
    known: bool
    latest_fw_version: str | None
    latest_fw_file_id: str | None


class Models(Answered):
    """Models that the operator has said something of, or that devices have."""

    items: list[Model]


class OperatorSpace(Answered):
    """A space as the operator sees it; `id` is null for the home of the unclaimed."""

    id: str | None
    collection_id: str
    name: str
    info: dict[str, Any]


class OperatorSpaces(Answered):
    """All spaces."""

    items: list[OperatorSpace]
