"""The `redpoll` command itself."""

from importlib import metadata

import pytest

from tools.cli import main

Shown = pytest.CaptureFixture[str]


def test_version_is_that_of_the_installed_package(capsys: Shown) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"redpoll {metadata.version('redpoll')}\n"


def test_without_an_installed_package_only_the_version_is_missing(monkeypatch: pytest.MonkeyPatch, capsys: Shown) -> None:
    def version(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", version)
    with pytest.raises(SystemExit) as ended:
        main(["boards", "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("usage: redpoll boards")
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 1
    assert "not installed" in capsys.readouterr().err


def test_ctrl_c_while_a_subcommand_is_loaded_is_an_end_as_any(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("importlib.import_module", interrupted)
    assert main(["boards"]) == 130
