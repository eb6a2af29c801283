"""Reports of people who signed in at a real IdP: each sign-in counts once, whatever becomes of its session."""
import pytest

from days import keep_off_midnight
from signin import SignIn


@pytest.fixture(scope="module", name="world")
def _world():
    keep_off_midnight()
    with SignIn() as world:
        yield world


def counts(world, by):
    """{name: (people, sign-ins)} of those who signed in, and of everybody."""
    report = world.bridge.ctl("report", "sign-ins", "--by", by, "--every", "day")
    found = {group["name"]: (group["people"], group["sign_ins"]) for group in report["groups"] if group["sign_ins"]}
    for group in report["groups"]:
        assert sum(period["sign_ins"] for period in group["periods"]) == group["sign_ins"]
    return found, (report["all"]["people"], report["all"]["sign_ins"])


def check(world):
    assert counts(world, "role") == ({"researcher": (1, 2)}, (3, 4))
    assert counts(world, "profile") == ({"member": (2, 3), "administrator": (1, 1)}, (3, 4))
    assert counts(world, "classification")[0] == {"Support": (1, 2)}
    assert counts(world, "segment")[0] == {"Core": (1, 2)}
    adoption = world.bridge.ctl("report", "adoption", "--by", "role")
    researcher, = [group for group in adoption["groups"] if group["name"] == "researcher"]
    assert (researcher["holders"], researcher["signed_in"], researcher["used"]) == (1, 1, 0)


def test_each_sign_in_once(world):
    assert counts(world, "role") == ({}, (0, 0))
    for name in ("anna", "bert", "root", "anna"):
        world.sign_in(name)
    check(world)
    # Who is not let in did not sign in, and who has signed in is not inactive.
    inactive = {user["username"] for user in world.bridge.ctl("report", "inactive", "--days", "1")["users"]}
    assert not inactive & {"anna", "bert", "root"}
    unused = {one["name"] for one in world.bridge.ctl("report", "unused", "--days", "1")["unused"]}
    assert "researcher" not in unused
    # Their sessions end before they were brought to any index, and the daemon dies.
    world.bridge.ctl("sessions", "end", "--user", "anna")
    check(world)
    world.bridge.kill()
    world.bridge.start()
    check(world)
    world.bridge.ctl("sessions", "end", "--user", "bert")
    check(world)
