"""What the firmware reports, read by the clients of others, and the other way round: Astarte's own client library and google.protobuf."""

import json
import textwrap
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bson
import pytest
from astarte.device import DeviceMqtt
from astarte.device.device import ConnectionState
from astarte.device.interface import Interface
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.unknown_fields import UnknownFieldSet
from interpreters import INTERPRETERS, run

from tools.hub.facets.astarte.interfaces import OTA_EVENT, OTA_REQUEST

pytestmark = pytest.mark.filterwarnings("ignore:Callback API version 1:DeprecationWarning")  # the SDK's own use of paho

DEVICE = "7d69db58-bcf5-4015-8bd6-c9f47a204721"
ASTARTE_ID = "fWnbWLz1QBWL1sn0eiBHIQ"
UUID = "04bf491c-af94-4e9d-813f-ebeebfb856a6"
AT = 1_790_000_000_123
EVENTS: list[dict[str, Any]] = [
    {"uuid": UUID, "status": status, "progress": progress, "code": code, "message": message, "time": AT + number}
    for number, (status, progress, code, message) in enumerate(
        [
            ("Acknowledged", 0, "", ""),
            ("Downloading", 0, "", ""),
            ("Error", 0, "NetworkError", "timed out after 7 s"),
            ("Downloading", 100, "", ""),
            ("Deploying", 50, "", ""),
            ("Deployed", 100, "", ""),
            ("Rebooting", 0, "", ""),
            ("Failure", 0, "SystemRollback", "Größe ✓ " * 20),
            ("Success", 100, "", ""),
        ]
    )
]

PUBLISH = """
import json
from binascii import hexlify
from redpoll.cloud import astarte, kura

class Connection:
    def publish(self, topic, msg, retain=False, qos=0, properties=None):
        print(json.dumps([topic, hexlify(msg if isinstance(msg, bytes) else msg.encode()).decode(), qos]))
        return 1

reporters = [astarte.Reporter("test", {device!r}), kura.Reporter("acme", {device!r}, None, "server", "$EDC")]
for event in json.loads({events!r}):
    for reporter in reporters:
        reporter.report(Connection(), event)
"""


def published(interpreter: str, tmp_path: Path) -> list[tuple[str, bytes, int]]:
    script = tmp_path / "publish.py"
    script.write_text(PUBLISH.format(device=DEVICE, events=json.dumps(EVENTS)))
    lines = [json.loads(line) for line in run(interpreter, str(script)).splitlines()]
    return [(topic, bytes.fromhex(payload), qos) for topic, payload, qos in lines]


# ---- Astarte


class Wire:
    """In the place of the SDK's MQTT client: keeps what it would publish."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes, int]] = []

    def publish(self, topic: str, payload: bytes = b"", qos: int = 0, retain: bool = False) -> None:
        self.sent.append((topic, payload, qos))


@pytest.fixture
def sdk(tmp_path: Path) -> Any:
    """Astarte's device, connected to nothing but a Wire, with our two interfaces."""
    device: Any = DeviceMqtt(ASTARTE_ID, "test", "secret", "http://127.0.0.1:1", str(tmp_path))
    for interface in (OTA_EVENT, OTA_REQUEST):
        device.add_interface_from_json(interface.definition())
    device._DeviceMqtt__mqtt_client = Wire()
    device._DeviceMqtt__connection_state = ConnectionState.CONNECTED
    return device


def test_astartes_client_takes_our_interfaces() -> None:
    event, request = Interface(OTA_EVENT.definition()), Interface(OTA_REQUEST.definition())
    assert (event.is_server_owned(), event.is_aggregation_object(), event.get_reliability("/event")) == (False, True, 2)
    assert (request.is_server_owned(), request.is_aggregation_object(), request.get_reliability("/request")) == (True, True, 0)


@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_astartes_client_reads_our_events_as_they_were_meant(interpreter: str, tmp_path: Path) -> None:
    interface = Interface(OTA_EVENT.definition())
    sent = [item for item in published(interpreter, tmp_path) if item[0].startswith("test/")]
    assert len(sent) == len(EVENTS)
    for event, (topic, payload, qos) in zip(EVENTS, sent, strict=True):
        assert topic == f"test/{ASTARTE_ID}/{interface.name}/event" and qos == interface.get_reliability("/event")
        document = bson.loads(payload)
        interface.validate_path("/event", document["v"])
        interface.validate_payload_and_timestamp("/event", document["v"], document["t"])
        assert document["t"].replace(tzinfo=UTC) == datetime.fromtimestamp(event["time"] / 1000, UTC)
        names = {"requestUUID": "uuid", "status": "status", "statusProgress": "progress", "statusCode": "code", "message": "message"}
        assert document["v"] == {name: event[ours] for name, ours in names.items()}


@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_we_read_what_astartes_client_sends_as_it_was_meant(interpreter: str, sdk: Any, tmp_path: Path) -> None:
    wanted = {"requestUUID": UUID, "status": "Error", "statusProgress": 40, "statusCode": "NetworkError", "message": "Größe ✓"}
    sdk.send_aggregate(OTA_EVENT.name, "/event", wanted, datetime.fromtimestamp(AT / 1000, UTC))
    ((topic, payload, qos),) = sdk._DeviceMqtt__mqtt_client.sent
    assert (topic, qos) == (f"test/{ASTARTE_ID}/{OTA_EVENT.name}/event", 2)
    request = {"operation": "Update", "url": "http://192.168.4.1/a.zip", "uuid": UUID}
    everything = {"i": -5, "l": 1 << 40, "d": -1.5, "b": True, "s": "ß", "n": b"\0\1", "a": [1, 2], "o": {"x": False}}
    script = tmp_path / "read.py"
    script.write_text(
        textwrap.dedent(f"""
        from redpoll.cloud import astarte, bson
        found = bson.decode({payload!r})
        assert found["v"] == {wanted!r}
        assert found["t"].ms == {AT}
        assert astarte.request({bson.dumps({"v": request})!r}) == ("Update", {UUID!r}, {request["url"]!r})
        assert bson.decode({bson.dumps(everything)!r}) == {everything!r}
        print("good")
        """)
    )
    assert run(interpreter, str(script)) == "good\n"


def test_astartes_client_hands_on_the_requests_that_the_device_is_sent(sdk: Any) -> None:
    """The hub's own encoder is compared in test_hub_astarte.py; this is the interface that it keeps to."""
    got: list[Any] = []
    sdk.set_events_callbacks(on_data_received=lambda _device, *data: got.append(data))
    for request in ({"operation": "Update", "url": "http://x/a.zip", "uuid": UUID}, {"operation": "Cancel", "uuid": UUID}):
        OTA_REQUEST.check(request, whole=False)
        message = SimpleNamespace(topic=f"test/{ASTARTE_ID}/{OTA_REQUEST.name}/request", payload=bson.dumps({"v": request}))
        sdk._DeviceMqtt__on_message(None, None, message)
        assert got.pop() == (OTA_REQUEST.name, "/request", request)


# ---- Kura


def kura_payload() -> Any:
    """The message class of Kura's payload, from the numbers of reference kapua-kura §2 alone."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="kura.proto", package="kura", syntax="proto2")
    payload = file.message_type.add(name="Payload")
    metric = payload.nested_type.add(name="Metric")
    kinds = metric.enum_type.add(name="Type")
    for number, name in enumerate(("DOUBLE", "FLOAT", "INT64", "INT32", "BOOL", "STRING", "BYTES")):
        kinds.value.add(name=name, number=number)

    def add(message: Any, name: str, number: int, kind: int, label: int = field.LABEL_OPTIONAL, type_name: str | None = None) -> None:
        message.field.add(name=name, number=number, type=kind, label=label, type_name=type_name)

    add(metric, "name", 1, field.TYPE_STRING, field.LABEL_REQUIRED)
    add(metric, "type", 2, field.TYPE_ENUM, field.LABEL_REQUIRED, ".kura.Payload.Metric.Type")
    values = ("double", "float", "int64", "int32", "bool", "string", "bytes")
    for number, name in enumerate(values, 3):
        add(metric, f"{name}_value", number, getattr(field, f"TYPE_{name.upper()}"))
    add(payload, "timestamp", 1, field.TYPE_INT64)
    add(payload, "metric", 5000, field.TYPE_MESSAGE, field.LABEL_REPEATED, ".kura.Payload.Metric")
    add(payload, "body", 5001, field.TYPE_BYTES)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("kura.Payload"))


@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_google_protobuf_reads_our_notifications_as_they_were_meant(interpreter: str, tmp_path: Path) -> None:
    message_class = kura_payload()
    sent = [item for item in published(interpreter, tmp_path) if item[0].startswith("$EDC/")]
    told = []
    for event, (topic, raw, qos) in zip(EVENTS, sent, strict=True):
        message = message_class.FromString(raw)
        assert not len(UnknownFieldSet(message))
        assert message.SerializeToString() == raw
        assert message.timestamp == event["time"]
        values = {}
        for metric in message.metric:
            kind = ("double", "float", "int64", "int32", "bool", "string", "bytes")[metric.type]
            assert [field.name for field, _ in metric.ListFields()] == ["name", "type", f"{kind}_value"]
            values[metric.name] = (kind, getattr(metric, f"{kind}_value"))
        resource = topic.rpartition("/")[2]
        assert topic == f"$EDC/acme/server/DEPLOY-V2/NOTIFY/{DEVICE}/{resource}" and qos == 1
        assert values["client.id"] == ("string", DEVICE)
        assert values["job.id"] == ("int64", 0x04BF491CAF944E9D)
        said = values.get(f"dp.{resource}.error.message", (None, None))[1]
        assert said == (f"{event['code']}: {event['message']}" if event["code"] else None)
        status, progress = values[f"dp.{resource}.status"], values[f"dp.{resource}.progress"]
        assert (status[0], progress[0]) == ("string", "int32")
        told.append((resource, status[1], progress[1]))
    assert told == [
        ("download", "IN_PROGRESS", 0),
        ("download", "IN_PROGRESS", 0),
        ("download", "IN_PROGRESS", 0),
        ("download", "COMPLETED", 100),
        ("install", "IN_PROGRESS", 50),
        ("install", "IN_PROGRESS", 99),
        ("install", "IN_PROGRESS", 99),
        ("install", "FAILED", 99),
        ("install", "COMPLETED", 100),
    ]


@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_our_numbers_are_the_bytes_that_google_protobuf_writes(interpreter: str, tmp_path: Path) -> None:
    message_class = kura_payload()
    numbers = [0, 1, -1, 127, 128, 300, 2**31 - 1, -(2**31), 2**31, 2**63 - 1, -(2**63)]
    script = tmp_path / "numbers.py"
    script.write_text(f"from redpoll.cloud.protobuf import integer\nfor n in {numbers}:\n    print(list(integer(1, n)))\n")
    ours = [bytes(json.loads(line)) for line in run(interpreter, str(script)).splitlines()]
    assert ours == [message_class(timestamp=number).SerializeToString() for number in numbers]
