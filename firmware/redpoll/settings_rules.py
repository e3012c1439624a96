# What settings.json and a registration reply may hold. Only the start, a change from the cloud and a registration need this: whoever has
# called it unloads it again.
import os

from . import jsonin, log, port
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
_TEXTS = ("name", "sn", "mac", "cloud_id", "hardware_key", "sub_model", "ca", "wifi_ssid", "wifi_password", "ntp")
# what begins the topics of the reporters
_NAMES = ("astarte_realm", "kura_account")
_REPORTERS = ("astarte", "kura")
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
OVERLAY = ("entry", "transport", "snapshot_every", "keepalive", "connect_timeout", "ca", "wifi_ssid", "wifi_password")


def read(path):
    """What the file holds, a dict. SettingsError when it is missing or no JSON object; a key that is not known is logged."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError:
        raise SettingsError('%s: missing. Write one such as {"entry": "https://...", "sn": "A1"}; docs/settings.md lists the keys' % path)
    try:
        values = jsonin.loads_object(data)
    except ValueError as error:
        raise SettingsError("%s: %s. Was the file cut off? Write it again" % (path, error))
    for key in values:
        if key not in _KNOWN:
            log.warning("%s: unknown key %s; it is not used", path, _shown(key))
    return values


def look_for_files(settings, path):
    """Log what would only be missed when it is used."""
    if settings.entry.startswith("https:") and not settings.ca:
        log.warning('%s: "ca" is missing: without the certificate of its CA an https:// server cannot be verified', path)
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
        found[key] = _one_of(values, key, choices, problems)
    # a file's name, PEM text or a JWK; who uses it says what is wrong with it
    for key in _KEYS:
        found[key] = values.get(key, "")
        if not isinstance(found[key], (str, dict)):
            problems.append('"%s" must be a file name, PEM text or a JWK object, not %s' % (key, _shown(found[key])))
    for key in _NAMES:
        name = found[key] = values.get(key, "redpoll")
        if not isinstance(name, str) or not 0 < len(name) <= 48 or not _is_plain(name):
            problems.append('"%s" must be 1 to 48 letters, digits or -_., not %s' % (key, _shown(name)))
    report = found["report"] = values.get("report", [])
    if not isinstance(report, list) or not all(name in _REPORTERS for name in report):
        problems.append('"report" must be a list of %s, not %s' % (", ".join(['"%s"' % name for name in _REPORTERS]), _shown(report)))
    elif report and found["transport"] == "http":
        problems.append('"report": %s publish on the MQTT connection of the cloud, and with "transport": "http" there is none' % report)
    for key in _TEXTS:
        found[key] = _text(values, key, problems)
    for key, (default, low, high) in _NUMBERS.items():
        found[key] = _number(values, key, default, low, high, problems)
    details = found["details"] = values.get("details", {})
    if not isinstance(details, dict):
        problems.append('"details" must be an object such as {"room": "5b"}, not %s' % _shown(details))
    for key, default in _SWITCHES.items():
        found[key] = values.get(key, default)
        if not isinstance(found[key], bool):
            problems.append('"%s" must be true or false, not %s' % (key, _shown(found[key])))
    if not found["hardware_key"] and "hardware_key" not in values:
        found["hardware_key"] = port.HARDWARE
    if not found["sn"] and not found["cloud_id"] and not problems:
        found["sn"] = _own_serial(problems)
    if found["sn"] and not found["mac"] and not found["cloud_id"]:
        found["mac"] = found["sn"]
    return found, problems


def check_credentials(reply):
    """The four values of a registration reply, checked. ValueError that names the one that is missing or wrong."""
    checked = {}
    for key in ("id", "access_key"):
        value = reply.get(key)
        # both become part of topics, URLs and headers
        if not isinstance(value, str) or not 1 <= len(value) <= 128 or not _is_plain(value):
            raise ValueError('registration reply: "%s" must be 1 to 128 letters, digits or -_.' % key)
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


def _is_plain(text):
    return all(c.isdigit() or c.isalpha() or c in "-_." for c in text)


def _text(values, key, problems):
    value = values.get(key, "")
    if isinstance(value, str) and len(value) <= 256:
        return value
    shown = "what is there" if key in SECRETS else _shown(value)
    problems.append('"%s" must be a text of at most 256 characters, not %s' % (key, shown))
    return ""


def _number(values, key, default, low, high, problems):
    value = values.get(key, default)
    if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
        return value
    problems.append('"%s" must be a whole number from %d to %d, not %s' % (key, low, high, _shown(value)))
    return default


def _one_of(values, key, choices, problems):
    value = values.get(key, choices[0])
    if value not in choices:
        problems.append('"%s" must be %s, not %s' % (key, " or ".join(['"%s"' % choice for choice in choices]), _shown(value)))
    return value


def _own_serial(problems):
    own = port.unique_id()
    if own:
        return "".join("%02x" % byte for byte in own)
    problems.append('"sn" or "cloud_id" must name the device: this board has no number of its own')
    return ""


def _shown(value):
    text = "missing" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
