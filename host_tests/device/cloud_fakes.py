# A cloud that a test writes: what stands where the adapters have their HTTP and MQTT clients.
import json

from redpoll.net import mqtt5
from redpoll.net.mqtt import MQTTException

ID = "d-1"
KEY = "0123456789abcdef0123456789abcdef"
CREDENTIALS = {"id": ID, "access_key": KEY, "hub_url": "http://hub.example", "mqtt_hub_url": "mqtt://hub.example:1883"}


class Reply:
    """An HTTP response as net.http gives it."""

    def __init__(self, status, body=b"{}", headers=None):
        self.status = status
        self.body = bytearray(body if isinstance(body, bytes) else json.dumps(body).encode())
        self.headers = headers or {}


class HTTP:
    """Stands for HTTPClient. `HTTP.serve(method, path, body)` answers with a Reply or an exception; None: not yet."""

    serve = None
    requests = []

    def __init__(self, base_url, tls=None, headers=None, *settings):
        self.headers = headers
        self.request_made = None
        # with the head alone, where the body is what it does not take
        self.response = None
        # those of the last request, and is it closed?
        self.sent_headers = None
        self.closed = False

    def request(self, method, path, body=None, headers=None):
        assert self.request_made is None, "one request at a time"
        self.sent_headers = headers
        is_json = body and (headers or {}).get("Content-Type") == "application/json"
        self.request_made = (method, path, json.loads(body) if is_json else body)
        HTTP.requests.append(self.request_made)

    def poll(self):
        reply = HTTP.serve(*self.request_made)
        if reply is None:
            return None
        self.request_made = None
        if isinstance(reply, Exception):
            self.response = getattr(reply, "head", None)
            raise reply
        return reply

    def wait(self, ms):
        pass

    def close(self):
        self.request_made = None
        self.closed = True


# of MQTTClient, in their order behind its port
ARGUMENTS = (
    "user", "password", "keepalive", "ssl", "ssl_params", "protocol", "window", "max_packet", "connect_timeout_ms", "ack_timeout_ms",
    "session_expiry", "receive_maximum",
)  # fmt: skip


class MQTT:
    """Stands for MQTTClient: keeps what was published, delivers what the test puts in, acknowledges when told."""

    made = []
    # an exception that the next connect() raises
    refuse = None
    # one that the next subscribe() raises
    refuse_subscription = None
    # False: nothing is acknowledged until the test says so
    acknowledges = True
    # True: the cloud does not answer a `get`
    silent = False
    # what the broker's CONNACK says; None for no limit
    maximum_qos = 2
    receive_maximum = None

    def __init__(self, client_id, server, port=0, *settings):
        self.client_id = client_id
        self.settings = dict(zip(ARGUMENTS, settings))
        self.published = []
        self.subscribed = []
        self.incoming = []
        self.broken = None
        self.acknowledge = MQTT.acknowledges
        self.waiting = []
        # reason codes of the next acknowledgements
        self.reasons = []
        # bytes of payload above which publish() refuses, None for no limit
        self.too_large = None
        # connect, subscribe, publish: how many were called so far
        self.steps = 0
        self.open = False
        self.dropped = 0
        self.properties = None
        self.on_ack = None
        self.free = 8
        self._packet = 0
        MQTT.made.append(self)

    def set_callback(self, callback):
        self.callback = callback

    def connect(self, clean_session=True, timeout=None):
        if MQTT.refuse:
            error = MQTT.refuse
            MQTT.refuse = None
            raise error
        self.open = True
        self.steps += 1
        return False

    @property
    def sock(self):
        return self if self.open else None

    @property
    def in_flight(self):
        return len(self.waiting)

    def window_free(self):
        return self.free if MQTT.receive_maximum is None else max(0, MQTT.receive_maximum - len(self.waiting))

    def subscribe(self, topics, qos=0):
        self.steps += 1
        self.subscribed += topics
        if MQTT.refuse_subscription:
            error = MQTT.refuse_subscription
            MQTT.refuse_subscription = None
            raise error

    def publish(self, topic, msg, retain=False, qos=0, properties=None):
        if not self.open:
            raise OSError(128)
        ours = topic.startswith("v1/")
        assert qos == 1 or qos == 2 and not ours
        assert not retain and isinstance(properties, (bytes, bytearray, list))
        if qos > MQTT.maximum_qos:
            raise MQTTException(0x9B, "QoS not supported")
        if self.too_large and len(msg) > self.too_large:
            raise MQTTException(0x95, "too large")
        self.steps += 1
        self._packet += 1
        message = json.loads(msg) if ours else msg
        self.published.append((topic, message, bytes(properties) if isinstance(properties, bytearray) else properties))
        self.waiting.append(self._packet)
        if topic.endswith("/get") and not MQTT.silent:
            self.deliver_to(self.client_id, "space_info", {})
        return self._packet

    def poll(self, timeout_ms=0):
        if self.broken:
            raise self.broken
        while self.acknowledge and self.waiting:
            self.on_ack(self.waiting.pop(0), self.reasons.pop(0) if self.reasons else 0)
        while self.incoming:
            topic, payload, self.properties = self.incoming.pop(0)
            self.callback(topic.encode(), payload)
            self.properties = None

    def close(self):
        self.open = False

    def deliver(self, name, message, response_topic=None, correlation=None):
        """The cloud publishes `message` (an object, or bytes as they are) on v1/device/ID/name."""
        self.deliver_to(ID, name, message, response_topic, correlation)

    def deliver_to(self, device, name, message, response_topic=None, correlation=None):
        """The same to another device."""
        properties = []
        if response_topic:
            properties.append((mqtt5.RESPONSE_TOPIC, response_topic))
        if correlation:
            properties.append((mqtt5.CORRELATION_DATA, correlation))
        payload = message if isinstance(message, bytes) else json.dumps(message).encode()
        self.incoming.append(("v1/device/%s/%s" % (device, name), payload, properties))

    def sent(self, name, device=ID):
        """The messages that the device has published on v1/device/ID/name."""
        return [message for topic, message, _ in self.published if topic == "v1/device/%s/%s" % (device, name)]
