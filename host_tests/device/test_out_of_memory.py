# A heap that the product has filled. What it holds stays held, as by one that keeps a list, until the test lets it go.
import gc
import sys

import mqtt_bench
import product_bench
from cloud_fakes import MQTT
from mqtt_bench import Bench
from redpoll import port
from support import SkipTest, raises

# the cloud played here shares the heap with the agent
HEAP = "256K"
# where they hardly have room, each object is paid with a collection: minutes for each test
BOARD_HEAP = "160K"


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

    def let_go(self):
        """Give all of it back."""
        self.held = None
        # at once: deeper calls come upon pointers to it that lie on the stack still
        gc.collect()


def end(bench, kind, pause):
    """Run the agent until it ends with an exception of this kind; `pause(ms)` stands in for its sleeps."""
    real = port.sleep_ms
    port.sleep_ms = pause
    try:
        with raises(kind):
            bench.agent.run()
    finally:
        port.sleep_ms = real


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
    hoard.let_go()
    for _ in range(10):
        client = bench.turn(31000)
    client.deliver("commands", {"id": "c", "name": "count"})
    bench.turn()
    assert bench.counted == 1
    ended = [m for made in MQTT.made for m in made.sent("commands/update") if m["id"] == "h" and m["status"] == "error"]
    assert ended and ended[0]["message"]


def test_a_product_that_fills_the_heap_costs_no_readings_and_the_next_start_tells_of_it():
    hoard = Hoard()
    bench = Bench()

    def pause(ms):
        MQTT.refuse = OSError(113)
        # they hold the buffer that a connection receives into
        MQTT.made.clear()
        bench.ticks.ms += ms

    pause(0)
    bench.turn()
    assert bench.agent.spool._ram
    bench.agent.sensor(every=30)(hoard)
    pause(0)
    # as on a board: what is unloaded is gone
    del mqtt_bench.xyte_mqtt
    port.unload = product_bench.port_unload
    try:
        end(bench, MemoryError, pause)
    finally:
        port.unload = lambda *names: None
    assert not bench.agent.spool._ram
    hoard.let_go()
    bench.start()
    assert "MemoryError" in bench.agent._health.ended_by


def test_a_link_that_finds_no_memory_again_and_again_ends_the_program_and_the_next_start_tells_of_it():
    bench = Bench()

    def pause(ms):
        MQTT.refuse = MemoryError("memory allocation failed, allocating 4096 bytes")
        bench.ticks.ms += ms

    pause(0)
    bench.turn()
    end(bench, RuntimeError, pause)
    # not at once: it may be there again
    assert bench.agent.link.failures >= 7 and bench.ticks.ms < 7200000
    assert not bench.agent.spool._ram
    MQTT.refuse = None
    bench.start()
    assert "RuntimeError: MemoryError: memory allocation failed, allocating 4096 bytes" in bench.agent._health.ended_by
    bench.turn()
    assert bench.agent.connected()


def raising(error):
    def broken(*_):
        raise error

    return broken


def test_what_fails_while_the_program_ends_costs_neither_readings_nor_why_it_ended():
    real = port.print_exception
    for why in (MemoryError(), RuntimeError("the link is broken too")):
        bench = Bench()
        kept = len(bench.agent.spool)
        bench.agent._sense()
        bench.agent._sync.poll = raising(KeyError("the reason"))
        assert len(bench.agent._reserve) >= 128
        reserve = []

        def close(agent=bench.agent, reserve=reserve, why=why):
            reserve.append(agent._reserve)
            raise why

        bench.agent.link.close = close
        port.print_exception = raising(MemoryError())
        try:
            with raises(KeyError):
                bench.agent.run()
        finally:
            port.print_exception = real
        # given back before anything else is done
        assert reserve == [None]
        assert not bench.agent.spool._ram
        bench.start()
        assert bench.agent._health.ended_by == "KeyError" and len(bench.agent.spool) == kept + 1
