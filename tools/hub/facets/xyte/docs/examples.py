"""The examples: those of seed 000, seed 001 and reference xyte §2."""

from typing import Any

from tools.hub.facets.xyte.docs.common import ID, OTHER_ID

NOON = "2026-11-21T12:00:00.000Z"
SEED_000 = {
    "status": "online",
    "timestamp": "2021-08-04T07:45:44.122Z",
    "telemetries": {"fan_speed": 100.1, "connection": "4g", "usbc": True},
}
SEED_000_ERROR = {"status": "error", "telemetries": {"input": "Unknown"}, "message": "Unknown input connected"}
SEED_000_REPLY = {
    "config_version": 0, "command": False, "info_version": 0, "new_licenses": True, "latest_fw_version": "1.3.4",
    "latest_fw_file_id": ID, "space_data_version": 4, "success": True,
}  # fmt: skip
REGISTRATION = {
    "sn": "A1", "mac": "30:c6:f7:00:12:34", "hardware_key": "sensor-1", "firmware_version": "1.0.0", "name": "Lobby",
}  # fmt: skip
CREDENTIALS = {"id": ID, "access_key": "0123456789abcdef0123456789abcdef"}
CONFIG = {"version": 10, "last_updated": NOON, "interval": 60}
HELD = {"name": "Lobby", "version": 10, "last_updated": NOON, "config": {"interval": 60}, "device_id": ID}
COMMAND = {
    "id": OTHER_ID, "device_id": ID, "status": "pending", "name": "update_firmware",
    "parameters": {"url": "https://s3.amazonaws.com/xxxx.zip", "version": "1.3.4"},
}  # fmt: skip
DONE = {"status": "done", "message": "great, success!", "id": OTHER_ID}
LICENSE = {
    "id": OTHER_ID, "device_id": ID, "data": "device-specific license info...", "signature": "RSA signature...",
    "expires_at": "2027-01-31T12:00:00.000Z", "current_time": NOON,
}  # fmt: skip
SPACE = {
    "location": {"coordinates": {"lat": 51.165691, "lng": 10.451526}, "utc_offset": 60, "name": "Germany"},
    "temperature_units": "celsius", "maintenance": False, "name": "Interactive Class", "local_time": "2022-03-17T10:55:28+01:00",
}  # fmt: skip
OPENED = {"title": "Temperature is too high", "issue": "overheated", "priority": "moderate", "description": "81 degrees"}
INCIDENT = {"id": OTHER_ID, "device_id": ID, "status": "active", **OPENED, "created_at": NOON, "updated_at": NOON}
EVENT = {
    "name": "door_opened", "category": "doors", "int_key_1": 5, "int_key_2": None, "string_key_1": "front", "string_key_2": None,
    "timestamp": "2021-08-04T07:45:44.122Z",
}  # fmt: skip
INFO: dict[str, Any] = {
    "id": ID, "name": "Lobby", "sn": "A1", "mac": "30:c6:f7:00:12:34", "cloud_id": None, "hardware_key": "sensor-1", "sub_model": None,
    "firmware_version": "1.0.0", "details": {}, "state": "claimed", "status": "online", "info_version": 0, "config_version": 10,
    "space_data_version": 4, "created_at": NOON,
}  # fmt: skip
SUM = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
FILE = {
    "id": OTHER_ID, "name": "app.zip", "url": f"https://hub.example/xyte/v1/devices/{ID}/files/{OTHER_ID}/content?until=1795348800&signature=x",
    "desc": None, "file_type": "firmware", "version": "1.3.4", "checksum": SUM, "created_at": NOON, "public_notes": None,
}  # fmt: skip
