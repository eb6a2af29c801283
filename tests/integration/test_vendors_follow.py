"""Changes of three vendors' directories, followed: the outcome is that of a fresh full read."""
import random
import shutil
import time

import pytest

import vendors
from bridge import Bridge
from control import Control

SECONDS = 60
DAY_S = 86400
CHANGES = 250
STARTING_PEOPLE = 40
GROUPS = [f"g{i}" for i in range(10)]
WANTED = GROUPS[:4]  # of these the first is named by its id, and may be renamed
POLL_S = 1


def rules(company, group_names, mode="auto", attributes=""):
    named = "".join(f"""  - id: r{i}
    groups: ["{name}"]
    grant: {{roles: [role{i}]}}
""" for i, name in enumerate(group_names))
    roles = "".join(f"  - {{name: role{i}, description: R, classifications: [Sales], segments: [All], "
                    'permissions: ["quotes:*@own"]}\n' for i in range(len(group_names)))
    return f"""profiles:
  - {{name: administrator, permissions: ["*:*@all"]}}
  - {{name: viewer, permissions: ["accounts:read@own"]}}
  - {{name: engineer, permissions: ["accounts:read@own"]}}
segments: [All]
roles:
{roles}rules:
{named}  - id: engineers
    when: "(title=engineer)"
    grant: {{profile: engineer}}
policy:
  default_profile: viewer
  missing_runs: 1
  missing_grace: 0
  limits: {{disables_min: 100000, disables_max: 100000, removals_min: 100000, group_loss_percent: 100}}
sources:
{company.source(more=f"follow: {{mode: {mode}, poll: {POLL_S}s, keepalive: 2s}}")}{attributes}
"""


class Followed(Bridge):
    def start(self):
        super().start()
        self.control = Control(self.folder / "control.sock")
        return self

    def follow(self):
        return self.control.ask("GET", "status")[1]["sources"][0]["follow"]

    def until(self, condition, what):
        end = time.monotonic() + SECONDS
        while True:
            found = condition()
            if found:
                return found
            assert time.monotonic() < end, f"{what}: {self.follow()}\n{self.logged()[-3000:]}"
            time.sleep(0.02)

    def connected(self):
        return self.until(lambda: (lambda f: f if f["connected"] and f["full"] else None)(self.follow()), "connected")

    def user(self, name):
        status, answer = self.control.ask("GET", f"users/{name}")
        return answer if status == 200 else None

    def has(self, name, role):
        user = self.user(name)
        return bool(user) and any(g["name"] == role for g in user["grants"])

    def is_active(self, name):
        user = self.user(name)
        return bool(user) and not user["disabled"]

    def quarantined(self, *reasons):
        return {entry["key"] for entry in self.ctl("quarantine", "list", "--limit", "1000")["entries"]
                if entry["reason"] in reasons}

    def everybody(self):
        """By the key of the identity: (profile, roles, disabled, mail, gone)."""
        found, after = {}, ""
        while True:
            status, page = self.control.ask("GET", f"users?limit=500{after}")
            assert status == 200, page
            for listed in page["users"]:
                user = self.user(listed["username"])
                (identity,) = user["identities"]
                found[identity["key"]] = (
                    user["profile"], tuple(sorted((g["kind"], g["name"], g["origin"]["kind"], g["origin"]["id"])
                                                  for g in user["grants"])),
                    tuple(user["disabled"]), user["email"], user["display_name"])
            if not page["next"]:
                return found
            after = f"&after={page['next']}"


class Story:
    """Random changes that a directory may see. Everything it does is in `told`, for whoever looks for a fault."""

    def __init__(self, company, seed):
        self.company = company
        self.random = random.Random(seed)
        self.people, self.groups, self.told = [], list(GROUPS), []
        self.members = {name: set() for name in GROUPS}  # names of people, and "@group"
        self.count = 0

    def new_person(self):
        self.count += 1
        uid = f"p{self.count}"
        self.people.append(uid)
        return uid

    def begin(self):
        company = self.company
        company.add(*(company.person(self.new_person()) for _ in range(STARTING_PEOPLE)))
        company.add(*(company.group(name, []) for name in self.groups))
        for name in self.groups:
            for uid in self.random.sample(self.people, 6):
                self.join(name, uid)
        for outer, inner in [("g0", "g4"), ("g4", "g5"), ("g5", "g6"), ("g6", "g4"), ("g1", "g5"), ("g2", "g7")]:
            self.join(outer, "@" + inner)

    def dn(self, member):
        return self.company.group_dn(member[1:]) if member.startswith("@") else self.company.dn(member)

    # --- what may happen

    def join(self, name, member):
        if member not in self.members[name] and member != "@" + name:
            self.company.join(name, self.dn(member))
            self.members[name].add(member)

    def add(self):
        uid = self.new_person()
        self.company.add(self.company.person(uid, *self.random.choice([[], ["title: engineer"]])))

    def add_with_groups(self):
        self.add()
        for name in self.random.sample(self.groups, 2):
            self.join(name, self.people[-1])

    def delete(self):
        uid = self.random.choice(self.people)
        if len(self.people) > STARTING_PEOPLE // 2:
            self.leave_all(uid)
            self.company.delete(uid)
            self.people.remove(uid)

    def leave_all(self, member):
        for name, listed in self.members.items():
            if member in listed:
                self.company.leave(name, self.dn(member))
                listed.discard(member)

    def delete_and_add_again(self):
        uid = self.random.choice(self.people)
        self.leave_all(uid)
        self.company.delete(uid)
        self.company.add(self.company.person(uid))

    def rename(self):
        uid = self.random.choice(self.people)
        self.count += 1
        self.relist(uid, f"p{self.count}", lambda new: self.company.rename(uid, new))

    def rename_and_move(self):
        uid = self.random.choice(self.people)
        self.count += 1
        self.relist(uid, f"p{self.count}", lambda new: self.company.rename(uid, new, f"ou=north,{self.company.people}"))

    def relist(self, uid, new, rename):
        """Where lists are not kept true, their administrators do it, before or after."""
        lists = [name for name, listed in self.members.items() if uid in listed]
        before = self.random.random() < 0.5
        true = self.company.keeps_members_true
        if not true and before:
            self.leave_all(uid)
        old = self.dn(uid)
        rename(new)
        self.people[self.people.index(uid)] = new
        for name in lists:
            if not true:
                listed = {v.decode().lower() for v in self.company.values(self.company.group_dn(name), "member")}
                if self.dn(new).lower() not in listed:
                    self.company.join(name, self.dn(new))
                if old.lower() in listed - {self.dn(new).lower()}:
                    self.company.leave(name, old)
            self.members[name].discard(uid)
            self.members[name].add(new)

    def move(self):
        uid = self.random.choice(self.people)
        self.relist(uid, uid, lambda _: self.company.move_below(uid, self.random.choice(
            [self.company.people, f"ou=north,{self.company.people}"])))

    def join_some(self):
        name = self.random.choice(self.groups)
        for uid in self.random.sample(self.people, self.random.choice([1, 1, 5])):
            self.join(name, uid)

    def leave_some(self):
        name = self.random.choice(self.groups)
        listed = sorted(m for m in self.members[name] if not m.startswith("@"))
        for uid in self.random.sample(listed, min(len(listed), self.random.choice([1, 1, 5]))):
            self.company.leave(name, self.dn(uid))
            self.members[name].discard(uid)

    def nest(self):
        outer, inner = self.random.sample(self.groups, 2)
        self.join(outer, "@" + inner)

    def unnest(self):
        nested = [(name, m) for name, listed in self.members.items() for m in sorted(listed) if m.startswith("@")]
        if nested:
            name, member = self.random.choice(nested)
            self.company.leave(name, self.dn(member))
            self.members[name].discard(member)

    def disable(self):
        self.company.disable(self.random.choice(self.people))

    def enable(self):
        self.company.enable(self.random.choice(self.people))

    def expire(self):
        days = self.random.choice([-30, -1, 30, None])
        today = int(time.time()) // DAY_S * DAY_S
        self.company.expire(self.random.choice(self.people), None if days is None else today + days * DAY_S)

    def title(self):
        self.company.replace(self.random.choice(self.people), "title", *self.random.choice(
            [["engineer"], ["clerk"], []]))

    def mail(self):
        uid = self.random.choice(self.people)
        self.company.replace(uid, "mail", f"{uid}.{self.random.randint(0, 99)}@example.org")

    def add_group(self):
        self.count += 1
        name = f"n{self.count}"
        self.company.add(self.company.group(name, []))
        self.groups.append(name)
        self.members[name] = set()
        for uid in self.random.sample(self.people, 3):
            self.join(name, uid)
        self.join(self.random.choice(WANTED), "@" + name)

    def delete_group(self):
        loose = [name for name in self.groups if name not in WANTED]
        name = self.random.choice(loose)
        if len(self.groups) > 8:
            self.leave_all("@" + name)
            self.company.delete_group(name)
            self.groups.remove(name)
            del self.members[name]

    STEPS = [(add, 3), (add_with_groups, 3), (delete, 4), (delete_and_add_again, 2), (rename, 4), (rename_and_move, 3),
             (move, 4), (join_some, 12), (leave_some, 12), (nest, 4), (unnest, 5), (disable, 6), (enable, 5), (expire, 5),
             (title, 8), (mail, 4), (add_group, 3), (delete_group, 2)]

    def go_on(self, changes):
        for _ in range(changes):
            (step,) = self.random.choices([s for s, _ in self.STEPS], [w for _, w in self.STEPS])
            self.told.append(step.__name__)
            step(self)


@pytest.fixture(name="company", params=vendors.FOLLOWED)
def make_company(request):
    company = vendors.branch(request.param)
    company.mode = vendors.FOLLOWED[request.param]
    return company


def settle(company, bridge, uid):
    """All that was changed before is told once this person is known."""
    company.add(company.person(uid))
    bridge.until(lambda: bridge.user(uid), f"{uid} is followed")


def differences(one, other):
    return {key: (one.get(key), other.get(key)) for key in one.keys() | other.keys() if one.get(key) != other.get(key)}


@pytest.mark.parametrize("seed", [1, 2])
def test_incremental_state_is_that_of_a_full_read(company, seed):
    story = Story(company, seed)
    story.begin()
    names = [company.key_of(company.group_dn(WANTED[0]))] + [company.group_dn(name) for name in WANTED[1:]]
    config = rules(company, names)
    with Followed(config) as bridge:
        assert bridge.connected()["mode"] == company.mode
        for part in range(5):
            story.go_on(CHANGES // 5)
            settle(company, bridge, f"settled{part}")
        followed = bridge.everybody()
        state = bridge.follow()
        with Followed(config) as fresh:
            fresh.connected()
            expected = fresh.everybody()
        # Whoever has the name of somebody deleted waits for a person to say who they are.
        named_again = bridge.quarantined("username-taken", "email-taken")
        assert len(named_again) <= story.told.count("delete_and_add_again")
        expected = {key: value for key, value in expected.items() if key not in named_again}
        # Who is deleted is only missed by a full read, and not told by every server.
        kept = {key: value for key, value in followed.items() if key in expected}
        assert not differences(kept, expected), (story.told, state)
        gone = {key: value for key, value in followed.items() if key not in expected}
        assert gone
        if company.mode != "timestamp":
            assert all("gone" in value[2] for value in gone.values()), gone
        assert state["restarts"] == 0 and state["reconnects"] == 0, (state, bridge.logged()[-3000:])
        bridge.ctl("sync", "corp")
        after = bridge.everybody()
        assert not differences({key: after[key] for key in expected}, expected), story.told
        assert all(after[key][2] for key in gone), {key: after[key] for key in gone}
        assert bridge.ctl("audit", "verify")["intact"]


# --- one by one


def small(company):
    """inner in middle in outer; named: by id; who is in what."""
    company.add(*(company.person(uid) for uid in ["anna", "ben", "carl", "dora"]))
    company.add(*(company.group(name, []) for name in ["outer", "middle", "inner", "byid"]))
    company.join("inner", company.dn("anna"))
    company.join("middle", company.group_dn("inner"))
    company.join("outer", company.group_dn("middle"))
    company.join("byid", company.dn("ben"))
    return rules(company, [company.group_dn("outer"), company.key_of(company.group_dn("byid"))])


def test_renamed_member_keeps_groups(company):
    """Where the server changes the lists by itself, it says nothing about it."""
    with Followed(small(company)) as bridge:
        bridge.connected()
        key = company.key_of(company.dn("anna"))
        company.rename("anna", "anne")
        settle(company, bridge, "settled")
        listed = {v.decode().lower() for v in company.values(company.group_dn("inner"), "member")}
        has = ("role", "role0", "rule", "r0") in bridge.everybody()[key][1]
        assert has == (company.dn("anne").lower() in listed)


def test_renamed_group_in_a_group(company):
    with Followed(small(company)) as bridge:
        bridge.connected()
        company.rename_group("inner", "innermost")
        settle(company, bridge, "settled")
        listed = {v.decode().lower() for v in company.values(company.group_dn("middle"), "member")}
        assert bridge.has("anna", "role0") == (company.group_dn("innermost").lower() in listed)


def test_group_named_by_id_may_be_renamed_and_moved(company):
    with Followed(small(company)) as bridge:
        bridge.connected()
        company.rename_group("byid", "other")
        settle(company, bridge, "settled")
        assert bridge.has("ben", "role1")
        company.join("other", company.dn("carl"))
        bridge.until(lambda: bridge.has("carl", "role1"), "carl is in")


def test_group_named_by_dn_that_vanished_is_frozen(company):
    with Followed(small(company)) as bridge:
        bridge.connected()
        company.rename_group("outer", "other")
        settle(company, bridge, "settled")
        bridge.ctl("sync", "corp")
        assert bridge.has("anna", "role0")
        assert any("outer" in str(alarm).lower() for alarm in bridge.ctl("alarms", "list")["alarms"])


def test_disabled_and_back(company):
    with Followed(small(company)) as bridge:
        bridge.connected()
        company.disable("anna")
        bridge.until(lambda: not bridge.is_active("anna"), "anna is disabled")
        company.enable("anna")
        bridge.until(lambda: bridge.is_active("anna"), "anna is back")
        company.expire("anna", int(time.time()) - 30 * DAY_S)
        bridge.until(lambda: not bridge.is_active("anna"), "the account has ended")
        company.expire("anna", int(time.time()) + 30 * DAY_S)
        bridge.until(lambda: bridge.is_active("anna"), "it has not")


def test_who_leaves_the_search_is_gone_and_may_come_back(company):
    with Followed(small(company)) as bridge:
        bridge.connected()
        company.move_below("anna", company.elsewhere)
        settle(company, bridge, "settled")
        if company.mode == "timestamp":
            bridge.ctl("sync", "corp")
        bridge.until(lambda: not bridge.is_active("anna"), "anna is elsewhere")
        assert bridge.is_active("ben")
        company.move_below("anna", company.people)
        bridge.until(lambda: bridge.is_active("anna"), "anna is back")


def test_who_does_not_match_the_filter_any_more_is_gone(company):
    config = small(company).replace(f"key: {company.key}", f"key: {company.key}, filter: '(!(title=external))'")
    with Followed(config) as bridge:
        bridge.connected()
        company.replace("anna", "title", "external")
        bridge.until(lambda: not bridge.is_active("anna"), "anna is external")
        company.replace("anna", "title", "clerk")
        bridge.until(lambda: bridge.is_active("anna"), "anna is not")
        assert bridge.is_active("ben")


def test_renamed_branch_is_read_anew(company):
    """People below it have other names, and nothing says so at their entries."""
    north = f"ou=north,{company.people}"
    with Followed(small(company)) as bridge:
        bridge.connected()
        company.move_below("anna", north)
        company.add(company.person("late"))
        bridge.until(lambda: bridge.user("late"), "late is followed")
        company.move(north, "ou=south")
        company.dns["anna"] = company.dn("anna").replace("ou=north,", "ou=south,")
        settle(company, bridge, "settled")
        listed = [v.decode().lower() for v in company.values(company.group_dn("inner"), "member")]
        if company.dn("anna").lower() not in listed:
            company.join("inner", company.dn("anna"))
        bridge.until(lambda: bridge.has("anna", "role0"), "anna is known by her new name")


def test_attribute_that_group_edits_change(company):
    """memberOf moves without a trace at the person's own entry."""
    company.add(*(company.person(uid) for uid in ["anna", "ben"]))
    company.add(*(company.group(name, []) for name in ["outer", "plain"]))
    dn = company.group_dn("plain")
    config = rules(company, [company.group_dn("outer")]).replace(
        "(title=engineer)", f"(memberOf={dn})").replace("follow:", "attributes: [{name: memberOf}]\n    follow:")
    with Followed(config) as bridge:
        bridge.connected()
        company.join("plain", company.dn("anna"))
        bridge.until(lambda: bridge.user("anna")["profile"] == "engineer", "anna is in")
        company.leave("plain", company.dn("anna"))
        bridge.until(lambda: bridge.user("anna")["profile"] == "viewer", "anna is out")
        assert bridge.user("ben")["profile"] == "viewer"


# --- Active Directory alone


@pytest.fixture(name="domain")
def make_domain():
    return vendors.branch("samba")


def test_primary_group_is_followed(domain):
    domain.add(domain.person("anna"), domain.person("ben"))
    domain.add(domain.group("clerks", [domain.dn("anna")]))
    domain.add(domain.group("staff", []))
    number = int.from_bytes(domain.values(domain.group_dn("clerks"), "objectSid")[0][-4:], "little")
    domain.replace("anna", "primaryGroupID", number)
    with Followed(rules(domain, [domain.group_dn("clerks"), domain.group_dn("staff")])) as bridge:
        bridge.connected()
        assert bridge.has("anna", "role0") and not bridge.has("anna", "role1")
        domain.join("staff", domain.group_dn("clerks"))
        bridge.until(lambda: bridge.has("anna", "role1"), "the primary group is in another")
        domain.join("clerks", domain.dn("ben"))
        bridge.until(lambda: bridge.has("ben", "role1"), "ben is in it too")
        domain.replace("anna", "primaryGroupID", 513)
        domain.leave("clerks", domain.dn("anna"))
        bridge.until(lambda: not bridge.has("anna", "role0"), "anna is out")
        assert bridge.has("ben", "role0")
        assert bridge.follow()["restarts"] == 0


# --- connections


@pytest.mark.parametrize("after", [False, True], ids=["while away", "when it is back"])
@pytest.mark.parametrize("name", ["389", "samba"])
def test_server_that_starts_again(name, after):
    """What changes meanwhile or later is told. 389 leaves out nsAccountLock then: it is read anew."""
    company = vendors.branch(name)
    with Followed(small(company)) as bridge:
        bridge.connected()
        company.server.stop()
        bridge.until(lambda: not bridge.follow()["connected"], "the connection is lost")
        company.server.start()
        if after:
            bridge.until(lambda: bridge.follow()["connected"], "connected again")
        company.disable("anna")
        company.join("byid", company.dn("carl"))
        bridge.until(lambda: not bridge.is_active("anna") and bridge.has("carl", "role1"), "followed again")
        bridge.until(lambda: bridge.follow()["connected"], "said so, too")
        state = bridge.follow()
        assert state["restarts"] == (1 if name == "389" else 0), state
        assert bridge.is_active("ben") and bridge.has("ben", "role1")


def test_server_that_starts_again_without_changes():
    """Where nothing has changed nothing is read anew, on any server."""
    company = vendors.branch("389")
    with Followed(small(company)) as bridge:
        full = bridge.connected()["full"]
        company.server.stop()
        bridge.until(lambda: not bridge.follow()["connected"], "the connection is lost")
        company.server.start()
        bridge.until(lambda: bridge.follow()["connected"], "connected again")
        assert bridge.follow()["full"] == full and bridge.follow()["restarts"] == 0
        company.disable("anna")
        bridge.until(lambda: not bridge.is_active("anna"), "anna is disabled")
        bridge.until(lambda: bridge.follow()["connected"], "said so, too")
        state = bridge.follow()
        # What 389 tells after a refresh with a cookie may lack nsAccountLock: then, and only then, it is read anew.
        assert state["reconnects"] == 1 and state["restarts"] == 1, state


def test_server_whose_number_went_back(domain):
    """A domain controller out of an old backup: its numbers mean something else."""
    config = small(domain)
    with Followed(config) as bridge:
        bridge.connected()
        domain.server.stop()
        kept = domain.server.folder / "kept"
        shutil.copytree(domain.server.folder / "private", kept, ignore=shutil.ignore_patterns("ldapi"))
        domain.server.start()
        domain.disable("anna")
        bridge.until(lambda: not bridge.is_active("anna"), "anna is disabled")
        domain.server.stop()
        shutil.rmtree(domain.server.folder / "private")
        kept.rename(domain.server.folder / "private")
        domain.server.start()
        bridge.until(lambda: bridge.is_active("anna"), "the old state is read")
        assert bridge.follow()["restarts"] == 1
