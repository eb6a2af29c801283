"""A store that cannot be written: a full disk, a lock held by somebody else."""
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from bridge import Bridge
from company import attempt, config, ldif, people, read, rows

HERE = Path(__file__).resolve()
FEW, MANY = 40, 4000
NAMESPACE = "ROLEBRIDGE_TEST_NAMESPACE"

# --- two users of one name


def test_damaged_names_raise_an_alarm(tmp_path):
    """Filling the index of names in idle time meets a name twice: nothing is dropped, and a person is told."""
    with Bridge(config(), {"people.ldif": ldif(range(FEW))}, folder=tmp_path) as bridge:
        assert read(bridge)["complete"]
        store = bridge.folder / "store.db"
        bridge.stop()
        with closing(sqlite3.connect(store)) as damaged:
            damaged.executescript("""
                DROP TRIGGER user_login_update; DELETE FROM login;
                UPDATE counter SET value = 0 WHERE name = 'named-user';
                UPDATE user SET username = (SELECT username FROM user WHERE id = 1) WHERE id = 2;
            """)
        bridge.start()
        bridge.ctl("users", "create", "hand", "--profile", "viewer")
        deadline = time.monotonic() + 60
        while not (alarms := [a for a in bridge.ctl("status")["alarms"] if a["kind"] == "store-damaged"]):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert "users 1 and 2 both have the name" in alarms[0]["text"]
        assert rows(store, "SELECT value FROM counter WHERE name = 'named-user'") == [(0,)]


# --- a full disk


def has_namespaces():
    return os.geteuid() == 0 and shutil.which("unshare") and subprocess.run(
        ["unshare", "-m", "sh", "-c", "mount -t tmpfs -o size=1m none /mnt"], capture_output=True,
        check=False).returncode == 0


@pytest.mark.skipif(not has_namespaces(), reason="needs root and a mount namespace of its own")
@pytest.mark.parametrize("case", ["first_sync", "changes", "by_hand", "at_start"])
def test_full_disk(case):
    """Each case runs in a mount namespace of its own, so that nothing is left mounted however it ends."""
    result = subprocess.run(["unshare", "-m", "--propagation", "private", sys.executable, HERE, case], timeout=600,
                            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True,
                            text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


class SmallDisk:
    """A tmpfs for the store; the rest of the instance lies elsewhere."""

    def __init__(self, folder, size):
        self.folder = folder / "disk"
        self.folder.mkdir()
        self._mount("-t", "tmpfs", "-o", f"size={size},mode=700", "none", self.folder)

    @staticmethod
    def _mount(*words):
        subprocess.run(["mount", *map(str, words)], check=True)

    def resize(self, size):
        self._mount("-o", f"remount,size={size}", self.folder)

    def leave(self, room):
        """So many bytes beside what lies there now."""
        disk = os.statvfs(self.folder)
        self.resize(disk.f_frsize * (disk.f_blocks - disk.f_bfree) + room)

    def fill(self):
        """Not a byte is left."""
        with open(self.folder / "ballast", "ab", buffering=0) as ballast:
            for size in (1 << 16, 4096, 1):
                try:
                    while True:
                        ballast.write(b"x" * size)
                except OSError:
                    pass

    def empty(self):
        (self.folder / "ballast").unlink()


def make(folder, size):
    disk = SmallDisk(folder, size)
    bridge = Bridge("", {"people.ldif": ldif(range(FEW))}, folder=folder)
    bridge.write("rolebridge.yaml", f"store: {disk.folder}/store.db\ncontrol_socket: control.sock\n{config()}")
    return disk, bridge


def says_full(answer):
    assert "full" in str(answer) and ("store-full" in str(answer) or "disk is full" in str(answer)), answer


def check_whole(store, before, after):
    """Each is as before or as after, and active people have one profile (it is a column: not none)."""
    seen = people(store)
    for name, value in seen.items():
        assert value in (before.get(name), after.get(name)), (name, value)
        assert value[1], name
    assert all(name in seen for name in before)
    return seen


def undisturbed(texts):
    """The state after each of the files was read in turn, on a disk that is large enough."""
    found = []
    with Bridge(config()) as bridge:
        for text in texts:
            bridge.write("people.ldif", text)
            assert read(bridge)["complete"]
            found.append(people(bridge.folder / "store.db"))
    return found


def case_first_sync(folder):
    disk, bridge = make(folder, "200m")
    bridge.write("people.ldif", ldif(range(MANY)))
    (after,) = undisturbed([ldif(range(MANY))])
    store = disk.folder / "store.db"
    with bridge:
        disk.leave(200 << 10)
        says_full(attempt(bridge, "sync", "corp"))
        check_whole(store, {}, after)
        assert bridge.ctl("status"), "it goes on answering"
        disk.resize("200m")
        report = read(bridge)
        assert report["complete"], report
        assert people(store) == after
        assert bridge.ctl("audit", "verify")["intact"]
        assert read(bridge)["changes_total"] == 0


def case_changes(folder):
    disk, bridge = make(folder, "200m")
    changed = ldif(range(5, MANY), shift=1)
    before, after = undisturbed([ldif(range(FEW)), changed])
    store = disk.folder / "store.db"
    with bridge:
        assert read(bridge)["complete"]
        bridge.write("people.ldif", changed)
        disk.fill()
        failed = attempt(bridge, "sync", "corp")
        says_full(failed)
        assert bridge.ctl("audit", "verify")["intact"]
        check_whole(store, before, after)
        disk.empty()
        report = read(bridge)
        assert report["complete"], report
        assert people(store) == after
        assert bridge.ctl("audit", "verify")["intact"]
        assert read(bridge)["changes_total"] == 0


def case_by_hand(folder):
    disk, bridge = make(folder, "200m")
    store = disk.folder / "store.db"
    with bridge:
        assert read(bridge)["complete"]
        before = people(store)
        disk.fill()
        refused = done = 0
        # Some fit into what the log's file already holds; each is refused whole or done whole.
        while refused < 3:
            audit = rows(store, "SELECT count(*) FROM audit")
            answer = attempt(bridge, "users", "create", f"hand{done}", "--profile", "viewer",
                             "--name", "x" * 900)
            if "code" in answer:
                says_full(answer)
                assert f"hand{done}" not in people(store)
                assert rows(store, "SELECT count(*) FROM audit") == audit
                refused += 1
            else:
                done += 1
                assert done < 2000
        after = people(store)
        assert set(after) == set(before) | {f"hand{i}" for i in range(done)}
        assert bridge.ctl("audit", "verify")["intact"]
        assert bridge.ctl("users", "show", "p000001"), "reading goes on"
        disk.empty()
        bridge.ctl("users", "disable", "p000020")
        assert people(store)["p000020"] != before["p000020"]
        bridge.ctl("users", "create", f"hand{done}", "--profile", "viewer")
        assert bridge.ctl("audit", "verify")["intact"]


def case_at_start(folder):
    """A daemon killed while the disk was full starts when there is room, and finishes what was ready."""
    disk, bridge = make(folder, "200m")
    changed = ldif(range(5, MANY), shift=1)
    before, after = undisturbed([ldif(range(FEW)), changed])
    store = disk.folder / "store.db"
    with bridge:
        assert read(bridge)["complete"]
        bridge.write("people.ldif", changed)
        disk.fill()
        says_full(attempt(bridge, "sync", "corp"))
        bridge.kill()
        disk.empty()
        bridge.start()
        check_whole(store, before, after)
        assert read(bridge)["complete"] and people(store) == after
        assert bridge.ctl("audit", "verify")["intact"]


# --- a locked store


class Lock:
    """Another process writes and does not come to an end."""

    def __init__(self, store):
        self.process = subprocess.Popen(
            [sys.executable, "-c",
             "import sqlite3, sys\n"
             "store = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=120)\n"
             "store.execute('BEGIN EXCLUSIVE')\n"
             "print('locked', flush=True)\n"
             "sys.stdin.read()\n", store], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "locked\n"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


def test_locked_store_refuses_in_time_and_works_afterwards():
    with Bridge(config(), {"people.ldif": ldif(range(50))}) as bridge:
        store = bridge.folder / "store.db"
        assert read(bridge)["complete"]
        before = people(store)
        bridge.write("people.ldif", ldif(range(2, 60), shift=1))
        with Lock(store):
            begun = time.monotonic()
            answer = attempt(bridge, "users", "disable", "p000010")
            took = time.monotonic() - begun
            assert "store-busy" in str(answer), answer
            assert 1 < took < 60, f"waits a while, but not for long: {took:.1f} s"
            assert len(bridge.ctl("users", "list")["users"]) == 50, "reading goes on"
            run = attempt(bridge, "sync", "corp")
            assert run["state"] == "failed" and "store-busy" in str(run), run
            assert people(store) == before
        bridge.ctl("users", "disable", "p000010")
        bridge.ctl("users", "enable", "p000010")
        assert read(bridge)["complete"]
        assert people(store) != before
        with closing(sqlite3.connect(store)) as other:
            assert other.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert bridge.ctl("audit", "verify")["intact"]


if __name__ == "__main__":
    import tempfile
    with tempfile.TemporaryDirectory(prefix="rolebridge-full-") as temporary:
        try:
            globals()[f"case_{sys.argv[1]}"](Path(temporary))
        finally:
            subprocess.run(["umount", "-l", Path(temporary) / "disk"], check=True)
