"""A root file system of its own with the real shadow-utils, the accounts helper in it, and the core's side of its protocol.

The tree is a folder with databases, homes and state of its own; /usr, /proc and /dev of this machine are bound into it in
a private mount namespace. ROLEBRIDGE_TREE names a tree made by debootstrap: then /usr is bound from there, and /etc begins
as its copy. Programs can be wrapped, and folders be small file systems. Each tree has a range of uids of its own, since processes are everybody's.
"""

import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import uuid

import pytest

BUILD = os.environ.get("ROLEBRIDGE_BUILD", "build")
HELPER = os.path.join(BUILD, "rolebridge-accounts")
MODEL = os.environ.get("ROLEBRIDGE_TREE")
PATIENCE_S = 60

HELLO, ENSURE, DISABLE, ENABLE, DELETE, LIST = range(1, 7)
WELCOME, RESULT, PAGE = 0x101, 0x102, 0x103
DONE, AGAIN, REFUSED = "done", "again", "refused"
STATES = ["enabled", "disabled", "locked", "deleting", "missing", "foreign"]
NOBODY = uuid.UUID(int=0)


def wait_for(condition, what, process=None):
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        if process is not None and process.poll() is not None:
            raise AssertionError(f"the helper ended while waiting for {what}")
        time.sleep(0.02)
    raise AssertionError(f"waited too long for {what}")


# --- the protocol ---

def varint(number):
    out = b""
    while number >= 0x80:
        out += bytes([number & 0x7f | 0x80])
        number >>= 7
    return out + bytes([number])


def text(value):
    data = value if isinstance(value, bytes) else value.encode()
    return varint(len(data)) + data


def frame(kind, body=b""):
    return struct.pack("<IH", len(body) + 2, kind) + body


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, size):
        assert self.at + size <= len(self.data)
        self.at += size
        return self.data[self.at - size:self.at]

    def number(self, kind):
        return struct.unpack("<" + kind, self.take(struct.calcsize(kind)))[0]

    def varint(self):
        value = shift = 0
        while True:
            byte = self.number("B")
            value |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                return value

    def text(self):
        return self.take(self.varint()).decode()

    def done(self):
        assert self.at == len(self.data)


class Result:
    def __init__(self, data):
        reader = Reader(data)
        self.status = [DONE, AGAIN, REFUSED][reader.number("B")]
        self.changed = bool(reader.number("B"))
        self.uid = reader.number("I")
        self.code, self.detail = reader.text(), reader.text()
        reader.done()

    def __repr__(self):
        return f"{self.status} {self.code or '-'} changed={self.changed} uid={self.uid} {self.detail}"


class Entry:
    def __init__(self, reader):
        self.user = uuid.UUID(bytes=reader.take(16))
        self.name, self.uid, self.state = reader.text(), reader.number("I"), STATES[reader.number("B")]
        self.gecos, self.shell, self.home, self.primary = (reader.text() for _ in range(4))
        self.groups = [reader.text() for _ in range(reader.varint())]


class Core:
    """One connection, as the core has it."""

    def __init__(self, path, greet=True):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(path)
        if greet:
            self.greet()

    def greet(self):
        self.welcome = self.ask(HELLO, struct.pack("<I", 1))

    def send(self, data):
        self.socket.sendall(data)

    def exactly(self, size):
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def receive(self):
        size, kind = struct.unpack("<IH", self.exactly(6))
        body = self.exactly(size - 2)
        if kind == RESULT:
            return Result(body)
        reader = Reader(body)
        if kind == WELCOME:
            answer = [reader.number("I") for _ in range(4)]
            reader.done()
            return answer
        assert kind == PAGE
        more = bool(reader.number("B"))
        entries = [Entry(reader) for _ in range(reader.varint())]
        reader.done()
        return entries, more

    def ask(self, kind, body=b""):
        self.send(frame(kind, body))
        return self.receive()

    def ensure(self, user, name, *, uid=0, gecos="", shell="", home="", primary="", groups=(), enabled=True):
        return self.ask(ENSURE, ensure_body(user, name, uid=uid, gecos=gecos, shell=shell, home=home, primary=primary,
                                            groups=groups, enabled=enabled))

    def disable(self, user):
        return self.ask(DISABLE, user.bytes)

    def enable(self, user):
        return self.ask(ENABLE, user.bytes)

    def delete(self, user):
        return self.ask(DELETE, user.bytes)

    def list(self, page=256):
        found, after, more = [], NOBODY, True
        while more:
            entries, more = self.ask(LIST, after.bytes + struct.pack("<I", page))
            found += entries
            after = entries[-1].user if entries else after
        return found

    def close(self):
        self.socket.close()


def ensure_body(user, name, *, uid=0, gecos="", shell="", home="", primary="", groups=(), enabled=True):
    return (user.bytes + text(name) + struct.pack("<I", uid) + text(gecos) + text(shell) + text(home) +
            text(primary) + varint(len(groups)) + b"".join(text(g) for g in groups) + bytes([enabled]))


# --- the tree ---

# Nothing of what is mounted below may be seen outside, else a tree that is cleared away would take the real /usr along.
# Where / is no mount point (a bare chroot) it cannot be made private: there the tree is put over a mount that can be.
BIND = """set -eu
tree=$1; build=$2; shift 2
bind() {{ mount --$3 "$1" "$2"; mount --make-rprivate "$2"; }}
if ! mount --make-rprivate / 2>/dev/null; then
	mount --make-private "{place}"
	bind $tree "{place}" bind
	tree={place}
fi
{tmpfs}
bind /dev $tree/dev rbind
bind {usr} $tree/usr bind
mount -o remount,ro,bind $tree/usr
bind /proc $tree/proc rbind
bind $build $tree/build bind
{wraps}
[ -z "${{LISTEN_FDS-}}" ] || export LISTEN_PID=$$
exec chroot $tree "$@"
"""


def place():
    """A mount over which a tree may lie: nobody in it misses what is there."""
    with open("/proc/self/mountinfo", encoding="ascii") as file:
        points = [line.split()[4] for line in file]
    return next((p for p in ("/sys", "/dev/shm", "/dev/mqueue", "/dev/pts") if p in points), "/no/such/mount")


PLACE = place()


def in_tree(root, build, words, wraps="", tmpfs=""):
    script = BIND.format(usr=os.path.join(MODEL or "/", "usr"), wraps=wraps, tmpfs=tmpfs, place=PLACE)
    return ["unshare", "--mount", "--propagation", "unchanged", "sh", "-c", script, "sh", root, build, *words]


def problem():
    """Why trees cannot be made here; None."""
    if os.geteuid() != 0:
        return "making accounts needs root, also that of `unshare --map-root-user --map-auto`"
    with tempfile.TemporaryDirectory() as folder:
        for name in ("usr", "dev", "proc", "build"):
            os.mkdir(os.path.join(folder, name))
        for link in ("lib", "lib64"):
            os.symlink("usr/" + link, os.path.join(folder, link))
        done = subprocess.run(in_tree(folder, "/usr", ["/usr/bin/true"]), capture_output=True, text=True, check=False)
    return f"no root file system of one's own here: {done.stderr.strip()}" if done.returncode else None


PROBLEM = problem()
needs_tree = pytest.mark.skipif(PROBLEM is not None, reason=PROBLEM or "")


def hand_over(listener):
    """Descriptor 3 of a child is the listener. In the child: this process may need its own 3 all the time."""
    def prepare():
        os.dup2(listener.fileno(), 3)
        os.set_inheritable(3, True)
    return {"env": os.environ | {"LISTEN_FDS": "1"}, "close_fds": False, "preexec_fn": prepare}


def first_uid(number):
    """Of a range of 1000 for a tree of this process."""
    with open("/proc/self/uid_map", encoding="ascii") as file:
        known = max(int(first) + int(count) for first, _, count in map(str.split, file))
    # 400 processes of this kind, 50 trees each
    if known > 21000000:
        return 200000 + (os.getpid() % 400) * 50000 + number % 50 * 1000
    # A user namespace holds 65536, of which the last are the system's: four processes, 14 trees each
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
    return 3000 + worker % 4 * 14000 + number % 14 * 1000


class Tree:
    ranges = 0

    def __init__(self, folder, **settings):
        os.makedirs(folder, exist_ok=True)
        self.root = os.path.join(folder, "tree")
        self.process = None
        self.cores = []
        self.wraps, self.tmpfs, self.before = {}, {}, []
        self.uid_min = first_uid(Tree.ranges)
        Tree.ranges += 1
        self.settings = {"core_user": "0", "uid_min": self.uid_min, "uid_max": self.uid_min + 999,
                         "allowed_groups": "staff-* projects sudo", "delete_grace": "0",
                         "end_sessions": "yes"} | settings
        self.make()

    def path(self, *parts):
        return os.path.join(self.root, *(part.lstrip("/") for part in parts))

    def make(self):
        for folder in ("home", "tmp", "var/lib", "var/log", "var/mail", "root", "usr", "build", "real", "run", "proc", "dev"):
            os.makedirs(self.path(folder))
        os.chmod(self.path("tmp"), 0o1777)
        for link in ("bin", "sbin", "lib", "lib64"):
            os.symlink("usr/" + link, self.path(link))
        if MODEL:
            shutil.copytree(os.path.join(MODEL, "etc"), self.path("/etc"), symlinks=True)
        else:
            os.makedirs(self.path("/etc/default"))
            for file in ("/etc/login.defs", "/etc/ld.so.cache", "/etc/default/useradd"):
                shutil.copy(file, self.path(file))
        self.write("/etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\n")
        shutil.rmtree(self.path("/etc/skel"), ignore_errors=True)
        self.write("/etc/skel/.bashrc", "# shell\n" * 100)
        self.write("/etc/skel/.config/app/settings", "colour = blue\n")
        self.make_databases()
        self.write_settings()

    def make_databases(self):
        people = [("root", 0, "/root", "/bin/bash"), ("daemon", 1, "/usr/sbin", "/usr/sbin/nologin"),
                  ("mail", 8, "/var/mail", "/usr/sbin/nologin"), ("local", 1000, "/home/local", "/bin/bash")]
        groups = [("root", 0), ("daemon", 1), ("mail", 8), ("sudo", 27), ("local", 1000), ("staff-a", 2001),
                  ("staff-b", 2002), ("staff-low", 300), ("projects", 2003), ("other", 2004)]
        for database, mode, lines in (
                ("passwd", 0o644, {n: f"{n}:x:{u}:{u}::{h}:{s}" for n, u, h, s in people}),
                ("shadow", 0o640, {n: f"{n}:*:19000:0:99999:7:::" for n, *_ in people}),
                ("group", 0o644, {n: f"{n}:x:{g}:" for n, g in groups}),
                ("gshadow", 0o640, {n: f"{n}:*::" for n, _ in groups})):
            there = self.read(f"/etc/{database}") if MODEL else ""
            known = {line.split(":")[0] for line in there.splitlines()}
            self.write(f"/etc/{database}", there + "".join(line + "\n" for n, line in lines.items() if n not in known), mode)

    def write(self, path, content, mode=0o644):
        path = self.path(path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(content)
        os.chmod(path, mode)

    def read(self, path):
        with open(self.path(path), encoding="utf-8", errors="surrogateescape") as file:
            return file.read()

    def write_settings(self, **more):
        self.settings |= more
        self.write("/etc/rolebridge/accounts.conf", "".join(f"{k} = {v}\n" for k, v in self.settings.items()))

    def wrap(self, program, script, folder="sbin"):
        """A shell script in the program's place; the program itself is $REAL."""
        path = f"/wrap-{program}"
        self.write(path, f"#!/bin/sh\nREAL=/real/{program}\n{script}\n", 0o755)
        self.wraps[program] = folder, path

    def unwrap(self):
        self.wraps = {}

    def command(self, *words):
        """Words run in the tree, with its mounts."""
        wraps = "".join(
            f"touch $tree/real/{name}; mount --bind $tree/usr/{folder}/{name} $tree/real/{name}\n"
            f"mount --bind $tree{path} $tree/usr/{folder}/{name}\n" for name, (folder, path) in self.wraps.items())
        tmpfs = "".join(
            f"cp -a $tree{path} $tree{path}.orig; mount -t tmpfs -o size={size},mode=755 small $tree{path}\n"
            f"cp -a $tree{path}.orig/. $tree{path}/; rm -r $tree{path}.orig\n" for path, size in self.tmpfs.items())
        return in_tree(self.root, os.path.abspath(BUILD), words, wraps, tmpfs)

    def run(self, *words, check=True):
        done = subprocess.run(self.command(*words), capture_output=True, text=True, check=False, timeout=PATIENCE_S)
        assert not check or done.returncode == 0, done.stderr
        return done

    @property
    def socket(self):
        return self.path("/run/accounts.sock")

    def start(self, wait=True, listener=None):
        """listener: the socket as its unit would hand it over."""
        if listener is None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.socket)
        words = ["--socket", "/run/accounts.sock"] if listener is None else []
        handed = {} if listener is None else hand_over(listener)
        self.log = open(os.path.join(os.path.dirname(self.root), "helper.log"), "ab")  # noqa: SIM115
        self.process = subprocess.Popen(self.command(*self.before, "/build/rolebridge-accounts", *words),
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, **handed)
        if wait:
            wait_for(lambda: "accounts.started" in self.said(), "the helper to start", self.process)
        return self

    def said(self):
        with open(os.path.join(os.path.dirname(self.root), "helper.log"), encoding="utf-8", errors="replace") as file:
            return file.read()

    def forget_log(self):
        with open(os.path.join(os.path.dirname(self.root), "helper.log"), "wb"):
            pass

    def core(self, greet=True):
        core = Core(self.socket, greet)
        self.cores.append(core)
        return core

    def stop(self):
        for core in self.cores:
            core.close()
        self.cores = []
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(PATIENCE_S)
        self.process = None
        self.log.close()
        assert status == 0, self.said()

    def kill(self):
        self.process.kill()
        self.ended()

    def ended(self):
        """The helper ends by itself, or was killed by what it ran."""
        self.process.wait(PATIENCE_S)
        self.process = None
        self.log.close()
        for core in self.cores:
            core.close()
        self.cores = []

    def restart(self):
        self.forget_log()
        return self.start()

    # --- what is there ---

    def lines(self, database):
        return {line.split(":")[0]: line.split(":")[1:] for line in self.read(f"/etc/{database}").splitlines()}

    def account(self, name):
        return self.lines("passwd").get(name)

    def groups_of(self, name):
        return sorted(g for g, fields in self.lines("group").items() if name in fields[2].split(","))

    def groups_of_all(self, group):
        """Who is a member."""
        return [name for name in self.lines("group")[group][2].split(",") if name]

    def expiry(self, name):
        return self.lines("shadow")[name][6]

    def snapshot(self):
        """Everything that an account leaves somewhere."""
        databases = {name: self.read(f"/etc/{name}") for name in ("passwd", "shadow", "group", "gshadow")}
        return databases | {"home": sorted(os.listdir(self.path("/home")))}


@contextlib.contextmanager
def spawn_as(uid, *words):
    """A process of that uid; None: the words see to it themselves."""
    as_whom = {} if uid is None else {"user": uid, "group": uid, "extra_groups": []}
    process = subprocess.Popen(words or (sys.executable, "-c", "import time; time.sleep(600)"), cwd="/", **as_whom)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
