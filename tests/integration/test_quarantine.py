"""Quarantine freezes, it never disables: a person whose entry cannot be processed keeps what they have."""
import json

import pytest

from bridge import Bridge

BASE = "dc=example,dc=org"
CONFIG = f"""
profiles: [{{name: administrator}}, {{name: viewer}}]
segments: [All]
roles: [{{name: sales, classifications: [Sales], segments: [All]}}]
rules:
  - {{id: sales, groups: ["cn=sales,{BASE}"], grant: {{roles: [sales]}}}}
policy:
  default_profile: viewer
  missing_runs: 1
  missing_grace: 0
  limits: {{disables_min: 100, disables_max: 100, removals_min: 100}}
sources:
  - {{name: corp, type: ldif, path: people, interval: 0}}
"""


def person(uid, *lines, key=True, dn=True):
    return b"".join([f"dn: uid={uid},{BASE}\n".encode() if dn else b"dn: uid=\\zz\n",
                     f"objectClass: inetOrgPerson\nuid: {uid}\ncn: {uid}\nsn: {uid}\n".encode(),
                     f"entryUUID: {uid}-key\n".encode() if key else b"", *(line + b"\n" for line in lines), b"\n"])


GROUP = (f"dn: cn=sales,{BASE}\nobjectClass: groupOfNames\ncn: sales\n" +
         "".join(f"member: uid={uid},{BASE}\n" for uid in ("anna", "ben")) + "\n").encode()
ANNA, BEN, CLEO = person("anna"), person("ben"), person("cleo")


def read(bridge):
    (report,) = json.loads(bridge.run("sync", "corp").stdout)["reports"]
    assert report["complete"], report
    return report


def user(bridge, name):
    shown = bridge.ctl("users", "show", name)
    return shown["profile"], tuple(shown["disabled"]), {(g["kind"], g["name"]) for g in shown["grants"]}


@pytest.mark.parametrize("bad, reason, others_count", [
    (person("ben", b"description: \xff"), "invalid-utf8", True),
    (person("ben", key=False), "missing-key", True),
    (person("ben", key=False, dn=False), "invalid-dn", False),
], ids=["invalid UTF-8", "key lost", "key and name lost"])
def test_a_person_in_quarantine_keeps_everything(bad, reason, others_count):
    with Bridge(CONFIG, {"people": ANNA + BEN + CLEO + GROUP}) as bridge:
        assert read(bridge)["created"] == 3
        before = user(bridge, "ben")
        assert before[1] == () and ("role", "sales") in before[2]
        bridge.write("people", ANNA + bad + GROUP)
        for number in range(3):
            report = read(bridge)
            assert report["quarantined"] == 1 and report["revoked"] == 0, report
            assert ("nobody counts as missing" in report["problem"]) == (not others_count), report
            assert user(bridge, "ben") == before
            assert [row["reason"] for row in bridge.ctl("quarantine", "list")["entries"]] == [reason]
            assert user(bridge, "cleo")[1] == (("missing",) if others_count else ())
            if number == 1:
                bridge.kill()
                bridge.start()
        kinds = {alarm["kind"] for alarm in bridge.ctl("status")["alarms"]}
        assert ("nobody-missing" in kinds) == (not others_count), kinds
        bridge.write("people", ANNA + BEN + GROUP)
        report = read(bridge)
        assert report["quarantined"] == 0 and report["problem"] == "", report
        assert user(bridge, "ben") == before
        bridge.write("people", ANNA + GROUP)
        read(bridge)
        assert user(bridge, "ben")[:2] == ("viewer", ("missing",))
        assert user(bridge, "cleo")[1] == ("missing",)
        assert bridge.ctl("audit", "verify")["intact"]


def test_operators_see_what_is_in_quarantine_and_whom_it_freezes():
    with Bridge(CONFIG, {"people": ANNA + BEN + CLEO + GROUP}) as bridge:
        read(bridge)
        bridge.write("people", ANNA + person("ben", b"description: \xff") + CLEO + GROUP +
                     person("dora", b"description: \xff") + person("emil", key=False))
        assert read(bridge)["quarantined"] == 3
        (source,) = bridge.ctl("status")["sources"]
        assert source["quarantined"] == 3 and source["held_plan"] is None
        assert source["quarantine_reasons"] == [{"reason": "invalid-utf8", "count": 2},
                                                {"reason": "missing-key", "count": 1}]
        assert "corp: 3 entries in quarantine: 2 invalid-utf8, 1 missing-key" in bridge.human("status").stdout
        (entry,) = bridge.ctl("quarantine", "show", "ben-key")["entries"]
        assert (entry["reason"], entry["user"], entry["key"]) == ("invalid-utf8", "ben", "ben-key")
        (same,) = bridge.ctl("quarantine", "show", entry["locator"], "--source", "corp")["entries"]
        assert same == entry
        shown = bridge.human("quarantine", "show", "ben-key").stdout
        assert "ben keeps what they have until it can be processed" in shown
        assert "nobody known yet" in bridge.human("quarantine", "show", "dora-key").stdout
        assert bridge.run("quarantine", "show", "anna-key").returncode == 1
        assert bridge.run("quarantine", "show", "ben-key", "--source", "elsewhere").returncode == 1
