# The agent over MQTT, against a cloud that the test plays (seed 001).
import sys
from binascii import b2a_base64

import product_bench
import rsa_vectors
import scratch
from cloud_fakes import CREDENTIALS, HTTP, ID, KEY, MQTT, Reply
from mqtt_bench import Bench
from redpoll import log, port
from redpoll.net import mqtt5
from redpoll.net.mqtt import MQTTException

# the cloud played here shares the heap with the agent
HEAP = "256K"
OTHER = "d-2"


def test_the_first_start_registers_connects_and_subscribes():
    bench = Bench(registered=False)
    client = bench.turn()
    assert HTTP.requests == [("POST", "/v1/devices", {"sn": "A1", "mac": "A1", "hardware_key": "hk", "firmware_version": "1.0.0"})]
    assert client.client_id == ID
    assert client.settings["user"] == ID and client.settings["password"] == KEY and client.settings["protocol"] == 5
    prefix = "v1/device/%s/" % ID
    names = [topic[len(prefix) :] for topic, qos in client.subscribed]
    assert sorted(names) == ["commands", "config", "firmware", "license", "space_info"]


def test_a_later_start_uses_what_the_first_one_stored():
    bench = Bench(registered=False)
    bench.turn()
    HTTP.requests = []
    bench.start()
    assert bench.turn().open
    assert HTTP.requests == []


def test_every_publish_carries_the_credentials():
    bench = Bench()
    client = bench.turn()
    client.deliver("commands", {"id": "c1", "name": "count"}, "v1/device/%s/commands/update" % ID, b"c1")
    bench.turn()
    plain = mqtt5.encode([(mqtt5.USER_PROPERTY, ("device_id", ID)), (mqtt5.USER_PROPERTY, ("access_key", KEY))])
    assert len(client.published) >= 4
    for _, _, properties in client.published:
        encoded = bytes(properties if isinstance(properties, (bytes, bytearray)) else mqtt5.encode(properties))
        assert bytes(plain)[1:] in encoded  # without the length of the whole block


def test_telemetry_goes_out_at_once_with_override_and_then_by_its_interval():
    bench = Bench()
    client = bench.turn()
    first = client.sent("telemetry")
    assert len(first) == 1
    assert first[0]["override"] is True and first[0]["status"] == "online" and first[0]["telemetries"]["fan_speed"] == 100.5
    assert "timestamp" not in first[0]
    bench.turn(29000)
    assert len(client.sent("telemetry")) == 1
    bench.turn(1000)
    assert client.sent("telemetry")[1] == {"status": "online", "telemetries": {"fan_speed": 100.5}}


def test_readings_are_stamped_once_the_time_is_known():
    bench = Bench()
    client = bench.turn()
    bench.agent.clock.set(1628063145122)
    bench.turn(30000)
    assert client.sent("telemetry")[1]["timestamp"] == "2021-08-04T07:46:15.122Z"


def test_a_snapshot_is_asked_for_after_each_connect_and_at_its_interval():
    bench = Bench(snapshot_every=600)
    client = bench.turn()
    assert len(client.sent("get")) == 1
    client.deliver("space_info", {"name": "hall"})
    bench.turn(599000)
    assert len(client.sent("get")) == 1
    bench.turn(1000)
    assert len(client.sent("get")) == 2
    client.deliver("space_info", {"name": "hall"})
    client.broken = OSError(104)
    bench.turn()
    again = bench.turn(300000)
    assert again is not client and len(again.sent("get")) == 1


def test_what_the_cloud_did_not_acknowledge_is_sent_again_over_the_next_link():
    bench = Bench()
    client = bench.turn()
    client.acknowledge = False
    bench.turn(30000)
    assert len(client.sent("telemetry")) == 2
    client.broken = OSError(104)
    bench.turn()
    again = bench.turn(300000)
    assert again.sent("telemetry")[0] == client.sent("telemetry")[1]
    assert len(bench.agent.spool) == 0


def test_a_configuration_is_applied_and_confirmed_on_the_response_topic():
    bench = Bench()
    client = bench.turn()
    client.deliver("config", {"version": 3, "interval": 10, "last_updated": "x"}, "v1/device/%s/config/answers" % ID, b"c-3")
    bench.turn()
    assert bench.configured == [{"interval": 10}]
    assert client.sent("config/answers") == [{"version": 3, "interval": 10}]
    properties = [p for topic, _, p in client.published if topic.endswith("config/answers")][0]
    assert mqtt5.get(properties, mqtt5.CORRELATION_DATA) == b"c-3"


def test_without_a_response_topic_the_seeds_topics_are_used():
    bench = Bench()
    client = bench.turn()
    client.deliver("config", {"name": "n", "version": "4", "config": {"interval": 20}, "device_id": ID, "last_updated": "x"})
    client.deliver("commands", {"id": "c1", "name": "count", "status": "pending", "parameters": {"step": 2}})
    bench.turn()
    assert bench.configured == [{"interval": 20}]
    assert client.sent("config/update") == [{"version": 4, "interval": 20}]
    assert client.sent("commands/update") == [
        {"id": "c1", "status": "in_progress", "message": ""},
        {"id": "c1", "status": "done", "message": "counted"},
    ]
    assert bench.counted == 2


def test_a_response_topic_of_somebody_else_does_not_get_our_key():
    bench = Bench()
    client = bench.turn()
    for topic in ("attacker/inbox", "v1/device/other/commands/update", "v1/device/%s/+/x" % ID):
        client.deliver("commands", {"id": topic, "name": "count"}, topic, b"x")
    bench.turn()
    assert bench.counted == 3
    assert all(topic.startswith("v1/device/%s/" % ID) and "+" not in topic for topic, _, _ in client.published)
    assert len(client.sent("commands/update")) == 6


def test_a_refused_configuration_is_told_with_its_reason_and_what_is_in_force():
    bench = Bench()
    client = bench.turn()
    client.deliver("config", {"version": 1, "interval": 60})
    client.deliver("config", {"version": 2, "interval": 1})
    bench.turn()
    bench.turn(30000)
    assert client.sent("config/update")[-1] == {"version": 2, "interval": 60}
    assert "config 2 refused: interval must be" in client.sent("telemetry")[-1]["message"]


def test_a_command_is_answered_once_however_often_it_comes():
    bench = Bench()
    client = bench.turn()
    for _ in range(3):
        client.deliver("commands", {"id": "c1", "name": "count"})
        bench.turn()
    assert bench.counted == 1
    assert [m["status"] for m in client.sent("commands/update")] == ["in_progress", "done", "done", "done"]


def test_broken_messages_are_left_alone_and_the_link_stays_up():
    bench = Bench()
    client = bench.turn()
    deep = b'{"version": 1, "a": ' + b"[" * 20 + b"]" * 20 + b"}"
    large = b'{"version": 1, "a": "' + b"x" * 9000 + b'"}'
    for payload in (b"", b"{", b"nope", b"[]", b"5", b'"x"', b"null", b"\xff\xfe", deep, large, b"[" * 3000):
        for name in ("config", "commands", "license", "space_info", "firmware"):
            client.deliver(name, payload)
    for message in ({}, {"version": "x"}, {"version": None}, {"version": -1}, {"version": 1.5}, {"version": True}, {"version": [1]}):
        client.deliver("config", message)
    for message in ({}, {"id": 5, "name": "count"}, {"id": "", "name": "count"}, {"id": "x" * 65, "name": "count"}, {"id": "c", "name": 5}):
        client.deliver("commands", message)
    for message in ({"id": 5}, [5], [{}, {"id": None}]):
        client.deliver("license", message)
    for message in ({"latest_fw_version": 5}, {"latest_fw_version": "x.y"}, {"latest_fw_version": "9" * 100}):
        client.deliver("firmware", message)
    bench.turn()
    assert client.open and bench.turn() is client
    assert bench.configured == [] and bench.counted == 0
    assert client.sent("config/update") == [] and client.sent("commands/update") == []


def test_parameters_of_the_wrong_type_are_answered_as_an_error():
    bench = Bench()
    client = bench.turn()
    client.deliver("commands", {"id": "c1", "name": "count", "parameters": ["x"]})
    client.deliver("commands", {"id": "c2", "name": "nothing"})
    bench.turn()
    assert [(m["id"], m["status"]) for m in client.sent("commands/update")[1::2]] == [("c1", "error"), ("c2", "error")]


def test_without_a_key_a_licence_is_answered_with_what_is_missing():
    bench = Bench()
    client = bench.turn()
    client.deliver("license", {"id": "l1", "add": True, "update": False, "remove": False, "data": "x", "signature": "y"})
    bench.turn()
    (told,) = client.sent("license/update")
    assert (told["id"], told["state"]) == ("l1", "error")
    assert "license_key" in told["error"]


def test_a_signed_licence_is_in_use_until_it_is_removed_object_or_list():
    bench = Bench(license_key=rsa_vectors.SPKI_2048)
    client = bench.turn()
    signature = b2a_base64(rsa_vectors.sign(b"seat 1")).decode().strip()
    client.deliver("license", {"id": "l1", "add": True, "update": False, "remove": False, "data": "seat 1", "signature": signature})
    client.deliver("license", [{"id": "l2", "add": True, "data": "seat 2", "signature": signature}, {}])
    bench.turn()
    assert bench.agent.licenses.valid("l1") and not bench.agent.licenses.valid("l2")
    bench.start()
    client.deliver("license", {})
    assert bench.agent.licenses.valid("l1")
    client = bench.turn()
    client.deliver("license", [{"id": "l1", "action": "remove"}])
    bench.turn()
    assert not bench.agent.licenses.valid("l1")
    states = [(m["id"], m["state"]) for made in MQTT.made for m in made.sent("license/update")]
    assert states == [("l1", "inuse"), ("l2", "error"), ("l1", "removed")]


def test_space_information_reaches_the_product():
    bench = Bench()
    heard = []
    bench.agent.on("space")(heard.append)
    client = bench.turn()
    client.deliver("space_info", {"name": "Interactive Class", "maintenance": False})
    client.deliver("space_info", {"name": "Interactive Class", "maintenance": False})
    bench.turn()
    assert heard == [{"name": "Interactive Class", "maintenance": False}]
    assert bench.agent.space["name"] == "Interactive Class"


def test_a_higher_firmware_version_is_told_once():
    bench = Bench()
    heard = []

    @bench.agent.on("firmware")
    def told(version, file_id):
        heard.append((version, file_id))

    client = bench.turn()
    for latest in ("0.9.9", "1.0.0", "1.0.8", "1.0.8", "1.0.10", None):
        client.deliver("firmware", {"latest_fw_version": latest, "latest_fw_file_id": "f-1"})
    bench.turn()
    assert heard == [("1.0.8", "f-1"), ("1.0.10", "f-1")]


def test_a_person_may_choose_the_version_that_a_listener_has_heard_of():
    bench = Bench()
    bench.agent.on("firmware")(bench.agent.update)
    client = bench.turn()
    client.deliver("firmware", {"latest_fw_version": "1.0.8", "latest_fw_file_id": "f-1"})
    bench.turn()
    assert any(["update to 1.0.8, as it was chosen" in line for line in log.lines()])


def test_a_new_version_of_the_firmware_is_told_after_connecting_and_only_once():
    bench = Bench()
    bench.agent.settings.store(dict(CREDENTIALS, version="0.9.0"))
    client = bench.turn()
    assert client.sent("update") == [{"firmware_version": "1.0.0"}]
    bench.start()
    assert bench.turn().sent("update") == []


def test_the_product_can_change_device_and_cloud_settings_and_refresh():
    bench = Bench()
    assert bench.agent.refresh() is False
    client = bench.turn()
    assert bench.agent.update_device(name="hall 3")
    assert bench.agent.cloud_setting("incidents.suspend_creation", True)
    assert bench.agent.refresh()
    assert client.sent("update") == [{"name": "hall 3"}]
    assert client.sent("cloud_settings/update") == [{"property": "incidents.suspend_creation", "value": True}]
    assert len(client.sent("get")) == 2


def test_a_silent_cloud_is_asked_over_https_and_401_registers_again():
    bench = Bench(snapshot_every=60)
    MQTT.silent = True
    bench.turn()
    bench.device_known = 401
    HTTP.requests = []
    bench.turn(30000)
    client = bench.turn(1000)
    assert [r[:2] for r in HTTP.requests] == [("GET", "/v1/devices/" + ID), ("POST", "/v1/devices")]
    assert client.open and client.sent("telemetry")


def test_a_silent_cloud_that_still_knows_the_device_is_left_in_peace():
    bench = Bench(snapshot_every=60)
    MQTT.silent = True
    bench.turn()
    HTTP.requests = []
    client = bench.turn(30000)
    assert [r[:2] for r in HTTP.requests] == [("GET", "/v1/devices/" + ID)]
    for _ in range(10):
        assert bench.turn(60000) is client
    assert len(HTTP.requests) == 1


def test_a_broker_that_refuses_the_password_is_looked_into_over_https():
    bench = Bench()
    error = MQTTException("refused")
    error.code = 0x87
    MQTT.refuse = error
    bench.device_known = 401
    bench.turn()
    assert HTTP.requests == []
    bench.turn(300000)
    bench.turn(300000)
    assert [r[:2] for r in HTTP.requests] == [("GET", "/v1/devices/" + ID), ("POST", "/v1/devices")]


def test_a_refused_registration_waits_fifteen_minutes():
    for status in (404, 422):
        bench = Bench(registered=False, entry="http://entry-%d.example" % status)
        bench.registration = Reply(status, {"error": "this device is already registered"})
        bench.turn()
        bench.turn(899000)
        assert len(HTTP.requests) == 1
        bench.registration = Reply(201, CREDENTIALS)
        assert bench.turn(2000).open


def test_any_other_failure_of_registration_backs_off_from_a_second():
    others = [Reply(503), OSError(111), Reply(201, b"nope"), Reply(201, {"id": "x"}), Reply(400)]
    for reply in [Reply(404, b"<html>"), Reply(500, b"<html>")] + others:
        bench = Bench(registered=False)
        bench.registration = reply
        bench.turn()
        assert len(HTTP.requests) == 1
        bench.turn(1001)
        assert len(HTTP.requests) == 2


def test_the_key_never_reaches_the_log():
    bench = Bench(registered=False)
    bench.registration = Reply(201, CREDENTIALS)
    client = bench.turn()
    client.broken = OSError("refused " + KEY)
    bench.turn()
    assert any("refused ***" in line for line in log.lines())
    assert not any(KEY in line for line in log.lines())


def test_a_full_flash_does_not_end_the_loop():
    bench = Bench()
    client = bench.turn()
    bench.agent._config._record.save = scratch.full
    client.deliver("config", {"version": 1, "interval": 60})
    bench.turn()
    bench.turn(300000)
    assert MQTT.made[-1].open


def test_a_registration_that_the_full_flash_does_not_take_is_used_until_the_restart():
    bench = Bench(registered=False)
    bench.agent.settings._record.save = scratch.full
    assert bench.turn().open
    assert any("is not saved: OSError: 28" in line for line in log.lines())
    bench.start()
    assert bench.agent.settings.credentials is None


def test_what_was_too_large_to_take_is_counted_over_all_sessions():
    bench = Bench()
    bench.turn().dropped = 2
    MQTT.made[-1].broken = OSError(104)
    bench.turn()
    bench.turn(300000).dropped = 1
    bench.turn(60000)
    assert MQTT.made[-1].sent("telemetry")[-1]["telemetries"]["inbound_dropped"] == 3


def test_health_is_told_every_minute():
    bench = Bench()
    client = bench.turn()
    bench.turn(30000)
    bench.turn(30000)
    assert client.sent("telemetry")[-1]["telemetries"]["spool_dropped"] == 0


def test_readings_that_were_left_out_are_told_every_minute():
    bench = Bench()

    def sensor():
        return {"voltage": float("nan")}

    bench.agent.sensor(every=60)(sensor)
    client = bench.turn()
    bench.turn(60000)
    assert client.sent("telemetry")[-1]["telemetries"]["readings_refused"] >= 1


def test_the_product_changes_its_configuration_and_the_cloud_gives_it_a_version():
    bench = Bench()
    client = bench.turn()
    client.deliver("config", {"version": 4, "interval": 60})
    bench.turn()
    bench.agent.change_config(interval=90)
    assert client.sent("config/update")[-1] == {"version": 4, "interval": 90}
    client.deliver("config", {"version": 5, "interval": 90})
    bench.turn()
    assert bench.agent.config_version() == 5
    assert len(bench.configured) == 1
    assert scratch.text_of(ValueError, lambda: bench.agent.change_config(interval=1))


def test_a_change_made_while_the_link_was_down_is_told_when_it_is_up():
    bench = Bench()
    bench.agent.change_config(interval=90)
    bench.start()
    assert bench.turn().sent("config/update") == [{"version": 0, "interval": 90}]


def test_a_reboot_is_reported_after_the_restart():
    bench = Bench()
    client = bench.turn()
    client.deliver("commands", {"id": "c1", "name": "reboot"})
    bench.turn()
    scratch.text_of(SystemExit, bench.turn, 1000)
    bench.start()
    client = bench.turn()
    assert client.sent("commands/update") == [{"id": "c1", "status": "done", "message": "restarted"}]
    client.deliver("commands", {"id": "c1", "name": "reboot", "status": "in_progress"})
    bench.turn(5000)
    assert client.sent("commands/update")[-1]["status"] == "done"


def test_a_dump_uploads_the_log_over_https():
    bench = Bench()
    client = bench.turn()
    client.deliver("commands", {"id": "c1", "name": "dump"})
    bench.turn()
    assert HTTP.requests[-1][:2] == ("POST", "/v1/devices/%s/dumps/text%%2Fplain/agent.log" % ID)
    assert client.sent("commands/update")[-1] == {"id": "c1", "status": "done", "message": "uploaded"}


def test_a_dump_that_cannot_be_uploaded_is_an_error():
    bench = Bench()
    client = bench.turn()
    bench.device_known = 413
    client.deliver("commands", {"id": "c1", "name": "dump"})
    bench.turn()
    assert client.sent("commands/update")[-1]["status"] == "error"


def test_a_confirmation_that_was_lost_is_given_again_in_the_next_session_and_once():
    bench = Bench()
    client = bench.turn()
    client.deliver("config", {"version": 3, "interval": 60})
    bench.turn()
    bench.start()
    client = bench.turn()
    for _ in range(3):
        client.deliver("config", {"version": 3, "interval": 60})
        bench.turn()
    assert client.sent("config/update") == [{"version": 3, "interval": 60}]


def confirmed(bench, client):
    # how often the configuration is confirmed when the cloud says it once more, and once more after that
    client.published = []
    for _ in range(2):
        bench.turn(60000)
        client.deliver("config", {"version": 3, "interval": 60})
        bench.turn()
        assert client.open
    return len(client.sent("config/update"))


def test_a_confirmation_that_the_broker_refuses_for_a_reason_that_may_pass_is_given_again_and_no_other():
    for topic in (None, "v1/device/%s/config/answers" % ID):
        for reason, times in ((0x97, 1), (0x99, 0), (0, 0)):
            bench = Bench()
            client = bench.turn()
            client.reasons = [reason]
            client.deliver("config", {"version": 3, "interval": 60}, topic)
            bench.turn()
            assert confirmed(bench, client) == times, (topic, reason)


def test_a_confirmation_for_which_there_was_no_room_is_given_again():
    bench = Bench()
    client = bench.turn()
    client.free = 0
    for number in range(16):
        client.deliver("commands", {"id": "c%d" % number, "name": "count"})
        bench.turn()
    client.deliver("config", {"version": 3, "interval": 60})
    bench.turn()
    client.free = 8
    bench.turn()
    assert client.sent("config/update") == []
    assert confirmed(bench, client) == 1


def test_other_values_under_the_version_in_force_are_answered_with_those_in_force():
    bench = Bench()
    client = bench.turn()
    client.deliver("config", {"version": 1, "interval": 60})
    client.deliver("config", {"version": 2, "interval": 1})
    bench.turn()
    client.published = []
    # as when the refusal did not arrive
    bench.turn(60000)
    client.deliver("config", {"version": 2, "interval": 1})
    bench.turn()
    assert client.sent("config/update") == [{"version": 2, "interval": 60}]
    assert bench.configured == [{"interval": 60}]


def test_a_cloud_that_keeps_to_its_own_values_is_not_contradicted_without_end():
    bench = Bench()
    client = bench.turn()
    for _ in range(10):
        client.deliver("config", {"version": 2, "interval": 1})
        bench.turn()
    assert client.sent("config/update") == [{"version": 2}]


def test_what_the_broker_refuses_for_a_reason_that_may_pass_is_sent_again():
    bench = Bench()
    client = bench.turn()
    client.reasons = [0x97]
    bench.turn(30000)
    assert not client.open and len(bench.agent.spool) == 1
    again = bench.turn(300000)
    assert again is not client and again.sent("telemetry")[0] == client.sent("telemetry")[1]
    assert len(bench.agent.spool) == 0


def test_what_the_broker_refuses_for_what_it_is_is_not_sent_for_ever():
    for reason in (0x90, 0x95, 0x99):
        bench = Bench()
        client = bench.turn()
        client.reasons = [reason]
        bench.turn(30000)
        assert client.open and len(bench.agent.spool) == 0
        assert len(bench.turn(30000).sent("telemetry")) == 3


def test_a_message_that_is_too_large_for_the_broker_does_not_break_the_link():
    bench = Bench()
    client = bench.turn()
    client.too_large = 60
    bench.turn(30000)
    client.deliver("commands", {"id": "c1", "name": "none", "parameters": {}})
    bench.turn()
    assert client.open and bench.turn() is client
    assert len(bench.agent.spool) == 0
    assert any("more than the broker takes" in line for line in log.lines())


def test_a_version_counts_as_told_once_the_broker_has_it():
    bench = Bench()
    bench.agent.settings.store(dict(CREDENTIALS, version="0.9.0"))
    MQTT.acknowledges = False
    bench.turn()
    MQTT.acknowledges = True
    bench.start()
    assert bench.turn().sent("update") == [{"firmware_version": "1.0.0"}]
    bench.start()
    assert bench.turn().sent("update") == []


def test_another_registration_begins_with_the_versions_of_its_own():
    bench = Bench()
    client = bench.turn()
    client.deliver("config", {"version": 7, "interval": 60})
    bench.turn()
    bench.agent.settings.store(dict(CREDENTIALS, id=OTHER, version="1.0.0"))
    bench.start()
    client = bench.turn()
    told = [message for topic, message, _ in client.published if topic.endswith("config/update")]
    assert told == [{"version": 0, "interval": 60}]
    client.deliver_to(OTHER, "config", {"version": 1, "interval": 90})
    bench.turn()
    assert bench.agent.config_version() == 1 and bench.configured[-1] == {"interval": 90}


def test_another_registration_gets_all_that_is_known():
    bench = Bench()
    bench.turn()
    bench.registration = Reply(201, dict(CREDENTIALS, id=OTHER))
    bench.agent.on_revoked()
    bench.turn(60000)
    client = bench.turn(60000)
    assert client.client_id == OTHER
    whole = [m for m in client.sent("telemetry", OTHER) if m.get("override")]
    assert len(whole) == 1 and whole[0]["telemetries"]["fan_speed"] == 100.5 and "starts" in whole[0]["telemetries"]


def test_a_subscription_that_is_refused_takes_nothing_from_the_others():
    bench = Bench()
    MQTT.refuse_subscription = MQTTException(0x87)
    client = bench.turn()
    assert client.open and client.sent("telemetry")


def test_the_watchdog_is_fed_between_all_that_may_wait():
    bench = Bench()
    fed = []
    real = bench.agent.feed
    bench.agent.feed = lambda: fed.append(len(MQTT.made) and MQTT.made[-1].steps) or real()
    bench.turn()
    # connected, subscribed and asked for the snapshot
    for steps in (1, 2, 3):
        assert steps in fed, fed


def test_links_that_break_soon_are_opened_less_and_less_often():
    bench = Bench()
    for _ in range(60):
        client = bench.turn(1000)
        if client:
            client.broken = OSError(104)
    assert 2 <= len(MQTT.made) <= 20
    bench.turn()
    bench.turn(300000)
    bench.turn(61000)
    made = len(MQTT.made)
    MQTT.made[-1].broken = OSError(104)
    bench.turn()
    bench.turn(1001)
    assert len(MQTT.made) == made + 1


def test_a_long_correlation_or_identifier_is_not_kept():
    bench = Bench()
    client = bench.turn()
    client.deliver("commands", {"id": "c1", "name": "count"}, "v1/device/%s/x" % ID, b"x" * 129)
    client.deliver("config", {"version": "9" * 65, "interval": 60}, "v1/device/%s/x" % ID, b"x")
    bench.turn()
    assert client.sent("x") == [] and len(client.sent("commands/update")) == 2


def test_the_first_message_of_an_earlier_start_overrides_nothing():
    bench = Bench(spool_hold=0)
    MQTT.refuse = OSError(113)
    bench.turn()
    bench.start()
    MQTT.refuse = None
    client = bench.turn()
    client = bench.turn(1000)
    late, live = sorted(client.sent("telemetry"), key=lambda message: "override" in message)[:2]
    assert "taken before a restart" in late["message"] and "override" not in late
    assert live["override"] is True


def test_what_is_declared_wrongly_is_told_at_once():
    agent = Bench().agent
    for wrong in (lambda: agent.sensor(len), lambda: agent.command(len), lambda: agent.config(len)):
        assert "no parentheses: write @agent." in scratch.text_of(TypeError, wrong)
    for field in (bool, int, (int, 5), (int, 9, 5), (dict, 1, 2), (), (int, "a", "b")):
        assert "on=(int, low, high)" in scratch.text_of(ValueError, lambda: agent.command("x", on=field)(len))  # noqa: B023


def test_a_cloud_that_gives_every_answer_another_version_is_not_answered_at_its_speed():
    for values in (None, {"interval": 1}):
        bench = Bench()
        client = bench.turn()
        client.deliver("config", {"version": 1, "interval": 60})
        version = 1
        for _ in range(50):
            bench.turn(100)
            version += 1
            client.deliver("config", dict(values or {"interval": 60}, version=version))
        bench.turn()
        assert len(client.sent("config/update")) <= 10
        bench.turn(60000)
        assert client.sent("config/update")[-1]["version"] == version


def test_answers_that_find_the_window_full_wait_for_room_and_not_inside_publish():
    bench = Bench()
    client = bench.turn()
    client.free = 0
    for number in range(3):
        client.deliver("commands", {"id": "c%d" % number, "name": "count"})
    published = len(client.published)
    bench.turn(30000)
    assert len(client.published) == published
    client.free = 8
    bench.turn()
    assert [m["status"] for m in client.sent("commands/update")] == ["in_progress", "done"] * 3


def test_connections_receive_into_one_buffer_that_outlives_them():
    bench = Bench()
    first = bench.turn()
    first.broken = OSError(104)
    bench.turn()
    second = bench.turn(300000)
    assert second is not first and second.settings["max_packet"] is first.settings["max_packet"]
    assert len(second.settings["max_packet"]) == 8192


def test_what_only_registering_needs_gives_its_memory_back_and_is_loaded_again_when_it_is_wanted():
    bench = Bench()
    port.unload = product_bench.port_unload
    try:
        bench.turn()
    finally:
        port.unload = lambda *names: None
    assert bench.agent.connected()
    assert "redpoll.cloud.registration" not in sys.modules and "redpoll.net.http" not in sys.modules
    from redpoll.cloud import https, registration

    assert "redpoll.net.http" in sys.modules
    # nobody listens there
    bench.agent.settings.credentials["hub_url"] = "http://127.0.0.1:1"
    scratch.text_of(OSError, registration.Check, bench.agent.settings)
    https.HTTPClient = HTTP
