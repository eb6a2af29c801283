"""Second factors as people meet them: in a real browser, with scripts and without. Enforced, locked out, let in again."""
import re

import pytest

import accessible
import chromium
from second_factor import CODE, PASSWORD, SecondFactor, is_installed

pytestmark = pytest.mark.skipif(not is_installed(), reason="needs oathtool and nginx")


@pytest.fixture(name="_runs", scope="module")
def _runs_fixture():
    problem = chromium.missing()
    if problem:
        pytest.skip(problem)


@pytest.fixture(scope="module", name="world")
def make_world(_runs):
    with SecondFactor() as world:
        yield world


@pytest.fixture(scope="module", name="one", params=[True, False], ids=["scripts", "no scripts"])
def _one(request, _runs):
    with chromium.Chromium(scripts=request.param) as browser:
        yield browser


@pytest.fixture(name="browser")
def _browser(world, one):
    world.enforce()
    forget(one)
    one.violations()
    yield one
    # Whatever a test did: no page of ours asked for what its own policy forbids.
    said = one.violations()
    assert not said, said


def name_for(browser, name):
    """Each person is met in each kind of browser."""
    return name + ("" if browser.scripts else "-plain")


def look(browser):
    problems = accessible.look(browser)
    assert not problems, "\n".join(problems)


def follow(browser, text):
    """The link that says this."""
    browser.wait(lambda driver: driver.find_element(chromium.By.LINK_TEXT, text).click() or True, text)


def press(browser, text):
    """The button that says this."""
    def found(driver):
        for button in driver.find_elements(chromium.By.TAG_NAME, "button"):
            if button.text.startswith(text):
                # The page may still be scrolling: then it is tried again.
                button.click()
                return True
        return False

    browser.wait(found, text)


def forget(browser):
    """As if it were another browser."""
    browser.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})


def sign_in(world, browser, name, url=None):
    """From the page they wanted, or the door, as far as the password leads."""
    browser.open(url or world.url + "/login")
    browser.wait_for_text("Password")
    browser.fill(username=name, password=PASSWORD)
    # What follows is there: nothing that is opened next comes before the answer.
    browser.wait(lambda driver: not driver.find_elements(chromium.By.NAME, "password"), "the page after the password")


def secret_shown(browser):
    return browser.wait_for("code").text


def add_app(world, browser, called=""):
    """From the page with the ways there are: an app, its secret."""
    follow(browser, "Add authenticator app")
    browser.wait_for_text("Name")
    look(browser)
    browser.fill(name=called)
    secret = secret_shown(browser)
    look(browser)
    image = browser.wait_for("img")
    assert image.size["width"] > 100 and image.size["height"] > 100 and image.get_attribute("alt")
    browser.fill(code=world.code(secret))
    return secret


def test_add_and_use(world, browser):
    name = world.person(name_for(browser, "anna"))
    sign_in(world, browser, name)
    follow(browser, "Password and second factors")
    browser.wait_for_text("You have none yet")
    look(browser)
    secret = add_app(world, browser, "Old phone")
    browser.wait_for_text("Your method was added")
    look(browser)
    press(browser, "Make ten codes")
    browser.wait_for_text("never again")
    look(browser)
    codes = [code.text for code in browser.driver.find_elements(chromium.By.TAG_NAME, "code")]
    assert len(set(codes)) == 10
    follow(browser, "I have them, go on")
    browser.wait_for_text("10 of ten are left")
    browser.wait_for_text("Old phone")
    look(browser)

    # Asked for at the application, to which it leads.
    forget(browser)
    sign_in(world, browser, name, world.crm + "deep?a=b")
    browser.wait_for_text("One more step")
    look(browser)
    browser.fill(code="000000")
    browser.wait_for_text("This code is not right")
    look(browser)
    browser.fill(code=world.code(secret))
    browser.wait_for_text('"Remote-User"')
    assert browser.driver.current_url == world.crm + "deep?a=b"
    # The page before is over: it leads on.
    browser.open(world.url + "/login/factor")
    browser.wait_for_text("You are signed in")

    # One of the printed codes takes its place.
    forget(browser)
    sign_in(world, browser, name)
    follow(browser, "Recovery code")
    browser.wait_for_text("that you printed")
    look(browser)
    browser.fill(code=codes[3].lower().replace("-", " "))
    browser.wait_for_text("You are signed in")
    follow(browser, "Password and second factors")
    browser.wait_for_text("9 of ten are left")


def test_enforced(world, browser):
    """Whoever has none is refused; while grace lasts they come in, and are led to add one."""
    plain = world.person(name_for(browser, "bert"))
    world.enforce("second_factor: {required: all, grace: {sign_ins: 2}}")
    sign_in(world, browser, plain, world.crm)
    browser.wait_for_text("Add a second factor")
    browser.wait_for_text("1 more time after this one")
    look(browser)
    press(browser, "Later")
    browser.wait_for_text('"Remote-User"')

    # The second and last time they do it.
    forget(browser)
    sign_in(world, browser, plain, world.crm)
    browser.wait_for_text("0 more times after this one")
    secret = add_app(world, browser)
    browser.wait_for_text("Recovery codes")
    follow(browser, "Go on without")
    browser.wait_for_text('"Remote-User"')
    assert browser.driver.current_url == world.crm
    forget(browser)
    sign_in(world, browser, plain)
    browser.fill(code=world.code(secret))
    browser.wait_for_text("You are signed in")

    # Somebody else has neither.
    other = world.person(name_for(browser, "cleo"))
    world.enforce("second_factor: {required: all}")
    forget(browser)
    sign_in(world, browser, other)
    browser.wait_for_text("A second factor is required")
    look(browser)
    assert not world.sessions(other)


def test_locked_out_and_let_in(world, browser):
    """The phone is gone: an administrator's code opens the way to add another one, and nothing else."""
    name = name_for(browser, "dora")
    world.with_totp(name)
    world.enforce("second_factor: {required: all}")
    code = world.bridge.ctl("recovery-code", "issue", name)["code"]
    sign_in(world, browser, name, world.crm)
    follow(browser, "Recovery code")
    browser.fill(code=code)
    browser.wait_for_text("Add a second factor")
    look(browser)
    for path in ("/", "/security", "/login"):
        browser.open(world.url + path)
        browser.wait_for_text("Add a second factor")
    assert "Later" not in browser.text()
    secret = add_app(world, browser, "New phone")
    browser.wait_for_text("Recovery codes")
    follow(browser, "Go on without")
    browser.wait_for_text("New phone")

    # The code was good once.
    forget(browser)
    sign_in(world, browser, name)
    follow(browser, "Recovery code")
    browser.fill(code=code)
    browser.wait_for_text("This code")
    browser.open(world.url + "/login/factor?method=totp")
    browser.fill(code=world.code(secret))
    browser.wait_for_text("You are signed in")


@pytest.fixture(scope="module", name="open_world")
def make_open_world(_runs):
    """Where no file says who must prove a second factor."""
    with SecondFactor(policy="") as world:
        yield world


def test_from_enforcing_to_the_last_one_let_in(open_world, browser):
    """Who would be locked out is shown first; an administrator adds a factor; it is enforced; the others are helped."""
    world, ctl = open_world, open_world.bridge.ctl
    ctl("second-factor", "set", "--required", "nobody")
    chief, name = name_for(browser, "boss"), name_for(browser, "anna")
    world.person(chief, "administrator")
    world.person(name)
    looked = ctl("second-factor", "preview", "--required", "all")
    assert {chief, name} <= {person["username"] for person in looked["people"]}
    sign_in(world, browser, chief)
    browser.open(world.url + "/security")
    add_app(world, browser)
    browser.wait_for_text("Your method was added")
    looked = ctl("second-factor", "preview", "--required", "all")
    assert chief not in {person["username"] for person in looked["people"]}
    ctl("second-factor", "set", "--required", "all")

    forget(browser)
    sign_in(world, browser, name)
    browser.wait_for_text("A second factor is required")
    code = ctl("recovery-code", "issue", name)["code"]
    sign_in(world, browser, name, world.crm)
    browser.wait_for_text("Recovery code")
    browser.fill(code=code)
    browser.wait_for_text("Add a second factor")
    secret = add_app(world, browser)
    browser.wait_for_text("Your method was added")
    follow(browser, "Go on without")
    browser.wait_for_text('"Remote-User"')
    assert browser.driver.current_url == world.crm
    forget(browser)
    sign_in(world, browser, name)
    browser.fill(code=world.code(secret))
    browser.wait_for_text("You are signed in")
    world.letter(name, re.compile("code"))


def test_codes_that_are_sent(world, browser):
    name = world.person(name_for(browser, "emil"))
    sign_in(world, browser, name)
    browser.open(world.url + "/security")
    follow(browser, "Add code by e-mail")
    browser.wait_for_text("E-mail address")
    look(browser)
    before = len(world.letters(name, CODE))
    press(browser, "Continue")
    browser.wait_for_text("Six digits, sent to")
    look(browser)
    browser.fill(code=world.letter(name, CODE, before)[1])
    browser.wait_for_text("Your method was added")

    forget(browser)
    sign_in(world, browser, name, world.crm)
    browser.wait_for_text("One more step")
    look(browser)
    before = len(world.letters(name, CODE))
    press(browser, "Send a code to")
    browser.wait_for_text("Code from the e-mail")
    look(browser)
    browser.fill(code=world.letter(name, CODE, before)[1])
    browser.wait_for_text('"Remote-User"')


def test_looking_after_ones_own(world, browser):
    name = name_for(browser, "fred")
    secret = world.with_totp(name)
    sign_in(world, browser, name)
    browser.fill(code=world.code(secret))
    browser.wait_for_text("You are signed in")
    for path, text in (("/security/add/sms", "Phone number"), ("/security/password", "Present password"),
                       ("/security/recovery-codes", "Ten codes on paper"),
                       ("/step-up", "Confirm that it is you"), ("/security/add/nothing", "There is nothing")):
        browser.open(world.url + path)
        browser.wait_for_text(text)
        look(browser)
    browser.open(world.url + "/security/password")
    browser.fill(password="not this one", new_password="five patient otters", repeat_password="five patient otters")
    browser.wait_for_text("This is not your present password")
    look(browser)
    browser.open(world.url + "/security")
    follow(browser, "Change Authenticator app")
    browser.wait_for_text("Remove")
    look(browser)
    browser.fill(name="Left drawer")
    browser.wait_for_text("The method has its new name")
    follow(browser, "Change Left drawer")
    press(browser, "Remove")
    browser.wait_for_text("The method was removed")
    look(browser)


def test_fresh_proof_for_an_application(world, browser):
    """Asked for again where an application wants it newer; nothing to go round in circles for."""
    name = name_for(browser, "gina")
    secret = world.with_totp(name)
    sign_in(world, browser, name, world.vault)
    browser.fill(code=world.code(secret))
    browser.wait_for_text('"Remote-User"')
    world.age(name, 700)
    browser.open(world.vault + "deep")
    browser.wait_for_text("Confirm that it is you")
    look(browser)
    browser.fill(code=world.code(secret))
    browser.wait_for_text('"Remote-User"')
    assert browser.driver.current_url == world.vault + "deep"
    browser.driver.back()
    browser.wait(lambda driver: "Confirm" not in browser.text() or driver.current_url.startswith(world.vault), "a way on")
