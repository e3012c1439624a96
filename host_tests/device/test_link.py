# The link alone: when it connects, waits, asks and gives up. The cloud's adapter, and what asks over HTTPS, are played.
from redpoll import log, port
from redpoll import radio as radio_module
from redpoll.clock import Clock
from redpoll.cloud import registration, xyte_mqtt
from redpoll.link import Link
from scratch import Ticks
from support import raises

MINUTE = 60000
unloaded = []
port.unload = lambda *names: unloaded.extend(names)


class Settings:
    wifi_ssid = None
    transport = "mqtt"
    entry = "http://entry.example"

    def __init__(self):
        self.credentials = {"id": "d1"}

    def forget(self):
        self.credentials = None

    def store(self, credentials):
        self.credentials = credentials


class Adapter:
    """`refuse` is what connect() raises, `fails` what poll() and wait() of the session raise."""

    BEGUN = "connected"
    refuse = None
    refuses_as_denied = False
    made = []

    def __init__(self, settings, clock, handler):
        self.denied = False
        self.fails = None
        self.closed = False
        self.waited = []
        Adapter.made.append(self)

    def connect(self):
        if Adapter.refuse:
            self.denied = Adapter.refuses_as_denied
            raise Adapter.refuse

    def poll(self):
        if self.fails:
            raise self.fails
        return 1000

    def wait(self, ms):
        self.waited.append(ms)
        if self.fails:
            raise self.fails
        return True

    def dropped(self):
        return 2

    def close(self):
        self.closed = True


class Job:
    """A Registration or a Check: what its polls return or raise."""

    answers = []
    made = []

    def __init__(self, *_):
        self.closed = False
        Job.made.append(self)

    def poll(self):
        answer = Job.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def wait(self, ms):
        return "job"

    def close(self):
        self.closed = True


class Bench:
    def __init__(self):
        Adapter.made = []
        Adapter.refuse = None
        Adapter.refuses_as_denied = False
        Job.made = []
        Job.answers = []
        xyte_mqtt.Adapter = Adapter
        registration.Check = registration.Registration = Job
        self.ticks = Ticks()
        self.links = []
        self.settings = Settings()
        self.link = Link(self.settings, Clock(self.ticks, lambda: None), self, "1.0.0")
        self.link._backoff.random16 = lambda: 65535

    def on_link(self, adapter):
        self.links.append(adapter)

    def connect(self):
        """Turn until there is a session, at most for an hour."""
        end = self.ticks.ms + 60 * MINUTE
        while not self.link.adapter:
            assert self.ticks.ms < end
            self.ticks.ms += self.link.poll()
        return self.link.adapter

    def broken(self):
        """The session breaks; how long it waits."""
        self.link.adapter.fails = OSError(104)
        return self.link.poll()


def test_a_cloud_that_ends_each_session_soon_is_not_asked_without_end_however_long_the_board_runs():
    bench = Bench()
    bench.ticks.ms += 24 * 60 * MINUTE
    waits = []
    for _ in range(12):
        bench.connect()
        bench.link.alive()
        waits.append(bench.broken())
    assert waits == sorted(waits) and waits[-1] == 300000
    # a session that lasts begins the waits anew
    bench.connect()
    bench.ticks.ms += 30 * MINUTE
    bench.link.alive()
    assert bench.broken() < 5000


def test_after_a_restart_of_the_link_nothing_of_the_way_before_counts():
    bench = Bench()
    Adapter.refuse = OSError(113)
    while bench.ticks.ms < 30 * MINUTE:
        bench.ticks.ms += bench.link.poll()
    bench.link.doubt()
    bench.link.restart()
    made = len(Adapter.made)
    assert bench.link.poll() < 5000
    # it was tried at once, and without a question over HTTPS
    assert len(Adapter.made) == made + 1 and not Job.made
    # nor does what a question told
    Adapter.refuse = None
    bench.connect()
    bench.link.doubt()
    Job.answers = [True, True]
    bench.connect()
    bench.link.restart()
    bench.connect()
    bench.link.doubt()
    bench.connect()
    assert len(Job.made) == 2


def test_a_session_that_has_ended_is_not_alive():
    bench = Bench()
    adapter = bench.connect()
    assert bench.link.alive_at is None and bench.links == [adapter]
    bench.link.alive()
    assert bench.link.alive_at == bench.ticks.ms
    bench.broken()
    assert bench.link.alive_at is None and bench.link.adapter is None
    assert adapter.closed and bench.links == [adapter, None]


def test_a_heartbeat_tells_failures_their_last_reason_and_what_could_not_be_taken():
    bench = Bench()
    told = {}
    bench.link.add_readings(told)
    assert told == {"link_failures": 0, "inbound_dropped": 0}
    for _ in range(2):
        bench.connect()
        bench.broken()
    bench.connect()
    bench.link.add_readings(told)
    assert told.pop("link_trouble")
    assert told == {"link_failures": 2, "inbound_dropped": 6}


def test_a_silent_cloud_is_asked_once_whether_it_knows_the_device():
    bench = Bench()
    first = bench.connect()
    bench.link.doubt()
    assert first.closed
    Job.answers = [None, True]
    assert bench.connect() is not first
    assert len(Job.made) == 1 and Job.made[0].closed and not Job.answers
    # it is believed for a while
    bench.link.doubt()
    assert bench.link.adapter
    bench.ticks.ms += 24 * 60 * MINUTE
    bench.link.doubt()
    assert not bench.link.adapter
    # when that fails too, the next attempt is a connection
    Job.answers = [OSError(113)]
    bench.connect()
    assert len(Job.made) == 2 and Job.made[1].closed


def test_a_cloud_that_does_not_know_the_device_any_more_registers_it_anew_after_a_wait():
    bench = Bench()
    bench.connect()
    bench.link.doubt()
    Job.answers = [False, {"id": "d2"}]
    before = bench.ticks.ms
    while Job.answers[0] is False:
        bench.link.poll()
    assert len(Job.made) == 1
    adapter = bench.connect()
    assert bench.ticks.ms > before + 500
    assert bench.settings.credentials == {"id": "d2", "version": "1.0.0"}
    # no further question, nor when that session breaks
    bench.broken()
    assert bench.connect() is not adapter and len(Job.made) == 2
    # nor after a doubt that the cloud has answered meanwhile
    bench.link.doubt()
    bench.link.revoked()
    Job.answers = [{"id": "d3"}]
    bench.connect()
    assert len(Job.made) == 3


def test_a_server_that_denies_the_credentials_is_asked_over_https():
    bench = Bench()
    Adapter.refuse = OSError(5)
    bench.ticks.ms += bench.link.poll()
    assert Adapter.made[-1].closed
    bench.ticks.ms += bench.link.poll()
    assert len(Adapter.made) == 2 and not Job.made
    Adapter.refuses_as_denied = True
    bench.ticks.ms += bench.link.poll()
    Adapter.refuse = None
    Job.answers = [True]
    bench.connect()
    assert len(Job.made) == 1


def test_waiting_is_for_what_the_link_waits_for():
    bench = Bench()
    assert bench.link.wait(50) is False
    adapter = bench.connect()
    assert bench.link.wait(50) is True and adapter.waited == [50]
    adapter.fails = OSError(104)
    assert bench.link.wait(50) is True
    assert adapter.closed and bench.link.failures == 1
    # and not before the next attempt
    assert bench.link.wait(50) is False
    bench.connect()
    bench.link.doubt()
    Job.answers = [None]
    bench.link.poll()
    assert bench.link.wait(50) == "job"


def test_a_session_that_was_closed_from_within_is_no_failure():
    bench = Bench()
    adapter = bench.connect()

    def poll():
        bench.link.revoked()
        raise OSError(9)

    adapter.poll = poll
    assert bench.link.poll() == 0
    assert bench.link.failures == 0 and adapter.closed


class Radio:
    """Wi-Fi that is up, unless its poll() raises this, or it is to be waited for."""

    look_ms = 1000
    fails = None
    wait = 0
    polls = 0

    def __init__(self, *_):
        pass

    def poll(self):
        self.polls += 1
        if self.fails:
            raise self.fails
        return self.wait


def test_nothing_is_connected_before_the_wifi_is_up_from_the_first_moment_on():
    bench = Bench()
    bench.settings.wifi_ssid = "hall"
    real, radio_module.Radio = radio_module.Radio, Radio
    try:
        Radio.wait = 200
        assert bench.link.poll() == 200 and not Adapter.made
        Radio.wait = 0
        bench.link.poll()
        assert len(Adapter.made) == 1
    finally:
        radio_module.Radio = real


def test_the_wifi_is_looked_after_while_the_link_waits_for_its_next_attempt():
    bench = Bench()
    bench.settings.wifi_ssid = "hall"
    radio = bench.link.radio = Radio()
    Adapter.refuse = OSError(113)
    while len(Adapter.made) < 5:
        bench.ticks.ms += bench.link.poll()
    for _ in range(5):
        assert bench.link.poll() <= 1000
        bench.ticks.ms += 1000
    assert len(Adapter.made) == 5 and radio.polls >= 10


def test_a_radio_that_finds_no_memory_is_waited_for_as_the_cloud_is_and_ends_the_session():
    bench = Bench()
    bench.settings.wifi_ssid = "hall"
    radio = bench.link.radio = Radio()
    adapter = bench.connect()
    radio.fails = MemoryError()
    # it is looked at more often than the link tries
    end = bench.ticks.ms + MINUTE
    while bench.ticks.ms < end:
        bench.ticks.ms += min(bench.link.poll(), 100)
    assert adapter.closed and 5 <= bench.link.failures <= 7
    radio.fails = None
    assert bench.connect() is not adapter


def test_without_memory_modules_are_given_back_and_in_the_end_the_board_restarts():
    bench = Bench()
    bench.connect()
    del unloaded[:]
    bench.link.adapter.fails = MemoryError()
    bench.link.poll()
    assert "cloud.registration" in unloaded and "net.http" in unloaded
    Adapter.refuse = MemoryError()
    with raises(RuntimeError):
        while bench.ticks.ms < 600 * MINUTE:
            bench.ticks.ms += bench.link.poll()
    # nothing of what is under way
    Adapter.refuse = None
    bench.settings.credentials = None
    bench.link.restart()
    bench.link.poll()
    del unloaded[:]
    bench.link.spare()
    assert Job.made and not unloaded
    bench.link.close()
    # over HTTP its client is in use
    bench.settings.transport = "http"
    del unloaded[:]
    bench.link.spare()
    assert "cloud.files" in unloaded and "net.http" not in unloaded


def test_a_secret_in_what_a_server_says_is_in_no_heartbeat():
    log.hide("hunter2hunter2")
    link = Link(None, Clock(Ticks(), lambda: None), None, "1.0.0")
    link.broken(OSError("bad password hunter2hunter2"))
    told = {}
    link.add_readings(told)
    assert told["link_trouble"].endswith("bad password ***")
