# Licences: which of the product's functions the cloud has unlocked, signed by whoever sells them (seed 001, reference xyte §2, §4).
#
# The signature covers `data` and nothing else. `data` is free text, or a JSON object in which these fields count: "name" or "feature",
# "expires_at" or "expired_at", "issued_at", and "device_id", "sn", "cloud_id", which must be this device's. Id, action and expiry
# beside it are believed because a verified connection brought them, but never against what is signed:
# - of two expiries the earlier one holds;
# - one `data` is one licence: the same data under a second id is refused, so that removing a licence removes it;
# - data that was removed or replaced does not come back, whatever id or expiry comes with it: that takes new data, signed again. The
#   last 32 of them are remembered; beyond that, data with an "issued_at" not after the youngest forgotten one is refused;
# - an update may not be older than what is held: by "issued_at" where the held one has it, else by not expiring earlier. The same data
#   with a later expiry is a renewal.
# A licence is good for the registration and the key it came with: after another one the cloud has to send it again.
#
# While the time is unknown, it is at least what it was when a licence was last saved (or the cloud last said it), plus the uptime.
# Where even that is missing a licence is valid: a device that was just switched on should work before its first NTP answer.
from binascii import hexlify, unhexlify
from hashlib import sha256

from micropython import const

from . import jsonin, log, rsa
from .clock import iso
from .cloud.timestamps import parse_iso
from .flash.record import Record

_FORMAT = const(1)
_HELD = const(8)  # licences
_SPENT = const(32)  # digests of those that may not come back
_DATA = const(1024)  # bytes of one licence's data
_TOTAL = const(2048)  # of all together
_NAME = const(64)  # characters
_SIGNATURE = const(1200)  # characters: 4096 bits in hexadecimal, with room for line ends
_REASON = const(200)  # characters
_DAY_MS = const(86400000)

_INUSE = const("inuse")
_REMOVED = const("removed")
_ERROR = const("error")


def of_device(settings, clock):
    """The Licenses of the device with these settings."""

    def own():
        known = {"sn": settings.sn, "cloud_id": settings.cloud_id, "device_id": (settings.credentials or {}).get("id")}
        return {key: known[key] for key in known if known[key]}

    key, algorithm = settings.license_key, settings.license_algorithm
    return Licenses(settings.state_path("licenses"), clock, key, algorithm, settings.license_encoding, own)


class Licenses:
    """The licences that are held, in the file `path`.

    `key` is a PEM text, a JWK dict or the name of a file with PEM or DER; `algorithm` one of rsa.ALGORITHMS, `encoding` of signatures
    "base64" or "hex"; `own()` gives what the device is called: {"device_id", "sn", "cloud_id"}, as far as known.
    """

    def __init__(self, path, clock, key=None, algorithm=rsa.DEFAULT, encoding="base64", own=dict):
        self._record = Record(path)
        self._clock = clock
        self._source = key
        self._algorithm = algorithm
        self._encoding = encoding
        self._own = own
        self._key = None
        # tells licences of this key from those of another one
        self._print = None
        stored = self._record.load()
        if not isinstance(stored, dict) or stored.get("format") != _FORMAT:
            if stored is not None:
                log.warning("%s is of another format; starting without licences", path)
            stored = {}
        # dicts: id, name, data, digest (of the data), issued, expires (Unix milliseconds or None), device, key
        self._held = stored.get("held", [])
        # [digest, issued] of what was removed or replaced, oldest first
        self._spent = stored.get("spent", [])
        # the youngest issue time that was forgotten of those
        self._floor = stored.get("floor")
        # a time that has passed, and the uptime when it had
        self._mark = stored.get("time")
        self._mark_at = 0
        if key:
            try:
                self._load_key()
            except (ValueError, OSError) as error:
                log.warning("licences: %s", _text(error))

    def on_license(self, license_id, action, license):
        """ "add", "update" or "remove" a licence. Returns the state and reason to answer: ("inuse" | "removed" | "error", text or None)."""
        try:
            if not isinstance(license_id, str) or not isinstance(license, dict) or not 1 <= len(license_id) <= _NAME:
                raise ValueError("a licence is an object with an id of 1 to %d characters" % _NAME)
            if action not in ("add", "update", "remove"):
                raise ValueError('a licence needs "add", "update" or "remove" to be true')
            for other in ("add", "update", "remove"):
                if other != action and (license.get(other) is True or license.get("action") == other):
                    raise ValueError("it says both %s and %s" % (action, other))
            self._check_owner(license, ("device_id",))
            if action == "remove":
                self._remove(license_id)
                log.info("licence %s removed", license_id)
                return _REMOVED, None
            name = self._take(license_id, license)
            log.info("licence %s in use: %s", license_id, name)
            return _INUSE, None
        except (ValueError, OSError) as error:
            reason = _text(error)
        log.warning("licence %s: %s", str(license_id)[:_NAME], reason)
        return _ERROR, reason

    def valid(self, name):
        """True while a licence of this name is held and has not expired. Once a day, and when one expires, this saves the time."""
        now = self._now()
        found = False
        for entry in self._held:
            if entry["name"] == name:
                found = found or self._is_live(entry, now)
                if entry["expires"] is not None:
                    self._keep_time(now, entry["expires"])
        return found

    def names(self):
        """The names of all licences that are valid now, sorted."""
        now = self._now()
        return sorted({entry["name"] for entry in self._held if self._is_live(entry, now)})

    def data(self, name):
        """The signed text of a valid licence of this name; None when there is none."""
        now = self._now()
        for entry in self._held:
            if entry["name"] == name and self._is_live(entry, now):
                return entry["data"]
        return None

    # what comes in

    def _take(self, license_id, license):
        data, fields = self._verified(license)
        name = fields.get("name", fields.get("feature", license_id))
        if not isinstance(name, str) or not 1 <= len(name) <= _NAME:
            raise ValueError("data: its name must be a text of 1 to %d characters" % _NAME)
        self._check_owner(fields, ("device_id", "sn", "cloud_id"))
        self._learn_time(license)
        now = self._now()
        expires = _earliest(license, fields)
        if expires is not None and now is not None and now >= expires:
            raise ValueError("expired at %s" % iso(expires))
        new = {
            "id": license_id,
            "name": name,
            "data": data,
            "digest": _digest(data.encode()),
            "issued": _time(fields, "issued_at"),
            "expires": expires,
            "device": self._own().get("device_id"),
            "key": self._print,
        }
        old = self._same_id(license_id)
        spent = list(self._spent)
        if old and old["digest"] == new["digest"]:
            _check_renewal(old, new)
            if old == new:
                # delivered again: nothing to write
                return name
        else:
            self._check_new(old, new)
            if old:
                spent.append([old["digest"], old["issued"]])
        others = [entry for entry in self._held if entry["id"] != license_id]
        for entry in others:
            if entry["digest"] == new["digest"] and self._is_live(entry, now):
                raise ValueError("the same data is held as licence %s" % entry["id"])
        if not _fits(others, new):
            others = [entry for entry in others if self._is_live(entry, now)]
            if not _fits(others, new):
                raise ValueError("no room: %d licences, %d bytes of data in all" % (_HELD, _TOTAL))
        self._save([entry for entry in others if entry["digest"] != new["digest"]] + [new], spent)
        return name

    def _remove(self, license_id):
        # not signed: the connection is what vouches for it. One that is not held is removed already
        old = self._same_id(license_id)
        if old:
            self._save([entry for entry in self._held if entry is not old], self._spent + [[old["digest"], old["issued"]]])

    def _verified(self, license):
        # the data, and its fields when it is a JSON object; ValueError unless the signature is right
        data = license.get("data")
        signature = license.get("signature")
        if not isinstance(data, str) or not isinstance(signature, str):
            raise ValueError('"data" and "signature" must be texts')
        raw = data.encode()
        if not 1 <= len(raw) <= _DATA or len(signature) > _SIGNATURE:
            raise ValueError('"data" must be 1 to %d bytes, "signature" at most %d characters' % (_DATA, _SIGNATURE))
        if not self._source:
            raise ValueError('no licence key: set "license_key" in settings.json')
        if self._key is None:
            self._load_key()
        try:
            signature = unhexlify("".join(signature.split())) if self._encoding == "hex" else rsa.unbase64(signature)
        except ValueError:
            raise ValueError('"signature" is not %s' % self._encoding)
        rsa.verify(self._key, rsa.hasher(self._algorithm)(raw).digest(), signature, self._algorithm)
        if data.lstrip()[:1] != "{":
            return data, {}
        try:
            return data, jsonin.loads_object(raw)
        except ValueError as error:
            # as free text it would lose the limits that are in it
            raise ValueError('"data" begins like a JSON object: %s' % error)

    def _check_owner(self, fields, keys):
        own = self._own()
        for key in keys:
            value = fields.get(key)
            if value is not None and value != own.get(key):
                raise ValueError('it is for another device: "%s"' % key)

    def _check_new(self, old, new):
        issued = new["issued"]
        for digest, _ in self._spent:
            if digest == new["digest"]:
                raise ValueError("this data was removed or replaced: sign new data")
        if issued is not None and self._floor is not None and issued <= self._floor:
            raise ValueError("issued before licences that were removed")
        if not old:
            return
        if old["issued"] is not None:
            if issued is None or issued < old["issued"]:
                raise ValueError("older than the one held, which was issued at %s" % iso(old["issued"]))
        elif issued is None and old["expires"] is not None and new["expires"] is not None and new["expires"] < old["expires"]:
            raise ValueError('older than the one held, which expires at %s; if not, sign an "issued_at"' % iso(old["expires"]))

    # state

    def _load_key(self):
        try:
            self._key = rsa.find(self._source)
        except ValueError as error:
            raise ValueError('"license_key": %s' % error)
        self._print = _digest(self._key.n.to_bytes(self._key.size, "big") + b"%d" % self._key.e)

    def _same_id(self, license_id):
        for entry in self._held:
            if entry["id"] == license_id:
                return entry
        return None

    def _is_live(self, entry, now):
        if entry["key"] != self._print or entry["device"] != self._own().get("device_id"):
            return False
        return entry["expires"] is None or now is None or now < entry["expires"]

    def _now(self):
        ms = self._clock.ms()
        wall = self._clock.wall_at(ms)
        if wall is None and self._mark is not None:
            wall = self._mark + ms - self._mark_at
        return wall

    def _learn_time(self, license):
        # never sets the clock: an old message would set it back
        try:
            told = _time(license, "current_time")
        except ValueError:
            return
        now = self._now()
        if told is not None and (now is None or told > now) and not self._clock.known():
            self._mark = told
            self._mark_at = self._clock.ms()

    def _keep_time(self, now, expires):
        # so that a device that is always started without the time sees its licences expire nevertheless
        mark = self._mark
        if now is None or mark is not None and abs(now - mark) < _DAY_MS and not mark < expires <= now:
            return
        try:
            self._save(self._held, self._spent)
        except OSError as error:
            log.warning("licences: %s", _text(error))
            self._mark = now
            self._mark_at = self._clock.ms()

    def _save(self, held, spent):
        # first on flash, then in force: what was answered survives a power cut
        floor = self._floor
        for _, issued in spent[:-_SPENT]:
            if issued is not None and (floor is None or issued > floor):
                floor = issued
        spent = spent[-_SPENT:]
        now = self._now()
        self._record.save({"format": _FORMAT, "held": held, "spent": spent, "floor": floor, "time": now})
        self._held = held
        self._spent = spent
        self._floor = floor
        self._mark = now
        self._mark_at = self._clock.ms()


def _check_renewal(old, new):
    if new["expires"] is None:
        # not every message tells it (seed 001); once told it stays
        new["expires"] = old["expires"]
    elif old["expires"] is not None and new["expires"] < old["expires"]:
        raise ValueError("older than the one held, which expires at %s" % iso(old["expires"]))


def _fits(held, new):
    return len(held) < _HELD and sum([len(entry["data"].encode()) for entry in held]) + len(new["data"].encode()) <= _TOTAL


def _earliest(*messages):
    # Unix milliseconds of the earliest expiry in them, None for none
    found = [_time(message, key) for message in messages for key in ("expires_at", "expired_at")]
    found = [time for time in found if time is not None]
    return min(found) if found else None


def _time(message, key):
    text = message.get(key)
    if text is None:
        return None
    ms = parse_iso(text) if isinstance(text, str) and len(text) <= 40 else None
    # 30 February and 25 o'clock do not come back as they were
    if ms is None or not 0 <= ms < 1 << 48 or text[-1] == "Z" and iso(ms)[:19] != text[:19]:
        raise ValueError('"%s" must be a time such as "2027-01-31T12:00:00Z"' % key)
    return ms


def _digest(data):
    return hexlify(sha256(data).digest()[:8]).decode()


def _text(error):
    text = "flash: error %s" % error.args[0] if isinstance(error, OSError) and error.args else str(error)
    return log.redact(text)[:_REASON]
