#!/usr/bin/python3
"""How long a page of users takes, by the size of the store: searches by the beginning of a name, and lists by other things.

    search.py BUILD [USERS...]

For each number of USERS (10,000 100,000 1,000,000) a daemon with so many imported users, once its indexes are filled. Over
the control socket on one kept connection, pages of 100: QUERIES searches whose prefixes are the first one to eight
letters of random names, first pages and following ones; then each list. Printed: median, 99th percentile, longest, CPU of
the daemon for each page; at the end the ratio of the medians and of the CPU between the largest and the smallest store. On a busy
machine compare the CPU.
"""
import os
import random
import sys
import time
import urllib.parse
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = Path(sys.argv[1]).resolve()
SIZES = [int(size) for size in sys.argv[2:]] or [10_000, 100_000, 1_000_000]
os.environ["ROLEBRIDGE_BUILD"] = str(BUILD)
sys.path.insert(0, str(HERE.parent / "integration"))
from bridge import Bridge  # noqa: E402
from control import Control  # noqa: E402

QUERIES = 2000
LISTS = 200
PER_FILE = 250_000
CONFIG = """
log_level: error
profiles:
  - {name: administrator, permissions: ["*:*@all"]}
  - {name: viewer, permissions: ["accounts:read@own"]}
segments: [All]
roles:
  - {name: sales, description: Sells, classifications: [Sales], segments: [All], permissions: ["quotes:*@own"]}
policy: {default_profile: viewer}
"""
FIRST = ("anna bela chidi dora emeka farah goran hana ivo jane kofi lena mila nuri olga pia quentin rosa sven tariq uma "
         "viktor wanda xenia yusuf zora").split()
LAST = ("adler braun costa dumas evans fuchs garcia horvat ito jansen khan lopez moreau novak okafor petrov quast rossi "
        "silva tanaka ueda varga weber xu yilmaz zhou").split()


def name(number):
    chosen = random.Random(number)
    return chosen.choice(FIRST), chosen.choice(LAST), chosen.randrange(1000)


def row(number):
    first, last, salt = name(number)
    username = f"{first[0]}{last}{salt:03d}{number}"
    kind = "administrator" if number % 1000 == 0 else "viewer"
    state = "disabled" if number % 100 == 1 else "active"
    return f"{username},{username}@example.com,{first.title()} {last.title()},{kind},{'sales' if number % 50 == 2 else ''},{state}\n"


def daemon_cpu(bridge):
    fields = Path(f"/proc/{bridge.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def settle(bridge):
    """Until the daemon has nothing left to do for two seconds."""
    quiet, last = 0, daemon_cpu(bridge)
    while quiet < 4:
        time.sleep(0.5)
        now = daemon_cpu(bridge)
        quiet, last = (quiet + 1 if now - last < 0.02 else 0), now


def measure(bridge, control, paths):
    cpu, times = daemon_cpu(bridge), []
    for path in paths:
        start = time.perf_counter()
        status, answer = control.ask("GET", path)
        times.append(time.perf_counter() - start)
        assert status == 200, answer
    times.sort()
    return (times[len(times) // 2] * 1e3, times[int(len(times) * 0.99)] * 1e3, times[-1] * 1e3,
            (daemon_cpu(bridge) - cpu) / len(times) * 1e3)


def searches(control, users):
    """First pages, and of each hundredth the one after it."""
    chosen = random.Random(7)
    for _ in range(QUERIES):
        first, last, salt = name(chosen.randrange(users))
        word = chosen.choice((f"{first[0]}{last}{salt:03d}", f"{first} {last}", f"{first[0]}{last}"))
        yield "users?q=" + urllib.parse.quote(word[:chosen.randint(1, 8)])


def following(control, paths):
    for path in paths[:: max(1, len(paths) // LISTS)]:
        after = control.ask("GET", path)[1]["next"]
        if after:
            yield f"{path}&after={after}"


def one_size(users):
    with Bridge(CONFIG) as bridge:
        for start in range(0, users, PER_FILE):
            rows = "".join(row(i) for i in range(start, min(start + PER_FILE, users)))
            path = bridge.write("people.csv", "username,email,display_name,profile,role,state\n" + rows)
            assert bridge.run("import", "users", path).returncode == 0
        settle(bridge)
        control = Control(bridge.folder / "control.sock")
        found = list(searches(control, users))
        full = [f"users?q={letter}" for letter in "abcdefghijklmnopqrstuvwxyz" * (LISTS // 26)]
        lists = {"first pages of a search": found, "full pages of a search": full, "following pages": list(following(control, found)),
                 "all": ["users"] * LISTS, "disabled": ["users?state=disabled"] * LISTS,
                 "profile": ["users?profile=administrator"] * LISTS, "role": ["users?grant=role:sales"] * LISTS,
                 "organization": ["users?organization=default"] * LISTS,
                 "disabled with a role, of those that begin with a": ["users?state=disabled&grant=role:sales&q=a"] * 50}
        measure(bridge, control, found[:200])
        results = {what: measure(bridge, control, paths) for what, paths in lists.items()}
        control.close()
    print(f"{users:,} users")
    for what, (median, late, longest, cpu) in results.items():
        print(f"  {what:50} median {median:7.3f} ms, p99 {late:7.3f}, longest {longest:7.3f}, CPU {cpu:6.3f} ms")
    return results


def main():
    all_results = [one_size(users) for users in SIZES]
    if len(SIZES) > 1:
        print(f"{SIZES[-1]:,} against {SIZES[0]:,}: median, CPU")
        for what, last in all_results[-1].items():
            first = all_results[0][what]
            print(f"  {what:50} {last[0] / first[0]:5.2f} {last[3] / max(first[3], 1e-9):5.2f}")


main()
