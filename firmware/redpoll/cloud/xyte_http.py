# The Xyte cloud over HTTPS (seed 000): everything is learned from the reply to telemetry.
import json

from micropython import const

from .. import jsonin, log
from ..net.http import HTTPError
from . import xyte
from .https import explain, https_client, is_of_cloud, learn_time, object_of

_QUEUE = const(16)  # requests
_PAUSE_MS = const(10000)  # after 429 (reference xyte §2)
_QUIET_MS = const(1000)
# Update Device has a limit of its own, by the hour (reference xyte §2)
_LIMITED_MS = const(300000)
# a telemetry message is refused for what it is: for ever, when the cloud itself answers so, but for 403; filters before it use them too
_UNFIT = const((400, 403, 406, 413, 422))
# the result of a command that the cloud has not taken yet, of whichever session: without it there is no other command. After a start
# the cloud has to say which one it waits for
_untold = ("command", "GET", "/command", None, None)


class Adapter:
    """One connection, one request at a time. `handler` is told what comes in: see DESIGN §2."""

    BEGUN = "polling over HTTP"
    denied = False
    _dropped = 0
    _current = None
    # number of the telemetry message that was refused while one which says nothing was taken
    _suspect = None
    _not_before = 0
    # when what the cloud takes only so often is tried again, an uptime
    _limited_until = 0
    # the version that the space information being fetched has
    _space_version = None

    def __init__(self, settings, clock, handler):
        known = settings.credentials
        self._clock = clock
        self._handler = handler
        self._base = "/v1/devices/" + known["id"]
        # (what it is, method, path, body, number of the telemetry message, id of the command or what is told), in order
        self._queue = []
        # what the cloud takes only so often
        self._limited = []
        # commands whose result was followed by a look for the next one
        self._followed = []
        self._http = https_client(settings, known["hub_url"], {"Authorization": known["access_key"]})

    def connect(self):
        """Nothing to open: the connection is made for the first request."""

    def poll(self):
        """Go on with the request under way, begin the next. Returns ms until it wants to be called. Raises when the link fails."""
        # a handler may have had the loop go on, and begun the next
        if self._current and (not self._go_on() or self._current):
            return _QUIET_MS
        now = self._clock.ms()
        if now < self._not_before:
            return self._not_before - now
        if self._limited and now >= self._limited_until:
            self._queue += self._limited
            self._limited = []
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

    def _go_on(self):
        # True when the request under way has its answer
        current = self._current
        try:
            response = self._http.poll()
        except HTTPError as error:
            self._dropped += 1
            response = self._http.response
            # of an error the status says enough
            if not response or response.status < 400:
                self._current = None
                self._failed(current, error, True)
                return True
        if not response:
            return False
        self._current = None
        learn_time(self._clock, response)
        if response.status == 401 and is_of_cloud(response):
            self._handler.on_revoked()
        elif response.status == 429:
            self._pause(current, response)
        elif current[0] == "telemetry":
            self._take_telemetry(current, response)
        else:
            self._take(current, response)
        return True

    def wait(self, ms):
        """Wait until something comes, at most so long. False when nothing is expected."""
        if not self._current:
            return False
        self._http.wait(ms)
        return True

    def close(self):
        """Close the connection and forget what was not sent."""
        self._queue.clear()
        self._limited.clear()
        self._current = None
        self._http.close()

    def dropped(self):
        """How many replies were larger than the client takes, or no HTTP."""
        return self._dropped

    def ready(self):
        """True when one more telemetry message can be taken: nothing else is under way or waits, or only for the end of a pause."""
        if self._queue and self._clock.ms() < self._not_before:
            return self._queue[0][0] != "telemetry"
        return not (self._current or self._queue)

    def send_telemetry(self, number, unix_ms, body, old=False):
        """Post one message from the spool; the handler's on_sent(number, accepted) tells when the cloud has it, or never will."""
        # in a pause before what the cloud did not want, which it may not want for long
        self._queue.insert(0, ("telemetry", "POST", "/telemetry", xyte.stamped(body, unix_ms, old), number))

    def send_config(self, version, values):
        """Confirm a configuration, or say which values are in force."""
        self._add("told", "POST", "/config", xyte.config_update(self._clock, version, values), values)

    def send_command(self, command_id, status, message):
        """Tell how a command goes: in_progress, done or error (which this transport calls failed, reference xyte §2)."""
        body = xyte.command_update(command_id, "failed" if status == "error" else status, message)
        self._add("report" if status == "in_progress" else "result", "POST", "/command", body, command_id)

    def send_license(self, license_id, state, error):
        """Answer a licence: inuse, removed or error with its reason."""
        self._add("report", "POST", "/licenses", xyte.license_update(license_id, state, error), None)

    def send_device(self, fields):
        """Update Device, such as {"firmware_version": "1.0.1"}; the handler's on_device_told(fields) tells when the cloud has it."""
        self._add("device", "PUT", "", json.dumps(fields).encode(), fields)

    def send_setting(self, name, value):
        """Set Cloud Settings."""
        self._add("setting", "PUT", "/cloud_settings", json.dumps({"property": name, "value": value}).encode(), None)

    def request_snapshot(self):
        """Ask for all that the cloud holds for the device."""
        for kind in ("config", "command", "licenses", "space"):
            self._fetch(kind)

    def _fetch(self, kind):
        for request in self._queue:
            if request[0] == kind:
                return
        self._add(kind, "GET", "/" + kind, None, None)

    def _add(self, *request):
        global _untold
        kind = request[0]
        if kind == "result":
            _untold = request
        if len(self._queue) >= _QUEUE:
            # an answer that is lost here is given again when the cloud asks again
            log.warning("%s %s: too many requests wait", request[1], request[2])
            if kind == "told":
                self._handler.on_config_untold()
            return
        self._queue.append(request)

    def _pause(self, request, response):
        # the cloud wants less of this; what has a limit of its own does not hold up the rest
        log.once("%s %s: %s; later", request[1], request[2] or "/", explain(response))
        if request[0] in ("device", "setting"):
            self._limited = self._limited[1 - _QUEUE :] + [request]
            self._limited_until = self._clock.ms() + _LIMITED_MS
            return
        self._not_before = self._clock.ms() + _PAUSE_MS
        self._queue.insert(0, request)

    def _take_telemetry(self, request, response):
        # `number` of a message of the spool, or ~number: what was sent in between to learn why that one is refused
        number = request[4]
        status = response.status
        refused = status in _UNFIT
        if refused and (number == self._suspect or number >= 0 and status != 403 and is_of_cloud(response)):
            log.warning("telemetry %d is dropped: %s", number, explain(response))
            self._handler.on_sent(number, False)
            return
        reply = object_of(response) if status < 300 else None
        if reply is None or reply.get("success", True) is not True:
            if refused and number >= 0:
                # something before the cloud may take offence at this message, and will each time: is one taken that says nothing?
                body = json.dumps({"status": json.loads(request[3])["status"]}).encode()
                self._queue[:0] = (request[:3] + (body, ~number), request)
                return
            raise OSError("telemetry: " + explain(response))
        if number < 0:
            self._suspect = ~number
            # not for how often they come, nor for the connection
            self._http.close()
            self._not_before = self._clock.ms() + _PAUSE_MS
        else:
            self._handler.on_sent(number)
        if _untold and _untold not in self._queue:
            self._queue.append(_untold)
        self._obey(reply)

    def _take(self, request, response):
        global _untold
        kind, method, path, _, key = request
        status = response.status
        if request == _untold and status < 500 and is_of_cloud(response):
            _untold = None
        if status == 404 and kind == "command":
            pass  # the queue is empty
        elif status >= 300:
            self._failed(request, explain(response), status >= 500)
        elif method == "GET":
            self._deliver(kind, response)
        elif kind == "told":
            # Update Config answers with the version that the values now have
            reply = object_of(response)
            version = reply and xyte.version_of(reply, "version")
            if version:
                self._handler.on_config_taken(version, key)
        elif kind == "device":
            self._handler.on_device_told(key)
        elif kind == "result" and key not in self._followed:
            # there may be another; once each, so that two sides which disagree do not ask without end
            self._followed = self._followed[1 - _QUEUE :] + [key]
            self._fetch("command")

    def _failed(self, request, reason, passing):
        # a request that got no useful answer, for a reason that may pass; the cloud asks again, or the agent tells it again
        kind, method, path, _, _ = request
        if kind == "telemetry":
            raise OSError("telemetry: %s" % reason)
        log.warning("%s %s: %s", method, path or "/", reason)
        if kind == "licenses":
            # they may be too many to be taken at once: then one with each telemetry
            self._fetch("license")
        if passing and kind == "told":
            self._handler.on_config_untold()

    def _deliver(self, kind, response):
        licenses = kind.startswith("license")
        try:
            message = (jsonin.loads if licenses else jsonin.loads_object)(response.body)
        except ValueError as error:
            log.warning("%s: %s; it is left alone", kind, error)
            return
        if licenses:
            xyte.deliver_licenses(self._handler, message)
        elif kind == "config":
            xyte.deliver_config(self._handler, message)
        elif kind == "command":
            xyte.deliver_command(self._handler, message)
        else:
            self._handler.on_space(self._space_version, message)

    def _obey(self, reply):
        # what the reply to telemetry asks of the device (seed 000, "Return Data")
        handler = self._handler
        version = xyte.version_of(reply, "config_version") or 0
        if version > handler.config_version():
            self._fetch("config")
        else:
            handler.on_config_version(version)
        if reply.get("command") is True:
            self._fetch("command")
        if reply.get("new_licenses") is True:
            self._fetch("licenses")
        space_version = xyte.version_of(reply, "space_data_version") or 0
        if space_version > handler.space_version():
            self._space_version = space_version
            self._fetch("space")
        xyte.deliver_firmware(handler, reply)
