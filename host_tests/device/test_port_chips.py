# The ports of the chips, on stand-ins for their modules.
import sys
import time

from chip_fakes import Port, Reset, Timer, play
from support import raises

CHIPS = ("esp32", "rp2")


def test_each_chip_has_its_own_number():
    for chip in CHIPS:
        port, _, _ = play(chip)
        assert port.unique_id() == b"\xe6\x61\x00\x01"


def test_an_esp32_says_why_it_started():
    port, machine, _ = play("esp32")
    told = []
    for cause in (1, 2, 3, 4, 5, 0):
        machine.cause = cause
        told.append(port.reset_cause())
    assert told == ["power_on", "hard_reset", "watchdog", "deep_sleep", "soft_reset", None]


def test_an_rp2_tells_a_reset_by_the_program_from_one_by_the_watchdog():
    port, machine, _ = play("rp2")
    assert port.reset_cause() == "power_on"
    with raises(Reset):
        port.reset()
    machine.cause = machine.WDT_RESET
    assert port.reset_cause() == "hard_reset"
    assert port.reset_cause() == "watchdog"


def test_a_power_cut_after_a_reset_was_asked_for_is_a_power_on():
    port, machine, _ = play("rp2")
    with raises(Reset):
        port.reset()
    assert port.reset_cause() == "power_on"
    machine.cause = machine.WDT_RESET
    assert port.reset_cause() == "watchdog"


def test_nothing_that_a_chip_does_is_longer_than_its_watchdog():
    # looking a name up takes 14 s; an ESP32 takes any time, an RP2 8.4 s
    port, machine, _ = play("esp32")
    port.watchdog(30000)
    assert machine.watchdog == 30000
    port, machine, _ = play("rp2")
    port.watchdog(30000)
    assert machine.watchdog == 8388


def test_an_rp2_that_looks_a_name_up_is_kept_for_20_s_more_and_one_that_hangs_is_not():
    port, machine, _ = play("rp2")
    watchdog = port.watchdog(30000)
    timer = Timer.running
    assert timer.period == 2000
    watchdog.feed()
    fed = machine.fed
    for _ in range(30):
        timer.callback(timer)
    assert machine.fed == fed + 10
    watchdog.feed()
    timer.callback(timer)
    assert machine.fed == fed + 12
    assert port.watchdog(30000) is watchdog and Timer.running is timer


def test_an_esp32_sleeps_at_once_and_an_rp2_in_slices_that_its_watchdog_allows():
    port, machine, _ = play("esp32")
    with raises(Reset):
        port.deep_sleep(300000, None)
    assert machine.slept == [300000]
    port, machine, _ = play("rp2")
    watchdog = port.watchdog(30000)
    fed = []
    with raises(Reset):
        port.deep_sleep(10500, lambda: fed.append(len(machine.slept)))
    assert machine.slept == [4000, 4000, 2500] and fed == [0, 1, 2]
    assert Timer.running is None and watchdog
    machine.cause = machine.WDT_RESET
    assert port.reset_cause() == "deep_sleep"


def test_an_rp2_sleeps_as_long_as_it_was_told_however_often_it_is_woken():
    port, machine, _ = play("rp2")
    machine.light = True
    with raises(Reset):
        port.deep_sleep(10500, lambda: None)
    assert machine.now == 10500


def test_before_a_sleep_an_rp2s_radio_has_no_more_current():
    for chip in CHIPS:
        port, _, wlan = play(chip)
        station = port.station()
        wlan.active(True)
        station.off()
        assert not wlan.activated and wlan.powered == (chip == "esp32")


def test_a_radio_that_cannot_be_had_on_an_esp32_does_not_keep_the_agent_from_starting():
    def fail(interface=0):
        raise RuntimeError("Wifi Unknown Error 0x0101")

    play("esp32")
    network = sys.modules["network"]
    network.WLAN = fail
    sys.modules.pop("redpoll.port.esp32", None)
    port = Port("esp32")
    assert port.largest_block() == 31744
    with raises(RuntimeError):
        port.station()


def test_the_largest_block_of_an_esp32_is_the_idfs():
    port, _, _ = play("esp32")
    assert port.largest_block() == 31744


def test_the_largest_block_of_an_rp2_can_be_had():
    port, _, _ = play("rp2")
    if not hasattr(port.gc, "mem_free"):
        return  # CPython has no such figure
    found = port.largest_block()
    assert 1024 <= found <= port.gc.mem_free()
    assert bytearray(found)


def test_a_clock_that_nobody_has_set_tells_no_time():
    for chip in CHIPS:
        port, machine, _ = play(chip)
        # the test does not know how the port counts, only that a chip begins before 2025
        chip_module = __import__("redpoll.port.chip", None, None, ("time",))
        real = chip_module.time
        chip_module.time = Clockwork(1609459200, real)
        assert port.wall_ms() is None
        chip_module.time = Clockwork(1795257600, real)
        assert port.wall_ms() == 1795257600000
        wlan = __import__("redpoll.port.wlan", None, None, ("set_wall",))
        wlan.set_wall(1795257599999)
        assert machine.clock == [(2026, 11, 21, 5, 10, 39, 59, 0)]
        # for 31 bits of seconds it is over in 2038, for those from 2000 in 2068
        wlan.time = Clockwork(1795257600, real)
        wlan.set_wall(2147483648000)
        wlan.set_wall(4102444799000)
        assert machine.clock[1:] == [(2038, 1, 19, 1, 3, 14, 8, 0), (2099, 12, 31, 3, 23, 59, 59, 0)]


class Clockwork:
    """`time` on a chip whose clock shows so many seconds since 1970."""

    def __init__(self, seconds, real):
        self._real = real
        epoch = 946684800 if real.gmtime(0)[0] == 2000 else 0
        self.time_ns = lambda: (seconds - epoch) * 1000000000

    def gmtime(self, seconds=None):
        if not -1 << 31 <= seconds < 1 << 31:
            raise OverflowError("overflow converting long int to machine word")
        return tuple(self._real.gmtime(seconds))[:8]


def test_nothing_is_known_of_a_chip_without_a_port():
    from redpoll import port

    if not hasattr(time, "sleep_ms"):
        return  # CPython has its port at once
    real = port.sys
    port.sys = Other()
    with raises(ImportError) as caught:
        port.unique_id  # noqa: B018
    port.sys = real
    assert "redpoll.port.mimxrt" in str(caught.value)


def test_the_hardware_is_named_after_the_platform():
    play("rp2")
    chip = __import__("redpoll.port.chip", None, None, ("HARDWARE",))
    platform = "unix" if sys.platform in ("linux", "darwin") else sys.platform
    assert chip.HARDWARE.split("-") == ["redpoll", platform]


class Other:
    platform = "mimxrt"


def test_an_rp2_that_sleeps_feeds_its_watchdog_whoever_has_started_it():
    port, machine, _ = play("rp2")
    port.watchdog(30000)
    fed = machine.fed
    with raises(Reset):
        # in an asyncio application the agent has none
        port.deep_sleep(10500, lambda: None)
    assert machine.slept == [4000, 4000, 2500] and machine.fed == fed + 3
