"""A help desk tries to make, change and take over people with more than its own permissions: by every path there is, with
a token and in a session. Nothing may come of it, and what it may do works."""
import collections
import hashlib
import json
import os
import queue
import sys
import threading
from pathlib import Path

import pytest

from live import SESSION_COOKIE, SITE, Live, make_forge

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
from access import Web  # noqa: E402
from bridge import Refused  # noqa: E402
from control import Control  # noqa: E402

RULES = """
profiles:
  - {name: administrator, permissions: ["*:*@all"]}
  - name: desk
    permissions: ["users:*@all", "tokens:*@all", "sessions:*@all", "roles:*@all", "profiles:*@all", "personas:*@all",
                  "references:*@all", "resources:*@all", "status:read@all", "notes:read@own"]
  - {name: viewer, permissions: ["notes:read@own"]}
  - {name: auditor, permissions: ["audit:read@all"]}
classifications: [Support]
segments: [Core]
roles:
  - {name: writer, classifications: [Support], segments: [Core], permissions: ["notes:*@all"]}
  - {name: reader, classifications: [Support], segments: [Core], permissions: ["notes:read@own"]}
personas: [{name: lead, title: Lena}]
organizations: [{name: partners}]
mail: {url: "smtp://127.0.0.1:9", from: bridge@sp.example}
rules:
  - {id: bosses, when: "(title=boss)", grant: {profile: administrator}}
  - {id: writers, when: "(title=writer)", grant: {roles: [writer]}}
policy:
  default_profile: viewer
  protected_users: [breakglass]
  limits: {first_sync_administrators: true, new_administrators: 100000, disables_max: 100000, disables_min: 100000}
"""
MORE = """
  - {name: staff, type: csv, path: staff.csv, key: id, interval: 0, attributes: [uid, mail, displayName, title]}
  - {name: partners, type: csv, path: partners.csv, key: id, interval: 0, organization: partners, attributes: [uid]}
"""
STAFF = "id,uid,mail,displayName,title\n1,hidden,hidden@x.example,Hidden,boss\n2,boss,boss@x.example,Boss,boss\n"
# Of a login: nothing that we would call them by.
UID = [("urn:oid:2.5.4.12", "title", ["none"])]
ROLE = {"name": "sneaky", "description": "d", "classifications": ["Support"], "segments": ["Core"]}
USERS = {"ada": "administrator", "ben": "administrator", "desk": "desk", "peer": "desk", "viv": "viewer",
         "wil": "viewer", "noted": "viewer", "late": "viewer", "asleep": "administrator", "gone": "viewer",
         "audrey": "auditor"}


@pytest.fixture(scope="module", name="live")
def start(tmp_path_factory):
    forge = make_forge(tmp_path_factory.mktemp("forge"))
    live = Live(forge, rules=RULES, more=MORE)
    live.bridge.write("staff.csv", STAFF)
    live.bridge.write("partners.csv", "id,uid\n")
    with live:
        ctl = live.bridge.ctl
        for name, profile in USERS.items():
            ctl("users", "create", name, "--profile", profile, "--email", f"{name}@local.example")
        ctl("users", "create", "far", "--organization", "partners")
        ctl("sync", "staff")
        ctl("users", "grant", "noted", "role", "writer")
        ctl("users", "grant", "late", "role", "writer", "--expires", "2999-01-01")
        # An administrator by rule, whom a hand holds down.
        ctl("users", "grant", "hidden", "profile", "viewer")
        for name in ("asleep", "gone"):
            ctl("users", "disable", name)
        for name in ("desk", "ada", "noted"):
            ctl("users", "link", name, "corp", "key-" + name)
        live.sessions_of = {name: live.sign_in(name="key-" + name, attributes=UID).token
                            for name in ("desk", "ada", "noted")}
        assert all(live.sessions_of.values())
        live.ids = {user["username"]: user["id"] for user in ctl("users", "list", "--limit", 1000)["users"]}
        live.made = {name: ctl("tokens", "create", "own", "--user", name) for name in ("desk", "ada", "noted", "peer")}
        live.control = Control(live.bridge.folder / "control.sock")
        for name, permissions in (("local", ["notes:read@own"]), ("power", ["notes:*@all"])):
            body = {**ROLE, "name": name, "permissions": permissions}
            assert live.control.ask("POST", "roles", body)[0] == 201
        assert live.control.ask("POST", "profiles", {"name": "mine", "permissions": ["notes:read@own"]})[0] == 201
        live.made["service"] = ctl("tokens", "create", "own", "--service", "feed", "--scope", "notes:*@all")
        yield live
        live.control.close()


class Caller:
    """The help desk by one of its two ways in."""

    def __init__(self, live, way, who="desk"):
        self.web = Web(live.port, "sp.example", forwarded=True)
        self.live, self.options = live, {}
        if way == "token":
            self.options["token"] = live.made[who]["token"]
        else:
            self.options["cookie"] = f"{SESSION_COOKIE}={live.sessions_of[who]}"
            self.options["csrf"] = self.web.ask("GET", "me", **self.options)[1]["csrf_token"]

    def ask(self, method, path, body=None, headers=()):
        return self.web.ask(method, path, body, headers=headers, address=self.live.address(), **self.options)


@pytest.fixture(params=["token", "session"])
def desk(request, live):
    caller = Caller(live, request.param)
    yield caller
    caller.web.close()


def state(live):
    """Everything about people, roles, tokens, sessions and invites, but for when something was used."""
    def get(path):
        status, answer = live.control.ask("GET", path)
        assert status == 200, answer
        return answer

    people = [get("users/" + user["id"]) for user in get("users?limit=1000")["users"]]
    tokens = [{key: value for key, value in token.items() if key != "used"}
              for token in get("tokens?all=true&limit=1000")["tokens"]]
    sessions = sorted(session["id"] for session in get("sessions?limit=1000")["sessions"])
    return json.dumps([people, tokens, sessions] + [get(what) for what in ("roles", "profiles", "personas", "invites")],
                      sort_keys=True)


# (name, method, path, body); {name} in a path or a body is what live knows.
GRANT = {"kind": "profile", "name": "administrator"}
WRITER = {"kind": "role", "name": "writer"}
ATTACKS = [
    ("make an administrator", "POST", "users", {"username": "new", "profile": "administrator"}),
    ("make somebody beyond", "POST", "users", {"username": "new", "profile": "auditor"}),
    ("make somebody whom reads never disable", "POST", "users", {"username": "breakglass"}),
    ("make oneself an administrator", "POST", "users/desk/grants", GRANT),
    ("make a puppet an administrator", "POST", "users/viv/grants", GRANT),
    ("for a day only", "POST", "users/viv/grants", {**GRANT, "expires": "2099-01-01"}),
    ("give oneself a role beyond", "POST", "users/desk/grants", WRITER),
    ("give a puppet a role beyond", "POST", "users/viv/grants", WRITER),
    ("give a profile beyond", "POST", "users/viv/grants", {"kind": "profile", "name": "auditor"}),
    ("let an administrator by rule rise again", "DELETE", "users/hidden/grants/profile/viewer", None),
    ("hold them down once more", "POST", "users/hidden/grants", {"kind": "profile", "name": "desk"}),
    ("re-mail an administrator", "PATCH", "users/ada", {"email": "mine@evil.example"}),
    ("rename an administrator", "PATCH", "users/ada", {"username": "nobody"}),
    ("re-mail an administrator who sleeps", "PATCH", "users/asleep", {"email": "mine@evil.example"}),
    ("re-mail an administrator whom a hand holds down", "PATCH", "users/hidden", {"display_name": "x"}),
    ("re-mail somebody with a role beyond", "PATCH", "users/noted", {"email": "mine@evil.example"}),
    ("re-mail somebody with it for a time", "PATCH", "users/late", {"email": "mine@evil.example"}),
    ("re-mail somebody who has another's permissions", "PATCH", "users/audrey", {"email": "mine@evil.example"}),
    ("become one whom reads never disable", "PATCH", "users/desk", {"username": "breakglass"}),
    ("make a puppet that", "PATCH", "users/viv", {"username": "breakglass"}),
    ("disable an administrator", "POST", "users/ada/disable", {}),
    ("disable somebody with a role beyond", "POST", "users/noted/disable", {"reason": "x"}),
    ("enable an administrator", "POST", "users/asleep/enable", None),
    ("delete an administrator", "DELETE", "users/asleep", None),
    ("take a role beyond", "DELETE", "users/noted/grants/role/writer", None),
    ("take an administrator's profile", "DELETE", "users/ada/grants/profile/administrator", None),
    ("demote an administrator", "POST", "users/ben/grants", {"kind": "profile", "name": "viewer"}),
    ("mark an administrator", "POST", "users/ada/grants", {"kind": "persona", "name": "lead"}),
    ("link oneself to whoever becomes an administrator", "PUT", "users/desk/identities/staff/77", None),
    ("link a puppet so", "PUT", "users/viv/identities/staff/77", None),
    ("link a puppet to a login", "PUT", "users/viv/identities/corp/boss", None),
    ("unlink an administrator", "DELETE", "users/boss/identities/staff/2", None),
    ("unlink an administrator's login", "DELETE", "users/ada/identities/corp/key-ada", None),
    ("end an administrator's sessions", "DELETE", "users/ada/sessions", None),
    ("end one of them", "DELETE", "sessions/{ada-session}", None),
    ("end those of somebody with a role beyond", "DELETE", "users/noted/sessions", None),
    ("a token of an administrator", "POST", "tokens", {"name": "evil", "user": "ada", "scope": ["notes:read@own"]}),
    ("a token of an equal", "POST", "tokens", {"name": "evil", "user": "peer", "scope": ["notes:read@own"]}),
    ("a token of a puppet", "POST", "tokens", {"name": "evil", "user": "viv", "scope": ["notes:read@own"]}),
    ("a service with more", "POST", "tokens", {"name": "evil", "service": "evil", "scope": ["notes:*@all"]}),
    ("a service with everything", "POST", "tokens", {"name": "evil", "service": "evil", "scope": ["*:*@all"]}),
    ("a service with every verb", "POST", "tokens", {"name": "evil", "service": "evil", "scope": ["*:read@all"]}),
    ("a token beyond oneself", "POST", "tokens", {"name": "evil", "scope": ["audit:read@all"]}),
    ("revoke an administrator's token", "DELETE", "tokens/{ada-token}", None),
    ("revoke a service's with more", "DELETE", "tokens/{service-token}", None),
    ("invite an administrator", "POST", "invites", {"email": "i@evil.example", "profile": "administrator"}),
    ("invite with a role beyond", "POST", "invites", {"email": "i@evil.example", "profile": "viewer", "roles": ["writer"]}),
    ("a role with everything", "POST", "roles", {**ROLE, "permissions": ["*:*@all"]}),
    ("a role with a little more", "POST", "roles", {**ROLE, "permissions": ["notes:read@own", "notes:write@own"]}),
    ("own is not all", "POST", "roles", {**ROLE, "permissions": ["notes:read@all"]}),
    ("copy a role beyond", "POST", "roles/writer/copy", {"name": "sneaky"}),
    ("widen a role", "PATCH", "roles/local", {"permissions": ["notes:*@all"]}),
    ("replace a role by more", "PUT", "roles/local", {**ROLE, "name": "local", "permissions": ["*:read@own"]}),
    ("touch a role beyond", "PATCH", "roles/power", {"description": "x"}),
    ("cut a role beyond", "PATCH", "roles/power", {"permissions": ["notes:read@own"]}),
    ("remove a role beyond", "DELETE", "roles/power", None),
    ("copy such a role", "POST", "roles/power/copy", {"name": "sneaky"}),
    ("widen a profile", "PATCH", "profiles/mine", {"permissions": ["notes:read@own", "audit:read@all"]}),
    ("a profile with everything", "POST", "profiles", {"name": "sneaky", "permissions": ["*:*@all"]}),
]
# Not allowed either, by the permission that the route needs.
CLOSED = [
    ("POST", "reload", None), ("POST", "sync", {}), ("POST", "check", {"files": []}),
    ("POST", "plan", {}), ("POST", "plans/0123456789abcdef/apply", {}), ("GET", "audit", None),
    ("POST", "rules", {}), ("POST", "rules/bosses/release", None), ("GET", "quarantine", None),
    ("POST", "alarms/1/clear", None),
]


def fill(live, text):
    known = {"ada-session": session_of(live, "ada"), "ada-token": live.made["ada"]["id"],
             "service-token": live.made["service"]["id"]}
    for name, value in known.items():
        text = text.replace("{" + name + "}", value)
    return text


def session_of(live, name):
    session, = live.control.ask("GET", "sessions?user=" + name)[1]["sessions"]
    return session["id"]


@pytest.mark.parametrize("name,method,path,body", ATTACKS, ids=[attack[0] for attack in ATTACKS])
def test_attack(live, desk, name, method, path, body):
    before = state(live)
    status, answer = desk.ask(method, fill(live, path), body)
    assert (status, answer.get("code")) == (403, "not-allowed"), answer
    # Not a word of what is lacking.
    assert "administrator" not in answer["message"] and "notes:" not in answer["message"], answer
    assert state(live) == before


@pytest.mark.parametrize("method,path,body", CLOSED)
def test_closed(live, desk, method, path, body):
    status, answer = desk.ask(method, path, body)
    assert (status, answer["code"]) == (403, "not-allowed"), (path, answer)


AT_USERS = [attack for attack in ATTACKS if attack[2].startswith("users/")]


@pytest.mark.parametrize("name,method,path,body", AT_USERS, ids=[attack[0] for attack in AT_USERS])
def test_not_at_other_organizations(live, desk, name, method, path, body):
    """The same at somebody of another organization finds nobody."""
    before = state(live)
    target = path.split("/")[1]
    status, answer = desk.ask(method, path.replace("users/" + target, "users/far", 1), body)
    assert (status, answer["code"]) == (404, "not-found"), answer
    assert state(live) == before


BULK = [
    {"action": "grant", "users": ["viv", "desk"], "kind": "profile", "name": "administrator"},
    {"action": "grant", "users": ["viv", "desk"], "kind": "role", "name": "writer"},
    {"action": "grant", "users": ["ada"], "kind": "persona", "name": "lead"},
    {"action": "revoke", "users": ["noted"], "kind": "role", "name": "writer"},
    {"action": "disable", "users": ["ada", "noted"]},
    {"action": "enable", "users": ["asleep"]},
    {"action": "delete", "users": ["asleep"]},
]


@pytest.mark.parametrize("body", BULK, ids=["-".join(body.get(key, "") for key in ("action", "kind", "name")).strip("-")
                                            for body in BULK])
def test_bulk(live, desk, body):
    """Many at once are many, one by one."""
    before = state(live)
    for dry_run in (True, False):
        status, answer = desk.ask("POST", "users/bulk", {**body, "dry_run": dry_run})
        assert status == 202, answer
        number, run = answer["run"], {"state": "running"}
        while run["state"] == "running":
            run = desk.ask("GET", f"runs/{number}?wait_ms=10000")[1]
        assert [(row["status"], row.get("code")) for row in run["result"]["users"]] == \
            [("failed", "not-allowed")] * len(body["users"]), run
    assert state(live) == before


def test_import(live, desk):
    """Rows with more than one's own are refused, each for itself; the others are made."""
    way = "t" if "token" in desk.options else "s"
    rows = [f"imp-{way}-ok,,viewer", f"imp-{way}-admin,,administrator", "ada,,viewer", "desk,,administrator",
            "viv,writer,", f"imp-{way}-role,writer,viewer"]
    text = ("username,role,profile\n" + "\n".join(rows) + "\n").encode()
    before = {name: live.bridge.ctl("users", "show", name) for name in ("ada", "desk", "viv")}
    status, answer = desk.ask("POST", "import/users", text, headers={"Content-Type": "text/csv"})
    assert status in (200, 202), answer
    if "run" in answer:
        number, answer = answer["run"], {"state": "running"}
        while answer["state"] == "running":
            answer = desk.ask("GET", f"runs/{number}?wait_ms=10000")[1]
    assert live.bridge.ctl("users", "show", f"imp-{way}-ok")["profile"] == "viewer", answer
    for name in (f"imp-{way}-admin", f"imp-{way}-role"):
        with pytest.raises(Refused):
            live.bridge.ctl("users", "show", name)
    assert {name: live.bridge.ctl("users", "show", name) for name in before} == before
    assert json.dumps(answer).count("not-allowed") >= 4, answer


WORK = [
    ("POST", "users", {"username": "new", "email": "new@local.example"}, 201),
    ("PATCH", "users/new", {"display_name": "New"}, 200),
    ("POST", "users/new/grants", {"kind": "profile", "name": "desk"}, 200),
    ("POST", "users/new/grants", {"kind": "role", "name": "reader"}, 200),
    ("POST", "users/new/grants", {"kind": "persona", "name": "lead"}, 200),
    ("DELETE", "users/new/grants/role/reader", None, 200),
    ("POST", "users/new/grants", {"kind": "profile", "name": "viewer"}, 200),
    ("DELETE", "users/new/sessions", None, 200),
    ("POST", "users/new/disable", {"reason": "done"}, 200),
    ("POST", "users/new/enable", None, 200),
    ("POST", "users/new/disable", {}, 200),
    ("DELETE", "users/new", None, 200),
    ("POST", "users/gone/enable", None, 200),
    ("POST", "users/gone/disable", {}, 200),
    ("POST", "users/peer/disable", {}, 200),
    ("POST", "users/peer/enable", None, 200),
    ("POST", "tokens", {"name": "work", "service": "work", "scope": ["users:read@all"]}, 201),
    ("GET", "tokens", None, 200),
    ("GET", "users/ada", None, 200),
]


def test_work(desk):
    """What is within is done."""
    way = "t" if "token" in desk.options else "s"
    for method, path, body, expected in WORK:
        text = json.dumps(body).replace('"new', f'"new-{way}').replace('"work"', f'"work-{way}"') if body else None
        status, answer = desk.ask(method, path.replace("users/new", f"users/new-{way}"),
                                  json.loads(text) if text else None)
        assert status == expected, (method, path, answer)


def test_oneself(live, desk):
    """Nobody disables themselves, by any name."""
    before = live.bridge.ctl("users", "show", "desk")
    for name in ("desk", live.ids["desk"], "DESK", "desk@local.example"):
        status, answer = desk.ask("POST", f"users/{name}/disable", {})
        assert (status, answer["code"]) == (409, "self-disable"), name
    assert live.bridge.ctl("users", "show", "desk") == before


@pytest.mark.parametrize("way", ["token", "session"])
def test_an_administrator_and_oneself(live, way):
    """Neither disables themselves nor gives up being one, while others remain; others may."""
    ada = Caller(live, way, "ada")
    before = live.bridge.ctl("users", "show", "ada")
    for method, path, body, code in (
            ("POST", "users/ada/disable", {}, "self-disable"),
            ("POST", "users/ada/grants", {"kind": "profile", "name": "viewer"}, "self-downgrade"),
            ("DELETE", "users/ada/grants/profile/administrator", None, "self-downgrade")):
        status, answer = ada.ask(method, path, body)
        assert (status, answer["code"]) == (409, code), answer
    assert live.bridge.ctl("users", "show", "ada") == before
    for method, path, body in (("POST", "users/ben/disable", {}), ("POST", "users/ben/enable", None),
                               ("POST", "users/ben/grants", {"kind": "profile", "name": "viewer"}),
                               ("POST", "users/ben/grants", GRANT)):
        assert ada.ask(method, path, body)[0] == 200
    ada.web.close()


def test_narrow_administrator(live):
    """What a token of an administrator leaves out is left out of whom it may touch."""
    ada = Caller(live, "token", "ada")
    status, made = ada.ask("POST", "tokens", {"name": "narrow", "scope": ["users:*@all"]})
    assert status == 201
    for method, path, body in (("POST", "users/ben/disable", {}), ("POST", "users/viv/grants", GRANT),
                               ("POST", "users/viv/grants", WRITER), ("PATCH", "users/noted", {"display_name": "x"})):
        status, answer = ada.web.ask(method, path, body, token=made["token"])
        assert (status, answer["code"]) == (403, "not-allowed"), path
    assert ada.ask("DELETE", "tokens/" + made["id"])[0] == 200
    ada.web.close()


# --- sessions ---


def test_csrf(live):
    """What changes anything needs a token of this session, from a page of ours."""
    desk, other = Caller(live, "session"), Caller(live, "session", "noted")
    good = desk.options["csrf"]
    assert other.options["csrf"] != good
    cookie = desk.options["cookie"]
    body = {"display_name": "Viv"}

    def patch(csrf, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return desk.web.ask("PATCH", "users/viv", body, cookie=cookie, csrf=csrf, headers=headers, address=live.address())

    for csrf in (None, "", "x", good[:-1], good + "x", good.swapcase(), other.options["csrf"],
                 hashlib.sha256(live.sessions_of["desk"].encode()).hexdigest()[:43]):
        status, answer = patch(csrf)
        assert (status, answer["code"]) == (403, "csrf-required"), csrf
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://sp.example"},
                    {"Origin": "https://sp.example:444"}, {"Origin": "https://sp.example.evil.example"},
                    {"Origin": "https://app.sp.example"}, {"Sec_Fetch_Site": "cross-site"},
                    {"Sec_Fetch_Site": "same-site"}, {"Sec_Fetch_Site": "none"},
                    {"Origin": SITE, "Sec_Fetch_Site": "cross-site"}):
        status, answer = patch(good, **headers)
        assert (status, answer["code"]) == (403, "csrf-required"), headers
    for headers in ({}, {"Origin": SITE}, {"Origin": SITE + ":443"}, {"Sec_Fetch_Site": "same-origin"},
                    {"Origin": SITE, "Sec_Fetch_Site": "same-origin"}):
        assert patch(good, **headers)[0] == 200, headers
    # Reading needs none, wherever one comes from.
    assert desk.web.ask("GET", "users", cookie=cookie, headers={"Origin": "https://evil.example"})[0] == 200
    desk.web.close()
    other.web.close()


def test_a_token_beside_a_cookie(live):
    """The token counts, and it alone: a bad one lets nobody in, and neither needs a CSRF token."""
    desk = Caller(live, "session")
    cookie, token = desk.options["cookie"], live.made["ada"]["token"]
    status, me = desk.web.ask("GET", "me", token=token, cookie=cookie)
    assert me["user"]["username"] == "ada" and "csrf_token" not in me
    assert desk.web.ask("PATCH", "users/viv", {"display_name": "V"}, token=token, cookie=cookie)[0] == 200
    assert desk.web.ask("GET", "me", token=token[:-1] + "_", cookie=cookie, address=live.address())[0] == 401
    desk.web.close()


def test_cookies(live):
    """Good at public_url's own host, once, and for nobody else's host."""
    token = live.sessions_of["desk"]
    good = f"{SESSION_COOKIE}={token}"
    web = Web(live.port, "sp.example", forwarded=True)
    assert web.ask("GET", "me", cookie=good)[0] == 200
    for cookie in (f"rolebridge={token}", f"{SESSION_COOKIE}-app={token}", f"{good}; {good}", f"{SESSION_COOKIE}=",
                   f"{SESSION_COOKIE}={token}x", f"{SESSION_COOKIE}={token[:-1]}"):
        status, answer = web.ask("GET", "me", cookie=cookie, address=live.address())
        assert (status, answer["code"]) == (401, "not-signed-in"), cookie
    for host in ("app.example", "sp.example:8443", "sp.example.evil.example", "evil.example"):
        for headers in ({"Host": host}, {"X-Forwarded-Host": host}):
            status, answer = web.ask("GET", "me", cookie=good, headers=headers, address=live.address())
            assert (status, answer["code"]) == (401, "not-signed-in"), headers
    assert web.ask("GET", "me", cookie=good, headers={"X-Forwarded-Host": "SP.example:443"})[0] == 200
    web.close()


def test_a_disabled_desk(live):
    """Token and session end with the person, at once, and the token alone comes back."""
    ctl = live.bridge.ctl
    ctl("users", "create", "dina", "--profile", "desk")
    ctl("users", "link", "dina", "corp", "key-dina")
    live.sessions_of["dina"] = live.sign_in(name="key-dina", attributes=UID).token
    live.made["dina"] = ctl("tokens", "create", "own", "--user", "dina")
    callers = [Caller(live, "token", "dina"), Caller(live, "session", "dina")]
    assert [caller.ask("GET", "me")[0] for caller in callers] == [200, 200]
    ctl("users", "disable", "dina")
    assert [caller.ask("GET", "me")[0] for caller in callers] == [401, 401]
    ctl("users", "enable", "dina")
    assert [caller.ask("GET", "me")[0] for caller in callers] == [200, 401]
    # Demoted: what the page asks next is refused.
    ctl("users", "grant", "dina", "profile", "viewer")
    assert callers[0].ask("GET", "users")[0] == 403
    for caller in callers:
        caller.web.close()


def test_many_guesses(live):
    """Whoever tries tokens waits, from one address; nobody else does."""
    web = Web(live.port, "sp.example", forwarded=True)
    address = live.address()
    seen = []
    # Each second gives some back: on a slow machine it takes more of them.
    for number in range(20000):
        seen.append(web.ask("GET", "me", token=f"rolebridge_{number:043}", address=address)[0])
        if seen[-1] == 429:
            break
    assert seen[0] == 401 and seen[-1] == 429 and int(web.headers["Retry-After"]) > 0
    assert web.ask("GET", "me", token=f"rolebridge_{0:043}", address=live.address())[0] == 401
    assert web.ask("GET", "me", token=live.made["desk"]["token"], address=address)[0] == 200
    web.close()


# --- races ---

ROUNDS = int(os.environ.get("ROLEBRIDGE_RACES", "1000"))
DEMOTE = ("POST", "grants", {"kind": "profile", "name": "viewer"})
DISABLE = ("POST", "disable", {})
UNLIST = ("DELETE", "grants/profile/administrator", None)


class Racer(threading.Thread):
    """Asks what it is given at the moment when the other one does."""

    def __init__(self, barrier, ask):
        super().__init__(daemon=True)
        self.barrier, self.ask = barrier, ask
        self.given, self.answers = queue.Queue(), queue.Queue()

    def run(self):
        for request in iter(self.given.get, None):
            self.barrier.wait()
            self.answers.put(self.ask(*request))


def test_the_last_two(live):
    """Two administrators, the only ones, take each other's place away at once, and so do two operators on the socket:
    one remains, each time."""
    ctl = live.bridge.ctl
    for name in ("left", "right"):
        ctl("users", "create", name, "--profile", "administrator", "--organization", "partners")
        live.made[name] = ctl("tokens", "create", "own", "--user", name)
    barrier = threading.Barrier(2)
    callers = [Caller(live, "token", name) for name in ("left", "right")]
    sockets = [Control(live.bridge.folder / "control.sock") for _ in range(2)]
    pairs = {way: [Racer(barrier, side.ask) for side in sides] for way, sides in
             (("token", callers), ("socket", sockets))}
    for racer in pairs["token"] + pairs["socket"]:
        racer.start()
    seen = collections.Counter()
    kinds = [(a, b) for a in (DISABLE, DEMOTE, UNLIST) for b in (DISABLE, DEMOTE, UNLIST)]
    for number in range(ROUNDS):
        way = "token" if number % 2 else "socket"
        kind = kinds[number // 2 % len(kinds)]
        # With its token each one aims at the other.
        for racer, target, (method, path, body) in zip(pairs[way], ("right", "left"), kind):
            racer.given.put((method, f"users/{target}/{path}", body))
        answers = [racer.answers.get(timeout=60) for racer in pairs[way]]
        won = [status for status, _ in answers if status == 200]
        lost = [(status, answer["code"]) for status, answer in answers if status != 200]
        assert len(won) == 1 and len(lost) == 1, (way, kind, answers)
        if way == "socket":
            assert lost == [(409, "last-administrator")], (kind, answers)
        else:
            assert lost[0] in ((401, "not-signed-in"), (403, "not-allowed"), (409, "last-administrator")), (kind, answers)
        seen[way, *lost[0]] += 1
        users = live.control.ask("GET", "users?organization=partners&profile=administrator&state=active")[1]["users"]
        assert len(users) == 1, (way, kind, answers)
        other, = {"left", "right"} - {users[0]["username"]}
        assert live.control.ask("POST", f"users/{other}/grants", GRANT)[0] == 200
        assert live.control.ask("POST", f"users/{other}/enable")[0] == 200
    for racer in pairs["token"] + pairs["socket"]:
        racer.given.put(None)
        racer.join(60)
    for caller in callers:
        caller.web.close()
    for control in sockets:
        control.close()
    print(dict(seen))
    assert sum(seen.values()) == ROUNDS
    ctl("audit", "verify")
