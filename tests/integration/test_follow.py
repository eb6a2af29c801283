"""A real slapd that tells what changes, and a daemon that follows it: every change, every accident."""
import contextlib
import os
import shutil
import signal
import socket
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from bridge import Bridge
from fake_directory import Listener, close
from ports import free_port
from slapd import BASE_ENTRIES, GROUPS, PEOPLE, SUFFIX, Authority, Slapd, group, group_dn, person

SECONDS = 120
AT_ONCE_S = 20  # on a busy machine, too

RULES = f"""
profiles:
  - {{name: administrator, permissions: ["*:*@all"]}}
  - {{name: manager, permissions: ["accounts:*@all"]}}
  - {{name: viewer, permissions: ["accounts:read@own"]}}
segments: [All]
roles:
  - {{name: sales, description: Sells, classifications: [Sales], segments: [All], permissions: ["quotes:*@own"]}}
  - {{name: support, description: Helps, classifications: [Support], segments: [All], permissions: ["cases:*@own"]}}
  - {{name: night, description: Watches, classifications: [Support], segments: [All], permissions: ["cases:*@own"]}}
rules:
  - id: managers
    groups: ["{group_dn('managers')}"]
    grant: {{profile: manager}}
  - id: sales
    groups: ["{group_dn('sales')}"]
    grant: {{roles: [sales]}}
  - id: engineers
    when: "(title=engineer)"
    grant: {{roles: [support]}}
"""
NIGHT = f"""  - id: night
    groups: ["{group_dn('night')}"]
    grant: {{roles: [night]}}
"""
POLICY = """
policy:
  default_profile: viewer
  missing_runs: 1
  missing_grace: 0
  limits: {disables_min: 1000, disables_max: 1000, removals_min: 1000, group_loss_percent: 100,
           new_administrators: 1000, first_sync_administrators: true}
"""


def people():
    """u0 to u9; a group in a group; one that no rule names yet."""
    return [person(f"u{i}") for i in range(10)] + [
        group("managers", ["uid=u1"]),
        group("sales", ["uid=u2", group_dn("north")]),
        group("north", ["uid=u3"]),
        group("night", ["uid=u4"]),
    ]


def config(*urls, ca=None, password=None, rules=RULES, more="", root=f"cn=admin,{SUFFIX}", timeouts="", bind=None):
    servers = ", ".join(f'"{url}"' for url in urls)
    bind = bind or f'{{dn: "{root}", password_file: {password}}}'
    return f"""{rules}{POLICY}
sources:
  - name: corp
    type: ldap
    servers: [{servers}]
    {f'ca: {ca}' if ca else 'tls: none'}
    {'' if ca else 'allow_cleartext: true'}
    bind: {bind}
    users: {{base: "{PEOPLE}"}}
    groups: {{base: "{GROUPS}"}}
    attributes: [{{name: title}}]
    timeouts: {{connect: 20s, answer: 20s{timeouts}}}
    follow: {{mode: auto}}
    {more}
"""


class Followed(Bridge):
    """With what the tests ask again and again."""

    def source(self):
        return next(s for s in self.ctl("status")["sources"] if s["name"] == "corp")

    def follow(self):
        return self.source()["follow"]

    def shown(self, name):
        result = self.run("users", "show", name)
        return None if result.returncode else self.ctl("users", "show", name)

    def roles(self, name):
        shown = self.shown(name)
        return shown and {g["name"] for g in shown["grants"] if g["kind"] == "role"}

    def until(self, condition, what, seconds=SECONDS):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"{what}: {self.follow()}\n{self.logged()[-3000:]}"
            time.sleep(0.02)

    def connected(self, **more):
        """Following, and with at least as many of each as said."""
        def is_so():
            state = self.follow()
            return state["connected"] and all(state[name] >= least for name, least in more.items())
        self.until(is_so, f"connected {more}")
        return self.follow()

    def worker(self):
        """The pid of its ldap worker."""
        for pid in self.workers():
            # It may end in between.
            with contextlib.suppress(OSError):
                if b"ldap" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                    return pid
        return None


def attribute(uid, lines):
    return f"dn: uid={uid},{PEOPLE}\nchangetype: modify\n{lines}\n\n"


def membership(name, verb, *members):
    lines = "".join(f"member: {m if '=' in m else f'uid={m},{PEOPLE}'}\n" for m in members)
    return f"dn: {group_dn(name)}\nchangetype: modify\n{verb}: member\n{lines}\n"


@pytest.fixture(name="directory")
def make_directory():
    with Slapd(BASE_ENTRIES + "".join(people()), syncprov=True) as slapd:
        yield slapd


@pytest.fixture(name="bridge")
def make_bridge(directory):
    with Followed(config(directory.url, password=directory.password_file)) as bridge:
        bridge.connected()
        yield bridge


def test_status_says_how_it_is_followed(bridge, directory):
    state = bridge.follow()
    assert state["mode"] == "sync" and state["vendor"] == "openldap" and state["server"] == directory.url, state
    assert state["problem"] == "" and state["full"] and state["contact"], state
    assert state["reconnects"] == state["restarts"] == 0, state
    source = bridge.source()
    assert source["interval_s"] == 86400 and source["entries"] == 10 and source["failures"] == 0, source


def test_changes_of_people(bridge, directory):
    directory.modify(attribute("u5", "add: title\ntitle: engineer\n-"))
    bridge.until(lambda: bridge.roles("u5") == {"support"}, "role by title")
    directory.modify(attribute("u5", "delete: title\n-"))
    bridge.until(lambda: bridge.roles("u5") == set(), "role gone with the title")
    directory.add(person("new", "title: engineer"))
    bridge.until(lambda: bridge.roles("new") == {"support"}, "somebody new")
    state = bridge.follow()
    assert state["changes"] >= 3 and state["restarts"] == 0 and state["change"], state


def test_changes_of_groups(bridge, directory):
    assert bridge.roles("u2") == bridge.roles("u3") == {"sales"}
    directory.modify(membership("managers", "add", "u6"))
    bridge.until(lambda: bridge.shown("u6")["profile"] == "manager", "member of managers")
    directory.modify(membership("north", "add", "u7"))
    bridge.until(lambda: bridge.roles("u7") == {"sales"}, "member of a group in the group")
    directory.modify(membership("sales", "delete", group_dn("north")))
    bridge.until(lambda: bridge.roles("u3") == bridge.roles("u7") == set(), "the group leaves the group")
    assert bridge.roles("u2") == {"sales"}
    assert bridge.follow()["restarts"] == 0


def without_default(directory):
    """Nobody is a user by being there."""
    text = config(directory.url, password=directory.password_file)
    return Followed(text.replace("  default_profile: viewer\n", ""))


def test_users_only_by_a_group(directory):
    """Who is nobody's user so far is there as soon as a group makes them one: their own entry says nothing new."""
    with without_default(directory) as bridge:
        bridge.connected()
        assert bridge.shown("u1")["profile"] == "manager" and bridge.shown("u5") is None
        directory.modify(membership("managers", "add", "u5", "u6", "u7"))
        bridge.until(lambda: all(bridge.shown(f"u{i}") for i in (5, 6, 7)), "users by joining a group")
        assert bridge.shown("u5")["profile"] == "manager" and bridge.shown("u8") is None
        # Out, and in again: somebody who was a user, and somebody together with a change of the entry.
        directory.modify(membership("managers", "delete", "u5"))
        bridge.until(lambda: bridge.shown("u5")["disabled"], "no profile any more")
        directory.modify(membership("managers", "add", "u5", "u8") +
                         attribute("u8", "add: title\ntitle: engineer\n-"))
        bridge.until(lambda: not bridge.shown("u5")["disabled"] and bridge.roles("u8") == {"support"}, "again")
        assert bridge.follow()["restarts"] == 0


@pytest.mark.parametrize("count, reads", [(1200, 1), (10001, 2)], ids=["several rounds", "a full read"])
def test_many_users_by_a_group(count, reads):
    """More than are asked for in one go; more than it is worth to ask for."""
    crowd = "".join(person(f"c{i}") for i in range(count))
    with Slapd(BASE_ENTRIES + "".join(people()) + crowd, syncprov=True) as directory, \
            without_default(directory) as bridge:
        bridge.connected()
        assert bridge.source()["entries"] == count + 10 and len(bridge.ctl("users", "list")["users"]) == 1
        directory.modify(membership("managers", "add", *(f"c{i}" for i in range(count))))
        bridge.until(lambda: bridge.ctl("status")["users"]["total"] == count + 1, "all are users")
        state = bridge.connected()
        assert state["restarts"] == 0 and bridge.logged().count("sync.finished") == reads, state


def test_refused_changes_are_read_anew(bridge, directory):
    """What a run of changes cannot answer, whatever it is, a full read does."""
    with sqlite3.connect(bridge.folder / "store.db", timeout=60) as store:
        store.execute("UPDATE source SET last_complete_s = 0")
    store.close()
    directory.modify(attribute("u5", "add: title\ntitle: engineer\n-"))
    bridge.until(lambda: bridge.roles("u5") == {"support"}, "by a full read")
    assert bridge.connected(restarts=1)["restarts"] == 1
    assert "was never read as a whole" in bridge.logged()
    directory.modify(attribute("u6", "add: title\ntitle: engineer\n-"))
    bridge.until(lambda: bridge.roles("u6") == {"support"}, "followed again")
    assert bridge.follow()["restarts"] == 1


def disable(directory, uid):
    directory.modify(attribute(uid, "add: objectClass\nobjectClass: shadowAccount\n-\n"
                                    "add: shadowExpire\nshadowExpire: 1\n-"))


def test_disabled_and_enabled(bridge, directory):
    disable(directory, "u5")
    bridge.until(lambda: bridge.shown("u5")["disabled"], "disabled")
    directory.modify(attribute("u5", "delete: shadowExpire\n-"))
    bridge.until(lambda: not bridge.shown("u5")["disabled"], "enabled")


def test_deleted(bridge, directory):
    directory.delete(f"uid=u5,{PEOPLE}")
    # Sign-in is suspended at once; the full read decides that it is for good.
    bridge.until(lambda: bridge.follow()["changes"] >= 1, "told")
    run = bridge.ctl("sync", "corp")
    assert run["state"] == "done", run
    bridge.until(lambda: bridge.shown("u5")["disabled"], "disabled after a full read")


def test_renamed_and_moved(bridge, directory):
    directory.modify(membership("sales", "add", "u5"))
    bridge.until(lambda: bridge.roles("u5") == {"sales"}, "member")
    directory.add(f"dn: ou=away,{PEOPLE}\nobjectClass: organizationalUnit\nou: away\n\n")
    directory.modify(f"dn: uid=u5,{PEOPLE}\nchangetype: modrdn\nnewrdn: uid=fifth\ndeleteoldrdn: 1\n"
                     f"newsuperior: ou=away,{PEOPLE}\n\n")
    # slapd does not change the groups: the member of that name is nobody's any more.
    bridge.until(lambda: bridge.shown("fifth") and bridge.roles("fifth") == set(), "the same person, renamed")
    assert bridge.shown("u5") is None
    directory.modify(membership("sales", "add", f"uid=fifth,ou=away,{PEOPLE}"))
    bridge.until(lambda: bridge.roles("fifth") == {"sales"}, "member under the new name")
    assert len(bridge.ctl("users", "list")["users"]) == 10


def test_another_person_of_the_same_name(bridge, directory):
    before = bridge.shown("u2")
    directory.delete(f"uid=u2,{PEOPLE}")
    directory.add(person("u2"))
    directory.modify(attribute("u5", "add: title\ntitle: engineer\n-"))
    bridge.until(lambda: bridge.roles("u5") == {"support"}, "what came after")
    after = bridge.shown("u2")
    # The name belongs to the one who had it; the newcomer waits for a person.
    assert after["id"] == before["id"]


def test_group_renamed_by_id():
    with Slapd(BASE_ENTRIES + "".join(people()), syncprov=True) as directory:
        found = directory.search("(cn=sales)", "entryUUID")
        key = next(line.split(": ")[1] for line in found.splitlines() if line.startswith("entryUUID"))
        rules = RULES.replace(f'"{group_dn("sales")}"', f'"{key}"')
        with Followed(config(directory.url, password=directory.password_file, rules=rules)) as bridge:
            bridge.connected()
            assert bridge.roles("u2") == {"sales"}
            directory.modify(f"dn: {group_dn('sales')}\nchangetype: modrdn\nnewrdn: cn=vendors\ndeleteoldrdn: 1\n\n")
            directory.modify(f"dn: cn=vendors,{GROUPS}\nchangetype: modify\nadd: member\nmember: uid=u8,{PEOPLE}\n\n")
            bridge.until(lambda: bridge.roles("u8") == {"sales"}, "member of the renamed group")
            assert bridge.roles("u2") == {"sales"}


class Relay(Listener):
    """Passes everything on to a port; cut() ends all connections at once."""

    def __init__(self, port):
        super().__init__()
        self.target = port
        self.servers = []

    def serve(self, connection):
        with socket.create_connection(("127.0.0.1", self.target)) as server:
            self.servers.append(server)
            threading.Thread(target=self._pass, args=(connection, server), daemon=True).start()
            self._pass(server, connection)

    @staticmethod
    def _pass(source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass
        close(target)

    def cut(self):
        for connection in self.connections + self.servers:
            close(connection)


def test_connection_cut_and_resumed(directory):
    with Relay(directory.port) as relay:
        with Followed(config(relay.url, password=directory.password_file)) as bridge:
            bridge.connected()
            for count in range(1, 4):
                relay.cut()
                directory.modify(attribute(f"u{count}", "replace: title\ntitle: engineer\n-"))
                bridge.connected(reconnects=count)
                bridge.until(lambda n=count: "support" in bridge.roles(f"u{n}"), "changed meanwhile")
            state = bridge.follow()
            assert state["restarts"] == 0 and state["reconnects"] >= 3, state


class Gate(Relay):
    """A relay that lets new connections wait while it is shut."""

    def __init__(self, port):
        super().__init__(port)
        self.open = threading.Event()
        self.open.set()
        self.waiting = threading.Event()

    def serve(self, connection):
        if not self.open.is_set():
            self.waiting.set()
        self.open.wait(SECONDS)
        super().serve(connection)


def test_changes_beside_a_dry_run(directory):
    """A plan only looks: nobody stays in because somebody wants to know what a sync would do."""
    with Gate(directory.port) as gate, \
            Followed(config(gate.url, password=directory.password_file).replace("answer: 20s", "answer: 120s")) as bridge:
        bridge.connected()
        gate.open.clear()
        answers = []
        plan = threading.Thread(target=lambda: answers.append(bridge.answer("plan", "corp")))
        plan.start()
        assert gate.waiting.wait(SECONDS)
        disable(directory, "u5")
        bridge.until(lambda: bridge.shown("u5")["disabled"], "disabled beside the dry run")
        assert plan.is_alive()
        gate.open.set()
        plan.join()
        assert answers[0]["state"] == "done" and not bridge.follow()["restarts"], answers


def test_disabled_while_a_plan_is_applied(directory):
    """Whoever is disabled or gone is out within the second, however long another source's plan takes.

    A second is told by how much of the plan is applied meanwhile, for on a busy machine everything takes longer; and by
    the rows of the audit log, for to ask takes time as well.
    """
    count, in_a_second = 150000, 30000
    staff = "uid,departmentNumber\n" + "".join(f"s{i},{i % 7}\n" for i in range(count))
    text = config(directory.url, password=directory.password_file) + (
        "  - {name: staff, type: csv, path: staff.csv, key: uid, interval: 0, attributes: [uid, departmentNumber]}\n")
    with Followed(text, files={"staff.csv": staff}) as bridge:
        bridge.connected()
        answers = []
        read = threading.Thread(target=lambda: answers.append(bridge.answer("sync", "staff")))
        read.start()

        def applied():
            return bridge.ctl("status")["users"]["total"] - 10

        def last_row():
            with contextlib.closing(sqlite3.connect(f"file:{bridge.folder}/store.db?mode=ro", uri=True, timeout=60)) as store:
                return store.execute("SELECT max(seq) FROM audit").fetchone()[0]

        bridge.until(lambda: applied() > 1000, "its plan is being applied")
        # What is not urgent goes first, and waits; it must not keep the others waiting.
        directory.modify(attribute("u4", "add: title\ntitle: engineer\n-"))
        bridge.until(lambda: applied() > 3000, "some more of it")
        for name, act in ("u5", lambda: disable(directory, "u5")), ("u6", lambda: directory.delete(f"uid=u6,{PEOPLE}")):
            begun = last_row()
            act()
            bridge.until(lambda n=name: bridge.shown(n)["disabled"], f"{name} is out")
            assert applied() < count, "the plan was applied too soon to tell"
            rows = bridge.ctl("audit", "list", "--person", name, "--after", begun)["rows"]
            meanwhile = min(row["seq"] for row in rows) - begun
            assert meanwhile < in_a_second, f"{name} was out when {meanwhile} more people were applied"
        assert read.is_alive() and bridge.roles("u4") == set()
        read.join()
        assert answers[0]["state"] == "done", answers
        bridge.until(lambda: bridge.roles("u4") == {"support"}, "what was not urgent")
        assert bridge.follow()["restarts"] == 0


EXPIRES = ("attributetype ( 2.16.840.1.113719.1.301.4.4.1 NAME 'krbPrincipalExpiration' "
           "EQUALITY generalizedTimeMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.24 SINGLE-VALUE )",
           "objectclass ( 2.16.840.1.113719.1.301.6.8.1 NAME 'krbPrincipalAux' AUXILIARY MAY krbPrincipalExpiration )")


def test_expires_while_the_server_is_away():
    """When it is time, and not before, though nothing comes from the directory then."""
    with Slapd(BASE_ENTRIES + "".join(people()), syncprov=True, config=EXPIRES) as directory, \
            Followed(config(directory.url, password=directory.password_file)) as bridge:
        bridge.connected()
        end_s = int(time.time()) + 30
        stamp = time.strftime("%Y%m%d%H%M%SZ", time.gmtime(end_s))
        directory.modify(attribute("u5", "add: objectClass\nobjectClass: krbPrincipalAux\n-\n"
                                         f"add: krbPrincipalExpiration\nkrbPrincipalExpiration: {stamp}\n-"))
        bridge.until(lambda: bridge.follow()["changes"] == 1, "told")
        directory.stop()
        assert not bridge.shown("u5")["disabled"] and time.time() < end_s
        bridge.until(lambda: bridge.shown("u5")["disabled"], "expired")
        assert end_s <= time.time() < end_s + 60, time.time() - end_s
        assert not bridge.follow()["connected"]


def test_server_restarted(bridge, directory):
    directory.stop()
    bridge.until(lambda: not bridge.follow()["connected"], "lost")
    assert bridge.follow()["problem"]
    directory.start(same_port=True)
    bridge.connected(reconnects=1)
    directory.modify(attribute("u5", "add: title\ntitle: engineer\n-"))
    bridge.until(lambda: bridge.roles("u5") == {"support"}, "followed again")


def test_changes_while_the_server_was_away(bridge, directory):
    """Deleted and changed while nobody listened: a present phase tells who is left."""
    directory.stop()
    bridge.until(lambda: not bridge.follow()["connected"], "lost")
    port = directory.port
    directory.start()
    directory.modify(attribute("u5", "add: title\ntitle: engineer\n-"))
    directory.delete(f"uid=u6,{PEOPLE}")
    directory.stop()
    directory.port = port
    directory.start(same_port=True)
    bridge.connected(reconnects=1, changes=2)
    bridge.until(lambda: bridge.roles("u5") == {"support"}, "changed meanwhile")


def test_failover(tmp_path):
    """Two servers of the same content: without a common cookie the second is read anew."""
    keys = [entry.rstrip("\n") + f"\nentryUUID: 00000000-0000-4000-8000-{i:012d}\n\n"
            for i, entry in enumerate(people())]
    with Slapd(BASE_ENTRIES + "".join(keys), syncprov=True) as first, \
            Slapd(BASE_ENTRIES + "".join(keys), syncprov=True) as second:
        with Followed(config(first.url, second.url, password=first.password_file)) as bridge:
            bridge.connected()
            assert bridge.follow()["server"] == first.url
            first.kill()
            bridge.until(lambda: bridge.follow()["connected"] and bridge.follow()["server"] == second.url,
                         "on the second server")
            second.modify(attribute("u5", "add: title\ntitle: engineer\n-"))
            bridge.until(lambda: bridge.roles("u5") == {"support"}, "followed there")
            assert all(not bridge.shown(f"u{i}")["disabled"] for i in range(10))
            # The next full read is the preferred server's again.
            first.start(same_port=True)
            assert bridge.ctl("sync", "corp")["state"] == "done"
            bridge.connected()
            assert bridge.follow()["server"] == first.url


def test_password_rotated(directory, tmp_path):
    reader = f"uid=reader,{SUFFIX}"
    directory.add(f"dn: {reader}\nobjectClass: account\nobjectClass: simpleSecurityObject\nuid: reader\n"
                  "userPassword: first\n\n")
    password = tmp_path / "password"
    password.touch(mode=0o600)
    password.write_text("first")
    with Relay(directory.port) as relay:
        with Followed(config(relay.url, password=password, root=reader)) as bridge:
            bridge.connected()
            directory.modify(f"dn: {reader}\nchangetype: modify\nreplace: userPassword\nuserPassword: second\n\n")
            relay.cut()
            bridge.until(lambda: "bind-refused" in bridge.follow()["problem"], "refused")
            fresh = tmp_path / "password.new"
            fresh.touch(mode=0o600)
            fresh.write_text("second")
            fresh.rename(password)
            bridge.connected()
            directory.modify(attribute("u5", "add: title\ntitle: engineer\n-"))
            bridge.until(lambda: bridge.roles("u5") == {"support"}, "followed again")


def test_certificate_rotated(tmp_path):
    """Another CA signs the server's certificate; the file is replaced, then the server restarts."""
    with Slapd(BASE_ENTRIES + "".join(people()), syncprov=True, tls=True) as directory:
        ca = tmp_path / "ca.pem"
        shutil.copy(directory.ca, ca)
        with Followed(config(directory.ldaps_url, ca=ca, password=directory.password_file)) as bridge:
            bridge.connected()
            (tmp_path / "next").mkdir()
            authority = Authority(tmp_path / "next", "next")
            certificate, key = authority.issue("server")
            directory.stop()
            for source, name in ((certificate, "server.pem"), (key, "server.key"), (authority.certificate, "ca.pem")):
                shutil.copy(source, directory.folder / name)
            directory.start(same_port=True)
            bridge.until(lambda: "tls-failed" in bridge.follow()["problem"], "not trusted")
            shutil.copy(authority.certificate, tmp_path / "new.pem")
            (tmp_path / "new.pem").rename(ca)
            bridge.connected()


def test_reload_with_another_group(bridge, directory):
    worker = bridge.worker()
    bridge.ctl("reload")
    assert bridge.worker() == worker, "nothing changed: the follower goes on"
    bridge.write_config(config(directory.url, password=directory.password_file,
                               rules=RULES.replace("rules:\n", "rules:\n" + NIGHT)))
    bridge.ctl("reload")
    bridge.until(lambda: bridge.roles("u4") == {"night"}, "members of a group that a rule names now")
    directory.modify(membership("night", "add", "u5"))
    bridge.until(lambda: bridge.roles("u5") == {"night"}, "followed")
    assert bridge.worker() != worker


def test_reload_that_ends_following(bridge, directory):
    text = config(directory.url, password=directory.password_file).replace("mode: auto", "mode: off")
    bridge.write_config(text)
    bridge.ctl("reload")
    assert "follow" not in bridge.source()
    bridge.until(lambda: bridge.worker() is None, "no worker")


def test_worker_killed(bridge, directory):
    os.kill(bridge.worker(), signal.SIGKILL)
    directory.modify(attribute("u5", "add: title\ntitle: engineer\n-"))
    bridge.connected(restarts=1)
    bridge.until(lambda: bridge.roles("u5") == {"support"}, "changed meanwhile")


def test_stops_at_once(bridge, directory):
    """Whatever it waits for: the directory's next word, or for the time of the next attempt, could take minutes."""
    begin = time.monotonic()
    assert bridge.stop() == 0
    assert time.monotonic() - begin < AT_ONCE_S
    with_gone = Followed(config(f"ldap://127.0.0.1:{free_port()}", password=directory.password_file))
    try:
        with_gone.start()
        with_gone.until(lambda: with_gone.follow()["problem"], "no server")
        begin = time.monotonic()
        assert with_gone.stop() == 0
        assert time.monotonic() - begin < AT_ONCE_S
    finally:
        with_gone.close()


def test_sync_on_request(bridge):
    full = bridge.follow()
    run = bridge.ctl("sync", "corp")
    assert run["state"] == "done", run
    (report,) = run["reports"]
    assert report["complete"] and report["entries"] == 10 and report["changes_total"] == 0, report
    state = bridge.connected()
    assert state["restarts"] == full["restarts"] == 0, state
    plan = bridge.ctl("plan", "corp")
    assert plan["state"] == "done", plan


def test_sync_of_one_person(bridge, directory):
    directory.modify(attribute("u5", "add: title\ntitle: engineer\n-"))
    run = bridge.ctl("sync", "--user", "u5")
    assert run["state"] == "done", run
    assert bridge.roles("u5") == {"support"}
    missing = bridge.run("sync", "--user", "nobody")
    assert missing.returncode == 1


def test_sync_of_one_person_where_nothing_follows(directory):
    """One look at the directory for one person: changed, gone, and there again; nobody else is touched."""
    text = config(directory.url, password=directory.password_file, more="interval: 0")
    with Followed(text.replace("mode: auto", "mode: off")) as bridge:
        assert bridge.ctl("sync", "corp")["state"] == "done"
        directory.modify(attribute("u5", "add: title\ntitle: engineer\n-"))
        directory.modify(attribute("u6", "add: title\ntitle: engineer\n-"))
        directory.modify(membership("sales", "add", "u5"))
        run = bridge.ctl("sync", "--user", "u5")
        assert run["state"] == "done", run
        assert bridge.roles("u5") == {"support", "sales"} and bridge.roles("u6") == set()
        disable(directory, "u5")
        assert bridge.ctl("sync", "--user", "u5")["state"] == "done" and bridge.shown("u5")["disabled"]
        directory.delete(f"uid=u7,{PEOPLE}")
        assert bridge.ctl("sync", "--user", "u7")["state"] == "done"
        assert bridge.shown("u7")["disabled"] and not bridge.shown("u8")["disabled"]
        directory.stop()
        assert bridge.answer("sync", "--user", "u6")["state"] == "failed"
        assert not bridge.shown("u6")["disabled"]
        assert bridge.run("sync", "--user", "nobody").returncode == 1


def test_sync_without_a_server(directory):
    url = f"ldap://127.0.0.1:{free_port()}"
    with Followed(config(url, password=directory.password_file)) as bridge:
        bridge.until(lambda: bridge.follow()["problem"], "no server")
        (report,) = bridge.answer("sync", "corp")["reports"]
        assert not report["complete"] and "onnect" in report["problem"], report
        assert not bridge.follow()["connected"]


def test_out_of_reach_for_long(bridge, directory):
    """An alarm, once, until a server answers again; also over a restart of the daemon."""
    def alarms():
        return [a["kind"] for a in bridge.ctl("status")["alarms"]]

    text = config(directory.url, password=directory.password_file).replace("mode: auto", "mode: auto, alarm_after: 1s")
    bridge.write_config(text)
    bridge.ctl("reload")
    bridge.connected()
    assert alarms() == []
    directory.stop()
    bridge.until(lambda: alarms() == ["source-unreachable"], "alarm")
    bridge.stop()
    bridge.start()
    assert alarms() == ["source-unreachable"]
    directory.start(same_port=True)
    bridge.connected()
    bridge.until(lambda: alarms() == [], "the alarm's end")


def test_burst(bridge, directory):
    """A hundred changes at once are fewer runs, and none is lost."""
    directory.modify("".join(attribute(f"u{i % 10}", f"replace: description\ndescription: {i}\n-") for i in range(90)) +
                     "".join(attribute(f"u{i}", "add: title\ntitle: engineer\n-") for i in range(10)))
    bridge.until(lambda: all("support" in bridge.roles(f"u{i}") for i in range(10)), "all changed")
    state = bridge.follow()
    assert state["batches"] <= state["changes"] <= 100 and state["restarts"] == 0, state


def test_metrics_and_log(bridge, directory):
    directory.modify(attribute("u5", "add: title\ntitle: engineer\n-"))
    bridge.until(lambda: bridge.roles("u5") == {"support"}, "followed")
    assert "follow.connected" in bridge.logged()
    assert directory.password not in bridge.logged()
