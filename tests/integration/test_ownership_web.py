"""What applications may ask and tell with their tokens: of their own resources, of their own organization, and no reasons
unless they may know them. People disabled while references are registered: two clients that race."""
import http.client
import json
import threading

import pytest

from bridge import Bridge
from control import Control
from ports import free_port

CONFIG = """
public_url: "http://127.0.0.1:{port}"
listeners: [{{address: "127.0.0.1:{port}"}}]
profiles:
  - {{name: administrator, permissions: ["*:*@all"]}}
  - {{name: csm, permissions: ["accounts:*@own", "accounts:*@unassigned"]}}
  - {{name: integrator, permissions: ["decide:ask@all", "resources:*@all", "references:*@all", "users:disable@all"]}}
  - {{name: nothing, permissions: []}}
segments: [All]
organizations: [{{name: partners}}]
policy: {{default_profile: nothing}}
sources:
  - {{name: partners, type: csv, path: partners.csv, key: id, interval: 0, organization: partners,
      attributes: [uid, mail, displayName]}}
"""
PARTNERS = "id,uid,mail,displayName\n1,far,far@y.example,Far\n"
SCOPE = ["decide:ask@all", "resources:*@all", "references:*@all"]


@pytest.fixture(scope="module")
def bridge():
    port = free_port()
    with Bridge(CONFIG.format(port=port), {"partners.csv": PARTNERS}) as bridge:
        bridge.port = port
        for name, profile in (("ada", "administrator"), ("anna", "csm"), ("ben", "csm"), ("ines", "integrator")):
            bridge.ctl("users", "create", name, "--profile", profile)
        bridge.ctl("users", "create", "paul", "--profile", "integrator", "--organization", "partners")
        bridge.ctl("sync")
        yield bridge


def token(control, **body):
    status, answer = control.ask("POST", "tokens", body)
    assert status == 201, answer
    return answer["token"]


def question(user, permission, id_, type_="accounts", application="crm"):
    return {"user": user, "permission": permission,
            "resource": {"application": application, "type": type_, "id": id_}}


@pytest.fixture(scope="module", name="crm")
def crm_token(bridge):
    control = Control(bridge.folder / "control.sock")
    made = token(control, name="crm", service="crm", application="crm", scope=SCOPE)
    for application in ("crm", "shop"):
        for id_, owner in (("annas", "anna"), ("bens", "ben"), ("free", None)):
            assert control.ask("PUT", f"resources/{application}/accounts/{id_}", {"owner": owner})[0] == 201
    control.close()
    return made


def test_all_denials_look_alike(web, crm):
    assert web.ask("POST", "decide", question("anna", "accounts:read", "annas"), crm) == (200, {"decision": "allow"})
    denied = []
    for asked in (question("anna", "accounts:read", "bens"), question("anna", "billing:read", "annas"),
                  question("anna", "accounts:read", "none"), question("nobody", "accounts:read", "annas"),
                  question("far", "accounts:read", "annas"), question("anna", "accounts:read", "annas", "tasks"),
                  question("anna", "accounts:read", "annas", application="shop"),
                  question("anna", "accounts:read", "annas", application="none")):
        status, answer = web.ask("POST", "decide", asked, crm)
        headers = sorted((name, value) for name, value in web.headers.items() if name != "Date")
        denied.append((status, json.dumps(answer), headers))
    assert all(each == denied[0] for each in denied)
    assert denied[0][:2] == (200, '{"decision": "deny"}')


def test_reason_needs_permission(web, control, crm):
    telling = token(control, name="telling", service="crm", application="crm", scope=SCOPE + ["decide:explain@all"])
    assert web.ask("POST", "decide", question("anna", "accounts:read", "annas"), telling)[1] == \
        {"decision": "allow", "reason": "granted", "by": "accounts:*@own"}
    assert web.ask("POST", "decide", question("anna", "accounts:read", "bens"), telling)[1] == \
        {"decision": "deny", "reason": "scope"}
    # What belongs to others is unknown to it all the same.
    assert web.ask("POST", "decide", question("anna", "accounts:read", "annas", application="shop"), telling)[1] == \
        {"decision": "deny", "reason": "unknown-user"}
    mine = token(control, name="mine", user="ines")
    assert "reason" not in web.ask("POST", "decide", question("anna", "accounts:read", "bens"), mine)[1]
    assert crm


def test_nobody_asks_without_permission(web, control):
    asked = question("anna", "accounts:read", "annas")
    assert web.ask("POST", "decide", asked)[0] == 401
    other = token(control, name="other", service="other", scope=["resources:read@all"])
    for path in ("decide", "decide/list"):
        status, answer = web.ask("POST", path, asked, other)
        assert (status, answer["code"]) == (403, "not-allowed")
    for method, path, body in (("PUT", "resources/crm/accounts/x", {}), ("DELETE", "resources/crm/accounts/annas", None),
                               ("POST", "resources/crm", {"resources": []}), ("GET", "references", None),
                               ("PUT", "references/crm/a/b", {"user": "anna"}),
                               ("POST", "users/anna/reassign", {"to": "ben"})):
        status, answer = web.ask(method, path, body, other)
        assert (status, answer["code"]) == (403, "not-allowed"), path


def test_own_application_only(web, crm):
    assert web.ask("PUT", "resources/crm/tasks/new", {"parent": {"type": "accounts", "id": "annas"}}, crm)[0] == 201
    for method, path, body in (("GET", "resources/shop/accounts/annas", None),
                               ("GET", "resources/shop/accounts/annas/children", None),
                               ("PUT", "resources/shop/accounts/new", {}),
                               ("DELETE", "resources/shop/accounts/annas", None),
                               ("PUT", "references/shop/manager/1", {"user": "anna"}),
                               ("GET", "references/shop/manager/1", None),
                               ("DELETE", "references/shop/manager/1", None)):
        status, answer = web.ask(method, path, body, crm)
        assert (status, answer["code"]) == (404, "not-found"), (method, path, answer)
    status, answer = web.ask("POST", "resources/shop", {"resources": [{"type": "accounts", "id": "new"}]}, crm)
    assert (status, answer["results"][0]["code"]) == (200, "not-found")
    listed = web.ask("GET", "resources?limit=1000", token=crm)[1]["resources"]
    assert {r["application"] for r in listed} == {"crm"}
    assert web.ask("GET", "resources?application=shop", token=crm)[1]["resources"] == []
    assert {r["application"] for r in web.ask("GET", "references", token=crm)[1]["references"]} == {"crm"}
    listed = web.ask("POST", "decide/list", {"user": "anna", "permission": "accounts:read", "application": "shop",
                                             "type": "accounts"}, crm)[1]
    assert listed == {"resources": [], "next": None}
    listed = web.ask("POST", "decide/list", {"user": "anna", "permission": "accounts:read", "application": "crm",
                                             "type": "accounts"}, crm)[1]
    assert [r["id"] for r in listed["resources"]] == ["annas", "free"]


def test_reassigns_its_own_only(web, control):
    control.ask("POST", "users", {"username": "olga", "profile": "csm"})
    control.ask("POST", "users", {"username": "olaf", "profile": "csm"})
    for application in ("crm", "shop"):
        assert control.ask("PUT", f"resources/{application}/accounts/olgas", {"owner": "olga"})[0] == 201
    moving = token(control, name="moving", service="crm", application="crm", scope=SCOPE)
    assert web.ask("POST", "users/olga/reassign", {"to": "olaf"}, moving) == (200, {"moved": 1})
    assert control.ask("GET", "resources/shop/accounts/olgas")[1]["owner"]["username"] == "olga"
    status, answer = web.ask("POST", "users/olga/reassign", {"to": "olaf", "application": "shop"}, moving)
    assert (status, answer["code"]) == (404, "not-found")


def test_other_organization(web, control):
    there = token(control, name="there", user="paul")
    for method, path, body in (("GET", "resources/crm/accounts/annas", None),
                               ("PUT", "resources/crm/accounts/annas", {"title": "x"}),
                               ("DELETE", "resources/crm/accounts/annas", None),
                               ("POST", "users/anna/reassign", {"to": "ben"})):
        status, answer = web.ask(method, path, body, there)
        assert (status, answer["code"]) in ((404, "not-found"), (403, "not-allowed")), (method, path, answer)
    status, answer = web.ask("PUT", "resources/crm/accounts/paul", {"owner": "anna"}, there)
    assert (status, answer["code"], answer["field"]) == (422, "not-found", "owner")
    status, answer = web.ask("PUT", "resources/crm/accounts/pauls", {"owner": "paul"}, there)
    assert (status, answer["organization"]) == (201, "partners")
    status, answer = web.ask("PUT", "resources/crm/accounts/unowned", {}, there)
    assert (status, answer["organization"]) == (201, "partners")
    status, answer = web.ask("PUT", "resources/crm/accounts/home", {"organization": "default"}, there)
    assert status == 404 and answer["field"] == "organization"
    assert {r["organization"] for r in web.ask("GET", "resources", token=there)[1]["resources"]} == {"partners"}
    assert web.ask("GET", "references?user=anna", token=there)[0] == 404
    assert web.ask("POST", "decide", question("anna", "accounts:read", "free"), there)[1] == {"decision": "deny"}


def test_disabling_races_with_references(bridge, control):
    """However they come, nobody is disabled by hand and responsible for anything afterwards."""
    outcomes = set()
    for number in range(60):
        name = f"race{number}"
        assert control.ask("POST", "users", {"username": name, "profile": "csm"})[0] == 201
        answers = {}
        barrier = threading.Barrier(2)

        def ask(key, method, path, body, answers=answers, barrier=barrier):
            own = Control(bridge.folder / "control.sock")
            own.ask("GET", "resources?limit=1")
            barrier.wait()
            answers[key] = own.ask(method, path, body)
            own.close()

        threads = [threading.Thread(target=ask, args=("disable", "POST", f"users/{name}/disable", {})),
                   threading.Thread(target=ask, args=("put", "PUT", f"references/crm/race/{number}", {"user": name}))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        disabled, registered = answers["disable"][0] == 200, answers["put"][0] == 201
        outcomes.add((disabled, registered))
        assert disabled != registered, answers
        if not disabled:
            assert answers["disable"][1]["code"] == "user-has-references"
        else:
            assert answers["put"][1]["code"] == "user-disabled"
    assert outcomes <= {(True, False), (False, True)}
    assert bridge.ctl("status")["orphaned"]["users"] == 0


def test_metric(bridge, control):
    connection = http.client.HTTPConnection("127.0.0.1", bridge.port, timeout=60)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    assert "\nrolebridge_references_orphaned 0\n" in text
    assert control.ask("GET", "status")[1]["orphaned"] == {"users": 0, "references": 0}


def test_people_see_what_they_may_read(web, control):
    """With resources:read@own the registry is what decisions let somebody read: the rest is 404 and never listed."""
    assert control.ask("POST", "profiles", {"name": "looking", "permissions": [
        "resources:read@own", "accounts:*@own"]})[0] in (200, 201)
    control.ask("POST", "users", {"username": "lisa", "profile": "looking"})
    for id_, owner in (("lisas", "lisa"), ("others", "ben"), ("nobodys", None)):
        assert control.ask("PUT", f"resources/look/accounts/{id_}", {"owner": owner})[0] == 201
        assert control.ask("PUT", f"resources/look/tasks/{id_}", {
            "parent": {"type": "accounts", "id": id_}, "owner": "lisa"})[0] == 201
    lisa = token(control, name="lisa", user="lisa")
    for type_ in ("accounts", "tasks"):
        assert web.ask("GET", f"resources/look/{type_}/lisas", token=lisa)[0] == 200
        for id_ in ("others", "nobodys", "none"):
            status, answer = web.ask("GET", f"resources/look/{type_}/{id_}", token=lisa)
            assert (status, answer["code"], answer["message"]) == (404, "not-found", "no such resource")
        listed = web.ask("GET", f"resources?application=look&type={type_}", token=lisa)[1]
        assert [r["id"] for r in listed["resources"]] == ["lisas"] and listed["next"] is None
    listed = web.ask("GET", "resources/look/accounts/lisas/children?type=tasks", token=lisa)[1]
    assert [r["id"] for r in listed["resources"]] == ["lisas"]
    assert web.ask("GET", "resources/look/accounts/others/children?type=tasks", token=lisa)[0] == 404
    assert web.ask("GET", "resources/look/Accounts/lisas", token=lisa)[0] == 404
    for path, field in (("resources", "application"), ("resources?application=look", "type"),
                        ("resources?application=look&type=A", "type")):
        status, answer = web.ask("GET", path, token=lisa)
        assert (status, answer["field"]) == (422, field)
    service = token(control, name="peeking", service="peek", scope=["resources:read@own"])
    assert web.ask("GET", "resources/look/accounts/lisas", token=service)[0] == 404
    assert web.ask("GET", "resources?application=look&type=tasks", token=service)[1]["resources"] == []
    assert web.ask("PUT", "resources/look/accounts/lisas", {}, token=lisa)[0] == 403
