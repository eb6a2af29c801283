"""Second factors on the pages, without scripts: asked for, added, lost and replaced; what is refused, and what is told."""
import re

import contextlib
import re
import sqlite3
import time

import lxml.html
import pytest

import idp
from browser import Form
from second_factor import CODE, CONFIG, PASSWORD, SecondFactor, is_installed, text_of
from signin import APPLICATIONS, SignIn

pytestmark = pytest.mark.skipif(not is_installed(), reason="needs oathtool and nginx")

WRONG = "This code is not right"
TOO_OLD = "This form is too old"


@pytest.fixture(scope="module", name="world")
def make_world():
    with SecondFactor() as world:
        yield world


def links(page):
    """Addresses of the page's links by their text."""
    document = lxml.html.fromstring(page.content)
    document.make_links_absolute(page.url)
    return {" ".join(link.text_content().split()): link.get("href") for link in document.findall(".//a[@href]")}


def form_of(page, part):
    """The form whose address or button says this."""
    document = lxml.html.fromstring(page.content)
    document.make_links_absolute(page.url)
    for form in document.forms:
        if part in (form.action or page.url) or part in form.text_content():
            return (form.action or page.url,
                    {field.get("name"): field.value or "" for field in form.inputs
                     if field.get("name") and field.get("type") != "checkbox"})
    raise AssertionError(f"no form {part!r} at {page.url}: {text_of(page)[:1500]}")


def post(browser, page, part, **values):
    url, fields = form_of(page, part)
    return browser.post(url, {**fields, **values})


def signed_in(world, browser):
    return "You are signed in" in browser.get(world.url + "/").text


# --- the road ---


def test_an_app_is_added_and_asked_for(world):
    secret = world.with_totp("anna")
    browser, page = world.sign_in("anna")
    assert page.url.startswith(world.url + "/login/factor") and "One more step" in page.text
    assert "Your administrator can give you a recovery code" in page.text, "whoever lost it needs a way"
    # Nothing is open to who has not come so far.
    for path in ("/", "/security"):
        assert browser.get(world.url + path).url.startswith(world.url + "/login/factor")
    assert browser.request("GET", world.url + "/api/v1/me").status_code == 401
    before = dict(browser.cookies(world.url))
    page = browser.submit(page, code=world.code(secret))
    assert page.url == world.url + "/" and "You are signed in" in page.text
    assert browser.cookies(world.url)["rolebridge"] != before["rolebridge"], "another token"
    session, = [s for s in world.sessions("anna") if s["second_factor"]][-1:]
    assert session


def test_on_to_the_application(world):
    """Where they wanted to go is kept through all of it, by a hand-off that was begun before."""
    secret = world.with_totp("bert")
    browser, page = world.sign_in("bert", world.crm + "deep?a=b")
    assert "/login/factor" in page.url
    # Nothing is open to the application either.
    assert browser.request("GET", world.crm).status_code in (302, 303)
    page = browser.submit(page, code=world.code(secret))
    assert page.url == world.crm + "deep?a=b" and ["Remote-User", "bert"] in page.json()["headers"]


def test_a_wrong_code_and_then_the_right_one(world):
    secret = world.with_totp("carl")
    browser, page = world.sign_in("carl")
    wrong = f"{(int(world.code(secret)) + 1) % 1000000:06}"
    for code, says in (("", WRONG), ("abc", WRONG), (wrong, WRONG), ("1" * 60, WRONG)):
        page = browser.submit(page, code=code)
        assert page.status_code == 403 and says in page.text and not signed_in(world, browser), code
    code = world.code(secret)
    page = browser.submit(page, code=f" {code[:3]} {code[3:]} ")
    assert "You are signed in" in page.text
    refusals = world.rows("factor.refused")
    assert any("code-wrong" in str(row) for row in refusals)
    assert wrong not in str(refusals), "what was typed is told to nobody"


def test_a_code_is_good_once(world):
    secret = world.with_totp("dora")
    browser, page = world.sign_in("dora")
    code = world.code(secret)
    other, later = world.sign_in("dora")
    assert "You are signed in" in browser.submit(page, code=code).text
    page = other.submit(later, code=code)
    assert page.status_code == 403 and "was used already" in page.text
    assert "You are signed in" in other.submit(page, code=world.code(secret)).text


def test_a_code_of_the_future_or_the_past(world):
    secret = world.with_totp("emil")
    browser, page = world.sign_in("emil")
    world.code(secret)
    for ahead in (-4, 4, 100):
        page = browser.submit(page, code=world.code_again(secret, ahead))
        assert page.status_code == 403 and not signed_in(world, browser), ahead


# --- forms ---


def test_a_form_from_elsewhere(world):
    secret = world.with_totp("fred")
    browser, page = world.sign_in("fred")
    form = Form(page)
    for spoiled, headers in (({"csrf": ""}, {}), ({"csrf": "x" * 43}, {}), ({}, {"Origin": "https://evil.example"}),
                             ({}, {"Sec-Fetch-Site": "cross-site"})):
        answer = browser.post(form.url, {**form.fields, "code": world.code(secret), **spoiled}, headers=headers)
        assert answer.status_code == 403 and TOO_OLD in answer.text and not signed_in(world, browser)
    # Of another session.
    other, theirs = world.sign_in("fred")
    answer = browser.post(form.url, {**form.fields, "csrf": Form(theirs).fields["csrf"], "code": world.code(secret)})
    assert answer.status_code == 403 and not signed_in(world, browser)
    assert "You are signed in" in browser.submit(page, code=world.code(secret)).text


def test_nobody_is_led_to_another_site(world):
    world.with_totp("gina")
    browser, page = world.sign_in("gina")
    for path in ("/login/factor", "/login/enrol", "/step-up", "/security/add/totp", "/security/recovery-codes"):
        answer = browser.request("GET", f"{world.url}{path}?return=https://evil.example/")
        assert answer.status_code == 400, path
    form = Form(page)
    answer = browser.request("POST", form.url, data={**form.fields, "return": "https://evil.example/"})
    assert answer.status_code == 400


def test_two_tabs(world):
    """What the one tab has done the other finds done."""
    secret = world.with_totp("hugo")
    browser, first = world.sign_in("hugo", world.crm + "one")
    second = browser.get(world.crm + "two")
    assert "/login/factor" in second.url
    page = browser.submit(second, code=world.code(secret))
    assert page.url == world.crm + "two"
    page = browser.submit(first, code="")
    assert page.url == world.crm + "one"
    assert browser.get(world.url + "/login/factor").url == world.url + "/"


def test_too_late(world):
    secret = world.with_totp("ines")
    browser, page = world.sign_in("ines", world.crm)
    world.bridge.stop()
    world.sql("UPDATE session SET until_s = created_s WHERE stage = 1")
    world.bridge.start()
    answer = browser.submit(page, code=world.code(secret))
    assert answer.status_code == 403 and "Please sign in again" in answer.text
    page = browser.get(links(answer)["Sign in"])
    page = browser.submit(page, username="ines", password=PASSWORD)
    assert browser.submit(page, code=world.code(secret)).url == world.crm


def test_sign_in_as_somebody_else(world):
    world.with_totp("jana")
    world.person("kurt")
    browser, page = world.sign_in("jana", world.crm)
    page = post(browser, page, "Sign in as somebody else")
    assert "/login?" in page.url and "Password" in page.text
    assert not [s for s in world.sessions("jana") if s.get("stage") == "factor"]
    page = browser.submit(page, username="kurt", password=PASSWORD)
    assert page.status_code == 200


def test_sign_out_before_the_end(world):
    world.with_totp("karl")
    browser, _ = world.sign_in("karl")
    # Of karl alone: what others left over ends when its time has come.
    before = len(world.sessions("karl"))
    page = browser.submit(browser.get(world.url + "/logout"))
    assert "You are signed out" in page.text and len(world.sessions("karl")) == before - 1
    assert "/login?" in browser.get(world.url + "/login/factor").url or "Password" in browser.get(world.url + "/login").text


def test_back_to_ones_own_page(world):
    """Whoever asks for it before they are through comes to it in the end; to a page on the way in they do not."""
    secret = world.with_totp("leah")
    browser, page = world.sign_in("leah", world.url + "/security/recovery-codes")
    assert browser.submit(page, code=world.code(secret)).url == world.url + "/security/recovery-codes"
    browser, page = world.sign_in("leah", world.url + "/login/factor")
    assert browser.submit(page, code=world.code(secret)).url == world.url + "/"


def test_a_secret_that_waits(world):
    """It can be looked at again, in the session that began it, and until another one is begun."""
    world.person("mary")
    browser, _ = world.sign_in("mary")
    page = browser.submit(browser.get(world.url + "/security/add/totp"), name="One")
    secret = printed(page)[0]
    assert re.fullmatch(r"([A-Z2-7]{4} ){7}[A-Z2-7]{4}", secret) and page.headers["Cache-Control"] == "no-store"
    assert printed(browser.get(page.url))[0] == secret
    other, _ = world.sign_in("mary")
    assert other.get(page.url).status_code == 404
    assert "This code is not right" in browser.submit(page, code="000000").text
    again = browser.submit(browser.get(world.url + "/security/add/totp"), name="Two")
    assert printed(again)[0] != secret
    old = browser.submit(page, code=world.code_again(secret))
    assert old.status_code == 404 and "This is over" in old.text
    page = browser.submit(again, code=world.code_again(printed(again)[0]))
    assert page.url.startswith(world.url + "/security/recovery-codes")
    assert browser.get(again.url).status_code == 404, "shown no more"
    # A name that is taken.
    page = browser.submit(browser.get(world.url + "/security/add/totp"), name="two")
    assert page.status_code == 409 and "of this name already" in page.text


# --- codes that are sent ---


def add_mail(world, browser, name):
    page = browser.get(world.url + "/security/add/email")
    before = len(world.letters(name, CODE))
    page = browser.submit(page)
    assert "/security/confirm/" in page.url and "Six digits, sent to" in page.text, page.text
    page = browser.submit(page, code=world.letter(name, CODE, before)[1])
    assert page.status_code == 200 and "/security" in page.url, page.text


def test_a_code_by_mail(world):
    name = world.person("lena")
    browser, _ = world.sign_in(name)
    add_mail(world, browser, name)
    browser, page = world.sign_in(name, world.crm)
    assert f"{name}@acme.example" not in page.text, "only a hint of the address"
    before = len(world.letters(name, CODE))
    page = post(browser, page, "Send a code")
    code = world.letter(name, CODE, before)[1]
    # Loading it again sends nothing, and the field stays.
    page = browser.get(page.url)
    assert "Code from the e-mail" in page.text
    wrong = f"{(int(code) + 1) % 1000000:06}"
    page = post(browser, page, "Code from the e-mail", code=wrong)
    assert page.status_code == 403 and WRONG in page.text
    assert post(browser, page, "Code from the e-mail", code=code).url == world.crm
    # It is of that session alone.
    other, page = world.sign_in(name)
    page = other.get(page.url + "?method=email&sent=1")
    page = post(other, page, "Code from the e-mail", code=code)
    assert page.status_code == 403 and not signed_in(world, other)
    assert len(world.letters(name, CODE)) == before + 1


def test_nothing_can_be_sent(world):
    """The page says so, and offers what else there is."""
    name = "mona"
    browser, secret = full(world, name)
    add_mail(world, browser, name)
    browser, page = world.sign_in(name)
    page = browser.get(world.url + "/login/factor?method=email")
    world.mail.fail = "451 later"
    try:
        page = post(browser, page, "Send a code")
    finally:
        world.mail.fail = None
    assert page.status_code == 503 and "No e-mail could be sent" in page.text
    page = browser.get(links(page)["Authenticator app"])
    assert "You are signed in" in browser.submit(page, code=world.code(secret)).text


def test_a_code_by_text_message(world):
    name = world.person("nora")
    browser, _ = world.sign_in(name)
    page = browser.get(world.url + "/security/add/sms")
    page = browser.submit(page, address="not a number")
    assert page.status_code == 422 and "no phone number" in page.text and not world.gateway.messages
    world.gateway.status = 500
    page = browser.submit(page, address="+49 170 1234567")
    assert page.status_code == 503 and "No text message could be sent" in page.text
    world.gateway.status = 200
    page = browser.submit(page, address="+49 170 1234567")
    assert "+491701234567" in world.gateway.messages[-1]
    page = browser.submit(page, code=CODE.search(world.gateway.messages[-1])[1])
    assert page.status_code == 200 and "/security" in page.url
    browser, page = world.sign_in(name)
    page = post(browser, page, "Send a code")
    page = post(browser, page, "Code from the text message", code=CODE.search(world.gateway.messages[-1])[1])
    assert "You are signed in" in page.text and len(world.gateway.messages) == 2


# --- recovery codes ---


def printed(page):
    return [code.text for code in lxml.html.fromstring(page.content).findall(".//code")]


SECRETS = {}


def full(world, name, **options):
    """Somebody with an app who is through: browser and secret."""
    if name not in SECRETS:
        SECRETS[name] = world.with_totp(name, **options)
    browser, page = world.sign_in(name)
    assert "You are signed in" in browser.submit(page, code=world.code(SECRETS[name])).text
    return browser, SECRETS[name]


def test_printed_codes(world):
    browser, _ = full(world, "olga")
    page = browser.get(world.url + "/security")
    assert "You have none. Ten codes on paper" in page.text and "0 of ten" not in page.text
    page = browser.get(world.url + "/security/recovery-codes")
    page = browser.submit(page)
    codes = printed(page)
    assert len(set(codes)) == 10 and "never again" in page.text and page.headers["Cache-Control"] == "no-store"
    assert world.url in page.text and "olga" in page.text
    for code in codes:
        assert not world.sql("SELECT 1 FROM recovery_code WHERE hash LIKE ?", (f"%{code}%",))
    browser, page = world.sign_in("olga")
    recovery = browser.get(links(page)["Recovery code"])
    assert "You are signed in" in browser.submit(recovery, code=codes[0]).text
    # Once.
    other, page = world.sign_in("olga")
    page = other.get(links(page)["Recovery code"])
    page = other.submit(page, code=codes[0])
    assert page.status_code == 403 and not signed_in(world, other)
    # New ones make the old ones void.
    page = browser.submit(browser.get(world.url + "/security/recovery-codes"))
    new = printed(page)
    assert len(set(new) | set(codes)) == 20
    page = other.submit(other.get(world.url + "/login/factor?method=recovery"), code=codes[1])
    assert page.status_code == 403
    assert "You are signed in" in other.submit(page, code=new[1].replace("-", "").lower()).text
    assert all(code not in str(world.rows("factor.refused")) for code in codes)


# --- one's own page ---


def test_rename_and_remove(world):
    browser, _ = full(world, "paul")
    page = browser.get(world.url + "/security")
    page = browser.get(links(page)["Change Authenticator app"])
    page = browser.submit(page, name="Red & <b>round</b>")
    assert "has its new name" in page.text and "Red &amp; &lt;b&gt;round&lt;/b&gt;" in page.text
    page = browser.get(links(page)["Change Red & <b>round</b>"])
    assert "Red &amp; &lt;b&gt;" in page.text
    bad = browser.submit(page, name=" ")
    assert bad.status_code in (422, 400) and "cannot be used" in bad.text
    page = post(browser, browser.get(page.url), "Remove")
    assert "The method was removed" in page.text and "You have none yet" in page.text
    browser, page = world.sign_in("paul")
    assert page.url == world.url + "/"
    del SECRETS["paul"]


def test_of_others_nothing_is_seen(world):
    mine, _ = full(world, "quin")
    theirs, _ = full(world, "rita")
    page = theirs.get(world.url + "/security")
    url = links(page)["Change Authenticator app"]
    form = Form(theirs.get(url))
    assert mine.request("GET", url).status_code == 404
    own = Form(mine.get(links(mine.get(world.url + "/security"))["Change Authenticator app"]))
    for way in ("/rename", "/remove"):
        answer = mine.request("POST", url + way, data={"csrf": own.fields["csrf"], "name": "mine"})
        assert answer.status_code == 404, way
    session = theirs.get(world.url + "/security")
    assert form.fields["csrf"] != own.fields["csrf"] and session.status_code == 200
    ids = [s["id"] for s in world.sessions("rita")]
    for one in ids:
        mine.request("POST", f"{world.url}/security/sessions/{one}/end", data={"csrf": own.fields["csrf"]})
    assert [s["id"] for s in world.sessions("rita")] == ids


def test_the_last_one_stays_while_it_is_required(world):
    browser, _ = full(world, "sara")
    world.enforce("second_factor: {required: all}")
    try:
        page = browser.get(links(browser.get(world.url + "/security"))["Change Authenticator app"])
        answer = post(browser, page, "Remove")
        assert answer.status_code == 409 and "add another one first" in answer.text
    finally:
        world.enforce()
    assert "The method was removed" in post(browser, page, "Remove").text
    del SECRETS["sara"]


def test_fresh_sign_in(world):
    browser, secret = full(world, "tina")
    page = browser.get(links(browser.get(world.url + "/security"))["Change Authenticator app"])
    world.age("tina", 400)
    for answer in (post(browser, page, "Remove"), browser.get(world.url + "/security/add/email"),
                   browser.submit(browser.get(world.url + "/security/recovery-codes"))):
        assert answer.status_code == 403 and "Please sign in again" in answer.text
        assert "within five minutes" in answer.text
    assert "has its new name" in browser.submit(browser.get(page.url), name="Other").text, "that needs none"
    # The way leads back to what they were about to do.
    page = browser.get(links(browser.get(world.url + "/security/add/email"))["Sign in again"])
    page = browser.submit(page, username="tina", password=PASSWORD)
    page = browser.submit(page, code=world.code(secret))
    assert page.url == world.url + "/security/add/email" and "E-mail address" in page.text


def test_sessions_of_ones_own(world):
    browser, _ = full(world, "ursa")
    others = [full(world, "ursa")[0] for _ in range(2)]
    page = browser.get(world.url + "/security")
    assert page.text.count("Sign out there") == len(world.sessions("ursa")) - 1 and "This browser" in page.text
    before = world.sessions("ursa")
    page = post(browser, page, "Sign out there")
    assert "The session was ended" in page.text and len(world.sessions("ursa")) == len(before) - 1
    page = post(browser, page, "Sign out everywhere else")
    assert not any(signed_in(world, one) for one in others) and signed_in(world, browser)
    assert len(world.sessions("ursa")) == 1


def test_more_sessions_than_are_shown(world):
    """The newest are, and all of them end."""
    browser, _ = full(world, "ulla")
    assert world.bridge.stop() == 0
    columns = ", ".join(row[1] for row in world.sql("PRAGMA table_info(session)")
                        if row[1] not in ("id", "uuid", "indexed"))
    world.sql(f"INSERT INTO session (uuid, indexed, {columns}) "
              "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600) "
              f"SELECT randomblob(16), 0, {columns} FROM session, n WHERE id = (SELECT max(id) FROM session)")
    world.bridge.start()
    newest, _ = full(world, "ulla")
    page = browser.get(world.url + "/security")
    assert page.text.count("Sign out there") == 100 and "This browser" not in page.text
    post(browser, page, "Sign out everywhere else")
    assert signed_in(world, browser) and not signed_in(world, newest)
    assert len(world.sessions("ulla")) == 1


def test_change_password(world):
    browser, _ = full(world, "vera")
    other, _ = full(world, "vera")
    page = browser.get(links(browser.get(world.url + "/security"))["Change password"])
    new = "five patient otters"
    wrong = browser.submit(page, **{"password": "not this one at all", "new-password": new, "repeat-password": new})
    assert wrong.status_code == 403 and "not your present password" in wrong.text and new not in wrong.text
    short = browser.submit(page, **{"password": PASSWORD, "new-password": "short", "repeat-password": "short"})
    assert short.status_code == 422 and "too short" in short.text
    differ = browser.submit(page, **{"password": PASSWORD, "new-password": new, "repeat-password": new + "x"})
    assert differ.status_code == 422 and "not the same" in differ.text
    done = browser.submit(page, **{"password": PASSWORD, "new-password": new, "repeat-password": new})
    assert "Your password was changed" in done.text
    assert signed_in(world, browser) and not signed_in(world, other)
    _, page = world.sign_in("vera")
    assert page.status_code == 403 and "is not right" in page.text


# --- step-up ---


def test_step_up(world):
    """An application that wants a fresh second factor, and one that does not."""
    browser, secret = full(world, "wanda")
    assert browser.get(world.vault).url == world.vault
    world.age("wanda", 700)
    assert browser.get(world.crm).url == world.crm
    page = browser.get(world.vault + "secret")
    assert page.url.startswith(world.url + "/step-up") and "Confirm that it is you" in page.text
    before = browser.cookies(world.url)["rolebridge"]
    bad = browser.submit(page, code="123")
    assert bad.status_code == 403 and WRONG in bad.text
    page = browser.submit(page, code=world.code(secret))
    assert page.url == world.vault + "secret"
    assert browser.cookies(world.url)["rolebridge"] != before
    # Back to the page: nothing is asked any more.
    assert browser.get(world.url + "/step-up?return=" + world.vault).url == world.vault


def test_step_up_without_a_factor(world):
    world.person("xena")
    browser, _ = world.sign_in("xena")
    page = browser.get(world.vault)
    assert page.status_code == 403 and "You have no second factor yet" in page.text
    page = browser.get(links(page)["Add a second factor"])
    assert page.status_code == 200 and page.url.startswith(world.url + "/security")
    # And on to where they wanted to go.
    page = browser.submit(browser.get(links(page)["Add authenticator app"]))
    page = browser.submit(page, code=world.code(printed(page)[0]))
    page = browser.get(links(page)["Go on without"])
    assert page.url == world.vault


# --- remembered devices ---


def test_remembered(world):
    _, secret = full(world, "yara")
    browser, page = world.sign_in("yara")
    page = browser.submit(page, code=world.code(secret), remember="1")
    assert "You are signed in" in page.text
    browser.post(world.url + "/logout", Form(browser.get(world.url + "/logout")).fields)
    page = world.sign_in("yara", browser=browser)[1]
    assert "You are signed in" in page.text, "not asked again"
    assert "/login/factor" in world.sign_in("yara")[1].url, "elsewhere they are"
    # Nothing is added that could prove more than it does: first they show that it is them.
    page = browser.get(world.url + "/security/add/totp")
    assert page.status_code == 403 and "not asked for your second factor just now" in page.text
    page = browser.submit(browser.get(links(page)["Confirm"]), code=world.code(secret))
    assert page.url == world.url + "/security/add/totp" and "Add authenticator app" in page.text
    # The vault's demand is of age, which a device does not make young again.
    page = browser.get(world.url + "/security")
    assert "Remembered devices" in page.text
    page = post(browser, page, "Forget")
    assert "asked for a second factor again" in page.text
    browser.post(world.url + "/logout", Form(browser.get(world.url + "/logout")).fields)
    assert "/login/factor" in world.sign_in("yara", browser=browser)[1].url


# --- guesses ---


def test_guesses_wait(world):
    """Too many wrong codes: the page says how long to wait, and the right code is good afterwards."""
    config = CONFIG.replace("{{attempts: 100,", "{{attempts: 3, delay: 10s, delay_max: 10s,")
    with SecondFactor(config=config) as small:
        secret = small.with_totp("zoe")
        browser, page = small.sign_in("zoe")
        for _ in range(20):
            page = browser.submit(page, code="000000")
            if page.status_code == 429:
                break
            assert page.status_code == 403 and WRONG in page.text
        assert page.status_code == 429 and "Too many attempts. Please try again in" in page.text
        assert int(page.headers["Retry-After"]) >= 1 and not signed_in(small, browser)
        end = time.monotonic() + 120
        while page.status_code == 429:
            assert time.monotonic() < end
            time.sleep(0.1)
            page = browser.submit(page, code=small.code(secret))
        assert "You are signed in" in page.text


# --- after the identity provider ---


@pytest.fixture(scope="module", name="idp_world")
def make_idp_world():
    if not idp.is_installed():
        pytest.skip("needs SimpleSAMLphp")
    web = "second_factor: {required: nobody}\n"
    vault = APPLICATIONS + """
  - {{name: vault, urls: ["{application}vault/"], require: {{second_factor: true}}}}
"""
    with SignIn(web=web, applications=vault) as world:
        yield world


def code_of(world, secret):
    with contextlib.closing(sqlite3.connect(world.bridge.folder / "store.db", timeout=60)) as store, store:
        store.execute("UPDATE factor SET counter = 0")
    return SecondFactor.code_again(secret)


def test_after_the_identity_provider(idp_world):
    """It proved who they are; what they enrolled here is asked for all the same."""
    world = idp_world
    browser, page = world.sign_in("anna")
    assert page.status_code == 200 and page.url == world.application_url
    # An application that wants a second factor, and none is there: the identity provider may be asked for it.
    page = browser.get(world.application_url + "vault/")
    assert page.status_code == 403 and "Please sign in again" in page.text
    assert "/saml/acme/login?" in links(page)["Sign in again"]

    page = browser.submit(browser.get(world.public_url + "/security/add/totp"))
    secret = lxml.html.fromstring(page.content).find(".//code").text
    page = browser.submit(page, code=code_of(world, secret))
    assert page.url.startswith(world.public_url + "/security/recovery-codes")
    # That was one: the application is open.
    assert browser.get(world.application_url + "vault/").status_code == 200

    browser = world.browser()
    page = browser.sign_in(world.application_url + "vault/", "anna")
    assert page.url.startswith(world.public_url + "/login/factor") and "Anna" in page.text
    assert browser.submit(page, code=code_of(world, secret)).url == world.application_url + "vault/"


def test_fresh_sign_in_at_the_identity_provider(idp_world):
    world = idp_world
    browser, _ = world.sign_in("bert")
    assert world.bridge.stop() == 0
    with contextlib.closing(sqlite3.connect(world.bridge.folder / "store.db", timeout=60)) as store, store:
        store.execute("UPDATE session SET created_s = created_s - 400, signed_in_s = signed_in_s - 400")
    world.bridge.start()
    world.wait_for_metadata()
    page = browser.get(world.public_url + "/security/add/totp")
    assert page.status_code == 403 and "within five minutes" in page.text
    page = browser.get(links(page)["Sign in again"])
    # Asked anew, though the provider knows them still.
    while "/security/add/totp" not in page.url:
        page = browser.submit(page, **({"username": "bert", "password": "treb"} if "username" in page.text else {}))
    assert page.status_code == 200 and "Add authenticator app" in page.text


def test_the_audit_log_holds(world):
    world.bridge.ctl("audit", "verify")
    text = str(world.bridge.ctl("audit", "list", "--limit", "10000"))
    for secret in SECRETS.values():
        assert secret not in text and secret.replace(" ", "") not in text
    assert PASSWORD not in text and PASSWORD not in world.bridge.logged()
