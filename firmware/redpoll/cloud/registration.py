# What both Xyte transports do over HTTPS before they can begin: register, and ask whether the credentials still hold.
import json

from micropython import const

from ..settings_rules import check_credentials
from .https import Call, DeviceCall, explain, is_of_cloud, learn_time, object_of

_REFUSED_MS = const(900000)


class Refused(Exception):
    """The cloud does not take the device; asking again before `wait_ms` is of no use."""

    wait_ms = _REFUSED_MS


class Registration(Call):
    """POST {entry}/v1/devices (reference xyte §1). May block for the connect deadline when it is made."""

    def __init__(self, settings, own_clock, version):
        super().__init__(settings, settings.entry)
        self._clock = own_clock
        body = identity(settings, version)
        self._http.request("POST", "/v1/devices", json.dumps(body).encode(), {"Content-Type": "application/json"})

    def poll(self):
        """None while it goes on, then the credentials. Raises Refused (404, 422), OSError, HTTPError, ValueError."""
        response = self._http.poll()
        if response is None:
            return None
        learn_time(self._clock, response)
        reply = object_of(response)
        if reply is not None and response.status in (404, 422):
            raise Refused("registration: " + explain(response))
        if reply is None or response.status not in (200, 201):
            raise OSError("registration: " + explain(response))
        return check_credentials(reply)


def identity(settings, version):
    """What registration tells the cloud of the device (reference xyte §1), a dict."""
    told = {"hardware_key": settings.hardware_key, "firmware_version": version}
    for key in ("sn", "mac", "cloud_id", "name", "sub_model", "details"):
        if getattr(settings, key):
            told[key] = getattr(settings, key)
    return told


class Check(DeviceCall):
    """Does the cloud still know this device? Over MQTT nothing tells (reference xyte §3), over HTTPS 401 does."""

    def __init__(self, settings):
        super().__init__(settings)
        self._http.request("GET", "/v1/devices/" + self._id)

    def poll(self):
        """None while it goes on, then False when the device was removed, True when it was not."""
        response = self._http.poll()
        return None if response is None else response.status != 401 or not is_of_cloud(response)
