"""What administrators do to people by hand, through rolebridgectl and the API: fields, deletion, links."""
import json

import pytest

from bridge import Bridge, Refused
from test_control import DOCUMENT, check, whoami

CONFIG = """
profiles:
  - {name: administrator, permissions: ["*:*@all"]}
  - {name: viewer, permissions: ["accounts:read@own"]}
segments: [All]
organizations: [{name: partners}]
roles:
  - {name: sales, description: Sells, classifications: [Sales], segments: [All], permissions: ["quotes:*@own"]}
  - {name: night, description: Nights, classifications: [Support], segments: [All], permissions: ["cases:*@own"]}
rules:
  - {id: sellers, when: "(departmentNumber=7)", grant: {roles: [sales]}}
policy: {default_profile: viewer}
sources:
  - {name: staff, type: csv, path: staff.csv, key: id, interval: 0,
     attributes: [uid, mail, displayName, departmentNumber]}
  - {name: partners, type: csv, path: partners.csv, key: id, interval: 0, organization: partners,
     attributes: [uid, mail, displayName, departmentNumber]}
"""

STAFF = "id,uid,mail,displayName,departmentNumber\n1,anna,anna@x.example,,7\n2,ben,ben@x.example,Ben,8\n"
PARTNERS = "id,uid,mail,displayName,departmentNumber\n1,far,far@y.example,Far,\n"
USER = "/api/v1/users/{user}"


@pytest.fixture(scope="module")
def bridge():
    with Bridge(CONFIG, {"staff.csv": STAFF, "partners.csv": PARTNERS}) as bridge:
        bridge.ctl("users", "create", "root-user", "--profile", "administrator")
        bridge.ctl("sync")
        yield bridge


def ask(control, method, path, body=None, headers=None):
    """(status, answer, headers)."""
    text = None if body is None else body if isinstance(body, bytes) else json.dumps(body)
    control.request(method, "/api/v1/" + path, text,
                    {**({"Content-Type": "application/json"} if text else {}), **(headers or {})})
    response = control.getresponse()
    return response.status, json.loads(response.read()), response.headers


def refusal(bridge, *words):
    with pytest.raises(Refused) as refused:
        bridge.ctl(*words)
    assert refused.value.status == 1
    return json.loads(refused.value.output)


def rows_about(bridge, user, action):
    return bridge.ctl("audit", "list", "--object", "user:" + user["id"], "--action", action)["rows"]


# --- fields ---


def test_set(bridge):
    lea = bridge.ctl("users", "create", "lea", "--email", "lea@x.example", "--name", "Lea")
    changed = check(bridge.ctl("users", "set", "lea", "--username", "Lea.New", "--email", "New@X.example",
                               "--name", "Lea New"), USER, "patch")
    assert (changed["username"], changed["email"], changed["display_name"], changed["id"], changed["version"]) == \
        ("lea.new", "new@x.example", "Lea New", lea["id"], lea["version"] + 1)
    row, = rows_about(bridge, lea, "user.update")
    assert row["actor"] == "unix:" + whoami()
    assert row["detail"]["before"] == {"username": "lea", "email": "lea@x.example", "display_name": "Lea"}
    assert row["detail"]["after"] == {"username": "lea.new", "email": "new@x.example", "display_name": "Lea New"}
    assert refusal(bridge, "users", "show", "lea")["code"] == "not-found"
    text = bridge.human("users", "set", "lea.new", "--email", "").stdout
    assert text == "lea.new is active, profile viewer.\n"
    assert bridge.ctl("users", "show", "lea.new")["email"] == ""


def test_set_survives_a_sync(bridge):
    bridge.ctl("users", "set", "anna", "--name", "Anna By Hand")
    bridge.write("staff.csv", STAFF.replace("anna@x.example", "anna2@x.example"))
    bridge.ctl("sync", "staff")
    anna = bridge.ctl("users", "show", "anna")
    assert (anna["display_name"], anna["email"]) == ("Anna By Hand", "anna2@x.example")
    bridge.ctl("reload")
    assert bridge.ctl("users", "show", "anna")["display_name"] == "Anna By Hand"


SET_REFUSED = [
    ("a source's address", "ben", {"email": "b@x.example"}, 409, "managed-by-idp", "email"),
    ("a source's name", "ben", {"username": "benny"}, 409, "managed-by-idp", "username"),
    ("a source's name for display", "ben", {"display_name": None}, 409, "managed-by-idp", "display_name"),
    ("taken", "root-user", {"username": "BEN"}, 409, "username-taken", "username"),
    ("address taken", "root-user", {"email": "BEN@x.example"}, 409, "email-taken", "email"),
    ("address elsewhere", "root-user", {"email": "Far@Y.example"}, 409, "email-in-other-organization", "email"),
    ("no user name", "root-user", {"username": None}, 422, "invalid-request", "username"),
    ("bad user name", "root-user", {"username": "a b"}, 422, "invalid-request", "username"),
    ("bad address", "root-user", {"email": "x"}, 422, "invalid-request", "email"),
    ("wrong type", "root-user", {"email": 7}, 422, "invalid-request", "email"),
    ("too long", "root-user", {"display_name": "x" * 2000}, 422, "invalid-request", "display_name"),
    ("control character", "root-user", {"display_name": "a\nb"}, 422, "invalid-request", "display_name"),
    ("unknown field", "root-user", {"profile": "viewer"}, 422, "invalid-request", "profile"),
    ("not an object", "root-user", [], 400, "invalid-request", None),
    ("not UTF-8", "root-user", b'{"display_name":"\xff"}', 400, "invalid-request", None),
    ("nobody", "nobody", {"email": "a@x.example"}, 404, "not-found", None),
]


@pytest.mark.parametrize("case", SET_REFUSED, ids=[c[0] for c in SET_REFUSED])
def test_set_refused(bridge, control, case):
    _, user, body, status, code, field = case
    before = bridge.ctl("audit", "verify")["rows"]
    got, answer, _ = ask(control, "PATCH", f"users/{user}", body)
    assert (got, answer["code"], answer.get("field")) == (status, code, field), answer["message"]
    assert "partners" not in answer["message"]
    assert answer["code"] in DOCUMENT["components"]["schemas"]["ErrorCode"]["enum"]
    assert bridge.ctl("audit", "verify")["rows"] == before


def test_versions(bridge, control):
    created = bridge.ctl("users", "create", "vera")
    status, vera, headers = ask(control, "GET", "users/vera")
    tag = headers["ETag"]
    assert status == 200 and tag == f'"{vera["version"]}"' == f'"{created["version"]}"'
    status, answer, headers = ask(control, "PATCH", "users/vera", {"display_name": "V"}, {"If-Match": tag})
    assert status == 200 and headers["ETag"] == f'"{answer["version"]}"' != tag
    for old in (tag, '"0"', '"x"', '"99999999999999999999"', f'W/{headers["ETag"]}', '""'):
        status, answer, _ = ask(control, "PATCH", "users/vera", {"display_name": "W"}, {"If-Match": old})
        assert (status, answer["code"]) == (412, "stale-version"), old
    for bad in ("7", '"1", "2"', '"'):
        status, answer, _ = ask(control, "PATCH", "users/vera", {"display_name": "W"}, {"If-Match": bad})
        assert (status, answer["code"]) == (400, "invalid-request"), bad
    assert ask(control, "PATCH", "users/vera", {"display_name": "X"}, {"If-Match": "*"})[0] == 200
    # Whatever is changed, the version grows: grants, too.
    version = bridge.ctl("users", "show", "vera")["version"]
    bridge.ctl("users", "grant", "vera", "role", "night")
    assert refusal(bridge, "users", "set", "vera", "--name", "Y", "--if-match", version)["code"] == "stale-version"
    assert bridge.ctl("users", "set", "vera", "--name", "Y", "--if-match", version + 1)["display_name"] == "Y"


def test_set_usage(bridge):
    assert bridge.human("users", "set", "anna").returncode == 2
    assert bridge.human("users", "set", "anna", "--name", "x", "--if-match", "x").returncode == 2
    assert bridge.human("users", "set", "anna", "--name", "x", "--if-match", "0").returncode == 2
    result = bridge.human("users", "set", "ben", "--email", "b@x.example")
    assert result.returncode == 1 and "managed-by-idp" in result.stderr and "'staff'" in result.stderr


# --- deletion ---


def test_delete(bridge, control):
    dora = bridge.ctl("users", "create", "dora", "--email", "dora@x.example", "--name", "Dora")
    bridge.ctl("users", "grant", "dora", "role", "night")
    token = bridge.ctl("tokens", "create", "hers", "--user", "dora")["id"]
    answer = refusal(bridge, "users", "delete", "dora")
    assert answer["code"] == "conflict" and "active" in answer["message"]
    total = bridge.ctl("status")["users"]
    bridge.ctl("users", "disable", "dora")
    version = bridge.ctl("users", "show", "dora")["version"]
    status, answer, _ = ask(control, "DELETE", "users/dora", headers={"If-Match": f'"{version - 1}"'})
    assert (status, answer["code"]) == (412, "stale-version")
    assert refusal(bridge, "users", "delete", "dora", "--if-match", version + 1)["code"] == "stale-version"
    gone = check(bridge.ctl("users", "delete", "dora", "--if-match", version), USER, "delete")
    assert (gone["id"], gone["active"], gone["disabled"], gone["grants"], gone["profile"]) == \
        (dora["id"], False, ["hand", "deleted"], [], "")
    row, = rows_about(bridge, dora, "user.delete")
    assert row["actor"] == "unix:" + whoami() and row["detail"]["before"]["profile"] == "viewer"
    assert {g.get("role") or g.get("profile") for g in row["detail"]["lost"]} == {"night", "viewer"}
    # Out of sight, but explained.
    assert not bridge.ctl("users", "search", "dora")["users"]
    assert "dora" not in {u["username"] for u in bridge.ctl("users", "list", "--state", "disabled")["users"]}
    counted = bridge.ctl("status")["users"]
    assert (counted["total"], counted["active"]) == (total["total"] - 1, total["active"] - 1)
    text = bridge.human("users", "show", dora["id"]).stdout
    assert "state          deleted" in text and "Dora" in text
    assert check(bridge.ctl("why", dora["id"]), "/api/v1/users/{user}/why")["grants"] == []
    # A token of theirs is good for nothing ever again, and is not listed as if it were.
    assert bridge.ctl("tokens", "list", "--user", dora["id"])["tokens"] == []
    assert [t["id"] for t in bridge.ctl("tokens", "list", "--user", dora["id"], "--all")["tokens"]] == [token]
    revoked, = bridge.ctl("audit", "list", "--object", "token:" + token, "--action", "token.revoke")["rows"]
    assert revoked["request"] == row["request"]
    # Nothing can be done with them any more, and the name is not given again; the address is.
    for words in (["delete"], ["enable"], ["disable"], ["set", "--name", "x"]):
        assert refusal(bridge, "users", words[0], dora["id"], *words[1:])["code"] == "not-found", words
    answer = refusal(bridge, "users", "create", "dora")
    assert answer["code"] == "name-reserved"
    assert bridge.ctl("users", "create", "dora2", "--email", "dora@x.example")["email"] == "dora@x.example"
    assert bridge.ctl("audit", "verify")["rows"] > 0


def test_delete_of_somebody_in_a_directory(bridge):
    bridge.write("staff.csv", STAFF + "3,carl,carl@x.example,Carl,7\n")
    bridge.ctl("sync", "staff")
    carl = bridge.ctl("users", "show", "carl")
    assert [g["name"] for g in carl["grants"] if g["kind"] == "role"] == ["sales"]
    bridge.ctl("users", "disable", "carl")
    assert "deleted" in bridge.human("users", "delete", "carl").stdout
    for rows in ("3,carl,carl@x.example,Carl,7\n", "3,carl,carl@x.example,Carl C,7\n", "",
                 "3,carl2,c2@x.example,C,7\n"):
        bridge.write("staff.csv", STAFF + rows)
        report, = bridge.ctl("sync", "staff")["reports"]
        assert not (report["created"] or report["enabled"] or report["quarantined"]), report
        shown = bridge.ctl("users", "show", carl["id"])
        assert (shown["username"], shown["disabled"], shown["grants"]) == ("carl", ["hand", "deleted"], [])
    assert [i["key"] for i in shown["identities"]] == ["3"]
    assert refusal(bridge, "users", "show", "carl2")["code"] == "not-found"


# --- links ---

IDENTITY = "/api/v1/users/{user}/identities/{source}/{key}"


def test_link(bridge, control):
    bridge.ctl("users", "create", "lina", "--profile", "viewer")
    bridge.ctl("users", "grant", "lina", "role", "night")
    bridge.write("staff.csv", STAFF + "4,lina,lina@x.example,Lina L,7\n")
    bridge.ctl("sync", "staff")
    entry, = bridge.ctl("quarantine", "list")["entries"]
    assert (entry["key"], entry["reason"]) == ("4", "username-taken")
    lina = check(bridge.ctl("users", "link", "lina", "staff", "4"), IDENTITY, "put")
    assert [(i["source"], i["key"], i["read"]) for i in lina["identities"]] == [("staff", "4", None)]
    assert {g["name"] for g in lina["grants"] if g["kind"] == "role"} == {"night"}
    assert "not yet" in bridge.human("users", "show", "lina").stdout
    row, = rows_about(bridge, lina, "user.link")
    assert row["detail"] == {"source": "staff", "key": "4"} and row["actor"] == "unix:" + whoami()
    bridge.ctl("sync", "staff")
    linked = bridge.ctl("users", "show", "lina")
    assert linked["identities"][0]["read"] and linked["email"] == "lina@x.example"
    assert {g["name"] for g in linked["grants"] if g["kind"] == "role"} == {"night", "sales"}
    assert not bridge.ctl("quarantine", "list")["entries"]
    assert refusal(bridge, "users", "set", "lina", "--name", "x")["code"] == "managed-by-idp"
    # A stale version does nothing; the present one does.
    assert refusal(bridge, "users", "unlink", "lina", "staff", "4", "--if-match", 1)["code"] == "stale-version"
    status, answer, _ = ask(control, "DELETE", "users/lina/identities/staff/4",
                            headers={"If-Match": f'"{linked["version"]}"'})
    check(answer, IDENTITY, "delete")
    assert status == 200 and answer["identities"] == [] and answer["version"] == linked["version"] + 1
    assert {(g["name"], g["origin"]["kind"]) for g in answer["grants"]} == {("night", "hand"), ("viewer", "hand")}
    assert len(rows_about(bridge, lina, "user.unlink")) == 1
    bridge.ctl("sync", "staff")
    assert bridge.ctl("users", "show", "lina")["identities"] == []
    assert bridge.ctl("quarantine", "list")["entries"][0]["reason"] == "username-taken"
    assert bridge.ctl("users", "set", "lina", "--name", "By Hand")["display_name"] == "By Hand"
    text = bridge.human("users", "link", "lina", "staff", "4").stdout
    assert "from its next read on" in text
    assert bridge.human("users", "unlink", "lina", "staff", "4").stdout == "lina is active, profile viewer.\n"


LINK_REFUSED = [
    ("somebody else's", "PUT", "users/root-user/identities/staff/2", 409, "conflict", None),
    ("another organization", "PUT", "users/root-user/identities/partners/77", 409, "conflict", None),
    ("a second one", "PUT", "users/ben/identities/staff/77", 409, "conflict", None),
    ("no such source", "PUT", "users/ben/identities/nix/77", 404, "not-found", "source"),
    ("nobody", "PUT", "users/nobody/identities/staff/77", 404, "not-found", None),
    ("a key too long", "PUT", "users/ben/identities/staff/" + "x" * 5000, 422, "invalid-request", "key"),
    ("a body", "PUT", "users/ben/identities/staff/77", 400, "invalid-request", None),
    ("not theirs", "DELETE", "users/root-user/identities/staff/2", 404, "not-found", None),
    ("no such source to leave", "DELETE", "users/ben/identities/nix/2", 404, "not-found", None),
]


@pytest.mark.parametrize("case", LINK_REFUSED, ids=[c[0] for c in LINK_REFUSED])
def test_link_refused(bridge, control, case):
    name, method, path, status, code, field = case
    before = bridge.ctl("audit", "verify")["rows"]
    got, answer, _ = ask(control, method, path, {"x": 1} if name == "a body" else None)
    assert (got, answer["code"], answer.get("field")) == (status, code, field), answer["message"]
    assert "ben'" not in answer["message"] or "/ben/" in path
    assert bridge.ctl("audit", "verify")["rows"] == before
