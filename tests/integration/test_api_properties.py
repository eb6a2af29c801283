"""Every operation of schemas/openapi.yaml, asked as it describes and in every broken way there is: never 5xx, always an error
that the document knows, and what is refused leaves the store as it was. What to ask is taken from the document: a new
route is tried as soon as it is described.

ROLEBRIDGE_SEED=n asks with other values.
"""
import http.client
import json
import os
import sqlite3

import jsonschema
import pytest
import yaml

import properties
from bridge import ROOT, Bridge
from control import Control
from ports import free_port

SEED = int(os.environ.get("ROLEBRIDGE_SEED", "1"))
DOCUMENT = yaml.safe_load((ROOT / "schemas/openapi.yaml").read_text())
OPERATIONS = properties.operations(DOCUMENT)
CONFIG = """
public_url: "http://localhost:{port}"
listeners: [{{address: "127.0.0.1:{port}"}}]
profiles:
  - {{name: administrator, permissions: ["*:*@all"]}}
  - {{name: viewer, permissions: ["notes:read@own"]}}
classifications: [Support]
segments: [Core]
organizations: [{{name: partners}}]
roles:
  - {{name: worker, classifications: [Support], segments: [Core], permissions: ["notes:read@own"]}}
personas: [{{name: lead, title: Lena}}]
rules: [{{id: writers, when: "(title=writer)", grant: {{roles: [worker]}}}}]
policy: {{default_profile: viewer}}
passwords: {{enabled: true}}
mail: {{url: "smtp://127.0.0.1:1", from: bridge@x.example}}
sources:
  - {{name: staff, type: csv, path: staff.csv, key: id, interval: 0, attributes: [uid, mail, title]}}
"""
STAFF = "id,uid,mail,title\n1,anna,anna@x.example,writer\n2,ben,ben@x.example,\n"
# What there is in each place of a path; of a longer path its own.
THERE = {"user": "victim", "source": "staff", "kind": "role", "name": "local", "application": "crm", "type": "account",
         "id": "a1", "key": "1"}
THERE_AT = {"/api/v1/rules/": {"id": "made"}, "/api/v1/references/": {"kind": "task", "id": "t1"},
            "/api/v1/users/{user}/grants/": {"name": "worker"}, "/api/v1/users/{user}/accounts/": {"id": "a1"}}
# For whom they are the handlers say: not only for those who have a permission.
FOR_ANYBODY = {"/api/v1/invites/accept", "/api/v1/me", "/api/v1/tokens", "/api/v1/tokens/{id}", "/api/v1/runs/{id}"}

# Guesses, which are told in the audit log.
TOLD = {"/api/v1/me/security-keys", "/api/v1/me/factors/{factor}/confirm", "/api/v1/me/password"}
# What is said before it is known who asks: to paths that are none, and of what cannot be read as a request.
UNREAD = (400, 404, 405, 413, 415, 422)


class World:
    def __init__(self, bridge, port):
        self.bridge, self.port = bridge, port
        self.connections = {}
        self.store = sqlite3.connect(f"file:{bridge.folder / 'store.db'}?mode=ro", uri=True, isolation_level=None)
        self.validators = {}
        self.ids = {}

    def version(self):
        """Another one when anybody else has committed anything."""
        return self.store.execute("PRAGMA data_version").fetchone()[0]

    # When a token was used last, and what is worked out in idle time from what is stored.
    PASSING = {"used_s", "last_used_s", "indexed"}

    def dump(self):
        tables = [name for name, in self.store.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        found = {}
        for table in (name for name in tables if not name.startswith("sqlite_")):
            columns = [row[1] for row in self.store.execute(f"PRAGMA table_info('{table}')")]
            kept = ", ".join(f'"{name}"' for name in columns if name not in self.PASSING)
            found[table] = sorted(map(repr, self.store.execute(f"SELECT {kept} FROM '{table}'")))
        return found

    def send(self, who, case):
        """(status, headers, body); on a kept connection, and a second time when that was closed meanwhile."""
        headers = dict(case.headers)
        if who in ("nobody", "session"):
            headers["Host"] = f"localhost:{self.port}"
        if who == "session":
            headers.update({"Cookie": self.ids["cookie"], "X-CSRF-Token": self.ids["csrf"]})
        elif who not in ("root", "nobody"):
            headers["Authorization"] = "Bearer " + self.ids[who]
        for again in (False, True):
            connection = self.connections.get(who)
            if connection is None:
                connection = self.connections[who] = (http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
                                                      if who in ("nobody", "session")
                                                      else Control(self.bridge.folder / "control.sock"))
            try:
                connection.putrequest(case.method, case.path, skip_host="Host" in headers, skip_accept_encoding=True)
                for name, value in headers.items():
                    connection.putheader(name, value)
                if case.body is not None:
                    connection.putheader("Content-Length", str(len(case.body)))
                elif case.method in ("POST", "PUT", "PATCH"):
                    connection.putheader("Content-Length", "0")
                try:
                    connection.endheaders(case.body)
                except (BrokenPipeError, ConnectionResetError):
                    pass  # refused by its header: the answer is there all the same
                response = connection.getresponse()
                body = response.read()
                if response.will_close:
                    self.forget(who)
                return response.status, response.headers, body
            except (http.client.HTTPException, OSError):
                self.forget(who)
                if again:
                    raise
        return None

    def forget(self, who):
        connection = self.connections.pop(who, None)
        if connection:
            connection.close()

    def ask(self, method, path, body=None):
        case = properties.Case("", method, "/api/v1/" + path, None if body is None else json.dumps(body).encode(),
                               {"Content-Type": "application/json"} if body is not None else {})
        status, _, answer = self.send("root", case)
        return status, json.loads(answer) if answer else None

    def path_of(self, operation):
        """Of something that is there, as far as it is."""
        there = dict(THERE)
        for begin, more in THERE_AT.items():
            if operation.path.startswith(begin):
                there.update(more)
        path = operation.path
        for one in operation.in_("path"):
            known = self.ids.get(path.split("/")[3] + "-id") if one["name"] == "id" else None
            path = path.replace("{" + one["name"] + "}", known or there.get(one["name"], "abc"))
        return path

    def validator(self, schema, key):
        if key not in self.validators:
            self.validators[key] = jsonschema.Draft202012Validator(dict(schema, components=DOCUMENT["components"]))
        return self.validators[key]


@pytest.fixture(name="world", scope="module")
def start():
    port = free_port()
    with Bridge(CONFIG.format(port=port), {"staff.csv": STAFF}) as bridge:
        world = World(bridge, port)
        for name, profile in (("ada", "administrator"), ("ben2", "administrator"), ("viv", "viewer"), ("wil", "viewer"),
                              ("victim", "viewer"), ("ses", "administrator")):
            bridge.ctl("users", "create", name, "--profile", profile)
        bridge.ctl("sync")
        for name in ("ada", "viv"):
            world.ids[name] = bridge.ctl("tokens", "create", "own", "--user", name)["token"]
        world.ids["tokens-id"] = bridge.ctl("tokens", "create", "other", "--user", "victim")["id"]
        world.ids["runs-id"] = world.ask("GET", "runs")[1]["runs"][0]["id"]
        role = {"classifications": ["Support"], "segments": ["Core"], "permissions": ["notes:read@own"], "description": "d"}
        persona = properties.Maker(next(one for one in OPERATIONS if str(one) == "POST /api/v1/personas"), SEED)
        made = [("POST", "roles", {**role, "name": "local"}),
                ("POST", "profiles", {"name": "local", "permissions": ["notes:read@own"]}),
                ("POST", "personas", {**persona.value(persona.operation.body, full=False), "name": "local"}),
                ("POST", "segments", {"name": "local", "filter": "(title=writer)"}),
                ("POST", "rules", {"id": "made", "when": "(title=x)", "grant": {"roles": ["worker"]}}),
                ("PUT", "resources/crm/account/a1", {"owner": "viv"}),
                ("PUT", "references/crm/task/t1", {"user": "viv"}),
                ("POST", "users/victim/grants", {"kind": "role", "name": "worker"})]
        for method, path, body in made:
            status, answer = world.ask(method, path, body)
            assert status in (200, 201), (method, path, answer)
        yield world
        for who in list(world.connections):
            world.forget(who)


def told_as_described(world, operation, status, headers, body):
    """The answer as JSON, if it is that; what the document says of it is so."""
    answer = json.loads(body) if headers.get("Content-Type", "").startswith("application/json") else None
    if status >= 400:
        assert answer is not None, "no JSON"
        assert str(status) in operation.told["responses"] or "default" in operation.told["responses"], "not documented"
        errors = world.validator(DOCUMENT["components"]["schemas"]["Error"], "error").iter_errors(answer)
    else:
        assert str(status) in operation.told["responses"], "not a documented status"
        told = operation.resolve(operation.told["responses"][str(status)]).get("content", {}).get("application/json")
        if answer is None or not told:
            return answer
        errors = world.validator(told["schema"], (str(operation), status)).iter_errors(answer)
    for error in errors:
        raise AssertionError(str(error))
    return answer


def changed(world):
    """What is stored other than before: names of tables, rows; remembers how it is now."""
    before, world.before = world.before, world.dump()
    return {name: set(world.before.get(name, ())) ^ set(before.get(name, ()))
            for name in world.before | before if world.before.get(name) != before.get(name)}


def judge(world, operation, who, case):
    """One request, and what must be so of its answer."""
    for attempt in range(3):
        version = world.version()
        status, headers, body = world.send(who, case)
        text = f"\nas {who}: {case}\n  -> {status} {body[:1000]!r}"
        assert status < 500, text
        try:
            answer = told_as_described(world, operation, status, headers, body)
        except (AssertionError, ValueError) as problem:
            raise AssertionError(f"{problem}{text}") from problem
        if status < 400:
            assert not case.refused, "taken, though it is broken: " + text
            world.before = None
            return status, answer
        if world.version() == version:
            break
        # Written by the daemon for itself, which tidies and counts when it has time? Then not again by the same request.
        more = changed(world)
        if status in (403, 429) and operation.path in TOLD and set(more) <= {"audit", "name"}:
            break
        assert "audit" not in more and attempt < 2, f"refused, but changed: {str(more)[:2000]}{text}"
        if not more:
            break
    return status, answer


def settle(world, status, answer):
    """A run that was begun comes to its end, and fails for a reason that people can do something about."""
    if status != 202:
        return
    run = {"state": "running"}
    while run["state"] == "running":
        run = world.ask("GET", f"runs/{answer['run']}?wait_ms=10000")[1]
    assert run.get("error", {}).get("code") != "internal", run


def try_case(world, operation, who, case):
    if getattr(world, "before", None) is None:
        world.before = world.dump()
    status, answer = judge(world, operation, who, case)
    settle(world, status, answer)
    return status, answer


class Problems:
    """All that is wrong with an operation, not only the first of it."""
    MOST = 5

    def __init__(self):
        self.found = []

    def __enter__(self):
        return self

    def __exit__(self, kind, problem, _):
        if kind is AssertionError:
            self.found.append(str(problem))
            return True
        return False

    def tell(self):
        assert not self.found, f"{len(self.found)} problems\n" + "\n".join(self.found[:self.MOST])


@pytest.mark.parametrize("operation", OPERATIONS, ids=map(str, OPERATIONS))
def test_broken_requests(world, operation):
    problems = Problems()
    for case in properties.broken(operation, world.path_of(operation), SEED):
        with problems:
            status, answer = try_case(world, operation, "root", case)
            if case.at and case.refused and status in (400, 422) and answer["code"] == "invalid-request":
                assert answer.get("field"), f"field not named: {case}\n-> {answer}"
    problems.tell()


@pytest.mark.parametrize("operation", OPERATIONS, ids=map(str, OPERATIONS))
def test_parameters_are_known(world, operation):
    """What the document lists is not refused as unknown; what it does not list is."""
    breaker = properties.Breaker(operation, world.path_of(operation), SEED)
    for name, case in breaker.known_queries():
        if operation.method == "GET" or name == "dry_run":
            case.path = case.path.replace("dry_run=False", "dry_run=true")
            status, answer = try_case(world, operation, "root", case)
            assert status < 400 or "unknown" not in answer["message"] or answer.get("field") != name, f"{case}\n-> {answer}"


@pytest.mark.parametrize("operation", OPERATIONS, ids=map(str, OPERATIONS))
def test_others(world, operation):
    """Who is not allowed in learns nothing, however the request is made; nor does who is nobody."""
    breaker = properties.Breaker(operation, world.path_of(operation), SEED)
    problems = Problems()
    for case in [*breaker.valid(), *list(breaker.all())[::11]]:
        with problems:
            status, answer = try_case(world, operation, "nobody", case)
            assert status in (401, 429, *UNREAD) or operation.path in FOR_ANYBODY, f"{case}\n-> {status} {answer}"
        with problems:
            status, answer = try_case(world, operation, "viv", case)
            if operation.permission and not operation.permission.endswith("@own"):
                assert status in (403, *UNREAD), f"{case}\n-> {status} {answer}"
    problems.tell()


@pytest.fixture(name="session", scope="module")
def somebody_signed_in(world):
    """An administrator in a session of the daemon's own pages, by root's link."""
    if os.geteuid() != 0:
        pytest.skip("root's links are root's")
    link = world.ask("POST", "login-links", {"user": "ses"})[1]["url"].split(f":{world.port}")[1]
    connection = http.client.HTTPConnection("127.0.0.1", world.port, timeout=60)
    connection.request("POST", link, headers={"Content-Length": "0"})
    answer = connection.getresponse()
    world.ids["cookie"] = answer.headers["Set-Cookie"].split(";")[0]
    answer.read()
    connection.request("GET", "/api/v1/me", headers={"Host": f"localhost:{world.port}", "Cookie": world.ids["cookie"]})
    world.ids["csrf"] = json.loads(connection.getresponse().read())["csrf_token"]
    connection.close()
    return world


MINE = [operation for operation in OPERATIONS if operation.path.startswith("/api/v1/me")]


@pytest.mark.parametrize("operation", MINE, ids=map(str, MINE))
def test_in_a_session(session, operation):
    """What only people may ask about themselves."""
    path = session.path_of(operation)
    problems = Problems()
    for case in [*properties.Breaker(operation, path, SEED).valid(), *properties.broken(operation, path, SEED)]:
        with problems:
            status, answer = try_case(session, operation, "session", case)
            if case.at and case.refused and status in (400, 422) and answer["code"] == "invalid-request":
                assert answer.get("field"), f"field not named: {case}\n-> {answer}"
    problems.tell()


# Last: what it takes away is gone. What is below something goes before it.
@pytest.mark.parametrize("operation", [*(one for one in OPERATIONS if one.method != "DELETE"),
                                       *sorted((one for one in OPERATIONS if one.method == "DELETE"),
                                               key=lambda one: -one.path.count("/"))], ids=str)
def test_valid_requests(world, operation):
    breaker = properties.Breaker(operation, world.path_of(operation), SEED)
    for case in breaker.valid():
        try_case(world, operation, "ada", case)
