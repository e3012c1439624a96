# The agent over MQTT with a cloud that the test plays: what several files of tests share.
import json

import scratch
from cloud_fakes import CREDENTIALS, HTTP, MQTT, Reply
from redpoll.agent import Agent
from redpoll.clock import Clock
from redpoll.cloud import registration, xyte_mqtt
from scratch import Ticks

registration.HTTPClient = HTTP
xyte_mqtt.MQTTClient = MQTT


class Bench:
    """An agent with a fan sensor, a `count` command and a configured interval, its cloud and its clock."""

    def __init__(self, registered=True, **settings):
        HTTP.requests = []
        HTTP.serve = self.serve
        MQTT.made = []
        MQTT.refuse = None
        MQTT.silent = False
        MQTT.acknowledges = True
        self.registration = Reply(201, CREDENTIALS)
        self.device_known = 200
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

    def serve(self, method, path, body):
        if path == "/v1/devices":
            return self.registration
        return Reply(self.device_known)

    def turn(self, ms=0):
        """Let time pass and the agent do all that is due then. Returns the MQTT client now in use."""
        self.ticks.ms += ms
        for _ in range(12):
            self.agent.poll()
        return MQTT.made[-1] if MQTT.made else None
