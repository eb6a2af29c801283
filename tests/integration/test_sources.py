"""Sources switched on and off, and SAML sources that administrators define: with a real IdP, nginx and an application."""
import pytest

import idp
import proxy
from signin import SignIn
from test_control import check
from test_definitions import Api as DefinitionsApi

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

def define(world, name="okta", **body):
    """A source that trusts the IdP of this world, which trusts it, too; switched off. Returns the answer."""
    world.trust_us(name)
    body = {"name": name, "type": "saml", "idp": {"metadata": world.idp.metadata().decode()}, **body}
    return Api(world).good("POST", "sources", body, status=201)


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


def test_from_pasted_metadata_to_a_sign_in(world):
    answer = define(world, just_in_time=True, may_grant={"profiles": ["member"]})
    source = answer["definition"]
    assert source["enabled"] is False and source["origin"] == "store" and source["saml"]["ready"] is True
    assert source["body"]["idp"]["entity_id"] == world.idp.entity_id
    assert source["body"]["idp"]["metadata"].startswith("sha256:")
