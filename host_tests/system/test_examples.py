"""The products in examples/: each on a virtual board with what it is wired to, against a real hub."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from operator_side import Eventually

from tools.board import air
from tools.board.process import Board
from tools.board.profile import Profile
from tools.bundle import contents
from tools.hub.process import HubProcess
from tools.paths import ROOT

EXAMPLES = ROOT / "examples"
MakeBoard = Callable[..., Board]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """One for all of them: each example is a device of its own."""
    with HubProcess(tmp_path_factory.mktemp("hub")) as running:
        yield running


@pytest.fixture
def start(hub: HubProcess, make_stopped_board: MakeBoard) -> Callable[..., Board]:
    """start(name, settings, parts=(), volts={}, board="unix"): the example on a board that is wired like this."""

    def make(name: str, settings: dict[str, Any] | None = None, volts: dict[int, float] | None = None, **more: Any) -> Board:
        told = {"entry": hub.entry_url, "sn": name} | (settings or {})
        parts = more.pop("parts", ())
        board = make_stopped_board(told, main=EXAMPLES / name, **more)
        for part in parts:
            board.wired.attach(part)
        for pin, value in (volts or {}).items():
            board.wired.apply_volts(pin, value)
        return board.start()

    return make


@pytest.fixture
def device(hub: HubProcess, eventually: Eventually) -> Callable[[str], str]:
    """device(name): waits until the example has registered -> its id."""

    def find(name: str) -> str:
        found = eventually(lambda: [one for one in hub.operator.devices() if one["sn"] == name], what="registration")
        return str(found[0]["id"])

    return find


def readings(hub: HubProcess, device_id: str, key: str) -> list[Any]:
    """Each value that was told of this reading, the newest first."""
    return [message["telemetries"][key] for message in hub.operator.history(device_id) if key in message["telemetries"]]


def done(hub: HubProcess, device_id: str, command: dict[str, Any]) -> str | None:
    now = hub.operator.get_command(device_id, command["id"])
    return str(now["message"]) if now["status"] == "done" else None


@pytest.mark.parametrize("board", ["esp32", "rpi_pico_w"])
@pytest.mark.parametrize("name", sorted(path.parent.name for path in EXAMPLES.glob("*/main.py")))
def test_an_example_is_a_product_that_can_be_deployed(name: str, board: str) -> None:
    files = contents.collect(EXAMPLES / name, Profile.load(board))
    assert {"main.py", "redpoll/agent.mpy"} <= set(files)
    assert not [file for file in files if file.startswith("lib/") and not file.endswith(".mpy")]


def test_the_weather_station_reads_its_sensor_and_says_when_it_is_gone(
    hub: HubProcess, start: Callable[..., Board], device: Callable[[str], str], eventually: Eventually
) -> None:
    board = start("weather_station", parts=["aht20,temperature=21.5,humidity=40"])
    known = device("weather_station")
    hub.operator.configure(known, {"interval": 5, "offset": -0.5})
    first = eventually(lambda: hub.operator.history(known), what="a reading")[-1]["telemetries"]
    assert (first["temperature_c"], first["humidity_percent"], first["dew_point_c"]) == (21.5, 40.0, 7.3)
    board.wait_for("config 1 applied")
    board.wired.detach("aht20")
    eventually(lambda: hub.operator.device(known)["status"] == "error", what="the failure of the sensor")
    assert any("sensor climate: OSError" in line for line in board.lines)
    board.wired.attach("aht20,temperature=-3,humidity=80")
    eventually(lambda: readings(hub, known, "temperature_c")[0] == -3.5, what="the new sensor with the offset")


def test_the_relay_switches_by_command_by_button_and_for_a_time_only(
    hub: HubProcess, start: Callable[..., Board], device: Callable[[str], str], eventually: Eventually
) -> None:
    board = start("relay", {"wifi_ssid": "home", "wifi_password": "correct horse"}, board="rpi_pico_w")
    button = int(board.profile.button)
    known = device("relay")
    command = hub.operator.command(known, "on", {"seconds": 2})
    eventually(lambda: done(hub, known, command) == "on", what="the command")
    eventually(lambda: True in readings(hub, known, "relay"), what="the news that it is on")
    eventually(lambda: board.pins["22"] == 0, what="off by itself")
    eventually(lambda: readings(hub, known, "relay")[0] is False, what="the news that it is off")
    board.drive(button, False)
    eventually(lambda: board.pins["22"] == 1, what="the button")
    board.drive(button, None)
    eventually(lambda: readings(hub, known, "relay")[0] is True, what="the news of it")


def test_the_battery_sensor_tells_and_sleeps_and_tells_again(
    hub: HubProcess, start: Callable[..., Board], device: Callable[[str], str], eventually: Eventually
) -> None:
    board = start("battery_sensor", {"sleep": 1}, volts={32: 1.85, 34: 1.9})
    known = device("battery_sensor")
    board.wait_for("sleeping for 1 s", 20)
    board.wired.apply_volts(34, 1.7)
    board.wait_for("reset, cause: deep sleep", 10)
    eventually(lambda: len(readings(hub, known, "battery_v")) >= 2, what="what it tells after its sleep")
    newest, first = hub.operator.history(known)[0]["telemetries"], hub.operator.history(known)[-1]["telemetries"]
    assert (first["moisture_percent"], first["battery_v"], first["battery_percent"]) == (50, 3.8, 56)
    assert newest["battery_v"] == 3.4


def test_the_asyncio_application_keeps_its_tank_full_while_the_agent_reports(
    hub: HubProcess, start: Callable[..., Board], device: Callable[[str], str], eventually: Eventually
) -> None:
    board = start("asyncio_app", volts={32: 1.5})
    known = device("asyncio_app")
    hub.operator.configure(known, {"interval": 1, "low": 60, "high": 90})
    board.wait_for("pin 26 on", 20)
    eventually(lambda: hub.operator.device(known)["device_config_version"] == 1, what="the configuration")
    before = len(board.lines)
    board.wired.apply_volts(32, 3.0)
    board.wait_for("pin 26 off", 10, since=before - 1)
    eventually(lambda: readings(hub, known, "level_percent")[0] > 90, what="the level")
    newest = hub.operator.history(known)[0]["telemetries"]
    assert newest["pump"] is False and newest["starts"] == 1


def test_the_asyncio_application_outlives_a_name_that_takes_longer_to_look_up_than_the_chips_watchdog_waits(
    start: Callable[..., Board], device: Callable[[str], str], eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up, looked_up = air._look_up, []

    async def slow(host: str, port: int) -> str:
        looked_up.append(host)
        await asyncio.sleep(11 if len(looked_up) == 1 else 0)
        return await look_up(host, port)

    monkeypatch.setattr(air, "_look_up", slow)
    board = start("asyncio_app", {"sn": "slow", "wifi_ssid": "any", "wifi_password": "any password"}, {32: 1.5}, board="esp32s3")
    eventually(lambda: looked_up, what="the first name")
    eventually(lambda: len(looked_up) > 1, what="the name that takes long")
    device("slow")
    assert not any("watchdog" in line for line in board.lines)
