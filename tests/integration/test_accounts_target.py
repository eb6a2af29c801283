"""Linux accounts as a target: what the helper is told, whatever happens to people, the helper and the daemon."""
import time

import pytest

from bridge import Bridge, Refused
from fake_helper import FakeHelper

WAIT_SECONDS = 120
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKP/Up2vrOR7FunGRLeocmh0NbXZ0riVQmJNATuGFlFO"

CONFIG = """
segments: [All]
profiles:
  - {name: administrator, permissions: ["*:*@all"]}
  - {name: member, permissions: []}
  - {name: guest, permissions: []}
roles:
  - {name: operator, description: Operates, classifications: [Admin], segments: [All], permissions: ["hosts:*@all"]}
  - {name: builder, description: Builds, classifications: [Admin], segments: [All], permissions: ["hosts:*@all"]}
policy: {default_profile: member}
sources:
  - {name: hr, type: ldif, path: people.ldif, key: entryUUID, interval: 0,
     attributes: [{name: sshPublicKey, syntax: string-exact}, loginShell]}
targets:
  - name: linux
    type: accounts
    socket: helper.sock
    retry_min: 1s
    retry_max: 1s
    users: {profiles: [member], roles: [operator]}
    shell: /bin/sh
    groups:
      - {name: wheel, roles: [operator]}
      - {name: build, roles: [builder], local_groups: [builders]}
%s"""


def person(uid, more=""):
    return (f"dn: uid={uid},dc=x\nobjectClass: person\nentryUUID: {uid}-0000\nuid: {uid}\n"
            f"mail: {uid}@x.example\ncn: {uid.title()} Example\n{more}\n")


def wait_for(what, why="it"):
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"{why} did not come")


def settled(bridge):
    """Nothing waits any more."""
    def none():
        shown, = bridge.ctl("targets", "list")["targets"]
        return shown["waiting"] == 0
    wait_for(none, "the end of what waits")


@pytest.fixture(name="helper")
def run_helper(tmp_path):
    with FakeHelper(tmp_path / "helper.sock") as helper:
        yield helper


@pytest.fixture(name="bridge")
def run_bridge(helper, tmp_path):
    with Bridge(CONFIG % "", {"people.ldif": person("ada") + person("ben")}, tmp_path) as bridge:
        bridge.ctl("sync", "hr")
        wait_for(lambda: {"ada", "ben"} <= set(helper.accounts), "the accounts")
        yield bridge


def test_created(bridge, helper):
    account = helper.accounts["ada"]
    assert account["shell"] == "/bin/sh" and account["gecos"] == "Ada Example" and account["groups"] == []
    assert account["state"] == "enabled" and account["primary"] == "" and account["home"] == ""
    settled(bridge)


def test_groups_follow_grants(bridge, helper):
    bridge.ctl("users", "grant", "ada", "role", "operator")
    wait_for(lambda: helper.accounts["ada"]["groups"] == ["wheel"], "the group")
    bridge.ctl("users", "grant", "ada", "group", "builders")
    wait_for(lambda: helper.accounts["ada"]["groups"] == ["build", "wheel"], "the other group")
    bridge.ctl("users", "revoke", "ada", "role", "operator")
    wait_for(lambda: helper.accounts["ada"]["groups"] == ["build"], "the end of the group")
    assert helper.accounts["ben"]["groups"] == []


def test_disabled_and_enabled(bridge, helper):
    bridge.ctl("users", "disable", "ada")
    wait_for(lambda: helper.accounts["ada"]["state"] == "disabled", "the end of the account")
    assert helper.accounts["ben"]["state"] == "enabled"
    bridge.ctl("users", "enable", "ada")
    wait_for(lambda: helper.accounts["ada"]["state"] == "enabled", "the account")


def test_no_longer_one_of_these(bridge, helper):
    bridge.ctl("users", "grant", "ada", "profile", "guest")
    wait_for(lambda: helper.accounts["ada"]["state"] == "disabled", "the end of the account")
    bridge.ctl("users", "grant", "ada", "role", "operator")
    wait_for(lambda: helper.accounts["ada"]["state"] == "enabled", "the account")


def test_deleted(bridge, helper):
    """Only where the file says so: a home may be lost by it."""
    user = bridge.ctl("users", "create", "cora")["id"]
    wait_for(lambda: helper.of(user), "the account")
    bridge.ctl("users", "disable", "cora")
    bridge.ctl("users", "delete", "cora")
    settled(bridge)
    assert helper.of(user)["state"] == "disabled" and ("delete", user) not in helper.asked
    bridge.write_config(CONFIG % "    deleted: remove\n")
    bridge.ctl("reload")
    user = bridge.ctl("users", "create", "dora")["id"]
    wait_for(lambda: helper.of(user), "the account")
    bridge.ctl("users", "disable", "dora")
    bridge.ctl("users", "delete", "dora")
    wait_for(lambda: helper.of(user)["state"] == "deleting", "the end")


def test_renamed(bridge, helper):
    """The account keeps its name, and everything else of it goes on."""
    bridge.ctl("users", "create", "cora")
    wait_for(lambda: "cora" in helper.accounts, "the account")
    bridge.ctl("users", "set", "cora", "--username", "cordula")
    bridge.ctl("users", "grant", "cordula", "role", "operator")
    wait_for(lambda: helper.accounts["cora"]["groups"] == ["wheel"], "the group")
    assert "cordula" not in helper.accounts
    bridge.ctl("users", "set", "cordula", "--username", "c\u00f6ra@home")
    bridge.ctl("users", "revoke", "c\u00f6ra@home", "role", "operator")
    wait_for(lambda: helper.accounts["cora"]["groups"] == [], "the end of the group")
    bridge.ctl("users", "disable", "c\u00f6ra@home")
    wait_for(lambda: helper.accounts["cora"]["state"] == "disabled", "the end of the account")
    settled(bridge)


def dead(bridge):
    return {(row["username"], row["code"]) for row in bridge.ctl("targets", "show", "linux")["deliveries"]
            if row["state"] == "dead"}


def test_refused_for_good(bridge, helper):
    """Stable codes, an alarm, nobody else held up; a retry after the cause is gone."""
    helper.refuse["postgres"] = "name-taken"
    bridge.ctl("users", "create", "postgres")
    bridge.ctl("users", "create", "\u00e5sa")
    wait_for(lambda: len(dead(bridge)) == 2, "the dead letters")
    assert dead(bridge) == {("postgres", "name-taken"), ("\u00e5sa", "name-invalid")}
    wait_for(lambda: any(alarm["kind"] == "target-dead-letters" for alarm in bridge.ctl("status")["alarms"]), "the alarm")
    bridge.ctl("users", "create", "cora")
    wait_for(lambda: "cora" in helper.accounts, "somebody else's account")
    helper.refuse.clear()
    bridge.ctl("targets", "retry", "linux")
    wait_for(lambda: "postgres" in helper.accounts, "the account")
    wait_for(lambda: dead(bridge) == {("\u00e5sa", "name-invalid")}, "the rest")


@pytest.mark.parametrize("mode", ["hang", "close", "garbage", "again", "old", "unwelcome"])
def test_helper_misbehaves(bridge, helper, mode):
    """It is told all of it as soon as it is well again, and no decision waited for it."""
    helper.mode = mode
    bridge.ctl("users", "create", "cora")
    bridge.ctl("users", "disable", "ada")
    assert not bridge.ctl("users", "show", "ada")["active"]
    if mode == "hang":
        wait_for(lambda: not helper.lock.locked() and len(helper.connections) > 0, "the connection")
        bridge.stop()
        helper.mode = "ok"
        bridge.start()
    else:
        wait_for(lambda: bridge.ctl("targets", "list")["targets"][0]["problem"], "the problem")
        helper.mode = "ok"
    wait_for(lambda: "cora" in helper.accounts, "the account")
    wait_for(lambda: helper.accounts["ada"]["state"] == "disabled", "the end of the other")
    settled(bridge)


def test_helper_is_not_there(tmp_path):
    """Not installed, or not started yet."""
    with Bridge(CONFIG % "", {"people.ldif": person("ada")}, tmp_path) as bridge:
        bridge.ctl("sync", "hr")
        shown = wait_for(lambda: [t for t in bridge.ctl("targets", "list")["targets"] if t["problem"]], "the problem")
        assert "helper.sock" in shown[0]["problem"]
        with FakeHelper(tmp_path / "helper.sock") as helper:
            wait_for(lambda: "ada" in helper.accounts, "the account")
            settled(bridge)


def test_killed(bridge, helper):
    """Nothing that was decided is lost."""
    helper.mode = "close"
    names = [f"user{i}" for i in range(20)]
    for name in names:
        bridge.ctl("users", "create", name)
    bridge.kill()
    helper.mode = "ok"
    bridge.start()
    wait_for(lambda: set(names) <= set(helper.accounts), "all of them")


def test_attributes(helper, tmp_path):
    text = CONFIG.replace("    shell:", "    attributes: {shell: loginShell, name: title, uid: employeeNumber}\n    shell:")
    people = (person("ada", "loginShell: /bin/zsh\ntitle: al\nemployeeNumber: 71000\n") + person("ben", "title: be\n") +
              person("cid", "title: ci\nemployeeNumber: 0\n") + person("dan"))
    with Bridge(text % "", {"people.ldif": people}, tmp_path) as bridge:
        bridge.ctl("sync", "hr")
        wait_for(lambda: {"al", "be"} == set(helper.accounts), "the accounts")
        assert (helper.accounts["al"]["shell"], helper.accounts["al"]["uid"]) == ("/bin/zsh", 71000)
        assert helper.accounts["be"]["shell"] == "/bin/sh" and 70000 <= helper.accounts["be"]["uid"] < 71000
        wait_for(lambda: dead(bridge) == {("cid", "uid-invalid"), ("dan", "name-invalid")}, "the refusals")
        bridge.write("people.ldif", people.replace("/bin/zsh", "/bin/dash"))
        bridge.ctl("sync", "hr")
        wait_for(lambda: helper.accounts["al"]["shell"] == "/bin/dash", "the other shell")


def drift_of(bridge):
    return bridge.ctl("targets", "plan", "linux")["result"]["drift"]


def test_drift(bridge, helper):
    """What is missing, otherwise, or there without reason is seen, and repaired when somebody says so."""
    settled(bridge)
    assert drift_of(bridge) == []
    users = {row["username"]: row["id"] for row in bridge.ctl("users", "list")["users"]}
    bridge.ctl("users", "create", "cora")
    bridge.ctl("users", "disable", "cora")
    settled(bridge)
    with helper.lock:
        del helper.owned[users["ada"]]
        helper.owned[users["ben"]]["groups"] = ["wheel"]
    drift = {row["name"]: row for row in drift_of(bridge)}
    assert {name: row["kind"] for name, row in drift.items()} == {"ada": "missing", "ben": "differing"}
    assert drift["ben"]["fields"]["groups"] == ["wheel", ""]
    bridge.ctl("targets", "reconcile", "linux")
    wait_for(lambda: "ada" in helper.accounts and helper.accounts["ben"]["groups"] == [], "the repair")
    settled(bridge)
    assert drift_of(bridge) == []
    # Opened by hand for somebody who is disabled here.
    bridge.ctl("users", "disable", "ben")
    settled(bridge)
    with helper.lock:
        helper.owned[users["ben"]]["state"] = "enabled"
    row, = drift_of(bridge)
    assert row["kind"] == "extra" and row["takes_away"]
    bridge.ctl("targets", "reconcile", "linux")
    wait_for(lambda: helper.accounts["ben"]["state"] == "disabled", "the repair")


def test_list_without_end(bridge, helper):
    settled(bridge)
    helper.mode = "endless"
    result = bridge.run("targets", "plan", "linux")
    assert result.returncode == 1 and "out of order" in result.stdout + result.stderr
    helper.mode = "ok"
    assert drift_of(bridge) == []


def test_many(helper, tmp_path):
    """More than one page of accounts."""
    names = [f"user{i}" for i in range(300)]
    with Bridge(CONFIG % "", {"people.ldif": "".join(person(name) for name in names)}, tmp_path) as bridge:
        bridge.ctl("sync", "hr")
        wait_for(lambda: len(helper.owned) == len(names), "the accounts")
        settled(bridge)
        assert drift_of(bridge) == []
        with helper.lock:
            for account in helper.owned.values():
                account["shell"] = "/bin/zsh"
        assert len(drift_of(bridge)) == len(names)
        bridge.ctl("targets", "reconcile", "linux")
        wait_for(lambda: {account["shell"] for account in helper.accounts.values()} == {"/bin/sh"}, "the repair")


@pytest.mark.parametrize("change,code", [
    (("users: {profiles: [member], roles: [operator]}", "users: {organizations: [default]}"), "missing-key"),
    (("shell: /bin/sh", "shell: sh"), "invalid-value"),
    (("shell: /bin/sh", "attributes: {ssh_keys: sshPublicKy}"), "unknown-attribute"),
])
def test_bad_configuration(bridge, change, code):
    bridge.write_config(CONFIG.replace(*change) % "")
    with pytest.raises(Refused) as refused:
        bridge.ctl("check", bridge.config)
    assert code in refused.value.output
