"""The queue of deliveries, by a real receiver: nothing lost, in order for each person, and nobody held up by a target that is down."""
import secrets
import time

import pytest

from bridge import Bridge, Refused
from control import Control
from webhook_receiver import Receiver, status

SECRET = secrets.token_hex(24)
CONFIG = """
outgoing: {{allowed_networks: [127.0.0.0/8]}}
profiles:
  - {{name: administrator, permissions: ["*:*@all"]}}
  - {{name: analyst, permissions: ["notes:read@own"]}}
  - {{name: manager, permissions: ["notes:read@own"]}}
policy: {{default_profile: analyst}}
targets:
{targets}
"""
TARGET = """  - {{name: {name}, type: webhook, url: "{url}", secret_files: ["{secret}"], retry_min: 1s, retry_max: {retry_max},
      timeout: 30s, alarm_after: 10s{more}}}
"""


def target(name, receiver, folder, retry_max="2s", more=""):
    secret = folder / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    return TARGET.format(name=name, url=receiver.url, secret=secret, retry_max=retry_max, more=more)


def config(*targets):
    return CONFIG.format(targets="".join(targets) or "  []\n")


class World:
    def __init__(self, bridge, *receivers):
        self.bridge, self.receivers = bridge, receivers
        self.control = Control(bridge.folder / "control.sock")

    def create(self, name, profile="analyst"):
        status_, answer = self.control.ask("POST", "users", {"username": name, "email": f"{name}@x.example", "profile": profile})
        assert status_ < 300, answer

    def good(self, method, path, body=None):
        number, answer = self.control.ask(method, path, body)
        assert number < 300, (path, number, answer)
        return answer

    def listed(self, name):
        return {one["name"]: one for one in self.good("GET", "targets")["targets"]}[name]


def until(condition, seconds=120):
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.05)


@pytest.fixture
def world(tmp_path):
    with Receiver([SECRET]) as receiver, Bridge(config(target("hook", receiver, tmp_path))) as bridge:
        world = World(bridge, receiver)
        yield world
        world.control.close()


def test_what_happens_arrives_in_order(world):
    receiver = world.receivers[0]
    world.create("ada")
    world.good("PATCH", "users/ada", {"display_name": "Ada"})
    world.good("POST", "users/ada/disable", {"reason": "left"})
    world.good("POST", "users/ada/enable")
    world.good("POST", "users/ada/grants", {"kind": "profile", "name": "manager"})
    world.good("POST", "users/ada/disable", {"reason": "left"})
    world.good("DELETE", "users/ada")
    receiver.wait(lambda events: len(receiver.types("ada")) >= 7)
    assert receiver.types("ada") == ["user.provisioned", "user.updated", "user.disabled", "user.enabled", "grants.changed",
                                     "user.disabled", "user.deleted"]
    until(lambda: world.listed("hook")["waiting"] == 0)
    assert world.listed("hook")["state"] == "ok"


def test_target_that_is_down_holds_up_nobody(tmp_path):
    with Receiver([SECRET]) as up, Receiver([SECRET]) as down:
        down.stop()
        with Bridge(config(target("up", up, tmp_path), target("down", down, tmp_path))) as bridge:
            world = World(bridge, up, down)
            for i in range(30):
                world.create(f"u{i}")
            up.wait(lambda events: len(events) >= 30)
            until(lambda: world.listed("down")["state"] == "failing")
            assert world.listed("down")["waiting"] == 30
            assert world.listed("down")["problem"]
            assert world.listed("down")["failing"] <= 30
            # It comes back, and hears of everybody, once.
            down.release.clear()
            down.start()
            down.wait(lambda events: len(events) >= 30)
            until(lambda: world.listed("down")["waiting"] == 0)
            assert sorted(e["data"]["user"]["username"] for e in down.events) == sorted(f"u{i}" for i in range(30))
            world.control.close()


def test_nothing_is_lost_by_kill(world):
    """Killed again and again while it delivers: each event comes, in order for each person; twice only as the same event."""
    receiver = world.receivers[0]
    people = [f"k{i}" for i in range(20)]
    for round_ in range(4):
        for name in people:
            if round_ == 0:
                world.create(name)
            else:
                world.good("PATCH", f"users/{name}", {"display_name": f"{name} {round_}"})
        world.bridge.kill()
        world.control.close()
        world.bridge.start()
        world.control = Control(world.bridge.folder / "control.sock")
    receiver.wait(lambda events: len({e["id"] for e in events}) >= 80)
    until(lambda: world.listed("hook")["waiting"] == 0)
    for name in people:
        mine = [e for e in receiver.events if e["data"]["user"]["username"] == name]
        once = list({e["id"]: e for e in mine}.values())
        assert [e["type"] for e in once] == ["user.provisioned"] + ["user.updated"] * 3
        assert [e["data"]["user"]["display_name"] for e in once[1:]] == [f"{name} {i}" for i in (1, 2, 3)]
        # A repetition comes before anything newer of the same person, or is of the newest.
        order = [e["id"] for e in mine]
        assert order == sorted(order, key=[e["id"] for e in once].index)


def give_up_soon(world, folder):
    """What fails for the eighth time is a dead letter."""
    world.bridge.write_config(config(target("hook", world.receivers[0], folder, retry_max="1s", more=", give_up_after: 1s")))
    world.bridge.ctl("reload")
    world.receivers[0].fault = status(500)


def test_dead_letters(world, tmp_path):
    receiver = world.receivers[0]
    give_up_soon(world, tmp_path)
    world.create("bob")
    world.good("PATCH", "users/bob", {"display_name": "Bob"})
    dead = until(lambda: [d for d in world.good("GET", "targets/hook?state=dead")["deliveries"]])
    assert dead[0]["username"] == "bob" and dead[0]["code"]
    until(lambda: any(a["kind"] == "target-dead-letters" and a["subject"] == "hook"
                      for a in world.good("GET", "alarms")["alarms"]))
    receiver.fault = None
    out = world.bridge.ctl("targets", "show", "hook", "--state", "dead")
    assert len(out["deliveries"]) >= 1
    count = world.bridge.ctl("targets", "retry", "hook")["retried"]
    assert count >= 1
    receiver.wait(lambda events: len(receiver.types("bob")) >= 2)
    until(lambda: not any(a["kind"] == "target-dead-letters" for a in world.good("GET", "alarms")["alarms"]))
    actions = [row["action"] for row in world.good("GET", "audit?limit=1000")["rows"]]
    assert "target.retry" in actions


def test_dropping(world, tmp_path):
    give_up_soon(world, tmp_path)
    world.create("bob")
    dead = until(lambda: world.good("GET", "targets/hook?state=dead")["deliveries"])
    number, answer = world.control.ask("POST", "targets/hook/drop", {"delivery": "01234567-89ab-7def-8123-456789abcdef"})
    assert (number, answer["code"]) == (404, "not-found")
    assert world.good("POST", "targets/hook/drop", {"delivery": dead[0]["id"]}) == {"dropped": 1}
    assert world.listed("hook")["dead"] == 0
    number, answer = world.control.ask("POST", "targets/nobody/drop", {})
    assert (number, answer["code"]) == (404, "not-found")


def test_waiting_ones_are_not_dropped(world):
    receiver = world.receivers[0]
    receiver.fault = status(503)
    world.create("bob")
    waiting = until(lambda: world.good("GET", "targets/hook?state=failing")["deliveries"])
    number, answer = world.control.ask("POST", "targets/hook/drop", {"delivery": waiting[0]["id"]})
    assert (number, answer["code"]) == (409, "delivery-waiting")


def test_what_waits_for_one_that_is_switched_off_stays(world, tmp_path):
    receiver = world.receivers[0]
    receiver.fault = status(503)
    world.create("bob")
    until(lambda: world.listed("hook")["failing"] == 1)
    world.bridge.write_config(config(target("hook", receiver, tmp_path, more=", enabled: false")))
    world.bridge.ctl("reload")
    world.create("later")
    assert world.bridge.ctl("targets", "drop", "hook")["dropped"] == 0
    assert (world.listed("hook")["state"], world.listed("hook")["waiting"]) == ("disabled", 1)
    receiver.fault = None
    world.bridge.write_config(config(target("hook", receiver, tmp_path)))
    world.bridge.ctl("reload")
    receiver.wait(lambda events: len(events) >= 1)
    until(lambda: world.listed("hook")["waiting"] == 0)
    assert receiver.types() == ["user.provisioned"]


def test_new_target_is_told_of_everybody_when_asked(world, tmp_path):
    receiver = world.receivers[0]
    for i in range(5):
        world.create(f"n{i}")
    receiver.wait(lambda events: len(events) >= 5)
    with Receiver([SECRET]) as later:
        world.bridge.write_config(config(target("hook", receiver, tmp_path), target("later", later, tmp_path)))
        world.bridge.ctl("reload")
        plan = world.bridge.ctl("targets", "plan", "later")["result"]
        assert (plan["comparable"], plan["people"], plan["carried_out"]) == (False, 5, False)
        world.bridge.ctl("targets", "reconcile", "later")
        later.wait(lambda events: len(events) >= 5)
        assert {e["type"] for e in later.events} == {"user.state"}
        # Not configured any more: what waits is listed, and can be dropped.
        later.fault = status(503)
        world.create("last")
        until(lambda: world.listed("later")["failing"] == 1)
        world.bridge.write_config(config(target("hook", receiver, tmp_path)))
        world.bridge.ctl("reload")
        assert world.listed("later")["state"] == "removed"
        assert world.bridge.ctl("targets", "drop", "later")["dropped"] == 1
        assert "later" not in {one["name"] for one in world.good("GET", "targets")["targets"]}
    receiver.wait(lambda events: "user.provisioned" in receiver.types("last"))


def test_behind(world):
    """What waits for too long raises an alarm, which ends when it has arrived."""
    receiver = world.receivers[0]
    receiver.fault = status(503)
    world.create("slow")
    until(lambda: any(a["kind"] == "target-behind" for a in world.good("GET", "alarms")["alarms"]))
    receiver.fault = None
    until(lambda: not any(a["kind"] == "target-behind" for a in world.good("GET", "alarms")["alarms"]))


def test_unknown_target(world):
    for method, path in (("GET", "targets/nobody"), ("POST", "targets/nobody/retry")):
        number, answer = world.control.ask(method, path, {} if method == "POST" else None)
        assert (number, answer["code"]) == (404, "not-found")
    with pytest.raises(Refused, match="no such target"):
        world.bridge.ctl("targets", "plan", "nobody")
