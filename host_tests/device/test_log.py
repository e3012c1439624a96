from redpoll import log, port
from redpoll.cloud.registration import Refused


def last():
    return log.lines()[-1]


def test_a_hidden_secret_is_struck_out():
    log.hide("hunter2hunter2")
    log.warning("refused with %s in it", "hunter2hunter2")
    assert "hunter2" not in last()
    assert "refused with *** in it" in last()


def test_what_is_too_short_for_a_secret_is_not_struck_out():
    for secret in (None, "", "pin", "pin4"):
        log.hide(secret)
    assert log.redact("a pin, pin4") == "a pin, ***"


def test_eight_secrets_are_hidden_however_often_each_comes():
    secrets = ["secret %d" % number for number in range(8)]
    for secret in secrets + 8 * secrets[-1:]:
        log.hide(secret)
    assert log.redact(", ".join(secrets)) == ", ".join(8 * ["***"])


def test_a_secret_with_a_nul_in_it_is_one_all_the_same():
    log.hide("hunter2hunter2")
    assert log.redact("it was hunt\0er2hunter2\0") == "it was ***"


def test_control_characters_do_not_reach_the_terminal():
    log.info("named %s", "a\x1b[2Jb\nc")
    assert "named a?[2Jb?c" in last()
    log.info("named %s", "a\x7fb")
    assert "named a?b" in last()


def test_a_long_line_is_cut_and_old_lines_go():
    for number in range(100):
        log.info("line %d %s", number, "x" * 500)
    assert len(log.lines()) == 60
    assert len(last()) < 230
    assert "line 99" in last()


def test_a_percent_sign_without_values_is_just_that():
    log.info("100%")
    assert last().endswith("100%")


def test_a_secret_in_use_stays_hidden_however_many_come():
    for number in range(20):
        log.hide("in use all the time")
        log.hide("another secret %d" % number)
    log.info("in use all the time")
    assert "***" in last()


def test_what_every_connection_would_say_again_is_said_once():
    for _ in range(3):
        for number in range(4):
            log.once("host %d: not encrypted", number)
    assert len([line for line in log.lines() if "not encrypted" in line]) == 4


def test_after_32_others_it_is_said_again():
    for number in list(range(33)) + [32, 1, 0]:
        log.once("host %d: not encrypted", number)
    said = [line[line.find("host") :].split(":")[0] for line in log.lines() if "not encrypted" in line]
    assert said == ["host %d" % number for number in list(range(33)) + [0]]


def test_the_time_of_a_line_goes_on_when_the_ticks_wrap():
    ticks = port.ticks_ms()
    real, port.ticks_ms = port.ticks_ms, lambda: ticks
    try:
        before = log.seconds()
        for _ in range(400):
            ticks = port.ticks_add(ticks, 3600500)
            passed = log.seconds() - before
        log.info("here")
    finally:
        port.ticks_ms = real
    assert passed == 1440200, passed
    assert last().startswith("[%5d." % (before + passed))


def test_what_is_kept_is_what_the_console_shows():
    shown = []
    log.print = shown.append
    try:
        log.info("here")
    finally:
        del log.print
    assert shown == [last()]


def test_a_name_that_is_not_found_and_a_tls_connection_that_ends_are_told_apart():
    assert log.describe(OSError(-202)) == "the host name was not found (-202)"
    ended = log.describe(OSError(-29312, "MBEDTLS_ERR_SSL_CONN_EOF"))
    assert "host name" not in ended and "MBEDTLS_ERR_SSL_CONN_EOF" in ended
    # a MicroPython without the texts of mbedTLS
    assert log.describe(OSError(-29312)) == "OSError: -29312"
    assert log.describe(ValueError(-202)) == "ValueError: -202"


def test_an_exception_without_a_text_has_its_name_and_a_refusal_its_text():
    assert log.describe(OSError()) == "OSError"
    assert log.describe(Refused("no such entry")) == "no such entry"


def test_a_traceback_that_finds_no_memory_is_left_out():
    def greedy(*_):
        raise MemoryError

    real = port.print_exception
    port.print_exception = greedy
    try:
        log.trace(ValueError())
    finally:
        port.print_exception = real


def test_a_traceback_does_not_steer_the_terminal_either():
    shown = []
    log.print = shown.append
    try:
        raise ValueError("\x1b[2J")
    except ValueError as error:
        log.trace(error)
    finally:
        del log.print
    assert shown and not any("\x1b" in line for line in shown)
