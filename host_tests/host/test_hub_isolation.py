"""One device against another: its own valid key, the other's ids, at every call that the files, incidents, events and children brought."""

import json
from typing import Any

import pytest
from xyte_bench import DEVICES, KEY, OPERATOR, Bench, Device

from tools.hub import tables
from tools.hub.store import Unit

INCIDENT = {"title": "planted", "issue": "i", "priority": "low"}


class Household:
    """A gateway with a child and one of everything, all its own."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.gateway = bench.device()
        child = self.gateway.post("/children", {"model_id": self.gateway.model, "firmware_version": "1.0.0"}).json()
        self.child = Device(bench, child["id"], child["access_key"], self.gateway.model)
        self.file = bench.upload(b"secret bytes", hardware_key=self.gateway.model, name="mine", version="1.0.0")["id"]
        self.dump = self.gateway.post("/dumps/text%2Ftxt/a", b"mine").json()["id"]
        self.incident = self.gateway.post("/incidents", INCIDENT).json()["incident_id"]
        self.command = bench.command(self.child, "ping")["id"]
        self.link = self.gateway.get(f"/files/{self.file}").json()["url"]

    def state(self) -> Any:
        """All rows about the two, without when they were last seen and, of the child, what was refused of its own."""

        def work(unit: Unit) -> Any:
            ids = (self.gateway.id, self.child.id)
            found: dict[str, Any] = {}
            for table in tables.metadata.sorted_tables:
                column = table.c.get("device_id") if table.name != "devices" else table.c.id
                if column is not None:
                    rows = unit.db.execute(table.select().where(column.in_(ids))).mappings()
                    found[table.name] = [{**row, "seen_at": None} for row in rows]
            next(row for row in found["devices"] if row["id"] == self.child.id)["problems"] = None
            return found

        kept = [path.read_bytes() for path in sorted((self.bench.folder / "dumps").iterdir())]
        return self.bench._loop.run_until_complete(self.bench.hub.do(work)), kept

    def calls(self, device: Device) -> list[tuple[str, str, Any]]:
        """Every new call with the ids of this household, as the device would make it."""
        return [
            ("GET", "/files", None), ("GET", f"/files/{self.file}", None), ("GET", f"/files/{self.file}/content", None),
            ("HEAD", f"/files/{self.file}/content", None), ("POST", "/incidents", INCIDENT), ("GET", "/incidents", None),
            ("DELETE", f"/incidents/{self.incident}", None), ("DELETE", "/incidents", None),
            ("POST", "/events", {"name": "x", "category": "y"}), ("POST", "/children", {"model_id": "m", "firmware_version": "1"}),
            ("GET", "/children", None), ("POST", "/children/telemetries", {self.child.id: {"telemetries": {"a": 1}}}),
            ("GET", "/command/pending_commands", None), ("POST", "/command", {"id": self.command, "status": "done"}),
            ("POST", "/dumps/text%2Ftxt/a", b"x"), ("PUT", f"/dumps/{self.dump}", b"x"),
        ]  # fmt: skip


@pytest.fixture
def mine(bench: Bench) -> Household:
    return Household(bench)


@pytest.fixture
def theirs(bench: Bench) -> Household:
    return Household(bench)


def test_with_another_devices_id_in_the_path_every_call_is_401(bench: Bench, mine: Household, theirs: Household) -> None:
    before = theirs.state()
    for victim in (theirs.gateway, theirs.child):
        for method, path, body in theirs.calls(victim):
            for key in (mine.gateway.key, mine.child.key, KEY, None, "", f"Bearer {victim.key}"):
                answer = bench.call(method, victim.base + path, key, body)
                assert answer.status_code == 401, (method, path, key)
                assert method == "HEAD" or answer.json() == {"error": "Not authorized"}
    assert theirs.state() == before


def test_with_another_devices_things_under_its_own_path_nothing_is_touched_or_told(mine: Household, theirs: Household) -> None:
    before = theirs.state()
    for device in (mine.gateway, mine.child):
        for method, path, body in theirs.calls(device):
            if any(name in path for name in (theirs.file, theirs.incident, theirs.dump)) or path == "/command":
                assert device.call(method, path, body).status_code == 404, (method, path)
        assert device.call("DELETE", "/incidents").status_code == 200
        answer = device.post("/children/telemetries", {theirs.child.id: {}, theirs.gateway.id: {}}).json()
        assert {json.dumps(item) for item in answer.values()} == {'{"error": "Child device not found"}'}
        said = "".join(device.get(path).text for path in ("/files", "/incidents", "/children", "/command/pending_commands"))
        assert not any(name in said for name in (theirs.file, theirs.incident, theirs.child.id, theirs.command))
    assert theirs.state() == before


def test_a_child_does_not_speak_for_its_gateway_nor_the_gateway_with_its_key_as_the_child(mine: Household) -> None:
    mine.child.get()  # it is online from now on
    before = mine.state()
    for method, path, body in mine.calls(mine.child):
        assert mine.bench.call(method, mine.gateway.base + path, mine.child.key, body).status_code == 401, (method, path)
        assert mine.bench.call(method, mine.child.base + path, mine.gateway.key, body).status_code == 401, (method, path)
    assert mine.child.call("DELETE", f"/incidents/{mine.incident}").status_code == 404
    assert mine.child.post("/children/telemetries", {mine.gateway.id: {}}).json() == {mine.gateway.id: {"error": "Child device not found"}}
    assert mine.state() == before


def test_another_devices_link_is_not_bent_to_something_else(bench: Bench, mine: Household, theirs: Household) -> None:
    query = mine.link.split("?")[1]
    for path in (f"{theirs.gateway.base}/files/{theirs.file}/content", f"{theirs.gateway.base}/files/{mine.file}/content"):
        for key in (None, mine.gateway.key):
            assert bench.call("GET", f"{path}?{query}", key).status_code == 401
    own = f"{mine.gateway.base}/files/{theirs.file}/content?{query}"
    assert bench.call("GET", own, None).status_code == 401
    assert bench.call("GET", own, mine.gateway.key).status_code == 404
    for method in ("PUT", "POST", "DELETE"):
        assert bench.call(method, mine.link, None).status_code == 405
    assert bench.call("GET", mine.link.replace("/content", ""), None).status_code == 401


def test_a_devices_key_opens_none_of_the_operators_calls(bench: Bench, mine: Household) -> None:
    device = f"{DEVICES}/{mine.child.id}"
    calls = [
        ("GET", f"{OPERATOR}/files"), ("POST", f"{OPERATOR}/files?name=a&version=1.0.0"), ("GET", f"{OPERATOR}/files/{mine.file}"),
        ("GET", f"{OPERATOR}/files/{mine.file}/content"), ("DELETE", f"{OPERATOR}/files/{mine.file}"),
        ("GET", f"{OPERATOR}/files/{mine.file}/content?{mine.link.split('?')[1]}"), ("DELETE", f"{device}/commands/{mine.command}"),
        ("GET", f"{device}/incidents"), ("POST", f"{device}/incidents"), ("GET", f"{device}/events"),
        ("GET", "/xyte/core/v1/organization/incidents"), ("DELETE", f"/xyte/core/v1/organization/incidents/{mine.incident}"),
    ]  # fmt: skip
    before, uploads = mine.state(), sorted(path.name for path in (bench.folder / "files").iterdir())
    for method, url in calls:
        for key in (None, "", "wrong", mine.gateway.key, mine.child.key):
            answer = bench.call(method, url, key, {} if method == "POST" else None)
            assert answer.status_code == 401 and "error" in answer.json(), (method, url)
    assert mine.state() == before
    assert sorted(path.name for path in (bench.folder / "files").iterdir()) == uploads


def test_no_secret_is_in_an_activity_an_error_or_the_data_directory(
    bench: Bench, mine: Household, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    bench.hub.activities._ring.clear()
    wrong = "planted-wrong-key-9c1d"
    signature = mine.link.split("signature=")[1]
    said = []
    for device in (mine.gateway, mine.child):
        for method, path, body in mine.calls(device):
            said.append(bench.call(method, device.base + path, wrong, body).text)
            if path != "/files" and not path.endswith(mine.file) and "pending" not in path:
                said.append(bench.call(method, device.base + path, device.key, body).text)
    bench.call("GET", mine.link, None)
    said.append(bench.call("GET", mine.link + "0", wrong).text)
    command = bench.command(mine.gateway, "update_firmware", file_id=mine.file)
    said.append(json.dumps([command, bench.items(f"{DEVICES}/{mine.gateway.id}/commands")]))
    said.append(json.dumps([activity.as_json() for activity in bench.hub.activities.recent()]))
    said.append("\n".join(line for line in caplog.text.splitlines() if "httpx" not in line))  # our own client's lines
    on_disk = b"".join(path.read_bytes() for path in bench.folder.rglob("*") if path.is_file())
    for secret in (wrong, mine.gateway.key, mine.child.key, KEY, signature):
        assert all(secret not in text for text in said), secret
        assert secret.encode() not in on_disk
