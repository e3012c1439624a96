"""The Span facet: seed 003's web socket with its examples, who may connect, what a subscriber can cost, and the calls around it."""

import asyncio
import base64
import functools
import json
import random
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from databases import url_in
from hub_support import TRUST, Board, MqttBoard
from sqlalchemy import insert
from waiting import DEADLINE, wait_for
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection as SyncConnection
from websockets.sync.client import connect
from xyte_bench import DEVICES, Bench, Device

from tools.hub.activity import EVENTS, QUEUE, ActivityFeed
from tools.hub.domain import updates
from tools.hub.domain.model import get_device
from tools.hub.facets.span import activity_socket
from tools.hub.hub import Hub, Settings
from tools.hub.process import HubProcess
from tools.hub.security.signer import Signer
from tools.hub.security.tokens import Tokens
from tools.hub.server.web import Server, config
from tools.hub.store import tables

KEY = "the-operator-key"
COLLECTION, DEVICE = "17dj5j4ce8bkci", "17kl14hm46h4c2"
SEED = """\
{"collectionId":"17dj5j4ce8bkci","data":{"id":"certificate"},"deviceId":"17kl14hm46h4c2","event":"clientConnected","time":"2024-04-25 20:23:36"}
{"collectionId":"17dj5j4ce8bkci","data":{"bytes":"9","transport":"unspecified"},"deviceId":"17kl14hm46h4c2","event":"upstreamMessage","time":"2024-04-25 20:23:36"}
{"collectionId":"17dj5j4ce8bkci","deviceId":"17kl14hm46h4c2","event":"clientDisconnected","time":"2024-04-25 20:23:37"}
"""  # noqa: E501
NOBODY = "00000000-0000-0000-0000-000000000000"


# ---- a hub in this process, its feed in the test's hand


class Served:
    """A hub's application behind a real socket, on the test's own event loop."""

    def __init__(self, hub: Hub, server: Any, port: int) -> None:
        self.hub = hub
        self.tokens = hub.tokens
        self.url = f"ws://127.0.0.1:{port}/span/collections/{COLLECTION}/activity"
        self._server = server
        self._port = port

    def subscribe(self, query: str = "", token: str | None = KEY, **more: Any) -> connect_async:
        headers = {} if token is None else {"X-API-Token": token}
        return connect_async(self.url + query, additional_headers=headers, compression=None, **more)

    @property
    def subscriptions(self) -> list[Any]:
        return list(self.hub.activities._subscriptions)

    def narrow_socket(self) -> socket.socket:
        """A connection with little room, so that it is full soon when nobody reads."""
        made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        made.connect(("127.0.0.1", self._port))
        made.setblocking(False)
        return made

    def unsent(self) -> list[int]:
        """Bytes of each connection that the hub has written and the system has not taken."""
        return [protocol.transport.get_write_buffer_size() for protocol in self._server.server_state.connections]

    def emit(self, event: str = "upstreamMessage", device: str | None = DEVICE, **data: str) -> int:
        return self.hub.activities.emit(event, COLLECTION, device, data).seq


_signers: list[Signer] = []


def signer(folder: Path) -> Signer:
    """One for all tests: making its key takes longer than most of them."""
    if not _signers:
        _signers.append(Signer.kept(folder / "license.key"))
    return _signers[0]


@asynccontextmanager
async def serving(folder: Path, keepalive: float = 15.0, feed: ActivityFeed | None = None, send_buffer: int | None = None) -> Any:
    settings = Settings(folder, KEY, url_in(folder), signer(folder), keepalive=keepalive)
    hub = Hub(settings)
    if feed is not None:
        hub.activities = feed
    await hub.open()
    row = {"id": COLLECTION, "space_id": "hall", "name": "Hall", "info": {}}
    await hub.do(lambda unit: unit.db.execute(insert(tables.spaces).values(row)))
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if send_buffer is not None:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    server = Server(config(hub, None))
    task = asyncio.create_task(server.serve([listener]))
    await until(lambda: server.started)
    try:
        yield Served(hub, server, listener.getsockname()[1])
    finally:
        hub.activities.close()
        server.should_exit = True
        await task
        await hub.close()


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.005)


async def said(client: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(DEADLINE):
        message = await client.recv()
    body = json.loads(message)
    assert isinstance(body, dict)
    return body


async def closed(client: ClientConnection) -> tuple[int, str]:
    """Code and reason of the close that the hub sends."""
    with pytest.raises(ConnectionClosed) as ended:
        async with asyncio.timeout(DEADLINE):
            while True:
                await client.recv()
    assert ended.value.rcvd is not None
    return ended.value.rcvd.code, ended.value.rcvd.reason


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(scenario())  # type: ignore[arg-type]


# ---- what is told


def test_the_seeds_own_session_comes_out_as_the_seed_shows_it(tmp_path: Path) -> None:
    now = 1714076616.9  # 2024-04-25 20:23:36
    feed = ActivityFeed(clock=lambda: now)

    async def scenario() -> None:
        nonlocal now
        async with serving(tmp_path, feed=feed) as hub, hub.subscribe() as client:
            await until(lambda: hub.subscriptions)
            hub.emit("clientConnected", id="certificate")
            hub.emit("upstreamMessage", bytes="9", transport="unspecified")
            now += 1
            hub.emit("clientDisconnected")
            assert [await said(client) for _ in range(3)] == [json.loads(line) for line in SEED.splitlines()]

    run(scenario)


def test_each_event_of_the_seed_can_be_asked_for(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as hub:
            for event in sorted(EVENTS):
                async with hub.subscribe(f"?event={event}") as client:
                    await until(lambda: hub.subscriptions)
                    for other in EVENTS:
                        hub.emit(other)
                    assert (await said(client))["event"] == event
                await until(lambda: not hub.subscriptions)

    run(scenario)


def test_a_message_has_the_seeds_keys_and_no_number_but_as_text(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as hub, hub.subscribe() as client:
            await until(lambda: hub.subscriptions)
            hub.hub.activities.emit("gatewayConnected", COLLECTION, None, {"transport": "mqtt"}, "gw")
            body = await said(client)
            assert set(body) == {"collectionId", "data", "event", "gatewayId", "time"}
            assert all(isinstance(value, str) for value in body["data"].values())

    run(scenario)


def test_other_collections_devices_and_events_are_not_told(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as hub, hub.subscribe("?deviceId=gw&event=gatewayUpstreamMessage") as client:
            await until(lambda: hub.subscriptions)
            hub.hub.activities.emit("gatewayUpstreamMessage", "elsewhere", "child", {}, "gw")
            hub.hub.activities.emit("gatewayUpstreamMessage", COLLECTION, "other")
            hub.hub.activities.emit("upstreamMessage", COLLECTION, "gw")
            hub.hub.activities.emit("gatewayUpstreamMessage", COLLECTION, "child", {"bytes": "1"}, "gw")
            body = await said(client)
            assert (body["deviceId"], body["gatewayId"], body["data"]) == ("child", "gw", {"bytes": "1"})

    run(scenario)


def test_a_collection_is_told_of_a_device_that_leaves_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as hub, hub.subscribe() as client:
            await until(lambda: hub.subscriptions)
            hub.hub.activities.emit("deviceMoved", "elsewhere", DEVICE, {"fromCollectionId": "nowhere"})
            hub.hub.activities.emit("deviceMoved", "elsewhere", DEVICE, {"fromCollectionId": COLLECTION})
            assert (await said(client))["data"] == {"fromCollectionId": COLLECTION}

    run(scenario)


def test_since_gives_what_came_after_and_numbers_each(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as hub:
            numbers = [hub.emit(bytes=str(n)) for n in range(5)]
            async with hub.subscribe(f"?since={numbers[2]}") as client:
                assert [(await said(client))["seq"] for _ in range(2)] == numbers[3:]
                numbers.append(hub.emit())
                assert (await said(client))["seq"] == numbers[5]
            async with hub.subscribe("?since=0") as client:
                assert [(await said(client))["seq"] for _ in numbers] == numbers

    run(scenario)


def test_since_before_what_the_ring_has_tells_how_many_are_lost(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path, feed=ActivityFeed(ring=3)) as hub:
            numbers = [hub.emit() for _ in range(10)]
            async with hub.subscribe(f"?since={numbers[1]}") as client:
                assert await said(client) == {"lost": 5}
                assert (await said(client))["seq"] == numbers[7]
            async with hub.subscribe(f"?since={numbers[6]}") as client:
                assert (await said(client))["seq"] == numbers[7]

    run(scenario)


def test_since_before_the_hubs_start_tells_of_the_restart(tmp_path: Path) -> None:
    before = ActivityFeed(clock=lambda: 1714076600.0).emit("upstreamMessage", COLLECTION).seq

    async def scenario() -> None:
        async with serving(tmp_path, feed=ActivityFeed(clock=lambda: 1714076616.0)) as hub:
            now = hub.emit()
            async with hub.subscribe(f"?since={before}") as client:
                assert await said(client) == {"lost": None, "restarted": "2024-04-25 20:23:36"}
                assert (await said(client))["seq"] == now

    run(scenario)


def test_a_long_past_comes_whole_and_in_order(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as hub:
            numbers = [hub.emit() for _ in range(3 * QUEUE)]
            async with hub.subscribe("?since=0") as client:
                assert [(await said(client))["seq"] for _ in numbers] == numbers

    run(scenario)


# ---- who may


def test_a_jwt_as_the_first_message_lets_in(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as hub:
            jwt = hub.tokens.jwt("read", time.time() + 60)
            # spancli sends empty texts for what it does not have, as text; others may send bytes and leave keys out
            first = {"jwt": jwt, "collectionId": COLLECTION, "deviceId": "", "gatewayId": ""}
            for message in (json.dumps(first), json.dumps({"jwt": jwt}).encode()):
                async with hub.subscribe(token=None) as client:
                    await client.send(message)
                    await until(lambda: hub.subscriptions)
                    hub.emit()
                    assert (await said(client))["event"] == "upstreamMessage"
                await until(lambda: not hub.subscriptions)

    run(scenario)


@pytest.mark.parametrize("name", ["deviceId", "gatewayId"])
def test_the_ids_beside_the_jwt_bound_what_is_told(tmp_path: Path, name: str) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as hub, hub.subscribe(token=None) as client:
            await client.send(json.dumps({"jwt": hub.tokens.jwt("write", time.time() + 60), name: "mine"}))
            await until(lambda: hub.subscriptions)
            hub.emit(device="other")
            hub.emit(device="mine")
            assert (await said(client))["deviceId"] == "mine"

    run(scenario)


def test_a_first_message_that_is_no_valid_jwt_ends_the_connection(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as hub:
            good, soon = hub.tokens.jwt("read", time.time() + 60), time.time() + 60
            head, claims, signature = good.split(".")
            none = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
            wrong: list[Any] = [
                {"jwt": "x"}, {"jwt": ""}, {"jwt": 1}, {}, {"jwt": KEY}, {"jwt": hub.tokens.jwt("read", time.time() - 1)},
                {"jwt": Tokens("another key").jwt("write", soon)}, {"jwt": f"{head}.{claims}.{signature[:-2]}"},
                {"jwt": f"{none}.{claims}."}, {"jwt": "é.é.é"}, {"jwt": "a" * 5000}, {"jwt": good, "collectionId": "another"},
            ]  # fmt: skip
            for message in [json.dumps(body) for body in wrong] + ["", "[]", "{", b"\xff", '"x"']:
                async with hub.subscribe(token=None) as client:
                    await client.send(message)
                    code, reason = await closed(client)
                    assert code == 1008 and reason, message
            assert not hub.subscriptions

    run(scenario)


def test_who_says_nothing_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activity_socket, "JWT_SECONDS", 0.05)

    async def scenario() -> None:
        async with serving(tmp_path) as hub, hub.subscribe(token=None) as client:
            assert await closed(client) == (1008, "Not authorized: no JWT came")

    run(scenario)


def test_strangers_take_no_more_than_their_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activity_socket, "STRANGERS_MAX", 1)

    async def scenario() -> None:
        async with serving(tmp_path) as hub, hub.subscribe(token=None) as first:
            with pytest.raises(InvalidStatus) as refused:
                await hub.subscribe(token=None)
            assert refused.value.response.status_code == 429
            async with hub.subscribe():
                pass
            await first.send(json.dumps({"jwt": hub.tokens.jwt("read", time.time() + 60)}))
            await until(lambda: hub.subscriptions)
            async with hub.subscribe(token=None):
                pass

    run(scenario)


def test_who_leaves_before_the_jwt_leaves_nothing_behind(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as hub:
            async with hub.subscribe(token=None):
                pass
            async with hub.subscribe() as client:
                await until(lambda: hub.subscriptions)
                hub.emit()
                await said(client)
            await until(lambda: not hub.subscriptions)

    run(scenario)


def test_an_unknown_collection_is_told_only_to_who_may_know(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as hub:
            hub.url = hub.url.replace(COLLECTION, "00000000000000")
            with pytest.raises(InvalidStatus) as refused:
                await hub.subscribe()
            assert refused.value.response.status_code == 404
            async with hub.subscribe(token=None) as client:
                await client.send(json.dumps({"jwt": hub.tokens.jwt("read", time.time() + 60)}))
                assert await closed(client) == (1008, "Collection not found")

    run(scenario)


# ---- what a subscriber can cost


def test_a_slow_subscriber_loses_the_oldest_is_told_and_costs_no_more_than_its_queue(tmp_path: Path) -> None:
    many = 2 * QUEUE

    async def scenario() -> None:
        async with (
            serving(tmp_path, feed=ActivityFeed(ring=10), send_buffer=4096) as hub,
            hub.subscribe(sock=hub.narrow_socket(), max_queue=1) as slow,
            hub.subscribe() as quick,
        ):
            await until(lambda: len(hub.subscriptions) == 2)
            got_by_quick = asyncio.create_task(count(quick, many))
            for number in range(many):
                hub.emit(number=str(number), filler="x" * 1000)
                if number % 20 == 0:
                    await until(lambda: min(len(item._waiting) for item in hub.subscriptions) < 100)
            assert await got_by_quick == many, "who keeps up loses nothing because of who does not"
            assert max(len(item._waiting) for item in hub.subscriptions) == QUEUE
            assert max(hub.unsent()) < 70_000, "bytes that wait to be sent, beside the queue"
            seen, lost = [], 0
            while len(seen) + lost < many:
                body = await said(slow)
                lost += body.get("lost", 0)
                if "event" in body:
                    seen.append(int(body["data"]["number"]))
            assert lost > QUEUE // 2
            assert seen == sorted(seen) and seen[-QUEUE:] == list(range(many - QUEUE, many)), "the oldest went"

    async def count(client: ClientConnection, wanted: int) -> int:
        number = 0
        while number < wanted:
            number += 1 if "event" in await said(client) else 0
        return number

    run(scenario)


def test_who_takes_nothing_at_all_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activity_socket, "SEND_SECONDS", 0.1)

    async def scenario() -> None:
        async with serving(tmp_path, send_buffer=4096) as hub, hub.subscribe(sock=hub.narrow_socket(), max_queue=1, close_timeout=0.1):
            await until(lambda: hub.subscriptions)
            for _ in range(50):
                hub.emit(filler="x" * 20_000)
            await until(lambda: not hub.subscriptions)

    run(scenario)


def test_pings_come_on_a_quiet_line_and_who_does_not_answer_is_closed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path, keepalive=0.1) as hub:
            host, _, rest = hub.url.removeprefix("ws://").partition("/")
            reader, writer = await asyncio.open_connection(*host.split(":"))
            writer.write(
                f"GET /{rest} HTTP/1.1\r\nHost: {host}\r\nX-API-Token: {KEY}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
            )
            async with asyncio.timeout(DEADLINE):
                assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
                ping = await reader.readexactly(6)  # RFC 6455 §5.5.2
                assert ping[0] == 0x89 and ping[1] == 4
                end = await reader.read()
            assert end[0] == 0x88 and b"keepalive" in end
            writer.close()
            await until(lambda: not hub.subscriptions)

    run(scenario)


def test_who_answers_pings_stays_though_nothing_happens(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path, keepalive=0.5) as hub, hub.subscribe() as client:
            await until(lambda: hub.subscriptions)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.recv(), 2.0)
            hub.emit()
            assert (await said(client))["event"] == "upstreamMessage"

    run(scenario)


def test_what_a_subscriber_says_is_not_of_interest_unless_it_is_too_much(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as hub, hub.subscribe() as client:
            await until(lambda: hub.subscriptions)
            for number in range(200):
                await client.send(f"{number}")
                await client.send(b"\x00\xff")
            hub.emit()
            assert (await said(client))["event"] == "upstreamMessage"
            await client.send("x" * (64 * 1024 + 1))
            assert (await closed(client))[0] == 1009
            await until(lambda: not hub.subscriptions)

    run(scenario)


def test_a_hub_that_stops_says_so(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as hub, hub.subscribe() as client:
            await until(lambda: hub.subscriptions)
            hub.hub.activities.close()
            assert await closed(client) == (1001, "the hub stops")

    run(scenario)


# ---- a hub process


@functools.cache
def _home(url: str, key: str) -> str:
    answer = httpx.get(f"{url}/span/collections", headers={"X-API-Token": key})
    return next(str(item["collectionId"]) for item in answer.json()["collections"] if item["tags"] == {"name": "Unclaimed"})


def home(hub: HubProcess) -> str:
    """The collection of unclaimed devices, which every hub has."""
    return _home(hub.url, hub.operator_key)


@contextmanager
def listening(hub: HubProcess, collection: str, query: str = "", headers: dict[str, str] | None = None) -> Iterator[SyncConnection]:
    headers = {"X-API-Token": hub.operator_key} if headers is None else headers
    url = f"{hub.url.replace('http', 'ws', 1)}/span/collections/{collection}/activity{query}"
    with connect(url, additional_headers=headers, compression=None) as client:
        yield client


def collect(client: SyncConnection, last: str) -> list[dict[str, Any]]:
    """What comes, up to the first with this event."""
    found: list[dict[str, Any]] = []
    while not found or found[-1]["event"] != last:
        found.append(json.loads(client.recv(timeout=DEADLINE)))
    return found


class Span:
    """A client of the REST side."""

    def __init__(self, hub: HubProcess, headers: dict[str, str] | None = None) -> None:
        self.http = httpx.Client(
            base_url=f"{hub.url}/span", headers={"X-API-Token": hub.operator_key} if headers is None else headers, verify=TRUST
        )

    def call(self, method: str, path: str, body: Any = None, **query: str | int) -> httpx.Response:
        return self.http.request(method, path, json=body, params=query)

    def ok(self, method: str, path: str, body: Any = None, **query: str | int) -> dict[str, Any]:
        answer = self.call(method, path, body, **query)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def refused(self, status: int, method: str, path: str, body: Any = None, **query: str | int) -> str:
        """The message of a refusal, which has the vendor's shape."""
        answer = self.call(method, path, body, **query)
        return check_error(answer, status)


def check_error(answer: httpx.Response, status: int) -> str:
    codes = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 409: 6}
    assert answer.status_code == status, answer.text
    error = answer.json()
    assert set(error) == {"code", "message", "details"} and error["details"] == []
    assert error["code"] == codes[status]
    return str(error["message"])


@pytest.fixture(scope="module")
def api(hub: HubProcess) -> Iterator[Span]:
    made = Span(hub)
    with made.http:
        yield made


def path_of(board: Board, end: str = "") -> str:
    return f"/collections/{board.hub.operator.device(board.id)['collection_id']}/devices/{board.id}{end}"


def tokens(hub: HubProcess, **body: Any) -> dict[str, str]:
    with Span(hub).http as http:
        made: dict[str, str] = http.post("/operator/tokens", json=body).json()
    return made


def test_what_a_device_does_is_told_while_it_does_it(hub: HubProcess, board: Board) -> None:
    with listening(hub, home(hub), f"?deviceId={board.id}") as client:
        board.post("/telemetry", {"telemetries": {"a": 1}})
        connected, message = collect(client, "upstreamMessage")
    assert connected["event"] == "clientConnected" and connected["data"] == {"transport": "unspecified", "id": "access_key"}
    assert message == {
        "collectionId": home(hub), "data": {"bytes": "23", "kind": "telemetry", "transport": "unspecified"}, "deviceId": board.id,
        "event": "upstreamMessage", "time": message["time"],
    }  # fmt: skip


def test_the_three_ways_to_authenticate_and_the_operators_own(hub: HubProcess, board: Board) -> None:
    made = tokens(hub)
    ways: list[tuple[str, dict[str, str]]] = [
        ("", {"X-API-Token": hub.operator_key}),
        ("", {"X-API-Token": made["apiToken"]}),
        (f"&api_token={made['apiToken']}", {}),
        ("", {"Authorization": f"TOKEN {made['jwt']}"}),
        ("", {"Authorization": hub.operator_key}),
        ("", {"Authorization": f"Bearer {hub.operator_key}"}),
    ]
    for query, headers in ways:
        with listening(hub, home(hub), f"?since=0&deviceId={board.id}{query}", headers) as client:
            assert collect(client, "deviceCreated")
        assert httpx.get(f"{hub.url}/span/collections?{query}", headers=headers, verify=TRUST).status_code == 200
    with listening(hub, home(hub), f"?since=0&deviceId={board.id}", {}) as client:
        client.send(json.dumps({"jwt": made["jwt"]}))
        assert collect(client, "deviceCreated")


def test_wrong_keys_are_401_in_the_handshake_and_on_every_call(hub: HubProcess, board: Board) -> None:
    jwt = Tokens("another").jwt("write", time.time() + 60)
    wrong: list[tuple[str, dict[str, str]]] = [
        ("", {"X-API-Token": "wrong"}),
        ("", {"X-API-Token": board.key}),
        ("?api_token=wrong", {}),
        (f"?api_token={hub.operator_key}", {}),  # a token that writes does not belong into an address
        ("", {"Authorization": f"TOKEN {jwt}"}),
        ("", {"Authorization": f"TOKEN {hub.operator_key}"}),
        ("", {"Authorization": "wrong"}),
        (f"?api_token={tokens(hub)['apiToken']}", {"X-API-Token": "wrong"}),  # a right one does not heal a wrong one
    ]
    for query, headers in wrong:
        with pytest.raises(InvalidStatus) as refused, listening(hub, home(hub), query, headers):
            pass
        assert refused.value.response.status_code == 401
        assert json.loads(refused.value.response.body or b"")["code"] == 16
        check_error(httpx.get(f"{hub.url}/span/collections{query}", headers=headers, verify=TRUST), 401)


@pytest.mark.parametrize("query", ["event=nothing", "since=x", "since=-1", "since=1.5", "since=%C2%B2", "since=" + "9" * 30])
def test_a_question_that_makes_no_sense_is_refused_in_the_handshake(hub: HubProcess, query: str) -> None:
    with pytest.raises(InvalidStatus) as refused, listening(hub, home(hub), f"?{query}"):
        pass
    assert refused.value.response.status_code == 400
    assert query.partition("=")[0] in json.loads(refused.value.response.body or b"")["message"]


@functools.cache
def openapi(url: str) -> dict[str, Any]:
    paths: dict[str, Any] = httpx.get(f"{url}/openapi.json").json()["paths"]
    return paths


def routes(hub: HubProcess) -> list[tuple[str, str]]:
    """Every call of the facet, as OpenAPI has it, with ids of nobody."""
    paths = openapi(hub.url)
    ids = {"{collection_id}": home(hub), "{device_id}": NOBODY, "{message_id}": NOBODY}
    filled = {path: functools.reduce(lambda text, name: text.replace(name, ids[name]), ids, path) for path in paths if path[:5] == "/span"}
    return [(method.upper(), filled[path]) for path in filled for method in paths[path]]


def test_no_call_but_system_is_answered_without_a_token(hub: HubProcess) -> None:
    assert len(routes(hub)) >= 15
    with httpx.Client(base_url=hub.url) as http:
        for method, path in routes(hub):
            answer = http.request(method, path, json={})
            if path == "/span/system":
                assert answer.json() == {"version": "4.10.0"}
            else:
                check_error(answer, 401)


def test_a_token_that_only_reads_changes_nothing(hub: HubProcess, board: Board) -> None:
    made = tokens(hub)
    for headers in ({"X-API-Token": made["apiToken"]}, {"Authorization": f"TOKEN {made['jwt']}"}):
        with Span(hub, headers).http as http:
            for method, path in routes(hub):
                answer = http.request(method, hub.url + path, json={})
                if path.endswith("/tokens"):
                    check_error(answer, 401)
                elif method != "GET":
                    check_error(answer, 403)
                else:
                    assert answer.status_code in (200, 400, 404), path
            assert http.get(path_of(board)).status_code == 200
    assert hub.operator.device(board.id)["name"]


def test_a_jwt_that_writes_does_for_as_long_as_it_was_made_for(hub: HubProcess, board: Board) -> None:
    made = tokens(hub, write=True, seconds=60)
    assert 0 < int(made["expires"]) - time.time() * 1000 <= 61_000
    Span(hub, {"Authorization": f"TOKEN {made['jwt']}"}).ok("PATCH", path_of(board), {"tags": {"name": "by JWT"}})
    assert hub.operator.device(board.id)["name"] == "by JWT"
    old = Tokens(hub.operator_key).jwt("write", time.time() - 1)
    Span(hub, {"Authorization": f"TOKEN {old}"}).refused(401, "GET", "/collections")


@pytest.mark.parametrize("body", [{"seconds": 0}, {"seconds": "1"}, {"seconds": True}, {"seconds": 10**10}, {"write": 1}, [1]])
def test_tokens_are_not_made_for_nonsense(api: Span, body: Any) -> None:
    api.refused(400, "POST", "/operator/tokens", body)


def test_tokens_are_in_no_log(hub: HubProcess) -> None:
    log = hub.data / "hub.log"
    before = log.stat().st_size
    made = tokens(hub)
    with listening(hub, home(hub), f"?api_token={made['apiToken']}", {}):
        httpx.get(f"{hub.url}/span/collections?api_token={made['apiToken']}")
    for wrong in (hub.operator_key, "planted-wrong-token"):
        with pytest.raises(InvalidStatus), listening(hub, home(hub), f"?api_token={wrong}", {}):
            pass
    with listening(hub, home(hub), "", {}) as client:
        client.send(json.dumps({"jwt": made["jwt"] + "x"}))
        with pytest.raises(ConnectionClosed):
            client.recv(timeout=DEADLINE)
    written = log.read_bytes()
    for secret in (made["apiToken"], made["jwt"].rpartition(".")[2], hub.operator_key, "planted-wrong-token"):
        assert secret.encode() not in written
    assert b" ERROR " not in written[before:], "a stranger's mistake is no error of the hub"


def test_a_restarted_hub_takes_the_same_tokens_and_tells_of_the_restart(tmp_path: Path) -> None:
    with HubProcess(tmp_path) as hub, Board.registered(hub) as board:
        token = tokens(hub)["apiToken"]
        with listening(hub, home(hub), "?since=0", {"X-API-Token": token}) as client:
            seen = collect(client, "firmwareCheck")[-1]["seq"]
            hub.kill()
            with pytest.raises(ConnectionClosed):
                client.recv(timeout=DEADLINE)
        hub.start()
        board.post("/telemetry", {})
        with listening(hub, home(hub), f"?since={seen}", {"X-API-Token": token}) as client:
            gap = json.loads(client.recv(timeout=DEADLINE))
            assert gap["lost"] is None and gap["restarted"]
            assert [item["event"] for item in collect(client, "upstreamMessage")] == ["clientConnected", "upstreamMessage"]


# ---- collections and devices


def test_collections_are_the_hubs_spaces(hub: HubProcess, api: Span, board: Board) -> None:
    board.claim(space_id="span-hall")
    made = api.ok("POST", "/collections", {"tags": {"name": "Hall 3"}})
    assert made == {"collectionId": made["collectionId"], "enabled": True, "tags": {"name": "Hall 3", "space": made["collectionId"]}}
    found = {item["tags"].get("space"): item for item in api.ok("GET", "/collections")["collections"]}
    assert found[made["collectionId"]] == made
    assert found["span-hall"]["tags"]["name"] == "Space span-hall" and found[None]["tags"] == {"name": "Unclaimed"}
    path = f"/collections/{made['collectionId']}"
    assert api.ok("GET", path) == made
    assert api.ok("PATCH", path, {"tags": {"name": "Hall 4"}})["tags"]["name"] == "Hall 4"
    assert api.ok("PATCH", path, {})["tags"]["name"] == "Hall 4"
    assert api.ok("POST", "/collections", {})["tags"]["name"].startswith("Collection ")


@pytest.mark.parametrize(
    "body", [{"tags": {"other": "x"}}, {"tags": "x"}, {"tags": {"name": 1}}, {"teamId": "x"}, [1], {"tags": {"name": ""}}]
)
def test_what_a_collection_does_not_keep_is_refused(api: Span, body: Any) -> None:
    api.refused(400, "POST", "/collections", body)
    path = f"/collections/{api.ok('POST', '/collections', {})['collectionId']}"
    api.refused(400, "PATCH", path, body)


def test_the_home_of_the_unclaimed_keeps_its_name(hub: HubProcess, api: Span) -> None:
    api.refused(400, "PATCH", f"/collections/{home(hub)}", {"tags": {"name": "x"}})


@pytest.mark.parametrize("path", ["", "/devices", f"/devices/{NOBODY}", f"/devices/{NOBODY}/inbox"])
@pytest.mark.parametrize("collection", ["00000000000000", "x", "%00", "..%2f", "é", "a" * 500])
def test_an_unknown_collection_is_404(api: Span, collection: str, path: str) -> None:
    api.refused(404, "GET", f"/collections/{collection}{path}")


def test_a_device_is_shown_as_the_vendor_shows_one(hub: HubProcess, api: Span) -> None:
    with Board.registered(hub, details={"imsi": "242016000001234", "imei": 350457790000001}, name="pump") as board:
        hub.operator.set_model(board.asked["hardware_key"], latest_fw_version="1.1.0", latest_fw_file_id="f-2")
        board.post("/telemetry", {"telemetries": {"a": 1}, "status": "online", "message": "fine"})
        shown = api.ok("GET", path_of(board))
        payload = json.loads(base64.b64decode(shown.pop("lastPayload")))
        listed = next(item for item in api.ok("GET", f"/collections/{home(hub)}/devices")["devices"] if item["deviceId"] == board.id)
        assert listed == shown
        assert abs(int(shown.pop("lastReceived")) / 1000 - time.time()) < 60
        assert shown == {
            "deviceId": board.id, "collectionId": home(hub), "tags": {"name": "pump"}, "lastTransport": "unspecified", "enabled": True,
            "config": {"ciot": {"imsi": "242016000001234", "imei": "350457790000001"}},
            "firmware": {
                "currentFirmwareId": "", "targetFirmwareId": "f-2", "firmwareVersion": "1.0.0", "serialNumber": board.asked["sn"],
                "modelNumber": board.asked["hardware_key"], "manufacturer": "", "state": "update required",
                "stateMessage": "the latest is 1.1.0",
            },
        }  # fmt: skip
        assert payload == {"telemetries": {"a": 1}, "status": "online", "message": "fine", "timestamp": payload["timestamp"]}
        hub.operator.set_model(board.asked["hardware_key"], latest_fw_version="1.0.0", latest_fw_file_id="f-1")
        current = api.ok("GET", path_of(board))["firmware"]
        assert (current["currentFirmwareId"], current["state"], current["stateMessage"]) == ("f-1", "current", "")


def test_the_firmware_state_is_another_one_after_each_firmware_state_change(bench: Bench, device: Device) -> None:
    def state() -> tuple[str, str]:
        firmware = bench.operator("GET", path)["firmware"]
        assert [item["firmware"] for item in bench.operator("GET", path.rpartition("/")[0])["devices"]] == [firmware]
        return firmware["state"], firmware["stateMessage"]

    def event(status: str, progress: int) -> None:
        said = {"requestUUID": NOBODY, "status": status, "statusProgress": progress, "statusCode": "", "message": ""}
        bench.do(lambda unit: updates.report(unit, get_device(unit.db, device.id), said, None))

    path = f"/span/collections/{bench.operator('GET', f'{DEVICES}/{device.id}')['collection_id']}/devices/{device.id}"
    command = bench.command(device, "update_firmware", extra_params={"url": "http://192.168.4.1/a.zip"})["id"]
    seen = [state()]
    for status, message in (
        ("in_progress", "Downloading 40 %"),
        ("in_progress", "Deploying 10 %"),
        ("in_progress", None),
        ("failed", "no"),
    ):
        bench.now += 1
        device.post("/command", {"id": command, "status": status, "message": message})
        seen.append(state())
    for status, progress in (("Downloading", 50), ("Deploying", 0), ("Success", 100)):
        bench.now += 1
        event(status, progress)
        seen.append(state())
    assert seen == [
        ("unknown", ""), ("downloading", "Downloading 40 %"), ("installing", "Deploying 10 %"), ("updating", "0 %"), ("unknown", ""),
        ("downloading", "50 %"), ("installing", "0 %"), ("unknown", ""),
    ]  # fmt: skip
    assert len(bench.activities(device.id, "firmwareStateChange")) == len(seen) - 1


def test_a_device_behind_a_gateway_is_shown_with_it(hub: HubProcess, api: Span, board: Board) -> None:
    with Board.registered(hub, parent_id=board.id) as child:
        child.post("/telemetry", {"telemetries": {"a": 1}})
        shown = api.ok("GET", path_of(child))
        assert shown["lastGatewayId"] == board.id and shown["config"] == {"gateway": {"gatewayId": board.id}}
        assert shown["lastTransport"] == "gateway"
        message = api.ok("GET", path_of(child, "/inbox"))["messages"][0]
        assert (message["transport"], message["gatewayId"]) == ("gateway", board.id)


def test_a_device_is_moved_renamed_and_removed(hub: HubProcess, api: Span, board: Board) -> None:
    target = api.ok("POST", "/collections", {"tags": {"name": "Hall 5"}})["collectionId"]
    moved = api.ok("PATCH", path_of(board), {"collectionId": target, "tags": {"name": "fan"}})
    assert (moved["collectionId"], moved["tags"]) == (target, {"name": "fan"})
    assert names(board.activities("deviceMoved") + board.activities("deviceUpdated")) == ["deviceMoved", "deviceUpdated"]
    assert board.get("/space").json()["name"] == "Hall 5"
    api.refused(404, "GET", f"/collections/{home(hub)}/devices/{board.id}")
    assert [item["deviceId"] for item in api.ok("GET", f"/collections/{target}/devices")["devices"]] == [board.id]
    api.refused(400, "PATCH", path_of(board), {"collectionId": home(hub)})
    path = path_of(board)
    assert api.ok("DELETE", path)["deviceId"] == board.id
    assert board.activities()[-1]["event"] == "deviceRemoved"
    api.refused(404, "DELETE", path)


def test_a_change_that_is_refused_changes_nothing(hub: HubProcess, api: Span, board: Board) -> None:
    target = api.ok("POST", "/collections", {})["collectionId"]
    before = hub.operator.device(board.id)
    for rest in (
        {"imsi": "x"},
        {"tags": {"name": ""}},
        {"tags": {"x": "y"}},
        {"config": {"udp": {}}},
        {"config": {"ciot": {"iccid": "1"}}},
    ):
        api.refused(400, "PATCH", path_of(board), {"collectionId": target, **rest})
    for body in ({"firmware": {"targetFirmwareId": "x"}}, [1], {"imei": 5}, {"tags": 1}, {"config": 1}):
        api.refused(400, "PATCH", path_of(board), body)
    for unknown in ("00000000000000", 5, [], "\ud800", "%"):
        api.refused(404, "PATCH", path_of(board), {"collectionId": unknown}) if unknown != "\ud800" else None
    assert hub.operator.device(board.id) == before


@pytest.mark.parametrize(
    "method,end", [("GET", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/inbox"), ("GET", "/outbox"), ("GET", "/certs")]
)
@pytest.mark.parametrize("device_id", [NOBODY, "x", "%00", "é"])
def test_an_unknown_device_is_404(hub: HubProcess, api: Span, method: str, end: str, device_id: str) -> None:
    api.refused(404, method, f"/collections/{home(hub)}/devices/{device_id}{end}", {} if method == "PATCH" else None)


def test_devices_have_no_certificates(api: Span, board: Board) -> None:
    assert api.ok("GET", path_of(board, "/certs")) == {"certificates": []}


# ---- inbox and outbox


def test_the_inbox_has_what_the_device_has_sent_newest_first(hub: HubProcess, api: Span, board: Board) -> None:
    board.post("/telemetry", {"telemetries": {"n": 0}, "timestamp": "2024-04-25T20:23:36.000Z", "override": True})
    with MqttBoard(board) as mqtt:
        mqtt.send("telemetry", {"telemetries": {"n": 1}, "status": "error"})
        wait_for(lambda: len(hub.operator.history(board.id)) == 2)
    newest, oldest = api.ok("GET", path_of(board, "/inbox"))["messages"]
    assert set(newest) == {"messageId", "collectionId", "deviceId", "transport", "received", "payload"}
    assert (newest["transport"], oldest["transport"]) == ("mqtt", "unspecified")
    assert (newest["deviceId"], newest["collectionId"]) == (board.id, home(hub))
    assert int(newest["messageId"]) > int(oldest["messageId"]) and int(newest["received"]) >= int(oldest["received"])
    said_last = json.loads(base64.b64decode(newest["payload"]))
    assert (said_last["telemetries"], said_last["status"]) == ({"n": 1}, "error")
    assert json.loads(base64.b64decode(oldest["payload"])) == {
        "telemetries": {"n": 0},
        "timestamp": "2024-04-25T20:23:36.000Z",
        "override": True,
    }


def test_the_inbox_is_read_in_pages_and_by_time(api: Span, board: Board) -> None:
    for number in range(5):
        board.post("/telemetry", {"telemetries": {"n": number}})
    path = path_of(board, "/inbox")
    everything = api.ok("GET", path)["messages"]
    assert len(everything) == 5
    first = api.ok("GET", path, limit=2)["messages"]
    second = api.ok("GET", path, limit=2, offset=first[-1]["messageId"])["messages"]
    assert first + second == everything[:4]
    assert api.ok("GET", path, limit=0)["messages"] == everything, "0 is the default"
    times = sorted(int(item["received"]) for item in everything)
    assert len(api.ok("GET", path, start=times[0], end=times[-1] + 1)["messages"]) == 5
    assert api.ok("GET", path, end=times[0] - 1)["messages"] == []
    assert len(api.ok("GET", path, start=times[0])["messages"]) == 5
    assert api.ok("GET", path, start=times[-1] + 5)["messages"] == []


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "x"},
        {"limit": "-1"},
        {"start": "yesterday"},
        {"end": "1e3"},
        {"offset": "x"},
        {"offset": "1", "start": "1"},
        {"limit": "9" * 30},
    ],
)
def test_a_page_that_makes_no_sense_is_refused(api: Span, board: Board, query: dict[str, str]) -> None:
    api.refused(400, "GET", path_of(board, "/inbox"), **query)


def test_a_message_of_the_outbox_is_a_command(hub: HubProcess, api: Span, board: Board) -> None:
    path = path_of(board, "/outbox")
    opaque = api.ok("POST", path, {"payload": base64.b64encode(b"\x00\xff!").decode()})
    assert opaque == {
        "messageId": opaque["messageId"], "collectionId": home(hub), "deviceId": board.id, "createdTime": opaque["createdTime"],
        "sentTime": "0", "transport": "unspecified", "state": "pending", "payload": base64.b64encode(b"\x00\xff!").decode(),
    }  # fmt: skip
    named = {"name": "blink", "parameters": {"times": 2}}
    api.ok("POST", path, {"payload": base64.b64encode(json.dumps(named).encode()).decode()})
    first = board.get("/command").json()
    assert (first["id"], first["name"], first["parameters"]) == (opaque["messageId"], "message", {"payload": opaque["payload"]})
    board.post("/command", {"id": first["id"], "status": "in_progress"})
    board.post("/command", {"id": first["id"], "status": "done"})
    second = board.get("/command").json()
    assert (second["name"], second["parameters"]) == ("blink", {"times": 2})
    board.post("/command", {"id": second["id"], "status": "failed"})
    newest, oldest = api.ok("GET", path)["messages"]
    assert (newest["state"], oldest["state"]) == ("failed", "sent")
    assert json.loads(base64.b64decode(newest["payload"])) == named and oldest["payload"] == opaque["payload"]
    assert int(oldest["sentTime"]) >= int(oldest["createdTime"]) > 0
    assert len(api.ok("GET", path, limit=1)["messages"]) == 1
    assert api.ok("GET", path, end=int(oldest["createdTime"]) - 1000)["messages"] == []
    api.refused(400, "GET", path, offset="1")


def test_a_message_is_taken_back_until_the_device_has_answered_it(hub: HubProcess, api: Span, board: Board) -> None:
    path = path_of(board, "/outbox")
    one, two = (api.ok("POST", path, {"payload": "aGk="})["messageId"] for _ in range(2))
    assert api.ok("DELETE", f"{path}/{one}") == {"messageId": one, "collectionId": home(hub), "deviceId": board.id}
    assert [item["messageId"] for item in api.ok("GET", path)["messages"]] == [two]
    assert board.get("/command").json()["id"] == two
    board.post("/command", {"id": two, "status": "in_progress"})
    assert "in_progress" in api.refused(409, "DELETE", f"{path}/{two}")
    for unknown in (NOBODY, "x", "%00"):
        api.refused(404, "DELETE", f"{path}/{unknown}")


@pytest.mark.parametrize(
    "body",
    [
        {}, {"payload": ""}, {"payload": 5}, {"payload": "no base64!"}, {"payload": "aGk=", "port": 5}, {"payload": "é"}, [1],
        {"payload": base64.b64encode(b'{"name": 5}').decode()}, {"payload": base64.b64encode(b"x" * 40_000).decode()},
        {"payload": base64.b64encode(b'{"name": "x", "parameters": []}').decode()},
    ],
)  # fmt: skip
def test_a_payload_that_is_none_is_refused_and_queues_nothing(hub: HubProcess, api: Span, board: Board, body: Any) -> None:
    api.refused(400, "POST", path_of(board, "/outbox"), body)
    assert hub.operator.commands(board.id) == []


# ---- errors and OpenAPI


def test_errors_have_the_vendors_body_wherever_they_come_from(hub: HubProcess, api: Span) -> None:
    api.refused(404, "GET", "/nothing")
    api.refused(405, "PUT", "/collections")
    assert "ws://" in api.refused(400, "GET", f"/collections/{home(hub)}/activity")
    for body in (b"{", b"\xff", b"[" * 100, b'{"a": NaN}', b"1"):
        check_error(api.http.post("/collections", content=body), 400)
    check_error(api.http.post("/collections", content=b" " * 300_000), 400)
    assert httpx.get(f"{hub.url}/xyte/nothing").json() == {"error": "Not Found: no such path"}, "other facets keep theirs"


def test_random_input_is_never_a_5xx(hub: HubProcess, api: Span, board: Board) -> None:
    chance = random.Random(20261121)
    values = [
        None,
        True,
        0,
        -1,
        2**64,
        1.5,
        "",
        "x",
        "é",
        "\u202e",
        [],
        {},
        "9" * 40,
        {"name": None},
        {"ciot": {"imsi": "24201" * 3}},
        "aGk=",
    ]
    names = ["tags", "config", "collectionId", "imsi", "imei", "payload", "seconds", "write", "x"]
    doors = routes(hub)
    for _ in range(3):
        for method, path in doors:
            path = path.replace(NOBODY, board.id) if method != "DELETE" else path
            body = {chance.choice(names): chance.choice(values) for _ in range(chance.randrange(4))}
            query = {chance.choice(["limit", "start", "end", "offset", "api_token"]): str(chance.choice(values)) for _ in range(2)}
            answer = api.http.request(method, hub.url + path, json=body, params=query)
            assert answer.status_code in (200, 400, 401, 403, 404), (method, path, body, query, answer.text)
            assert isinstance(answer.json(), dict)


def test_openapi_describes_every_call(hub: HubProcess) -> None:
    paths = openapi(hub.url)
    calls = [call for path in paths if path.startswith("/span") for call in paths[path].values()]
    assert all(call["summary"] and call["description"] for call in calls)
    inbox = paths["/span/collections/{collection_id}/devices/{device_id}/inbox"]["get"]
    assert {"limit", "start", "end", "offset"} <= {parameter["name"] for parameter in inbox["parameters"]}


# ---- the events


def sim() -> dict[str, str]:
    """An IMSI and an IMEI that no other test has."""
    return {"imsi": f"24201{random.SystemRandom().randrange(10**10):010d}", "imei": f"35{random.SystemRandom().randrange(10**13):013d}"}


def of(board: Board, event: str) -> list[dict[str, str]]:
    return [item["data"] for item in board.activities(event)]


def test_a_first_registration_with_a_sim_card_is_a_ciot_connect(hub: HubProcess, board: Board) -> None:
    card = sim()
    with Board.registered(hub, details=card) as cellular:
        assert [item["event"] for item in cellular.activities()] == ["deviceCreated", "ciotConnect", "firmwareCheck"]
        assert of(cellular, "ciotConnect") == [card]
    assert of(board, "ciotConnect") == []
    with Board.registered(hub, details={"imsi": "not digits", "imei": True}) as odd:
        assert of(odd, "ciotConnect") == []


def test_a_sim_card_that_comes_in_another_device_is_an_imei_mismatch_of_the_known_one(hub: HubProcess, api: Span) -> None:
    card, other = sim(), sim()
    with Board.registered(hub, details=card) as known, Board.registered(hub, details={**card, "imei": other["imei"]}) as new:
        assert of(known, "imeiMismatch") == [
            {"imsi": card["imsi"], "imei": other["imei"], "knownImei": card["imei"], "newDeviceId": new.id}
        ]
        assert of(known, "imsiMismatch") == of(new, "imeiMismatch") == []
        # "Clear the IMSI field from the old device to fix the error" (seed 003)
        api.ok("PATCH", path_of(known), {"config": {"ciot": {"imsi": ""}}})
        assert hub.operator.device(known.id)["details"] == {"imei": card["imei"]}
        with Board.registered(hub, details={**card, "imei": sim()["imei"]}):
            assert len(of(known, "imeiMismatch")) == 1
        assert len(of(new, "imeiMismatch")) == 1


def test_another_sim_card_in_a_known_device_is_an_imsi_mismatch(hub: HubProcess) -> None:
    card, other = sim(), sim()
    with Board.registered(hub, details=card) as known:
        again = {**known.asked, "details": {"imsi": other["imsi"]}}
        assert httpx.post(f"{hub.entry_url}/v1/devices", json=again).status_code == 422, "it is registered already"
        assert of(known, "imsiMismatch") == [{"imsi": other["imsi"], "knownImsi": card["imsi"]}]
        with Board.registered(hub, details={**card, "imsi": other["imsi"]}) as new:
            assert of(known, "imsiMismatch")[1] == {
                "imsi": other["imsi"], "imei": card["imei"], "knownImsi": card["imsi"], "newDeviceId": new.id,
            }  # fmt: skip


def test_a_registered_device_that_tells_of_another_card_is_a_mismatch_once(hub: HubProcess) -> None:
    card, other = sim(), sim()
    with Board.registered(hub, details=card) as board:
        for details in (card, {**card, "imsi": other["imsi"]}, {**card, "imsi": other["imsi"]}):
            assert board.put("", {"details": details}).status_code == 200
        assert of(board, "imsiMismatch") == [{"imsi": other["imsi"], "imei": card["imei"], "knownImsi": card["imsi"]}]
        board.put("", {"details": {"imsi": other["imsi"], "imei": other["imei"]}})
        assert of(board, "imeiMismatch") == [{**other, "knownImei": card["imei"]}]


@pytest.mark.parametrize(
    ("version", "event", "state"),
    [
        ("1.3.4", "firmwareCurrent", "current"), ("1.3.4+build.7", "firmwareCurrent", "current"),
        ("1.3.4-rc.1", "firmwareUpdateRequired", "update required"), ("1.3.5", None, "unknown"),
    ],
)  # fmt: skip
def test_a_version_is_judged_by_what_it_says_and_not_by_how_it_is_written(
    bench: Bench, device: Device, version: str, event: str | None, state: str
) -> None:
    bench.set_latest(device, latest_fw_version="v1.3.4", latest_fw_file_id=NOBODY)
    before = len(bench.events(device.id))
    assert device.call("PUT", "", {"firmware_version": version}).status_code == 200
    judged = [name for name in bench.events(device.id)[before:] if name.startswith("firmware")]
    assert judged == ["firmwareCheck", *([event] if event else [])]
    collection = bench.operator("GET", f"{DEVICES}/{device.id}")["collection_id"]
    assert bench.operator("GET", f"/span/collections/{collection}/devices/{device.id}")["firmware"]["state"] == state


def test_a_device_that_asks_for_the_latest_firmware_is_told(hub: HubProcess, board: Board) -> None:
    hub.operator.set_model(board.asked["hardware_key"], latest_fw_version="2.0.0", latest_fw_file_id="file-2")
    assert board.get("/files/file-1").status_code == 404
    assert of(board, "firmwareRequested") == []
    board.get("/files/file-2")
    assert of(board, "firmwareRequested") == [{"id": "file-2", "version": "2.0.0", "refused": "File not found: file-2"}]


def gateway_events(hub: HubProcess, gateway: Board) -> list[dict[str, Any]]:
    return [item for item in hub.operator.activities(device_id=gateway.id) if item["event"].startswith("gateway")]


def names(items: list[dict[str, Any]]) -> list[str]:
    return [item["event"] for item in items]


def test_a_gateway_connects_with_its_first_child_and_disconnects_with_its_last(hub: HubProcess, board: Board) -> None:
    board.post("/telemetry", {})
    with Board.registered(hub, parent_id=board.id) as one, Board.registered(hub, parent_id=board.id) as two:
        one.call("DELETE")
        two.call("DELETE")
    told = gateway_events(hub, board)
    ours = [(item["event"], item.get("deviceId"), item["data"].get("change")) for item in told]
    assert ours == [
        ("gatewayConnected", None, None),
        ("gatewayDeviceUpdate", one.id, "deviceCreated"),
        ("gatewayDeviceUpdate", two.id, "deviceCreated"),
        ("gatewayDeviceUpdate", one.id, "deviceRemoved"),
        ("gatewayDeviceUpdate", two.id, "deviceRemoved"),
        ("gatewayDisconnected", None, None),
    ]
    assert {item["gatewayId"] for item in told} == {board.id}


def test_the_session_of_a_gateway_and_what_it_is_sent(hub: HubProcess, board: Board) -> None:
    with Board.registered(hub, parent_id=board.id):
        with MqttBoard(board) as mqtt:
            wait_for(lambda: "gatewayConnected" in names(gateway_events(hub, board)))
            hub.operator.configure(board.id, {"interval": 5})
            mqtt.next("config")
            hub.operator.command(board.id, "ping")
            mqtt.next("commands")
        wait_for(lambda: "gatewayDisconnected" in names(gateway_events(hub, board)))
        told = gateway_events(hub, board)
        assert names(told) == ["gatewayDeviceUpdate", "gatewayConnected", "gatewayConfigUpdate", "gatewayDisconnected"]
        assert told[2]["data"]["kind"] == "config" and told[3]["data"]["reason"] == "disconnected"


def test_a_session_of_a_gateway_that_breaks_off_is_a_comm_error(hub: HubProcess, board: Board) -> None:
    with Board.registered(hub, parent_id=board.id), MqttBoard(board) as mqtt:
        wait_for(lambda: "gatewayConnected" in names(gateway_events(hub, board)))
        sock = mqtt.client.socket()
        assert sock is not None
        mqtt.client.loop_stop()
        sock.shutdown(socket.SHUT_RDWR)
        wait_for(lambda: "gatewayDisconnected" in names(gateway_events(hub, board)))
        told = gateway_events(hub, board)[-2:]
        assert names(told) == ["gatewayCommError", "gatewayDisconnected"]
        assert told[0]["data"] == {"reason": "connection lost", "transport": "mqtt"} and "deviceId" not in told[0]


def test_a_child_that_a_gateway_may_not_register_is_a_comm_error(hub: HubProcess, board: Board) -> None:
    with Board.registered(hub, parent_id=board.id) as child:
        assert httpx.post(f"{hub.entry_url}/v1/devices", json=child.asked).status_code == 422
        error = gateway_events(hub, board)[-1]
        assert error["event"] == "gatewayCommError" and error["data"]["kind"] == "register" and "already" in error["data"]["reason"]


def test_messages_of_a_child_are_told_as_its_gateways_too(hub: HubProcess, board: Board) -> None:
    with Board.registered(hub, parent_id=board.id) as child, MqttBoard(child) as mqtt:
        wait_for(lambda: child.activities("clientConnected"))
        mqtt.send("telemetry", {"telemetries": {"a": 1}})
        mqtt.send("telemetry", {"telemetries": {"a": []}})
        wait_for(lambda: len(child.activities("gatewayUpstreamMessage")) == 2)
        hub.operator.command(child.id, "ping")
        mqtt.next("commands")
        wait_for(lambda: child.activities("gatewayDownstreamMessage"))
        child.put("", {"name": "renamed"})
        for event, mirrored in (
            ("upstreamMessage", "gatewayUpstreamMessage"),
            ("downstreamMessage", "gatewayDownstreamMessage"),
            ("deviceUpdated", "gatewayDeviceUpdate"),
        ):
            plain, ours = child.activities(event), child.activities(mirrored)
            extra = {"change": event} if event == "deviceUpdated" else {}
            ours = [item for item in ours if item["data"].get("change", event) == event]
            assert [{**item["data"], **extra} for item in plain] == [item["data"] for item in ours]
            assert {(item["deviceId"], item["gatewayId"]) for item in ours} == {(child.id, board.id)}
        assert "refused" in child.activities("gatewayUpstreamMessage")[1]["data"]


def test_children_of_a_removed_gateway_are_devices_like_any_other(hub: HubProcess, board: Board) -> None:
    board.post("/telemetry", {})
    with Board.registered(hub, parent_id=board.id) as child:
        hub.operator.delete(board.id)
        assert hub.operator.device(child.id)["parent_id"] is None
        assert child.activities()[-1]["data"] == {"by": "operator", "changed": "parent_id"}
        assert names(gateway_events(hub, board)) == ["gatewayConnected", "gatewayDeviceUpdate", "gatewayDisconnected"]
        child.post("/telemetry", {})
        assert child.activities("gatewayUpstreamMessage") == []


def test_every_event_of_the_seed_but_one_is_raised_by_what_devices_and_operators_do(hub: HubProcess) -> None:
    before = hub.operator.activities()[-1:]
    card, other = sim(), sim()
    with Board.registered(hub, details=card) as gateway:
        with Board.registered(hub, parent_id=gateway.id, details={**card, "imei": other["imei"]}) as child:
            gateway.put("", {"details": {**card, "imsi": other["imsi"]}})
            gateway.call("POST", "/dumps/text%2Fplain/log.txt")
            hub.operator.set_model(child.asked["hardware_key"], latest_fw_version="2.0.0", latest_fw_file_id="f")
            child.get("/files/f")
            child.put("", {"firmware_version": "2.0.0"})
            child.claim(space_id="hall")
            hub.operator.configure(gateway.id, {"a": 1})
            hub.operator.configure(child.id, {"a": 1})
            gateway.get("/config")
            child.get("/config")
            httpx.post(f"{hub.entry_url}/v1/devices", json=child.asked)
            child.call("DELETE")
        told = hub.operator.activities(since=before[0]["seq"] if before else None)
    assert {"firmwareStateChange"} == EVENTS - set(names(told)), "it comes with firmware updates"
    assert all(isinstance(value, str) for item in told for value in item.get("data", {}).values())
