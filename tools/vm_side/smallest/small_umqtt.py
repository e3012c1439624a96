from small_common import TOPIC, send
from umqtt.simple import MQTTClient


def run(port):
    client = MQTTClient("bench", "127.0.0.1", port, keepalive=60)
    client.set_callback(print)
    client.connect()
    client.sock.setsockopt(6, 1, 1)  # TCP_NODELAY, else it takes half a minute
    client.subscribe(b"v1/device/x/config")
    send(lambda message: client.publish(TOPIC, message, False, 1))
