"""Invites by mail: made, sent, opened, accepted, sent anew, revoked; through API, CLI and browser."""
import json
import re
import time

import pytest
import requests

from bridge import Bridge, Refused
from control import Control
from mail_server import MailServer
from ports import free_port
from test_control import DOCUMENT, check

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
        return requests.get(f"http://127.0.0.1:{self.web}/invite/{token}", timeout=30)

    def accept(self, token):
        return requests.post(f"http://127.0.0.1:{self.web}/invite/{token}", timeout=30)

    def accept_json(self, token):
        answer = requests.post(f"http://127.0.0.1:{self.web}/api/v1/invites/accept", json={"token": token}, timeout=30)
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
