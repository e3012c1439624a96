# The agent over MQTT with a cloud that the test plays: what several files of tests share.
from cloud_fakes import CREDENTIALS, MQTT, Reply
from product_bench import ProductBench
from redpoll.cloud import xyte_mqtt

xyte_mqtt.MQTTClient = MQTT


class Bench(ProductBench):
    """The product and its broker; `registration` and `device_known` are what the cloud says over HTTPS."""

    def __init__(self, registered=True, **settings):
        MQTT.made = []
        MQTT.refuse = None
        MQTT.silent = False
        MQTT.acknowledges = True
        MQTT.maximum_qos = 2
        MQTT.receive_maximum = None
        self.registration = Reply(201, CREDENTIALS)
        self.device_known = 200
        super().__init__(registered, **settings)

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
