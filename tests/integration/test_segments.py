"""Saved filters: who they choose, through API and command, and what they are refused for."""
import csv
import io
import json
import subprocess
from urllib.parse import quote

import pytest

from bridge import CTL, DAEMON, Bridge, Refused
from ports import free_port
from test_definitions import Api, audit_rows

CONFIG = """
public_url: http://127.0.0.1:%(port)d
listeners: [{address: "127.0.0.1:%(port)d"}]
segments: [Banking]
organizations: [{name: partners}]
segment_filters:
  - {name: sellers, description: Whoever sells, filter: "(department=Sales)"}
  - {name: called, filter: "(role;x-corp=*)"}
roles:
  - {name: seller, classifications: [Sales], segments: [Banking], permissions: ["quotes:*@own"]}
  - {name: helper, classifications: [Support, Admin], segments: [sellers], permissions: ["cases:read@all"]}
personas:
  - {name: lead, title: Alex the lead, objectives: [a], frustrations: [b], watering_holes: [c], technical_sophistication: low}
rules:
  - {id: sell, when: "(departmentNumber=7)", grant: {roles: [seller]}}
  - {id: staffed, groups: ["cn=staff,dc=x"], grant: {groups: [staff]}}
policy: {default_profile: customer-success-manager}
sources:
  - {name: corp, type: ldif, path: corp.ldif, key: entryUUID, interval: 0,
     attributes: [department, city, {name: salary, syntax: integer, sensitive: true}, {name: role, from: businessRole},
                  {name: created, from: bornOn}, {name: unread, from: unread}]}
  - {name: elsewhere, type: csv, path: elsewhere.csv, key: id, interval: 0, organization: partners,
     attributes: [uid, mail, department]}
"""

PEOPLE = [  # uid, department, number, city, salary, what else
    ("anna", "Sales", 7, "Köln", 10, "businessRole: helper\n"),
    ("ben", "Sales", 8, "Bonn", 20, ""),
    ("cora", "Research", 7, "Köln", 30, "title: R\\26D (old)*\n"),
    ("dora", None, 9, None, 40, ""),
]


def ldif():
    text = ""
    for i, (uid, department, number, city, salary, more) in enumerate(PEOPLE):
        text += (f"dn: uid={uid},dc=x\nobjectClass: person\nentryUUID: 0000000{i}-0000-4000-8000-000000000000\n"
                 f"uid: {uid}\nmail: {uid}@x.example\ncn: {uid.title()} Example\ndepartmentNumber: {number}\n"
                 f"salary: {salary}\n{more}")
        text += f"department: {department}\n" if department else ""
        text += f"city: {city}\n" if city else ""
        text += "\n"
    return text + ("dn: cn=staff,dc=x\nobjectClass: groupOfNames\ncn: staff\nmember: uid=ben,dc=x\n"
                   "member: uid=cora,dc=x\n\ndn: cn=other,dc=x\nobjectClass: groupOfNames\ncn: other\n"
                   "member: uid=dora,dc=x\n\n")


@pytest.fixture(scope="module", name="bridge")
def running():
    files = {"corp.ldif": ldif(), "elsewhere.csv": "id,uid,mail,department\n1,pia,pia@p.example,Sales\n"}
    port = free_port()
    with Bridge(CONFIG % {"port": port}, files) as bridge:
        bridge.port = port
        bridge.ctl("users", "create", "root-user", "--profile", "administrator", "--email", "root@x.example")
        bridge.ctl("sync", "corp")
        bridge.ctl("sync", "elsewhere")
        bridge.ctl("users", "grant", "dora", "persona", "lead")
        bridge.ctl("users", "grant", "dora", "role", "helper")
        bridge.ctl("users", "disable", "ben")
        yield bridge


@pytest.fixture(name="api")
def connect(bridge):
    api = Api(bridge.folder / "control.sock")
    yield api
    api.close()


def chosen(api, text, more=""):
    """All pages."""
    names, after = [], None
    while True:
        page = api.good("GET", f"users?filter={quote(text)}{more}" + (f"&after={after}" if after else ""))
        names += [user["username"] for user in page["users"]]
        after = page["next"]
        if after is None:
            return names


CHOICES = [
    ("(department=sales)", "anna ben pia"),
    ("(department;x-corp=Sales)", "anna ben"),
    ("(!(department=*))", "root-user dora"),
    ("(username=*a)", "anna cora dora pia"),
    ("(email=anna@X.example)", "anna"),
    ("(mail=root@x.example)", "root-user"),
    ("(mail=ben@x.example)", "ben"),
    ("(displayName=Anna*)", "anna"),
    ("(organization=partners)", "pia"),
    ("(state=disabled)", "ben"),
    ("(disabledBy=hand)", "ben"),
    ("(!(disabledBy=*))", "root-user anna cora dora pia"),
    ("(profile=administrator)", "root-user"),
    ("(role=seller)", "anna cora"),
    ("(role=helper)", "dora"),
    ("(&(role;x-corp=helper)(role=seller))", "anna"),
    ("(!(role=*))", "root-user ben pia"),
    ("(persona=lead)", "dora"),
    ("(localGroup=staff)", "ben cora"),
    ("(groups=cn=staff,dc=x)", "ben cora"),
    ("(memberOf:1.2.840.113556.1.4.1941:=CN=Staff, DC=x)", "ben cora"),
    ("(&(!(groups=cn=staff,dc=x))(department=*))", "anna pia"),
    ("(origin=hand)", "root-user dora"),
    ("(rule=sell)", "anna cora"),
    ("(classification=admin)", "dora"),
    ("(classification=Sales)", "anna cora"),
    ("(segment=Banking)", "anna cora"),
    ("(segment=sellers)", "dora"),
    ("(created>=-1d)", "root-user anna ben cora dora pia"),
    ("(created<=-1d)", ""),
    ("(!(updated<=-30w))", "root-user anna ben cora dora pia"),
    ("(created<=20200101000000Z)", ""),
    ("(source=corp)", "anna ben cora dora"),
    ("(!(source=*))", "root-user"),
    ("(account=*)", ""),
    ("(lastSignIn=*)", ""),
    ("(!(lastSignIn>=-30d))", "root-user anna ben cora dora pia"),
    ("(&(signIns30d<=0)(!(signIns7d>=1))(signIns90d=0))", "root-user anna ben cora dora pia"),
    ("(&)", "root-user anna ben cora dora pia"),
    ("(|)", ""),
    ("(&(departmentNumber=7)(|(role=seller)(persona=lead))(!(username=cora)))", "anna"),
]


@pytest.mark.parametrize("text, expected", CHOICES, ids=[text for text, _ in CHOICES])
def test_chosen(api, text, expected):
    assert chosen(api, text) == expected.split()


def test_chosen_with_other_filters(api):
    assert chosen(api, "(department=Sales)", "&state=active") == ["anna", "pia"]
    assert chosen(api, "(department=Sales)", "&organization=partners") == ["pia"]
    assert chosen(api, "(department=Sales)", "&q=an") == ["anna"]
    assert chosen(api, "(department=*)", "&grant=role:seller") == ["anna", "cora"]
    assert chosen(api, "(department=*)", "&limit=1") == ["anna", "ben", "cora", "pia"]


REFUSED = [
    ("(department=Sales", "filter-syntax", 0),
    ("(title;x-corp=helper)", "attribute-unread", 0),
    ("department=Sales", "filter-syntax", 0),
    ("(&(departmnt=Sales))", "unknown-attribute", 3),
    ("(unread=x)", "attribute-unread", 0),
    ("(title=x)", "attribute-unread", 0),
    ("(groups=cn=other,dc=x)", "group-unread", 0),
    ("(groups=*)", "filter-unsupported", 1),
    ("(created>=yesterday)", "filter-value", 10),
    ("(created>=-30y)", "filter-value", 10),
    ("(created>=-9999999999d)", "filter-value", 10),
    ("(created=*x*)", "filter-unsupported", 1),
    ("(username;x-corp=a)", "filter-unsupported", 10),
    ("(department;x-nowhere=a)", "unknown-source", 12),
    ("(department=a\\0)", "filter-syntax", 13),
    ("(department=a\\00b)", "filter-syntax", 12),
    ("(cn=" + "*" * 50 + ")", "filter-syntax", None),
    ("(!" * 100 + "(cn=a)" + ")" * 100, "filter-syntax", None),
    ("", "filter-syntax", 0),
]


@pytest.mark.parametrize("text, code, position", REFUSED, ids=[text[:40] for text, *_ in REFUSED])
def test_refused(api, text, code, position):
    status, answer, _ = api.call("GET", f"users?filter={quote(text)}")
    assert (status, answer["code"], answer["field"]) == (422, code, "filter"), answer
    if position is not None:
        assert answer["details"]["position"] == position, answer
    # The same as a segment; what no source is asked for so far is then asked for.
    if code not in ("attribute-unread", "group-unread") and text:
        status, answer, _ = api.call("POST", "segments?dry_run=true", {"name": "bad", "filter": text})
        assert (status, answer["code"], answer["field"]) == (422, code, "filter"), answer
    assert api.bad("GET", "segments/bad")[0] == 404


def test_hostile(api):
    for text in ("(cn=" + "a" * 100_000 + ")", "(|" + "(cn=a)" * 20_000 + ")", "(&" * 5000):
        status, answer, _ = api.call("POST", "segments?dry_run=true", {"name": "bad", "filter": text})
        assert 400 <= status < 500, answer
    for raw in ("%ff%fe", "(cn=%00)", "(cn=%c3)"):
        status, answer, _ = api.call("GET", f"users?filter={raw}")
        assert 400 <= status < 500, answer
    for body in (b'{"name": "bad", "filter": "(cn=\\u0000)"}', b'{"name": "bad", "filter": "(cn=\xff)"}',
                 b'{"name": "bad", "filter": 7}', b'{"name": "bad", "filter": null}', b'{"name": "bad", "filter": ""}',
                 b'{"name": "bad"}', b'{"filter": "(cn=a)"}', b'{"name": "bad", "filter": "(cn=a)", "more": 1}',
                 b'{"name": "No Slug", "filter": "(cn=a)"}', b'{"name": "' + b"a" * 65 + b'", "filter": "(cn=a)"}'):
        status, answer, _ = api.call("POST", "segments", body)
        assert 400 <= status < 500, (body, answer)
    assert api.bad("GET", "users?filter=(cn=a)&segment=sellers")[2] == "segment"
    assert api.bad("GET", "users?segment=nobody")[0] == 404


def test_born_and_gone(api, bridge):
    body = {"name": "cologne", "description": "In Köln", "filter": "(city=Köln)"}
    tried = api.good("POST", "segments?dry_run=true", body)
    assert tried["dry_run"] and tried["definition"] is None
    made = api.good("POST", "segments", body, status=201)
    assert made["definition"]["filter"] == "(city=Köln)" and made["definition"]["origin"] == "store"
    assert api.bad("POST", "segments", body)[:2] == (409, "name-taken")
    # No source was asked for it so far.
    assert "attribute-unread" in [warning["code"] for warning in made["warnings"]]
    assert api.good("GET", "segments/cologne/count")["people"] == 0
    bridge.ctl("sync", "corp")
    assert api.good("GET", "segments/cologne/count") == {"people": 2, "active": 2, "looked_at": 6, "next": None}
    assert [u["username"] for u in api.good("GET", "segments/cologne/users")["users"]] == ["anna", "cora"]
    assert chosen(api, "(city=köln)") == ["anna", "cora"]
    # A role may carry it, and then it stays.
    role = {"name": "local", "classifications": ["Sales"], "segments": ["cologne"], "permissions": ["cases:read@all"]}
    api.good("POST", "roles", role)
    assert api.good("GET", "segments/cologne")["roles"] == 1
    assert api.bad("DELETE", "segments/cologne")[:2] == (409, "in-use")
    api.good("DELETE", "roles/local")
    # Versions.
    _, _, headers = api.call("GET", "segments/cologne")
    changed = api.good("PATCH", "segments/cologne", {"filter": "(&(city=Köln)(role=seller)(username=a*))"},
                       {"If-Match": headers["ETag"]})
    assert changed["count"]["people"] == 1
    assert api.bad("PATCH", "segments/cologne", {"description": "x"}, {"If-Match": headers["ETag"]})[:2] == (
        412, "stale-version")
    assert api.bad("PATCH", "segments/cologne", {"filter": None})[2] == "filter"
    assert api.bad("PUT", "segments/cologne", {"name": "other", "filter": "(cn=a)"})[2] == "name"
    assert api.good("GET", "segments/cologne")["filter"].endswith("(username=a*))")
    rows = [json.loads(row["detail"]) if isinstance(row["detail"], str) else row["detail"]
            for row in audit_rows(bridge, "segment.create")]
    assert [row["after"]["name"] for row in rows] == ["cologne"]
    assert len(audit_rows(bridge, "segment.update")) == 1
    # It outlives the daemon.
    bridge.kill()
    bridge.start()
    api.close()
    assert api.good("GET", "segments/cologne/count")["people"] == 1
    api.good("DELETE", "segments/cologne")
    assert api.bad("GET", "segments/cologne/users")[0] == 404
    assert len(audit_rows(bridge, "segment.delete")) == 1


def test_of_files(api, bridge):
    segments = {segment["name"]: segment for segment in api.good("GET", "segments")["segments"]}
    assert segments["sellers"]["origin"] == "file" and segments["sellers"]["roles"] == 1
    for method, body in (("PUT", {"name": "sellers", "filter": "(cn=a)"}), ("PATCH", {"filter": "(cn=a)"}),
                         ("DELETE", None)):
        assert api.bad(method, "segments/sellers", body)[:2] == (409, "managed-by-config")


def test_groups_of_segments_are_read(api, bridge):
    api.good("POST", "segments", {"name": "others", "filter": "(groups=cn=other,dc=x)"})
    assert api.good("GET", "segments/others/count")["people"] == 0
    api.good("PATCH", "segments/others", {"filter": "(!(groups=cn=other,dc=x))"})
    # No directory was asked for it: of whom it knows, nobody is known not to be in it.
    assert [u["username"] for u in api.good("GET", "segments/others/users")["users"]] == ["root-user"]
    api.good("PATCH", "segments/others", {"filter": "(groups=cn=other,dc=x)"})
    # What rules know is as it was: nobody waits for the next read.
    assert chosen(api, "(localGroup=staff)") == ["ben", "cora"]
    bridge.ctl("sync", "corp")
    assert [u["username"] for u in api.good("GET", "segments/others/users")["users"]] == ["dora"]
    bridge.kill()
    bridge.start()
    api.close()
    assert [u["username"] for u in api.good("GET", "segments/others/users")["users"]] == ["dora"]
    assert chosen(api, "(groups=cn=other,dc=x)") == ["dora"]
    api.good("DELETE", "segments/others")


def test_sensitive(api, bridge, web):
    made = api.good("POST", "segments", {"name": "rich", "filter": "(salary>=30)"})
    assert made["definition"]["filter"] == "(salary>=30)"
    bridge.ctl("sync", "corp")
    assert chosen(api, "(salary>=30)") == ["cora", "dora"]
    # Who may not see it: it is not there, nor is it suggested.
    scope = "users:read@all,users:export@all,segments:*@all"
    token = bridge.ctl("tokens", "create", "watcher", "--service", "watch", "--scope", scope)["token"]
    for text in ("(salary>=30)", "(salery>=30)", "(salary;x-corp>=30)"):
        status, answer = web.ask("GET", "users?filter=" + quote(text), token=token)
        assert (status, answer["code"]) == (422, "unknown-attribute")
        assert "salary" not in str(answer["details"]["hint"])
        assert web.ask("POST", "segments?dry_run=true", {"name": "x", "filter": text}, token=token)[0] == 422
    for path in ("segments/rich/count", "segments/rich/users", "users?segment=rich", "export/users.csv?segment=rich"):
        assert web.ask("GET", path, token=token)[0] == 403, path
    status, answer = web.ask("GET", "segments/rich", token=token)
    assert status == 200 and answer["filter"] is None
    # Nor what is wrong with it, in their eyes: its text would be near.
    status, answer = web.ask("PATCH", "segments/rich", {"description": "x"}, token=token)
    assert (status, answer["code"]) == (403, "not-allowed") and "salary" not in str(answer)
    seeing = bridge.ctl("tokens", "create", "seer", "--service", "see", "--scope", scope + ",attributes:read@all")["token"]
    assert web.ask("GET", "users?filter=" + quote("(salary>=40)"), token=seeing)[1]["users"][0]["username"] == "dora"
    api.good("DELETE", "segments/rich")
    for name in ("watcher", "seer"):
        for row in bridge.ctl("tokens", "list")["tokens"]:
            if row["name"] == name:
                bridge.ctl("tokens", "revoke", row["id"])


def test_ends_at_the_organization(bridge, web):
    token = bridge.ctl("tokens", "create", "far", "--service", "far", "--organization", "partners", "--scope",
                       "users:read@all,users:export@all,segments:read@all")["token"]
    everybody = "(username=*)"
    assert [u["username"] for u in web.ask("GET", "users?filter=" + quote(everybody), token=token)[1]["users"]] == ["pia"]
    assert web.ask("GET", "segments/sellers/count", token=token)[1]["people"] == 1
    assert [u["username"] for u in web.ask("GET", "segments/sellers/users", token=token)[1]["users"]] == ["pia"]
    status, text = web.ask("GET", "export/users.csv?segment=sellers", token=token)
    assert status == 200 and [row["username"] for row in csv.DictReader(io.StringIO(text))] == ["pia"]
    assert web.ask("GET", "users?filter=(cn=a)&organization=default", token=token)[0] == 404
    # Each needs its permission.
    for method, path, body in (("POST", "segments", {"name": "x", "filter": "(cn=a)"}), ("DELETE", "segments/sellers", None),
                               ("PATCH", "segments/sellers", {"filter": "(cn=a)"})):
        assert web.ask(method, path, body, token=token)[0] == 403, path
    few = bridge.ctl("tokens", "create", "few", "--service", "few", "--scope", "segments:read@all")["token"]
    assert web.ask("GET", "segments/sellers/count", token=few)[0] == 200
    for path in ("segments/sellers/users", "users?segment=sellers", "export/users.csv?segment=sellers"):
        assert web.ask("GET", path, token=few)[0] == 403, path


def test_belongs_to_an_organization(api, bridge, web):
    text = {"filter": "(department=Sales)"}
    for organization, names in ((None, ["anna", "ben"]), ("default", ["anna", "ben"]), ("partners", ["pia"]),
                                ("*", ["anna", "ben", "pia"])):
        body = {"name": "sold", **text, **({"organization": organization} if organization else {})}
        for query in ("?dry_run=true", ""):
            assert api.good("POST", "segments" + query, body)["count"]["people"] == len(names), organization
        assert [u["username"] for u in api.good("GET", "segments/sold/users")["users"]] == names
        assert [u["username"] for u in api.good("GET", "users?segment=sold")["users"]] == names
        assert api.good("GET", "segments/sold/count")["people"] == len(names)
        assert api.good("PATCH", "segments/sold?dry_run=true", {"description": "x"})["count"]["people"] == len(names)
        for token_of in ("default", "partners"):
            token = bridge.ctl("tokens", "create", "see", "--service", "see", "--organization", token_of, "--scope",
                               "users:read@all,segments:read@all")
            status, answer = web.ask("GET", "segments/sold/users", token=token["token"])
            if organization in ("*", token_of) or (organization is None and token_of == "default"):
                seen = ["pia"] if token_of == "partners" else ["anna", "ben"]
                assert [user["username"] for user in answer["users"]] == seen
            else:
                assert status == 404
            bridge.ctl("tokens", "revoke", token["id"])
        api.good("DELETE", "segments/sold")


def test_accounts_of_one_application(api, bridge, web):
    for application in ("crm", "desk"):
        status, answer, _ = api.call("PUT", f"resources/{application}/accounts/{application}-1", {"organization": "default"})
        assert status == 201, answer
    bridge.ctl("users", "tie", "anna", "crm", "crm-1")
    bridge.ctl("users", "tie", "cora", "desk", "desk-1")
    assert chosen(api, "(account=*)") == ["anna", "cora"]
    assert chosen(api, "(account=crm/crm-1)") == ["anna"]
    token = bridge.ctl("tokens", "create", "crm", "--service", "crm", "--application", "crm", "--scope",
                       "users:read@all,users:disable@all")["token"]
    answer = web.ask("GET", "users?filter=" + quote("(account=*)"), token=token)[1]
    assert [user["username"] for user in answer["users"]] == ["anna"]
    seen = answer["users"][0]["id"]
    status, answer = web.ask("POST", "users/bulk", {"action": "disable", "filter": "(account=*)", "dry_run": True}, token=token)
    assert status == 202, answer
    run = {"state": "running"}
    while run["state"] == "running":
        run = web.ask("GET", f"runs/{answer['run']}?wait_ms=10000", token=token)[1]
    assert [row["user"] for row in run["result"]["users"]] == [seen]


def test_commands(bridge):
    ctl = bridge.ctl
    made = ctl("segments", "create", "sales", "--filter", "(department=Sales)", "--organization", "*")
    assert made["count"]["people"] == 3 and made["definition"]["organization"] is None
    assert [s["name"] for s in ctl("segments", "list")["segments"]] == ["sellers", "called", "sales"]
    assert ctl("segments", "show", "sales")["filter"] == "(department=Sales)"
    assert ctl("segments", "count", "sales") == {"people": 3, "active": 2, "looked_at": 6}
    assert [u["username"] for u in ctl("segments", "users", "sales")["users"]] == ["anna", "ben", "pia"]
    assert [u["username"] for u in ctl("users", "search", "--segment", "sales", "--state", "active")["users"]] == [
        "anna", "pia"]
    assert [u["username"] for u in ctl("users", "search", "--filter", "(role=seller)")["users"]] == ["anna", "cora"]
    assert [u["username"] for u in ctl("users", "search", "an", "--filter", "(role=seller)")["users"]] == ["anna"]
    assert ctl("segments", "update", "sales", "--filter", "(role=seller)", "--dry-run")["count"]["people"] == 2
    text = bridge.run("segments", "export", "sales").stdout
    assert [row["username"] for row in csv.DictReader(io.StringIO(text))] == ["anna", "ben", "pia"]
    text = bridge.run("export", "users", "--segment", "sales", "--format", "json").stdout
    assert [user["username"] for user in json.loads(text)["users"]] == ["anna", "ben", "pia"]
    text = bridge.run("export", "users", "--filter", "(|)").stdout
    assert text.count("\n") == 1
    with pytest.raises(Refused) as refused:
        ctl("segments", "create", "bad", "--filter", "(&(departmnt=Sales)(cn=a))")
    assert "unknown-attribute" in refused.value.output + refused.value.text
    ctl("segments", "delete", "sales")


def test_caret(bridge):
    plain = subprocess.run([CTL, "--config", bridge.config, "users", "search", "--filter",
                            "(&(départ=x)(departmnt=Sales))"], capture_output=True, text=True, check=False)
    assert plain.returncode == 1
    plain = subprocess.run([CTL, "--config", bridge.config, "users", "search", "--filter",
                            "(&(city=Köln)(departmnt=Sales))"], capture_output=True, text=True, check=False)
    lines = plain.stderr.splitlines()
    assert plain.returncode == 1 and lines[1] == "  (&(city=Köln)(departmnt=Sales))", plain.stderr
    assert lines[2] == "                ^~~~~~~~~" and "'department'" in lines[3]
    assert subprocess.run([CTL, "--config", bridge.config, "users", "search"], capture_output=True,
                          check=False).returncode == 2


# --- in files ---


def checked(bridge, config):
    path = bridge.folder / "tried.yaml"
    path.write_text(f"store: store.db\ncontrol_socket: tried.sock\n{config}")
    result = subprocess.run([DAEMON, "--check", "--config", path], capture_output=True, text=True, check=False)
    return result.returncode, result.stdout + result.stderr


def test_files_are_checked(bridge):
    base = "sources: [{name: corp, type: ldif, path: corp.ldif, key: entryUUID, attributes: [department]}]\n"
    filters = base + "segment_filters:\n  - {name: %s, filter: '%s'}\n"
    assert checked(bridge, filters % ("sellers", "(department=Sales)"))[0] == 0
    status, text = checked(bridge, filters % ("sellers", "(&(cn=a)(departmnt=Sales))"))
    assert status == 1 and "tried.yaml:5:39: error: unknown attribute 'departmnt'" in text and "'department'" in text, text
    assert "^~~~~~~~~" in text
    for name, text in (("No slug", "(cn=a)"), ("sellers", "(cn=a"), ("sellers", ""), ("sellers", "(groups=*)")):
        assert checked(bridge, filters % (name, text))[0] == 1, text
    twice = filters % ("sellers", "(cn=a)") + "  - {name: sellers, filter: (cn=b)}\n"
    status, text = checked(bridge, twice)
    assert status == 1 and "declared twice" in text
    # A role may carry a segment that is a filter alone.
    role = "roles: [{name: local, classifications: [Sales], segments: [%s], permissions: []}]\n"
    assert checked(bridge, filters % ("sellers", "(cn=a)") + role % "sellers")[0] == 0
    status, text = checked(bridge, filters % ("sellers", "(cn=a)") + role % "seller")
    assert status == 1 and "'sellers'" in text


def test_what_the_store_has_stops_no_daemon():
    """A source that is gone takes its attributes along: nobody is in the segment, and the daemon says so."""
    config = "policy: {default_profile: developer}\nsources: [{name: corp, type: ldif, path: corp.ldif, key: entryUUID, interval: 0, attributes: [%s]}]\n"
    with Bridge(config % "department, city", {"corp.ldif": ldif()}) as bridge:
        bridge.ctl("segments", "create", "sales", "--filter", "(department=Sales)")
        bridge.ctl("segments", "create", "towns", "--filter", "(city=*)")
        bridge.ctl("sync")
        assert bridge.ctl("segments", "count", "towns")["people"] == 3
        bridge.write_config(config % "department")
        bridge.ctl("reload")
        for _ in range(2):
            assert bridge.ctl("segments", "count", "sales")["people"] == 2
            assert len(bridge.ctl("segments", "list")["segments"]) == 2
            with pytest.raises(Refused) as refused:
                bridge.ctl("segments", "count", "towns")
            assert "segment 'towns'" in refused.value.text + refused.value.output
            bridge.kill()
            bridge.start()
        # Others can be made and changed meanwhile; it is put right, or goes.
        bridge.ctl("segments", "update", "sales", "--description", "x")
        bridge.ctl("segments", "update", "towns", "--filter", "(department=*)")
        assert bridge.ctl("segments", "count", "towns")["people"] == 3
        # A file that declares the name wins.
        bridge.write_config(config % "department" + "segment_filters: [{name: towns, filter: (cn=anna*)}]\n")
        bridge.ctl("reload")
        assert bridge.ctl("segments", "count", "towns")["people"] == 1
        assert bridge.ctl("segments", "show", "towns")["origin"] == "file"


def test_pages_come_back_short():
    """A long filter is asked of few people at a time: who follows "next" sees everybody once, whatever comes between."""
    people = "id,uid,mail,department\n" + "".join(f"{i},u{i:03},u{i:03}@x.example,{'Last' if i > 145 else 'D'}\n"
                                                  for i in range(150))
    config = ("policy: {default_profile: developer}\nsources: [{name: corp, type: csv, path: corp.csv, key: id, interval: 0, "
              "attributes: [uid, mail, department]}]\n")
    with Bridge(config, {"corp.csv": people}) as bridge:
        api = Api(bridge.folder / "control.sock")
        text = "(|" + "(cn=a)" * 9000 + "(department=Last))"
        assert api.good("POST", "segments", {"name": "long", "filter": text})["count"]["people"] == 0
        bridge.ctl("sync")
        names, pages, after = [], 0, ""
        while after is not None:
            page = api.good("GET", "segments/long/users?limit=3" + (f"&after={after}" if after else ""))
            names += [user["username"] for user in page["users"]]
            after, pages = page["next"], pages + 1
        assert names == ["u146", "u147", "u148", "u149"] and pages > 3
        first = api.good("GET", "segments/long/count?limit=1000")
        assert first["looked_at"] < 150 and first["next"]
        assert bridge.ctl("segments", "count", "long") == {"people": 4, "active": 4, "looked_at": 150}
        rows = list(csv.DictReader(io.StringIO(bridge.run("segments", "export", "long").stdout)))
        assert [row["username"] for row in rows] == names
        # Who comes and goes meanwhile shifts nobody.
        page = api.good("GET", "segments/long/users?limit=3")
        bridge.ctl("users", "disable", "u149")
        rest = api.good("GET", f"users?segment=long&state=active&after={page['next']}")
        assert set(user["username"] for user in page["users"] + rest["users"]) <= {"u146", "u147", "u148"}
        api.close()
