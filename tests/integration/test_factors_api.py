"""Second factors, passwords, recovery and policy by API and command: each as people and administrators ask it."""
import calendar
import itertools
import json
import re
import time

import pytest

from bridge import Refused
from browser import Browser
from second_factor import CODE, PASSWORD, RESET, SecondFactor, is_installed, text_of

pytestmark = pytest.mark.skipif(not is_installed(), reason="needs oathtool and nginx")

NEW = "nine loud teapots here"
RECOVERY = re.compile(r"^[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}$")


@pytest.fixture(scope="module", name="world")
def make_world():
    with SecondFactor(policy="") as world:
        yield world


@pytest.fixture(scope="module", name="chief")
def an_administrators_token(world):
    return token_of(world, "chief")


@pytest.fixture(scope="module", name="cal")
def somebody_in_a_session(world):
    return signed_in(world, "cal")


@pytest.fixture(scope="module", name="kim")
def somebody(world):
    return world.person("kim")


class Own:
    """Somebody's browser, as scripts of our own pages ask with it."""

    def __init__(self, world, browser):
        self.world, self.browser = world, browser
        self.csrf = None
        status, answer = self.ask("GET", "me")
        assert status == 200, answer
        self.csrf = answer["csrf_token"]

    def ask(self, method, path, body=None, csrf=True):
        headers = {"X-CSRF-Token": self.csrf} if csrf and self.csrf else {}
        page = self.browser.request(method, f"{self.world.url}/api/v1/{path}", json=body, headers=headers)
        self.headers = page.headers
        return page.status_code, page.json()

    def good(self, method, path, body=None):
        status, answer = self.ask(method, path, body)
        assert status < 300, (method, path, status, answer)
        return answer

    def refused(self, method, path, body=None):
        status, answer = self.ask(method, path, body)
        assert status >= 400, answer
        return status, answer["code"]


def signed_in(world, name, profile="viewer"):
    world.person(name, profile)
    browser, page = world.sign_in(name)
    assert "/login" not in page.url, page.url
    return Own(world, browser)


def with_app(world, own):
    """The secret of an app that was enrolled by API."""
    begun = own.good("POST", "me/factors", {"method": "totp", "name": "phone"})
    own.good("POST", f"me/factors/{begun['id']}/confirm", {"code": world.code(begun["secret"])})
    return begun["secret"], begun["id"]


NUMBERS = itertools.count()


def token_of(world, name):
    return world.bridge.ctl("tokens", "create", f"t{next(NUMBERS)}", "--user", name)["token"]


def bearer(world, token, method, path, body=None):
    page = Browser().request(method, f"{world.url}/api/v1/{path}", json=body,
                             headers={"Authorization": "Bearer " + token})
    return page.status_code, page.json()


def wrong(world, secret):
    """A code of no step that is near."""
    near = {world.code_again(secret, ahead) for ahead in range(-3, 4)}
    return next(code for code in (f"{number:06}" for number in range(10)) if code not in near)


def nothing_secret(world, *secrets):
    rows = json.dumps(world.bridge.ctl("audit", "list", "--limit", "1000"))
    for secret in secrets:
        assert secret not in world.bridge.logged() and secret not in rows


# --- one's own ---


def test_an_app_by_api(world):
    own = signed_in(world, "ada")
    assert own.good("GET", "me/factors") == {"required": False, "methods": own.good("GET", "me/factors")["methods"],
                                             "factors": [], "recovery_codes": {"left": 0, "made": None},
                                             "issued_code_expires": None}
    begun = own.good("POST", "me/factors", {"method": "totp", "name": "phone"})
    assert own.headers["Cache-Control"] == "no-store"
    assert begun["uri"].startswith("otpauth://totp/") and "<svg" in begun["qr"]
    # It is nobody's before it is confirmed.
    assert own.good("GET", "me/factors")["factors"] == []
    assert own.refused("POST", f"me/factors/{begun['id']}/confirm", {"code": wrong(world, begun["secret"])}) == (403, "code-wrong")
    done = own.good("POST", f"me/factors/{begun['id']}/confirm", {"code": world.code(begun["secret"])})
    assert (done["factor"]["method"], done["factor"]["name"]) == ("totp", "phone")
    # The session goes on.
    assert [f["id"] for f in own.good("GET", "me/factors")["factors"]] == [begun["id"]]
    assert own.good("PATCH", f"me/factors/{begun['id']}", {"name": "old phone"})["factor"]["name"] == "old phone"
    # It is asked for from now on.
    browser, page = world.sign_in("ada")
    assert "/login/factor" in page.url
    assert browser.request("GET", world.url + "/api/v1/me").status_code == 401
    nothing_secret(world, begun["secret"], begun["secret"].replace(" ", ""))
    assert own.good("DELETE", f"me/factors/{begun['id']}") == {"removed": begun["id"]}
    assert own.refused("DELETE", f"me/factors/{begun['id']}") == (404, "not-found")
    assert world.rows("factor.*")[-1]["action"] == "factor.remove"


def test_an_address_by_api(world):
    own = signed_in(world, "bea")
    begun = own.good("POST", "me/factors", {"method": "email", "address": "bea@acme.example"})
    code = world.letter("bea", CODE)[1]
    assert own.good("POST", f"me/factors/{begun['id']}/confirm", {"code": code})["factor"]["method"] == "email"
    begun = own.good("POST", "me/factors", {"method": "sms", "address": "+49 170 1234567", "name": "mobile"})
    code = CODE.search(world.gateway.messages[-1])[1]
    confirmed = own.good("POST", f"me/factors/{begun['id']}/confirm", {"code": code})["factor"]
    assert confirmed["name"] == "mobile" and "1234567" not in confirmed["address"]
    assert "1234567" not in json.dumps(own.good("GET", "me/factors"))
    nothing_secret(world, "1701234567")


@pytest.mark.parametrize("body,status,code,field", [
    ({"method": "totp", "name": "x" * 65}, 422, "invalid-request", "name"),
    ({"method": "carrier-pigeon"}, 422, "invalid-request", "method"),
    ({"method": "webauthn"}, 422, "invalid-request", "method"),
    ({"method": "email"}, 422, "invalid-request", "address"),
    ({"method": "email", "address": "not one"}, 422, "invalid-request", "address"),
    ({"method": "sms", "address": "not one"}, 422, None, "address"),
    ({"method": "totp", "secret": "mine"}, 422, "invalid-request", "secret"),
    ({}, 422, "invalid-request", "method"),
])
def test_what_cannot_be_enrolled(cal, body, status, code, field):
    got, answer = cal.ask("POST", "me/factors", body)
    assert (got, answer.get("field")) == (status, field), answer
    assert code is None or answer["code"] == code


def test_only_a_person_in_a_session(world):
    """Neither a token, nor a service, nor the control socket, nor a form of another site."""
    own = signed_in(world, "dan", "administrator")
    token = token_of(world, "dan")
    for method, path, body in (("POST", "me/factors", {"method": "totp"}), ("POST", "me/recovery-codes", None),
                               ("PUT", "me/password", {"current": PASSWORD, "new": NEW}),
                               ("POST", "me/security-keys/options", None)):
        status, answer = bearer(world, token, method, path, body)
        assert (status, answer["code"]) == (403, "session-required"), path
        status, answer = own.ask(method, path, body, csrf=False)
        assert (status, answer["code"]) == (403, "csrf-required"), path
    # Reading one's own is fine.
    assert bearer(world, token, "GET", "me/factors")[0] == 200
    assert bearer(world, token, "GET", "me/devices")[0] == 200
    # A look at them is all that it takes no session for: their person is asked again where they are forgotten.
    for path in ("me/devices", "me/devices/" + "0" * 8 + "-0000-7000-8000-" + "0" * 12):
        status, answer = bearer(world, token, "DELETE", path)
        assert (status, answer["code"]) == (403, "session-required"), path


def test_nobody_elses(world):
    own, other = signed_in(world, "eva"), signed_in(world, "finn")
    _, factor = with_app(world, own)
    assert other.refused("PATCH", f"me/factors/{factor}", {"name": "mine"}) == (404, "not-found")
    assert other.refused("DELETE", f"me/factors/{factor}") == (404, "not-found")
    assert other.refused("POST", f"me/factors/{factor}/confirm", {"code": "123456"})[0] in (403, 404)
    assert other.refused("POST", f"me/factors/{factor}/send")[0] == 404
    assert other.refused("GET", "users/eva/factors") == (403, "not-allowed")
    assert [f["name"] for f in own.good("GET", "me/factors")["factors"]] == ["phone"]


def test_recovery_codes_by_api(world):
    own = signed_in(world, "gus")
    assert own.refused("POST", "me/recovery-codes") == (409, "no-factor")
    with_app(world, own)
    codes = own.good("POST", "me/recovery-codes")["codes"]
    assert own.headers["Cache-Control"] == "no-store"
    assert len(set(codes)) == 10 and all(RECOVERY.match(code) for code in codes)
    assert own.good("GET", "me/factors")["recovery_codes"]["left"] == 10
    nothing_secret(world, *codes)
    again = own.good("POST", "me/recovery-codes")["codes"]
    assert not set(codes) & set(again)
    assert own.good("GET", "me/factors")["recovery_codes"]["left"] == 10


def test_password_by_api(world):
    own = signed_in(world, "hal")
    elsewhere, _ = world.sign_in("hal")
    assert own.refused("PUT", "me/password", {"current": "not it at all", "new": NEW}) == (403, "wrong-password")
    for new, code in (("short", "password-too-short"), ("password1234", "password-too-common"),
                      ("x" * 1025, "invalid-request"), ("hal@acme.example", "password-is-name")):
        status, answer = own.ask("PUT", "me/password", {"current": PASSWORD, "new": new})
        assert (status, answer["code"], answer["field"]) == (422, code, "new")
    assert own.good("PUT", "me/password", {"current": PASSWORD, "new": NEW})["ended"] == 1
    assert elsewhere.request("GET", world.url + "/api/v1/me").status_code == 401
    assert own.ask("GET", "me")[0] == 200
    _, page = world.sign_in("hal")
    assert page.status_code == 403  # the old one
    nothing_secret(world, NEW, PASSWORD)


def test_a_sign_in_that_is_not_fresh(world):
    own = signed_in(world, "ida")
    _, factor = with_app(world, own)
    world.age("ida", 301)
    for method, path, body in (("POST", "me/factors", {"method": "totp"}), ("POST", "me/recovery-codes", None),
                               ("DELETE", f"me/factors/{factor}", None)):
        assert own.refused(method, path, body) == (403, "fresh-sign-in-required"), path


# --- administrators ---


def test_help_for_who_lost_their_phone(world, chief):
    own = signed_in(world, "joe")
    _, factor = with_app(world, own)
    shown = world.bridge.ctl("factors", "list", "joe")
    assert [f["id"] for f in shown["factors"]] == [factor] and "secret" not in json.dumps(shown)
    made = world.bridge.ctl("recovery-code", "issue", "joe", "--lifetime", "30m")
    assert RECOVERY.match(made["code"])
    first = made["code"]
    assert world.bridge.ctl("factors", "list", "joe")["issued_code_expires"] == made["expires"]
    status, made = bearer(world, chief, "POST", "users/joe/recovery-code", {"lifetime": 600})
    assert status == 201
    nothing_secret(world, first, made["code"])
    # They are told.
    world.letter("joe", re.compile("recovery code"))
    browser, page = world.sign_in("joe")
    page = browser.get(world.url + "/login/factor?method=recovery")
    page = browser.submit(page, code=first)
    assert "/login/enrol" not in page.url  # the newer one made it void
    page = browser.get(world.url + "/login/factor?method=recovery")
    page = browser.submit(page, code=made["code"])
    assert "/login/enrol" in page.url, (page.url, text_of(page))
    # It opens nothing else.
    assert browser.request("GET", world.url + "/api/v1/me").status_code == 401
    assert world.bridge.ctl("factors", "list", "joe")["issued_code_expires"] is None


@pytest.mark.parametrize("lifetime,status", [(599, 422), (2592001, 422), (0, 422), (-1, 422), ("1h", 422), (1.5, 422),
                                             (600, 201), (2592000, 201)])
def test_how_long_a_code_is_good(world, chief, kim, lifetime, status):
    begun = int(time.time())
    got, answer = bearer(world, chief, "POST", f"users/{kim}/recovery-code", {"lifetime": lifetime})
    assert got == status, answer
    if status == 201:
        until = calendar.timegm(time.strptime(answer["expires"], "%Y-%m-%dT%H:%M:%SZ"))
        assert begun <= until - lifetime <= time.time()


def test_reset(world):
    own = signed_in(world, "lea")
    with_app(world, own)
    own.good("POST", "me/recovery-codes")
    before = len(world.letters("lea"))
    assert world.bridge.ctl("factors", "reset", "lea")["reset"] >= 1
    shown = world.bridge.ctl("factors", "list", "lea")
    assert shown["factors"] == [] and shown["recovery_codes"]["left"] == 0
    # Sessions go on, and the password is enough again.
    assert own.ask("GET", "me")[0] == 200
    _, page = world.sign_in("lea")
    assert "/login" not in page.url
    end = time.monotonic() + 60
    while len(world.letters("lea")) <= before:
        assert time.monotonic() < end, "nobody told lea"
        time.sleep(0.02)
    with pytest.raises(Refused) as refused:
        world.bridge.ctl("factors", "reset", "lea", "01234567-89ab-7def-8123-456789abcdef")
    assert "not-found" in refused.value.output


def test_nobody_helps_themselves_nor_their_betters(world):
    boss = signed_in(world, "max", "administrator")
    assert boss.refused("POST", "users/max/recovery-code", {}) == (409, "self-recovery")
    assert boss.refused("DELETE", "users/max/factors") == (409, "self-reset")
    world.bridge.ctl("profiles", "create", "desk", "--permissions",
                     "factors:*@all,recovery-codes:*@all,users:*@all,accounts:read@own")
    desk = signed_in(world, "ned", "desk")
    world.person("ola")
    assert desk.good("GET", "users/ola/factors")["factors"] == []
    assert desk.ask("POST", "users/ola/recovery-code", {})[0] == 201
    assert desk.ask("POST", "users/ola/password-reset")[0] == 202
    for method, path in (("POST", "users/max/recovery-code"), ("DELETE", "users/max/factors"),
                         ("POST", "users/max/password-reset")):
        assert desk.refused(method, path, {} if path.endswith("code") else None) == (403, "not-allowed"), path
    viewer = signed_in(world, "pia")
    for method, path in (("GET", "users/ola/factors"), ("DELETE", "users/ola/factors"), ("POST", "users/ola/recovery-code"),
                         ("POST", "users/ola/password-reset"), ("GET", "second-factor/default"),
                         ("GET", "second-factor/default/locked-out"), ("GET", "sealing-key"),
                         ("POST", "sealing-key/rotate"), ("POST", "sealing-key/reseal")):
        assert viewer.refused(method, path) == (403, "not-allowed"), path


def test_a_link_that_sets_a_password(world):
    world.person("quin")
    before = len(world.letters("quin", RESET))
    answer = world.bridge.ctl("users", "password-reset", "quin")
    assert answer["email"] == "quin@acme.example"
    link = world.letter("quin", RESET, before)[0]
    assert link.rsplit("/", 1)[1] not in json.dumps(answer)
    browser = Browser()
    page = browser.submit(browser.get(link), **{"new-password": NEW, "repeat-password": NEW})
    assert page.status_code == 200, page.text
    nothing_secret(world, link.rsplit("/", 1)[1])
    world.bridge.ctl("users", "create", "nomail")
    with pytest.raises(Refused) as refused:
        world.bridge.ctl("users", "password-reset", "nomail")
    assert "no-email" in refused.value.output


# --- who must ---


@pytest.fixture(name="fresh")
def another_world():
    with SecondFactor(policy="") as world:
        yield world


def test_policy(fresh):
    shown = fresh.bridge.ctl("second-factor", "show")
    assert (shown["from"], shown["policy"]["required"], shown["version"]) == ("default", "nobody", 1)
    fresh.person("rob")
    fresh.with_totp("sue")
    looked = fresh.bridge.ctl("second-factor", "preview", "--required", "all")
    assert looked["dry_run"] is True
    assert (looked["required"], looked["ready"], looked["locked_out"], looked["locked_out_administrators"]) == (3, 1, 2, 1)
    assert {p["username"] for p in looked["people"]} == {"chief", "rob"}
    assert fresh.bridge.ctl("second-factor", "show")["policy"]["required"] == "nobody"
    first = fresh.bridge.ctl("second-factor", "preview", "--required", "all", "--limit", "1")
    second = fresh.bridge.ctl("second-factor", "preview", "--required", "all", "--limit", "1", "--after", str(first["next"]))
    assert {p["username"] for p in first["people"] + second["people"]} == {"chief", "rob"}
    # Whom nobody can be is nobody who would be locked out: that would look like a policy for few.
    for option, names in (("--profiles", "viewer,vewer"), ("--roles", "nothing-of-that-name")):
        for command in ("preview", "set"):
            with pytest.raises(Refused) as refused:
                fresh.bridge.ctl("second-factor", command, "--required", "chosen", option, names)
            assert names.split(",")[-1] in refused.value.output
    # An administrator who has none does not lock themselves out.
    chief = token_of(fresh, "chief")
    status, answer = bearer(fresh, chief, "PUT", "second-factor/default", {"required": "all"})
    assert (status, answer["code"]) == (409, "self-lockout")
    body = {"required": "all", "methods": ["totp", "webauthn"], "grace": {"until": "2099-12-31", "sign_ins": 5},
            "remember": {"time": 86400, "devices": 3}}
    done = fresh.bridge.ctl("second-factor", "set", "--required", "all", "--methods", "totp,webauthn", "--grace-until",
                            "2099-12-31", "--grace-sign-ins", "5", "--remember", "1d", "--devices", "3")
    assert done["from"] == "store" and done["version"] == 2
    # Whoever saw that nobody had set one yet is told that somebody did.
    with pytest.raises(Refused) as refused:
        fresh.bridge.ctl("second-factor", "set", "--required", "nobody", "--if-match", str(shown["version"]))
    assert "stale-version" in refused.value.output
    assert {key: done["policy"][key] for key in body} == body
    # Browsers are remembered as long as is said, and not otherwise.
    never = fresh.bridge.ctl("second-factor", "set", "--remember", "0")
    assert never["policy"]["remember"]["time"] == 0
    status, answer = bearer(fresh, chief, "PUT", "second-factor/default", {"required": "nobody"})
    assert status == 200 and answer["policy"]["remember"]["time"] == 0
    # Who was chosen is not, when all are.
    fresh.bridge.ctl("second-factor", "set", "--required", "chosen", "--profiles", "viewer")
    done = fresh.bridge.ctl("second-factor", "set", "--required", "all", "--methods", "totp,webauthn")
    assert done["policy"]["profiles"] == []
    # Only what is said is other than before.
    again = fresh.bridge.ctl("second-factor", "set", "--required", "administrators")
    assert again["policy"]["methods"] == ["totp", "webauthn"] and again["version"] > done["version"]
    with pytest.raises(Refused) as refused:
        fresh.bridge.ctl("second-factor", "set", "--required", "all", "--if-match", str(done["version"]))
    assert "stale-version" in refused.value.output
    listed = fresh.bridge.ctl("second-factor", "preview")
    assert listed["locked_out_administrators"] == 1
    assert [row["actor"] for row in fresh.rows("second-factor.set")][-1].startswith("unix:")
    # Where a file says it, it is read here.
    fresh.enforce("second_factor: {required: nobody}")
    shown = fresh.bridge.ctl("second-factor", "show")
    assert (shown["from"], shown["policy"]["required"]) == ("file", "nobody")
    with pytest.raises(Refused) as refused:
        fresh.bridge.ctl("second-factor", "set", "--required", "all")
    assert "managed-by-config" in refused.value.output


@pytest.mark.parametrize("body,field", [
    ({}, "required"), ({"required": "everybody"}, None), ({"required": "all", "methods": ["fax"]}, None),
    ({"required": "all", "grace": {"until": "tomorrow"}}, None), ({"required": "all", "grace": {"sign_ins": -1}}, "grace.sign_ins"),
    ({"required": "all", "remember": {"time": "1d"}}, "remember.time"), ({"required": ["all"]}, "required"),
    ({"required": "all", "profiles": "x"}, "profiles"), ({"required": "all", "colour": "red"}, "colour"),
    ({"required": "chosen", "profiles": ["a\nb"]}, "profiles[0]"),
])
def test_what_is_no_policy(world, chief, body, field):
    status, answer = bearer(world, chief, "PUT", "second-factor/default", body)
    assert status in (400, 422) and answer["code"] == "invalid-request", answer
    assert field is None or answer["field"] == field
    assert world.bridge.ctl("second-factor", "show")["policy"]["required"] == "nobody"


def test_sealing_key(fresh):
    secret = fresh.with_totp("tom")
    before = fresh.bridge.ctl("sealing-key", "status")
    assert before["own"] is True
    (key,) = before["keys"]
    assert key["seals"] and key["present"] and key["secrets"] == 1
    after = fresh.bridge.ctl("sealing-key", "rotate")
    assert [(k["seals"], k["secrets"]) for k in after["keys"]] == [(True, 0), (False, 1)]
    # What is sealed under the old one still opens.
    browser, page = fresh.sign_in("tom")
    page = browser.submit(page, code=fresh.code(secret))
    assert "/login" not in page.url
    run = fresh.bridge.ctl("sealing-key", "reseal")
    assert run["result"]["resealed"] == 1 and run["result"]["unreadable"] == 0
    assert [k["secrets"] for k in fresh.bridge.ctl("sealing-key", "status")["keys"]] == [1, 0]
    assert len(fresh.bridge.ctl("sealing-key", "forget-unused")["keys"]) == 1
    browser, page = fresh.sign_in("tom")
    page = browser.submit(page, code=fresh.code(secret))
    assert "/login" not in page.url
    fresh.restart()
    browser, page = fresh.sign_in("tom")
    page = browser.submit(page, code=fresh.code(secret))
    assert "/login" not in page.url


def test_what_a_person_sees(fresh):
    fresh.with_totp("uma")
    shown = fresh.bridge.human("factors", "list", "uma")
    assert shown.returncode == 0 and "totp" in shown.stdout and "Recovery codes left: 0" in shown.stdout
    made = fresh.bridge.human("recovery-code", "issue", "uma")
    assert RECOVERY.match(made.stdout.strip()) and "this once" in made.stderr
    assert fresh.bridge.human("recovery-code", "issue", "uma", "--lifetime", "soon").returncode == 2
    assert "Locked out: 1" in fresh.bridge.human("second-factor", "preview", "--required", "all").stdout
    assert "required of nobody" in fresh.bridge.human("second-factor", "show").stdout
    assert "seals" in fresh.bridge.human("sealing-key", "status").stdout
    assert "Reset: 1" in fresh.bridge.human("factors", "reset", "uma").stdout
