"""kill -9 of the whole daemon at random moments: nothing acknowledged is lost, nobody is half changed."""
import random
import subprocess
import time

import pytest

from bridge import CTL, DAEMON, Bridge
from company import LIMITS_TIGHT, attempt, config, ldif, people, read

COUNT = 1500
FIRST = ldif(range(COUNT))
SECOND = ldif([10, 11, *range(60, COUNT + 60)], shift=1)  # the administrators stay
KILLS = 6
INACTIVE = 255  # the bits of users.disabled that say why somebody may not sign in


def store(bridge):
    return bridge.folder / "store.db"


def fill(bridge, text):
    bridge.write("people.ldif", text)
    report = read(bridge)
    assert report["complete"], report
    return report


def check(bridge, before, after):
    """What must hold at every moment, whatever was going on when the daemon died."""
    assert bridge.ctl("audit", "verify")["intact"]
    seen = people(store(bridge))
    assert set(before) <= set(seen) <= set(before) | set(after)
    for name, value in seen.items():
        assert value in (before.get(name), after.get(name)), (name, value, before.get(name), after.get(name))
        assert value[1] or value[2] & INACTIVE, f"{name} is active without a profile"
    return seen


def killed_during(bridge, words, delay):
    """Start a command, kill the daemon after a while, start it again. True: the command had ended before."""
    command = subprocess.Popen([CTL, "--config", bridge.config, "--json", *words], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(delay)
    ended = command.poll() is not None
    bridge.kill()
    command.communicate(timeout=60)
    start_and_kill(bridge, delay / 4)
    bridge.start()
    return ended and command.returncode == 0


def start_and_kill(bridge, delay):
    """It dies while it starts, perhaps while it rolls forward."""
    with open(bridge.log, "ab") as log, subprocess.Popen(
            [DAEMON, "--config", bridge.config], stdin=subprocess.DEVNULL, stdout=log, stderr=log) as process:
        time.sleep(delay)
        process.kill()


def time_of(function, *words):
    begun = time.monotonic()
    function(*words)
    return time.monotonic() - begun


@pytest.fixture(scope="module", name="undisturbed")
def run_undisturbed():
    """States after each step and how long the steps take, when nothing happens."""
    found = {}
    with Bridge(config()) as bridge:
        found["first_s"] = time_of(fill, bridge, FIRST)
        found["first"] = people(store(bridge))
        found["second_s"] = time_of(fill, bridge, SECOND)
        found["second"] = people(store(bridge))
        assert read(bridge)["changes_total"] == 0
    with Bridge(config(LIMITS_TIGHT)) as bridge:
        fill(bridge, FIRST)
        plan = fill(bridge, SECOND)["plan"]
        assert plan
        found["held"] = people(store(bridge))
        found["apply_s"] = time_of(bridge.ctl, "apply", plan)
        found["applied"] = people(store(bridge))
        assert found["held"] != found["applied"]
    return found


@pytest.mark.parametrize("seed", range(KILLS))
def test_first_sync(undisturbed, seed):
    chance = random.Random(f"first {seed}")
    with Bridge(config(), {"people.ldif": FIRST}) as bridge:
        for _ in range(2):
            whole = killed_during(bridge, ["sync", "corp"], chance.uniform(0, undisturbed["first_s"]))
            seen = check(bridge, {}, undisturbed["first"])
            assert not whole or seen == undisturbed["first"], "what was acknowledged stands"
        assert read(bridge)["complete"]
        assert people(store(bridge)) == undisturbed["first"]
        assert read(bridge)["changes_total"] == 0


@pytest.mark.parametrize("seed", range(KILLS))
def test_sync_with_changes(undisturbed, seed):
    chance = random.Random(f"second {seed}")
    with Bridge(config()) as bridge:
        fill(bridge, FIRST)
        bridge.write("people.ldif", SECOND)
        for _ in range(2):
            whole = killed_during(bridge, ["sync", "corp"], chance.uniform(0, undisturbed["second_s"]))
            seen = check(bridge, undisturbed["first"], undisturbed["second"])
            assert not whole or seen == undisturbed["second"], "what was acknowledged stands"
        assert read(bridge)["complete"]
        assert people(store(bridge)) == undisturbed["second"]
        assert read(bridge)["changes_total"] == 0


@pytest.mark.parametrize("seed", range(KILLS))
def test_apply_of_a_held_plan(undisturbed, seed):
    chance = random.Random(f"apply {seed}")
    with Bridge(config(LIMITS_TIGHT)) as bridge:
        fill(bridge, FIRST)
        plan = fill(bridge, SECOND)["plan"]
        assert people(store(bridge)) == undisturbed["held"]
        whole = killed_during(bridge, ["apply", plan], chance.uniform(0, undisturbed["apply_s"]))
        seen = check(bridge, undisturbed["held"], undisturbed["applied"])
        assert not whole or seen == undisturbed["applied"], "what was acknowledged stands"
        waiting = [held["id"] for held in bridge.ctl("plans", "list")["plans"]]
        assert waiting == [plan] or seen == undisturbed["applied"], "a plan waits, or it was carried out"
        attempt(bridge, "apply", plan)
        assert people(store(bridge)) == undisturbed["applied"]
        assert read(bridge)["changes_total"] == 0
        assert bridge.ctl("audit", "verify")["intact"]


def test_acknowledged_changes_by_hand_stand(undisturbed):
    """Killed right after the answer, over and over."""
    chance = random.Random("hand")
    with Bridge(config(), {"people.ldif": FIRST}) as bridge:
        assert read(bridge)["complete"]
        expected = {}
        for number in chance.sample(range(20, COUNT), 4):
            name = f"p{number:06d}"
            bridge.ctl("users", "disable", name)
            bridge.kill()
            bridge.start()
            expected[name] = people(store(bridge))[name]
            assert expected[name] != undisturbed["first"][name]
        assert read(bridge)["changes_total"] == 0
        assert people(store(bridge)) == {**undisturbed["first"], **expected}
        assert bridge.ctl("audit", "verify")["intact"]
