# Wi-Fi that goes and comes, on both chips' stand-ins.
from chip_fakes import play
from redpoll import log
from redpoll.clock import Clock
from redpoll.net.wifi import Wifi
from scratch import Ticks

CHIPS = ("esp32", "rp2")
HOUR = 3600000


class Settings:
    ntp = "off"
    wifi_ssid = "hall"
    wifi_password = "password-1"


class Bench:
    """A station of a chip, its access point and the time."""

    def __init__(self, chip, air="on"):
        port, _, self.wlan = play(chip)
        self.ticks = Ticks()
        self.clock = self.wlan.clock = Clock(self.ticks, lambda: None)
        self.wlan.air = air
        self.settings = Settings()
        self.wifi = Wifi(port.station(), self.clock, self.settings)

    def run(self, ms, until_up=True):
        """Let so much time pass, or less when it comes up. Returns whether it is."""
        end = self.ticks.ms + ms
        while self.ticks.ms < end:
            wait = self.wifi.poll()
            if until_up and not wait:
                return True
            self.ticks.ms += min(wait or 1000, 1000)
        return self.wifi.up

    def said(self, text):
        """How many lines of the console have it."""
        return len([line for line in log.lines() if text in line])


def test_it_comes_up_and_says_so():
    for chip in CHIPS:
        bench = Bench(chip)
        assert bench.run(5000)
        assert bench.wifi.trouble is None
        assert bench.said("Wi-Fi hall: connected as 192.168.4.2")
        assert bench.wlan.attempts[0][1:] == ("hall", "password-1")


def test_a_call_never_waits():
    bench = Bench("rp2", "off")
    for _ in range(100):
        assert 0 < bench.wifi.poll() <= 60000


def test_a_connection_that_nobody_looked_at_for_long_is_one():
    for chip in CHIPS:
        bench = Bench(chip)
        bench.wifi.poll()
        bench.ticks.ms += 30000
        assert bench.wifi.poll() == 0 and bench.wifi.up and not bench.wifi.trouble


def test_a_wrong_password_is_said_and_the_right_one_of_the_access_point_found_later():
    for chip in CHIPS:
        bench = Bench(chip, "password")
        assert not bench.run(30000)
        assert bench.wifi.trouble == "Wi-Fi hall: wrong password"
        assert bench.said("wrong password; again in")
        bench.wlan.air = "on"
        assert bench.run(70000)


def test_after_a_failure_the_next_attempt_has_its_whole_time_again():
    # an ESP32 goes on to say that there is no access point until it has an address
    for chip in CHIPS:
        for air in ("off", "password"):
            bench = Bench(chip, air)
            assert not bench.run(10000)
            bench.wlan.air = "on"
            bench.wlan.dhcp_ms = 9000
            assert bench.run(40000)


def test_an_access_point_that_is_gone_for_an_hour_is_found_when_it_is_back():
    for chip in CHIPS:
        bench = Bench(chip)
        assert bench.run(5000)
        bench.wlan.air = "off"
        before = len(bench.wlan.attempts)
        said = bench.said("no such access point")
        assert not bench.run(HOUR, until_up=False)
        assert bench.wifi.trouble == "Wi-Fi hall: no such access point"
        assert bench.wifi.drops == 1
        attempts = len(bench.wlan.attempts) - before
        # seldom enough for a battery, often enough to be back within a minute
        assert 50 < attempts < 200
        # and most of the last lines are still others
        assert bench.said("no such access point") - said < 25
        bench.wlan.air = "on"
        assert bench.run(70000)
        assert "connected as" in log.lines()[-1]


def test_the_waits_between_attempts_grow_to_a_minute_and_begin_anew_after_a_connection():
    bench = Bench("esp32", "off")
    bench.wifi._backoff.random16 = lambda: 65535
    bench.run(600000)
    times = [at for at, _, _ in bench.wlan.attempts]
    gaps = [later - earlier for earlier, later in zip(times, times[1:])]
    assert gaps[0] < 10000 and 60000 <= gaps[-1] < 70000
    bench.wlan.air = "on"
    assert bench.run(70000)
    bench.wlan.air = "off"
    bench.run(30000, until_up=False)
    assert len([at for at, _, _ in bench.wlan.attempts if at > times[-1]]) >= 3


def test_without_an_address_it_says_that_dhcp_does_not_answer():
    for chip in CHIPS:
        bench = Bench(chip, "no dhcp")
        assert not bench.run(30000)
        assert bench.wifi.trouble == "Wi-Fi hall: no address from its DHCP server"
        bench.wlan.air = "on"
        assert bench.run(70000)


def test_a_password_that_the_driver_refuses_is_said_and_no_exception():
    bench = Bench("rp2")
    bench.settings.wifi_password = "short"
    assert not bench.run(10000)
    assert "ValueError: key" in bench.wifi.trouble


def test_another_name_from_the_cloud_is_tried_at_once():
    for chip in CHIPS:
        bench = Bench(chip)
        assert bench.run(5000)
        bench.settings.wifi_ssid = "office"
        assert bench.wifi.poll() and not bench.wifi.up
        assert bench.run(5000)
        assert bench.wlan.attempts[-1][1] == "office"


def test_a_radio_that_hangs_is_switched_off_and_on():
    for chip in CHIPS:
        bench = Bench(chip)
        bench.wlan.hung = False
        assert not bench.run(120000)
        assert bench.wifi.trouble == "Wi-Fi hall: no answer"
        assert bench.run(HOUR // 2)


def test_off_takes_the_current_from_the_radio():
    for chip in CHIPS:
        bench = Bench(chip)
        assert bench.run(5000)
        bench.wifi.off()
        assert not bench.wlan.activated and not bench.wifi.up


def test_a_connection_that_is_lost_is_said_and_made_anew():
    for chip in CHIPS:
        bench = Bench(chip)
        assert bench.run(5000)
        bench.wlan.disconnect()
        wait = bench.wifi.poll()
        assert 0 < wait <= 1000 and not bench.wifi.up and bench.wifi.rssi() is None
        assert bench.wifi.trouble == "Wi-Fi hall: the connection was lost"
        # it is not made before that time, also when it is asked earlier
        bench.ticks.ms += wait - 1
        attempts = len(bench.wlan.attempts)
        assert bench.wifi.poll() == 1 and len(bench.wlan.attempts) == attempts
        assert bench.run(5000) and bench.wifi.rssi() == -61


def test_what_a_driver_raises_is_a_failed_attempt():
    for chip in CHIPS:
        for error in (OSError("Wifi Internal Error"), RuntimeError("Wifi Unknown Error 0x0101")):
            bench = Bench(chip)

            def fail(*values, error=error):
                raise error

            start = bench.wifi._station.start
            stop = bench.wifi._station.stop
            bench.wifi._station.start = bench.wifi._station.stop = fail
            assert bench.wifi.poll() > 0
            assert bench.wifi.trouble == "Wi-Fi hall: %s: %s" % (type(error).__name__, error)
            bench.wifi._station.start = start
            bench.wifi._station.stop = stop
            assert bench.run(10000)
            bench.wifi._station.stop = bench.wifi._station.off = fail
            bench.wifi.off()
            assert not bench.wifi.up


def test_another_name_begins_with_short_waits_and_its_own_count_of_failures():
    bench = Bench("esp32", "off")
    bench.run(600000)
    failed = bench.wifi._failed
    assert failed > 5
    bench.settings.wifi_ssid = "office"
    at = bench.ticks.ms
    bench.run(15000)
    assert len([when for when, name, _ in bench.wlan.attempts if name == "office"]) >= 2
    assert bench.wlan.attempts[-1][0] - at < 15000 and bench.wifi._failed < failed


def test_an_access_point_that_stays_away_is_said_again_at_each_tenth_failure():
    bench = Bench("rp2", "off")
    while bench.wifi._failed < 31:
        bench.run(1000)
    assert bench.said("no such access point") == 4
    # what is new is said at once
    bench.wlan.air = "password"
    while bench.wifi._failed < 32:
        bench.run(1000)
    assert bench.said("wrong password") == 1


def test_failures_before_a_connection_do_not_count_for_the_next_one():
    bench = Bench("esp32", "off")
    while bench.wifi._failed < 9:
        bench.run(1000)
    bench.wlan.air = "on"
    assert bench.run(70000)
    off = []
    bench.wifi._station.off = lambda: off.append(1)
    bench.wlan.air = "off"
    attempts = len(bench.wlan.attempts)
    while len(bench.wlan.attempts) < attempts + 4:
        bench.run(1000)
    assert not off


def test_what_the_chip_says_of_an_attempt_is_told_in_words():
    refused = "refused by the access point"
    for chip, status, words in (
        ("esp32", 15, "wrong password"),
        ("esp32", 204, "wrong password"),
        ("esp32", 201, "no such access point"),
        ("esp32", 210, "no such access point"),
        ("esp32", 212, "no such access point"),
        ("esp32", 209, refused + " (209)"),
        ("esp32", 213, refused + " (213)"),
        ("esp32", 1001, None),
        ("rp2", -1, refused),
        ("rp2", 1, None),
    ):
        bench = Bench(chip)

        def say(what=None, status=status):
            if what:
                raise ValueError("unknown status param")
            return status

        bench.wlan.status = say
        assert bench.wifi._station.trouble() == words, status
