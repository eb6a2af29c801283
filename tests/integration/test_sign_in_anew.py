"""Whoever signs in anew in a browser has one session there, not two: the one before ends, in whichever stage it was."""
import passwords
from browser import Browser
from test_stages import PROVES, Person, person, require, shown
from test_web import APP, PUBLIC, World


def ends(rows):
    return [row["detail"]["session"] for row in rows if row["detail"]["why"] == "signed-in-anew"]


def test_with_a_password():
    with passwords.world() as world:
        world.invited("ada")
        browser, page = world.sign_in("ada", passwords.PASSWORD)
        assert page.url == world.application
        first, = world.bridge.ctl("sessions", "list")["sessions"]
        page = browser.get(world.url("/login?again=1"))
        page = browser.submit(page, username="ada", password=passwords.PASSWORD)
        assert "You are signed in" in page.text
        second, = world.bridge.ctl("sessions", "list")["sessions"]
        assert second["id"] != first["id"] and ends(world.rows("session.end")) == [first["id"]]
        # The application's page, whose token was of the first, comes again by itself.
        assert browser.get(world.application).url == world.application
        # What was refused ends nothing; what another browser does neither.
        page = browser.submit(browser.get(world.url("/login?again=1")), username="ada", password=passwords.OTHER)
        assert page.status_code == 403
        world.sign_in("ada", passwords.PASSWORD)
        assert second["id"] in [s["id"] for s in world.bridge.ctl("sessions", "list")["sessions"]]
        # Also as somebody else.
        world.invited("bob")
        page = browser.submit(browser.get(world.url("/login?again=1")), username="bob", password=passwords.PASSWORD)
        assert "You are signed in" in page.text and ends(world.rows("session.end"))[-1] == second["id"]


def test_at_an_identity_provider():
    """Whose answer comes without our cookie."""
    with World(source=PROVES) as world:
        anna = person(world, "anna", app=False)
        anna.enter(APP + "/x")
        first, = world.sessions("anna")
        assert anna.come("anna").headers["Location"] == "/"
        second, = world.sessions("anna")
        assert second["id"] != first["id"] and ends(world.audit("session.end")) == [first["id"]]
        # One that came only so far.
        anna.with_app()
        require(world, "--required", "all")
        assert shown(anna.come("anna")) == "/login/factor"
        assert shown(anna.come("anna")) == "/login/factor"
        assert [s["stage"] for s in world.sessions("anna")] == ["factor"]
        # An answer that nobody asked for says nothing of what was there before, and one that is refused changes nothing.
        last, = world.sessions("anna")
        request, relay, _ = anna.begin(PUBLIC + "/saml/acme/login")
        assert anna.answer(world.response("_" + "1" * 32, "anna", ("admins",)), relay).status_code == 403
        assert [s["id"] for s in world.sessions("anna")] == [last["id"]]


def test_by_roots_link():
    with passwords.world() as world:
        browser = Browser()
        for _ in range(2):
            url = world.bridge.ctl("login-link", "boss")["url"]
            page = browser.submit(browser.get(url))
            assert "You are signed in" in page.text, page.text
        assert len(world.bridge.ctl("sessions", "list")["sessions"]) == 1
