"""Signing in with a real IdP (SimpleSAMLphp), a real nginx and an application behind it."""
import time

import pytest

import idp
import proxy
from signin import PEOPLE, SignIn

pytestmark = pytest.mark.skipif(not (idp.is_installed() and proxy.is_installed()),
                                reason="needs SimpleSAMLphp and nginx")


@pytest.fixture(name="world", scope="module")
def _world():
    with SignIn() as world:
        yield world


def headers_of(page):
    assert page.status_code == 200, page.text[:2000]
    seen = {}
    for name, value in page.json()["headers"]:
        seen.setdefault(name.lower(), []).append(value)
    return seen


def remote(page, name):
    values = headers_of(page).get(f"remote-{name}", [])
    assert len(values) <= 1, values
    return values[0] if values else None


def test_sign_in_reaches_the_application_with_attributes(world):
    browser, page = world.sign_in("anna")
    assert page.url == world.application_url
    assert remote(page, "user") == "anna"
    assert remote(page, "email") == "anna@acme.example"
    # nginx hands bytes on; Python's server reads them as Latin-1.
    assert remote(page, "name").encode("latin-1").decode() == "Anna Müller"
    assert remote(page, "profile") == "member"
    assert remote(page, "roles") == "researcher"
    user = world.bridge.ctl("users", "show", "anna")
    assert remote(page, "id") == user["id"]
    why = world.bridge.ctl("why", "anna")
    assert "acme:r&d" in why["identities"][0]["groups"]
    # The second request needs nobody but the daemon.
    before = len(browser.trail)
    assert browser.get(world.application_url).status_code == 200
    assert len(browser.trail) == before + 1


def test_stranger_is_sent_to_sign_in(world):
    page = world.browser().request("GET", world.application_url)
    assert page.status_code == 302
    assert page.headers["Location"].startswith(world.proxy.url("app.localhost", "/.rolebridge/start?return="))


def test_person_without_what_the_application_requires(world):
    _, page = world.sign_in("cleo")
    assert page.status_code == 403
    assert "reference" in page.text
    assert "no-profile" in world.refusals()[-1]
    assert world.bridge.run("users", "show", "cleo").returncode == 1


def test_forged_headers_do_not_reach_the_application(world):
    browser, _ = world.sign_in("bert")
    forged = {"Remote-User": "root", "Remote_User": "root", "REMOTE-PROFILE": "administrator",
              "Remote-Roles": "everything", "Remote_Roles": "everything", "remote-id": "0"}
    page = browser.get(world.application_url, headers=forged)
    seen = headers_of(page)
    assert seen["remote-user"] == ["bert"]
    assert seen["remote-profile"] == ["member"]
    assert "remote-roles" not in seen or seen["remote-roles"] == [""]
    assert not [name for name in seen if name.startswith("remote_")]
    assert seen["remote-id"] != ["0"]


def test_cookies_of_the_daemon_do_not_reach_the_application(world):
    browser, _ = world.sign_in("bert")
    browser.session.cookies.set("own", "yes", domain="app.localhost", path="/")
    page = browser.get(world.application_url)
    cookies = " ".join(headers_of(page).get("cookie", []))
    assert "rolebridge" not in cookies
    assert "own=yes" in cookies


def test_forged_forwarded_headers_are_not_believed(world):
    """Somebody signed in for one host says to be asking for another."""
    browser, _ = world.sign_in("bert")
    page = browser.request("GET", world.application_url,
                           headers={"X-Forwarded-Host": "localhost", "X-Forwarded-Uri": "/other"})
    assert page.status_code == 200
    assert remote(page, "user") == "bert"


def test_application_token_opens_nothing_else(world):
    browser, _ = world.sign_in("bert")
    token = browser.cookies(world.application_url)["rolebridge-app"]
    stranger = world.browser()
    page = stranger.request("GET", world.public_url + "/", cookies={"rolebridge": token})
    assert "signed in" not in page.text
    page = stranger.request("GET", world.application_url, cookies={"rolebridge-app": token})
    assert page.status_code == 200
    own = browser.cookies(world.public_url)["rolebridge"]
    page = stranger.request("GET", world.application_url, cookies={"rolebridge-app": own})
    assert page.status_code == 302


def test_logout_here_ends_it_everywhere(world):
    browser, _ = world.sign_in("bert")
    page = browser.get(world.public_url + "/logout")
    page = browser.submit(page)
    assert page.status_code == 200
    assert "signed out" in page.text
    assert browser.request("GET", world.application_url).status_code == 302
    # The IdP was told: it asks for the password again.
    page = browser.get(world.application_url)
    assert "password" in page.text


def test_logout_needs_the_form_of_this_session(world):
    browser, _ = world.sign_in("bert")
    page = browser.request("POST", world.public_url + "/logout", data={"csrf": "x" * 43})
    assert page.status_code == 403
    assert browser.request("GET", world.application_url).status_code == 200


def test_logout_at_the_idp_ends_it_here(world):
    browser, _ = world.sign_in("anna")
    browser.get(world.idp.url + "saml2/idp/SingleLogoutService.php?ReturnTo=" + world.public_url + "/healthz")
    assert browser.request("GET", world.application_url).status_code == 302
    ends = [row for row in world.bridge.ctl("audit", "list", "--limit", "50")["rows"]
            if "idp-logout" in str(row["detail"])]
    assert ends and ends[-1]["actor"] == "saml:acme"


def test_answer_is_used_once(world):
    browser = world.browser()
    form = browser.sign_in(world.application_url, "bert", stop_at=world.acs)
    assert browser.follow(browser.request("POST", form.url, data=form.fields)).status_code == 200
    again = world.browser()
    page = again.request("POST", form.url, data=form.fields)
    assert page.status_code == 403
    page = browser.request("POST", form.url, data=form.fields)
    assert page.status_code == 403
    reasons = world.refusals()[-2:]
    assert len(reasons) == 2 and all("in-response-to" in reason for reason in reasons), reasons


def test_answer_is_no_good_in_another_browser(world):
    """Login CSRF: the attacker's answer in the victim's browser."""
    attacker = world.browser()
    form = attacker.sign_in(world.application_url, "bert", stop_at=world.acs)
    victim = world.browser()
    victim.get(world.application_url)
    page = victim.request("POST", form.url, data=form.fields)
    assert page.status_code == 403
    assert "rolebridge" not in victim.cookies(world.public_url)


def test_hostile_relay_state_leads_nowhere(world):
    browser = world.browser()
    form = browser.sign_in(world.application_url, "bert", stop_at=world.acs)
    form.fields["RelayState"] = "https://evil.example/"
    page = browser.request("POST", form.url, data=form.fields)
    assert page.status_code == 403


def test_return_only_to_applications(world):
    page = world.browser().request("GET", world.public_url + "/login?return=https://evil.example/")
    assert page.status_code == 400
    page = world.browser().request(
        "GET", world.proxy.url("app.localhost", "/.rolebridge/start?return=http://localhost/"))
    assert page.status_code == 400


def test_handoff_needs_the_browser_that_began(world):
    browser = world.browser()
    browser.sign_in(world.application_url, "anna")
    stranger = world.browser()
    # A code made for the first browser, opened in another.
    start = browser.request("GET", world.proxy.url("app.localhost", "/.rolebridge/start?return=") + world.application_url)
    code = browser.request("GET", start.headers["Location"]).headers["Location"]
    assert "code=" in code
    page = stranger.request("GET", code)
    assert page.status_code == 403
    assert "rolebridge-app" not in stranger.cookies(world.application_url)


def test_role_change_is_seen_at_the_next_login(world):
    people = {name: dict(values) for name, values in PEOPLE.items()}
    people["bert"]["groups"] = ["staff", "R&D"]
    _, page = world.sign_in("bert")
    assert not remote(page, "roles")
    world.idp.set_people(people)
    try:
        _, page = world.sign_in("bert")
        assert remote(page, "roles") == "researcher"
    finally:
        world.idp.set_people(PEOPLE)
    _, page = world.sign_in("bert")
    assert not remote(page, "roles")


def test_disable_means_now(world):
    browser, _ = world.sign_in("bert")
    world.bridge.ctl("users", "disable", "bert")
    try:
        assert browser.request("GET", world.application_url).status_code == 302
        # The IdP still vouches for him.
        page = browser.submit(browser.get(world.application_url))
        assert page.status_code == 403
        assert "disabled" in world.refusals()[-1]
    finally:
        world.bridge.ctl("users", "enable", "bert")
    _, page = world.sign_in("bert")
    assert page.status_code == 200


def test_administrator_ends_sessions(world):
    browser, _ = world.sign_in("anna")
    mine = world.bridge.ctl("sessions", "list", "--user", "anna")["sessions"]
    assert mine and mine[-1]["source"] == "acme"
    world.bridge.ctl("sessions", "end", mine[-1]["id"])
    assert browser.request("GET", world.application_url).status_code == 302
    first, _ = world.sign_in("anna")
    assert world.bridge.ctl("sessions", "end", "--user", "anna")["ended"] >= 1
    assert first.request("GET", world.application_url).status_code == 302
    assert world.bridge.ctl("sessions", "list", "--user", "anna")["sessions"] == []


def test_administrator_tests_a_login(world):
    browser, _ = world.sign_in("root")
    before = len(world.bridge.ctl("sessions", "list")["sessions"])
    page = world.test_login(browser, "root")
    assert page.status_code == 200
    for text in ("audience", "destination", "passed", "acme:admins", "administrator", "root@acme.example"):
        assert text in page.text, text
    assert len(world.bridge.ctl("sessions", "list")["sessions"]) == before
    other, _ = world.sign_in("bert")
    assert other.get(world.public_url + "/saml/acme/test").status_code == 403


def test_metadata_and_idp_test(world):
    xml = world.bridge.human("saml", "metadata", "acme").stdout
    assert "AssertionConsumerService" in xml and world.acs in xml
    page = world.browser().get(world.public_url + "/saml/acme/metadata")
    assert page.status_code == 200 and "EntityDescriptor" in page.text
    facts = world.bridge.ctl("idp", "test", "acme")
    assert facts["ready"] and facts["idp"] == world.idp.entity_id
    assert facts["test_url"] == world.public_url + "/saml/acme/test"


def test_sessions_survive_a_restart(world):
    browser, _ = world.sign_in("anna")
    assert world.bridge.stop() == 0
    world.bridge.start()
    page = browser.get(world.application_url)
    assert remote(page, "user") == "anna"


def test_idp_with_a_new_key_after_restart(world):
    world.idp.stop()
    world.idp.new_key()
    world.idp.start()
    world.bridge.ctl("reload")
    end = time.monotonic() + 60
    while time.monotonic() < end:
        _, page = world.sign_in("anna")
        if page.status_code == 200:
            break
        time.sleep(0.2)
    assert remote(page, "user") == "anna"


def test_health(world):
    browser = world.browser()
    assert browser.get(world.public_url + "/healthz").status_code == 200
    assert browser.get(world.public_url + "/readyz").status_code == 200
    metrics = browser.get(world.public_url + "/metrics").text
    assert "rolebridge_sessions" in metrics and "rolebridge_saml_workers 2" in metrics


@pytest.mark.parametrize("algorithm", ["http://www.w3.org/2009/xmlenc11#aes128-gcm",
                                       "http://www.w3.org/2001/04/xmlenc#aes256-cbc"])
def test_encrypted_assertion(algorithm):
    with SignIn(**{"assertion.encryption": True, "sharedkey_algorithm": algorithm}) as world:
        _, page = world.sign_in("anna")
        assert remote(page, "user") == "anna"
