# A heap that the product has filled. What it holds stays held, as by one that keeps a list, until the test lets it go.
import sys

from cloud_fakes import MQTT
from mqtt_bench import Bench
from support import SkipTest

# the cloud played here shares the heap with the agent
HEAP = "256K"


class Hoard:
    """Takes all of the heap when it is called, and raises MemoryError."""

    def __init__(self):
        if sys.implementation.name != "micropython":
            raise SkipTest("CPython's heap has no end")
        self.held = None

    def __call__(self):
        size = 32768
        while True:
            try:
                self.held = (self.held, bytearray(size))
            except MemoryError:
                if size <= 16:
                    raise
                size //= 2


def test_a_command_that_fills_the_heap_ends_and_the_next_one_runs():
    hoard = Hoard()
    bench = Bench()
    bench.agent.command("hoard")(hoard)
    bench.turn().deliver("commands", {"id": "h", "name": "hoard"})
    for _ in range(12):
        try:
            bench.agent.poll()
        except MemoryError:
            pass  # there is none for the loop either
    hoard.held = None
    for _ in range(10):
        client = bench.turn(31000)
    client.deliver("commands", {"id": "c", "name": "count"})
    bench.turn()
    assert bench.counted == 1
    ended = [m for made in MQTT.made for m in made.sent("commands/update") if m["id"] == "h" and m["status"] == "error"]
    assert ended and ended[0]["message"]
