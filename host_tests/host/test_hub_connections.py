"""Connections of the hub's HTTP side: those that say nothing, and those that there is no room for."""

import asyncio
import errno
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from waiting import DEADLINE, wait_for
from xyte_bench import Bench

from tools.hub.server import web

HEALTH = b"GET /health HTTP/1.1\r\nHost: hub\r\n\r\n"
Connect = Callable[[], socket.socket]


@pytest.fixture
def connect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    """connect(): a connection to a hub's HTTP side that waits for a request's head for 0.4 s."""
    monkeypatch.setattr(web, "_HEAD_SECONDS", 0.4)
    bench, opened = Bench(tmp_path), []
    server = web.Server(web.config(bench.hub, None))
    with web.listening("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
        thread.start()

        def made() -> socket.socket:
            opened.append(socket.create_connection(listener.getsockname(), DEADLINE))
            return opened[-1]

        yield made
        for one in opened:
            one.close()
        server.should_exit = True
        thread.join(DEADLINE)
    bench.close()


def ask(one: socket.socket) -> None:
    """A request, and the whole of its answer."""
    one.sendall(HEALTH)
    said = b""
    while not said.endswith(b"}"):
        said += one.recv(65536)
    assert said.startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("said", [b"", HEALTH[:-2]])
def test_a_connection_on_which_no_request_comes_is_closed(connect: Connect, said: bytes) -> None:
    one = connect()
    one.sendall(said)
    assert one.recv(65536) == b""
    one = connect()
    ask(one)
    one.sendall(HEALTH[:9])  # between two requests it may be longer, once it has begun it may not
    assert one.recv(65536) == b""


def test_a_head_that_comes_in_single_bytes_does_not_put_the_end_off(connect: Connect) -> None:
    one = connect()

    def ended() -> bool:
        try:
            one.sendall(b"G")
            one.settimeout(0.05)
            return one.recv(1) == b""
        except TimeoutError:
            return False
        except ConnectionError:
            return True

    wait_for(ended, "the end")


def test_a_connection_that_is_used_now_and_then_stays(connect: Connect) -> None:
    one = connect()
    for _ in range(3):
        ask(one)
        assert connect().recv(65536) == b""  # a later one is over for want of a request
    ask(one)


def test_a_hub_that_may_open_no_more_files_says_so_once_and_waits(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """asyncio goes on trying as often as the backlog is long, and logs each."""

    def accept(_self: socket.socket) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with web.listening("127.0.0.1", 0) as listener, caplog.at_level(logging.INFO):
        monkeypatch.setattr(socket.socket, "accept", accept)
        with pytest.raises(OSError, match="Too many") as told:
            listener.accept()
        for _ in range(5):
            with pytest.raises(BlockingIOError):
                listener.accept()
        loop = asyncio.new_event_loop()
        web._told_by_the_listener(loop, {"message": "out of system resource", "exception": told.value, "socket": listener})
        loop.close()
    assert [record.message for record in caplog.records] == [
        "no more connections can be taken: Too many open files (how many files the hub may open: ulimit -n)"
    ]
