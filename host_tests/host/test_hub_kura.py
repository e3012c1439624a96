"""What boards tell as Kura would: the payload, and NOTIFY messages on the embedded broker and on Mosquitto (reference kapua-kura §2)."""

import contextlib
import gzip
import struct
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as paho
import pytest
from brokers import each_broker
from hub_support import Board, KapuaClient, MqttBoard, operation_path
from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from waiting import DEADLINE, wait_for

from tools.hub.broker.publish import Published
from tools.hub.domain.operations import number_of
from tools.hub.errors import Malformed
from tools.hub.facets.kapua import kura_mqtt, shapes
from tools.hub.facets.kapua.kura_payload import METRICS_MAX, SIZE_MAX, Metric, Payload, Type, decode
from tools.hub.facets.mqtt_sender import Incoming
from tools.hub.process import HubProcess

NOON = 1_573_817_245_267  # 2019-11-15T11:27:25.267Z, in milliseconds


# a payload byte for byte: the timestamp, job.id -2 (INT64) and dp.download.progress 5 (INT32)
GOLDEN = bytes.fromhex(
    "08d3bcc5f6e62d"
    "c2b802150a066a6f622e6964100228feffffffffffffffff01"
    "c2b8021a0a1464702e646f776e6c6f61642e70726f677265737310033005"
)  # fmt: skip


# ---- an encoder, written for the tests from the reference's numbers alone


def varint(value: int) -> bytes:
    value &= 2**64 - 1
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value])


def chunk(number: int, raw: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def metric(name: str, kind: Type, value: Any) -> bytes:
    fields = {
        Type.DOUBLE: lambda: b"\x19" + struct.pack("<d", value), Type.FLOAT: lambda: b"\x25" + struct.pack("<f", value),
        Type.INT64: lambda: b"\x28" + varint(value), Type.INT32: lambda: b"\x30" + varint(value),
        Type.BOOL: lambda: b"\x38" + varint(value),
        Type.STRING: lambda: chunk(8, value.encode()), Type.BYTES: lambda: chunk(9, value),
    }  # fmt: skip
    return chunk(5000, chunk(1, name.encode()) + b"\x10" + varint(kind) + fields[kind]())


def payload(*metrics: bytes, at: int | None = NOON) -> bytes:
    return (b"" if at is None else b"\x08" + varint(at)) + b"".join(metrics)


def notify(job: int, resource: str = "download", status: str = "IN_PROGRESS", progress: int | None = 0, **more: Any) -> bytes:
    """The payload of a NOTIFY; `message`, `client` and `at` beside what the arguments say."""
    made = [metric("job.id", Type.INT64, job), metric(f"dp.{resource}.status", Type.STRING, status)]
    if progress is not None:
        made.append(metric(f"dp.{resource}.progress", Type.INT32, progress))
    if "message" in more:
        made.append(metric(f"dp.{resource}.error.message", Type.STRING, more["message"]))
    if "client" in more:
        made.append(metric("client.id", Type.STRING, more["client"]))
    return payload(*made, at=more.get("at", NOON))


# ---- the payload


def test_a_payload_is_read_from_its_bytes() -> None:
    expected = {"job.id": Metric(Type.INT64, -2), "dp.download.progress": Metric(Type.INT32, 5)}
    assert decode(GOLDEN) == Payload(NOON, expected)
    assert decode(gzip.compress(GOLDEN)) == Payload(NOON, expected)
    assert decode(b"") == Payload(None, {})


VALUES = {
    Type.DOUBLE: st.floats(allow_nan=False), Type.FLOAT: st.floats(allow_nan=False, width=32), Type.INT64: st.integers(-(2**63), 2**63 - 1),
    Type.INT32: st.integers(-(2**31), 2**31 - 1), Type.BOOL: st.booleans(),
    Type.STRING: st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), Type.BYTES: st.binary(),
}  # fmt: skip
NAMED = st.sampled_from(list(Type)).flatmap(lambda kind: VALUES[kind].map(lambda value: Metric(kind, value)))


@given(st.dictionaries(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), NAMED), st.integers(-(2**63), 2**63 - 1))
def test_any_metric_is_read_as_it_was_sent(metrics: dict[str, Metric], at: int) -> None:
    raw = payload(*[metric(name, item.type, item.value) for name, item in metrics.items()], at=at)
    assert decode(raw) == Payload(at, metrics)


def test_what_the_hub_does_not_read_is_skipped_and_the_last_of_two_counts() -> None:
    position = chunk(2, b"\x09" + bytes(8))
    unknown = chunk(5002, b"x") + varint(77 << 3 | 5) + bytes(4) + varint(78 << 3 | 1) + bytes(8) + varint(79 << 3) + b"\x05"
    twice = metric("a", Type.INT64, 1) + metric("a", Type.STRING, "x")
    without_value = chunk(5000, chunk(1, b"b") + b"\x10\x02")
    of_another_type = chunk(5000, chunk(1, b"c") + b"\x10\x02" + chunk(8, b"x"))
    raw = position + unknown + twice + without_value + of_another_type + chunk(5001, b"body")
    assert decode(raw) == Payload(None, {"a": Metric(Type.STRING, "x")})


BAD = [
    GOLDEN[:-1], GOLDEN[:10], b"\x08", b"\x08" + b"\xff" * 11, b"\x0b", b"\x0e", chunk(5000, b""), chunk(5000, chunk(1, b"a")),
    chunk(5000, b"\x10\x02"), chunk(5000, chunk(1, b"a") + b"\x10\x07"), chunk(5000, chunk(1, b"\xff") + b"\x10\x02"), b"\x02\x01x",
    metric("a", Type.STRING, "x")[:-1] + b"\xff", metric("a", Type.STRING, "\0"), metric("\0", Type.BOOL, True), b"{}", b"\xff" * 9,
    b"".join(metric(str(n), Type.BOOL, True) for n in range(METRICS_MAX + 1)), chunk(5001, bytes(SIZE_MAX)), b"\x1f\x8b",
    gzip.compress(GOLDEN)[:-1], gzip.compress(GOLDEN) + b"x", gzip.compress(bytes(10_000_000)), b"\x1f\x8bx" + GOLDEN,
    varint(5000 << 3 | 2) + varint(2**63) + b"x", varint(5000 << 3 | 2) + varint(2**64 - 1),
]  # fmt: skip


@pytest.mark.parametrize("raw", BAD, ids=range(len(BAD)))
def test_a_payload_that_is_none_is_refused(raw: bytes) -> None:
    with pytest.raises(Malformed):
        decode(raw)


@settings(max_examples=500)
@given(st.one_of(st.binary(max_size=60), st.tuples(st.integers(0, len(GOLDEN) - 1), st.binary(min_size=1, max_size=3)).map(
    lambda cut: GOLDEN[: cut[0]] + cut[1] + GOLDEN[cut[0] + 1 :])))  # fmt: skip
def test_random_bytes_are_read_or_refused(raw: bytes) -> None:
    with contextlib.suppress(Malformed):
        assert isinstance(decode(raw), Payload)


def test_what_the_hub_subscribes_to_depends_on_the_broker_and_the_share() -> None:
    assert kura_mqtt.subscriptions(None, True) == ["EDC/+/+/DEPLOY-V2/NOTIFY/+/+", "$EDC/+/+/DEPLOY-V2/NOTIFY/+/+"]
    assert kura_mqtt.subscriptions(None, False) == ["EDC/+/+/DEPLOY-V2/NOTIFY/+/+"]
    assert kura_mqtt.subscriptions("g", True)[0] == "$share/g/EDC/+/+/DEPLOY-V2/NOTIFY/+/+"


# ---- through a process


board_broker = each_broker  # what goes over MQTT runs on both


def topic(board: Board, resource: str = "download", client: str | None = None) -> str:
    """Where boards of this broker tell it: Kura's own prefix where the broker lets the hub subscribe there."""
    prefix = "EDC" if "mqtt311_url" in board.hub._ready else "$EDC"
    return f"{prefix}/account/requester-1/DEPLOY-V2/NOTIFY/{client or board.id}/{resource}"


def tell(
    board: Board, mqtt: MqttBoard, body: bytes, *, user: list[tuple[str, str]] | None = None, to: str | None = None, **more: Any
) -> None:
    """Publish as Kura does, at QoS 0, with the user properties of seed 001 or with others."""
    properties = Properties(PacketTypes.PUBLISH)
    properties.UserProperty = [("device_id", board.id), ("access_key", board.key)] if user is None else user
    mqtt.client.publish(to or topic(board), body, qos=0, properties=properties, **more).wait_for_publish(DEADLINE)


def told(client: KapuaClient, board: Board, job: int) -> list[dict[str, Any]]:
    """The notifications of the board's operation of this number."""
    listed = client.get(f"/_/devices/{board.id}/operations")["items"]
    mine = [item for item in listed if item["operationId"] == shapes.compact(job)]
    return list(client.get(f"{operation_path(mine[0])}/notifications")["items"]) if mine else []


def test_a_download_and_its_installation_are_notified_as_they_are_told(board: Board, mqtt: MqttBoard) -> None:
    with KapuaClient(board.hub) as client:
        for step, percent in enumerate((0, 5, 100)):
            status = "COMPLETED" if percent == 100 else "IN_PROGRESS"
            tell(board, mqtt, notify(7, status=status, progress=percent, at=NOON + step, client=board.id))
        tell(board, mqtt, gzip.compress(notify(7, "install", "COMPLETED", 100, at=NOON + 3)), to=topic(board, "install"))
        tell(board, mqtt, notify(7, "install", "COMPLETED", 100, at=NOON + 3), to=topic(board, "install"))  # it comes twice
        found = wait_for(lambda: len(items := told(client, board, 7)) == 4 and items, "the notifications")
        assert [(item["resource"], item["status"], item["progress"], item["sentOn"]) for item in found] == [
            ("download", "RUNNING", 0, "2019-11-15T11:27:25.267Z"), ("download", "RUNNING", 5, "2019-11-15T11:27:25.268Z"),
            ("download", "COMPLETED", 100, "2019-11-15T11:27:25.269Z"), ("install", "COMPLETED", 100, "2019-11-15T11:27:25.270Z"),
        ]  # fmt: skip
        operation = client.get(f"/_/devices/{board.id}/operations")["items"][0]
        assert (operation["status"], operation["appId"], operation["action"], operation["resource"]) == (
            "COMPLETED", "DEPLOY", "EXECUTE", "DOWNLOAD",
        )  # fmt: skip
        messages = [item["data"] for item in board.activities("upstreamMessage") if item["data"]["kind"] == "notify"]
        assert all(item["transport"] == "mqtt" and int(item["bytes"]) > 50 and "refused" not in item for item in messages)
        assert len(messages) >= 4


def test_what_is_told_of_a_command_is_told_of_its_operation(board: Board, mqtt: MqttBoard) -> None:
    with KapuaClient(board.hub) as client:
        command = board.hub.operator.command(board.id, "update_firmware", {"url": "http://x", "version": "2"})
        mqtt.next("commands")
        job = number_of(command["id"])
        mqtt.send("commands/update", {"id": command["id"], "status": "in_progress"})
        wait_for(lambda: len(told(client, board, job)) == 1, "the command's own notification")
        tell(board, mqtt, notify(job, status="FAILED", progress=40, message="no room", at=int(time.time() * 1000)))
        wait_for(lambda: len(told(client, board, job)) == 2, "the notification")
        mqtt.send("commands/update", {"id": command["id"], "status": "error", "message": "no room on the flash"})
        found = wait_for(lambda: len(items := told(client, board, job)) == 3 and items, "the end of the command")
        assert [(item["resource"], item["status"], item["progress"], item.get("message")) for item in found] == [
            ("update_firmware", "RUNNING", 0, None), ("download", "FAILED", 40, "no room"),
            ("update_firmware", "FAILED", 0, "no room on the flash"),
        ]  # fmt: skip
        assert client.get(f"/_/devices/{board.id}/operations")["size"] == 1


def test_a_message_without_measure_is_cut_in_what_is_told_as_in_what_is_kept(board: Board, mqtt: MqttBoard) -> None:
    tell(board, mqtt, notify(9, status="FAILED", message="x" * 60_000))
    found = wait_for(lambda: board.activities("firmwareStateChange"), "the activity")
    assert found[0]["data"]["message"] == "x" * 1024


REFUSED_SENDERS = [
    ([], "Not authorized: no user property device_id"),
    ([("device_id", "ID")], "Not authorized: no user property access_key"),
    ([("device_id", "ID"), ("access_key", "wrong")], "Not authorized"),
    ([("device_id", "other"), ("access_key", "KEY")], "Not authorized: the user property device_id is not the topic's device"),
    ([("device_id", "ID"), ("access_key", "KEY"), ("access_key", "x")], "Not authorized: more than one user property access_key"),
]


def test_a_message_of_who_is_not_the_device_is_refused_and_is_an_activity(board: Board, mqtt: MqttBoard) -> None:
    for user, _ in REFUSED_SENDERS:
        filled = [(name, value.replace("ID", board.id).replace("KEY", board.key)) for name, value in user]
        tell(board, mqtt, notify(7), user=filled)
    wait_for(lambda: len(board.refusals()) == len(REFUSED_SENDERS), "the refusals")
    assert board.refusals() == [reason for _, reason in REFUSED_SENDERS]
    with KapuaClient(board.hub) as client:
        assert told(client, board, 7) == []


def test_a_device_cannot_tell_of_another_ones_operation(board: Board, mqtt: MqttBoard) -> None:
    with Board.registered(board.hub) as victim, KapuaClient(board.hub) as client:
        for user in (None, [("device_id", victim.id), ("access_key", board.key)]):
            tell(board, mqtt, notify(7), user=user, to=topic(board, client=victim.id))
        wait_for(lambda: len(victim.refusals()) == 2, "the refusals")
        tell(board, mqtt, notify(7, client=victim.id))  # its own topic, the other one's client.id
        assert wait_for(board.refusals) == ["client.id is not the topic's device"]
        assert told(client, victim, 7) == told(client, board, 7) == []
        assert {item["data"]["kind"] for item in victim.activities("upstreamMessage")} == {"notify"}


BAD_MESSAGES = [
    (b"\x08", "cut off"), (gzip.compress(bytes(1_000_000)), "larger than"), (payload(), "job.id is missing"),
    (payload(metric("job.id", Type.INT32, 7), metric("dp.download.status", Type.STRING, "FAILED")), "job.id is INT32: it must be INT64"),
    (notify(7, progress=None) + metric("dp.download.progress", Type.INT64, 5), "dp.download.progress is INT64: it must be INT32"),
    (notify(7, status="CANCELLED"), "'CANCELLED': Kapua knows IN_PROGRESS, COMPLETED, FAILED"), (notify(7, "install"), "status is missing"),
    (notify(7, progress=-1), "progress"), (notify(7, at=-1), "timestamp"), (notify(7, at=2**62), "timestamp"),
]  # fmt: skip


def test_messages_that_kapua_cannot_take_are_refused_one_by_one_and_the_hub_goes_on(board: Board, mqtt: MqttBoard) -> None:
    for body, _ in BAD_MESSAGES:
        tell(board, mqtt, body)
    tell(board, mqtt, notify(7), to=topic(board, "x" * 300))
    refused = wait_for(lambda: len(found := board.refusals()) == len(BAD_MESSAGES) + 1 and found, "the refusals")
    for (_, reason), said in zip(BAD_MESSAGES, refused, strict=False):
        assert reason in said
    tell(board, mqtt, notify(8, progress=None, at=None))
    with KapuaClient(board.hub) as client:
        after = wait_for(lambda: told(client, board, 8), "the message after all of them")
        assert (after[0]["progress"], after[0]["status"]) == (0, "RUNNING")
        assert told(client, board, 7) == []
    assert "Traceback" not in board.hub.output()


def test_a_retained_message_is_old() -> None:
    def message(retain: bool) -> Published:
        return Published("$EDC/a/r/DEPLOY-V2/NOTIFY/device/install", b"x", 0, retain, 0, ())

    assert kura_mqtt._read(message(retain=True)) is None
    assert kura_mqtt._read(message(retain=False)) == Incoming("device", "install", b"x", ())


@pytest.fixture(scope="module")
def guest(hub: HubProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """A lenient hub on the broker of another one, which is a rumqttd that it does not know to be one."""
    with HubProcess(tmp_path_factory.mktemp("guest"), broker=hub.mqtt_url, extra=("--lenient",)) as running:
        wait_for(lambda: "boards must use EDC" in running.output(), "the hub to notice that the broker lets nobody subscribe below $EDC")
        yield running


def test_a_broker_that_drops_who_asks_for_dollar_topics_is_used_without_them(hub: HubProcess, guest: HubProcess) -> None:
    with Board.registered(guest) as board, MqttBoard(board, hub.mqtt_url) as mqtt, KapuaClient(guest) as client:

        def arrived() -> list[dict[str, Any]]:
            tell(board, mqtt, notify(7), to=topic(board).replace("$EDC", "EDC"))
            return told(client, board, 7)

        assert len(wait_for(arrived, "a message below EDC")) == 1


def test_a_client_of_mqtt_3_1_1_is_taken_with_lenient(hub: HubProcess, guest: HubProcess) -> None:
    with Board.registered(guest) as board, KapuaClient(guest) as client:
        url = urlsplit(hub._ready["mqtt311_url"])
        kura = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=board.id, protocol=paho.MQTTv311)
        assert url.hostname and url.port
        kura.connect(url.hostname, url.port)
        kura.loop_start()
        try:

            def arrived() -> list[dict[str, Any]]:
                kura.publish(topic(board).replace("$EDC", "EDC"), notify(7, progress=5), qos=0)
                return told(client, board, 7)

            found = wait_for(arrived, "the notification")
        finally:
            kura.disconnect()
            kura.loop_stop()
        assert (found[0]["progress"], found[0]["resource"]) == (5, "download")
