"""The hubs of tests are forked from a process that has loaded their code, which is more than half of what a hub takes to start.

That a hub starts with an interpreter of its own is what test_hub_announcement.py and parts of test_hub_process.py show.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import IO

import pytest

from tools.cli import main
from tools.hub.process import HubProcess
from tools.paths import ROOT

_CONTEXT = multiprocessing.get_context("forkserver")


class Forked:
    """What HubProcess asks of a subprocess.Popen."""

    def __init__(self, arguments: list[str], environment: dict[str, str], log: str) -> None:
        theirs, self.stdin = _CONTEXT.Pipe(duplex=False)
        self._process = _CONTEXT.Process(target=_run, args=(arguments, environment, log, theirs), daemon=True)
        self._process.start()
        theirs.close()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("redpoll hub", timeout)
        return self._process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        if self._process.exitcode is None:
            os.kill(self.pid, number)


def _run(arguments: list[str], environment: dict[str, str], log: str, stdin: Connection) -> None:
    """In the new process."""
    os.setsid()
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environment)
    output = os.open(log, os.O_WRONLY | os.O_APPEND)
    for theirs, ours in ((stdin.fileno(), 0), (output, 1), (output, 2)):
        os.dup2(theirs, ours)
    stdin.close()
    os.close(output)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.exit(main(arguments))


@pytest.fixture(scope="session", autouse=True)
def forked_hubs() -> Iterator[None]:
    """Start the hubs of all tests so."""
    _CONTEXT.set_forkserver_preload(["tools.hub.command"])

    def fork(_hub: HubProcess, arguments: list[str], environment: dict[str, str], log: IO[bytes]) -> Forked:
        return Forked(arguments, environment, log.name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HubProcess, "_spawn", fork)
        yield
