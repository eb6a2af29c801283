"""What people use, as applications tell it, and what reports make of it and of sign-ins."""
import datetime
import json
import sqlite3

import pytest

from access import Web
from bridge import Bridge
from control import Control
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
TODAY = datetime.datetime.now(datetime.timezone.utc).date()


def day(ago):
    return (TODAY - datetime.timedelta(days=ago)).isoformat()


def day_number(ago):
    return (TODAY - datetime.date(1970, 1, 1)).days - ago


@pytest.fixture(scope="module")
def bridge():
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


@pytest.fixture(name="control")
def connect_control(bridge):
    control = Control(bridge.folder / "control.sock")
    yield control
    control.close()


@pytest.fixture(name="web")
def connect(bridge):
    web = Web(bridge.port)
    yield web
    web.close()


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
    status, answer = web.ask("POST", "events", {**own, "application": "billing"}, crm)
    assert (status, answer["code"]) == (404, "not-found")
    status, answer = web.ask("POST", "events", own, reader)
    assert (status, answer["code"]) == (403, "not-allowed")
    assert web.ask("POST", "events", own)[0] == 401


def test_features_are_bounded(control):
    events = [{"user": "anna", "feature": f"f{i}"} for i in range(1001)]
    answer = tell(control, *events, application="many")
    assert (answer["accepted"], answer["refused"]) == (1000, 1)
    assert answer["problems"][0]["code"] == "too-many-features"
    assert tell(control, events[5], application="many")["accepted"] == 1
