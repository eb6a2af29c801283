"""What users can have is bounded, long work goes in pieces, and nobody learns who is elsewhere."""
import sqlite3

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
  - {{name: viewer, permissions: ["accounts:read@own", "tokens:create@own"]}}
  - {{name: desk, permissions: ["users:*@all", "resources:*@all", "references:*@all", "accounts:read@own",
      "tokens:create@own", "invites:*@all"]}}
organizations: [{{name: partners}}]
sources:
  - {{name: partners, type: csv, path: partners.csv, key: id, interval: 0, organization: partners,
     attributes: [uid, mail, displayName]}}
policy: {{default_profile: viewer}}
"""
PARTNERS = "id,uid,mail,displayName\n1,far,far@y.example,Far\n"


@pytest.fixture(scope="module", name="world")
def start():
    web = free_port()
    with Bridge(CONFIG.format(web=web), {"partners.csv": PARTNERS}) as bridge:
        bridge.ctl("users", "create", "boss", "--profile", "administrator")
        bridge.ctl("users", "create", "helper", "--profile", "desk")
        for name in ("anna", "ben", "carl"):
            bridge.ctl("users", "create", name, "--email", name + "@x.example")
        bridge.ctl("sync")
        bridge.control = Control(bridge.folder / "control.sock")
        bridge.web = Web(web)
        yield bridge
        bridge.web.close()
        bridge.control.close()


@pytest.fixture(scope="module", name="helper")
def make_helper(world):
    assert world.control.ask("PUT", "resources/crm/accounts/far", {"organization": "partners"})[0] == 201
    assert world.control.ask("PUT", "references/crm/task/far", {"user": "far"})[0] == 201
    return world.ctl("tokens", "create", "h", "--user", "helper")["token"]


def test_tokens_of_one_owner(world):
    for owner in (("--user", "anna"), ("--service", "robot", "--scope", "accounts:read@own")):
        made = [world.ctl("tokens", "create", f"t{i}", *owner)["id"] for i in range(100)]
        with pytest.raises(Refused) as refused:
            world.ctl("tokens", "create", "more", *owner)
        assert "100 tokens" in str(refused.value)
        world.ctl("tokens", "revoke", made[0])
        world.ctl("tokens", "create", "more", *owner)
    status, answer = world.control.ask("POST", "tokens", {"name": "again", "user": "anna"})
    assert (status, answer["code"]) == (409, "too-many-tokens")
    assert world.ctl("tokens", "create", "first", "--user", "ben")["token"]


def test_reassigning_very_much(world):
    resources = [{"type": "accounts", "id": f"r{i}", "owner": "ben"} for i in range(1100)]
    status, answer = world.control.ask("POST", "resources/crm", {"resources": resources})
    assert status == 200 and answer["created"] == 1100
    for i in range(120):
        assert world.control.ask("PUT", f"references/crm/task/t{i}", {"user": "ben"})[0] == 201
    before = world.ctl("audit", "verify")["rows"]
    assert world.ctl("users", "reassign", "ben", "carl") == {"moved": 1220}
    assert world.control.ask("GET", "references?user=ben")[1]["references"] == []
    rows = world.ctl("audit", "list", "--action", "user.reassign")["rows"]
    # Each piece says how much it was.
    assert len(rows) >= 3 and sum(row["detail"]["moved"] for row in rows) == 1220
    assert all(row["detail"]["moved"] <= 500 for row in rows)
    assert world.ctl("audit", "verify")["rows"] == before + 1220 + len(rows)
    assert world.ctl("users", "reassign", "ben", "carl") == {"moved": 0}


def told(world, method, path, body=None, token=None):
    status, answer = world.web.ask(method, path, body, token=token)
    return status, answer.get("code"), answer.get("message"), answer.get("field")


@pytest.mark.parametrize("method,path,body", [
    ("GET", "users/{}", None), ("PATCH", "users/{}", {"display_name": "X"}), ("DELETE", "users/{}", None),
    ("POST", "users/{}/disable", {}), ("POST", "users/{}/enable", None), ("GET", "users/{}/why", None),
    ("POST", "users/{}/grants", {"kind": "profile", "name": "viewer"}), ("DELETE", "users/{}/grants/role/x", None),
    ("PUT", "users/{}/identities/partners/7", None), ("GET", "users/{}/accounts", None),
    ("PUT", "users/{}/accounts/crm/r1", None), ("DELETE", "users/{}/accounts/crm/r1", None),
    ("POST", "users/{}/reassign", {"to": "anna"}), ("GET", "resources/crm/accounts/{}", None),
    ("DELETE", "resources/crm/accounts/{}", None), ("GET", "resources/crm/accounts/{}/users", None),
    ("GET", "resources/crm/accounts/{}/personas", None), ("GET", "resources/crm/accounts/{}/children", None),
    ("GET", "references/crm/task/{}", None), ("DELETE", "references/crm/task/{}", None),
    ("GET", "tokens?user={}", None)])
def test_elsewhere_is_not_there(world, helper, method, path, body):
    # The one is elsewhere, the other nowhere: the same length, so that no text differs by that.
    elsewhere = told(world, method, path.format("far"), body, helper)
    nowhere = told(world, method, path.format("not"), body, helper)
    assert elsewhere[0] in (403, 404) and str(elsewhere).replace("far", "not") == str(nowhere)


def test_searching_page_by_page(world):
    rows = "".join(f"page{i:03d}\n" for i in range(250))
    world.ctl("import", "users", world.write("pages.csv", "username\n" + rows))
    found, path = [], "users?q=page&limit=60"
    after = ""
    while after is not None:
        status, answer = world.control.ask("GET", path + after)
        assert status == 200 and check(answer, "/api/v1/users")
        found += [user["username"] for user in answer["users"]]
        after = None if answer["next"] is None else f"&after={answer['next']}"
        # Who comes meanwhile changes nothing of what was seen.
        if len(found) == 60:
            world.ctl("users", "create", "page000a")
    assert found == [f"page{i:03d}" for i in range(250)]
    assert [u["username"] for u in world.ctl("users", "search", "page00", "--limit", "3")["users"]] == [
        "page000", "page000a", "page001"]
    first = world.ctl("users", "search", "page1", "--limit", "1")
    rest = world.ctl("users", "search", "page1", "--limit", "1", "--after", first["next"])
    assert [u["username"] for u in rest["users"]] == ["page101"]
    world.ctl("users", "set", "page100", "--username", "other100")
    status, answer = world.control.ask("GET", f"users?q=page1&after={first['next']}")
    assert (status, answer["code"]) == (409, "stale-cursor")


def test_pages_that_look_at_many_in_vain(world):
    """More users than one page looks at: the command goes on until it has what was asked for."""
    rows = "".join(f"vain{i:05d}\n" for i in range(12000))
    world.ctl("import", "users", world.write("vain.csv", "username\n" + rows))
    world.ctl("users", "disable", "vain11999")
    path, pages, found, after = "users?q=vain&state=disabled", 0, [], ""
    while after is not None:
        status, answer = world.control.ask("GET", path + after)
        assert status == 200
        pages, found = pages + 1, found + answer["users"]
        after = None if answer["next"] is None else f"&after={answer['next']}"
    assert pages > 1 and [user["username"] for user in found] == ["vain11999"]
    got = world.ctl("users", "search", "vain", "--state", "disabled")
    assert [user["username"] for user in got["users"]] == ["vain11999"] and got["next"] is None
    assert "vain11999" in world.human("users", "search", "vain", "--state", "disabled").stdout


def test_indexes_are_used(world):
    """The store's lists stand on these: a schema without them would scan."""
    with sqlite3.connect(f"file:{world.folder / 'store.db'}?mode=ro", uri=True) as store:
        names = {row[0] for row in store.execute("SELECT name FROM sqlite_schema WHERE type = 'index'")}
    assert {"user_organization", "user_profile", "user_inactive_id", "user_active", "user_inactive"} <= names
