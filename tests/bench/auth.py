#!/usr/bin/python3
"""/auth through nginx's auth_request against nginx answering itself and against another nginx that is asked in our
place, by the same snippets over a unix socket, with few and with many sessions.

    auth.py BUILD [SECONDS]

A real daemon, a real nginx, wrk. Sessions beside the one that asks are written into the store of the stopped
daemon. Rates are pairs within one round; medians of the ratios are printed. Where the machine has other work, the CPU
says more than the rates.
"""
import contextlib
import hashlib
import os
import secrets
import signal
import sqlite3
import statistics
import subprocess
import sys
import time
import uuid
from pathlib import Path

HERE = Path(__file__).resolve().parent
os.environ["ROLEBRIDGE_BUILD"] = str(Path(sys.argv[1]).resolve())
sys.path.insert(0, str(HERE.parent / "integration"))
from proxy import program  # noqa: E402
from signin import SignIn  # noqa: E402

ROUNDS = 5


def add_sessions(store, wanted, users=()):
    """Copies of the session that is there, each with an own token for the application; of these users in turn when
    some are named by number."""
    database = sqlite3.connect(store)
    columns = [row[1] for row in database.execute("PRAGMA table_info(session)")]
    row = dict(zip(columns, database.execute("SELECT * FROM session LIMIT 1").fetchone()))
    host = database.execute("SELECT host FROM session_token WHERE host <> ''").fetchone()[0]
    present = database.execute("SELECT count(*) FROM session").fetchone()[0]
    tokens = []
    for number in range(wanted - present):
        row["id"], row["uuid"] = None, uuid.uuid4().bytes
        row["user"] = users[number % len(users)] if users else row["user"]
        names = ", ".join(row)
        marks = ", ".join("?" * len(row))
        session = database.execute(f"INSERT INTO session ({names}) VALUES ({marks})", list(row.values())).lastrowid
        token = secrets.token_urlsafe(32)
        tokens.append(token)
        digest = hashlib.blake2b(token.encode(), digest_size=32).digest()
        database.execute("INSERT INTO session_token (session, hash, host, created_s) VALUES (?, ?, ?, ?)",
                         (session, digest, host, row["created_s"]))
    database.commit()
    database.close()
    return tokens


def rate(world, host, seconds, token=None):
    port = world.proxy.port
    command = ["wrk", "-t1", "-c16", f"-d{seconds}s", "-H", f"Host: {host}:{port}"]
    if token:
        command += ["-H", f"Cookie: rolebridge-app={token}"]
    command += [f"http://127.0.0.1:{port}/"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for line in done.stdout.splitlines():
        if "Non-2xx" in line:
            raise RuntimeError(done.stdout)
        if line.startswith("Requests/sec"):
            answer = float(line.split()[1])
    return answer


YES = """add_header Remote-Id 01980000-0000-7000-8000-000000000000; add_header Remote-User anna;
            add_header Remote-Email anna@acme.example; add_header Remote-Name "Anna Mueller";
            add_header Remote-Profile member; add_header Remote-Roles researcher; return 200;"""


def server(folder, name, port, question):
    """One that asks as ours does, somebody else."""
    asking = (folder / "rolebridge-server.conf").read_text().replace("proxy_pass http://rolebridge/auth;", question)
    return f"""
    server {{
        listen 127.0.0.1:{port};
        server_name {name}.localhost;
        {asking}
        location / {{ include {folder}/rolebridge-protect.conf; try_files /nonexistent =204; }}
    }}
"""


def write_proxy(world):
    """The application answers nothing: what is measured is the question."""
    folder, port = world.proxy.folder, world.proxy.port
    config = (folder / "nginx.conf").read_text()
    config = config.replace(f"proxy_pass http://127.0.0.1:{world.proxy.application.server_port};",
                            "try_files /nonexistent =204;")
    config = config.rstrip().removesuffix("}")
    config += server(folder, "itself", port, YES)
    config += server(folder, "other", port, "proxy_pass http://other/auth;")
    config += f"    upstream other {{ server unix:{folder}/other.sock; keepalive 16; }}\n}}\n"
    (folder / "nginx.conf").write_text(config)


@contextlib.contextmanager
def other_nginx(folder):
    """The yardstick: another nginx in our place, which says yes to everybody."""
    (folder / "other.conf").write_text(f"""
{"user root root;" if os.geteuid() == 0 else ""}
daemon off;
master_process off;
pid {folder}/other.pid;
error_log {folder}/other.log warn;
events {{ worker_connections 256; }}
http {{
    access_log off;
    keepalive_requests 100000000;
    server {{ listen unix:{folder}/other.sock; location = /auth {{ {YES} }} }}
}}
""")
    process = subprocess.Popen([program("nginx"), "-p", folder, "-c", folder / "other.conf",
                                "-e", folder / "other.log"])
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def cpu_s(pid):
    """Of all threads, as the scheduler counts: by ticks, short turns go unseen."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def measure(world, name, seconds, pid, token=None):
    """Requests a second; microseconds of CPU of who is asked for each."""
    before = cpu_s(pid)
    per_second = rate(world, f"{name}.localhost", seconds, token)
    return per_second, (cpu_s(pid) - before) * 1e6 / (per_second * seconds)


def compare(world, seconds, sessions, token, other):
    rows = []
    for _ in range(ROUNDS):
        itself, _ = measure(world, "itself", seconds, other)
        theirs, their_us = measure(world, "other", seconds, other)
        ours, our_us = measure(world, "app", seconds, world.bridge.process.pid, token)
        rows.append((ours, ours / itself, ours / theirs, our_us, their_us))
    ours, of_itself, of_other, our_us, their_us = (statistics.median(column) for column in zip(*rows))
    print(f"  {sessions} sessions: {ours:.0f} requests a second; {of_itself:.2f} of nginx answering itself, "
          f"{of_other:.2f} of another nginx as upstream; CPU {our_us:.1f} us, the other nginx {their_us:.1f} us; "
          f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)


def main():
    seconds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    with SignIn() as world, other_nginx(world.proxy.folder) as other:
        write_proxy(world)
        browser, _ = world.sign_in("anna")
        token = browser.cookies(world.application_url)["rolebridge-app"]
        world.proxy.process.send_signal(signal.SIGHUP)
        time.sleep(1)
        for sessions in (100, 100_000):
            world.bridge.stop()
            add_sessions(world.bridge.folder / "store.db", sessions)
            world.bridge.start()
            time.sleep(2)
            compare(world, seconds, sessions, token, other)


if __name__ == "__main__":
    main()
