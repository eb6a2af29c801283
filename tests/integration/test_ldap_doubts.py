"""What a feed does not tell, or tells in another order: the ldap worker asks, or reads all anew, and never guesses."""
import re
import threading

import pytest

from fake_directory import CuttingProxy, FakeDirectory, done, entry, octets, tlv
from slapd import GROUPS, PEOPLE, Slapd, group, group_dn, people, person
from test_ldap_follow import (ATTRIBUTES, TOOL, USERS, Follower, Marked, add, delete, modify, syncing)

pytestmark = pytest.mark.skipif(not TOOL.exists(), reason="make tools builds ldap_read")

POLLED = {"follow": "{mode: timestamp, poll: 1s}", **ATTRIBUTES}
FUTURE = "20350101000000Z"
SYNC = b"1.3.6.1.4.1.4203.1.9.1.1"
SYNC_INFO = b"1.3.6.1.4.1.4203.1.9.1.4"


def with_password(folder, url, **options):
    """For scripted servers, which take any."""
    file = folder / "password"
    file.touch(mode=0o600)
    file.write_text("secret")
    return {"url": url, "bind": f'{{dn: "cn=admin", password_file: {file}}}', "tls": "none",
            "allow_cleartext": "true", **options}


def fetch(follower, key):
    """What the batch says that answers it."""
    batches = len(follower.batches)
    follower.command(f"fetch {key}")
    follower.until(lambda: len(follower.batches) > batches)
    return [(kind, event[kind]) for kind, event in follower.batches[-1]]


# --- people read by themselves


def test_second_entry_of_a_key_never_speaks_for_it(tmp_path):
    """A search by key finds both; the one that does not count is told apart without its id."""
    entries = people(2) + [person("user3", "title: impostor").replace("user3@", "user1@")] + Marked.ENTRIES
    with syncing(entries) as directory, Follower(tmp_path, directory, Marked.GROUP, key="mail", **ATTRIBUTES) as follower:
        assert fetch(follower, "user1@example.org") == [("identity", "user1@example.org")]
        assert follower.people["user1@example.org"]["attributes"]["uid"] == ["user1"]
        assert follower.restarts == 0


def test_deleted_unseen_and_asked_for(tmp_path):
    with Slapd(people(3) + Marked.ENTRIES) as directory, Follower(tmp_path, directory, key="uid", **POLLED) as follower:
        directory.delete(USERS[0])
        assert fetch(follower, "user1")[-1] == ("gone", "user1")
        assert follower.by_uid("user1") is None and follower.restarts == 0
        assert fetch(follower, "user1") == []


def test_key_that_cannot_be_searched_for(tmp_path):
    """A filter that finds nobody at all says of nobody that they are gone."""
    def script(search):
        if search.base != PEOPLE or b"entryUUID" in search.filter[1]:
            return [done()]
        return [entry(f"uid={uid},{PEOPLE}", uid=[uid], entryUUID=[uid], modifyTimestamp=["20200101000000Z"])
                for uid in ("one", "two")] + [done()]
    with FakeDirectory(script) as server, Follower(
            tmp_path, None, **with_password(tmp_path, server.url, **POLLED)) as follower:
        assert fetch(follower, "one") == []
        assert follower.by_uid("one") and follower.restarts == 0


def test_made_anew_under_the_same_name_unseen(tmp_path):
    """Polling does not see deletions: whoever had the name before must not get the new one's groups."""
    with Slapd(people(2) + Marked.ENTRIES) as directory, \
            Follower(tmp_path, directory, Marked.GROUP, **POLLED) as follower:
        before = follower.by_uid("user1")["identity"]
        directory.modify(delete(USERS[0]) + add(person("user1", "title: new")) +
                         modify(Marked.GROUP, "add: member", f"member: {USERS[0]}"))
        follower.until(lambda: before not in follower.people)
        assert follower.by_uid("user1")["groups"] == [1]
        assert follower.restarts == 0
        follower.equals_fresh()


class CutOnce(CuttingProxy):
    """Closes the connection instead of passing on a request that has this in it, the first time."""

    def __init__(self, port, text):
        super().__init__(port, 1 << 40)
        self.text, self.armed, self.cuts = text, threading.Event(), 0

    def _forward(self, source, target, gone):  # pylint: disable=arguments-differ
        try:
            while data := source.recv(65536):
                if self.armed.is_set() and self.text in data:
                    self.armed.clear()
                    self.cuts += 1
                    source.close()
                    target.close()
                    break
                target.sendall(data)
        except OSError:
            pass
        gone.set()


def test_cut_while_people_are_read_by_themselves(tmp_path):
    """memberOf of theirs changed with a group, whose change counts already."""
    entries = people(3) + Marked.ENTRIES
    with syncing(entries, config=["moduleload memberof"], mdb=[
            "maxsize 268435456", "index objectClass,uid,entryUUID,entryCSN eq", "overlay memberof"]) as directory, \
            CutOnce(directory.port, b"user2") as proxy:
        directory.add(group("plain", ["uid=user1"]))
        bind = f'{{dn: "{directory.root_dn}", password_file: {directory.password_file}}}'
        with Follower(tmp_path, directory, url=proxy.url, bind=bind, tls="none", allow_cleartext="true", key="uid",
                      attributes="[{name: memberOf}, {name: title, from: title}, {name: uid, from: uid}]") as follower:
            proxy.armed.set()
            directory.modify(modify(group_dn("plain"), "add: member", f"member: {USERS[1]}"))
            follower.until(lambda: follower.by_uid("user2")["attributes"].get("memberOf"))
            assert proxy.cuts == 1 and follower.restarts == 0 and follower.state["reconnects"] == 1


# --- times


def test_a_time_to_come_hides_no_change(tmp_path):
    """An entry that a clock has written which was years ahead."""
    odd = person("odd", f"createTimestamp: {FUTURE}", f"modifyTimestamp: {FUTURE}")
    with Slapd(people(2) + [odd] + Marked.ENTRIES) as directory, \
            Follower(tmp_path, directory, Marked.GROUP, **POLLED) as follower:
        assert follower.by_uid("odd")
        for title in ("one", "two"):
            directory.modify(modify(USERS[0], "replace: title", f"title: {title}"))
            follower.until(lambda title=title: follower.by_uid("user1")["attributes"].get("title") == [title], 10)
        assert follower.restarts == 0
        follower.equals_fresh()


def test_user_and_group_in_one_entry(tmp_path):
    """Who leaves one filter and still matches the other has left."""
    both = group("both", ["uid=user1"], "uid: both", "description: user", kind="groupOfNames\nobjectClass: extensibleObject")
    with Slapd(people(2) + [both] + Marked.ENTRIES) as directory, \
            Follower(tmp_path, directory, group_dn("both"), **{
                **POLLED, "users": f"{{base: '{GROUPS.split(',', 1)[1]}', filter: '(|(description=user)"
                                   "(objectClass=inetOrgPerson))', key: entryUUID}"}) as follower:
        assert follower.by_uid("both")
        directory.modify(modify(group_dn("both"), "delete: description", "-", "add: member", f"member: {USERS[1]}"))
        follower.until(lambda: follower.by_uid("user2")["groups"] == [1])
        follower.until(lambda: follower.by_uid("both") is None)
        follower.equals_fresh()


# --- scripted servers


def refreshed():
    """The intermediate message that ends a refresh: nobody else is present."""
    return tlv(0x79, octets(SYNC_INFO, 0x80) + octets(tlv(0xa2, b""), 0x81)), b""


class ActiveDirectory:
    """One person and one group; the person is renamed between the search for groups and that for people."""

    CONTEXT, SERVICE = PEOPLE.split(",", 1)[1], "cn=settings,cn=dc1"
    CHANGED = re.compile(b"uSNChanged")

    def __init__(self, invocation=True):
        self.usn, self.name, self.invocation = 10, "before", invocation
        self.rename_at_groups = False

    def person(self):
        return entry(f"cn={self.name},{PEOPLE}", uid=["one"], objectGUID=[b"p" * 16])

    def group(self):
        return entry(group_dn("staff"), member=[f"cn={self.name},{PEOPLE}"], objectGUID=[b"g" * 16])

    def root(self, search):
        if "invocationId" in search.attributes:
            return [done(50, paged=False)] if not self.invocation else \
                [entry(self.SERVICE, invocationId=[b"i" * 16]), done(paged=False)]
        return [entry("", supportedCapabilities=["1.2.840.113556.1.4.800"], dsServiceName=[self.SERVICE],
                      defaultNamingContext=[self.CONTEXT], highestCommittedUSN=[str(self.usn)]), done(paged=False)]

    def __call__(self, search):
        if search.base in ("", self.SERVICE):
            return self.root(search)
        if search.base == self.CONTEXT:
            return [done()]
        of_groups = search.base == GROUPS
        if not self.CHANGED.search(search.filter[1]):
            # All of them, or the groups that name the renamed one.
            return [self.group() if of_groups else self.person(), done()]
        found = self.group() if of_groups else self.person()
        if of_groups and self.rename_at_groups:
            self.name, self.rename_at_groups = "after", False
        return [found, done()]


def test_renamed_between_the_searches_of_one_look(tmp_path):
    """The group was found with the old name in it, and has no mark of the change: it is read once more."""
    directory = ActiveDirectory()
    with FakeDirectory(directory) as server, Follower(
            tmp_path, None, group_dn("staff"), key="objectGUID", **with_password(
                tmp_path, server.url, attributes="[{name: uid, from: uid}]", follow="{mode: usn, poll: 1s}")) as follower:
        assert follower.by_uid("one")["groups"] == [1]
        directory.rename_at_groups = True
        directory.usn += 1
        follower.until(lambda: (one := follower.by_uid("one")) and "after" in one["dn"])
        assert follower.by_uid("one")["groups"] == [1]
        assert follower.restarts == 0


@pytest.mark.parametrize("invocation", [True, False])
def test_another_domain_controller_behind_the_same_url(tmp_path, invocation):
    """Numbers of one are nothing to another, also where its invocation may not be read."""
    directory = ActiveDirectory(invocation)
    with FakeDirectory(directory) as server, Follower(
            tmp_path, None, group_dn("staff"), key="objectGUID", **with_password(
                tmp_path, server.url, attributes="[{name: uid, from: uid}]", follow="{mode: usn, poll: 1s}")) as follower:
        directory.SERVICE = "cn=settings,cn=dc2"
        for connection in server.connections:
            connection.shutdown(2)
        follower.until(lambda: not follower.state["connected"])
        follower.until(lambda: follower.state["connected"])
        assert follower.restarts == 1, follower.problems


def test_branch_that_cannot_be_followed(tmp_path):
    """Groups in a database without the overlay: `auto` looks instead."""
    def script(search):
        if search.base == "":
            return [entry("", supportedControl=["1.3.6.1.4.1.4203.1.9.1.1"]), done(paged=False)]
        if SYNC in search.controls:
            return [done(12, paged=False)] if search.base == GROUPS else [refreshed()]
        found = entry(USERS[0], uid=["user1"], entryUUID=["k"], modifyTimestamp=["20200101000000Z"])
        return [done()] if search.base == GROUPS else [found, done()]
    with FakeDirectory(script) as server, Follower(
            tmp_path, None, group_dn("staff"), **with_password(
                tmp_path, server.url, follow="{mode: auto, poll: 1s}", **ATTRIBUTES)) as follower:
        assert follower.state["state"] == "timestamp" and follower.by_uid("user1")


def test_group_that_came_under_two_names(tmp_path):
    """Renamed while all is read: under the old one it would keep whom it had."""
    pages = {"first": 0}

    def script(search):
        if search.base != GROUPS:
            return [entry(USERS[0], uid=["user1"], entryUUID=["k"], modifyTimestamp=["20200101000000Z"]), done()]
        groups = [entry(group_dn(name), member=[USERS[0]], entryUUID=["g"]) for name in ("old", "new")]
        pages["first"] += 1
        return [*groups, done()]
    with FakeDirectory(script) as server:
        follower = Follower(tmp_path, None, group_dn("new"), **with_password(tmp_path, server.url, **POLLED))
        try:
            follower.until(lambda: "directory-changed" in follower.state.get("problem", ""))
            assert follower.people == {}
        finally:
            follower.__exit__()
