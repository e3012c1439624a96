"""`mpremote mip install` of this repository: package.json names what a board needs."""

import json

from tools.paths import FIRMWARE, ROOT

PACKAGE = json.loads((ROOT / "package.json").read_text())
NOT_FOR_BOARDS = {"redpoll/port/cpython.py"}


def test_every_firmware_module_is_in_the_package() -> None:
    modules = {path.relative_to(FIRMWARE).as_posix() for path in (FIRMWARE / "redpoll").rglob("*.py")} - NOT_FOR_BOARDS
    assert sorted(name for name, _ in PACKAGE["urls"]) == sorted(modules)


def test_each_entry_names_the_file_it_comes_from() -> None:
    for name, source in PACKAGE["urls"]:
        assert source == f"firmware/{name}"
        assert (ROOT / source).is_file()


def test_the_mqtt_client_underneath_comes_along() -> None:
    assert ["umqtt.simple", "latest"] in PACKAGE["deps"]


def test_the_package_has_the_version_of_the_firmware() -> None:
    scope: dict[str, object] = {}
    exec((FIRMWARE / "redpoll" / "version.py").read_text(), scope)
    assert PACKAGE["version"] == scope["VERSION"]
