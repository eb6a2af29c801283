"""Resources, references and decisions through rolebridgectl and the API of a real daemon."""
import json
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


@pytest.fixture(name="control")
def connect(bridge):
    control = Control(bridge.folder / "control.sock")
    yield control
    control.close()


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
