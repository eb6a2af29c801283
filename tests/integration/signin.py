"""The whole of a sign-in for tests: an IdP, a daemon, nginx and an application."""
import contextlib
import time

from bridge import Bridge
from browser import Browser
from idp import IdentityProvider, make_key
from proxy import Proxy

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


def configuration(socket, idp, public_url, application_url, source="", web="", rules=RULES):
    return f"""
public_url: {public_url}
listeners:
  - address: "unix:{socket}"
applications:
  - name: crm
    urls: ["{application_url}"]
    require: {{profiles: [administrator, member]}}
saml:
  certificate: "{socket.parent}/sp.crt"
  private_key: "{socket.parent}/sp.key"
  workers: 2
outgoing: {{allowed_networks: ["127.0.0.0/8"]}}
sources:
  - name: acme
    type: saml
    just_in_time: true
    idp: {{metadata_url: "{idp.metadata_url}"}}
    may_grant: {{profiles: ["*"], roles: ["*"], personas: ["*"], groups: ["*"]}}
{source}
{rules}
{web}
"""


class SignIn:
    """Everything up and connected; browser() gives a fresh one."""

    def __init__(self, people=None, source="", web="", rules=RULES, idp_options=None, **trust):
        self.people = {name: dict(values) for name, values in (people or PEOPLE).items()}
        self.stack = contextlib.ExitStack()
        self.source, self.web, self.rules = source, web, rules
        self.trust_options = trust
        self.idp_options = idp_options or {}

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self.idp = stack.enter_context(IdentityProvider(self.people, host="localhost"))
            self.idp.set_options(**self.idp_options)
            self.bridge = Bridge("")
            stack.callback(self.bridge.close)
            make_key(self.bridge.folder, "sp")
            self.proxy = stack.enter_context(
                Proxy(self.bridge.folder / "web.sock", ["app.localhost"], login_host="localhost"))
            self.public_url = self.proxy.url("localhost", "").rstrip("/")
            self.application_url = self.proxy.url("app.localhost", "/")
            self.configure()
            self.bridge.start()
            self.idp.trust(f"{self.public_url}/saml/acme/metadata", self.acs, f"{self.public_url}/saml/acme/slo",
                           self.bridge.folder / "sp.crt", **self.trust_options)
            self.wait_for_metadata()
            self.stack = stack.pop_all()
            return self

    def __exit__(self, *_):
        self.stack.close()

    @property
    def acs(self):
        return f"{self.public_url}/saml/acme/acs"

    def configure(self):
        self.bridge.write_config(configuration(self.bridge.folder / "web.sock", self.idp, self.public_url, self.application_url, self.source,
                                               self.web, self.rules))

    def wait_for_metadata(self):
        """A metadata_url is fetched in the background."""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            if self.bridge.run("idp", "test", "acme").returncode == 0:
                return
            time.sleep(0.05)
        raise RuntimeError(f"no metadata: {self.bridge.logged()[-2000:]}")

    def browser(self):
        return Browser()

    def sign_in(self, name):
        """A browser that has the application's page, and that page."""
        browser = self.browser()
        return browser, browser.sign_in(self.application_url, name)

    def audit(self, action):
        """Rows of this action, oldest first."""
        rows = self.bridge.ctl("audit", "list", "--action", action, "--limit", "1000")["rows"]
        return sorted(rows, key=lambda row: row["seq"])

    def refusals(self):
        """Why logins were refused, oldest first."""
        return [str(row["detail"]) for row in self.audit("login.refused")]
