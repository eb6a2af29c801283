#!/usr/bin/python3
"""Decisions against /auth, over unix sockets, on a warm daemon: requests a second and CPU of each.

    decide.py BUILD [USERS [RESOURCES [ROLES [SECONDS]]]]

USERS (100,000) people of a CSV file with three of ROLES (1,000) roles each; RESOURCES (100,000): a tenth accounts,
the rest tasks below them, owned by people at random; one is asked about each time, at random. /auth is asked for one
session that is written into the store. All have been asked about once before it is measured. The same client asks
both, in turn within one round; medians of the rounds' ratios are printed. The decision is asked for with a service's
token on the web listener, where /auth is, and without one on the control socket.
"""
import hashlib
import json
import os
import random
import secrets
import sqlite3
import statistics
import subprocess
import sys
import time
import uuid
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = Path(sys.argv[1]).resolve()
os.environ["ROLEBRIDGE_BUILD"] = str(BUILD)
sys.path.insert(0, str(HERE.parent / "integration"))
from bridge import Bridge  # noqa: E402
from control import Control  # noqa: E402

ASK = BUILD / "bench" / "ask_unix"
ROUNDS = 5
CONNECTIONS = 16
QUESTIONS = 100_000
URL = "http://127.0.0.1:8080"
APPLICATION = "http://app.localhost:8080"


def configuration(folder, roles):
    verbs = ("read", "update", "close", "delete")
    listed = "".join(f'  - {{name: role-{n}, description: R, classifications: [Support], segments: [All], permissions: '
                     f'["tasks:{verbs[n % 4]}@own", "kind-{n}:{verbs[n % 3]}@all"]}}\n' for n in range(roles))
    rules = "".join(f'  - {{id: rule-{n}, when: "(|(departmentNumber={n})(l={n})(st={n}))", grant: {{roles: [role-{n}]}}}}\n'
                    for n in range(roles))
    return f"""
public_url: {URL}
listeners: [{{address: "unix:{folder}/web.sock"}}]
applications:
  - {{name: crm, urls: ["{APPLICATION}"], require: {{profiles: [csm, reader]}}}}
log_level: error
profiles:
  - {{name: administrator, permissions: ["*:*@all"]}}
  - {{name: csm, permissions: ["accounts:*@own", "accounts:*@unassigned"]}}
  - {{name: reader, permissions: ["accounts:read@all"]}}
segments: [All]
roles:
{listed}
rules:
{rules}
  - {{id: readers, when: "(employeeType=reader)", grant: {{profile: reader}}}}
policy: {{default_profile: csm}}
sources:
  - {{name: staff, type: csv, path: staff.csv, key: id, interval: 0,
     attributes: [uid, mail, displayName, departmentNumber, l, st, employeeType]}}
"""


def people(users, roles):
    yield "id,uid,mail,displayName,departmentNumber,l,st,employeeType\n"
    for n in range(users):
        numbers = ",".join(str((n * 7 + i * 131) % roles) for i in range(3))
        yield f"{n},user{n},user{n}@x.example,User {n},{numbers},{'reader' if n % 2 else 'csm'}\n"


def register(bridge, users, resources):
    control = Control(bridge.folder / "control.sock", timeout=600)
    choice = random.Random(1)
    rows = []
    for n in range(resources):
        row = {"type": "accounts" if n % 10 == 0 else "tasks", "id": f"r{n}", "title": f"Thing {n}"}
        if n % 10:
            row["parent"] = {"type": "accounts", "id": f"r{n - n % 10}"}
        if choice.random() < 0.9:
            row["owner"] = f"user{choice.randrange(users)}"
        rows.append(row)
    begin = time.monotonic()
    for first in range(0, resources, 10_000):
        status, answer = control.ask("POST", "resources/crm", {"resources": rows[first:first + 10_000]})
        assert status == 200 and answer["refused"] == 0, answer
    took = time.monotonic() - begin
    control.close()
    print(f"  {resources} resources registered in {took:.1f} s ({resources / took:.0f} a second), audited one by one",
          flush=True)
    return rows


def add_session(store):
    """A session of user1 and its token for the application."""
    database = sqlite3.connect(store)
    user = database.execute("SELECT id FROM user WHERE username = 'user1'").fetchone()[0]
    now = int(time.time())
    values = {"uuid": uuid.uuid4().bytes, "user": user, "source": 0, "name_id": "", "name_id_format": 0,
              "session_index": "", "address": "", "agent": "", "created_s": now, "seen_s": now,
              "until_s": now + 36_000, "second_factor_s": 0}
    names, marks = ", ".join(values), ", ".join("?" * len(values))
    session = database.execute(f"INSERT INTO session ({names}) VALUES ({marks})", list(values.values())).lastrowid
    token = secrets.token_urlsafe(32)
    digest = hashlib.blake2b(token.encode(), digest_size=32).digest()
    database.execute("INSERT INTO session_token (session, hash, host, created_s) VALUES (?, ?, ?, ?)",
                     (session, digest, "app.localhost:8080", now))
    database.commit()
    database.close()
    return token


def auth_requests(token):
    return [(f"GET /auth HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nX-Forwarded-Proto: http\r\n"
             f"X-Forwarded-Host: app.localhost:8080\r\nX-Forwarded-Uri: /x\r\n"
             f"Cookie: rolebridge-app={token}\r\n\r\n").encode()]


def decide_requests(rows, users, token=None):
    choice = random.Random(2)
    bearer = f"Authorization: Bearer {token}\r\n" if token else ""
    verbs = ("read", "update", "close")
    made = []
    for n in range(QUESTIONS):
        row = choice.choice(rows)
        body = json.dumps({"user": f"user{n % users}", "permission": f"{row['type']}:{verbs[n % 3]}",
                           "resource": {"application": "crm", "type": row["type"], "id": row["id"]}})
        made.append((f"POST /api/v1/decide HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n{bearer}"
                     f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}").encode())
    return made


def write(path, requests):
    path.write_bytes(b"".join(b"%d\n%s" % (len(request), request) for request in requests))
    return path


def cpu_s(pid):
    """With that of threads that have ended, as those of connections."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ask(bridge, socket, requests, seconds):
    """Requests a second; microseconds of the daemon's CPU for each."""
    before = cpu_s(bridge.process.pid)
    begin = time.monotonic()
    done = subprocess.run([ASK, bridge.folder / socket, str(CONNECTIONS), str(seconds)], stdin=requests.open("rb"),
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    took = time.monotonic() - begin
    per_second = float(done.stdout.split()[0])
    return per_second, (cpu_s(bridge.process.pid) - before) * 1e6 / (per_second * (seconds or took))


def memory_mb(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0


def compare(bridge, auth, named, seconds):
    rows = {name: [] for name, _, _ in named}
    for _ in range(ROUNDS):
        base, base_us = ask(bridge, "web.sock", auth, seconds)
        for name, socket, requests in named:
            rate, us = ask(bridge, socket, requests, seconds)
            rows[name].append((base, rate, base / rate, base_us, us, us / base_us))
    for name, found in rows.items():
        base, rate, ratio, base_us, us, cpu = (statistics.median(column) for column in zip(*found))
        print(f"  decide, {name}: {rate:.0f} requests a second, /auth {base:.0f}: {ratio:.2f} x; CPU {us:.1f} us, "
              f"/auth {base_us:.1f} us: {cpu:.2f} x; load {os.getloadavg()[0]:.1f}", flush=True)


def main():
    numbers = [int(word) for word in sys.argv[2:]]
    users, resources, roles, seconds = (numbers + [100_000, 100_000, 1000, 3][len(numbers):])[:4]
    bridge = Bridge("", {"staff.csv": "".join(people(users, roles))})
    bridge.write_config(configuration(bridge.folder, roles))
    with bridge:
        bridge.ctl("users", "create", "root-user", "--profile", "administrator")
        bridge.ctl("sync", "staff")
        rows = register(bridge, users, resources)
        control = Control(bridge.folder / "control.sock")
        token = control.ask("POST", "tokens", {"name": "bench", "service": "crm", "application": "crm",
                                               "scope": ["decide:ask@all"]})[1]["token"]
        control.close()
        bridge.stop()
        session = add_session(bridge.folder / "store.db")
        bridge.start()
        time.sleep(2)
        auth = write(bridge.folder / "auth", auth_requests(session))
        by_token = write(bridge.folder / "token", decide_requests(rows, users, token))
        by_peer = write(bridge.folder / "peer", decide_requests(rows, users))
        before = memory_mb(bridge.process.pid)
        begin = time.monotonic()
        ask(bridge, "web.sock", by_token, 0)
        print(f"  all {min(users, QUESTIONS)} people asked about for the first time: "
              f"{(time.monotonic() - begin) * 1e6 / min(users, QUESTIONS):.0f} us each; "
              f"{(memory_mb(bridge.process.pid) - before) * 1e6 / min(users, QUESTIONS):.0f} bytes each", flush=True)
        compare(bridge, auth, [("token on the web listener", "web.sock", by_token),
                               ("peer on the control socket", "control.sock", by_peer)], seconds)


if __name__ == "__main__":
    main()
