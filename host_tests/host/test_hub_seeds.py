"""The examples of seeds 000 and 001 as they stand there, value for value: what a device sends, and what the hub sends it."""

import calendar
import json
from typing import Any

import pytest
from xyte_bench import DEVICES, OPERATOR, Bench, Device

from tools.hub.facets import mqtt_sender
from tools.hub.facets.mqtt_sender import Incoming
from tools.hub.facets.xyte import mqtt as xyte_mqtt
from tools.hub.store.unit import Push

FILE_ID = "f62e0c28-5ce2-4590-a6cf-2f255a338544"
LAST_UPDATED = "2021-08-04T07:45:44.122Z"


class Cloud:
    """The MQTT side of one device without a broker: what it sends goes in, what the hub would publish comes out."""

    def __init__(self, bench: Bench, device: Device) -> None:
        self.bench = bench
        self.device = device
        self._pushes: list[Push] = []
        bench.hub.on_push(self._pushes.append)
        self._facet = xyte_mqtt.XyteMqtt.__new__(xyte_mqtt.XyteMqtt)
        self._facet._hub = bench.hub

    def send(self, end: str, body: Any = None) -> None:
        """With the user properties of the seed."""
        user = (("device_id", self.device.id), ("access_key", self.device.key))
        incoming = Incoming(self.device.id, end, b"" if body is None else json.dumps(body).encode(), user)
        self.bench.do(lambda unit: self._facet._work(incoming, unit))

    def published(self) -> list[tuple[str, Any, str | None, bytes | None]]:
        """Since the last look: topic without v1/device/ID/, payload, response topic likewise, correlation data."""
        start = f"v1/device/{self.device.id}/"
        found = []
        for item in self._pushes:
            topic, payload, properties = xyte_mqtt.outgoing(item, self.bench.now)
            response = getattr(properties, "ResponseTopic", None)
            assert topic.startswith(start) and (response is None or response.startswith(start))
            found.append(
                (
                    topic.removeprefix(start),
                    json.loads(payload),
                    None if response is None else response.removeprefix(start),
                    getattr(properties, "CorrelationData", None),
                )
            )
        self._pushes.clear()
        return found


@pytest.fixture
def cloud(bench: Bench, device: Device) -> Cloud:
    made = Cloud(bench, device)
    made.send("telemetry", {"status": "online"})  # it speaks MQTT from now on
    made.published()
    return made


def at(bench: Bench, text: str) -> None:
    bench.now = calendar.timegm(
        tuple(int(part) for part in (text[:4], text[5:7], text[8:10], text[11:13], text[14:16], text[17:19]))
    ) + float(text[19:] or 0)


def test_seed_000_the_reply_to_telemetry(bench: Bench) -> None:
    device = bench.device(claimed=False)
    bench.set_latest(device, latest_fw_version="1.3.4", latest_fw_file_id="xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx")
    bench.operator("POST", f"{OPERATOR}/devices/{device.id}/licenses", {"name": "recording"})
    for space in ("a", "b", "c", "d"):
        bench.operator("PATCH", f"{DEVICES}/{device.id}", {"space_id": space})
    examples = [
        {"status": "online", "timestamp": LAST_UPDATED, "telemetries": {"fan_speed": 100.1, "connection": "4g", "usbc": True}},
        {"status": "error", "telemetries": {"input": "Unknown"}, "message": "Unknown input connected"},
    ]
    for example in examples:
        answer = device.post("/telemetry", example)
        assert answer.status_code == 200
        assert answer.json() == {
            "config_version": 0,
            "command": False,
            "info_version": 0,
            "new_licenses": True,
            "latest_fw_version": "1.3.4",
            "latest_fw_file_id": "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx",
            "space_data_version": 4,
            "success": True,
        }
    state = bench.operator("GET", f"{DEVICES}/{device.id}/telemetry")
    assert state["telemetries"] == {"fan_speed": 100.1, "connection": "4g", "usbc": True, "status": "error", "input": "Unknown"}
    assert (state["status"], state["message"]) == ("error", "Unknown input connected")


def test_seed_001_send_telemetry(cloud: Cloud) -> None:
    cloud.send("telemetry", {
        "status": "online", "timestamp": LAST_UPDATED, "telemetries": {"fan_speed": 100.1, "connection": "4g", "usbc": True},
    })  # fmt: skip
    state = cloud.bench.operator("GET", f"{DEVICES}/{cloud.device.id}/telemetry")
    # what the fixture sent has no timestamp, so it is newer than the seed's: only what it did not set is taken
    assert {name: state["telemetries"][name] for name in ("fan_speed", "connection", "usbc")} == {
        "fan_speed": 100.1, "connection": "4g", "usbc": True,
    }  # fmt: skip
    assert cloud.published() == []


def test_seed_001_get_config_and_update_config(bench: Bench, cloud: Cloud) -> None:
    at(bench, "2021-08-04T07:45:44.122")
    bench.operator("PATCH", f"{DEVICES}/{cloud.device.id}", {"configuration": {"interval": 60, "label": "x"}})
    sent = {"version": 1, "last_updated": LAST_UPDATED, "interval": 60, "label": "x"}
    assert cloud.published() == [("config", sent, "config/update", b"1")]
    cloud.send("config/update", {**sent, "version": "1"})  # the seed shows the version as a text
    shown = bench.operator("GET", f"{DEVICES}/{cloud.device.id}")
    assert (shown["config_version"], shown["device_config_version"], shown["configuration_state"]) == (1, 1, "applied")
    assert cloud.published() == []


def test_seed_001_get_command_and_update_command(bench: Bench, cloud: Cloud) -> None:
    parameters = {"url": "https://s3.amazonaws.com/xxxx.zip", "version": "1.3.4"}
    command = bench.command(cloud.device, "update_firmware", extra_params=parameters)["id"]
    body = {"id": command, "status": "pending", "name": "update_firmware", "parameters": parameters}
    assert cloud.published() == [("commands", body, "commands/update", command.encode())]
    cloud.send("commands/update", {"status": "done", "message": "great, success!", "id": command})
    (shown,) = bench.items(f"{DEVICES}/{cloud.device.id}/commands")
    assert (shown["status"], shown["message"]) == ("done", "great, success!")


def test_seed_001_get_license_and_update_license(bench: Bench, cloud: Cloud) -> None:
    license = bench.operator("POST", f"{OPERATOR}/devices/{cloud.device.id}/licenses", {"name": "recording"})
    ((topic, body, response, correlation),) = cloud.published()
    assert (topic, response, correlation) == ("license", "license/update", license["id"].encode())
    more = {name: body.pop(name) for name in ("expires_at", "current_time")}  # reference xyte §2 has these two beside
    assert more == {"expires_at": None, "current_time": "2026-11-21T12:00:00.000Z"}
    assert body == {
        "data": license["data"], "signature": license["signature"], "id": license["id"], "add": True, "update": False, "remove": False,
    }  # fmt: skip
    cloud.send("license/update", {"id": license["id"], "state": "done", "error": "great not success!"})
    assert cloud.device.refusals() == ["Only allowed to set: inuse/removed/error"], "the seed's own list of values has no `done`"


def test_seed_001_get_space_info(bench: Bench, cloud: Cloud) -> None:
    at(bench, "2022-03-17T09:55:28")
    space = bench.operator("GET", f"{DEVICES}/{cloud.device.id}")["space"]["id"]
    info = {"coordinates": {"lat": 51.165691, "lng": 10.451526}, "utc_offset": 60, "location": "Germany"}
    bench.operator("PUT", f"{OPERATOR}/spaces/{space}", {"name": "Interactive Class", "info": info})
    body = {
        "location": {"coordinates": {"lat": 51.165691, "lng": 10.451526}, "utc_offset": 60, "name": "Germany"},
        "temperature_units": "celsius",
        "maintenance": False,
        "name": "Interactive Class",
        "local_time": "2022-03-17T10:55:28+01:00",
    }
    assert cloud.published() == [("space_info", body, None, None)]
    assert cloud.device.get("/space").json() == body, "HTTP and MQTT say the same"


def test_seed_001_get_firmware_version(bench: Bench, cloud: Cloud) -> None:
    body = {"latest_fw_version": "1.0.8", "latest_fw_file_id": FILE_ID}
    bench.set_latest(cloud.device, **body)
    assert cloud.published() == [("firmware", body, None, None)]


def test_seed_001_update_device_and_set_cloud_settings(bench: Bench, cloud: Cloud) -> None:
    cloud.send("update", {"firmware_version": "VERSION", "name": "NAME"})
    cloud.send("cloud_settings/update", {"property": "property_name", "value": "property_value"})
    shown = bench.operator("GET", f"{DEVICES}/{cloud.device.id}")
    assert (shown["firmware_version"], shown["name"]) == ("VERSION", "NAME")
    assert shown["cloud_settings"] == {"property_name": "property_value"}


def test_seed_001_get_latest_snapshot(bench: Bench, cloud: Cloud) -> None:
    bench.operator("PATCH", f"{DEVICES}/{cloud.device.id}", {"configuration": {"interval": 60}})
    bench.command(cloud.device, "first")
    bench.command(cloud.device, "second")
    for name in ("a", "b"):
        bench.operator("POST", f"{OPERATOR}/devices/{cloud.device.id}/licenses", {"name": name})
    bench.set_latest(cloud.device, latest_fw_version="1.0.8", latest_fw_file_id=FILE_ID)
    cloud.published()
    cloud.send("get")
    assert [topic for topic, *_ in cloud.published()] == ["space_info", "config", "commands", "license", "license", "firmware"]
    cloud.send("update", {"firmware_version": "1.0.8"})
    cloud.send("get")
    assert "firmware" not in [topic for topic, *_ in cloud.published()], "only where the versions differ"


def test_a_message_of_the_seed_needs_its_user_properties(bench: Bench, cloud: Cloud) -> None:
    incoming = Incoming(cloud.device.id, "get", b"", ())
    bench.do(lambda unit: mqtt_sender.take(bench.hub, unit, incoming, "snapshot", lambda _device: pytest.fail("it was taken")))
    assert cloud.device.refusals() == ["Not authorized: no user property device_id"]
