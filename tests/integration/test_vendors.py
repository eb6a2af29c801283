"""The same full reads on OpenLDAP, 389 Directory Server and Active Directory (Samba)."""
import base64
import json
import os
import subprocess
import time
from pathlib import Path

import pytest

import vendors
from bridge import Bridge

BUILD = Path(os.environ.get("ROLEBRIDGE_BUILD", Path(__file__).resolve().parents[2] / "build"))
TOOL = BUILD / "tools" / "ldap_read"
SECONDS = 120
DAY_S = 86400

pytestmark = pytest.mark.skipif(not TOOL.exists(), reason="make tools builds ldap_read")


@pytest.fixture(name="company", params=vendors.NAMES)
def make_company(request):
    return vendors.branch(request.param)


class Answer:
    """What ldap_read printed."""

    def __init__(self, text):
        lines = [json.loads(line) for line in text.splitlines()]
        self.people = {line["attributes"]["uid"][0]: line for line in lines if "identity" in line}
        self.quarantined = [line for line in lines if "quarantine" in line]
        self.members = {line["group"]: line["members"] if line["found"] else None for line in lines if "group" in line}
        self.result = lines[-1]

    def groups(self):
        return {uid: person["groups"] for uid, person in self.people.items() if person["groups"]}


def read(company, folder, *wanted, **options):
    path = folder / "config.yaml"
    path.write_text("sources:\n" + company.source(**options))
    process = subprocess.run([TOOL, path, *wanted], capture_output=True, text=True, timeout=SECONDS, check=False)
    assert process.returncode == 0, process.stderr
    answer = Answer(process.stdout)
    assert answer.result["complete"], answer.result
    return answer


# --- people


def test_people_are_known_by_their_vendors_key(company, tmp_path):
    company.add(*(company.person(uid) for uid in ["anna", "ben", "carl"]))
    answer = read(company, tmp_path)
    assert {uid: person["identity"] for uid, person in answer.people.items()} == {
        uid: company.key_of(company.dn(uid)) for uid in ["anna", "ben", "carl"]}
    assert all(person["groups_complete"] and not person["disabled"] and person["disabled_from"] == 0
               for person in answer.people.values())
    assert answer.people["anna"]["attributes"]["mail"] == ["anna@example.org"]


def test_more_people_than_a_page_holds(company, tmp_path):
    company.add(*(company.person(f"p{i}") for i in range(120)))
    answer = read(company, tmp_path, more="page_size: 50")
    assert len(answer.people) == 120


def test_key_survives_rename_and_move(company, tmp_path):
    company.add(company.person("anna"), company.person("ben"))
    before = read(company, tmp_path)
    company.rename("anna", "anna-maria", f"ou=north,{company.people}")
    company.move_below("ben", f"ou=north,{company.people}")
    after = read(company, tmp_path)
    assert after.people["anna-maria"]["identity"] == before.people["anna"]["identity"]
    assert after.people["ben"]["identity"] == before.people["ben"]["identity"]
    assert after.people["ben"]["dn"] != before.people["ben"]["dn"]


def test_same_name_again_is_somebody_else(company, tmp_path):
    company.add(company.person("anna"))
    before = read(company, tmp_path)
    company.delete("anna")
    company.add(company.person("anna"))
    after = read(company, tmp_path)
    assert after.people["anna"]["identity"] != before.people["anna"]["identity"]
    assert after.people["anna"]["dn"] == before.people["anna"]["dn"]


NAMES = ["Lee, Robin (R&D)+x", "#hash <>", "María García", 'quo"ted', "back\\slash", "semi;colon", "a=b"]


@pytest.mark.parametrize("name", NAMES)
def test_names_that_need_escaping(company, tmp_path, name):
    """Member lists and entries come in the server's own spelling."""
    escaped = "".join("\\" + c if c in ',+"\\<>;=' or (c == "#" and i == 0) else c for i, c in enumerate(name))
    dn = f"CN={escaped},{company.people}"
    company.dns["odd"] = dn

    def encoded(attribute, value):
        return f"{attribute}:: {base64.b64encode(value.encode()).decode()}"

    text = company.person("odd").splitlines()
    text = [encoded("dn", dn) if line.startswith("dn: ") else line for line in text]
    text = [encoded("cn", name) if line.startswith("cn: ") else line for line in text]
    company.add("\n".join(text) + "\n\n",
                company.group("staff", []) if company.keeps_members_true else
                company.group("staff", []).rstrip("\n") + "\n" + encoded("member", dn) + "\n\n")
    if company.keeps_members_true:
        company.change(company.group_dn("staff"), "add: member", encoded("member", dn))
    answer = read(company, tmp_path, company.group_dn("staff"))
    assert answer.groups() == {"odd": [1]}


# --- groups


def nested(company):
    """outer > middle > inner > outer (a cycle); alone."""
    company.add(*(company.person(uid) for uid in ["anna", "ben", "carl", "dora", "eve"]))
    company.add(company.group("outer", [company.dn("anna")]), company.group("middle", [company.dn("ben")]),
                company.group("inner", [company.dn("carl")]), company.group("alone", [company.dn("dora")]))
    company.join("outer", company.group_dn("middle"))
    company.join("middle", company.group_dn("inner"))
    company.join("inner", company.group_dn("outer"))


def test_nested_groups_with_a_cycle(company, tmp_path):
    nested(company)
    answer = read(company, tmp_path, *(company.group_dn(g) for g in ["outer", "middle", "inner", "alone"]))
    assert answer.groups() == {"anna": [1, 2, 3], "ben": [1, 2, 3], "carl": [1, 2, 3], "dora": [4]}
    assert answer.members == {1: 3, 2: 3, 3: 3, 4: 1}


def test_chain_of_groups(company, tmp_path):
    company.add(company.person("anna"))
    company.add(company.group("g0", [company.dn("anna")]))
    for level in range(1, 9):
        company.add(company.group(f"g{level}", [company.group_dn(f"g{level - 1}")]))
    answer = read(company, tmp_path, company.group_dn("g8"), company.group_dn("g4"))
    assert answer.groups() == {"anna": [1, 2]}


def test_group_named_by_id_keeps_its_rules_when_renamed(company, tmp_path):
    company.add(company.person("anna"))
    company.add(company.group("staff", [company.dn("anna")]))
    ident, name = company.key_of(company.group_dn("staff")), company.group_dn("staff")
    company.rename_group("staff", "everybody", f"{company.elsewhere}")
    company.rename_group("everybody", "personnel", company.groups)
    answer = read(company, tmp_path, ident, name, company.group_dn("personnel"))
    assert answer.groups() == {"anna": [1, 3]}
    assert answer.members == {1: 1, 2: None, 3: 1}


def test_members_who_were_renamed(company, tmp_path):
    """Some servers keep their lists true; elsewhere a list names who had that name."""
    company.add(company.person("anna"))
    company.add(company.group("staff", [company.dn("anna")]))
    company.rename("anna", "anne")
    answer = read(company, tmp_path, company.group_dn("staff"))
    listed = [v.decode().lower() for v in company.values(company.group_dn("staff"), "member")]
    assert answer.groups() == ({"anne": [1]} if company.dn("anne").lower() in listed else {})


def test_member_of_is_an_attribute_like_others(company, tmp_path):
    """389 counts nested groups into it, the others do not."""
    company.add(company.person("anna"), company.person("ben"))
    company.add(company.group("inner", [company.dn("anna")]))
    company.add(company.group("outer", [company.group_dn("inner")]))
    answer = read(company, tmp_path, more="attributes: [{name: memberOf}]")
    expected = {company.group_dn("inner").lower()} | ({company.group_dn("outer").lower()} if company.name == "389" else set())
    assert {v.lower() for v in answer.people["anna"]["attributes"]["memberOf"]} == expected
    assert "memberOf" not in answer.people["ben"]["attributes"]


# --- primary groups


@pytest.fixture(name="domain")
def make_domain():
    return vendors.branch("samba")


def number_of(company, dn):
    return int.from_bytes(company.values(dn, "objectSid")[0][-4:], "little")


def test_primary_group(domain, tmp_path):
    """Nobody is in the list of their primary group, which may be nested."""
    domain.add(domain.person("anna"), domain.person("ben"))
    domain.add(domain.group("clerks", [domain.dn("anna")]))
    domain.add(domain.group("staff", [domain.group_dn("clerks")]))
    wanted = [domain.group_dn("clerks"), domain.group_dn("staff")]
    assert read(domain, tmp_path, *wanted).groups() == {"anna": [1, 2]}
    domain.replace("anna", "primaryGroupID", number_of(domain, domain.group_dn("clerks")))
    assert domain.values(domain.group_dn("clerks"), "member") == []
    answer = read(domain, tmp_path, *wanted)
    assert answer.groups() == {"anna": [1, 2]}
    assert answer.members == {1: 1, 2: 1}
    assert all(person["groups_complete"] for person in answer.people.values())


def test_everybody_is_in_domain_users(domain, tmp_path):
    """A group outside of what is searched gives nothing; inside it gives to all whose primary group it is."""
    domain.add(domain.person("anna"), domain.person("ben"))
    everybody = f"CN=Domain Users,CN=Users,{domain.server.suffix}"
    assert read(domain, tmp_path, everybody).members == {1: None}
    domain.groups, kept = f"CN=Users,{domain.server.suffix}", domain.groups
    answer = read(domain, tmp_path, everybody)
    domain.groups = kept
    assert answer.groups() == {"anna": [1], "ben": [1]}


# --- disabled


def test_disabled_state(company, tmp_path):
    company.add(company.person("anna"), company.person("ben"))
    company.disable("anna")
    answer = read(company, tmp_path)
    assert answer.people["anna"]["disabled"] and not answer.people["ben"]["disabled"]
    assert answer.people["anna"]["disabled_by"] in ("pwdAccountLockedTime", "nsAccountLock", "userAccountControl")
    company.enable("anna")
    assert not read(company, tmp_path).people["anna"]["disabled"]


def test_end_of_an_account(company, tmp_path):
    company.add(*(company.person(uid) for uid in ["past", "soon", "never"]))
    today = int(time.time()) // DAY_S * DAY_S
    company.expire("past", today - 30 * DAY_S)
    company.expire("soon", today + 30 * DAY_S)
    company.expire("never", None)
    answer = read(company, tmp_path)
    assert {uid: (p["disabled"], p["disabled_by"], p["disabled_from"]) for uid, p in answer.people.items()} == {
        "past": (False, company.marker, today - 30 * DAY_S), "soon": (False, company.marker, today + 30 * DAY_S),
        "never": (False, "", 0)}


def test_markers_of_other_kinds(company, tmp_path):
    company.add(company.person("anna", "title: left us"), company.person("ben", "title: here"))
    answer = read(company, tmp_path, users_more=", disabled: ['title=Left  us']")
    assert answer.people["anna"]["disabled"] and not answer.people["ben"]["disabled"]


# --- values


def test_values_that_are_no_text(company, tmp_path):
    """One person cannot be read; the others are."""
    company.add(company.person("anna", "jpegPhoto:: " + base64.b64encode(b"\xff\xfe\x00x").decode()),
                company.person("ben"))
    answer = read(company, tmp_path, more="attributes: [{name: photo, from: jpegPhoto}]")
    assert list(answer.people) == ["ben"]
    (only,) = answer.quarantined
    assert only["reason"] == "invalid-utf8" and only["key"] == company.key_of(company.dn("anna"))


def test_many_and_long_values(company, tmp_path):
    values = [f"{i:04}" + "ü" * 40 for i in range(300)]
    encoded = [f"otherMailbox:: {base64.b64encode(v.encode()).decode()}" for v in values]
    attribute = "otherMailbox" if company.name == "samba" else "description"
    lines = [line.replace("otherMailbox", attribute) for line in encoded]
    company.add(company.person("anna", *lines))
    answer = read(company, tmp_path, more=f"attributes: [{{name: many, from: {attribute}}}]")
    assert answer.people["anna"]["attributes"]["many"] == sorted(values)


# --- the whole road


def rules(company):
    return f"""profiles:
  - {{name: administrator, permissions: ["*:*@all"]}}
  - {{name: viewer, permissions: ["accounts:read@own"]}}
segments: [All]
roles:
  - {{name: sales, description: Sells, classifications: [Sales], segments: [All], permissions: ["quotes:*@own"]}}
rules:
  - id: sales
    groups: ["{company.group_dn('outer')}"]
    grant: {{roles: [sales]}}
policy:
  default_profile: viewer
  missing_runs: 1
  missing_grace: 0
  limits: {{disables_min: 100000, disables_max: 100000, removals_min: 100000, group_loss_percent: 100}}
sources:
{company.source(more="interval: 0")}
"""


def sync(bridge):
    (report,) = bridge.ctl("sync", "corp")["reports"]
    assert report["complete"], report
    return report


def shown(bridge, name):
    user = bridge.ctl("users", "show", name)
    return {g["name"] for g in user["grants"] if g["kind"] == "role"}, bool(user["disabled"])


def test_road(company):
    nested(company)
    with Bridge(rules(company)) as bridge:
        assert sync(bridge)["created"] == 5
        assert shown(bridge, "carl") == ({"sales"}, False) and shown(bridge, "dora") == (set(), False)
        assert sync(bridge)["changes_total"] == 0
        company.disable("carl")
        company.leave("middle", company.dn("ben"))
        company.delete("eve")
        sync(bridge)
        assert shown(bridge, "carl")[1] and not shown(bridge, "ben")[0] and shown(bridge, "eve")[1]
        company.enable("carl")
        company.join("outer", company.dn("ben"))
        sync(bridge)
        assert shown(bridge, "carl") == ({"sales"}, False) and shown(bridge, "ben") == ({"sales"}, False)
        assert bridge.ctl("audit", "verify")["intact"]


def test_account_that_has_ended(company):
    nested(company)
    company.expire("carl", int(time.time()) - 30 * DAY_S)
    company.expire("ben", int(time.time()) + 30 * DAY_S)
    with Bridge(rules(company)) as bridge:
        sync(bridge)
        assert shown(bridge, "carl")[1] and not shown(bridge, "ben")[1]


def test_group_named_by_dn_that_vanished_is_frozen(company):
    nested(company)
    with Bridge(rules(company)) as bridge:
        sync(bridge)
        company.rename_group("outer", "other")
        sync(bridge)
        assert shown(bridge, "anna") == ({"sales"}, False)
        assert any("outer" in json.dumps(a).lower() for a in bridge.ctl("alarms", "list")["alarms"])
