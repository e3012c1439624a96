import json
import os
from binascii import b2a_base64, hexlify

import rsa_vectors as vectors
from redpoll import log, rsa
from redpoll.clock import Clock
from redpoll.cloud.timestamps import parse_iso
from redpoll.flash.record import Record
from redpoll.licenses import Licenses, of_device
from redpoll.settings import Settings
from scratch import Ticks, read, write

NOW = parse_iso("2026-11-21T12:00:00Z")
DAY = 86400000
OTHER_KEY = vectors.SPKI_3072
_signed = {}


def base64_of(data):
    # each distinct text is signed once: the private operation takes long
    if data not in _signed:
        _signed[data] = b2a_base64(vectors.sign(data.encode())).decode().strip()
    return _signed[data]


def message(license_id="l1", data="seat 1", action="add", **more):
    """What the cloud sends (reference xyte §2)."""
    told = {"id": license_id, "data": data, "action": action}
    told.update(more)
    if "signature" not in more:
        told["signature"] = base64_of(data)
    return told


class Bench:
    """A device with its licences; `boot` is a restart. `wall` is what its chip knows of the time."""

    def __init__(self, wall=NOW, key=vectors.SPKI_2048, **settings):
        self.settings = settings
        self.key = key
        self.own = {"device_id": "d1", "sn": "s1"}
        self.boot(wall)

    def boot(self, wall):
        self.ticks = Ticks()
        self.clock = Clock(self.ticks, lambda: wall)
        self.licenses = Licenses("licenses", self.clock, self.key, own=lambda: self.own, **self.settings)
        self.valid = self.licenses.valid
        return self

    def told(self, *arguments, **more):
        """Hand over a message; what the device answers."""
        told = message(*arguments, **more)
        return self.licenses.on_license(told["id"], told["action"], told)

    def error(self, *arguments, **more):
        """Hand over a message that is refused; the reason."""
        before = self.licenses.names()
        state, reason = self.told(*arguments, **more)
        assert state == "error" and reason and len(reason) <= 200
        assert self.licenses.names() == before
        return reason


# add, update, remove


def test_an_added_licence_is_in_use_and_valid_under_its_id():
    bench = Bench()
    assert not bench.valid("l1")
    assert bench.told() == ("inuse", None)
    assert bench.valid("l1")
    assert bench.licenses.names() == ["l1"]
    assert bench.licenses.data("l1") == "seat 1"


def test_data_that_is_a_json_object_names_the_licence():
    bench = Bench()
    bench.told("l1", '{"name": "recording", "seats": 5}')
    bench.told("l2", ' {"feature": "zoom"}')
    bench.told("l3", '{"seats": 5}')
    bench.told("l4", "[1]")
    assert bench.licenses.names() == ["l3", "l4", "recording", "zoom"]
    assert not bench.valid("l1")
    assert json.loads(bench.licenses.data("recording"))["seats"] == 5
    assert bench.licenses.data("l1") is None


def test_an_update_replaces_and_may_rename():
    bench = Bench()
    bench.told("l1", '{"name": "basic"}')
    assert bench.told("l1", '{"name": "pro"}', "update") == ("inuse", None)
    assert bench.licenses.names() == ["pro"]


def test_an_update_of_what_is_not_held_adds_it():
    bench = Bench()
    assert bench.told(action="update") == ("inuse", None)
    assert bench.valid("l1")


def test_of_two_licences_of_one_name_one_that_has_not_expired_is_enough():
    early = ("l1", '{"name": "pro"}'), "2026-11-21T12:01:00Z"
    late = ("l2", '{"name": "pro", "seats": 5}'), "2026-11-21T12:02:00Z"
    for order in ((early, late), (late, early)):
        bench = Bench()
        for licence, expires in order:
            assert bench.told(*licence, expires_at=expires) == ("inuse", None)
        bench.ticks.ms = 60000
        assert bench.valid("pro") and bench.licenses.names() == ["pro"] and "seats" in bench.licenses.data("pro")
        bench.ticks.ms = 120000
        assert not bench.valid("pro")
        os.remove("licenses")


def test_a_removed_licence_is_not_valid_and_removing_again_is_answered_the_same():
    bench = Bench()
    bench.told()
    for _ in range(2):
        assert bench.licenses.on_license("l1", "remove", {"id": "l1", "remove": True}) == ("removed", None)
        assert bench.licenses.names() == []
    assert bench.licenses.on_license("never", "remove", {"id": "never", "remove": True}) == ("removed", None)


def test_booleans_say_the_action_as_well():
    bench = Bench()
    told = {"id": "l1", "data": "seat 1", "signature": base64_of("seat 1"), "add": True, "update": False, "remove": False}
    assert bench.licenses.on_license("l1", "add", told) == ("inuse", None)


def test_a_licence_delivered_again_is_in_use_without_another_write():
    bench = Bench()
    bench.told(expires_at="2027-01-01T00:00:00Z")
    os.remove("licenses")
    assert bench.told(expires_at="2027-01-01T00:00:00Z") == ("inuse", None)
    assert bench.told(action="update") == ("inuse", None)
    assert os.listdir() == []


# signatures


def test_without_a_key_add_and_update_are_refused_and_remove_is_not():
    bench = Bench(key="")
    for action in ("add", "update"):
        assert bench.error(action=action) == 'no licence key: set "license_key" in settings.json'
    assert bench.told(action="remove") == ("removed", None)


def test_the_key_may_be_in_a_file_and_may_come_later():
    bench = Bench(key="license.pem")
    assert "there is no file license.pem" in bench.error()
    write("license.pem", "no key")
    assert bench.error().startswith('"license_key": public key: ')
    write("license.pem", vectors.SPKI_2048)
    assert bench.told() == ("inuse", None)
    bench.boot(NOW)
    assert bench.valid("l1")


def test_the_key_may_be_a_jwk():
    key = rsa.load(vectors.SPKI_2048)
    n = b2a_base64(key.n.to_bytes(256, "big")).decode().strip()
    assert Bench(key={"kty": "RSA", "n": n, "e": "AQAB"}).told() == ("inuse", None)


def test_forged_signatures_are_refused():
    bench = Bench()
    good = base64_of("seat 1")
    for bad in ("", "AAAA", good[:-4], "AAAA" + good, base64_of("seat 2"), "B" + good[1:], good[:340] + "AA==", "A" * 342 + "=="):
        assert bench.error(signature=bad).startswith("signature: ")
    for bad in ("!" + good, good + good, good[:-1] + "!", "ü" + good):
        assert bench.error(signature=bad) == '"signature" is not base64'
    assert "does not match" in bench.error(data="seat 2", signature=good)
    assert bench.licenses.names() == []


def test_a_signature_by_another_key_is_refused():
    assert Bench(key=vectors.SPKI_E3).error().startswith("signature: ")


def test_every_algorithm_and_encoding_of_the_settings_is_verified():
    data = vectors.DATA.decode()
    for algorithm in rsa.ALGORITHMS:
        for encoding in ("base64", "hex"):
            bench = Bench(key=OTHER_KEY, algorithm=algorithm, encoding=encoding)
            signature = vectors.signature(OTHER_KEY, algorithm)
            text = (b2a_base64(signature) if encoding == "base64" else hexlify(signature)).decode()
            told = {"id": "l1", "data": data, "signature": text}
            assert bench.licenses.on_license("l1", "add", told) == ("inuse", None), (algorithm, encoding)
            told["data"] += " "
            assert bench.licenses.on_license("l2", "add", told)[0] == "error"
            os.remove("licenses")


def test_an_algorithm_or_encoding_other_than_that_of_the_settings_is_refused():
    assert "does not match" in Bench(algorithm="pss-sha256").error()
    assert "does not match" in Bench(algorithm="pkcs1v15-sha512").error()
    assert Bench(algorithm="none").error().startswith("signature algorithm: ")
    assert Bench(encoding="hex").error() == '"signature" is not hex'


def test_licences_of_a_replaced_key_are_not_valid():
    bench = Bench()
    bench.told()
    bench.key = OTHER_KEY
    assert not bench.boot(NOW).valid("l1")
    bench.key = None
    assert not bench.boot(NOW).valid("l1")
    bench.key = vectors.SPKI_2048
    assert bench.boot(NOW).valid("l1")


# whose it is


def test_a_licence_for_another_device_is_refused():
    bench = Bench()
    assert bench.error(device_id="d2") == 'it is for another device: "device_id"'
    assert "sn" in bench.error(data='{"sn": "s2"}')
    assert "cloud_id" in bench.error(data='{"cloud_id": "c1"}')
    assert "device_id" in bench.error(data='{"device_id": "d2"}', device_id="d1")
    assert bench.told(data='{"device_id": "d1", "sn": "s1"}', device_id="d1") == ("inuse", None)
    told = {"id": "l1", "action": "remove", "device_id": "d2"}
    assert bench.licenses.on_license("l1", "remove", told)[0] == "error"
    assert bench.valid("l1")


def test_after_another_registration_the_cloud_has_to_send_the_licences_again():
    bench = Bench()
    bench.told()
    bench.own = {"device_id": "d9", "sn": "s1"}
    assert not bench.valid("l1")
    assert bench.told("l7") == ("inuse", None)
    assert bench.licenses.names() == ["l7"]


def test_a_device_takes_licences_by_the_key_of_its_settings_and_those_of_its_registration():
    values = {"entry": "http://entry.example", "hardware_key": "hk", "sn": "s1", "license_key": vectors.SPKI_2048}
    write("settings.json", json.dumps(values))
    settings = Settings("settings.json")
    licenses = of_device(settings, Clock(Ticks(), lambda: NOW))
    assert licenses.on_license("l1", "add", message("l1", '{"name": "pro", "sn": "s1"}')) == ("inuse", None)
    assert licenses.on_license("l2", "add", message("l2", device_id="d1")) == ("error", 'it is for another device: "device_id"')
    settings.store({"id": "d1", "access_key": "k" * 32, "hub_url": "http://hub.example", "mqtt_hub_url": "mqtt://hub.example"})
    assert licenses.names() == []
    assert licenses.on_license("l2", "add", message("l2", device_id="d1")) == ("inuse", None)
    assert licenses.names() == ["l2"]


# expiry


def test_a_licence_expires_without_the_cloud_at_the_very_millisecond():
    bench = Bench()
    assert bench.told(expires_at="2026-11-21T12:00:10.500Z") == ("inuse", None)
    bench.ticks.ms = 10499
    assert bench.valid("l1")
    bench.ticks.ms = 10500
    assert not bench.valid("l1")
    assert bench.licenses.names() == []
    assert bench.licenses.data("l1") is None


def test_both_names_of_the_expiry_and_the_signed_one_count_and_the_earliest_holds():
    for told in (
        message(expires_at="2026-11-21T12:01:00Z"),
        message(expired_at="2026-11-21T12:01:00Z"),
        message(expired_at="2026-11-21T12:01:00Z", expires_at="2027-11-21T12:00:00Z"),
        message(data='{"name": "l1", "expires_at": "2026-11-21T12:01:00Z"}'),
        message(data='{"name": "l1", "expires_at": "2026-11-21T12:01:00Z"}', expires_at="2027-11-21T12:00:00Z"),
        message(data='{"name": "l1", "expired_at": "2027-11-21T12:01:00Z"}', expires_at="2026-11-21T13:01:00+01:00"),
    ):
        bench = Bench()
        assert bench.licenses.on_license("l1", "add", told) == ("inuse", None)
        assert bench.valid("l1")
        bench.ticks.ms = 60000
        assert not bench.valid("l1")
        os.remove("licenses")


def test_an_expired_licence_is_refused():
    bench = Bench()
    assert bench.error(expires_at="2026-11-21T11:59:59Z") == "expired at 2026-11-21T11:59:59.000Z"
    assert bench.error(expires_at="2026-11-21T12:00:00Z") == "expired at 2026-11-21T12:00:00.000Z"
    assert "expired at" in bench.error(data='{"expires_at": "2020-01-01T00:00:00Z"}', expires_at="2027-01-01T00:00:00Z")


def test_a_licence_without_an_end_may_say_so_with_the_last_second_there_is():
    bench = Bench()
    assert bench.told(expires_at="9999-12-31T23:59:59Z") == ("inuse", None)
    bench.boot(NOW)
    assert bench.valid("l1") and "9999-12-31T23:59:59" in bench.error(expires_at="2026-12-31T00:00:00Z")


def test_an_expiry_that_is_no_time_is_refused():
    bench = Bench()
    for bad in (
        "", "never", "2027-01-31", "2027-02-30T00:00:00Z", "2027-13-01T00:00:00Z", "1969-12-31T23:59:59Z", "99999-01-01T00:00:00Z",
        "2027-01-31T00:00:00." + "0" * 20 + "Z", "9" * 50, 1800000000, True, {}, [],
    ):  # fmt: skip
        assert bench.error(expires_at=bad).startswith('"expires_at" must be a time')
        assert bench.error(expired_at=bad).startswith('"expired_at" must be a time')
    assert bench.error(data='{"expires_at": 1800000000}').startswith('"expires_at" must be a time')
    assert bench.error(data='{"issued_at": "today"}').startswith('"issued_at" must be a time')
    assert bench.told(expires_at=None) == ("inuse", None)


def test_a_licence_is_valid_while_the_time_was_never_known():
    bench = Bench(wall=None)
    assert bench.told(expires_at="2026-11-21T11:00:00Z") == ("inuse", None)
    os.remove("licenses")
    assert bench.valid("l1")
    # there is no time to save
    assert os.listdir() == []
    bench.clock.set(NOW)
    assert not bench.valid("l1")


def test_without_the_time_it_counts_from_the_last_time_that_was_saved():
    bench = Bench()
    bench.told(expires_at="2026-11-21T13:00:00Z")
    bench.boot(None)
    assert bench.valid("l1")
    bench.ticks.ms = 3600000
    assert not bench.valid("l1")


def test_without_the_time_it_goes_on_with_the_uptime_and_no_faster_whether_it_can_be_saved_or_not():
    for full in (False, True):
        bench = Bench()
        bench.told(expires_at="2026-11-25T12:00:00Z")
        bench.boot(None)
        if full:
            os.mkdir("licenses.new")
        for _ in range(7):
            bench.ticks.ms += DAY // 2
            assert bench.valid("l1"), bench.ticks.ms
        bench.ticks.ms += DAY // 2
        assert not bench.valid("l1")
        os.remove("licenses")


def test_what_has_expired_stays_expired_over_restarts_without_the_time():
    bench = Bench()
    bench.told(expires_at="2026-11-21T13:00:00Z")
    bench.ticks.ms = 3600001
    assert not bench.valid("l1")
    assert not bench.boot(None).valid("l1")


def test_the_time_is_saved_once_a_day_and_no_more():
    bench = Bench()
    bench.told(expires_at="2027-11-21T13:00:00Z")
    writes = 0
    before = read("licenses")
    for _ in range(100):
        bench.ticks.ms += DAY // 10
        assert bench.valid("l1")
        writes += read("licenses") != before
        before = read("licenses")
    assert 9 <= writes <= 10
    assert bench.boot(None).licenses._now() >= NOW + 9 * DAY


def test_a_licence_without_expiry_costs_no_writes():
    bench = Bench()
    bench.told()
    before = read("licenses")
    bench.ticks.ms += 5 * DAY
    assert bench.valid("l1")
    assert read("licenses") == before


def test_the_clouds_time_in_a_message_counts_only_while_there_is_no_other():
    bench = Bench(wall=None)
    assert "expired" in bench.error(current_time="2026-11-21T12:00:00Z", expires_at="2026-11-21T11:00:00Z")
    assert bench.told("l2", "seat 2", current_time="nonsense", expires_at="2026-11-21T13:00:00Z") == ("inuse", None)
    # an older message does not turn the time back
    assert "expired" in bench.error(current_time="2026-01-01T12:00:00Z", expires_at="2026-11-21T11:00:00Z")
    assert not bench.clock.known()
    os.remove("licenses")
    bench = Bench()
    assert bench.told(current_time="2030-01-01T00:00:00Z", expires_at="2027-01-01T00:00:00Z") == ("inuse", None)
    assert bench.valid("l1")


def test_the_clouds_time_counts_from_when_it_came_and_a_later_one_replaces_what_was_saved():
    bench = Bench(wall=None)
    bench.ticks.ms = 3600000
    assert bench.told(current_time="2026-11-21T12:00:00Z", expires_at="2026-11-21T12:30:00Z") == ("inuse", None)
    bench.ticks.ms += 1799999
    assert bench.valid("l1")
    bench.ticks.ms += 1
    assert not bench.valid("l1")
    bench.boot(None)
    assert "expired" in bench.error("l2", "seat 2", current_time="2026-11-22T12:00:00Z", expires_at="2026-11-22T11:00:00Z")


def test_a_false_time_from_the_cloud_is_forgotten_when_the_time_is_known():
    bench = Bench(wall=None)
    bench.told("l1", expires_at="2098-01-01T00:00:00Z")
    bench.told("l2", "seat 2", current_time="2099-01-01T00:00:00Z")
    assert not bench.boot(None).valid("l1")
    assert bench.boot(NOW).valid("l1")
    assert bench.boot(None).valid("l1")


def test_the_clouds_time_causes_no_write_while_the_time_is_known():
    bench = Bench()
    bench.told(expires_at="2027-01-01T00:00:00Z")
    before = read("licenses")
    assert bench.error("l2", "seat 2", current_time="2030-01-01T00:00:00Z", expires_at="2026-01-01T00:00:00Z")
    bench.ticks.ms = 1
    assert bench.valid("l1")
    assert read("licenses") == before


# replay


def test_a_removed_licence_does_not_come_back():
    bench = Bench()
    bench.told(expires_at="2027-01-01T00:00:00Z")
    bench.told(action="remove")
    for _ in range(2):
        for action in ("add", "update"):
            assert "removed or replaced" in bench.error(action=action, expires_at="2027-01-01T00:00:00Z")
        # the expiry and the id are not signed, so they prove nothing
        assert "removed or replaced" in bench.error(expires_at="2028-01-01T00:00:00Z")
        assert "removed or replaced" in bench.error("l2")
        bench.boot(NOW)
    assert bench.told("l1", "seat 1, sold again") == ("inuse", None)


def test_a_replaced_licence_does_not_come_back():
    bench = Bench()
    bench.told("l1", "pro", expires_at="2027-01-01T00:00:00Z")
    bench.told("l1", "basic", "update", expires_at="2027-01-01T00:00:00Z")
    assert "removed or replaced" in bench.error("l1", "pro", "update", expires_at="2029-01-01T00:00:00Z")
    assert "removed or replaced" in bench.error("l2", "pro")
    assert bench.licenses.data("l1") == "basic"


def test_the_same_data_is_one_licence_only():
    bench = Bench()
    bench.told()
    assert bench.error("l2") == "the same data is held as licence l1"
    bench.told(action="remove")
    assert bench.licenses.names() == []


def test_the_same_data_with_a_later_expiry_is_a_renewal_and_with_an_earlier_one_is_old():
    bench = Bench()
    bench.told(expires_at="2026-12-01T00:00:00Z")
    assert bench.told(action="update", expires_at="2027-12-01T00:00:00Z") == ("inuse", None)
    assert "older than the one held" in bench.error(expires_at="2026-12-01T00:00:00Z")
    # a message that does not tell the expiry does not remove it
    assert bench.told() == ("inuse", None)
    bench.boot(parse_iso("2027-11-30T00:00:00Z"))
    assert bench.valid("l1")
    bench.boot(parse_iso("2027-12-01T00:00:00Z"))
    assert not bench.valid("l1")
    # nor does it take the expired one for a new one
    bench.told()
    assert not bench.valid("l1")


def test_an_update_issued_before_the_one_held_is_refused():
    bench = Bench()
    data = '{"name": "pro", "issued_at": "2026-0%d-01T00:00:00Z"}'
    bench.told("l1", data % 5)
    assert "issued at 2026-05-01" in bench.error("l1", data % 4, "update")
    assert "issued at 2026-05-01" in bench.error("l1", '{"name": "pro"}', "update")
    assert bench.told("l1", data % 6, "update") == ("inuse", None)
    # a second one signed in the same second is not older, nor does the first then come back
    assert bench.told("l1", " " + data % 6, "update") == ("inuse", None)
    assert "removed or replaced" in bench.error("l1", data % 6, "update")


def test_an_expiry_may_come_and_go_with_new_data_and_come_with_the_same():
    bench = Bench()
    bench.told("l1", "a")
    assert bench.told("l1", "b", "update", expires_at="2026-11-21T12:01:00Z") == ("inuse", None)
    assert bench.told("l1", "c", "update") == ("inuse", None)
    bench.ticks.ms = 60000
    assert bench.valid("l1")
    assert bench.told("l1", "c", "update", expires_at="2026-11-21T12:02:00Z") == ("inuse", None)
    bench.ticks.ms = 120000
    assert not bench.valid("l1")


def test_with_an_issue_time_a_shorter_licence_can_replace_a_longer_one():
    bench = Bench()
    bench.told("l1", "a", expires_at="2028-01-01T00:00:00Z")
    assert "expires at 2028-01-01" in bench.error("l1", "b", "update", expires_at="2027-01-01T00:00:00Z")
    data = '{"name": "l1", "issued_at": "2026-11-01T00:00:00Z"}'
    assert bench.told("l1", data, "update", expires_at="2027-01-01T00:00:00Z") == ("inuse", None)
    assert not bench.boot(parse_iso("2027-02-01T00:00:00Z")).valid("l1")


def unsigned_bench():
    # many licences: what is signed is not the question, so that the test does not take a minute
    bench = Bench()
    rsa.verify = lambda *arguments: None
    return bench


def test_what_was_removed_longest_ago_is_still_refused_by_its_issue_time():
    bench = unsigned_bench()
    signature = base64_of("x")
    data = '{"n": %d, "issued_at": "2026-01-01T00:00:%02dZ"}'
    for n in range(40):
        assert bench.told("l", data % (n, n), signature=signature) == ("inuse", None)
    assert "issued before" in bench.error("new", data % (0, 0), signature=signature)
    bench.boot(NOW)
    assert "issued before" in bench.error("new", data % (0, 0), signature=signature)
    assert "issued before" in bench.error("new", data % (100, 6), signature=signature)
    assert "removed or replaced" in bench.error("new", data % (20, 20), signature=signature)
    assert bench.told("new", data % (100, 7), signature=signature) == ("inuse", None)


def test_the_youngest_issue_time_that_was_forgotten_counts_whatever_came_between():
    bench = unsigned_bench()
    signature = base64_of("x")
    dated = '{"n": %d, "issued_at": "2026-01-01T00:00:%02dZ"}'
    # removed in another order than they were issued in, and one without a time among them
    for n, second in ((1, 30), (2, 10)):
        assert bench.told("l%d" % n, dated % (n, second), signature=signature) == ("inuse", None)
        assert bench.told("l%d" % n, action="remove") == ("removed", None)
    for n in range(40):
        assert bench.told("other", '{"x": %d}' % n, signature=signature) == ("inuse", None)
        bench.told("other", action="remove")
    assert "issued before" in bench.error("new", dated % (1, 30), signature=signature)
    assert "issued before" in bench.error("new", dated % (2, 10), signature=signature)
    assert bench.told("new", dated % (3, 31), signature=signature) == ("inuse", None)
    # one that says nothing of it is not older
    assert bench.told("untimed", '{"y": 1}', signature=signature) == ("inuse", None)


# bounds and bad input


def test_a_device_holds_eight_licences_and_makes_room_by_forgetting_expired_ones():
    bench = unsigned_bench()
    signature = base64_of("x")
    for n in range(8):
        expires = "2026-11-21T12:01:00Z" if n == 3 else None
        assert bench.told("l%d" % n, "data %d" % n, signature=signature, expires_at=expires) == ("inuse", None)
    assert bench.error("one more", "one more", signature=signature).startswith("no room: 8 licences")
    bench.ticks.ms = 60000
    assert bench.told("one more", "one more", signature=signature) == ("inuse", None)
    assert len(bench.licenses.names()) == 8
    assert not bench.valid("l3")


def test_all_data_together_has_a_limit():
    bench = unsigned_bench()
    signature = base64_of("x")
    for n in range(2):
        assert bench.told("l%d" % n, "%d" % n * 1024, signature=signature) == ("inuse", None)
    assert bench.error("more", "more", signature=signature).startswith("no room: ")
    # in its own place there is room
    assert bench.told("l0", "more", "update", signature=signature) == ("inuse", None)


def test_nothing_grows_with_the_number_of_licences_that_came_and_went():
    bench = unsigned_bench()
    signature = base64_of("x")
    sizes = []
    for n in range(200):
        assert bench.told("l%03d" % n, "data %03d" % n, signature=signature) == ("inuse", None)
        assert bench.told("l%03d" % n, "data %03d" % n, "remove", signature=signature) == ("removed", None)
        sizes.append(len(read("licenses")))
    assert max(sizes) == sizes[40] == sizes[199]


def test_data_and_signature_of_wrong_types_and_sizes_are_refused():
    bench = Bench()
    for bad in (None, 5, True, 1.5, [], {}, {"name": "x"}, ["x"]):
        told = message()
        told["data"] = bad
        assert bench.licenses.on_license("l1", "add", told)[1] == '"data" and "signature" must be texts'
        told = message(signature=bad)
        assert bench.licenses.on_license("l1", "add", told)[1] == '"data" and "signature" must be texts'
    signature = base64_of("seat 1")
    for data in ("", "x" * 1025, "ü" * 513):
        assert bench.error(data=data, signature=signature).startswith('"data" must be 1 to 1024 bytes')
    assert bench.error(signature="A" * 1201).startswith('"data" must be')
    assert bench.error(signature="A" * 1200).startswith("signature: ")
    assert bench.licenses.on_license("l1", "add", {})[0] == "error"


def test_ids_actions_and_messages_of_wrong_types_are_refused():
    bench = Bench()
    for bad in ("", "x" * 65, None, 5, {}):
        assert bench.licenses.on_license(bad, "add", message(data='{"name": "x"}'))[0] == "error"
        assert bench.licenses.on_license(bad, "remove", {})[0] == "error"
    for bad in (None, "", "delete", 5, True, [], {}):
        assert bench.licenses.on_license("l1", bad, message()) == ("error", 'a licence needs "add", "update" or "remove" to be true')
    for bad in (None, [], "x", 5):
        assert bench.licenses.on_license("l1", "add", bad)[0] == "error"
        assert bench.licenses.on_license("l1", "remove", bad)[0] == "error"


def test_a_message_that_says_two_actions_is_refused():
    bench = Bench()
    bench.told()
    assert bench.error(action="add", remove=True) == "it says both add and remove"
    for told in ({"remove": True, "add": True}, {"remove": True, "action": "add"}):
        assert bench.licenses.on_license("l1", "remove", told) == ("error", "it says both remove and add")
    assert bench.valid("l1")


def test_names_in_the_data_that_are_no_names_are_refused():
    bench = Bench()
    for bad in ("", 5, None, [], "x" * 65):
        data = json.dumps({"name": bad})
        assert bench.error(data=data) == "data: its name must be a text of 1 to 64 characters"


def test_data_that_begins_like_an_object_and_is_none_is_refused():
    # its limits would be lost if it passed for free text
    bench = Bench()
    for data in ("{", '{"expires_at": "2020-01-01T00:00:00Z"', '{"a":' * 9 + "1" + "}" * 9):
        assert bench.error(data=data).startswith('"data" begins like a JSON object: ')


def test_no_reason_repeats_the_data_or_the_signature():
    bench = Bench()
    bench.error(data="the secret text", signature=base64_of("seat 1"))
    bench.error(data='{"the secret text"')
    said = [line for line in log.lines() if "licence l1" in line]
    assert len(said) == 2
    for line in said:
        assert "secret" not in line and base64_of("seat 1")[:20] not in line


# storage


def test_licences_removals_and_expiries_survive_a_restart():
    bench = Bench()
    bench.told("l1", '{"name": "pro"}', expires_at="2026-11-22T00:00:00Z")
    bench.told("l2", "seat 2")
    bench.told("l2", "seat 2", "remove")
    bench.boot(NOW)
    assert bench.licenses.names() == ["pro"]
    assert "removed" in bench.error("l2", "seat 2")
    assert bench.boot(NOW + DAY).licenses.names() == []


def test_a_flash_that_fails_is_an_error_and_leaves_what_was():
    bench = Bench()
    bench.told()
    os.mkdir("licenses.new")
    assert bench.error("l2", "seat 2").startswith("flash: ")
    assert bench.error(action="remove").startswith("flash: ")
    assert bench.valid("l1")
    os.rmdir("licenses.new")
    assert bench.told("l2", "seat 2") == ("inuse", None)
    assert bench.boot(NOW).licenses.names() == ["l1", "l2"]


def test_a_flash_that_fails_does_not_keep_the_application_from_asking():
    bench = Bench()
    bench.told(expires_at="2027-01-01T00:00:00Z")
    os.mkdir("licenses.new")
    bench.ticks.ms = 3 * DAY
    lines = len(log.lines())
    for _ in range(5):
        assert bench.valid("l1")
    assert len(log.lines()) == lines + 1


def test_a_damaged_file_or_one_of_a_later_format_costs_the_licences_and_not_the_start():
    bench = Bench()
    bench.told()
    good = read("licenses")
    for at in range(0, len(good), 11):
        write("licenses", good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        assert bench.boot(NOW).licenses.names() == []
    for stored in ({"format": 2, "held": "?"}, [], 5, "x"):
        Record("licenses").save(stored)
        assert bench.boot(NOW).licenses.names() == []
        assert bench.told() == ("inuse", None)


def test_what_is_stored_is_a_record_of_moderate_size():
    bench = unsigned_bench()
    for n in range(40):
        data = '{"name": "%s", "issued_at": "2026-01-01T00:00:00Z"}' % ("%064d" % n)
        told = {"expires_at": "2027-01-01T00:00:00Z", "signature": base64_of("x")}
        if n >= 8:
            assert bench.told("%064d" % (n - 8), action="remove", **told) == ("removed", None)
        assert bench.told("%064d" % n, data, **told) == ("inuse", None)
    assert len(bench.licenses.names()) == 8
    assert len(read("licenses")) < 6144
