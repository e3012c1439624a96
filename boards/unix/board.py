# What this board can measure and show: the machine that the virtual board runs on. Nothing is made up: what cannot be read is left out.
from machine import Pin

try:
    from this_machine import open, statvfs  # the virtual board's way to the machine's own files
except ImportError:
    from os import statvfs

HOST = ""  # the folder that they are in
_READ = 256  # bytes of a file that are looked at: what is wanted is in the first lines
_led = Pin("LED", Pin.OUT)


def _text(path):
    # the beginning of one of the kernel's files, "" where there is none (macOS)
    try:
        with open(HOST + path, "r") as file:
            return file.read(_READ)
    except (OSError, UnicodeError):
        return ""


def _number(text, low, high):
    # the number in front of a text, None when there is none or it cannot be true
    try:
        value = float(text.split()[0])
    except (ValueError, IndexError):
        return None
    return value if low <= value <= high else None


def _memory(readings):
    free = total = None
    for line in _text("/proc/meminfo").split("\n"):
        if line.startswith("MemTotal:"):
            total = _number(line[9:], 1, 1 << 40)
        elif line.startswith("MemAvailable:"):
            free = _number(line[13:], 0, 1 << 40)
    if free is not None:
        readings["memory_free_mb"] = int(free) >> 10
        if total:
            readings["memory_free_percent"] = round(free * 1000 / total) / 10


def _disk(readings):
    try:
        state = statvfs(HOST or "/")
    except OSError:
        return
    if state[2] > 0:
        readings["disk_free_percent"] = round(state[4] * 1000 / state[2]) / 10


def _temperature(readings):
    # only a zone that says it is the processor: others are batteries, Wi-Fi and housings
    for zone in range(16):
        path = "/sys/class/thermal/thermal_zone%d/" % zone
        kind = _text(path + "type").lower()
        if not kind:
            return
        if "cpu" in kind or "pkg" in kind or "soc" in kind:
            value = _number(_text(path + "temp"), -50000, 150000)
            if value is not None:
                readings["temperature_c"] = round(value / 100) / 10
                return


def sensors():
    """What can be measured now: name with unit -> value."""
    readings = {}
    load = _number(_text("/proc/loadavg"), 0, 1e6)
    if load is not None:
        readings["load_1m"] = load
    uptime = _number(_text("/proc/uptime"), 0, 2147483647)
    if uptime is not None:
        readings["host_uptime_s"] = int(uptime)
    _memory(readings)
    _disk(readings)
    _temperature(readings)
    return readings


def led(on):
    """Switch the board's LED; here it is a line on the console."""
    _led.value(on)
