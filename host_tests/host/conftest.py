"""Fixtures of the hub's tests: one hub process for all of them, a fresh device for each."""

from collections.abc import Iterator

import pytest
from hub_support import Board, MqttBoard

from tools.hub.process import HubProcess


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    with HubProcess(tmp_path_factory.mktemp("hub")) as running:
        yield running


@pytest.fixture
def board(hub: HubProcess) -> Iterator[Board]:
    with Board.registered(hub) as made:
        yield made


@pytest.fixture
def mqtt(board: Board) -> Iterator[MqttBoard]:
    with MqttBoard(board) as connected:
        yield connected
