# The Xyte cloud over MQTT 5 (seed 001).
import json

from micropython import const

from .. import jsonin, log
from ..net import mqtt5
from ..net.mqtt import MQTTClient, MQTTException
from . import server, xyte

_ANSWER_MS = const(30000)
_QUIET_MS = const(1000)
_DIGITS = const(10)
# ms for an acknowledgement or a write, under the 8388 after which the watchdog of an RP2040 bites
_ACK_MS = const(7000)
_REPLIES = const(16)
_PACKET = const(8192)
# messages under way to us: while one of our calls waits, so many of that size have to be kept
_RECEIVE = const(4)
_TOO_LARGE = const(0x95)
# of mqtt5_names
_RESPONSE_TOPIC = const(8)
_CORRELATION_DATA = const(9)
_USER_PROPERTY = const(38)
# a message for which the broker answers so will be refused however often it comes: name, size, format (MQTT 5.0 §2.4)
_UNFIT = const((0x90, _TOO_LARGE, 0x99))
_DENIED = const((0x86, 0x87, 4, 5))  # bad user name or password, not authorized (MQTT 5.0 §3.2.2.2, MQTT 3.1.1 §3.2.2.3)
# what the cloud publishes; "command" is the newer generation of "commands" (reference xyte §3)
_INBOUND = const(("config", "commands", "license", "space_info", "firmware"))


# what a connection receives into: made for the first one, when the heap still has such a piece
_buffer = None


class Adapter:
    """One session. `handler` is told what comes in: see DESIGN §2."""

    BEGUN = "connected over MQTT"

    def __init__(self, settings, clock, handler):
        known = settings.credentials
        self._clock = clock
        self._handler = handler
        device = known["id"]
        key = known["access_key"]
        url = known.get("mqtt_hub_url")
        self._prefix = "v1/device/%s/" % device
        self._snapshot_ms = settings.snapshot_every * 1000
        self._answer_ms = min(_ANSWER_MS, self._snapshot_ms)
        self._next_snapshot = 0
        # uptime by which something must have come after a `get`; None while nothing is owed
        self._answer_due = None
        # (topic, payload, properties, what is awaited or None) of what found the window full: nothing waits inside publish
        self._waiting = []
        # packet identifier -> number of the telemetry message, what Update Device tells, (update event,), or "config" for its answer
        self._awaited = {}
        # where the answer to a configuration, command or licence goes: its id -> (topic, correlation data)
        self._replies = {}
        if not url:
            raise ValueError('the cloud gave no "mqtt_hub_url": use "transport": "http"')
        host, port, context = server(settings, url)
        self._user = [(_USER_PROPERTY, ("device_id", device)), (_USER_PROPERTY, ("access_key", key))]
        # what every message carries, encoded once
        self.properties = mqtt5.encode(self._user)
        self._numbered = bytearray(mqtt5.encode(self._user + [(_USER_PROPERTY, ("message_id", "0" * _DIGITS))]))
        global _buffer
        if _buffer is None:
            _buffer = bytearray(_PACKET)
        # by their places: the names of these arguments would be 80 bytes of a board
        client = MQTTClient(
            device,
            host,
            port,
            device,
            key,
            settings.keepalive,
            context,
            None,
            5,  # protocol
            8,  # window
            _buffer,
            settings.connect_timeout * 1000,
            _ACK_MS,
            None,
            _RECEIVE,
        )
        client.set_callback(self._on_message)
        client.on_ack = self._on_ack
        self._client = client
        # topic that a reporter listens to -> callback(payload)
        self._others = {}
        self.denied = False

    def connect(self):
        """Open the session, subscribe, ask for the snapshot. Raises OSError or MQTTException.

        Each of the three blocks, at most for the connect deadline or 7 s; the watchdog is fed between them.
        """
        try:
            # a clean session: what was missed is in the snapshot, what was not acknowledged is in the spool
            self._client.connect(True)
        except MQTTException as error:
            self.denied = error.code in _DENIED
            raise
        self._subscribe([(self._prefix + name, 1) for name in _INBOUND])
        self._handler.feed()
        self.request_snapshot()

    def poll(self):
        """Take in what came, keep the session alive. Returns ms until it wants to be called. Raises when the link is dead."""
        self._client.poll(0)
        while self._waiting and self._client.window_free():
            self._handler.feed()
            self._publish(*self._waiting.pop(0))
        self._handler.feed()
        now = self._clock.ms()
        if self._answer_due is not None and now >= self._answer_due:
            self._answer_due = None
            self._handler.on_doubt()
            return 0
        if now >= self._next_snapshot:
            self.request_snapshot()
        return _QUIET_MS

    def wait(self, ms):
        """Wait until something comes, at most so long. False when nothing is expected."""
        self._client.poll(ms)
        return True

    def close(self):
        """End the session; harmless when it is gone already."""
        self._client.close()

    def dropped(self):
        """How many messages were larger than the client takes."""
        return self._client.dropped

    def ready(self):
        """True when one more message of the device's own accord can be sent without waiting."""
        # one place is for answers, unless the broker takes one message at a time
        free = self._client.window_free()
        return not self._waiting and (free > 1 or free and not self._client.in_flight)

    def send_telemetry(self, number, unix_ms, body, old=False):
        """Publish one message from the spool; the handler's on_sent(number, accepted) tells when the cloud has it, or never will."""
        # the number in its fixed place: a message that comes twice can be told by it, and nothing is encoded anew
        self._numbered[-_DIGITS:] = b"%010d" % number
        body = xyte.stamped(body, unix_ms, old)
        if not self._publish(self._prefix + "telemetry", body, self._numbered, number):
            self._handler.on_sent(number, False)

    def send_config(self, version, values):
        """Confirm a configuration, or say which values are in force."""
        self._answer("config", version, xyte.config_update(self._clock, version, values), "config")

    def send_command(self, command_id, status, message):
        """Tell how a command goes: in_progress, done or error."""
        self._answer("commands", command_id, xyte.command_update(command_id, status, message))

    def send_license(self, license_id, state, error):
        """Answer a licence: inuse, removed or error with its reason."""
        self._answer("license", license_id, xyte.license_update(license_id, state, error))

    def send_device(self, fields):
        """Update Device, such as {"firmware_version": "1.0.1"}; the handler's on_device_told(fields) tells when the cloud has it."""
        self._tell("update", json.dumps(fields).encode(), fields)

    def send_setting(self, name, value):
        """Set Cloud Settings."""
        self._tell("cloud_settings/update", json.dumps({"property": name, "value": value}).encode())

    def listen(self, topic, callback):
        """Also take what comes by another topic. Blocks as connect() does."""
        self._others[topic] = callback
        self._subscribe([(topic, 2)])

    def let(self, publish, *values):
        """Call publish(client, *values), a reporter's. ValueError for a QoS or size above what the broker takes: the session goes on."""
        self._handler.feed()
        try:
            return publish(self._client, *values)
        except MQTTException as error:
            if self._client.sock is None:
                raise
            raise ValueError(error)

    def report_update(self, reporter, event):
        """Let a reporter publish an update event; the handler's on_reported(event) tells when the broker has it. False: not now.

        ValueError as let() has it.
        """
        if not self.ready():
            return False
        self._awaited[self.let(reporter.report, event)] = (event,)
        return True

    def request_snapshot(self):
        """Ask for all that the cloud holds for the device; it comes as ordinary messages."""
        now = self._clock.ms()
        self._tell("get", b"{}")
        self._next_snapshot = now + self._snapshot_ms
        self._answer_due = now + self._answer_ms

    def _subscribe(self, filters):
        self._handler.feed()
        try:
            self._client.subscribe(filters)
        except MQTTException as error:
            if self._client.sock is None or error.code == _TOO_LARGE:
                raise
            # one that the broker does not allow takes nothing from the others
            log.warning("not all subscriptions are granted: %s", error)

    def _publish(self, topic, body, properties, awaited=None):
        # False for a message that is larger than the broker takes
        try:
            packet = self._client.publish(topic, body, False, 1, properties)
        except MQTTException as error:
            if error.code != _TOO_LARGE or self._client.sock is None:
                raise
            log.warning("%d bytes for %s: more than the broker takes", len(body), topic)
            return False
        if awaited is not None:
            self._awaited[packet] = awaited
        return True

    def _queue(self, topic, body, properties, awaited=None):
        # send it now, or when there is room for it
        if self._client.window_free() and not self._waiting:
            self._publish(topic, body, properties, awaited)
        elif len(self._waiting) < _REPLIES:
            self._waiting.append((topic, body, properties, awaited))
        else:
            # an answer that is lost here is given again when the cloud asks again
            log.warning("%s: too many messages wait", topic)
            if awaited == "config":
                self._handler.on_config_untold()

    def _tell(self, name, body, awaited=None):
        self._queue(self._prefix + name, body, self.properties, awaited)

    def _answer(self, kind, key, body, awaited=None):
        topic, correlation = self._replies.get((kind, key)) or (self._prefix + kind + "/update", None)
        properties = self.properties if correlation is None else self._user + [(_CORRELATION_DATA, correlation)]
        self._queue(topic, body, properties, awaited)

    def _on_ack(self, packet, reason):
        awaited = self._awaited.pop(packet, None)
        refused = reason >= 0x80
        may_pass = refused and reason not in _UNFIT
        if refused:
            log.warning("the broker refused a message, reason 0x%02x", reason)
        if isinstance(awaited, tuple):
            # one that is refused would be refused again
            self._handler.on_reported(awaited[0])
        elif isinstance(awaited, dict):
            if not refused:
                self._handler.on_device_told(awaited)
        elif awaited == "config":
            if may_pass:
                self._handler.on_config_untold()
        elif awaited is not None:
            if may_pass:
                # the link waits, and the message comes again
                raise OSError("refused, reason 0x%02x" % reason)
            self._handler.on_sent(awaited, not refused)

    def _on_message(self, topic, payload):
        handler = self._handler
        handler.feed()
        topic = topic.decode()
        if topic in self._others:
            self._others[topic](payload)
            return
        self._answer_due = None
        kind = topic[len(self._prefix) :]
        if kind == "command":
            kind = "commands"
        try:
            message = jsonin.loads(payload)
            if not isinstance(message, dict) and not (kind == "license" and isinstance(message, list)):
                raise ValueError("must be a JSON object")
        except ValueError as error:
            log.warning("%s: %s; it is left alone", kind[:20], error)
            return
        for one in message if isinstance(message, list) else (message,):
            if isinstance(one, dict) and kind[:1] in "cl":
                self._remember(kind, xyte.version_of(one, "version") if kind == "config" else one.get("id"))
        if kind == "config":
            xyte.deliver_config(handler, message)
        elif kind == "commands":
            xyte.deliver_command(handler, message)
        elif kind == "license":
            xyte.deliver_licenses(handler, message)
        elif kind == "space_info":
            handler.on_space(None, message)
        elif kind == "firmware":
            xyte.deliver_firmware(handler, message)

    def _remember(self, kind, key):
        # where this message wants its answer (MQTT 5.0 §4.10); only a topic of this device, because the answer carries the key
        properties = self._client.properties
        topic = mqtt5.get(properties, _RESPONSE_TOPIC)
        if not isinstance(key, int) and not xyte.is_id(key):
            return
        replies = self._replies
        replies.pop((kind, key), None)
        if not topic:
            return
        correlation = mqtt5.get(properties, _CORRELATION_DATA)
        if not topic.startswith(self._prefix) or "+" in topic or "#" in topic or max(len(topic), len(correlation or "")) > 128:
            log.warning("%s: not answered where it asks: another device's topic, or above 128 bytes", kind)
            return
        if len(replies) >= _REPLIES:
            # dictionaries here have no order: forget all, the usual topics still work
            replies.clear()
        replies[(kind, key)] = (topic, correlation)
