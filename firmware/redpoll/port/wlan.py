# The Wi-Fi station of a chip, and its own clock, which is set from the network.
import time

import machine
import network
from micropython import const

from .chip import EPOCH

# 28 years, after which the calendar is the same but for its years
_CYCLE = const(883612800)


def set_wall(unix_ms):
    """Set the chip's own clock, which goes on over a reset and a deep sleep where the chip has one that does."""
    seconds = unix_ms // 1000 - EPOCH
    years = 0
    # what time.gmtime takes of seconds ends in 2038, or on an ESP32 in 2068
    while seconds >= 1 << 31:
        seconds -= _CYCLE
        years += 28
    year, month, day, hour, minute, second, weekday = time.gmtime(seconds)[:7]
    machine.RTC().datetime((year + years, month, day, weekday, hour, minute, second, 0))


class Wlan:
    """What the chips' stations share. A port's has `trouble()`: why the attempt has failed, or None while it goes on."""

    def __init__(self):
        self._wlan = network.WLAN(network.STA_IF)

    def start(self, ssid, password):
        """Begin to connect."""
        self._wlan.active(True)
        self._wlan.connect(ssid, password or None)

    def stop(self):
        """End the attempt or the connection."""
        self._wlan.disconnect()

    def off(self):
        """No current for the radio."""
        self._wlan.active(False)

    def up(self):
        """Is there a connection, with an address?"""
        return self._wlan.isconnected()

    def address(self):
        """The own address."""
        return self._wlan.ifconfig()[0]

    def rssi(self):
        """dBm of the access point, None where that cannot be said."""
        try:
            return self._wlan.status("rssi")
        except (OSError, ValueError):
            return None

    def has_joined(self):
        """Has the access point let it in? Then it is the address that is missing."""
        return self.rssi() is not None
