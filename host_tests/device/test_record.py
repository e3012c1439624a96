import os

import scratch
from redpoll.flash.record import Record


def test_a_value_comes_back_after_it_was_saved():
    Record("r").save({"a": [1, 2, "ü"], "b": None})
    assert Record("r").load() == {"a": [1, 2, "ü"], "b": None}


def test_without_a_file_the_default_is_loaded():
    assert Record("r").load(7) == 7


def test_every_damaged_byte_and_every_cut_is_noticed():
    record = Record("r")
    record.save([1, 2, 3])
    good = scratch.read("r")
    for at in range(len(good)):
        scratch.write("r", good[:at])
        assert record.load("default") == "default"
        scratch.write("r", good[:at] + bytes([good[at] ^ 0x41]) + good[at + 1 :])
        assert record.load("default") == "default"
    scratch.write("r", good)
    assert record.load("default") == [1, 2, 3]


def test_a_cut_before_the_new_value_is_in_place_leaves_the_old_one():
    record = Record("r")
    record.save("old")
    scratch.write("r.new", b"RPR1 half a val")
    assert record.load() == "old"
    record.save("new")
    assert record.load() == "new"
    assert os.listdir() == ["r"]


def test_a_deleted_value_is_gone_and_deleting_twice_is_harmless():
    record = Record("r")
    record.save(1)
    record.delete()
    record.delete()
    assert record.load() is None
