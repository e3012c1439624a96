# Requests to the cloud over HTTPS, beside its adapter or by it.
from micropython import const

from .. import jsonin, log
from ..clock import days_until
from ..net.http import HTTPClient
from . import server

# 2021 and 2100, in days since 1970
_FIRST_DAY = const(18627)
_LAST_DAY = const(47482)
_MONTHS = const("JanFebMarAprMayJunJulAugSepOctNovDec")


def https_client(settings, url, headers=None):
    """An HTTPClient for this URL, with the CA of settings.json when it is https."""
    # with its own limits of a body and of silence; by their places, as the client of MQTT
    return HTTPClient(url, server(settings, url)[2], headers, 8192, 15000, settings.connect_timeout * 1000)


class Call:
    """One request to the cloud beside its adapter. Making it blocks at most for the connect deadline."""

    def __init__(self, settings, url, headers=None):
        self._http = https_client(settings, url, headers)

    def wait(self, ms):
        """Wait for its answer, at most so long."""
        self._http.wait(ms)
        return True

    def close(self):
        """Give the connection back."""
        self._http.close()


class DeviceCall(Call):
    """The same for a device that is registered."""

    def __init__(self, settings):
        known = settings.credentials
        self._id = known["id"]
        super().__init__(settings, known["hub_url"], {"Authorization": known["access_key"]})


def learn_time(own_clock, response):
    """Set the clock by the Date header of a response, unless somebody else did."""
    if own_clock.learned or not own_clock.known():
        at = parse_http_date(response.headers.get("date", ""))
        # a proxy or a portal may not know the time itself
        if at and _FIRST_DAY < at // 86400000 < _LAST_DAY:
            own_clock.set(at)
            own_clock.learned = True


def parse_http_date(text):
    """ "Sat, 21 Nov 2026 04:41:15 GMT" (RFC 9110 §5.6.7) -> Unix milliseconds; None when it is not such a date."""
    try:
        _, day, month, year, time, zone = text.split(" ")
        at = _MONTHS.index(month)
        if zone != "GMT" or len(month) != 3 or at % 3:
            return None
        hours, minutes, seconds = [int(part) for part in time.split(":")]
        return (((days_until(int(year), at // 3 + 1, int(day)) * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000
    except ValueError:
        return None


def object_of(response):
    """The JSON object that the cloud itself always answers with; None for the page of a proxy or a portal (reference xyte §2)."""
    try:
        return jsonin.loads_object(response.body)
    except ValueError:
        return None


def is_of_cloud(response):
    """Did the cloud itself answer?"""
    return object_of(response) is not None


def explain(response):
    """What an error response says, for a person: its status and its "error" text."""
    said = object_of(response)
    text = "not the cloud: a sign-in page or a proxy is in between" if said is None else said.get("error", "")
    return "%d %s" % (response.status, log.redact(text)[:120] if isinstance(text, str) else "")
