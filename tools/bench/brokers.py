"""The broker that a measurement is made on."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from tools.hub.broker.mosquitto import find_mosquitto
from tools.hub.broker.process import BrokerProcess, EmbeddedProcess, MosquittoProcess


@contextlib.contextmanager
def broker(folder: Path) -> Iterator[BrokerProcess]:
    """Mosquitto; where it is not installed the embedded broker, which is said on standard error."""
    if find_mosquitto() is None:
        print("mosquitto is not installed (apt install mosquitto); measured on the embedded broker", file=sys.stderr)
        with EmbeddedProcess(folder) as embedded:
            yield embedded
    else:
        with MosquittoProcess() as mosquitto:
            yield mosquitto
