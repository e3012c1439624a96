# Hours without a link and hard ends, over MQTT against a cloud that the test plays.
import gc
import os

import heap
from cloud_fakes import MQTT
from mqtt_bench import Bench

# what arrives in an hour is remembered on the agent's own heap
HEAP = "768K"
TIMEOUT = 240

if hasattr(gc, "threshold"):
    gc.threshold(32768)  # as boot.py does: what stays is then not strewn over the whole heap


class Counting(Bench):
    """A bench whose only sensor counts, every 5 s.

    `arrived` is what the cloud got, in order: (count, message id, timestamp). A message id that it knows already counts as `again`.
    """

    def start(self):
        super().start()
        telemetry = self.agent.telemetry
        telemetry._sensors = []
        if not hasattr(self, "count"):
            self.count = 0
            self.arrived = []
            self.known = set()
            self.again = 0
        telemetry.add(self.counter, 5)
        self.agent.clock.set(1700000000000 + self.ticks.ms)

    def counter(self):
        self.count += 1
        return {"count": self.count}

    def down(self, seconds):
        """So many seconds in which no connection can be made."""
        self.up(1)  # so that nothing is on its way
        for client in MQTT.made:
            client.broken = OSError(104)
        end = self.ticks.ms + seconds * 1000
        while self.ticks.ms < end:
            MQTT.refuse = OSError(113)
            self.ticks.ms += 2500
            self.agent.poll()
        MQTT.refuse = None

    def up(self, seconds, step=100):
        """So many seconds with a link; what is published is taken down and acknowledged."""
        end = self.ticks.ms + seconds * 1000
        while self.ticks.ms < end:
            self.ticks.ms += step
            self.agent.poll()
            for client in MQTT.made:
                self.take(client)

    def take(self, client):
        for topic, message, properties in client.published:
            if topic.endswith("/telemetry") and "count" in message["telemetries"]:
                number = int(properties[-10:])
                if number in self.known:
                    self.again += 1
                else:
                    self.known.add(number)
                    self.arrived.append((message["telemetries"]["count"], number, message.get("timestamp")))
        client.published = []


def in_order(arrived):
    return all(arrived[i][0] < arrived[i + 1][0] for i in range(len(arrived) - 1))


def test_an_hour_without_a_link_loses_nothing_and_nothing_comes_twice():
    bench = Counting(spool_flash_bytes=262144)
    bench.up(20)
    before = bench.count
    bench.down(3600)
    missed = bench.count - before
    assert missed > 700
    bench.up(480)
    counts = sorted(a[0] for a in bench.arrived)
    assert bench.agent.spool.dropped == 0
    assert counts == list(range(1, bench.count + 1))
    assert bench.again == 0
    stamps = [a[2] for a in sorted(bench.arrived)]
    assert stamps == sorted(stamps) and len(set(stamps)) == len(stamps)
    waited = [a for a in bench.arrived if before < a[0] <= before + missed - 70]
    assert in_order(waited)


def test_what_the_budget_cost_is_counted_exactly():
    bench = Counting(spool_flash_bytes=8192, spool_bytes=1024)
    bench.up(20)
    bench.down(3600)
    bench.up(600)
    dropped = bench.agent.spool.dropped
    assert dropped > 0
    assert len(bench.arrived) == bench.count - dropped
    assert len(set(a[0] for a in bench.arrived)) == len(bench.arrived)


def test_live_readings_do_not_wait_behind_the_replay():
    bench = Counting(spool_flash_bytes=262144)
    bench.up(20)
    bench.down(3600)
    bench.up(300, step=1000)
    newest = bench.count
    assert newest in [a[0] for a in bench.arrived[-15:]]


def test_the_replay_is_bounded():
    bench = Counting(spool_flash_bytes=262144)
    bench.up(20)
    bench.down(3600)
    while not MQTT.made[-1].open:
        bench.ticks.ms += 1000
        bench.agent.poll()
    bench.arrived = []
    bench.up(10, step=20)
    # ten a second of what waited, beside what was in RAM (spool_bytes: 8192)
    assert len(bench.arrived) < 10 * 10 + 100 + 5, len(bench.arrived)


def test_readings_on_flash_outlive_a_power_cut():
    bench = Counting(spool_hold=0)
    bench.up(20)
    bench.down(600)
    count = bench.count
    bench.arrived = []
    bench.start()
    bench.up(120)
    got = [a[0] for a in bench.arrived]
    assert [n for n in got if n <= count and got.count(n) == 1] == list(range(min(got), count + 1))
    assert min(got) <= 6


def test_a_healthy_link_writes_no_messages_to_flash():
    bench = Counting()
    bench.up(1200, step=500)
    assert len(bench.arrived) > 230
    assert not [name for name in os.listdir("spool") if name.isdigit()]


def test_what_was_taken_at_an_unknown_time_before_a_restart_says_so():
    bench = Counting(spool_hold=0)
    bench.agent.clock._epoch = None
    bench.down(30)
    bench.start()
    bench.up(3)
    assert len(bench.agent.spool) == 0
    assert any(a[2] is None for a in bench.arrived)


def test_a_first_message_that_comes_after_newer_ones_leaves_the_override_to_the_next():
    bench = Bench()
    # so that readings wait in RAM and on flash when the link comes back
    bench.agent.link._backoff.random16 = lambda: 65535
    for _ in range(20):
        MQTT.refuse = OSError(113)
        bench.turn(31000)
    MQTT.refuse = None
    client = bench.turn()
    while not client.open:
        client = bench.turn(5000)
    for _ in range(60):
        bench.turn(1000)
    sent = [(int(properties[-10:]), m) for topic, m, properties in client.published if topic.endswith("/telemetry")]
    numbers = [number for number, _ in sent]
    assert numbers.index(min(numbers)) > 0
    overriding = [at for at in range(len(sent)) if sent[at][1].get("override")]
    assert len(overriding) == 1
    assert numbers[overriding[0]] == max(numbers[: overriding[0] + 1])
    assert "fan_speed" in sent[overriding[0]][1]["telemetries"] and "uptime_s" in sent[overriding[0]][1]["telemetries"]


def test_after_messages_were_dropped_the_cloud_gets_all_that_is_known():
    bench = Bench(spool_bytes=512, spool_flash_bytes=8192)
    bench.agent.telemetry.add(lambda: {"door": "open"}, 86400)
    for _ in range(300):
        MQTT.refuse = OSError(113)
        bench.turn(30000)
    assert bench.agent.spool.dropped
    MQTT.refuse = None
    client = bench.turn(300000)
    for _ in range(40):
        bench.turn(1000)
    overriding = [message for message in client.sent("telemetry") if message.get("override")]
    assert len(overriding) == 1 and overriding[0]["telemetries"]["door"] == "open"


def test_outages_do_not_make_the_heap_grow():
    bench = Counting()
    bench.take = forget
    sizes = []
    for _ in range(8):
        bench.down(600)
        bench.up(400, step=500)
        MQTT.made = MQTT.made[-1:]
        sizes.append(heap.used())
    # the first ones fill the log and the lists; 2 KB of jitter for what happens to be alive
    assert sizes[-1] - sizes[3] < 2048, sizes


def forget(client):
    client.published = []


def test_a_reading_that_is_called_override_is_a_reading_after_an_outage_too():
    bench = Bench()
    bench.agent.telemetry.add(lambda: {"a": 1, "override": True, "z": 2}, 10)
    MQTT.refuse = None
    bench.turn()
    for _ in range(40):
        MQTT.refuse = OSError(113)
        bench.agent.link.broken(OSError(104))
        bench.turn(10000)
    MQTT.refuse = None
    client = bench.turn(300000)
    for _ in range(60):
        bench.turn(1000)
    valves = [message["telemetries"] for message in client.sent("telemetry") if "z" in message["telemetries"]]
    assert len(valves) > 40 and all(["override" in told for told in valves])
    assert not [message for message in client.sent("telemetry") if message.get("override")]


def test_what_another_version_of_the_agent_left_overrides_nothing_newer():
    bench = Bench()
    spool = bench.agent.spool
    # as the agent had it whose override was a key like any other, which its dictionary put last
    spool.append(1, b'{"telemetries": {"old": 1}, "status": "online", "override": true}')
    spool.append(2, b'{"telemetries": {"old": 2, "override": true}, "status": "online"}')
    spool.append(3, b'{"status": "online", "telemetries": {"old": 3, "override": true}}')
    spool.flush()
    # and that one looks for these bytes in what this one has left, after a version on trial was rolled back
    assert b', "override": true' in bench.agent.telemetry.read()
    bench.start()
    MQTT.refuse = None
    client = bench.turn()
    for _ in range(20):
        bench.turn(1000)
    old = [message for message in client.sent("telemetry") if "old" in message["telemetries"]]
    assert sorted([message["telemetries"]["old"] for message in old]) == [1, 2, 3]
    assert not [message for message in old if message.get("override")]
    assert [message["telemetries"].get("override") for message in old if message["telemetries"]["old"] > 1] == [True, True]
