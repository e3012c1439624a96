from redpoll.net.mqtt import MQTTClient
from small_common import TOPIC, send


def run(port):
    client = MQTTClient("bench", "127.0.0.1", port, keepalive=60, window=4, max_packet=512)
    client.set_callback(print)
    client.connect()
    client.subscribe(b"v1/device/x/config")
    send(lambda message: client.publish(TOPIC, message, False, 1))
    client.flush()
