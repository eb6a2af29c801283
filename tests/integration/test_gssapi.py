"""Signing in at a directory by SASL GSSAPI, with a real KDC and a real slapd."""
import time

import pytest

from bridge import Bridge
from kerberos import REALM, Kdc, server_environment
from slapd import GROUPS, PEOPLE, SUFFIX, Slapd, group, person

FIRST_TICKET = f"bridge@{REALM} for krbtgt/{REALM}@{REALM}"
LOSSES = 2
WAIT_SECONDS = 180

ENTRIES = [person("anna"), person("ben"), group("sales", ["uid=anna"])]
# Who is not signed in sees nothing, so that what is read shows who read it.
SLAPD_CONFIG = ["sasl-host 127.0.0.1", f"sasl-realm {REALM}", "sasl-secprops noanonymous",
                f"authz-regexp uid=([^,]*),(cn=[^,]*,)?cn=gssapi,cn=auth cn=$1,ou=services,{SUFFIX}"]
ACLS = [f'to * by dn.exact="cn=bridge,ou=services,{SUFFIX}" read by * none']


def config(kdc, directory, keytab, extra=""):
    return f"""
profiles: [{{name: administrator}}, {{name: viewer}}]
segments: [All]
roles: [{{name: sales, classifications: [Sales], segments: [All]}}]
rules:
  - {{id: sales, groups: ["cn=sales,{GROUPS}"], grant: {{roles: [sales]}}}}
policy: {{default_profile: viewer}}
sources:
  - name: corp
    type: ldap
    interval: 0
    servers: ["{directory.ldaps_url}"]
    ca: {directory.ca}
    bind: {{method: gssapi, keytab: {keytab}, kerberos_config: {kdc.config}}}
    users: {{base: "{PEOPLE}"}}
    groups: {{base: "{GROUPS}"}}
    {extra}
"""


@pytest.fixture(scope="module", name="kdc")
def one_kdc():
    with Kdc() as kdc:
        yield kdc


@pytest.fixture(scope="module", name="directory")
def one_directory(kdc):
    environment = server_environment(kdc, kdc.keytab("ldap/127.0.0.1"))
    with Slapd(ENTRIES, tls=True, syncprov=True, acls=ACLS, config=SLAPD_CONFIG, environment=environment) as directory:
        yield directory


def read(bridge):
    (report,) = bridge.answer("sync", "corp")["reports"]
    return report


def test_reads_as_the_principal_of_its_keytab(kdc, directory):
    with Bridge(config(kdc, directory, kdc.keytab("bridge"))) as bridge:
        report = read(bridge)
        assert report["complete"] and report["created"] == 2, report["problem"]
        grants = bridge.ctl("users", "show", "anna")["grants"]
        assert ("role", "sales") in {(grant["kind"], grant["name"]) for grant in grants}
        assert read(bridge)["unchanged"] == 2


def test_somebody_elses_ticket_reads_nothing(kdc, directory):
    with Bridge(config(kdc, directory, kdc.keytab("stranger"))) as bridge:
        report = read(bridge)
        assert not report["complete"] and report["created"] == 0, report


def test_a_principal_that_gets_no_ticket_is_told(kdc, directory):
    keytab = kdc.keytab("gone")
    kdc.expire("gone")
    with Bridge(config(kdc, directory, keytab)) as bridge:
        report = read(bridge)
        assert not report["complete"] and report["created"] == 0, report
        assert "no ticket for the server" in report["problem"], report


def test_a_missing_keytab_is_told(kdc, directory, tmp_path):
    with Bridge(config(kdc, directory, tmp_path / "none")) as bridge:
        report = read(bridge)
        assert not report["complete"] and "no ticket for the server" in report["problem"], report


def test_a_worker_signs_in_once(kdc, directory):
    """
    The plug-in loses a credential in each exchange, and a locked worker reaches no KDC: whenever the
    connection is lost, the next one is another process's, with a ticket of its own. So nothing can grow.
    """
    workers, told = set(), kdc.logged().count(FIRST_TICKET)
    followed = config(kdc, directory, kdc.keytab("bridge")).replace("interval: 0", "follow: {mode: auto}")
    with Bridge(followed) as bridge:
        for _ in range(LOSSES + 1):
            end = time.monotonic() + WAIT_SECONDS
            while not connected(bridge) or not set(bridge.workers()) - workers:
                assert time.monotonic() < end, bridge.logged()[-3000:]
                time.sleep(0.02)
            workers.update(bridge.workers())
            directory.stop()
            directory.start(same_port=True)
        assert bridge.ctl("users", "show", "anna")["grants"]
    assert kdc.logged().count(FIRST_TICKET) >= told + LOSSES + 1


def connected(bridge):
    (source,) = bridge.ctl("status")["sources"]
    return (source.get("follow") or {}).get("connected")


@pytest.mark.parametrize("change, code", [
    (("keytab: ", "unknown_key: "), "unknown-key"),
    ((", kerberos_config", ", dn: \"cn=x\", kerberos_config"), "bind-contradiction"),
    (("ldaps://127.0.0.1", "ldapi://%2Frun%2Fldapi"), "bind-incomplete"),
    (("method: gssapi", "method: external"), "bind-incomplete"),
])
def test_settings_that_do_not_fit_are_refused(kdc, directory, change, code):
    with Bridge(config(kdc, directory, "/nowhere/keytab")) as bridge:
        bridge.write_config(config(kdc, directory, "/nowhere/keytab").replace(*change))
        result = bridge.run("check", bridge.config)
        assert result.returncode == 1 and code in result.stdout + result.stderr, result
