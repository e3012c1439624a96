# The agent over HTTPS polling, against a cloud that the test plays (seed 000).
from cloud_fakes import CREDENTIALS, HTTP, ID, Reply
from http_bench import BASE, QUIET, Bench
from redpoll import log
from redpoll.commands import LATER
from redpoll.net.http import HTTPError

# the cloud played here shares the heap with the agent
HEAP = "256K"


def test_telemetry_is_posted_at_its_interval_the_first_with_override():
    bench = Bench()
    bench.turn()
    bench.turn(30000)
    first, second = bench.made("POST", "/telemetry")
    assert first["override"] is True and first["telemetries"]["fan_speed"] == 100.5
    assert second == {"status": "online", "telemetries": {"fan_speed": 100.5}}
    assert len(HTTP.requests) == 3 and len(bench.made("GET", "/command")) == 1


def test_a_higher_config_version_is_fetched_applied_and_confirmed():
    bench = Bench()
    bench.reply["config_version"] = 10
    bench.answers[("GET", "/config")] = Reply(200, {"name": "n", "version": 10, "config": {"interval": 10}, "device_id": ID})
    bench.turn()
    assert bench.configured == [{"interval": 10}]
    assert bench.made("POST", "/config") == [{"version": 10, "interval": 10}]
    bench.turn(30000)
    assert len(bench.made("GET", "/config")) == 1


def test_a_configuration_is_confirmed_with_the_time_where_that_is_known():
    bench = Bench()
    bench.agent.clock.set(1628063145122)
    bench.reply["config_version"] = 10
    bench.answers[("GET", "/config")] = Reply(200, {"version": 10, "config": {"interval": 10}})
    bench.turn()
    assert bench.made("POST", "/config") == [{"version": 10, "interval": 10, "last_updated": "2021-08-04T07:45:45.122Z"}]


def test_a_pending_command_is_fetched_run_and_the_next_one_looked_for():
    bench = Bench()
    bench.reply["command"] = True
    bench.answers[("GET", "/command")] = [
        Reply(200, {"id": "c1", "status": "pending", "name": "count", "parameters": {"step": 2}}),
        Reply(200, {"id": "c2", "status": "pending", "name": "nothing", "parameters": {}}),
        Reply(404, {"error": "no command"}),
    ]
    bench.turn()
    bench.turn()
    assert bench.counted == 2
    told = [(m["id"], m["status"]) for m in bench.made("POST", "/command")]
    assert told == [("c1", "in_progress"), ("c1", "done"), ("c2", "in_progress"), ("c2", "failed")]


def test_a_command_that_stays_in_progress_in_the_cloud_is_answered_and_not_asked_for_without_end():
    bench = Bench()
    bench.reply["command"] = True
    command = {"id": "c1", "status": "pending", "name": "count", "parameters": {}}
    bench.answers[("GET", "/command")] = [Reply(200, command), Reply(200, dict(command, status="in_progress"))]
    for _ in range(5):
        bench.turn()
    assert bench.counted == 1
    assert len(bench.made("GET", "/command")) <= 2


def test_new_licences_are_fetched_and_answered():
    bench = Bench()
    bench.reply["new_licenses"] = True
    licenses = [{"id": "l1", "add": True, "data": "x", "signature": "y"}]
    # what has no id cannot be answered, and is passed over
    licenses += [{}, {"remove": True}, {"id": 5, "remove": True}, {"id": "", "remove": True}, "l1", None, {"id": "l2", "remove": True}]
    bench.answers[("GET", "/licenses")] = Reply(200, licenses)
    bench.turn()
    told = bench.made("POST", "/licenses")
    assert [(m["id"], m["state"]) for m in told] == [("l1", "error"), ("l2", "removed")]
    assert "license_key" in told[0]["error"] and "error" not in told[1]


def test_licences_that_are_too_many_to_be_taken_at_once_are_taken_one_by_one():
    for trouble, dropped in ((HTTPError("body of 8763 bytes, only 8192 are taken"), 1), (Reply(404, {"error": "no list"}), 0)):
        bench = Bench()
        bench.reply["new_licenses"] = True
        bench.answers[("GET", "/licenses")] = [trouble, Reply(200, [{"id": "l2", "remove": True}])]
        bench.answers[("GET", "/license")] = Reply(200, {"id": "l1", "action": "remove"})
        bench.turn()
        bench.turn(30000)
        assert [(m["id"], m["state"]) for m in bench.made("POST", "/licenses")] == [("l1", "removed"), ("l2", "removed")]
        assert len(bench.made("GET", "/license")) == 1
        assert bench.agent.heartbeat()["inbound_dropped"] == dropped


def test_space_information_is_fetched_when_its_version_grew():
    bench = Bench()
    heard = []
    bench.agent.on("space")(heard.append)
    bench.reply["space_data_version"] = 4
    bench.answers[("GET", "/space")] = Reply(200, {"name": "hall"})
    bench.turn()
    bench.turn(30000)
    assert heard == [{"name": "hall"}]
    assert len(bench.made("GET", "/space")) == 1
    assert bench.agent.space_version() == 4
    # and in each session, of which the cloud may be another
    bench.agent.on_link(None)
    bench.turn(30000)
    assert len(bench.made("GET", "/space")) == 2 and heard == [{"name": "hall"}]


def test_space_information_that_could_not_be_fetched_is_fetched_again():
    bench = Bench()
    bench.reply["space_data_version"] = 4
    bench.answers[("GET", "/space")] = [Reply(404, {"error": "x"}), Reply(200, {"name": "hall"})]
    bench.turn()
    bench.turn(30000)
    assert bench.agent.space == {"name": "hall"}


def test_a_higher_firmware_version_is_told_once():
    bench = Bench()
    heard = []

    @bench.agent.on("firmware")
    def told(version, file_id):
        heard.append((version, file_id))

    bench.reply["latest_fw_version"] = "1.3.4"
    bench.reply["latest_fw_file_id"] = "f"
    bench.turn()
    bench.turn(30000)
    # an id that is none is not handed on
    bench.reply.update(latest_fw_version="1.4.0", latest_fw_file_id=5)
    bench.turn(30000)
    assert heard == [("1.3.4", "f"), ("1.4.0", None)]


def test_401_drops_the_credentials_and_registers_again():
    bench = Bench()
    bench.answers[("POST", "/telemetry")] = [Reply(401, {"error": "Not authorized"}), Reply(200, QUIET)]
    bench.turn()
    bench.turn(1000)
    assert [r[1] for r in HTTP.requests] == [BASE + "/telemetry", "/v1/devices", BASE + "/telemetry", BASE + "/command"]
    assert bench.made("POST", "/telemetry")[1]["override"] is True
    assert len(bench.agent.spool) == 0


def test_nothing_that_waits_is_sent_once_the_cloud_has_removed_the_device():
    bench = Bench()
    bench.turn()
    bench.answers[("PUT", "")] = Reply(429, {"error": "once in five minutes"})
    bench.agent.update_device(name="hall 3")
    bench.turn()
    serve = HTTP.serve
    # what asks for the configuration waits for its answer until the five minutes are over
    HTTP.serve = lambda method, path, body: None if path.endswith("/config") else serve(method, path, body)
    bench.agent.refresh()
    bench.turn()
    bench.turn(300000)
    assert HTTP.requests[-1][1] == BASE + "/config"
    http = bench.agent.link.adapter._http
    del HTTP.requests[:]
    HTTP.serve = lambda method, path, body: Reply(401, {"error": "Not authorized"})
    bench.agent.poll()
    assert HTTP.requests == [] and http.closed and not bench.agent.settings.credentials


def test_a_cloud_that_registers_and_then_refuses_is_asked_less_and_less():
    bench = Bench()
    bench.answers[("POST", "/telemetry")] = Reply(401, {"error": "Not authorized"})
    for _ in range(60):
        bench.turn(1000)
    assert 2 <= len(bench.made("POST", "/telemetry")) <= 20


def test_what_says_nothing_of_the_message_costs_no_telemetry():
    portal = b"<html>Please log in</html>"
    for reply in (Reply(403, {"error": "no"}), Reply(404), Reply(302), Reply(200, portal), Reply(200, {"success": False}), Reply(200, b"")):
        bench = Bench()
        bench.answers[("POST", "/telemetry")] = reply
        bench.turn()
        assert bench.agent.settings.credentials
        assert len(bench.agent.spool) == 1
        del bench.answers[("POST", "/telemetry")]
        bench.turn(300000)
        assert len([body for body in bench.made("POST", "/telemetry") if "override" in body]) == 2
        assert len(bench.agent.spool) == 0


def test_what_the_cloud_cannot_answer_beside_telemetry_does_not_break_the_link():
    for reply in (Reply(500, b"<html>"), Reply(503), HTTPError("body larger than 8192 bytes"), Reply(403)):
        bench = Bench()
        bench.reply.update(config_version=2, command=True, new_licenses=True, space_data_version=3)
        for kind in ("config", "command", "licenses", "space"):
            bench.answers[("GET", "/" + kind)] = reply
        bench.turn()
        assert bench.agent.connected() and bench.agent.heartbeat()["link_failures"] == 0
        bench.turn(30000)
        assert len(bench.made("POST", "/telemetry")) == 2


def test_a_confirmation_that_the_cloud_could_not_take_is_given_again():
    bench = Bench()
    bench.reply["config_version"] = 1
    bench.answers[("GET", "/config")] = Reply(200, {"version": 1, "config": {"interval": 10}})
    bench.answers[("POST", "/config")] = [Reply(500), Reply(200, {"version": 1})]
    bench.turn()
    assert len(bench.made("POST", "/config")) == 1
    bench.turn(30000)
    bench.turn(30000)
    assert bench.made("POST", "/config")[1:] == [{"version": 1, "interval": 10}]


def test_a_confirmation_that_the_cloud_refuses_is_not_given_again_nor_for_another_request_that_fails():
    bench = Bench()
    bench.reply["config_version"] = 1
    bench.answers[("GET", "/config")] = Reply(200, {"version": 1, "config": {"interval": 10}})
    bench.answers[("POST", "/config")] = Reply(422, {"error": "no"})
    bench.answers[("PUT", "/cloud_settings")] = Reply(500)
    bench.turn()
    bench.agent.cloud_setting("x", 1)
    for _ in range(3):
        bench.turn(30000)
    assert len(bench.made("PUT", "/cloud_settings")) == 1
    assert bench.made("POST", "/config") == [{"version": 1, "interval": 10}]


def test_a_rate_limit_of_one_call_does_not_hold_up_telemetry():
    bench = Bench()
    bench.answers[("PUT", "")] = Reply(429, {"error": "once a minute"})
    bench.turn()
    bench.agent.update_device(name="hall 3")
    for _ in range(6):
        bench.turn(10000)
    assert len(bench.made("POST", "/telemetry")) == 3
    del bench.answers[("PUT", "")]
    bench.turn(300000)
    assert len(bench.made("PUT", "")) == 2


def test_a_call_that_is_limited_for_long_does_not_hold_up_telemetry_either():
    bench = Bench()
    bench.reply["command"] = True
    bench.answers[("GET", "/command")] = Reply(429, {"error": "slow down"})
    for _ in range(12):
        bench.turn(10000)
    # one may wait for the end of a pause
    assert len(bench.agent.spool) <= 1
    assert len(bench.made("POST", "/telemetry")) >= 4
    assert 10 <= len(bench.made("GET", "/command")) <= 12


def test_the_version_is_told_again_until_the_cloud_has_it():
    unusable = HTTPError("body of 9000 bytes, only 8192 are taken")
    unusable.head = Reply(200, b"")
    for trouble in (Reply(500), unusable):
        bench = Bench()
        bench.agent.settings.store(dict(CREDENTIALS, version="0.9.0"))
        bench.answers[("PUT", "")] = trouble
        bench.turn()
        bench.start()
        del bench.answers[("PUT", "")]
        bench.turn()
        bench.start()
        bench.turn()
        assert bench.made("PUT", "") == [{"firmware_version": "1.0.0"}] * 2
        # only where licences failed one is asked for
        assert bench.made("GET", "/license") == []


def test_telemetry_waits_while_there_is_no_room_for_a_request():
    bench = Bench()
    bench.answers[("POST", "/telemetry")] = [None]  # not yet
    bench.turn()
    for _ in range(20):
        bench.agent.cloud_setting("x", 1)
    bench.turn(30000)
    assert len(bench.agent.spool) == 2 and bench.agent.connected()


def test_a_message_that_the_cloud_refuses_is_not_sent_for_ever():
    bench = Bench()
    bench.answers[("POST", "/telemetry")] = [Reply(422, {"error": "Common telemetries.speed must be string"}), Reply(200, QUIET)]
    bench.turn()
    assert len(bench.agent.spool) == 0
    bench.turn(30000)
    assert len(bench.made("POST", "/telemetry")) == 2


def filtered(bench, refusal):
    # what stands before the cloud takes offence at a text
    serve = HTTP.serve
    HTTP.serve = lambda method, path, body: refusal if "drop table" in str(body) else serve(method, path, body)

    @bench.agent.sensor(every=30)
    def name():
        raise ValueError("drop table")


def test_a_message_that_something_before_the_cloud_refuses_each_time_holds_up_nothing():
    too_large = HTTPError("body of 9000 bytes, only 8192 are taken")
    too_large.head = Reply(403, b"")
    for refusal in (Reply(403, b"<html>Blocked</html>"), Reply(403, {"error": "no"}), Reply(406, b"Not acceptable"), too_large):
        bench = Bench()
        bench.turn()
        filtered(bench, refusal)
        numbers = keys_of(bench)
        bench.turn(30000)
        assert len(bench.agent.spool) == 1 and bench.made("POST", "/telemetry")[-1] == {"status": "error"}
        # the message comes on another connection
        assert bench.agent.link.adapter._http.closed
        bench.turn(10000)
        first, trial, again = bench.made("POST", "/telemetry")[1:]
        assert first == again
        assert numbers[0] == numbers[2] != numbers[1]
        assert len(bench.agent.spool) == 0 and bench.agent.connected()
        assert bench.agent.heartbeat()["spool_dropped"] == 1


def test_what_the_cloud_says_beside_a_refused_message_is_obeyed():
    bench = Bench()
    bench.turn()
    filtered(bench, Reply(403))
    bench.reply["command"] = True
    bench.answers[("GET", "/command")] = [Reply(200, {"id": "1", "name": "ping", "status": "pending"}), Reply(404)]
    bench.turn(30000)
    bench.turn(10000)
    assert bench.made("POST", "/command")[-1]["status"] == "done"


def test_a_message_is_given_up_only_by_what_happened_in_one_session():
    bodies = {200: QUIET, 422: {"error": "no"}}
    # the last: what is sent in between is refused, by the cloud itself too
    for answers in ([200, 200], [200, 502], [200, 429, 200], [200, 404], [200, 502, 403, 200, 200], [422]):
        bench = Bench()
        bench.turn()
        bench.answers[("POST", "/telemetry")] = [Reply(status, bodies.get(status, b"<html>")) for status in [403] + answers + [200]]
        for _ in range(7):
            bench.turn(15000)
        assert len(bench.agent.spool) == 0
        assert bench.agent.heartbeat()["spool_dropped"] == 0, answers


def test_429_pauses_ten_seconds_and_repeats_the_request():
    bench = Bench()
    bench.answers[("POST", "/telemetry")] = [Reply(429, {"error": "slow down"}), Reply(200, QUIET)]
    bench.turn()
    bench.turn(9000)
    assert len(bench.made("POST", "/telemetry")) == 1
    bench.turn(1000)
    assert len(bench.made("POST", "/telemetry")) == 2
    assert len(bench.agent.spool) == 0


def test_a_server_error_with_a_page_instead_of_json_is_retried_later_and_nothing_is_lost():
    bench = Bench()
    bench.answers[("POST", "/telemetry")] = [Reply(502, b"<html>Bad Gateway</html>"), Reply(200, QUIET)]
    bench.turn()
    assert len(bench.agent.spool) == 1
    bench.turn(1001)
    assert len(bench.agent.spool) == 0


def test_broken_replies_are_left_alone():
    deep = b"[" * 30 + b"]" * 30
    for body in (
        b"{}",
        b'{"config_version": "x", "command": 1, "space_data_version": null}',
        b'{"config_version": -1, "command": {}}',
        b'{"config_version": 2147483648, "space_data_version": "2147483648"}',
    ):
        bench = Bench()
        bench.answers[("POST", "/telemetry")] = Reply(200, body)
        bench.turn()
        assert len(bench.agent.spool) == 0
        assert [r[1] for r in HTTP.requests] == [BASE + "/telemetry", BASE + "/command"], HTTP.requests
    for body in (b"", b"{", b"[]", b"5", b"\xff\xfe", deep):
        bench = Bench()
        bench.answers[("POST", "/telemetry")] = Reply(200, body)
        bench.turn()
        assert len(bench.agent.spool) == 1
        assert len(HTTP.requests) == 1, HTTP.requests
    for body in (b"", b"{", b"[]", b"5", deep, b'{"version": {}}'):
        bench = Bench()
        bench.reply["config_version"] = 2
        bench.reply["command"] = True
        bench.answers[("GET", "/config")] = Reply(200, body)
        bench.answers[("GET", "/command")] = Reply(200, body)
        bench.turn()
        assert bench.configured == [] and bench.counted == 0
        assert bench.agent.connected()


def test_readings_taken_while_the_server_was_away_come_with_their_own_time():
    bench = Bench()
    bench.agent.clock.set(1628063145122)
    bench.answers[("POST", "/telemetry")] = OSError(111)
    bench.turn()
    bench.turn(30000)
    del bench.answers[("POST", "/telemetry")]
    HTTP.requests = []
    bench.turn(300000)
    stamps = [m["timestamp"] for m in bench.made("POST", "/telemetry")]
    assert stamps[:2] == ["2021-08-04T07:45:45.122Z", "2021-08-04T07:46:15.122Z"], stamps


def test_the_time_is_learned_from_the_server():
    bench = Bench()
    bench.answers[("POST", "/telemetry")] = Reply(200, QUIET, {"date": "Wed, 04 Aug 2021 07:45:44 GMT"})
    bench.turn()
    bench.turn(30000)
    assert bench.made("POST", "/telemetry")[1]["timestamp"] == "2021-08-04T07:46:14.000Z"


def test_a_date_that_cannot_be_is_not_learned():
    for date, learned in (
        ("Thu, 01 Jan 1970 00:07:44 GMT", False),
        ("Thu, 31 Dec 2020 23:59:59 GMT", False),
        ("Fri, 01 Jan 2021 00:00:00 GMT", True),
        ("Thu, 31 Dec 2099 23:59:59 GMT", True),
        ("Fri, 01 Jan 2100 00:00:00 GMT", False),
        ("Wed, 04 Aug 292277020 07:45:44 GMT", False),
        ("Wed, 04 Aug -99999 07:45:44 GMT", False),
    ):
        bench = Bench()
        bench.answers[("POST", "/telemetry")] = Reply(200, QUIET, {"date": date})
        bench.turn()
        assert bench.agent.clock.known() == learned, date


def test_refresh_fetches_all_that_the_cloud_holds():
    bench = Bench()
    bench.turn()
    HTTP.requests = []
    assert bench.agent.refresh()
    bench.turn()
    assert sorted(r[1][len(BASE) :] for r in HTTP.requests) == ["/command", "/config", "/licenses", "/space"]


def test_a_confirmation_that_was_lost_is_given_again_in_the_next_session_and_once():
    bench = Bench()
    bench.agent._config.offer(10, {"interval": 10})
    bench.reply["config_version"] = 10
    bench.turn()
    bench.turn(30000)
    assert bench.made("POST", "/config") == [{"version": 10, "interval": 10}]
    assert bench.made("GET", "/config") == []


def test_two_changes_of_the_product_in_a_row_both_reach_the_cloud():
    bench = Bench()
    bench.answers[("POST", "/config")] = [Reply(200, {"version": 1}), Reply(422, {"error": "older"}), Reply(200, {"version": 2})]
    bench.turn()
    bench.agent.change_config(interval=20)
    bench.agent.change_config(interval=30)
    bench.turn()
    assert bench.made("POST", "/config") == [{"version": 0, "interval": 20}, {"version": 0, "interval": 30}, {"version": 1, "interval": 30}]
    assert bench.agent.config_version() == 2 and not bench.agent._config.untold


def test_a_refusal_that_got_lost_is_told_in_the_next_session():
    bench = Bench()
    bench.reply["config_version"] = 1
    bench.answers[("GET", "/config")] = Reply(200, {"version": 1, "config": {"interval": 1}})
    bench.answers[("POST", "/config")] = [OSError(104), Reply(200, {"version": 2})]
    bench.turn()
    bench.turn(300000)
    assert bench.made("POST", "/config") == [{"version": 1}, {"version": 1}]
    assert bench.agent.config_version() == 2


def test_a_page_is_not_the_clouds_word_whatever_its_status():
    page = b"<html>The plain HTTP request was sent to HTTPS port</html>"
    for status in (400, 401, 413, 422):
        bench = Bench()
        bench.answers[("POST", "/telemetry")] = Reply(status, page)
        bench.turn()
        assert bench.agent.settings.credentials and len(bench.agent.spool) == 1, status


def test_a_reading_that_the_cloud_refused_is_counted():
    bench = Bench()
    bench.answers[("POST", "/telemetry")] = Reply(422, {"error": "no"})
    bench.turn()
    assert bench.agent.heartbeat()["spool_dropped"] == 1


def test_two_commands_handed_out_in_turn_are_not_asked_for_without_end():
    bench = Bench()
    bench.reply["command"] = True
    commands = [Reply(200, {"id": name, "status": "pending", "name": "count", "parameters": {}}) for name in ("a", "b") * 30]
    bench.answers[("GET", "/command")] = commands
    for _ in range(5):
        bench.turn()
    assert bench.counted == 2
    assert len(bench.made("GET", "/command")) <= 4


def test_a_change_that_found_no_room_is_told_later_and_one_that_was_told_is_not_told_again():
    bench = Bench()
    bench.turn()
    bench.agent.change_config(interval=80)
    bench.turn()
    for change in ({}, {"interval": 90}):
        for number in range(20):
            bench.agent.cloud_setting("x", number)
        if change:
            bench.agent.change_config(**change)
        for _ in range(4):
            bench.turn(30000)
        assert [m["interval"] for m in bench.made("POST", "/config")] == ([80, 90] if change else [80])
    # sixteen wait, and what is more is lost
    assert [m["value"] for m in bench.made("PUT", "/cloud_settings")] == list(range(16)) * 2


def test_a_command_that_takes_longer_is_followed_by_the_next_and_told_once_when_it_ends_before_an_answer():
    bench = Bench()
    bench.agent.command("long")(lambda: LATER)
    bench.reply["command"] = True
    bench.answers[("GET", "/command")] = [Reply(200, {"id": "c1", "name": "long"}), Reply(404, {"error": "no command"})]
    bench.turn()
    bench.reply["command"] = False
    asked = len(bench.made("GET", "/command"))
    bench.agent.cloud_setting("x", 1)
    bench.turn()
    assert len(bench.made("GET", "/command")) == asked
    bench.answers[("POST", "/telemetry")] = [None]  # not yet
    bench.turn(30000)
    bench.agent.commands.finish("done", "at last")
    del bench.answers[("POST", "/telemetry")]
    bench.turn()
    assert [m["status"] for m in bench.made("POST", "/command")] == ["in_progress", "done"]
    assert len(bench.made("GET", "/command")) == asked + 1


def test_a_sign_in_page_is_not_taken_for_an_upload_or_a_registration():
    page = Reply(200, b"<html>Please log in</html>")
    bench = Bench()
    bench.reply["command"] = True
    bench.answers[("GET", "/command")] = [Reply(200, {"id": "c1", "name": "dump"}), Reply(404, {"error": "no command"})]
    bench.answers[("POST", "/dumps/text%2Fplain/agent.log")] = page
    bench.turn()
    last = bench.made("POST", "/command")[-1]
    assert last["status"] == "failed" and "sign-in page" in last["message"]
    HTTP.serve = lambda method, path, body: page
    bench.agent.settings.forget()
    bench.agent.link.restart()
    bench.turn()
    assert "sign-in page" in bench.agent.link.trouble


def test_a_handler_may_have_the_loop_go_on_while_more_is_to_be_fetched():
    bench = Bench()
    space = []

    @bench.agent.on("space")
    def moved(information):
        bench.agent.poll()
        space.append(information)

    bench.turn()
    bench.answers[("GET", "/space")] = Reply(200, {"name": "hall"})
    bench.agent.refresh()
    bench.agent.update_device(name="pump")
    bench.agent.cloud_setting("x", True)
    bench.turn()
    assert space == [{"name": "hall"}] and bench.agent.link.failures == 0
    assert bench.made("PUT", "") == [{"name": "pump"}] and len(bench.made("PUT", "/cloud_settings")) == 1


def test_a_result_that_got_lost_is_told_again_with_the_next_telemetry_until_the_cloud_has_it():
    for name, lost in (("c1", OSError(104)), ("c2", Reply(500)), ("c3", Reply(200, b"<html>Please log in</html>")), ("c4", HTTPError("x"))):
        bench = Bench()
        bench.answers[("GET", "/command")] = [Reply(200, {"id": name, "name": "count"}), Reply(404, {"error": "no command"})]
        bench.answers[("POST", "/command")] = [Reply(200, {}), lost, Reply(200, {})]
        bench.reply["command"] = True
        bench.turn()
        # the cloud knows that it is in progress, and has nothing more to ask for until it ends
        bench.reply["command"] = False
        for _ in range(4):
            bench.turn(30000)
        assert bench.counted == 1
        assert [m["status"] for m in bench.made("POST", "/command")] == ["in_progress", "done", "done"], name


def test_a_result_that_the_cloud_knows_nothing_of_is_not_told_for_ever():
    bench = Bench()
    bench.reply["command"] = True
    bench.answers[("GET", "/command")] = [Reply(200, {"id": "c1", "name": "count"}), Reply(404, {"error": "no command"})]
    bench.answers[("POST", "/command")] = [Reply(200, {}), Reply(503), Reply(404, {"error": "Command not found"})]
    bench.turn()
    bench.answers[("POST", "/telemetry")] = [Reply(401, {"error": "Not authorized"}), Reply(200, dict(QUIET))]
    for _ in range(4):
        bench.turn(30000)
    assert len(bench.made("POST", "/telemetry")) >= 4
    assert len(bench.made("POST", "/command")) == 3


def test_a_result_that_got_lost_before_a_restart_is_told_after_it():
    bench = Bench()
    command = {"id": "c1", "status": "pending", "name": "count", "parameters": {}}
    bench.answers[("GET", "/command")] = [Reply(200, command), Reply(503), Reply(200, dict(command, status="in_progress")), Reply(404, {})]
    bench.answers[("POST", "/command")] = [Reply(200, {}), Reply(503)]
    bench.reply["command"] = True
    bench.turn()
    # it has begun, and until it ends the cloud has nothing to ask for
    bench.reply["command"] = False
    bench.answers[("POST", "/command")] = Reply(200, {})
    bench.start()
    for _ in range(4):
        bench.turn(30000)
    assert bench.counted == 1
    assert [m["status"] for m in bench.made("POST", "/command")] == ["in_progress", "done", "done"]
    assert len(bench.made("GET", "/command")) == 4


def test_a_version_that_is_none_is_said_once_and_not_with_each_reply():
    bench = Bench()
    bench.reply["latest_fw_version"] = "build 7"
    for _ in range(4):
        bench.turn(30000)
    assert len(bench.made("POST", "/telemetry")) == 4
    assert len([line for line in log.lines() if "'build 7'" in line]) == 1


def test_a_cloud_that_wants_less_of_all_does_not_fill_the_log():
    bench = Bench()
    bench.answers[("POST", "/telemetry")] = Reply(429, {"error": "Too many requests from here"})
    for _ in range(6):
        bench.turn(10000)
    assert len(bench.made("POST", "/telemetry")) >= 6
    assert len([line for line in log.lines() if "requests from here; later" in line]) == 1


def test_a_configuration_of_null_is_an_empty_one_and_what_stands_beside_it_is_none():
    bench = Bench()
    bench.reply["config_version"] = 10
    bench.answers[("GET", "/config")] = Reply(200, {"name": "n", "version": 10, "config": None, "device_id": ID})
    bench.turn()
    assert bench.made("POST", "/config") == [{"version": 10}]
    assert bench.agent.config_version() == 10


def keys_of(bench):
    """What each telemetry that is posted from now on is numbered with."""
    http = bench.agent.link.adapter._http
    keys = []
    real = http.request

    def request(method, path, body=None, headers=None):
        if path.endswith("/telemetry"):
            keys.append(headers["Idempotency-Key"])
        real(method, path, body, headers)

    http.request = request
    return keys


def test_each_telemetry_has_a_number_of_its_own_by_which_one_that_comes_twice_can_be_told():
    bench = Bench()
    bench.turn()
    keys = keys_of(bench)
    bench.turn(30000)
    # an answer that is no HTTP: nobody knows whether it has arrived
    bench.answers[("POST", "/telemetry")] = HTTPError("no HTTP")
    bench.turn(30000)
    failures = bench.agent.link.failures
    assert failures == 1 and len(bench.agent.spool)
    del bench.answers[("POST", "/telemetry")]
    bench.ticks.ms += 5000
    while not bench.agent.link.adapter:
        bench.agent.poll()
    again = keys_of(bench)
    bench.turn(1000)
    assert not len(bench.agent.spool)
    assert len(keys) == 2 and len(keys[0]) == 10 and int(keys[1]) == int(keys[0]) + 1
    assert again[0] == keys[1]


def test_a_command_of_which_telemetry_tells_is_fetched_and_none_is_nothing_to_warn_of():
    bench = Bench()
    bench.turn()
    asked = len(bench.made("GET", "/command"))
    bench.turn(30000)
    assert len(bench.made("GET", "/command")) == asked
    bench.reply["command"] = True
    bench.turn(30000)
    assert len(bench.made("GET", "/command")) == asked + 1
    assert "/command" not in "".join(log.lines())


def test_a_page_in_answer_to_a_configuration_that_is_told_breaks_nothing():
    bench = Bench()
    bench.turn()
    bench.answers[("POST", "/config")] = Reply(200, b"<html>welcome</html>")
    assert bench.agent.change_config(interval=20)
    bench.turn()
    assert bench.agent.link.failures == 0 and len(bench.made("POST", "/config")) == 1


def test_the_loop_waits_for_an_answer_that_is_under_way_and_not_between_two_requests():
    bench = Bench()
    bench.turn()
    link = bench.agent.link
    waits = []
    link.adapter._http.wait = waits.append
    assert link.wait(20) is False and waits == []
    bench.agent.refresh()
    for name in ("config", "command", "licenses", "space"):
        assert link.adapter.poll() == 0 and HTTP.requests[-1][1] == BASE + "/" + name
        assert link.wait(20) is True
    assert waits == [20] * 4


def test_a_session_that_ends_closes_its_connection():
    bench = Bench()
    bench.turn()
    http = bench.agent.link.adapter._http
    assert not http.closed
    bench.agent.link.close()
    assert http.closed


def applied_with_polls(bench, comes):
    """The agent gets version 2, whose apply has the loop go on for 70 s; meanwhile `comes` is version 3. What was applied, in its order."""
    applied = []
    bench.agent._config._apply = None

    @bench.agent.config(interval=(int, 1, 3600))
    def apply(config):
        if config["interval"] == 2 and not applied:
            bench.reply["config_version"] = 3
            bench.answers[("GET", "/config")] = Reply(200, {"version": 3, "config": comes})
            for _ in range(70):
                bench.ticks.ms += 1000
                bench.agent.poll()
        applied.append(config["interval"])

    bench.turn()
    bench.reply["config_version"] = 2
    bench.answers[("GET", "/config")] = Reply(200, {"version": 2, "config": {"interval": 2}})
    for _ in range(4):
        bench.turn(30000)
    return applied


def test_a_configuration_that_comes_while_one_is_applied_is_applied_after_it():
    bench = Bench()
    assert applied_with_polls(bench, {"interval": 3}) == [2, 3]
    assert bench.agent.config_version() == 3


def test_a_trial_that_comes_while_a_configuration_is_applied_is_one():
    bench = Bench()
    serve = bench.serve

    def nobody(method, path, body):
        if bench.agent.settings.entry == "http://nowhere.example":
            raise OSError(113)
        return serve(method, path, body)

    HTTP.serve = nobody
    applied_with_polls(bench, {"interval": 3, "settings": {"entry": "http://nowhere.example"}})
    for _ in range(60):
        bench.turn(10000)
    assert bench.agent.settings.entry == "http://entry.example" and bench.agent.connected()
