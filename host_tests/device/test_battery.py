# A board that sleeps between messages, over MQTT without a link, while there is an update.
from cloud_fakes import MQTT
from mqtt_bench import Bench
from redpoll import port
from redpoll.battery import Battery
from redpoll.flash.record import Record
from redpoll.flash.spool import Spool as FlashSpool

# an agent with an update and the cloud played here
HEAP = "1M"


class Asleep(BaseException):
    """The board sleeps."""


class Once(Bench):
    """A bench whose board sleeps once, with an uptime in `slept_at`."""

    def run(self, ms, step=20, turn=lambda: None):
        """Go on for so long, or until it sleeps; `turn()` is called before each look at what is due."""
        self.slept_at = None
        real = port.deep_sleep
        port.deep_sleep = self.sleep
        end = self.ticks.ms + ms
        try:
            while self.ticks.ms < end:
                turn()
                self.ticks.ms += step
                self.agent.poll()
        except Asleep:
            pass
        finally:
            port.deep_sleep = real

    def sleep(self, ms, feed):
        self.slept_at = self.ticks.ms
        raise Asleep


def refuse():
    MQTT.refuse = OSError(113)


def minutes_awake(bench):
    """How long the agent without a link does not sleep, 10 at most."""
    bench.start()
    begun = bench.ticks.ms
    bench.run(600000, 1000, refuse)
    return (bench.ticks.ms - begun) // 60000


class Agent:
    """What Battery looks at: a board that has been awake for 30 s, and to which nothing is left to do."""

    def __init__(self):
        self.link = self.settings = self.clock = self.radio = self.adapter = self
        self.did = []
        self.alive_at = 10000
        self.sleep = 300
        self.now = 30000
        self.spool = Spool(self.did)
        self.is_ready = True

    def ms(self):
        return self.now

    def ready(self):
        return self.is_ready

    def close(self):
        self.did.append("closed")

    def off(self):
        self.did.append("radio off")

    def feed(self):
        pass


class Spool:
    def __init__(self, did):
        self.left = 0
        self._did = did

    def __len__(self):
        return self.left

    def flush(self):
        self._did.append("flushed")


def looked_on(agent):
    """A Battery that was there when the cloud acknowledged something."""
    battery = Battery(agent)
    now = agent.now
    agent.now = agent.alive_at or now
    battery.poll(False, True)
    agent.now = now
    return battery


def sleeps(agent, battery=None, busy=False, tell=False):
    """Does it?"""
    agent.slept = []
    battery = battery or looked_on(agent)
    real = port.deep_sleep
    port.deep_sleep = lambda ms, feed: agent.slept.append(ms)
    try:
        battery.poll(busy, tell)
    finally:
        port.deep_sleep = real
    return bool(agent.slept)


def test_it_sleeps_once_nothing_is_left_with_all_switched_off_and_on_flash():
    agent = Agent()
    assert sleeps(agent)
    assert agent.slept == [300000] and agent.did == ["closed", "radio off", "flushed"]
    agent = Agent()
    agent.radio = None
    assert sleeps(agent) and agent.did == ["closed", "flushed"]


def test_each_thing_that_is_left_keeps_it_awake_for_a_while():
    def told(agent):
        return {"tell": True}

    def no_link(agent):
        agent.adapter = None
        return {}

    def no_round_trip(agent):
        agent.alive_at = None
        return {}

    def messages(agent):
        agent.spool.left = 1
        return {}

    def just_heard(agent):
        agent.alive_at = agent.now - 100
        return {}

    def on_its_way(agent):
        agent.is_ready = False
        return {}

    for left in (told, no_link, no_round_trip, messages, just_heard, on_its_way):
        agent = Agent()
        more = left(agent)
        battery = looked_on(agent)
        assert not sleeps(agent, battery, **more), left
        # but not for ever
        agent.now = 600000
        assert sleeps(agent, battery, **more), left
    agent = Agent()
    agent.now = 600000
    assert not sleeps(agent, None, True)


def test_it_listens_for_a_moment_after_the_last_work():
    agent = Agent()
    battery = looked_on(agent)
    assert not sleeps(agent, battery, True)
    agent.now += 100
    assert not sleeps(agent, battery)
    agent.now += 20000
    assert sleeps(agent, battery)


def test_an_update_that_is_only_to_be_told_of_keeps_no_board_on_a_battery_awake():
    uuid = "04bf491c-af94-4e9d-813f-ebeebfb856a6"
    bench = Once(sleep=300, report=["astarte"])
    Record("update").save({"finals": [[uuid, "edgehog", "Failure", "NetworkError", "gone", None]], "finished": [uuid]})
    assert minutes_awake(bench) == 1
    bench.start()
    assert bench.agent._update.busy()


def test_it_does_not_sleep_within_a_command_that_has_the_loop_go_on():
    bench = Once(sleep=300)
    done = []

    @bench.agent.command("move")
    def move():
        for _ in range(10):
            bench.ticks.ms += 1000
            bench.agent.poll()
        done.append(bench.ticks.ms)

    bench.run(1000)
    MQTT.made[-1].deliver("commands", {"id": "c1", "name": "move"})
    bench.run(20000)
    assert done and bench.slept_at >= done[0] + 2000


def test_what_a_command_has_answered_has_time_to_leave_the_board():
    bench = Once(sleep=300)
    bench.run(1900)
    client = MQTT.made[-1]
    client.acknowledge = False
    asked_at = bench.ticks.ms
    client.deliver("commands", {"id": "c1", "name": "count"})
    bench.run(20000)
    assert client.sent("commands/update")[-1]["status"] == "done"
    assert asked_at + 2000 <= bench.slept_at < asked_at + 3000


def test_a_sensor_that_is_read_each_second_does_not_keep_it_awake():
    bench = Once(sleep=300)

    @bench.agent.sensor(every=1)
    def level():
        return {"level": 3}

    bench.run(70000)
    assert 2000 <= bench.slept_at < 5000


def test_what_a_command_of_more_than_a_minute_has_answered_has_time_to_leave_too():
    bench = Once(sleep=300)
    ended = []

    @bench.agent.command("move")
    def move():
        bench.ticks.ms += 70000
        ended.append(bench.ticks.ms)

    bench.run(1000)
    MQTT.made[-1].deliver("commands", {"id": "c1", "name": "move"})
    bench.run(100000)
    assert ended[0] + 2000 <= bench.slept_at < ended[0] + 3000


def test_an_update_under_way_keeps_it_awake():
    job = {"id": "u", "kind": "edgehog", "url": "http://x.example/a.zip", "phase": "fetch", "at": [0, -1], "downgrade": False}
    bench = Once(sleep=300)
    Record("update").save({"job": dict(job, file=None, want=None)})
    start = bench.start

    def paused():
        start()
        # as between two attempts to reach a server
        bench.agent._update._updater._not_before = 1 << 30

    bench.start = paused
    assert minutes_awake(bench) == 10


def test_it_does_not_sleep_within_a_sensor_that_has_the_loop_go_on():
    bench = Once(sleep=300)
    # an earlier start has reached nobody: what it left is acknowledged soon
    FlashSpool(8192, "spool", 131072, 0, bench.agent.clock).append(0, b'{"status": "online", "telemetries": {"gas": 4}}')
    bench.start()

    @bench.agent.sensor(every=3600)
    def gas():
        # it has to warm up
        for _ in range(10):
            bench.ticks.ms += 1000
            bench.agent.poll()
        return {"gas": 5}

    bench.run(30000)
    assert bench.slept_at and [m["telemetries"]["gas"] for m in MQTT.made[-1].sent("telemetry") if "gas" in m["telemetries"]] == [4, 5]
