"""The JSON of the Xyte protocol, both ways: what seed 000, seed 001 and reference xyte §2 write down."""

from typing import Any

from tools.hub import times
from tools.hub.domain import configuration, problems
from tools.hub.domain.commands import Command
from tools.hub.domain.files import File
from tools.hub.domain.incidents import Incident
from tools.hub.domain.licenses import License
from tools.hub.domain.model import Device
from tools.hub.domain.spaces import Space
from tools.hub.domain.validation import mapping, whole
from tools.hub.hub import Hub
from tools.hub.store.unit import Push

PREFIX = "/xyte"


def config_nested(device: Device) -> dict[str, Any]:
    """GET /config since API 1.0.5."""
    return {
        "name": device.name,
        "version": device.config_version,
        "last_updated": times.iso(device.config_updated),
        "config": device.config,
        "device_id": device.id,
    }


def config_flat(version: int, updated: float, config: dict[str, Any]) -> dict[str, Any]:
    """Seed 001: the fields beside `version` and `last_updated`."""
    return {**config, "version": version, "last_updated": times.iso(updated)}


def read_config(body: dict[str, Any]) -> tuple[dict[str, Any], int | None]:
    """Configuration and version out of either form. Raises Invalid."""
    version = whole(body.get("version"), "version")
    if isinstance(body.get("config"), dict):
        return mapping(body["config"], "config"), version
    return {name: value for name, value in body.items() if name not in ("version", "last_updated")}, version


def file_link(hub: Hub, hub_url: str | None, device_id: str, file_id: str, now: float) -> str:
    """Where this device fetches this file, for a while from now on; `hub_url` is what it reaches the hub by, where that is known."""
    base = hub_url or (hub.settings.public_url or hub.url) + PREFIX
    return f"{base}/v1/devices/{device_id}/files/{file_id}/content?{hub.links.query(device_id, file_id, now)}"


def pushed_link(hub: Hub, item: Push, now: float) -> str | None:
    """The link to the file of a command that is pushed; None when the push is none, or has none."""
    file_id = item.body.get("file_id") if item.kind == "commands" else None
    return None if file_id is None else file_link(hub, item.body.get("hub_url"), item.device_id, file_id, now)


def command(item: Command, link: str | None = None) -> dict[str, Any]:
    """A command as the device sees it over HTTP; `link` is that to its file, when it has one."""
    return {
        "id": item.id,
        "device_id": item.device_id,
        "status": item.status,
        "name": item.name,
        "parameters": _with_link(item.parameters, link),
    }


def command_pushed(body: dict[str, Any], link: str | None) -> dict[str, Any]:
    """Seed 001 "Get Command"."""
    shown = {name: value for name, value in body.items() if name not in ("file_id", "hub_url")}
    return {**shown, "parameters": _with_link(body["parameters"], link)}


def _with_link(parameters: dict[str, Any], link: str | None) -> dict[str, Any]:
    """What the operator himself gave as `url` stays."""
    return parameters if link is None else {"url": link, **parameters}


def command_for_operator(item: Command) -> dict[str, Any]:
    """A command as the operator sees it: also who named it how, what the device said, and when."""
    return {
        **command(item),
        "friendly_name": item.friendly_name,
        "file_id": item.file_id,
        "message": item.message,
        "created_at": times.iso(item.created_at),
        "updated_at": times.iso(item.updated_at),
    }


def license_single(item: License, now: float) -> dict[str, Any]:
    """GET /license: what to do with it is one word."""
    return {
        "id": item.id,
        "device_id": item.device_id,
        "data": item.data,
        "signature": item.signature,
        "action": item.action,
        "expires_at": None if item.expires_at is None else times.iso(item.expires_at),
        "current_time": times.iso(now),
    }


def license_in_list(item: License, now: float) -> dict[str, Any]:
    """One of GET /licenses: what to do with it is one of three booleans."""
    single = license_single(item, now)
    action = single.pop("action")
    return {**single, **_license_action(action)}


def license_pushed(body: dict[str, Any], now: float) -> dict[str, Any]:
    """Seed 001 "Get License", and beside it the two times that HTTP has (reference xyte §2)."""
    return {
        "data": body["data"],
        "signature": body["signature"],
        "id": body["id"],
        **_license_action(body["action"]),
        "expires_at": None if body["expires_at"] is None else times.iso(body["expires_at"]),
        "current_time": times.iso(now),
    }


def license_for_operator(item: License) -> dict[str, Any]:
    """A licence as the operator sees it: also its state, the device's error, and when."""
    return {
        "id": item.id,
        "device_id": item.device_id,
        "name": item.name,
        "fields": item.fields,
        "action": item.action,
        "state": item.state,
        "error": item.error,
        "held": item.held,
        "data": item.data,
        "signature": item.signature,
        "issued_at": times.iso(item.issued_at),
        "expires_at": None if item.expires_at is None else times.iso(item.expires_at),
        "created_at": times.iso(item.created_at),
        "updated_at": times.iso(item.updated_at),
    }


def _license_action(action: str) -> dict[str, bool]:
    return {name: name == action for name in ("add", "update", "remove")}


def space_info(body: dict[str, Any], now: float) -> dict[str, Any]:
    """Seed 001 "Get Space Info". Where nobody said where the space is, it is at 0/0, UTC; see the operator's PUT /spaces/{id}."""
    offset = body.get("utc_offset")
    offset = offset if isinstance(offset, int) and -1440 < offset < 1440 else 0
    coordinates = body.get("coordinates")
    return {
        "location": {
            "coordinates": coordinates if isinstance(coordinates, dict) else {"lat": 0.0, "lng": 0.0},
            "utc_offset": offset,
            "name": body.get("location", body["name"]),
        },
        "temperature_units": body.get("temperature_units", "celsius"),
        "maintenance": body.get("maintenance", False),
        "name": body["name"],
        "local_time": times.local(now, offset),
    }


def device_info(device: Device) -> dict[str, Any]:
    """GET / of the device. The vendor does not publish its schema: ours."""
    return {
        "id": device.id,
        "name": device.name,
        "sn": device.sn or None,
        "mac": device.mac,
        "cloud_id": device.cloud_id,
        "hardware_key": device.hardware_key,
        "sub_model": device.sub_model,
        "firmware_version": device.firmware_version,
        "details": device.details,
        "state": "registered" if device.space_version == 0 else "claimed",
        "status": device.status,
        "info_version": device.info_version,
        "config_version": device.config_version,
        "space_data_version": device.space_version,
        "created_at": times.iso(device.created_at),
    }


def device_for_operator(device: Device, space: Space | None = None) -> dict[str, Any]:
    """A device as the operator sees it: also its configuration, and whether it is there.

    `online` is whether the hub hears of it, `reported_status` what it said last of itself, and `status` both in one word: a device
    that is not heard of is offline, whatever it said.
    """
    return {
        **device_info(device),
        "status": (device.status or "online") if device.online else "offline",
        "reported_status": device.status,
        "space": None if space is None or space.space_id is None else {"id": space.space_id, "name": space.name},
        "collection_id": device.collection_id,
        "configuration": device.config,
        "config_updated": times.iso(device.config_updated),
        "configuration_state": configuration.state_of(device),
        "device_config_version": device.device_config_version,
        "device_space_version": device.device_space_version,
        "cloud_settings": device.cloud_settings,
        "online": device.online,
        "transport": device.transport,
        "last_seen_at": None if device.seen_at is None else times.iso(device.seen_at),
        "parent_id": device.parent_id,
        "problems": problems.shown(device),
    }


def space_for_operator(space: Space) -> dict[str, Any]:
    """A space as the operator sees it; the home of the unclaimed has no id."""
    return {"id": space.space_id, "collection_id": space.id, "name": space.name, "info": space.info}


def telemetry_for_operator(device: Device) -> dict[str, Any]:
    """The merged state and the last message of it."""
    return {
        "device_id": device.id,
        "status": device.status,
        "message": device.message,
        "timestamp": None if device.telemetry_at is None else times.iso(device.telemetry_at),
        "telemetries": device.state,
    }


def file(item: File, link: str) -> dict[str, Any]:
    """One of GET /files. `signature` is there when the operator gave one."""
    made = {
        "id": item.id,
        "name": item.name,
        "url": link,
        "desc": item.desc,
        "file_type": item.file_type,
        "version": item.version,
        "checksum": item.checksum,
        "created_at": times.iso(item.created_at),
        "public_notes": item.public_notes,
    }
    return made if item.signature is None else {**made, "signature": item.signature}


def file_for_operator(item: File) -> dict[str, Any]:
    """A file as the operator sees it: also its model, its length and its SHA-256."""
    return {
        "id": item.id,
        "name": item.name,
        "desc": item.desc,
        "file_type": item.file_type,
        "version": item.version,
        "checksum": item.checksum,
        "sha256": item.sha256,
        "signature": item.signature,
        "public_notes": item.public_notes,
        "hardware_key": item.hardware_key,
        "length": item.length,
        "created_at": times.iso(item.created_at),
    }


def incident(item: Incident) -> dict[str, Any]:
    """One of GET /incidents (dev.xyte.io ref/get-incident)."""
    return {
        "id": item.id,
        "device_id": item.device_id,
        "status": item.status,
        "priority": item.priority,
        "title": item.title,
        "description": item.description,
        "issue": item.issue,
        "created_at": times.iso(item.created_at),
        "updated_at": times.iso(item.updated_at),
    }


def incident_for_operator(item: Incident) -> dict[str, Any]:
    """An incident as the operator sees it: also who opened it."""
    return {**incident(item), "opened_by": item.opened_by}
