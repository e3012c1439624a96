# The product that the tests of the agent run, whatever cloud is played to it.
import json

import scratch
from cloud_fakes import CREDENTIALS, HTTP
from redpoll import port
from redpoll.agent import Agent
from redpoll.clock import Clock
from redpoll.cloud import https
from scratch import Ticks

https.HTTPClient = HTTP
# what is loaded again is not patched
port_unload = port.unload
port.unload = lambda *names: None


def _reset():
    # a board would be gone, and the test with it
    raise SystemExit("reset")


class _Watchdog:
    # a board's own goes on after the test, and that of an RP2 over a soft reset: it would end one of the next
    def feed(self):
        pass


port.reset = _reset
port.watchdog = lambda timeout_ms: _Watchdog()


class ProductBench:
    """An agent with a fan sensor, a `count` command and a configured interval, and its clock. serve(method, path, body) is the cloud."""

    def __init__(self, registered=True, **settings):
        HTTP.requests = []
        HTTP.serve = self.serve
        self.ticks = Ticks()
        self.counted = 0
        self.configured = []
        values = {"entry": "http://entry.example", "sn": "A1", "hardware_key": "hk"}
        values.update(settings)
        scratch.write("settings.json", json.dumps(values))
        self.start()
        if registered:
            self.agent.settings.store(dict(CREDENTIALS, version="1.0.0"))

    def start(self):
        """Start the agent, also after a restart."""
        self.agent = agent = Agent("settings.json", version="1.0.0", clock=Clock(self.ticks, lambda: None))

        @agent.sensor(every=30)
        def fan():
            return {"fan_speed": 100.5}

        @agent.command("count")
        def count(step=1):
            self.counted += step
            return "counted"

        @agent.config(interval=(int, 5, 3600))
        def apply(config):
            self.configured.append(config)
