#!/usr/bin/python3
"""What a login costs the whole daemon, over HTTP: gate, verifiers, checks, rules, session, audit, commit.

    login.py BUILD [LOGINS]

Distinct signed responses (8.2 kB, RSA-2048) of a few hundred people who have signed in before are posted over
keep-alive connections by several clients; CPU time of the daemon with its workers is divided by the number
of logins. The yardstick is the bare libxml2 + xmlsec1 loop of bench_saml in the same run. Also: the memory that
stays after many logins whose sessions have ended, and logins a second on one core against two.
"""
import http.client
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlencode

HERE = Path(__file__).resolve().parent
BUILD = Path(sys.argv[1]).resolve()
os.environ["ROLEBRIDGE_BUILD"] = str(BUILD)
sys.path.insert(0, str(HERE.parent / "integration"))
from bridge import Bridge  # noqa: E402
from idp import free_port  # noqa: E402

TOOL = BUILD / "bench" / "saml_responses"
CLIENTS = 48
PEOPLE = 500
IDP = "https://idp.example/metadata"
TICKS = os.sysconf("SC_CLK_TCK")


def configuration(folder, port, verification, workers):
    return f"""
public_url: http://127.0.0.1:{port}
listeners: [{{address: "127.0.0.1:{port}"}}]
trusted_proxies: ["127.0.0.1"]
log_level: error
saml: {{certificate: "{folder}/sp.crt", private_key: "{folder}/sp.key", verification: {verification},
       workers: {workers}}}
sources:
  - name: idp
    type: saml
    just_in_time: true
    idp_initiated: true
    key: uid
    groups: isMemberOf
    idp: {{metadata_file: "{folder}/idp.xml"}}
    may_grant: {{profiles: ["*"], roles: ["*"], personas: ["*"], groups: ["*"]}}
profiles:
  - {{name: administrator, permissions: ["*:*@all"]}}
  - {{name: member, permissions: ["accounts:read@all"]}}
rules:
  - {{id: staff, when: "(title=Head*)", grant: {{profile: member}}}}
"""


def children(pid):
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(child) for child in task.read_text().split()]
        except OSError:
            pass
    return found


def cpu_of(pid):
    """Seconds of a process and its children that live."""
    total = 0
    for process in [pid, *children(pid)]:
        fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def rss_of(pid):
    total = 0
    for process in [pid, *children(pid)]:
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                total += int(line.split()[1]) * 1024
    return total


class Generator:
    def __init__(self, folder, port):
        self.folder, self.port, self.first = folder, port, 1
        subprocess.run([TOOL, "keys", folder], check=True)
        xml = subprocess.run([TOOL, "metadata", folder, IDP, "https://idp.example/sso"], check=True,
                             capture_output=True).stdout
        (Path(folder) / "idp.xml").write_bytes(xml)

    def make(self, count, *flags):
        url = f"http://127.0.0.1:{self.port}/saml/idp"
        done = subprocess.run([TOOL, "make", self.folder, str(count), IDP, url + "/metadata", url + "/acs", "-", "-",
                               f"first={self.first}", f"people={PEOPLE}", *flags], check=True, capture_output=True,
                              text=True)
        self.first += count
        return [urlencode({"SAMLResponse": line}) for line in done.stdout.split()]


def post_all(port, bodies):
    """All of them, by several clients; every one must be let in."""
    failures = []

    def client(part, address):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for body in part:
            connection.request("POST", "/saml/idp/acs", body,
                               {"Content-Type": "application/x-www-form-urlencoded", "X-Forwarded-For": address()})
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 303:
                failures.append((answer.status, text[:500]))
                return
        connection.close()

    numbers = iter(range(1 << 24))
    lock = threading.Lock()

    def address():
        # Each address may sign in so often a minute.
        with lock:
            number = next(numbers)
        return f"198.18.{number >> 8 & 255}.{number & 255}"

    threads = [threading.Thread(target=client, args=(bodies[i::CLIENTS], address)) for i in range(CLIENTS)]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise RuntimeError(f"refused: {failures[0]}")
    return time.monotonic() - start


def yardstick():
    """Microseconds of the bare loop: plain and encrypted."""
    text = subprocess.run([BUILD / "bench" / "bench_saml"], check=True, capture_output=True, text=True).stdout
    rows = {}
    for line in text.splitlines():
        found = re.match(r"\s+(assertion signed(?:, GCM)?)\s+\d+ bytes\s+bare\s+([\d.]+) us", line)
        if found:
            rows[found.group(1)] = float(found.group(2))
    return rows["assertion signed"], rows["assertion signed, GCM"]


def measure(verification, flags, logins, rounds=3):
    costs = []
    with tempfile.TemporaryDirectory(prefix="rolebridge-login-") as folder:
        port = free_port()
        generator = Generator(folder, port)
        with Bridge(configuration(folder, port, verification, 2)) as bridge:
            post_all(port, generator.make(PEOPLE, *flags))
            pid = bridge.process.pid
            for _ in range(rounds):
                bodies = generator.make(logins, *flags)
                before = cpu_of(pid)
                post_all(port, bodies)
                costs.append((cpu_of(pid) - before) / logins * 1e6)
    return statistics.median(costs)


def memory(logins):
    """Bytes that stay after so many logins whose sessions have ended."""
    with tempfile.TemporaryDirectory(prefix="rolebridge-login-") as folder:
        port = free_port()
        generator = Generator(folder, port)
        with Bridge(configuration(folder, port, "fast", 2)) as bridge:
            pid = bridge.process.pid

            def some(count):
                for _ in range(count // 2000):
                    post_all(port, generator.make(2000))
                for number in range(PEOPLE):
                    bridge.run("sessions", "end", "--user", f"ada{number}")

            some(4000)
            time.sleep(12)
            before = rss_of(pid)
            some(logins)
            time.sleep(12)
            return rss_of(pid) - before


def main():
    logins = int(sys.argv[2]) if len(sys.argv) > 2 else 3000
    plain, encrypted = yardstick()
    print(f"  bare verification: {plain:.0f} us, encrypted {encrypted:.0f} us")
    for verification, flags, bare, goal in (("agree", [], plain, 5.5), ("fast", [], plain, 1.5),
                                            ("fast", ["gcm"], encrypted, 1.3)):
        cost = measure(verification, flags, logins)
        print(f"  {verification} {' '.join(flags):4} {cost:7.0f} us CPU a login, {cost / bare:.2f} of bare (goal {goal})")
    if len(sys.argv) > 3:
        print(f"  memory that stays after {sys.argv[3]} logins: {memory(int(sys.argv[3])) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
