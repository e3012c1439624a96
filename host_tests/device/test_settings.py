import json
import os
import sys

import rsa_vectors
import scratch
from redpoll import log, port, rsa, settings_rules
from redpoll.cloud import registration
from redpoll.settings import Settings, SettingsError
from redpoll.settings_rules import check_credentials
from support import raises

GOOD = {"entry": "https://entry.example", "sn": "A1"}
CREDENTIALS = {"id": "d-1", "access_key": "k" * 32, "hub_url": "https://hub.example", "mqtt_hub_url": "mqtts://hub.example:8883"}


def load(values):
    """Settings made from these values (dict, text or bytes), or the text of the SettingsError."""
    if values is not None:
        scratch.write("settings.json", json.dumps(values) if isinstance(values, dict) else values)
    try:
        return Settings("settings.json")
    except SettingsError as error:
        return str(error)


def with_(**changes):
    values = dict(GOOD)
    values.update(changes)
    return load(values)


def test_defaults_fill_what_is_not_there():
    settings = load(GOOD)
    assert settings.transport == "mqtt"
    assert settings.snapshot_every == 600
    assert settings.keepalive == 60
    assert settings.credentials is None


def test_a_missing_file_says_what_to_write():
    assert "missing" in load(None)
    assert '"entry"' in load(None)


def test_a_truncated_file_is_told_as_such():
    text = load('{"entry": "https://entry.exam')
    assert "not JSON" in text
    assert "cut off" in text


def test_a_file_that_is_no_object_or_too_large_or_too_deep_is_refused():
    assert "must be a JSON object" in load("[1, 2]")
    assert "at most" in load('{"entry": "%s"}' % ("x" * 9000))
    assert "deeper" in load('{"entry": ' + "[" * 20 + "]" * 20 + "}")
    assert "not JSON" in load(b"\xff\xfe\x00")


def test_each_bad_value_is_named_with_its_reason_and_what_to_write():
    for key, value, words in (
        ("entry", "xyte", "must be an https:// or http:// URL, not "),
        ("entry", 5, "URL"),
        ("entry", "https://", "URL"),
        ("transport", "coap", '"mqtt" or "http"'),
        ("license_algorithm", "md5", '"pkcs1v15-sha256" or'),
        ("license_encoding", 5, '"base64" or "hex"'),
        ("license_key", 5, "file name, PEM text or a JWK"),
        ("snapshot_every", 1, "from 10 to 86400, not 1"),
        ("snapshot_every", "600", "whole number"),
        ("snapshot_every", True, "whole number"),
        ("keepalive", 0, "from 5 to 3600"),
        ("connect_timeout", 9, "from 1 to 7"),
        ("watchdog", 1, "true or false"),
        ("spool_bytes", 1.5, "from 512 to"),
        ("name", ["x"], "text of 0 to 256 characters"),
        ("sn", "x" * 300, "text of 0 to 256 characters"),
        ("cloud_id", 7, "text"),
        ("details", "x", "must be an object"),
        ("report", 5, 'a list of "astarte", "kura"'),
        ("report", "astarte", 'a list of "astarte", "kura"'),
        ("report", ["kura", "hawkbit"], 'a list of "astarte", "kura"'),
        ("astarte_realm", "a/b", "1 to 48 letters, digits or -_."),
        ("kura_account", "", "1 to 48 letters"),
        ("kura_account", "x" * 49, "1 to 48 letters"),
        ("update_key", 5, "file name, PEM text or a JWK"),
        ("entry", "https://" + "x" * 249, "must be an https:// or http:// URL, not "),
    ):
        text = with_(**{key: value})
        assert isinstance(text, str), (key, value)
        assert '"%s"' % key in text and words in text, text


def test_a_long_value_is_shown_by_its_beginning():
    line = with_(details="x" * 200)
    assert line.endswith("not '" + "x" * 56 + "...")
    assert with_(details="x" * 58).endswith("not '" + "x" * 58 + "'")


def test_reporters_have_topics_of_their_own_and_need_mqtt():
    settings = load(GOOD)
    assert (settings.report, settings.astarte_realm, settings.kura_account) == ([], "redpoll", "redpoll")
    settings = with_(report=["astarte", "kura"], astarte_realm="a-b_c.d", kura_account="x" * 48)
    assert (settings.report, settings.astarte_realm, settings.kura_account) == (["astarte", "kura"], "a-b_c.d", "x" * 48)
    assert with_(report=[], transport="http").transport == "http"
    text = with_(report=["kura"], transport="http")
    assert '"report"' in text and "needs MQTT" in text


def test_a_board_without_a_name_is_known_by_the_number_of_its_chip():
    has = port.unique_id
    port.unique_id = lambda: b"\x0a\xff"
    try:
        settings = load({"entry": GOOD["entry"]})
        assert (settings.sn, settings.mac) == ("0aff", "0aff")
        settings = load({"entry": GOOD["entry"], "cloud_id": "c1"})
        assert (settings.sn, settings.mac) == ("", "")
        port.unique_id = lambda: None
        assert "this board has no number of its own" in load({"entry": GOOD["entry"]})
        assert load({"entry": GOOD["entry"], "cloud_id": "c1"}).cloud_id == "c1"
        # what else is wrong may be the reason
        assert "number of its own" not in load({"entry": GOOD["entry"], "sn": 5})
    finally:
        port.unique_id = has


def test_a_mac_of_its_own_is_told_beside_the_serial_number():
    settings = with_(mac="00:11")
    assert (settings.sn, settings.mac) == ("A1", "00:11")


def test_the_hardware_key_is_the_boards_unless_settings_say_another_or_none():
    assert load(GOOD).hardware_key == port.HARDWARE
    assert with_(hardware_key="hk").hardware_key == "hk"
    assert with_(hardware_key="").hardware_key == ""


def test_the_cloud_may_change_what_the_link_depends_on_and_nothing_else():
    settings = load(GOOD)
    allowed = {
        "entry": "http://e", "transport": "http", "snapshot_every": 20, "keepalive": 30, "connect_timeout": 5, "ca": "/x.pem",
        "wifi_ssid": "home", "wifi_password": "12345678",
    }  # fmt: skip
    settings.overlay(allowed)
    assert {key: getattr(settings, key) for key in allowed} == allowed
    for key, value in (("ntp", "x"), ("sn", "B2"), ("report", []), ("update_key", ""), ("nothing", 1)):
        assert scratch.text_of(SettingsError, settings.overlay, {key: value}) == "'%s' cannot be changed from the cloud" % key


def test_the_licence_algorithms_are_those_that_can_be_verified():
    assert settings_rules._CHOICES["license_algorithm"] == rsa.ALGORITHMS
    assert not [key for key in settings_rules.OVERLAY if key.startswith("license")]  # who may set the key may sign


def test_all_that_is_wrong_is_told_at_once():
    assert len(with_(entry="x", transport="y", keepalive=0).split("\n")) == 3


def test_a_missing_entry_is_told():
    assert '"entry"' in load({"sn": "A1"})


def test_a_wrong_password_value_is_not_shown():
    text = with_(wifi_password=["correct horse"])
    assert '"wifi_password"' in text
    assert "horse" not in text


def test_an_unknown_key_is_warned_of_and_nothing_else():
    settings = with_(snapshot_evry=30)
    assert settings.snapshot_every == 600
    assert any("snapshot_evry" in line for line in log.lines())


def test_what_would_only_be_missed_later_is_told_at_the_start():
    with_()
    assert any('"ca" is missing' in line for line in log.lines())
    del log._lines[:]
    with_(ca="gone.pem", license_key="key.pem")
    assert [line.split("there is ")[1] for line in log.lines()] == ["no file 'gone.pem'", "no file 'key.pem'"]
    del log._lines[:]
    scratch.write("here.pem", "x")
    with_(ca="here.pem", license_key="-----BEGIN PUBLIC KEY-----")
    assert log.lines() == []


def test_a_file_that_is_complete_gives_no_warning():
    scratch.write("ca.pem", "x")
    key = {"kty": "RSA", "n": "AQ", "e": "AQ"}
    with_(ca="ca.pem", details={}, report=[], update_key=key, auto_update=True, trial_timeout=60, astarte_realm="a", kura_account="b")
    with_(entry="http://entry.example")
    assert log.lines() == []


def test_a_url_with_a_password_is_refused_and_not_shown():
    text = with_(entry="https://user:secret@entry.example")
    assert "user name or password" in text and "secret" not in text
    for reply in ({"hub_url": "https://u:secret@h"}, {"hub_url": "https://h:99999"}, {"mqtt_hub_url": "https://h"}):
        values = dict({"id": "d", "access_key": "k", "hub_url": "https://h"}, **reply)
        assert "secret" not in scratch.text_of(ValueError, check_credentials, values)


def test_registration_tells_the_cloud_what_it_asks_for():
    told = registration.identity(load(GOOD), "1.0.0")
    assert told["sn"] == told["mac"] == "A1"
    told = registration.identity(with_(cloud_id="RP0123456789abcdef", name="hall", hardware_key="hk"), "1.0.0")
    assert told == {"sn": "A1", "cloud_id": "RP0123456789abcdef", "name": "hall", "hardware_key": "hk", "firmware_version": "1.0.0"}


def test_what_was_done_of_settings_for_which_the_memory_did_not_suffice_is_taken_back():
    settings = load(GOOD)
    usable = settings._usable

    def fail(stored):
        raise MemoryError

    settings._usable = fail
    with raises(MemoryError):
        settings.overlay({"entry": "https://other.example", "keepalive": 30})
    settings._usable = usable
    settings.overlay({})
    assert (settings.entry, settings.keepalive) == (GOOD["entry"], 60)


def test_a_configuration_without_settings_needs_no_room_for_their_rules():
    settings = load(GOOD)
    settings.overlay({})
    assert "redpoll.settings_rules" not in sys.modules
    settings.overlay({"keepalive": 30})
    settings.overlay({})
    assert settings.keepalive == 60


def test_credentials_are_kept_over_a_restart_and_forgotten_on_demand():
    scratch.write("settings.json", json.dumps(GOOD))
    Settings("settings.json").store(CREDENTIALS)
    again = Settings("settings.json")
    assert again.credentials["id"] == "d-1"
    log.info("key %s", "k" * 32)
    assert "kkkk" not in log.lines()[-1]
    again.forget()
    assert Settings("settings.json").credentials is None


def test_credentials_of_another_entry_are_not_used():
    scratch.write("settings.json", json.dumps(GOOD))
    Settings("settings.json").store(CREDENTIALS)
    scratch.write("settings.json", json.dumps({"entry": "https://elsewhere.example", "sn": "A1"}))
    assert Settings("settings.json").credentials is None


def test_a_registration_reply_is_checked_before_it_is_believed():
    assert check_credentials(CREDENTIALS)["hub_url"] == "https://hub.example"
    longest = {"id": "x" * 128, "access_key": "A.b-c_9", "hub_url": "https://hub.example/"}
    assert check_credentials(dict(longest, more=1)) == dict(longest, hub_url="https://hub.example")
    for key, value in (
        ("id", "a/#"),
        ("id", ""),
        ("id", None),
        ("id", "x" * 129),
        ("access_key", "x\r\ny"),
        ("hub_url", "ftp://x"),
        ("hub_url", None),
        ("mqtt_hub_url", 5),
        ("mqtt_hub_url", "https://x"),
    ):
        reply = dict(CREDENTIALS)
        reply[key] = value
        assert '"%s"' % key in scratch.text_of(ValueError, check_credentials, reply)


def test_credentials_that_the_flash_did_not_take_are_saved_later_and_survive_another_entry():
    settings = load(GOOD)
    save = settings._record.save
    settings._record.save = scratch.full
    known = {"id": "d", "access_key": "k" * 8, "hub_url": "https://h"}
    settings.store(known)
    assert "is not saved" in log.lines()[-1]
    settings.overlay({"entry": "https://other.example"})
    assert settings.credentials is None
    settings.overlay({})
    assert settings.credentials["id"] == "d"
    assert load(GOOD).credentials is None
    settings._record.save = save
    settings.save_again()
    assert load(GOOD).credentials["id"] == "d"


def test_credentials_that_were_dropped_before_the_flash_took_them_do_not_come_back():
    settings = load(GOOD)
    save = settings._record.save
    settings._record.save = scratch.full
    settings.store(CREDENTIALS)
    settings.forget()
    settings._record.save = save
    settings.save_again()
    assert settings.credentials is None and load(GOOD).credentials is None


def test_a_serial_number_that_was_changed_after_registration_is_told():
    load(GOOD).store(CREDENTIALS)
    assert load(GOOD).credentials and '"sn" A1' not in "".join(log.lines())
    assert with_(sn="B2").credentials["id"] == "d-1"
    assert '"sn" A1' in "".join(log.lines())


def test_credentials_in_the_record_of_this_entry_that_belong_to_another_one_are_not_used():
    # its name is a checksum, which two entries may share
    settings = load(GOOD)
    settings.store(CREDENTIALS)
    path = settings._record.path
    settings._record.save(dict(CREDENTIALS, entry="https://elsewhere.example", sn="A1"))
    again = load(GOOD)
    assert again._record.path == path and again.credentials is None


def test_what_is_no_set_of_credentials_is_not_used_and_ends_no_start():
    record = load(GOOD)._record
    whole = dict(CREDENTIALS, entry=GOOD["entry"], sn=GOOD["sn"])
    for stored in ([whole], 7, {}, {"entry": GOOD["entry"], "sn": "A1"}, dict(whole, access_key=7), dict(whole, hub_url=None)):
        record.save(stored)
        assert load(GOOD).credentials is None
    record.save(whole)
    assert load(GOOD).credentials == whole


def test_secrets_that_are_in_use_stay_hidden_however_many_came_after_them():
    settings = with_(wifi_ssid="home")
    settings.store(CREDENTIALS)
    for number in range(20):
        settings.overlay({"wifi_password": "password %d" % number})
    log.info("%s and %s", CREDENTIALS["access_key"], "password 19")
    assert log.lines()[-1].endswith("*** and ***")
    for number in range(20):
        settings.store(dict(CREDENTIALS, access_key="key of registration %d" % number))
    log.info("%s and %s", "key of registration 19", "password 19")
    assert log.lines()[-1].endswith("*** and ***")


def test_a_key_file_is_beside_the_settings_and_a_key_itself_is_left_as_it_is():
    os.mkdir("board")
    scratch.write("board/ca.pem", rsa_vectors.SPKI_2048)
    values = dict(GOOD, ca="ca.pem", license_key=rsa_vectors.SPKI_2048, wifi_ssid="hall")
    scratch.write("board/settings.json", json.dumps(values))
    settings = Settings("board/settings.json")
    assert settings.ca == "board/ca.pem" and settings.wifi_ssid == "hall"
    assert settings.license_key == rsa_vectors.SPKI_2048
    values["ca"] = os.getcwd() + "/board/ca.pem"
    scratch.write("board/settings.json", json.dumps(values))
    assert Settings("board/settings.json").ca == values["ca"]
