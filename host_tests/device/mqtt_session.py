# A session of the MQTT client with a server double, for the tests of MQTT 3.1.1 and 5.
from fakes import Clock, Server, Wire
from redpoll.net import adopted, mqtt, stream
from support import raises


def session(protocol=4, clean=True, connect=True, **options):
    """A client on a Wire with a Server at its end, on a fake clock."""
    clock = Clock().install(mqtt, stream, adopted)
    wire = Wire(Server(protocol))
    client = mqtt.MQTTClient("id", "server", protocol=protocol, **options)
    client.got = []
    client.acks = []
    client.set_callback(lambda topic, msg: client.got.append((topic, msg)))
    client.on_ack = lambda pid, code: client.acks.append((pid, code))
    client.clock = clock
    attach(client, wire)
    if connect:
        client.connect(clean)
    return client, wire, wire.peer


def attach(client, wire):
    class Stream(adopted.Adopted):
        def __init__(self, host, port, tls, limit, write_ms, name):
            super().__init__(wire, write_ms)

    mqtt.Stream = Stream


def raised(call, *args):
    with raises(Exception) as caught:
        call(*args)
    return caught.value


def del_sent(wire):
    wire.sent = bytearray()
    wire.writes = 0


def poll_until(client, done, turns=2000):
    for _ in range(turns):
        if done():
            return
        client.poll(10)
    raise AssertionError("it did not happen")


def poll_for(client, ms):
    """Poll until so many milliseconds of the client's fake clock have passed."""
    end = client.clock.now + ms
    while client.clock.now < end:
        client.poll(1000)
