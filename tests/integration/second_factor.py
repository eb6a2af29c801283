"""People with passwords and second factors, two applications behind nginx, mail, and an SMS gateway's stand-in.

    with SecondFactor(policy="second_factor: {required: all}") as world:
        world.person("anna")
        browser, page = world.sign_in("anna")
        secret = world.enrol_totp(browser)
        page = browser.submit(page, code=world.code(secret))
"""
import contextlib
import http.server
import os
import re
import shutil
import sqlite3
import subprocess
import threading
import time

import lxml.html

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
outgoing: {{allowed_networks: ["127.0.0.0/8"]}}
applications:
  - {{name: crm, urls: ["{crm}"], require: {{profiles: [administrator, viewer]}}}}
  - {{name: vault, urls: ["{vault}"], require: {{second_factor: true, second_factor_max_age: 10m}}}}
profiles:
  - {{name: administrator, permissions: ["*:*@all"]}}
  - {{name: viewer, permissions: ["accounts:read@own"]}}
{more}
"""
NOBODY = "second_factor: {required: nobody, remember: {time: 30d}}"
POLICY = "policy: {default_profile: viewer}\n"
PASSWORD = "seven quiet lanterns"
RESET = re.compile(r"http://[a-z0-9.]+:\d+/password/reset/[A-Za-z0-9_-]+")
INVITE = re.compile(r"http://[a-z0-9.]+:\d+/invite/[A-Za-z0-9_-]+")
CODE = re.compile(r"\b(\d{6})\b")
STEP = 30


def is_installed():
    return bool(shutil.which("oathtool") and shutil.which("nginx"))


class Gateway:
    """Takes messages as an SMS gateway does."""

    def __init__(self):
        self.messages, self.status = [], 200
        self._arrived = threading.Condition()
        gateway = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                with gateway._arrived:
                    if gateway.status == 200:
                        gateway.messages.append(body)
                    gateway._arrived.notify_all()
                self.send_response(gateway.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/send"

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class SecondFactor:
    def __init__(self, policy=NOBODY, more=POLICY, config=CONFIG):
        self.policy, self.more, self.config = policy, more, config
        self.stack, self.seen = contextlib.ExitStack(), 0

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self.mail = stack.enter_context(MailServer())
            self.gateway = Gateway()
            stack.callback(self.gateway.close)
            self.bridge = Bridge("")
            stack.callback(self.bridge.close)
            os.chmod(self.bridge.folder, 0o711)
            self.socket = self.bridge.folder / "web.sock"
            self.proxy = stack.enter_context(Nginx(self.socket, ["app.localhost", "vault.localhost"],
                                                   login_host="localhost"))
            self.crm, self.vault = self.proxy.url("app.localhost", "/"), self.proxy.url("vault.localhost", "/")
            self.url = self.proxy.url("localhost", "").rstrip("/")
            self.write(self.policy)
            self.bridge.start()
            self.bridge.ctl("users", "create", "chief", "--profile", "administrator", "--email", "chief@acme.example")
            self.stack = stack.pop_all()
            return self

    def __exit__(self, *_):
        self.stack.close()

    def write(self, policy):
        self.bridge.write_config(self.config.format(
            url=self.url, socket=self.socket, mail=self.mail.port, crm=self.crm, vault=self.vault,
            more=f'{self.more}sms: {{url: "{self.gateway.url}"}}\n{policy}',
            group=", group: www-data" if os.geteuid() == 0 else ""))

    def enforce(self, policy=None):
        """Another policy, put in force by a reload; None: the first one."""
        self.write(self.policy if policy is None else policy)
        self.bridge.ctl("reload")

    def restart(self):
        assert self.bridge.stop() == 0
        self.bridge.start()

    # --- people ---

    def letters(self, name, pattern=None):
        """Texts of what came for somebody so far, oldest first."""
        found = []
        for number, envelope in enumerate(list(self.mail.envelopes)):
            if f"{name}@acme.example" in envelope.rcpt_tos:
                text = self.mail.message(number).get_content()
                if pattern is None or pattern.search(text):
                    found.append(text)
        return found

    def letter(self, name, pattern, before=0):
        """The newest one that matches, when there are more than before."""
        end = time.monotonic() + 60
        while len(found := self.letters(name, pattern)) <= before:
            assert time.monotonic() < end, f"no letter for {name}: {pattern.pattern}"
            time.sleep(0.02)
        return pattern.search(found[-1])

    def person(self, name, profile="viewer"):
        """Somebody who came by an invite and has a password."""
        self.bridge.ctl("invites", "create", f"{name}@acme.example", "--username", name, "--profile", profile)
        browser = Browser()
        page = browser.get(self.letter(name, INVITE)[0])
        page = browser.submit(page, **{"new-password": PASSWORD, "repeat-password": PASSWORD})
        assert page.status_code == 200 and "Your account is ready" in page.text, page.text
        return name

    def reset(self, name):
        """They forgot it, and set one by the link that was mailed."""
        before = len(self.letters(name, RESET))
        browser = Browser()
        page = browser.submit(browser.get(self.url + "/password/forgot"), username=name)
        assert page.status_code == 200, page.text
        page = browser.get(self.letter(name, RESET, before)[0])
        page = browser.submit(page, **{"new-password": PASSWORD, "repeat-password": PASSWORD})
        assert page.status_code == 200, page.text

    def sign_in(self, name, url=None, browser=None):
        """The browser, and the page it came to after the password."""
        browser = browser or Browser()
        page = browser.get(url or self.url + "/login")
        return browser, browser.submit(page, username=name, password=PASSWORD)

    # --- factors ---

    def code(self, secret, ahead=1):
        """The app's code of a step. The one after the present one stays good for a minute at least."""
        self.sql("UPDATE factor SET counter = 0 WHERE method = 1")
        return self.code_again(secret, ahead)

    @staticmethod
    def code_again(secret, ahead=1):
        """The same, where one that was used counts as used."""
        now = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(time.time() + ahead * STEP))
        return subprocess.run(["oathtool", "--totp", "--base32", "--now", now, secret.replace(" ", "")],
                              capture_output=True, text=True, check=True).stdout.strip()

    def enrol_totp(self, browser, name="", path="/security/add/totp"):
        """The secret of an app that was added, and the page after it."""
        page = browser.get(self.url + path)
        page = browser.submit(page, name=name)
        secret = lxml.html.fromstring(page.content).find(".//code").text
        page = browser.submit(page, code=self.code(secret))
        return secret, page

    def with_totp(self, name, profile="viewer"):
        """Somebody who has an app: its secret."""
        self.person(name, profile)
        browser, _ = self.sign_in(name)
        secret, page = self.enrol_totp(browser)
        assert page.status_code == 200 and "/security" in page.url, (page.url, page.text)
        return secret

    # --- what came of it ---

    def rows(self, action):
        rows = self.bridge.ctl("audit", "list", "--action", action, "--limit", "1000")["rows"]
        return sorted(rows, key=lambda row: row["seq"])

    def sessions(self, name):
        return self.bridge.ctl("sessions", "list", "--user", name)["sessions"]

    def sql(self, *statement):
        with contextlib.closing(sqlite3.connect(self.bridge.folder / "store.db", timeout=60)) as store, store:
            return store.execute(*statement).fetchall()

    def age(self, name, seconds):
        """As if everybody's sign-ins and proofs were so much older: written while the daemon is down."""
        assert self.bridge.stop() == 0
        self.sql("UPDATE session SET signed_in_s = signed_in_s - ?, created_s = created_s - ?, "
                 "second_factor_s = max(0, second_factor_s - ?) WHERE user = "
                 "(SELECT id FROM user WHERE username = ?)", (seconds, seconds, seconds, name))
        self.bridge.start()


def text_of(page):
    """What a person reads."""
    return " ".join(lxml.html.fromstring(page.content).text_content().split())
