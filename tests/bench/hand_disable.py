#!/usr/bin/python3
"""How long a person waits who disables somebody while a plan of many people is applied.

    hand_disable.py BUILD USERS

A first sync of a file with so many people is started; over one kept connection to the control socket users are
disabled and enabled by hand, one after the other, until it ends. Each answer comes after the change was committed.
Printed: how long answers took while the plan was applied and, for comparison, while nothing went on.
"""
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "integration"))
BASE = "dc=bench,dc=example"
HANDS = 20
IDLE_CHANGES = 300
CONFIG = f"""
include: [rules.yaml]
sources:
  - name: bench
    type: ldif
    path: directory.ldif
    base: "ou=people,{BASE}"
    attributes: [{{name: department, from: departmentNumber}}]
    interval: 0
policy:
  default_profile: viewer
"""


class Phase(threading.Thread):
    """What the run is doing at the moment."""

    def __init__(self, control, run):
        super().__init__(daemon=True)
        self.control, self.run_id, self.name_now, self.state = control, run, "reading", "running"
        self.begun = {}

    def run(self):
        while self.state == "running":
            _, answer = self.control.ask("GET", f"runs/{self.run_id}")
            self.name_now, self.state = answer["phase"], answer["state"]
            self.begun.setdefault(self.name_now, time.monotonic())
            time.sleep(0.005)


def change(control, number):
    """One change by hand; seconds until the answer."""
    verb = "enable" if number // HANDS % 2 else "disable"
    begun = time.monotonic()
    status, answer = control.ask("POST", f"users/hand{number % HANDS}/{verb}", {} if verb == "disable" else None)
    took = time.monotonic() - begun
    assert status == 200, answer
    return took


def report(what, times):
    if not times:
        print(f"  {what}: none")
        return
    times = sorted(1000 * t for t in times)
    print(f"  {what}: {len(times)} changes; ms p50 {statistics.median(times):.1f}, "
          f"p95 {times[int(len(times) * 0.95)]:.1f}, max {times[-1]:.1f}")


def measure(bridge, control, other, users):
    for number in range(HANDS):
        bridge.ctl("users", "create", f"hand{number}", "--profile", "viewer")
    idle = [change(control, number) for number in range(IDLE_CHANGES - IDLE_CHANGES % (2 * HANDS))]
    status, run = control.ask("POST", "sync", {"source": "bench"})
    assert status == 202, run
    phase = Phase(other, run["run"])
    phase.start()
    times = {}
    number = 0
    while phase.state == "running":
        before = phase.name_now
        took = change(control, number)
        times.setdefault(phase.name_now if phase.name_now == before else "between", []).append(took)
        number += 1
    ended = time.monotonic()
    phase.join()
    _, answer = control.ask("GET", f"runs/{run['run']}")
    (result,) = answer["reports"]
    assert result["complete"] and result["created"] == users, (result["created"], result["problem"])
    print(f"{users} people; applied in {ended - phase.begun['applying']:.2f} s beside changes by hand")
    report("nothing else going on   ", idle)
    report("while the file is read  ", times.get("reading", []))
    report("while the plan is applied", times.get("applying", []))


def main():
    os.environ["ROLEBRIDGE_BUILD"] = str(Path(sys.argv[1]).resolve())
    users = int(sys.argv[2])
    from bridge import Bridge
    from control import Control
    with tempfile.TemporaryDirectory(prefix="rolebridge-bench-") as folder:
        subprocess.run([sys.executable, HERE / "generate.py", str(users), folder], check=True, capture_output=True)
        with Bridge(CONFIG, folder=folder) as bridge:
            control, other = (Control(bridge.folder / "control.sock") for _ in range(2))
            measure(bridge, control, other, users)


if __name__ == "__main__":
    main()
