import os

import scratch
from redpoll.flash.record import Record


def test_a_value_comes_back_after_it_was_saved():
    folder = scratch.folder()
    Record(folder + "r").save({"a": [1, 2, "ü"], "b": None})
    assert Record(folder + "r").load() == {"a": [1, 2, "ü"], "b": None}
    scratch.remove(folder)


def test_without_a_file_the_default_is_loaded():
    folder = scratch.folder()
    assert Record(folder + "r").load(7) == 7
    scratch.remove(folder)


def test_every_damaged_byte_and_every_cut_is_noticed():
    folder = scratch.folder()
    record = Record(folder + "r")
    record.save([1, 2, 3])
    good = scratch.read(folder + "r")
    for at in range(len(good)):
        scratch.write(folder + "r", good[:at])
        assert record.load("default") == "default"
        scratch.write(folder + "r", good[:at] + bytes([good[at] ^ 0x41]) + good[at + 1 :])
        assert record.load("default") == "default"
    scratch.write(folder + "r", good)
    assert record.load("default") == [1, 2, 3]
    scratch.remove(folder)


def test_a_cut_before_the_new_value_is_in_place_leaves_the_old_one():
    folder = scratch.folder()
    record = Record(folder + "r")
    record.save("old")
    scratch.write(folder + "r.new", b"RPR1 half a val")
    assert record.load() == "old"
    record.save("new")
    assert record.load() == "new"
    assert os.listdir(folder) == ["r"]
    scratch.remove(folder)


def test_a_deleted_value_is_gone_and_deleting_twice_is_harmless():
    folder = scratch.folder()
    record = Record(folder + "r")
    record.save(1)
    record.delete()
    record.delete()
    assert record.load() is None
    scratch.remove(folder)
