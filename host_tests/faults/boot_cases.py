# ruff: noqa: UP031, B904, SIM115 - runs on MicroPython
# boot.py on a real LittleFS, one function a case; runs on the MicroPython VM.
import os
import sys

from flash_device import PowerCut
from redpoll import log, port, update
from redpoll.flash.record import Record
from redpoll.update.slots import Slots
from root_flash import Board, Machine, Reset, write

STATE = "/boot.state"


def fill(slot):
    slots = Slots()
    slots.unseal(slot)
    write("/slot_%s/main.py" % slot, "# " + slot)
    slots.seal(slot, b"signature")
    return slots


def state():
    return Record(STATE).load()


def a_fresh_board_boots_from_the_root(board):
    board.mounted(write, "/main.py", "pass")
    assert board.power_on() == "/"
    assert board.mounted(state) == {"slot": "", "boots": 1}
    assert board.machine.watchdog is None and board.machine.timer is None


def _see_path(board):
    folder = board.boot()
    return folder, sys.path[:3], Slots().running()


def a_confirmed_slot_boots_with_its_own_modules_first(board):
    board.mounted(lambda: fill("b").switch("b", 0))
    folder, path, running = board.mounted(_see_path, board)
    assert folder == "/slot_b" and running == "b"
    assert path == ["", "/slot_b", "/slot_b/lib"], path


def a_trial_is_watched_counted_and_rolled_back(board):
    board.mounted(lambda: fill("a").switch("a", 0))
    board.mounted(lambda: fill("b").switch("b"))
    for left in (2, 1, 0):
        assert board.power_on() == "/slot_b"
        assert board.mounted(state)["left"] == left
        assert board.machine.watchdog == 8388 and board.machine.timer[0] == 4000000
    for _ in range(12):
        assert board.power_on(5) == "/slot_a"
        assert board.machine.watchdog is None
    # what tells the agent
    assert board.mounted(state)["trial"] == "b"


def a_trial_that_nobody_ends_is_ended_by_the_timer(board):
    board.mounted(lambda: fill("b").switch("b"))
    board.power_on()
    late = board.machine
    assert board.mounted(_ring, board) == "reset"
    board.mounted(_confirm, board)
    board.machine = late
    assert board.mounted(_ring, board) == "went on"


def _confirm(board):
    board.boot()
    Slots().confirm()


def a_trial_that_cannot_be_counted_is_not_started(board):
    board.mounted(lambda: fill("a").switch("a", 0))
    board.mounted(lambda: fill("b").switch("b"))

    def full():
        # as good as a full flash: nothing can be written where the new state would go
        os.mkdir("/boot.state.new")

    board.mounted(full)
    assert board.power_on() == "/slot_a"
    assert board.machine.watchdog is None


def a_trial_whose_slot_is_not_complete_is_not_started(board):
    board.mounted(lambda: fill("a").switch("a", 0))
    board.mounted(lambda: fill("b").switch("b"))
    board.mounted(lambda: os.remove("/slot_b/manifest.sig"))
    assert board.power_on() == "/slot_a"


def a_slot_that_is_gone_leaves_the_other_one_to_start(board):
    for gone, other in (("a", "b"), ("b", "a")):
        board.mounted(lambda other=other: fill(other))
        board.mounted(lambda gone=gone: fill(gone).switch(gone, 0))
        assert board.power_on() == "/slot_" + gone
        board.mounted(os.remove, "/slot_%s/manifest.sig" % gone)
        assert board.power_on() == "/slot_" + other
        assert board.mounted(state)["slot"] == other


def one_that_did_not_prove_itself_does_not_start_in_the_place_of_one_that_is_gone(board):
    _rolled_back(board)
    board.mounted(os.remove, "/slot_a/manifest.sig")
    assert board.power_on() == "/"


def a_complete_slot_that_nobody_switched_to_is_not_started(board):
    assert board.power_on() == "/"
    for slot in "ab":
        board.mounted(fill, slot)
        assert board.power_on() == "/"


def a_firmware_image_is_watched_for_one_start(board):
    board.mounted(lambda: fill("a").switch("a", 0))
    board.mounted(lambda: Slots().guard())
    assert board.power_on() == "/slot_a"
    assert board.machine.watchdog == 8388 and board.machine.timer is None
    assert board.mounted(state) == {"slot": "a", "boots": 1}
    assert board.power_on() == "/slot_a"
    assert board.machine.watchdog is None


def ten_starts_that_were_not_good_lead_to_safe_mode(board):
    board.mounted(lambda: fill("a").switch("a", 0))
    for _ in range(10):
        assert board.power_on() == "/slot_a"
    folder, path, running = board.mounted(_see_path, board)
    assert folder == "/safe" and running == "a" and path[1] == "/slot_a"
    assert b"Agent" in board.mounted(lambda: open("/safe/main.py", "rb").read())
    assert board.power_on() == "/safe"
    board.mounted(_good, board)
    # one more try of the product
    assert board.power_on() == "/slot_a"
    assert board.power_on() == "/safe"


def _good(board):
    assert board.boot() == "/safe"
    update.good(True)


def _ring(board):
    # the timer of this start goes off
    if board.machine.timer is None:
        return "has none"
    try:
        board.machine.timer[1](None)
    except Reset:
        return "reset"
    return "went on"


def a_start_that_is_not_good_after_three_minutes_is_ended_by_the_timer(board):
    board.mounted(write, "/settings.json", "{}")
    board.mounted(lambda: fill("a").switch("a", 0))
    for _ in range(11):
        board.power_on()
        assert board.machine.timer[0] == 180000 and board.machine.watchdog is None
        assert board.mounted(_ring, board) == "reset"

    def good(safe):
        board.boot()
        port.good()
        update.good(safe)
        return _ring(board)

    # in safe mode, and then with the product
    assert board.mounted(good, True) == "has none"
    assert board.mounted(good, False) == "has none"


def a_start_is_not_timed_where_nobody_wants_it(board):
    for settings in (None, '{"watchdog": false}', "[]", "{"):
        if settings is not None:
            board.mounted(write, "/settings.json", settings)
        assert board.power_on() == "/" and board.machine.timer is None, settings
    # mpremote's
    board.mounted(write, "/settings.json", "{}")
    assert board.power_on(5) == "/" and board.machine.timer is None


def _rolled_back(board):
    board.mounted(write, "/settings.json", "{}")
    board.mounted(lambda: fill("a").switch("a", 0))
    board.mounted(lambda: fill("b").switch("b"))
    for _ in range(3):
        assert board.power_on() == "/slot_b"


def a_roll_back_that_cannot_be_written_down_is_no_bad_start(board):
    _rolled_back(board)

    def good():
        folder = board.boot()
        assert board.machine.timer[0] == 180000
        port.good()
        update.good(False)
        assert state()["trial"] == "b"
        return folder, _ring(board)

    assert board.mounted(good) == ("/slot_a", "has none")


def what_fails_before_the_agent_after_a_roll_back_too_leads_to_safe_mode(board):
    _rolled_back(board)
    for _ in range(10):
        assert board.power_on() == "/slot_a"
        assert board.mounted(_ring, board) == "reset"
    assert board.power_on() == "/safe"


def safe_mode_works_without_slots(board):
    for _ in range(10):
        assert board.power_on() == "/"
    folder, path, running = board.mounted(_see_path, board)
    assert (folder, path[:2], running) == ("/safe", ["", "/"], "")
    board.mounted(write, "/probe.py", "found = 7")

    def imports():
        board.boot()
        return __import__("probe").found

    assert board.mounted(imports) == 7
    del sys.modules["probe"]


def soft_resets_are_not_failed_starts(board):
    for _ in range(30):
        assert board.power_on(5) == "/"


class Time:
    """The uptime of a chip, in the place of the module."""

    now = 0

    @classmethod
    def ticks_ms(cls):
        return cls.now


def a_chip_that_does_not_tell_a_soft_reset_has_its_ticks_go_on(board):
    sys.modules["time"] = Time
    del Machine.SOFT_RESET
    for Time.now, boots in ((9999, 1), (10000, 1), (3600000, 1), (0, 2)):
        board.power_on()
        assert board.mounted(state)["boots"] == boots, Time.now


def starts_that_were_good_are_not_counted(board):
    def good():
        board.boot()
        update.good(False)

    for _ in range(30):
        board.mounted(good)
    assert board.power_on() == "/"


def a_state_that_is_lost_or_damaged_does_not_stop_a_board(board):
    board.mounted(lambda: fill("a").switch("a", 0))
    for damage in (b"", b"x", b"RPR1", b"RPR1\2\0\0\0\0\0\0\0{}", b"\xff" * 600):
        board.mounted(write, STATE, damage)
        assert board.power_on() == "/slot_a", damage
    for value in (
        [],
        7,
        "x",
        None,
        {"slot": 3},
        {"slot": "a", "trial": 9, "left": "x", "boots": "y"},
        {"trial": "c", "left": 3},
        {"slot": "b"},
    ):
        board.mounted(lambda value=value: Record(STATE).save(value))
        assert board.power_on() == "/slot_a", value
    board.mounted(os.remove, "/slot_a/manifest.sig")
    assert board.power_on() == "/"


def a_state_of_which_a_letter_is_wrong_is_not_believed(board):
    board.mounted(fill, "b")
    board.mounted(lambda: fill("a").switch("a", 0))
    stored = board.mounted(lambda: open(STATE, "rb").read())
    wrong = stored.replace(b'"a"', b'"b"')
    assert wrong != stored
    board.mounted(write, STATE, wrong)
    assert board.power_on() == "/slot_a"


def a_power_cut_in_boot_leaves_the_slot_that_ran(board):
    board.mounted(lambda: fill("a").switch("a", 0))
    board.mounted(lambda: fill("b").switch("b"))
    image = bytes(board.device.data)
    tried = 0
    for torn in (False, True):
        for cut in range(1, 1000):
            board.device.data[:] = image
            board.device.changes = 0
            board.device.torn = torn
            board.device.cut_at = cut
            finished = board.power_on()
            board.device.cut_at = 0
            assert board.power_on() == "/slot_b"
            if finished:
                break
            tried += 1
    print("boot.py: %d cut points tried, the slot on trial boots after each" % tried)


def run(boot_py, name):
    """One case."""
    log.print = lambda *values: None
    try:
        globals()[name](Board(boot_py))
    except PowerCut:
        raise AssertionError("the power was cut where nobody cut it")
    print("passed")
