"""The daemon is compromised and speaks to the accounts helper as it likes: nothing but its own accounts is ever touched."""

import os
import random
import socket
import struct
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
from accounts_tree import (DELETE, DISABLE, DONE, ENABLE, ENSURE, HELLO, LIST, PATIENCE_S, REFUSED, Core, Tree,  # noqa: E402
                           ensure_body, frame, needs_tree, text, varint, wait_for)

pytestmark = needs_tree
VERSION = struct.pack("<I", 1)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    tree = Tree(str(tmp_path_factory.mktemp("tree")))
    tree.start()
    yield tree
    tree.stop()


@pytest.fixture
def core(tree):
    core = Core(tree.socket)
    yield core
    core.close()


USER = uuid.uuid4()
GOOD = ensure_body(USER, "anna")
HEAD = USER.bytes + text("anna")
MALFORMED = {
    "unknown type": frame(7, b""),
    "answer's type": frame(0x102, b"\0" * 8),
    "type with a descriptor's flag": frame(0x8002, GOOD),
    "greeting twice": frame(HELLO, VERSION),
    "empty account": frame(ENSURE, b""),
    "account with a byte too many": frame(ENSURE, GOOD + b"\0"),
    "account with a byte missing": frame(ENSURE, GOOD[:-1]),
    "flag that is none": frame(ENSURE, GOOD[:-1] + b"\2"),
    "name too long": frame(ENSURE, ensure_body(USER, "a" * 33)),
    "name with NUL": frame(ENSURE, ensure_body(USER, b"anna\0root")),
    "name that is no text": frame(ENSURE, ensure_body(USER, b"ann\xff")),
    "length past the end": frame(ENSURE, USER.bytes + varint(1 << 40) + b"anna"),
    "length in a long form": frame(ENSURE, USER.bytes + b"\x84\x00anna" + GOOD[21:]),
    "gecos too long": frame(ENSURE, ensure_body(USER, "anna", gecos="x" * 256)),
    "gecos with NUL": frame(ENSURE, ensure_body(USER, "anna", gecos=b"a\0b")),
    "home too long": frame(ENSURE, ensure_body(USER, "anna", home="/home/" + "a" * 250)),
    "too many groups": frame(ENSURE, ensure_body(USER, "anna", groups=["staff-a"] * 257)),
    "more groups than there are": frame(ENSURE, HEAD + b"\0\0\0\0\0\0\0\0" + varint(200) + b"\1"),
    "millions of groups": frame(ENSURE, HEAD + b"\0\0\0\0\0\0\0\0" + varint(1 << 30) + b"\1"),
    "user of 15 bytes": frame(DISABLE, USER.bytes[:15]),
    "user of 17 bytes": frame(DELETE, USER.bytes + b"\0"),
    "list of none": frame(LIST, USER.bytes + struct.pack("<I", 0)),
    "list of too many": frame(LIST, USER.bytes + struct.pack("<I", 257)),
    "frame of 4 GiB": struct.pack("<IH", 0xffffffff, ENSURE),
    "frame over the cap": struct.pack("<IH", 33 * 1024, ENSURE),
    "frame of one byte": struct.pack("<I", 1) + b"\2\0",
    "frame of nothing": struct.pack("<I", 0) + b"\0\0",
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_is_refused_and_ends_the_connection(tree, core, case):
    before = tree.snapshot()
    tree.forget_log()
    core.send(MALFORMED[case])
    result = core.receive()
    assert (result.status, result.code, result.changed) == (REFUSED, "malformed", False), result
    with pytest.raises((EOFError, ConnectionError)):
        core.receive()
    assert tree.snapshot() == before
    assert "accounts.message_refused" in tree.said()
    assert Core(tree.socket).welcome[3] == 0, "the next one is served"


@pytest.mark.parametrize("first", [frame(ENSURE, GOOD), frame(LIST, USER.bytes + VERSION), frame(HELLO, struct.pack("<I", 2)),
                                   frame(HELLO, b""), b"GET / HTTP/1.1\r\n\r\n"],
                         ids=["an account", "a list", "another version", "an empty greeting", "HTTP"])
def test_nothing_before_the_greeting(tree, first):
    core = Core(tree.socket, greet=False)
    core.send(first)
    with pytest.raises((EOFError, ConnectionError)):
        for _ in range(3):
            core.receive()
    assert tree.account("anna") is None


def test_wrong_uid_is_hung_up_on(tree):
    os.chmod(tree.socket, 0o666)
    for folder in (tree.root, tree.path("run")):
        os.chmod(folder, 0o755)
    ask = ("import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect('accounts.sock');"
           f"s.sendall({frame(HELLO, VERSION)!r}); s.settimeout(60); sys.exit(len(s.recv(100)))")
    folder = os.open(tree.path("run"), os.O_RDONLY)
    tree.forget_log()
    done = subprocess.run([sys.executable, "-c", ask], user=65534, group=65534, extra_groups=[], check=False,
                          timeout=PATIENCE_S, preexec_fn=lambda: os.fchdir(folder), capture_output=True, text=True)
    os.close(folder)
    assert done.returncode == 0 or "ConnectionResetError" in done.stderr or "BrokenPipe" in done.stderr, done.stderr
    assert "accounts.peer_refused uid=65534" in tree.said()


@pytest.mark.parametrize("flag", [0, 0x8000])
def test_descriptors_are_not_kept(tree, core, flag):
    folder = f"/proc/{tree.process.pid}/fd"
    before = len(os.listdir(folder))
    with open("/etc/passwd", "rb") as file, pytest.raises((EOFError, ConnectionError)):
        for _ in range(3):
            socket.send_fds(core.socket, [frame(LIST | flag, uuid.UUID(int=0).bytes + VERSION)], [file.fileno()])
            core.receive()
        core.receive()
    core.close()
    Core(tree.socket).close()
    wait_for(lambda: len(os.listdir(folder)) < before, "its connection and all that came with it to be closed")


def test_half_a_message_holds_up_nobody_for_long(tree):
    """Nor do as many connections as there may be: what is over is hung up on, or waits for a free place."""
    tree.forget_log()
    slow = [Core(tree.socket) for _ in range(7)]
    for core in slow:
        core.send(frame(ENSURE, GOOD)[:-1])
    other = Core(tree.socket)
    assert other.list() == [] and "accounts.connection_lost" not in tree.said()
    for core in slow:
        with pytest.raises((EOFError, ConnectionError)):
            core.receive()
    other.close()


def test_who_does_not_read_is_hung_up_on(tree):
    core = Core(tree.socket)
    core.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    # Answers of several MiB that nobody takes.
    core.socket.settimeout(0.2)
    request = frame(DISABLE, USER.bytes) * 1000
    try:
        for _ in range(2000):
            core.send(request)
    except (TimeoutError, ConnectionError):
        pass
    assert Core(tree.socket).list() == []
    core.close()


SYSTEM = ["root", "daemon", "mail", "local"]


def test_a_day_of_mischief(tree):
    """Requests of every kind, as wrong as can be, from a core that knows all names; then what is not its own is as before."""
    rng = random.Random(7)
    before = {d: {n: f for n, f in tree.lines(d).items()} for d in ("passwd", "shadow", "group", "gshadow")}
    names = SYSTEM + ["sudo", "staff-a", "anna", "bea", "anna", "bea", "carl", "dora", "../x", "-h", "a:b", "", "x" * 32, "systemd-x", "carl", "dora"]
    users = [uuid.UUID(int=rng.getrandbits(128)) for _ in range(12)]
    uids = [0, 0, 0, 1, 1000, 65534, 0xffffffff, tree.uid_min, tree.uid_min + 5, tree.uid_min + 999, tree.uid_min + 1000]
    shells = ["", "", "/bin/sh", "/bin/bash", "/bin/su", "/etc/passwd", "../sh", "/bin/sh\0"]
    homes = ["", "", "", "/home/anna", "/home/local", "/etc", "/", "/home/..", "/home/x/../../etc"]
    groups = [[], [], ["staff-a"], ["staff-b", "projects"], ["root"], ["staff-low"], ["sudo"], ["other"], ["anna"]]
    core = Core(tree.socket)
    for _ in range(600):
        kind = rng.choice([ENSURE] * 6 + [DISABLE, ENABLE, DELETE, LIST])
        body = rng.choice(users).bytes
        if kind == ENSURE:
            body = ensure_body(uuid.UUID(bytes=body), rng.choice(names), uid=rng.choice(uids), shell=rng.choice(shells),
                               home=rng.choice(homes), primary=rng.choice(["", "", "root", "projects"]),
                               groups=rng.choice(groups), enabled=rng.random() < 0.8)
        elif kind == LIST:
            body += VERSION
        core.send(frame(kind, body))
        answer = core.receive()
        if not isinstance(answer, tuple) and answer.code == "malformed":
            core.close()
            core = Core(tree.socket)
    entries = core.list()
    assert entries, "some were good"
    for database, lines in before.items():
        now = tree.lines(database)
        for name, fields in lines.items():
            # Members of groups that may be given: the only thing that changes beside accounts of its own.
            keep = slice(0, -1) if database in ("group", "gshadow") else slice(None)
            assert now[name][keep] == fields[keep], name
    for name, fields in tree.lines("passwd").items():
        if name not in before["passwd"]:
            assert tree.uid_min <= int(fields[1]) <= tree.uid_min + 999 and fields[4].startswith("/home/")
            assert fields[5] in ("/bin/sh", "/bin/bash") and name in {e.name for e in entries} | {"anna", "bea", "carl", "dora"}
    for group in ("root", "other", "staff-low"):
        assert tree.groups_of_all(group) == []
    uids_of = [int(f[1]) for f in tree.lines("passwd").values()]
    assert len(uids_of) == len(set(uids_of))


def test_pipelined_requests_are_answered_in_order(tree, core):
    users = [uuid.uuid4() for _ in range(20)]
    core.send(b"".join(frame(ENSURE, ensure_body(user, f"p{i}")) for i, user in enumerate(users)))
    results = [core.receive() for _ in users]
    assert [r.status for r in results] == [DONE] * 20
    assert [int(tree.account(f"p{i}")[1]) for i in range(20)] == [r.uid for r in results]


@pytest.mark.parametrize("how", ["writable by all", "of another user", "a link", "missing"])
def test_configuration_of_somebody_else_is_not_read(tmp_path, how):
    tree = Tree(str(tmp_path))
    path = tree.path("/etc/rolebridge/accounts.conf")
    if how == "writable by all":
        os.chmod(path, 0o666)
    elif how == "of another user":
        os.chown(path, 65534, 65534)
    elif how == "a link":
        os.rename(path, tree.path("/tmp/mine"))
        os.symlink("/tmp/mine", path)
        os.chown(tree.path("/tmp/mine"), 65534, 65534)
    else:
        os.unlink(path)
    done = tree.run("/build/rolebridge-accounts", "--socket", "/run/accounts.sock", check=False)
    assert done.returncode == 1 and "accounts.conf" in done.stderr
    assert not os.path.exists(tree.socket)


@pytest.mark.parametrize("folder", ["/home", "/var/lib/rolebridge-accounts", "/run"])
def test_folders_of_somebody_else_are_not_used(tmp_path, folder):
    tree = Tree(str(tmp_path))
    os.makedirs(tree.path(folder), exist_ok=True)
    os.chmod(tree.path(folder), 0o777)
    done = tree.run("/build/rolebridge-accounts", "--socket", "/run/accounts.sock", check=False)
    assert done.returncode == 1 and folder in done.stderr


def test_capabilities_are_given_up(tree):
    """Three, and KILL; also as the bound of all it starts."""
    with open(f"/proc/{tree.process.pid}/status", encoding="ascii") as file:
        status = dict(line.split(":", 1) for line in file.read().splitlines())
    assert [int(status[f"Cap{kind}"], 16) for kind in ("Prm", "Eff", "Bnd", "Inh", "Amb")] == [0x2b, 0x2b, 0x2b, 0, 0]
    assert int(status["NoNewPrivs"]) == 1
