"""Second factors at rest and after the fact: what is told by mail, keys that come and go, nothing secret left lying about."""
import base64
import os
import re
import secrets

import pytest

from second_factor import SecondFactor, is_installed, text_of

pytestmark = pytest.mark.skipif(not is_installed(), reason="needs oathtool and nginx")

CODE_WORDS = re.compile(r"\b[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}\b")


@pytest.fixture(scope="module")
def world():
    with SecondFactor() as world:
        yield world


def with_app(world, name):
    """Signed in to the end: their browser and secret."""
    world.person(name)
    browser, _ = world.sign_in(name)
    secret, page = world.enrol_totp(browser)
    assert page.status_code == 200, page.text
    return browser, secret


def sign_in_with(world, name, secret):
    browser, page = world.sign_in(name)
    assert "/login/factor" in page.url, page.url
    return browser.submit(page, code=world.code(secret))


def alarms(world):
    return [alarm["kind"] for alarm in world.bridge.ctl("status")["alarms"]]


def wait_for_letter(world, name, text):
    return world.letter(name, re.compile(text, re.DOTALL)).string


def test_letters(world):
    """Of each change the person is told, with no code and no secret in it."""
    browser, secret = with_app(world, "lena")
    letters = [wait_for_letter(world, "lena", "was added: an authenticator app.*'lena'")]
    issued = world.bridge.ctl("recovery-code", "issue", "lena")["code"]
    letters.append(wait_for_letter(world, "lena", "an administrator issued a recovery code"))
    fresh, page = world.sign_in("lena")
    page = fresh.get(world.url + "/login/factor?method=recovery")
    page = fresh.submit(page, code=issued)
    assert "/login/enrol" in page.url, page.url
    letters.append(wait_for_letter(world, "lena", "a recovery code was used"))
    world.bridge.ctl("factors", "reset", "lena")
    letters.append(wait_for_letter(world, "lena", "an administrator reset: all of your second factors"))
    for letter in letters:
        assert secret.replace(" ", "") not in letter.replace(" ", "") and issued not in letter
        assert not CODE_WORDS.search(letter)
        assert f"{world.url}/security" in letter


def test_nothing_secret_at_rest(world):
    """Neither in the store, nor in a log, nor in the audit log."""
    browser, secret = with_app(world, "nora")
    code = world.bridge.ctl("recovery-code", "issue", "nora")["code"]
    text = secret.replace(" ", "")
    raw = base64.b32decode(text + "=" * (-len(text) % 8))
    bare = code.replace("-", "")
    for path in world.bridge.folder.iterdir():
        if path.is_file():
            held = path.read_bytes()
            for what in raw, text.encode(), bare.encode(), code.encode():
                assert what not in held, path


def test_restart_between_begin_and_confirm(world):
    world.person("rosa")
    browser, _ = world.sign_in("rosa")
    page = browser.get(world.url + "/security/add/totp")
    page = browser.submit(page, name="phone")
    secret = re.search(r"<code[^>]*>([A-Z2-7 ]+)</code>", page.text)[1]
    world.restart()
    page = browser.submit(page, code=world.code(secret))
    assert page.status_code == 200 and "was added" in text_of(page), page.text
    page = sign_in_with(world, "rosa", secret)
    assert page.status_code == 200 and "/login" not in page.url, page.url


def test_rotation(world):
    """A new key, everything sealed under it, the old one gone: apps work all the way, and after a restart."""
    _, secret = with_app(world, "rita")
    before = [key["id"] for key in world.bridge.ctl("sealing-key", "status")["keys"] if key["seals"]]
    world.bridge.ctl("sealing-key", "rotate")
    assert sign_in_with(world, "rita", secret).status_code == 200
    status = world.bridge.ctl("sealing-key", "status")["keys"]
    assert [key["seals"] for key in status] == [True, False] and status[1]["id"] == before[0]
    assert status[1]["secrets"] > 0
    world.bridge.ctl("sealing-key", "reseal")
    world.bridge.ctl("sealing-key", "forget-unused")
    status = world.bridge.ctl("sealing-key", "status")["keys"]
    assert len(status) == 1 and status[0]["id"] != before[0] and status[0]["secrets"] > 0
    assert sign_in_with(world, "rita", secret).status_code == 200
    world.restart()
    page = sign_in_with(world, "rita", secret)
    assert page.status_code == 200 and "/login" not in page.url, page.url
    actions = {row["action"] for row in world.bridge.ctl("audit", "list", "--limit", "1000")["rows"]}
    assert {"sealing-key.rotate", "sealing-key.reseal", "sealing-key.forget"} <= actions


def test_a_key_that_is_not_there(world):
    """An alarm says so; codes on paper still let people in; the key comes back, and all is well."""
    browser, secret = with_app(world, "kira")
    path = world.bridge.folder / "seal.key"
    kept = path.read_bytes()
    code = world.bridge.ctl("recovery-code", "issue", "kira")["code"]
    assert world.bridge.stop() == 0
    path.unlink()
    world.bridge.start()
    assert "sealing-key-missing" in alarms(world)
    fresh, page = world.sign_in("kira")
    page = fresh.submit(page, code=world.code(secret))
    assert "/login/factor" in page.url and page.status_code in (403, 503), (page.status_code, page.url)
    page = fresh.submit(fresh.get(world.url + "/login/factor?method=recovery"), code=code)
    assert "/login/enrol" in page.url, page.url
    # Both are there: what was sealed in between can be opened, too.
    path.write_bytes(kept + path.read_bytes())
    world.bridge.ctl("reload")
    assert "sealing-key-missing" not in alarms(world)
    page = sign_in_with(world, "kira", secret)
    assert page.status_code == 200 and "/login" not in page.url, page.url


def test_a_credential_of_the_service(tmp_path, monkeypatch):
    """As systemd hands it over: it seals, none is made beside the store, and a newer one counts from the next start on."""
    credential = tmp_path / "sealing-key"
    credential.write_text(base64.b64encode(secrets.token_bytes(32)).decode() + "\n")
    os.chmod(credential, 0o400)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with SecondFactor() as world:
        _, secret = with_app(world, "vera")
        status = world.bridge.ctl("sealing-key", "status")
        assert status["own"] is False and [key["secrets"] for key in status["keys"]] == [1]
        assert not (world.bridge.folder / "seal.key").exists()
        answer = world.bridge.run("sealing-key", "rotate")
        assert answer.returncode == 1 and "sealing-key-not-ours" in answer.stdout + answer.stderr
        os.chmod(credential, 0o600)
        credential.write_text(base64.b64encode(secrets.token_bytes(32)).decode() + "\n" + credential.read_text())
        world.restart()
        world.bridge.ctl("sealing-key", "reseal")
        assert [key["secrets"] for key in world.bridge.ctl("sealing-key", "status")["keys"]] == [1, 0]
        assert sign_in_with(world, "vera", secret).status_code == 200
        monkeypatch.delenv("CREDENTIALS_DIRECTORY")
        world.restart()
        assert "sealing-key-missing" in alarms(world)


def test_a_key_of_the_service():
    """A file that is named: it opens and seals, is never written, and a bad one is refused at the start."""
    with SecondFactor() as world:
        _, secret = with_app(world, "sara")
        named = world.bridge.folder / "named.key"
        named.write_text(base64.b64encode(secrets.token_bytes(32)).decode() + "\n"
                         + (world.bridge.folder / "seal.key").read_text())
        os.chmod(named, 0o600)
        world.enforce(f"{world.policy}\nsealing_key: {named}")
        text = named.read_bytes()
        world.bridge.ctl("sealing-key", "reseal")
        assert sign_in_with(world, "sara", secret).status_code == 200
        answer = world.bridge.run("sealing-key", "rotate")
        assert answer.returncode == 1 and "sealing-key-not-ours" in answer.stdout + answer.stderr
        assert named.read_bytes() == text
        # One that cannot be used: the keys stay.
        named.write_text("nonsense\n")
        world.enforce(f"{world.policy}\nsealing_key: {named}")
        assert sign_in_with(world, "sara", secret).status_code == 200
        assert "reload.sealing-key" in world.bridge.logged() and "nonsense" not in world.bridge.logged()
        # With its first key alone, for everything was sealed under that one.
        named.write_bytes(text.split(b"\n")[0] + b"\n")
        world.restart()
        assert sign_in_with(world, "sara", secret).status_code == 200
        assert "sealing-key-missing" not in alarms(world)
        relative = world.bridge.folder / "relative.yaml"
        relative.write_text((world.bridge.folder / "rolebridge.yaml").read_text().replace(str(named), "./named.key"))
        answer = world.bridge.run("check", str(relative))
        assert answer.returncode != 0 and "relative path" in answer.stdout + answer.stderr
