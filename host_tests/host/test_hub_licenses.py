"""Licences at the hub: seed 001 and reference xyte §2 and §4 over both transports, the signing key, and the firmware's own judgement."""

import asyncio
import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from brokers import each_broker
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from databases import url_in
from hub_support import TRUST, Board, MqttBoard, RunHub, assert_refused, body_of
from waiting import wait_for

from tools.hub.client import HubError
from tools.hub.domain import devices, licenses
from tools.hub.domain.model import Device, get_device
from tools.hub.process import HubProcess, ProcessError
from tools.hub.security.signer import Signer
from tools.hub.store.store import Store
from tools.hub.store.unit import Unit
from tools.paths import FIRMWARE, ROOT

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
LATER = "2099-01-31T12:00:00.000Z"
ILLEGAL = {"error": "Only allowed to set: inuse/removed/error"}


board_broker = each_broker  # what goes over MQTT runs on both


@pytest.fixture
def polling(hub: HubProcess) -> Iterator[Board]:
    """A board that polls over HTTP."""
    with Board.registered(hub) as made:
        made.post("/telemetry", {})
        yield made


def only(board: Board) -> dict[str, Any]:
    """The device's one licence as the operator sees it."""
    (license,) = board.hub.operator.licenses(board.id)
    return license


def add(board: Board, name: str = "recording", **more: Any) -> dict[str, Any]:
    return board.hub.operator.add_license(board.id, name, **more)


def answer(board: Board, license_id: str, state: str, **more: Any) -> httpx.Response:
    return board.post("/licenses", {"id": license_id, "state": state, **more})


def has_new(board: Board) -> bool:
    return bool(board.post("/telemetry", {}).json()["new_licenses"])


def verify(hub: HubProcess, license: dict[str, Any]) -> None:
    """Raises InvalidSignature."""
    key = serialization.load_pem_public_key(hub.operator.license_key().encode())
    assert isinstance(key, rsa.RSAPublicKey)
    key.verify(base64.b64decode(license["signature"], validate=True), license["data"].encode(), padding.PKCS1v15(), hashes.SHA256())


# ---- what is signed


def test_a_licence_is_signed_and_its_data_is_what_the_firmware_reads(hub: HubProcess, polling: Board) -> None:
    add(polling, expires_at="2099-01-31T13:00:00+01:00", fields={"seats": 5, "trial": False, "note": None, "label": "Größe ✓"})
    license = polling.get("/license").json()
    verify(hub, license)
    data = json.loads(license["data"])
    assert TIME.fullmatch(data.pop("issued_at"))
    assert data == {
        "id": license["id"], "name": "recording", "device_id": polling.id, "expires_at": LATER, "seats": 5, "trial": False, "note": None,
        "label": "Größe ✓",
    }  # fmt: skip
    assert license["data"].isascii()
    with pytest.raises(InvalidSignature):
        verify(hub, {**license, "data": license["data"].replace('"seats":5', '"seats":6')})


def test_a_licence_that_never_expires_says_so(polling: Board) -> None:
    add(polling)
    license = polling.get("/license").json()
    assert license["expires_at"] is None
    assert "expires_at" not in json.loads(license["data"])


def test_no_two_licences_have_the_same_data_or_issue_time(hub: HubProcess, polling: Board) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: add(polling), range(40)))
    listed = hub.operator.licenses(polling.id)
    assert len({item["issued_at"] for item in listed}) == len({item["data"] for item in listed}) == 40


BAD = [
    {}, {"name": ""}, {"name": 5}, {"name": "x" * 65}, {"name": "é"}, {"name": " x"}, {"name": "x", "expires_at": "soon"},
    {"name": "x", "expires_at": 5}, {"name": "x", "expires_at": "1900-01-01T00:00:00Z"}, {"name": "x", "fields": []},
    {"name": "x", "fields": {"a": []}}, {"name": "x", "fields": {"a": "x" * 1024}}, {"name": "x", "fields": {"a": "é" * 200}},
    *({"name": "x", "fields": {taken: "x"}} for taken in licenses._OURS),
]  # fmt: skip


@pytest.mark.parametrize("body", BAD, ids=range(len(BAD)))
def test_a_licence_that_the_firmware_could_not_take_is_422(hub: HubProcess, polling: Board, body: dict[str, Any]) -> None:
    url = f"{hub.url}/xyte/operator/devices/{polling.id}/licenses"
    refused = httpx.post(url, headers={"Authorization": hub.operator_key}, json=body)
    assert refused.status_code == 422
    assert refused.json()["error"].startswith("Invalid ")
    assert hub.operator.licenses(polling.id) == []


# ---- over HTTP


def test_get_license_and_get_licenses_have_the_shapes_of_the_reference(polling: Board) -> None:
    first, second = add(polling, "a", expires_at=LATER), add(polling, "b")
    single = polling.get("/license").json()
    current = single.pop("current_time")
    assert TIME.fullmatch(current)
    assert single == {
        "id": first["id"], "device_id": polling.id, "data": first["data"], "signature": first["signature"], "action": "add",
        "expires_at": LATER,
    }  # fmt: skip
    listed = polling.get("/licenses").json()
    assert [item["id"] for item in listed] == [first["id"], second["id"]]
    assert set(listed[0]) == {"id", "device_id", "data", "signature", "add", "remove", "update", "expires_at", "current_time"}
    assert [(item["add"], item["update"], item["remove"]) for item in listed] == [(True, False, False)] * 2


def test_a_licence_is_offered_until_the_device_has_answered(polling: Board) -> None:
    assert has_new(polling) is False
    assert (polling.get("/license").json(), polling.get("/licenses").json()) == ({}, [])
    license = add(polling)
    for _ in range(3):
        assert has_new(polling) is True
        assert polling.get("/license").json()["id"] == license["id"]
    assert only(polling)["state"] == "pending"
    taken = answer(polling, license["id"], "inuse")
    assert (taken.status_code, taken.json()) == (200, {"id": license["id"], "state": "inuse", "error": None})
    assert has_new(polling) is False
    assert polling.get("/license").json() == {}
    assert only(polling)["state"] == "inuse"


def test_the_loop_of_the_reference_ends_when_there_is_nothing_left(polling: Board) -> None:
    for name in ("a", "b", "c"):
        add(polling, name)
    names = []
    while license := polling.get("/license").json():
        names.append(json.loads(license["data"])["name"])
        assert answer(polling, license["id"], "inuse").status_code == 200
    assert names == ["a", "b", "c"]


def test_the_devices_error_is_shown_to_the_operator(polling: Board) -> None:
    license = add(polling)
    assert answer(polling, license["id"], "error", error="great not success!").status_code == 200
    shown = only(polling)
    assert (shown["state"], shown["error"], shown["held"]) == ("error", "great not success!", False)
    assert has_new(polling) is False


@pytest.mark.parametrize(("given", "shown"), [(None, ""), ({"code": 5}, '{"code": 5}'), ("x" * 5000, "x" * 1024)])
def test_an_odd_error_is_kept_as_a_bounded_text(polling: Board, given: Any, shown: str) -> None:
    answer(polling, add(polling)["id"], "error", error=given)
    assert only(polling)["error"] == shown


def test_a_renewal_is_an_update_with_newer_data(hub: HubProcess, polling: Board) -> None:
    license = add(polling, expires_at=LATER, fields={"seats": 5})
    answer(polling, license["id"], "inuse")
    hub.operator.renew_license(polling.id, license["id"], "2100-01-01T00:00:00Z")
    offered = polling.get("/license").json()
    verify(hub, offered)
    old, new = json.loads(license["data"]), json.loads(offered["data"])
    assert (offered["action"], offered["expires_at"]) == ("update", "2100-01-01T00:00:00.000Z")
    assert (new["expires_at"], new["seats"], new["id"]) == ("2100-01-01T00:00:00.000Z", 5, license["id"])
    assert new["issued_at"] > old["issued_at"]
    assert [item["update"] for item in polling.get("/licenses").json()] == [True]
    answer(polling, license["id"], "inuse")
    assert (only(polling)["state"], only(polling)["action"]) == ("inuse", "update")
    hub.operator.renew_license(polling.id, license["id"], None, {"seats": 6})
    assert json.loads(polling.get("/license").json()["data"]).keys() == {"id", "name", "device_id", "issued_at", "seats"}


def test_a_removal_is_offered_and_answered(hub: HubProcess, polling: Board) -> None:
    license = add(polling)
    answer(polling, license["id"], "inuse")
    hub.operator.remove_license(polling.id, license["id"])
    assert (only(polling)["state"], only(polling)["action"], only(polling)["held"]) == ("pending", "remove", True)
    assert hub.operator.remove_license(polling.id, license["id"])["state"] == "pending"
    assert polling.get("/license").json()["action"] == "remove"
    assert answer(polling, license["id"], "removed").json()["state"] == "removed"
    assert hub.operator.remove_license(polling.id, license["id"])["state"] == "removed"
    assert (only(polling)["state"], only(polling)["held"]) == ("removed", False)
    hub.operator.renew_license(polling.id, license["id"], None)
    assert polling.get("/license").json()["action"] == "add"


def test_a_renewal_of_what_never_came_to_be_in_use_is_an_addition(hub: HubProcess, polling: Board) -> None:
    license = add(polling)
    answer(polling, license["id"], "error", error="no room")
    renewed = hub.operator.renew_license(polling.id, license["id"], None)
    assert (renewed["action"], renewed["state"], renewed["error"]) == ("add", "pending", None)


@pytest.mark.parametrize("final", ["inuse", "error"])
def test_an_answer_is_final_until_the_operator_changes_the_licence(hub: HubProcess, polling: Board, final: str) -> None:
    license = add(polling)
    assert answer(polling, license["id"], final).status_code == 200
    assert answer(polling, license["id"], final).status_code == 200
    for other in {"inuse", "removed", "error"} - {final}:
        refused = answer(polling, license["id"], other)
        assert (refused.status_code, refused.json()) == (403, {"error": f"License is already {final}"})
    assert only(polling)["state"] == final
    hub.operator.renew_license(polling.id, license["id"], None)
    assert only(polling)["state"] == "pending"


def test_an_answer_from_before_a_renewal_does_not_answer_the_renewal(hub: HubProcess, polling: Board) -> None:
    license = add(polling)
    polling.get("/license")
    hub.operator.renew_license(polling.id, license["id"], LATER)
    assert answer(polling, license["id"], "inuse").status_code == 200
    assert (only(polling)["state"], has_new(polling)) == ("pending", True)
    polling.get("/license")
    answer(polling, license["id"], "inuse")
    assert (only(polling)["state"], has_new(polling)) == ("inuse", False)


def test_an_answer_to_an_addition_does_not_answer_the_removal(hub: HubProcess, polling: Board) -> None:
    """The vendor's agent says inuse to whatever it gets, and takes a 403 for its end (reference xyte §5)."""
    license = add(polling)
    hub.operator.remove_license(polling.id, license["id"])
    polling.get("/license")
    for _ in range(2):
        assert answer(polling, license["id"], "inuse").status_code == 200
    assert (only(polling)["state"], only(polling)["held"]) == ("pending", True)
    assert answer(polling, license["id"], "removed").json()["state"] == "removed"


@pytest.mark.parametrize("state", ["done", "pending", "", None, 5, [], "INUSE"])
def test_an_illegal_state_is_403_in_the_vendors_words(polling: Board, state: Any) -> None:
    for license_id in (add(polling)["id"], "nothing"):
        refused = polling.post("/licenses", {"id": license_id, "state": state, "error": "great not success!"})
        assert (refused.status_code, refused.json()) == (403, ILLEGAL)
    assert only(polling)["state"] == "pending"


def test_an_answer_without_an_id_is_422_and_to_another_devices_licence_404(hub: HubProcess, polling: Board) -> None:
    with Board.registered(hub) as other:
        theirs = add(other)
        assert answer(polling, theirs["id"], "inuse").status_code == 404
        assert only(other)["state"] == "pending"
    for bad in ({"state": "inuse"}, {"id": 5, "state": "inuse"}, {"id": "x" * 300, "state": "inuse"}):
        assert polling.post("/licenses", bad).status_code == 422


# ---- over MQTT


def test_a_licence_is_pushed_as_the_seed_shows_it_and_answered(board: Board, mqtt: MqttBoard) -> None:
    license = add(board, expires_at=LATER)
    message = mqtt.next("license")
    assert (message.qos, message.retain) == (1, False)
    body = body_of(message)
    assert TIME.fullmatch(body.pop("current_time"))
    assert body == {
        "data": license["data"], "signature": license["signature"], "id": license["id"], "add": True, "update": False, "remove": False,
        "expires_at": LATER,
    }  # fmt: skip
    verify(board.hub, body)
    assert message.properties.ResponseTopic == f"v1/device/{board.id}/license/update"
    assert message.properties.CorrelationData == license["id"].encode()
    mqtt.send("license/update", {"id": license["id"], "state": "inuse"})
    wait_for(lambda: only(board)["state"] == "inuse")


def test_the_seeds_own_answer_is_refused_for_its_state(board: Board, mqtt: MqttBoard) -> None:
    """Seed 001 "Update License" writes "done", and below it that only inuse, removed and error are possible."""
    license = add(board)
    mqtt.send("license/update", {"id": license["id"], "state": "done", "error": "great not success!"})
    assert wait_for(board.refusals) == [ILLEGAL["error"]]
    mqtt.send("license/update", {"id": license["id"], "state": "error", "error": "great not success!"})
    wait_for(lambda: only(board)["state"] == "error")
    assert only(board)["error"] == "great not success!"


def test_a_renewal_and_a_removal_are_pushed(board: Board, mqtt: MqttBoard) -> None:
    license = add(board)
    mqtt.next("license")
    mqtt.send("license/update", {"id": license["id"], "state": "inuse"})
    wait_for(lambda: only(board)["state"] == "inuse")
    board.hub.operator.renew_license(board.id, license["id"], LATER)
    body = body_of(mqtt.next("license"))
    verify(board.hub, body)
    assert (body["add"], body["update"], body["remove"], body["expires_at"]) == (False, True, False, LATER)
    board.hub.operator.remove_license(board.id, license["id"])
    body = body_of(mqtt.next("license"))
    assert (body["add"], body["update"], body["remove"]) == (False, False, True)
    mqtt.send("license/update", {"id": license["id"], "state": "removed"})
    wait_for(lambda: only(board)["state"] == "removed")


def test_what_is_not_answered_is_in_every_snapshot_in_the_place_of_the_seed(board: Board) -> None:
    operator = board.hub.operator
    with MqttBoard(board) as mqtt:
        mqtt.send("telemetry", {})
        wait_for(lambda: board.activities("upstreamMessage"))
    first, second = add(board, "a"), add(board, "b")
    operator.command(board.id, "ping")
    operator.set_model(board.asked["hardware_key"], latest_fw_version="9.0.0")
    wait_for(lambda: len(board.activities("downstreamMessage")) == 4, "the pushes that nobody takes")
    with MqttBoard(board) as mqtt:
        for _ in range(2):
            mqtt.send("get")
            messages = [mqtt.next() for _ in range(5)]
            assert [item.topic.rsplit("/", 1)[1] for item in messages] == ["config", "commands", "license", "license", "firmware"]
            assert [body_of(item)["id"] for item in messages[2:4]] == [first["id"], second["id"]]
        mqtt.send("license/update", {"id": first["id"], "state": "inuse"})
        mqtt.send("get")
        messages = [mqtt.next() for _ in range(4)]
        assert body_of(messages[2])["id"] == second["id"]


# ---- activities


def test_what_happens_to_a_licence_is_told(hub: HubProcess, polling: Board) -> None:
    before = polling.activities()[-1]["seq"]
    license = add(polling)
    polling.get("/license")
    polling.get("/licenses")
    answer(polling, license["id"], "inuse")
    polling.get("/license")
    hub.operator.remove_license(polling.id, license["id"])
    told = hub.operator.activities(since=before, device_id=polling.id)
    updated = {"by": "operator", "changed": "license", "license": license["id"]}
    assert [(item["event"], {key: value for key, value in item["data"].items() if key != "bytes"}) for item in told] == [
        ("deviceUpdated", {**updated, "action": "add"}),
        ("downstreamMessage", {"transport": "http", "kind": "license"}),
        ("downstreamMessage", {"transport": "http", "kind": "license"}),
        ("upstreamMessage", {"transport": "http", "kind": "license"}),
        ("deviceUpdated", {**updated, "action": "remove"}),
    ]


def test_a_push_and_its_answer_are_told(board: Board, mqtt: MqttBoard) -> None:
    license = add(board)
    mqtt.next("license")
    mqtt.send("license/update", {"id": license["id"], "state": "inuse"})
    wait_for(lambda: board.activities("upstreamMessage"))
    down, up = board.activities("downstreamMessage")[0]["data"], board.activities("upstreamMessage")[0]["data"]
    assert (down["transport"], down["kind"]) == (up["transport"], up["kind"]) == ("mqtt", "license")


# ---- the operator


def test_the_operators_licence_calls_need_the_operator_key_and_a_device(hub: HubProcess, polling: Board) -> None:
    license = add(polling)
    base = f"{hub.url}/xyte/operator/devices/{polling.id}/licenses"
    calls = [("GET", base), ("POST", base), ("PUT", f"{base}/{license['id']}"), ("DELETE", f"{base}/{license['id']}")]
    for method, url in [*calls, ("GET", f"{hub.url}/xyte/operator/license-key")]:
        for key in ("", "wrong", polling.key):
            assert httpx.request(method, url, headers={"Authorization": key}, json={}, verify=TRUST).status_code == 401, (method, url)
    assert only(polling) == license
    unknown: list[Callable[[], object]] = [
        lambda: hub.operator.licenses("nobody"), lambda: hub.operator.add_license("nobody", "x"),
        lambda: hub.operator.renew_license(polling.id, "nothing", None), lambda: hub.operator.remove_license(polling.id, "nothing"),
    ]  # fmt: skip
    for call in unknown:
        with pytest.raises(HubError) as caught:
            call()
        assert caught.value.status == 404


def test_a_deleted_device_takes_its_licences_with_it(hub: HubProcess) -> None:
    with Board.registered(hub) as board:
        add(board)
        hub.operator.delete(board.id)
    with Board.registered(hub, sn=board.asked["sn"], mac=board.asked["mac"]) as again:
        assert again.get("/license").json() == {}


def test_licences_are_bounded_and_removed_ones_are_forgotten_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(licenses, "LICENSES_MAX", 3)
    monkeypatch.setattr(licenses, "REMOVED_MAX", 2)

    async def scenario() -> None:
        store = Store(url_in(tmp_path), lambda _unit: None)
        store.open()
        try:
            body = {"sn": "1", "mac": "aa", "hardware_key": "k", "firmware_version": "1"}
            device_id = (await store.write(lambda unit: devices.register(unit, body))).id

            async def do(work: Callable[[Unit, Device], Any]) -> Any:
                return await store.write(lambda unit: work(unit, get_device(unit.db, device_id)))

            def give(unit: Unit, device: Device) -> licenses.License:
                return licenses.add(unit, device, {"name": "x"}, lambda _text: "signature")

            given = [await do(give) for _ in range(3)]
            with pytest.raises(licenses.Invalid, match="3 licences"):
                await do(give)
            for license in given:
                await do(lambda unit, device, i=license.id: licenses.remove(unit, device, i))
                await do(lambda unit, device, i=license.id: licenses.report(unit, device, {"id": i, "state": "removed"}))
            assert [item.id for item in await store.read(lambda db: licenses.list_licenses(db, device_id, 10, 0))] == [
                item.id for item in given[1:]
            ]
            await do(give)
        finally:
            await store.close()

    asyncio.run(scenario())


# ---- the key


def test_the_key_is_made_once_private_and_shown_by_the_command_and_the_route(tmp_path: Path, run_hub: RunHub) -> None:
    data = tmp_path / "new" / "data"
    before = run_hub("license-key", "--data", str(data))
    assert before.status == 0
    assert f"{data} is new" in before.error, "a --data that was mistyped is to be seen"
    with HubProcess(data) as hub:
        shown = hub.operator.license_key()
        while_running = run_hub("license-key", "--data", str(data))
        assert while_running.error == ""
        answer = httpx.get(f"{hub.url}/xyte/operator/license-key", headers={"Authorization": hub.operator_key}).json()
        with Board.registered(hub) as board:
            license = add(board)
            hub.stop()
            hub.start()
            assert board.get("/license").json()["signature"] == license["signature"]
            verify(hub, license)
        output = hub.output()
    assert before.out == shown == while_running.out
    assert (answer["algorithm"], answer["encoding"]) == ("pkcs1v15-sha256", "base64")
    key = serialization.load_pem_public_key(shown.encode())
    assert isinstance(key, rsa.RSAPublicKey)
    assert key.key_size == 2048
    assert (data / "license.key").stat().st_mode & 0o777 == 0o600
    secret = (data / "license.key").read_text().splitlines()[3]
    assert secret not in before.out + output
    assert [path.name for path in data.glob("*.new")] == []


def test_hubs_that_share_a_database_can_share_the_key(tmp_path: Path, run_hub: RunHub) -> None:
    file = tmp_path / "shared.pem"
    shown = {run_hub("license-key", "--data", str(tmp_path / name), "--license-key", str(file)).out for name in "ab"}
    assert len(shown) == 1
    assert file.exists()


def test_who_makes_the_key_at_the_same_moment_has_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        shown = set(pool.map(lambda _: Signer.kept(tmp_path / "key").public_pem(), range(4)))
    assert len(shown) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def pem_of(key: Any, password: bytes | None = None) -> bytes:
    hidden = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    found: bytes = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden)
    return found


def bad_keys() -> dict[str, bytes]:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    return {
        "empty": b"", "text": b"planted-secret", "curve": pem_of(ec.generate_private_key(ec.SECP256R1())), "weak": pem_of(weak),
        "locked": pem_of(weak, b"planted-secret"), "binary": os.urandom(2000),
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["empty", "text", "curve", "weak", "locked", "binary"])
def test_a_key_file_that_is_none_is_named_and_not_replaced(tmp_path: Path, run_hub: RunHub, kind: str) -> None:
    file = tmp_path / "license.key"
    content = bad_keys()[kind]
    file.write_bytes(content)
    for arguments in (("license-key",), ("--port", "0", "--broker", "embedded:0")):
        result = run_hub(*arguments, "--data", str(tmp_path))
        assert_refused(result, "--license-key", str(file), "RSA key in PEM")
        assert result.out == "" and "planted-secret" not in result.error
    assert file.read_bytes() == content


def test_a_key_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProcessError, match="--license-key"):
        HubProcess(tmp_path, extra=("--license-key", str(tmp_path / "nowhere" / "key"))).start()


# ---- the firmware's judgement

DEVICE = """
import json, sys
sys.path[:0] = sys.argv[1:]
from redpoll.clock import Clock
from redpoll.cloud.timestamps import parse_iso
from redpoll.licenses import Licenses
from scratch import Ticks

setup = json.loads(sys.stdin.readline())
clock = Clock(Ticks(), lambda: parse_iso(setup["now"]))
licenses = Licenses("licenses", clock, setup["key"], own=lambda: {"device_id": setup["device_id"]})
for line in sys.stdin:
    message = json.loads(line)
    action = next(name for name in ("add", "update", "remove") if message.get(name) or message.get("action") == name)
    answer = licenses.on_license(message["id"], action, message)
    print("ANSWER", json.dumps([*answer, licenses.names()]), flush=True)
"""


class Firmware:
    """The firmware's licences module in a process of its own, on CPython."""

    def __init__(self, board: Board, folder: Path, now: str) -> None:
        paths = (ROOT / "host_tests" / "shim", FIRMWARE, ROOT / "host_tests" / "device")
        command = [sys.executable, "-c", DEVICE, *map(str, paths)]
        self._process = subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._write({"key": board.hub.operator.license_key(), "device_id": board.id, "now": now})

    def told(self, message: dict[str, Any]) -> tuple[str, str | None, list[str]]:
        """State, reason, and the names that are valid then."""
        self._write(message)
        assert self._process.stdout is not None
        for line in self._process.stdout:  # its log is there too
            if line.startswith("ANSWER "):
                state, reason, names = json.loads(line.removeprefix("ANSWER "))
                return state, reason, names
        raise AssertionError("the firmware's process has ended")

    def close(self) -> None:
        self._process.communicate(timeout=10)

    def _write(self, item: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(item) + "\n")
        self._process.stdin.flush()


@pytest.fixture
def firmware(polling: Board, tmp_path: Path) -> Iterator[Firmware]:
    if not (FIRMWARE / "redpoll" / "licenses.py").exists():
        pytest.skip("the firmware has no licences module")
    made = Firmware(polling, tmp_path, polling.hub.operator.device(polling.id)["last_seen_at"])
    yield made
    made.close()


def test_the_firmware_takes_what_the_hub_signs(hub: HubProcess, polling: Board, firmware: Firmware) -> None:
    first, second = add(polling, "recording", expires_at=LATER), add(polling, "zoom", fields={"label": "Größe ✓ 😀"})
    for license, names in ((first, ["recording"]), (second, ["recording", "zoom"])):
        offered = polling.get("/license").json()
        assert firmware.told(offered) == ("inuse", None, names)
        assert firmware.told(polling.get("/licenses").json()[0]) == ("inuse", None, names)  # once more, in the other shape
        answer(polling, license["id"], "inuse")
    hub.operator.renew_license(polling.id, first["id"], "2100-01-01T00:00:00Z")
    assert firmware.told(polling.get("/license").json()) == ("inuse", None, ["recording", "zoom"])
    replayed = {key: first[key] for key in ("id", "data", "signature", "action")}
    assert firmware.told(replayed)[0] == "error"
    hub.operator.remove_license(polling.id, first["id"])
    assert firmware.told(polling.get("/license").json()) == ("removed", None, ["zoom"])
    hub.operator.renew_license(polling.id, first["id"], None)
    assert firmware.told(polling.get("/license").json()) == ("inuse", None, ["recording", "zoom"])


def test_the_firmware_refuses_what_the_hub_did_not_sign_or_signed_for_another(hub: HubProcess, polling: Board, firmware: Firmware) -> None:
    add(polling, "recording", expires_at=LATER)
    offered = polling.get("/license").json()
    forged = {**offered, "data": offered["data"].replace("2099", "2999")}
    assert firmware.told(forged)[0] == "error"
    with Board.registered(hub) as other:
        add(other, "recording")
        stolen = {**other.get("/license").json(), "id": offered["id"], "device_id": polling.id}
        assert firmware.told(stolen)[0] == "error"
    add(polling, "old", expires_at="2020-01-01T00:00:00Z")
    state, reason, names = firmware.told(polling.get("/licenses").json()[1])
    assert (state, reason, names) == ("error", "expired at 2020-01-01T00:00:00.000Z", [])
