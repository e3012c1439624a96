"""`redpoll watch`: what it shows, how it gets through outages, what it says it has missed, and where it takes the key from."""

import http.server
import io
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hub_support import Board
from rich.console import Console
from waiting import DEADLINE, wait_for

from tools.cli import main
from tools.hub.client import HubError, OperatorClient
from tools.hub.process import HubProcess
from tools.live_view import View, missed
from tools.paths import ROOT
from tools.watch import JsonLines, Watcher, WatchError


class Watching:
    """`redpoll watch` as a process, its lines as they come."""

    def __init__(self, *options: object, **environment: str) -> None:
        clean = {name: value for name, value in os.environ.items() if name != "REDPOLL_OPERATOR_KEY"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tools.cli", "watch", *map(str, options)],
            cwd=ROOT, env={**clean, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))

    def until(self, *words: str) -> str:
        """The next line that has all of these words."""
        while True:
            line = self._lines.get(timeout=DEADLINE)
            if all(word in line for word in words):
                return line

    def __enter__(self) -> "Watching":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        assert self.process.wait(DEADLINE) in (0, 2, 130)


@pytest.fixture
def refusal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What is said when there is nothing to watch."""

    def refused(*options: str, key: str | None = None) -> str:
        monkeypatch.delenv("REDPOLL_OPERATOR_KEY", raising=False)
        if key is not None:
            monkeypatch.setenv("REDPOLL_OPERATOR_KEY", key)
        try:
            assert main(["watch", *options]) == 2
        except SystemExit as ended:  # of argparse
            assert ended.code == 2
        output = capsys.readouterr()
        assert output.out == ""
        return output.err

    return refused


# ---- the command


def test_a_person_sees_what_happens_over_a_restart_of_the_hub_and_what_was_missed(tmp_path: Path) -> None:
    with HubProcess(tmp_path) as hub, Board.registered(hub, name="pump", sn="pump-7") as board:
        (tmp_path / "key").write_text(hub.operator_key + "\n")
        (tmp_path / "operator.key").write_text(hub.operator_key)
        with (
            Watching("--hub", hub.url, "--key-file", tmp_path / "key", "--device", "pump-7") as person,
            Watching("--data", tmp_path, "--device", board.id, "--json", "--event", "upstreamMessage") as program,
        ):
            assert person.until("device").split() == ["when", "device", "event", "what"]
            person.until("pump", "deviceCreated", "name=pump")
            board.post("/telemetry", {"telemetries": {"level": 1.5}})
            line = person.until("pump", "upstreamMessage", "telemetry")
            assert "level=1.5" in line and line[2] == line[5] == ":"
            before = json.loads(program.until("upstreamMessage"))
            hub.kill()
            person.until("no connection to the hub", hub.url)
            program.until("no connection to the hub")
            hub.start()
            person.until("the hub is there")
            person.until("the hub was restarted at ", "may be missing")
            assert json.loads(program.until('"lost"'))["lost"] is None
            board.post("/telemetry", {"telemetries": {"level": 2.5}})
            person.until("pump", "upstreamMessage", "level=2.5")
            after = json.loads(program.until("upstreamMessage"))
            assert set(after) == set(before) and after["seq"] > before["seq"]


def test_who_no_longer_reads_ends_the_watch(hub: HubProcess, board: Board) -> None:
    watch = [sys.executable, "-m", "tools.cli", "watch", "--hub", hub.url, "--json", "--device", board.id, "--last", "1"]
    process = subprocess.Popen(
        watch, cwd=ROOT, env={**os.environ, "REDPOLL_OPERATOR_KEY": hub.operator_key}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None and process.stderr is not None
    assert b"firmwareCheck" in process.stdout.readline()
    process.stdout.close()

    def ended() -> bool:
        board.post("/telemetry", {})
        return process.poll() is not None

    wait_for(ended, "the end")
    assert (process.returncode, process.stderr.read()) == (0, b"")
    process.stderr.close()


@pytest.mark.parametrize(
    "options,key,words",
    [
        (["--data", "/nowhere"], None, ["/nowhere/operator.key", "--key-file", "--data", "REDPOLL_OPERATOR_KEY"]),
        (["--key-file", "/nowhere/key"], "k", ["/nowhere/key"]),
        (["--key-file", "/dev/null"], None, ["/dev/null", "no operator key"]),
        (["--data", "/nowhere"], "k\n", ["REDPOLL_OPERATOR_KEY", "no operator key"]),
        (["--hub", "localhost:8480"], "k", ["--hub", "localhost:8480", "http://"]),
        (["--hub", "http://[::1"], "k", ["--hub", "http://"]),
        (["--event", "deviceExploded"], "k", ["--event", "upstreamMessage"]),
        (["--last", "0"], "k", ["--last", "a number"]),
    ],
)
def test_what_cannot_be_watched_is_said_with_what_to_write(
    refusal: Callable[..., str], options: list[str], key: str | None, words: list[str]
) -> None:
    told = refusal(*options, key=key)
    assert all(word in told for word in words), told


@pytest.mark.parametrize("path", ["/", "/nothing-here"])
@pytest.mark.parametrize("device", [(), ("--device", "pump")])
def test_what_answers_and_is_no_hub_is_told_as_that(path: str, device: tuple[str, ...], refusal: Callable[..., str]) -> None:
    class Other(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if path == "/" else 404)
            self.end_headers()
            self.wfile.write(b"<html>a page</html>")

        def log_message(self, *_: Any) -> None: ...

    with http.server.HTTPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        told = refusal("--hub", url, *device, key="k")
        server.shutdown()
    assert told == f"redpoll watch: what answers at {url}/ is no hub\n"


def test_a_wrong_key_is_not_tried_again_and_never_shown(hub: HubProcess, refusal: Callable[..., str]) -> None:
    told = refusal("--hub", hub.url, key="planted-wrong-key")
    assert "operator key" in told and "planted-wrong-key" not in told


def test_a_device_that_nobody_knows_or_that_several_are_called_is_named(hub: HubProcess, refusal: Callable[..., str]) -> None:
    assert "no-such-board" in refusal("--hub", hub.url, "--device", "no-such-board", key=hub.operator_key)
    with Board.registered(hub, name="twin"), Board.registered(hub, name="twin"):
        assert "2 devices" in refusal("--hub", hub.url, "--device", "twin", key=hub.operator_key)


# ---- the watcher, with a feed in the test's hand


class Away(Exception):
    """The test has seen enough."""


class Feed:
    """An operator's client whose connections are given: each a list of lines, or an error instead of an answer."""

    url = "http://hub"

    def __init__(self, *connections: list[dict[str, Any]] | Exception) -> None:
        self._connections = list(connections)
        self.asked: list[dict[str, Any]] = []

    def follow(
        self, since: int | None, device_id: str | None, event: str | None, last: int | None, on_open: Callable[[], None]
    ) -> Iterator[dict[str, Any]]:
        self.asked.append({"since": since, "device_id": device_id, "event": event, "last": last})
        if not self._connections:
            raise Away
        connection = self._connections.pop(0)
        if isinstance(connection, Exception):
            raise connection
        on_open()
        for item in connection:
            if "break" in item:
                raise httpx.RemoteProtocolError("cut")
            yield item

    def devices(self) -> list[dict[str, Any]]:
        return [{"id": "d-1", "name": "pump", "sn": "7"}]


class Told(JsonLines):
    def __init__(self) -> None:
        self.items: list[Any] = []

    def show(self, item: dict[str, Any]) -> None:
        self.items.append(item.get("seq", item))

    def note(self, text: str) -> None:
        self.items.append(text)


def watched(feed: Feed, **more: Any) -> tuple[list[Any], list[float]]:
    """What was shown, and how long it waited each time."""
    told, waits = Told(), []
    operator: Any = feed
    with pytest.raises(Away):
        Watcher(operator, told, wait=waits.append, **more).run()
    return told.items, waits


def seqs(*numbers: int) -> list[dict[str, Any]]:
    return [{"seq": number, "event": "upstreamMessage"} for number in numbers]


def test_it_goes_on_after_what_it_has_seen() -> None:
    feed = Feed([*seqs(5, 6), {"break": True}], seqs(7))
    told, _ = watched(feed, last=3)
    assert [item for item in told if isinstance(item, int)] == [5, 6, 7]
    assert [(asked["since"], asked["last"]) for asked in feed.asked] == [(None, 3), (6, None), (7, None)]


def test_a_feed_that_had_nothing_yet_is_asked_for_all_that_came_meanwhile() -> None:
    feed = Feed(httpx.ConnectError("refused"), [{"break": True}], seqs(1))
    watched(feed)
    assert [asked["since"] for asked in feed.asked] == [None, None, 0, 1]


def test_it_waits_longer_and_longer_and_says_so_once() -> None:
    away = [httpx.ConnectError("refused")] * 12
    told, waits = watched(Feed(*away, seqs(1), *away[:2]))
    assert told == [
        "no connection to the hub at http://hub (refused); trying until it is there", "the hub is there", 1,
        "no connection to the hub at http://hub (it has stopped); trying until it is there",
    ]  # fmt: skip
    assert all(0.25 * 2**n <= wait <= 0.5 * 2**n for n, wait in enumerate(waits[:6]))
    assert all(15 <= wait <= 30 for wait in waits[6:12])
    assert waits[12] <= 0.5, "from the beginning, once it was there"


def test_a_hub_that_breaks_a_plain_connection_may_have_tls() -> None:
    told, _ = watched(Feed(httpx.RemoteProtocolError("closed"), httpx.ReadError("")))
    assert told == [
        "no connection to the hub at http://hub (the connection broke; a hub with TLS wants https://); trying until it is there"
    ]


def test_what_the_hub_says_is_lost_is_not_said_twice() -> None:
    told, _ = watched(Feed([*seqs(1), {"lost": 3}, *seqs(5, 6)]))
    assert told[:4] == [1, {"lost": 3}, 5, 6]


def test_a_gap_in_the_numbers_is_missed_unless_a_filter_made_it() -> None:
    assert watched(Feed(seqs(1, 2, 5)))[0][:4] == [1, 2, {"lost": 2}, 5]
    assert watched(Feed(seqs(1, 2, 5)), event="upstreamMessage")[0][:3] == [1, 2, 5]
    assert watched(Feed(seqs(1, 2, 5)), device="pump")[0][:3] == [1, 2, 5]
    told, _ = watched(Feed(seqs(1), [{"lost": None, "restarted": "2026-11-21 08:00:00"}, *seqs(900)]))
    assert told[-3:-1] == [{"lost": None, "restarted": "2026-11-21 08:00:00"}, 900]


def test_a_device_is_found_by_name_or_serial_number_once() -> None:
    for name in ("pump", "7"):
        feed = Feed(seqs(1), seqs(2))
        watched(feed, device=name)
        assert {asked["device_id"] for asked in feed.asked} == {"d-1"}


def test_a_hub_that_fails_is_tried_again_and_one_that_refuses_is_not() -> None:
    assert watched(Feed(HubError(500, "broken"), seqs(1)))[0][-2] == 1
    told = Told()
    operator: Any = Feed(HubError(401, "Not authorized"))
    with pytest.raises(WatchError, match="^Not authorized$"):
        Watcher(operator, told).run()


# ---- the view


class Names(OperatorClient):
    """An operator that knows names and readings without a hub."""

    def __init__(self) -> None:
        super().__init__("http://hub", "key")
        self.there = True

    def device(self, device_id: str) -> dict[str, Any]:
        if not self.there:
            raise httpx.ConnectError("away")
        return {"name": {"d-1": "pump", "g-1": "hall gateway 2", "x-1": "a\x1b]0;b\x07c"}[device_id]}

    def history(self, device_id: str, limit: int = 100, before: int | None = None, offset: int = 0) -> list[dict[str, Any]]:
        if not self.there:
            raise httpx.ConnectError("away")
        return [{"message": "tank low", "telemetries": {"level": 1.25, "on": True, "note": ""}}]

    def commands(self, device_id: str, limit: int = 100, offset: int = 0) -> list[dict[str, Any]]:
        if not self.there:
            raise httpx.ConnectError("away")
        return [
            {"name": "waits", "status": "pending", "message": None, "updated_at": "2024-04-25T20:23:39Z"},
            {"name": "blink", "status": "failed", "message": "times: at most 20", "updated_at": "2024-04-25T20:23:38Z"},
            {"name": "ping", "status": "done", "message": "pong", "updated_at": "2024-04-25T20:23:37Z"},
        ]


def shown(*activities: dict[str, Any], there: bool = True) -> list[str]:
    written = io.StringIO()
    with Names() as operator:
        operator.there = there
        view = View(Console(file=written, highlight=False, width=300), operator)
        for activity in activities:
            view.show({"collectionId": "c", "time": "2024-04-25 20:23:36", **activity})
    return [" ".join(line.split()) for line in written.getvalue().splitlines()]


def test_each_kind_of_activity_is_one_line_that_a_person_can_read() -> None:
    assert shown(
        {"event": "clientConnected", "deviceId": "d-1", "data": {"transport": "mqtt", "id": "access_key"}},
        {"event": "upstreamMessage", "deviceId": "d-1", "data": {"kind": "telemetry", "bytes": "9", "transport": "mqtt"}},
        {"event": "gatewayUpstreamMessage", "deviceId": "d-1", "gatewayId": "g-1", "data": {"kind": "telemetry", "bytes": "9"}},
        {"event": "gatewayConnected", "gatewayId": "g-1", "data": {"transport": "mqtt", "id": "client_id"}},
        {"event": "upstreamMessage", "data": {"kind": "register", "refused": "no"}},
        {"lost": 4},
        {"lost": None, "restarted": "2024-04-25 20:00:00"},
    ) == [
        "20:23:36 pump clientConnected",
        "20:23:36 pump upstreamMessage telemetry 9 bytes",
        "20:23:36 pump gatewayUpstreamMessage telemetry 9 bytes gateway=hall gateway 2",
        "20:23:36 hall …eway 2 gatewayConnected",
        "20:23:36 - upstreamMessage register refused=no",
        "4 activities were missed",
        missed({"lost": None, "restarted": "2024-04-25 20:00:00"}),
    ]


def test_on_a_narrow_terminal_what_happened_goes_on_below_and_nothing_of_it_is_lost() -> None:
    written = io.StringIO()
    step = {"status": "DOWNLOADING", "progress": "40", "code": "NETWORK", "message": "the server closed the connection, it is tried again"}
    with Names() as operator:
        view = View(Console(file=written, highlight=False, width=80, force_terminal=True, color_system=None), operator)
        view.show({"time": "2024-04-25 20:23:36", "event": "firmwareStateChange", "deviceId": "d-1", "data": step})
    assert written.getvalue().splitlines() == [
        "20:23:36  pump          firmwareStateChange  DOWNLOADING   [#####--------]  40 %",
        f"{'':45}NETWORK: the server closed the",
        f"{'':45}connection, it is tried again",
    ]


def test_a_report_on_a_command_is_shown_as_it_was_with_what_the_device_said() -> None:
    now = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    data = {"kind": "command", "command": "blink", "status": "failed", "bytes": "128"}
    message = {"event": "upstreamMessage", "deviceId": "d-1", "data": data}
    assert shown({**message, "time": now})[0].endswith("command blink failed times: at most 20 128 bytes")
    assert shown(message)[0].endswith("command blink failed 128 bytes")
    begun = {**message, "time": now, "data": {**data, "status": "in_progress"}}
    assert shown(begun)[0].endswith("command blink in_progress 128 bytes")
    refused = {**message, "time": now, "data": {"kind": "command", "refused": "no"}}
    assert shown(refused)[0].endswith("command refused=no")
    assert "times" not in shown({**message, "time": now}, there=False)[0]


def test_a_reading_is_shown_while_it_is_the_newest_and_not_when_it_is_told_again_later() -> None:
    now = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    message = {"event": "upstreamMessage", "deviceId": "d-1", "data": {"kind": "telemetry"}}
    assert shown({**message, "time": now})[0].endswith("telemetry tank low level=1.25 on=True")
    assert shown(message)[0].endswith("telemetry")


def test_what_a_device_says_neither_steers_the_terminal_nor_ends_the_line() -> None:
    named = {"event": "deviceCreated", "deviceId": "x-1", "data": {"name": "a\x1b]52;c;eA==\x07\x9b2J\n20:00 pump\u202e", "model": "é €"}}
    assert shown(named) == ["20:23:36 a?]0;b?c deviceCreated name=a?]52;c;eA==??2J?20:00 pump? model=é €"]


def test_a_hub_that_goes_away_costs_no_line() -> None:
    assert shown({"event": "deviceUpdated", "deviceId": "0123456789abc"}, there=False) == ["20:23:36 01234567 deviceUpdated"]
