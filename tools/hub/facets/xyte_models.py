"""The bodies of the Xyte facet as types, for its description only: seed 000, seed 001, reference xyte §1 and §2.

What devices and operators send may have more than these; what the hub answers has exactly these.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Id = Annotated[str, Field(json_schema_extra={"format": "uuid"})]
Name = Annotated[str, Field(min_length=1, max_length=255)]
Whole = Annotated[int, Field(ge=0, le=0x7FFFFFFF)]
Int32 = Annotated[int, Field(ge=-(2**31), lt=2**31)]
Priority = Literal["critical", "high", "moderate", "low", "planning"]
Setting = str | float | bool | None
Value = Annotated[str, Field(max_length=1000)] | float | bool | None


class Asked(BaseModel):
    """A body that comes in."""


class Answered(BaseModel):
    """A body that goes out."""

    model_config = ConfigDict(extra="forbid")


class Error(Answered):
    """What is refused, and why."""

    error: str


class Success(Answered):
    """That it was done."""

    success: Literal[True]


class Nothing(Answered):
    """An empty object."""


# ---- what devices send


class Registration(Asked):
    """Register Device: `mac` beside `sn`, or `cloud_id`."""

    sn: Name
    firmware_version: Name
    hardware_key: Name
    mac: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    cloud_id: Annotated[str, Field(pattern="^[0-9A-Za-z]{16,64}$")] | None = None
    name: Name | None = None
    details: dict[str, Any] | None = None
    sub_model: Name | None = None
    parent_id: Id | None = None


class ChildRegistration(Asked):
    """Register Child Device."""

    model_id: Name
    firmware_version: Name
    sn: Name | None = None
    mac: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    name: Name | None = None
    details: dict[str, Any] | None = None
    sub_model: Name | None = None


class Telemetry(Asked):
    """Seed 000; `message` tells why the status is `error`."""

    status: Literal["online", "offline", "error"] | None = None
    timestamp: Time | None = None
    telemetries: dict[str, Value] | None = None
    override: bool | None = None
    message: str | None = None


class ChildTelemetries(RootModel[dict[str, Telemetry]]):
    """A telemetry message for each child, by its id; at most 100."""


class Configuration(Asked):
    """The configuration: beside `version`, or within `config`."""

    version: Whole | None = None
    last_updated: Any = None
    config: dict[str, Any] | None = None


class CommandReport(Asked):
    """Update Command; anything else in it is ignored."""

    id: Id
    status: Literal["in_progress", "done", "failed", "error"]
    message: str | None = None


class LicenseReport(Asked):
    """Update License."""

    id: Id
    state: Literal["inuse", "removed", "error"]
    error: str | None = None


class DeviceUpdate(Asked):
    """Update Device."""

    model_config = ConfigDict(extra="forbid")

    firmware_version: Name | None = None
    name: Name | None = None
    sub_model: Name | None = None
    details: dict[str, Any] | None = None
    space_version: Whole | None = None
    config_version: Whole | None = None


class CloudSetting(Asked):
    """Set Cloud Settings: one property. The older form is an object of property to value."""

    property: Name
    value: Setting = None


class CloudSettings(RootModel[dict[str, Setting]]):
    """Cloud settings by their property."""


class CloudSettingInEitherForm(RootModel[CloudSetting | CloudSettings]):
    """One property, or the older form."""


class IncidentOpened(Asked):
    """Open Incident."""

    title: Name
    priority: Priority
    issue: Name | None = None
    description: Annotated[str, Field(min_length=1, max_length=4096)] | None = None


class Event(Asked):
    """Add Event."""

    name: Name
    category: Name
    int_key_1: Int32 | None = None
    int_key_2: Int32 | None = None
    string_key_1: Annotated[str, Field(max_length=255)] | None = None
    string_key_2: Annotated[str, Field(max_length=255)] | None = None
    timestamp: Time | None = None


# ---- what devices get


class Credentials(Answered):
    """Who the device is from now on, and where its hub is."""

    id: Id
    access_key: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    hub_url: str
    hub_url_static_cert: str
    mqtt_hub_url: str


class ChildCredentials(Answered):
    """Who the child is from now on."""

    id: Id
    access_key: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]


class TelemetryReply(Answered):
    """Seed 000."""

    config_version: int
    command: bool
    info_version: int
    new_licenses: bool
    latest_fw_version: str | None
    latest_fw_file_id: str | None
    space_data_version: int
    success: Literal[True]


class ChildTelemetriesReply(RootModel[dict[str, TelemetryReply | Error]]):
    """For each child its own reply, or why its message was refused."""


class HeldConfiguration(Answered):
    """The configuration as the hub holds it."""

    name: str
    version: int
    last_updated: Time
    config: dict[str, Any]
    device_id: Id


class Command(Answered):
    """A command to be carried out, or to be gone on with when it is in progress."""

    id: Id
    device_id: Id
    status: Literal["pending", "in_progress"]
    name: str
    parameters: dict[str, Any]


class Commands(RootModel[list[Command]]):
    """Commands to be carried out."""


class ReportedCommand(Answered):
    """A command as it is after the report."""

    id: Id
    device_id: Id
    status: Literal["in_progress", "done", "failed"]
    name: str
    parameters: dict[str, Any]
    message: str | None


class License(Answered):
    """A licence that the device has not answered."""

    id: Id
    device_id: Id
    data: str
    signature: str
    action: Literal["add", "update", "remove"]
    expires_at: Time | None
    current_time: Time


class LicenseOrNothing(RootModel[License | Nothing]):
    """The oldest licence that the device has not answered, if there is one."""


class ListedLicense(Answered):
    """A licence that the device has not answered; one of `add`, `update`, `remove` is true."""

    id: Id
    device_id: Id
    data: str
    signature: str
    add: bool
    update: bool
    remove: bool
    expires_at: Time | None
    current_time: Time


class Licenses(RootModel[list[ListedLicense]]):
    """Every licence that the device has not answered."""


class LicenseReported(Answered):
    """A licence as it is after the report."""

    id: Id
    state: Literal["pending", "inuse", "removed", "error"]
    error: str | None


class Coordinates(BaseModel):
    """Degrees."""

    lat: float
    lng: float


class Location(Answered):
    """Where the space is; `utc_offset` in minutes."""

    coordinates: Coordinates | dict[str, Any]
    utc_offset: int
    name: Any


class SpaceInfo(Answered):
    """Seed 001 "Get Space Info"."""

    location: Location
    temperature_units: Any
    maintenance: Any
    name: str
    local_time: Time


class IncidentId(Answered):
    """The id of the incident that was opened."""

    incident_id: Id


class Incident(Answered):
    """An incident as its device sees it."""

    id: Id
    device_id: Id
    status: Literal["active", "closed"]
    priority: Priority
    title: str
    description: str | None
    issue: str | None
    created_at: Time
    updated_at: Time


class Incidents(RootModel[list[Incident]]):
    """Open incidents."""


class EventTaken(Answered):
    """That it was taken."""

    status: Literal[True]


class DeviceInfo(Answered):
    """A device as it sees itself. The vendor does not publish this one."""

    id: Id
    name: str
    sn: str | None
    mac: str | None
    cloud_id: str | None
    hardware_key: str
    sub_model: str | None
    firmware_version: str
    details: dict[str, Any]
    state: Literal["registered", "claimed"]
    status: Literal["online", "offline", "error"] | None
    info_version: int
    config_version: int
    space_data_version: int
    created_at: Time


class Devices(RootModel[list[DeviceInfo]]):
    """Devices."""


class File(Answered):
    """A file to be fetched; `url` is good for 24 hours."""

    id: Id
    name: str
    url: str
    desc: str | None
    file_type: str
    version: str | None
    checksum: str
    signature: str = ""
    created_at: Time
    public_notes: str | None


class Files(RootModel[list[File]]):
    """Files to be fetched."""


class Dump(Answered):
    """A dump, and how many bytes it has."""

    id: Id
    length: int


# ---- what operators send


class Claim(Asked):
    """Names the device by `cloud_id`, or by `sn`, where several have that also by `mac`."""

    cloud_id: Name | None = None
    sn: Name | None = None
    mac: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    name: Name | None = None
    space_id: Name | int | None = None


class DeviceChange(Asked):
    """What is to change; `configuration` replaces the whole."""

    model_config = ConfigDict(extra="forbid")

    name: Name = ""
    configuration: dict[str, Any] = {}
    space_id: Name | int = ""


class CommandQueued(Asked):
    """A command for the device."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    friendly_name: Name | None = None
    file_id: Id | None = None
    extra_params: dict[str, Any] | None = None


class LicenseGiven(Asked):
    """A licence to be signed and offered."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    expires_at: Time | None = None
    fields: dict[str, Setting] | None = None


class LicenseRenewed(Asked):
    """What is to be another; null takes the expiry away."""

    expires_at: Time | None = None
    fields: dict[str, Setting] = {}


class ModelChange(Asked):
    """Whether the model is known, and its latest firmware."""

    known: bool = True
    latest_fw_version: Name | None = None
    latest_fw_file_id: Annotated[str, Field(min_length=1, max_length=36)] | None = None


class SpaceChange(Asked):
    """Name and place of a space; `info`: coordinates {lat, lng}, utc_offset (minutes), location, temperature_units, maintenance."""

    name: Name | None = None
    info: dict[str, Any] | None = None


# ---- what operators get


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
