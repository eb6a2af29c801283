"""Ten thousand guesses at passwords, codes and recovery codes, from one address and from many: hardly any is looked at, few
are told, and whose they are gets in all the same. What guesses cost is counted in hashes, not in time."""
import concurrent.futures
import contextlib
import http.client
import itertools
import re
import secrets
import socket
import sys
import time
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
from bridge import Bridge  # noqa: E402
from browser import Browser, Form  # noqa: E402
from mail_server import MailServer  # noqa: E402
from ports import free_port  # noqa: E402
from second_factor import CODE, CONFIG as SECOND_FACTOR, PASSWORD, RESET, SecondFactor, is_installed  # noqa: E402
from test_second_factor import post  # noqa: E402

GUESSES = 10000
THREADS = 4
ATTEMPTS = 5
CONFIG = """
public_url: http://127.0.0.1:{web}
listeners: ["127.0.0.1:{web}"]
trusted_proxies: ["127.0.0.1"]
mail: {{url: "smtp://127.0.0.1:{mail}", from: bridge@acme.example}}
passwords: {{enabled: true, memory: 8MiB, operations: 1, waiting: 24}}
throttle: {throttle}
profiles:
  - {{name: administrator, permissions: ["*:*@all"]}}
  - {{name: viewer, permissions: ["accounts:read@own"]}}
policy: {{default_profile: viewer}}
"""
# Whatever is let pass is let pass at once: no test waits for an hour to be over.
LONG = f"{{attempts: {ATTEMPTS}, address_attempts: 50, delay: 1h, delay_max: 1h}}"
SHORT = f"{{attempts: {ATTEMPTS}, address_attempts: 50, delay: 1s, delay_max: 1s}}"
HASHES = re.compile(r"^rolebridge_password_hashes_total (\d+)$", re.M)
REFUSED = re.compile(r'^rolebridge_throttle_refused_total\{by="(account|address)"\} (\d+)$', re.M)


class Client:
    """A form's posts over one connection, each as from an address of its own or one that is given."""

    def __init__(self, url, form, cookies, address=None):
        self.parts = urlsplit(url)
        self.connection = http.client.HTTPConnection(self.parts.hostname, self.parts.port, timeout=120)
        self.form, self.cookies, self.address = form, cookies, address

    def post(self, address=None, **values):
        """Status, headers and body."""
        self.connection.request("POST", urlsplit(self.form.url).path, urlencode({**self.form.fields, **values}), {
            "Content-Type": "application/x-www-form-urlencoded",
            "Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items()),
            "X-Forwarded-For": address or self.address})
        answer = self.connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()


class World:
    def __init__(self, throttle):
        self.throttle = throttle
        self.numbers = itertools.count(1)

    def __enter__(self):
        self.mail = MailServer().start()
        self.url = f"http://127.0.0.1:{(web := free_port())}"
        self.bridge = Bridge(CONFIG.format(web=web, mail=self.mail.port, throttle=self.throttle))
        try:
            self.bridge.start()
            self.bridge.ctl("users", "create", "chief", "--profile", "administrator")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.bridge.close()
        self.mail.stop()

    def address(self):
        number = next(self.numbers)
        return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"

    def browser(self, address=None):
        browser = Browser()
        browser.session.headers["X-Forwarded-For"] = address or self.address()
        return browser

    def person(self, name):
        """Somebody with PASSWORD."""
        seen = len(self.mail.envelopes)
        self.bridge.ctl("users", "create", name, "--email", f"{name}@acme.example", "--profile", "viewer")
        browser = self.browser()
        browser.submit(browser.get(self.url + "/password/forgot"), username=name)
        # Letters to others may still be on their way.
        while self.mail.wait(seen + 1)[seen].rcpt_tos != [f"{name}@acme.example"]:
            seen += 1
        link = RESET.search(self.mail.message(seen).get_content())[0]
        page = browser.submit(browser.get(link), **{"new-password": PASSWORD, "repeat-password": PASSWORD})
        assert page.status_code == 200
        return name

    def sign_in(self, name, address=None, password=PASSWORD):
        browser = self.browser(address)
        return browser.submit(browser.get(self.url + "/login"), username=name, password=password)

    def client(self, address=None):
        browser = self.browser()
        form = Form(browser.get(self.url + "/login"))
        return Client(self.url, form, browser.cookies(self.url), address)

    def guess(self, names, address=None, guesses=GUESSES):
        """How often each status came. names: for each guess in turn; address None: each from another."""
        clients = [self.client(address) for _ in range(THREADS)]

        def work(client, first):
            counts = {}
            for number in range(first, guesses, THREADS):
                status, headers, body = client.post(address or f"172.16.{number >> 8}.{number & 255}",
                                                    username=names[number % len(names)],
                                                    password=secrets.token_hex(8))
                counts[status] = counts.get(status, 0) + 1
                assert "Location" not in headers and "rolebridge=" not in str(headers.get_all("Set-Cookie"))
                assert status == 403 or int(headers["Retry-After"]) >= 1, body
            return counts

        total = {}
        with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
            for counts in pool.map(work, clients, range(THREADS)):
                for status, count in counts.items():
                    total[status] = total.get(status, 0) + count
        assert sum(total.values()) == guesses
        return total

    def metrics(self):
        return Browser().get(self.url + "/metrics").text

    def hashes(self):
        return int(HASHES.search(self.metrics())[1])

    def refused(self):
        return {by: int(count) for by, count in REFUSED.findall(self.metrics())}

    def rows(self):
        return self.bridge.ctl("audit", "list", "--action", "login.refused", "--limit", "1000")["rows"]


@pytest.fixture(scope="module", name="world")
def make_world():
    with World(LONG) as world:
        yield world


def signed_in(page):
    return page.status_code == 200 and "You are signed in" in page.text


@pytest.mark.parametrize("known", [True, False])
def test_one_account_from_everywhere(world, known):
    """Whether there is such an account or not: as many are hashed, as many told."""
    name = world.person("anna") if known else "nobody-at-all"
    home = world.address()
    assert signed_in(world.sign_in(name, home)) == known
    hashes, rows, refused = world.hashes(), len(world.rows()), world.refused()
    counts = world.guess([name])
    # The owner's first one counted for nobody at all.
    left = ATTEMPTS if known else ATTEMPTS - 1
    assert counts == {403: left, 429: GUESSES - left}
    assert world.hashes() - hashes == left
    assert world.refused()["account"] - refused["account"] == GUESSES - left
    assert len(world.rows()) - rows <= left + 2
    if known:
        # Where they signed in before they still do; elsewhere the right one has to wait.
        assert signed_in(world.sign_in(name, home))
        assert world.sign_in(name).status_code == 429
    assert world.sign_in("chief", password="wrong").status_code == 403, "others are not concerned"


def test_many_accounts_from_one_address(world):
    """One password for everybody: the address has to wait, and whoever works there does not."""
    world.person("bert")
    home = world.address()
    assert signed_in(world.sign_in("bert", home))
    hashes, rows = world.hashes(), len(world.rows())
    counts = world.guess([f"name{number}" for number in range(GUESSES)], home)
    assert counts == {403: 50, 429: GUESSES - 50}
    assert world.hashes() - hashes == 50
    assert len(world.rows()) - rows <= 52
    assert signed_in(world.sign_in("bert", home))
    # Who has not been there before waits as the guesser does, and gets in from elsewhere.
    world.person("carl")
    assert world.sign_in("carl", home).status_code == 429
    assert signed_in(world.sign_in("carl"))


def test_one_account_spelt_in_all_ways(world):
    world.person("dora")
    hashes = world.hashes()
    counts = world.guess(["dora", "DORA", "Dora", " dora", "dora ", "ＤＯＲＡ"], guesses=600)
    assert counts[403] == ATTEMPTS and world.hashes() - hashes == ATTEMPTS


def test_one_account_by_all_its_names(world):
    """Name, address and UUID have one count. Who guesses is not told: what is held looks wrong, and costs as much."""
    world.person("ella")
    home = world.address()
    uuid = world.bridge.ctl("users", "show", "ella")["id"]
    assert signed_in(world.sign_in("ella", home))
    hashes = world.hashes()
    counts = world.guess(["ella", "ella@acme.example", uuid], guesses=600)
    # Each name is throttled like one that nobody has.
    assert counts == {403: 3 * ATTEMPTS, 429: 600 - 3 * ATTEMPTS}
    assert world.hashes() - hashes == 3 * ATTEMPTS
    assert sum(row["detail"]["reason"] == "wrong-password" for row in world.rows()
               if row["object"] == f"user:{uuid}") == ATTEMPTS
    # By a name that was not guessed at, too.
    world.person("elmo")
    world.guess(["elmo"], guesses=20)
    page = world.sign_in("elmo@acme.example")
    assert page.status_code == 403 and "is not right" in page.text
    # Where she signed in before she still does.
    assert signed_in(world.sign_in("ella", home))


def test_unknown_wrong_and_without_password_cost_the_same(world):
    """Counted in hashes: one each, whoever it is."""
    world.person("emil")
    world.bridge.ctl("users", "create", "without", "--email", "without@acme.example", "--profile", "viewer")
    world.person("gone")
    world.bridge.ctl("users", "disable", "gone")
    costs = {}
    for name, password in (("emil", "wrong"), ("emil", PASSWORD), ("no-one", "wrong"), ("without", "wrong"),
                           ("gone", "wrong"), ("emil@acme.example", "wrong"), ("x" * 300, "wrong")):
        before = world.hashes()
        world.sign_in(name, password=password)
        costs[name, password] = world.hashes() - before
    assert set(costs.values()) == {1}, costs
    # And what is longer than any costs nothing, whoever it is.
    before = world.hashes()
    for name in ("emil", "no-one"):
        assert world.sign_in(name, password="x" * 1025).status_code == 403
    assert world.hashes() == before


def test_letters_are_not_sent_without_end(world):
    """A link for somebody else, again and again: their mailbox is not filled."""
    world.person("fritz")
    # One was sent to set the first one.
    before = len([e for e in world.mail.envelopes if "fritz@acme.example" in e.rcpt_tos])
    for _ in range(40):
        browser = world.browser()
        browser.submit(browser.get(world.url + "/password/forgot"), username="fritz")
    # Everything that was queued before is out when this is.
    world.person("after")
    sent = [e for e in world.mail.envelopes if "fritz@acme.example" in e.rcpt_tos]
    assert before <= len(sent) <= ATTEMPTS + 1


def test_afterwards_the_right_one_works():
    """Where the longest delay is a second the owner, who was never here before, gets in after it."""
    with World(SHORT) as world:
        world.person("anna")
        counts = world.guess(["anna"])
        assert set(counts) == {403, 429} and counts[429] > counts[403]
        assert world.hashes() < GUESSES / 10
        wait_until(lambda: signed_in(world.sign_in("anna")))
        assert len(world.rows()) < GUESSES / 5


def wait_until(done):
    end = time.monotonic() + 120
    while not done():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_more_at_once_than_can_be_hashed():
    """Everybody is answered: signed in, or told to come again in a moment; nothing else of the daemon waits."""
    with World("{attempts: 100, address_attempts: 10000}") as world:
        world.bridge.write_config(world.bridge.config.read_text().split("\n", 2)[2].replace(
            "memory: 8MiB, operations: 1, waiting: 24", "memory: 64MiB, operations: 3, workers: 1, waiting: 2"))
        world.person("anna")
        world.bridge.ctl("reload")

        def one(client):
            status, headers, _ = client.post(world.address(), username="anna", password=PASSWORD)
            return status, headers["Retry-After"]

        with concurrent.futures.ThreadPoolExecutor(32) as pool:
            answers = list(pool.map(one, [world.client() for _ in range(32)]))
            assert Browser().get(world.url + "/healthz").status_code == 200
        assert {status for status, _ in answers} == {303, 503}
        assert all(wait == "2" for status, wait in answers if status == 503)
        assert signed_in(world.sign_in("anna"))


# --- second factors ---

needs_app = pytest.mark.skipif(not is_installed(), reason="needs oathtool and nginx")


def other_than(code, number):
    return f"{(int(code) + 1 + number % 999990) % 1000000:06}"


@needs_app
@pytest.mark.parametrize("method, count", [("totp", GUESSES), ("recovery", 2000)])
def test_codes(method, count):
    """Codes of an app, or recovery codes, in a session whose password was right."""
    config = second_factor_config("{attempts: 5, address_attempts: 1000000, delay: 1s, delay_max: 1s}")
    with SecondFactor(config=config) as world:
        secret = world.with_totp("anna")
        browser, _ = world.sign_in("anna")
        client = client_of(world, browser, "?method=" + method)
        right, hashes, told = world.code(secret), hashes_of(world), len(world.rows("factor.refused"))
        statuses = {403: 0, 429: 0}
        for number in range(count):
            guess = other_than(right, number) if method == "totp" else recovery_code()
            status, headers, _ = client.post(code=guess)
            statuses[status] += 1
            assert status == 403 or int(headers["Retry-After"]) >= 1
        assert statuses[429] > statuses[403] >= ATTEMPTS
        assert hashes_of(world) - hashes == (statuses[403] if method == "recovery" else 0)
        # What was looked at, one of each delay, and not the guesses themselves.
        rows = world.rows("factor.refused")
        assert len(rows) - told <= 2 * statuses[403] + 1
        if method == "recovery":  # six digits stand in many a number
            assert guess not in str(rows) and guess not in world.bridge.logged()
        wait_until(lambda: signed_in(browser.submit(browser.get(world.url + "/login/factor"),
                                                    code=world.code(secret))))


@needs_app
def test_a_code_that_was_sent_has_five_tries():
    """However right, it is void afterwards; the next one works, and the one before it never again."""
    with SecondFactor(config=second_factor_config("{attempts: 100, address_attempts: 1000000}")) as world:
        world.person("anna")
        browser, _ = world.sign_in("anna")
        page = browser.submit(browser.get(world.url + "/security/add/sms"), address="+49 170 1234567")
        page = browser.submit(page, code=CODE.search(world.gateway.messages[-1])[1])
        assert page.status_code == 200
        browser, page = world.sign_in("anna")
        page = post(browser, page, "Send a code")
        sent = CODE.search(world.gateway.messages[-1])[1]
        client = Client(world.url, Form(page), browser.cookies(world.url), "10.0.0.1")
        part = "Code from the text message"
        for number in range(5):
            page = post(browser, page, part, code=other_than(sent, number))
            assert page.status_code == 403 and "not right" in page.text
        page = post(browser, page, part, code=sent)
        assert page.status_code == 403 and not signed_in(browser.get(world.url + "/"))
        world.sql("UPDATE challenge SET sent_s = 0")
        page = post(browser, browser.get(world.url + "/login/factor"), "Send a code")
        again = CODE.search(world.gateway.messages[-1])[1]
        assert len(world.gateway.messages) == 3
        if again != sent:
            page = post(browser, page, part, code=sent)
            assert page.status_code == 403
        assert signed_in(post(browser, page, part, code=again))
        assert client.post(code=again)[0] != 200


def recovery_code():
    """As ours look: the first letter says which of them it is."""
    letters = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    text = secrets.choice(letters[:10]) + "".join(secrets.choice(letters) for _ in range(11))
    return "-".join((text[:4], text[4:8], text[8:]))


def hashes_of(world):
    """The proxy's visitors are not shown figures; this machine is."""
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with contextlib.closing(connection):
        connection.sock.connect(str(world.socket))
        connection.request("GET", "/metrics")
        return int(HASHES.search(connection.getresponse().read().decode())[1])


def second_factor_config(throttle):
    return SECOND_FACTOR.replace("throttle: {{attempts: 100, address_attempts: 1000}}",
                          "throttle: " + throttle.replace("{", "{{").replace("}", "}}"))


def client_of(world, browser, query):
    page = browser.get(world.url + "/login/factor" + query)
    return Client(world.url, Form(page), browser.cookies(world.url), "10.0.0.1")
