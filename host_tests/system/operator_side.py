"""What the operator sees at the hub of the boards under test."""

from collections.abc import Callable
from typing import Any

from tools.hub.process import HubProcess

Eventually = Callable[..., Any]  # the fixture `eventually`


def registered(hub: HubProcess, eventually: Eventually, serial: str | None = None) -> dict[str, Any]:
    """The device with this serial number (None: the first), once the hub has it."""

    def look() -> dict[str, Any] | None:
        return next((device for device in hub.operator.devices() if serial in (None, device["sn"])), None)

    found: dict[str, Any] = eventually(look, what="registration")
    return found


def ended(hub: HubProcess, device: dict[str, Any], command: dict[str, Any]) -> dict[str, Any] | None:
    """The command once it has ended, well or not."""
    now = hub.operator.get_command(device["id"], command["id"])
    return now if now["status"] in ("done", "failed") else None
