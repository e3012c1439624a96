"""The Astarte interfaces that the hub knows, and how a value is checked against one: seed 002 and reference edgehog-astarte §1 to §3."""

from dataclasses import dataclass
from typing import Any

from tools.hub.domain import updates
from tools.hub.errors import Invalid

_TEXT_MAX = 65_536  # bytes of a string (Astarte's own bound)


@dataclass(frozen=True)
class Interface:
    """An object aggregate: all its values come in one document, on one path."""

    name: str
    major: int
    minor: int
    ownership: str  # device or server
    path: str
    keys: dict[str, str]  # key -> type, string or integer
    qos: int
    explicit_timestamp: bool
    description: str
    retention: int | None = None  # seconds

    def definition(self) -> dict[str, Any]:
        """The interface as JSON, in the form of seed 002."""
        quality: dict[str, Any] = {} if self.qos == 0 else {"reliability": ("unreliable", "guaranteed", "unique")[self.qos]}
        if self.retention is not None:
            quality |= {"database_retention_policy": "use_ttl", "database_retention_ttl": self.retention}
        if self.explicit_timestamp:
            quality["explicit_timestamp"] = True
        return {
            "interface_name": self.name,
            "version_major": self.major,
            "version_minor": self.minor,
            "type": "datastream",
            "ownership": self.ownership,
            "aggregation": "object",
            "description": self.description,
            "mappings": [{"endpoint": f"{self.path}/{key}", "type": kind, **quality} for key, kind in self.keys.items()],
        }

    def check(self, values: Any, *, whole: bool) -> dict[str, Any]:
        """The values, when they are what the interface says; `whole`: none may be missing. Raises Invalid."""
        if not isinstance(values, dict):
            raise Invalid(f"The value of {self.name} must be an object")
        for key in values:
            if key not in self.keys:
                raise Invalid(f"Unexpected key {key[:64]!r}: {self.name} has {', '.join(self.keys)}")
        for key, kind in self.keys.items():
            if key not in values:
                if whole:
                    raise Invalid(f"The key {key} is missing")
                continue
            value = values[key]
            if kind == "string":
                if not isinstance(value, str) or len(value.encode()) > _TEXT_MAX:
                    raise Invalid(f"{key} must be a string of at most {_TEXT_MAX} bytes")
            elif isinstance(value, bool) or not isinstance(value, int) or not -(2**31) <= value < 2**31:
                raise Invalid(f"{key} must be an integer of 32 bits")
        return values


OTA_EVENT = Interface(
    name=updates.OTA_EVENT,
    major=0,
    minor=1,
    ownership="device",
    path="/event",
    keys={"requestUUID": "string", "status": "string", "statusProgress": "integer", "statusCode": "string", "message": "string"},
    qos=2,
    explicit_timestamp=True,
    description="OTA Events sampled data.",
    retention=updates.EVENT_SECONDS,
)
OTA_REQUEST = Interface(
    name="io.edgehog.devicemanager.OTARequest",
    major=1,
    minor=0,
    ownership="server",
    path="/request",
    keys={"operation": "string", "url": "string", "uuid": "string"},
    qos=0,
    explicit_timestamp=False,
    description="Requests of OTA updates.",
)
INTERFACES = {interface.name: interface for interface in (OTA_EVENT, OTA_REQUEST)}
