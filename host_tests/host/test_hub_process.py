"""`redpoll hub` as a process: start, stop, restart, what it refuses to start with, and what it never says."""

import asyncio
import contextlib
import errno
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from brokers import needs_mosquitto
from databases import locked, sqlite_only
from hub_support import Board, MqttBoard, RunHub, assert_refused
from waiting import wait_for

from tools.hub.facets.astarte.mqtt import AstarteMqtt
from tools.hub.facets.kapua.kura_mqtt import KuraMqtt
from tools.hub.facets.xyte.mqtt import XyteMqtt
from tools.hub.process import HubProcess, ProcessError
from tools.hub.security.authority import Authority
from tools.hub.security.signer import Signer
from tools.hub.server import serving
from tools.hub.server.brokers import start_broker
from tools.hub.server.folder import session
from tools.hub.store import database, migrations
from tools.paths import ROOT


def processes_of(session: int) -> list[int]:
    """The processes of a session that have not ended."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(entry.parent.name))
    return found


def test_the_ready_file_says_where_the_hub_is_and_goes_with_it(tmp_path: Path) -> None:
    with HubProcess(tmp_path) as hub:
        ready = json.loads((tmp_path / "hub.json").read_text())
        assert ready["pid"] == hub.pid
        assert httpx.get(f"{ready['url']}/health").json() == {"status": "ok"}
        assert ready["mqtt_url"].startswith("mqtt://127.0.0.1:")
        assert f"hub at {ready['url']}" in hub.output()
    assert not (tmp_path / "hub.json").exists()


@sqlite_only
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stop_leaves_no_process_and_a_whole_database(tmp_path: Path, number: signal.Signals) -> None:
    hub = HubProcess(tmp_path).start()
    session = hub.pid
    assert session is not None
    assert len(processes_of(session)) == 2
    with Board.registered(hub) as board:
        assert board.post("/telemetry", {"telemetries": {"a": 1}}).status_code == 200
    os.kill(session, number)
    if number == signal.SIGKILL:  # the broker stays a while, for a hub that goes on with it
        wait_for(lambda: len(processes_of(session)) == 1, "the end of the hub")
        HubProcess(tmp_path).start().stop()
    wait_for(lambda: not processes_of(session), "the end of every process")
    assert hub.stop() == (-9 if number == signal.SIGKILL else 0)
    with sqlite3.connect(tmp_path / "hub.sqlite") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("SELECT count(*) FROM telemetry").fetchone() == (1,)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_whole_group_lets_the_hub_take_what_its_broker_has(tmp_path: Path, number: signal.Signals) -> None:
    hub = HubProcess(tmp_path).start()
    assert hub.pid is not None
    os.killpg(hub.pid, number)
    wait_for(lambda: not hub.running, "the end of the hub")
    assert hub.stop() == 0
    assert "the embedded broker ended" not in hub.output()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_a_hub_does_not_outlive_the_process_that_started_it(tmp_path: Path) -> None:
    script = (
        "import pathlib, sys; from tools.hub.process import HubProcess; "
        "hub = HubProcess(pathlib.Path(sys.argv[1])).start(); print(hub.pid, flush=True); sys.stdin.read()"
    )
    starter = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert starter.stdout is not None
    session = int(starter.stdout.readline())
    assert len(processes_of(session)) == 2
    starter.kill()
    starter.communicate()
    wait_for(lambda: not processes_of(session), "the end of the hub")
    assert not (tmp_path / "hub.json").exists()


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_restart_keeps_data_ports_and_keys(tmp_path: Path, how: str) -> None:
    with HubProcess(tmp_path) as hub, Board.registered(hub) as board:
        board.post("/telemetry", {"telemetries": {"a": 1}})
        command = hub.operator.command(board.id, "ping")
        hub.operator.configure(board.id, {"b": 2})
        last = hub.operator.activities()[-1]["seq"]
        before = (hub.url, hub.mqtt_url)
        getattr(hub, how)()
        hub.start()
        assert (hub.url, hub.mqtt_url) == before
        assert board.get("/command").json()["id"] == command["id"]
        assert board.get("/config").json()["config"] == {"b": 2}
        assert hub.operator.telemetry(board.id)["telemetries"] == {"a": 1}
        assert hub.operator.activities(since=last)
        with MqttBoard(board) as mqtt:
            mqtt.send("telemetry", {"telemetries": {"a": 2}})
            wait_for(lambda: hub.operator.telemetry(board.id)["telemetries"] == {"a": 2})


def test_boards_of_a_killed_hub_are_offline_when_it_comes_back(tmp_path: Path) -> None:
    with HubProcess(tmp_path) as hub, Board.registered(hub) as board:
        with MqttBoard(board):
            wait_for(lambda: hub.operator.device(board.id)["online"])
            hub.kill()
        hub.start()
        assert hub.operator.device(board.id)["online"] is False
        assert board.activities("clientDisconnected")[0]["data"]["reason"] == "the hub was restarted"


def test_a_silent_board_is_offline_after_the_threshold_and_online_again_when_it_speaks(tmp_path: Path) -> None:
    with HubProcess(tmp_path, extra=("--offline-after", "0.4")) as hub, Board.registered(hub) as board:
        board.post("/telemetry", {})
        wait_for(lambda: board.activities("clientDisconnected"), "the silence to be noticed")
        board.post("/telemetry", {})
        # and by the time that they are read perhaps silent again
        assert [item["event"] for item in board.activities() if item["event"].startswith("client")][:3] == [
            "clientConnected", "clientDisconnected", "clientConnected",
        ]  # fmt: skip


def test_the_operator_key_is_made_once_kept_private_and_never_shown(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "REDPOLL_OPERATOR_KEY"}
    command = [sys.executable, "-m", "tools.cli", "hub", "--no-tls", "--port", "0", "--broker", "embedded:0"]
    command += ["--data", str(tmp_path)]
    keys, output = set(), b""
    for _ in range(2):
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            wait_for((tmp_path / "hub.json").exists, "the hub", 30)
            key = (tmp_path / "operator.key").read_text()
            url = json.loads((tmp_path / "hub.json").read_text())["url"]
            assert httpx.get(f"{url}/activity", headers={"Authorization": key}).status_code == 200
            keys.add(key)
        finally:
            process.terminate()
            output += process.communicate(timeout=30)[0]
    assert len(keys) == 1
    assert (tmp_path / "operator.key").stat().st_mode & 0o777 == 0o600
    assert key.encode() not in output


def test_the_name_of_a_hubs_session_is_made_anew_where_a_killed_hub_or_a_full_disk_left_none(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
        (folder / "mqtt.session").touch()
    names = [session(folder, None) for folder in folders]
    assert names[0] != names[1]  # or two hubs of one broker would take each other's session, time and again
    assert [session(folder, None) for folder in folders] == names


def test_a_new_data_directory_is_its_owners_only_and_an_old_one_stays_as_it_is(tmp_path: Path, run_hub: RunHub) -> None:
    (tmp_path / "old").mkdir(mode=0o750)
    for name, mode in (("new", 0o700), ("old", 0o750)):
        assert run_hub("ca", "--data", str(tmp_path / name)).status == 0
        assert (tmp_path / name).stat().st_mode & 0o777 == mode


def test_a_public_url_is_what_boards_are_told(tmp_path: Path) -> None:
    with HubProcess(tmp_path, extra=("--public-url", "http://hub.example:8480/", "--host", "0.0.0.0")) as hub:
        body = {"sn": "1", "mac": "aa", "hardware_key": "k", "firmware_version": "1"}
        answer = httpx.post(f"{hub.entry_url}/v1/devices", json=body).json()
        port = hub.mqtt_url.rsplit(":", 1)[1]
        assert (answer["hub_url"], answer["mqtt_hub_url"]) == ("http://hub.example:8480/xyte", f"mqtt://hub.example:{port}")


# ---- refusals to start


def test_a_port_in_use_is_named(tmp_path: Path, run_hub: RunHub) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert_refused(run_hub("--port", port, "--broker", "embedded:0", "--data", str(tmp_path)), "--port", port, "in use", "--port 0")
        assert_refused(run_hub("--port", "0", "--broker", f"embedded:{port}", "--data", str(tmp_path)), port, "in use", "embedded:0")


@pytest.mark.parametrize("host", ["203.0.113.7", "no.such.host.invalid"])
def test_a_host_that_is_not_this_machines_is_told_so_and_not_that_its_port_is_taken(tmp_path: Path, run_hub: RunHub, host: str) -> None:
    result = run_hub("--host", host, "--port", "0", "--broker", "embedded:0", "--data", str(tmp_path))
    assert_refused(result, f"--host {host}", "0.0.0.0", "--host-name")
    assert "stop what uses it" not in result.error


@pytest.mark.parametrize(
    "broker", ["http://x", "mqtt://", "embedded:x", "embedded:70000", "nonsense", "mqtt://h:99999", "mqtt://h/path", "mqtt://[::1"]
)
def test_a_broker_that_cannot_be_is_refused_with_what_to_write(tmp_path: Path, run_hub: RunHub, broker: str) -> None:
    assert_refused(run_hub("--port", "0", "--broker", broker, "--data", str(tmp_path)), "--broker", "embedded:1883", "mqtt://host:1883")


def test_a_broker_that_does_not_answer_is_named_without_its_password(tmp_path: Path, run_hub: RunHub) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    result = run_hub("--port", "0", "--broker", f"mqtt://user:planted-secret@127.0.0.1:{port}", "--data", str(tmp_path))
    assert_refused(result, f"mqtt://127.0.0.1:{port}", "refused", "embedded:0")
    assert "planted-secret" not in result.error + result.out


def test_a_data_directory_that_cannot_be_is_refused(tmp_path: Path, run_hub: RunHub) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert_refused(run_hub("--port", "0", "--broker", "embedded:0", "--data", str(file / "below")), "--data", "written")


@sqlite_only
def test_a_database_that_is_none_is_refused(tmp_path: Path, run_hub: RunHub) -> None:
    (tmp_path / "hub.sqlite").write_text("this is not a database " * 100)
    result = run_hub("--port", "0", "--broker", "embedded:0", "--data", str(tmp_path))
    assert_refused(result, str(tmp_path / "hub.sqlite"), "is not a database", "backup", "--database", status=1)


@sqlite_only
@pytest.mark.parametrize("opened", [False, True])
def test_a_database_that_another_program_holds_is_named(
    tmp_path: Path, run_hub: RunHub, monkeypatch: pytest.MonkeyPatch, opened: bool
) -> None:
    monkeypatch.setattr(migrations, "_LOCK_SECONDS", 0.05)
    monkeypatch.setattr(database, "WAIT_SECONDS", 0.05)
    file = tmp_path / "hub.sqlite"
    with contextlib.ExitStack() as stack:
        if opened:  # by the hub, and then held by the other one

            async def start(*arguments: Any) -> Any:
                stack.enter_context(locked(file))
                return await start_broker(*arguments)

            monkeypatch.setattr(serving, "start_broker", start)
        else:
            stack.enter_context(locked(file))
        result = run_hub("--port", "0", "--broker", "embedded:0", "--data", str(tmp_path))
    assert_refused(result, str(file), "database is locked", "end what has it open", status=1)


@sqlite_only
def test_a_database_that_has_no_room_is_named(tmp_path: Path, run_hub: RunHub, monkeypatch: pytest.MonkeyPatch) -> None:
    set_wal = database._set_wal

    def fill(connection: Any, wait: float) -> None:
        set_wal(connection, wait)
        connection.execute("PRAGMA max_page_count=1")

    monkeypatch.setattr(database, "_set_wal", fill)
    result = run_hub("--port", "0", "--broker", "embedded:0", "--data", str(tmp_path))
    assert_refused(result, str(tmp_path / "hub.sqlite"), "disk is full", "make room", status=1)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="takes /dev/full for the disk")
@pytest.mark.parametrize(
    ("broker", "name"),
    [
        ("embedded:0", "rumqttd.toml"),
        ("embedded:0", "hub.json.new"),
        pytest.param("mosquitto:0", "mosquitto/mosquitto.conf", marks=needs_mosquitto),
    ],
)
def test_a_disk_that_is_full_is_named_whatever_is_written_to_it(tmp_path: Path, run_hub: RunHub, broker: str, name: str) -> None:
    (tmp_path / "mosquitto").mkdir()
    (tmp_path / name).symlink_to("/dev/full")
    result = run_hub("--port", "0", "--broker", broker, "--data", str(tmp_path), "--no-tls")
    assert_refused(result, f"--data {tmp_path}", "No space left on device", "make room", status=1)


def test_keys_that_a_full_disk_does_not_take_are_no_reason_to_make_others(
    tmp_path: Path, run_hub: RunHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What follows a CA that cannot be read, to remove it, would cut every board off."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for holder in (Authority, Signer):
        with monkeypatch.context() as patch:
            patch.setattr(holder, "kept", full)
            result = run_hub("--port", "0", "--broker", "embedded:0", "--data", str(tmp_path))
        assert_refused(result, str(tmp_path), "No space left on device", "make room", status=1)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://hub:planted-secret",
        "postgresql://hub:planted-secret/more@127.0.0.1:1x/hub",
        "postgresql://hub:a@planted-secret@h.invalid/hub",
    ],
)
def test_a_database_url_that_cannot_be_read_is_named_without_its_password(tmp_path: Path, run_hub: RunHub, url: str) -> None:
    result = run_hub("--port", "0", "--broker", "embedded:0", "--data", str(tmp_path), "--database", url)
    assert_refused(result, "database", "postgresql://user:password@host")
    assert "planted-secret" not in result.error + result.out


def test_the_database_comes_from_the_environment_where_no_option_names_it(
    tmp_path: Path, run_hub: RunHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDPOLL_DATABASE", "postgresql://hub:planted-secret@127.0.0.1:1/hub?options=planted-secret")
    result = run_hub("--port", "0", "--broker", "embedded:0", "--data", str(tmp_path))
    assert_refused(result, "postgresql://hub:***@127.0.0.1:1/hub ", "refused", "start or mend that server", status=1)
    assert "planted-secret" not in result.error + result.out


def test_a_hub_that_another_tool_starts_leaves_the_operators_database_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDPOLL_DATABASE", f"sqlite:///{tmp_path / 'operators.sqlite'}")
    with HubProcess(tmp_path / "hub"):
        assert not (tmp_path / "operators.sqlite").exists()


@pytest.mark.parametrize("part", [XyteMqtt, AstarteMqtt, KuraMqtt])
def test_a_hub_does_not_go_on_without_a_part_of_it_that_has_failed(
    tmp_path: Path, run_hub: RunHub, monkeypatch: pytest.MonkeyPatch, part: Any
) -> None:
    run = part.run

    async def fail(self: Any) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(run(self))
            await self.ready.wait()
            raise RuntimeError("a fault of the hub")

    monkeypatch.setattr(part, "run", fail)
    with pytest.RaisesGroup(pytest.RaisesExc(RuntimeError, match="a fault of the hub")):
        run_hub("--port", "0", "--broker", "embedded:0", "--data", str(tmp_path))
    assert not (tmp_path / "hub.json").exists()


def test_two_hubs_on_one_directory_are_refused(tmp_path: Path, run_hub: RunHub) -> None:
    with HubProcess(tmp_path):
        assert_refused(run_hub("--port", "0", "--broker", "embedded:0", "--data", str(tmp_path)), "--data", "another hub")
        assert (tmp_path / "hub.json").exists()


@pytest.mark.parametrize(
    "arguments",
    [("--offline-after", "0"), ("--offline-after", "nan"), ("--public-url", "hub"), ("--port", "70000"), ("--host", "192.0.2.1")],
)
def test_bad_arguments_are_named(tmp_path: Path, run_hub: RunHub, arguments: tuple[str, str]) -> None:
    port = () if arguments[0] == "--port" else ("--port", "0")
    assert_refused(run_hub(*port, "--broker", "embedded:0", "--data", str(tmp_path), *arguments), arguments[0])


def test_a_hub_that_does_not_start_is_raised_with_its_output(tmp_path: Path) -> None:
    with pytest.raises(ProcessError, match="is not a broker that the hub knows"):
        HubProcess(tmp_path, broker="nonsense").start()


# ---- secrets


def test_no_secret_is_in_a_log_an_activity_an_error_or_the_data_directory(tmp_path: Path) -> None:
    operator_key = "planted-operator-key-0f8d"
    with HubProcess(tmp_path, operator_key=operator_key) as hub:
        with Board.registered(hub) as board, MqttBoard(board) as mqtt:
            wrong = "planted-wrong-key-5e21"
            said = [board.answer["hub_url"], board.answer["mqtt_hub_url"]]
            said += [httpx.get(f"{board.base}/config", headers={"Authorization": key}).text for key in (wrong, operator_key)]
            said.append(httpx.get(f"{hub.url}/activity", headers={"Authorization": wrong}).text)
            said += [board.post("/telemetry", {"telemetries": {"a": []}}).text, board.put("", {"x": 1}).text, board.get().text]
            mqtt.send("telemetry", {"telemetries": {"a": 1}})
            mqtt.send("telemetry", {"telemetries": {"a": 1}}, user=[("device_id", board.id), ("access_key", wrong)])
            mqtt.send("telemetry", b"{", user=[("device_id", "x"), ("access_key", board.key)])
            hub.operator.configure(board.id, {"a": 1})
            mqtt.next("config")
            wait_for(lambda: len(board.refusals()) >= 6, "the refusals")
            said += [json.dumps(hub.operator.activities()), json.dumps(hub.operator.device(board.id)), json.dumps(hub.operator.devices())]
        hub.stop()
        everywhere = "\n".join(said).encode() + b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for secret in (operator_key, wrong, board.key):
        assert secret.encode() not in everywhere
