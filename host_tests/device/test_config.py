import scratch
from redpoll.config import Config

FIELDS = {"interval": (int, 5, 3600), "label": (str, 0, 8), "gain": (float, 0, 1), "on": (bool,)}


class Product:
    """Applies configurations, remembers them, and refuses the label "bad"."""

    def __init__(self):
        self.applied = []

    def apply(self, values):
        self.applied.append(values)
        if values.get("label") == "bad":
            raise ValueError("not this label")


def made():
    product = Product()
    config = Config("config")
    config.declare(product.apply, FIELDS)
    return product, config


def test_a_higher_version_is_applied_stored_and_confirmed():
    product, config = made()
    assert config.offer(3, {"interval": 10, "label": "x"}) == ({"interval": 10, "label": "x"}, None)
    assert product.applied == [{"interval": 10, "label": "x"}]
    assert made()[1].version == 3


def test_the_same_and_an_older_version_are_not_applied():
    product, config = made()
    config.offer(3, {"interval": 10})
    assert config.offer(3, {"interval": 20}) is None
    assert config.offer(2, {"interval": 20}) is None
    assert len(product.applied) == 1


def test_what_was_in_force_is_applied_after_a_restart():
    made()[1].offer(3, {"interval": 10, "unknown": [1]})
    product, config = made()
    config.start()
    assert product.applied == [{"interval": 10}]


def test_each_value_out_of_bounds_is_refused_with_its_name_and_nothing_is_applied():
    product, config = made()
    bad = (
        ("interval", 4), ("interval", 3601), ("interval", "10"), ("interval", 10.5), ("interval", True), ("interval", None),
        ("label", "x" * 9), ("label", 5), ("gain", 1.1), ("gain", float("nan")), ("gain", "1"), ("on", 1), ("on", "yes"),
    )  # fmt: skip
    for version, (key, value) in enumerate(bad):
        values, reason = config.offer(version + 1, {key: value})
        assert values == {} and key in reason, (key, value, reason)
    assert product.applied == []


def test_several_reasons_are_told_together():
    reason = made()[1].offer(1, {"interval": 1, "label": 5})[1]
    assert "interval" in reason and "label" in reason


def test_an_apply_that_raises_brings_the_old_values_back():
    product, config = made()
    config.offer(1, {"label": "good"})
    values, reason = config.offer(2, {"label": "bad"})
    assert values == {"label": "good"} and reason == "not this label"
    assert product.applied == [{"label": "good"}, {"label": "bad"}, {"label": "good"}]
    assert config.version == 2
    assert made()[1].values == {"label": "good"}


def test_the_same_values_under_a_new_version_are_confirmed_but_not_applied_again():
    product, config = made()
    config.offer(1, {"label": "good"})
    assert config.offer(2, {"label": "good"}) == ({"label": "good"}, None)
    assert len(product.applied) == 1
    assert config.version == 2


def test_a_whole_number_is_a_number():
    assert made()[1].offer(1, {"gain": 1})[1] is None


def test_undeclared_keys_are_given_back_as_they_came():
    product, config = made()
    assert config.offer(1, {"label": "x", "other": {"a": 1}}) == ({"label": "x", "other": {"a": 1}}, None)
    assert product.applied == [{"label": "x"}]


def test_a_declaration_that_cannot_be_checked_is_refused():
    config = Config("config")
    for field in ((list, 0, 1), (int,), (bool, 0, 1), (str, 5)):
        assert "x: (int" in scratch.text_of(ValueError, config.declare, print, {"x": field})
