"""People who sign in with a password of ours: from an invite to an application and out again; links that set a new one."""
import re

import pytest

import passwords
from bridge import Refused
from browser import Browser
from passwords import OTHER, PASSWORD, RESET


@pytest.fixture(scope="module", name="world")
def make_world():
    with passwords.world() as world:
        yield world


def seen_by_application(page):
    return {name.lower(): value for name, value in page.json()["headers"]}


# --- the road ---


def test_from_an_invite_to_an_application_and_out_again(world):
    token = world.invited("ada")
    browser, page = world.sign_in("ada", PASSWORD)
    assert page.url == world.application and page.status_code == 200
    headers = seen_by_application(page)
    assert (headers["remote-user"], headers["remote-profile"]) == ("ada", "viewer")
    # the same session serves our own pages
    assert "ada" in browser.get(world.url("/")).text
    login = world.rows("login")[-1]
    assert login["actor"] == "local" and login["object"].startswith("user:")
    assert "password" in str(login["detail"]) and PASSWORD not in str(login["detail"])
    out = browser.submit(browser.get(world.url("/logout")))
    assert out.status_code == 200
    page = browser.request("GET", world.application)
    assert page.status_code in (302, 303)
    assert world.rows("session.end")[-1]["object"] == login["object"]
    # the invite is used up, and sets nobody's password any more
    page = world.set_new(token, OTHER)
    assert page.status_code == 404
    page = Browser().request("GET", world.url(f"/invite/{token}"))
    assert "This invite was used" in page.text


def test_by_address_and_in_other_letters(world):
    world.invited("bert")
    for name in ("bert", "BERT", "Bert@ACME.example"):
        assert world.has(name, PASSWORD)


def test_wrong_passwords_and_unknown_names_look_alike(world):
    world.invited("carl")
    pages = []
    for name, password in (("carl", OTHER), ("nobody", PASSWORD), ("boss", PASSWORD)):
        _, page = world.sign_in(name, password)
        assert page.status_code == 403
        pages.append(re.sub(r'value="[^"]*"|nonce=[0-9a-f]+', "", page.text))
    assert pages[0] == pages[1] == pages[2]
    rows = world.rows("login.refused")[-3:]
    assert [row["object"].split(":")[0] for row in rows] == ["user", "local", "user"]
    assert "nobody" not in str(rows) and PASSWORD not in str(rows)


# --- links that set a new one ---


def test_a_link_sets_a_new_password_once(world):
    world.invited("dora")
    browser, page = world.sign_in("dora", PASSWORD)
    assert page.status_code == 200
    token = world.reset_token("dora")
    # whoever looks, a scanner perhaps, uses nothing up; and the old one is good until then
    assert Browser().get(world.url(f"/password/reset/{token}")).status_code == 200
    assert world.has("dora", PASSWORD)
    page = world.set_new(token, OTHER)
    assert page.status_code == 200, page.text
    # nobody is signed in by it, and whoever was is not any more
    assert browser.request("GET", world.application).status_code in (302, 303)
    assert world.has("dora", OTHER) and not world.has("dora", PASSWORD)
    page = world.set_new(token, PASSWORD)
    assert page.status_code == 409
    assert world.has("dora", OTHER)
    assert [row["actor"].split(":")[0] for row in world.rows("password.reset")[-1:]] == ["local"]
    assert world.rows("password.set")[-1]["object"] == world.rows("password.set")[-1]["actor"]


def test_a_newer_link_voids_the_one_before(world):
    world.invited("emil")
    first = world.reset_token("emil")
    second = world.reset_token("emil")
    assert world.set_new(first, OTHER).status_code == 409
    assert world.set_new(second, OTHER).status_code == 200
    assert world.has("emil", OTHER)


def test_a_link_ends_after_an_hour(world):
    world.invited("fred")
    token = world.reset_token("fred")
    world.sql("UPDATE password_reset SET sent_s = sent_s - 3601, expires_s = expires_s - 3601 WHERE user = "
              "(SELECT max(user) FROM password_reset)")
    page = world.set_new(token, OTHER)
    assert page.status_code == 409 and "expired" in page.text.lower() and 'href="/password/forgot"' in page.text
    assert world.has("fred", PASSWORD)


def test_links_of_others_are_nobodys(world):
    world.invited("gert")
    token = world.reset_token("gert")
    changed = token[:-2] + ("AA" if not token.endswith("AA") else "BB")
    for path in (f"/password/reset/{changed}", f"/password/reset/{token}x", "/password/reset/x", f"/invite/{token}"):
        assert Browser().request("GET", world.url(path)).status_code == 404
    assert world.set_new(token, OTHER).status_code == 200


def test_whoever_has_no_account_learns_nothing(world):
    """The same page for a name that nobody has, and no letter."""
    world.invited("hugo")
    before = len(world.mail.envelopes)
    unknown = world.forgotten("nobody at all")
    assert len(world.mail.envelopes) == before
    known = world.forgotten("hugo")
    assert unknown.text == known.text and unknown.status_code == known.status_code == 200
    world.link("hugo", RESET)
    assert "nobody at all" not in str(world.rows("password.reset.refused")[-1])
    assert world.rows("password.reset.refused")[-1]["detail"]["reason"] == "unknown"


def test_who_is_disabled_has_no_way_in(world):
    world.invited("ida")
    browser, page = world.sign_in("ida", PASSWORD)
    assert page.status_code == 200
    token = world.reset_token("ida")
    world.bridge.ctl("users", "disable", "ida")
    assert browser.request("GET", world.application).status_code in (302, 303, 401, 403)
    _, page = world.sign_in("ida", PASSWORD)
    assert page.status_code == 403 and "is not right" not in page.text
    assert world.set_new(token, OTHER).status_code == 409
    assert "disabled" in str(world.rows("login.refused")[-1]["detail"])
    world.bridge.ctl("users", "enable", "ida")
    assert world.has("ida", PASSWORD)


def test_an_account_that_was_made_by_hand_gets_its_password_by_mail(world):
    world.bridge.ctl("users", "create", "jana", "--profile", "viewer", "--email", "jana@acme.example")
    assert not world.has("jana", PASSWORD)
    token = world.reset_token("jana")
    assert world.set_new(token, PASSWORD).status_code == 200
    assert world.has("jana", PASSWORD)


# --- what stays where ---


def test_no_password_is_kept_or_told_anywhere(world):
    secret = "purple umbrella telescope"
    world.invited("kurt", secret)
    assert world.has("kurt", secret)
    assert not world.has("kurt", "yellow umbrella telescope")
    hashes = world.sql("SELECT hash FROM password")
    assert hashes and all(text.startswith("$argon2id$") for (text,) in hashes)
    kept = b"".join(path.read_bytes() for path in world.bridge.folder.iterdir() if path.is_file())
    assert b"umbrella" not in kept
    assert "$argon2id$" not in world.bridge.logged()


def test_passwords_outlive_the_daemon(world):
    world.invited("lena")
    token = world.reset_token("lena")
    world.bridge.kill()
    world.bridge.start()
    assert world.has("lena", PASSWORD)
    assert world.set_new(token, OTHER).status_code == 200
    assert world.has("lena", OTHER)


def test_other_parameters_are_taken_at_the_next_sign_in(world):
    world.invited("mona")
    before = dict(world.sql("SELECT user, hash FROM password"))
    text = world.bridge.config.read_text()
    world.bridge.config.write_text(text.replace("memory: 8MiB, operations: 1", "memory: 8MiB, operations: 2"))
    try:
        world.bridge.stop()
        world.bridge.start()
        assert world.has("mona", PASSWORD)
        after = dict(world.sql("SELECT user, hash FROM password"))
        changed = [user for user in before if before[user] != after[user]]
        assert len(changed) == 1 and ",t=2," in after[changed[0]]
        assert world.has("mona", PASSWORD)
        assert dict(world.sql("SELECT user, hash FROM password")) == after
    finally:
        world.bridge.stop()
        world.bridge.config.write_text(text)
        world.bridge.start()


def test_without_passwords_there_is_no_way(world):
    """Switched off, nobody signs in with one, and no link sets one."""
    world.invited("nina")
    token = world.reset_token("nina")
    text = world.bridge.config.read_text()
    world.bridge.config.write_text(text.replace("enabled: true", "enabled: false"))
    try:
        world.bridge.stop()
        world.bridge.start()
        browser = Browser()
        assert 'type="password"' not in browser.get(world.url("/login")).text
        for path in ("/login", "/password/forgot", f"/password/reset/{token}"):
            page = browser.request("POST", world.url(path), data={"username": "nina", "password": PASSWORD},
                                   headers={"Origin": world.url("").rstrip("/")})
            assert page.status_code == 404, (path, page.status_code)
    finally:
        world.bridge.stop()
        world.bridge.config.write_text(text)
        world.bridge.start()
    assert world.has("nina", PASSWORD)


def test_the_chain_is_whole(world):
    assert world.bridge.run("audit", "verify").returncode == 0
    with pytest.raises(Refused):
        world.bridge.ctl("users", "show", "nobody at all")


def test_the_person_is_told_of_a_new_password(world):
    """By the link and on their own page; of the one that they chose with the invite they know."""
    told = re.compile("(a new password was set for your account)")
    world.invited("tina")
    assert world.set_new(world.reset_token("tina"), passwords.OTHER).status_code == 200
    assert world.link("tina", told)
    browser, _ = world.sign_in("tina", passwords.OTHER)
    page = browser.get(world.url("/security/password"))
    page = browser.submit(page, password=passwords.OTHER,
                          **{"new-password": passwords.PASSWORD, "repeat-password": passwords.PASSWORD})
    assert "Your password was changed" in page.text, page.text
    assert world.link("tina", told)
    texts = [world.mail.message(number).get_content() for number, envelope in enumerate(list(world.mail.envelopes))
             if envelope.rcpt_tos == ["tina@acme.example"]]
    assert len([text for text in texts if told.search(text)]) == 2
    assert not any(passwords.OTHER in text or passwords.PASSWORD in text for text in texts)
