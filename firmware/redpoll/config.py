# The configuration that the cloud holds for the device: versioned, checked, applied whole or not at all.
import json

from micropython import const

from . import log
from .fields import declared, is_whole, mismatch, problems
from .flash.record import Record

_TOLD = const(4)  # changes that the cloud may still take
_ELSEWHERE = const(4)  # earlier registrations that are remembered
_MOST = const(24576)  # bytes of JSON, well below what a record takes
_ROOM = const(6144)  # beside them, for what the cloud was told


class Config:
    """`path` is where the version in force is kept."""

    def __init__(self, path):
        self._record = Record(path)
        stored = self._record.load_sound({}, _sound)
        self.version = stored.get("version", 0)
        # the device's id at the cloud that gave the version; the same configuration has another version elsewhere
        self._device = stored.get("device")
        # [device id, version] of earlier registrations, to which it may come back
        self._elsewhere = stored.get("elsewhere", [])
        # True while the record on flash is not what is in force, because the flash did not take it
        self._unsaved = False
        # every value that the cloud gave, also those that nobody declared: they are given back as they came
        self.values = stored.get("values", {})
        # the cloud has to be told the values in force, because it has others
        self.untold = stored.get("untold", False)
        # the values to go back to while the version in force is on trial, else None
        self._before = None
        # what the cloud was told of late and may take, then under a version that nobody here knows yet
        told = stored.get("told")
        self._told = told if isinstance(told, list) else []
        self._fields = {}
        self._apply = None
        # is it being applied? A function that has the loop go on gets no other one meanwhile
        self.applying = False
        if "before" in stored:
            # the restart came while it was on trial: perhaps because of it
            log.warning("config %d: restarted on trial; the one before is in force", self.version)
            self._store(self.version, stored["before"], untold=True)

    def declare(self, apply, fields):
        """`apply(values)` is called with a dict of every declared field that has a value; it raises to refuse.

        `fields`: {name: field}, see fields.declared(), which raises ValueError.
        """
        if "settings" in fields:
            raise ValueError('"settings" is for the agent: name it otherwise')
        if self._apply:
            raise ValueError("only one @agent.config, with all fields")
        self._fields = declared(fields)
        self._apply = apply

    def start(self):
        """Apply what was in force before the restart. What can no longer be applied is logged and left alone."""
        if self._apply and self.values:
            reason = self._problem(self.values)
            if reason:
                # another firmware declared it otherwise
                log.warning("config %d: %s; left out", self.version, reason)
            self._restore()

    def belong(self, device):
        """The cloud knows this device under this id. With another one its own version counts, 0 for a new one, and it has to be told
        the values.
        """
        if device == self._device:
            return
        known = self._device
        self._device = device
        if known is None:
            self._store(self.version, self.values, self._before, self.untold)
            return
        version = 0
        for other in self._elsewhere:
            if other[0] == device:
                version = other[1]
        self._elsewhere = [other for other in self._elsewhere if other[0] not in (device, known)][1 - _ELSEWHERE :]
        self._elsewhere.append([known, self.version])
        log.info("config: another registration, version %d", version)
        self._store(version, self.values, self._before, bool(self.values))

    def on_trial(self):
        """True until the version in force is kept or rolled back."""
        return self._before is not None

    def offer(self, version, values, refusal=None, trial=False):
        """Take a version from the cloud. `refusal`: a reason to refuse it that somebody else found; `trial`: keep() has to follow.

        Returns None when there is nothing to answer (it is in force already, older, or another one is on trial), else (values to
        confirm, reason of refusal or None). After a refusal the old values are in force again.
        """
        if version <= self.version:
            return None
        if values == self.values:
            # True is 1 here, so what passed the checks stays
            self._store(version, self.values, self._before)
            return self.values, None
        if self.untold and values in self._told:
            # an earlier change, which the cloud has taken; the product has changed it again since
            self._store(version, self.values, self._before, True)
            return self.values, None
        if self._before is not None:
            return None
        reason = refusal or self._too_large(values) or self._problem(values)
        before = self.values
        if not reason:
            # what apply itself changes is a change of these
            self.version = version
            self.values = values
            self._told = []
            try:
                self._call(values)
            except Exception as error:
                reason = str(error) or type(error).__name__
                self.values = before
                self._restore()
        if reason:
            # this version is dealt with: the cloud is told what is in force instead
            self._store(version, self.values, self._before, True)
            return self.values, reason
        self._store(version, self.values, before if trial else None, self.values is not values)
        return self.values, None

    def keep(self):
        """The trial is passed."""
        self._store(self.version, self.values, untold=self.untold)

    def roll_back(self):
        """The trial is failed: what was before is in force again, and the cloud has to be told."""
        self._store(self.version, self._before, untold=True)
        self._restore()

    def change(self, values):
        """The product itself changes values; the cloud has to be told. ValueError when they are not as declared."""
        # what no JSON can hold would cost all of it at the next start
        values = json.loads(json.dumps(values))
        merged = dict(self.values)
        merged.update(values)
        reason = "settings are for the cloud to change" if "settings" in values else self._too_large(merged) or self._problem(values)
        if reason:
            raise ValueError(reason)
        before = self._before
        if before is not None:
            before = dict(before)
            before.update(values)
        if merged != self.values or before != self._before:
            self._store(self.version, merged, before, True)

    def told(self):
        """The cloud is being told the values in force."""
        if self.untold and self.values not in self._told and len(self._told) < _TOLD:
            self._told.append(self.values)

    def taken(self, version, values):
        """The cloud has these values under this version. True when it has to be told others."""
        untold = values != self.values
        if version < self.version:
            return False
        if version != self.version or untold != self.untold:
            self._store(version, self.values, self._before, untold)
        return untold

    def _store(self, version, values, before=None, untold=False):
        if version != self.version:
            self._told = []
        self.version = version
        self.values = values
        self.untold = untold
        self._before = before
        record = {"version": version, "values": values}
        if self._device:
            record["device"] = self._device
        if self._elsewhere:
            record["elsewhere"] = self._elsewhere
        if untold:
            record["untold"] = True
            if len(json.dumps(self._told).encode()) < _ROOM:
                record["told"] = self._told
        if before is not None:
            record["before"] = before
        # what is not on flash holds until the restart, which finds the one before
        self._unsaved = not self._record.try_save(record)

    def save_again(self):
        """What the flash did not take is tried again."""
        if self._unsaved:
            self._store(self.version, self.values, self._before, self.untold)

    def _restore(self):
        try:
            self._call(self.values)
        except Exception as error:
            log.warning("config %d not applied again: %s", self.version, error)

    def _call(self, values):
        if self._apply:
            fields = self._fields
            self.applying = True
            try:
                given = {name: values[name] for name in fields if name in values and not mismatch(values[name], fields[name])}
                if hasattr(self._apply(given), "throw"):
                    raise TypeError("async or generator: it has not run")
            finally:
                self.applying = False

    def _too_large(self, values):
        # while it is on trial the record holds both; in bytes, because MicroPython writes characters as they are
        size = len(json.dumps([values, self.values]).encode())
        return "%d bytes are more than this device keeps" % size if size > _MOST else None

    def _problem(self, values):
        for name in values:
            if name not in self._fields and name != "settings":
                log.info("config: nobody declared %r; it is kept", name)
        return problems(values, self._fields)


def _sound(stored):
    if not isinstance(stored, dict) or not is_whole(stored.get("version")) or not isinstance(stored.get("device", ""), str):
        return False
    elsewhere = stored.get("elsewhere", [])
    if not isinstance(elsewhere, list) or not all(
        isinstance(other, list) and len(other) == 2 and is_whole(other[1]) for other in elsewhere
    ):
        return False
    return isinstance(stored.get("values", {}), dict) and isinstance(stored.get("before", {}), dict)
