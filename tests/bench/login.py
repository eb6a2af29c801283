#!/usr/bin/python3
"""What a login costs the whole daemon, over HTTP: gate, verifiers, checks, rules, session, audit, commit.

    login.py BUILD [LOGINS [ALL]]

Distinct signed responses (8.2 kB, RSA-2048) of a few hundred people who have signed in before are posted over
keep-alive connections by several clients; CPU time of the daemon with its workers is divided by the number
of logins. What the daemon leaves for idle time counts: it is waited for. The yardstick is the bare libxml2 + xmlsec1
loop of bare_saml in the same run, and under the same load: one on each core, as both cores are at work for the
logins. It has nothing of the daemon in it: functions and an allocator of ours in place of libraries' own
are part of what is measured. (Alone it is a fifth faster where cores share what they compute with.)

Then logins a second with one core for the daemon and with two. The clients run on the other core first, and beside
the daemon then: what they take of it is measured and left out.

With ALL: the memory that stays after so many logins whose sessions have ended.
"""
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlencode

HERE = Path(__file__).resolve().parent
BUILD = Path(sys.argv[1]).resolve()
os.environ["ROLEBRIDGE_BUILD"] = str(BUILD)
sys.path.insert(0, str(HERE.parent / "integration"))
from bridge import Bridge  # noqa: E402
from ports import free_port  # noqa: E402

TOOL = BUILD / "bench" / "saml_responses"
CLIENTS = 48
PEOPLE = 500
SETTLE_S = 1
IDP = "https://idp.example/metadata"
POST = BUILD / "bench" / "post_logins"


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
        for task in Path(f"/proc/{process}/task").iterdir():
            try:
                total += int((task / "schedstat").read_text().split()[0])
            except OSError:
                pass
    return total / 1e9


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


def post_all(port, bodies, cores=None):
    """All of them, by several clients; every one must be let in. Seconds, and seconds of the clients' CPU."""
    pin = ["taskset", "-c", cores] if cores else []
    done = subprocess.run([*pin, POST, str(port), str(CLIENTS)], input="\n".join(bodies), check=True, text=True,
                          stdout=subprocess.PIPE)
    wall, own = done.stdout.split()
    return float(wall), float(own)


def yardstick(copies):
    """Microseconds of the bare loop, plain and encrypted, with so many of them at work."""
    running = [subprocess.Popen([BUILD / "bench" / "bare_saml"], stdout=subprocess.PIPE, text=True)
               for _ in range(copies)]
    rows = {}
    for process in running:
        for line in process.communicate()[0].splitlines():
            name, cost, _ = line.split()
            rows.setdefault(name, []).append(float(cost))
    return statistics.mean(rows["plain"]), statistics.mean(rows["encrypted"])


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
                time.sleep(SETTLE_S)
                costs.append((cpu_of(pid) - before) / logins * 1e6)
    return statistics.median(costs)


def speed(verification, logins, rounds=3):
    """Logins a second of a daemon with one core and one worker, and with two of each."""
    rates = {}
    for cores, clients in (("0", "1"), ("0,1", "0,1")):
        with tempfile.TemporaryDirectory(prefix="rolebridge-login-") as folder:
            port = free_port()
            generator = Generator(folder, port)
            count = len(cores.split(","))
            with Bridge(configuration(folder, port, verification, count)) as bridge:
                pid = bridge.process.pid
                for process in [pid, *children(pid)]:
                    subprocess.run(["taskset", "-a", "-p", "-c", cores, str(process)], check=True, capture_output=True)
                post_all(port, generator.make(PEOPLE))
                found = []
                for _ in range(rounds):
                    bodies = generator.make(logins)
                    wall, own = post_all(port, bodies, clients)
                    found.append(logins / (wall if count == 1 else wall - own / count))
                    time.sleep(SETTLE_S)
                rates[count] = statistics.median(found)
    return rates[1], rates[2]


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
    alone, alone_encrypted = yardstick(1)
    plain, encrypted = yardstick(os.cpu_count() or 1)
    print(f"  bare verification: {plain:.0f} us, encrypted {encrypted:.0f} us "
          f"(alone {alone:.0f} and {alone_encrypted:.0f} us)")
    for verification, flags, bare, goal in (("agree", [], plain, 5.5), ("fast", [], plain, 1.5),
                                            ("fast", ["gcm"], encrypted, 1.3)):
        cost = measure(verification, flags, logins)
        print(f"  {verification} {' '.join(flags):4} {cost:7.0f} us CPU a login, {cost / bare:.2f} of bare (goal {goal})")
    for verification in ("agree", "fast"):
        one, two = speed(verification, logins)
        print(f"  {verification}: {one:.0f} logins a second on one core, {two:.0f} on two: {two / one:.2f} (goal 1.8)")
    if len(sys.argv) > 3:
        print(f"  memory that stays after {sys.argv[3]} logins: {memory(int(sys.argv[3])) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
