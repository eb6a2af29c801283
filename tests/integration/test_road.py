"""The road from a real slapd to local users, end to end, through rolebridgectl."""
import random
import shutil
import subprocess
import time
import uuid

import pytest

from bridge import Bridge, Refused
from slapd import BASE_ENTRIES, GROUPS, PEOPLE, Slapd, group, group_dn, person

RULES = f"""
profiles:
  - {{name: administrator, permissions: ["*:*@all"]}}
  - {{name: manager, permissions: ["accounts:*@all"]}}
  - {{name: viewer, permissions: ["accounts:read@own"]}}
segments: [All]
roles:
  - {{name: sales, description: Sells, classifications: [Sales], segments: [All], permissions: ["quotes:*@own"]}}
  - {{name: support, description: Helps, classifications: [Support], segments: [All], permissions: ["cases:*@own"]}}
rules:
  - id: admins
    groups: ["{group_dn('admins')}"]
    grant: {{profile: administrator}}
  - id: managers
    groups: ["{group_dn('managers')}"]
    grant: {{profile: manager}}
  - id: sales
    groups: ["{group_dn('sales')}"]
    grant: {{roles: [sales]}}
  - id: support
    groups: ["{group_dn('support')}"]
    grant: {{roles: [support]}}
"""


def source(directory, name="corp", more="", users_more=""):
    return f"""  - name: {name}
    type: ldap
    servers: ["{directory.ldaps_url or directory.url}"]
    {'ca: ' + str(directory.ca) if directory.ca else 'tls: none'}
    {'' if directory.ca else 'allow_cleartext: true'}
    bind: {{method: simple, dn: "{directory.root_dn}", password_file: {directory.password_file}}}
    users: {{base: "{PEOPLE}"{users_more}}}
    groups: {{base: "{GROUPS}"}}
    interval: 0
    {more}
"""


LIMITS_OFF = ("limits: {disables_min: 100000, disables_max: 100000, removals_min: 100000, group_loss_percent: 100, "
              "new_administrators: 100000, first_sync_administrators: true}")


def config(directory, limits=LIMITS_OFF, rules=RULES, policy="missing_runs: 1, missing_grace: 0", **kwargs):
    extra = f"  {limits}\n" if limits else ""
    lines = "".join(f"  {part.strip()}\n" for part in policy.split(","))
    return f"{rules}\npolicy:\n  default_profile: viewer\n{lines}{extra}\nsources:\n{source(directory, **kwargs)}"


def with_keys(people):
    """The same immutable keys in every directory that is loaded with them."""
    return [entry.rstrip("\n") + f"\nentryUUID: {uuid.uuid5(uuid.NAMESPACE_DNS, entry)}\n\n" for entry in people]


def company():
    """30 people in nested groups, one cycle, names that need escaping."""
    people = [person(f"user{i:02d}") for i in range(26)]
    people += [
        person("lee", rdn="cn=Lee\\, Robin (R&D)\\+x", name="Lee, Robin (R&D)+x"),
        person("hash", rdn="cn=\\#hash \\3c\\3e", name="#hash <>"),
        person("maria", rdn="cn=María García", name="María García"),
        person("anna"),
    ]
    groups = [
        group("admins", ["uid=anna", "uid=user00"]),
        group("managers", ["uid=user01", "cn=LEE\\2C robin (R&D)\\2Bx"]),
        group("sales", [f"uid=user{i:02d}" for i in range(2, 9)] + [group_dn("sales-north")]),
        group("sales-north", ["cn=María García", group_dn("sales-south")]),
        group("sales-south", ["uid=user20", "cn=\\23hash \\<\\>", group_dn("sales-north")]),
        group("support", [f"uid=user{i:02d}" for i in range(9, 15)]),
    ]
    return with_keys(people), groups


@pytest.fixture
def directory():
    people, groups = company()
    with Slapd(BASE_ENTRIES + "".join(people + groups), tls=True) as slapd:
        yield slapd


def report(run):
    assert run["state"] == "done", run
    (only,) = run["reports"]
    return only


def sync(bridge, name="corp"):
    return report(bridge.ctl("sync", name))


def grants(bridge, user):
    shown = bridge.ctl("users", "show", user)
    return {(g["kind"], g["name"]) for g in shown["grants"]} | {("effective", shown["profile"])}


def state(bridge):
    """What everybody has, by username."""
    users = bridge.ctl("users", "list", "--limit", "1000")["users"]
    out = {}
    for user in users:
        shown = bridge.ctl("users", "show", user["username"])
        out[user["username"]] = (shown["profile"], tuple(shown["disabled"]),
                                 tuple(sorted((g["kind"], g["name"], g["origin"]["kind"], g["origin"]["id"])
                                              for g in shown["grants"])))
    return out


def test_first_sync_gives_what_rules_say(directory):
    with Bridge(config(directory)) as bridge:
        first = sync(bridge)
        assert first["complete"] and first["created"] == 30 and first["held"] == 0, first
        assert ("effective", "administrator") in grants(bridge, "anna")
        assert ("effective", "manager") in grants(bridge, "lee")
        for nested in ["maria", "hash", "user20"]:
            assert ("role", "sales") in grants(bridge, nested), nested
        assert grants(bridge, "user25") == {("effective", "viewer"), ("profile", "viewer")}
        assert bridge.ctl("audit", "verify")["intact"]


def test_second_sync_is_empty(directory):
    with Bridge(config(directory)) as bridge:
        sync(bridge)
        before = bridge.ctl("audit", "list", "--limit", "1000")
        plan = report(bridge.ctl("plan", "corp"))
        assert plan["dry_run"] and plan["changes_total"] == 0 and plan["unchanged"] == 30, plan
        second = sync(bridge)
        assert second["changes_total"] == 0 and second["unchanged"] == 30, second
        assert bridge.ctl("audit", "list", "--limit", "1000") == before


def test_a_plan_writes_nothing(directory):
    with Bridge(config(directory)) as bridge:
        plan = report(bridge.ctl("plan", "corp"))
        assert plan["created"] == 30
        assert bridge.ctl("users", "list")["users"] == []
        assert [r["action"] for r in bridge.ctl("audit", "list")["rows"]] == ["definitions.seed"]


def test_order_and_spelling_do_not_matter(directory):
    """Entries in another order, DNs of members in another spelling: the same outcome and the same plan."""
    people, groups = company()
    shuffled = random.Random(5).sample(people, len(people))
    respelled = [g.replace("member: uid=", "member: UID=").replace(",ou=people,dc=example", ",OU=People,DC=Example")
                 for g in reversed(groups)]
    with Bridge(config(directory, limits=None)) as first:
        held = sync(first)["plan"]
        expected = state(first)
        first.write_config(config(directory, limits=None))
    assert held
    with Slapd(BASE_ENTRIES + "".join(shuffled + respelled), tls=True) as other, \
            Bridge(config(other, limits=None)) as second:
        sync(second)
        assert state(second) == expected


def test_respelled_members_change_nothing(directory):
    with Bridge(config(directory)) as bridge:
        sync(bridge)
        directory.modify(f"dn: {group_dn('sales')}\nchangetype: modify\nreplace: member\n" +
                         "".join(f"member: UID=User{i:02d} , OU=people,DC=example,dc=org\n"
                                 for i in reversed(range(2, 9))) + f"member: {group_dn('sales-north')}\n")
        again = sync(bridge)
        assert again["changes_total"] == 0 and again["unchanged"] == 30, again


def test_group_removal_revokes_only_own_grants(directory):
    with Bridge(config(directory)) as bridge:
        sync(bridge)
        bridge.ctl("users", "grant", "user02", "role", "support")
        bridge.ctl("users", "grant", "user03", "role", "sales")
        directory.modify(f"dn: {group_dn('sales')}\nchangetype: modify\ndelete: member\n" +
                         "".join(f"member: uid=user{i:02d},{PEOPLE}\n" for i in (2, 3, 4)))
        after = sync(bridge)
        assert after["revoked"] == 2, "user03 keeps the role from another origin"
        assert grants(bridge, "user02") == {("effective", "viewer"), ("profile", "viewer"), ("role", "support")}
        assert ("role", "sales") in grants(bridge, "user03"), "what a person gave by hand survives"
        assert ("role", "sales") not in grants(bridge, "user04")
        assert ("role", "sales") in grants(bridge, "user05")


def test_rename_keeps_the_user(directory):
    with Bridge(config(directory)) as bridge:
        sync(bridge)
        before = bridge.ctl("users", "show", "user05")
        directory.modify(f"dn: uid=user05,{PEOPLE}\nchangetype: modrdn\nnewrdn: uid=renamed\ndeleteoldrdn: 1\n\n"
                         f"dn: {group_dn('sales')}\nchangetype: modify\ndelete: member\nmember: uid=user05,{PEOPLE}\n"
                         f"-\nadd: member\nmember: uid=renamed,{PEOPLE}\n")
        sync(bridge)
        after = bridge.ctl("users", "show", "renamed")
        assert after["id"] == before["id"]
        assert ("role", "sales") in grants(bridge, "renamed")


def test_size_limit_takes_nothing_away(directory):
    people, groups = company()
    with Bridge(config(directory)) as bridge:
        sync(bridge)
        expected = state(bridge)
        limit = 'limits dn.exact="cn=reader,dc=example,dc=org" size=10'
        reader = ("dn: cn=reader,dc=example,dc=org\nobjectClass: person\ncn: reader\nsn: reader\n"
                  "userPassword: reader\n\n")
        with Slapd(BASE_ENTRIES + reader + "".join(people + groups), tls=True,
                   mdb=("maxsize 268435456", limit)) as cut:
            cut.password_file.write_text("reader\n")
            cut.root_dn = "cn=reader,dc=example,dc=org"
            bridge.write_config(config(cut))
            bridge.ctl("reload")
            short = bridge.answer("sync", "corp")["reports"][0]
            assert not short["complete"] and "Size limit" in short["problem"], short
            assert short["revoked"] == 0 and short["disabled"] == 0 and short["held"] == 0
        assert state(bridge) == expected


def test_directory_that_dies_takes_nothing_away(directory):
    with Bridge(config(directory)) as bridge:
        sync(bridge)
        expected = state(bridge)
        directory.kill()
        gone = bridge.answer("sync", "corp")["reports"][0]
        assert not gone["complete"]
        assert state(bridge) == expected
        (status,) = bridge.ctl("status")["sources"]
        assert status["problem"], status


def test_most_users_gone_holds_the_plan(directory):
    with Bridge(config(directory, limits=None)) as bridge:
        first = sync(bridge)
        assert first["held"] == 2, "administrators of a first sync wait for a person"
        bridge.ctl("apply", first["plan"])
        assert ("effective", "administrator") in grants(bridge, "anna")
        gone = [f"uid=user{i:02d},{PEOPLE}" for i in range(8, 26)]
        directory.delete(*gone)
        held = sync(bridge)
        assert held["disabled"] == 0 and held["held"] == 18, held
        assert held["plan"] and held["holds"][0]["text"]
        assert all(not disabled for _, disabled, _ in state(bridge).values())
        assert any(a["kind"] == "plan-held" for a in bridge.ctl("alarms", "list")["alarms"])
        again = sync(bridge)
        assert again["plan"] == held["plan"], "the same content is the same plan"
        bridge.ctl("apply", held["plan"])
        after = state(bridge)
        assert sum(1 for _, disabled, _ in after.values() if disabled) == 18
        assert not any(a["kind"] == "plan-held" for a in bridge.ctl("alarms", "list")["alarms"])
        assert sync(bridge)["changes_total"] == 0
        assert bridge.ctl("audit", "verify")["intact"]


def test_plan_that_is_no_longer_wanted_does_nothing(directory):
    members = "".join(f"member: uid=user{i:02d},{PEOPLE}\n" for i in range(2, 9))
    with Bridge(config(directory, limits=None)) as bridge:
        bridge.ctl("apply", sync(bridge)["plan"])
        expected = state(bridge)
        directory.modify(f"dn: {group_dn('sales')}\nchangetype: modify\ndelete: member\n{members}")
        held = sync(bridge)
        assert held["held"] == 7 and held["revoked"] == 0, held
        directory.modify(f"dn: {group_dn('sales')}\nchangetype: modify\nadd: member\n{members}")
        again = sync(bridge)
        assert again["held"] == 0 and again["plan"] == "", again
        with pytest.raises(Refused):
            bridge.ctl("apply", held["plan"])
        assert state(bridge) == expected


def test_recreated_name_is_another_person(directory):
    """The same uid under another immutable key does not inherit; the old user waits for grace as missing."""
    people, _ = company()
    with Bridge(config(directory, policy="missing_runs: 9, missing_grace: 0")) as bridge:
        sync(bridge)
        before = bridge.ctl("users", "show", "user05")
        directory.delete(f"uid=user05,{PEOPLE}")
        directory.add(person("user05"))
        after = sync(bridge)
        assert after["created"] == 0 and after["quarantined"] == 1 and after["missing"] == 1, after
        assert bridge.ctl("users", "show", "user05")["id"] == before["id"]


def test_missing_people_have_a_grace(directory):
    with Bridge(config(directory, policy="missing_runs: 2, missing_grace: 0")) as bridge:
        sync(bridge)
        directory.delete(f"uid=user25,{PEOPLE}")
        first = sync(bridge)
        assert first["disabled"] == 0 and first["missing"] == 1, first
        assert sync(bridge)["disabled"] == 1
        assert bridge.ctl("users", "show", "user25")["disabled"] == ["missing"]
        bridge.run("users", "enable", "user25")
        assert bridge.ctl("users", "show", "user25")["disabled"] == ["missing"], "a hand lifts only a hand's disabling"


def test_hand_disable_is_not_undone_by_a_sync(directory):
    with Bridge(config(directory)) as bridge:
        sync(bridge)
        bridge.ctl("users", "disable", "user07")
        directory.modify(f"dn: uid=user07,{PEOPLE}\nchangetype: modify\nreplace: title\ntitle: Back\n")
        sync(bridge)
        assert bridge.ctl("users", "show", "user07")["disabled"] == ["hand"]
        bridge.ctl("users", "enable", "user07")
        assert bridge.ctl("users", "show", "user07")["active"]


def test_last_administrator_stays(directory):
    with Bridge(config(directory)) as bridge:
        sync(bridge)
        bridge.ctl("users", "disable", "user00")
        with pytest.raises(Refused) as refused:
            bridge.ctl("users", "disable", "anna")
        assert "last-administrator" in refused.value.text + refused.value.output
        directory.modify(f"dn: {group_dn('admins')}\nchangetype: modify\nreplace: member\nmember: uid=user25,{PEOPLE}\n\n"
                         f"dn: uid=user25,{PEOPLE}\nchangetype: modify\nreplace: mail\nmail: user25@example.org\n")
        sync(bridge)
        administrators = bridge.ctl("users", "list", "--profile", "administrator")["users"]
        assert [user["username"] for user in administrators if user["active"]] == ["user25", "anna"], "a loss that leaves fewer than two is held"


def test_broken_entries_are_quarantined(directory):
    directory.add(f"dn: uid=twice,{PEOPLE}\nobjectClass: inetOrgPerson\nuid: twice\ncn: twice\nsn: twice\n"
                  f"mail: user01@example.org\n\n")
    with Bridge(config(directory)) as bridge:
        first = sync(bridge)
        assert first["complete"] and first["created"] == 29, first
        listed = bridge.ctl("quarantine", "list")["entries"]
        assert {row["reason"] for row in listed} == {"email-conflict"}, listed
        assert len(listed) == 2, "of two that claim one address neither is believed"


def test_why_names_rule_and_group(directory):
    with Bridge(config(directory)) as bridge:
        sync(bridge)
        text = bridge.human("why", "maria").stdout
        assert "sales" in text and group_dn("sales") in text and "corp" in text, text
        why = bridge.ctl("why", "maria", "sales")
        assert "unknown" not in str(why).lower() or why


def test_preview_of_other_rules_on_live_people(directory):
    with Bridge(config(directory)) as bridge:
        sync(bridge)
        expected = state(bridge)
        other = RULES.replace("grant: {roles: [support]}", "grant: {roles: [support, sales]}")
        preview = bridge.write("preview.yaml", f"store: store.db\ncontrol_socket: control.sock\n"
                               f"{config(directory, rules=other)}")
        plan = report(bridge.ctl("plan", "corp", "--config", preview))
        assert plan["granted"] == 6 and plan["revoked"] == 0, plan
        assert state(bridge) == expected


def test_reload_reevaluates_everybody(directory):
    with Bridge(config(directory)) as bridge:
        sync(bridge)
        bridge.write_config(config(directory, rules=RULES.replace("grant: {roles: [sales]}", "grant: {roles: [support]}")))
        bridge.ctl("reload")
        assert ("role", "sales") not in grants(bridge, "user02")
        assert ("role", "support") in grants(bridge, "user02")
        bridge.write_config("nonsense: true\n")
        with pytest.raises(Refused):
            bridge.ctl("reload")
        assert ("role", "support") in grants(bridge, "user02")
        assert bridge.ctl("status")


def test_new_group_in_rules_is_unknown_until_read(directory):
    """A group that no rule named before was never read: absence is not known, nothing is taken."""
    rules = RULES + f"""  - id: north
    groups: ["{group_dn('sales-north')}"]
    grant: {{roles: [support]}}
"""
    with Bridge(config(directory)) as bridge:
        sync(bridge)
        bridge.write_config(config(directory, rules=rules))
        bridge.ctl("reload")
        assert ("role", "support") not in grants(bridge, "maria")
        sync(bridge)
        assert ("role", "support") in grants(bridge, "maria")
        assert ("role", "support") not in grants(bridge, "user02")


def test_vanished_group_freezes_its_rule(directory):
    with Bridge(config(directory)) as bridge:
        sync(bridge)
        directory.delete(group_dn("support"))
        sync(bridge)
        assert ("role", "support") in grants(bridge, "user10"), "it keeps what it gave"
        alarms = bridge.ctl("alarms", "list")["alarms"]
        assert any(a["kind"] == "group-vanished" for a in alarms), alarms
        bridge.ctl("rules", "release", "support")
        assert ("role", "support") not in grants(bridge, "user10")


def test_restart_keeps_everything(directory):
    with Bridge(config(directory)) as bridge:
        sync(bridge)
        expected = state(bridge)
        assert bridge.stop() == 0
        bridge.start()
        assert state(bridge) == expected
        assert sync(bridge)["unchanged"] == 30
        bridge.kill()
        bridge.start()
        assert state(bridge) == expected


def test_sighup_reloads_and_sigterm_drains(directory):
    import signal
    with Bridge(config(directory)) as bridge:
        sync(bridge)
        bridge.write_config(config(directory, rules=RULES.replace("grant: {roles: [sales]}", "grant: {roles: [support]}")))
        bridge.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + 60
        while "reload.done" not in bridge.logged():
            assert time.monotonic() < end, bridge.logged()[-3000:]
            time.sleep(0.02)
        assert ("role", "support") in grants(bridge, "user02")
        assert bridge.stop() == 0
        assert not (bridge.folder / "control.sock").exists()


def test_two_sources_make_one_person(directory):
    rows = "id,mail,costCenter,groups\nhr-1,user01@example.org,4400,board\nhr-2,nobody@example.org,1,\n"
    rules = RULES + """  - id: board
    groups: ["hr:board"]
    grant: {personas: []}
""".replace("grant: {personas: []}", "grant: {roles: [support]}")
    hr = """  - name: hr
    type: csv
    path: hr.csv
    link: {attribute: mail, source: corp, other: mail}
    attributes: [{name: costCenter, syntax: integer}]
    interval: 0
"""
    with Bridge(config(directory, rules=rules) + hr, {"hr.csv": rows}) as bridge:
        sync(bridge)
        sync(bridge, "hr")
        shown = bridge.ctl("users", "show", "user01")
        assert {i["source"] for i in shown["identities"]} == {"corp", "hr"}
        assert ("role", "support") in grants(bridge, "user01")
        assert ("role", "support") not in grants(bridge, "user02")


def test_socket_refuses_strangers(directory):
    """Another user of the machine reaches nothing (needs root to become one)."""
    import os
    from bridge import CTL
    if os.geteuid() != 0:
        pytest.skip("needs root to become somebody else")
    with Bridge(config(directory)) as bridge:
        os.chmod(bridge.folder, 0o755)
        os.chmod(bridge.folder / "control.sock", 0o777)
        tool = bridge.folder / "rolebridgectl"
        shutil.copy(CTL, tool)
        result = subprocess.run([tool, "--socket", bridge.folder / "control.sock", "users", "list"],
                                capture_output=True, text=True, user=65534, group=65534, extra_groups=[], check=False,
                                env={"PATH": "/usr/bin:/bin"})
        assert result.returncode == 1 and "not-allowed" in result.stderr + result.stdout, result


def test_frozen_rule_is_shown(directory):
    with Bridge(config(directory)) as bridge:
        sync(bridge)
        assert bridge.ctl("rules", "show", "support")["groups"] == [{"name": group_dn("support"), "state": "found"}]
        directory.delete(group_dn("support"))
        sync(bridge)
        assert bridge.ctl("rules", "show", "support")["frozen"]
        assert "frozen" in bridge.human("rules", "list").stdout
        assert "vanished" in bridge.human("rules", "show", "support").stdout
        bridge.ctl("rules", "release", "support")
        assert not bridge.ctl("rules", "show", "support")["frozen"]


def test_preview_names_no_servers_files_or_secrets(directory):
    """Who may try rules must not thereby send a password elsewhere or read a file."""
    with Bridge(config(directory)) as bridge, Slapd(BASE_ENTRIES, tls=True) as elsewhere:
        sync(bridge)
        head = "store: store.db\ncontrol_socket: control.sock\n"
        moved = bridge.write("moved.yaml", head + config(elsewhere))
        plan = report(bridge.ctl("plan", "corp", "--config", moved))
        assert plan["server"] == directory.ldaps_url and plan["entries"] == 30, plan["server"]
        other = bridge.write("other.yaml", head + RULES + "\npolicy: {default_profile: viewer}\nsources:\n" +
                             "  - {name: secret, type: ldif, path: /etc/passwd, key: uid}\n")
        with pytest.raises(Refused) as refused:
            bridge.ctl("plan", "secret", "--config", other)
        assert "in force" in refused.value.text + refused.value.output


def test_source_that_is_not_enabled_is_not_read(directory):
    with Bridge(config(directory, more="enabled: false")) as bridge:
        with pytest.raises(Refused) as refused:
            bridge.ctl("sync", "corp")
        assert "not enabled" in refused.value.text + refused.value.output
        assert bridge.ctl("users", "list")["users"] == []
