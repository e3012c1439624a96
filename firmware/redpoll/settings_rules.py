# What settings.json and a registration reply may hold. Only the start, a change from the cloud and a registration need this: whoever has
# called it unloads it again.
import os

from micropython import const

from . import jsonin, log, port
from .fields import mismatch
from .net.url import parse_url
from .settings import SettingsError

# name: (default, smallest, largest)
_NUMBERS = {
    "snapshot_every": (600, 10, 86400),
    "keepalive": (60, 5, 3600),
    # under the 8388 ms after which the watchdog of an RP2040 bites
    "connect_timeout": (7, 1, 7),
    "trial_timeout": (180, 20, 3600),
    "spool_bytes": (8192, 512, 1 << 20),
    "spool_flash_bytes": (131072, 8192, 1 << 19),
    "spool_hold": (300, 0, 86400),
    # seconds of deep sleep between messages; 0 is none
    "sleep": (0, 0, 86400),
}
_TEXTS = ("name", "sn", "mac", "cloud_id", "hardware_key", "sub_model", "ntp", "ca", "wifi_ssid", "wifi_password")
_PLAIN = const("must be 1 to %d letters, digits or -_.")
# what begins the topics of the reporters
_NAMES = ("astarte_realm", "kura_account")
_REPORTERS = const(("astarte", "kura"))
_KEYS = ("license_key", "update_key")
_SWITCHES = {"watchdog": True, "auto_update": False}
# settings that name a file may be relative to settings.json
FILES = ("ca",) + _KEYS
SECRETS = ("wifi_password",)
# the first is the default
_CHOICES = {
    "transport": ("mqtt", "http"),
    "license_algorithm": ("pkcs1v15-sha256", "pkcs1v15-sha512", "pss-sha256", "pss-sha512"),
    "license_encoding": ("base64", "hex"),
}
_KNOWN = ("entry", "details", "report") + _KEYS + tuple(_SWITCHES) + _TEXTS + _NAMES + tuple(_CHOICES) + tuple(_NUMBERS)
# what the link depends on and the cloud may change, on trial (DESIGN §3, config)
OVERLAY = ("entry", "transport", "snapshot_every", "keepalive", "connect_timeout") + _TEXTS[-3:]


def read(path):
    """What the file holds, a dict. SettingsError when it is missing or no JSON object; a key that is not known is logged."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError:
        raise SettingsError('%s: missing. Write {"entry": "https://...", "sn": "A1"}; see docs/settings.md' % path)
    try:
        values = jsonin.loads_object(data)
    except ValueError as error:
        raise SettingsError("%s: %s. Was the file cut off? Write it again" % (path, error))
    for key in values:
        if key not in _KNOWN:
            log.warning("%s: unknown key %s; not used", path, _shown(key))
    return values


def look_for_files(settings, path):
    """Log what would only be missed when it is used."""
    if settings.entry.startswith("https:") and not settings.ca:
        log.warning('%s: "ca" is missing: without it an https:// server cannot be verified', path)
    for key in FILES:
        name = getattr(settings, key)
        if isinstance(name, str) and name and "-----BEGIN" not in name:
            try:
                os.stat(name)
            except OSError:
                log.warning('%s: "%s": there is no file %s', path, key, _shown(name))


def foreign(changes):
    """What is wrong with changes from the cloud before their values are looked at: a list of texts."""
    return ["%s cannot be changed from the cloud" % _shown(key) for key in changes if key not in OVERLAY]


def check(values):
    """Every setting by its name, defaults for those that are not there -> (dict, list of texts that say what is wrong)."""
    problems = []
    found = {}
    entry = found["entry"] = values.get("entry")
    reason = _url_problem(entry, ("https", "http"))
    if reason:
        problems.append('"entry" must be an https:// or http:// URL, ' + reason)
    for key, choices in _CHOICES.items():
        value = found[key] = values.get(key, choices[0])
        if value not in choices:
            _refuse(problems, key, "must be " + _quoted(choices, " or "), value)
    # a file's name, PEM text or a JWK; who uses it says what is wrong with it
    for key in _KEYS:
        found[key] = values.get(key, "")
        if not isinstance(found[key], (str, dict)):
            _refuse(problems, key, "must be a file name, PEM text or a JWK object", found[key])
    for key in _NAMES:
        found[key] = values.get(key, "redpoll")
        if not _is_plain(found[key], 48):
            _refuse(problems, key, _PLAIN % 48, found[key])
    report = found["report"] = values.get("report", [])
    if not isinstance(report, list) or not all([name in _REPORTERS for name in report]):
        _refuse(problems, "report", "must be a list of " + _quoted(_REPORTERS, ", "), report)
    elif report and found["transport"] == "http":
        problems.append('"report": %s needs MQTT, not "transport": "http"' % report)
    for key in _TEXTS:
        found[key] = _declared(values, key, "", (str, 0, 256), problems)
    for key, (default, low, high) in _NUMBERS.items():
        found[key] = _declared(values, key, default, (int, low, high), problems)
    for key, default in _SWITCHES.items():
        found[key] = _declared(values, key, default, (bool,), problems)
    details = found["details"] = values.get("details", {})
    if not isinstance(details, dict):
        _refuse(problems, "details", 'must be an object such as {"room": "5b"}', details)
    if "hardware_key" not in values:
        found["hardware_key"] = port.HARDWARE
    if not found["sn"] and not found["cloud_id"] and not problems:
        own = port.unique_id()
        if own:
            found["sn"] = "".join(["%02x" % byte for byte in own])
        else:
            problems.append('"sn" or "cloud_id" is missing: this board has no number of its own')
    if not found["mac"] and not found["cloud_id"]:
        found["mac"] = found["sn"]
    return found, problems


def check_credentials(reply):
    """The four values of a registration reply, checked. ValueError that names the one that is missing or wrong."""
    checked = {}
    for key in ("id", "access_key"):
        value = reply.get(key)
        # both become part of topics, URLs and headers
        if not _is_plain(value, 128):
            raise ValueError('registration reply: "%s" %s' % (key, _PLAIN % 128))
        checked[key] = value
    for key, schemes in (("hub_url", ("https", "http")), ("mqtt_hub_url", ("mqtts", "mqtt"))):
        value = reply.get(key)
        if value is None and key == "mqtt_hub_url":
            continue
        reason = _url_problem(value, schemes)
        if reason:
            raise ValueError('registration reply: "%s" must be a URL with %s://, %s' % (key, ":// or ".join(schemes), reason))
        checked[key] = value.rstrip("/")
    return checked


def sound(stored):
    """Are these credentials that were kept on flash?"""
    try:
        return isinstance(stored, dict) and bool(check_credentials(stored))
    except ValueError:
        return False


def _url_problem(value, schemes):
    # why it is none of these, or None; what it is may hold a password, so only what is no URL at all is shown
    if not isinstance(value, str) or len(value) > 256 or "://" not in value:
        return "not %s" % _shown(value)
    try:
        scheme = parse_url(value)[0]
    except ValueError as error:
        return "but: %s" % error
    return None if scheme in schemes else "not %s://" % scheme


def _is_plain(text, most):
    return isinstance(text, str) and 1 <= len(text) <= most and all([c.isdigit() or c.isalpha() or c in "-_." for c in text])


def _declared(values, key, default, field, problems):
    value = values.get(key, default)
    reason = mismatch(value, field)
    if not reason:
        return value
    _refuse(problems, key, reason, value)
    return default


def _refuse(problems, key, must, value):
    problems.append('"%s" %s, not %s' % (key, must, "what is there" if key in SECRETS else _shown(value)))


def _quoted(names, between):
    return between.join(['"%s"' % name for name in names])


def _shown(value):
    text = "missing" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
