"""Security keys and passkeys as people use them: Chromium, with an authenticator that ChromeDriver puts there."""
import pytest

import accessible
import chromium
from keys import MISSING, Keys
from second_factor import PASSWORD

if chromium.webdriver:
    from selenium.webdriver.common.virtual_authenticator import VirtualAuthenticatorOptions

CANCELLED = "It was cancelled, or took too long."


@pytest.fixture(name="world", scope="module")
def _world():
    problem = MISSING or chromium.missing()
    if problem:
        pytest.skip(problem)
    with Keys() as world:
        yield world


@pytest.fixture(name="browser")
def _browser():
    with chromium.Chromium() as browser:
        yield browser
        # Whatever a test did: no page of ours asked for what its own policy forbids.
        assert not browser.violations()


def plug_in(browser, verified=True, transport="usb", protocol="ctap2"):
    """A key; without verified it has neither PIN nor finger."""
    options = VirtualAuthenticatorOptions(protocol=protocol, transport=transport, has_resident_key=verified,
                                          has_user_verification=verified, is_user_consenting=True,
                                          is_user_verified=verified)
    browser.driver.add_virtual_authenticator(options)


def sign_in(world, browser, name):
    browser.open(world.url + "/login")
    browser.fill(username=name, password=PASSWORD)


def sign_out(world, browser):
    browser.open(world.url + "/logout")
    browser.click("form button")
    browser.wait_for_text("You are signed out")


def wait_for_start(world, browser):
    """Nothing more is asked."""
    browser.wait(lambda driver: driver.current_url == world.url + "/", "the start page")


def key_button(browser):
    """Once the script has shown it."""
    def shown(driver):
        button = driver.find_element("css selector", "[data-webauthn] button")
        return button if button.is_displayed() and button.is_enabled() else None
    return browser.wait(shown, "the button of the key")


def press(browser):
    key_button(browser).click()


def enrol(world, browser, name="blue"):
    browser.open(world.url + "/security/add/webauthn")
    browser.wait_for("[data-webauthn] input[name=name]").send_keys(name)
    press(browser)


def enrolled(world, browser, name, **options):
    """Somebody new, signed in, with a key that is plugged in."""
    world.person(name)
    plug_in(browser, **options)
    sign_in(world, browser, name)
    wait_for_start(world, browser)
    enrol(world, browser)
    browser.wait(lambda driver: "/add/webauthn" not in driver.current_url, "the page after it")


KINDS = {
    "touch": {"verified": False},
    "pin": {},
    "passkey": {"transport": "internal"},
    "old": {"verified": False, "protocol": "ctap1/u2f"},
}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_enrolled_and_asked_for(world, browser, kind):
    name = f"anna-{kind}"
    enrolled(world, browser, name, **KINDS[kind])
    assert "webauthn" in str(world.rows("factor.enrol")[-1]["detail"])
    sign_out(world, browser)
    sign_in(world, browser, name)
    browser.wait_for_text("One more step")
    # The password alone opens nothing.
    browser.open(world.url + "/security")
    browser.wait_for_text("One more step")
    press(browser)
    browser.wait(lambda driver: driver.current_url == world.url + "/security", "the page they asked for")
    session = world.bridge.ctl("sessions", "list", "--user", name)["sessions"][-1]
    assert session["second_factor"]


def test_where_they_wanted_to_go(world, browser):
    enrolled(world, browser, "bert")
    sign_out(world, browser)
    browser.open(world.url + "/login?return=" + world.url + "/healthz")
    browser.fill(username="bert", password=PASSWORD)
    press(browser)
    browser.wait(lambda driver: driver.current_url == world.url + "/healthz", "the page they asked for")


def test_another_key(world, browser):
    """It is not taken, the page says so, and the right one can be tried on the same page."""
    enrolled(world, browser, "dora")
    credentials = browser.driver.get_credentials()
    sign_out(world, browser)
    browser.driver.remove_virtual_authenticator()
    plug_in(browser)
    sign_in(world, browser, "dora")
    press(browser)
    browser.wait_for_text(CANCELLED)
    browser.driver.remove_virtual_authenticator()
    plug_in(browser)
    browser.driver.add_credential(credentials[0])
    press(browser)
    wait_for_start(world, browser)


def test_twice(world, browser):
    enrolled(world, browser, "emil")
    enrol(world, browser, "again")
    browser.wait_for_text("set up for you already")


def test_a_copied_key(world, browser):
    """The copy knows the secret, but not how often the key was used since."""
    enrolled(world, browser, "fred")
    copied = browser.driver.get_credentials()[0]
    sign_out(world, browser)
    for _ in range(2):
        sign_in(world, browser, "fred")
        press(browser)
        wait_for_start(world, browser)
        sign_out(world, browser)
    browser.driver.remove_virtual_authenticator()
    plug_in(browser)
    browser.driver.add_credential(copied)
    sign_in(world, browser, "fred")
    press(browser)
    browser.wait_for_text("may have been copied")
    assert "webauthn-counter" in str(world.rows("factor.refused")[-1]["detail"])


def look(browser):
    problems = accessible.look(browser)
    assert not problems, "\n".join(problems)


def test_pages_for_everybody(world, browser):
    """Labels, contrast, headings; and without a mouse: the page after a refusal, too."""
    world.person("hans")
    plug_in(browser)
    sign_in(world, browser, "hans")
    wait_for_start(world, browser)
    browser.open(world.url + "/security/add/webauthn")
    key_button(browser)
    look(browser)
    browser.fill(name="by keyboard")
    browser.wait(lambda driver: "webauthn" not in driver.current_url, "the page after it")
    credentials = browser.driver.get_credentials()
    sign_out(world, browser)
    browser.driver.remove_virtual_authenticator()
    plug_in(browser)
    sign_in(world, browser, "hans")
    button = key_button(browser)
    look(browser)
    button.send_keys("\n")
    browser.wait_for_text(CANCELLED)
    # The focus is where they go on.
    assert browser.driver.switch_to.active_element == button
    look(browser)
    browser.driver.execute_script("document.querySelector('form').elements.csrf.value = '';"
                                  "document.querySelector('form').submit();")
    browser.wait_for_text("too old")
    look(browser)
    browser.driver.remove_virtual_authenticator()
    plug_in(browser)
    browser.driver.add_credential(credentials[0])
    browser.open(world.url + "/login/factor")
    key_button(browser).send_keys("\n")
    wait_for_start(world, browser)


def test_without_scripts(world):
    gina = world.person("gina")
    gina.sign_in()
    assert gina.enrol().status_code == 200
    with chromium.Chromium(scripts=False) as browser:
        sign_in(world, browser, "gina")
        browser.wait_for_text("Security keys need JavaScript.")
        assert not browser.driver.find_element("css selector", "[data-webauthn]").is_displayed()
        look(browser)
