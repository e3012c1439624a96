"""build/bench.json: what every measurement adds to it."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from tools.bench import results
from tools.paths import ROOT

FIELDS = {"bench", "name", "figure", "unit", "median", "min", "max", "repeats", "note", "machine", "load_before", "failed"}


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "bench.json"
    monkeypatch.setattr(results, "RESULTS", path)
    return path


def test_every_figure_has_the_same_fields_with_the_spread_of_its_values(file: Path) -> None:
    found = results.Results("mqtt")
    found.add("a client", "rate", "messages/s", 3, 1, 8)
    found.add("another", "rate", "messages/s", note="fails")
    found.save()
    first, second = json.loads(file.read_text())
    assert set(first) == set(second) == FIELDS
    assert (first["median"], first["min"], first["max"], first["repeats"]) == (3, 1, 8, 3)
    assert (second["median"], second["repeats"], second["note"]) == (None, 0, "fails")
    assert first["machine"].endswith("cores")


def test_a_figure_says_of_how_many_runs_it_is_where_some_failed(file: Path) -> None:
    found = results.Results("mqtt")
    found.add("a client", "rate", "messages/s", 3, failed=2)
    found.add("another", "rate", "messages/s", 1, 2, 3, failed=1)
    found.add("a third", "rate", "messages/s", note="fails", failed=3)
    found.save()
    assert [(one["repeats"], one["failed"]) for one in json.loads(file.read_text())] == [(1, 2), (3, 1), (0, 3)]
    assert [results.shown(figure) for figure in results.read()] == ["3 (1 of 3 runs)", "2 (1-3, 3 of 4 runs)", "fails"]


def test_a_measurement_replaces_its_own_figures_and_keeps_the_others() -> None:
    for bench, value in (("mqtt", 1), ("wear", 2), ("mqtt", 3)):
        found = results.Results(bench)
        found.add("it", "rate", "1/s", value)
        found.save()
    assert [(figure.bench, figure.median) for figure in results.read()] == [("mqtt", 3), ("wear", 2)]


def test_figures_of_another_version_are_not_read_and_give_way_to_new_ones(file: Path) -> None:
    file.write_text('{"mqtt": {}}')
    with pytest.raises(ValueError, match="measure again"):
        results.read()
    found = results.Results("wear")
    found.add("it", "years", "years", 10)
    found.save()
    assert [figure.name for figure in results.read()] == ["it"]


def test_before_the_first_measurement_there_are_no_figures() -> None:
    assert results.read() == []


@pytest.fixture(scope="module")
def cbor() -> Any:
    spec = importlib.util.spec_from_file_location("peer_cbor2", ROOT / "tools/vm_side/peers/cbor2.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# RFC 8949, appendix A
@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (0, "00"), (23, "17"), (24, "1818"), (1000, "1903e8"), (1000000, "1a000f4240"), (-1, "20"), (-1000, "3903e7"),
        (1.1, "fb3ff199999999999a"), (False, "f4"), (True, "f5"), (None, "f6"), (b"\1\2\3\4", "4401020304"), ("IETF", "6449455446"),
        ([1, [2, 3], [4, 5]], "8301820203820405"), ({"a": 1, "b": [2, 3]}, "a26161016162820203"),
    ],
)  # fmt: skip
def test_what_a_peer_gets_for_its_cbor_is_cbor(cbor: Any, value: Any, encoded: str) -> None:
    assert cbor.dumps(value).hex() == encoded
    assert cbor.loads(bytes.fromhex(encoded)) == value
