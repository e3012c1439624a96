from redpoll.version import newer
from scratch import text_of


def test_versions_compare_by_number_not_as_text():
    assert newer("1.10.0", "1.9.9")
    assert not newer("1.9.9", "1.10.0")


def test_a_version_is_not_newer_than_itself():
    assert not newer("1.2.3", "1.2.3")
    assert not newer("1.2", "1.2.0")
    assert not newer("1.2.3+build7", "1.2.3")


def test_a_prerelease_comes_before_its_release():
    assert newer("1.0.0", "1.0.0-rc.1")
    assert newer("1.0.0-rc.11", "1.0.0-rc.2")
    assert newer("1.0.0-rc", "1.0.0-11")


def test_what_is_no_version_is_refused():
    for text in ("", "one", "1..2", ".1", "1.", "1" * 65, None, 7):
        assert text_of(ValueError, newer, text, "1.0.0")
