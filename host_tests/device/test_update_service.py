# An update's way to the agent: who asks for it, and who is told, with an agent that is played.
import scratch
from redpoll import log, port, rsa
from redpoll.clock import Clock
from redpoll.cloud import astarte, bson, kura
from redpoll.update.errors import Failed
from redpoll.update.reports import Reports
from redpoll.update.service import Update
from rsa_vectors import SPKI_2048

DEVICE = "f79ad91f-c638-4889-ae74-9d001a3b4cf8"
UUID = "04bf491c-af94-4e9d-813f-ebeebfb856a6"
OTHER = "14bf491c-af94-4e9d-813f-ebeebfb856a6"
URL = "http://files.example/bundle.zip"
NOW = 1790000000000


class Settings:
    hardware_key = "hk"
    trial_timeout = 180
    update_key = SPKI_2048
    transport = "mqtt"
    report = ()
    astarte_realm = "test"
    kura_account = "acme"
    ca = ""
    connect_timeout = 7
    credentials = {"id": DEVICE, "access_key": "k" * 8, "hub_url": "http://hub.example"}

    def state_path(self, name):
        return name


class Commands:
    """As redpoll.commands: one runs, and after a restart that has to be said."""

    restart = False

    def __init__(self):
        self.running = None
        self.resumed = []
        self.finished = []

    def resume(self, command_id):
        self.resumed.append(command_id)

    def current(self):
        return self.running

    def finish(self, status, message):
        self.finished.append((self.running, status, message))


class Adapter:
    """The cloud's connection: `room` is how many events it takes."""

    properties = b"properties"

    def __init__(self, room=99):
        self.room = room
        self.told = []
        self.listening = {}
        self.greeted = []
        self.refuse = None

    def listen(self, topic, callback):
        self.listening[topic] = callback

    def let(self, publish):
        self.greeted.append(publish)

    def report_update(self, reporter, event):
        if self.refuse:
            raise self.refuse
        if not self.room:
            return False
        self.room -= 1
        self.told.append((type(reporter).__module__.split(".")[-1], event["uuid"], event["status"]))
        return True


class Link:
    radio = None
    spared = 0

    def __init__(self):
        self.adapter = None

    def spare(self):
        self.spared += 1


class Agent:
    version = "1.0.0"
    reports = None
    linked = True
    fed = 0

    def __init__(self, wall=NOW, **settings):
        self.ticks = scratch.Ticks()
        self.clock = Clock(self.ticks, lambda: wall)
        self.settings = Settings()
        for key in settings:
            setattr(self.settings, key, settings[key])
        self.commands = Commands()
        self.link = Link()
        self.telemetry = self
        self.notices = []
        self.reported = []

    def notice(self, text):
        self.notices.append(text)

    def report(self, *told):
        self.reported.append(told)

    def connected(self):
        return self.linked

    def call(self, function, *values):
        return function(*values)

    def feed(self):
        self.fed += 1


def event(status, progress=100, code="", message="", kind="edgehog", uuid=UUID, time=NOW):
    return {"uuid": uuid, "kind": kind, "status": status, "progress": progress, "code": code, "message": message, "time": time}


def told(update, *events):
    """What the agent was told of these events."""
    for one in events:
        update.tell(one)
    update.poll()
    return update._agent.reported


def reported_by(*names, room=99, wall=NOW):
    """An Update whose agent has these reporters and a session."""
    agent = Agent(wall=wall, report=names)
    agent.link.adapter = Adapter(room)
    agent.reports = Reports(agent.settings, None)
    agent.reports.begin(agent.link.adapter)
    return Update(agent), agent.link.adapter


# commands


def test_each_step_of_a_command_is_told_over_mqtt_and_its_beginnings_and_ends_over_http():
    steps = [event("Downloading", 0), event("Downloading", 40), event("Error", 100, "NetworkError", "x"), event("Downloading", 100)]
    for transport, texts in (
        ("mqtt", ["Downloading 0 %", "Downloading 40 %", "Error, NetworkError: x", "Downloading 100 %"]),
        ("http", ["Downloading 0 %", "Error, NetworkError: x", "Downloading 100 %"]),
    ):
        update = Update(Agent(transport=transport))
        found = told(update, *[dict(step, kind="command") for step in steps])
        assert found == [(UUID, "in_progress", text) for text in texts]
        assert not update._agent.commands.finished


def test_the_end_of_an_update_is_the_end_of_its_command_and_of_no_other():
    for end, status, message in (
        (event("Success", kind="command"), "done", "version 1.0.0 runs"),
        (event("Failure", 100, "IOError", "flash: full", "command"), "error", "IOError: flash: full"),
    ):
        for running in (UUID, "another"):
            agent = Agent()
            agent.commands.running = running
            told(Update(agent), dict(end))
            assert agent.commands.finished == ([(UUID, status, message)] if running == UUID else [])
            assert agent.commands.resumed == [UUID] and not agent.reported and not agent.notices


def test_an_update_without_a_command_that_fails_is_a_notice_and_one_that_goes_well_is_none():
    agent = Agent()
    found = told(Update(agent), event("Downloading", 40), event("Success"), event("Failure", 100, "IOError", "flash: full"))
    assert agent.notices == ["update failed: IOError: flash: full"]
    assert not found and not agent.commands.finished


def test_a_command_that_is_refused_says_why():
    update = Update(Agent())
    assert scratch.text_of(ValueError, update.command, "c1", "ftp://x", None, None, False).startswith("InvalidRequest: ")
    update.command("c1", URL, None, None, False)
    assert update.working() and update.busy()
    assert scratch.text_of(ValueError, update.command, "c2", URL, None, None, False).startswith("UpdateAlreadyInProgress: ")


def test_a_command_whose_end_was_told_already_is_not_run_again():
    update = Update(Agent())
    update._updater.refuse("command", "c1", "InvalidRequest", "x")
    assert "not run again" in scratch.text_of(ValueError, update.command, "c1", URL, None, None, False)
    assert not update._updater.job


def test_after_a_restart_a_command_goes_on_and_an_update_that_others_asked_for_is_no_command():
    Update(Agent()).command("c1", URL, None, None, False)
    again = Agent()
    Update(again)
    assert again.commands.resumed == ["c1"]
    again = Agent()
    Update(again)._updater.cancel("c1")
    again = Agent()
    update = Update(again)
    update.edgehog("Update", UUID, URL)
    again = Agent()
    again.commands.running = "c1"
    Update(again)
    assert again.commands.finished == [("c1", "error", "Canceled: canceled")] and again.commands.resumed == ["c1"] and not again.notices


# OTARequests


def ends(update):
    """(uuid, status, code) of each final event that waits."""
    return [(final[0], final[2], final[3]) for final in update._updater.finals]


def test_an_otarequest_begins_an_update_and_cancels_it():
    update = Update(Agent())
    update.edgehog("Update", UUID, URL)
    assert update._updater.job["id"] == UUID and not ends(update)
    update.edgehog("Cancel", UUID, None)
    assert not update._updater.job and ends(update) == [(UUID, "Failure", "Canceled")]
    # it is over: what comes late is no request of its own
    for operation in ("Cancel", "Update", "Install"):
        update.edgehog(operation, UUID, URL)
    assert not update._updater.job and ends(update) == [(UUID, "Failure", "Canceled")]


def test_an_otarequest_that_makes_no_sense_is_refused():
    update = Update(Agent())
    update.edgehog("Cancel", UUID, URL)
    update.edgehog("Install", OTHER, URL)
    assert not update._updater.job
    assert ends(update) == [(UUID, "Failure", "InvalidRequest"), (OTHER, "Failure", "InvalidRequest")]
    messages = [final[4] for final in update._updater.finals]
    assert messages == ["there is no such update to cancel", '"operation" must be Update or Cancel']


def test_nothing_ends_an_update_that_goes_on_but_its_own_cancel():
    update = Update(Agent())
    update.edgehog("Update", UUID, URL)
    update.edgehog("Update", UUID, URL)
    assert not [line for line in log.lines() if "OTARequest" in line]
    update.edgehog("Install", UUID, URL)
    assert update._updater.job["id"] == UUID and not ends(update)
    assert log.lines()[-1].endswith('OTARequest: "operation" must be Update or Cancel')
    update._updater._deploying = True
    update.edgehog("Cancel", UUID, None)
    assert update._updater.job["id"] == UUID and not ends(update)
    assert log.lines()[-1].endswith("too late to cancel it")
    update.edgehog("Update", OTHER, URL)
    assert update._updater.job["id"] == UUID and ends(update) == [(OTHER, "Failure", "UpdateAlreadyInProgress")]


# what the cloud offers


def test_an_automatic_update_has_a_random_uuid_and_the_version_that_was_offered():
    found = []
    for wanted in ("1.1.0", "1.2.0"):
        update = Update(Agent())
        update.notice(wanted, "f1")
        job = update._updater.job
        assert (job["kind"], job["want"], job["file"], job["url"]) == ("notice", wanted, "f1", None)
        parts = job["id"].split("-")
        assert [len(part) for part in parts] == [8, 4, 4, 4, 12]
        # RFC 9562 §5.4
        assert parts[2][0] == "4" and parts[3][0] == "a" and int("".join(parts), 16)
        found.append(job["id"])
        update._updater.cancel(job["id"])
    assert found[0] != found[1]


def test_a_version_that_has_failed_is_left_to_a_person_and_an_update_that_goes_on_is_left_alone():
    update = Update(Agent())
    update._updater.failed = "1.1.0"
    update.notice("1.1.0", "f1")
    assert not update._updater.job
    update.notice("1.1.0", "f1", True)
    assert update._updater.job["want"] == "1.1.0"
    said = len(log.lines())
    update.notice("1.2.0", "f2", True)
    assert update._updater.job["want"] == "1.1.0" and len(log.lines()) == said
    update._updater.cancel(update._updater.job["id"])
    update.notice("1.2.0", "f2")
    assert update._updater.job["want"] == "1.2.0"


# what the updater needs of its board


def test_a_bundle_may_name_the_chip_the_firmware_or_the_product():
    has = port.chip_name
    try:
        port.chip_name = lambda: "esp32s3"
        assert Update(Agent()).boards == ("esp32s3", port.HARDWARE, "hk")
        port.chip_name = lambda: None
        assert "redpoll-" + Update(Agent()).boards[0] == port.HARDWARE
    finally:
        port.chip_name = has
    assert Update(Agent()).trial_ms == 180000


def test_without_a_key_that_can_be_used_nothing_is_verified():
    for key, words in (("", 'settings.json has no "update_key"'), ("gone.pem", 'settings.json: "update_key": there is no file gone.pem')):
        update = Update(Agent(update_key=key))
        with scratch.raises(Failed) as caught:
            update.key()
        assert caught.value.args[0] == "InvalidBaseImage" and caught.value.args[1].startswith(words)
    assert isinstance(Update(Agent()).key(), rsa.Key)


def test_a_network_is_ready_unless_its_radio_is_down():
    class Radio:
        def up(self):
            return self.is_up

    update = Update(Agent())
    update.ready()
    radio = update._agent.link.radio = Radio()
    radio.is_up = True
    update.ready()
    radio.is_up = False
    assert "Wi-Fi" in scratch.text_of(OSError, update.ready)


def test_what_only_the_download_needed_is_given_back_and_a_restart_is_the_agents():
    update = Update(Agent())
    update.spare()
    assert update._agent.link.spared == 1
    update.restart()
    assert update._agent.commands.restart is True


def test_a_server_of_files_tells_the_time():
    class Response:
        headers = {"date": "Sat, 21 Nov 2026 04:41:15 GMT"}

    agent = Agent(wall=None)
    Update(agent).heard(Response)
    assert agent.clock.wall_at(agent.clock.ms()) == 1795236075000


def test_what_is_fetched_comes_from_the_server_that_is_named_and_what_is_asked_for_from_the_cloud():
    from redpoll.cloud import files

    update = Update(Agent())
    assert update.client("http://files.example").host == "files.example"
    asked = []
    has = files.FileInfo
    files.FileInfo = lambda settings, file_id: asked.append((settings, file_id)) or "call"
    try:
        assert update.find("f1") == "call"
    finally:
        files.FileInfo = has
    assert asked == [(update._agent.settings, "f1")]


# what is told


class Trial:
    """Stands for an Updater whose trial goes on."""

    job = None
    round_trips = 0

    def waits(self):
        return True

    def busy(self):
        return False

    def poll(self):
        return 700

    def round_trip(self):
        self.round_trips += 1


def test_a_trial_is_work_and_a_round_trip_proves_it():
    update = Update(Agent())
    assert not update.working() and not update.on_trial() and not update.busy()
    trial = update._updater = Trial()
    assert update.working() and update.on_trial()
    update.round_trip()
    assert trial.round_trips == 1
    assert update.poll() == 700 and update._agent.fed == 1


def test_it_is_busy_while_somebody_has_still_to_be_told():
    update = Update(Agent(report=["astarte"]))
    update.tell(event("Downloading", 10))
    update.poll()
    assert update.busy() and update.telling()
    update._agent.linked = False
    assert not update.telling()
    update = Update(Agent())
    told(update, event("Downloading", 10))
    assert not update.busy() and not update.telling()


def test_steps_on_the_way_give_room_for_ends():
    update = Update(Agent(report=["astarte"]))
    update.tell(event("Failure", uuid="first"))
    for number in range(30):
        update.tell(event("Downloading", number))
    update.tell(event("Success", uuid="last"))
    kept = [(one["uuid"], one["progress"]) for one in update._events]
    assert kept == [("first", 100)] + [(UUID, number) for number in range(8, 30)] + [("last", 100)]


def test_the_cloud_is_told_once_however_long_the_reporters_take():
    update, adapter = reported_by("astarte", room=0)
    assert told(update, event("Downloading", 40, kind="command")) == [(UUID, "in_progress", "Downloading 40 %")]
    adapter.room = 1
    update.poll()
    assert len(update._agent.reported) == 1 and len(adapter.told) == 1 and not update.busy()


def test_an_end_waits_for_the_acknowledgement_of_every_reporter_and_a_step_for_none():
    update, adapter = reported_by("astarte", "kura")
    update._updater.refuse("edgehog", OTHER, "IOError", "x")
    update._events.insert(0, dict(event("Downloading", 40, uuid=OTHER), ms=0))
    update.poll()
    assert adapter.told == [(name, OTHER, status) for status in ("Downloading", "Failure") for name in ("astarte", "kura")]
    end = update._events[0]
    for _ in range(2):
        assert update._events == [end] and ends(update)
        update.on_reported(end)
        update.poll()
    assert not update._events and not ends(update) and len(adapter.told) == 4


def test_a_new_session_tells_again_what_was_not_acknowledged():
    update, adapter = reported_by("astarte")
    update.tell(event("Failure"))
    update.poll()
    update.on_link()
    update.poll()
    assert len(adapter.told) == 2
    update.on_reported(update._events[0])
    update.poll()
    assert not update._events


def test_without_a_session_an_event_waits():
    update, adapter = reported_by("astarte")
    for missing in (("link.adapter", None), ("reports", None)):
        update.tell(event("Downloading", 40))
        owner = update._agent.link if "link" in missing[0] else update._agent
        name = missing[0].split(".")[-1]
        has = getattr(owner, name)
        setattr(owner, name, None)
        update.poll()
        assert len(update._events) == 1
        setattr(owner, name, has)
        update.poll()
        assert not update._events


def test_an_end_for_which_a_step_gives_room_while_it_is_told_is_told_too():
    update, adapter = reported_by("astarte")
    for number in range(24):
        update.tell(event("Downloading", number))
    report = adapter.report_update

    def report_and_end(reporter, one):
        # the acknowledgement of a message came meanwhile, and confirms what is on trial
        adapter.report_update = report
        update.tell(event("Success"))
        return report(reporter, one)

    adapter.report_update = report_and_end
    update.poll()
    assert [status for _, _, status in adapter.told] == ["Downloading"] * 24 + ["Success"]


def test_an_event_waits_for_the_time_a_while_and_then_goes_without_it():
    update, adapter = reported_by("astarte", wall=None)
    update._agent.ticks.ms += 20000
    update.tell(event("Downloading", 10, time=None))
    update._agent.ticks.ms += 14999
    update.poll()
    assert not adapter.told
    update._agent.ticks.ms += 1
    update.poll()
    assert len(adapter.told) == 1


def test_an_event_has_the_time_when_it_happened():
    update, adapter = reported_by("astarte", wall=None)
    one = event("Downloading", 10, time=None)
    update.tell(one)
    update._agent.ticks.ms += 5000
    update._agent.clock.set(NOW)
    update.poll()
    assert one["time"] == NOW - 5000 and len(adapter.told) == 1
    # also before a restart
    one = event("Failure", time=NOW - 60000)
    update.tell(one)
    update.poll()
    assert one["time"] == NOW - 60000 and len(adapter.told) == 2


# the reporters


def test_each_session_begins_with_the_reporters_of_the_settings():
    agent = Agent(report=["astarte", "kura"])
    reports = Reports(agent.settings, None)
    assert reports.send(Adapter(), event("Success"))
    for _ in range(2):
        adapter = Adapter()
        reports.begin(adapter)
        assert [type(reporter) for reporter in reports._reporters] == [astarte.Reporter, kura.Reporter]
        assert list(adapter.listening) == [reports._reporters[0].requests]
        assert adapter.greeted == [reports._reporters[0].hello]
    connection = Sent()
    for reporter in reports._reporters:
        reporter.report(connection, event("Success"))
    assert connection.topics[1].startswith("EDC/acme/") and DEVICE in connection.topics[1]


class Sent:
    """A connection that keeps the topics."""

    def __init__(self):
        self.topics = []

    def publish(self, topic, msg, retain=False, qos=0, properties=None):
        assert properties == b"properties"
        self.topics.append(topic)


def test_a_reporter_that_does_not_fit_leaves_the_others():
    agent = Agent(report=["astarte", "kura"], credentials={"id": "no uuid"})
    reports = Reports(agent.settings, None)
    reports.begin(Adapter())
    assert [type(reporter) for reporter in reports._reporters] == [kura.Reporter]
    assert "report to astarte" in log.lines()[-1]


def test_an_event_goes_on_with_the_reporter_that_had_no_room():
    update, adapter = reported_by("astarte", "kura", room=1)
    reports = update._agent.reports
    one = event("Success")
    assert not reports.send(adapter, one)
    assert not reports.send(adapter, one)
    adapter.room = 1
    assert reports.send(adapter, one)
    assert [name for name, _, _ in adapter.told] == ["astarte", "kura"] and one["open"] == 2


def test_an_event_that_a_reporter_cannot_say_is_not_waited_for():
    update, adapter = reported_by("astarte")
    adapter.refuse = ValueError("too large")
    one = event("Failure")
    update.tell(one)
    update.poll()
    assert not update._events and log.lines()[-1].endswith("update event: too large")


def test_requests_that_cannot_be_answered_are_left_alone():
    asked = []
    agent = Agent(report=["astarte"])
    adapter = Adapter()
    Reports(agent.settings, lambda *request: asked.append(request)).begin(adapter)
    (take,) = adapter.listening.values()
    for payload in (b"", b"\x05\0\0\0", bson.encode({"v": 1}), bson.encode({"v": {"operation": "Update", "url": URL}})):
        take(payload)
    for uuid in ("", "x" * 65):
        take(bson.encode({"v": {"operation": "Update", "uuid": uuid, "url": URL}}))
    assert not asked and len(log.lines()) == 6
    take(bson.encode({"v": {"operation": "Update", "uuid": "x" * 64, "url": URL}}))
    assert asked == [("Update", "x" * 64, URL)]


def test_a_version_that_was_chosen_and_cannot_be_had_is_told():
    update = Update(Agent())
    # the cloud has told of it without a file
    update.notice("1.1.0", None, True)
    assert not update._updater.job and "warning: update: " in log.lines()[-1]
