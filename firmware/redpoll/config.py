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
        # the cloud has to be told the values in force, because it has others
        self.untold = stored.get("untold", False)
        # the values to go back to while the version in force is on trial, else None
        self._before = None
        self._fields = {}
        self._apply = None
        if "before" in stored:
            # the restart came while it was on trial: perhaps because of it
            log.warning("config %d: restarted while on trial; the one before is in force", self.version)
            self._store(self.version, stored["before"], untold=True)

    def declare(self, apply, fields):
        """`apply(values)` is called with a dict of every declared field that has a value; it raises to refuse.

        `fields`: {name: field}, see fields.declared(), which raises ValueError.
        """
        self._fields = declared(fields)
        self._apply = apply

    def start(self):
        """Apply what was in force before the restart. What can no longer be applied is logged and left alone."""
        if self._apply and self.values:
            self._restore()

    def on_trial(self):
        """True until the version in force is kept or rolled back."""
        return self._before is not None

    def offer(self, version, values, refusal=None, trial=False):
        """Take a version from the cloud. `refusal`: a reason to refuse it that somebody else found; `trial`: keep() has to follow.

        Returns None when there is nothing to answer (it is in force already, or older), else (values to confirm, reason of
        refusal or None). After a refusal the old values are in force again.
        """
        if version <= self.version:
            return None
        if values == self.values:
            self._store(version, values, self._before)
            return values, None
        if self._before is not None:
            refusal = "version %d is still on trial" % self.version
        reason = refusal or self._problem(values)
        if not reason:
            try:
                self._call(values)
            except Exception as error:
                reason = str(error) or type(error).__name__
                self._restore()
        if reason:
            # this version is dealt with: the cloud is told what is in force instead
            self._store(version, self.values, self._before)
            return self.values, reason
        self._store(version, values, self.values if trial else None)
        return values, None

    def keep(self):
        """The trial is passed."""
        self._store(self.version, self.values)

    def roll_back(self):
        """The trial is failed: what was before is in force again, and the cloud has to be told."""
        self._store(self.version, self._before, untold=True)
        self._restore()

    def change(self, values):
        """The product itself changes values; the cloud has to be told. ValueError when they are not as declared."""
        merged = dict(self.values)
        merged.update(values)
        reason = self._problem(merged)
        if reason:
            raise ValueError(reason)
        self._store(self.version, merged, self._before, untold=True)

    def taken(self, version):
        """The cloud has the values that it was told, and gave them this version."""
        if version >= self.version:
            self._store(version, self.values, self._before)

    def _store(self, version, values, before=None, untold=False):
        self.version = version
        self.values = values
        self.untold = untold
        self._before = before
        kept = {"version": version, "values": values}
        if untold:
            kept["untold"] = True
        if before is not None:
            kept["before"] = before
        self._record.save(kept)

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
                if name != "settings":
                    log.info("config: nobody declared %r; it is kept", name)
                continue
            reason = mismatch(value, self._fields[name])
            if reason:
                problems.append("%s %s" % (name, reason))
        return "; ".join(problems)
