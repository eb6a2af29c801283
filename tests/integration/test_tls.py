"""Signing in over TLS between three sites, by HTTP: what the cookies and headers say, and what works without them."""
import re
import socket
import ssl

import pytest

import idp
import proxy
from browser import Form
from signin import TlsSignIn

pytestmark = pytest.mark.skipif(not (idp.is_installed() and proxy.is_installed()),
                                reason="needs SimpleSAMLphp and nginx")


@pytest.fixture(name="world", scope="module")
def _world():
    with TlsSignIn() as world:
        yield world


def set_cookies(page):
    """{name: attributes as they came} of one answer."""
    found = {}
    for header in page.raw.headers.getlist("Set-Cookie"):
        first, *rest = [part.strip() for part in header.split(";")]
        found[first.partition("=")[0]] = {part.partition("=")[0].lower(): part.partition("=")[2] for part in rest}
    return found


def test_cookies_of_each_step(world):
    browser = world.browser()
    # The application's host: who began this.
    page = browser.request("GET", world.application_url)
    page = browser.request("GET", page.headers["Location"])
    assert set(set_cookies(page)) == {"__Host-rolebridge-nonce"}
    assert set_cookies(page)["__Host-rolebridge-nonce"].items() >= {
        "path": "/", "secure": "", "httponly": "", "samesite": "Lax"}.items()
    # Our host: the login that waits for a POST from another site.
    page = browser.request("GET", page.headers["Location"])
    (name, attributes), = set_cookies(page).items()
    assert re.fullmatch("__Host-rolebridge-login-[0-9a-f]+", name), name
    assert attributes.items() >= {"path": "/", "secure": "", "httponly": "", "samesite": "None"}.items()
    assert 0 < int(attributes["max-age"]) <= 3600
    form = browser.submit(browser.submit(browser.follow(page), username="anna", password="anna"[::-1]), stop_at=world.acs)
    page = browser.request("POST", form.url, data=form.fields)
    cookies = set_cookies(page)
    assert cookies["__Host-rolebridge"].items() >= {"path": "/", "secure": "", "httponly": "", "samesite": "Lax"}.items()
    assert "domain" not in cookies["__Host-rolebridge"]
    assert cookies[name]["max-age"] == "0"
    # And the application's own.
    while "__Host-rolebridge-app" not in set_cookies(page):
        page = browser.request("GET", page.headers["Location"])
    assert page.url.startswith(world.application_url)
    assert set_cookies(page)["__Host-rolebridge-app"].items() >= {
        "path": "/", "secure": "", "httponly": "", "samesite": "Lax"}.items()
    page = browser.follow(page)
    assert page.status_code == 200 and dict(page.json()["headers"])["Remote-User"] == "anna"
    assert "rolebridge" not in str(dict(page.json()["headers"]).get("Cookie"))


@pytest.mark.parametrize("path", ["/", "/login", "/logout", "/nothing", "/healthz", "/saml/acme/metadata"])
def test_headers_of_our_pages(world, path):
    page = world.browser().request("GET", world.public_url + path)
    assert int(page.headers["Strict-Transport-Security"].partition("max-age=")[2].split(";")[0]) >= 31536000 // 2
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert page.headers["X-Frame-Options"] == "DENY"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_no_plain_http_and_no_old_tls(world):
    with socket.create_connection(("127.0.0.1", world.login_port), timeout=60) as plain:
        plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert not plain.recv(100).startswith(b"HTTP/1.1 200")
    context = ssl.create_default_context(cafile=world.authority.certificate)
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with socket.create_connection(("127.0.0.1", world.login_port), timeout=60) as plain:
        with pytest.raises((ssl.SSLError, OSError)):
            context.wrap_socket(plain, server_hostname="localhost")


def test_unprefixed_cookies_count_for_nothing(world):
    """Another port or plain http could have set those."""
    browser = world.browser()
    browser.sign_in(world.application_url, "bert")
    token = browser.cookies(world.application_url)["__Host-rolebridge-app"]
    own = browser.cookies(world.public_url)["__Host-rolebridge"]
    stranger = world.browser()
    assert stranger.request("GET", world.application_url, cookies={"rolebridge-app": token}).status_code == 302
    page = stranger.request("GET", world.public_url + "/", cookies={"rolebridge": own})
    assert "signed in" not in page.text
    page = stranger.request("GET", world.application_url, cookies={"__Host-rolebridge-app": token})
    assert page.status_code == 200


def test_forwarded_headers_at_our_own_listener(world):
    """It stands on TCP and nobody is trusted there: whatever a browser says of hosts is nothing."""
    browser = world.browser()
    browser.sign_in(world.application_url, "bert")
    token = browser.cookies(world.application_url)["__Host-rolebridge-app"]
    page = world.browser().request("GET", world.public_url + "/auth", cookies={"__Host-rolebridge-app": token}, headers={
        "X-Forwarded-Proto": "https", "X-Forwarded-Host": f"app.localhost:{world.port}", "X-Forwarded-Uri": "/"})
    assert page.status_code == 403
    assert not [name for name in page.headers if name.lower().startswith("remote-")]


def logout_request(world, browser):
    """What the IdP's frame asks of us: its LogoutRequest's address."""
    page = browser.request("GET", world.idp.url + "saml2/idp/SingleLogoutService.php?ReturnTo=" + world.public_url + "/healthz")
    for _ in range(10):
        where = page.headers["Location"]
        if where.startswith(world.public_url + "/saml/acme/slo"):
            return where
        page = browser.request("GET", where)
    raise AssertionError("no logout request")


def test_logout_in_a_frame_without_cookies(world):
    browser = world.browser()
    browser.sign_in(world.application_url, "bert")
    where = logout_request(world, browser)
    frame = world.browser()
    page = frame.request("GET", where)
    # The frame is the IdP's page's, so nothing may forbid that; and it goes back with a signed answer.
    assert page.status_code == 302
    assert page.headers["Location"].startswith(world.idp.url + "saml2/idp/SingleLogoutService.php?SAMLResponse=")
    assert "Signature=" in page.headers["Location"]
    assert "X-Frame-Options" not in page.headers
    assert "frame-ancestors" not in page.headers.get("Content-Security-Policy", "")
    assert browser.request("GET", world.application_url).status_code == 302
    # Once: who repeats it ends no later session.
    again, _ = world.sign_in("bert")
    assert frame.request("GET", where).status_code == 403
    assert again.request("GET", world.application_url).status_code == 200
    assert "replayed" in world.refusals("logout.refused")[-1]


@pytest.mark.parametrize("change", ["signature", "no signature", "another query", "unknown algorithm"])
def test_logout_request_that_was_changed_ends_nothing(world, change):
    browser = world.browser()
    browser.sign_in(world.application_url, "bert")
    where = logout_request(world, browser)
    if change == "signature":
        where = re.sub("(Signature=)(.)", lambda found: found[1] + ("A" if found[2] != "A" else "B"), where)
    elif change == "no signature":
        where = re.sub("&(SigAlg|Signature)=[^&]*", "", where)
    elif change == "another query":
        where += "&SAMLRequest=x"
    else:
        where = re.sub("SigAlg=[^&]*", "SigAlg=http%3A%2F%2Fwww.w3.org%2F2000%2F09%2Fxmldsig%23rsa-sha1", where)
    page = world.browser().request("GET", where)
    assert page.status_code in (400, 403, 422)
    assert browser.request("GET", world.application_url).status_code == 200


def test_rotated_certificate_is_served_after_a_reload(world):
    def serial():
        context = ssl.create_default_context(cafile=world.authority.certificate)
        with socket.create_connection(("127.0.0.1", world.login_port), timeout=60) as plain:
            with context.wrap_socket(plain, server_hostname="localhost") as secure:
                return secure.getpeercert()["serialNumber"]
    before = serial()
    world.authority.issue("https", world.NAMES)
    assert serial() == before
    world.bridge.ctl("reload")
    assert serial() != before
    _, page = world.sign_in("anna")
    assert page.status_code == 200


def test_forms_of_the_idp_come_from_another_site(world):
    """A browser sends no Lax cookie with them: the answer must do without our session's."""
    browser = world.browser()
    form = browser.sign_in(world.application_url, "bert", stop_at=world.acs)
    assert isinstance(form, Form)
    waiting = {name: value for name, value in browser.cookies(world.public_url).items() if "login" in name}
    other = world.browser()
    page = other.request("POST", form.url, data=form.fields, cookies=waiting,
                         headers={"Origin": "https://idp.localhost", "Sec-Fetch-Site": "cross-site"})
    assert page.status_code == 303
    assert "__Host-rolebridge" in set_cookies(page)
