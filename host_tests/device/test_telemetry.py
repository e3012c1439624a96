import json

from redpoll import log
from redpoll.clock import Clock
from redpoll.telemetry import Telemetry, refusal
from scratch import Ticks, text_of


def made(*sensors):
    """(ticks, telemetry) with these (function, every)."""
    ticks = Ticks()
    telemetry = Telemetry(Clock(ticks, lambda: None))
    for function, every in sensors:
        telemetry.add(function, every)
    return ticks, telemetry


def message(telemetry, fits=True):
    """What it says now, when the spool takes it; None when nothing is due."""
    body = telemetry.read()
    if body is None:
        return None
    telemetry.kept(fits)
    return json.loads(body)


def fan():
    return {"fan_speed": 100.5, "usbc": True}


def test_the_first_message_overrides_what_the_cloud_holds():
    ticks, telemetry = made((fan, 30))
    assert message(telemetry) == {"status": "online", "telemetries": {"fan_speed": 100.5, "usbc": True}, "override": True}
    ticks.ms += 30000
    assert message(telemetry) == {"status": "online", "telemetries": {"fan_speed": 100.5, "usbc": True}}


def test_nothing_is_read_before_it_is_due():
    ticks, telemetry = made((fan, 30))
    message(telemetry)
    ticks.ms += 29999
    assert telemetry.wait_ms() == 1
    assert message(telemetry) is None
    ticks.ms += 1
    assert telemetry.wait_ms() == 0
    assert message(telemetry)


def test_a_fixed_interval_changes_only_by_name():
    ticks, telemetry = made((fan, 600))
    telemetry.add(level, 60, True)
    message(telemetry)
    telemetry.every(5)
    ticks.ms += 5000
    assert message(telemetry)["telemetries"] == {"fan_speed": 100.5, "usbc": True}
    telemetry.every(10, "level")
    ticks.ms += 10000
    assert message(telemetry)["telemetries"]["level"] == 3


def level():
    return {"level": 3}


def test_sensors_that_are_due_together_share_a_message():
    ticks, telemetry = made((fan, 10), (level, 20))
    message(telemetry)
    ticks.ms += 10000
    assert message(telemetry)["telemetries"] == {"fan_speed": 100.5, "usbc": True}
    ticks.ms += 10000
    assert message(telemetry)["telemetries"] == {"fan_speed": 100.5, "usbc": True, "level": 3}


def test_a_sensor_that_has_the_loop_go_on_is_not_read_within_itself():
    inner = []

    def waits():
        inner.append(telemetry.read())
        return {"a": 1}

    ticks, telemetry = made((waits, 30), (fan, 30))
    assert message(telemetry)["telemetries"]["a"] == 1
    assert [json.loads(body)["telemetries"] for body in inner] == [fan()]


def test_a_loop_that_was_late_does_not_read_in_a_burst():
    ticks, telemetry = made((fan, 10))
    message(telemetry)
    ticks.ms += 95000
    assert message(telemetry)
    assert message(telemetry) is None
    assert telemetry.wait_ms() == 5000


def test_sensors_of_one_interval_share_their_messages_whenever_they_were_added_or_changed():
    ticks, telemetry = made((fan, 5))
    ticks.ms += 3
    telemetry.add(level, 7)
    message(telemetry)
    ticks.ms += 2400
    telemetry.every(5)
    ticks.ms += telemetry.wait_ms()
    both = {"fan_speed": 100.5, "usbc": True, "level": 3}
    assert ticks.ms == 5000 and message(telemetry)["telemetries"] == both
    # read late, and changed again
    ticks.ms += 5040
    assert message(telemetry)["telemetries"] == both
    telemetry.every(2, "level")
    telemetry.every(2)
    ticks.ms += telemetry.wait_ms()
    assert ticks.ms == 12000 and message(telemetry)["telemetries"] == both


def test_the_interval_can_be_changed_while_it_runs():
    ticks, telemetry = made((fan, 600))
    message(telemetry)
    telemetry.every(5)
    assert telemetry.wait_ms() == 5000
    telemetry.every(60, "fan")
    ticks.ms += 5000
    message(telemetry)
    assert telemetry.wait_ms() == 55000
    text_of(KeyError, telemetry.every, 5, "nobody")


def test_a_sensor_that_raises_is_told_and_the_others_go_on():
    def broken():
        raise OSError(5)

    ticks, telemetry = made((fan, 10), (broken, 10))
    told = message(telemetry)
    assert told["status"] == "error"
    assert told["telemetries"]["usbc"] is True
    assert "broken: OSError" in told["message"]


def test_of_what_a_sensor_raises_no_more_is_kept_than_is_told():
    def broken():
        raise ValueError("no answer: " + 20000 * "x")

    ticks, telemetry = made((broken, 10), (fan, 10))
    for _ in range(10):
        told = message(telemetry)
        assert told["message"].startswith("broken: ValueError: no answer: xxx") and told["telemetries"]["usbc"] is True
        assert len(telemetry._sensors[0][4]) < 1100
        ticks.ms += 10000


def test_a_sensor_that_recovers_is_online_again():
    answers = [OSError(5), {"a": 1}]

    def flaky():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    ticks, telemetry = made((flaky, 10))
    assert message(telemetry)["status"] == "error"
    ticks.ms += 10000
    assert message(telemetry) == {"status": "online", "telemetries": {"a": 1}}


def test_a_value_that_the_cloud_does_not_take_is_left_out_and_counted():
    def odd():
        return {"good": 1, "list": [1], "big": 1 << 31, "long": "x" * 1001, "nan": float("nan"), "inf": float("inf"), 5: 1, "bytes": b"x"}

    _, telemetry = made((odd, 10))
    assert message(telemetry)["telemetries"] == {"good": 1}
    assert telemetry.refused == 7


def test_a_nul_costs_the_reading_in_which_it_is_and_no_other():
    def serial():
        return {"good": 1, "serial": "SN42\0\0", "na\0me": 2}

    def broken():
        raise ValueError("answered OK\0\0")

    _, telemetry = made((serial, 10), (broken, 10))
    telemetry.notice("restarted\0")
    told = message(telemetry)
    assert told["telemetries"] == {"good": 1} and telemetry.refused == 2
    assert told["message"] == "broken: ValueError: answered OK; restarted"


def test_the_bounds_of_a_value_are_the_clouds():
    for value in (0, True, None, 2147483647, -2147483648, 3.4e38, "x" * 1000):
        assert refusal("k", value) is None, value
    for value in (2147483648, -2147483649, "ü" * 501, {}, (1,)):
        assert refusal("k", value), value


def test_none_removes_a_key():
    answers = [{"a": 1, "b": 2}, {"a": None}]
    ticks, telemetry = made((lambda: answers.pop(0), 10))
    message(telemetry)
    ticks.ms += 10000
    assert message(telemetry)["telemetries"] == {"a": None}
    assert telemetry.state == {"b": 2}


def test_the_state_does_not_grow_with_ever_new_keys():
    count = [0]

    def growing():
        count[0] += 1
        return {"key%d" % count[0]: count[0]}

    ticks, telemetry = made((growing, 10))
    for _ in range(200):
        message(telemetry)
        ticks.ms += 10000
    assert len(telemetry.state) == 64
    assert telemetry.refused == 136
    # what it has is told further
    count[0] = 0
    assert message(telemetry)["telemetries"] == {"key1": 1} and telemetry.refused == 136


def test_a_notice_goes_out_once():
    ticks, telemetry = made((fan, 10))
    telemetry.notice("config 3 refused")
    assert message(telemetry)["message"] == "config 3 refused"
    ticks.ms += 10000
    assert "message" not in message(telemetry)


def test_a_sensor_that_returns_no_dict_is_an_error():
    _, telemetry = made((lambda: 5, 10))
    assert "returns a dict" in message(telemetry)["message"]


def test_an_interval_that_is_none_is_refused():
    assert text_of(ValueError, made, (fan, 0))
    assert text_of(ValueError, made, (fan, -1))


def test_notices_that_come_together_are_told_together_and_without_secrets():
    log.hide("hunter2hunter2")
    ticks, telemetry = made((fan, 10))
    for text in ("one", "x" * 195 + "hunter2hunter2", "three" * 100):
        telemetry.notice(text)
    told = message(telemetry)["message"]
    assert told.startswith("one; xxx") and "hunt" not in told and len(told) <= 400
    # one alone leaves room for the next
    for text in ("x" * 400, "hunter2"):
        telemetry.notice(text)
    ticks.ms += 10000
    assert message(telemetry)["message"].endswith("xxx; hunter2")


def test_an_interval_is_changed_to_seconds_only():
    _, telemetry = made((fan, 10))
    for seconds in (0, -1, None, "5", True):
        text_of(ValueError, telemetry.every, seconds)


def test_what_the_spool_did_not_take_is_told_with_the_next_message():
    ticks, telemetry = made((fan, 20), (level, 10))
    telemetry.notice("config 3 refused")
    # no memory to keep it
    telemetry.read()
    ticks.ms += 10000
    told = message(telemetry)
    assert told["override"] and told["message"] == "config 3 refused" and len(told["telemetries"]) == 3
    ticks.ms += 10000
    told = message(telemetry)
    assert "override" not in told and "message" not in told


def test_a_first_message_that_is_too_large_leaves_the_override_to_one_that_is_smaller():
    ticks, telemetry = made((fan, 20), (level, 10))
    telemetry.notice("config 3 refused")
    message(telemetry, False)
    ticks.ms += 10000
    told = message(telemetry)
    assert told["telemetries"] == {"level": 3} and told["override"] and told["message"] == "config 3 refused"
    ticks.ms += 20000
    message(telemetry, False)
    ticks.ms += 10000
    assert "override" not in message(telemetry)


def test_a_reading_that_is_left_out_each_time_is_said_once_and_counted():
    ticks, telemetry = made((lambda: {"level": float("nan"), "ok": 1}, 10))
    for _ in range(5):
        assert message(telemetry)["telemetries"] == {"ok": 1}
        ticks.ms += 10000
    assert telemetry.refused == 5
    assert len([line for line in log.lines() if "'level' is left out" in line]) == 1


def test_readings_that_grow_and_many_of_them_are_said_once_each_too():
    values = {"key%d" % number: float("nan") for number in range(12)}
    values["bytes"] = 1 << 31
    ticks, telemetry = made((lambda: values, 10))
    before = len(log.lines())
    for _ in range(3):
        message(telemetry)
        values["bytes"] += 1000
        ticks.ms += 10000
    assert telemetry.refused == 39 and len(log.lines()) - before == 13


def test_a_sensor_that_has_the_loop_go_on_for_longer_than_its_interval_is_not_read_within_itself_either():
    begun = [0]
    within = []

    def slow():
        begun[0] += 1
        # else it would never come to an end
        for _ in range(12 if begun[0] < 5 else 0):
            ticks.ms += 1000
            within.append(telemetry.read())
        return {"begun": begun[0]}

    ticks, telemetry = made((slow, 5))
    assert message(telemetry)["telemetries"] == {"begun": 1}
    assert within == 12 * [None]


def test_while_a_sensor_is_read_its_own_interval_asks_for_nothing():
    waits = []

    def slow():
        ticks.ms += 7000
        waits.append(telemetry.wait_ms())
        return {}

    ticks, telemetry = made((slow, 5), (fan, 60))
    telemetry.read()
    assert waits == [0] and telemetry.wait_ms() == 0
    telemetry.read()
    assert waits[1] > 5000


def test_a_driver_that_counts_as_empty_is_a_sensor():
    class Driver:
        def __len__(self):
            return 0

        def __call__(self):
            return {"level": 1}

    _, telemetry = made((Driver(), 10))
    assert message(telemetry)["telemetries"] == {"level": 1}


def test_a_sensor_that_is_wanted_soon_while_it_is_read_is_read_once_more():
    read = []

    def level():
        # a button is pressed meanwhile
        if not read:
            telemetry.soon("level")
        read.append(ticks.ms)
        return {"level": len(read)}

    ticks, telemetry = made((level, 60))
    telemetry.read()
    assert telemetry.wait_ms() == 0 and telemetry.read() and len(read) == 2 and telemetry.wait_ms() == 60000


def test_soon_is_for_the_sensor_of_that_name_alone():
    ticks, telemetry = made((fan, 60), (level, 60))
    message(telemetry)
    telemetry.soon("level")
    assert message(telemetry)["telemetries"] == {"level": 3}


def test_a_reading_that_cannot_be_looked_at_costs_its_sensor_and_not_the_loop():
    class State(int):
        pass

    _, telemetry = made((lambda: {"state": State(3)}, 10), (fan, 10))
    # CPython compares such numbers, MicroPython does not
    assert message(telemetry)["telemetries"]["usbc"] is True


def test_of_a_name_that_is_left_out_no_more_is_kept_than_is_said():
    count = [0]

    def scan():
        count[0] += 1
        return {"%d %s" % (count[0], 5000 * "x"): 1}

    ticks, telemetry = made((scan, 5))
    for _ in range(20):
        telemetry.read()
        ticks.ms += 5000
    assert telemetry.refused == 20 and sum([len(said[1][1]) for said in log._once]) < 4000
