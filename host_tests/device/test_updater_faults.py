# An update on a flash that fails or is full, and on a heap without memory.
import os

import scratch
from redpoll import log
from redpoll.flash.record import Record
from redpoll.update.slots import Slots
from redpoll.update.updater import COMMAND, EDGEHOG, Updater
from support import raises
from update_bench import NEW, OTHER, URL, UUID, Bench

HEAP = "512K"


def test_a_rolled_back_slot_that_cannot_be_cleared_does_not_keep_the_board_from_starting():
    bench = Bench()
    bench.update()
    clear = Slots.clear

    def fail(slots):
        raise OSError(28, "ENOSPC")

    Slots.clear = fail
    try:
        bench.start("")
    finally:
        Slots.clear = clear
    assert bench.slots.rolled_back() == "a"
    bench.start("")
    assert not bench.slots.rolled_back()


def test_a_rollback_that_the_flash_does_not_take_is_known_at_the_next_start():
    bench = Bench()
    bench.update()
    save = Record.save

    def full(record, value):
        if record.path == "update":
            raise OSError(28)
        save(record, value)

    Record.save = full
    try:
        bench.start("")
    finally:
        Record.save = save
    # else that start would take the update for one that has not been tried
    assert bench.slots.rolled_back() == "a"
    bench.world.events.clear()
    bench.start("")
    assert bench.final()[:2] == ("Failure", "SystemRollback")
    assert not bench.slots.rolled_back() and not bench.updater.job


def test_without_a_trial_a_round_trip_writes_nothing():
    bench = Bench()
    bench.updater.round_trip()
    bench.updater.told(UUID)
    bench.turn_for(130000)
    assert not Record("boot.state").load() and not Record("update").load()


def test_a_trial_that_the_flash_does_not_let_be_confirmed_is_confirmed_by_a_later_round_trip():
    bench = Bench()
    bench.update()
    bench.start("a", "1.1.0")
    save = bench.slots._record.save
    bench.slots._record.save = scratch.full
    bench.updater.round_trip()
    assert bench.updater.waits() and bench.updater.job and "Success" not in bench.statuses()
    bench.slots._record.save = save
    bench.updater.round_trip()
    assert bench.final() == ("Success", "", "") and not bench.updater.waits()


def test_what_cannot_be_remembered_is_not_put_on_trial():
    bench = Bench()
    save = bench.updater._record.save

    def full_at_the_end(stored):
        if "job" in stored and stored["job"]["phase"] == "trial":
            raise OSError(28)
        save(stored)

    bench.updater._record.save = full_at_the_end
    bench.update()
    assert bench.final()[:2] == ("Failure", "IOError")
    assert not bench.world.restarts and not Record("boot.state").load()


def test_the_record_of_what_is_finished_does_not_grow():
    bench = Bench()
    for number in range(30):
        bench.updater.refuse(COMMAND, "request %d" % number, "InvalidRequest", "no")
        bench.updater.told("request %d" % number)
    assert len(Record("update").load()["finished"]) == 8
    bench.start("")
    # the last ones are known
    assert bench.updater.knows("request 29") and bench.updater.knows("request 22") and not bench.updater.knows("request 21")


def test_a_record_that_the_flash_does_not_take_is_tried_again_once_a_minute():
    bench = Bench()
    real = bench.updater._record.save
    tried = []

    def full(value):
        tried.append(bench.ticks.ms)
        raise OSError(28)

    bench.updater._record.save = full
    bench.updater.refuse(COMMAND, OTHER, "InvalidRequest", "no")
    bench.turn_for(150000)
    assert len(tried) == 3 and bench.updater.busy()
    bench.updater._record.save = real
    bench.turn_for(60000)
    bench.start("")
    assert bench.updater.knows(OTHER)


def test_a_damaged_record_is_no_record():
    for value in ([], {"job": 5}, {"job": {"id": "x"}}, {"finals": [1]}, {"finals": 5}, {"finals": [[1, 2]]}, {"finished": 3}):
        bench = Bench()
        Record("update").save(value)
        bench.start("")
        assert not bench.updater.busy()
        bench.updater.refuse(EDGEHOG, UUID, "InvalidRequest", "no")
        assert bench.final()[0] == "Failure"


def test_a_record_of_another_version_does_not_keep_the_board_from_starting():
    bench = Bench()
    bench.update()
    kept = Record("update").load()
    # what this version understands of it, it uses
    Record("update").save({"job": dict(kept["job"], phase="later", more=1)})
    bench.start("")
    assert bench.final()[:2] == ("Failure", "SystemRollback")
    for key, value in (("phase", "later"), ("at", 7), ("at", ["Rebooting", 0]), ("id", 5), ("slot", None), ("to", None), ("url", None)):
        job = dict(kept["job"])
        job[key] = value
        if key == "phase" or value is None:
            del job[key if value is None else "slot"]
        Record("update").save({"job": job})
        told = len(bench.world.events)
        for slot in ("a", ""):
            bench.start(slot)
            assert not bench.updater.busy() and len(bench.world.events) == told, (key, value)
    for key in ("id", "kind", "url", "file", "want", "downgrade", "phase"):
        job = dict(kept["job"], phase="fetch")
        del job[key]
        Record("update").save({"job": job})
        bench.start("")
        assert not bench.updater.job, key


def test_a_full_flash_ends_in_an_io_error():
    bench = Bench()
    os.mkdir("slot_a")
    scratch.write("slot_a/lib", b"in the way")
    bench.slots.unseal("a")

    def full(path, mode="r"):
        if mode == "wb" and path.endswith("a.mpy"):
            raise OSError(28, "ENOSPC")
        return open(path, mode)

    from redpoll.update import fill

    fill.open = full
    try:
        bench.update()
    finally:
        del fill.open
    assert bench.final()[:2] == ("Failure", "IOError")


def test_a_manifest_that_the_flash_does_not_give_back_ends_in_an_io_error():
    from redpoll.update import prepare

    class Worn:
        """A file of which the flash loses where the list of files begins, or ends too early."""

        def __init__(self, path, mode, wrong):
            self._file = open(path, mode)  # noqa: SIM115
            self._wrong = wrong

        def write(self, data):
            self._file.write(bytes(data).replace(*self._wrong))

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self._file.close()

    for wrong in ((b'"files":[', b'"filfs":['), (b"},{", b"}]{"), (b"z.txt", b"z.txu")):
        bench = Bench()
        prepare.open = lambda path, mode, wrong=wrong: Worn(path, mode, wrong)
        try:
            bench.update()
        finally:
            del prepare.open
        assert bench.final() == ("Failure", "IOError", "flash: manifest.json cannot be read as it was written")
        assert not bench.slots.sealed("a")


def test_a_copy_that_the_flash_does_not_give_back_ends_in_an_io_error():
    from redpoll.update import deploy

    class Worn:
        def __init__(self, path, mode):
            self._path = path

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def write(self, data):
            scratch.write(self._path, bytes(len(data)))

    bench = Bench()
    deploy.open = Worn
    try:
        bench.update()
    finally:
        del deploy.open
    assert bench.final() == ("Failure", "IOError", "flash: lib/readings.py cannot be read as it was written")


def test_too_little_flash_is_noticed_before_anything_is_written():
    from redpoll.flash import room

    class Small:
        def __init__(self, left):
            self.left = left

        def __getattr__(self, name):
            return getattr(os, name)

        def statvfs(self, path):
            return (4096, 4096, 20, self.left, self.left, 0, 0, 0, 0, 255)

    # LittleFS counts shared blocks twice, so that less than nothing may be left
    for left in (6, -16):
        bench = Bench()
        room.os = Small(left)
        try:
            bench.update()
        finally:
            room.os = os
        assert bench.final()[:2] == ("Failure", "IOError") and "KB are free" in bench.final()[2]
        assert "-" not in bench.final()[2]
        assert "slot_a" not in os.listdir()


def test_what_the_slot_holds_counts_as_room_with_its_folders():
    from redpoll.flash import room

    class Flash:
        def __getattr__(self, name):
            return getattr(os, name)

        def statvfs(self, path):
            # LittleFS counts the two blocks of each folder twice
            said = left - 2 * room._folders("")
            return (4096, 4096, 100, said, said, 0, 0, 0, 0, 255)

    def is_enough():
        bench = Bench()
        if filled:
            os.mkdir("slot_a")
            for name, content in NEW:
                scratch.write_below("slot_a", name, content)
        room.os = Flash()
        try:
            bench.update()
        finally:
            room.os = os
        return bench.world.restarts == 1

    # what the slot needs for itself and what stays free; where it is empty also three files and two folders
    for filled, needed in ((True, 10), (False, 17)):
        left = needed - 1
        assert not is_enough(), filled
        left = needed
        assert is_enough(), filled


# -- memory


def test_a_moment_without_memory_costs_an_attempt_and_not_the_update():
    # half of the piece that has come is used then
    for module, owner, name in (
        ("manifest", "Checked", "_check"),
        ("fill", "_Files", "_next"),
        ("unpack", "Unpacker", "begin"),
        ("unpack", "Unpacker", "_write"),
    ):
        bench = Bench()
        # the update before has unloaded it
        put_back = failing(getattr(__import__("redpoll.update." + module, None, None, (owner,)), owner), name, 2)
        try:
            bench.update()
        finally:
            put_back()
        assert bench.world.restarts == 1, (name, bench.said())
        assert bench.holds("a") == dict(NEW)
        assert [code for status, _, code in bench.said() if status == "Error"] == ["InternalError"]
        bench.statuses()


def test_a_version_that_is_confirmed_without_memory_to_say_so_is_told_later():
    bench = Bench()
    bench.update()
    bench.start("a", "1.1.0")
    put_back = failing(Updater, "_finish", 1)
    try:
        with raises(MemoryError):
            bench.updater.round_trip()
    finally:
        put_back()
    assert bench.updater.job
    bench.updater.round_trip()
    assert bench.final() == ("Success", "", "")
    assert not bench.updater.job and not bench.updater.waits()


def test_an_end_for_which_there_is_no_memory_is_told_and_saved_later():
    for saved in (False, True):
        bench = Bench()
        bench.server.instead = [(404, {}, b"")] * 5
        owner, name = (bench.updater._record, "try_save") if saved else (bench.world, "tell")
        whole = getattr(owner, name)

        def short(value, saved=saved, whole=whole):
            if "job" not in value if saved else value["status"] == "Failure":
                raise MemoryError
            return whole(value)

        setattr(owner, name, short)
        with raises(MemoryError):
            bench.update()
        setattr(owner, name, whole)
        assert not bench.updater.job and bench.updater.busy()
        bench.turn_for(61000)
        assert bench.final()[:2] == ("Failure", "NetworkError")
        assert len(Record("update").load()["finals"]) == 1


def test_an_error_that_nobody_foresaw_ends_the_update_and_not_the_loop():
    bench = Bench()
    bench.world.key_error = KeyError("what")
    bench.update()
    assert bench.final()[:2] == ("Failure", "InternalError")


def test_what_fails_once_boot_py_is_told_does_not_end_the_update():
    for number in range(4):
        bench = Bench()
        told = []

        def tell(event, bench=bench, told=told, number=number):
            if Record("boot.state").load():
                told.append(event)
                if len(told) == number + 1:
                    raise MemoryError
            bench.world.events.append(event)

        bench.world.tell = tell
        bench.update()
        assert bench.world.restarts == 1 and len(told) == number + 1
        assert bench.updater.request(EDGEHOG, OTHER, URL)[0] == "UpdateAlreadyInProgress"
        bench.start("a", "1.1.0")
        bench.updater.round_trip()
        assert bench.final() == ("Success", "", "")


def failing(owner, name, call):
    """Let this call of a method find no memory. Returns what ends it."""
    method = getattr(owner, name)
    calls = []

    def fail(*values):
        calls.append(1)
        if len(calls) == call:
            raise MemoryError
        return method(*values)

    setattr(owner, name, fail)
    return lambda: setattr(owner, name, method)


def test_an_update_that_could_not_even_be_ended_for_want_of_memory_is_ended_later():
    from redpoll.update import updater

    class NoMemory:
        def __getattr__(self, name):
            return getattr(log, name)

        def redact(self, text):
            raise MemoryError

    bench = Bench()
    bench.server.instead = [MemoryError()] * 9
    updater.log = NoMemory()
    try:
        assert bench.updater.request(EDGEHOG, UUID, URL) is None
        with raises(MemoryError):
            bench.turn()
    finally:
        updater.log = log
    assert bench.updater.job and not bench.updater.finals
    bench.turn()
    assert bench.final()[:2] == ("Failure", "InternalError")
    assert not bench.updater.job
