"""Security keys in wrong hands: nothing but the right key, asked here and now, proves anything; all else is told."""
import concurrent.futures
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
import authenticator  # noqa: E402
from authenticator import Authenticator  # noqa: E402
from browser import Browser  # noqa: E402
from keys import MISSING, Keys, key_form  # noqa: E402
from second_factor import CONFIG  # noqa: E402

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)


@pytest.fixture(name="world", scope="module")
def _world():
    with Keys() as world:
        yield world


@pytest.fixture(name="anna", scope="module")
def _anna(world):
    anna = world.person("anna")
    anna.sign_in()
    page = anna.enrol()
    assert page.status_code == 200, page.text
    return anna


@pytest.fixture(name="asked")
def _asked(anna):
    """The page that asks her for her key."""
    page = anna.sign_in()
    assert "/login/factor" in page.url and not anna.is_signed_in()
    return page


def edit(said):
    return said.replace(b"crossOrigin", b"crossorigin")


CASES = {
    "another origin": ({"origin": "http://evil.localhost:1"}, "webauthn-origin"),
    "another port of ours": ({"origin": "http://localhost:1"}, "webauthn-origin"),
    "https instead of http": ({"origin": "https://localhost"}, "webauthn-origin"),
    "framed by another site": ({"more": {"crossOrigin": True}}, "webauthn-origin"),
    "another relying party": ({"rp_id": "evil.localhost"}, "webauthn-rp"),
    "client data changed": ({"edit": edit}, "webauthn-signature"),
    "an answer to enrolling": ({"type_": "webauthn.create"}, "webauthn-type"),
    "a challenge of its own": ({"challenge": "A" * 64}, "webauthn-challenge"),
    "nobody there": ({"flags": 0}, "webauthn-not-present"),
}


@pytest.mark.parametrize("case", sorted(CASES))
def test_refused(world, anna, asked, case):
    said, reason = CASES[case]
    before = world.refusals()
    page = anna.prove(asked, **said)
    assert page.status_code == 403 and not anna.is_signed_in(), page.text
    told = world.refusals()[len(before):]
    assert len(told) == 1 and reason in told[0], told
    # The page says that it did not work, asks anew, and the right answer still works.
    assert "alert" in page.text
    page = anna.browser.get(page.url)
    assert anna.prove(page).status_code == 200 and anna.is_signed_in()


def test_another_key_under_her_name(world, anna, asked):
    key = Authenticator(world.url)
    key.id, key.handle = anna.key.id, anna.key.handle
    before = world.refusals()
    assert anna.prove(asked, key=key).status_code == 403 and not anna.is_signed_in()
    assert "webauthn-signature" in world.refusals()[-1] and len(world.refusals()) == len(before) + 1


def test_a_key_of_somebody_else(world, anna, asked):
    bert = world.person("bert")
    bert.sign_in()
    assert bert.enrol().status_code == 200
    assert anna.prove(asked, key=bert.key).status_code == 403 and not anna.is_signed_in()
    assert "webauthn-credential" in world.refusals()[-1]
    # nor one that nobody has
    assert anna.prove(asked, key=Authenticator(world.url)).status_code == 403 and not anna.is_signed_in()
    assert "webauthn-credential" in world.refusals()[-1]


def test_a_copied_key(world, anna, asked):
    """Its counter is behind that of the one that was used since."""
    for counter in (anna.key.counter, 0):
        assert anna.prove(asked, counter=counter).status_code == 403 and not anna.is_signed_in()
        assert "webauthn-counter" in world.refusals()[-1]
    assert anna.prove(asked).status_code == 200 and anna.is_signed_in()


def test_an_answer_twice(world, anna, asked):
    """What was sent once is sent again, by whoever saw it: in the same session, and in another one."""
    url, fields, options = key_form(asked)
    answer = anna.key.get(options)
    cookies = anna.browser.session.cookies.copy()
    assert anna.browser.post(url, {**fields, **answer}).status_code == 200 and anna.is_signed_in()
    # The session that was: its token is void.
    anna.browser.session.cookies = cookies
    page = anna.browser.post(url, {**fields, **answer})
    assert "Please sign in again" in page.text and not anna.is_signed_in()
    # Another one of hers, with its own form.
    url, fields, _ = key_form(anna.sign_in())
    assert anna.browser.post(url, {**fields, **answer}).status_code == 403 and not anna.is_signed_in()
    assert "webauthn-challenge" in world.refusals()[-1]


def test_a_challenge_twice_in_one_session(world, anna, asked):
    """Stepping up asks again: an answer to the question of before is none, though the counter grew."""
    assert anna.prove(asked).status_code == 200 and anna.is_signed_in()
    url, fields, options = key_form(anna.browser.get(world.url + "/step-up"))
    assert anna.browser.post(url, {**fields, **anna.key.get(options)}).status_code == 200
    page = anna.browser.post(url, {**fields, **anna.key.get(options)})
    assert page.status_code == 409, page.text
    assert "replayed" in world.refusals()[-1]
    assert anna.is_signed_in()


def test_without_the_token_of_the_form(world, anna, asked):
    page = anna.prove(asked, change={"csrf": "A" * 43})
    assert page.status_code == 403 and not anna.is_signed_in()


@pytest.mark.parametrize("field", ["id", "client_data", "authenticator_data", "signature"])
@pytest.mark.parametrize("value", ["", "A", "A A", "é", "A" * 20000])
def test_nonsense(anna, asked, field, value):
    assert anna.prove(asked, change={field: value}).status_code == 403 and not anna.is_signed_in()


def test_too_much(anna, asked):
    assert anna.prove(asked, change={"signature": "A" * 50000}).status_code == 413 and not anna.is_signed_in()


ENROLLING = {
    "another origin": ({"origin": "https://evil.example"}, "webauthn-origin"),
    "an answer to proving": ({"type_": "webauthn.get"}, "webauthn-type"),
    "another relying party": ({"rp_id": "evil.example"}, "webauthn-rp"),
    "nobody there": ({"flags": 0}, "webauthn-not-present"),
    "a challenge of its own": ({"challenge": "B" * 64}, "webauthn-challenge"),
}


@pytest.mark.parametrize("case", sorted(ENROLLING))
def test_enrolling_refused(world, anna, asked, case):
    said, reason = ENROLLING[case]
    anna.prove(asked)
    keys = world.rows("factor.enrol")
    page = anna.enrol(key=Authenticator(world.url), name=case, **said)
    assert page.status_code == 403, page.text
    assert "alert" in page.text and key_form(page) and key_form(anna.browser.get(page.url))
    assert reason in world.refusals()[-1] and world.rows("factor.enrol") == keys != []


def test_a_key_is_one_persons(world, anna, asked):
    """Whoever has another's key at hand cannot enrol it as their own, nor she hers twice."""
    anna.prove(asked)
    page = anna.enrol(name="again")
    assert page.status_code == 409 and "set up already" in page.text
    cora = world.person("cora")
    cora.sign_in()
    page = cora.enrol(key=anna.key)
    assert page.status_code == 409 and "set up already" in page.text


def test_before_the_second_factor_nothing_is_enrolled(world, anna, asked):
    """Who has the password alone cannot add a key of their own."""
    url = world.url + "/security/webauthn"
    page = anna.browser.get(world.url + "/security/add/webauthn")
    assert "/login/factor" in page.url
    _, fields, options = key_form(asked)
    options = {**options, "rp": {"id": "localhost"}, "user": {"id": "AAAA"},
               "pubKeyCredParams": [{"type": "public-key", "alg": -7}]}
    answer = Authenticator(world.url).create(options)
    page = anna.browser.post(url, {**fields, "name": "mine", **answer})
    assert not anna.is_signed_in() and "/login/factor" in page.url


def test_a_key_that_does_not_know_its_owner(world):
    """Without PIN or finger it is a second factor all the same."""
    dora = world.person("dora")
    dora.sign_in()
    assert dora.enrol(flags=authenticator.PRESENT).status_code == 200
    assert dora.prove(dora.sign_in()).status_code == 200 and dora.is_signed_in()


def test_by_api(world):
    """In a session of one's own, with the token against forms of others; what pages refuse is refused."""
    emil = world.person("emil")
    emil.sign_in()
    url, session = world.url + "/api/v1/me", emil.browser.session
    assert session.post(url + "/security-keys/options").status_code == 403
    headers = {"X-CSRF-Token": session.get(url).json()["csrf_token"]}
    options = session.post(url + "/security-keys/options", headers=headers)
    assert options.status_code == 200, options.text
    options = options.json()
    wrong = session.post(url + "/security-keys", headers=headers,
                         json=emil.key.create(options, origin="https://evil.example"))
    assert wrong.status_code == 403 and wrong.json()["code"] == "webauthn-origin"
    assert session.post(url + "/security-keys", headers=headers, json={"id": "A"}).status_code == 422
    made = session.post(url + "/security-keys", headers=headers, json={"name": "red", **emil.key.create(options)})
    assert made.status_code == 201, made.text
    again = session.post(url + "/security-keys", headers=headers, json={"name": "two", **emil.key.create(options)})
    assert again.status_code == 409
    factors = session.get(url + "/factors").json()["factors"]
    assert [(factor["id"], factor["name"], factor["method"]) for factor in factors] == \
        [(made.json()["id"], "red", "webauthn")]
    assert emil.prove(emil.sign_in()).status_code == 200 and emil.is_signed_in()


def test_an_answer_many_times_at_once(world):
    """Of a key that does not count, so that nothing but the challenge tells the second one from the first."""
    fritz = world.person("fritz")
    fritz.sign_in()
    assert fritz.enrol().status_code == 200
    page = fritz.sign_in()
    url, fields, options = key_form(page)
    answer, cookies = {**fields, **fritz.key.get(options, counter=0)}, fritz.browser.session.cookies
    before = len(world.rows("factor.prove"))

    def send(_):
        browser = Browser()
        browser.session.cookies.update(cookies)
        browser.post(url, answer)
        return browser.get(world.url + "/api/v1/me").status_code == 200

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        got_in = list(pool.map(send, range(8)))
    assert got_in.count(True) == 1
    assert len(world.rows("factor.prove")) == before + 1


ONLY_KEYS = """
second_factor: {required: administrators, administrator_methods: [webauthn], grace: {sign_ins: 3}}
"""


def test_administrators_by_keys_alone():
    with Keys(policy=ONLY_KEYS) as world:
        chief = world.person("boss", "administrator")
        page = chief.sign_in()
        # While grace lasts they are led to set one up, and nothing else is offered.
        assert "/login/enrol" in page.url and not chief.is_signed_in()
        assert "security key" in page.text and "authenticator app" not in page.text.lower()
        assert chief.browser.get(world.url + "/security/add/totp").status_code == 404
        page = chief.enrol()
        assert page.status_code == 200 and chief.is_signed_in()
        page = chief.sign_in()
        assert "/login/factor" in page.url and not chief.is_signed_in()
        form = key_form(page)[1]
        page = chief.browser.post(world.url + "/login/factor", {**form, "method": "totp", "code": "123456"})
        assert page.status_code >= 400 and not chief.is_signed_in()
        assert chief.prove(chief.sign_in()).status_code == 200 and chief.is_signed_in()
        # Others are not asked.
        staff = world.person("gabi")
        staff.sign_in()
        assert staff.is_signed_in()


def test_remembered(world):
    """This browser is not asked again, another one is."""
    hugo = world.person("hugo")
    hugo.sign_in()
    assert hugo.enrol().status_code == 200
    assert hugo.prove(hugo.sign_in(), change={"remember": "1"}).status_code == 200 and hugo.is_signed_in()
    kept = {name: value for name, value in hugo.browser.cookies(world.url).items() if "device" in name}
    assert kept
    page = hugo.browser.submit(hugo.browser.get(world.url + "/logout"))
    assert not hugo.is_signed_in()
    world.sign_in("hugo", browser=hugo.browser)
    assert hugo.is_signed_in()
    page = hugo.sign_in()
    assert "/login/factor" in page.url and not hugo.is_signed_in()


def test_many_wrong_answers():
    """After some they must wait, and nothing is looked at; the log does not grow with them; then the right one is taken."""
    config = CONFIG.replace("{{attempts: 100, address_attempts: 1000}}", "{{attempts: 3, delay: 1h, delay_max: 1h}}")
    assert config != CONFIG
    with Keys(config=config) as world:
        ida = world.person("ida")
        ida.sign_in()
        assert ida.enrol().status_code == 200
        page = ida.sign_in()
        url, fields, _ = key_form(page)
        wrong = [ida.browser.post(url, fields) for _ in range(100)]
        statuses = [page.status_code for page in wrong]
        looked_at = statuses.count(403)
        assert looked_at < 10 and statuses == [403] * looked_at + [429] * (100 - looked_at)
        assert all(1 <= int(page.headers["Retry-After"]) <= 3600 for page in wrong[looked_at:])
        told = world.refusals()
        assert len(told) == looked_at + 1 and "rate-limited" in told[-1]
        assert ida.prove(page).status_code == 429 and not ida.is_signed_in()
        # What waits is in memory alone.
        world.restart()
        assert ida.prove(ida.browser.get(page.url)).status_code == 200 and ida.is_signed_in()
