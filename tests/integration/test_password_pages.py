"""Signing in with a password: the form, the link that sets one, the page of an invite; in a browser without scripts."""
import concurrent.futures
import re

import pytest

from bridge import Bridge
from browser import Browser, Form
from mail_server import MailServer
from ports import free_port

CONFIG = """
public_url: http://127.0.0.1:{web}
listeners: ["127.0.0.1:{web}"]
mail: {{url: "smtp://127.0.0.1:{mail}", from: bridge@acme.example}}
passwords: {{enabled: true, memory: 8MiB, operations: 1}}
throttle: {{attempts: 3, delay: 1h, delay_max: 1h}}
applications:
  - {{name: crm, urls: ["http://app.localhost:{web}"]}}
  - {{name: vault, urls: ["http://vault.localhost:{web}/admin/"], require: {{profiles: [administrator]}}}}
profiles:
  - {{name: administrator, permissions: ["*:*@all"]}}
  - {{name: viewer, permissions: ["accounts:read@own"]}}
policy: {{default_profile: viewer}}
"""
RESET = re.compile(r"http://[a-z0-9.]+:\d+/password/reset/[A-Za-z0-9_-]+")
INVITE = re.compile(r"http://[a-z0-9.]+:\d+/invite/[A-Za-z0-9_-]+")
GOOD = "seven quiet lanterns"
WRONG = "The user name or the password is not right."


class World:
    def __init__(self, bridge, mail, web, host="127.0.0.1"):
        self.bridge, self.mail, self.url = bridge, mail, f"http://{host}:{web}"
        self.application = f"http://app.localhost:{web}/"
        self.seen = 0

    def letter(self):
        """The text of the next message that comes, but that a password was changed."""
        while True:
            self.seen += 1
            self.mail.wait(self.seen)
            text = self.mail.message(self.seen - 1).get_content()
            if "a new password was set" not in text:
                return text

    def resets(self):
        """How many links came so far."""
        return sum(bool(RESET.search(self.mail.message(number).get_content())) for number in range(len(self.mail.envelopes)))

    def link(self):
        return RESET.search(self.letter())[0]

    def get(self, url, headers=None):
        return Browser().request("GET", url, headers=headers)

    def person(self, name, password=GOOD):
        """Somebody who set a password."""
        self.bridge.ctl("users", "create", name, "--email", f"{name}@acme.example", "--profile", "viewer")
        if password:
            assert self.set_password(self.forget(name), password).status_code == 200
        return name

    def forget(self, name):
        """The link that comes for this name."""
        browser = Browser()
        page = browser.submit(browser.get(self.url + "/password/forgot"), username=name)
        assert page.status_code == 200 and "Look into your mailbox" in page.text
        return self.link()

    def set_password(self, link, password, again=None):
        browser = Browser()
        return browser.submit(browser.get(link),
                              **{"new-password": password, "repeat-password": password if again is None else again})

    def sign_in(self, name, password, browser=None, query="", **fields):
        browser = browser or Browser()
        return browser.submit(browser.get(self.url + "/login" + query), username=name, password=password, **fields)

    def refusals(self):
        rows = self.bridge.ctl("audit", "list", "--action", "login.refused", "--limit", "1000")["rows"]
        return [str(row["detail"]) for row in sorted(rows, key=lambda row: row["seq"])]


@pytest.fixture(scope="module", name="world")
def make_world():
    web = free_port()
    with MailServer() as mail, Bridge(CONFIG.format(web=web, mail=mail.port)) as bridge:
        bridge.ctl("users", "create", "chief", "--profile", "administrator")
        yield World(bridge, mail, web)


def test_the_whole_road(world):
    world.person("anna")
    browser = Browser()
    page = world.sign_in("anna", GOOD, browser)
    assert page.status_code == 200 and page.url == world.url + "/" and "You are signed in" in page.text
    sessions = world.bridge.ctl("sessions", "list", "--user", "anna")["sessions"]
    assert len(sessions) == 1
    # and from /login they are sent on
    assert browser.get(world.url + "/login").url == world.url + "/"


@pytest.mark.parametrize("name", ["Berta", "BERTA", "berta@acme.example", "Berta@Acme.Example"])
def test_names_are_read_as_people_write_them(world, name):
    if not [r for r in world.bridge.ctl("users", "list")["users"] if r["username"] == "berta"]:
        world.person("berta")
    assert "You are signed in" in world.sign_in(name, GOOD).text


def test_unknown_and_wrong_look_alike(world):
    world.person("cora")
    pages = [world.sign_in(name, "a wrong password") for name in ("cora", "nobody-at-all")]
    texts = [re.sub(r'value="[^"]*"', "", page.text) for page in pages]
    assert texts[0] == texts[1] and WRONG in texts[0]
    assert [page.status_code for page in pages] == [403, 403]
    names = [{name.lower() for name in page.headers} for page in pages]
    assert names[0] == names[1]


def test_what_was_typed_comes_back_but_for_the_password(world):
    page = world.sign_in('<"x">', "hidden-from-all")
    assert "&lt;&quot;x&quot;&gt;" in page.text and "hidden-from-all" not in page.text
    assert "hidden-from-all" not in world.bridge.logged() and '<"x">' not in world.bridge.logged()


def test_the_start_page_names_what_is_open_to_them(world):
    world.person("dave")
    page = world.sign_in("dave", GOOD).text
    assert "Open crm" in page and world.application.rstrip("/") in page
    assert "vault" not in page


def test_where_they_wanted_to_go(world):
    world.person("dora")
    page = world.sign_in("dora", "wrong first", query="?return=" + world.url + "/healthz")
    assert Form(page).fields["return"] == world.url + "/healthz"
    browser = Browser()
    page = world.sign_in("dora", GOOD, browser, query="?return=" + world.url + "/healthz")
    assert page.url == world.url + "/healthz"
    form = Form(Browser().get(world.url + "/login?return=" + world.application))
    assert form.fields["return"] == world.application
    refused = Browser().get(world.url + "/login?return=https://evil.example/")
    assert refused.status_code == 400
    browser = Browser()
    form = Form(browser.get(world.url + "/login"))
    refused = browser.post(form.url, {**form.fields, "username": "dora", "password": GOOD,
                                      "return": "https://evil.example/"})
    assert refused.status_code == 400
    assert not browser.cookies(world.url).get("rolebridge")


@pytest.mark.parametrize("case", ["no token", "no cookie", "another token", "another site", "same site",
                                  "another origin", "no origin"])
def test_no_other_site_signs_people_in(world, case):
    browser = Browser()
    form = Form(browser.get(world.url + "/login"))
    headers = {}
    form.fields.update(username="chief", password=GOOD)
    if case == "no token":
        del form.fields["csrf"]
    elif case == "another token":
        form.fields["csrf"] = "A" * 43
    elif case == "no cookie":
        browser.session.cookies.clear()
    elif case == "another site":
        headers["Sec-Fetch-Site"] = "cross-site"
    elif case == "same site":
        # Another host below the same domain.
        headers |= {"Sec-Fetch-Site": "same-site", "Origin": world.url}
    elif case == "no origin":
        headers["Origin"] = "null"
    else:
        headers["Origin"] = "https://evil.example"
    page = browser.post(form.url, form.fields, headers=headers)
    assert page.status_code == 403 and "too old" in page.text
    # the form that is shown again is good
    world.person(f"eve-{case.split()[-1]}{len(case)}")
    page = browser.submit(page, username=f"eve-{case.split()[-1]}{len(case)}", password=GOOD)
    assert "You are signed in" in page.text


def test_own_headers_are_fine(world):
    world.person("faye")
    browser = Browser()
    form = Form(browser.get(world.url + "/login"))
    form.fields.update(username="faye", password=GOOD)
    page = browser.post(form.url, form.fields, headers={"Sec-Fetch-Site": "same-origin", "Origin": world.url})
    assert "You are signed in" in page.text


@pytest.mark.parametrize("fields", [{"username": "", "password": "x"}, {"username": "x", "password": ""}])
def test_empty_fields(world, fields):
    page = world.sign_in(fields["username"], fields["password"])
    assert page.status_code == 422 and "Please give" in page.text


def test_overlong_fields(world):
    assert WRONG in world.sign_in("x" * 321, GOOD).text
    assert WRONG in world.sign_in("chief", "x" * 1025).text


def test_guesses_are_throttled_and_the_right_one_waits_no_longer_than_told(world):
    world.person("gina")
    answers = [world.sign_in("gina", f"guess number {i}").status_code for i in range(6)]
    assert answers[:3] == [403] * 3 and answers[-1] == 429
    page = world.sign_in("gina", GOOD)
    assert page.status_code == 429 and int(page.headers["Retry-After"]) <= 3600 and "Too many attempts" in page.text
    assert any("rate-limited" in text for text in world.refusals())


def test_disabled(world):
    world.person("hana")
    world.bridge.ctl("users", "disable", "hana", "--reason", "left")
    page = world.sign_in("hana", GOOD)
    assert page.status_code == 403 and ("No access" in page.text or WRONG in page.text)
    assert not world.bridge.ctl("sessions", "list", "--user", "hana")["sessions"]


# --- the link of a letter ---


def test_forgotten(world):
    world.person("ida")
    signed_in = Browser()
    world.sign_in("ida", GOOD, signed_in)
    first = world.forget("ida@acme.example")
    second = world.forget("ida")
    assert "There is a newer link" in Browser().get(first).text
    for _ in range(2):
        page = Browser().get(second)
        assert page.status_code == 200 and "ida" in page.text and page.headers["Cache-Control"] == "no-store"
    new = "eleven loud whistles"
    assert "Your password is set" in world.set_password(second, new).text
    assert signed_in.get(world.url + "/").text.count("You are signed in") == 0
    assert WRONG in world.sign_in("ida", GOOD).text
    assert "You are signed in" in world.sign_in("ida", new).text
    assert "This link was used" in Browser().get(second).text
    for broken in (second[:-4] + "AAAA", second[:-4]):
        page = Browser().get(broken)
        assert page.status_code == 404 and 'href="/password/forgot"' in page.text
        page = Browser().post(broken, {"new-password": new, "repeat-password": new})
        assert page.status_code == 404 and 'href="/password/forgot"' in page.text
    for secret in (new, second.rsplit("/", 1)[1]):
        assert secret not in world.bridge.logged()


@pytest.mark.parametrize("header", ["Host", "X-Forwarded-Host", "Forwarded"])
def test_links_are_of_the_name_that_is_configured(world, header):
    """Whatever the browser says that we are called: the letter goes to somebody else."""
    name = f"host-{header.lower()}"
    world.person(name, None)
    browser = Browser()
    form = Form(browser.get(world.url + "/password/forgot"))
    value = "host=evil.example" if header == "Forwarded" else "evil.example"
    # By hand: with another Host the library would keep it to itself.
    cookie = "; ".join("=".join(pair) for pair in browser.cookies(world.url).items())
    page = Browser().request("POST", form.url, data={**form.fields, "username": name},
                             headers={header: value, "Cookie": cookie})
    assert page.status_code == 200 and "Look into your mailbox" in page.text
    assert world.link().startswith(world.url + "/password/reset/")


def test_a_link_many_times_at_once(world):
    world.person("iris", None)
    link = world.forget("iris")
    passwords = [f"eleven loud whistles {number}" for number in range(8)]
    with concurrent.futures.ThreadPoolExecutor(len(passwords)) as pool:
        pages = list(pool.map(lambda password: Browser().post(
            link, {"new-password": password, "repeat-password": password}), passwords))
    assert sorted(page.status_code for page in pages) == [200] + [409] * 7
    for password, page in zip(passwords, pages):
        if page.status_code == 200:
            assert "You are signed in" in world.sign_in("iris", password).text


def test_forgotten_by_nobody(world):
    before = world.resets()
    browser = Browser()
    page = browser.submit(browser.get(world.url + "/password/forgot"), username="no-such-person")
    known = Browser()
    world.person("jane", None)
    other = known.submit(known.get(world.url + "/password/forgot"), username="jane")
    assert page.text == other.text and page.status_code == other.status_code
    world.letter()
    assert world.resets() == before + 1


CASES = {"short": ("Zq8-Zq8", None, "This is too short: 12 characters at least."),
         "differ": (GOOD, GOOD + "x", "These two are not the same."),
         "name": ("kate@acme.example", None, "This is your name"),
         "common": ("password1234", None, "tried first"),
         "long": ("x y" * 400, None, "This is too long."),
         "none": ("", None, "Please choose a password.")}


@pytest.mark.parametrize("case", sorted(CASES))
def test_passwords_that_are_refused(world, case):
    password, again, text = CASES[case]
    if not [r for r in world.bridge.ctl("users", "list")["users"] if r["username"] == "kate"]:
        world.person("kate", None)
        world.kate = world.forget("kate")
    page = world.set_password(world.kate, password, again)
    assert page.status_code == 422 and text in page.text, page.text
    assert 'aria-invalid="true"' in page.text and "<title>Problem: " in page.text
    if password:
        assert password not in page.text or case == "name"


def test_no_other_site_sets_passwords(world):
    world.person("lena", None)
    link = world.forget("lena")
    browser = Browser()
    form = Form(browser.get(link))
    form.fields.update({"new-password": GOOD, "repeat-password": GOOD})
    page = browser.post(form.url, form.fields, headers={"Sec-Fetch-Site": "cross-site"})
    assert page.status_code == 403
    assert "Your password is set" in world.set_password(link, GOOD).text


# --- invites ---


def invite(world, name):
    world.bridge.ctl("invites", "create", f"{name}@acme.example", "--profile", "viewer")
    return INVITE.search(world.letter())[0]


def test_an_invite_brings_a_password(world):
    link = invite(world, "mia")
    page = world.set_password(link, "too short")
    assert page.status_code == 422 and "12 characters" in page.text
    assert world.bridge.run("users", "show", "mia@acme.example").returncode != 0
    page = world.set_password(link, GOOD)
    assert page.status_code == 200 and "Your account is ready" in page.text
    assert "You are signed in" in world.sign_in("mia@acme.example", GOOD).text
    page = Browser().get(link)
    assert "This invite was used" in page.text and 'href="/login"' in page.text
    for fields in (None, {"new-password": GOOD, "repeat-password": GOOD}):
        page = Browser().request("POST" if fields else "GET", link[:-1], data=fields)
        assert page.status_code == 404 and "ask whoever invited you" in page.text
    assert GOOD not in world.bridge.logged()


def test_an_invite_brings_the_longest_password(world):
    """Of letters that take six bytes of a form each."""
    password = "".join(chr(ord("а") + number * 7 % 32) for number in range(512))
    page = world.set_password(invite(world, "quinn"), password)
    assert page.status_code == 200 and "Your account is ready" in page.text, page.text
    assert "You are signed in" in world.sign_in("quinn@acme.example", password).text


@pytest.mark.parametrize("fields", [{}, {"without": "password"}], ids=["nothing", "without"])
def test_where_there_is_no_other_way_an_invite_needs_one(world, fields):
    link = invite(world, "nora" + "-x" * len(fields))
    page = Browser().post(link, fields)
    assert page.status_code == 422 and "Please choose a password." in page.text


def test_an_invite_brings_a_password_by_api(world):
    url = world.url + "/api/v1/invites/accept"
    token = invite(world, "olga").rsplit("/", 1)[1]
    answer = Browser().session.post(url, json={"token": token, "password": "olga@acme.example"}, timeout=60)
    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (422, "password-is-name", "password")
    answer = Browser().session.post(url, json={"token": token, "password": GOOD}, timeout=60)
    assert answer.status_code == 200 and answer.json()["sign_in"] is True
    assert "You are signed in" in world.sign_in("olga@acme.example", GOOD).text


def test_no_other_site_accepts(world):
    link = invite(world, "pia")
    page = Browser().post(link, {"new-password": GOOD, "repeat-password": GOOD},
                          headers={"Origin": "https://evil.example"})
    assert page.status_code == 403
    assert world.bridge.run("users", "show", "pia@acme.example").returncode != 0
