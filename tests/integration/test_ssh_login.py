"""From the directory to a shell: a real sshd, the real accounts helper, people who come and go."""
import os
import subprocess
import tempfile
from pathlib import Path

import pytest

import machine
from bridge import ROOT, Bridge
from test_accounts_target import CONFIG, dead, drift_of, person, settled, wait_for

WHY_NOT = machine.why_not()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=WHY_NOT or "")

# Processes are of the whole machine: no other test's uids.
FIRST_UID = 30000000 + os.getpid() % 100000 * 10
KEYS = "    attributes: {ssh_keys: sshPublicKey}\n    keys: {socket: keys.sock, users: [nobody]}\n"


@pytest.fixture(scope="module", name="place")
def make_place():
    with tempfile.TemporaryDirectory(prefix="rolebridge-ssh-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder


@pytest.fixture(scope="module", name="host")
def make_machine(place):
    with machine.Machine(place) as host:
        for group in ("wheel", "build"):
            host.run(["groupadd", group])
        host.start_helper(f"allowed_groups = wheel build\nuid_min = {FIRST_UID}\nuid_max = {FIRST_UID + 9}\n")
        host.start_sshd(place / "keys.sock", "nobody")
        yield host


@pytest.fixture(scope="module", name="keys")
def make_keys(place):
    made = {}
    for name in ("ada", "ben"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", place / name], check=True)
        made[name] = place / name
    return made


@pytest.fixture(scope="module", name="bridge")
def run_bridge(host, keys, place):
    people = "".join(person(name, f"sshPublicKey: {keys['ben' if name == 'ben' else 'ada'].with_suffix('.pub').read_text()}")
                     for name in ("ada", "ben", "cid", "games", "nobody"))
    with Bridge(CONFIG % KEYS, {"people.ldif": people}, place) as bridge:
        bridge.ctl("sync", "hr")
        settled(bridge)
        yield bridge


def test_signs_in(bridge, host, keys):
    shown = host.ssh("ada", keys["ada"], "id -un; id -u; id -Gn; echo $HOME; pwd")
    assert shown.returncode == 0, shown.stderr + host.logged("sshd.log") + host.logged("helper.log") + bridge.logged()
    name, uid, groups, home, where = shown.stdout.split("\n")[:5]
    assert (name, groups, home, where) == ("ada", "ada", "/home/" + name, home)
    assert FIRST_UID <= int(uid) <= FIRST_UID + 9
    assert host.ssh("ada", keys["ben"], "true").returncode != 0
    assert host.ssh("ben", keys["ben"], "true").returncode == 0


def test_groups(bridge, host, keys):
    bridge.ctl("users", "grant", "ada", "role", "operator")
    bridge.ctl("users", "grant", "ada", "group", "builders")
    wait_for(lambda: set(host.ssh("ada", keys["ada"], "id -Gn").stdout.split()) == {"ada", "build", "wheel"}, "the groups")
    bridge.ctl("users", "revoke", "ada", "role", "operator")
    wait_for(lambda: set(host.ssh("ada", keys["ada"], "id -Gn").stdout.split()) == {"ada", "build"}, "the end of one")


def test_disabled(bridge, host, keys):
    """The one who is signed in is out, and does not come in again; enabled, they are as before."""
    with subprocess.Popen(host.ssh_words("cid", keys["ada"], "echo in; exec sleep 1000"), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, text=True) as session:
        assert session.stdout.readline() == "in\n"
        bridge.ctl("users", "disable", "cid")
        assert host.ssh("cid", keys["ada"], "true").returncode != 0
        assert session.wait(120) != 0
    settled(bridge)
    assert host.run(["getent", "shadow", "cid"]).stdout.split(":")[7] == "1"
    bridge.ctl("users", "enable", "cid")
    wait_for(lambda: host.ssh("cid", keys["ada"], "true").returncode == 0, "the way back")


def test_accounts_of_the_machine(bridge, host, keys):
    """People of the directory who are named as a service are reported, and do not become it."""
    assert {code for name, code in dead(bridge) if name in ("games", "nobody")} == {"name-protected"}
    for name in ("games", "nobody"):
        assert bridge.ctl("users", "show", name)["active"]
        assert host.ssh(name, keys["ada"], "true").returncode != 0


def test_daemon_is_down(bridge, host, keys):
    bridge.stop()
    try:
        assert host.ssh("ben", keys["ben"], "true").returncode != 0
    finally:
        bridge.start()
    assert host.ssh("ben", keys["ben"], "true").returncode == 0


def test_drift(bridge, host, keys):
    """What root did by hand is seen, and repaired."""
    settled(bridge)
    host.run(["usermod", "-s", "/usr/sbin/nologin", "-a", "-G", "wheel", "ben"])
    drift = {row["name"]: row for row in drift_of(bridge)}
    assert drift["ben"]["fields"] == {"groups": ["wheel", ""], "shell": ["/usr/sbin/nologin", "/bin/sh"]}
    bridge.ctl("targets", "reconcile", "linux")
    wait_for(lambda: host.ssh("ben", keys["ben"], "id -Gn").stdout.split() == ["ben"], "the repair")


def test_our_lines_for_sshd(host):
    """What is shipped is what sshd understands."""
    (host.folder / "etc" / "ssh" / "ours").write_text((ROOT / "config" / "sshd" / "rolebridge.conf").read_text() +
                                                      f"HostKey {host.folder}/host\n")
    shown = host.run([machine.SSHD, "-T", "-f", "/etc/ssh/ours"])
    assert shown.returncode == 0, shown.stderr
    assert "authorizedkeyscommand /usr/bin/rolebridge-authorized-keys %u %U\n" in shown.stdout
    assert "authorizedkeyscommanduser rolebridge-keys\n" in shown.stdout
