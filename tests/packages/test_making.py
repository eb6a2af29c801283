"""Machines that cannot be made are skipped; machines that could be made, and were not, fail."""
import os

import pytest

import fresh_machine
from fresh_machine import CannotMake, Machine


@pytest.fixture(name="tools")
def make_tools(tmp_path, monkeypatch):
    """Programs that say something and fail, in front of the real ones."""
    monkeypatch.setenv("PATH", f"{tmp_path}/bin", prepend=os.pathsep)
    monkeypatch.setattr(fresh_machine, "BUILD", tmp_path)
    monkeypatch.setattr(fresh_machine, "needed", lambda debs: "")
    monkeypatch.setattr(fresh_machine, "_mirror", lambda: "http://mirror.example/debian")
    monkeypatch.setattr(fresh_machine, "_environment", lambda: os.environ.copy())
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(fresh_machine, "_mirror_answered", lambda: True)
    (tmp_path / "bin").mkdir()

    def say(name, text, status):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\necho '{text}' >&2\nexit {status}\n")
        (tmp_path / "bin" / name).chmod(0o755)

    say("unshare", "", 0)
    return say


def test_a_mirror_that_fails_is_a_failure(tools):
    tools("debootstrap", "E: Failed getting release file", 1)
    with pytest.raises(AssertionError, match="Failed getting release file"):
        fresh_machine.base_tree([])


def test_where_nobody_makes_devices_it_is_skipped(tools):
    tools("debootstrap", "E: Cannot install into target mounted with noexec or nodev", 1)
    with pytest.raises(CannotMake, match="nodev"):
        fresh_machine.base_tree([])


def test_without_namespaces_it_is_skipped(tools):
    tools("unshare", "unshare failed: Operation not permitted", 1)
    with pytest.raises(CannotMake, match="Operation not permitted"):
        fresh_machine.base_tree([])


def test_a_mirror_that_never_answered_is_skipped(tools, monkeypatch):
    tools("debootstrap", "", 1)
    monkeypatch.setattr(fresh_machine, "_mirror_answered", lambda: False)
    with pytest.raises(CannotMake, match="has never answered"):
        fresh_machine.base_tree([])


def test_what_apt_knows_of_a_mirror(tmp_path, monkeypatch):
    monkeypatch.setattr(fresh_machine, "_mirror", lambda: "http://mirror.example/some_debian/")
    assert not fresh_machine._mirror_answered(tmp_path)
    (tmp_path / "mirror.example_some%5fdebian_dists_bookworm_InRelease").touch()
    assert fresh_machine._mirror_answered(tmp_path)


@pytest.mark.parametrize("made, expected", [(False, CannotMake), (True, AssertionError)], ids=["never one", "one before"])
def test_a_machine_that_does_not_come_up(tools, tmp_path, made, expected):
    tools("unshare", "mount: permission denied", 1)
    if made:
        (tmp_path / "made-systemd").touch()
    with pytest.raises(expected, match="permission denied"), Machine(tmp_path / "base", tmp_path / "work", "systemd"):
        pass


def test_ordinary_users_skip(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(CannotMake, match="root"):
        fresh_machine.base_tree([])
