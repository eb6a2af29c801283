"""What changes how somebody signs in takes a second factor of this moment from whoever has one: no remembered word of an
identity provider, no older session of theirs."""
import time

import pytest

from test_stages import PROVES, Person, again, f, person, proved
from test_web import PUBLIC, World


@pytest.fixture(name="world", scope="module")
def _world():
    with World(source=PROVES) as world:
        yield world


def proved_before(assertion):
    """In silence: the IdP tells what it saw an hour ago."""
    proved(assertion)
    then = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 3600))
    f.find(assertion, "saml:AuthnStatement").set("AuthnInstant", then)


def enrol(one):
    return one.api("POST", "me/factors", {"method": "totp", "name": "mine"})


def refused(answer):
    return (answer.status_code, answer.json().get("code")) == (403, "second-factor-required")


def test_what_the_idp_saw_an_hour_ago(world):
    anna = again(world, person(world, "anna"))
    assert anna.come("anna", change=proved_before).headers["Location"] == "/"
    assert anna.get(PUBLIC + "/api/v1/me").status_code == 200
    assert refused(enrol(anna))
    factor = anna.api("GET", "me/factors").json()["factors"][0]["id"]
    assert refused(anna.api("DELETE", f"me/factors/{factor}"))
    assert refused(anna.api("POST", "me/recovery-codes"))
    # The pages lead to where it is proven, here or there.
    page = anna.get(PUBLIC + f"/security/factors/{factor}")
    page = anna.post(page, f"/security/factors/{factor}/remove")
    assert page.status_code == 403 and "/step-up?return=" in page.text, page.text
    page = anna.get(PUBLIC + "/step-up")
    assert "/saml/acme/login?" in page.text and "fresh=1" in page.text
    anna.post(page, "/step-up", code=anna.code())
    assert enrol(anna).status_code == 201


def test_what_the_idp_saw_just_now(world):
    bert = again(world, person(world, "bert"))
    assert bert.come("bert", change=proved).headers["Location"] == "/"
    assert enrol(bert).status_code == 201


def test_whoever_has_none_yet(world):
    carl = Person(world)
    assert carl.come("carl", change=proved_before).headers["Location"] == "/"
    assert enrol(carl).status_code == 201


def test_a_session_of_before(world):
    """It knows of no factor, but there is one by now."""
    before = person(world, "dora", app=False)
    person(world, "dora")
    assert refused(enrol(before))


def test_a_report_on_people_takes_what_their_list_takes():
    """Who has not signed in is told of people: the report that lists them asks as the list does."""
    web = """second_factor:
  step_up: [{permissions: ["users:read@all"], max_age: 10m}]"""
    with World(source=PROVES, web=web) as world:
        lia, kim = person(world, "lia", app=False), person(world, "kim")
        assert lia.api("GET", "reports/sign-ins?by=profile").status_code == 200
        for path in ("users", "reports/inactive?days=90", "reports/inactive?days=90&format=csv"):
            page = lia.api("GET", path)
            assert refused(page) and page.json()["details"]["max_age"] == 600, (path, page.text)
            assert kim.api("GET", path).status_code == 200, path
