"""The brokers that net.mqtt is tried against: `BROKERS` are the names of the fixtures, each gives its port for each protocol level."""

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tools.hub.broker import _CONFIG, _LISTENER, PACKET_MAX, free_port
from tools.hub.process import MosquittoProcess, find_mosquitto
from tools.paths import ROOT

needs_mosquitto = pytest.mark.skipif(not find_mosquitto(), reason="mosquitto is not installed")
BROKERS = ("embedded", pytest.param("mosquitto", marks=needs_mosquitto))


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, int]]:
    """rumqttd; its port for each protocol level."""
    ports = {4: free_port(), 5: free_port()}
    config = tmp_path_factory.mktemp("rumqttd") / "rumqttd.toml"
    listeners = (_LISTENER.format(version=f"v{level}", host="127.0.0.1", port=port, packet_max=PACKET_MAX) for level, port in ports.items())
    config.write_text(_CONFIG + "".join(listeners))
    line = [sys.executable, "-m", "tools.hub.rumqttd", str(config)]
    process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=ROOT)
    try:
        for port in ports.values():
            wait_for_port(port)
        yield ports
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def mosquitto() -> Iterator[dict[int, int]]:
    with MosquittoProcess() as broker:
        yield {4: broker.port, 5: broker.port}


def wait_for_port(port: int) -> None:
    """Wait until something listens there."""
    deadline = time.monotonic() + 10
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert time.monotonic() < deadline
        time.sleep(0.02)
