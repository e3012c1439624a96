# What the Xyte cloud says, the same over MQTT and HTTP -> neutral calls; and the messages that go back (seeds 000 and 001).
import json

from micropython import const

from .. import log
from ..clock import iso
from ..fields import is_whole

# of a configuration that carries its fields at top level, these are not fields
_ABOUT_CONFIG = const(("version", "last_updated", "device_id"))
_VERSION_END = const(1 << 31)
_LATE = const("taken before a restart, nobody knows when")


def version_of(message, key):
    """The whole number from 0 to 2^31 - 1 that the message has under this key, also one that is written as a text; else None."""
    version = message.get(key)
    if isinstance(version, str):
        try:
            version = int(version[:11])
        except ValueError:
            return None
    return version if is_whole(version) and version < _VERSION_END else None


def deliver_config(handler, message):
    """Both shapes: fields under "config" (reference xyte §2) or beside "version" (seed 001)."""
    version = version_of(message, "version")
    if version is None:
        log.warning("config: version must be a whole number, not %r", message.get("version"))
        return
    values = message.get("config", 0)
    if values is None:
        # nothing is configured
        values = {}
    if not isinstance(values, dict):
        values = {key: value for key, value in message.items() if key not in _ABOUT_CONFIG}
    handler.on_config(version, values)


def deliver_command(handler, message):
    """{"id", "status", "name", "parameters"}; anything else is logged and left alone."""
    command_id = message.get("id")
    name = message.get("name")
    parameters = message.get("parameters")
    if not is_id(command_id) or not isinstance(name, str):
        log.warning("command: without an id or a name")
        return
    if parameters is None:
        parameters = {}
    # wrong parameters still have an id, so that they are answered as an error and not passed over
    handler.on_command(command_id, name, parameters, message.get("status", "pending"), message.get("expires_at"))


def deliver_licenses(handler, message):
    """One licence, a list of them, or {} for none (reference xyte §2 and §3)."""
    for license in message if isinstance(message, list) else [message]:
        if license == {}:
            continue
        if not isinstance(license, dict) or not is_id(license.get("id")):
            log.warning("licence: without an id")
            continue
        handler.on_license(license["id"], _action(license), license)


def deliver_firmware(handler, message):
    """{"latest_fw_version", "latest_fw_file_id"}, in a message of its own or in a telemetry reply; both may be null."""
    version = message.get("latest_fw_version")
    file_id = message.get("latest_fw_file_id")
    if isinstance(version, str):
        handler.on_firmware(version, file_id if is_id(file_id) else None)


def config_update(clock, version, values):
    """The body of Update Config (seed 001): the fields beside "version" and "last_updated"."""
    message = dict(values)
    message["version"] = version
    now = clock.iso_at(clock.ms())
    if now:
        message["last_updated"] = now
    return json.dumps(message).encode()


def command_update(command_id, status, message):
    """The body of Update Command (seed 001)."""
    return json.dumps({"id": command_id, "status": status, "message": message}).encode()


def license_update(license_id, state, error):
    """The body of Update License (seed 001)."""
    message = {"id": license_id, "state": state}
    if error:
        message["error"] = error
    return json.dumps(message).encode()


def stamped(body, unix_ms, old):
    """A telemetry body (bytes of a JSON object) with its timestamp put in; `old`: it was taken before the last restart.

    Without a known time (None) it goes as it is, and an old one says so, because the cloud would take it for new.
    """
    if unix_ms is not None:
        # body[1:] would be one copy more
        return b'{"timestamp": "%s", ' % iso(unix_ms).encode() + memoryview(body)[1:]
    if old:
        message = json.loads(body)
        text = message.get("message")
        message["message"] = _LATE + ("; " + text if text else "")
        return json.dumps(message).encode()
    return body


def _action(license):
    for action in ("add", "update", "remove"):
        if license.get(action) is True or license.get("action") == action:
            return action
    return None


def is_id(value):
    return isinstance(value, str) and 1 <= len(value) <= 64
