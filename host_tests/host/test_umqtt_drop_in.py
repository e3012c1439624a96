"""Applications written for umqtt.simple do the same on net.mqtt: they are run on both, unchanged, and what they print is compared."""

import re
import subprocess
from pathlib import Path

import pytest
from brokers import needs_mosquitto
from interpreters import INTERPRETERS, command, run

from tools.paths import ROOT

APPLICATIONS = Path(__file__).with_name("umqtt_applications.py")
NAMES = (
    "whole",
    "not_waiting",
    "with_a_timeout",
    "without_close",
    "password_alone",
    "attributes",
    "publisher",
    "subscriber",
    "poller",
    "reconnecting",
    "from_within",
    "errors",
    "wrapped",
    "memory",
    "memory_inbound",
    "ended",
    "bare",
)
# what umqtt.simple 1.8.0 (micropython-lib) prints; 1.3.4, which is what PyPI has, cannot run it
NEWER = "0\n0x30 [(b'app/newer', b'1')]\n0 [(b'app/newer', b'1')]\nb'\\xa2\\x80\\x01' 131\n"

pytestmark = needs_mosquitto  # umqtt.simple's keep alive is 0, which rumqttd refuses


def printed(interpreter: str, client: str, port: int, name: str) -> str:
    said = run(interpreter, str(APPLICATIONS), client, str(port), name)
    return re.sub(r"app/\w+/\w+/", "app/", said)


@pytest.mark.parametrize("interpreter", INTERPRETERS)
@pytest.mark.parametrize("name", NAMES)
def test_an_application_of_umqtt_simple_runs_unchanged(mosquitto: dict[int, int], name: str, interpreter: str) -> None:
    expected = printed(interpreter, "umqtt", mosquitto[4], name)
    assert expected
    assert printed(interpreter, "redpoll", mosquitto[4], name) == expected


def test_select_tells_also_of_what_has_come_behind_an_answer(mosquitto: dict[int, int]) -> None:
    # only on MicroPython does select ask the object, on CPython it asks the kernel
    expected = printed("micropython", "umqtt", mosquitto[4], "poller_retained")
    assert "queued" in expected and "retained" in expected
    assert printed("micropython", "redpoll", mosquitto[4], "poller_retained") == expected


@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_an_application_of_umqtt_simple_1_8_runs_unchanged(mosquitto: dict[int, int], interpreter: str) -> None:
    assert printed(interpreter, "redpoll", mosquitto[4], "newer") == NEWER


@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_the_program_in_the_document_runs(mosquitto: dict[int, int], interpreter: str, tmp_path: Path) -> None:
    program = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "mqtt.md").read_text(), re.S)[-1]
    for there, here in (
        ('"broker.example"', f'"127.0.0.1", {mosquitto[5]}'),
        ("while True:", "while client.in_flight:"),
        ("shed-1", f"shed-{interpreter.replace(' ', '-')}"),
    ):
        assert there in program
        program = program.replace(there, here)
    path = tmp_path / "program.py"
    path.write_text(program)
    assert run(interpreter, str(path)) == "message 2 was taken\n"


def test_topics_that_are_text_and_bytes_by_turns_are_published_without_a_warning() -> None:
    # of a comparison between the two, which an ESP32 prints
    topics = "('a', b'b', 'a', bytearray(b'a'), b'b')"
    line, env = command("micropython", "-c", f"from mqtt_session import session; c = session()[0]; [c.publish(t, b'm') for t in {topics}]")
    ran = subprocess.run(line, env=env, capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout + ran.stderr == ""
