"""`sources test`: every step of a connection as it went, what is wrong in a stable word, some people as rules see them, and
nothing of it kept."""
import json
import socket
import sqlite3
import sys
import threading
from pathlib import Path

import pytest

import vendors
from bridge import Bridge
from control import Bearer, Control
from ports import free_port
from slapd import GROUPS, PEOPLE, ROOT_DN, SUFFIX, Authority, Slapd, group, people, person
from test_control import check

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "attack"))
from live import Live, make_forge  # noqa: E402

PROFILES = """
profiles:
  - {name: administrator, permissions: ["*:*@all"]}
  - {name: tester, permissions: ["sources:test@all", "status:read@all"]}
  - {name: watcher, permissions: ["status:read@all"]}
  - {name: viewer, permissions: ["notes:read@own"]}
classifications: [Support]
organizations: [{name: partners}]
segments: [Core]
roles: [{name: worker, classifications: [Support], segments: [Core], permissions: ["notes:read@all"]}]
policy: {default_profile: viewer}
"""
RULES = f"""
rules: [{{id: staff, groups: ["cn=staff,{GROUPS}"], when: "(|(title=*)(employeeType=x)(jpegPhoto=x))", grant: {{roles: [worker]}}}}]
"""
SAMPLED = ["tls", "bind", "root", "people", "groups", "limits", "sample"]


def source(servers, name="corp", base=PEOPLE, groups=GROUPS, dn=ROOT_DN, ca=None, **more):
    """YAML of one source. more: lines of it."""
    lines = {"servers": json.dumps(list(servers)), "interval": "0", "timeouts": "{answer: 20s, connect: 2s}", "attributes": "[uid, title, employeeType, jpegPhoto]", **more}
    if ca:
        lines["ca"] = ca
    if "bind" not in lines:
        lines["bind"] = f"{{dn: '{dn}', password_file: password}}"
    return (f"  - name: {name}\n    type: ldap\n" + "".join(f"    {key}: {value}\n" for key, value in lines.items()) +
            f"    users: {{base: '{base}'}}\n    groups: {{base: '{groups}'}}\n")


def bridge_of(*sources, rules=RULES, password="directory admin's secret"):
    bridge = Bridge("")
    bridge.write("password", password).chmod(0o600)
    text = PROFILES + rules + "sources:\n" + "".join(sources)
    bridge.write_config(text.replace("password_file: password", f"password_file: {bridge.folder}/password"))
    return bridge


def outcome(bridge, name="corp", *words):
    """The result, and whether the exit status says the same."""
    process = bridge.run("sources", "test", name, *words)
    result = check(json.loads(process.stdout), "/api/v1/runs/{id}")["result"]
    assert process.returncode == (0 if result["ok"] else 1), process
    assert result["ok"] == all(step["ok"] for step in result["steps"]), result
    assert all(step["ok"] == (step["reason"] == "") for step in result["steps"]), result
    assert all(step["duration_us"] >= 0 for step in result["steps"])
    return result


def failed(result):
    """(step, reason) of all that failed."""
    return [(step["step"], step["reason"]) for step in result["steps"] if not step["ok"]]


def step_of(result, name):
    step, = [step for step in result["steps"] if step["step"] == name]
    return step


# What the daemon notes for itself when it has time.
ITS_OWN = {"meta", "counter", "login", "grant_holder", "identity_key"}


def dump(bridge):
    """All that the store holds of anybody and anything, and who did what."""
    store = sqlite3.connect(f"file:{bridge.folder / 'store.db'}?mode=ro", uri=True)
    names = [name for name, in store.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    found = {name: sorted(map(repr, store.execute(f"SELECT * FROM '{name}'"))) for name in names if name not in ITS_OWN}
    store.close()
    return found


@pytest.fixture(name="directory", scope="module")
def start_directory():
    bad = [person("bad", "jpegPhoto:: /w==")]
    entries = people(20) + bad + [person("chief", "title: chief", "employeeType: secret-kind"),
                                  group("staff", ["uid=chief"]), group("other", ["uid=user4"])]
    with Slapd(entries, tls=True) as directory:
        yield directory


def tls(directory, **more):
    return {"ca": directory.ca, **more}


@pytest.mark.parametrize("scheme", ["ldaps", "starttls"])
def test_everything_is_well(directory, scheme):
    url = directory.ldaps_url if scheme == "ldaps" else directory.url
    attributes = "[uid, mail, title, jpegPhoto, {name: employeeType, sensitive: true}]"
    with bridge_of(source([url], **tls(directory, attributes=attributes))) as bridge:
        before = dump(bridge)
        result = outcome(bridge, "corp", "--sample", 100)
        assert [step["step"] for step in result["steps"]] == ["resolve", "connect", *SAMPLED], result["steps"]
        assert all(step["server"] == url for step in result["steps"])
        assert not failed(result)
        assert result["bind"] == {"method": "simple", "dn": ROOT_DN} and result["enabled"] is True
        certificate = step_of(result, "tls")
        assert certificate["subject"] == "CN=server" and certificate["issuer"] == "CN=test ca"
        assert certificate["protocol"].startswith("TLS") and certificate["expires"] > certificate["not_before"]
        assert step_of(result, "bind")["bound_as"].lower() == "dn:" + ROOT_DN
        root = step_of(result, "root")
        assert (root["vendor"], root["paged_results"], root["sync"], root["follow"]) == ("openldap", True, False, "timestamp")
        assert (step_of(result, "people")["count"], step_of(result, "people")["at_least"]) == (22, False)
        assert step_of(result, "groups")["count"] == 2
        # As rules see them.
        chief, = [someone for someone in result["sample"] if someone["dn"].startswith("uid=chief")]
        assert chief["attributes"]["title"] == ["chief"] and chief["groups"] == [f"cn=staff,{GROUPS}"]
        assert chief["attributes"]["employeeType"] == ["secret-kind"]
        assert chief["groups_complete"] and not chief["disabled"]
        assert result["quarantine"] == {"invalid-utf8": 1} and result["quarantined"][0]["locator"].startswith("uid=bad")
        assert len(result["sample"]) == 21
        # Nothing of it is kept.
        assert dump(bridge) == before
        text = bridge.human("sources", "test", "corp", "--sample", 1).stdout
        assert "CN=test ca" in text and "timestamp" in text and "22" in text
        assert len(outcome(bridge)["sample"]) + len(outcome(bridge)["quarantined"]) == 5
        assert outcome(bridge, "corp", "--sample", 0)["sample"] == []
        assert bridge.run("sources", "test", "corp", "--sample", "101").returncode == 2
        assert bridge.run("sources", "test", "nobody").returncode == 1


CASES = [
    # (name, what of the source is other than it should be, the steps that failed)
    ("wrong password", {"dn": f"uid=user1,{PEOPLE}"}, [("bind", "invalid-credentials")]),
    ("nobody of that name", {"dn": f"cn=nobody,{SUFFIX}"}, [("bind", "invalid-credentials")]),
    ("no such base", {"base": f"ou=nowhere,{SUFFIX}"}, [("people", "no-such-base")]),
    ("no such base of groups", {"groups": f"ou=nowhere,{SUFFIX}"}, [("groups", "no-such-base"), ("sample", "no-such-base")]),
    ("nobody there", {"base": GROUPS}, [("people", "empty-result")]),
]


@pytest.mark.parametrize("name,other,expected", CASES, ids=[case[0] for case in CASES])
def test_what_is_wrong(directory, name, other, expected):
    with bridge_of(source([directory.ldaps_url], **tls(directory, **other))) as bridge:
        result = outcome(bridge)
        assert failed(result) == expected, result
        # What depends on it was not tried; nothing was guessed.
        if expected[0][0] == "bind":
            assert [step["step"] for step in result["steps"]][-1] == "bind" and result["sample"] == []


@pytest.fixture(name="authority", scope="module")
def make_authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.mark.parametrize("kind,expected", [("expired", "certificate-expired"), ("name", "certificate-name"),
                                           ("other", "certificate-untrusted")])
@pytest.mark.parametrize("scheme", ["ldaps", "starttls"])
def test_certificates(authority, tmp_path, scheme, kind, expected):
    issuer = Authority(tmp_path, "other") if kind == "other" else authority
    pair = issuer.issue(f"{kind}-{scheme}", subject_alt="DNS:elsewhere.example" if kind == "name" else "IP:127.0.0.1",
                        expired=kind == "expired")
    with Slapd(people(1), tls=(*pair, issuer.certificate)) as directory:
        url = directory.ldaps_url if scheme == "ldaps" else directory.url
        with bridge_of(source([url], ca=authority.certificate)) as bridge:
            result = outcome(bridge)
            assert failed(result) == [("tls", expected)], result
            assert step_of(result, "tls")["subject"] == f"CN={kind}-{scheme}"
            # Nobody signed in over a connection that could not be trusted.
            assert "bind" not in [step["step"] for step in result["steps"]]


def test_no_tls_there(authority):
    """A server without TLS fails as it does, and clear text is not the way out."""
    with Slapd(people(1)) as directory, bridge_of(source([directory.url], ca=authority.certificate)) as bridge:
        assert failed(outcome(bridge)) == [("tls", "tls-failed")]


def test_size_limit(tmp_path):
    bound = f"uid=user1,{PEOPLE}"
    entries = [person("user1", "userPassword: secret")] + people(30)[1:]
    with Slapd(entries, tls=True, sizelimit=10) as directory:
        with bridge_of(source([directory.ldaps_url], dn=bound, **tls(directory)), password="secret") as bridge:
            result = outcome(bridge)
            assert failed(result) == [("people", "size-limit"), ("limits", "size-limit")], result
            assert step_of(result, "people")["count"] == 10 and step_of(result, "people")["at_least"] is True


def test_each_server_is_tried(directory):
    closed = f"ldaps://127.0.0.1:{free_port()}"
    unknown = "ldaps://nowhere.invalid"
    servers = [closed, unknown, directory.ldaps_url, directory.url]
    with bridge_of(source(servers, **tls(directory))) as bridge:
        result = outcome(bridge)
        assert failed(result) == [("connect", "connect-failed"), ("resolve", "unresolved")]
        of = {url: [step["step"] for step in result["steps"] if step["server"] == url] for url in servers}
        assert of == {closed: ["resolve", "connect"], unknown: ["resolve"],
                      directory.ldaps_url: ["resolve", "connect", *SAMPLED],
                      directory.url: ["resolve", "connect", "tls", "bind", "root"]}
        assert len(result["sample"]) > 0


def test_a_server_that_says_nothing(directory):
    """It ends when the configured time is over, with the reason."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        kept = []
        thread = threading.Thread(target=lambda: kept.append(silent.accept()), daemon=True)
        thread.start()
        url = f"ldap://127.0.0.1:{silent.getsockname()[1]}"
        with bridge_of(source([url], ca=directory.ca, timeouts="{answer: 1s}")) as bridge:
            assert failed(outcome(bridge)) == [("tls", "timeout")]


def test_of_sources_that_are_off(directory):
    """What is switched off can be tried before it is switched on."""
    with bridge_of(source([directory.ldaps_url], **tls(directory, enabled="false"))) as bridge:
        result = outcome(bridge)
        assert result["enabled"] is False and not failed(result)


def test_files():
    csv = "id,uid,title\n1,anna,boss\n2,ben\n3,carl,worker\n3,dora,worker\n"
    ldif = ("dn: dc=example\nobjectClass: domain\ndc: example\n\n"
            "dn: uid=anna,dc=example\nobjectClass: inetOrgPerson\nuid: anna\ncn: A\nsn: A\nentryUUID: "
            "0f0c8f0e-0000-4000-8000-000000000001\n\n")
    with bridge_of("  - {name: csv, type: csv, path: staff.csv, key: id, interval: 0, attributes: [uid, title]}\n"
                   "  - {name: gone, type: csv, path: gone.csv, key: id, interval: 0}\n"
                   "  - {name: ldif, type: ldif, path: staff.ldif, interval: 0}\n", rules="") as bridge:
        bridge.write("staff.csv", csv)
        bridge.write("staff.ldif", ldif)
        before = dump(bridge)
        result = outcome(bridge, "csv")
        read, = result["steps"]
        assert (read["step"], read["ok"], read["count"], read["bad"]) == ("read", True, 2, 2), result
        assert sum(result["quarantine"].values()) == 2 and all(":" in bad["locator"] for bad in result["quarantined"])
        assert [someone["attributes"]["uid"] for someone in result["sample"]] == [["anna"], ["carl"]]
        assert outcome(bridge, "ldif")["steps"][0]["count"] == 1
        result = outcome(bridge, "gone")
        assert failed(result) and result["steps"][0]["count"] == 0
        assert dump(bridge) == before


def test_idps(tmp_path):
    """Whose people come by themselves: what is known of the IdP."""
    with Live(make_forge(tmp_path)) as live:
        result = outcome(live.bridge, "corp")
        assert (result["type"], result["enabled"], result["ok"]) == ("saml", True, True), result
        metadata, = result["steps"]
        told = live.bridge.ctl("idp", "test", "corp")
        assert metadata["step"] == "metadata" and metadata["idp"] == told["idp"] != ""
        assert metadata["signing_keys"] == told["signing_keys"] > 0


def test_who_may(directory):
    """Only with the permission; what is sensitive, and what others have tried, needs more."""
    attributes = "[uid, title, jpegPhoto, {name: employeeType, sensitive: true}]"
    with bridge_of(source([directory.ldaps_url], **tls(directory, attributes=attributes)),
                   source([directory.ldaps_url], name="far", organization="partners", **tls(directory))) as bridge:
        bridge.ctl("users", "create", "ada", "--profile", "administrator")
        bridge.ctl("users", "create", "tess", "--profile", "tester")
        bridge.ctl("users", "create", "walt", "--profile", "watcher")
        callers = {name: Bearer(bridge.folder / "control.sock", bridge.ctl("tokens", "create", "t", "--user", name)["token"])
                   for name in ("ada", "tess", "walt")}
        status, answer = callers["walt"].ask("POST", "sources/corp/test", {})
        assert (status, answer["code"]) == (403, "not-allowed")
        seen = {}
        for name in ("ada", "tess"):
            status, run = callers[name].run("sources/corp/test", {"sample": 100})
            assert (status, run["state"]) == (202, "done"), run
            seen[name] = [someone["attributes"].get("employeeType") for someone in run["result"]["sample"]]
        assert ["secret-kind"] in seen["ada"]
        assert ["(hidden)"] in seen["tess"] and ["secret-kind"] not in seen["tess"]
        # Runs of others: their people are not for everybody who may look at the state of things.
        tests = [run["id"] for run in callers["walt"].ask("GET", "runs")[1]["runs"] if run["kind"] == "test"]
        assert len(tests) == 2
        for number in tests:
            assert callers["walt"].ask("GET", f"runs/{number}")[0] == 403
            assert callers["ada"].ask("GET", f"runs/{number}")[0] == 200
        # Of another organization: as if it were not there.
        status, answer = callers["ada"].ask("POST", "sources/far/test", {})
        assert (status, answer["code"]) == (404, "not-found")
        control = Control(bridge.folder / "control.sock")
        for body, field in (({"sample": 101}, "sample"), ({"sample": -1}, "sample"), ({"sample": "5"}, "sample"),
                            ({"servers": ["ldap://evil.example"]}, "servers"), ({"password_file": "/etc/passwd"},
                                                                               "password_file")):
            status, answer = control.ask("POST", "sources/corp/test", body)
            assert (status // 100, answer["code"], answer["field"]) == (4, "invalid-request", field)
        control.close()


@pytest.mark.parametrize("name", vendors.NAMES)
def test_vendors(name):
    company = vendors.branch(name)
    company.add(*(company.person(uid) for uid in ["anna", "ben", "carl"]),
                company.group("staff", [company.dn("anna")]))
    company.disable("ben")
    rules = f"rules: [{{id: staff, groups: ['{company.group_dn('staff')}'], grant: {{roles: [worker]}}}}]\n"
    bridge = Bridge(PROFILES + rules + "sources:\n" + company.source())
    with bridge:
        listed = bridge.ctl("status")["sources"][0]["name"]
        result = outcome(bridge, listed)
        assert not failed(result), result
        root = step_of(result, "root")
        assert root["vendor"] == {"slapd": "openldap", "389": "389ds", "samba": "active-directory"}[name]
        assert root["paged_results"] is True
        assert root["follow"] == {"slapd": "timestamp", "389": "sync", "samba": "usn"}[name]
        assert step_of(result, "people")["count"] == 3 and step_of(result, "groups")["count"] >= 1
        sample = {someone["attributes"]["uid"][0]: someone for someone in result["sample"]}
        assert {uid: someone["disabled"] for uid, someone in sample.items()} == {"anna": False, "ben": True, "carl": False}
        assert len(sample["anna"]["groups"]) == 1 and sample["carl"]["groups"] == []
