"""Following a real slapd (syncprov) with the ldap worker: after whatever happened, what was told equals a fresh full read."""
import json
import os
import random
import select
import subprocess
import time
from pathlib import Path

import pytest

from fake_directory import CuttingProxy
from slapd import GROUPS, PEOPLE, SUFFIX, Slapd, group, group_dn, people, person

BUILD = Path(os.environ.get("ROLEBRIDGE_BUILD", Path(__file__).resolve().parents[2] / "build"))
TOOL = BUILD / "tools" / "ldap_read"
SECONDS = 120  # only what never comes takes so long

pytestmark = pytest.mark.skipif(not TOOL.exists(), reason="make tools builds ldap_read")


def syncing(entries, sessionlog=1000, **options):
    """A directory that can be followed."""
    return Slapd(entries, syncprov=[f"syncprov-sessionlog {sessionlog}"] if sessionlog else True, **options)


class Follower:
    """ldap_read --follow: who is known, as the commits leave it."""

    def __init__(self, folder, directory, *wanted, key="entryUUID", keepalive="30s", url=None, **options):
        self.config = folder / "config.yaml"
        url = url or directory.ldapi_url
        lines = {"servers": json.dumps([url]), "bind": "{method: external}",
                 "users": f"{{base: '{PEOPLE}', key: {key}}}", "groups": f"{{base: '{GROUPS}'}}",
                 "follow": f"{{mode: sync, keepalive: {keepalive}}}", "timeouts": "{answer: 20s}", **options}
        self.config.write_text("sources:\n  - name: corp\n    type: ldap\n" +
                               "".join(f"    {name}: {value}\n" for name, value in lines.items()))
        self.wanted = wanted
        self.people, self.groups, self.quarantined, self.frozen = {}, {}, [], set()
        self.commits, self.batches, self.told = 0, [], []
        self.state, self.problems = {}, []
        self.open, self.full = None, False
        self.process = subprocess.Popen([TOOL, "--follow", self.config, *wanted], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=False)
        self.buffer = b""

    def __enter__(self):
        self.until(lambda: self.commits > 0 and self.state.get("connected"))
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(SECONDS)
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()

    def command(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def until(self, condition, seconds=SECONDS):
        end = time.monotonic() + seconds
        while not condition():
            left = end - time.monotonic()
            assert left > 0, f"not in time; {self.state}"
            if select.select([self.process.stdout], [], [], left)[0]:
                data = os.read(self.process.stdout.fileno(), 1 << 16)
                assert data, f"ldap_read ended with {self.process.wait()}"
                *lines, self.buffer = (self.buffer + data).split(b"\n")
                for line in lines:
                    self.take(json.loads(line))

    def take(self, event):
        kind = next(iter(event))
        if kind == "state":
            self.state = event
            self.problems.append(event["problem"])
        elif kind == "begin":
            self.open = []
            self.full = event["begin"] == "full"
        elif kind == "abort":
            self.open = None
        elif kind == "commit":
            self.commit(self.open)
            self.open = None
            self.commits += 1
        elif self.open is not None:
            self.open.append((kind, event))

    def commit(self, events):
        if self.full:
            if not next(e for k, e in events if k == "complete")["complete"]:
                return
            self.people, self.groups, self.frozen = {}, {}, set()
        else:
            self.batches.append(events)
        for kind, event in events:
            key = event[kind]
            if kind == "identity":
                self.people[key] = event
                self.frozen.discard(key)
            elif kind == "regrouped":
                assert key in self.people
                self.people[key] = {**self.people[key], "groups": event["groups"]}
            elif kind == "gone":
                self.people.pop(key, None)
            elif kind == "group":
                self.groups[key] = event
            elif kind == "quarantine":
                self.quarantined.append(event)
                self.frozen.add(event["key"])

    def fresh(self):
        """What a full read says now: people by key, groups."""
        for _ in range(5):  # some tests give a server little time to answer
            output = subprocess.run([TOOL, "--declared", self.config, *self.wanted], capture_output=True, text=True,
                                    check=True, timeout=SECONDS).stdout
            lines = [json.loads(line) for line in output.splitlines()]
            if lines[-1]["complete"]:
                break
        assert lines[-1]["complete"], lines[-1]
        return ({e["identity"]: e for e in lines if "identity" in e}, {e["group"]: e for e in lines if "group" in e})

    def equals_fresh(self):
        known, groups = self.fresh()
        assert {k: v for k, v in self.people.items() if k not in self.frozen} == \
            {k: v for k, v in known.items() if k not in self.frozen}
        assert self.groups == groups

    def by_uid(self, uid):
        return next((p for p in self.people.values() if p["attributes"].get("uid") == [uid]), None)

    @property
    def restarts(self):
        return self.state["restarts"]


class Marked:
    """Changes that are known to have come: after each a person's title and a group's members say so."""

    ENTRIES = [person("marker"), person("always"), group("marker", ["uid=always"])]
    GROUP = group_dn("marker")

    def __init__(self, directory, follower):
        self.directory, self.follower, self.number = directory, follower, 0

    def change(self, ldif):
        self.number += 1
        member = "add" if self.number % 2 else "delete"
        self.directory.modify(ldif + f"""
dn: uid=marker,{PEOPLE}
changetype: modify
replace: title
title: {self.number}

dn: {self.GROUP}
changetype: modify
{member}: member
member: uid=marker,{PEOPLE}
""")

    def come(self):
        number = len(self.follower.wanted)
        self.follower.until(lambda: (marker := self.follower.by_uid("marker")) and
                            marker["attributes"].get("title") == [str(self.number)] and
                            (number in marker["groups"]) == bool(self.number % 2))

    def __call__(self, ldif):
        self.change(ldif)
        self.come()


ATTRIBUTES = {"attributes": "[{name: title, from: title}, {name: uid, from: uid}]"}


@pytest.fixture(name="start")
def make_start(tmp_path):
    """start(directory, *wanted names) -> follower and its way to change things; ended with the test."""
    followers = []

    def start(directory, *names, **options):
        wanted = [*map(group_dn, names), Marked.GROUP]
        follower = Follower(tmp_path, directory, *wanted, **{**ATTRIBUTES, **options})
        followers.append(follower)
        follower.__enter__()
        return follower, Marked(directory, follower)

    yield start
    for follower in followers:
        follower.__exit__()


def modify(dn, *lines):
    return f"dn: {dn}\nchangetype: modify\n" + "\n".join(lines) + "\n\n"


def rename(dn, rdn, below=None):
    superior = f"newsuperior: {below}\n" if below else ""
    return f"dn: {dn}\nchangetype: modrdn\nnewrdn: {rdn}\ndeleteoldrdn: 1\n{superior}\n"


def delete(dn):
    return f"dn: {dn}\nchangetype: delete\n\n"


def add(entry):
    dn, rest = entry.split("\n", 1)
    return f"{dn}\nchangetype: add\n{rest}"


USERS = [f"uid=user{i},{PEOPLE}" for i in range(1, 5)]


@pytest.fixture(name="nested")
def make_nested():
    entries = people(4) + Marked.ENTRIES + [
        group("staff", ["uid=user1", group_dn("leads")]), group("leads", ["uid=user2", group_dn("inner")]),
        group("inner", ["uid=user3", group_dn("leads")]), group("other", ["uid=user4"])]
    with syncing(entries) as directory:
        yield directory


def test_one_change_is_one_person(start, nested):
    follower, change = start(nested, "staff")
    assert follower.state["vendor"] == "openldap" and len(follower.people) == 6
    nested.modify(modify(USERS[0], "replace: title", "title: boss"))
    follower.until(lambda: follower.by_uid("user1")["attributes"].get("title") == ["boss"])
    assert [kind for kind, _ in follower.batches[0]] == ["identity"]
    change("")
    follower.equals_fresh()


def test_members_of_members(start, nested):
    follower, change = start(nested, "staff", "other")
    change(modify(group_dn("inner"), "add: member", f"member: {USERS[3]}"))
    assert follower.by_uid("user4")["groups"] == [1, 2]
    told = [e for batch in follower.batches for k, e in batch if k in ("identity", "regrouped")]
    assert len(told) == 3  # user4, and the marker twice
    change(modify(group_dn("staff"), "delete: member", f"member: {group_dn('leads')}"))
    assert follower.groups[1]["members"] == 1
    follower.equals_fresh()
    assert follower.restarts == 0


def test_renamed_person_keeps_identity_and_loses_groups_that_name_the_old_dn(start, nested):
    follower, change = start(nested, "staff", "other")
    key = follower.by_uid("user4")["identity"]
    change(rename(USERS[3], "uid=renamed"))
    assert follower.by_uid("renamed")["identity"] == key and follower.by_uid("renamed")["groups"] == []
    change(modify(group_dn("other"), "add: member", f"member: uid=renamed,{PEOPLE}"))
    assert follower.by_uid("renamed")["groups"] == [2]
    follower.equals_fresh()
    assert follower.restarts == 0


def test_made_anew_under_the_same_name_is_somebody_else(start, nested):
    follower, change = start(nested, "staff")
    key = follower.by_uid("user1")["identity"]
    change(delete(USERS[0]) + add(person("user1")))
    assert follower.by_uid("user1")["identity"] != key and key not in follower.people
    follower.equals_fresh()
    assert follower.restarts == 0


def test_made_anew_under_the_same_key(start, nested):
    follower, change = start(nested, "staff", key="uid")
    change(delete(USERS[0]) + add(person("user1", "title: new")))
    assert follower.people["user1"]["attributes"]["title"] == ["new"]
    kinds = [kind for batch in follower.batches for kind, e in batch if e[kind] == "user1"]
    assert kinds == ["gone", "identity"]
    follower.equals_fresh()


def test_other_key_is_another_person(start, nested):
    follower, change = start(nested, "staff", key="uid")
    change(rename(USERS[0], "uid=other1"))
    assert "user1" not in follower.people and "other1" in follower.people
    follower.equals_fresh()


def test_moved_out_of_the_base_and_back(start, nested):
    nested.add(f"dn: ou=left,{SUFFIX}\nobjectClass: organizationalUnit\nou: left\n")
    follower, change = start(nested, "staff")
    change(rename(USERS[0], "uid=user1", f"ou=left,{SUFFIX}"))
    assert follower.by_uid("user1") is None
    change(rename(f"uid=user1,ou=left,{SUFFIX}", "uid=user1", PEOPLE))
    assert follower.by_uid("user1")["groups"] == [1]
    follower.equals_fresh()
    assert follower.restarts == 0


def unit(name, below=PEOPLE):
    return f"dn: ou={name},{below}\nobjectClass: organizationalUnit\nou: {name}\n\n"


def test_branch_with_people_is_renamed(start, nested):
    """The people in it have other names, and their entries say nothing about it."""
    nested.add(unit("north") + person("nora", base=f"ou=north,{PEOPLE}"))
    nested.modify(modify(group_dn("other"), "add: member", f"member: uid=nora,ou=north,{PEOPLE}",
                         f"member: uid=nora,ou=south,{PEOPLE}"))
    follower, change = start(nested, "other")
    change(add(unit("empty")) + rename(f"uid=nora,ou=north,{PEOPLE}", "uid=lora"))
    assert follower.restarts == 0
    nested.modify(rename(f"ou=north,{PEOPLE}", "ou=south"))
    follower.until(lambda: follower.restarts == 1 and follower.state["connected"])
    assert follower.by_uid("lora")["dn"] == f"uid=lora,ou=south,{PEOPLE}"
    change(rename(f"uid=lora,ou=south,{PEOPLE}", "uid=nora"))
    assert follower.by_uid("nora")["groups"] == [1]
    follower.equals_fresh()


def test_branch_with_people_leaves_and_comes_back(start, nested):
    nested.add(unit("north") + person("nora", base=f"ou=north,{PEOPLE}") + unit("left", SUFFIX))
    follower, change = start(nested, "staff")
    nested.modify(rename(f"ou=north,{PEOPLE}", "ou=north", f"ou=left,{SUFFIX}"))
    follower.until(lambda: follower.restarts == 1 and follower.state["connected"])
    assert follower.by_uid("nora") is None
    nested.modify(rename(f"ou=north,ou=left,{SUFFIX}", "ou=north", PEOPLE))
    follower.until(lambda: follower.restarts == 2 and follower.state["connected"])
    assert follower.by_uid("nora")
    restart(nested, follower, rename(f"ou=north,{PEOPLE}", "ou=south"))
    follower.until(lambda: follower.restarts == 3 and follower.state["connected"])
    change("")
    follower.equals_fresh()


def test_leaves_the_filter(start, nested):
    follower, change = start(nested, users=f"{{base: '{PEOPLE}', filter: '(!(title=gone))'}}")
    change(modify(USERS[0], "replace: title", "title: gone"))
    assert follower.by_uid("user1") is None
    change(modify(USERS[0], "replace: title", "title: back"))
    assert follower.by_uid("user1")
    follower.equals_fresh()


def test_wanted_group_vanishes_and_comes_back(start, nested):
    follower, change = start(nested, "staff", "other")
    nested.delete(group_dn("other"))
    follower.until(lambda: follower.restarts == 1 and follower.state["connected"])
    assert follower.groups[2]["found"] is False and follower.by_uid("user4")["groups"] == []
    change("")
    nested.add(group("other", ["uid=user4"]))
    follower.until(lambda: follower.restarts == 2 and follower.state["connected"])
    assert follower.by_uid("user4")["groups"] == [2]
    follower.equals_fresh()


def test_renamed_group(start, nested):
    """Nobody asks for it by name: no full read; those above it name the old DN."""
    follower, change = start(nested, "staff")
    change(rename(group_dn("leads"), "cn=chiefs"))
    assert follower.groups[1]["members"] == 1
    change(modify(group_dn("staff"), "add: member", f"member: {group_dn('chiefs')}"))
    follower.equals_fresh()
    assert follower.restarts == 0


def test_quarantine_freezes_and_thaws(start, nested):
    follower, change = start(nested, "staff", attributes="[{name: uid, from: uid}, {name: title, from: title}, "
                                                        "{name: photo, from: jpegPhoto}]")
    key = follower.by_uid("user1")["identity"]
    change(modify(USERS[0], "add: jpegPhoto", "jpegPhoto:: /w=="))
    assert follower.quarantined[-1]["key"] == key and follower.people[key]["groups"] == [1]
    change(modify(group_dn("staff"), "delete: member", f"member: {USERS[0]}"))
    assert follower.people[key]["groups"] == [1]  # frozen
    change(modify(USERS[0], "delete: jpegPhoto"))
    assert follower.people[key]["groups"] == []
    follower.equals_fresh()


def test_duplicate_key_is_left_to_full_reads(start, nested):
    follower, change = start(nested, "staff", key="mail")
    nested.modify(modify(USERS[1], "replace: mail", "mail: user1@example.org"))
    follower.until(lambda: follower.restarts == 1 and follower.state["connected"])
    assert follower.quarantined[-1]["reason"] == "duplicate-key"
    nested.modify(modify(USERS[0], "replace: mail", "mail: else@example.org"))
    follower.until(lambda: follower.restarts == 2 and follower.state["connected"])
    follower.frozen.clear()
    change("")
    follower.equals_fresh()


def test_canary_that_goes_makes_the_read_incomplete(start, nested):
    follower, _ = start(nested, "staff", canaries=json.dumps([USERS[3]]))
    before = dict(follower.people)
    nested.delete(USERS[3])
    follower.until(lambda: "canary-missing" in follower.state["problem"])
    assert follower.people == before


def restart(directory, follower, between="", wait=True):
    """The directory goes away; is changed meanwhile; comes back."""
    before = follower.state["reconnects"] + follower.restarts
    directory.stop()
    follower.until(lambda: not follower.state["connected"])
    if between:  # changed before the follower finds it: under another socket's name
        hidden = Path(directory.folder / "hidden")
        plain, directory._socket = directory.ldapi_url, hidden  # pylint: disable=protected-access
        directory.ldapi_url = "ldapi://" + str(hidden).replace("/", "%2F")
        directory.start()
        directory.modify(between)
        directory.stop()
        directory.ldapi_url = plain
    directory.start()
    if wait:
        follower.until(lambda: follower.state["connected"] and
                       follower.state["reconnects"] + follower.restarts > before)


@pytest.mark.parametrize("scheme", ["ldaps", "ldap"])
def test_signs_in_again_with_tls(tmp_path, scheme):
    """The password is kept, and the lock lets a new connection be secured."""
    with syncing(people(2) + Marked.ENTRIES, tls=True) as directory, \
            CuttingProxy(directory.tls_port if scheme == "ldaps" else directory.port, 1 << 40) as proxy:
        bind = f'{{dn: "cn=admin,{SUFFIX}", password_file: {directory.password_file}}}'
        with Follower(tmp_path, directory, Marked.GROUP, url=f"{scheme}://127.0.0.1:{proxy.port}", bind=bind,
                      ca=directory.ca, **ATTRIBUTES) as follower:
            change = Marked(directory, follower)
            change(modify(USERS[0], "replace: title", "title: first"))
            directory.stop()
            follower.until(lambda: not follower.state["connected"])
            directory.start()
            proxy.target = directory.tls_port if scheme == "ldaps" else directory.port
            follower.until(lambda: follower.state["connected"])
            change(modify(USERS[0], "replace: title", "title: second"))
            assert follower.by_uid("user1")["attributes"]["title"] == ["second"]
            assert follower.restarts == 0 and follower.state["reconnects"] == 1, follower.problems
            follower.equals_fresh()


def test_nothing_changed_while_away(start, nested):
    follower, change = start(nested, "staff")
    told = len(follower.batches)
    restart(nested, follower)
    change("")
    marker = follower.by_uid("marker")["identity"]
    assert {event[what] for batch in follower.batches[told:] for what, event in batch if what != "group"} == {marker}
    assert follower.restarts == 0
    follower.equals_fresh()


def test_changed_while_away(start, nested):
    """The server's log of sessions is gone with it: who is present is told, the rest is gone."""
    follower, change = start(nested, "staff", "other", key="uid")
    restart(nested, follower,
            delete(USERS[0]) + add(person("user1", "title: again")) + delete(USERS[1]) + add(person("user9")) +
            modify(group_dn("other"), "add: member", f"member: uid=user9,{PEOPLE}") + delete(group_dn("inner")))
    change("")
    assert follower.by_uid("user2") is None and follower.by_uid("user9")["groups"] == [2]
    assert follower.restarts == 0, follower.problems
    follower.equals_fresh()


def test_everybody_vanished_while_away(start, nested):
    follower, _ = start(nested, "staff")
    before = dict(follower.people)
    restart(nested, follower, "".join(map(delete, [*USERS, f"uid=marker,{PEOPLE}", f"uid=always,{PEOPLE}"])), wait=False)
    follower.until(lambda: follower.restarts > 0)
    assert follower.people == before


def test_read_by_itself(start, nested):
    follower, change = start(nested, "staff", key="uid")
    commits = follower.commits
    follower.command("fetch user2")
    follower.until(lambda: follower.commits > commits)
    assert [(k, e[k]) for k, e in follower.batches[-1]] == [("identity", "user2")]
    commits = follower.commits
    follower.command("fetch no*body)(")
    follower.until(lambda: follower.commits > commits)
    assert follower.batches[-1] == []
    change("")
    follower.equals_fresh()


def test_full_read_on_demand(start, nested):
    follower, change = start(nested, "staff")
    commits = follower.commits
    follower.command("full")
    follower.until(lambda: follower.commits > commits)
    change("")
    follower.equals_fresh()


def test_idle_connection_is_tried(start, nested):
    follower, change = start(nested, "staff", keepalive="1s")
    end = time.monotonic() + 2.5
    while time.monotonic() < end:  # time has to pass: that is what is tested
        try:
            follower.until(lambda: False, seconds=0.5)
        except AssertionError:
            pass
    assert follower.state["connected"] and follower.state["reconnects"] == 0
    change("")


@pytest.mark.parametrize("wanted", [(), ("staff",)])
def test_member_of_as_an_attribute(tmp_path, wanted):
    """The group changes it in the person's entry, which shows no trace of that."""
    entries = people(4) + Marked.ENTRIES
    options = {"attributes": "[{name: memberOf}, {name: title, from: title}, {name: uid, from: uid}]"}
    with syncing(entries, config=["moduleload memberof"], mdb=[
            "maxsize 268435456", "index objectClass,uid,entryUUID,entryCSN eq", "overlay memberof"]) as directory:
        directory.add(group("staff", ["uid=user1"]) + group("plain", ["uid=user1", "uid=user2"]))
        with Follower(tmp_path, directory, *map(group_dn, wanted), **options) as follower:
            def shows(uid, *names):
                follower.until(lambda: sorted(follower.by_uid(uid)["attributes"].get("memberOf", [])) ==
                               sorted(map(group_dn, names)))
            shows("user1", "plain", "staff")
            directory.modify(modify(group_dn("plain"), "add: member", f"member: {USERS[2]}", "-", "delete: member",
                                    f"member: {USERS[1]}"))
            shows("user3", "plain")
            shows("user2")
            directory.add(group("late", ["uid=user2", "uid=user4"]))
            shows("user2", "late")
            shows("user4", "late")
            directory.modify(rename(group_dn("late"), "cn=later"))
            shows("user4", "later")
            directory.delete(group_dn("later"))
            shows("user2")
            shows("user4")
            restart(directory, follower, modify(group_dn("plain"), "add: member", f"member: {USERS[3]}"))
            shows("user4", "plain")
            follower.equals_fresh()
            assert follower.restarts == 0


class Chance:
    """Random changes of a small directory, always valid."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.users = [f"user{i}" for i in range(1, 13)]
        self.groups = {f"group{i}": {"uid=always"} for i in range(8)}
        self.made = 0

    def entries(self):
        return [person(uid) for uid in self.users] + [group(n, m) for n, m in self.groups.items()]

    def member(self):
        if self.random.random() < 0.4:
            return group_dn(self.random.choice([*self.groups, "nowhere"]))
        return f"uid={self.random.choice(self.users)},{PEOPLE}"

    def new_user(self):
        self.made += 1
        # Names come back now and then.
        return f"again{self.made % 5}" if self.random.random() < 0.5 else f"new{self.made}"

    def one(self):
        kind = self.random.choice(["title", "title", "add", "delete", "rename", "join", "join", "join", "leave", "leave",
                                   "set", "group", "ungroup", "regroup"])
        return getattr(self, "do_" + kind)()

    def do_title(self):
        uid = self.random.choice(self.users)
        return modify(f"uid={uid},{PEOPLE}", "replace: title", f"title: {self.random.randrange(1000)}")

    def do_add(self):
        uid = self.new_user()
        if uid in self.users:
            return ""
        self.users.append(uid)
        return add(person(uid))

    def do_delete(self):
        if len(self.users) < 6:
            return ""
        uid = self.users.pop(self.random.randrange(len(self.users)))
        return delete(f"uid={uid},{PEOPLE}")

    def do_rename(self):
        old, new = self.random.choice(self.users), self.new_user()
        if new in self.users:
            return ""
        self.users[self.users.index(old)] = new
        return rename(f"uid={old},{PEOPLE}", f"uid={new}")

    def do_join(self):
        name, member = self.random.choice([*self.groups]), self.member()
        if member in self.groups[name]:
            return ""
        self.groups[name].add(member)
        return modify(group_dn(name), "add: member", f"member: {member}")

    def do_leave(self):
        name = self.random.choice([*self.groups])
        members = sorted(self.groups[name] - {"uid=always"})
        if not members:
            return ""
        member = self.random.choice(members)
        self.groups[name].remove(member)
        return modify(group_dn(name), "delete: member", f"member: {member}")

    def do_set(self):
        name = self.random.choice([*self.groups])
        members = {self.member() for _ in range(self.random.randrange(5))}
        self.groups[name] = {"uid=always"} | members
        return modify(group_dn(name), "replace: member", f"member: uid=always,{PEOPLE}", *(f"member: {m}" for m in members))

    def do_group(self):
        name = f"group{self.random.randrange(4, 16)}"
        if name in self.groups:
            return ""
        member = self.member()
        self.groups[name] = {"uid=always", member}
        return add(group(name, ["uid=always", member]))

    def do_ungroup(self):
        names = [n for n in self.groups if int(n[5:]) >= 4]  # the first ones are wanted
        if not names:
            return ""
        name = self.random.choice(names)
        del self.groups[name]
        return delete(group_dn(name))

    def do_regroup(self):
        names = [n for n in self.groups if int(n[5:]) >= 4]
        new = f"group{self.random.randrange(4, 16)}"
        if not names or new in self.groups:
            return ""
        old = self.random.choice(names)
        self.groups[new] = self.groups.pop(old)
        return rename(group_dn(old), f"cn={new}")


@pytest.mark.parametrize("seed,key,sessionlog", [(1, "entryUUID", 1000), (2, "uid", 1000), (3, "entryUUID", 0)])
def test_incremental_equals_full(start, seed, key, sessionlog):
    chance = Chance(seed)
    with syncing(chance.entries() + Marked.ENTRIES, sessionlog=sessionlog) as directory:
        follower, change = start(directory, "group0", "group1", "group2", "group3", key=key)
        for number in range(12):
            change("".join(chance.one() for _ in range(25)))
            follower.equals_fresh()
            if number % 4 == 3:
                restart(directory, follower, "".join(chance.one() for _ in range(15)))
        assert follower.restarts == 0 or key == "uid"
