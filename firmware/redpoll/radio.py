# The way to the network: Wi-Fi for the link, and the time once it is up. Loaded when settings.wifi_ssid names an access point.
from micropython import const

from . import port
from .net.wifi import Wifi

# failures of the link in a row after which the Wi-Fi is doubted; from then on after each time twice as many
_DOUBTFUL = const(8)


class Radio:
    """Keeps the Wi-Fi of the board up for `link`, which ends its session while it is down. A board without a radio goes on without."""

    def __init__(self, link, clock, settings):
        self._link = link
        self._clock = clock
        self._settings = settings
        # not every port has one, and it has not on every board
        open_station = getattr(port, "station", None)
        station = open_station and open_station()
        self._wifi = Wifi(station, clock, settings) if station else None
        # None: the time is to be asked for; False: it never is
        self._ntp = None
        # ms until the next look for the time
        self.look_ms = 1000
        # was its trouble in the last heartbeat?
        self._troubled = False
        # failures of the link up to its last round trip, and how many more are borne
        self._failures = 0
        self._patience = _DOUBTFUL

    def poll(self):
        """Milliseconds until it wants to be called; 0 when there is a network."""
        wifi, link = self._wifi, self._link
        if not wifi:
            return 0
        was_up = wifi.up
        wait = wifi.poll() or self._doubt()
        if wait:
            link.close()
            link.trouble = wifi.trouble or link.trouble
            return wait
        if not was_up:
            # what could not be reached before may be now
            link.restart()
        self._keep_time()
        # looking two names up, without a server that answers, takes longer than the watchdog gives for one
        link.handler.feed()
        # before the time is known nearly every certificate is one of the future, and opening a connection would keep the answer waiting
        return self.look_ms if self._ntp and self._ntp.asking() and not link.adapter else 0

    def _doubt(self):
        # a Pico W that was sent away may go on to say that it is connected (pico-sdk#2153), and an access point may lead nowhere
        link = self._link
        if link.alive_at is not None:
            self._failures = link.failures
            self._patience = _DOUBTFUL
        elif link.failures - self._failures >= self._patience:
            self._patience *= 2
            # with a wrong time no certificate is valid: it is asked for anew
            self._ntp = None
            return self._wifi.again("no session: " + link.trouble)
        return 0

    def _keep_time(self):
        if self._ntp is None:
            ntp = False
            if self._settings.ntp != "off":
                from .net.ntp import Ntp
                from .port.wlan import set_wall

                ntp = Ntp(self._clock, self._settings.ntp or "pool.ntp.org", set_wall)
            self._ntp = ntp
        if self._ntp:
            self.look_ms = self._ntp.poll()

    def up(self):
        """False while the Wi-Fi is down."""
        return not self._wifi or self._wifi.up

    def add_readings(self, told):
        """Add what a heartbeat tells of it to a dict of readings."""
        if self._wifi:
            told["wifi_drops"] = self._wifi.drops
            rssi = self._wifi.rssi()
            if rssi is not None:
                told["wifi_rssi_dbm"] = rssi
        trouble = self._ntp.trouble if self._ntp else None
        if trouble or self._troubled:
            # None, once, takes it out of what the cloud knows
            told["ntp_trouble"] = trouble
            self._troubled = bool(trouble)

    def off(self):
        """No more current for it, before a deep sleep."""
        if self._wifi:
            self._wifi.off()
