# The Xyte cloud over HTTPS (seed 000): everything is learned from the reply to telemetry.
import json

from micropython import const

from .. import jsonin, log
from . import xyte
from .registration import explain, https_client, learn_time

_QUEUE = const(16)
_PAUSE_MS = const(10000)
_QUIET_MS = const(1000)


class Adapter:
    """One connection, one request at a time. `handler` is told what comes in: see DESIGN §2."""

    BEGUN = "polling over HTTP"

    def __init__(self, settings, clock, handler):
        known = settings.credentials
        self._settings = settings
        self._clock = clock
        self._handler = handler
        self._base = "/v1/devices/" + known["id"]
        # [what it is, method, path, body, number of the telemetry message, id of the command or values told], in order
        self._queue = []
        self._current = None
        self._not_before = 0
        # the command whose result was followed by a look for the next one
        self._followed = None
        # the version that the space information being fetched has
        self._space_version = None
        self._http = https_client(settings, known["hub_url"], {"Authorization": known["access_key"]})
        self.denied = False

    def connect(self):
        """Nothing to open: the connection is made for the first request."""

    def poll(self):
        """Go on with the request under way, begin the next. Returns ms until it wants to be called. Raises when the link fails."""
        if self._current:
            response = self._http.poll()
            if response is None:
                return _QUIET_MS
            current = self._current
            self._current = None
            learn_time(self._clock, response)
            self._take(current, response)
        now = self._clock.ms()
        if now < self._not_before:
            return self._not_before - now
        if not self._queue:
            return _QUIET_MS
        self._current = self._queue.pop(0)
        kind, method, path, body, key = self._current
        headers = {"Content-Type": "application/json"} if body else None
        if kind == "telemetry":
            # a message that comes twice can be told by its number
            headers["Idempotency-Key"] = "%010d" % key
        self._http.request(method, self._base + path, body, headers)
        return 0

    def wait(self, ms):
        """Wait until something comes, at most so long. False when nothing is expected."""
        if not self._current:
            return False
        self._http.wait(ms)
        return True

    def close(self):
        """Close the connection and forget what was not sent."""
        self._queue.clear()
        self._current = None
        self._http.close()

    def ready(self):
        """True when one more telemetry message can be taken."""
        return not any(request[0] == "telemetry" for request in self._queue) and (not self._current or self._current[0] != "telemetry")

    def send_telemetry(self, number, unix_ms, body, old=False):
        """Post one message from the spool; the handler's on_sent(number) tells when the cloud has it."""
        self._add("telemetry", "POST", "/telemetry", xyte.stamped(body, unix_ms, old), number)

    def send_config(self, version, values):
        """Confirm a configuration, or say which values are in force."""
        self._add("told", "POST", "/config", xyte.config_update(self._clock, version, values), values)

    def send_command(self, command_id, status, message):
        """Tell how a command goes: in_progress, done or error (which this transport calls failed, reference xyte §2)."""
        body = xyte.command_update(command_id, "failed" if status == "error" else status, message)
        self._add("report" if status == "in_progress" else "result", "POST", "/command", body, command_id)

    def send_license(self, license_id, state, error):
        """Answer a licence: inuse, removed or error with its reason."""
        self._add("report", "POST", "/licenses", xyte.license_update(license_id, state, error))

    def send_device(self, fields):
        """Update Device, such as {"firmware_version": "1.0.1"}."""
        self._add("report", "PUT", "", json.dumps(fields).encode())

    def send_setting(self, name, value):
        """Set Cloud Settings."""
        self._add("report", "PUT", "/cloud_settings", json.dumps({"property": name, "value": value}).encode())

    def request_snapshot(self):
        """Ask for all that the cloud holds for the device."""
        for kind in ("config", "command", "licenses", "space"):
            self._fetch(kind)

    def _fetch(self, kind):
        if not any(request[0] == kind for request in self._queue):
            self._add(kind, "GET", "/" + kind, None)

    def _add(self, kind, method, path, body, key=None):
        if len(self._queue) >= _QUEUE:
            # an answer that is lost here is given again when the cloud asks again
            log.warning("%s %s: too many requests are waiting", method, path)
            return
        self._queue.append((kind, method, path, body, key))

    def _take(self, request, response):
        kind, method, path, _, key = request
        status = response.status
        if status == 401:
            self._handler.on_revoked()
        elif status == 429 or status >= 500:
            if status >= 500:
                raise OSError("%s %s: %s" % (method, path, explain(response)))
            log.info("%s %s: %s; pausing", method, path, explain(response))
            self._not_before = self._clock.ms() + _PAUSE_MS
            self._queue.insert(0, request)
        elif status == 404 and kind == "command":
            pass  # the queue is empty
        elif status >= 300:
            log.warning("%s %s: %s", method, path or "/", explain(response))
            if kind == "telemetry":
                # the cloud will not take this message however often it comes
                self._handler.on_sent(key)
        elif method == "GET":
            self._deliver(kind, response)
        elif kind == "telemetry":
            self._handler.on_sent(key)
            self._obey(response)
        elif kind == "told":
            self._taken(response, key)
        elif kind == "result" and key != self._followed:
            self._followed = key
            self._fetch("command")

    def _deliver(self, kind, response):
        try:
            message = jsonin.loads(response.body)
        except ValueError as error:
            log.warning("%s: %s; it is left alone", kind, error)
            return
        if kind == "licenses":
            xyte.deliver_licenses(self._handler, message)
        elif not isinstance(message, dict):
            log.warning("%s: must be a JSON object; it is left alone", kind)
        elif kind == "config":
            xyte.deliver_config(self._handler, message)
        elif kind == "command":
            xyte.deliver_command(self._handler, message)
        else:
            self._handler.on_space(self._space_version, message)

    def _taken(self, response, values):
        # Update Config answers with the version that the values now have
        try:
            version = _number(jsonin.loads_object(response.body), "version")
        except ValueError:
            return
        if version:
            self._handler.on_config_taken(version, values)

    def _obey(self, response):
        # what the reply to telemetry asks of the device (seed 000, "Return Data")
        try:
            reply = jsonin.loads_object(response.body)
        except ValueError as error:
            log.warning("telemetry reply: %s; it is left alone", error)
            return
        version = _number(reply, "config_version")
        if version > self._handler.config_version():
            self._fetch("config")
        else:
            self._handler.on_config_version(version)
        if reply.get("command") is True:
            self._fetch("command")
        if reply.get("new_licenses") is True:
            self._fetch("licenses")
        space_version = _number(reply, "space_data_version")
        if space_version > self._handler.space_version():
            self._space_version = space_version
            self._fetch("space")
        xyte.deliver_firmware(self._handler, reply)


def _number(reply, key):
    value = reply.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
