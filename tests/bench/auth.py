#!/usr/bin/python3
"""/auth through nginx's auth_request against nginx answering itself, with few and with many sessions.

    auth.py BUILD [SECONDS]

A real daemon, a real nginx, wrk. Sessions beside the one that asks are written into the store of the stopped
daemon. Rates are pairs within one round; medians of the ratios are printed.
"""
import hashlib
import os
import secrets
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
from signin import SignIn  # noqa: E402

ROUNDS = 5


def add_sessions(store, wanted):
    """Copies of the session that is there, each with an own token for the application."""
    database = sqlite3.connect(store)
    columns = [row[1] for row in database.execute("PRAGMA table_info(session)")]
    row = dict(zip(columns, database.execute("SELECT * FROM session LIMIT 1").fetchone()))
    host = database.execute("SELECT host FROM session_token WHERE host <> ''").fetchone()[0]
    present = database.execute("SELECT count(*) FROM session").fetchone()[0]
    tokens = []
    for _ in range(wanted - present):
        row["id"], row["uuid"] = None, uuid.uuid4().bytes
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


def main():
    seconds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    with SignIn() as world:
        # The yardstick: the same nginx, an auth_request that nginx answers itself.
        folder = world.proxy.folder
        config = (folder / "nginx.conf").read_text()
        own = f"""
    server {{
        listen 127.0.0.1:{world.proxy.port};
        server_name own.localhost;
        location = /yes {{ internal; return 200; }}
        location / {{ auth_request /yes; try_files /nonexistent =204; }}
    }}
    server {{
        listen 127.0.0.1:{world.proxy.port};
        server_name other.localhost;
        location = /yes {{ internal; proxy_pass http://other; proxy_http_version 1.1; proxy_pass_request_body off;
            proxy_set_header Content-Length ""; proxy_set_header Connection ""; }}
        location / {{ auth_request /yes; try_files /nonexistent =204; }}
    }}
    upstream other {{ server unix:{folder}/other.sock; keepalive 16; }}
    server {{ listen unix:{folder}/other.sock; location / {{ return 200; }} }}
"""
        config = config.rstrip().removesuffix("}") + own + "}\n"
        # The application answers nothing: what is measured is the question.
        config = config.replace(f"proxy_pass http://127.0.0.1:{world.proxy.application.server_port};",
                                "try_files /nonexistent =204;")
        (folder / "nginx.conf").write_text(config)
        browser, page = world.sign_in("anna")
        token = browser.cookies(world.application_url)["rolebridge-app"]
        world.proxy.process.send_signal(1)
        time.sleep(1)
        for sessions in (100, 100_000):
            world.bridge.stop()
            add_sessions(world.bridge.folder / "store.db", sessions)
            world.bridge.start()
            time.sleep(2)
            ratios, others, rates = [], [], []
            for _ in range(ROUNDS):
                itself = rate(world, "own.localhost", seconds)
                other = rate(world, "other.localhost", seconds)
                ours = rate(world, "app.localhost", seconds, token)
                rates.append(ours)
                ratios.append(ours / itself)
                others.append(ours / other)
            print(f"  {sessions} sessions: {statistics.median(rates):.0f} requests a second; "
                  f"{statistics.median(ratios):.2f} of nginx answering itself, "
                  f"{statistics.median(others):.2f} of another nginx as upstream")


main()
