from redpoll.clock import Clock, iso
from redpoll.cloud.https import parse_http_date
from redpoll.cloud.timestamps import parse_iso
from scratch import Ticks


def unknown():
    return None


def test_uptime_goes_on_when_the_ticks_wrap():
    ticks = Ticks()
    clock = Clock(ticks, unknown)
    before = ticks()
    ticks.ms += 1000
    assert ticks() < before
    assert clock.ms() == 1000


def test_no_timestamp_while_the_time_is_unknown():
    clock = Clock(Ticks(), unknown)
    assert not clock.known()
    assert clock.iso_at(clock.ms()) is None


def test_what_was_read_before_the_time_was_known_is_stamped_afterwards():
    ticks = Ticks()
    clock = Clock(ticks, unknown)
    ticks.ms = 5000
    taken = clock.ms()
    ticks.ms = 65000
    clock.set(1628063145122 + 60000)
    assert clock.iso_at(taken) == "2021-08-04T07:45:45.122Z"


def test_a_server_less_than_two_seconds_off_does_not_move_the_clock():
    clock = Clock(Ticks(), unknown)
    clock.set(1628063145122)
    clock.set(1628063146000)
    assert clock.wall_at(0) == 1628063145122
    clock.set(1628063149000)
    assert clock.wall_at(0) == 1628063149000


def test_iso_knows_leap_years_and_centuries():
    assert iso(0) == "1970-01-01T00:00:00.000Z"
    assert iso(951782400000) == "2000-02-29T00:00:00.000Z"
    assert iso(1709251199999) == "2024-02-29T23:59:59.999Z"
    assert iso(4107542400000) == "2100-03-01T00:00:00.000Z"


def test_http_dates_are_read_back_to_the_same_instant():
    assert iso(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT")) == "1994-11-06T08:49:37.000Z"
    assert iso(parse_http_date("Thu, 29 Feb 2024 23:59:59 GMT")) == "2024-02-29T23:59:59.000Z"


def test_dates_of_every_month_are_read_and_written_alike():
    days = 0
    for year in (2023, 2024, 2025):
        for month in range(12):
            # the first of the month
            text = "%d-%02d-01T00:00:00" % (year, month + 1)
            ms = 1672531200000 + days * 86400000
            assert iso(ms) == text + ".000Z" and parse_iso(text + "Z") == ms
            name = "JanFebMarAprMayJunJulAugSepOctNovDec"[3 * month : 3 * month + 3]
            assert parse_http_date("Mon, 01 %s %d 00:00:00 GMT" % (name, year)) == ms
            days += (31, 29 if year == 2024 else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)[month]


def test_what_is_no_http_date_gives_no_time():
    for text in (
        "",
        "yesterday",
        "Sun, 06 Nov 1994 08:49:37 CET",
        "Sun, 06 anF 1994 08:49:37 GMT",
        "Sun, 06 JanFeb 1994 08:49:37 GMT",
        "Sun, x Nov 1994 08:49:37 GMT",
    ):
        assert parse_http_date(text) is None


def test_iso_times_are_read_back_to_the_same_instant():
    assert parse_iso("2021-08-04T07:45:44.122Z") == 1628063144122
    assert parse_iso("2022-03-17T10:55:28+01:00") == parse_iso("2022-03-17T09:55:28Z")
    assert parse_iso("2022-03-17T04:55:28.5-05:00") == parse_iso("2022-03-17T09:55:28.500Z")


def test_what_is_no_iso_time_gives_no_time():
    for text in ("", "tomorrow", "2022-03-17", "2022-03-17T10:55", "2022-03-17T10:55:28", "x-y-zTa:b:cZ", None, 5, {}):
        assert parse_iso(text) is None, text
