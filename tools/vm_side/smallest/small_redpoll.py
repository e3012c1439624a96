from redpoll.net import mqtt5
from redpoll.net.mqtt import MQTTClient
from small_common import KEY, TOPIC, send


def run(port):
    user = mqtt5.encode([(mqtt5.USER_PROPERTY, ("device_id", KEY)), (mqtt5.USER_PROPERTY, ("access_key", KEY))])
    client = MQTTClient("bench", "127.0.0.1", port, keepalive=60, protocol=5, window=4, max_packet=512)
    client.set_callback(print)
    client.connect()
    client.subscribe(b"v1/device/x/config")
    send(lambda message: client.publish(TOPIC, message, False, 1, user))
    client.flush()
