"""`mpremote mip install` of this repository: package.json names what a board needs, package-mqtt.json the MQTT client alone."""

import ast
import json
import shutil
import subprocess
from importlib.util import resolve_name
from pathlib import Path

import pytest
from brokers import needs_mosquitto
from interpreters import run

from tools.paths import FIRMWARE, LIB, ROOT
from tools.vm32 import find_vm32

PACKAGES = {name: json.loads((ROOT / f"{name}.json").read_text()) for name in ("package", "package-mqtt")}
NOT_FOR_BOARDS = {"redpoll/port/cpython.py"}
PROGRAM = """
from redpoll.net.mqtt import MQTTClient

client = MQTTClient("alone", "127.0.0.1", %d, keepalive=60, protocol=5)
client.set_callback(lambda topic, message: print(topic, message))
client.connect()
client.subscribe("alone/orders", 2)
client.publish("alone/orders", "hello", qos=2)
while client.wait_msg() is None:
    pass
client.disconnect()
"""
# it loads the agent for those who ask for it
TOP = "redpoll/__init__.py"
# what port loads by the chip's name; the Wi-Fi that they have too is nobody's who has the client alone
CHIPS = {f"redpoll/port/{name}.py" for name in ("chip", "esp32", "rp2")}


def imported_by(path: str) -> set[str]:
    """The files of the firmware that a module loads, at once or when it needs them."""
    package = path.rpartition("/")[0].replace("/", ".")
    found = set()
    for node in ast.walk(ast.parse((FIRMWARE / path).read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            module = resolve_name("." * node.level + (node.module or ""), package)
            found |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    files = {name.replace(".", "/") + end for name in found for end in (".py", "/__init__.py")}
    return {file for file in files if (FIRMWARE / file).is_file()} - NOT_FOR_BOARDS


def test_every_firmware_module_is_in_the_package() -> None:
    modules = {path.relative_to(FIRMWARE).as_posix() for path in (FIRMWARE / "redpoll").rglob("*.py")} - NOT_FOR_BOARDS
    assert sorted(name for name, _ in PACKAGES["package"]["urls"]) == sorted(modules)


def test_the_client_alone_has_every_module_that_it_may_load() -> None:
    reached: set[str] = set()
    waiting = {"redpoll/net/__init__.py", "redpoll/net/mqtt.py", "redpoll/net/mqtt5.py", *CHIPS}
    while waiting:
        file = waiting.pop()
        reached.add(file)
        if file not in CHIPS and file != TOP:
            waiting |= imported_by(file) - reached
    assert sorted(name for name, _ in PACKAGES["package-mqtt"]["urls"]) == sorted(reached)


def install(folder: Path) -> None:
    for name, source in PACKAGES["package-mqtt"]["urls"]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / source, folder / name)


def test_80_kb_of_heap_are_enough_to_compile_the_client(tmp_path: Path) -> None:
    vm = find_vm32()
    if vm is None:
        pytest.skip("no 32-bit MicroPython: `make vm32` fetches it")
    install(tmp_path)
    code = "import redpoll.net.mqtt, redpoll.net.mqtt5"
    subprocess.run([*vm, "-X", "heapsize=80K", "-c", code], env={"MICROPYPATH": f"{tmp_path}:{LIB}:.frozen"}, check=True)


@needs_mosquitto
def test_the_client_alone_runs_from_what_is_installed(mosquitto: dict[int, int], tmp_path: Path) -> None:
    lib = tmp_path / "lib"
    install(lib)
    program = tmp_path / "program.py"
    program.write_text(PROGRAM % mosquitto[5])
    assert run("micropython", str(program), firmware=lib) == "b'alone/orders' b'hello'\n"


@pytest.mark.parametrize("package", PACKAGES)
def test_each_entry_names_the_file_it_comes_from(package: str) -> None:
    for name, source in PACKAGES[package]["urls"]:
        assert source == f"firmware/{name}"
        assert (ROOT / source).is_file()


@pytest.mark.parametrize("package", PACKAGES)
def test_the_mqtt_client_underneath_comes_along(package: str) -> None:
    assert ["umqtt.simple", "latest"] in PACKAGES[package]["deps"]


@pytest.mark.parametrize("package", PACKAGES)
def test_the_package_has_the_version_of_the_firmware(package: str) -> None:
    scope: dict[str, object] = {}
    exec((FIRMWARE / "redpoll" / "version.py").read_text(), scope)
    assert PACKAGES[package]["version"] == scope["VERSION"]
