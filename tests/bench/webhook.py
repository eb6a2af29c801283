#!/usr/bin/python3
"""How fast events reach a webhook, and what memory that takes.

    webhook.py BUILD EVENTS [ROUNDS]

Each round on a new store, over HTTP and over HTTPS: as many people are imported while nobody listens, then nginx takes what
waits, on the same cores, and writes down each id; from its start to the last event. Printed: events a second by the wall,
CPU of the daemon for each, the daemon's memory (RssAnon) when a tenth has been delivered, at most, and at the end. Each event must
have come, and none twice.
"""
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BUILD, EVENTS = Path(sys.argv[1]).resolve(), int(sys.argv[2])
ROUNDS = int(sys.argv[3]) if len(sys.argv) > 3 else 3
os.environ["ROLEBRIDGE_BUILD"] = str(BUILD)
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "integration"))
from bridge import Bridge  # noqa: E402
from ports import free_port  # noqa: E402
from proxy import program  # noqa: E402
from web import Authority  # noqa: E402

CONFIG = """
profiles:
  - {{name: administrator, permissions: ["*:*@all"]}}
  - {{name: viewer, permissions: ["accounts:read@own"]}}
segments: [All]
roles:
  - {{name: sales, description: Sells, classifications: [Sales], segments: [All], permissions: ["quotes:*@own"]}}
policy: {{default_profile: viewer}}
outgoing: {{allowed_networks: [127.0.0.0/8]}}
targets:
  - {{name: app, type: webhook, url: "{url}", secret_files: ["{folder}/secret"], ca_file: "{folder}/ca.pem"}}
"""
NGINX = """
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.errors;
events {{ worker_connections 256; }}
http {{
  log_format ids '$http_webhook_id';
  access_log {folder}/ids ids;
  client_body_temp_path {folder}/bodies;
  proxy_temp_path {folder}/t1; fastcgi_temp_path {folder}/t2; uwsgi_temp_path {folder}/t3; scgi_temp_path {folder}/t4;
  keepalive_requests 100000000;
  server {{
    listen 127.0.0.1:{port}{ssl};
    ssl_certificate {folder}/hook.pem;
    ssl_certificate_key {folder}/hook.key;
    location / {{ return 204; }}
  }}
}}
"""


def cpu(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid):
    return int(re.search(r"RssAnon:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024


def taken(ids):
    return ids.stat().st_size // 37 if ids.exists() else 0


def deliver(bridge, folder):
    """(events a second, CPU µs of each, memory at a tenth, at most, at the end)"""
    ids, pid = folder / "ids", bridge.process.pid
    begun_cpu = cpu(pid)
    nginx = subprocess.Popen([program("nginx"), "-p", folder, "-c", folder / "nginx.conf"])
    try:
        while not (folder / "nginx.pid").exists():
            time.sleep(0.01)
        start = time.monotonic()
        bridge.ctl("targets", "retry", "app")
        early, most = 0, 0
        while taken(ids) < EVENTS:
            if not early and taken(ids) >= EVENTS // 10:
                early = memory_mb(pid)
            most = max(most, memory_mb(pid))
            time.sleep(0.02)
        wall = time.monotonic() - start
        late, used = memory_mb(pid), cpu(pid) - begun_cpu
        while bridge.ctl("targets", "show", "app")["waiting"]:
            time.sleep(0.1)
    finally:
        nginx.terminate()
        nginx.wait()
    told = ids.read_text().split()
    assert len(told) == len(set(told)) == EVENTS, (len(told), len(set(told)))
    return EVENTS / wall, used / EVENTS * 1e6, early, most, late


def one_round(scheme):
    rows = "".join(f"E{i:07d},user{i:07d},user{i:07d}@example.com,User Number {i},viewer,sales,active\n"
                   for i in range(EVENTS))
    with tempfile.TemporaryDirectory(prefix="rolebridge-") as name:
        folder, port = Path(name), free_port()
        Authority(folder).issue("hook")
        secret = folder / "secret"
        secret.write_text("a secret of the benchmark, which is long enough\n")
        secret.chmod(0o600)
        (folder / "nginx.conf").write_text(
            NGINX.format(folder=folder, port=port, ssl=" ssl" if scheme == "https" else ""))
        with Bridge(CONFIG.format(url=f"{scheme}://127.0.0.1:{port}/hook", folder=folder)) as bridge:
            people = bridge.write("people.csv", "external_id,username,email,display_name,profile,role,state\n" + rows)
            bridge.ctl("import", "users", people)
            assert bridge.ctl("targets", "show", "app")["waiting"] == EVENTS
            return deliver(bridge, folder)


def main():
    print(f"{EVENTS} events, median of {ROUNDS}")
    for scheme in "http", "https":
        rounds = [one_round(scheme) for _ in range(ROUNDS)]
        rate, used, early, most, late = (statistics.median(r[i] for r in rounds) for i in range(5))
        print(f"{scheme:5} {rate:8,.0f} events/s (slowest {min(r[0] for r in rounds):,.0f}), CPU {used:.0f} µs an event; "
              f"memory {early:.1f} MB at a tenth, at most {most:.1f}, {late:.1f} at the end")


if __name__ == "__main__":
    main()
