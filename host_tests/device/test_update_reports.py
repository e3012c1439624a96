from redpoll.cloud import astarte, bson, kura
from redpoll.cloud.protobuf import varint
from scratch import text_of

UUID = "7d69db58-bcf5-4015-8bd6-c9f47a204721"
REQUEST = "04bf491c-af94-4e9d-813f-ebeebfb856a6"


class Connection:
    """What is published on it."""

    def __init__(self):
        self.sent = []

    def publish(self, topic, msg, retain=False, qos=0, properties=None):
        self.sent.append((topic, bytes(msg if isinstance(msg, (bytes, bytearray)) else msg.encode()), retain, qos, properties))
        return len(self.sent)


def event(status, progress=0, code="", message="", time=1790000000123):
    return {"uuid": REQUEST, "status": status, "progress": progress, "code": code, "message": message, "time": time}


def test_a_devices_astarte_id_is_its_uuid_in_22_characters():
    assert astarte.device_id("f79ad91f-c638-4889-ae74-9d001a3b4cf8") == "95rZH8Y4SImudJ0AGjtM-A"
    assert astarte.device_id("ffffffff-ffff-ffff-ffff-ffffffffffff") == "_____________________w"
    for wrong in ("", "abc", UUID[:-2], UUID + "00", "g" * 32):
        assert text_of(ValueError, astarte.device_id, wrong) is not None


def test_an_event_is_published_whole_at_qos_2_with_its_time():
    connection = Connection()
    reporter = astarte.Reporter("test", UUID, b"properties")
    assert reporter.report(connection, event("Downloading", 40)) == 1
    assert reporter.report(connection, event("Error", 40, "NetworkError", "timed out", None)) == 2
    (topic, payload, retain, qos, properties), (_, untimed, _, _, _) = connection.sent
    assert topic == "test/%s/io.edgehog.devicemanager.OTAEvent/event" % astarte.device_id(UUID)
    assert (retain, qos, properties) == (False, 2, b"properties")
    found = bson.decode(payload)
    assert found.pop("t").ms == 1790000000123
    values = {"requestUUID": REQUEST, "status": "Downloading", "statusProgress": 40, "statusCode": "", "message": ""}
    assert found == {"v": values}
    values = {"requestUUID": REQUEST, "status": "Error", "statusProgress": 40, "statusCode": "NetworkError", "message": "timed out"}
    assert bson.decode(untimed) == {"v": values}


def test_a_session_begins_with_the_interfaces_and_an_empty_cache():
    connection = Connection()
    reporter = astarte.Reporter("test", UUID)
    reporter.hello(connection)
    root = "test/" + astarte.device_id(UUID)
    assert connection.sent == [
        (root, b"io.edgehog.devicemanager.OTAEvent:0:1;io.edgehog.devicemanager.OTARequest:1:0", False, 2, None),
        (root + "/control/emptyCache", b"1", False, 2, None),
    ]
    assert reporter.requests == root + "/io.edgehog.devicemanager.OTARequest/request"


def test_a_request_is_read_and_what_is_missing_in_it_is_none():
    values = {"operation": "Update", "uuid": REQUEST, "url": "http://x/a.zip"}
    assert astarte.request(bson.encode({"v": values})) == ("Update", REQUEST, "http://x/a.zip")
    assert astarte.request(bson.encode({"v": values, "t": bson.Time(1)})) == ("Update", REQUEST, "http://x/a.zip")
    assert astarte.request(bson.encode({"v": {"operation": "Cancel", "uuid": REQUEST}})) == ("Cancel", REQUEST, None)
    assert astarte.request(bson.encode({"v": {"operation": 1, "uuid": REQUEST, "more": 1}})) == (None, REQUEST, None)
    for payload in (b"", b"{}", bson.encode({}), bson.encode({"v": "Update"}), bson.encode({"v": values})[:-1]):
        assert text_of(ValueError, astarte.request, payload)


def test_a_varint_is_what_the_encoding_guide_shows():
    assert varint(0) == b"\0" and varint(150) == b"\x96\1" and varint(127) == b"\x7f" and varint(128) == b"\x80\1"
    assert varint(-2) == b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\1"
    assert varint((1 << 63) - 1) == b"\xff" * 8 + b"\x7f"


def test_the_job_of_an_update_is_the_lower_63_bits_of_its_uuid():
    assert kura.job_id("04bf491c-af94-4e9d-813f-ebeebfb856a6") == 0x04BF491CAF944E9D
    assert kura.job_id("f4bf491c-af94-4e9d-813f-ebeebfb856a6") == 0x74BF491CAF944E9D
    assert text_of(ValueError, kura.job_id, "not a uuid") is not None


def test_a_notification_goes_to_the_requester_and_waits_for_the_broker():
    connection = Connection()
    reporter = kura.Reporter("acme", UUID, b"properties", "server", "$EDC")
    reporter.report(connection, event("Acknowledged"))
    (topic, payload, retain, qos, properties) = connection.sent[0]
    assert topic == "$EDC/acme/server/DEPLOY-V2/NOTIFY/%s/download" % UUID
    assert (retain, qos, properties) == (False, 1, b"properties")
    # timestamp, then the first metric: field 5000, 51 bytes
    assert payload[:7] == b"\x08" + varint(1790000000123)
    assert payload[7:11] == b"\xc2\xb8\x02\x33" and b"client.id" in payload and UUID.encode() in payload


def told(*events):
    # (resource, status, progress) of each, out of the bytes
    reporter = kura.Reporter("acme", UUID)
    found = []
    for one in events:
        topic, payload = reporter.message(one)
        resource = topic.split("/")[-1]
        status = [word for word in ("IN_PROGRESS", "COMPLETED", "FAILED") if word.encode() in payload]
        at = payload.index(b".progress") + len(".progress")
        assert payload[at : at + 3] == b"\x10\x03\x30" and payload[at + 3] < 128
        found.append((resource, status[0], payload[at + 3]))
    return found


def test_an_update_is_a_download_and_then_an_installation_that_never_goes_back():
    assert told(
        event("Acknowledged"),
        event("Downloading", 0),
        event("Downloading", 50),
        event("Error", 50, "NetworkError"),
        event("Downloading", 100),
        event("Deploying", 0),
        event("Deploying", 100),
        event("Deployed", 0),
        event("Rebooting", 0),
        event("Success", 100),
    ) == [
        ("download", "IN_PROGRESS", 0),
        ("download", "IN_PROGRESS", 0),
        ("download", "IN_PROGRESS", 50),
        ("download", "IN_PROGRESS", 50),
        ("download", "COMPLETED", 100),
        ("install", "IN_PROGRESS", 0),
        ("install", "IN_PROGRESS", 99),
        ("install", "IN_PROGRESS", 99),
        ("install", "IN_PROGRESS", 99),
        ("install", "COMPLETED", 100),
    ]


def test_a_failure_stays_at_what_was_reached_and_says_why():
    assert told(event("Downloading", 30), event("Failure", 0, "Canceled")) == [("download", "IN_PROGRESS", 30), ("download", "FAILED", 30)]
    assert told(event("Deploying", 30), event("Failure", 0, "IOError")) == [("install", "IN_PROGRESS", 30), ("install", "FAILED", 30)]
    # told after a restart
    assert told(event("Failure", 0, "SystemRollback")) == [("install", "FAILED", 99)]
    assert told(event("Failure", 0, "InvalidRequest")) == [("download", "FAILED", 0)]
    payload = kura.Reporter("acme", UUID).message(event("Failure", 0, "IOError", "flash is full"))[1]
    assert b"dp.download.error.message" in payload and b"IOError: flash is full" in payload
    assert b"error.message" not in kura.Reporter("acme", UUID).message(event("Downloading", 10))[1]


def test_a_notification_tells_how_large_the_download_is_and_what_is_installed_and_needs_no_time():
    reporter = kura.Reporter("acme", UUID)
    for more, size in (({"size": 98751}, 98751), ({}, 0)):
        payload = reporter.message(dict(event("Downloading", 40), **more))[1]
        assert b"dp.download.size\x10\x03\x30" + varint(size) in payload and b"dp.download.index\x10\x03\x30\0" in payload
        assert b"dp.name" not in payload
    for more, name in (({"name": "demo"}, b"demo"), ({}, b"redpoll")):
        payload = reporter.message(dict(event("Deploying", 50), **more))[1]
        assert b"dp.name\x10\x05\x42" + varint(len(name)) + name in payload
        assert b"size" not in payload and b"index" not in payload
    untimed = reporter.message(event("Rebooting", time=None))[1]
    assert reporter.message(event("Rebooting"))[1] == b"\x08" + varint(1790000000123) + untimed
