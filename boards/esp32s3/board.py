# What this board can measure and show, wired as README.md beside it says.
import esp32
from parts import Parts


def _chip_temperature():
    # the virtual board has none
    read = getattr(esp32, "mcu_temperature", None)
    return read() if read else None


_parts = Parts(led=2, button=0, sensor=4, chip_temperature=_chip_temperature)
sensors = _parts.sensors
led = _parts.led
pressed = _parts.pressed
