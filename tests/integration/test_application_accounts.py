"""Who belongs to which account of an application: by hand, in files, until one of both ends."""
import json
import urllib.parse

import pytest

from access import Web
from bridge import Bridge, Refused
from control import Control
from ports import free_port
from test_control import check

CONFIG = """
public_url: http://127.0.0.1:{web}
listeners: ["127.0.0.1:{web}"]
profiles:
  - {{name: administrator, permissions: ["*:*@all"]}}
  - {{name: viewer, permissions: ["accounts:read@own"]}}
  - {{name: desk, permissions: ["users:update@all", "users:read@all", "users:import@all", "accounts:read@own"]}}
segments: [All]
organizations: [{{name: partners}}]
roles:
  - {{name: sales, description: Sells, classifications: [Sales], segments: [All], permissions: ["quotes:*@own"]}}
  - {{name: night, description: Nights, classifications: [Support], segments: [All], permissions: ["cases:*@own"]}}
personas:
  - {{name: lead, title: Alex, objectives: [x], frustrations: [x], watering_holes: [x],
      technical_sophistication: low}}
  - {{name: buyer, title: Bea, objectives: [x], frustrations: [x], watering_holes: [x],
      technical_sophistication: low}}
sources:
  - {{name: staff, type: csv, path: staff.csv, key: id, interval: 0, attributes: [uid, mail, displayName]}}
  - {{name: partners, type: csv, path: partners.csv, key: id, interval: 0, organization: partners,
     attributes: [uid, mail, displayName]}}
policy: {{default_profile: viewer, missing_runs: 1, missing_grace: 0s}}
"""
STAFF = "id,uid,mail,displayName\n1,synced,synced@x.example,Synced\n2,other,,\n3,third,,\n4,fourth,,\n"
PARTNERS = "id,uid,mail,displayName\n1,far,far@y.example,Far\n"
TIE = "/api/v1/users/{user}/accounts/{application}/{id}"


@pytest.fixture(scope="module", name="world")
def start():
    web = free_port()
    with Bridge(CONFIG.format(web=web), {"staff.csv": STAFF, "partners.csv": PARTNERS}) as bridge:
        bridge.web = web
        bridge.ctl("users", "create", "boss", "--profile", "administrator")
        bridge.ctl("users", "create", "helper", "--profile", "desk")
        for name in ("anna", "ben", "carl"):
            bridge.ctl("users", "create", name, "--email", name + "@x.example")
        bridge.ctl("sync")
        bridge.control = Control(bridge.folder / "control.sock")
        for name in ("acme", "bolt", "a/b;c %41 d"):
            put(bridge, name)
        put(bridge, "other", application="erp")
        put(bridge, "foreign", organization="partners")
        yield bridge
        bridge.control.close()


def put(world, id_, application="crm", type_="accounts", **body):
    body.setdefault("title", "The " + id_)
    status, answer = world.control.ask("PUT", resource(id_, application, type_), body)
    assert status in (200, 201), answer


def resource(id_, application="crm", type_="accounts"):
    return f"resources/{application}/{type_}/" + urllib.parse.quote(id_, safe="")


def tie_path(user, id_, application="crm"):
    return f"users/{user}/accounts/{application}/" + urllib.parse.quote(id_, safe="")


def tie(world, user, id_, status=None, method="PUT", application="crm"):
    answered, answer = world.control.ask(method, tie_path(user, id_, application))
    assert answered in ((200, 201) if status is None else (status,)), answer
    if answered < 400:
        check(answer, TIE, method.lower(), str(answered))
    return answer


def accounts(world, user):
    status, answer = world.control.ask("GET", f"users/{user}/accounts")
    assert status == 200, answer
    check(answer, "/api/v1/users/{user}/accounts")
    return [f"{row['application']}/{row['id']}" for row in answer["accounts"]]


def people(world, id_, query=""):
    status, answer = world.control.ask("GET", resource(id_) + "/users" + query)
    assert status == 200, answer
    return check(answer, "/api/v1/resources/{application}/accounts/{id}/users")


def personas(world, id_, query=""):
    status, answer = world.control.ask("GET", resource(id_) + "/personas" + query)
    assert status == 200, answer
    check(answer, "/api/v1/resources/{application}/accounts/{id}/personas")
    return {row["name"]: row["users"] for row in answer["personas"]}, answer["users"], answer["next"]


def clean(world):
    for user in ("anna", "ben", "carl", "synced"):
        for name in accounts(world, user):
            application, id_ = name.split("/", 1)
            tie(world, user, id_, 200, "DELETE", application)


@pytest.fixture(autouse=True)
def untied(world):
    clean(world)


# --- by hand ---


def test_tie_and_untie_again_and_again(world):
    version = world.control.ask("GET", "users/anna")[1]["version"]
    assert tie(world, "anna", "acme", 201)["changed"]
    assert not tie(world, "anna", "acme", 200)["changed"]
    odd = tie(world, "anna@x.example", "a/b;c %41 d", 201)
    assert odd["id"] == "a/b;c %41 d"
    assert sorted(accounts(world, "anna")) == ["crm/a/b;c %41 d", "crm/acme"]
    status, user = world.control.ask("GET", "users/anna")
    assert check(user, "/api/v1/users/{user}") and len(user["accounts"]) == 2
    assert user["version"] == version
    assert [row["title"] for row in user["accounts"] if row["id"] == "acme"] == ["The acme"]
    assert tie(world, "anna", "acme", 200, "DELETE")["changed"]
    assert not tie(world, "anna", "acme", 200, "DELETE")["changed"]
    assert accounts(world, "anna") == ["crm/a/b;c %41 d"]
    rows = world.ctl("audit", "list", "--object", "user:" + user["id"])["rows"]
    told = [(row["action"], row["detail"]["accounts"][0]["id"]) for row in rows if "tie" in row["action"]]
    assert ("user.tie", "acme") in told and ("user.untie", "acme") in told
    acme = [row for row in told if row == ("user.tie", "acme")]
    assert len(acme) == 1, "again is not written down"


@pytest.mark.parametrize("user,id_,application,code", [
    ("nobody", "acme", "crm", "not-found"), ("anna", "none", "crm", "not-found"),
    ("anna", "foreign", "crm", "not-found"), ("far", "acme", "crm", "not-found"),
    ("anna", "acme", "none", "not-found"), ("anna", "other", "crm", "not-found")])
def test_what_is_not_there(world, user, id_, application, code):
    for method in ("PUT", "DELETE"):
        answer = tie(world, user, id_, 404, method, application)
        assert answer["code"] == code
    absent = tie(world, "anna", "none", 404)["message"]
    assert tie(world, "anna", "foreign", 404)["message"] == absent


def test_accounts_alone(world):
    put(world, "thing", type_="things")
    assert tie(world, "anna", "thing", 404)["code"] == "not-found"
    assert world.control.ask("GET", resource("thing", type_="things") + "/users")[0] == 404


@pytest.mark.parametrize("path", [
    "users/anna/accounts?limit=0", "users/anna/accounts?limit=1001", "users/anna/accounts?after=-1",
    "users/anna/accounts?x=1", "resources/crm/accounts/acme/users?limit=1001",
    "resources/crm/accounts/acme/personas?limit=10001", "resources/crm/accounts/acme/users?q=a"])
def test_bad_queries(world, path):
    status, answer = world.control.ask("GET", path)
    assert status in (400, 422) and answer["code"] == "invalid-request", answer


def test_people_and_personas(world):
    for user in ("anna", "ben", "carl"):
        tie(world, user, "acme")
    for user, kind, name in (("anna", "persona", "lead"), ("ben", "persona", "lead"), ("ben", "persona", "buyer"),
                             ("carl", "persona", "buyer"), ("anna", "role", "sales")):
        world.ctl("users", "grant", user, kind, name)
    page = people(world, "acme")
    assert [(u["username"], u["profile"], u["roles"], u["personas"]) for u in page["users"]] == [
        ("anna", "viewer", ["sales"], ["lead"]), ("ben", "viewer", [], ["buyer", "lead"]),
        ("carl", "viewer", [], ["buyer"])]
    assert page["next"] is None
    first = people(world, "acme", "?limit=2")
    assert [u["username"] for u in first["users"]] == ["anna", "ben"]
    # Who comes meanwhile changes nothing of what was seen.
    tie(world, "helper", "acme")
    rest = people(world, "acme", f"?limit=2&after={first['next']}")
    assert [u["username"] for u in rest["users"]] == ["carl"] and rest["next"] is None
    tie(world, "helper", "acme", 200, "DELETE")
    assert personas(world, "acme") == ({"buyer": 2, "lead": 2}, 3, None)
    one, seen, after = personas(world, "acme", "?limit=1")
    assert (one, seen) == ({"lead": 1}, 1) and after
    world.ctl("users", "disable", "carl")
    assert personas(world, "acme")[:2] == ({"buyer": 1, "lead": 2}, 2)
    world.ctl("users", "enable", "carl")
    assert personas(world, "bolt") == ({}, 0, None)
    counted = world.ctl("accounts", "personas", "crm", "acme")["accounts"]
    assert counted == [{"account": "acme", "users": 3, "personas": {"buyer": 2, "lead": 2}}]
    every = {row["account"]: row["users"] for row in world.ctl("accounts", "personas", "crm")["accounts"]}
    assert every["acme"] == 3 and every["bolt"] == 0 and "other" not in every
    table = world.human("accounts", "personas", "crm").stdout
    assert "acme" in table and "buyer" in table
    assert "sales" in world.human("accounts", "users", "crm", "acme").stdout


def test_commands(world):
    assert "belongs to account crm/acme now" in world.human("users", "tie", "anna", "crm", "acme").stdout
    assert "as before" in world.human("users", "tie", "anna", "crm", "acme").stdout
    assert "crm/acme" in world.human("users", "show", "anna").stdout
    assert [u["username"] for u in world.ctl("accounts", "users", "crm", "acme")["users"]] == ["anna"]
    assert world.ctl("users", "untie", "anna", "crm", "acme")["changed"]
    assert "Nobody" in world.human("accounts", "users", "crm", "acme").stdout
    with pytest.raises(Refused):
        world.ctl("users", "tie", "anna", "crm", "none")
    assert world.run("users", "tie", "anna", "crm").returncode == 2
    assert world.run("accounts", "users", "crm", "none").returncode == 1


# --- in files ---


def load(world, body, kind="text/csv", query=""):
    body = (body if isinstance(body, str) else json.dumps(body)).encode()
    world.control.request("POST", "/api/v1/import/users" + query, body, {"Content-Type": kind})
    response = world.control.getresponse()
    status, answer = response.status, json.loads(response.read())
    assert status == 202, answer
    run = {"state": "running"}
    while run["state"] == "running":
        run = world.control.ask("GET", f"runs/{answer['run']}?wait_ms=10000")[1]
    assert run["state"] == "done", run
    return run["result"]


def outcome(result):
    return [(row["status"], row.get("code"), row.get("field")) for row in result["rows"]]


@pytest.mark.parametrize("column", ["accounts", "account_id"])
def test_a_file_says_all_of_them(world, column):
    tie(world, "ben", "bolt")
    head = f"username,{column}\n"
    body = head + 'anna,crm/acme; erp/other\nben,"crm/acme;crm/bolt;crm/acme"\n' + f"fresh-{column},crm/bolt\n"
    assert [row[0] for row in outcome(load(world, body, query="?dry_run=true"))] == [
        "updated", "updated", "created"]
    assert accounts(world, "anna") == []
    assert [row[0] for row in outcome(load(world, body))][:2] == ["updated", "updated"]
    assert accounts(world, "anna") == ["crm/acme", "erp/other"]
    assert accounts(world, "ben") == ["crm/acme", "crm/bolt"] and accounts(world, "fresh-" + column) == ["crm/bolt"]
    assert outcome(load(world, body)) == [("unchanged", None, None)] * 3
    # What it says is all; what it does not say stays; nothing said is nothing.
    load(world, head + "ben,crm/bolt\n")
    assert accounts(world, "ben") == ["crm/bolt"]
    load(world, "username,display_name\nben,Benjamin\n")
    assert accounts(world, "ben") == ["crm/bolt"]
    load(world, head + "ben,\n")
    assert accounts(world, "ben") == []
    user = world.control.ask("GET", "users/ben")[1]["id"]
    rows = world.ctl("audit", "list", "--object", "user:" + user)["rows"]
    assert [r["detail"]["accounts"] for r in rows if r["action"] == "user.untie"][0] == [
        {"application": "crm", "id": "bolt"}]


@pytest.mark.parametrize("item,code", [
    ("crm/none", "not-found"), ("crm/foreign", "not-found"), ("none/acme", "not-found"), ("acme", "invalid-request"),
    ("/acme", "invalid-request"), ("crm/", "invalid-request"), ("crm/%FF", "not-found"), ("crm/" + "x" * 300, "not-found"),
    (";".join(f"crm/a{i}" for i in range(1001)), "too-large")], ids=range(9))
def test_a_bad_account_fails_its_row_alone(world, item, code):
    body = f"username,display_name,accounts\nanna,A,crm/acme\ncarl,Changed,{item}\nben,B,crm/acme\n"
    for query in ("?dry_run=true", ""):
        got = outcome(load(world, body, query=query))
        assert got[1] == ("failed", code, "accounts")
        assert [row[0] for row in (got[0], got[2])] == ["updated", "updated"]
    assert accounts(world, "anna") == accounts(world, "ben") == ["crm/acme"] and accounts(world, "carl") == []
    assert world.control.ask("GET", "users/carl")[1]["display_name"] != "Changed"


def test_json_says_the_same(world):
    result = load(world, {"users": [{"username": "anna", "accounts": ["crm/acme", "crm/a/b;c %41 d"]},
                                    {"username": "ben", "accounts": "crm/acme"},
                                    {"username": "carl", "accounts": [7]}]}, "application/json")
    assert outcome(result) == [("updated", None, None), ("failed", "invalid-request", "accounts"),
                               ("failed", "invalid-request", "accounts")]
    assert sorted(accounts(world, "anna")) == ["crm/a/b;c %41 d", "crm/acme"]


def test_round_trip(world):
    ids = ["50%25;", " lead", "tail ", "%", "%20", ";;", "a\"b", "ü/ö", "=1+1", "x" * 256]
    for id_ in ids:
        put(world, id_)
        tie(world, "anna", id_)
    tie(world, "ben", "other", application="erp")
    told = sorted(accounts(world, "anna"))
    assert len(told) == len(ids)
    for kind, name in (("text/csv", "csv"), ("application/json", "json")):
        world.control.request("GET", f"/api/v1/export/users.{name}")
        text = world.control.getresponse().read().decode()
        result = load(world, text, kind)
        assert result["failed"] == 0, [row for row in result["rows"] if row["status"] == "failed"]
        assert sorted(accounts(world, "anna")) == told and accounts(world, "ben") == ["erp/other"]
        clean(world)
        result = load(world, text, kind)
        assert result["failed"] == 0
        assert sorted(accounts(world, "anna")) == told and accounts(world, "ben") == ["erp/other"]


# --- what it is not ---


def test_it_gives_and_hinders_nothing(world):
    tie(world, "anna", "bolt")
    body = {"user": "anna", "permission": "accounts:read", "resource": {"application": "crm", "type": "accounts",
                                                                       "id": "bolt"}}
    assert world.control.ask("POST", "decide", body)[1]["decision"] == "deny"
    world.ctl("users", "disable", "anna")
    assert accounts(world, "anna") == ["crm/bolt"]
    world.ctl("users", "enable", "anna")


def test_it_survives_syncs(world):
    tie(world, "synced", "acme")
    world.write("staff.csv", STAFF.replace("Synced", "Renamed"))
    world.ctl("sync", "staff")
    assert accounts(world, "synced") == ["crm/acme"]
    world.write("staff.csv", STAFF.replace("1,synced,synced@x.example,Synced\n", ""))
    world.ctl("sync", "staff")
    assert not world.control.ask("GET", "users/synced")[1]["active"]
    world.write("staff.csv", STAFF)
    world.ctl("sync", "staff")
    assert world.control.ask("GET", "users/synced")[1]["active"] and accounts(world, "synced") == ["crm/acme"]


# --- the end of it ---


def test_a_removed_account(world):
    put(world, "short")
    for user in ("anna", "ben"):
        tie(world, user, "short")
    assert world.control.ask("DELETE", resource("short"))[0] == 200
    assert accounts(world, "anna") == [] and accounts(world, "ben") == []
    row = world.ctl("audit", "list", "--object", "resource:crm/accounts/short")["rows"][0]
    assert (row["action"], row["detail"]["people"]) == ("resource.delete", 2)
    put(world, "short")
    assert people(world, "short")["users"] == []
    assert world.control.ask("DELETE", resource("short"))[0] == 200


def test_very_many_people_of_a_removed_account(world):
    put(world, "crowd")
    rows = "".join(f"many{i},crm/crowd\n" for i in range(2500))
    world.ctl("import", "users", world.write("many.csv", "username,accounts\n" + rows))
    assert personas(world, "crowd")[1] == 2500
    assert world.control.ask("DELETE", resource("crowd"))[0] == 200
    assert accounts(world, "many7") == [] and accounts(world, "many2499") == []
    row = world.ctl("audit", "list", "--object", "resource:crm/accounts/crowd")["rows"][0]
    assert row["detail"]["people"] == 2500


def test_an_account_stays_where_its_people_are(world):
    put(world, "moving")
    tie(world, "anna", "moving")
    status, answer = world.control.ask("PUT", resource("moving"), {"organization": "partners"})
    assert (status, answer["code"], answer["field"]) == (422, "other-organization", "organization")
    tie(world, "anna", "moving", 200, "DELETE")
    assert world.control.ask("PUT", resource("moving"), {"organization": "partners"})[0] == 200
    assert world.control.ask("DELETE", resource("moving"))[0] == 200


def test_a_deleted_user(world):
    world.ctl("users", "create", "leaver")
    tie(world, "leaver", "acme")
    world.ctl("users", "disable", "leaver")
    assert [u["username"] for u in people(world, "acme")["users"]] == ["leaver"]
    leaver = world.ctl("users", "delete", "leaver")
    assert people(world, "acme")["users"] == [] and leaver["accounts"] == []
    rows = world.ctl("audit", "list", "--object", "user:" + leaver["id"])["rows"]
    untied = [row for row in rows if row["action"] == "user.untie"]
    assert [row["detail"]["accounts"] for row in untied] == [[{"application": "crm", "id": "acme"}]]


def test_a_moved_user(world):
    world.ctl("users", "create", "mover")
    tie(world, "mover", "acme")
    moved = world.ctl("users", "move", "mover", "partners")
    assert accounts(world, "mover") == [] and people(world, "acme")["users"] == []
    rows = world.ctl("audit", "list", "--object", "user:" + moved["id"], "--action", "user.untie")["rows"]
    assert [row["detail"]["accounts"] for row in rows] == [[{"application": "crm", "id": "acme"}]]
    tie(world, "mover", "foreign", 201)
    assert tie(world, "mover", "acme", 404)["code"] == "not-found"


def test_many_accounts_removed_together(world):
    """Ties of a whole tree go in pieces, too."""
    put(world, "top", type_="things")
    names = [f"below{i}" for i in range(4)]
    for name in names:
        put(world, name, parent={"type": "things", "id": "top"})
    rows = "".join(f'tied{i},"{";".join("crm/" + name for name in names)}"\n' for i in range(400))
    assert load(world, "username,accounts\n" + rows)["created"] == 400
    status, answer = world.control.ask("DELETE", resource("top", type_="things") + "?recursive=true")
    assert (status, answer) == (200, {"removed": 5})
    assert accounts(world, "tied0") == accounts(world, "tied399") == []
    told = [world.ctl("audit", "list", "--object", "resource:crm/accounts/" + name)["rows"][0] for name in names]
    assert [(row["action"], row["detail"]["people"]) for row in told] == [("resource.delete", 400)] * 4


# --- who may ---


def test_authority(world):
    def token(name, *words):
        return world.ctl("tokens", "create", name, *words)["token"]

    web = Web(world.web)
    helper, viewer = token("h", "--user", "helper"), token("v", "--user", "ben")
    bound = token("b", "--service", "crm", "--application", "crm", "--scope", "users:update@all,users:read@all")
    try:
        assert web.ask("PUT", tie_path("carl", "acme"), token=viewer)[0] == 403
        assert web.ask("PUT", tie_path("carl", "acme"), token=helper)[0] == 201
        # Whoever may do more than the helper is beyond them, whoever is elsewhere is not there.
        assert web.ask("PUT", tie_path("boss", "acme"), token=helper)[1]["code"] == "not-allowed"
        assert web.ask("PUT", tie_path("far", "foreign"), token=helper)[1]["code"] == "not-found"
        assert web.ask("GET", resource("foreign") + "/users", token=helper)[0] == 404
        assert web.ask("GET", resource("acme") + "/users", token=viewer)[0] == 403
        assert web.ask("GET", resource("acme") + "/users", token=helper)[0] == 200
        # A service changes only whom it made; bound to an application it sees its accounts alone.
        assert web.ask("PUT", tie_path("carl", "bolt"), token=bound)[0] == 403
        tie(world, "carl", "other", application="erp")
        seen = web.ask("GET", "users/carl/accounts", token=bound)[1]["accounts"]
        assert [row["application"] for row in seen] == ["crm"]
        assert web.ask("GET", "users/carl/accounts?application=erp", token=bound)[1]["accounts"] == []
        assert [row["application"] for row in web.ask("GET", "users/carl", token=bound)[1]["accounts"]] == ["crm"]
        assert web.ask("GET", resource("other", "erp") + "/users", token=bound)[0] == 404
    finally:
        web.close()
