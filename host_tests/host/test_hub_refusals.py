"""Every call of the description, and each refusal that it shares with its neighbours: so that no endpoint is without its errors' tests."""

import re
from pathlib import Path
from typing import Any

import pytest
from xyte_bench import KEY, Bench, Device

from tools.hub import docs
from tools.hub.domain import children, dumps, telemetry
from tools.hub.facets import wire
from tools.hub.facets.astarte import docs as astarte_docs
from tools.hub.facets.forms import FORM_MAX
from tools.hub.facets.kapua import docs as kapua_docs
from tools.hub.facets.openapi import JSON, OPERATOR_KEY, Call
from tools.hub.facets.span import docs as span_docs
from tools.hub.facets.xyte.docs.common import DEVICE_KEY

UNKNOWN = "00000000-0000-0000-0000-000000000000"
PATHS = {
    "file_id": UNKNOWN, "dump_id": UNKNOWN, "incident_id": UNKNOWN, "command_id": UNKNOWN, "license_id": UNKNOWN, "message_id": UNKNOWN,
    "uuid": UNKNOWN,
    "name": "text%2Ftxt/a", "hardware_key": "m", "space_id": "s", "collection_id": "17dj5j4ce8bkci", "scope_id": "_",
    "operation_id": "cjmXXKvLUY8", "notification_id": "RGoRWw9Pkhc",
}  # fmt: skip
LIMITS = {"/telemetry": telemetry.MESSAGE_MAX, "/children/telemetries": children.MESSAGE_MAX, "/dumps": dumps.SIZE_MAX + FORM_MAX}


def calls_of(scheme: str, *, body: bool | None = None) -> list[Any]:
    """(method, path) of what this security scheme opens; with `body`, only those that have a body in JSON or none."""

    def has(call: Call) -> bool:
        return any(content.media_type == JSON for content in call.body)

    found = [key for key, call in docs.CALLS.items() if scheme in call.secured_by and (body is None or has(call) is body)]
    return [pytest.param(*key, id=" ".join(key)) for key in found]


def filled(path: str, device: Device) -> str:
    return path.format(**PATHS, device_id=device.id)


def said(answer: Any, path: str) -> str:
    """The text of the error body of the vendor whose facet this is, and nothing beside it."""
    body = answer.json()
    if path.startswith("/span"):
        return str(body["message"])
    if path.startswith("/astarte"):
        assert set(body) == {"errors"}
        return str(body["errors"]["detail"])
    assert set(body) == {"error"}
    return str(body["error"])


def refused(answer: Any, status: int) -> str:
    """The vendor's error body, and nothing beside."""
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"} and answer.json()["error"]
    return str(answer.json()["error"])


@pytest.mark.parametrize(("method", "path"), calls_of(DEVICE_KEY))
def test_a_device_call_without_the_devices_key_is_401(bench: Bench, device: Device, method: str, path: str) -> None:
    for key in (None, "", "wrong", KEY, f"Bearer {device.key}"):
        assert refused(bench.call(method, filled(path, device), key, {}), 401) == "Not authorized"
    nobody = path.format(**PATHS, device_id=UNKNOWN)
    assert refused(bench.call(method, nobody, device.key, {}), 401) == "Not authorized", "and who there is, is not told"
    assert set(device.refusals()) == {"Not authorized"}


@pytest.mark.parametrize(("method", "path"), calls_of(DEVICE_KEY, body=True))
def test_a_body_that_is_no_json_object_is_400(bench: Bench, device: Device, method: str, path: str) -> None:
    for raw in (b"{", b"[]", b"5", b'{"a": NaN}', b'{"a": "\\ud800"}', b"\xff", b"[" * 100, b""):
        assert refused(bench.call(method, filled(path, device), device.key, raw), 400)
    assert len(device.refusals()) == 8


@pytest.mark.parametrize(("method", "path"), calls_of(DEVICE_KEY, body=True))
def test_a_body_that_is_too_large_is_422(bench: Bench, device: Device, method: str, path: str) -> None:
    limit = next((size for end, size in LIMITS.items() if path.endswith(end)), wire.BODY_MAX)
    assert refused(bench.call(method, filled(path, device), device.key, b" " * (limit + 1)), 422)
    assert device.refusals()


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Any:
    made = Bench(tmp_path_factory.mktemp("limited"), rate_limit=3)
    yield made
    made.close()


@pytest.mark.parametrize(("method", "path"), calls_of(DEVICE_KEY))
def test_a_call_beyond_the_rate_is_429(limited: Bench, method: str, path: str) -> None:
    limited.now += 1000
    device = limited.device()
    for _ in range(3):
        device.get()
    assert refused(limited.call(method, filled(path, device), device.key, {}), 429).startswith("Too many requests")


@pytest.mark.parametrize(("method", "path"), calls_of(OPERATOR_KEY))
def test_an_operators_call_without_the_operator_key_is_401(bench: Bench, device: Device, method: str, path: str) -> None:
    for key in (None, "", "wrong", device.key):
        answer = bench.call(method, filled(path, device), key, {})
        assert answer.status_code == 401, answer.text
        assert said(answer, path).lower().startswith(("not authorized", "unauthorized", "forbidden"))


@pytest.mark.parametrize(("method", "path"), [case for case in calls_of(OPERATOR_KEY) if "{device_id}" in case.values[1]])
def test_an_operators_call_about_nobody_is_404(bench: Bench, method: str, path: str) -> None:
    bodies = {"commands": {"name": "x"}, "licenses": {"name": "x"}, "incidents": {"title": "t", "priority": "low"}}
    body = bodies.get(path.rpartition("/")[2], {"name": "x"}) if method in ("POST", "PUT", "PATCH") else None
    for device_id in (UNKNOWN, "x", "%00"):
        answer = bench.call(method, path.format(**PATHS, device_id=device_id), KEY, body)
        assert answer.status_code == 404, answer.text
        assert "not found" in said(answer, path).lower()


def test_a_path_that_no_database_takes_is_refused_everywhere(bench: Bench, device: Device) -> None:
    login = bench.call("POST", "/kapua/v1/authentication/user", None, {"username": "operator", "password": KEY}).json()["tokenId"]
    keys = {
        DEVICE_KEY: device.key, OPERATOR_KEY: KEY, span_docs.TOKEN: KEY, astarte_docs.TOKEN: f"Bearer {KEY}",
        kapua_docs.BEARER: f"Bearer {login}",
    }  # fmt: skip
    known = {**PATHS, "device_id": device.id, "realm": "redpoll", "device": "x", "interface": "x", "path": "x"}
    tried = 0
    for (method, path), call in docs.CALLS.items():
        for name in re.findall(r"{(\w+)}", path):
            key = next((keys[scheme] for scheme in call.secured_by), None)
            answer = bench.call(method, path.format(**{**known, name: "%00"}), key, {} if call.body else None)
            assert 400 <= answer.status_code < 500, (method, path, name, answer.text)
            tried += 1
    assert tried > 100


@pytest.mark.parametrize(("method", "path"), calls_of(span_docs.TOKEN))
def test_a_span_call_without_a_token_is_401_and_one_that_writes_needs_more_than_the_read_only_one(
    bench: Bench, device: Device, method: str, path: str
) -> None:
    for headers in ({}, {"X-API-Token": "wrong"}, {"Authorization": "TOKEN x.y.z"}, {"Authorization": device.key}):
        answer = bench.call(method, filled(path, device), None, {}, headers=headers)
        assert answer.status_code == 401, answer.text
        assert set(answer.json()) == {"code", "message", "details"}
    reads = {"X-API-Token": bench.hub.tokens.read_only}
    answer = bench.call(method, filled(path, device), None, {}, headers=reads)
    if span_docs.READ_ONLY in docs.CALLS[method, path].secured_by:
        assert answer.status_code in (200, 400, 404)
    else:
        assert (answer.status_code, answer.json()["code"]) in ((403, 7), (401, 16))


@pytest.mark.parametrize(("method", "path"), calls_of(kapua_docs.BEARER))
def test_a_kapua_call_without_a_token_is_401_without_a_body_and_another_account_403(
    bench: Bench, device: Device, method: str, path: str
) -> None:
    for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": KEY}):
        answer = bench.call(method, filled(path, device), None, {}, headers=headers)
        assert (answer.status_code, answer.content) == (401, b"")
    if "{scope_id}" in path:
        token = bench.call("POST", "/kapua/v1/authentication/apikey", None, {"apiKey": KEY}).json()["tokenId"]
        elsewhere = path.format(**{**PATHS, "scope_id": "AQI"}, device_id=device.id)
        answer = bench.call(method, elsewhere, None, {}, headers={"Authorization": f"Bearer {token}"})
        assert (answer.status_code, answer.json()["kapuaErrorCode"]) == (403, "SUBJECT_UNAUTHORIZED")


def test_a_failure_of_the_hub_is_500_in_the_vendors_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path)
    device = bench.device()
    token = bench.call("POST", "/kapua/v1/authentication/apikey", None, {"apiKey": KEY}).json()["tokenId"]

    async def fail(_work: Any) -> Any:
        raise RuntimeError("planted")

    monkeypatch.setattr(bench.hub.store, "read", fail)
    monkeypatch.setattr(bench.hub.store, "write", fail)
    assert "its log says why" in refused(device.get(), 500)
    assert bench.call("GET", "/span/collections", None, headers={"X-API-Token": KEY}).json()["code"] == 13
    answer = bench.call("GET", "/kapua/v1/_/devices", None, headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["kapuaErrorCode"]) == (500, "INTERNAL_ERROR")
    monkeypatch.undo()
    bench.close()
