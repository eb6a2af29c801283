#!/usr/bin/python3
"""Account changes through the accounts helper against useradd and usermod in a loop of the shell.

    accounts.py BUILD CHANGES        (as root)

Two trees of their own (tests/integration/accounts_tree.py), the same changes in both, in turns: half make an account, half
change one (full name, and a group of some hundreds: where one has ten thousand members, shadow-utils need a second
themselves). Told are CPU time of everything that ran, and wall time, each per change, and the ratio of the two ways. Goal:
1.3. A folder in memory (TMPDIR=/dev/shm) keeps the waiting for disks out of it: both ways wait for the same files, the helper
for its ledger besides.
"""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

os.environ["ROLEBRIDGE_BUILD"] = sys.argv[1]
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
from accounts_tree import DONE, PROBLEM, Tree  # noqa: E402

ROUNDS = 10
GROUPS = 25
GOAL = 1.3
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def children_cpu_s():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def process_cpu_s(pid):
    """With all children it has waited for."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        return sum(int(n) for n in file.read().rpartition(")")[2].split()[11:15]) * TICK_S


def direct(tree, numbers):
    """One shell, one program per change, with the options the helper uses."""
    script = f"""set -e
i={numbers.start}
while [ $i -lt {numbers.stop} ]; do
	uid=$(({tree.uid_min} + i))
	useradd --uid $uid --user-group --key GID_MIN=$uid --key GID_MAX=$uid --groups staff-$((i % {GROUPS})) --home-dir /home/user$i \\
		--create-home --skel /etc/skel --key HOME_MODE=0700 --no-log-init --shell /bin/bash --comment "User $i" user$i
	usermod --comment "User $i changed" --groups staff-$(((i + 1) % {GROUPS})) user$i
	i=$((i + 1))
done 2> /tmp/errors"""
    begun_s, cpu_s = time.monotonic(), children_cpu_s()
    subprocess.run(tree.command("sh", "-c", script), check=True)
    return time.monotonic() - begun_s, children_cpu_s() - cpu_s


def through_helper(tree, core, numbers):
    begun_s, cpu_s = time.monotonic(), process_cpu_s(tree.process.pid)
    for i in numbers:
        user = uuid.uuid4()
        for gecos, group in ((f"User {i}", f"staff-{i % GROUPS}"), (f"User {i} changed", f"staff-{(i + 1) % GROUPS}")):
            result = core.ensure(user, f"user{i}", gecos=gecos, groups=[group])
            assert result.status == DONE and result.changed, result
    return time.monotonic() - begun_s, process_cpu_s(tree.process.pid) - cpu_s


def measure(folder, changes):
    trees = [Tree(os.path.join(folder, name), allowed_groups="staff-*") for name in ("direct", "helper")]
    for tree in trees:
        # Both alike, and no more processes than these two to be waited for.
        tree.write_settings(uid_min=2000000, uid_max=2999999, end_sessions="no")
        tree.uid_min = 2000000
        for i in range(GROUPS):
            tree.run("groupadd", f"staff-{i}")
    sums = [[0.0, 0.0], [0.0, 0.0]]
    accounts = changes // 2
    try:
        core = trees[1].start().core()
        for turn in range(ROUNDS):
            numbers = range(accounts * turn // ROUNDS, accounts * (turn + 1) // ROUNDS)
            for total, used in zip(sums, (direct(trees[0], numbers), through_helper(trees[1], core, numbers))):
                total[0] += used[0]
                total[1] += used[1]
    finally:
        trees[1].stop()
    same = [len(tree.lines("passwd")) for tree in trees]
    assert same[0] == same[1] == accounts + 4, same
    return sums


def main():
    changes = int(sys.argv[2])
    if PROBLEM:
        print(f"accounts: not measured: {PROBLEM}")
        return
    folder = tempfile.mkdtemp(prefix="bench-accounts-")
    try:
        (bare_wall_s, bare_cpu_s), (wall_s, cpu_s) = measure(folder, changes)
    finally:
        shutil.rmtree(folder)
    for what, bare, ours in (("CPU", bare_cpu_s, cpu_s), ("wall", bare_wall_s, wall_s)):
        print(f"accounts: {changes} changes, {what:4}: loop {bare / changes * 1e3:6.2f} ms, helper "
              f"{ours / changes * 1e3:6.2f} ms each, ratio {ours / bare:.2f} (goal {GOAL})")


if __name__ == "__main__":
    main()
