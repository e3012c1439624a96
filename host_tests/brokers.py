"""The brokers that net.mqtt is tried against: `BROKERS` are the names of the fixtures, each gives its port for each protocol level."""

from collections.abc import Iterator

import pytest

from tools.hub.broker.mosquitto import find_mosquitto
from tools.hub.broker.process import EmbeddedProcess, MosquittoProcess

needs_mosquitto = pytest.mark.skipif(not find_mosquitto(), reason="mosquitto is not installed")
BROKERS = ("embedded", pytest.param("mosquitto", marks=needs_mosquitto))


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, int]]:
    """rumqttd; its port for each protocol level."""
    with EmbeddedProcess(tmp_path_factory.mktemp("rumqttd")) as broker:
        yield {4: broker.port_311, 5: broker.port}


@pytest.fixture(scope="session")
def mosquitto() -> Iterator[dict[int, int]]:
    with MosquittoProcess() as broker:
        yield {4: broker.port, 5: broker.port}


@pytest.fixture(params=BROKERS)
def each_broker(request: pytest.FixtureRequest) -> str:
    """The name of one of the brokers after the other."""
    return str(request.param)


class KillableMosquitto(MosquittoProcess):
    """Mosquitto that ends without a word, as EmbeddedProcess does when it is stopped."""

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
