"""The versioned configuration (reference xyte §2 and §4).

The operator's change makes a new version. What the device reports makes one only when it differs: the vendor's agent sends back what it
got, and a new version for an unchanged echo would make it loop for ever. Boards keep numbers in 32 bits: what
the operator's number becomes there is an echo too. A device that knows the operator's version, has not confirmed it and reports something
else has refused it: a deviceUpdated with `refused`, and a problem of the device until the operator gives another.
"""

import json
from typing import Any

from tools.hub.domain import problems
from tools.hub.domain.model import Device, change_device, get_device, push, tell
from tools.hub.errors import Invalid
from tools.hub.store.unit import Unit
from tools.singles import is_echo

SIZE_MAX = 64 * 1024  # bytes as JSON: our own bound, the vendor names none
VERSION_MAX = 2_000_000_000  # that a device may come with: the hub counts on from there, in 32 bits
# the flat form of seed 001 keeps these names for itself; the vendor's server has the last one there too (reference xyte §2)
RESERVED = ("version", "last_updated", "config", "device_id")


def set_by_operator(unit: Unit, device: Device, config: object) -> Device:
    """Replace the configuration; the device is told. The same content again changes nothing."""
    if not isinstance(config, dict):
        raise Invalid("configuration must be an object")
    taken = [name for name in RESERVED if name in config]
    if taken:
        raise Invalid(f'configuration must not use the name "{taken[0]}": the protocol\'s flat form keeps it for itself')
    changed = _store(unit, device, config, device.config_version)
    if changed.config_version != device.config_version:
        tell(unit, "deviceUpdated", changed, by="operator", changed="configuration", version=str(changed.config_version))
        problems.clear(unit, device, problems.CONFIGURATION)
        push_current(unit, changed)
    return changed


def set_by_device(unit: Unit, device: Device, config: dict[str, Any], version: int | None) -> Device:
    """Take what the device says its configuration is. Raises Invalid when that is older than the hub's, or far too large."""
    if version is not None and version < device.config_version:
        raise Invalid(f"Config version {version} is older than the server's {device.config_version}")
    if version is not None and version > max(VERSION_MAX, device.config_version):
        raise Invalid(f"Config version {version} is too large: it must be at most {VERSION_MAX}")
    if is_echo(config, device.config):
        config = device.config
    changed = _store(unit, device, config, max(device.config_version, version or 0))
    change_device(unit.db, device.id, {"device_config_version": changed.config_version})
    if changed.config_version != device.config_version and changed.config != device.config:
        asked = device.config_version
        refused = version == asked > (device.device_config_version or 0)
        if refused:
            reason = f"version {asked} is refused: the device keeps its own configuration, which is version {changed.config_version}"
            problems.note(unit, device, problems.CONFIGURATION, reason)
        data = {"refused": str(asked)} if refused else {}
        tell(unit, "deviceUpdated", changed, by="device", changed="configuration", version=str(changed.config_version), **data)
    return get_device(unit.db, device.id)


def state_of(device: Device) -> str:
    """How far the operator's configuration has come: none (there is none), pending, applied, refused."""
    if problems.CONFIGURATION in (device.problems or {}):
        return "refused"
    if device.config_version == 0:
        return "none"
    return "applied" if (device.device_config_version or 0) >= device.config_version else "pending"


def push_current(unit: Unit, device: Device) -> None:
    """Push the configuration in force to the device, whether it has it or not."""
    body = {"version": device.config_version, "last_updated": device.config_updated, "config": device.config}
    push(unit, device, "config", body)


def _store(unit: Unit, device: Device, config: dict[str, Any], base: int) -> Device:
    if config == device.config and _same_types(config, device.config):
        return device
    if len(json.dumps(config)) > SIZE_MAX:
        raise Invalid(f"configuration must be at most {SIZE_MAX} bytes of JSON")
    change_device(unit.db, device.id, {"config": config, "config_version": base + 1, "config_updated": unit.now})
    return get_device(unit.db, device.id)


def _same_types(left: object, right: object) -> bool:
    """Python holds True equal to 1; JSON does not."""
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)
