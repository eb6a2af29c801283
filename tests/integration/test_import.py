"""People out of files, and into them: rows good and bad, again and again, CSV and JSON, API and CLI."""
import csv
import io
import json
import random

import pytest
import requests

from bridge import Bridge, Refused
from control import Control
from ports import free_port
from test_control import check

CONFIG = """
public_url: http://127.0.0.1:{web}
listeners: ["127.0.0.1:{web}"]
profiles:
  - {{name: administrator, permissions: ["*:*@all"]}}
  - {{name: viewer, permissions: ["accounts:read@own"]}}
  - {{name: member, permissions: ["accounts:read@all"]}}
segments: [All]
organizations: [{{name: partners}}]
roles:
  - {{name: sales, description: Sells, classifications: [Sales], segments: [All], permissions: ["quotes:*@own"]}}
  - {{name: night, description: Nights, classifications: [Support], segments: [All], permissions: ["cases:*@own"]}}
  - {{name: desk, description: Imports, classifications: [Support], segments: [All],
      permissions: ["users:import@all", "users:export@all", "quotes:*@own", "accounts:read@own"]}}
personas:
  - {{name: lead, title: Alex, objectives: [x], frustrations: [x], watering_holes: [x],
      technical_sophistication: low}}
rules:
  - {{id: sellers, when: "(departmentNumber=7)", grant: {{roles: [sales]}}}}
  - {{id: no-nights, when: "(departmentNumber=8)", grant: {{profile: viewer}}, deny: {{roles: [night]}}}}
sources:
  - {{name: staff, type: csv, path: staff.csv, key: id, interval: 0,
     attributes: [uid, mail, displayName, departmentNumber]}}
  - {{name: partners, type: csv, path: partners.csv, key: id, interval: 0, organization: partners,
     attributes: [uid, mail, displayName, departmentNumber]}}
policy: {{default_profile: viewer}}
"""
FILES = {
    "staff.csv": "id,uid,mail,displayName,departmentNumber\n1,anna,anna@x.example,Anna,7\n2,ben,ben@x.example,Ben,8\n",
    "partners.csv": "id,uid,mail,displayName,departmentNumber\n1,far,far@y.example,Far,\n",
}
COLUMNS = ["user_id", "external_id", "username", "email", "display_name", "organization", "profile", "roles",
           "personas", "groups", "accounts", "state"]


class World:
    def __init__(self, bridge, web):
        self.bridge, self.web = bridge, web
        self.control = Control(bridge.folder / "control.sock")

    def post(self, body, kind="text/csv", query=""):
        body = body.encode() if isinstance(body, str) else body
        self.control.request("POST", "/api/v1/import/users" + query, body, {"Content-Type": kind})
        response = self.control.getresponse()
        return response.status, json.loads(response.read())

    def run(self, body, kind="text/csv", query=""):
        """The whole run."""
        status, answer = self.post(body, kind, query)
        assert status == 202, answer
        while True:
            status, run = self.control.ask("GET", f"runs/{answer['run']}?wait_ms=10000")
            if run["state"] != "running":
                return check(run, "/api/v1/runs/{id}")

    def load(self, body, kind="text/csv", query=""):
        """The result of a run that went well."""
        run = self.run(body, kind, query)
        assert run["state"] == "done", run
        return run["result"]

    def dump(self, kind="csv"):
        self.control.request("GET", f"/api/v1/export/users.{kind}")
        response = self.control.getresponse()
        assert response.status == 200
        return response.read()

    def user(self, name):
        return self.bridge.ctl("users", "show", name)

    def grants(self, name):
        return {(g["kind"], g["name"], g["origin"]["kind"]) for g in self.user(name)["grants"]}

    def rows(self):
        return self.bridge.ctl("audit", "verify")["rows"]


def counts(result):
    return tuple(result[k] for k in ("created", "updated", "unchanged", "failed"))


def failed(result):
    return [(r["row"], r["code"], r.get("field")) for r in result["rows"] if r["status"] == "failed"]


@pytest.fixture(name="world")
def make_world():
    web = free_port()
    with Bridge(CONFIG.format(web=web), FILES) as bridge:
        bridge.ctl("users", "create", "root-user", "--profile", "administrator")
        bridge.ctl("sync")
        world = World(bridge, web)
        yield world
        world.control.close()


FIRST = ("external_id,username,email,display_name,role,persona,profile,state\r\n"
         '4711,ada,Ada@X.example,"Lovelace, Ada",sales;night,lead,member,active\r\n'
         "4712,,grace@x.example,Grace,,,,\r\n"
         "4713,alan,,,night,,viewer,disabled\r\n")


def test_the_whole_road(world):
    dry = world.load(FIRST, query="?dry_run=true")
    before = world.rows()
    assert dry["dry_run"] and counts(dry) == (3, 0, 0, 0)
    assert world.rows() == before and "ada" not in world.dump().decode()
    result = world.load(FIRST)
    assert not result["dry_run"] and counts(result) == (3, 0, 0, 0)
    assert [(r["row"], r["status"]) for r in result["rows"]] == [(2, "created"), (3, "created"), (4, "created")]
    ada = world.user("ada")
    assert (ada["id"], ada["email"], ada["display_name"], ada["profile"], ada["active"]) == \
        (result["rows"][0]["user"], "ada@x.example", "Lovelace, Ada", "member", True)
    assert world.grants("ada") == {("profile", "member", "import"), ("role", "sales", "import"),
                                   ("role", "night", "import"), ("persona", "lead", "import")}
    assert world.grants("grace@x.example") == {("profile", "viewer", "default")}
    assert world.user("alan")["disabled"] == ["hand"]
    row, = world.bridge.ctl("audit", "list", "--object", "user:" + ada["id"])["rows"]
    assert row["action"] == "user.create" and row["detail"]["why"] == "import 4711"
    # The same again changes nothing.
    before = world.rows()
    again = world.load(FIRST)
    assert counts(again) == (0, 0, 3, 0) and world.rows() == before + 1
    assert counts(world.load(FIRST, query="?dry_run=true")) == (0, 0, 3, 0)


def test_changes_by_the_file(world):
    world.load(FIRST)
    world.bridge.ctl("users", "grant", "ada", "role", "desk")
    second = FIRST.replace("sales;night", "night").replace(",member,", ",viewer,").replace(
        "Grace,,,,", "Grace Hopper,,,,disabled").replace("viewer,disabled", "viewer,active").replace(",alan,", ",alan2,")
    assert counts(world.load(second, query="?dry_run=true")) == (0, 3, 0, 0)
    result = world.load(second)
    assert counts(result) == (0, 3, 0, 0)
    # what a person gave by hand stays
    assert world.grants("ada") == {("profile", "viewer", "import"), ("role", "night", "import"),
                                   ("role", "desk", "hand"), ("persona", "lead", "import")}
    grace = world.user("grace@x.example")
    assert (grace["display_name"], grace["active"], grace["disabled"]) == ("Grace Hopper", False, ["hand"])
    assert world.user("alan2")["active"]
    # Without the columns nothing is taken away.
    assert counts(world.load("external_id\n4711\n4712\n")) == (0, 0, 2, 0)


def test_whom_a_row_is_about(world):
    world.load(FIRST)
    ada = world.user("ada")
    for name, text, status in [
            ("by id", f"user_id,display_name\n{ada['id']},A1\n", "updated"),
            ("by external id", "external_id,display_name\n4711,A2\n", "updated"),
            ("by username", "username,display_name\nADA,A3\n", "updated"),
            ("by address", "email,display_name\nada@x.example,A4\n", "updated"),
            ("id before the name", f"user_id,username\n{ada['id']},ada2\n", "updated"),
            ("external id before the name", "external_id,username\n4711,ada\n", "updated"),
            ("a new external id", "username,external_id\nada,E1\n", "updated"),
            ("that is hers now", "external_id,username\nE1,ada\n", "unchanged"),
            ("an id that nobody has is given", "user_id,username\n01a202b9-6450-7b2f-bebc-103430a58056,zed\n",
             "created")]:
        result = world.load(text)
        assert [r["status"] for r in result["rows"]] == [status], (name, result)
    assert world.user("zed")["id"] == "01a202b9-6450-7b2f-bebc-103430a58056"
    # An address is no key beside another one: somebody new would be taken for who has it.
    assert failed(world.load("username,email\nnew,ada@x.example\n")) == [(2, "email-taken", "email")]


BAD = [
    ("no name", "external_id,username\n1,\n", [(2, "invalid-request", "username")]),
    ("bad name", "username\na b\n", [(2, "invalid-request", "username")]),
    ("bad address", "username,email\na,b\n", [(2, "invalid-request", "email")]),
    ("bad id", "user_id,username\nx,b\n", [(2, "invalid-request", "user_id")]),
    ("bad state", "username,state\nb,gone\n", [(2, "invalid-request", "state")]),
    ("no such profile", "username,profile\nb,nix\n", [(2, "not-found", "profile")]),
    ("no such role", "username,role\nb,nix\n", [(2, "not-found", "roles")]),
    ("bad role", "username,role\nb,No Role\n", [(2, "invalid-request", "roles")]),
    ("no such persona", "username,persona\nb,nix\n", [(2, "not-found", "personas")]),
    ("no such organization", "username,organization\nb,nix\n", [(2, "not-found", "organization")]),
    ("moves nobody", "username,organization\nanna,partners\n", [(2, "conflict", "organization")]),
    ("taken name", "external_id,username\nnew,anna\n", []),
    ("taken address", "username,email\nb,anna@x.example\n", [(2, "email-taken", "email")]),
    ("address elsewhere", "username,email\nb,far@y.example\n", [(2, "email-in-other-organization", "email")]),
    ("a source's address", "username,email\nanna,other@x.example\n", [(2, "managed-by-idp", "email")]),
    ("a source's name", "username,display_name\nanna,Other\n", [(2, "managed-by-idp", "display_name")]),
    ("denied by a rule", "username,role\nben,night\n", [(2, "not-allowed", None)]),
    ("the last administrator", "username,state\nroot-user,disabled\n", [(2, "last-administrator", None)]),
    ("too many cells", "username\na,b\n", [(2, "malformed-row", None)]),
    ("too few cells", "username,email\na\n", [(2, "malformed-row", None)]),
    ("a quote", 'username\na"b\nc\n', [(2, "malformed-row", None)]),
    ("a quote never closed", 'username\n"a\nc\n', [(2, "malformed-row", None)]),
    ("not UTF-8", b"username\n\xff\nc\n", [(2, "invalid-request", "username")]),
    ("NUL", b"username\na\0b\nc\n", [(2, "invalid-request", "username")]),
    ("a long cell", "username\n" + "a" * 5000 + "\nc\n", [(2, "too-large", "username")]),
    ("a long external id", "username,external_id\na," + "a" * 300 + "\n", [(2, "invalid-request", "external_id")]),
    ("two of one name", "username\nc\nC\n", []),
    ("two of one address", "username,email\nc,c@x.example\nd,C@x.example\n", [(3, "email-taken", "email")]),
    ("two of one external id", "username,external_id\nc,1\nd,1\n", []),
]


@pytest.fixture(scope="module", name="shared")
def make_shared():
    web = free_port()
    with Bridge(CONFIG.format(web=web), FILES) as bridge:
        bridge.ctl("users", "create", "root-user", "--profile", "administrator")
        bridge.ctl("sync")
        world = World(bridge, web)
        yield world
        world.control.close()


@pytest.mark.parametrize("case", BAD, ids=[c[0] for c in BAD])
def test_bad_rows(shared, case):
    _, text, wanted = case
    before = shared.rows()
    # A dry run foresees it, and both say the same.
    assert failed(shared.load(text, query="?dry_run=true")) == wanted
    assert shared.rows() == before
    assert failed(shared.load(text)) == wanted


BAD_FILES = [
    ("empty", "", "text/csv", 400, "invalid-request", None),
    ("unknown column", "usernam\na\n", "text/csv", 422, "unknown-column", "usernam"),
    ("column twice", "username,role,Roles\na,,\n", "text/csv", 422, "duplicate-column", "Roles"),
    ("no key", "display_name\na\n", "text/csv", 422, "missing-column", "username"),
    ("type", "username\na\n", "text/plain", 415, "unsupported-media-type", None),
    ("not JSON", "{", "application/json", 400, "invalid-request", None),
    ("another JSON", "[]", "application/json", 400, "invalid-request", None),
    ("more than users", '{"users":[],"x":1}', "application/json", 400, "invalid-request", None),
]


@pytest.mark.parametrize("case", BAD_FILES, ids=[c[0] for c in BAD_FILES])
def test_bad_files(shared, case):
    _, text, kind, status, code, field = case
    got, answer = shared.post(text, kind)
    assert (got, answer["code"], answer.get("field")) == (status, code, field)


def test_a_file_that_is_too_large(shared):
    control = Control(shared.bridge.folder / "control.sock")
    control.putrequest("POST", "/api/v1/import/users")
    control.putheader("Content-Type", "text/csv")
    control.putheader("Content-Length", str(64 * 1024 * 1024 + 1))
    control.endheaders()
    response = control.getresponse()
    assert (response.status, json.loads(response.read())["code"]) == (413, "too-large")
    control.close()


def test_bad_queries(shared):
    for query, field in (("?dry_run=1", "dry_run"), ("?results=x", "results"), ("?x=1", "x")):
        status, answer = shared.post("username\n", query=query)
        assert (status, answer["field"]) == (422, field)
    shared.control.request("GET", "/api/v1/export/users.csv?x=1")
    assert shared.control.getresponse().status == 422
    shared.control.close()


def test_json(shared):
    body = {"users": [
        {"external_id": "J1", "username": "jo", "email": "jo@x.example", "roles": ["sales"], "profile": "member"},
        {"external_id": "J2", "username": "jim", "rolez": []},
        {"external_id": "J3", "username": 3},
        {"external_id": "J4", "username": "jil", "roles": "sales"},
        7,
        {"external_id": "J6", "username": "joe", "display_name": None, "state": "disabled"},
    ]}
    text = json.dumps(body)
    result = shared.load(text, "application/json")
    assert counts(result) == (2, 0, 0, 4)
    assert failed(result) == [(2, "invalid-request", None), (3, "invalid-request", "username"),
                              (4, "invalid-request", "roles"), (5, "malformed-row", None)]
    assert shared.grants("jo") == {("profile", "member", "import"), ("role", "sales", "import")}
    assert counts(shared.load(text, "application/json")) == (0, 0, 2, 4)
    # A list that is given and empty takes back; null is as leaving it out.
    shared.load('{"users":[{"external_id":"J1","roles":null}]}', "application/json")
    assert ("role", "sales", "import") in shared.grants("jo")
    shared.load('{"users":[{"external_id":"J1","roles":[]}]}', "application/json")
    assert ("role", "sales", "import") not in shared.grants("jo")
    # What is no JSON from some place on: what stood before is done, and told.
    run = shared.run('{"users":[{"username":"whole"},{"username":', "application/json")
    assert run["state"] == "failed" and counts(run["result"]) == (1, 0, 0, 0) and shared.user("whole")["active"]
    # One user takes no more room than a row of CSV may: a tree in memory is many times its text.
    run = shared.run('{"users":[{"username":"small"},[' + ",".join(["[]"] * 400000) + "]]}", "application/json")
    assert run["state"] == "failed" and "1 MiB" in run["error"]["message"] and shared.user("small")["active"]


def test_export_comes_back_unchanged(world):
    world.load(FIRST)
    odd = ["=1+1", "'=x", "'quoted'", "-5", "+49", "@at", "a,b", 'q"q', "ünï"]
    world.load("username,external_id,display_name\n" + "".join(
        f'odd{i},{chr(34)}{("x" + n).replace(chr(34), chr(34) * 2)}{chr(34)},"{people(n)}"\n' for i, n in enumerate(odd)))
    for i, name in enumerate(odd):
        assert world.user(f"odd{i}")["display_name"] == name
    text = world.dump()
    rows = list(csv.DictReader(io.StringIO(text.decode())))
    assert list(rows[0]) == COLUMNS
    by_name = {r["username"]: r for r in rows}
    assert {"anna", "ben", "far", "ada", "alan", "root-user"} <= set(by_name)
    assert (by_name["ada"]["roles"], by_name["ada"]["personas"], by_name["ada"]["external_id"]) == \
        ("night;sales", "lead", "4711")
    assert by_name["odd0"]["display_name"] == "'=1+1" and by_name["odd1"]["display_name"] == "''=x"
    before = {name: world.bridge.run("users", "show", name).stdout for name in ("anna", "ben", "ada", "alan", "odd1")}
    # into the same place: nothing changes, and what rules gave is not made lasting
    assert counts(world.load(text))[:2] + counts(world.load(text))[3:] == (0, 0, 0)
    as_json = world.dump("json")
    check(json.loads(as_json), "/api/v1/export/users.json", "get")
    result = world.load(as_json, "application/json")
    assert counts(result) == (0, 0, len(rows), 0)
    assert before == {name: world.bridge.run("users", "show", name).stdout for name in before}
    assert world.dump() == text
    # into an empty place: the same people
    with Bridge(CONFIG.format(web=free_port())) as other:
        there = World(other, 0)
        assert counts(there.load(text)) == (len(rows), 0, 0, 0)
        assert sorted(there.dump().splitlines()) == sorted(text.splitlines())
        assert counts(there.load(text)) == (0, 0, len(rows), 0)
        there.control.close()


def people(name):
    """A display name as a file that came from an export would have it."""
    first = name.lstrip("'")[:1]
    return (("'" if first in "=+-@" else "") + name).replace('"', '""')


def test_a_file_that_speaks_of_somebody_twice(world):
    """The second row is about whom the first one made, in a dry run as well."""
    for number, (columns, first, second) in enumerate([
            ("username", "t{0}", "T{0}"),
            ("external_id,username", "X{0},t{0}", "X{0},"),
            ("external_id,username", "X{0},t{0}", ",t{0}"),
            ("email", "t{0}@x.example", "T{0}@x.example"),
            ("user_id,username", "01a202b9-6450-7b2f-bebc-1034300000{0}0,t{0}",
             "01a202b9-6450-7b2f-bebc-1034300000{0}0,")]):
        text = f"{columns}\n{first.format(number)}\n{second.format(number)}\n"
        dry = world.load(text, query="?dry_run=true")
        assert (counts(dry)[0], dry["failed"]) == (1, 0), (text, dry)
        result = world.load(text)
        assert (counts(result)[0], result["failed"]) == (1, 0), (text, result)
    # Whoever was refused is nobody.
    text = "external_id,username,email\nR1,r1,anna@x.example\nR1,r1,\n"
    for query in ("?dry_run=true", ""):
        result = world.load(text, query=query)
        assert (counts(result)[0], failed(result)) == (1, [(2, "email-taken", "email")])


def test_ten_thousand_rows_with_five_hundred_bad_ones(world):
    numbers = list(range(10000))
    bad = set(random.Random(5).sample(numbers, 500))
    kinds = [lambda n: f"E{n},bad name {n},,viewer,\n", lambda n: f"E{n},u{n},nonsense,viewer,\n",
             lambda n: f"E{n},u{n},,nix,\n", lambda n: f'E{n},u"{n},,viewer,\n', lambda n: f"E{n},u{n}\n"]
    body = "external_id,username,email,profile,role\n" + "".join(
        kinds[n % 5](n) if n in bad else f"E{n},u{n},u{n}@bulk.example,viewer,{'sales' if n % 3 else ''}\n"
        for n in numbers)
    dry = world.load(body, query="?dry_run=true&results=failed")
    assert counts(dry) == (9500, 0, 0, 500)
    result = world.load(body)
    assert counts(result) == (9500, 0, 0, 500) and not result["cut"]
    assert {r["row"] - 2 for r in result["rows"] if r["status"] == "failed"} == bad
    assert len(result["rows"]) == 10000
    assert [r["row"] for r in dry["rows"]] == [r["row"] for r in result["rows"] if r["status"] == "failed"]
    again = world.load(body, query="?results=failed")
    assert counts(again) == (0, 0, 9500, 500) and len(again["rows"]) == 500
    assert world.bridge.ctl("users", "list", "--grant", "role:sales", "--limit", "10000")["users"]
    assert world.dump().count(b"\r\n") == 9500 + 4 + 1
    row, = world.bridge.ctl("audit", "list", "--action", "users.import", "--limit", "1")["rows"]
    assert row["detail"] == {"created": 0, "updated": 0, "unchanged": 9500, "failed": 500}
    world.bridge.ctl("audit", "verify")


def test_a_daemon_that_is_killed_is_not_left_in_between(world):
    """Whoever was there is whole; the same file again brings the others."""
    body = "external_id,username,email,role\n" + "".join(f"E{n},u{n},u{n}@bulk.example,sales\n" for n in range(20000))
    status, answer = world.post(body)
    assert status == 202
    world.bridge.kill()
    world.bridge.start()
    world.control.close()
    for user in world.bridge.ctl("users", "list", "--limit", "10000")["users"]:
        if user["username"].startswith("u"):
            assert world.grants(user["username"]) == {("profile", "viewer", "default"), ("role", "sales", "import")}
            break
    result = world.load(body, query="?results=failed")
    assert result["failed"] == 0 and sum(counts(result)) == 20000 and result["updated"] == 0
    world.bridge.ctl("audit", "verify")
    assert answer["run"]


# --- the command ---


def test_the_command(world):
    sample = world.bridge.human("import", "sample").stdout
    assert sample.splitlines()[0].split(",") == COLUMNS
    path = world.bridge.write("people.csv", FIRST + "4714,bad name,,,,,,\n")
    done = world.bridge.human("import", "users", path, "--dry-run")
    assert done.returncode == 1 and "Nothing was written. It would be: 3 created" in done.stdout
    done = world.bridge.human("import", "users", path)
    assert done.returncode == 1 and "3 created, 0 updated, 0 unchanged, 1 failed." in done.stdout
    assert "invalid-request" in done.stdout and "username" in done.stdout and "created  " not in done.stdout
    done = world.bridge.human("import", "users", path, "--all")
    assert "unchanged" in done.stdout
    world.bridge.write("good.csv", FIRST)
    run = world.bridge.ctl("import", "users", world.bridge.folder / "good.csv")
    assert run["result"]["unchanged"] == 3
    exported = world.bridge.human("export", "users").stdout
    assert exported.splitlines()[0].split(",") == COLUMNS and "4711,ada," in exported
    assert json.loads(world.bridge.human("export", "users", "--format", "json").stdout)["users"]
    path = world.bridge.write("people.json", world.bridge.human("export", "users", "--format", "json").stdout)
    assert world.bridge.ctl("import", "users", path)["result"]["failed"] == 0
    assert "far" not in world.bridge.human("export", "users", "--organization", "default").stdout.split()
    assert world.bridge.human("export", "users", "--format", "xml").returncode == 2
    assert world.bridge.human("import", "users", world.bridge.folder / "none.csv").returncode == 1
    with pytest.raises(Refused) as refused:
        world.bridge.ctl("import", "users", world.bridge.write("bad.csv", "nix\n"))
    assert json.loads(refused.value.output)["code"] == "unknown-column"


# --- the ceiling ---


def test_nobody_imports_beyond_their_own(world):
    world.bridge.ctl("users", "create", "desk")
    world.bridge.ctl("users", "grant", "desk", "role", "desk")
    world.bridge.ctl("users", "create", "strong", "--profile", "administrator")
    status, answer = world.control.ask("POST", "tokens", {"name": "desk", "user": "desk"})
    assert status == 201
    headers = {"Authorization": "Bearer " + answer["token"], "Content-Type": "text/csv"}

    def load(text, query=""):
        url = f"http://127.0.0.1:{world.web}/api/v1/"
        run = requests.post(url + "import/users" + query, text, headers=headers, timeout=60)
        assert run.status_code == 202, run.text
        while True:
            shown = requests.get(url + f"runs/{run.json()['run']}?wait_ms=10000", headers=headers, timeout=60)
            assert shown.status_code == 200, shown.text
            if shown.json()["state"] != "running":
                return shown.json()["result"]

    text = ("username,profile,role,organization,state,email\n"
            "one,administrator,,,,\n"          # more than they have
            "two,viewer,night,,,\n"
            "three,member,,,,\n"
            "four,viewer,,partners,,\n"        # another organization
            "strong,,,,disabled,\n"            # somebody with more
            "strong,,,,,mine@x.example\n"      # whose address would be theirs
            "root-user,,sales,,,\n"
            "far,,,,disabled,\n"               # of another organization
            "desk,,,,disabled,\n"              # oneself
            "five,viewer,sales,,,\n")
    wanted = [(2, "not-allowed"), (3, "not-allowed"), (4, "not-allowed"), (5, "not-found"), (6, "not-allowed"),
              (7, "not-allowed"), (8, "not-allowed"), (9, "not-found"), (10, "self-disable")]
    for query in ("?dry_run=true", ""):
        result = load(text, query)
        assert [(r["row"], r["code"]) for r in result["rows"] if r["status"] == "failed"] == wanted, query
        assert counts(result) == (1, 0, 0, 9)
    assert world.user("strong")["active"] and world.user("far")["active"] and world.user("desk")["active"]
    names = requests.get(f"http://127.0.0.1:{world.web}/api/v1/export/users.csv", headers=headers, timeout=60).text
    assert "far" not in names and "five" in names
    answer = requests.get(f"http://127.0.0.1:{world.web}/api/v1/export/users.csv?organization=partners",
                          headers=headers, timeout=60)
    assert answer.status_code == 404
    # One's own runs are shown, and no others.
    other = world.run("username\nanna\n")["id"]
    for path in (f"runs/{other}", "runs", "runs/nix"):
        answer = requests.get(f"http://127.0.0.1:{world.web}/api/v1/{path}", headers=headers, timeout=60)
        assert (answer.status_code, answer.json()["code"]) == (403, "not-allowed"), path
    # nobody without the permission
    world.bridge.ctl("users", "revoke", "desk", "role", "desk")
    for method, path in (("POST", "import/users"), ("GET", "import/users/sample.csv"), ("GET", "export/users.csv"),
                         ("GET", "export/users.json")):
        answer = requests.request(method, f"http://127.0.0.1:{world.web}/api/v1/{path}", data="username\n",
                                  headers=headers, timeout=60)
        assert (answer.status_code, answer.json()["code"]) == (403, "not-allowed"), path
