"""People with passwords and security keys, at a daemon whose pages know them.

    with World() as world:
        anna = world.person("anna")
        anna.enrol()
        page = anna.sign_in()            # the page that asks for her key
        page = anna.prove(page)
"""
import json
from urllib.parse import urljoin

import lxml.html

from authenticator import Authenticator
from bridge import Bridge
from browser import Browser
from mail_server import MailServer
from ports import free_port

CONFIG = """
public_url: http://localhost:{web}
listeners: ["127.0.0.1:{web}"]
mail: {{url: "smtp://127.0.0.1:{mail}", from: bridge@acme.example}}
passwords: {{enabled: true, memory: 8MiB, operations: 1}}
throttle: {{attempts: 100, address_attempts: 1000}}
profiles:
  - {{name: administrator, permissions: ["*:*@all"]}}
  - {{name: viewer, permissions: ["accounts:read@own"]}}
policy: {{default_profile: viewer}}
{more}
"""
PASSWORD = "seven quiet lanterns"


class World:
    def __init__(self, more=""):
        self.more, self.seen = more, 0

    def __enter__(self):
        web = free_port()
        self.url = f"http://localhost:{web}"
        self.mail = MailServer().__enter__()
        self.bridge = Bridge(CONFIG.format(web=web, mail=self.mail.port, more=self.more))
        try:
            self.bridge.__enter__()
            self.bridge.ctl("users", "create", "chief", "--profile", "administrator")
        except BaseException:
            self.mail.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *_):
        self.bridge.__exit__(*_)
        self.mail.__exit__(*_)

    def _reset_link(self):
        """In the next letter that has one: others tell of factors that came."""
        while True:
            self.seen += 1
            self.mail.wait(self.seen)
            words = self.mail.message(self.seen - 1).get_content().split()
            found = [word for word in words if "/password/reset/" in word]
            if found:
                return found[0]

    def person(self, name, profile="viewer"):
        """Somebody with a password."""
        self.bridge.ctl("users", "create", name, "--email", f"{name}@acme.example", "--profile", profile)
        browser = Browser()
        browser.submit(browser.get(self.url + "/password/forgot"), username=name)
        browser = Browser()
        page = browser.submit(browser.get(self._reset_link()),
                              **{"new-password": PASSWORD, "repeat-password": PASSWORD})
        assert page.status_code == 200, page.text
        return Person(self, name)

    def audit(self, action):
        rows = self.bridge.ctl("audit", "list", "--action", action, "--limit", "1000")["rows"]
        return sorted(rows, key=lambda row: row["seq"])


def key_form(page):
    """Address and fields of the form that a key answers, and what it is asked."""
    parts = lxml.html.fromstring(page.content).xpath("//*[@data-webauthn]")
    assert len(parts) == 1, page.text
    form = parts[0].xpath(".//form")[0]
    fields = {field.get("name"): field.value or "" for field in form.inputs if field.get("name")}
    return urljoin(page.url, form.action), fields, json.loads(fields.pop("options"))


class Person:
    def __init__(self, world, name):
        self.world, self.name = world, name
        self.browser = Browser()
        self.key = Authenticator(world.url)

    def sign_in(self, browser=None):
        browser = browser or self.browser
        page = browser.get(self.world.url + "/login")
        return browser.submit(page, username=self.name, password=PASSWORD)

    def enrol(self, key=None, name="blue", **said):
        """The page that comes of it."""
        page = self.browser.get(self.world.url + "/security/add/webauthn")
        url, fields, options = key_form(page)
        return self.browser.post(url, {**fields, "name": name, **(key or self.key).create(options, **said)})

    def prove(self, page, key=None, change=None, **said):
        """change: fields of the form, after they were filled in."""
        url, fields, options = key_form(page)
        answer = {**fields, **(key or self.key).get(options, **said), **(change or {})}
        return self.browser.post(url, answer)

    def is_signed_in(self, browser=None):
        """Through all that is asked."""
        return (browser or self.browser).get(self.world.url + "/api/v1/me").status_code == 200
