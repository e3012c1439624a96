# Who this device is and where it reports: settings.json (written by a person or `redpoll provision`, only read here) and
# the credentials that registration brought.
import os
from binascii import crc32

from . import jsonin, log, port
from .fields import kept
from .flash.record import Record
from .net.url import parse_url

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
}
_TEXTS = ("name", "sn", "mac", "cloud_id", "hardware_key", "sub_model", "ca", "wifi_ssid", "wifi_password")
_SECRET = ("wifi_password",)
_LICENSE_ALGORITHMS = ("pkcs1v15-sha256", "pkcs1v15-sha512", "pss-sha256", "pss-sha512")
_LICENSE_ENCODINGS = ("base64", "hex")
_TRANSPORTS = ("mqtt", "http")
_KNOWN = ("entry", "transport", "details", "watchdog", "license_key", "license_algorithm", "license_encoding") + _TEXTS + tuple(_NUMBERS)
# what the link depends on and the cloud may change, on trial (DESIGN §3, config)
OVERLAY = ("entry", "transport", "snapshot_every", "keepalive", "connect_timeout", "ca", "wifi_ssid", "wifi_password")


class SettingsError(Exception):
    """settings.json cannot be used. The text has one line for each thing that is wrong, and what to write instead."""


class Settings:
    """Attributes named like the keys of settings.json; `credentials` is what registration stored for this entry, or None."""

    def __init__(self, path="settings.json"):
        self._path = path
        self._record = None
        # path -> credentials that the flash did not take
        self._unsaved = {}
        self._file = _read(path)
        for key in self._file:
            if key not in _KNOWN:
                log.warning("%s: unknown key %s; it is not used", path, _shown(key))
        problems = self._take(self._file)
        if problems:
            raise SettingsError("\n".join("%s: %s" % (path, problem) for problem in problems))
        self._look_for_files()

    def _look_for_files(self):
        # what would only be missed when it is used
        if self.entry.startswith("https:") and not self.ca:
            log.warning('%s: "ca" is missing: without the certificate of its CA an https:// server cannot be verified', self._path)
        for key in ("ca", "license_key"):
            name = getattr(self, key)
            if isinstance(name, str) and name and "-----BEGIN" not in name:
                try:
                    os.stat(name)
                except OSError:
                    log.warning('%s: "%s": there is no file %s', self._path, key, _shown(name))

    def overlay(self, changes):
        """Let these values of OVERLAY stand in for those of settings.json; {} takes all of them back.

        SettingsError with what is wrong; nothing is changed then.
        """
        if not isinstance(changes, dict):
            raise SettingsError("settings must be an object")
        problems = ["%s cannot be changed from the cloud" % _shown(key) for key in changes if key not in OVERLAY]
        merged = dict(self._file)
        merged.update(changes)
        before = self.__dict__.copy()
        problems += self._take(merged)
        if problems:
            for key in before:
                setattr(self, key, before[key])
            raise SettingsError("; ".join(sorted(problems)))

    def _take(self, values):
        problems = []
        self.entry = values.get("entry")
        reason = _url_problem(self.entry, ("https", "http"))
        if reason:
            problems.append('"entry" must be an https:// or http:// URL, ' + reason)
        self.transport = _one_of(values, "transport", _TRANSPORTS, problems)
        self.license_algorithm = _one_of(values, "license_algorithm", _LICENSE_ALGORITHMS, problems)
        self.license_encoding = _one_of(values, "license_encoding", _LICENSE_ENCODINGS, problems)
        # a file's name, PEM text or a JWK; licenses.py says what is wrong with it
        self.license_key = values.get("license_key", "")
        if not isinstance(self.license_key, (str, dict)):
            problems.append('"license_key" must be a file name, PEM text or a JWK object, not %s' % _shown(self.license_key))
        for key in _TEXTS:
            setattr(self, key, _text(values, key, problems))
        for key, (default, low, high) in _NUMBERS.items():
            setattr(self, key, _number(values, key, default, low, high, problems))
        self.details = values.get("details", {})
        if not isinstance(self.details, dict):
            problems.append('"details" must be an object such as {"room": "5b"}, not %s' % _shown(self.details))
        self.watchdog = values.get("watchdog", True)
        if not isinstance(self.watchdog, bool):
            problems.append('"watchdog" must be true or false, not %s' % _shown(self.watchdog))
        if not self.hardware_key and "hardware_key" not in values:
            self.hardware_key = port.HARDWARE
        if not self.sn and not self.cloud_id and not problems:
            self.sn = _own_serial(problems)
        if self.sn and not self.mac and not self.cloud_id:
            self.mac = self.sn
        if not problems:
            log.hide(self.wifi_password)
            # one record an entry: while another cloud is on trial, the way back to this one is not lost
            path = self.state_path("credentials-%08x" % crc32(self.entry.encode()))
            if not self._record or self._record.path != path:
                self._record = Record(path)
                self.credentials = self._usable(self._unsaved.get(path) or kept(self._record, None, _sound))
            if self.credentials:
                log.hide(self.credentials["access_key"])
        return problems

    def identity(self):
        """What registration tells the cloud of the device (reference xyte §1): a dict without the firmware's version."""
        told = {"hardware_key": self.hardware_key}
        for key in ("sn", "mac", "cloud_id", "name", "sub_model", "details"):
            if getattr(self, key):
                told[key] = getattr(self, key)
        return told

    def store(self, credentials):
        """Keep {"id", "access_key", "hub_url", "mqtt_hub_url"} over restarts. OSError when the flash fails."""
        stored = dict(credentials)
        stored["entry"] = self.entry
        stored["sn"] = self.sn
        # they hold until the restart also when the flash is full
        self.credentials = self._usable(stored)
        self._unsaved[self._record.path] = stored
        self._record.save(stored)
        del self._unsaved[self._record.path]

    def save_again(self):
        """What the flash did not take is tried again."""
        if self.credentials and self._record.path in self._unsaved:
            self.store(self.credentials)

    def forget(self):
        """Drop the credentials: the cloud has removed the device."""
        self._record.delete()
        self._unsaved.pop(self._record.path, None)
        self.credentials = None

    def _usable(self, stored):
        # another entry is another cloud, which does not know these credentials (and a checksum may be shared)
        if not stored or stored.get("entry") != self.entry:
            return None
        log.hide(stored["access_key"])
        if stored.get("sn", self.sn) != self.sn:
            log.warning('the cloud knows this device by the "sn" %s; erase the flash to register it anew', _shown(stored["sn"]))
        return stored

    def state_path(self, name):
        """Path of a file beside settings.json."""
        return self._path[: self._path.rfind("/") + 1] + name


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


def _sound(stored):
    try:
        return isinstance(stored, dict) and bool(check_credentials(stored))
    except ValueError:
        return False


def _read(path):
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError:
        raise SettingsError(
            '%s: missing. Write one such as {"entry": "https://...", "sn": "A1"}; README, "Settings", lists the keys' % path
        )
    try:
        return jsonin.loads_object(data)
    except ValueError as error:
        raise SettingsError("%s: %s. Was the file cut off? Write it again" % (path, error))


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
    shown = "what is there" if key in _SECRET else _shown(value)
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
