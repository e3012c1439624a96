# The two application slots, as the agent sees them; what boot.py makes of the same record is tried in host_tests/faults/test_boot.py.
import os
import sys

import scratch
from redpoll import update, version
from redpoll.flash.record import Record
from redpoll.update.slots import Slots
from support import raises


def made(running=""):
    """Slots below the working directory, with this one running."""
    root = os.getcwd()
    for folder in (root + "/slot_a", root + "/slot_b"):
        while folder in sys.path:
            sys.path.remove(folder)
    if running:
        sys.path.append(root + "/slot_" + running)
    return Slots(root)


def fill(slots, slot):
    slots.unseal(slot)
    scratch.write(slots.folder(slot) + "/main.py", "pass")
    slots.seal(slot, b"signature")


def test_a_fresh_board_runs_from_the_root_and_writes_slot_a():
    slots = made()
    assert slots.running() == ""
    assert slots.idle() == "a"
    assert not slots.on_trial() and not slots.rolled_back()


def test_a_slot_that_is_not_sealed_is_not_switched_to():
    slots = made()
    with raises(ValueError):
        slots.switch("a")
    fill(slots, "a")
    slots.unseal("a")
    with raises(ValueError):
        slots.switch("a")


def test_a_trial_that_is_confirmed_becomes_the_slot_that_boots():
    slots = made()
    fill(slots, "a")
    slots.switch("a")
    assert Record("boot.state").load() == {"slot": "", "trial": "a", "left": 3, "boots": 0}
    slots = made("a")
    assert slots.on_trial()
    with raises(RuntimeError):
        slots.idle()
    slots.confirm()
    assert not slots.on_trial()
    assert slots.idle() == "b"
    assert Record("boot.state").load() == {"slot": "a", "boots": 0}
    assert made("a").idle() == "b"
    made()


def test_a_trial_that_another_slot_finds_was_rolled_back():
    slots = made()
    fill(slots, "a")
    slots.switch("a")
    slots = made()
    assert slots.rolled_back() == "a"
    slots.clear()
    assert slots.rolled_back() == ""
    assert not slots.sealed("a")
    assert made().idle() == "a"


def test_the_slot_that_is_confirmed_is_not_written_though_another_runs():
    # as in a start whose boot.py could not read the slot
    slots = made()
    fill(slots, "a")
    slots.switch("a", 0)
    assert made().idle() == "b"
    # nor is the one that runs, whatever the record says
    assert made("b").idle() == "a"
    Record("boot.state").delete()
    assert made("a").idle() == "b"
    made()


def test_a_slot_that_the_flash_does_not_let_be_unsealed_is_an_error():
    slots = made()
    # it is no file: neither "there is none" nor removed, as LittleFS does with a folder that is empty
    os.mkdir("slot_a")
    os.mkdir("slot_a/manifest.sig")
    scratch.write("slot_a/manifest.sig/x", b"x")
    with raises(OSError):
        slots.unseal("a")
    assert slots.sealed("a")
    with raises(OSError):
        Slots(os.getcwd() + "/nowhere").unseal("a")


def test_without_a_trial_that_failed_there_is_nothing_to_clear():
    slots = made()
    scratch.write("manifest.sig", b"of the root")
    slots.clear()
    assert os.listdir() == ["manifest.sig"]


def test_a_deployed_slot_needs_no_trial():
    slots = made()
    fill(slots, "a")
    slots.switch("a", 0)
    assert Record("boot.state").load() == {"slot": "a", "boots": 0}
    assert scratch.read("slot_a/manifest.sig") == b"signature"


def test_a_good_start_is_written_once_and_only_where_boot_py_counts():
    update._boot = "boot.state"
    Record("boot.state").save({"slot": "", "boots": 4})
    update.good(False)
    assert Record("boot.state").load() == {"slot": "", "boots": 0}
    save, Record.try_save = Record.try_save, None
    update.good(False)
    Record.try_save = save
    os.remove("boot.state")
    for safe in (False, True):
        update.good(safe)
        assert os.listdir() == []
    # a trial is confirmed by a round trip, not by the time that passes
    Record("boot.state").save({"slot": "a", "trial": "b", "left": 2, "boots": 3})
    update.good(False)
    assert Record("boot.state").load()["boots"] == 3


def test_an_update_is_looked_for_where_a_slot_is_on_trial_or_something_is_to_be_done_or_told():
    update._boot = "boot.state"
    boot, record = Record("boot.state"), Record("update")
    for stored in (None, {"slot": "a", "boots": 1}, {"slot": "a", "trial": "b", "left": 0}):
        for known in (None, {"finished": ["u"]}, {"job": {"id": "u"}}, {"finals": [["u"]]}, {"job": None, "finals": []}):
            for one, value in ((boot, stored), (record, known)):
                one.delete()
                if value is not None:
                    one.save(value)
            wanted = bool(stored and "trial" in stored or known and (known.get("job") or known.get("finals")))
            assert bool(update.pending("update")) == wanted, (stored, known)


def test_in_safe_mode_a_good_start_gives_the_product_one_more_try():
    update._boot = "boot.state"
    Record("boot.state").save({"slot": "", "boots": 11})
    update.good(True)
    assert Record("boot.state").load() == {"slot": "", "boots": 9}


def test_a_damaged_state_is_no_state():
    for damaged in ([], 7, {"slot": 5, "trial": ["a"], "left": "x"}):
        Record("boot.state").save(damaged)
        slots = made()
        assert slots.idle() in ("a", "b") and not slots.on_trial() and not slots.rolled_back()


def test_the_version_is_that_of_the_running_slots_manifest():
    slots = made()
    assert version.running("7.0") == "7.0"
    fill(slots, "b")
    slots = made("b")
    assert version.running("7.0") == "7.0"
    scratch.write(slots.folder("b") + "/manifest.json", '{"files":[{"name":"version"}],"size":1,"version":"1.2.0-rc.1","window":10}')
    assert version.running("7.0") == "1.2.0-rc.1"
    scratch.write(slots.folder("b") + "/manifest.json", '{"version":"' + "x" * 200 + '"}')
    assert version.running("7.0") == "7.0"
    made()
