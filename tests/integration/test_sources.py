"""Sources switched on and off, and SAML sources that administrators define: with a real IdP, nginx and an application."""
import contextlib
import hashlib
import itertools
import re
import sqlite3

import pytest

import idp
import proxy
from signin import SignIn
from test_control import check
from test_definitions import Api as DefinitionsApi

pytestmark = pytest.mark.skipif(not (idp.is_installed() and proxy.is_installed()),
                                reason="needs SimpleSAMLphp and nginx")


COUNTER = itertools.count()


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

class Api(DefinitionsApi):
    def __init__(self, world):
        super().__init__(world.bridge.folder / "control.sock")

    def good(self, method, path, body=None, headers=None, status=None):
        got, answer, self.headers = self.call(method, path, body, headers)
        assert got in ([status] if status else [200, 201]), answer
        parts = path.split("?")[0].split("/")
        if len(parts) > 1:
            parts[1] = "{source}"
        return check(answer, "/api/v1/" + "/".join(parts), method.lower(), str(got))

    def bad(self, method, path, body=None, headers=None):
        """(status, code, field)"""
        got, answer, _ = self.call(method, path, body, headers)
        assert 400 <= got < 500, (got, answer)
        return got, answer["code"], answer.get("field")


@pytest.fixture(name="api")
def _api(world):
    with contextlib.closing(Api(world)) as api:
        yield api


@pytest.fixture(name="name")
def _name(world):
    """Of a source that is gone afterwards, unless people came through it."""
    name = f"s{next(COUNTER)}"
    yield name
    world.bridge.run("sources", "disable", name)
    world.bridge.run("sources", "delete", name)


def body_of(world, name, **more):
    return {"name": name, "type": "saml", "idp": {"metadata": world.idp.metadata().decode()}, **more}


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
