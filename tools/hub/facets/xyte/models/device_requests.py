"""What devices send."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, RootModel

from tools.hub.facets.xyte.models.common import (
    Asked,
    Id,
    Int32,
    Name,
    Priority,
    Setting,
    Time,
    Value,
    Whole,
)


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
