# What a board's `machine` has and the unix port's lacks. It stands before the builtin one on the virtual board.
import time
from binascii import hexlify, unhexlify

import vm_clock
from umachine import *  # noqa: F403
from vm_control import ask, halt, page, state, tell

_PORT = state["port"]

PWRON_RESET = 1
WDT_RESET = 3
if _PORT != "rp2":
    # an RP2 cannot tell them apart: a reset by the program is one by the watchdog there
    HARD_RESET = 2
    DEEPSLEEP_RESET = 4
    SOFT_RESET = 5
if _PORT == "esp32":
    PIN_WAKE = 2
    EXT0_WAKE = 2
    EXT1_WAKE = 3
    TIMER_WAKE = 4
    TOUCHPAD_WAKE = 5
    ULP_WAKE = 6

_NETWORK_MS = 64  # between two looks of lwIP at its timers

_unique_id = unhexlify(state["unique_id"])
_frequency = {"esp32": 160000000, "esp32s3": 160000000, "rp2040": 125000000, "rp2350": 150000000}.get(state["chip"], 0)


def unique_id():
    """The chip's number: six bytes (eight on an RP2), the same for as long as the flash exists."""
    return _unique_id if _PORT != "rp2" else b"\xe6\x61" + _unique_id


def reset():
    """The chip starts again, at once: no `finally` runs, nothing is flushed."""
    tell(b"reset")
    halt()


def soft_reset():
    """The interpreter starts again."""
    raise SystemExit


def bootloader(timeout=0):
    """The chip waits for a new firmware; here it is off until somebody starts it again."""
    tell(b"bootloader")
    halt()


def reset_cause():
    """Why the chip started."""
    return state["reset_cause"]


def wake_reason():
    """What ended the deep sleep: the timer (4) or nothing (0)."""
    return 4 if state["reset_cause"] == 4 and _PORT == "esp32" else 0


def freq(hz=None):
    """The CPU's frequency; setting it changes nothing here."""
    global _frequency
    if hz is None:
        return _frequency
    _frequency = hz
    return None


def deepsleep(time_ms=None):
    """Off for so long, then a start. For ever without a time: until the power goes and comes. On an RP2 a light sleep and a reset."""
    if _PORT == "rp2" and time_ms:
        lightsleep(time_ms)
        reset()
    tell(b"deepsleep %d" % (time_ms or 0))
    halt()


def lightsleep(time_ms=None):
    """Sleep and go on. A Pico W whose radio has current is woken by the timer of its network."""
    if _PORT == "rp2":
        import network

        if network.WLAN._powered:
            time_ms = min(time_ms or 0, _NETWORK_MS)
    time.sleep_ms(time_ms or 0)


def idle():
    """Wait for something to happen: an interrupt, 1 ms at most."""
    vm_clock.sleep_ms(1)


def disable_irq():
    return 0


def enable_irq(state=0):
    pass


class WDT:
    """The host resets the chip when nothing has fed it for `timeout` ms. It cannot be stopped."""

    def __init__(self, id=0, timeout=5000):
        if timeout < 1:
            raise ValueError("timeout")
        if state["watchdog_max_ms"] and timeout > state["watchdog_max_ms"]:
            raise ValueError("timeout exceeds %d" % state["watchdog_max_ms"])
        self._told = time.ticks_ms()
        # the host waits an eighth longer than the timeout, so that one line each eighth is enough
        self._pause = timeout // 8
        tell(b"watchdog %d" % timeout)

    def feed(self):
        now = time.ticks_ms()
        if time.ticks_diff(now, self._told) >= self._pause:
            self._told = now
            tell(b"feed")


class RTC:
    """The chip's clock. There is one."""

    def __init__(self, id=0, datetime=None):
        if datetime is not None:
            self.datetime(datetime)

    def datetime(self, datetimetuple=None):
        """(year, month, day, weekday, hour, minute, second, subseconds), read or set. UTC."""
        if datetimetuple is None:
            year, month, day, hour, minute, second, weekday, _ = vm_clock.utc()
            return (year, month, day, weekday, hour, minute, second, 0)
        year, month, day, _, hour, minute, second, _ = datetimetuple
        days = vm_clock._days(year, month, day)
        vm_clock.set_to(((days * 24 + hour) * 60 + minute) * 60 + second)
        return None

    if _PORT == "esp32":

        def init(self, datetimetuple=None):
            self.datetime(datetimetuple)

        def memory(self, data=None):
            """2048 bytes that a deep sleep and a reset leave alone."""
            if data is None:
                return unhexlify(ask(b"memory"))
            if len(data) > 2048:
                raise ValueError("buffer too long")
            tell(b"keep " + hexlify(data))
            return None


class Pin(PinBase):  # noqa: F405
    """Holds its value and tells the host each change of an output. An input reads what the host drives, else its pull, else 0."""

    IN = 0
    OUT = 1
    OPEN_DRAIN = 2
    PULL_UP = 1
    PULL_DOWN = 2
    IRQ_RISING = 1
    IRQ_FALLING = 2

    _levels = {}  # of outputs
    _modes = {}  # by id: what the chip has, whichever object said so

    def __init__(self, id, mode=-1, pull=-1, value=None, *, drive=0, alt=-1):
        if isinstance(id, Pin):
            id = id._id
        if _PORT != "unix" and id != state["led"] and not (isinstance(id, int) and 0 <= id < state["pin_count"]):
            raise ValueError("invalid pin")
        self._id = id
        self._pull = pull
        self._handler = None
        self.init(mode, pull, value=value)

    def init(self, mode=-1, pull=-1, value=None, *, drive=0, alt=-1):
        if mode != -1:
            Pin._modes[self._id] = mode
        if pull != -1:
            self._pull = pull
        if value is not None:
            self.value(value)

    def _driven(self):
        # what something outside makes of it, None for nothing
        if not isinstance(self._id, int):
            return None
        _, driven, levels, _, _ = page()
        return levels >> self._id & 1 if driven >> self._id & 1 else None

    def value(self, new=None):
        if new is None:
            if Pin._modes.get(self._id, Pin.IN) != Pin.IN or not isinstance(self._id, int):
                return Pin._levels.get(self._id, 0)
            level = self._driven()
            return (1 if self._pull == Pin.PULL_UP else 0) if level is None else level
        new = 1 if new else 0
        if new != Pin._levels.get(self._id, 0):
            if _PORT == "unix":
                print(self._id if isinstance(self._id, str) else "pin %s" % self._id, "on" if new else "off")
            else:
                tell(b"pin %s %d" % (str(self._id).encode(), new))
        Pin._levels[self._id] = new
        return None

    __call__ = value

    def on(self):
        self.value(1)

    def off(self):
        self.value(0)

    def toggle(self):
        self.value(not self.value())

    def irq(self, handler=None, trigger=IRQ_FALLING | IRQ_RISING, *, priority=1, wake=None, hard=False):
        """`handler(pin)` at each such change; it is looked for during sleeps, and 10 ms apart."""
        if self._handler:
            vm_clock.watched.remove(self._look)
        self._handler, self._trigger, self._before = handler, trigger, self.value()
        if handler:
            vm_clock.watched.append(self._look)
        return self

    def _look(self):
        now = self.value()
        if now != self._before:
            self._before = now
            if self._trigger & (Pin.IRQ_RISING if now else Pin.IRQ_FALLING):
                self._handler(self)

    def __repr__(self):
        return "Pin(%s)" % self._id


class I2C:
    """The parts that the host has attached; every bus is the same one. Pins and frequency have no effect."""

    def __init__(self, id=-1, *, scl=None, sda=None, freq=400000, timeout=50000):
        self._id = id

    def init(self, *, scl=None, sda=None, freq=400000):
        pass

    def deinit(self):
        pass

    def scan(self):
        return [address for address in range(8, 0x78) if _transfer(address, b"", 0) is not None]

    def writeto(self, addr, buf, stop=True):
        _acknowledged(_transfer(addr, buf, 0))
        return len(buf)

    def writevto(self, addr, vector, stop=True):
        return self.writeto(addr, b"".join([bytes(part) for part in vector]), stop)

    def readfrom(self, addr, nbytes, stop=True):
        return _acknowledged(_transfer(addr, None, nbytes))

    def readfrom_into(self, addr, buf, stop=True):
        buf[:] = self.readfrom(addr, len(buf))

    def writeto_mem(self, addr, memaddr, buf, *, addrsize=8):
        self.writeto(addr, memaddr.to_bytes(addrsize // 8, "big") + bytes(buf))

    def readfrom_mem(self, addr, memaddr, nbytes, *, addrsize=8):
        return _acknowledged(_transfer(addr, memaddr.to_bytes(addrsize // 8, "big"), nbytes))

    def readfrom_mem_into(self, addr, memaddr, buf, *, addrsize=8):
        buf[:] = self.readfrom_mem(addr, memaddr, len(buf), addrsize=addrsize)


class SoftI2C(I2C):
    def __init__(self, scl, sda, *, freq=400000, timeout=50000):
        super().__init__(-1, scl=scl, sda=sda)


def _transfer(address, data, count):
    # one transaction: what was read, None when nobody has acknowledged
    written = "-" if data is None else "=" + hexlify(data).decode()
    answer = ask(b"i2c %d %s %d" % (address, written.encode(), count))
    return unhexlify(answer[3:]) if answer.startswith("ack") else None


def _acknowledged(data):
    if data is None:
        raise OSError(5 if _PORT == "rp2" else 19)  # EIO, ENODEV: what each chip says
    return data


# ESP32: the reference of 1.1 V behind so much attenuation; RP2: its supply
_SCALES = (1100000, 1466000, 2193000, 3903000) if _PORT == "esp32" else (3300000,)


class ADC:
    """What the host applies to a pin, in volts; nothing is 0."""

    if _PORT == "esp32":
        ATTN_0DB = 0
        ATTN_2_5DB = 1
        ATTN_6DB = 2
        ATTN_11DB = 3
        WIDTH_9BIT = 9
        WIDTH_10BIT = 10
        WIDTH_11BIT = 11
        WIDTH_12BIT = 12
        _bits = 12

    def __init__(self, id, *, sample_ns=0, atten=0):
        self._pin = id._id if isinstance(id, Pin) else id
        self._scale = _SCALES[atten]

    def _uv(self):
        return min(max(int(ask(b"microvolts %s" % str(self._pin).encode())), 0), self._scale)

    def read_u16(self):
        return self._uv() * 65535 // self._scale

    if _PORT == "esp32":

        def read_uv(self):
            return self._uv()

        def atten(self, atten):
            self._scale = _SCALES[atten]

        def width(self, bits):
            self._bits = bits

        def read(self):
            return self.read_u16() >> 16 - self._bits


if _PORT != "unix":

    class Timer:
        """Calls `callback(timer)` after `period` ms, once or again and again; during sleeps, and at most 10 ms late."""

        ONE_SHOT = 0
        PERIODIC = 1

        def __init__(self, id=-1, **options):
            self._callback = None
            if options:
                self.init(**options)

        def init(self, *, mode=PERIODIC, freq=-1, period=-1, callback=None, hard=False, tick_hz=1000):
            self.deinit()
            self._mode = mode
            self._period = period * 1000 // tick_hz if freq == -1 else max(1, int(1000 / freq))
            self._next = time.ticks_add(time.ticks_ms(), self._period)
            self._callback = callback
            if callback:
                vm_clock.watched.append(self._look)

        def deinit(self):
            if self._callback:
                vm_clock.watched.remove(self._look)
                self._callback = None

        def _look(self):
            if time.ticks_diff(time.ticks_ms(), self._next) < 0:
                return
            callback = self._callback
            if self._mode == Timer.PERIODIC:
                self._next = time.ticks_add(self._next, self._period)
            else:
                self.deinit()
            callback(self)
