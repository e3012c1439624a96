# What this board can measure and show, wired as README.md beside it says.
import esp32
from parts import Parts


def _chip_temperature():
    # in whole degrees Fahrenheit, and some degrees off from chip to chip
    return round((esp32.raw_temperature() - 32) / 1.8)


_parts = Parts(led=2, button=0, sensor=4, chip_temperature=_chip_temperature)
sensors = _parts.sensors
led = _parts.led
pressed = _parts.pressed
