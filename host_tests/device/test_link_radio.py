# The agent on a board with Wi-Fi: what is told of it, and sleep between messages.
import json
from errno import ETIMEDOUT

from chip_fakes import Reset, play
from cloud_fakes import HTTP, Reply
from http_bench import Bench
from redpoll import log, port
from redpoll.net import ntp
from rsa_vectors import SPKI_2048
from support import raises

# an agent, a cloud, a chip and all that was said, on the heap of the test
HEAP = "1M"


class RadioBench(Bench):
    """An agent on a chip's stand-in. `fails`: what the cloud raises instead of an answer."""

    def __init__(self, chip="esp32", **settings):
        chip_port, self.machine, self.wlan = play(chip)
        for name in ("station", "deep_sleep"):
            setattr(port, name, getattr(chip_port, name))
        self.fails = None
        self.settings = {"ntp": "off"}
        self.settings.update(settings)
        super().__init__()

    def start(self):
        with open("settings.json") as file:
            values = json.loads(file.read())
        values.update(self.settings)
        with open("settings.json", "w") as file:
            file.write(json.dumps(values))
        super().start()
        self.wlan.clock = self.agent.clock

    def serve(self, method, path, body):
        if self.fails:
            raise self.fails
        if self.wlan.hung:
            raise OSError(ETIMEDOUT)
        return super().serve(method, path, body)

    def run(self, ms):
        end = self.ticks.ms + ms
        while self.ticks.ms < end:
            self.ticks.ms += min(max(self.agent.poll(), 1), 500)

    def told(self, key):
        """What the cloud was told of it last."""
        found = [body["telemetries"][key] for body in self.made("POST", "/telemetry") if key in body["telemetries"]]
        return found[-1] if found else None


WIFI = {"wifi_ssid": "hall", "wifi_password": "password-1"}


class Asked:
    """Stands for Ntp, which has asked and got its answer."""

    trouble = None

    def __init__(self, clock, host, set_wall):
        self.clock = clock
        self.began = clock.ms()

    def poll(self):
        return 60000

    def asking(self):
        return False


def test_nothing_is_sent_before_the_wifi_is_up():
    bench = RadioBench(**WIFI)
    bench.wlan.air = "off"
    bench.run(20000)
    assert not HTTP.requests
    bench.wlan.air = "on"
    bench.run(70000)
    assert bench.told("fan_speed") == 100.5


def test_why_the_wifi_was_down_is_in_the_next_heartbeat():
    for air, why in (("off", "no such access point"), ("password", "wrong password"), ("no dhcp", "no address from its DHCP server")):
        for chip in ("esp32", "rp2"):
            bench = RadioBench(chip, **WIFI)
            bench.run(70000)
            assert bench.told("wifi_drops") == 0 and bench.told("link_trouble") is None
            bench.wlan.air = air
            bench.run(90000)
            bench.wlan.air = "on"
            bench.run(150000)
            assert bench.told("link_trouble") == "Wi-Fi hall: " + why
            assert bench.told("wifi_drops") == 1 and bench.told("wifi_rssi_dbm") == -61


def test_an_hour_without_access_point_loses_no_message():
    bench = RadioBench(**WIFI)
    bench.run(5000)
    bench.wlan.air = "off"
    bench.run(3600000)
    assert len(bench.agent.spool) > 60
    bench.wlan.air = "on"
    bench.run(120000)
    assert len(bench.agent.spool) == 0
    assert bench.told("spool_dropped") == 0


def test_a_name_server_that_does_not_answer_is_told_and_tried_again():
    bench = RadioBench(**WIFI)
    bench.fails = OSError(-202)
    bench.run(70000)
    assert any("the host name was not found" in line for line in log.lines())
    bench.fails = None
    bench.run(400000)
    assert "the host name was not found" in bench.told("link_trouble")


def test_an_answer_about_the_time_is_taken_when_it_comes_and_not_with_the_next_turn_of_an_idle_link():
    class Waits(Asked):
        def poll(self):
            looks.append(self.clock.ms())
            return 100 if self.clock.ms() < 30000 else 60000

    looks = []
    ntp.Ntp, real = Waits, ntp.Ntp
    try:
        bench = RadioBench(ntp="time.example", **WIFI)
        for fails in (None, OSError(-202)):
            bench.fails = fails
            while bench.ticks.ms < (20000 if fails is None else 40000):
                bench.ticks.ms += max(1, min(bench.agent.poll(), 1000))
    finally:
        ntp.Ntp = real
    gaps = [later - look for look, later in zip(looks, looks[1:])]
    assert max(gap for gap, look in zip(gaps, looks) if look < 30000) <= 100
    # nothing is turned faster for it when nothing is awaited
    assert len([look for look in looks if look > 31000]) < 30


def test_nothing_is_connected_before_the_answer_about_the_time_for_without_it_tls_fails():
    class Asking(Asked):
        def poll(self):
            return 100 if self.asking() else 60000

        def asking(self):
            return self.clock.ms() < self.began + 2500

    ntp.Ntp, real = Asking, ntp.Ntp
    try:
        bench = RadioBench(ntp="time.example", **WIFI)
        fed = []
        bench.agent.feed = lambda: fed.append(bench.ticks.ms)
        while not bench.agent.link.radio or not bench.agent.link.radio._ntp:
            bench.ticks.ms += max(1, min(bench.agent.poll(), 500))
        since = bench.ticks.ms
        fed.clear()
        HTTP.requests.clear()
        bench.run(2000)
        assert not HTTP.requests and not bench.agent.connected() and len(fed) >= 40
        bench.run(1000)
        assert bench.agent.connected()
        # and a session that there is goes on while it is asked once more
        bench.agent.link.radio._ntp.began = bench.ticks.ms
        bench.run(1000)
        assert bench.agent.connected() and since
    finally:
        ntp.Ntp = real


def test_a_wrong_time_is_asked_for_anew_when_the_cloud_is_not_reached_with_it():
    class Counted(Asked):
        def __init__(self, *args):
            super().__init__(*args)
            asked.append(self.began)

    asked = []
    ntp.Ntp, real = Counted, ntp.Ntp
    try:
        bench = RadioBench(ntp="time.example", **WIFI)
        bench.run(70000)
        assert len(asked) == 1
        # as every server's certificate is in a year that is not yet
        bench.fails = OSError("The certificate validity has expired")
        bench.run(1200000)
        assert 2 <= len(asked) <= 4
    finally:
        ntp.Ntp = real


def test_a_captive_portal_is_told_and_tried_again():
    bench = RadioBench(**WIFI)
    page = Reply(302, b"<html>please sign in</html>")
    bench.answers[("POST", "/telemetry")] = page
    bench.run(70000)
    assert bench.agent.link.trouble and len(bench.agent.spool)
    del bench.answers[("POST", "/telemetry")]
    bench.run(700000)
    assert bench.told("link_trouble") and len(bench.agent.spool) == 0


def test_a_radio_that_says_it_is_connected_and_is_not_begins_anew():
    for chip in ("esp32", "rp2"):
        bench = RadioBench(chip, **WIFI)
        bench.run(70000)
        bench.wlan.hung = True
        bench.run(900000)
        assert bench.agent.connected() and len(bench.agent.spool) == 0
        assert bench.told("link_trouble").startswith("Wi-Fi hall: no session: ") and bench.told("wifi_drops") == 0


def test_a_cloud_that_is_away_is_seldom_taken_for_a_radio_that_hangs():
    bench = RadioBench(**WIFI)
    bench.run(70000)
    bench.fails = OSError(ETIMEDOUT)
    bench.run(3600000)
    assert 3 <= len(bench.wlan.attempts) <= 5
    HTTP.requests.clear()
    bench.fails = None
    bench.run(400000)
    assert bench.agent.connected() and len(bench.agent.spool) == 0


def test_an_update_looks_for_no_server_while_the_wifi_is_down():
    bench = RadioBench(**WIFI)
    bench.run(20000)
    bench.agent.settings.update_key = SPKI_2048
    bench.wlan.air = "off"
    bench.run(10000)
    made = len(HTTP.requests)
    bench.agent.update("2.0.0", "f1")
    bench.run(60000)
    assert len(HTTP.requests) == made
    assert any("the Wi-Fi is down" in line for line in log.lines())


def test_the_password_is_never_said():
    bench = RadioBench(wifi_ssid="hall", wifi_password="password-1")
    bench.wlan.air = "password"
    bench.run(100000)
    assert not any("password-1" in line for line in log.lines())


def test_a_board_without_a_radio_goes_on_without_it():
    bench = RadioBench(**WIFI)
    port.station = lambda: None
    bench.start()
    bench.run(5000)
    assert bench.told("fan_speed") == 100.5
    # and one whose port knows of none
    del port.station
    HTTP.requests.clear()
    bench.start()
    bench.run(5000)
    assert bench.told("fan_speed") == 100.5


def test_a_board_on_a_battery_sleeps_when_all_is_told():
    bench = RadioBench(sleep=300, **WIFI)
    with raises(Reset):
        bench.run(30000)
    assert bench.machine.slept == [300000]
    assert bench.told("fan_speed") == 100.5 and len(bench.agent.spool) == 0
    assert not bench.wlan.activated
    assert 2000 < bench.ticks.ms < 15000


def test_a_radio_that_cannot_be_had_is_told_waited_for_and_keeps_no_board_awake():
    for error in (OSError("Wifi Not Initialized"), RuntimeError("Wifi Unknown Error 0x0101")):
        bench = RadioBench(sleep=300, **WIFI)
        station = port.station
        tries = []

        def none():
            tries.append(bench.ticks.ms)  # noqa: B023
            raise error  # noqa: B023

        port.station = none
        with raises(Reset):
            bench.run(70000)
        assert 60000 <= bench.ticks.ms < 62000 and 5 < len(tries) < 30
        assert any(str(error) in line and "link:" in line for line in log.lines())
        bench.start()
        bench.run(3000)
        port.station = station
        with raises(Reset):
            bench.run(20000)
        assert str(error) in bench.told("link_trouble")


def test_a_radio_that_does_not_go_off_keeps_no_board_awake():
    bench = RadioBench(sleep=300, **WIFI)
    active = bench.wlan.active

    def stuck(value=None):
        if value is False:
            raise OSError("Wifi Internal State Error")
        return active(value)

    bench.wlan.active = stuck
    with raises(Reset):
        bench.run(30000)
    assert bench.machine.slept == [300000]


def test_it_stays_awake_for_a_command_until_its_result_is_told():
    bench = RadioBench(sleep=300, **WIFI)
    bench.reply["command"] = True
    bench.answers[("GET", "/command")] = [Reply(200, {"id": "c1", "status": "pending", "name": "count", "parameters": {}}), Reply(404, {})]
    with raises(Reset):
        bench.run(30000)
    assert bench.counted == 1
    assert [body["status"] for body in bench.made("POST", "/command")][-1] == "done"


class SlowBench(RadioBench):
    """One whose cloud takes 2.5 s for each answer."""

    asked_at = None

    def serve(self, method, path, body):
        if self.asked_at is None:
            self.asked_at = self.ticks.ms
        if self.ticks.ms - self.asked_at < 2500:
            return None
        self.asked_at = None
        return super().serve(method, path, body)


def test_it_stays_awake_while_the_cloud_takes_its_time_to_answer():
    bench = SlowBench(sleep=300, **WIFI)
    bench.reply["command"] = True
    bench.answers[("GET", "/command")] = [Reply(200, {"id": "c1", "status": "pending", "name": "count", "parameters": {}}), Reply(404, {})]
    with raises(Reset):
        bench.run(70000)
    assert [body["status"] for body in bench.made("POST", "/command")] == ["in_progress", "done"]
    assert bench.ticks.ms < 40000


def test_a_cloud_that_never_answers_keeps_it_awake_for_a_minute_only():
    bench = SlowBench(sleep=300, **WIFI)
    bench.reply["command"] = True
    serve = bench.serve
    HTTP.serve = lambda method, path, body: None if method == "GET" else serve(method, path, body)
    with raises(Reset):
        bench.run(100000)
    assert 60000 <= bench.ticks.ms < 62000


def test_a_board_that_reaches_nobody_sleeps_too_and_keeps_its_messages():
    bench = RadioBench(sleep=300, **WIFI)
    bench.wlan.air = "off"
    with raises(Reset):
        bench.run(100000)
    assert 60000 <= bench.ticks.ms < 62000
    bench.wlan.air = "on"
    bench.wlan._began = None
    bench.ticks.ms += 300000
    bench.start()
    with raises(Reset):
        bench.run(30000)
    assert len(bench.made("POST", "/telemetry")) >= 2


def test_without_the_setting_it_never_sleeps():
    bench = RadioBench(**WIFI)
    bench.run(100000)
    assert not bench.machine.slept


class WifiOnly(RadioBench):
    """One that reaches its cloud by Wi-Fi and by nothing else."""

    def serve(self, method, path, body):
        if not self.wlan.isconnected():
            raise OSError(ETIMEDOUT)
        return super().serve(method, path, body)


def without_wifi(bench):
    """The agent, connected, has got a configuration that takes the name of the Wi-Fi away, and its trial is over."""
    bench.run(10000)
    bench.reply["config_version"] = 1
    bench.answers[("GET", "/config")] = Reply(200, {"version": 1, "config": {"interval": 60, "settings": {"wifi_ssid": ""}}})
    bench.run(300000)
    return bench


def test_a_trial_without_the_wifi_is_not_passed_over_the_connection_that_is_still_up():
    for chip in ("esp32", "rp2"):
        bench = without_wifi(WifiOnly(chip, trial_timeout=60, **WIFI))
        assert any("rolled back" in line for line in log.lines())
        assert bench.agent.settings.wifi_ssid == "hall" and bench.agent.connected()
        bench.start()
        assert bench.agent.settings.wifi_ssid == "hall"


def test_a_board_with_another_network_may_do_without_its_wifi():
    bench = without_wifi(RadioBench(trial_timeout=60, **WIFI))
    assert bench.agent.settings.wifi_ssid == "" and bench.agent.connected() and not bench.wlan.activated
    assert not bench.agent.link.radio
