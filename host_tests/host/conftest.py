"""Fixtures of the bench's tests: virtual boards as they come from flashing; for the hub's a hub process for all of them, or a hub without
one for each module, and a fresh device for each test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hub_support import Board, Ended, MqttBoard, RunHub
from xyte_bench import NOON, Bench, Device

from tools.board.process import Board as VirtualBoard
from tools.cli import main as redpoll
from tools.hub.broker.process import MosquittoProcess
from tools.hub.process import HubProcess


@pytest.fixture
def flashed(tmp_path: Path) -> Iterator[Callable[..., VirtualBoard]]:
    """flashed(profile, files): a virtual board that is on, as a board is after flashing; its serial port is board.port."""
    boards: list[VirtualBoard] = []

    def make(profile: str = "rpi_pico_w", files: dict[str, bytes] | None = None) -> VirtualBoard:
        folder = tmp_path / f"board{len(boards)}"
        folder.mkdir()
        board = VirtualBoard(folder, board=profile, bare=True, terminal=folder / "tty")
        boards.append(board)
        for name, data in (files or {}).items():
            board.write_file(name, data)
        board.start().wait_for("." if "main.py" in (files or {}) else "help")
        return board

    yield make
    for board in boards:
        board.kill()


@pytest.fixture
def run_hub(capfd: pytest.CaptureFixture[str]) -> RunHub:
    """`redpoll hub` with arguments that let it end by itself -> its exit status and what it printed."""

    def run(*arguments: str) -> Ended:
        capfd.readouterr()
        status = redpoll(["hub", *arguments])
        return Ended(status, *capfd.readouterr())

    return run


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    with HubProcess(tmp_path_factory.mktemp("hub")) as running:
        yield running


@pytest.fixture(scope="session")
def hubs_mosquitto() -> Iterator[MosquittoProcess]:
    with MosquittoProcess() as running:
        yield running


@pytest.fixture(scope="session")
def hub_on_mosquitto(hubs_mosquitto: MosquittoProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    with HubProcess(tmp_path_factory.mktemp("hub"), broker=hubs_mosquitto.url) as running:
        yield running


@pytest.fixture
def board_broker() -> str:
    """The broker of `board`; in a module that tries all of them this is each_broker."""
    return "embedded"


@pytest.fixture
def board(board_broker: str, request: pytest.FixtureRequest) -> Iterator[Board]:
    with Board.registered(request.getfixturevalue("hub" if board_broker == "embedded" else "hub_on_mosquitto")) as made:
        yield made


@pytest.fixture
def mqtt(board: Board) -> Iterator[MqttBoard]:
    with MqttBoard(board) as connected:
        yield connected


@pytest.fixture(scope="module")
def shared_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    made = Bench(tmp_path_factory.mktemp("bench"))
    yield made
    made.close()


@pytest.fixture
def bench(shared_bench: Bench) -> Bench:
    """The hub of the module's tests, its clock at noon."""
    shared_bench.now = NOON
    return shared_bench


@pytest.fixture
def device(bench: Bench) -> Device:
    return bench.device()
