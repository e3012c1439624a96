# One MQTT client, one measurement, in a MicroPython of its own; tools/bench/mqtt.py starts it and reads the line of JSON that it prints.
import gc
import json
import time
from array import array

gc.collect()
AT_START = gc.mem_alloc()

_FEW = 20

KEY = "0123456789abcdef0123456789abcdef"
TOPIC = b"v1/device/" + KEY.encode() + b"/telemetry"
# 138 bytes as JSON
READINGS = {
    "status": "online",
    "telemetries": {"temperature": 21.5, "humidity": 40, "fan": True, "free": 1234567, "name": "east hall"},
    "seq": 1000,
}


def heap():
    gc.collect()
    return gc.mem_alloc()


class NoDelay:
    """Stands for the module `socket` in a client that has none of its own ways to set TCP_NODELAY."""

    def __init__(self):
        import socket

        self._socket = socket
        for name in ("getaddrinfo", "AF_INET", "SOCK_STREAM", "SOCK_DGRAM", "SOL_SOCKET", "SO_REUSEADDR"):
            if hasattr(socket, name):
                setattr(self, name, getattr(socket, name))

    def socket(self, *arguments):
        made = self._socket.socket(*arguments)
        made.setsockopt(6, 1, 1)
        return made


def tls_context(ca):
    if not ca:
        return None
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_mode = ssl.CERT_REQUIRED
    with open(ca, "rb") as file:
        context.load_verify_locations(cadata=file.read())
    return context


# Each class has publish(message, qos), which may return before the acknowledgement; flush(), which waits for all.


class Umqtt:
    NODELAY = False

    def __init__(self, port, ca):
        from umqtt import simple

        if self.NODELAY:
            simple.socket = NoDelay()
        self.imported = heap()
        if ca:
            # the name that its TLS, which verifies nobody, is looked for under
            import ssl
            import sys

            sys.modules["ussl"] = ssl
        self._client = simple.MQTTClient("bench", "localhost", port, keepalive=60, ssl=bool(ca))
        self._client.connect()

    def publish(self, message, qos):
        self._client.publish(TOPIC, message, False, qos)

    def flush(self):
        pass


class UmqttNoDelay(Umqtt):
    NODELAY = True


class Arduino(Umqtt):
    """It always speaks TLS; where there is none to speak, that is taken out of it. Its package loads its agent too."""

    NODELAY = False

    def __init__(self, port, ca):
        from arduino_iot_cloud import umqtt

        if self.NODELAY:
            umqtt.socket = NoDelay()
        self.imported = heap()
        parameters = {}
        if ca:
            import ssl

            with open(ca, "rb") as file:
                parameters = {"verify_mode": ssl.CERT_REQUIRED, "cadata": file.read(), "server_hostname": "localhost"}
        else:
            umqtt.ssl.wrap_socket = lambda sock, _: sock
        self._client = umqtt.MQTTClient("bench", "localhost", port, parameters, keepalive=60)
        self._client.connect()


class ArduinoNoDelay(Arduino):
    NODELAY = True


class Chumicro:
    NODELAY = False

    def __init__(self, port, ca):
        from chumicro_mqtt.client import MQTTBackpressureError, MQTTClient, ProtocolState
        from chumicro_sockets.sockets_factory import fixed_connector_factory
        from chumicro_timing import ticks_ms

        if self.NODELAY:
            from sys import modules

            __import__("chumicro_sockets._adapters.mp")
            modules["chumicro_sockets._adapters.mp"].socket = NoDelay()
        self.imported = heap()
        self._full = MQTTBackpressureError
        self._now = ticks_ms
        self._out = 0
        factory = fixed_connector_factory("localhost", port, use_tls=bool(ca), ssl_context=tls_context(ca))
        self._client = MQTTClient(transport_factory=factory, client_id="bench")
        self._client.connect()
        while self._client.state != ProtocolState.CONNECTED:
            self._tick()
        self._done = self._acknowledged

    def _tick(self):
        now = self._now()
        if self._client.check(now):
            self._client.handle(now)

    def _acknowledged(self, *_):
        self._out -= 1

    def publish(self, message, qos):
        while True:
            try:
                self._client.publish(TOPIC_TEXT, message, qos=qos, on_publish=self._done)
                break
            except self._full:
                self._tick()
        self._out += 1
        self._tick()

    def flush(self):
        while self._out:
            self._tick()


class ChumicroNoDelay(Chumicro):
    NODELAY = True


class Redpoll:
    WINDOW = 16
    PROTOCOL = 5

    def __init__(self, port, ca):
        from redpoll.net.mqtt import MQTTClient

        self._properties = None
        if self.PROTOCOL == 5:
            from redpoll.net import mqtt5

            user = mqtt5.USER_PROPERTY
            self._properties = mqtt5.encode([(user, ("device_id", KEY)), (user, ("access_key", KEY))])
        self.imported = heap()
        self._client = MQTTClient(
            "bench",
            "localhost",
            port,
            keepalive=60,
            ssl=tls_context(ca) or False,
            protocol=self.PROTOCOL,
            window=self.WINDOW,
            max_packet=1024,
        )
        self._client.set_callback(lambda topic, msg: None)
        self._client.connect()
        self.flush = self._client.flush

    def publish(self, message, qos):
        self._client.publish(TOPIC, message, False, qos, self._properties)


class RedpollStopAndWait(Redpoll):
    WINDOW = 1


class Redpoll311(Redpoll):
    PROTOCOL = 4


class Bare:
    """The same bytes from one buffer, acknowledgements counted, nothing else: what the socket and JSON leave to any client."""

    WINDOW = 16

    def __init__(self, port, ca):
        import socket

        self.imported = heap()
        sock = socket.socket()
        sock.setsockopt(6, 1, 1)
        sock.connect(socket.getaddrinfo("127.0.0.1", port)[0][-1])
        self._recv = not ca
        if ca:
            sock = tls_context(ca).wrap_socket(sock, server_hostname="localhost")
        sock.write(b"\x10\x12\0\x04MQTT\x05\x02\0\x3c\0\0\x05bench")
        # CONNACK: as long as its second byte says
        sock.read(sock.read(2)[1])
        self._sock = sock
        # bytes of an acknowledgement, which may have a reason code
        self._size = 0
        block = b""
        for name, value in ((b"device_id", KEY.encode()), (b"access_key", KEY.encode())):
            block += b"\x26\0" + bytes([len(name)]) + name + b"\0" + bytes([len(value)]) + value
        assert len(block) < 128
        self._block = bytes([len(block)]) + block
        self._buf = bytearray(5) + TOPIC
        self._buf[3] = 0
        self._buf[4] = len(TOPIC)
        self._fixed = len(self._buf)
        self._buf.extend(bytes(600))
        self._pid = self._sent = 0
        # acknowledgements that have come, and their bytes
        self._read = self._bytes = 0

    def publish(self, message, qos):
        if qos and self._sent - self._read >= self.WINDOW:
            self._take()
        buf = self._buf
        at = self._fixed
        if qos:
            pid = self._pid = self._pid % 65535 + 1
            buf[at] = pid >> 8
            buf[at + 1] = pid & 255
            at += 2
            self._sent += 1
        end = at + len(self._block)
        buf[at:end] = self._block
        buf[end : end + len(message)] = message
        end += len(message)
        n = end - 3
        buf[0] = 0x30 | qos << 1
        buf[1] = n & 127 | 128
        buf[2] = n >> 7
        self._sock.write(buf, end)

    def _take(self):
        if not self._size:
            self._size = 2 + self._sock.read(2)[1]
            self._sock.read(self._size - 2)
            self._bytes = self._size
        else:
            # what there is
            self._bytes += len(self._sock.recv(256) if self._recv else self._sock.read(self._size))
        self._read = self._bytes // self._size

    def flush(self):
        while self._read < self._sent:
            self._take()


class BareStopAndWait(Bare):
    WINDOW = 1


TOPIC_TEXT = TOPIC.decode()
CLIENTS = {
    "umqtt": Umqtt,
    "umqtt-nodelay": UmqttNoDelay,
    "arduino": Arduino,
    "arduino-nodelay": ArduinoNoDelay,
    "chumicro": Chumicro,
    "chumicro-nodelay": ChumicroNoDelay,
    "redpoll-1": RedpollStopAndWait,
    "redpoll": Redpoll,
    "redpoll-311": Redpoll311,
    "bare-1": BareStopAndWait,
    "bare": Bare,
}


def rate(client, n, qos):
    """Messages a second, JSON encoded for each."""
    for _ in range(20 if n > 100 else 1):
        client.publish(json.dumps(READINGS).encode(), qos)
    client.flush()
    gc.collect()
    started = time.ticks_us()
    for number in range(n):
        READINGS["seq"] = 1000 + number % 9000
        client.publish(json.dumps(READINGS).encode(), qos)
    client.flush()
    return {"rate": n * 1e6 / time.ticks_diff(time.ticks_us(), started)}


def memory(client, n, qos):
    """Bytes allocated by a publish of a message that is there, and the heap when it has connected, after 100 and after so many of them."""
    connected = heap()
    message = json.dumps(READINGS).encode()
    found = array("i", [0] * 4)
    for _ in range(_FEW):
        client.publish(message, qos)
    client.flush()
    gc.collect()
    gc.disable()
    found[0] = gc.mem_alloc()
    for _ in range(_FEW):
        client.publish(message, qos)
    client.flush()
    found[1] = gc.mem_alloc()
    gc.enable()
    for place, more in ((2, 100 - 2 * _FEW), (3, n - 100)):
        for _ in range(more):
            client.publish(message, qos)
        client.flush()
        gc.collect()
        found[place] = gc.mem_alloc()
    return {
        "allocated": (found[1] - found[0]) / _FEW,
        "imported": client.imported - AT_START,
        "connected": connected - AT_START,
        "after_100": found[2] - AT_START,
        "after": found[3] - AT_START,
    }


def run(name, port, ca, what, n, qos):
    """Print what the measurement gave."""
    client = CLIENTS[name](port, ca)
    print(json.dumps({"rate": rate, "memory": memory}[what](client, n, qos)))
