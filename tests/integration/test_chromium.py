"""Signing in and out as people do it: a real browser, over http on loopback and over TLS between three sites."""
import pytest

import accessible
import chromium
import idp
import proxy
from signin import SignIn, TlsSignIn

pytestmark = pytest.mark.skipif(not (idp.is_installed() and proxy.is_installed()),
                                reason="needs SimpleSAMLphp and nginx")

WORLDS = {"http": SignIn, "tls": TlsSignIn}


@pytest.fixture(name="_runs", scope="module")
def _runs_fixture():
    problem = chromium.missing()
    if problem:
        pytest.skip(problem)


@pytest.fixture(name="world", scope="module", params=sorted(WORLDS))
def _world(request, _runs):
    # "iframe": the IdP's page for signing out loads ours within it.
    with WORLDS[request.param](idp_options={"logouttype": "iframe"}) as world:
        yield world


@pytest.fixture(name="browser")
def _browser(_runs):
    with chromium.Chromium() as browser:
        yield browser
        # Whatever a test did: no page of ours asked for what its own policy forbids.
        said = [line for line in browser.log() if is_violation(line)]
        assert not said, said


def is_violation(line):
    return "Content Security Policy" in line or "Refused to" in line or "X-Frame-Options" in line


def sign_in(world, browser, name):
    browser.open(world.application_url)
    browser.give_password(name)
    return browser.wait_for_text('"Remote-User"')


def is_secure(world):
    return world.public_url.startswith("https:")


def cookie_name(world, name):
    return ("__Host-" if is_secure(world) else "") + name


def test_sign_in(world, browser):
    text = sign_in(world, browser, "anna")
    assert browser.driver.current_url == world.application_url
    assert '["Remote-User", "anna"]' in text
    assert '["Remote-Profile", "member"]' in text
    cookie = browser.cookies()[cookie_name(world, "rolebridge-app")]
    assert cookie["httpOnly"] and cookie["secure"] == is_secure(world) and cookie["sameSite"] == "Lax"
    # The application saw none of them.
    assert "rolebridge" not in text.split('"Cookie"')[-1].split("]")[0]
    # And the second page comes without anybody being asked.
    browser.open(world.application_url + "second")
    assert "/second" in browser.wait_for_text('"Remote-User"')


def test_deep_link(world, browser):
    browser.open(world.application_url + "deep/page?a=b&c=%20d")
    browser.give_password("bert")
    assert '"/deep/page?a=b&c=%20d"' in browser.wait_for_text('"Remote-User"')


def test_own_session(world, browser):
    sign_in(world, browser, "anna")
    browser.open(world.public_url + "/")
    browser.wait_for_text("Anna Müller")
    cookie = browser.cookies()[cookie_name(world, "rolebridge")]
    assert cookie["httpOnly"] and cookie["secure"] == is_secure(world)
    assert cookie["path"] == "/" and cookie["sameSite"] == "Lax"
    # The login that waited is gone.
    assert not [name for name in browser.cookies() if "rolebridge-login" in name]


def test_sign_in_twice_at_once(world, browser):
    """Two tabs began; both arrive."""
    browser.open(world.application_url + "one")
    browser.wait_for("input[name=username]")
    first = browser.driver.current_window_handle
    browser.driver.switch_to.new_window("tab")
    browser.open(world.application_url + "two")
    browser.give_password("bert")
    assert "/two" in browser.wait_for_text('"Remote-User"')
    browser.driver.switch_to.window(first)
    browser.give_password("bert")
    assert "/one" in browser.wait_for_text('"Remote-User"')


def test_person_without_access(world, browser):
    browser.open(world.application_url)
    browser.give_password("cleo")
    assert "reference" in browser.wait_for_text("No access")
    assert not accessible.look(browser)


def test_sign_out_here(world, browser):
    sign_in(world, browser, "bert")
    browser.open(world.public_url + "/logout")
    assert not accessible.look(browser)
    browser.click("form button")
    browser.wait_for_text("You are signed out")
    assert browser.driver.current_url.startswith(world.public_url)
    assert cookie_name(world, "rolebridge") not in browser.cookies()
    # The IdP, too, asks again.
    browser.open(world.application_url)
    browser.wait_for("input[name=password]")


def sessions_of(world, name):
    return {session["id"] for session in world.bridge.ctl("sessions", "list", "--user", name)["sessions"]}


def test_sign_out_at_the_idp(world, browser):
    before = sessions_of(world, "bert")
    sign_in(world, browser, "bert")
    mine = sessions_of(world, "bert") - before
    assert len(mine) == 1
    end_url = world.public_url + "/healthz"
    browser.open(world.idp.url + "saml2/idp/SingleLogoutService.php?ReturnTo=" + end_url)
    # Its page holds ours in a frame, which on another site gets no cookies; then it goes on by itself.
    browser.click("#logout-all")
    browser.wait(lambda driver: driver.current_url == end_url, "the end at the IdP")
    assert sessions_of(world, "bert") == before
    browser.open(world.application_url)
    browser.wait_for("input[name=password]")


def test_without_scripts(world, _runs):
    """What would go on by itself has a button then."""
    with chromium.Chromium(scripts=False) as browser:
        browser.open(world.application_url)
        browser.give_password("root")
        browser.press_on()
        assert '["Remote-User", "root"]' in browser.wait_for_text('"Remote-User"')
        browser.open(world.public_url + "/saml/acme/test")
        browser.give_password("root")
        browser.press_on()
        if is_secure(world):
            # From another site without cookies: the page posts it once more.
            browser.wait_for_text("One moment")
            assert not accessible.look(browser)
            browser.click("button")
        browser.wait_for_text("The answer was accepted")
        assert not accessible.look(browser)
        assert not browser.violations()


def test_test_login(world, browser):
    sign_in(world, browser, "root")
    before = len(world.bridge.ctl("sessions", "list")["sessions"])
    browser.open(world.public_url + "/saml/acme/test")
    browser.give_password("root")
    text = browser.wait_for_text("The answer was accepted")
    for part in ("audience", "destination", "acme:admins", "root@acme.example", "Known as 'root'"):
        assert part in text, part
    assert len(world.bridge.ctl("sessions", "list")["sessions"]) == before
    assert not accessible.look(browser)
    # Its form went on by the script that the policy allows.
    assert browser.driver.current_url == world.acs


def test_pages_run_nothing_inline(world, browser):
    """The policy is in force: what a page would smuggle in does not run."""
    browser.open(world.public_url + "/")
    browser.wait_for_text("Welcome")
    browser.driver.execute_script(
        "const s = document.createElement('script'); s.textContent = 'document.title = \"ran\"';"
        "document.body.appendChild(s);")
    assert browser.driver.title == "Welcome"
    said = browser.log()
    assert any(is_violation(line) for line in said), said


def test_no_page_within_a_frame_of_others(world, browser):
    browser.open(world.application_url)
    browser.wait_for("input[name=username]")
    browser.driver.execute_script(
        "const f = document.createElement('iframe'); f.src = arguments[0]; f.onload = () => "
        "{ document.title = 'loaded'; }; document.body.appendChild(f);", world.public_url + "/")
    browser.wait(lambda driver: driver.title == "loaded", "the frame")
    assert any("frame" in line.lower() for line in browser.log())
