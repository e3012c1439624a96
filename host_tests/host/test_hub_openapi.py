"""The OpenAPI description: complete, true in its examples, readable without a network; and requests that schemathesis makes from it."""

import contextlib
import re
import secrets
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest
import requests
import schemathesis
from astarte_board import INTROSPECTION, NOON, AstarteBoard, ota_event
from hub_support import Board, KapuaClient, MqttBoard
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from long_run import LONG
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.failures import FailureGroup
from schemathesis.generation import GenerationMode
from xyte_bench import Bench

from tools.hub import docs
from tools.hub.astarte_ids import device_id
from tools.hub.client import HubError
from tools.hub.facets import openapi
from tools.hub.facets.astarte import docs as astarte_docs
from tools.hub.facets.astarte.interfaces import OTA_EVENT, OTA_REQUEST
from tools.hub.facets.kapua import docs as kapua_docs
from tools.hub.facets.openapi import OPERATOR_KEY
from tools.hub.facets.span import docs as span_docs
from tools.hub.facets.xyte.docs.common import DEVICE_KEY
from tools.hub.process import HubProcess

REQUESTS = 20_000 if LONG else 200
METHODS = ("get", "put", "post", "patch", "delete")


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    bench = Bench(tmp_path_factory.mktemp("openapi"))
    answer = bench.call("GET", "/openapi.json", None)
    bench.close()
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def operations(described: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(f"{method.upper()} {path}", item[method]) for path, item in described["paths"].items() for method in METHODS if method in item]


def bodies(operation: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Of one operation: for what, the media type, its description."""
    found = [("request", media, content) for media, content in operation.get("requestBody", {}).get("content", {}).items()]
    for status, answer in operation["responses"].items():
        found += [(status, media, content) for media, content in answer.get("content", {}).items()]
    return found


# ---- the description


def test_every_operation_has_a_summary_a_good_answer_and_an_example_of_each_json_body(described: dict[str, Any]) -> None:
    assert len(operations(described)) > 80
    for name, operation in operations(described):
        assert operation["summary"] and operation["description"], name
        assert any(status < "300" for status in operation["responses"]), name
        for what, media, content in bodies(operation):
            assert media != "application/json" or content["examples"], (name, what)


def test_every_operation_but_the_open_ones_says_what_key_it_needs(described: dict[str, Any]) -> None:
    open_ones = {
        "GET /health", "GET /ca.pem", "GET /span/system", "POST /xyte/v1/devices", "POST /kapua/v1/authentication/user",
        "POST /kapua/v1/authentication/apikey", "POST /kapua/v1/authentication/refresh",
    }  # fmt: skip
    assert {name for name, operation in operations(described) if not operation["security"]} == open_ones
    for name, operation in operations(described):
        assert name in open_ones or "401" in operation["responses"], name


def test_the_examples_are_as_their_schemas_say(described: dict[str, Any]) -> None:
    count = 0
    for name, operation in operations(described):
        for what, media, content in bodies(operation):
            if media != "application/json":
                continue
            schema = {**content["schema"], "components": described["components"]}
            for example in content["examples"].values():
                errors = [error.message for error in jsonschema_rs.Draft202012Validator(schema).iter_errors(example["value"])]
                assert errors == [], (name, what, errors)
                count += 1
        for parameter in operation.get("parameters", []):
            if "example" in parameter:
                jsonschema_rs.validate(parameter["schema"], parameter["example"])
    assert count > 300


def test_a_route_that_nobody_describes_is_named(tmp_path: Path) -> None:
    less = {key: call for key, call in docs.CALLS.items() if key != ("GET", "/health")}
    more = {**docs.CALLS, ("GET", "/nowhere"): docs.CALLS["GET", "/health"]}
    bench = Bench(tmp_path)
    for calls, words in ((less, r"no docs of a facet describe GET /health"), (more, "no route: GET /nowhere")):
        with pytest.raises(LookupError, match=words):
            openapi.describe(bench.app, calls, docs.SCHEMES, docs.PATH_PARAMETERS)
    bench.close()


def test_the_page_of_the_documentation_needs_nothing_from_elsewhere(hub: HubProcess) -> None:
    page = httpx.get(f"{hub.url}/", follow_redirects=True)
    assert page.status_code == 200 and page.url.path == "/docs"
    links = re.findall(r"""(?:href|src)=["']([^"']+)|url: '([^']+)'""", page.text)
    wanted = [one or other for one, other in links]
    assert "/openapi.json" in wanted and len(wanted) >= 3
    for link in wanted:
        assert link.startswith("/"), "an address of another host"
        assert httpx.get(hub.url + link).status_code == 200
    assert not re.search(r"https?://|//cdn", page.text)


# ---- requests made from it


class World:
    """A hub with one of everything, so that what is asked for is mostly there."""

    def __init__(self, hub: HubProcess) -> None:
        self.hub = hub
        self.kapua = KapuaClient(hub)
        self.whole = True  # nothing of it is deleted
        self.renew()

    def renew(self) -> None:
        """A new device, with what belongs to it."""
        self.whole = True
        operator = self.hub.operator
        for old in operator.files():
            with contextlib.suppress(HubError):
                operator.delete_file(old["id"])
        board = Board.registered(self.hub)
        self.board = board
        update = operator.request_update(board.id, url="http://192.168.4.1/a.zip")["uuid"]  # while it may yet speak MQTT
        with MqttBoard(board) as mqtt, AstarteBoard(board, mqtt) as astarte:
            astarte.publish("", INTROSPECTION)
            astarte.tell(ota_event("Downloading", 10, request=update), NOON)
            astarte.samples(1)
        board.claim(secrets.token_hex(4))
        board.post("/telemetry", {"telemetries": {"a": 1}, "message": "m"})
        child = board.post("/children", {"model_id": "m", "firmware_version": "1"}).json()["id"]
        name = board.asked["hardware_key"]
        file = operator.upload_file(b"0123456789", "fuzz", version="1.0.0", hardware_key=name)["id"]
        command = operator.command(board.id, "update_firmware", file_id=file)["id"]
        waiting = operator.command(board.id, "blink")["id"]
        board.post("/command", {"id": command, "status": "in_progress", "message": "50 %"})
        kapua_device = self.kapua.get(f"/_/devices?clientId={board.id}")["items"][0]["id"]
        done = self.kapua.get(f"/_/devices/{kapua_device}/operations?sortParam=startedOn")["items"][0]["id"]
        told = self.kapua.get(f"/_/devices/{kapua_device}/operations/{done}/notifications")["items"][0]["id"]
        dump = board.http.post(f"{board.base}/dumps/text%2Ftxt/a", content=b"x").json()["id"]
        incident = board.post("/incidents", {"title": "t", "priority": "low"}).json()["incident_id"]
        self.ids = {
            "device_id": [board.id], "scope_id": ["_", "_", "_", "AQ", "AQI"], "file_id": [file], "dump_id": [dump],
            "incident_id": [incident], "command_id": [waiting, command], "message_id": [waiting, command],
            "license_id": [operator.add_license(board.id, "x")["id"]], "hardware_key": [name], "space_id": ["1"],
            "name": ["text%2Ftxt/a.log"], "collection_id": [operator.device(board.id)["collection_id"]],
            "operation_id": [done], "notification_id": [told], "realm": ["redpoll"], "device": [device_id(board.id)],
            "interface": [OTA_EVENT.name, OTA_EVENT.name, OTA_REQUEST.name], "path": ["event", "request"], "uuid": [update],
        }  # fmt: skip
        # a command of these that a body may name, and who else
        self.in_bodies = {"id": [command, self.ids["license_id"][0]], "file_id": [file], "parent_id": [board.id], "child": [child]}
        self.keys = {
            DEVICE_KEY: {"Authorization": board.key},
            OPERATOR_KEY: {"Authorization": self.hub.operator_key},
            span_docs.TOKEN: {"X-API-Token": self.hub.operator_key},
            astarte_docs.TOKEN: {"Authorization": f"Bearer {self.hub.operator_key}"},
            kapua_docs.BEARER: {"Authorization": f"Bearer {self.kapua.token}"},
        }

    def close(self) -> None:
        self.kapua.__exit__()


CHECKED = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")


def cases_of(operation: Any) -> st.SearchStrategy[Any]:
    """Requests as the description has them, and where it says something of them also such as it does not."""
    good = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    raw = operation.definition.raw
    if not raw.get("parameters") and not raw.get("requestBody"):
        return good  # type: ignore[no-any-return]
    return good | operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)  # type: ignore[no-any-return]


@pytest.mark.timeout(7200 if LONG else 300)
def test_what_schemathesis_asks_for_is_answered_as_described(
    tmp_path: Path, described: dict[str, Any], figure: Callable[[str], None]
) -> None:
    load_all_checks()
    checks = CHECKS.get_by_names(list(CHECKED))
    schema = schemathesis.openapi.from_dict(described)
    found = [result.ok() for result in schema.get_all_operations()]
    statuses: Counter[int] = Counter()
    asked: Counter[str] = Counter()
    met: set[tuple[str, str]] = set()
    wrong: dict[str, str] = {}
    chosen = settings(
        max_examples=REQUESTS // len(found) + 1,
        deadline=None,
        database=None,
        derandomize=not LONG,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    with HubProcess(tmp_path) as hub, requests.Session() as session:
        world = World(hub)

        def ask(case: schemathesis.Case, aim: float, who: float, chooser: Any) -> None:
            _aim(world, case, aim, who, chooser)
            answer = case.call(base_url=hub.url, session=session, timeout=20)
            statuses[answer.status_code] += 1
            asked[case.operation.label] += 1
            met.add((case.operation.label, str(answer.status_code)))
            try:
                case.validate_response(answer, checks=checks)
            except FailureGroup as failures:
                for failure in failures.exceptions:
                    wrong.setdefault(f"{case.operation.label}: {answer.status_code} {failure.title}", str(failures))
            if case.operation.label.endswith("/logout"):
                world.kapua = KapuaClient(hub)
                world.whole = False
            if case.method == "DELETE" and answer.status_code == 200:
                world.whole = False

        for operation in found:
            if not world.whole:
                world.renew()
            chosen(given(cases_of(operation), st.floats(0, 1), st.floats(0, 1), st.randoms(use_true_random=False))(ask))()
        world.close()
        assert "Traceback" not in hub.output()
    assert not wrong, "\n\n".join(f"{name}\n{text}" for name, text in wrong.items())
    assert len(asked) == len(found)
    assert sum(count for status, count in statuses.items() if status < 300) * 5 > sum(statuses.values()), "most requests reach nothing"
    documented = sum(len(operation["responses"].keys() - {"500", "101"}) for _, operation in operations(described))
    figure(f"{len(met)} of {documented} documented answers met")
    figure(f"{sum(statuses.values())} requests to {len(asked)} operations: " + ", ".join(f"{n} x {s}" for s, n in sorted(statuses.items())))


def _aim(world: World, case: schemathesis.Case, aim: float, who: float, chooser: Any) -> None:
    """Make the case one that gets somewhere, mostly: things that are there, in the path and in the body, and a key that opens."""
    if aim < 0.85:
        for name in case.path_parameters:
            case.path_parameters[name] = chooser.choice(world.ids[name])
    if aim < 0.6 and isinstance(case.body, dict):
        for name, values in world.in_bodies.items():
            if name in case.body:
                case.body[name] = chooser.choice(values)
    if isinstance(case.query, dict):
        case.query.pop("follow", None)  # it would not end
    headers = {name: value for name, value in (case.headers or {}).items() if name.lower() not in ("authorization", "x-api-token")}
    security = [next(iter(item)) for item in case.operation.definition.raw.get("security", [])]
    if who < 0.9:
        for name in security[:1]:
            headers.update(world.keys[name])
    case.headers = headers
    case.cookies = {}
