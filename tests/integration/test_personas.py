"""What is known of personas: research, answers, reviews, links; by API and by command."""
import concurrent.futures
import datetime
import json
import sqlite3
import subprocess

import pytest

from access import Web
from bridge import DAEMON, Bridge, Refused
from control import Control
from ports import free_port
from test_control import check, whoami
from test_web import APP, RULES, World, eventually

CONFIG = """
public_url: "http://127.0.0.1:{port}"
listeners: [{{address: "127.0.0.1:{port}"}}]
profiles:
  - {{name: administrator, permissions: ["*:*@all"]}}
  - {{name: member, permissions: ["accounts:read@own", "personas:validate@own", "tokens:create@own"]}}
  - {{name: researcher, permissions: ["personas:read@all", "personas:update@all", "personas:validate@own"]}}
  - {{name: reader, permissions: ["personas:read@all"]}}
  - {{name: owner, permissions: ["personas:*@all"]}}
  - {{name: nothing, permissions: ["accounts:read@own"]}}
segments: [All]
organizations: [{{name: partners}}]
personas:
  - {{name: filed, title: "Fay, from a file", primary: true, objectives: [Order], frustrations: [Paper],
      watering_holes: [Library], technical_sophistication: low, review_due: {filed_due}}}
  - {{name: plain, title: Pat, objectives: [Peace], frustrations: [Noise], watering_holes: [Park],
      technical_sophistication: high}}
rules:
  - {{id: fays, when: "(departmentNumber=7)", grant: {{personas: [filed]}}}}
policy: {{default_profile: member}}
sources:
  - {{name: staff, type: csv, path: staff.csv, key: id, interval: 0, attributes: [uid, mail, departmentNumber]}}
"""
STAFF = "id,uid,mail,departmentNumber\n1,anna,anna@x.example,7\n2,ben,ben@x.example,8\n"
PERSONA = {"name": "lead", "title": "Alex, the lead", "primary": True, "objectives": ["Short queues"],
           "frustrations": ["Three tools"], "watering_holes": ["Support forum"], "technical_sophistication": "medium"}


def today():
    return datetime.datetime.now(datetime.timezone.utc).date()


TODAY = today()


def config(port, filed_due="2099-01-01"):
    return CONFIG.format(port=port, filed_due=filed_due)


def year_after(day):
    return (datetime.date(day.year + 1, 3, 1) if (day.month, day.day) == (2, 29)
            else day.replace(year=day.year + 1)).isoformat()


def next_years():
    """A year from now, should midnight pass meanwhile."""
    return {year_after(TODAY), year_after(today())}


@pytest.fixture(scope="module")
def bridge():
    port = free_port()
    with Bridge(config(port), {"staff.csv": STAFF}) as bridge:
        bridge.port = port
        bridge.ctl("users", "create", "root-user", "--profile", "administrator")
        for name in ("researcher", "reader", "nothing"):
            bridge.ctl("users", "create", name, "--profile", name)
        bridge.ctl("users", "create", "paula", "--organization", "partners", "--profile", "researcher")
        bridge.ctl("users", "create", "petra", "--organization", "partners", "--profile", "owner")
        bridge.ctl("sync")
        scopes = {"anna": "personas:validate@own", "ben": "personas:validate@own", "researcher": "personas:*@all",
                  "reader": "personas:read@all", "nothing": "accounts:read@own", "paula": "personas:*@all",
                  "petra": "personas:*@all"}
        bridge.tokens = {name: bridge.ctl("tokens", "create", "t", "--user", name, "--scope", scope)["token"]
                         for name, scope in scopes.items()}
        yield bridge


TEMPLATES = {"research": "{id}", "validations": "{id}", "links": "{id}", "reviews": "{id}"}


def template(path):
    """The path as the OpenAPI document has it."""
    parts = path.split("?")[0].split("/")
    if parts[0] == "me":
        return "/api/v1/" + "/".join(parts[:2] + ["{name}"] * (len(parts) > 2) + parts[3:])
    if parts[0] == "personas" and len(parts) > 1:
        parts[1] = "{name}"
        if len(parts) > 3:
            parts[3] = "{id}"
    return "/api/v1/" + "/".join(parts)


class Api(Control):
    def good(self, method, path, body=None, status=None):
        got, answer = self.ask(method, path, body)
        assert got in ([status] if status else [200, 201]), answer
        return check(answer, template(path), method.lower(), str(got))

    def bad(self, method, path, body=None):
        got, answer = self.ask(method, path, body)
        assert 400 <= got < 500, answer
        return got, answer["code"], answer.get("field")


@pytest.fixture(name="api")
def connect(bridge):
    api = Api(bridge.folder / "control.sock")
    yield api
    api.close()


class As(Web):
    """The API as one of the people."""

    def __init__(self, bridge, name):
        super().__init__(bridge.port)
        self.token = bridge.tokens[name]

    def good(self, method, path, body=None, status=None):
        got, answer = self.ask(method, path, body, token=self.token)
        assert got in ([status] if status else [200, 201]), answer
        return check(answer, template(path), method.lower(), str(got))

    def bad(self, method, path, body=None):
        got, answer = self.ask(method, path, body, token=self.token)
        assert 400 <= got < 500, answer
        return got, answer["code"]


@pytest.fixture(name="person")
def people(bridge):
    made = []

    def person(name):
        made.append(As(bridge, name))
        return made[-1]

    yield person
    for one in made:
        one.close()


@pytest.fixture(name="lead")
def make_lead(bridge, api):
    """A persona of the store that all organizations share, gone afterwards."""
    api.good("POST", "personas", dict(PERSONA, organization="*"), status=201)
    yield "lead"
    for user in bridge.ctl("users", "list", "--grant", "persona:lead")["users"]:
        bridge.ctl("users", "revoke", user["username"], "persona", "lead")
    api.good("DELETE", "personas/lead")


def audit_rows(bridge, action, persona="lead"):
    return bridge.ctl("audit", "list", "--action", action, "--object", "persona:" + persona, "--limit", "1000")["rows"]


def codes(warnings):
    return [w["code"] for w in warnings]


# --- definitions: all of it is asked for ---


@pytest.mark.parametrize("field", [f for f in PERSONA if f != "primary"])
def test_all_is_required(api, field):
    assert api.bad("POST", "personas", {k: v for k, v in PERSONA.items() if k != field}) == \
        (422, "invalid-request", field)
    empty = [] if isinstance(PERSONA[field], list) else ""
    assert api.bad("POST", "personas", dict(PERSONA, **{field: empty}))[::2] == (422, field)
    if isinstance(PERSONA[field], list):
        assert api.bad("POST", "personas", dict(PERSONA, **{field: ["good", ""]}))[::2] == (422, field + "[1]")
    assert api.bad("GET", "personas/lead")[0] == 404


def test_nothing_is_known_at_first(api, lead):
    shown = api.good("GET", "personas/lead")
    assert shown["research"] == {"entries": 0, "interviews": 0, "tickets": 0, "usage": 0, "crm": 0}
    assert shown["validations"] == {"yes": 0, "partly": 0, "no": 0} and not shown["validated"]
    assert shown["review_due"] in next_years() and not shown["review_overdue"]
    assert (shown["reviewed"], shown["reviewed_by"], shown["links"]) == (None, None, 0)
    assert codes(shown["warnings"]) == ["insufficient-research"]
    # A secondary one is not expected to rest on interviews.
    changed = api.good("PATCH", "personas/lead", {"primary": False})
    assert changed["warnings"] == [] == changed["definition"]["warnings"]
    assert codes(api.good("PATCH", "personas/lead", {"primary": True})["warnings"]) == ["insufficient-research"]


# --- research ---


def test_research(bridge, api, lead):
    for n in range(11):
        api.good("POST", "personas/lead/research", {"kind": "interview"}, status=201)
    assert codes(api.good("GET", "personas/lead")["warnings"]) == ["insufficient-research"]
    made = api.good("POST", "personas/lead/research", {
        "kind": "interview", "at": "2026-03-04", "count": 1, "note": "Häufig unterbrochen",
        "link": "https://notes.example/12?q=1#a"}, status=201)
    assert {k: v for k, v in made.items() if k not in ("id", "actor")} == {
        "kind": "interview", "at": "2026-03-04", "count": 1, "note": "Häufig unterbrochen",
        "link": "https://notes.example/12?q=1#a"}
    assert made["actor"] == "unix:" + whoami()
    shown = api.good("GET", "personas/lead")
    assert shown["warnings"] == [] and shown["research"]["interviews"] == 12
    listed = next(p for p in api.good("GET", "personas?limit=1000")["personas"] if p["name"] == "lead")
    assert listed == shown
    api.good("POST", "personas/lead/research", {"kind": "ticket", "count": 40})
    api.good("POST", "personas/lead/research", {"kind": "usage", "count": 1000000})
    api.good("POST", "personas/lead/research", {"kind": "crm"})
    assert api.good("GET", "personas/lead")["research"] == \
        {"entries": 15, "interviews": 12, "tickets": 40, "usage": 1000000, "crm": 1}

    page, seen = api.good("GET", "personas/lead/research?limit=4"), []
    while True:
        seen += [e["id"] for e in page["research"]]
        if page["next"] is None:
            break
        page = api.good("GET", f"personas/lead/research?limit=4&after={page['next']}")
    assert len(seen) == 15 and seen == sorted(set(seen))
    tickets = api.good("GET", "personas/lead/research?kind=ticket")["research"]
    assert [t["count"] for t in tickets] == [40]
    assert tickets[0]["at"] in {day.isoformat() for day in (TODAY, today())}
    assert tickets[0]["link"] is None and tickets[0]["note"] == ""

    path = f"personas/lead/research/{made['id']}"
    assert api.good("DELETE", path) == {"removed": True}
    assert api.bad("DELETE", path)[:2] == (404, "not-found")
    assert api.good("GET", "personas/lead")["research"]["interviews"] == 11
    rows = audit_rows(bridge, "persona.research-add")
    assert len([r for r in rows if (r["detail"]["after"] or {}).get("id", 0) >= seen[0]]) == 15
    row = [r for r in rows if r["detail"]["after"]["id"] == made["id"]][0]
    assert row["detail"] == {"before": None, "after": {
        "id": made["id"], "kind": "interview", "at": "2026-03-04T00:00:00Z", "count": 1,
        "note": "Häufig unterbrochen", "url": "https://notes.example/12?q=1#a"}}
    gone = [r for r in audit_rows(bridge, "persona.research-remove") if r["detail"]["before"]["id"] == made["id"]]
    assert len(gone) == 1 and gone[0]["detail"]["after"] is None
    bridge.ctl("audit", "verify")


def test_research_by_command(bridge, lead):
    made = bridge.ctl("personas", "research", "add", "lead", "interview", "--count", "12", "--at", "2026-01-31",
                      "--note", "Twelve at once", "--link", "http://x.example/a")
    check(made, "/api/v1/personas/{name}/research", "post", "201")
    listed = bridge.ctl("personas", "research", "list", "lead", "--kind", "interview")
    assert listed["research"] == [made]
    assert bridge.ctl("personas", "show", "lead")["research"]["interviews"] == 12
    text = bridge.human("personas", "research", "list", "lead").stdout
    assert "Twelve at once" in text and "2026-01-31" in text
    text = bridge.human("personas", "show", "lead").stdout
    assert "interviews 12" in text and "insufficient" not in text
    bridge.ctl("personas", "research", "remove", "lead", str(made["id"]))
    assert "insufficient-research" in bridge.human("personas", "show", "lead").stdout
    with pytest.raises(Refused) as refused:
        bridge.ctl("personas", "research", "add", "lead", "dream")
    assert refused.value.status == 1 and json.loads(refused.value.output)["field"] == "kind"
    assert bridge.run("personas", "research", "add", "lead", "ticket", "--count", "many").returncode == 2


# --- validations ---


def test_validations(bridge, api, lead):
    made = api.good("POST", "personas/lead/validations", {"user": "ben", "answer": "no", "comment": "Not me"}, status=201)
    assert made["user"]["username"] == "ben" and made["respondent"] is None and made["comment"] == "Not me"
    again = api.good("POST", "personas/lead/validations", {"user": "ben@x.example", "answer": "yes"}, status=200)
    assert again["user"] == made["user"] and again["comment"] == ""
    for n in range(3):
        api.good("POST", "personas/lead/validations", {"respondent": f"Guest {n}", "answer": "yes"}, status=201)
    api.good("POST", "personas/lead/validations", {"respondent": "Guest 0", "answer": "yes"}, status=200)
    other = api.good("POST", "personas/lead/validations", {"respondent": "Guest 9", "answer": "partly"})
    shown = api.good("GET", "personas/lead")
    assert shown["validations"] == {"yes": 4, "partly": 1, "no": 0} and not shown["validated"]
    api.good("POST", "personas/lead/validations", {"user": "anna", "answer": "yes"})
    shown = api.good("GET", "personas/lead")
    assert shown["validations"]["yes"] == 5 and shown["validated"]
    everything = api.good("GET", "personas/lead/validations")["validations"]
    assert [v["user"]["username"] if v["user"] else v["respondent"] for v in everything] == \
        ["ben", "Guest 1", "Guest 2", "Guest 0", "Guest 9", "anna"]
    assert [v["id"] for v in api.good("GET", "personas/lead/validations?answer=partly")["validations"]] == [other["id"]]
    api.good("DELETE", f"personas/lead/validations/{everything[0]['id']}")
    shown = api.good("GET", "personas/lead")
    assert shown["validations"]["yes"] == 4 and not shown["validated"]
    # Answers are people's own: the log that nothing can be taken from has none of them.
    rows = audit_rows(bridge, "persona.validate") + audit_rows(bridge, "persona.validation-remove")
    assert rows and all(set(part) == {"id"} for r in rows for part in r["detail"].values() if part)


def test_validations_by_command(bridge, lead):
    made = bridge.ctl("personas", "validations", "add", "lead", "partly", "--respondent", "Kim of Acme",
                      "--comment", "Half of it")
    listed = bridge.ctl("personas", "validations", "list", "lead")
    check(listed, "/api/v1/personas/{name}/validations")
    assert listed["validations"] == [made]
    text = bridge.human("personas", "validations", "list", "lead").stdout
    assert "Kim of Acme" in text and "Half of it" in text
    bridge.ctl("personas", "validations", "remove", "lead", str(made["id"]))
    assert bridge.ctl("personas", "validations", "list", "lead", "--answer", "partly")["validations"] == []


def test_own_answer(bridge, api, person, lead):
    anna, ben, reader = person("anna"), person("ben"), person("researcher")
    # Who does not hold it does not learn that it is there.
    assert anna.good("GET", "me/personas")["personas"][0]["name"] == "filed"
    assert anna.bad("PUT", "me/personas/lead/validation", {"answer": "yes"}) == (404, "not-found")
    assert anna.bad("PUT", "me/personas/nothing-of-it/validation", {"answer": "yes"}) == (404, "not-found")
    assert anna.bad("DELETE", "me/personas/lead/validation") == (404, "not-found")
    bridge.ctl("users", "grant", "anna", "persona", "lead")
    held = {p["name"]: p for p in anna.good("GET", "me/personas")["personas"]}
    assert set(held) == {"filed", "lead"} and held["lead"]["objectives"] == PERSONA["objectives"]
    assert (held["lead"]["answer"], held["lead"]["comment"], held["lead"]["answered"]) == (None, None, None)
    made = anna.good("PUT", "me/personas/lead/validation", {"answer": "partly", "comment": "Mostly"}, status=201)
    assert made["user"]["username"] == "anna"
    anna.good("PUT", "me/personas/lead/validation", {"answer": "yes"}, status=200)
    held = {p["name"]: p for p in anna.good("GET", "me/personas")["personas"]}
    assert (held["lead"]["answer"], held["lead"]["comment"]) == ("yes", "") and held["lead"]["answered"]
    assert api.good("GET", "personas/lead")["validations"] == {"yes": 1, "partly": 0, "no": 0}
    # A person's answer is one, whoever noted it.
    api.good("POST", "personas/lead/validations", {"user": "anna", "answer": "no"}, status=200)
    anna.good("DELETE", "me/personas/lead/validation")
    assert anna.bad("DELETE", "me/personas/lead/validation") == (404, "not-found")
    assert api.good("GET", "personas/lead")["validations"] == {"yes": 0, "partly": 0, "no": 0}
    # Who may read all of them may answer without holding one.
    reader.good("PUT", "me/personas/lead/validation", {"answer": "no"}, status=201)
    assert ben.good("GET", "me/personas")["personas"] == []
    # Nobody answers as root, and who may not may not.
    assert api.bad("PUT", "me/personas/lead/validation", {"answer": "yes"})[:2] == (403, "not-allowed")
    assert api.bad("GET", "me/personas")[:2] == (403, "not-allowed")
    assert person("nothing").bad("PUT", "me/personas/lead/validation", {"answer": "yes"}) == (403, "not-allowed")
    assert person("nothing").bad("GET", "me/personas") == (403, "not-allowed")
    rows = [r for r in audit_rows(bridge, "persona.validate") if r["actor"].startswith("user:")]
    assert len(rows) >= 3


# --- reviews ---


def test_review(bridge, api):
    api.good("POST", "personas", dict(PERSONA, name="late", review_due="2020-01-31"))
    try:
        assert api.good("GET", "personas/late")["review_overdue"]
        overdue = [p["name"] for p in api.good("GET", "personas?overdue=true")["personas"]]
        assert overdue == ["late"]
        status = bridge.ctl("status")
        check(status, "/api/v1/status")
        assert status["personas"]["overdue"] == 1 and status["personas"]["total"] == 3
        assert status["personas"]["insufficient_research"] == 2 and status["personas"]["primary"] == 2
        assert "1 persona(s) overdue" in bridge.human("status").stdout
        assert "rolebridge_personas_review_overdue 1" in metrics(bridge)
        assert "late" in bridge.human("personas", "list", "--overdue").stdout
        assert "filed" not in bridge.human("personas", "list", "--overdue").stdout
        assert "persona-review-overdue" in codes(bridge.ctl("reload")["diagnostics"])

        made = bridge.ctl("personas", "review", "late", "--note", "Still right")
        check(made, "/api/v1/personas/{name}/reviews", "post", "201")
        assert made["next_due"] in next_years() and made["note"] == "Still right"
        shown = api.good("GET", "personas/late")
        assert shown["review_due"] == made["next_due"] and not shown["review_overdue"]
        assert shown["reviewed"] == made["at"] and shown["reviewed_by"] == "unix:" + whoami()
        assert api.good("GET", "personas?overdue=true")["personas"] == []
        assert bridge.ctl("status")["personas"]["overdue"] == 0
        assert "rolebridge_personas_review_overdue 0" in metrics(bridge)
        assert "persona-review-overdue" not in codes(bridge.ctl("reload")["diagnostics"])
        # What is set by hand afterwards holds, what is left alone does not come back.
        assert api.good("PATCH", "personas/late", {"title": "New"})["definition"]["review_due"] == made["next_due"]
        assert api.good("PATCH", "personas/late", {"review_due": "2021-05-06"})["definition"]["review_due"] == "2021-05-06"
        assert api.good("GET", "personas/late")["review_overdue"]
        second = api.good("POST", "personas/late/reviews", {"next_due": "2031-02-03"}, status=201)
        assert api.good("GET", "personas/late")["review_due"] == "2031-02-03"
        assert api.good("GET", "personas/late/reviews")["reviews"] == [made, second]
        assert "Still right" in bridge.human("personas", "reviews", "late").stdout
        # Nothing said: a year after the last review.
        assert api.good("PATCH", "personas/late", {"review_due": None})["definition"]["review_due"] in next_years()
        rows = {row["detail"]["after"]["id"]: row["detail"] for row in audit_rows(bridge, "persona.review", "late")}
        assert rows[made["id"]] == {"before": None, "after": {
            "id": made["id"], "next_due": made["next_due"] + "T00:00:00Z", "note": "Still right"}}
        assert second["id"] in rows
    finally:
        api.good("DELETE", "personas/late")


def metrics(bridge):
    web = Web(bridge.port)
    try:
        web.connection.request("GET", "/metrics", headers={"Host": web.host})
        return web.connection.getresponse().read().decode()
    finally:
        web.close()


def test_review_of_a_file(bridge, api):
    """Records stand in the store; they override an earlier day of the file, and not a later one."""
    try:
        bridge.write_config(config(bridge.port, "2020-01-31"))
        assert "persona-review-overdue" in codes(bridge.ctl("reload")["diagnostics"])
        assert [p["name"] for p in api.good("GET", "personas?overdue=true")["personas"]] == ["filed"]
        made = bridge.ctl("personas", "review", "filed")
        shown = api.good("GET", "personas/filed")
        assert shown["review_due"] == made["next_due"] and shown["origin"] == "file"
        assert "persona-review-overdue" not in codes(bridge.ctl("reload")["diagnostics"])
        bridge.kill()
        bridge.start()
        api.close()
        assert api.good("GET", "personas/filed")["review_due"] == made["next_due"]
    finally:
        bridge.write_config(config(bridge.port))
        bridge.ctl("reload")
    assert api.good("GET", "personas/filed")["review_due"] == "2099-01-01"
    # One of a file that says nothing is due a year after it was first seen.
    assert api.good("GET", "personas/plain")["review_due"] in next_years() | {None}


def test_check_warns(bridge):
    """The daemon's check and reload know what the store knows."""
    findings = bridge.ctl("reload")["diagnostics"]
    assert [f["code"] for f in findings if "filed" in f["message"]] == ["insufficient-research"]
    checked = subprocess.run([DAEMON, "--config", bridge.config, "--check"], capture_output=True, text=True, check=True)
    assert "'filed' rests on 0 interviews" in checked.stderr
    bridge.ctl("personas", "research", "add", "filed", "interview", "--count", "12")
    assert [f for f in bridge.ctl("reload")["diagnostics"] if "filed" in f["message"]] == []
    checked = subprocess.run([DAEMON, "--config", bridge.config, "--check"], capture_output=True, text=True, check=True)
    assert "'filed'" not in checked.stderr
    listed = bridge.ctl("personas", "research", "list", "filed")["research"]
    bridge.ctl("personas", "research", "remove", "filed", str(listed[-1]["id"]))


# --- links ---


def test_links(bridge, api, lead):
    made = api.good("POST", "personas/lead/links",
                    {"kind": "story", "title": "As a lead, I …", "url": "https://tracker.example/STORY-1"}, status=201)
    assert api.bad("POST", "personas/lead/links", {"kind": "ticket", "title": "x", "url": made["url"]}) == \
        (409, "name-taken", "url")
    bridge.ctl("personas", "links", "add", "lead", "review", "http://wiki.example:8080/r/7", "Review in May")
    assert [l["kind"] for l in api.good("GET", "personas/lead/links")["links"]] == ["story", "review"]
    assert api.good("GET", "personas/lead")["links"] == 2
    assert bridge.ctl("personas", "links", "list", "lead", "--kind", "story")["links"] == [made]
    assert "Review in May" in bridge.human("personas", "links", "list", "lead").stdout
    bridge.ctl("personas", "links", "remove", "lead", str(made["id"]))
    assert api.good("GET", "personas/lead")["links"] == 1
    assert len(audit_rows(bridge, "persona.link-remove")) >= 1


ADDRESSES_REFUSED = ["", "x", "javascript:alert(1)", "ftp://x.example/", "https://", "https:///a", "http://:80/",
                     "https://a b/", "https://user:pass@x.example/", "https://x.example/\\a", "HTTPS//x", "data:text/html,x",
                     "https://x.example/ü", "https://x.example/<", 'https://x.example/"', "https://x.example/" + "a" * 2048,
                     "//x.example/", " https://x.example/", "https://x.example/\n", "https://x@y.example"]


@pytest.mark.parametrize("address", ADDRESSES_REFUSED, ids=range(len(ADDRESSES_REFUSED)))
def test_addresses_refused(api, lead, address):
    assert api.bad("POST", "personas/lead/links", {"kind": "story", "title": "t", "url": address}) == \
        (422, "invalid-request", "url")
    if address:
        assert api.bad("POST", "personas/lead/research", {"kind": "ticket", "link": address}) == \
            (422, "invalid-request", "link")
    shown = api.good("GET", "personas/lead")
    assert shown["links"] == 0 == shown["research"]["entries"]


# --- what they belong to ---


def test_gone_with_the_persona(bridge, api):
    api.good("POST", "personas", dict(PERSONA, name="gone"))
    api.good("POST", "personas/gone/research", {"kind": "interview", "count": 12})
    api.good("POST", "personas/gone/validations", {"respondent": "A", "answer": "yes"})
    api.good("POST", "personas/gone/reviews", {"next_due": "2030-01-01"})
    api.good("POST", "personas/gone/links", {"kind": "story", "title": "t", "url": "https://x.example/"})
    # An update keeps them, a refused end too.
    api.good("PATCH", "personas/gone", {"title": "Other"})
    api.good("DELETE", "personas/gone?dry_run=true")
    assert api.good("GET", "personas/gone")["research"]["interviews"] == 12
    api.good("DELETE", "personas/gone")
    row, = audit_rows(bridge, "persona.delete", "gone")
    assert row["detail"]["records"] == 4
    assert api.bad("GET", "personas/gone/research")[0] == 404
    assert api.bad("POST", "personas/gone/research", {"kind": "crm"})[0] == 404
    api.good("POST", "personas", dict(PERSONA, name="gone"))
    shown = api.good("GET", "personas/gone")
    assert shown["research"]["entries"] == 0 == shown["links"] and shown["validations"]["yes"] == 0
    assert shown["reviewed"] is None and shown["review_due"] in next_years()
    for kind in TEMPLATES:
        assert api.good("GET", f"personas/gone/{kind}")[kind] == []
    api.good("DELETE", "personas/gone")
    assert sorted(r["detail"]["records"] for r in audit_rows(bridge, "persona.delete", "gone")) == [0, 4]


def test_of_files(bridge, api):
    made = api.good("POST", "personas/plain/research", {"kind": "crm", "note": "of a file"})
    assert api.good("GET", "personas/plain")["research"]["crm"] == 1
    bridge.ctl("reload")
    assert [e["id"] for e in api.good("GET", "personas/plain/research")["research"]] == [made["id"]]
    api.good("DELETE", f"personas/plain/research/{made['id']}")


def test_bounded(bridge, api, lead):
    """Ten thousand entries, and not one more: the rest of them are put there behind the daemon's back."""
    api.good("POST", "personas/lead/research", {"kind": "ticket"})
    store = sqlite3.connect(bridge.folder / "store.db", timeout=60)
    store.execute("UPDATE persona SET entries = 10000, links = 1000, reviews = 1000, yes = 9999 WHERE name = 'lead'")
    store.commit()
    store.close()
    assert api.bad("POST", "personas/lead/research", {"kind": "ticket"})[:2] == (409, "too-many-records")
    assert api.bad("POST", "personas/lead/reviews", {})[:2] == (409, "too-many-records")
    assert api.bad("POST", "personas/lead/links", {"kind": "story", "title": "t", "url": "https://x.example/"})[:2] == \
        (409, "too-many-records")
    api.good("POST", "personas/lead/validations", {"respondent": "last", "answer": "no"}, status=201)
    assert api.bad("POST", "personas/lead/validations", {"respondent": "more", "answer": "no"})[:2] == \
        (409, "too-many-records")
    # Who answered already may still change their mind.
    api.good("POST", "personas/lead/validations", {"respondent": "last", "answer": "yes"}, status=200)


def test_many_at_once(bridge, api, lead):
    """Records of many clients: each once, each counted; of one person's answers one is left."""
    def work(n):
        mine = Api(bridge.folder / "control.sock")
        try:
            for i in range(20):
                mine.good("POST", "personas/lead/research", {"kind": "interview", "count": 2})
                mine.good("POST", "personas/lead/validations", {"user": "anna", "answer": ["yes", "partly", "no"][i % 3]})
                mine.good("POST", "personas/lead/validations", {"respondent": f"{n}", "answer": "yes"})
            return True
        finally:
            mine.close()

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))
    shown = api.good("GET", "personas/lead")
    assert shown["research"]["entries"] == 160 and shown["research"]["interviews"] == 320
    assert sum(shown["validations"].values()) == 9 == len(api.good("GET", "personas/lead/validations")["validations"])
    bridge.ctl("audit", "verify")


# --- who may ---


def test_permissions(bridge, person, api, lead):
    reader, nothing, researcher, paula = (person(n) for n in ("reader", "nothing", "researcher", "paula"))
    bodies = {"research": {"kind": "crm"}, "validations": {"respondent": "x", "answer": "yes"}, "reviews": {},
              "links": {"kind": "story", "title": "t", "url": "https://x.example/"}}
    for kind, body in bodies.items():
        assert nothing.bad("GET", f"personas/lead/{kind}") == (403, "not-allowed")
        assert nothing.bad("POST", f"personas/lead/{kind}", body) == (403, "not-allowed")
        assert reader.good("GET", f"personas/lead/{kind}")[kind] == []
        assert reader.bad("POST", f"personas/lead/{kind}", body) == (403, "not-allowed")
        # This one all organizations share: people of one of them do not note for all, nor read what is noted.
        assert paula.bad("POST", f"personas/lead/{kind}", body) == (403, "not-allowed")
        if kind != "validations":
            assert paula.bad("GET", f"personas/lead/{kind}") == (403, "not-allowed")
        made = researcher.good("POST", f"personas/lead/{kind}", body, status=201)
        if kind != "reviews":
            assert reader.bad("DELETE", f"personas/lead/{kind}/{made['id']}") == (403, "not-allowed")
            assert paula.bad("DELETE", f"personas/lead/{kind}/{made['id']}") == (403, "not-allowed")
            researcher.good("DELETE", f"personas/lead/{kind}/{made['id']}")
    shown = api.good("GET", "personas/lead")
    assert shown["research"]["entries"] == 0 == shown["links"] and shown["validations"]["yes"] == 0


def test_answers_end_at_the_organization(bridge, person, api, lead):
    api.good("POST", "personas/lead/validations", {"user": "anna", "answer": "yes", "comment": "Only for us"})
    api.good("POST", "personas/lead/validations", {"respondent": "Kim", "answer": "yes"})
    api.good("POST", "personas/lead/validations", {"user": "paula", "answer": "yes"})
    seen = {name: [v["user"]["username"] if v["user"] else v["respondent"]
                   for v in person(name).good("GET", "personas/lead/validations")["validations"]]
            for name in ("reader", "paula")}
    assert seen == {"reader": ["anna", "Kim"], "paula": ["paula"]}
    # Nobody is told who there is elsewhere.
    assert person("researcher").bad("POST", "personas/lead/validations", {"user": "paula", "answer": "no"}) == \
        (404, "not-found")


def test_of_an_organization(bridge, person, api, lead):
    """A persona that one organization has is its own, with all that is known of it."""
    petra, paula, researcher = person("petra"), person("paula"), person("researcher")
    made = petra.good("POST", "personas", dict(PERSONA, name="theirs"), status=201)
    assert made["definition"]["organization"] == "partners"
    assert codes(made["warnings"]) == ["insufficient-research"]
    for kind, body in RECORDS.items():
        record = paula.good("POST", f"personas/theirs/{kind}", body, status=201)
        assert [r["id"] for r in petra.good("GET", f"personas/theirs/{kind}")[kind]] == [record["id"]]
        assert researcher.bad("GET", f"personas/theirs/{kind}") == (404, "not-found")
        assert researcher.bad("POST", f"personas/theirs/{kind}", body) == (404, "not-found")
        if kind != "reviews":
            assert researcher.bad("DELETE", f"personas/theirs/{kind}/{record['id']}") == (404, "not-found")
    assert researcher.bad("PUT", "me/personas/theirs/validation", {"answer": "no"}) == (404, "not-found")
    paula.good("PUT", "me/personas/theirs/validation", {"answer": "yes"}, status=201)
    shown = petra.good("GET", "personas/theirs")
    assert shown["validations"]["yes"] == 2 and shown["reviewed_by"].startswith("user:")
    assert api.good("GET", "personas/theirs/validations")["validations"][1]["user"]["username"] == "paula"
    # Of one that all share, who reviewed it is not theirs to know.
    api.good("POST", "personas/lead/reviews", {})
    assert paula.good("GET", "personas/lead")["reviewed_by"] is None
    assert researcher.good("GET", "personas/lead")["reviewed_by"]
    assert researcher.bad("DELETE", "personas/theirs")[0] in (403, 404)
    # How many primary ones there are elsewhere is no concern of others.
    for n in range(3):
        api.good("POST", "personas", dict(PERSONA, name=f"ours-{n}", organization="default"))
    more = [petra.good("POST", "personas", dict(PERSONA, name=f"theirs-{n}"), status=201) for n in range(2)]
    assert [codes(m["warnings"]) for m in more] == [["insufficient-research"]] * 1 + [["insufficient-research"]] or         "persona-proliferation" not in codes(more[0]["warnings"])
    assert "persona-proliferation" in codes(petra.good("POST", "personas", dict(PERSONA, name="theirs-2"))["warnings"])
    for name in ("ours-0", "ours-1", "ours-2", "theirs-0", "theirs-1", "theirs-2"):
        api.good("DELETE", "personas/" + name)
    petra.good("DELETE", "personas/theirs")


# --- bad input ---

RECORDS = {
    "research": {"kind": "ticket", "at": "2026-01-31", "count": 2, "note": "n", "link": "https://x.example/"},
    "validations": {"respondent": "Kim", "answer": "yes", "comment": "c"},
    "reviews": {"note": "n", "next_due": "2030-01-31"},
    "links": {"kind": "story", "title": "t", "url": "https://x.example/"},
}
REQUIRED = {"research": ["kind"], "validations": ["answer"], "reviews": [], "links": ["kind", "title", "url"]}
SIZES = {"kind": 16, "answer": 16, "note": 4096, "comment": 4096, "title": 256, "respondent": 256, "url": 2048,
         "link": 2048, "user": 320, "at": 10, "next_due": 10}


@pytest.mark.parametrize("kind", RECORDS)
def test_bad_fields(api, lead, kind):
    path, body = f"personas/lead/{kind}", RECORDS[kind]
    for field in body:
        for wrong in (7 if field != "count" else "seven", [], {}, True):
            assert api.bad("POST", path, dict(body, **{field: wrong})) == (422, "invalid-request", field), wrong
        if field == "count":
            for wrong in (0, -1, 1000001, 1.5):
                assert api.bad("POST", path, dict(body, count=wrong)) == (422, "invalid-request", "count"), wrong
            continue
        for wrong in ("x" * (SIZES[field] + 1), "a\nb", "a\u0007", "a\u007f"):
            assert api.bad("POST", path, dict(body, **{field: wrong})) == (422, "invalid-request", field), wrong
    for field in REQUIRED[kind]:
        for wrong in ({k: v for k, v in body.items() if k != field}, dict(body, **{field: None}),
                      dict(body, **{field: ""})):
            assert api.bad("POST", path, wrong) == (422, "invalid-request", field), wrong
    assert api.bad("POST", path, dict(body, colour="red")) == (422, "invalid-request", "colour")
    assert api.bad("POST", path, [])[0] in (400, 422)
    assert api.bad("POST", f"personas/nobody/{kind}", body)[:2] == (404, "not-found")
    for query in ("limit=0", "limit=1001", "limit=x", "after=-1", "colour=red"):
        assert api.bad("GET", f"{path}?{query}")[::2] == (422, query.split("=")[0])
    assert api.good("GET", path)[kind] == []
    for wrong in ("0", "-1", "x", "1x", "99999999999999999999", "%00"):
        if kind != "reviews":
            assert api.bad("DELETE", f"{path}/{wrong}")[0] in (400, 404)


@pytest.mark.parametrize("body, field", [
    ({"kind": "dream"}, "kind"), ({"kind": "ticket", "at": "2026-02-30"}, "at"), ({"kind": "ticket", "at": "soon"}, "at"),
    ({"kind": "ticket", "at": "2999-01-01"}, "at"), ({"kind": "ticket", "at": ""}, "at")])
def test_bad_research(api, lead, body, field):
    assert api.bad("POST", "personas/lead/research", body) == (422, "invalid-request", field)


@pytest.mark.parametrize("body, field", [
    ({"next_due": "2020-01-31"}, "next_due"), ({"next_due": "2999-01-01"}, "next_due"), ({"next_due": "soon"}, "next_due")])
def test_bad_review(api, lead, body, field):
    assert api.bad("POST", "personas/lead/reviews", body) == (422, "invalid-request", field)


@pytest.mark.parametrize("body, expected", [
    ({"answer": "yes"}, (422, "invalid-request", "user")),
    ({"answer": "yes", "user": "anna", "respondent": "Kim"}, (422, "invalid-request", "user")),
    ({"answer": "perhaps", "user": "anna"}, (422, "invalid-request", "answer")),
    ({"answer": "yes", "user": "nobody-of-that-name"}, (404, "not-found", "user"))])
def test_bad_validation(api, lead, body, expected):
    assert api.bad("POST", "personas/lead/validations", body) == expected


def test_a_record_of_another_persona(api, lead):
    made = api.good("POST", "personas/plain/links", {"kind": "story", "title": "t", "url": "https://x.example/"})
    assert api.bad("DELETE", f"personas/lead/links/{made['id']}")[0] == 404
    assert api.bad("DELETE", f"personas/plain/research/{made['id']}")[0] == 404
    api.good("DELETE", f"personas/plain/links/{made['id']}")


# --- who has one: by rule, by hand, in bulk ---


def personas_of(bridge, user):
    return sorted((g["name"], g["origin"]["kind"]) for g in bridge.ctl("users", "show", user)["grants"]
                  if g["kind"] == "persona")


def test_assign(bridge, api, lead):
    assert personas_of(bridge, "anna") == [("filed", "rule")]
    bridge.ctl("users", "grant", "ben", "persona", "lead")
    assert personas_of(bridge, "ben") == [("lead", "hand")]
    run = bridge.ctl("personas", "assign", "lead", "--users", "anna,ben,researcher", "--dry-run")
    assert (run["result"]["done"], run["result"]["unchanged"], run["result"]["failed"]) == (2, 1, 0)
    assert personas_of(bridge, "researcher") == []
    run = bridge.ctl("personas", "assign", "lead", "--users", "anna,ben,researcher")
    assert (run["result"]["done"], run["result"]["unchanged"], run["result"]["failed"]) == (2, 1, 0)
    assert personas_of(bridge, "anna") == [("filed", "rule"), ("lead", "hand")]
    assert api.good("GET", "personas/lead")["holders"] == 3
    # One that is refused stops no other, and what a rule gave stays.
    (bridge.folder / "names.txt").write_text("anna\nnobody-there\nben\n")
    result = bridge.run("personas", "unassign", "lead", "--file", str(bridge.folder / "names.txt"))
    assert result.returncode == 1
    assert personas_of(bridge, "anna") == [("filed", "rule")] and personas_of(bridge, "ben") == []
    bridge.ctl("personas", "unassign", "lead", "--filter", "(uid=researcher)")
    bridge.run("personas", "unassign", "filed", "--users", "anna")
    assert personas_of(bridge, "anna") == [("filed", "rule")]
    assert "say whom" in bridge.human("personas", "assign", "lead").stderr
    with pytest.raises(Refused):
        bridge.ctl("personas", "assign", "unheard-of", "--users", "anna")
    assert bridge.human("personas", "assign", "lead", "--users", "anna").stdout.count("1 done") == 1


# --- personas say who people are, not what they may do ---

NAMED_LIKE_POWER = """
personas:
  - {name: administrator, title: Ada, objectives: [a], frustrations: [b], watering_holes: [c], technical_sophistication: low}
  - {name: auditor, title: Otto, objectives: [a], frustrations: [b], watering_holes: [c], technical_sophistication: low}
  - {name: cashier, title: Kay, objectives: [a], frustrations: [b], watering_holes: [c], technical_sophistication: low}
"""


def test_personas_allow_nothing():
    """Also those that are called like a profile or a role: neither /auth nor decide nor the API see any of it."""
    with World(rules=RULES + NAMED_LIKE_POWER) as world:
        anna = world.visitor()
        anna.sign_in("anna", ["staff"])
        anna.enter(APP + "/page")
        anna.enter("https://wiki.example.com/")
        control = Control(world.bridge.folder / "control.sock")
        urls = [APP + "/page", "https://wiki.example.com/", "https://wiki.example.com/admin/", "https://books.example.com/",
                "https://vault.example.com/", "https://safe.example.com/"]
        permissions = ["accounts:read", "cases:read", "cases:close", "users:create", "personas:read"]

        def allowed():
            answers = [control.ask("POST", "decide", {"user": "anna", "permission": p})[1] for p in permissions]
            return ([anna.auth(url, keep=False).status_code for url in urls], [a["decision"] for a in answers],
                    [anna.auth(APP + "/page", keep=False).headers.get(h) for h in ("Remote-Profile", "Remote-Roles")])

        before = allowed()
        assert before[0][0] == 200 and before[1] == ["allow"] + ["deny"] * 4 and before[2][0] == "member"
        for persona in ("administrator", "auditor", "cashier"):
            world.bridge.ctl("users", "grant", "anna", "persona", persona)
        assert eventually(lambda: anna.auth(APP + "/page", keep=False).headers.get("Remote-Personas") ==
                          "administrator,auditor,cashier")
        assert allowed() == before
        for persona in ("administrator", "auditor", "cashier"):
            world.bridge.ctl("users", "revoke", "anna", "persona", persona)
        assert eventually(lambda: not anna.auth(APP + "/page", keep=False).headers.get("Remote-Personas"))
        assert allowed() == before
        control.close()
