# Who this device is and where it reports: settings.json (written by a person or `redpoll provision`, only read here) and
# the credentials that registration brought. settings_rules.py says what may be in either.
from binascii import crc32

from . import log, port
from .flash.record import Record


class SettingsError(Exception):
    """settings.json cannot be used. The text has one line for each thing that is wrong, and what to write instead."""


class Settings:
    """Attributes named like the keys of settings.json; `credentials` is what registration stored for this entry, or None."""

    def __init__(self, path="settings.json"):
        self._path = path
        self._record = None
        # path -> credentials that the flash did not take
        self._unsaved = {}
        self._overlaid = False
        from . import settings_rules as rules

        self._file = rules.read(path)
        values, problems = rules.check(self._file)
        if problems:
            raise SettingsError("\n".join(["%s: %s" % (path, problem) for problem in problems]))
        self._use(values, rules)
        rules.look_for_files(self, path)
        port.unload("settings_rules")

    def overlay(self, changes):
        """Let these values of settings_rules.OVERLAY stand in for those of settings.json; {} takes all of them back.

        SettingsError with what is wrong; nothing is changed then.
        """
        if not isinstance(changes, dict):
            raise SettingsError("settings must be an object")
        if not changes and not self._overlaid:
            # as with most configurations; the rules would take some kilobytes
            return
        from . import settings_rules as rules

        problems = rules.foreign(changes)
        merged = dict(self._file)
        merged.update(changes)
        values, more = rules.check(merged)
        problems += more
        if problems:
            raise SettingsError("; ".join(sorted(problems)))
        # also where the memory ends on the way: then {} is to take back what was done of it
        self._overlaid = True
        self._use(values, rules)
        self._overlaid = bool(changes)
        port.unload("settings_rules")

    def _use(self, values, rules):
        for key in values:
            value = values[key]
            if key in rules.FILES and isinstance(value, str) and value and value[0] != "/" and "-----BEGIN" not in value:
                value = self.state_path(value)
            setattr(self, key, value)
        # one record an entry: while another cloud is on trial, the way back to this one is not lost
        path = self.state_path("credentials-%08x" % crc32(self.entry.encode()))
        if not self._record or self._record.path != path:
            self._record = Record(path)
            self.credentials = self._unsaved.get(path) or self._record.load_sound(None, rules.sound)
        self.credentials = self._usable(self.credentials)

    def store(self, credentials):
        """Keep {"id", "access_key", "hub_url", "mqtt_hub_url"} over restarts; until the next one they hold also when the flash is full."""
        stored = dict(credentials)
        stored["entry"] = self.entry
        stored["sn"] = self.sn
        self.credentials = self._usable(stored)
        self._unsaved[self._record.path] = stored
        self.save_again()

    def save_again(self):
        """What the flash did not take is tried again."""
        path = self._record.path
        if path in self._unsaved and self._record.try_save(self._unsaved[path]):
            del self._unsaved[path]

    def forget(self):
        """Drop the credentials: the cloud has removed the device."""
        self._record.delete()
        self._unsaved.pop(self._record.path, None)
        self.credentials = None

    def _usable(self, stored):
        # what is in use is hidden each time: the log forgets the oldest
        log.hide(self.wifi_password)
        # another entry is another cloud, which does not know these credentials (and a checksum may be shared)
        if not stored or stored.get("entry") != self.entry:
            return None
        log.hide(stored["access_key"])
        if stored.get("sn", self.sn) != self.sn:
            log.warning('the cloud knows this device by the "sn" %s; erase the flash to register it anew', stored["sn"])
        return stored

    def state_path(self, name):
        """Path of a file beside settings.json."""
        return self._path[: self._path.rfind("/") + 1] + name
