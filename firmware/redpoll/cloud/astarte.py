# Update events as Edgehog's OTAEvent over Astarte MQTT v1, and its OTARequest (seed 002, reference edgehog-astarte §1 to §3).
from binascii import b2a_base64, unhexlify

from micropython import const

from . import bson

_INTERFACES = const("io.edgehog.devicemanager.OTAEvent:0:1;io.edgehog.devicemanager.OTARequest:1:0")
_UNIQUE = const(2)  # QoS of the reliability "unique"


def device_id(uuid):
    """Astarte's id of a device (16 bytes, base64url without padding) that the cloud knows by a UUID. ValueError when it is none."""
    raw = unhexlify(uuid.replace("-", ""))
    if len(raw) != 16:
        raise ValueError("Astarte: a device id is a UUID, not %r" % uuid)
    return b2a_base64(raw)[:22].decode().replace("+", "-").replace("/", "_")


class Reporter:
    """Speaks below `<realm>/<device id>` on a connection of net.mqtt. `properties`: what it sends with each message under MQTT 5."""

    def __init__(self, realm, uuid, properties=None):
        self._root = "%s/%s" % (realm, device_id(uuid))
        self._properties = properties
        # the topic that OTARequests come in by
        self.requests = self._root + "/io.edgehog.devicemanager.OTARequest/request"

    def hello(self, client):
        """What a session begins with (§3), once `requests` is subscribed to: which interfaces there are."""
        client.publish(self._root, _INTERFACES, False, _UNIQUE, self._properties)
        client.publish(self._root + "/control/emptyCache", b"1", False, _UNIQUE, self._properties)

    def report(self, client, event):
        """Publish an update event -> packet identifier, which is acknowledged when the broker has it.

        It has "uuid", "status", "progress" (0 to 100), "code", "message" and, where it is known, "time" (Unix ms).
        """
        values = {
            "requestUUID": event["uuid"],
            "status": event["status"],
            "statusProgress": event["progress"],
            "statusCode": event["code"],
            "message": event["message"],
        }
        sample = {"v": values}
        if event.get("time") is not None:
            sample["t"] = bson.Time(event["time"])
        topic = self._root + "/io.edgehog.devicemanager.OTAEvent/event"
        return client.publish(topic, bson.encode(sample), False, _UNIQUE, self._properties)


def request(payload):
    """The (operation, uuid, url) of an OTARequest, each a text or None. ValueError for what is none at all: nobody can be answered."""
    values = bson.decode(payload).get("v")
    if not isinstance(values, dict):
        raise ValueError('OTARequest: "v" is missing')
    return tuple([value if isinstance(value, str) else None for value in [values.get(key) for key in ("operation", "uuid", "url")]])
