"""How far a sign-in at an identity provider leads, with second factors there and here: over HTTP, with an IdP that says what
the test wants."""
import base64
import calendar
import hashlib
import hmac
import html
import itertools
import re
import struct
import subprocess
import sys
import time
import urllib.parse
from pathlib import Path

import pytest

from bridge import DAEMON
from test_web import APP, PUBLIC, Visitor, World

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "attack"))
import forge as f  # noqa: E402

MFA = "https://refeds.org/profile/mfa"
PROVES = f"""    idp: {{metadata_file: idp.xml}}
    second_factor: {{contexts: ["{MFA}"]}}"""
ASKED = PROVES + f"""
    authn_contexts: ["{MFA}"]"""
NUMBERS = itertools.count()


def proved(assertion):
    f.find(assertion, "saml:AuthnStatement/saml:AuthnContext/saml:AuthnContextClassRef").text = MFA


def code_of(secret, step=None):
    """RFC 6238, six digits."""
    step = int(time.time()) // 30 if step is None else step
    key = base64.b32decode(secret.replace(" ", "").upper() + "=" * (-len(secret.replace(" ", "")) % 8))
    digest = hmac.new(key, struct.pack(">Q", step), hashlib.sha1).digest()
    at = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[at:at + 4])[0] & 0x7fffffff) % 1000000:06d}"


class Person(Visitor):
    """A browser whose person has an app, which gives each code once."""

    secret, step = None, 0

    def code(self):
        step = max(self.step + 1, int(time.time()) // 30)
        assert step <= int(time.time()) // 30 + 1, "more than two codes of one app in a test"
        self.step = step
        return code_of(self.secret, step)

    def come(self, name, **facts):
        """At our page after the IdP: where it leads to."""
        request, relay, _ = self.begin(PUBLIC + "/saml/acme/login")
        return self.answer(self.world.response(request, name, ("admins",), **facts), relay)

    def api(self, method, path, body=None, **headers):
        if method != "GET":
            headers["X-CSRF-Token"] = self.get(PUBLIC + "/api/v1/me").json()["csrf_token"]
        return self.ask(method, f"{PUBLIC}/api/v1/{path}", headers=headers, json=body)

    def with_app(self):
        begun = self.api("POST", "me/factors", {"method": "totp", "name": f"app {next(NUMBERS)}"})
        assert begun.status_code in (200, 201), begun.text
        self.secret = begun.json()["secret"]
        done = self.api("POST", f"me/factors/{begun.json()['id']}/confirm", {"code": self.code()})
        assert done.status_code == 200, done.text
        return self

    def post(self, page, path, **values):
        """The form of a page, filled in."""
        forms = re.findall(r"<form.*?</form>", page.text, re.S)
        form = next(form for form in forms if path in form)
        fields = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', form))
        return self.ask("POST", PUBLIC + path, headers={"Origin": PUBLIC},
                        data={**{name: html.unescape(value) for name, value in fields.items()}, **values})


def person(world, name, app=True):
    """Somebody who signed in while nothing was asked, and maybe enrolled an app."""
    one = Person(world)
    page = one.come(name)
    assert page.status_code == 303 and page.headers["Location"] == "/", page.headers
    if app:
        one.with_app()
    return one


def again(world, one):
    """Another browser of theirs."""
    other = Person(world)
    other.secret, other.step = one.secret, one.step
    return other


@pytest.fixture(name="world", scope="module")
def _world():
    with World(source=PROVES) as world:
        yield world


def require(world, *options):
    world.bridge.ctl("second-factor", "set", *options)


@pytest.fixture(autouse=True)
def _free(request):
    if "world" in request.fixturenames:
        require(request.getfixturevalue("world"), "--required", "nobody")


def shown(page):
    return urllib.parse.urlsplit(page.headers["Location"]).path


def test_an_app_is_asked_for_after_the_idp(world):
    anna = again(world, person(world, "anna"))
    page = anna.come("anna")
    assert (page.status_code, shown(page)) == (303, "/login/factor")
    old = dict(anna.jar["login.example.com"])
    # Neither our own pages nor an application know them yet.
    assert anna.get(PUBLIC + "/api/v1/me").status_code == 401
    assert anna.auth(APP + "/").status_code == 401
    page = anna.get(PUBLIC + "/login?return=" + urllib.parse.quote(APP + "/", safe=""))
    assert page.status_code in (302, 303) and shown(page) == "/login/factor"
    page = anna.get(PUBLIC + "/login/factor")
    assert page.status_code == 200, page.text
    anna.post(page, "/login/factor", code=anna.code())
    assert anna.get(PUBLIC + "/api/v1/me").status_code == 200
    assert anna.enter(APP + "/x").headers["Location"] == APP + "/x"
    # The cookie of before is good for nothing.
    stranger = world.visitor()
    stranger.jar["login.example.com"] = old
    assert stranger.get(PUBLIC + "/api/v1/me").status_code == 401
    assert stranger.get(PUBLIC + "/login/factor").status_code in (302, 303)
    row = world.audit("login")[-1]
    assert row["detail"]["stage"] == "factor"


def test_the_idps_word_is_not_asked_twice(world):
    bert = again(world, person(world, "bert"))
    page = bert.come("bert", change=proved)
    assert page.headers["Location"] == "/"
    assert world.audit("login")[-1]["detail"]["factor"] == "idp"
    require(world, "--required", "all")
    assert bert.come("bert", change=proved).headers["Location"] == "/"
    assert shown(bert.come("bert")) == "/login/factor"


def test_none_and_required(world):
    person(world, "cleo", app=False)
    require(world, "--required", "all")
    cleo = Person(world)
    page = cleo.come("cleo")
    assert page.status_code == 403 and "second factor" in page.text
    assert not [name for name in cleo.jar["login.example.com"] if name == "__Host-rolebridge"]
    assert world.refusals()[-1] == "2fa-not-configured"
    # At the IdP they can.
    assert cleo.come("cleo", change=proved).headers["Location"] == "/"


def test_keys_alone_for_administrators(world):
    dora = again(world, person(world, "dora"))
    require(world, "--required", "all", "--administrator-methods", "webauthn")
    page = dora.come("dora", change=proved)
    assert page.status_code == 403
    assert world.refusals()[-1] == "2fa-not-configured"
    require(world, "--required", "nobody", "--administrator-methods", "")


def test_grace(world):
    person(world, "emil", app=False)
    require(world, "--required", "all", "--grace-sign-ins", "1")
    emil = Person(world)
    page = emil.come("emil")
    assert shown(page) == "/login/enrol"
    assert emil.get(PUBLIC + "/api/v1/me").status_code == 401
    page = emil.get(PUBLIC + "/login/enrol")
    emil.post(page, "/login/enrol/later")
    assert emil.get(PUBLIC + "/api/v1/me").status_code == 200
    assert Person(world).come("emil").status_code == 403
    require(world, "--required", "nobody", "--grace-sign-ins", "0")


def test_a_browser_is_remembered(world):
    fred = again(world, person(world, "fred"))
    require(world, "--required", "all", "--remember", "1d")
    fred.come("fred")
    fred.post(fred.get(PUBLIC + "/login/factor"), "/login/factor", code=fred.code(), remember="1")
    assert fred.get(PUBLIC + "/api/v1/me").status_code == 200
    device = fred.jar["login.example.com"]["__Host-rolebridge-device"]
    assert fred.come("fred").headers["Location"] == "/"
    assert world.audit("login")[-1]["detail"]["factor"] == "device"
    # In another browser, for somebody else, or made up, it is nothing.
    assert shown(again(world, fred).come("fred")) == "/login/factor"
    gina = again(world, person_in(world, "gina"))
    gina.jar.setdefault("login.example.com", {})["__Host-rolebridge-device"] = device
    assert shown(gina.come("gina")) == "/login/factor"
    other = again(world, fred)
    other.jar["login.example.com"] = {"__Host-rolebridge-device": device[:-2] + ("AA" if device[-2:] != "AA" else "BB")}
    assert shown(other.come("fred")) == "/login/factor"
    # Until it is taken back.
    assert fred.api("DELETE", "me/devices").status_code == 200
    assert shown(fred.come("fred")) == "/login/factor"


def person_in(world, name):
    """The same while a second factor is required: by way of the IdP."""
    one = Person(world)
    assert one.come(name, change=proved).headers["Location"] == "/"
    return one.with_app()


def test_too_late(world):
    """What is left over from a sign-in that went no further ends."""
    hugo = again(world, person(world, "hugo"))
    hugo.come("hugo")
    session, = [s for s in world.sessions("hugo") if s["stage"] == "factor"]
    created, ends = (calendar.timegm(time.strptime(session[key], "%Y-%m-%dT%H:%M:%SZ")) for key in ("created", "until"))
    assert ends - created == 900
    full, = [s for s in world.sessions("hugo") if s["stage"] == "full"]
    assert full["factor"] == "totp" and session["factor"] is None


def test_asked_for_and_answered_less():
    """The IdP is asked for a second factor: then one is proven, there or here."""
    with World(source=PROVES) as world:
        ida = person(world, "ida")
        person(world, "jan", app=False)
        world.configure(source=ASKED)
        world.bridge.run("reload")
        ida = again(world, ida)
        _, _, xml = Person(world).begin()
        assert MFA in xml
        assert shown(ida.come("ida")) == "/login/factor"
        ida.post(ida.get(PUBLIC + "/login/factor"), "/login/factor", code=ida.code())
        assert ida.get(PUBLIC + "/api/v1/me").status_code == 200
        assert ida.come("ida", change=proved).headers["Location"] == "/"
        jan = Person(world)
        assert jan.come("jan").status_code == 403
        assert world.refusals()[-1] == "2fa-not-configured"
        assert jan.come("jan", change=proved).headers["Location"] == "/"


def test_a_permission_takes_a_fresh_one():
    web = """second_factor:
  step_up: [{permissions: ["users:create@all", "users:disable@all", "attributes:read@all"], max_age: 10m}]"""
    with World(source=PROVES, web=web) as world:
        kim = person(world, "kim")
        new = {"username": "new", "email": "new@acme.example", "profile": "member"}
        # Enrolled, but not proven in this session … which enrolling does.
        fresh = kim.api("POST", "users", new)
        assert fresh.status_code == 201, fresh.text
        lia = person(world, "lia", app=False)
        page = lia.api("POST", "users", {**new, "username": "two", "email": "two@acme.example"})
        assert page.status_code == 403, page.text
        assert page.json()["code"] == "second-factor-required"
        assert page.json()["details"] == {"step_up": PUBLIC + "/step-up", "max_age": 600}
        # Nor of many at once, nor by a token that is made for it.
        for path, body in (("users/bulk", {"action": "disable", "users": ["kim"]}), ("tokens", {"name": "all"}),
                           ("tokens", {"name": "some", "scope": ["users:*@all"]})):
            page = lia.api("POST", path, body)
            assert (page.status_code, page.json()["code"]) == (403, "second-factor-required"), (path, body, page.text)
        assert lia.api("POST", "tokens", {"name": "reads", "scope": ["users:read@all"]}).status_code == 201
        assert kim.api("POST", "tokens", {"name": "all"}).status_code == 201
        assert kim.api("POST", "users/bulk", {"action": "enable", "users": ["kim"]}).status_code == 202
        page = lia.api("GET", "users/kim/why?sensitive=true")
        assert (page.status_code, page.json()["code"]) == (403, "second-factor-required"), page.text
        # What it is not asked for is as before; so is the control socket.
        assert lia.api("GET", "users/kim/why").status_code == 200
        assert lia.api("GET", "users").status_code == 200
        world.bridge.ctl("users", "create", "three", "--email", "three@acme.example", "--profile", "member")


def check(world):
    return subprocess.run([DAEMON, "--config", world.folder / "rolebridge.yaml", "--check"], capture_output=True, text=True,
                          check=True).stderr


def test_check_says_who_would_be_locked_out():
    with World(source=PROVES) as world:
        person(world, "mia")
        person(world, "nils", app=False)
        world.bridge.ctl("users", "create", "olga", "--email", "olga@acme.example", "--profile", "member")
        world.configure(web="second_factor: {required: all}")
        said = check(world)
        # The identity provider may prove one for who comes from there.
        assert "1 people of organization 'default', 0 of them administrators" in said, said
        assert "second-factor-lockout" in world.bridge.run("--json", "check").stdout
        world.bridge.run("reload")
        assert "second-factor.lockout" in world.bridge.logged()
        world.configure(web="second_factor: {required: administrators}")
        assert "people of organization" not in check(world)
