"""Invites by mail: made, sent, opened, accepted, sent anew, revoked; through API, CLI and browser."""
import calendar
import contextlib
import json
import re
import socket
import sqlite3
import subprocess
import threading
import time

import pytest
import requests

from bridge import DAEMON, Bridge, Refused
from control import Control
from mail_server import MailServer
from ports import free_port
from signin import SignIn
from test_control import check
from web import Authority

CONFIG = """
public_url: http://127.0.0.1:{web}
listeners: ["127.0.0.1:{web}"]
mail: {{url: "smtp://127.0.0.1:{mail}", from: bridge@acme.example, from_name: "Acmé Accounts"}}
profiles:
  - {{name: administrator, permissions: ["*:*@all"]}}
  - {{name: viewer, permissions: ["accounts:read@own"]}}
segments: [All]
organizations: [{{name: partners}}]
roles:
  - {{name: sales, description: Sells, classifications: [Sales], segments: [All], permissions: ["quotes:*@own"]}}
  - {{name: desk, description: Invites, classifications: [Support], segments: [All],
      permissions: ["users:invite@all", "quotes:read@own", "accounts:read@own"]}}
  - {{name: reader, description: Reads, classifications: [Sales], segments: [All], permissions: ["quotes:read@own"]}}
personas:
  - {{name: lead, title: Alex, objectives: [x], frustrations: [x], watering_holes: [x],
      technical_sophistication: low}}
sources:
  - {{name: partners, type: csv, path: partners.csv, key: id, interval: 0, organization: partners,
     attributes: [uid, mail, displayName]}}
policy: {{default_profile: viewer}}
"""
PARTNERS = "id,uid,mail,displayName\n1,far,far@y.example,Far\n"
LINK = re.compile(r"http://127\.0\.0\.1:\d+/invite/([A-Za-z0-9_-]+)")
INVITE = "/api/v1/invites/{id}"


class World:
    def __init__(self, bridge, mail, web):
        self.bridge, self.mail, self.web = bridge, mail, web
        self.seen = 0

    def invite(self, address, *options, profile="viewer"):
        return self.bridge.ctl("invites", "create", address, "--profile", profile, *options)

    def letter(self):
        """The next message that comes."""
        self.seen += 1
        self.mail.wait(self.seen)
        return self.mail.message(self.seen - 1)

    def link(self):
        return LINK.search(self.letter().get_content()).group(1)

    def open(self, token):
        return requests.get(f"http://127.0.0.1:{self.web}/invite/{token}", timeout=60)

    def accept(self, token):
        return requests.post(f"http://127.0.0.1:{self.web}/invite/{token}", timeout=60)

    def accept_json(self, token):
        answer = requests.post(f"http://127.0.0.1:{self.web}/api/v1/invites/accept", json={"token": token}, timeout=60)
        return answer.status_code, answer.json()


@pytest.fixture(scope="module", name="world")
def make_world():
    web = free_port()
    with MailServer() as mail, Bridge(CONFIG.format(web=web, mail=mail.port), {"partners.csv": PARTNERS}) as bridge:
        bridge.ctl("users", "create", "root-user", "--profile", "administrator")
        bridge.ctl("sync")
        yield World(bridge, mail, web)


@pytest.fixture(name="control")
def connect(world):
    control = Control(world.bridge.folder / "control.sock")
    yield control
    control.close()


def refusal(world, *words):
    with pytest.raises(Refused) as refused:
        world.bridge.ctl(*words)
    assert refused.value.status == 1
    return json.loads(refused.value.output)


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return value


def rows(world, invite):
    return [r["action"] for r in world.bridge.ctl("audit", "list", "--object", "invite:" + invite["id"])["rows"]]


# --- the road ---


def test_the_whole_road(world):
    invite = check(world.invite("Nina@Acme.example", "--name", "Nina Ön", "--roles", "sales", "--personas", "lead"),
                   "/api/v1/invites", "post", "201")
    assert (invite["state"], invite["email"], invite["username"], invite["roles"], invite["personas"]) == \
        ("pending", "nina@acme.example", "nina@acme.example", ["sales"], ["lead"])
    letter = world.letter()
    assert letter["To"] == "Nina Ön <nina@acme.example>" and letter["From"] == "Acmé Accounts <bridge@acme.example>"
    assert letter["Message-ID"].endswith("@acme.example>") and letter["Date"] and letter["Auto-Submitted"]
    assert letter.get_content().startswith("Hello Nina Ön,")
    token = LINK.search(letter.get_content()).group(1)
    # whoever looks, a scanner perhaps, uses nothing up
    for _ in range(2):
        page = world.open(token)
        assert page.status_code == 200 and "nina@acme.example" in page.text and "Accept" in page.text
        assert page.headers["Cache-Control"] == "no-store" and page.headers["Referrer-Policy"] == "same-origin"
    assert world.bridge.ctl("invites", "list", "--state", "pending")["invites"][0]["id"] == invite["id"]
    assert refusal(world, "users", "show", "nina@acme.example")["code"] == "not-found"
    page = world.accept(token)
    assert page.status_code == 200 and "Your account is ready" in page.text
    user = world.bridge.ctl("users", "show", "nina@acme.example")
    assert (user["display_name"], user["profile"], user["active"]) == ("Nina Ön", "viewer", True)
    assert {(g["kind"], g["name"], g["origin"]["kind"], g["origin"]["id"]) for g in user["grants"]} == \
        {(k, n, "invite", invite["id"]) for k, n in
         (("profile", "viewer"), ("role", "sales"), ("persona", "lead"))}
    until(lambda: world.bridge.ctl("invites", "list", "--email", "nina@acme.example")["invites"][0]["mailed"])
    shown = check(world.bridge.ctl("invites", "list", "--email", "nina@acme.example"), "/api/v1/invites", "get")
    invite, = shown["invites"]
    assert (invite["state"], invite["user"]) == ("accepted", user["id"]) and invite["mailed"]
    assert sorted(rows(world, invite)) == ["invite.accept", "invite.create"]
    # once only
    for answer in (world.open(token), world.accept(token)):
        assert answer.status_code == 410 and "was used" in answer.text
    status, answer = world.accept_json(token)
    assert (status, answer["code"]) == (410, "invite-used")
    world.bridge.ctl("audit", "verify")


def test_one_is_shown(world):
    invite = world.invite("shown@acme.example", "--name", "Sha Own", "--roles", "sales", "--personas", "lead")
    world.letter()
    until(lambda: check(world.bridge.ctl("invites", "show", invite["id"]), INVITE, "get")["mailed"])
    shown = world.bridge.ctl("invites", "show", invite["id"])
    assert {key: shown[key] for key in invite if key not in ("mailed", "version")} == \
        {key: invite[key] for key in invite if key not in ("mailed", "version")}
    said = world.bridge.human("invites", "show", invite["id"])
    head, *lines = said.stdout.splitlines()
    assert said.returncode == 0 and head == "shown@acme.example  pending"
    told = {words[0]: words[1] for words in (line.split(maxsplit=1) for line in lines)}
    assert {key: told[key] for key in ("id", "profile", "roles", "personas", "display_name", "expires", "mail")} == \
        {"id": invite["id"], "profile": "viewer", "roles": "sales", "personas": "lead", "display_name": "Sha Own",
         "expires": invite["expires"], "mail": "sent"}
    world.bridge.ctl("invites", "revoke", invite["id"])
    assert world.bridge.human("invites", "show", invite["id"]).stdout.splitlines()[0] == "shown@acme.example  revoked"
    for unknown in ("0197f000-0000-7000-8000-000000000000", "nobody@acme.example"):
        assert refusal(world, "invites", "show", unknown)["code"] == "not-found"


def test_a_user_name_is_derived_or_given(world):
    given = world.invite("given@acme.example", "--username", "Given.Name")
    world.accept(world.link())
    assert given["username"] == "given.name" and world.bridge.ctl("users", "show", "given.name")["active"]


def test_accepting_by_json(world):
    invite = world.invite("json@acme.example")
    token = world.link()
    status, answer = world.accept_json(token)
    assert status == 200 and answer["sign_in"] is False
    check(answer, "/api/v1/invites/accept", "post")
    assert world.bridge.ctl("users", "show", "json@acme.example")["id"] == answer["user"]
    assert invite["id"] in json.dumps(world.bridge.ctl("users", "show", "json@acme.example")["grants"])


# --- sent anew, revoked, expired ---


def test_a_newer_link_makes_the_one_before_void(world):
    invite = world.invite("resent@acme.example")
    first = world.link()
    again = check(world.bridge.ctl("invites", "resend", invite["id"]), "/api/v1/invites/{id}/resend", "post")
    # The letter may be out before the answer is.
    assert (again["sendings"], again["state"]) == (2, "pending") and (again["mailed"] or again["sent"]) >= again["sent"]
    assert again["expires"] >= invite["expires"]
    second = world.link()
    assert first != second
    page = world.open(first)
    assert page.status_code == 410 and "newer invite" in page.text
    assert world.accept(first).status_code == 410
    status, answer = world.accept_json(first)
    assert (status, answer["code"]) == (410, "invite-superseded")
    assert world.accept(second).status_code == 200
    assert world.accept_json(first)[1]["code"] == "invite-used"
    assert refusal(world, "invites", "resend", invite["id"])["code"] == "invite-used"
    assert refusal(world, "invites", "revoke", invite["id"])["code"] == "invite-used"


def test_revoke(world):
    invite = world.invite("revoked@acme.example")
    token = world.link()
    gone = check(world.bridge.ctl("invites", "revoke", invite["id"]), INVITE, "delete")
    assert gone["state"] == "revoked" and gone["ended"]
    assert world.open(token).status_code == 410 and "withdrawn" in world.accept(token).text
    assert world.accept_json(token)[1]["code"] == "invite-revoked"
    assert refusal(world, "invites", "resend", invite["id"])["code"] == "invite-revoked"
    # again: nothing happens
    before = world.bridge.ctl("audit", "verify")["rows"]
    assert world.bridge.ctl("invites", "revoke", invite["id"])["state"] == "revoked"
    assert world.bridge.ctl("audit", "verify")["rows"] == before
    # and the address may be invited anew
    world.invite("revoked@acme.example")
    world.letter()


def test_an_invite_expires():
    web = free_port()
    with MailServer() as mail, Bridge(CONFIG.format(web=web, mail=mail.port) + "invites: {lifetime: 60s}\n",
                                      {"partners.csv": PARTNERS}) as bridge:
        world = World(bridge, mail, web)
        invite = world.invite("late@acme.example")
        token = world.link()
        sent, expires = (calendar.timegm(time.strptime(invite[k], "%Y-%m-%dT%H:%M:%SZ")) for k in ("sent", "expires"))
        assert expires - sent == 60
        assert bridge.stop() == 0
        # An hour later; the clock of the store's rows is that of the machine.
        with sqlite3.connect(bridge.folder / "store.db") as store:
            store.execute("UPDATE invite SET sent_s = sent_s - 3600, expires_s = expires_s - 3600")
        bridge.start()
        page = world.open(token)
        assert page.status_code == 410 and "expired" in page.text and world.accept(token).status_code == 410
        assert world.accept_json(token)[1]["code"] == "invite-expired"
        shown, = bridge.ctl("invites", "list", "--state", "expired")["invites"]
        assert shown["id"] == invite["id"] and not bridge.ctl("invites", "list", "--state", "pending")["invites"]
        # sent anew it is good again
        assert bridge.ctl("invites", "resend", invite["id"])["state"] == "pending"
        assert world.accept(world.link()).status_code == 200


def test_the_default_is_fourteen_days(world):
    invite = world.invite("fortnight@acme.example")
    world.letter()
    sent, expires = (calendar.timegm(time.strptime(invite[k], "%Y-%m-%dT%H:%M:%SZ")) for k in ("sent", "expires"))
    assert expires - sent == 14 * 86400


# --- who has the address ---


def test_addresses_are_unique_everywhere(world):
    world.bridge.ctl("users", "create", "owner", "--email", "owner@acme.example")
    answer = refusal(world, "invites", "create", "OWNER@acme.example", "--profile", "viewer")
    assert (answer["code"], answer["field"]) == ("email-taken", "email")
    answer = refusal(world, "invites", "create", "far@y.example", "--profile", "viewer")
    assert (answer["code"], answer["field"]) == ("email-in-other-organization", "email")
    assert "partners" not in answer["message"]
    answer = refusal(world, "invites", "create", "fresh@acme.example", "--profile", "viewer", "--username", "owner")
    assert (answer["code"], answer["field"]) == ("username-taken", "username")
    world.invite("twice@acme.example")
    world.letter()
    answer = refusal(world, "invites", "create", "twice@acme.example", "--profile", "viewer")
    assert (answer["code"], answer["field"]) == ("invite-pending", "email")


def test_somebody_takes_the_address_meanwhile(world):
    invite = world.invite("race@acme.example", "--username", "racer")
    token = world.link()
    world.bridge.ctl("users", "create", "quicker", "--email", "race@acme.example")
    page = world.accept(token)
    assert page.status_code == 409 and "account already" in page.text
    assert world.accept_json(token)[1]["code"] == "email-taken"
    # nothing is half done, and the invite is not used up
    assert world.bridge.ctl("invites", "list", "--email", "race@acme.example")["invites"][0]["state"] == "pending"
    assert refusal(world, "users", "show", "racer")["code"] == "not-found"
    assert refusal(world, "invites", "resend", invite["id"])["code"] == "email-taken"


# --- links that are nobody's ---


def test_links_that_were_never_ours(world):
    world.invite("mine@acme.example")
    token = world.link()
    flipped = ("B" if token[0] == "A" else "A") + token[1:]
    for bad in ("x", flipped, token[:-1], token + "A", token[:-1] + "*", "%00", "A" * 59, "A" * 5000):
        assert world.open(bad).status_code in (404, 400, 414), bad
        assert world.accept(bad).status_code in (404, 400, 414), bad
    for bad in ("", "x", flipped, token[:-1]):
        status, answer = world.accept_json(bad)
        assert (status, answer["code"]) == (404, "not-found"), bad
    assert world.accept(token).status_code == 200


def test_one_address_may_not_try_for_ever():
    web = free_port()
    with Bridge(CONFIG.format(web=web, mail=1), {"partners.csv": PARTNERS}) as bridge:
        with requests.Session() as session:
            url = f"http://127.0.0.1:{web}/invite/x"
            for _ in range(5000):
                page = session.get(url, timeout=60)
                if page.status_code == 429:
                    break
        assert page.status_code == 429 and int(page.headers["Retry-After"]) > 0 and "Too many" in page.text
        status, answer = World(bridge, None, web).accept_json("x")
        assert (status, answer["code"]) == (429, "rate-limited")


def test_the_link_is_kept_nowhere(world):
    invite = world.invite("secret@acme.example")
    token = world.link()
    assert world.open(token).status_code == 200 and world.accept(token).status_code == 200
    folder = world.bridge.folder
    for path in folder.rglob("*"):
        if path.is_file():
            assert token.encode() not in path.read_bytes(), path
    for answer in (world.bridge.run("--json", "invites", "list"), world.bridge.run("audit", "list", "--limit", "1000")):
        assert token not in answer.stdout
    assert invite["id"] in world.bridge.ctl("invites", "list", "--email", "secret@acme.example")["invites"][0]["id"]


# --- bad input ---

BODY = {"email": "bad@acme.example", "profile": "viewer"}
BAD = [
    ("no address", {"email": None}, 422, "invalid-request", "email"),
    ("empty address", {"email": ""}, 422, "invalid-request", "email"),
    ("no address at all", {"email": "bad"}, 422, "invalid-request", "email"),
    ("a second header", {"email": "a@acme.example\r\nBcc: x@y.example"}, 422, "invalid-request", "email"),
    ("not ASCII", {"email": "bäd@acme.example"}, 422, "invalid-request", "email"),
    ("long address", {"email": "a" * 400 + "@acme.example"}, 422, "invalid-request", "email"),
    ("number", {"email": 7}, 422, "invalid-request", "email"),
    ("header in the name", {"display_name": "A\nBcc: x@y.example"}, 422, "invalid-request", "display_name"),
    ("long name", {"display_name": "a" * 600}, 422, "invalid-request", "display_name"),
    ("username", {"username": "a b"}, 422, "invalid-request", "username"),
    ("no profile", {"profile": None}, 422, "profile-required", "profile"),
    ("empty profile", {"profile": ""}, 422, "profile-required", "profile"),
    ("unknown profile", {"profile": "nix"}, 404, "not-found", "profile"),
    ("unknown role", {"roles": ["nix"]}, 404, "not-found", "roles"),
    ("roles no list", {"roles": "sales"}, 422, "invalid-request", "roles"),
    ("role no text", {"roles": [1]}, 422, "invalid-request", "roles[0]"),
    ("role no name", {"roles": ["No Name"]}, 422, "invalid-request", "roles"),
    ("unknown organization", {"organization": "nix"}, 404, "not-found", "organization"),
    ("unknown field", {"rolez": []}, 422, "invalid-request", "rolez"),
]


@pytest.mark.parametrize("case", BAD, ids=[c[0] for c in BAD])
def test_bad_input(world, control, case):
    _, change, status, code, field = case
    before = world.bridge.ctl("audit", "verify")["rows"]
    got, answer = control.ask("POST", "invites", {**BODY, **change})
    assert (got, answer["code"], answer.get("field")) == (status, code, field), answer["message"]
    assert world.bridge.ctl("audit", "verify")["rows"] == before


LOST = [("GET", "invites/nix", None), ("DELETE", "invites/nix", None), ("POST", "invites/nix/resend", None),
        ("GET", "invites/01a202b9-6450-7b2f-bebc-103430a58056", None),
        ("DELETE", "invites/01a202b9-6450-7b2f-bebc-103430a58056", None),
        ("POST", "invites/01a202b9-6450-7b2f-bebc-103430a58056/resend", None)]


@pytest.mark.parametrize("method,path,body", LOST)
def test_invites_that_are_not_there(control, method, path, body):
    status, answer = control.ask(method, path, body)
    assert (status, answer["code"]) == (404, "not-found")


def test_pages(world, control):
    for number in range(6):
        assert control.ask("POST", "invites", {"email": f"page{number}@acme.example", "profile": "viewer"})[0] == 201
        world.letter()
    seen, after = [], 0
    while after is not None:
        status, answer = control.ask("GET", f"invites?limit=2&after={after}")
        assert status == 200
        seen += [i["id"] for i in answer["invites"]]
        after = answer["next"]
    assert len(seen) == len(set(seen)) > 5
    assert control.ask("GET", "invites?state=odd")[1]["field"] == "state"
    assert control.ask("GET", "invites?email=odd")[1]["field"] == "email"
    assert control.ask("GET", "invites?limit=0")[1]["field"] == "limit"
    assert control.ask("GET", "invites?organization=nix")[1]["invites"] == []


def test_what_a_person_sees(world):
    shown = world.bridge.human("invites", "create", "seen@acme.example", "--profile", "viewer")
    assert "seen@acme.example is invited to be viewer" in shown.stdout
    world.letter()
    until(lambda: "sent" in world.bridge.human("invites", "list", "--email", "seen@acme.example").stdout)
    text = world.bridge.human("invites", "list", "--email", "seen@acme.example").stdout
    assert "pending" in text and "seen@acme.example" in text
    assert "no such invites" in world.bridge.human("invites", "list", "--organization", "partners").stdout


# --- the ceiling ---


def make_token(world, user):
    control = Control(world.bridge.folder / "control.sock")
    status, answer = control.ask("POST", "tokens", {"name": user + "-token", "user": user})
    control.close()
    assert status == 201, answer
    return answer["token"]


@pytest.fixture(scope="module", name="desk")
def make_desk(world):
    """A help desk: a person who may invite, by token, over the web listener."""
    for name in ("desk1", "desk2"):
        world.bridge.ctl("users", "create", name)
        world.bridge.ctl("users", "grant", name, "role", "desk")
    tokens = {name: make_token(world, name) for name in ("desk1", "desk2")}

    def ask(method, path, body=None, who="desk1"):
        answer = requests.request(method, f"http://127.0.0.1:{world.web}/api/v1/{path}", json=body, timeout=60,
                                  headers={"Authorization": "Bearer " + tokens[who]})
        return answer.status_code, answer.json()
    return ask


def test_nobody_invites_beyond_their_own(world, desk):
    for beyond in ({"profile": "administrator"}, {"roles": ["sales"]}, {"roles": ["admin"]}):
        status, answer = desk("POST", "invites", {"email": "more@acme.example", "profile": "viewer", **beyond})
        assert (status, answer["code"]) == (403, "not-allowed"), beyond
    status, answer = desk("POST", "invites", {"email": "else@acme.example", "profile": "viewer",
                                              "organization": "partners"})
    assert (status, answer["code"]) == (404, "not-found")
    status, invite = desk("POST", "invites", {"email": "within@acme.example", "profile": "viewer",
                                              "roles": ["reader"]})
    assert status == 201 and invite["organization"] == "default"
    page = world.open(world.link())
    assert "desk1 invites you" in page.text


def test_who_may_not_invite(world, desk):
    world.bridge.ctl("users", "create", "plain")
    token = make_token(world, "plain")
    for method, path in (("GET", "invites"), ("POST", "invites")):
        answer = requests.request(method, f"http://127.0.0.1:{world.web}/api/v1/{path}", json={}, timeout=60,
                                  headers={"Authorization": "Bearer " + token})
        assert (answer.status_code, answer.json()["code"]) == (403, "not-allowed")
    assert requests.get(f"http://127.0.0.1:{world.web}/api/v1/invites", timeout=60).status_code == 401


def test_others_invites_are_not_made_ones_own(world, desk):
    """What an administrator gave, a help desk cannot send anew, for it would vouch for it; revoke it can."""
    strong = world.invite("strong@acme.example", profile="administrator")
    world.letter()
    status, answer = desk("POST", f"invites/{strong['id']}/resend")
    assert (status, answer["code"]) == (403, "not-allowed")
    assert desk("DELETE", f"invites/{strong['id']}")[1]["state"] == "revoked"
    elsewhere = world.invite("elsewhere@y.example", "--organization", "partners")
    world.letter()
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/resend")):
        assert desk(method, f"invites/{elsewhere['id']}{path}")[0] == 404
    assert elsewhere["id"] not in json.dumps(desk("GET", "invites?limit=1000")[1])
    assert desk("GET", "invites?organization=partners")[1]["invites"] == []


def test_the_authority_counts_when_the_invite_is_accepted(world, desk):
    status, invite = desk("POST", "invites", {"email": "later@acme.example", "profile": "viewer",
                                              "roles": ["reader"]}, who="desk2")
    assert status == 201
    token = world.link()
    world.bridge.ctl("users", "revoke", "desk2", "role", "desk")
    page = world.accept(token)
    assert page.status_code == 403 and "not good any more" in page.text
    assert world.accept_json(token)[1]["code"] == "invite-not-allowed"
    world.bridge.ctl("users", "grant", "desk2", "role", "desk")
    world.bridge.ctl("users", "disable", "desk2")
    assert world.accept_json(token)[1]["code"] == "invite-not-allowed"
    # somebody else vouches for it
    world.bridge.ctl("invites", "resend", invite["id"])
    assert world.accept(world.link()).status_code == 200


def test_of_a_revoked_token_nothing_is_good(world):
    """Who revokes a token does not trust what it sent either; another one of that name vouches for its own."""
    bridge = world.bridge
    bridge.ctl("users", "create", "deputy")
    bridge.ctl("users", "grant", "deputy", "role", "desk")

    def invite(secret, email):
        answer = requests.post(f"http://127.0.0.1:{world.web}/api/v1/invites", timeout=60,
                               json={"email": email, "profile": "viewer"}, headers={"Authorization": "Bearer " + secret})
        assert answer.status_code == 201, answer.text
        return world.link()

    first = bridge.ctl("tokens", "create", "desk", "--user", "deputy")
    link = invite(first["token"], "first@acme.example")
    bridge.ctl("tokens", "revoke", first["id"])
    assert world.accept_json(link)[1]["code"] == "invite-not-allowed"
    revoked = time.time()
    until(lambda: int(time.time()) > int(revoked))  # the store knows whole seconds
    second = bridge.ctl("tokens", "create", "desk", "--user", "deputy")
    assert world.accept_json(invite(second["token"], "second@acme.example"))[0] == 200
    assert world.accept_json(link)[1]["code"] == "invite-not-allowed"


def test_of_a_revoked_token_of_a_service_nothing_is_good(world):
    """Though the service has another one, which vouches for what it sent itself."""
    tokens = {name: world.bridge.ctl("tokens", "create", name, "--service", "feed", "--scope",
                                     "users:invite@all,accounts:read@own") for name in ("one", "two")}
    links = {}
    for name, token in tokens.items():
        answer = requests.post(f"http://127.0.0.1:{world.web}/api/v1/invites", timeout=60,
                               json={"email": f"of-{name}@acme.example", "profile": "viewer"},
                               headers={"Authorization": "Bearer " + token["token"]})
        assert answer.status_code == 201, answer.text
        assert answer.json()["invited_by"] == f"service:feed/{name}"
        links[name] = world.link()
    world.bridge.ctl("tokens", "revoke", tokens["one"]["id"])
    assert world.accept_json(links["one"])[1]["code"] == "invite-not-allowed"
    assert world.accept_json(links["two"])[0] == 200


# --- mail that does not go out ---


def test_a_server_that_fails_is_asked_again():
    web = free_port()
    with MailServer() as mail, Bridge(CONFIG.format(web=web, mail=mail.port), {"partners.csv": PARTNERS}) as bridge:
        world = World(bridge, mail, web)
        mail.fail = "451 later"
        invite = world.invite("slow@acme.example")
        shown = until(lambda: [i for i in bridge.ctl("invites", "list")["invites"] if i["mail_problem"]])[0]
        assert "451" in shown["mail_problem"] and not shown["mailed"]
        alarm = until(lambda: [a for a in bridge.ctl("alarms", "list")["alarms"] if a["kind"] == "mail-failing"])[0]
        assert "451" in alarm["text"]
        metrics = requests.get(f"http://127.0.0.1:{web}/metrics", timeout=60).text
        assert re.search(r"^rolebridge_mail_failures_total [1-9]", metrics, re.M)
        assert re.search(r"^rolebridge_outbox_waiting 1$", metrics, re.M)
        # A daemon that was killed goes on with it; the same message id, so that a second copy is known as one.
        bridge.kill()
        with sqlite3.connect(bridge.folder / "store.db") as store:
            message, = store.execute("SELECT message_id FROM outbox").fetchone()
            store.execute("UPDATE outbox SET next_s = 0")
        mail.fail = None
        bridge.start()
        letter = world.letter()
        assert letter["Message-ID"] == f"<{message}@acme.example>"
        until(lambda: not [a for a in bridge.ctl("alarms", "list")["alarms"] if a["kind"] == "mail-failing"])
        shown, = bridge.ctl("invites", "list")["invites"]
        assert shown["id"] == invite["id"] and shown["mailed"] and not shown["mail_problem"]


def test_what_is_out_is_not_sent_again_while_the_store_fails():
    web = free_port()
    with MailServer() as mail, Bridge(CONFIG.format(web=web, mail=mail.port), {"partners.csv": PARTNERS}) as bridge:
        world = World(bridge, mail, web)
        with sqlite3.connect(bridge.folder / "store.db") as store:
            store.execute("CREATE TRIGGER full BEFORE DELETE ON outbox BEGIN SELECT RAISE(ABORT, 'full'); END")
        world.invite("once@acme.example")
        until(lambda: bridge.logged().count("outbox.failed") >= 2)
        with sqlite3.connect(bridge.folder / "store.db") as store:
            store.execute("DROP TRIGGER full")
        until(lambda: bridge.ctl("invites", "list")["invites"][0]["mailed"])
        assert len(mail.envelopes) == 1


def test_an_address_that_is_refused_for_good(world):
    world.mail.refuse.add("nobody@acme.example")
    world.invite("nobody@acme.example")
    shown = until(lambda: [i for i in world.bridge.ctl("invites", "list", "--email", "nobody@acme.example")["invites"]
                           if i["mail_problem"]])[0]
    assert "550" in shown["mail_problem"]
    assert not [a for a in world.bridge.ctl("alarms", "list")["alarms"] if a["kind"] == "mail-failing"]
    # it is not tried again, and holds up nobody
    world.invite("somebody@acme.example")
    assert world.letter()["To"] == "somebody@acme.example"


class Greeting:
    """A server that says something and no more."""

    def __init__(self, text):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.text = text
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                with self.listener.accept()[0] as connection:
                    connection.sendall(self.text.encode() + b"\r\n")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # Closing alone does not wake who accepts.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@pytest.mark.parametrize("kind, words", [("greeting", "554 no service here"), ("of_sender", "550 we do not know you"),
                                         ("of_sender", "553 not allowed"), ("of_data", "452 later")])
def test_what_is_not_about_the_message_is_not_final(kind, words):
    """The server refuses us, or is not well: mail waits for it."""
    web = free_port()
    with Greeting(words) if kind == "greeting" else MailServer() as mail:
        if kind != "greeting":
            setattr(mail, kind, words)
        with Bridge(CONFIG.format(web=web, mail=mail.port), {"partners.csv": PARTNERS}) as bridge:
            bridge.ctl("invites", "create", "waits@acme.example", "--profile", "viewer")
            shown = until(lambda: [i for i in bridge.ctl("invites", "list")["invites"] if i["mail_problem"]])[0]
            assert words[:3] in shown["mail_problem"]
            metrics = requests.get(f"http://127.0.0.1:{web}/metrics", timeout=60).text
            assert re.search(r"^rolebridge_outbox_waiting 1$", metrics, re.M)
            assert re.search(r"^rolebridge_mail_refused_total 0$", metrics, re.M)
            assert [a for a in bridge.ctl("alarms", "list")["alarms"] if a["kind"] == "mail-failing"]


def test_a_message_that_is_refused_for_good():
    web = free_port()
    with MailServer() as mail, Bridge(CONFIG.format(web=web, mail=mail.port), {"partners.csv": PARTNERS}) as bridge:
        mail.of_data = "554 looks like spam"
        bridge.ctl("invites", "create", "spam@acme.example", "--profile", "viewer")
        shown = until(lambda: [i for i in bridge.ctl("invites", "list")["invites"] if i["mail_problem"]])[0]
        assert "554" in shown["mail_problem"]
        metrics = requests.get(f"http://127.0.0.1:{web}/metrics", timeout=60).text
        assert re.search(r"^rolebridge_outbox_waiting 0$", metrics, re.M)


def test_a_failure_that_cannot_be_noted_is_not_tried_again():
    """While the store refuses, the server is not asked again and again."""
    web = free_port()
    with MailServer() as mail, Bridge(CONFIG.format(web=web, mail=mail.port), {"partners.csv": PARTNERS}) as bridge:
        mail.fail = "451 later"
        with sqlite3.connect(bridge.folder / "store.db") as store:
            store.execute("CREATE TRIGGER full BEFORE UPDATE ON outbox BEGIN SELECT RAISE(ABORT, 'full'); END")
        bridge.ctl("invites", "create", "waits@acme.example", "--profile", "viewer")
        until(lambda: bridge.logged().count("outbox.failed") >= 3)
        assert bridge.logged().count("mail.failed") == 1
        with sqlite3.connect(bridge.folder / "store.db") as store:
            store.execute("DROP TRIGGER full")
        until(lambda: bridge.ctl("invites", "list")["invites"][0]["mail_problem"])
        assert bridge.logged().count("mail.failed") == 1


def test_who_was_faster_than_the_note_was_mailed():
    """The letter is read and the link used before the server has answered."""
    web = free_port()
    with MailServer() as mail, Bridge(CONFIG.format(web=web, mail=mail.port), {"partners.csv": PARTNERS}) as bridge:
        world = World(bridge, mail, web)
        mail.hold = threading.Event()
        world.invite("quick@acme.example")
        token = world.link()
        assert world.accept(token).status_code == 200
        assert not bridge.ctl("invites", "list", "--state", "accepted")["invites"][0]["mailed"]
        mail.hold.set()
        shown = until(lambda: [i for i in bridge.ctl("invites", "list", "--state", "accepted")["invites"] if i["mailed"]])
        assert shown[0]["state"] == "accepted"


def test_a_link_that_is_void_is_not_sent():
    """What waits while the server is down, and is revoked or sent anew meanwhile, never goes out."""
    web, port = free_port(), free_port()
    with Bridge(CONFIG.format(web=web, mail=port), {"partners.csv": PARTNERS}) as bridge:
        mail = MailServer(port=port)
        world = World(bridge, mail, web)
        first, second = world.invite("one@acme.example"), world.invite("two@acme.example")
        bridge.ctl("invites", "revoke", first["id"])
        bridge.ctl("invites", "resend", second["id"])
        bridge.stop()
        with sqlite3.connect(bridge.folder / "store.db") as store:
            assert store.execute("SELECT subject, number FROM outbox").fetchall() == [(second["id"], 2)]
            store.execute("UPDATE outbox SET next_s = 0")
        with mail:
            bridge.start()
            assert world.accept(world.link()).status_code == 200
            until(lambda: bridge.ctl("invites", "list", "--email", "two@acme.example")["invites"][0]["mailed"])
            assert len(mail.envelopes) == 1


# The server does not see that TLS comes first.
@pytest.mark.filterwarnings("ignore:Requiring AUTH")
@pytest.mark.parametrize("kind", ["starttls", "smtps"])
def test_tls_and_a_password(kind, tmp_path):
    authority = Authority(tmp_path)
    pair = authority.issue("mail")
    web = free_port()
    scheme = "smtps" if kind == "smtps" else "smtp"
    with MailServer(pair=pair, login=("bridge", "pass word"), tls_from_start=kind == "smtps") as mail:
        config = CONFIG.format(web=web, mail=mail.port).replace("smtp://", scheme + "://").replace(
            "from_name:", f'ca_file: "{authority.certificate}", username: bridge, '
                          f'password_file: "{tmp_path}/password", from_name:')
        (tmp_path / "password").write_text("pass word\n")
        (tmp_path / "password").chmod(0o600)
        with Bridge(config, {"partners.csv": PARTNERS}) as bridge:
            world = World(bridge, mail, web)
            world.invite("tls@acme.example")
            assert world.letter()["To"] == "tls@acme.example"
            assert mail.logins == [("bridge", "pass word")]
            assert "pass word" not in bridge.logged()


def test_without_tls_nothing_is_said(tmp_path):
    """A CA is named, and the server offers no TLS: neither password nor message."""
    authority = Authority(tmp_path)
    web = free_port()
    with MailServer() as mail:
        config = CONFIG.format(web=web, mail=mail.port).replace(
            "from_name:", f'ca_file: "{authority.certificate}", from_name:')
        with Bridge(config, {"partners.csv": PARTNERS}) as bridge:
            World(bridge, mail, web).invite("clear@acme.example")
            until(lambda: bridge.ctl("invites", "list")["invites"][0]["mail_problem"])
            assert not mail.envelopes


def test_without_mail_nobody_is_invited():
    config = re.sub(r"^mail:.*\n", "", CONFIG.format(web=free_port(), mail=1), flags=re.M)
    with Bridge(config, {"partners.csv": PARTNERS}) as bridge:
        result = bridge.run("invites", "create", "a@acme.example", "--profile", "viewer")
        assert json.loads(result.stdout)["code"] == "mail-not-configured"
        assert bridge.ctl("invites", "list")["invites"] == []


BAD_MAIL = [
    ("not a URL", "url: mail.acme.example", "smtp"),
    ("another scheme", 'url: "https://mail.acme.example"', "smtp"),
    ("a password in it", 'url: "smtp://u:p@mail.acme.example"', "smtp"),
    ("a path", 'url: "smtp://mail.acme.example/x"', "smtp"),
    ("a sender that is none", 'url: "smtp://mail.acme.example", from: bridge', "bridge"),
    ("half a login", 'url: "smtp://mail.acme.example", from: b@acme.example, username: x', "password_file"),
]


@pytest.mark.parametrize("case", BAD_MAIL, ids=[c[0] for c in BAD_MAIL])
def test_bad_settings(case, tmp_path):
    _, text, word = case
    if "from:" not in text:
        text += ", from: b@acme.example"
    bridge = Bridge("mail: {" + text + "}\npolicy: {default_profile: viewer}\nprofiles: [{name: viewer, "
                    "permissions: []}]\n", folder=tmp_path)
    done = subprocess.run([DAEMON, "--config", bridge.config, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and word in done.stderr and ": error:" in done.stderr


# --- who came by an invite signs in ---

IDP = """
mail: {{url: "smtp://127.0.0.1:{mail}", from: bridge@acme.example}}
invites: {{authoritative_domains: [{domain}]}}
"""


@pytest.mark.parametrize("domain,same", [("acme.example", True), ("other.example", False)])
def test_an_accepted_invite_vouches_for_the_address(domain, same):
    with MailServer() as mail, SignIn(source="    authoritative_domains: [acme.example]\n",
                                      web=IDP.format(mail=mail.port, domain=domain)) as world:
        world.bridge.ctl("invites", "create", "anna@acme.example", "--profile", "member", "--username", "invited-anna")
        mail.wait(1)
        link = re.search(r"http\S+/invite/\S+", mail.message().get_content()).group(0)
        page = world.browser().request("POST", link)
        assert page.status_code == 200 and "/login" in page.text
        before = world.bridge.ctl("users", "show", "anna@acme.example")
        page = world.sign_in("anna")[1]
        assert (page.status_code == 200 and before["id"] in page.text) == same, page.text
        after = world.bridge.ctl("users", "show", "anna@acme.example")
        assert after["id"] == before["id"] and len(after["identities"]) == (1 if same else 0)
        if not same:
            assert any("email" in text for text in world.refusals())
