"""Two organizations: moving people between them, definitions of each, and nothing of one for people of the other."""
import pytest

from access import Web
from bridge import Bridge, Refused
from control import Control
from ports import free_port
from test_control import check

CONFIG = """
public_url: "http://127.0.0.1:{port}"
listeners: [{{address: "127.0.0.1:{port}"}}]
profiles:
  - {{name: administrator, permissions: ["*:*@all"]}}
  - {{name: viewer, permissions: ["notes:read@own"]}}
  - {{name: mover, permissions: ["users:*@all", "notes:read@own"]}}
segments: [All]
organizations: [{{name: partners}}, {{name: others}}]
roles:
  - {{name: sales, classifications: [Sales], segments: [All], permissions: ["notes:read@own"]}}
policy: {{default_profile: viewer}}
sources:
  - {{name: staff, type: csv, path: staff.csv, key: id, interval: 0, attributes: [uid, mail, displayName]}}
  - {{name: partners, type: csv, path: partners.csv, key: id, interval: 0, organization: partners,
      attributes: [uid, mail, displayName]}}
"""
FILES = {"staff.csv": "id,uid,mail,displayName\n1,near,near@x.example,Near\n",
         "partners.csv": "id,uid,mail,displayName\n1,far,far@y.example,Far\n"}


@pytest.fixture(scope="module")
def bridge():
    port = free_port()
    with Bridge(CONFIG.format(port=port), FILES) as bridge:
        bridge.port = port
        bridge.ctl("users", "create", "ada", "--profile", "administrator")
        bridge.ctl("users", "create", "boss", "--profile", "administrator", "--organization", "partners")
        bridge.ctl("users", "create", "moe", "--profile", "mover")
        bridge.ctl("sync")
        yield bridge


@pytest.fixture(name="web")
def connect(bridge):
    web = Web(bridge.port)
    yield web
    web.close()


@pytest.fixture(name="control")
def connect_control(bridge):
    control = Control(bridge.folder / "control.sock")
    yield control
    control.close()


def token(bridge, user, name="t"):
    return bridge.ctl("tokens", "create", name, "--user", user)["token"]


def user(bridge, name):
    return bridge.ctl("users", "show", name)


def refused(bridge, *words):
    with pytest.raises(Refused) as no:
        bridge.ctl(*words)
    return no.value.output + no.value.text


def audit(bridge, action, name):
    wanted = "user:" + user(bridge, name)["id"]
    return [row for row in bridge.ctl("audit", "list", "--limit", 1000)["rows"]
            if row["action"] == action and row["object"] == wanted]


# --- moving ---


def test_move(bridge, web):
    """Somebody goes over with what they have; what they came in with ends."""
    bridge.ctl("users", "create", "mia", "--email", "mia@x.example")
    bridge.ctl("users", "grant", "mia", "role", "sales")
    mine = token(bridge, "mia")
    assert web.ask("GET", "me", token=mine)[1]["organization"] == "default"
    version = user(bridge, "mia")["version"]
    looked = bridge.ctl("users", "move", "mia", "partners", "--dry-run")
    assert (looked["moved"], looked["dry_run"], looked["organization"], looked["tokens"], looked["dropped"]) == \
        (True, True, "partners", 1, [])
    assert user(bridge, "mia")["version"] == version and user(bridge, "mia")["organization"] == "default"
    assert web.ask("GET", "me", token=mine)[0] == 200 and not audit(bridge, "user.move", "mia")

    made = bridge.ctl("users", "move", "mia", "partners", "--if-match", version)
    assert made["organization"] == "partners" and not made["dry_run"]
    shown = user(bridge, "mia")
    assert shown["organization"] == "partners" and shown["version"] == version + 1
    assert {(g["kind"], g["name"]) for g in shown["grants"]} == {("profile", "viewer"), ("role", "sales")}
    assert web.ask("GET", "me", token=mine)[0] == 401
    row, = audit(bridge, "user.move", "mia")
    assert row["detail"]["before"]["organization"] == "default"
    assert row["detail"]["after"]["organization"] == "partners"
    # A token of the new life acts in the new one.
    assert web.ask("GET", "me", token=token(bridge, "mia"))[1]["organization"] == "partners"
    assert "already of partners" in bridge.human("users", "move", "mia", "partners").stdout
    assert not bridge.ctl("users", "move", "mia", "partners")["moved"]


def test_move_needs_both(bridge, web):
    """Whoever is bound to one organization has no permission in another."""
    bridge.ctl("users", "create", "ned")
    for name in ("moe", "ada"):
        text = token(bridge, name, "both")
        status, answer = web.ask("POST", "users/ned/move", {"organization": "partners"}, token=text)
        assert (status, answer["code"], answer["field"]) == (404, "not-found", "organization"), answer
        absent = web.ask("POST", "users/ned/move", {"organization": "nowhere"}, token=text)
        assert (absent[0], absent[1]["message"]) == (404, answer["message"])
        status, answer = web.ask("POST", "users/far/move", {"organization": "default"}, token=text)
        assert (status, answer["code"], answer.get("field")) == (404, "not-found", None)
    bridge.ctl("users", "create", "vic")
    assert web.ask("POST", "users/ned/move", {"organization": "default"}, token=token(bridge, "vic"))[0] == 403
    assert user(bridge, "ned")["organization"] == "default"


def test_move_refused(bridge, control):
    """What stands against it leaves everything as it was."""
    assert "managed-by-idp" in refused(bridge, "users", "move", "near", "partners")
    assert "last-administrator" in refused(bridge, "users", "move", "boss", "default")
    assert "not-found" in refused(bridge, "users", "move", "ned", "nowhere")
    assert "not-found" in refused(bridge, "users", "move", "nobody", "partners")
    bridge.ctl("users", "create", "rob")
    bridge.ctl("references", "put", "crm", "account-manager", "acme", "rob")
    status, answer = control.ask("POST", "users/rob/move", {"organization": "partners"})
    assert (status, answer["code"], answer["details"]["total"]) == (409, "user-has-references", 1)
    bridge.ctl("references", "delete", "crm", "account-manager", "acme")
    assert control.ask("POST", "users/rob/move?dry_run=true", {"organization": "partners"})[0] == 200
    for body, field in (({}, "organization"), ({"organization": 7}, "organization"),
                        ({"organization": "x" * 65}, "organization"), ({"organization": "a", "x": 1}, "x")):
        status, answer = control.ask("POST", "users/rob/move", body)
        assert (status, answer["field"]) == (422, field), answer
    assert "stale-version" in refused(bridge, "users", "move", "rob", "partners", "--if-match", "77")
    assert user(bridge, "rob")["organization"] == "default"
    bridge.ctl("users", "move", "rob", "others")
    assert "rob" in {u["username"] for u in bridge.ctl("users", "list", "--organization", "others")["users"]}
    check(bridge.ctl("users", "move", "rob", "default"), "/api/v1/users/{user}/move", "post")
