"""An administrator of one organization against everything of another: each route that the API document names.

What is of the other one begins with "zz". What begins with "yy" is nobody's, and both must look the same.
"""
import copy
import json
import re

import pytest
import yaml

from access import Web
from bridge import ROOT, Bridge
from control import Control
from ports import free_port
from properties import Maker, operations

DOCUMENT = yaml.safe_load((ROOT / "schemas" / "openapi.yaml").read_text())
OPERATIONS = operations(DOCUMENT)

CONFIG = """
public_url: "http://127.0.0.1:{port}"
listeners: [{{address: "127.0.0.1:{port}"}}]
mail: {{url: "smtp://127.0.0.1:1", from: bridge@x.example}}
profiles:
  - {{name: administrator, permissions: ["*:*@all"]}}
  - {{name: viewer, permissions: ["notes:read@own"]}}
segments: [All]
organizations: [{{name: partners}}]
policy: {{default_profile: viewer}}
targets: [{{name: zz-hook, type: webhook, url: "https://127.0.0.1:1/", secret_files: [/nowhere/secret]}}]
sources:
  - {{name: zz-staff, type: csv, path: staff.csv, key: id, interval: 0, attributes: [uid, mail, displayName, title]}}
  - {{name: partners, type: csv, path: partners.csv, key: id, interval: 0, organization: partners,
      attributes: [uid, mail, displayName, title]}}
"""
FILES = {"staff.csv": "id,uid,mail,displayName,title\nzz-1,zz-near,zz-near@x.example,Near,zz-boss\n",
         "partners.csv": "id,uid,mail,displayName,title\n1,far,far@y.example,Far,Seller\n"}
ROLE = {"classifications": ["Sales"], "segments": ["All"], "permissions": ["notes:read@own"]}
PERSONA = {"title": "T", "objectives": ["a"], "frustrations": ["b"], "watering_holes": ["c"],
           "technical_sophistication": "low", "primary": True}


class World:
    def __init__(self, bridge, port):
        self.bridge, self.web, self.control = bridge, Web(port), Control(bridge.folder / "control.sock")
        self.ids = {}

    def close(self):
        self.web.close()
        self.control.close()

    def good(self, method, path, body=None):
        status, answer = self.control.ask(method, path, body)
        assert status < 300, (method, path, status, answer)
        return answer

    def boss(self, method, path, body=None):
        """The administrator of the other organization."""
        return self.web.ask(method, path, body, token=self.token)

    def define(self, prefix, organization):
        """One of each of what belongs to an organization."""
        good, own = self.good, {"organization": organization}
        good("POST", "roles", dict(ROLE, name=prefix + "role", **own))
        good("POST", "profiles", {"name": prefix + "profile", "permissions": ["notes:read@own"], **own})
        good("POST", "personas", dict(PERSONA, name=prefix + "persona", **own))
        good("POST", "segments", {"name": prefix + "segment", "filter": "(username=*)", **own})
        good("POST", "rules", {"id": prefix + "rule", "when": "(title=*)", "grant": {"roles": [prefix + "role", "both"]}, **own})
        plan = good("POST", f"rules/{prefix}rule/activate?dry_run=true", {})["plan"]
        good("POST", f"rules/{prefix}rule/activate", {"plan": plan})
        good("POST", "rules", {"id": prefix + "draft", "when": "(title=*)", "grant": {"roles": [prefix + "role"]}, **own})
        for name, profile in (("anna", "viewer"), ("root", "administrator")):
            good("POST", "users", {"username": prefix + name, "email": f"{prefix}{name}@z.example", "profile": profile, **own})
        for kind, name in (("role", "role"), ("persona", "persona")):
            good("POST", f"users/{prefix}anna/grants", {"kind": kind, "name": prefix + name})

    def populate(self):
        """What the organization `default` has."""
        good, ids = self.good, self.ids
        self.define("zz-", "default")
        ids["user"] = good("GET", "users/zz-anna")["id"]
        good("PUT", "resources/zz-app/accounts/zz-acct", {"owner": "zz-anna", "title": "zz-title"})
        good("PUT", "resources/zz-app/tasks/zz-task", {"parent": {"type": "accounts", "id": "zz-acct"}})
        good("PUT", "references/zz-app/zz-kind/zz-ref", {"user": "zz-anna", "label": "zz-label"})
        good("PUT", "users/zz-anna/accounts/zz-app/zz-acct")
        good("POST", "events", {"application": "zz-app", "events": [{"user": "zz-anna", "feature": "zz-feature"}]})
        ids["token"] = good("POST", "tokens", {"name": "zz-token", "user": "zz-anna"})["id"]
        good("POST", "tokens", {"name": "zz-service-token", "service": "zz-service", "scope": ["users:read@all"]})
        ids["invite"] = good("POST", "invites", {"email": "zz-new@z.example", "profile": "zz-profile"})["id"]
        ids["research"] = good("POST", "personas/zz-persona/research", {"kind": "interview", "note": "zz-said"})["id"]
        ids["link"] = good("POST", "personas/zz-persona/links", {"kind": "story", "url": "https://zz.example/", "title": "zz-story"})["id"]
        ids["validation"] = good("POST", "personas/zz-persona/validations", {"user": "zz-anna", "answer": "yes"})["id"]
        token = good("POST", "tokens", {"name": "zz-root", "user": "zz-root"})["token"]
        status, started = self.web.ask("POST", "import/users", {"users": [{"username": "zz-imported", "external_id": "zz-ext"}]},
                                       token=token)
        assert status == 202, started
        ids["run"] = started["run"]
        while self.web.ask("GET", "runs/" + ids["run"] + "?wait_ms=5000", token=token)[1]["state"] == "running":
            pass

    def snapshot(self):
        """All of the organization `default`, by the socket."""
        def pages(path, member):
            found, after = [], ""
            while True:
                answer = self.good("GET", f"{path}{'&' if '?' in path else '?'}limit=1000{after}")
                found += answer[member]
                if not answer.get("next"):
                    return found
                after = f"&after={answer['next']}"
        made = {member: [one for one in pages(path, member)] for path, member in (
            ("users?organization=default", "users"), ("tokens?all=true", "tokens"), ("invites?organization=default", "invites"),
            ("resources?application=zz-app", "resources"), ("references?application=zz-app", "references"))}
        made["tokens"] = [t for t in made["tokens"] if t["organization"] == "default"]
        # What time alone changes.
        for one in made["tokens"] + made["invites"]:
            for member in ("used", "mailed", "mail_problem"):
                one.pop(member, None)
        made["details"] = [self.good("GET", "users/" + u["id"]) for u in made["users"]]
        for plural in ("roles", "profiles", "personas", "segments"):
            made[plural] = [{k: v for k, v in d.items() if k != "holders"} for d in pages(plural, plural)
                            if d.get("organization") != "partners"]
        rules = self.good("GET", "rules")
        made["rules"] = [r for r in rules["rules"] if r.get("organization") != "partners"]
        made["drafts"] = [r for r in rules["drafts"] if r.get("organization") != "partners"]
        made["persona"] = {part: self.good("GET", "personas/zz-persona/" + part)
                           for part in ("research", "links", "validations", "reviews")}
        made["accounts"] = self.good("GET", "users/zz-anna/accounts")
        made["factors"] = self.good("GET", "users/zz-anna/factors")
        made["second factor"] = self.good("GET", "second-factor/default")
        return made


@pytest.fixture(scope="module")
def world():
    port = free_port()
    with Bridge(CONFIG.format(port=port), FILES) as bridge:
        world = World(bridge, port)
        world.good("POST", "users", {"username": "boss", "profile": "administrator", "organization": "partners"})
        world.token = world.good("POST", "tokens", {"name": "t", "user": "boss"})["token"]
        bridge.ctl("sync")
        world.good("POST", "roles", dict(ROLE, name="both", organization="*"))
        world.define("bb-", "partners")
        world.before = {str(o): look(world, o) for o in OPERATIONS if lists(o)}
        world.populate()
        yield world
        world.close()


@pytest.mark.parametrize("path, body", [("sealing-key/rotate", None), ("sealing-key/reseal", None),
                                        ("sealing-key/forget-unused", None), ("backups", None),
                                        ("restored/release", {"sign_in": True, "delivery": True})])
def test_of_the_daemon_as_a_whole(world, path, body):
    status, answer = world.boss("POST", path, body)
    assert (status, answer["code"]) == (403, "not-allowed")


def lists(operation):
    return operation.method == "GET" and "{" not in operation.path and operation.path != "/api/v1/me"


QUERIES = {"/api/v1/sessions": "?user=boss", "/api/v1/reports/sign-ins": "?by=role", "/api/v1/reports/feature-use": "?by=feature",
           "/api/v1/reports/adoption": "?by=persona"}
TIMES = re.compile(r'"[0-9]{4}-[0-9]{2}-[0-9]{2}T[^"]*"|"request_id": ?"[^"]*"|"used": ?(null|"[^"]*")')


def look(world, operation):
    path = operation.path.removeprefix("/api/v1/") + QUERIES.get(operation.path, "")
    status, answer = world.boss("GET", path)
    return status, TIMES.sub("", answer if isinstance(answer, str) else json.dumps(answer))


@pytest.mark.parametrize("operation", [o for o in OPERATIONS if lists(o)], ids=str)
def test_lists_and_counts(world, operation):
    """What another organization has changes nothing of what one reads."""
    after = look(world, operation)
    assert "zz" not in after[1]
    assert after == world.before[str(operation)]


OWN = ["users/bb-anna", "users/bb-anna/why", "users/bb-anna/why?grant=both", "users/far/why?grant=both", "users/bb-anna/accounts",
       "roles/bb-role", "profiles/bb-profile", "personas/bb-persona", "personas/bb-persona/validations", "segments/bb-segment",
       "segments/bb-segment/count", "segments/bb-segment/users", "rules/bb-rule", "rules/bb-draft", "roles/both", "me",
       "users/bb-anna/factors", "second-factor/partners", "second-factor/partners/locked-out", "me/factors", "me/devices"]


@pytest.mark.parametrize("path", OWN)
def test_what_is_ones_own_tells_of_nobody_else(world, path):
    status, answer = world.boss("GET", path)
    assert status == 200 and "zz" not in json.dumps(answer), answer


# --- by name ---


NAMES = {"profiles": "zz-profile", "roles": "zz-role", "personas": "zz-persona", "segments": "zz-segment"}
NOBODY = "01234567-89ab-7def-8123-456789abcdef"


def targets(world, operation):
    """Paths of things of the other organization, and of what is not there."""
    path, ids = operation.path.removeprefix("/api/v1/"), world.ids
    first = path.split("/")[0]
    if first == "second-factor":
        yield path.replace("{organization}", "default"), path.replace("{organization}", "nowhere")
        return
    if "{id}" in path and first in ("tokens", "invites", "runs", "plans", "alarms", "sessions", "backups"):
        real = ids.get(first[:-1], NOBODY if first != "alarms" and first != "sessions" else "999999")
        yield path.replace("{id}", real), path.replace("{id}", NOBODY if "-" in real else "999998")
        return
    if "research/{id}" in path or "links/{id}" in path or "validations/{id}" in path:
        kind = path.split("/")[2]
        path = path.replace("{id}", str(ids[{"research": "research", "links": "link", "validations": "validation"}[kind]]))
    whole = (path.replace("{user}", "zz-anna").replace("{name}", NAMES.get(first, "zz-role")).replace("{kind}", "role"
             if first == "users" else "zz-kind").replace("{source}", "zz-staff").replace("{key}", "zz-1")
             .replace("{application}", "zz-app").replace("{type}", "accounts").replace("{factor}", NOBODY)
             .replace("{device}", NOBODY).replace("{target}", "zz-hook"))
    whole = whole.replace("{id}", {"rules": "zz-rule", "references": "zz-ref"}.get(first, "zz-acct"))
    if first == "me":
        whole = whole.replace("zz-role", "zz-persona")
    yield whole, whole.replace("zz-", "yy-")
    if first == "rules":
        yield whole.replace("zz-rule", "zz-draft"), whole.replace("zz-rule", "yy-draft")
    if first == "users" and "{user}" in path:
        yield whole.replace("zz-anna", ids["user"]), whole.replace("zz-anna", NOBODY).replace("zz-", "yy-")
        # Somebody of one's own, and what the other one has.
        if whole.count("zz-") > 1:
            yield whole.replace("zz-anna", "bb-anna"), whole.replace("zz-anna", "bb-anna").replace("zz-", "yy-")


# Of what a body may name, by field.
FIELDS = {"user": "zz-anna", "users": ["zz-anna"], "to": "zz-anna", "owner": "zz-anna", "role": "zz-role", "roles": ["zz-role"],
          "profile": "zz-profile", "personas": ["zz-persona"], "segment": "zz-segment", "application": "zz-app",
          "external_id": "zz-ext", "rule": "zz-rule", "rules": ["zz-rule"], "source": "zz-staff", "groups": ["zz-group"]}
WHOLE = {
    "POST /api/v1/users/bulk": [{"action": "disable", "users": ["zz-anna"]}, {"action": "delete", "segment": "zz-segment"},
                                {"action": "grant", "users": ["bb-anna"], "kind": "role", "name": "zz-role"}],
    "POST /api/v1/users/{user}/grants": [{"kind": "role", "name": "zz-role"}, {"kind": "persona", "name": "zz-persona"},
                                         {"kind": "profile", "name": "zz-profile"}],
    "POST /api/v1/import/users": [{"users": [{"username": "bb-anna", "roles": ["zz-role"]}]},
                                  {"users": [{"external_id": "zz-ext", "display_name": "x"}]}],
    "POST /api/v1/events": [{"application": "crm", "events": [{"user": "zz-anna", "feature": "x"}]}],
    "POST /api/v1/rules": [{"id": "bb-x", "when": "(&)", "grant": {"roles": ["zz-role"]}},
                           {"id": "bb-x", "when": "(&)", "deny": {"profile": "zz-profile"}},
                           {"id": "bb-x", "when": "(&)", "grant": {"personas": ["zz-persona"]}}],
    "POST /api/v1/rules/order": [{"rules": ["zz-rule"]}, {"rules": ["bb-rule", "zz-rule"]}],
    "POST /api/v1/roles": [dict(ROLE, name="bb-x", segments=["zz-segment"])],
    "POST /api/v1/roles/bulk-update": [{"roles": [{"role": "zz-role", "classifications": ["Sales"]}]}],
    "POST /api/v1/tokens": [{"name": "x", "user": "zz-anna"}],
    "POST /api/v1/login-links": [{"user": "zz-root"}, {"user": "zz-anna", "local": True}],
    "POST /api/v1/invites": [{"email": "new@y.example", "roles": ["zz-role"]}, {"email": "new@y.example", "profile": "zz-profile"}],
    "POST /api/v1/decide": [{"user": "zz-anna", "permission": "notes:read"},
                            {"user": "zz-anna", "permission": "accounts:read",
                             "resource": {"application": "zz-app", "type": "accounts", "id": "zz-acct"}}],
    "POST /api/v1/decide/list": [{"user": "zz-anna", "permission": "accounts:read", "application": "zz-app", "type": "accounts"}],
    "POST /api/v1/users/{user}/reassign": [{"to": "bb-root"}, {"to": "zz-root"}],
    "POST /api/v1/users/{user}/move": [{"organization": "partners"}, {"organization": "default"}],
    "PUT /api/v1/references/{application}/{kind}/{id}": [{"user": "zz-anna"}, {"user": "bb-anna"}],
    "PUT /api/v1/resources/{application}/{type}/{id}": [{"owner": "zz-anna"}, {"parent": {"type": "accounts", "id": "zz-acct"}}, {}],
    "POST /api/v1/resources/{application}": [{"resources": [{"type": "accounts", "id": "zz-acct", "owner": "bb-anna"}]}],
}
# Names are the whole instance's: that something is there shows where one takes it, and nothing else does.
TAKEN = ("PUT /api/v1/references/", "PUT /api/v1/resources/", "POST /api/v1/resources/")


def swapped(value):
    return json.loads(json.dumps(value).replace("zz-", "yy-"))


def bodies(operation):
    if str(operation) in WHOLE:
        return WHOLE[str(operation)]
    if not operation.body:
        return [None]
    made = Maker(operation, 1).value(operation.body, full=False)
    name = operation.path.split("/")[3]
    if isinstance(made, dict):
        for member in made:
            made[member] = copy.deepcopy(FIELDS.get(member, made[member]))
        if "{name}" in operation.path and "name" in made and operation.method == "PUT":
            made["name"] = NAMES[name]
        if "{id}" in operation.path and "id" in made:
            made["id"] = "zz-rule"
    return [made]


def answer_of(world, method, path, body):
    status, answer = world.boss(method, path, body)
    if status == 202 and "run" in answer:
        shown = {"state": "running"}
        while shown.get("state") == "running":
            shown = world.boss("GET", f"runs/{answer['run']}?wait_ms=5000")[1]
        return status, json.dumps(shown.get("result"))
    return status, TIMES.sub("", answer if isinstance(answer, str) else json.dumps(answer))


def is_named(operation):
    return "{" in operation.path or str(operation) in WHOLE


@pytest.mark.parametrize("operation", [o for o in OPERATIONS if is_named(o)], ids=str)
def test_by_name(world, operation):
    """It is as if it were not there, and stays as it is."""
    before = world.snapshot()
    for there, absent in targets(world, operation):
        for body in bodies(operation):
            found = answer_of(world, operation.method, there, body)
            if str(operation).startswith(TAKEN):
                assert 400 <= found[0] < 500 or "not-found" in found[1], (operation.method, there, body, found)
                continue
            missing = answer_of(world, operation.method, absent, swapped(body))
            said = found[1].replace(there, absent)
            for one, other in (("zz-", "yy-"), (world.ids["user"], NOBODY), ("999999", "999998")):
                said = said.replace(one, other)
            what = (operation.method, there, body, found, missing)
            assert (found[0], said) == (missing[0], missing[1]), what
            if operation.method == "GET":
                assert found[0] >= 400, what
    assert world.snapshot() == before


def test_every_operation_is_asked():
    """What stands in the document and names something of an organization is asked for above."""
    free = {str(o) for o in OPERATIONS if not is_named(o) and not lists(o)}
    # About oneself; of the daemon as a whole, which is not for whoever belongs to another organization than "default".
    free = {one for one in free if " /api/v1/me" not in one and " /api/v1/sealing-key/" not in one
            and " /api/v1/backups" not in one and " /api/v1/restored/" not in one}
    assert free == {"POST /api/v1/check", "POST /api/v1/reload", "POST /api/v1/sync", "POST /api/v1/plan",
                    "POST /api/v1/users", "POST /api/v1/profiles", "POST /api/v1/personas", "POST /api/v1/segments",
                    "POST /api/v1/sources", "POST /api/v1/invites/accept"}, free


ELSEWHERE = [
    ("users", {"username": "zz-new", "profile": "viewer"}), ("users", {"username": "zz-new", "profile": "zz-profile"}),
    ("invites", {"email": "new@y.example", "profile": "viewer"}),
    ("invites", {"email": "new@y.example", "profile": "zz-profile"}),
    ("invites", {"email": "new@y.example", "profile": "viewer", "roles": ["zz-role"]}),
    ("import/users", {"username": "zz-new"}), ("import/users", {"username": "zz-new", "profile": "zz-profile"}),
    ("import/users", {"username": "zz-new", "roles": ["zz-role"]}), ("import/users", {"username": "bb-anna"}),
    ("import/users", {"username": "zz-new", "external_id": "zz-ext"}),
    ("import/users", {"username": "zz-new", "accounts": ["zz-app/zz-acct"]}),
]


@pytest.mark.parametrize("dry_run", ["", "?dry_run=true"])
@pytest.mark.parametrize("path,body", ELSEWHERE, ids=str)
def test_elsewhere(world, path, body, dry_run):
    """To make somebody in another organization tells neither that it is there nor what it has."""
    def ask(organization, body):
        body = dict(body, organization=organization)
        if path.startswith("import"):
            body = {"users": [body]}
        status, said = answer_of(world, "POST", path + (dry_run if path.startswith("import") else ""), body)
        return status, said.replace(organization, "elsewhere").replace("zz-", "yy-")
    before = world.snapshot()
    there = ask("default", body)
    assert "not-found" in there[1] and there == ask("nowhere", swapped(body))
    assert world.snapshot() == before


def test_places_of_rules(world):
    """How many rules others have before one's own is not told."""
    boss = world.boss
    assert boss("POST", "rules", {"id": "bb-late", "when": "(title=x)", "grant": {"roles": ["bb-role"]}})[0] == 201
    plan = boss("POST", "rules/bb-late/activate?dry_run=true", {})[1]["plan"]
    assert boss("POST", "rules/bb-late/activate", {"plan": plan})[0] == 200
    assert [rule["order"] for rule in boss("GET", "rules")[1]["rules"]] == [0, 1]
    assert boss("GET", "rules/bb-late")[1]["order"] == 1
    assert [rule["id"] for rule in world.good("GET", "rules")["rules"]] == ["bb-rule", "zz-rule", "bb-late"]
    assert boss("DELETE", "rules/bb-late")[0] == 200


def test_hints(world):
    """What may have been meant is no way to learn what sources others have."""
    status, answer = world.boss("GET", "users?filter=(title;x-zz-staf=a)")
    assert (status, answer["code"], answer["details"]["hint"]) == (422, "unknown-source", None), answer


def test_taken_names(world):
    """A name is taken for all; whose it is, is not told."""
    for path, body in (("roles", dict(ROLE, name="zz-role")), ("profiles", {"name": "zz-profile", "permissions": []}),
                       ("personas", dict(PERSONA, name="zz-persona")), ("segments", {"name": "zz-segment", "filter": "(a=b)"}),
                       ("rules", {"id": "zz-rule", "when": "(&)"}), ("rules", {"id": "zz-draft", "when": "(&)"})):
        status, answer = world.boss("POST", path, body)
        assert (status, answer["code"]) == (409, "conflict") or (path, status) == ("segments", 422), (path, answer)
    for body, code in (({"username": "zz-anna"}, "username-taken"), ({"username": "new", "email": "zz-anna@z.example"},
                                                                   "email-in-other-organization")):
        status, answer = world.boss("POST", "users", body)
        assert (status, answer["code"]) == (409, code) and "default" not in answer["message"]


