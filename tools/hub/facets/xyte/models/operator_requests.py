"""What operators send."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from tools.hub.facets.xyte.models.common import Asked, Coordinates, Id, Name, Setting, Time


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


class SpacePlace(Asked):
    """Where a space is; `utc_offset` in minutes."""

    coordinates: Coordinates = Coordinates(lat=0, lng=0)
    utc_offset: Annotated[int, Field(gt=-1440, lt=1440)] = 0
    location: Annotated[str, Field(max_length=255)] = ""
    temperature_units: Annotated[str, Field(max_length=255)] = ""
    maintenance: bool = False


class SpaceChange(Asked):
    """Name and place of a space."""

    name: Name | None = None
    info: SpacePlace | None = None
