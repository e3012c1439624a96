"""Packages of Debian: what is said where they cannot be had. Fetching is what `make vm32` and `make test-chip` do."""

import stat

import pytest

from tools.debian import Apt, AptError


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A PATH with nothing on it but the shell scripts that are written with programs(name, script)."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def write(name, script):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(stat.S_IRWXU)

    return write


def test_a_machine_without_apt_says_so(programs):
    with pytest.raises(AptError, match="there is no apt-get on this machine"):
        Apt("trixie", "i386")


def test_an_apt_without_an_archive_of_debian_says_so(programs):
    programs("dpkg-deb", "")
    programs("apt-get", "echo 'noble http://archive.example/ubuntu/ main'; echo 'trixie-updates http://mirror.example/debian/ main'")
    with pytest.raises(AptError, match="no archive of Debian"):
        Apt("trixie", "i386")


def test_an_apt_that_has_never_been_updated_is_told_of(programs):
    programs("dpkg-deb", "")
    programs("apt-get", "")
    with pytest.raises(AptError, match="apt-get update"):
        Apt("trixie", "i386")


def test_what_apt_said_is_in_the_error(programs, tmp_path, monkeypatch):
    monkeypatch.setattr("tools.debian.BUILD", tmp_path)
    programs("dpkg-deb", "")
    programs(
        "apt-get",
        'case "$*" in *indextargets*) echo "bookworm http://mirror.example/debian/ main";; *) echo "E: no route"; exit 100;; esac',
    )
    with pytest.raises(AptError, match="E: no route"):
        Apt("trixie", "i386").unpack(["micropython"], tmp_path / "target")
    assert not (tmp_path / "target").exists()
