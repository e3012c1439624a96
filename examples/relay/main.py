# A relay that is switched from the cloud, and by hand at the board.
#
# Wiring   relay module VCC -> 5V (or 3V3, as it says), GND -> GND, IN -> GPIO26 (GP22 on a Pico W)
#          button between GPIO0 and GND (BOOT on most ESP32 boards; GP14 on a Pico W)
from sys import platform
from time import ticks_diff, ticks_ms

from machine import Pin, Timer
from redpoll import Agent

RELAY, BUTTON, TIMER = (22, 14, -1) if platform == "rp2" else (26, 0, 0)

agent = Agent()
relay = Pin(RELAY, Pin.OUT, value=0)
button = Pin(BUTTON, Pin.IN, Pin.PULL_UP)
# ends what may last for a time only, also while the agent is busy with a connection
timer = Timer(TIMER)
longest = 0  # seconds that the relay may stay on; 0: as long as one likes
pressed_at = ticks_ms()


def switch(value, seconds=0):
    relay.value(value)
    timer.deinit()
    limits = [limit for limit in (seconds, longest) if limit]
    if value and limits:
        timer.init(mode=Timer.ONE_SHOT, period=min(limits) * 1000, callback=lambda _: switch(0))
    # tell it at once, not only every ten minutes
    agent.every(0.1, "state")


def pressed(_):
    global pressed_at
    now = ticks_ms()
    # a contact bounces for some milliseconds
    if ticks_diff(now, pressed_at) > 200:
        pressed_at = now
        switch(not relay.value())


@agent.sensor(every=600)
def state():
    agent.every(600, "state")
    return {"relay": bool(relay.value())}


@agent.command("on", seconds=(int, 1, 86400))
def on(seconds=0):
    switch(1, seconds)
    return "on"


@agent.command("off")
def off():
    switch(0)
    return "off"


@agent.config(longest=(int, 0, 86400))
def apply(config):
    global longest
    longest = config.get("longest", 0)
    switch(relay.value())


button.irq(pressed, Pin.IRQ_FALLING)
agent.run()
