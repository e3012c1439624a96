# The configuration that the cloud holds for the device: versioned, checked, applied whole or not at all.
from . import log
from .fields import declared, mismatch
from .flash.record import Record


class Config:
    """`path` is where the version in force is kept."""

    def __init__(self, path):
        self._record = Record(path)
        stored = self._record.load({})
        self.version = stored.get("version", 0)
        # every value that the cloud gave, also those that nobody declared: they are given back as they came
        self.values = stored.get("values", {})
        self._fields = {}
        self._apply = None

    def declare(self, apply, fields):
        """`apply(values)` is called with a dict of every declared field that has a value; it raises to refuse.

        `fields`: {name: field}, see fields.declared(), which raises ValueError.
        """
        self._fields = declared(fields)
        self._apply = apply

    def start(self):
        """Apply what was in force before the restart. What can no longer be applied is logged and left alone."""
        if self._apply and self.values:
            try:
                self._call(self.values)
            except Exception as error:
                log.warning("config %d could not be applied again: %s", self.version, error)

    def offer(self, version, values):
        """Take a version from the cloud.

        Returns None when there is nothing to answer (it is in force already, or older), else (values to confirm, reason of
        refusal or None). After a refusal the old values are in force again.
        """
        if version <= self.version:
            return None
        if values == self.values:
            self._store(version, values)
            return values, None
        reason = self._problem(values)
        if not reason:
            try:
                self._call(values)
            except Exception as error:
                reason = str(error) or type(error).__name__
                self._restore()
        if reason:
            # this version is dealt with: the cloud is told what is in force instead
            self._store(version, self.values)
            return self.values, reason
        self._store(version, values)
        return values, None

    def _store(self, version, values):
        self.version = version
        self.values = values
        self._record.save({"version": version, "values": values})

    def _restore(self):
        try:
            self._call(self.values)
        except Exception as error:
            log.warning("config %d could not be applied again: %s", self.version, error)

    def _call(self, values):
        if self._apply:
            self._apply({name: values[name] for name in self._fields if name in values})

    def _problem(self, values):
        problems = []
        for name, value in values.items():
            if name not in self._fields:
                log.info("config: nobody declared %r; it is kept", name)
                continue
            reason = mismatch(value, self._fields[name])
            if reason:
                problems.append("%s %s" % (name, reason))
        return "; ".join(problems)
