"""Backups are whole and verified; a restore puts one in place, voids what must not come back, and waits."""
import hashlib
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import stat
import subprocess
import tempfile
import time
from contextlib import closing
from pathlib import Path

import pytest

from bridge import CTL, DAEMON, ROOT, Bridge, Refused
from control import Bearer, Control

BASE = """
profiles:
  - {name: administrator, permissions: ["*:*@all"]}
  - {name: viewer, permissions: ["accounts:read@own"]}
policy: {default_profile: viewer, limits: {first_sync_administrators: true}}
sources:
  - {name: people, type: csv, path: people.csv, key: id, interval: 0}
"""
PEOPLE = "id,uid,mail\n" + "".join(f"{i},p{i},p{i}@a.example\n" for i in range(20))
COMMAND_SECONDS = 300
END_SECONDS = 120


def wait_for(what):
    end = time.monotonic() + END_SECONDS
    while not what():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


@pytest.fixture(name="bridge")
def make_bridge(tmp_path):
    with Bridge(BASE, {"people.csv": PEOPLE}, folder=tmp_path) as bridge:
        bridge.ctl("users", "create", "root", "--email", "root@a.example", "--profile", "administrator")
        bridge.ctl("sync", "people")
        yield bridge


def daemon(bridge, *words):
    """rolebridged by hand, with --json."""
    result = subprocess.run([DAEMON, "--config", bridge.config, *map(str, words), "--json"], stdin=subprocess.DEVNULL,
                            capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
    return result.returncode, json.loads(result.stdout) if result.stdout.startswith("{") else result.stderr


def backup(bridge, name="backup.db"):
    path = bridge.folder / name
    return path, bridge.ctl("backup", path)["result"]


def restore(bridge, path, *words):
    """By rolebridgectl, as operators do; the daemon must not run."""
    result = bridge.run("restore", path, *words)
    return result.returncode, json.loads(result.stdout or "{}")


def restored(bridge, path, *words):
    bridge.stop()
    status, answer = restore(bridge, path, *words)
    assert status == 0, answer
    bridge.start()
    return answer


def opened(pid):
    """Files of a process, by name."""
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{name}"))
        except FileNotFoundError:
            pass
    return found


def names(path, sql="SELECT username FROM user ORDER BY 1"):
    with closing(sqlite3.connect(path)) as db:
        return [row[0] for row in db.execute(sql)]


def users(bridge):
    return {user["username"] for user in bridge.ctl("users", "list", "--limit", 1000)["users"]}


def actions(bridge):
    return [row["action"] for row in bridge.ctl("audit", "list", "--limit", 1000)["rows"]]


def left(bridge):
    """What lies beside the store."""
    return sorted(path.name for path in bridge.folder.glob("store.db*"))


def bytes_of(bridge):
    return {name: hashlib.sha256((bridge.folder / name).read_bytes()).hexdigest() for name in left(bridge)
            if not name.endswith(("-shm", ".lock"))}


# --- backups ---

def test_backup(bridge):
    """A file of its own, for its owner alone, that tells what it is; with the row that says it was made."""
    before = left(bridge)
    path, told = backup(bridge)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and path.stat().st_size == told["size"]
    assert hashlib.blake2b(path.read_bytes(), digest_size=32).hexdigest() == told["digest"]
    assert told["users"] == 21 and set(names(path)) == users(bridge)
    assert left(bridge) == before and [p.name for p in bridge.folder.glob("backup*")] == ["backup.db"]
    assert actions(bridge)[0] == "store.backup"
    head = bridge.ctl("audit", "verify")
    assert told["head"] == f"{head['head_seq']}:{head['head']}" and told["audit_rows"] == head["rows"]
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    text = bridge.human("backup", bridge.folder / "again.db").stdout
    assert "verify, head" in text and "sealing key" in text


def test_backup_holds_no_keys(bridge):
    for key in ("seal.key", "web.key"):
        secret = (bridge.folder / key).read_bytes()
        assert len(secret) >= 32 and secret.strip() not in backup(bridge)[0].read_bytes()


def test_backup_while_writing(bridge):
    """A snapshot: each change is in it whole, or not at all, and its chain verifies."""
    script = f"for i in $(seq 200); do '{CTL}' --config '{bridge.config}' users create w$i >/dev/null || exit 1; done"
    with subprocess.Popen(["sh", "-c", script]) as writer:
        for i in range(3):
            path, told = backup(bridge, f"b{i}.db")
            assert told["users"] == len(names(path))
        assert writer.wait(COMMAND_SECONDS) == 0
    with closing(sqlite3.connect(bridge.folder / "b2.db")) as db:
        audited, = db.execute("SELECT count(*) FROM audit a JOIN name n ON n.id = a.action "
                              "WHERE n.text = 'user.create'").fetchone()
        assert audited == told["users"]


def test_backup_twice(bridge):
    """The newer takes the older's place, whole."""
    first = backup(bridge)[0].read_bytes()
    bridge.ctl("users", "create", "later")
    path, _ = backup(bridge)
    assert path.read_bytes() != first and "later" in names(path)


@pytest.mark.parametrize("place, words", [("none/backup.db", "cannot write"), ("folder", "regular file"),
                                          ("pipe", "regular file"), ("to-pipe", "regular file"),
                                          ("/dev/full", "regular file")])
def test_backup_nowhere(bridge, place, words):
    (bridge.folder / "folder").mkdir()
    os.mkfifo(bridge.folder / "pipe")
    (bridge.folder / "to-pipe").symlink_to("pipe")
    before = sorted(os.listdir(bridge.folder))
    result = bridge.run("backup", bridge.folder / place)
    assert result.returncode == 1 and words in result.stderr
    assert "store.backup" not in actions(bridge) and sorted(os.listdir(bridge.folder)) == before
    bridge.stop()
    status, answer = daemon(bridge, "--backup", bridge.folder / place)
    assert status == 1 and words in answer["message"]
    assert not [name for name in left(bridge) if "copy" in name]


KEPT_NAME = re.compile(r"rolebridge-\d{8}T\d{6}Z\.db")


def test_backups_of_which_some_stay(bridge):
    """The newest by name, with the one just made; nothing that is not named like them goes."""
    kept = bridge.folder / "kept"
    (kept / "rolebridge-19990101T000000Z.db.d").mkdir(parents=True)
    others = ["rolebridge-20200101T000000Z.db~", "rolebridge-2020.db", "rolebridge-mine.db", "xrolebridge-20200101T000000Z.db",
              "rolebridge-20200101t000000Z.db", "notes", "rolebridge-19990101T000000Z.db.d"]
    for name in others[:-1]:
        (kept / name).touch()
    older = [f"rolebridge-202001{day:02}T000000Z.db" for day in range(1, 8)]
    for name in reversed(older):
        (kept / name).touch()
    said = bridge.human("backup", "--keep", 3, kept).stdout
    names_there = set(os.listdir(kept)) - set(others)
    new, = names_there - set(older)
    assert KEPT_NAME.fullmatch(new) and len(names(kept / new)) == 21 and new in said and "5 older removed" in said
    assert names_there == {*older[-2:], new} and set(os.listdir(kept)) >= set(others)
    # Those of a clock that went wrong are the newest by name; what was just made stays nevertheless.
    for name in ("rolebridge-29990101T000000Z.db", "rolebridge-29990102T000000Z.db"):
        (kept / name).touch()
    assert bridge.ctl("backup", kept, "--keep", 1)["state"] == "done"
    left_now, = set(os.listdir(kept)) - set(others)
    assert left_now >= new and not left_now.startswith("rolebridge-2999") and len(names(kept / left_now)) == 21


def test_no_backup_none_goes(bridge):
    kept = bridge.folder / "kept"
    kept.mkdir()
    older = {f"rolebridge-2020010{day}T000000Z.db" for day in range(1, 5)}
    for name in older:
        (kept / name).touch()
    for words, status, said in ((("--keep", "0"), 2, "--keep"), (("--keep", "-1"), 2, "--keep"), (("--keep", "2x"), 2, "--keep"),
                                (("--keep", ""), 2, "--keep"), (("--keep", "10001"), 2, "--keep"),
                                ((), 1, "regular file")):
        result = bridge.run("backup", kept, *words)
        assert result.returncode == status and said in result.stderr, (words, result)
    for place in ("none", "rolebridge.yaml"):
        result = bridge.run("backup", "--keep", 2, bridge.folder / place)
        assert result.returncode == 1 and "cannot" in result.stderr, (place, result)
    bridge.stop()
    assert bridge.run("backup", "--keep", 2, kept).returncode == 1
    assert set(os.listdir(kept)) == older


def test_older_that_cannot_go(bridge):
    """The new one is there, and that the folder fills is no success."""
    kept = bridge.folder / "kept"
    (kept / "rolebridge-20200101T000000Z.db").mkdir(parents=True)
    for day in (2, 3):
        (kept / f"rolebridge-2020010{day}T000000Z.db").touch()
    result = bridge.run("backup", "--keep", 1, kept)
    assert result.returncode == 1 and "cannot remove 'rolebridge-20200101T000000Z.db'" in result.stderr
    assert len(os.listdir(kept)) == 2, "one that cannot go keeps no other"


def by_ctl(bridge, path):
    result = bridge.run("backup", path)
    return result.returncode, result.stderr


def by_hand(bridge, path):
    bridge.stop()
    return daemon(bridge, "--backup", path)


@pytest.mark.parametrize("way", [by_ctl, by_hand])
@pytest.mark.parametrize("owner", [None, 65534])
@pytest.mark.parametrize("to", ["victim", "none"])
def test_backup_follows_no_link(bridge, way, owner, to):
    """That somebody planted where everybody may write: it is replaced, or in the way; what it names is not touched."""
    if owner is not None and os.geteuid() != 0:
        pytest.skip("only root can plant another one's link")
    shared = bridge.folder / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    victim = bridge.write("victim", "of another")
    link = shared / "backup.db"
    link.symlink_to(bridge.folder / to)
    if owner is not None:
        os.chown(shared, owner, owner)
        os.chown(link, owner, owner, follow_symlinks=False)
    status, told = way(bridge, link)
    assert status == 0, told
    assert victim.read_text() == "of another" and not (bridge.folder / "none").exists()
    assert not link.is_symlink() and link.stat().st_uid == os.geteuid() and len(names(link)) == 21
    assert os.listdir(shared) == ["backup.db"]


def test_backups_to_one_file_at_once(bridge):
    """Each is whole; one of them is what is there."""
    path = bridge.folder / "backup.db"
    asking = [subprocess.Popen([CTL, "--config", bridge.config, "backup", path], stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True) for _ in range(4)]
    ends = [(one.communicate(timeout=COMMAND_SECONDS)[1], one.returncode) for one in asking]
    assert [status for _, status in ends if status == 0], ends
    assert len(names(path)) == 21 and [p.name for p in bridge.folder.glob("backup*")] == ["backup.db"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_ended_while_it_is_written(bridge, number):
    """Nothing is left, and the older one stays."""
    try:
        os.close(os.open(bridge.folder, os.O_TMPFILE | os.O_RDWR))
    except OSError:
        pytest.skip("this file system bears no files without a name")
    path, _ = backup(bridge)
    before, there = path.read_bytes(), sorted(os.listdir(bridge.folder))
    bridge.process.send_signal(signal.SIGSTOP)
    try:
        # Until the last of its threads stands: it would answer.
        assert os.waitid(os.P_PID, bridge.process.pid, os.WSTOPPED).si_status == signal.SIGSTOP
        # Shells start what runs behind with SIGINT ignored.
        with subprocess.Popen(["env", "--default-signal=INT,TERM,HUP", CTL, "--config", bridge.config, "backup", path],
                              stderr=subprocess.DEVNULL) as asking:
            wait_for(lambda: [to for to in opened(asking.pid) if to.startswith(str(bridge.folder))])
            asking.send_signal(number)
            assert asking.wait(COMMAND_SECONDS) == -number
    finally:
        bridge.process.send_signal(signal.SIGCONT)
    assert sorted(os.listdir(bridge.folder)) == there
    assert path.read_bytes() == before


def test_backup_disk_full(bridge):
    """What the disk cannot hold is no file, and the older one stays."""
    path, _ = backup(bridge)
    before = path.read_bytes()
    limited = f"ulimit -f 8; trap '' XFSZ; exec '{CTL}' --config '{bridge.config}' backup '{path}'"
    result = subprocess.run(["bash", "-c", limited], capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
    assert result.returncode == 1 and "File too large" in result.stderr
    assert path.read_bytes() == before and [p.name for p in bridge.folder.glob("backup*")] == ["backup.db"]


@pytest.mark.parametrize("trap, words", [("trap '' XFSZ", "store.db.copy': disk cannot be"), ("true", "was ended")], ids=["full", "cut"])
def test_backup_by_hand_disk_full(bridge, trap, words):
    """The process that copies fails, or is ended: there is no file, and the older one stays."""
    path, _ = backup(bridge)
    before = path.read_bytes()
    bridge.stop()
    limited = f"ulimit -f {len(before) // 2048}; {trap}; exec '{DAEMON}' --config '{bridge.config}' --json --backup '{path}'"
    result = subprocess.run(["bash", "-c", limited], capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
    assert result.returncode == 1 and words in json.loads(result.stdout)["message"]
    assert path.read_bytes() == before and [p.name for p in bridge.folder.glob("backup*")] == ["backup.db"]
    # What it left beside the store is in nobody's way.
    assert daemon(bridge, "--backup", path)[0] == 0
    assert not [name for name in left(bridge) if "copy" in name]


def test_backup_is_roots(bridge):
    """No token, whatever it may do, gets one, and nobody gets another's."""
    token = bridge.ctl("tokens", "create", "t", "--user", "root")["token"]
    bearer = Bearer(bridge.folder / "control.sock", token)
    assert bearer.ask("POST", "backups")[1]["code"] == "not-allowed"
    assert bearer.ask("GET", "backups/x")[1]["code"] == "not-allowed"
    control = Control(bridge.folder / "control.sock")
    assert control.ask("GET", "backups/x")[1]["code"] == "not-found"


def test_backup_is_given_once(bridge):
    control = Control(bridge.folder / "control.sock")
    _, started = control.ask("POST", "backups")
    run = {"state": "running"}
    while run["state"] == "running":
        run = control.ask("GET", f"runs/{started['run']}?wait_ms=10000")[1]
    assert run["state"] == "done", run
    control.request("GET", "/api/v1/backups/" + started["run"])
    response = control.getresponse()
    assert response.status == 200 and len(response.read()) == run["result"]["size"]
    assert control.ask("GET", "backups/" + started["run"])[1]["code"] == "not-found"


def test_backup_by_hand(bridge):
    """Without a daemon rolebridged makes it; beside one it does not."""
    path = bridge.folder / "hand.db"
    status, answer = daemon(bridge, "--backup", path)
    assert status == 1 and answer["code"] == "in-use" and not path.exists()
    everybody = users(bridge)
    bridge.stop()
    status, answer = daemon(bridge, "--backup", path)
    assert status == 0 and answer["users"] == 21 and answer["head"], answer
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and set(names(path)) == everybody
    assert not [name for name in left(bridge) if "copy" in name]


# --- restores ---

def test_restore(bridge):
    """All is as it was when the backup was made; what was the store is kept; the log tells, and an alarm."""
    before = users(bridge)
    path, told = backup(bridge)
    bridge.ctl("users", "create", "later")
    key = (bridge.folder / "web.key").read_bytes()
    bridge.stop()
    status, answer = restore(bridge, path)
    assert status == 0 and answer["restored"] and answer["head"] == told["head"], answer
    aside = Path(answer["aside"])
    assert aside.name.startswith("store.db.before-") and "later" in names(aside)
    assert "store.db" in left(bridge) and not [n for n in left(bridge) if "restor" in n]
    assert stat.S_IMODE((bridge.folder / "store.db").stat().st_mode) == 0o600
    bridge.start()
    assert users(bridge) == before and (bridge.folder / "web.key").read_bytes() != key
    row = bridge.ctl("audit", "list", "--action", "store.restore")["rows"][0]
    assert row["detail"]["head"] == told["head"] and row["detail"]["replaced"] and row["detail"]["made"] == told["made"]
    assert row["actor"].startswith("unix:")
    assert bridge.ctl("audit", "verify", "--head", told["head"])["asked_head"] == "met"
    alarm, = [one for one in bridge.ctl("alarms", "list")["alarms"] if one["kind"] == "restored"]
    assert told["made"] in alarm["text"]


def test_restore_beside_daemon(bridge):
    path, _ = backup(bridge)
    before = users(bridge)
    status, answer = restore(bridge, path)
    assert status == 1 and answer["code"] == "in-use" and "stop it first" in answer["message"]
    assert users(bridge) == before


def test_restore_into_nothing(bridge):
    """Another machine: there is no store yet, or one that cannot be read."""
    path, _ = backup(bridge)
    bridge.stop()
    for name in left(bridge):
        (bridge.folder / name).unlink()
    status, answer = restore(bridge, path)
    assert status == 0 and answer["aside"] is None
    bridge.start()
    assert len(users(bridge)) == 21
    bridge.stop()
    (bridge.folder / "store.db").write_bytes(b"rubbish" * 1000)
    status, answer = restore(bridge, path)
    assert status == 0 and Path(answer["aside"]).read_bytes().startswith(b"rubbish")
    bridge.start()
    assert len(users(bridge)) == 21


def test_what_was_not_closed(bridge):
    """A store that was killed has what it wrote last in a second file: it is not restored without."""
    bridge.ctl("users", "create", "later")
    bridge.kill()
    wal = bridge.folder / "kept.db-wal"
    shutil.copy(bridge.folder / "store.db", bridge.folder / "kept.db")
    shutil.copy(bridge.folder / "store.db-wal", wal)
    assert wal.stat().st_size > 0
    before = bytes_of(bridge)
    status, answer = restore(bridge, bridge.folder / "kept.db")
    assert (status, answer["code"]) == (1, "backup-damaged") and str(wal) in answer["message"]
    assert bytes_of(bridge) == before
    # Opened once and closed, it is one file.
    assert "later" in names(bridge.folder / "kept.db") and not wal.exists()
    assert restore(bridge, bridge.folder / "kept.db")[0] == 0
    bridge.start()
    assert "later" in users(bridge)


def test_restore_twice(bridge):
    path, _ = backup(bridge)
    bridge.stop()
    first, second = restore(bridge, path)[1], restore(bridge, path)[1]
    assert first["aside"] != second["aside"]
    assert Path(first["aside"]).exists() and Path(second["aside"]).exists()
    bridge.start()
    assert len(users(bridge)) == 21


def test_dry_run(bridge):
    path, told = backup(bridge)
    bridge.stop()
    before = bytes_of(bridge)
    status, answer = restore(bridge, path, "--dry-run")
    assert status == 0 and not answer["restored"] and answer["head"] == told["head"]
    assert bytes_of(bridge) == before
    # Nor does it finish what was cut off: that is for the next start, or restore.
    shutil.copy(path, bridge.folder / "store.db.restored")
    before = bytes_of(bridge)
    assert restore(bridge, path, "--dry-run")[0] == 0
    assert bytes_of(bridge) == before


def test_head(bridge):
    """A head that was noted elsewhere says whether the backup is of that log, and not older."""
    path, told = backup(bridge)
    bridge.ctl("users", "create", "later")
    verdict = bridge.ctl("audit", "verify")
    later = f"{verdict['head_seq']}:{verdict['head']}"
    bridge.stop()
    status, answer = restore(bridge, path, "--head", later, "--dry-run")
    assert status == 1 and answer["code"] == "audit-broken"
    assert restore(bridge, path, "--head", told["head"], "--dry-run")[0] == 0


def test_cut_restore_is_finished(bridge):
    """What was decided before somebody pulled the plug is done by the next start, before anything else."""
    path, _ = backup(bridge)
    bridge.ctl("users", "create", "later")
    key = (bridge.folder / "web.key").read_bytes()
    bridge.kill()
    # As it lies there at that moment: the store that was may not even stand there any more.
    shutil.copy(path, bridge.folder / "store.db.restored")
    (bridge.folder / "store.db.restoring").write_bytes(b"of an earlier one")
    (bridge.folder / "store.db.copy").write_bytes(b"of a backup")
    for gone in (False, True):
        if gone:
            shutil.copy(path, bridge.folder / "store.db.restored")
            bridge.stop()
            (bridge.folder / "store.db").unlink()
        bridge.start()
        assert "later" not in users(bridge) and len(users(bridge)) == 21
        assert not [name for name in left(bridge) if name.endswith(("restored", "restoring", "copy"))]
    assert (bridge.folder / "web.key").read_bytes() != key
    aside = [name for name in left(bridge) if ".before-" in name and name.endswith("Z")]
    assert len(aside) == 1 and "later" in names(bridge.folder / aside[0])


def test_killed_while_making(bridge):
    """The file is there whole, or not at all; what is left beside the store goes with the next one."""
    for _ in range(3):
        with subprocess.Popen([CTL, "--config", bridge.config, "backup", bridge.folder / "backup.db"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as asking:
            bridge.kill()
            asking.wait(COMMAND_SECONDS)
        if (bridge.folder / "backup.db").exists():
            assert len(names(bridge.folder / "backup.db")) == 21
        bridge.start()
        assert not [name for name in left(bridge) if name.endswith(".copy")]
    assert backup(bridge)[1]["users"] == 21


@pytest.mark.skipif(os.geteuid() != 0, reason="only root works for the owner of the store")
def test_roots_work_is_the_owners(bridge, tmp_path):
    """Root's backup may lie where only root reads; what a restore makes belongs to whoever owns the store's folder."""
    nobody = 65534
    with tempfile.TemporaryDirectory(prefix="rolebridge-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        path, _ = backup(bridge)
        bridge.stop()
        shutil.copy(bridge.folder / "store.db", folder / "store.db")
        for owned in (folder, folder / "store.db"):
            os.chown(owned, nobody, nobody)
        config = tmp_path / "other.yaml"
        config.write_text(BASE.replace("people.csv", str(bridge.folder / "people.csv")) + f"store: {folder}/store.db\n")
        private = tmp_path / "private"
        private.mkdir(mode=0o700)
        command = [DAEMON, "--config", config, "--json"]
        made = subprocess.run([*command, "--backup", private / "b.db"], capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stdout + made.stderr
        assert (private / "b.db").stat().st_uid == 0 and stat.S_IMODE((private / "b.db").stat().st_mode) == 0o600
        done = subprocess.run([*command, "--restore", private / "b.db"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert {(one.name, one.stat().st_uid) for one in folder.iterdir() if one.stat().st_uid != nobody} == set()
        assert len(names(folder / "store.db")) == 21 and path.exists()
        # A folder that is not there, or is nobody's to write to, is no place for it.
        config.write_text(BASE.replace("people.csv", str(bridge.folder / "people.csv")) + f"store: {folder}/none/store.db\n")
        gone = subprocess.run([*command, "--restore", private / "b.db"], capture_output=True, text=True, check=False)
        assert gone.returncode == 1 and "folder" in gone.stdout


NOBODY = 65534


@pytest.fixture(name="anothers")
def make_anothers(bridge, tmp_path):
    """A store that stands in nobody's folder, its configuration, and a place where only root is."""
    bridge.ctl("backup", bridge.folder / "backup.db")
    bridge.stop()
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    with tempfile.TemporaryDirectory(prefix="rolebridge-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        shutil.copy(bridge.folder / "store.db", folder / "store.db")
        for owned in (folder, folder / "store.db"):
            os.chown(owned, NOBODY, NOBODY)
        config = private / "rolebridge.yaml"
        config.write_text(f"{BASE[:BASE.index('sources:')]}store: {folder}/store.db\n")
        yield folder, private, [DAEMON, "--config", config, "--json"]


def whose(pid):
    """Of it and of its children: real, effective, saved and file system's ids, of users and of groups."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            about = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        except (FileNotFoundError, ProcessLookupError):
            continue
        if pid in (int(folder.name), int(about["PPid"])) and "Uid" in about:
            found.append([{int(one) for one in about[name].split()} for name in ("Uid", "Gid", "Groups")])
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="only root works for the owner of the store")
@pytest.mark.parametrize("words", [["--backup", "b.db"], ["--restore", "backup.db", "--dry-run"]], ids=lambda words: words[0])
def test_root_does_not_come_back(anothers, bridge, words):
    """Who reads what may be hostile is root no more, and cannot be again."""
    _, private, command = anothers
    shutil.copy(bridge.folder / "backup.db", private / "backup.db")
    seen = []

    def was_seen():
        with subprocess.Popen([*command, *words], cwd=private, stdout=subprocess.DEVNULL) as working:
            while working.poll() is None:
                seen.extend(ids for ids in whose(working.pid) if NOBODY in ids[0])
        assert working.returncode == 0
        return seen

    wait_for(was_seen)
    assert [ids for ids in seen if ids != [{NOBODY}, {NOBODY}, set()]] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root works for the owner of the store")
def test_what_the_owner_planted(anothers):
    """Names that the owner of the store put there lead root nowhere where they could not go themselves."""
    folder, private, command = anothers
    victim = private / "victim"
    victim.write_text("of root")
    for name in ("store.db.copy", "store.db.lock"):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(victim)
        os.chown(folder / name, NOBODY, NOBODY, follow_symlinks=False)
        done = subprocess.run([*command, "--backup", private / "b.db"], capture_output=True, text=True, check=False)
        assert done.returncode == (1 if name.endswith("lock") else 0), done
        (folder / name).unlink(missing_ok=True)
        (private / "b.db").unlink(missing_ok=True)
    (folder / "store.db").replace(private / "store.db")
    os.chown(private / "store.db", 0, 0)
    (folder / "store.db").symlink_to(private / "store.db")
    for words in (["--backup", private / "b.db"], ["--migrate"]):
        subprocess.run([*command, *words], capture_output=True, text=True, check=False)
        assert sorted(os.listdir(private)) == ["rolebridge.yaml", "store.db", "victim"], words
    assert victim.read_text() == "of root"


def change(path, *sql):
    with closing(sqlite3.connect(path)) as db:
        for one in sql:
            db.execute(one)
        db.commit()


def cut(path):
    os.truncate(path, path.stat().st_size // 2)


def grow(path):
    with open(path, "ab") as file:
        file.write(b"\0" * 4096)


def flip(path):
    """In the middle of the last page that holds rows of the audit log."""
    data = bytearray(path.read_bytes())
    at = data.rfind(b"user.create") if data.rfind(b"user.create") > 0 else data.rfind(b"{")
    data[at] ^= 0xff
    path.write_bytes(data)


def drop_row(path):
    """A row of the log that somebody took out, with the trigger that is in the way, which is there again."""
    with closing(sqlite3.connect(path)) as db:
        trigger, = db.execute("SELECT sql FROM sqlite_schema WHERE name = 'audit_no_delete'").fetchone()
        db.execute("DROP TRIGGER audit_no_delete")
        db.execute("DELETE FROM audit WHERE seq = 3")
        db.execute(trigger)
        db.commit()


def cut_log(path):
    """The end of the log: all that is left verifies, but for the head that was noted."""
    with closing(sqlite3.connect(path)) as db:
        trigger, = db.execute("SELECT sql FROM sqlite_schema WHERE name = 'audit_no_delete'").fetchone()
        db.execute("DROP TRIGGER audit_no_delete")
        db.execute("DELETE FROM audit WHERE seq > (SELECT max(seq) FROM audit) - 3")
        db.execute(trigger)
        db.commit()


HOSTILE = {
    "cut": (cut, "backup-damaged"),
    "longer": (grow, "backup-damaged"),
    "flipped": (flip, None),
    "empty": (lambda path: path.write_bytes(b""), "backup-damaged"),
    "no database": (lambda path: path.write_bytes(os.urandom(20000)), "backup-damaged"),
    "another program's": (lambda path: (path.unlink(), change(path, "CREATE TABLE t (x)")), "store-foreign"),
    "newer": (lambda path: change(path, "PRAGMA user_version = 9999"), "schema-newer"),
    "a trigger more": (lambda path: change(path, "CREATE TRIGGER t AFTER INSERT ON session BEGIN "
                                           "UPDATE user SET profile = 1; END"), "store-foreign"),
    "a trigger less": (lambda path: change(path, "DROP TRIGGER audit_no_update"), "store-foreign"),
    "a view in place of a table": (lambda path: change(path, "DROP TABLE restoration",
                                                       "CREATE VIEW restoration AS SELECT 1"), "store-foreign"),
    "row of the log gone": (drop_row, "audit-broken"),
    "end of the log gone": (cut_log, "audit-broken"),
    "orphaned rows": (lambda path: change(path, "PRAGMA foreign_keys = OFF",
                                          "INSERT INTO restoration_read VALUES (4711)"), "backup-damaged"),
}


@pytest.mark.parametrize("how", HOSTILE)
def test_hostile_backup(bridge, how):
    """Refused before anything of the store is touched, and nothing of it stays."""
    path, _ = backup(bridge)
    bridge.stop()
    harm, code = HOSTILE[how]
    harm(path)
    before = bytes_of(bridge)
    status, answer = restore(bridge, path)
    assert status == 1 and (code is None or answer["code"] == code), answer
    assert bytes_of(bridge) == before
    bridge.start()
    assert len(users(bridge)) == 21


def test_damaged_anywhere(bridge):
    """Bytes changed at random places: refused, or what was changed is of no account; never more than that."""
    path, told = backup(bridge)
    whole, chance = path.read_bytes(), random.Random(4711)
    bridge.stop()
    before = bytes_of(bridge)
    refused = 0
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(chance.choice([1, 5, 100])):
            # Some of them in what all else hangs on.
            data[chance.randrange(chance.choice([200, 5000, len(data)]))] = chance.randrange(256)
        path.write_bytes(data)
        status, answer = restore(bridge, path, "--dry-run")
        assert status in (0, 1), answer
        refused += status
        if status == 0:
            assert answer["head"] == told["head"]
    assert refused > 20
    assert bytes_of(bridge) == before


@pytest.mark.parametrize("place", ["none", "folder", "pipe"])
def test_no_backup(bridge, place):
    (bridge.folder / "folder").mkdir()
    os.mkfifo(bridge.folder / "pipe")
    bridge.stop()
    before = bytes_of(bridge)
    status, answer = restore(bridge, bridge.folder / place)
    assert status == 1 and answer["message"]
    assert bytes_of(bridge) == before


OLDER = 19


def older_store(path):
    """As a daemon made it that knew the first migrations alone, with one person."""
    with closing(sqlite3.connect(path)) as db:
        db.create_function("user_of", 1, lambda text: None, deterministic=True)
        db.create_function("user_mention", 3, lambda *words: None, deterministic=True)
        for script in sorted((ROOT / "schemas/sql").glob("*.sql"))[:OLDER]:
            db.executescript(script.read_text())
        db.execute("PRAGMA application_id = 1382826610")
        db.execute(f"PRAGMA user_version = {OLDER}")
        db.execute("INSERT INTO name (text) VALUES ('viewer')")
        db.execute("INSERT INTO user (uuid, organization, username, email, display_name, display_folded, profile, disabled, "
                   "is_protected, version, created_s, updated_s) VALUES (randomblob(16), 1, 'old-timer', '', 'o', 'o', 1, 0, "
                   "0, 1, 1, 1)")
        db.commit()


def test_older_schema(bridge):
    """A backup of an older version is brought to this one, then verified."""
    path = bridge.folder / "older.db"
    older_store(path)
    bridge.stop()
    status, answer = restore(bridge, path)
    assert status == 0 and answer["schema"] == OLDER and answer["made"] is None, answer
    bridge.start()
    assert users(bridge) == {"old-timer"}
    assert bridge.ctl("audit", "verify")["intact"]


# --- what must not come back ---

def test_tokens(bridge):
    """What was revoked since stays so; what still was good goes on; without a store to ask none does, unless told."""
    made = {name: bridge.ctl("tokens", "create", name, "--user", "root") for name in ("stays", "goes")}
    path, _ = backup(bridge)
    bridge.ctl("tokens", "revoke", made["goes"]["id"])
    answer = restored(bridge, path)
    assert (answer["tokens"], answer["tokens_kept"]) == (1, 1)
    living = {token["name"] for token in bridge.ctl("tokens", "list")["tokens"]}
    assert living == {"stays"}
    bridge.stop()
    for keep, kept in (((), 0), (("--keep-tokens",), 2)):
        (bridge.folder / "store.db").write_bytes(b"rubbish")
        for name in ("store.db-wal", "store.db-shm"):
            (bridge.folder / name).unlink(missing_ok=True)
        status, answer = restore(bridge, path, *keep)
        assert status == 0 and answer["tokens_kept"] == kept and answer["tokens"] == 2 - kept
    bridge.start()


# --- what waits ---

def test_waits(bridge):
    """Signing in waits for a whole read of each source, mail for a person; both are told and audited."""
    path, _ = backup(bridge)
    assert bridge.ctl("restored", "show")["at"] is None
    restored(bridge, path)
    state = bridge.ctl("restored", "show")
    assert state["sign_in"]["held"] and state["delivery"]["held"] and state["waits_for"] == ["people"]
    bridge.ctl("sync", "people")
    state = bridge.ctl("restored", "show")
    assert not state["sign_in"]["held"] and state["delivery"]["held"] and state["waits_for"] == []
    row = bridge.ctl("audit", "list", "--action", "restore.open")["rows"][0]
    assert row["actor"] == "timer" and row["detail"] == {"sign_in": True, "delivery": False}
    # As it was after a start, too.
    bridge.stop()
    bridge.start()
    assert not bridge.ctl("restored", "show")["sign_in"]["held"]
    state = bridge.ctl("restored", "release")
    assert not state["delivery"]["held"] and state["delivery"]["released"]
    assert not [one for one in bridge.ctl("alarms", "list")["alarms"] if one["kind"] == "restored"]
    assert "restore.release" in actions(bridge)
    rows = len(actions(bridge))
    bridge.ctl("restored", "release")
    assert len(actions(bridge)) == rows


def test_partial_read_opens_nothing(bridge):
    path, _ = backup(bridge)
    restored(bridge, path)
    # Nobody at all, where there were people: that is no whole read.
    bridge.write("people.csv", "id,uid,mail\n")
    bridge.run("sync", "people")
    assert bridge.ctl("restored", "show")["waits_for"] == ["people"]
    state = bridge.ctl("restored", "release", "--sign-in")
    assert not state["sign_in"]["held"] and state["delivery"]["held"]


def test_nothing_to_read(bridge):
    """Where nothing is read nothing is waited for."""
    path, _ = backup(bridge)
    bridge.stop()
    bridge.write_config(BASE[:BASE.index("sources:")])
    assert restore(bridge, path)[0] == 0
    bridge.start()
    wait_for(lambda: not bridge.ctl("restored", "show")["sign_in"]["held"])


def test_refused_words(bridge):
    with pytest.raises(Refused):
        bridge.ctl("restored", "release", "now")
    for words in (("--restore",), ("--dry-run", "--nonsense")):
        assert subprocess.run([DAEMON, *words], capture_output=True, check=False, timeout=60).returncode == 2
