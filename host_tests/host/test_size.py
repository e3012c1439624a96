"""What the firmware takes of a board stays within boards/budgets.toml."""

import ast
import io

import pytest
from rich.console import Console

from tools.board.process import Board
from tools.board.profile import Profile
from tools.budgets import budgets
from tools.paths import BOARDS
from tools.size.machines import Machine
from tools.size.report import Report
from tools.size.sets import bytecode_sizes, closure, feature_sets, module_files

CHIPS = [name for name in Profile.names() if Profile.load(name).is_chip]
# until it is on the Wi-Fi, knows the time and was refused by its cloud
LOADED = """
import sys, time
from redpoll import Agent
agent = Agent()
while not agent.clock.known() or "redpoll.cloud.registration" not in sys.modules:
    time.sleep_ms(min(50, agent.poll()))
print("loaded", [name for name in sys.modules if name.startswith("redpoll")])
"""


@pytest.fixture(scope="module")
def sizes():
    return bytecode_sizes(feature_sets()[-1].modules)


def test_the_bytecode_of_each_feature_set_is_within_its_budget(sizes, figure):
    budget = budgets()
    for features in feature_sets():
        total = sum(sizes[name] for name in features.modules)
        most = budget["mpy"].get(features.name)
        figure(f"{features.title}: {total:,} bytes of .mpy, budget {most}, target {budget['target'].get('mpy_' + features.name)}")
        assert most is None or total <= most, f"{features.title}: make it smaller, or leave something to a module that is imported later"


def test_each_set_has_all_that_the_one_before_has(sizes):
    sets = feature_sets()
    for smaller, larger in zip(sets, sets[1:], strict=False):
        assert set(smaller.modules) <= set(larger.modules)
    assert set(sets[-1].modules) == set(sizes)


def test_a_set_has_what_its_modules_import_and_not_what_they_import_later():
    names = closure(["redpoll.link"])
    assert {"redpoll", "redpoll.log", "redpoll.backoff", "redpoll.port"} <= set(names)
    assert "redpoll.cloud.xyte_mqtt" not in names
    assert names.index("redpoll.backoff") < names.index("redpoll.link")


def test_every_module_of_the_firmware_is_in_everything_but_the_ports_of_others():
    missing = set(module_files()) - set(feature_sets()[-1].modules)
    assert all(name.startswith("redpoll.port.") for name in missing)


@pytest.mark.parametrize("board", CHIPS)
def test_a_board_loads_for_a_set_what_is_counted_for_it(board, tmp_path):
    profile = Profile.load(board)
    main = tmp_path / "main.py"
    main.write_text(LOADED)
    settings = {"entry": "http://127.0.0.1:9/xyte", "sn": "1", "wifi_ssid": "hall"}
    with Board(tmp_path / "board", main=main, board=board, heap="1M", settings=settings) as virtual:
        loaded = set(ast.literal_eval(virtual.wait_for(r"^loaded (.*)$", 30)[1]))
    telemetry = feature_sets(profile.port)[0].modules
    assert {"redpoll.net.wifi", "redpoll.net.ntp", f"redpoll.port.{profile.port}_wlan"} <= loaded
    assert loaded <= set(telemetry), loaded - set(telemetry)


def test_what_a_set_takes_is_told_of_each_board():
    console = Console(record=True, width=160, file=io.StringIO())
    report = Report(console)
    report.boards()
    sets = feature_sets()
    report.left(Machine("heap32", "32-bit VM", ()), sets, {features.name: (100, 111) for features in sets})
    told = console.export_text()
    assert all(told.count(f" {board} ") == 2 for board in CHIPS)
    assert "does not run" in told and f"{400 - 111} " in told
    assert f"{sum(bytecode_sizes(feature_sets('rp2')[0].modules).values()):,}" in told


def test_the_boards_page_tells_the_heaps_that_are_held():
    told = " ".join((BOARDS / "README.md").read_text().split())
    files, frozen = budgets()["heap32"], budgets()["frozen32"]
    assert f"runs in {frozen['control']} KB of heap instead of {files['control']}," in told
    assert f"takes an update in {frozen['update']} KB instead of {files['update']} (at most, on the 32-bit VM;" in told


def test_no_budget_is_below_its_target():
    found = budgets()
    for name, target in found["target"].items():
        kind, _, features = name.partition("_")
        assert found[kind].get(features, target) >= target, f"{name} is reached: the target may go down too"
