"""Links by which root lets an administrator in: the first one, whoever is locked out, and where the web side does not answer."""
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.parse

import lxml.html
import pytest

from access import Web
from bridge import Bridge, Refused
from browser import Browser
from control import Bearer, Control
from ports import free_port

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="such links are root's")

RULES = """
profiles:
  - {name: administrator, permissions: ["*:*@all"]}
  - {name: member, permissions: ["notes:read@own"]}
policy: {default_profile: member}
"""
WEB = """
public_url: "http://127.0.0.1:{port}"
listeners: [{{address: "127.0.0.1:{port}"}}]
"""


def ask(method, url, cookie=None, headers=None):
    """(status, headers, text) of one request to what the url says."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
    sent = dict(headers or {})
    if cookie:
        sent["Cookie"] = cookie
    if method == "POST":
        sent["Content-Length"] = "0"
    try:
        connection.request(method, parts.path, headers=sent)
        response = connection.getresponse()
        return response.status, response.headers, response.read().decode()
    finally:
        connection.close()


def cookie_of(headers):
    (line,) = [value for value in headers.get_all("Set-Cookie", []) if "Max-Age=0" not in value]
    return line.split(";", 1)[0]


def base_of(url):
    return url.split("/login/link/")[0]


def sign_in(url):
    """The cookie of who came by it."""
    status, headers, text = ask("POST", url)
    assert status == 303, text
    assert headers["Location"] == "/"
    return cookie_of(headers)


def me(url, cookie):
    status, _, text = ask("GET", base_of(url) + "/api/v1/me", cookie)
    return status, json.loads(text)


def until_listening(bridge):
    """Commands are answered a moment before the web side is."""
    end = time.monotonic() + 60
    while "listeners:" in bridge.config.read_text() and " listen " not in bridge.logged():
        assert time.monotonic() < end, bridge.logged()
        time.sleep(0.02)


class Place:
    def __init__(self, config):
        self.port = free_port()
        self.bridge = Bridge(RULES + config.format(port=self.port))

    def __enter__(self):
        self.bridge.__enter__()
        until_listening(self.bridge)
        self.bridge.ctl("users", "create", "anna", "--profile", "administrator")
        self.bridge.ctl("users", "create", "ben")
        return self

    def __exit__(self, *how):
        self.bridge.__exit__(*how)

    def link(self, *words):
        return self.bridge.ctl("login-link", *words)

    def rows(self, action):
        return self.bridge.ctl("audit", "list", "--action", action)["rows"]


@pytest.fixture(scope="module", name="served")
def web_side():
    with Place(WEB) as place:
        yield place


@pytest.fixture(scope="module", name="unserved")
def no_web_side():
    with Place("") as place:
        yield place


def test_signs_in_once(served):
    made = served.link("anna")
    assert made["local"] is False
    assert made["user"]["username"] == "anna"
    url = made["url"]
    assert url.startswith(f"http://127.0.0.1:{served.port}/login/link/")
    for _ in range(2):  # a look uses nothing up
        status, headers, text = ask("GET", url)
        assert status == 200
        assert "anna" in text and "<form" in text
        assert headers["Referrer-Policy"] in ("no-referrer", "same-origin")
        assert "Set-Cookie" not in headers
    cookie = sign_in(url)
    assert me(url, cookie)[1]["user"]["username"] == "anna"
    for method in ("GET", "POST"):
        status, headers, text = ask(method, url)
        assert status == 404 and "Set-Cookie" not in headers
        assert "not good any more" in text
    (row,) = served.rows("login-link.create")[:1]
    assert row["actor"] == "unix:root"
    row = served.rows("login")[0]
    assert row["detail"]["by"] == "login-link"
    assert row["actor"].startswith("login-link:")
    assert served.rows("login.refused")[0]["detail"]["reason"] == "link-void"
    # The link itself is nowhere.
    text = url.rsplit("/", 1)[1]
    assert text not in served.bridge.logged()
    assert text not in json.dumps(served.bridge.ctl("audit", "list"))


def test_newer_link_makes_older_void(served):
    older, newer = served.link("anna")["url"], served.link("anna")["url"]
    assert ask("POST", older)[0] == 404
    sign_in(newer)


@pytest.mark.parametrize("user,code", [("ben", "administrators-only"), ("nobody", "not-found")])
def test_for_administrators_alone(served, user, code):
    with pytest.raises(Refused) as refused:
        served.link(user)
    assert code in refused.value.output


def test_who_is_no_administrator_any_more(served):
    served.bridge.ctl("users", "create", "carl", "--profile", "administrator")
    url = served.link("carl")["url"]
    served.bridge.ctl("users", "grant", "carl", "profile", "member")
    assert ask("GET", url)[0] == 403
    status, headers, _ = ask("POST", url)
    assert status == 403 and "Set-Cookie" not in headers
    assert served.rows("login.refused")[0]["detail"]["reason"] == "administrators-only"
    served.bridge.ctl("users", "grant", "carl", "profile", "administrator")
    url = served.link("carl")["url"]
    served.bridge.ctl("users", "disable", "carl")
    assert ask("POST", url)[0] == 403
    assert served.rows("login.refused")[0]["detail"]["reason"] == "user-disabled"


@pytest.mark.parametrize("text", ["x", "A" * 59, "A" * 200, "%00", "é"])
def test_what_was_never_a_link(served, text):
    before = len(served.rows("login.refused"))
    for method in ("GET", "POST"):
        status, headers, _ = ask(method, f"http://127.0.0.1:{served.port}/login/link/" + urllib.parse.quote(text, safe="%"))
        assert status in (400, 404)
        assert "Set-Cookie" not in headers
    assert len(served.rows("login.refused")) == before


def test_for_root_alone(served):
    body = {"user": "anna"}
    token = served.bridge.ctl("tokens", "create", "all", "--user", "anna")["token"]
    socket_path = served.bridge.folder / "control.sock"
    status, answer = Bearer(socket_path, token).ask("POST", "login-links", body)
    assert (status, answer["code"]) == (403, "not-allowed")
    web = Web(served.port)
    status, answer = web.ask("POST", "login-links", body, token=token)
    assert (status, answer["code"]) == (403, "not-allowed")
    cookie = sign_in(served.link("anna")["url"])
    csrf = web.ask("GET", "me", cookie=cookie)[1]["csrf_token"]
    status, answer = web.ask("POST", "login-links", body, cookie=cookie, csrf=csrf)
    assert (status, answer["code"]) == (403, "not-allowed")
    web.close()


def test_for_nobody_of_the_group(served):
    """Whoever may use the socket, and is not root."""
    socket_path = served.bridge.folder / "control.sock"
    os.chmod(served.bridge.folder, 0o755)
    os.chmod(socket_path, 0o666)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgid(65534)
        os.setuid(65534)
        control = Control(socket_path)
        os.write(write, json.dumps(control.ask("POST", "login-links", {"user": "anna"})).encode())
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    status, answer = json.loads(os.read(read, 65536))
    os.close(read)
    assert (status, answer["code"]) == (403, "not-allowed")


# --- doors ---

def test_door_where_nothing_listens(unserved):
    made = unserved.link("anna")
    url = made["url"]
    assert made["local"] is True
    assert re.match(r"http://127\.0\.0\.1:\d+/login/link/", url)
    cookie = sign_in(url)
    # A name of its own, so that it is not taken for another's on the same host.
    assert cookie.startswith(f"rolebridge-door{urllib.parse.urlsplit(url).port}=")
    status, answer = me(url, cookie)
    assert status == 200 and answer["user"]["username"] == "anna"
    status, headers, text = ask("GET", base_of(url) + "/", cookie)
    assert status == 200 and "anna" in text
    # What the administrator came for: with the CSRF token of this origin.
    status, _, text = ask("POST", base_of(url) + "/api/v1/users/ben/enable", cookie,
                          {"X-CSRF-Token": answer["csrf_token"], "Origin": base_of(url), "Sec-Fetch-Site": "same-origin"})
    assert status == 200, text
    status, _, text = ask("POST", base_of(url) + "/api/v1/users/ben/enable", cookie,
                          {"X-CSRF-Token": answer["csrf_token"], "Origin": "http://evil.example"})
    assert json.loads(text)["code"] == "csrf-required"


def test_behind_the_door_is_no_other_way_in(unserved):
    base = base_of(unserved.link("anna")["url"])
    for path in ("/auth", "/metrics", "/healthz", "/saml/x/login", "/password/forgot", "/.rolebridge/start"):
        assert ask("GET", base + path)[0] == 404, path


def test_pages_behind_the_door_lead_to_how_people_sign_in_there(unserved):
    """Not to a form, which is not there, and not to nothing."""
    base = base_of(unserved.link("anna")["url"])
    for path in ("/security", "/step-up", "/login/factor", "/login/link/" + "A" * 59):
        page = Browser().get(base + path)
        for link in {link for link in re.findall(r'href="(/[^"]*)"', page.text) if "/.rolebridge/" not in link}:
            assert Browser().get(base + link).status_code == 200, (path, link)
    for path in ("/login", "/security"):
        page = Browser().get(base + path)
        assert page.status_code == 200 and page.url.startswith(base + "/login"), (page.url, page.text)
        assert "rolebridgectl login-link --local" in page.text and "<form" not in page.text
    assert ask("POST", base + "/login")[0] == 405
    # Who is signed in goes where they wanted to go.
    cookie = sign_in(unserved.link("anna")["url"])
    status, headers, _ = ask("GET", base + "/login", cookie)
    assert status in (302, 303) and headers["Location"] == "/"


def test_door_stays_for_a_newer_link(unserved):
    first, second = unserved.link("anna", "--local")["url"], unserved.link("anna", "--local")["url"]
    assert base_of(first) == base_of(second)
    assert ask("POST", first)[0] == 404
    sign_in(second)


def test_door_at_an_address(unserved):
    port = free_port()
    old = base_of(unserved.link("anna")["url"])
    url = unserved.link("anna", "--listen", f"127.0.0.1:{port}")["url"]
    assert base_of(url) == f"http://127.0.0.1:{port}"
    sign_in(url)
    with pytest.raises(OSError):
        ask("GET", old + "/")


@pytest.mark.parametrize("address", ["0.0.0.0:0", "192.0.2.1:80", "[::]:0", "127.0.0.1", "localhost:80", "x", "127.0.0.1:99999"])
def test_door_on_loopback_alone(unserved, address):
    with pytest.raises(Refused) as refused:
        unserved.link("anna", "--listen", address)
    assert refused.value.status == 1


def test_door_whose_port_is_taken(unserved):
    before = unserved.link("anna")["url"]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(Refused):
            unserved.link("anna", "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
    # Neither the door nor the link before is gone.
    sign_in(before)


def test_door_beside_a_web_side_that_answers(served):
    made = served.link("anna", "--local")
    assert made["local"] is True
    assert urllib.parse.urlsplit(made["url"]).port != served.port
    sign_in(made["url"])


def test_session_is_told(served):
    sign_in(served.link("anna")["url"])
    assert [s["by_link"] for s in served.bridge.ctl("sessions", "list", "--user", "anna")["sessions"]][-1] is True


def test_what_a_person_sees(served):
    shown = served.bridge.human("login-link", "anna", "--local")
    assert shown.returncode == 0
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/login/link/[A-Za-z0-9_-]+\n", shown.stdout)
    assert "ssh -L" in shown.stderr


# --- whoever the source disabled ---

STAFF = """
public_url: "http://127.0.0.1:{port}"
listeners: [{{address: "127.0.0.1:{port}"}}]
sources:
  - {{name: staff, type: csv, path: staff.csv, key: id, interval: 0, attributes: [uid, mail, displayName],
      disabled: ["accountStatus=inactive"]}}
rules: [{{id: admins, when: "(uid=anna)", grant: {{profile: administrator}}}}]
"""
PEOPLE = "id,uid,mail,displayName,accountStatus\n1,anna,anna@x.example,{name},{state}\n2,ben,ben@x.example,Ben,active\n"


@pytest.fixture(name="company")
def with_a_source():
    port = free_port()
    rules = RULES.replace("default_profile: member", "default_profile: member, limits: {first_sync_administrators: true}")
    with Bridge(rules + STAFF.format(port=port), {"staff.csv": PEOPLE.format(name="Anna", state="active")}) as bridge:
        until_listening(bridge)
        bridge.ctl("sync")
        assert bridge.ctl("users", "show", "anna")["profile"] == "administrator"
        yield bridge


def suspend(bridge, name="Anna"):
    bridge.write("staff.csv", PEOPLE.format(name=name, state="inactive"))
    bridge.run("sync")
    for held in bridge.ctl("plans", "list")["plans"]:
        bridge.ctl("apply", held["id"])


def test_the_last_administrator_is_let_in_with_an_alarm(company):
    token = company.ctl("tokens", "create", "own", "--user", "anna")["token"]
    earlier = company.ctl("login-link", "anna")["url"]
    cookie = sign_in(earlier)
    suspend(company)
    assert "sign-in-suspended" in company.ctl("users", "show", "anna")["disabled"]
    # Sessions and tokens end, those by a link, too.
    assert me(earlier, cookie)[0] == 401
    web = Web(int(urllib.parse.urlsplit(earlier).port))
    assert web.ask("GET", "me", token=token)[0] == 401
    url = company.ctl("login-link", "anna")["url"]
    cookie = sign_in(url)
    (alarm,) = [a for a in company.ctl("alarms", "list")["alarms"] if a["kind"] == "login-link"]
    assert "anna" in alarm["text"]
    # They can do what they came for …
    status, answer = me(url, cookie)
    assert status == 200 and answer["administrator"] is True
    status, answer = web.ask("POST", "users", {"username": "helper", "profile": "administrator"}, cookie=cookie,
                             csrf=answer["csrf_token"])
    assert status == 201, answer
    # … their tokens and other ways in stay closed, …
    assert web.ask("GET", "me", token=token)[0] == 401
    web.close()
    assert ask("GET", base_of(url) + "/auth", cookie, {"X-Forwarded-Uri": "/", "X-Forwarded-Host": "x"})[0] != 200
    # … and a restart ends nothing.
    company.stop()
    company.log.write_text("")
    company.start()
    until_listening(company)
    assert me(url, cookie)[0] == 200


def test_a_read_ends_no_session_of_a_link(company):
    suspend(company)
    url = company.ctl("login-link", "anna")["url"]
    cookie = sign_in(url)
    suspend(company, "Annabel")
    assert company.ctl("users", "show", "anna")["display_name"] == "Annabel"
    assert me(url, cookie)[0] == 200
    # With another administrator they are disabled like anybody.
    company.ctl("users", "create", "boss", "--profile", "administrator")
    suspend(company, "Anna")
    assert "source" in company.ctl("users", "show", "anna")["disabled"]
    assert me(url, cookie)[0] == 401
    with pytest.raises(Refused) as refused:
        company.ctl("login-link", "anna")
    assert "user-disabled" in refused.value.output


# --- the link is the first factor alone ---


def app_code(secret, ahead):
    now = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(time.time() + ahead * 30))
    return subprocess.run(["oathtool", "--totp", "--base32", "--now", now, secret.replace(" ", "")],
                          capture_output=True, text=True, check=True).stdout.strip()


def by_link(url):
    """Browser and page after the link's form."""
    browser = Browser()
    return browser, browser.submit(browser.get(url))


def who(browser, url):
    page = browser.request("GET", base_of(url) + "/api/v1/me")
    return page.status_code, page.json()


needs_oathtool = pytest.mark.skipif(not shutil.which("oathtool"), reason="needs oathtool")


@needs_oathtool
@pytest.mark.parametrize("words", [(), ("--local",)], ids=["web side", "door"])
def test_who_must_and_has_none_comes_in_to_enrol(words):
    with Place(WEB) as place:
        place.bridge.ctl("second-factor", "set", "--required", "administrators")
        url = place.link("anna", *words)["url"]
        browser, page = by_link(url)
        assert page.status_code == 200 and page.url.startswith(base_of(url) + "/login/enrol"), (page.url, page.text)
        # Nothing else is open.
        assert who(browser, url)[0] == 401
        page = browser.get(base_of(url) + "/security/add/totp")
        page = browser.submit(page, name="phone")
        secret = lxml.html.fromstring(page.content).find(".//code").text
        page = browser.submit(page, code=app_code(secret, 0))
        assert page.status_code == 200, page.text
        status, answer = who(browser, url)
        assert status == 200 and answer["user"]["username"] == "anna"
        # And is asked for it the next time, wherever that is.
        for more in ((), ("--local",)):
            url = place.link("anna", *more)["url"]
            browser, page = by_link(url)
            assert page.url.startswith(base_of(url) + "/login/factor"), page.url
            assert who(browser, url)[0] == 401
        page = browser.submit(page, code=app_code(secret, 1))
        assert who(browser, url)[0] == 200, page.text
        # One that is lost is reset by root; the link then is enough to enrol another one.
        place.bridge.ctl("factors", "reset", "anna")
        url = place.link("anna", *words)["url"]
        browser, page = by_link(url)
        assert page.url.startswith(base_of(url) + "/login/enrol"), page.url


@needs_oathtool
def test_the_last_administrator_is_asked_for_their_factor(company):
    url = company.ctl("login-link", "anna")["url"]
    browser, _ = by_link(url)
    page = browser.submit(browser.get(base_of(url) + "/security/add/totp"), name="phone")
    secret = lxml.html.fromstring(page.content).find(".//code").text
    page = browser.submit(page, code=app_code(secret, 0))
    suspend(company)
    assert who(browser, url)[0] == 401
    url = company.ctl("login-link", "anna")["url"]
    browser, page = by_link(url)
    assert page.url.startswith(base_of(url) + "/login/factor"), (page.url, page.text)
    page = browser.submit(page, code=app_code(secret, 1))
    status, answer = who(browser, url)
    assert status == 200 and answer["administrator"] is True, page.text
    # What they do from here on is theirs: their own page, too.
    assert browser.get(base_of(url) + "/security").status_code == 200
