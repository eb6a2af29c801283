"""Sources switched on and off, and SAML sources that administrators define: with a real IdP, nginx and an application."""
import pytest

import idp
import proxy
from signin import SignIn

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
