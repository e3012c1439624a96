# Bundles and requests that an update refuses: not for this board, not of this signer, not what was asked for.
import os

import bundle_maker as maker
from redpoll.update.errors import Failed
from redpoll.update.updater import COMMAND, EDGEHOG
from update_bench import OLD, OTHER, URL, UUID, Bench

HEAP = "512K"


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


def test_a_bundle_that_names_this_board_among_others_is_taken():
    bench = Bench(boards=["esp32", "unix"])
    bench.update()
    assert bench.world.restarts == 1


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
    assert not bench.server.requests


def test_a_request_that_is_refused_twice_has_one_final_event_until_it_is_told():
    bench = Bench()
    for number in range(12):
        bench.updater.refuse(COMMAND, "request %d" % number, "InvalidRequest", "no")
    # also those that are no longer among the finished
    for number in range(12):
        assert bench.updater.knows("request %d" % number)
        bench.updater.refuse(COMMAND, "request %d" % number, "InvalidRequest", "no")
        assert bench.final("request %d" % number)[0] == "Failure"


def test_what_is_told_does_not_name_the_address():
    bench = Bench()
    bench.server.instead = [OSError(111)] * 9
    bench.update()
    assert not any("signature=1" in e["message"] or "files.example" in e["message"] for e in bench.world.events)
