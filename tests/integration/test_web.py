"""The web side over plain HTTP, with an IdP that says what the test wants. What a browser or a proxy adds, the test adds."""
import base64
import calendar
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.parse
import zlib
from pathlib import Path

import pytest
import requests

import proxy
from bridge import DAEMON, Bridge
from ports import free_port
from web import Authority

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "attack"))
import forge as f  # noqa: E402

PUBLIC = "https://login.example.com"
APP = "https://app.example.com"
IDP = "https://idp.example/metadata"
IDP_SSO = "https://idp.example/sso"

RULES = """
profiles:
  - {name: administrator, permissions: ["*:*@all"]}
  - {name: member, permissions: ["accounts:read@all"]}
roles:
  - {name: auditor, classifications: [Support], segments: [Core], permissions: ["cases:read@all"]}
  - {name: cashier, classifications: [Support], segments: [Core], permissions: ["cases:*@all"]}
classifications: [Support]
segments: [Core]
rules:
  - {id: admins, groups: ["acme:admins"], grant: {profile: administrator}}
  - {id: staff, groups: ["acme:staff"], grant: {profile: member}}
  - {id: auditors, groups: ["acme:auditors"], grant: {roles: [auditor]}}
policy:
  limits: {first_sync_administrators: true, new_administrators: 100}
"""

APPLICATIONS = f"""
applications:
  - name: crm
    urls: ["{APP}"]
    require: {{profiles: [administrator, member]}}
  - name: books
    urls: ["https://books.example.com"]
    require: {{roles: [auditor]}}
  - name: vault
    urls: ["https://vault.example.com"]
    require: {{roles: [auditor]}}
    keep_on_loss: true
  - {{name: wiki, urls: ["https://wiki.example.com/"], require: {{profiles: [administrator, member]}}}}
  - {{name: wiki-admin, urls: ["https://wiki.example.com/admin/"], require: {{profiles: [administrator]}}}}
  - name: safe
    urls: ["https://safe.example.com"]
    require: {{second_factor: true}}
"""


def idp_metadata(folder, key="idp", entity=IDP, until=""):
    der = base64.b64encode((Path(folder) / f"{key}.der").read_bytes()).decode()
    validity = f' validUntil="{until}"' if until else ""
    binding = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
    return f"""<EntityDescriptor xmlns="{'urn:oasis:names:tc:SAML:2.0:metadata'}" entityID="{entity}"{validity}>
<IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">
<KeyDescriptor use="signing"><KeyInfo xmlns="{f.DS}"><X509Data><X509Certificate>{der}</X509Certificate></X509Data></KeyInfo></KeyDescriptor>
<SingleLogoutService Binding="{binding}" Location="https://idp.example/slo"/>
<SingleSignOnService Binding="{binding}" Location="{IDP_SSO}"/>
</IDPSSODescriptor></EntityDescriptor>"""


def header_values(page, name):
    """All values of a header, as they came."""
    return page.raw.headers.getlist(name)


class Visitor:
    """One browser: cookies by host, as the test wants them; the proxy's headers by hand."""

    def __init__(self, world, address="203.0.113.7"):
        self.world, self.address = world, address
        self.jar = {}

    def ask(self, method, url, headers=None, cookies=True, keep=True, **options):
        parts = urllib.parse.urlsplit(url)
        jar = self.jar.setdefault(parts.netloc, {})
        sent = {"X-Forwarded-Proto": parts.scheme, "X-Forwarded-Host": parts.netloc,
                "X-Forwarded-For": self.address, "Host": parts.netloc}
        if cookies and jar:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in jar.items())
        sent.update(headers or {})
        target = self.world.base + (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        page = requests.request(method, target, headers=sent, allow_redirects=False, timeout=60, **options)
        for line in header_values(page, "Set-Cookie") if keep else []:
            name, value = line.split(";", 1)[0].split("=", 1)
            if "Max-Age=0" in line:
                jar.pop(name, None)
            else:
                jar[name] = value
        return page

    def get(self, url, **options):
        return self.ask("GET", url, **options)

    def auth(self, url, **options):
        """What a proxy asks for a request of this browser."""
        parts = urllib.parse.urlsplit(url)
        headers = {"X-Forwarded-Uri": (parts.path or "/") + (f"?{parts.query}" if parts.query else "")}
        headers.update(options.pop("headers", {}))
        return self.get(f"{parts.scheme}://{parts.netloc}/auth" + options.pop("query", ""), headers=headers, **options)

    def begin(self, url=PUBLIC + "/login"):
        """Until the browser is at the IdP: (request id, relay state)."""
        page = self.get(url)
        assert page.status_code == 302, page.text
        assert page.headers["Location"].startswith(IDP_SSO), page.headers["Location"]
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(page.headers["Location"]).query)
        xml = zlib.decompress(base64.b64decode(query["SAMLRequest"][0]), -15).decode()
        return re.search(r'\bID="([^"]+)"', xml)[1], query["RelayState"][0], xml

    def answer(self, message, relay_state, **options):
        # From the IdP's site: SameSite=Lax cookies stay at home.
        lax = {name: self.jar.get("login.example.com", {}).pop(name, None) for name in ("__Host-rolebridge",)}
        page = self.ask("POST", self.world.acs,
                        data={"SAMLResponse": message, **({"RelayState": relay_state} if relay_state is not None else {})},
                        **options)
        for name, value in lax.items():
            if value is not None:
                self.jar["login.example.com"].setdefault(name, value)
        return page

    def sign_in(self, name="anna", groups=("staff",), **facts):
        request, relay, _ = self.begin()
        page = self.answer(self.world.response(request, name, groups, **facts), relay)
        assert page.status_code == 303, page.text
        return page

    def enter(self, url):
        """From an application's address, signed in, to its token."""
        page = self.auth(url)
        assert page.status_code == 401, page.status_code
        for _ in range(4):
            page = self.get(page.headers["Location"])
            if page.status_code != 302 or page.headers["Location"] == url:
                return page
        raise AssertionError(page.headers["Location"])


class World:
    def __init__(self, source="", web="", rules=RULES, applications=APPLICATIONS, saml="", outgoing=""):
        self.bridge = Bridge("")
        self.folder = self.bridge.folder
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.acs = PUBLIC + "/saml/acme/acs"
        self.forge = f.Forge(self.folder, now=int(time.time()), idp=IDP, sp=PUBLIC + "/saml/acme/metadata",
                             acs=self.acs, slo=PUBLIC + "/saml/acme/slo")
        self.parts = {"source": source, "web": web, "rules": rules, "applications": applications, "saml": saml,
                      "outgoing": outgoing}
        self.bridge.write("idp.xml", idp_metadata(self.folder))
        self.configure()

    def configure(self, **parts):
        self.parts.update(parts)
        self.bridge.write_config(f"""
public_url: {PUBLIC}
listeners: [{{address: "127.0.0.1:{self.port}"}}]
trusted_proxies: ["127.0.0.1"]
saml: {{certificate: "{self.folder}/sp.pem", private_key: "{self.folder}/sp.key", workers: 2{self.parts["saml"]}}}
outgoing: {{allowed_networks: ["127.0.0.0/8"]{self.parts["outgoing"]}}}
sources:
  - name: acme
    type: saml
    just_in_time: true
    may_grant: {{profiles: ["*"], roles: ["*"], personas: ["*"], groups: ["*"]}}
{self.parts["source"] or "    idp: {metadata_file: idp.xml}"}
{self.parts["applications"]}
{self.parts["rules"]}
{self.parts["web"]}
""")

    def __enter__(self):
        try:
            self.bridge.start()
        except BaseException:
            self.bridge.close()
            raise
        return self

    def __exit__(self, *_):
        self.bridge.close()

    def visitor(self, **options):
        return Visitor(self, **options)

    def response(self, request, name="anna", groups=("staff",), change=None, **options):
        forge = self.forge
        forge.now, forge.request = int(time.time()), request
        attributes = [("urn:oid:0.9.2342.19200300.100.1.1", "uid", [name]),
                      ("urn:oid:0.9.2342.19200300.100.1.3", "mail", [f"{name}@acme.example"]),
                      ("groups", None, list(groups))]
        assertion = forge.assertion(attributes)
        f.find(assertion, "saml:Subject/saml:NameID").text = f"id-{name}"
        if change:
            change(assertion)
        response = forge.response(assertion)
        if request is None:
            for element in response.iter():
                element.attrib.pop("InResponseTo", None)
        return f.post(forge.sign(response, assertion, **options)).decode()

    def audit(self, action):
        rows = self.bridge.ctl("audit", "list", "--action", action, "--limit", "1000")["rows"]
        return sorted(rows, key=lambda row: row["seq"])

    def refusals(self):
        return [row["detail"]["reason"] for row in self.audit("login.refused")]

    def sessions(self, user=None):
        return self.bridge.ctl("sessions", "list", *(["--user", user] if user else []))["sessions"]

    def alarms(self):
        return self.bridge.ctl("status")["alarms"]


def eventually(check, seconds=60):
    end = time.monotonic() + seconds
    while True:
        result = check()
        if result or time.monotonic() > end:
            return result
        time.sleep(0.1)


@pytest.fixture(name="world", scope="module")
def _world():
    with World() as world:
        yield world


# --- the road, and what stands beside it ---

def test_sign_in_and_enter_an_application(world):
    anna = world.visitor()
    page = anna.sign_in("anna")
    assert page.headers["Location"] == "/"
    cookie = [line for line in header_values(page, "Set-Cookie") if line.startswith("__Host-rolebridge=")][0]
    assert "; Secure" in cookie and "; HttpOnly" in cookie and "SameSite=Lax" in cookie and "Path=/" in cookie
    page = anna.enter(APP + "/page?x=1")
    assert page.headers["Location"] == APP + "/page?x=1"
    page = anna.auth(APP + "/page")
    assert page.status_code == 200
    assert page.headers["Remote-User"] == "anna"


RETURNS = [
    "https://evil.example/", "//evil.example/", "/\\evil.example/", "https:evil.example", "http://app.example.com/",
    "https://app.example.com@evil.example/", "https://evil.example\\@app.example.com/", "https://app.example.com:444/",
    "https://app.example.com./", "https://app.example.com.evil.example/", "javascript:alert(1)", "data:text/html,x",
    "https://app.example.com%2f.evil.example/", "https://app.example.com%00.evil.example/", "https://аpp.example.com/",
    "https://app.example.com/\r\nX: y", "https://app.example.com/ü", "https://app.example.com/" + "a" * 20000,
    "https://user:pass@app.example.com/", "https:///app.example.com/", "https://app.example.com\t/", " https://app.example.com/",
    "/", "", "login", "https://[::1]/", "https://login.example.com:444/",
]


@pytest.mark.parametrize("target", RETURNS, ids=range(len(RETURNS)))
@pytest.mark.parametrize("signed_in", [False, True])
def test_nobody_is_sent_elsewhere(world, target, signed_in):
    visitor = world.visitor()
    if signed_in:
        visitor.sign_in("anna")
    quoted = urllib.parse.quote(target, safe="")
    for url in (f"{PUBLIC}/login?return={quoted}", f"{PUBLIC}/saml/acme/login?return={quoted}",
                f"{APP}/.rolebridge/start?return={quoted}"):
        page = visitor.get(url, keep=False)
        assert page.status_code in (400, 302, 413, 414), (url, page.status_code, page.text)
        if page.status_code == 302:
            # Said nothing, or something that is ours after all.
            assert target == "" and url.startswith(PUBLIC), url


def test_caseless_host_is_the_same_host(world):
    anna = world.visitor()
    anna.sign_in("anna")
    page = anna.get(PUBLIC + "/login?return=" + urllib.parse.quote("https://APP.example.com:443/x", safe=""))
    assert page.status_code == 302
    page = anna.get(f"{APP}/.rolebridge/start?return=" + urllib.parse.quote("https://APP.example.com:443/x", safe=""))
    assert page.status_code == 302


@pytest.mark.parametrize("relay", RETURNS[:22] + ["/\x07bell", "/ü", "/" + "a" * 70000, "/.rolebridge/../x"],
                         ids=range(26))
def test_relay_state_of_an_unsolicited_answer(idp_initiated, relay):
    visitor = idp_initiated.visitor()
    page = visitor.answer(idp_initiated.response(None, "anna"), relay)
    assert page.status_code in (303, 400, 413), page.text
    if page.status_code == 303:
        location = page.headers["Location"]
        assert location.startswith("/") and location[1:2] not in ("/", "\\"), location
        assert visitor.get(PUBLIC + "/").text.count("You are signed in") == 2


@pytest.fixture(name="idp_initiated", scope="module")
def _idp_initiated():
    with World(source="    idp_initiated: true\n    idp: {metadata_file: idp.xml}") as world:
        yield world


def test_nothing_else_is_left_of_a_sign_in_that_failed(world):
    """A session that no browser holds must not stay behind."""
    before = len(world.sessions())
    visitor = world.visitor()
    request, relay, _ = visitor.begin()
    page = visitor.answer(world.response("_" + "0" * 32, "anna"), relay)
    assert page.status_code == 403
    assert world.refusals()[-1] == "in-response-to-unknown" or "response" in world.refusals()[-1]
    assert len(world.sessions()) == before


def test_long_addresses_do_not_lock_out(world):
    """What is too long to travel through the browser is cut at its query; signing in works all the same."""
    visitor = world.visitor()
    url = APP + "/page?" + "&".join(f"filter%5B{i}%5D=%C3%BC" for i in range(300))
    page = visitor.auth(url)
    assert page.status_code == 401
    assert len(page.headers["Location"]) < 3500
    page = visitor.get(page.headers["Location"])
    assert page.status_code == 302
    request, relay, _ = visitor.begin(page.headers["Location"])
    page = visitor.answer(world.response(request, "anna"), relay)
    assert page.status_code == 303
    for _ in range(4):
        page = visitor.get(page.headers["Location"])
        if page.headers["Location"].startswith(APP + "/page"):
            break
    assert page.headers["Location"] == APP + "/page"
    assert visitor.auth(url).status_code == 200


def test_addresses_that_are_no_urls_do_not_lock_out(world):
    page = world.visitor().auth(APP + "/page?q=<x>")
    assert page.status_code == 401
    assert world.visitor().get(page.headers["Location"]).status_code == 302


def test_many_tabs_keep_the_cookies_few(world):
    """Proxies refuse cookies past 8 KiB: every tab that waits for the IdP costs one."""
    visitor = world.visitor()
    waits = [visitor.begin(PUBLIC + "/login?return=" + urllib.parse.quote(f"{APP}/{'x' * 200}?{i}", safe=""))
             for i in range(40)]
    sent = "; ".join(f"{k}={v}" for k, v in visitor.jar["login.example.com"].items())
    assert len(sent) < 6000, len(sent)
    # The last ones still work, in any order.
    for request, relay, _ in (waits[-2], waits[-1]):
        assert visitor.answer(world.response(request, "anna"), relay).status_code == 303


def test_two_tabs_at_once(world):
    visitor = world.visitor()
    first, second = visitor.begin(), visitor.begin()
    assert visitor.answer(world.response(second[0], "anna"), second[1]).status_code == 303
    assert visitor.answer(world.response(first[0], "anna"), first[1]).status_code == 303
    # Crossed: the answer to one with the other's RelayState.
    visitor = world.visitor()
    first, second = visitor.begin(), visitor.begin()
    assert visitor.answer(world.response(second[0], "anna"), first[1]).status_code == 403


# --- forward-auth ---

def test_auth_without_a_proxy_or_an_application(world):
    visitor = world.visitor()
    assert visitor.auth("https://other.example.com/").status_code == 403
    page = requests.get(world.base + "/auth", timeout=60)
    assert page.status_code == 403
    for missing in ("X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Uri"):
        assert visitor.auth(APP + "/", headers={missing: None}).status_code == 403, missing
    assert visitor.auth(APP + "/", headers={"X-Forwarded-Uri": "x"}).status_code == 403
    for name in header_values(page, "Remote-User"):
        assert not name


@pytest.mark.parametrize("host", ["app.example.com@evil.example", "app.example.com\\", "app.example.com:x",
                                  "app.example.com, evil.example", "app.example.com/", "", "app.example.com.", "app.example.com:444"])
def test_auth_for_hostile_hosts(world, host):
    page = world.visitor().auth(APP + "/", headers={"X-Forwarded-Host": host})
    assert page.status_code in (400, 403)


def test_auth_sends_to_the_name_that_is_configured(world):
    page = world.visitor().auth(APP + "/x", headers={"X-Forwarded-Host": "APP.Example.COM:443"})
    assert page.status_code == 401
    assert page.headers["Location"].startswith(APP + "/.rolebridge/start?return=")
    assert page.headers["Cache-Control"] == "no-store"
    page = world.visitor().auth(APP + "/x", query="?redirect=1")
    assert page.status_code == 302


def test_scheme_of_the_hand_off(world):
    """What was begun over https is not finished over http, where the cookie could be seen."""
    anna = world.visitor()
    anna.sign_in("anna")
    page = anna.get(anna.auth(APP + "/").headers["Location"])
    page = anna.get(page.headers["Location"])
    page = anna.get(page.headers["Location"], headers={"X-Forwarded-Proto": "http"},)
    assert page.status_code in (400, 403)
    assert not header_values(page, "Set-Cookie")


def test_code_is_good_once_and_for_its_host(world):
    anna = world.visitor()
    anna.sign_in("anna")
    page = anna.get(anna.auth(APP + "/").headers["Location"])
    finish = anna.get(page.headers["Location"]).headers["Location"]
    other = finish.replace("app.example.com", "wiki.example.com")
    anna.jar["wiki.example.com"] = dict(anna.jar["app.example.com"])
    assert anna.get(other).status_code == 403
    assert anna.get(finish).status_code == 403
    page = anna.get(anna.get(anna.auth(APP + "/").headers["Location"]).headers["Location"])
    finish = page.headers["Location"]
    assert anna.get(finish).status_code == 302
    again = anna.get(finish)
    assert again.status_code == 403
    assert not header_values(again, "Set-Cookie")


def many_roles(count):
    """Rules by which the group many-COUNT has so many roles with long names."""
    names = [f"r-{i}-{'x' * 50}" for i in range(count)]
    roles = "".join(f'  - {{name: {name}, classifications: [Support], segments: [Core], permissions: ["cases:read@all"]}}\n'
                    for name in names)
    rules = RULES.replace("classifications: [Support]\nsegments", roles + "classifications: [Support]\nsegments", 1)
    return rules.replace("policy:", f"""\
  - {{id: many, groups: ["acme:many"], grant: {{roles: [{", ".join(names)}]}}}}
  - {{id: some, groups: ["acme:some"], grant: {{roles: [{", ".join(names[:count // 4])}]}}}}
policy:""")


@pytest.mark.skipif(not proxy.is_installed(), reason="needs nginx")
def test_headers_too_large_for_proxies_are_a_clear_no():
    world = World(rules=many_roles(1000))
    with proxy.Nginx(world.folder / "web.sock", ["app.localhost"]) as nginx, world:
        app = nginx.url("app.localhost", "")
        text = world.bridge.config.read_text().replace(f'"{APP}"', f'"{app}"')
        text = text.replace("listeners: [", f'listeners: [{{address: "unix:{world.folder}/web.sock"}}, ')
        world.bridge.write("rolebridge.yaml", text)
        world.bridge.stop()
        world.bridge.start()
        for group, status in (("many", 403), ("some", 200)):
            visitor = world.visitor()
            visitor.sign_in(group, ["staff", group])
            visitor.enter(app + "/")
            cookie = "rolebridge-app=" + visitor.jar[app[7:]]["rolebridge-app"]
            page = requests.get(f"http://127.0.0.1:{nginx.port}/", timeout=60,
                                headers={"Host": app[7:], "Cookie": cookie})
            assert page.status_code == status, nginx.logged()
            page = visitor.auth(app + "/")
            assert page.status_code == status
            assert ("Remote-User" in page.headers) == (status == 200)
        assert "auth.headers-too-large" in world.bridge.logged()
        # What a sign-in says to a browser must fit into what proxies take by default.
        visitor = world.visitor()
        page = visitor.get(PUBLIC + "/login?return=" + urllib.parse.quote(app + "/" + "x" * 900, safe=""))
        size = sum(len(name) + len(value) + 4 for name, value in page.raw.headers.items())
        assert size < 8000, size


def test_loss_ends_the_session(world):
    anna = world.visitor()
    anna.sign_in("ada", ["staff", "auditors"])
    for host in ("books", "vault"):
        anna.enter(f"https://{host}.example.com/")
    assert anna.auth("https://books.example.com/").status_code == 200
    # Another sign-in of the same person, without the group.
    world.visitor().sign_in("ada", ["staff"])
    assert anna.auth("https://vault.example.com/").status_code == 403
    page = anna.auth("https://books.example.com/")
    assert page.status_code == 403
    assert eventually(lambda: anna.auth("https://books.example.com/").status_code == 401)
    ends = [row for row in world.audit("session.end") if row["detail"].get("why") == "access-lost"]
    assert len(ends) == 1, ends


def test_loss_is_kept_where_it_is_said(world):
    bea = world.visitor()
    bea.sign_in("bea", ["staff", "auditors"])
    bea.enter("https://vault.example.com/")
    world.visitor().sign_in("bea", ["staff"])
    assert bea.auth("https://vault.example.com/").status_code == 403
    time.sleep(7)
    assert bea.auth("https://vault.example.com/").status_code == 403
    world.visitor().sign_in("bea", ["staff", "auditors"])
    assert bea.auth("https://vault.example.com/").status_code == 200


def test_another_application_of_the_host_is_no_loss(world):
    cid = world.visitor()
    cid.sign_in("cid", ["staff"])
    cid.enter("https://wiki.example.com/")
    assert cid.auth("https://wiki.example.com/admin/").status_code == 403
    time.sleep(7)
    assert cid.auth("https://wiki.example.com/").status_code == 200


def test_second_factor_that_is_lacking_can_be_made_up(world):
    dora = world.visitor()
    dora.sign_in("dora", ["staff"])
    page = dora.auth("https://safe.example.com/")
    assert page.status_code == 401
    page = dora.get(dora.get(page.headers["Location"]).headers["Location"])
    assert page.status_code == 302 and page.headers["Location"].startswith("/step-up?")
    page = dora.get(PUBLIC + page.headers["Location"])
    assert page.status_code == 403
    link = re.search(r'href="(/saml/acme/login\?[^"]*)"', page.text)
    assert link, page.text
    _, _, xml = dora.begin(PUBLIC + link[1].replace("&amp;", "&"))
    assert 'ForceAuthn="true"' in xml


def test_figures_are_not_for_the_public(world):
    assert world.visitor().get(PUBLIC + "/metrics").status_code == 404
    assert requests.get(world.base + "/metrics", timeout=60).status_code == 200
    assert world.visitor(address="127.0.0.1").get(PUBLIC + "/metrics").status_code == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
def test_other_methods(world, method):
    for path in ("/login", "/auth", "/logout", "/saml/acme/acs", "/.rolebridge/finish"):
        assert world.visitor().ask(method, PUBLIC + path).status_code in (400, 405, 501), path


def test_pages_are_not_framed_or_kept(world):
    for path in ("/", "/login?return=x", "/logout", "/nothing"):
        page = world.visitor().get(PUBLIC + path)
        assert page.headers["Cache-Control"] == "no-store"
        assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
        assert page.headers["X-Frame-Options"] == "DENY"


def test_log_holds_no_secret(world):
    anna = world.visitor()
    request, relay, _ = anna.begin()
    message = world.response(request, "anna")
    anna.answer(message, relay)
    anna.enter(APP + "/")
    secrets = [message[:200], *(v for jar in anna.jar.values() for v in jar.values())]
    page = anna.get(APP + "/.rolebridge/finish?code=verysecretcode")
    assert page.status_code == 403
    logged = world.bridge.logged()
    assert not [s for s in secrets if s in logged] and "verysecretcode" not in logged


# --- logging out ---

def test_logout_request_over_the_wire(world):
    eve = world.visitor()
    eve.sign_in("eve")
    forge = world.forge
    forge.now = int(time.time())
    request = forge.logout_request()
    f.find(request, "saml:NameID").text = "id-eve"
    query = f.redirect(forge, request).decode()
    page = eve.get(f"{PUBLIC}/saml/acme/slo?{query}x")
    assert page.status_code in (400, 403)
    assert len(world.sessions("eve")) == 1
    page = world.visitor().get(f"{PUBLIC}/saml/acme/slo?{query}")
    assert page.status_code == 302 and page.headers["Location"].startswith("https://idp.example/slo?")
    assert world.sessions("eve") == []
    before = len(world.refusals())
    page = world.visitor().get(f"{PUBLIC}/saml/acme/slo?{query}")
    assert page.status_code == 403
    assert world.audit("logout.refused")[-1]["detail"]["reason"] == "replayed"
    assert len(world.refusals()) == before


# --- rate limits, workers that die ---

def test_worker_that_dies_costs_one_request(world):
    for pid in world.bridge.workers():
        os.kill(pid, signal.SIGSEGV)
    fay = world.visitor()
    assert eventually(lambda: fay.get(PUBLIC + "/login").status_code == 302)
    fay.sign_in("fay")


@pytest.fixture(name="other", scope="module")
def _other():
    """For what leaves thousands of rows in the audit log."""
    with World() as world:
        yield world


def test_flood_of_answers_leaves_those_who_wait(other):
    """Somebody behind the same address sends rubbish: who has begun a sign-in can end it."""
    gus = other.visitor(address="198.51.100.1")
    request, relay, _ = gus.begin()
    session = requests.Session()
    codes = []
    # Each second gives some back: on a slow machine it takes more of them.
    for _ in range(20000):
        page = session.post(other.base + "/saml/acme/acs", data={"SAMLResponse": "!"},
                            headers={"X-Forwarded-For": "198.51.100.1"}, timeout=60)
        codes.append(page.status_code)
        if page.status_code == 429:
            break
    assert codes[-1] == 429 and "Retry-After" in page.headers
    assert gus.answer(other.response(request, "gus"), relay).status_code == 303


def test_flood_of_logins_writes_nothing(other):
    database = sqlite3.connect(other.folder / "store.db")
    before, begun = database.execute("PRAGMA data_version").fetchone(), time.monotonic()
    session = requests.Session()
    for _ in range(200):
        assert session.get(other.base + "/login", headers={"X-Forwarded-For": "198.51.100.2"}, timeout=60,
                           allow_redirects=False).status_code == 302
    after = database.execute("PRAGMA data_version").fetchone()
    database.close()
    # Upkeep may come in between, once a minute.
    assert after[0] - before[0] <= 1 + (time.monotonic() - begun) / 60


# --- metadata, start-up, reload, shutdown ---

def test_expired_metadata_refuses_at_once():
    world = World()
    until = f.timestamp(int(time.time()) + 40)
    world.bridge.write("idp.xml", idp_metadata(world.folder, until=until))
    with world:
        visitor = world.visitor()
        request, relay, _ = visitor.begin()
        end = time.monotonic() + 120
        while time.monotonic() < end and visitor.get(PUBLIC + "/login", keep=False).status_code == 302:
            time.sleep(0.1)
        assert time.time() < f_seconds(until) + 30
        page = visitor.answer(world.response(request, "anna"), relay)
        assert page.status_code in (403, 503)
        assert world.refusals()[-1] == "idp-unavailable"
        assert eventually(lambda: [a for a in world.alarms() if a["kind"] == "saml-metadata"])


def f_seconds(text):
    return calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ"))


def test_emptied_metadata_keeps_the_last():
    with World() as world:
        world.bridge.write("idp.xml", "")
        world.bridge.ctl("reload")
        world.visitor().sign_in("anna")
        assert [a for a in world.alarms() if a["kind"] == "saml-metadata"]
        assert world.bridge.stop() == 0
        world.bridge.start()
        world.visitor().sign_in("anna")
        world.bridge.write("idp.xml", idp_metadata(world.folder))
        world.bridge.ctl("reload")
        assert not [a for a in world.alarms() if a["kind"] == "saml-metadata"]


def test_kept_metadata_is_of_the_place_it_came_from():
    """After the source was pointed elsewhere, the keys of the one before open nothing."""
    with World() as world:
        world.visitor().sign_in("anna")
        world.bridge.write("other.xml", "<oops/>")
        world.configure(source="    idp: {metadata_file: other.xml}")
        world.bridge.ctl("reload")
        assert world.visitor().get(PUBLIC + "/login").status_code == 503
        assert world.bridge.stop() == 0
        world.bridge.start()
        assert world.visitor().get(PUBLIC + "/login").status_code == 503


def test_alarm_of_a_source_that_is_gone_ends():
    with World() as world:
        world.bridge.write("idp.xml", "")
        world.bridge.ctl("reload")
        assert [a for a in world.alarms() if a["kind"] == "saml-metadata"]
        text = world.bridge.config.read_text().replace("name: acme", "name: other")
        world.bridge.write("rolebridge.yaml", text.replace("idp.xml", "idp2.xml").replace('"acme:', '"other:'))
        world.bridge.write("idp2.xml", idp_metadata(world.folder))
        world.bridge.ctl("reload")
        assert not [a for a in world.alarms() if a["kind"] == "saml-metadata"]


class Hanging:
    """A server that takes connections and says nothing."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.taken = []
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            try:
                self.taken.append((self.socket.accept()[0], time.monotonic()))
            except OSError:
                return

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join()
        for connection, _ in self.taken:
            connection.close()


def test_server_that_hangs_blocks_nothing():
    """It would be given up a minute after it was asked; start, reload and stop are all done long before."""
    hanging = Hanging()
    try:
        with World(source=f'    idp: {{metadata_url: "http://127.0.0.1:{hanging.port}/"}}', outgoing=", timeout: 60s") as world:
            assert eventually(lambda: hanging.taken)
            world.bridge.ctl("reload")
            assert world.bridge.stop() == 0
            assert time.monotonic() - hanging.taken[0][1] < 50
    finally:
        hanging.close()


def test_bad_key_leaves_the_rest_running():
    world = World()
    world.bridge.write("sp.key", "no key")
    with world:
        assert [a for a in world.alarms() if a["kind"] == "saml-workers"]
        assert world.visitor().get(PUBLIC + "/login").status_code == 503
        assert requests.get(world.base + "/healthz", timeout=60).status_code == 200
        facts = world.bridge.run("idp", "test", "acme")
        assert facts.returncode == 1
        (world.folder / "sp.key").unlink()
        (world.folder / "sp.pem").unlink()
        f.make_key(world.folder, "sp")
        world.bridge.ctl("reload")
        assert not [a for a in world.alarms() if a["kind"] == "saml-workers"]
        world.visitor().sign_in("anna")
        # And the other way round: what works stays.
        world.bridge.write("sp.key", "no key")
        world.bridge.ctl("reload")
        assert [a for a in world.alarms() if a["kind"] == "saml-workers"]
        world.visitor().sign_in("anna")


def check(world):
    return subprocess.run([DAEMON, "--config", world.bridge.config, "--check"], capture_output=True, text=True,
                          timeout=60, check=False)


def test_check_says_what_start_would_meet():
    world = World()
    try:
        assert check(world).returncode == 0
        key = (world.folder / "sp.key").read_bytes()
        rows = [("sp.key", b"no key", "invalid-key"), ("sp.key", (world.folder / "foreign.key").read_bytes(), "invalid-key"),
                ("idp.xml", b"<oops/>", "invalid-metadata"), ("idp.xml", None, "invalid-metadata")]
        for name, content, code in rows:
            before = (world.folder / name).read_bytes()
            if content is None:
                (world.folder / name).unlink()
            else:
                world.bridge.write(name, content)
            result = check(world)
            assert result.returncode == 1, (name, result)
            assert re.search(r"rolebridge.yaml:\d+:\d+: error: ", result.stderr), result.stderr
            assert name in result.stderr
            world.bridge.write(name, before)
        assert (world.folder / "sp.key").read_bytes() == key
        assert check(world).returncode == 0
    finally:
        world.bridge.close()


def test_check_of_a_listeners_certificate(tmp_path):
    world = World()
    try:
        certificate, _ = Authority(tmp_path).issue("web")
        text = world.bridge.config.read_text()
        world.bridge.write("rolebridge.yaml", text.replace(
            '{address: "127.0.0.1', f'{{certificate: "{certificate}", private_key: "{world.folder}/sp.key", address: "127.0.0.1'))
        result = check(world)
        assert result.returncode == 1 and "rolebridge.yaml:" in result.stderr, result.stderr
    finally:
        world.bridge.close()


def test_public_url_with_a_slash_at_its_end():
    world = World()
    text = world.bridge.config.read_text()
    world.bridge.write("rolebridge.yaml", text.replace(f"public_url: {PUBLIC}", f"public_url: {PUBLIC}/"))
    with world:
        world.visitor().sign_in("anna")


def test_forced_sign_in_must_be_fresh():
    """ForceAuthn was asked for: an old sign-in at the IdP does not do."""
    with World(source="    force_authn: true\n    idp: {metadata_file: idp.xml}") as world:
        visitor = world.visitor()
        request, relay, xml = visitor.begin()
        assert 'ForceAuthn="true"' in xml

        def old(assertion):
            f.find(assertion, "saml:AuthnStatement").set("AuthnInstant", f.timestamp(int(time.time()) - 3600))

        page = visitor.answer(world.response(request, "anna", change=old), relay)
        assert page.status_code == 403, world.audit("login")
        request, relay, _ = visitor.begin()
        assert visitor.answer(world.response(request, "anna"), relay).status_code == 303


def test_refused_test_login_is_in_the_audit_log(world):
    root = world.visitor()
    root.sign_in("root", ["admins"])
    request, relay, _ = root.begin(PUBLIC + "/saml/acme/test")
    before = len(world.refusals())
    message = world.response("_" + "1" * 32, "root", ["admins"])
    page = root.answer(message, relay)
    assert "SAMLResponse" in page.text
    page = root.ask("POST", world.acs, data={"SAMLResponse": message, "RelayState": relay, "again": "1"})
    assert page.status_code == 200 and "Refused" in page.text
    assert len(world.refusals()) == before + 1


def test_test_login_belongs_to_its_session(world):
    root = world.visitor()
    root.sign_in("root", ["admins"])
    request, relay, _ = root.begin(PUBLIC + "/saml/acme/test")
    message = world.response(request, "root", ["admins"])
    thief = world.visitor()
    thief.sign_in("mallory", ["staff"])
    thief.jar["login.example.com"].update({k: v for k, v in root.jar["login.example.com"].items() if "login-" in k})
    page = thief.ask("POST", world.acs, data={"SAMLResponse": message, "RelayState": relay, "again": "1"})
    assert page.status_code == 403 and "admins" not in page.text
    other = world.visitor()
    other.sign_in("root", ["admins"])
    other.jar["login.example.com"].update({k: v for k, v in root.jar["login.example.com"].items() if "login-" in k})
    page = other.ask("POST", world.acs, data={"SAMLResponse": message, "RelayState": relay, "again": "1"})
    assert page.status_code == 403 and "admins" not in page.text
    page = root.ask("POST", world.acs, data={"SAMLResponse": message, "RelayState": relay, "again": "1"})
    assert page.status_code == 200 and "acme:admins" in page.text


def test_trusted_proxies_that_changed_need_a_restart(world):
    """Whom a listener believes is fixed when it begins; nobody may think otherwise."""
    world.bridge.ctl("reload")
    assert "option=trusted_proxies" not in world.bridge.logged()
    text = world.bridge.config.read_text()
    world.bridge.write("rolebridge.yaml", text.replace('trusted_proxies: ["127.0.0.1"]', 'trusted_proxies: ["127.0.0.2"]'))
    world.bridge.ctl("reload")
    assert "option=trusted_proxies" in world.bridge.logged()
    world.bridge.write("rolebridge.yaml", text)
    world.bridge.ctl("reload")


def test_sign_in_across_a_reload(world):
    """Begun under one configuration, ended under the next; entered and asked for all the while."""
    visitor = world.visitor()
    request, relay, _ = visitor.begin()
    world.bridge.ctl("reload")
    assert visitor.answer(world.response(request, "rita"), relay).status_code == 303
    visitor.enter(APP + "/")
    answers = []
    stop = threading.Event()

    def ask():
        while not stop.is_set():
            answers.append(visitor.auth(APP + "/", keep=False).status_code)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        for _ in range(5):
            world.bridge.ctl("reload")
    finally:
        stop.set()
        thread.join()
    assert set(answers) == {200}


def test_application_that_a_reload_removed(world):
    visitor = world.visitor()
    visitor.sign_in("sven")
    visitor.enter(APP + "/")
    try:
        world.configure(applications=APPLICATIONS.replace(APP, "https://elsewhere.example.com"))
        world.bridge.ctl("reload")
        assert visitor.auth(APP + "/").status_code == 403
    finally:
        world.configure(applications=APPLICATIONS)
        world.bridge.ctl("reload")
    assert visitor.auth(APP + "/").status_code == 200


def test_disabled_in_the_middle(world):
    visitor = world.visitor()
    visitor.sign_in("theo")
    page = visitor.get(visitor.auth(APP + "/").headers["Location"])
    finish = visitor.get(page.headers["Location"]).headers["Location"]
    world.bridge.ctl("users", "disable", "theo")
    page = visitor.get(finish)
    assert page.status_code == 403 and not header_values(page, "Set-Cookie")
    other = world.visitor()
    request, relay, _ = other.begin()
    page = other.answer(world.response(request, "theo"), relay)
    assert page.status_code == 403
    assert world.sessions("theo") == []
