"""What people use, as applications tell it, and what reports make of it and of sign-ins."""
import datetime
import json
import sqlite3
import threading
import time

import pytest
import requests

from access import Web
from bridge import Bridge
from control import Control
from days import day, day_number, keep_off_midnight
from ports import free_port
from test_control import check

CONFIG = """
public_url: "http://127.0.0.1:{port}"
listeners: [{{address: "127.0.0.1:{port}"}}]
profiles:
  - {{name: administrator, permissions: ["*:*@all"]}}
  - {{name: member, permissions: ["accounts:read@all"]}}
  - {{name: guest, permissions: []}}
  - {{name: reporter, permissions: ["reports:read@all"]}}
roles:
  - {{name: seller, classifications: [Sales], segments: [Banking, Retail], permissions: ["accounts:read@all"]}}
  - {{name: helper, classifications: [Support], segments: [Retail], permissions: ["cases:read@all"]}}
  - {{name: forgotten, classifications: [Support], segments: [Banking], permissions: []}}
classifications: [Sales, Support]
segments: [Banking, Retail]
segment_filters:
  - {{name: a-people, filter: "(username=*a*)"}}
  - {{name: sellers, filter: "(role=seller)"}}
  - {{name: lately, filter: "(signIns7d>=1)"}}
personas:
  - {{name: hunter, title: Hunter, primary: true, objectives: [a], frustrations: [b], watering_holes: [c],
      technical_sophistication: low}}
  - {{name: nobodys, title: Nobody's, objectives: [a], frustrations: [b], watering_holes: [c],
      technical_sophistication: low}}
organizations: [{{name: partners}}]
policy: {{default_profile: guest}}
reports: {{retention: 30d}}
sources:
  - {{name: partners, type: csv, path: partners.csv, key: id, interval: 0, organization: partners,
      attributes: [uid, mail, displayName]}}
"""
PARTNERS = "id,uid,mail,displayName\n1,far,far@y.example,Far\n"
EVENTS = "/api/v1/events"


@pytest.fixture(scope="module")
def bridge():
    keep_off_midnight()
    port = free_port()
    with Bridge(CONFIG.format(port=port), {"partners.csv": PARTNERS}) as bridge:
        bridge.port = port
        bridge.ctl("users", "create", "ada", "--profile", "administrator")
        for name in ("anna", "ben", "carl"):
            bridge.ctl("users", "create", name, "--email", f"{name}@x.example", "--profile", "member")
        bridge.ctl("users", "create", "paul", "--profile", "reporter", "--organization", "partners")
        bridge.ctl("users", "create", "rita", "--profile", "reporter")
        bridge.ctl("users", "grant", "anna", "role", "seller")
        bridge.ctl("users", "grant", "anna", "persona", "hunter")
        bridge.ctl("users", "grant", "ben", "role", "seller")
        bridge.ctl("users", "grant", "ben", "role", "helper")
        bridge.ctl("sync")
        yield bridge


def token(control, **body):
    status, answer = control.ask("POST", "tokens", body)
    assert status == 201, answer
    return answer["token"]


def tell(control, *events, status=200, **body):
    got, answer = control.ask("POST", "events", {"application": "crm", "events": list(events), **body})
    assert got == status, answer
    if got == 200:
        check(answer, EVENTS, "post")
    return answer


def used(bridge, user):
    """{(days ago, application, feature): count}, from the store itself."""
    with sqlite3.connect(f"file:{bridge.folder / 'store.db'}?mode=ro", uri=True) as store:
        rows = store.execute(
            "SELECT f.day, n.text, x.name, f.n FROM feature_use f JOIN feature x ON x.id = f.feature "
            "JOIN name n ON n.id = x.application JOIN user u ON u.id = f.user WHERE u.username = ?", (user,))
        return {(day_number(0) - at, application, feature): count for at, application, feature, count in rows}


# --- events ---


def test_counted_by_day(bridge, control):
    answer = tell(control, {"user": "carl", "feature": "export"},
                  {"user": "carl@x.example", "feature": "export", "count": 4},
                  {"user": "carl", "feature": "export", "at": day(3)},
                  {"user": "carl", "feature": "Über uns / 1", "at": day(3) + "T23:59:59Z", "count": 2})
    assert answer == {"accepted": 4, "refused": 0, "repeated": False, "problems": []}
    found = used(bridge, "carl")
    assert found == {(0, "crm", "export"): 5, (3, "crm", "export"): 1, (3, "crm", "Über uns / 1"): 2}


def test_bad_ones_stop_no_others(bridge, control):
    before = used(bridge, "ben").get((0, "crm", "mixed"), 0)
    good = {"user": "ben", "feature": "mixed"}
    bad = [
        ({"user": "nobody", "feature": "mixed"}, "not-found", "user"),
        ({"user": "", "feature": "mixed"}, "not-found", "user"),
        ({"user": "ben", "feature": ""}, "invalid-request", "feature"),
        ({"user": "ben", "feature": "x" * 129}, "invalid-request", "feature"),
        ({"user": "ben", "feature": "a\u0007b"}, "invalid-request", "feature"),
        ({"user": "ben"}, "invalid-request", "feature"),
        ({"user": 7, "feature": "mixed"}, "invalid-request", "user"),
        ({"user": "ben", "feature": "mixed", "count": 0}, "invalid-request", "count"),
        ({"user": "ben", "feature": "mixed", "count": -1}, "invalid-request", "count"),
        ({"user": "ben", "feature": "mixed", "count": 1000001}, "invalid-request", "count"),
        ({"user": "ben", "feature": "mixed", "count": "3"}, "invalid-request", "count"),
        ({"user": "ben", "feature": "mixed", "at": "yesterday"}, "invalid-request", "at"),
        ({"user": "ben", "feature": "mixed", "at": day(-2)}, "invalid-request", "at"),
        ({"user": "ben", "feature": "mixed", "at": day(40)}, "invalid-request", "at"),
        ({"user": "ben", "feature": "mixed", "colour": "red"}, "invalid-request", "colour"),
        ("ben", "invalid-request", None),
        (None, "invalid-request", None),
    ]
    events = [good]
    for event, _, _ in bad:
        events += [event, good]
    answer = tell(control, *events)
    assert (answer["accepted"], answer["refused"]) == (len(bad) + 1, len(bad))
    assert [(problem["row"], problem["code"], problem["field"]) for problem in answer["problems"]] == \
        [(2 * i + 1, code, field) for i, (_, code, field) in enumerate(bad)]
    assert used(bridge, "ben")[0, "crm", "mixed"] == before + len(bad) + 1


@pytest.mark.parametrize("body, field", [
    ({}, "events"), ({"events": {}}, "events"), ({"events": [], "color": 1}, "color"), ({"events": "x"}, "events"),
    ({"events": [], "application": "No Name"}, "application"), ({"events": [], "application": 3}, "application"),
    ({"events": []}, "application"), ({"events": [], "application": "crm", "batch": ""}, "batch"),
    ({"events": [], "application": "crm", "batch": "b" * 129}, "batch"),
    ({"events": [{}] * 10001, "application": "crm"}, "events"),
])
def test_bad_requests(control, body, field):
    status, answer = control.ask("POST", "events", body)
    assert status in (400, 422) and answer["field"] == field, answer


def test_a_request_again(bridge, control):
    events = [{"user": "anna", "feature": "again"}, {"user": "nobody", "feature": "again"}] * 700
    first = tell(control, *events, batch="b-1")
    assert (first["accepted"], first["refused"], first["repeated"]) == (700, 700, False)
    again = tell(control, *events, batch="b-1")
    assert again == {**first, "repeated": True}
    assert used(bridge, "anna")[0, "crm", "again"] == 700
    assert tell(control, events[0], batch="b-1", status=409)["code"] == "batch-reused"
    tell(control, events[0], batch="b-2")
    # Of another application it is another name.
    tell(control, *events, batch="b-1", application="billing")
    assert used(bridge, "anna")[0, "crm", "again"] == 701
    assert used(bridge, "anna")[0, "billing", "again"] == 700


def test_two_at_once(bridge):
    """The same request by two clients: counted once, and both are told the same."""
    events = [{"user": "ben", "feature": f"two-{i % 5}"} for i in range(3000)]
    answers = []

    def send():
        control = Control(bridge.folder / "control.sock")
        answers.append(tell(control, *events, batch="two"))
        control.close()

    senders = [threading.Thread(target=send) for _ in range(4)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert [(answer["accepted"], answer["refused"]) for answer in answers] == [(3000, 0)] * 4
    assert sum(count for (_, _, feature), count in used(bridge, "ben").items() if feature.startswith("two-")) == 3000


def test_a_request_that_was_cut(bridge, control):
    """Killed in the middle of a long request, which is sent again: each event counts once."""
    events = [{"user": "carl", "feature": f"cut-{i % 7}"} for i in range(10000)]
    body = {"application": "crm", "batch": "cut", "events": events}
    sender = Control(bridge.folder / "control.sock")
    try:
        sender.request("POST", "/api/v1/events", json.dumps(body), {"Content-Type": "application/json"})
        while not used(bridge, "carl").get((0, "crm", "cut-0")):
            pass
        bridge.kill()
    finally:
        sender.close()
    bridge.start()
    control.close()
    answer = tell(control, *events, batch="cut")
    assert (answer["accepted"], answer["refused"]) == (10000, 0)
    counts = [count for (_, _, feature), count in used(bridge, "carl").items() if feature.startswith("cut-")]
    assert sum(counts) == 10000 and len(counts) == 7


def test_of_ones_own_application_and_organization(control, web):
    crm = token(control, name="crm", service="crm", application="crm", scope=["events:create@all"])
    far = token(control, name="far", service="far", application="crm", organization="partners",
                scope=["events:create@all"])
    reader = token(control, name="reader", service="reader", scope=["reports:read@all"])
    own = {"events": [{"user": "anna", "feature": "own"}, {"user": "far", "feature": "own"}]}
    status, answer = web.ask("POST", "events", own, crm)
    assert (status, [p["field"] for p in answer["problems"]]) == (200, ["user"])
    status, answer = web.ask("POST", "events", own, far)
    assert (status, [p["row"] for p in answer["problems"]]) == (200, [0])
    # Names of requests are the organization's.
    for bearer, accepted in ((crm, 1), (far, 1)):
        status, answer = web.ask("POST", "events", {**own, "batch": "same"}, bearer)
        assert (status, answer["accepted"], answer["repeated"]) == (200, accepted, False)
    status, answer = web.ask("POST", "events", {"events": [own["events"][1]], "batch": "far"}, far)
    assert (status, answer["accepted"]) == (200, 1)
    status, answer = web.ask("POST", "events", {**own, "batch": "far"}, crm)
    assert (status, answer["repeated"]) == (200, False)
    status, answer = web.ask("POST", "events", {**own, "application": "billing"}, crm)
    assert (status, answer["code"]) == (404, "not-found")
    status, answer = web.ask("POST", "events", own, reader)
    assert (status, answer["code"]) == (403, "not-allowed")
    assert web.ask("POST", "events", own)[0] == 401


def metrics(bridge):
    text = requests.get(f"http://127.0.0.1:{bridge.port}/metrics", timeout=60).text
    return {line.split()[0]: int(line.split()[1]) for line in text.splitlines()
            if line.startswith(("rolebridge_events", "rolebridge_sign_ins_total"))}


def test_metrics(bridge, control):
    before = metrics(bridge)
    events = [{"user": "anna", "feature": "told"}, {"user": "nobody", "feature": "told"}, {"user": "ben", "feature": "t"}]
    tell(control, *events, batch="told")
    # Counted once.
    tell(control, *events, batch="told")
    assert metrics(bridge) == {"rolebridge_events_total": before["rolebridge_events_total"] + 2,
                               "rolebridge_events_refused_total": before["rolebridge_events_refused_total"] + 1,
                               "rolebridge_sign_ins_total": before["rolebridge_sign_ins_total"]}


def test_features_are_bounded(control):
    events = [{"user": "anna", "feature": f"f{i}"} for i in range(1001)]
    answer = tell(control, *events, application="many", batch="many")
    assert (answer["accepted"], answer["refused"]) == (1000, 1)
    assert answer["problems"][0]["code"] == "too-many-features"
    assert tell(control, *events, application="many", batch="many") == {**answer, "repeated": True}
    assert tell(control, events[5], application="many")["accepted"] == 1


# --- reports ---

# Days ago on which each signed in, and how often; ben's last two are not in the table yet.
# … of gina nobody is told, for she is deleted.
SIGN_INS = {"anna": {0: 2, 1: 1, 9: 3, 45: 7}, "gina": {0: 9}, "ben": {0: 1, 20: 1}, "dora": {40: 1}, "far": {2: 5}}
NAMES = ("rita", "anna", "ben", "carl", "dora", "emil", "far")


def put_sign_ins(store):
    """As the daemon would have written them: counted ones, and sessions that are not counted yet."""
    store.execute("DELETE FROM meta WHERE name = 'activity-pruned'")  # it was done for today
    numbers = dict(store.execute("SELECT username, id FROM user"))
    for user, days in SIGN_INS.items():
        for ago, count in days.items():
            at = day_number(ago)
            if user != "ben":
                store.execute("INSERT INTO sign_in (user, day, n, last_s) VALUES (?, ?, ?, ?)",
                              (numbers[user], at, count, at * 86400 + 7))
                continue
            for _ in range(count):
                store.execute(
                    "INSERT INTO session (uuid, user, source, name_id, name_id_format, session_index, address, agent, "
                    "created_s, seen_s, until_s, second_factor_s) VALUES (randomblob(16), ?, 0, '', 0, '', '', '', ?, "
                    "?, 4000000000, 0)", (numbers[user], at * 86400 + 7, 4000000000))


@pytest.fixture(scope="module", name="reported")
def with_sign_ins():
    keep_off_midnight()
    port = free_port()
    with Bridge(CONFIG.format(port=port), {"partners.csv": PARTNERS}) as bridge:
        bridge.port = port
        bridge.ctl("users", "create", "root-user", "--profile", "administrator")
        bridge.ctl("users", "create", "rita", "--profile", "reporter")
        for name in ("anna", "ben", "carl", "dora", "emil", "gina"):
            bridge.ctl("users", "create", name, "--profile", "member")
        bridge.ctl("users", "create", "paul", "--profile", "reporter", "--organization", "partners")
        bridge.ctl("sync")
        for user, kind, name in (("anna", "role", "seller"), ("anna", "role", "helper"), ("anna", "persona", "hunter"),
                                 ("ben", "role", "seller"), ("dora", "role", "helper"), ("far", "role", "helper")):
            bridge.ctl("users", "grant", user, kind, name)
        bridge.ctl("users", "disable", "emil")
        for role in ("admin", "analyst", "developer"):  # the shipped ones
            bridge.ctl("roles", "delete", role)
        control = Control(bridge.folder / "control.sock")
        tell(control, {"user": "anna", "feature": "export", "count": 3}, {"user": "anna", "feature": "import"},
             {"user": "ben", "feature": "export", "at": day(8)}, {"user": "far", "feature": "export"})
        tell(control, {"user": "anna", "feature": "pay"}, application="billing")
        control.close()
        bridge.ctl("users", "disable", "gina")
        bridge.ctl("users", "delete", "gina")
        bridge.stop()
        with sqlite3.connect(bridge.folder / "store.db") as store:
            put_sign_ins(store)
            store.execute("INSERT INTO feature_use (user, day, feature, n) SELECT user, ?, feature, 5 FROM feature_use",
                          (day_number(45),))
        bridge.start()
        yield bridge


@pytest.fixture(name="asking")
def connect_reported(reported):
    control = Control(reported.folder / "control.sock")
    yield control
    control.close()


def report(control, name, status=200, **query):
    got, answer = control.ask("GET", f"reports/{name}?" + "&".join(f"{key.rstrip('_')}={value}"
                                                                   for key, value in query.items()))
    assert got == status, answer
    return check(answer, f"/api/v1/reports/{name}") if status == 200 else answer


def groups(answer, *members):
    return {group["name"]: tuple(group[member] for member in members) for group in answer["groups"]}


def test_old_days_are_forgotten(reported):
    """But for the last one on which somebody signed in. By the timer, which begins at the start."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with sqlite3.connect(f"file:{reported.folder / 'store.db'}?mode=ro", uri=True) as store:
            old = store.execute("SELECT u.username, s.day FROM sign_in s JOIN user u ON u.id = s.user WHERE day < ?",
                                (day_number(30),)).fetchall()
            uses, = store.execute("SELECT count(*) FROM feature_use WHERE day < ?", (day_number(30),)).fetchone()
        if old == [("dora", day_number(40))] and uses == 0:
            return
        time.sleep(0.02)
    raise AssertionError((old, uses))


def test_sign_ins_by_what_people_hold(asking):
    answer = report(asking, "sign-ins", by="role")
    assert (answer["by"], answer["from"], answer["to"]) == ("role", day(29), day(0))
    assert answer["all"] == {"people": 3, "sign_ins": 13}
    assert groups(answer, "people", "sign_ins") == {"seller": (2, 8), "helper": (2, 11), "forgotten": (0, 0)}
    answer = report(asking, "sign-ins", by="profile")
    assert groups(answer, "people", "sign_ins")["member"] == (2, 8)
    assert groups(answer, "people", "sign_ins")["administrator"] == (0, 0)
    assert groups(report(asking, "sign-ins", by="persona"), "people", "sign_ins") == {"hunter": (1, 6), "nobodys": (0, 0)}
    # Who is in it by two roles counts once.
    assert groups(report(asking, "sign-ins", by="classification"), "people", "sign_ins") == \
        {"Sales": (2, 8), "Support": (2, 11)}
    assert groups(report(asking, "sign-ins", by="segment"), "people", "sign_ins") == \
        {"Banking": (2, 8), "Retail": (3, 13), "a-people": (2, 11), "sellers": (2, 8), "lately": (3, 13)}


def test_sign_ins_over_time(asking):
    answer = report(asking, "sign-ins", by="role", from_=day(9), to=day(0), every="day")
    helper, = [group for group in answer["groups"] if group["name"] == "helper"]
    assert [(p["from"], p["to"], p["people"], p["sign_ins"]) for p in helper["periods"]] == \
        [(day(9), day(9), 1, 3), (day(2), day(2), 1, 5), (day(1), day(1), 1, 1), (day(0), day(0), 1, 2)]
    assert answer["all"]["periods"][-1]["people"] == 2
    assert "periods" not in report(asking, "sign-ins", by="role")["all"]
    for every in ("week", "month"):
        answer = report(asking, "sign-ins", by="role", from_=day(60), every=every)
        periods = answer["all"]["periods"]
        assert sum(period["sign_ins"] for period in periods) == answer["all"]["sign_ins"] == 14
        for period in periods:
            start = datetime.date.fromisoformat(period["from"])
            assert period["from"] == day(60) or (start.weekday() == 0 if every == "week" else start.day == 1)
    # A day at either end counts.
    assert report(asking, "sign-ins", by="role", from_=day(2), to=day(2))["all"] == {"people": 1, "sign_ins": 5}
    assert report(asking, "sign-ins", by="role", from_=day(8), to=day(3))["all"] == {"people": 0, "sign_ins": 0}


def test_feature_use(asking):
    answer = report(asking, "feature-use", by="role")
    assert groups(answer, "people", "uses") == {"seller": (2, 6), "helper": (2, 6), "forgotten": (0, 0)}
    assert answer["all"] == {"people": 3, "uses": 7}
    assert groups(report(asking, "feature-use", by="application"), "people", "uses") == {"crm": (3, 6), "billing": (1, 1)}
    assert groups(report(asking, "feature-use", by="feature"), "people", "uses") == \
        {"crm/export": (3, 5), "crm/import": (1, 1), "billing/pay": (1, 1)}
    assert groups(report(asking, "feature-use", by="role", application="crm", feature="export"), "people", "uses") == \
        {"seller": (2, 4), "helper": (2, 4), "forgotten": (0, 0)}
    assert report(asking, "feature-use", by="feature", application="none")["groups"] == []
    assert report(asking, "feature-use", by="role", feature="none")["all"] == {"people": 0, "uses": 0}
    weeks = report(asking, "feature-use", by="feature", every="day", from_=day(8))
    export, = [group for group in weeks["groups"] if group["name"] == "crm/export"]
    assert [(p["from"], p["people"], p["uses"]) for p in export["periods"]] == [(day(8), 1, 1), (day(0), 2, 4)]


def test_adoption(asking):
    answer = report(asking, "adoption", by="role")
    shares = groups(answer, "holders", "signed_in", "signed_in_share", "used", "used_share")
    assert shares["seller"] == (2, 2, 1, 2, 1)
    assert shares["helper"] == (3, 2, 0.6667, 2, 0.6667)
    assert shares["forgotten"] == (0, 0, None, 0, None)
    # emil is disabled: nobody of the report.
    assert groups(report(asking, "adoption", by="profile", from_=day(7)), "holders", "signed_in", "used")["member"] == \
        (4, 2, 1)
    assert groups(report(asking, "adoption", by="persona", feature="pay"), "holders", "used")["hunter"] == (1, 1)
    assert groups(report(asking, "adoption", by="persona", feature="pay", application="crm"),
                  "holders", "used")["hunter"] == (1, 0)


def test_unused(asking):
    unused = report(asking, "unused")["unused"]
    assert [(one["kind"], one["name"], one["reason"], one["holders"]) for one in unused] == \
        [("role", "forgotten", "nobody-holds-it", 0), ("persona", "nobodys", "nobody-holds-it", 0)]
    assert all(one["last_sign_in"] is None for one in unused)
    # Of seller and helper somebody signed in today.
    assert len(report(asking, "unused", days=1)["unused"]) == 2


def test_inactive(asking):
    answer = report(asking, "inactive", days=10)
    found = {user["username"]: user["last_sign_in"] for user in answer["users"]}
    assert found == {"root-user": None, "rita": None, "carl": None, "paul": None, "dora": day(40) + "T00:00:07Z"}
    assert answer["next"] is None
    names = {user["username"] for user in report(asking, "inactive", days=10, include_disabled="true")["users"]}
    assert names == {*found, "emil"}
    assert "dora" not in {user["username"] for user in report(asking, "inactive", days=41)["users"]}
    # Page by page: the same people.
    after, paged = 0, []
    while after is not None:
        page = report(asking, "inactive", days=10, limit=2, after=after)
        paged += [user["username"] for user in page["users"]]
        after = page["next"]
    assert paged == [user["username"] for user in answer["users"]]


def csv_of(control, path, accept=None):
    control.request("GET", "/api/v1/reports/" + path, headers={"Accept": accept} if accept else {})
    response = control.getresponse()
    text = response.read().decode()
    assert (response.status, response.headers["Content-Type"]) == (200, "text/csv; charset=utf-8"), text
    return [line.split(",") for line in text.split("\r\n")[:-1]]


def test_as_csv(asking):
    assert csv_of(asking, "sign-ins?by=role&format=csv") == [
        ["by", "name", "from", "to", "people", "sign_ins"], ["all", "", day(29), day(0), "3", "13"],
        ["role", "forgotten", day(29), day(0), "0", "0"], ["role", "helper", day(29), day(0), "2", "11"],
        ["role", "seller", day(29), day(0), "2", "8"]]
    rows = csv_of(asking, f"sign-ins?by=persona&every=day&from={day(1)}", "text/csv")
    assert [row for row in rows if row[0] == "persona"] == [
        ["persona", "hunter", day(1), day(1), "1", "1"], ["persona", "hunter", day(0), day(0), "1", "2"]]
    assert ["role", "helper", "3", "2", "0.6667", "2", "0.6667"] in csv_of(asking, "adoption?by=role&format=csv")
    assert csv_of(asking, "unused?format=csv") == [["kind", "name", "reason", "holders", "last_sign_in"],
                                                   ["role", "forgotten", "nobody-holds-it", "0", ""],
                                                   ["persona", "nobodys", "nobody-holds-it", "0", ""]]
    rows = csv_of(asking, "inactive?days=10&format=csv")
    assert [row[1] for row in rows] == ["username", "root-user", "rita", "carl", "dora", "paul"]
    assert [row[8] for row in rows if row[1] == "dora"] == [day(40) + "T00:00:07Z"]


def test_no_formulas_in_csv(asking):
    tell(asking, {"user": "carl", "feature": "=1+1"}, application="odd")
    rows = csv_of(asking, "feature-use?by=feature&application=odd&format=csv")
    assert rows[2][:2] == ["feature", "odd/=1+1"]  # the name begins with the application
    asking.ask("POST", "users", {"username": "formula", "display_name": "=cmd|calc", "profile": "member"})
    assert ["'=cmd|calc"] == [row[3] for row in csv_of(asking, "inactive?days=1&format=csv") if row[1] == "formula"]
    asking.ask("POST", "users/formula/disable", {})
    assert asking.ask("DELETE", "users/formula")[0] == 200


def test_of_ones_own_organization(reported, asking):
    web = Web(reported.port)
    paul = token(asking, name="paul", user="paul", scope=["reports:read@all"])
    rita = token(asking, name="rita", user="rita", scope=["reports:read@all"])
    try:
        status, answer = web.ask("GET", "reports/sign-ins?by=role", token=paul)
        assert status == 200 and answer["all"] == {"people": 1, "sign_ins": 5}
        status, answer = web.ask("GET", "reports/sign-ins?by=role&organization=default", token=paul)
        assert (status, answer["code"], answer["field"]) == (404, "not-found", "organization")
        status, answer = web.ask("GET", "reports/sign-ins?by=role", token=rita)
        assert status == 200 and answer["all"] == {"people": 2, "sign_ins": 8}
        billing = token(asking, name="billing", service="billing", application="billing", scope=["reports:read@all"])
        status, answer = web.ask("GET", "reports/feature-use?by=feature", token=billing)
        assert status == 200 and groups(answer, "people", "uses") == {"billing/pay": (1, 1)}
        status, answer = web.ask("GET", "reports/adoption?by=persona&application=crm", token=billing)
        assert (status, answer["code"], answer["field"]) == (404, "not-found", "application")
        # People are for those who may read them.
        status, answer = web.ask("GET", "reports/inactive", token=rita)
        assert (status, answer["code"]) == (403, "not-allowed")
        status, answer = web.ask("GET", "reports/inactive?format=csv", token=rita)
        assert (status, answer["code"]) == (403, "not-allowed")
    finally:
        web.close()
    assert report(asking, "sign-ins", by="role", organization="partners")["all"] == {"people": 1, "sign_ins": 5}
    assert {user["username"] for user in report(asking, "inactive", organization="partners")["users"]} == {"paul"}
    assert report(asking, "sign-ins", by="role", organization="nowhere")["all"] == {"people": 0, "sign_ins": 0}


@pytest.mark.parametrize("name, query, field", [
    ("sign-ins", {}, "by"), ("sign-ins", {"by": "shoe"}, "by"), ("sign-ins", {"by": "feature"}, "by"),
    ("adoption", {"by": "application"}, "by"), ("sign-ins", {"by": "role", "every": "hour"}, "every"),
    ("sign-ins", {"by": "role", "from": "2026-02-30"}, "from"), ("sign-ins", {"by": "role", "to": "today"}, "to"),
    ("sign-ins", {"by": "role", "from": "1970-01-01"}, "from"), ("sign-ins", {"by": "role", "to": "1960-01-01"}, "to"),
    ("sign-ins", {"by": "role", "from": "2026-03-02", "to": "2026-03-01"}, "from"),
    ("sign-ins", {"by": "role", "from": "2020-01-01", "to": "2026-01-01", "every": "day"}, "every"),
    ("sign-ins", {"by": "role", "format": "xml"}, "format"), ("sign-ins", {"by": "role", "feature": "x"}, "feature"),
    ("feature-use", {"by": "role", "days": "3"}, "days"), ("unused", {"days": "0"}, "days"),
    ("unused", {"by": "role"}, "by"), ("inactive", {"days": "x"}, "days"), ("inactive", {"limit": "1001"}, "limit"),
    ("inactive", {"after": "-1"}, "after"), ("inactive", {"include_disabled": "yes"}, "include_disabled"),
])
def test_bad_questions(asking, name, query, field):
    got, answer = asking.ask("GET", f"reports/{name}?" + "&".join(f"{key}={value}" for key, value in query.items()))
    assert got in (400, 422) and answer["field"] == field, answer


# --- on a terminal ---


def lines(bridge, *words):
    done = bridge.human(*words)
    assert done.returncode == 0, done.stderr
    return [line.split() for line in done.stdout.splitlines()]


def test_tables(reported):
    table = lines(reported, "report", "sign-ins")
    assert table[0][:3] == [day(29), "to", day(0) + ","]
    assert ["helper", "2", "11"] in table and table[-1] == ["(everybody)", "3", "13"]
    table = lines(reported, "report", "sign-ins", "--by", "persona", "--every", "day", "--from", day(1))
    assert ["hunter", day(1), day(1), "1", "1"] in table
    assert ["crm/import", "1", "1"] in lines(reported, "report", "feature-use", "--by", "feature")
    assert ["billing", "1", "1"] in lines(reported, "report", "feature-use", "--by", "application", "--feature", "pay")
    table = lines(reported, "report", "adoption", "--by", "role")
    assert ["helper", "3", "2", "67", "%", "2", "67", "%"] in table
    assert ["forgotten", "0", "0", "-", "0", "-"] in table
    assert ["persona", "nobodys", "nobody", "holds", "it", "0", "never"] in lines(reported, "report", "unused")
    table = lines(reported, "report", "inactive", "--days", "10")
    assert sorted(row[0] for row in table[1:]) == ["carl", "dora", "paul", "rita", "root-user"]
    assert "emil" in {row[0] for row in lines(reported, "report", "inactive", "--include-disabled")}
    done = reported.human("report", "inactive", "--days", "10", "--limit", "2")
    assert len(done.stdout.splitlines()) == 3 and "--after" in done.stderr


def test_other_formats(reported):
    assert reported.ctl("report", "sign-ins", "--by", "role")["all"] == {"people": 3, "sign_ins": 13}
    assert reported.ctl("report", "inactive", "--days", "10", "--limit", "2")["next"]
    as_json = reported.human("report", "adoption", "--format", "json")
    assert json.loads(as_json.stdout)["by"] == "role"
    done = reported.human("report", "unused", "--format", "csv")
    assert done.stdout.splitlines()[0] == "kind,name,reason,holders,last_sign_in"
    assert len(reported.human("report", "inactive", "--days", "10", "--format", "csv").stdout.splitlines()) == 6
    for words in (("sign-ins", "--format", "xml"), ("inactive", "--limit", "0")):
        done = reported.human("report", *words)
        assert (done.returncode, done.stdout) == (2, "")
    done = reported.human("report", "sign-ins", "--by", "shoe")
    assert done.returncode == 1 and "profile" in done.stderr
