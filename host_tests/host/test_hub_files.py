"""Files that devices fetch, from the operator's upload to the bytes, and dumps as forms (reference xyte §2; facets/xyte/files_api.py)."""

import errno
import hashlib
import os
import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from databases import sqlite_only
from hub_support import Board, MqttBoard, body_of, forget_revisions
from sqlalchemy.exc import OperationalError
from xyte_bench import DEVICES, HOST, KEY, OPERATOR, Bench, Device

from tools.hub.domain import dumps, files
from tools.hub.security.links import LINK_SECONDS
from tools.hub.store.gathered import Gathered

BYTES = bytes(range(256)) * 300
SUM = hashlib.sha256(BYTES).hexdigest()


def path_in(url: str) -> str:
    """What follows the hub's address in a link."""
    assert url.startswith(HOST)
    return url.removeprefix(HOST)


# ---- the list and its shape


def test_a_file_has_the_shape_of_the_reference(bench: Bench, device: Device) -> None:
    said = {"name": "foo 1", "desc": "Foo test", "file_type": "firmware", "version": "1.0.1", "signature": "5511Azz5t", "public_notes": "n"}
    made = bench.upload(BYTES, hardware_key=device.model, **said)
    one = device.get(f"/files/{made['id']}")
    assert one.status_code == 200
    shown = one.json()
    assert shown.pop("url").startswith(f"{HOST}{device.base}/files/{made['id']}/content?")
    assert shown == {**said, "id": made["id"], "checksum": SUM, "created_at": "2026-11-21T12:00:00.000Z"}
    listed = {item["id"]: item for item in device.get("/files").json()}
    assert {**listed[made["id"]], "url": None} == {**shown, "url": None}


def test_a_device_sees_the_files_of_its_model_and_those_of_every_model(bench: Bench, device: Device) -> None:
    mine = bench.upload(hardware_key=device.model)["id"]
    anybodys = bench.upload(file_type="manual")["id"]
    others = bench.upload(hardware_key="another")["id"]
    ids = {item["id"] for item in device.get("/files").json()}
    assert {mine, anybodys} <= ids and others not in ids
    refused = device.get(f"/files/{others}")
    assert (refused.status_code, refused.json()) == (404, {"error": f"File not found: {others}"})
    assert device.get(f"/files/{others}/content").status_code == 404


@pytest.mark.parametrize("file_id", ["x", "00000000-0000-0000-0000-000000000000", "%00", "..%2F..%2Fhub.sqlite", "é", "x" * 300])
def test_an_unknown_file_is_404(device: Device, file_id: str) -> None:
    for end in ("", "/content"):
        answer = device.get(f"/files/{file_id}{end}")
        assert answer.status_code == 404 and answer.json()["error"]


def test_a_url_is_at_the_public_address_else_where_the_device_asked_and_never_at_what_is_no_host(tmp_path: Path, bench: Bench) -> None:
    public = Bench(tmp_path, public_url="https://cloud.example")
    seen = public.device()
    end = f"{seen.base}/files/{public.upload()['id']}/content?"
    assert seen.get("/files").json()[0]["url"].startswith(f"https://cloud.example{end}")
    public.close()
    device = bench.device()
    path = f"/files/{bench.upload()['id']}"
    assert device.get(path, headers={"Host": "10.0.0.7:8480"}).json()["url"].startswith("http://10.0.0.7:8480/xyte/v1/devices/")
    bench.hub.url = "http://127.0.0.1:1"
    assert device.get(path, headers={"Host": "x" * 300}).json()["url"].startswith("http://127.0.0.1:1/xyte/v1/devices/")


# ---- the bytes


def test_the_url_gives_the_bytes_without_a_key_and_with_the_devices_own(bench: Bench, device: Device) -> None:
    file_id = bench.upload(BYTES)["id"]
    url = path_in(device.get(f"/files/{file_id}").json()["url"])
    bare = url.split("?")[0]
    for answer in (bench.call("GET", url, None), bench.call("GET", url, device.key), bench.call("GET", bare, device.key)):
        assert (answer.status_code, answer.content) == (200, BYTES)
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["etag"] == f'"{SUM}"'
    assert bench.operator("GET", f"{OPERATOR}/files/{file_id}")["checksum"] == SUM
    assert bench.call("GET", f"{OPERATOR}/files/{file_id}/content").content == BYTES


def test_the_bytes_are_for_nobody_else(bench: Bench, device: Device) -> None:
    file_id, other_id = bench.upload(BYTES)["id"], bench.upload(b"other")["id"]
    url = path_in(device.get(f"/files/{file_id}").json()["url"])
    bare, query = url.split("?")
    other = bench.device()
    spoilt = query[:-1] + ("0" if query[-1] != "0" else "1")
    longer = query.replace("until=", "until=9")
    attempts = [
        (bare, None), (bare, other.key), (bare, ""), (bare, KEY), (f"{bare}?{spoilt}", None), (f"{bare}?{longer}", None),
        (f"{bare}?signature={query[-64:]}", None), (f"{bare}?until=x&signature=y", None), (f"{bare}?until=&signature=%FF", None),
        (f"{other.base}/files/{file_id}/content?{query}", None), (f"{device.base}/files/{other_id}/content?{query}", None),
        (f"{bare}?until={'9' * 5000}&signature=x", None), (f"{bare}?{query}&signature=x", None),
    ]  # fmt: skip
    for path, key in attempts:
        answer = bench.call("GET", path, key)
        assert (answer.status_code, answer.json()) == (401, {"error": "Not authorized"}), path


def test_a_link_is_good_for_a_day_and_the_key_longer(bench: Bench, device: Device) -> None:
    file_id = bench.upload(BYTES)["id"]
    url = path_in(device.get(f"/files/{file_id}").json()["url"])
    bench.now += LINK_SECONDS - 1
    assert bench.call("GET", url, None).status_code == 200
    bench.now += 1
    assert bench.call("GET", url, None).status_code == 401
    assert bench.call("GET", url, device.key).status_code == 200


def test_a_deleted_devices_link_is_401(bench: Bench, device: Device) -> None:
    url = path_in(device.get(f"/files/{bench.upload(BYTES)['id']}").json()["url"])
    assert device.call("DELETE").status_code == 200
    assert bench.call("GET", url, None).status_code == 401


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [("bytes=0-0", 0, 1), ("bytes=100-199", 100, 200), ("bytes=76000-", 76000, 76800), ("bytes=-10", 76790, 76800),
     ("bytes=0-999999", 0, 76800), ("Bytes = 5-9", 5, 10), ("bytes=-999999", 0, 76800)],
)  # fmt: skip
def test_a_range_is_served_so_that_a_broken_download_goes_on(bench: Bench, device: Device, asked: str, start: int, end: int) -> None:
    file_id = bench.upload(BYTES)["id"]
    answer = device.get(f"/files/{file_id}/content", headers={"Range": asked})
    assert (answer.status_code, answer.content) == (206, BYTES[start:end])
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/76800"
    assert answer.headers["content-length"] == str(end - start)


@pytest.mark.parametrize(
    "asked", ["bytes=5-4", "bytes=a-b", "lines=0-1", "bytes=0-1,5-6", "bytes=", "bytes=-", "", "x" * 4000, "bytes=--5"]
)
def test_a_range_that_is_none_is_passed_over(bench: Bench, device: Device, asked: str) -> None:
    file_id = bench.upload(BYTES)["id"]
    answer = device.get(f"/files/{file_id}/content", headers={"Range": asked})
    assert (answer.status_code, answer.content) == (200, BYTES)


@pytest.mark.parametrize("asked", ["bytes=76800-", "bytes=99999999-", "bytes=76800-76801", "bytes=-0"])
def test_a_range_behind_the_end_is_416_in_json(bench: Bench, device: Device, asked: str) -> None:
    file_id = bench.upload(BYTES)["id"]
    answer = device.get(f"/files/{file_id}/content", headers={"Range": asked})
    assert (answer.status_code, answer.json()) == (416, {"error": "The file has 76800 bytes"})
    assert answer.headers["content-range"] == "bytes */76800"


def test_a_range_of_what_was_another_file_gives_the_whole_one(bench: Bench, device: Device) -> None:
    path = f"/files/{bench.upload(BYTES)['id']}/content"
    same = device.get(path, headers={"Range": "bytes=5-9", "If-Range": f'"{SUM}"'})
    assert (same.status_code, same.content) == (206, BYTES[5:10])
    for asked in ("bytes=5-9", "bytes=99999999-"):
        answer = device.get(path, headers={"Range": asked, "If-Range": '"another"'})
        assert (answer.status_code, answer.content) == (200, BYTES)


def test_head_says_how_long_it_is_and_is_no_fetch(bench: Bench, device: Device) -> None:
    path = f"/files/{bench.upload(BYTES)['id']}/content"
    answer = device.call("HEAD", path)
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "76800")
    assert answer.headers["accept-ranges"] == "bytes"
    assert bench.activities(device.id, "firmwareRequested") == []


def test_fetching_firmware_is_told_once_a_fetch_and_not_once_a_range(bench: Bench, device: Device) -> None:
    made = bench.upload(BYTES, version="2.0.0")
    manual = bench.upload(BYTES, file_type="manual")
    device.get("/files")
    device.get(f"/files/{made['id']}")
    assert bench.activities(device.id, "firmwareRequested") == []
    for asked in ("bytes=0-999", "bytes=1000-1999", "bytes=2000-"):
        device.get(f"/files/{made['id']}/content", headers={"Range": asked})
    device.get(f"/files/{manual['id']}/content")
    assert bench.activities(device.id, "firmwareRequested") == [{"id": made["id"], "version": "2.0.0"}]
    for told in (2, 3):
        bench.now += 1
        link = device.get(f"/files/{made['id']}").json()["url"]
        for asked in ("bytes=0-511", "bytes=512-1050", "bytes=0-1050", "bytes=1051-"):  # as firmware/redpoll/update fetches a bundle
            assert bench.call("GET", link, None, headers={"Range": asked}).status_code == 206
        assert len(bench.activities(device.id, "firmwareRequested")) == told


def test_a_file_whose_bytes_are_gone_is_404_and_told_when_it_is_the_latest_firmware(bench: Bench, device: Device) -> None:
    made = bench.upload(BYTES, hardware_key=device.model)
    bench.set_latest(device, latest_fw_file_id=made["id"])
    (bench.folder / "files" / made["id"]).unlink()
    answer = device.get(f"/files/{made['id']}/content")
    assert answer.status_code == 404
    assert bench.activities(device.id, "firmwareRequested") == [
        {"id": made["id"], "version": "1.0.1", "refused": "The hub does not have the bytes of this file"}
    ]
    assert bench.call("GET", f"{OPERATOR}/files/{made['id']}/content").status_code == 404


def test_a_fetch_is_a_sign_of_life_and_says_nothing_of_the_transport(bench: Bench) -> None:
    device = bench.device(claimed=False)
    url = path_in(device.get(f"/files/{bench.upload()['id']}").json()["url"])
    before = bench.operator("GET", f"{DEVICES}/{device.id}")
    bench.now += 60
    bench.call("GET", url, None)
    after = bench.operator("GET", f"{DEVICES}/{device.id}")
    assert (before["last_seen_at"], after["last_seen_at"]) == ("2026-11-21T12:00:00.000Z", "2026-11-21T12:01:00.000Z")
    assert after["transport"] is None


# ---- the operator's side


def test_an_upload_is_listed_with_length_and_sum_and_deleted_with_its_bytes(bench: Bench) -> None:
    made = bench.upload(BYTES, name="../../etc/passwd", desc="d", hardware_key="k")
    assert (made["length"], made["checksum"], made["sha256"], made["hardware_key"]) == (76800, SUM, SUM, "k")
    assert made in bench.items(f"{OPERATOR}/files", limit=1000)
    kept = bench.folder / "files" / made["id"]
    assert kept.read_bytes() == BYTES
    assert bench.operator("DELETE", f"{OPERATOR}/files/{made['id']}") == {"success": True}
    assert not kept.exists()
    for method in ("GET", "DELETE"):
        bench.operator(method, f"{OPERATOR}/files/{made['id']}", status=404)
    assert not [path for path in bench.folder.rglob("*") if "passwd" in path.name or path.name.endswith(".new")]


@pytest.mark.parametrize(
    ("about", "word"),
    [
        ({"name": ""}, "name"), ({"name": "a\nb"}, "name"), ({"name": "x" * 256}, "name"), ({"version": ""}, "version"),
        ({"version": "spring"}, "semver"), ({"version": "1"}, "semver"), ({"hardware_key": " "}, "hardware_key"),
        ({"colour": "red"}, "colour"), ({"checksum": "0" * 64}, "checksum"), ({"desc": "x" * 5000}, "desc"),
        ({"desc": "a\0b"}, "NUL"), ({"signature": "s" * 5000}, "signature"),
    ],
)  # fmt: skip
def test_an_upload_that_is_badly_described_is_422_and_leaves_nothing(bench: Bench, about: dict[str, str], word: str) -> None:
    before = sorted((bench.folder / "files").iterdir()) if (bench.folder / "files").exists() else []
    answer = bench.call("POST", f"{OPERATOR}/files", KEY, b"x", params={"name": "app", "version": "1.0.1", **about})
    assert answer.status_code == 422 and word in answer.json()["error"]
    after = sorted((bench.folder / "files").iterdir()) if (bench.folder / "files").exists() else []
    assert after == before


def test_an_upload_without_a_name_or_body_or_with_one_twice_is_422(bench: Bench) -> None:
    for query in ("", "version=1.0.0", "name=a&name=b&version=1.0.0", "name=a"):
        assert bench.call("POST", f"{OPERATOR}/files?{query}", KEY, b"x").status_code == 422, query
    assert bench.call("POST", f"{OPERATOR}/files?name=a&version=1.0.0", KEY, b"").status_code == 422


def test_the_operators_own_checksum_stays_and_a_wrong_sha256_is_refused(bench: Bench) -> None:
    assert bench.upload(BYTES, checksum="0x33221134344")["checksum"] == "0x33221134344"
    assert bench.upload(BYTES, checksum=SUM.upper())["sha256"] == SUM
    bench.upload(BYTES + b"x", checksum=SUM, status=422)


def test_uploads_are_bounded_in_size_number_and_sum(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.upload(b"x")
    count = len(bench.items(f"{OPERATOR}/files", limit=1000))
    monkeypatch.setattr(files, "SIZE_MAX", 1000)
    bench.upload(b"x" * 1000)
    bench.upload(b"x" * 1001, status=422)
    monkeypatch.setattr(files, "FILES_MAX", count + 2)
    bench.upload(b"x")
    assert "room" in bench.upload(b"x", status=422)["error"]
    monkeypatch.setattr(files, "FILES_MAX", 10_000)
    monkeypatch.setattr(files, "TOTAL_MAX", 10)
    assert "room" in bench.upload(b"x", status=422)["error"]


def test_what_a_broken_upload_left_goes_after_an_hour(bench: Bench) -> None:
    kept = bench.upload()["id"]
    left = bench.folder / "files" / "left.new"
    young = bench.folder / "files" / "young.new"
    for path in (left, young):
        path.write_bytes(b"half")
    for path in (left, bench.folder / "files" / kept):
        os.utime(path, (1, 1))
    bench.upload()
    assert not left.exists() and young.exists() and (bench.folder / "files" / kept).exists()


def test_the_latest_firmware_takes_its_version_from_the_file_and_the_file_cannot_go(bench: Bench, device: Device) -> None:
    made = bench.upload(BYTES, version="1.3.4", hardware_key=device.model)
    bench.set_latest(device, latest_fw_file_id=made["id"])
    reply = device.post("/telemetry", {"status": "online"}).json()
    assert (reply["latest_fw_version"], reply["latest_fw_file_id"]) == ("1.3.4", made["id"])
    assert device.get(f"/files/{reply['latest_fw_file_id']}").json()["version"] == "1.3.4"
    assert bench.activities(device.id, "firmwareUpdateRequired") == [{"version": "1.0.0", "latest": "1.3.4"}]
    assert device.model in bench.operator("DELETE", f"{OPERATOR}/files/{made['id']}", status=422)["error"]
    bench.set_latest(device, latest_fw_version=None)
    bench.operator("DELETE", f"{OPERATOR}/files/{made['id']}")


def test_a_latest_firmware_that_does_not_fit_its_file_is_422(bench: Bench, device: Device) -> None:
    made, others = bench.upload(version="1.3.4")["id"], bench.upload(hardware_key="another")["id"]
    path = f"{OPERATOR}/models/{device.model}"
    bench.operator("PUT", path, {"latest_fw_file_id": made, "latest_fw_version": "1.3.5"}, status=422)
    bench.operator("PUT", path, {"latest_fw_file_id": others}, status=422)
    bench.operator("PUT", path, {"latest_fw_file_id": "not-there-yet", "latest_fw_version": "1.3.5"})


# ---- commands with a file


def test_a_command_with_a_file_carries_what_the_reference_says(bench: Bench, device: Device) -> None:
    made = bench.upload(BYTES, version="1.3.4", signature="5511Azz5t")
    queued = bench.command(device, "update_firmware", file_id=made["id"], extra_params={"force": True})
    got = device.get("/command").json()
    url = got["parameters"].pop("url")
    assert got["parameters"] == {"version": "1.3.4", "checksum": SUM, "signature": "5511Azz5t", "force": True}
    assert bench.call("GET", path_in(url), None).content == BYTES
    assert "url" not in queued["parameters"] and queued["file_id"] == made["id"]
    (pending,) = device.get("/command/pending_commands").json()
    assert pending["parameters"].keys() == {"url", "version", "checksum", "signature", "force"}
    bench.now += 3 * LINK_SECONDS  # the device was away
    assert bench.call("GET", path_in(device.get("/command").json()["parameters"]["url"]), None).status_code == 200


def test_a_command_without_a_file_has_no_url_and_the_operators_own_stays(bench: Bench, device: Device) -> None:
    bench.command(device, "ping", extra_params={"a": 1})
    assert device.get("/command").json()["parameters"] == {"a": 1}
    other = bench.device()
    bench.command(other, "x", file_id=bench.upload(BYTES)["id"], extra_params={"url": "https://mine", "version": "9.9.9"})
    parameters = other.get("/command").json()["parameters"]
    assert parameters == {"url": "https://mine", "version": "9.9.9", "checksum": SUM}


def test_a_command_with_a_file_that_is_not_for_the_device_is_422(bench: Bench, device: Device) -> None:
    for file_id in ("x", "00000000-0000-0000-0000-000000000000", bench.upload(hardware_key="another")["id"]):
        bench.operator("POST", f"{DEVICES}/{device.id}/commands", {"name": "x", "file_id": file_id}, status=422)
    assert device.get("/command").status_code == 404


def test_a_file_stays_while_a_command_needs_it(bench: Bench, device: Device) -> None:
    made = bench.upload()["id"]
    command = bench.command(device, "update_firmware", file_id=made)
    assert "cancel" in bench.operator("DELETE", f"{OPERATOR}/files/{made}", status=422)["error"]
    device.post("/command", {"id": command["id"], "status": "done"})
    bench.operator("DELETE", f"{OPERATOR}/files/{made}")


def test_a_pushed_command_has_the_link_too_at_the_address_that_the_device_registered_at(board: Board, mqtt: MqttBoard) -> None:
    mqtt.send("telemetry", {"status": "online"})
    made = board.hub.operator.upload_file(BYTES, "app.zip", version="1.3.4")
    assert made in board.hub.operator.files()
    board.hub.operator.command(board.id, "update_firmware", {"a": 1}, file_id=made["id"])
    body = body_of(mqtt.next("commands"))
    assert set(body) == {"id", "status", "name", "parameters"}
    url = body["parameters"].pop("url")
    assert body["parameters"] == {"version": "1.3.4", "checksum": SUM, "a": 1}
    assert url.startswith(f"{board.base}/files/{made['id']}/content?")
    board.http.headers.pop("Authorization")
    whole = board.http.get(url)
    assert (whole.status_code, whole.content) == (200, BYTES)
    assert board.http.get(url, headers={"Range": "bytes=70000-"}).content == BYTES[70000:]
    board.hub.operator.cancel(board.id, body["id"])
    board.hub.operator.delete_file(made["id"])


# ---- cancelling


def test_a_pending_command_is_cancelled_and_the_next_one_comes(bench: Bench, device: Device) -> None:
    first, second = bench.command(device), bench.command(device, "blink")
    path = f"{DEVICES}/{device.id}/commands/{first['id']}"
    assert bench.operator("DELETE", path)["status"] == "cancelled"
    assert bench.operator("DELETE", path)["message"] == "cancelled by the operator"
    assert device.get("/command").json()["id"] == second["id"]
    late = device.post("/command", {"id": first["id"], "status": "done"})
    assert (late.status_code, late.json()) == (403, {"error": "Command is already cancelled"})
    assert [item["status"] for item in bench.items(f"{DEVICES}/{device.id}/commands")] == ["pending", "cancelled"]


def test_a_command_that_the_device_has_begun_or_does_not_have_is_not_cancelled(bench: Bench, device: Device) -> None:
    command = bench.command(device)
    other = bench.device()
    for path in (f"{DEVICES}/{other.id}/commands/{command['id']}", f"{DEVICES}/{device.id}/commands/%00"):
        bench.operator("DELETE", path, status=404)
    for status in ("in_progress", "done"):
        device.post("/command", {"id": command["id"], "status": status})
        refused = bench.operator("DELETE", f"{DEVICES}/{device.id}/commands/{command['id']}", status=403)
        assert refused == {"error": f"Command is already {status}"}


def test_a_cancelled_command_is_followed_by_the_next_push(board: Board, mqtt: MqttBoard) -> None:
    mqtt.send("telemetry", {"status": "online"})
    first, second = board.hub.operator.command(board.id, "ping"), board.hub.operator.command(board.id, "blink")
    assert body_of(mqtt.next("commands"))["id"] == first["id"]
    board.hub.operator.cancel(board.id, first["id"])
    assert body_of(mqtt.next("commands"))["id"] == second["id"]


# ---- dumps as forms


def form(*parts: tuple[str, bytes], boundary: str = "b0undary", end: bool = True) -> dict[str, Any]:
    """A multipart body as a client writes it: header lines of a part, and its bytes."""
    made = b"".join(f"--{boundary}\r\n{head}\r\n\r\n".encode() + body + b"\r\n" for head, body in parts)
    made += f"--{boundary}--\r\n".encode() if end else b""
    return {"body": made, "headers": {"Content-Type": f'multipart/form-data; boundary="{boundary}"'}}


DATA = 'Content-Disposition: form-data; name="data"; filename="x.log"\r\nContent-Type: text/plain'


@pytest.mark.parametrize(
    "content", [b"", b"one\n", b"\r\n--b0undar\r\n\r\n--", bytes(range(256)), b"\r\n" * 1000, random.Random(1).randbytes(100_000)]
)
def test_a_dump_as_a_form_is_the_field_data_byte_for_byte(bench: Bench, device: Device, content: bytes) -> None:
    other = ('content-disposition: form-data; name="other"', b"ignored")
    answer = device.post("/dumps/text%2Ftxt/agent.log", **form(other, (DATA, content), other))
    assert answer.status_code == 201
    dump = answer.json()
    assert dump["length"] == len(content)
    assert (bench.folder / "dumps" / dump["id"]).read_bytes() == content
    more = device.call("PUT", f"/dumps/{dump['id']}", **form((DATA, b"two")))
    assert more.json() == {"id": dump["id"], "length": len(content) + 3}
    assert (bench.folder / "dumps" / dump["id"]).read_bytes() == content + b"two"
    assert device.call("PUT", f"/dumps/{dump['id']}", b"raw").json()["length"] == len(content) + 6


def test_dumps_are_bounded_in_number_so_that_empty_ones_do_not_fill_the_disk(
    bench: Bench, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dumps, "DUMPS_MAX", 3)
    made = [device.post(f"/dumps/text%2Ftxt/{number}", b"") for number in range(4)]
    assert [answer.status_code for answer in made] == [201, 201, 201, 422]
    assert device.refusals() == ["The dumps of one device are at most 3"]
    assert len(bench.items(f"{DEVICES}/{device.id}/dumps")) == 3
    assert device.call("PUT", f"/dumps/{made[0].json()['id']}", b"more").json()["length"] == 4


def test_a_clients_own_form_is_taken(bench: Bench, device: Device) -> None:
    answer = device.post("/dumps/text%2Ftxt/agent.log", files={"data": ("agent.log", b"of httpx", "text/plain")})
    assert answer.status_code == 201 and answer.json()["length"] == 8
    plain = device.post("/dumps/text%2Ftxt/agent.log", **form(('Content-Disposition: form-data; name="data"', b"no file name")))
    assert plain.json()["length"] == 12
    listed = bench.items(f"{DEVICES}/{device.id}/dumps")
    assert [item["filename"] for item in listed] == ["agent.log", "agent.log"]


BAD_FORMS = {
    "no field data": form(('Content-Disposition: form-data; name="other"', b"x")),
    "no end": form((DATA, b"x"), end=False),
    "no boundary": {"body": b"x", "headers": {"Content-Type": "multipart/form-data"}},
    "boundary too long": form((DATA, b"x"), boundary="x" * 3000),
    "another kind": {"body": b"x", "headers": {"Content-Type": "multipart/mixed; boundary=x"}},
    "not a form": {"body": b"garbage", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
    "nothing": {"body": b"", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
    "too many parts": form(*[('Content-Disposition: form-data; name="a"', b"")] * 40, (DATA, b"x")),
    "too many headers": form((DATA + "\r\nX: y" * 500, b"x")),
    "a header too long": form((DATA + "\r\nX: " + "y" * 9000, b"x")),
}


@pytest.mark.parametrize("sent", BAD_FORMS.values(), ids=BAD_FORMS)
def test_a_form_that_is_none_is_400_and_told(bench: Bench, device: Device, sent: dict[str, Any]) -> None:
    for method, path in (("POST", "/dumps/text%2Ftxt/a"), ("PUT", "/dumps/x")):
        answer = device.call(method, path, **sent)
        assert answer.status_code == 400 and answer.json()["error"], answer.text
    assert len(device.refusals()) == 2
    assert bench.items(f"{DEVICES}/{device.id}/dumps") == []


def test_a_form_is_bounded_before_it_is_read(device: Device) -> None:
    fits = b"x" * dumps.SIZE_MAX
    assert device.post("/dumps/text%2Ftxt/a", **form((DATA, fits))).status_code == 201
    assert device.post("/dumps/text%2Ftxt/a", **form((DATA, fits + b"x"))).status_code == 422
    assert device.post("/dumps/text%2Ftxt/a", **form((DATA, fits + b"x" * 100_000))).status_code == 422


# ---- the store


@sqlite_only
def test_a_database_of_an_earlier_version_gets_files_incidents_and_events(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    device = bench.device()
    bench.command(device, "ping")
    bench.close()
    with sqlite3.connect(tmp_path / "hub.sqlite") as database:
        forget_revisions(database)
        for table in ("files", "incidents", "events"):
            database.execute(f"DROP TABLE {table}")
        database.execute("ALTER TABLE devices DROP COLUMN hub_url")
    bench = Bench(tmp_path)
    again = Device(bench, device.id, device.key, device.model)
    assert again.get("/command").json()["name"] == "ping"
    made = bench.upload(BYTES)
    bench.command(again, "update_firmware", file_id=made["id"])
    url = again.get("/command/pending_commands").json()[1]["parameters"]["url"]
    assert bench.call("GET", path_in(url), None).content == BYTES
    assert again.post("/incidents", {"title": "x", "priority": "low"}).status_code == 200
    assert again.post("/events", {"name": "x", "category": "y"}).json() == {"status": True}
    assert bench.items(f"{DEVICES}/{device.id}/events")[0]["name"] == "x"
    bench.close()
    bench = Bench(tmp_path)
    assert bench.call("GET", f"{OPERATOR}/files/{made['id']}/content").content == BYTES
    bench.close()


def fails(*_: object, **__: object) -> None:
    """In the place of what a full disk ends."""
    raise OperationalError("INSERT INTO dumps", None, Exception("database or disk is full"))


def test_a_dump_that_cannot_be_kept_leaves_nothing_on_the_disk(bench: Bench, device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device tries again, each time under another id: a disk that is full would stay so."""
    assert device.post("/dumps/text%2Ftxt/agent.log", b"one").status_code == 201
    before = set((bench.folder / "dumps").iterdir())
    monkeypatch.setattr(dumps, "tell", fails)
    assert device.post("/dumps/text%2Ftxt/agent.log", b"two").status_code == 500
    assert set((bench.folder / "dumps").iterdir()) == before


def test_a_dump_whose_file_cannot_be_made_leaves_nothing_either(bench: Bench, device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.parent.name == "dumps":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data)

    before = set((bench.folder / "dumps").glob("*"))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        assert device.post("/dumps/text%2Ftxt/agent.log", b"one").status_code == 500
    assert set((bench.folder / "dumps").glob("*")) == before


def test_a_dump_whose_commit_came_through_though_its_answer_was_lost_keeps_its_bytes(
    bench: Bench, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a PostgreSQL that goes away right after COMMIT leaves it."""
    do = bench.hub.do
    before = set((bench.folder / "dumps").glob("*"))

    async def lost(work: Any) -> Any:
        value = await do(work)
        if set((bench.folder / "dumps").glob("*")) != before:
            fails()
        return value

    monkeypatch.setattr(bench.hub, "do", lost)
    monkeypatch.setattr(bench.hub.store, "_on_commit", lambda _unit: None)
    assert device.post("/dumps/text%2Ftxt/agent.log", b"one").status_code == 500
    (dump,) = bench.items(f"{DEVICES}/{device.id}/dumps")
    assert bench.call("GET", f"{DEVICES}/{device.id}/dumps/{dump['id']}/content").content == b"one"
    assert set((bench.folder / "dumps").iterdir()) - before == {bench.folder / "dumps" / dump["id"]}


def test_what_a_killed_hub_has_written_of_a_dump_goes_once_no_other_hub_can_still_be_storing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path)
    device = bench.device()
    kept = device.post("/dumps/text%2Ftxt/agent.log", b"one").json()["id"]

    async def killed(_dump_id: str) -> None:
        """It comes to nothing more."""

    with monkeypatch.context() as patch:
        patch.setattr(dumps, "tell", fails)
        patch.setattr(bench.hub, "settle_dump", killed)
        assert device.post("/dumps/text%2Ftxt/agent.log", b"two").status_code == 500
    bench.close()
    bench = Bench(tmp_path)
    left = list((tmp_path / "dumps").iterdir())
    assert len(left) == 3  # a hub that shares the folder may have this moment begun
    for path in left:
        os.utime(path, (path.stat().st_mtime - 3600, path.stat().st_mtime - 3600))
    bench.prune()
    assert [path.name for path in (tmp_path / "dumps").iterdir()] == [kept]
    bench.close()


def test_a_device_that_cannot_be_removed_keeps_its_dumps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path)
    device = bench.device()
    dump = device.post("/dumps/text%2Ftxt/agent.log", b"one").json()["id"]
    content = f"{DEVICES}/{device.id}/dumps/{dump}/content"
    with monkeypatch.context() as patch:
        patch.setattr(Gathered, "write", fails)  # the last that is done before the commit
        for path in (f"{DEVICES}/{device.id}", f"{DEVICES}/{device.id}/dumps/{dump}"):
            assert bench.call("DELETE", path).status_code == 500
    assert bench.call("GET", content).content == b"one"
    bench.close()
    bench = Bench(tmp_path)
    assert bench.call("GET", content).content == b"one"
    bench.operator("DELETE", f"{DEVICES}/{device.id}")
    assert list((tmp_path / "dumps").iterdir()) == []
    bench.close()


def test_the_dumps_of_a_device_whose_removal_a_hub_was_killed_over_go_with_the_next_start(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    gone, other = bench.device(), bench.device()
    for device in (gone, other):
        device.post("/dumps/text%2Ftxt/agent.log", b"one")
    bench.hub.store._on_commit = lambda _unit: None  # killed after the commit
    bench.operator("DELETE", f"{DEVICES}/{gone.id}")
    bench.close()
    bench = Bench(tmp_path)
    kept = [item["id"] for item in bench.items(f"{DEVICES}/{other.id}/dumps")]
    assert [path.name for path in (tmp_path / "dumps").iterdir()] == kept
    bench.close()
