# An update from its request to its final event: the steps it tells, trial and restart, a second request, a cancel.
import scratch
from redpoll import port
from redpoll.flash.record import Record
from redpoll.update.updater import EDGEHOG, NOTICE
from support import raises
from update_bench import NEW, OTHER, URL, UUID, Bench

HEAP = "512K"
TENTHS = list(range(0, 101, 10))


def test_an_update_fills_the_idle_slot_and_tells_each_step():
    bench = Bench()
    bench.update()
    assert bench.world.restarts == 1
    assert bench.holds("a") == dict(NEW)
    assert Record("boot.state").load() == {"slot": "", "trial": "a", "left": 3, "boots": 0}
    assert bench.statuses() == ["Acknowledged", "Downloading", "Deploying", "Deployed", "Rebooting"]
    for status in ("Acknowledged", "Deployed"):
        assert [p for s, p, _ in bench.said() if s == status] == [0, 100]
    assert [p for s, p, _ in bench.said() if s == "Rebooting"] == [0]
    downloading = [p for s, p, _ in bench.said() if s == "Downloading"]
    assert downloading == sorted(set(downloading)) and downloading[0] == 0 and downloading[-1] == 100
    assert all(p in TENTHS for p in downloading)
    assert all(e["time"] >= 1628063144122 for e in bench.world.events)


def test_what_a_part_of_an_update_needed_is_given_back_before_the_next():
    unloaded = []
    before, port.unload = port.unload, lambda *names: unloaded.extend(names)
    try:
        bench = Bench()
        assert bench.updater.request(EDGEHOG, UUID, URL) is None
        while not bench.holds("a"):
            assert bench.updater.job
            bench.ticks.ms += bench.updater.poll()
        assert unloaded == ["rsa", "update.prepare", "update.manifest"]
        bench.turn()
        assert "update.fill" in unloaded and "update.unpack" in unloaded
    finally:
        port.unload = before


def test_after_the_restart_the_cloud_confirms_it():
    bench = Bench()
    bench.update()
    bench.start("a", "1.1.0")
    # told once, however often it starts on trial
    bench.start("a", "1.1.0")
    assert bench.said()[-1] == ("Rebooting", 100, "") and bench.said().count(("Rebooting", 100, "")) == 1
    # it is known, and too late to cancel it
    assert bench.updater.cancel(UUID) is True and bench.updater.waits()
    bench.updater.poll()
    bench.updater.round_trip()
    assert bench.final() == ("Success", "", "")
    assert Record("boot.state").load() == {"slot": "a", "boots": 0}
    bench.updater.told(UUID)
    assert not bench.updater.busy()
    # and nothing is said again after one more restart
    events = len(bench.world.events)
    bench.start("a")
    assert not bench.updater.busy() and len(bench.world.events) == events


def test_a_final_event_is_told_again_until_somebody_has_it():
    bench = Bench()
    bench.update()
    bench.start("a", "1.1.0")
    bench.updater.round_trip()
    first = bench.world.events[-1]
    for _ in range(3):
        bench.start("a")
        assert bench.world.events[-1] == first
    bench.updater.told(UUID)
    bench.start("a")
    assert bench.world.events.count(first) == 4


def test_a_trial_that_nobody_confirms_restarts_and_is_rolled_back():
    bench = Bench()
    bench.update()
    bench.start("a", "1.1.0")
    bench.turn_for(179000)
    assert bench.world.restarts == 1
    bench.turn_for(2000)
    assert bench.world.restarts == 2
    # it is asked for once, however long the product holds it up
    bench.turn_for(100000)
    assert bench.world.restarts == 2
    # boot.py has no attempts left
    bench.start("", "1.0.0")
    assert bench.final()[:2] == ("Failure", "SystemRollback")
    assert Record("boot.state").load() == {"slot": "", "boots": 0}
    assert not bench.slots.sealed("a")
    events = len(bench.world.events)
    bench.turn_for(5000)
    assert len(bench.world.events) == events and not bench.updater.job
    # and again, with a version that works
    bench.update(OTHER)
    assert bench.world.restarts == 3
    assert bench.holds("a") == dict(NEW)


def test_a_power_cut_before_boot_py_is_told_costs_nothing_and_it_can_be_canceled_again():
    class Cut(BaseException):
        pass

    def cut(slot):
        raise Cut

    for cancel in (False, True):
        bench = Bench()
        bench.slots.switch = cut
        with raises(Cut):
            bench.update()
        assert Record("update").load()["job"]["phase"] == "trial"
        sent = bench.server.sent
        bench.start("")
        if cancel:
            assert bench.updater.cancel(UUID)
            assert bench.final()[:2] == ("Failure", "Canceled")
            continue
        bench.turn()
        assert bench.world.restarts == 1 and bench.server.sent < sent + 4000
        bench.start("a", "1.1.0")
        bench.updater.round_trip()
        assert bench.final() == ("Success", "", "")


def test_what_was_said_last_has_five_seconds_to_leave_the_board():
    for ends, took in ((1000, 1000), (60000, 5000)):
        bench = Bench()
        said = []

        def telling(bench=bench, said=said, ends=ends):
            said.append(bench.ticks.ms)
            return bench.ticks.ms < said[0] + ends

        bench.world.telling = telling
        bench.update()
        assert bench.world.restarts == 1
        assert took <= bench.ticks.ms - said[0] < took + 100


def test_a_wait_before_the_next_attempt_is_kept_though_it_is_asked_earlier():
    bench = Bench()
    bench.server.instead = [OSError(104)]
    assert bench.updater.request(EDGEHOG, UUID, URL) is None
    while len(bench.server.requests) < 1:
        bench.updater.poll()
    bench.updater.poll()
    wait = bench.updater.poll()
    assert wait > 500
    for _ in range(5):
        assert bench.updater.poll() == wait
    assert len(bench.server.requests) == 1
    bench.ticks.ms += wait
    bench.turn()
    assert bench.world.restarts == 1


def each_state(bench):
    """Turn step by step until the restart; yields before each."""
    assert bench.updater.request(EDGEHOG, UUID, URL) is None
    bench.server.instead = [(500, {}, b"")]
    while not bench.world.restarts:
        yield
        if not bench.updater.job:
            return
        bench.ticks.ms += min(bench.updater.poll(), 900)


def test_a_second_request_at_every_state():
    bench = Bench()
    n = 0
    for _ in each_state(bench):
        n += 1
        assert bench.updater.request(EDGEHOG, UUID, URL) == ""
        assert bench.updater.request(EDGEHOG, OTHER, URL)[0] == "UpdateAlreadyInProgress"
    assert n >= 15
    bench.start("a", "1.1.0")
    assert bench.updater.request(EDGEHOG, UUID, URL) == ""
    assert bench.updater.request(EDGEHOG, OTHER, URL)[0] == "UpdateAlreadyInProgress"
    bench.updater.round_trip()
    assert bench.final() == ("Success", "", "")
    # a resend after success
    assert bench.updater.request(EDGEHOG, UUID, URL) == ""
    bench.updater.told(UUID)
    bench.start("a")
    assert bench.updater.request(EDGEHOG, UUID, URL) == ""
    assert not bench.updater.busy()


def test_a_cancel_at_every_state():
    bench = Bench()
    states = sum([1 for _ in each_state(bench)])
    canceled = 0
    for at in range(states):
        bench = Bench()
        for n, _ in enumerate(each_state(bench)):
            if n == at:
                assert not bench.updater.cancel(OTHER)
                assert bench.updater.cancel(UUID)
        if bench.world.restarts:
            # it had begun to deploy
            assert "Deploying" in bench.statuses()
        else:
            canceled += 1
            assert bench.final()[:2] == ("Failure", "Canceled")
            assert "Deploying" not in bench.statuses()
            assert not bench.slots.sealed("a")
            assert not bench.updater.cancel(UUID)
            bench.update(OTHER)
            assert bench.holds("a") == dict(NEW)
    assert 10 < canceled < states


def test_a_cancel_leaves_no_file_open():
    from redpoll.update import fill

    opened = []
    fill.open = lambda *names: opened.append(open(*names)) or opened[-1]  # noqa: SIM115
    try:
        bench = Bench()
        for _ in each_state(bench):
            if opened:
                break
        assert bench.updater.cancel(UUID)
        with raises(ValueError, OSError):
            opened[-1].write(b"later")
    finally:
        del fill.open


def test_one_that_failed_while_it_deployed_does_not_keep_the_next_from_being_canceled():
    bench = Bench()
    bench.slots.seal = scratch.full
    bench.update()
    assert bench.final()[:2] == ("Failure", "IOError")
    assert bench.updater.request(EDGEHOG, OTHER, URL) is None
    bench.updater.poll()
    assert bench.updater.cancel(OTHER)
    assert bench.final(OTHER)[:2] == ("Failure", "Canceled")


def test_after_a_failure_that_is_not_the_end_the_step_is_told_again():
    bench = Bench()
    bench.server.instead = [(503, {}, b"")]
    bench.update()
    said = bench.said()
    at = [n for n, event in enumerate(said) if event[0] == "Error"]
    assert len(at) == 1 and said[at[0] - 1] == said[at[0] + 1] == ("Downloading", 0, "")


def test_events_of_a_bundle_that_is_known_name_it_and_its_size():
    bench = Bench()
    bench.update()
    about = [(event["name"], event["size"]) for event in bench.world.events]
    assert about[0] == (None, None)
    # what is to be fetched: one file is there already
    assert about[-1][0] == "product" and 5000 < about[-1][1] < len(bench.server.data)


def test_what_is_on_trial_without_a_request_keeps_others_out_until_it_is_confirmed():
    # as `redpoll deploy` leaves it
    bench = Bench()
    bench.slots.unseal("a")
    bench.slots.seal("a", b"")
    bench.slots.switch("a")
    bench.start("a")
    assert bench.updater.busy()
    assert bench.updater.request(EDGEHOG, UUID, URL)[0] == "UpdateAlreadyInProgress"
    bench.updater.round_trip()
    assert not bench.updater.busy()
    assert bench.updater.request(EDGEHOG, UUID, URL) is None


def test_an_automatic_update_that_went_well_may_be_made_again():
    bench = Bench()
    bench.updater.failed = "1.1.0"
    bench.updater.request(NOTICE, UUID, URL, wanted="1.1.0")
    bench.turn()
    bench.start("a", "1.1.0")
    bench.updater.round_trip()
    assert bench.final()[0] == "Success" and bench.updater.failed is None


def test_a_restart_in_the_middle_goes_on_without_fetching_twice():
    bench = Bench()
    states = sum([1 for _ in each_state(bench)])
    sent = bench.server.sent
    for at in range(0, states, 3):
        bench = Bench()
        for n, _ in enumerate(each_state(bench)):
            if n == at:
                if Record("boot.state").load():
                    break  # the next start is that of the new version
                bench.start("")
        assert bench.holds("a") == dict(NEW)
        bench.start("a", "1.1.0")
        bench.statuses()
        bench.updater.round_trip()
        assert bench.final() == ("Success", "", "")
        # the head and the file that was being written come again
        assert bench.server.sent < sent + 6000


def test_an_update_that_restarts_the_device_again_and_again_is_given_up():
    bench = Bench()
    bench.updater.request(EDGEHOG, UUID, URL)
    starts = 0
    while bench.updater.job:
        starts += 1
        bench.start("")
    assert starts == 6
    assert bench.final() == ("Failure", "InternalError", "the device restarted 5 times during the update")


def test_an_automatic_update_that_failed_is_remembered_by_its_version():
    bench = Bench()
    bench.server.instead = [(404, {}, b"")] * 5
    bench.updater.request(NOTICE, UUID, URL, wanted="1.1.0")
    bench.turn()
    assert bench.updater.failed == "1.1.0"
    bench.start("")
    assert bench.updater.failed == "1.1.0"
    # whatever becomes of one that was asked for
    bench.server.instead = [(404, {}, b"")] * 5
    bench.update(OTHER)
    assert bench.final(OTHER)[0] == "Failure" and bench.updater.failed == "1.1.0"


def test_it_is_deployed_once_the_slot_is_complete():
    bench = Bench()

    def seal(*what):
        raise OSError(28)

    bench.slots.seal = seal
    bench.update()
    assert bench.final()[:2] == ("Failure", "IOError")
    assert [progress for status, progress, _ in bench.said() if status == "Deploying"] == TENTHS[:-1]


def test_what_redpoll_deploy_puts_on_trial_during_an_update_is_confirmed_and_ends_no_update_as_good():
    for turns in (0, 20):
        bench = Bench()
        bench.updater.request(EDGEHOG, UUID, URL)
        for _ in range(6):
            bench.updater.poll()
        bench.updater._stop()
        bench.slots.unseal("a")
        bench.slots.seal("a", b"")
        bench.slots.switch("a")
        bench.start("a", "1.2.0")
        for _ in range(turns):
            bench.updater.poll()
        bench.updater.round_trip()
        assert Record("boot.state").load() == {"slot": "a", "boots": 0}
        if turns:
            # both slots were in use
            assert bench.final()[:2] == ("Failure", "UpdateAlreadyInProgress")
        else:
            assert bench.updater.job and bench.said()[-1][0] != "Success"


def test_an_update_to_whatever_version_its_file_has_ends_too():
    bench = Bench()
    # agent.update(None, file_id): the product knows the file only
    bench.updater.request(NOTICE, UUID, URL)
    bench.turn()
    bench.start("a", "1.1.0")
    bench.updater.round_trip()
    assert bench.final() == ("Success", "", "")
    # what was confirmed before the end was saved
    job = {"id": OTHER, "kind": NOTICE, "url": URL, "file": None, "want": None, "downgrade": False, "at": [4, 100]}
    Record("update").save({"job": dict(job, phase="trial", slot="a", to="1.1.0")})
    bench.start("a", "1.1.0")
    assert bench.final(OTHER) == ("Success", "", "") and not bench.updater.job
