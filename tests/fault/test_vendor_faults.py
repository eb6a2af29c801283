"""Two directories that tell what changes in ways of their own, followed through a proxy that cuts, lies and hangs.

389 Directory Server: its dialect of content synchronization. A Samba domain controller: uSNChanged. What is asked of
slapd's stream (test_follow_faults.py) is asked of them where they differ: whatever happens, at no
moment does anybody lose what both states give, and soon the state is what a clean full read gives.
"""
import time

import pytest

import vendors
from bridge import Bridge
from company import LIMITS_OFF, attempt, people, policy
from ldap_proxy import (RESET, FaultProxy, at, cut, instead, nth, pause, refresh_required, result, same, stop,
                        sync_cookie)
from streams import Stream, leave

SECONDS = 120
ANSWER_S = 10
GROUPS = ["sales", "leads", "support"]
NEWCOMER = "user13"
NO_LDAP = b"\x30\x84\xff\xff\xff\xff what is this"


def rules(company):
    roles = "".join(f'  - {{name: {name}, classifications: [Sales], segments: [All], permissions: ["{name}:*@own"]}}\n'
                    for name in GROUPS)
    named = "".join(f'  - {{id: {name}, groups: ["{company.group_dn(name)}"], grant: {{roles: [{name}]}}}}\n'
                    for name in GROUPS)
    return f"""profiles:
  - {{name: administrator, permissions: ["*:*@all"]}}
  - {{name: manager, permissions: ["accounts:*@all"]}}
  - {{name: viewer, permissions: ["accounts:read@own"]}}
segments: [All]
roles:
{roles}rules:
  - {{id: managers, when: "(title=manager)", grant: {{profile: manager}}}}
{named}{policy(LIMITS_OFF)}sources:
"""


def config(company, url):
    more = f"""page_size: 3
    timeouts: {{connect: 20s, answer: {ANSWER_S}s}}
    interval: 1h
    follow: {{mode: auto, poll: 1s, keepalive: 1s}}"""
    return rules(company) + company.source(url=url, more=more)


class Written:
    """Change records, kept back to be sent as one."""

    def __init__(self):
        self.text = ""

    def modify(self, ldif):
        self.text += ldif


def written(company, *changes):
    kept, company.server = company.server, Written()
    for change, *words in changes:
        change(*words)
    text, company.server = company.server.text, kept
    return text


def states(company):
    """From one to the other: memberships, a subgroup, titles, and somebody disabled."""
    def to(leads, support, inner, manager, outcome):
        dn, group = company.dn, company.group_dn
        return written(company, (company.join, "leads", dn(leads[0])), (company.leave, "leads", dn(leads[1])),
                       (company.join, "support", dn(support[0])), (company.leave, "support", dn(support[1])),
                       (company.join, "sales", group(inner[0])), (company.leave, "sales", group(inner[1])),
                       (company.replace, manager[0], "title", "manager"),
                       (company.replace, manager[1], "title", "agent"), (outcome, "user6"))
    return {"b": to(("user5", "user3"), ("user1", "user4"), ("support", "leads"), ("user2", "user1"), company.disable),
            "a": to(("user3", "user5"), ("user4", "user1"), ("leads", "support"), ("user1", "user2"), company.enable)}


def fill(company):
    dn, names = company.dn, [f"user{i}" for i in range(1, 7)]
    company.add(*(company.person(name, f"title: {'manager' if name == 'user1' else 'agent'}") for name in names),
                company.group("leads", [dn("user2"), dn("user3")]),
                company.group("support", [dn("user4"), dn("user6")]),
                company.group("sales", [dn("user2"), company.group_dn("leads")]))


def fresh(company, folder):
    """What a daemon makes of the directory that has never seen another state."""
    folder.mkdir()
    with Bridge(config(company, company.url), folder=folder) as bridge:
        assert attempt(bridge, "sync", "corp")["reports"][0]["complete"]
        return people(bridge.folder / "store.db")


class Vendor(Stream):
    """A daemon that follows such a directory through a proxy."""

    def __init__(self, company, proxy, bridge, changes, expected):
        super().__init__(company.server, proxy, bridge, expected)
        self.company, self.changes, self.door = company, changes, proxy.target
        # 389 is read in full whenever it changed while nobody listened, later and later each time: asked for at once.
        self.patience = 0.2 if company.name == "389" else SECONDS / 2

    def toggle(self):
        self.state = "b" if self.state == "a" else "a"
        self.directory.modify(self.changes[self.state])

    def settle(self, seconds=SECONDS):
        super().settle(seconds)

    def connected(self, seconds=SECONDS):
        super().connected(seconds)

    def until(self, condition):
        end = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < end, (self.follow_state(), self.bridge.logged()[-3000:])
            time.sleep(0.01)

    def disturbed(self, fault):
        """The connection that is followed meets the fault while the directory changes."""
        link = self.link
        link.add(fault)
        self.toggle()
        self.settle()
        self.connected()
        return link

    def disturbed_to_its_end(self, fault):
        """What was changed may be known before the message that ends it."""
        link = self.disturbed(fault)
        self.until(lambda: link.ended)

    def goes_on(self):
        """Samba: the same worker went on from the number it had, and lost no change; nothing was read in full."""
        if self.company.name == "samba":
            self.resumed()
        self.rest()

    def disturbed_on_return(self, fault):
        """The directory changes while nobody listens; the connection after it meets the fault, and ends or goes on."""
        links = len(self.proxy.links)
        leave(self)
        self.toggle()
        self.proxy.next(fault)
        self.proxy.target = self.door
        self.until(lambda: self.proxy.links[links:])
        link = self.proxy.links[links]
        self.until(lambda: link.ended or self.follow_state()["connected"])
        self.settle()
        self.connected()
        return link

    def is_active(self, name):
        found = self.people().get(name)
        return bool(found) and not found[2]


def make_states(name, folder):
    company = vendors.branch(name)
    fill(company)
    changes, expected = states(company), {}
    for state in ("b", "a"):
        company.server.modify(changes[state])
        expected[state] = fresh(company, folder / state)
    assert expected["a"] != expected["b"] and all(grants for *_, grants in expected["a"].values() if grants)
    door = company.server.folder / "private" / "ldapi" if name == "samba" else company.server.port
    return company, door, changes, expected


@pytest.fixture(scope="module", name="stage", params=["389", "samba"])
def make_vendor(request, tmp_path_factory):
    company, door, changes, expected = make_states(request.param, tmp_path_factory.mktemp("states"))
    with FaultProxy(door) as proxy, Bridge(config(company, proxy.url)) as bridge:
        yield Vendor(company, proxy, bridge, changes, expected)


@pytest.fixture(name="stream")
def make_stream(stage):
    stage.rest()
    if stage.company.name == "samba":
        stage.forgiven()
    return stage


only_389 = pytest.mark.parametrize("stage", ["389"], indirect=True)
only_samba = pytest.mark.parametrize("stage", ["samba"], indirect=True)


def test_changes_arrive(stream):
    stream.still_follows()
    assert stream.follow_state()["mode"] == {"389": "sync", "samba": "usn"}[stream.company.name]


# --- both


@pytest.mark.parametrize("number, how", [(2, {}), (6, {"after": True}), (13, {"how": RESET})])
def test_cut(stream, number, how):
    stream.disturbed_to_its_end(cut(stream.link.coming(number), **how))
    stream.goes_on()


@pytest.mark.parametrize("number, how", [(2, {}), (5, {"after": True}), (9, {"how": RESET})])
def test_cut_on_return(stream, number, how):
    """In what follows signing in: the root entry, what was missed, a full read."""
    assert stream.disturbed_on_return(cut(at(number), **how)).ended
    stream.goes_on()


def test_stalled(stream):
    """Half-open in the middle of what changed: noticed by silence, and told again on another connection."""
    dead = stream.disturbed(stop(stream.link.coming(7), after=True))
    assert stream.link is not dead
    stream.goes_on()


@pytest.mark.parametrize("data", [NO_LDAP, lambda m: m.changed(tag=0x61)], ids=["no BER", "bind result"])
def test_garbage(stream, data):
    stream.disturbed_to_its_end(instead(stream.link.coming(5), data, same))
    stream.goes_on()


def test_answers_after_the_timeout(stream):
    """What comes when nobody waits for it any more comes to nobody: the connection was given up."""
    late = stream.disturbed_on_return(pause(at(3), ANSWER_S + 8))
    assert late.ended
    stream.goes_on()


@pytest.mark.parametrize("code", [11, 51])
def test_result_on_return(stream, code):
    """Of the second search after signing in."""
    stream.disturbed_on_return(result(nth("done", 2), code))
    stream.rest()


def test_deleted_while_it_is_cut(stream):
    """Somebody leaves, and what tells of it is cut: gone in the end, and nobody else meanwhile."""
    company = stream.company
    company.add(company.person(NEWCOMER, "title: agent"))
    stream.until(lambda: stream.is_active(NEWCOMER))
    link = stream.link
    link.add(cut(link.coming(1)))
    company.delete(NEWCOMER)
    stream.toggle()
    stream.settle()
    stream.until(lambda: not stream.is_active(NEWCOMER))
    assert link.ended
    stream.rest()


# --- 389 Directory Server


@only_389
@pytest.mark.parametrize("fault", [
    refresh_required(), sync_cookie(b"127.0.0.1:1#cn=nobody:::(objectClass=*)#1"), sync_cookie(b"\xff\xfe"),
    sync_cookie(None), result(at(3), 4096),
], ids=["refresh required", "cookie of another server", "no cookie of any server", "no cookie", "refused late"])
def test_cookies_389_does_not_know(stream, fault):
    stream.disturbed_on_return(fault)
    stream.rest()
    stream.still_follows()


# --- Samba


def lie(attribute, value):
    """An entry that has this attribute has another value of it."""
    def make(message):
        return message.with_values([(name, [value] if name == attribute else values)
                                    for name, values in message.values])
    return instead(lambda m: m.kind == "entry" and any(name == attribute for name, _ in m.values), make)


@only_samba
def test_usn_that_goes_back(stream):
    """A domain controller restored from a backup: what it tells from there on is not all, so everything is read."""
    restarts = stream.follow_state()["restarts"]
    stream.disturbed(lie(b"highestCommittedUSN", b"1"))
    stream.until(lambda: stream.follow_state()["restarts"] > restarts)
    stream.rest()


@only_samba
def test_another_invocation(stream):
    """The same name, another numbering: no number of before counts."""
    restarts = stream.follow_state()["restarts"]
    stream.disturbed_on_return(lie(b"invocationId", bytes(range(16))))
    stream.rest()
    assert stream.restarts > restarts


@only_samba
def test_refused_in_a_look(stream):
    """One of its searches is refused: the number is not passed before all of them succeeded."""
    stream.disturbed(result(nth("done", stream.link.counts["done"] + 3), 52))
    stream.goes_on()
