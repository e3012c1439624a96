# The agent's loop: what it does beside the messages, and when it wants to be called again.
import scratch
from cloud_fakes import HTTP, MQTT
from mqtt_bench import Bench
from redpoll import log, port, update
from redpoll.cloud import xyte_mqtt
from redpoll.flash.record import Record
from scratch import text_of
from support import raises

# the cloud played here shares the heap with the agent
HEAP = "256K"


def settled(**settings):
    """A board that is connected, with all done that is due then."""
    bench = Bench(**settings)
    bench.turn()
    bench.turn(1000)
    return bench


def test_the_loop_comes_back_for_a_sensor_and_for_a_link_that_waits():
    bench = settled()
    wait = bench.agent.poll()
    # the clock of the fan began with the first reading, a second ago
    assert 0 < wait <= 29000
    bench.turn(28900)
    assert 0 < bench.agent.poll() <= 100
    MQTT.made[-1].broken = OSError(104)
    MQTT.refuse = OSError(113)
    bench.agent.every(3600)
    bench.turn()
    assert 0 < bench.agent.poll() <= 1000


def test_a_product_changes_how_often_a_sensor_is_read():
    bench = settled()
    client = MQTT.made[-1]

    def read(seconds):
        before = len([m for m in client.sent("telemetry") if "fan_speed" in m.get("telemetries", m)])
        for _ in range(seconds):
            bench.turn(1000)
        return len([m for m in client.sent("telemetry") if "fan_speed" in m.get("telemetries", m)]) - before

    bench.agent.every(5, "fan")
    read(5)
    fast = read(60)
    bench.agent.every(20)
    read(5)
    slow = read(60)
    assert fast > slow > 0


def test_a_heartbeat_tells_of_the_spool_and_of_the_link():
    agent = settled().agent
    told = agent.heartbeat()
    for name in ("spool_depth", "spool_dropped", "spool_damaged", "link_failures", "inbound_dropped"):
        assert told[name] == 0, name
    agent.spool.append(0, b"{}")
    agent.spool.damaged = 3
    agent.spool.dropped = 2
    told = agent.heartbeat()
    assert (told["spool_depth"], told["spool_dropped"], told["spool_damaged"]) == (1, 2, 3)


def test_credentials_that_the_full_flash_did_not_take_are_saved_when_it_does():
    bench = Bench(registered=False)
    record = bench.agent.settings._record
    save = record.save
    record.save = scratch.full
    bench.turn()
    bench.turn(1000)
    assert MQTT.made[-1].open
    record.save = save
    bench.turn(61000)
    requests = len(HTTP.requests)
    bench.start()
    assert bench.turn().open and len(HTTP.requests) == requests


def test_a_start_that_went_well_is_no_step_towards_safe_mode():
    good = port.good
    goods = []
    port.good = lambda: goods.append(1)
    update._boot = "boot.state"
    try:
        # the cloud was reached
        Record("boot.state").save({"slot": "a", "boots": 7})
        bench = settled()
        assert Record("boot.state").load() == {"slot": "a", "boots": 0} and goods == [1]
        # or the loop turns for a minute
        Record("boot.state").save({"slot": "a", "boots": 7})
        bench = Bench(registered=False)
        bench.agent.settings.forget()
        bench.registration = OSError(113)
        bench.turn()
        bench.turn(50000)
        assert Record("boot.state").load()["boots"] == 7
        bench.turn(10000)
        assert Record("boot.state").load()["boots"] == 0 and goods == [1, 1]
    finally:
        port.good = good


def test_the_watchdog_watches_while_the_agent_runs_with_half_a_minute_on_every_board():
    # a virtual one had the 8.4 s of an RP2's chip, which on an RP2 a timer makes longer
    class Watchdog:
        def __init__(self, timeout_ms):
            made.append(timeout_ms)

        def feed(self):
            fed.append(1)

    real = port.watchdog
    port.watchdog = Watchdog
    try:
        for wanted in (True, False):
            made = []
            fed = []
            bench = Bench(watchdog=wanted)

            def end(fed=fed):
                # the loop has begun: what was fed until now is of run() itself
                fed.append("end")
                raise SystemExit("ended")

            bench.agent._sense = end
            assert scratch.text_of(SystemExit, bench.agent.run) == "ended"
            assert (made, fed) == (([30000], [1, "end"]) if wanted else ([], ["end"]))
    finally:
        port.watchdog = real


def test_what_only_ram_has_is_on_flash_before_a_reboot_that_was_asked_for():
    bench = settled()
    client = MQTT.made[-1]
    MQTT.acknowledges = client.acknowledge = False
    client.deliver("commands", {"id": "c1", "name": "reboot"})
    bench.turn(31000)
    assert bench.agent.spool._ram
    assert scratch.text_of(SystemExit, bench.turn, 1000) == "reset"
    assert not bench.agent.spool._ram and len(bench.agent.spool)
    assert not client.open


def test_an_event_that_does_not_exist_is_refused():
    bench = Bench()
    assert '"firmware" or "space"' in scratch.text_of(ValueError, bench.agent.on, "config")


def test_a_configuration_is_confirmed_once_in_each_session():
    bench = settled()
    client = MQTT.made[-1]
    client.deliver("config", {"version": 3, "interval": 60})
    bench.turn()
    for _ in range(2):
        client.deliver("config", {"version": 3, "interval": 60})
        bench.turn()
    assert len(client.sent("config/update")) == 1
    # the cloud may not have it: the last word of a session may be lost
    client.broken = OSError(104)
    bench.turn()
    again = bench.turn(30000)
    assert again is not client and again.open
    again.deliver("config", {"version": 3, "interval": 60})
    bench.turn()
    assert again.sent("config/update") == [{"version": 3, "interval": 60}]


def test_only_the_session_after_a_loss_in_the_spool_begins_with_all_that_is_known():
    bench = settled()
    whole = []
    for lost in (True, False):
        if lost:
            bench.agent.spool.whole = False
        MQTT.made[-1].broken = OSError(104)
        bench.turn()
        client = bench.turn(30000)
        bench.turn(30000)
        whole.append(len([m for m in client.sent("telemetry") if m.get("override")]))
    assert whole == [1, 0]


def test_each_telemetry_has_a_number_of_its_own_that_stays_when_it_is_sent_again():
    def numbers(client):
        return [int(properties[-10:]) for topic, _, properties in client.published if topic.endswith("/telemetry")]

    bench = settled()
    client = MQTT.made[-1]
    bench.turn(30000)
    first = numbers(client)
    assert len(first) >= 2 and first == list(range(first[0], first[0] + len(first)))
    client.acknowledge = False
    bench.turn(30000)
    lost = numbers(client)[len(first) :]
    assert lost and lost[0] == first[-1] + 1
    client.broken = OSError(104)
    bench.turn()
    assert numbers(bench.turn(5000))[0] == lost[0]


def test_the_restart_of_an_update_does_not_cut_off_a_command_that_has_the_loop_go_on():
    bench = Bench()
    moved = []

    @bench.agent.command("move")
    def move():
        for _ in range(10):
            # as Update does when its slot is complete
            bench.agent.commands.restart = True
            bench.ticks.ms += 1000
            bench.agent.poll()
        moved.append(True)

    bench.turn().deliver("commands", {"id": "c1", "name": "move"})
    with raises(SystemExit):
        for _ in range(3):
            bench.turn(1000)
    assert moved


def test_a_restart_waits_for_the_configuration_of_the_start_too():
    bench = Bench()
    Record("config").save({"version": 1, "values": {"interval": 7}})
    bench.start()
    bench.agent._config._apply = None
    applied = []

    @bench.agent.config(interval=(int, 1, 3600))
    def apply(config):
        for step in range(10):
            if step == 2:
                MQTT.made[-1].deliver("commands", {"id": "c1", "name": "reboot"})
            bench.ticks.ms += 1000
            bench.agent.poll()
        applied.append(config["interval"])

    with raises(SystemExit):
        for _ in range(3):
            bench.turn(1000)
    assert applied == [7]


def test_a_function_without_an_end_does_not_hold_a_restart_up_for_ever():
    bench = Bench()
    bench.turn()

    @bench.agent.sensor(every=30)
    def pressed():
        MQTT.made[-1].deliver("commands", {"id": "c1", "name": "reboot"})
        # nobody comes
        for _ in range(3600):
            bench.ticks.ms += 1000
            bench.agent.poll()

    with raises(SystemExit):
        bench.turn(1000)
    assert 300000 < bench.ticks.ms < 320000


def test_a_configuration_that_comes_while_one_is_applied_is_asked_for():
    bench = Bench()
    bench.agent._config._apply = None
    applied = []

    @bench.agent.config(interval=(int, 1, 3600))
    def apply(config):
        if not applied:
            # one connection hands nothing on within a message of its own, another one does
            MQTT.made[-1].broken = OSError(104)
            for _ in range(5):
                bench.ticks.ms += 1000
                bench.agent.poll()
            MQTT.made[-1].deliver("config", {"version": 3, "interval": 3})
            bench.agent.poll()
        applied.append(config["interval"])

    bench.turn().deliver("config", {"version": 2, "interval": 2})
    assert applied == []
    bench.turn()
    asked = len(MQTT.made[-1].sent("get"))
    for _ in range(9):
        bench.turn(10000)
    assert applied == [2] and len(MQTT.made[-1].sent("get")) > asked


def test_what_is_never_answered_takes_no_place_of_what_is():
    bench = Bench()
    client = bench.turn()
    before = len(log.lines())
    client.deliver("config", {"version": 1, "interval": 60}, "v1/device/d-1/answers", b"c")
    client.deliver("space_info", {"id": "s", "name": "hall"}, "v1/other/answers", b"1")
    for number in range(16):
        client.deliver("space_info", {"id": "s%d" % number, "name": "hall"}, "v1/device/d-1/space_info/update", b"1")
    bench.turn()
    assert ("config", 1) in bench.agent.link.adapter._replies
    assert not any("not answered" in line for line in log.lines()[before:])


def test_the_watchdog_of_an_application_with_a_loop_of_its_own_is_fed_within_a_poll_too():
    fed = []

    class Watchdog:
        def feed(self):
            fed.append(bench.ticks.ms)

    class Slow(MQTT):
        def connect(self, clean_session=True, timeout=None):
            # the name server, and then the broker
            bench.ticks.ms += 14000 + 7000
            return super().connect(clean_session, timeout)

        def subscribe(self, topics, qos=0):
            bench.ticks.ms += 7000
            return super().subscribe(topics, qos)

    bench = Bench()

    @bench.agent.sensor(every=30)
    def slow():
        bench.ticks.ms += 3000
        return {"slow": 1}

    watchdog, client = port.watchdog, xyte_mqtt.MQTTClient
    port.watchdog = lambda timeout_ms: Watchdog()
    xyte_mqtt.MQTTClient = Slow
    try:
        # a task of asyncio does this again and again
        bench.agent.watch()
        for _ in range(3):
            bench.agent.feed()
            bench.agent.poll()
    finally:
        port.watchdog = watchdog
        xyte_mqtt.MQTTClient = client
    # a Pico restarts after 28 s, an ESP32 after 30
    assert bench.agent.connected() and max([fed[at + 1] - fed[at] for at in range(len(fed) - 1)]) < 28000


def test_a_command_is_named_by_a_text():
    bench = Bench()
    for name in (5, None, max):
        assert "no parentheses" in text_of(TypeError, bench.agent.command, name)


def test_what_is_declared_can_be_called_by_the_product_too_and_the_licences_are_one_object():
    agent = Bench(path="declared").agent

    def function(**values):
        return values

    for declare in (agent.sensor(60), agent.command("blink"), agent.on("space")):
        assert declare(function) is function
    assert agent.licenses is agent.licenses


def test_an_update_hears_of_sessions_of_what_the_cloud_has_and_of_what_it_was_told():
    bench = settled()
    heard = []

    class Update:
        def on_link(self):
            heard.append("link")

        def round_trip(self):
            heard.append("round trip")

        def on_reported(self, event):
            heard.append(event)

        def on_trial(self):
            return False

    bench.agent._update = Update()
    bench.agent.on_link(None)
    bench.agent.on_sent(0, accepted=False)
    bench.agent.on_sent(0)
    bench.agent.on_reported({"status": "Success"})
    assert heard == ["link", "round trip", {"status": "Success"}]
