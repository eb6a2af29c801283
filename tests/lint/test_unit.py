"""The units let the daemon do what it does, and no more: against its code, its defaults, and systemd's own judgement."""
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNITS = ROOT / "systemd"
# How far a service may be exposed, of 10, as systemd-analyze(1) reckons it.
EXPOSURE_MAX = {"rolebridged.service": 1.5, "rolebridge-accounts.service": 4.0,
                "rolebridge-backup.service": 1.5}


def directives(name):
    return [line.split("=", 1) for line in (UNITS / name).read_text().splitlines()
            if "=" in line and not line.startswith("#")]


UNIT = directives("rolebridged.service")
CONTROL = dict(directives("rolebridged.socket"))
WEB = dict(directives("rolebridged-web.socket"))
KEYS = dict(directives("rolebridged-keys.socket"))
DEFAULTS = json.loads((ROOT / "schemas/config.schema.json").read_text())["properties"]


def settings(name):
    return [value for key, value in UNIT if key == name]


def named_after_bars():
    filters = settings("SystemCallFilter")
    barred = max(i for i, text in enumerate(filters) if text.startswith("~"))
    return " ".join(filters[barred + 1:]).split()


def test_control_socket_is_its_groups():
    """The daemon could not give it away: it has no capability, and is no member."""
    group = DEFAULTS["control_group"]["default"]
    assert (CONTROL["SocketGroup"], CONTROL["SocketMode"]) == (group, "0660")
    assert f"g {group} -" in (UNITS / "sysusers.d/rolebridge.conf").read_text().splitlines()
    assert CONTROL["ListenStream"] == DEFAULTS["control_socket"]["default"]
    assert settings("Requires") == ["rolebridged.socket"]


def test_keys_socket_is_for_who_sshd_asks_as():
    """systemd makes a user's group with the user; another AuthorizedKeysCommandUser takes a drop-in."""
    user = "rolebridge-keys"
    assert (KEYS["SocketGroup"], KEYS["SocketMode"]) == (user, "0660")
    assert any(line.startswith(f"u {user} ") for line in (UNITS / "sysusers.d/rolebridge-accounts.conf").read_text().splitlines())
    assert f"AuthorizedKeysCommandUser {user}\n" in (ROOT / "config/sshd/rolebridge.conf").read_text()


def test_sockets_have_the_names_that_the_daemon_knows():
    assert CONTROL["FileDescriptorName"] == "control"
    assert 'inherited_has("control")' in (ROOT / "daemon/main/control.c").read_text()
    assert WEB["FileDescriptorName"] == "web" and WEB["Service"] == "rolebridged.service"
    assert WEB["ListenStream"] in json.dumps(DEFAULTS["listeners"])


def test_sockets_outlive_the_service():
    """Without this systemd would remove their folder, and them, each time the service ends."""
    assert settings("RuntimeDirectoryPreserve") == ["yes"]
    folder = f"d /run/rolebridge {settings('RuntimeDirectoryMode')[0]} rolebridge rolebridge -"
    assert folder in (UNITS / "tmpfiles.d/rolebridge.conf").read_text().splitlines()
    assert CONTROL["DirectoryMode"] == WEB["DirectoryMode"] == settings("RuntimeDirectoryMode")[0]


def test_listeners_can_be_given_to_the_proxys_group():
    """Without the call in the filter the daemon would be killed for it."""
    assert "chown(" in (ROOT / "daemon/http/listen.c").read_text()
    assert "chown" in named_after_bars(), "@privileged bars it: it must be named after that"


def test_credentials_are_found():
    name, folder = settings("LoadCredential")[0].split(":")
    assert f'"{name}_"' in (ROOT / "daemon/base/secret.c").read_text()
    assert f"d {folder} 0700 root root -" in (UNITS / "tmpfiles.d/rolebridge.conf").read_text().splitlines()


def test_reload_waits():
    """systemctl reload says whether the configuration was refused."""
    assert settings("ExecReload") == ["+@PREFIX@/bin/rolebridgectl reload"]


def test_hashing_can_step_back():
    assert "setpriority" in (ROOT / "daemon/auth/hasher.c").read_text()
    assert "setpriority" in named_after_bars(), "@resources bars it: the daemon would be killed for it"


def test_default_paths_are_the_units():
    assert DEFAULTS["control_socket"]["default"] == f"/run/{settings('RuntimeDirectory')[0]}/control.sock"
    assert Path(DEFAULTS["store"]["default"]).parent == Path("/var/lib") / settings("StateDirectory")[0]


def test_workers_can_lock_themselves_up():
    assert "seccomp" in " ".join(settings("SystemCallFilter")).split()
    assert settings("ProtectProc") != ["noaccess"] and not settings("ProcSubset"), "/proc/self/exe is executed"
    assert not settings("PrivateUsers"), "peers of the control socket would all be nobody"
    assert settings("LimitCORE") == ["0"]


def test_packages_have_the_version_of_the_programs():
    version = re.search(r'ROLEBRIDGE_VERSION "(.*)"', (ROOT / "include/rolebridge/base/version.h").read_text())[1]
    assert (UNITS / "debian/changelog").read_text().startswith(f"rolebridge ({version}) ")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The units as they are installed, with programs where they say."""
    folder = tmp_path_factory.mktemp("units")
    for source in [*UNITS.glob("*.service"), *UNITS.glob("*.socket"), *UNITS.glob("*.timer")]:
        text = source.read_text().replace("@PREFIX@", str(folder))
        (folder / source.name).write_text(text)
        for path in re.findall(rf"{folder}/[\w/-]+", text):
            program = Path(path)
            program.parent.mkdir(parents=True, exist_ok=True)
            program.write_text("#!/bin/sh\n")
            program.chmod(0o755)
    return folder


def judge(unit, *options):
    return subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", *options, unit],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("unit", EXPOSURE_MAX)
def test_exposure(unit, installed, record_property):
    result = judge(installed / unit)
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", result.stdout)
    assert found, result.stdout + result.stderr
    record_property("figure", f"{unit}: exposure {found[1]} (at most {EXPOSURE_MAX[unit]})")
    assert float(found[1]) <= EXPOSURE_MAX[unit], result.stdout


@pytest.mark.parametrize("jobs", [[], ["-n", "2"]], ids=["alone", "as make check"])
def test_exposure_is_shown(jobs):
    result = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *jobs, "-k", "test_exposure and service",
                             __file__], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                            env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")})
    for unit, most in EXPOSURE_MAX.items():
        assert re.search(rf"^{unit}: exposure [\d.]+ \(at most {most}\)$", result.stdout, re.M), result.stdout + result.stderr


def left_open(unit):
    """What systemd-analyze(1) holds against it."""
    rows = json.loads(judge(unit, "--json=short").stdout)
    names = [row["name"].replace("(INET|INET6)", "INET") for row in rows if row["set"] is False]
    return {name if "=~AF_" in name else re.split("[=/]", name)[0] for name in names}


@pytest.mark.parametrize("unit", EXPOSURE_MAX)
def test_what_is_left_open_has_a_reason(unit, installed):
    """Above the directive, or in the list behind all."""
    text = (UNITS / unit).read_text()
    names = left_open(installed / unit)
    assert len(names) > 4 and "RootDirectory" in names
    for name in names:
        above = re.search(rf"^# Left open: .*\n(?:#.*\n)*{name}=", text, re.M)
        assert above or re.search(rf"^# (?:[^:\n]*, )?{re.escape(name)}\b[^:\n]*: ", text, re.M), name


def test_units_are_verified(installed):
    """Nothing unknown, misspelt or missing, each with the others beside it."""
    units = sorted(path for path in installed.iterdir() if path.suffix in (".service", ".socket", ".timer"))
    assert units
    result = subprocess.run(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *units],
                            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, ""), result.stderr
