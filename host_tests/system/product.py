# main.py of the system tests' board: like firmware/main.py, but it reports every second and says on its console what it does.
import board
from redpoll import Agent

agent = Agent()
seen = {"applied": 0, "runs": 0}


@agent.sensor(every=1)
def machine():
    readings = board.sensors()
    readings.update(seen)
    return readings


@agent.command("count")
def count(step=1):
    seen["runs"] += step
    print("counted to", seen["runs"])
    return "counted to %d" % seen["runs"]


@agent.config(interval=(int, 1, 3600), label=(str, 0, 16))
def apply(config):
    if config.get("label") == "refuse me":
        raise ValueError("this label is refused")
    seen["applied"] += 1
    print("applied", config.get("interval"), config.get("label"))


@agent.on("space")
def space(information):
    print("space", information["name"])


@agent.on("firmware")
def firmware(version, file_id):
    print("firmware", version)


agent.run()
