# ruff: noqa: UP031 - runs on MicroPython too
# The whole agent over a power cut: it registers, reports, takes three configurations (one of them changes the link) and runs five
# commands (one restarts the board). The cloud it talks to is played here and outlives the cut. Runs on both interpreters.
import json

from cloud_fakes import CREDENTIALS, HTTP, MQTT, Reply
from redpoll import port
from redpoll.agent import Agent
from redpoll.clock import Clock
from redpoll.cloud import https, xyte_mqtt
from redpoll.commands import RESTART

https.HTTPClient = HTTP
# what is loaded again is not patched
port.unload = lambda *names: None
xyte_mqtt.MQTTClient = MQTT

SETTINGS = {"entry": "http://entry.example", "sn": "A1", "hardware_key": "hk", "spool_hold": 0}
CONFIGS = ({"interval": 10, "label": "one"}, {"interval": 20, "settings": {"keepalive": 30}}, {"interval": 30, "label": "three"})
COMMANDS = ("count", "count", "reboot", "fail", "count")
_FINAL = ("done", "error")


class Ticks:
    """A clock that the scenario turns."""

    def __init__(self):
        self.ms = 0

    def __call__(self):
        return self.ms


class Restart(BaseException):
    """The board restarts in good order."""


class Scenario:
    """See scenario_flash.Scenario for what `work`, `resume` and `check` are. The rest is the cloud, and what the product has done."""

    def __init__(self, exact=True):
        self.exact = exact
        # the cloud's side: version and values of the configuration, the version that was confirmed
        self.version = 0
        self.values = {}
        self.confirmed = 0
        self.commands = []
        # message number -> what the message said
        self.messages = {}
        # the product's side: how often each command ran
        self.runs = {}
        self.pushed = 0

    # the life of the board

    def work(self):
        """From the first start to the last command, with a restart in good order on the way."""
        for _ in range(3):
            try:
                self._boot(40)
                return
            except Restart:
                pass

    def resume(self):
        """The boot after a cut, which is cut off too."""
        try:
            self._boot(6)
        except Restart:
            pass

    def check(self):
        """Boots until all is quiet: AssertionError unless cloud and device then agree and nothing was done twice."""
        for _ in range(4):
            try:
                agent = self._boot(40)
                break
            except Restart:
                pass
        assert all(count == 1 for count in self.runs.values()), "commands ran %r" % self.runs
        states = [(command["id"], command["status"]) for command in self.commands]
        assert all(status in _FINAL for _, status in states), states
        for command in self.commands:
            self._check_result(command)
        assert agent.config_version() == self.version == self.confirmed, (agent.config_version(), self.version, self.confirmed)
        assert agent._config.values == self.values, (agent._config.values, self.values)
        assert self.applied == {key: self.values[key] for key in ("interval", "label") if key in self.values}, (self.applied, self.values)
        assert agent.settings.keepalive == self.values.get("settings", {}).get("keepalive", 60)
        assert len(agent.spool) == 0, "%d messages left" % len(agent.spool)
        assert agent.spool.damaged == 0 or not self.exact

    def _check_result(self, command):
        told = command["status"], command["message"]
        if command["name"] == "fail":
            assert told in (("error", "fail: it does"), ("error", "interrupted by a restart")), told
        elif command["name"] == "reboot":
            assert told in (("done", "restarted"), ("error", "interrupted by a restart")), told
        elif told[0] == "done":
            # it says it was done: then it was
            assert self.runs.get(command["id"]) == 1 and told[1] == "counted " + command["id"], (told, self.runs)
        else:
            assert told == ("error", "interrupted by a restart"), told

    def _boot(self, turns):
        # a power-up; returns the agent after so many turns, or raises Restart or PowerCut
        self.ticks = Ticks()
        self.applied = None
        HTTP.serve = self._serve
        MQTT.made = []
        MQTT.refuse = None
        MQTT.silent = False
        self._provision()
        agent = Agent("settings.json", version="1.0.0", clock=Clock(self.ticks, lambda: 1628063144122))
        self._declare(agent)
        for turn in range(turns):
            self.ticks.ms += 2500
            try:
                agent.poll()
                agent.poll()
            except SystemExit:
                raise Restart
            for client in MQTT.made[-1:]:
                self._listen(client)
                if client.open and turn % 3 == 2:
                    self._operate(client)
        return agent

    def _provision(self):
        # written by a person at a desk, again after a cut that hit it
        text = json.dumps(SETTINGS)
        try:
            with open("settings.json") as file:
                if file.read() == text:
                    return
        except OSError:
            pass
        with open("settings.json", "w") as file:
            file.write(text)

    def _declare(self, agent):
        @agent.sensor(every=5)
        def state():
            return {"at": self.ticks.ms}

        @agent.config(interval=(int, 5, 60), label=(str, 0, 8))
        def apply(values):
            self.applied = values

        @agent.command("count")
        def count(command):
            self.runs[command] = self.runs.get(command, 0) + 1
            return "counted " + command

        @agent.command("fail")
        def fail(command):
            self.runs[command] = self.runs.get(command, 0) + 1
            raise ValueError("it does")

        @agent.command("reboot")
        def reboot(command):
            # what the built-in does, and a count
            self.runs[command] = self.runs.get(command, 0) + 1
            return RESTART

    # the cloud

    def _serve(self, method, path, body):
        if path == "/v1/devices":
            return Reply(201, CREDENTIALS)
        return Reply(200)

    def _operate(self, client):
        # the operator's next step: configurations and commands by turns
        done = self.pushed
        if done >= len(CONFIGS) + len(COMMANDS):
            return
        self.pushed += 1
        if done % 3 == 0 and done // 3 < len(CONFIGS):
            self.version += 1
            self.values = CONFIGS[done // 3]
            self._push_config(client)
            return
        name = COMMANDS[done - (done + 2) // 3]
        key = "c%d" % done
        self.commands.append({"id": key, "name": name, "parameters": {"command": key}, "status": "pending", "message": ""})
        self._push_command(client)

    def _push_config(self, client):
        message = dict(self.values)
        message["version"] = self.version
        client.deliver("config", message)

    def _push_command(self, client):
        for command in self.commands:
            if command["status"] not in _FINAL:
                client.deliver("commands", command)
                return

    def _listen(self, client):
        published = client.published
        client.published = []
        for topic, message, properties in published:
            name = topic.split("/", 3)[3]
            if name == "get":
                if self.version:
                    self._push_config(client)
                self._push_command(client)
            elif name == "telemetry":
                self._take_message(message, properties)
            elif name == "config/update":
                self._take_config(client, message)
            elif name == "commands/update":
                self._take_result(client, message)

    def _take_message(self, message, properties):
        number = int(properties[-10:])
        # a message that outlived a restart overrides nothing
        text = json.dumps(sorted([(key, str(value)) for key, value in message.items() if key != "override"]))
        assert self.messages.get(number, text) == text, "number %d says %r and %r" % (number, self.messages[number], text)
        self.messages[number] = text

    def _take_config(self, client, message):
        version = message.pop("version")
        message.pop("last_updated", None)
        assert version <= self.version, "the device has version %d, the cloud gave %d" % (version, self.version)
        if message == self.values:
            self.confirmed = max(self.confirmed, version)
        elif version == self.version:
            self.version += 1
            self.values = message
            self._push_config(client)

    def _take_result(self, client, message):
        for command in self.commands:
            if command["id"] == message["id"]:
                assert command["status"] not in _FINAL or command["status"] == message["status"], (command, message)
                command["status"] = message["status"]
                command["message"] = message["message"]
                if message["status"] in _FINAL:
                    self._push_command(client)
