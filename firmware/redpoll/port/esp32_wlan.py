# Wi-Fi on an ESP32.
import network
from micropython import const

from .wlan import Wlan

# ESP-IDF's reason when the access point does not answer the key; no name in Python
_4WAY_HANDSHAKE_TIMEOUT = const(15)


class Station(Wlan):
    def start(self, ssid, password):
        """Begin to connect, once: it would go on by itself for ever, and so at its own pace."""
        self._wlan.active(True)
        self._wlan.config(reconnects=0)
        self._wlan.connect(ssid, password or None)

    def trouble(self):
        """Why the attempt has failed; None while it goes on."""
        status = self._wlan.status()
        # until there is an address it may go on to tell why an attempt before has failed
        if self.has_joined() or status in (network.STAT_CONNECTING, network.STAT_IDLE, network.STAT_GOT_IP):
            return None
        if status in (network.STAT_WRONG_PASSWORD, network.STAT_HANDSHAKE_TIMEOUT, _4WAY_HANDSHAKE_TIMEOUT):
            return "wrong password"
        # 210 to 212: there are such access points, but too weak ones, or with another kind of security
        if status == network.STAT_NO_AP_FOUND or 210 <= status <= 212:
            return "no such access point"
        return "refused by the access point (%d)" % status
