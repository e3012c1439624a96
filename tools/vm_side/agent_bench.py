# A whole agent in a MicroPython of its own, told what to do by a dict. tools/bench/agent.py starts it and reads what it prints: JSON.
import gc
import json
import sys

gc.collect()
_AT_START = gc.mem_alloc()
_LONGEST = 50  # ms that a turn of the loop waits when messages follow each other


class Told:
    """Counts what is acknowledged and tells it: `messages` of them and then the end, or (0) each of them for ever."""

    def __init__(self, messages):
        self.count = 0
        self._messages = messages
        self.peak = 0

    def acknowledged(self):
        self.count += 1
        if self.count == 1 or not self._messages:
            print(json.dumps({"acknowledged": self.count}))

    def done(self):
        return self._messages and self.count >= self._messages

    def heap(self):
        gc.collect()
        used = gc.mem_alloc() - _AT_START
        self.peak = max(self.peak, used)
        return used

    def end(self, **more):
        """Tell the figures; the process stays until its standard input ends, so that it can be looked at."""
        more["rest"] = self.heap()
        more["peak"] = self.peak
        print(json.dumps(more))
        sys.stdin.read()


class Select:
    """The module `select` with the function that boards have and the unix port has not."""

    def select(self, readers, writers, errors, timeout):
        import select

        poller = select.poll()
        poller.register(readers[0], select.POLLIN)
        return (readers if poller.poll(int(timeout * 1000)) else [], [], [])


def redpoll(case):
    """every (s), messages, mqtt_hub_url and hub_url (where a relay stands in for the cloud), look (at the heap after each turn), small."""
    if case.get("small"):
        gc.threshold(4096)  # keeps a small heap in one piece, as size_start.py does
    from redpoll import port
    from redpoll.cloud import xyte
    from size.size_product import Product

    agent = Product(("config", "command")).agent
    agent.every(case["every"])
    for key in ("mqtt_hub_url", "hub_url"):
        if key in case:
            agent.settings.credentials[key] = case[key]
    told = Told(case["messages"])
    taken = agent.on_sent
    stamped = xyte.stamped
    size = [0]

    def on_sent(number, accepted=True):
        taken(number, accepted)
        if accepted:
            told.acknowledged()

    def measured(*values):
        body = stamped(*values)
        size[0] = len(body)
        return body

    agent.on_sent = on_sent
    xyte.stamped = measured

    if not case["messages"]:
        agent.run()
    while not told.done():
        ms = agent.poll()
        if case.get("look"):
            told.heap()
        if len(agent.spool) == 0:
            agent.telemetry.soon("climate")
        elif ms and not agent.link.wait(min(ms, _LONGEST)):
            port.sleep_ms(min(ms, _LONGEST))
    told.end(body=size[0])


def arduino(case):
    """every (s), messages, port, sync (its loop without asyncio, which sends as fast as it can)."""
    from arduino_iot_cloud import ArduinoCloudClient, umqtt

    umqtt.ssl.wrap_socket = lambda sock, _: sock  # it always speaks TLS, the other agent does not here
    umqtt.select = Select()
    told = Told(case["messages"])
    client = ArduinoCloudClient("bench", "bench", "bench", server="127.0.0.1", port=case["port"], sync_mode=case["sync"])
    publish = client.mqtt.publish
    size = [0]

    def counted(topic, message, retain=False, qos=0):
        publish(topic, message, retain, qos)
        if topic.endswith(b"/e/o"):
            size[0] = len(message)
            told.acknowledged()

    client.mqtt.publish = counted
    values = {"temperature": 21.5, "humidity": 40, "fan": True, "name": "east hall"}
    for name in values:
        client.register(name, on_read=lambda _, value=values[name]: value, interval=case["every"])
    if not case["sync"]:
        client.start()
    while not told.done():
        client.update()
        if case["messages"] and told.count == 1:
            client.mqtt.sock.setsockopt(6, 1, 1)  # TCP_NODELAY, else each takes 44 ms
        for name in values:
            client[name] = values[name]
        told.heap()
    told.end(body=size[0])


def bare(case):
    """One message from a raw socket, then nothing: what the VM and the network leave to any agent. port."""
    import select

    from mqtt_bench import READINGS, Bare

    client = Bare(case["port"], "")
    client.publish(json.dumps(READINGS).encode(), 1)
    client.flush()
    Told(0).acknowledged()
    poller = select.poll()
    poller.register(client._sock, select.POLLIN)
    while True:
        poller.poll(1000)


def asleep(case):
    """Nothing at all, with the VM's own sleep."""
    import time

    Told(0).acknowledged()
    while True:
        time.sleep_ms(1000)
