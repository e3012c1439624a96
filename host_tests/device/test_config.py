import json

import scratch
from redpoll.config import Config
from redpoll.flash.record import Record
from support import raises

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
    for field in ((list, 0, 1), (int,), (bool, 0, 1), (str, 5), (), [int, 0, 1], int, (int, "0", "1"), (int, False, True), (int, 2, 1)):
        assert "x=(int" in scratch.text_of(ValueError, config.declare, print, {"x": field})


def test_a_refusal_is_to_be_told_until_the_cloud_has_taken_it():
    product, config = made()
    config.offer(1, {"label": "good"})
    config.offer(2, {"label": "bad"})
    assert config.untold and made()[1].untold
    assert config.taken(3, {"label": "good"}) is False
    assert config.version == 3 and not made()[1].untold


def test_a_change_made_before_the_last_one_was_taken_is_not_lost():
    product, config = made()
    config.offer(1, {"interval": 10})
    config.change({"interval": 20})
    config.told()
    config.change({"interval": 30})
    config.told()
    # an answer to what was told first, as over HTTP
    assert config.taken(2, {"interval": 20}) is True
    assert config.untold and config.version == 2 and config.values == {"interval": 30}
    assert config.taken(3, {"interval": 30}) is False and not config.untold


def test_the_clouds_copy_of_an_earlier_change_does_not_undo_the_last_one():
    product, config = made()
    for interval in (20, 30):
        config.change({"interval": interval})
        config.told()
    assert config.offer(1, {"interval": 20}) == ({"interval": 30}, None)
    assert config.untold and config.version == 1 and product.applied == []
    # but what the cloud's people set stands
    assert config.offer(2, {"interval": 40}) == ({"interval": 40}, None)


def test_nor_does_it_after_a_restart():
    product, config = made()
    for interval in (20, 30):
        config.change({"interval": interval})
        config.told()
    product, config = made()
    assert config.offer(1, {"interval": 20}) == ({"interval": 30}, None)
    assert config.untold and config.version == 1 and product.applied == []


def test_changes_too_large_to_be_remembered_over_a_restart_are_kept_all_the_same():
    product, config = made()
    for letter in "abcde":
        # four of them are more than a record takes
        config.change({"text": letter * 7000})
        config.told()
    assert made()[1].values == {"text": "e" * 7000}


def test_a_change_that_is_told_in_each_session_takes_the_place_of_no_other():
    product, config = made()
    for interval, sessions in ((20, 1), (30, 5), (40, 1)):
        config.change({"interval": interval})
        for _ in range(sessions):
            config.told()
    config.change({"interval": 50})
    assert config.offer(1, {"interval": 40}) == ({"interval": 50}, None)


def test_what_was_in_force_before_a_change_may_be_set_by_the_cloud_again():
    product, config = made()
    config.offer(1, {"interval": 20})
    # as at the beginning of each session
    config.told()
    config.change({"interval": 30})
    config.told()
    assert config.offer(2, {"interval": 20}) == ({"interval": 20}, None)
    assert product.applied[-1] == {"interval": 20}


def test_a_cloud_may_take_a_change_without_a_new_version():
    product, config = made()
    for interval in (20, 30):
        config.change({"interval": interval})
        config.told()
    assert config.taken(0, {"interval": 30}) is False
    assert not config.untold and not made()[1].untold
    # what its people set is no earlier change any more
    assert config.offer(1, {"interval": 20}) == ({"interval": 20}, None)
    assert product.applied == [{"interval": 20}]


def test_an_apply_that_raises_without_a_word_refuses_too():
    config = Config("config")

    def apply(values):
        raise ValueError

    config.declare(apply, FIELDS)
    assert config.offer(1, {"interval": 10}) == ({}, "ValueError")


def test_what_apply_changes_itself_is_a_change_of_the_new_version():
    config = Config("config")
    refuse = []

    def apply(values):
        if values["interval"] % 10:
            config.change({"interval": values["interval"] // 10 * 10})
        if refuse:
            raise ValueError(refuse.pop())

    config.declare(apply, FIELDS)
    assert config.offer(1, {"interval": 37, "label": "x"}) == ({"interval": 30, "label": "x"}, None)
    assert config.untold and config.version == 1
    assert made()[1].values == {"interval": 30, "label": "x"}
    refuse.append("no")
    assert config.offer(2, {"interval": 55}) == ({"interval": 30, "label": "x"}, "no")
    assert config.offer(3, {"interval": 40}) == ({"interval": 40}, None) and not config.untold


def test_a_change_during_a_trial_outlives_it_whichever_way_it_ends():
    for passed in (True, False):
        config = Config("config-%d" % passed)
        config.declare(Product().apply, FIELDS)
        config.offer(1, {"interval": 10, "settings": {}})
        config.offer(2, {"interval": 10, "settings": {"keepalive": 9}}, None, True)
        config.change({"interval": 20})
        if passed:
            config.keep()
        else:
            config.roll_back()
        assert config.values == {"interval": 20, "settings": {"keepalive": 9} if passed else {}}
        assert config.untold


def test_a_change_to_what_is_only_on_trial_outlives_it():
    for restarted in (False, True):
        config = Config("config-%d" % restarted)
        config.declare(Product().apply, FIELDS)
        config.offer(1, {"interval": 10})
        config.offer(2, {"interval": 20, "settings": {"keepalive": 9}}, None, True)
        config.change({"interval": 20})
        if restarted:
            config = Config("config-1")
        else:
            config.roll_back()
        assert config.values == {"interval": 20} and config.untold


def test_a_change_that_is_no_json_is_refused_and_one_that_looks_different_there_is_kept_as_it_comes_back():
    product, config = made()
    config.offer(1, {"interval": 10})
    # CPython's JSON has words for what is no number
    for odd in (made,) if json.dumps(float("nan")) == "NaN" else (made, float("nan"), float("inf")):
        with raises(ValueError, TypeError):
            config.change({"other": odd})
    points = [1, 2]
    config.change({"points": points, "pair": (1, 2)})
    points.append(3)
    config.change({"points": points})
    assert config.values == made()[1].values == {"interval": 10, "points": [1, 2, 3], "pair": [1, 2]}


def test_the_link_settings_are_not_for_the_product_to_change():
    product, config = made()
    assert "settings" in scratch.text_of(ValueError, config.change, {"settings": {"entry": "x"}})


def test_a_change_that_changes_nothing_writes_nothing():
    product, config = made()
    config.offer(1, {"interval": 10})
    config._record.save = None
    config.change({"interval": 10})
    assert not config.untold


def test_true_does_not_pass_for_one():
    product, config = made()
    config.offer(1, {"on": True})
    config.offer(2, {"on": 1})
    assert config.values["on"] is True and made()[1].values["on"] is True


def test_what_another_firmware_declared_otherwise_is_left_out_at_the_start():
    product, config = made()
    config.offer(1, {"interval": 3000, "label": "x"})
    config = Config("config")
    config.declare(product.apply, {"interval": (int, 5, 60), "label": (str, 0, 8)})
    config.start()
    assert product.applied[-1] == {"label": "x"}


def test_a_full_flash_does_not_stop_a_trial_from_being_rolled_back():
    product, config = made()
    config.offer(1, {"interval": 10})
    config._record.save = scratch.full
    config.offer(2, {"interval": 20}, None, True)
    assert config.on_trial()
    config.roll_back()
    assert product.applied[-1] == {"interval": 10} == config.values
    assert made()[1].version == 1


def test_more_than_the_device_keeps_is_refused_before_it_is_applied():
    # counted in bytes
    for text in ("y" * 2000, "\u6f22" * 700):
        product, config = made()
        values = {"x%d" % number: text for number in range(13)}
        assert "bytes" in config.offer(1, values)[1]
        assert product.applied == [] and config.values == {}
        assert "bytes" in scratch.text_of(ValueError, config.change, values)
        config._record.delete()


def test_versions_of_another_registration_begin_again_and_the_values_stay():
    product, config = made()
    config.belong("a")
    config.offer(5, {"interval": 60})
    config.belong("a")
    assert config.version == 5 and not config.untold
    config.belong("b")
    assert (config.version, config.values, config.untold) == (0, {"interval": 60}, True)
    assert config.offer(1, {"interval": 30}) == ({"interval": 30}, None)
    _, again = made()
    again.belong("b")
    assert again.version == 1


def test_a_second_function_or_a_field_named_settings_is_refused():
    product, config = made()
    assert "only one" in scratch.text_of(ValueError, config.declare, product.apply, {"x": (int, 1, 2)})
    assert "otherwise" in scratch.text_of(ValueError, Config("other").declare, product.apply, {"settings": (int, 1, 2)})


def test_back_at_an_earlier_registration_its_version_counts_again():
    product, config = made()
    for device, version in (("a", 7), ("b", 2), ("c", 4)):
        config.belong(device)
        config.offer(version, {"interval": 60 + version})
    for device, version in (("a", 7), ("c", 4), ("b", 2)):
        config.belong(device)
        assert config.version == version and config.untold
    config.belong("never seen")
    assert config.version == 0


def test_what_the_flash_did_not_take_is_saved_later():
    product, config = made()
    save = config._record.save
    config._record.save = scratch.full
    config.offer(1, {"interval": 60})
    config._record.save = save
    config.save_again()
    assert made()[1].version == 1


def test_an_earlier_registration_is_remembered_over_a_restart_and_as_the_first():
    made()[1].belong("a")
    again = made()[1]
    again.offer(7, {"interval": 60})
    again.belong("b")
    again = made()[1]
    assert again.version == 0
    again.belong("a")
    assert again.version == 7


def test_a_configuration_from_before_registrations_counted_keeps_its_version():
    Record("config").save({"version": 5, "values": {"interval": 60}})
    product, config = made()
    config.belong("a")
    assert config.version == 5 and not config.untold
    config.belong("b")
    config.belong("a")
    assert config.version == 5


def test_of_many_registrations_the_last_few_are_remembered():
    product, config = made()
    for number in range(12):
        config.belong("device %d" % number)
        config.offer(number + 1, {"interval": 60 + number})
    # each is remembered once, with its last version
    for device in ("device 10", "device 11", "device 10", "device 11"):
        config.belong(device)
    assert config.version == 12
    config.belong("device 9")
    assert config.version == 10
    assert len(Record("config").load()["elsewhere"]) <= 4
    config.belong("device 2")
    assert config.version == 0


def test_what_the_cloud_took_under_an_older_version_changes_nothing():
    product, config = made()
    config.offer(5, {"interval": 50})
    # an answer that was overtaken
    assert config.taken(4, {"interval": 40}) is False
    assert (config.version, config.values, config.untold) == (5, {"interval": 50}, False)
    assert made()[1].version == 5


def test_what_the_cloud_took_is_written_once():
    product, config = made()
    config.change({"interval": 20})
    assert config.taken(1, {"interval": 20}) is False
    config._record.save = None
    assert config.taken(1, {"interval": 20}) is False


def test_what_was_told_long_ago_may_be_set_by_the_cloud_again():
    product, config = made()
    config.change({"interval": 20})
    config.told()
    config.offer(1, {"interval": 30})
    config.change({"interval": 40})
    assert config.offer(2, {"interval": 20}) == ({"interval": 20}, None)
    assert product.applied[-1] == {"interval": 20}
    # nor is it taken for a change that the cloud had taken already
    for interval in (30, 40):
        config.change({"interval": interval})
        config.told()
    assert config.taken(3, {"interval": 30}) is True
    assert config.offer(4, {"interval": 30}) == ({"interval": 30}, None)


def test_a_product_that_changes_its_values_all_the_time_does_not_fill_memory_with_them():
    product, config = made()
    for interval in range(10, 40):
        config.change({"interval": interval})
        config.told()
    config.change({"interval": 5})
    assert len(Record("config").load()["told"]) <= 4


def test_what_another_firmware_stored_for_a_text_without_an_end_does_not_stop_the_start():
    Record("config").save({"version": 1, "values": {"label": 5, "interval": 60}})
    config = Config("config")
    config.declare(lambda values: None, {"label": (str, 0, float("inf"))})
    config.start()
    assert config.offer(2, {"label": 6})[1] == "label must be a text of 0 to inf characters"


def test_a_function_of_which_nothing_runs_is_refused():
    def later(values):
        yield values

    config = Config("config")
    config.declare(later, {"interval": (int, 5, 3600)})
    assert "it has not run" in config.offer(1, {"interval": 60})[1] and config.values == {}
