"""Old rows of the audit log go, and what is left, with the archive, is still one chain; whoever meddles is found."""
import calendar
import json
import re
import select
import socket
import sqlite3
import threading
import time
import uuid

import pytest

import chain
from bridge import Bridge
from control import Control
from test_control import check

BASE = """
profiles:
  - {name: administrator, permissions: ["*:*@all"]}
  - {name: nothing, permissions: []}
policy: {default_profile: nothing}
"""
KEEP = BASE + "audit: {retention: 40d}\n"
ARCHIVE = BASE + "audit: {retention: 40d, archive: old}\n"
END_SECONDS = 120


def wait_for(what):
    end = time.monotonic() + END_SECONDS
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("it did not come")


def anchor(bridge):
    return bridge.ctl("status")["audit"]["anchor"]


def went(bridge, than=0):
    return wait_for(lambda: anchor(bridge) if anchor(bridge)["seq"] > than else None)


def verify(bridge, *words):
    result = bridge.run("audit", "verify", *words)
    assert result.stdout, result.stderr
    return result.returncode, json.loads(result.stdout)


def make(bridge, count, prefix="u"):
    for i in range(count):
        bridge.ctl("users", "create", f"{prefix}{i}")


@pytest.fixture(name="folder")
def make_folder(tmp_path):
    (tmp_path / "old").mkdir(mode=0o700)
    return tmp_path


def test_kept_for_ever(folder):
    """Nothing goes unless the configuration says so; then the rows that are too old, and no other."""
    with Bridge(BASE, folder=folder) as bridge:
        make(bridge, 5)
        last = bridge.ctl("status")["audit"]["last"]["seq"]
        chain.make_old(bridge, 1000)
        make(bridge, 2, "v")
        assert verify(bridge)[1]["rows"] == last + 2
        before = bridge.ctl("audit", "list", "--limit", 1000)["rows"]
        bridge.write_config(KEEP)
        bridge.stop()
        bridge.start()
        found = went(bridge)
        assert found["seq"] == last and found["moved"] > found["at"]
        code, verdict = verify(bridge)
        assert code == 0 and verdict["intact"] and verdict["rows"] == 3 and verdict["anchor"] == found
        rows = bridge.ctl("audit", "list", "--limit", 1000)["rows"]
        assert rows[1:] == before[:2]
        assert rows[0]["action"] == "audit.prune" and rows[0]["actor"] == "timer" and rows[0]["object"] == "audit"
        assert rows[0]["detail"] == {"from": 1, "to": last, "before": "0" * 64, "hash": before[2]["hash"]}
        # What is left is found by person, too; what went is not.
        assert bridge.ctl("audit", "list", "--person", "u1")["rows"] == []
        assert [row["action"] for row in bridge.ctl("audit", "list", "--person", "v1")["rows"]] == ["user.create"]
        status = bridge.ctl("status")
        assert status["audit"]["rows"] == 3 and status["audit"]["first"]["seq"] == last + 1
        control = Control(bridge.folder / "control.sock")
        check(control.ask("GET", "audit/verify")[1], "/api/v1/audit/verify")
        check(control.ask("GET", "status")[1], "/api/v1/status")
        control.close()
        # Heads noted earlier: of what is kept; of what went; of neither.
        assert verify(bridge, "--head", before[0]["hash"])[1]["asked_head"] == "met"
        assert verify(bridge, "--head", before[2]["hash"])[1]["asked_head"] == "met"
        gone = before[-1]
        for head, state in ((f"{gone['seq']}:{gone['hash']}", "gone"), (gone["hash"], "unknown"),
                            (f"{before[0]['seq']}:{gone['hash']}", "missing")):
            code, verdict = verify(bridge, "--head", head)
            assert code == 1 and verdict["asked_head"] == state, verdict
            assert verdict["intact"] == (state != "missing") and verdict["problem"]
        human = bridge.human("audit", "verify", "--head", f"{gone['seq']}:{gone['hash']}").stdout
        assert "intact" in human and "went by retention" in human, human


def test_again(folder):
    """What tells that rows went goes itself, later; the last one stays."""
    with Bridge(KEEP, folder=folder) as bridge:
        for i in range(3):
            make(bridge, 3, f"a{i}")
            before = anchor(bridge)["seq"]
            chain.make_old(bridge, 50)
            found = went(bridge, before)
            code, verdict = verify(bridge)
            assert code == 0, verdict
            assert verdict["rows"] == 1 and verdict["head_seq"] == found["seq"] + 1


def test_young_rows_stay(folder):
    with Bridge(KEEP, folder=folder) as bridge:
        make(bridge, 6)
        chain.make_old(bridge, 39)
        make(bridge, 1, "w")
        wait_for(lambda: "audit.head" in bridge.logged())
        chain.make_old(bridge, 2, only=4)
        assert went(bridge)["seq"] == 4


def test_minimum(folder):
    with Bridge(BASE, folder=folder) as bridge:
        for text, problem in (("{retention: 29d}", "retention"), ("{archive: old}", "archive"),
                              ("{retention: -1d}", "retention"), ("{keep: 40d}", "keep")):
            bridge.write_config(f"{BASE}audit: {text}\n")
            result = bridge.human("check")
            assert result.returncode == 1 and problem in result.stdout + result.stderr, result


# --- the archive ---

def files(folder):
    return sorted((folder / "old").iterdir())


def test_archive(folder):
    """Archive and store are one chain: the same rows as before."""
    with Bridge(ARCHIVE, folder=folder) as bridge:
        make(bridge, 5)
        chain.make_old(bridge, 41)
        make(bridge, 2, "v")
        found = went(bridge)
        everything = bridge.human("audit", "export").stdout
        first = files(folder)
        assert len(first) == 1 and first[0].stat().st_mode & 0o777 == 0o600
        assert re.fullmatch(rf"0*1-0*{found['seq']}-0{{64}}-{found['hash']}\.jsonl", first[0].name)
        code, verdict = verify(bridge, "--archive", folder / "old")
        assert code == 0 and verdict["intact"] and verdict["rows"] == verdict["store"]["head_seq"], verdict
        assert verdict["archive"] == {"files": 1, "from": 1, "to": found["seq"]}
        chain.make_old(bridge, 41)
        found = went(bridge, found["seq"])
        assert len(files(folder)) == 2
        code, verdict = verify(bridge, "--archive", folder / "old")
        assert code == 0 and verdict["rows"] == verdict["store"]["head_seq"], verdict
        lines = "".join(path.read_text() for path in files(folder)).splitlines()
        assert [json.loads(line)["seq"] for line in lines] == list(range(1, found["seq"] + 1))
        assert json.loads(lines[0]) == json.loads(first[0].read_text().splitlines()[0])
        assert everything
        # A head of the archive is found there.
        head = json.loads(lines[2])
        code, verdict = verify(bridge, "--archive", folder / "old", "--head", f"3:{head['hash']}")
        assert code == 0 and verdict["asked_head"] == "met", verdict
        code, verdict = verify(bridge, "--archive", folder / "old", "--head", "f" * 64)
        assert code == 1 and verdict["asked_head"] == "missing", verdict
        assert "intact" in bridge.human("audit", "verify", "--archive", folder / "old").stdout


class Between:
    """A socket before the control socket: something happens before the second question of the chain is passed on."""

    def __init__(self, bridge, happens):
        self.path, self.behind = bridge.folder / "between.sock", str(bridge.folder / "control.sock")
        self.happens, self.asked, self.failed = happens, 0, None
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.carry, args=(client,), daemon=True).start()

    def connect(self):
        behind = socket.socket(socket.AF_UNIX)
        behind.connect(self.behind)
        return behind

    def look(self, data):
        """Did it happen now? The daemon may be another one then."""
        self.asked += data.count(b" /api/v1/audit/verify")
        if self.asked < 2 or not self.happens:
            return False
        happens, self.happens = self.happens, None
        try:
            happens()
        except Exception as error:  # pylint: disable=broad-except
            self.failed = error
        return True

    def carry(self, client):
        behind = self.connect()
        with client:
            while True:
                source = select.select([client, behind], [], [])[0][0]
                data = source.recv(65536)
                if not data:
                    break
                if source is client and self.look(data):
                    behind.close()
                    behind = self.connect()
                (behind if source is client else client).sendall(data)
        behind.close()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(END_SECONDS)


def test_rows_go_while_it_is_verified(folder):
    """Archive and store are read one after the other: what went from the one to the other meanwhile is nothing broken."""
    with Bridge(ARCHIVE, folder=folder) as bridge:
        make(bridge, 3)
        chain.make_old(bridge, 41)
        first = went(bridge)["seq"]
        make(bridge, 3, "v")

        def happens():
            chain.make_old(bridge, 41)
            went(bridge, first)

        between = Between(bridge, happens)
        try:
            code, verdict = verify(bridge, "--archive", folder / "old", "--socket", between.path)
        finally:
            between.close()
        assert between.happens is None and between.failed is None
        assert code == 0 and verdict["intact"] and verdict["archive"]["files"] == 2, verdict
        assert verdict["rows"] == verdict["store"]["head_seq"] and verdict["store"]["anchor"]["seq"] > first


def test_archive_away(folder):
    """While the archive cannot be written nothing goes, and an alarm says so; then it goes, and the alarm with it."""
    (folder / "old").rmdir()
    with Bridge(ARCHIVE, folder=folder) as bridge:
        make(bridge, 3)
        chain.make_old(bridge, 41)
        alarm = wait_for(lambda: [a for a in bridge.ctl("alarms", "list")["alarms"] if a["kind"] == "audit-retention"])
        assert "old" in alarm[0]["text"]
        assert anchor(bridge)["seq"] == 0
        (folder / "old").mkdir()
        bridge.stop()
        bridge.start()
        went(bridge)
        wait_for(lambda: bridge.ctl("alarms", "list")["alarms"] == [])


def test_file_without_prune(folder):
    """Cut between the file and the rows: it is written once, and the rows go by it."""
    with Bridge(ARCHIVE, folder=folder) as bridge:
        make(bridge, 5)
        chain.make_old(bridge, 41)
        found = went(bridge)
        bridge.stop()
        path, = files(folder)
        data = path.read_bytes()
        with chain.opened(bridge) as store:
            # As before the rows went: put them back from the file, with the anchor.
            store.execute("DELETE FROM audit")
            for line in data.decode().splitlines():
                row = json.loads(line)
                names = []
                for text in (row["actor"], row["action"]):
                    names.append(store.execute("SELECT id FROM name WHERE text = ?", (text,)).fetchone()[0])
                detail = line[line.index(',"detail":') + 10:line.rindex(',"hash":"')]
                at = calendar.timegm(time.strptime(row["at"], "%Y-%m-%dT%H:%M:%SZ"))
                object_ = row["object"]
                if object_.startswith("user:"):
                    object_ = uuid.UUID(object_[5:]).bytes
                store.execute("INSERT INTO audit (seq, at_s, actor, action, object, request, detail, hash, request_uuid) "
                              "VALUES (?, ?, ?, ?, ?, 0, ?, ?, ?)",
                              (row["seq"], at, *names, object_, detail, bytes.fromhex(row["hash"]),
                               uuid.UUID(row["request"]).bytes if row["request"] else None))
            store.execute("UPDATE audit_anchor SET seq = 0, hash = zeroblob(32)")
        bridge.start()
        assert went(bridge)["seq"] == found["seq"]
        assert files(folder) == [path] and path.read_bytes() == data
        code, verdict = verify(bridge, "--archive", folder / "old")
        assert code == 0, verdict


# --- whoever meddles ---

def attack(store, sql, *values):
    store.execute(sql, values)


def remove_more(store):
    """The anchor moved over rows that did not go, and these removed."""
    seq, hash_ = store.execute("SELECT seq, hash FROM audit ORDER BY seq LIMIT 1").fetchone()
    store.execute("UPDATE audit_anchor SET seq = ?, hash = ?", (seq, hash_))
    store.execute("DELETE FROM audit WHERE seq <= ?", (seq,))


def forge_prune(store, **changes):
    """The last row audit.prune tells something else; the chain is made anew from there."""
    seq, detail = store.execute("SELECT seq, detail FROM audit WHERE action = (SELECT id FROM name WHERE "
                                "text = 'audit.prune') ORDER BY seq DESC LIMIT 1").fetchone()
    told = {**json.loads(detail), **changes}
    store.execute("UPDATE audit SET detail = ? WHERE seq = ?", (json.dumps(told, separators=(",", ":")), seq))
    chain.seal_again(store)


ATTACKS = {
    "first row removed": lambda s: attack(s, "DELETE FROM audit WHERE seq = (SELECT min(seq) FROM audit)"),
    "row in the middle removed": lambda s: attack(s, "DELETE FROM audit WHERE seq = (SELECT max(seq) - 1 FROM audit)"),
    "row changed": lambda s: attack(s, "UPDATE audit SET at_s = at_s + 1 WHERE seq = (SELECT max(seq) - 1 FROM audit)"),
    "row's detail changed": lambda s: attack(s, "UPDATE audit SET detail = '{}' WHERE seq = (SELECT max(seq) FROM audit)"),
    "row put in": lambda s: attack(s, "INSERT INTO audit SELECT seq + 1, at_s, actor, action, object, request, detail, "
                                      "hash, request_uuid FROM audit ORDER BY seq DESC LIMIT 1"),
    "anchor moved back": lambda s: attack(s, "UPDATE audit_anchor SET seq = seq - 1"),
    "anchor moved on": lambda s: attack(s, "UPDATE audit_anchor SET seq = seq + 1"),
    "anchor's hash changed": lambda s: attack(s, "UPDATE audit_anchor SET hash = zeroblob(32)"),
    "anchor reset": lambda s: attack(s, "UPDATE audit_anchor SET seq = 0, hash = zeroblob(32)"),
    "anchor moved over a row that was removed": remove_more,
    "prune row tells more": lambda s: forge_prune(s, to=7),
    "prune row tells less": lambda s: forge_prune(s, to=1),
    "prune row tells another hash": lambda s: forge_prune(s, hash="1" * 64),
    "prune row of nothing": lambda s: forge_prune(s, **{"from": 9, "to": 8}),
    "prune row of another shape": lambda s: forge_prune(s, more=1),
    "prune row of a row to come": lambda s: forge_prune(s, to=10**6),
    "prune row removed, chain made anew": lambda s: (
        attack(s, "UPDATE audit SET action = (SELECT id FROM name WHERE text = 'user.create') WHERE action = (SELECT id "
                  "FROM name WHERE text = 'audit.prune')"), chain.seal_again(s)),
}


@pytest.fixture(scope="module", name="pruned")
def prune(tmp_path_factory):
    """A store whose first rows went to an archive, and the rows it had before."""
    folder = tmp_path_factory.mktemp("pruned")
    (folder / "old").mkdir(mode=0o700)
    with Bridge(ARCHIVE, folder=folder) as bridge:
        make(bridge, 4)
        chain.make_old(bridge, 41)
        make(bridge, 4, "v")
        went(bridge)
        bridge.stop()
        store = (folder / "store.db").read_bytes()
        archive = {path.name: path.read_bytes() for path in files(folder)}
        yield bridge, store, archive


@pytest.fixture(name="whole")
def restore(pruned):
    bridge, store, archive = pruned
    bridge.stop()
    for suffix in ("", "-wal", "-shm"):
        (bridge.folder / f"store.db{suffix}").unlink(missing_ok=True)
    (bridge.folder / "store.db").write_bytes(store)
    for path in files(bridge.folder):
        path.unlink()
    for name, data in archive.items():
        (bridge.folder / "old" / name).write_bytes(data)
    yield bridge
    bridge.stop()


def test_nothing_meddled(whole):
    whole.start()
    assert verify(whole)[0] == 0
    assert verify(whole, "--archive", whole.folder / "old")[0] == 0


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_on_store(whole, name):
    with chain.opened(whole) as store:
        ATTACKS[name](store)
    whole.start()
    code, verdict = verify(whole)
    assert code == 1 and not verdict["intact"] and verdict["problem"] and verdict["broken_seq"] > 0, verdict
    assert "broken" in whole.human("audit", "verify").stdout
    assert verify(whole, "--archive", whole.folder / "old")[0] == 1


def test_prune_row_put_at_the_end(whole):
    """Whoever may write the store may let rows go as the daemon does; the archive and a head noted earlier tell."""
    with chain.opened(whole) as store:
        before = list(chain.rows(store))
        seq, hash_ = before[1][0], before[1][-1]
        told = store.execute("SELECT detail FROM audit WHERE action = (SELECT id FROM name WHERE "
                             "text = 'audit.prune')").fetchone()[0]
        told = json.loads(told)
        detail = json.dumps({"from": told["to"] + 1, "to": seq, "before": told["hash"], "hash": hash_.hex()},
                            separators=(",", ":"))
        store.execute("INSERT INTO audit SELECT max(seq) + 1, at_s, (SELECT id FROM name WHERE text = 'timer'), "
                      "(SELECT id FROM name WHERE text = 'audit.prune'), 'audit', 0, ?, hash, NULL FROM audit", (detail,))
        store.execute("UPDATE audit_anchor SET seq = ?, hash = ?", (seq, hash_))
        store.execute("DELETE FROM audit WHERE seq <= ?", (seq,))
        chain.seal_again(store)
    whole.start()
    assert verify(whole)[0] == 0
    code, verdict = verify(whole, "--archive", whole.folder / "old")
    assert code == 1 and "archive ends" in verdict["problem"], verdict
    code, verdict = verify(whole, "--head", f"{before[0][0]}:{before[0][-1].hex()}")
    assert code == 1 and verdict["asked_head"] == "gone"


def edit(path, change):
    path.write_bytes(change(path.read_bytes()))


ARCHIVE_ATTACKS = {
    "a row changed": lambda path: edit(path, lambda data: data.replace(b'"u1"', b'"u9"', 1)),
    "a row removed": lambda path: edit(path, lambda data: b"".join(data.splitlines(True)[:1] + data.splitlines(True)[2:])),
    "the last row removed": lambda path: edit(path, lambda data: b"".join(data.splitlines(True)[:-1])),
    "the first row removed": lambda path: edit(path, lambda data: b"".join(data.splitlines(True)[1:])),
    "a row put in": lambda path: edit(path, lambda data: data + data.splitlines(True)[-1]),
    "two rows swapped": lambda path: edit(path, lambda data: b"".join([data.splitlines(True)[1], data.splitlines(True)[0]]
                                                                      + data.splitlines(True)[2:])),
    "cut off": lambda path: edit(path, lambda data: data[:-10]),
    "emptied": lambda path: edit(path, lambda data: b""),
    "a space more": lambda path: edit(path, lambda data: data.replace(b'"seq":2', b'"seq": 2', 1)),
    "a NUL": lambda path: edit(path, lambda data: data.replace(b'"seq":2', b'"seq":2\0', 1)),
    "no JSON": lambda path: edit(path, lambda data: b"\xff\xfe" * 100),
    "renamed": lambda path: path.rename(path.with_name(path.name.replace("-0000000000000000005-", "-0000000000000000004-"))),
    "another hash in its name": lambda path: path.rename(path.with_name(path.name[:-70] + "1" * 64 + ".jsonl")),
    "gone": lambda path: path.unlink(),
    "a second one of the same rows": lambda path: path.with_name(
        path.name[:-70] + "1" * 64 + ".jsonl").write_bytes(path.read_bytes()),
}


@pytest.mark.parametrize("name", ARCHIVE_ATTACKS)
def test_attack_on_archive(whole, name):
    path, = files(whole.folder)
    before = path.read_bytes()
    ARCHIVE_ATTACKS[name](path)
    assert not path.exists() or len(files(whole.folder)) > 1 or path.read_bytes() != before
    whole.start()
    result = whole.run("audit", "verify", "--archive", whole.folder / "old")
    assert result.returncode == 1, result.stdout
    if result.stdout:
        assert not json.loads(result.stdout)["intact"]
    assert verify(whole)[0] == 0


def test_broken_rows_stay(folder):
    """Evidence does not go: rows that do not verify stay, and an alarm says so."""
    with Bridge(BASE, folder=folder) as bridge:
        make(bridge, 4)
        chain.make_old(bridge, 50)
        bridge.write_config(KEEP)
        bridge.stop()
        with chain.opened(bridge) as store:
            store.execute("UPDATE audit SET detail = '{}' WHERE seq = 2")
        bridge.start()
        alarm = wait_for(lambda: [a for a in bridge.ctl("alarms", "list")["alarms"] if a["kind"] == "audit-retention"])
        assert "row 2" in alarm[0]["text"]
        assert anchor(bridge)["seq"] == 0


def test_triggers(whole):
    """Not even by hand, while the guards are there."""
    store = sqlite3.connect(whole.folder / "store.db", isolation_level=None)
    last = store.execute("SELECT max(seq) FROM audit").fetchone()[0]
    for sql in ("DELETE FROM audit", f"DELETE FROM audit WHERE seq = {last}", "UPDATE audit SET at_s = 0",
                "UPDATE audit_anchor SET seq = seq - 1", "UPDATE audit_anchor SET seq = seq + 1",
                "DELETE FROM audit_anchor", "UPDATE audit_anchor SET hash = zeroblob(32)",
                "INSERT INTO audit_anchor VALUES (2, 0, zeroblob(32), 0, 0)",
                "INSERT OR REPLACE INTO audit_anchor VALUES (1, 0, zeroblob(32), 0, 0)"):
        with pytest.raises(sqlite3.IntegrityError):
            store.execute(sql)
    store.close()
