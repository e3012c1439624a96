# A configuration that changes what the link depends on is on trial until the cloud was reached with it (DESIGN §3, config).
import scratch
from cloud_fakes import CREDENTIALS, HTTP, MQTT, Reply
from mqtt_bench import Bench

# the cloud played here shares the heap with the agent
HEAP = "256K"
NEW = "http://new.example"


def moved(bench, version=1, **settings):
    """The agent, connected, has got a configuration with these link settings."""
    client = bench.turn()
    client.deliver("config", {"version": version, "interval": 60, "settings": settings})
    bench.turn()
    return client


def test_a_change_of_the_link_is_kept_once_the_cloud_was_reached_with_it():
    bench = Bench()
    old = moved(bench, keepalive=30)
    assert not old.open and old.sent("config/update") == []
    new = bench.turn(30000)
    assert new is not old and new.settings["keepalive"] == 30
    assert new.sent("config/update") == [{"version": 1, "interval": 60, "settings": {"keepalive": 30}}]
    bench.start()
    assert bench.turn().settings["keepalive"] == 30


def test_a_change_that_does_not_reach_the_cloud_is_rolled_back_and_told():
    bench = Bench(trial_timeout=60)
    bench.registration = OSError(113)
    moved(bench, entry="http://nowhere.example")
    bench.turn(30000)
    assert MQTT.made[-1].open is False
    assert HTTP.requests[-1][:2] == ("POST", "/v1/devices")
    bench.turn(31000)
    client = bench.turn(300000)
    assert client.open
    assert client.sent("config/update") == [{"version": 1}]
    bench.turn(30000)
    assert any("rolled back" in m.get("message", "") for m in client.sent("telemetry"))
    assert bench.agent.settings.entry == "http://entry.example"


def test_a_restart_during_the_trial_rolls_back():
    bench = Bench()
    MQTT.acknowledges = False
    moved(bench, keepalive=30)
    MQTT.acknowledges = True
    bench.start()
    client = bench.turn()
    assert client.settings["keepalive"] == 60
    assert client.sent("config/update") == [{"version": 1}]
    assert bench.configured[-1] == {"interval": 60}


def test_link_settings_that_cannot_be_used_are_refused_with_their_reasons():
    bench = Bench()
    for version, settings in enumerate(({"keepalive": 0}, {"entry": "x"}, {"sn": "other"}, {"transport": 5}, [1], "x")):
        client = bench.turn()
        client.deliver("config", {"version": version + 1, "interval": 60, "settings": settings})
        bench.turn()
        bench.turn(30000)
        assert client.open
        assert client.sent("config/update")[-1] == {"version": version + 1}
        assert "refused: settings: " in client.sent("telemetry")[-1]["message"]
    assert bench.configured == []


def test_link_settings_are_taken_back_when_the_rest_is_refused():
    bench = Bench()
    client = bench.turn()
    client.deliver("config", {"version": 1, "interval": 1, "settings": {"keepalive": 30}})
    bench.turn()
    assert client.open
    assert bench.agent.settings.keepalive == 60


def test_the_values_on_trial_under_a_newer_version_do_not_begin_the_trial_again():
    bench = Bench()
    MQTT.acknowledges = False
    moved(bench, keepalive=30)
    client = MQTT.made[-1]
    client.deliver("config", {"version": 2, "interval": 60, "settings": {"keepalive": 30}})
    bench.turn()
    assert client.open and bench.agent.config_version() == 2 and client.sent("config/update") == []
    client.acknowledge = True
    bench.turn()
    assert client.sent("config/update") == [{"version": 2, "interval": 60, "settings": {"keepalive": 30}}]


def test_what_the_cloud_took_during_a_trial_that_failed_does_not_change_the_link():
    bench = Bench(trial_timeout=60)
    bench.registration = OSError(113)
    moved(bench, entry="http://nowhere.example")
    bench.agent.change_config(interval=90)
    bench.agent._config.told()
    bench.turn(61000)
    client = bench.turn(300000)
    assert client.open
    client.deliver("config", {"version": 2, "interval": 90, "settings": {"entry": "http://nowhere.example"}})
    bench.turn()
    assert client.open and bench.agent.settings.entry == "http://entry.example"
    assert client.sent("config/update")[-1] == {"version": 2, "interval": 90}


def test_a_trial_need_not_wait_for_the_products_next_reading():
    bench = Bench()
    bench.agent.every(3600)
    bench.turn(60000)
    moved(bench, keepalive=30)
    bench.turn(100)
    assert not bench.agent._config.on_trial() and MQTT.made[-1].settings["keepalive"] == 30


def test_a_message_that_is_refused_passes_no_trial():
    bench = Bench(trial_timeout=60)
    MQTT.acknowledges = False
    moved(bench, keepalive=30)
    client = MQTT.made[-1]
    client.reasons = [0x99] * 20
    client.acknowledge = True
    bench.turn(30000)
    assert bench.agent._config.on_trial()
    MQTT.acknowledges = True
    bench.turn(31000)
    assert bench.agent.settings.keepalive == 60


def test_a_configuration_that_comes_during_a_trial_waits_for_its_end():
    bench = Bench()
    MQTT.acknowledges = False
    moved(bench, keepalive=30)
    client = MQTT.made[-1]
    client.deliver("config", {"version": 2, "interval": 90})
    bench.turn()
    assert bench.agent.config_version() == 1 and client.open
    asked = len(client.sent("get"))
    client.acknowledge = True
    bench.turn()
    assert client.sent("config/update") == [{"version": 1, "interval": 60, "settings": {"keepalive": 30}}]
    assert len(client.sent("get")) == asked + 1
    client.deliver("config", {"version": 2, "interval": 90})
    bench.turn()
    assert bench.agent.config_version() == 2 and bench.configured[-1] == {"interval": 90}


def test_what_is_on_trial_is_not_told_when_it_comes_again():
    bench = Bench()
    MQTT.acknowledges = False
    moved(bench, keepalive=30)
    client = MQTT.made[-1]
    asked = len(client.sent("get"))
    for interval in (60, 61):
        client.deliver("config", {"version": 1, "interval": interval, "settings": {"keepalive": 30}})
        bench.turn()
    assert client.sent("config/update") == []
    client.acknowledge = True
    bench.turn()
    assert client.sent("config/update") == [{"version": 1, "interval": 60, "settings": {"keepalive": 30}}]
    # nor asked for
    assert len(client.sent("get")) == asked


def test_an_older_configuration_is_not_answered():
    bench = Bench()
    client = bench.turn()
    client.deliver("config", {"version": 3, "interval": 60})
    bench.turn()
    client.broken = OSError(104)
    bench.turn()
    client = bench.turn(30000)
    client.deliver("config", {"version": 2, "interval": 50})
    bench.turn()
    assert client.sent("config/update") == [] and bench.configured == [{"interval": 60}]


def test_link_settings_that_come_during_a_trial_are_not_in_force():
    bench = Bench(trial_timeout=60)
    bench.registration = OSError(113)
    moved(bench, entry="http://nowhere.example", keepalive=30)
    agent = bench.agent
    agent._sync.on_config(2, {"interval": 60, "settings": {"keepalive": 45}})
    assert agent.settings.keepalive == 30 and agent.config_version() == 1
    bench.turn(61000)
    assert agent.settings.keepalive == 60 and agent.settings.entry == "http://entry.example"


def test_a_cloud_that_answers_each_configuration_with_another_is_told_ten_a_minute():
    bench = Bench()
    bench.turn()
    # not only in the first minute after the start
    for _ in range(10):
        client = bench.turn(30000)
    client.deliver("config", {"version": 1, "interval": 10})
    bench.turn()
    for minute in range(2):
        told = len(client.sent("config/update"))
        for version in range(2, 40):
            client.deliver("config", {"version": minute * 100 + version, "interval": 10 + version})
            bench.turn(100)
        assert len(client.sent("config/update")) - told <= 10
        bench.turn(60000)
    # the last one is told, once
    assert client.sent("config/update")[-1] == {"version": 139, "interval": 49}
    told = len(client.sent("config/update"))
    for _ in range(6):
        bench.turn(30000)
    assert len(client.sent("config/update")) == told


def test_the_minute_of_ten_begins_with_the_first():
    bench = Bench()
    client = bench.turn(60000)
    for version in range(1, 12):
        client.deliver("config", {"version": version, "interval": 10 + version})
        bench.turn(5000)
    assert len(client.sent("config/update")) == 10
    bench.turn(10000)
    assert client.sent("config/update")[-1] == {"version": 11, "interval": 21}


def test_the_way_back_is_taken_at_once():
    bench = Bench(trial_timeout=20)
    bench.registration = OSError(113)
    moved(bench, entry=NEW)
    for _ in range(20):
        bench.turn(1000)
    # no matter how long the wait had grown on the way that failed
    assert bench.turn().open and bench.agent.settings.entry == "http://entry.example"


def test_after_a_move_to_another_cloud_its_versions_count():
    bench = Bench()
    bench.turn()
    bench.registration = Reply(201, dict(CREDENTIALS, id="d-2"))
    MQTT.made[-1].deliver("config", {"version": 7, "interval": 60, "settings": {"entry": NEW}})
    bench.turn()
    client = bench.turn(1000)
    assert HTTP.requests[-1][:2] == ("POST", "/v1/devices")
    told = [message for topic, message, _ in client.published if topic == "v1/device/d-2/config/update"]
    assert told == [{"version": 0, "interval": 60, "settings": {"entry": NEW}}]
    client.deliver_to("d-2", "config", {"version": 1, "interval": 90, "settings": {"entry": NEW}})
    bench.turn()
    assert bench.agent.config_version() == 1 and bench.configured[-1] == {"interval": 90}


def test_after_a_way_back_the_versions_of_the_old_cloud_count():
    bench = Bench(trial_timeout=20)
    bench.turn()
    MQTT.acknowledges = False
    bench.registration = Reply(201, dict(CREDENTIALS, id="d-2"))
    MQTT.made[-1].deliver("config", {"version": 7, "interval": 60, "settings": {"entry": NEW}})
    for _ in range(22):
        bench.turn(1000)
    MQTT.acknowledges = True
    client = bench.turn(300000)
    assert client.client_id == "d-1" and bench.agent.config_version() == 7
    client.deliver("config", {"version": 7, "interval": 60, "settings": {"entry": NEW}})
    bench.turn()
    assert client.open and bench.agent.settings.entry == "http://entry.example"


def test_a_setting_that_only_looks_the_same_is_checked():
    bench = Bench()
    moved(bench, keepalive=30)
    client = bench.turn(30000)
    client.deliver("config", {"version": 2, "interval": 61, "settings": {"keepalive": 30.0}})
    bench.turn()
    bench.turn(30000)
    assert "refused: settings: " in client.sent("telemetry")[-1]["message"]
    assert bench.agent.settings.keepalive == 30


def test_after_a_restart_a_setting_that_cannot_be_used_costs_that_setting_only():
    bench = Bench()
    moved(bench, keepalive=30, snapshot_every=60)
    bench.turn(30000)
    values = dict(bench.agent._config.values)
    values["settings"] = {"keepalive": 30, "snapshot_every": "often", "unknown": 1}
    bench.agent._config._record.save({"version": 1, "values": values})
    bench.start()
    assert bench.agent.settings.keepalive == 30 and bench.agent.settings.snapshot_every == 600


def test_credentials_that_the_full_flash_did_not_take_survive_a_trial():
    bench = Bench(registered=False)
    bench.agent.settings._record.save = scratch.full
    bench.turn()
    bench.turn(300000)
    requests = len(HTTP.requests)
    moved(bench, keepalive=30)
    assert bench.turn(1000).open and len(HTTP.requests) == requests


class Cloud:
    """A cloud with a configuration of its own, which it gives when it is asked and changes when it is told other values."""

    def __init__(self, version, values):
        self.version = version
        self.values = values
        self.seen = 0

    def hear(self, client):
        for topic, body, _ in client.published[self.seen :]:
            if topic.endswith("config/update"):
                version = body["version"]
                values = {key: body[key] for key in body if key != "version"}
                if version >= self.version and values != self.values:
                    self.version += 1
                    self.values = values
            elif not topic.endswith("/get"):
                continue
            client.deliver_to(client.client_id, "config", dict(self.values, version=self.version))
        self.seen = len(client.published)


def test_two_clouds_that_send_a_device_to_each_other_come_to_rest():
    for of_the_other in (Cloud(2, {"interval": 60, "settings": {}}), Cloud(3, {"interval": 120})):
        bench = Bench()
        bench.registration = Reply(201, dict(CREDENTIALS, id="d-2"))
        clouds = {"d-1": Cloud(7, {"interval": 60, "settings": {"entry": NEW}}), "d-2": of_the_other}
        clients = []
        for _ in range(200):
            client = bench.turn(1000)
            if not clients or clients[-1] is not client:
                clients.append(client)
                clouds[client.client_id].seen = 0
            clouds[client.client_id].hear(client)
        assert len(clients) <= 6, "it moved %d times" % len(clients)
        assert bench.turn(60000) is clients[-1]


def test_being_out_of_memory_leaves_no_settings_in_force_that_nobody_tries():
    bench = Bench(trial_timeout=60)
    client = bench.turn()
    config = bench.agent._config
    too_large = config._too_large

    def short(values):
        config._too_large = too_large
        raise MemoryError

    config._too_large = short
    client.deliver("config", {"version": 1, "interval": 60, "settings": {"entry": "http://nowhere.example"}})
    bench.turn()
    assert bench.agent.settings.entry == "http://entry.example"
    assert bench.turn(300000).open


def test_being_out_of_memory_at_the_end_of_a_trial_does_not_stop_the_way_back():
    bench = Bench(trial_timeout=60)
    bench.registration = OSError(113)
    moved(bench, entry="http://nowhere.example")

    def short(value):
        raise MemoryError

    save = bench.agent._config._record.save
    bench.agent._config._record.save = short
    bench.turn(61000)
    bench.agent._config._record.save = save
    assert bench.turn(300000).open and bench.agent.settings.entry == "http://entry.example"


def test_a_trial_that_was_passed_on_a_full_flash_is_not_taken_back_months_later():
    bench = Bench()
    MQTT.acknowledges = False
    moved(bench, keepalive=30)
    save = bench.agent._config._record.save
    bench.agent._config._record.save = scratch.full
    MQTT.acknowledges = True
    MQTT.made[-1].acknowledge = True
    bench.turn(30000)
    bench.agent._config._record.save = save
    bench.turn(60000)
    bench.start()
    assert bench.turn().settings["keepalive"] == 30


def test_what_apply_changes_itself_is_told_once():
    bench = Bench()
    bench.agent._config._apply = lambda values: bench.agent.change_config(interval=values["interval"] // 10 * 10)
    client = bench.turn()
    client.deliver("config", {"version": 1, "interval": 37, "label": "x"})
    bench.turn()
    assert client.sent("config/update") == [{"version": 1, "interval": 30, "label": "x"}]
    client.deliver("config", {"version": 2, "interval": 30, "label": "x"})
    bench.turn()
    client.deliver("config", {"version": 3, "interval": 40})
    bench.turn()
    assert client.sent("config/update")[1:] == [{"version": 2, "interval": 30, "label": "x"}, {"version": 3, "interval": 40}]


def test_what_was_changed_while_the_link_was_down_does_not_make_the_cloud_undo_what_comes_after():
    bench = Bench()
    for interval in (10, 20, 30, 40, 50):
        bench.agent.change_config(interval=interval)
    client = bench.turn()
    bench.agent.change_config(interval=60)
    # the first that it was told, as the cloud took it
    client.deliver("config", {"version": 1, "interval": 50})
    bench.turn()
    assert client.sent("config/update")[-1] == {"version": 1, "interval": 60}
    # at the start
    assert bench.configured == [{"interval": 50}]
