# Update events as the notifications of Kura's deployment, DEPLOY-V2 NOTIFY (reference kapua-kura §2).
from micropython import const

from .protobuf import chunk, integer

# what a metric's type is called, and the field that has its value
_INT64 = const(2)
_INT32 = const(3)
_STRING = const(5)
_VALUES = const((0, 0, 5, 6, 0, 8))
_INT63 = (1 << 63) - 1

_DOWNLOAD = const("download")
_INSTALL = const("install")
_FINAL = {"Success": "COMPLETED", "Failure": "FAILED"}


def job_id(uuid):
    """The int64 that stands for a UUID: the lower 63 bits of its first 8 bytes. ValueError for another text."""
    return int(uuid.replace("-", "")[:16], 16) & _INT63


class Reporter:
    """Tells the requester's topic of each step, on a connection of net.mqtt. `properties`: what it sends along under MQTT 5.

    `prefix` is Kura's topic.control-prefix: "$EDC", or "EDC" on a broker that lets nobody subscribe below a "$".
    """

    def __init__(self, account, client_id, properties=None, requester="redpoll", prefix="EDC"):
        self._topic = "%s/%s/%s/DEPLOY-V2/NOTIFY/%s/" % (prefix, account, requester, client_id)
        self._client_id = client_id
        self._properties = properties
        # which update it is about, and where that stands
        self._uuid = None
        self._resource = _DOWNLOAD
        self._progress = 0

    def report(self, client, event):
        """Publish an update event (see astarte.Reporter) -> packet identifier, which is acknowledged when the broker has it."""
        # Kura publishes at QoS 0; the end of an update is not to be lost
        return client.publish(*self.message(event), False, 1, self._properties)

    def message(self, event):
        """The (topic, payload) that tells of an event; optional "size" is the bytes of the whole download, "name" the bundle's."""
        status = event["status"]
        resource, progress = self._place(event, status)
        said = _FINAL.get(status, "IN_PROGRESS")
        if status == "Downloading" and progress == 100:
            said = "COMPLETED"
        elif said == "IN_PROGRESS" and progress > 99:
            # 100 is told with COMPLETED only
            progress = 99
        self._resource = resource
        self._progress = progress
        start = "dp.%s." % resource
        metrics = [
            _metric("client.id", _STRING, self._client_id),
            _metric("job.id", _INT64, job_id(event["uuid"])),
            _metric(start + "status", _STRING, said),
            _metric(start + "progress", _INT32, progress),
        ]
        if resource == _INSTALL:
            metrics.append(_metric("dp.name", _STRING, event.get("name") or "redpoll"))
        else:
            metrics.append(_metric(start + "size", _INT32, event.get("size") or 0))
            metrics.append(_metric(start + "index", _INT32, 0))
        text = ": ".join([part for part in (event["code"], event["message"]) if part])
        if text and status in ("Error", "Failure"):
            metrics.append(_metric(start + "error.message", _STRING, text))
        if event.get("time") is not None:
            metrics.insert(0, integer(1, event["time"]))
        return self._topic + resource, b"".join(metrics)

    def _place(self, event, status):
        # (resource, progress); Error and Failure stay at what was reached
        if event["uuid"] != self._uuid:
            self._uuid = event["uuid"]
            # what rolls back was installed, before the restart
            rolled_back = event["code"] == "SystemRollback"
            self._resource = _INSTALL if rolled_back else _DOWNLOAD
            self._progress = 99 if rolled_back else 0
        if status in ("Acknowledged", "Downloading"):
            return _DOWNLOAD, event["progress"] if status == "Downloading" else 0
        if status == "Deploying":
            return _INSTALL, event["progress"]
        if status in ("Deployed", "Rebooting"):
            return _INSTALL, 99
        if status == "Success":
            return _INSTALL, 100
        return self._resource, self._progress


def _metric(name, kind, value):
    field = _VALUES[kind]
    return chunk(5000, chunk(1, name) + integer(2, kind) + (chunk(field, value) if kind == _STRING else integer(field, value)))
