import os

import heap
from redpoll import log, port
from redpoll.clock import Clock
from redpoll.flash import room
from redpoll.flash import spool as module
from redpoll.flash.record import Record
from redpoll.flash.spool import Spool
from scratch import Ticks, full, read, text_of, write
from support import SkipTest, raises

NOON = 1628063144122  # Unix ms


class Board:
    """What outlives a restart: the flash. boot() is the next start, with uptime 0 and no time of day unless one is given."""

    def boot(self, ram=1000, flash=65536, hold=0, wall=None):
        self.ticks = Ticks()
        self.clock = Clock(self.ticks, lambda: wall)
        self.spool = Spool(ram, "spool", flash, hold, self.clock)
        return self.spool

    def files(self):
        return sorted([name for name in os.listdir("spool") if name.isdigit()])


def append(spool, *texts):
    return [spool.append(0, text.encode()) for text in texts]


def fail_half_way(board, spool):
    """The flash fails when it has taken what was to be written, and takes it and one more a minute later."""
    append(spool, "two", "three")
    real = spool._append

    def fails(segment):
        real(segment)
        raise OSError(5)

    spool._append = fails
    assert not spool.flush()
    spool._append = real
    board.ticks.ms += 60000
    append(spool, "four")
    assert spool.flush()


def bodies(spool, acknowledge=False):
    """Send all that peek() shows."""
    found = []
    while True:
        message = spool.peek()
        if message is None:
            return found
        found.append(message[2].decode())
        spool.sent(message[0])
        if acknowledge:
            spool.acknowledge(message[0])


# in RAM


def test_messages_come_out_in_the_order_they_went_in():
    spool = Spool(1000)
    append(spool, "one", "two", "three")
    assert bodies(spool) == ["one", "two", "three"]


def test_what_is_on_its_way_is_sent_again_after_the_link_was_lost():
    spool = Spool(1000)
    first = append(spool, "one", "two", "three")[0]
    spool.sent(first)
    spool.sent(spool.peek()[0])
    spool.acknowledge(first)
    spool.rewind()
    assert bodies(spool) == ["two", "three"]


def test_acknowledgements_may_come_in_any_order_and_twice():
    spool = Spool(1000)
    numbers = append(spool, "0", "1", "2", "3")
    for number in numbers[:3]:
        spool.sent(number)
    spool.acknowledge(numbers[2])
    spool.acknowledge(numbers[0])
    spool.acknowledge(numbers[0])
    assert len(spool) == 2
    assert spool.peek()[2] == b"3"
    spool.rewind()
    assert bodies(spool) == ["1", "3"]


def test_a_full_spool_drops_the_oldest_and_counts_it():
    spool = Spool(2 * (4 + 32))
    append(spool, "0000", "1111", "2222", "3333", "4444")
    assert spool.dropped == 3
    assert bodies(spool) == ["3333", "4444"]


def test_an_acknowledgement_of_a_dropped_message_changes_nothing():
    spool = Spool(2 * (4 + 32))
    first = append(spool, "1111")[0]
    spool.sent(first)
    append(spool, "2222", "3333")
    spool.acknowledge(first)
    assert bodies(spool) == ["2222", "3333"]


def test_a_message_larger_than_the_spool_is_refused_and_nothing_is_lost():
    spool = Spool(100)
    append(spool, "1111")
    assert "does not fit" in text_of(ValueError, spool.append, 0, b"x" * 69)
    assert bodies(spool) == ["1111"]
    # one of exactly its size fits
    append(spool, 68 * "x")
    assert bodies(spool) == [68 * "x"]


def test_without_a_path_there_is_nothing_to_bring_to_flash():
    spool = Spool(1000)
    append(spool, "one")
    assert spool.poll() is None and not spool.flush()
    assert bodies(spool) == ["one"] and os.listdir() == []


# from RAM to flash


def test_a_healthy_link_never_writes_a_message_to_flash():
    board = Board()
    spool = board.boot(hold=60000)
    for _ in range(100):
        board.ticks.ms += 30000
        number = spool.append(board.clock.ms(), b"reading")
        spool.sent(spool.peek()[0])
        board.ticks.ms += 500
        spool.acknowledge(number)
        assert spool.poll() is None
    assert os.listdir("spool") == ["next"]


def test_a_message_goes_to_flash_when_it_has_waited_long_enough():
    board = Board()
    spool = board.boot(hold=60000)
    spool.append(board.clock.ms(), b"one")
    board.ticks.ms += 59000
    assert spool.poll() == 1000
    assert board.files() == []
    board.ticks.ms += 1000
    assert spool.poll() > 0
    assert not spool._ram
    assert bodies(board.boot()) == ["one"]


def test_messages_go_to_flash_when_ram_is_full_and_none_is_dropped():
    board = Board()
    # two fit exactly
    spool = board.boot(ram=2 * (4 + 32), hold=60000)
    append(spool, "1111", "2222")
    assert not board.files()
    append(spool, "3333")
    assert bodies(spool, True) == ["1111", "2222", "3333"]
    spool = board.boot(ram=400, hold=60000)
    texts = ["message %d" % n for n in range(50)]
    append(spool, *texts)
    assert 0 < len(spool._ram) < 10
    assert len(spool) == 50
    assert bodies(spool) == texts
    assert spool.dropped == 0


def test_with_hold_0_every_append_survives_a_restart():
    board = Board()
    for n in range(5):
        append(board.boot(), "a%d" % n, "b%d" % n)
    append(board.boot(), "")
    assert bodies(board.boot()) == ["a0", "b0", "a1", "b1", "a2", "b2", "a3", "b3", "a4", "b4", ""]


def test_what_is_in_ram_follows_what_is_on_flash_and_latest_passes_by():
    board = Board()
    append(board.boot(), "old 1", "old 2")
    spool = board.boot(hold=60000)
    live = append(spool, "live")[0]
    assert spool.latest()[2] == b"live"
    spool.sent(live)
    assert spool.latest() is None
    assert bodies(spool) == ["old 1", "old 2"]


def test_a_live_message_that_goes_to_flash_while_it_is_on_its_way_is_not_sent_twice():
    board = Board()
    append(board.boot(), "old")
    spool = board.boot(hold=60000)
    first, second = append(spool, "live 1", "live 2")
    spool.sent(first)
    spool.sent(second)
    spool.flush()
    spool.acknowledge(second)
    assert bodies(spool) == ["old"]
    spool.rewind()
    assert bodies(spool, True) == ["old", "live 1"]
    assert board.files() == []
    assert spool.damaged == 0


def test_a_segment_is_removed_when_all_of_it_is_acknowledged():
    board = Board()
    spool = board.boot()
    texts = ["%03d" % n + 97 * "x" for n in range(100)]
    append(spool, *texts)
    assert len(board.files()) == 4
    assert bodies(spool, True) == texts
    assert board.files() == []
    assert len(spool) == 0 and not spool._done
    append(spool, "more")
    assert bodies(board.boot()) == ["more"]


def test_what_is_on_its_way_from_flash_is_sent_again_after_the_link_was_lost():
    board = Board()
    for length in (1, 3, 100):
        spool = board.boot()
        texts = ["%03d" % n + 97 * "x" for n in range(length)]
        append(spool, *texts)
        for _ in range(2):
            assert bodies(spool) == texts
            spool.rewind()
        assert bodies(spool, True) == texts and spool.damaged == 0
    assert not any("cannot be read" in line for line in log.lines())


def test_what_goes_to_flash_together_is_written_at_once():
    board = Board()
    spool = board.boot(hold=60000)
    append(spool, *["message %d" % n for n in range(20)])
    synced = []
    real, port.sync = port.sync, synced.append
    try:
        assert spool.flush()
    finally:
        port.sync = real
    assert len(synced) == 1 and len(board.files()) == 1


def test_a_segment_is_one_block_of_the_flash_whether_it_is_filled_at_once_or_bit_by_bit():
    for hold in (0, 60000):
        board = Board()
        spool = board.boot(ram=10000, hold=hold)
        # eight fill a block exactly; the last ones would fit behind it
        texts = ["%03d" % n + 480 * "x" for n in range(9)] + ["last"]
        append(spool, *texts)
        assert spool.flush()
        assert [os.stat("spool/" + name)[6] for name in board.files()] == [4096, 8 + 28 + 483 + 28 + 4]
        assert bodies(spool, True) == texts


def test_the_last_segment_is_filled_further_when_an_older_one_is_removed():
    board = Board()
    spool = board.boot()
    append(spool, *[100 * "x"] * 40)
    assert len(board.files()) == 2
    while len(board.files()) == 2:
        number = spool.peek()[0]
        spool.sent(number)
        spool.acknowledge(number)
    append(spool, "more")
    assert len(board.files()) == 1 and len(spool) == 10


def test_after_a_restart_at_most_one_partly_acknowledged_segment_comes_again():
    board = Board()
    spool = board.boot()
    numbers = append(spool, *["%03d" % n + 97 * "x" for n in range(100)])
    for number in numbers[:70]:
        spool.sent(spool.peek()[0])
        spool.acknowledge(number)
    again = board.boot()
    assert again.peek()[0] == numbers[62]  # 31 messages of 128 bytes fill a segment
    assert len(again) == 38


def test_over_the_byte_budget_whole_segments_of_the_oldest_go_and_are_counted():
    board = Board()
    spool = board.boot(flash=8192)
    texts = ["%03d" % n + 97 * "x" for n in range(100)]
    append(spool, *texts)
    assert len(board.files()) <= 2
    assert bodies(spool) == texts[spool.dropped :]
    assert spool.dropped == 62
    assert sum([os.stat("spool/" + name)[6] for name in board.files()]) <= 8192


def test_many_restarts_do_not_pass_the_budget_though_each_begins_a_segment():
    board = Board()
    for n in range(12):
        spool = board.boot(flash=16384)
        append(spool, "boot %d" % n)
    assert len(board.files()) == 4
    assert bodies(spool) == ["boot 8", "boot 9", "boot 10", "boot 11"]


def test_a_message_larger_than_a_segment_is_kept():
    board = Board()
    spool = board.boot(ram=10000)
    append(spool, "small", 9000 * "x", "small too")
    assert [len(body) for body in bodies(board.boot(ram=10000), True)] == [5, 9000, 9]
    # with the beginning of its segment this one takes two blocks
    spool = board.boot(ram=10000, flash=8192)
    append(spool, "small", 4068 * "x")
    assert [len(body) for body in bodies(spool)] == [4068] and spool.dropped == 1
    # and one beyond the budget takes the place of all
    append(spool, 9000 * "x")
    assert [len(body) for body in bodies(spool)] == [9000] and spool.dropped == 2


def test_a_body_longer_than_the_format_can_say_is_refused():
    board = Board()
    spool = board.boot(ram=70000, flash=131072)
    body = memoryview(bytes(0x10000))
    assert "does not fit" in text_of(ValueError, spool.append, 0, body)
    spool.append(0, body[1:])
    assert os.stat("spool/" + board.files()[0])[6] == 8 + 28 + 0xFFFF


def test_when_the_flash_refuses_messages_stay_in_ram_and_the_bound_holds():
    write("spool", "a file where the directory should be")
    board = Board()
    spool = board.boot(ram=200)
    append(spool, *["%d" % n for n in range(10)])
    assert len(spool._ram) == len(spool) == 6
    assert spool.dropped == 4
    os.remove("spool")
    os.mkdir("spool")
    append(spool, "a")
    assert len(spool._ram) == 6  # not tried again at once
    board.ticks.ms += 60000
    append(spool, "b")
    assert not spool._ram
    assert bodies(spool) == ["5", "6", "7", "8", "9", "a", "b"]
    assert spool.dropped == 5


def test_while_the_flash_refuses_it_is_tried_each_minute():
    write("spool", "a file where the directory should be")
    board = Board()
    spool = board.boot(hold=60000)
    append(spool, "a")
    board.ticks.ms += 60000
    assert spool.poll() == 60000
    os.remove("spool")
    os.mkdir("spool")
    board.ticks.ms += 60000
    spool.poll()
    assert not spool._ram


# numbers


def test_numbers_are_not_given_out_twice_over_restarts_though_nothing_was_on_flash():
    board = Board()
    seen = []
    for _ in range(5):
        spool = board.boot(hold=60000)
        seen += append(spool, "a", "b", "c")
    assert len(set(seen)) == 15
    assert seen == sorted(seen)


def test_a_message_keeps_its_number_over_restarts():
    board = Board()
    numbers = append(board.boot(), "a", "b")
    spool = board.boot()
    assert spool.peek()[0] == numbers[0]
    assert spool.first > numbers[1]


def test_numbers_go_on_far_away_when_their_record_is_damaged():
    board = Board()
    numbers = append(board.boot(), "a", "b")
    write("spool/next", "damaged")
    assert append(board.boot(), "c")[0] > numbers[1]
    for name in os.listdir("spool"):
        os.remove("spool/" + name)
    starts = [board.boot().first for _ in range(4)]
    assert len(set(starts)) == 4


def test_a_record_of_numbers_that_is_older_than_the_messages_gives_none_out_again():
    # as when it could not be saved, and what was given out without it went to flash later
    board = Board()
    numbers = append(board.boot(), "a", "b", "c")
    for stale in numbers:
        Record("spool/next").save(stale)
        assert board.boot().first > numbers[-1]


def test_nor_are_they_when_the_flash_does_not_take_what_was_given_out():
    places = [5, 9, 7, 3]
    module.random16 = places.pop
    board = Board()
    given = append(board.boot(), "a")
    real = Record.save
    Record.save = full
    try:
        for _ in range(3):
            numbers = append(board.boot(hold=60000), "b", "c")
            assert numbers[1] == numbers[0] + 1
            given += numbers
    finally:
        Record.save = real
    assert len(set(given)) == 7
    # and in order once it takes them again
    board.ticks.ms += 61000
    assert append(board.spool, "d")[0] == given[-1] + 1
    assert Record("spool/next").load() == given[-1] + 1001


def test_numbers_are_set_aside_by_the_thousand():
    board = Board()
    spool = board.boot(hold=60000)
    first = append(spool, "x")[0]
    before = read("spool/next")
    for _ in range(999):
        append(spool, "x")
    assert read("spool/next") == before
    assert append(spool, "x")[0] == first + 1000
    assert Record("spool/next").load() == first + 2000


# time


def test_a_message_has_the_time_when_it_was_taken_once_the_time_is_known():
    board = Board()
    spool = board.boot()
    board.ticks.ms = 5000
    append_at = board.clock.ms()
    spool.append(append_at, b"x")
    assert spool.peek()[1] is None
    board.ticks.ms = 9000
    board.clock.set(NOON)
    assert spool.peek()[1] == NOON - 4000


def test_an_earlier_boots_message_has_the_time_that_was_known_then():
    board = Board()
    spool = board.boot(wall=NOON)
    board.ticks.ms = 5000
    spool.append(board.clock.ms(), b"x")
    # what it learns later changes nothing in that
    board.clock.set(NOON + 3600000)
    spool.append(board.clock.ms(), b"y")
    number, unix_ms, _ = board.boot().peek()
    assert unix_ms == NOON
    assert number < board.spool.first


def test_an_earlier_boot_that_learnt_the_time_later_dates_its_first_messages_too():
    board = Board()
    spool = board.boot()
    spool.append(board.clock.ms(), b"before")
    board.ticks.ms = 60000
    board.clock.set(NOON)
    spool.append(board.clock.ms(), b"after")
    spool = board.boot()
    assert spool.peek()[1:] == (NOON - 60000, b"before")


def test_an_earlier_boot_without_time_is_told_by_its_number():
    board = Board()
    append(board.boot(), "x")
    spool = board.boot(wall=NOON)
    number, unix_ms, _ = spool.peek()
    assert unix_ms is None
    assert number < spool.first
    bodies(spool, True)
    append(spool, "y")
    assert spool.peek()[1] is not None
    assert spool.peek()[0] >= spool.first


# damage


def _stored(texts=("first", "second", "third")):
    board = Board()
    append(board.boot(), *texts)
    return board, "spool/" + board.files()[0]


def test_every_flipped_byte_costs_one_message_and_every_cut_only_what_is_behind_it():
    board, path = _stored()
    good = read(path)
    names = ["first", "second", "third"]
    ends = [8 + 28 + 5, 8 + 56 + 11, 8 + 84 + 16]
    for at in range(len(good)):
        write(path, good[:at] + bytes([good[at] ^ 0x41]) + good[at + 1 :])
        hit = [end > at for end in ends].index(True)
        if at >= 4 and at < 8:
            pass  # the number of the boot: the messages are whole
        elif at < 4:
            assert bodies(board.boot()) == []
            assert board.spool.damaged == 1
        else:
            assert bodies(board.boot()) == names[:hit] + names[hit + 1 :]
            assert board.spool.damaged == 1
        write(path, good[:at])
        assert bodies(board.boot()) == [name for name, end in zip(names, ends) if end <= at]  # noqa: B905 - MicroPython has no strict=
        assert board.spool.damaged == (0 if at in [0, 8] + ends else 1)


def test_a_damaged_file_is_reported_once():
    board, path = _stored()
    write(path, b"RPS2" + read(path)[4:])
    assert board.boot().damaged == 1
    assert board.boot().damaged == 0


def test_what_lies_between_two_messages_costs_none_however_long_it_is():
    board, path = _stored()
    good = read(path)
    for length in (1, 2, 255, 256, 257, 258, 513):
        write(path, good[:41] + length * b"?" + good[41:])
        assert bodies(board.boot()) == ["first", "second", "third"]
        assert board.spool.damaged == 1


def test_a_damaged_length_of_a_message_does_not_decide_how_much_is_read():
    class File:
        def __init__(self):
            self.asked = []

        def seek(self, offset):
            pass

        def read(self, count):
            self.asked.append(count)
            return (b"\x01m\xff\xff" + bytes(60))[:count]

    file = File()
    assert module.next_message(file, 8, 72) is None
    assert max(file.asked) <= 256


def test_a_segment_that_cannot_be_read_is_counted_and_the_others_are():
    board, _ = _stored(["one"])
    os.mkdir("spool/7")
    assert bodies(board.boot()) == ["one"]
    assert board.spool.damaged == 1


def test_damage_that_comes_later_is_counted_when_it_is_read():
    board, path = _stored()
    spool = board.boot()
    good = read(path)
    write(path, good[:50] + b"?" + good[51:])
    assert bodies(spool, True) == ["first", "third"]
    assert spool.peek() is None
    assert spool.damaged == 1
    assert len(spool) == 0
    assert board.files() == []


def test_a_segment_that_vanished_is_counted():
    board, path = _stored()
    append(board.boot(), "more")
    spool = board.boot()
    os.remove(path)
    assert bodies(spool, True) == ["more"]
    assert spool.damaged == 3


def test_a_write_that_failed_half_way_is_repeated_without_a_message_coming_twice():
    # after MemoryError, say, between two messages: the file has the first, RAM still both
    board, path = _stored(["one"])
    spool = board.boot(hold=60000)
    fail_half_way(board, spool)
    spool = board.boot()
    assert bodies(spool) == ["one", "two", "three", "four"] and spool.damaged == 0


def test_what_follows_a_write_that_failed_half_way_in_a_segment_is_readable():
    board = Board()
    spool = board.boot(hold=60000)
    append(spool, "one")
    assert spool.flush()
    fail_half_way(board, spool)
    assert spool.damaged == 0
    assert bodies(spool) == ["one", "two", "three", "four"]
    spool = board.boot()
    assert len(spool) == 4
    assert bodies(spool, True) == ["one", "two", "three", "four"] and spool.damaged == 0
    assert len(spool) == 0 and not board.files()


def test_on_a_flash_that_others_have_filled_the_oldest_segment_makes_room():
    board = Board()
    spool = board.boot(ram=2000, hold=60000)
    for text in "abcde":
        # one segment each
        append(spool, *[text * 1500] * 2)
        assert spool.flush()
    files = board.files()
    assert len(files) == 5
    real = spool._append
    failures = [OSError(28, "full"), OSError(28, "full")]

    def fails(segment):
        if failures:
            raise failures.pop()
        return real(segment)

    spool._append = fails
    append(spool, "f")
    assert spool.flush() and not spool._ram
    assert spool.dropped == 4 and not spool.whole
    # it went into the last of them
    assert board.files() == files[2:]
    assert [text[0] for text in bodies(spool)] == list("ccddeef")
    # any other failure costs nothing
    failures.append(OSError(5, "worn"))
    append(spool, "g")
    assert not spool.flush()
    assert spool.dropped == 4 and len(spool._ram) == 1


def test_on_a_flash_that_others_have_filled_a_write_that_stopped_half_way_is_not_gone_on_with():
    board = Board()
    spool = board.boot(ram=5000, hold=60000)
    append(spool, 4050 * "a")
    append(spool, "b")
    assert spool.flush() and len(board.files()) == 2
    real = spool._append

    def fills(segment):
        spool._append = real
        with open(spool._file(segment), "ab") as file:
            file.write(b"half a message")
        raise OSError(28, "full")

    # behind what the last segment has, and in a new one
    for text, dropped in (("c", 1), (4050 * "d", 2)):
        spool._append = fills
        append(spool, text)
        assert spool.flush() and not spool._ram
        assert spool.dropped == dropped
    for kept in (spool, board.boot()):
        assert [text[0] for text in bodies(kept)] == ["c", "d"] and kept.damaged == 0


def test_on_a_flash_that_others_have_filled_the_last_segment_goes_too():
    board = Board()
    spool = board.boot(hold=60000)
    append(spool, "a")
    assert spool.flush()
    real = spool._append

    def fails(segment):
        spool._append = real
        raise OSError(28, "full")

    spool._append = fails
    append(spool, "b")
    assert spool.flush() and not spool._ram
    assert bodies(spool) == ["b"] and spool.dropped == 1
    assert bodies(board.boot()) == ["b"]


def test_on_a_full_flash_without_a_segment_messages_stay_in_ram_and_that_is_said_once():
    board = Board()
    spool = board.boot(ram=200, hold=60000)
    before = len(log.lines())
    real = spool._append

    def fails(segment):
        raise OSError(28, "full")

    spool._append = fails
    append(spool, "a")
    for _ in range(3):
        assert not spool.flush()
        board.ticks.ms += 60000
    assert len(spool._ram) == 1 and spool.dropped == 0
    assert len([line for line in log.lines()[before:] if "spool: " in line]) == 1
    # while the flash is not tried, numbers that no restart knows of are not given out either
    assert not spool.flush()
    numbers = [spool.append(0, b"%d" % n) for n in range(1200)]
    assert spool.append(0, b"") > numbers[0] + 4000
    spool._append = real
    first = board.boot().append(0, b"")
    assert first not in numbers


def test_a_bound_in_ram_that_costs_a_message_is_remembered():
    spool = Spool(100)
    append(spool, "one", "two")
    assert spool.whole
    append(spool, "three")
    assert spool.dropped == 1 and not spool.whole


def test_a_segment_that_is_cut_short_while_the_board_runs_costs_what_is_behind_the_cut():
    # of the third message, of all but its mark, and of the second too
    for cut, whole in ((1, 2), (20, 2), (31, 2), (34, 1), (60, 1)):
        board, path = _stored()
        spool = board.boot()
        write(path, read(path)[:-cut])
        assert bodies(spool, True) == ["first", "second"][:whole]
        assert spool.damaged == 3 - whole
        assert len(spool) == 0 and board.files() == []


def test_other_files_in_the_directory_are_left_alone():
    board, path = _stored(["one"])
    write("spool/readme", "x")
    assert bodies(board.boot()) == ["one"]
    assert read("spool/readme") == b"x"


def test_an_hour_without_link_at_a_message_every_5_s_loses_nothing_within_the_budget():
    for flash, expected in ((131072, 0), (65536, None)):
        board = Board()
        spool = board.boot(ram=4096, flash=flash, hold=300000, wall=NOON)
        sent = []
        for n in range(720):
            board.ticks.ms += 5000
            sent.append(spool.append(board.clock.ms(), b'{"status": "online", "telemetries": {"temperature": 21.5, "n": %d}}' % n))
            spool.poll()
        arrived = []
        while True:
            message = spool.peek()
            if message is None:
                break
            spool.sent(message[0])
            spool.acknowledge(message[0])
            arrived.append(message[0])
        assert arrived == sent[spool.dropped :]
        assert spool.dropped == expected if expected is not None else spool.dropped > 0
        assert len(spool) == 0
        for name in os.listdir("spool"):
            os.remove("spool/" + name)


def test_where_little_flash_is_left_a_new_segment_takes_the_place_of_the_oldest():
    board = Board()
    spool = board.boot(ram=2000)
    numbers = [spool.append(0, b"x" * 1000) for _ in range(12)]
    left = [36864]
    real, room.free = room.free, lambda path: left[0]
    try:
        # one more, and others have just what is theirs
        numbers += [spool.append(0, b"x" * 1000) for _ in range(3)]
        assert len(board.files()) == 5 and spool.dropped == 0
        segments = board.files()
        left[0] -= 1
        numbers += [spool.append(0, b"x" * 1000) for _ in range(12)]
        assert len(board.files()) == len(segments) and board.files() != segments
        assert spool.dropped == 12 and not spool._ram
        for number in numbers[12:]:
            assert spool.peek()[0] == number
            spool.sent(number)
            spool.acknowledge(number)
        # with nothing to give up it waits in RAM, and the flash is tried again later
        waiting = spool.append(0, b"y" * 500)
        assert len(spool._ram) == 1 and not board.files()
    finally:
        room.free = real
    board.ticks.ms += 60000
    assert spool.flush() and not spool._ram and spool.peek()[0] == waiting


def test_the_heap_stays_where_it_is():
    if not heap.used():
        raise SkipTest("CPython has no figure for its heap")
    board = Board()
    spool = board.boot(ram=2000, flash=16384, hold=60000)

    def run(times):
        for _ in range(times):
            board.ticks.ms += 5000
            spool.append(board.clock.ms(), b"x" * 100)
            spool.poll()
            if board.ticks.ms % 200000 < 100000:
                bodies(spool, True)
            else:
                spool.rewind()
        return heap.used()

    before = run(100)
    run(900)
    assert run(100) - before < 3000


def test_only_oserror_is_taken_for_a_failing_flash():
    board, _ = _stored(["one"])
    spool = board.boot()

    def fails(segment):
        raise KeyError("a bug")

    spool._append = fails
    with raises(KeyError):
        append(spool, "two")


def test_numbers_that_have_come_far_begin_anew_when_nothing_waits_and_no_outage_drives_them_further():
    board = Board()
    os.mkdir("spool")
    Record("spool/next").save(0x40000000 - 1500)
    # each start of an outage sets 1,000 aside
    texts = ["%02d" % start for start in range(12)]
    given = [append(board.boot(), text)[0] for text in texts]
    # a range of MicroPython has small integers, which end there on a board
    assert given == [given[0] + 1000 * start for start in range(12)]
    assert bodies(board.boot(), acknowledge=True) == texts
    assert append(board.boot(), "anew")[0] < 0x10000000
