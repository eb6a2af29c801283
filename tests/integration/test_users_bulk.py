"""The same change of many users at once: each as a change by hand would be, one refused stops no other."""
import threading

import pytest

from access import Web
from bridge import Bridge
from control import Control
from ports import free_port
from test_control import check

CONFIG = """
public_url: http://127.0.0.1:{web}
listeners: ["127.0.0.1:{web}"]
profiles:
  - {{name: administrator, permissions: ["*:*@all"]}}
  - {{name: viewer, permissions: ["accounts:read@own"]}}
  - {{name: desk, permissions: ["users:disable@all", "users:read@all", "accounts:read@own"]}}
segments: [All]
segment_filters: [{{name: northern, description: From the north, filter: "(username=north*)"}}]
organizations: [{{name: partners}}]
roles:
  - {{name: sales, description: Sells, classifications: [Sales], segments: [All], permissions: ["quotes:*@own"]}}
personas:
  - {{name: lead, title: Alex, objectives: [x], frustrations: [x], watering_holes: [x],
      technical_sophistication: low}}
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
        bridge.web = web
        bridge.ctl("users", "create", "boss", "--profile", "administrator")
        bridge.ctl("users", "create", "helper", "--profile", "desk")
        rows = "".join(f"many{i},many{i}@x.example\n" for i in range(1200))
        bridge.ctl("import", "users", bridge.write("many.csv", "username,email\n" + rows))
        for i in range(3):
            bridge.ctl("users", "create", f"north{i}")
        bridge.ctl("sync")
        bridge.control = Control(bridge.folder / "control.sock")
        yield bridge
        bridge.control.close()


def post(world, status=202, **body):
    answered, answer = world.control.ask("POST", "users/bulk", body)
    assert answered == status, answer
    return answer


def finish(world, started):
    run = {"state": "running"}
    while run["state"] == "running":
        status, run = world.control.ask("GET", f"runs/{started['run']}?wait_ms=10000")
        assert status == 200, run
    return check(run, "/api/v1/runs/{id}")


def bulk(world, action, users=None, **body):
    if users is not None:
        body["users"] = users
    run = finish(world, post(world, action=action, **body))
    assert run["state"] == "done" and run["kind"] == "bulk", run
    result = run["result"]
    told = [row["status"] for row in result["users"]]
    for status in ("done", "unchanged", "failed"):
        assert result[status] == told.count(status)
    return result


def outcome(result):
    return [(row["status"], row.get("code")) for row in result["users"]]


def user(world, name):
    return world.control.ask("GET", "users/" + name)[1]


def test_each_action(world):
    names = ["many0", "many1@x.example", user(world, "many2")["id"]]
    assert outcome(bulk(world, "disable", names, reason="away")) == [("done", None)] * 3
    assert outcome(bulk(world, "disable", names)) == [("unchanged", None)] * 3
    assert user(world, "many1")["disabled"] == ["hand"]
    assert outcome(bulk(world, "enable", names)) == [("done", None)] * 3
    assert outcome(bulk(world, "enable", names)) == [("unchanged", None)] * 3
    assert user(world, "many2")["active"]
    assert outcome(bulk(world, "grant", names, kind="role", name="sales", expires="2099-01-31")) == [("done", None)] * 3
    assert [g["expires"] for g in user(world, "many0")["grants"] if g["name"] == "sales"][0].startswith("2099-")
    assert outcome(bulk(world, "grant", names, kind="persona", name="lead")) == [("done", None)] * 3
    assert outcome(bulk(world, "revoke", names, kind="role", name="sales")) == [("done", None)] * 3
    assert outcome(bulk(world, "revoke", names, kind="role", name="sales")) == [("unchanged", None)] * 3
    assert outcome(bulk(world, "delete", names)) == [("failed", "conflict")] * 3
    bulk(world, "disable", names)
    assert outcome(bulk(world, "delete", names)) == [("done", None)] * 3
    assert outcome(bulk(world, "delete", names)) == [("failed", "not-found")] * 3
    rows = world.ctl("audit", "list", "--object", "user:" + names[2])["rows"]
    assert [row["action"] for row in rows][:2] == ["user.delete", "user.disable"]


def test_one_bad_one_stops_no_other(world):
    names = ["many10", "nobody", "boss", "many11", "not a name at all!", "many10", "many12"]
    expected = [("done", None), ("failed", "not-found"), ("failed", "last-administrator"), ("done", None),
                ("failed", "not-found"), ("unchanged", None), ("done", None)]
    assert outcome(bulk(world, "disable", names, dry_run=True)) == expected
    assert user(world, "many10")["active"]
    assert outcome(bulk(world, "disable", names)) == expected
    assert not user(world, "many12")["active"] and user(world, "boss")["active"]
    bulk(world, "enable", ["many10", "many11", "many12"])


def test_the_last_administrators(world):
    world.ctl("users", "create", "second", "--profile", "administrator")
    both = ["second", "boss"]
    for action, body in (("disable", {}), ("grant", {"kind": "profile", "name": "viewer"})):
        expected = [("done", None), ("failed", "last-administrator")]
        assert outcome(bulk(world, action, both, dry_run=True, **body)) == expected
        assert user(world, "second")["active"] and user(world, "second")["profile"] == "administrator"
        assert outcome(bulk(world, action, both, **body)) == expected
        bulk(world, "enable", ["second"])
        bulk(world, "grant", ["second"], kind="profile", name="administrator")
    # Two at once, in both orders: one administrator is left.
    for _ in range(20):
        threads = [threading.Thread(target=world.run, args=("users", "bulk", "disable", "--users", order))
                   for order in ("boss,second", "second,boss")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [user(world, name)["active"] for name in both].count(True) == 1
        bulk(world, "enable", both)
    world.ctl("users", "disable", "second")
    world.ctl("users", "delete", "second")


def test_references(world):
    world.control.ask("PUT", "resources/crm/accounts/a1", {"owner": "many20", "title": "A"})
    for dry in (True, False):
        assert outcome(bulk(world, "disable", ["many19", "many20"], dry_run=dry)) == [
            ("done", None), ("failed", "user-has-references")]
    world.ctl("users", "reassign", "many20", "many21")
    assert outcome(bulk(world, "disable", ["many20"])) == [("done", None)]


def test_many_in_pieces(world):
    names = [f"many{i}" for i in range(100, 1100)]
    result = bulk(world, "grant", names, kind="role", name="sales")
    assert result["done"] == 1000
    assert len(world.ctl("users", "list", "--grant", "role:sales", "--limit", "10000")["users"]) >= 1000
    assert bulk(world, "revoke", names, kind="role", name="sales")["done"] == 1000
    head = world.ctl("audit", "verify")
    assert head


def test_by_filter_and_segment(world):
    result = bulk(world, "disable", filter="(username=north*)", dry_run=True)
    assert result["done"] == 3 and user(world, "north0")["active"]
    assert sorted(row["user"] for row in result["users"]) == sorted(user(world, f"north{i}")["id"] for i in range(3))
    assert bulk(world, "disable", segment="northern")["done"] == 3
    assert bulk(world, "enable", filter="(&(username=north*)(state=disabled))")["done"] == 3
    assert bulk(world, "enable", filter="(username=nobody-at-all)")["users"] == []


@pytest.mark.parametrize("body,code,field", [
    ({}, "invalid-request", "action"),
    ({"action": "promote", "users": ["a"]}, "invalid-request", "action"),
    ({"action": "disable"}, "invalid-request", "users"),
    ({"action": "disable", "users": []}, "invalid-request", "users"),
    ({"action": "disable", "users": "a"}, "invalid-request", "users"),
    ({"action": "disable", "users": [1]}, "invalid-request", "users[0]"),
    ({"action": "disable", "users": ["x" * 321]}, "invalid-request", "users[0]"),
    ({"action": "disable", "users": ["a"] * 10001}, "invalid-request", "users"),
    ({"action": "disable", "users": ["a"], "filter": "(a=b)"}, "invalid-request", "users"),
    ({"action": "disable", "users": ["a"], "segment": "s"}, "invalid-request", "segment"),
    ({"action": "disable", "filter": "(username="}, "filter-syntax", "filter"),
    ({"action": "disable", "filter": "(nosuch=1)"}, "unknown-attribute", "filter"),
    ({"action": "disable", "segment": "none"}, "not-found", "segment"),
    ({"action": "disable", "users": ["a"], "name": "sales"}, "invalid-request", "name"),
    ({"action": "disable", "users": ["a"], "expires": "2099-01-01"}, "invalid-request", "expires"),
    ({"action": "enable", "users": ["a"], "reason": "x"}, "invalid-request", "reason"),
    ({"action": "grant", "users": ["a"], "kind": "role"}, "invalid-request", "name"),
    ({"action": "grant", "users": ["a"], "kind": "rank", "name": "sales"}, "invalid-request", "kind"),
    ({"action": "grant", "users": ["a"], "kind": "role", "name": "none"}, "not-found", "name"),
    ({"action": "grant", "users": ["a"], "kind": "role", "name": "sales", "expires": "2001-01-01"}, "invalid-request",
     "expires"),
    ({"action": "disable", "users": ["a"], "dry_run": 1}, "invalid-request", "dry_run"),
    ({"action": "disable", "users": ["a"], "more": 1}, "invalid-request", "more"),
])
def test_bad_requests(world, body, code, field):
    status, answer = world.control.ask("POST", "users/bulk", body)
    assert 400 <= status < 500 and (answer["code"], answer.get("field")) == (code, field), answer


def test_authority(world):
    web = Web(world.web)
    token = world.ctl("tokens", "create", "h", "--user", "helper")["token"]

    def ask(**body):
        status, answer = web.ask("POST", "users/bulk", body, token=token)
        if status != 202:
            return status, answer["code"]
        run = {"state": "running"}
        while run["state"] == "running":
            run = web.ask("GET", f"runs/{answer['run']}?wait_ms=10000", token=token)[1]
        return outcome(run["result"])

    try:
        for dry in (True, False):
            assert ask(action="disable", users=["many30", "boss", "far", "nobody", "helper"], dry_run=dry) == [
                ("done", None), ("failed", "not-allowed"), ("failed", "not-found"), ("failed", "not-found"),
                ("failed", "self-disable")]
        far = web.ask("POST", "users/far/disable", {}, token=token)[1]
        nobody = web.ask("POST", "users/nobody/disable", {}, token=token)[1]
        assert (far["code"], far["message"]) == (nobody["code"], nobody["message"])
        assert ask(action="enable", users=["many30"]) == (403, "not-allowed")
        assert ask(action="grant", users=["many30"], kind="role", name="sales") == (403, "not-allowed")
        # By filter: those of the own organization.
        assert ask(action="disable", filter="(username=far)", dry_run=True) == []
        assert user(world, "far")["active"]
    finally:
        web.close()
        bulk(world, "enable", ["many30"])


def test_the_command(world):
    told = world.human("users", "bulk", "disable", "--users", "many40, many41", "--reason", "gone")
    assert told.returncode == 0 and "2 done, 0 unchanged, 0 failed." in told.stdout and "many41" in told.stdout
    path = world.write("names.txt", "many40\n\n  many41  \nnobody\n")
    told = world.human("users", "bulk", "enable", "--file", path, "--dry-run")
    assert told.returncode == 1 and "Nothing was changed. It would be: 2 done" in told.stdout
    assert "not-found" in told.stdout and not user(world, "many40")["active"]
    assert world.human("users", "bulk", "enable", "--file", path).returncode == 1
    assert user(world, "many40")["active"]
    run = world.ctl("users", "bulk", "grant", "role", "sales", "--segment", "northern", "--expires", "2099-12-31")
    assert run["result"]["done"] == 3
    assert world.ctl("users", "bulk", "revoke", "role", "sales", "--filter", "(username=north*)")["result"]["done"] == 3
    for words in (["disable"], ["disable", "--users", "a", "--segment", "s"], ["grant", "--users", "a"],
                  ["grant", "role", "--users", "a"], ["disable", "role", "sales", "--users", "a"]):
        assert world.run("users", "bulk", *words).returncode == 2, words
    assert world.run("users", "bulk", "vanish", "--users", "a").returncode == 1
