"""Reports of random people, roles, sign-ins and events against what they must be, counted here from the same rows."""
import collections
import datetime
import random
import sqlite3

import pytest

from bridge import Bridge
from control import Control
from days import date, day, day_number, keep_off_midnight

ROLES = {f"role-{n}": (sorted({f"C{n % 3}", f"C{n % 2}"}), sorted({f"S{n % 4}", f"S{n % 3}"})) for n in range(7)}
PERSONAS = [f"persona-{n}" for n in range(4)]
PROFILES = ["member", "guest", "clerk"]
FEATURES = [("crm", "a"), ("crm", "b"), ("billing", "a")]
PEOPLE = 70
DAYS = 120


def configuration():
    roles = "".join(f"  - {{name: {name}, classifications: {classes}, segments: {segments}, permissions: []}}\n"
                    for name, (classes, segments) in ROLES.items())
    personas = "".join(f"  - {{name: {name}, title: T, objectives: [a], frustrations: [b], watering_holes: [c], "
                       "technical_sophistication: low}\n" for name in PERSONAS)
    return f"""
profiles:
{"".join(f"  - {{name: {name}, permissions: []}}{chr(10)}" for name in ["administrator", *PROFILES])}
roles:
{roles}
personas:
{personas}
classifications: [C0, C1, C2, Admin, Developer, Analyst]
segments: [S0, S1, S2, S3]
policy: {{default_profile: guest}}
"""


class World:
    """What is in the store, as Python sees it."""

    def __init__(self, bridge, choice):
        self.held = {}  # user: {by: names}
        self.active = {}
        self.sign_ins = collections.Counter()  # (user, days ago)
        self.uses = collections.Counter()  # (user, days ago, (application, feature))
        for n in range(PEOPLE):
            self.add_person(bridge, choice, f"user{n}")

    def add_person(self, bridge, choice, name):
        control = bridge.control
        profile = choice.choice(PROFILES)
        roles, personas = choice.sample(sorted(ROLES), choice.randrange(4)), choice.sample(PERSONAS, choice.randrange(3))
        assert control.ask("POST", "users", {"username": name, "profile": profile})[0] == 201
        for kind, names in (("role", roles), ("persona", personas)):
            for one in names:
                assert control.ask("POST", f"users/{name}/grants", {"kind": kind, "name": one})[0] == 200
        self.held[name] = {"profile": {profile}, "role": set(roles), "persona": set(personas),
                           "classification": {label for role in roles for label in ROLES[role][0]},
                           "segment": {label for role in roles for label in ROLES[role][1]}}
        self.active[name] = choice.random() < 0.85
        if not self.active[name]:
            assert control.ask("POST", f"users/{name}/disable", {})[0] == 200
        for ago in choice.sample(range(DAYS), choice.choice([0, 1, 5, 40])):
            self.sign_ins[name, ago] = choice.randrange(1, 4)
        for ago in choice.sample(range(DAYS), choice.choice([0, 2, 20])):
            self.uses[name, ago, choice.choice(FEATURES)] += choice.randrange(1, 9)

    def write(self, store, choice):
        """Some sign-ins are counted, the others' sessions are in no index."""
        numbers = dict(store.execute("SELECT username, id FROM user"))
        for (name, ago), count in self.sign_ins.items():
            counted, at = choice.randrange(count + 1), day_number(ago)
            if counted:
                store.execute("INSERT INTO sign_in (user, day, n, last_s) VALUES (?, ?, ?, ?)",
                              (numbers[name], at, counted, at * 86400))
            store.executemany(
                "INSERT INTO session (uuid, user, source, name_id, name_id_format, session_index, address, agent, "
                "created_s, seen_s, until_s, second_factor_s) VALUES (randomblob(16), ?, 0, '', 0, '', '', '', ?, "
                "4000000000, 4000000000, 0)", [(numbers[name], at * 86400)] * (count - counted))
        for application, feature in FEATURES:
            store.execute("INSERT OR IGNORE INTO name (text) VALUES (?)", (application,))
            store.execute("INSERT INTO feature (application, name) SELECT id, ? FROM name WHERE text = ?",
                          (feature, application))
        ids = {(application, feature): number for number, application, feature in store.execute(
            "SELECT f.id, n.text, f.name FROM feature f JOIN name n ON n.id = f.application")}
        store.executemany("INSERT INTO feature_use (user, day, feature, n) VALUES (?, ?, ?, ?)",
                          [(numbers[name], day_number(ago), ids[feature], count)
                           for (name, ago, feature), count in self.uses.items()])

    # --- what reports must say ---

    def groups(self, name, by, feature=None):
        if by == "feature":
            return {"/".join(feature)}
        return {feature[0]} if by == "application" else self.held[name][by]

    def happened(self, kind, wanted):
        """(user, days ago, feature, how often)"""
        if kind == "sign-ins":
            return [(name, ago, None, count) for (name, ago), count in self.sign_ins.items()]
        return [(name, ago, feature, count) for (name, ago, feature), count in self.uses.items()
                if all(one in (None, other) for one, other in zip(wanted, feature))]

    def counted(self, kind, by, first, last, every, wanted=(None, None)):
        """{(group, period): (people, count)}, group None: everybody; period None: the whole window."""
        people, counts = collections.defaultdict(set), collections.Counter()
        for name, ago, feature, count in self.happened(kind, wanted):
            if not last <= ago <= first:
                continue
            for group in {None} | self.groups(name, by, feature):
                for period in {None, period_of(every, ago, first)}:
                    people[group, period].add(name)
                    counts[group, period] += count
        return {key: (len(people[key]), counts[key]) for key in people}

    def adopted(self, by, first, last, wanted):
        """{group: (holders, signed in, used)}"""
        signed_in = {name for (name, ago) in self.sign_ins if last <= ago <= first}
        used = {name for name, ago, _, _ in self.happened("feature-use", wanted) if last <= ago <= first}
        found = collections.defaultdict(lambda: [0, 0, 0])
        for name, held in self.held.items():
            if self.active[name]:
                for group in {None} | held[by]:
                    for i, of in enumerate((self.held, signed_in, used)):
                        found[group][i] += name in of
        return {group: tuple(numbers) for group, numbers in found.items()}


def period_of(every, ago, first):
    """Its first day, of those in the window."""
    at = date(ago)
    start = {"day": at, "week": at - datetime.timedelta(days=at.weekday()), "month": at.replace(day=1),
             None: datetime.date(1970, 1, 1)}[every]
    return None if every is None else max(start.isoformat(), day(first))


@pytest.fixture(scope="module", name="bridge")
def _bridge():
    keep_off_midnight()
    choice = random.Random(11)
    with Bridge(configuration()) as bridge:
        bridge.control = Control(bridge.folder / "control.sock")
        bridge.world = World(bridge, choice)
        bridge.control.close()
        bridge.stop()
        with sqlite3.connect(bridge.folder / "store.db") as store:
            bridge.world.write(store, choice)
        bridge.start()
        yield bridge
        bridge.control.close()


def ask(bridge, name, **query):
    status, answer = bridge.control.ask("GET", f"reports/{name}?" + "&".join(
        f"{key}={value}" for key, value in query.items() if value is not None))
    assert status == 200, answer
    return answer


def told(answer, count):
    """The same of an answer; groups with nobody are left out."""
    found = {}
    for group in [*answer["groups"], {**answer["all"], "name": None}]:
        if group["people"]:
            found[group["name"], None] = group["people"], group[count]
        for period in group.get("periods", ()):
            found[group["name"], period["from"]] = period["people"], period[count]
    return found


@pytest.mark.parametrize("every", [None, "day", "week", "month"])
@pytest.mark.parametrize("by", ["profile", "role", "persona", "classification", "segment"])
def test_sign_ins(bridge, by, every):
    for first, last in ((DAYS, 0), (29, 0), (61, 17), (5, 5)):
        answer = ask(bridge, "sign-ins", by=by, every=every, **{"from": day(first), "to": day(last)})
        assert told(answer, "sign_ins") == bridge.world.counted("sign-ins", by, first, last, every), (first, last)


@pytest.mark.parametrize("wanted", [(None, None), ("crm", None), (None, "a"), ("billing", "a"), ("crm", "none")])
@pytest.mark.parametrize("by", ["profile", "role", "persona", "classification", "segment", "application", "feature"])
def test_feature_use(bridge, by, wanted):
    for every, first, last in ((None, DAYS, 0), ("day", 40, 3), ("month", DAYS, 0)):
        answer = ask(bridge, "feature-use", by=by, every=every, application=wanted[0], feature=wanted[1],
                     **{"from": day(first), "to": day(last)})
        assert told(answer, "uses") == bridge.world.counted("feature-use", by, first, last, every, wanted), every


@pytest.mark.parametrize("by", ["profile", "role", "persona", "classification", "segment"])
def test_adoption(bridge, by):
    for first, last, wanted in ((DAYS, 0, (None, None)), (29, 0, ("crm", None)), (50, 20, (None, "a"))):
        answer = ask(bridge, "adoption", by=by, application=wanted[0], feature=wanted[1],
                     **{"from": day(first), "to": day(last)})
        found = {group["name"]: (group["holders"], group["signed_in"], group["used"])
                 for group in [*answer["groups"], {**answer["all"], "name": None}] if group["holders"]}
        assert found == bridge.world.adopted(by, first, last, wanted)


@pytest.mark.parametrize("days", [1, 10, 60, 200])
def test_unused_and_inactive(bridge, days):
    world = bridge.world
    last = {name: min((ago for (user, ago) in world.sign_ins if user == name), default=None) for name in world.held}
    # A day ago, at midnight, is more than a day ago.
    idle = {name for name in world.held if world.active[name] and (last[name] is None or last[name] >= days)}
    unused = {one["name"]: one["holders"] for one in ask(bridge, "unused", days=days)["unused"]}
    for by, names in (("role", ROLES), ("persona", PERSONAS)):
        for name in names:
            holders = {user for user, held in world.held.items() if name in held[by] and world.active[user]}
            assert unused.get(name) == (len(holders) if holders <= idle else None), name
    people, after = [], 0
    while after is not None:
        page = ask(bridge, "inactive", days=days, limit=9, after=after)
        people += [(user["username"], user["last_sign_in"]) for user in page["users"]]
        after = page["next"]
    assert dict(people) == {name: None if last[name] is None else day(last[name]) + "T00:00:00Z" for name in idle}
    assert len(people) == len(idle)
