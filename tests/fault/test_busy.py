"""While a plan of many people is applied, a person who disables somebody does not wait for its end."""
import time

from bridge import Bridge
from company import config, ldif, people
from control import Control

COUNT = 30_000
HANDS = 10
BOUND_SECONDS = 5  # generous: how long it takes is for the benchmark to say


def test_hand_changes_during_an_apply():
    with Bridge(config(), {"people.ldif": ldif(range(COUNT))}) as bridge:
        for number in range(HANDS):
            bridge.ctl("users", "create", f"hand{number}", "--profile", "viewer")
        control = Control(bridge.folder / "control.sock")
        status, run = control.ask("POST", "sync", {"source": "corp"})
        assert status == 202, run
        times = {"reading": [], "applying": []}
        state, number, disabled = "running", 0, set()
        while state == "running":
            user = f"hand{number % HANDS}"
            disable = user not in disabled
            begun = time.monotonic()
            status, answer = control.ask("POST", f"users/{user}/{'disable' if disable else 'enable'}",
                                         {} if disable else None)
            took = time.monotonic() - begun
            assert status == 200, answer
            (disabled.add if disable else disabled.remove)(user)
            _, shown = control.ask("GET", f"users/{user}")
            assert shown["active"] != disable, "an answer means that it is done"
            _, answer = control.ask("GET", f"runs/{run['run']}")
            state, number = answer["state"], number + 1
            if state == "running":
                times[answer["phase"]].append(took)
        assert state == "done" and answer["reports"][0]["created"] == COUNT, answer
        for phase, seconds in times.items():
            print(f"{phase}: {len(seconds)} changes by hand, longest {1000 * max(seconds, default=0):.0f} ms")
        assert times["applying"], "some were answered while the plan was applied"
        assert max(times["reading"] + times["applying"]) < BOUND_SECONDS
        found = people(bridge.folder / "store.db")
        assert len(found) == COUNT + HANDS
        assert {name for name, value in found.items() if value[2]} == disabled
        assert bridge.ctl("audit", "verify")["intact"]
