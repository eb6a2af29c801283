"""Sources switched on and off, and SAML sources that administrators define: with a real IdP, nginx and an application."""
import contextlib
import hashlib
import re
import sqlite3
import subprocess

import pytest

import idp
import proxy
from bridge import CTL
from signin import SignIn
from test_web import eventually

pytestmark = pytest.mark.skipif(not (idp.is_installed() and proxy.is_installed()),
                                reason="needs SimpleSAMLphp and nginx")


@pytest.fixture(name="world", scope="module")
def _world():
    with SignIn() as world:
        yield world


def test_source_of_a_file_that_is_switched_off(world):
    bridge = world.bridge
    signed_in, _ = world.sign_in("anna")
    administrator, _ = world.sign_in("root")
    waiting = world.browser()
    form = waiting.sign_in(world.application_url, "bert", stop_at=world.acs)
    before = bridge.ctl("users", "show", "anna")["grants"]
    text = bridge.config.read_text()
    bridge.config.write_text(text.replace("    type: saml\n", "    type: saml\n    enabled: false\n"))
    bridge.ctl("reload")
    try:
        # Nobody comes in, whoever had begun neither; each is told.
        page = world.browser().get(f"{world.public_url}/saml/acme/login")
        assert page.status_code == 403 and "switched off" in page.text and "source-disabled" in page.text
        page = world.browser().get(f"{world.public_url}/login?source=acme")
        assert page.status_code == 403 and "source-disabled" in page.text
        page = world.browser().get(f"{world.public_url}/login")
        assert "no way to sign in" in page.text
        page = waiting.post(form.url, form.fields)
        assert page.status_code == 403 and "source-disabled" in page.text
        assert "source-disabled" in world.refusals()[-1]
        # Who is in stays, with all they have.
        assert signed_in.get(world.application_url).status_code == 200
        assert bridge.ctl("users", "show", "anna")["grants"] == before
        # An administrator tests it all the same.
        page = world.test_login(administrator, "root")
        assert page.status_code == 200 and "The answer was accepted" in page.text, page.text
        source = [one for one in bridge.ctl("status")["sources"] if one["name"] == "acme"][0]
        assert source["enabled"] is False
    finally:
        bridge.config.write_text(text)
        bridge.ctl("reload")
    world.wait_for_metadata()
    assert world.sign_in("anna")[1].status_code == 200
    assert bridge.ctl("users", "show", "anna")["grants"] == before


# --- SAML sources of the store ---

def sign_in_through(world, name, person):
    """The page at the end of a sign-in that begins at this source."""
    browser = world.browser()
    page = browser.get(f"{world.public_url}/saml/{name}/login?return={world.application_url}")
    if "username" in page.text or "SAMLRequest" in page.text:
        if "SAMLRequest" in page.text:
            page = browser.submit(page)
        page = browser.submit(page, username=person, password=person[::-1])
        page = browser.submit(page)
    return browser, page


def test_the_whole_road_by_command(world, tmp_path):
    bridge = world.bridge
    administrator, _ = world.sign_in("root")
    bridge.ctl("users", "create", "dora", "--email", "dora@acme.example", "--profile", "member")
    world.trust_us("okta")
    world.idp.set_people({**world.people, "dora": {"uid": ["dora"], "mail": ["dora@acme.example"]}})
    (tmp_path / "idp.xml").write_bytes(world.idp.metadata())
    # Defined, it signs nobody in.
    text = bridge.human("sources", "create", "okta", "--metadata", tmp_path / "idp.xml", "--just-in-time", "yes",
                        "--may-grant", "profile:member").stdout
    assert "okta is defined, and disabled: 0 people" in text and "sources enable okta" in text
    shown = bridge.ctl("sources", "show", "okta")
    assert shown["enabled"] is False and shown["saml"]["ready"] is True and shown["version"] > 0
    assert shown["body"]["idp"] == {"metadata": fingerprint(world.idp.metadata()), "entity_id": world.idp.entity_id}
    _, page = sign_in_through(world, "okta", "bert")
    assert page.status_code == 403 and "source-disabled" in page.text
    assert "/saml/okta/acs" in bridge.human("saml", "metadata", "okta").stdout
    # The test login shows everything, and makes nobody.
    page = world.test_login(administrator, "bert", "okta")
    assert "The answer was accepted" in page.text and "bert@acme.example" in page.text, page.text
    assert bridge.ctl("sources", "show", "okta")["people"] == 0
    # Nobody else may test it.
    other, _ = world.sign_in("anna")
    assert other.get(f"{world.public_url}/saml/okta/test").status_code == 403
    # Enabled, it does.
    assert "okta is enabled" in bridge.human("sources", "enable", "okta").stdout
    bridge.ctl("users", "link", "dora", "okta", "dora")
    _, page = sign_in_through(world, "okta", "dora")
    assert page.status_code == 200 and "dora" in page.text, page.text
    row = world.audit("source.create")[-1]
    assert row["object"] == "source:okta" and "EntityDescriptor" not in str(row["detail"])
    assert fingerprint(world.idp.metadata()) in str(row["detail"]) and world.idp.entity_id in str(row["detail"])
    assert [one["action"] for one in world.audit("source.enable")] == ["source.enable"]
    # Disabled by hand: at once, nobody more; who is in stays.
    people = bridge.ctl("sources", "show", "okta")["people"]
    bridge.ctl("sources", "disable", "okta")
    _, page = sign_in_through(world, "okta", "dora")
    assert page.status_code == 403 and "source-disabled" in page.text
    assert bridge.ctl("sources", "show", "okta")["people"] == people == 1
    assert bridge.ctl("users", "show", "dora")["active"] is True
    # Whoever comes from it keeps it from being deleted.
    refused = bridge.human("sources", "delete", "okta")
    assert refused.returncode == 1 and "in-use" in refused.stderr and "1 people" in refused.stderr
    bridge.ctl("users", "unlink", "dora", "okta", "dora")
    bridge.ctl("sources", "delete", "okta")
    assert bridge.run("sources", "show", "okta").returncode == 1
    assert world.browser().get(f"{world.public_url}/saml/okta/login").status_code == 404
    bridge.ctl("audit", "verify")
    # What nobody names any more is kept nowhere.
    with contextlib.closing(sqlite3.connect(bridge.folder / "store.db")) as store:
        assert store.execute("SELECT count(*) FROM document").fetchone() == (0,)


def test_table(world):
    bridge = world.bridge
    table = bridge.human("sources", "list").stdout
    assert re.search(r"acme +saml +file +\d+ +ready", table), table
    text = bridge.human("sources", "show", "acme").stdout
    assert world.idp.entity_id in text and "test login" in text and "rolebridge.yaml" in text


def fingerprint(xml):
    return "sha256:" + hashlib.sha256(xml).hexdigest()


def test_rotation_by_update(world, tmp_path):
    """The IdP has another key: nobody gets in until its new metadata is handed over; a refused document changes nothing."""
    bridge = world.bridge
    world.trust_us("turning")
    path = tmp_path / "idp.xml"
    path.write_bytes(world.idp.metadata())
    bridge.ctl("sources", "create", "turning", "--metadata", path, "--just-in-time", "yes", "--may-grant", "profile:member")
    bridge.ctl("sources", "enable", "turning")
    bridge.ctl("users", "create", "emil", "--profile", "member")
    world.idp.set_people({**world.people, "emil": {"uid": ["emil"], "mail": ["emil@acme.example"]}})
    bridge.ctl("users", "link", "emil", "turning", "emil")
    assert sign_in_through(world, "turning", "emil")[1].status_code == 200
    world.idp.stop()
    world.idp.new_key()
    world.idp.start()
    assert sign_in_through(world, "turning", "emil")[1].status_code == 403
    version = bridge.ctl("sources", "show", "turning")["version"]
    refused = bridge.human("sources", "update", "turning", "--metadata", __file__)
    assert refused.returncode == 1 and "metadata-malformed" in refused.stderr, refused
    assert bridge.ctl("sources", "show", "turning")["version"] == version
    with subprocess.Popen([CTL, "--config", bridge.config, "sources", "update", "turning", "--metadata", "-", "--if-match",
                           str(version)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as command:
        said, _ = command.communicate(world.idp.metadata())
        assert command.returncode == 0 and b"turning is changed: 1 person" in said, said
    assert sign_in_through(world, "turning", "emil")[1].status_code == 200
    rows = world.audit("source.update")
    assert rows[-1]["detail"]["before"] != rows[-1]["detail"]["after"]
    with contextlib.closing(sqlite3.connect(bridge.folder / "store.db")) as store:
        assert store.execute("SELECT fingerprint FROM document").fetchall() == [(fingerprint(world.idp.metadata()),)]
    bridge.ctl("sources", "disable", "turning")
    bridge.ctl("users", "unlink", "emil", "turning", "emil")
    bridge.ctl("sources", "delete", "turning")


def test_metadata_by_address_and_a_link(world):
    """People of another source are found by their address, as README has it."""
    bridge = world.bridge
    # Whatever key it had in a test before, it is fetched in the background.
    assert eventually(lambda: world.sign_in("anna")[1].status_code == 200)
    before = bridge.ctl("users", "show", "anna")
    world.trust_us("second")
    bridge.ctl("sources", "create", "second", "--metadata-url", world.idp.metadata_url, "--link", "uid=acme:uid")
    assert eventually(lambda: bridge.ctl("sources", "show", "second")["saml"]["ready"])
    bridge.ctl("sources", "enable", "second")
    _, page = sign_in_through(world, "second", "anna")
    assert page.status_code == 200, page.text
    after = bridge.ctl("users", "show", "anna")
    assert after["id"] == before["id"] and after["profile"] == before["profile"]
    assert bridge.ctl("sources", "show", "second")["people"] == 1
    assert bridge.human("sources", "delete", "second").returncode == 1
    bridge.ctl("sources", "disable", "second")
    assert bridge.ctl("users", "show", "anna")["grants"] == after["grants"]


@pytest.mark.parametrize("words", [
    ("create", "x"), ("create", "x", "--metadata", "/nowhere"), ("create", "x", "--metadata", "/"),
    ("create", "x", "--link", "uid"), ("create", "x", "--may-grant", "thing:x"), ("create", "x", "--just-in-time", "maybe"),
    ("create", "x", "--metadata", __file__, "--metadata-url", "https://x.example"), ("update", "x"),
    ("update", "x", "--just-in-time", "yes"), ("enable", "x"), ("disable", "x"), ("delete", "x"), ("show", "x"),
    ("enable", "x", "--if-match", "none"),
])
def test_commands_that_fail(world, words):
    failed = world.bridge.human("sources", *words)
    assert failed.returncode in (1, 2) and failed.stderr, failed
    assert "Traceback" not in failed.stderr
