#!/usr/bin/python3
"""Full syncs of a real slapd against the yardstick D, in one run.

    sync.py BUILD USERS [ROUNDS]

D is a paged, no-copy libldap drain of the same people and groups (drain.c). Each round measures D, a first
sync into an empty store, a sync with nothing changed and one with 1 % of the people changed, in turn; the
medians of the ratios within rounds are printed, and the memory of the daemon with its worker over the
idle daemon. Times of syncs are the daemon's own, from the first request to the last commit.
"""
import json
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


def directory_config(url):
    return f"""
include: [rules.yaml]
sources:
  - name: bench
    type: ldap
    servers: ["{url}"]
    tls: none
    allow_cleartext: true
    bind: {{method: anonymous}}
    users: {{base: "ou=people,{BASE}", filter: "(objectClass=inetOrgPerson)"}}
    groups: {{base: "ou=groups,{BASE}", filter: "(objectClass=groupOfNames)", members: [member]}}
    attributes: [{{name: department, from: departmentNumber}}]
    interval: 0
policy:
  default_profile: viewer
"""


def memory_of(pid):
    """Bytes of anonymous and shared memory that are resident, of a process and its children."""
    total = 0
    for process in [pid, *children(pid)]:
        try:
            for line in Path(f"/proc/{process}/status").read_text().splitlines():
                if line.startswith(("RssAnon:", "RssShmem:")):
                    total += int(line.split()[1]) * 1024
        except OSError:
            pass
    return total


def children(pid):
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(word) for word in task.read_text().split()]
        except OSError:
            pass
    return found


class MemoryWatch:
    """The highest memory of a daemon and its worker while something runs."""

    def __init__(self, pid):
        self.pid, self.peak, self.over = pid, 0, threading.Event()
        self.thread = threading.Thread(target=self._watch)

    def _watch(self):
        while not self.over.is_set():
            self.peak = max(self.peak, memory_of(self.pid))
            time.sleep(0.01)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def sync(bridge):
    answer = bridge.ctl("sync", "bench")
    report = answer["reports"][0]
    assert report["complete"], report["problem"]
    return report["duration_ms"] / 1000, report


def change_one_percent(slapd, users, round_number):
    out = []
    for number in range(round_number, users, 100):
        if number % 25 == 7:
            continue
        out.append(f"dn: uid=u{number:07d},ou=people,{BASE}\nchangetype: modify\nreplace: title\n"
                   f"title: {'Director' if round_number % 2 else 'Trainee'}\n")
    slapd.modify("\n".join(out))
    return len(out)


def measure_round(drain, slapd, rules, users, number):
    from bridge import Bridge
    result = {"D": drain(), "users": users}
    files = {"rules.yaml": rules}
    with Bridge(directory_config(slapd.url), files) as bridge:
        idle = memory_of(bridge.process.pid)
        with MemoryWatch(bridge.process.pid) as watch:
            result["first"], report = sync(bridge)
        assert report["created"] == users, report["created"]
        result["first_bytes"] = (watch.peak - idle) / users
        result["D2"] = drain()
        with MemoryWatch(bridge.process.pid) as watch:
            result["unchanged"], report = sync(bridge)
        assert report["unchanged"] == users, report["unchanged"]
        result["unchanged_bytes"] = (watch.peak - idle) / users
        changed = change_one_percent(slapd, users, number)
        result["D3"] = drain()
        result["changed"], report = sync(bridge)
        assert 0 < report["updated"] <= changed, report["updated"]
    return result


def main():
    build, users = Path(sys.argv[1]).resolve(), int(sys.argv[2])
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    import os
    os.environ["ROLEBRIDGE_BUILD"] = str(build)
    from slapd import Slapd
    with tempfile.TemporaryDirectory(prefix="rolebridge-bench-") as folder:
        made = subprocess.run([sys.executable, HERE / "generate.py", str(users), folder], check=True,
                              capture_output=True, text=True).stdout.strip()
        rules = (Path(folder) / "rules.yaml").read_text()
        mdb = (f"maxsize {max(1, users // 100000) << 32}", "index objectClass,entryUUID eq")
        with Slapd(Path(folder) / "directory.ldif", suffix=BASE, mdb=mdb) as slapd:
            def drain():
                text = subprocess.run([build / "bench" / "drain", slapd.url, BASE], check=True,
                                      capture_output=True, text=True).stdout
                return float(text.split()[0])
            drain()
            results = [measure_round(drain, slapd, rules, users, number) for number in range(rounds)]
    report(made, results)


def report(made, results):
    def median(function):
        values = [function(result) for result in results]
        return f"{statistics.median(values):8.2f}   ({min(values):.2f} to {max(values):.2f})"
    print(f"{made}; {len(results)} rounds")
    print(f"  D, seconds                          {median(lambda r: statistics.median([r['D'], r['D2'], r['D3']]))}")
    print(f"  first sync / D                      {median(lambda r: r['first'] / ((r['D'] + r['D2']) / 2))}")
    print(f"  nothing changed / D                 {median(lambda r: r['unchanged'] / ((r['D2'] + r['D3']) / 2))}")
    print(f"  1 % changed / D                     {median(lambda r: r['changed'] / r['D3'])}")
    print(f"  memory, first sync, bytes per user  {median(lambda r: r['first_bytes'])}")
    print(f"  memory, unchanged, bytes per user   {median(lambda r: r['unchanged_bytes'])}")
    print(json.dumps(results), file=sys.stderr)


if __name__ == "__main__":
    main()
