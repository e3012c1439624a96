# Sensors -> readings -> one message.
import json

from micropython import const

from . import log
from .fields import mismatch

_PERIOD = (float, 0.01, 1 << 24)
_KEYS = const(64)  # in the state
_TEXT = const(1000)  # bytes of a string that the cloud takes (reference xyte §2)
_INT = const(0x7FFFFFFF)
_NOTICE = const(200)  # characters


class Telemetry:
    """Reads the sensors that are due and says what to send. `clock` is a Clock."""

    def __init__(self, clock):
        self._clock = clock
        # [name, function or None while it is called, period in ms, uptime when it is due, text of its failure or None, fixed]
        self._sensors = []
        # what every sensor said last
        self.state = {}
        # the next message replaces what the cloud still holds (seed 000, override): 2 with all of it, 1 with what is read then
        self._whole = 2
        # one message for a person, sent with the next reading
        self._notice = None
        self.refused = 0

    def add(self, function, every_s, fixed=False):
        """Read `function() -> dict` every so many seconds, the first time at once.

        The interval of a `fixed` one changes only when it is named.
        """
        _check(every_s)
        name = getattr(function, "__name__", "sensor")
        self._sensors.append([name, function, int(every_s * 1000), self._clock.ms(), None, fixed])

    def every(self, seconds, name=None):
        """Read the sensor `name`, or all of them, every so many seconds from now on. KeyError for an unknown name, ValueError."""
        found = name is None
        _check(seconds)
        for sensor in self._sensors:
            if sensor[0] == name or (name is None and not sensor[5]):
                found = True
                sensor[2] = int(seconds * 1000)
                sensor[3] = min(sensor[3], _next(self._clock.ms(), sensor[2]))
        if not found:
            raise KeyError(name)

    def notice(self, text):
        """Tell the cloud's people something with the next message (seed 000, message)."""
        text = log.redact(text)[:_NOTICE]
        if self._notice:
            text = self._notice + "; " + text
        self._notice = text[: 2 * _NOTICE]

    def whole(self):
        """The next message carries all that is known and replaces what the cloud holds: another cloud, or an override that came late."""
        self._whole = 2

    def kept(self, fits):
        """The spool has the message that read() gave, so that what was told with it is told; or it does not fit there."""
        if fits:
            self._whole = 0
            self._notice = None
        elif self._whole:
            self._whole = 1

    def soon(self, name):
        """Read the sensor of this name with the next read()."""
        for sensor in self._sensors:
            if sensor[0] == name:
                sensor[3] = 0

    def wait_ms(self):
        """Milliseconds until the next sensor is due. There is one: the agent's heartbeat."""
        return max(0, min([sensor[3] for sensor in self._sensors if sensor[1]]) - self._clock.ms())

    def read(self, feed=None):
        """Read what is due. Returns the message as bytes of JSON without its timestamp, or None when nothing was due.

        `feed()` is called after each sensor: one alone may wait nearly as long as the watchdog does.
        """
        now = self._clock.ms()
        fresh = {}
        read = False
        for sensor in self._sensors:
            function = sensor[1]
            if function is not None and sensor[3] <= now:
                read = True
                sensor[3] = _next(now, sensor[2])
                # it may call agent.poll(): it is not read again within itself, however long it takes
                sensor[1] = None
                try:
                    self._read_one(sensor, function, fresh)
                finally:
                    sensor[1] = function
                if feed:
                    feed()
        return self._message(fresh) if read else None

    def _read_one(self, sensor, function, fresh):
        name = sensor[0]
        state = self.state
        try:
            readings = function()
            if not isinstance(readings, dict):
                raise TypeError("a sensor returns a dict, not %s" % type(readings).__name__)
            for key, value in readings.items():
                # it compares what came; a number of a class of the product's raises there
                reason = refusal(key, value)
                if not reason and key not in state and len(state) >= _KEYS:
                    reason = "there are %d keys already" % _KEYS
                if reason:
                    self.refused += 1
                    # it may be so each time; how often is counted
                    log.once("sensor %s: %s is left out: %s", name, repr(key)[:_KEYS], reason)
                    continue
                if value is None:
                    state.pop(key, None)
                else:
                    state[key] = value
                fresh[key] = value
        except Exception as error:
            # kept until it works again, and a driver's may have all that it has received in it
            text = "%s: %s" % (name, log.describe(error)[:_TEXT])
            if sensor[4] != text:
                log.warning("sensor %s", text)
                log.trace(error)
            sensor[4] = text
            return
        if sensor[4]:
            log.info("sensor %s works again", name)
            sensor[4] = None

    def _message(self, fresh):
        failures = [sensor[4] for sensor in self._sensors if sensor[4]]
        message = {"status": "error" if failures else "online", "telemetries": self.state if self._whole == 2 else fresh}
        if self._notice:
            failures.append(self._notice)
        if failures:
            message["message"] = log.redact("; ".join(failures))[:_TEXT]
        body = json.dumps(message).encode()
        # at the end, where no reading of that name can be: there is a second brace behind those
        return body[:-1] + b', "override": true}' if self._whole else body


def _next(now, period):
    # at multiples of the period, so that sensors of one period are due together whenever they were added or changed; what a loop that
    # was late has missed is not made up for in a burst
    return now - now % period + period


def _check(seconds):
    reason = mismatch(seconds, _PERIOD)
    if reason:
        raise ValueError("a sensor's period %s seconds, not %r" % (reason, seconds))


def refusal(key, value):
    """Why the cloud does not take this reading (reference xyte §2: int32, float32, bool, string to 1000 bytes), or None.

    For one NUL in a text it would refuse the whole message.
    """
    if not isinstance(key, str) or not 1 <= len(key) <= 64 or "\0" in key:
        return "a key has 1 to 64 characters, no NUL"
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, int):
        return None if -_INT - 1 <= value <= _INT else "%d is beyond 32 bits" % value
    if isinstance(value, float):
        return None if -3.4e38 <= value <= 3.4e38 else "%r is no number of 32 bits" % value
    if isinstance(value, str):
        return None if len(value.encode()) <= _TEXT and "\0" not in value else "longer than 1000 bytes, or a NUL"
    return "%s is neither number, boolean nor text" % type(value).__name__
