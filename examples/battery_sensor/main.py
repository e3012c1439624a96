# A soil moisture sensor on a battery: it wakes up, measures, sends, listens for two seconds and sleeps again.
#
# Settings "sleep": seconds of deep sleep between two messages, such as 900: redpoll provision --set sleep=900 ...
# Wiring   ESP32: moisture sensor VCC -> GPIO25, GND -> GND, AOUT -> GPIO32; battery -> 100 kOhm -> GPIO34 -> 100 kOhm -> GND
#          Pico W: moisture sensor VCC -> GP22, GND -> GND, AOUT -> GP26; battery -> 100 kOhm -> GP27 -> 100 kOhm -> GND
from sys import platform
from time import sleep_ms

from machine import ADC, Pin
from redpoll import Agent

POWER, MOISTURE, BATTERY = (22, 26, 27) if platform == "rp2" else (25, 32, 34)
DIVIDER = 2
EMPTY, FULL = 3.3, 4.2  # volts of a lithium cell

agent = Agent()
dry, wet = 2.6, 1.1  # volts of the sensor in air and in water


def volts(pin):
    if platform == "esp32":
        return ADC(Pin(pin), atten=ADC.ATTN_11DB).read_uv() / 1e6
    return ADC(Pin(pin)).read_u16() * 3.3 / 65535


def percent(value, low, high):
    return max(0, min(100, round(100 * (value - low) / (high - low))))


# once a start: the board sleeps long before the next one is due
@agent.sensor(every=3600)
def soil():
    # the sensor takes current only while it is read
    power = Pin(POWER, Pin.OUT, value=1)
    sleep_ms(50)
    moisture = volts(MOISTURE)
    power.value(0)
    battery = volts(BATTERY) * DIVIDER
    return {
        "moisture_percent": percent(moisture, dry, wet),
        "moisture_v": round(moisture, 3),
        "battery_v": round(battery, 2),
        "battery_percent": percent(battery, EMPTY, FULL),
    }


@agent.config(dry=(float, 0, 3.3), wet=(float, 0, 3.3))
def apply(config):
    global dry, wet
    new = config.get("dry", 2.6), config.get("wet", 1.1)
    if new[0] == new[1]:
        raise ValueError("dry and wet must differ")
    dry, wet = new


agent.run()
