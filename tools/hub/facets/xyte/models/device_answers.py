"""What devices get."""

from typing import Annotated, Any, Literal

from pydantic import Field, RootModel

from tools.hub.facets.xyte.models.common import (
    Answered,
    Coordinates,
    Error,
    Id,
    Nothing,
    Priority,
    Time,
)


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


class Location(Answered):
    """Where the space is; `utc_offset` in minutes."""

    coordinates: Coordinates
    utc_offset: int
    name: str


class SpaceInfo(Answered):
    """Seed 001 "Get Space Info"."""

    location: Location
    temperature_units: str
    maintenance: bool
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
