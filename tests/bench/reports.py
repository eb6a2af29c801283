#!/usr/bin/python3
"""What reports cost the daemon: CPU of each, per 100,000 people, its memory, and what other requests wait for.

    reports.py BUILD [USERS [DAYS]]

USERS (100,000) people of a CSV file with three of 200 roles each, half of whom signed in on each of DAYS (250) days of
the last year, one after the other of the days, and used one of ten features on a tenth of them. Those rows are written
into the store. Reports of 30 days and of the whole year, by role and month. The smaller a figure of two sizes
differs per 100,000 people, the better the cost follows the people alone.
"""
import datetime
import os
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = Path(sys.argv[1]).resolve()
os.environ["ROLEBRIDGE_BUILD"] = str(BUILD)
sys.path.insert(0, str(HERE.parent / "integration"))
from bridge import Bridge  # noqa: E402
from control import Control  # noqa: E402
from login import rss_of  # noqa: E402

ROLES = 200
FEATURES = 10
TODAY = datetime.datetime.now(datetime.timezone.utc).date()


def configuration():
    listed = "".join(f"  - {{name: role-{n}, description: R, classifications: [Support], segments: [All], "
                     f'permissions: ["kind-{n}:read@all"]}}\n' for n in range(ROLES))
    rules = "".join(f'  - {{id: rule-{n}, when: "(departmentNumber={n})", grant: {{roles: [role-{n}]}}}}\n'
                    for n in range(ROLES))
    return f"""
log_level: error
profiles:
  - {{name: administrator, permissions: ["*:*@all"]}}
  - {{name: member, permissions: []}}
segments: [All]
roles:
{listed}
rules:
{rules}
policy: {{default_profile: member}}
sources:
  - {{name: staff, type: csv, path: staff.csv, key: id, interval: 0, attributes: [uid, departmentNumber],
     multivalued: [departmentNumber], separator: "|"}}
"""


def people(users):
    yield "id,uid,departmentNumber\n"
    for n in range(users):
        numbers = "|".join(str((n * 7 + i * 61) % ROLES) for i in range(3))
        yield f"{n},user{n},{numbers}\n"


def cpu_of(pid):
    """Seconds of the process, of threads that have ended, too."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def fill(store, days):
    """In order of the tables' keys."""
    today = (TODAY - datetime.date(1970, 1, 1)).days
    store.execute("INSERT INTO name (text) VALUES ('crm')")
    store.executemany("INSERT INTO feature (application, name) SELECT id, ? FROM name WHERE text = 'crm'",
                      [(f"feature-{n}",) for n in range(FEATURES)])
    first = today - 364
    store.execute("CREATE TEMP TABLE days (day INTEGER PRIMARY KEY)")
    store.executemany("INSERT INTO days VALUES (?)", [(first + i * 365 // days,) for i in range(days)])
    store.execute("INSERT INTO sign_in (user, day, n, last_s) SELECT u.id, d.day, 1, d.day * 86400 FROM user u "
                  "CROSS JOIN days d WHERE u.id & 1")
    store.execute(f"INSERT INTO feature_use (user, day, feature, n) SELECT u.id, d.day, u.id % {FEATURES} + 1, 2 "
                  "FROM user u CROSS JOIN days d WHERE u.id & 1 AND (u.id + d.day) % 10 = 0")


class Asker(threading.Thread):
    """Changes somebody all the time: the longest that one of the changes waited."""

    def __init__(self, bridge):
        super().__init__()
        self.control = Control(bridge.folder / "control.sock")
        self.longest, self.count, self.ended = 0, 0, threading.Event()

    def run(self):
        while not self.ended.is_set():
            start = time.monotonic()
            status, answer = self.control.ask("PATCH", "users/user0", {"display_name": f"User {self.count}"})
            assert status == 200, answer
            self.longest = max(self.longest, time.monotonic() - start)
            self.count += 1
            time.sleep(0.002)


def measure(bridge, control, users, name, path):
    asker = Asker(bridge)
    asker.start()
    time.sleep(0.5)
    alone = asker.longest
    asker.ended.set()
    asker.join()
    asker.control.close()
    pid = bridge.process.pid
    before, start = cpu_of(pid), time.monotonic()
    status, answer = control.ask("GET", "reports/" + path)
    took, cpu = time.monotonic() - start, cpu_of(pid) - before
    assert status == 200, answer
    asker = Asker(bridge)
    asker.start()
    assert control.ask("GET", "reports/" + path)[0] == 200
    asker.ended.set()
    asker.join()
    print(f"  {name:34} {cpu / users * 1e5:6.2f} s CPU per 100,000 people, {took:6.2f} s in all; {rss_of(pid) / 1e6:4.0f} "
          f"MB; a change waits {asker.longest * 1e3:.0f} ms at most, {alone * 1e3:.0f} without")


def main():
    users = int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
    days = int(sys.argv[3]) if len(sys.argv) > 3 else 250
    with Bridge(configuration()) as bridge:
        with open(bridge.folder / "staff.csv", "w", encoding="ascii") as file:
            file.writelines(people(users))
        subprocess.run([BUILD / "rolebridgectl", "--config", bridge.config, "sync"], check=True, capture_output=True)
        bridge.stop()
        with sqlite3.connect(bridge.folder / "store.db") as store:
            fill(store, days)
            rows = store.execute("SELECT (SELECT count(*) FROM sign_in), (SELECT count(*) FROM feature_use)").fetchone()
        store.close()
        size = (bridge.folder / "store.db").stat().st_size
        print(f"  {users} people, {rows[0]} days of sign-ins, {rows[1]} of features; store of {size / 1e6:.0f} MB")
        bridge.start()
        control = Control(bridge.folder / "control.sock", timeout=600)
        year = (TODAY - datetime.timedelta(days=364)).isoformat()
        control.ask("GET", "reports/sign-ins?by=profile")
        for name, path in (("sign-ins by profile, 30 days", "sign-ins?by=profile"),
                           ("sign-ins by role, 30 days", "sign-ins?by=role"),
                           ("sign-ins by role and day, a year", f"sign-ins?by=role&every=day&from={year}"),
                           ("feature use by role, a year", f"feature-use?by=role&every=month&from={year}"),
                           ("feature use by feature, a year", f"feature-use?by=feature&every=month&from={year}"),
                           ("adoption by role, a year", f"adoption?by=role&from={year}"),
                           ("unused", "unused"), ("inactive, a page of 1,000", "inactive?limit=1000&days=1")):
            measure(bridge, control, users, name, path)


if __name__ == "__main__":
    main()
