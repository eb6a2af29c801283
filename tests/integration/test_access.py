"""Who may come in, and how far: tokens of the API over HTTP, through rolebridgectl, over the control socket."""
import calendar
import hashlib
import http.client
import json
import socket
import sqlite3
import time

import pytest

from bridge import Bridge, Refused
from ports import free_port
from test_control import check

CONFIG = """
public_url: "http://127.0.0.1:{port}"
listeners: [{{address: "127.0.0.1:{port}"}}]
profiles:
  - {{name: administrator, permissions: ["*:*@all"]}}
  - {{name: desk, permissions: ["users:*@all", "tokens:*@own", "sessions:*@all", "notes:read@own"]}}
  - {{name: viewer, permissions: ["notes:read@own"]}}
segments: [All]
organizations: [{{name: partners}}]
roles:
  - {{name: reporting, description: Reports, classifications: [Sales], segments: [All],
      permissions: ["users:read@all", "audit:read@all"]}}
policy: {{default_profile: viewer}}
sources:
  - {{name: partners, type: csv, path: partners.csv, key: id, interval: 0, organization: partners,
      attributes: [uid, mail, displayName]}}
{more}
"""
PARTNERS = "id,uid,mail,displayName\n1,far,far@y.example,Far\n"
PREFIX = "rolebridge_"


def config(port, more=""):
    return CONFIG.format(port=port, more=more)


@pytest.fixture(scope="module")
def bridge():
    port = free_port()
    with Bridge(config(port), {"partners.csv": PARTNERS}) as bridge:
        bridge.port = port
        bridge.ctl("users", "create", "ada", "--profile", "administrator")
        bridge.ctl("users", "create", "desk", "--profile", "desk")
        bridge.ctl("users", "create", "viv")
        bridge.ctl("users", "create", "paula", "--profile", "desk", "--organization", "partners")
        bridge.ctl("sync")
        yield bridge


def make(bridge, name, *options):
    return bridge.ctl("tokens", "create", name, *options)


def user(bridge, name):
    return bridge.ctl("users", "show", name)


# --- the life of a token ---


def test_life(bridge, web):
    before = int(time.time())
    made = check(make(bridge, "life", "--user", "desk"), "/api/v1/tokens", "post", "201")
    assert made["token"].startswith(PREFIX) and len(made["token"]) == len(PREFIX) + 43
    assert (made["name"], made["user"]["username"], made["service"], made["scope"]) == ("life", "desk", None, None)
    assert abs(expiry(made) - before - 90 * 86400) < 600
    status, me = web.ask("GET", "me", token=made["token"])
    assert status == 200
    check(me, "/api/v1/me")
    desk = user(bridge, "desk")
    assert me["actor"] == f"user:{desk['id']}/life" and me["user"]["username"] == "desk"
    assert me["permissions"] == ["users:*@all", "tokens:*@own", "sessions:*@all", "notes:read@own"]
    assert (me["organization"], me["administrator"], me["token"]) == ("default", False, "life")
    assert "csrf_token" not in me
    # It is shown once.
    listed, = bridge.ctl("tokens", "list", "--user", "desk")["tokens"]
    assert "token" not in listed and listed["id"] == made["id"]
    # What is done with it is its owner's doing.
    status, answer = web.ask("POST", "users", {"username": "made"}, token=made["token"])
    assert status == 201
    row, = bridge.ctl("audit", "list", "--object", "user:" + answer["id"], "--action", "user.create")["rows"]
    assert row["actor"] == f"user:{desk['id']}/life"
    revoked = bridge.ctl("tokens", "revoke", made["id"])
    check(revoked, "/api/v1/tokens/{id}", "delete")
    status, answer = web.ask("GET", "me", token=made["token"])
    assert (status, answer["code"]) == (401, "not-signed-in")
    check(answer, "/api/v1/me", status="default")
    assert web.headers["WWW-Authenticate"] == "Bearer"
    assert bridge.ctl("tokens", "list", "--user", "desk")["tokens"] == []
    old, = [t for t in bridge.ctl("tokens", "list", "--user", "desk", "--all")["tokens"] if t["id"] == made["id"]]
    assert old["revoked"]
    with pytest.raises(Refused) as refused:
        bridge.ctl("tokens", "revoke", made["id"])
    assert json.loads(refused.value.output)["code"] == "not-found"
    actions = [row["action"] for row in bridge.ctl("audit", "list", "--object", "token:" + made["id"])["rows"]]
    assert sorted(actions) == ["token.create", "token.revoke"]


def expiry(token):
    return calendar.timegm(time.strptime(token["expires"], "%Y-%m-%dT%H:%M:%SZ"))


def test_nothing_keeps_the_text(bridge, web):
    made = make(bridge, "secret", "--user", "desk")
    text = made["token"].encode()
    assert web.ask("GET", "me", token=made["token"])[0] == 200
    for path in bridge.folder.iterdir():
        if path.is_file():
            assert text not in path.read_bytes(), path
            assert text.removeprefix(PREFIX.encode()) not in path.read_bytes(), path
    store = sqlite3.connect(f"file:{bridge.folder}/store.db?mode=ro", uri=True, timeout=60)
    (kept,), = store.execute("SELECT hash FROM token WHERE name = 'secret'").fetchall()
    store.close()
    assert kept == hashlib.blake2b(text, digest_size=32).digest()


def test_human_output(bridge):
    done = bridge.human("tokens", "create", "human", "--user", "viv", "--scope", "notes:read@own")
    assert done.returncode == 0 and done.stdout.startswith(PREFIX) and done.stdout.count("\n") == 1
    assert "shown this once" in done.stderr
    listed = bridge.human("tokens", "list", "--user", "viv").stdout
    assert "human" in listed and "notes:read@own" in listed and PREFIX not in listed


def test_a_restart(bridge, web):
    kept, gone = make(bridge, "kept", "--user", "desk"), make(bridge, "gone", "--user", "desk")
    bridge.ctl("tokens", "revoke", gone["id"])
    assert bridge.stop() == 0
    bridge.start()
    web.close()
    assert web.ask("GET", "me", token=kept["token"])[0] == 200
    assert web.ask("GET", "me", token=gone["token"])[0] == 401


def test_the_end_of_a_token(bridge, web):
    """Valid to its second; nothing is left of it in lists."""
    made = make(bridge, "short", "--user", "desk")
    store = sqlite3.connect(bridge.folder / "store.db", timeout=60)
    bridge.stop()
    store.execute("UPDATE token SET expires_s = ? WHERE name = 'short'", (int(time.time()) - 1,))
    store.commit()
    store.close()
    bridge.start()
    web.close()
    assert web.ask("GET", "me", token=made["token"])[0] == 401
    assert "short" not in [t["name"] for t in bridge.ctl("tokens", "list")["tokens"]]


def test_disable_and_enable(bridge, web):
    bridge.ctl("users", "create", "tessa", "--profile", "desk")
    made = make(bridge, "daily", "--user", "tessa")
    assert web.ask("GET", "users", token=made["token"])[0] == 200
    bridge.ctl("users", "disable", "tessa")
    assert web.ask("GET", "users", token=made["token"])[0] == 401
    bridge.ctl("users", "enable", "tessa")
    assert web.ask("GET", "users", token=made["token"])[0] == 200
    # Disabled, revoked, enabled: it stays revoked.
    bridge.ctl("users", "disable", "tessa")
    bridge.ctl("tokens", "revoke", made["id"])
    bridge.ctl("users", "enable", "tessa")
    assert web.ask("GET", "users", token=made["token"])[0] == 401
    with pytest.raises(Refused):
        bridge.ctl("users", "disable", "tessa") and make(bridge, "another", "--user", "tessa")


def test_permissions_follow_at_once(bridge, web):
    made = make(bridge, "follows", "--user", "viv")
    assert web.ask("GET", "users", token=made["token"])[0] == 403
    bridge.ctl("users", "grant", "viv", "role", "reporting")
    assert web.ask("GET", "users", token=made["token"])[0] == 200
    bridge.ctl("users", "revoke", "viv", "role", "reporting")
    status, answer = web.ask("GET", "users", token=made["token"])
    assert (status, answer["code"]) == (403, "not-allowed")


def test_permissions_follow_a_reload(bridge, web):
    made = make(bridge, "reloaded", "--user", "desk")
    assert web.ask("GET", "users", token=made["token"])[0] == 200
    bridge.write_config(config(bridge.port).replace('"users:*@all", ', ""))
    bridge.ctl("reload")
    assert web.ask("GET", "users", token=made["token"])[0] == 403
    bridge.write_config(config(bridge.port))
    bridge.ctl("reload")
    assert web.ask("GET", "users", token=made["token"])[0] == 200


def test_permissions_follow_a_role(bridge, web, control):
    """What a role is changed to, its holders may with the next request."""
    role = {"name": "lookers", "description": "d", "classifications": ["Sales"], "segments": ["All"],
            "permissions": ["notes:read@own"]}
    assert control.ask("POST", "roles", role)[0] == 201
    bridge.ctl("users", "create", "rolf")
    bridge.ctl("users", "grant", "rolf", "role", "lookers")
    token = make(bridge, "role", "--user", "rolf")["token"]
    for permissions, expected in ((["notes:read@own"], 403), (["users:read@all"], 200), (["notes:read@own"], 403)):
        status, answer = control.ask("PATCH", "roles/lookers", {"permissions": permissions})
        assert status == 200, answer
        assert web.ask("GET", "users", token=token)[0] == expected, permissions


# --- scopes, services, ends ---


def test_scope(bridge, web):
    made = make(bridge, "narrow", "--user", "desk", "--scope", "users:read@all,notes:read@own")
    assert made["scope"] == ["users:read@all", "notes:read@own"]
    assert web.ask("GET", "users", token=made["token"])[0] == 200
    assert web.ask("POST", "users", {"username": "x"}, token=made["token"])[0] == 403
    # It gives nothing that its owner has not.
    wide = make(bridge, "wide", "--user", "viv", "--scope", "users:read@all")
    assert web.ask("GET", "users", token=wide["token"])[0] == 403


def test_services(bridge, web):
    """A service has its scope, changes whom it made and nobody else, and administrators never."""
    made = make(bridge, "feed", "--service", "crm-feed", "--scope", "users:*@all,notes:read@own")
    token = made["token"]
    assert made["user"] is None and made["service"] == "crm-feed"
    status, me = web.ask("GET", "me", token=token)
    check(me, "/api/v1/me")
    assert (me["actor"], me["user"], me["permissions"]) == \
        ("service:crm-feed", None, ["users:*@all", "notes:read@own"])
    assert web.ask("GET", "status", token=token)[0] == 403
    status, own = web.ask("POST", "users", {"username": "fed"}, token=token)
    assert status == 201
    assert web.ask("PATCH", "users/fed", {"display_name": "Fed"}, token=token)[0] == 200
    # Another token of the same service is the same service; another service is not.
    other = make(bridge, "feed2", "--service", "crm-feed", "--scope", "users:*@all,notes:read@own")
    assert web.ask("PATCH", "users/fed", {"display_name": "Fed2"}, token=other["token"])[0] == 200
    stranger = make(bridge, "feed", "--service", "other", "--scope", "users:*@all,notes:read@own")
    for method, path, body in (("PATCH", "users/viv", {"display_name": "x"}), ("POST", "users/viv/disable", {}),
                               ("POST", "users/ada/disable", {}),
                               ("POST", "users", {"username": "boss", "profile": "administrator"}),
                               ("POST", "users/fed/grants", {"kind": "profile", "name": "administrator"}),
                               ("POST", "users/fed/grants", {"kind": "role", "name": "reporting"}),
                               ("POST", "tokens", {"name": "more"})):
        status, answer = web.ask(method, path, body, token=token)
        assert (status, answer["code"]) == (403, "not-allowed"), (method, path, answer)
    status, answer = web.ask("POST", "users/fed/disable", {}, token=stranger["token"])
    assert (status, answer["code"]) == (403, "not-allowed")
    # It takes back what it gave, and not what others did.
    bridge.ctl("users", "grant", "fed", "profile", "viewer")
    assert web.ask("DELETE", "users/fed/grants/profile/viewer", token=token)[0] == 403
    bridge.ctl("users", "grant", "fed", "profile", "administrator")
    assert web.ask("PATCH", "users/fed", {"display_name": "x"}, token=token)[0] == 403
    bridge.ctl("users", "grant", "fed", "profile", "viewer")
    assert web.ask("POST", "users/fed/disable", {}, token=token)[0] == 200
    assert web.ask("DELETE", "users/fed", token=token)[0] == 200
    assert own["id"] == user_id(bridge, "fed", own)


def user_id(bridge, _name, own):
    rows = bridge.ctl("audit", "list", "--object", "user:" + own["id"], "--action", "user.delete")["rows"]
    return rows[0]["object"].removeprefix("user:")


def test_own_tokens(bridge, web):
    """Who may make their own sees and revokes those, and nobody else's."""
    first = make(bridge, "first", "--user", "desk")["token"]
    status, made = web.ask("POST", "tokens", {"name": "mine", "scope": ["users:read@all"]}, token=first)
    assert status == 201 and made["user"]["username"] == "desk"
    listed = web.ask("GET", "tokens", token=first)[1]["tokens"]
    assert {t["user"]["username"] for t in listed} == {"desk"}
    others = make(bridge, "others", "--user", "viv")
    for query in ("user=viv", "service=crm-feed"):
        assert web.ask("GET", "tokens?" + query, token=first)[0] == 403
    status, answer = web.ask("DELETE", "tokens/" + others["id"], token=first)
    assert (status, answer["code"]) == (403, "not-allowed")
    assert web.ask("DELETE", "tokens/" + made["id"], token=first)[0] == 200
    assert web.ask("GET", "me", token=made["token"])[0] == 401
    # For others, for services: no.
    for body in ({"name": "a", "user": "viv", "scope": ["notes:read@own"]},
                 {"name": "a", "service": "x", "scope": ["users:read@all"]},
                 {"name": "a", "user": "ada", "scope": ["users:read@all"]}):
        status, answer = web.ask("POST", "tokens", body, token=first)
        assert (status, answer["code"]) == (403, "not-allowed"), body
    # Beyond their own: no.
    status, answer = web.ask("POST", "tokens", {"name": "a", "scope": ["audit:read@all"]}, token=first)
    assert (status, answer["code"]) == (403, "not-allowed")


def test_made_with_a_token(bridge, web):
    """Never more than that one: neither scope nor end."""
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    later = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 7200))
    narrow = make(bridge, "bounded", "--user", "desk", "--scope", "tokens:create@own,users:read@all", "--expires", soon)
    status, made = web.ask("POST", "tokens", {"name": "b1"}, token=narrow["token"])
    assert status == 201 and made["scope"] == narrow["scope"] and made["expires"] <= narrow["expires"]
    status, answer = web.ask("POST", "tokens", {"name": "b2", "scope": ["users:create@all"]}, token=narrow["token"])
    assert (status, answer["code"]) == (403, "not-allowed")
    status, answer = web.ask("POST", "tokens", {"name": "b3", "expires": later}, token=narrow["token"])
    assert (status, answer["field"]) == (422, "expires")
    useless = make(bridge, "useless", "--user", "desk", "--scope", "users:read@all")
    assert web.ask("POST", "tokens", {"name": "b4"}, token=useless["token"])[0] == 403


def test_others_by_administrators(bridge, web):
    """Another one's token needs a scope, so that it does not grow with them."""
    ada = make(bridge, "all", "--user", "ada")["token"]
    status, answer = web.ask("POST", "tokens", {"name": "for-viv", "user": "viv"}, token=ada)
    assert (status, answer["field"]) == (422, "scope")
    status, made = web.ask("POST", "tokens", {"name": "for-viv", "user": "viv", "scope": ["notes:read@own"]}, token=ada)
    assert status == 201 and made["user"]["username"] == "viv"
    assert web.ask("DELETE", "tokens/" + made["id"], token=ada)[0] == 200


def test_lifetimes(bridge):
    """What is said in the configuration."""
    bridge.write_config(config(bridge.port, "tokens: {lifetime: 1d, max_lifetime: 2d}"))
    bridge.ctl("reload")
    try:
        assert abs(expiry(make(bridge, "day", "--user", "desk")) - time.time() - 86400) < 600
        far = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3 * 86400))
        with pytest.raises(Refused) as refused:
            make(bridge, "far", "--user", "desk", "--expires", far)
        assert json.loads(refused.value.output)["field"] == "expires"
    finally:
        bridge.write_config(config(bridge.port))
        bridge.ctl("reload")


def test_an_application(bridge, web):
    """What is bound to an application makes nothing that is not."""
    bound = make(bridge, "bound", "--user", "desk", "--application", "crm")["token"]
    assert web.ask("GET", "me", token=bound)[1]["application"] == "crm"
    assert web.ask("POST", "tokens", {"name": "loose"}, token=bound)[0] == 403
    status, made = web.ask("POST", "tokens", {"name": "tight", "application": "crm"}, token=bound)
    assert status == 201 and made["application"] == "crm"


# --- organizations ---


def test_the_organization_is_the_end(bridge, web):
    """What is another organization's is as if it were not there."""
    paula = make(bridge, "paula", "--user", "paula")["token"]
    names = {u["username"] for u in web.ask("GET", "users", token=paula)[1]["users"]}
    assert names == {"paula", "far"}
    far, desk = user(bridge, "far"), user(bridge, "desk")
    assert web.ask("GET", "users/far", token=paula)[0] == 200
    for method, path, body in (("GET", "users/desk", None), ("GET", "users/" + desk["id"], None),
                               ("GET", "users/desk/why", None), ("GET", "users?organization=default", None),
                               ("PATCH", "users/viv", {"display_name": "x"}), ("POST", "users/viv/disable", {}),
                               ("POST", "users/viv/enable", None), ("DELETE", "users/viv", None),
                               ("POST", "users/viv/grants", {"kind": "profile", "name": "viewer"}),
                               ("DELETE", "users/viv/grants/profile/viewer", None),
                               ("PUT", "users/viv/identities/partners/9", None),
                               ("DELETE", "users/viv/identities/partners/1", None),
                               ("DELETE", "users/viv/sessions", None), ("GET", "sessions?user=viv", None),
                               ("POST", "users", {"username": "new", "organization": "default"})):
        status, answer = web.ask(method, path, body, token=paula)
        assert (status, answer["code"]) == (404, "not-found"), (method, path, answer)
    # Who may look at their own tokens alone does not learn who else is there.
    told = {name: web.ask("GET", "tokens?user=" + name, token=paula) for name in ("viv", "far", "nobody")}
    assert {(status, answer["code"], answer["message"]) for status, answer in told.values()} == {
        (403, "not-allowed", "this needs the permission 'tokens:read@all'")}
    # What says nothing of an organization is of one's own.
    status, made = web.ask("POST", "users", {"username": "pete"}, token=paula)
    assert status == 201 and made["organization"] == "partners"
    # What concerns the daemon as a whole is for those who run it, whatever one may at home.
    bridge.ctl("users", "create", "boss-far", "--profile", "administrator", "--organization", "partners")
    boss = make(bridge, "boss", "--user", "boss-far")["token"]
    for path in ("status", "audit", "plans", "alarms", "quarantine"):
        assert web.ask("GET", path, token=boss)[0] == 403, path
    assert web.ask("GET", "rules", token=boss)[1] == {"rules": [], "drafts": []}
    assert web.ask("POST", "reload", token=boss)[0] == 403
    assert web.ask("GET", "users/far", token=boss)[1]["id"] == far["id"]
    status, answer = web.ask("POST", "tokens", {"name": "a", "service": "x", "scope": ["users:read@all"],
                                                "organization": "default"}, token=boss)
    assert (status, answer["code"]) == (404, "not-found")
    status, made = web.ask("POST", "tokens", {"name": "a", "service": "x", "scope": ["users:read@all"]}, token=boss)
    assert status == 201 and made["organization"] == "partners"
    assert {u["username"] for u in web.ask("GET", "users", token=made["token"])[1]["users"]} == {"paula", "far", "boss-far", "pete"}


# --- at the door ---


def test_nobody(bridge, web):
    """401 as JSON, whatever is sent that is no token; no redirect."""
    good = make(bridge, "good", "--user", "desk")["token"]
    for headers in ({}, {"Authorization": "Bearer"}, {"Authorization": "Bearer "},
                    {"Authorization": "Bearer " + good[:-1]}, {"Authorization": "Bearer " + good + "x"},
                    {"Authorization": "Bearer " + good.upper()}, {"Authorization": "Bearer " + good + " " + good},
                    {"Authorization": "Basic " + good}, {"Authorization": good},
                    {"Authorization": "Bearer \xff"}, {"Cookie": "rolebridge=" + good}, {"X-Remote-User": "ada"},
                    {"Remote-User": "ada"}):
        for method, path, body in (("GET", "me", None), ("GET", "users", None), ("POST", "users", {"username": "x"})):
            status, answer = web.ask(method, path, body, headers=headers)
            assert (status, answer["code"]) == (401, "not-signed-in"), headers
    assert web.ask("GET", "me", headers={"Authorization": "bearer  " + good})[0] == 200


@pytest.mark.parametrize("ends", ["revoked", "disabled", "demoted"])
def test_let_in_long_ago(bridge, web, ends):
    """Whoever holds back the body is asked once more who they are when it comes."""
    bridge.ctl("users", "create", f"slow-{ends}", "--profile", "desk")
    made = make(bridge, "slow", "--user", f"slow-{ends}")
    body = json.dumps({"username": f"by-{ends}"}).encode()
    with socket.create_connection(("127.0.0.1", bridge.port), timeout=60) as held:
        held.sendall(b"POST /api/v1/users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                     b"Expect: 100-continue\r\nAuthorization: Bearer " + made["token"].encode() +
                     b"\r\nContent-Length: %d\r\n\r\n" % len(body))
        assert held.recv(4096).startswith(b"HTTP/1.1 100 ")
        if ends == "revoked":
            bridge.ctl("tokens", "revoke", made["id"])
        elif ends == "disabled":
            bridge.ctl("users", "disable", f"slow-{ends}")
        else:
            bridge.ctl("users", "grant", f"slow-{ends}", "profile", "viewer")
        time.sleep(0.15)
        held.sendall(body)
        answer = http.client.HTTPResponse(held)
        answer.begin()
        assert answer.status == (403 if ends == "demoted" else 401), answer.read()
    with pytest.raises(Refused):
        user(bridge, f"by-{ends}")


def test_two_authorizations(bridge, web):
    good = make(bridge, "twice", "--user", "desk")["token"]
    connection = web.connection
    connection.putrequest("GET", "/api/v1/me")
    connection.putheader("Authorization", "Bearer " + good)
    connection.putheader("Authorization", "Bearer " + good)
    connection.endheaders()
    response = connection.getresponse()
    response.read()
    assert response.status == 401


def test_what_the_web_takes(bridge, web):
    """Bodies are JSON by their type; unknown routes and methods are not guessed at."""
    token = make(bridge, "bodies", "--user", "desk")["token"]
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonx", "multipart/form-data", None):
        status, answer = web.ask("POST", "users", {"username": "x"}, token=token, headers={"Content-Type": kind})
        assert (status, answer["code"]) == (415, "unsupported-media-type"), kind
    assert web.ask("GET", "nothing", token=token)[0] == 404
    assert web.ask("PUT", "users", token=token)[0] == 405


def test_long_answers(bridge, web):
    """What is streamed, and what waits, comes over the web as over the socket."""
    ada = make(bridge, "long", "--user", "ada")["token"]
    status, text = web.ask("GET", "audit/export?format=csv", token=ada)
    assert status == 200 and "token.create" in text
    status, run = web.ask("POST", "sync", {}, token=ada)
    assert status == 202
    done = {"state": "running"}
    while done["state"] == "running":
        status, done = web.ask("GET", f"runs/{run['run']}?wait_ms=10000", token=ada)
        assert status == 200, done
    assert done["state"] == "done", done
    assert done["actor"].endswith("/long")


BAD_TOKENS = [
    ({}, "name"), ({"name": None}, "name"), ({"name": 7}, "name"), ({"name": ""}, "name"), ({"name": "x" * 65}, "name"),
    ({"name": "Ü"}, "name"), ({"name": "a b"}, "name"), ({"name": "a", "extra": 1}, "extra"),
    ({"name": "a", "user": 7}, "user"), ({"name": "a", "user": "x" * 321}, "user"), ({"name": "a", "user": "nobody"}, "user"),
    ({"name": "a"}, "user"), ({"name": "a", "user": "viv", "service": "x"}, "service"),
    ({"name": "a", "service": "x"}, "scope"), ({"name": "a", "service": "x", "scope": []}, "scope"),
    ({"name": "a", "service": "Ü", "scope": ["a:b@all"]}, "service"),
    ({"name": "a", "service": "x", "organization": "nowhere", "scope": ["a:b@all"]}, "organization"),
    ({"name": "a", "user": "viv", "scope": []}, "scope"), ({"name": "a", "user": "viv", "scope": "x"}, "scope"),
    ({"name": "a", "user": "viv", "scope": ["users"]}, "scope"),
    ({"name": "a", "user": "viv", "scope": ["users:read"]}, "scope"),
    ({"name": "a", "user": "viv", "scope": ["users:read@everywhere"]}, "scope"),
    ({"name": "a", "user": "viv", "scope": ["a:b@all"] * 257}, "scope"),
    ({"name": "a", "user": "viv", "application": "a b"}, "application"),
    ({"name": "a", "user": "viv", "expires": "soon"}, "expires"), ({"name": "a", "user": "viv", "expires": 7}, "expires"),
    ({"name": "a", "user": "viv", "expires": "2020-01-01"}, "expires"),
    ({"name": "a", "user": "viv", "expires": "9999-01-01"}, "expires"),
]


@pytest.mark.parametrize("body,field", BAD_TOKENS)
def test_bad_input(control, body, field):
    before = control.ask("GET", "audit?limit=1")[1]["rows"][0]["seq"]
    status, answer = control.ask("POST", "tokens", body)
    assert status in (404, 422) and answer["field"].startswith(field), answer
    assert control.ask("GET", "audit?limit=1")[1]["rows"][0]["seq"] == before


def test_names(bridge):
    make(bridge, "same", "--user", "desk")
    with pytest.raises(Refused) as refused:
        make(bridge, "same", "--user", "desk")
    assert json.loads(refused.value.output)["code"] == "name-taken"
    make(bridge, "same", "--user", "viv")


def test_pages(bridge):
    seen, after = [], None
    while True:
        answer = bridge.ctl("tokens", "list", "--all", "--limit", "3", *(["--after", str(after)] if after else []))
        check(answer, "/api/v1/tokens")
        seen += [t["id"] for t in answer["tokens"]]
        after = answer["next"]
        if after is None:
            break
    assert len(seen) == len(set(seen)) == len(bridge.ctl("tokens", "list", "--all", "--limit", "1000")["tokens"])


# --- the control socket ---


def test_the_control_socket(bridge, control):
    """Its peers are not limited, unless they send a token."""
    status, me = control.ask("GET", "me")
    check(me, "/api/v1/me")
    assert me["permissions"] == ["*:*@all"] and me["organization"] is None and me["actor"].startswith("unix:")
    token = make(bridge, "local", "--user", "viv")["token"]
    control.request("GET", "/api/v1/users", headers={"Authorization": "Bearer " + token})
    response = control.getresponse()
    assert response.status == 403 and json.loads(response.read())["code"] == "not-allowed"


def test_versions(bridge, web):
    """If-Match on everything that changes a user: 412, and nothing is done."""
    token = make(bridge, "versions", "--user", "desk")["token"]
    bridge.ctl("users", "create", "vera")
    for method, path, body in (("POST", "disable", {}), ("POST", "enable", None),
                               ("POST", "grants", {"kind": "profile", "name": "viewer"}),
                               ("DELETE", "grants/profile/viewer", None)):
        version = user(bridge, "vera")["version"]
        status, answer = web.ask(method, "users/vera/" + path, body, token=token,
                                 headers={"If-Match": f'"{version + 1}"'})
        assert (status, answer["code"]) == (412, "stale-version"), path
        assert user(bridge, "vera")["version"] == version
        status, answer = web.ask(method, "users/vera/" + path, body, token=token, headers={"If-Match": f'"{version}"'})
        assert status == 200, answer
    with pytest.raises(Refused) as refused:
        bridge.ctl("users", "disable", "vera", "--if-match", "1")
    assert json.loads(refused.value.output)["code"] == "stale-version"
