# A weather station: an AHT20 on the I2C bus gives temperature and humidity, from which the dew point follows.
#
# Wiring   AHT20 VIN -> 3V3, GND -> GND, SCL -> GPIO22, SDA -> GPIO21 (ESP32) or SCL -> GP5, SDA -> GP4 (Pico W)
# Driver   lib/ahtx0.py, from PyPI; `make setup` puts it there
from math import log
from sys import platform

from ahtx0 import AHT20
from machine import I2C, Pin
from redpoll import Agent

SCL, SDA = (5, 4) if platform == "rp2" else (22, 21)

agent = Agent()
bus = I2C(0, scl=Pin(SCL), sda=Pin(SDA))
station = None
offset = 0.0


def dew_point(temperature, humidity):
    # Magnus formula over water, to 0.1 degrees between 0 and 60
    part = log(humidity / 100) + 17.62 * temperature / (243.12 + temperature)
    return 243.12 * part / (17.62 - part)


@agent.sensor(every=60)
def climate():
    # An OSError of a sensor that does not answer becomes the device's status and its text; the next reading starts anew.
    global station
    try:
        if station is None:
            station = AHT20(bus)
        temperature = station.temperature + offset
        humidity = station.relative_humidity
    except OSError:
        station = None
        raise
    return {
        "temperature_c": round(temperature, 1),
        "humidity_percent": round(humidity, 1),
        "dew_point_c": round(dew_point(temperature, max(humidity, 1)), 1),
    }


@agent.config(interval=(int, 5, 3600), offset=(float, -5, 5))
def apply(config):
    global offset
    agent.every(config.get("interval", 60))
    offset = config.get("offset", 0.0)


agent.run()
