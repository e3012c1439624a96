"""Ports that servers of tests and of `redpoll run` are given."""

import socket
from pathlib import Path

import pytest

from tools.hub import ports


def test_a_port_is_given_once_and_something_can_listen_there():
    given = [ports.free_port() for _ in range(20)]
    assert len(set(given)) == len(given)
    assert all(ports.is_free("127.0.0.1", port) for port in given)


def test_a_port_that_is_in_use_is_not_given(monkeypatch):
    free = ports.free_port()
    with socket.create_server(("127.0.0.1", 0)) as server:
        chosen = iter([server.getsockname()[1], free + 1, free + 2, free + 3])
        monkeypatch.setattr(ports.secrets, "choice", lambda _: next(chosen))
        assert ports.free_port() in range(free + 1, free + 4)


def test_a_host_that_is_another_machine_has_none():
    with pytest.raises(OSError, match="assign"):
        ports.free_port("192.0.2.5")


def test_no_connection_begins_from_a_port_that_is_given():
    """One that did would be in the way of a server that is started again on its port."""
    own = Path("/proc/sys/net/ipv4/ip_local_port_range")
    if not own.exists():
        pytest.skip("this system does not say which ports connections begin from")
    first, last = map(int, own.read_text().split())
    if first < 32_768:
        pytest.skip(f"connections begin from {first} here, which somebody has set")
    assert all(not first <= ports.free_port() <= last for _ in range(20))
