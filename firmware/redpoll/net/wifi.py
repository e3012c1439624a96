# Wi-Fi that comes back by itself. Nothing here blocks: poll() looks how far it is.
from micropython import const

from .. import log
from ..backoff import Backoff

_LOOK_MS = const(200)
# an attempt, the address from DHCP included
_ATTEMPT_MS = const(20000)
# an ESP32 tells of the attempt before until this one has got somewhere
_SETTLE_MS = const(4000)
_FIRST_MS = const(1000)
_LONGEST_MS = const(60000)
# failed attempts in a row after which the radio is switched off and on
_HOPELESS = const(10)


class Wifi:
    """Keeps `station` (port.station()) connected to settings.wifi_ssid."""

    def __init__(self, station, clock, settings):
        self._station = station
        self._clock = clock
        self._settings = settings
        self._backoff = Backoff(_FIRST_MS, _LONGEST_MS)
        self._not_before = 0
        # uptime when the attempt under way began, or None
        self._since = None
        self.up = False
        # the name and the password that it has or is trying, and attempts that have failed since it was up
        self._wanted = None
        self._failed = 0
        # why it was down last, or None
        self.trouble = None
        # connections that were lost
        self.drops = 0

    def poll(self):
        """Milliseconds until it wants to be called; 0 when it is up."""
        wanted = (self._settings.wifi_ssid, self._settings.wifi_password)
        if wanted != self._wanted:
            if self._wanted:
                self._quit()
            self._wanted = wanted
            self._failed = self._not_before = 0
            self._backoff.reset()
        try:
            return self._step(self._clock.ms())
        except (OSError, ValueError, RuntimeError) as error:
            # the driver itself: out of memory beside the heap, a password shorter than 8 characters
            return self._fail("%s: %s" % (type(error).__name__, error))

    def _step(self, now):
        if self.up:
            if self._station.up():
                return 0
            self.drops += 1
            return self._fail("the connection was lost")
        if self._since is None:
            if now < self._not_before:
                return self._not_before - now
            self._since = now
            if self._failed and self._failed % _HOPELESS == 0:
                self._station.off()
            self._station.start(*self._wanted)
            return _LOOK_MS
        if self._station.up():
            self.up = True
            self._failed = 0
            self._backoff.reset()
            log.info("Wi-Fi %s: connected as %s", self._wanted[0], self._station.address())
            return 0
        taken = now - self._since
        trouble = self._station.trouble() if taken >= _SETTLE_MS else None
        if not trouble and taken >= _ATTEMPT_MS:
            trouble = "no address from its DHCP server" if self._station.has_joined() else "no answer"
        return self._fail(trouble) if trouble else _LOOK_MS

    def _fail(self, why):
        self._quit()
        wait = self._backoff.next()
        self._not_before = self._clock.ms() + wait
        why = "Wi-Fi %s: %s" % (self._wanted[0], why)
        # in an hour without access point it is said often enough that it is in the last lines, and not in all of them
        if why != self.trouble or self._failed % _HOPELESS == 0:
            log.warning("%s; again in %d s", why, wait // 1000)
        self.trouble = why
        self._failed += 1
        return wait

    def _quit(self):
        self.up = False
        self._since = None
        try:
            self._station.stop()
        except (OSError, RuntimeError):
            pass  # it was not even started

    def again(self, why):
        """It says that it is up, and is not: begin anew, with the radio switched off and on. Returns as poll()."""
        self._failed = _HOPELESS - 1
        return self._fail(why)

    def rssi(self):
        """dBm of the access point, or None."""
        return self._station.rssi() if self.up else None

    def off(self):
        """End it, before a deep sleep."""
        self._quit()
        try:
            self._station.off()
        except (OSError, RuntimeError):
            pass  # awake for it the board would need more
