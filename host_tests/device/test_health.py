import scratch
from redpoll import health as module
from redpoll import log, port
from redpoll.flash.record import Record
from redpoll.health import Health


def test_starts_are_counted():
    assert Health("health").starts == 1
    assert Health("health").starts == 2
    assert Health("health").readings()["starts"] == 3


def test_what_another_version_kept_begins_the_count_anew():
    for stored in (7, [7], {}, {"starts": "7"}, {"starts": -7}, {"starts": 7, "exception": 7}):
        Record("health").save(stored)
        health = Health("health")
        assert health.starts == 1 and health.ended_by is None


def test_an_exception_is_told_by_the_next_start_and_by_no_later_one():
    health = Health("health")
    try:
        raise KeyError("who")
    except KeyError as error:
        health.keep(error)
    later = Health("health")
    assert "KeyError" in later.ended_by and "who" in later.ended_by
    assert later.starts == 2
    assert Health("health").ended_by is None


def test_a_long_traceback_keeps_its_end():
    health = Health("health")
    try:
        raise ValueError("x" * 2000 + "the reason")
    except ValueError as error:
        health.keep(error)
    assert len(Health("health").ended_by) <= 400
    health.keep(ValueError("y"))


def test_readings_are_what_the_cloud_takes():
    readings = Health("health").readings()
    assert readings["uptime_s"] >= 0
    if port.free_heap() is not None:
        assert readings["heap_free_bytes"] > 0
    for value in readings.values():
        assert isinstance(value, (int, str))


def test_a_heap_without_a_piece_left_is_told():
    real = port.largest_block
    port.largest_block = lambda: 0
    try:
        assert Health("health").readings()["heap_largest_bytes"] == 0
    finally:
        port.largest_block = real


def test_a_secret_at_the_cut_of_a_traceback_is_not_told_in_part():
    log.hide("hunter2hunter2")
    health = Health("health")
    for before in range(380, 410):
        try:
            raise ValueError("hunter2hunter2" + "x" * before)
        except ValueError as error:
            health.keep(error)
        assert "unter2" not in Health("health").ended_by


def test_an_exception_that_the_full_flash_does_not_take_is_no_second_one():
    health = Health("health")
    health._record.save = scratch.full
    health.keep(ValueError("x"))
    assert "is not saved" in log.lines()[-1]
    assert Health("health").ended_by is None


def test_a_restart_by_the_watchdog_and_safe_mode_are_told():
    class Os:
        @staticmethod
        def getcwd():
            return "/safe"

    health = Health("other")
    assert "safe_mode" not in health.readings() and not health.safe
    real, cause = module.os, port.reset_cause
    before = len(log.lines())
    module.os = Os
    port.reset_cause = lambda: "watchdog"
    try:
        told = Health("health").readings()
    finally:
        module.os = real
        port.reset_cause = cause
    assert told["safe_mode"] is True and told["reset_cause"] == "watchdog"
    said = "".join(log.lines()[before:])
    assert "safe mode: ten starts" in said and "the watchdog restarted the board" in said
    # neither is said of any other start
    before = len(log.lines())
    Health("health")
    said = "".join(log.lines()[before:])
    assert "safe mode" not in said and "the watchdog" not in said
