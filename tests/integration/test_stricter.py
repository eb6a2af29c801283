"""Sessions that are full when policy becomes stricter, or their person one of whom more is asked: they go back to the page on
which what is lacking is proven, and on from there."""
import urllib.parse

import pytest

from test_stages import PROVES, Person, proved, require, shown
from test_web import APP, PUBLIC, World

ME = PUBLIC + "/api/v1/me"


class Member(Person):
    """No administrator."""

    def come(self, name, **facts):
        request, relay, _ = self.begin(PUBLIC + "/saml/acme/login")
        return self.answer(self.world.response(request, name, ("staff",), **facts), relay)


def person(world, name, app=True):
    """Somebody who signed in while nothing was asked, and maybe enrolled an app."""
    one = Member(world)
    assert one.come(name).headers["Location"] == "/"
    return one.with_app() if app else one


@pytest.fixture(name="world", scope="module")
def _world():
    with World(source=PROVES) as world:
        yield world


@pytest.fixture(autouse=True)
def _free(request):
    if "world" in request.fixturenames:
        require(request.getfixturevalue("world"), "--required", "nobody", "--grace-sign-ins", "0", "--methods",
                "totp,webauthn,email,sms")


def two_browsers(world, name):
    """Somebody who has an app: a browser in which they proved it, and one in which they signed in before they had it."""
    before = person(world, name, app=False)
    one = person(world, name)
    before.secret, before.step = one.secret, one.step
    return one, before


def is_full(browser):
    return browser.get(ME).status_code == 200


def sign_ins(world):
    return world.bridge.ctl("report", "sign-ins", "--by", "profile")["all"]["sign_ins"]


def led_to(browser):
    return shown(browser.get(PUBLIC + "/login?return=" + urllib.parse.quote(APP + "/", safe="")))


def asked(world, browser, name):
    """Nothing is open to them but the page that asks."""
    assert not is_full(browser)
    assert browser.auth(APP + "/").status_code == 401
    assert led_to(browser) == "/login/factor"
    assert browser.get(PUBLIC + "/security").headers["Location"].startswith("/login/factor")
    assert [s["stage"] for s in world.sessions(name)].count("factor") == 1
    assert world.audit("session.ask")[-1]["detail"]["stage"] == "factor"


def test_one_is_required_now(world):
    one, before = two_browsers(world, "anna")
    before.enter(APP + "/x")
    old, count = dict(before.jar["login.example.com"]), sign_ins(world)
    require(world, "--required", "all")
    # Who proved one is in order.
    assert is_full(one)
    asked(world, before, "anna")
    assert world.audit("session.ask")[-1]["actor"] == "second-factor"
    page = before.post(before.get(PUBLIC + "/login/factor"), "/login/factor", code=before.code())
    assert page.status_code == 303 and is_full(before)
    assert before.jar["login.example.com"]["__Host-rolebridge"] != old["__Host-rolebridge"]
    assert before.enter(APP + "/x").headers["Location"] == APP + "/x"
    assert sign_ins(world) == count, "it is the same sign-in"


def test_what_was_proven_does_not_count_any_more(world):
    one, _ = two_browsers(world, "bert")
    require(world, "--required", "all", "--methods", "webauthn")
    asked(world, one, "bert")
    # By an administrator's code they enrol what counts; nothing else leads on.
    page = one.get(PUBLIC + "/login/factor")
    assert "Recovery code" in page.text and "authenticator app" not in page.text
    page = one.post(page, "/login/factor", code=one.code(), method="totp")
    assert page.status_code == 403
    assert "This method does not count here" in page.text and not is_full(one)
    code = world.bridge.ctl("recovery-code", "issue", "bert")["code"]
    page = one.post(one.get(PUBLIC + "/login/factor"), "/login/factor", code=code)
    assert shown(page) == "/login/enrol", page.text


def test_the_idps_proof_counts(world):
    one, before = Member(world), person(world, "carla", app=False)
    one.come("carl", change=proved)
    require(world, "--required", "all")
    assert is_full(one)
    asked_for = before.get(PUBLIC + "/security")
    assert asked_for.headers["Location"].startswith("/login/factor")
    # Their identity provider proves it, when it is asked anew.
    page = before.get(PUBLIC + "/login/factor")
    assert "/saml/acme/login?fresh=1" in page.text.replace("&amp;", "&"), page.text
    assert before.come("carla", change=proved).headers["Location"] == "/" and is_full(before)


def test_grace_is_honoured(world):
    dora = person(world, "dora", app=False)
    require(world, "--required", "all", "--grace-sign-ins", "1")
    assert is_full(dora)
    # The last time they may come in so; the session stays.
    other = Member(world)
    other.come("dora")
    other.post(other.get(PUBLIC + "/login/enrol"), "/login/enrol/later")
    assert is_full(other) and is_full(dora)
    require(world, "--required", "all", "--grace-until", "2099-01-01", "--grace-sign-ins", "0")
    assert is_full(other)
    require(world, "--required", "all", "--grace-until", "", "--grace-sign-ins", "0")
    assert not is_full(other) and not is_full(dora)


def test_who_becomes_an_administrator(world):
    _, emil = two_browsers(world, "emil")
    world.bridge.ctl("users", "create", "root", "--profile", "administrator", "--email", "root@acme.example")
    require(world, "--required", "administrators")
    assert is_full(emil)
    world.bridge.ctl("users", "grant", "emil", "profile", "administrator")
    asked(world, emil, "emil")
    emil.post(emil.get(PUBLIC + "/login/factor"), "/login/factor", code=emil.code())
    assert is_full(emil)


def test_a_remembered_browser(world):
    one, fred = person(world, "fred"), Member(world)
    fred.secret, fred.step = one.secret, one.step
    require(world, "--required", "all", "--remember", "1d")
    fred.come("fred")
    fred.post(fred.get(PUBLIC + "/login/factor"), "/login/factor", code=fred.code(), remember="1")
    assert fred.come("fred").headers["Location"] == "/" and is_full(fred)
    assert world.sessions("fred")[-1]["factor"] == "device"
    # It stands for the app: for as long as that counts.
    require(world, "--required", "all", "--remember", "2d")
    assert is_full(fred)
    require(world, "--required", "all", "--remember", "2d", "--methods", "webauthn")
    assert not is_full(fred)


@pytest.mark.parametrize("required", ["all", "nobody"])
def test_browsers_are_remembered_no_more(world, required):
    """Also of whom none is required, but who have a factor of their own."""
    name = "ina-" + required
    one, other = person(world, name), Member(world)
    other.secret, other.step = one.secret, one.step
    require(world, "--required", required, "--remember", "1d")
    other.come(name)
    other.post(other.get(PUBLIC + "/login/factor"), "/login/factor", code=other.code(), remember="1")
    assert other.come(name).headers["Location"] == "/" and is_full(other)
    assert world.sessions(name)[-1]["factor"] == "device"
    require(world, "--required", required, "--remember", "0")
    assert is_full(one), "they proved their app there"
    asked(world, other, name)
    assert "authenticator app" in other.get(PUBLIC + "/login/factor").text


def test_a_file_says_so():
    """By a reload, and by a start after it was written."""
    with World(source=PROVES) as world:
        _, gina = two_browsers(world, "gina")
        world.configure(web="second_factor: {required: all}")
        assert is_full(gina)
        assert world.bridge.run("reload").returncode == 0
        asked(world, gina, "gina")
        assert world.bridge.stop() == 0
        world.bridge.start()
        assert not is_full(gina) and led_to(gina) == "/login/factor"
        hugo = Member(world)
        hugo.come("hugo", change=proved)
        world.configure(web="second_factor: {required: all, administrator_methods: [webauthn]}")
        assert world.bridge.stop() == 0
        world.bridge.start()
        assert is_full(hugo)
        world.configure(web="")
        assert world.bridge.run("reload").returncode == 0
        # What went back stays where it is, until one is proven or its time is over.
        assert not is_full(gina)
