# One session of the Xyte cloud over MQTT 5: what it tells the agent and what it asks of the client under it (seed 001).
from cloud_fakes import CREDENTIALS, ID, KEY, MQTT
from redpoll import log
from redpoll.clock import Clock
from redpoll.cloud import xyte_mqtt
from redpoll.net import mqtt5
from redpoll.net.mqtt import MQTTException
from scratch import Ticks, text_of
from support import raises

HEAP = "192K"
PREFIX = "v1/device/%s/" % ID

xyte_mqtt.MQTTClient = MQTT


class Settings:
    credentials = CREDENTIALS
    ca = None
    keepalive = 60
    connect_timeout = 10
    snapshot_every = 600


class Handler:
    """Keeps what the session tells it, as (name, what it was told ...)."""

    def __init__(self):
        self.told = []
        self.feeds = 0

    def feed(self):
        self.feeds += 1

    def __getattr__(self, name):
        if name[:3] != "on_":
            raise AttributeError(name)
        return lambda *told: self.told.append((name,) + told)

    def of(self, name):
        return [told[1:] for told in self.told if told[0] == name]


class Reporter:
    """As reporters publish: what the client says is not caught."""

    def report(self, client, event):
        return client.publish("o/1", event["body"], False, 2, [])


class Session:
    """An Adapter with its client, which the test plays, and its handler."""

    def __init__(self, **of_the_broker):
        MQTT.refuse = MQTT.refuse_subscription = MQTT.receive_maximum = None
        MQTT.silent = False
        MQTT.acknowledges = True
        MQTT.maximum_qos = 2
        for name, value in of_the_broker.items():
            setattr(MQTT, name, value)
        self.ticks = Ticks()
        self.handler = Handler()
        self.adapter = xyte_mqtt.Adapter(Settings, Clock(self.ticks, lambda: None), self.handler)
        self.client = MQTT.made[-1]

    def connected(self):
        self.adapter.connect()
        self.adapter.poll()
        self.handler.told.clear()
        return self

    def comes(self, name, message, topic=None, correlation=None):
        self.client.deliver(name, message, topic, correlation)
        self.adapter.poll()

    def topics(self):
        """Those of all that was published after the first request."""
        return [topic[len(PREFIX) :] for topic, _, _ in self.client.published[1:]]


def test_the_watchdog_is_fed_with_each_poll_each_message_and_before_what_may_wait():
    session = Session().connected()
    adapter, client, handler = session.adapter, session.client, session.handler

    def fed(function, *arguments):
        before = handler.feeds
        function(*arguments)
        return handler.feeds - before

    assert fed(adapter.poll) == 1
    session.client.deliver("space_info", {})
    session.client.deliver("space_info", {})
    assert fed(adapter.poll) == 3
    client.free = 0
    for name in ("a", "b"):
        adapter.send_setting(name, 1)
    client.free = 8
    assert fed(adapter.poll) == 3
    assert fed(adapter.let, lambda client: None) == 1
    assert fed(adapter.listen, "o/1", None) == 1


def test_waiting_is_the_clients():
    session = Session().connected()
    waits = []
    session.client.poll = waits.append
    assert session.adapter.wait(250) is True and waits == [250]


def test_a_cloud_that_does_not_answer_is_doubted_once_for_each_request():
    session = Session(silent=True)
    session.adapter.connect()
    session.ticks.ms += 29999
    session.adapter.poll()
    assert not session.handler.of("on_doubt")
    session.ticks.ms += 1
    # what the doubt asks for is not waited with
    assert session.adapter.poll() == 0
    session.ticks.ms += 60000
    assert session.adapter.poll() == 1000
    assert session.handler.of("on_doubt") == [()]
    session.ticks.ms += 600000
    session.adapter.poll()
    session.ticks.ms += 30000
    session.adapter.poll()
    assert session.handler.of("on_doubt") == [(), ()]


def test_what_another_listens_to_is_no_answer_of_the_cloud():
    session = Session(silent=True)
    session.adapter.connect()
    heard = []
    session.adapter.listen(PREFIX + "firmware", heard.append)
    session.comes("firmware", {"latest_fw_version": "9.0.0"})
    assert heard == [b'{"latest_fw_version": "9.0.0"}'] and not session.handler.told
    session.ticks.ms += 30000
    session.adapter.poll()
    assert session.handler.of("on_doubt")


def test_one_place_is_kept_for_answers_unless_there_is_but_one():
    session = Session(acknowledges=False)
    session.adapter.connect()
    client = session.client
    for free, under_way, ready in ((2, 1, True), (1, 1, False), (1, 0, True), (0, 0, False), (0, 1, False)):
        client.free = free
        client.waiting = [1] * under_way
        assert bool(session.adapter.ready()) is ready, (free, under_way)
    # and what waits goes first
    session.adapter.send_setting("a", 1)
    client.free = 8
    assert not session.adapter.ready()
    session.adapter.poll()
    assert session.adapter.ready()


def test_what_waits_for_room_goes_in_its_order_and_no_more_than_16_wait():
    session = Session().connected()
    client = session.client
    client.free = 0
    for n in range(16):
        session.adapter.send_command("c%d" % n, "done", "")
    # a 17th is lost, and the agent is told of a configuration, which it gives again
    session.adapter.send_license("l1", "inuse", None)
    assert not session.handler.told
    session.adapter.send_config(3, {"a": 1})
    assert session.handler.told == [("on_config_untold",)]
    client.free = 8
    # nothing overtakes them
    session.adapter.send_command("c16", "done", "")
    assert not session.topics()
    session.adapter.poll()
    session.adapter.send_command("c17", "done", "")
    assert [message["id"] for message in client.sent("commands/update")] == ["c%d" % n for n in range(16)] + ["c17"]
    assert not client.sent("config/update") and not client.sent("license/update")


def test_what_a_message_is_for_is_told_when_it_is_acknowledged_and_nothing_is_kept_of_the_others():
    session = Session(acknowledges=False).connected()
    adapter, client = session.adapter, session.client
    adapter.send_telemetry(7, None, b"{}")
    adapter.send_device({"firmware_version": "2.0.0"})
    adapter.send_config(3, {})
    assert adapter.report_update(Reporter(), {"body": b"x"}) is True
    adapter.send_command("c1", "done", "")
    adapter.send_setting("a", 1)
    assert len(adapter._awaited) == 4 and not session.handler.told
    client.acknowledge = True
    adapter.poll()
    assert session.handler.told == [
        ("on_sent", 7, True),
        ("on_device_told", {"firmware_version": "2.0.0"}),
        ("on_reported", {"body": b"x"}),
    ]
    assert not adapter._awaited


def test_what_the_broker_refuses_is_told_by_what_may_pass():
    session = Session().connected()
    adapter, client, handler = session.adapter, session.client, session.handler
    # 0x80, unspecified error, may pass; 0x99, of another format than was said, may not
    for reason, may_pass in ((0x80, True), (0x97, True), (0x90, False), (0x95, False), (0x99, False)):
        handler.told.clear()
        client.reasons = [reason] * 4
        adapter.send_device({"name": "n"})
        adapter.send_config(3, {})
        adapter.report_update(Reporter(), {"body": b"x"})
        adapter.poll()
        assert handler.told == [("on_config_untold",)] * may_pass + [("on_reported", {"body": b"x"})], reason
        adapter.send_telemetry(7, None, b"{}")
        if may_pass:
            # the link is opened anew, and the message comes again
            assert text_of(OSError, adapter.poll) == "refused, reason 0x%02x" % reason
            assert not handler.of("on_sent")
        else:
            adapter.poll()
            assert handler.of("on_sent") == [(7, False)]
        assert "refused a message, reason 0x%02x" % reason in log.lines()[-1]
        client.reasons = []
    lines = len(log.lines())
    adapter.send_telemetry(8, None, b"{}")
    adapter.send_command("c1", "done", "")
    adapter.poll()
    assert len(log.lines()) == lines


def test_an_update_event_goes_when_there_is_room_and_within_what_the_broker_takes():
    session = Session(maximum_qos=1).connected()
    adapter, client = session.adapter, session.client
    client.free = 0
    assert adapter.report_update(Reporter(), {"body": b"x"}) is False and not session.topics()
    client.free = 8
    assert "QoS" in text_of(ValueError, adapter.report_update, Reporter(), {"body": b"x"})
    assert client.open and not adapter._awaited

    def gone(client):
        client.open = False
        raise MQTTException(0x8E, "session taken over")

    with raises(MQTTException):
        adapter.let(gone)


def refusing(client, code, gone):
    """What stands for one of the client's methods that raises, with its session or without."""

    def refuse(*_):
        client.open = not gone
        raise MQTTException(code, "x")

    return refuse


def test_what_ends_the_session_is_raised_and_what_does_not_is_logged():
    session = Session(refuse=MQTTException(0x8A, "banned"))
    with raises(MQTTException):
        session.adapter.connect()
    assert not session.adapter.denied
    session = Session(refuse=MQTTException(0x87, "not authorized"))
    with raises(MQTTException):
        session.adapter.connect()
    assert session.adapter.denied
    # a subscription that the broker does not allow takes nothing from the others; one that is too large to be sent subscribes nothing
    Session(refuse_subscription=MQTTException(0x87, "not authorized")).adapter.connect()
    assert "not all subscriptions are granted" in log.lines()[-1]
    with raises(MQTTException):
        Session(refuse_subscription=MQTTException(0x95, "too large")).adapter.connect()
    for code in (0x95, 0x93):
        for gone in (True, False):
            session = Session().connected()
            session.client.publish = session.client.subscribe = refusing(session.client, code, gone)
            if gone or code == 0x93:
                with raises(MQTTException):
                    session.adapter.send_telemetry(1, None, b"{}")
            else:
                session.adapter.send_telemetry(1, None, b"{}")
                assert session.handler.told == [("on_sent", 1, False)]
            if gone or code == 0x95:
                with raises(MQTTException):
                    session.adapter.listen("o/1", None)


def test_what_is_no_object_is_left_alone_whatever_its_topic():
    session = Session().connected()
    for name in ("config", "commands", "command", "space_info", "firmware", "license"):
        for message in (b"[]", b"5", b"null", b'"x"', b"{", b"", b"\xff"):
            if (name, message) == ("license", b"[]"):
                continue
            session.comes(name, message)
            assert name[:7] in log.lines()[-1] and "left alone" in log.lines()[-1]
    assert not session.handler.told
    # nor is anything made of a topic that nobody asked for
    session.comes("elsewhere", {"version": 1, "id": "a", "name": "b", "latest_fw_version": "9.0.0"})
    assert not session.handler.told


def answered(session):
    """(topic, correlation data) of the last message."""
    topic, _, properties = session.client.published[-1]
    properties = properties if isinstance(properties, list) else []
    return topic[len(PREFIX) :], mqtt5.get(properties, mqtt5.CORRELATION_DATA)


def test_an_answer_goes_where_its_message_asks_for_it():
    session = Session().connected()
    adapter = session.adapter
    session.comes("config", {"version": "4", "config": {}}, PREFIX + "config/mine", b"v4")
    assert session.handler.told == [("on_config", 4, {})]
    adapter.send_config(4, {})
    assert answered(session) == ("config/mine", b"v4")
    # the key is with it
    properties = session.client.published[-1][2]
    assert (mqtt5.USER_PROPERTY, ("access_key", KEY)) in properties
    adapter.send_config(5, {})
    assert answered(session) == ("config/update", None)
    # a version is understood here as it is there
    session.comes("config", {"version": "+6", "config": {}}, PREFIX + "config/mine", b"v6")
    adapter.send_config(6, {})
    assert answered(session) == ("config/mine", b"v6")
    # a command whose identifier looks like a number is another
    session.comes("command", {"id": "4", "name": "blink"}, PREFIX + "mine", b"c4")
    adapter.send_command("4", "done", "")
    assert answered(session) == ("mine", b"c4")
    # each licence of a list
    session.comes("license", [{"id": "l1"}, {"id": "l2"}, 5], PREFIX + "licences", b"l")
    for license_id in ("l1", "l2"):
        adapter.send_license(license_id, "inuse", None)
        assert answered(session) == ("licences", b"l")
    # without correlation data
    session.comes("commands", {"id": "c5", "name": "blink"}, PREFIX + "mine")
    adapter.send_command("c5", "done", "")
    assert answered(session) == ("mine", None)
    # and asked for again without a topic, at the usual one
    session.comes("commands", {"id": "c5", "name": "blink"})
    adapter.send_command("c5", "done", "")
    assert answered(session) == ("commands/update", None)


def test_where_an_answer_cannot_go_it_takes_the_usual_topic():
    session = Session().connected()
    longest = PREFIX + "x" * (128 - len(PREFIX))
    for n, (topic, correlation, taken) in enumerate(
        (
            (longest, b"c" * 128, True),
            (longest + "x", b"c", False),
            (PREFIX + "a", b"c" * 129, False),
            (PREFIX + "+", b"c", False),
            (PREFIX + "#", b"c", False),
            ("v1/device/d-2/commands/update", b"c", False),
        )
    ):
        name = "c%d" % n
        session.comes("commands", {"id": name, "name": "blink"}, topic, correlation)
        session.adapter.send_command(name, "done", "")
        assert answered(session) == ((topic[len(PREFIX) :], correlation) if taken else ("commands/update", None)), topic


def test_of_what_is_no_identifier_nothing_is_remembered():
    session = Session().connected()
    for message in ({"id": []}, {"id": {}}, {"id": None}, {"id": 1.5}, {}, {"id": "x" * 65, "name": "b"}):
        session.comes("commands", message, PREFIX + "mine", b"c")
    session.comes("config", {"version": [4]}, PREFIX + "mine", b"c")
    assert not session.handler.told and not session.adapter._replies
    session.comes("commands", {"id": "x" * 64, "name": "b"}, PREFIX + "mine", b"c")
    session.adapter.send_command("x" * 64, "done", "")
    assert answered(session) == ("mine", b"c")


def test_of_many_that_ask_for_their_answer_elsewhere_the_newest_are_remembered():
    session = Session().connected()
    for n in range(17):
        session.comes("commands", {"id": "c%d" % n, "name": "blink"}, PREFIX + "mine", b"c")
        assert len(session.adapter._replies) <= 16
        session.adapter.send_command("c0", "done", "")
        assert answered(session) == (("mine", b"c") if n < 16 else ("commands/update", None)), n
    session.adapter.send_command("c16", "done", "")
    assert answered(session) == ("mine", b"c")
