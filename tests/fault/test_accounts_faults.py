"""Where a change of an account may be cut: nothing stays half done, nothing is lost, all of it is visible."""

import contextlib
import os
import random
import signal
import subprocess
import time
import uuid
import zlib

import pytest
from accounts_tree import AGAIN, DONE, ENSURE, REFUSED, Tree, ensure_body, frame, needs_tree, wait_for

pytestmark = needs_tree


@pytest.fixture
def tree(tmp_path):
    tree = Tree(str(tmp_path))
    yield tree
    if tree.process is not None and tree.process.poll() is not None:
        tree.ended()
    tree.stop()


def dies(core, ask):
    """The helper is killed while it is asked."""
    with pytest.raises((EOFError, ConnectionError)):
        ask(core)


def check_whole(tree, name="anna"):
    account = tree.account(name)
    assert account and tree.lines("shadow")[name] and tree.lines("gshadow")[name]
    assert tree.lines("group")[name][1] == account[1] == account[2]
    assert os.stat(tree.path(f"/home/{name}")).st_uid == int(account[1])
    with open(tree.path(f"/home/{name}/.config/app/settings"), encoding="utf-8") as file:
        assert file.read() == "colour = blue\n"


def nothing_of(tree, name="anna"):
    return not any(name in tree.lines(d) for d in ("passwd", "shadow", "group", "gshadow")) and \
        not os.path.lexists(tree.path(f"/home/{name}"))


# What a program does to the helper ($PPID), or leaves undone.
KILLED = {
    "before useradd": 'kill -9 $PPID; exit 1',
    "before useradd, which then runs on": 'kill -9 $PPID; sleep 1; exec $REAL "$@"',
    "after useradd": '$REAL "$@"; kill -9 $PPID',
}


@pytest.mark.parametrize("where", KILLED)
def test_killed_while_creating(tree, where):
    tree.wrap("useradd", KILLED[where])
    user = uuid.uuid4()
    dies(tree.start().core(), lambda core: core.ensure(user, "anna", groups=["staff-a"]))
    tree.ended()
    tree.unwrap()
    core = tree.restart().core()
    # The one before may still have been at it: this one waited.
    if where != "before useradd":
        check_whole(tree)
    else:
        assert nothing_of(tree)
    result = core.ensure(user, "anna", groups=["staff-a"])
    assert (result.status, result.uid) == (DONE, tree.uid_min), result
    check_whole(tree)
    assert tree.groups_of("anna") == ["staff-a"] and [e.state for e in core.list()] == ["enabled"]
    assert core.ensure(uuid.uuid4(), "anna").code == "name-used"


# useradd cut between two of its own steps, as by a power loss: what it had written by then.
CUT = {
    "passwd": ("echo anna:x:$UID_:$UID_::/home/anna:/bin/bash >> /etc/passwd",),
    "passwd and shadow": ("echo anna:x:$UID_:$UID_::/home/anna:/bin/bash >> /etc/passwd",
                          "echo anna:!:19000:0:99999:7::: >> /etc/shadow"),
    "all but gshadow and home": ("echo anna:x:$UID_:$UID_::/home/anna:/bin/bash >> /etc/passwd",
                                 "echo anna:!:19000:0:99999:7::: >> /etc/shadow", "echo anna:x:$UID_: >> /etc/group"),
    "home still root's": ('$REAL "$@"', "rm -r /home/anna", "mkdir -m 0 /home/anna"),
    "home half copied": ('$REAL "$@"', "rm -r /home/anna/.config/app"),
    "file in the home cut": ('$REAL "$@"', ": > /home/anna/.config/app/settings"),
    "no home": ('$REAL "$@"', "rm -r /home/anna"),
    "group only": ("groupadd -g $UID_ anna",),
}


@pytest.mark.parametrize("how", ["killed", "failed", "said well"])
@pytest.mark.parametrize("what", CUT)
def test_useradd_cut(tree, what, how):
    """Killed together with the helper; or it fails; or says that all is well."""
    end = {"killed": "kill -9 $PPID", "failed": "echo 'useradd: cannot' >&2; exit 12", "said well": "exit 0"}[how]
    tree.wrap("useradd", f"UID_={tree.uid_min}\n" + "\n".join(CUT[what]) + f"\n{end}")
    before, user = tree.snapshot(), uuid.uuid4()
    core = tree.start().core()
    if how == "killed":
        dies(core, lambda core: core.ensure(user, "anna"))
        tree.ended()
        tree.unwrap()
        core = tree.restart().core()
    else:
        result = core.ensure(user, "anna")
        assert (result.status, result.code, result.changed) == (AGAIN, "command-failed", False), result
        assert "code=command-failed" in tree.said()
    assert tree.snapshot() == before, "nothing is half done"
    assert [(e.name, e.state) for e in core.list()] == [("anna", "missing")]
    tree.kill()
    tree.unwrap()
    core = tree.restart().core()
    result = core.ensure(user, "anna")
    assert (result.status, result.uid) == (DONE, tree.uid_min), result
    check_whole(tree)


def test_somebody_elses_account_is_not_taken_back(tree):
    """Between claim and start root made one of that name: a uid of their own is theirs."""
    tree.wrap("useradd", "kill -9 $PPID; exit 1")
    user = uuid.uuid4()
    dies(tree.start().core(), lambda core: core.ensure(user, "anna"))
    tree.ended()
    tree.unwrap()
    tree.run("useradd", "-u", "1500", "-m", "anna")
    before = tree.snapshot()
    core = tree.restart().core()
    assert core.ensure(user, "anna").code == "account-foreign"
    assert core.delete(user).code == "account-foreign"
    assert tree.snapshot() == before


@pytest.mark.parametrize("where", ['kill -9 $PPID; exit 1', 'exec 2>&-; $REAL "$@"; kill -9 $PPID'])
@pytest.mark.parametrize("wish", ["disable", "enable", "ensure"])
def test_killed_while_changing(tree, wish, where):
    core = tree.start().core()
    user = uuid.uuid4()
    core.ensure(user, "anna")
    tree.run("usermod", "-p", "$6$hash", "-e", "2099-01-01", "anna")
    if wish == "enable":
        core.disable(user)
    tree.kill()
    tree.wrap("usermod", where)
    ask = {"disable": lambda core: core.disable(user), "enable": lambda core: core.enable(user),
           "ensure": lambda core: core.ensure(user, "anna", enabled=False, gecos="A", groups=["staff-a"])}[wish]
    dies(tree.restart().core(), ask)
    tree.ended()
    tree.unwrap()
    core = tree.restart().core()
    assert ask(core).status == DONE
    assert tree.expiry("anna") == ("47117" if wish == "enable" else "1")
    if wish != "enable":
        assert core.list()[0].state == "disabled"
        core.enable(user)
    # What was there before the first disabling is known after any crash.
    assert tree.lines("shadow")["anna"][0] == "$6$hash" and tree.expiry("anna") == "47117"


def test_opened_and_not_noted_is_closed_again(tree):
    """Killed between the two: who the ledger has as disabled is disabled, until they are asked for again."""
    core = tree.start().core()
    user, other = uuid.uuid4(), uuid.uuid4()
    core.ensure(user, "anna")
    core.ensure(other, "bea")
    tree.run("usermod", "-p", "$6$hash", "-e", "2099-01-01", "anna")
    core.disable(user)
    tree.kill()
    tree.wrap("usermod", '$REAL "$@"; kill -9 $PPID')
    dies(tree.restart().core(), lambda core: core.enable(user))
    tree.ended()
    assert tree.expiry("anna") == "47117"
    tree.unwrap()
    core = tree.restart().core()
    assert tree.expiry("anna") == "1" and tree.lines("shadow")["anna"][0] == "!$6$hash"
    assert [core.ensure(other, "bea").changed, tree.expiry("bea")] == [False, ""]
    assert core.enable(user).changed
    assert tree.expiry("anna") == "47117" and tree.lines("shadow")["anna"][0] == "$6$hash"


def test_what_cannot_be_closed_at_start_is_said(tree):
    core = tree.start().core()
    user = uuid.uuid4()
    core.ensure(user, "anna")
    core.disable(user)
    tree.run("usermod", "-e", "", "anna")
    tree.kill()
    tree.wrap("usermod", "exit 1")
    tree.restart()
    assert "accounts.recovery_incomplete" in tree.said()


@pytest.mark.parametrize("program, script", [
    ("userdel", "kill -9 $PPID; exit 1"),
    ("userdel", '$REAL "$@"; kill -9 $PPID'),
    ("userdel", "sed -i /^anna:/d /etc/shadow; kill -9 $PPID"),
])
def test_killed_while_removing(tree, program, script):
    tree.write_settings(home_on_delete="archive")
    core = tree.start().core()
    user = uuid.uuid4()
    core.ensure(user, "anna")
    tree.kill()
    tree.wrap(program, script)
    core = tree.restart().core()
    core.delete(user)
    tree.ended()
    tree.unwrap()
    tree.restart()
    wait_for(lambda: "account.removed" in tree.said(), "the account to be removed")
    assert nothing_of(tree)
    assert len(os.listdir(tree.path("/var/lib/rolebridge-accounts/archive"))) == 1


def archives(tree):
    """What is in each archive, by its name."""
    folder = tree.path("/var/lib/rolebridge-accounts/archive")
    return {name: subprocess.run(["tar", "-tf", os.path.join(folder, name)], capture_output=True, text=True,
                                 check=True).stdout.split() for name in sorted(os.listdir(folder))}


@pytest.mark.parametrize("clock_s", [0, 86400])
def test_complete_archive_is_not_made_again_from_less(tree, clock_s):
    """Killed when the home is half removed: the archive was whole by then, whatever the clock says of its age."""
    tree.write_settings(home_on_delete="archive")
    core = tree.start().core()
    user = uuid.uuid4()
    core.ensure(user, "anna")
    tree.kill()
    tree.wrap("rm", 'case "$*" in *anna*) $REAL -r /home/anna/.config; kill -9 $PPID; exit 1;; esac; exec $REAL "$@"', folder="bin")
    core = tree.restart().core()
    core.delete(user)
    tree.ended()
    tree.unwrap()
    archive = f"anna-{user}.tar.gz"
    assert "anna/.config/app/settings" in archives(tree)[archive]
    path = tree.path("/var/lib/rolebridge-accounts/archive", archive)
    os.utime(path, (time.time() - clock_s, time.time() - clock_s))
    assert os.path.exists(tree.path("/home/anna/.bashrc")), "half of it is there"
    tree.restart()
    wait_for(lambda: "account.removed" in tree.said(), "the account to be removed")
    assert nothing_of(tree)
    assert list(archives(tree)) == [archive] and "anna/.config/app/settings" in archives(tree)[archive]


def test_archive_that_was_not_noted_stays_beside_the_next(tree):
    """Killed between the two: the home is whole still, and so are both."""
    tree.write_settings(home_on_delete="archive")
    core = tree.start().core()
    user = uuid.uuid4()
    core.ensure(user, "anna")
    folder = tree.path("/var/lib/rolebridge-accounts/archive")
    with open(os.path.join(folder, f"anna-{user}.tar.gz"), "wb") as file:
        file.write(b"whole")
    core.delete(user)
    wait_for(lambda: "account.removed" in tree.said(), "the account to be removed")
    with open(os.path.join(folder, f"anna-{user}.tar.gz"), "rb") as file:
        assert file.read() == b"whole"
    os.unlink(os.path.join(folder, f"anna-{user}.tar.gz"))
    assert list(archives(tree)) == [f"anna-{user}-2.tar.gz"]
    assert "anna/.config/app/settings" in archives(tree)[f"anna-{user}-2.tar.gz"]


def test_archive_is_made_once_while_the_ledger_is_full(tree):
    """The archives lie on another disk than the ledger: each try would leave one more there."""
    os.makedirs(tree.path("/srv/archive"), mode=0o700)
    tree.write_settings(home_on_delete="archive", archive_directory="/srv/archive", delete_grace="1h")
    core = tree.start().core()
    user = uuid.uuid4()
    core.ensure(user, "anna")
    core.delete(user)
    tree.kill()
    rewrite_ledger(ledger_of(tree), grace_was_short)
    pad_page(ledger_of(tree), user)
    state = "/var/lib/rolebridge-accounts"
    tree.tmpfs[state] = "32k"
    tree.wrap("tar", f'$REAL "$@" || exit; [ -e /srv/once ] || cat /dev/zero > {state}/filler 2> /srv/once; exit 0', folder="bin")
    tree.restart()
    wait_for(lambda: "account.removal_failed" in tree.said(), "the ledger to be full")
    assert "account.removed" not in tree.said() and os.path.exists(tree.path("/home/anna/.bashrc"))
    assert os.listdir(tree.path("/srv/archive")) == [f"anna-{user}.tar.gz"]
    os.unlink(f"/proc/{tree.process.pid}/root{state}/filler")
    wait_for(lambda: "account.removed" in tree.said(), "the account to be removed")
    assert nothing_of(tree) and os.listdir(tree.path("/srv/archive")) == [f"anna-{user}.tar.gz"]


def rewrite_ledger(path, rewrite):
    """rewrite: words of a line → words."""
    with open(path, encoding="utf-8") as file:
        lines = file.read().splitlines()
    for i, line in enumerate(lines[1:], 1):
        rest = " ".join(rewrite(line.split(" ")[1:]))
        lines[i] = f"{zlib.crc32(rest.encode()):08x} {rest}"
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def clock_was_behind(words):
    """As if all so far had been noted two hours ago, and nothing but the clock had moved since."""
    if words[0] == "delete":
        return [*words[:2], str(int(words[2]) - 7200)]
    return [words[0], str(int(words[1]) - 7200), *words[2:]] if words[0] == "clocks" else words


def grace_was_short(words):
    return [*words[:2], "1"] if words[0] == "delete" else words


def test_clock_set_forward_ends_no_grace(tree):
    tree.write_settings(home_on_delete="remove", delete_grace="1h")
    core = tree.start().core()
    user = uuid.uuid4()
    core.ensure(user, "anna")
    core.delete(user)
    tree.kill()
    rewrite_ledger(ledger_of(tree), clock_was_behind)
    core = tree.restart().core()
    wait_for(lambda: "accounts.clock_set" in tree.said(), "the clock to be noticed", tree.process)
    assert core.list()[0].state == "deleting" and "account.removed" not in tree.said()
    tree.kill()
    core = tree.restart().core()
    assert core.list()[0].state == "deleting"
    assert core.ensure(user, "anna").changed
    check_whole(tree)


def test_grace_that_is_over_ends(tree):
    tree.write_settings(home_on_delete="remove", delete_grace="1h")
    core = tree.start().core()
    user = uuid.uuid4()
    core.ensure(user, "anna")
    core.delete(user)
    tree.kill()
    rewrite_ledger(ledger_of(tree), grace_was_short)
    tree.restart()
    wait_for(lambda: "account.removed" in tree.said(), "the account to be removed")
    assert nothing_of(tree) and "accounts.clock_set" not in tree.said()


def pad_page(path, user):
    """The same once more until it does not fit into the last page, and no other line that long."""
    rest = f"delete {user} 1"
    line = f"{zlib.crc32(rest.encode()):08x} {rest}\n"
    with open(path, "a", encoding="utf-8") as file:
        while 4096 - file.tell() % 4096 >= len(line):
            file.write(line)


def fill_page(path):
    """A ledger that ends just before a page does: the next line needs another one."""
    content, number = "rolebridge-accounts 1\n", 0
    while len(content) % 4096 < 4000:
        user, number = uuid.uuid4(), number + 1
        for rest in (f"claim {user} {number + 100} gone{number} /home/gone{number}", f"gone {user}"):
            content += f"{zlib.crc32(rest.encode()):08x} {rest}\n"
    with open(path, "w", encoding="utf-8") as file:
        file.write(content)


@pytest.mark.parametrize("folder, size, fill", [("/home", "12k", None), ("/etc", "1M", "/etc/filled"),
                                                ("/var/lib/rolebridge-accounts", "16k", "/var/lib/rolebridge-accounts/x")])
def test_disk_full(tree, folder, size, fill):
    """A small file system: the skeleton does not fit, or the databases, or the ledger."""
    os.makedirs(tree.path(folder), exist_ok=True)
    os.chmod(tree.path(folder), 0o755)
    if folder == "/home":
        tree.write("/etc/skel/large", "x" * 100000)
    if "rolebridge" in folder:
        fill_page(ledger_of(tree))
    tree.tmpfs[folder] = size
    tree.start()
    inside = f"/proc/{tree.process.pid}/root"
    user = uuid.uuid4()
    core = tree.core()

    def databases():
        texts = []
        for name in ("passwd", "shadow", "group", "gshadow"):
            with open(f"{inside}/etc/{name}", encoding="utf-8") as file:
                texts.append(file.read())
        return texts, os.listdir(f"{inside}/home")

    before = databases()
    if fill:
        with pytest.raises(OSError), open(inside + fill, "wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
    result = core.ensure(user, "anna")
    assert (result.status, result.code, result.changed) == (AGAIN, "disk-full", False), result
    assert "code=disk-full" in tree.said()
    assert databases() == before
    # There is room again.
    if fill:
        os.unlink(inside + fill)
    else:
        os.unlink(tree.path("/etc/skel/large"))
    result = core.ensure(user, "anna")
    assert (result.status, result.uid) == (DONE, tree.uid_min), result
    assert "anna" in os.listdir(f"{inside}/home")


def test_databases_locked_by_another(tree):
    """vipw and the like hold them as shadow-utils do."""
    core = tree.start().core()
    user = uuid.uuid4()
    core.ensure(user, "anna")
    tree.write("/etc/passwd.lock", str(os.getpid()) + "\0")
    result = core.ensure(user, "anna", gecos="x")
    assert (result.status, result.code) == (AGAIN, "busy"), result
    os.unlink(tree.path("/etc/passwd.lock"))
    assert core.ensure(user, "anna", gecos="x").changed


def test_program_that_hangs(tree):
    tree.write_settings(command_timeout="1s")
    tree.wrap("useradd", "exec sleep 600")
    result = tree.start().core().ensure(uuid.uuid4(), "anna")
    assert (result.status, result.code) == (AGAIN, "command-failed") and "longer than 1 s" in result.detail


def test_program_that_changes_nothing(tree):
    core = tree.start().core()
    user = uuid.uuid4()
    core.ensure(user, "anna")
    tree.kill()
    tree.wrap("usermod", "exit 0")
    core = tree.restart().core()
    result = core.disable(user)
    assert (result.status, result.code) == (AGAIN, "command-failed"), result
    assert core.ensure(user, "anna", gecos="x").code == "command-failed"


def ledger_of(tree):
    return tree.path("/var/lib/rolebridge-accounts/ledger")


def test_torn_last_line_is_forgotten(tree):
    core = tree.start().core()
    users = [uuid.uuid4() for _ in range(3)]
    for i, user in enumerate(users):
        core.ensure(user, f"user{i}")
    tree.kill()
    size = os.path.getsize(ledger_of(tree))
    with open(ledger_of(tree), "ab") as file:
        file.write(b"1234abcd claim 0189")
    core = tree.restart().core()
    assert os.path.getsize(ledger_of(tree)) == size
    assert [core.ensure(user, f"user{i}").changed for i, user in enumerate(users)] == [False] * 3


def test_damaged_ledger_stops_the_helper(tree):
    core = tree.start().core()
    for i in range(3):
        core.ensure(uuid.uuid4(), f"user{i}")
    tree.kill()
    with open(ledger_of(tree), "r+b") as file:
        file.seek(60)
        file.write(b"!")
    tree.forget_log()
    tree.start(wait=False)
    assert tree.process.wait(60) == 1
    assert "is damaged in line 2" in tree.said()
    tree.ended()


def test_one_at_a_time_and_stopped_between_commands(tree):
    tree.wrap("useradd", 'touch /tmp/begun; sleep 1; exec $REAL "$@"')
    core = tree.start().core()
    user = uuid.uuid4()
    core.send(frame(ENSURE, ensure_body(user, "anna")))
    wait_for(lambda: os.path.exists(tree.path("/tmp/begun")), "useradd")
    tree.process.send_signal(signal.SIGTERM)
    assert core.receive().status == DONE
    assert tree.process.wait(60) == 0
    tree.process = None
    check_whole(tree)


def test_refused_is_refused_after_a_crash_too(tree):
    core = tree.start().core()
    assert core.ensure(uuid.uuid4(), "local").status == REFUSED
    tree.kill()
    core = tree.restart().core()
    assert core.list() == [] and core.ensure(uuid.uuid4(), "local").code == "name-taken"


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(child) for child in file.read().split()]


def kill_all(tree):
    """The helper and what it runs, as a power loss does."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        # Held still, so that it begins nothing between the look and the kill.
        os.kill(tree.process.pid, signal.SIGSTOP)
        for child in children_of(tree.process.pid):
            os.kill(child, signal.SIGKILL)
    tree.kill()
    for name in ("passwd", "shadow", "group", "gshadow"):
        with contextlib.suppress(FileNotFoundError):
            # Their owner is dead; that its number may be somebody else's by now is not what is looked at here.
            os.unlink(tree.path(f"/etc/{name}.lock"))


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_any_time(tree, seed):
    rng = random.Random(seed)
    tree.write_settings(delete_grace="1h")
    wanted, uids = {}, {}
    before = {name: tree.lines(name) for name in ("passwd", "shadow", "group", "gshadow")}
    for step in range(12):
        core = tree.restart().core()
        for _ in range(4):
            user = rng.choice([uuid.uuid4(), *wanted])
            name = wanted[user][0] if user in wanted else f"user{len(wanted)}"
            wanted[user] = name, rng.random() < 0.6, rng.choice([[], ["staff-a"], ["projects", "staff-b"]]), f"Step {step}"
            core.send(frame(ENSURE, ensure_body(user, name, enabled=wanted[user][1], groups=wanted[user][2],
                                                gecos=wanted[user][3])))
        time.sleep(rng.random() * 0.1)
        kill_all(tree)
    core = tree.restart().core()
    assert "accounts.recovery_incomplete" not in tree.said()
    # What the daemon was told no end of, it asks for again.
    for user, (name, enabled, groups, gecos) in wanted.items():
        result = core.ensure(user, name, enabled=enabled, groups=groups, gecos=gecos)
        assert result.status == DONE, result
        uids[name] = result.uid
        check_whole(tree, name)
        assert tree.groups_of(name) == groups and tree.account(name)[3] == gecos
        assert tree.expiry(name) == ("" if enabled else "1")
        assert not core.ensure(user, name, enabled=enabled, groups=groups, gecos=gecos).changed
    assert len(set(uids.values())) == len(uids)
    assert sorted(e.name for e in core.list()) == sorted(uids)
    for database, lines in before.items():
        assert set(tree.lines(database)) == set(lines) | set(uids)
    assert set(os.listdir(tree.path("/home"))) == set(uids)
