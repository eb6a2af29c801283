"""People who sign in with a password, in a browser, through a proxy, with letters by mail.

    with passwords.world(more_configuration) as world:
        world.invited("ada")
        world.has("ada", passwords.PASSWORD)
"""
import contextlib
import os
import re
import sqlite3

from bridge import Bridge
from browser import Browser
from mail_server import MailServer
from proxy import Nginx

CONFIG = """
public_url: {url}
listeners:
  - {{address: "unix:{socket}"{group}}}
mail: {{url: "smtp://127.0.0.1:{mail}", from: bridge@acme.example}}
passwords: {{enabled: true, memory: 8MiB, operations: 1}}
throttle: {{attempts: 100, address_attempts: 1000}}
applications:
  - {{name: crm, urls: ["{application}"], require: {{profiles: [administrator, viewer]}}}}
profiles:
  - {{name: administrator, permissions: ["*:*@all"]}}
  - {{name: viewer, permissions: ["accounts:read@own"]}}
policy: {{default_profile: viewer}}
{more}
"""
PASSWORD = "twelve brown horses"
OTHER = "eleven pink elephants"
INVITE = re.compile(r"/invite/([A-Za-z0-9_-]+)")
RESET = re.compile(r"/password/reset/([A-Za-z0-9_-]+)")


class World:
    def __init__(self, bridge, proxy, mail):
        self.bridge, self.proxy, self.mail, self.seen = bridge, proxy, mail, 0
        self.application = proxy.url("app.localhost", "/")

    def url(self, path):
        return self.proxy.url("localhost", path)

    def link(self, name, pattern):
        """Of the next such message to them. Others are passed over: what was on its way in a crash comes twice."""
        while True:
            self.seen += 1
            envelope = self.mail.wait(self.seen)[self.seen - 1]
            found = pattern.search(self.mail.message(self.seen - 1).get_content())
            if found and envelope.rcpt_tos == [f"{name}@acme.example"]:
                return found[1]

    def invited(self, name, password=PASSWORD):
        """Somebody who came by an invite and has a password."""
        self.bridge.ctl("invites", "create", f"{name}@acme.example", "--username", name, "--profile", "viewer")
        token = self.link(name, INVITE)
        browser = Browser()
        page = browser.get(self.url(f"/invite/{token}"))
        page = browser.submit(page, **{"new-password": password, "repeat-password": password})
        assert page.status_code == 200 and "Your account is ready" in page.text, page.text
        return token

    def forgotten(self, name):
        browser = Browser()
        return browser.submit(browser.get(self.url("/password/forgot")), username=name)

    def reset_token(self, name):
        page = self.forgotten(name)
        assert page.status_code == 200 and "Look into your mailbox" in page.text
        return self.link(name, RESET)

    def set_new(self, token, password):
        browser = Browser()
        page = browser.get(self.url(f"/password/reset/{token}"))
        if page.status_code != 200:
            return page
        return browser.submit(page, **{"new-password": password, "repeat-password": password})

    def sign_in(self, name, password, start=None):
        browser = Browser()
        page = browser.get(start or self.application)
        return browser, browser.submit(page, username=name, password=password)

    def has(self, name, password):
        """Does this password let them in, as far as the application?"""
        browser, page = self.sign_in(name, password)
        if page.url == self.application and page.status_code == 200:
            return True
        assert page.status_code == 403 and "is not right" in page.text, (page.url, page.text)
        assert browser.request("GET", self.application).status_code in (302, 303)
        return False

    def rows(self, action):
        rows = self.bridge.ctl("audit", "list", "--action", action, "--limit", "1000")["rows"]
        return sorted(rows, key=lambda row: row["seq"])

    def sql(self, *statement):
        with contextlib.closing(sqlite3.connect(self.bridge.folder / "store.db", timeout=60)) as store, store:
            return store.execute(*statement).fetchall()


@contextlib.contextmanager
def world(more=""):
    """A daemon, its proxy and its mail server. more: further configuration."""
    with contextlib.ExitStack() as stack:
        mail = stack.enter_context(MailServer())
        bridge = Bridge("")
        stack.callback(bridge.close)
        os.chmod(bridge.folder, 0o711)
        socket = bridge.folder / "web.sock"
        proxy = stack.enter_context(Nginx(socket, ["app.localhost"], login_host="localhost"))
        bridge.write_config(CONFIG.format(
            url=proxy.url("localhost", "").rstrip("/"), socket=socket, mail=mail.port, more=more,
            application=proxy.url("app.localhost", "/"), group=", group: www-data" if os.geteuid() == 0 else ""))
        bridge.start()
        bridge.ctl("users", "create", "boss", "--profile", "administrator", "--email", "boss@acme.example")
        yield World(bridge, proxy, mail)
