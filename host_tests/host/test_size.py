"""What the firmware takes of a board stays within boards/budgets.toml."""

import pytest

from tools.budgets import budgets
from tools.size.sets import bytecode_sizes, closure, feature_sets, module_files


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


def test_no_budget_is_below_its_target():
    found = budgets()
    for name, target in found["target"].items():
        kind, _, features = name.partition("_")
        assert found[kind].get(features, target) >= target, f"{name} is reached: the target may go down too"
