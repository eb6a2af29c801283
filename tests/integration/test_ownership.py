"""Resources, references and decisions through rolebridgectl and the API of a real daemon."""
import json
import random
import urllib.parse

import pytest

from bridge import Bridge, Refused
from control import Control
from test_control import check, whoami

CONFIG = """
profiles:
  - {name: administrator, permissions: ["*:*@all"]}
  - {name: csm, permissions: ["accounts:*@own", "accounts:*@unassigned"]}
  - {name: reader, permissions: ["accounts:read@all", "tasks:close@own", "metrics:read@all"]}
  - {name: nothing, permissions: []}
segments: [All]
organizations: [{name: partners}]
roles:
  - {name: closer, description: Closes, classifications: [Support], segments: [All], permissions: ["tasks:*@all"]}
policy: {default_profile: nothing, missing_runs: 1, missing_grace: 0s}
sources:
  - {name: staff, type: csv, path: staff.csv, key: id, interval: 0, attributes: [uid, mail, displayName]}
  - {name: partners, type: csv, path: partners.csv, key: id, interval: 0, organization: partners,
     attributes: [uid, mail, displayName]}
"""

STAFF = "id,uid,mail,displayName\n1,dora,dora@x.example,Dora\n2,emil,emil@x.example,Emil\n3,fritz,,\n4,gerd,,\n"
PARTNERS = "id,uid,mail,displayName\n1,far,far@y.example,Far\n"
RESOURCE = "/api/v1/resources/{application}/{type}/{id}"


@pytest.fixture(scope="module")
def bridge():
    with Bridge(CONFIG, {"staff.csv": STAFF, "partners.csv": PARTNERS}) as bridge:
        bridge.ctl("users", "create", "root-user", "--profile", "administrator")
        for name, profile in (("anna", "csm"), ("ben", "csm"), ("carl", "reader"), ("nora", "nothing")):
            bridge.ctl("users", "create", name, "--email", name + "@x.example", "--profile", profile)
        bridge.ctl("sync")
        yield bridge


def ask(control, method, path, body=None, headers=None):
    """(status, answer, headers)."""
    text = None if body is None else body if isinstance(body, bytes) else json.dumps(body)
    control.request(method, "/api/v1/" + path, text,
                    {**({"Content-Type": "application/json"} if text else {}), **(headers or {})})
    response = control.getresponse()
    return response.status, json.loads(response.read()), response.headers


def quoted(*parts):
    return "/".join(urllib.parse.quote(part, safe="") for part in parts)


def put(control, type_, id_, status=201, application="crm", **body):
    answered, resource, _ = ask(control, "PUT", "resources/" + quoted(application, type_, id_), body)
    assert answered == status, resource
    return resource


def refuse(control, method, path, body=None, headers=None):
    status, answer, _ = ask(control, method, path, body, headers)
    assert status >= 400, answer
    return status, answer["code"], answer.get("field")


def decide(control, user, permission, type_=None, id_=None, application="crm"):
    body = {"user": user, "permission": permission}
    if type_:
        body["resource"] = {"application": application, "type": type_, "id": id_}
    status, answer, _ = ask(control, "POST", "decide", body)
    assert status == 200, answer
    check(answer, "/api/v1/decide", "post")
    return answer["decision"], answer["reason"]


def parent(type_, id_):
    return {"type": type_, "id": id_}


# --- resources ---


def test_put_get_delete(bridge, control):
    made = check(put(control, "accounts", "a1", owner="anna", title="Acme"), RESOURCE, "put", "201")
    assert (made["owner"]["username"], made["title"], made["parent"], made["version"], made["organization"]) == \
        ("anna", "Acme", None, 1, "default")
    assert put(control, "accounts", "a1", 200, owner="anna@x.example", title="Acme") == made
    changed = put(control, "accounts", "a1", 200, owner="ben", title="Acme")
    assert (changed["owner"]["username"], changed["version"]) == ("ben", 2)
    task = put(control, "tasks", "t1", parent=parent("accounts", "a1"), title="Call")
    assert task["parent"] == parent("accounts", "a1")
    status, listed, _ = ask(control, "GET", "resources/crm/accounts/a1/children")
    assert status == 200 and [child["id"] for child in listed["resources"]] == ["t1"]
    rows = bridge.ctl("audit", "list", "--object", "resource:crm/accounts/a1")["rows"][::-1]
    assert [row["action"] for row in rows] == ["resource.create", "resource.update"]
    assert rows[0]["actor"] == "unix:" + whoami()
    assert rows[1]["detail"]["before"]["owner"] == made["owner"]["id"]
    assert set(rows[1]["detail"]["after"]) == {"owner"}
    assert refuse(control, "DELETE", "resources/crm/accounts/a1") == (409, "resource-has-children", None)
    status, answer, _ = ask(control, "DELETE", "resources/crm/accounts/a1?recursive=true")
    assert (status, answer) == (200, {"removed": 2})
    assert refuse(control, "GET", "resources/crm/tasks/t1") == (404, "not-found", None)
    assert refuse(control, "DELETE", "resources/crm/tasks/t1") == (404, "not-found", None)


def test_decide(control):
    put(control, "accounts", "mine", owner="anna")
    put(control, "accounts", "theirs", owner="ben")
    put(control, "accounts", "free")
    for name in ("mine", "theirs", "free"):
        put(control, "tasks", "t-" + name, parent=parent("accounts", name))
    assert decide(control, "anna", "accounts:read", "accounts", "mine") == ("allow", "granted")
    assert decide(control, "anna", "accounts:read", "accounts", "free") == ("allow", "granted")
    assert decide(control, "anna", "accounts:read", "accounts", "theirs") == ("deny", "scope")
    assert decide(control, "anna", "tasks:read", "tasks", "t-mine") == ("allow", "granted")
    assert decide(control, "anna", "tasks:read", "tasks", "t-theirs") == ("deny", "account-not-readable")
    assert decide(control, "carl", "tasks:close", "tasks", "t-theirs") == ("deny", "scope")
    assert decide(control, "carl", "tasks:read", "tasks", "t-theirs") == ("allow", "granted")
    assert decide(control, "nora", "accounts:read", "accounts", "mine") == ("deny", "not-granted")
    assert decide(control, "nobody", "accounts:read", "accounts", "mine") == ("deny", "unknown-user")
    assert decide(control, "anna", "accounts:read", "accounts", "none") == ("deny", "unknown-resource")
    put(control, "accounts", "theirs", 200, owner="anna")
    assert decide(control, "anna", "tasks:read", "tasks", "t-theirs") == ("allow", "granted")


def test_disable_with_references(bridge, control):
    bridge.ctl("users", "create", "lea", "--profile", "csm")
    put(control, "accounts", "leas", owner="lea", title="Lea's")
    status, answer, _ = ask(control, "PUT", "references/crm/account-manager/m1", {"user": "lea", "label": "Manages"})
    assert status == 201 and answer["user"]["username"] == "lea"
    status, answer, _ = ask(control, "POST", "users/lea/disable", {})
    assert (status, answer["code"]) == (409, "user-has-references")
    assert [(r["kind"], r["id"]) for r in answer["details"]["references"]] == [("account-manager", "m1"),
                                                                             ("owner", "leas")]
    assert answer["details"]["total"] == 2
    assert bridge.ctl("users", "show", "lea")["active"]
    status, answer, _ = ask(control, "POST", "users/lea/reassign", {"to": "anna"})
    assert (status, answer) == (200, {"moved": 2})
    assert ask(control, "POST", "users/lea/disable", {})[0] == 200


# --- what is wrong with it ---

CONTROL_CHARACTERS = ["a\nb", "a\x7f", "\x01"]
LONG = "x" * 300

PUT_REFUSED = [
    ("unknown parent", {"parent": parent("accounts", "none")}, 422, "not-found", "parent"),
    ("itself", {"parent": parent("accounts", "bad")}, 422, "not-found", "parent"),
    ("parent without a type", {"parent": {"id": "a"}}, 422, "invalid-request", "parent.type"),
    ("parent is a text", {"parent": "accounts/a"}, 422, "invalid-request", "parent"),
    ("parent with more", {"parent": {"type": "a", "id": "b", "c": 1}}, 422, "invalid-request", "parent.c"),
    ("parent's id too long", {"parent": parent("accounts", LONG)}, 422, "invalid-request", "parent.id"),
    ("unknown owner", {"owner": "nobody"}, 422, "not-found", "owner"),
    ("owner elsewhere", {"owner": "far", "organization": "default"}, 422, "not-found", "owner"),
    ("owner is a number", {"owner": 7}, 422, "invalid-request", "owner"),
    ("owner too long", {"owner": "x" * 400}, 422, "invalid-request", "owner"),
    ("title too long", {"title": "x" * 1025}, 422, "invalid-request", "title"),
    ("title with a line break", {"title": "a\nb"}, 422, "invalid-request", "title"),
    ("unknown organization", {"organization": "nowhere"}, 404, "not-found", "organization"),
    ("unknown field", {"tittle": "x"}, 422, "invalid-request", "tittle"),
    ("no object", [], 400, "invalid-request", None),
    ("no JSON", b"{", 400, "invalid-request", None),
    ("not UTF-8", b'{"title":"\xff"}', 400, "invalid-request", None),
    ("twice", b'{"title":"a","title":"b"}', 400, "invalid-request", None),
    ("deep", b'{"parent":' + b"[" * 5000 + b"]" * 5000 + b"}", 400, "invalid-request", None),
]


@pytest.mark.parametrize("case", PUT_REFUSED, ids=[c[0] for c in PUT_REFUSED])
def test_put_refused(control, case):
    _, body, status, code, field = case
    assert refuse(control, "PUT", "resources/crm/accounts/bad", body) == (status, code, field)
    assert refuse(control, "GET", "resources/crm/accounts/bad") == (404, "not-found", None)


NAMES_REFUSED = [
    ("application", "CRM", "accounts", "a", "application"),
    ("application with a space", "c rm", "accounts", "a", "application"),
    ("type", "crm", "Accounts", "a", "type"),
    ("type that no permission could name", "crm", "7tasks", "a", "type"),
    ("any type", "crm", "*", "a", "type"),
    ("type too long", "crm", "a" * 65, "a", "type"),
    ("id too long", "crm", "accounts", "ä" * 129, "id"),
    ("line break", "crm", "accounts", "a\nb", "id"),
    ("delete", "crm", "accounts", "a\x7f", "id"),
]


@pytest.mark.parametrize("case", NAMES_REFUSED, ids=[c[0] for c in NAMES_REFUSED])
def test_names_refused(control, case):
    _, application, type_, id_, field = case
    path = "resources/" + quoted(application, type_, id_)
    assert refuse(control, "PUT", path, {}) == (422, "invalid-request", field)
    reference = {"type": "kind"}.get(field, field)
    assert refuse(control, "PUT", "references/" + quoted(application, type_, id_), {"user": "anna"}) == \
        (422, "invalid-request", reference)


HOSTILE = ["a/b", "../../etc/passwd", "%2e%2e", "'; DROP TABLE resource; --", "<script>", "a b", "\u202eevil", "ä" * 128,
           "%", "?x=1", "#", "a\\b", '"', "{id}", "children", "0", "a" * 256, "\U0001f600", "..."]


@pytest.mark.parametrize("id_", HOSTILE)
def test_hostile_ids(bridge, control, id_):
    made = put(control, "accounts", id_, application="hostile", title=id_[:100])
    assert made["id"] == id_
    child = put(control, "tasks", id_, application="hostile", parent=parent("accounts", id_))
    assert child["parent"]["id"] == id_
    assert decide(control, "anna", "tasks:read", "tasks", id_, "hostile") == ("allow", "granted")
    assert bridge.ctl("resources", "show", "hostile", "accounts", id_)["id"] == id_
    _, listed, _ = ask(control, "GET", "resources/" + quoted("hostile", "accounts", id_) + "/children")
    assert [r["id"] for r in listed["resources"]] == [id_]
    _, listed, _ = ask(control, "POST", "decide/list", {"user": "anna", "permission": "tasks:read", "type": "tasks",
                                                       "application": "hostile", "parent": parent("accounts", id_)})
    assert listed["resources"] == [{"type": "tasks", "id": id_}]
    assert bridge.run("resources", "delete", "hostile", "accounts", id_, "--recursive").returncode == 0


def test_dots_and_nul(control):
    for path in ("resources/crm/accounts/..", "resources/crm/accounts/%2e%2e", "resources/crm/accounts/%00",
                 "resources/crm/accounts/%ff"):
        status, code, _ = refuse(control, "PUT", path, {})
        assert status in (400, 404), code
    status, answer, _ = ask(control, "POST", "resources/crm", {"resources": [{"type": "accounts", "id": ".."}]})
    assert status == 200 and answer["results"][0]["code"] == "invalid-request"


def test_cycles_and_depth(control):
    put(control, "groups", "l1")
    for level in range(2, 33):
        put(control, "groups", f"l{level}", parent=parent("groups", f"l{level - 1}"))
    assert refuse(control, "PUT", "resources/crm/groups/l33", {"parent": parent("groups", "l32")}) == \
        (422, "resource-depth", "parent")
    for below in ("l1", "l2", "l32"):
        assert refuse(control, "PUT", "resources/crm/groups/l1", {"parent": parent("groups", below)}) == \
            (422, "resource-cycle", "parent")
    put(control, "groups", "top")
    assert refuse(control, "PUT", "resources/crm/groups/l1", {"parent": parent("groups", "top")}) == \
        (422, "resource-depth", "parent")
    put(control, "groups", "l17", 200, parent=parent("groups", "top"))
    put(control, "groups", "l1", 200, parent=parent("groups", "top"))
    assert refuse(control, "PUT", "resources/crm/groups/top", {"parent": parent("groups", "l20")}) == \
        (422, "resource-cycle", "parent")


def test_versions(control):
    put(control, "accounts", "v", title="1")
    assert ask(control, "PUT", "resources/crm/accounts/v", {"title": "2"}, {"If-Match": '"1"'})[0] == 200
    assert refuse(control, "PUT", "resources/crm/accounts/v", {"title": "3"}, {"If-Match": '"1"'}) == \
        (412, "stale-version", None)
    assert refuse(control, "DELETE", "resources/crm/accounts/v", None, {"If-Match": '"1"'}) == \
        (412, "stale-version", None)
    assert refuse(control, "PUT", "resources/crm/accounts/v2", {}, {"If-Match": '"1"'}) == (412, "stale-version", None)
    assert ask(control, "GET", "resources/crm/accounts/v")[2]["ETag"] == '"2"'


# --- many at once ---


def test_bulk(control):
    rows = [{"type": "tasks", "id": "b3", "parent": parent("tasks", "b2")},
            {"type": "tasks", "id": "b2", "parent": parent("accounts", "b1")},
            {"type": "accounts", "id": "b1", "owner": "anna"},
            {"type": "accounts", "id": "bx", "owner": "nobody"},
            {"type": "tasks", "id": "by", "parent": parent("accounts", "bx")},
            {"type": "Wrong", "id": "b"},
            {"type": "loops", "id": "p", "parent": parent("loops", "q")},
            {"type": "loops", "id": "q", "parent": parent("loops", "p")}]
    status, answer, _ = ask(control, "POST", "resources/bulk", {"resources": rows})
    assert status == 200
    check(answer, "/api/v1/resources/{application}", "post")
    assert [row["outcome"] for row in answer["results"]] == ["created"] * 3 + ["refused"] * 5
    assert [(row["code"], row["field"]) for row in answer["results"][3:6]] == \
        [("not-found", "owner"), ("not-found", "parent"), ("invalid-request", "type")]
    assert [row["code"] for row in answer["results"][6:]] == ["not-found"] * 2
    again = ask(control, "POST", "resources/bulk", {"resources": rows[:3]})[1]
    assert (again["unchanged"], again["created"], again["updated"], again["refused"]) == (3, 0, 0, 0)
    assert decide(control, "anna", "tasks:read", "tasks", "b3", "bulk") == ("allow", "granted")
    for body, field in (({}, "resources"), ({"resources": 1}, "resources"), ({"resources": [1]}, "resources[0]"),
                        ({"resources": [{"type": "a"}]}, "resources[0].id"),
                        ({"resources": [{"type": "a", "id": "b", "x": 1}]}, "resources[0].x"),
                        ({"resources": [{"type": "a", "id": "b", "parent": 7}]}, "resources[0].parent")):
        status, code, told = refuse(control, "POST", "resources/bulk", body)
        assert (status in (400, 422), code, told) == (True, "invalid-request", field)


def test_ten_thousand(control):
    rows = [{"type": "tasks" if n % 10 else "accounts", "id": f"n{n}", "owner": "ben" if n % 20 == 0 else None,
             "parent": parent("accounts", f"n{n - n % 10}") if n % 10 else None} for n in range(10_000)]
    rows.reverse()
    status, answer, _ = ask(control, "POST", "resources/large", {"resources": rows})
    assert (status, answer["created"], answer["refused"]) == (200, 10_000, 0)
    assert refuse(control, "POST", "resources/large", {"resources": rows + rows[:1]}) == \
        (422, "invalid-request", "resources")
    found, after = [], 0
    while after is not None:
        _, page, _ = ask(control, "GET", f"resources?application=large&type=accounts&limit=300&after={after}")
        found += [r["id"] for r in page["resources"]]
        after = page["next"]
    assert len(found) == len(set(found)) == 1000
    found, after = [], 0
    while after is not None:
        _, page, _ = ask(control, "POST", "decide/list", {"user": "ben", "permission": "tasks:read", "type": "tasks",
                                                         "application": "large", "after": after, "limit": 1000})
        found += [r["id"] for r in page["resources"]]
        after = page["next"]
    assert len(found) == len(set(found)) == 9000
    # Of anna only those that nobody has: not Ben's, nor what stands below them.
    found, after = [], 0
    while after is not None:
        _, page, _ = ask(control, "POST", "decide/list", {"user": "anna", "permission": "tasks:read", "type": "tasks",
                                                         "application": "large", "after": after, "limit": 1000})
        found += [r["id"] for r in page["resources"]]
        after = page["next"]
    assert sorted(found) == sorted(f"n{n}" for n in range(10_000) if n % 10 and (n - n % 10) % 20)


# --- references ---


def test_references(bridge, control):
    path = "references/crm/playbook-task/" + quoted("Q3/renewals")
    status, made, _ = ask(control, "PUT", path, {"user": "ben", "label": "Renewals"})
    assert status == 201
    check(made, "/api/v1/references/{application}/{kind}/{id}", "put", "201")
    assert ask(control, "PUT", path, {"user": "ben@x.example", "label": "Renewals"})[:2] == (200, made)
    assert ask(control, "GET", path)[1] == made
    for body, expected in (({"user": "nobody"}, (422, "not-found", "user")), ({}, (422, "invalid-request", "user")),
                           ({"user": 1}, (422, "invalid-request", "user")),
                           ({"user": "ben", "label": "x" * 2000}, (422, "invalid-request", "label")),
                           ({"user": "ben", "more": 1}, (422, "invalid-request", "more"))):
        assert refuse(control, "PUT", path, body) == expected
    assert refuse(control, "PUT", "references/crm/owner/x", {"user": "ben"}) == (422, "invalid-request", "kind")
    assert refuse(control, "GET", "references/crm/none/x") == (404, "not-found", None)
    put(control, "accounts", "bens", owner="ben")
    kinds = [(r["kind"], r["id"]) for r in bridge.ctl("references", "list", "--user", "ben", "--application",
                                                    "crm")["references"]]
    assert ("playbook-task", "Q3/renewals") in kinds and ("owner", "bens") in kinds
    found, after = [], 0
    while after is not None:
        page = check(bridge.ctl("references", "list", "--user", "ben", "--limit", "1", "--after", after),
                     "/api/v1/references")
        found += [(r["application"], r["kind"], r.get("type"), r["id"]) for r in page["references"]]
        after = page["next"]
        if len(found) > 20:
            break
    assert len(found) == len(set(found))
    assert ask(control, "DELETE", path)[1] == {"removed": 1}
    assert refuse(control, "DELETE", path) == (404, "not-found", None)
    actions = [row["action"] for row in bridge.ctl("audit", "list", "--object",
                                                   "reference:crm/playbook-task/Q3/renewals")["rows"]]
    assert sorted(actions) == ["reference.create", "reference.delete"]


REASSIGN_REFUSED = [
    ("nobody", {"to": "nobody"}, (422, "not-found", "to")),
    ("themselves", {"to": "ben"}, (422, "invalid-request", "to")),
    ("elsewhere", {"to": "far"}, (422, "not-found", "to")),
    ("missing", {}, (422, "invalid-request", "to")),
    ("wrong type", {"to": ["anna"]}, (422, "invalid-request", "to")),
    ("unknown field", {"to": "anna", "from": "ben"}, (422, "invalid-request", "from")),
]


@pytest.mark.parametrize("case", REASSIGN_REFUSED, ids=[c[0] for c in REASSIGN_REFUSED])
def test_reassign_refused(control, case):
    assert refuse(control, "POST", "users/ben/reassign", case[1]) == case[2]
    assert refuse(control, "POST", "users/nobody/reassign", {"to": "anna"}) == (404, "not-found", None)


def test_reassign_by_command(bridge, control):
    bridge.ctl("users", "create", "mia", "--profile", "csm")
    put(control, "accounts", "mias", owner="mia")
    put(control, "accounts", "shop", application="shop", owner="mia")
    assert bridge.ctl("references", "put", "crm", "account-manager", "m7", "mia", "--label", "Seven")["label"] == "Seven"
    assert bridge.human("references", "show", "crm", "account-manager", "m7").stdout.splitlines()[:2] == [
        "crm/account-manager/m7  Seven", "  user           mia"]
    text = bridge.human("users", "disable", "mia")
    assert text.returncode == 1 and "user-has-references" in text.stderr
    assert "crm account-manager m7  Seven" in text.stderr and "shop owner accounts/shop" in text.stderr
    with pytest.raises(Refused):
        bridge.ctl("users", "reassign", "mia", "nobody")
    assert bridge.ctl("users", "reassign", "mia", "ben", "--application", "shop") == {"moved": 1}
    assert bridge.run("users", "disable", "mia").returncode == 1
    assert bridge.human("users", "reassign", "mia", "ben").stdout == "2 moved to ben.\n"
    bridge.ctl("users", "disable", "mia")
    row, = bridge.ctl("audit", "list", "--object", "user:" + bridge.ctl("users", "show", "mia")["id"], "--action",
                      "user.reassign", "--limit", "1")["rows"]
    assert row["detail"]["moved"] == 2
    # Whoever is disabled takes on nothing.
    assert refuse(control, "PUT", "resources/crm/accounts/mias", {"owner": "mia"}) == (409, "user-disabled", "owner")
    assert refuse(control, "PUT", "references/crm/a/b", {"user": "mia"}) == (409, "user-disabled", "user")
    assert refuse(control, "POST", "users/ben/reassign", {"to": "mia"}) == (409, "user-disabled", "to")


def test_disabled_by_source(bridge, control):
    put(control, "accounts", "doras", owner="dora")
    ask(control, "PUT", "references/crm/account-manager/d", {"user": "dora"})
    put(control, "accounts", "emils", owner="emil")
    bridge.write("staff.csv", "\n".join(line for line in STAFF.splitlines() if ",dora," not in line) + "\n")
    bridge.ctl("sync", "staff")
    dora = bridge.ctl("users", "show", "dora")
    assert not dora["active"]
    assert decide(control, "dora", "accounts:read", "accounts", "doras") == ("deny", "user-disabled")
    orphaned = bridge.ctl("references", "list", "--orphaned")["references"]
    assert [(r["kind"], r["id"], r["orphaned"]) for r in orphaned] == [("account-manager", "d", True),
                                                                    ("owner", "doras", True)]
    status = check(bridge.ctl("status"), "/api/v1/status")
    assert status["orphaned"] == {"users": 1, "references": 2}
    assert [a["kind"] for a in status["alarms"]].count("references-orphaned") == 1
    assert "references list --orphaned" in bridge.human("status").stdout
    # Nobody deletes them meanwhile, and what is theirs can be moved, removed or given to somebody.
    status, answer, _ = ask(control, "DELETE", "users/dora")
    assert (status, answer["code"], answer["details"]["total"]) == (409, "user-has-references", 2)
    put(control, "accounts", "doras", 200, owner="anna")
    assert bridge.ctl("status")["orphaned"] == {"users": 1, "references": 1}
    assert bridge.ctl("users", "reassign", "dora", "anna") == {"moved": 1}
    status = bridge.ctl("status")
    assert status["orphaned"] == {"users": 0, "references": 0}
    assert "references-orphaned" not in [a["kind"] for a in status["alarms"]]
    assert ask(control, "DELETE", "users/dora")[0] == 200


def test_back_again(bridge, control):
    put(control, "accounts", "emils2", owner="emil")
    bridge.write("staff.csv", "\n".join(line for line in STAFF.splitlines() if ",emil," not in line) + "\n")
    bridge.ctl("sync", "staff")
    assert bridge.ctl("status")["orphaned"]["users"] == 1
    bridge.write("staff.csv", STAFF)
    bridge.ctl("sync", "staff")
    assert bridge.ctl("users", "show", "emil")["active"]
    assert bridge.ctl("status")["orphaned"] == {"users": 0, "references": 0}
    assert decide(control, "emil", "accounts:read", "accounts", "emils2")[0] == "deny"


# --- decisions ---

DECIDE_REFUSED = [
    ("no user", {"permission": "a:b"}, "user"),
    ("no permission", {"user": "anna"}, "permission"),
    ("bad permission", {"user": "anna", "permission": "accounts"}, "permission"),
    ("bad scope", {"user": "anna", "permission": "accounts:read@mine"}, "permission"),
    ("any verb", {"user": "anna", "permission": "accounts:*"}, "permission"),
    ("user is a number", {"user": 1, "permission": "a:b"}, "user"),
    ("user too long", {"user": "x" * 400, "permission": "a:b"}, "user"),
    ("permission too long", {"user": "anna", "permission": "a" * 150 + ":" + "b" * 60}, "permission"),
    ("unknown field", {"user": "anna", "permission": "a:b", "why": True}, "why"),
    ("resource is a text", {"user": "anna", "permission": "a:b", "resource": "crm/a/b"}, "resource"),
    ("resource without id", {"user": "anna", "permission": "a:b", "resource": {"application": "crm", "type": "a"}},
     "resource.id"),
    ("resource's id too long", {"user": "anna", "permission": "a:b",
                                "resource": {"application": "crm", "type": "a", "id": "ä" * 200}}, "resource.id"),
]


@pytest.mark.parametrize("case", DECIDE_REFUSED, ids=[c[0] for c in DECIDE_REFUSED])
def test_decide_refused(control, case):
    assert refuse(control, "POST", "decide", case[1]) == (422, "invalid-request", case[2])


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"user":"a"', b'"x"', b'{"user":"anna","permission":"a:b"}x',
                                  b'{"user":"anna","user":"anna","permission":"a:b"}', b'{"user":"\xff"}'])
def test_decide_malformed(control, body):
    status, code, _ = refuse(control, "POST", "decide", body, {"Content-Type": "application/json"})
    assert (status in (400, 422), code) == (True, "invalid-request")


SPELLINGS = [
    '{"user":"anna","permission":"accounts:read","resource":{"application":"crm","type":"accounts","id":"spelled"}}',
    ' {\n"resource" : { "id":"spelled" , "type":"accounts","application":"crm"},\t"permission":"accounts:read",'
    '"user":"anna" }\r\n',
    '{"user":"\\u0061nna","permission":"accounts:read","resource":{"application":"crm","type":"accounts",'
    '"id":"spel\\u006ced"}}',
    '{"user":"ANNA@X.example","permission":"accounts:read@unassigned","resource":{"application":"crm",'
    '"type":"accounts","id":"spelled"}}',
]


@pytest.mark.parametrize("text", SPELLINGS)
def test_decide_spellings(control, text):
    """What is read at once, and what the general reader reads, are one language."""
    put(control, "accounts", "spelled", None or 201) if ask(control, "GET", "resources/crm/accounts/spelled")[0] == 404 \
        else None
    status, answer, _ = ask(control, "POST", "decide", text.encode(), {"Content-Type": "application/json"})
    assert (status, answer) == (200, {"decision": "allow", "reason": "granted", "by": "accounts:*@unassigned"})


def test_decide_without_resource(control):
    assert decide(control, "carl", "metrics:read") == ("allow", "granted")
    assert decide(control, "anna", "accounts:read") == ("deny", "scope")
    assert decide(control, "anna", "accounts:read@own") == ("allow", "granted")
    assert decide(control, "anna", "billing:read") == ("deny", "not-granted")


def test_other_organization(control):
    put(control, "accounts", "fars", owner="far")
    assert decide(control, "carl", "accounts:read", "accounts", "fars") == ("deny", "other-organization")
    assert refuse(control, "PUT", "resources/crm/tasks/mixed", {"parent": parent("accounts", "fars"),
                                                                 "owner": "anna"}) == (422, "not-found", "owner")
    assert refuse(control, "PUT", "resources/crm/tasks/mixed", {"parent": parent("accounts", "fars"),
                                                                 "organization": "default"}) == \
        (422, "other-organization", "organization")
    put(control, "accounts", "homes", owner="anna")
    assert refuse(control, "PUT", "resources/crm/accounts/homes", {"parent": parent("accounts", "fars")}) == \
        (422, "other-organization", "parent")


def test_role_at_once(bridge, control):
    put(control, "accounts", "roles", owner="ben")
    put(control, "tasks", "roles", parent=parent("accounts", "roles"))
    assert decide(control, "carl", "tasks:delete", "tasks", "roles") == ("deny", "not-granted")
    bridge.ctl("users", "grant", "carl", "role", "closer")
    assert decide(control, "carl", "tasks:delete", "tasks", "roles") == ("allow", "granted")
    bridge.ctl("users", "revoke", "carl", "role", "closer")
    assert decide(control, "carl", "tasks:delete", "tasks", "roles") == ("deny", "not-granted")


def test_decide_by_command(bridge, control):
    put(control, "accounts", "cmd", owner="anna")
    text = bridge.human("decide", "anna", "accounts:update", "crm/accounts/cmd")
    assert (text.returncode, text.stdout) == (0, "allow  granted by accounts:*@own\n")
    text = bridge.human("decide", "ben", "accounts:update", "crm/accounts/cmd")
    assert (text.returncode, text.stdout) == (1, "deny  scope\n")
    assert bridge.human("decide", "ben", "accounts:update", "crm/accounts").returncode == 2
    listed = bridge.ctl("resources", "visible", "carl", "accounts:read", "crm", "accounts", "--limit", "1000")
    assert "cmd" in [r["id"] for r in listed["resources"]]


def test_commands(bridge):
    made = bridge.ctl("resources", "put", "cli", "accounts", "a/1", "--owner", "anna", "--title", "One")
    assert (made["id"], made["owner"]["username"], made["title"]) == ("a/1", "anna", "One")
    bridge.ctl("resources", "put", "cli", "tasks", "t", "--parent", "accounts/a/1")
    assert "a/1" in bridge.human("resources", "children", "cli", "accounts", "a/1").stdout
    assert bridge.human("resources", "show", "cli", "tasks", "t").stdout.splitlines()[2].split() == ["parent",
                                                                                                 "accounts/a/1"]
    assert bridge.run("resources", "put", "cli", "tasks", "t", "--parent", "accounts").returncode == 2
    assert bridge.run("resources", "delete", "cli", "accounts", "a/1").returncode == 1
    assert [r["id"] for r in bridge.ctl("resources", "list", "--application", "cli", "--owner", "anna")["resources"]] \
        == ["a/1"]
    assert [r["id"] for r in bridge.ctl("resources", "list", "--application", "cli", "--unassigned")["resources"]] \
        == ["t"]
    bridge.write("things.json", json.dumps([{"type": "accounts", "id": "x"}, {"type": "tasks", "id": "y",
                                                                           "owner": "nobody"}]))
    text = bridge.human("resources", "import", "cli", bridge.folder / "things.json")
    assert text.returncode == 1 and "1 created, 0 updated, 0 unchanged, 1 refused." in text.stdout
    assert "not-found" in text.stdout
    assert bridge.human("resources", "delete", "cli", "accounts", "a/1", "--recursive").stdout == "2 removed.\n"


def test_after_restart(bridge):
    control = Control(bridge.folder / "control.sock")
    put(control, "accounts", "kept", owner="anna")
    put(control, "tasks", "kept", parent=parent("accounts", "kept"))
    control.close()
    assert bridge.stop() == 0
    bridge.start()
    control = Control(bridge.folder / "control.sock")
    assert decide(control, "anna", "tasks:read", "tasks", "kept") == ("allow", "granted")
    assert decide(control, "ben", "tasks:read", "tasks", "kept") == ("deny", "account-not-readable")
    control.close()
    assert bridge.ctl("audit", "verify")["intact"]


def test_one_language(control):
    """What is read at once is read as the general reader reads it, which a parameter of the media type calls for."""
    put(control, "accounts", "lang") if ask(control, "GET", "resources/crm/accounts/lang")[0] == 404 else None
    base = (b'{"user":"anna","permission":"accounts:read","resource":{"application":"crm","type":"accounts",'
            b'"id":"lang"}}')
    pieces = [b'"', b"\\", b"{", b"}", b",", b":", b" ", b"\n", b"\x00", b"\xff", b"\xc3\xa4", b"\\u0061", b"null", b"1",
              b'"user":"ben",', b'"id":"x",', b'"resource":null,', b'"more":"x",', b"[]", b"x" * 400, b"\x7f", b""]
    choice, seen = random.Random(5), set()
    for _ in range(1500):
        body = bytearray(base)
        for _ in range(choice.randrange(1, 3)):
            at = choice.randrange(len(body) + 1)
            body[at:at + choice.choice((0, 0, 1, 5))] = choice.choice(pieces)
        answers = []
        for kind in ("application/json", "application/json; charset=utf-8"):
            status, answer, _ = ask(control, "POST", "decide", bytes(body), {"Content-Type": kind})
            answers.append((status, answer.get("code"), answer.get("field"), answer.get("decision"),
                            answer.get("reason")))
        assert answers[0] == answers[1], bytes(body)
        assert answers[0][0] < 500
        seen.add(answers[0][0])
    assert {200, 400, 422} <= seen


@pytest.mark.parametrize("field,value", [("limit", -1), ("limit", 10001), ("limit", 1.5), ("limit", "1"), ("after", -1),
                                         ("after", "x"), ("parent", {}), ("parent", {"type": "a"}), ("type", None),
                                         ("application", 1), ("permission", "x"), ("user", None), ("more", 1)])
def test_list_refused(control, field, value):
    body = {"user": "anna", "permission": "tasks:read", "application": "crm", "type": "tasks", field: value}
    status, code, told = refuse(control, "POST", "decide/list", body)
    assert (status, code) == (422, "invalid-request") and told.startswith(field)


def test_definition_at_once(bridge, control):
    """A role's permissions are what the next decision goes by."""
    put(control, "accounts", "defined", owner="ben")
    bridge.ctl("roles", "create", "looker", "--classifications", "Sales", "--segments", "All", "--permissions",
               "notes:read@all")
    bridge.ctl("users", "grant", "nora", "role", "looker")
    assert decide(control, "nora", "accounts:read", "accounts", "defined") == ("deny", "not-granted")
    bridge.ctl("roles", "update", "looker", "--permissions", "notes:read@all,accounts:read@all")
    assert decide(control, "nora", "accounts:read", "accounts", "defined") == ("allow", "granted")
    bridge.ctl("roles", "update", "looker", "--permissions", "notes:read@all")
    assert decide(control, "nora", "accounts:read", "accounts", "defined") == ("deny", "not-granted")
    bridge.ctl("users", "revoke", "nora", "role", "looker")
