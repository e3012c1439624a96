# What this board can measure and show, wired as README.md beside it says.
import machine
from parts import Parts


def _chip_temperature():
    channel = getattr(machine.ADC, "CORE_TEMP", None)
    if channel is None:
        return None  # the virtual board has none
    # a diode on the last channel: 0.706 V at 27 degrees, 1.721 mV less for each degree more
    volts = machine.ADC(channel).read_u16() * 3.3 / 65535
    return round((27 - (volts - 0.706) / 0.001721) * 10) / 10


_parts = Parts(led="LED", button=14, sensor=15, chip_temperature=_chip_temperature)
sensors = _parts.sensors
led = _parts.led
pressed = _parts.pressed
