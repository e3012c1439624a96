# Messages of the agent over MQTT, against a cloud that the test plays: what telemetry carries, and what finds no memory or room.
import os

import scratch
from cloud_fakes import CREDENTIALS, ID, MQTT
from mqtt_bench import Bench
from redpoll import log
from redpoll.net.mqtt import MQTTException

# the cloud played here shares the heap with the agent
HEAP = "256K"


def test_a_message_that_is_larger_than_the_spool_is_counted_and_its_override_goes_with_the_next():
    bench = Bench(spool_bytes=2048)
    for every in (31, 32, 33, 34):
        bench.agent.sensor(every=every)(lambda every=every: {"text%d" % every: "x" * 700})
    client = bench.turn()
    assert not client.sent("telemetry") and bench.agent.spool.dropped == 1
    bench.turn(30500)
    bench.turn(1000)
    fan, text = client.sent("telemetry")
    assert fan["telemetries"] == {"fan_speed": 100.5} and fan["override"]
    assert list(text["telemetries"]) == ["text31"] and "override" not in text


def test_being_out_of_memory_once_costs_neither_the_override_nor_a_notice():
    bench = Bench()
    bench.agent.telemetry.notice("config 5 refused")
    append = bench.agent.spool.append

    def short(*_):
        bench.agent.spool.append = append
        raise MemoryError

    bench.agent.spool.append = short
    bench.turn()
    sent = bench.turn(31000).sent("telemetry")
    assert sent[0]["override"] and sent[0]["message"] == "config 5 refused"


def test_without_memory_the_loop_neither_runs_hot_nor_goes_on_for_ever():
    bench = Bench()
    bench.turn()
    read = bench.agent.telemetry.read

    def short(feed):
        raise MemoryError

    bench.ticks.ms += 31000  # a sensor is overdue all the time
    bench.agent.telemetry.read = short
    for _ in range(50):
        assert bench.agent.poll() == 1000
        bench.ticks.ms += 1000
    bench.agent.telemetry.read = read
    bench.agent.poll()
    bench.agent.telemetry.read = short
    for _ in range(600):
        bench.agent.poll()
        bench.ticks.ms += 100
    bench.ticks.ms += 100

    # not out of a product's function that has the loop go on
    waited = []

    @bench.agent.sensor(every=30)
    def slow():
        bench.agent.telemetry.read = short
        waited.append(bench.agent.poll())
        return {}

    bench.agent.telemetry.read = read
    bench.agent.poll()
    assert waited == [1000]
    bench.agent.telemetry.read = short
    bench.agent.poll()
    bench.ticks.ms += 60100
    # a minute in which nothing was done: a restart gives the memory back
    scratch.text_of(MemoryError, bench.agent.poll)


def test_a_flash_that_cannot_be_read_delays_no_sensor():
    bench = Bench()
    bench.agent.every(0.2)
    bench.turn()

    def worn():
        raise OSError(5)

    bench.agent.spool.poll = worn
    assert 0 < bench.agent.poll() <= 200
    assert "flash: " in log.lines()[-1]


def test_a_message_of_an_earlier_start_keeps_its_own_text_beside_the_mark_that_it_is_late():
    bench = Bench(spool_hold=0)

    @bench.agent.sensor(every=30)
    def door():
        raise OSError("no door")

    MQTT.refuse = OSError(113)
    bench.turn()
    bench.start()
    bench.turn()
    late = bench.turn(1000).sent("telemetry")[0]["message"]
    assert late.startswith("taken before a restart, nobody knows when; door: ") and "no door" in late


def test_what_ended_the_program_is_told_however_deep_it_was_raised():
    def deep(more):
        if not more:
            raise KeyError("the reason")
        deep(more - 1)

    bench = Bench()
    bench.turn()
    bench.agent._work = lambda: deep(6)
    scratch.text_of(KeyError, bench.agent.run)
    bench.start()
    told = bench.turn().sent("telemetry")[0]["message"]
    assert told.startswith("ended by ") and "KeyError" in told and "the reason" in told


def test_the_watchdog_is_fed_after_each_sensor():
    bench = Bench()
    fed = [0]
    bench.agent.feed = lambda: fed.append(bench.ticks.ms)

    def slow():
        bench.ticks.ms += 6000
        return {"level": 1}

    for _ in range(5):
        bench.agent.telemetry.add(slow, 30)
    bench.agent.poll()
    assert max(fed) == 30000 and all(later - fed[at] <= 6000 for at, later in enumerate(fed[1:])), fed


def test_a_reboot_comes_also_where_there_is_no_memory_for_what_is_before_it():
    bench = Bench()
    client = bench.turn()

    def short():
        raise MemoryError

    bench.agent.spool.flush = short
    client.deliver("commands", {"id": "c1", "name": "reboot"})
    bench.turn()
    assert scratch.text_of(SystemExit, bench.turn, 1000) == "reset"


def test_a_broker_that_takes_no_packet_as_large_as_the_subscriptions_costs_no_readings():
    bench = Bench()
    MQTT.refuse_subscription = MQTTException(0x95, "too large")
    client = bench.turn()
    assert not client.open and not client.published
    assert len(bench.agent.spool) == 1 and "too large" in bench.agent.link.trouble


def test_a_reading_larger_than_the_broker_takes_is_counted_and_holds_up_none_of_the_others():
    bench = Bench()
    client = bench.turn()
    client.too_large = 400
    bench.agent.sensor(every=45)(lambda: {"text": "x" * 500})
    bench.turn(1000)
    sent = len(client.sent("telemetry"))
    bench.turn(29500)
    assert client.open and len(bench.agent.spool) == 0 and bench.agent.heartbeat()["spool_dropped"] == 1
    assert [m["telemetries"] for m in client.sent("telemetry")[sent:]] == [{"fan_speed": 100.5}]


def test_a_cloud_that_names_no_broker_is_told_to_be_polled():
    bench = Bench()
    known = dict(CREDENTIALS, version="1.0.0")
    del known["mqtt_hub_url"]
    bench.agent.settings.store(known)
    assert bench.turn() is None and 'use "transport": "http"' in bench.agent.link.trouble


def test_a_command_comes_by_either_name_of_its_topic():
    bench = Bench()
    client = bench.turn()
    for name in ("command", "commands"):
        client.deliver(name, {"id": name, "name": "count"}, "v1/device/%s/answers" % ID, b"1")
        bench.turn()
    assert [m["id"] for m in client.sent("answers")] == ["command", "command", "commands", "commands"]


def test_an_update_that_comes_again_after_its_end_holds_back_no_command_when_the_ledger_is_lost():
    bench = Bench()
    update = {"id": "u1", "name": "update_firmware", "parameters": {"url": "http://files.example/a.zip"}}
    client = bench.turn()
    client.deliver("commands", update)
    bench.turn()
    assert client.sent("commands/update")[-1]["status"] == "error"
    os.remove("commands")
    bench.start()
    client = bench.turn()
    client.deliver("commands", update)
    client.deliver("commands", {"id": "c1", "name": "ping"})
    bench.turn()
    told = [(answer["id"], answer["status"]) for answer in client.sent("commands/update")]
    assert told[1:] == [("u1", "error"), ("c1", "in_progress"), ("c1", "done")]


def test_the_clock_of_the_space_that_goes_on_is_no_news_for_the_product_and_the_log():
    bench = Bench()
    heard = []
    bench.agent.on("space")(heard.append)
    client = bench.turn()
    for minute in range(3):
        # with each snapshot (seed 001)
        client.deliver("space_info", {"name": "hall", "maintenance": False, "local_time": "2022-03-17T10:5%d:28+01:00" % minute})
        bench.turn()
    client.deliver("space_info", {"name": "hall", "maintenance": True, "local_time": "2022-03-17T10:53:28+01:00"})
    bench.turn()
    assert [told["maintenance"] for told in heard] == [False, True]
    assert bench.agent.space["local_time"] == "2022-03-17T10:53:28+01:00"
