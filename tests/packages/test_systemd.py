"""The units under a real systemd: what they bar, the daemon and the helper can do without."""
import base64
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

MAIN = "rolebridged.service"
HOME = os.path.join("/home", "carla")
CONFIG = "/etc/rolebridge/conf.d/test.yaml"
INTEGRATION = str(Path(__file__).resolve().parents[1] / "integration")
# Its keys are credentials; the LDAP worker and the SAML workers live inside of the sandbox of the unit.
SOURCES = """
public_url: "https://login.example.com"
listeners: [{address: "systemd:web"}]
passwords: {enabled: true}
saml: {certificate: /etc/rolebridge/sp.crt, private_key: sp.key}
sources:
  - {name: corp, type: ldap, servers: ["ldap://127.0.0.1:9"], allow_cleartext: true, tls: none, interval: 1h,
     bind: {method: simple, dn: "cn=bridge", password_file: corp.password}, users: {base: "dc=example"},
     groups: {base: "dc=example"}}
"""

PEOPLE = """
segments: [All]
profiles: [{name: administrator, permissions: ["*:*@all"]}, {name: member, permissions: []}]
policy: {default_profile: member}
sources:
  - {name: hr, type: ldif, path: /etc/rolebridge/people.ldif, key: entryUUID, interval: 0,
     attributes: [{name: sshPublicKey, syntax: string-exact}]}
targets:
  - {name: linux, type: accounts, users: {profiles: [member]}, attributes: {ssh_keys: sshPublicKey}, keys: {}, retry_min: 1s}
"""
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKP/Up2vrOR7FunGRLeocmh0NbXZ0riVQmJNATuGFlFO"
CARLA = ("dn: uid=carla,dc=x\nobjectClass: person\nentryUUID: carla-0000\nuid: carla\nmail: carla@x.example\n"
         f"cn: Carla C.\nsshPublicKey: {KEY}\n")


def show(machine, name, unit=MAIN):
    return machine.says("systemctl", "show", "--property", name, "--value", unit)


def logged(machine, unit=MAIN):
    return machine.says("journalctl", "--no-pager", "--output", "cat", "--unit", unit)


def until_active(machine, unit=MAIN):
    machine.wait_until(lambda: show(machine, "ActiveState", unit) == "active", f"{unit}: {logged(machine, unit)}")


def restart(machine, unit=MAIN):
    """systemd's own preparations (2xx: mounts, credentials) may fail in machines in machines: then once more. No word of ours may."""
    for _ in range(3):
        result = machine.run("systemctl", "restart", unit, check=False)
        if result.returncode == 0:
            return
        log = logged(machine, unit)
        assert "start.failed" not in log and re.search(r"status=2\d\d/[A-Z]", log), f"{result.stderr} {log}"
        machine.run("systemctl", "reset-failed", unit, check=False)
    raise AssertionError(log)


@pytest.fixture
def service(booted, debs):
    """Installed, and so running."""
    booted.install(debs["rolebridge"], debs["rolebridge-accounts"])
    until_active(booted)
    return booted


def http_get(machine, path="/healthz"):
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(120)
        client.connect(f"/proc/{machine.init}/root/run/rolebridge/web.sock")
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: login.example.com\r\nConnection: close\r\n\r\n".encode())
        return client.recv(4096).decode()


def with_sources(machine):
    machine.write("/etc/rolebridge/credentials/corp.password", "secret", 0o600)
    machine.write("/etc/rolebridge/credentials/sealing-key", base64.b64encode(secrets.token_bytes(32)), 0o600)
    machine.run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=login.example.com",
                "-keyout", "/etc/rolebridge/credentials/sp.key", "-out", "/etc/rolebridge/sp.crt")
    machine.write(CONFIG, SOURCES)
    machine.run("systemctl", "enable", "rolebridged-web.socket")
    restart(machine)


def test_installed_and_running(service):
    m = service
    assert m.ctl("status")["version"] in m.says("rolebridged", "--version")
    assert show(m, "Result") == "success" and show(m, "NRestarts") == "0"
    assert m.says("stat", "-c", "%U:%G %a", "/run/rolebridge/control.sock") == "root:rolebridge-admin 660"
    assert m.says("stat", "-c", "%U:%G %a", "/run/rolebridge") == "rolebridge:rolebridge 711"
    assert "start.socket-private" not in logged(m)
    # The group's people may, others may not.
    m.run("useradd", "--groups", "rolebridge-admin", "anna")
    m.run("useradd", "ben")
    assert m.run("runuser", "-u", "anna", "--", "rolebridgectl", "status").returncode == 0
    assert m.run("runuser", "-u", "ben", "--", "rolebridgectl", "status", check=False).returncode == 1
    assert m.run("systemctl", "is-active", "rolebridge-accounts.socket", check=False).stdout.strip() == "inactive"


def test_reload_says_what_is_wrong(service):
    m = service
    m.run("systemctl", "reload", MAIN)
    m.write(CONFIG, "no_such_key: 1\n")
    assert m.run("systemctl", "reload", MAIN, check=False).returncode != 0
    assert "unknown key 'no_such_key'" in logged(m)
    assert show(m, "ActiveState") == "active" and m.ctl("status")["version"]
    m.write(CONFIG, "")
    m.run("systemctl", "reload", MAIN)


def test_sandbox(service):
    """Credentials, workers, sockets: under all that the unit bars."""
    m = service
    with_sources(m)
    until_active(m)
    assert "200 OK" in http_get(m)
    log = logged(m)
    # ExecStartPre tries certificate and key in a SAML worker.
    assert "ok: 1 source(s)" in log and "error" not in log.split("ok: 1 source(s)")[0].splitlines()[-1]
    assert "sealing-key" not in log and m.ctl("sealing-key", "status")["own"] is False
    m.wait_until(lambda: "connect-failed" in logged(m), "the directory to be tried")
    # Hashes of passwords take threads that step back behind others.
    m.ctl("users", "create", "ada", "--email", "ada@example.com", "--profile", "administrator")
    m.run("rolebridgectl", "recovery-code", "issue", "ada", check=False)
    assert show(m, "NRestarts") == "0" and show(m, "ActiveState") == "active"
    assert m.says("stat", "-c", "%U:%G %a", "/run/rolebridge/web.sock") == "root:www-data 660"


def test_secrets_are_roots(service):
    """Neither the service's user outside of it, nor anybody else, reads a credential."""
    m = service
    with_sources(m)
    until_active(m)
    for path in ("/etc/rolebridge/credentials/corp.password", f"/run/credentials/{MAIN}/rolebridge_corp.password"):
        assert m.run("runuser", "-u", "nobody", "--", "cat", path, check=False).returncode != 0, path


def test_restart_loses_no_request(service):
    m = service
    with_sources(m)
    until_active(m)
    before = os.stat(f"/proc/{m.init}/root/run/rolebridge/web.sock").st_ino
    m.run("systemctl", "stop", MAIN)
    assert show(m, "ActiveState") == "inactive"
    # Whoever asks starts it, and waits.
    assert "200 OK" in http_get(m)
    until_active(m)
    restart(m)
    assert "200 OK" in http_get(m)
    assert os.stat(f"/proc/{m.init}/root/run/rolebridge/web.sock").st_ino == before


def test_restored_while_people_ask(service):
    """Stopped with its sockets: no request starts the daemon in between."""
    m = service
    with_sources(m)
    until_active(m)
    m.ctl("users", "create", "ada", "--email", "ada@example.com", "--profile", "administrator")
    m.run("rolebridgectl", "backup", "/var/backups/rolebridge.db")
    m.ctl("users", "create", "ben", "--email", "ben@example.com", "--profile", "administrator")
    m.run("systemctl", "stop", "rolebridged*")
    with pytest.raises(OSError):
        http_get(m)
    m.run("rolebridgectl", "restore", "/var/backups/rolebridge.db")
    m.run("systemctl", "start", MAIN)
    assert "200 OK" in http_get(m)
    assert m.ctl("users", "show", "ada")["email"] == "ada@example.com"
    assert m.run("rolebridgectl", "users", "show", "ben", check=False).returncode == 1
    assert m.says("stat", "-c", "%U:%G %a", "/var/lib/rolebridge/rolebridge.db") == "rolebridge:rolebridge 600"


def test_killed_and_hung(service):
    """The first is started again at once, the second when the watchdog's time is over."""
    m = service
    m.run("mkdir", "-p", f"/etc/systemd/system/{MAIN}.d")
    m.write(f"/etc/systemd/system/{MAIN}.d/soon.conf", "[Service]\nWatchdogSec=5s\n")
    m.run("systemctl", "daemon-reload")
    restart(m)
    for number, cause in (("KILL", "signal"), ("STOP", "watchdog")):
        pid = show(m, "MainPID")
        m.run("kill", f"-{number}", pid)
        m.wait_until(lambda: show(m, "MainPID") not in (pid, "0") and show(m, "ActiveState") == "active", cause)  # noqa: B023
        assert m.ctl("status")["version"], cause
    assert "start.socket-private" not in logged(m)


def test_a_configuration_that_does_not_load(service):
    """It is said in the log, nobody hangs, and when it is mended the service is there."""
    m = service
    m.write(CONFIG, "no_such_key: 1\n")
    m.run("systemctl", "restart", MAIN, check=False)
    m.wait_until(lambda: int(show(m, "NRestarts")) > 0, "the next try")
    assert "unknown key 'no_such_key'" in logged(m)
    assert m.run("timeout", "100", "rolebridgectl", "status", check=False).returncode == 1
    m.write(CONFIG, "")
    until_active(m)
    m.wait_until(lambda: m.run("rolebridgectl", "status", check=False).returncode == 0, "the daemon")


BACKUP = "rolebridge-backup.service"


def backups(machine, folder="/var/lib/rolebridge-backup"):
    return sorted(path.name for path in machine.path(folder).iterdir())


def test_backups_by_the_timer(service):
    """Off until somebody turns it on; in the sandbox of its unit, into a folder that a drop-in may name, so many stay."""
    m = service
    assert show(m, "ActiveState", "rolebridge-backup.timer") == "inactive"
    m.run("systemctl", "enable", "--now", "rolebridge-backup.timer")
    assert "rolebridge-backup.service" in show(m, "Triggers", "rolebridge-backup.timer")
    m.ctl("users", "create", "ada", "--email", "ada@example.com", "--profile", "administrator")
    restart(m, BACKUP)
    made, = backups(m)
    assert m.says("stat", "-c", "%U:%G %a", "/var/lib/rolebridge-backup") == "root:root 700"
    assert m.says("stat", "-c", "%U:%G %a", f"/var/lib/rolebridge-backup/{made}") == "root:root 600"
    assert "verify, head" in logged(m, BACKUP)
    m.sh("mkdir -p /srv/kept /etc/systemd/system/rolebridge-backup.service.d && cd /srv/kept && "
         "touch rolebridge-20200101T000000Z.db rolebridge-20200102T000000Z.db other")
    m.write("/etc/systemd/system/rolebridge-backup.service.d/folder.conf",
            "[Service]\nEnvironment=BACKUP_FOLDER=/srv/kept BACKUP_KEEP=2\nReadWritePaths=/srv/kept\n")
    m.run("systemctl", "daemon-reload")
    restart(m, BACKUP)
    first, *rest, new = backups(m, "/srv/kept")
    assert (first, rest) == ("other", ["rolebridge-20200102T000000Z.db"]) and new > "rolebridge-2021"
    assert backups(m) == [made]


def test_no_backup_wakes_what_was_stopped(service):
    """By its socket it would, in the middle of a restore."""
    m = service
    m.run("systemctl", "stop", MAIN)
    assert m.run("systemctl", "start", BACKUP, check=False).returncode != 0
    assert show(m, "ActiveState") == "inactive"


def test_upgraded_while_it_runs(service, newer):
    m = service
    pid = show(m, "MainPID")
    m.ctl("users", "create", "ada", "--email", "ada@example.com", "--profile", "administrator")
    m.install(newer["rolebridge"], newer["rolebridge-accounts"])
    until_active(m)
    assert show(m, "MainPID") != pid, "the new version runs"
    assert m.ctl("users", "show", "ada")["email"] == "ada@example.com"


def test_removed_while_it_runs(service):
    m = service
    with_sources(m)
    until_active(m)
    pid = show(m, "MainPID")
    m.run("dpkg", "--purge", "rolebridge", "rolebridge-accounts")
    assert not m.exists(f"/proc/{pid}") and not m.exists("/run/rolebridge")
    assert m.run("systemctl", "is-active", "rolebridged-web.socket", check=False).stdout.strip() != "active"
    assert m.run("systemctl", "is-active", MAIN, check=False).stdout.strip() != "active"


# --- the helper ---

class Asked:
    """The daemon's side, as its user: the helper looks who asks."""

    def __init__(self, machine, script):
        # What root may open on the way, another user may not: into the folder first.
        folder = f"/proc/{machine.init}/root/run/rolebridge-accounts"
        uid = int(machine.says("id", "-u", "rolebridge"))
        code = (f"import os, sys, uuid; sys.path.insert(0, {INTEGRATION!r})\nfrom accounts_tree import Core\n"
                f"os.chdir({folder!r}); os.setgroups([]); os.setgid({uid}); os.setuid({uid})\n"
                f"core = Core('accounts.sock')\n{script}")
        self.result = subprocess.run([sys.executable, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                     timeout=300, check=False)
        assert self.result.returncode == 0, self.result.stderr
        self.said = self.result.stdout.splitlines()


@pytest.fixture
def helper(service):
    m = service
    m.write("/etc/rolebridge/accounts.conf", "allowed_groups = staff-*\ndelete_grace = 0\nhome_on_delete = archive\n"
                                             "end_sessions = yes\n")
    m.run("groupadd", "staff-a")
    m.run("systemctl", "enable", "--now", "rolebridge-accounts.socket")
    return m


def test_accounts(helper):
    """Made, locked with their processes ended, opened, archived and removed: with what the unit leaves it."""
    m, user = helper, uuid.uuid4()
    made = Asked(m, f"print(core.ensure(uuid.UUID({str(user)!r}), 'carla', gecos='Carla C.', groups=['staff-a']).__dict__)")
    assert "'status': 'done'" in made.said[0], (made.said, logged(m, "rolebridge-accounts.service"))
    entry = m.says("getent", "passwd", "carla").split(":")
    assert entry[4:] == ["Carla C.", HOME, "/bin/bash"]
    assert "staff-a" in m.says("id", "-nG", "carla").split()
    assert m.says("stat", "-c", "%U %a", HOME) == "carla 700" and m.exists(f"{HOME}/.bashrc")
    running = subprocess.Popen(["nsenter", "--target", str(m.init), "--all", "--wd=/", "--", "runuser", "-u", "carla", "--",
                                "sleep", "600"], stdin=subprocess.DEVNULL)
    try:
        m.wait_until(lambda: m.run("pgrep", "-u", "carla", "sleep", check=False).returncode == 0, "a process of hers")
        assert "'status': 'done'" in Asked(m, f"print(core.disable(uuid.UUID({str(user)!r})).__dict__)").said[0]
        m.wait_until(lambda: m.run("pgrep", "-u", "carla", check=False).returncode != 0, "it to end")
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait(60)
    shadow = m.says("getent", "shadow", "carla").split(":")
    assert shadow[1].startswith("!") and shadow[7] == "1"
    assert "'status': 'done'" in Asked(m, f"print(core.ensure(uuid.UUID({str(user)!r}), 'carla', gecos='C').__dict__)").said[0]
    assert m.says("getent", "shadow", "carla").split(":")[7] == ""
    assert "'status': 'done'" in Asked(m, f"print(core.delete(uuid.UUID({str(user)!r})).__dict__)").said[0]
    m.wait_until(lambda: m.run("getent", "passwd", "carla", check=False).returncode != 0, "the account to go")
    m.wait_until(lambda: not m.exists(HOME), "the home to go")
    assert len(list(m.path("/var/lib/rolebridge-accounts/archive").glob("carla-*.tar.gz"))) == 1


def test_from_the_directory_to_the_account(helper):
    """The daemon in its sandbox asks the helper in its own; sshd's command asks the daemon."""
    m = helper
    m.write("/etc/rolebridge/people.ldif", CARLA)
    m.write(CONFIG, PEOPLE)
    m.run("systemctl", "enable", "rolebridged-keys.socket")
    restart(m)
    until_active(m)
    m.ctl("sync", "hr")
    m.wait_until(lambda: m.run("getent", "passwd", "carla", check=False).returncode == 0,
                 f"the account: {logged(m)} {logged(m, 'rolebridge-accounts.service')}")
    ask = ("runuser", "-u", "rolebridge-keys", "--", "rolebridge-authorized-keys", "carla", m.says("id", "-u", "carla"))
    m.wait_until(lambda: m.run(*ask, check=False).stdout.strip() == KEY, "her key")
    m.ctl("users", "disable", "carla", "--reason", "left")
    assert m.run(*ask, check=False).stdout == ""
    m.wait_until(lambda: m.says("getent", "shadow", "carla").split(":")[7] == "1", "the account to expire")
    assert show(m, "NRestarts") == "0" and show(m, "NRestarts", "rolebridge-accounts.service") == "0"


def test_accounts_for_nobody_else(helper):
    m = helper
    for name in ("rolebridge-keys", "nobody"):
        result = m.run("runuser", "-u", name, "--", "sh", "-c", "test -w /run/rolebridge-accounts/accounts.sock", check=False)
        assert result.returncode != 0, name


def test_accounts_of_an_upgrade(helper, newer):
    m = helper
    Asked(m, f"print(core.ensure(uuid.UUID({str(uuid.uuid4())!r}), 'carla').__dict__)")
    pid = show(m, "MainPID", "rolebridge-accounts.service")
    m.install(newer["rolebridge"], newer["rolebridge-accounts"])
    until_active(m, "rolebridge-accounts.service")
    assert show(m, "MainPID", "rolebridge-accounts.service") != pid
    said = Asked(m, "print([entry.name for entry in core.list()])").said
    assert said == ["['carla']"]
    m.run("dpkg", "--remove", "rolebridge-accounts")
    assert m.run("systemctl", "is-active", "rolebridge-accounts.service", check=False).stdout.strip() != "active"
    assert m.says("getent", "passwd", "carla")
