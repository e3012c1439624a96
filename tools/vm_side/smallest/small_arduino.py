from arduino_iot_cloud import umqtt
from small_common import TOPIC, send


def run(port):
    umqtt.ssl.wrap_socket = lambda sock, _: sock  # it always speaks TLS, the others do not here
    client = umqtt.MQTTClient("bench", "127.0.0.1", port, {}, keepalive=60, callback=print)
    client.connect()
    client.sock.setsockopt(6, 1, 1)  # TCP_NODELAY, else it takes half a minute
    client.subscribe(b"v1/device/x/config")
    send(lambda message: client.publish(TOPIC, message, False, 1))
