# The product's own code: its sensors, its commands, its configuration. This one shows what the board itself has;
# put yours here. `board` is boards/<name>/board.py, deployed beside it.
import time

import board
from redpoll import Agent

agent = Agent()
label = ""


@agent.sensor(every=10)
def climate():
    readings = board.sensors()
    readings["label"] = label
    return readings


@agent.command("blink", times=(int, 1, 20))
def blink(times=3):
    for _ in range(times):
        board.led(True)
        time.sleep_ms(100)
        board.led(False)
        time.sleep_ms(100)
    return "blinked %d times" % times


@agent.config(interval=(int, 5, 3600), label=(str, 0, 64))
def apply(config):
    global label
    label = config.get("label", label)
    if "interval" in config:
        agent.every(config["interval"])


agent.run()
