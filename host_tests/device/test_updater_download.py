# How an update fetches its bundle, with a server that behaves as the test wants.
import os
import sys

import bundle_maker as maker
import scratch
from redpoll.flash.record import Record
from redpoll.net.http import HTTPError
from redpoll.update.download import Download
from redpoll.update.updater import EDGEHOG, NOTICE
from update_bench import NEW, OLD, OTHER, URL, UUID, Bench, Server

HEAP = "512K"


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


def test_pieces_from_one_server_come_over_one_connection():
    server = Server(bytes(9000))
    made = []

    def client(base):
        made.append(server.client(base))
        return made[-1]

    download = Download(URL, client, _ignore)
    for first in range(0, 9000, 3000):
        for _ in download.get(first, first + 3000, _ignore):
            pass
    assert len(made) == 1
    # the one before is closed before another is opened
    made[0].close = lambda: made.append("closed")
    server.instead = [(302, {"location": "http://other.example/"}, b"")]
    for _ in download.get(0, 3000, _ignore):
        pass
    assert made[1:] == ["closed", made[-1]] and server.requests[-1][0] == "http://other.example:80"


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


def test_a_download_tells_how_far_it_is():
    bench = Bench()
    bench.server.pace = 512
    bench.server.cuts = [len(bench.server.data) - 2000]
    bench.update()
    said = bench.said()
    before = [progress for status, progress, _ in said[: said.index(("Error", 100, "NetworkError"))] if status == "Downloading"]
    assert 30 <= before[-1] <= 60


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
