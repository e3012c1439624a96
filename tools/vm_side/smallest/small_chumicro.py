from chumicro_mqtt.client import MQTTBackpressureError, MQTTClient, ProtocolState
from chumicro_sockets.sockets_factory import fixed_connector_factory
from chumicro_timing import ticks_ms
from small_common import TOPIC, send


def run(port):
    waiting = [1]

    def done(*_):
        waiting[0] -= 1

    def tick():
        now = ticks_ms()
        if client.check(now):
            client.handle(now)

    def publish(message):
        waiting[0] += 1
        while True:
            try:
                client.publish(topic, message, qos=1, on_publish=done)
                break
            except MQTTBackpressureError:
                tick()
        tick()

    topic = TOPIC.decode()
    client = MQTTClient(transport_factory=fixed_connector_factory("127.0.0.1", port), client_id="bench")
    client.connect()
    while client.state != ProtocolState.CONNECTED:
        tick()
    client.subscribe("v1/device/x/config", 0, on_subscribe=done)
    send(publish)
    while waiting[0]:
        tick()
