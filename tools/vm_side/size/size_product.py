# The product whose starts and updates are measured: a sensor, and what a feature set wants beside it.
from redpoll import port
from redpoll.agent import Agent

_LONGEST = 50  # ms that a turn of the loop waits, so that a measurement is short


class Product:
    """An agent with what is `wanted` of "config", "command" and "license"; `done` has those that have happened, `sent` counts messages."""

    def __init__(self, wanted):
        self._wanted = wanted
        self.done = set()
        self.sent = 0
        self.agent = agent = Agent("settings.json", version="1.0.0")
        self._taken = agent.on_sent
        agent.on_sent = self._on_sent

        @agent.sensor(every=30)
        def climate():
            return {"temperature": 21.5, "humidity": 40, "fan": True, "name": "east hall"}

        if "config" in wanted:

            @agent.config(interval=(int, 5, 3600), label=(str, 0, 64))
            def apply(config):
                if config:
                    self.done.add("config")

            @agent.command("blink", times=(int, 1, 20))
            def blink(times=3):
                self.done.add("command")
                return "blinked %d times" % times

    def _on_sent(self, number, accepted=True):
        self._taken(number, accepted)
        if accepted:
            self.sent += 1

    def turn(self):
        """One turn of the loop, then a wait until something comes."""
        agent = self.agent
        ms = agent.poll()
        if "license" in self._wanted and self.sent and agent.licenses.valid("size"):
            self.done.add("license")
        if len(agent.spool) == 0:
            # as often as a laptop can, each message still has its turn of the loop
            agent.telemetry.soon("climate")
        if ms and not agent.link.wait(min(ms, _LONGEST)):
            port.sleep_ms(min(ms, _LONGEST))

    def complete(self, messages):
        """True when all that is wanted has happened and so many messages are acknowledged."""
        return self.sent >= messages and all(name in self.done for name in self._wanted)
