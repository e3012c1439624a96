"""Messages that come twice, and messages that come late: at-least-once delivery ends as exactly-once in the history and the state."""

import itertools
import json
import random
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from brokers import each_broker
from databases import sqlite_only, url_in
from hub_support import SEED_000, TRUST, Board, MqttBoard, forget_revisions
from waiting import wait_for

from tools.hub import times
from tools.hub.domain import state
from tools.hub.process import HubProcess

board_broker = each_broker  # what goes over MQTT runs on both


@pytest.fixture
def http_board(hub: HubProcess) -> Iterator[Board]:
    with Board.registered(hub) as made:
        yield made


def post(board: Board, body: dict[str, Any], *keys: str) -> dict[str, Any]:
    """Send Telemetry with these Idempotency-Key headers; the answer, which must be a good one."""
    headers = [(b"Authorization", board.key.encode()), *[(b"Idempotency-Key", key.encode()) for key in keys]]
    answer = board.http.post(f"{board.base}/telemetry", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def publish(mqtt: MqttBoard, body: dict[str, Any], *numbers: str) -> None:
    user = [("device_id", mqtt.board.id), ("access_key", mqtt.board.key), *[("message_id", number) for number in numbers]]
    mqtt.send("telemetry", body, user=user)


def reading(value: float, taken: str | None = None, **more: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"telemetries": {"a": value}, **more}
    return body if taken is None else {**body, "timestamp": f"2026-11-21T{taken}Z"}


def numbers(board: Board) -> list[int | None]:
    """Of the history, oldest first."""
    return [item["number"] for item in reversed(board.hub.operator.history(board.id, limit=1000))]


def state_of(board: Board) -> dict[str, Any]:
    found: dict[str, Any] = board.hub.operator.telemetry(board.id)["telemetries"]
    return found


def taken_messages(board: Board) -> list[str | None]:
    """One item per upstreamMessage: the number of which it is a duplicate, None for the others."""
    return [item["data"].get("duplicate") for item in board.activities("upstreamMessage") if item["data"]["kind"] == "telemetry"]


# ---- the same message twice, over HTTP


def test_a_message_that_is_posted_twice_is_answered_twice_and_stored_once(http_board: Board) -> None:
    board = http_board
    first = post(board, SEED_000, "0000000042")
    post(board, {"telemetries": {"fan_speed": 7.5}}, "0000000043")
    assert post(board, SEED_000, "0000000042") == first
    assert numbers(board) == [42, 43]
    assert state_of(board)["fan_speed"] == 7.5
    assert taken_messages(board) == [None, None, "42"]


def test_a_duplicate_does_not_touch_the_state(http_board: Board) -> None:
    board = http_board
    post(board, reading(1), "0000000001")
    post(board, reading(2), "0000000002")
    before = board.hub.operator.telemetry(board.id)
    post(board, reading(1), "0000000001")
    assert board.hub.operator.telemetry(board.id) == before
    assert state_of(board) == {"a": 2}


def test_a_duplicate_that_has_got_its_timestamp_since_is_a_duplicate_all_the_same(http_board: Board) -> None:
    post(http_board, reading(1), "0000000001")
    post(http_board, reading(1, "05:00:00"), "0000000001")
    assert numbers(http_board) == [1]


def test_the_answer_to_a_duplicate_is_true_to_the_state_of_now(http_board: Board) -> None:
    board = http_board
    assert post(board, reading(1), "0000000001")["command"] is False
    board.hub.operator.command(board.id, "ping")
    assert post(board, reading(1), "0000000001")["command"] is True


def test_the_numbers_of_two_devices_have_nothing_to_do_with_each_other(hub: HubProcess, http_board: Board) -> None:
    with Board.registered(hub) as other:
        for board in (http_board, other):
            post(board, reading(1), "0000000001")
            assert numbers(board) == [1]


def test_a_refused_message_has_not_used_its_number_up(http_board: Board) -> None:
    bad = http_board.call("POST", "/telemetry", {"telemetries": {"a": []}}, headers={"Idempotency-Key": "0000000005"})
    assert bad.status_code == 422
    post(http_board, reading(1), "0000000005")
    assert numbers(http_board) == [5]


MALFORMED = ["", "x", "-1", "+1", "1.0", "12345678901", "9" * 4000, "0x10", "1 2", '"1"', "\u0661", "1_0"]


@pytest.mark.parametrize("key", MALFORMED, ids=range(len(MALFORMED)))
def test_a_malformed_number_is_none(http_board: Board, key: str) -> None:
    for _ in range(2):
        post(http_board, reading(1), key)
    assert numbers(http_board) == [None, None]
    assert taken_messages(http_board) == [None, None]


def test_two_numbers_on_one_message_are_none(http_board: Board) -> None:
    for _ in range(2):
        post(http_board, reading(1), "0000000001", "0000000002")
    assert numbers(http_board) == [None, None]
    post(http_board, reading(1), "0000000001", "0000000001")
    assert numbers(http_board)[2:] == [1]


def test_messages_without_a_number_are_each_their_own(http_board: Board) -> None:
    for _ in range(3):
        post(http_board, SEED_000)
    assert numbers(http_board) == [None, None, None]


@pytest.mark.parametrize("number", [0, 1, 2**28, 2**32, 9999999999])
def test_every_number_of_ten_digits_is_one(http_board: Board, number: int) -> None:
    for _ in range(2):
        post(http_board, reading(1), f"{number:010d}")
    assert numbers(http_board) == [number]


# ---- the same message twice, over MQTT


def test_a_message_that_is_published_twice_is_stored_once(board: Board, mqtt: MqttBoard) -> None:
    for body, number in ((SEED_000, "0000000042"), (reading(1), "0000000043"), (SEED_000, "0000000042"), (reading(2), "0000000044")):
        publish(mqtt, body, number)
    wait_for(lambda: len(taken_messages(board)) == 4, "all four")
    assert numbers(board) == [42, 43, 44]
    assert taken_messages(board) == [None, None, "42", None]
    assert board.refusals() == []


def test_a_malformed_number_of_an_mqtt_message_is_none(board: Board, mqtt: MqttBoard) -> None:
    sent = [("",), ("x",), ("1" * 11,), ("\u0661",), ("1", "2"), ("9" * 4000,)]
    for given in sent * 2:
        publish(mqtt, reading(1), *given)
    wait_for(lambda: len(taken_messages(board)) == 12, "all twelve")
    assert numbers(board) == [None] * 12


def test_a_message_that_went_over_mqtt_and_then_over_http_is_one(board: Board, mqtt: MqttBoard) -> None:
    publish(mqtt, reading(1), "0000000007")
    wait_for(lambda: numbers(board) == [7])
    assert post(board, reading(1), "0000000007")["success"] is True
    assert numbers(board) == [7]
    assert taken_messages(board) == [None, "7"]


def test_a_backlog_that_is_sent_again_whole_is_stored_once_and_in_its_order(board: Board, mqtt: MqttBoard) -> None:
    """As a board does that was cut off before the acknowledgements came: everything again, between what is new."""
    sent = 0
    for round_ in range(3):
        for number in range(100 + round_ * 50):
            publish(mqtt, reading(number, f"05:{number // 60:02d}:{number % 60:02d}"), f"{number:010d}")
            sent += 1
    wait_for(lambda: len(taken_messages(board)) == sent, "all of them")
    assert numbers(board) == list(range(200))
    assert state_of(board) == {"a": 199}


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_restarted_hub_still_knows_what_it_has(tmp_path: Path, how: str) -> None:
    with HubProcess(tmp_path) as hub, Board.registered(hub) as board:
        post(board, reading(1), "0000000001")
        getattr(hub, how)()
        hub.start()
        post(board, reading(1), "0000000001")
        with MqttBoard(board) as mqtt:
            publish(mqtt, reading(1), "0000000001")
            publish(mqtt, reading(2), "0000000002")
            wait_for(lambda: len(numbers(board)) == 2)
        assert numbers(board) == [1, 2]


def test_two_hubs_on_one_database_store_what_both_get_at_once_only_once(tmp_path: Path) -> None:
    database = ("--database", url_in(tmp_path))
    with (
        HubProcess(tmp_path / "a", extra=database) as one,
        HubProcess(tmp_path / "b", extra=database) as two,
        Board.registered(one) as board,
    ):
        bases = [f"{hub.entry_url}/v1/devices/{board.id}" for hub in (one, two)]

        def send(base: str, number: int) -> int:
            headers = {"Authorization": board.key, "Idempotency-Key": f"{number:010d}"}
            return httpx.post(f"{base}/telemetry", json=reading(number), headers=headers, verify=TRUST).status_code

        with ThreadPoolExecutor(8) as pool:
            given = [(base, number) for number in range(40) for base in bases]
            assert set(pool.map(send, *zip(*given, strict=True))) == {200}
        assert sorted(item["number"] for item in one.operator.history(board.id, limit=1000)) == list(range(40))
        assert "Traceback" not in one.output() + two.output()


@sqlite_only
def test_a_database_of_an_earlier_version_is_gone_on_with(tmp_path: Path) -> None:
    with HubProcess(tmp_path) as hub, Board.registered(hub) as board:
        post(board, {"telemetries": {"a": 1, "b": 1}, "timestamp": "2026-11-21T05:00:00Z"})
        hub.stop()
        with sqlite3.connect(tmp_path / "hub.sqlite") as database:
            forget_revisions(database)
            database.execute("DROP INDEX telemetry_by_number")
            database.execute("ALTER TABLE telemetry DROP COLUMN number")
            database.execute("ALTER TABLE devices DROP COLUMN state_order")
            database.execute("ALTER TABLE devices DROP COLUMN kept_messages")
        hub.start()
        for _ in range(2):
            post(board, reading(2, "06:00:00"), "0000000001")
        post(board, {"telemetries": {"b": 0}, "timestamp": "2026-11-21T04:00:00Z"})
        assert numbers(board) == [None, 1, None]
        assert state_of(board) == {"a": 2, "b": 1}


# ---- late messages


def test_a_late_message_changes_only_what_nothing_newer_has_set(http_board: Board) -> None:
    board = http_board
    post(board, {"telemetries": {"a": 10, "gone": None}, "timestamp": "2026-11-21T05:00:10Z", "status": "online"})
    late = {"telemetries": {"a": 5, "b": 5, "gone": 5}, "timestamp": "2026-11-21T05:00:05Z", "status": "error", "message": "old news"}
    post(board, late)
    latest = board.hub.operator.telemetry(board.id)
    assert latest["telemetries"] == {"a": 10, "b": 5, "status": "online"}
    assert (latest["status"], latest["message"], latest["timestamp"]) == ("online", None, "2026-11-21T05:00:10.000Z")


def test_a_late_message_is_in_the_history_with_its_own_time(http_board: Board) -> None:
    board = http_board
    post(board, reading(10, "05:00:10"), "0000000002")
    post(board, reading(5, "05:00:05"), "0000000001")
    history = board.hub.operator.history(board.id)
    assert [(item["number"], item["timestamp"], item["telemetries"]) for item in history] == [
        (1, "2026-11-21T05:00:05.000Z", {"a": 5}), (2, "2026-11-21T05:00:10.000Z", {"a": 10}),
    ]  # fmt: skip
    assert all(item["received_at"] > item["timestamp"] for item in history)


def test_a_late_override_wipes_only_what_is_older_than_itself(http_board: Board) -> None:
    board = http_board
    post(board, {"telemetries": {"old": 1}, "timestamp": "2026-11-21T05:00:00Z"})
    post(board, {"telemetries": {"new": 1}, "timestamp": "2026-11-21T05:00:10Z"})
    post(board, {"telemetries": {"fresh": 1, "new": 0}, "timestamp": "2026-11-21T05:00:05Z", "override": True})
    assert state_of(board) == {"new": 1, "fresh": 1}
    post(board, {"telemetries": {"old": 1, "older": 1}, "timestamp": "2026-11-21T05:00:04Z"})
    assert state_of(board) == {"new": 1, "fresh": 1}


def test_a_late_null_removes_nothing_newer(http_board: Board) -> None:
    post(http_board, reading(10, "05:00:10"))
    post(http_board, {"telemetries": {"a": None}, "timestamp": "2026-11-21T05:00:05Z"})
    assert state_of(http_board) == {"a": 10}


def test_an_hour_of_backlog_beside_live_readings_ends_in_the_newest(board: Board, mqtt: MqttBoard) -> None:
    live = [(reading(1000 + n, f"06:00:{n:02d}"), 1000 + n) for n in range(20)]
    backlog = [(reading(n, f"05:{n:02d}:00"), n) for n in range(60)]
    mixed = [*itertools.chain.from_iterable(zip(live, backlog, strict=False)), *backlog[20:]]
    for body, number in mixed:
        publish(mqtt, body, f"{number:010d}")
    wait_for(lambda: len(numbers(board)) == 80, "all messages")
    assert state_of(board) == {"a": 1019}
    assert board.hub.operator.telemetry(board.id)["timestamp"] == "2026-11-21T06:00:19.000Z"


def test_a_message_without_a_timestamp_is_new_whatever_the_clocks_say(http_board: Board) -> None:
    board = http_board
    post(board, reading(1))  # before the board knew the time
    behind = times.parse(last_seen(board)) - 2  # as its clock has it
    post(board, {"telemetries": {"a": 2}, "timestamp": times.iso(behind)})
    assert state_of(board) == {"a": 2}
    post(board, reading(3))
    assert state_of(board) == {"a": 3}
    post(board, {"telemetries": {"a": 4}, "timestamp": times.iso(behind - 600)})
    assert state_of(board) == {"a": 3}


def test_a_clock_that_is_years_ahead_does_not_make_what_follows_late(http_board: Board) -> None:
    board = http_board
    post(board, {"telemetries": {"a": 1}, "timestamp": "2099-01-01T00:00:00Z"})
    post(board, {"telemetries": {"a": 2}, "timestamp": times.iso(times.parse(last_seen(board)))})
    assert state_of(board) == {"a": 2}
    assert board.hub.operator.history(board.id)[1]["timestamp"] == "2099-01-01T00:00:00.000Z"


def last_seen(board: Board) -> str:
    return str(board.hub.operator.device(board.id)["last_seen_at"])


# ---- the rule itself


def random_messages(chance: random.Random) -> list[tuple[int, dict[str, Any], bool]]:
    """Messages of different times: (time, values, override)."""
    made = []
    for at in chance.sample(range(1, 1000), chance.randrange(1, 9)):
        values = {name: chance.choice([None, at]) for name in chance.sample("abcd", chance.randrange(4))}
        made.append((at, values, chance.random() < 0.2))
    return made


def merged(messages: list[tuple[int, dict[str, Any], bool]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    order = state.first_order({}, None)
    for at, values, override in messages:
        step = state.merge(found, order, values, at, override)
        found, order = step.state, json.loads(json.dumps(step.order))
    return found


def applied_in_order(messages: list[tuple[int, dict[str, Any], bool]]) -> dict[str, Any]:
    """Seed 000 taken literally, for messages that come in their order."""
    found: dict[str, Any] = {}
    for _, values, override in sorted(messages, key=lambda message: message[0]):
        found = {} if override else found
        for name, value in values.items():
            found.pop(name, None)
            if value is not None:
                found[name] = value
    return found


def test_any_order_of_arrival_gives_the_state_of_the_order_of_times() -> None:
    chance = random.Random(20261121)
    for _ in range(5000):
        messages = random_messages(chance)
        expected = applied_in_order(messages)
        chance.shuffle(messages)
        assert merged(messages) == expected, messages


def test_of_two_messages_of_the_same_time_the_later_arrival_counts() -> None:
    assert merged([(5, {"a": 1, "b": 1}, False), (5, {"a": 2, "b": None}, False)]) == {"a": 2}
    assert merged([(5, {"a": 1}, False), (5, {"b": 1}, True)]) == {"b": 1}


def test_what_is_remembered_of_removed_keys_is_bounded() -> None:
    found, order = {"kept": 0}, state.first_order({"kept": 0}, 0.0)
    for n in range(1, 2000):
        step = state.merge(found, order, {f"k{n}": None}, n, False)
        found, order = step.state, step.order
    assert len(order["times"]) == state.REMOVED_MAX + 1
    assert state.merge(found, order, {"k1": 1, "k1999": 1}, 1, False).state == {"kept": 0}
    assert state.merge(found, order, {"kept": 1}, 1, False).state == {"kept": 1}
