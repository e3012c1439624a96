"""What the measurements on the VM stand on: the relay that counts, the program that is watched, and what they have it do."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import wait_for

from tools.bench import growth, peers, results
from tools.bench.program import Program, ProgramError
from tools.bench.relay import relay
from tools.bench.results import Results
from tools.hub.process import HubProcess
from tools.vm import find_vm


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    with HubProcess(tmp_path_factory.mktemp("hub")) as running:
        yield running


@pytest.fixture
def figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Results:
    """Figures that are saved for this test only."""
    monkeypatch.setattr(results, "RESULTS", tmp_path / "bench.json")
    return Results("growth")


def program(code: str, folder: Path, path: str = ".frozen", heap: str = "512K") -> Program:
    return Program([str(find_vm())], code, folder, path, heap)


def test_a_relay_counts_what_passes_both_ways_over_several_connections() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, relay(server.getsockname()[1]) as (port, count):
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", port)) as near, server.accept()[0] as far:
                near.sendall(b"question")
                assert far.recv(100) == b"question"
                far.sendall(b"answer")
                assert near.recv(100) == b"answer"
        assert count() == 2 * len(b"questionanswer")


def test_a_program_tells_by_key_and_what_else_it_prints_is_passed_over(tmp_path: Path) -> None:
    code = "print('[0.1] a log line'); print('{\"other\": 1}'); print('{\"n\": 7}'); import sys; sys.stdin.read()"
    with program(code, tmp_path) as running:
        when, said = running.told("n")
        assert said == {"n": 7} and when > running.started


def test_modules_have_short_paths_as_on_a_board(tmp_path: Path) -> None:
    """A path is in the heap, and one of this machine's would count as memory of the client with the most modules."""
    code = "import json; from redpoll import log; print(json.dumps({'file': log.__file__}))"
    for _ in range(2):  # a program may run in the same folder again
        with program(code, tmp_path, peers.linked(peers.ours(), tmp_path)) as started:
            assert started.told("file")[1] == {"file": "redpoll/log.mpy"}


def test_a_program_that_ends_or_stays_silent_is_an_error_with_what_it_printed(tmp_path: Path) -> None:
    with program("print('here'); 1/0", tmp_path) as running, pytest.raises(ProgramError, match=r"ended with status 1(.|\n)*ZeroDivision"):
        running.told("n")
    with program("import sys; sys.stdin.read()", tmp_path) as running, pytest.raises(ProgramError, match="nothing about n within 0.2 s"):
        running.told("n", 0.2)


def test_a_program_that_is_in_trouble_twice_is_not_waited_for(tmp_path: Path) -> None:
    code = "print('out of memory'); print('out of memory'); import sys; sys.stdin.read()"
    with program(code, tmp_path) as running, pytest.raises(ProgramError, match="in trouble"):
        running.told("n", trouble=b"memory")


def test_the_agent_of_a_measurement_registers_sends_and_tells_its_heap(hub: HubProcess, tmp_path: Path) -> None:
    settings = {"entry": hub.entry_url, "sn": "bench-1", "watchdog": False}
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    case = {"every": 30, "messages": 3}
    with program(f"import agent_bench; agent_bench.redpoll({case!r})", tmp_path, peers.ours()) as running:
        _, said = running.told("rest")
    assert 0 < said["rest"] <= said["peak"] and said["body"] > 100
    device = next(device for device in hub.operator.devices() if device["sn"] == "bench-1")
    # the broker has acknowledged them, which the hub may still be storing
    wait_for(lambda: len(hub.operator.history(device["id"])) >= 3, "three messages")


def test_the_growth_of_a_configuration_is_told_until_it_exceeds_a_packet(hub: HubProcess, tmp_path: Path, figures: Results) -> None:
    bench = growth.Bench(tmp_path, hub, figures)
    bench.config((10, 1000), 1)
    figures.save()
    small, large = (figure for figure in results.read() if figure.figure == "turn of the loop that takes it")
    assert small.name == "configuration keys: 10" and small.median is not None and small.median > 0
    assert large.median is None and large.note.startswith("not delivered")


def test_all_messages_of_a_soak_are_stored(hub: HubProcess, tmp_path: Path, figures: Results) -> None:
    bench = growth.Bench(tmp_path, hub, figures)
    bench.soak(40)
    figures.save()
    heaps = [figure for figure in results.read() if figure.figure == "live heap"]
    assert [figure.name for figure in heaps][-1] == "messages sent: 40" and len(heaps) == 20
    assert bench.lost == 0


def test_a_spool_that_is_bounded_tells_how_many_it_kept(tmp_path: Path) -> None:
    with program("import growth_bench; growth_bench.spool(100, 8192)", tmp_path, peers.ours(), "4M") as running:
        _, said = running.told("start")
    assert said["kept"] + said["dropped"] == 100 and 0 < said["kept"] < 100 and said["rate"] > 0
