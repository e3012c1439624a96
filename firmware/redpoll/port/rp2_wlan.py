# Wi-Fi on a Pico W or Pico 2 W.
import network

from .wlan import Wlan


class Station(Wlan):
    def trouble(self):
        """Why the attempt has failed; None while it goes on."""
        status = self._wlan.status()
        if status == network.STAT_WRONG_PASSWORD:
            return "wrong password"
        if status == network.STAT_NO_AP_FOUND:
            return "no such access point"
        return "refused by the access point" if status == network.STAT_CONNECT_FAIL else None

    def off(self):
        """No current for the radio: active(False) leaves it on."""
        self._wlan.deinit()

    def has_joined(self):
        """Has the access point let it in? CYW43_LINK_NOIP has no name in Python."""
        return self._wlan.status() == 2
