"""A store of an older version: copied, brought to this one, and all that it held is there before files are read that name it."""
import os
import re
import resource
import signal
import sqlite3
import subprocess

import pytest

from bridge import DAEMON, Bridge
from older_store import ROOT, make_older, version_of

CONFIG = """
profiles: [{name: administrator, permissions: ["*:*@all"]}, {name: viewer, permissions: ["accounts:read@own"]}]
segments: [All]
policy: {default_profile: viewer}
"""
# Names what only the store defines.
RULES = """
rules: [{id: keepers, when: "(departmentNumber=7)", grant: {roles: [keeper]}}]
sources: [{name: staff, type: csv, path: staff.csv, key: id, interval: 0, attributes: [uid, departmentNumber]}]
"""


def migrate(bridge, **options):
    return subprocess.run([DAEMON, "--config", bridge.config, "--migrate"], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=300, check=False, **options)


def copies(bridge):
    return sorted(bridge.folder.glob("store.db.before-upgrade-*"))


@pytest.fixture
def older():
    """A daemon that ran, and ended; its store of the version before."""
    with Bridge(CONFIG, {"staff.csv": "id,uid,departmentNumber\n1,anna,7\n"}) as bridge:
        bridge.ctl("users", "create", "ada", "--email", "ada@example.com", "--profile", "administrator")
        bridge.ctl("roles", "create", "keeper", "--description", "Keeps", "--classifications", "Support",
                   "--segments", "All", "--permissions", "notes:read@all")
        bridge.write_config(CONFIG + RULES)
        bridge.ctl("reload")
        assert bridge.stop() == 0
        bridge.older = make_older(bridge.folder / "store.db")
        yield bridge


def holds_everything(bridge):
    assert bridge.ctl("users", "show", "ada")["email"] == "ada@example.com"
    assert bridge.ctl("roles", "show", "keeper")["description"] == "Keeps"
    assert bridge.ctl("audit", "verify")["intact"]
    return True


def test_by_the_start(older):
    older.start()
    assert holds_everything(older)
    older.ctl("sync")
    assert [grant["name"] for grant in older.ctl("users", "show", "anna")["grants"] if grant["kind"] == "role"] == ["keeper"]
    copy, = copies(older)
    assert version_of(copy) == older.older and copy.stat().st_mode & 0o777 == 0o600
    assert copy.name in older.logged()
    # Once.
    assert older.stop() == 0
    older.start()
    assert copies(older) == [copy]


def test_by_hand(older):
    result = migrate(older)
    assert result.returncode == 0, result.stderr
    copy, = copies(older)
    assert str(copy) in result.stdout and version_of(copy) == older.older
    assert version_of(older.folder / "store.db") == older.older + 1
    again = migrate(older)
    assert again.returncode == 0 and "nothing to do" in again.stdout and copies(older) == [copy]
    older.start()
    assert holds_everything(older)
    refused = migrate(older)
    assert refused.returncode == 1 and "another process holds" in refused.stderr, refused.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root works for the owner of the store")
def test_by_root_for_the_owner(older):
    """What it leaves the daemon can open, which is not root."""
    nobody = 65534
    (older.folder / "store.db.lock").unlink()
    for path in (older.folder, *older.folder.iterdir()):
        os.chown(path, nobody, nobody)
    result = migrate(older)
    assert result.returncode == 0, result.stderr
    assert len(copies(older)) == 1 and version_of(older.folder / "store.db") == older.older + 1
    assert {path.name for path in older.folder.iterdir() if path.stat().st_uid != nobody} == set()


def test_the_copy_is_a_store(older):
    """Who goes back puts it in its place."""
    assert migrate(older).returncode == 0
    copy, = copies(older)
    copy.replace(older.folder / "store.db")
    older.start()
    assert holds_everything(older)


def limited(size, ignored):
    """No file may become larger; the call fails, or its process is ended."""
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN if ignored else signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    return {"preexec_fn": limit, "restore_signals": False}


@pytest.mark.parametrize("cause, ignored", [("no room", True), ("cut", False)])
def test_no_copy_no_change(older, cause, ignored):
    """The next try goes on."""
    store = older.folder / "store.db"
    before = store.read_bytes()
    result = migrate(older, **limited(len(before) // 2, ignored))
    assert result.returncode != 0, cause
    assert store.read_bytes() == before and not copies(older)
    assert not ignored or "older version" in result.stderr
    assert migrate(older).returncode == 0
    assert not list(older.folder.glob("store.db.copy*"))
    older.start()
    assert holds_everything(older)


def test_a_configuration_with_errors(older):
    """What is wrong in it is for the start to say; the store does not wait for that."""
    older.write_config(CONFIG + "no_such_key: 1\n")
    assert migrate(older).returncode == 0
    assert version_of(older.folder / "store.db") == older.older + 1


@pytest.mark.parametrize("text", ["store: [\n", "include: [none/*.yaml\n", None], ids=["no path", "not YAML", "no file"])
def test_a_configuration_that_names_no_store(older, text):
    """That nothing needs to be done would be a lie; what the upgrade of the package goes by says which."""
    older.config.unlink()
    if text:
        older.config.write_text(text)
    result = migrate(older)
    assert result.returncode == 1 and result.stdout == "", result
    assert str(older.config) in result.stderr
    known = re.findall(r"\*'([^']+)'\*\)", (ROOT / "systemd/debian/rolebridge.postinst").read_text())
    assert [words for words in known if words in result.stderr], result.stderr
    assert version_of(older.folder / "store.db") == older.older and not copies(older)
    # Once it is mended the start does it.
    older.write_config(CONFIG + RULES)
    older.start()
    assert holds_everything(older) and len(copies(older)) == 1


def test_without_a_store(tmp_path):
    bridge = Bridge(CONFIG, folder=tmp_path)
    result = migrate(bridge)
    assert result.returncode == 0 and "nothing to do" in result.stdout
    assert not (tmp_path / "store.db").exists()


def test_an_empty_store(tmp_path):
    """Cut off before anything was in it: there is nothing to copy, and it becomes one."""
    bridge = Bridge(CONFIG, folder=tmp_path)
    (tmp_path / "store.db").touch(0o600)
    result = migrate(bridge)
    assert result.returncode == 0 and "brought to this version" in result.stdout, result.stderr
    assert not copies(bridge) and not list(tmp_path.glob("store.db.copy*"))
    assert version_of(tmp_path / "store.db") > 0


def test_a_newer_store(older):
    assert migrate(older).returncode == 0
    store = sqlite3.connect(older.folder / "store.db")
    store.execute(f"PRAGMA user_version = {older.older + 2}")
    store.close()
    os.unlink(copies(older)[0])
    # Left to the start, which says so.
    assert migrate(older).returncode in (0, 1) and not copies(older)
    with pytest.raises(RuntimeError, match="newer"):
        older.start()
