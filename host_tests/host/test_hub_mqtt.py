"""The Xyte facet over MQTT: seed 001 and reference xyte §3, on the embedded broker and on Mosquitto."""

import contextlib
import os
import queue
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from brokers import each_broker, needs_mosquitto
from hub_support import Board, MqttBoard, body_of
from waiting import wait_for

from tools.hub.broker.process import MosquittoProcess
from tools.hub.broker.rumqttd import PANICKED
from tools.hub.process import HubProcess
from tools.paths import ROOT

board_broker = each_broker  # what goes over MQTT runs on both


def state_of(board: Board) -> dict[str, Any]:
    found: dict[str, Any] = board.hub.operator.telemetry(board.id)["telemetries"]
    return found


def broker_pid(hub: HubProcess) -> int:
    children = Path(f"/proc/{hub.pid}/task/{hub.pid}/children").read_text().split()
    assert len(children) == 1
    return int(children[0])


def publish_raw(board: Board, topic: bytes, properties: bytes, payload: bytes) -> None:
    """One PUBLISH at QoS 1, its bytes as given, from a client of its own."""
    client = b"x" + board.id[:8].encode()
    connect = b"\x00\x04MQTT\x05\x02\x00\x3c\x00" + len(client).to_bytes(2, "big") + client
    publish = len(topic).to_bytes(2, "big") + topic + b"\x00\x09" + bytes([len(properties)]) + properties + payload
    host, port = board.answer["mqtt_hub_url"].removeprefix("mqtt://").split(":")
    with socket.create_connection((host, int(port)), 5) as raw:
        raw.sendall(b"\x10" + bytes([len(connect)]) + connect)
        assert raw.recv(100)[:1] == b"\x20"
        raw.sendall(b"\x32" + bytes([len(publish)]) + publish)
        raw.settimeout(1)
        with contextlib.suppress(OSError):  # it is acknowledged, or the connection is closed: both are the broker's right
            raw.recv(100)


def assert_a_push(message: Any) -> None:
    assert (message.qos, message.retain) == (1, False)


# ---- from the device


def test_telemetry_of_the_seed_is_stored(board: Board, mqtt: MqttBoard) -> None:
    mqtt.send("telemetry", {"status": "online", "timestamp": "2021-08-04T07:45:44.122Z", "telemetries": {"fan_speed": 100.1, "usbc": True}})
    wait_for(lambda: state_of(board))
    assert state_of(board) == {"fan_speed": 100.1, "usbc": True, "status": "online"}
    assert board.activities("upstreamMessage")[0]["data"] == {"bytes": "112", "transport": "mqtt", "kind": "telemetry"}


def test_messages_of_one_device_are_taken_in_their_order(board: Board, mqtt: MqttBoard) -> None:
    for n in range(200):
        mqtt.send("telemetry", {"telemetries": {"n": n}})
    wait_for(lambda: state_of(board).get("n") == 199, "the last message")
    assert [item["telemetries"]["n"] for item in board.hub.operator.history(board.id, limit=1000)] == list(range(199, -1, -1))


def test_update_device_and_cloud_settings_have_their_topics(board: Board, mqtt: MqttBoard) -> None:
    mqtt.send("update", {"firmware_version": "2.0.0", "name": "Lobby"})
    mqtt.send("cloud_settings/update", {"property": "a", "value": "b"})
    device = wait_for(lambda: (found := board.hub.operator.device(board.id))["cloud_settings"] and found)
    assert (device["firmware_version"], device["name"], device["cloud_settings"]) == ("2.0.0", "Lobby", {"a": "b"})


def test_update_device_over_mqtt_has_no_hourly_limit(board: Board, mqtt: MqttBoard) -> None:
    # nobody would tell the device that its message was not taken
    for number in range(12):
        mqtt.send("update", {"firmware_version": f"1.0.{number}"})
    wait_for(lambda: board.hub.operator.device(board.id)["firmware_version"] == "1.0.11")
    assert board.refusals() == []


def test_an_empty_telemetry_is_taken_as_over_http(board: Board, mqtt: MqttBoard) -> None:
    mqtt.send("telemetry", {})
    wait_for(lambda: len(board.hub.operator.history(board.id, limit=10)) == 1)
    assert board.refusals() == []


REFUSED = [
    ([], "Not authorized: no user property device_id"),
    ([("device_id", "ID")], "Not authorized: no user property access_key"),
    ([("access_key", "KEY")], "Not authorized: no user property device_id"),
    ([("device_id", "ID"), ("access_key", "wrong")], "Not authorized"),
    ([("device_id", "ID"), ("access_key", "")], "Not authorized"),
    ([("device_id", "other"), ("access_key", "KEY")], "Not authorized: the user property device_id is not the topic's device"),
    ([("device_id", "ID"), ("device_id", "other"), ("access_key", "KEY")], "Not authorized: more than one user property device_id"),
    ([("device_id", "ID"), ("access_key", "KEY"), ("access_key", "wrong")], "Not authorized: more than one user property access_key"),
]


@pytest.mark.parametrize(("user", "reason"), REFUSED, ids=range(len(REFUSED)))
def test_a_message_without_valid_user_properties_is_refused_and_is_an_activity(
    board: Board, mqtt: MqttBoard, user: list[tuple[str, str]], reason: str
) -> None:
    filled = [(name, value.replace("ID", board.id).replace("KEY", board.key)) for name, value in user]
    mqtt.send("telemetry", {"telemetries": {"a": 1}}, user=filled)
    assert wait_for(board.refusals) == [reason]
    assert state_of(board) == {}


def test_a_device_cannot_write_as_another_one(board: Board, mqtt: MqttBoard) -> None:
    with Board.registered(board.hub) as victim:
        for user in (None, [("device_id", victim.id), ("access_key", board.key)]):
            for end in ("telemetry", "config/update", "commands/update", "command/update", "license/update", "update", "get"):
                mqtt.send(end, {"telemetries": {"a": 1}, "name": "taken"}, user=user, device_id=victim.id)
        wait_for(lambda: len(victim.refusals()) == 14, "the refusals")
        assert state_of(victim) == {}
        assert board.hub.operator.device(victim.id)["name"] != "taken"


def test_a_message_for_an_unknown_device_is_refused_without_a_device_id(board: Board, mqtt: MqttBoard) -> None:
    nobody = "00000000-0000-0000-0000-000000000000"
    mqtt.send("telemetry", {"telemetries": {}}, user=[("device_id", nobody), ("access_key", "ab")], device_id=nobody)

    def refused() -> list[dict[str, Any]]:
        found = board.hub.operator.activities(event="upstreamMessage")
        return [item for item in found if "refused" in item["data"] and "deviceId" not in item and item["data"]["transport"] == "mqtt"]

    wait_for(lambda: [item for item in refused() if item["data"]["refused"] == "Not authorized" and item["data"]["bytes"] == "19"])


BAD = [
    ("telemetry", b"{"), ("telemetry", b""), ("telemetry", b"\xff"), ("telemetry", b"[" * 5000), ("telemetry", b'{"a":NaN}'),
    ("telemetry", b'{"telemetries":{"a":[]}}'), ("config/update", b"[]"), ("config/update", b'{"version":"x"}'),
    ("commands/update", b'{"id":"x","status":"done"}'), ("commands/update", b"{}"), ("license/update", b'{"id":"x","state":"inuse"}'),
    ("update", b'{"nmae":"x"}'), ("cloud_settings/update", b"{}"), ("get", b"{"),
]  # fmt: skip


def test_bad_messages_are_refused_one_by_one_and_the_hub_goes_on(board: Board, mqtt: MqttBoard) -> None:
    for end, payload in BAD:
        mqtt.send(end, payload)
    wait_for(lambda: len(board.refusals()) == len(BAD), "a refusal of each")
    mqtt.send("telemetry", {"telemetries": {"after": 1}})
    wait_for(lambda: state_of(board) == {"after": 1})


def test_topics_that_are_none_of_the_facets_are_left_alone(board: Board, mqtt: MqttBoard) -> None:
    for end in ("config", "commands", "space_info", "firmware", "telemetry/x", "x", "config/update/x"):
        mqtt.send(end, b"{", device_id=board.id)
    mqtt.send("telemetry", {"telemetries": {"after": 1}})
    wait_for(lambda: state_of(board) == {"after": 1})
    assert board.refusals() == []


def test_a_packet_that_no_decoder_takes_is_an_activity_and_does_not_cut_the_hub_off(board: Board, mqtt: MqttBoard) -> None:
    before = board.hub.output().count("connection to the broker")
    topic = f"v1/device/{board.id}/telemetry".encode()
    not_utf8 = b"\x26\x00\x02\xff\xfe\x00\x01x"  # in a user property's name; rumqttd and Mosquitto hand different ones of these on
    nul = b"\x26\x00\x01\x00\x00\x01x"
    type_not_utf8 = b"\x03\x00\x02\xff\xff"
    no_indicator = b"\x01\x05"
    odd = (
        (not_utf8, topic),
        (nul, topic),
        (type_not_utf8, topic),
        (no_indicator, topic),
        (b"", topic[:-9] + b"\xff\xfe/telemetry"),
        (b"", b"v1/device/+/telemetry"),
    )
    for properties, name in odd:
        publish_raw(board, name, properties, b"{}")
    mqtt.send("telemetry", {"telemetries": {"after": 1}})
    wait_for(lambda: state_of(board) == {"after": 1})
    refused = [item["data"].get("refused") for item in board.hub.operator.activities(event="upstreamMessage")]
    assert "The packet cannot be decoded" in refused
    assert board.hub.output().count("connection to the broker") == before


# ---- to the device


def test_a_configuration_is_pushed_flat_with_response_topic_and_correlation_data(board: Board, mqtt: MqttBoard) -> None:
    board.hub.operator.configure(board.id, {"interval": 7})
    message = mqtt.next("config")
    assert_a_push(message)
    body = body_of(message)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", body.pop("last_updated"))
    assert body == {"interval": 7, "version": 1}
    assert message.properties.ResponseTopic == f"v1/device/{board.id}/config/update"
    assert message.properties.CorrelationData == b"1"
    mqtt.send("config/update", body_of(message))
    wait_for(lambda: board.hub.operator.device(board.id)["device_config_version"] == 1)
    assert board.hub.operator.device(board.id)["config_version"] == 1


def test_commands_are_pushed_one_at_a_time(board: Board, mqtt: MqttBoard) -> None:
    first = board.hub.operator.command(board.id, "blink", {"times": 2})
    second = board.hub.operator.command(board.id, "ping")
    message = mqtt.next("commands")
    assert_a_push(message)
    assert body_of(message) == {"id": first["id"], "status": "pending", "name": "blink", "parameters": {"times": 2}}
    assert message.properties.ResponseTopic == f"v1/device/{board.id}/commands/update"
    assert message.properties.CorrelationData == first["id"].encode()
    mqtt.send("commands/update", {"id": first["id"], "status": "in_progress"})
    wait_for(lambda: board.hub.operator.commands(board.id)[1]["status"] == "in_progress")
    with pytest.raises(queue.Empty):
        mqtt.messages.get(block=False)
    mqtt.send("commands/update", {"id": first["id"], "status": "error", "message": "no lamp"})
    assert body_of(mqtt.next("commands"))["id"] == second["id"]
    mqtt.send("command/update", {"id": second["id"], "status": "done", "message": "great, success!"})  # the newer topic
    listed = wait_for(lambda: (found := board.hub.operator.commands(board.id))[0]["status"] == "done" and found)
    assert [(item["status"], item["message"]) for item in listed] == [("done", "great, success!"), ("failed", "no lamp")]


def test_a_claim_and_a_change_of_the_space_push_space_info(board: Board, mqtt: MqttBoard) -> None:
    space = f"s-{board.id[:8]}"
    board.claim(space)
    message = mqtt.next("space_info")
    assert_a_push(message)
    assert body_of(message)["name"] == f"Space {space}"
    board.hub.operator.set_space(space, "Hall", {"utc_offset": -90})
    body = body_of(mqtt.next("space_info"))
    assert (body["name"], body["location"]["utc_offset"], body["local_time"][-6:]) == ("Hall", -90, "-01:30")


def test_a_new_firmware_is_pushed_only_to_who_does_not_have_it(board: Board, mqtt: MqttBoard) -> None:
    board.hub.operator.set_model(board.asked["hardware_key"], latest_fw_version="1.0.0", latest_fw_file_id="f" * 36)
    board.hub.operator.set_model(board.asked["hardware_key"], latest_fw_version="1.0.8", latest_fw_file_id="f" * 36)
    message = mqtt.next("firmware")
    assert_a_push(message)
    assert body_of(message) == {"latest_fw_version": "1.0.8", "latest_fw_file_id": "f" * 36}


def test_the_snapshot_has_all_that_the_hub_holds_in_the_order_of_the_seed(board: Board, mqtt: MqttBoard) -> None:
    mqtt.send("get")
    assert body_of(mqtt.next("config"))["version"] == 0  # nothing else yet: unclaimed, no command, no other firmware
    operator = board.hub.operator
    board.claim()
    mqtt.next("space_info")
    operator.configure(board.id, {"a": 1})
    mqtt.next("config")
    operator.command(board.id, "blink")
    mqtt.next("commands")
    operator.command(board.id, "ping")
    operator.set_model(board.asked["hardware_key"], latest_fw_version="9.0.0")
    mqtt.next("firmware")
    mqtt.send("get")
    kinds = [mqtt.next().topic.rsplit("/", 1)[1] for _ in range(4)]
    assert kinds == ["space_info", "config", "commands", "firmware"]


def test_a_command_missed_by_an_absent_board_is_in_its_next_snapshot(board: Board) -> None:
    with MqttBoard(board) as mqtt:
        mqtt.send("telemetry", {})
    command = board.hub.operator.command(board.id, "ping")
    wait_for(lambda: board.activities("downstreamMessage"), "the push that nobody takes")
    with MqttBoard(board) as mqtt:
        mqtt.send("get")
        mqtt.next("config")
        assert body_of(mqtt.next("commands"))["id"] == command["id"]


def test_a_board_that_polls_over_http_is_not_pushed_to(board: Board, mqtt: MqttBoard) -> None:
    wait_for(lambda: board.activities("clientConnected"), "the session")  # which makes it an MQTT board
    board.post("/telemetry", {})
    board.hub.operator.configure(board.id, {"a": 1})
    mqtt.send("get")  # from now on it is an MQTT board
    assert body_of(mqtt.next("config"))["version"] == 1
    pushed = wait_for(lambda: board.activities("downstreamMessage"))
    assert [item["data"]["kind"] for item in pushed] == ["config"]


def test_calls_that_have_no_topic_leave_a_device_on_mqtt(board: Board, mqtt: MqttBoard) -> None:
    mqtt.send("telemetry", {"telemetries": {"a": 1}})
    wait_for(lambda: state_of(board))
    assert board.post("/incidents", {"title": "Hot", "priority": "low", "issue": "70 C"}).status_code == 200
    assert board.post("/events", {"name": "door", "category": "access"}).status_code == 200
    assert board.get("/incidents").status_code == 200
    assert board.get().status_code == 200
    assert board.post("/children/telemetries", {}).status_code == 200
    assert board.hub.operator.device(board.id)["transport"] == "mqtt"
    command = board.hub.operator.command(board.id, "blink")
    assert body_of(mqtt.next("commands"))["id"] == command["id"]


# ---- sessions


def test_a_session_is_told_when_it_is_up_and_when_it_is_down(board: Board) -> None:
    with MqttBoard(board):
        up = wait_for(lambda: board.activities("clientConnected"))
        assert up[0]["data"] == {"transport": "mqtt", "id": "client_id"}
        assert board.hub.operator.device(board.id)["online"] is True
    down = wait_for(lambda: board.activities("clientDisconnected"))
    assert down[0]["data"] == {"transport": "mqtt", "reason": "disconnected"}
    assert board.hub.operator.device(board.id)["online"] is False


def test_a_connection_that_breaks_is_told_as_lost(board: Board) -> None:
    with MqttBoard(board) as mqtt:
        wait_for(lambda: board.activities("clientConnected"))
        sock = mqtt.client.socket()
        assert sock is not None
        mqtt.client.loop_stop()
        sock.shutdown(socket.SHUT_RDWR)
        down = wait_for(lambda: board.activities("clientDisconnected"))
        assert down[0]["data"]["reason"] == "connection lost"


def test_a_takeover_of_the_session_leaves_the_device_online(board: Board, mqtt: MqttBoard) -> None:
    wait_for(lambda: board.activities("clientConnected"))
    mqtt.client.loop_stop()
    with MqttBoard(board) as second:
        second.send("telemetry", {"telemetries": {"a": 1}})
        wait_for(lambda: state_of(board))
        assert board.hub.operator.device(board.id)["online"] is True


# ---- the broker


def test_lenient_takes_messages_without_user_properties_but_not_wrong_ones(tmp_path: Path) -> None:
    with HubProcess(tmp_path, extra=("--lenient",)) as hub, Board.registered(hub) as board, MqttBoard(board) as mqtt:
        mqtt.send("telemetry", {"telemetries": {"a": 1}}, user=[])
        wait_for(lambda: state_of(board) == {"a": 1})
        mqtt.send("telemetry", {"telemetries": {"a": 2}}, user=[("device_id", board.id), ("access_key", "wrong")])
        assert wait_for(board.refusals) == ["Not authorized"]


@needs_mosquitto
def test_hubs_that_share_a_group_take_each_message_once_also_when_one_is_killed(
    tmp_path: Path, hubs_mosquitto: MosquittoProcess, database_url: str
) -> None:
    shared = ("--share", tmp_path.name, "--database", database_url)
    with (
        HubProcess(tmp_path / "a", broker=hubs_mosquitto.url, extra=shared) as one,
        HubProcess(tmp_path / "b", broker=hubs_mosquitto.url, extra=shared, operator_key=one.operator_key) as two,
        Board.registered(one) as board,
        MqttBoard(board) as mqtt,
    ):

        def send(numbers: range) -> None:
            for n in numbers:
                user = [("device_id", board.id), ("access_key", board.key), ("message_id", f"{n:010d}")]
                mqtt.send("telemetry", {"telemetries": {f"n{n}": n}}, user=user)

        def stored() -> list[int]:
            return sorted(item["number"] for item in one.operator.history(board.id, limit=1000))

        send(range(100))
        wait_for(lambda: len(stored()) == 100, "the first messages")
        assert all(len(hub.operator.activities(device_id=board.id, event="upstreamMessage")) for hub in (one, two))
        two.kill()
        send(range(100, 200))
        two.start()
        wait_for(lambda: len(stored()) >= 200, "all messages", 30)
        assert stored() == list(range(200))
        assert len(state_of(board)) == 200
        assert "Traceback" not in one.output() + two.output()


@needs_mosquitto
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_what_another_broker_acknowledged_is_not_lost_when_the_hub_ends(tmp_path: Path, hubs_mosquitto: MosquittoProcess, how: str) -> None:
    with HubProcess(tmp_path, broker=hubs_mosquitto.url) as hub, Board.registered(hub) as board, MqttBoard(board) as mqtt:
        for n in range(300):
            mqtt.send("telemetry", {"telemetries": {f"n{n}": n}})
            if n == 150:
                getattr(hub, how)()
        hub.start()
        wait_for(lambda: len(state_of(board)) == 300, "every message")


@needs_mosquitto
def test_the_hub_comes_back_when_its_broker_does(tmp_path: Path) -> None:
    with MosquittoProcess() as broker, HubProcess(tmp_path, broker=broker.url) as hub, Board.registered(hub) as board:
        broker.stop()
        wait_for(lambda: "no connection to the broker" in hub.output(), "the loss")
        broker.start()
        wait_for(lambda: hub.output().count("connected to the broker") == 2, "the new connection")
        with MqttBoard(board) as mqtt:
            mqtt.send("telemetry", {"telemetries": {"a": 1}})
            wait_for(lambda: state_of(board) == {"a": 1})


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the broker's process by /proc")
def test_the_embedded_broker_is_started_again_when_it_dies(tmp_path: Path) -> None:
    with HubProcess(tmp_path) as hub, Board.registered(hub) as board:
        with MqttBoard(board) as mqtt:
            mqtt.send("telemetry", {"telemetries": {"a": 1}})
            wait_for(lambda: state_of(board) == {"a": 1})
            mqtt.client.loop_stop()
            os.kill(broker_pid(hub), signal.SIGKILL)
            wait_for(lambda: hub.output().count("connected to the broker") == 2, "the new connection")
            assert wait_for(lambda: board.activities("clientDisconnected"))[0]["data"]["reason"] == "the broker ended"
        with MqttBoard(board) as mqtt:
            mqtt.send("telemetry", {"telemetries": {"a": 2}})
            wait_for(lambda: state_of(board) == {"a": 2})


def test_a_panic_of_the_embedded_broker_ends_it_and_is_shown() -> None:
    code = """
import os, threading
from tools.hub.broker.rumqttd import exit_on_panic
exit_on_panic()
os.write(2, b"all is well\\nthread 'v5' (1) panicked at broker.rs:544:40:\\n")
threading.Event().wait()
"""
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert ran.returncode == PANICKED
    assert "all is well" in ran.stderr and "panicked" in ran.stderr


def test_a_packet_over_the_brokers_limit_costs_only_its_sender(board: Board, mqtt: MqttBoard) -> None:
    mqtt.client.publish(f"v1/device/{board.id}/telemetry", b"x" * 1_000_000, qos=0)
    with Board.registered(board.hub) as other, MqttBoard(other) as second:
        second.send("telemetry", {"telemetries": {"a": 1}})
        wait_for(lambda: state_of(other) == {"a": 1})
