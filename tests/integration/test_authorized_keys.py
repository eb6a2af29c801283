"""Keys for sshd: of active people whose account it is, and of nobody else, whatever fails."""
import os
import socket
import struct
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest

from accounts_tree import frame, text, varint
from bridge import BUILD, Bridge
from fake_helper import FakeHelper
from test_accounts_target import CONFIG, KEY, person, wait_for
from test_socket_activation import Activated, listening

COMMAND = BUILD / "rolebridge-authorized-keys"
OTHER = ("ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBGhXy134hJrDglFWjRvurrGAoPUfD6a1igIq"
         "rr/sZRf+tEbfGGjJOY4O/kqd8HPNRRfZiaZZdijqeQZ4qXHLuoI=")
PEOPLE = (person("ada", f"sshPublicKey: {KEY} ada@laptop\nsshPublicKey: {OTHER}\n") +
          person("ben", f"sshPublicKey: command=\"sh\" {KEY}\nsshPublicKey: {OTHER}\n") + person("cid") +
          person("games", f"sshPublicKey: {KEY}\n"))
KEYS = "    attributes: {ssh_keys: sshPublicKey}\n    keys: {socket: keys.sock, users: []}\n"


def command(folder, *words, name="keys.sock"):
    """As sshd runs it, on a machine whose helper gives uids from 70000 to 99999."""
    config = folder / "accounts.conf"
    config.write_text("uid_min = 70000\nuid_max = 99999\n")
    config.chmod(0o644)
    return [COMMAND, "--config", config, "--socket", folder / name, *words]


def ask(folder, account, uid=None, **more):
    words = [account] + ([str(uid)] if uid is not None else [])
    return subprocess.run(command(folder, *words), capture_output=True, text=True, timeout=60, check=False, **more)


@pytest.fixture(name="folder")
def open_folder():
    """Where others can come to: pytest's own is closed to them."""
    with tempfile.TemporaryDirectory(prefix="rolebridge-keys-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder


@pytest.fixture(name="helper")
def run_helper(folder):
    with FakeHelper(folder / "helper.sock") as helper:
        helper.refuse["games"] = "name-taken"
        yield helper


@pytest.fixture(name="bridge")
def run_bridge(helper, folder):
    with Bridge(CONFIG % KEYS, {"people.ldif": PEOPLE}, folder) as bridge:
        bridge.ctl("sync", "hr")
        wait_for(lambda: {"ada", "ben", "cid"} == set(helper.accounts), "the accounts")
        yield bridge


def keys_of(bridge, helper, name):
    result = ask(bridge.folder, name, helper.accounts[name]["uid"])
    assert result.returncode == 0, result.stderr
    return sorted(result.stdout.splitlines())


def test_keys(bridge, helper):
    """Without comments; what has options, or is no key, is left out and said in the log."""
    assert keys_of(bridge, helper, "ada") == sorted([KEY, OTHER])
    assert keys_of(bridge, helper, "ben") == [OTHER]
    assert keys_of(bridge, helper, "cid") == []
    assert "keys.unusable" in bridge.logged() and "command=" not in bridge.logged()


def test_follow_the_directory(bridge, helper):
    bridge.write("people.ldif", PEOPLE.replace(f"sshPublicKey: {KEY} ada@laptop\n", ""))
    bridge.ctl("sync", "hr")
    assert keys_of(bridge, helper, "ada") == [OTHER]


def test_disabled(bridge, helper):
    """At once, whether or not the helper has been told."""
    helper.mode = "close"
    bridge.ctl("users", "disable", "ada")
    assert keys_of(bridge, helper, "ada") == []
    bridge.ctl("users", "grant", "ben", "profile", "guest")
    assert keys_of(bridge, helper, "ben") == []
    bridge.ctl("users", "enable", "ada")
    assert keys_of(bridge, helper, "ada") == sorted([KEY, OTHER])


def test_account_that_is_not_ours(bridge, helper):
    """Somebody whose username is that of a service of this machine does not sign in as that service."""
    assert bridge.ctl("users", "show", "games")["active"]
    for uid in (5, 70003, helper.accounts["ada"]["uid"]):
        result = ask(bridge.folder, "games", uid)
        assert (result.returncode, result.stdout) == (0, "")
    # The name is ours, and the uid that sshd found is another one.
    result = ask(bridge.folder, "ada", 5)
    assert (result.returncode, result.stdout) == (0, "")


def test_renamed(bridge, helper):
    """The account keeps its name, and its keys are those of whose it is, not of who has the name now."""
    bridge.ctl("users", "create", "dora")
    wait_for(lambda: "dora" in helper.accounts, "the account")
    uid = helper.accounts["dora"]["uid"]
    bridge.ctl("users", "set", "dora", "--username", "theodora")
    assert ask(bridge.folder, "dora", uid).returncode == 0
    assert ask(bridge.folder, "theodora", uid).stdout == ""


def test_after_a_restart(bridge, helper):
    """Whose account it is is asked of the helper then; without its answer there are no keys."""
    bridge.stop()
    helper.mode = "close"
    bridge.start()
    result = ask(bridge.folder, "ada", helper.accounts["ada"]["uid"])
    assert (result.returncode, result.stdout) == (1, "")
    helper.mode = "ok"
    wait_for(lambda: ask(bridge.folder, "ada", helper.accounts["ada"]["uid"]).returncode == 0, "an answer")
    assert keys_of(bridge, helper, "ada") == sorted([KEY, OTHER])


def test_helper_hangs(bridge, helper):
    """Who asks is told in time that nobody knows, and the daemon ends all the same."""
    bridge.stop()
    helper.mode = "hang"
    bridge.start()
    asking = [subprocess.Popen(command(bridge.folder, "ada", "70000"), stdout=subprocess.PIPE)
              for _ in range(3)]
    assert [process.communicate(timeout=60)[0] for process in asking] == [b""] * 3
    assert all(process.returncode for process in asking)
    late = subprocess.Popen(command(bridge.folder, "ada", "70000"), stdout=subprocess.PIPE)
    assert bridge.stop() == 0
    assert late.communicate(timeout=60)[0] == b"" and late.returncode


def test_restored(bridge, helper):
    """A store of yesterday may not know who left since: no keys before the directory was read."""
    bridge.ctl("backup", bridge.folder / "backup.db")
    bridge.ctl("users", "disable", "ada")
    bridge.stop()
    bridge.ctl("restore", bridge.folder / "backup.db")
    bridge.start()
    assert bridge.ctl("users", "show", "ada")["active"]
    assert keys_of(bridge, helper, "ada") == [] and keys_of(bridge, helper, "ben") == []
    bridge.ctl("sync", "hr")
    assert keys_of(bridge, helper, "ben") == [OTHER]


def test_daemon_is_down(bridge, helper):
    uid = helper.accounts["ada"]["uid"]
    bridge.stop()
    assert not (bridge.folder / "keys.sock").exists()
    result = ask(bridge.folder, "ada", uid)
    assert (result.returncode, result.stdout) == (1, "")


@pytest.mark.skipif(os.geteuid() != 0, reason="to ask as another user takes root")
def test_who_may_ask(bridge, helper):
    uid = helper.accounts["ada"]["uid"]

    def ask_as(user):
        with socket.socket(socket.AF_UNIX) as connection:
            os.seteuid(user)
            try:
                connection.connect(str(bridge.folder / "keys.sock"))
            finally:
                os.seteuid(0)
            connection.settimeout(60)
            try:
                connection.sendall(question("ada", uid))
                return connection.recv(65536)
            except ConnectionError:
                return b""

    begun = time.monotonic()
    for _ in range(50):
        assert ask_as(65533) == b""
    # Not a line for each: whoever can connect could fill the log.
    assert 1 <= bridge.logged().count("keys.refused") <= time.monotonic() - begun + 2
    bridge.write_config((CONFIG % KEYS).replace("users: []", "users: [nobody]"))
    bridge.ctl("reload")
    assert KEY.encode() in ask_as(65534)
    assert ask_as(65533) == b""


def question(account, uid, version=1, kind=1):
    return frame(kind, struct.pack("<B", version) + text(account) + struct.pack("<I", uid))


GOOD = question("ada", 70000)


@pytest.mark.parametrize("sent", [
    b"", GOOD[:3], GOOD[:-1], GOOD[:4] + b"\x09\x00" + GOOD[6:], question("ada", 70000, version=2), b"\xff" * 64,
    struct.pack("<I", 1 << 30) + GOOD[4:], struct.pack("<I", len(GOOD)) + GOOD[4:] + b"more", b"GET / HTTP/1.1\r\n\r\n",
    question("ada\0", 70000), question("\xff" * 200, 1),
], ids=lambda sent: sent[:12].hex() or "nothing")
def test_malformed_question(bridge, helper, sent):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        connection.connect(str(bridge.folder / "keys.sock"))
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(4096) == b""
    assert keys_of(bridge, helper, "cid") == []


@pytest.mark.parametrize("account", ["../ada", "ada\nben", "ADA", "a" * 100, "root", "ada ", "%u", "\u00e5sa"])
def test_other_names(bridge, helper, account):
    result = ask(bridge.folder, account, 70000)
    assert result.stdout == "" and result.returncode in (0, 1)


@pytest.mark.parametrize("words", [[], ["-x"], [""], ["ada", "x"], ["ada", "-1"], ["ada", "4294967295"], ["ada", "1", "2"],
                                   ["--socket"], ["--config"], ["--other", "x", "ada"]])
def test_usage(words):
    result = subprocess.run([COMMAND, *words], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 2 and result.stdout == "" and "usage" in result.stderr


def ask_at_once(bridge, helper, count):
    """So many, each answered."""
    uid = helper.accounts["ada"]["uid"]
    asking = []
    for _ in range(count):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(60)
        connection.connect(str(bridge.folder / "keys.sock"))
        connection.sendall(question("ada", uid))
        asking.append(connection)
    for connection in asking:
        assert KEY.encode() in connection.recv(65536)
        connection.close()


def test_many_at_once(bridge, helper):
    """Who connects and says nothing holds up nobody for long."""
    silent = []
    for _ in range(3):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(bridge.folder / "keys.sock"))
        silent.append(connection)
    ask_at_once(bridge, helper, 16)
    for connection in silent:
        connection.close()


def alarmed(bridge):
    return any(alarm["kind"] == "keys-socket" for alarm in bridge.ctl("status")["alarms"])


def test_reload(bridge, helper):
    """The socket comes, moves and goes with the configuration."""
    moved = (CONFIG % KEYS).replace("keys.sock", "other.sock")
    bridge.write_config(moved)
    bridge.ctl("reload")
    assert not (bridge.folder / "keys.sock").exists()
    uid = helper.accounts["ada"]["uid"]
    result = subprocess.run(command(bridge.folder, "ada", str(uid), name="other.sock"), capture_output=True, text=True,
                            timeout=60, check=False)
    assert KEY in result.stdout
    bridge.write_config(CONFIG % "")
    bridge.ctl("reload")
    assert not (bridge.folder / "other.sock").exists()
    bridge.write("keys.sock", "somebody's file")
    bridge.write_config(CONFIG % KEYS)
    bridge.ctl("reload")
    assert alarmed(bridge)
    assert (bridge.folder / "keys.sock").read_text() == "somebody's file"
    (bridge.folder / "keys.sock").unlink()
    bridge.ctl("reload")
    assert keys_of(bridge, helper, "ada") == sorted([KEY, OTHER])
    assert not alarmed(bridge)


def test_socket_of_systemd(helper, folder):
    """Who asks while the daemon starts anew waits for it."""
    with listening(str(folder / "keys.sock")) as server:
        with Activated(CONFIG % KEYS, [("keys", server)], folder=folder, files={"people.ldif": PEOPLE}) as bridge:
            bridge.ctl("sync", "hr")
            wait_for(lambda: "ada" in helper.accounts, "the account")
            # The threads that answer wake for each other's questions.
            for _ in range(1000):
                ask_at_once(bridge, helper, 1)
            assert "listen.unused" not in bridge.logged()
            assert bridge.stop() == 0
            assert (folder / "keys.sock").exists()
            with socket.socket(socket.AF_UNIX) as early:
                early.settimeout(60)
                early.connect(str(folder / "keys.sock"))
                early.sendall(question("ada", helper.accounts["ada"]["uid"]))
                bridge.start()
                assert KEY.encode() in early.recv(65536)
            bridge.write_config(CONFIG % "")
            bridge.ctl("reload")
            assert "listen.unused" in bridge.logged()


class Answering:
    """A daemon that answers what it likes."""

    def __init__(self, path, answer):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        self.socket.listen(1)
        self.thread = threading.Thread(target=self._answer, args=(answer,), daemon=True)
        self.thread.start()

    def _answer(self, answer):
        try:
            connection, _ = self.socket.accept()
        except OSError:
            return
        with connection:
            connection.recv(4096)
            connection.sendall(answer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # Nobody may have asked.
        self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.socket.close()


def answer(lines, version=1, kind=2, count=None):
    body = struct.pack("<B", version) + varint(len(lines) if count is None else count)
    return frame(kind, body + b"".join(text(line) for line in lines))


@pytest.mark.parametrize("sent", [
    b"", answer([KEY])[:-1], answer([KEY], version=2), answer([KEY], kind=1), answer([KEY], count=2), answer([KEY], count=0),
    answer([f'command="sh" {KEY}']), answer([KEY, f"{KEY}\n{OTHER}"]), answer(["nonsense"]), answer([KEY] * 65), b"\xff" * 100,
], ids=["nothing", "cut", "version", "kind", "fewer", "more", "options", "lines", "nonsense", "many", "noise"])
def test_answer_is_not_believed(tmp_path, sent):
    with Answering(tmp_path / "keys.sock", sent):
        result = ask(tmp_path, "ada", 70000)
    assert (result.returncode, result.stdout) == (1, "")


def test_answer_is_believed(tmp_path):
    with Answering(tmp_path / "keys.sock", answer([KEY, OTHER])):
        result = ask(tmp_path, "ada", 70000)
    assert (result.returncode, result.stdout) == (0, f"{KEY}\n{OTHER}\n")


@pytest.mark.parametrize("account, uid", [("root", 0), ("root", None), ("ada", 1000), ("ada", 69999), ("ada", 100000)])
def test_accounts_of_the_machine_have_no_keys(tmp_path, account, uid):
    """Whatever a daemon says that somebody took over: which uids are the helper's is root's to say."""
    with Answering(tmp_path / "keys.sock", answer([KEY])):
        result = ask(tmp_path, account, uid)
    assert (result.returncode, result.stdout) == (0, "")


@pytest.mark.parametrize("spoil", [lambda config: config.unlink(), lambda config: config.chmod(0o666),
                                   lambda config: config.write_text("uid_min = 0\n")], ids=["missing", "of all", "wrong"])
def test_without_a_range_there_are_no_keys(tmp_path, spoil):
    words = command(tmp_path, "ada", "70000")
    spoil(tmp_path / "accounts.conf")
    with Answering(tmp_path / "keys.sock", answer([KEY])):
        result = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout) == (1, "") and "accounts.conf" in result.stderr


def test_daemon_hangs(tmp_path):
    """sshd does not wait for ever."""
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "keys.sock"))
        silent.listen(1)
        begun = time.monotonic()
        result = ask(tmp_path, "ada", 70000)
        assert result.returncode != 0 and result.stdout == "" and time.monotonic() - begun >= 9
