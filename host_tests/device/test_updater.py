# An update from its request to its final event, with a server that behaves as the test wants.
import os
import sys

import bundle_maker as maker
import scratch
from redpoll import log
from redpoll.flash.record import Record
from redpoll.net.http import HTTPError
from redpoll.update.download import Download
from redpoll.update.errors import Failed
from redpoll.update.slots import Slots
from redpoll.update.updater import COMMAND, EDGEHOG, NOTICE, Updater
from support import raises
from update_bench import NEW, OLD, OTHER, URL, UUID, Bench, Server

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
    assert downloading[0] == 0 and downloading[-1] == 100 and all(p in TENTHS for p in downloading)
    assert all(e["time"] >= 1628063144122 for e in bench.world.events)


def test_after_the_restart_the_cloud_confirms_it():
    bench = Bench()
    bench.update()
    bench.start("a", "1.1.0")
    assert bench.said()[-1] == ("Rebooting", 100, "")
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


def test_a_rolled_back_slot_that_cannot_be_cleared_does_not_keep_the_board_from_starting():
    bench = Bench()
    bench.update()
    clear = Slots.clear

    def fail(slots):
        raise OSError(28, "ENOSPC")

    Slots.clear = fail
    try:
        bench.start("")
    finally:
        Slots.clear = clear
    assert bench.slots.rolled_back() == "a"
    bench.start("")
    assert not bench.slots.rolled_back()


def test_without_a_trial_a_round_trip_writes_nothing():
    bench = Bench()
    bench.updater.round_trip()
    bench.updater.told(UUID)
    assert not Record("boot.state").load() and not Record("update").load()


def test_a_trial_that_the_flash_does_not_let_be_confirmed_is_confirmed_by_a_later_round_trip():
    bench = Bench()
    bench.update()
    bench.start("a", "1.1.0")
    save = bench.slots._record.save
    bench.slots._record.save = scratch.full
    bench.updater.round_trip()
    assert bench.updater.waits() and bench.updater.job and "Success" not in bench.statuses()
    bench.slots._record.save = save
    bench.updater.round_trip()
    assert bench.final() == ("Success", "", "") and not bench.updater.waits()


def test_what_cannot_be_remembered_is_not_put_on_trial():
    bench = Bench()
    save = bench.updater._record.save

    def full_at_the_end(stored):
        if "job" in stored and stored["job"]["phase"] == "trial":
            raise OSError(28)
        save(stored)

    bench.updater._record.save = full_at_the_end
    bench.update()
    assert bench.final()[:2] == ("Failure", "IOError")
    assert not bench.world.restarts and not Record("boot.state").load()


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


def test_an_error_that_nobody_foresaw_ends_the_update_and_not_the_loop():
    bench = Bench()
    bench.world.key_error = KeyError("what")
    bench.update()
    assert bench.final()[:2] == ("Failure", "InternalError")


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


def test_only_what_differs_is_fetched():
    bench = Bench()
    bench.update()
    # the head is looked at in two requests and then kept; the file that stays is too small to be asked around
    assert [r for _, _, r in bench.server.requests] == ["bytes=0-511", "bytes=512-1050", "bytes=0-1050", "bytes=1051-6804"]
    bench = Bench(NEW + [("zz", bytes(5000)), ("zzz", b"new")], OLD + [("zz", bytes(5000))])
    bench.update()
    assert len(bench.server.requests) == 5 and bench.server.sent < 9000
    bench = Bench(old=NEW)
    bench.update()
    assert len(bench.server.requests) == 3
    assert bench.holds("a") == dict(NEW)
    assert ("Downloading", 100, "") in bench.said()


def test_a_long_file_is_read_with_pauses_and_another_is_told_by_its_size():
    from redpoll.update import files

    scratch.write("long", b"x" * 20000)
    got = []
    assert len(list(files.read("long", lambda data: got.append(len(data))))) == 2
    assert sum(got) == 20000 and max(got) <= 1024
    files.open = None
    try:
        assert list(files.same("long", {"size": 19999, "sha256": ""})) == []
    finally:
        del files.open


def test_files_without_content_are_made_too():
    empty = [("empty.txt", b""), ("lib/empty.py", b"")]
    for files, old in ((NEW + empty, OLD), (empty[:1] + NEW + empty[1:], NEW), (empty, OLD)):
        bench = Bench(files, old)
        bench.update()
        assert bench.world.restarts == 1, bench.final()
        assert bench.holds("a") == dict(files)


def test_of_many_files_those_that_differ_are_fetched():
    old = [("file_%02d.txt" % number, b"%d" % number * 600) for number in range(30)]
    new = [(name, b"n" + content if number % 7 == 3 or number > 27 else content) for number, (name, content) in enumerate(old)]
    bench = Bench(new, old)
    bench.update()
    assert bench.holds("a") == dict(new)
    assert len(bench.server.requests) == 3 + 5


def test_an_entry_of_another_name_is_no_file_of_the_manifest():
    bench = Bench()
    at = bench.server.data.index(b"main.pyprint") + 6
    bench.server.data = bench.server.data[:at] + b"X" + bench.server.data[at + 1 :]
    bench.update()
    assert bench.final()[1] == "InvalidBaseImage" and "SHA-256" not in bench.final()[2]


def test_a_server_without_ranges_is_streamed():
    bench = Bench()
    bench.server.ranges = False
    bench.update()
    assert bench.holds("a") == dict(NEW)
    assert bench.world.restarts == 1


def test_a_cut_anywhere_goes_on_where_it_broke():
    for ranges in (True, False):
        whole = Bench()
        whole.server.ranges = ranges
        whole.update()
        sent = whole.server.sent
        for cut in range(0, sent, 997):
            bench = Bench()
            bench.server.ranges = ranges
            bench.server.cuts = [cut, cut + 200]
            bench.update()
            assert bench.world.restarts == 1, bench.said()
            assert bench.holds("a") == dict(NEW)
            errors = [code for status, _, code in bench.said() if status == "Error"]
            assert errors and all(code == "NetworkError" for code in errors)
            bench.statuses()
            if ranges:
                # nothing came twice
                assert bench.server.sent <= sent, (cut, bench.server.sent, sent)


def test_after_five_attempts_it_fails_with_growing_waits():
    bench = Bench()
    bench.server.instead = [(404, {}, b"not found")] * 9
    began = bench.ticks.ms
    bench.update()
    assert bench.final() == ("Failure", "NetworkError", "OSError: the server answered 404")
    assert len(bench.server.requests) == 5
    assert 30000 <= bench.ticks.ms - began < 31000
    assert [s for s, _, _ in bench.said()].count("Error") == 4
    assert bench.holds("a") == {}
    assert Record("boot.state").load() is None


def test_servers_that_recover_are_waited_for():
    for instead in (
        (500, {}, b"oops"),
        (404, {}, b"x" * 9000),
        (200, {"content-length": "0"}, b""),
        (206, {"content-range": "bytes 7-8/99"}, b"xx"),
        (206, {}, b"xx"),
        (204, {}, b""),
        (200, {"content-type": "text/html; charset=utf-8", "content-length": "1800"}, b"<html>sign in here" * 100),
        (206, {"content-type": "text/html", "content-range": "bytes 0-511/99"}, b"<html>" * 99),
        OSError(113),
        OSError(-2),
        MemoryError(),
    ):
        bench = Bench()
        bench.server.instead = [instead] * 2
        bench.update()
        assert bench.world.restarts == 1, (instead, bench.said())
        assert [s for s, _, _ in bench.said()].count("Error") == 2


def test_a_server_that_calls_a_bundle_a_page_is_believed_by_what_it_sends():
    bench = Bench()
    bench.server.instead = [(200, {"content-type": "text/html; charset=utf-8"}, bench.server.data)]
    bench.update()
    assert bench.world.restarts == 1
    assert "Error" not in [status for status, _, _ in bench.said()]


def loaded_again(package, name):
    # a module as the next import gives it after port.unload; the first one stays for everybody else
    path = package + "." + name
    first = sys.modules.pop(path)
    try:
        return __import__(path, None, None, (name,))
    finally:
        sys.modules[path] = first
        setattr(sys.modules[package], name, first)


def test_what_is_no_http_is_asked_again_also_by_a_client_that_was_loaded_after_the_update_began():
    broken = loaded_again("redpoll.net", "http").HTTPError
    assert broken is not HTTPError
    bench = Bench()
    bench.server.instead = [broken("the server does not speak HTTP")] * 2
    calls = [broken("malformed status line"), {"url": URL}]

    class Call:
        def poll(self):
            found = calls.pop(0)
            if isinstance(found, Exception):
                raise found
            return found

        def close(self):
            pass

    bench.world.find = lambda file_id: Call()
    bench.update(url=None, file_id="f1")
    assert bench.world.restarts == 1, bench.said()
    errors = [event for event in bench.world.events if event["status"] == "Error"]
    assert [event["code"] for event in errors] == ["NetworkError"] * 3
    assert [event["message"][:10] for event in errors] == ["HTTPError:"] * 3


def test_a_server_that_stalls_is_left_and_asked_again():
    for stall in (0, 600, 3000, 5000):
        bench = Bench()
        bench.server.stalls = [stall]
        bench.update()
        assert bench.world.restarts == 1
        assert [(status, code) for status, _, code in bench.said() if status == "Error"] == [("Error", "NetworkError")]


def test_a_server_that_brings_little_at_a_time_is_no_failure():
    bench = Bench()
    bench.server.pace = 7
    bench.update()
    assert bench.world.restarts == 1
    assert "Error" not in bench.statuses()


def test_the_central_directory_of_the_zip_is_not_looked_at():
    # the manifest alone says what is in it: whoever changes the rest changes nothing
    signed, body = maker.manifest(NEW)
    other = maker.u16(1) * 40
    for tail in (b"", b"PK\1\2" + other + b"main.py", b"PK\6\6" + other, b"PK\5\6" + b"\xff" * 18, body):
        bench = Bench(data=maker.assemble(signed, body, tail=tail))
        bench.update()
        assert bench.world.restarts == 1, bench.said()
        assert bench.holds("a") == dict(NEW)


def test_bodies_that_are_shorter_than_they_say_fail():
    for name in ("says_less", "sends_less"):
        bench = Bench()
        setattr(bench.server, name, 100)
        bench.server.ranges = False
        bench.server.data = bench.server.data[:3000]
        bench.update()
        assert bench.final()[1] in ("NetworkError", "InvalidBaseImage")


def test_a_truncated_file_is_no_bundle():
    for size in (0, 10, 60, 400, 1000, 2000):
        bench = Bench()
        bench.server.data = bench.server.data[:size]
        bench.update()
        assert bench.final()[1] in ("NetworkError", "InvalidBaseImage"), size
        assert not bench.slots.sealed("a")


def test_redirects_are_followed_as_far_as_it_is_safe():
    bench = Bench()
    bench.server.instead = [(302, {"location": "http://other.example:81/b?x=1"}, b"moved")]
    bench.update()
    assert bench.world.restarts == 1
    assert bench.server.requests[1][:2] == ("http://other.example:81", "/b?x=1")
    for location in ("", "ftp://x/", "//x/y", "http://"):
        bench = Bench()
        bench.server.instead = [(302, {"location": location}, b"")] * 9
        bench.update()
        assert bench.final()[1] == "NetworkError"
    bench = Bench()
    bench.server.instead = [(302, {"location": "/again"}, b"")] * 99
    bench.update()
    assert bench.final()[:2] == ("Failure", "NetworkError") and "redirected" in bench.final()[2]
    for scheme in ("https", "HTTPS"):
        bench = Bench()
        bench.server.instead = [(302, {"location": "http://plain.example/"}, b"")] * 9
        bench.update(url=scheme + "://safe.example/b.zip")
        assert "not safe" in bench.final()[2]


def test_a_redirect_within_a_server_is_followed_there():
    bench = Bench()
    bench.server.instead = [(302, {"location": "/elsewhere?signature=2"}, b"")]
    bench.update()
    assert bench.world.restarts == 1
    assert [request[:2] for request in bench.server.requests[:2]] == [
        ("http://files.example:80", "/bundle.zip?signature=1"),
        ("http://files.example:80", "/elsewhere?signature=2"),
    ]


def test_an_answer_that_is_no_part_of_a_file_costs_an_attempt_and_is_not_read_to_its_end():
    for status, headers, body, most in (
        (500, {}, bytes(200000), 20000),
        (206, {}, b"PK" * 50, 100),
        (206, {"content-range": "bytes */800"}, b"PK" * 50, 100),
        (206, {"content-range": "pieces 0-99/800"}, b"PK" * 50, 100),
    ):
        bench = Bench()
        bench.server.instead = [(status, headers, body)]
        assert bench.updater.request(EDGEHOG, UUID, URL) is None
        while "Error" not in bench.statuses():
            bench.ticks.ms += bench.updater.poll()
        assert bench.server.sent <= most
        bench.turn()
        assert bench.world.restarts == 1 and bench.holds("a") == dict(NEW)


class Asked:
    """Stands for the call that asks the cloud where a file is: what its polls return or raise."""

    open = 0

    def __init__(self, *answers):
        self._answers = list(answers)
        Asked.open += 1

    def poll(self):
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self):
        Asked.open -= 1


def test_a_file_that_is_named_by_its_id_is_asked_for_at_the_cloud():
    bench = Bench()
    calls = [
        OSError(113),
        Asked(None, OSError(104)),
        Asked(None, ValueError("no JSON")),
        Asked(None, None, {"url": URL}),
    ]
    asked = []

    def find(file_id):
        asked.append(file_id)
        call = calls.pop(0)
        if isinstance(call, Exception):
            raise call
        return call

    bench.world.find = find
    assert bench.updater.request(NOTICE, UUID, None, wanted="1.1.0", file_id="f-1") is None
    bench.turn()
    assert bench.world.restarts == 1 and bench.holds("a") == dict(NEW)
    assert asked == ["f-1"] * 4 and Asked.open == 0
    assert len([event for event in bench.said() if event[0] == "Error"]) == 3
    # an address that the cloud itself gives wrong does not get better
    bench = Bench()
    bench.world.find = lambda file_id: Asked({"url": "ftp://files.example/x"})
    bench.updater.request(NOTICE, UUID, None, wanted="1.1.0", file_id="f-1")
    bench.turn()
    assert bench.final()[:2] == ("Failure", "InvalidRequest") and Asked.open == 0


def test_an_id_of_a_file_that_could_be_a_path_is_refused():
    for file_id in ("a/b", "", 5, "x" * 65):
        bench = Bench()
        assert bench.updater.request(NOTICE, UUID, None, wanted="1.1.0", file_id=file_id)[0] == "InvalidRequest", file_id


def test_a_network_that_is_gone_between_two_requests_costs_an_attempt_and_no_byte():
    undisturbed = Bench()
    undisturbed.update()
    assert len(undisturbed.server.requests) == 4
    for gone in range(4):
        bench = Bench()
        looked = []

        def ready(gone=gone, looked=looked):
            looked.append(len(looked) == gone)
            if looked[-1]:
                raise OSError("the Wi-Fi is down")

        bench.world.ready = ready
        bench.update()
        assert bench.world.restarts == 1
        assert bench.holds("a") == dict(NEW)
        assert [code for _, _, code in bench.said() if code] == ["NetworkError"], gone
        # before each of the four requests, and again before the one that was not made
        assert len(looked) == 5
        assert bench.server.requests == undisturbed.server.requests and bench.server.sent == undisturbed.server.sent


def _ignore(value):
    pass


def test_each_step_of_a_download_opens_one_connection_at_most():
    # each may take as long as a watchdog lets it
    server = Server(bytes(9000))
    server.instead = [(302, {"location": "http://other-%d.example/" % n}, b"") for n in range(3)]
    made = 0
    for _ in Download(URL, server.client, _ignore).get(0, 9000, _ignore):
        assert len(server.requests) <= made + 1
        made = len(server.requests)
    assert made == 4


def test_a_server_that_sends_more_than_it_was_asked_for_is_not_listened_to_for_ever():
    server = Server(b"")
    server.instead = [(206, {"content-range": "bytes 0-99/200"}, bytes(100000))]
    download = Download(URL, server.client, _ignore)
    came = []
    for _ in download.get(0, 100, lambda data: came.append(len(data))):
        pass
    assert sum(came) == 100 and download.received < 10000


def test_what_the_new_version_does_not_have_goes_from_the_slot():
    bench = Bench()
    for name in ("old.py", "lib/old.py", "lib/deep/er/x.txt", "z.txt", "redpoll/b.mpy"):
        scratch.write_below(bench.root, "slot_a/" + name, b"of an earlier version")
    bench.update()
    assert bench.world.restarts == 1
    assert bench.holds("a") == dict(NEW)
    # empty folders take blocks
    assert "deep" not in os.listdir("slot_a/lib")


def test_a_manifest_that_is_another_one_the_second_time_is_not_taken():
    bench = Bench()
    server = bench.server
    server.etag = None
    at = server.data.find(b'"sha256":"') + 10
    other = server.data[:at] + (b"0" if server.data[at : at + 1] != b"0" else b"1") + server.data[at + 1 :]
    assert bench.updater.request(EDGEHOG, UUID, URL) is None
    # its signature was found good
    while "slot_a" not in os.listdir():
        bench.ticks.ms += bench.updater.poll()
    server.data = other
    bench.turn()
    assert bench.final()[:2] == ("Failure", "InvalidBaseImage")
    assert not bench.slots.sealed("a") and not bench.world.restarts


def test_a_bundle_that_changes_meanwhile_is_begun_again():
    bench = Bench()
    other = maker.make([("main.py", b"other\n"), ("z.txt", b"z" * 3000)], "1.1.1")
    steps = 0
    assert bench.updater.request(EDGEHOG, UUID, URL) is None
    while not bench.world.restarts:
        bench.ticks.ms += bench.updater.poll()
        steps += 1
        if len(bench.server.requests) == 3 and bench.server.etag == '"1"':
            bench.server.data = other
            bench.server.etag = '"2"'
    assert bench.holds("a") == {"main.py": b"other\n", "z.txt": b"z" * 3000}
    assert ("Error", 100, "NetworkError") in bench.said()


def test_a_bundle_of_the_same_length_with_another_etag_is_another_one():
    changed = [("main.py", b"print('1.1.1')\n")] + NEW[1:]
    other = Bench(changed).server.data
    bench = Bench()
    assert len(other) == len(bench.server.data)
    assert bench.updater.request(EDGEHOG, UUID, URL) is None
    while not bench.server.sent > 4000:
        bench.ticks.ms += bench.updater.poll()
    bench.server.data = other
    bench.server.etag = '"2"'
    bench.server.cuts = [bench.server.sent + 1]
    bench.turn()
    assert bench.world.restarts == 1
    assert bench.holds("a") == dict(changed)


def test_what_does_not_fit_this_board_is_refused_before_anything_is_written():
    for about, text in (
        ({"boards": ["esp32", "rp2"]}, "esp32, rp2"),
        ({"micropython": "9.0.0"}, "MicroPython 9.0.0"),
        ({"mpy": 99}, "bytecode"),
        ({"version": "0.9.0"}, "downgrade"),
        ({"format": 2}, "format"),
    ):
        bench = Bench(**about)
        bench.update()
        assert bench.final()[:2] == ("Failure", "InvalidBaseImage")
        assert text in bench.final()[2], bench.final()
        assert "slot_a" not in os.listdir()


def test_a_downgrade_needs_a_permission_in_the_request():
    bench = Bench(version="0.9.0")
    bench.update(downgrade=True)
    assert bench.world.restarts == 1


def test_the_version_that_was_asked_for_must_be_the_bundles():
    bench = Bench()
    bench.update(wanted="1.2.0")
    assert bench.final()[1] == "InvalidBaseImage" and "1.2.0 was asked for" in bench.final()[2]
    bench.update(OTHER, wanted="v1.1")
    assert bench.world.restarts == 1


def test_a_bundle_of_another_signer_leaves_the_slot_as_it_was():
    bench = Bench()
    bench.update()
    bench.start("a", "1.1.0")
    bench.updater.round_trip()
    before = bench.holds("a"), bench.holds("b")
    signed, body = maker.manifest(OLD, "2.0.0")
    bench.server.data = maker.assemble(signed, body, bytes(256))
    bench.server.etag = '"3"'
    bench.update(OTHER)
    assert bench.final(OTHER)[:2] == ("Failure", "InvalidBaseImage")
    assert (bench.holds("a"), bench.holds("b")) == before


def test_a_file_that_is_not_the_signed_one_is_found():
    for at in (-30, -2000):
        bench = Bench()
        damaged = bytearray(bench.server.data)
        damaged[at] ^= 1
        bench.server.data = bytes(damaged)
        bench.update()
        assert bench.final()[:2] == ("Failure", "InvalidBaseImage"), bench.said()
        assert not bench.slots.sealed("a")
        assert bench.world.restarts == 0


def test_requests_that_make_no_sense_are_refused():
    bench = Bench()
    for url in (None, "", 5, "ftp://x/y", "http://", "x" * 2000, "http://user:pass@host/"):
        assert bench.updater.request(EDGEHOG, UUID, url)[0] == "InvalidRequest", url
    for wanted in ("next", 5):
        assert bench.updater.request(COMMAND, UUID, URL, wanted=wanted)[0] == "InvalidRequest"
        assert bench.updater.request(COMMAND, UUID, None, wanted=wanted, file_id="f1")[0] == "InvalidRequest"
    assert bench.updater.request(COMMAND, UUID, None, file_id="a/b")[0] == "InvalidRequest"
    assert bench.updater.job is None


def test_a_board_without_a_key_takes_nothing():
    bench = Bench()
    bench.world.key_error = Failed("InvalidBaseImage", "no key")
    bench.update()
    assert bench.final() == ("Failure", "InvalidBaseImage", "no key")


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


class Watched(Server):
    """Remembers its clients."""

    def client(self, base):
        self.clients.append(Server.client(self, base))
        return self.clients[-1]

    def connected(self):
        return any([client._body is not None for client in self.clients])


def test_one_that_ends_early_leaves_no_connection_open_and_the_next_one_does_not_wait():
    for end in ("canceled", "failed"):
        bench = Bench()
        server = Watched(bench.server.data)
        server.clients = []
        bench.world.client = server.client
        assert bench.updater.request(EDGEHOG, UUID, URL) is None
        while not server.connected():
            bench.ticks.ms += min(bench.updater.poll(), 900)
        if end == "canceled":
            bench.updater.cancel(UUID)
        else:
            server.data = b"no bundle" * 1000
            server.clients[-1]._body = memoryview(server.data)
            bench.turn()
            assert bench.final()[0] == "Failure"
        assert not server.connected(), end
        # while it waits before it asks a server again
        server.instead = [OSError(104)] * 3
        assert bench.updater.request(EDGEHOG, OTHER, URL) is None
        while len(server.instead) != 1:
            bench.ticks.ms += min(bench.updater.poll(), 900)
        assert bench.updater.poll() > 900
        bench.updater.cancel(OTHER)
        server.instead = []
        asked = len(server.requests)
        assert bench.updater.request(EDGEHOG, "third", URL) is None
        for _ in range(4):
            bench.updater.poll()
        assert len(server.requests) > asked


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


def test_a_request_that_is_refused_twice_has_one_final_event_until_it_is_told():
    bench = Bench()
    for number in range(12):
        bench.updater.refuse(COMMAND, "request %d" % number, "InvalidRequest", "no")
    # also those that are no longer among the finished
    for number in range(12):
        assert bench.updater.knows("request %d" % number)
        bench.updater.refuse(COMMAND, "request %d" % number, "InvalidRequest", "no")
        assert bench.final("request %d" % number)[0] == "Failure"


def test_an_automatic_update_that_went_well_may_be_made_again():
    bench = Bench()
    bench.updater.failed = "1.1.0"
    bench.updater.request(NOTICE, UUID, URL, wanted="1.1.0")
    bench.turn()
    bench.start("a", "1.1.0")
    bench.updater.round_trip()
    assert bench.final()[0] == "Success" and bench.updater.failed is None


def test_the_record_of_what_is_finished_does_not_grow():
    bench = Bench()
    for number in range(30):
        bench.updater.refuse(COMMAND, "request %d" % number, "InvalidRequest", "no")
        bench.updater.told("request %d" % number)
    assert len(Record("update").load()["finished"]) == 8
    bench.start("")
    # the last ones are known
    assert bench.updater.knows("request 29") and bench.updater.knows("request 22") and not bench.updater.knows("request 21")


def test_a_record_that_the_flash_does_not_take_is_tried_again_once_a_minute():
    bench = Bench()
    real = bench.updater._record.save
    tried = []

    def full(value):
        tried.append(bench.ticks.ms)
        raise OSError(28)

    bench.updater._record.save = full
    bench.updater.refuse(COMMAND, OTHER, "InvalidRequest", "no")
    bench.turn_for(150000)
    assert len(tried) == 3 and bench.updater.busy()
    bench.updater._record.save = real
    bench.turn_for(60000)
    bench.start("")
    assert bench.updater.knows(OTHER)


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


def test_a_damaged_record_is_no_record():
    for value in ([], {"job": 5}, {"job": {"id": "x"}}, {"finals": [1]}, {"finals": "x"}, {"finals": [[1, 2]]}, {"finished": 3}):
        Record("update").save(value)
        bench = Bench()
        assert not bench.updater.busy()
        bench.updater.refuse(EDGEHOG, UUID, "InvalidRequest", "no")
        assert bench.final()[0] == "Failure"


def test_a_record_of_another_version_does_not_keep_the_board_from_starting():
    bench = Bench()
    bench.update()
    kept = Record("update").load()
    # what this version understands of it, it uses
    Record("update").save({"job": dict(kept["job"], phase="later", more=1)})
    bench.start("")
    assert bench.final()[:2] == ("Failure", "SystemRollback")
    for key, value in (("phase", "later"), ("at", 7), ("at", ["Rebooting", 0]), ("id", 5), ("slot", None), ("to", None), ("url", None)):
        job = dict(kept["job"])
        job[key] = value
        if key == "phase" or value is None:
            del job[key if value is None else "slot"]
        Record("update").save({"job": job})
        for slot in ("a", ""):
            bench.start(slot)
            assert not bench.updater.job, (key, value)


def test_a_full_flash_ends_in_an_io_error():
    bench = Bench()
    os.mkdir("slot_a")
    scratch.write("slot_a/lib", b"in the way")
    bench.slots.unseal("a")

    def full(path, mode="r"):
        if mode == "wb" and path.endswith("a.mpy"):
            raise OSError(28, "ENOSPC")
        return open(path, mode)

    from redpoll.update import fill

    fill.open = full
    try:
        bench.update()
    finally:
        del fill.open
    assert bench.final()[:2] == ("Failure", "IOError")


def test_a_manifest_that_the_flash_does_not_give_back_ends_in_an_io_error():
    from redpoll.update import prepare

    class Worn:
        """A file of which the flash loses where the list of files begins, or ends too early."""

        def __init__(self, path, mode, wrong):
            self._file = open(path, mode)  # noqa: SIM115
            self._wrong = wrong

        def write(self, data):
            self._file.write(bytes(data).replace(*self._wrong))

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self._file.close()

    for wrong in ((b'"files":[', b'"filfs":['), (b"},{", b"}]{"), (b"z.txt", b"z.txu")):
        bench = Bench()
        prepare.open = lambda path, mode, wrong=wrong: Worn(path, mode, wrong)
        try:
            bench.update()
        finally:
            del prepare.open
        assert bench.final() == ("Failure", "IOError", "flash: manifest.json cannot be read as it was written")
        assert not bench.slots.sealed("a")


def test_a_copy_that_the_flash_does_not_give_back_ends_in_an_io_error():
    from redpoll.update import deploy

    class Worn:
        def __init__(self, path, mode):
            self._path = path

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def write(self, data):
            scratch.write(self._path, bytes(len(data)))

    bench = Bench()
    deploy.open = Worn
    try:
        bench.update()
    finally:
        del deploy.open
    assert bench.final() == ("Failure", "IOError", "flash: lib/readings.py cannot be read as it was written")


def test_it_is_deployed_once_the_slot_is_complete():
    bench = Bench()

    def seal(*what):
        raise OSError(28)

    bench.slots.seal = seal
    bench.update()
    assert bench.final()[:2] == ("Failure", "IOError")
    assert [progress for status, progress, _ in bench.said() if status == "Deploying"] == TENTHS[:-1]


def test_a_download_tells_how_far_it_is():
    bench = Bench()
    bench.server.pace = 512
    bench.server.cuts = [len(bench.server.data) - 2000]
    bench.update()
    said = bench.said()
    before = [progress for status, progress, _ in said[: said.index(("Error", 100, "NetworkError"))] if status == "Downloading"]
    assert 30 <= before[-1] <= 60


def test_too_little_flash_is_noticed_before_anything_is_written():
    from redpoll.flash import room

    class Small:
        def __init__(self, left):
            self.left = left

        def __getattr__(self, name):
            return getattr(os, name)

        def statvfs(self, path):
            return (4096, 4096, 20, self.left, self.left, 0, 0, 0, 0, 255)

    # LittleFS counts shared blocks twice, so that less than nothing may be left
    for left in (6, -16):
        bench = Bench()
        room.os = Small(left)
        try:
            bench.update()
        finally:
            room.os = os
        assert bench.final()[:2] == ("Failure", "IOError") and "KB are free" in bench.final()[2]
        assert "-" not in bench.final()[2]
        assert "slot_a" not in os.listdir()


def test_what_the_slot_holds_counts_as_room_with_its_folders():
    from redpoll.flash import room

    class Flash:
        def __getattr__(self, name):
            return getattr(os, name)

        def statvfs(self, path):
            # LittleFS counts the two blocks of each folder twice
            said = left - 2 * room._folders("")
            return (4096, 4096, 100, said, said, 0, 0, 0, 0, 255)

    def is_enough():
        bench = Bench()
        if filled:
            os.mkdir("slot_a")
            for name, content in NEW:
                scratch.write_below("slot_a", name, content)
        room.os = Flash()
        try:
            bench.update()
        finally:
            room.os = os
        return bench.world.restarts == 1

    # what the slot needs for itself and what stays free; where it is empty also three files and two folders
    for filled, needed in ((True, 10), (False, 17)):
        left = needed - 1
        assert not is_enough(), filled
        left = needed
        assert is_enough(), filled


def test_what_is_told_does_not_name_the_address():
    bench = Bench()
    bench.server.instead = [OSError(111)] * 9
    bench.update()
    assert not any("signature=1" in e["message"] or "files.example" in e["message"] for e in bench.world.events)


def test_a_moment_without_memory_costs_an_attempt_and_not_the_update():
    # half of the piece that has come is used then
    for module, owner, name in (
        ("manifest", "Checked", "_check"),
        ("fill", "_Files", "_next"),
        ("unpack", "Unpacker", "begin"),
        ("unpack", "Unpacker", "_write"),
    ):
        bench = Bench()
        # the update before has unloaded it
        put_back = failing(getattr(__import__("redpoll.update." + module, None, None, (owner,)), owner), name, 2)
        try:
            bench.update()
        finally:
            put_back()
        assert bench.world.restarts == 1, (name, bench.said())
        assert bench.holds("a") == dict(NEW)
        assert [code for status, _, code in bench.said() if status == "Error"] == ["InternalError"]
        bench.statuses()


def test_a_version_that_is_confirmed_without_memory_to_say_so_is_told_later():
    bench = Bench()
    bench.update()
    bench.start("a", "1.1.0")
    put_back = failing(Updater, "_finish", 1)
    try:
        with raises(MemoryError):
            bench.updater.round_trip()
    finally:
        put_back()
    assert bench.updater.job
    bench.updater.round_trip()
    assert bench.final() == ("Success", "", "")
    assert not bench.updater.job and not bench.updater.waits()


def test_an_end_for_which_there_is_no_memory_is_told_and_saved_later():
    for saved in (False, True):
        bench = Bench()
        bench.server.instead = [(404, {}, b"")] * 5
        owner, name = (bench.updater._record, "try_save") if saved else (bench.world, "tell")
        whole = getattr(owner, name)

        def short(value, saved=saved, whole=whole):
            if "job" not in value if saved else value["status"] == "Failure":
                raise MemoryError
            return whole(value)

        setattr(owner, name, short)
        with raises(MemoryError):
            bench.update()
        setattr(owner, name, whole)
        assert not bench.updater.job and bench.updater.busy()
        bench.turn_for(61000)
        assert bench.final()[:2] == ("Failure", "NetworkError")
        assert len(Record("update").load()["finals"]) == 1


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


def test_what_fails_once_boot_py_is_told_does_not_end_the_update():
    for number in range(4):
        bench = Bench()
        told = []

        def tell(event, bench=bench, told=told, number=number):
            if Record("boot.state").load():
                told.append(event)
                if len(told) == number + 1:
                    raise MemoryError
            bench.world.events.append(event)

        bench.world.tell = tell
        bench.update()
        assert bench.world.restarts == 1 and len(told) == number + 1
        assert bench.updater.request(EDGEHOG, OTHER, URL)[0] == "UpdateAlreadyInProgress"
        bench.start("a", "1.1.0")
        bench.updater.round_trip()
        assert bench.final() == ("Success", "", "")


def failing(owner, name, call):
    """Let this call of a method find no memory. Returns what ends it."""
    method = getattr(owner, name)
    calls = []

    def fail(*values):
        calls.append(1)
        if len(calls) == call:
            raise MemoryError
        return method(*values)

    setattr(owner, name, fail)
    return lambda: setattr(owner, name, method)


def test_an_update_that_could_not_even_be_ended_for_want_of_memory_is_ended_later():
    from redpoll.update import updater

    class NoMemory:
        def __getattr__(self, name):
            return getattr(log, name)

        def redact(self, text):
            raise MemoryError

    bench = Bench()
    bench.server.instead = [MemoryError()] * 9
    updater.log = NoMemory()
    try:
        assert bench.updater.request(EDGEHOG, UUID, URL) is None
        with raises(MemoryError):
            bench.turn()
    finally:
        updater.log = log
    assert bench.updater.job and not bench.updater.finals
    bench.turn()
    assert bench.final()[:2] == ("Failure", "InternalError")
    assert not bench.updater.job
