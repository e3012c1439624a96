"""The Kapua facet: seed 004 and reference kapua-kura §1, call by call and refusal by refusal."""

import asyncio
import base64
import hashlib
import hmac
import json
import re
import shutil
import sqlite3
import string
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from databases import sqlite_only, url_in
from hub_support import Board, KapuaClient, MqttBoard, body_of, forget_revisions, operation_path
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from waiting import wait_for

from tools.hub import times
from tools.hub.app import make_app
from tools.hub.domain import commands, devices, operations
from tools.hub.domain.model import Device, get_device
from tools.hub.errors import Invalid
from tools.hub.facets.kapua import shapes
from tools.hub.hub import Hub, Settings
from tools.hub.process import HubProcess
from tools.hub.security.signer import Signer
from tools.hub.store import tables
from tools.hub.store.store import Store
from tools.hub.store.unit import Unit
from tools.paths import ROOT

KEY = "the-operator-key"
BASE = "http://hub/kapua/v1"
NOON = 1_573_817_245.331  # 2019-11-15T11:27:25.331Z

SEED_ITEMS = [
    {
        "type": "managementOperationNotification",
        "id": "RGoRWw9Pkhc",
        "scopeId": "AQ",
        "createdOn": "2019-11-15T11:27:25.331Z",
        "createdBy": "Ag",
        "operationId": "cjmXXKvLUY8",
        "progress": 0,
        "resource": "download",
        "sentOn": "2019-11-15T11:27:25.267Z",
        "status": "RUNNING",
    },
    {
        "type": "managementOperationNotification",
        "id": "f1Hu1T8iIRw",
        "scopeId": "AQ",
        "createdOn": "2019-11-15T11:27:32.331Z",
        "createdBy": "Ag",
        "operationId": "cjmXXKvLUY8",
        "progress": 5,
        "resource": "download",
        "sentOn": "2019-11-15T11:27:32.277Z",
        "status": "RUNNING",
    },
]
SEED_LIST = {"type": "managementOperationNotificationListResult", "limitExceeded": False, "size": 2, "items": SEED_ITEMS}


class Bench:
    """The hub's application without a process, with a clock that tests move and a user who is logged in."""

    def __init__(self, folder: Path, signer: Signer) -> None:
        self.now = NOON
        url = url_in(folder)
        self.hub = Hub(Settings(data=folder, operator_key=KEY, database_url=url, signer=signer))
        self.hub.store = Store(url, self.hub._committed, clock=lambda: self.now)
        self.hub.now = lambda: self.now  # type: ignore[method-assign]
        self.loop = asyncio.new_event_loop()
        self.loop.run_until_complete(self.hub.open())
        transport = httpx.ASGITransport(make_app(self.hub), raise_app_exceptions=False)
        self._http = httpx.AsyncClient(transport=transport)
        self.token = ""

    def empty(self) -> None:
        self.now = NOON
        for table in (tables.devices, tables.access_tokens):
            self.do(lambda unit, of=table: unit.db.execute(of.delete()))
        self.token = self.log_in()["tokenId"]

    def close(self) -> None:
        self.loop.run_until_complete(self._http.aclose())
        self.loop.run_until_complete(self.hub.close())
        self.loop.close()

    def call(self, method: str, path: str, body: Any = None, token: str | None = None, **more: Any) -> httpx.Response:
        bearer = self.token if token is None else token
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        kind = "content" if isinstance(body, bytes) else "json"
        sent = {} if body is None else {kind: body}
        return self.loop.run_until_complete(self._http.request(method, BASE + path, headers=headers, **sent, **more))

    def get(self, path: str, **params: Any) -> Any:
        answer = self.call("GET", path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any) -> Any:
        answer = self.call("POST", path, body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def log_in(self) -> Any:
        return self.post("/authentication/user", {"username": "operator", "password": KEY})

    def do(self, work: Callable[[Unit], Any]) -> Any:
        return self.loop.run_until_complete(self.hub.do(work))

    def device(self, sn: str = "1") -> str:
        """The hub's own id of a new device."""
        body = {"sn": sn, "mac": f"mac-{sn}", "hardware_key": "k", "firmware_version": "1.0.0"}
        made: str = self.do(lambda unit: devices.register(unit, body)).id
        return made

    def report(self, device_id: str, number: int = 7, status: str = "RUNNING", progress: int | None = 0, **more: Any) -> Any:
        values = {"message": None, "resource": "download", **more}

        def work(unit: Unit) -> Any:
            return operations.report(unit, get_device(unit.db, device_id), number, status, progress, **values)[0]

        return self.do(work)

    def operation(self, device_id: str, number: int = 7) -> str:
        """The path of an operation that has been reported of."""
        found = self.get(f"/_/devices/{device_id}/operations")["items"]
        return next(operation_path(item) for item in found if item["operationId"] == shapes.compact(number))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("kapua")
    made = Bench(folder, Signer.kept(folder / "license.key"))
    yield made
    made.close()


@pytest.fixture
def bench(running: Bench) -> Bench:
    """The same hub with nothing in it."""
    running.empty()
    return running


@pytest.fixture
def folding(bench: Bench) -> Iterator[Bench]:
    before = bench.hub.settings
    bench.hub.settings = replace(before, kapua_fold=True)
    yield bench
    bench.hub.settings = before


def seed(bench: Bench) -> str:
    """The operation of seed 004 with its two notifications; the path of them."""
    device_id = bench.device()
    sent = [times.parse(item["sentOn"]) for item in SEED_ITEMS]  # type: ignore[arg-type]
    for item, at in zip(SEED_ITEMS, sent, strict=True):
        bench.now = times.parse(item["createdOn"])  # type: ignore[arg-type]
        bench.report(device_id, progress=item["progress"], sent_at=at)  # type: ignore[arg-type]

    def name_as_the_seed_does(unit: Unit) -> None:
        row = dict(unit.db.execute(select(tables.operations)).one()._mapping)
        named = {"id": shapes.number("cjmXXKvLUY8"), "number": 8}
        unit.db.execute(tables.operations.insert().values({**row, **named}))
        for item, at in zip(SEED_ITEMS, sent, strict=True):
            values = {"id": shapes.number(str(item["id"])), "operation_id": named["id"]}
            unit.db.execute(tables.notifications.update().where(tables.notifications.c.sent_at == at).values(values))
        unit.db.execute(tables.operations.delete().where(tables.operations.c.id == row["id"]))

    bench.do(name_as_the_seed_does)
    return f"/_/devices/{device_id}/operations/cjmXXKvLUY8/notifications"


# ---- ids


@pytest.mark.parametrize(
    ("number", "text"), [(0, "AA"), (1, "AQ"), (2, "Ag"), (127, "fw"), (128, "AIA"), (-1, "_w"), (2**63 - 1, "f_________8")]
)
def test_an_id_is_the_base64url_of_its_number(number: int, text: str) -> None:
    assert shapes.compact(number) == text
    assert shapes.number(text) == number
    assert shapes.number(text + "=" * (-len(text) % 4)) == number


@pytest.mark.parametrize("text", ["", "=", "A", "A B", "A+/=", "é", "A" * 65, "A" * 5, "AQ===", "A\n", "AQ\n"])
def test_what_is_no_base64url_is_no_id(text: str) -> None:
    assert shapes.number(text) is None


@given(st.integers(-(2**200), 2**200))
def test_any_number_has_an_id_that_is_read_back(number: int) -> None:
    assert shapes.number(shapes.compact(number)) == number


# ---- authentication


def test_a_login_gives_a_token_as_the_reference_has_it(bench: Bench) -> None:
    made = bench.log_in()
    assert set(made) >= {"tokenId", "userId", "scopeId", "expiresOn", "refreshToken", "refreshExpiresOn"}
    assert (made["type"], made["userId"], made["scopeId"]) == ("accessToken", "Ag", "AQ")
    assert made["expiresOn"] == times.iso(NOON + 1800)
    assert made["refreshExpiresOn"] == times.iso(NOON + 5 * 3600)
    assert re.fullmatch(r"[A-Za-z0-9-_=]+\.[A-Za-z0-9-_=]+\.?[A-Za-z0-9-_.+/=]*", made["tokenId"])  # the vendor's pattern
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", made["refreshToken"])
    header, claims = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in made["tokenId"].split(".")[:2])
    assert header == {"alg": "HS256", "typ": "JWT"}
    assert (claims["sub"], claims["sId"], claims["iat"], claims["exp"]) == ("Ag", "AQ", int(NOON), int(NOON + 1800))


def test_the_operator_key_is_an_api_key(bench: Bench) -> None:
    made = bench.post("/authentication/apikey", {"apiKey": KEY})
    assert bench.call("GET", "/_/devices", token=made["tokenId"]).status_code == 200
    assert made["tokenId"] != bench.token


@pytest.mark.parametrize(
    ("end", "body"),
    [
        ("user", {"username": "operator", "password": "wrong"}), ("user", {"username": "operator", "password": ""}),
        ("user", {"username": "admin", "password": KEY}), ("user", {"username": "", "password": KEY}),
        ("user", {"username": "operator", "password": KEY + " "}), ("apikey", {"apiKey": "wrong"}), ("apikey", {"apiKey": f"Bearer {KEY}"}),
        ("refresh", {"tokenId": "a.b.c", "refreshToken": "x"}), ("refresh", {"tokenId": "", "refreshToken": ""}),
    ],
)  # fmt: skip
def test_a_failed_login_is_401_without_a_body(bench: Bench, end: str, body: dict[str, str]) -> None:
    answer = bench.call("POST", f"/authentication/{end}", body, token="")
    assert (answer.status_code, answer.content) == (401, b"")


@pytest.mark.parametrize(
    ("end", "body", "name"),
    [
        ("user", {"username": "operator"}, "password"), ("user", {"password": KEY}, "username"), ("user", {"username": 1}, "username"),
        ("user", {"username": "operator", "password": ["x"]}, "password"), ("apikey", {}, "apiKey"), ("apikey", {"apiKey": None}, "apiKey"),
        ("refresh", {"refreshToken": "x"}, "tokenId"), ("refresh", {"tokenId": "x"}, "refreshToken"),
        ("user", b"", "body"), ("user", b"{", "body"), ("apikey", b"[]", "body"), ("refresh", b"\xff", "body"),
    ],
)  # fmt: skip
def test_a_login_that_lacks_something_is_an_illegal_argument(bench: Bench, end: str, body: Any, name: str) -> None:
    answer = bench.call("POST", f"/authentication/{end}", body, token="")
    assert_illegal_argument(answer, name)
    assert KEY not in answer.text


def test_a_token_expires_after_half_an_hour_and_is_refreshed_until_five_hours_have_passed(bench: Bench) -> None:
    made = bench.log_in()
    bench.now += 1799.9
    assert bench.call("GET", "/_/devices", token=made["tokenId"]).status_code == 200
    bench.now += 0.1
    answer = bench.call("GET", "/_/devices", token=made["tokenId"])
    assert (answer.status_code, answer.content) == (401, b"")
    bench.now = NOON + 5 * 3600 - 1
    again = bench.post("/authentication/refresh", {"tokenId": made["tokenId"], "refreshToken": made["refreshToken"]})
    assert again["expiresOn"] == times.iso(bench.now + 1800)
    assert bench.call("GET", "/_/devices", token=again["tokenId"]).status_code == 200
    bench.now += 5 * 3600
    late = {"tokenId": again["tokenId"], "refreshToken": again["refreshToken"]}
    assert bench.call("POST", "/authentication/refresh", late).status_code == 401


def test_a_refresh_takes_the_old_token_back_and_works_once(bench: Bench) -> None:
    made = bench.log_in()
    asked = {"tokenId": made["tokenId"], "refreshToken": made["refreshToken"]}
    again = bench.post("/authentication/refresh", asked)
    assert again["refreshToken"] != made["refreshToken"]
    assert bench.call("GET", "/_/devices", token=made["tokenId"]).status_code == 401
    assert bench.call("POST", "/authentication/refresh", asked).status_code == 401
    mixed = {"tokenId": again["tokenId"], "refreshToken": made["refreshToken"]}
    assert bench.call("POST", "/authentication/refresh", mixed).status_code == 401
    assert bench.call("GET", "/_/devices", token=again["tokenId"]).status_code == 200


def test_a_logout_takes_the_token_back(bench: Bench) -> None:
    made = bench.log_in()
    answer = bench.call("POST", "/authentication/logout", token=made["tokenId"])
    assert (answer.status_code, answer.content) == (204, b"")
    assert bench.call("POST", "/authentication/logout", token=made["tokenId"]).status_code == 401
    asked = {"tokenId": made["tokenId"], "refreshToken": made["refreshToken"]}
    assert bench.call("POST", "/authentication/refresh", asked).status_code == 401


def test_nothing_is_open_without_a_token_of_this_hub(bench: Bench) -> None:
    base = seed(bench)
    forged = shapes.make_token(b"another secret", NOON, NOON + 1800)
    signed_but_not_given_out = shapes.make_token(secret_of_the_hub(), NOON, NOON + 1800)
    operation = base.removesuffix("/notifications")
    doors = [("GET", "/_/devices"), ("GET", operation), ("GET", operation.rsplit("/", 1)[0]), ("GET", base), ("GET", f"{base}/AQ")]
    doors += [("DELETE", f"{base}/AQ"), ("POST", f"{base}/_query"), ("POST", f"{base}/_count"), ("POST", "/authentication/logout")]
    doors += [("POST", f"{operation.rsplit('/', 1)[0]}/_query"), ("POST", f"{operation.rsplit('/', 1)[0]}/_count")]
    # what is wrong with a question is no stranger's business
    doors += [("GET", f"{door}?limit=abc") for door in ("/_/devices", operation.rsplit("/", 1)[0], base)]
    tampered = bench.token[:-2] + ("AA" if bench.token[-2:] != "AA" else "BB")
    for token in ("", KEY, forged, signed_but_not_given_out, tampered, "a.b.c", "."):
        for method, door in doors:
            answer = bench.call(method, door, {} if method == "POST" else None, token=token)
            assert (answer.status_code, answer.content) == (401, b""), (method, door)
    assert bench.get(base)["size"] == 2


def secret_of_the_hub() -> bytes:
    return hmac.digest(KEY.encode(), b"access tokens of the Kapua facet", "sha256")


def test_only_hashes_of_tokens_are_kept_and_not_without_end(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    made = bench.log_in()
    rows = bench.do(lambda unit: unit.db.execute(select(tables.access_tokens)).all())
    kept = repr([tuple(row) for row in rows])
    assert made["tokenId"] not in kept
    assert made["refreshToken"] not in kept
    assert hashlib.sha256(made["tokenId"].encode()).hexdigest() in kept
    monkeypatch.setattr("tools.hub.domain.access.TOKENS_MAX", 3)
    tokens = []
    for _ in range(4):
        bench.now += 1
        tokens.append(bench.log_in()["tokenId"])
    assert [bench.call("GET", "/_/devices", token=token).status_code for token in tokens] == [401, 200, 200, 200]
    bench.now += 6 * 3600
    bench.log_in()
    assert len(bench.do(lambda unit: unit.db.execute(select(tables.access_tokens)).all())) == 1


# ---- the seed


def test_the_list_is_the_seeds(bench: Bench) -> None:
    assert bench.get(seed(bench)) == SEED_LIST


def test_one_notification_is_the_seeds(bench: Bench) -> None:
    assert bench.get(f"{seed(bench)}/RGoRWw9Pkhc") == SEED_ITEMS[0]


def test_a_deleted_notification_is_gone_with_200_and_the_others_stay(bench: Bench) -> None:
    base = seed(bench)
    assert bench.call("DELETE", f"{base}/RGoRWw9Pkhc").status_code == 200
    assert bench.get(base)["items"] == SEED_ITEMS[1:]
    for method in ("GET", "DELETE"):
        assert_not_found(bench.call(method, f"{base}/RGoRWw9Pkhc"), "managementOperationNotification", "RGoRWw9Pkhc")


def test_the_query_is_the_seeds(bench: Bench) -> None:
    assert bench.post(f"{seed(bench)}/_query", {"offset": 0, "limit": 50}) == SEED_LIST


def test_the_count_is_the_seeds(bench: Bench) -> None:
    base = seed(bench)
    assert bench.post(f"{base}/_count", {"offset": 0, "limit": 50}) == {"count": 2}
    for item in SEED_ITEMS:
        bench.call("DELETE", f"{base}/{item['id']}")
    assert bench.post(f"{base}/_count", {"offset": 0, "limit": 50}) == {"count": 0}
    assert bench.get(base) == {**SEED_LIST, "size": 0, "items": []}


@pytest.mark.parametrize("scope", ["_", "AQ", "AQ=="])
def test_the_own_scope_is_an_underscore_or_its_id(bench: Bench, scope: str) -> None:
    assert bench.get(seed(bench).replace("/_/", f"/{scope}/", 1)) == SEED_LIST


# ---- pages, sorting, filters


def many(bench: Bench) -> str:
    device_id = bench.device()
    for n in range(10):
        bench.now += 1
        bench.report(
            device_id, status="COMPLETED" if n in (4, 9) else "RUNNING", progress=n % 5, resource="install" if n > 4 else "download"
        )
    return bench.operation(device_id) + "/notifications"


def progress(found: dict[str, Any]) -> list[int]:
    return [item["progress"] for item in found["items"]]


def test_pages_follow_each_other_and_say_whether_there_is_more(bench: Bench) -> None:
    base = many(bench)
    pages = [bench.get(base, offset=offset, limit=4) for offset in (0, 4, 8, 12)]
    assert [progress(page) for page in pages] == [[0, 1, 2, 3], [4, 0, 1, 2], [3, 4], []]
    assert [page["limitExceeded"] for page in pages] == [True, True, False, False]
    assert [page["size"] for page in pages] == [4, 4, 2, 0]
    assert all("totalCount" not in page for page in pages)
    assert [bench.post(f"{base}/_query", {"offset": offset, "limit": 4}) for offset in (0, 4, 8, 12)] == pages
    assert bench.get(base, limit=10)["limitExceeded"] is False
    assert bench.get(base, limit=0) == {**SEED_LIST, "limitExceeded": True, "size": 0, "items": []}
    assert bench.get(base, limit=2**31 - 1)["size"] == 10


def test_the_total_is_there_when_it_is_asked_for(bench: Bench) -> None:
    base = many(bench)
    assert bench.get(base, limit=1, askTotalCount="true")["totalCount"] == 10
    assert bench.get(base, limit=1, askTotalCount="true", resource="install")["totalCount"] == 5
    assert bench.post(f"{base}/_query", {"askTotalCount": True, "offset": 20})["totalCount"] == 10
    assert "totalCount" not in bench.post(f"{base}/_query", {"askTotalCount": False})


def test_a_page_is_of_50_where_none_is_asked_for(bench: Bench) -> None:
    device_id = bench.device()
    for n in range(51):
        bench.report(device_id, progress=n, sent_at=NOON + n)
    found = bench.get(bench.operation(device_id) + "/notifications")
    assert (found["size"], found["limitExceeded"], progress(found)) == (50, True, list(range(50)))


def test_the_resource_filters_the_list_the_query_and_the_count(bench: Bench) -> None:
    base = many(bench)
    for resource, expected in (("download", 5), ("install", 5), ("uninstall", 0), ("down", 0), ("%", 0), ("DOWNLOAD", 0)):
        assert bench.get(base, resource=resource)["size"] == expected
        assert bench.post(f"{base}/_query", {"resource": resource})["size"] == expected
        assert bench.post(f"{base}/_count", {"resource": resource, "limit": 1, "offset": 3}) == {"count": expected}
    assert bench.get(base, resource="")["size"] == 10


def test_any_attribute_sorts_both_ways(bench: Bench) -> None:
    base = many(bench)
    assert progress(bench.get(base, sortParam="progress")) == sorted([*range(5), *range(5)])
    assert progress(bench.get(base, sortParam="progress", sortDir="descending")) == sorted([*range(5), *range(5)], reverse=True)
    for name in ("id", "resource", "status", "message", "sentOn", "createdOn"):
        found = bench.post(f"{base}/_query", {"sortParam": name, "sortDir": "DESCENDING"})["items"]
        keys = [shapes.number(item["id"]) if name == "id" else item.get(name) for item in found]
        assert keys == sorted(keys, reverse=True, key=lambda value: (value is None, value) if value is None else (False, value))
    assert bench.post(f"{base}/_query", {"sortDir": "DESCENDING"})["items"] == bench.get(base)["items"][::-1]


def test_notifications_are_in_the_order_in_which_they_were_sent(bench: Bench) -> None:
    device_id = bench.device()
    for at in (3, 1, 2):
        bench.report(device_id, progress=at, sent_at=NOON + at)
    assert progress(bench.get(bench.operation(device_id) + "/notifications")) == [1, 2, 3]


BAD_QUERIES = [
    ("offset", "-1"), ("offset", "x"), ("offset", "1.5"), ("offset", ""), ("offset", str(2**31)), ("offset", "9" * 30), ("limit", "-1"),
    ("limit", "٣"), ("limit", "1e3"), ("askTotalCount", "yes"), ("sortParam", "operation_id"), ("sortParam", "x"), ("sortDir", "UP"),
    ("resource", "x" * 256), ("resource", "a\0b"), ("status", "RUNNING"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), BAD_QUERIES)
def test_a_bad_query_parameter_is_an_illegal_argument(bench: Bench, name: str, value: str) -> None:
    base = seed(bench)
    for door in (base, base.rsplit("/", 2)[0]):
        assert_illegal_argument(bench.call("GET", door, params={name: value}), name)


BAD_BODIES: list[tuple[Any, str]] = [
    ({"offset": -1}, "offset"), ({"offset": "0"}, "offset"), ({"offset": True}, "offset"), ({"limit": 1.0}, "limit"),
    ({"limit": 2**40}, "limit"), ({"limit": [1]}, "limit"), ({"askTotalCount": "true"}, "askTotalCount"),
    ({"askTotalCount": 1}, "askTotalCount"),
    ({"sortParam": 1}, "sortParam"), ({"sortParam": "nothing"}, "sortParam"), ({"sortDir": "x"}, "sortDir"), ({"resource": {}}, "resource"),
    ({"resource": "x" * 256}, "resource"), ({"status": "RUNNING"}, "status"), ({"predicate": {"type": "x"}}, "predicate"),
    (b"", "body"), (b"{", "body"), (b"[]", "body"), (b"\xff", "body"), (b'{"limit":NaN}', "body"), (b'{"resource":"\\ud800"}', "body"),
    (b"[" * 5000, "body"), (b'{"x":"' + b"x" * 300_000 + b'"}', "body"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "name"), BAD_BODIES, ids=range(len(BAD_BODIES)))
def test_a_bad_query_body_is_an_illegal_argument(bench: Bench, body: Any, name: str) -> None:
    base = seed(bench)
    for door in (base, base.rsplit("/", 2)[0]):
        for end in ("_query", "_count"):
            assert_illegal_argument(bench.call("POST", f"{door}/{end}", body), name)


def test_empty_keys_that_are_not_known_are_let_pass(bench: Bench) -> None:
    body = {"type": "managementOperationNotificationQuery", "predicate": None, "fetchAttributes": [], "sortCriteria": {}, "sortParam": None}
    assert bench.post(f"{seed(bench)}/_query", body) == SEED_LIST


# ---- errors


def assert_illegal_argument(answer: httpx.Response, name: str) -> None:
    body = answer.json()
    assert (answer.status_code, body["httpErrorCode"]) == (400, 400), answer.text
    assert (body["type"], body["kapuaErrorCode"]) == ("illegalArgumentExceptionInfo", "ILLEGAL_ARGUMENT")
    assert body["argumentName"] == name
    assert name in body["message"]


def assert_not_found(answer: httpx.Response, kind: str, entity_id: str) -> None:
    assert answer.status_code == 404, answer.text
    assert answer.json() == {
        "type": "entityNotFoundExceptionInfo",
        "httpErrorCode": 404,
        "message": f"The entity of type {kind} with id/name {entity_id} was not found.",
        "kapuaErrorCode": "ENTITY_NOT_FOUND",
        "entityType": kind,
        "entityId": entity_id,
    }


def doors_of(base: str) -> list[tuple[str, str]]:
    """Every call below an operation's notifications, and the operations beside them."""
    operation = base.removesuffix("/notifications")
    every = operation.rsplit("/", 1)[0]
    calls = [("GET", base), ("GET", f"{base}/RGoRWw9Pkhc"), ("DELETE", f"{base}/RGoRWw9Pkhc"), ("POST", f"{base}/_query")]
    return [
        *calls,
        ("POST", f"{base}/_count"),
        ("GET", operation),
        ("GET", every),
        ("POST", f"{every}/_query"),
        ("POST", f"{every}/_count"),
    ]


def call(bench: Bench, method: str, door: str) -> httpx.Response:
    return bench.call(method, door, {} if method == "POST" else None)


def test_another_scope_is_403_whatever_is_asked_of_it(bench: Bench) -> None:
    base = seed(bench)
    for method, door in [*doors_of(base), ("GET", "/_/devices"), ("GET", base.rsplit("/operations", 1)[0])]:
        for scope in ("Ag", "QNvLTfKO1hy", "_w", "AAAA"):
            answer = call(bench, method, door.replace("/_/", f"/{scope}/", 1))
            body = answer.json()
            assert (answer.status_code, body["httpErrorCode"]) == (403, 403)
            assert (body["type"], body["kapuaErrorCode"]) == ("subjectUnauthorizedExceptionInfo", "SUBJECT_UNAUTHORIZED")
    assert bench.get(base) == SEED_LIST


def test_the_path_is_checked_in_full(bench: Bench) -> None:
    base = seed(bench)
    own = base.split("/")[3]
    other = bench.device("2")
    bench.report(other, 8)
    bench.report(own, 9)
    others = bench.operation(other, 8)
    second = bench.operation(own, 9)
    compact_other = shapes.compact(operations.number_of(other))
    for method, door in doors_of(base.replace(own, other)):  # this operation below another device
        if door.endswith("/operations") or "/operations/_" in door:
            continue
        assert_not_found(call(bench, method, door), "deviceManagementOperation", "cjmXXKvLUY8")
    for operation in (others, second):  # this notification below another operation
        for method in ("GET", "DELETE"):
            answer = bench.call(method, f"{operation}/notifications/RGoRWw9Pkhc")
            assert_not_found(answer, "managementOperationNotification", "RGoRWw9Pkhc")
    assert bench.get(others)["deviceId"] == compact_other
    assert bench.get(base) == SEED_LIST


def test_an_entity_that_is_not_there_is_404_with_its_type_and_id(bench: Bench) -> None:
    base = seed(bench)
    own = base.split("/")[3]
    nobody = "00000000-0000-4000-8000-000000000000"
    for method, door in doors_of(base):
        for unknown, shown in (
            ("Psx7WSjzxGU", "Psx7WSjzxGU"),
            ("f_________8", "f_________8"),
            ("_w", "_w"),
            ("A" * 64, "AA"),
            (nobody, "QAA"),
        ):
            assert_not_found(call(bench, method, door.replace(own, unknown)), "device", shown)
    operation = base.removesuffix("/notifications")
    assert_not_found(bench.call("GET", operation.replace("cjmXXKvLUY8", "WOBK1_0Nc68")), "deviceManagementOperation", "WOBK1_0Nc68")
    assert_not_found(bench.call("GET", f"{base}/_query"), "managementOperationNotification", shapes.compact(shapes.number("_query") or 0))
    assert_not_found(bench.call("GET", f"/_/devices/{nobody}"), "device", "QAA")


def test_what_is_no_id_is_an_illegal_argument(bench: Bench) -> None:
    base = seed(bench)
    own = base.split("/")[3]
    for bad in ("A", "a.b", "%20", "%C3%A9", "A" * 65, "%00", "AQ%3D%3D%3D"):
        for method, door in doors_of(base):
            assert_illegal_argument(call(bench, method, door.replace(own, bad)), "deviceId")
            assert_illegal_argument(call(bench, method, door.replace("/_/", f"/{bad}/", 1)), "scopeId")
            if "cjmXXKvLUY8" in door:
                assert_illegal_argument(call(bench, method, door.replace("cjmXXKvLUY8", bad)), "operationId")
        for method in ("GET", "DELETE"):
            assert_illegal_argument(bench.call(method, f"{base}/{bad}"), "notificationId")


# ---- devices and operations


def test_devices_are_found_by_their_client_id(bench: Bench) -> None:
    ids = []
    for n in range(3):
        bench.now += 1
        ids.append(bench.device(str(n)))
    listed = bench.get("/_/devices")
    assert (listed["type"], listed["size"], [item["clientId"] for item in listed["items"]]) == ("deviceListResult", 3, ids)
    found = bench.get("/_/devices", clientId=ids[1])
    assert found["items"] == [listed["items"][1]]
    assert bench.get(f"/_/devices/{found['items'][0]['id']}") == bench.get(f"/_/devices/{ids[1]}") == found["items"][0]
    assert bench.get("/_/devices", clientId="nobody")["size"] == 0
    assert bench.get("/_/devices", clientId=ids[1], offset=1)["size"] == 0
    assert [item["clientId"] for item in bench.get("/_/devices", offset=1, limit=1)["items"]] == ids[1:2]
    assert bench.get("/_/devices", offset=1, limit=1)["limitExceeded"] is True
    assert all(len(item["id"]) <= 11 for item in listed["items"])
    assert_illegal_argument(bench.call("GET", "/_/devices", params={"displayName": "x"}), "displayName")


def queue(bench: Bench, device_id: str, name: str = "blink", **parameters: Any) -> commands.Command:
    body = {"name": name, "extra_params": parameters}
    made: commands.Command = bench.do(lambda unit: commands.queue(unit, get_device(unit.db, device_id), body))
    return made


def tell(bench: Bench, device_id: str, command: commands.Command, status: str, message: str | None = None) -> None:
    body = {"id": command.id, "status": status, "message": message}
    bench.do(lambda unit: commands.report(unit, get_device(unit.db, device_id), body))


def test_a_command_is_an_operation_from_when_it_is_queued_to_when_it_is_done(bench: Bench) -> None:
    device_id = bench.device()
    command = queue(bench, device_id, times=2, loud=True, note="x", rate=0.5)
    queued = bench.get(f"/_/devices/{device_id}/operations")
    assert (queued["type"], queued["size"], queued["limitExceeded"]) == ("deviceManagementOperationListResult", 1, False)
    item = queued["items"][0]
    assert item == bench.get(operation_path(item)) == {
        "type": "deviceManagementOperation",
        "id": item["id"],
        "scopeId": "AQ",
        "createdOn": "2019-11-15T11:27:25.331Z",
        "createdBy": "Ag",
        "modifiedOn": "2019-11-15T11:27:25.331Z",
        "modifiedBy": "Ag",
        "action": "EXECUTE",
        "appId": "COMMAND",
        "deviceId": shapes.compact(operations.number_of(device_id)),
        "operationId": shapes.compact(operations.number_of(command.id)),
        "operationProperties": [
            {"name": "times", "propertyType": "long", "propertyValue": "2"},
            {"name": "loud", "propertyType": "boolean", "propertyValue": "true"},
            {"name": "note", "propertyType": "string", "propertyValue": "x"},
            {"name": "rate", "propertyType": "double", "propertyValue": "0.5"},
            {"name": "command.id", "propertyType": "string", "propertyValue": command.id},
        ],
        "resource": "blink",
        "startedOn": "2019-11-15T11:27:25.331Z",
        "status": "RUNNING",
    }  # fmt: skip
    assert bench.get(f"{operation_path(item)}/notifications")["items"] == []
    for seconds, status, message in ((1, "in_progress", None), (2, "in_progress", "half"), (3, "done", "blinked"), (4, "done", "blinked")):
        bench.now = NOON + seconds
        tell(bench, device_id, command, status, message)
    told = bench.get(f"{operation_path(item)}/notifications")["items"]
    assert [(n["status"], n["progress"], n.get("message"), n["resource"], n["sentOn"]) for n in told] == [
        ("RUNNING", 0, None, "blink", "2019-11-15T11:27:26.331Z"),
        ("RUNNING", 0, "half", "blink", "2019-11-15T11:27:27.331Z"),
        ("COMPLETED", 100, "blinked", "blink", "2019-11-15T11:27:28.331Z"),
    ]
    assert all(n["operationId"] == item["id"] for n in told)
    ended = bench.get(operation_path(item))
    assert (ended["status"], ended["endedOn"], ended["startedOn"]) == ("COMPLETED", "2019-11-15T11:27:28.331Z", "2019-11-15T11:27:25.331Z")


@pytest.mark.parametrize("word", ["error", "failed"])
def test_a_command_that_fails_never_shows_100_percent(bench: Bench, word: str) -> None:
    device_id = bench.device()
    tell(bench, device_id, queue(bench, device_id), word, "no lamp")
    item = bench.get(f"/_/devices/{device_id}/operations")["items"][0]
    assert (item["status"], "endedOn" in item) == ("FAILED", True)
    told = bench.get(f"{operation_path(item)}/notifications")["items"]
    assert [(n["status"], n["progress"], n["message"]) for n in told] == [("FAILED", 0, "no lamp")]


def test_a_cancelled_command_is_told_as_failed(bench: Bench) -> None:
    device_id = bench.device()
    cancelled = replace(queue(bench, device_id), status="cancelled", message="taken back")
    bench.do(lambda unit: operations.follow(unit, get_device(unit.db, device_id), cancelled, reported=True))
    item = bench.get(f"/_/devices/{device_id}/operations")["items"][0]
    told = bench.get(f"{operation_path(item)}/notifications")["items"]
    assert [(item["status"], n["status"], n["progress"], n["message"]) for n in told] == [("FAILED", "FAILED", 0, "taken back")]


def test_operations_have_lists_queries_and_counts(bench: Bench) -> None:
    device_id = bench.device()
    made = []
    for name in ("blink", "ping", "update_firmware", "blink"):
        bench.now += 1
        made.append(queue(bench, device_id, name))
    bench.now += 1
    bench.report(device_id, 7)
    base = f"/_/devices/{device_id}/operations"
    listed = bench.get(base)
    assert [item["resource"] for item in listed["items"]] == ["blink", "ping", "DOWNLOAD", "blink", "DOWNLOAD"]
    assert [item["appId"] for item in listed["items"]] == ["COMMAND", "COMMAND", "DEPLOY", "COMMAND", "DEPLOY"]
    assert bench.post(f"{base}/_query", {"offset": 0, "limit": 50}) == listed
    assert bench.post(f"{base}/_count", {"offset": 0, "limit": 1}) == {"count": 5}
    assert bench.post(f"{base}/_count", {"resource": "blink"}) == {"count": 2}
    page = bench.get(base, resource="DOWNLOAD", limit=1, offset=0, askTotalCount="true")
    assert (page["size"], page["limitExceeded"], page["totalCount"]) == (1, True, 2)
    assert bench.post(f"{base}/_query", {"sortParam": "startedOn", "sortDir": "DESCENDING"})["items"] == listed["items"][::-1]
    for name in ("id", "operationId", "resource", "status", "endedOn", "createdOn", "modifiedOn"):
        assert bench.get(base, sortParam=name)["size"] == 5


def test_with_folding_the_notifications_of_an_ended_operation_are_in_its_log(folding: Bench) -> None:
    device_id = folding.device()
    folding.report(device_id, progress=5, sent_at=NOON)
    operation = folding.operation(device_id)
    assert folding.get(f"{operation}/notifications")["size"] == 1
    assert "log" not in folding.get(operation)
    told = folding.get(f"{operation}/notifications")["items"][0]["id"]
    folding.report(device_id, status="FAILED", progress=5, message="no room", sent_at=NOON + 1)
    assert folding.get(operation)["log"] == (
        "2019-11-15T11:27:25.331Z download 5 % RUNNING\n2019-11-15T11:27:26.331Z download 5 % FAILED no room"
    )
    assert folding.get(f"{operation}/notifications", askTotalCount="true") == {**SEED_LIST, "size": 0, "items": [], "totalCount": 0}
    assert folding.post(f"{operation}/notifications/_count", {"offset": 0}) == {"count": 0}
    for method in ("GET", "DELETE"):
        assert folding.call(method, f"{operation}/notifications/{told}").status_code == 404


# ---- the domain


def status_of(bench: Bench, device_id: str) -> tuple[str, str | None]:
    found = bench.get(bench.operation(device_id))
    return found["status"], found.get("endedOn")


def test_what_a_device_begins_by_itself_is_as_its_newest_report_says(bench: Bench) -> None:
    device_id = bench.device()
    bench.report(device_id, progress=50, sent_at=NOON + 1)
    bench.report(device_id, status="COMPLETED", progress=100, sent_at=NOON + 2)
    assert status_of(bench, device_id) == ("COMPLETED", "2019-11-15T11:27:27.331Z")
    bench.report(device_id, progress=0, resource="install", sent_at=NOON + 3)
    assert status_of(bench, device_id) == ("RUNNING", None)
    bench.report(device_id, status="FAILED", progress=0, resource="install", message="bad", sent_at=NOON + 4)
    bench.report(device_id, progress=10, sent_at=NOON + 1.5)  # late
    assert status_of(bench, device_id) == ("FAILED", "2019-11-15T11:27:29.331Z")
    told = bench.get(bench.operation(device_id) + "/notifications")
    assert [(item["resource"], item["progress"]) for item in told["items"]] == [
        ("download", 50), ("download", 10), ("download", 100), ("install", 0), ("install", 0),
    ]  # fmt: skip


def test_reports_over_another_wire_are_the_commands_notifications_and_do_not_end_it(bench: Bench) -> None:
    device_id = bench.device()
    command = queue(bench, device_id, "update_firmware", url="http://x")
    number = operations.number_of(command.id)
    tell(bench, device_id, command, "in_progress")
    for resource in ("download", "install"):
        bench.now += 1
        bench.report(device_id, number, "COMPLETED", 100, resource=resource)
    assert bench.get(bench.operation(device_id, number))["status"] == "RUNNING"
    bench.now += 1
    tell(bench, device_id, command, "done")
    operation = bench.get(bench.operation(device_id, number))
    assert (operation["status"], operation["appId"], operation["resource"]) == ("COMPLETED", "DEPLOY", "DOWNLOAD")
    told = bench.get(f"{operation_path(operation)}/notifications")["items"]
    assert [item["resource"] for item in told] == ["update_firmware", "download", "install", "update_firmware"]


def test_the_command_to_update_has_the_progress_of_its_steps(bench: Bench) -> None:
    device_id = bench.device()
    command = queue(bench, device_id, "update_firmware", url="http://x")
    steps = ("Acknowledged 100 %", "Downloading 70 %", "Downloading 100 %", "Deploying 30 %", "Rebooting 0 %, soon")
    said = (*steps, "Error, no link", "at 50 %")
    for message in said:
        bench.now += 1
        tell(bench, device_id, command, "in_progress", message)
    bench.now += 1
    tell(bench, device_id, command, "done", "version 2 runs")
    operation = bench.get(bench.operation(device_id, operations.number_of(command.id)))
    assert operation["status"] == "COMPLETED"
    told = bench.get(f"{operation_path(operation)}/notifications")["items"]
    assert [(item["resource"], item["status"], item["progress"]) for item in told] == [
        ("download", "RUNNING", 0), ("download", "RUNNING", 70), ("download", "COMPLETED", 100), ("install", "RUNNING", 30),
        ("install", "RUNNING", 99), ("update_firmware", "RUNNING", 0), ("update_firmware", "RUNNING", 0),
        ("update_firmware", "COMPLETED", 100),
    ]  # fmt: skip
    assert [item["message"] for item in told] == [*said, "version 2 runs"]


def test_a_report_without_progress_stands_at_what_was_reached(bench: Bench) -> None:
    device_id = bench.device()
    for at, (resource, given_progress) in enumerate((("download", None), ("download", 40), ("download", None), ("install", None))):
        bench.report(device_id, progress=given_progress, resource=resource, sent_at=NOON + at)
    assert progress(bench.get(bench.operation(device_id) + "/notifications")) == [0, 40, 40, 0]


def test_a_report_that_came_twice_is_one_notification(bench: Bench) -> None:
    device_id = bench.device()
    first = bench.report(device_id, progress=5, message="a", sent_at=NOON)
    assert bench.report(device_id, progress=5, message="a", sent_at=NOON) == first
    for changed in ({"progress": 6}, {"message": None}, {"resource": "install"}, {"sent_at": NOON + 1}):
        bench.report(device_id, **{"progress": 5, "message": "a", "sent_at": NOON, **changed})
    assert bench.get(bench.operation(device_id) + "/notifications")["size"] == 5


@pytest.mark.parametrize(
    "changes",
    [{"status": "STALE"}, {"status": ""}, {"progress": -1}, {"progress": 2**31}, {"number": 2**63}, {"number": -(2**63) - 1},
     {"resource": ""}, {"resource": "x" * 256}],
)  # fmt: skip
def test_a_report_out_of_range_is_refused_and_changes_nothing(bench: Bench, changes: dict[str, Any]) -> None:
    device_id = bench.device()
    with pytest.raises(Invalid):
        bench.report(device_id, **changes)
    assert bench.get(f"/_/devices/{device_id}/operations")["size"] == 0


def test_a_long_message_is_cut_and_the_extremes_of_a_number_are_kept(bench: Bench) -> None:
    device_id = bench.device()
    for number in (2**63 - 1, -(2**63), 0):
        bench.report(device_id, number, progress=2**31 - 1, message="é" * 2000)
        told = bench.get(bench.operation(device_id, number) + "/notifications")["items"]
        assert (told[0]["message"], told[0]["progress"]) == ("é" * 1024, 2**31 - 1)


def test_notifications_are_bounded_and_the_oldest_goes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "NOTIFICATIONS_MAX", 5)
    device_id = bench.device()
    for n in range(8):
        bench.report(device_id, progress=n, sent_at=NOON + n)
    assert progress(bench.get(bench.operation(device_id) + "/notifications")) == [3, 4, 5, 6, 7]


def test_operations_are_bounded_and_what_has_ended_goes_first(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "OPERATIONS_MAX", 4)
    device_id = bench.device()
    other = bench.device("2")
    bench.report(other, 1)
    command = queue(bench, device_id, "update_firmware")
    for number, status in ((11, "RUNNING"), (12, "COMPLETED"), (13, "RUNNING"), (14, "RUNNING"), (15, "RUNNING"), (16, "RUNNING")):
        bench.now += 1
        bench.report(device_id, number, status)
    kept = [shapes.number(item["operationId"]) for item in bench.get(f"/_/devices/{device_id}/operations")["items"]]
    assert kept == [operations.number_of(command.id), 14, 15, 16]
    assert operations.OPERATIONS_MAX != 4 or bench.get(f"/_/devices/{other}/operations")["size"] == 1
    rows = bench.do(lambda unit: unit.db.execute(select(tables.notifications)).all())
    assert len(rows) == 4


def test_the_bounds_hold_all_commands_that_may_wait() -> None:
    assert operations.OPERATIONS_MAX > commands.QUEUE_MAX


def test_a_removed_device_leaves_no_operation_behind(bench: Bench) -> None:
    device_id, other = bench.device(), bench.device("2")
    for owner in (device_id, other):
        queue(bench, owner)
        bench.report(owner)
    before = bench.get(f"/_/devices/{other}/operations")
    bench.do(lambda unit: devices.remove(unit, get_device(unit.db, device_id), "operator", bench.hub.settings.data))
    assert_not_found(bench.call("GET", f"/_/devices/{device_id}/operations"), "device", shapes.compact(operations.number_of(device_id)))
    assert bench.get(f"/_/devices/{other}/operations") == before
    for table, left in ((tables.operations, 2), (tables.notifications, 1)):
        assert len(bench.do(lambda unit, of=table: unit.db.execute(select(of)).all())) == left


def test_a_command_of_an_earlier_version_becomes_an_operation_with_its_next_report(bench: Bench) -> None:
    device_id = bench.device()
    command = queue(bench, device_id)

    def as_before(unit: Unit) -> None:
        operations.forget(unit, get_device(unit.db, device_id))

    bench.do(as_before)
    bench.now += 60
    tell(bench, device_id, command, "done", "ok")
    item = bench.get(f"/_/devices/{device_id}/operations")["items"][0]
    assert (item["status"], bench.get(f"{operation_path(item)}/notifications")["size"]) == ("COMPLETED", 1)
    assert (item["startedOn"], item["createdOn"]) == ("2019-11-15T11:27:25.331Z", "2019-11-15T11:28:25.331Z")


def test_uuids_that_differ_in_their_first_bit_only_are_one_number_and_found(bench: Bench) -> None:
    low, high = "0123cafe-0000-4000-8000-000000000000", "8123cafe-0000-4000-8000-000000000000"
    assert operations.number_of(low) == operations.number_of(high) == 0x0123CAFE00004000
    device_id = bench.device()
    for own in (low, high):
        bench.do(lambda unit, own=own: unit.db.execute(tables.devices.update().values(id=own)))
        found: Device = bench.do(lambda unit: devices.find_by_number(unit.db, 0x0123CAFE00004000))
        assert found.id == own
    assert device_id not in (low, high)


@sqlite_only
def test_a_database_of_an_earlier_version_is_gone_on_with_and_a_restart_keeps_operations_and_tokens(tmp_path: Path) -> None:
    signer = Signer.kept(tmp_path / "license.key")
    bench = Bench(tmp_path, signer)
    device_id = bench.device()
    command = queue(bench, device_id)
    bench.close()
    with sqlite3.connect(tmp_path / "hub.sqlite") as database:
        forget_revisions(database)
        for table in ("notifications", "operations", "access_tokens"):
            database.execute(f"DROP TABLE {table}")
    bench = Bench(tmp_path, signer)
    made = bench.log_in()
    bench.token = made["tokenId"]
    tell(bench, device_id, command, "done", "blinked")
    before = bench.get(f"/_/devices/{device_id}/operations")
    assert [item["status"] for item in before["items"]] == ["COMPLETED"]
    bench.close()
    bench = Bench(tmp_path, signer)
    bench.token = made["tokenId"]
    assert bench.get(f"/_/devices/{device_id}/operations") == before
    bench.close()
    for secret in (KEY, made["tokenId"], made["refreshToken"]):
        assert all(secret.encode() not in item.read_bytes() for item in tmp_path.iterdir())


# ---- random input

IDS = st.one_of(
    st.text(string.ascii_letters + string.digits + "-_=", min_size=1, max_size=70),
    st.text(min_size=1, max_size=20).map(lambda text: "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "replace"))),
    st.integers(-(2**80), 2**80).map(shapes.compact),
    st.sampled_from(["_", "_query", "_count", "AQ", "RGoRWw9Pkhc", "cjmXXKvLUY8", "00000000-0000-0000-0000-000000000000"]),
)
KEYS = st.one_of(
    st.sampled_from(["offset", "limit", "askTotalCount", "sortParam", "sortDir", "resource", "type", "x"]), st.text(max_size=5)
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20)
    | st.sampled_from(["sentOn", "id", "DESCENDING", "download", 2**31 - 1, 2**63]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
BODIES = st.one_of(st.binary(max_size=50), st.dictionaries(KEYS, VALUES, max_size=5).map(lambda made: json.dumps(made).encode()))
CALLS = st.sampled_from(
    [("GET", ""), ("GET", "/{}"), ("DELETE", "/{}"), ("POST", "/_query"), ("POST", "/_count"), ("GET", "/../{}"), ("POST", "/{}")]
)


@pytest.fixture
def shared(bench: Bench) -> tuple[Bench, str]:
    return bench, seed(bench)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ids=st.tuples(IDS, IDS, IDS, IDS),
    real=st.integers(0, 15),
    asked=CALLS,
    body=BODIES,
    query=st.dictionaries(KEYS, st.text(max_size=8), max_size=3),
)
def test_random_ids_bodies_and_queries_are_never_a_5xx(
    shared: tuple[Bench, str], ids: tuple[str, ...], real: int, asked: tuple[str, str], body: bytes, query: dict[str, str]
) -> None:
    bench, base = shared
    known = ["_", base.split("/")[3], "cjmXXKvLUY8", "f1Hu1T8iIRw"]
    scope, device, operation, notification = [known[n] if real >> n & 1 else ids[n] for n in range(4)]
    method, end = asked
    if method == "DELETE" and notification in ("RGoRWw9Pkhc", "f1Hu1T8iIRw"):
        return
    door = f"/{scope}/devices/{device}/operations/{operation}/notifications{end.format(notification)}"
    answer = bench.call(method, door, body if method == "POST" else None, params=query)
    assert answer.status_code in (200, 400, 403, 404, 405), (door, body, answer.text)
    assert bench.get(base) == SEED_LIST


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    end=st.sampled_from(["user", "apikey", "refresh"]),
    body=st.one_of(
        st.binary(max_size=50),
        st.dictionaries(st.sampled_from(["username", "password", "apiKey", "tokenId", "refreshToken"]), VALUES | st.text(), max_size=3).map(
            lambda made: json.dumps(made).encode()
        ),
    ),
    header=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60),
)
def test_random_logins_open_nothing(shared: tuple[Bench, str], end: str, body: bytes, header: str) -> None:
    bench, base = shared
    assert bench.call("POST", f"/authentication/{end}", body).status_code in (400, 401)
    assert bench.call("GET", base, token=header or "x").status_code == 401


def test_every_call_has_a_summary_and_what_it_takes(bench: Bench) -> None:
    document = bench.loop.run_until_complete(bench._http.get("http://hub/openapi.json")).json()
    entries = {(method, name): call for name, calls in document["paths"].items() if "/kapua/" in name for method, call in calls.items()}
    assert len(entries) == 15
    for (method, name), entry in entries.items():
        assert entry["summary"]
        assert entry["description"]
        assert ("requestBody" in entry) == (method == "post" and "logout" not in name)
    listed = entries["get", "/kapua/v1/{scope_id}/devices/{device_id}/operations/{operation_id}/notifications"]
    names = {item["name"] for item in listed["parameters"]}
    assert {"resource", "offset", "limit", "askTotalCount", "sortParam", "sortDir", "scope_id"} <= names


# ---- through a process


LIFE = [("COMPLETED", "RUNNING", 0, None), ("COMPLETED", "COMPLETED", 100, "blinked")]


def test_the_life_of_a_command_over_http_is_its_notifications(hub: HubProcess, board: Board) -> None:
    with KapuaClient(hub) as client:
        command = hub.operator.command(board.id, "blink", {"times": 2})
        assert client.life_of(board) == []
        board.post("/command", {"id": command["id"], "status": "in_progress"})
        assert client.life_of(board) == [("RUNNING", "RUNNING", 0, None)]
        board.post("/command", {"id": command["id"], "status": "done", "message": "blinked"})
        board.post("/command", {"id": command["id"], "status": "done", "message": "blinked"})  # its answer was lost
        assert client.life_of(board) == LIFE
        assert client.token not in hub.output()


def test_the_life_of_a_command_over_mqtt_is_its_notifications(hub: HubProcess, board: Board, mqtt: MqttBoard) -> None:
    with KapuaClient(hub) as client:
        hub.operator.command(board.id, "blink")
        command_id = body_of(mqtt.next("commands"))["id"]
        mqtt.send("commands/update", {"id": command_id, "status": "in_progress"})
        mqtt.send("commands/update", {"id": command_id, "status": "done", "message": "blinked"})
        wait_for(lambda: client.life_of(board) == LIFE, "both notifications")


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_the_example_of_the_documentation_works(hub: HubProcess, board: Board) -> None:
    section = (ROOT / "docs" / "fleet.md").read_text().split("**Kapua.**", 1)[1]
    script = section.split("```")[1].replace("http://127.0.0.1:8480", hub.url).replace("build/myhub", str(hub.data))
    (hub.data / "operator.key").write_text(hub.operator_key)
    command = hub.operator.command(board.id, "blink")
    board.post("/command", {"id": command["id"], "status": "done", "message": "blinked"})
    ran = subprocess.run(["bash", "-euc", f"ID={board.id}\n{script}"], capture_output=True, text=True, timeout=20, check=False)
    (hub.data / "operator.key").unlink()
    assert ran.returncode == 0, ran.stderr
    assert [(item["status"], item["message"]) for item in json.loads(ran.stdout)["items"]] == [("COMPLETED", "blinked")]
