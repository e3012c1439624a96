"""A board on the VM and the hub over TLS: registration, either transport, a restart of the hub, and a CA that is not the hub's."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from operator_side import Eventually, registered

from tools.board.process import Board
from tools.hub.process import HubProcess
from tools.hub.security import authority
from tools.hub.security.authority import Authority


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubProcess]:
    with HubProcess(tmp_path / "hub", tls=True) as running:
        yield running


@pytest.mark.parametrize("transport", ["mqtt", "http"])
def test_a_board_does_its_whole_job_over_tls_and_comes_back_after_a_restart(
    hub: HubProcess, make_stopped_board: Callable[..., Board], eventually: Eventually, transport: str
) -> None:
    assert hub.ca
    settings = {"entry": hub.entry_url, "transport": transport, "ca": "ca.pem", "sn": "S1"}
    board = make_stopped_board(settings, files={"ca.pem": hub.ca.read_bytes()}).start()
    device = registered(hub, eventually)["id"]
    eventually(lambda: len(hub.operator.history(device)) >= 2, what="telemetry")
    command = hub.operator.command(device, "count", {"step": 3})["id"]

    def states() -> dict[str, str]:
        return {item["id"]: item["status"] for item in hub.operator.commands(device)}

    eventually(lambda: states()[command] == "done", what="the command's end")
    hub.kill()
    hub.start()
    before = len(hub.operator.history(device))
    eventually(lambda: len(hub.operator.history(device)) >= before + 2, timeout=40, what="telemetry after the restart")
    said = "\n".join(board.lines)
    assert "not encrypted" not in said and "MemoryError" not in said


def test_a_plain_esp32_reports_with_the_heap_that_it_has_when_it_polls(
    hub: HubProcess, make_stopped_board: Callable[..., Board], eventually: Eventually
) -> None:
    assert hub.ca
    settings = {
        "entry": hub.entry_url,
        "transport": "http",
        "ca": "ca.pem",
        "wifi_ssid": "hall",
        "wifi_password": "password-1",
        "ntp": "off",
    }
    board = make_stopped_board(settings, main=None, files={"ca.pem": hub.ca.read_bytes()}, board="esp32").start()
    device = registered(hub, eventually)["id"]
    eventually(lambda: "heap_free_bytes" in hub.operator.telemetry(device)["telemetries"], what="the first heartbeat")
    command = hub.operator.command(device, "blink", {"times": 1})["id"]
    eventually(lambda: hub.operator.get_command(device, command)["status"] == "done", what="the command's end")
    assert "memory" not in "\n".join(board.lines).lower()


@pytest.mark.parametrize("chip", ["esp32", "rpi_pico_w"])
def test_a_cloud_that_was_certified_yesterday_has_to_wait_for_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_stopped_board: Callable[..., Board], eventually: Eventually, chip: str
) -> None:
    data = tmp_path / "hub"
    data.mkdir()
    with monkeypatch.context() as patched:  # the hub's own begins in 2000, for boards that do not know the time
        patched.setattr(authority, "_NOT_BEFORE", datetime.now(UTC) - timedelta(days=1))
        Authority.kept(data)
    with HubProcess(data, tls=True) as hub:
        assert hub.ca
        settings = {"entry": hub.entry_url, "transport": "http", "ca": "ca.pem", "wifi_ssid": "hall", "wifi_password": "password-1"}
        board = make_stopped_board(settings, main=None, files={"ca.pem": hub.ca.read_bytes()}, board=chip).start()
        board.air.ntp = False
        board.wait_for("link: .*The certificate validity starts in the future", 30)
        assert hub.operator.devices() == []
        board.air.ntp = True
        board.wait_for("the time is from pool.ntp.org", 30)
        assert registered(hub, eventually)


def test_a_board_with_another_ca_tells_the_hub_nothing_and_says_why(hub: HubProcess, make_stopped_board: Callable[..., Board]) -> None:
    other = Authority.made("other").pem()
    board = make_stopped_board({"entry": hub.entry_url, "ca": "ca.pem", "sn": "S1"}, files={"ca.pem": other}).start()
    board.wait_for(r"not correctly signed by the trusted CA", 20)
    assert board.running
    assert hub.operator.devices() == []
    assert not [item for item in hub.operator.activities() if item["event"] == "upstreamMessage"]
