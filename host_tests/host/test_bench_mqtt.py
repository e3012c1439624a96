"""redpoll bench mqtt: what becomes of what its runs bring, and of runs that fail."""

import io
import json
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from tools.bench import results
from tools.bench.mqtt import CLIENTS, Bench, certificates, terminated

Kept = Callable[[str], dict[str, Any]]


def nowhere(name: str) -> tuple[int, str]:
    return 1, ""


def text_of(table: Table) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(table)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(results, "RESULTS", tmp_path / "bench.json")
    return Bench("", tmp_path)


@pytest.fixture
def kept(bench: Bench) -> Kept:
    """Of Redpoll with its window, what a figure is in bench.json."""

    def found(figure: str) -> dict[str, Any]:
        bench.results.save()
        all_of_it = json.loads(results.RESULTS.read_text())
        return next(one for one in all_of_it if (one["name"], one["figure"]) == (CLIENTS["redpoll"].title, figure))

    return found


def test_a_rate_says_how_many_of_its_runs_came_back(bench: Bench, kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = 0

    def measure(name: str, *_: object) -> tuple[dict[str, float], float]:
        nonlocal runs
        runs += name == "redpoll"
        # each has two tries, and a repeat is lost when both fail
        if name == "umqtt" or (name == "redpoll" and runs != 3):
            raise CalledProcessError(1, name)
        return {"rate": 2000}, 0.1

    monkeypatch.setattr(bench, "_measure", measure)
    bench.rates("Mosquitto", nowhere, 1, 3)
    for figure in ("rate, Mosquitto, QoS 1", "CPU of a message, Mosquitto, QoS 1"):
        assert (kept(figure)["repeats"], kept(figure)["failed"]) == (1, 2)
    lines = text_of(bench.table_of_rates(1, ("Mosquitto",))).splitlines()
    assert [CLIENTS["redpoll"].title in line for line in lines if "1 of 3 runs" in line] == [True]
    assert any(CLIENTS["umqtt"].title in line and "fails" in line for line in lines)


def test_the_memory_of_a_client_is_kept_with_its_spread(bench: Bench, kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    allocated = iter([16, 0, 32, 0, 8] * len(CLIENTS))

    def measure(*_: object) -> tuple[dict[str, float], float]:
        return {"allocated": next(allocated), "imported": 1000, "connected": 1500, "after_100": 2000, "after": 2000}, 0.1

    monkeypatch.setattr(bench, "_measure", measure)
    monkeypatch.setattr(bench, "_wire", lambda name, port, n: 200 * n)
    bench.memory(nowhere)
    figure = kept("allocated by a publish")
    assert (figure["median"], figure["min"], figure["max"], figure["repeats"]) == (8, 0, 32, 5)
    for when, heap in (("import", 1000), ("connect", 1500), ("100 messages", 2000), ("10,000 messages", 2000)):
        assert kept(f"heap after {when}")["median"] == heap
    assert kept("on the wire, a message")["median"] == 200
    assert "8 (0-32)" in text_of(bench.table_of_memory())


def test_the_embedded_broker_is_measured_with_tls_too(tmp_path: Path) -> None:
    ca, _ = certificates(tmp_path)
    context = ssl.create_default_context(cadata=ca.read_bytes())
    with socket.create_server(("127.0.0.1", 0)) as server, terminated(tmp_path, server.getsockname()[1]) as ports:
        (port,) = ports.values()
        sock = socket.create_connection(("127.0.0.1", port), 10)
        with context.wrap_socket(sock, server_hostname="localhost") as near, server.accept()[0] as far:
            near.sendall(b"question")
            assert far.recv(100) == b"question"
            far.sendall(b"answer")
            assert near.recv(100) == b"answer"
