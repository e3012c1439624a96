import os
import struct
from binascii import crc32

import scratch
from redpoll import log
from redpoll.flash.record import Record
from support import raises


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


def test_a_damaged_record_is_set_aside_and_reported_once():
    record = Record("r")
    record.save("old")
    scratch.write("r", b"RPR2" + scratch.read("r")[4:])
    before = len(log.lines())
    assert record.load("default") == "default"
    assert Record("r").load("default") == "default"
    assert len([line for line in log.lines()[before:] if "damaged" in line]) == 1
    record.save("new")
    assert record.load() == "new"


def test_what_cannot_be_read_is_set_aside_so_that_the_next_save_is_possible():
    os.mkdir("r")
    record = Record("r")
    assert record.load("default") == "default"
    record.save("new")
    assert record.load() == "new"


def test_a_damaged_length_does_not_decide_how_much_is_read():
    scratch.write("r", b"RPR1" + struct.pack("<II", 0xFFFFFFFF, 0) + b"{}")
    assert Record("r").load("default") == "default"


def test_a_checksum_over_something_that_is_not_json_is_not_trusted():
    for payload in (b"", b"{} {}", b"\xff\xfe", b"nul"):
        scratch.write("r", b"RPR1" + struct.pack("<II", len(payload), crc32(payload)) + payload)
        assert Record("r").load("default") == "default"


def test_a_value_too_large_for_a_record_is_refused_and_the_old_one_stays():
    record = Record("r")
    record.save("old")
    assert "too many" in scratch.text_of(ValueError, record.save, "x" * 32767)
    assert record.load() == "old"
    # with its quotes one that is just small enough
    record.save("x" * 32766)
    assert len(record.load()) == 32766


def test_what_can_wait_and_is_too_large_or_fails_is_told_and_not_raised():
    record = Record("r")
    assert record.try_save("old") is True
    before = len(log.lines())
    assert record.try_save("x" * 40000) is False
    os.mkdir("r.new")
    assert record.try_save("new") is False
    assert len([line for line in log.lines()[before:] if "r is not saved" in line]) == 2
    assert record.load() == "old"


def test_what_another_version_saved_is_told_once_and_does_not_stay():
    record = Record("r")
    record.save({"of": "another version"})
    before = len(log.lines())
    assert record.load_sound([], lambda value: isinstance(value, list)) == []
    assert Record("r").load_sound([], lambda value: isinstance(value, list)) == []
    assert len([line for line in log.lines()[before:] if "not of this version" in line]) == 1


def test_deleting_leaves_nothing_of_the_value_behind():
    record = Record("r")
    record.save("secret")
    scratch.write("r.new", b"secret")
    scratch.write("r.bad", b"secret")
    record.delete()
    assert os.listdir() == []


def test_a_save_that_fails_leaves_the_old_value():
    record = Record("r")
    record.save("old")
    os.mkdir("r.new")
    with raises(OSError):
        record.save("new")
    assert record.load() == "old"
