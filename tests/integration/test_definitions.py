"""What administrators define by API and command: profiles, roles, personas. Files stay the files'."""
import concurrent.futures
import json
import subprocess

import jsonschema
import pytest

from access import Web
from bridge import DAEMON, Bridge
from control import Control
from ports import free_port
from test_follow import Followed, attribute, config, make_directory  # noqa: F401 (a fixture)
from test_control import DOCUMENT, check, whoami
from test_web import APP, World

CONFIG = """
segments: [Banking, Retail]
organizations: [{name: partners}]
roles:
  - {name: fixed, description: In the file, classifications: [Sales], segments: [Banking], permissions: ["quotes:*@own"]}
rules:
  - {id: sellers, when: "(departmentNumber=7)", grant: {roles: [fixed]}}
  - {id: watched, when: "(title=Nobody)", grant: {roles: [fixed]}, trial: true}
policy: {default_profile: customer-success-manager}
sources:
  - {name: staff, type: csv, path: staff.csv, key: id, interval: 0,
     attributes: [uid, mail, displayName, departmentNumber, title, city]}
"""

STAFF = """id,uid,mail,displayName,departmentNumber,title,city
1,anna,anna@x.example,,7,Seller,Ulm
2,ben,ben@x.example,Ben,8,Clerk,Bonn
"""

ROLE = {"name": "sales", "description": "Sells", "classifications": ["Sales"], "segments": ["Banking"],
        "permissions": ["quotes:*@own"]}
PROFILE = {"name": "member", "description": "All", "permissions": ["accounts:read@all"]}
PERSONA = {"name": "lead", "title": "Alex, the lead", "primary": True, "objectives": ["Short queues"],
           "frustrations": ["Three tools"], "watering_holes": ["Support forum"], "technical_sophistication": "medium"}
KINDS = {"profile": PROFILE, "role": ROLE, "persona": PERSONA}


def plural(kind):
    return kind + "s"


@pytest.fixture(scope="module")
def bridge():
    with Bridge(CONFIG, {"staff.csv": STAFF}) as bridge:
        bridge.ctl("users", "create", "root-user", "--profile", "administrator")
        bridge.ctl("sync")
        yield bridge


class Api(Control):
    """Answers are checked against the OpenAPI document."""

    def call(self, method, path, body=None, headers=None):
        text = None if body is None else body if isinstance(body, bytes) else json.dumps(body)
        self.request(method, "/api/v1/" + path, text,
                     {**({"Content-Type": "application/json"} if text else {}), **(headers or {})})
        response = self.getresponse()
        answer = json.loads(response.read())
        if response.status >= 400:
            schema = dict(DOCUMENT["components"]["schemas"]["Error"], components=DOCUMENT["components"])
            jsonschema.Draft202012Validator(schema).validate(answer)
        return response.status, answer, response.headers

    def good(self, method, path, body=None, headers=None, status=None):
        got, answer, _ = self.call(method, path, body, headers)
        assert got in ([status] if status else [200, 201]), answer
        parts = path.split("?")[0].split("/")
        if len(parts) > 1 and parts[1] != "bulk-update":
            parts[1] = "{name}"
        return check(answer, "/api/v1/" + "/".join(parts), method.lower(), str(got))

    def bad(self, method, path, body=None, headers=None):
        got, answer, _ = self.call(method, path, body, headers)
        assert 400 <= got < 500, answer
        return got, answer["code"], answer.get("field")


@pytest.fixture(name="api")
def connect(bridge):
    api = Api(bridge.folder / "control.sock")
    yield api
    api.close()


def audit_rows(bridge, action):
    return bridge.ctl("audit", "list", "--action", action, "--limit", "1000")["rows"]


# --- what is shipped ---


def test_shipped(api):
    profiles = {p["name"]: p for p in api.good("GET", "profiles")["profiles"]}
    assert set(profiles) >= {"administrator", "super-manager", "customer-success-manager", "developer"}
    assert profiles["administrator"]["permissions"] == ["*:*@all"]
    assert profiles["administrator"]["holders"] == 1
    assert not [p for p in profiles["super-manager"]["permissions"] if p.startswith(("settings", "*"))]
    assert profiles["customer-success-manager"]["permissions"] == ["accounts:*@own", "accounts:*@unassigned"]
    roles = {r["name"]: r for r in api.good("GET", "roles")["roles"]}
    assert set(roles) >= {"admin", "developer", "analyst", "fixed"}
    assert all(r["origin"] == "store" and r["segments"] == ["Banking", "Retail"]
               for n, r in roles.items() if n in ("admin", "developer", "analyst"))
    assert "cases:read@all" in roles["developer"]["permissions"]
    assert not [p for p in roles["developer"]["permissions"] + roles["analyst"]["permissions"]
                if p.startswith(("metrics", "security", "permissions", "invites", "users"))]
    assert roles["fixed"]["origin"] == "file" and roles["fixed"]["file"].endswith("rolebridge.yaml")
    assert roles["fixed"]["line"] == 7


SHIPPED = {
    "profiles/administrator": ["*:*@all"],
    "profiles/super-manager": ["accounts:*@all", "segments:*@all", "playbooks:*@all"],
    "profiles/customer-success-manager": ["accounts:*@own", "accounts:*@unassigned"],
    "profiles/developer": ["developer-console:read@all", "accounts:create@all", "accounts:read@all", "records:create@all",
                           "records:read@all"],
    "roles/admin": ["*:*@all"],
    "roles/developer": ["integration:*@all", "api-configuration:*@all", "api-logs:*@all", "webhooks:*@all",
                        "cases:read@all", "workflows:read@all"],
    "roles/analyst": ["inquiries:read@all", "accounts:read@all", "lists:read@all", "cases:read@all", "workflows:read@all"],
}
NOT_OURS = ["metrics:read", "security-settings:read", "permissions:read", "users:invite", "settings:update"]
# (what somebody has, what they may, what they may not)
SHIPPED_MAY = [
    (["profile", "administrator"], ["users:create", "settings:update", "billing:read"], []),
    (["profile", "super-manager"], ["accounts:delete", "segments:create", "playbooks:update"],
     ["settings:read", "users:read", "roles:update", *NOT_OURS]),
    (["profile", "customer-success-manager"], ["accounts:update@own", "accounts:update@unassigned"],
     ["accounts:update", "segments:read", "playbooks:read", *NOT_OURS]),
    (["profile", "developer"], ["developer-console:read", "records:create", "records:read", "accounts:create", "accounts:read"],
     ["developer-console:update", "records:update", "records:delete", "segments:read", *NOT_OURS]),
    (["role", "admin"], ["users:create", "permissions:update", "billing:update", "sso:update", "second-factors:update"], []),
    (["role", "developer"], ["integration:create", "api-configuration:update", "api-logs:read", "webhooks:delete",
                             "cases:read", "workflows:read"], ["cases:update", "workflows:create", *NOT_OURS]),
    (["role", "analyst"], ["inquiries:read", "accounts:read", "lists:read", "cases:read", "workflows:read"],
     ["inquiries:redact", "cases:update", "workflows:create", "developer-console:read", "webhooks:read", "api-logs:read",
      *NOT_OURS]),
]


def may(api, user, permission, resource=None):
    body = {"user": user, "permission": permission, **({"resource": resource} if resource else {})}
    return api.good("POST", "decide", body)["decision"]


@pytest.mark.parametrize("have, allowed, denied", SHIPPED_MAY, ids=["-".join(have) for have, *_ in SHIPPED_MAY])
def test_shipped_may(bridge, api, have, allowed, denied):
    """What is shipped lets people do what its description says, and no more: by API and by command."""
    kind, name = have
    assert api.good("GET", f"{kind}s/{name}")["permissions"] == SHIPPED[f"{kind}s/{name}"]
    bridge.ctl("profiles", "create", "bare", "--permissions", "")
    bridge.ctl("users", "create", f"holder-{kind}-{name}", "--profile", "bare")
    user = f"holder-{kind}-{name}"
    assert [may(api, user, permission) for permission in allowed + denied] == ["deny"] * len(allowed + denied)
    bridge.ctl("users", "grant", user, kind, name)
    assert {permission: may(api, user, permission) for permission in allowed + denied} == \
        dict.fromkeys(allowed, "allow") | dict.fromkeys(denied, "deny")
    assert bridge.human("decide", user, allowed[0]).stdout.startswith("allow")
    bridge.ctl("users", "disable", user)
    bridge.ctl("users", "delete", user)
    bridge.ctl("profiles", "delete", "bare")


def test_shipped_managers_of_accounts(bridge, api):
    """Own and unassigned accounts and their records, and nobody else's."""
    bridge.ctl("users", "create", "casey", "--profile", "customer-success-manager")
    for account, owner in (("hers", ["--owner", "casey"]), ("free", []), ("his", ["--owner", "ben"])):
        bridge.ctl("resources", "put", "crm", "accounts", account, *owner)
        bridge.ctl("resources", "put", "crm", "notes", "of-" + account, "--parent", "accounts/" + account)
    for account, expected in (("hers", "allow"), ("free", "allow"), ("his", "deny")):
        for type_, id_ in (("accounts", account), ("notes", "of-" + account)):
            resource = {"application": "crm", "type": type_, "id": id_}
            assert may(api, "casey", f"{type_}:update", resource) == expected, resource
    for account in ("hers", "free", "his"):
        bridge.ctl("resources", "delete", "crm", "accounts", account, "--recursive")
    bridge.ctl("users", "disable", "casey")
    bridge.ctl("users", "delete", "casey")


def test_shipped_once():
    with Bridge("profiles: [{name: developer, permissions: [\"own:read@all\"]}]\n") as bridge:
        api = Api(bridge.folder / "control.sock")
        assert api.good("GET", "profiles/developer")["permissions"] == ["own:read@all"]
        api.good("DELETE", "roles/analyst")
        api.good("PATCH", "roles/developer", {"description": "Changed"})
        api.close()
        bridge.kill()
        bridge.start()
        api = Api(bridge.folder / "control.sock")
        assert api.bad("GET", "roles/analyst")[0] == 404
        assert api.good("GET", "roles/developer")["description"] == "Changed"
        assert api.good("GET", "roles/developer")["segments"] == ["All customers"]
        assert len(audit_rows(bridge, "definitions.seed")) == 1
        # What the file declared the first time was never put there.
        bridge.write_config("profiles: []\n")
        bridge.ctl("reload")
        assert api.bad("GET", "profiles/developer")[0] == 404
        api.close()


# --- each kind, from its birth to its end ---


@pytest.mark.parametrize("kind", KINDS)
def test_life(bridge, api, kind):
    body = dict(KINDS[kind], name="life")
    text = "title" if kind == "persona" else "description"
    path = plural(kind) + "/life"
    assert api.bad("GET", path) == (404, "not-found", None)
    before = bridge.ctl("audit", "verify")["rows"]
    api.good("POST", plural(kind) + "?dry_run=true", body, status=200)
    assert api.bad("GET", path)[0] == 404 and bridge.ctl("audit", "verify")["rows"] == before

    made = api.good("POST", plural(kind), body, status=201)
    assert {k: made["definition"][k] for k in body} == body
    assert made["definition"]["actor"] == "unix:" + whoami() and not made["dry_run"]
    assert api.bad("POST", plural(kind), body) == (409, "name-taken", None)
    status, shown, headers = api.call("GET", path)
    assert status == 200 and headers["ETag"] == f'"{shown["version"]}"'

    tag = headers["ETag"]
    changed = api.good("PATCH", path, {text: "Other"}, {"If-Match": tag})["definition"]
    assert changed[text] == "Other" and {k: changed[k] for k in body if k != text} == \
        {k: v for k, v in body.items() if k != text}
    assert api.bad("PATCH", path, {text: "Third"}, {"If-Match": tag}) == (412, "stale-version", None)
    assert api.bad("PUT", path, body, {"If-Match": tag}) == (412, "stale-version", None)
    assert api.bad("DELETE", path, None, {"If-Match": tag}) == (412, "stale-version", None)
    assert api.bad("PUT", path, dict(body, name="other")) == (422, "invalid-request", "name")
    assert api.good("PUT", path, body)["definition"][text] == body[text]

    bridge.ctl("users", "grant", "root-user" if kind != "profile" else "ben", kind, "life")
    assert api.good("GET", path)["holders"] == 1
    assert api.good("PATCH", path + "?dry_run=true", {text: "Nothing"})["people"] == 1
    assert api.good("GET", path)[text] == body[text]
    assert api.bad("DELETE", path) == (409, "in-use", None)
    bridge.ctl("users", "revoke", "root-user" if kind != "profile" else "ben", kind, "life")
    assert api.good("DELETE", path)["definition"] is None
    assert api.bad("DELETE", path) == (404, "not-found", None)
    rows = {action: [r for r in audit_rows(bridge, f"{kind}.{action}") if r["object"] == f"{kind}:life"]
            for action in ("create", "update", "delete")}
    assert [len(rows[a]) for a in ("create", "update", "delete")] == [1, 2, 1]
    assert rows["create"][0]["detail"] == {"before": None, "after": {k: v for k, v in body.items()}}
    assert rows["delete"][0]["detail"]["after"] is None

    # A version is never given twice: who saw the first one does not change the second.
    api.good("POST", plural(kind), body)
    assert api.bad("DELETE", path, None, {"If-Match": tag}) == (412, "stale-version", None)
    api.good("DELETE", path)


def test_pages(api):
    names = [f"page-{n}" for n in range(5)]
    for name in names:
        api.good("POST", "roles", dict(ROLE, name=name))
    seen, after = [], ""
    while after is not None:
        page = api.good("GET", "roles?limit=2" + (f"&after={after}" if after else ""))
        seen += [r["name"] for r in page["roles"]]
        after = page["next"]
    assert len(seen) == len(set(seen)) and set(seen) >= {*names, "fixed", "admin"}
    for name in names:
        api.good("DELETE", "roles/" + name)


# --- refusals, after which nothing is there ---

ROLES_REFUSED = [
    ("no classification", {"classifications": []}, 422, "classification-required", "classifications"),
    ("classification left out", {"classifications": None}, 422, "classification-required", "classifications"),
    ("no segment", {"segments": []}, 422, "segment-required", "segments"),
    ("segment not enabled", {"segments": ["Banking", "Moon"]}, 422, "segment-not-enabled", "segments[1]"),
    ("unknown classification", {"classifications": ["King"]}, 422, "unknown-classification", "classifications[0]"),
    ("bad permission", {"permissions": ["a:b@all", "a:b@mine"]}, 422, "bad-permission", "permissions[1]"),
    ("bad name", {"name": "A B"}, 422, "invalid-name", "name"),
    ("empty name", {"name": ""}, 422, "empty-value", "name"),
    ("name of a file's", {"name": "fixed"}, 409, "managed-by-config", None),
    ("long name", {"name": "x" * 65}, 422, "invalid-request", "name"),
    ("long text", {"description": "x" * 5000}, 422, "invalid-request", "description"),
    ("control character", {"description": "a\x07"}, 422, "invalid-request", "description"),
    ("unknown field", {"colour": "red"}, 422, "invalid-request", "colour"),
    ("wrong type", {"permissions": "a:b@all"}, 422, "invalid-request", "permissions"),
    ("wrong type inside", {"permissions": [7]}, 422, "invalid-request", "permissions[0]"),
    ("no permissions", {"permissions": None}, 422, "invalid-request", "permissions"),
    ("too many", {"segments": ["Banking"] * 200}, 422, "invalid-request", "segments"),
]


@pytest.mark.parametrize("change, status, code, field", [row[1:] for row in ROLES_REFUSED],
                         ids=[row[0] for row in ROLES_REFUSED])
def test_role_refused(bridge, api, change, status, code, field):
    before = bridge.ctl("audit", "verify")["rows"]
    names = [r["name"] for r in api.good("GET", "roles")["roles"]]
    assert api.bad("POST", "roles", {k: v for k, v in {**ROLE, **change}.items() if v is not None}) == \
        (status, code, field)
    assert bridge.ctl("audit", "verify")["rows"] == before
    assert [r["name"] for r in api.good("GET", "roles")["roles"]] == names


@pytest.mark.parametrize("field", [f for f in PERSONA if f not in ("primary",)])
def test_persona_needs_all(api, field):
    status, code, got = api.bad("POST", "personas", {k: v for k, v in PERSONA.items() if k != field})
    assert (status, code, got) == (422, "invalid-request", field)
    empty = [] if isinstance(PERSONA[field], list) else ""
    status, _, got = api.bad("POST", "personas", dict(PERSONA, **{field: empty}))
    assert (status, got) == (422, field)


@pytest.mark.parametrize("change, code", [({"technical_sophistication": "genius"}, "bad-value"),
                                          ({"review_due": "2027-02-30"}, "invalid-value"),
                                          ({"review_due": "soon"}, "invalid-value")])
def test_persona_values(api, change, code):
    assert api.bad("POST", "personas", dict(PERSONA, **change)) == (422, code, next(iter(change)))


def test_files_are_read_only(api):
    for method, path, body in (("PUT", "roles/fixed", dict(ROLE, name="fixed")),
                               ("PATCH", "roles/fixed", {"description": "x"}), ("DELETE", "roles/fixed", None)):
        assert api.bad(method, path, body)[:2] == (409, "managed-by-config")


def test_any_text_survives(bridge, api):
    text = "x\u2028y\u0085 \ufeff\ufffe 😀 '\"\\ # - : { [ ] } & * ! | > % @ ` null ~ ${x}"
    api.good("POST", "roles", dict(ROLE, name="texts", description=text))
    assert api.good("GET", "roles/texts")["description"] == text
    bridge.ctl("reload")
    assert api.good("GET", "roles/texts")["description"] == text
    api.good("DELETE", "roles/texts")


# --- the last administrator ---


def test_administrators_keep_their_profile(api):
    assert api.bad("DELETE", "profiles/administrator") == (409, "in-use", None)
    assert api.bad("PATCH", "profiles/administrator", {"permissions": ["accounts:read@all"]}) == \
        (409, "last-administrator", None)
    assert api.good("GET", "profiles/administrator")["permissions"] == ["*:*@all"]
    wide = ["users:*@all", "profiles:*@all", "roles:*@all", "rules:*@all", "accounts:*@all"]
    api.good("PATCH", "profiles/administrator", {"permissions": wide})
    api.good("PATCH", "profiles/administrator", {"permissions": ["*:*@all"]})


# --- copies, many at once ---


def test_copy(api):
    copied = api.good("POST", "roles/fixed/copy", {"name": "fixed-copy"})["definition"]
    assert (copied["permissions"], copied["segments"], copied["description"], copied["origin"]) == \
        (["quotes:*@own"], ["Banking"], "In the file", "store")
    api.good("PATCH", "roles/fixed-copy", {"permissions": ["quotes:read@own"]})
    assert api.bad("POST", "roles/fixed/copy", {"name": "fixed-copy"}) == (409, "name-taken", None)
    assert api.bad("POST", "roles/nobody/copy", {"name": "x"}) == (404, "not-found", None)
    api.good("DELETE", "roles/fixed-copy")


def test_bulk_update(bridge, api):
    for name in ("bulk-a", "bulk-b"):
        api.good("POST", "roles", dict(ROLE, name=name))
    asked = {"roles": [{"role": "bulk-a", "segments": ["Retail"]}, {"role": "bulk-b", "classifications": ["Admin"]}]}
    bad = {"roles": [asked["roles"][0], {"role": "bulk-b", "segments": ["Moon"]}]}
    before = bridge.ctl("audit", "verify")["rows"]
    assert api.bad("POST", "roles/bulk-update", bad) == (422, "segment-not-enabled", "roles[1].segments[0]")
    assert api.bad("POST", "roles/bulk-update", {"roles": [{"role": "bulk-a", "segments": []}]}) == \
        (422, "segment-required", "roles[0].segments")
    assert api.bad("POST", "roles/bulk-update", {"roles": []})[0] == 422
    assert api.bad("POST", "roles/bulk-update", {"roles": [{"role": "moon"}]}) == (404, "not-found", "roles[0].role")
    assert api.bad("POST", "roles/bulk-update", {"roles": [{"role": "fixed"}]}) == \
        (409, "managed-by-config", "roles[0].role")
    assert api.bad("POST", "roles/bulk-update", {"roles": [{"role": "bulk-a"}] * 2}) == \
        (422, "invalid-request", "roles[1].role")
    api.good("POST", "roles/bulk-update?dry_run=true", asked)
    assert api.good("GET", "roles/bulk-a")["segments"] == ["Banking"]
    assert bridge.ctl("audit", "verify")["rows"] == before
    assert api.good("POST", "roles/bulk-update", asked)["roles"] == ["bulk-a", "bulk-b"]
    assert api.good("GET", "roles/bulk-a")["segments"] == ["Retail"]
    got = api.good("GET", "roles/bulk-b")
    assert (got["classifications"], got["segments"]) == (["Admin"], ["Banking"])
    assert bridge.ctl("audit", "verify")["rows"] == before + 2
    for name in ("bulk-a", "bulk-b"):
        api.good("DELETE", "roles/" + name)


CLASSIFICATIONS = ["Admin", "Sales", "Support", "Manager", "Automation Only", "Co-marketing Partner", "Compliance"]


def test_labels_allow_nothing(bridge, api):
    """Classifications and segments say where a role counts: whatever they are, its holders may the same."""
    api.good("POST", "roles", dict(ROLE, name="labelled", permissions=["cases:read@all"]))
    api.good("POST", "segments", {"name": "of-ben", "filter": "(username=ben)"})
    bridge.ctl("users", "grant", "ben", "role", "labelled")
    asked = ["cases:read", "cases:update", "users:create", "settings:read", "quotes:read"]

    def all_may():
        return {(user, permission): may(api, user, permission) for user in ("ben", "anna") for permission in asked}

    before = all_may()
    assert [permission for user, permission in before if (user, before[user, permission]) == ("ben", "allow")] == \
        ["cases:read"]
    labels = [{"classifications": [one]} for one in CLASSIFICATIONS] + [{"classifications": CLASSIFICATIONS}] + \
             [{"segments": some} for some in (["Retail"], ["Banking", "Retail"], ["of-ben"])]
    for label in labels:
        api.good("POST", "roles/bulk-update", {"roles": [{"role": "labelled", **label}]})
        assert {key: api.good("GET", "roles/labelled")[key] for key in label} == label
        assert all_may() == before, label
    bridge.ctl("roles", "update", "labelled", "--classifications", "Admin", "--segments", "Banking")
    assert all_may() == before
    bridge.ctl("users", "revoke", "ben", "role", "labelled")
    api.good("DELETE", "roles/labelled")
    api.good("DELETE", "segments/of-ben")


# --- personas ---


def test_persona_warnings(api):
    made = [api.good("POST", "personas", dict(PERSONA, name=f"primary-{n}")) for n in range(5)]
    few = "insufficient-research"
    assert [sorted(w["code"] for w in answer["warnings"]) for answer in made] == \
        [[few]] * 4 + [[few, "persona-proliferation"]]
    for n in range(5):
        api.good("DELETE", f"personas/primary-{n}")
    late = api.good("POST", "personas", dict(PERSONA, name="late", review_due="2020-01-31"))
    assert sorted(w["code"] for w in late["warnings"]) == ["insufficient-research", "persona-review-overdue"]
    assert late["definition"]["review_overdue"]
    api.good("DELETE", "personas/late")


# --- files and store together ---


def test_a_file_wins(bridge, api):
    api.good("POST", "roles", dict(ROLE, name="twice"))
    bridge.write_config(CONFIG.replace("rules:\n", """  - {name: twice, classifications: [Sales], segments: [Banking], permissions: ["a:b@all"]}
rules:
""", 1))
    findings = bridge.ctl("reload")["diagnostics"]
    assert [f["code"] for f in findings if f["severity"] == "warning"] == ["definition-shadowed"]
    assert api.good("GET", "roles/twice")["permissions"] == ["a:b@all"]
    assert api.bad("PATCH", "roles/twice", {"description": "x"})[:2] == (409, "managed-by-config")
    # The row behind it can still be taken away.
    api.good("DELETE", "roles/twice")
    assert api.good("GET", "roles/twice")["origin"] == "file"
    bridge.write_config(CONFIG)
    bridge.ctl("reload")
    assert api.bad("GET", "roles/twice")[0] == 404


def test_edits_of_files_wait_for_a_reload(bridge, api):
    """A definition takes effect at once; what somebody is writing in a file does not, however broken."""
    bridge.write_config("roles: [half")
    api.good("POST", "roles", dict(ROLE, name="meanwhile"))
    assert api.good("GET", "roles/fixed")["origin"] == "file"
    bridge.write_config(CONFIG)
    api.good("DELETE", "roles/meanwhile")


def test_a_segment_that_is_gone_stops_nothing(bridge, api):
    api.good("POST", "roles", dict(ROLE, name="retail", segments=["Retail"]))
    bridge.write_config(CONFIG.replace("[Banking, Retail]", "[Banking]"))
    assert "segment-not-enabled" in [f["code"] for f in bridge.ctl("reload")["diagnostics"]]
    assert api.good("GET", "roles/retail")["segments"] == ["Retail"]
    # Whoever changes it now has to say an enabled one.
    assert api.bad("PATCH", "roles/retail", {"description": "x"})[1] == "segment-not-enabled"
    api.good("PATCH", "roles/retail", {"segments": ["Banking"]})
    bridge.write_config(CONFIG)
    bridge.ctl("reload")
    api.good("DELETE", "roles/retail")


def test_a_rule_of_a_file_holds_a_definition(bridge, api):
    api.good("POST", "roles", dict(ROLE, name="named"))
    bridge.write_config(CONFIG.replace("roles: [fixed]", "roles: [fixed, named]"))
    bridge.ctl("reload")
    assert api.good("GET", "roles/named")["holders"] == 1
    assert api.bad("DELETE", "roles/named") == (409, "in-use", None)
    bridge.write_config(CONFIG)
    bridge.ctl("reload")
    api.good("DELETE", "roles/named")


def test_many_at_once(bridge):
    """Definitions, reloads and changes of people side by side: each whole, none lost."""
    def work(n):
        api = Api(bridge.folder / "control.sock")
        try:
            api.good("POST", "roles", dict(ROLE, name=f"at-once-{n}"))
            if n % 4 == 0:
                bridge.ctl("reload")
            api.good("PATCH", f"roles/at-once-{n}", {"description": "two"})
            return [api.call("POST", "roles", dict(ROLE, name="only-one"))[0]]
        finally:
            api.close()

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = [status for part in pool.map(work, range(16)) for status in part]
    assert sorted(results) == [201] + [409] * 15
    api = Api(bridge.folder / "control.sock")
    roles = {r["name"]: r for r in api.good("GET", "roles")["roles"]}
    assert all(roles[f"at-once-{n}"]["description"] == "two" for n in range(16))
    for name in [f"at-once-{n}" for n in range(16)] + ["only-one"]:
        api.good("DELETE", "roles/" + name)
    api.close()


# --- rules ---


RULE = {"id": "clerks", "description": "Clerks analyse", "when": "(title=Clerk)", "grant": {"roles": ["analyst"]}}


def roles_of(bridge, user):
    return sorted(g["name"] for g in bridge.ctl("users", "show", user)["grants"] if g["kind"] == "role")


def rule_good(api, method, path, body=None, headers=None, status=None):
    got, answer, _ = api.call(method, path, body, headers)
    assert got in ([status] if status else [200, 201]), answer
    parts = path.split("?")[0].split("/")
    if len(parts) > 1 and parts[1] != "order":
        parts[1] = "{id}"
    return check(answer, "/api/v1/" + "/".join(parts), method.lower(), str(got))


def test_rule_life(bridge, api):
    drafted = rule_good(api, "POST", "rules", RULE, status=201)
    assert drafted["people"] == 0 and roles_of(bridge, "ben") == []
    shown = rule_good(api, "GET", "rules/clerks")
    assert shown["state"] == "draft" and shown["draft"]["body"]["when"] == "(title=Clerk)"
    assert [d["id"] for d in rule_good(api, "GET", "rules")["drafts"]] == ["clerks"]
    assert api.bad("POST", "rules", RULE) == (409, "name-taken", None)
    bridge.ctl("reload")
    assert roles_of(bridge, "ben") == [], "a draft is nobody's rule"

    preview = rule_good(api, "POST", "rules/clerks/activate?dry_run=true")
    assert (preview["people"], preview["report"]["granted"], preview["report"]["dry_run"]) == (1, 1, True)
    assert [(c["user"], c["after"], c["why"]) for c in preview["report"]["changes"]] == [("ben", "analyst", "clerks")]
    assert preview["plan"] == rule_good(api, "POST", "rules/clerks/activate?dry_run=true")["plan"]
    assert roles_of(bridge, "ben") == []

    assert api.bad("POST", "rules/clerks/activate") == (422, "plan-required", "plan")
    assert api.bad("POST", "rules/clerks/activate", {"plan": "0" * 64}) == (409, "plan-superseded", None)
    rule_good(api, "PUT", "rules/clerks", dict(RULE, when="(title=Cl*rk)"))
    # The same people, another rule: what was previewed is not what is there.
    assert api.bad("POST", "rules/clerks/activate", {"plan": preview["plan"]}) == (409, "plan-superseded", None)
    assert roles_of(bridge, "ben") == []
    preview = rule_good(api, "POST", "rules/clerks/activate?dry_run=true")
    rule_good(api, "POST", "rules/clerks/activate", {"plan": preview["plan"]})
    assert roles_of(bridge, "ben") == ["analyst"]
    shown = rule_good(api, "GET", "rules/clerks")
    assert (shown["state"], shown["origin"], shown["draft"], shown["holders"]) == ("active", "store", None, 1)
    assert [r["id"] for r in rule_good(api, "GET", "rules")["rules"]] == ["sellers", "watched", "clerks"], "after those of files"

    # A change of what is in force is a draft beside it.
    rule_good(api, "PUT", "rules/clerks", dict(RULE, grant={"roles": ["developer"]}))
    assert roles_of(bridge, "ben") == ["analyst"]
    assert rule_good(api, "GET", "rules/clerks")["draft"]["body"]["grant"] == {"roles": ["developer"]}
    rule_good(api, "DELETE", "rules/clerks?draft=true")
    assert rule_good(api, "GET", "rules/clerks")["draft"] is None
    rule_good(api, "PUT", "rules/clerks", dict(RULE, grant={"roles": ["developer"]}))
    preview = rule_good(api, "POST", "rules/clerks/activate?dry_run=true")
    assert (preview["report"]["granted"], preview["report"]["revoked"]) == (1, 1)
    rule_good(api, "POST", "rules/clerks/activate", {"plan": preview["plan"]})
    assert roles_of(bridge, "ben") == ["developer"]
    bridge.kill()
    bridge.start()
    assert roles_of(bridge, "ben") == ["developer"]
    api = Api(bridge.folder / "control.sock")
    assert rule_good(api, "DELETE", "rules/clerks?dry_run=true")["report"]["revoked"] == 1
    rule_good(api, "DELETE", "rules/clerks")
    assert roles_of(bridge, "ben") == [] and api.bad("GET", "rules/clerks")[0] == 404
    actions = {a: len([r for r in audit_rows(bridge, f"rule.{a}") if r["object"] == "rule:clerks"])
               for a in ("draft", "activate", "discard", "delete")}
    assert actions == {"draft": 4, "activate": 2, "discard": 1, "delete": 1}
    api.close()


def test_rule_versions(api):
    rule_good(api, "POST", "rules", dict(RULE, id="versions"))
    tag = api.call("GET", "rules/versions")[2]["ETag"]
    rule_good(api, "PUT", "rules/versions", dict(RULE, id="versions"), {"If-Match": tag})
    for method, path, body in (("PUT", "rules/versions", dict(RULE, id="versions")), ("DELETE", "rules/versions", None)):
        assert api.bad(method, path, body, {"If-Match": tag}) == (412, "stale-version", None)
    assert api.bad("PUT", "rules/nothing", dict(RULE, id="nothing"))[:2] == (404, "not-found")
    assert api.bad("PUT", "rules/versions", RULE) == (422, "invalid-request", "id")
    assert api.bad("POST", "rules/nothing/activate?dry_run=true")[:2] == (404, "not-found")
    rule_good(api, "DELETE", "rules/versions")
    assert api.bad("DELETE", "rules/versions")[:2] == (404, "not-found")


RULES_REFUSED = [
    ("filter syntax", {"when": "(title=Clerk"}, 422, "filter-syntax", "when"),
    ("unknown attribute", {"when": "(titel=Clerk)"}, 422, "unknown-attribute", "when"),
    ("unknown role", {"grant": {"roles": ["analyst", "moon"]}}, 422, "unknown-role", "grant.roles[1]"),
    ("unknown profile", {"grant": {"profile": "moon"}}, 422, "unknown-profile", "grant.profile"),
    ("unknown persona", {"deny": {"personas": ["moon"]}}, 422, "unknown-persona", "deny.personas[0]"),
    ("no condition", {"when": None}, 422, "rule-without-condition", "when"),
    ("bad id", {"id": "A B"}, 422, "invalid-name", "id"),
    ("a file's", {"id": "sellers"}, 409, "managed-by-config", None),
    ("bad date", {"expires": "2027-02-30"}, 422, "invalid-value", "expires"),
    ("unknown field", {"if": "x"}, 422, "invalid-request", "if"),
    ("unknown field inside", {"grant": {"role": "x"}}, 422, "invalid-request", "grant.role"),
    ("wrong type", {"grant": ["analyst"]}, 422, "invalid-request", "grant"),
    ("bad group", {"groups": ["cn=x,,dc=y"], "when": None}, 422, "bad-group", "groups[0]"),
]


@pytest.mark.parametrize("change, status, code, field", [row[1:] for row in RULES_REFUSED],
                         ids=[row[0] for row in RULES_REFUSED])
def test_rule_refused(bridge, api, change, status, code, field):
    before = bridge.ctl("audit", "verify")["rows"]
    body = {k: v for k, v in {**RULE, **change}.items() if v is not None}
    assert api.bad("POST", "rules", body) == (status, code, field)
    assert rule_good(api, "GET", "rules")["drafts"] == []
    assert bridge.ctl("audit", "verify")["rows"] == before


@pytest.mark.parametrize("when, code, position, width", [
    ("(title=Clerk", "filter-syntax", 0, 1), ("(&(city=K\u00f6ln)(titel=Clerk))", "unknown-attribute", 15, 5),
    ("(title=a\\0)", "filter-syntax", 8, None),
    # What is known of people alone is none of a rule's, and nothing more can be said of it.
    ("(state=active)", "unknown-attribute", None, None)])
def test_where_a_condition_is_wrong(bridge, api, tmp_path, when, code, position, width):
    """With its place, as for every other filter."""
    body = dict(RULE, when=when)
    status, answer, _ = api.call("POST", "rules", body)
    assert (status, answer["code"], answer["field"]) == (422, code, "when")
    details = answer.get("details") or {}
    assert details.get("position") == position and details.get("width") == (width or details.get("width"))
    (tmp_path / "rule.json").write_text(json.dumps(body))
    told = bridge.human("rules", "draft", tmp_path / "rule.json")
    assert told.returncode == 1 and code in told.stderr
    if width == 5:
        lines = told.stderr.splitlines()
        assert lines[1:3] == ["  " + when, " " * 16 + "^~~~~"] and "Did you mean 'title'?" in lines[3]


def test_rule_warnings(api):
    api.good("POST", "personas", PERSONA)
    answer = rule_good(api, "POST", "rules", {"id": "title", "when": "(title=Boss)", "grant": {"personas": ["lead"]}})
    assert [w["code"] for w in answer["warnings"]] == ["title-only-persona"]
    rule_good(api, "DELETE", "rules/title")
    api.good("DELETE", "personas/lead")


def test_what_nobody_was_asked_for_yet(bridge, api):
    """Sources deliver what rules read: a preview cannot know what none of them has read so far, and says so."""
    rule_good(api, "POST", "rules", dict(RULE, when="(city=Bonn)"))
    preview = rule_good(api, "POST", "rules/clerks/activate?dry_run=true")
    assert [w["code"] for w in preview["warnings"]] == ["attribute-unread"] and "'city'" in preview["warnings"][0]["message"]
    # What the sources say of it now is asked for by a plan, which reads them.
    report, = bridge.ctl("plan", "staff", "--rule", "clerks")["reports"]
    assert [(c["user"], c["what"], c["after"]) for c in report["changes"] if c["what"] == "grant"] == [("ben", "grant", "analyst")]
    assert roles_of(bridge, "ben") == [] and bridge.run("plan", "--rule", "nothing").returncode == 1
    assert api.bad("POST", "plan", {"rule": "clerks", "files": [{"path": "x", "text": ""}]})[1:] == ("invalid-request", "rule")
    rule_good(api, "POST", "rules/clerks/activate", {"plan": preview["plan"]})
    bridge.ctl("sync", "staff")
    assert roles_of(bridge, "ben") == ["analyst"]
    rule_good(api, "DELETE", "rules/clerks")
    assert roles_of(bridge, "ben") == []


def test_rule_tests_refuse(bridge, api):
    """A test that the rule would break stands in a file; the draft is refused already."""
    bridge.write_config(CONFIG + """
tests:
  - {name: a clerk has nothing, identity: {title: Clerk}, expect: {roles: []}}
""")
    bridge.ctl("reload")
    assert api.bad("POST", "rules", RULE) == (422, "rule-test-failed", None)
    bridge.write_config(CONFIG)
    bridge.ctl("reload")


def test_rule_order(bridge, api):
    for name in ("one", "two", "three"):
        rule_good(api, "POST", "rules", {"id": name, "when": "(title=Clerk)", "grant": {"profile": {
            "one": "developer", "two": "super-manager", "three": "developer"}[name]}})
        plan = rule_good(api, "POST", f"rules/{name}/activate?dry_run=true")["plan"]
        rule_good(api, "POST", f"rules/{name}/activate", {"plan": plan})
    assert bridge.ctl("users", "show", "ben")["profile"] == "developer"
    for wrong in ([], ["one"], ["one", "two", "two"], ["one", "two", "sellers"], ["one", "two", "three", "one"]):
        assert api.bad("POST", "rules/order", {"rules": wrong}) == (422, "invalid-request", "rules")
    order = {"rules": ["two", "one", "three"]}
    assert rule_good(api, "POST", "rules/order?dry_run=true", order)["people"] == 1
    assert bridge.ctl("users", "show", "ben")["profile"] == "developer"
    rule_good(api, "POST", "rules/order", order)
    assert bridge.ctl("users", "show", "ben")["profile"] == "super-manager"
    assert [r["id"] for r in rule_good(api, "GET", "rules")["rules"]] == ["sellers", "watched", "two", "one", "three"]
    for name in ("one", "two", "three"):
        rule_good(api, "DELETE", f"rules/{name}")
    assert bridge.ctl("users", "show", "ben")["profile"] == "customer-success-manager"


def test_rules_stay_within_limits():
    """Somebody's rule may not make administrators of a company, nor take from all of it, without a second look."""
    people = "".join(f"{n},user{n:02},,,{7 if n < 30 else 8},Clerk,\n" for n in range(40))
    with Bridge(CONFIG, {"staff.csv": STAFF.splitlines()[0] + "\n" + people}) as bridge:
        bridge.ctl("users", "create", "root-user", "--profile", "administrator")
        bridge.ctl("sync")
        api = Api(bridge.folder / "control.sock")

        def activate(body):
            rule_good(api, "POST", "rules", body)
            plan = rule_good(api, "POST", f"rules/{body['id']}/activate?dry_run=true")
            done = rule_good(api, "POST", f"rules/{body['id']}/activate", {"plan": plan["plan"]})
            assert (done["report"]["held"], done["people"]) == (plan["report"]["held"], plan["people"])
            return done["report"]

        report = activate({"id": "kings", "when": "(title=Clerk)", "grant": {"profile": "administrator"}})
        assert report["held"] == 40 and report["plan"]
        assert api.good("GET", "profiles/administrator")["holders"] == 1
        rule_good(api, "DELETE", "rules/kings")
        assert bridge.ctl("plans", "list")["plans"] == []
        report = activate({"id": "nothing", "when": "(departmentNumber=7)", "deny": {"roles": ["fixed"]}})
        assert report["held"] == 30 and api.good("GET", "roles/fixed")["holders"] == 30
        bridge.ctl("apply", report["plan"])
        assert api.good("GET", "roles/fixed")["holders"] == 0
        api.close()


# --- who is signed in already ---


def test_live_sessions_follow_permissions():
    vault = f"""
applications:
  - {{name: vault, urls: ["{APP}"], require: {{permissions: ["vault:open@all"]}}}}
"""
    with World(applications=vault) as world:
        api = Api(world.folder / "control.sock")
        api.good("POST", "roles", dict(ROLE, name="keeper", classifications=["Support"], segments=["Core"]))
        anna = world.visitor()
        anna.sign_in("anna")
        world.bridge.ctl("users", "grant", "anna", "role", "keeper")
        assert anna.auth(APP).status_code == 401
        api.good("PATCH", "roles/keeper", {"permissions": ["vault:*@all"]})
        anna.enter(APP + "/")
        assert anna.auth(APP).status_code == 200
        asked = api.good("PATCH", "roles/keeper?dry_run=true", {"permissions": ["vault:read@all"]})
        assert asked["people"] == 1 and anna.auth(APP).status_code == 200
        api.good("PATCH", "roles/keeper", {"permissions": ["vault:read@all"]})
        assert anna.auth(APP).status_code == 403, "the answer to the change is the moment it counts"
        api.good("PATCH", "roles/keeper", {"permissions": ["vault:*@all"]})
        assert anna.auth(APP).status_code == 200
        api.close()


# --- by command ---


def test_commands(bridge, api, tmp_path):
    ctl = bridge.ctl
    made = ctl("roles", "create", "by-hand", "--classifications", "Sales, Support", "--segments", "Banking",
               "--permissions", "quotes:*@own,cases:read@all", "--description", "By hand")
    assert (made["definition"]["classifications"], made["definition"]["permissions"]) == \
        (["Sales", "Support"], ["quotes:*@own", "cases:read@all"])
    assert ctl("roles", "show", "by-hand") == api.good("GET", "roles/by-hand")
    version = made["definition"]["version"]
    assert ctl("roles", "update", "by-hand", "--description", "x", "--dry-run")["dry_run"]
    changed = ctl("roles", "update", "by-hand", "--description", "Two", "--if-match", version)["definition"]
    assert changed["description"] == "Two" and changed["segments"] == ["Banking"]
    assert bridge.run("roles", "update", "by-hand", "--description", "x", "--if-match", version).returncode == 1
    assert bridge.run("roles", "update", "by-hand").returncode == 2
    assert bridge.run("roles", "update", "by-hand", "--if-match", "x").returncode == 2
    text = bridge.human("roles", "update", "by-hand", "--description", "Three").stdout
    assert text == "by-hand is changed: 0 people\n"
    assert "by-hand" in bridge.human("roles", "list").stdout
    ctl("roles", "copy", "by-hand", "by-copy", "--description", "Copied")
    bulk = tmp_path / "bulk.json"
    bulk.write_text(json.dumps([{"role": "by-hand", "segments": ["Retail"]}, {"role": "by-copy", "segments": ["Retail"]}]))
    assert ctl("roles", "bulk-update", bulk, "--dry-run")["dry_run"]
    assert ctl("roles", "bulk-update", bulk)["roles"] == ["by-hand", "by-copy"]
    assert bridge.human("roles", "bulk-update", bulk).stdout == "by-hand, by-copy are changed: 0 people\n"
    assert ctl("roles", "show", "by-copy")["segments"] == ["Retail"]
    bulk.write_text("[{")
    assert bridge.run("roles", "bulk-update", bulk).returncode == 2
    for name in ("by-hand", "by-copy"):
        assert ctl("roles", "delete", name)["definition"] is None

    body = tmp_path / "body.json"
    body.write_text(json.dumps({k: v for k, v in PERSONA.items() if k != "name"}))
    made = ctl("personas", "create", "by-file", "--file", body, "--primary", "no", "--objectives", "One, two; three")
    assert (made["definition"]["primary"], made["definition"]["objectives"]) == (False, ["One, two", "three"])
    assert bridge.run("personas", "update", "by-file", "--primary", "perhaps").returncode == 2
    assert "Alex, the lead" in bridge.human("personas", "list").stdout
    assert "watering_holes" in bridge.human("personas", "show", "by-file").stdout
    ctl("personas", "delete", "by-file")
    ctl("profiles", "create", "by-hand", "--permissions", "accounts:read@all")
    assert "accounts:read@all" in bridge.human("profiles", "list").stdout
    assert len(ctl("profiles", "list", "--limit", 1)["profiles"]) == 1
    ctl("profiles", "update", "by-hand", "--permissions", "")
    assert ctl("profiles", "show", "by-hand")["permissions"] == []
    ctl("profiles", "delete", "by-hand")


def test_rule_commands(bridge, tmp_path):
    ctl = bridge.ctl
    body = tmp_path / "rule.json"
    body.write_text(json.dumps(RULE))
    assert ctl("rules", "draft", body, "--dry-run")["dry_run"]
    ctl("rules", "draft", body)
    assert bridge.run("rules", "draft", body).returncode == 1
    ctl("rules", "draft", body, "--change")
    text = bridge.human("rules", "preview", "clerks").stdout
    plan = ctl("rules", "preview", "clerks")["plan"]
    assert f"rolebridgectl rules activate clerks {plan}" in text
    assert "Would be: " in text and "1 granted" in text
    assert "draft" in bridge.human("rules", "list").stdout
    assert "draft" in bridge.human("rules", "show", "clerks").stdout
    assert bridge.run("rules", "activate", "clerks").returncode == 2
    ctl("rules", "activate", "clerks", plan)
    assert roles_of(bridge, "ben") == ["analyst"]
    assert f"version        {ctl('rules', 'show', 'clerks')['version']}" in bridge.human("rules", "show", "clerks").stdout
    assert ctl("rules", "order", "clerks", "--dry-run")["people"] == 0
    ctl("rules", "order", "clerks")
    assert ctl("rules", "delete", "clerks", "--dry-run")["report"]["revoked"] == 1
    text = bridge.human("rules", "delete", "clerks").stdout
    assert text.startswith("clerks is deleted: 1 person\nApplied: ") and "1 revoked" in text


# --- the ceiling ---


CEILING = """
public_url: "http://127.0.0.1:{port}"
listeners: [{{address: "127.0.0.1:{port}"}}]
profiles:
  - {{name: editor, permissions: ["roles:*@all", "profiles:*@all", "personas:*@all", "rules:*@all", "users:read@all",
     "notes:*@all"]}}
  - {{name: labeller, permissions: ["roles:bulk-update@all"]}}
  - {{name: viewer, permissions: ["notes:read@own"]}}
segments: [All]
organizations: [{{name: partners}}]
policy: {{default_profile: viewer}}
sources:
  - {{name: partners, type: csv, path: partners.csv, key: id, interval: 0, organization: partners, attributes: [uid]}}
"""
SMALL = {"name": "small", "classifications": ["Sales"], "segments": ["All"], "permissions": ["notes:read@all"]}


@pytest.fixture(name="desk", scope="module")
def make_desk():
    port = free_port()
    with Bridge(CEILING.format(port=port), {"partners.csv": "id,uid\n"}) as bridge:
        bridge.port = port
        bridge.tokens = {}
        for name, profile, organization in (("ada", "administrator", "default"), ("eve", "editor", "default"),
                                            ("lab", "labeller", "default"), ("viv", "viewer", "default"),
                                            ("far", "administrator", "partners")):
            bridge.ctl("users", "create", name, "--profile", profile, "--organization", organization)
            bridge.tokens[name] = bridge.ctl("tokens", "create", name, "--user", name)["token"]
        yield bridge


WIDER = ["money:read@all", "notes:*@all,money:read@own", "*:*@all", "*:read@own", "users:*@all", "roles:*@all,*:x@own"]

ATTACKS = [("role", "POST", "roles", lambda p: dict(SMALL, name="evil", permissions=p.split(","))),
           ("own role", "PATCH", "roles/own", lambda p: {"permissions": p.split(",")}),
           ("profile", "POST", "profiles", lambda p: {"name": "evil", "permissions": p.split(",")}),
           ("admin role", "PATCH", "roles/admin", lambda p: {"permissions": ["notes:read@all"]}),
           ("copy of admin", "POST", "roles/admin/copy", lambda p: {"name": "evil"}),
           ("end of admin", "DELETE", "roles/admin", lambda p: None),
           ("relabel admin", "POST", "roles/bulk-update", lambda p: {"roles": [{"role": "admin", "segments": ["All"]}]}),
           ("administrators", "PATCH", "profiles/administrator", lambda p: {"description": "mine"}),
           ("rule to admin", "POST", "rules", lambda p: {"id": "evil", "when": "(&)", "grant": {"roles": ["admin"]}}),
           ("rule to administrator", "POST", "rules",
            lambda p: {"id": "evil", "when": "(&)", "grant": {"profile": "administrator"}}),
           ("rule against admins", "POST", "rules",
            lambda p: {"id": "evil", "when": "(&)", "deny": {"profile": "administrator"}}),
           ("rule to super", "POST", "rules", lambda p: {"id": "evil", "when": "(&)", "grant": {"profile": "super-manager"}})]


@pytest.mark.parametrize("dry_run", ["", "?dry_run=true"], ids=["done", "dry"])
@pytest.mark.parametrize("attack", ATTACKS, ids=[a[0] for a in ATTACKS])
def test_nobody_defines_beyond_themselves(desk, attack, dry_run):
    _, method, path, body = attack
    web = Web(desk.port)
    web.ask("POST", "roles", dict(SMALL, name="own"), token=desk.tokens["eve"])
    desk.run("users", "grant", "eve", "role", "own")
    for wider in WIDER:
        before = [desk.ctl(kind, "list") for kind in ("profiles", "roles", "rules")]
        rows = desk.ctl("audit", "verify")["rows"]
        status, answer = web.ask(method, path + dry_run, body(wider), token=desk.tokens["eve"])
        assert (status, answer["code"]) == (403, "not-allowed"), (wider, answer)
        assert "money" not in answer["message"], "not a word of what is lacking"
        assert [desk.ctl(kind, "list") for kind in ("profiles", "roles", "rules")] == before
        assert desk.ctl("audit", "verify")["rows"] == rows
    web.close()


def test_within_it_works(desk):
    web = Web(desk.port)
    status, answer = web.ask("POST", "roles", dict(SMALL, name="within"), token=desk.tokens["eve"])
    assert status == 201 and answer["definition"]["actor"].startswith("user:")
    assert web.ask("PATCH", "roles/within", {"permissions": ["notes:*@own"]}, token=desk.tokens["eve"])[0] == 200
    # A token narrows what its owner may define.
    narrow = desk.ctl("tokens", "create", "narrow", "--user", "eve", "--scope", "roles:*@all")["token"]
    assert web.ask("PATCH", "roles/within", {"permissions": ["notes:*@all"]}, token=narrow)[0] == 403
    rule = {"id": "notes", "when": "(mail=x*)", "grant": {"roles": ["within"]}}
    assert web.ask("POST", "rules", rule, token=desk.tokens["eve"])[0] == 201
    assert web.ask("DELETE", "rules/notes", token=desk.tokens["eve"])[0] == 200
    assert web.ask("DELETE", "roles/within", token=desk.tokens["eve"])[0] == 200
    web.close()


def test_each_needs_its_permission(desk):
    web = Web(desk.port)
    asked = [("GET", "roles", None), ("POST", "roles", SMALL), ("PATCH", "roles/admin", {}), ("DELETE", "roles/admin", None),
             ("POST", "roles/bulk-update", {"roles": [{"role": "admin"}]}), ("GET", "profiles", None),
             ("POST", "profiles", {}), ("GET", "personas", None), ("POST", "personas", {}), ("GET", "rules", None),
             ("POST", "rules", {}), ("POST", "rules/x/activate", {}), ("POST", "rules/order", {"rules": ["x"]})]
    for method, path, body in asked:
        status, answer = web.ask(method, path, body, token=desk.tokens["viv"])
        assert (status, answer["code"]) == (403, "not-allowed"), path
    # Relabelling needs its own permission, and that one alone; permissions of the role count all the same.
    desk.ctl("roles", "create", "plain", "--classifications", "Sales", "--segments", "All", "--permissions", "")
    relabel = {"roles": [{"role": "plain", "classifications": ["Support"]}]}
    assert web.ask("POST", "roles/bulk-update", relabel, token=desk.tokens["lab"])[0] == 200
    assert web.ask("PATCH", "roles/plain", {"description": "x"}, token=desk.tokens["lab"])[0] == 403
    # What all organizations share is not one partner's to change, and what another one has is not there.
    for method, path, body, wanted in (("PATCH", "roles/admin", {"description": "x"}, (403, "not-allowed")),
                                       ("DELETE", "roles/plain", None, (404, "not-found"))):
        status, answer = web.ask(method, path, body, token=desk.tokens["far"])
        assert (status, answer["code"]) == wanted, path
    desk.ctl("roles", "delete", "plain")
    web.close()


# --- hostile bodies: never an answer of the 500s, always a code ---


HOSTILE = [None, True, 7, -1, 1e308, "", "x", "x" * 70000, "\x00", "\x1b[2J", "a\nb", [], ["x"], [None], [[]], [7], {},
           {"x": 1}, ["x"] * 2000, "\U0001f600", "\u202e", "a" * 65]


@pytest.mark.parametrize("path, body", [(plural(k), b) for k, b in KINDS.items()] + [("rules", RULE)],
                         ids=[*KINDS, "rule"])
def test_hostile_fields(bridge, api, path, body):
    names = json.dumps([bridge.ctl(kind, "list") for kind in ("profiles", "roles", "personas", "rules")])
    for field in body:
        for value in HOSTILE:
            if value is None and field in ("description", "primary", "groups", "grant"):
                continue
            if field in ("description", "title", "when") and isinstance(value, str) and value.isprintable():
                continue
            status, answer, _ = api.call("POST", path + "?dry_run=true", dict(body, **{field: value}))
            assert status < 500, (field, value)
            assert status >= 400 or field in ("permissions", "objectives", "frustrations", "watering_holes", "primary",
                                              "name", "id", "grant", "description", "title"), (field, value)
            if status >= 400:
                assert answer["code"] and answer.get("field", field).startswith(field.split("[")[0]), (field, value, answer)
    for raw in (b"", b"{", b"[]", b"null", b"7", b"\xff", b'{"name":"a","name":"b"}', b'{"a":' * 5000, b'"x"'):
        status, _, _ = api.call("POST", path, raw, {"Content-Type": "application/json"})
        assert 400 <= status < 500
    assert api.call("POST", path, json.dumps(body).encode(), {"Content-Type": "text/plain"})[0] == 415
    for query in ("dry_run=1", "dry_run=", "x=1", "dry_run=true&dry_run=true"):
        assert api.call("POST", f"{path}?{query}", body)[0] in (400, 422)
    assert json.dumps([bridge.ctl(kind, "list") for kind in ("profiles", "roles", "personas", "rules")]) == names


# --- the check of the daemon itself ---


def daemon_check(bridge):
    return subprocess.run([DAEMON, "--config", bridge.config, "--check"], cwd=bridge.folder, capture_output=True,
                          text=True, timeout=60, check=False)


def test_check_knows_the_store():
    """Rules of files name what the store defines: the check, and each start, look there."""
    named = CONFIG.replace("roles: [fixed]}}", "roles: [fixed, extra]}}")
    with Bridge(CONFIG, {"staff.csv": STAFF}) as bridge:
        bridge.write_config(named)
        result = daemon_check(bridge)
        assert result.returncode == 1 and "'extra'" in result.stderr
        bridge.ctl("roles", "create", "extra", "--classifications", "Sales", "--segments", "Banking", "--permissions", "a:b@all")
        assert daemon_check(bridge).returncode == 0
        bridge.stop()
        assert daemon_check(bridge).returncode == 0
        bridge.start()
        bridge.ctl("sync")
        assert roles_of(bridge, "anna") == ["extra", "fixed"]
        bridge.stop()
        # A store that cannot be read is said, and what would be shipped stands for it.
        (bridge.folder / "store.db").rename(bridge.folder / "away.db")
        (bridge.folder / "store.db").write_bytes(b"no database " * 1000)
        result = daemon_check(bridge)
        assert result.returncode == 1 and "shipped profiles and roles alone" in result.stderr and "'extra'" in result.stderr
        (bridge.folder / "store.db").unlink()
        bridge.write_config(CONFIG)
        result = daemon_check(bridge)
        assert result.returncode == 0 and not (bridge.folder / "store.db").exists(), "nothing is written"


def test_what_the_store_names_is_refused_where_it_stands():
    """A file's role that a rule of the store gives cannot go: the reload says which rule."""
    with Bridge(CONFIG, {"staff.csv": STAFF}) as bridge:
        api = Api(bridge.folder / "control.sock")
        rule_good(api, "POST", "rules", dict(RULE, grant={"roles": ["fixed"]}))
        plan = rule_good(api, "POST", "rules/clerks/activate?dry_run=true")["plan"]
        rule_good(api, "POST", "rules/clerks/activate", {"plan": plan})
        bridge.write_config("\n".join(line for line in CONFIG.splitlines()
                                      if "name: fixed" not in line and "grant: {roles: [fixed]}" not in line)
                            .replace("roles:\n", "").replace("rules:\n", ""))
        result = bridge.run("reload")
        assert result.returncode == 1
        found = [f for f in json.loads(result.stdout)["diagnostics"] if f["severity"] == "error"]
        assert [(f["code"], f["file"]) for f in found] == [("unknown-role", "store")]
        assert [r["id"] for r in rule_good(api, "GET", "rules")["rules"]] == ["sellers", "watched", "clerks"]
        api.close()


def test_what_the_store_reads_stops_no_start():
    """A rule whose condition nobody can answer any more gains nobody and keeps what it gave and what it kept away."""
    with Bridge(CONFIG, {"staff.csv": STAFF.replace(",8,", ",7,")}) as bridge:
        bridge.ctl("sync")
        api = Api(bridge.folder / "control.sock")
        for rule, part in (("gives", {"grant": {"roles": ["analyst"]}}), ("denies", {"deny": {"roles": ["fixed"]}})):
            rule_good(api, "POST", "rules", {"id": rule, "when": "(city=Bonn)", **part})
            plan = rule_good(api, "POST", f"rules/{rule}/activate?dry_run=true")["plan"]
            rule_good(api, "POST", f"rules/{rule}/activate", {"plan": plan})
        bridge.ctl("sync")
        assert (roles_of(bridge, "anna"), roles_of(bridge, "ben")) == (["fixed"], ["analyst"])
        api.close()
        bridge.stop()
        bridge.write_config(CONFIG.replace("title, city]", "title]"))
        assert daemon_check(bridge).returncode == 1
        bridge.write("staff.csv", STAFF.replace(",8,", ",7,") + "3,carl,carl@x.example,,7,Clerk,Bonn\n")
        bridge.start()
        assert [a["kind"] for a in bridge.ctl("alarms", "list")["alarms"]] == ["definitions-incomplete"]
        bridge.ctl("sync")
        assert (roles_of(bridge, "anna"), roles_of(bridge, "ben")) == (["fixed"], ["analyst"])
        assert roles_of(bridge, "carl") == []
        assert "nothing declares any more" in bridge.run("why", "ben").stdout
        assert bridge.run("reload").returncode == 1


def test_what_the_store_names_stops_no_start():
    """Refused at the reload, or never reloaded: who starts with it must not be locked out by a row of the store."""
    names = [f"kept-{n}" for n in range(2)]
    declared = "".join(f'  - {{name: {name}, classifications: [Sales], segments: [Banking], permissions: ["a:b@all"]}}\n'
                       for name in names)
    with Bridge(CONFIG.replace("roles:\n", "roles:\n" + declared, 1), {"staff.csv": STAFF}) as bridge:
        bridge.ctl("sync")
        api = Api(bridge.folder / "control.sock")
        for rule, part in (("gives", "grant"), ("denies", "deny")):
            rule_good(api, "POST", "rules", {"id": rule, "when": "(title=Clerk)", part: {"roles": [names[part == "deny"]]}})
            plan = rule_good(api, "POST", f"rules/{rule}/activate?dry_run=true")["plan"]
            rule_good(api, "POST", f"rules/{rule}/activate", {"plan": plan})
        assert roles_of(bridge, "ben") == ["kept-0"]
        api.close()
        bridge.stop()
        bridge.write_config(CONFIG)
        assert daemon_check(bridge).returncode == 1
        bridge.start()
        assert roles_of(bridge, "ben") == ["kept-0"], "as before: without a permission, and not without a rule"
        assert [a["kind"] for a in bridge.ctl("alarms", "list")["alarms"]] == ["definitions-incomplete"]
        assert bridge.run("reload").returncode == 1
        api = Api(bridge.folder / "control.sock")
        assert [r["id"] for r in rule_good(api, "GET", "rules")["rules"]] == ["sellers", "watched", "gives", "denies"]
        # Everything else can be defined; what is changed must be right; one after the other can be put right.
        api.good("POST", "roles", dict(ROLE, name="other"))
        wrong = {"id": "gives", "when": "(title=Clerk)", "grant": {"roles": ["kept-0"]}}
        assert api.bad("PUT", "rules/gives", wrong)[:2] == (422, "unknown-role")
        rule_good(api, "DELETE", "rules/gives")
        assert roles_of(bridge, "ben") == []
        assert bridge.run("reload").returncode == 1
        api.good("POST", "roles", dict(ROLE, name="kept-1"))
        bridge.ctl("reload")
        assert bridge.ctl("alarms", "list")["alarms"] == []
        api.close()


def test_drafts_have_a_bound():
    """Nobody is evaluated by them, but each start reads them: without end they would keep it from starting."""
    with Bridge(CONFIG, {"staff.csv": STAFF}) as own:
        api = Api(own.folder / "control.sock")
        large = dict(RULE, when="(title=" + '"' * 65000 + ")")
        for n in range(150):
            status, answer, _ = api.call("POST", "rules", dict(large, id=f"draft-{n}"))
            if status != 201:
                break
        assert (status, answer["code"]) == (413, "too-large") and n > 100
        assert api.bad("POST", "rules", dict(large, id="other"))[0] == 413
        rule_good(api, "PUT", "rules/draft-0", dict(large, id="draft-0"))
        rule_good(api, "DELETE", "rules/draft-0")
        rule_good(api, "POST", "rules", dict(large, id="other"))
        api.good("POST", "roles", dict(ROLE, name="meanwhile"))
        api.close()
        own.stop()
        own.start()


def test_rules_leave_an_administrator(bridge, api):
    """The last one stays, whoever draws the rule that made them, or one against it, back."""
    with Bridge(CONFIG, {"staff.csv": STAFF}) as own:
        own.ctl("sync")
        api = Api(own.folder / "control.sock")

        def activate(body):
            rule_good(api, "POST", "rules", body)
            plan = rule_good(api, "POST", f"rules/{body['id']}/activate?dry_run=true")["plan"]
            rule_good(api, "POST", f"rules/{body['id']}/activate", {"plan": plan})
            for held in own.ctl("plans", "list")["plans"]:
                own.ctl("apply", held["id"])

        def administrators():
            return [u["username"] for u in own.ctl("users", "list", "--profile", "administrator")["users"] if u["active"]]

        activate({"id": "boss", "when": "(title=Clerk)", "grant": {"profile": "administrator"}})
        assert administrators() == ["ben"]
        activate({"id": "against", "when": "(title=Clerk)", "deny": {"profile": "administrator"}})
        assert administrators() == ["ben"]
        rule_good(api, "DELETE", "rules/boss")
        rule_good(api, "DELETE", "rules/against")
        assert administrators() == ["ben"]
        api.close()


# --- beside a directory that is followed ---


def test_followers_go_on(directory):  # noqa: F811
    """A new definition interrupts nobody; a rule of the store counts for what changes in the directory."""
    with Followed(config(directory.url, password=directory.password_file)) as bridge:
        bridge.connected()
        api = Api(bridge.folder / "control.sock")
        worker = bridge.worker()
        segment = api.good("GET", "roles/analyst")["segments"]
        api.good("POST", "roles", dict(ROLE, name="stars", segments=segment))
        rule_good(api, "POST", "rules", {"id": "stars", "when": "(title=star)", "grant": {"roles": ["stars"]}})
        plan = rule_good(api, "POST", "rules/stars/activate?dry_run=true")["plan"]
        rule_good(api, "POST", "rules/stars/activate", {"plan": plan})
        for n in range(5):
            api.good("PATCH", "roles/stars", {"description": f"changed {n}"})
            directory.modify(attribute(f"u{n}", "replace: title\ntitle: star\n-"))
        bridge.until(lambda: all("stars" in bridge.roles(f"u{n}") for n in range(5)), "the stars' role")
        assert bridge.connected() and bridge.worker() == worker
        api.close()
