"""The brokers that net.mqtt is tried against: `BROKERS` are the names of the fixtures, each gives its port for each protocol level."""

import contextlib
import threading
from collections.abc import Iterator

import pytest

from tools.hub.broker.mosquitto import find_mosquitto
from tools.hub.broker.process import BrokerProcess, EmbeddedProcess, MosquittoProcess
from tools.hub.process import ProcessError

_LOOK_SECONDS = 0.05

needs_mosquitto = pytest.mark.skipif(not find_mosquitto(), reason="mosquitto is not installed")
BROKERS = ("embedded", pytest.param("mosquitto", marks=needs_mosquitto))


@contextlib.contextmanager
def kept(broker: BrokerProcess) -> Iterator[BrokerProcess]:
    """This broker, started again whenever it has ended, as a hub does: a test may kill it, and rumqttd panics now and then."""
    over = threading.Event()

    def keep() -> None:
        while not over.wait(_LOOK_SECONDS):
            with contextlib.suppress(ProcessError):  # its port may be in use for a moment: next time then
                broker.again()

    with broker:
        keeper = threading.Thread(target=keep, daemon=True)
        keeper.start()
        try:
            yield broker
        finally:
            over.set()
            keeper.join()


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, int]]:
    """rumqttd; its port for each protocol level."""
    with kept(EmbeddedProcess(tmp_path_factory.mktemp("rumqttd"))) as broker:
        yield {4: broker.port_311, 5: broker.port}


@pytest.fixture(scope="session")
def mosquitto() -> Iterator[dict[int, int]]:
    with MosquittoProcess() as broker:
        yield {4: broker.port, 5: broker.port}


@pytest.fixture(params=BROKERS)
def each_broker(request: pytest.FixtureRequest) -> str:
    """The name of one of the brokers after the other."""
    return str(request.param)
