"""Directories and files that are switched off: not read, not followed, and what they gave stays."""
import shutil

import pytest

from bridge import Bridge
from test_follow import Followed, attribute, config, make_directory, membership  # noqa: F401 (a fixture)

CONFIG = """
classifications: [Sales]
segments: [Core]
roles:
  - {name: seller, classifications: [Sales], segments: [Core], permissions: ["quotes:*@own"]}
  - {name: clerk, classifications: [Sales], segments: [Core], permissions: ["quotes:read@own"]}
profiles: [{name: administrator}, {name: member}]
rules:
  - {id: sellers, when: "(departmentNumber=7)", grant: {roles: [seller]}}
policy: {default_profile: member, limits: {disables_min: 100, removals_min: 100}}
sources:
  - {name: staff, type: csv, path: staff.csv, key: id, interval: 0, attributes: [uid, departmentNumber]}
"""

STAFF = "id,uid,departmentNumber\n1,anna,7\n2,ben,8\n"


def roles(bridge, name):
    return {grant["name"] for grant in bridge.ctl("users", "show", name)["grants"] if grant["kind"] == "role"}


def switch(bridge, name, enabled):
    text = bridge.config.read_text()
    off = f"name: {name}, enabled: false"
    bridge.config.write_text(text.replace(off, f"name: {name}") if enabled else text.replace(f"name: {name}", off))
    bridge.ctl("reload")


def test_file():
    with Bridge(CONFIG, {"staff.csv": STAFF}) as bridge:
        bridge.ctl("sync")
        assert roles(bridge, "anna") == {"seller"} and roles(bridge, "ben") == set()
        switch(bridge, "staff", False)
        bridge.write("staff.csv", "id,uid,departmentNumber\n2,ben,7\n")
        refused = bridge.human("sync", "staff")
        assert refused.returncode == 1 and "not enabled" in refused.stderr + refused.stdout
        for _ in range(3):
            bridge.run("sync")
        # Rules still see what was known; others than before count, too.
        bridge.config.write_text(bridge.config.read_text().replace("roles: [seller]", "roles: [seller, clerk]"))
        bridge.ctl("reload")
        assert roles(bridge, "anna") == {"seller", "clerk"} and roles(bridge, "ben") == set()
        anna = bridge.ctl("users", "show", "anna")
        assert anna["active"] is True
        shown = bridge.ctl("sources", "show", "staff")
        assert shown["enabled"] is False and shown["people"] == 2 and shown["origin"] == "file"
        assert "disabled" in bridge.human("sources", "list").stdout
        switch(bridge, "staff", True)
        assert bridge.ctl("users", "show", "anna")["grants"] == anna["grants"]
        bridge.ctl("sync")
        assert roles(bridge, "ben") == {"seller", "clerk"}


@pytest.mark.skipif(not shutil.which("slapd"), reason="needs slapd")
def test_directory(directory):
    with Followed(config(directory.url, password=directory.password_file)) as bridge:
        bridge.connected()
        before = {name: bridge.shown(name)["grants"] for name in ("u1", "u2", "u5")}
        text = bridge.config.read_text()
        bridge.config.write_text(text.replace("type: ldap\n", "type: ldap\n    enabled: false\n"))
        bridge.ctl("reload")
        assert "follow" not in bridge.source() and bridge.worker() is None
        directory.modify(membership("managers", "add", "u6"))
        directory.modify(membership("managers", "delete", "u1"))
        directory.modify(attribute("u5", "add: title\ntitle: engineer\n-"))
        refused = bridge.human("sync", "corp")
        assert refused.returncode == 1 and "not enabled" in refused.stderr + refused.stdout
        assert bridge.run("sync", "--user", "u5").returncode == 1
        bridge.ctl("reload")
        assert {name: bridge.shown(name)["grants"] for name in before} == before
        assert all(bridge.shown(name)["active"] for name in before)
        # On again, it says what has happened meanwhile.
        bridge.config.write_text(text)
        bridge.ctl("reload")
        bridge.connected()
        bridge.until(lambda: bridge.roles("u5") == {"support"} and bridge.shown("u1")["profile"] == "viewer",
                     "what happened meanwhile")
        assert bridge.shown("u2")["grants"] == before["u2"]
