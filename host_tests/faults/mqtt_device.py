# ruff: noqa: UP031
# Runs on MicroPython and on CPython: a device that reports and listens over whatever network it is given. It answers each line of
# JSON on its standard input, {"do": name of a function, ...}, with one on its standard output.
import json
import sys

import heap
from redpoll.net.mqtt import MQTTClient, MQTTException
from redpoll.net.tls import context as tls_context
from redpoll.port import sleep_ms, ticks_diff, ticks_ms


class Watch:
    """Calls things, and knows how long the longest of each name took."""

    def __init__(self):
        self.longest = {}

    def __call__(self, call, *args):
        started = ticks_ms()
        try:
            return call(*args)
        finally:
            took = ticks_diff(ticks_ms(), started)
            name = call.__name__
            self.longest[name] = max(took, self.longest.get(name, 0))


def made(port, level, name, keepalive, tls, **more):
    # tls: as in live
    secure = {"ssl": tls_context(*tls), "server_hostname": "localhost"} if tls else {}
    return MQTTClient(name, "127.0.0.1", port, keepalive=keepalive, protocol=level, **secure, **more)


def live(port, level, name, topic, count=6, qos=(1, 2), deadline_ms=5000, keepalive=20, patience=20, echo=True, tls=None):
    """One session: subscribe to a topic, publish numbers there, at each QoS in turn, until all were acknowledged and (echo) came back.

    Whatever breaks it connects again. tls: files with the CA, certificate and key.
    -> errors met, numbers that came back, calls' longest times, sessions that the broker forgot.
    """
    got, errors = [], []
    watch = Watch()
    client = made(port, level, name, keepalive, tls, window=3, connect_timeout_ms=deadline_ms, ack_timeout_ms=deadline_ms)
    client.set_callback(lambda topic, msg: got.append(number_of(msg)))
    number = forgotten = 0
    subscribed = done = False
    started = ticks_ms()
    while not done and ticks_diff(ticks_ms(), started) < patience * 1000:
        try:
            if client.sock is None and not watch(client.connect, False) and subscribed:
                forgotten += 1
                subscribed = False
            if not subscribed:
                watch(client.subscribe, topic, max(qos))
                subscribed = True
            while number < count:
                watch(client.publish, topic, b"%d" % number, False, qos[number % len(qos)])
                number += 1
                watch(client.poll, 0)
            watch(client.flush)
            if not echo or all(one in got for one in range(count)):
                watch(client.disconnect)
                done = True
            else:
                watch(client.poll, 50)
        except (OSError, MQTTException) as error:
            errors.append([isinstance(error, MQTTException), error.args[0]])
            del errors[20:]
            client.close()
            sleep_ms(5)
    client.close()
    return {"done": done, "got": got, "errors": errors, "longest": watch.longest, "forgotten": forgotten, "accepted": number}


def report(port, level, name, topic, count, heap_at=()):
    """Publish so many numbered messages at QoS 1, whatever breaks. -> errors met, what the heap holds when so many are acknowledged."""
    client = MQTTClient(name, "127.0.0.1", port, keepalive=20, protocol=level, window=16)
    number = errors = 0
    sizes = []
    while number < count:
        try:
            if client.sock is None:
                client.connect(False)
            while number < count:
                client.publish(topic, b"%d" % number, False, 1)
                number += 1
                if number in heap_at:
                    break
            client.flush()
            if number in heap_at and len(sizes) < heap_at.index(number) + 1:
                sizes.append(heap.used())
        except (OSError, MQTTException):
            errors += 1
            sleep_ms(20)
    while client.in_flight:
        try:
            if client.sock is None:
                client.connect(False)
            client.flush()
        except (OSError, MQTTException):
            sleep_ms(20)
    client.disconnect()
    return {"errors": errors, "heap": sizes}


def come_back(port, level, name, topic, expect):
    """Connect to a session that has so many messages waiting, and subscribe again as at every start. -> how many came, errors."""
    got, errors = [], []
    client = MQTTClient(name, "127.0.0.1", port, keepalive=20, protocol=level)
    client.set_callback(lambda topic, msg: got.append(len(msg)))
    started = ticks_ms()
    for _ in range(3):
        try:
            client.connect(False)
            client.subscribe(topic, 1)
            while len(got) < expect and ticks_diff(ticks_ms(), started) < 10000:
                client.poll(300)
            # and no more
            while client.poll(100):
                pass
            client.disconnect()
            break
        except (OSError, MQTTException) as error:
            errors.append(str(error))
            client.close()
    return {"came": len(got), "errors": errors}


def knock(port, level, name, deadline_ms, ca, cert=None, key=None):
    """Connect over TLS, once. -> how long it took, and the error."""
    started = ticks_ms()
    error = None
    client = MQTTClient(
        name,
        "127.0.0.1",
        port,
        keepalive=20,
        protocol=level,
        connect_timeout_ms=deadline_ms,
        ssl=tls_context(ca, cert, key),
        server_hostname="localhost",
    )
    try:
        client.connect()
        took = ticks_diff(ticks_ms(), started)
        client.publish(name, b"in", False, 1)
        client.disconnect()
    except OSError as failed:
        took = ticks_diff(ticks_ms(), started)
        error = str(failed)
    return {"took": took, "error": error, "closed": client.sock is None}


def listen(port, level, name, keepalive, seconds, tls=None):
    """Connect and wait for messages. -> how long it took to notice that nothing comes any more, and how that was said."""
    client = connected(port, level, name, keepalive, tls)
    return noticed(client, seconds, client.poll, 100)


def speak(port, level, name, keepalive, seconds, qos, size, tls=None):
    """Connect and publish without a pause. -> as listen."""
    client = connected(port, level, name, keepalive, tls)
    return noticed(client, seconds, client.publish, "speak", bytes(size), False, qos)


# stays open until the next one is: who closes says more over TLS
kept = None


def connected(port, level, name, keepalive, tls):
    global kept
    client = made(port, level, name, keepalive, tls, window=2)
    client.connect()
    kept = client
    return client


def noticed(client, seconds, call, *args):
    started = ticks_ms()
    try:
        while ticks_diff(ticks_ms(), started) < seconds * 1000:
            call(*args)
            client.poll(0)
    except OSError as error:
        return {"noticed": ticks_diff(ticks_ms(), started), "error": error.args[0], "closed": client.sock is None}
    return {"noticed": None}


def number_of(msg):
    try:
        return int(msg)
    except ValueError:
        return -1  # nothing of ours: the network made it up


def main():
    while True:
        line = sys.stdin.readline()
        if not line:
            return
        question = json.loads(line)
        print(json.dumps(globals()[question.pop("do")](**question)))


main()
