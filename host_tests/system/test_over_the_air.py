"""Over-the-air updates: a board (firmware in the real VM, real LittleFS, its boot.py) takes signed bundles from the hub."""

import contextlib
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import pytest
from firmware_images import esp_image
from operator_side import Eventually, ended, registered

from tools import keys
from tools.board.partitions import Partitions
from tools.board.process import Board
from tools.bundle.build import build
from tools.cli import main as redpoll
from tools.hub.process import HubProcess

MAIN = """import time
from redpoll import Agent
agent = Agent(version="{version}")
print("this is", agent.version)

@agent.sensor(every=1)
def beat():
    return {{"beat": time.ticks_ms()}}

{more}
agent.run()
"""
FREE = """
from redpoll.flash import room
print("%d KB of the flash are free, both slots full" % (room.free("/") // 1024))
"""
HEAP = "320K"  # of a VM whose objects are twice a board's
QUICK = {"snapshot_every": 10, "trial_timeout": 20}


class Bundles:
    """Signed bundles of a product whose main.py says its version."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = folder / "key.pem"
        keys.make_private(self._key, 2048)
        self.public = keys.public_pem(keys.load_private(self._key))

    def main(self, version: str, more: str = "") -> Path:
        """The product's main.py."""
        folder = self._folder / f"product-{version}"
        folder.mkdir(exist_ok=True)
        path = folder / "main.py"
        path.write_text(MAIN.format(version=version, more=more))
        return path

    def make(self, version: str, more: str = "", **about: Any) -> bytes:
        """A bundle of it with the whole firmware."""
        return build(self.main(version, more).parent, self._key, version, **about)

    def make_image(self, image: bytes, version: str) -> bytes:
        """A bundle of an ESP32's firmware image."""
        path = self._folder / "app.bin"
        path.write_bytes(image)
        return build(self._folder, self._key, version, board="esp32", image=path)


@pytest.fixture
def bundles(tmp_path: Path) -> Bundles:
    return Bundles(tmp_path)


@pytest.fixture
def link() -> str:
    return "mqtt-embedded"


def start(bundles: Bundles, hub: HubProcess, make_stopped_board: Callable[..., Board], **settings: Any) -> Board:
    told = {"entry": hub.entry_url, "sn": "S1", "transport": "mqtt", "update_key": bundles.public} | QUICK | settings
    return make_stopped_board(told, main=bundles.main("1.0.0"), heap=HEAP).start()


def ordered(hub: HubProcess, device: dict[str, Any], bundle: bytes, version: str, **more: Any) -> dict[str, Any]:
    """The command update_firmware for an uploaded bundle."""
    file = hub.operator.upload_file(bundle, "bundle.zip", version=version)
    return hub.operator.command(device["id"], "update_firmware", more, file_id=file["id"])


def test_a_command_brings_a_new_version_that_proves_itself(
    bundles: Bundles, hub: HubProcess, make_stopped_board: Callable[..., Board], eventually: Eventually
) -> None:
    board = start(bundles, hub, make_stopped_board)
    device = registered(hub, eventually)
    command = ordered(hub, device, bundles.make("1.1.0"), "1.1.0")
    board.wait_for("this is 1.1.0", 60)
    result = eventually(lambda: ended(hub, device, command), 30, "the command's end")
    assert (result["status"], result["message"]) == ("done", "version 1.1.0 runs")
    eventually(lambda: hub.operator.device(device["id"])["firmware_version"] == "1.1.0", what="the new version")
    # it stays, also after the power was off
    since = board.line_count
    board.kill()
    board.start()
    board.wait_for("this is 1.1.0", 20, since)
    # and the next update goes into the other slot, of which only the difference is fetched
    command = ordered(hub, device, bundles.make("1.2.0"), "1.2.0")
    board.wait_for("this is 1.2.0", 60)
    assert eventually(lambda: ended(hub, device, command), 30, "the command's end")["status"] == "done"


# neither boot.py nor the agent can save anything any more
FILLS_THE_FLASH = """
for number in range(2000):
    try:
        with open("/fill-%d" % number, "wb") as file:
            file.write(bytes(8192 if number < 1000 else 1))
    except OSError:
        if number > 1000:
            break
"""


@pytest.mark.parametrize(
    "more",
    [
        pytest.param("raise ValueError('broken')", id="raises"),
        pytest.param("while True: pass", id="hangs"),
        pytest.param("agent.settings.entry = ''\nagent.link.poll = lambda: 1000", id="never-connects"),
        pytest.param(FILLS_THE_FLASH, id="fills-the-flash"),
    ],
)
def test_a_version_that_does_not_work_is_rolled_back_by_itself(
    more: str, bundles: Bundles, hub: HubProcess, make_stopped_board: Callable[..., Board], eventually: Eventually
) -> None:
    board = start(bundles, hub, make_stopped_board)
    device = registered(hub, eventually)
    command = ordered(hub, device, bundles.make("1.1.0", more), "1.1.0")
    board.wait_for("this is 1.1.0", 60)
    since = board.line_count
    board.wait_for("this is 1.0.0", 120, since)
    result = eventually(lambda: ended(hub, device, command), 60, "the command's end")
    assert result["status"] == "failed" and "SystemRollback" in result["message"], result
    assert hub.operator.device(device["id"])["firmware_version"] == "1.0.0"


def test_an_ota_request_is_answered_with_every_step_by_both_reporters(
    bundles: Bundles, hub: HubProcess, make_stopped_board: Callable[..., Board], eventually: Eventually
) -> None:
    board = start(bundles, hub, make_stopped_board, report=["astarte", "kura"])
    device = registered(hub, eventually)
    board.wait_for("connected", 20)
    file = hub.operator.upload_file(bundles.make("1.1.0"), "bundle.zip", version="1.1.0")
    update = hub.operator.request_update(device["id"], file_id=file["id"])
    board.wait_for("this is 1.1.0", 60)
    result = eventually(
        lambda: u if (u := hub.operator.update(device["id"], update["uuid"]))["status"] in ("Success", "Failure") else None, 40, "the end"
    )
    assert (result["status"], result["code"]) == ("Success", "")
    events = [(event["status"], event["statusProgress"]) for event in result["events"]]
    assert [event for event in events if event[0] in ("Success", "Failure")] == [("Success", 100)]
    assert events[-1] == ("Success", 100)
    for status in ("Downloading", "Deploying"):
        assert [progress for name, progress in events if name == status] == list(range(0, 101, 10))
    assert not any("warning: link" in line for line in board.lines)


def test_a_board_takes_what_was_built_for_it_and_nothing_for_another_one_of_its_family(
    bundles: Bundles, hub: HubProcess, make_stopped_board: Callable[..., Board], eventually: Eventually
) -> None:
    told = {"entry": hub.entry_url, "sn": "S1", "update_key": bundles.public, "wifi_ssid": "home", "wifi_password": "correct horse"} | QUICK
    board = make_stopped_board(told, main=bundles.main("1.0.0"), board="rpi_pico2_w").start()
    device = registered(hub, eventually)
    command = ordered(hub, device, bundles.make("1.1.0", board="rpi_pico_w"), "1.1.0")
    result = eventually(lambda: ended(hub, device, command), 30, "the refusal")
    assert result["message"] == "InvalidBaseImage: it is for rp2040, rpi_pico_w, this board is rp2350"
    command = ordered(hub, device, bundles.make("1.1.0", board="rpi_pico2_w"), "1.1.0")
    board.wait_for("this is 1.1.0", 60)
    result = eventually(lambda: ended(hub, device, command), 30, "the command's end")
    assert (result["status"], result["message"]) == ("done", "version 1.1.0 runs")


def test_the_flash_of_a_pico_w_holds_the_agent_as_files_in_both_slots(
    bundles: Bundles,
    hub: HubProcess,
    make_stopped_board: Callable[..., Board],
    eventually: Eventually,
    tmp_path: Path,
    figure: Callable[[str], None],
) -> None:
    told = {"entry": hub.entry_url, "sn": "S1", "update_key": bundles.public, "wifi_ssid": "home", "wifi_password": "correct horse"} | QUICK
    board = make_stopped_board(bare=True, terminal=tmp_path / "tty", board="rpi_pico_w", heap=HEAP)
    board.write_file("/settings.json", json.dumps(told).encode())
    # a CA as `redpoll provision` brings it, and what a product keeps
    board.write_file("/ca.pem", b"x" * 2000)
    board.write_file("/calibration.json", b"x" * 20000)
    board.start().wait_for("help")
    assert redpoll(["deploy", "--port", str(board.port), str(bundles.main("1.0.0").parent)]) == 0
    device = registered(hub, eventually)
    for version in ("1.1.0", "1.2.0"):
        command = ordered(hub, device, bundles.make(version, FREE, board="rpi_pico_w"), version)
        result = eventually(lambda command=command: ended(hub, device, command), 90, "the command's end")
        assert (result["status"], result["message"]) == ("done", f"version {version} runs")
    free = board.wait_for(r"(\d+) KB of the flash are free, both slots full").group(0)
    figure(f"Pico W, the agent as files: {free}")


@pytest.mark.parametrize("works", [True, False], ids=["confirmed", "rolled-back"])
def test_a_firmware_image_goes_into_the_other_partition_and_stays_once_the_cloud_was_reached(
    works: bool, bundles: Bundles, hub: HubProcess, make_stopped_board: Callable[..., Board], eventually: Eventually
) -> None:
    told = {"entry": hub.entry_url, "sn": "S1", "transport": "mqtt", "update_key": bundles.public} | QUICK
    # an image's application is not what a virtual board runs: it has the same files in either partition
    more = "" if works else "import esp32\nif esp32.Partition(1).info()[4] == 'ota_1':\n    raise ValueError('broken')"
    board = make_stopped_board(told, main=bundles.main("1.0.0", more), heap=HEAP, board="esp32").start()
    device = registered(hub, eventually)
    image = esp_image(0, 100_000, app=True)
    command = ordered(hub, device, bundles.make_image(image, "1.1.0"), "1.1.0")
    result = eventually(lambda: ended(hub, device, command), 90, "the command's end")
    if works:
        assert (result["status"], result["message"]) == ("done", "version 1.0.0 runs")
    else:
        assert result["status"] == "failed" and "SystemRollback" in result["message"], result
    partitions = Partitions(board.image.path.with_suffix(".partitions"), board.profile)
    assert partitions.read("ota_1")[: len(image)] == image
    assert partitions.boot() == ("ota_1" if works else "ota_0")


class HeldServer(ThreadingHTTPServer):
    """Serves `data`, without ranges: half of it at once (`asked` is set then), the rest when `go` is set."""

    def __init__(self, data: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Held)
        self.data = data
        self.asked, self.go = threading.Event(), threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/bundle.zip"
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.go.set()
        self.shutdown()
        self.server_close()


class _Held(BaseHTTPRequestHandler):
    server: HeldServer

    def do_GET(self) -> None:
        data = self.server.data
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        # the board may have gone
        with contextlib.suppress(OSError):
            self.wfile.write(data[: len(data) // 2])
            self.server.asked.set()
            self.server.go.wait(60)
            self.wfile.write(data[len(data) // 2 :])

    def log_message(self, *_: object) -> None:
        pass


def test_an_update_is_cancelled_while_it_is_fetched_and_the_next_one_is_taken(
    bundles: Bundles, hub: HubProcess, make_stopped_board: Callable[..., Board], eventually: Eventually
) -> None:
    board = start(bundles, hub, make_stopped_board, report=["astarte"])
    device = registered(hub, eventually)
    board.wait_for("connected", 20)
    bundle = bundles.make("1.1.0")
    with HeldServer(bundle) as server:
        update = hub.operator.request_update(device["id"], url=server.url)
        assert server.asked.wait(30)
        hub.operator.cancel_update(device["id"], update["uuid"])
        eventually(lambda: hub.operator.update(device["id"], update["uuid"])["status"] == "Failure", what="the end of the cancelled update")
        assert hub.operator.update(device["id"], update["uuid"])["code"] == "Canceled"
        # a slow server, whose second half comes later, is no failure
        server.asked.clear()
        update = hub.operator.request_update(device["id"], url=server.url)
        assert server.asked.wait(30)
        server.go.set()
        board.wait_for("this is 1.1.0", 60)
    eventually(lambda: hub.operator.update(device["id"], update["uuid"])["status"] == "Success", 40, "the end of the update")


def test_a_board_that_may_update_itself_takes_the_version_that_the_cloud_announces(
    bundles: Bundles, hub: HubProcess, make_stopped_board: Callable[..., Board], eventually: Eventually
) -> None:
    board = start(bundles, hub, make_stopped_board, auto_update=True, hardware_key="auto")
    device = registered(hub, eventually)
    file = hub.operator.upload_file(bundles.make("1.1.0"), "bundle.zip", version="1.1.0")
    hub.operator.set_model("auto", latest_fw_file_id=file["id"])
    board.wait_for("this is 1.1.0", 60)
    eventually(lambda: hub.operator.device(device["id"])["firmware_version"] == "1.1.0", 30, "the new version")
