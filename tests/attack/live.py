"""A whole rolebridged that trusts the forge's IdP, and a client that takes no care of what it sends.

    with Live(forge, "agree", sources={"corp": {}}) as live:
        login = live.begin("corp")
        page = live.answer("corp", f.post(message), login)

Its public address is the one that the forge writes into its messages; requests come to a port of this machine as if
through a trusted proxy, each from an address of its own unless told otherwise. Nothing of it is encrypted.
"""
import base64
import dataclasses
import http.client
import itertools
import json
import os
import re
import shutil
import socket
import sqlite3
import sys
import time
import uuid
import zlib
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

from lxml import etree

import forge as f

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
from bridge import DAEMON, Bridge  # noqa: E402
from ports import free_port  # noqa: E402

SITE = "https://sp.example"
SESSION_COOKIE = "__Host-rolebridge"
TICKS = os.sysconf("SC_CLK_TCK")
RULES = """
profiles:
  - {name: administrator, permissions: ["*:*@all"]}
  - {name: member, permissions: ["accounts:read@all"]}
roles:
  - {name: researcher, classifications: [Support], segments: [Core], permissions: ["cases:*@all"]}
classifications: [Support]
segments: [Core]
rules:
  - {id: everybody, when: "(&)", grant: {profile: member}}
  - {id: research, groups: ["corp:R&D"], grant: {roles: [researcher]}}
"""


def make_forge(folder, keys=None, source="corp", **options):
    """keys: a folder whose keys are taken. One forge is for one thread."""
    folder = Path(folder)
    folder.mkdir(exist_ok=True)
    for path in Path(keys).glob("*.*") if keys else ():
        if path.suffix in (".key", ".pem", ".der"):
            shutil.copy(path, folder)
    base = f"{SITE}/saml/{source}"
    options = {"now": int(time.time()), "sp": f"{base}/metadata", "acs": f"{base}/acs", "slo": f"{base}/slo", **options}
    return f.Forge(folder, **options)


def metadata(forge, keys):
    """Of the forge's IdP."""
    bindings = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-"

    def key(name):
        text = base64.b64encode(Path(forge.path(f"{name}.der")).read_bytes()).decode()
        return (f'<md:KeyDescriptor use="signing"><ds:KeyInfo><ds:X509Data><ds:X509Certificate>{text}'
                "</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>")

    host = forge.idp.rsplit("/", 1)[0]
    return (f'<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" xmlns:ds="{f.DS}" '
            f'entityID="{forge.idp}"><md:IDPSSODescriptor protocolSupportEnumeration="{f.SAMLP}">'
            + "".join(key(name) for name in keys)
            + "".join(f'<md:SingleLogoutService Binding="{bindings}{b}" Location="{host}/slo"/>'
                      for b in ("Redirect", "POST"))
            + "".join(f'<md:SingleSignOnService Binding="{bindings}{b}" Location="{host}/sso"/>'
                      for b in ("Redirect", "POST"))
            + "</md:IDPSSODescriptor></md:EntityDescriptor>")


@dataclasses.dataclass
class Page:
    status: int
    headers: list
    text: str

    @property
    def location(self):
        return next((value for name, value in self.headers if name.lower() == "location"), None)

    @property
    def cookies(self):
        """Those that are set; removed ones have an empty value."""
        made = {}
        for name, value in self.headers:
            if name.lower() == "set-cookie":
                key, _, rest = value.partition("=")
                made[key] = rest.split(";")[0]
        return made

    @property
    def token(self):
        return self.cookies.get(SESSION_COOKIE) or None

    @property
    def reference(self):
        found = re.search(r"<code>([^<]+)</code>", self.text)
        return found and found.group(1)


@dataclasses.dataclass
class Login:
    """One that this browser began."""
    request: str
    relay_state: str
    cookie: str


class Trap:
    """A server that nobody must come to."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.port = self.socket.getsockname()[1]

    def aim(self, data):
        """A message that names a server names this one."""
        return data.replace(b"127.0.0.1:9/", b"127.0.0.1:%d/" % self.port)

    def caught(self):
        try:
            connection, address = self.socket.accept()
        except BlockingIOError:
            return None
        connection.close()
        return address

    def close(self):
        self.socket.close()


class Live:
    _addresses = itertools.count(1)

    def __init__(self, forge, verification="agree", sources=None, workers=2, rules=RULES, more=""):
        """sources: {name: settings}. "keys" of them: whose certificates are in the metadata; "forge": whose IdP.
        rules: what there is to be given, and why; more: lines of other sources."""
        self.forge = forge
        self.worker_count = workers
        self.rules, self.more = rules, more
        self.port = free_port()
        self.bridge = Bridge("")
        try:
            self.configure(verification, sources or {"corp": {}}, workers)
        except BaseException:
            self.bridge.close()
            raise

    def configure(self, verification, sources, workers):
        folder = self.bridge.folder
        for name in ("sp.key", "sp.pem", "old-sp.key", "old-sp.pem"):
            shutil.copy(self.forge.path(name), folder)
            os.chmod(folder / name, 0o600)
        text = ""
        for name, settings in sources.items():
            settings = dict(settings)
            self.bridge.write(f"{name}.xml", metadata(settings.pop("forge", self.forge),
                                                      settings.pop("keys", ["idp"])))
            # Who comes from several is the same by mail address.
            settings = {"type": "saml", "just_in_time": True, "may_grant": {"profiles": ["*"], "roles": ["*"]},
                        "authoritative_domains": ["corp.example"],
                        "idp": {"metadata_file": str(folder / f"{name}.xml")}, **settings}
            text += f"  - {json.dumps({'name': name, **settings})}\n"
        self.bridge.write_config(f"""
public_url: {SITE}
listeners: [{{address: "127.0.0.1:{self.port}"}}]
trusted_proxies: ["127.0.0.1"]
saml:
  certificate: "{folder}/sp.pem"
  private_key: "{folder}/sp.key"
  decryption_keys: [{{certificate: "{folder}/old-sp.pem", private_key: "{folder}/old-sp.key"}}]
  verification: {verification}
  workers: {workers}
sources:
{text}{self.more}{self.rules}""")

    def __enter__(self):
        try:
            self.bridge.start()
        except BaseException:
            self.bridge.close()
            raise
        return self

    def __exit__(self, *_):
        self.bridge.close()

    # --- requests ---

    def address(self):
        number = next(self._addresses)
        return f"198.{18 + (number >> 16 & 1)}.{number >> 8 & 255}.{number & 255}"

    def raw(self, method, target, body=b"", cookie=None, address=None):
        """The bytes of a request, whatever stands in target."""
        lines = [b"%s %s HTTP/1.1" % (method.encode(), target), b"Host: sp.example",
                 b"X-Forwarded-For: " + (address or self.address()).encode(), b"X-Forwarded-Proto: https"]
        if cookie:
            lines.append(b"Cookie: " + cookie.encode())
        if method == "POST":
            lines += [b"Content-Type: application/x-www-form-urlencoded", b"Content-Length: %d" % len(body)]
        return b"\r\n".join(lines) + b"\r\n\r\n" + body

    def send(self, data, connection=None):
        """On a connection of its own unless one is given."""
        own = connection or socket.create_connection(("127.0.0.1", self.port), timeout=60)
        try:
            own.sendall(data)
            answer = http.client.HTTPResponse(own)
            answer.begin()
            page = Page(answer.status, answer.getheaders(), answer.read().decode(errors="replace"))
            answer.close()
            return page
        finally:
            if not connection:
                own.close()

    def get(self, target, **options):
        return self.send(self.raw("GET", target if isinstance(target, bytes) else target.encode(), **options))

    def post(self, target, fields, **options):
        return self.send(self.raw("POST", target.encode(), urlencode(fields).encode(), **options))

    # --- signing in ---

    def begin(self, source="corp"):
        page = self.get(f"/saml/{source}/login")
        assert page.status == 302, page.text
        query = parse_qs(urlsplit(page.location).query)
        request = etree.fromstring(zlib.decompress(base64.b64decode(query["SAMLRequest"][0]), -15))
        (cookie,) = [f"{name}={value}" for name, value in page.cookies.items() if value]
        return Login(request.get("ID"), query["RelayState"][0], cookie)

    def answer_bytes(self, source, message, login=None, relay_state=None, cookie=None, address=None):
        fields = {"SAMLResponse": message}
        if relay_state or login:
            fields["RelayState"] = relay_state or login.relay_state
        return self.raw("POST", f"/saml/{source}/acs".encode(), urlencode(fields).encode(),
                        cookie=cookie or (login and login.cookie), address=address)

    def answer(self, source, message, login=None, **options):
        return self.send(self.answer_bytes(source, message, login, **options))

    def sign_in(self, forge=None, source="corp", index="_session1", name="7d5a-anna", attributes=None,
                **options):
        """The page that a whole login ends with."""
        forge = forge or self.forge
        login = self.begin(source)
        forge.now, forge.request = int(time.time()), login.request
        assertion = forge.assertion(attributes)
        f.find(assertion, "saml:AuthnStatement").set("SessionIndex", index)
        f.find(assertion, "saml:Subject/saml:NameID").text = name
        return self.answer(source, f.post(forge.signed_response(assertion, **options)), login)

    def begin_logout(self, token):
        """The id of the request that our side sent to the IdP, and the cookie that waits for its answer."""
        cookie = f"{SESSION_COOKIE}={token}"
        csrf = re.search(r'name="csrf" value="([^"]+)"', self.get("/logout", cookie=cookie).text).group(1)
        page = self.post("/logout", {"csrf": csrf}, cookie=cookie)
        found = page.location or re.search(r'https://idp\.example/slo\?[^"]*', page.text).group(0)
        query = parse_qs(urlsplit(found.replace("&amp;", "&")).query)
        request = etree.fromstring(zlib.decompress(base64.b64decode(query["SAMLRequest"][0]), -15))
        name = f"{SESSION_COOKIE}-logout"
        return request.get("ID"), f"{name}={page.cookies[name]}"

    def logout(self, source, message, field="SAMLRequest", **options):
        """message: of a form's field; a query has a "=" in it."""
        if b"SAML" in message:
            return self.get(f"/saml/{source}/slo?".encode() + message, **options)
        return self.post(f"/saml/{source}/slo", {field: message}, **options)

    def is_signed_in(self, page):
        """Whether the session that this page began still stands."""
        seen = self.get("/", cookie=f"{SESSION_COOKIE}={page.token}")
        assert seen.status in (200, 302, 303), seen.text
        return seen.status == 200 and "signed in" in seen.text

    # --- what has happened ---

    def audit(self, after=0):
        """Rows behind that number, oldest first; details as objects."""
        store = sqlite3.connect(f"file:{self.bridge.folder}/store.db?mode=ro", uri=True, timeout=60)
        try:
            rows = store.execute("SELECT seq, (SELECT text FROM name WHERE id = action), "
                                 "(SELECT text FROM name WHERE id = request), request_uuid, detail FROM audit "
                                 "WHERE seq > ? ORDER BY seq", (after,)).fetchall()
        finally:
            store.close()
        return [{"seq": seq, "action": action, "request": str(uuid.UUID(bytes=number)) if number else request,
                 "detail": json.loads(detail)} for seq, action, request, number, detail in rows]

    def last(self):
        rows = self.audit()
        return rows[-1]["seq"] if rows else 0

    def refusals(self, after=0):
        """Of answers and of logout messages."""
        return [row for row in self.audit(after) if row["action"] in ("login.refused", "logout.refused")]

    def reasons(self, after=0):
        return [row["detail"]["reason"] for row in self.refusals(after)]

    def sessions(self):
        return sorted(session["id"] for session in self.bridge.ctl("sessions", "list", "--limit", "1000")["sessions"])

    def metric(self, name):
        page = self.get("/metrics", address="127.0.0.1")
        found = re.search(rf"^{name} (\d+)$", page.text, re.M)
        assert found, page.text
        return int(found.group(1))

    @property
    def deaths(self):
        return self.metric("rolebridge_saml_worker_deaths_total")

    @property
    def pid(self):
        return self.bridge.process.pid

    def workers(self):
        """Those that run or are about to: fewer than worker_count while one waits to be started again."""
        return self.bridge.workers()

    @property
    def is_complete(self):
        return len(self.workers()) == self.worker_count

    @staticmethod
    def fields(pid):
        """Of stat, from the state on."""
        try:
            return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            return ["Z"]

    def cpu_s(self):
        return sum(int(fields[11]) + int(fields[12]) for fields in map(self.fields, [self.pid, *self.workers()])
                   if len(fields) > 12) / TICKS

    def memory(self):
        """Bytes that the daemon and its workers have for themselves."""
        total = 0
        for pid in [self.pid, *self.workers()]:
            found = re.search(r"^RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.M)
            total += int(found.group(1)) * 1024
        return total
