"""People who may apply plans, sync and release rules try to give, by these, what they do not have themselves."""
import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
from bridge import Bridge  # noqa: E402
from control import Bearer, Control  # noqa: E402

STAFF = 30
RUNS = '"plans:*@all", "rules:*@all", "sources:*@all", "config:reload@all", "status:read@all", "users:read@all"'
CONFIG = f"""
profiles:
  - {{name: administrator, permissions: ["*:*@all"]}}
  - {{name: planner, permissions: [{RUNS}, "notes:read@own"]}}
  - {{name: writing-planner, permissions: [{RUNS}, "notes:*@all"]}}
  - {{name: viewer, permissions: ["notes:read@own"]}}
classifications: [Support]
segments: [Core]
roles:
  - {{name: writer, classifications: [Support], segments: [Core], permissions: ["notes:*@all"]}}
organizations: [{{name: partners}}]
rules:
  - {{id: bosses, when: "(title=boss)", grant: {{profile: administrator}}}}
  - {{id: writers, when: "(title=writer)", grant: {{roles: [writer]}}}}
  - {{id: grouped, groups: ["cn=writers,dc=example"], grant: {{roles: [writer]}}}}
policy: {{default_profile: viewer, limits: {{first_sync_administrators: true, new_administrators: 1}}}}
sources:
  - {{name: staff, type: csv, path: staff.csv, key: id, interval: 0, attributes: [uid, title]}}
  - {{name: partners, type: csv, path: partners.csv, key: id, interval: 0, organization: partners, attributes: [uid, title]}}
"""


def rows(*titles, name="staff"):
    return "id,uid,title\n" + "".join(f"{number},{name}{number},{title}\n" for number, title in enumerate(titles))


def roles_of(bridge, user):
    return [grant["name"] for grant in bridge.ctl("users", "show", user)["grants"] if grant["kind"] == "role"]


@pytest.fixture(name="world")
def start():
    bridge = Bridge(CONFIG)
    bridge.write("staff.csv", rows(*["writer"] * STAFF))
    bridge.write("partners.csv", rows())
    with bridge:
        for name, profile in (("ada", "administrator"), ("ben", "administrator"), ("pia", "planner"),
                              ("wim", "writing-planner")):
            bridge.ctl("users", "create", name, "--profile", profile)
        bridge.ctl("users", "create", "far", "--profile", "planner", "--organization", "partners")
        bridge.ctl("sync", "staff")
        bridge.callers = {name: Bearer(bridge.folder / "control.sock", bridge.ctl("tokens", "create", "t", "--user", name)["token"])
                          for name in ("ada", "pia", "wim", "far")}
        bridge.callers["service"] = Bearer(bridge.folder / "control.sock", bridge.ctl(
            "tokens", "create", "t", "--service", "feed", "--scope", "plans:*@all")["token"])
        yield bridge


def state(bridge):
    """Who has what, and what waits."""
    control = Control(bridge.folder / "control.sock")
    users = control.ask("GET", "users?limit=1000")[1]["users"]
    seen = [control.ask("GET", "users/" + user["id"])[1] for user in users]
    plans = control.ask("GET", "plans")[1]
    control.close()
    return json.dumps([seen, plans], sort_keys=True)


def held(bridge):
    plan, = [plan for plan in bridge.ctl("plans", "list")["plans"] if plan["state"] == "held"]
    return plan["id"]


def refused(answer):
    status, answer = answer
    assert (status, answer.get("code")) == (403, "not-allowed"), answer
    assert "administrator" not in answer["message"] and "notes:" not in answer["message"], answer


def test_new_administrators(world):
    """More of them than may come at once wait: nobody lets them in who is none."""
    world.write("staff.csv", rows(*["boss"] * 5 + ["writer"] * (STAFF - 5)))
    world.ctl("sync", "staff")
    plan = held(world)
    before = state(world)
    for name in ("pia", "wim", "service"):
        refused(world.callers[name].run(f"plans/{plan}/apply", {}))
        refused(world.callers[name].run(f"plans/{plan}/apply", {"user": "staff1"}))
    assert state(world) == before
    status, run = world.callers["ada"].run(f"plans/{plan}/apply", {"user": "staff1"})
    assert (status, run["state"]) == (202, "done"), run
    assert world.ctl("users", "show", "staff1")["profile"] == "administrator"


def test_roles(world):
    """Whoever has it may let it be taken from others, and nobody else."""
    world.write("staff.csv", rows(*["none"] * STAFF))
    world.ctl("sync", "staff")
    plan = held(world)
    before = state(world)
    refused(world.callers["pia"].run(f"plans/{plan}/apply", {}))
    refused(world.callers["pia"].run(f"plans/{plan}/apply"))
    assert state(world) == before
    status, run = world.callers["wim"].run(f"plans/{plan}/apply", {"user": "staff3"})
    assert (status, run["state"]) == (202, "done"), run
    status, run = world.callers["wim"].run(f"plans/{held(world)}/apply", {})
    assert (status, run["state"]) == (202, "done"), run
    assert not [number for number in range(STAFF) if roles_of(world, f"staff{number}")]


def test_one_beyond_all(world):
    """One in it who is beyond, and nothing of it is applied; one by one, those who are not."""
    world.ctl("users", "grant", "staff7", "profile", "administrator")
    world.write("staff.csv", rows(*["none"] * STAFF))
    world.ctl("sync", "staff")
    plan = held(world)
    before = state(world)
    refused(world.callers["wim"].run(f"plans/{plan}/apply", {}))
    refused(world.callers["wim"].run(f"plans/{plan}/apply", {"user": "staff7"}))
    assert state(world) == before
    assert world.callers["wim"].run(f"plans/{plan}/apply", {"user": "staff8"})[1]["state"] == "done"


def test_other_organizations(world):
    """People of another organization are nobody's here; and theirs may not apply at all."""
    world.write("partners.csv", rows(*["writer"] * STAFF, name="partner"))
    world.ctl("sync", "partners")
    world.write("partners.csv", rows(*["none"] * STAFF, name="partner"))
    world.ctl("sync", "partners")
    plan = held(world)
    before = state(world)
    for name in ("wim", "ada", "far"):
        refused(world.callers[name].run(f"plans/{plan}/apply", {}))
    for name in ("wim", "ada"):
        status, answer = world.callers[name].ask("POST", f"plans/{plan}/apply", {"user": "partner1"})
        assert (status, answer["code"], answer["field"]) == (404, "not-found", "user"), answer
    assert state(world) == before
    status, answer = world.callers["ada"].run("sync", {"user": "far"})
    assert answer["error"]["code"] == "not-found" and "far" not in answer["error"]["message"], answer


def test_sync_is_the_rules_authority(world):
    """What rules give is given, whoever reads; what waits goes on waiting."""
    world.write("staff.csv", rows(*["writer"] * STAFF + ["writer"] + ["boss"] * 3))
    status, run = world.callers["pia"].run("sync", {"source": "staff"})
    assert (status, run["state"]) == (202, "done"), run
    assert roles_of(world, f"staff{STAFF}") == ["writer"]
    assert run["reports"][0]["held"] > 0
    plan = held(world)
    for body in ({"source": "staff"}, {"source": "staff", "full": True}, {}):
        assert world.callers["pia"].run("sync", body)[1]["state"] == "done"
        assert held(world) == plan
    assert world.callers["pia"].run("reload")[1]["state"] == "done"
    assert [world.ctl("users", "list", "--profile", "administrator")["users"][i]["username"] for i in range(2)] == \
        ["ada", "ben"]
    refused(world.callers["far"].run("sync", {"source": "staff"}))


def test_release(world):
    """A rule whose group is gone keeps what it gave until somebody who has it says so. Files have no groups: there is
    none to release, and who may not answer for the rule is not even told that."""
    refused_run = world.callers["pia"].run("rules/bosses/release")[1]
    assert refused_run["error"]["code"] == "not-allowed", refused_run
    allowed_run = world.callers["wim"].run("rules/writers/release")[1]
    assert allowed_run["error"]["code"] == "conflict", allowed_run


def test_who_lost_it(world):
    """Disabled, or without the permission: a token begins nothing any more."""
    world.write("staff.csv", rows(*["none"] * STAFF))
    world.ctl("sync", "staff")
    plan = held(world)
    world.ctl("users", "grant", "wim", "profile", "viewer")
    refused_status = world.callers["wim"].ask("POST", f"plans/{plan}/apply", {})[0]
    assert refused_status == 403
    world.ctl("users", "disable", "wim")
    assert world.callers["wim"].ask("POST", f"plans/{plan}/apply", {})[0] == 401
