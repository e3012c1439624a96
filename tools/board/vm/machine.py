# What a board's `machine` has and the unix port's lacks. It stands before the builtin one on the virtual board.
import time
from binascii import unhexlify

import vm_control
from umachine import *  # noqa: F403

# the numbers of the ESP32 port
PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3
DEEPSLEEP_RESET = 4
SOFT_RESET = 5

_unique_id = unhexlify(vm_control.state["unique_id"])


def unique_id():
    """The chip's number: six bytes, the same for as long as the flash exists."""
    return _unique_id


def reset():
    """The chip starts again, at once: no `finally` runs, nothing is flushed."""
    vm_control.tell(b"reset")
    vm_control.halt()


def soft_reset():
    """The interpreter starts again."""
    raise SystemExit


def reset_cause():
    """Why the chip started."""
    return vm_control.state["reset_cause"]


class WDT:
    """The host resets the chip when nothing has fed it for `timeout` ms. It cannot be stopped."""

    def __init__(self, id=0, timeout=5000):
        if timeout < 1:
            raise ValueError("timeout")
        self._told = time.ticks_ms()
        # the host waits an eighth longer than the timeout, so that one line each eighth is enough
        self._pause = timeout // 8
        vm_control.tell(b"watchdog %d" % timeout)

    def feed(self):
        now = time.ticks_ms()
        if time.ticks_diff(now, self._told) >= self._pause:
            self._told = now
            vm_control.tell(b"feed")


class Pin(PinBase):  # noqa: F405
    """Holds its value, and shows each change of an output on the console."""

    IN = 0
    OUT = 1
    OPEN_DRAIN = 2
    PULL_UP = 1
    PULL_DOWN = 2

    def __init__(self, id, mode=-1, pull=-1, value=None):
        self._id = id
        self._value = 0
        if value is not None:
            self.value(value)

    def value(self, new=None):
        if new is None:
            return self._value
        new = 1 if new else 0
        if new != self._value:
            self._value = new
            print(self._id if isinstance(self._id, str) else "pin %s" % self._id, "on" if new else "off")
        return None

    __call__ = value

    def on(self):
        self.value(1)

    def off(self):
        self.value(0)

    def toggle(self):
        self.value(not self._value)
