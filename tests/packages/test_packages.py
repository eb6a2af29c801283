"""The packages on a fresh Debian 12: installed, upgraded, removed, purged; by dpkg's own word and by what is there then."""
import contextlib
import os
import signal
import sqlite3
import subprocess

import pytest

from conftest import NEWER_CONFIG
from older_store import make_older, version_of

STORE = "/var/lib/rolebridge/rolebridge.db"
CONFIG = "/etc/rolebridge/rolebridge.yaml"
EDITED = ('include: ["conf.d/*.yaml"]\n# Edited here.\n')


def mode(machine, path):
    return machine.says("stat", "-c", "%U:%G %a", path)


@contextlib.contextmanager
def daemon(machine):
    """By hand, without systemd, as its user."""
    process = subprocess.Popen(["nsenter", "--target", str(machine.init), "--all", "--wd=/", "--", "runuser", "-u", "rolebridge",
                                "--", "/usr/sbin/rolebridged"], stdin=subprocess.DEVNULL)
    try:
        machine.wait_until(lambda: machine.run("rolebridgectl", "status", check=False).returncode == 0, "the daemon")
        yield
        pid = machine.says("pgrep", "-u", "rolebridge", "-x", "rolebridged").split()[0]
        machine.run("kill", "-TERM", pid)
        assert process.wait(60) == 0
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def outside(machine, tmp_path, change=None):
    """The store, copied out; changed, put back as it was owned."""
    copy = tmp_path / "rolebridge.db"
    for left in tmp_path.glob("rolebridge.db*"):
        left.unlink()
    copy.write_bytes(machine.path(STORE).read_bytes())
    if change:
        change(copy)
        owner = machine.path(STORE).stat()
        machine.write(STORE, copy.read_bytes(), 0o600)
        os.chown(machine.path(STORE), owner.st_uid, owner.st_gid)
    return copy


def in_use(machine):
    """It holds something that must not get lost."""
    with daemon(machine):
        machine.ctl("users", "create", "ada", "--email", "ada@example.com", "--profile", "administrator")


def holds_everything(machine):
    with daemon(machine):
        return machine.ctl("users", "show", "ada")["email"] == "ada@example.com" and machine.ctl("audit", "verify")["intact"]


@pytest.fixture
def installed(machine, debs):
    machine.install(debs["rolebridge"], debs["rolebridge-accounts"])
    return machine


def test_installed(installed):
    m = installed
    assert m.says("getent", "passwd", "rolebridge").split(":")[5:] == ["/var/lib/rolebridge", "/usr/sbin/nologin"]
    assert m.says("getent", "group", "rolebridge-admin") and m.says("getent", "passwd", "rolebridge-keys")
    assert mode(m, "/var/lib/rolebridge") == "rolebridge:rolebridge 700"
    assert mode(m, "/etc/rolebridge/credentials") == "root:root 700"
    assert mode(m, CONFIG) == "root:root 644" and mode(m, "/etc/rolebridge/accounts.conf") == "root:root 644"
    assert m.says("systemctl", "is-enabled", "rolebridged.service", "rolebridged.socket").split() == ["enabled"] * 2
    for unit in ("rolebridge-accounts.service", "rolebridge-accounts.socket", "rolebridged-web.socket", "rolebridge-backup.timer"):
        assert m.run("systemctl", "is-enabled", unit, check=False).stdout.strip() == "disabled", unit
    for program in ("/usr/sbin/rolebridged", "/usr/bin/rolebridgectl", "/usr/sbin/rolebridge-accounts",
                    "/usr/bin/rolebridge-authorized-keys"):
        answer = m.run(program, "--help", check=False)
        assert (answer.stdout + answer.stderr).startswith("usage: "), (program, answer)
    for page in ("man8/rolebridged.8", "man1/rolebridgectl.1", "man5/rolebridge.yaml.5", "man5/rolebridge-rules.5",
                 "man7/rolebridge-admin.7", "man8/rolebridge-accounts.8", "man1/rolebridge-authorized-keys.1"):
        assert m.exists(f"/usr/share/man/{page}.gz"), page
    assert m.exists("/usr/share/bash-completion/completions/rolebridgectl")
    assert "ok: 0 source(s)" in m.says("rolebridged", "--check")
    m.run("rolebridge-accounts", "--check")
    assert m.says("dpkg", "--verify", "rolebridge", "rolebridge-accounts") == ""


def test_in_use_without_systemd(installed):
    in_use(installed)
    assert holds_everything(installed)
    assert mode(installed, STORE) == "rolebridge:rolebridge 600"


def test_upgraded(installed, newer, tmp_path):
    """An edited configuration stays, the store is copied and brought to the new version."""
    m = installed
    in_use(m)
    m.write(CONFIG, EDITED)
    older = []
    outside(m, tmp_path, lambda store: older.append(make_older(store)))
    result = m.install(newer["rolebridge"], newer["rolebridge-accounts"])
    assert m.says("dpkg-query", "-W", "-f", "${Status} ${Version}", "rolebridge").endswith("+newer")
    assert m.path(CONFIG).read_text() == EDITED
    assert m.path(CONFIG + ".dpkg-dist").read_text().startswith(NEWER_CONFIG)
    assert m.path("/etc/rolebridge/accounts.conf").read_text().startswith(NEWER_CONFIG), "not edited: the new one"
    copy, = m.path("/var/lib/rolebridge").glob("rolebridge.db.before-upgrade-*")
    assert copy.name in result.stdout
    saved = tmp_path / "saved.db"
    saved.write_bytes(copy.read_bytes())
    assert version_of(saved) == older[0] and version_of(outside(m, tmp_path)) == older[0] + 1
    assert mode(m, f"/var/lib/rolebridge/{copy.name}") == "rolebridge:rolebridge 600"
    assert holds_everything(m)


def test_upgraded_without_change_of_the_store(installed, newer):
    in_use(installed)
    installed.install(newer["rolebridge"], newer["rolebridge-accounts"])
    assert not list(installed.path("/var/lib/rolebridge").glob("rolebridge.db.before-upgrade-*"))
    assert holds_everything(installed)


def test_upgrade_without_room(installed, newer, tmp_path):
    """It stops before anything is changed, says why, and goes on when there is room."""
    m = installed
    in_use(m)
    outside(m, tmp_path, make_older)
    before = m.path(STORE).read_bytes()
    m.sh("cp -a /var/lib/rolebridge /srv/state && "
         f"mount -t tmpfs -o size={len(before) * 3 // 2},uid=$(id -u rolebridge),mode=700 small /var/lib/rolebridge && "
         "rm -f /srv/state/*.lock && cp -a /srv/state/rolebridge.db /var/lib/rolebridge/")
    result = m.install(newer["rolebridge"], check=False)
    assert result.returncode != 0 and "older version" in result.stderr and "full" in result.stderr, result.stderr
    assert m.path(STORE).read_bytes() == before
    m.sh("mount -o remount,size=100% /var/lib/rolebridge")
    m.run("dpkg", "--configure", "-a")
    assert len(list(m.path("/var/lib/rolebridge").glob("rolebridge.db.before-upgrade-*"))) == 1
    assert holds_everything(m)


def test_upgraded_with_a_broken_configuration(installed, newer, tmp_path):
    """dpkg is not held up by it: it says so, and the start does what waits once it is mended."""
    m = installed
    in_use(m)
    older = []
    outside(m, tmp_path, lambda store: older.append(make_older(store)))
    m.write(CONFIG, "include: [\n")
    result = m.install(newer["rolebridge"], newer["rolebridge-accounts"])
    assert "does not say where the store is" in result.stdout + result.stderr
    assert m.says("dpkg-query", "-W", "-f", "${db:Status-Status}", "rolebridge") == "installed"
    assert version_of(outside(m, tmp_path)) == older[0]
    m.write(CONFIG, EDITED)
    assert holds_everything(m)
    assert version_of(outside(m, tmp_path)) == older[0] + 1
    assert len(list(m.path("/var/lib/rolebridge").glob("rolebridge.db.before-upgrade-*"))) == 1


def test_removed_and_installed_again(installed, debs):
    m = installed
    in_use(m)
    m.write(CONFIG, EDITED)
    m.write("/etc/rolebridge/credentials/corp.password", "secret", 0o600)
    m.sh("mkdir -p /var/lib/rolebridge-backup && touch /var/lib/rolebridge-backup/rolebridge-20260101T000000Z.db")
    m.run("dpkg", "--remove", "rolebridge", "rolebridge-accounts")
    assert not m.exists("/usr/sbin/rolebridged") and not m.exists("/lib/systemd/system/rolebridged.service")
    assert m.path(CONFIG).read_text() == EDITED and m.exists("/etc/rolebridge/credentials/corp.password")
    assert m.exists("/var/lib/rolebridge-backup/rolebridge-20260101T000000Z.db")
    m.install(debs["rolebridge"])
    assert m.path(CONFIG).read_text() == EDITED
    assert holds_everything(m)


def test_purged(installed, debs):
    m = installed
    in_use(m)
    m.write("/etc/rolebridge/credentials/corp.password", "secret", 0o600)
    m.write("/etc/rolebridge/conf.d/rules.yaml", "")
    m.sh("mkdir -p /var/lib/rolebridge-backup /var/lib/systemd/timers && cd /var/lib && "
         "touch rolebridge-backup/rolebridge-20260101T000000Z.db systemd/timers/stamp-rolebridge-backup.timer")
    m.run("dpkg", "--purge", "rolebridge", "rolebridge-accounts")
    for path in ("/var/lib/rolebridge", "/var/lib/rolebridge-accounts", "/etc/rolebridge", "/run/rolebridge",
                 "/run/rolebridge-accounts", "/usr/share/rolebridge", "/usr/share/doc/rolebridge"):
        assert not m.exists(path), path
    left = m.sh("find / -xdev -name '*rolebridge*' -not -path '/proc/*' -not -path '/srv/*' -not -path '/tmp/*' "
                "-not -path '/sys/*'", check=False).stdout
    assert left == "", left
    # Their numbers are not given to anybody else.
    assert m.says("getent", "passwd", "rolebridge")
    m.install(debs["rolebridge"])
    with daemon(m):
        assert m.ctl("status")["users"]["total"] == 0


def test_purged_one_by_one(installed):
    """What belongs to the other package stays."""
    m = installed
    m.run("dpkg", "--purge", "rolebridge")
    assert m.exists("/etc/rolebridge/accounts.conf") and not m.exists(CONFIG)
    m.run("dpkg", "--purge", "rolebridge-accounts")
    assert not m.exists("/etc/rolebridge")


def test_store_of_a_newer_version(installed, newer, tmp_path):
    """A downgrade: refused by the daemon, not by dpkg; the store is as it was."""
    m = installed
    in_use(m)

    def lift(path):
        store = sqlite3.connect(path)
        store.execute(f"PRAGMA user_version = {version_of(path) + 1}")
        store.close()

    outside(m, tmp_path, lift)
    before = m.path(STORE).read_bytes()
    m.install(newer["rolebridge"])
    result = m.run("runuser", "-u", "rolebridge", "--", "timeout", "60", "/usr/sbin/rolebridged", check=False)
    assert result.returncode == 1 and "newer" in result.stderr
    assert m.path(STORE).read_bytes() == before
