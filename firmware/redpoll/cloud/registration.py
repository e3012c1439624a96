# What both Xyte transports do over HTTPS before they can begin: register, and ask whether the credentials still hold.
import json

from micropython import const

from .. import clock, jsonin, log
from ..net.http import HTTPClient
from ..net.stream import tls_context
from ..settings_rules import check_credentials

_REFUSED_WAIT = const(900000)


class Refused(Exception):
    """The cloud does not take the device; asking again before `wait_ms` is of no use."""

    wait_ms = _REFUSED_WAIT


def https_client(settings, url, headers=None):
    """An HTTPClient for this URL, with the CA of settings.json when it is https."""
    tls = None
    if url.startswith("https:"):
        tls = tls_context(settings.ca or None)
    else:
        log.once("%s: not encrypted", url)
    return HTTPClient(url, tls=tls, headers=headers, connect_timeout_ms=settings.connect_timeout * 1000)


class _Call:
    # one request to the cloud beside its adapter; making it blocks at most for the connect deadline

    def __init__(self, settings, url, headers=None):
        self._http = https_client(settings, url, headers)

    def wait(self, ms):
        """Wait for its answer, at most so long."""
        self._http.wait(ms)
        return True

    def close(self):
        """Give the connection back."""
        self._http.close()


class _DeviceCall(_Call):
    # the same for a device that is registered

    def __init__(self, settings):
        known = settings.credentials
        self._id = known["id"]
        super().__init__(settings, known["hub_url"], {"Authorization": known["access_key"]})


def learn_time(own_clock, response):
    """Set the clock by the Date header of a response, unless somebody else did."""
    if own_clock.learned or not own_clock.known():
        at = clock.parse_http_date(response.headers.get("date", ""))
        if at:
            own_clock.set(at)
            own_clock.learned = True


def explain(response):
    """What an error response says, for a person: its status and its "error" text."""
    try:
        text = jsonin.loads_object(response.body).get("error", "")
    except ValueError:
        text = ""  # behind a proxy the body may be HTML (reference xyte §2)
    return "%d %s" % (response.status, log.redact(text)[:120] if isinstance(text, str) else "")


def is_of_cloud(response):
    """Did the cloud itself answer? It always does with a JSON object; a proxy or a portal has pages (reference xyte §2)."""
    try:
        return jsonin.loads_object(response.body) is not None
    except ValueError:
        return False


class Registration(_Call):
    """POST {entry}/v1/devices (reference xyte §1). May block for the connect deadline when it is made."""

    def __init__(self, settings, own_clock, version):
        super().__init__(settings, settings.entry)
        self._clock = own_clock
        body = settings.identity()
        body["firmware_version"] = version
        self._http.request("POST", "/v1/devices", json.dumps(body).encode(), {"Content-Type": "application/json"})

    def poll(self):
        """None while it goes on, then the credentials. Raises Refused (404, 422), OSError, HTTPError, ValueError."""
        response = self._http.poll()
        if response is None:
            return None
        learn_time(self._clock, response)
        if response.status in (404, 422):
            raise Refused("registration: " + explain(response))
        if response.status != 201 and response.status != 200:
            raise OSError("registration: " + explain(response))
        return check_credentials(jsonin.loads_object(response.body))


class Check(_DeviceCall):
    """Does the cloud still know this device? Over MQTT nothing tells (reference xyte §3), over HTTPS 401 does."""

    def __init__(self, settings):
        super().__init__(settings)
        self._http.request("GET", "/v1/devices/" + self._id)

    def poll(self):
        """None while it goes on, then False when the device was removed, True when it was not."""
        response = self._http.poll()
        return None if response is None else response.status != 401 or not is_of_cloud(response)


class FileInfo(_DeviceCall):
    """What the cloud says of a file (GET /files/{id}, reference xyte §2): its "url", and what else there is."""

    def __init__(self, settings, file_id):
        super().__init__(settings)
        self._http.request("GET", "/v1/devices/%s/files/%s" % (self._id, file_id))

    def poll(self):
        """None while it goes on, then a dict. OSError for an error of the cloud, ValueError for what is no JSON object."""
        response = self._http.poll()
        if response is None:
            return None
        if response.status != 200:
            raise OSError("file: " + explain(response))
        return jsonin.loads_object(response.body)


class Dump(_DeviceCall):
    """Upload lines of text as a file (POST /dumps, reference xyte §2); `finish(status, message)` is called at the end."""

    def __init__(self, settings, lines, finish):
        super().__init__(settings)
        self._finish = finish
        path = "/v1/devices/%s/dumps/text%%2Fplain/agent.log" % self._id
        self._http.request("POST", path, "\n".join(lines).encode(), {"Content-Type": "text/plain"})

    def poll(self):
        """Go on; True when it has ended."""
        status = "error"
        try:
            response = self._http.poll()
            if response is None:
                return False
            if response.status in (200, 201):
                status = "done"
                message = "uploaded"
            else:
                message = "dump: " + explain(response)
        except Exception as error:
            message = "dump: %s" % (str(error) or type(error).__name__)
        self._http.close()
        self._finish(status, message)
        return True
