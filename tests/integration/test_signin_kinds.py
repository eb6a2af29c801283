"""What IdPs and installations do differently: bindings, metadata, keys, who begins, several sources, listeners."""
import base64
import contextlib
import os
import shutil
import time
import zlib
from urllib.parse import parse_qs, quote, urlsplit

import lxml.etree
import pytest

import idp
import proxy
from browser import Form
from idp import IdentityProvider, make_key
from ports import free_port
from signin import RULES, SignIn

pytestmark = pytest.mark.skipif(not (idp.is_installed() and proxy.is_installed()),
                                reason="needs SimpleSAMLphp and nginx")

BINDING = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-"
PROTOCOL = "{urn:oasis:names:tc:SAML:2.0:protocol}"
PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
WAIT_SECONDS = 120
# Longer ones are dropped.
RELAY_STATE_MAX = 2048


def user_of(page):
    assert page.status_code == 200, page.text[:2000]
    return dict(page.json()["headers"])["Remote-User"]


def begin(world, browser, source="acme"):
    """Our answer that sends the browser to the IdP."""
    return browser.request("GET", f"{world.public_url}/saml/{source}/login")


def request_of(page):
    """The AuthnRequest that a redirect or a form carries, parsed."""
    if page.status_code == 302:
        text = parse_qs(urlsplit(page.headers["Location"]).query)["SAMLRequest"][0]
        return lxml.etree.fromstring(zlib.decompress(base64.b64decode(text), -15))
    return lxml.etree.fromstring(base64.b64decode(Form(page).fields["SAMLRequest"]))


# --- what we ask for ---

def test_nothing_is_asked_for_by_itself():
    with SignIn() as world:
        request = request_of(begin(world, world.browser()))
        assert request.get("ForceAuthn") in (None, "false") and request.get("IsPassive") in (None, "false")
        assert request.find(f"{PROTOCOL}RequestedAuthnContext") is None
        policy = request.find(f"{PROTOCOL}NameIDPolicy")
        assert policy is None or policy.get("Format") is None


def test_sign_in_anew_each_time():
    with SignIn(source="    force_authn: true") as world:
        assert request_of(begin(world, world.browser())).get("ForceAuthn") == "true"
        browser, page = world.sign_in("anna")
        assert user_of(page) == "anna"
        # Ours ends; the IdP still knows the browser and asks all the same.
        world.bridge.ctl("sessions", "end", "--user", "anna")
        page = browser.get(world.application_url)
        assert "password" in page.text
        page = browser.submit(browser.submit(page, username="anna", password="anna"[::-1]))
        assert user_of(page) == "anna"


def test_without_it_the_idp_does_not_ask_again():
    with SignIn() as world:
        browser, _ = world.sign_in("anna")
        world.bridge.ctl("sessions", "end", "--user", "anna")
        page = browser.get(world.application_url)
        assert "password" not in page.text
        assert user_of(browser.submit(page)) == "anna"


def test_requests_by_post():
    both = [f"{BINDING}Redirect", f"{BINDING}POST"]
    with SignIn(source="    request_binding: post", idp_options={"SingleSignOnServiceBinding": both}) as world:
        page = begin(world, world.browser())
        assert page.status_code == 200
        form = Form(page)
        assert form.method == "POST" and form.url.startswith(world.idp.url)
        assert request_of(page).find("{http://www.w3.org/2000/09/xmldsig#}Signature") is not None
        assert world.idp.url.rstrip("/") in page.headers["Content-Security-Policy"]
        _, page = world.sign_in("anna")
        assert user_of(page) == "anna"


def test_format_of_names():
    with SignIn(source=f'    name_id_format: "{PERSISTENT}"') as world:
        policy = request_of(begin(world, world.browser())).find(f"{PROTOCOL}NameIDPolicy")
        assert policy.get("Format") == PERSISTENT
        _, page = world.sign_in("anna")
        assert user_of(page) == "anna"


# --- who begins ---

def start_at_idp(world, browser, relay_state=""):
    url = (f"{world.idp.url}saml2/idp/SSOService.php?spentityid=" +
           quote(f"{world.public_url}/saml/acme/metadata", safe="") + "&RelayState=" + quote(relay_state, safe=""))
    return browser.submit(browser.submit(browser.get(url), username="anna", password="anna"[::-1]))


def test_begun_at_the_idp():
    with SignIn(source="    idp_initiated: true") as world:
        assert user_of(start_at_idp(world, world.browser(), world.application_url + "deep")) == "anna"
        # Not to just anywhere.
        for hostile in ("https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)"):
            page = start_at_idp(world, world.browser(), hostile)
            assert page.url.startswith(world.public_url + "/"), (hostile, page.url)
            assert "Anna" in page.text
        # Where somebody asked, the answer must still be to that.
        _, page = world.sign_in("bert")
        assert user_of(page) == "bert"


def test_begun_at_the_idp_and_not_wanted():
    with SignIn() as world:
        browser = world.browser()
        assert start_at_idp(world, browser, world.application_url).status_code == 403
        assert "rolebridge" not in browser.cookies(world.public_url)
        assert "in-response-to" in world.refusals()[-1]


def test_answer_begun_at_the_idp_is_used_once():
    with SignIn(source="    idp_initiated: true") as world:
        browser = world.browser()
        url = (f"{world.idp.url}saml2/idp/SSOService.php?spentityid=" +
               quote(f"{world.public_url}/saml/acme/metadata", safe=""))
        form = browser.submit(browser.get(url), stop_at=None, username="anna", password="anna"[::-1])
        form = Form(form)
        assert form.url == world.acs
        assert browser.request("POST", form.url, data=form.fields).status_code == 303
        assert world.bridge.stop() == 0
        world.bridge.start()
        world.wait_for_metadata()
        assert world.browser().request("POST", form.url, data=form.fields).status_code == 403
        assert "replay" in world.refusals()[-1]


# --- logout by POST ---

def by_post(world):
    """The IdP sends us its logout requests by POST."""
    slo = f"{world.public_url}/saml/acme/slo"
    world.trust_options["SingleLogoutService"] = [{"Binding": f"{BINDING}POST", "Location": slo}]
    world.trust_us()


@pytest.mark.parametrize("wanted", ["Redirect", "POST"])
def test_logout_by_post_from_the_idp(wanted):
    """wanted: how it takes our answer."""
    with SignIn(idp_options={"SingleLogoutServiceBinding": [f"{BINDING}{wanted}"]}) as world:
        by_post(world)
        browser, _ = world.sign_in("bert")
        page = browser.get(world.idp.url + "saml2/idp/SingleLogoutService.php?ReturnTo=" + world.public_url + "/healthz")
        form = Form(page)
        assert form.url == f"{world.public_url}/saml/acme/slo" and "SAMLRequest" in form.fields
        # In the browser's frame no cookie of ours comes with it.
        frame = world.browser()
        page = frame.request("POST", form.url, data=form.fields)
        if wanted == "POST":
            answer = Form(page)
            assert answer.url.startswith(world.idp.url) and "SAMLResponse" in answer.fields
            assert "frame-ancestors" not in page.headers["Content-Security-Policy"]
            page = browser.follow(browser.request("POST", answer.url, data=answer.fields))
        else:
            assert page.status_code == 302
            page = browser.get(page.headers["Location"])
        # It believed our answer, and goes where it was told.
        assert page.url == world.public_url + "/healthz"
        assert browser.request("GET", world.application_url).status_code == 302
        assert frame.request("POST", form.url, data=form.fields).status_code == 403
        # Changed on the way: ends nothing.
        browser, _ = world.sign_in("bert")
        page = browser.get(world.idp.url + "saml2/idp/SingleLogoutService.php?ReturnTo=" + world.public_url + "/healthz")
        fields = Form(page).fields
        text = base64.b64decode(fields["SAMLRequest"]).replace(b"bert", b"anna")
        fields["SAMLRequest"] = base64.b64encode(text).decode()
        assert frame.request("POST", form.url, data=fields).status_code == 403
        assert browser.request("GET", world.application_url).status_code == 200


def test_nginx_has_room_for_the_longest_answer():
    with SignIn(idp_options={"SingleLogoutServiceBinding": [f"{BINDING}Redirect"]}) as world:
        by_post(world)
        browser, _ = world.sign_in("bert")
        form = Form(browser.get(world.idp.url + "saml2/idp/SingleLogoutService.php?ReturnTo=" + world.public_url))
        page = world.browser().request("POST", form.url, data={**form.fields, "RelayState": "&" * RELAY_STATE_MAX})
        assert page.status_code == 302, page.text
        query = parse_qs(urlsplit(page.headers["Location"]).query)
        assert query["RelayState"] == ["&" * RELAY_STATE_MAX]
        assert 3 * RELAY_STATE_MAX < len(page.headers["Location"]) < 12 * 1024


def test_logout_here_told_by_post():
    with SignIn(idp_options={"SingleLogoutServiceBinding": [f"{BINDING}POST"]}) as world:
        browser, _ = world.sign_in("bert")
        page = browser.submit(browser.get(world.public_url + "/logout"))
        form = Form(page)
        assert form.url.startswith(world.idp.url) and "SAMLRequest" in form.fields
        page = browser.submit(page)
        assert "signed out" in page.text
        assert "password" in browser.get(world.application_url).text


# --- metadata ---

def test_metadata_in_a_file():
    with SignIn(metadata="metadata_file") as world:
        assert user_of(world.sign_in("anna")[1]) == "anna"
        # The IdP has a new key; its new document takes the place of the old.
        world.idp.stop()
        world.idp.new_key()
        world.idp.start()
        assert world.sign_in("anna")[1].status_code == 403
        world.bridge.write("idp.xml", world.idp.metadata())
        world.bridge.ctl("reload")
        wait_until(lambda: world.sign_in("anna")[1].status_code == 200)
        # An emptied one leaves the last good one in force.
        world.bridge.write("idp.xml", "")
        world.bridge.ctl("reload")
        wait_until(lambda: world.bridge.ctl("idp", "test", "acme")["problem"])
        assert user_of(world.sign_in("anna")[1]) == "anna"


def wait_until(condition, seconds=WAIT_SECONDS):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_two_keys_at_once():
    """As an IdP changes its key: both are published, then the other one signs."""
    with SignIn() as world:
        make_key(world.idp.folder / "cert", "new")
        world.idp.set_options(new_privatekey="new.key", new_certificate="new.crt")
        world.bridge.ctl("reload")
        wait_until(lambda: world.bridge.ctl("idp", "test", "acme")["signing_keys"] == 2)
        assert user_of(world.sign_in("anna")[1]) == "anna"
        for name in ("new_privatekey", "new_certificate"):
            del world.idp.options[name]
        world.idp.set_options(privatekey="new.key", certificate="new.crt")
        wait_until(lambda: world.sign_in("anna")[1].status_code == 200)
        world.bridge.ctl("reload")
        wait_until(lambda: world.bridge.ctl("idp", "test", "acme")["signing_keys"] == 1)
        assert user_of(world.sign_in("anna")[1]) == "anna"


def test_workers_go_on_over_a_reload():
    """Unless it has to do with them: what they were told, or a file that they read when they began."""
    def reloaded():
        world.bridge.ctl("reload")
        # Those of before end once nobody uses them any more.
        wait_until(lambda: len(world.bridge.workers()) == 2)
        assert user_of(world.sign_in("anna")[1]) == "anna"
        return world.bridge.workers()

    def changed(name, value):
        setattr(world, name, value)
        world.configure()
        return reloaded()

    with SignIn() as world:
        first = reloaded()
        assert len(first) == 2
        assert changed("web", "log_level: debug") == first
        assert changed("rules", RULES.replace("accounts:read@own", "accounts:read@all")) == first
        # A group that sign-ins have to tell of.
        second = changed("rules", RULES.replace('"acme:staff"', '"acme:staff", "acme:guests"'))
        assert not set(second) & set(first)
        third = changed("source", "    force_authn: true")
        assert not set(third) & set(second)
        key = world.bridge.folder / "sp.key"
        shutil.copy2(key, world.bridge.folder / "same.key")
        os.replace(world.bridge.folder / "same.key", key)
        fourth = reloaded()
        assert not set(fourth) & set(third)
        # None can begin: those of before go on.
        world.bridge.write("sp.key", "no key").chmod(0o600)
        assert reloaded() == fourth
        assert "saml-workers" in str(world.bridge.ctl("status")["alarms"])


def test_new_key_is_fetched_by_itself():
    with SignIn(idp_settings=", refresh: 40s") as world:
        world.idp.stop()
        world.idp.new_key()
        world.idp.start()
        assert world.sign_in("anna")[1].status_code == 403
        first = world.bridge.ctl("idp", "test", "acme")["refreshed"]
        wait_until(lambda: world.bridge.ctl("idp", "test", "acme")["refreshed"] != first)
        wait_until(lambda: world.sign_in("anna")[1].status_code == 200)


# --- two sources ---

@contextlib.contextmanager
def two_sources():
    people = {"dora": {"uid": ["dora"], "mail": ["dora@beta.example"], "displayName": ["Dora"], "groups": ["staff"]}}
    with IdentityProvider(people, host="localhost") as second:
        source = f"""
  - name: beta
    type: saml
    just_in_time: true
    idp: {{metadata_url: "{second.metadata_url}"}}
    may_grant: {{profiles: ["*"]}}
"""
        rules = """
profiles:
  - {name: administrator, permissions: ["*:*@all"]}
  - {name: member, permissions: ["accounts:read@all"]}
rules:
  - {id: staff, groups: ["acme:staff"], grant: {profile: member}}
  - {id: beta-staff, groups: ["beta:staff"], grant: {profile: member}}
policy:
  limits: {first_sync_administrators: true, new_administrators: 100}
"""
        with SignIn(source=source, rules=rules) as world:
            base = f"{world.public_url}/saml/beta"
            second.trust(f"{base}/metadata", f"{base}/acs", f"{base}/slo", world.bridge.folder / "sp.crt")
            world.wait_for_metadata("beta")
            yield world, second


def test_person_chooses_the_source():
    with two_sources() as (world, _):
        browser = world.browser()
        page = browser.get(world.application_url)
        document = lxml.html.fromstring(page.text)
        links = {link.text: link.get("href") for link in document.iter("a")}
        assert set(links) == {"acme", "beta"}
        page = browser.get(world.public_url + links["beta"])
        page = browser.submit(browser.submit(page, username="dora", password="dora"[::-1]))
        assert page.url == world.application_url and user_of(page) == "dora"
        assert world.bridge.ctl("sessions", "list", "--user", "dora")["sessions"][0]["source"] == "beta"


def test_answer_of_the_other_idp():
    """beta's answer for acme's login, and to acme's address."""
    with two_sources() as (world, _):
        browser = world.browser()
        page = browser.follow(begin(world, browser, "beta"))
        page = browser.submit(page, username="dora", password="dora"[::-1])
        form = Form(page)
        assert form.url == f"{world.public_url}/saml/beta/acs"
        waiting = begin(world, browser, "acme")
        page = browser.request("POST", world.acs, data=form.fields)
        assert page.status_code == 403
        relay = parse_qs(urlsplit(waiting.headers["Location"]).query)["RelayState"][0]
        page = browser.request("POST", world.acs, data={**form.fields, "RelayState": relay})
        assert page.status_code == 403
        assert "rolebridge" not in browser.cookies(world.public_url)
        assert world.bridge.ctl("sessions", "list")["sessions"] == []


# --- listeners ---

class TcpSignIn(SignIn):
    """The proxy comes by TCP; trusted_proxies says whether it is believed."""

    def make_proxy(self):
        self.tcp = free_port()
        return self.proxy_class(f"127.0.0.1:{self.tcp}", list(self.hosts), login_host="localhost")

    def listeners(self):
        return f"""
  - {{address: "127.0.0.1:{self.tcp}"}}
"""


def test_trusted_proxy_on_tcp():
    with TcpSignIn(web='trusted_proxies: ["127.0.0.0/8"]') as world:
        _, page = world.sign_in("anna")
        assert user_of(page) == "anna"


def test_proxy_that_is_not_trusted():
    with TcpSignIn(web='trusted_proxies: ["192.0.2.0/24"]') as world:
        assert world.browser().request("GET", world.application_url).status_code == 403
        # Signing in at our own place works: it needs nobody's word.
        browser = world.browser()
        page = browser.submit(browser.follow(begin(world, browser)), username="anna", password="anna"[::-1])
        assert "Anna" in browser.submit(page).text
        assert browser.request("GET", world.application_url).status_code == 403


# --- finding out why ---

def test_trace_logs_what_was_received_without_secrets():
    people = {"anna": {"uid": ["anna"], "mail": ["anna@acme.example"], "groups": ["staff"], "badge": ["s3cr3t-77"]}}
    source = """
    trace: true
    attributes: [{name: badge, sensitive: true}]
"""
    with SignIn(people=people, source=source) as world:
        browser = world.browser()
        form = browser.sign_in(world.application_url, "anna", stop_at=world.acs)
        assert browser.request("POST", form.url, data=form.fields).status_code == 303
        log = world.bridge.logged()
        assert "saml.trace " in log and "outcome=accepted" in log
        assert "saml.trace.check" in log and "check=audience" in log
        assert "anna@acme.example" in log
        assert "received=badge" in log and "s3cr3t-77" not in log
        assert form.fields["SAMLResponse"][:60] not in log
        stranger = world.browser()
        assert stranger.request("POST", form.url, data=form.fields).status_code == 403
        assert "outcome=in-response-to" in world.bridge.logged()


def test_test_login_shows_no_sensitive_value():
    """Declared by the name that rules use or by the one received; not where a rule that matched explains itself."""
    badge, pay = "s3cr3t-77", "p4y-4711"
    people = {"root": {"uid": ["root"], "mail": ["root@acme.example"], "groups": ["admins"], "office": ["Bonn"],
                       "badge": [badge, "another-" + badge], "urn:oid:1.3.6.1.4.1.99.1": [pay]}}
    source = """
    attributes:
      - {name: office}
      - {name: badge, sensitive: true}
      - {name: pay, from: "urn:oid:1.3.6.1.4.1.99.1", sensitive: true}
"""
    rules = RULES.replace("rules:\n", """rules:
  - {id: badges, when: "(&(badge=*)(pay=*)(office=*))", grant: {roles: [researcher]}}
""")
    with SignIn(people=people, source=source, rules=rules) as world:
        browser, _ = world.sign_in("root")
        page = world.test_login(browser, "root")
        assert page.status_code == 200 and "badges" in page.text and "researcher" in page.text
        assert "Bonn" in page.text and "urn:oid:1.3.6.1.4.1.99.1" in page.text
        assert page.text.count("(hidden)") >= 3
        assert badge not in page.text and pay not in page.text
