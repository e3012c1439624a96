# Runs on MicroPython and on CPython: goes through the sessions of a JSON file with net.mqtt and prints what came of them, one line each.
# Arguments: the file, port, protocol level. Bytes are {"hex": ...}, many zeros {"zeros": how many}.
import json
import sys
from binascii import hexlify, unhexlify

from redpoll.net.mqtt import MQTTClient, MQTTException
from redpoll.port import ticks_diff, ticks_ms

PORT = int(sys.argv[2])
LEVEL = int(sys.argv[3])


def plain(value):
    """From JSON: bytes again, and pairs as tuples."""
    if isinstance(value, dict):
        return unhexlify(value["hex"]) if "hex" in value else bytes(value["zeros"])
    if isinstance(value, list):
        return tuple(plain(part) for part in value)
    return value


def told(value):
    """To JSON."""
    if isinstance(value, (bytes, bytearray)):
        return {"hex": hexlify(value).decode()}
    if isinstance(value, (list, tuple)):
        return [told(part) for part in value]
    return value


def properties(found):
    return None if found is None else [(identifier, plain(value)) for identifier, value in found]


class Session:
    def __init__(self, name, connect, will=None):
        self.got = []
        self.acks = []
        self.said = []
        self.clean = connect.pop("clean", True)
        options = {key: plain(value) for key, value in connect.items()}
        options["properties"] = properties(connect.get("properties"))
        self.client = client = MQTTClient(name, "127.0.0.1", PORT, protocol=LEVEL, **options)
        client.set_callback(lambda topic, msg: self.got.append((topic, msg, client.properties)))
        client.on_ack = lambda pid, code: self.acks.append((pid, code))
        if will:
            topic, msg, qos, retain, found = will
            client.set_last_will(topic, plain(msg), retain, qos, properties(found))

    def run(self, steps):
        try:
            self.said.append(self.client.connect(self.clean))
            for step in steps:
                self.said.append(getattr(self, step[0])(*step[1:]))
        except MQTTException as error:
            self.said.append(["refused", error.code, error.args[1]])
        except OSError:
            self.said.append(["broken"])
        self.client.close()

    def publish(self, topic, msg, qos, retain, found):
        self.client.publish(topic, plain(msg), retain, qos, properties(found))
        self.client.flush()

    def subscribe(self, filters, found):
        if len(filters) == 1:
            return self.client.subscribe(filters[0][0], filters[0][1], properties(found))
        return self.client.subscribe([(name, options) for name, options in filters], 0, properties(found))

    def unsubscribe(self, filters, found):
        self.client.unsubscribe(filters[0] if len(filters) == 1 else filters, properties(found))

    def ping(self):
        self.client.ping()
        self.wait(lambda: self.client._pinged is None)

    def receive(self, count):
        self.wait(lambda: len(self.got) >= count and not self.client._received)

    def listen(self):
        self.wait(lambda: False)

    def lose(self, *messages):
        # the server takes them, or a part of them, and breaks off
        for topic, msg, qos in messages:
            self.client.publish(topic, plain(msg), False, qos)
        try:
            self.wait(lambda: False)
        except OSError:
            self.client.connect(False)
        self.client.flush()

    def disconnect(self, reason, found):
        self.client.disconnect(reason, properties(found))

    def wait(self, done):
        started = ticks_ms()
        while not done():
            if ticks_diff(ticks_ms(), started) > 10000:
                raise ValueError("it did not happen")
            self.client.poll(100)

    def attributes(self):
        client = self.client
        return {
            "connack": told(client.connack_properties),
            "server_keep_alive": client.server_keep_alive,
            "assigned": client.assigned_client_id,
            "receive_maximum": client.receive_maximum,
            "maximum_packet_size": client.maximum_packet_size,
            "maximum_qos": client.maximum_qos,
            "retain_available": client.retain_available,
            "session_present": client.session_present,
        }


with open(sys.argv[1]) as file:
    for name, connect, will, steps in json.load(file):
        session = Session(name, connect, will)
        session.run(steps)
        line = {"name": name, "got": told(session.got), "acks": session.acks, "said": told(session.said)}
        line.update(session.attributes())
        print(json.dumps(line))
