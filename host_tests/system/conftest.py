"""A hub, real brokers and boards with the real firmware; what they printed is attached to a test that fails."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tools.board.process import Board
from tools.hub.broker.mosquitto import find_mosquitto
from tools.hub.broker.process import MosquittoProcess
from tools.hub.process import HubProcess

PRODUCT = Path(__file__).parent / "product.py"
LINKS = ("mqtt-embedded", "mqtt-mosquitto", "http")
_PAUSE = 0.05  # seconds between two looks at a condition
_LINES = 200  # of a board's console in a report

_PRINTED = pytest.StashKey[list[tuple[str, Callable[[], str]]]]()
_BOARDS = pytest.StashKey[list[Board]]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report: pytest.TestReport = yield  # type: ignore[misc, assignment]
    if report.failed:
        report.sections.extend((title, text()) for title, text in item.stash.get(_PRINTED, []))
    return report  # type: ignore[return-value]


@pytest.fixture(params=LINKS)
def link(request: pytest.FixtureRequest) -> str:
    """How the boards of this test reach their hub: transport and, for MQTT, the hub's broker."""
    if request.param == "mqtt-mosquitto" and find_mosquitto() is None:
        pytest.skip("mosquitto is not installed (apt install mosquitto)")
    return str(request.param)


@pytest.fixture
def hub(request: pytest.FixtureRequest, link: str, tmp_path: Path) -> Iterator[HubProcess]:
    """A hub of this test's own."""
    if link == "mqtt-mosquitto":
        with MosquittoProcess() as broker:
            yield from _running_hub(request, tmp_path, broker.url)
    else:
        yield from _running_hub(request, tmp_path, "embedded:0")


def _running_hub(request: pytest.FixtureRequest, tmp_path: Path, broker: str) -> Iterator[HubProcess]:
    hub = HubProcess(tmp_path / "hub", broker=broker)
    _attach(request.node, "hub", hub.output)
    with hub:
        yield hub


@pytest.fixture
def make_stopped_board(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Board]]:
    """Makes boards that are off: settings (None: no settings.json), then what tools.board.process.Board takes. They end with the test."""
    boards: list[Board] = []
    request.node.stash[_BOARDS] = boards

    def make(settings: dict[str, Any] | None = None, **more: Any) -> Board:
        board = Board(tmp_path / f"board{len(boards) + 1}", settings, **({"main": PRODUCT} | more))
        boards.append(board)
        _attach(request.node, f"console of board {len(boards)}", lambda: "\n".join(board.lines[-_LINES:]))
        return board

    yield make
    for board in boards:
        board.kill()


@pytest.fixture
def product(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The main.py that the test's module has as PRODUCT."""
    path = tmp_path / "product.py"
    path.write_text(request.module.PRODUCT)
    return path


@pytest.fixture
def make_board(hub: HubProcess, link: str, make_stopped_board: Callable[..., Board]) -> Callable[..., Board]:
    """Starts boards on `hub`: keys of settings.json; the program is product.py here, or `main`."""

    def make(main: Path = PRODUCT, **settings: Any) -> Board:
        told = {"entry": hub.entry_url, "transport": link.partition("-")[0]} | settings
        return make_stopped_board(told, main=main).start()

    return make


@pytest.fixture
def eventually(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """eventually(condition, timeout=20, what="..."): its first true value; a hub that is away just now counts as not yet.

    Fails when the time is over, and at once when the program of one of the test's boards has failed.
    """

    def wait(condition: Callable[[], Any], timeout: float = 20.0, what: str = "the condition") -> Any:
        deadline = time.monotonic() + timeout
        away = ""
        while True:
            try:
                if value := condition():
                    return value
                away = ""
            except httpx.TransportError as error:
                away = f" (the hub is away: {error})"
            assert time.monotonic() < deadline, f"waited {timeout:g} s in vain for {what}{away}"
            for number, board in enumerate(request.node.stash.get(_BOARDS, []), 1):
                assert not board.crashed, f"board {number} failed while waiting for {what}"
            time.sleep(_PAUSE)

    return wait


def _attach(node: Any, title: str, text: Callable[[], str]) -> None:
    node.stash.setdefault(_PRINTED, []).append((title, text))
