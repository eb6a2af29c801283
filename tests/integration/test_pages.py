"""The pages of signing in as people meet them: in a real browser, with scripts and without, light and dark, on a
narrow screen, by keyboard alone."""
import contextlib
import os

import pytest

import accessible
import chromium
import idp
import proxy
from bridge import Bridge
from mail_server import MailServer
from ports import free_port
from signin import SignIn
from test_password_pages import CONFIG, GOOD, INVITE, World


@pytest.fixture(name="_runs", scope="module")
def _runs_fixture():
    problem = chromium.missing()
    if problem:
        pytest.skip(problem)


@pytest.fixture(scope="module", name="world")
def make_world(_runs):
    web = free_port()
    # Cookies and labels as with a name of its own.
    config = CONFIG.replace("http://127.0.0.1:{web}", "http://localhost:{web}").replace("delay: 1h", "delay: 1s")
    with MailServer() as mail, Bridge(config.format(web=web, mail=mail.port)) as bridge:
        bridge.ctl("users", "create", "chief", "--profile", "administrator")
        world = World(bridge, mail, web, "localhost")
        world.person("anna")
        yield world


@pytest.fixture(scope="module", name="one", params=[True, False], ids=["scripts", "no scripts"])
def _one(request, _runs):
    with chromium.Chromium(scripts=request.param) as browser:
        yield browser


@pytest.fixture(name="browser")
def _browser(one):
    # Of all hosts, not of the present page alone.
    one.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    one.violations()
    yield one
    # Whatever a test did: no page of ours asked for what its own policy forbids.
    said = one.violations()
    assert not said, said


def look(browser):
    problems = accessible.look(browser)
    assert not problems, "\n".join(problems)


def wait_for_focus(browser, name):
    """A field has it once the page is drawn."""
    browser.wait(lambda driver: driver.switch_to.active_element.get_attribute("name") == name, f"the focus on {name}")
    return browser.driver.switch_to.active_element


def sign_in(world, browser, name="anna", password=GOOD):
    browser.open(world.url + "/login")
    browser.fill(username=name, password=password)


def test_sign_in(world, browser):
    browser.open(world.url + "/")
    look(browser)
    browser.click("a.btn")
    browser.wait_for("[name=password]")
    wait_for_focus(browser, "username")
    look(browser)
    browser.fill(username="anna", password="not this one")
    assert "is not right" in browser.wait_for_text("is not right")
    assert browser.driver.title == "Problem: Sign in"
    wait_for_focus(browser, "password")
    assert browser.wait_for("[name=username]").get_attribute("value") == "anna"
    look(browser)
    browser.fill(password=GOOD)
    browser.wait_for_text("You are signed in")
    look(browser)
    browser.open(world.url + "/logout")
    look(browser)
    assert browser.wait_for("main a[href='/']").text == "Stay signed in"
    browser.click("button")
    browser.wait_for_text("You are signed out")
    look(browser)


@pytest.fixture(scope="module", name="proxied")
def make_proxied(_runs):
    """The same behind nginx, with an application on a host of its own."""
    if not proxy.is_installed():
        pytest.skip("needs nginx")
    with contextlib.ExitStack() as stack:
        mail = stack.enter_context(MailServer())
        bridge = Bridge("")
        stack.callback(bridge.close)
        os.chmod(bridge.folder, 0o711)
        socket = bridge.folder / "web.sock"
        nginx = stack.enter_context(proxy.Nginx(socket, ["app.localhost"], login_host="localhost"))
        group = ", group: www-data" if os.geteuid() == 0 else ""
        config = CONFIG.replace("http://127.0.0.1:{web}", "http://localhost:{web}").replace(
            'listeners: ["127.0.0.1:{web}"]', f'listeners: [{{{{address: "unix:{socket}"{group}}}}}]')
        bridge.write_config(config.format(web=nginx.port, mail=mail.port))
        bridge.start()
        bridge.ctl("users", "create", "chief", "--profile", "administrator")
        world = World(bridge, mail, nginx.port, "localhost")
        world.person("anna")
        yield world


def test_on_to_an_application(proxied, browser):
    """Of another site: browsers hold what follows a form to the form's policy."""
    browser.open(proxied.application + "there")
    browser.wait_for("[name=username]")
    browser.fill(username="anna", password="not this one")
    browser.wait_for_text("is not right")
    browser.fill(password=GOOD)
    assert '["Remote-User", "anna"]' in browser.wait_for_text('"Remote-User"')
    assert browser.driver.current_url == proxied.application + "there"


@pytest.fixture(scope="module", name="mixed")
def make_mixed(_runs):
    """An identity provider beside passwords."""
    if not (idp.is_installed() and proxy.is_installed()):
        pytest.skip("needs SimpleSAMLphp and nginx")
    with MailServer() as mail:
        web = f"""
mail: {{url: "smtp://127.0.0.1:{mail.port}", from: bridge@acme.example}}
passwords: {{enabled: true, memory: 8MiB, operations: 1}}
"""
        with SignIn(web=web) as world:
            world.letters = World(world.bridge, mail, 0)
            yield world


def test_the_identity_provider_beside_passwords(mixed, browser):
    browser.open(mixed.application_url + "there")
    browser.wait_for_text("With your organization's account")
    look(browser)
    browser.fill(username="anna", password="not a password of ours")
    browser.wait_for_text("is not right")
    browser.driver.find_element(chromium.By.LINK_TEXT, "acme").click()
    browser.give_password("anna")
    if not browser.scripts:
        # The provider's own page asks for a click then.
        browser.press_on()
    assert '["Remote-User", "anna"]' in browser.wait_for_text('"Remote-User"')
    assert browser.driver.current_url == mixed.application_url + "there"


def test_an_invite_needs_no_password_where_there_is_an_identity_provider(mixed, browser):
    name = "mixed-" + ("with" if browser.scripts else "without")
    mixed.bridge.ctl("invites", "create", f"{name}@acme.example", "--profile", "member")
    browser.open(INVITE.search(mixed.letters.letter())[0])
    browser.wait_for_text("Without a password")
    look(browser)
    browser.click("button[name=without]")
    browser.wait_for_text("Your account is ready")
    look(browser)
    assert mixed.bridge.ctl("users", "show", f"{name}@acme.example")["active"]


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone makes such links")
def test_a_link_of_roots(world, browser):
    browser.open(world.bridge.ctl("login-link", "chief")["url"])
    browser.wait_for_text("You are about to sign in as chief")
    look(browser)
    browser.click("button")
    browser.wait_for_text("You are signed in")
    look(browser)


def test_before_anything_is_set_up(browser):
    web = free_port()
    with Bridge(f"public_url: http://localhost:{web}\nlisteners: ['127.0.0.1:{web}']\n"):
        browser.open(f"http://localhost:{web}/login")
        browser.wait_for_text("rolebridgectl login-link NAME")
        look(browser)


def test_keyboard_alone(world, browser):
    browser.open(world.url + "/login")
    wait_for_focus(browser, "username").send_keys("anna", chromium.Keys.TAB)
    wait_for_focus(browser, "password").send_keys(GOOD, chromium.Keys.TAB)
    button = browser.driver.switch_to.active_element
    assert button.text == "Sign in"
    button.send_keys(chromium.Keys.SPACE)
    browser.wait_for_text("You are signed in")


def test_forgotten(world, browser):
    browser.open(world.url + "/login")
    browser.driver.find_element(chromium.By.LINK_TEXT, "Forgotten your password?").click()
    browser.wait_for_text("good for an hour")
    look(browser)
    browser.fill(username="anna")
    browser.wait_for_text("Look into your mailbox")
    look(browser)
    link = world.link()
    browser.open(link)
    look(browser)
    browser.fill(new_password=GOOD, repeat_password=GOOD + "!")
    browser.wait_for_text("These two are not the same.")
    wait_for_focus(browser, "repeat-password")
    look(browser)
    browser.fill(new_password=GOOD, repeat_password=GOOD)
    browser.wait_for_text("Your password is set")
    look(browser)
    browser.open(link)
    browser.wait_for_text("This link was used")
    look(browser)


def test_invited(world, browser):
    name = "new-" + ("with" if browser.scripts else "without")
    world.bridge.ctl("invites", "create", f"{name}@acme.example", "--profile", "viewer")
    browser.open(INVITE.search(world.letter())[0])
    browser.wait_for_text("You are invited")
    look(browser)
    browser.fill(new_password=GOOD, repeat_password=GOOD)
    browser.wait_for_text("Your account is ready")
    look(browser)
    sign_in(world, browser, f"{name}@acme.example")
    browser.wait_for_text("You are signed in")


@pytest.mark.parametrize("path, text", [("/nothing", "There is nothing at this address"),
                                        ("/login?return=https://evil.example/", "belongs to no application"),
                                        ("/invite/xyz", "ask whoever invited you"), ("/password/reset/xyz", "Send another link")])
def test_refusals(world, browser, path, text):
    browser.open(world.url + path)
    browser.wait_for_text(text)
    browser.wait_for_text("tell your administrator this reference")
    look(browser)


def test_a_form_that_is_too_old(world, browser):
    browser.open(world.url + "/login")
    browser.driver.delete_all_cookies()
    browser.fill(username="anna", password=GOOD)
    browser.wait_for_text("This form was too old")
    browser.fill(password=GOOD)
    browser.wait_for_text("You are signed in")


def test_two_tabs(world, browser):
    browser.open(world.url + "/login")
    first = browser.driver.current_window_handle
    browser.driver.switch_to.new_window("tab")
    if not browser.scripts:
        browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.open(world.url + "/login")
    browser.driver.switch_to.window(first)
    browser.fill(username="anna", password=GOOD)
    browser.wait_for_text("You are signed in")


def test_styles_are_fetched_once(world, browser):
    """Their addresses say what is in them."""
    browser.open(world.url + "/login")
    styles = [link.get_attribute("href") for link in browser.driver.find_elements(chromium.By.CSS_SELECTOR,
                                                                                 "link[rel=stylesheet]")]
    assert len(styles) == 2
    for url in styles:
        page = world.get(url)
        assert page.headers["Content-Type"].startswith("text/css") and "immutable" in page.headers["Cache-Control"]
        assert page.headers["Content-Encoding"] == "gzip" and page.headers["Vary"] == "Accept-Encoding"
        plain = world.get(url, {"Accept-Encoding": "gzip;q=0, br"})
        assert "Content-Encoding" not in plain.headers and plain.content == page.content
        stem, _, ending = url.rpartition("-")
        old = world.get(stem + "-0123456789abcdef." + ending.rsplit(".", 1)[1])
        assert old.status_code == 200 and old.headers["Cache-Control"] == "no-cache" and old.content == page.content
    assert world.get(world.url + "/.rolebridge/other.css").status_code == 404
