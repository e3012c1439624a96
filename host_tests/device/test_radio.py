# The radio alone, on a chip's stand-in: the link is played.
from chip_fakes import play
from redpoll import port
from redpoll.clock import Clock
from redpoll.net import ntp
from redpoll.radio import Radio
from scratch import Ticks


class Settings:
    ntp = "off"
    wifi_ssid = "hall"
    wifi_password = "password-1"


class Asked:
    """Stands for Ntp."""

    trouble = None
    made = []

    def __init__(self, clock, host, set_wall):
        Asked.made.append(host)

    def poll(self):
        Bench.told.append("asked")
        return 60000

    def asking(self):
        return False


class Bench:
    """A radio, the link that it is for, and the handler of that. `told` is what these were told, in order."""

    told = []

    def __init__(self, station=True):
        chip_port, _, self.wlan = play("esp32")
        port.station = chip_port.station if station else lambda: None
        self.ticks = Ticks()
        self.wlan.clock = Clock(self.ticks, lambda: None)
        self.alive_at = self.adapter = self.trouble = None
        self.failures = 0
        self.handler = self
        self.settings = Settings()
        Bench.told = []
        ntp.Ntp = Asked
        self.radio = Radio(self, self.wlan.clock, self.settings)

    def feed(self):
        self.told.append("feed")

    def close(self):
        self.told.append("close")

    def restart(self):
        self.told.append("restart")

    def run(self, ms=5000):
        """Let so much time pass. Whether there is a network."""
        end = self.ticks.ms + ms
        while self.ticks.ms < end:
            self.ticks.ms += self.radio.poll() or 1000
        return self.radio.up()

    def fail(self, times):
        """So many attempts of the link fail. Whether there is a network after them."""
        for _ in range(times):
            self.alive_at = None
            self.failures += 1
            self.trouble = "no answer"
            self.radio.poll()
        return self.radio.up()

    def readings(self):
        told = {}
        self.radio.add_readings(told)
        return told


def test_the_link_begins_anew_with_each_connection_and_ends_with_it():
    bench = Bench()
    assert not bench.radio.up()
    assert bench.run() and bench.told.count("restart") == 1
    bench.wlan.disconnect()
    bench.told.clear()
    bench.radio.poll()
    assert bench.told == ["close"] and not bench.radio.up()
    assert bench.run() and bench.told.count("restart") == 1


def test_what_the_link_says_of_itself_stays_until_the_wifi_has_something_to_say():
    bench = Bench()
    bench.trouble = "no answer"
    bench.wlan.air = "off"
    assert bench.radio.poll() and bench.trouble == "no answer"
    bench.run(10000)
    assert bench.trouble == "Wi-Fi hall: no such access point"


def test_the_watchdog_is_fed_between_two_names_that_are_looked_up():
    bench = Bench()
    bench.settings.ntp = "time.example"
    bench.run()
    assert bench.told[bench.told.index("restart") :][:3] == ["restart", "asked", "feed"]
    assert Asked.made[-1] == "time.example"
    bench = Bench()
    bench.settings.ntp = ""
    bench.run()
    assert Asked.made[-1] == "pool.ntp.org"


def test_the_wifi_is_doubted_after_eight_failures_without_a_session_between():
    bench = Bench()
    bench.run()
    for _ in range(3):
        assert bench.fail(7)
        bench.alive_at = bench.ticks.ms
        bench.run(1000)
    assert bench.fail(7)
    assert not bench.fail(1)
    assert bench.trouble == "Wi-Fi hall: no session: no answer"
    # in an outage from then on more seldom
    assert bench.run(10000) and bench.fail(7)
    assert not bench.fail(1)
    assert bench.run(10000) and bench.fail(15)
    # until there was a session again
    bench.alive_at = bench.ticks.ms
    bench.run(1000)
    assert bench.fail(7) and not bench.fail(1)


def test_a_heartbeat_tells_what_there_is_to_tell():
    bench = Bench()
    assert bench.readings() == {"wifi_drops": 0}
    bench.settings.ntp = "time.example"
    bench.run()
    assert bench.readings() == {"wifi_drops": 0, "wifi_rssi_dbm": -61}
    bench.radio._ntp.trouble = "NTP time.example: no answer"
    for _ in range(2):
        assert bench.readings()["ntp_trouble"] == "NTP time.example: no answer"
    bench.radio._ntp.trouble = None
    # taken out of what the cloud knows
    assert bench.readings()["ntp_trouble"] is None
    assert "ntp_trouble" not in bench.readings()


def test_a_board_without_a_radio_has_its_network_elsewhere():
    bench = Bench(station=False)
    assert bench.radio.poll() == 0 and bench.radio.up() and bench.readings() == {}
    bench.radio.off()
