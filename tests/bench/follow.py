#!/usr/bin/python3
"""How fast a directory is followed: a real slapd (syncprov), a real daemon, nginx and an IdP for sessions.

    follow.py BUILD USERS [MEASURE...]

Every time begins when the result of the LDAP modify is in hand (for a burst: of the first one, and of the last) and
ends when another connection to the store sees the commit, or when /auth answers 401. The store is looked at every
0.1 ms, and so is /auth, on a kept connection to the daemon's socket. Reconnects go through a forwarder and are taken on
the wire: from the daemon's connect until the ends of both refreshes (groups and people) passed, with bind and all; what
the forwarder itself adds to one question is printed beside them. Slapd has no session log: a cookie that is behind means
a present phase, one that is not means nothing.

In the end, and before the daemon is started anew, a full read must find nothing to do.
"""
import contextlib
import http.client
import os
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
os.environ["ROLEBRIDGE_BUILD"] = str(Path(sys.argv[1]).resolve())
sys.path[:0] = [str(HERE), str(HERE.parent / "integration"), str(HERE.parent / "fault")]
from auth import add_sessions  # noqa: E402
from control import Control  # noqa: E402
from fake_directory import Listener, close, integer, octets, parts, read_tlv, tlv  # noqa: E402
from generate import group_dn, user_dn  # noqa: E402
from ldap_proxy import SYNC_INFO, SYNC_REQUEST  # noqa: E402
from signin import SignIn  # noqa: E402
from slapd import Slapd  # noqa: E402
from sync import BASE, children, memory_of  # noqa: E402

DIRECT, TOP, MANY = (f"cn=follow-{name},ou=groups,{BASE}" for name in ("direct", "top", "many"))
CHAIN = [TOP, *(f"cn=follow-{depth},ou=groups,{BASE}" for depth in range(1, 8))]
SUBGROUP = 10_000
REFRESHES = 2  # on a connection: groups and people
CHANGES, BURST, RECONNECTS, STALE, DISABLED, ROUNDS = 200, 100, 20, 5, 200, 5
WAIT_SECONDS = 60
# A role each, which these groups alone give by these rules.
RULES = f"""
  - {{id: follow-direct, groups: ["{DIRECT}"], grant: {{roles: [role-48]}}}}
  - {{id: follow-top, groups: ["{TOP}"], grant: {{roles: [role-49]}}}}
policy:
  default_profile: viewer
  limits: {{disables_max: 1000000, disables_min: 1000000, removals_min: 1000000, group_loss_percent: 100,
            group_size_min: 1000000}}
"""
APPLICATIONS = """
  - name: crm
    urls: ["{application}"]
    require: {{profiles: [viewer, analyst, developer, super-manager]}}
"""


def source(url):
    return f"""
  - name: bench
    type: ldap
    servers: ["{url}"]
    tls: none
    allow_cleartext: true
    bind: {{method: anonymous}}
    users: {{base: "ou=people,{BASE}", filter: "(objectClass=inetOrgPerson)", disabled: ["employeeType=left"]}}
    groups: {{base: "ou=groups,{BASE}", filter: "(objectClass=groupOfNames)", members: [member]}}
    attributes: [{{name: department, from: departmentNumber}}]
    follow: {{mode: auto, poll: 1s, keepalive: 30s}}
"""


def group(name, members):
    return f"dn: {name}\nobjectClass: groupOfNames\ncn: {name[3:].split(',')[0]}\n" + \
        "".join(f"member: {member}\n" for member in members) + "\n"


def write_groups(path, users):
    """A group that a rule names, a chain of eight under one, and a group of many that is in neither."""
    step = max(1, users // SUBGROUP)
    many = [user_dn(number * step) for number in range(min(SUBGROUP, users))]
    with open(path, "a", encoding="utf-8") as out:
        out.write(group(DIRECT, [user_dn(0)]) + group(MANY, many))
        for name, inner in zip(CHAIN, CHAIN[1:] + [user_dn(0)]):
            out.write(group(name, [inner]))


# --- the directory, from the other side


class Administrator:
    """Changes entries over one connection; knows when each result came."""

    def __init__(self, slapd):
        self.socket = socket.create_connection(("127.0.0.1", slapd.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer, self.id = b"", 0
        self.send(tlv(0x60, integer(3) + octets(slapd.root_dn) + octets(slapd.password, 0x80)))
        self.result()

    def send(self, *operations):
        out = b""
        for operation in operations:
            self.id += 1
            out += tlv(0x30, integer(self.id) + operation)
        self.socket.sendall(out)

    def result(self):
        """The time of the next result, which must be a success."""
        while (message := read_tlv(self.buffer)) is None:
            data = self.socket.recv(1 << 16)
            assert data, "slapd is gone"
            self.buffer += data
        now = time.perf_counter()
        self.buffer = self.buffer[message[2]:]
        code = parts(parts(message[1])[1][1])[0][1]
        assert code == b"\0", parts(message[1])
        return now

    def change(self, *changes):
        """Times of the first and of the last result."""
        self.send(*changes)
        times = [self.result() for _ in changes]
        return times[0], times[-1]


ADD, DELETE, REPLACE = 0, 1, 2


def modify(name, how, attribute, *values):
    attribute = tlv(0x30, octets(attribute) + tlv(0x31, b"".join(octets(value) for value in values)))
    return tlv(0x66, octets(name) + tlv(0x30, tlv(0x30, integer(how, 0x0a) + attribute)))


def question(connection):
    """Asks for the root entry; seconds."""
    search = tlv(0x63, octets("") + integer(0, 0x0a) + integer(0, 0x0a) + integer(0) + integer(0) + b"\x01\x01\x00" +
                 octets("objectClass", 0x87) + tlv(0x30, octets("1.1")))
    begun = time.perf_counter()
    connection.sendall(tlv(0x30, integer(1) + search))
    data = b""
    while b"\x65" not in data[2:]:
        data += connection.recv(1 << 16)
    return time.perf_counter() - begun


class Forwarder(Listener):
    """Bytes both ways; may cut what is there and let nobody in. Notes when the last connection was made and when the
    end of its refresh passed."""

    def __init__(self, port):
        super().__init__()
        self.target, self.open, self.watched = port, threading.Event(), False
        self.begun = self.ended = None
        self.asked = b""
        self.open.set()
        self.pairs = []

    def serve(self, connection):
        begun = time.perf_counter()
        if not self.open.is_set():
            return
        server = socket.create_connection(("127.0.0.1", self.target))
        for one in (connection, server):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.pairs += [connection, server]
        self.begun, self.ended, self.asked = begun, None, b""
        threading.Thread(target=self.forward, args=(connection, server), daemon=True).start()
        self.forward(server, connection, watched=self.watched)
        close(server)

    def forward(self, origin, target, watched=False):
        buffer, ended = b"", 0
        try:
            while data := origin.recv(1 << 18):
                target.sendall(data)
                if target in self.pairs[1::2]:
                    self.asked += data
                if not watched:
                    continue
                buffer += data
                while watched and (message := read_tlv(buffer)) is not None:
                    buffer = buffer[message[2]:]
                    ended += ends_refresh(message[1])
                    if ended == REFRESHES:
                        self.ended, watched = time.perf_counter(), False
        except OSError:
            pass
        close(target)

    def cut(self):
        pairs, self.pairs = self.pairs, []
        self.watched, self.begun, self.ended = True, None, None
        for one in pairs:
            close(one)


def ends_refresh(message):
    """refreshDelete or refreshPresent of RFC 4533 2.5, refreshDone not false."""
    _, (tag, body) = parts(message)[:2]
    if tag != 0x79:
        return False
    fields = dict(parts(body))
    info = read_tlv(fields.get(0x81, b""))
    return fields.get(0x80) == SYNC_INFO and info[0] in (0xa1, 0xa2) and (0x01, b"\0") not in parts(info[1])


# --- the store, from the other side


class Watch:
    """Sees commits of the daemon by a connection of its own that only reads."""

    def __init__(self, path):
        self.database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
        self.database.execute("CREATE TEMP TABLE watched (id INTEGER PRIMARY KEY, digest BLOB)")

    def one(self, query, *values):
        return self.database.execute(query, values).fetchone()[0]

    def people(self):
        """The number of each user by that in the directory."""
        found = self.database.execute("SELECT username, id FROM user WHERE username GLOB 'u[0-9]*'")
        return {int(name[1:]): user for name, user in found}

    def expect(self, identities):
        self.database.execute("DELETE FROM watched")
        self.database.executemany("INSERT INTO watched SELECT id, digest FROM identity WHERE id = ?",
                                  [(identity,) for identity in identities])
        self.pending = 0
        assert self.one("SELECT count(*) FROM watched") == len(identities)

    def all_changed(self):
        """Goes through them once: a record that is another one stays so."""
        found = self.database.execute("SELECT id FROM watched JOIN identity USING (id) WHERE id >= ? "
                                      "AND identity.digest = watched.digest ORDER BY id LIMIT 1",
                                      (self.pending,)).fetchone()
        self.pending = found[0] if found else self.pending
        return found is None

    def wait(self, pause_s=0.0001):
        """The time at which all expected records were seen to be others."""
        version, end = None, time.monotonic() + WAIT_SECONDS
        while True:
            now = time.perf_counter()
            seen = self.one("PRAGMA data_version")
            if seen != version:
                version = seen
                if self.all_changed():
                    return now
            if time.monotonic() > end:
                raise RuntimeError(f"record {self.pending} is as it was")
            time.sleep(pause_s)


def threads_s(pid):
    """CPU of each thread by name, as the scheduler counts."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # it may end meanwhile
            name = (task / "comm").read_text().strip()
            found[name] = found.get(name, 0) + int((task / "schedstat").read_text().split()[0]) / 1e9
    return found


class World:
    def __init__(self, sign_in, slapd, forwarder, users):
        self.sign_in, self.slapd, self.forwarder, self.users = sign_in, slapd, forwarder, users
        self.bridge = sign_in.bridge
        self.administrator = Administrator(slapd)
        self.url = slapd.url
        self.connect()
        self.await_following()
        self.people = self.watch.people()

    def connect(self):
        self.watch = Watch(self.bridge.folder / "store.db")

    def begin(self, function):
        """The forwarder is a thread of ours and would be in the way of what does not need it."""
        url = self.forwarder.url if function in (reconnect, stale) else self.slapd.url
        if url != self.url:
            self.bridge.stop()
            self.url = url
            self.sign_in.source = source(url)
            self.sign_in.configure()
            self.bridge.start()
            self.connect()
        self.settle()

    def source(self):
        # Not kept: the daemon closes connections on which nothing comes.
        control = Control(self.bridge.folder / "control.sock")
        _, status = control.ask("GET", "status")
        control.close()
        return next(source for source in status["sources"] if source["name"] == "bench")

    def await_following(self):
        end = time.monotonic() + 600
        while time.monotonic() < end:
            found = self.source()
            if found.get("follow", {}).get("connected") and found.get("last_complete", found.get("complete")):
                if self.watch.one("SELECT count(*) FROM identity") >= self.users:
                    return found["follow"]
            time.sleep(0.1)
        raise RuntimeError(f"not followed: {self.source()}\n{self.bridge.logged()[-3000:]}")

    def identity(self, number):
        """The first one of a user: nobody has another here."""
        return self.people[number] << 16

    def settle(self):
        """Followed, and the daemon has put in order what it wrote: it rests."""
        found = self.await_following()
        end, before = time.monotonic() + 120, None
        while time.monotonic() < end:
            spent = sum(threads_s(self.bridge.process.pid).values())
            if before is not None and spent - before < 0.003:
                return found
            before = spent
            time.sleep(0.3)
        raise RuntimeError("the daemon does not come to rest")

    def worker(self):
        """The worker of the source that is followed: the one with the most memory."""
        return max(children(self.bridge.process.pid), key=memory_of)


# --- what is measured


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def show(what, seconds, goal="", extra=""):
    ms = [1000 * value for value in seconds]
    print(f"  {what:<60} ms p50 {statistics.median(ms):7.2f}, p95 {percentile(ms, 0.95):7.2f}, "
          f"p99 {percentile(ms, 0.99):7.2f}, max {max(ms):7.2f}{goal and f'   goal {goal}'}{extra}", flush=True)


def one_change(world):
    times = []
    for number in range(CHANGES):
        person = (number * 37 + 1) % world.users
        world.watch.expect([world.identity(person)])
        _, done = world.administrator.change(modify(user_dn(person), REPLACE, "title", f"Chief {number}"))
        times.append(world.watch.wait() - done)
    show("one change of a person", times, "p95 5")
    times = []
    for number in range(CHANGES):
        person = (number // 2 * 41 + 2) % world.users
        world.watch.expect([world.identity(person)])
        _, done = world.administrator.change(modify(DIRECT, DELETE if number % 2 else ADD, "member", user_dn(person)))
        times.append(world.watch.wait() - done)
    show("one member of a group comes or goes", times, "p95 5")


def burst(world):
    first_to_end, last_to_end = [], []
    for number in range(ROUNDS * 4):
        people = [(number * 1009 + 53 * i + 3) % world.users for i in range(BURST)]
        world.watch.expect([world.identity(person) for person in people])
        first, last = world.administrator.change(*(modify(user_dn(person), REPLACE, "title", f"Burst {number}")
                                                   for person in people))
        seen = world.watch.wait(0.0005)
        first_to_end.append(seen - first)
        last_to_end.append(max(0, seen - last))
    show(f"burst of {BURST}, from the first result", first_to_end, "40")
    show(f"burst of {BURST}, from the last result", last_to_end)


def spent_s(world):
    """By the thread that decides, the one that writes, all others of the core, the worker."""
    core = threads_s(world.bridge.process.pid)
    decides, writes = core.pop("follow"), core.pop("writer")
    return decides, writes, sum(core.values()), sum(threads_s(world.worker()).values())


def subgroup(world):
    step = max(1, world.users // SUBGROUP)
    people = [world.identity(number * step) for number in range(1, min(SUBGROUP, world.users))]
    times = {ADD: [], DELETE: []}
    spent = []
    for number in range(2 * ROUNDS):
        how = DELETE if number % 2 else ADD
        world.watch.expect(people)
        before = spent_s(world)
        _, done = world.administrator.change(modify(CHAIN[-1], how, "member", MANY))
        times[how].append(world.watch.wait(0.001) - done)
        spent.append([1e6 * (now - was) / len(people) for now, was in zip(spent_s(world), before)])
    show(f"a chain of eight gains a subgroup of {len(people)}, to the last commit", times[ADD])
    show("it loses it", times[DELETE])
    decides, writes, others, worker = (statistics.median(column) for column in zip(*spent))
    print(f"  {'':<60} CPU a person: decisions {decides:.1f} us (goal 10), writer {writes:.1f} us, "
          f"the rest of the core {others:.1f} us, worker {worker:.1f} us (goal 2)", flush=True)


def overhead(world):
    with socket.create_connection(("127.0.0.1", world.slapd.port)) as direct, \
            socket.create_connection(("127.0.0.1", world.forwarder.port)) as forwarded:
        for one in (direct, forwarded):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(20):
            question(direct), question(forwarded)
        return [statistics.median(question(one) for _ in range(200)) for one in (direct, forwarded)]


def await_refresh(forwarder):
    end = time.monotonic() + WAIT_SECONDS
    while forwarder.ended is None:
        if time.monotonic() > end:
            raise RuntimeError("no refresh ends")
        time.sleep(0.001)
    return forwarder.ended - forwarder.begun


def messages(data):
    while (message := read_tlv(data)) is not None:
        yield data[:message[2]], message[1]
        data = data[message[2]:]


def ask_bare(world, asked):
    """What the daemon asked, sent again by a client that thinks of nothing: the server's part of it, seconds."""
    begun = time.perf_counter()
    with socket.create_connection(("127.0.0.1", world.slapd.port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(WAIT_SECONDS)
        awaited, buffer = 0, b""
        for message, body in messages(asked):
            connection.sendall(message)
            if SYNC_REQUEST in message:
                awaited += 1
                continue
            while not (answers := list(messages(buffer))) or parts(answers[-1][1])[1][0] not in (0x61, 0x65):
                buffer += connection.recv(1 << 18)
            buffer = b""
        while sum(ends_refresh(body) for _, body in messages(buffer)) < awaited:
            buffer += connection.recv(1 << 18)
        return time.perf_counter() - begun


def reconnect(world):
    direct, forwarded = overhead(world)
    times, away = [], []
    for _ in range(RECONNECTS):
        cut = time.perf_counter()
        world.forwarder.cut()
        times.append(await_refresh(world.forwarder))
        away.append(world.forwarder.ended - cut)
        world.await_following()
    show("reconnected, nothing changed: connect to end of refresh", times, "2",
         f"   (a question takes {1000 * direct:.2f} ms, by the forwarder {1000 * forwarded:.2f})")
    asked = world.forwarder.asked
    show("the same bytes from a client that only sends them", [ask_bare(world, asked) for _ in range(RECONNECTS)])
    show("the same, from the cut, with the pause before trying again", away)


def stale(world):
    wire, committed = [], []
    for number in range(STALE):
        person = (number * 211 + 5) % world.users
        world.watch.expect([world.identity(person)])
        world.forwarder.open.clear()
        world.forwarder.cut()
        world.administrator.change(modify(user_dn(person), REPLACE, "title", f"Meanwhile {number}"))
        world.forwarder.open.set()
        seen = world.watch.wait()
        wire.append(await_refresh(world.forwarder))
        committed.append(seen - world.forwarder.begun)
        world.await_following()
    goal = f"{400 * max(1, world.users // 100_000)}"
    show("stale cookie (present phase): connect to end of refresh", wire)
    show("the same, to the commit of what changed meanwhile", committed, goal)


class Auth(http.client.HTTPConnection):
    """As nginx asks."""

    def __init__(self, world, token):
        super().__init__("app.localhost", timeout=60)
        self.path = str(world.sign_in.socket)
        host = world.sign_in.application_url.split("/")[2]
        self.headers = {"Host": "app.localhost", "X-Forwarded-Proto": "http", "X-Forwarded-Host": host,
                        "X-Forwarded-Uri": "/", "X-Forwarded-Method": "GET", "X-Forwarded-For": "127.0.0.1",
                        "Cookie": f"rolebridge-app={token}"}

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self.path)

    def status(self):
        self.request("GET", "/auth", headers=self.headers)
        response = self.getresponse()
        response.read()
        return response.status


def agree(world):
    """What was followed is what a full read finds."""
    report = world.bridge.ctl("sync", "bench")["reports"][0]
    assert report["complete"] and report["unchanged"] == world.users and report["updated"] == 0, report
    print(f"  a full read finds nothing to do, in {report['duration_ms'] / 1000:.2f} s", flush=True)


def disabled(world):
    browser, page = world.sign_in.sign_in("anna")
    assert page.status_code == 200, page.text[:500]
    world.bridge.stop()
    people = [number * (world.users // DISABLED) + 4 for number in range(DISABLED)]
    present = world.watch.one("SELECT count(*) FROM session")
    tokens = add_sessions(world.bridge.folder / "store.db", DISABLED + present, [world.people[n] for n in people])
    world.bridge.start()
    world.connect()
    world.settle()
    times = []
    for number, token in zip(people, tokens):
        auth = Auth(world, token)
        assert auth.status() == 200, number
        _, done = world.administrator.change(modify(user_dn(number), REPLACE, "employeeType", "left"))
        while (status := auth.status()) == 200:
            time.sleep(0.0001)
        times.append(time.perf_counter() - done)
        assert status == 401, status
        auth.close()
    show("disabled in the directory to 401 at /auth", times, "p99 50")


def memory(world):
    """What it costs to know all people."""
    follow = world.settle()
    idle = memory_of(world.worker())
    print(f"  worker that follows: {idle / 2**20:.1f} MiB, {idle / world.users:.0f} bytes a person; {follow}")


def main():
    users = int(sys.argv[2])
    people = {"anna": {"uid": ["anna"], "mail": ["anna@acme.example"], "displayName": ["Anna"], "groups": []}}
    with tempfile.TemporaryDirectory(prefix="rolebridge-bench-") as folder:
        made = subprocess.run([sys.executable, HERE / "generate.py", str(users), folder], check=True,
                              capture_output=True, text=True).stdout.strip()
        write_groups(Path(folder) / "directory.ldif", users)
        rules = (Path(folder) / "rules.yaml").read_text() + RULES
        mdb = (f"maxsize {max(1, users // 100000) << 32}", "index objectClass,entryUUID,entryCSN eq",
               "overlay syncprov", "syncprov-checkpoint 1000 60")
        with Slapd(Path(folder) / "directory.ldif", suffix=BASE, mdb=mdb, config=("moduleload syncprov",)) as slapd, \
                Forwarder(slapd.port) as forwarder, \
                SignIn(people, source=source(slapd.url), rules=rules, applications=APPLICATIONS) as sign_in:
            print(f"{made}; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
            world = World(sign_in, slapd, forwarder, users)
            measures = {function.__name__: function
                        for function in (one_change, burst, subgroup, memory, agree, disabled, reconnect, stale)}
            for name in sys.argv[3:] or measures:
                world.begin(measures[name])
                measures[name](world)
            agree(world)


if __name__ == "__main__":
    main()
