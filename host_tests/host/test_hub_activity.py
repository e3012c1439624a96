"""The activity feed: seed 003's envelope, its ring, its subscribers, and its way over HTTP."""

import asyncio
import json
import re
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hub_support import Board
from waiting import wait_for

from tools.hub.activity import EVENTS, ActivityFeed, Filter
from tools.hub.process import HubProcess


def feed(ring: int = 100) -> ActivityFeed:
    return ActivityFeed(ring, clock=lambda: 1714077396.0)


# ---- the feed itself


def test_an_activity_has_the_envelope_of_the_seed() -> None:
    activity = feed().emit("clientConnected", "17dj5j4ce8bkci", "17kl14hm46h4c2", {"id": "certificate"})
    body = activity.as_json()
    assert isinstance(body.pop("seq"), int)
    assert body == {
        "collectionId": "17dj5j4ce8bkci",
        "data": {"id": "certificate"},
        "deviceId": "17kl14hm46h4c2",
        "event": "clientConnected",
        "time": "2024-04-25 20:36:36",
    }


def test_what_is_absent_is_left_out() -> None:
    assert set(feed().emit("clientDisconnected", "c").as_json()) == {"collectionId", "event", "time", "seq"}


def test_there_are_24_events_and_no_others() -> None:
    assert len(EVENTS) == 24
    with pytest.raises(ValueError, match="not one of the events"):
        feed().emit("deviceExploded", "c")


def test_the_ring_forgets_the_oldest_and_since_gives_what_came_after() -> None:
    activities = feed(ring=3)
    made = [activities.emit("upstreamMessage", "c", f"d{n}") for n in range(5)]
    assert list(activities.recent()) == made[2:]
    assert list(activities.recent(since=made[3].seq)) == made[4:]
    assert list(activities.recent(wanted=Filter(device_id="d3"))) == [made[3]]


def test_numbers_go_on_growing_after_a_restart() -> None:
    before = ActivityFeed(clock=lambda: 1000.0).emit("upstreamMessage", "c")
    after = ActivityFeed(clock=lambda: 1001.0).emit("upstreamMessage", "c")
    assert after.seq > before.seq


def test_a_slow_subscriber_loses_the_oldest_and_is_told_how_many() -> None:
    async def scenario() -> list[Any]:
        activities = feed()
        subscription = activities.subscribe(size=2)
        made = [activities.emit("upstreamMessage", "c", f"d{n}") for n in range(5)]
        got = [await subscription.next(1) for _ in range(3)]
        assert got == [3, made[3], made[4]]
        return got

    asyncio.run(scenario())


def test_a_subscriber_gets_only_what_it_asked_for_and_the_end() -> None:
    async def scenario() -> list[Any]:
        activities = feed()
        subscription = activities.subscribe(Filter(event="blobUpload"))
        activities.emit("upstreamMessage", "c")
        wanted = activities.emit("blobUpload", "c")
        activities.close()
        got = [item async for item in subscription]
        assert got == [wanted]
        return got

    asyncio.run(scenario())


def test_nothing_within_the_time_is_none() -> None:
    async def scenario() -> object:
        return await feed().subscribe().next(0.01)

    assert asyncio.run(scenario()) is None


# ---- over HTTP


def test_the_life_of_a_device_is_told_in_its_order(hub: HubProcess) -> None:
    with Board.registered(hub) as board:
        board.post("/telemetry", {"status": "online"})  # from here on it is a board that polls, and is not pushed to
        hub.operator.set_model(board.asked["hardware_key"], latest_fw_version="1.1.0")
        board.claim()
        hub.operator.configure(board.id, {"a": 1})
        board.get("/config")
        board.put("", {"firmware_version": "1.1.0"})
        board.call("DELETE")
    told = hub.operator.activities(device_id=board.id)
    assert [item["event"] for item in told] == [
        "deviceCreated", "firmwareCheck", "clientConnected", "upstreamMessage", "firmwareUpdateRequired", "deviceMoved", "deviceUpdated",
        "downstreamMessage", "deviceUpdated", "firmwareCheck", "firmwareCurrent", "upstreamMessage", "clientDisconnected", "deviceRemoved",
    ]  # fmt: skip
    for item in told:
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", item["time"])
        assert re.fullmatch(r"[0-9a-z]{14}", item["collectionId"])
        assert all(isinstance(value, str) for value in item["data"].values())
    assert [item["seq"] for item in told] == sorted(item["seq"] for item in told)


def test_since_and_event_filter_over_http(hub: HubProcess, board: Board) -> None:
    first = board.activities()[-1]
    board.post("/telemetry", {})
    assert [item["event"] for item in hub.operator.activities(since=first["seq"], device_id=board.id)] == [
        "clientConnected",
        "upstreamMessage",
    ]
    assert [item["event"] for item in board.activities("upstreamMessage")] == ["upstreamMessage"]


@pytest.mark.parametrize("since", ["x", "-1", "9" * 30, "%C2%B2"])
def test_a_bad_since_is_422(hub: HubProcess, since: str) -> None:
    answer = httpx.get(f"{hub.url}/activity?since={since}", headers={"Authorization": hub.operator_key})
    assert answer.status_code == 422


def test_follow_gives_the_past_and_then_what_happens(hub: HubProcess, board: Board) -> None:
    got: list[dict[str, Any]] = []
    reader = threading.Thread(target=collect, args=(hub, board.id, got, lambda: got[-1]["event"] == "clientConnected"))
    reader.start()
    wait_for(lambda: len(got) == 2, "the past")
    board.get("/config")
    reader.join(10)
    assert [item["event"] for item in got] == ["deviceCreated", "firmwareCheck", "clientConnected"]


def test_follow_ends_when_the_hub_stops(tmp_path: Any) -> None:
    got: list[dict[str, Any]] = []
    with HubProcess(tmp_path) as hub:
        with Board.registered(hub) as board:
            reader = threading.Thread(target=collect, args=(hub, board.id, got, lambda: False))
            reader.start()
            wait_for(lambda: got, "the past")
        assert hub.stop() == 0
    reader.join(10)
    assert not reader.is_alive()


def test_each_line_is_one_json_object(hub: HubProcess, board: Board) -> None:
    answer = httpx.get(f"{hub.url}/activity", params={"deviceId": board.id}, headers={"Authorization": hub.operator_key})
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert all(isinstance(json.loads(line), dict) for line in answer.text.splitlines())


def collect(hub: HubProcess, device_id: str, into: list[dict[str, Any]], enough: Callable[[], bool]) -> None:
    operator = type(hub.operator)(hub.url, hub.operator_key)
    with operator:
        for item in operator.follow(device_id=device_id):
            into.append(item)
            if enough():
                return
