"""The accounts helper on a root file system of its own, with the real shadow-utils."""

import contextlib
import os
import random
import signal
import socket
import stat
import subprocess
import sys
import uuid

import pytest
from accounts_tree import (DONE, MODEL, REFUSED, Core, PATIENCE_S, Tree, needs_tree, spawn_as, wait_for)

pytestmark = needs_tree


@pytest.fixture
def tree(tmp_path):
    tree = Tree(str(tmp_path))
    yield tree
    tree.stop()


@pytest.fixture
def core(tree):
    return tree.start().core()


def anna(core, **more):
    """The user and the result of making their account."""
    user = uuid.uuid4()
    return user, core.ensure(user, "anna", **more)


def test_greeting_says_range_and_count(tree, core):
    assert core.welcome == [1, tree.uid_min, tree.uid_min + 999, 0]
    anna(core)
    assert tree.core().welcome[3] == 1


def test_created_whole(tree, core):
    user, result = anna(core, gecos="Änna Ölm -x", shell="/bin/sh", groups=["staff-b", "staff-a", "staff-a"])
    assert (result.status, result.changed, result.uid) == (DONE, True, tree.uid_min), result
    uid = str(result.uid)
    assert tree.account("anna") == ["x", uid, uid, "Änna Ölm -x", "/home/anna", "/bin/sh"]
    assert tree.lines("group")["anna"] == ["x", uid, ""]
    assert tree.lines("gshadow")["anna"][0] == "!"
    assert tree.lines("shadow")["anna"][0] == "!" and tree.expiry("anna") == ""
    assert tree.groups_of("anna") == ["staff-a", "staff-b"]
    home = os.stat(tree.path("/home/anna"))
    assert (home.st_uid, home.st_gid, stat.S_IMODE(home.st_mode)) == (result.uid, result.uid, 0o700)
    with open(tree.path("/home/anna/.config/app/settings"), encoding="utf-8") as file:
        assert file.read() == "colour = blue\n"
    again = core.ensure(user, "anna", gecos="Änna Ölm -x", shell="/bin/sh", groups=["staff-a", "staff-b"])
    assert (again.status, again.changed, again.uid) == (DONE, False, result.uid)


def test_changed_where_it_differs(tree, core):
    user, first = anna(core, gecos="Anna", groups=["staff-a", "projects"])
    assert tree.run("usermod", "-a", "-G", "other", "anna").returncode == 0
    result = core.ensure(user, "anna", gecos="Anna B", shell="/bin/sh", groups=["staff-b"], primary="projects")
    assert (result.status, result.changed, result.uid) == (DONE, True, first.uid), result
    assert tree.account("anna")[2:] == ["2003", "Anna B", "/home/anna", "/bin/sh"]
    # other is not among allowed_groups: somebody else gave it
    assert tree.groups_of("anna") == ["other", "staff-b"]
    result = core.ensure(user, "anna", gecos="", groups=[])
    assert (result.status, result.changed) == (DONE, True), result
    assert tree.account("anna")[2:] == [str(first.uid), "", "/home/anna", "/bin/bash"]
    assert tree.groups_of("anna") == ["other"]
    assert not core.ensure(user, "anna").changed


def test_groups_of_the_system_are_left_alone(tree, core):
    """What nobody may be put into by the beginning of its name nobody is taken out of by it either."""
    user, _ = anna(core)
    tree.run("usermod", "-a", "-G", "staff-low", "anna")
    assert core.list()[0].groups == []
    assert core.ensure(user, "anna", groups=["staff-a"]).changed
    assert tree.groups_of("anna") == ["staff-a", "staff-low"]


def test_disabled_is_locked_and_expired(tree, core):
    user, _ = anna(core)
    assert tree.run("usermod", "-p", "$6$hash", "anna").returncode == 0
    result = core.disable(user)
    assert (result.status, result.changed) == (DONE, True), result
    assert tree.lines("shadow")["anna"][0] == "!$6$hash" and tree.expiry("anna") == "1"
    assert not core.disable(user).changed
    result = core.enable(user)
    assert (result.status, result.changed) == (DONE, True)
    assert tree.lines("shadow")["anna"][0] == "$6$hash" and tree.expiry("anna") == ""
    assert not core.enable(user).changed


def test_disabled_by_ensure_and_made_disabled(tree, core):
    user, result = anna(core, enabled=False)
    assert result.changed and tree.expiry("anna") == "1"
    assert core.list()[0].state == "disabled"
    assert core.ensure(user, "anna").changed and tree.expiry("anna") == ""
    assert core.ensure(user, "anna", enabled=False, gecos="A").changed and tree.expiry("anna") == "1"
    assert tree.account("anna")[3] == "A"
    assert not core.ensure(user, "anna", enabled=False, gecos="A").changed


@pytest.mark.parametrize("by_hand, expiry", [(["-p", "!$6$hash", "-e", "1"], "1"),
                                             (["-p", "$6$hash", "-e", "2020-01-01"], "18262")])
def test_enabling_undoes_only_own_disabling(tree, core, by_hand, expiry):
    user, _ = anna(core)
    tree.run("usermod", *by_hand, "anna")
    before = tree.lines("shadow")["anna"]
    assert core.list()[0].state == "locked"
    assert not core.enable(user).changed and tree.lines("shadow")["anna"] == before
    core.disable(user)
    assert tree.expiry("anna") == "1" and tree.lines("shadow")["anna"][0] == "!$6$hash"
    core.enable(user)
    assert tree.lines("shadow")["anna"] == before and tree.expiry("anna") == expiry
    assert not core.ensure(user, "anna").changed, "root's lock stays"


def test_what_was_disabled_before_a_restart_is_enabled_after_it(tree, core):
    user, _ = anna(core)
    tree.run("usermod", "-p", "$6$hash", "-e", "2099-01-01", "anna")
    core.disable(user)
    tree.kill()
    core = tree.restart().core()
    core.enable(user)
    assert tree.lines("shadow")["anna"][0] == "$6$hash" and tree.expiry("anna") == "47117"


def memory_of(pid):
    """All that a process holds and can be read."""
    with open(f"/proc/{pid}/maps", encoding="ascii") as file:
        lines = [line.split() for line in file]
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for span, rights, *_ in lines:
            first, last = (int(end, 16) for end in span.split("-"))
            # A sanitizer reserves terabytes, of which nothing is ours.
            if "w" in rights and last - first < 1 << 30:
                memory.seek(first)
                yield memory.read(last - first)


def test_no_password_stays_in_memory(tree, core):
    """The hashes of all, root's too, are read for one account's date."""
    secret = "".join(random.choices("abcdefghijklmnopqrstuvwxyz", k=40))
    user, _ = anna(core)
    tree.run("usermod", "-p", f"$6$x${secret}", "local")
    tree.run("usermod", "-p", f"$6$y${secret}", "anna")
    # Large enough to be read in pieces, and not so large that the memory goes back to the kernel.
    shadow = tree.read("/etc/shadow") + "".join(f"gone{i}:$6$x${secret}:19000:0:99999:7:::\n" for i in range(1000))
    tree.write("/etc/shadow", shadow, 0o640)
    core.ensure(user, "anna", gecos="A")
    core.disable(user)
    assert core.list()[0].state == "disabled"
    held = list(memory_of(tree.process.pid))
    assert any(b"anna" in part for part in held), "its memory is seen"
    assert not [part for part in held if secret.encode() in part]


def test_unknown_users(core):
    user = uuid.uuid4()
    assert core.disable(user).status == core.delete(user).status == DONE
    assert (core.enable(user).status, core.enable(user).code) == (REFUSED, "unknown-account")


def test_list_pages_and_drift(tree, core):
    users = sorted((uuid.uuid4() for _ in range(7)), key=lambda u: u.bytes)
    for i, user in enumerate(users):
        core.ensure(user, f"user{9 - i}", gecos=f"User {i}", groups=["staff-a"] if i % 2 else [])
    core.disable(users[1])
    tree.run("userdel", "user7")
    tree.run("usermod", "-u", "1234", "user6")
    tree.run("usermod", "-c", b"L\xe4tin".decode("utf-8", "surrogateescape"), "-a", "-G", "other,projects", "user5")
    entries = core.list(page=2)
    assert [e.user for e in entries] == users
    assert [e.state for e in entries] == ["enabled", "disabled", "missing", "foreign"] + ["enabled"] * 3
    assert [e.name for e in entries] == [f"user{9 - i}" for i in range(7)]
    assert entries[0].uid == tree.uid_min and entries[0].primary == "" and entries[0].shell == "/bin/bash"
    assert entries[1].groups == ["staff-a"] and entries[4].groups == ["projects"] and entries[4].gecos == "L?tin"
    # What root removed is made again with its own uid; what root replaced is not touched.
    again = core.ensure(users[2], "user7")
    assert (again.status, again.uid) == (DONE, tree.uid_min + 2), again
    assert core.ensure(users[3], "user6").code == core.disable(users[3]).code == "account-foreign"


def refused(result, code):
    assert (result.status, result.changed, result.code) == (REFUSED, False, code), result


CONFLICTS = {
    "system name": ("name-protected", "www-data", {}),
    "system beginning": ("name-protected", "systemd-x", {}),
    "root": ("name-protected", "root", {}),
    "configured name": ("name-protected", "boss", {}),
    "existing user": ("name-taken", "local", {}),
    "existing group": ("group-taken", "other", {}),
    "upper case": ("name-invalid", "Anna", {}),
    "slash": ("name-invalid", "a/b", {}),
    "dots": ("name-invalid", "..", {}),
    "path": ("name-invalid", "../etc", {}),
    "colon": ("name-invalid", "a:0:0", {}),
    "line": ("name-invalid", "a\nroot", {}),
    "option": ("name-invalid", "-R", {}),
    "only digits": ("name-invalid", "1000", {}),
    "empty": ("name-invalid", "", {}),
    "umlaut": ("name-invalid", "änna", {}),
    "dollar": ("name-invalid", "host$", {}),
    "blank": ("name-invalid", "a b", {}),
    "root's uid is none": ("uid-outside-range", "anna", {"uid": 1}),
    "system uid": ("uid-outside-range", "anna", {"uid": 999}),
    "nobody": ("uid-outside-range", "anna", {"uid": 65534}),
    "largest": ("uid-outside-range", "anna", {"uid": 0xffffffff}),
    "shell not listed": ("shell-not-allowed", "anna", {"shell": "/bin/cat"}),
    "shell path trick": ("shell-not-allowed", "anna", {"shell": "/bin/../bin/bash"}),
    "shell that is missing": ("shell-missing", "anna", {"shell": "/opt/nosuchshell"}),
    "shell that is a folder": ("shell-missing", "anna", {"shell": "/tmp"}),
    "gecos with colon": ("gecos-invalid", "anna", {"gecos": "a:b"}),
    "gecos with line": ("gecos-invalid", "anna", {"gecos": "a\nroot::0:0"}),
    "gecos with an order to PAM": ("gecos-invalid", "anna", {"gecos": "a,umask=0"}),
    "gecos with tab": ("gecos-invalid", "anna", {"gecos": "a\tb"}),
    "group not listed": ("group-not-allowed", "anna", {"groups": ["other"]}),
    "group of root": ("group-not-allowed", "anna", {"groups": ["root"]}),
    "group by beginning, of the system": ("group-not-allowed", "anna", {"groups": ["staff-low"]}),
    "group missing": ("group-missing", "anna", {"groups": ["staff-none"]}),
    "group malformed": ("group-invalid", "anna", {"groups": ["staff-a,sudo"]}),
    "primary not listed": ("group-not-allowed", "anna", {"primary": "other"}),
    "home elsewhere": ("home-not-allowed", "anna", {"home": "/root"}),
    "home above": ("home-not-allowed", "anna", {"home": "/home/../etc"}),
    "home deeper": ("home-not-allowed", "anna", {"home": "/home/local/anna"}),
    "home itself": ("home-not-allowed", "anna", {"home": "/home"}),
    "home beside": ("home-not-allowed", "anna", {"home": "/homes"}),
    "home that exists": ("home-taken", "anna", {"home": "/home/old"}),
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    tree = Tree(str(tmp_path_factory.mktemp("shared")), protected_names="boss chief",
                allowed_shells="/bin/bash /bin/sh /opt/nosuchshell /tmp")
    os.mkdir(tree.path("/home/old"))
    yield tree.start()
    tree.stop()


@pytest.mark.parametrize("case", CONFLICTS)
def test_conflicts_change_nothing(shared, case):
    code, name, more = CONFLICTS[case]
    before = shared.snapshot()
    core = Core(shared.socket)
    refused(core.ensure(uuid.uuid4(), name, **more), code)
    assert core.list() == []
    core.close()
    assert shared.snapshot() == before
    assert f"code={code}" in shared.said().replace('"', ""), "visible"


def test_name_of_another_user(tree, core):
    user, result = anna(core)
    refused(core.ensure(uuid.uuid4(), "anna"), "name-used")
    refused(core.ensure(uuid.uuid4(), "bea", uid=result.uid), "uid-taken")
    refused(core.ensure(uuid.uuid4(), "bea", home="/home/anna"), "home-taken")
    assert core.ensure(user, "bea").code == "name-changed"
    assert core.ensure(user, "anna", uid=result.uid + 1).code == "uid-changed"
    assert core.ensure(user, "anna", home="/home/other").code == "home-changed"
    assert core.ensure(user, "anna", uid=result.uid, home="/home/anna").status == DONE
    assert len(core.list()) == 1


def test_uid_of_the_core(tree, core):
    _, result = anna(core, uid=tree.uid_min + 500, home="/home/anna-b")
    assert result.uid == tree.uid_min + 500 and tree.account("anna")[4] == "/home/anna-b"
    assert core.ensure(uuid.uuid4(), "bea").uid == tree.uid_min + 501


def test_uids_of_others_are_left_out(tree):
    tree.run("useradd", "-u", str(tree.uid_min), "-U", "before")
    tree.run("groupadd", "-g", str(tree.uid_min + 1), "group-of-others")
    tree.write("/etc/subuid", f"local:{tree.uid_min + 2}:10\nother:100:5\n")
    core = tree.start().core()
    assert core.ensure(uuid.uuid4(), "anna").uid == tree.uid_min + 12
    for uid in (tree.uid_min, tree.uid_min + 1, tree.uid_min + 7):
        refused(core.ensure(uuid.uuid4(), "bea", uid=uid), "uid-taken")


def test_range_exhausted(tree):
    tree.write_settings(uid_max=tree.uid_min + 2)
    tree.run("useradd", "-u", str(tree.uid_min + 1), "between")
    core = tree.start().core()
    users = [uuid.uuid4() for _ in range(3)]
    assert core.ensure(users[0], "a0").uid == tree.uid_min
    assert core.ensure(users[1], "a1").uid == tree.uid_min + 2
    before = tree.snapshot()
    refused(core.ensure(users[2], "a2"), "uid-range-exhausted")
    assert tree.snapshot() == before
    assert core.ensure(users[0], "a0").status == DONE
    # The number of a deleted account is nobody's.
    core.delete(users[0])
    wait_for(lambda: tree.account("a0") is None, "a0 to be removed")
    refused(core.ensure(users[2], "a2"), "uid-range-exhausted")
    # One that somebody else gave back is.
    tree.run("userdel", "between")
    assert core.ensure(users[2], "a2").uid == tree.uid_min + 1


def test_groups_are_made_when_allowed(tree):
    tree.write_settings(create_groups="yes", gid_min=60000 - 9, gid_max=60000)
    core = tree.start().core()
    _, result = anna(core, groups=["staff-new"], primary="projects")
    assert result.status == DONE, result
    assert tree.groups_of("anna") == ["staff-new"]
    assert 59991 <= int(tree.lines("group")["staff-new"][1]) <= 60000
    assert "anna" not in tree.lines("group")


def test_homes_are_left_alone_when_configured(tree):
    tree.write_settings(create_home="no", home_on_delete="remove")
    core = tree.start().core()
    user, result = anna(core)
    assert result.status == DONE and not os.path.exists(tree.path("/home/anna"))
    assert core.delete(user).status == DONE
    wait_for(lambda: tree.account("anna") is None, "the account to be removed")


@pytest.mark.parametrize("kept", ["keep", "archive", "remove"])
def test_deleted(tree, kept):
    tree.write_settings(home_on_delete=kept)
    core = tree.start().core()
    user, result = anna(core)
    with open(tree.path("/home/anna/letter"), "w", encoding="utf-8") as file:
        file.write("dear")
    os.symlink("/etc/shadow", tree.path("/home/anna/link"))
    tree.write("/var/mail/anna", "mail")
    os.chown(tree.path("/var/mail/anna"), result.uid, 8)
    assert core.delete(user).status == DONE
    wait_for(lambda: "account.removed" in tree.said(), "the account to be removed")
    for database in ("passwd", "shadow", "group", "gshadow"):
        assert "anna" not in tree.lines(database)
    assert os.path.exists(tree.path("/home/anna")) == (kept == "keep")
    assert os.path.exists(tree.path("/var/mail/anna")) == (kept == "keep")
    if kept == "archive":
        archive = tree.path(f"/var/lib/rolebridge-accounts/archive/anna-{user}.tar.gz")
        assert stat.S_IMODE(os.stat(archive).st_mode) == 0o600
        listed = subprocess.run(["tar", "-tvf", archive], capture_output=True, text=True, check=True).stdout
        assert "anna/letter" in listed and "anna/link -> /etc/shadow" in listed and "anna/.bashrc" in listed
        assert os.listdir(os.path.dirname(archive)) == [os.path.basename(archive)]
    # Neither comes back, nor is anything of it given to another.
    refused(core.ensure(user, "anna"), "account-deleted")
    refused(core.ensure(uuid.uuid4(), "anna"), "name-used")
    assert core.ensure(uuid.uuid4(), "bea").uid == result.uid + 1
    assert [e.name for e in core.list()] == ["bea"]
    assert core.delete(user).status == core.disable(user).status == DONE
    tree.kill()
    refused(tree.restart().core().ensure(uuid.uuid4(), "anna"), "name-used")


def archived(tree, user, name="anna"):
    return tree.path(f"/var/lib/rolebridge-accounts/archive/{name}-{user}.tar.gz")


def names_in(archive):
    return subprocess.run(["tar", "-tf", archive], capture_output=True, text=True, check=True).stdout.split()


def test_archive_of_a_deletion_that_was_taken_back_does_not_count(tree):
    """Else the home would be removed with nothing but what it was then."""
    tree.write_settings(home_on_delete="archive")
    core = tree.start().core()
    user, _ = anna(core)
    tree.write(f"/var/lib/rolebridge-accounts/archive/anna-{user}.tar.gz", "of last year")
    os.utime(archived(tree, user), (1600000000, 1600000000))
    core.delete(user)
    wait_for(lambda: "account.removed" in tree.said(), "the account to be removed")
    assert tree.read(f"/var/lib/rolebridge-accounts/archive/anna-{user}.tar.gz") == "of last year"
    assert "anna/.bashrc" in names_in(archived(tree, f"{user}-2"))


def test_archive_of_a_home_with_holes(tree):
    """A quarter of a TiB of nothing, as anybody can make it."""
    tree.write_settings(home_on_delete="archive")
    core = tree.start().core()
    user, _ = anna(core)
    tree.write("/home/anna/hole", "")
    os.truncate(tree.path("/home/anna/hole"), 1 << 38)
    core.delete(user)
    wait_for(lambda: "account.removed" in tree.said(), "the account to be removed")
    assert "anna/hole" in names_in(archived(tree, user))


def test_deletion_is_taken_back_within_its_grace(tree):
    tree.write_settings(delete_grace="1d", home_on_delete="remove")
    core = tree.start().core()
    user, result = anna(core)
    assert core.delete(user).changed and tree.expiry("anna") == "1"
    assert core.list()[0].state == "deleting" and not core.delete(user).changed
    assert core.enable(user).code == "account-deleted"
    tree.kill()
    core = tree.restart().core()
    assert core.list()[0].state == "deleting"
    again = core.ensure(user, "anna")
    assert (again.status, again.uid) == (DONE, result.uid) and tree.expiry("anna") == ""
    assert core.list()[0].state == "enabled"


def test_processes_of_the_disabled_end(tree, core):
    user, result = anna(core)
    stubborn = "trap '' TERM HUP; echo ready; while :; do sleep 1; done"
    with spawn_as(result.uid) as meek, spawn_as(result.uid, "sh", "-c", stubborn) as stubborn, \
            spawn_as(result.uid + 999) as other:
        assert core.disable(user).status == DONE
        meek.wait(PATIENCE_S)
        stubborn.wait(PATIENCE_S)
        assert other.poll() is None


def state_of(pid):
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        return file.read().split("\nState:\t")[1][0]


def is_deaf(pid):
    """To SIGTERM and SIGHUP."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        ignored = int(file.read().split("\nSigIgn:\t")[1].split()[0], 16)
    return all(ignored >> (number - 1) & 1 for number in (signal.SIGTERM, signal.SIGHUP))


# A process whose first thread is gone: it looks like one that is dead, and runs on.
HEADLESS = ("import ctypes, threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()\n"
            "ctypes.CDLL(None).pthread_exit(None)")


def test_processes_that_look_dead_end_too(tree, core):
    user, result = anna(core)
    with spawn_as(result.uid, sys.executable, "-c", HEADLESS) as process:
        wait_for(lambda: state_of(process.pid) == "Z", "its first thread to end")
        assert process.poll() is None, "the other one runs on"
        assert core.disable(user).status == DONE
        process.wait(PATIENCE_S)


# As many as it may have, and a new one for each that ends; deaf to what asks it to.
BOMB = """import os, resource, signal, sys
for deaf in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
    signal.signal(deaf, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_NPROC, (40, 40))
while True:
    try:
        os.fork()
    except OSError:
        pass
"""
KILL_ALL = "import os, signal; os.kill(-1, signal.SIGKILL)"


def processes_of(uid):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
                status = file.read()
            if f"\nUid:\t{uid}\t" in status and "\nState:\tZ" not in status:
                found.append(int(pid))
    return found


def test_who_starts_processes_faster_than_they_end(tree, core):
    user, result = anna(core)
    try:
        with spawn_as(result.uid, sys.executable, "-c", BOMB):
            wait_for(lambda: len(processes_of(result.uid)) > 30, "many processes")
            assert core.disable(user).status == DONE
            wait_for(lambda: not processes_of(result.uid), "all of them to end")
        assert "account.processes_left" not in tree.said()
    finally:
        subprocess.run([sys.executable, "-c", KILL_ALL], user=result.uid, group=result.uid, extra_groups=[], check=False)


def test_nobody_is_removed_where_processes_are_hidden(tree):
    """/proc mounted with hidepid: that none is seen says nothing."""
    tree.write_settings(home_on_delete="remove")
    tree.before = ["sh", "-c", 'mount --bind /tmp /proc/1 && exec "$@"', "sh"]
    core = tree.start().core()
    user, _ = anna(core)
    assert core.delete(user).status == DONE
    wait_for(lambda: "account.removal_failed" in tree.said(), "a refusal")
    assert "/proc does not show" in tree.said()
    assert tree.account("anna") and os.path.exists(tree.path("/home/anna/.bashrc"))


def test_login_that_was_let_in_before_ends_too(tree, core):
    """Between being let in and the first process of one's own lies the opening of the session."""
    user, result = anna(core)
    assert core.disable(user).status == DONE
    os.kill(tree.process.pid, signal.SIGSTOP)
    with spawn_as(result.uid) as late:
        os.kill(tree.process.pid, signal.SIGCONT)
        late.wait(PATIENCE_S)


def test_processes_are_left_when_configured(tree):
    tree.write_settings(end_sessions="no", home_on_delete="archive")
    core = tree.start().core()
    user, result = anna(core)
    # Below the same root folder, since userdel looks at those only.
    with spawn_as(None, *tree.command("setpriv", f"--reuid={result.uid}", f"--regid={result.uid}", "--clear-groups",
                                      "sh", "-c", "echo > /tmp/runs; exec sleep 600")) as process:
        wait_for(lambda: os.path.exists(tree.path("/tmp/runs")), "a process of anna's")
        assert core.disable(user).status == DONE
        assert core.delete(user).status == DONE
        wait_for(lambda: "account.removal_failed" in tree.said(), "userdel to refuse")
        assert process.poll() is None and tree.account("anna")
        assert not os.path.exists(archived(tree, user)), "what runs may still write"


def test_processes_end_also_after_a_crash_in_between(tree, core):
    user, result = anna(core)
    core.disable(user)
    tree.kill()
    with spawn_as(result.uid) as process:
        tree.restart()
        process.wait(PATIENCE_S)


def test_account_that_root_renamed_is_no_longer_ours(tree):
    tree.write_settings(home_on_delete="remove")
    core = tree.start().core()
    user, result = anna(core)
    core.disable(user)
    tree.run("usermod", "-l", "boss", "-e", "", "anna")
    tree.kill()
    with spawn_as(result.uid) as process:
        core = tree.restart().core()
        assert core.delete(user).status == DONE
        wait_for(lambda: "account.removed" in tree.said(), "it to be forgotten")
        assert process.poll() is None, "nothing of somebody else's is ended"
    assert tree.account("boss") and os.path.exists(tree.path("/home/anna/.bashrc"))
    refused(core.ensure(uuid.uuid4(), "bea", uid=result.uid), "uid-taken")


def test_enabled_again_nobody_is_ended(tree, core):
    user, result = anna(core)
    with spawn_as(result.uid, "sh", "-c", "trap '' TERM HUP; while :; do sleep 1; done") as process:
        core.disable(user)
        core.enable(user)
        with spawn_as(result.uid, "sleep", "2.5") as probe:
            assert probe.wait(PATIENCE_S) == 0, "nothing of an enabled account is ended"
        assert process.poll() is None


@pytest.mark.skipif(not os.path.exists(os.path.join(MODEL or "/", "usr/bin/loginctl")), reason="no loginctl in this tree")
def test_logind_is_told_where_it_runs(tree):
    """Who it is given as a number, so that no name can mean something else to it."""
    tree.wrap("loginctl", 'echo "$@" >> /tmp/told', folder="bin")
    core = tree.start().core()
    user, result = anna(core)
    core.disable(user)
    assert not os.path.exists(tree.path("/tmp/told")), "logind does not run"
    os.makedirs(tree.path("/run/systemd/seats"))
    core.disable(user)
    assert tree.read("/tmp/told") == f"terminate-user {result.uid}\n"
    # What is deaf to that ends with its cgroup, whatever its uid.
    with spawn_as(result.uid, "sh", "-c", "trap '' TERM HUP; while :; do sleep 1; done") as stubborn:
        wait_for(lambda: is_deaf(stubborn.pid), "it to be deaf")
        core.disable(user)
        stubborn.wait(PATIENCE_S)
        wait_for(lambda: f"kill-user --signal=SIGKILL {result.uid}\n" in tree.read("/tmp/told"), "its cgroup to be ended")


@pytest.fixture
def listener(tree):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(tree.socket)
        listener.listen()
        yield listener


def test_socket_handed_over_and_idle_exit(tree, listener):
    """Who connects while no helper runs waits in the socket: so it is that a helper begins."""
    tree.write_settings(idle_exit="1s", delete_grace="1h")
    core = tree.core(greet=False)
    tree.start(listener=listener)
    core.greet()
    user, result = anna(core)
    assert result.status == DONE
    core.close()
    assert tree.process.wait(PATIENCE_S) == 0
    tree.ended()
    core = tree.core(greet=False)
    tree.start(listener=listener)
    core.greet()
    assert [e.name for e in core.list()] == ["anna"]
    # With a deletion outstanding it stays.
    core.delete(user)
    core.close()
    with pytest.raises(subprocess.TimeoutExpired):
        tree.process.wait(2.5)
    tree.stop()
    assert os.path.exists(tree.socket), "the socket is its unit's"


def test_only_a_listening_socket_is_taken(tree):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as wrong:
        tree.start(wait=False, listener=wrong)
        assert tree.process.wait(PATIENCE_S) == 1
    tree.ended()
    assert "not one listening unix stream socket" in tree.said()


def test_a_second_helper_waits_for_the_first(tree, core):
    first = tree.process
    second = subprocess.Popen(tree.command("/build/rolebridge-accounts", "--socket", "/run/second.sock"),
                              stderr=subprocess.PIPE, text=True)
    try:
        assert anna(core)[1].status == DONE
        assert second.poll() is None and not os.path.exists(tree.path("/run/second.sock"))
        core.close()
        first.terminate()
        assert first.wait(PATIENCE_S) == 0
        wait_for(lambda: os.path.exists(tree.path("/run/second.sock")), "the second one to begin", second)
    finally:
        second.terminate()
        second.communicate(timeout=PATIENCE_S)
    assert second.returncode == 0


@pytest.mark.parametrize("ends, held", [("yes", 0x2b), ("no", 0x0b)])
@pytest.mark.parametrize("bounded", [False, True])
def test_capabilities(tree, ends, held, bounded):
    """Given up by itself; or bounded already, as by the unit, without the right to change that."""
    tree.write_settings(end_sessions=ends)
    if bounded:
        bound = ",".join(f"{sign}{name}" for sign, names in (("-", ["all"]), ("+", ["chown", "dac_override", "fowner", "kill"]))
                         for name in names)
        tree.before = ["setpriv", f"--bounding-set={bound}", f"--inh-caps={bound}", "--no-new-privs"]
    core = tree.start().core()
    with open(f"/proc/{tree.process.pid}/status", encoding="ascii") as file:
        status = dict(line.split(":", 1) for line in file.read().splitlines())
    assert [int(status[f"Cap{kind}"], 16) for kind in ("Prm", "Eff", "Bnd", "Amb")] == [held, held, 0x2b, 0]
    user, result = anna(core)
    assert result.status == core.disable(user).status == core.delete(user).status == DONE
    wait_for(lambda: "account.removed" in tree.said(), "the account to be removed")
