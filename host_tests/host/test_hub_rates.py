"""How often a device may call, when the hub limits it (reference xyte §2: over 30 s, every request counts, 429)."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_support import RunHub, assert_refused
from xyte_bench import DEVICES, NOON, Bench

from tools.hub.errors import TooMany
from tools.hub.security.rates import Rates

LIMIT = 5


@pytest.fixture(scope="module")
def shared_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    made = Bench(tmp_path_factory.mktemp("rates"), rate_limit=LIMIT)
    yield made
    made.close()


@pytest.fixture
def bench(shared_bench: Bench) -> Bench:
    shared_bench.now += 1000.0  # what was before is forgotten
    return shared_bench


def test_one_request_too_many_is_429_until_30_s_are_over(bench: Bench) -> None:
    device = bench.device()
    for _ in range(LIMIT):
        assert device.get().status_code == 200
    refused = device.post("/telemetry", {"telemetries": {"a": 1}})
    assert refused.status_code == 429 and refused.json()["error"].startswith("Too many requests: 5 within 30 s")
    assert bench.operator("GET", f"{DEVICES}/{device.id}/telemetry")["telemetries"] == {}
    assert device.refusals() == [refused.json()["error"]]
    bench.now += 30
    assert device.post("/telemetry", {"telemetries": {"a": 1}}).status_code == 200


def test_every_request_counts_so_that_who_does_not_pause_stays_refused(bench: Bench) -> None:
    device = bench.device()
    for _ in range(LIMIT):
        device.get()
    for _ in range(8):
        bench.now += 5
        assert device.get().status_code == 429
    bench.now += 30
    assert device.get().status_code == 200


def test_the_window_slides(bench: Bench) -> None:
    device = bench.device()
    for _ in range(20):
        assert device.get().status_code == 200
        bench.now += 6.0


def test_what_is_refused_or_a_question_or_a_dump_counts_once(bench: Bench) -> None:
    device = bench.device()
    file_id = bench.upload()["id"]
    assert device.get(f"/files/{file_id}/content").status_code == 200
    assert device.get("/command").status_code == 404
    assert device.post("/config", b"{").status_code == 400
    assert device.post("/dumps/text%2Ftxt/a", b"x").status_code == 201
    assert device.get("/licenses").status_code == 200
    assert device.post("/dumps/text%2Ftxt/a", b"x").status_code == 429
    assert device.call("DELETE").status_code == 429


def test_a_signed_link_counts_for_its_device(bench: Bench) -> None:
    device = bench.device()
    link = device.get(f"/files/{bench.upload()['id']}").json()["url"]
    for expected in [200] * (LIMIT - 1) + [429]:
        assert bench.call("GET", link, None).status_code == expected


def test_one_device_does_not_use_up_what_another_may(bench: Bench) -> None:
    loud, calm = bench.device(), bench.device()
    for _ in range(2 * LIMIT):
        loud.get()
    assert loud.get().status_code == 429
    assert calm.get().status_code == 200


def test_strangers_count_for_their_address_and_not_for_the_device_that_they_name(bench: Bench) -> None:
    device = bench.device()
    bench.now += 1000.0
    answers = [bench.call("GET", device.base, "wrong").status_code for _ in range(LIMIT + 2)]
    assert answers == [401] * LIMIT + [429] * 2
    assert bench.call("POST", "/xyte/v1/devices", None, {"sn": "x"}).status_code == 429
    assert device.get().status_code == 200
    bench.now += 30
    assert bench.call("POST", "/xyte/v1/devices", None, {"sn": "x"}).status_code == 422


def test_the_operator_is_not_limited(bench: Bench) -> None:
    for _ in range(3 * LIMIT):
        assert bench.call("GET", DEVICES).status_code == 200


def test_without_the_option_there_is_no_limit(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    device = bench.device()
    assert {device.get().status_code for _ in range(100)} == {200}
    bench.close()


def test_the_count_remembers_a_bounded_number_of_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.hub.security.rates._KEYS_MAX", 3)
    rates = Rates(1)
    for n in range(10):
        rates.count(f"n{n}", NOON)
    assert len(rates._times) == 3
    with pytest.raises(TooMany):
        rates.count("n9", NOON)


@pytest.mark.parametrize("limit", ["0", "100001"])
def test_a_limit_that_is_none_is_refused_at_the_start(tmp_path: Path, run_hub: RunHub, limit: str) -> None:
    assert_refused(run_hub("--rate-limit", limit, "--port", "0", "--broker", "embedded:0", "--data", str(tmp_path)), "--rate-limit")
