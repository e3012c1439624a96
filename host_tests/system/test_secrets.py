"""A whole run over TLS, with a board, an operator, every facet and every refusal; then everything that was written or sent is searched for
the secrets that were in it.
"""

import json
import re
import ssl
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import paho.mqtt.client as paho
import pytest
from brokers import needs_mosquitto
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from operator_side import Eventually, registered
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tools.board.process import Board
from tools.hub.process import HubProcess

Figure = Callable[[str], None]
OPERATOR_KEY = "planted-operator-key-5c2e"
WRONG = "planted-wrong-key-83d0"
WIFI = "planted-wifi-password-19fb"
KEY_FILES = {"ca.key", "server.pem", "license.key", "rumqttd.json"}  # what each is for


def private_parts(path: Path) -> list[bytes]:
    """The private key in a PEM file, as lines of PEM and as the bytes that are worth knowing."""
    pem = path.read_bytes()
    key = load_pem_private_key(pem, None)
    body = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).splitlines()[1:-1]
    return [line for line in body if len(line) == 64]


def refusals(http: httpx.Client, device_id: str) -> list[str]:
    """Every operation that the hub describes, with a wrong key in every place for one: what it answered."""
    said = []
    for path, methods in http.get("/openapi.json").json()["paths"].items():
        for method in methods:
            for headers in ({"Authorization": WRONG}, {"Authorization": f"Bearer {WRONG}"}, {"X-API-Token": WRONG}):
                answer = http.request(
                    method, re.sub(r"\{\w+\}", device_id, path), headers=headers, json={"apiKey": WRONG, "password": WRONG}
                )
                assert answer.status_code < 500
                said.append(f"{answer.text} {answer.headers}")
    return said


def whisper(hub: HubProcess, device_id: str, key: str) -> None:
    """Messages over MQTT that are refused, with the right key and a wrong one in the wrong places."""
    parts = urlsplit(hub.mqtt_url)
    assert parts.hostname and parts.port
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=device_id, protocol=paho.MQTTv5)
    client.tls_set(str(hub.ca))
    client.username_pw_set(device_id, key)
    client.connect(parts.hostname, parts.port)
    client.loop_start()
    for user in ([("device_id", device_id), ("access_key", WRONG)], [("device_id", WRONG), ("access_key", key)], [("access_key", key)] * 2):
        for end in ("telemetry", "commands/update", "license/update", "config/update", "update"):
            properties = Properties(PacketTypes.PUBLISH)
            properties.UserProperty = user
            client.publish(f"v1/device/{device_id}/{end}", b"{", qos=1, properties=properties).wait_for_publish(10)
    client.disconnect()
    client.loop_stop()


@pytest.mark.parametrize("broker", ["embedded", pytest.param("mosquitto", marks=needs_mosquitto)])
def test_no_secret_is_in_anything_that_was_written_or_sent(
    tmp_path: Path, make_stopped_board: Callable[..., Board], eventually: Eventually, figure: Figure, broker: str
) -> None:
    data = tmp_path / "hub"
    said: list[str] = []
    with HubProcess(data, broker=f"{broker}:0", operator_key=OPERATOR_KEY, tls=True) as hub:
        assert hub.ca
        settings = {"entry": hub.entry_url, "ca": "ca.pem", "sn": "S1", "wifi_password": WIFI}
        board = make_stopped_board(settings, files={"ca.pem": hub.ca.read_bytes()}, heap="320K").start()  # for a dump beside MQTT
        device = registered(hub, eventually)["id"]
        hub.operator.configure(device, {"interval": 5})
        for name in ("ping", "dump", "no-such-command"):
            hub.operator.command(device, name)
        eventually(lambda: {c["status"] for c in hub.operator.commands(device)} <= {"done", "failed"}, timeout=40, what="the commands")
        assert hub.operator.dumps(device)
        with httpx.Client(base_url=hub.url, verify=ssl.create_default_context(cafile=hub.ca)) as http:
            said += refusals(http, device)
            login = http.post("/kapua/v1/authentication/apikey", json={"apiKey": OPERATOR_KEY}).json()
            tokens = [login["tokenId"], login["refreshToken"]]
            kapua = {"Authorization": f"Bearer {login['tokenId']}"}
            said.append(http.get("/kapua/v1/_/devices", headers=kapua).text)
            made = http.post("/span/operator/tokens", headers={"Authorization": OPERATOR_KEY}, json={}).json()
            tokens += [value for value in made.values() if isinstance(value, str) and len(value) > 30]
            for token in tokens:
                said.append(http.get("/span/collections", headers={"X-API-Token": token}).text)
                said.append(http.get("/span/collections", params={"api_token": token}).text)
        said += [json.dumps(hub.operator.activities()), json.dumps([hub.operator.device(device), hub.operator.history(device)])]
        board.kill()
        names = [name for name in board.list_files() if "credentials" in name]
        stored = b"".join(board.read_file(name) for name in names)
        keys = [key.decode() for key in re.findall(rb'"access_key": ?"([^"]+)"', stored)]
        assert len(set(keys)) == 1, "the board's own key is known"
        whisper(hub, device, keys[0])
        eventually(lambda: len([a for a in hub.operator.activities(device_id=device) if "refused" in a["data"]]) > 3, what="the refusals")
        said += [json.dumps(hub.operator.activities()), "\n".join(board.lines)]
        held = b""
        if broker == "embedded":
            held = json.loads((data / "rumqttd.json").read_text())["token"].encode()
    secrets = [OPERATOR_KEY.encode(), WRONG.encode(), WIFI.encode(), *(key.encode() for key in keys), *(token.encode() for token in tokens)]
    secrets += [held] if held else []
    in_keys = [line for name in ("ca.key", "server.pem", "license.key") for line in private_parts(data / name)]
    files = {path: path.read_bytes() for path in data.rglob("*") if path.is_file() and path.name not in KEY_FILES}
    assert any(path.name == "hub.log" for path in files) and any(path.suffix == ".sqlite" for path in files)
    for secret in secrets + in_keys:
        assert not [text[:200] for text in said if secret in text.encode()], secret
        assert not [path.name for path, content in files.items() if secret in content], secret
    size = sum(map(len, said)) + sum(map(len, files.values()))
    figure(f"{broker}: {len(secrets + in_keys)} secrets in none of {len(said)} answers and {len(files)} files, {size:,} bytes")
