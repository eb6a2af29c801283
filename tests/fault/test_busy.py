"""While a plan of many people is applied, a person who disables somebody does not wait for its end."""
from bridge import Bridge
from company import config, ldif, people, rows
from control import Control

COUNT = 30_000
HANDS = 10
AHEAD = 5_000  # so many people's rows are written meanwhile at most: seconds are for the benchmark to say


def test_hand_changes_during_an_apply():
    with Bridge(config(), {"people.ldif": ldif(range(COUNT))}) as bridge:
        for number in range(HANDS):
            bridge.ctl("users", "create", f"hand{number}", "--profile", "viewer")
        control, store = Control(bridge.folder / "control.sock"), bridge.folder / "store.db"

        def written():
            return rows(store, "SELECT max(seq) FROM audit")[0][0]
        status, run = control.ask("POST", "sync", {"source": "corp"})
        assert status == 202, run
        ahead = {"reading": [], "applying": []}
        state, number, disabled = "running", 0, set()
        while state == "running":
            user = f"hand{number % HANDS}"
            disable = user not in disabled
            begun = written()
            status, answer = control.ask("POST", f"users/{user}/{'disable' if disable else 'enable'}",
                                         {} if disable else None)
            waited = written() - begun
            assert status == 200, answer
            (disabled.add if disable else disabled.remove)(user)
            _, shown = control.ask("GET", f"users/{user}")
            assert shown["active"] != disable, "an answer means that it is done"
            _, answer = control.ask("GET", f"runs/{run['run']}")
            state, number = answer["state"], number + 1
            if state == "running":
                ahead[answer["phase"]].append(waited)
        assert state == "done" and answer["reports"][0]["created"] == COUNT, answer
        print(ahead)
        assert len(ahead["applying"]) > 1, "some were answered while the plan was applied"
        # One may be late because this process had to wait, and the daemon had not.
        assert sorted(ahead["applying"])[-2] < AHEAD, ahead
        found = people(store)
        assert len(found) == COUNT + HANDS
        assert {name for name, value in found.items() if value[2]} == disabled
        assert bridge.ctl("audit", "verify")["intact"]
