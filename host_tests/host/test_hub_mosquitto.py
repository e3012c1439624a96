"""`--broker mosquitto`: who is let in, what survives what, and what is said where it cannot be used. What a device reaches is in
test_hub_isolation.py.
"""

import contextlib
import getpass
import json
import os
import signal
import socket
import sqlite3
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import paho.mqtt.client as paho
import pytest
from brokers import needs_mosquitto
from certificates import make_certificates
from databases import sqlite_only
from hub_support import Board, MqttBoard, registration
from waiting import DEADLINE, wait_for

from tools.cli import main
from tools.hub.broker import dynsec, mosquitto
from tools.hub.broker.address import BrokerError
from tools.hub.broker.process import MosquittoProcess
from tools.hub.process import HubProcess

pytestmark = needs_mosquitto


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    with HubProcess(tmp_path_factory.mktemp("hub"), broker="mosquitto:0") as running:
        yield running


@pytest.fixture
def board(hub: HubProcess) -> Iterator[Board]:
    with Board.registered(hub) as made:
        yield made


def connect(hub: HubProcess, client_id: str, username: str | None, password: str | None, protocol: int = paho.MQTTv5) -> str:
    """Connect, over TLS where the hub has a CA, and go again: what the broker said."""
    parts = urlsplit(hub.mqtt_url)
    assert parts.hostname and parts.port
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=protocol)
    client.username_pw_set(username, password)
    if hub.ca is not None:
        client.tls_set(str(hub.ca))
    said: list[str] = []
    client.on_connect = lambda _client, _data, _flags, reason, _properties: said.append(str(reason))
    client.connect(parts.hostname, parts.port, keepalive=30)

    def answered() -> bool:
        client.loop(0.05)
        return bool(said)

    wait_for(answered, "the broker's answer")
    client.disconnect()
    return said[0]


def pid_of(hub: HubProcess) -> int:
    return int((hub.data / "mosquitto" / "mosquitto.pid").read_text())


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def has_started_again(hub: HubProcess, former: int) -> bool:
    """Whether another Mosquitto than this one takes connections."""
    port = urlsplit(hub.mqtt_url).port
    with contextlib.suppress(OSError, ValueError), socket.create_connection(("127.0.0.1", port), 1):
        return pid_of(hub) != former
    return False


def sends(board: Board, value: int) -> None:
    """The board connects, says this, and the hub has it."""
    with MqttBoard(board, board.hub.mqtt_url) as mqtt:
        mqtt.send("telemetry", {"telemetries": {"a": value}})
        wait_for(lambda: value in values(board), "the message")


def values(board: Board) -> list[Any]:
    """What the hub has of this board."""
    return [item["telemetries"]["a"] for item in board.hub.operator.history(board.id)]


# ---- who is let in


def test_a_device_does_its_job_as_on_any_broker(hub: HubProcess, board: Board) -> None:
    with MqttBoard(board) as mqtt:
        board.claim()
        mqtt.next("space_info")  # of the claim; from before the session it may come into it
        mqtt.send("telemetry", {"telemetries": {"a": 1}})
        mqtt.send("get")
        assert {mqtt.next().topic.rpartition("/")[2] for _ in range(2)} == {"space_info", "config"}
        hub.operator.configure(board.id, {"a": 2})
        assert json.loads(mqtt.next("config").payload)["a"] == 2
        wait_for(lambda: board.activities("clientConnected"), "the session")
    wait_for(lambda: board.activities("clientDisconnected"), "the end of the session")
    assert board.refusals() == []
    assert "MQTT 5 and MQTT 3.1.1" in hub.output()


def test_only_a_device_with_its_own_key_and_client_id_is_let_in(hub: HubProcess, board: Board) -> None:
    with Board.registered(hub) as other:
        for protocol in (paho.MQTTv5, paho.MQTTv311):
            assert connect(hub, board.id, board.id, board.key, protocol) == "Success"
        refused = [
            (board.id, board.id, other.key), (board.id, board.id, ""), (board.id, None, None), ("anybody", None, None),
            (other.id, board.id, board.key), ("redpoll-hub-1", board.id, board.key), (board.id, other.id, board.key),
            ("x", dynsec.ADMIN, board.key), ("x", dynsec.ADMIN, hub.operator_key), ("x", "", ""),
        ]  # fmt: skip
        for given in refused:
            assert connect(hub, *given) == "Not authorized", given


def test_a_device_that_is_removed_is_thrown_out_and_kept_out(hub: HubProcess) -> None:
    for remove in (lambda board: board.call("DELETE"), lambda board: board.hub.operator.delete(board.id)):
        with Board.registered(hub) as board, MqttBoard(board) as mqtt:
            gone: list[str] = []
            mqtt.client.on_disconnect = lambda *_: gone.append("gone")  # noqa: B023
            mqtt.client.reconnect_delay_set(30, 30)
            remove(board)
            wait_for(gone.copy, "the end of its session")
            assert connect(hub, board.id, board.id, board.key) == "Not authorized"


def test_over_tls_both_versions_are_spoken_on_one_port(tmp_path: Path) -> None:
    with HubProcess(tmp_path, broker="mosquitto:0", tls=True) as hub:
        assert hub.mqtt_url.startswith("mqtts://")
        answer = httpx.post(f"{hub.entry_url}/v1/devices", json=registration(), verify=ssl.create_default_context(cafile=hub.ca))
        made = answer.json()
        assert made["mqtt_hub_url"] == hub.mqtt_url
        for protocol in (paho.MQTTv5, paho.MQTTv311):
            assert connect(hub, made["id"], made["id"], made["access_key"], protocol) == "Success"
            assert connect(hub, made["id"], made["id"], "wrong", protocol) == "Not authorized"
        before = pid_of(hub)
        os.kill(before, signal.SIGHUP)  # what a new certificate brings
        assert connect(hub, made["id"], made["id"], made["access_key"]) == "Success"
        assert pid_of(hub) == before


def test_a_child_has_a_login_of_its_own(hub: HubProcess, board: Board) -> None:
    made = board.post("/children", {"model_id": "m", "firmware_version": "1"}).json()
    assert connect(hub, made["id"], made["id"], made["access_key"]) == "Success"
    assert connect(hub, made["id"], board.id, board.key) == "Not authorized"


def test_a_refused_registration_changes_no_login(hub: HubProcess, board: Board) -> None:
    again = httpx.post(f"{hub.entry_url}/v1/devices", json={**registration(), "sn": board.asked["sn"], "mac": board.asked["mac"]})
    assert again.status_code == 422
    assert connect(hub, board.id, board.id, board.key) == "Success"


# ---- what survives what


def test_logins_are_there_again_after_a_restart_also_when_the_plugins_file_is_gone(tmp_path: Path) -> None:
    with HubProcess(tmp_path, broker="mosquitto:0") as hub, Board.registered(hub) as board, Board.registered(hub) as gone:
        gone.call("DELETE")
        where = hub.mqtt_url
        for number, end in enumerate((hub.stop, hub.kill)):
            pid = pid_of(hub)
            end()
            wait_for(lambda pid=pid: not is_running(pid), "the end of Mosquitto")  # type: ignore[misc]
            (tmp_path / "mosquitto" / "dynamic-security.json").unlink()
            hub.start()
            assert hub.mqtt_url == where
            sends(board, number)
            assert connect(hub, gone.id, gone.id, gone.key) == "Not authorized"


def test_a_killed_mosquitto_is_started_again_and_everyone_is_back(tmp_path: Path) -> None:
    with HubProcess(tmp_path, broker="mosquitto:0") as hub, Board.registered(hub) as board:
        sends(board, 1)
        port, pid = hub.mqtt_url, pid_of(hub)
        with MqttBoard(board) as mqtt:
            os.kill(pid, signal.SIGKILL)
            made_meanwhile = Board.registered(hub)  # Mosquitto will have it from its file, and is told of it too
            wait_for(lambda: [item for item in board.activities("clientDisconnected") if "broker" in item["data"]["reason"]], "the loss")
            wait_for(lambda: mqtt.client.is_connected() and pid_of(hub) != pid, "the board's return", 20)
        assert hub.mqtt_url == port and pid_of(hub) != pid
        sends(board, 2)
        with made_meanwhile, Board.registered(hub) as later:  # the way to the plugin is back too
            sends(made_meanwhile, 3)
            sends(later, 3)
        errors = [line for line in hub.output().splitlines() if " ERROR " in line]
        assert len(errors) == 1 and "Mosquitto ended with status 137; starting it again" in errors[0] and "Python" not in errors[0], errors


def test_what_a_mosquitto_takes_that_was_started_again_waits_for_the_hub(tmp_path: Path) -> None:
    with HubProcess(tmp_path, broker="mosquitto:0") as hub, Board.registered(hub) as board:
        for number in range(3):
            pid = pid_of(hub)
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda pid=pid: has_started_again(hub, pid), "another Mosquitto")  # type: ignore[misc]
            with MqttBoard(board) as mqtt:  # it is back before the hub, which waits a second
                mqtt.send("telemetry", {"telemetries": {"a": number}})
            wait_for(lambda number=number: number in values(board), "what was acknowledged")  # type: ignore[misc]


def test_what_mosquitto_has_taken_while_the_hub_was_away_waits_for_it(tmp_path: Path) -> None:
    with HubProcess(tmp_path, broker="mosquitto:0") as hub, Board.registered(hub) as board, MqttBoard(board) as mqtt:
        assert hub.pid is not None
        os.kill(hub.pid, signal.SIGSTOP)  # it takes nothing, and Mosquitto says yes to the board
        for number in range(20):
            mqtt.send("telemetry", {"telemetries": {"a": number}})
        hub.kill()
        hub.start()
        wait_for(lambda: len(hub.operator.history(board.id)) == 20, "what was acknowledged")


def test_mosquitto_serves_while_the_hub_stands_still_however_much_it_has_to_say(tmp_path: Path) -> None:
    with HubProcess(tmp_path, broker="mosquitto:0") as hub, Board.registered(hub) as board:
        port = urlsplit(hub.mqtt_url).port
        assert hub.pid is not None
        os.kill(hub.pid, signal.SIGSTOP)  # a debugger, Ctrl-Z, a machine short of memory
        try:
            for _ in range(1000):  # two lines each, more than the pipe between them holds
                socket.create_connection(("127.0.0.1", port), DEADLINE).close()
            assert connect(hub, board.id, board.id, board.key) == "Success"
        finally:
            os.kill(hub.pid, signal.SIGCONT)
        sends(board, 1)


@sqlite_only
def test_a_device_from_before_is_let_in_once_it_has_shown_its_key(tmp_path: Path) -> None:
    with HubProcess(tmp_path, broker="embedded:0") as hub, Board.registered(hub) as board:
        hub.stop()
        with sqlite3.connect(tmp_path / "hub.sqlite") as database:
            database.execute("UPDATE devices SET broker_login = NULL")
    with HubProcess(tmp_path, broker="mosquitto:0") as hub:
        board.hub, board.base = hub, f"{hub.entry_url}/v1/devices/{board.id}"
        board.http = httpx.Client(headers={"Authorization": board.key})
        assert connect(hub, board.id, board.id, board.key) == "Not authorized"
        assert board.get().status_code == 200
        assert connect(hub, board.id, board.id, board.key) == "Success"
        board.http.close()


def test_its_files_are_for_the_owner_and_hold_no_key(hub: HubProcess, board: Board) -> None:
    folder = hub.data / "mosquitto"
    assert folder.stat().st_mode & 0o777 == 0o700
    content = b"".join(path.read_bytes() for path in folder.iterdir())
    assert board.id.encode() in content
    assert board.key.encode() not in content and hub.operator_key.encode() not in content


# ---- where it cannot be used


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("find_mosquitto", lambda: None, ("is not installed", "apt install mosquitto", "embedded")),
        ("find_plugin", lambda _program: None, ("mosquitto_dynamic_security.so", "apt install mosquitto")),
        ("find_mosquitto", lambda: "/bin/true", ("unknown version", "2.0 or newer")),
    ],
)
def test_what_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    name: str, value: Callable[..., str | None], words: tuple[str, ...],
) -> None:  # fmt: skip
    monkeypatch.setattr(mosquitto, name, value)
    with pytest.raises(BrokerError) as error:
        mosquitto._find()
    assert all(word in str(error.value) for word in words)


def test_a_port_in_use_is_named(hub: HubProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    port = urlsplit(hub.mqtt_url).port
    assert main(["hub", "--no-tls", "--port", "0", "--broker", f"mosquitto:{port}", "--data", str(tmp_path)]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert f"port {port} is in use" in error and "mosquitto:0" in error


# ---- another broker, with a login and a CA


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[MosquittoProcess, Path]]:
    """A Mosquitto that is not the hub's: TLS, a user and a password; and the folder with its CA."""
    folder = tmp_path_factory.mktemp("guarded")
    make_certificates(folder)
    passwords = folder / "passwords"
    made = f"bench:$7${dynsec.verifier('planted-broker-password').replace(' ', '$')}\n"  # as mosquitto_passwd writes it
    passwords.write_text(made)
    lines = [f"user {getpass.getuser()}", f"password_file {passwords}"]
    lines += [f"certfile {folder}/server.pem", f"keyfile {folder}/server.key"]
    with MosquittoProcess(listener="".join(f"{line}\n" for line in lines)) as broker:
        yield broker, folder


def test_another_brokers_login_comes_from_a_file_or_the_environment_and_is_shown_nowhere(
    guarded: tuple[MosquittoProcess, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker, folder = guarded
    url = f"mqtts://localhost:{broker.port}"
    login = tmp_path / "login"
    login.write_text("bench:planted-broker-password\n")
    ca = ("--broker-ca", str(folder / "ca.pem"))
    with HubProcess(tmp_path / "a", broker=url, extra=(*ca, "--broker-login", str(login))) as hub:
        assert hub.mqtt_url == url
        said = hub.output()
    monkeypatch.setenv("REDPOLL_BROKER_LOGIN", "bench:planted-broker-password")
    with HubProcess(tmp_path / "b", broker=url, extra=ca) as hub:
        said += hub.output()
    assert "planted-broker-password" not in said


@pytest.mark.parametrize(
    ("login", "ca", "words"),
    [
        ("bench:wrong-secret-1d", "ca.pem", ("Not authorized",)),
        ("bench:planted-broker-password", "other.pem", ("certificate verify failed",)),
        ("bench", "ca.pem", ("REDPOLL_BROKER_LOGIN", "USER:PASSWORD")),
        ("", "gone.pem", ("--broker-ca", "No such file")),
    ],
)
def test_a_wrong_login_or_ca_of_another_broker_is_named(
    guarded: tuple[MosquittoProcess, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    login: str, ca: str, words: tuple[str, ...],
) -> None:  # fmt: skip
    broker, folder = guarded
    monkeypatch.setenv("REDPOLL_BROKER_LOGIN", login)
    url = f"mqtts://localhost:{broker.port}"
    status = main(["hub", "--no-tls", "--port", "0", "--broker", url, "--broker-ca", str(folder / ca), "--data", str(tmp_path)])
    error = capsys.readouterr().err.splitlines()[-1]
    assert status == 2 and all(word in error for word in words), error
    assert "secret" not in error and "password" not in error.replace("USER:PASSWORD", "")


def test_a_login_or_ca_for_the_hubs_own_broker_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for option in ("--broker-login", "--broker-ca"):
        assert main(["hub", "--broker", "mosquitto", option, "x", "--data", str(tmp_path)]) == 2
        assert option in capsys.readouterr().err
