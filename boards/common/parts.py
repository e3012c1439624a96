# What is wired to a board in the same way everywhere: an LED, a button to GND, a DHT22. What is not wired is left out.
import time

from machine import Pin
from micropython import const
from redpoll.flash.room import free_percent

_PAUSE = const(2000)  # ms that a DHT22 wants between two readings


class Climate:
    """A DHT22 on this pin."""

    def __init__(self, pin):
        self._sensor = None
        self._readings = {}
        self._read_at = None
        try:
            import dht

            self._sensor = dht.DHT22(Pin(pin))
        except ImportError:
            pass  # a MicroPython without the driver

    def readings(self):
        """Temperature and humidity, at most 2 s old; {} while the sensor does not answer."""
        now = time.ticks_ms()
        if self._sensor and (self._read_at is None or time.ticks_diff(now, self._read_at) >= _PAUSE):
            self._read_at = now
            try:
                self._sensor.measure()
                self._readings = {"temperature_c": self._sensor.temperature(), "humidity_percent": self._sensor.humidity()}
            except OSError:
                self._readings = {}  # not wired, or disturbed
        return self._readings


class Parts:
    """LED and button by their pins, a DHT22; `chip_temperature()` gives the chip's own in degrees Celsius, or None."""

    def __init__(self, led, button, sensor, chip_temperature):
        self._led = Pin(led, Pin.OUT)
        self._button = Pin(button, Pin.IN, Pin.PULL_UP)
        self._climate = Climate(sensor)
        self._chip_temperature = chip_temperature

    def sensors(self):
        """What can be measured now: name with unit -> value."""
        readings = dict(self._climate.readings())
        temperature = self._chip_temperature()
        if temperature is not None:
            readings["chip_temperature_c"] = temperature
        readings["button"] = self.pressed()
        readings["flash_free_percent"] = free_percent("/")
        return readings

    def led(self, on):
        """Switch the LED."""
        self._led.value(1 if on else 0)

    def pressed(self):
        """True while the button is down."""
        return not self._button.value()
