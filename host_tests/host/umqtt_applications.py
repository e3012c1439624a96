# Runs on MicroPython and on CPython: applications written for umqtt.simple, each a function. They know nothing of net.mqtt.
# Arguments: the class ("umqtt" as installed, "redpoll" in its place), port of a broker, name of the application.
import select
import sys
from errno import ETIMEDOUT

from umqtt import simple

if sys.argv[1] == "redpoll":
    from redpoll.net import mqtt

    simple.MQTTClient = mqtt.MQTTClient
from umqtt.simple import MQTTClient, MQTTException

HOST = "127.0.0.1"
PORT = int(sys.argv[2])
# another one for each run on the same broker
NAME = "/".join(("app", sys.implementation.name, sys.argv[1], sys.argv[3])).encode()


class Memory:
    """A socket-like object of an application: no more than read, write and setblocking, as umqtt.simple uses them."""

    def __init__(self, inbound=b""):
        self.inbound = inbound
        self.written = b""
        self.blocking = True

    def write(self, buf, n=-1):
        if isinstance(buf, str):
            buf = buf.encode()
        self.written += bytes(buf) if n < 0 else bytes(buf[:n])

    def read(self, n):
        if not self.inbound and not self.blocking:
            return None
        data = self.inbound[:n]
        self.inbound = self.inbound[n:]
        return data

    def setblocking(self, flag):
        self.blocking = flag


class Whole(Memory):
    """Not blocking it gives all that is asked for or nothing: umqtt.simple asks for one byte then."""

    def read(self, n):
        if not self.blocking and len(self.inbound) < n:
            return None
        return Memory.read(self, n)


class Endless:
    """No close(): umqtt.simple needs it for disconnect only. Its other side has ended."""

    def setblocking(self, flag):
        pass

    def read(self, n):
        return b""


class Ended(Memory):
    """Its other side has ended after what is inbound."""

    def read(self, n):
        return Memory.read(self, n) or b""

    def close(self):
        pass


class Wrapped:
    """Around a connected client's socket."""

    def __init__(self, sock):
        self.sock = sock
        self.count = 0

    def write(self, *args):
        self.count += 1
        return self.sock.write(*args)

    def read(self, n):
        return self.sock.read(n)

    def setblocking(self, flag):
        self.sock.setblocking(flag)


def made(got=None, **options):
    client = MQTTClient(NAME, HOST, PORT, **options)
    if got is not None:
        client.set_callback(lambda topic, msg: got.append((topic, msg)))
    return client


def whole():
    got = []
    client = made(got)
    client.sock = Whole(b"\x90\x03\0\x01\x01\x40\x02\0\x02\x30\x04\0\x01tm")
    client.subscribe(b"t", 1)
    client.publish(b"a", b"b", True, 1)
    while not got:
        client.check_msg()
    print(got)


def not_waiting():
    client = made([])
    client.connect()
    for _ in range(2):
        client.sock.setblocking(False)
        print(client.wait_msg())
    client.disconnect()


def with_a_timeout():
    got = []
    client = made(got)
    client.connect()
    client.subscribe(NAME)
    client.sock.settimeout(0.2)
    for _ in range(2):
        try:
            client.wait_msg()
        except OSError as error:
            print(error.args[0] == ETIMEDOUT, got)
    client.sock.settimeout(20)
    client.publish(NAME, b"m")
    client.wait_msg()
    client.sock.settimeout(None)
    client.publish(NAME, b"n")
    client.wait_msg()
    print(got)
    client.sock.settimeout(0)
    print(client.wait_msg())
    client.disconnect()


def without_close():
    for call in ("check_msg", "wait_msg"):
        client = made([])
        client.sock = Endless()
        try:
            getattr(client, call)()
        except OSError:
            print("OSError")


def password_alone():
    client = made(password=b"p")
    print(int(client.connect()))
    client.disconnect()


def attributes():
    client = MQTTClient(b"id", "host")
    print(client.client_id, client.server, client.port, client.user, client.pswd, client.keepalive, client.sock, client.cb, client.pid)
    print(client.lw_topic, client.lw_msg, client.lw_qos, client.lw_retain, client.ssl_params)
    client = MQTTClient(b"id", "host", 0, b"u", b"p", 30, True, {"server_hostname": "h"})
    print(client.port, client.user, client.pswd, client.keepalive, client.ssl, client.ssl_params)
    client = MQTTClient(client_id="i", server="h", port=1, user="u", password="p", keepalive=5, ssl=False, ssl_params={})
    client.set_last_will("t", b"m", True, 1)
    client.set_callback(f=print)
    print(client.port, client.lw_topic, client.lw_msg, client.lw_qos, client.lw_retain, client.cb is print)


def publisher():
    client = made(keepalive=60, user=b"u", password=b"p")
    client.set_last_will(topic=NAME, msg=b"gone", retain=False, qos=0)
    print(int(client.connect()), client.pid)
    client.publish(NAME, b"0")
    client.publish(topic=NAME, msg=b"1", retain=True, qos=1)
    client.publish(NAME, bytearray(b"2"), qos=1)
    client.publish(NAME, memoryview(b"3"), False, 1)
    client.publish(NAME, b"", True, 1)
    client.ping()
    print(client.pid)
    client.disconnect()
    print(int(client.connect(clean_session=True)))
    client.disconnect()


def subscriber():
    got = []
    client = made(got)
    print(int(client.connect(False)))
    client.subscribe(NAME + b"/#", 1)
    client.check_msg()
    print(got)
    for number in range(3):
        client.publish(NAME + b"/a", b"%d" % number)
        client.wait_msg()
    print(got)
    client.publish(NAME + b"/b", b"to both", False, 1)
    while len(got) < 4:
        client.check_msg()
    print(got[3])
    client.disconnect()
    print(int(client.connect(False)))
    client.disconnect()
    print(int(client.connect(True)))
    client.disconnect()


def poller():
    got = []
    client = made(got)
    client.connect()
    client.subscribe(NAME)
    poll = select.poll()
    poll.register(client.sock, select.POLLIN)
    print(len(poll.poll(0)))
    client.publish(NAME, b"m")
    print(len(poll.poll(5000)))
    client.check_msg()
    print(got, len(poll.poll(0)))
    poll.unregister(client.sock)
    client.disconnect()


def poller_retained():
    got = []
    client = made(got)
    client.connect(False)
    client.subscribe(NAME + b"/q", 1)
    client.publish(NAME + b"/r", b"retained", True)
    client.disconnect()
    other = MQTTClient(NAME + b"2", HOST, PORT)
    other.connect()
    other.publish(NAME + b"/q", b"queued", False, 1)
    other.disconnect()
    client.connect(False)
    poll = select.poll()
    poll.register(client.sock, select.POLLIN)
    while not got and poll.poll(20000):
        client.check_msg()
    client.subscribe(NAME + b"/r")
    while len(got) < 2 and poll.poll(20000):
        client.check_msg()
    print(got, len(poll.poll(0)))
    client.publish(NAME + b"/r", b"", True)
    client.disconnect()
    print(int(client.connect(True)))
    client.disconnect()


def reconnecting():
    # a subclass in the manner of umqtt.robust
    class Robust(MQTTClient):
        reconnects = 0

        def reconnect(self):
            self.reconnects += 1
            return super().connect(False)

        def publish(self, topic, msg, retain=False, qos=0):
            while True:
                try:
                    return super().publish(topic, msg, retain, qos)
                except (OSError, ValueError):
                    self.reconnect()

        def wait_msg(self):
            while True:
                try:
                    return super().wait_msg()
                except (OSError, ValueError):
                    self.reconnect()

    got = []
    client = Robust(NAME, HOST, PORT)
    client.set_callback(lambda topic, msg: got.append(msg))
    client.connect(False)
    client.subscribe(NAME, 1)
    client.sock.close()
    client.publish(NAME, b"after", False, 1)
    while not got:
        client.wait_msg()
    print(got, client.reconnects)
    client.disconnect()
    client.connect(True)
    client.disconnect()


def from_within():
    # the callback answers
    got = []
    client = made()

    def answer(topic, msg):
        got.append(msg)
        if msg == b"question":
            client.publish(NAME, b"answer")

    client.set_callback(answer)
    client.connect()
    client.subscribe(NAME)
    client.publish(NAME, b"question")
    while len(got) < 2:
        client.wait_msg()
    print(got)
    client.disconnect()


def errors():
    client = made()
    try:
        MQTTClient(NAME, HOST, 1).connect()
    except OSError as error:
        print("refused", error.args[0])
    client.sock = Memory(b"\x90\x03\0\x01\x80")
    client.set_callback(print)
    try:
        client.subscribe(b"t")
    except MQTTException as error:
        print("MQTTException", error.args[0])


def wrapped():
    got = []
    client = made(got)
    client.connect()
    client.subscribe(NAME)
    client.sock = Wrapped(client.sock)
    client.publish(NAME, b"1")
    client.wait_msg()
    client.publish(NAME, b"2", False, 1)
    while len(got) < 2:
        client.check_msg()
    client.ping()
    client.wait_msg()
    print(got, client.sock.count > 0)
    client.sock.write(b"\xe0\0")


def memory():
    client = made([])
    wire = client.sock = Memory(b"\x90\x03\0\x01\x01\x40\x02\0\x02")
    client.subscribe("t" * 100, 1)
    client.publish(b"a", b"b", True, 1)
    client.publish(b"a" * 100, b"b" * 300)
    client.ping()
    print(wire.written)
    print(client.pid)


def memory_inbound():
    got = []
    client = made(got)
    wire = client.sock = Memory(b"\x30\x04\0\x01tm" + b"\xd0\0" + b"\x32\x06\0\x01t\0\x07n" + b"\x33\x85\x01\0\x01t\0\x08" + b"x" * 128)
    for _ in range(10):
        client.check_msg()
    print(got, wire.written)
    client.check_msg()


def ended():
    for call in ("check_msg", "wait_msg"):
        client = made([])
        client.sock = Ended(b"\xd0\0")
        client.check_msg()
        try:
            getattr(client, call)()
        except OSError:
            print("OSError")


def bare():
    # the socket of a connected client, used by the application itself
    client = made([])
    client.connect()
    print(client.sock.write(b"\xc0\0"), client.sock.read(2))
    client.sock.setblocking(False)
    print(client.sock.read(1))
    client.sock.setblocking(True)
    client.sock.settimeout(5)
    client.publish(NAME, b"m", False, 1)
    client.sock.close()
    try:
        client.check_msg()
        client.publish(NAME, b"m")
        client.check_msg()
    except OSError:
        print("OSError")
    print(int(client.connect()))
    client.disconnect()


def newer():
    # what umqtt.simple 1.8.0 has more than 1.3.4
    got = []
    client = MQTTClient(NAME, HOST, PORT, ssl=None, ssl_params={})
    client.set_callback(lambda topic, msg: got.append((topic, msg)))
    print(int(client.connect(clean_session=True, timeout=5)))
    client.subscribe(b"x" * 200, qos=1)
    client.subscribe(NAME, qos=0)
    client.publish(NAME, b"1")
    print(hex(client.wait_msg()), got)
    client.unsubscribe(topic=NAME)
    client.publish(NAME, b"2", qos=1)
    client.check_msg()
    # while connected
    print(int(client.connect(True, 5)), got)
    client.disconnect()
    memory = client.sock = Memory(b"\xb0\x02" + bytes([client.pid + 1 >> 8, client.pid + 1 & 255]))
    client.unsubscribe("t" * 124)
    print(memory.written[:3], len(memory.written))


globals()[sys.argv[3]]()
