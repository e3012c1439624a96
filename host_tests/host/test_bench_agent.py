"""What `redpoll bench agent` stands on: the relay that counts, the program that is watched, and an agent that it runs."""

import json
import socket
from pathlib import Path

import pytest

from tools.bench import peers
from tools.bench.program import Program, ProgramError
from tools.bench.relay import relay
from tools.hub.process import HubProcess
from tools.vm import find_vm


def program(code: str, folder: Path, path: str = ".frozen") -> Program:
    return Program([str(find_vm())], code, folder, path)


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


def test_a_program_that_ends_or_stays_silent_is_an_error_with_what_it_printed(tmp_path: Path) -> None:
    with program("print('here'); 1/0", tmp_path) as running, pytest.raises(ProgramError, match=r"ended with status 1(.|\n)*ZeroDivision"):
        running.told("n")
    with program("import sys; sys.stdin.read()", tmp_path) as running, pytest.raises(ProgramError, match="nothing about n within 0.2 s"):
        running.told("n", 0.2)


def test_the_agent_of_a_measurement_registers_sends_and_tells_its_heap(tmp_path: Path) -> None:
    with HubProcess(tmp_path / "hub") as hub:
        settings = {"entry": hub.entry_url, "sn": "bench-1", "watchdog": False}
        (tmp_path / "settings.json").write_text(json.dumps(settings))
        case = {"every": 30, "messages": 3}
        with program(f"import agent_bench; agent_bench.redpoll({case!r})", tmp_path, peers.ours()) as running:
            _, said = running.told("rest")
        assert 0 < said["rest"] <= said["peak"] and said["body"] > 100
        device = hub.operator.devices()[0]
        assert device["sn"] == "bench-1" and len(hub.operator.history(device["id"])) >= 3
