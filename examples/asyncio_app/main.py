# A tank that is kept full: an asyncio application of its own, in which the agent is one task among others.
#
# Wiring   level sensor (0 to 3 V) -> GPIO32 (GP26 on a Pico W); pump relay IN -> GPIO26 (GP22 on a Pico W)
#
# agent.poll() does not block, but for a connection that is being opened: then all tasks stand still, for at most the setting
# connect_timeout (7 s), which may be lower, 7 s more for its subscriptions, and for the looking up of names: 28 s where no name server
# answers.
import asyncio
from sys import platform

from machine import ADC, Pin
from redpoll import Agent

PUMP, LEVEL = (22, 26) if platform == "rp2" else (26, 32)
LONGEST_NAP = 200  # ms between two polls
FULL_SCALE = 3.0  # volts at 100 %

agent = Agent()
pump = Pin(PUMP, Pin.OUT, value=0)
sensor = ADC(Pin(LEVEL), atten=ADC.ATTN_11DB) if platform == "esp32" else ADC(Pin(LEVEL))
limits = {"low": 20, "high": 80}
tank = {"level": 0.0, "starts": 0}


def percent():
    volts = sensor.read_uv() / 1e6 if platform == "esp32" else sensor.read_u16() * 3.3 / 65535
    return 100 * volts / FULL_SCALE


async def keep_full():
    tank["level"] = percent()
    while True:
        # waves: a tenth of what is read new each time
        tank["level"] += (percent() - tank["level"]) / 10
        if tank["level"] < limits["low"] and not pump.value():
            pump.value(1)
            tank["starts"] += 1
        elif tank["level"] > limits["high"]:
            pump.value(0)
        await asyncio.sleep_ms(20)


async def report():
    # agent.run() would do it itself. The agent feeds it within a poll too; a machine.WDT would bite while that waits for the network
    agent.watch()
    while True:
        agent.feed()
        await asyncio.sleep_ms(min(agent.poll(), LONGEST_NAP))


@agent.sensor(every=30)
def state():
    return {"level_percent": round(tank["level"], 1), "pump": bool(pump.value()), "starts": tank["starts"]}


@agent.config(interval=(int, 1, 3600), low=(int, 0, 100), high=(int, 0, 100))
def apply(config):
    low, high = config.get("low", 20), config.get("high", 80)
    if low >= high:
        raise ValueError("low must be lower than high")
    limits.update(low=low, high=high)
    agent.every(config.get("interval", 30))


async def main():
    await asyncio.gather(keep_full(), report())


asyncio.run(main())
