# Who is told of an update beside the cloud, on the MQTT connection of an agent whose broker and cloud are played.
from cloud_fakes import CREDENTIALS, HTTP, MQTT
from http_bench import Bench as HTTPBench
from mqtt_bench import Bench
from redpoll import log
from redpoll.cloud import astarte, bson, https
from rsa_vectors import SPKI_2048

# the cloud played here shares the heap with the agent
HEAP = "384K"
DEVICE = "f79ad91f-c638-4889-ae74-9d001a3b4cf8"
REQUEST = "%08x-af94-4e9d-813f-ebeebfb856a6"


class Reported(Bench):
    """An agent with a reporter; its device id is one that Astarte has a name for."""

    def __init__(self):
        super().__init__(report=["astarte"], astarte_realm="test")
        self.agent.settings.store(dict(CREDENTIALS, id=DEVICE, version="1.0.0"))
        self.root = "test/" + astarte.device_id(DEVICE)

    def ask(self, number, operation="Install", url=None):
        """An OTARequest; as it stands it is one that is refused."""
        values = {"operation": operation, "uuid": REQUEST % number}
        if url:
            values["url"] = url
        MQTT.made[-1].incoming.append((self.root + "/io.edgehog.devicemanager.OTARequest/request", bson.encode({"v": values}), []))

    def events(self):
        """(number of the request, status) of each event that was published."""
        topic = self.root + "/io.edgehog.devicemanager.OTAEvent/event"
        found = [bson.decode(message)["v"] for client in MQTT.made for name, message, _ in client.published if name == topic]
        return [(int(event["requestUUID"][:8], 16), event["status"]) for event in found]


def test_a_request_that_is_refused_is_told_to_the_one_who_made_it():
    bench = Reported()
    client = bench.turn()
    assert [topic for topic, _, _ in client.published][1:3] == [bench.root, bench.root + "/control/emptyCache"]
    bench.agent.clock.set(1700000000000)
    bench.ask(7)
    bench.turn()
    assert bench.events() == [(7, "Failure")]


def test_a_reporter_that_the_broker_does_not_allow_is_left_out_and_the_session_goes_on():
    bench = Reported()
    MQTT.maximum_qos = 1
    client = bench.turn()
    bench.agent.clock.set(1700000000000)
    bench.ask(1)
    bench.turn(30000)
    assert bench.turn(30000) is client and client.open
    assert len(client.sent("telemetry", DEVICE)) == 3 and len(bench.agent.spool) == 0
    assert any("report to astarte: " in line and "QoS not supported" in line for line in log.lines())
    assert bench.events() == [] and not bench.agent._update


def test_an_event_that_is_larger_than_the_broker_takes_costs_neither_the_session_nor_those_that_follow():
    bench = Reported()
    client = bench.turn()
    bench.agent.clock.set(1700000000000)
    client.too_large = 130
    bench.ask(1)
    bench.turn()
    client.too_large = None
    bench.ask(2)
    assert bench.turn() is client and client.open
    assert bench.events() == [(2, "Failure")]


def test_a_reporter_whose_link_dies_ends_the_session():
    bench = Reported()
    bench.turn()
    hello = astarte.Reporter.hello

    def fail(reporter, client):
        client.close()
        hello(reporter, client)

    bench.agent.link.restart()
    astarte.Reporter.hello = fail
    try:
        bench.turn()
    finally:
        astarte.Reporter.hello = hello
    assert not MQTT.made[-1].open and bench.agent.link.adapter is None
    assert bench.turn(300000).open


def test_a_broker_that_takes_one_message_at_a_time_is_told_of_updates_too():
    bench = Reported()
    MQTT.receive_maximum = 1
    bench.turn()
    bench.agent.clock.set(1700000000000)
    bench.ask(1)
    for _ in range(5):
        client = bench.turn(1000)
    assert client.open and bench.events() == [(1, "Failure")]


def test_more_requests_than_can_wait_to_be_told_of_are_only_logged():
    bench = Reported()
    bench.turn()
    bench.ask(0)
    bench.turn()
    update = bench.agent._update
    saves = []
    update._updater._record.save = saves.append
    for number in range(1, 40):
        bench.ask(number)
        bench.turn()
    assert len(update._events) == len(update._updater.finals) == 16 and len(saves) == 15
    assert any(REQUEST % 39 in line for line in log.lines())
    bench.ask(40, "Update", "http://files.example/bundle.zip")
    bench.turn()
    assert not update._updater.job and len(update._updater.finals) == 16
    # the time is known now
    bench.agent.clock.set(1700000000000)
    for _ in range(2):
        bench.turn(1000)
    assert bench.events() == [(number, "Failure") for number in range(16)]
    bench.ask(41)
    bench.turn(1000)
    assert bench.events()[-1] == (41, "Failure")


def test_being_out_of_memory_at_the_end_of_an_update_leaves_no_command_running_for_ever():
    bench = Bench()
    client = bench.turn()
    client.deliver("commands", {"id": "c1", "name": "update_firmware", "parameters": {"url": "http://files.example/bundle.zip"}})
    finish = bench.agent.commands.finish

    def short(status, message):
        bench.agent.commands.finish = finish
        raise MemoryError

    bench.agent.commands.finish = short
    for _ in range(10):
        bench.turn(1000)
    assert client.open and client.sent("commands/update")[-1]["status"] == "error"
    assert bench.agent.commands.current() is None


class _Away(HTTP):
    # a server whose connections never open
    ticks = None

    def request(self, *request):
        _Away.ticks.ms += 7500
        raise OSError(110)


def test_the_watchdog_is_fed_between_an_update_and_a_command_that_both_wait_for_a_connection():
    bench = HTTPBench()
    agent = bench.agent
    _Away.ticks = bench.ticks
    fed = [bench.ticks.ms]
    agent.feed = lambda: fed.append(bench.ticks.ms)
    agent.settings.update_key = SPKI_2048
    https.HTTPClient = _Away
    try:
        agent.update("2.0.0", "f1")
        for number in range(20):
            agent.on_command("c%d" % number, "dump", {}, "pending")
            agent.poll()
            bench.ticks.ms += 500
    finally:
        https.HTTPClient = HTTP
    assert 7500 <= max([fed[at + 1] - fed[at] for at in range(len(fed) - 1)]) <= 8000


def test_the_requests_of_a_reporter_are_subscribed_to_in_each_session():
    bench = Reported()
    for _ in range(2):
        client = bench.turn()
        # QoS 2 (seed 002)
        assert [qos for topic, qos in client.subscribed if topic.startswith(bench.root)] == [2]
        client.broken = OSError(104)
        bench.turn()
        bench.turn(30000)
