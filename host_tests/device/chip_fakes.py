# Stand-ins for what only a chip's MicroPython has, for the tests of its port: play("esp32") or play("rp2") before the first import of it.
import sys

_CODES = {
    "esp32": {
        "STAT_IDLE": 1000,
        "STAT_CONNECTING": 1001,
        "STAT_GOT_IP": 1010,
        "STAT_NO_AP_FOUND": 201,
        "STAT_WRONG_PASSWORD": 202,
        "STAT_CONNECT_FAIL": 203,
        "STAT_HANDSHAKE_TIMEOUT": 204,
    },
    "rp2": {
        "STAT_IDLE": 0,
        "STAT_CONNECTING": 1,
        "STAT_GOT_IP": 3,
        "STAT_CONNECT_FAIL": -1,
        "STAT_NO_AP_FOUND": -2,
        "STAT_WRONG_PASSWORD": -3,
    },
}
_NO_IP = 2  # an rp2's status without a name


class Module:
    """Something to put attributes on."""

    def __init__(self, **attributes):
        for name in attributes:
            setattr(self, name, attributes[name])


class Reset(BaseException):
    """The chip starts anew."""


class Wlan:
    """The radio. `air` says how the access point behaves: "on", "off", "password", "no dhcp".

    An answer takes 3 s of `clock`, an address dhcp_ms more.
    """

    def __init__(self, chip):
        self.chip = chip
        self.air = "on"
        self.dhcp_ms = 0
        self.clock = None
        self.attempts = []
        self.activated = False
        self._began = None
        # what an ESP32 goes on to say of an attempt until one has an address
        self._reason = None
        self.powered = True
        self._retries = True
        # until it is without current: whether it says that it is connected, whatever becomes of that; None as long as it does not hang
        self.hung = None

    def __call__(self, interface=0):
        return self

    def active(self, value=None):
        if value is None:
            return self.activated
        self.activated = value
        if not value:
            self._began = None
            if self.chip == "esp32":
                self.hung = None
        return None

    def config(self, **values):
        if self.chip == "rp2":
            raise ValueError("unknown config param")
        self._retries = values["reconnects"] != 0

    def connect(self, ssid, key=None):
        if not self.activated:
            raise OSError("Wifi Not Started")
        if self.chip == "esp32" and (self._retries or self._busy()):
            raise OSError("Wifi Internal State Error")
        if key and len(key) < 8:
            raise ValueError("key")
        self.attempts.append((self.clock.ms(), ssid, key))
        self._began = self.clock.ms()

    def disconnect(self):
        if not self.activated:
            raise OSError("Wifi Not Started")
        self.status()
        self._began = None

    def deinit(self):
        # for an RP2's radio the only way to be without current
        self.activated = self.powered = False
        self.hung = None

    def isconnected(self):
        return self._answered(self.dhcp_ms) and self.air == "on" or bool(self.hung)

    def ifconfig(self):
        return ("192.168.4.2", "255.255.255.0", "192.168.4.1", "192.168.4.1") if self.isconnected() else ("0.0.0.0",) * 4

    def status(self, what=None):
        codes = _CODES[self.chip]
        if what == "rssi":
            if not (self._answered() and self.air in ("on", "no dhcp")):
                raise OSError("Wifi Not Connected")
            return -61
        answered = self._answered()
        if self.isconnected():
            self._reason = None
            return codes["STAT_GOT_IP"]
        if answered and self.air in ("off", "password"):
            failed = codes["STAT_NO_AP_FOUND" if self.air == "off" else "STAT_WRONG_PASSWORD"]
            if self.chip == "rp2":
                return failed
            self._reason = failed
        if self._reason:
            return self._reason
        if self._began is None:
            return codes["STAT_IDLE"]
        return _NO_IP if answered and self.chip == "rp2" else codes["STAT_CONNECTING"]

    def _answered(self, later=0):
        return self.hung is None and self._began is not None and self.clock.ms() - self._began >= 3000 + later

    def _busy(self):
        return self._began is not None and not self._answered()


class Timer:
    """What an RP2 calls after each `period` ms, as long as somebody has it."""

    PERIODIC = 1
    running = None

    def __init__(self, number, mode, period, callback):
        self.period = period
        self.callback = callback
        Timer.running = self

    def deinit(self):
        Timer.running = None


def play(chip):
    """Put the modules of a chip in place. Returns (its port, machine, network.WLAN)."""
    slept = []

    def reset():
        raise Reset

    def deepsleep(ms):
        slept.append(ms)
        raise Reset

    def lightsleep(ms):
        # before 1.26 a powered radio ends an RP2's
        slept.append(min(ms, 64) if wlan.powered and machine.light else ms)
        machine.now += slept[-1]

    clock = []

    class RTC:
        def datetime(self, value):
            clock.append(value)

    machine = Module(
        PWRON_RESET=1,
        WDT_RESET=3,
        cause=1,
        slept=slept,
        clock=clock,
        RTC=RTC,
        reset=reset,
        unique_id=lambda: b"\xe6\x61\x00\x01",
        lightsleep=lightsleep,
        deepsleep=deepsleep,
        Timer=Timer,
        now=0,
        light=False,
        fed=0,
    )
    machine.reset_cause = lambda: machine.cause
    if chip == "esp32":
        # an rp2 has none of these
        machine.HARD_RESET, machine.DEEPSLEEP_RESET, machine.SOFT_RESET = 2, 4, 5

    def watchdog(id=0, timeout=5000):
        if chip == "rp2" and timeout > 8388:
            raise ValueError("timeout exceeds 8388")
        machine.watchdog = timeout
        return Module(feed=feed)

    def feed():
        machine.fed += 1

    machine.WDT = watchdog
    wlan = Wlan(chip)
    sys.modules["machine"] = machine
    sys.modules["network"] = Module(WLAN=wlan, STA_IF=0, **_CODES[chip])
    sys.modules["esp32"] = Module(HEAP_DATA=4, idf_heap_info=lambda capabilities: [(9000, 800, 700, 10), (65536, 40960, 31744, 36864)])
    for name in ("chip", "wlan", "esp32", "esp32_wlan", "rp2", "rp2_wlan"):
        sys.modules.pop("redpoll.port." + name, None)
    if chip == "rp2":
        own = __import__("redpoll.port.rp2", None, None, ("_MARK",))
        # the root is not the test's
        own._MARK = "reset.mark"
        own.ticks_ms = lambda: machine.now
    return Port(chip), machine, wlan


class Port:
    """What redpoll.port is on that chip."""

    def __init__(self, chip):
        self._places = (chip, "chip")

    def __getattr__(self, name):
        for place in self._places:
            module = __import__("redpoll.port." + place, None, None, (name,))
            if hasattr(module, name):
                return getattr(module, name)
        raise AttributeError(name)
