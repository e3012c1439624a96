import scratch
from redpoll import log
from redpoll.commands import DONE, IN_PROGRESS, LATER, RESTART, Commands


class Device:
    """Commands with a handler that counts, and the list of what was reported."""

    def __init__(self):
        self.reports = []
        self.linked = True
        self.runs = 0
        self.commands = Commands("commands", self.report)
        self.commands.add("count", self.count)

    def report(self, command_id, status, message):
        self.reports.append((command_id, status, message))
        return self.linked

    def count(self, step=1):
        if step < 0:
            raise ValueError("step must not be negative")
        self.runs += step
        return "counted to %d" % self.runs


def test_a_command_is_in_progress_and_then_done():
    device = Device()
    device.commands.offer("1", "count", {"step": 3})
    assert device.commands.pending()
    device.commands.run_next()
    assert device.reports == [("1", "in_progress", ""), ("1", "done", "counted to 3")]
    assert not device.commands.pending()


def test_a_command_that_had_begun_and_is_not_in_the_ledger_is_not_run_a_second_time():
    device = Device()
    device.commands.offer("1", "count", {}, None, True)
    assert not device.commands.pending()
    assert device.reports[0][:2] == ("1", "error") and "forgotten" in device.reports[0][2]


def test_a_command_that_comes_again_is_answered_and_not_run():
    device = Device()
    device.commands.offer("1", "count", {})
    device.commands.offer("1", "count", {})
    device.commands.run_next()
    device.commands.run_next()
    device.commands.offer("1", "count", {})
    device.commands.run_next()
    assert device.runs == 1
    assert device.reports[-1] == ("1", "done", "counted to 1")
    assert len(device.reports) == 3


def test_a_restart_does_not_run_it_again_either():
    device = Device()
    device.commands.offer("1", "count", {})
    device.commands.run_next()
    later = Device()
    later.commands.offer("1", "count", {})
    later.commands.run_next()
    assert later.runs == 0
    assert later.reports == [("1", "done", "counted to 1")]


def test_one_that_the_power_cut_into_is_reported_and_not_run_again():
    device = Device()

    def cut():
        raise KeyboardInterrupt

    device.commands.add("cut", cut)
    device.commands.offer("1", "cut", {})
    scratch.text_of(KeyboardInterrupt, device.commands.run_next)
    later = Device()
    later.commands.offer("1", "cut", {})
    assert later.reports == [("1", "error", "interrupted by a restart")]
    assert not later.commands.pending()


def test_what_a_restart_decided_is_told_without_being_asked_and_once():
    def cut():
        raise KeyboardInterrupt

    device = Device()
    device.commands.add("cut", cut)
    device.commands.offer("1", "cut", {})
    scratch.text_of(KeyboardInterrupt, device.commands.run_next)
    later = Device()
    later.linked = False
    later.commands.tell_decided()
    later.linked = True
    later.reports.clear()
    later.commands.tell_decided()
    later.commands.tell_decided()
    assert later.reports == [("1", "error", "interrupted by a restart")]


def test_a_command_that_restarts_the_board_is_done_after_the_restart():
    device = Device()
    device.commands.add("again", lambda: RESTART)
    device.commands.offer("1", "again", {})
    device.commands.offer("2", "count", {})
    device.commands.run_next()
    assert device.commands.restart
    assert not device.commands.pending()
    assert device.reports == [("1", "in_progress", "")]
    later = Device()
    later.commands.tell_decided()
    assert later.reports == [("1", "done", "restarted")]
    assert not later.commands.restart


def test_one_that_comes_again_before_the_restart_it_asked_for_is_still_in_progress():
    device = Device()
    device.commands.add("again", lambda: RESTART)
    device.commands.offer("1", "again", {})
    device.commands.run_next()
    device.commands.offer("1", "again", {})
    # "restarting" is a word of the ledger; no cloud knows it
    assert device.reports == [("1", "in_progress", "")] * 2


def test_what_goes_on_after_a_restart_is_not_told_to_be_interrupted_and_ends_later():
    device = Device()
    for command_id in ("0", "1", "2"):
        device.commands.add("long" + command_id, lambda: LATER)
        device.commands.offer(command_id, "long" + command_id, {})
    device.commands.run_next()
    device.commands._running = None
    device.commands.run_next()
    later = Device()
    later.commands.resume("1")
    assert later.commands.current() == "1"
    later.commands.offer("3", "count", {})
    assert not later.commands.pending()
    later.commands.tell_decided()
    assert later.reports == [("0", "error", "interrupted by a restart")]
    later.commands.offer("1", "long1", {})
    assert later.reports[1:] == [("1", "in_progress", "")]
    later.commands.finish("done", "after all")
    assert later.reports[2:] == [("1", "done", "after all")]
    assert later.commands.current() is None and later.commands.pending()
    # one that is not known is not resumed
    later.commands.resume("2")
    assert later.commands.current() is None


def test_a_handler_that_returns_nothing_tells_nothing():
    device = Device()
    device.commands.add("quiet", lambda: None)
    device.commands.offer("1", "quiet", {})
    device.commands.run_next()
    assert device.reports[-1] == ("1", "done", "")


def test_a_command_that_takes_longer_is_finished_later_and_holds_back_the_next():
    device = Device()
    device.commands.add("long", lambda: LATER)
    device.commands.offer("1", "long", {})
    device.commands.offer("2", "count", {})
    device.commands.run_next()
    assert not device.commands.pending()
    device.commands.finish("done", "took its time")
    device.commands.finish("error", "told twice")
    assert device.reports == [("1", "in_progress", ""), ("1", "done", "took its time")]
    device.commands.run_next()
    assert device.runs == 1


def test_declared_parameters_are_checked_before_the_handler_runs():
    device = Device()
    device.commands.add("move", device.count, {"step": (int, 1, 9), "label": (str, 1, 4), "speed": (float, 2, 2)})
    for command_id, parameters, words in (
        ("0", {"speed": 3}, "speed must be a number from 2 to 2"),
        ("1", {"step": 0}, "step must be a whole number from 1 to 9"),
        ("2", {"step": "1"}, "step must be"),
        ("3", {"pace": 1}, "pace is not one of its parameters (label, speed, step)"),
        ("4", {"step": 0, "label": ""}, "label must be a text of 1 to 4 characters; step must be"),
    ):
        device.commands.offer(command_id, "move", parameters)
        device.commands.run_next()
        assert device.reports[-1][1] == "error" and words in device.reports[-1][2], device.reports[-1]
    device.commands.offer("5", "move", {"step": 9})
    device.commands.run_next()
    assert device.runs == 9


def test_an_expired_command_is_not_run():
    device = Device()
    device.commands.offer("1", "count", {}, 1000)
    device.commands.run_next(1000)
    assert device.runs == 0
    assert device.reports[-1][1] == "error" and "expired" in device.reports[-1][2]


def test_commands_run_in_the_order_they_came():
    device = Device()
    for name in ("a", "b", "c"):
        device.commands.offer(name, "ping", {})
    while device.commands.pending():
        device.commands.run_next()
    assert [r[0] for r in device.reports if r[1] == "done"] == ["a", "b", "c"]


def test_an_unknown_command_a_wrong_parameter_and_a_raising_handler_are_errors_a_person_understands():
    device = Device()
    for command_id, name, parameters, words in (
        ("1", "dance", {}, "no command 'dance'; it has count, ping"),
        ("2", "count", {"pace": 2}, "pace"),
        ("3", "count", {"step": -1}, "count: step must not be negative"),
        ("4", "count", {"step": "x"}, "count: "),
        ("5", "count", [1], "parameters must be an object"),
        ("6", "count", "x", "parameters must be an object"),
    ):
        device.commands.offer(command_id, name, parameters)
        device.commands.run_next()
        got = device.reports[-1]
        assert got[:2] == (command_id, "error"), got
        assert words in got[2], got
    assert device.runs == 0


def test_ping_answers():
    device = Device()
    device.commands.offer("1", "ping", {})
    device.commands.run_next()
    assert device.reports[-1] == ("1", "done", "pong")
    # the name of an argument stays in memory until a restart, of a function that takes none too
    device.commands.offer("2", "ping", {"serial 4711": 1})
    device.commands.run_next()
    assert device.reports[-1][:2] == ("2", "error") and "serial 4711" in device.reports[-1][2]


def test_the_ledger_and_the_queue_do_not_grow():
    device = Device()
    for number in range(100):
        device.commands.offer(str(number), "ping", {})
    ran = 0
    while device.commands.pending():
        device.commands.run_next()
        ran += 1
    assert ran == 8
    for number in range(100, 140):
        device.commands.offer(str(number), "ping", {})
        device.commands.run_next()
    assert len(scratch.read("commands")) < 1000


def test_the_last_sixteen_are_answered_from_the_ledger():
    device = Device()
    for number in range(20):
        device.commands.offer(str(number), "count", {})
        device.commands.run_next()
    for later in (device, Device()):
        runs = later.runs
        for number in range(4, 20):
            later.commands.offer(str(number), "count", {})
            assert later.reports[-1] == (str(number), "done", "counted to %d" % (number + 1))
            assert not later.commands.pending()
        assert later.runs == runs


def test_one_that_expires_while_it_waits_is_not_run():
    device = Device()
    device.commands.add("long", lambda: LATER)
    device.commands.offer("1", "long", {})
    device.commands.offer("2", "count", {}, 1000)
    device.commands.run_next(999)
    device.commands.finish("done", "")
    device.commands.run_next(1000)
    assert device.runs == 0
    device.commands.offer("3", "count", {}, 1000)
    device.commands.run_next(999)
    device.commands.offer("4", "count", {}, 1000)
    device.commands.run_next(None)
    assert device.runs == 2


def test_what_cannot_be_remembered_is_not_run_but_answered():
    device = Device()
    device.commands._record.save = scratch.full
    device.commands.offer("1", "count", {})
    device.commands.run_next()
    assert device.runs == 0
    assert device.reports == [("1", "error", "not run: out of flash or memory")]
    device.commands.offer("1", "count", {})
    assert device.reports[-1] == device.reports[0]
    assert not device.commands.pending()


def test_a_result_that_cannot_be_kept_is_told_all_the_same():
    device = Device()

    def fill():
        device.commands._record.save = scratch.full
        return "filled"

    device.commands.add("fill", fill)
    device.commands.offer("1", "fill", {})
    device.commands.run_next()
    assert device.reports[-1] == ("1", "done", "filled")


def test_a_second_handler_is_refused_but_one_that_is_built_in_can_be_replaced():
    device = Device()
    assert "already" in scratch.text_of(ValueError, device.commands.add, "count", device.count)
    device.commands.add("ping", device.count)
    device.commands.offer("1", "ping", {})
    device.commands.run_next()
    assert device.runs == 1


def test_being_out_of_memory_once_does_not_stop_all_commands():
    device = Device()
    save = device.commands._record.save
    fails = [1]

    def short(value):
        if fails:
            fails.pop()
            raise MemoryError
        save(value)

    device.commands._record.save = short
    for command_id in ("1", "2"):
        device.commands.offer(command_id, "count", {})
        device.commands.run_next()
    assert [report[:2] for report in device.reports] == [("1", "error"), ("2", "in_progress"), ("2", "done")]


def test_a_result_is_told_without_what_a_cloud_takes_in_no_text():
    device = Device()
    device.commands.add("at", lambda: "OK\0\0")
    device.commands.offer("1", "at", {})
    device.commands.run_next()
    assert device.reports[-1] == ("1", "done", "OK")


def test_an_exception_that_is_no_refusal_is_told_with_its_type():
    device = Device()

    def broken():
        raise KeyError("x")

    device.commands.add("broken", broken)
    device.commands.offer("1", "broken", {})
    device.commands.run_next()
    assert device.reports[-1][:2] == ("1", "error") and device.reports[-1][2].startswith("broken: KeyError: ")


def test_a_refusal_without_a_word_is_told_by_its_type():
    device = Device()

    def shy():
        raise ValueError

    device.commands.add("shy", shy)
    device.commands.offer("1", "shy", {})
    device.commands.run_next()
    assert device.reports[-1] == ("1", "error", "shy: ValueError")


def test_no_command_begins_between_the_decision_to_restart_and_the_restart():
    device = Device()
    device.commands.offer("1", "count", {})
    # of an update, which is no command
    device.commands.restart = True
    device.commands.run_next()
    assert not device.commands.pending() and device.runs == 0 and device.reports == []


def test_a_result_of_which_no_text_can_be_made_is_an_error():
    device = Device()

    class Odd:
        def __str__(self):
            raise KeyError("x")

    device.commands.add("odd", Odd)
    device.commands.offer("1", "odd", {})
    device.commands.run_next()
    assert device.reports[-1][:2] == ("1", "error") and device.reports[-1][2].startswith("odd: KeyError")


def test_a_command_that_finds_no_memory_on_its_way_is_an_error_and_the_next_one_runs():
    device = Device()
    device.commands._report = short_of_memory(device.report, [IN_PROGRESS])
    for command_id in ("1", "2"):
        device.commands.offer(command_id, "count", {})
        device.commands.run_next()
    assert device.reports == [("1", "error", "out of memory"), ("2", "in_progress", ""), ("2", "done", "counted to 1")]


def test_an_end_that_finds_no_memory_to_be_told_in_is_told_later():
    device = Device()
    device.commands._report = short_of_memory(device.report, [DONE])
    device.commands.offer("1", "count", {})
    device.commands.run_next()
    assert device.commands.current() is None and device.reports == [("1", "in_progress", "")]
    device.commands.tell_decided()
    assert device.reports[1:] == [("1", "done", "counted to 1")]


def test_an_end_without_even_the_memory_for_its_message_says_so():
    device = Device()
    redact = log.redact

    def short(text):
        log.redact = redact
        raise MemoryError

    log.redact = short
    device.commands.offer("1", "count", {})
    device.commands.run_next()
    device.commands.tell_decided()
    assert device.reports == [("1", "in_progress", ""), ("1", "done", "out of memory")]


def short_of_memory(report, fails):
    """The report that raises MemoryError the first time for each status in the list `fails`."""

    def short(command_id, status, message):
        if status in fails:
            fails.remove(status)
            raise MemoryError
        return report(command_id, status, message)

    return short


def test_a_handler_of_which_nothing_runs_is_an_error():
    def later():
        yield "blinked"

    said = []
    commands = Commands("commands", lambda *told: said.append(told) or True)
    commands.add("blink", later)
    commands.offer("c1", "blink", {})
    commands.run_next()
    assert said[-1][1] == "error" and "it has not run" in said[-1][2]


def test_a_text_without_an_end_is_refused_like_any_other():
    said = []
    commands = Commands("commands", lambda *told: said.append(told) or True)
    commands.add("say", lambda text: text, {"text": (str, 1, float("inf"))})
    commands.offer("c1", "say", {"text": 5})
    commands.run_next()
    assert said[-1][1:] == ("error", "say: text must be a text of 1 to inf characters")
