"""The whole of a sign-in for tests: an IdP, a daemon, nginx and an application."""
import contextlib
import os
import time

from bridge import Bridge
from browser import Browser
from idp import IdentityProvider, make_key
from ports import free_port
from proxy import Nginx
from web import Authority

PEOPLE = {
    "anna": {"uid": ["anna"], "mail": ["anna@acme.example"], "displayName": ["Anna Müller"],
             "groups": ["R&D", "staff"]},
    "bert": {"uid": ["bert"], "mail": ["bert@acme.example"], "displayName": ["Bert"], "groups": ["staff"]},
    "cleo": {"uid": ["cleo"], "mail": ["cleo@acme.example"], "displayName": ["Cleo"], "groups": ["guests"]},
    "root": {"uid": ["root"], "mail": ["root@acme.example"], "displayName": ["Root"], "groups": ["admins"]},
}

RULES = """
profiles:
  - {name: administrator, permissions: ["*:*@all"]}
  - {name: member, permissions: ["accounts:read@all"]}
  - {name: guest, permissions: ["accounts:read@own"]}
roles:
  - {name: researcher, classifications: [Support], segments: [Core], permissions: ["cases:*@all"]}
classifications: [Support]
segments: [Core]
rules:
  - {id: admins, groups: ["acme:admins"], grant: {profile: administrator}}
  - {id: research, groups: ["acme:R&D"], grant: {roles: [researcher]}}
  - {id: staff, groups: ["acme:staff"], grant: {profile: member}}
policy:
  limits: {first_sync_administrators: true, new_administrators: 100}
"""


APPLICATIONS = """
  - name: crm
    urls: ["{application}"]
    require: {{profiles: [administrator, member]}}
"""


class SignIn:
    """Everything up and connected; browser() gives a fresh one."""

    def __init__(self, people=None, source="", web="", rules=RULES, idp_options=None, proxy=Nginx,
                 applications=APPLICATIONS, hosts=("app.localhost",), metadata="metadata_url", idp_settings="", **trust):
        self.people = {name: dict(values) for name, values in (people or PEOPLE).items()}
        self.stack = contextlib.ExitStack()
        self.source, self.web, self.rules = source, web, rules
        self.applications, self.hosts = applications, hosts
        self.trust_options = trust
        self.idp_options = idp_options or {}
        self.proxy_class = proxy
        self.metadata, self.idp_settings = metadata, idp_settings

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self.idp = stack.enter_context(self.make_idp())
            self.idp.set_options(**self.idp_options)
            self.bridge = Bridge("")
            stack.callback(self.bridge.close)
            # A proxy that runs as somebody else comes to the socket by its group.
            os.chmod(self.bridge.folder, 0o711)
            make_key(self.bridge.folder, "sp")
            self.socket = self.bridge.folder / "web.sock"
            self.proxy = stack.enter_context(self.make_proxy())
            self.application_url = self.proxy.url("app.localhost", "/")
            if self.metadata == "metadata_file":
                self.bridge.write("idp.xml", self.idp.metadata())
            self.configure()
            self.bridge.start()
            self.trust_us()
            self.wait_for_metadata()
            self.stack = stack.pop_all()
            return self

    def __exit__(self, *_):
        self.stack.close()

    # --- what other arrangements change ---

    def make_idp(self):
        return IdentityProvider(self.people, host="localhost")

    def make_proxy(self):
        return self.proxy_class(self.socket, list(self.hosts), login_host="localhost")

    @property
    def public_url(self):
        return self.proxy.url("localhost", "").rstrip("/")

    def listeners(self):
        group = ", group: www-data" if os.geteuid() == 0 else ""
        return f"""
  - {{address: "unix:{self.socket}"{group}}}
"""

    # ---

    @property
    def acs(self):
        return f"{self.public_url}/saml/acme/acs"

    def trust_us(self, name="acme"):
        base = f"{self.public_url}/saml/{name}"
        self.idp.trust(f"{base}/metadata", f"{base}/acs", f"{base}/slo", self.bridge.folder / "sp.crt",
                       **self.trust_options)

    def configure(self):
        folder = self.bridge.folder
        metadata = (f'metadata_url: "{self.idp.metadata_url}"' if self.metadata == "metadata_url"
                    else f'metadata_file: "{folder}/idp.xml"')
        applications = self.applications.format(application=self.application_url, proxy=self.proxy)
        self.bridge.write_config(f"""
public_url: {self.public_url}
listeners:
{self.listeners()}
applications:
{applications}
saml:
  certificate: "{folder}/sp.crt"
  private_key: "{folder}/sp.key"
  workers: 2
outgoing: {{allowed_networks: ["127.0.0.0/8"]}}
sources:
  - name: acme
    type: saml
    just_in_time: true
    idp: {{{metadata}{self.idp_settings}}}
    may_grant: {{profiles: ["*"], roles: ["*"], personas: ["*"], groups: ["*"]}}
{self.source}
{self.rules}
{self.web}
""")

    def wait_for_metadata(self, name="acme"):
        """A metadata_url is fetched in the background; then workers that know it take over."""
        end = time.monotonic() + 120
        while time.monotonic() < end:
            page = self.browser().request("GET", f"{self.public_url}/saml/{name}/login")
            if page.status_code in (200, 302) and self.bridge.run("idp", "test", name).returncode == 0:
                return
            time.sleep(0.05)
        raise RuntimeError(f"no metadata: {self.bridge.logged()[-2000:]}")

    def browser(self):
        return Browser()

    def sign_in(self, name):
        """A browser that has the application's page, and that page."""
        browser = self.browser()
        return browser, browser.sign_in(self.application_url, name)

    def test_login(self, browser, name, source="acme"):
        """The page at the end of a test login that this browser begins, where this person signs in at the IdP."""
        page = browser.get(f"{self.public_url}/saml/{source}/test")
        while "SAMLResponse" in page.text or "username" in page.text:
            values = {"username": name, "password": name[::-1]} if "username" in page.text else {}
            page = browser.submit(page, **values)
        return page

    def audit(self, action):
        """Rows of this action, oldest first."""
        rows = self.bridge.ctl("audit", "list", "--action", action, "--limit", "1000")["rows"]
        return sorted(rows, key=lambda row: row["seq"])

    def refusals(self, action="login.refused"):
        """Why logins were refused, oldest first; or logouts."""
        return [str(row["detail"]) for row in self.audit(action)]


class TlsSignIn(SignIn):
    """The same over TLS: our listener on TCP has the certificate, application and IdP stand behind nginx. Each name
    below localhost is a site of its own, as no domain is registered there."""

    NAMES = "DNS:localhost,DNS:app.localhost,DNS:idp.localhost,IP:127.0.0.1"

    def make_idp(self):
        self.port, self.login_port = free_port(), free_port()
        return IdentityProvider(self.people, host="localhost", public=f"https://idp.localhost:{self.port}/")

    def make_proxy(self):
        self.authority = Authority(self.bridge.folder)
        self.pair = self.authority.issue("https", self.NAMES)
        return Nginx(self.socket, list(self.hosts), pair=self.pair, port=self.port,
                     passed={"idp.localhost": self.idp.port})

    @property
    def public_url(self):
        return f"https://localhost:{self.login_port}"

    def listeners(self):
        return super().listeners() + f"""
  - {{address: "127.0.0.1:{self.login_port}", certificate: "{self.pair[0]}", private_key: "{self.pair[1]}"}}
"""

    def browser(self):
        return Browser(self.authority.certificate)
