# Single calls to the cloud over HTTPS: registration, whether the device is still known, what a file is, and a log that is uploaded.
from cloud_fakes import CREDENTIALS, HTTP, ID, KEY, Reply
from redpoll.clock import Clock
from redpoll.cloud import files, https, registration
from scratch import Ticks, text_of

https.HTTPClient = HTTP
PAGE = b"<html>Please log in</html>"
DATE = {"date": "Sat, 21 Nov 2026 04:41:15 GMT"}


class Settings:
    entry = "http://entry.example"
    ca = ""
    connect_timeout = 7
    hardware_key = "hk"
    sn = "A1"
    mac = cloud_id = name = sub_model = ""
    details = {}
    credentials = CREDENTIALS


def answer(*replies):
    """What the next polls find: a Reply, an exception, or None for nothing yet. The requests are in HTTP.requests."""
    left = list(replies)
    HTTP.requests = []
    HTTP.serve = lambda method, path, body: left.pop(0)


def registering(own_clock=None):
    return registration.Registration(Settings(), own_clock or Clock(Ticks(), lambda: None), "1.0.0")


def test_a_registration_waits_for_its_answer_and_takes_a_device_that_the_cloud_knew_already():
    for status in (200, 201):
        answer(None, None, Reply(status, CREDENTIALS))
        job = registering()
        assert job.poll() is None and job.poll() is None
        assert job.poll() == CREDENTIALS
        assert HTTP.requests == [("POST", "/v1/devices", {"hardware_key": "hk", "firmware_version": "1.0.0", "sn": "A1"})]


def test_a_board_that_knows_no_time_learns_it_from_its_registration_even_when_that_is_refused():
    for reply in (Reply(201, CREDENTIALS, DATE), Reply(404, {"error": "unknown model"}, DATE)):
        own_clock = Clock(Ticks(), lambda: None)
        answer(reply)
        try:
            registering(own_clock).poll()
        except registration.Refused:
            pass
        assert own_clock.wall_at(own_clock.ms()) == 1795236075000


def test_the_loop_may_wait_for_the_answer_and_a_call_that_is_closed_gives_its_connection_back():
    answer()
    for job in (registering(), registration.Check(Settings()), files.FileInfo(Settings(), "f1")):
        waits = []
        job._http.wait = waits.append
        assert job.wait(20) is True and waits == [20]
        job.close()
        assert job._http.closed


def test_credentials_beside_an_error_are_none():
    answer(Reply(500, dict(CREDENTIALS, error="overloaded")))
    assert text_of(OSError, registering().poll) == "registration: 500 overloaded"


def test_only_the_cloud_itself_can_say_that_a_device_was_removed():
    for reply, known in ((Reply(401, {"error": "x"}), False), (Reply(401, PAGE), True), (Reply(200, {}), True), (Reply(500, {}), True)):
        answer(None, reply)
        job = registration.Check(Settings())
        assert job.poll() is None
        assert job.poll() is known
    assert HTTP.requests == [("GET", "/v1/devices/" + ID, None)]


def test_the_description_of_a_file_is_asked_for_as_the_device():
    answer(None, Reply(200, {"id": "f1", "url": "http://files.example/f1.zip"}))
    call = files.FileInfo(Settings(), "f1")
    assert call.poll() is None
    assert call.poll() == {"id": "f1", "url": "http://files.example/f1.zip"}
    assert HTTP.requests == [("GET", "/v1/devices/%s/files/f1" % ID, None)]
    assert call._http.headers == {"Authorization": KEY}


def test_a_file_that_the_cloud_does_not_describe_is_an_error_that_says_what_came():
    for reply, said in (
        (Reply(404, {"error": "no such file"}), "file: 404 no such file"),
        (Reply(404, {"error": {"code": 5}}), "file: 404 "),
        (Reply(200, PAGE), "file: 200 not the cloud"),
    ):
        answer(reply)
        text = text_of(OSError, files.FileInfo(Settings(), "f1").poll)
        assert text.startswith(said), text


def uploading(*replies):
    """A Dump, and what its end tells."""
    answer(*replies)
    ended = []
    return files.Dump(Settings(), ["first", "second"], lambda status, message: ended.append((status, message))), ended


def test_a_log_is_uploaded_line_by_line_as_text():
    for status in (200, 201):
        dump, ended = uploading(None, Reply(status, {}))
        assert not dump.poll() and not ended and not dump._http.closed
        assert dump.poll() is True
        assert ended == [("done", "uploaded")] and dump._http.closed
        assert HTTP.requests == [("POST", "/v1/devices/%s/dumps/text%%2Fplain/agent.log" % ID, b"first\nsecond")]
        assert dump._http.sent_headers == {"Content-Type": "text/plain"}


def test_an_upload_that_fails_ends_and_says_why():
    reasons = ((Reply(413, {"error": "too large"}), "dump: 413 too large"), (OSError("reset"), "dump: reset"), (OSError(), "dump: OSError"))
    for reply, said in reasons:
        dump, ended = uploading(reply)
        assert dump.poll() is True
        assert ended == [("error", said)] and dump._http.closed
